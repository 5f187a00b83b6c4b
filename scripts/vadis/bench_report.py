#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The ring benchmark's report: JSON, text and a page that stands alone."""

import html
import json
import os
import platform

from . import bench_core, bench_growth, bench_iommu, bench_labels
from . import bench_share, bench_signal, bench_stats

SCHEMA = "vadis-bench/1"
FEW_PAIRS = 3

METHOD = """\
QEMU runs no guest code (-accel qtest). A driver process sets the device up \
over the qtest socket and then works the ring in RAM that both share. \
virtio-echo and virtio-blk are polled by an iothread on a CPU of its own, and \
the driver polls on another: wall time per request, one batch in flight. \
virtio-net has no iothread: CPU time of the whole QEMU process per request, \
with as many batches in flight as the ring holds.
The machine may be shared and change its speed, so times are only compared \
inside a pair: one run on each variant, one after the other, in alternating \
order, with a reading of a cache-line ping-pong between two CPUs (the probe) \
before, between and after. A pair whose probes differ by more than 15 % is \
discarded. Figures are medians with quartiles over the pairs that are left; \
a ratio is formed inside its pair. A wall time with more than one kick per 100 \
batches is void, because a kick through the qtest socket costs some 25 us, and \
so is one in which the driver or the device waited more than 5 % of the time \
for a CPU that other programs used, and a CPU time of which kicks, at 25 us \
each, are more than 10 %; both run at raised priority where that is \
allowed. Polled devices are timed in slices of a few hundred requests, of which \
only those count in which neither side waited at all, if there are enough. \
The floor is the same ring between two threads of one process without QEMU.
Instructions, cache lines, kicks and interrupts do not depend on the machine's \
mood. Instructions are counted by callgrind; on the device's side they are \
those inside QEMU's virtqueue functions (ring) and inside the device's queue \
handler. Cache lines are distinct 64-byte lines of the ring touched per \
request by each side, counted in the driver library's memory accessor with a \
model of the device at the other end. A miss moves a line from one side to the \
other, an upgrade takes it away from the other side for a write. Modes: poll, \
nobody asks to be notified; flags and event, both sides ask before they wait, \
without and with EVENT_IDX.
The cells of one request: echo 64 bytes out and in (two descriptors); blk a \
512-byte read (two descriptors: header, data with status); net a 60-byte frame \
(one descriptor with its header). Each answer is checked as it comes."""


def machine_facts(tools):
    """What the figures were taken on."""
    model = "unknown CPU"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {
        "cpu": model,
        "arch": platform.machine(),
        "cpus": os.cpu_count(),
        "driver_cpu": tools.driver_cpu,
        "device_cpu": tools.device_cpu,
        "kernel": platform.release(),
        "load": list(os.getloadavg()),
        "priority": "ordinary",
    }


def cells_of(run, subject):
    """The rows of the time table."""
    rows = []
    for cell, pairs in run.pairs.items():
        if not pairs:
            continue
        row = cell.as_dict()
        for metric in ("wall", "cpu"):
            row[metric] = bench_stats.summarise_cell(pairs, metric, subject)
        row["kicks_per_100_batches"] = {
            name: bench_stats.median(
                [100 * p["samples"][name]["kicks"] /
                 p["samples"][name]["batches"]
                 for p in pairs if name in p["samples"]])
            for name in row["wall"]["variants"]}
        row["interrupts"] = {
            name: sum(p["samples"][name]["interrupts"]
                      for p in pairs if name in p["samples"])
            for name in row["wall"]["variants"]}
        rows.append(row)
    return rows


