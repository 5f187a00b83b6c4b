#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The ring benchmark works and every answer it gets is right.

Deterministic parts only: no test here looks at a time.
"""

import json
import os
import re
import signal
import subprocess
import sys

import pytest

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(TOP, "scripts"))

# pylint: disable=wrong-import-position
from vadis import bench, bench_callgrind, bench_cells  # noqa: E402
from vadis import bench_chart, bench_core, bench_growth  # noqa: E402
from vadis import bench_iommu, bench_iotlb, bench_labels  # noqa: E402
from vadis import bench_report  # noqa: E402
from vadis import bench_share  # noqa: E402
from vadis import bench_qemu, bench_smoke, bench_stats  # noqa: E402
from vadis import bench_time  # noqa: E402
from vadis.bench_qemu import NEVER_POLLS, BenchQemu  # noqa: E402
from vadis.errors import Failure  # noqa: E402

DEVICES = ("echo", "blk", "net")


@pytest.fixture(scope="module", name="tools")
def fixture_tools():
    return bench.outer_build(bench.parse([]))


@pytest.fixture(scope="module", name="variant")
def fixture_variant():
    return bench.find_variants(bench.parse([]))[-1]


@pytest.fixture(scope="module", name="qemu")
def fixture_qemu(variant):
    with BenchQemu(variant) as qemu:
        yield qemu


@pytest.fixture(scope="module", name="main_loop_qemu")
def fixture_main_loop_qemu(variant):
    with BenchQemu(variant, iothread=False) as qemu:
        yield qemu


def test_labels_make_one_interrupt_of_a_batch(tools, variant):
    for row in bench_labels.counts(tools, variant):
        parts = row["batch"] // bench_labels.DEVICE_BATCH
        assert row["on"] == {"kicks": 1, "interrupts": 1, "batches": parts}
        # With EVENT_IDX the driver has asked for the first one only
        assert row["off"] == {
            "kicks": 1, "interrupts": 1 if row["event_idx"] else parts,
            "batches": parts}


ALL_CELLS = [c for d in DEVICES for c in bench_smoke.smoke_cells(d)]


@pytest.mark.parametrize("cell", ALL_CELLS, ids=str)
def test_every_answer_of_a_polled_device_is_right(tools, qemu, cell):
    sample = bench_smoke.run_cell(tools, qemu, cell)
    assert bench_smoke.cell_errors(cell, sample, False) == []


@pytest.mark.parametrize("cell", ALL_CELLS, ids=str)
def test_each_batch_takes_one_kick_and_one_interrupt(tools, main_loop_qemu,
                                                     cell):
    sample = bench_smoke.run_cell(tools, main_loop_qemu, cell)
    assert bench_smoke.cell_errors(cell, sample, True) == []


@pytest.mark.parametrize("ring", ["split", "packed"])
@pytest.mark.parametrize("device", ["echo", "blk"])
def test_no_kick_is_lost_when_nobody_polls(tools, variant, device, ring):
    """The driver is as fast as the device: its next request comes while the
    device asks to be kicked for it, and looks whether it is there already."""
    cell = bench_cells.Cell(device, bench_cells.Config(ring), 1)
    with BenchQemu(variant, iothread=NEVER_POLLS) as qemu:
        tools.place(qemu, device)
        sample = tools.drive(qemu, cell, ["--requests", "20000",
                                          "--timeout-ms", "30000"])
    assert sample["requests"] == 20000


@pytest.fixture(scope="module", name="translated")
def fixture_translated(tools, variant):
    return bench_iommu.counts(tools, variant)


def test_translations_are_spared_as_promised(translated):
    assert bench_iommu.count_errors(translated) == []
    assert {row["mapping"] for row in translated} == {
        bench_iommu.STAYS, bench_iommu.EACH}


def test_each_new_mapping_is_asked_for_once(translated):
    """Fewer would be a translation that outlived its mapping."""
    for row in translated:
        mapped = bench_cells.SEGMENTS[row["device"]] + row["indirect"] \
            if row["mapping"] == bench_iommu.EACH else 0
        assert row["on"]["asked"] == mapped
        assert row["on"]["misses"] == mapped


def test_a_promise_that_is_not_kept_is_named(translated):
    rows = [{**row, "on": {**row["on"], "asked": row["off"]["asked"]},
             "spared": 0} for row in translated]
    assert len(bench_iommu.count_errors(rows)) == 2 * len(rows)


def test_all_three_sides_are_timed(tools, variant, translated):
    rows = bench_iommu.times(tools, variant, 1, 2)
    assert len(rows) == len(translated)
    found = {"counts": translated, "instructions": [], "times": rows}
    made = bench_iommu.tables(found, bench_report.name_of,
                              lambda got: str(got), lambda got: str(got))
    assert [len(table[2]) for table in made] == [len(rows)] * 2
    for _, head, lines in made:
        assert all(len(line) == len(head) for line in lines)


def test_mappings_are_as_many_as_asked_for(tools, variant):
    """Those that are not used are there, too: each is told when it goes."""
    cell = bench_iommu.MANY_CELL
    with bench_iommu.with_entries(variant, bench_iommu.VIOMMU, 1024) as qemu:
        tools.place(qemu, cell.device)
        for number in (2, 3000):
            before = iotlb_counter(qemu, "invalidations")
            for _ in range(2):
                sample = tools.drive(
                    qemu, cell, ["--requests", "512", "--warmup", "64",
                                 "--check-all", "--leave", "--iommu",
                                 "--viommu", "3", "--mappings", str(number)],
                    bench_qemu.SLOTS["blk-zeroes"])
                assert sample["checked_bytes"] == (512 + 64) * 4097
            # The second time those of the first were taken away.
            assert iotlb_counter(qemu, "invalidations") - before >= number


def iotlb_counter(qemu, name):
    with bench_labels.Monitor(qemu.monitor_path) as monitor:
        return sum(i[name] for i in monitor.ask("x-query-virtio-iotlb"))


def test_all_numbers_of_mappings_are_timed(tools, variant):
    rows = bench_iommu.many(tools, variant, 1, 2)
    assert [row["mappings"] for row in rows] == list(bench_iommu.MANY)
    lines = bench_iommu.many_rows(rows, str)
    assert all(len(line) == 5 for line in lines)


def test_the_iotlb_alone_is_timed(tools):
    rows = bench_iotlb.run(tools, 1, callgrind=False)
    assert {row["case"]: row["missed"] for row in rows
            if row["case"].startswith("hit")} == dict.fromkeys(
                ("hit, 1 mapping", "hit, 1000 mappings",
                 "hit, 1000000 mappings", "hit, three sizes"), 0)
    (_, head, lines), = bench_iotlb.tables(rows)
    assert len(lines) == len(rows)
    assert all(len(line) == len(head) for line in lines)


def test_what_is_mapped_for_a_request_needs_its_answer(tools, qemu):
    cell = bench_cells.Cell("net", bench_cells.Config("split"), 1)
    with pytest.raises(bench_cells.CellError, match="--map-each allows one"):
        tools.drive(qemu, cell, ["--map-each"])


@pytest.mark.parametrize("side", bench_iommu.SIDES)
@pytest.mark.parametrize("indirect", [False, True],
                         ids=["direct", "indirect"])
@pytest.mark.parametrize("ring", ["split", "packed"])
def test_every_answer_is_right_with_new_mappings(tools, variant, ring,
                                                 indirect, side):
    """Each request of a page is three segments, in the disk of zeroes."""
    cell = bench_cells.Cell("blk4k", bench_cells.Config(ring, indirect), 16)
    with bench_iommu.start(variant, side) as qemu:
        tools.place(qemu, cell.device)
        sample = tools.drive(
            qemu, cell, ["--requests", "512", "--warmup", "64", "--check-all",
                         "--timeout-ms", "30000"] +
            bench_iommu.options(bench_iommu.EACH, side),
            bench_qemu.SLOTS["blk-zeroes"])
    assert sample["checked_bytes"] == (512 + 64) * 4097


@pytest.mark.parametrize("sizes, make", [
    ((1, 256), bench_growth.by_queues), ((1, 64), bench_growth.by_regions)],
    ids=["queues", "regions"])
def test_growth_is_measured_at_both_ends(tools, variant, sizes, make):
    rows = bench_growth.measure(tools, variant, sizes, make, 3)
    assert [row["batch"] for row in rows] == list(bench_growth.BATCHES)
    for row in rows:
        assert list(row["sizes"]) == [str(size) for size in sizes]


def test_a_machine_has_the_regions_it_is_given(variant):
    with BenchQemu(variant, monitor=True,
                   extra=bench_qemu.ram_regions(64)) as qemu, \
            bench_labels.Monitor(qemu.monitor_path) as monitor:
        assert len(monitor.ask("query-memory-devices")) == 63


def test_both_programs_get_on_beside_each_other(tools, variant):
    with BenchQemu(variant, iothread=NEVER_POLLS) as qemu:
        rate, share = bench_share.sample(tools, qemu, 100)
    assert rate > 0
    assert 0 < share <= 1


def test_a_wrong_answer_is_noticed(tools, qemu):
    """The disk without read-zeroes leaves the buffer as it was."""
    cell = bench_cells.Cell("blk", bench_cells.Config("packed"), 4)
    with pytest.raises(bench_cells.CellError, match="wrongly"):
        tools.drive(qemu, cell, ["--requests", "64", "--check-all"])


def test_the_driver_refuses_an_empty_slot(tools, qemu):
    cell = bench_cells.Cell("net", bench_cells.Config("split"), 1)
    with pytest.raises(bench_cells.CellError, match="slot 20 holds"):
        tools.drive(qemu, cell, ["--requests", "1"], slot=20)


def test_the_driver_refuses_what_does_not_fit(tools, qemu):
    cell = bench_cells.Cell("net", bench_cells.Config("split"), 1)
    with pytest.raises(bench_cells.CellError, match="do not fit"):
        tools.drive(qemu, cell, ["--outstanding", "512"])


def test_a_dead_qemu_is_one_clear_message(tools, variant):
    cell = bench_cells.Cell("net", bench_cells.Config("split"), 1)
    with BenchQemu(variant) as qemu:
        os.kill(qemu.pid, signal.SIGKILL)
        qemu.process.wait()
        with pytest.raises(bench_cells.CellError) as caught:
            tools.drive(qemu, cell, ["--requests", "1"])
    assert len(str(caught.value).splitlines()) == 1


def test_a_stopped_qemu_runs_into_the_deadline(tools, variant):
    cell = bench_cells.Cell("net", bench_cells.Config("split"), 1)
    with BenchQemu(variant) as qemu:
        os.kill(qemu.pid, signal.SIGSTOP)
        try:
            with pytest.raises(bench_cells.CellError, match="not answered"):
                tools.drive(qemu, cell, ["--timeout-ms", "200"])
        finally:
            os.kill(qemu.pid, signal.SIGCONT)


def test_a_qemu_that_does_not_start_is_one_clear_message(variant):
    qemu = BenchQemu(variant, wrapper=["/bin/false"])
    with pytest.raises(Failure, match="ended with status 1"):
        with qemu:
            pass
    assert not os.path.exists(qemu.dir)


def test_no_file_is_left_behind(variant):
    with BenchQemu(variant) as qemu:
        directory, process = qemu.dir, qemu.process
        assert os.path.isdir(directory)
    assert not os.path.exists(directory)
    assert process.returncode is not None


@pytest.mark.parametrize("option", [
    ["--batch", "0"], ["--batch", "x"], ["--batch", "3", "--requests", "4"],
    ["--ring", "round"], ["--device", "gpu"], ["--queue-size", "65536"],
    ["--requests", "-1"], ["extra"],
    ["--batch", "4", "--outstanding", "6"], ["--queue-size", "100"]],
    ids=" ".join)
def test_a_wrong_option_is_named(tools, option):
    got = subprocess.run(
        [tools.driver, "--qtest", "/nowhere", "--pid", "1", "--device", "net",
         "--slot", "4"] + option, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, check=False)
    assert got.returncode == 1 and got.stdout == ""
    assert option[0].lstrip("-") in got.stderr
    assert len(got.stderr.splitlines()) == 1


PROFILE = """\
events: Ir
fn=(1) virtio_blk_handle_output
10 5
cfn=(2) virtqueue_pop
calls=3 100
11 300
cfn=(3) helper
calls=1 50
+1 7

