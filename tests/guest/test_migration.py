# SPDX-License-Identifier: GPL-2.0-or-later
"""Snapshots and live migration while the guest writes, checks and sends.

The guest is an initramfs alone, because a mounted 9p file system blocks
migration, and so does virtio-crypto. Its disks are qcow2. The load
keeps a record in guest memory of what each block must hold, so memory and
disk must move together or a later read shows it.
"""

import contextlib
import re
import subprocess

import pytest

from vadis import paths
from vmtest import Load, VM, load_files

DEVICES = [
    "virtio-blk-pci,drive=disk,num-queues=2,id=blk",
    "virtio-scsi-pci,id=scsi", "scsi-hd,bus=scsi.0,drive=scsidisk",
    "virtio-net-pci,netdev=port0,romfile=,id=net0",
    "virtio-net-pci,netdev=port1,romfile=,id=net1",
    "virtio-rng-pci,id=rng", "virtio-balloon-pci,id=balloon",
]
# Two network cards on one hub: what the first sends, the second receives.
WIRE = ["-netdev", "hubport,id=port0,hubid=0",
        "-netdev", "hubport,id=port1,hubid=0"]


def make_vm(home, name, packed, in_order, **more):
    args = list(WIRE)
    for drive in ("disk", "scsidisk"):
        image = home + f"/{drive}.qcow2"
        if name == "source":
            subprocess.run([paths.qemu_img(), "create", "-q", "-f", "qcow2",
                            image, "64M"], check=True)
        args += ["-drive", f"if=none,id={drive},file={image},format=qcow2,"
                 "cache=unsafe"]
    return VM(name=name, root="initramfs", memory="256M", smp=2,
              kernel="7.x" if in_order else "6.12", packed=packed,
              virtio_opts="in_order=on" if in_order else "",
              devices=DEVICES, args=args, files=load_files(), **more)


def start_loads(vm):
    return [Load(vm, "disk", "/dev/vda", "4"),
            Load(vm, "disk", "/dev/sda", "2"),
            Load(vm, "frames", "eth0", "eth1")]


def want_migration_events(vm):
    vm.qmp("migrate-set-capabilities", capabilities=[
        {"capability": "events", "state": True}])


def settled(vm, start):
    """Wait for the end of a migration and insist on success."""
    event = vm.wait_event(
        "MIGRATION", 180,
        lambda data: data["status"] in ("completed", "failed", "cancelled"),
        start)
    info = vm.qmp("query-migrate")
    assert event["data"]["status"] == "completed", info


def migrate(source, uri):
    """Send ``source`` to ``uri``; it is stopped when this returns."""
    want_migration_events(source)
    source.qmp("migrate-set-parameters", max_bandwidth=1 << 30)
    start = source.events_seen()
    source.qmp("migrate", uri=uri)
    settled(source, start)


def arrive(source, target, loads):
    """Take over the guest; every load must go on and stay right."""
    target.adopt_agent(source)
    assert target.qmp("query-status")["status"] == "running"
    for load in loads:
        load.moved(target)
        load.advance(64)


def finish(vm, loads):
    for load in loads:
        load.stop()
    assert len(vm.run("head -c 64 /dev/hwrng", check=True).stdout) == 64


RINGS = pytest.mark.parametrize(
    "packed,in_order", [(True, False), (False, False), (True, True)],
    ids=["packed", "split", "packed-in_order"])


@RINGS
def test_live_migration_under_load(home, packed, in_order, rounds):
    """Over a socket, there and back again, with all loads running."""
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(
            make_vm(home, "source", packed, in_order))
        loads = start_loads(source)
        for number in range(rounds(2, 20)):
            for load in loads:
                load.advance(64)
            target = stack.enter_context(
                make_vm(home, f"target{number}", packed, in_order,
                        incoming="defer"))
            want_migration_events(target)
            start = target.events_seen()
            uri = f"unix:{home}/migration{number}"
            target.qmp("migrate-incoming", uri=uri)
            migrate(source, uri)
            settled(target, start)
            arrive(source, target, loads)
            source.close()
            source = target
        finish(source, loads)


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "split"])
def test_migration_to_a_file(home, packed):
    """The guest is put into a file and comes back in a new QEMU."""
    with make_vm(home, "source", packed, False) as source:
        loads = start_loads(source)
        for load in loads:
            load.advance(64)
        migrate(source, f"file:{home}/state")
        with make_vm(home, "target", packed, False,
                     incoming="defer") as target:
            want_migration_events(target)
            start = target.events_seen()
            target.qmp("migrate-incoming", uri=f"file:{home}/state")
            settled(target, start)
            arrive(source, target, loads)
            finish(target, loads)


def background(vm, name, *words):
    """A load that outlives agent commands and reports on the console."""
    vm.run(f"LOAD_PREFIX='{name} ' /guest-load {' '.join(words)} "
           "</dev/null >/dev/console 2>&1 &", check=True)


def console_progress(vm, name, since, at_least=1):
    match = vm.wait_console(rf"^{name} load: (?:WRONG.*|\d+)$", 120, since)
    assert "WRONG" not in match.group(), match.group()
    return int(match.group().split()[-1])


@RINGS
def test_savevm_and_loadvm_under_load(home, packed, in_order, rounds):
    """Go back to a snapshot, memory and disk alike, and work on from there."""
    with make_vm(home, "source", packed, in_order) as vm:
        jobs = {"disk": ("disk", "/dev/vda", "4"),
                "scsi": ("disk", "/dev/sda", "2"),
                "wire": ("frames", "eth0", "eth1")}
        for name, words in jobs.items():
            background(vm, name, *words)
        for number in range(rounds(2, 10)):
            for name in jobs:
                console_progress(vm, name, vm.console.position())
            assert vm.hmp(f"savevm s{number}") == ""
            for name in jobs:
                console_progress(vm, name, vm.console.position())
            assert vm.hmp(f"loadvm s{number}") == ""
            vm.agent.ping()
            for name in jobs:
                console_progress(vm, name, vm.console.position())
        vm.run("killall -TERM guest-load", check=True)
        for name in jobs:
            match = vm.wait_console(rf"^{name} load: (WRONG.*|done \d+)$", 120)
            assert match.group(1).startswith("done"), match.group()
        assert not re.search("WRONG", vm.console.text)
