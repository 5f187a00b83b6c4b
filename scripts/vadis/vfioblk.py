# SPDX-License-Identifier: GPL-2.0-or-later
"""guest/tools/vfio-blk: a disk behind a vIOMMU, driven from user space.

Shared by the demo and the guest tests.
"""

import hashlib
import os
import subprocess
import tempfile

from . import paths
from .errors import Failure
from .machine import escape

SOURCE = paths.TOP / "guest/tools/vfio-blk"
LIBRARY = paths.TOP / "guest/lib"
PROGRAM = "/run/vadis/vfio-blk"         # in the guest
MODULES = ("vfio_iommu_type1", "vfio-pci")

# name: (-device of the IOMMU, the kernel's command line, modules)
IOMMUS = {
    "intel-iommu": ("intel-iommu,intremap=on", "intel_iommu=on", ()),
    "virtio-iommu": ("virtio-iommu-pci", "", ("virtio-iommu",)),
}

# $1: the device's PCI address. Interrupts are not used by the program; a
# vIOMMU without interrupt remapping asks for this word nevertheless.
BIND = """
device=/sys/bus/pci/devices/$1
echo 1 > /sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts
[ ! -e $device/driver ] || echo $1 > $device/driver/unbind
echo vfio-pci > $device/driver_override
echo $1 > /sys/bus/pci/drivers_probe
[ "$(basename $(readlink $device/driver))" = vfio-pci ]
"""


def build():
    """The compiled program, static; a path in the cache."""
    sources = sorted([*SOURCE.glob("*.[ch]"), *LIBRARY.glob("*.h")])
    digest = hashlib.sha256(b"".join(s.read_bytes() for s in sources))
    binary = paths.cache("agent") / f"vfio-blk-{digest.hexdigest()[:16]}"
    if binary.is_file():
        return binary
    with tempfile.TemporaryDirectory(dir=binary.parent) as directory:
        new = f"{directory}/vfio-blk"
        compiler = os.environ.get("CC", "gcc").split()
        done = subprocess.run(
            [paths.tool(compiler[0], "gcc"), *compiler[1:], "-O2", "-Wall",
             "-static", f"-I{LIBRARY}", "-o", new,
             *(s for s in sources if s.suffix == ".c")],
            capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failure(f"cannot compile {SOURCE}: "
                          f"{done.stderr.strip()[:400]}",
                          "Install gcc and libc6-dev: scripts/install-deps")
        os.replace(new, binary)
    return binary


def settings(iommu, disk, slot, extra=""):
    """Keyword arguments for a VM with a disk image behind an IOMMU.

    :param iommu: a key of IOMMUS
    :param slot: PCI slot of the disk on bus 0
    :param extra: more properties of the disk, beginning with a comma
    """
    device, append, modules = IOMMUS[iommu]
    return {
        "devices": [device, f"virtio-blk-pci,drive=user0,id=user,addr={slot:#x}"
                    f",disable-legacy=on,iommu_platform=on{extra}"],
        "args": ["-drive", "if=none,id=user0,format=raw,file=" +
                 escape(str(disk))],
        "modules": [*MODULES, *modules],
        "append": append,
        "files": {"vfio-blk": build()},
    }
