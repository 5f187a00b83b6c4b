# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs of guest/tools, compiled for a guest.

They are static, because an initramfs has no libraries, and kept below
build/cache by the sum of all they may include.
"""

import hashlib
import os
import subprocess

from . import paths
from .errors import Failure

TOOLS = paths.TOP / "guest/tools"
# What a program may include from elsewhere, and where from. The kernel's own
# headers come first: only those it lacks are taken from here.
HEADERS = ("guest/lib/*.h", "guest/lib/shim/*/*.h", "guest/linux/*/*_abi.h",
           "hw/virtio/ring/*.h", "include/standard-headers/linux/*.h")
INCLUDES = ("-I{top}", "-I{top}/guest/lib", "-I{top}/guest/lib/shim",
            "-I{top}/guest/linux/virtio_signal",
            "-idirafter{top}/include",
            "-idirafter{top}/include/standard-headers")
# What a program has beside the sources in its own directory
RING_CORE = tuple(f"hw/virtio/ring/{name}.c"
                  for name in ("chain", "packed", "quick", "ring",
                               "split"))
SOURCES = {"vhost-pci-blk": RING_CORE}
LIBRARIES = {"agent": ("-lutil",)}


def names():
    return sorted(path.name for path in TOOLS.iterdir() if path.is_dir())


def build(name):
    """Path of the compiled program guest/tools/NAME."""
    own = TOOLS / name
    sources = [*sorted(own.glob("*.c")),
               *(paths.TOP / path for path in SOURCES.get(name, ()))]
    headers = [header for pattern in HEADERS
               for header in sorted(paths.TOP.glob(pattern))]
    digest = hashlib.sha256()
    for path in [*sources, *sorted(own.glob("*.h")), *headers]:
        digest.update(path.read_bytes())
    binary = paths.cache("tools") / f"{name}-{digest.hexdigest()[:16]}"
    return paths.made_once(binary, lambda new: _compile(
        own, [*sources, *LIBRARIES.get(name, ())], new))


def _compile(own, inputs, binary):
    compiler = os.environ.get("CC", "gcc").split()
    done = subprocess.run(
        [paths.tool(compiler[0], "gcc"), *compiler[1:], "-O2", "-g",
         "-Wall", "-Werror", "-static",
         *(flag.format(top=paths.TOP) for flag in INCLUDES),
         "-o", binary, *inputs],
        capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(f"cannot compile {own}",
                      *done.stderr.strip().splitlines()[-12:],
                      "Install gcc and libc6-dev: scripts/install-deps")
