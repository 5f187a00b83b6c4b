# SPDX-License-Identifier: GPL-2.0-or-later
"""Behind a vIOMMU, under load: disks come and go, guests reboot and move."""

import contextlib
import json
import re

import fleet as fleets
import moving
import viommu
from viommu import Setup
from vmtest import Load

SETUPS = [Setup("intel-iommu", strict=False, iothreads=2),
          Setup("virtio-iommu", strict=True, packed=False)]
PORT = 0x18
# Boots quicker than a guest on the host's root
SMALL = {"root": "initramfs", "memory": "256M"}
# Pages of a ring of 1024 entries, split, its areas apart.
RING_PAGES = 8
QUEUES = {"blk": 2, "scsi": 4, "net0": 3, "net1": 3, "rng": 1}


def pytest_generate_tests(metafunc):
    """A few of everything, and with --soak all of it."""
    soak = metafunc.config.getoption("--soak")
    if "behind" in metafunc.fixturenames:
        usual = ["packed-intel-iommu", "split-virtio-iommu"]
        metafunc.parametrize("behind", list(moving.BEHIND) if soak else usual)
    elif "again" in metafunc.fixturenames:
        cells = [(setup, again) for setup in SETUPS
                 for again in (reset, reboot)]
        cells = cells if soak else [cells[0], cells[-1]]
        metafunc.parametrize("setup,again", cells, ids=[
            f"{setup.iommu}-{again.__name__}" for setup, again in cells])
    else:
        metafunc.parametrize("setup", SETUPS, ids=lambda s: s.iommu)


# -- a disk that comes and goes


def plug(vm):
    """Plug the disk in; its file in the guest."""
    vm.agent.forget_uevents()
    vm.monitor.command("device_add", {
        **json.loads(viommu.blk(vm.setup, "plugged", "image")),
        "bus": "port0"})
    vm.agent.wait_uevent(ACTION="bind", SUBSYSTEM="virtio",
                         below=fleets.port_path(PORT))
    return viommu.disk(vm, "plugged")


def unplug(vm):
    start = vm.events_seen()
    vm.qmp("device_del", id="plugged")
    vm.wait_event("DEVICE_DELETED", 60,
                  lambda data: data.get("device") == "plugged", start)


def test_unplug_and_replug_under_load(setup, home, rounds):
    """The disk goes with its requests in flight; another disk works on."""
    image = f"{home}/image"
    with open(image, "wb") as new:
        new.truncate(fleets.DISK_SIZE)
    port = f"pcie-root-port,id=port0,chassis=24,addr={PORT:#x}"
    with viommu.running(setup, home, extra=[port], **SMALL) as vm:
        vm.qmp("blockdev-add", driver="raw", node_name="image",
               file={"driver": "file", "filename": image})
        steady = Load(vm, "disk", viommu.disk(vm, "scsi"), "2")
        for _ in range(rounds(1, 8)):
            path = plug(vm)
            vm.faults["plugged"] = 0
            viommu.assert_mode(vm)
            doomed = Load(vm, "disk", path, "4")
            doomed.advance(64)
            viommu.assert_served(vm, (*viommu.NAMES, "plugged"))
            unplug(vm)
            # How the load's request fails is the kernel's choice.
            assert doomed.command.wait() == 1
            assert re.search("WRONG: (write|read):", doomed.text), doomed.text
            assert "WRONG data" not in doomed.text
            assert "plugged" not in viommu.iotlb(vm)
            steady.advance(64)
        fleets.exercise_disk(vm, plug(vm), image)
        steady.stop()
        viommu.wait_idle(vm, (*viommu.NAMES, "plugged"))
        viommu.assert_served(vm, (*viommu.NAMES, "plugged"))


# -- the guest starts anew


def reset(vm):
    """Pull the guest's reset line; it boots again."""
    boots, start = vm.agent.boots, vm.events_seen()
    vm.agent.lost()
    vm.qmp("system_reset")
    vm.wait_event("RESET", 60, start=start)
    vm.wait_boot(boots=boots + 1)


def reboot(vm):
    vm.reboot()


def start_loads(vm):
    return [*(Load(vm, "disk", viommu.disk(vm, name), "4")
              for name in viommu.DISKS),
            viommu.start_frames(vm),
            Load(vm, "echo", viommu.configure_net(vm), "7", str(1 << 40))]


def test_boot_again_under_load(setup, again, home):
    """The IOMMU is off for the firmware, then on again for the drivers."""
    with viommu.running(setup, home, reboot=True, **SMALL) as vm:
        moving.advance(start_loads(vm))
        again(vm)
        viommu.booted(vm)
        viommu.assert_mode(vm)
        *loads, stream = start_loads(vm)
        moving.advance([*loads, stream])
        for load in loads:
            load.stop()
        stream.command.signal(9)
        assert stream.command.wait() == 137
        viommu.entropy(vm)
        viommu.wait_idle(vm)
        viommu.assert_served(vm)


# -- the guest moves


def assert_nothing_known(vm):
    """A guest that has not run here: what its devices know are the rings,
    and they have it of this machine's IOMMU."""
    known = viommu.iotlb(vm)
    assert set(known) >= set(QUEUES)
    for name, queues in QUEUES.items():
        info = known[name]
        assert info["usable"] and info["iommus"] == 1, info
        assert info["fills"] <= queues * RING_PAGES, info
        assert info["misses"] == info["translations"] == info["fills"], info


def test_live_migration_under_load(home, behind, rounds):
    """There and back again; each arrival is looked at before it runs."""
    ring = moving.BEHIND[behind]
    moving.make_images(home)
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(moving.make_vm(home, "source", ring))
        loads = moving.start_loads(source)
        for number in range(rounds(1, 10)):
            moving.advance(loads)
            moving.assert_requests(source)
            target = stack.enter_context(moving.make_vm(
                home, f"target{number}", ring, args=["-S"],
                incoming="defer"))
            moving.live(source, target, home)
            assert_nothing_known(target)
            target.qmp("cont")
            moving.arrive(source, target, loads)
            moving.assert_served(target)
            source.close()
            source = target
        moving.finish(source, loads)
        for name, info in viommu.iotlb(source).items():
            assert info["faults"] == 0, (name, info)
        for name in QUEUES:
            assert not viommu.count(source, name, "x-iommu-in-flight"), name
