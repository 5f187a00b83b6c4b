# SPDX-License-Identifier: GPL-2.0-or-later
"""Drivers of firmware: SeaBIOS, iPXE and OVMF on the ring engine.

Nobody here wrote these drivers. None of them takes packed rings, which the
devices offer; that they do not is asserted, so that the day they do is seen.
What they read is checked, and the engine must have served it.
"""

import os
import shutil
import struct
import subprocess

import moving
from vadis import paths
from vadis.machine import Machine, virtio
from vmtest import TESTS, VM

SECTORS, NBP_BYTES = 512, 24576
OVMF = "/usr/share/OVMF"


class Bare(Machine):
    """A machine without Linux: firmware, the given devices, a console."""

    def _all_devices(self):
        return [([], virtio(self.config, device))
                for device in self.config.devices]

    def write_image(self, path, console=False):
        pass

    def argv(self, home, sockets=True):
        argv = super().argv(home, sockets)
        for option in ("-kernel", "-initrd", "-append"):
            at = argv.index(option)
            del argv[at:at + 2]
        return argv


class FirmwareVM(VM):
    """A VM that starts and boots whatever its firmware finds."""

    def __init__(self, **settings):
        super().__init__(memory="256M", **settings)
        self.machine = Bare(self.config)

    def __enter__(self):
        return self.start()

    def assert_served(self, device, queues):
        """The engine served a split ring, free of errors; its requests."""
        assert "VIRTIO_F_RING_PACKED" not in moving.negotiated(self, device)
        status = self.qmp("x-query-virtio-status",
                          path=f"/machine/peripheral/{device}/virtio-backend")
        assert any(text.startswith("VIRTIO_F_RING_PACKED") for text in
                   status["host-features"]["transports"])
        requests = 0
        for index in queues:
            ring = moving.queue(self, device, index)["ring"]
            assert ring["engine"].startswith("vadis: split"), ring
            assert ring["counters"]["errors"] == 0
            requests += ring["counters"]["requests"]
        return requests


def program(home, name, define):
    """boot.S as 512 bytes."""
    subprocess.run([paths.tool("gcc", "gcc"), "-m32", "-c", f"-D{define}",
                    "-o", f"{home}/{name}.o", TESTS / "guest" / "boot.S"],
                   check=True)
    subprocess.run([paths.tool("ld", "binutils"), "-m", "elf_i386",
                    "-Ttext=0x7c00", "--oformat=binary", "-o",
                    f"{home}/{name}", f"{home}/{name}.o"], check=True)
    with open(f"{home}/{name}", "rb") as file:
        code = file.read()
    assert len(code) == 512
    return code


def total(data):
    """What boot.S prints of these bytes."""
    words = struct.unpack(f"<{len(data) // 4}I", data)
    return f"{sum(words) & 0xffffffff:08x}"


def test_seabios_boots_from_virtio_blk(home):
    data = os.urandom(512 * SECTORS)
    with open(f"{home}/disk", "wb") as disk:
        disk.write(program(home, "boot", f"DISK={SECTORS}") + data)
        disk.truncate(8 << 20)
    with FirmwareVM(name="seabios", devices=[
            "virtio-blk-pci,id=blk,drive=disk,num-queues=1,bootindex=0"],
            args=["-drive", "if=none,id=disk,format=raw,"
                  f"file={home}/disk"]) as vm:
        found = vm.wait_console(r"vadis (read error|sum \w+)\.?$")
        assert found.group(1) == f"sum {total(data)}"
        assert vm.assert_served("blk", [0]) >= SECTORS


def test_ipxe_boots_over_virtio_net(home):
    data = os.urandom(NBP_BYTES)
    os.mkdir(f"{home}/tftp")
    with open(f"{home}/tftp/nbp", "wb") as file:
        file.write(program(home, "nbp.bin", f"NET={NBP_BYTES}") + data)
    with FirmwareVM(name="ipxe", devices=[
            "virtio-net-pci,id=net,netdev=user,bootindex=0"],
            args=["-netdev", f"user,id=user,tftp={home}/tftp,bootfile=nbp"]
            ) as vm:
        found = vm.wait_console(r"vadis sum (\w+)\.$", 120)
        assert found.group(1) == total(data)
        # TFTP has 512 bytes in a packet, and each is acknowledged.
        assert vm.assert_served("net", [0]) >= NBP_BYTES // 1468
        assert vm.assert_served("net", [1]) >= NBP_BYTES // 1468


def fat_image(home, name, files):
    """A FAT file system of 4 MiB; ``files`` are names and bytes."""
    image = f"{home}/{name}.img"
    subprocess.run([paths.tool("mformat", "mtools"), "-C", "-i", image,
                    "-T", "8192", "-h", "16", "-s", "32", "::"], check=True)
    for file, data in files.items():
        subprocess.run([paths.tool("mcopy", "mtools"), "-i", image, "-",
                        f"::{file}"], input=data, check=True)
    return image


STARTUP = b"""@echo -off\r
comp fs0:\\big fs1:\\big\r
type fs0:\\name\r
type fs1:\\name\r
echo vadis done\r
"""


def test_ovmf_reads_virtio_blk_and_virtio_scsi(home):
    """The UEFI shell compares a file on one disk with that on the other."""
    big = os.urandom(1 << 20)
    args = []
    for name in ("blk", "scsi"):
        image = fat_image(home, name, {
            "startup.nsh": STARTUP, "big": big,
            "name": f"vadis disk {name}\r\n".encode()})
        args += ["-drive", f"if=none,id=d-{name},format=raw,file={image}"]
    shutil.copy(f"{OVMF}/OVMF_VARS_4M.fd", f"{home}/vars.fd")
    for kind, file in (("readonly=on", f"{OVMF}/OVMF_CODE_4M.fd"),
                       ("readonly=off", f"{home}/vars.fd")):
        args += ["-drive", f"if=pflash,format=raw,{kind},file={file}"]
    with FirmwareVM(name="ovmf", args=args, devices=[
            "virtio-blk-pci,id=blk,drive=d-blk,num-queues=1",
            "virtio-scsi-pci,id=scsi", "scsi-hd,bus=scsi.0,drive=d-scsi",
            ]) as vm:
        vm.wait_console("^vadis done", 300)
        text = vm.console.text
        assert "no differences encountered" in text
        assert "vadis disk blk" in text and "vadis disk scsi" in text
        assert vm.assert_served("blk", [0]) > 0
        assert vm.assert_served("scsi", [2]) > 0
