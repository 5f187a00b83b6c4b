#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What signalling 64 CPUs costs the host: virtio-signal against ivshmem.

usage: signalcost.py [ROUNDS]       prints nanoseconds as JSON

One QEMU has both devices. Rings and buffers are written in shared guest
memory, registers by qtest; what counts is the CPU time of QEMU's main thread.
A register access by qtest takes tens of times what ringing an eventfd does, so
that the two cannot be told apart: the comparison with ivshmem is one of 1 and
64 accesses. The cost of a target is that of a request to it, less an access.
"""

import array
import contextlib
import json
import mmap
import os
import pathlib
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(TOP / "tests"), str(TOP / "scripts")]

# pylint: disable=wrong-import-position
from qtestpci import QTest, VirtioPci   # noqa: E402
from vadis import paths                 # noqa: E402

TARGETS = 64
SIGNAL_SLOT, IVSHMEM_SLOT = 4, 5
IVSHMEM_BAR, MSIX_BAR = 0xe1000000, 0xe2000000
DOORBELL, POSITION = 12, 8
MEMORY = 64 << 20
VERSION_1, MASK = 1 << 32, 1 << 0
WRITE, NEXT = 2, 1
MAGIC, HELLO, PING = 0x4b4e4c53, 1, 5
# The queues' memory: each has its descriptors, rings and buffers in a part.
BASE, PART = 16 << 20, 0x8000
SIZE = 64
AVAIL, USED, BUFFERS = 0x2000, 0x3000, 0x4000
SENDQ, EVENTQ0 = 1, 2
EVENT_SIZE, REQUEST_ROOM, REPLY_AT = 32, 128, 64


class IvshmemServer:
    """Gives QEMU a peer 1 with an eventfd for each vector."""

    def __init__(self, connection):
        shared = os.memfd_create("ivshmem")
        os.ftruncate(shared, 1 << 20)
        self.fds = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(2 * TARGETS)]
        self.say(connection, 0)
        self.say(connection, 0)
        self.say(connection, -1, shared)
        for peer in (1, 0):
            for fd in self.fds[peer * TARGETS:][:TARGETS]:
                self.say(connection, peer, fd)
        os.close(shared)

    @staticmethod
    def say(connection, value, fd=None):
        """A message of the protocol: a number, perhaps with a file."""
        files = [] if fd is None else [
            (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        connection.sendmsg([struct.pack("<q", value)], files)


class Machine:
    """QEMU with both devices; a context manager."""

    def __init__(self):
        self.stack = contextlib.ExitStack()
        self.sent = self.given = 0

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            home = pathlib.Path(stack.enter_context(
                tempfile.TemporaryDirectory(prefix="vadis-signal-")))
            self._start(stack, home)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def _start(self, stack, home):
        binary = paths.qemu()
        listeners = {}
        for name in ("qtest", "ivshmem"):
            listeners[name] = stack.enter_context(socket.socket(
                socket.AF_UNIX))
            listeners[name].bind(str(home / name))
            listeners[name].listen()
            listeners[name].settimeout(60)
        ram = home / "ram"
        ram.touch()
        os.truncate(ram, MEMORY)
        self.qemu = subprocess.Popen(
            [str(binary), *paths.firmware_args(binary), "-nodefaults",
             "-display", "none", "-machine", "q35,accel=qtest,memory-backend=m",
             "-m", str(MEMORY >> 20), "-object",
             f"memory-backend-file,id=m,size={MEMORY},share=on,"
             f"mem-path={ram}", "-qtest", f"unix:{home}/qtest",
             "-qtest-log", "none",
             "-chardev", f"socket,id=iv,path={home}/ivshmem", "-device",
             f"ivshmem-doorbell,addr={IVSHMEM_SLOT},chardev=iv,"
             f"vectors={TARGETS}", "-device",
             f"virtio-signal-pci,addr={SIGNAL_SLOT},targets={TARGETS},"
             "ioeventfd=off", "-object", "signal-bus,id=bus0", "-chardev",
             f"socket,id=link,path={home}/link,server=on,wait=off", "-object",
             "signal-link,id=link1,signal-bus=bus0,chardev=link,local-node=0,"
             "peer-node=1"],
            stdin=subprocess.DEVNULL)
        stack.callback(self.qemu.wait)
        stack.callback(self.qemu.kill)
        connection = stack.enter_context(listeners["ivshmem"].accept()[0])
        self.server = IvshmemServer(connection)
        connection = stack.enter_context(listeners["qtest"].accept()[0])
        self.qtest = QTest(connection)
        file = stack.enter_context(open(ram, "r+b"))
        self.ram = stack.enter_context(mmap.mmap(file.fileno(), MEMORY))
        self.link = stack.enter_context(socket.socket(socket.AF_UNIX))
        self.link.connect(str(home / "link"))
        self._ivshmem()
        self._signal()
        self.frames = 0
        self.frame(HELLO, struct.pack("<HHHHIIHHIQ", 1, 1, 1, 0, 3, 4, 1, 1, 0,
                                      1))
        # Its HELLO, and what it has to say of its device
        for size in (32, 8):
            self.link.recv(16 + size, socket.MSG_WAITALL)

    def frame(self, kind, body):
        """Say something on the link."""
        self.link.sendall(struct.pack("<IHHII", MAGIC, 1, kind, len(body),
                                      self.frames) + body)
        self.frames += 1

    def ping(self):
        """A round trip on the link."""
        self.frame(PING, bytes(8))
        assert len(self.link.recv(24, socket.MSG_WAITALL)) == 24

    def _ivshmem(self):
        """Give its registers an address."""
        for offset, value in ((0x10, IVSHMEM_BAR), (4, 2)):
            self.qtest.command(f"outl 0xcf8 "
                               f"{0x80000000 | IVSHMEM_SLOT << 11 | offset:#x}")
            self.qtest.command(f"outl 0xcfc {value:#x}")

    def put(self, addr, fmt, *values):
        struct.pack_into("<" + fmt, self.ram, addr, *values)

    def _signal(self):
        """Start the device: send queue 1, event queues from 2 on."""
        self.device = VirtioPci(self.qtest, SIGNAL_SLOT)
        self.device.negotiate(VERSION_1 | MASK)
        for queue in range(EVENTQ0 + TARGETS):
            part = BASE + queue * PART
            for i in range(SIZE):
                self.put(part + AVAIL + 4 + 2 * i, "H", i)
                self.put(part + 16 * i, "QIHH", part + BUFFERS +
                         EVENT_SIZE * i, EVENT_SIZE, WRITE, 0)
            self.device.queue(SIZE, part, part + AVAIL, part + USED, queue)
        # The request and its reply are one chain, which is used again.
        part = BASE + SENDQ * PART
        self.put(part, "QIHH", part + BUFFERS, 0, NEXT, 1)
        self.put(part + 16, "QIHH", part + BUFFERS + REPLY_AT + REQUEST_ROOM,
                 16, WRITE, 0)
        for i in range(SIZE):
            self.put(part + AVAIL + 4 + 2 * i, "H", 0)
        self.kick_at = self.device.notify_addr(SENDQ)

    def request(self, targets):
        """Set the request up for the lowest so many targets."""
        part = BASE + SENDQ * PART
        self.put(part + BUFFERS, "8H2Q", 0, 0, 0, 1, 0, 1, 0, 0xffff, 0, 0)
        self.put(part + BUFFERS + 32, "Q", (1 << targets) - 1)
        self.put(part + 8, "I", 40)
        self.targets = targets

    def send(self):
        """Send it once; returns when it is done."""
        part = BASE + SENDQ * PART
        self.given += 1
        for target in range(self.targets):
            self.put(BASE + (EVENTQ0 + target) * PART + AVAIL + 2, "H",
                     self.given_of(target))
        self.sent += 1
        self.put(part + AVAIL + 2, "H", self.sent & 0xffff)
        self.qtest.store(2, self.kick_at, SENDQ)

    def given_of(self, target):
        """One buffer more than the device has used."""
        used, = struct.unpack_from("<H", self.ram, BASE + (EVENTQ0 + target) *
                                   PART + USED + 2)
        return used + 1 & 0xffff

    def check(self):
        """The last request reached all of its targets."""
        part = BASE + SENDQ * PART
        used, = struct.unpack_from("<H", self.ram, part + USED + 2)
        assert used == self.sent & 0xffff
        reply = struct.unpack_from("<2H3I", self.ram, part + BUFFERS +
                                   REPLY_AT + REQUEST_ROOM)
        assert reply == (0, 0, self.targets, 0, 0), reply

    def doorbells(self, register=DOORBELL):
        """Ring the 64 doorbells of the peer, or access what does nothing."""
        for vector in range(TARGETS):
            self.qtest.store(4, IVSHMEM_BAR + register, 1 << 16 | vector)

    def cpu(self):
        """ns that QEMU's main thread ran."""
        path = f"/proc/{self.qemu.pid}/task/{self.qemu.pid}/schedstat"
        return int(pathlib.Path(path).read_text().split()[0])

    def cost(self, action, times):
        """CPU time of an action, ns."""
        before = self.cpu()
        for _ in range(times):
            action()
        return (self.cpu() - before) / times


