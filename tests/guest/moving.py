# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that move between QEMUs while they work.

The guest is an initramfs alone, because a mounted 9p file system blocks
migration, and so does virtio-crypto. Its disks are qcow2. The loads keep a
record in guest memory of what each block must hold, so memory and disk must
move together or a later read shows it.
"""

import dataclasses
import subprocess

from vadis import paths, peer, vfioblk
from vmtest import Load, VM, load_files

DEVICES = (
    "virtio-blk-pci,drive=disk,num-queues=2,id=blk",
    "virtio-scsi-pci,id=scsi", "scsi-hd,bus=scsi.0,drive=scsidisk",
    "virtio-net-pci,netdev=port0,romfile=,id=net0",
    "virtio-net-pci,netdev=port1,romfile=,id=net1",
    "virtio-rng-pci,id=rng",
)
BALLOON = "virtio-balloon-pci,id=balloon"
# Two network cards on one hub: what the first sends, the second receives.
WIRE = ("-netdev", "hubport,id=port0,hubid=0",
        "-netdev", "hubport,id=port1,hubid=0")
DRIVES = ("disk", "scsidisk")
# Devices with loads, and the queues that may carry them, from 0.
WORKED = {"blk": 1, "scsi": 4, "net0": 2, "net1": 1}
# Who may run a guest: Vadis with its engine, Vadis with upstream's ring code,
# Debian's own QEMU.
AUTO, STOCK, DEBIAN = "auto", "stock", "debian"
WAIT = 180


@dataclasses.dataclass(frozen=True)
class Ring:
    """What the devices offer and, as tests assert, the guest takes.

    :param iommu: all devices are behind it; a key of vfioblk.IOMMUS
    """
    packed: bool
    in_order: bool = False
    event_idx: bool = True
    iommu: str = None

    @property
    def kernel(self):
        """A kernel whose drivers take all of it."""
        return "7.x" if self.in_order else "6.12"

    @property
    def options(self):
        return ",".join(["in_order=on"] * self.in_order +
                        ["event_idx=off"] * (not self.event_idx) +
                        ["iommu_platform=on", "disable-legacy=on"] *
                        bool(self.iommu))

    @property
    def negotiated(self):
        """QEMU's names of those of its features that the guest has taken."""
        return ({"VIRTIO_F_RING_PACKED"} if self.packed else set()) | \
            ({"VIRTIO_F_IN_ORDER"} if self.in_order else set()) | \
            ({"VIRTIO_RING_F_EVENT_IDX"} if self.event_idx else set()) | \
            ({"VIRTIO_F_IOMMU_PLATFORM"} if self.iommu else set())

    @property
    def engine(self):
        """What the monitor says of a queue that the engine serves."""
        return ("vadis: " + ("packed" if self.packed else "split") +
                ", event index" * self.event_idx +
                ", in order" * self.in_order +
                ", behind an IOMMU" * bool(self.iommu))


RINGS = {
    "packed": Ring(True), "packed-noevent": Ring(True, event_idx=False),
    "packed-in_order": Ring(True, True),
    "packed-in_order-noevent": Ring(True, True, False),
    "split": Ring(False), "split-noevent": Ring(False, event_idx=False),
    "split-in_order": Ring(False, True),
    "split-in_order-noevent": Ring(False, True, False),
}
# Behind an IOMMU, whose state moves with the guest.
BEHIND = {f"{name}-{iommu}": dataclasses.replace(RINGS[name], iommu=iommu)
          for iommu in vfioblk.IOMMUS for name in ("packed", "split")}
BY_NAME = RINGS | BEHIND


def make_images(home):
    for drive in DRIVES:
        subprocess.run([paths.qemu_img(), "create", "-q", "-f", "qcow2",
                        f"{home}/{drive}.qcow2", "64M"], check=True)


def make_vm(home, name, ring, who=AUTO, devices=DEVICES, args=(),
            drives=DRIVES, **more):
    """A VM on the images in ``home``; it starts when it is entered.

    :param who: AUTO, STOCK or DEBIAN
    """
    args, devices = [*WIRE, *args], list(devices)
    if ring.iommu:
        device, append, modules = vfioblk.IOMMUS[ring.iommu]
        devices.insert(0, device)
        more = {"append": append, "modules": modules, **more}
    for drive in drives:
        args += ["-drive", f"if=none,id={drive},format=qcow2,cache=unsafe,"
                 f"file={home}/{drive}.qcow2"]
    if who == STOCK:
        args += ["-global", "virtio-device.x-ring=stock"]
    vm = VM(name=f"{name}-{who}", root="initramfs", memory="256M", smp=2,
            kernel=ring.kernel, packed=ring.packed, virtio_opts=ring.options,
            devices=devices, args=args, files=load_files(),
            qemu=peer.get() if who == DEBIAN else None, **more)
    vm.who, vm.ring = who, ring
    return vm


VARIED = {"VIRTIO_F_RING_PACKED", "VIRTIO_F_IN_ORDER",
          "VIRTIO_RING_F_EVENT_IDX", "VIRTIO_F_IOMMU_PLATFORM"}


def negotiated(vm, device):
    """Which of the features of Ring a device's driver has taken."""
    status = vm.qmp("x-query-virtio-status",
                    path=f"/machine/peripheral/{device}/virtio-backend")
    return VARIED & {text.split(":")[0] for text in
                     status["guest-features"]["transports"]}


def queue(vm, device, index):
    return vm.qmp("x-query-virtio-queue-status", queue=index,
                  path=f"/machine/peripheral/{device}/virtio-backend")


