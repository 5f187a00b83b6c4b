#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the ring benchmark measures: the matrix, and how to run one cell."""

import dataclasses
import itertools
import json
import os
import subprocess

from . import bench_stats
from .bench_qemu import SLOTS
from .errors import Failure

QUEUE_SIZE = 256
BATCHES = (1, 4, 16, 64)
DEVICES = ("echo", "blk", "net")
SEGMENTS = {"echo": 2, "blk": 2, "blk4k": 3, "net": 1}

# Which clock is the claim.  virtio-net has no iothread: it runs in QEMU's
# main loop, which asks for kicks again and again.
METRIC = {"echo": "wall", "blk": "wall", "blk4k": "wall", "net": "cpu"}

EXIT_UNSUPPORTED = 77


@dataclasses.dataclass(frozen=True)
class Config:
    """How a ring is used."""

    ring: str
    indirect: bool = False
    in_order: bool = False
    event_idx: bool = False

    def __str__(self):
        return " ".join([self.ring] +
                        ["indirect"] * self.indirect +
                        ["in_order"] * self.in_order +
                        ["event_idx"] * self.event_idx)


@dataclasses.dataclass(frozen=True)
class Cell:
    """One device, one configuration, one batch size."""

    device: str
    config: Config
    batch: int

    def __str__(self):
        return f"{self.device} {self.config} batch {self.batch}"

    @property
    def metric(self):
        """The clock that counts for this device."""
        return METRIC[self.device]

    @property
    def outstanding(self):
        """Requests in flight.

        One batch for a polled device: the driver publishes it and waits, as
        in the talk.  For virtio-net as many whole batches as the ring holds,
        so that the main loop finds work and asks for few kicks.
        """
        if self.device != "net":
            return self.batch
        per = 1 if self.config.indirect else SEGMENTS[self.device]
        return QUEUE_SIZE // per // self.batch * self.batch

    def options(self):
        """The driver's options for this cell."""
        config = self.config
        return (["--ring", config.ring, "--queue-size", str(QUEUE_SIZE),
                 "--batch", str(self.batch),
                 "--outstanding", str(self.outstanding)] +
                ["--indirect"] * config.indirect +
                ["--in-order"] * config.in_order +
                ["--event-idx"] * config.event_idx)

    def as_dict(self):
        """For the report."""
        return {"device": self.device, "batch": self.batch,
                "outstanding": self.outstanding, "metric": self.metric,
                **dataclasses.asdict(self.config)}


def all_configs():
    """Every ring configuration, the plain ones first."""
    return [Config(ring, indirect, in_order, event_idx)
            for event_idx, indirect, in_order, ring in itertools.product(
                (False, True), (False, True), (False, True),
                ("split", "packed"))]


def matrix(devices=DEVICES, configs=None, batches=BATCHES):
    """The cells to measure."""
    return [Cell(device, config, batch)
            for device in devices
            for config in (configs or all_configs())
            for batch in batches]


class CellError(Exception):
    """A driver run that failed; unsupported means a feature is missing."""

    def __init__(self, message, unsupported=False):
        super().__init__(message)
        self.unsupported = unsupported


class Tools:
    """The programs that the benchmark calls, and the CPUs they run on.

    directory: where the outer build put them (build/unit)
    """

    def __init__(self, directory):
        self.driver = os.path.join(directory, "tests", "ringbench", "vring-bench")
        self.ringtest = os.path.join(directory, "tests", "ring", "ringtest")
        self.ringcount = os.path.join(directory, "tests", "ring", "ringcount")
        self.ringinsn = os.path.join(directory, "tests", "ring", "ringinsn")
        self.coretest = os.path.join(directory, "tests", "ringdev", "coretest")
        self.iotlb = os.path.join(directory, "tests", "iotlb", "iotlb-bench")
        for path in (self.driver, self.ringtest, self.coretest, self.iotlb):
            if not os.access(path, os.X_OK):
                raise Failure(f"no program {path}",
                              f"Build it: meson setup {directory} && "
                              f"ninja -C {directory}")
        cpus = sorted(os.sched_getaffinity(0))
        if len(cpus) < 2:
            raise Failure("the benchmark needs two CPUs and may use "
                          f"{len(cpus)}", "Allow more, e.g. with taskset.")
        self.driver_cpu, self.device_cpu = cpus[:2]

    def json_lines(self, argv, timeout):
        """Run a program that prints a JSON object per line."""
        try:
            got = subprocess.run(argv, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True,
                                 timeout=timeout, check=False)
        except subprocess.TimeoutExpired:
            raise Failure(f"{argv[0]} has not ended within {timeout} s",
                          "The command was: " + " ".join(argv)) from None
        if got.returncode:
            raise Failure(f"{argv[0]} failed with status {got.returncode}: "
                          f"{got.stderr.strip()}",
                          "The command was: " + " ".join(argv))
        return [json.loads(line) for line in got.stdout.splitlines() if line]

    def cpus(self):
        """The option that names the CPUs of driver and device."""
        return f"--cpus={self.driver_cpu},{self.device_cpu}"

    def probe(self):
        """Round trip of a cache line between the two CPUs, in ns."""
        line, = self.json_lines([self.ringtest, "--probe", self.cpus()], 120)
        return line["round_trip_ns"]

    def floor(self, cell):
        """ns per request of a bare ring in one process, same shape; None if
        no round of it was left undisturbed."""
        line, = self.json_lines(
            [self.ringtest, f"--layout={cell.config.ring}", "--mode=poll",
             "--in-order=" + ("on" if cell.config.in_order else "off"),
             f"--batch={cell.batch}", f"--size={QUEUE_SIZE}",
             f"--outstanding={cell.outstanding // cell.batch}",
             "--rounds=21", "--limit=1", self.cpus()], 120)
        return line.get("ns_median")

    def drive(self, qemu, cell, extra, slot=None):
        """Run one cell on a running QEMU; returns a checked sample."""
        argv = [self.driver, "--qtest", qemu.socket, "--pid", str(qemu.pid),
                "--device", cell.device,
                "--slot", str(slot or SLOTS[cell.device]),
                "--device-tid", str(qemu.worker(cell.device)),
                "--cpu", str(self.driver_cpu)] + cell.options() + extra
        got = subprocess.run(argv, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True, check=False)
        if got.returncode:
            raise CellError(f"{cell}: {got.stderr.strip()} (QEMU says: "
                            f"{qemu.messages()})",
                            got.returncode == EXIT_UNSUPPORTED)
        sample = json.loads(got.stdout)
        errors = bench_stats.sample_errors(sample)
        if errors:
            raise Failure(f"{self.driver} printed a line against its schema: "
                          + "; ".join(errors),
                          "Rebuild it: ninja -C build/unit")
        return sample

    def place(self, qemu, device):
        """Pin QEMU's threads for the device that is measured next."""
        qemu.pin(self.device_cpu, self.driver_cpu)
        if METRIC[device] == "cpu" or not qemu.iothread:
            qemu.pin_main(self.device_cpu)
