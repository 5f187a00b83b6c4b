# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests with virtual machines share: a VM that explains its failures.

VADIS_QEMU_GDB=1 runs each QEMU under gdb on this terminal (give pytest -s):
set breakpoints, then "run". VADIS_QEMU_GDB=FILE lets gdb work through the
commands in FILE instead. Deadlines do not count then.
"""

import hashlib
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys

TESTS = pathlib.Path(__file__).resolve().parent
TOP = TESTS.parent
sys.path.insert(0, str(TOP / "scripts"))

from vadis import paths, report, vm as vadis_vm   # noqa: E402
from vadis.errors import Failure                  # noqa: E402
from vadis.iothread import IOThread               # noqa: E402
from vadis.machine import Share                   # noqa: E402,F401
from vadis.qmp import QMP                         # noqa: E402

LOAD_SOURCE = TESTS / "guest" / "guest-load.c"
RUN_VM = TOP / "scripts" / "run-vm"
# A bound for a hang, not a speed: a loaded machine may be slow.
DEADLINE = 180
CONSOLE_LINES = 40
# Variables that change what a test does and so belong to its rerun command.
KEPT_VARIABLES = ("ACCEL", "VADIS_QEMU")

# Machines the running test started; the failure report looks at them.
started = []


class PatientQMP(QMP):
    """A monitor without deadlines, for a QEMU that sits at a breakpoint."""

    def command(self, name, arguments=None, timeout=None):
        return super().command(name, arguments, None)

    def wait_event(self, name, timeout, match=None, start=0):
        return super().wait_event(name, None, match, start)


class GdbThread(IOThread):
    """Runs QEMU under gdb, on our terminal."""

    def _spawn(self):
        how = os.environ["VADIS_QEMU_GDB"]
        argv = [paths.tool("gdb", "gdb"), "-q", "-nx",
                "-iex", "set debuginfod enabled off",
                "-x", TOP / "scripts" / "gdb" / "vadis-gdb.py"]
        if how != "1":
            argv += ["-batch", "-x", how]
        # No session of its own: gdb and QEMU share the terminal by turns.
        return subprocess.Popen(
            [paths.tool("setpriv", "util-linux"), "--pdeathsig", "KILL",
             *argv, "--args", *self._argv])


class VM(vadis_vm.VM):
    """A VM as in scripts/vadis, known to the failure report.

    ``autopsy`` is its report, taken before it is closed by an error.
    """

    def __init__(self, **settings):
        self.gdb = os.environ.get("VADIS_QEMU_GDB")
        self.autopsy = None
        super().__init__(**settings)
        if self.gdb:
            self.monitor = PatientQMP(self.changed)
            self.io_thread = GdbThread
            # Ctrl-C is for gdb, which shares our terminal.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        started.append(self)

    def close(self):
        if sys.exc_info()[0] and not self.autopsy:
            self.autopsy = describe(self)
        super().close()

    def _wait_plain(self, predicate, timeout, what):
        return super()._wait_plain(predicate, None if self.gdb else timeout,
                                   what)

    def events_seen(self):
        """A start for wait_event(): events from now on."""
        with self.changed:
            return len(self.monitor.events)


def without_idle(lines):
    """Leave out queues that never moved: a device may have dozens."""
    return [line for line in lines
            if not re.search(r" queue .*last-avail-idx=0 .*inuse=0", line)]


def describe(vm):
    """The failure report of a guest: console, QEMU's words, queue states."""
    name = vm.config.name
    lines = vm.console.tail()[-CONSOLE_LINES:]
    text = [f"guest '{name}', last {len(lines)} console lines:"]
    text += ["  " + line for line in lines]
    errors = vm.qemu_errors()
    if errors:
        text += ["QEMU said:"] + ["  " + line for line in errors]
    text.append(f"virtio queues of guest '{name}' that ever moved:")
    if vm.running:
        try:
            text += without_idle(report.queue_states(vm.monitor)) or [
                "  (no device)"]
        except Failure as err:
            text.append(f"  not available: {err.message}")
    else:
        text.append(f"  QEMU has ended (status {vm.returncode})")
    return "\n".join(text)


