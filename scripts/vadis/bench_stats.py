#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Statistics of the ring benchmark: what counts, what is void, what it says.

The machines this runs on are shared and change their speed within seconds, so
no single time means anything.  Times are taken in pairs, A next to B, with a
reading of a cache-line ping-pong (the probe) before, between and after.  A
pair whose probes disagree was taken while the machine changed and is
discarded.  What is reported is the median over the pairs that are left and
the quartiles around it; ratios are formed inside a pair before the median is
taken, so that a slow minute slows both sides.

Plain functions over numbers and dictionaries; nothing here runs a program.
"""

import math

PROBE_LIMIT = 0.15          # probes of one pair may differ by this fraction
KICKS_PER_BATCH_LIMIT = 0.01
WAIT_LIMIT = 0.05           # of the wall time, waiting for a CPU
# What QEMU's main thread spends on a kick through the qtest socket, about, and
# the share of the CPU time that kicks may have.  Seen with virtio-net at batch
# 1: with one kick for two requests a request takes some 13 us more than with
# none.
KICK_CPU_NS = 25000
KICK_CPU_LIMIT = 0.1

SAMPLE_SCHEMA = "vadis-vring-bench/1"

# What a line of the driver must hold: name -> (type, least value or None).
SAMPLE_FIELDS = {
    "schema": (str, None),
    "device": (str, None),
    "ring": (str, None),
    "indirect": (bool, None),
    "in_order": (bool, None),
    "event_idx": (bool, None),
    "features": (int, 1),
    "queue_size": (int, 1),
    "segments": (int, 1),
    "batch": (int, 1),
    "outstanding": (int, 1),
    "requests": (int, 1),
    "batches": (int, 1),
    "warmup_requests": (int, 0),
    "slices": (int, 1),
    "disturbed": (int, 0),
    "wall_ns": (int, 1),
    "cpu_ns": (int, 0),
    "main_ns": (int, 0),
    "all_batches": (int, 1),
    "driver_wait_ns": (int, 0),
    "device_wait_ns": (int, 0),
    "kicks": (int, 0),
    "interrupts": (int, 0),
    "checked_bytes": (int, 0),
}


def quantile(values, fraction):
    """The value below which `fraction` of the values lie, interpolated."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction {fraction} is not within 0..1")
    place = fraction * (len(ordered) - 1)
    low = math.floor(place)
    high = math.ceil(place)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def median(values):
    """The middle of the values; the mean of the two middle ones if even."""
    return quantile(values, 0.5)


def summary(values):
    """Median, quartiles, extremes and number of the values, or None if
    there are none."""
    if not values:
        return None
    return {
        "n": len(values),
        "median": median(values),
        "q1": quantile(values, 0.25),
        "q3": quantile(values, 0.75),
        "min": min(values),
        "max": max(values),
    }


def probe_spread(probes):
    """How far the probes differ: 0.15 means the highest is 15 % above the
    lowest."""
    if not probes:
        raise ValueError("no probes")
    if min(probes) <= 0:
        raise ValueError(f"a probe reads {min(probes)}; it must be positive")
    return max(probes) / min(probes) - 1


def probes_agree(probes, limit=PROBE_LIMIT):
    """True if a pair bracketed by these probes may be used."""
    return probe_spread(probes) <= limit


