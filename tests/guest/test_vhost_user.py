# SPDX-License-Identifier: GPL-2.0-or-later
"""DPDK on the host serves a guest's network cards, behind a vIOMMU.

testpmd is a wire between two cards. Linux maps each frame for its way and
unmaps it (strict: and waits until nobody can reach it), so DPDK has to ask for
each. It loses frames while it waits for answers; what arrives is checked.
Only the receiving card has a packed ring: DPDK drops what it takes out of one
if it has to ask where it is, and with such mappings that is every frame.
"""

from vadis import vfioblk
import moving
import testpmd
import vhostproxy
from vhostproxy import READ, WRITE
from vmtest import Load, VM, load_files

MEMORY = "512M"
ACCESS_PLATFORM = 1 << 33
# Frames that must arrive, and with --soak
FRAMES = 64, 2000
USUAL = [("intel-iommu", True), ("virtio-iommu", False)]
ALL = [(iommu, packed) for iommu in vfioblk.IOMMUS for packed in (True, False)]


def pytest_generate_tests(metafunc):
    soak = metafunc.config.getoption("--soak")
    if "packed" in metafunc.fixturenames:
        cases = ALL if soak else USUAL
        metafunc.parametrize(
            "iommu,packed", cases,
            ids=[f"{iommu}-{'packed' if packed else 'split'}"
                 for iommu, packed in cases])
    else:
        metafunc.parametrize("iommu",
                             list(vfioblk.IOMMUS)[:None if soak else 1])


def settings(iommu, packed, proxies):
    device, append, modules = vfioblk.IOMMUS[iommu]
    devices = [device + (",device-iotlb=on" if iommu == "intel-iommu" else "")]
    args = ["-object",
            f"memory-backend-memfd,id=ram,size={MEMORY},share=on",
            "-machine", "memory-backend=ram"]
    for i, proxy in enumerate(proxies):
        args += ["-chardev", f"socket,id=vhost{i},path={proxy.path}",
                 "-netdev", f"vhost-user,id=net{i},chardev=vhost{i}"]
        ring = "on" if packed and i else "off"
        devices.append(f"virtio-net-pci,netdev=net{i},id=nic{i},romfile=,"
                       "disable-legacy=on,iommu_platform=on,ats=on,"
                       f"packed={ring}")
    return {"devices": devices, "args": args, "modules": modules,
            "memory": MEMORY, "append": f"{append} iommu.strict=1",
            "files": load_files()}


def test_frames(iommu, packed, home, rounds):
    """What is unmapped is taken from DPDK, and what it sends is not its own.

    A frame in memory that DPDK can still reach by an address of before would
    show as one that came twice, or changed.
    """
    frames = rounds(*FRAMES)
    with testpmd.VhostSwitch(home) as switch, \
         vhostproxy.Proxy(f"{home}/front0", switch.sockets[0]) as sender, \
         vhostproxy.Proxy(f"{home}/front1", switch.sockets[1]) as receiver, \
         VM(name="vhost-user", kernel="6.12",
            **settings(iommu, packed, (sender, receiver))) as vm:
        for nic in ("nic0", "nic1"):
            assert ("VIRTIO_F_RING_PACKED" in moving.negotiated(vm, nic)) == \
                (packed and nic == "nic1")
        load = Load(vm, "frames", "eth0", "eth1")
        load.advance(frames, 300)
        load.stop()
        for proxy in (sender, receiver):
            with proxy.changed:
                assert not proxy.errors
                assert proxy.features & ACCESS_PLATFORM
                assert not proxy.updates[WRITE]
        # To send is to read. Each frame was given and taken away again.
        with sender.changed:
            given, taken = sender.updates[READ], sender.invalidated
        assert given - sender.reachable(READ) >= frames and taken >= frames


def test_unmaps_untold(iommu, home):
    """The test above can fail: without invalidations, DPDK reads old frames."""
    with testpmd.VhostSwitch(home) as switch, \
         vhostproxy.Proxy(f"{home}/front0", switch.sockets[0],
                          deaf=True) as sender, \
         vhostproxy.Proxy(f"{home}/front1", switch.sockets[1]) as receiver, \
         VM(name="vhost-deaf", kernel="6.12",
            **settings(iommu, False, (sender, receiver))) as vm:
        load = Load(vm, "frames", "eth0", "eth1")
        vm.wait(lambda: load.command.done, 300, "a wrong frame")
        assert "WRONG frame" in load.text
        with sender.changed:
            assert sender.invalidated > 0
