# SPDX-License-Identifier: GPL-2.0-or-later
"""Snapshots and live migration while the guest writes, checks and sends."""

import contextlib

import pytest

import moving

# Debian's own QEMU takes part only where its stream is right; a balloon keeps
# a buffer of its statistics queue, which upstream cannot send in order.
DEVICES = (*moving.DEVICES, moving.BALLOON)
NAMES = ["packed", "split", "packed-in_order"]


def pytest_generate_tests(metafunc):
    """--soak adds snapshots behind an IOMMU."""
    if "snapshot" in metafunc.fixturenames:
        metafunc.parametrize("snapshot", NAMES + list(moving.BEHIND) if
                             metafunc.config.getoption("--soak") else NAMES)


@pytest.fixture
def images(home):
    """The directory of a test, with the guest's disks in it."""
    moving.make_images(home)
    return home


@pytest.mark.parametrize("name", NAMES)
def test_live_migration_under_load(images, name, rounds):
    """Over a socket, there and back again, with all loads running."""
    ring = moving.RINGS[name]
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(
            moving.make_vm(images, "source", ring, devices=DEVICES))
        loads = moving.start_loads(source)
        for number in range(rounds(2, 20)):
            moving.advance(loads)
            target = stack.enter_context(
                moving.make_vm(images, f"target{number}", ring,
                               devices=DEVICES, incoming="defer"))
            moving.live(source, target, images)
            moving.arrive(source, target, loads)
            moving.assert_served(target)
            source.close()
            source = target
        moving.assert_requests(source)
        moving.finish(source, loads)


@pytest.mark.parametrize("name", ["packed", "split"])
def test_migration_to_a_file(images, name):
    """The guest is put into a file and comes back in a new QEMU."""
    ring = moving.RINGS[name]
    with moving.make_vm(images, "source", ring, devices=DEVICES) as source:
        loads = moving.start_loads(source)
        moving.advance(loads)
        uri = f"file:{images}/state"
        moving.migrate(source, uri)
        with moving.make_vm(images, "target", ring, devices=DEVICES,
                            incoming="defer") as target:
            moving.settled(target, moving.receive(target, uri))
            moving.arrive(source, target, loads)
            moving.finish(target, loads)


def test_savevm_and_loadvm_under_load(images, snapshot, rounds):
    """Go back to a snapshot, memory and disk alike, and work on from there."""
    ring = moving.BY_NAME[snapshot]
    with moving.make_vm(images, "source", ring, devices=DEVICES) as vm:
        loads = moving.start_background(vm)
        for number in range(rounds(2, 10)):
            for load in loads:
                load.progress()
            assert vm.hmp(f"savevm s{number}") == ""
            for load in loads:
                load.progress()
            assert vm.hmp(f"loadvm s{number}") == ""
            vm.agent.ping()
            for load in loads:
                load.progress()
        moving.stop_background(vm, loads)
