# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows for vIOMMUs: a disk that a user-space driver in the guest has.

Each IOMMU needs a machine of its own. Its kernel is the default one, the
first of Debian's that has a driver for both.
"""

import re

from . import kernel, vfioblk
from .demo_row import PATIENCE, Row, digest, expect, row
from .vm import VM

SLOT = 0x12
ADDRESS = f"0000:00:{SLOT:02x}.0"
DISK = 4 << 20
BLOCKS, BLOCK = 64, 16 << 10
VIRTIO_ID_BLOCK = 2


class UserDriver(Row):
    """The driver writes, reads back, and has its memory taken away."""
    own_machine = True

    def plan(self, demo):
        self.file = demo.path(self.device_id)
        with open(self.file, "wb") as image:
            image.truncate(DISK)

    def work(self, demo):
        with demo.machine(VM(name=self.device_id, kernel=kernel.DEFAULT,
                             **vfioblk.settings(self.name, self.file,
                                                SLOT))) as vm:
            vm.run(["sh", "-ec", vfioblk.BIND, "sh", ADDRESS],
                   timeout=PATIENCE, check=True)
            said = vm.run([vfioblk.PROGRAM, ADDRESS, "--blocks", str(BLOCKS),
                           "--hostile", "remap"], timeout=PATIENCE,
                          check=True).text
        bits = re.search(r"features 0x([0-9a-f]+)", said)
        rounds = re.search(r"hostile remap: (\d+) rounds", said)
        expect(bits and rounds, f"the driver said: {said[:200]}")
        demo.saw_features(self, int(bits[1], 16), VIRTIO_ID_BLOCK)
        with open(self.file, "rb") as image:
            data = image.read(BLOCKS * BLOCK)
        expect(len(set(data)) == 256, "the host's file lacks the data")
        return (f"vfio-pci driver in user space: {BLOCKS * BLOCK >> 20} MiB "
                f"both ways, sum {digest(data)[:8]}; buffers remapped "
                f"{rounds[1]} times during reads, disk intact")


@row
class Intel(UserDriver):
    name = "intel-iommu"


@row
class Virtio(UserDriver):
    name = "virtio-iommu"
