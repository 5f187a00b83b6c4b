#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The ring core alone, between two threads.

Against the machine's floor: the same program with the naive model for a
device, which checks nothing that a driver does.  And against itself in rings
of other sizes.  No QEMU runs, so a cell takes milliseconds.
"""

import itertools

from . import bench_stats, progress

BATCHES = (1, 4, 16, 64, 256)
SIZES = (64, 128, 256, 512, 1024)
SIZE = 256              # in the cells with different batches
BATCH = 16              # in those with different sizes
ROUNDS = 15


def layouts():
    """(layout, in order) of all cells."""
    return itertools.product(("split", "packed"), (False, True))


def _one(tools, program, layout, in_order, batch, size):
    line, = tools.json_lines(
        [program, f"--layout={layout}", "--mode=poll", "--rounds=11",
         "--in-order=" + ("on" if in_order else "off"), f"--batch={batch}",
         f"--size={size}", "--outstanding=1", "--limit=1", tools.cpus()], 60)
    probes = [line["probe_before_ns"], line["probe_after_ns"]]
    return line.get("ns_median"), probes


def _pair(found, runs):
    """Run all, in this order, and note the times by name if the machine was
    the same throughout."""
    times, probes = {}, []
    for name, run in runs:
        times[name], around = run()
        probes += around
    if all(times.values()) and min(probes) > 0 and \
            bench_stats.probes_agree(probes):
        found.append(times)


def _summary(pairs, base):
    """Per name: median ns, and the ratio to the base within pairs."""
    names = list(pairs[0]) if pairs else []
    return {name: {
        "ns": bench_stats.summary([p[name] for p in pairs]),
        "ratio": bench_stats.summary([p[name] / p[base] for p in pairs]),
    } for name in names}


def _collect(cells, rounds, make, base):
    """Visit all cells in each round; make(cell) gives (name, run) pairs."""
    found = {cell: [] for cell in cells}
    for number in range(rounds):
        for cell in cells:
            runs = make(cell)
            _pair(found[cell], runs[::-1] if number % 2 else runs)
    return {cell: {"pairs": len(pairs), **_summary(pairs, base)}
            for cell, pairs in found.items()}


def run(tools, rounds=ROUNDS):
    """For report["core"]: two lists of rows."""
    def against_floor(cell):
        layout, in_order, batch = cell
        return [(name, lambda p=program: _one(tools, p, layout, in_order,
                                              batch, SIZE))
                for name, program in (("floor", tools.ringtest),
                                      ("core", tools.coretest))]

    def growth(cell):
        return [(str(size), lambda s=size: _one(tools, tools.coretest, *cell,
                                                BATCH, s))
                for size in SIZES]

    with progress.step("ring core: against the floor, and by size"):
        floor = _collect([(*way, batch) for way in layouts()
                          for batch in BATCHES], rounds, against_floor,
                         "floor")
        sizes = _collect(list(layouts()), rounds, growth, str(SIZE))
    return {
        "floor": [{"ring": layout, "in_order": in_order, "batch": batch,
                   **got} for (layout, in_order, batch), got
                  in floor.items()],
        "sizes": [{"ring": layout, "in_order": in_order, **got}
                  for (layout, in_order), got in sizes.items()],
    }


def tables(found, value, ratio):
    """For the report: (title, head, rows); value and ratio put a summary
    into words."""
    if not found:
        return []

    def name(row):
        return row["ring"] + " in_order" * row["in_order"]

    return [
        (f"Ring core alone, ring of {SIZE}, one batch in flight",
         ["cell", "floor ns", "core ns", "core/floor", "pairs"],
         [[f"{name(row)} batch {row['batch']}",
           value(row.get("floor", {}).get("ns")),
           value(row.get("core", {}).get("ns")),
           ratio(row.get("core", {}).get("ratio")), str(row["pairs"])]
          for row in found["floor"]]),
        (f"Ring core alone, batch {BATCH}: time by ring size, {SIZE} is 1",
         ["cell", *map(str, SIZES), "pairs"],
         [[name(row), *(ratio(row.get(str(size), {}).get("ratio"))
                        for size in SIZES), str(row["pairs"])]
          for row in found["sizes"]]),
    ]
