# SPDX-License-Identifier: GPL-2.0-or-later
"""A small QMP client: one connection, commands from any thread.

The reader runs in the owner's I/O thread (see vm.py), which calls feed() with
what the socket gave and closed() when it is gone.
"""

import itertools
import json
import socket

from .errors import Failure


class QMPError(Failure):
    """QEMU refused a command; ``reply`` is its error object."""

    def __init__(self, command, reply):
        super().__init__(f"QMP {command}: {reply.get('desc', reply)}")
        self.command = command
        self.reply = reply


class QMP:
    """The monitor of one QEMU.

    :param changed: Condition shared with the I/O thread; it guards all state
                    here and is notified on each change
    """

    def __init__(self, changed):
        self._changed = changed
        self._ids = itertools.count(1)
        self._replies = {}
        self._text = b""
        self._socket = None
        self._closed = False
        self.greeting = None
        self.events = []

    def attach(self, sock):
        """Take over a connected socket; called by the I/O thread."""
        with self._changed:
            self._socket = sock
            self._closed = False
            self._changed.notify_all()
        self._send({"execute": "qmp_capabilities", "id": 0})

    def _send(self, message):
        self._socket.sendall(json.dumps(message).encode() + b"\n")

    def feed(self, data):
        """Bytes from the socket; called by the I/O thread.

        Returns the names of the events among them.
        """
        *lines, self._text = (self._text + data).split(b"\n")
        with self._changed:
            before = len(self.events)
            for line in lines:
                if line.strip():
                    self._take(json.loads(line))
            self._changed.notify_all()
            return [event["event"] for event in self.events[before:]]

    def _take(self, message):
        if "QMP" in message:
            self.greeting = message["QMP"]
        elif "event" in message:
            self.events.append(message)
        else:
            self._replies[message.get("id")] = message

    def closed(self):
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def command(self, name, arguments=None, timeout=30):
        """Run a command and return its "return" object.

        Raises QMPError if QEMU refuses, Failure if it does not answer.
        """
        message = {"execute": name, "id": next(self._ids)}
        if arguments:
            message["arguments"] = arguments
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or 0 in self._replies, timeout)
            try:
                if self._closed or not self._socket:
                    raise OSError
                self._send(message)
            except (OSError, socket.timeout):
                raise Failure(f"QMP {name}: QEMU is gone") from None
            self._changed.wait_for(
                lambda: self._closed or message["id"] in self._replies,
                timeout)
            reply = self._replies.pop(message["id"], None)
        if reply is None:
            raise Failure(f"QMP {name}: no answer" + (
                ", QEMU is gone" if self._closed else
                f" within {timeout} s"))
        if "error" in reply:
            raise QMPError(name, reply["error"])
        return reply["return"]

    def wait_event(self, name, timeout, match=None, start=0):
        """The first event called ``name`` for which ``match(data)`` holds,
        from index ``start`` of all events seen; None at the deadline."""
        def find():
            for event in self.events[start:]:
                if event["event"] == name and (
                        not match or match(event.get("data", {}))):
                    return event
            return self._closed and {}

        with self._changed:
            return self._changed.wait_for(find, timeout) or None
