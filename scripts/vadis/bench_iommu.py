#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What translation by VT-d costs, by one binary.

Three QEMUs take turns: no IOMMU, x-iotlb=on, and x-iotlb=off, which is
upstream's code.  Memory of a request either stays mapped, as a driver in user
space has it, or is mapped for one request and unmapped after it, as Linux
does with iommu.strict=1: each segment is a page of its own, and each unmap is
a descriptor in VT-d's invalidation queue.  Of a batch they are handed over by
one register access, because that goes through the qtest socket; without an
IOMMU a register that does nothing is written in its place.

How often the IOMMU is asked is counted by its trace points, in the same way
on both sides; instructions are counted by callgrind.  Both do not depend on
the machine's mood.  What is timed are the requests; what QEMU's main thread
takes for the unmaps stands beside it, less what it takes for a register that
does nothing.
"""

import contextlib
import functools

from . import bench_iotlb, bench_stats, progress
from .bench_callgrind import Callgrind
from .bench_cells import Cell, CellError, Config
from .bench_labels import Monitor
from .bench_qemu import BenchQemu, Variant
from .errors import Failure

SIDES = ("none", "on", "off")
STAYS, EACH = "stays", "request"
DISKS = ("blk", "blk4k")
# (mapping, cell): what is looked at, if QEMU has the device
LOADS = (
    (STAYS, Cell("echo", Config("packed"), 16)),
    (STAYS, Cell("blk", Config("packed"), 64)),
    (STAYS, Cell("blk4k", Config("packed", indirect=True), 64)),
    (STAYS, Cell("net", Config("packed"), 64)),
    (EACH, Cell("echo", Config("packed"), 16)),
    (EACH, Cell("blk4k", Config("packed"), 64)),
    (EACH, Cell("blk4k", Config("packed", indirect=True), 64)),
)
REQUESTS = 512
GRIND_REQUESTS = 256
# One of them is logged whenever VT-d translates
ASKED = ("vtd_iotlb_page_hit", "vtd_iotlb_page_update")
IOMMU = ("-device", "intel-iommu")
# VT-d's registers, by whose write an invalidation is carried out
INVALIDATES = frozenset(("vtd_drain_write",))

# How many mappings there are: (first devices of QEMU, options of the driver).
# VT-d maps each page of RAM; what that costs does not depend on how many.
VIOMMU = ("-device", "virtio-iommu-pci,addr=3")
MANY_CELL = Cell("blk4k", Config("packed"), 64)
MANY = {"VT-d, 16384": (IOMMU, ["--iommu"]), **{
    f"virtio-iommu, {number}": (VIOMMU, [
        "--iommu", "--viommu", "3", "--mappings", str(number)])
    for number in (2, 2000, 1000000)}}
# Of the IOTLB: as by default, and so few that a request's pages do not stay
ENTRIES = (1024, 4)

# What is promised, by mapping: most translations per request, and least share
# of upstream's translations that need not be made
PROMISED = {STAYS: (0.05, 0.999), EACH: (5, 0.7)}


def offered(variant):
    """Can this QEMU remember translations?"""
    return variant.has_property("virtio-blk-pci", "x-iotlb")


def loads(variant):
    """Those of LOADS that this QEMU can have."""
    have = variant.devices()
    return [(mapping, cell) for mapping, cell in LOADS
            if ("blk" if cell.device in DISKS else cell.device) in have]


def start(variant, side, **settings):
    """A QEMU that is not running yet."""
    if side == "none":
        return BenchQemu(variant, **settings)
    props = [variant.props] * bool(variant.props) + [
        "iommu_platform=on", f"x-iotlb={side}"]
    return BenchQemu(Variant(variant.label, variant.binary, ",".join(props)),
                     first=IOMMU, **settings)


def options(mapping, side):
    """The driver's options."""
    return (["--iommu"] * (side != "none") +
            ["--map-each"] * (mapping == EACH))


def row_of(load):
    """A load for the report."""
    mapping, cell = load
    return {**cell.as_dict(), "mapping": mapping}


def count_once(tools, variant, load, side, requests):
    """(translations, look-ups that hit, that missed) of a run."""
    mapping, cell = load
    traces = [word for event in ASKED for word in ("-trace", event)]
    with start(variant, side, iothread=False, monitor=True,
               extra=traces) as qemu:
        tools.place(qemu, cell.device)
        tools.drive(qemu, cell, [
            "--requests", str(requests), "--warmup", str(cell.batch),
            "--outstanding", str(cell.batch), "--lockstep", "--leave"] +
            options(mapping, side))
        with Monitor(qemu.monitor_path) as monitor:
            seen = monitor.ask("x-query-virtio-iotlb")
        messages = qemu.messages()
    return (sum(messages.count(event) for event in ASKED),
            sum(i["hits"] for i in seen), sum(i["misses"] for i in seen))


def count(tools, variant, load, side):
    """The same per request, set-up left out."""
    short, long = (count_once(tools, variant, load, side, requests)
                   for requests in (REQUESTS, 2 * REQUESTS))
    return dict(zip(("asked", "hits", "misses"),
                    ((b - a) / REQUESTS for a, b in zip(short, long))))


