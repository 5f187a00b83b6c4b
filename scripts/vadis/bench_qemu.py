#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A QEMU without guest code for the ring benchmark.

The machine runs under -accel qtest: nothing executes in it, its devices are
driven by the program tests/ringbench/vring-bench through shared RAM.  One QEMU
holds every device that is measured; all but one are reset at any time and
cost nothing.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time

from .errors import Failure

RAM_MB = 64
START_SECONDS = 60
SOCKET_PATH_MAX = 108       # sizeof(sun_path)
DISK_BYTES = 1 << 30         # of the null disks

# What is driven -> PCI slot; the slots are named with addr= below. blk4k: other
# requests to the disk of blk
SLOTS = {"echo": 4, "blk": 5, "blk4k": 5, "blk-zeroes": 6, "net": 7}

# The iothread polls for 50 ms before it sleeps: a benchmark never pauses that
# long, and each reset of a device waits for the polling to end.  The huge growth
# factor reaches the maximum at the second wake-up.
ALWAYS_POLLS = "poll-max-ns=50000000,poll-grow=1000000"
DEFAULT_POLLS = "poll-max-ns=32768"
NEVER_POLLS = "poll-max-ns=0"


def run_quiet(argv, **kwargs):
    """Run a command that must not block; returns CompletedProcess."""
    return subprocess.run(argv, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True,
                          stdin=subprocess.DEVNULL, check=False, **kwargs)


class Variant:
    """One side of a comparison: a QEMU binary and extra device properties.

    label: as it appears in the report
    binary: path
    props: appended to every -device, for instance "x-ring=stock"
    """

    def __init__(self, label, binary, props=""):
        self.label = label
        self.binary = os.path.abspath(binary)
        self.props = props
        self.helps = {}
        if not os.access(self.binary, os.X_OK):
            raise Failure(f"{binary}: no such program; build it with "
                             "'make' (or 'make stock' for the stock ones)")
        got = run_quiet([self.binary, "--version"])
        if got.returncode:
            raise Failure(f"{binary} --version fails: "
                             f"{got.stderr.strip()}")
        self.version = got.stdout.splitlines()[0]

    def device_help(self, driver):
        """The property help of a device, '' if this QEMU lacks it."""
        if driver not in self.helps:
            got = run_quiet([self.binary, "-device", f"{driver},help"])
            self.helps[driver] = got.stdout if got.returncode == 0 else ""
        return self.helps[driver]

    def has_property(self, driver, name):
        """Does this QEMU's device have a property of that name?"""
        return any(line.split("=")[0].strip() == name
                   for line in self.device_help(driver).splitlines())

    def devices(self):
        """The devices of SLOTS that this QEMU has, in that order."""
        have = []
        for name in ("echo", "blk", "net"):
            driver = {"echo": "virtio-echo-pci", "blk": "virtio-blk-pci",
                      "net": "virtio-net-pci"}[name]
            if self.device_help(driver):
                have.append(name)
        return have


def device_args(variant, iothread):
    """-device and what it needs, for everything this QEMU has."""
    extra = "," + variant.props if variant.props else ""
    common = "disable-legacy=on,packed=on,in_order=on" + extra
    thread = ",iothread=io0" if iothread else ""
    args = []
    have = variant.devices()
    if "echo" in have:
        args += ["-device", f"virtio-echo-pci,id=echo,{common}{thread},"
                            f"addr={SLOTS['echo']}"]
    if "blk" in have:
        for name, zeroes in (("blk", "off"), ("blk-zeroes", "on")):
            node = name.replace("-", "")
            args += [
                "-blockdev", f"null-co,node-name={node},size={DISK_BYTES},"
                             f"read-zeroes={zeroes}",
                "-device", f"virtio-blk-pci,drive={node},{common}{thread},"
                           "num-queues=1,queue-size=256,request-merging=off,"
                           f"addr={SLOTS[name]}"]
    if "net" in have:
        args += ["-device", f"virtio-net-pci,{common},romfile=,"
                            "mac=52:54:00:12:34:56,"
                            f"addr={SLOTS['net']}"]
    return args


def ram_regions(number):
    """Arguments for a machine of so many regions of RAM.  The first holds
    what the driver uses; the others lie behind it."""
    args = ["-m", f"{RAM_MB},slots={number},maxmem=4G"] if number > 1 else []
    for i in range(1, number):
        args += ["-object", f"memory-backend-ram,id=m{i},size=2M",
                 "-device", f"pc-dimm,memdev=m{i}"]
    return args


