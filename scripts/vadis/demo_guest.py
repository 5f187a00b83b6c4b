# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo's process in the guest: calls functions for the host.

One process for all rows, because starting Python takes a second in an
emulated guest. Each line of standard input is a call in JSON, each line of
standard output an answer; calls run at the same time, in threads.
"""

import importlib
import json
import sys
import threading
import traceback


def find(module, name):
    thing = importlib.import_module(module)
    for part in name.split("."):
        thing = getattr(thing, part)
    return thing


def answer(request, lock):
    reply = {"id": request["id"]}
    try:
        function = find(request["module"], request["name"])
        reply["result"] = function(**request["arguments"])
    except Exception as err:            # the host decides what it means
        reply["error"] = f"{type(err).__name__}: {err}"
        reply["trace"] = traceback.format_exc()
    with lock:
        print(json.dumps(reply), flush=True)


def main():
    lock = threading.Lock()
    for line in sys.stdin:
        threading.Thread(target=answer, args=(json.loads(line), lock),
                         daemon=True).start()


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    # OpenSSL takes long to load here; Python's own code will do.
    sys.modules["_hashlib"] = None
    main()
