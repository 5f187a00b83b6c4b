# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's end of the guest agent's channel.

The protocol is described in guest/tools/agent/agent.h. Everything that comes
from the guest is checked: a guest that breaks the protocol ends its channel,
nothing else. Like the QMP client, this object is fed by the I/O thread of its
VM and used from any other.
"""

import itertools
import os
import struct

from .errors import Failure

HEADER = struct.Struct("<B3xII")
FRAME_MAX = 1 << 20
CHUNK = 1 << 14
STDIN_WINDOW = 1 << 16
RUN_PTY = 1
UEVENTS_KEPT = 1000
# The host's programs first; what it lacks may be in busybox.
PATH = ("/run/vadis/power:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:"
        "/sbin:/bin:/run/vadis/bin")
ENVIRONMENT = {"HOME": "/root", "LANG": "C.UTF-8", "PATH": PATH,
               "TERM": "dumb", "USER": "root", "VADIS_GUEST": "1"}


class Command:
    """A command running in the guest.

    Output is handed to ``on_output(stream, bytes)`` (stream 1 or 2) in the I/O
    thread if given, else collected in ``stdout`` and ``stderr``.
    """

    def __init__(self, agent, number, argv, on_output):
        self.argv = argv
        self.stdout = b""
        self.stderr = b""
        self.returncode = None
        self.lost = False
        self._agent = agent
        self._number = number
        self._on_output = on_output
        self._window = STDIN_WINDOW
        self._input = bytearray()
        self._eof = False
        self._when_done = None

    # -- for any thread

    def write(self, data):
        """Queue standard input; see drained()."""
        with self._agent.changed:
            self._input += data
            self._push()

    def close_stdin(self):
        with self._agent.changed:
            self._eof = True
            self._push()

    def wait_input(self, limit=STDIN_WINDOW, timeout=None):
        """Wait until less than ``limit`` bytes of input are queued here."""
        with self._agent.changed:
            self._agent.changed.wait_for(
                lambda: len(self._input) < limit or self.done, timeout)

    def on_done(self, action):
        """Call ``action`` in the I/O thread at the end; at once if it was."""
        with self._agent.changed:
            self._when_done = action
            if self.done:
                action()

    def signal(self, number):
        """Send a signal to the command's process group."""
        self._agent.send("S", self._number, struct.pack("<I", number))

    def resize(self, rows, columns):
        """Tell the size of the terminal of a command started with one."""
        self._agent.send("W", self._number,
                         struct.pack("<HH", rows & 0xffff, columns & 0xffff))

    @property
    def done(self):
        return self.returncode is not None or self.lost

    def wait_done(self, timeout):
        """Wait for the end, however it came; the exit status or None."""
        with self._agent.changed:
            self._agent.changed.wait_for_exactly(lambda: self.done, timeout)
        return self.returncode

    def wait(self, timeout=60):
        """Wait for the end; the exit status, 128+N for signal N.

        Raises Failure at the deadline, or if the guest went away.
        """
        self._agent.wait(lambda: self.done, timeout,
                         f"'{' '.join(self.argv)[:200]}' to end")
        if self.returncode is None:
            self._agent.fail(f"went away during '{' '.join(self.argv)[:200]}'")
        return self.returncode

    # -- for the agent, with the lock held

    def _push(self):
        while self._input and self._window:
            size = min(len(self._input), self._window, CHUNK)
            self._agent.send("I", self._number, bytes(self._input[:size]))
            del self._input[:size]
            self._window -= size
        if self._eof and not self._input:
            self._eof = False
            self._agent.send("I", self._number, b"")

    def _consumed(self, size):
        self._window = min(self._window + size, STDIN_WINDOW)
        self._push()

    def _output(self, stream, data):
        if self._on_output:
            self._on_output(stream, data)
        elif stream == 1:
            self.stdout += data
        else:
            self.stderr += data

    def _ended(self, status):
        number = os.waitstatus_to_exitcode(status & 0xffff)
        self.returncode = number if number >= 0 else 128 - number
        self._tell()

    def _lost(self):
        self.lost = True
        self._tell()

    def _tell(self):
        if self._when_done:
            self._when_done()


