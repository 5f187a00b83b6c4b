# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests whose virtio devices all stand behind a vIOMMU, and work for them.

The root file system (virtio-9p) and the tests' own channel (virtio-serial)
are behind it as well.
"""

import contextlib
import dataclasses
import json
import re
import struct
import time

from vadis import unpacked, vfioblk
from vadis.machine import escape
from vmtest import DEADLINE, Load, VM, load_files

MIB = 1 << 20
DISK = 64 * MIB
DISKS = ("blk", "scsi")
NET = "10.9.30"
NAMES = ("blk", "scsi", "user", "left", "right", "rng", "crypto")
# What fio's package is linked with is more than what these tests run.
SKIP = r"perl|python|^(adduser|debconf|dpkg|passwd|tar|libicu)"
# Of what a guest's kernel says, that which tells of a fault.
FAULTS = r"DMAR:.*(fault|error)|virtio_iommu.*fault|viommu.*fault"


@dataclasses.dataclass(frozen=True)
class Setup:
    """What stands before the devices, and what serves them.

    :param strict: the kernel waits for the end of each unmap; otherwise it
                   flushes the IOMMU later, all at once
    :param iotlb: the devices remember translations
    :param iothreads: for virtio-blk, which has a queue for each
    """
    iommu: str
    strict: bool
    kernel: str = "6.12"
    packed: bool = True
    iotlb: bool = True
    iothreads: int = 1

    def __str__(self):
        return "-".join((self.iommu, "strict" if self.strict else "lazy",
                         self.kernel, "packed" if self.packed else "split",
                         "iotlb" if self.iotlb else "no_iotlb",
                         f"{self.iothreads}io"))

    @property
    def options(self):
        """Properties of each virtio device."""
        return ("iommu_platform=on,disable-legacy=on,x-iotlb=" +
                ("on" if self.iotlb else "off"))

    @property
    def cpus(self):
        """Linux uses a queue of a disk for each CPU."""
        return max(2, self.iothreads)

    @property
    def engine(self):
        """How the monitor's word on a served queue begins."""
        return (f"vadis: {'packed' if self.packed else 'split'}"
                if self.iotlb else "stock: behind an IOMMU")

    @property
    def group_type(self):
        """What Linux calls the mode of a device's IOMMU group."""
        return "DMA" if self.strict else "DMA-FQ"


def blk(setup, name="blk", drive="blk", **more):
    """-device of a disk with a queue in each of the IOThreads, as JSON."""
    return json.dumps({
        "driver": "virtio-blk-pci", "id": name, "drive": drive,
        "serial": name, "num-queues": setup.iothreads,
        "queue-size": 1024, "packed": setup.packed,
        "iommu_platform": True, "disable-legacy": "on",
        "x-iotlb": setup.iotlb,
        "iothread-vq-mapping": [{"iothread": f"io{i}"}
                                for i in range(setup.iothreads)], **more})


def machine(setup, home, extra=(), **more):
    """A VM with each device that the engine is tested with.

    :param home: private directory for images and sockets
    :param extra: more devices
    :param more: arguments of the VM in place of those made here
    """
    iommu, append, modules = vfioblk.IOMMUS[setup.iommu]
    args = []
    for i in range(setup.iothreads):
        args += ["-object", f"iothread,id=io{i}"]
    for name in DISKS:
        with open(f"{home}/{name}", "wb") as image:
            image.truncate(DISK)
        args += ["-drive", f"if=none,id={name},format=raw,cache=unsafe,"
                 f"file={escape(home)}/{name}"]
    with open(f"{home}/words", "wb") as words:
        words.write(b"".join(struct.pack(">I", i) for i in range(MIB)))
    args += [
        "-netdev", f"user,id=user,net={NET}.0/24,restrict=on,"
        f"guestfwd=tcp:{NET}.100:7-cmd:cat",
        "-object", f"rng-random,id=words,filename={escape(home)}/words",
        "-object", "cryptodev-backend-builtin,id=cryptodev"]
    for here, there in (("left", "right"), ("right", "left")):
        args += ["-netdev", f"dgram,id={here},local.type=unix,"
                 f"local.path={escape(home)}/{here},remote.type=unix,"
                 f"remote.path={escape(home)}/{there}"]
    devices = [
        iommu, blk(setup),
        "virtio-scsi-pci,id=scsi,iothread=io0,virtqueue_size=1024",
        "scsi-hd,bus=scsi.0,drive=scsi,serial=scsi",
        *(f"virtio-net-pci,id={name},netdev={name},romfile="
          for name in ("user", "left", "right")),
        "virtio-rng-pci,id=rng,rng=words",
        "virtio-crypto-pci,id=crypto,cryptodev=cryptodev", *extra]
    given = {
        "devices": devices, "args": args, "files": load_files(),
        "modules": ["virtio_blk", "algif_skcipher", *modules],
        "append": f"{append} iommu.strict={int(setup.strict)}"}
    vm = VM(**{"name": "viommu", "kernel": setup.kernel,
               "smp": setup.cpus, "packed": setup.packed,
               "virtio_opts": setup.options, **given, **more})
    vm.setup = setup
    return vm


