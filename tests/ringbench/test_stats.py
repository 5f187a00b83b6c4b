#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Unit tests of the benchmark's statistics (scripts/vadis/bench_stats.py)."""

import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "..", "scripts"))

# pylint: disable=wrong-import-position
from vadis import bench_core  # noqa: E402
from vadis import bench_stats as st  # noqa: E402


def sample(**changes):
    """A line of the driver that is right in every respect."""
    base = {
        "schema": st.SAMPLE_SCHEMA, "device": "echo", "ring": "packed",
        "indirect": False, "in_order": True, "event_idx": False,
        "features": 1 << 32, "queue_size": 256, "segments": 2, "batch": 4,
        "outstanding": 8, "requests": 4000, "batches": 1000,
        "warmup_requests": 64, "slices": 1, "disturbed": 0, "wall_ns": 400000, "cpu_ns": 800000,
        "main_ns": 1000, "all_batches": 1000,
        "driver_wait_ns": 0, "device_wait_ns": 0,
        "kicks": 0, "interrupts": 0, "checked_bytes": 64,
    }
    base.update(changes)
    return base


def pair(a, b=None, probes=(100, 100, 100), floor=None, **changes):
    samples = {"A": sample(wall_ns=a, **changes)}
    if b is not None:
        samples["B"] = sample(wall_ns=b, **changes)
    return {"probes": list(probes), "samples": samples, "floor": floor}


@pytest.mark.parametrize("values,expected", [
    ([5], 5), ([1, 9], 5), ([9, 1, 2], 2), ([4, 1, 3, 2], 2.5),
])
def test_median(values, expected):
    assert st.median(values) == expected


def test_median_leaves_its_input_alone():
    values = [3, 1, 2]
    st.median(values)
    assert values == [3, 1, 2]


def test_median_shrugs_off_one_wild_value():
    assert st.median([10, 11, 12, 1e9, 11]) == 11


def test_quantile_interpolates():
    assert st.quantile([0, 10, 20, 30], 0.25) == 7.5
    assert st.quantile([0, 10, 20, 30], 0) == 0
    assert st.quantile([0, 10, 20, 30], 1) == 30


def test_quantile_of_nothing_is_an_error():
    with pytest.raises(ValueError):
        st.quantile([], 0.5)
    with pytest.raises(ValueError):
        st.quantile([1], 1.5)


def test_summary():
    assert st.summary([]) is None
    got = st.summary([1, 2, 3, 4, 100])
    assert got == {"n": 5, "median": 3, "q1": 2, "q3": 4, "min": 1,
                   "max": 100}


def test_probe_limit_is_exact_and_includes_its_bound():
    assert st.probes_agree([100, 100])
    assert st.probes_agree([100, 115.0])
    assert not st.probes_agree([100, 115.2])
    assert not st.probes_agree([28, 100, 28])


def test_probe_spread_does_not_depend_on_order():
    assert st.probe_spread([100, 120, 110]) == st.probe_spread([120, 110, 100])


@pytest.mark.parametrize("probes", [[], [0, 1], [-1, 1]])
def test_nonsense_probes_are_errors(probes):
    with pytest.raises(ValueError):
        st.probe_spread(probes)


def test_a_right_sample_has_no_errors():
    assert st.sample_errors(sample()) == []


def test_every_missing_field_is_named():
    for name in st.SAMPLE_FIELDS:
        broken = sample()
        del broken[name]
        assert st.sample_errors(broken) == [f"no field '{name}'"]


@pytest.mark.parametrize("changes,word", [
    ({"kicks": -1}, "kicks"), ({"kicks": 1.5}, "kicks"),
    ({"indirect": 1}, "indirect"), ({"requests": True}, "requests"),
    ({"schema": "other/1"}, "schema"), ({"ring": "round"}, "ring"),
    ({"batches": 999}, "batches"), ({"outstanding": 3}, "outstanding"),
    ({"speed": 11}, "speed"), ({"wall_ns": 0}, "wall_ns"),
])
def test_a_wrong_sample_is_refused(changes, word):
    errors = st.sample_errors(sample(**changes))
    assert len(errors) == 1 and word in errors[0]


def test_kicks_void_a_time():
    # 1000 batches: ten kicks are one per hundred, eleven are more
    assert st.void_reason(sample(kicks=10), "wall") is None
    assert "1.1 kicks" in st.void_reason(sample(kicks=11), "wall")


def test_kicks_void_a_cpu_time_of_which_they_are_a_part():
    # a kick takes some 25000 ns of the thread: four of a million are a tenth
    assert st.void_reason(sample(kicks=4, cpu_ns=1000000), "cpu") is None
    assert "12%" in st.void_reason(sample(kicks=5, cpu_ns=1000000), "cpu")


