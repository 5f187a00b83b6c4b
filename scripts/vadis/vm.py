# SPDX-License-Identifier: GPL-2.0-or-later
"""A running guest.

    from vadis.vm import VM

    with VM(kernel="6.12", devices=["virtio-rng-pci"]) as vm:
        result = vm.run(["uname", "-r"])
        print(result.returncode, result.stdout.decode())
        vm.qmp("device_add", driver="virtio-balloon-pci", id="b0")

Each VM has one I/O thread. It starts QEMU and lives until QEMU has ended, so
that the kernel kills QEMU when this process dies for whatever reason (the
parent death signal is tied to the thread that forked). The thread owns all
sockets; everybody else waits on one Condition.
"""

import dataclasses
import os
import pathlib
import selectors
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

from . import paths, report
from .agent import Agent
from .console import Console
from .errors import Failure
from .machine import Config, Machine
from .qmp import QMP

CHANNELS = ("console", "agent", "qmp")
SOCKET_PATH_MAX = 107


@dataclasses.dataclass
class Result:
    """How a command in the guest ended; output as bytes."""
    argv: list
    returncode: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self):
        """Standard output as text without the last line break."""
        return self.stdout.decode().rstrip("\n")

    def check(self):
        """Raise Failure unless the command succeeded; returns self."""
        if self.returncode:
            raise Failure(f"{self.argv!r} in the guest ended with status "
                          f"{self.returncode}",
                          (self.stderr or self.stdout).decode(
                              errors="replace").strip()[-2000:])
        return self


def private_dir():
    """A new directory for sockets, with a path short enough for them."""
    path = tempfile.mkdtemp(prefix="vadis-")
    if len(os.path.join(path, max(CHANNELS, key=len))) > SOCKET_PATH_MAX:
        os.rmdir(path)
        path = tempfile.mkdtemp(prefix="vadis-", dir="/tmp")
    return path