fn=(2)
20 100
cfn=(4) virtqueue_push'2
calls=9 9
* 900

fn=(3)
30 7
cfn=(4)
calls=2 9
+4 40
"""


def test_callgrind_profiles_are_summed_at_the_border():
    """Calls from one ring function to another are counted once."""
    wanted = {"virtqueue_pop", "virtqueue_push"}
    got = bench_callgrind.read_profile(PROFILE.splitlines(True), wanted)
    assert got == (340, 5)


def test_callgrind_profile_with_an_undefined_name_is_refused():
    with pytest.raises(Failure):
        bench_callgrind.read_profile(["fn=(7)\n"], {"x"})


def test_callgrind_counts_are_repeatable(tools, variant):
    """The same cell twice: the same calls; the same instructions but for
    those that depend on where the heap has room."""
    cell = bench_cells.Cell("blk", bench_cells.Config("packed"), 16)
    first, second = bench_callgrind.run(tools, [variant], [cell, cell])
    assert first["ring_calls"] == second["ring_calls"] > 0
    assert second["ring_instructions"] == pytest.approx(
        first["ring_instructions"], rel=0.03)


def test_report_of_a_short_run(tools, variant, tmp_path):
    """One round of a few cells goes all the way to the page."""
    cells = bench_cells.matrix(
        [d for d in DEVICES if d in variant.devices()],
        [bench_cells.Config("split"), bench_cells.Config("packed")], (1, 16))
    run = bench_time.TimeRun(tools, [variant], cells, 1)
    run.run(1, 60)
    assert run.failures == {} and run.unsupported == set()
    report = {
        "schema": bench_report.SCHEMA, "mode": "test", "started": "now",
        "machine": bench_report.machine_facts(tools),
        "variants": [bench.describe(variant)], "subject": variant.label,
        "lines": bench.count_lines(tools), "core": bench_core.run(tools, 1),
        "driver_instructions": [], "instructions": [], "rounds": run.rounds,
        "probe": bench_stats.summary(run.probes),
        "cells": bench_report.cells_of(run, variant.label),
        "unsupported": [], "unreached": [], "failures": ["a <failure> & more"], "seconds": 1.0,
    }
    report["warnings"] = bench_report.warnings_of(report)
    report["void"] = bench_report.voids_of(report)
    path = bench_report.write(report, tmp_path / "with space",
                              bench_chart.draw)
    with open(path, encoding="utf-8") as file:
        page = file.read()
    assert "a &lt;failure&gt; &amp; more" in page
    assert page.count("<svg") == 1 and "ns per request" in page
    # stands alone: nothing is loaded from elsewhere
    assert not re.search(r"""\b(src|href)=["']?[^"'#]""", page)
    with open(tmp_path / "with space" / "report.json",
              encoding="utf-8") as file:
        assert json.load(file)["cells"] == report["cells"]
    assert len(report["cells"]) == len(cells)
    assert bench_report.text(report)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-q"] + sys.argv[1:]))
