# SPDX-License-Identifier: GPL-2.0-or-later
"""The thread that runs one QEMU and moves its bytes.

It starts QEMU and lives until QEMU has ended, so that the kernel kills QEMU
when this process dies for whatever reason: the parent death signal is tied to
the thread that forked. It owns all sockets; everybody else waits on the
Condition of the VM.
"""

import os
import selectors
import socket
import subprocess
import threading

from . import paths
from .errors import Failure

CHANNELS = ("console", "agent", "qmp")
CHUNK = 1 << 16
JOIN_TIMEOUT = 10


class IOThread:
    """See above.

    :param argv: QEMU's command line
    :param home: directory for the sockets and QEMU's standard error
    :param vm: has ``changed``, ``console``, ``agent`` and ``monitor``, and
               started(pid), ended(status) and failed(Failure) to call
    """

    def __init__(self, argv, home, vm):
        self._argv = argv
        self._home = home
        self._vm = vm
        self._sockets = {}
        self._waker, self._wakee = socket.socketpair()
        self._waker.setblocking(False)
        self._listeners = {name: self._listen(name) for name in CHANNELS}
        self._thread = threading.Thread(target=self._run, daemon=True,
                                        name=f"vadis-{vm.config.name}")
        self._spawned = threading.Event()
        self._thread.start()
        self._spawned.wait()            # so that the VM knows whom to kill

    # -- for any thread

    def wake(self):
        """There is something to send to the agent."""
        try:
            self._waker.send(b"x")
        except OSError:
            pass                        # full: it wakes anyway; or closed

    def join(self):
        """Wait for the end, which follows QEMU's."""
        # It may sit in a write to a reader of ours that stopped reading.
        self._thread.join(JOIN_TIMEOUT)
        self._waker.close()

    # -- the thread

    def _listen(self, name):
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(os.path.join(self._home, name))
        sock.listen(1)
        return sock

    def _spawn(self):
        with open(os.path.join(self._home, "stderr"), "wb") as errors:
            return subprocess.Popen(
                [paths.tool("setpriv", "util-linux"), "--pdeathsig", "KILL",
                 *self._argv], stdin=subprocess.DEVNULL, stdout=errors,
                stderr=errors, start_new_session=True)

    def _run(self):
        try:
            process = self._spawn()
        except (OSError, Failure) as err:
            self._vm.failed(err if isinstance(err, Failure) else
                            Failure(f"cannot start QEMU: {err}"))
            self._spawned.set()
            return
        self._vm.started(process.pid)
        self._spawned.set()
        pidfd = os.pidfd_open(process.pid)
        try:
            with selectors.DefaultSelector() as sel:
                self._loop(sel, pidfd)
        finally:
            os.close(pidfd)
            if process.poll() is None:
                process.kill()
            status = process.wait()
            for sock in (*self._listeners.values(), *self._sockets.values(),
                         self._wakee):
                sock.close()
            self._vm.ended(status)

    def _loop(self, sel, pidfd):
        """Move bytes until QEMU has ended and all it wrote is read."""
        sel.register(pidfd, selectors.EVENT_READ, "exit")
        sel.register(self._wakee, selectors.EVENT_READ, "wake")
        for name, sock in self._listeners.items():
            sel.register(sock, selectors.EVENT_READ, "listen " + name)
        ended, ready = False, True
        while ready or not ended:
            self._want_writes(sel)
            # Once QEMU has ended, only what it left in the sockets remains.
            ready = sel.select(0 if ended else None)
            for key, mask in ready:
                if key.data == "exit":
                    ended = True
                    sel.unregister(pidfd)
                elif key.data == "wake":
                    self._wakee.recv(CHUNK)
                elif key.data.startswith("listen "):
                    self._accept(sel, key.fileobj, key.data.split()[1])
                else:
                    self._serve(sel, key.data, mask)

    def _want_writes(self, sel):
        """Ask for room in the agent's socket only if there is a need."""
        if "agent" in self._sockets:
            want = selectors.EVENT_READ
            if self._vm.agent.pending():
                want |= selectors.EVENT_WRITE
            sel.modify(self._sockets["agent"], want, "agent")

    def _accept(self, sel, listener, name):
        sock, _ = listener.accept()
        self._sockets[name] = sock
        sel.register(sock, selectors.EVENT_READ, name)
        if name == "agent":
            sock.setblocking(False)
        elif name == "qmp":
            self._vm.monitor.attach(sock)

    def _serve(self, sel, name, mask):
        sock, vm = self._sockets[name], self._vm
        try:
            if mask & selectors.EVENT_WRITE:
                vm.agent.written(sock.send(vm.agent.pending()))
            if not mask & selectors.EVENT_READ:
                return
            data = sock.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            sel.unregister(sock)
            sock.close()
            del self._sockets[name]
        elif name == "agent":
            vm.agent.feed(data)
        elif name == "qmp":
            # What the guest said before an event is to be known before it.
            self._drain_agent()
            if "RESET" in vm.monitor.feed(data):
                vm.agent.lost()         # it was cut off in mid-sentence
        else:
            with vm.changed:
                vm.console.feed(data)
                vm.changed.notify_all()

    def _drain_agent(self):
        """Read all the agent's socket holds."""
        try:
            while "agent" in self._sockets and (
                    data := self._sockets["agent"].recv(CHUNK)):
                self._vm.agent.feed(data)
        except OSError:
            pass                        # nothing more, for now or ever
