# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian packages with all they depend on, unpacked and not installed.

They are kept under build/cache. Their programs run there by the dynamic
loader that came with them, so it does not matter which release this machine
runs.
"""

import json
import pathlib
import re
import subprocess
import tempfile

from . import paths
from .errors import Failure
from .progress import step

# Raise it when the layout below build/cache/unpacked changes.
LAYOUT = 1
LIBRARIES = "usr/lib/x86_64-linux-gnu"


def _fetch(suite, package, into):
    done = subprocess.run(
        [paths.SCRIPTS / "apt-private", "closure", suite, package, into],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        check=False)
    if done.returncode:
        raise Failure(f"cannot fetch {package} of {suite}",
                      *done.stderr.strip().splitlines()[-4:])


def _unpack(home, suite, package, skip, finish):
    with tempfile.TemporaryDirectory(dir=paths.cache("debs")) as debs:
        _fetch(suite, package, debs)
        names = sorted(path.name for path in pathlib.Path(debs).glob("*.deb")
                       if path.name.startswith(f"{package}_") or
                       not (skip and re.search(skip, path.name)))
        with paths.writable(home), paths.replacing(home) as new:
            for name in names:
                subprocess.run(["dpkg-deb", "-x", f"{debs}/{name}", new],
                               check=True)
            finish(new)
            (new / "record.json").write_text(json.dumps(
                {"layout": LAYOUT, "packages": names}, indent=1) + "\n")


def _there(home):
    try:
        record = json.loads((home / "record.json").read_text())
    except (OSError, ValueError):
        return False
    return record.get("layout") == LAYOUT


def get(suite, package, skip="", finish=lambda home: None):
    """The directory that holds a package's tree.

    :param skip: pattern of names of files that need not be unpacked
    :param finish: called with the new directory before it is put in place
    """
    home = paths.cache("unpacked") / f"{suite}-{package}"
    if not _there(home):
        with paths.locked(f"{home}.lock"):
            if not _there(home):
                with step(f"fetching {package} and its libraries from "
                          f"{suite}"):
                    _unpack(home, suite, package, skip, finish)
    return home
