# SPDX-License-Identifier: GPL-2.0-or-later
"""The balloon's page usage hints on Debian's kernel."""

import pytest

from vadis.demo_balloon import Hinter, resident, usage_vm
from vmtest import VM

MIB = 1 << 20
F_PAGE_USAGE, F_RING_PACKED = 58, 34


def stats(vm):
    return vm.qmp("qom-get", path="/machine/peripheral/balloon",
                  property="page-usage-stats")


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
def test_free_pages_leave_and_others_stay(tmp_path, packed):
    keep, free = 32 * MIB, 64 * MIB
    with usage_vm(tmp_path / "ram", "6.12", packed=packed) as vm:
        hinter = Hinter(vm, keep, free)
        assert hinter.features >> F_PAGE_USAGE & 1
        assert hinter.features >> F_RING_PACKED & 1 == packed
        kept = hinter.tell("check")
        before = resident(vm.pid)
        runs = int(hinter.tell("free")[1])
        assert before - resident(vm.pid) > free * 9 // 10
        hinter.tell("cold")
        assert hinter.tell("check") == kept
        seen = stats(vm)
        assert seen["free"]["acted"] == free
        assert seen["free"]["calls"] <= runs
        assert seen["cold"]["acted"] == keep
        assert not any(seen["rejects"].values()), seen
        assert hinter.quit() == 0
        assert vm.poweroff() == 0


@pytest.mark.parametrize("kernel", ["6.1", "6.12"])
def test_the_kernels_driver_works_beside_it(kernel):
    with VM(name="usage", kernel=kernel, root="initramfs", devices=[
            "virtio-balloon-pci,id=balloon,page-usage=on"]) as vm:
        features = vm.run("cat /sys/bus/virtio/drivers/virtio_balloon/virtio*"
                          "/features", check=True).text
        assert features[1] == "1" and features[F_PAGE_USAGE] == "0"
        full = vm.qmp("query-balloon")["actual"]
        for target in (full - 64 * MIB, full):
            start = len(vm.monitor.events)
            vm.qmp("balloon", value=target)
            vm.wait_event("BALLOON_CHANGE", 120,
                          lambda data, want=target: data["actual"] == want,
                          start)
        assert stats(vm)["requests"] == 0
