# SPDX-License-Identifier: GPL-2.0-or-later
"""A user-space driver in the guest, kept in bounds by a vIOMMU."""

import pytest

from vadis import vfioblk
from vmtest import VM

SLOT = 0x12
ADDRESS = f"0000:00:{SLOT:02x}.0"
DISK = 4 << 20


@pytest.fixture(scope="module", params=[
    (iommu, packed, iothread) for iommu in vfioblk.IOMMUS
    for packed, iothread in ((True, False), (False, False), (True, True))],
    ids=lambda p: f"{p[0]}-{'packed' if p[1] else 'split'}"
                  f"{'-iothread' if p[2] else ''}")
def guest(request, tmp_path_factory):
    iommu, packed, iothread = request.param
    disk = tmp_path_factory.mktemp("disk") / "image"
    with open(disk, "wb") as image:
        image.truncate(DISK)
    settings = vfioblk.settings(iommu, disk, SLOT,
                                ",iothread=io0" if iothread else "")
    settings["args"] += ["-object", "iothread,id=io0"]
    with VM(name="vfio", kernel="6.12", packed=packed, **settings) as vm:
        vm.run(["sh", "-ec", vfioblk.BIND, "sh", ADDRESS], check=True)
        vm.packed = packed
        vm.disk = disk
        yield vm


def drive(guest, *words):
    return guest.run([vfioblk.PROGRAM, ADDRESS, *words], timeout=300,
                     check=True).text


def test_data(guest):
    said = drive(guest, "--blocks", "200")
    assert f"{'packed' if guest.packed else 'split'} ring" in said
    status = guest.qmp("x-query-virtio-status", path=vfioblk.DISK_NODE)
    assert any("VIRTIO_F_IOMMU_PLATFORM" in f
               for f in status["guest-features"]["transports"])
    # What the guest wrote is in the host's file: not all zeroes, not at once.
    data = guest.disk.read_bytes()[:200 << 14]
    assert len(set(data)) == 256


@pytest.mark.parametrize("attack", ["unmap", "remap", "close", "reset"])
def test_hostile(guest, attack):
    """The attacker gets its device back, and nobody else loses anything.

    Nothing is written to memory after it was unmapped.

    With an IOThread the IOMMU finds the faults in a thread that may not raise
    interrupts.
    """
    said = drive(guest, "--hostile", attack)
    assert f"hostile {attack}: 20 rounds" in said
    if attack in ("unmap", "remap"):
        assert "rounds, 0 bytes written after the unmap" in said
    drive(guest)
    guest.run(["uname", "-r"], check=True)


@pytest.mark.parametrize("iothread", [False, True], ids=["main", "iothread"])
@pytest.mark.parametrize("iommu", vfioblk.IOMMUS)
def test_hostile_slow_disk(iommu, iothread, tmp_path):
    """A disk that a throttle holds, its requests in flight at each attack.

    What the process unmaps waits for them, and the guest works on.
    """
    disk = tmp_path / "image"
    with open(disk, "wb") as image:
        image.truncate(DISK)
    settings = vfioblk.settings(iommu, disk, SLOT, ",request-merging=off" +
                                (",iothread=io0" if iothread else ""),
                                ",throttling.iops-total=500")
    settings["args"] += ["-object", "iothread,id=io0"]
    with VM(name="vfio-slow", kernel="6.12", packed=True, **settings) as vm:
        vm.run(["sh", "-ec", vfioblk.BIND, "sh", ADDRESS], check=True)

        def read(name, node=vfioblk.IOMMU_NODES[iommu]):
            return vm.qmp("qom-get", path=node, property=name)

        before = read("x-iommu-drains")
        said = drive(vm, "--slow", "4", "--hostile", "unmap",
                     "--hostile", "reset", "--hostile", "close",
                     "--hostile", "remap")
        assert said.count("rounds, 0 bytes written after the unmap") == 2
        assert read("x-iommu-drains") > before
        assert read("x-iommu-drain-parked") == 0
        assert read("x-iommu-in-flight", vfioblk.DISK_NODE) == 0
        vm.run(["uname", "-r"], check=True)
