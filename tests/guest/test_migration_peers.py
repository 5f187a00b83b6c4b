# SPDX-License-Identifier: GPL-2.0-or-later
"""Migration between Vadis, its x-ring=stock, and Debian's own QEMU 10.0."""

import contextlib
import itertools
import re

import pytest

import moving
from moving import AUTO, BY_NAME, DEBIAN, RINGS, STOCK
from vmtest import Load

ROUTES = ((AUTO, DEBIAN, AUTO), (DEBIAN, AUTO, DEBIAN), (AUTO, STOCK, AUTO))
REFUSED = "'virtio-ring-in-flight-needs-vadis'"

# What a test usually runs on, and what --soak adds. Behind an IOMMU upstream's
# split rings of 1024 entries break where an entry crosses a page.
CELLS = {
    "test_moves_under_load": (
        [("packed", "live", ROUTES[1]),
         ("packed-in_order", "file", ROUTES[0]),
         ("split-noevent", "postcopy", ROUTES[1]),
         ("packed-noevent", "postcopy", ROUTES[2])],
        [*itertools.product(RINGS, moving.WAYS, ROUTES),
         *((name, way, route) for name, way, route in itertools.product(
             moving.BEHIND, moving.WAYS, ROUTES[1:])
           if DEBIAN not in route or BY_NAME[name].packed)]),
    "test_snapshot_of_one_is_loaded_by_the_other": (
        [("packed", DEBIAN, AUTO)],
        [("packed", AUTO, DEBIAN), ("split", DEBIAN, AUTO),
         ("split", AUTO, DEBIAN)]),
    "test_requests_in_flight_are_finished_there": (
        [("split", AUTO, DEBIAN, "all"), ("packed", DEBIAN, AUTO, "all"),
         ("packed-in_order", AUTO, AUTO, "one"),
         ("packed-intel-iommu", AUTO, AUTO, "all")],
        [(*move, stuck) for stuck in ("one", "all") for move in (
            ("split", AUTO, DEBIAN), ("split", DEBIAN, AUTO),
            ("packed", DEBIAN, AUTO), ("packed", AUTO, AUTO),
            ("packed", AUTO, STOCK), ("packed", STOCK, AUTO),
            ("packed-in_order", AUTO, AUTO),
            ("split-in_order", AUTO, AUTO),
            *((name, source, target) for name in moving.BEHIND
              for source, target in ((AUTO, AUTO), (STOCK, AUTO))))]),
    "test_what_upstream_cannot_do_is_refused": (
        [("packed", AUTO, DEBIAN, REFUSED),
         ("split-in_order", AUTO, DEBIAN, REFUSED),
         ("split-in_order", DEBIAN, AUTO, "in-order buffers in flight")],
        [("packed", STOCK, DEBIAN, REFUSED),
         ("packed-in_order", AUTO, DEBIAN, REFUSED),
         ("split-in_order", AUTO, STOCK, "need the engine that x-ring=auto")]),
}


def pytest_generate_tests(metafunc):
    if metafunc.function.__name__ in CELLS:
        cells, more = CELLS[metafunc.function.__name__]
        if metafunc.config.getoption("--soak"):
            cells = cells + [cell for cell in more if cell not in cells]
        names = [name for name in metafunc.fixturenames if name in
                 ("ring", "way", "route", "source", "target", "stuck",
                  "reason")]
        metafunc.parametrize(names, cells, ids=map(cell_name, cells))


def cell_name(cell):
    """For instance packed-live-debian-auto-debian; reasons stay out."""
    words = [word for part in cell
             for word in ([part] if isinstance(part, str) else part)]
    return "-".join(word for word in words if " " not in word and
                    word != REFUSED)


@pytest.fixture
def images(home):
    """The directory of a test, with the guest's disks in it."""
    moving.make_images(home)
    return home