class BenchQemu:
    """A running QEMU; use it as a context manager.

    iothread: put echo and blk into an iothread, with these options; False for
              the main loop
    wrapper: command to run QEMU under, for instance valgrind
    env: additions to the environment
    extra: more of the command line
    first: what has to stand before the devices
    monitor: listen for QMP on monitor_path
    """

    def __init__(self, variant, iothread=ALWAYS_POLLS, wrapper=(), env=None,
                 extra=(), monitor=False, first=()):
        self.variant = variant
        self.iothread = iothread
        self.wrapper = list(wrapper)
        self.env = dict(os.environ, **(env or {}))
        self.extra = list(extra)
        self.first = list(first)
        self.monitor = monitor
        self.process = None
        self.dir = None
        self.log = None

    @property
    def socket(self):
        """Path of the qtest socket."""
        return os.path.join(self.dir, "qtest")

    @property
    def monitor_path(self):
        """Path of the QMP socket."""
        return os.path.join(self.dir, "qmp")

    @property
    def pid(self):
        """Process ID of QEMU."""
        return self.process.pid

    def command(self):
        """The whole command line."""
        argv = self.wrapper + [
            self.variant.binary, "-accel", "qtest", "-nodefaults",
            "-display", "none", "-name", "vadis-bench,debug-threads=on",
            "-machine", "q35,memory-backend=m0", "-m", str(RAM_MB),
            "-object", f"memory-backend-memfd,id=m0,share=on,size={RAM_MB}M",
            "-qtest", f"unix:{self.socket},server=on,wait=off",
            "-qtest-log", "none"]
        if self.iothread:
            argv += ["-object", f"iothread,id=io0,{self.iothread}"]
        if self.monitor:
            argv += ["-qmp", f"unix:{self.monitor_path},server=on,wait=off"]
        # A firmware is loaded though never run; any will do.
        for where in ("/usr/share/seabios", "/usr/share/qemu"):
            if os.path.isdir(where):
                argv += ["-L", where]
        return (argv + self.first +
                device_args(self.variant, self.iothread) + self.extra)

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="vadis-bench.")
        try:
            if len(self.socket) >= SOCKET_PATH_MAX:
                raise Failure(f"the socket path {self.socket} is longer than "
                              f"{SOCKET_PATH_MAX - 1} bytes",
                              "Set TMPDIR to a shorter directory.")
            self.log = open(os.path.join(self.dir, "log"), "w+",
                            encoding="utf-8", errors="replace")
            # pylint: disable=consider-using-with
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=self.log,
                stderr=self.log, cwd=self.dir, env=self.env)
            self._await_ready()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _ended(self):
        """Raise if QEMU is gone, with its own words."""
        if self.process.poll() is not None:
            raise Failure(f"{self.variant.binary} ended with status "
                          f"{self.process.returncode}: {self.messages()}",
                          "The command was: " + " ".join(self.command()))

    def _await_ready(self):
        """Wait until QEMU answers, which it does from its main loop: every
        device and thread exists by then."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            self._ended()
            with socket.socket(socket.AF_UNIX) as sock:
                try:
                    sock.connect(self.socket)
                except (FileNotFoundError, ConnectionRefusedError):
                    self._pause()
                    continue
                sock.settimeout(max(0.1, deadline - time.monotonic()))
                try:
                    sock.sendall(b"endianness\n")
                    if sock.recv(64).startswith(b"OK"):
                        return
                except OSError:
                    pass
            self._pause()
        self._ended()
        raise Failure(f"{self.variant.binary} does not start within "
                      f"{START_SECONDS} s",
                      "Is the machine very busy? Messages: " +
                      self.messages())

    def _pause(self):
        """Let QEMU go on; returns early if it ends."""
        try:
            self.process.wait(0.01)
        except subprocess.TimeoutExpired:
            pass

    def messages(self):
        """What QEMU has printed so far."""
        self.log.flush()
        with open(self.log.name, encoding="utf-8", errors="replace") as file:
            return file.read().strip() or "(no message)"

    def threads(self):
        """Thread IDs by name; QEMU names them with debug-threads=on."""
        found = {}
        base = f"/proc/{self.pid}/task"
        for tid in os.listdir(base):
            try:
                with open(f"{base}/{tid}/comm", encoding="ascii") as file:
                    found[int(tid)] = file.read().strip()
            except FileNotFoundError:
                pass            # a thread that ended meanwhile
        return found

    def pin(self, device_cpu, driver_cpu):
        """Pin the thread that works the queues to device_cpu.

        With an iothread that is the one; QEMU's other threads only run while
        the driver waits for an answer on its socket and share its CPU.  The
        main loop is moved by pin_main() for a device without iothread.
        """
        for tid, name in self.threads().items():
            cpu = device_cpu if name.startswith("IO ") else driver_cpu
            try:
                os.sched_setaffinity(tid, {cpu})
            except ProcessLookupError:
                pass            # a worker thread that ended meanwhile

    def worker(self, device):
        """Thread ID of the one that works a device's queue."""
        if self.iothread and device != "net":
            for tid, name in self.threads().items():
                if name.startswith("IO "):
                    return tid
        return self.pid

    def pin_main(self, cpu):
        """Pin QEMU's main loop."""
        os.sched_setaffinity(self.pid, {cpu})

    def __exit__(self, *exc):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.log:
            self.log.close()
        if self.dir:
            shutil.rmtree(self.dir, ignore_errors=True)
