# SPDX-License-Identifier: GPL-2.0-or-later
"""DPDK 22.11's virtio driver in a guest, on packed rings in order."""

import re
import signal

import moving
import viommu
from vadis import unpacked, vfioblk
from vmtest import VM

SLOTS = {"net0": 0x10, "net1": 0x11}
# Of the driver's plugins only these are loaded; the programs that build
# against DPDK, which come with testpmd, are not needed at all.
PLUGINS = ("net_virtio", "mempool_ring")
SKIP = r"-dev_|-doc_|^(linux|gcc|g\+\+|cpp|python|perl|binutils)"
PACKETS = 10000

PREPARE = """
set -e
mkdir -p /run/pmds /dev/hugepages
for name in {plugins}; do
    cp {root}/usr/lib/x86_64-linux-gnu/dpdk/pmds-*/librte_$name.so.* /run/pmds
done
mount -t hugetlbfs none /dev/hugepages
unsafe=/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts
[ ! -e $unsafe ] || echo 1 >$unsafe
for device in {devices}; do
    cd /sys/bus/pci/devices/$device
    [ ! -e driver ] || echo $device >driver/unbind
    echo {driver} >driver_override
    echo $device >/sys/bus/pci/drivers_probe
    [ "$(basename $(readlink driver))" = {driver} ]
done
"""


def words_of_testpmd(root, mode):
    """The words that start testpmd on the loader and libraries it came with."""
    libraries = f"{root}/usr/lib/x86_64-linux-gnu:{root}/lib/x86_64-linux-gnu"
    words = [f"{root}/lib64/ld-linux-x86-64.so.2", "--library-path",
             libraries, f"{root}/usr/bin/dpdk-testpmd", "-l", "0,1",
             "--no-telemetry"]
    for name in PLUGINS:
        words += ["-d", f"/run/pmds/librte_{name}.so.23"]
    return words + ["--", "--total-num-mbufs=4096", "--stats-period=1", *mode]


def pytest_generate_tests(metafunc):
    """Without an IOMMU, and with --soak behind each."""
    metafunc.parametrize("iommu", [None, *vfioblk.IOMMUS] if
                         metafunc.config.getoption("--soak") else [None])


def settings(iommu, slots):
    """(the driver that hands cards to a process, the VM's arguments)"""
    devices = [f"virtio-net-pci,netdev=port{i},romfile=,id={name},"
               f"addr={slot:#x}" for i, (name, slot) in
               enumerate(slots.items())]
    if not iommu:
        return "uio_pci_generic", {
            "devices": devices, "virtio_opts": "in_order=on",
            "modules": ["uio_pci_generic"], "append": "hugepages=256"}
    device, append, modules = vfioblk.IOMMUS[iommu]
    return "vfio-pci", {
        "devices": [device, *devices],
        "virtio_opts": "in_order=on,iommu_platform=on,disable-legacy=on",
        "modules": [*modules, *vfioblk.MODULES],
        "append": f"hugepages=256 {append}"}


def start_testpmd(vm, driver, slots, mode):
    """Bind the cards, start the program; returns once packets go round."""
    root = unpacked.get("bookworm", "dpdk-dev", SKIP)
    vm.run(PREPARE.format(root=root, plugins=" ".join(PLUGINS), driver=driver,
                          devices=" ".join(f"0000:00:{slot:02x}.0" for
                                           slot in slots.values())),
           check=True)
    command = vm.popen(words_of_testpmd(root, mode))

    def moved():
        assert not command.done, command.stdout[-2000:]
        counts = re.findall(rb"RX-packets: (\d+)", command.stdout)
        return counts and max(map(int, counts)) > PACKETS

    vm.wait(moved, 120, f"{PACKETS} packets of testpmd")
    return command


def test_testpmd_forwards_between_two_cards(iommu):
    """Packets go round between two cards on one wire, none of them lost."""
    driver, more = settings(iommu, SLOTS)
    with VM(name="dpdk", memory="2G", smp=2, args=list(moving.WIRE),
            **more) as vm:
        command = start_testpmd(vm, driver, SLOTS,
                                ("--forward-mode=io", "--tx-first"))
        for name in SLOTS:
            bits = moving.negotiated(vm, name)
            assert {"VIRTIO_F_RING_PACKED", "VIRTIO_F_IN_ORDER"} <= bits
            assert ("VIRTIO_F_IOMMU_PLATFORM" in bits) == bool(iommu)
            for index in (0, 1):
                ring = moving.queue(vm, name, index)["ring"]
                assert ring["engine"].startswith("vadis: packed")
                assert ring["engine"].endswith(
                    ", in order" + ", behind an IOMMU" * bool(iommu))
                assert ring["counters"]["requests"] > PACKETS // 2
                assert ring["counters"]["errors"] == 0
        if iommu:
            assert_static(vm)
        command.signal(signal.SIGINT)
        command.wait(60)
        totals = re.findall(rb"RX-dropped: (\d+) +RX-total", command.stdout)
        assert totals and not any(map(int, totals)), command.stdout[-2000:]


def assert_static(vm):
    """DPDK maps its memory once, so what is known stays known."""
    known = viommu.iotlb(vm)
    for name in SLOTS:
        info = known[name]
        print(name, info)
        assert info["usable"] and info["faults"] == 0, info
        assert info["translations"] < PACKETS // 100, info