def booted(vm):
    """From now on no fault is right.

    The firmware drives a disk without the IOMMU and leaves its ring to the
    device, which finds nothing there if it looks after the kernel has turned
    translation on: IOThreads poll.
    """
    vm.run("dmesg -c", check=True)
    vm.faults = {name: info["faults"] for name, info in iotlb(vm).items()}


@contextlib.contextmanager
def running(setup, home, **more):
    """machine(), started"""
    with machine(setup, home, **more) as vm:
        booted(vm)
        yield vm


# -- work, all of it checked


def disk(vm, name):
    """The device file of a disk with this serial number."""
    if name == "scsi":
        found = "ls /sys/bus/scsi/devices/*/block"
        return "/dev/" + vm.run(found, check=True).text
    found = vm.run(f"grep -lx {name} /sys/block/*/serial", check=True).text
    return "/dev/" + found.split("/")[3]


def fio_words(path, *more):
    """The words that start fio on the loader and libraries it came with."""
    root = unpacked.get("bookworm", "fio", SKIP)
    libraries = ":".join(f"{root}/{place}/x86_64-linux-gnu{below}"
                         for place in ("usr/lib", "lib")
                         for below in ("", "/ceph"))
    return [f"{root}/lib64/ld-linux-x86-64.so.2", "--library-path", libraries,
            f"{root}/usr/bin/fio", f"--filename={path}", "--direct=1",
            "--ioengine=libaio", "--thread", "--verify=crc32c",
            "--verify_fatal=1", "--verify_state_save=0", "--minimal", *more]


def fio(vm, path, *, jobs=4, loops=1, size=DISK):
    """Write all of a disk in blocks of odd lengths, read it again, compare.

    Each job has its part of the disk, and a CPU; a block that reads
    otherwise than it was written ends fio with an error.
    """
    part = size // jobs
    last = vm.config.smp - 1
    words = fio_words(path, "--name=all", "--rw=randwrite",
                      "--bsrange=4k-128k", "--iodepth=16",
                      "--iodepth_batch_complete_max=8", f"--numjobs={jobs}",
                      f"--size={part}", f"--offset_increment={part}",
                      f"--loops={loops}", f"--cpus_allowed=0-{last}",
                      "--cpus_allowed_policy=split")
    done = vm.run(words, timeout=300)
    assert done.returncode == 0, (done.text[-2000:], done.stderr[-2000:])
    # A line for each job, begun by its version; 5 is the error, 6 KiB read.
    lines = [line.split(";") for line in done.text.splitlines()
             if line.startswith("3;")]
    assert len(lines) == jobs, done.text[-2000:]
    for fields in lines:
        assert fields[4] == "0" and int(fields[5]) >= part // 1024, fields


def interface(vm, name):
    """The guest's name of a network card, by its address."""
    mac = vm.qmp("qom-get", path=f"/machine/peripheral/{name}",
                 property="mac")
    found = vm.run(f"grep -lx {mac.lower()} /sys/class/net/*/address",
                   check=True)
    return found.text.split("/")[4]


def configure_net(vm):
    """Give the card on user networking an address; returns the echo's."""
    card = interface(vm, "user")
    vm.run(f"ip addr replace {NET}.15/24 dev {card} && ip link set {card} up",
           check=True)
    return f"{NET}.100"


def echo(vm, chunks=32):
    """TCP to the host and back, each byte compared."""
    Load(vm, "echo", configure_net(vm), "7", str(chunks * 65536)).finish()


