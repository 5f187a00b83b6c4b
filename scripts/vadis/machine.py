# SPDX-License-Identifier: GPL-2.0-or-later
"""The QEMU command line of a guest."""

import dataclasses
import os
import pathlib
import re

from . import guestnet, image, kernel, modules, paths
from .errors import Failure

CMDLINE = ("console=ttyS0", "rdinit=/init", "quiet", "panic=-1",
           "random.trust_cpu=on", "cryptomgr.notests", "no_timer_check")


def escape(value):
    """Escape a value within a QEMU option: a comma is written twice."""
    return str(value).replace(",", ",,")


def cpu_virtualises():
    """Do the CPU's flags promise hardware virtualisation?

    /dev/kvm alone proves nothing: it may be there and hang every guest.
    """
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text(encoding="ascii",
                                                       errors="replace")
    except OSError:
        return False
    return bool(re.search(r"^flags\s*:.*\b(vmx|svm)\b", text, re.M))


def choose_accel(asked=None):
    """"tcg" or "kvm": what was asked for, $ACCEL, else what surely works."""
    asked = asked or os.environ.get("ACCEL") or "auto"
    if asked not in ("auto", "tcg", "kvm"):
        raise Failure(f"no accelerator '{asked}'", "Known are tcg and kvm.")
    usable = os.access("/dev/kvm", os.R_OK | os.W_OK)
    if asked == "kvm" and not usable:
        raise Failure("cannot use /dev/kvm",
                      "Load the kvm module, join the group kvm, or use "
                      "--accel tcg.")
    if asked == "auto":
        return "kvm" if usable and cpu_virtualises() else "tcg"
    return asked


@dataclasses.dataclass
class Share:
    """A directory of the host, seen in the guest at ``mount``."""
    path: str
    mount: str
    writable: bool = False


@dataclasses.dataclass
class Config:
    """What a guest is made of.

    :param kernel: name or file, see kernel.get(), or a kernel.Kernel
    :param root: "9p" (the host's root, read-only, a tmpfs on top) or
                 "initramfs" (busybox and ``files`` only, can migrate)
    :param devices: -device strings; virtio ones get packed= and
                    ``virtio_opts`` unless they say otherwise themselves
    :param virtio_opts: properties for every virtio-pci device, for instance
                        "iommu_platform=on"
    :param modules: modules to load beside those the devices need
    :param net: user mode networking, configured in the guest
    :param disks: host files, each "FILE[,DRIVE OPTIONS]", as virtio-blk
    :param files: extra files in the initramfs, see image.write(); with a 9p
                  root they are below /run/vadis
    :param append: kernel command line additions
    :param args: any other QEMU arguments, as a list
    :param reboot: let the guest reboot; otherwise a reboot ends QEMU
    :param incoming: wait for an incoming migration ("defer")
    :param gdb: "auto" (VM.gdb_socket()) or an address for the gdbstub; the
                guest waits for gdb, at addresses without randomness
    """
    name: str = "vm"
    kernel: object = kernel.DEFAULT
    root: str = "9p"
    memory: str = "1G"
    smp: int = 1
    accel: str = None
    packed: bool = True
    machine: str = "q35"
    cpu: str = "max"
    devices: list = dataclasses.field(default_factory=list)
    virtio_opts: str = ""
    modules: list = dataclasses.field(default_factory=list)
    net: bool = False
    disks: list = dataclasses.field(default_factory=list)
    shares: list = dataclasses.field(default_factory=list)
    files: dict = dataclasses.field(default_factory=dict)
    append: str = ""
    args: list = dataclasses.field(default_factory=list)
    reboot: bool = False
    incoming: str = None
    gdb: str = None
    qemu: str = None


def virtio(config, device):
    """A -device string with the properties all our virtio devices share."""
    if not re.match(r"virtio-(?![^,]*-device\b)(?![^,]*-bus\b)", device):
        return device
    extra = [f"packed={'on' if config.packed else 'off'}"]
    extra += [o for o in config.virtio_opts.split(",") if o]
    given = {part.split("=")[0] for part in device.split(",")[1:]}
    return ",".join([device] + [o for o in extra
                                if o.split("=")[0] not in given])


def parse_disk(text):
    """A --disk value as (file, drive options)."""
    path, options = text, ""
    if not os.path.exists(path) and "," in text:
        path, _, options = text.partition(",")
    if not os.path.exists(path):
        raise Failure(f"no disk image {path}",
                      f"Make one: qemu-img create -f raw '{path}' 1G")
    if "format=" not in options:
        with open(path, "rb") as data:
            qcow2 = data.read(4) == b"QFI\xfb"
        options += ",format=" + ("qcow2" if qcow2 else "raw")
    return os.path.abspath(path), options.strip(",")


