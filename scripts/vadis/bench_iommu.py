#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a mapping that stays costs behind VT-d, by one binary.

Three QEMUs take turns: no IOMMU, x-iotlb=on, and x-iotlb=off, which is
upstream's code. How often the IOMMU is asked is counted by its trace points,
in the same way on both sides, and does not depend on the machine's mood.
"""

from . import bench_stats, progress
from .bench_cells import Cell, CellError, Config
from .bench_labels import Monitor
from .bench_qemu import BenchQemu, Variant
from .errors import Failure

SIDES = ("none", "on", "off")
BATCHES = {"echo": 16, "blk": 64, "net": 64}
REQUESTS = 1024
# One of them is logged whenever VT-d translates
ASKED = ("vtd_iotlb_page_hit", "vtd_iotlb_page_update")
IOMMU = ("-device", "intel-iommu")


def offered(variant):
    """Can this QEMU remember translations?"""
    return variant.has_property("virtio-blk-pci", "x-iotlb")


def cells(variant):
    """What is looked at, on each side."""
    return [Cell(device, Config("packed"), batch)
            for device, batch in BATCHES.items()
            if device in variant.devices()]


def start(variant, side, **settings):
    """A QEMU that is not running yet."""
    if side == "none":
        return BenchQemu(variant, **settings)
    props = [variant.props] * bool(variant.props) + [
        "iommu_platform=on", f"x-iotlb={side}"]
    return BenchQemu(Variant(variant.label, variant.binary, ",".join(props)),
                     first=IOMMU, **settings)


def options(side):
    """The driver's options."""
    return ["--iommu"] * (side != "none")


def count(tools, variant, cell, side):
    """How often the IOMMU is asked per request, set-up left out."""
    asked = []
    traces = [word for event in ASKED for word in ("-trace", event)]
    for requests in (REQUESTS, 2 * REQUESTS):
        with start(variant, side, iothread=False, monitor=True,
                   extra=traces) as qemu:
            tools.place(qemu, cell.device)
            tools.drive(qemu, cell, [
                "--requests", str(requests), "--warmup", str(cell.batch),
                "--leave"] + options(side))
            with Monitor(qemu.monitor_path) as monitor:
                hits = sum(i["hits"] for i in
                           monitor.ask("x-query-virtio-iotlb"))
            messages = qemu.messages()
            asked.append(sum(messages.count(event) for event in ASKED))
    return {"asked": (asked[1] - asked[0]) / REQUESTS, "hits": hits}


def counts(tools, variant):
    """Deterministic: a row for each cell."""
    return [{**cell.as_dict(), **{side: count(tools, variant, cell, side)
                                  for side in SIDES[1:]}}
            for cell in cells(variant)]


def times(tools, variant, rounds, milliseconds):
    """A summary of interleaved runs for each cell."""
    found = {cell: [] for cell in cells(variant)}
    with start(variant, "none") as none, start(variant, "on") as on, \
            start(variant, "off") as off:
        qemus = dict(zip(SIDES, (none, on, off)))
        for number in range(rounds):
            order = SIDES if number % 2 else SIDES[::-1]
            for cell, runs in found.items():
                probes, samples = [tools.probe()], {}
                for side in order:
                    tools.place(qemus[side], cell.device)
                    samples[side] = tools.drive(
                        qemus[side], cell, ["--ms", str(milliseconds)] +
                        options(side))
                    probes.append(tools.probe())
                if min(probes) > 0:
                    runs.append({"probes": probes, "samples": {
                        side: samples[side] for side in SIDES}})
    return [{**cell.as_dict(), "metric": cell.metric,
             "time": bench_stats.summarise_cell(runs, cell.metric, "on")}
            for cell, runs in found.items()]


def run(tools, variant, rounds, milliseconds):
    """Everything, for report["iommu"]; rounds: 0 takes no time. None if this
    QEMU cannot remember translations."""
    if not offered(variant):
        return None
    with progress.step("IOMMU: none, x-iotlb=on and off"):
        try:
            found = {"counts": counts(tools, variant)}
            found["times"] = times(tools, variant, rounds, milliseconds) \
                if rounds else []
        except CellError as err:
            raise Failure(f"iommu: {err}") from None
    return found


def tables(found, name_of, value, ratio):
    """For the report, as bench_labels.tables()."""
    if not found:
        return []
    made = [("Behind VT-d, a mapping that stays: translations per request",
             ["cell", "x-iotlb=on", "x-iotlb=off"],
             [[name_of(row)] + [f"{row[side]['asked']:.3f}"
                                for side in SIDES[1:]]
              for row in found["counts"]])]
    if found["times"]:
        made.append(("Behind VT-d: time per request, ns",
                     ["cell", "no IOMMU", "x-iotlb=on", "x-iotlb=off",
                      "on/none", "on/off"],
                     [[name_of(row)] +
                      [value(row["time"]["variants"].get(side))
                       for side in SIDES] +
                      [ratio(row["time"]["ratios"].get(side))
                       for side in ("none", "off")]
                      for row in found["times"]]))
    return made
