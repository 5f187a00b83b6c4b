#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A device whose CPU another program wants, too.

The iothread polls as it does by default, or never; a program that only counts
runs on its CPU.  What polling costs that program is the share of the CPU that
it gets with it against without, and what it is good for the requests served.
The driver pauses between two batches, as one that has something else to do.
"""

import statistics
import subprocess
import time

from . import progress
from .bench_cells import Cell, CellError, Config
from .bench_qemu import DEFAULT_POLLS, NEVER_POLLS, BenchQemu
from .errors import Failure

BATCH = 16
PAUSES_US = (0, 20, 100, 1000)
MILLISECONDS = 500
POLLING = {"never": NEVER_POLLS, "default": DEFAULT_POLLS}


class Counter:
    """The other program, on one CPU; use it as a context manager."""

    def __init__(self, cpu):
        self.cpu = cpu
        self.process = None
        self.start = self.begun = 0

    def _cpu_ns(self):
        with open(f"/proc/{self.process.pid}/schedstat",
                  encoding="ascii") as file:
            return int(file.read().split()[0])

    def __enter__(self):
        # pylint: disable=consider-using-with
        self.process = subprocess.Popen(
            ["taskset", "-c", str(self.cpu), "sh", "-c",
             "while :; do :; done"])
        self.start, self.begun = self._cpu_ns(), time.monotonic_ns()
        return self

    def share(self):
        """Of the CPU, so far."""
        return (self._cpu_ns() - self.start) / (time.monotonic_ns() -
                                                self.begun)

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()


def sample(tools, qemu, pause):
    """(requests per second, the other program's share)"""
    cell = Cell("blk", Config("packed"), BATCH)
    tools.place(qemu, cell.device)
    with Counter(tools.device_cpu) as other:
        got = tools.drive(qemu, cell, [
            "--ms", str(MILLISECONDS), "--warmup", str(BATCH), "--whole"] +
            (["--pause-us", str(pause)] if pause else []))
        share = other.share()
    return got["requests"] / got["wall_ns"] * 1e9, share


def run(tools, variant, rounds):
    """For report["share"]: a row for each pause; None without time."""
    if not rounds:
        return None
    rows = []
    with progress.step("a busy program on the device's CPU"):
        try:
            with BenchQemu(variant, iothread=POLLING["never"]) as never, \
                    BenchQemu(variant, iothread=POLLING["default"]) as default:
                for pause in PAUSES_US:
                    got = {"never": [], "default": []}
                    for _ in range(rounds):
                        got["never"].append(sample(tools, never, pause))
                        got["default"].append(sample(tools, default, pause))
                    rows.append({"pause_us": pause, **{
                        name: {"rate": statistics.median(r for r, _ in runs),
                               "share": statistics.median(s for _, s in runs)}
                        for name, runs in got.items()}})
        except CellError as err:
            raise Failure(f"share: {err}") from None
    return rows


def tables(rows):
    """For the report: (title, head, rows)"""
    if not rows:
        return []
    return [(f"virtio-blk packed batch {BATCH}, iothread that polls (by "
             "default) or never, a busy program on its CPU",
             ["driver pauses", "requests/s never", "polls", "ratio",
              "program's share never", "polls", "ratio"],
             [[f"{row['pause_us']} us",
               f"{row['never']['rate']:.0f}", f"{row['default']['rate']:.0f}",
               f"{row['default']['rate'] / row['never']['rate']:.2f}",
               f"{row['never']['share']:.2f}",
               f"{row['default']['share']:.2f}",
               f"{row['default']['share'] / row['never']['share']:.2f}"]
              for row in rows])]