def counts(tools, variant):
    """Deterministic: a row for each load.

    "spared": the share of the translations by upstream's code that the IOTLB
    made needless; its own look-ups are fewer, as rings are not looked up.
    """
    rows = []
    for load in loads(variant):
        found = {side: count(tools, variant, load, side)
                 for side in SIDES[1:]}
        rows.append({**row_of(load), **found, "spared":
                     1 - found["on"]["asked"] / found["off"]["asked"]})
    return rows


def count_errors(rows):
    """What in counts() is not as promised: a list of sentences."""
    errors = []
    for row in rows:
        most, least = PROMISED[row["mapping"]]
        what = f"{row['device']} batch {row['batch']}, {row['mapping']}"
        if row["on"]["asked"] > most:
            errors.append(f"{what}: {row['on']['asked']:.3f} translations "
                          f"per request, at most {most} promised")
        if row["spared"] < least:
            errors.append(f"{what}: {row['spared']:.1%} of the translations "
                          f"spared, at least {least:.1%} promised")
    return errors


def grind(tools, variant, side, chosen):
    """{load: instructions per request of the ring, and of invalidations}."""
    found = {}
    with Callgrind(tools, variant,
                   functools.partial(start, side=side)) as callgrind:
        for mapping, cell in chosen:
            short, long = (
                callgrind.measure(cell, options(mapping, side), requests,
                                  INVALIDATES)
                for requests in (GRIND_REQUESTS, 2 * GRIND_REQUESTS))
            found[mapping, cell] = {
                key: (long[key] * long["requests"] -
                      short[key] * short["requests"]) / GRIND_REQUESTS
                for key in ("ring_instructions", "other_instructions")}
    return found


def instructions(tools, variant):
    """A row for each load: inclusive instructions per request."""
    chosen = loads(variant)
    found = {side: grind(tools, variant, side, chosen) for side in SIDES}
    return [{**row_of(load), **{side: {
        "ring": found[side][load]["ring_instructions"],
        "unmap": found[side][load]["other_instructions"]}
        for side in SIDES}} for load in chosen]


def main_thread(sample):
    """ns of QEMU's main thread per request."""
    return sample["main_ns"] / sample["all_batches"] / sample["batch"]


def summarise(load, runs):
    """A row of times()."""
    mapping, cell = load
    good = [r["samples"] for r in runs
            if bench_stats.probes_agree(r["probes"])]
    return {
        **row_of(load),
        "time": bench_stats.summarise_cell(runs, cell.metric, "on"),
        # Less what a register takes that does nothing
        "unmap_ns": {side: bench_stats.summary(
            [main_thread(s[side]) - main_thread(s["none"]) for s in good])
            for side in SIDES[1:]} if mapping == EACH else None}


def times(tools, variant, rounds, milliseconds):
    """A summary of interleaved runs for each load."""
    found = {load: [] for load in loads(variant)}
    with start(variant, "none") as none, start(variant, "on") as on, \
            start(variant, "off") as off:
        qemus = dict(zip(SIDES, (none, on, off)))
        for number in range(rounds):
            order = SIDES if number % 2 else SIDES[::-1]
            for (mapping, cell), runs in found.items():
                probes, samples = [tools.probe()], {}
                for side in order:
                    tools.place(qemus[side], cell.device)
                    samples[side] = tools.drive(
                        qemus[side], cell, ["--ms", str(milliseconds)] +
                        options(mapping, side))
                    probes.append(tools.probe())
                if min(probes) > 0:
                    runs.append({"probes": probes, "samples": {
                        side: samples[side] for side in SIDES}})
    return [summarise(load, runs) for load, runs in found.items()]


def translations(qemu):
    """How often the IOMMU was asked so far."""
    with Monitor(qemu.monitor_path) as monitor:
        return sum(i["translations"]
                   for i in monitor.ask("x-query-virtio-iotlb"))


def with_entries(variant, first, entries):
    """A QEMU whose IOTLBs have so many entries."""
    props = [variant.props] * bool(variant.props) + [
        "iommu_platform=on", f"x-iotlb-entries={entries}"]
    return BenchQemu(Variant(variant.label, variant.binary, ",".join(props)),
                     first=first, monitor=True)


def many_row(name, samples):
    """A row of many(): samples: [{entries: (ns, translations)}]."""
    most, few = ENTRIES
    return {
        "mappings": name,
        "time": {str(entries): bench_stats.summary(
            [s[entries][0] for s in samples]) for entries in ENTRIES},
        "asked": {str(entries): bench_stats.median(
            [s[entries][1] for s in samples]) if samples else None
            for entries in ENTRIES},
        "miss_ns": bench_stats.summary(
            [(s[few][0] - s[most][0]) / s[few][1] for s in samples
             if s[few][1] > 0.5])}