def warnings_of(report):
    """What a reader must know before believing the table."""
    found = []
    total = sum(c["wall"]["pairs"] for c in report["cells"])
    lost = sum(c["wall"]["discarded"] for c in report["cells"])
    if lost:
        found.append(f"{lost} of {total} pairs were discarded: the probe "
                     f"changed by more than {bench_stats.PROBE_LIMIT:.0%} "
                     "within them.")
    if total and lost > total / 2:
        found.append("More than half of the pairs were discarded: this "
                     "machine was too busy; take the times again.")
    few = [name_of(c) for c in report["cells"]
           if any(0 < (s["n"] if s else 0) < FEW_PAIRS
                  for s in c[c["metric"]]["variants"].values())]
    if few:
        found.append(f"{len(few)} cells rest on fewer than {FEW_PAIRS} "
                     "pairs (marked ~).")
    if report["unreached"]:
        found.append(f"{len(report['unreached'])} cells were not reached in "
                     "the time given: this machine is slow or busy.")
    if report["probe"]:
        spread = report["probe"]["max"] / report["probe"]["min"]
        if spread > 2:
            found.append(f"The probe read {report['probe']['min']:.0f} to "
                         f"{report['probe']['max']:.0f} ns: compare figures "
                         "of different cells with care.")
    if report["cells"] and report["machine"]["priority"] == "ordinary":
        found.append("The benchmark ran at ordinary priority: as root it "
                     "would stand its ground against other programs.")
    if len(report["variants"]) < 2:
        found.append("One variant only: times without a ratio. Run 'make "
                     "stock' or name another QEMU with PEER=path.")
    return found


def voids_of(report):
    """The cells that say nothing, with the reason."""
    found = []
    for cell in report["cells"]:
        result = cell[cell["metric"]]
        for variant, got in result["variants"].items():
            if got:
                continue
            void = result["void"].get(variant)
            why = void["why"] if void else "every pair was discarded"
            found.append(f"{name_of(cell)} [{variant}]: {why}")
    for item in report["unsupported"]:
        found.append(f"{item}: a feature is not offered")
    if report["unreached"]:
        found.append(f"{len(report['unreached'])} cells not reached in the "
                     "time given; report.json names them")
    return found


def name_of(row):
    """One row in words."""
    return (f"{row['device']} {row['ring']}" + " indirect" * row["indirect"] +
            " in_order" * row["in_order"] + " event_idx" * row["event_idx"] +
            f" batch {row['batch']}")


def _value(got):
    if not got:
        return "void"
    few = "~" if got["n"] < FEW_PAIRS else ""
    return (f"{few}{got['median']:.0f} "
            f"({got['q1']:.0f}-{got['q3']:.0f})")


def _ratio(got):
    if not got:
        return "-"
    few = "~" if got["n"] < FEW_PAIRS else ""
    return f"{few}{got['median']:.2f} ({got['q1']:.2f}-{got['q3']:.2f})"


def time_table(report):
    """Head and rows of the time table."""
    labels = [v["label"] for v in report["variants"]]
    subject = report["subject"]
    head = (["cell", "clock"] + [f"{n} ns" for n in labels] +
            [f"{subject}/{n}" for n in labels if n != subject] +
            ["floor ns", "kicks/100", "pairs"])
    rows = []
    for cell in report["cells"]:
        result = cell[cell["metric"]]
        rows.append(
            [name_of(cell), cell["metric"]] +
            [_value(result["variants"].get(n)) if n in result["variants"]
             else "-" for n in labels] +
            [_ratio(result["ratios"].get(n)) for n in labels
             if n != subject] +
            [_value(result["floor"]) if result["floor"] else "-",
             " ".join(f"{cell['kicks_per_100_batches'][n]:.2g}"
                      for n in labels if n in cell["kicks_per_100_batches"]),
             f"{result['pairs'] - result['discarded']}/{result['pairs']}"])
    return head, rows


def instruction_table(report):
    """Head and rows: callgrind, device side."""
    labels = [v["label"] for v in report["variants"]]
    head = (["cell"] + [f"{n} ring" for n in labels] +
            [f"{n} handler" for n in labels])
    cells = {}
    for got in report["instructions"]:
        cells.setdefault(name_of(got), {})[got["variant"]] = got
    rows = []
    for name, by in cells.items():
        rows.append([name] + [
            f"{by[n][key]:.0f}" if n in by and by[n][key] is not None else "-"
            for key in ("ring_instructions", "handler_instructions")
            for n in labels])
    return head, rows


