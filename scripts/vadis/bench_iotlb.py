#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the IOTLB costs by itself, without QEMU and without an IOMMU's work.

The cases of tests/iotlb/iotlb-bench take turns; instructions are those that
tests/iotlb/iotlb-cost.py counts.
"""

import os

from . import bench_stats, progress

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
COST = os.path.join(TOP, "tests", "iotlb", "iotlb-cost.py")
ROUNDS = 15


def summarise(lines):
    """{case: {"ns": summary per operation, "missed": share}}."""
    found = {}
    for line in lines:
        case = found.setdefault(line["case"], {"ns": [], "missed": 0})
        case["ns"].append(line["ns"] / line["ops"])
        case["missed"] = line["missed"] / line["ops"]
    return {name: {**case, "ns": bench_stats.summary(case["ns"])}
            for name, case in found.items()}


def run(tools, rounds=ROUNDS, callgrind=True):
    """For the report: a row for each case."""
    with progress.step("IOTLB: hits, misses, invalidations"):
        found = summarise(tools.json_lines(
            [tools.iotlb, "--rounds", str(rounds)], 600))
        if callgrind:
            costs, = tools.json_lines(
                ["/usr/bin/python3", COST, tools.iotlb, "--json"], 1800)
            for name, cost in costs.items():
                found[name]["instructions"] = cost["instructions"]
    return [{"case": name, **case} for name, case in found.items()]


def tables(rows):
    """For the report: (title, head, rows)."""
    if not rows:
        return []
    return [("The IOTLB alone, 1024 entries: per look-up, or per unmap",
             ["case", "ns", "instructions", "missed"],
             [[row["case"],
               f"{row['ns']['median']:.1f} "
               f"({row['ns']['q1']:.1f}-{row['ns']['q3']:.1f})",
               f"{row['instructions']:.0f}" if "instructions" in row else "-",
               f"{row['missed']:.1%}"] for row in rows])]
