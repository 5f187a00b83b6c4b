# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's own QEMU 10.0, the other end of migration tests.

Its packages and everything they depend on are unpacked under build/cache and
run there by their own dynamic loader, so it does not matter which release
this machine runs and nothing is installed.
"""

import json
import pathlib
import subprocess
import tempfile

from . import paths
from .errors import Failure
from .progress import step

SUITE, PACKAGE = "trixie", "qemu-system-x86"
# Raise it when the layout below build/cache/peer changes.
LAYOUT = 1
LIBRARIES = "usr/lib/x86_64-linux-gnu"

# The loader that the program names is the machine's own; run Debian 13's.
WRAPPER = """#!/bin/sh
# Debian's QEMU on its own libraries
home=$(dirname "$(realpath "$0")")
QEMU_MODULE_DIR=$home/{lib}/qemu
export QEMU_MODULE_DIR
exec "$home/{lib}/ld-linux-x86-64.so.2" --library-path "$home/{lib}" \\
    "$home/usr/bin/qemu-system-x86_64" \\
    -L "$home/usr/share/qemu" -L "$home/usr/share/seabios" "$@"
"""


def _unpack(home):
    with tempfile.TemporaryDirectory(dir=paths.cache("debs")) as debs:
        done = subprocess.run(
            [paths.SCRIPTS / "apt-private", "closure", SUITE, PACKAGE, debs],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            check=False)
        if done.returncode:
            raise Failure(f"cannot fetch {PACKAGE} of {SUITE}",
                          *done.stderr.strip().splitlines()[-4:])
        with paths.writable(home), paths.replacing(home) as new:
            packages = sorted(p.name for p in pathlib.Path(debs).glob("*.deb"))
            for name in packages:
                subprocess.run(["dpkg-deb", "-x", f"{debs}/{name}", new],
                               check=True)
            wrapper = new / "qemu-system-x86_64"
            wrapper.write_text(WRAPPER.format(lib=LIBRARIES))
            wrapper.chmod(0o755)
            (new / "record.json").write_text(json.dumps(
                {"layout": LAYOUT, "packages": packages}, indent=1) + "\n")


def _there(home):
    try:
        record = json.loads((home / "record.json").read_text())
    except (OSError, ValueError):
        return False
    return record.get("layout") == LAYOUT


def get():
    """Path of a program that runs Debian's qemu-system-x86_64."""
    home = paths.cache("peer") / "debian"
    if not _there(home):
        with paths.locked(paths.cache("peer") / ".lock"):
            if not _there(home):
                with step(f"fetching Debian's QEMU from {SUITE}"):
                    _unpack(home)
    return home / "qemu-system-x86_64"
