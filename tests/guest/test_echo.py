# SPDX-License-Identifier: GPL-2.0-or-later
"""virtio-echo in front of a guest that has no driver for it."""

import pytest

import fleet as fleets
from vmtest import VM

PCI_ID = ("0x1af4", "0x107f")          # 0x1040 + virtio ID 63
VIRTIO_ID = 63
SLOT, PORT = 0x10, 0x18
ACKNOWLEDGE = 1


@pytest.fixture(scope="module", params=["6.1", "6.12", "7.x"])
def guest(request):
    with VM(name="echo", kernel=request.param, devices=[
            f"virtio-echo-pci,id=echo,addr={SLOT:#x},in_order=on",
            f"pcie-root-port,id=port0,chassis=24,addr={PORT:#x}"]) as vm:
        yield vm


def pci_id(vm, path):
    return tuple(vm.run(f"cd {path} && cat vendor device",
                        check=True).text.split())


def test_guest_sees_the_device_and_leaves_it_alone(guest):
    device = fleets.GuestDevice(guest, SLOT)
    assert pci_id(guest, device.pci) == PCI_ID
    assert int(device.sh("cat device"), 16) == VIRTIO_ID
    guest.run(f"[ ! -e {device.pci}/virtio*/driver ]", check=True)
    # The bus acknowledges what it finds; DRIVER would be a driver's word.
    assert device.status() == ACKNOWLEDGE
    status = guest.qmp("x-query-virtio-status",
                       path="/machine/peripheral/echo/virtio-backend")
    assert status["device-id"] == VIRTIO_ID
    assert not status["broken"] and not status["started"]


def test_hot_plug_and_unplug(guest, rounds):
    for _ in range(rounds(2, 20)):
        guest.qmp("device_add", driver="virtio-echo-pci", id="second",
                  bus="port0", packed=True)
        # No driver takes it, so there is no bind to wait for.
        event = guest.agent.wait_uevent(ACTION="add", SUBSYSTEM="virtio",
                                        below=fleets.port_path(PORT))
        pci = "/sys" + event["DEVPATH"].rpartition("/")[0]
        assert pci_id(guest, pci) == PCI_ID
        start = guest.events_seen()
        guest.qmp("device_del", id="second")
        guest.wait_event("DEVICE_DELETED", 60,
                         lambda data: data.get("device") == "second", start)
        guest.run(f"[ ! -e {pci} ]", check=True)
    # The one that stayed is untouched.
    assert fleets.GuestDevice(guest, SLOT).status() == ACKNOWLEDGE
