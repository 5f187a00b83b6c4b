# SPDX-License-Identifier: GPL-2.0-or-later
"""Resets of the whole machine, in the middle of work."""

import pytest

import fleet as fleets
from vmtest import Load

# One device per type is enough after a reset; each ring variant once.
AFTER = ("blk-all", "net-noindirect", "rng-noevent", "scsi-bare",
         "serial-all", "balloon-all", "9p-all")


def check_again(fleet):
    """Everything negotiates and works as after the first boot."""
    for kind in fleets.KINDS:
        if (fleet.kernel, kind.type) not in fleets.LACKS:
            assert fleet.device(kind.name).features() == \
                kind.expected(fleet.kernel, fleet.packed), kind.name
    for name in AFTER:
        fleet.exercise(name)


@pytest.mark.on("6.12-packed", "6.1-split")
def test_system_reset_under_load(fleet):
    """The machine is reset while requests of three devices are in flight."""
    vm = fleet.vm
    loads = [Load(vm, "disk", fleet.block_path("blk-all"), "4"),
             Load(vm, "disk", fleet.block_path("scsi-all"), "4"),
             Load(vm, "echo", fleet.configure_net("net-all"), "7",
                  str(1 << 40))]
    for load in loads:
        load.advance(64)
    boots, start = vm.agent.boots, vm.events_seen()
    vm.agent.lost()
    vm.qmp("system_reset")
    vm.wait_event("RESET", 60, start=start)
    vm.wait_boot(boots=boots + 1)
    check_again(fleet)


@pytest.mark.on("7.x-packed")
def test_guest_reboot(fleet):
    """A reboot by the guest, after which written data is still there."""
    vm = fleet.vm
    device = fleet.block_path("blk-noevent")
    script = f"dd if={device} bs=1M count=8 iflag=direct | sha256sum"
    fleet.exercise("blk-noevent")
    before = vm.run(script, check=True).text
    vm.reboot()
    assert vm.run(script.replace(device, fleet.block_path("blk-noevent")),
                  check=True).text == before
    check_again(fleet)
