#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/bench: measure virtqueues honestly on a machine that is not quiet.

Compares QEMU binaries, or the ring engines of one binary, by driving their
virtio devices from a host process over shared guest RAM.  Writes
build/bench/report.{json,svg,html} and prints the tables.
"""

import argparse
import contextlib
import os
import signal
import sys
import time

from . import bench_callgrind, bench_cells, bench_chart, bench_core
from . import bench_growth, bench_iommu, bench_labels, bench_report
from . import bench_share, bench_signal, bench_smoke, bench_stats, progress
from .bench_qemu import Variant, run_quiet
from .bench_time import TimeRun
from .errors import Failure

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))

# rounds, most seconds for them, milliseconds per sample
QUICK = {"rounds": 5, "seconds": 330, "milliseconds": 40}
FULL = {"rounds": 15, "seconds": 3600, "milliseconds": 150}


def parse(argv):
    """The options; the environment's are defaults for them."""
    env = os.environ
    parser = argparse.ArgumentParser(
        prog="bench", description=__doc__.split("\n", maxsplit=1)[0],
        epilog="The environment variables BENCH=full and PEER=path stand for "
               "--full and --peer path, VADIS_QEMU=path for --qemu.")
    parser.add_argument("--full", action="store_true",
                        default=env.get("BENCH") == "full",
                        help="15 rounds and every callgrind cell (an hour); "
                             "otherwise about ten minutes")
    parser.add_argument("--smoke", action="store_true",
                        help="check that every part works and every answer "
                             "is right; measures nothing")
    parser.add_argument("--qemu", help="the QEMU that is measured "
                        "(build/qemu-system-x86_64)")
    parser.add_argument("--peer", default=env.get("PEER"),
                        help="another QEMU to compare with")
    parser.add_argument("--build", default=os.path.join(TOP, "build"),
                        help="build directory (build)")
    parser.add_argument("--tools", help="directory of the outer meson build "
                        "(build/unit; built if needed)")
    parser.add_argument("--out", help="directory of the report (build/bench)")
    parser.add_argument("--device", action="append", metavar="NAME",
                        choices=bench_cells.DEVICES,
                        help="only this device: echo, blk, net; repeatable")
    parser.add_argument("--only", metavar="TEXT", action="append",
                        help="only cells whose name contains this, for "
                             "instance 'packed batch 16', or 'signals'; "
                             "repeatable")
    parser.add_argument("--rounds", type=int, metavar="N",
                        help="number of rounds")
    parser.add_argument("--seconds", type=int, metavar="N",
                        help="most seconds for all rounds, at least one runs")
    parser.add_argument("--no-callgrind", action="store_true",
                        help="do not count instructions")
    parser.add_argument("--no-time", action="store_true",
                        help="only what does not depend on the machine")
    args = parser.parse_args(argv)
    if env.get("BENCH") not in (None, "", "full", "quick"):
        parser.error(f"BENCH={env['BENCH']}: use full or quick")
    args.qemu = args.qemu or env.get("VADIS_QEMU") or \
        os.path.join(args.build, "qemu-system-x86_64")
    args.out = args.out or os.path.join(args.build, "bench")
    return args


def outer_build(args):
    """Build the driver and the ring tools; returns bench_cells.Tools."""
    directory = args.tools or os.path.join(args.build, "unit")
    meson = "/usr/bin/meson" if os.path.exists("/usr/bin/meson") else "meson"
    if not args.tools:
        commands = [["ninja", "-C", directory]]
        if not os.path.exists(os.path.join(directory, "build.ninja")):
            commands.insert(0, [meson, "setup", directory, TOP])
        for command in commands:
            try:
                got = run_quiet(command)
            except FileNotFoundError:
                raise Failure(f"the program '{command[0]}' is missing",
                              "Run: scripts/install-deps") from None
            if got.returncode:
                raise Failure(" ".join(command) + " failed",
                              got.stdout[-2000:] + got.stderr[-2000:])
    return bench_cells.Tools(directory)


def find_variants(args):
    """The baselines that exist, then the subject."""
    subject = Variant("vadis", args.qemu)
    found = []
    for name in ("stock", "stock-nozero"):
        path = os.path.join(args.build, name, "qemu-system-x86_64")
        if os.path.exists(path):
            found.append(Variant(name, path))
    if args.peer:
        found.append(Variant("peer", args.peer))
    if subject.has_property("virtio-blk-pci", "x-ring"):
        found.append(Variant("x-ring=stock", args.qemu, "x-ring=stock"))
        subject.props = "x-ring=auto"
    return found + [subject]


def describe(variant):
    """A variant for the report; paths below the project are relative."""
    path = variant.binary
    if path.startswith(TOP + os.sep):
        path = os.path.relpath(path, TOP)
    return {"label": variant.label, "binary": path, "props": variant.props,
            "version": variant.version, "devices": variant.devices()}


def counted(tools, what, argv):
    """The JSON lines of one of the ring library's counting programs."""
    with progress.step(f"counting: {what}"):
        return tools.json_lines(argv, 1800)


def count_lines(tools):
    """Cache lines touched by each side."""
    return counted(tools, "cache lines", [tools.ringcount])


