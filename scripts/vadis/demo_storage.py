# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows for devices that keep data: virtio-blk, -scsi, -pmem and -9p."""

import os
import subprocess

from .demo_row import BUSYBOX, Row, digest, expect, only, row, size
from .errors import Failure

DISK = 64 << 20
AMOUNT = 1 << 20
OFFSET = 1 << 20
TAG = "vadis.demo"


def write_random(pattern, amount, offset):
    """In the guest: write random data to a block device and flush it."""
    data = os.urandom(amount)
    fd = os.open("/dev/" + os.path.basename(only(pattern)), os.O_RDWR)
    try:
        os.pwrite(fd, data, offset)
        os.fsync(fd)
    finally:
        os.close(fd)
    return digest(data)


class Disk(Row):
    """A block device: random data, flushed, must outlive a reboot."""
    blocks = None                       # below the virtio device in sysfs
    disk_id = None                      # QEMU's name in its statistics

    def __init__(self):
        self.sum = None

    def make_file(self, demo):
        self.file = demo.path(self.device_id)
        with open(self.file, "wb") as image:
            image.truncate(DISK)
        return self.file

    def host_sum(self):
        with open(self.file, "rb") as image:
            image.seek(OFFSET)
            return digest(image.read(AMOUNT))

    def work(self, demo):
        before = self.flush_state(demo)
        self.sum = demo.call(write_random, amount=AMOUNT, offset=OFFSET,
                             pattern=demo.sysfs(self) + self.blocks)
        expect(self.flush_state(demo) != before,
               "the guest's flush did not reach the device")
        expect(self.host_sum() == self.sum,
               f"the host's file has sum {self.host_sum()[:16]}, the guest "
               f"wrote {self.sum[:16]}")
        return f"wrote {size(AMOUNT)} of random data, flushed"

    def again(self, demo):
        found = demo.shell(
            f"device=$(echo {demo.sysfs(self)}{self.blocks})\n"
            f"tail -c +{OFFSET + 1} /dev/${{device##*/}} |"
            f"head -c {AMOUNT} | sha256sum").split()[0]
        expect(found == self.sum, f"after the reboot the sum is {found[:16]}, "
               f"{self.sum[:16]} was written")
        return f"same SHA-256 {found[:8]} after reboot"

    def flush_state(self, demo):
        """Something that changes with each flush QEMU does for the disk."""
        for disk in demo.vm.qmp("query-blockstats"):
            # For virtio-blk, QEMU names the backend, a child of the device.
            if self.disk_id in disk.get("qdev", "").split("/"):
                return disk["stats"]["flush_operations"]
        raise Failure(f"query-blockstats does not know {self.disk_id}")


@row
class Blk(Disk):
    name = "virtio-blk"
    blocks = "/block/*"
    disk_id = "demo-blk"

    def plan(self, demo):
        demo.args("-drive", "if=none,id=blk0,format=raw,file=" +
                  demo.escape(self.make_file(demo)))
        demo.device(self, "virtio-blk-pci,drive=blk0")


@row
class RingEngine(Disk):
    """A disk with upstream's ring code among queues that the engine serves."""
    name = "x-ring=stock"
    device_id = "demo-stock"
    disk_id = "demo-stock"
    blocks = "/block/*"

    def plan(self, demo):
        demo.args("-drive", "if=none,id=stock0,format=raw,file=" +
                  demo.escape(self.make_file(demo)))
        demo.device(self, "virtio-blk-pci,drive=stock0,x-ring=stock")

    def work(self, demo):
        super().work(demo)
        mine = demo.queue(self, 0)["ring"]
        expect(mine["engine"] == "stock: x-ring=stock",
               f"its queue is served by '{mine['engine']}'")
        rings = [demo.vm.qmp("x-query-virtio-queue-status", path=path,
                             queue=0)["ring"]
                 for path in self.others(demo)]
        # Another row may have taken a device from its driver just now.
        rings = [ring for ring in rings
                 if ring["engine"] != "stock: the queue is not set up"]
        for ring in rings:
            expect(ring["engine"].startswith("vadis: packed"),
                   f"a queue is served by '{ring['engine']}'")
        requests = sum(ring["counters"]["requests"] for ring in rings)
        expect(requests, "the engine has served no request")
        return (f"disk served by upstream's ring code; the engine served "
                f"{requests} requests of {len(rings)} other devices")

    def others(self, demo):
        return [device["path"] for device in demo.vm.qmp("x-query-virtio")
                if f"/{self.device_id}/" not in device["path"]]


@row
class Scsi(Disk):
    name = "virtio-scsi"
    blocks = "/host*/target*/*/block/*"
    disk_id = "demo-scsi-disk"

    def plan(self, demo):
        demo.args("-drive", "if=none,id=scsi0,format=raw,file=" +
                  demo.escape(self.make_file(demo)))
        demo.device(self, "virtio-scsi-pci")
        demo.extra_device(f"scsi-hd,drive=scsi0,id={self.disk_id},"
                          f"bus={self.device_id}.0")


@row
class Pmem(Disk):
    """Memory of the host; the device only carries flushes."""
    name = "virtio-pmem"
    blocks = "/ndbus*/region*/namespace*/block/*"

    def plan(self, demo):
        demo.args("-object", f"memory-backend-file,id=pmem0,share=on,"
                  f"size={DISK},mem-path="
                  f"{demo.escape(self.make_file(demo))}")
        demo.device(self, "virtio-pmem-pci,memdev=pmem0")

    def flush_state(self, demo):
        """Where the request queue is; all its requests are flushes."""
        queue = demo.queue(self, 0)
        return queue["last-avail-idx"], queue.get("last-avail-wrap-counter")


@row
class NineP(Row):
    """A directory of the host; one file each way."""
    name = "virtio-9p"
    mount = "/run/vadis-demo-9p"

    def plan(self, demo):
        self.directory = demo.path("share")
        os.mkdir(self.directory)
        self.data = os.urandom(AMOUNT)
        with open(f"{self.directory}/from host", "wb") as out:
            out.write(self.data)
        demo.args("-fsdev", "local,id=share,security_model=none,path=" +
                  demo.escape(self.directory))
        demo.device(self, f"virtio-9p-pci,fsdev=share,mount_tag={TAG}")

    def work(self, demo):
        read, wrote = demo.call(self.exchange, tag=TAG, directory=self.mount,
                                amount=AMOUNT)
        expect(read == digest(self.data), f"the guest read a file with sum "
               f"{read[:16]}, the host wrote {digest(self.data)[:16]}")
        with open(f"{self.directory}/from guest", "rb") as data:
            found = digest(data.read())
        expect(found == wrote, f"the host sees a file with sum {found[:16]}, "
               f"the guest wrote {wrote[:16]}")
        return f"{size(AMOUNT)} read and {size(AMOUNT)} written, same sums"

    @staticmethod
    def exchange(tag, directory, amount):
        os.makedirs(directory)
        subprocess.run([BUSYBOX, "mount", "-t", "9p", "-o",
                        "trans=virtio,version=9p2000.L,msize=262144", tag,
                        directory], check=True)
        with open(f"{directory}/from host", "rb") as data:
            read = digest(data.read())
        own = os.urandom(amount)
        with open(f"{directory}/from guest", "wb") as out:
            out.write(own)
        return read, digest(own)
