# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs of guest/tools that tests and the demo put into guests.

They are compiled when needed, static, because an initramfs has no libraries,
and kept below build/cache by the sum of their sources.
"""

import hashlib
import os
import subprocess

from . import paths
from .errors import Failure

# Sources and include directories of each, below the top
VHOST_PCI_BLK = (
    ("guest/tools/vhost-pci-blk/*.c",
     "hw/virtio/ring/chain.c", "hw/virtio/ring/packed.c",
     "hw/virtio/ring/ring.c", "hw/virtio/ring/split.c"),
    (".", "tests/ringdev/shim", "include", "guest/lib"),
    ("guest/tools/vhost-pci-blk/*.h", "hw/virtio/ring/*.h", "guest/lib/*.h",
     "include/standard-headers/linux/virtio_vhost_pci.h"))


def _files(patterns):
    return [path for pattern in patterns
            for path in sorted(paths.TOP.glob(pattern))]


def build(name, program):
    """The compiled program.

    :param program: VHOST_PCI_BLK or another such tuple
    """
    sources, includes, headers = program
    digest = hashlib.sha256(b"".join(
        path.read_bytes() for path in _files(sources) + _files(headers)))
    binary = paths.cache("programs") / f"{name}-{digest.hexdigest()[:16]}"
    if not binary.is_file():
        new = binary.with_suffix(f".{os.getpid()}")
        done = subprocess.run(
            [paths.tool("gcc", "gcc"), "-O2", "-g", "-Wall", "-Werror",
             "-static", *(f"-I{paths.TOP / path}" for path in includes),
             "-o", new, *_files(sources)],
            capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failure(f"cannot compile {name}: "
                          f"{done.stderr.strip()[:400]}",
                          "Install gcc and libc6-dev: scripts/install-deps")
        new.rename(binary)
    return binary


def vhost_pci_blk():
    return build("vhost-pci-blk", VHOST_PCI_BLK)
