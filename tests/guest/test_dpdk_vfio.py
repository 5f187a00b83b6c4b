# SPDX-License-Identifier: GPL-2.0-or-later
"""DPDK 22.11's virtio driver on vfio-pci, behind a vIOMMU, and its sudden end.

testpmd forwards between two cards of the guest. On the wire of each is a card
of the kernel's: one sends frames, the other checks those that came through.
When testpmd is killed its buffers are still with the devices, and frames go on
coming.
"""

import re
import signal

import testpmd
from vadis import vfioblk
from vmtest import GuestDevice, Load, VM, load_files

# Cards by wire: testpmd's, and the kernel's
SLOTS = {"net0": 0x10, "net1": 0x11}
KERNEL_SLOTS = 0x12, 0x13
ADDRESSES = [f"0000:00:{slot:02x}.0" for slot in SLOTS.values()]
PLUGINS = ("bus_pci", "net_virtio", "mempool_ring")
USUAL = [("intel-iommu", True)]
ALL = [(iommu, packed) for iommu in vfioblk.IOMMUS for packed in (True, False)]
# Frames before each end, and ends; usually, and with --soak
FRAMES = 512, 4000
ENDS = 1, 3
# Mappings last, so requests outnumber translations.
REQUESTS_PER_TRANSLATION = 5

MOUNT = "mkdir -p /dev/hugepages && mount -t hugetlbfs none /dev/hugepages"

# Take all huge pages, let $1 more frames pass on card $2, and look at them.
WATCH = r"""
import mmap, re, sys, time
frames, card = int(sys.argv[1]), sys.argv[2]
SIZE, MAP_HUGETLB = 2 << 20, 0x40000

def sent():
    with open(f"/sys/class/net/{card}/statistics/tx_packets") as file:
        return int(file.read())

with open("/proc/meminfo") as file:
    total, free = map(int, re.findall(r"HugePages_(?:Total|Free):\s+(\d+)",
                                      file.read()))
assert total == free, f"{free} of {total} pages are free"
memory = mmap.mmap(-1, total * SIZE, flags=mmap.MAP_PRIVATE |
                   mmap.MAP_ANONYMOUS | MAP_HUGETLB)
pattern = b"\x5a" * SIZE
for at in range(0, total * SIZE, SIZE):
    memory[at:at + SIZE] = pattern
until = sent() + frames
while sent() < until:
    time.sleep(0.01)
for at in range(0, total * SIZE, SIZE):
    assert memory[at:at + SIZE] == pattern, f"written to at {at:#x}"
"""


def pytest_generate_tests(metafunc):
    cases = ALL if metafunc.config.getoption("--soak") else USUAL
    metafunc.parametrize("iommu,packed", cases,
                         ids=[f"{iommu}-{'packed' if packed else 'split'}"
                              for iommu, packed in cases])


def settings(iommu):
    device, append, modules = vfioblk.IOMMUS[iommu]
    devices = [device]
    # A card that is gone takes no frames, and a hub without takers keeps them.
    args = ["-netdev", "user,id=sink,restrict=on",
            "-netdev", "hubport,id=sink0,hubid=0,netdev=sink"]
    for i, (name, slot) in enumerate(SLOTS.items()):
        devices += [
            f"virtio-net-pci,netdev=user{i},romfile=,id={name},addr={slot:#x},"
            "disable-legacy=on,iommu_platform=on,x-iotlb=on",
            f"virtio-net-pci,netdev=kernel{i},romfile=,"
            f"addr={KERNEL_SLOTS[i]:#x}"]
        for side in ("user", "kernel"):
            args += ["-netdev", f"hubport,id={side}{i},hubid={i}"]
    return {"devices": devices, "args": args,
            "modules": [*vfioblk.MODULES, *modules],
            "append": f"{append} hugepages=64", "files": load_files()}


def node(name):
    return f"/machine/peripheral/{name}/virtio-backend"


def check_engine(vm):
    """The engine serves testpmd's cards, by translations it remembers."""
    iotlbs = {info["path"]: info for info in vm.qmp("x-query-virtio-iotlb")}
    for name in SLOTS:
        requests = 0
        for index in range(2):
            ring = vm.qmp("x-query-virtio-queue-status", path=node(name),
                          queue=index)["ring"]
            assert ring["engine"].startswith("vadis: ")
            assert ring["engine"].endswith("behind an IOMMU")
            assert ring["counters"]["errors"] == 0
            requests += ring["counters"]["requests"]
        iotlb = iotlbs[node(name)]
        assert iotlb["usable"] and iotlb["faults"] == 0
        assert iotlb["translations"] * REQUESTS_PER_TRANSLATION < requests


def check_gone(vm, iommu):
    """Nothing of the dead process is left with its devices or the IOMMU."""
    def read(path, name):
        return vm.qmp("qom-get", path=path, property=name)

    for name in SLOTS:
        assert read(node(name), "x-iommu-in-flight") == 0
    assert read(vfioblk.IOMMU_NODES[iommu], "x-iommu-drain-parked") == 0


def test_killed_in_the_middle(iommu, packed, rounds):
    frames = rounds(*FRAMES)
    words = testpmd.words(testpmd.get(), PLUGINS,
                          ["-l", "0,1", "--huge-unlink=always",
                           *(f"--allow={address}" for address in ADDRESSES)],
                          ["--total-num-mbufs=4096", "--forward-mode=io",
                           "--stats-period=1"])
    with VM(name="dpdk-vfio", kernel="6.12", memory="1G", smp=2,
            packed=packed, **settings(iommu)) as vm:
        for address in ADDRESSES:
            vm.run(["sh", "-ec", vfioblk.BIND, "sh", address], check=True)
        vm.run(MOUNT, check=True)
        cards = [GuestDevice(vm, slot).sh("ls net") for slot in KERNEL_SLOTS]
        load = Load(vm, "frames", *cards)
        for _ in range(rounds(*ENDS)):
            command = vm.popen(words)
            load.advance(frames, 300)
            assert not command.done, command.stdout[-2000:]
            check_engine(vm)
            command.signal(signal.SIGKILL)
            command.wait(60)
            vm.run(["python3", "-c", WATCH, "300", cards[0]], timeout=300,
                   check=True)
            check_gone(vm, iommu)
        load.stop()
        said = vm.run("dmesg", check=True).text
        assert not re.search(r"DMAR:.*fault|BUG:|Oops|Bad page", said), said
