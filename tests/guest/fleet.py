# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest with every virtio device whose rings a test can drive.

One boot serves many tests, so the devices stand in fixed PCI slots and the
tests find them there whatever the guest calls them.

What a driver must negotiate is written down here once, per kernel; nothing is
taken over from what the guest says.
"""

import dataclasses
import hashlib
import os
import pathlib
import socket
import struct
import threading

from vmtest import GuestDevice, Load, Share, VM, load_files

INDIRECT, EVENT_IDX, VERSION_1 = 28, 29, 32
PACKED, IN_ORDER, RESET = 34, 35, 40

# The ring features each kernel's drivers take when they are offered.
TRANSPORT = {INDIRECT, EVENT_IDX, VERSION_1, PACKED, RESET}
TAKES = {"6.1": TRANSPORT, "6.12": TRANSPORT, "7.x": TRANSPORT | {IN_ORDER}}
KERNELS = tuple(TAKES)

# QEMU's names for them.
WORDS = {INDIRECT: "VIRTIO_RING_F_INDIRECT_DESC",
         EVENT_IDX: "VIRTIO_RING_F_EVENT_IDX",
         VERSION_1: "VIRTIO_F_VERSION_1", PACKED: "VIRTIO_F_RING_PACKED",
         IN_ORDER: "VIRTIO_F_IN_ORDER", RESET: "VIRTIO_F_RING_RESET"}

# Ring options a device is given: (device options, features not offered).
VARIANTS = {
    "all": ("", set()),
    "noevent": ("event_idx=off", {EVENT_IDX}),
    "noindirect": ("indirect_desc=off", {INDIRECT}),
    "bare": ("event_idx=off,indirect_desc=off,in_order=off",
             {EVENT_IDX, INDIRECT, IN_ORDER}),
}

# The bits below 28 that QEMU offers by default and every one of the kernels
# takes. The balloon driver turns indirect descriptors off by itself.
OWN_BITS = {
    "9p": {0},
    "balloon": {1},
    "blk": {2, 4, 6, 9, 10, 11, 12, 13, 14},
    "crypto": set(),
    "input": set(),
    "net": {2, 5, 15, 16, 17, 18, 19, 21, 23},
    "rng": set(),
    "scsi": {1, 2},
    "serial": {1},
    "sound": set(),
}
NEVER = {"balloon": {INDIRECT}}
DRIVERS = {"9p": "9pnet_virtio", "balloon": "virtio_balloon",
           "blk": "virtio_blk", "crypto": "virtio_crypto",
           "input": "virtio_input", "net": "virtio_net", "rng": "virtio_rng",
           "scsi": "virtio_scsi", "serial": "virtio_console",
           "sound": "virtio_snd"}
# Debian's 6.1 was built without CONFIG_SND_VIRTIO.
LACKS = {("6.1", "sound")}

MIB = 1 << 20
DISK_SIZE = 16 * MIB
# Below it works guest-load, above it the checks against the image file.
DISK_CHECK = 8 * MIB


@dataclasses.dataclass(frozen=True)
class Kind:
    """One device: type, ring variant and PCI slot."""
    type: str
    variant: str
    slot: int

    @property
    def name(self):
        return f"{self.type}-{self.variant}"

    def expected(self, kernel, packed):
        """The feature bits the guest's driver must have negotiated."""
        ring = TAKES[kernel] - VARIANTS[self.variant][1]
        if not packed:
            ring = ring - {PACKED}
        return (ring - NEVER.get(self.type, set())) | OWN_BITS[self.type]

    def engine(self, kernel, packed):
        """How the monitor describes a queue that the engine serves so."""
        bits = self.expected(kernel, packed)
        return ("vadis: " + ("packed" if PACKED in bits else "split") +
                ", event index" * (EVENT_IDX in bits) +
                ", in order" * (IN_ORDER in bits))


# The agent's serial device, the root and the share stand in slots 1 to 3.
KINDS = (
    Kind("9p", "all", 3),
    *(Kind("blk", v, 4 + i) for i, v in enumerate(VARIANTS)),
    *(Kind("net", v, 8 + i) for i, v in enumerate(VARIANTS)),
    Kind("rng", "all", 12), Kind("rng", "noevent", 13),
    Kind("scsi", "all", 16), Kind("scsi", "bare", 17),
    Kind("serial", "all", 18), Kind("serial", "bare", 19),
    Kind("balloon", "all", 23), Kind("input", "all", 20),
    Kind("crypto", "all", 21), Kind("sound", "all", 22),
)
BY_NAME = {kind.name: kind for kind in KINDS}
HOTPLUG_PORTS = {"port0": 24, "port1": 25}


