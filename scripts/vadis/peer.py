# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's own QEMU 10.0, the other end of migration tests."""

from . import unpacked

SUITE, PACKAGE = "trixie", "qemu-system-x86"
PROGRAM = "qemu-system-x86_64"

# The loader that the program names is the machine's own; run Debian 13's.
WRAPPER = f"""#!/bin/sh
# Debian's QEMU on its own libraries
home=$(dirname "$(realpath "$0")")
QEMU_MODULE_DIR=$home/{unpacked.LIBRARIES}/qemu
export QEMU_MODULE_DIR
exec "$home/{unpacked.LIBRARIES}/ld-linux-x86-64.so.2" \\
    --library-path "$home/{unpacked.LIBRARIES}" "$home/usr/bin/{PROGRAM}" \\
    -L "$home/usr/share/qemu" -L "$home/usr/share/seabios" "$@"
"""


def _write_wrapper(home):
    (home / PROGRAM).write_text(WRAPPER)
    (home / PROGRAM).chmod(0o755)


def get():
    """Path of a program that runs Debian's qemu-system-x86_64."""
    return unpacked.get(SUITE, PACKAGE, finish=_write_wrapper) / PROGRAM
