# SPDX-License-Identifier: GPL-2.0-or-later
"""Signals: a broadcast against ivshmem's doorbells, by targets and by nodes, a
link's round trip, and polling.

The drivers are tests/ringbench/signalcost.py and, with a guest under TCG,
signalpoll.py, on the QEMU that is measured.
"""

import json
import os
import subprocess

from . import bench_stats, progress
from .errors import Failure

SCRIPTS = os.path.realpath(os.path.join(
    os.path.dirname(__file__), "..", "..", "tests", "ringbench"))
DRIVER = "virtio-signal-pci"
TARGETS = 64
COUNTS = (1, 4, 16, 64)


def script(variant, name, *words):
    """What a driver has measured on this QEMU."""
    done = subprocess.run(
        ["/usr/bin/python3", os.path.join(SCRIPTS, name), *words],
        env=dict(os.environ, VADIS_QEMU=variant.binary), text=True,
        stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise Failure(f"{name} ended with status {done.returncode}")
    return json.loads(done.stdout)


def run(variant, rounds, callgrind=True):
    """Figures of the subject; None where it has no such device."""
    if not (variant.has_property(DRIVER, "targets") and
            variant.has_property("ivshmem-doorbell", "vectors")):
        return None
    with progress.step("signals: broadcast, nodes and link"):
        found = script(variant, "signalcost.py", str(rounds),
                       *["--callgrind"] * callgrind)
    with progress.step("signals: polling, in a guest"):
        found["guest"] = script(variant, "signalpoll.py")
    if "skipped" in found["guest"]:
        progress.note("signals: no guest, so no figures of polling there: " +
                      found["guest"]["skipped"])
    return found


def ratios(found, over, under, scale=1):
    """Summary of the rounds' ratios of two figures."""
    return bench_stats.summary([scale * row[over] / row[under]
                                for row in found["rounds"]])


def broadcast_rows(found, ratio):
    """A broadcast against doorbells, in words: rows."""
    calls = found["calls"]
    rows = []
    for ours, theirs, over, under, counted in (
            ("interrupts, access", "interrupts, accesses",
             "broadcast {}, all", "doorbells {}, all", "doorbells"),
            ("interrupts", "interrupts", "broadcast {}", "doorbells {}",
             "doorbells"),
            ("no interrupts", "at a peer: no receiver", "quiet {}",
             "eventfds {}", "eventfds"),
            ("interrupts", "at a peer: no receiver", "broadcast {}",
             "eventfds {}", "eventfds")):
        rows.append([ours, theirs, *(
            ratio(ratios(found, over.format(n), under.format(n)))
            for n in (16, 1)), f"{calls['broadcast']} / {calls[counted]}"])
    return rows


def instructions(found, name, per=1):
    """Instructions per something, in words."""
    counted = found.get("instructions")
    return f"{counted[name] / per:.0f}" if counted else "-"


def more(found, name, step):
    """Instructions for each one that `step` has more than the one before."""
    counted = found.get("instructions")
    if not counted or step == COUNTS[0]:
        return "-"
    before = COUNTS[COUNTS.index(step) - 1]
    added = counted[f"{name} {step}"] - counted[f"{name} {before}"]
    return f"{added / (step - before):.0f}"


def polling_rows(found, value, ratio):
    """What polling saves, in words."""
    spared = bench_stats.summary([
        (row["broadcast 16"] - row["quiet 16"]) / TARGETS
        for row in found["rounds"]])
    rows = [
        ["device: CPU time of an interrupt by MSI-X, ns per event",
         value(spared)],
        ["device: CPU time of a broadcast without interrupts over one with",
         ratio(ratios(found, "quiet 16", "broadcast 16"))]]
    guest = found.get("guest", {"skipped": "not asked for"})
    if "skipped" in guest:
        return rows + [["guest under TCG", f"skipped: {guest['skipped']}"]]
    trips = {name: bench_stats.summary([1000 * median for median, *_ in games])
             for name, games in guest.items()}
    avoided, made = (sum(game[i] for game in guest["poll"]) for i in (1, 2))
    return rows + [
        ["guest under TCG: share of interrupts avoided",
         f"{avoided / (avoided + made):.2%} of {avoided + made}"],
        ["guest under TCG: round trip with polling, ns", value(trips["poll"])],
        ["guest under TCG: round trip without, ns", value(trips["sleep"])],
        ["guest under TCG: with over without", ratio(bench_stats.summary(
            [a[0] / b[0] for a, b in zip(guest["poll"], guest["sleep"])]))]]


def tables(found, value, ratio):
    """For the report: (title, head, rows); value and ratio put a summary and
    a ratio into words."""
    if not found:
        return []
    return [
        (f"Signals: host CPU time of a broadcast to {TARGETS} targets over "
         f"that of {TARGETS} ivshmem doorbells, MSI-X on",
         ["broadcast, with", "doorbells, with", "16 in a row", "one alone",
          "system calls"], broadcast_rows(found, ratio)),
        ("Signals: a request by its targets, one is 1",
         ["targets", "CPU time per target", "instructions per target",
          "of them for each further one"],
         [[str(n), ratio(ratios(found, f"of {n}", "of 1", 1 / n)),
           instructions(found, f"of {n}", n), more(found, "of", n)]
          for n in COUNTS]),
        ("Signals: a request to one of N nodes, and to all and the sender's",
         ["N", "one: CPU time", "one by link: CPU time", "one: instructions",
          "all: CPU time per node", "all: instructions per node",
          "for each further one"],
         [[str(n), ratio(ratios(found, f"node of {n}", "node of 1")),
           ratio(ratios(found, f"link of {n}", "link of 1")),
           instructions(found, f"node of {n}"),
           ratio(ratios(found, f"nodes {n}", "nodes 1", 2 / (n + 1))),
           instructions(found, f"nodes {n}", n + 1), more(found, "nodes", n)]
          for n in COUNTS]),
        ("Signals: round trip on a link, that on a bare UNIX socket is 1",
         ["frames", "ratio"],
         [["PING and PONG", ratio(ratios(found, "ping", "socket"))],
          ["SIGNAL, which interrupts a target, and STATUS",
           ratio(ratios(found, "signal", "socket"))]]),
        ("Signals: what polling saves", ["figure", "amount"],
         polling_rows(found, value, ratio)),
    ]
