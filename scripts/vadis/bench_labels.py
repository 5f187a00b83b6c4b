#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Batch labels of one QEMU, off and on, by virtio-echo.

The driver accepts labels or does not; binary, device and driver are the same.
The device completes DEVICE_BATCH requests at a time, fewer than the driver
publishes. Kicks are counted by the driver, interrupts by the ring engine, the
driver having let the device come to rest after each batch and asked for them.
Times are taken polled, in interleaved pairs: they show what labels cost where
nothing is notified.
"""

import json
import socket

from . import bench_stats, progress
from .bench_cells import Cell, CellError, Config
from .bench_qemu import BenchQemu
from .errors import Failure

SLOT = 8
DEVICE_BATCH = 16
BATCHES = (16, 64)
REQUESTS = 256
PROPERTY = "x-batch-labels"
DRIVER = "virtio-echo-pci"


def offered(variant):
    """Does this QEMU have labels?"""
    return variant.has_property(DRIVER, PROPERTY)


def device(iothread):
    """-device for what is measured."""
    return (f"{DRIVER},id=labels,packed=on,{PROPERTY}=on,"
            f"batch={DEVICE_BATCH},addr={SLOT}" +
            ",iothread=io0" * iothread)


class Monitor:
    """QMP, for one question at a time; use it as a context manager.

    path: of the socket, on which QEMU listens
    """

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(path)
        self.file = self.sock.makefile("rw", encoding="utf-8")
        self.file.readline()
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        """The answer to a command; events are passed over."""
        self.file.write(json.dumps({"execute": command,
                                    "arguments": arguments}))
        self.file.flush()
        for line in self.file:
            got = json.loads(line)
            if "return" in got:
                return got["return"]
            if "error" in got:
                raise Failure(f"{command}: {got['error']['desc']}")
        raise Failure(f"{command}: QEMU has closed its monitor")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.file.close()
        self.sock.close()


def cells():
    """What is looked at, each with labels off and on."""
    return [Cell("echo", Config("packed", event_idx=event), batch)
            for event in (False, True) for batch in BATCHES]


def count(tools, qemu, monitor, cell, labels):
    """Kicks and interrupts for each batch of the driver's."""
    sample = tools.drive(qemu, cell, [
        "--requests", str(REQUESTS), "--warmup", str(cell.batch),
        "--check-all", "--lockstep", "--interrupts", "--leave",
        "--outstanding", str(cell.batch)] + ["--labels"] * labels, SLOT)
    ring = monitor.ask("x-query-virtio-queue-status", queue=0,
                       path="/machine/peripheral/labels/virtio-backend")["ring"]
    requests = sample["requests"] + sample["warmup_requests"]
    counters = ring["counters"]
    if ("batch labels" in ring["engine"]) != labels or \
            counters["requests"] != requests:
        raise Failure(f"{cell}: the engine says '{ring['engine']}' and "
                      f"{counters['requests']} requests, not {requests}")
    batches = requests // cell.batch
    # QEMU itself kicks a queue once, when the device starts: ask the driver
    return {"kicks": sample["kicks"] / sample["batches"],
            "interrupts": counters["interrupts"] / batches,
            "batches": counters["batches"] / batches}


def counts(tools, variant):
    """Deterministic: a row for each cell."""
    rows = []
    with BenchQemu(variant, iothread=False, monitor=True,
                   extra=["-device", device(False)]) as qemu, \
            Monitor(qemu.monitor_path) as monitor:
        tools.place(qemu, "echo")
        for cell in cells():
            rows.append({**cell.as_dict(), "device_batch": DEVICE_BATCH,
                         "off": count(tools, qemu, monitor, cell, False),
                         "on": count(tools, qemu, monitor, cell, True)})
    return rows


def times(tools, variant, rounds, milliseconds):
    """A summary of pairs for each cell without EVENT_IDX, which polled rings
    do not look at."""
    pairs = {cell: [] for cell in cells() if not cell.config.event_idx}
    with BenchQemu(variant, extra=["-device", device(True)]) as qemu:
        tools.place(qemu, "echo")
        for number in range(rounds):
            order = [False, True] if number % 2 else [True, False]
            for cell, found in pairs.items():
                probes, samples = [tools.probe()], {}
                for labels in order:
                    samples["on" if labels else "off"] = tools.drive(
                        qemu, cell, ["--ms", str(milliseconds)] +
                        ["--labels"] * labels, SLOT)
                    probes.append(tools.probe())
                # The probe says -1 when the machine did not let it finish
                if min(probes) > 0:
                    found.append({"probes": probes, "samples": {
                        key: samples[key] for key in ("off", "on")}})
    return [{**cell.as_dict(),
             "wall": bench_stats.summarise_cell(found, "wall", "on")}
            for cell, found in pairs.items()]


def run(tools, variant, rounds, milliseconds):
    """Everything, for report["labels"]; rounds: 0 takes no time. None if this
    QEMU has no labels."""
    if not offered(variant):
        return None
    with progress.step("labels: kicks and interrupts, off and on"):
        try:
            found = {"counts": counts(tools, variant)}
            found["times"] = times(tools, variant, rounds, milliseconds) \
                if rounds else []
        except CellError as err:
            raise Failure(f"labels: {err}") from None
    return found


def tables(found, name_of, value, ratio):
    """For the report: (title, head, rows); the last three arguments put a
    cell, a summary and a ratio into words."""
    if not found:
        return []
    rows = [[name_of(row)] +
            [f"{row[side][key]:.2f}" for key in ("kicks", "interrupts")
             for side in ("off", "on")] for row in found["counts"]]
    made = [(f"Batch labels, device batch {DEVICE_BATCH}: for each batch of "
             "the driver's", ["cell", "kicks off", "on", "interrupts off",
                              "on"], rows)]
    if found["times"]:
        made.append(("Batch labels, polled: time per request, ns",
                     ["cell", "off", "on", "on/off"],
                     [[name_of(row), value(row["wall"]["variants"].get("off")),
                       value(row["wall"]["variants"].get("on")),
                       ratio(row["wall"]["ratios"].get("off"))]
                      for row in found["times"]]))
    return made
