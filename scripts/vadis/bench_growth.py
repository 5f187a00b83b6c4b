#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Does a request cost more the more there is around it?

A disk whose driver uses one queue, and 0 to 255 more that are set up and stay
empty, all polled by one iothread; and a machine whose memory is one region or
up to 64.  Each size has a QEMU of its own, and all are measured in turn.
"""

import contextlib

from . import bench_stats, progress
from .bench_cells import Cell, CellError, Config
from .bench_qemu import DISK_BYTES, BenchQemu, ram_regions
from .errors import Failure

SLOT = 8
BATCHES = (1, 16)
QUEUES = (1, 16, 64, 256)
REGIONS = (1, 8, 64)
MILLISECONDS = 20


def disk(variant, queues):
    """Arguments for a disk of so many queues."""
    props = "," + variant.props if variant.props else ""
    return ["-blockdev", f"null-co,node-name=many,size={DISK_BYTES}",
            "-device", "virtio-blk-pci,drive=many,disable-legacy=on,packed=on,"
                       f"iothread=io0,num-queues={queues},queue-size=256,"
                       f"request-merging=off,vectors=2,addr={SLOT}{props}"]


def by_queues(variant, queues):
    """(QEMU, more options of the driver) for a disk of so many queues."""
    return (BenchQemu(variant, extra=disk(variant, queues)),
            ["--idle-queues", str(queues - 1)])


def by_regions(variant, regions):
    """(QEMU, more options of the driver) for a machine of so many regions."""
    return (BenchQemu(variant, extra=disk(variant, 1) + ram_regions(regions)),
            [])


def measure(tools, variant, sizes, make, rounds):
    """A row for each batch: the pairs' summaries, by size."""
    rows = []
    with contextlib.ExitStack() as stack:
        made = {size: make(variant, size) for size in sizes}
        for qemu, _ in made.values():
            stack.enter_context(qemu)
        for batch in BATCHES:
            cell = Cell("blk", Config("packed"), batch)
            pairs = []
            for number in range(rounds):
                probes, samples = [tools.probe()], {}
                order = list(made.items())
                for size, (qemu, extra) in order[::-1 if number % 2 else 1]:
                    tools.place(qemu, cell.device)
                    samples[str(size)] = tools.drive(
                        qemu, cell, ["--ms", str(MILLISECONDS)] + extra, SLOT)
                    probes.append(tools.probe())
                # The probe says -1 when the machine did not let it finish
                if min(probes) > 0:
                    pairs.append({"probes": probes, "samples": {
                        str(size): samples[str(size)] for size in sizes}})
            rows.append({**cell.as_dict(), "variant": variant.label, "sizes": {
                str(size): bench_stats.summarise_cell(pairs, "wall", str(size))
                for size in sizes}})
    return rows


def run(tools, variants, rounds):
    """For report["growth"]; None without time."""
    if not rounds:
        return None
    found = {"queues": [], "regions": []}
    with progress.step("growth: queues and memory regions"):
        try:
            for variant in variants:
                found["queues"] += measure(tools, variant, QUEUES, by_queues,
                                           rounds)
                found["regions"] += measure(tools, variant, REGIONS,
                                            by_regions, rounds)
        except CellError as err:
            raise Failure(f"growth: {err}") from None
    return found


def tables(found, value, ratio):
    """For the report: (title, head, rows); value and ratio put a summary and
    a ratio into words."""
    if not found:
        return []

    def rows(kind, sizes):
        base = str(sizes[0])
        return [[f"{row['variant']} batch {row['batch']}",
                 value(row["sizes"][base]["variants"].get(base))] +
                [ratio(row["sizes"][str(size)]["ratios"].get(base))
                 for size in sizes[1:]] for row in found[kind]]

    return [(title, ["cell", f"{sizes[0]}: ns", *map(str, sizes[1:])],
             rows(kind, sizes))
            for title, kind, sizes in (
                ("virtio-blk packed by queues that one iothread polls, one of "
                 "them in use; 1 is 1", "queues", QUEUES),
                ("virtio-blk packed by regions of guest memory; 1 is 1",
                 "regions", REGIONS))]
