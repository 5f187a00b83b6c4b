# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo: Debian's kernel on packed virtio devices, each made to work.

All devices sit in one guest, except where a row needs a machine of another
kind and starts it itself. Rows (see demo_row.py) work side by side, one
host thread each; then the guest reboots, and rows look again at what must
have lasted; then it powers off. Modules named in ROW_MODULES bring the rows,
and the table has them in the order of import.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import importlib
import itertools
import json
import os
import pathlib
import shlex
import signal
import sys
import threading
import time

from . import demo_row, demo_table, kernel, paths, progress
from .errors import Failure
from .machine import escape
from .private import PrivateDir
from .vm import VM

sys.path.insert(0, str(paths.SCRIPTS / "gdb"))
from vadisgdb import words  # noqa: E402  pylint: disable=wrong-import-position

ROW_MODULES = ("demo_storage", "demo_io", "demo_balloon", "demo_media",
               "demo_vfio", "demo_signal",
               "demo_vhost_pci")
HEAD = ("device", "features negotiated", "what was done", "result", "time")
WIDTHS = (15, 40, 46, 6, 7)
# One line for each virtio device on the first bus that has a driver: path,
# ID, features.
SEE_DEVICES = """
for path in /sys/bus/pci/devices/0000:00:*/virtio*; do
    [ -e "$path/driver" ] || continue
    read -r id <"$path/device"
    read -r features <"$path/features"
    echo "$path $id $features"
done
"""
Found = collections.namedtuple("Found", "path device_id features")
RING_FEATURE_MIN, RING_FEATURE_MAX = 24, 41


def feature_names(bits, device_id):
    """Names of features given as sysfs shows them, the ring's first."""
    bits = [i for i, bit in enumerate(bits) if bit == "1"]
    ring = [i for i in bits if RING_FEATURE_MIN <= i <= RING_FEATURE_MAX]
    return [words.feature_words(1 << i, device_id)[0].lower()
            for i in ring + [i for i in bits if i not in ring]]


class Outcome:
    """What became of a row."""

    def __init__(self, row):
        self.row = row
        self.features = []
        self.words = []
        self.failure = None
        self.seconds = 0.0

    @property
    def ok(self):
        return self.failure is None

    def cells(self):
        did = "; ".join(self.words) if self.ok else self.failure.message
        return (self.row.name, " ".join(self.features), did,
                "ok" if self.ok else "FAILED", f"{self.seconds:.1f} s")