def count_driver_instructions(args, tools):
    """Instructions of the driver side, under valgrind."""
    if args.no_callgrind:
        return []
    return counted(
        tools, "instructions of the driver side",
        ["/usr/bin/python3", os.path.join(TOP, "tests", "ring", "ringinsn.py"),
         tools.ringinsn] + ["--quick"] * (not args.full))


def chosen(args, cells):
    """Those of the cells that --only names."""
    return [c for c in cells
            if not args.only or any(t in str(c) for t in args.only)]


def instruction_cells(args, devices):
    """Fewer cells than the time part: valgrind is slow, and exact."""
    if args.full:
        return bench_cells.matrix(devices)
    configs = [c for c in bench_cells.all_configs()
               if not c.event_idx and not (c.indirect and c.in_order)]
    return bench_cells.matrix(devices, configs, (1, 16))


AUTOGROUP = "/proc/self/autogroup"


def set_priority(nice):
    """Set the nice value of this process and, where the kernel schedules
    each session as one, of its session; returns whether that is allowed."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
        if os.path.exists(AUTOGROUP):
            with open(AUTOGROUP, "w", encoding="ascii") as file:
                file.write(str(nice))
    except OSError:
        return False
    return True


@contextlib.contextmanager
def raised_priority():
    """Run at the highest ordinary priority where that is allowed; yields
    whether it is.  Everything started inside inherits it."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    raised = set_priority(-20)
    try:
        yield raised
    finally:
        if raised:
            set_priority(before)


def labels(args, tools, variants, plan):
    """Batch labels of the subject; None where echo is not measured."""
    if args.device and "echo" not in args.device:
        return None
    return bench_labels.run(tools, variants[-1], plan["rounds"],
                            plan.get("milliseconds"))


def iommu(args, tools, variants, plan):
    """Behind an IOMMU, of the subject; None where only some is measured."""
    if args.device or args.only:
        return None
    return bench_iommu.run(tools, variants[-1], plan["rounds"],
                           plan.get("milliseconds"), not args.no_callgrind)


def measure(args):
    """Everything; returns the report."""
    begin = time.monotonic()
    plan = dict(FULL if args.full else QUICK)
    for key in ("rounds", "seconds"):
        if getattr(args, key):
            plan[key] = getattr(args, key)
    tools = outer_build(args)
    variants = find_variants(args)
    devices = args.device or bench_cells.DEVICES
    for device in devices:
        if not any(device in v.devices() for v in variants):
            progress.note(f"no QEMU here has the {device} device: left out")
    devices = [d for d in devices if any(d in v.devices() for v in variants)]
    report = {
        "schema": bench_report.SCHEMA,
        "mode": "full" if args.full else "quick",
        "started": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "machine": bench_report.machine_facts(tools),
        "variants": [describe(v) for v in variants],
        "subject": variants[-1].label,
        "lines": count_lines(tools),
        "driver_instructions": count_driver_instructions(args, tools),
        "instructions": [],
    }
    if not args.no_callgrind:
        report["instructions"] = bench_callgrind.run(
            tools, variants, chosen(args, instruction_cells(args, devices)))
    run = TimeRun(tools, variants, chosen(args, bench_cells.matrix(devices)),
                  plan["milliseconds"])
    if not args.no_time:
        with raised_priority() as raised:
            report["machine"]["priority"] = "raised" if raised else "ordinary"
            if not args.device and not args.only:
                report["core"] = bench_core.run(tools)
            if not args.device and (not args.only or "signals" in args.only):
                report["signal"] = bench_signal.run(
                    variants[-1], plan["rounds"], not args.no_callgrind)
            if not args.only and (not args.device or "blk" in args.device):
                report["growth"] = bench_growth.run(tools, variants,
                                                    plan["rounds"])
                report["share"] = bench_share.run(tools, variants[-1],
                                                  plan["rounds"])
            run.run(plan["rounds"], plan["seconds"])
            report["labels"] = labels(args, tools, variants, plan)
            report["iommu"] = iommu(args, tools, variants, plan)
    else:
        report["labels"] = labels(args, tools, variants, {"rounds": 0})
        report["iommu"] = iommu(args, tools, variants, {"rounds": 0})
    report["rounds"] = run.rounds
    report["probe"] = bench_stats.summary(run.probes)
    report["cells"] = bench_report.cells_of(run, report["subject"])
    report["unsupported"] = sorted(f"{cell} [{label}]"
                                   for cell, label in run.unsupported)
    report["unreached"] = [str(cell) for cell in run.unreached()] \
        if not args.no_time else []
    report["failures"] = [f"[{label}] {message}" for (_, label), message
                          in run.failures.items()]
    report["warnings"] = bench_report.warnings_of(report)
    report["void"] = bench_report.voids_of(report)
    report["seconds"] = round(time.monotonic() - begin, 1)
    return report


def main(argv=None):
    """The command; returns the exit status."""
    args = parse(argv)
    # end like Ctrl-C does: QEMU stopped, temporary files removed
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if args.smoke:
            return bench_smoke.command(outer_build(args),
                                       find_variants(args)[-1])
        report = measure(args)
        where = bench_report.write(report, args.out, bench_chart.draw)
    except Failure as err:
        print(f"bench: error: {err}", file=sys.stderr)
        return err.status
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    print(bench_report.text(report))
    print(f"\n{where} (and .json, .svg) after {report['seconds']:.0f} s")
    return 1 if report["failures"] else 0
