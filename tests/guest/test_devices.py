# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's drivers on every device: what they negotiate and what they move.

Each test runs on three kernels, with packed and with split rings, and for
each combination of ring features the device is given (see fleet.py).
"""

import pytest

import fleet as fleets

NAMES = [kind.name for kind in fleets.KINDS]
WORKING = [n for n in NAMES
           if hasattr(fleets.Fleet, "_work_" + fleets.BY_NAME[n].type)]
DRIVER_OK = 0x0f
# Each kernel and each ring format at least once; --soak takes all.
THOROUGH = pytest.mark.on("6.1-split", "6.12-packed", "7.x-packed")

# The share is mounted, so its driver cannot let go.
REBOUND = [n for n in WORKING if fleets.BY_NAME[n].type != "9p"
           and fleets.BY_NAME[n].variant in ("all", "bare")]


@pytest.mark.parametrize("name", NAMES)
def test_negotiates_exactly_the_expected_features(fleet, name):
    kind = fleets.BY_NAME[name]
    device = fleet.device(name)
    if (fleet.kernel, kind.type) in fleets.LACKS:
        assert not device.status() & 4, "the kernel has gained a driver"
        return
    assert device.driver() == fleets.DRIVERS[kind.type]
    assert device.status() == DRIVER_OK
    expected = kind.expected(fleet.kernel, fleet.packed)
    assert sorted(device.features()) == sorted(expected)
    if kind.type != "9p":               # has no name in QEMU
        assert fleet.qemu_transport(name) == fleets.words(expected)


# In 9p's share the device has no name in QEMU.
@pytest.mark.parametrize("name", [n for n in NAMES if not n.startswith("9p")])
def test_the_engine_serves_every_queue(fleet, name):
    """In the format that was negotiated, and with no word of a violation."""
    kind = fleets.BY_NAME[name]
    if (fleet.kernel, kind.type) in fleets.LACKS:
        assert not fleet.device(name).status() & 4
        return
    queues = fleet.queues(name)
    assert queues
    for queue in queues:
        assert queue["ring"]["engine"] == kind.engine(fleet.kernel,
                                                      fleet.packed)
        assert queue["ring"]["counters"]["errors"] == 0


@pytest.mark.parametrize("name", [n for n in WORKING if n.endswith("-all")])
def test_moves_data_unharmed(fleet, name):
    fleet.exercise(name)


@THOROUGH
@pytest.mark.parametrize("name", [n for n in WORKING
                                  if not n.endswith("-all")])
def test_moves_data_without_some_ring_features(fleet, name):
    fleet.exercise(name)


@THOROUGH
@pytest.mark.parametrize("name", REBOUND)
def test_works_again_after_unbind_and_bind(fleet, name):
    """A driver that lets go resets the device, queues and all."""
    device = fleet.device(name)
    before = device.features()
    device.sh('drv=$(readlink -f driver) && id=$(basename $PWD) && '
              'echo $id >$drv/unbind && [ $(($(cat status) & 4)) = 0 ] && '
              'echo $id >$drv/bind')
    assert device.status() == DRIVER_OK
    assert device.features() == before
    fleet.exercise(name)
