#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Instructions per request on the device's side, counted by callgrind.

QEMU runs under valgrind with every device in the main loop.  What is charged
to the ring is the inclusive cost of each call that enters the public virtqueue
functions from outside them; what is charged to the device is that of its
queue handler.  Both leave the qtest socket and the rest of the main loop out.
The driver lets the device come to rest after each batch, so the same binary
makes the same calls on every machine; what malloc does inside them varies by
about one percent.

A repeated string instruction counts once per repetition: 8 KiB that the
compiler has zeroed by words count as 1024.  The C library is told not to use
the byte-wise ones, which would count 16 KiB as 16384.
"""

import glob
import os
import re
import shutil
import tempfile

from . import progress
from .bench_cells import CellError
from .bench_qemu import BenchQemu, run_quiet
from .errors import Failure

# The virtqueue functions that devices call.  A name that a binary lacks
# costs nothing.
RING_FUNCTIONS = frozenset((
    "virtqueue_pop", "virtqueue_push", "virtqueue_fill", "virtqueue_flush",
    "virtqueue_free_element", "virtqueue_detach_element",
    "virtqueue_get_avail_bytes", "virtqueue_avail_bytes",
    "virtio_notify", "virtio_notify_irqfd", "virtio_queue_empty",
    "virtio_queue_set_notification", "virtio_queue_packed_empty",
    "virtqueue_unpop", "virtqueue_rewind", "virtqueue_drop_all",
))

HANDLERS = {
    "echo": frozenset(("echo_handle_output",)),
    "net": frozenset(("virtio_net_tx_bh", "virtio_net_handle_tx_bh")),
    # Completions run in a coroutine and in bottom halves, which no single
    # function covers.
    "blk": frozenset(),
    "blk4k": frozenset(),
}

REQUESTS = 256          # more do not change the figures, only the wait
WARMUP = 64

_NAME = re.compile(r"\((\d+)\)(?: (.*))?")


def read_profile(lines, wanted):
    """Sum a callgrind profile.

    lines: of a callgrind output file
    wanted: function names
    Returns (inclusive instructions, calls) of the calls into `wanted` that
    come from functions outside it.
    """
    names = {}

    def name_of(text):
        match = _NAME.match(text)
        if not match:
            return text
        if match.group(2) is not None:
            names[match.group(1)] = match.group(2)
        try:
            # A trailing 'N tells apart the levels of a recursion.
            return names[match.group(1)].split("'")[0]
        except KeyError:
            raise Failure(f"a callgrind profile uses name {text} before it "
                          "defines it",
                          "Is this valgrind newer than the script?") from None

    total = calls = 0
    caller = callee = ""
    pending = 0
    for line in lines:
        if line.startswith("fn="):
            caller = name_of(line[3:].rstrip("\n"))
        elif line.startswith("cfn="):
            callee = name_of(line[4:].rstrip("\n"))
        elif line.startswith("calls="):
            pending = int(line[6:].split()[0])
        elif pending and line[:1] in "0123456789+-*":
            if callee in wanted and caller not in wanted:
                total += int(line.split()[1])
                calls += pending
            pending = 0
    return total, calls


class Callgrind:
    """One QEMU under callgrind; use it as a context manager.

    make: gives the QEMU, as BenchQemu() does
    """

    def __init__(self, tools, variant, make=BenchQemu):
        for name in ("valgrind", "callgrind_control"):
            if not shutil.which(name):
                raise Failure(f"the program '{name}' is missing",
                              "Install the Debian package valgrind.")
        self.tools = tools
        self.dir = tempfile.mkdtemp(prefix="vadis-callgrind.")
        # %p would be expanded by valgrind: the directory has none
        self.base = os.path.join(self.dir, "out")
        self.qemu = make(variant, iothread=False, wrapper=[
            "valgrind", "--tool=callgrind", "--instr-atstart=no",
            f"--callgrind-out-file={self.base}"], env={
                "GLIBC_TUNABLES":
                "glibc.cpu.x86_rep_stosb_threshold=1073741824:"
                "glibc.cpu.x86_rep_movsb_threshold=1073741824"})

    def __enter__(self):
        try:
            self.qemu.__enter__()
            self._control("-i", "on")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *exc):
        self.qemu.__exit__(*exc)
        shutil.rmtree(self.dir, ignore_errors=True)

    def _control(self, *args):
        # callgrind_control finds the pipes of valgrind under its TMPDIR
        got = run_quiet(["callgrind_control", *args, str(self.qemu.pid)])
        if got.returncode or "OK" not in got.stdout:
            raise Failure("callgrind_control " + " ".join(args) +
                          f" failed: {got.stdout.strip()[-300:]} "
                          f"{got.stderr.strip()}",
                          "It needs to trace QEMU: is ptrace forbidden here?")

    def dump(self):
        """Write the counters, set them to zero, return the lines."""
        for old in glob.glob(self.base + "*"):
            os.unlink(old)
        self._control("-d")
        files = glob.glob(self.base + ".*")
        if len(files) != 1:
            raise Failure(f"callgrind wrote {len(files)} profiles, not one")
        with open(files[0], encoding="utf-8", errors="replace") as file:
            return file.readlines()

    def measure(self, cell, options=(), requests=REQUESTS,
                other=frozenset()):
        """Instructions per request of one cell, or None if QEMU lacks a
        feature.

        options: more of the driver's
        other: functions that are counted as well, with what they call
        """
        self.tools.place(self.qemu, cell.device)
        self.dump()
        try:
            sample = self.tools.drive(self.qemu, cell, [
                "--requests", str(requests), "--warmup", str(WARMUP),
                "--lockstep", "--outstanding", str(cell.batch),
                "--timeout-ms", "60000", *options])
        except CellError as err:
            if err.unsupported:
                return None
            raise Failure(f"under callgrind: {err}") from None
        lines = self.dump()
        requests = sample["requests"] + sample["warmup_requests"]
        ring, calls = read_profile(lines, RING_FUNCTIONS)
        handler, _ = read_profile(lines, HANDLERS[cell.device])
        if not ring:
            raise Failure(
                f"callgrind saw no virtqueue function in "
                f"{self.qemu.variant.binary}",
                "Build QEMU with symbols (not stripped).")
        return {
            **cell.as_dict(),
            "outstanding": sample["outstanding"],
            "requests": requests,
            "ring_instructions": ring / requests,
            "ring_calls": calls / requests,
            "handler_instructions": handler / requests if handler else None,
            "other_instructions": read_profile(lines, other)[0] / requests,
        }


def run(tools, variants, cells):
    """Count every cell on every variant; returns a list of results."""
    results = []
    for variant in variants:
        mine = [c for c in cells if c.device in variant.devices()]
        if not mine:
            continue
        with progress.step(f"callgrind: {variant.label}, {len(mine)} cells") \
                as step, Callgrind(tools, variant) as grind:
            for done, cell in enumerate(mine):
                step.update(f"{done}/{len(mine)} {cell}")
                result = grind.measure(cell)
                if result:
                    results.append({"variant": variant.label, **result})
    return results