class VM:
    """One guest; keyword arguments are those of machine.Config.

    :param log: file for the time-stamped console, kept after the end
    :param echo: called with each console line (in the I/O thread)
    """

    def __init__(self, log=None, echo=None, **settings):
        self.config = Config(**settings)
        self.machine = Machine(self.config)
        self.home = None
        self.changed = threading.Condition()
        self.monitor = QMP(self.changed)
        self.agent = Agent(self.changed, self._wake, self._fail, self.wait)
        self._log = None
        if log:
            pathlib.Path(log).parent.mkdir(parents=True, exist_ok=True)
            self._log = open(log, "wb")
        self.console = Console(self._log, echo)
        self.returncode = None
        self.pid = None
        self._error = None
        self._thread = None
        self._waker = None

    # -- life

    def __enter__(self):
        self.start()
        try:
            if not self.config.gdb and not self.config.incoming:
                self.wait_boot()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def running(self):
        return self.pid is not None and self.returncode is None

    def start(self):
        """Start QEMU; returns once it has connected its monitor."""
        self.home = private_dir()
        try:
            self.machine.write_image(os.path.join(self.home, "initrd"))
            self._waker, wakee = socket.socketpair()
            self._waker.setblocking(False)
            listeners = {name: self._listen(name) for name in CHANNELS}
            self._thread = threading.Thread(
                target=self._io_thread, args=(listeners, wakee), daemon=True,
                name=f"vadis-{self.config.name}")
            self._thread.start()
            self.wait(lambda: self.monitor.greeting, 30, "QEMU's monitor")
        except BaseException:
            self.close()
            raise
        return self

    def _listen(self, name):
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(os.path.join(self.home, name))
        sock.listen(1)
        return sock

    def wait_boot(self, timeout=120, boots=1):
        """Wait until the guest's agent answers (for the n-th boot)."""
        self.wait(lambda: self.agent.boots >= boots, timeout,
                  "the guest's agent")

    def kill(self):
        """End QEMU at once."""
        with self.changed:
            if self.running:
                os.kill(self.pid, signal.SIGKILL)
        if self._thread:
            self._thread.join()

    def close(self):
        """End QEMU and remove the private directory; may be called again."""
        self.kill()
        if self._waker:
            self._waker.close()
            self._waker = None
        if self._log:
            self._log.close()
            self._log = None
        if self.home:
            shutil.rmtree(self.home, ignore_errors=True)
            self.home = None

    def wait_exit(self, timeout=60):
        """Wait for QEMU to end by itself; its exit status."""
        self._wait_plain(lambda: self.returncode is not None, timeout,
                         "the end of QEMU")
        return self.returncode

    def poweroff(self, timeout=60):
        """Let the guest sync and power off; QEMU's exit status."""
        self.agent.send("P")
        return self.wait_exit(timeout)

    def reboot(self, timeout=120):
        """Reboot the guest (needs reboot=True) and wait for its agent."""
        boots = self.agent.boots
        self.agent.send("B")
        self.wait_boot(timeout, boots + 1)

    # -- waiting

    def _fail(self, what):
        raise report.failure(self, what)

    def _wait_plain(self, predicate, timeout, what):
        with self.changed:
            done = self.changed.wait_for(
                lambda: self._error or predicate(), timeout)
            if self._error:
                raise self._error
            if done:
                return done
        return self._fail(f"waited {timeout} s in vain for {what}")

    def wait(self, predicate, timeout, what):
        """Wait until ``predicate()`` is true and return what it gave.

        It is called with the lock held whenever anything happened. QEMU's
        end or a guest's panic ends the wait at once; these and the deadline
        raise a Failure with the console, the queues and a rerun command.
        """
        def settled():
            return (predicate() or self.returncode is not None or
                    self.console.panicked or self.agent.broken)

        self._wait_plain(settled, timeout, what)
        with self.changed:
            value = predicate()
        if value:
            return value
        if self.agent.broken:
            return self._fail(self.agent.broken)
        if self.console.panicked:
            return self._fail(f"kernel panic while waiting for {what}")
        return self._fail(f"QEMU ended with status {self.returncode} while "
                          f"waiting for {what}")

    def wait_console(self, pattern, timeout=60, start=0):
        """Wait for a regular expression on the console; the match."""
        return self.wait(lambda: self.console.search(pattern, start), timeout,
                         f"'{pattern}' on the console")

    def wait_event(self, name, timeout=30, match=None, start=0):
        """Wait for a QMP event, see QMP.wait_event(); its message."""
        event = self.monitor.wait_event(name, timeout, match, start)
        return event or self._fail(f"no QMP event {name} within {timeout} s")

    # -- talking

    def qmp(self, command, **arguments):
        """Run a QMP command; write - in argument names as _."""
        return self.monitor.command(
            command, {k.replace("_", "-"): v for k, v in arguments.items()})

    def hmp(self, line):
        """Run a line of the human monitor; its output."""
        return self.monitor.command("human-monitor-command",
                                    {"command-line": line})

    def run(self, argv, *, input=b"", timeout=60, check=False, cwd="/",
            env=None):
        """Run a command in the guest; its Result.

        :param argv: list of words, or a string for the guest's /bin/sh
        """
        if isinstance(argv, str):
            argv = ["/bin/sh", "-c", argv]
        command = self.popen(argv, cwd=cwd, env=env)
        command.write(input)
        command.close_stdin()
        command.wait(timeout)
        result = Result(argv, command.returncode, command.stdout,
                        command.stderr)
        return result.check() if check else result

    def popen(self, argv, **options):
        """Start a command in the guest; see agent.Agent.start()."""
        return self.agent.start(argv, **options)

    def adopt_agent(self, source):
        """Continue ``source``'s agent channel here, after migration."""
        self.agent.adopt(source.agent)

    # -- QEMU's errors

    def qemu_errors(self):
        """What QEMU wrote to its standard error, as lines."""
        try:
            with open(os.path.join(self.home or "", "stderr"),
                      encoding="utf-8", errors="replace") as text:
                return [line.rstrip() for line in text][-20:]
        except OSError:
            return []

    # -- the I/O thread

    def _wake(self):
        try:
            if self._waker:
                self._waker.send(b"x")
        except OSError:
            pass                        # full: it wakes anyway; or closed

    def _spawn(self):
        errors = open(os.path.join(self.home, "stderr"), "wb")
        with errors:
            return subprocess.Popen(
                [paths.tool("setpriv", "util-linux"), "--pdeathsig", "KILL",
                 *self.machine.argv(self.home)],
                stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
                start_new_session=True)

    def _io_thread(self, listeners, wakee):
        try:
            process = self._spawn()
        except (OSError, Failure) as err:
            with self.changed:
                self._error = err if isinstance(err, Failure) else Failure(
                    f"cannot start QEMU: {err}")
                self.changed.notify_all()
            return
        with self.changed:
            self.pid = process.pid
        try:
            self._serve(process, listeners, wakee)
        finally:
            if process.poll() is None:
                process.kill()
            status = process.wait()
            self.monitor.closed()
            with self.changed:
                self.returncode = status
                self.agent.lost()
            wakee.close()

    def _serve(self, process, listeners, wakee):
        """Move bytes until QEMU has ended and all it wrote is read."""
        pidfd = os.pidfd_open(process.pid)
        try:
            with selectors.DefaultSelector() as sel:
                self._loop(sel, pidfd, listeners, wakee)
        finally:
            os.close(pidfd)
            for sock in listeners.values():
                sock.close()

    def _loop(self, sel, pidfd, listeners, wakee):
        read = selectors.EVENT_READ
        sel.register(pidfd, read, "exit")
        sel.register(wakee, read, "wake")
        for name, sock in listeners.items():
            sel.register(sock, read, "listen " + name)
        sockets, ended = {}, False
        while True:
            agent = sockets.get("agent")
            if agent:
                want = read | (selectors.EVENT_WRITE if self.agent.pending()
                               else 0)
                sel.modify(agent, want, "agent")
            # Once QEMU has ended, only what it left in the sockets remains.
            ready = sel.select(0 if ended else None)
            for key, mask in ready:
                name = key.data
                if name == "exit":
                    ended = True
                    sel.unregister(pidfd)
                elif name == "wake":
                    wakee.recv(4096)
                elif name.startswith("listen "):
                    name = name.partition(" ")[2]
                    sockets[name] = self._accept(sel, key.fileobj, name)
                else:
                    self._serve_socket(sel, sockets, name, mask)
            if ended and not ready:
                break
        for sock in sockets.values():
            sock.close()

    def _accept(self, sel, listener, name):
        sock, _ = listener.accept()
        sel.register(sock, selectors.EVENT_READ, name)
        if name == "agent":
            sock.setblocking(False)
        elif name == "qmp":
            self.monitor.attach(sock)
        return sock

    def _serve_socket(self, sel, sockets, name, mask):
        sock = sockets[name]
        try:
            if mask & selectors.EVENT_WRITE:
                self.agent.written(sock.send(self.agent.pending()))
            if not mask & selectors.EVENT_READ:
                return
            data = sock.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            sel.unregister(sock)
            sock.close()
            del sockets[name]
        elif name == "agent":
            self.agent.feed(data)
        elif name == "qmp":
            self.monitor.feed(data)
        else:
            with self.changed:
                self.console.feed(data)
                self.changed.notify_all()
