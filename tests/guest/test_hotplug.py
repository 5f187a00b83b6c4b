# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices that come and go while the guest works."""

import re

import pytest

import fleet as fleets
from vmtest import Load

pytestmark = pytest.mark.on("6.1-split", "6.12-packed", "7.x-packed")
MIB = fleets.MIB


def plug(fleet, driver, **options):
    """Plug a virtio device into a free port; returns its guest device.

    The guest has bound a driver when this returns.
    """
    vm = fleet.vm
    vm.agent.forget_uevents()
    vm.monitor.command("device_add", {
        "driver": driver, "id": "plugged", "bus": "port0",
        "packed": fleet.packed, "in_order": True, **options})
    event = vm.agent.wait_uevent(
        ACTION="bind", SUBSYSTEM="virtio",
        below=fleets.port_path(fleets.HOTPLUG_PORTS["port0"]))
    device = fleets.GuestDevice(vm, 0)
    device.pci = "/sys" + event["DEVPATH"].rpartition("/")[0]
    return device


def unplug(fleet):
    vm = fleet.vm
    start = vm.events_seen()
    vm.qmp("device_del", id="plugged")
    vm.wait_event("DEVICE_DELETED", 60,
                  lambda data: data.get("device") == "plugged", start)


def expected(fleet, type):
    kind = fleets.Kind(type, "all", 0)
    return kind.expected(fleet.kernel, fleet.packed)


def test_blk_under_load(fleet):
    """A disk is plugged, worked and pulled while another disk works on."""
    vm = fleet.vm
    image = fleet.image("plugged")
    steady = Load(vm, "disk", fleet.block_path("blk-all"), "2")
    vm.qmp("blockdev-add", driver="raw", node_name="plugged-disk",
           file={"driver": "file", "filename": str(image)})
    device = plug(fleet, "virtio-blk-pci", drive="plugged-disk",
                  **{"num-queues": 2})
    assert device.features() == expected(fleet, "blk")
    path = "/dev/" + device.sh("ls block")
    fleets.exercise_disk(vm, path, image)
    doomed = Load(vm, "disk", path, "4")
    doomed.advance(64)
    unplug(fleet)
    # The load on the pulled disk ends with a failed request (how it fails
    # is the kernel's choice), never with wrong data.
    assert doomed.command.wait() == 1
    assert re.search("WRONG: (write|read):", doomed.text), doomed.text
    assert "WRONG data" not in doomed.text
    vm.run(f"[ ! -e {path} ]", check=True)
    vm.qmp("blockdev-del", node_name="plugged-disk")
    steady.advance(64)
    steady.stop()


def test_net_under_load(fleet):
    """A network card is pulled in the middle of a transfer, and put back."""
    vm = fleet.vm
    vm.hmp("netdev_add user,id=plugged-net,net=10.9.99.0/24,restrict=on,"
           "guestfwd=tcp:10.9.99.100:7-cmd:cat")
    steady = Load(vm, "echo", fleet.configure_net("net-all"), "7",
                  str(1 << 40))
    steady.advance(16)
    for last in (False, True):
        device = plug(fleet, "virtio-net-pci", netdev="plugged-net")
        assert device.features() == expected(fleet, "net")
        name = device.sh("ls net")
        vm.run(f"ip addr add 10.9.99.15/24 dev {name} && "
               f"ip link set {name} up", check=True)
        if last:
            Load(vm, "echo", "10.9.99.100", "7", str(2 * MIB)).finish()
            unplug(fleet)
        else:
            doomed = Load(vm, "echo", "10.9.99.100", "7", str(1 << 40))
            doomed.advance(16)
            unplug(fleet)
            doomed.command.signal(9)
            assert doomed.command.wait() == 137
        vm.run(f"[ ! -e /sys/class/net/{name} ]", check=True)
    vm.qmp("netdev_del", id="plugged-net")
    steady.advance(16)
    steady.command.signal(9)
    assert steady.command.wait() == 137


@pytest.mark.parametrize("driver", ["virtio-rng-pci", "virtio-scsi-pci",
                                    "virtio-serial-pci"])
def test_plug_and_unplug_repeatedly(fleet, driver, rounds):
    for _ in range(rounds(2, 20)):
        device = plug(fleet, driver)
        assert device.features() == expected(fleet, driver.split("-")[1])
        unplug(fleet)