@pytest.mark.parametrize("side", ["driver", "device"])
def test_waiting_for_a_cpu_voids_a_time(side):
    # wall_ns is 400000: five percent are 20000
    key = f"{side}_wait_ns"
    assert st.void_reason(sample(**{key: 20000}), "wall") is None
    assert side in st.void_reason(sample(**{key: 20001}), "wall")
    assert st.void_reason(sample(**{key: 20001}), "cpu") is None


def test_a_sample_without_cpu_time_has_no_cpu_metric():
    assert st.void_reason(sample(cpu_ns=0), "cpu")
    assert st.void_reason(sample(cpu_ns=0), "wall") is None


def test_unknown_metric_is_an_error():
    with pytest.raises(ValueError):
        st.void_reason(sample(), "speed")


def test_per_request():
    assert st.per_request(sample(), "wall") == 100
    assert st.per_request(sample(), "cpu") == 200


def test_cell_discards_pairs_whose_probes_differ():
    got = st.summarise_cell([
        pair(400000, 200000, floor=10),
        pair(4000000, 400000, probes=(100, 100, 450), floor=1000),
    ], "wall", "B")
    assert got["pairs"] == 2 and got["discarded"] == 1
    assert got["variants"]["A"]["median"] == 100
    assert got["variants"]["B"]["median"] == 50
    assert got["ratios"]["A"]["median"] == 0.5
    assert got["floor"]["median"] == 10


def test_ratio_is_formed_inside_the_pair():
    # the machine is three times slower in the second pair; B is always half
    got = st.summarise_cell([
        pair(400000, 200000),
        pair(1200000, 600000),
        pair(800000, 400000),
    ], "wall", "B")
    assert got["ratios"]["A"]["min"] == got["ratios"]["A"]["max"] == 0.5


def test_void_samples_leave_the_cell_and_are_counted():
    got = st.summarise_cell([
        pair(400000, 200000, kicks=500), pair(400000, 200000),
    ], "wall", "B")
    assert got["variants"]["A"]["n"] == 1
    assert got["void"]["A"]["n"] == 1 and "kicks" in got["void"]["A"]["why"]
    assert got["ratios"]["A"]["n"] == 1


def test_a_cell_with_everything_void_says_so():
    got = st.summarise_cell([pair(400000, 200000, kicks=1000)], "wall",
                            "B")
    assert got["variants"] == {"A": None, "B": None}
    assert got["ratios"] == {"A": None}
    assert got["floor"] is None


def test_a_single_variant_has_no_ratio():
    got = st.summarise_cell([pair(400000)], "wall", "A")
    assert got["ratios"] == {} and got["variants"]["A"]["n"] == 1


def test_no_ratio_without_the_subject():
    got = st.summarise_cell([pair(400000, 200000)], "wall", "C")
    assert got["ratios"] == {} and got["variants"]["B"]["n"] == 1


def test_cell_of_no_pairs():
    got = st.summarise_cell([], "wall")
    assert got["pairs"] == 0 and got["variants"] == {}


class FakeTools:
    """The core takes twice the floor's time; a probe can be made to jump."""

    ringtest = "floor"
    coretest = "core"

    def __init__(self, jump=False):
        self.jump = jump
        self.ran = []

    @staticmethod
    def cpus():
        return "--cpus=0,1"

    def json_lines(self, argv, _timeout):
        self.ran.append(argv[0])
        wild = 2 if self.jump and argv[0] == "core" else 1
        return [{"ns_median": 20.0 if argv[0] == "core" else 10.0,
                 "probe_before_ns": 100.0, "probe_after_ns": 100.0 * wild}]


def test_core_and_floor_take_turns_and_are_compared_in_pairs():
    tools = FakeTools()
    found = bench_core.run(tools, 2)
    assert len(found["floor"]) == 20 and len(found["sizes"]) == 4
    assert tools.ran[:2] == ["floor", "core"]
    assert tools.ran[40:42] == ["core", "floor"]
    for row in found["floor"]:
        assert row["pairs"] == 2 and row["core"]["ratio"]["median"] == 2
    for title, head, rows in bench_core.tables(found, str, str):
        assert title and all(len(row) == len(head) for row in rows)


def test_core_pairs_of_a_changing_machine_do_not_count():
    found = bench_core.run(FakeTools(jump=True), 1)
    assert {row["pairs"] for row in found["floor"]} == {0}
    assert "void" in bench_core.tables(
        found, lambda got: "void" if not got else "ns", str)[0][2][0]


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-q"] + sys.argv[1:]))
