# SPDX-License-Identifier: GPL-2.0-or-later
"""A running guest.

    from vadis.vm import VM

    with VM(kernel="6.12", devices=["virtio-rng-pci"]) as vm:
        result = vm.run(["uname", "-r"])
        print(result.returncode, result.stdout.decode())
        vm.qmp("device_add", driver="virtio-balloon-pci", id="b0")

Each VM has one I/O thread (iothread.py), which owns QEMU and all its sockets;
everybody else waits on one Condition.
"""

import dataclasses
import os
import pathlib
import signal

from . import report
from .agent import Agent
from .console import Console
from .errors import Failure
from .iothread import IOThread
from .machine import Config, Machine
from .patience import PatientCondition
from .private import PrivateDir
from .qmp import QMP


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


class VM:
    """One guest; keyword arguments are those of machine.Config.

    :param log: file for the time-stamped console, kept after the end
    :param echo: called with each console line (in the I/O thread)
    """

    io_thread = IOThread        # how to run QEMU; a subclass may differ

    def __init__(self, log=None, echo=None, **settings):
        self.config = Config(**settings)
        self.machine = Machine(self.config)
        self.home = None
        self._dir = None
        self.changed = PatientCondition()
        self.monitor = QMP(self.changed)
        self.agent = Agent(self.changed, self._wake, self._fail, self.wait,
                           held=bool(self.config.incoming))
        self._log = None
        if log:
            pathlib.Path(log).parent.mkdir(parents=True, exist_ok=True)
            self._log = open(log, "wb")
        self.console = Console(self._log, echo)
        self.returncode = None
        self.pid = None
        self._error = None
        self._thread = None

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
        self._dir = PrivateDir()
        self.home = self._dir.path
        try:
            self.machine.write_image(os.path.join(self.home, "initrd"))
            self._thread = self.io_thread(self.machine.argv(self.home),
                                          self.home, self)
            self.wait(lambda: self.monitor.greeting, 60, "QEMU's monitor")
        except BaseException:
            self.close()
            raise
        return self

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
        if self._log:
            self._log.close()
            self._log = None
        if self._dir:
            self._dir.close()
            self._dir = self.home = None

    def wait_exit(self, timeout=60):
        """Wait for QEMU to end by itself; its exit status."""
        self._wait_plain(lambda: self.returncode is not None, timeout,
                         "the end of QEMU")
        return self.returncode

    def poweroff(self, timeout=60):
        """Let the guest sync and power off; QEMU's exit status."""
        self.agent.send("P")
        return self.wait_exit(timeout)

    def shut_down_by_guest(self):
        """Has the guest itself powered off, rather than crashed?"""
        with self.changed:
            return any(e["event"] == "SHUTDOWN" and
                       e["data"].get("reason") == "guest-shutdown"
                       for e in self.monitor.events)

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

        It is called with the lock held whenever anything happened, and not
        again once it was true. QEMU's end or a guest's panic ends the wait
        at once; these and the deadline raise a Failure with the console, the
        queues and a rerun command.
        """
        value = None

        def settled():
            nonlocal value
            value = predicate()
            return (value or self.returncode is not None or
                    self.console.panicked or self.agent.broken)

        self._wait_plain(settled, timeout, what)
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
        """Continue ``source``'s agent channel here, after migration.

        Commands that were running go on and are heard of here. Call it once
        the source has told that migration is complete.
        """
        self.agent.adopt(source.agent)

    def gdb_socket(self):
        """The gdbstub's socket for gdb="auto"."""
        return os.path.join(self.home, "gdb")

    # -- for the I/O thread

    def _wake(self):
        if self._thread:
            self._thread.wake()

    def started(self, pid):
        with self.changed:
            self.pid = self.changed.pid = pid
            self.changed.notify_all()

    def ended(self, status):
        self.monitor.closed()
        with self.changed:
            self.returncode = status
            self.agent.lost()

    def failed(self, error):
        with self.changed:
            self._error = error
            self.changed.notify_all()

    # -- QEMU's errors

    def qemu_errors(self):
        """What QEMU wrote to its standard error, as lines."""
        try:
            with open(os.path.join(self.home or "", "stderr"),
                      encoding="utf-8", errors="replace") as text:
                return [line.rstrip() for line in text][-20:]
        except OSError:
            return []