def rerun_under_gdb(item):
    """The shell command that runs one test again with QEMU under gdb."""
    path = pathlib.Path(item.path)
    try:
        path = path.relative_to(TOP)
    except ValueError:
        pass
    test = "::".join([str(path)] + item.nodeid.split("::")[1:])
    words = [f"{name}={shlex.quote(os.environ[name])}"
             for name in KEPT_VARIABLES if name in os.environ]
    soak = ["--soak"] if item.config.getoption("--soak") else []
    return " ".join(["cd", shlex.quote(str(TOP)), "&&", "VADIS_QEMU_GDB=1",
                     *words, shlex.join(["/usr/bin/python3", "-m", "pytest",
                                         "-s", *soak, test])])


# -- the load program


def load_program():
    """The compiled guest-load.c."""
    source = LOAD_SOURCE.read_bytes()
    digest = hashlib.sha256(source).hexdigest()[:16]
    binary = paths.cache("tests") / f"guest-load-{digest}"
    return paths.made_once(binary, lambda new: subprocess.run(
        [paths.tool("gcc", "gcc"), "-O2", "-Wall", "-Werror", "-static",
         "-pthread", "-o", new, LOAD_SOURCE], check=True))


def load_path(vm):
    """Where a guest that got ``files=load_files()`` has the program."""
    return ("/run/vadis/guest-load" if vm.config.root == "9p"
            else "/guest-load")


def load_files():
    return {"guest-load": load_program()}


class Load:
    """A running load in a guest; ``words`` as in guest-load.c."""

    def __init__(self, vm, *words):
        self.vm = vm
        self.command = vm.popen([load_path(vm), *words])

    @property
    def text(self):
        return self.command.stdout.decode(errors="replace")

    def operations(self):
        """How many operations the guest has reported."""
        return max(map(int, re.findall(r"^load: (\d+)$", self.text, re.M)),
                   default=0)

    def advance(self, more, timeout=120):
        """Wait until ``more`` further operations were done."""
        goal = self.operations() + more
        self.vm.wait(lambda: self.command.done or self.operations() >= goal,
                     timeout, f"{more} further operations of the load")
        assert not self.command.done, \
            f"the load ended early, status {self.command.returncode}: " \
            + self.text[-500:]

    def finish(self, timeout=120):
        """Wait for the end of a load that ends by itself."""
        self.command.wait(timeout)
        assert self.command.returncode == 0, \
            f"status {self.command.returncode}: {self.text[-500:]}" \
            + self.command.stderr.decode(errors="replace")[-500:]
        done = re.search(r"^load: done (\d+)$", self.text, re.M)
        assert done and int(done.group(1)) > 0, self.text[-500:]
        return int(done.group(1))

    def stop(self, timeout=120):
        """End an endless load and let it verify everything."""
        self.command.signal(signal.SIGTERM)
        return self.finish(timeout)

    def moved(self, vm):
        """The load now runs in ``vm``, after migration."""
        self.vm = vm


# -- virtio devices as a guest sees them


def features(text):
    """The set of bits in a sysfs "features" file: a 0 or 1 for each bit."""
    return {bit for bit, digit in enumerate(text.strip()) if digit == "1"}


class GuestDevice:
    """A virtio device in the guest, found by its PCI slot."""

    def __init__(self, vm, slot):
        self.vm = vm
        self.pci = f"/sys/bus/pci/devices/0000:00:{slot:02x}.0"

    def sh(self, script, **options):
        return self.vm.run(f"cd {self.pci}/virtio* && {script}",
                           check=True, **options).text

    def features(self):
        return features(self.sh("cat features"))

    def name(self):
        return self.sh("basename $PWD")

    def driver(self):
        return self.sh("basename $(readlink driver)")

    def status(self):
        return int(self.sh("cat status"), 16)
