# SPDX-License-Identifier: GPL-2.0-or-later
"""DPDK 22.11's virtio driver in a guest, on packed rings in order."""

import re
import signal

import moving
import testpmd
from vmtest import VM

SLOTS = {"net0": 0x10, "net1": 0x11}
PLUGINS = ("bus_pci", "net_virtio", "mempool_ring")
PACKETS = 10000

PREPARE = """
set -e
mkdir -p /dev/hugepages
mount -t hugetlbfs none /dev/hugepages
for device in {devices}; do
    cd /sys/bus/pci/devices/$device
    [ ! -e driver ] || echo $device >driver/unbind
    echo uio_pci_generic >driver_override
    echo $device >/sys/bus/pci/drivers_probe
    [ "$(basename $(readlink driver))" = uio_pci_generic ]
done
"""


def test_testpmd_forwards_between_two_cards():
    """Packets go round between two cards on one wire, none of them lost."""
    words = testpmd.words(testpmd.get(), PLUGINS, ["-l", "0,1"],
                          ["--total-num-mbufs=4096", "--forward-mode=io",
                           "--tx-first", "--stats-period=1"])
    with VM(name="dpdk", memory="2G", smp=2, virtio_opts="in_order=on",
            modules=["uio_pci_generic"], append="hugepages=256",
            args=list(moving.WIRE),
            devices=[f"virtio-net-pci,netdev=port{i},romfile=,id={name},"
                     f"addr={slot:#x}"
                     for i, (name, slot) in enumerate(SLOTS.items())]) as vm:
        vm.run(PREPARE.format(devices=" ".join(f"0000:00:{slot:02x}.0" for
                                               slot in SLOTS.values())),
               check=True)
        command = vm.popen(words)

        def moved():
            assert not command.done, command.stdout[-2000:]
            counts = re.findall(rb"RX-packets: (\d+)", command.stdout)
            return counts and max(map(int, counts)) > PACKETS

        vm.wait(moved, 120, f"{PACKETS} packets of testpmd")
        for name in SLOTS:
            bits = moving.negotiated(vm, name)
            assert {"VIRTIO_F_RING_PACKED", "VIRTIO_F_IN_ORDER"} <= bits
            for index in (0, 1):
                ring = moving.queue(vm, name, index)["ring"]
                assert ring["engine"].startswith("vadis: packed")
                assert ring["engine"].endswith(", in order")
                assert ring["counters"]["requests"] > PACKETS // 2
                assert ring["counters"]["errors"] == 0
        command.signal(signal.SIGINT)
        command.wait(60)
        totals = re.findall(rb"RX-dropped: (\d+) +RX-total", command.stdout)
        assert totals and not any(map(int, totals)), command.stdout[-2000:]
