# SPDX-License-Identifier: GPL-2.0-or-later
"""A driver's mistake, a disk's error: what stops, what goes on, who mends it.

The driver's mistake is written into its ring over QEMU's qtest socket, past
the guest's kernel: the ring is idle, so the next thing the device sees in it
is ours. Stock Linux drivers do nothing about DEVICE_NEEDS_RESET by
themselves, so an administrator lets the driver go and binds it again.
"""

import dataclasses
import socket
import struct

import pytest

import moving
from qtestpci import CAP_VENDOR, CFG_NOTIFY, QTest
from vmtest import DEADLINE, GuestDevice, Load, VM, load_files

NEEDS_RESET, DRIVER_OK = 0x40, 0x0f
SLOT = 0x10
DESC_INDIRECT, DESC_AVAIL, DESC_USED = 4, 0x80, 0x8000


class Poke:
    """A way past the guest's kernel, into the guest's memory and devices."""

    def __init__(self, home):
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"{home}/qtest")
        self._listener.listen(1)
        self.args = ["-qtest", f"unix:{home}/qtest", "-qtest-log", "none"]
        self.qtest = self._socket = None

    def connect(self):
        self._socket, _ = self._listener.accept()
        self._socket.settimeout(DEADLINE)
        self.qtest = QTest(self._socket)

    def close(self):
        self._listener.close()
        if self._socket:
            self._socket.close()


@pytest.fixture
def poke(home):
    way = Poke(home)
    yield way
    way.close()


def notify_address(device, queue):
    """Where a guest's driver notifies a queue of a virtio-pci device."""
    config = bytes.fromhex(device.vm.run(
        f"hexdump -v -e '1/1 \"%02x\"' {device.pci}/config",
        check=True).text)
    at = config[0x34]
    while config[at] != CAP_VENDOR or config[at + 3] != CFG_NOTIFY:
        at = config[at + 1]
    bar, (offset,) = config[at + 4], struct.unpack_from("<I", config, at + 8)
    multiplier, = struct.unpack_from("<I", config, at + 16)
    lines = device.vm.run(f"cat {device.pci}/resource", check=True).text
    return int(lines.splitlines()[bar].split()[0], 16) + offset + \
        queue * multiplier


def make_mistake(qtest, state, packed):
    """Make more available than the ring holds, or a table of seven bytes."""
    if not packed:
        qtest.put(state["vring-avail"] + 2, "H",
                  (state["last-avail-idx"] + state["vring-num"] + 1) & 0xffff)
        return
    desc = state["vring-desc"] + 16 * state["last-avail-idx"]
    # Both flags are as the lap before left them: what is available differs.
    flags, = qtest.get(desc + 14, "H")
    avail = DESC_USED if flags & DESC_AVAIL else DESC_AVAIL
    qtest.put(desc, "QIHH", 0x1000, 7, 0, DESC_INDIRECT | avail)


def broken_messages(vm, name):
    return [line for line in vm.qemu_errors()
            if f"{name}: queue" in line and "driver made available" in line]


@dataclasses.dataclass(frozen=True)
class Victim:
    """A device that is broken: how it is made, its queue, its name, the load
    that proves it mended (given the device), and what is done to it when the
    neighbours work and before it is broken; then it is idle."""
    devices: tuple
    queue: int
    name: str
    load: callable
    prepare: callable = lambda device: None


def load_disk(device):
    return ["disk", "/dev/" + device.sh("ls block"), "4"]


def scsi_disk(device):
    """Its name, when the kernel, which looks for disks in the background, has
    read it."""
    found = "host*/target*/*/block/sd*"
    return device.sh(
        f"until name=$(basename {found}) && "
        "dmesg | grep -qF \"[$name] Attached\"; do :; done 2>/dev/null; "
        "dmesg -c >/dev/null; echo $name")


def plug_scsi(device):
    """Only now, as Linux names disks in the order in which it finds them, and
    the load on the neighbour is on the first."""
    # Linux flushes a write cache before it lets go of a disk
    device.vm.qmp("device_add", driver="scsi-hd", bus="victim.0",
                  drive="victim", write_cache="off")
    scsi_disk(device)


def load_scsi(device):
    return ["disk", "/dev/" + scsi_disk(device), "4"]


def load_frames(device):
    partner = GuestDevice(device.vm, SLOT + 1)
    return ["frames", device.sh("ls net"), partner.sh("ls net")]