class Agent:
    """The channel.

    :param changed: Condition that guards everything here (an RLock below it)
    :param wake: called when there is something to send
    :param fail: called with what went wrong; raises a Failure with all that
                 is known about the guest
    :param wait: called with (predicate, timeout, what) to wait for something
    :param held: keep what comes until adopt(): a guest that migrates here
                 goes on in the middle of what it was saying
    """

    def __init__(self, changed, wake, fail, wait, held=False):
        self.changed = changed
        self.fail = fail
        self.wait = wait
        self.boots = 0
        self.broken = None
        self._wake = wake
        self._held = held
        self._numbers = itertools.count(1)
        self._commands = {}
        self._in = bytearray()
        self._out = bytearray()
        self._hellos = set()
        self.uevents = []

    # -- for any thread

    def send(self, kind, number=0, data=b""):
        with self.changed:
            self._out += HEADER.pack(ord(kind), number, len(data)) + data
        self._wake()

    def start(self, argv, *, cwd="/", env=None, pty=False, on_output=None):
        """Start a command in the guest and return its Command."""
        argv = [str(a) for a in argv]
        merged = {**ENVIRONMENT, **(env or {})}
        strings = [str(cwd), str(len(argv)), *argv,
                   *(f"{k}={v}" for k, v in merged.items())]
        if any("\0" in s for s in strings):
            raise Failure("a command for the guest holds a NUL byte")
        data = struct.pack("<I", RUN_PTY if pty else 0) + b"".join(
            os.fsencode(s) + b"\0" for s in strings)
        if len(data) > FRAME_MAX:
            raise Failure(f"a command of {len(data)} bytes is too long for "
                          "the guest", "Put it into a script.")
        with self.changed:
            number = next(self._numbers)
            command = Command(self, number, argv, on_output)
            self._commands[number] = command
            self.send("R", number, data)
        return command

    def ping(self, timeout=30):
        """Return once the agent answers, for instance after migration."""
        token = os.urandom(8)
        self.send("H", 0, token)
        self.wait(lambda: token in self._hellos, timeout,
                  "an answer from the guest's agent")

    # -- for the I/O thread

    def pending(self):
        """Bytes to write to the channel."""
        with self.changed:
            return bytes(self._out[:1 << 16])

    def written(self, size):
        with self.changed:
            del self._out[:size]

    def feed(self, data):
        with self.changed:
            if self.broken:
                return
            self._in += data
            try:
                while not self._held and self._frame():
                    pass
            except ValueError as err:
                self.broken = str(err)
                self.lost()
            self.changed.notify_all()

    def lost(self):
        """The guest is gone or starts again: no command will be heard of."""
        with self.changed:
            for command in self._commands.values():
                command._lost()
            self._commands.clear()
            self._in.clear()
            self._out.clear()
            self.uevents.clear()
            self.changed.notify_all()

    def adopt(self, other):
        """Continue where ``other`` stopped, after migration.

        Both streams are continuous over a migration, so a frame may begin
        on one side and end on the other.
        """
        with other.changed:
            numbers, commands, boots = (other._numbers, other._commands,
                                        other.boots)
            begun, unsent = bytes(other._in), bytes(other._out)
            other._commands = {}
            other._in.clear()
            other._out.clear()
        with self.changed:
            self._numbers, self._commands, self.boots = (numbers, commands,
                                                         boots)
            for command in commands.values():
                command._agent = self
            self._held = False
            self._out[:0] = unsent
            rest, self._in = bytes(self._in), bytearray(begun)
            self.feed(rest)
        self._wake()

    def _frame(self):
        """Handle one frame if it is complete."""
        if len(self._in) < HEADER.size:
            return False
        kind, number, size = HEADER.unpack_from(self._in)
        if size > FRAME_MAX or chr(kind) not in "HOEKUX" or any(self._in[1:4]):
            raise ValueError(f"the guest sent a malformed frame: "
                             f"{bytes(self._in[:HEADER.size]).hex()}")
        if len(self._in) < HEADER.size + size:
            return False
        data = bytes(self._in[HEADER.size:HEADER.size + size])
        del self._in[:HEADER.size + size]
        self._handle(chr(kind), number, data)
        return True

    def _handle(self, kind, number, data):
        if kind == "H":
            self._hello(data)
            return
        if kind == "U":
            self._uevent(data)
            return
        command = self._commands.get(number)
        if not command:
            return
        if kind in "OE":
            command._output(1 if kind == "O" else 2, data)
            return
        if len(data) != 4:
            raise ValueError(f"the guest sent {len(data)} bytes in a {kind} "
                             "frame, 4 belong there")
        value, = struct.unpack("<I", data)
        if kind == "K":
            command._consumed(value)
        else:
            del self._commands[number]
            command._ended(value)

    def _uevent(self, data):
        """Keep a device event as a dictionary; the oldest go first."""
        words = data.decode(errors="replace").split("\0")
        self.uevents.append(dict(w.split("=", 1) for w in words if "=" in w))
        del self.uevents[:-UEVENTS_KEPT]

    def forget_uevents(self):
        """Let wait_uevent() find none of the events that came so far."""
        with self.changed:
            self.uevents.clear()

    def wait_uevent(self, timeout=60, below="", **values):
        """Wait for a device event with these values and forget it.

        For instance ACTION="bind", DRIVER="virtio_rng". Events since the
        boot are remembered, so a fast one is not missed.

        :param below: where in /sys/devices the device is, for instance
                      "/devices/pci0000:00/0000:00:18.0"
        """
        def find():
            for event in self.uevents:
                if values.items() <= event.items() and \
                   event.get("DEVPATH", "").startswith(f"{below}/"):
                    self.uevents.remove(event)
                    return event
            return None

        return self.wait(find, timeout, f"the device event {values}")

    def _hello(self, data):
        if data == b"boot":
            self.boots += 1
        else:
            self._hellos.add(data)
