#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The time part of the ring benchmark: interleaved rounds of pairs.

A pair is one cell measured once on each variant, with the probe before, in
between and after and the floor (a bare ring between two threads, no QEMU) in
the middle.  All cells are visited once per round, in an order that changes
with the round, and so does the order of the variants: whatever the machine
does over time meets all of them alike.
"""

import random
import time

from . import progress
from .bench_cells import CellError
from .bench_qemu import BenchQemu


class TimeRun:
    """Collects pairs.

    tools: bench_cells.Tools
    variants: list of bench_qemu.Variant, the baseline first
    cells: what to measure
    """

    def __init__(self, tools, variants, cells, milliseconds):
        self.tools = tools
        self.variants = variants
        self.cells = cells
        self.milliseconds = milliseconds
        self.pairs = {cell: [] for cell in cells}
        self.failures = {}          # (cell, label) -> message
        self.unsupported = set()    # (cell, label)
        self.probes = []
        self.rounds = 0
        self._qemus = {}

    def _probe(self):
        value = self.tools.probe()
        self.probes.append(value)
        return value

    def _able(self, cell):
        return [v for v in self.variants
                if cell.device in v.devices()
                and (cell, v.label) not in self.failures
                and (cell, v.label) not in self.unsupported]

    def _qemu(self, variant):
        if variant.label not in self._qemus:
            self._qemus[variant.label] = BenchQemu(variant).__enter__()
        return self._qemus[variant.label]

    def _drop(self, variant):
        qemu = self._qemus.pop(variant.label, None)
        if qemu:
            qemu.__exit__(None, None, None)

    def _sample(self, variant, cell):
        """One sample, or None if this cell cannot be had from now on."""
        qemu = self._qemu(variant)
        self.tools.place(qemu, cell.device)
        try:
            return self.tools.drive(qemu, cell,
                                    ["--ms", str(self.milliseconds)])
        except CellError as err:
            if err.unsupported:
                self.unsupported.add((cell, variant.label))
            else:
                # Not tried again: a cell that fails once is a finding.
                self.failures[cell, variant.label] = str(err)
                progress.note(f"FAILED {variant.label}: {err}")
            # The device is in an unknown state: start over with a new QEMU.
            self._drop(variant)
            return None

    def _pair(self, cell, order):
        probes = [self._probe()]
        samples = {}
        floor = False           # not taken yet; None: taken, but void
        for variant in order:
            sample = self._sample(variant, cell)
            if sample:
                samples[variant.label] = sample
            probes.append(self._probe())
            if floor is False:
                floor = self.tools.floor(cell)
                probes.append(self._probe())
        if samples:
            # Reports list the baseline first, whatever ran first.
            ordered = {v.label: samples[v.label] for v in self.variants
                       if v.label in samples}
            self.pairs[cell].append({"probes": probes, "samples": ordered,
                                     "floor": floor})

    def run(self, rounds, seconds):
        """Measure so many rounds, or as many whole ones as fit in seconds.
        Of the first, as much as fits: unreached() has the rest."""
        begin = time.monotonic()
        longest = 0
        try:
            for number in range(rounds):
                start = time.monotonic()
                if number and start + longest > begin + seconds:
                    progress.note(f"time: {number} of {rounds} rounds fit in "
                                  f"{seconds:.0f} s")
                    break
                if not self._round(number, rounds, begin + 1.5 * seconds):
                    break
                self.rounds += 1
                longest = max(longest, time.monotonic() - start)
        finally:
            for variant in self.variants:
                self._drop(variant)

    def unreached(self):
        """Cells that the time did not suffice for."""
        return [cell for cell in self.cells
                if not self.pairs[cell] and self._able(cell)]

    def _round(self, number, rounds, deadline):
        """One round; False if it was cut short."""
        cells = list(self.cells)
        random.Random(number).shuffle(cells)
        with progress.step(f"time: round {number + 1} of {rounds}, "
                           f"{len(cells)} cells") as step:
            said = time.monotonic()
            for done, cell in enumerate(cells):
                if time.monotonic() > deadline:
                    progress.note(f"time: out of time after {done} of "
                                  f"{len(cells)} cells of round {number + 1}")
                    return False
                order = self._able(cell)
                if not order:
                    continue
                if number % 2:
                    order.reverse()
                step.update(f"{done}/{len(cells)} {cell}")
                if time.monotonic() - said > 30 and not step.tty:
                    progress.note(f"    {done} of {len(cells)} cells")
                    said = time.monotonic()
                self._pair(cell, order)
        return True