def lines_tables(report, shapes):
    """Titles, heads and rows: cache lines by configuration and batch."""
    batches = sorted({one["batch"] for one in report["lines"]})
    by_config = {}
    for one in report["lines"]:
        if one["shape"] not in shapes:
            continue
        name = (f"{one['layout']} {one['shape']}" +
                " in_order" * one["in_order"] + f" {one['mode']}")
        by_config.setdefault(name, {})[one["batch"]] = one
    touched, moved = [], []
    for name, by in by_config.items():
        touched.append([name] + [
            f"{by[b]['driver']['lines']:.2f} / {by[b]['device']['lines']:.2f}"
            for b in batches])
        moved.append([name] + [
            f"{by[b]['misses']:.2f} + "
            f"{by[b]['transfers'] - by[b]['misses']:.2f}" for b in batches])
    head = [f"batch {b}" for b in batches]
    return [
        ("Cache lines of the ring touched per request: driver / device",
         ["ring"] + head, touched),
        ("Cache lines of the ring moved per request: misses + upgrades, "
         "both sides", ["ring"] + head, moved)]


def driver_table(report):
    """Head and rows: callgrind, driver side, one row per configuration."""
    batches = sorted({one["batch"] for one in report["driver_instructions"]})
    by_config = {}
    for one in report["driver_instructions"]:
        name = (f"{one['layout']} {one['shape']}" +
                " in_order" * one["in_order"] + f" {one['mode']}")
        by_config.setdefault(name, {})[one["batch"]] = one
    rows = []
    for name, by in by_config.items():
        rows.append([name] + [
            f"{by[b]['driver']:.1f} = {by[b]['instructions']['add']:.1f} + "
            f"{by[b]['instructions']['kick']:.1f} + "
            f"{by[b]['instructions']['get']:.1f}" if b in by else "-"
            for b in batches])
    return ["ring"] + [f"batch {b}" for b in batches], rows


def text_table(head, rows):
    """Columns aligned for a terminal."""
    widths = [max(len(r[i]) for r in [head] + rows) for i in range(len(head))]
    return "\n".join(
        "  ".join(text.ljust(w) if i == 0 else text.rjust(w)
                  for i, (text, w) in enumerate(zip(row, widths))).rstrip()
        for row in [head] + rows)


def tables(report, shapes=("direct", "chain", "indirect")):
    """The tables: (title, head, rows); shapes: of the ones about lines."""
    found = [("Time per request, ns: median (quartiles)",
              *time_table(report))]
    if report["instructions"]:
        found.append(("Instructions per request, device side",
                      *instruction_table(report)))
    if report["driver_instructions"]:
        found.append(("Instructions per request, driver side: all = add + "
                      "kick + get", *driver_table(report)))
    if report["lines"]:
        found += lines_tables(report, shapes)
    found += bench_core.tables(report.get("core"), _value, _ratio)
    found += bench_labels.tables(report.get("labels"), name_of, _value, _ratio)
    found += bench_iommu.tables(report.get("iommu"), name_of, _value, _ratio)
    found += bench_growth.tables(report.get("growth"), _value, _ratio)
    found += bench_share.tables(report.get("share"))
    found += bench_signal.tables(report.get("signal"), _value, _ratio)
    return found


def text(report):
    """The report for a terminal."""
    out = []
    for title, head, rows in tables(report, ("direct",)):
        out += ["", title, text_table(head, rows)]
    if report["warnings"]:
        out += ["", "Warnings"] + [f"  {w}" for w in report["warnings"]]
    if report["void"]:
        out += ["", "Void"] + [f"  {v}" for v in report["void"]]
    if report["failures"]:
        out += ["", "FAILED"] + [f"  {f}" for f in report["failures"]]
    return "\n".join(out)


