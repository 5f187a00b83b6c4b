# SPDX-License-Identifier: GPL-2.0-or-later
"""The notification port of modern-pio-notify, with NOTIFICATION_DATA.

No guest runs: the driver's part is played over qtest.
"""

import socket
import subprocess

import pytest

from qtestpci import QTest, VirtioPci
from vadis import paths
from vmtest import DEADLINE

VERSION_1, NOTIFICATION_DATA = 1 << 32, 1 << 38
SLOT, PORT, SIZE, TURNS = 4, 0xc000, 16, 1000
RING, HEADER, DATA = 0x100000, 0x300000, 0x310000
AVAIL, USED = RING + 0x8000, RING + 0x10000


@pytest.fixture
def qtest():
    """A machine with one virtio-blk of zeroes, notified through a port."""
    ours, theirs = socket.socketpair()
    ours.settimeout(DEADLINE)
    process = subprocess.Popen(
        [paths.qemu(), *paths.firmware_args(paths.qemu()), "-machine", "pc",
         "-accel", "qtest", "-display", "none", "-nodefaults", "-m", "64",
         "-chardev", f"socket,id=qtest,fd={theirs.fileno()}",
         "-qtest", "chardev:qtest", "-qtest-log", "none",
         "-drive", "if=none,id=zero,driver=null-co,size=1M,read-zeroes=on",
         "-device", f"virtio-blk-pci,drive=zero,addr={SLOT},ioeventfd=off,"
                    "disable-legacy=on,modern-pio-notify=on,"
                    "notification_data=on"],
        pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    theirs.close()
    yield QTest(ours)
    process.kill()
    process.communicate()


@pytest.mark.parametrize("features,bits", [
    (VERSION_1, 16), (VERSION_1 | NOTIFICATION_DATA, 32)],
    ids=["number", "number-and-position"])
def test_a_write_to_the_port_notifies(qtest, features, bits):
    """4.1.5.2: the upper half of 32 bits is the next position, a hint."""
    disk = VirtioPci(qtest, SLOT)
    disk.map_port(PORT)
    disk.negotiate(features)
    for i, (addr, length, flags) in enumerate(
            ((HEADER, 16, 1), (DATA, 512, 3), (DATA + 512, 1, 2))):
        qtest.put(RING + 16 * i, "QIHH", addr, length, flags, i + 1)
    qtest.put(AVAIL, "HHH", 0, 0, 0)
    disk.queue(SIZE, RING, AVAIL, USED)
    for done in range(1, 3 * SIZE):
        qtest.put(AVAIL + 2, "H", done)
        qtest.command(f"outw {PORT:#x} 0" if bits == 16 else
                      f"outl {PORT:#x} {done << 16:#x}")
        # It was taken before that was answered; the disk needs no time, only
        # turns of the main loop, which has one for each command.
        assert any(qtest.get(USED + 2, "H") == (done,) for _ in range(TURNS))