@contextlib.contextmanager
def echo():
    """A round trip on a socket, to a process that does nothing else."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if not child:
        ours.close()
        while data := theirs.recv(24, socket.MSG_WAITALL):
            theirs.sendall(data)
        os._exit(0)
    theirs.close()

    def trip():
        ours.sendall(bytes(24))
        ours.recv(24, socket.MSG_WAITALL)
    yield trip
    ours.close()
    os.waitpid(child, 0)


def median_time(action, times):
    """Median of an action's time, ns."""
    took = []
    for _ in range(times):
        began = time.monotonic_ns()
        action()
        took.append(time.monotonic_ns() - began)
    return statistics.median(took)


def measure(rounds, times=100):
    """Medians of interleaved rounds: a dictionary of ns.

    :return: CPU time of 64 "doorbells" and of a "broadcast" to 64 targets; of a
             request "of N" targets, its register access taken off; time of a
             round trip on the "link" and on a "socket"
    """
    got = {}
    with Machine() as machine, echo() as trip:
        machine.request(TARGETS)
        machine.send()
        machine.check()
        machine.doorbells()
        assert all(os.eventfd_read(fd) == 1
                   for fd in machine.server.fds[TARGETS:])
        for _ in range(rounds):
            idle = machine.cost(lambda: machine.doorbells(POSITION), times)
            row = {"doorbells": machine.cost(machine.doorbells, times)}
            for targets in (1, 4, 16, TARGETS):
                machine.request(targets)
                cost = machine.cost(machine.send, times)
                machine.check()
                row[f"of {targets}"] = cost - idle / TARGETS
            row["broadcast"] = cost
            row["link"] = median_time(machine.ping, times * 4)
            row["socket"] = median_time(trip, times * 4)
            for name, value in row.items():
                got.setdefault(name, []).append(value)
    return {name: statistics.median(values) for name, values in got.items()}


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]) if sys.argv[1:] else 15)))
