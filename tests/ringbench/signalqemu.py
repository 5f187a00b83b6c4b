# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU without a guest, with virtio-signal and ivshmem devices to be driven.

Rings and buffers are written in shared guest memory, registers by qtest, many
at a time. MSI-X is enabled on every device. Its messages are written to
memory, where they can be seen: the APIC's would wake a vCPU without a guest.
"""

import array
import contextlib
import mmap
import os
import pathlib
import socket
import struct
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(TOP / "tests"), str(TOP / "scripts")]

# pylint: disable=wrong-import-position
from qtestpci import PciFunction, QTest, VirtioPci  # noqa: E402
from vadis import paths                             # noqa: E402

TARGETS = 64
MEMORY = 64 << 20
VERSION_1, MASK, REMOTE = 1 << 32, 1 << 0, 1 << 1
WRITE, NEXT = 2, 1
NODE_ALL, NO_VECTOR = 0xffff, 0xffff
UNICAST, BY_MASK, ALL = range(3)
# Where things are in guest memory: words that nobody reads, messages of MSI-X
# by vector, and the queues, each with two pages, as Linux lays them out: a
# larger power of two between them would have them compete for cache sets.
SCRATCH, MESSAGES, QUEUES, PART = 8 << 20, 9 << 20, 16 << 20, 0x2000
SIZE = 64
AVAIL, USED, BUFFERS, REPLIES = 0x400, 0x1000, 0x1400, 0x1c00
SENDQ, EVENTQ0 = 1, 2
EVENT_SIZE, REPLY_SIZE = 32, 16
IVSHMEM_SLOT, IVSHMEM_BAR, POSITION, DOORBELL = 3, 0xd0000000, 8, 12
BARS, BAR_STEP = 0xe0000000, 0x10000


def write(size, addr, value):
    """The command that writes a register or memory."""
    return f"write{'bwlq'[size.bit_length() - 1]} {addr:#x} {value:#x}"


class Node:
    """A virtio-signal device with one send queue, and its driver.

    machine: whose QEMU has it
    number: one of a kind in the machine; from 0 on
    targets: as the device was told
    """

    def __init__(self, machine, number, targets, features=MASK):
        self.machine, self.targets = machine, targets
        self.base = QUEUES + machine.parts * PART
        machine.parts += EVENTQ0 + targets
        assert QUEUES + machine.parts * PART <= MEMORY
        self.function = VirtioPci(
            machine.qtest, machine.first_slot + number // 8,
            BARS + 2 * number * BAR_STEP, number % 8)
        self.bar = BARS + (2 * number + 1) * BAR_STEP
        self.features = VERSION_1 | features
        self.sent = 0
        self._start()

    def _start(self):
        device, put = self.function, self.machine.put
        device.negotiate(self.features)
        device.msix(self.bar, MESSAGES)
        for queue in range(EVENTQ0 + self.targets):
            part = self.base + queue * PART
            event = queue >= EVENTQ0
            for i in range(SIZE):
                put(part + 16 * i, "QIHH", part + BUFFERS + EVENT_SIZE * i,
                    EVENT_SIZE, WRITE, 0)
                put(part + AVAIL + 4 + 2 * i, "H", i if event else 0)
            put(part + AVAIL + 2, "H", SIZE * event)
            device.queue(SIZE, part, part + AVAIL, part + USED, queue,
                         queue if event else NO_VECTOR)
        # Request and reply are one chain, which is used again.
        part = self.base + SENDQ * PART
        put(part, "QIHH", part + BUFFERS, 0, NEXT, 1)
        put(part + 16, "QIHH", part + REPLIES, REPLY_SIZE, WRITE, 0)
        put(part + AVAIL, "H", 1)
        self.kick_at = device.notify_addr(SENDQ)
        self.no_kick_at = self.kick_at + (self.targets + 1) * (
            device.notify_addr(EVENTQ0) - self.kick_at)

    def request(self, mode, target=0, node=0, mask=0):
        """What is sent from now on: a DOORBELL."""
        part = self.base + SENDQ * PART
        self.machine.put(part + BUFFERS, "8H2Q", 1, 0, node, mode, target,
                         mode == BY_MASK, 0, 0xffff, 0, 0)
        self.machine.put(part + BUFFERS + 32, "Q", mask)
        self.machine.put(part + 8, "I", 40 if mode == BY_MASK else 32)

    def refill(self, quiet=False):
        """Give the device all event buffers; without a notification.

        quiet: whether the driver wants no interrupts, as one that polls
        """
        ram = self.machine.ram
        for queue in range(EVENTQ0, EVENTQ0 + self.targets):
            part = self.base + queue * PART
            used, = struct.unpack_from("<H", ram, part + USED + 2)
            struct.pack_into("<HH", ram, part + AVAIL, quiet,
                             used + SIZE & 0xffff)

    def sends(self, times):
        """Commands that send the request, each time with a kick."""
        avail = self.base + SENDQ * PART + AVAIL + 2
        lines = []
        for _ in range(times):
            self.sent += 1
            lines += [write(2, avail, self.sent & 0xffff),
                      write(2, self.kick_at, SENDQ)]
        return lines

    def kicks(self, times):
        """As many commands, of which nothing comes: there is no such queue."""
        return [write(2, SCRATCH, 0), write(2, self.no_kick_at, 0)] * times

    def delivered(self):
        """Of the last request, which must be done, refused by nobody."""
        part = self.base + SENDQ * PART
        used, = struct.unpack_from("<H", self.machine.ram, part + USED + 2)
        assert used == self.sent & 0xffff, (used, self.sent)
        reply = struct.unpack_from("<2H3I", self.machine.ram, part + REPLIES)
        assert reply[:2] + reply[3:] == (0, 0, 0, 0), reply
        return reply[2]


class Ivshmem:
    """An ivshmem-doorbell device and its server: peer 0, and a peer 1 that
    is nobody's but has an eventfd for each vector."""

    def __init__(self, machine, connection):
        self.machine = machine
        shared = os.memfd_create("ivshmem")
        os.ftruncate(shared, 1 << 20)
        self.fds = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(2 * TARGETS)]
        self._say(connection, 0)
        self._say(connection, 0)
        self._say(connection, -1, shared)
        for peer in (1, 0):
            for fd in self.of(peer):
                self._say(connection, peer, fd)
        os.close(shared)

    @staticmethod
    def _say(connection, value, fd=None):
        """A message of the protocol: a number, perhaps with a file."""
        files = [] if fd is None else [
            (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        connection.sendmsg([struct.pack("<q", value)], files)

    def close(self):
        """Close the eventfds."""
        for fd in self.fds:
            os.close(fd)

    def of(self, peer):
        """A peer's eventfds."""
        return self.fds[peer * TARGETS:][:TARGETS]

    def start(self):
        """Give it its addresses."""
        function = PciFunction(self.machine.qtest, IVSHMEM_SLOT)
        function.set_config(0x10, IVSHMEM_BAR)
        function.msix(IVSHMEM_BAR + BAR_STEP, MESSAGES)

    @staticmethod
    def doorbells(peer):
        """Commands that ring all of a peer's."""
        return [write(4, IVSHMEM_BAR + DOORBELL, peer << 16 | vector)
                for vector in range(TARGETS)]

    @staticmethod
    def accesses():
        """As many, to a register that does nothing."""
        return [write(4, IVSHMEM_BAR + POSITION, 0)] * TARGETS

    def rung(self, peer):
        """How often each of them rang that nobody has heard yet."""
        def read(fd):
            try:
                return os.eventfd_read(fd)
            except BlockingIOError:
                return 0
        return [read(fd) for fd in self.of(peer)]


class Machine:
    """QEMU; a context manager.

    nodes: arguments of virtio-signal devices, which are functions of slots
    args: others; {home} is a private directory
    ivshmem: whether it has such a device
    wrapper, env: what QEMU runs under
    """

    first_slot = 4

    def __init__(self, nodes, args=(), ivshmem=False, wrapper=(), env=None):
        self.nodes, self.args, self.with_ivshmem = nodes, args, ivshmem
        self.wrapper, self.env = wrapper, env or {}
        self.parts = 0
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.home = pathlib.Path(stack.enter_context(
                tempfile.TemporaryDirectory(prefix="vadis-signal-")))
            self._start(stack)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def _listen(self, stack, name):
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(self.home / name))
        listener.listen()
        listener.settimeout(120)
        return listener

    def _devices(self):
        """Their arguments."""
        for i, options in enumerate(self.nodes):
            yield from ("-device", "virtio-signal-pci,ioeventfd=off,"
                        f"addr={self.first_slot + i // 8:#x}.{i % 8},"
                        f"multifunction=on{options}")
        if self.with_ivshmem:
            yield from ("-chardev", f"socket,id=iv,path={self.home}/ivshmem",
                        "-device", f"ivshmem-doorbell,addr={IVSHMEM_SLOT},"
                        f"chardev=iv,vectors={TARGETS},ioeventfd=off")

    def _start(self, stack):
        binary = paths.qemu()
        qtest, ivshmem = (self._listen(stack, name)
                          for name in ("qtest", "ivshmem"))
        ram = self.home / "ram"
        ram.touch()
        os.truncate(ram, MEMORY)
        self.qemu = subprocess.Popen(
            [*self.wrapper, str(binary), *paths.firmware_args(binary),
             "-nodefaults", "-display", "none",
             "-machine", "q35,accel=qtest,memory-backend=m",
             "-m", str(MEMORY >> 20), "-object",
             f"memory-backend-file,id=m,size={MEMORY},share=on,"
             f"mem-path={ram}", "-qtest", f"unix:{self.home}/qtest",
             "-qtest-log", "none",
             *(arg.format(home=self.home) for arg in self.args),
             *self._devices()], stdin=subprocess.DEVNULL,
            # Valgrind talks.
            stderr=subprocess.DEVNULL if self.wrapper else None,
            env={**os.environ, **self.env})
        stack.callback(self.qemu.wait)
        stack.callback(self.qemu.kill)
        if self.with_ivshmem:
            connection = stack.enter_context(ivshmem.accept()[0])
            self.ivshmem = Ivshmem(self, connection)
            stack.callback(self.ivshmem.close)
        self.qtest = QTest(stack.enter_context(qtest.accept()[0]))
        file = stack.enter_context(open(ram, "r+b"))
        self.ram = stack.enter_context(mmap.mmap(file.fileno(), MEMORY))
        if self.with_ivshmem:
            self.ivshmem.start()

    def put(self, addr, fmt, *values):
        """Write little-endian numbers to guest memory."""
        struct.pack_into("<" + fmt, self.ram, addr, *values)

    @property
    def pid(self):
        """QEMU's process"""
        return self.qemu.pid

    def cpu(self):
        """ns that QEMU's main thread ran."""
        path = f"/proc/{self.pid}/task/{self.pid}/schedstat"
        return int(pathlib.Path(path).read_text().split()[0])

    def calls(self):
        """How often QEMU called read() or write(), as it does on eventfds,
        unlike on sockets."""
        text = pathlib.Path(f"/proc/{self.pid}/io").read_text()
        found = dict(line.split(": ") for line in text.splitlines())
        return int(found["syscr"]) + int(found["syscw"])

    def do(self, lines):
        """Give QEMU commands, and time for what comes of them: what their
        eventfds start is done before the second command after them."""
        self.qtest.commands(lines)
        for _ in range(2):
            self.qtest.commands([write(1, SCRATCH, 0)])

    def messages(self):
        """Vectors whose interrupts have been written to MESSAGES; forget
        them."""
        got = struct.unpack_from(f"<{EVENTQ0 + TARGETS}I", self.ram, MESSAGES)
        self.ram[MESSAGES:MESSAGES + 4 * len(got)] = bytes(4 * len(got))
        assert all(data in (0, 32 + n) for n, data in enumerate(got))
        return [n for n, data in enumerate(got) if data]