VICTIMS = {
    "blk": Victim((f"virtio-blk-pci,id=victim,drive=victim,addr={SLOT:#x}",),
                  0, "virtio-blk", load_disk),
    "scsi": Victim((f"virtio-scsi-pci,id=victim,addr={SLOT:#x}",),
                   2, "virtio-scsi", load_scsi, plug_scsi),
    "net": Victim((f"virtio-net-pci,id=victim,netdev=port2,romfile=,"
                   f"addr={SLOT:#x}",
                   f"virtio-net-pci,netdev=port3,romfile=,"
                   f"addr={SLOT + 1:#x}"),
                  1, "virtio-net", load_frames),
}


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "split"])
@pytest.mark.parametrize("kind", VICTIMS)
def test_a_broken_device_is_rebound_while_others_work(home, poke, kind,
                                                      packed):
    """One message, NEEDS_RESET, and only that device has to come back."""
    victim = VICTIMS[kind]
    moving.make_images(home)
    with open(f"{home}/victim", "wb") as image:
        image.truncate(16 << 20)
    with moving.make_vm(
            home, "mistake", moving.Ring(packed),
            devices=(*moving.DEVICES, *victim.devices),
            args=["-drive",
                  f"if=none,id=victim,format=raw,file={home}/victim",
                  "-netdev", "hubport,id=port2,hubid=1",
                  "-netdev", "hubport,id=port3,hubid=1",
                  *poke.args]) as vm:
        poke.connect()
        device = GuestDevice(vm, SLOT)
        loads = moving.start_loads(vm)
        moving.advance(loads)
        victim.prepare(device)

        make_mistake(poke.qtest, moving.queue(vm, "victim", victim.queue),
                     packed)
        for _ in range(3):              # one message for any number of kicks
            poke.qtest.store(2, notify_address(device, victim.queue), 0)
        # A bottom half may have to look at the queue first
        device.sh("until [ $(($(cat status))) = "
                  f"{NEEDS_RESET | DRIVER_OK} ]; do :; done")
        assert len(broken_messages(vm, victim.name)) == 1
        state = moving.queue(vm, "victim", victim.queue)
        assert state["ring"]["counters"]["errors"] == 1
        moving.advance(loads)

        device.sh("drv=$(readlink -f driver) && id=$(basename $PWD) && "
                  "echo $id >$drv/unbind && echo $id >$drv/bind")
        assert device.status() == DRIVER_OK
        mended = Load(vm, *victim.load(device))
        moving.advance([mended, *loads])
        mended.stop()
        state = moving.queue(vm, "victim", victim.queue)
        assert state["ring"]["counters"]["errors"] == 0
        for name, queues in moving.WORKED.items():
            assert all(moving.queue(vm, name, i)["ring"]["counters"]["errors"]
                       == 0 for i in range(queues))
        moving.finish(vm, loads)
        assert len(broken_messages(vm, victim.name)) == 1


# -- a disk that fails

# The first write fails, and so does the first access to a block of the load
# that only its reads and writes reach, not the search for partitions.
BLKDEBUG = ("driver=blkdebug,node-name={name},image=file-{name},"
            "inject-error.0.event=none,inject-error.0.errno=28,"
            "inject-error.0.once=on,inject-error.0.iotype={iotype}{sector}")
READ_SECTOR = ",inject-error.0.sector=1600"


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "split"])
def test_a_guest_stopped_by_a_disk_resumes(home, packed):
    """werror=stop and rerror=stop: cont repeats the request, none is lost."""
    args = []
    for name, iotype, sector in (("w", "write", ""),
                                 ("r", "read", READ_SECTOR)):
        with open(f"{home}/{name}", "wb") as image:
            image.truncate(16 << 20)
        args += ["-blockdev", f"driver=raw,node-name=file-{name},"
                 f"file.driver=file,file.filename={home}/{name}",
                 "-blockdev", BLKDEBUG.format(name=name, iotype=iotype,
                                              sector=sector)]
    with VM(name="diskerror", root="initramfs", memory="256M", smp=2,
            packed=packed, files=load_files(), args=args, devices=[
                f"virtio-blk-pci,drive={name},id={name},num-queues=1,"
                "werror=stop,rerror=stop" for name in "wr"]) as vm:
        for name, path in (("w", "/dev/vda"), ("r", "/dev/vdb")):
            start = vm.events_seen()
            load = Load(vm, "disk", path, "4")
            event = vm.wait_event("BLOCK_IO_ERROR", 120, start=start)
            assert event["data"]["action"] == "stop"
            vm.wait_event("STOP", 60, start=start)
            assert moving.queue(vm, name, 0)["inuse"] > 0
            vm.qmp("cont")
            load.advance(64)
            load.stop()
            assert moving.queue(vm, name, 0)["inuse"] == 0
