# SPDX-License-Identifier: GPL-2.0-or-later
"""A vhost-user backend behind a vIOMMU: DPDK's, which sends packets back.

It asks QEMU for each translation and is told of each unmap; the engine and
its IOTLB have no part in it. In the guest DPDK drives the card, too, and
maps its memory once: with a driver that maps each packet, like Linux' own,
DPDK 22.11's backend reads at addresses that are no longer mapped and damages
packets, under upstream's QEMU as well.
"""

import contextlib
import re
import signal
import subprocess

import pytest

import moving
import test_dpdk
from vadis import unpacked
from vadis.machine import escape
from vmtest import VM

# The bus of devices that a command line makes, the backend, its buffers
PLUGINS = ("bus_vdev", "net_vhost", "mempool_ring")
SLOT = {"net0": 0x10}
ACCESS_PLATFORM = 33


def pytest_generate_tests(metafunc):
    cells = [("intel-iommu", True), ("virtio-iommu", True),
             ("intel-iommu", False), ("virtio-iommu", False)]
    cells = cells if metafunc.config.getoption("--soak") else cells[:1]
    metafunc.parametrize("iommu,packed", cells, ids=[
        f"{iommu}-{'packed' if packed else 'split'}"
        for iommu, packed in cells])


@pytest.fixture
def backend(home):
    """(the socket, the file with its words) of a backend that runs."""
    root = unpacked.get("bookworm", "dpdk-dev", test_dpdk.SKIP)
    libraries = f"{root}/usr/lib/x86_64-linux-gnu"
    # Preloaded: -d takes no file below a directory that all may write to.
    plugins = ":".join(f"{libraries}/dpdk/pmds-23.0/librte_{name}.so.23"
                       for name in PLUGINS)
    words = [
        f"{root}/lib64/ld-linux-x86-64.so.2", "--preload", plugins,
        "--library-path", f"{libraries}:{root}/lib/x86_64-linux-gnu",
        f"{root}/usr/bin/dpdk-testpmd", "-l", "0,1", "--no-telemetry",
        "--no-huge", "-m", "128", "--no-pci", "--no-shconf",
        "--vdev", f"net_vhost0,iface={home}/socket,iommu-support=1",
        "--", "--total-num-mbufs=2048", "--forward-mode=io",
        "--stats-period=1"]
    log = f"{home}/testpmd"
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(open(log, "wb"))
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=out,
                                   stderr=subprocess.STDOUT)
        try:
            with open(log, "rb") as said:
                wait_for(process, said, b"binding succeeded")
            yield f"{home}/socket", log
        finally:
            process.kill()
            process.communicate()


def wait_for(process, said, word):
    """Wait until a process has written ``word``, or has ended."""
    text = b""
    while word not in text:
        assert process.poll() is None, text[-2000:]
        text += said.read()


def test_packets_come_back(backend, iommu, packed):
    path, log = backend
    driver, more = test_dpdk.settings(iommu, SLOT)
    with VM(name="vhost-user", memory="2G", smp=2, packed=packed, args=[
            "-object", "memory-backend-memfd,id=ram,size=2G,share=on",
            "-machine", "memory-backend=ram",
            "-chardev", f"socket,id=backend,path={escape(path)}",
            "-netdev", "vhost-user,id=port0,chardev=backend"], **more) as vm:
        # More and more packets: the backend drops one whose place in memory
        # it has to ask for.
        command = test_dpdk.start_testpmd(vm, driver, SLOT,
                                          ("--forward-mode=flowgen",))
        bits = moving.negotiated(vm, "net0")
        assert "VIRTIO_F_IOMMU_PLATFORM" in bits
        assert ("VIRTIO_F_RING_PACKED" in bits) == packed
        status = vm.qmp("x-query-virtio-status",
                        path="/machine/peripheral/net0/virtio-backend")
        assert status["vhost-started"] and not status["broken"]
        command.signal(signal.SIGINT)
        command.wait(60)
        totals = re.findall(rb"RX-dropped: (\d+) +RX-total", command.stdout)
        assert totals and not any(map(int, totals)), command.stdout[-2000:]
        said = vm.run("dmesg", check=True).text
        assert not re.search("fault addr|page fault", said), said[-2000:]
    with open(log, "rb") as said:
        text = said.read()
    agreed = re.findall(rb"negotiated Virtio features: 0x([0-9a-f]+)", text)
    assert int(agreed[-1], 16) >> ACCESS_PLATFORM & 1, text[-2000:]