class Machine:
    """A Config with everything looked up: the command line and the image."""

    def __init__(self, config):
        if config.root not in ("9p", "initramfs"):
            raise Failure(f"no root '{config.root}'",
                          "Known are 9p and initramfs.")
        self.config = config
        self.kernel = (config.kernel if isinstance(config.kernel,
                                                   kernel.Kernel)
                       else kernel.get(config.kernel))
        self.accel = choose_accel(config.accel)
        self.qemu = paths.qemu(override=config.qemu)
        self._devices = self._all_devices()

    def _all_devices(self):
        """(backend arguments, -device string) of all devices, in order."""
        c = self.config
        out = [([], "virtio-serial-pci,id=vadis-serial,max_ports=2"),
               ([], "virtserialport,chardev=agent,name=vadis.agent")]
        if c.root == "9p":
            out.append((["-fsdev", "local,id=root,path=/,readonly=on,"
                         "security_model=none,multidevs=remap"],
                        f"virtio-9p-pci,fsdev=root,mount_tag={image.ROOT_TAG}"
                        ))
        for i, share in enumerate(c.shares):
            mode = "" if share.writable else "readonly=on,"
            out.append((["-fsdev", f"local,id=share{i},{mode}path="
                         f"{escape(share.path)},security_model=none,"
                         "multidevs=remap"],
                        f"virtio-9p-pci,fsdev=share{i},"
                        f"mount_tag=vadis.share{i}"))
        if c.net:
            out.append((["-netdev", "user,id=user0"],
                        "virtio-net-pci,netdev=user0,romfile=,"
                        f"mac={guestnet.USER_MAC}"))
        for i, disk in enumerate(c.disks):
            path, options = parse_disk(disk)
            out.append((["-drive", f"if=none,id=disk{i},"
                         f"file={escape(path)},{options}"],
                        f"virtio-blk-pci,drive=disk{i}"))
        out += [([], device) for device in c.devices]
        return [(back, virtio(c, dev)) for back, dev in out]

    def modules(self):
        """Names of the modules the guest's init loads."""
        devices = [device for _, device in self._devices]
        names = list(modules.CORE)
        if self.config.root == "9p":
            names += modules.ROOT_9P
        names += modules.for_devices(devices) + list(self.config.modules)
        return names

    def _lines(self, console):
        """Lines of /vadis.conf."""
        c = self.config
        lines = [("hostname", re.sub(r"[^A-Za-z0-9-]", "-", c.name))]
        if console:
            lines.append(("console",))
        if c.root == "9p":
            lines.append(("autoload",))
            lines.append(("root", image.ROOT_TAG, image.ROOT_OPTIONS))
            if self.kernel.modules:
                lines.append(("bind", self.kernel.modules.resolve(),
                              f"/lib/modules/{self.kernel.release}"))
        for i, share in enumerate(c.shares):
            options = image.SHARE_OPTIONS + ("" if share.writable else ",ro")
            lines.append(("9p", f"vadis.share{i}", share.mount, options))
        return lines

    def write_image(self, path, console=False):
        """Write the initramfs this guest boots from.

        :param console: a shell on the console in place of the agent
        """
        image.write(path, self.kernel, self.modules(), self._lines(console),
                    self.config.files)

    def argv(self, home, sockets=True):
        """The command line.

        :param home: directory with the initramfs and the sockets
        :param sockets: connect console, agent and monitor to the sockets in
                        ``home``; otherwise the console is the terminal
        """
        c = self.config
        append = list(CMDLINE) + ["nokaslr"] * bool(c.gdb)
        append += [c.append] if c.append else []
        argv = [str(self.qemu), *paths.firmware_args(self.qemu),
                "-nodefaults", "-no-user-config",
                "-name", escape(f"vadis-{c.name}"),
                "-machine", f"{c.machine},accel={self.accel}",
                "-cpu", c.cpu, "-smp", str(c.smp), "-m", c.memory,
                "-display", "none",
                "-kernel", str(self.kernel.vmlinux),
                "-initrd", f"{home}/initrd",
                "-append", " ".join(append)]
        if sockets:
            for name in ("console", "agent", "qmp"):
                argv += ["-chardev", f"socket,id={name},"
                         f"path={escape(home)}/{name}"]
            argv += ["-mon", "chardev=qmp,mode=control"]
        else:
            argv += ["-chardev", "stdio,id=console,mux=on,signal=off",
                     "-mon", "chardev=console,mode=readline"]
        argv += ["-serial", "chardev:console"]
        for backend, device in self._devices:
            if sockets or "chardev=agent" not in device:
                argv += backend + ["-device", device]
        if not c.reboot:
            argv.append("-no-reboot")
        if c.incoming:
            argv += ["-incoming", c.incoming]
        if c.gdb:
            stub = c.gdb
            if stub == "auto":
                stub = f"unix:{escape(home)}/gdb,server=on,wait=off"
            argv += ["-S", "-gdb", stub]
        return argv + list(c.args)