class Demo:
    """What rows work with: the plan before the start, the guest after.

    ``vm`` is the running VM, ``kernel`` the name of its kernel. The methods a
    row may call come first.
    """

    def __init__(self, rows, kernel_name, directory, artifacts):
        self.outcomes = [Outcome(cls()) for cls in rows]
        self.vm = None
        self.kernel = kernel_name
        self._stack = contextlib.ExitStack()
        self._shared = False
        self._directory = directory
        self._artifacts = artifacts
        self._devices, self._args, self._modules = [], [], []
        self._others = []
        self._found = {}
        self._replies = {}
        self._numbers = itertools.count(1)
        self._guest = None
        self._one_line = threading.Lock()
        self._text = self._errors = b""

    # -- for rows, when they plan

    escape = staticmethod(escape)

    def path(self, name):
        """A path for a row's own file, removed in the end."""
        return os.path.join(self._directory, name)

    def artifact(self, name):
        """A path for a file that is kept; an old one is removed."""
        path = self._artifacts / name
        path.unlink(missing_ok=True)
        return path

    def device(self, row, text):
        """Add the row's device; its id is row.device_id."""
        self._devices.append(f"{text},id={row.device_id}")

    def extra_device(self, text):
        self._devices.append(text)

    def args(self, *args):
        """Add QEMU arguments: backends."""
        self._args += args

    def share_memory(self):
        """Give the guest memory that another process can map."""
        if not self._shared:
            self._shared = True
            self.args("-object", "memory-backend-memfd,id=demo-ram,size=1G,"
                      "share=on", "-machine", "memory-backend=demo-ram")

    def modules(self, *names):
        """Load modules beside those of the devices' drivers."""
        self._modules += names

    def machine(self, vm):
        """Take in a row's own machine; it ends with the demo at the latest."""
        self._others.append(vm)
        self._stack.callback(vm.close)
        return vm

    # -- for rows, when they work

    def sysfs(self, row):
        """The virtio device's directory in the guest's sysfs."""
        return self._found[row.device_id].path

    def queue(self, row, index):
        """QEMU's view of a queue of the row's device."""
        return self.vm.qmp(
            "x-query-virtio-queue-status", queue=index,
            path=f"/machine/peripheral/{row.device_id}/virtio-backend")

    def shell(self, script):
        """Run a script in the guest's busybox; what it prints.

        Far quicker than call(), which needs Python, and for after the
        reboot, where there is no call().
        """
        return self.vm.run([demo_row.BUSYBOX, "sh", "-ec", script],
                           timeout=demo_row.PATIENCE, check=True).text

    def saw_features(self, row, bits, device_id):
        """Note what a row's own machine negotiated; ``bits`` as a number."""
        for outcome in self.outcomes:
            if outcome.row is row:
                outcome.features = feature_names(f"{bits:b}"[::-1], device_id)

    def call(self, function, **arguments):
        """Call a module's function, or a static method, in the guest."""
        number = next(self._numbers)
        request = {"id": number, "module": function.__module__,
                   "name": function.__qualname__, "arguments": arguments}
        self._guest.write(json.dumps(request).encode() + b"\n")
        self.vm.wait(lambda: number in self._replies or self._guest.done,
                     demo_row.PATIENCE,
                     f"{function.__qualname__} in the guest")
        reply = self._replies.pop(number, None)
        if reply is None:
            raise Failure("the demo's process in the guest ended: " +
                          self._errors.decode(errors="replace")[-600:])
        if "error" in reply:
            raise Failure(f"{function.__qualname__} in the guest: "
                          f"{reply['error']}", *reply["trace"].splitlines())
        return reply["result"]

    # -- the run

    def _output(self, stream, data):
        """Lines of the process in the guest; runs in the I/O thread, which
        holds the lock and tells those who wait."""
        if stream == 2:
            self._errors += data
            return
        *lines, self._text = (self._text + data).split(b"\n")
        for line in lines:
            try:
                reply = json.loads(line)
                self._replies[reply["id"]] = reply
            except (ValueError, LookupError, TypeError):
                self._errors += line + b"\n"   # not an answer; tell of it

    def _start_guest(self):
        """Start the process in the guest that serves call()."""
        self._guest = self.vm.popen(
            ["/usr/bin/python3", "-I", "-S", "-B",
             paths.SCRIPTS / "vadis/demo_guest.py", paths.SCRIPTS],
            on_output=self._output)

    def _prepare(self):
        """Let rows load their drivers; a failure is the row's alone."""
        for outcome in self.outcomes:
            try:
                outcome.row.prepare(self)
            except Failure as err:
                outcome.failure = outcome.failure or err

    def _look(self):
        """Learn where in the guest the devices are, and what driver and
        device agreed on."""
        self._prepare()
        slots = {f"{pci['slot']:02x}.{pci['function']}": pci["qdev_id"]
                 for bus in self.vm.qmp("query-pci")
                 for pci in bus["devices"]}
        self._found = {}
        for line in self.shell(SEE_DEVICES).splitlines():
            path, device_id, bits = line.split()
            slot = path.split("/")[-2].rpartition(":")[2]
            self._found[slots[slot]] = Found(path, int(device_id, 16), bits)

    def _see_features(self, outcome):
        """Note the features of a row; packed rings are a must."""
        found = self._found.get(outcome.row.device_id)
        demo_row.expect(found,
                        "no driver of the guest's kernel took the device")
        outcome.features = feature_names(found.features, found.device_id)
        demo_row.expect("ring_packed" in outcome.features,
                        "the packed ring was not negotiated, only: " +
                        " ".join(outcome.features))

    def _run_step(self, outcome, step):
        """Run one step of a row, if all is well with it so far."""
        if not outcome.ok:
            return
        begin = time.monotonic()
        try:
            if step != "done" and not outcome.row.own_machine:
                self._see_features(outcome)
            said = getattr(outcome.row, step)(self)
            if said:
                outcome.words.append(said)
        except Failure as err:
            outcome.failure = err
        except Exception as err:        # a fault of the row, not of the demo
            outcome.failure = Failure(f"{type(err).__name__}: {err}")
        outcome.seconds += time.monotonic() - begin
        with self._one_line:
            if not outcome.ok:
                progress.note(f"{outcome.row.name}: FAILED")
            elif said:
                progress.note(f"{outcome.row.name}: {said}")

    def _all(self, step):
        """Run a step of all rows, each in a thread of its own."""
        with concurrent.futures.ThreadPoolExecutor(
                len(self.outcomes)) as pool:
            try:
                for each in [pool.submit(self._run_step, outcome, step)
                             for outcome in self.outcomes]:
                    each.result()
            except BaseException:
                # Threads that wait for the guest learn that it is gone.
                for vm in [self.vm, *self._others]:
                    vm.kill()
                raise

    def run(self, log):
        """Do it all; what became of each row is in ``outcomes``."""
        with self._stack:
            for outcome in self.outcomes:
                outcome.row.plan(self)
            with progress.step(f"booting Debian's kernel {self.kernel} with "
                               f"{len(self._devices)} devices"):
                self.vm = self._stack.enter_context(VM(
                    name="demo", kernel=self.kernel, smp=2, reboot=True,
                    memory="1G,slots=1,maxmem=4G", devices=self._devices,
                    args=self._args, modules=self._modules, log=log))
                self._start_guest()
                self._look()
            self._all("work")
            try:
                if any(o.ok and o.row.lasts() for o in self.outcomes):
                    with progress.step("rebooting the guest"):
                        self.vm.reboot()
                        self._look()
                    self._all("again")
                with progress.step("powering off"):
                    status = self.vm.poweroff()
                demo_row.expect(status == 0, "QEMU ended with status "
                                f"{status}: {self.vm.qemu_errors()}")
            except Failure as err:
                for outcome in self.outcomes:
                    outcome.failure = outcome.failure or err
        self._all("done")


