# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's drivers behind a vIOMMU: each byte arrives, with the IOTLB or not.

Rings of 1024 entries are made of pages that are apart; Linux maps each buffer
for its request (strict: and waits for the unmap), so IOVAs are used again and
again with other pages behind them.
"""

import pytest

from vadis import vfioblk
from vadis.machine import escape
from vmtest import VM

DISK = 32 << 20
NODES = {"blk": "/machine/peripheral/disk/virtio-backend",
         "scsi": "/machine/peripheral/bus/virtio-backend"}

# Each thread writes random blocks of its own part past the page cache, and
# reads them again in another order; sizes from one page to 64.
VERIFY = r"""
import mmap, os, random, sys, threading
path, size, seconds = sys.argv[1], int(sys.argv[2]), 4
PARTS, BLOCK, ROUNDS = 4, 1 << 16, 6
part = size // PARTS
bad = []
def work(n):
    rng = random.Random(n)
    fd = os.open(path, os.O_RDWR | os.O_DIRECT)
    buf = mmap.mmap(-1, 4 * BLOCK)
    for turn in range(ROUNDS):
        sums = {}
        for _ in range(24):
            length = 4096 << rng.randrange(7)
            at = n * part + rng.randrange((part - length) // 4096) * 4096
            data = rng.randbytes(length)
            buf[:length] = data
            view = memoryview(buf)[:length]
            assert os.pwritev(fd, [view], at) == length
            view.release()
            sums = {a: d for a, d in sums.items()
                    if a + len(d) <= at or a >= at + length}
            sums[at] = data
        for at, data in sorted(sums.items(), key=lambda i: rng.random()):
            view = memoryview(buf)[:len(data)]
            assert os.preadv(fd, [view], at) == len(data)
            view.release()
            if buf[:len(data)] != data:
                bad.append((turn, at, len(data)))
threads = [threading.Thread(target=work, args=(n,)) for n in range(PARTS)]
[t.start() for t in threads]
[t.join() for t in threads]
print("bad:", bad)
sys.exit(bool(bad))
"""

CASES = [(iommu, strict, iotlb, packed)
         for iommu, strict in (("intel-iommu", "1"), ("intel-iommu", "0"),
                               ("virtio-iommu", "1"))
         for iotlb, packed in (("on", True), ("on", False), ("off", True))]


def settings(iommu, strict, iotlb, disk):
    device, append, modules = vfioblk.IOMMUS[iommu]
    common = f"disable-legacy=on,iommu_platform=on,x-iotlb={iotlb}"
    return {
        "devices": [
            device,
            f"virtio-blk-pci,drive=d0,id=disk,serial=blk,queue-size=1024,"
            f"iothread=io0,{common}",
            f"virtio-scsi-pci,id=bus,virtqueue_size=1024,{common}",
            "scsi-hd,bus=bus.0,drive=d1,serial=scsi"],
        "args": ["-object", "iothread,id=io0",
                 "-drive", f"if=none,id=d0,format=raw,file={escape(disk)}",
                 "-drive", "if=none,id=d1,driver=null-co,size=1M"],
        "modules": ["virtio_scsi", "sd_mod", *modules],
        "append": f"{append} iommu.strict={strict}",
    }


@pytest.mark.parametrize(
    "iommu,strict,iotlb,packed", CASES,
    ids=[f"{i}-{'strict' if s == '1' else 'lazy'}-"
         f"{'iotlb' if t == 'on' else 'no-iotlb'}-"
         f"{'packed' if p else 'split'}" for i, s, t, p in CASES])
def test_data(iommu, strict, iotlb, packed, tmp_path):
    disk = tmp_path / "image"
    with open(disk, "wb") as image:
        image.truncate(DISK)
    with VM(name="iotlb", kernel="6.12", packed=packed, smp=2,
            **settings(iommu, strict, iotlb, disk)) as vm:
        node = vm.run(["sh", "-c", "grep -lx blk /sys/block/*/serial"],
                      check=True).text.split("/")[3]
        said = vm.run(["python3", "-c", VERIFY, f"/dev/{node}", str(DISK)],
                      timeout=300)
        assert said.returncode == 0, said.text
        status = vm.qmp("x-query-virtio-queue-status", path=NODES["blk"],
                        queue=0)
        assert status["ring"]["engine"].startswith(
            "vadis" if iotlb == "on" else "stock: behind an IOMMU")
        if iotlb == "on":
            info = {i["path"]: i for i in vm.qmp("x-query-virtio-iotlb")}
            blk = info[NODES["blk"]]
            print(iommu, strict, blk)
            assert blk["iommus"] == 1 and blk["usable"]
            assert blk["hits"] > 0 and blk["faults"] == 0
            assert blk["invalidations"] > 0
