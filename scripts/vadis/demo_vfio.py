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
ROUNDS, SLOW = 5, 200                   # requests a second
VIRTIO_ID_BLOCK = 2


class UserDriver(Row):
    """The driver writes, reads back, and has its memory taken away.

    For that the disk gets slow, so that reads are in flight and unmaps have
    to wait.
    """
    own_machine = True

    def plan(self, demo):
        self.file = demo.path(self.device_id)
        with open(self.file, "wb") as image:
            image.truncate(DISK)

    def work(self, demo):
        # A root of its own: programs of the host's take time to start.
        with demo.machine(VM(
                name=self.device_id, kernel=kernel.DEFAULT, root="initramfs",
                memory="256M", **vfioblk.settings(
                    self.name, self.file, SLOT, ",request-merging=off"))
                          ) as vm:
            vm.run(["sh", "-ec", vfioblk.BIND, "sh", ADDRESS],
                   timeout=PATIENCE, check=True)
            said = self.drive(vm, "--blocks", str(BLOCKS))
            bits = re.search(r"features 0x([0-9a-f]+)", said)
            expect(bits, f"the driver said: {said[:200]}")
            vm.monitor.command("block_set_io_throttle", {
                "id": vfioblk.DISK_NODE, "iops": SLOW, "iops_rd": 0,
                "iops_wr": 0, "bps": 0, "bps_rd": 0, "bps_wr": 0})
            late = re.search(
                r"(\d+) bytes written after", self.drive(
                    vm, "--blocks", "16", "--slow", "4", "--rounds",
                    str(ROUNDS), "--hostile", "remap"))
            expect(late and late[1] == "0",
                   f"{late and late[1]} bytes were written to memory that "
                   "the device had no more")
            waited = self.waited(vm)
        demo.saw_features(self, int(bits[1], 16), VIRTIO_ID_BLOCK)
        with open(self.file, "rb") as image:
            data = image.read(BLOCKS * BLOCK)
        expect(len(set(data)) == 256, "the host's file lacks the data")
        return (f"vfio-pci driver in user space: {BLOCKS * BLOCK >> 20} MiB "
                f"both ways, sum {digest(data)[:8]}; buffers taken away "
                f"{ROUNDS} times during reads: {waited}, 0 bytes written "
                "after, disk intact")

    @staticmethod
    def drive(vm, *words):
        return vm.run(["/vfio-blk", ADDRESS, *words], timeout=PATIENCE,
                      check=True).text

    def waited(self, vm):
        """How long unmaps waited for reads, in words; nothing may be left."""
        def read(node, name):
            return vm.qmp("qom-get", path=node, property=name)

        iommu = vfioblk.IOMMU_NODES[self.name]
        drains, ns = read(iommu, "x-iommu-drains"), \
            read(iommu, "x-iommu-drain-ns")
        expect(drains, "no unmap waited for a read in flight")
        expect(read(vfioblk.DISK_NODE, "x-iommu-in-flight") == 0 and
               read(iommu, "x-iommu-drain-parked") == 0,
               "something is in flight for ever")
        return (f"the answer to {drains} invalidations was held back for "
                f"{ns / 1e6:.0f} ms")


@row
class Intel(UserDriver):
    name = "intel-iommu"


@row
class Virtio(UserDriver):
    name = "virtio-iommu"
