# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's arm64 kernel on virtio disks.

The ring engine's own fences run on the host whatever the guest is; what is
of another architecture here is the driver and the machine.
"""

import hashlib
import os

import arm64
import pytest

SIZE = 4 << 20
HALF = SIZE // 2

# Reads the first half and writes its bytes, backwards by 64 KiB, to the second
SCRIPT = """
set -e
cat /sys/bus/virtio/drivers/virtio_blk/virtio*/features
dd if=/dev/vda bs=64k count=32 2>/dev/null | sha256sum
for i in $(seq 0 31); do
    dd if=/dev/vda of=/tmp/x bs=64k count=1 skip=$i 2>/dev/null
    dd if=/tmp/x of=/dev/vda bs=64k count=1 seek=$((63 - i)) 2>/dev/null
done
sync
echo "entropy $(dd if=/dev/hwrng bs=4096 count=1 2>/dev/null | wc -c)"
"""

VERSION_1, RING_PACKED = 32, 34


@pytest.mark.parametrize("choice", ["auto", "stock"])
@pytest.mark.parametrize("transport, features", [
    ("pci,disable-legacy=on,packed=on", (VERSION_1, RING_PACKED)),
    ("pci,disable-legacy=on", (VERSION_1,)),
    ("device", ()),
], ids=["pci-packed", "pci-split", "mmio"])
def test_a_disk_reads_and_writes(tmp_path, transport, features, choice):
    """Both halves are compared by the host."""
    disk, data = tmp_path / "disk", os.urandom(HALF)
    disk.write_bytes(data + bytes(HALF))
    said = arm64.run(SCRIPT, [
        "-drive", f"if=none,id=d,format=raw,file={disk}",
        "-device", f"virtio-blk-{transport},drive=d,x-ring={choice}",
        "-device", f"virtio-rng-{transport},x-ring={choice}"], tmp_path)
    bits = next(line for line in said.splitlines()
                if len(line) >= 64 and not set(line) - {"0", "1"})
    assert all(bits[bit] == "1" for bit in features), bits
    assert hashlib.sha256(data).hexdigest() in said, said[-2000:]
    assert "entropy 4096" in said
    blocks = [data[at:at + 65536] for at in range(0, HALF, 65536)]
    assert disk.read_bytes() == data + b"".join(reversed(blocks))