def port_path(slot):
    """Where below /sys the devices behind a port are."""
    return f"/devices/pci0000:00/0000:00:{slot:02x}.0"


class Fleet:
    """The running guest; ``vm`` and what belongs to its devices.

    :param home: private directory for images and sockets
    """

    def __init__(self, kernel, packed, home):
        self.kernel = kernel
        self.packed = packed
        self.home = pathlib.Path(home)
        self.share = self.home / "share"
        self.share.mkdir()
        self._args, self._devices = [], []
        for kind in KINDS:
            getattr(self, "_add_" + kind.type)(kind)
        for name, slot in HOTPLUG_PORTS.items():
            self._devices.append(f"pcie-root-port,id={name},chassis={slot},"
                                 f"addr={slot:#x}")
        self.vm = VM(
            name=f"fleet-{kernel}-{'packed' if packed else 'split'}",
            kernel=kernel, packed=packed, virtio_opts="in_order=on", smp=2,
            reboot=True, devices=self._devices, args=self._args,
            shares=[Share(str(self.share), "/share", True)],
            files=load_files())

    @property
    def vms(self):
        return [self.vm]

    # -- what QEMU is given for each device

    def _device(self, kind, driver, *more):
        options = VARIANTS[kind.variant][0]
        self._devices.append(",".join(
            [driver, f"id={kind.name}", f"addr={kind.slot:#x}", *more] +
            ([options] if options else [])))

    def image(self, name):
        path = self.home / f"{name}.raw"
        if not path.exists():
            with open(path, "wb") as new:
                new.truncate(DISK_SIZE)
        return path

    def _drive(self, kind):
        # cache=unsafe: a flush need not wait for the host's disk.
        self._args += ["-drive", f"if=none,id=d-{kind.name},format=raw,"
                       "cache=unsafe,discard=unmap,"
                       f"file={self.image(kind.name)}"]

    def _add_blk(self, kind):
        self._drive(kind)
        self._device(kind, "virtio-blk-pci", f"drive=d-{kind.name}",
                     "num-queues=2")

    def _add_scsi(self, kind):
        self._drive(kind)
        self._device(kind, "virtio-scsi-pci")
        self._devices.append(f"scsi-hd,bus={kind.name}.0,"
                             f"drive=d-{kind.name}")

    def _add_net(self, kind):
        # A private network per device; what is sent to .100 comes back.
        net = f"10.9.{kind.slot}"
        self._args += ["-netdev", f"user,id=n-{kind.name},net={net}.0/24,"
                       f"restrict=on,guestfwd=tcp:{net}.100:7-cmd:cat"]
        self._device(kind, "virtio-net-pci", f"netdev=n-{kind.name}",
                     "romfile=")

    def _add_rng(self, kind):
        # Words that tell device and place, so that data can be traced.
        path = self.home / f"{kind.name}.words"
        path.write_bytes(b"".join(struct.pack(">I", kind.slot << 24 | i)
                                  for i in range(MIB)))
        self._args += ["-object", f"rng-random,id=r-{kind.name},"
                       f"filename={path}"]
        self._device(kind, "virtio-rng-pci", f"rng=r-{kind.name}")

    def _add_balloon(self, kind):
        self._device(kind, "virtio-balloon-pci")

    def _add_input(self, kind):
        self._device(kind, "virtio-keyboard-pci")

    def _add_crypto(self, kind):
        self._args += ["-object", "cryptodev-backend-builtin,id=cryptodev"]
        self._device(kind, "virtio-crypto-pci", "cryptodev=cryptodev")

    def _add_sound(self, kind):
        self._args += ["-audiodev", "none,id=audio"]
        self._device(kind, "virtio-sound-pci", "audiodev=audio")

    def _add_serial(self, kind):
        self._device(kind, "virtio-serial-pci", "max_ports=2")
        self._args += ["-chardev", f"socket,id=c-{kind.name},server=on,"
                       f"wait=off,path={self.home}/{kind.name}"]
        self._devices.append(f"virtserialport,bus={kind.name}.0,"
                             f"chardev=c-{kind.name},name={kind.name}")

    def _add_9p(self, _):
        """The machine adds it for the share."""

    # -- work for each device, all of it checked

    def device(self, name):
        return GuestDevice(self.vm, BY_NAME[name].slot)

    def exercise(self, name):
        """Move data through a device and compare both ends."""
        work = getattr(self, "_work_" + BY_NAME[name].type, None)
        if work:
            work(name)
        return bool(work)

    def qemu_transport(self, name):
        """The ring features QEMU says its driver has taken, as words."""
        status = self.vm.qmp("x-query-virtio-status",
                             path=f"/machine/peripheral/{name}/virtio-backend")
        return {text.split(":")[0]
                for text in status["guest-features"]["transports"]}

    def queues(self, name):
        """What QEMU says of each queue that the driver has set up."""
        path = f"/machine/peripheral/{name}/virtio-backend"
        count = self.vm.qmp("x-query-virtio-status", path=path)["num-vqs"]
        states = [self.vm.qmp("x-query-virtio-queue-status", path=path,
                              queue=index) for index in range(count)]
        return [state for state in states if state["vring-desc"]]

    def block_path(self, name):
        found = self.device(name).sh(
            "basename $(find . -path '*/block/*' -prune)")
        return f"/dev/{found}"

    def _work_blk(self, name):
        exercise_disk(self.vm, self.block_path(name), self.image(name))

    _work_scsi = _work_blk

    def configure_net(self, name):
        """Give the interface its address; returns the echo's address."""
        net = f"10.9.{BY_NAME[name].slot}"
        interface = self.device(name).sh("ls net")
        self.vm.run(f"ip addr replace {net}.15/24 dev {interface} && "
                    f"ip link set {interface} up", check=True)
        return f"{net}.100"

    def _work_net(self, name):
        load = Load(self.vm, "echo", self.configure_net(name), "7",
                    str(2 * MIB))
        load.finish()

    def _work_rng(self, name):
        slot = BY_NAME[name].slot
        seen = set()
        for rng in self.vm.run("cat /sys/class/misc/hw_random/rng_available",
                               check=True).text.split():
            if not rng.startswith("virtio_rng"):
                continue
            data = self.vm.run(
                f"echo {rng} >/sys/class/misc/hw_random/rng_current && "
                "dd if=/dev/hwrng bs=64 count=4 iflag=fullblock 2>/dev/null",
                check=True).stdout
            assert len(data) == 256
            words = struct.unpack(">64I", data)
            # The driver may have had a few words of another in its buffer.
            tag = words[-1] >> 24
            assert all(w >> 24 == tag for w in words[-16:]), words
            seen.add(tag)
        assert slot in seen, f"no random word came from slot {slot}: {seen}"

    def _work_balloon(self, _):
        vm = self.vm
        full = vm.qmp("query-memory-size-summary")["base-memory"]
        for target in (full - 64 * MIB, full):
            start = vm.events_seen()
            vm.qmp("balloon", value=target)
            vm.wait_event("BALLOON_CHANGE", 60,
                          lambda data, t=target: data["actual"] == t, start)
            assert vm.qmp("query-balloon")["actual"] == target

    def _work_serial(self, name):
        data = os.urandom(256 * 1024)
        command = self.vm.popen(
            ["/bin/sh", "-c",
             "for p in /sys/class/virtio-ports/*; do"
             f" [ \"$(cat $p/name)\" = {name} ] && "
             " exec 3<>/dev/${p##*/}; done; "
             f"echo open; head -c {len(data)} <&3 >&3"])
        with socket.socket(socket.AF_UNIX) as port:
            port.settimeout(60)
            port.connect(f"{self.home}/{name}")
            self.vm.wait(lambda: b"open" in command.stdout or command.done,
                         60, "the guest to open the port")
            sender = threading.Thread(target=port.sendall, args=(data,))
            sender.start()
            got = b""
            while len(got) < len(data):
                more = port.recv(65536)
                assert more, f"the port closed after {len(got)} bytes"
                got += more
            sender.join()
        assert command.wait() == 0 and got == data

    def _work_9p(self, _):
        data = os.urandom(MIB)
        (self.share / "from-host").write_bytes(data)
        self.vm.run("cp /share/from-host /share/from-guest", check=True)
        assert (self.share / "from-guest").read_bytes() == data


def words(bits):
    """QEMU's names of the ring features among ``bits``."""
    return {WORDS[bit] for bit in bits if bit in WORDS}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def exercise_disk(vm, device, image):
    """Read what the host wrote, write what the host reads, then load."""
    data = os.urandom(MIB)
    with open(image, "r+b") as file:
        file.seek(DISK_CHECK)
        file.write(data)
    seek = DISK_CHECK // 65536
    read = vm.run(f"dd if={device} bs=64k skip={seek} count=16 iflag=direct "
                  "2>/dev/null | sha256sum", check=True).text.split()[0]
    assert read == sha256(data)
    written = vm.run(
        "head -c 1048576 /dev/urandom >/tmp/data && sha256sum /tmp/data && "
        f"dd if=/tmp/data of={device} bs=64k seek={seek + 16} oflag=direct "
        "conv=fsync 2>/dev/null", check=True).text.split()[0]
    with open(image, "rb") as file:
        file.seek(DISK_CHECK + MIB)
        assert sha256(file.read(MIB)) == written
    load = Load(vm, "disk", device, "4")
    load.advance(64)
    load.stop()
