# SPDX-License-Identifier: GPL-2.0-or-later
"""guest/tools/vfio-blk: a disk behind a vIOMMU, driven from user space.

Shared by the demo and the guest tests.
"""

from . import guesttool
from .machine import escape

PROGRAM = "/run/vadis/vfio-blk"         # in a guest on the host's root
MODULES = ("vfio_iommu_type1", "vfio-pci")

# name: (-device of the IOMMU, the kernel's command line, modules). No IOMMU is
# behind itself, whatever all virtio devices are told.
IOMMUS = {
    "intel-iommu": ("intel-iommu,id=iommu0,intremap=on", "intel_iommu=on",
                    ()),
    "virtio-iommu": ("virtio-iommu-pci,id=iommu0,iommu_platform=off", "",
                     ("virtio-iommu",)),
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


# The IOMMU's object, for qom-get
IOMMU_NODES = {
    "intel-iommu": "/machine/peripheral/iommu0",
    "virtio-iommu": "/machine/peripheral/iommu0/virtio-backend",
}
DISK_NODE = "/machine/peripheral/user/virtio-backend"


def settings(iommu, disk, slot, extra="", drive=""):
    """Keyword arguments for a VM with a disk image behind an IOMMU.

    :param iommu: a key of IOMMUS
    :param slot: PCI slot of the disk on bus 0
    :param extra: more properties of the disk, beginning with a comma
    :param drive: more of its -drive, beginning with a comma
    """
    device, append, modules = IOMMUS[iommu]
    return {
        "devices": [device, f"virtio-blk-pci,drive=user0,id=user,addr={slot:#x}"
                    f",disable-legacy=on,iommu_platform=on{extra}"],
        "args": ["-drive", "if=none,id=user0,format=raw,file=" +
                 escape(str(disk)) + drive],
        "modules": [*MODULES, *modules],
        "append": append,
        "files": {"vfio-blk": guesttool.build("vfio-blk")},
    }