def parse(argv):
    names = [cls.name for cls in demo_row.ROWS]
    parser = argparse.ArgumentParser(
        prog="scripts/demo", description="Boot Debian's kernel on packed "
        "virtio devices and work each of them.",
        epilog="Leaves table.txt, console.log, screendump.png and tone.wav "
        "in build/demo. The exit status is 0 if all rows are ok.")
    parser.add_argument("--only", metavar="DEVICE", action="append",
                        choices=names, help="this row only, repeatable: " +
                        ", ".join(names))
    parser.add_argument("--kernel", default=kernel.DEFAULT,
                        help="6.12 (default), 6.1, 7.x, or a file")
    parser.add_argument("--output", metavar="DIR", type=pathlib.Path,
                        help="where to leave files, instead of build/demo")
    return parser.parse_args(argv)


def explain(outcomes, command):
    """Lines about rows that failed: all that was seen, and the next step.

    :param command: the words that start such a demo
    """
    told = set()
    for outcome in outcomes:
        if outcome.ok:
            continue
        yield ""
        text = str(outcome.failure)
        yield f"{outcome.row.name}: " + (outcome.failure.message
                                         if text in told else text)
        told.add(text)
        yield f"    rerun: {shlex.join(command)} --only {outcome.row.name}"


def show(outcomes, output, command=("scripts/demo",)):
    """Print and keep the table; the exit status."""
    lines = demo_table.render(HEAD, [o.cells() for o in outcomes], WIDTHS)
    (output / "table.txt").write_text("\n".join(lines) + "\n")
    print("\n".join(lines + list(explain(outcomes, command))))
    good = sum(o.ok for o in outcomes)
    print(f"\n{good} of {len(outcomes)} rows ok in "
          f"{progress.elapsed():.0f} s; files are in {output}", flush=True)
    return 0 if good == len(outcomes) else 1


def stop(number, _):
    sys.exit(128 + number)


def main(argv=None):
    """The program scripts/demo; its exit status."""
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, stop)
    try:
        for name in ROW_MODULES:
            importlib.import_module(f"vadis.{name}")
        options = parse(argv)
        output = options.output or paths.build() / "demo"
        with paths.writable(output):
            output.mkdir(parents=True, exist_ok=True)
        with PrivateDir() as private:
            demo = Demo([cls for cls in demo_row.ROWS
                         if not options.only or cls.name in options.only],
                        options.kernel, private.path, output.resolve())
            demo.run(output / "console.log")
        command = ["scripts/demo"]
        if options.kernel != kernel.DEFAULT:
            command += ["--kernel", options.kernel]
        return show(demo.outcomes, output, command)
    except Failure as err:
        print(f"demo: {err}", file=sys.stderr)
        return err.status
    except OSError as err:
        print(f"demo: {err}\n    Is the disk full, or something not ours?",
              file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted; the guest is gone", file=sys.stderr)
        return 130
