# SPDX-License-Identifier: GPL-2.0-or-later
"""Two guests talk over packed virtio-net; one dies, the other does not."""

import subprocess

import pytest

from vadis import paths
from vmtest import Load

MIB = 1 << 20


@pytest.mark.parametrize("link,packed", [
    ("stream", (True, True)), ("stream", (True, False)),
    ("dgram", (True, True)), ("dgram", (False, False))])
def test_ping_and_transfer(make_pair, link, packed, rounds):
    """Both directions, over both links, packed and split and mixed."""
    pair = make_pair(link, a={"packed": packed[0]}, b={"packed": packed[1]})
    pair.ping("a", "b")
    pair.ping("b", "a")
    for _ in range(rounds(1, 10)):
        pair.transfer("a", "b", 4 * MIB)
        pair.transfer("b", "a", 4 * MIB)


def test_ping_with_packed_rings_and_event_index(make_pair, rounds):
    """Every packet alone, so that every one needs its kick."""
    pair = make_pair("stream", event_idx=True)
    pair.ping("a", "b", rounds(4, 100))
    pair.ping("b", "a", rounds(4, 100))


@pytest.mark.parametrize("victim", ["a", "b"])
def test_peer_killed_in_a_transfer(make_pair, tmp_path, victim, rounds):
    """The survivor keeps its disk busy throughout, and meets the next peer."""
    survivor = {"a": "b", "b": "a"}[victim]
    disk = tmp_path / "disk.qcow2"
    subprocess.run([paths.qemu_img(), "create", "-q", "-f", "qcow2", disk,
                    "64M"], check=True)
    pair = make_pair("stream", **{survivor: {"disks": [str(disk)]}})
    vm = pair[survivor]
    steady = Load(vm, "disk", "/dev/vda", "2")
    for _ in range(rounds(1, 10)):
        receiver = pair.serve(survivor, 1 << 40)
        sender = pair.send(victim, survivor, 1 << 40)
        sender.advance(64)
        start = vm.events_seen()
        pair[victim].kill()
        vm.wait_event("NETDEV_STREAM_DISCONNECTED", 60, start=start)
        steady.advance(64)
        receiver.command.signal(9)
        assert receiver.command.wait() == 137
        pair.start(victim)
        vm.wait_event("NETDEV_STREAM_CONNECTED", 60, start=start)
        pair.settle(victim)
        pair.ping(survivor, victim)
        pair.transfer(victim, survivor, 2 * MIB)
    steady.stop()
    assert not vm.run("dmesg | grep -E 'BUG|WARNING|Oops'").text