def start_frames(vm):
    """Frames over a socket of the host, from one card to the other."""
    return Load(vm, "frames", interface(vm, "left"), interface(vm, "right"))


def entropy(vm, count=256):
    """Words that the device gives must be the host's, each once."""
    data = vm.run(
        "cd /sys/class/misc/hw_random && "
        "grep -o 'virtio_rng[^ ]*' rng_available >rng_current; "
        f"dd if=/dev/hwrng bs=64 count={count // 16} iflag=fullblock",
        check=True).stdout
    words = struct.unpack(f">{count}I", data)
    assert len(set(words)) == count and max(words) < MIB, words


# One side encrypts by the device, the other decrypts by the CPU.
CIPHER = r"""
import os, socket
def session(name):
    s = socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)
    s.bind(("skcipher", name))
    s.setsockopt(socket.SOL_ALG, socket.ALG_SET_KEY, bytes(range(32)))
    return s.accept()[0]
def work(to, op, iv, data):
    out = b""
    to.sendmsg_afalg([data], op=op, iv=iv)
    while len(out) < len(data):
        out += to.recv(len(data) - len(out))
    return out
device = session("virtio_crypto_aes_cbc")
cpu = session("cbc(aes-generic)")
for length in [16, 4080, 4096, 4112, 16384, 65536] * 3:
    iv, data = os.urandom(16), os.urandom(length)
    sealed = work(device, socket.ALG_OP_ENCRYPT, iv, data)
    assert sealed != data
    assert work(cpu, socket.ALG_OP_DECRYPT, iv, sealed) == data
    assert work(device, socket.ALG_OP_DECRYPT, iv, sealed) == data
print("good")
"""


def cipher(vm):
    said = vm.run(["python3", "-I", "-S", "-c", CIPHER], timeout=DEADLINE)
    assert said.text == "good", said.stderr[-2000:]


# -- what QEMU says


def node(name):
    return f"/machine/peripheral/{name}/virtio-backend"


def count(vm, name, what):
    """A counter of a device; of the IOMMU if it has no ``name``."""
    path = node(name) if name else vfioblk.IOMMU_NODES[vm.setup.iommu]
    return vm.qmp("qom-get", path=path, property=what)


def iotlb(vm):
    """{device: what x-query-virtio-iotlb says of it}"""
    return {info["path"].split("/")[3]: info
            for info in vm.qmp("x-query-virtio-iotlb")
            if info["path"].startswith("/machine/peripheral/")}


def wait_idle(vm, names=NAMES):
    """Wait until nothing is in flight and no unmap is kept back.

    The guest has its answers already; what QEMU has to tidy up comes now.
    """
    end = time.monotonic() + DEADLINE
    while True:
        left = {name: left for name in names
                if (left := count(vm, name, "x-iommu-in-flight"))}
        if not left and not count(vm, None, "x-iommu-drain-parked"):
            return
        assert time.monotonic() < end, f"in flight for ever: {left}"


def assert_served(vm, names=NAMES):
    """Each device obeys the IOMMU, its queues are served as they should be,
    and nobody met a fault."""
    for name in names:
        status = vm.qmp("x-query-virtio-status", path=node(name))
        assert any("VIRTIO_F_IOMMU_PLATFORM" in text for text in
                   status["guest-features"]["transports"]), name
        assert not status["broken"], name
    for name in set(names) & {"blk", "left"}:
        state = vm.qmp("x-query-virtio-queue-status", path=node(name),
                       queue=0)
        assert state["ring"]["engine"].startswith(vm.setup.engine)
    known = iotlb(vm)
    for name in names:
        if vm.setup.iotlb:
            info = known[name]
            assert info["iommus"] == 1 and info["usable"], info
            assert info["faults"] == vm.faults[name], info
            assert info["translations"] > 0, info
        else:
            assert name not in known
    faults = re.findall(rf"^.*(?:{FAULTS}).*$", vm.run("dmesg").text,
                        re.M | re.I)
    assert not faults, faults


def assert_mode(vm):
    """The guest's kernel unmaps as it was told to."""
    path = "/sys/bus/pci/devices/*/virtio*/../iommu_group/type"
    seen = set(vm.run(f"cat {path}", check=True).text.split())
    assert seen == {vm.setup.group_type}, seen