def many(tools, variant, rounds, milliseconds):
    """Rows: what hits and misses cost by how many mappings there are."""
    cell, found = MANY_CELL, {name: [] for name in MANY}
    if "blk" not in variant.devices():
        return []
    with contextlib.ExitStack() as stack:
        qemus = {(first, entries): stack.enter_context(
            with_entries(variant, first, entries))
            for first in (IOMMU, VIOMMU) for entries in ENTRIES}
        for _ in range(rounds):
            for name, (first, extra) in MANY.items():
                probes, sample = [tools.probe()], {}
                for entries in ENTRIES:
                    qemu = qemus[first, entries]
                    tools.place(qemu, cell.device)
                    asked = translations(qemu)
                    got = tools.drive(
                        qemu, cell, [
                            # A million mappings take their time to go.
                            "--ms", str(milliseconds), "--timeout-ms",
                            "60000", *extra])
                    asked = translations(qemu) - asked
                    probes.append(tools.probe())
                    if not bench_stats.void_reason(got, "wall"):
                        sample[entries] = (
                            bench_stats.per_request(got, "wall"), asked /
                            (got["all_batches"] * got["batch"] +
                             got["warmup_requests"]))
                if len(sample) == len(ENTRIES) and min(probes) > 0 and \
                        bench_stats.probes_agree(probes):
                    found[name].append(sample)
    return [many_row(name, samples) for name, samples in found.items()]


def run(tools, variant, rounds, milliseconds, callgrind=True):
    """Everything, for report["iommu"]; rounds: 0 takes no time. None if this
    QEMU cannot remember translations."""
    if not offered(variant):
        return None
    with progress.step("IOMMU: none, x-iotlb=on and off"):
        try:
            found = {"counts": counts(tools, variant)}
            found["instructions"] = instructions(tools, variant) \
                if callgrind else []
            found["times"] = times(tools, variant, rounds, milliseconds) \
                if rounds else []
            found["many"] = many(tools, variant, rounds, milliseconds) \
                if rounds else []
        except CellError as err:
            raise Failure(f"iommu: {err}") from None
    found["cache"] = bench_iotlb.run(tools, callgrind=callgrind) \
        if rounds else []
    return found


def count_rows(found, name_of):
    """What is counted, in words."""
    rows = []
    for row in found["counts"]:
        on, off = row["on"], row["off"]
        looks = on["hits"] + on["misses"]
        rows.append([
            name_of(row), row["mapping"], f"{on['asked']:.3f}",
            f"{off['asked']:.3f}", f"{row['spared']:.1%}", f"{looks:.3f}",
            f"{on['hits'] / looks:.1%}" if looks else "-"])
    return rows


def instruction_rows(found, name_of):
    """Instructions, in words."""
    rows = []
    for row in found["instructions"]:
        base = row["none"]["ring"]
        rows.append(
            [name_of(row), row["mapping"]] +
            [f"{row[side]['ring']:.0f}" for side in SIDES] +
            [f"{row[side]['ring'] / base:.2f}" for side in SIDES[1:]] +
            [f"{row[side]['unmap']:.0f}" if row["mapping"] == EACH else "-"
             for side in SIDES[1:]])
    return rows


def time_rows(found, name_of, value, ratio):
    """Times, in words."""
    return [[name_of(row), row["mapping"]] +
            [value(row["time"]["variants"].get(side)) for side in SIDES] +
            [ratio(row["time"]["ratios"].get(side))
             for side in ("none", "off")] +
            [value(row["unmap_ns"][side]) if row["unmap_ns"] else "-"
             for side in SIDES[1:]]
            for row in found["times"]]


def many_rows(rows, value):
    """many() in words."""
    most, few = (str(entries) for entries in ENTRIES)
    return [[row["mappings"], value(row["time"][most]),
             value(row["time"][few]), f"{row['asked'][few]:.3f}"
             if row["asked"][few] is not None else "-",
             value(row["miss_ns"])] for row in rows]


def tables(found, name_of, value, ratio):
    """For the report, as bench_labels.tables()."""
    if not found:
        return []
    made = [("Behind VT-d: translations per request, by how long its memory "
             "is mapped",
             ["cell", "mapped for", "x-iotlb=on", "x-iotlb=off", "spared",
              "look-ups", "of them hits"], count_rows(found, name_of))]
    if found["instructions"]:
        made.append((
            "Behind VT-d: instructions per request, of the ring and of the "
            "unmaps",
            ["cell", "mapped for", "no IOMMU", "x-iotlb=on", "x-iotlb=off",
             "on/none", "off/none", "unmaps, on", "unmaps, off"],
            instruction_rows(found, name_of)))
    if found["times"]:
        made.append((
            "Behind VT-d: time per request, ns, and the main thread's for its "
            "unmaps",
            ["cell", "mapped for", "no IOMMU", "x-iotlb=on", "x-iotlb=off",
             "on/none", "on/off", "unmaps, on", "unmaps, off"],
            time_rows(found, name_of, value, ratio)))
    if found.get("many"):
        made.append((
            f"Behind an IOMMU by its mappings, {MANY_CELL}: time per request, "
            "ns",
            ["IOMMU, mappings", f"{ENTRIES[0]} entries",
             f"{ENTRIES[1]} entries", "misses, with these", "ns for a miss"],
            many_rows(found["many"], value)))
    return made + bench_iotlb.tables(found.get("cache"))
