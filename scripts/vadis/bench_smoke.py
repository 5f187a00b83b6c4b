#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What must hold in every run of the ring benchmark, whatever the machine.

Used by scripts/bench --smoke and by tests/ringbench/test_smoke.py.  Nothing here
looks at a time.
"""

from . import bench_iommu, bench_stats, progress
from .bench_cells import Cell, CellError, all_configs
from .bench_qemu import ALWAYS_POLLS, SLOTS, BenchQemu

# (requests, warm-up): several laps of the ring.  In lockstep each batch costs
# several answers on the qtest socket.
COUNTS = {False: (1024, 256), True: (256, 64)}

# bytes that one right answer has, all of which --check-all compares
ANSWER_BYTES = {"echo": 64, "blk": 513, "net": 0}


def smoke_cells(device):
    """Every configuration, each with one batch size, all sizes in use."""
    sizes = (1, 4, 16, 64)
    return [Cell(device, config, sizes[(n + n // 4) % 4])
            for n, config in enumerate(all_configs())]


def run_cell(tools, qemu, cell):
    """Drive one cell with every answer compared; returns the sample.

    On a QEMU without iothread in lockstep, asking for interrupts.
    """
    slot = SLOTS["blk-zeroes" if cell.device == "blk" else cell.device]
    tools.place(qemu, cell.device)
    lockstep = not qemu.iothread
    requests, warmup = COUNTS[lockstep]
    extra = ["--lockstep", "--interrupts", "--outstanding", str(cell.batch)]
    return tools.drive(qemu, cell, [
        "--requests", str(requests), "--warmup", str(warmup), "--check-all",
        "--timeout-ms", "30000"] + extra * lockstep, slot)


def cell_errors(cell, sample, lockstep):
    """What is wrong with a sample: a list of sentences."""
    errors = list(bench_stats.sample_errors(sample))
    config = cell.config
    wanted = (1 << 32 |
              (config.ring == "packed") << 34 | config.indirect << 28 |
              config.in_order << 35 | config.event_idx << 29)
    if sample["features"] != wanted:
        errors.append(f"features 0x{sample['features']:x} were negotiated, "
                      f"not 0x{wanted:x}")
    requests, warmup = COUNTS[lockstep]
    for key, count in (("requests", requests), ("warmup_requests", warmup),
                       ("checked_bytes", ANSWER_BYTES[cell.device] *
                        (requests + warmup))):
        if sample[key] != count:
            errors.append(f"{key} is {sample[key]}, not {count}")
    if lockstep:
        # A device at rest needs a kick for each batch and, being asked to,
        # interrupts for each.
        for key in ("kicks", "interrupts"):
            if sample[key] != sample["batches"]:
                errors.append(f"{sample[key]} {key} for {sample['batches']} "
                              "batches in lockstep")
        return errors
    if sample["kicks"] > sample["batches"]:
        errors.append(f"{sample['kicks']} kicks for {sample['batches']} "
                      "batches")
    # Nobody asked for an interrupt.  With EVENT_IDX the split ring cannot
    # say "never": one may come each time an index passes the event.
    allowed = 1 if config.ring == "split" and config.event_idx else 0
    if sample["interrupts"] > allowed:
        errors.append(f"{sample['interrupts']} interrupts, at most {allowed} "
                      "expected")
    return errors


def check_iommu(tools, variant):
    """(loads looked at, sentences about what is not as promised)."""
    if not bench_iommu.offered(variant):
        return 0, []
    with progress.step("smoke: translations behind VT-d"):
        try:
            rows = bench_iommu.counts(tools, variant)
        except CellError as err:
            return 1, [str(err)]
    return len(rows), bench_iommu.count_errors(rows)


def command(tools, variant):
    """scripts/bench --smoke; returns the exit status."""
    done, errors = check_iommu(tools, variant)
    failed = len(errors)
    for error in errors:
        print(f"FAILED {error}")
    for iothread in (ALWAYS_POLLS, False):
        with BenchQemu(variant, iothread=iothread) as qemu:
            for device in variant.devices():
                cells = smoke_cells(device)
                what = "polled" if iothread else "in lockstep"
                with progress.step(f"smoke: {device} {what}, "
                                   f"{len(cells)} cells") as step:
                    for cell in cells:
                        step.update(str(cell))
                        try:
                            errors = cell_errors(
                                cell, run_cell(tools, qemu, cell),
                                not iothread)
                        except CellError as err:
                            errors = [str(err)]
                        done += 1
                        failed += bool(errors)
                        for error in errors:
                            print(f"FAILED {cell} {what}: {error}")
    print(f"bench smoke: {done - failed} cells passed, {failed} failed")
    return 1 if failed else 0
