# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's drivers behind a vIOMMU: each byte arrives, with the IOTLB or not.

Linux maps each buffer for its request and unmaps it behind it (strict: and
waits for the IOMMU each time), so IOVAs are used again and again with other
pages behind them. Rings of 1024 entries are made of pages that are apart.
"""

import itertools
import shutil
import tempfile

import pytest

import viommu
from viommu import Setup

INTEL, VIRTIO = "intel-iommu", "virtio-iommu"
USUAL = [Setup(INTEL, strict=True, iothreads=4),
         Setup(VIRTIO, strict=True, packed=False, iothreads=2),
         Setup(INTEL, strict=False, kernel="6.1", iotlb=False)]
# Debian's 6.1 has no driver for virtio-iommu.
KERNELS = [(INTEL, "6.12"), (INTEL, "6.1"), (VIRTIO, "6.12")]


def all_setups():
    """Everything with everything; the number of IOThreads goes round."""
    cells = enumerate(itertools.product(KERNELS, (True, False),
                                        (True, False)))
    return [Setup(iommu, strict, kernel, packed, iotlb,
                  1 + (i + i // 4) % 4)
            for i, ((iommu, kernel), strict, packed) in cells
            for iotlb in (True, False)]


# The very objects for each test: pytest tells parameters apart by identity.
MORE = [setup for setup in all_setups() if setup not in USUAL]


def pytest_generate_tests(metafunc):
    if "guest" in metafunc.fixturenames:
        soak = metafunc.config.getoption("--soak")
        setups = USUAL + MORE * soak
        metafunc.parametrize("guest", setups, ids=map(str, setups),
                             indirect=True, scope="module")


@pytest.fixture(scope="module")
def guest(request):
    """A guest with all devices, shared by the tests of one setup."""
    home = tempfile.mkdtemp(prefix="vadis-test-")
    try:
        with viommu.running(request.param, home) as vm:
            viommu.assert_mode(vm)
            yield vm
    finally:
        shutil.rmtree(home)


@pytest.fixture(autouse=True)
def nothing_is_left(request):
    """After a test nothing is in flight, and no fault has been seen."""
    yield
    vm = request.getfixturevalue("guest")
    viommu.wait_idle(vm)
    viommu.assert_served(vm)


@pytest.mark.parametrize("name", viommu.DISKS)
def test_fio(guest, name, rounds):
    viommu.fio(guest, viommu.disk(guest, name), loops=rounds(1, 4))
    if guest.setup.iotlb:
        info = viommu.iotlb(guest)[name]
        print(guest.setup, info)
        assert info["hits"] > 0 and info["invalidations"] > 0
    if name == "blk":
        for index in range(guest.setup.iothreads):
            queue = guest.qmp("x-query-virtio-queue-status", queue=index,
                              path=viommu.node(name))
            assert queue["vring-num"] == 1024
            ring = queue["ring"]
            assert ring["engine"].startswith(guest.setup.engine)
            if guest.setup.iotlb:       # upstream's code does not count
                assert ring["counters"]["requests"] > 0, index


def test_both_disks_at_once(guest):
    """A load on each, and frames from card to card at the same time."""
    loads = [viommu.Load(guest, "disk", viommu.disk(guest, name), "4")
             for name in viommu.DISKS]
    loads.append(viommu.start_frames(guest))
    for load in loads:
        load.advance(256)
    for load in loads:
        load.stop()


def test_tcp(guest, rounds):
    viommu.echo(guest, rounds(32, 512))


def test_entropy(guest):
    viommu.entropy(guest)


def test_crypto(guest):
    viommu.cipher(guest)