def page(report, svg):
    """The report as one HTML page with the chart in it."""
    esc = html.escape
    # the chart without its XML prologue can stand inside a page
    svg = svg[svg.index("<svg"):]
    facts = report["machine"]
    out = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width'>",
        "<title>Vadis ring benchmark</title><style>",
        "body{font:15px/1.45 sans-serif;margin:2em auto;max-width:1100px;"
        "padding:0 1em;color:#222;background:#fff}svg{max-width:100%;"
        "height:auto}.wide{overflow-x:auto}table{border-collapse:collapse;"
        "font-size:12px}td,th{border:1px solid #ccc;padding:2px 6px;"
        "text-align:right;white-space:nowrap}td:first-child,th:first-child"
        "{text-align:left}tr:nth-child(even){background:#f5f5f5}"
        ".warn{background:#fff3cd;padding:.5em 1em;border:1px solid #e0c060}"
        ".bad{background:#f8d7da;padding:.5em 1em;border:1px solid #d08080}",
        "</style><h1>Vadis ring benchmark</h1>",
        f"<p>{esc(report['started'])}, {esc(report['mode'])} run, "
        f"{report['seconds']:.0f} s, {report['rounds']} rounds.</p>"]
    for key, kind, title in (("failures", "bad", "Failed"),
                             ("warnings", "warn", "Warnings")):
        if report[key]:
            out.append(f"<div class={kind}><b>{title}</b><ul>" +
                       "".join(f"<li>{esc(w)}" for w in report[key]) +
                       "</ul></div>")
    out.append(f"<div class=wide>{svg}</div><h2>Variants</h2><ul>")
    for v in report["variants"]:
        mark = " (the subject)" if v["label"] == report["subject"] else ""
        out.append(f"<li><b>{esc(v['label'])}</b>{mark}: {esc(v['version'])}, "
                   f"<code>{esc(v['binary'])}</code>"
                   + (f", <code>{esc(v['props'])}</code>" if v["props"] else "")
                   + f"; devices: {esc(', '.join(v['devices']))}")
    out.append("</ul><h2>Machine</h2><ul>")
    out.append(f"<li>{esc(facts['cpu'])}, {facts['cpus']} CPUs, "
               f"{esc(facts['arch'])}, Linux {esc(facts['kernel'])}"
               f"<li>driver on CPU {facts['driver_cpu']}, device on CPU "
               f"{facts['device_cpu']}, {esc(facts['priority'])} priority"
               "<li>load at the start: "
               + " ".join(f"{x:.2f}" for x in facts["load"]))
    if report["probe"]:
        p = report["probe"]
        out.append(f"<li>probe, ns per round trip of a line: median "
                   f"{p['median']:.0f}, quartiles {p['q1']:.0f} to "
                   f"{p['q3']:.0f}, extremes {p['min']:.0f} and "
                   f"{p['max']:.0f}, {p['n']} readings")
    out.append("</ul><h2>Method</h2>" +
               "".join(f"<p>{esc(p)}</p>" for p in METHOD.split("\n")))
    for title, head, rows in tables(report):
        out.append(f"<h2>{esc(title)}</h2><div class=wide><table><tr>" +
                   "".join(f"<th>{esc(h)}" for h in head) +
                   "".join("<tr>" + "".join(f"<td>{esc(x)}" for x in row)
                           for row in rows) + "</table></div>")
    out.append("<h2>Void cells</h2>")
    if report["void"]:
        out.append("<ul>" + "".join(f"<li>{esc(v)}" for v in report["void"]) +
                   "</ul>")
    else:
        out.append("<p>None.</p>")
    return "\n".join(out) + "\n"


def write(report, directory, draw):
    """Write report.json, .svg and .html; draw(report, path) makes the
    chart.  Returns the path of the page."""
    os.makedirs(directory, exist_ok=True)
    base = os.path.join(directory, "report")
    with open(base + ".json", "w", encoding="utf-8") as file:
        json.dump(report, file, indent=1)
        file.write("\n")
    draw(report, base + ".svg")
    with open(base + ".svg", encoding="utf-8") as file:
        svg = file.read()
    with open(base + ".html", "w", encoding="utf-8") as file:
        file.write(page(report, svg))
    return base + ".html"