def assert_served(vm):
    """The rings have the format asked for, and who was to serve them does."""
    for device, queues in WORKED.items():
        assert negotiated(vm, device) == vm.ring.negotiated
        for index in range(queues):
            state = queue(vm, device, index)
            if vm.who == AUTO:
                assert state["ring"]["engine"] == vm.ring.engine
            elif vm.who == STOCK:
                assert state["ring"]["engine"] == "stock: x-ring=stock"


def assert_requests(vm):
    """The engine has taken requests from every device with a load."""
    if vm.who == AUTO:
        for device, queues in WORKED.items():
            taken = sum(queue(vm, device, i)["ring"]["counters"]["requests"]
                        for i in range(queues))
            assert taken > 0, device


def start_loads(vm):
    return [Load(vm, "disk", "/dev/vda", "4"),
            Load(vm, "disk", "/dev/sda", "2"),
            Load(vm, "frames", "eth0", "eth1")]


def advance(loads):
    for load in loads:
        load.advance(64)


class Background:
    """A load that outlives agent commands and reports on the console."""

    def __init__(self, vm, name, *words):
        self.vm, self.name = vm, name
        vm.run(f"LOAD_PREFIX='{name} ' /guest-load {' '.join(words)} "
               "</dev/null >/dev/console 2>&1 &", check=True)

    def moved(self, vm):
        self.vm = vm

    def progress(self):
        """Wait for operations that are begun after now.

        The next line may tell of operations that are done or in flight by
        now. The one after it tells of 64 more.
        """
        for _ in range(2):
            match = self.vm.wait_console(
                rf"^{self.name} load: (?:WRONG.*|\d+)$", 120,
                self.vm.console.position())
            assert "WRONG" not in match.group(), match.group()

    def finish(self):
        """Wait for the end of a load that was told to stop and verify."""
        match = self.vm.wait_console(
            rf"^{self.name} load: (WRONG.*|done \d+)$", 120)
        assert match.group(1).startswith("done"), match.group()


def start_background(vm):
    return [Background(vm, "disk", "disk", "/dev/vda", "4"),
            Background(vm, "scsi", "disk", "/dev/sda", "2"),
            Background(vm, "wire", "frames", "eth0", "eth1")]


def stop_background(vm, loads):
    vm.run("killall -TERM guest-load", check=True)
    for load in loads:
        load.finish()
    assert "WRONG" not in vm.console.text


def finish(vm, loads):
    for load in loads:
        load.stop()
    assert len(vm.run("head -c 64 /dev/hwrng", check=True).stdout) == 64


def set_capabilities(vm, *names):
    vm.qmp("migrate-set-capabilities", capabilities=[
        {"capability": name, "state": True} for name in ("events", *names)])


def ended(vm, start):
    """Wait for the end of a migration; "completed" or another word."""
    event = vm.wait_event(
        "MIGRATION", WAIT,
        lambda data: data["status"] in ("completed", "failed", "cancelled"),
        start)
    return event["data"]["status"]


def settled(vm, start):
    """Wait for the end of a migration and insist on success."""
    assert ended(vm, start) == "completed", vm.qmp("query-migrate")


def migrate(source, uri):
    """Send ``source`` to ``uri``; it is stopped when this returns."""
    set_capabilities(source)
    source.qmp("migrate-set-parameters", max_bandwidth=1 << 30)
    start = source.events_seen()
    source.qmp("migrate", uri=uri)
    settled(source, start)


def receive(target, uri):
    """Let ``target`` take what comes; the start for settled()."""
    set_capabilities(target)
    start = target.events_seen()
    target.qmp("migrate-incoming", uri=uri)
    return start


def arrive(source, target, loads):
    """Take over the guest; every load must go on and stay right."""
    target.adopt_agent(source)
    assert target.qmp("query-status")["status"] == "running"
    for load in loads:
        load.moved(target)
    advance(loads)


def send(source, target, home):
    """Send ``source`` to ``target``, which may refuse.

    Without a return path the source need not hear of it.
    """
    uri = f"unix:{home}/{target.config.name}"
    receive(target, uri)
    set_capabilities(source)
    start = source.events_seen()
    source.qmp("migrate", uri=uri)
    assert ended(source, start) in ("completed", "failed")


# -- ways to move: (source, target, URI's place) -> None


def live(source, target, home):
    """Over a socket, while the guest runs."""
    uri = f"unix:{home}/{target.config.name}"
    start = receive(target, uri)
    migrate(source, uri)
    settled(target, start)


def through_file(source, target, home):
    """Into a file and out of it, each page at its own place."""
    uri = f"file:{home}/state"
    for vm in (source, target):
        set_capabilities(vm, "mapped-ram")
    migrate(source, uri)
    settled(target, receive(target, uri))


def postcopy(source, target, home):
    """The guest goes first, its memory follows when it is touched."""
    uri = f"unix:{home}/{target.config.name}"
    for vm in (source, target):
        set_capabilities(vm, "postcopy-ram")
    # So slow that all of the memory cannot have moved by itself.
    source.qmp("migrate-set-parameters", max_bandwidth=1 << 20)
    arrived = receive(target, uri)
    start = source.events_seen()
    source.qmp("migrate", uri=uri)
    source.wait_event("MIGRATION", WAIT,
                      lambda data: data["status"] == "active", start)
    source.qmp("migrate-start-postcopy")
    settled(target, arrived)
    settled(source, start)
    assert source.qmp("query-migrate")["ram"]["postcopy-bytes"] > 0


WAYS = {"live": live, "file": through_file, "postcopy": postcopy}