def test_moves_under_load(images, ring, way, route):
    """From one to the next, with all loads running and checked."""
    ring = BY_NAME[ring]
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(
            moving.make_vm(images, "stop0", ring, route[0]))
        moving.assert_served(source)
        loads = moving.start_loads(source)
        for number, who in enumerate(route[1:], 1):
            moving.advance(loads)
            moving.assert_requests(source)
            target = stack.enter_context(moving.make_vm(
                images, f"stop{number}", ring, who, incoming="defer"))
            moving.WAYS[way](source, target, images)
            moving.arrive(source, target, loads)
            moving.assert_served(target)
            source.close()
            source = target
        moving.assert_requests(source)
        moving.finish(source, loads)


# -- snapshots


def test_snapshot_of_one_is_loaded_by_the_other(images, ring, source, target):
    """savevm under load here, loadvm there: every load goes on."""
    ring = BY_NAME[ring]
    with moving.make_vm(images, "saved", ring, source) as vm:
        loads = moving.start_background(vm)
        for load in loads:
            load.progress()
        assert vm.hmp("savevm s0") == ""
    vm = moving.make_vm(images, "loaded", ring, target,
                        args=["-loadvm", "s0"])
    try:
        vm.start()                  # it does not boot
        vm.agent.ping()
        for load in loads:
            load.moved(vm)
            load.progress()
        moving.assert_served(vm)
        moving.assert_requests(vm)
        moving.stop_background(vm, loads)
    finally:
        vm.close()


# -- requests in flight

# The source's disk fails writes, so the guest stops with requests that were
# taken and not answered: those of all threads, or of one with others behind
# it that are finished. The target's disk is whole.
STOPPING = ("virtio-blk-pci,drive=disk,num-queues=1,id=blk,werror=stop,"
            "rerror=stop",)
RAW = "node-name={node},driver=raw,file.driver=file,file.filename={home}/raw"
FAILING = ("-blockdev", RAW, "-blockdev",
           "driver=blkdebug,node-name=disk,image=file0,"
           "inject-error.0.event=none,inject-error.0.iotype=write,"
           "inject-error.0.errno=28,inject-error.0.once={once}")
THREADS = 4


@contextlib.contextmanager
def stopped_in_flight(home, ring, who, stuck):
    """A guest whose disk threads wait for answers; (vm, its load)."""
    with open(f"{home}/raw", "wb") as image:
        image.truncate(64 << 20)
    once = "on" if stuck == "one" else "off"
    args = [word.format(home=home, node="file0", once=once)
            for word in FAILING]
    with moving.make_vm(home, "failing", ring, who, STOPPING, args,
                        drives=()) as vm:
        start = vm.events_seen()
        load = Load(vm, "disk", "/dev/vda", str(THREADS))
        vm.wait_event("STOP", 60, start=start)
        assert vm.qmp("query-status")["status"] == "io-error"
        assert moving.queue(vm, "blk", 0)["inuse"] > 0
        yield vm, load


def on_whole_disk(home, ring, who):
    return moving.make_vm(
        home, "whole", ring, who, STOPPING,
        ["-blockdev", RAW.format(home=home, node="disk")], drives=(),
        incoming="defer")


def test_requests_in_flight_are_finished_there(home, ring, source, target,
                                               stuck):
    """A request that was taken here is answered there, none is lost."""
    ring = BY_NAME[ring]
    with stopped_in_flight(home, ring, source, stuck) as (vm, load), \
            on_whole_disk(home, ring, target) as other:
        moving.live(vm, other, home)
        other.adopt_agent(vm)
        load.moved(other)
        other.qmp("cont")
        load.advance(64)
        load.stop()


def test_what_upstream_cannot_do_is_refused(home, ring, source, target,
                                            reason):
    """The target names the reason and ends; the source's guest goes on."""
    ring = BY_NAME[ring]
    with stopped_in_flight(home, ring, source, "one") as (vm, load), \
            on_whole_disk(home, ring, target) as other:
        moving.send(vm, other, home)
        assert other.wait_exit() == 1
        errors = "\n".join(other.qemu_errors())
        assert re.search(reason, errors), errors
        vm.qmp("cont")
        load.advance(64)
        load.stop()
