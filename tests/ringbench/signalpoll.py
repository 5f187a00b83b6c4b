#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest's CPUs save that poll for signals, under TCG.

usage: signalpoll.py [ROUNDS [PINGS]]       prints JSON

Two CPUs of one guest play ping-pong, by turns with and without polling.
"""

import json
import pathlib
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(TOP / "tests"), str(TOP / "scripts")]

# pylint: disable=wrong-import-position
import signalpair                   # noqa: E402
from vadis.errors import Failure    # noqa: E402

WAIT_NS = 4 * 10 ** 9


def measure(rounds=5, pings=1500):
    """{"poll", "sleep": what ping_pong() returns, for each round}, or
    {"skipped": why} where there is no guest to be had."""
    device = f"virtio-signal-pci,id=sig0,poll=on,poll-ns-max={WAIT_NS}"
    found = {"poll": [], "sleep": []}
    try:
        machine = signalpair.guest("poll", device, smp=2, packed=True)
    except Failure as err:
        return {"skipped": str(err)}
    with machine:
        signalpair.load(machine)
        for _ in range(rounds):
            for name, wait in (("poll", WAIT_NS), ("sleep", 0)):
                found[name].append(signalpair.ping_pong(machine, pings, wait))
    return found


if __name__ == "__main__":
    print(json.dumps(measure(*map(int, sys.argv[1:]))))
