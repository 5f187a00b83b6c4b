# SPDX-License-Identifier: GPL-2.0-or-later
"""Stopping an IOThread's queues while another device writes to ours.

No guest runs: the driver's part is played over qtest, whose commands arrive
back to back and so meet in one pass of the main loop.
"""

import socket
import subprocess

import pytest

from qtestpci import QTest, STATUS, VirtioPci
from vadis import paths
from vmtest import DEADLINE

VERSION_1 = 1 << 32
OURS, OTHER = 4, 5
# Guest memory: rings of ours and of the other device, a request header, data.
RING, OTHER_RING, HEADER, DATA = 0x100000, 0x200000, 0x300000, 0x310000


@pytest.fixture
def qtest():
    """A machine with virtio-echo on an IOThread and virtio-blk without."""
    ours, theirs = socket.socketpair()
    ours.settimeout(DEADLINE)
    process = subprocess.Popen(
        [paths.qemu(), *paths.firmware_args(paths.qemu()), "-machine", "pc",
         "-accel", "qtest", "-display", "none", "-nodefaults", "-m", "64",
         "-chardev", f"socket,id=qtest,fd={theirs.fileno()}",
         "-qtest", "chardev:qtest", "-qtest-log", "none",
         "-object", "iothread,id=io0",
         "-drive", "if=none,id=zero,driver=null-co,size=1M,read-zeroes=on",
         "-device", f"virtio-echo-pci,addr={OURS},iothread=io0",
         "-device", f"virtio-blk-pci,drive=zero,addr={OTHER},"
                    "ioeventfd=off,disable-legacy=on"],
        pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True)
    theirs.close()
    try:
        yield QTest(ours), ours, process
    finally:
        process.kill()
        process.communicate()


def put_request(qtest, desc, segments):
    """One split chain of (address, length, device writes) as request 0."""
    for i, (addr, length, write) in enumerate(segments):
        more = i + 1 < len(segments)
        qtest.put(desc + 16 * i, "QIHH", addr, length,
                  (1 if more else 0) | (2 if write else 0), i + 1)
    qtest.put(desc + 0x8000, "HHH", 0, 1, 0)


def test_a_reset_by_dma_during_a_stop_is_one_stop(qtest):
    """virtio-blk reads a zero into our status while our bus master bit goes.

    Both stop our queues. Run inside each other they would release the host
    notifiers twice, which ends QEMU.
    """
    qtest, connection, process = qtest
    ours = VirtioPci(qtest, OURS, 0xe0000000)
    other = VirtioPci(qtest, OTHER, 0xe1000000)
    ours.negotiate(VERSION_1)
    ours.queue(16, RING, RING + 0x8000, RING + 0x10000)
    qtest.put(HEADER, "IIQ", 0, 0, 0)
    other.negotiate(VERSION_1)
    put_request(qtest, OTHER_RING, [
        (HEADER, 16, False), (ours.common + STATUS, 1, True),
        (DATA, 511, True), (DATA + 600, 1, True)])
    other.queue(16, OTHER_RING, OTHER_RING + 0x8000, OTHER_RING + 0x10000)
    kick = f"writew {other.notify_addr():#x} 0"
    bus_master_off = (f"outl 0xcf8 {0x80000004 | OURS << 11:#x}",
                      "outw 0xcfc 2")
    connection.sendall("".join(
        line + "\n" for line in (kick, *bus_master_off)).encode())
    for _ in range(3):
        assert qtest.answer() == [], "QEMU did not take the command"
    # The disk's completion may come after the stop; QEMU serves it before it
    # answers again only if it lives, so look until the status is used.
    qtest.command("clock_step")
    assert process.poll() is None
    assert qtest.load(1, ours.common + STATUS) == 0