def sample_errors(sample):
    """What is wrong with a line of the driver: a list of sentences."""
    errors = []
    for name, (kind, least) in SAMPLE_FIELDS.items():
        if name not in sample:
            errors.append(f"no field '{name}'")
            continue
        value = sample[name]
        # bool is a kind of int for Python, not for this schema
        if type(value) is not kind:
            errors.append(f"'{name}' is {value!r}, not {kind.__name__}")
        elif least is not None and value < least:
            errors.append(f"'{name}' is {value}, less than {least}")
    for name in sample:
        if name not in SAMPLE_FIELDS:
            errors.append(f"unknown field '{name}'")
    if not errors:
        if sample["schema"] != SAMPLE_SCHEMA:
            errors.append(f"schema is '{sample['schema']}', "
                          f"not '{SAMPLE_SCHEMA}'")
        if sample["ring"] not in ("split", "packed"):
            errors.append(f"ring is '{sample['ring']}'")
        if sample["batches"] * sample["batch"] != sample["requests"]:
            errors.append(f"{sample['batches']} batches of {sample['batch']} "
                          f"are not {sample['requests']} requests")
        if sample["outstanding"] < sample["batch"]:
            errors.append("fewer requests outstanding than in a batch")
    return errors


def void_reason(sample, metric):
    """Why this sample says nothing about the metric, or None if it does.

    metric is "wall" or "cpu".  A kick goes through the qtest socket and takes
    some 20 us where a hypervisor's takes one or two, so a time with kicks in
    it measures the socket.  A time in which one side waited for a CPU that
    others used measures the others.  The CPU time of QEMU does not contain the
    waiting, but what it spends on the socket.
    """
    if metric not in ("wall", "cpu"):
        raise ValueError(f"unknown metric '{metric}'")
    if metric == "wall":
        allowed = sample["batches"] * KICKS_PER_BATCH_LIMIT
        if sample["kicks"] > allowed:
            per = 100 * sample["kicks"] / sample["batches"]
            return (f"{per:.3g} kicks per 100 batches, "
                    f"at most {100 * KICKS_PER_BATCH_LIMIT:g} allowed")
        for side in ("driver", "device"):
            share = sample[f"{side}_wait_ns"] / sample["wall_ns"]
            if share > WAIT_LIMIT:
                return (f"the {side} waited for its CPU {share:.0%} of the "
                        f"time, at most {WAIT_LIMIT:.0%} allowed")
    if metric == "cpu":
        if not sample["cpu_ns"]:
            return "no CPU time read"
        share = sample["kicks"] * KICK_CPU_NS / sample["cpu_ns"]
        if share > KICK_CPU_LIMIT:
            return (f"{sample['kicks']} kicks are about {share:.0%} of the "
                    f"CPU time, at most {KICK_CPU_LIMIT:.0%} allowed")
    return None


def per_request(sample, metric):
    """Nanoseconds per request."""
    return sample[f"{metric}_ns"] / sample["requests"]


def summarise_cell(pairs, metric, subject=None):
    """Condense the pairs of one cell.

    pairs: list of {"probes": [ns...], "samples": {variant: sample},
                    "floor": ns or None}
    subject: the variant that is compared with each of the others
    Returns {"pairs", "discarded", "void", "variants": {variant: summary},
    "ratios": {other: summary}, "floor": summary}; ratios are the subject over
    the other inside one pair, so below 1 means that the subject is faster.
    """
    used = [p for p in pairs if probes_agree(p["probes"])]
    names = []
    for pair in pairs:
        names += [name for name in pair["samples"] if name not in names]
    result = {
        "pairs": len(pairs),
        "discarded": len(pairs) - len(used),
        "void": {},
        "floor": summary([p["floor"] for p in used
                          if p.get("floor") is not None]),
    }
    values = {name: [] for name in names}
    ratios = {name: [] for name in names if name != subject}
    for pair in used:
        good = {}
        for name, sample in pair["samples"].items():
            why = void_reason(sample, metric)
            if why:
                entry = result["void"].setdefault(name, {"n": 0, "why": why})
                entry["n"] += 1
            else:
                good[name] = per_request(sample, metric)
                values[name].append(good[name])
        if subject in good:
            for name in good:
                if name != subject:
                    ratios[name].append(good[subject] / good[name])
    result["variants"] = {name: summary(values[name]) for name in names}
    result["ratios"] = {name: summary(ratios[name]) for name in ratios} \
        if subject in names else {}
    return result
