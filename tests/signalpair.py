# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests with virtio-signal devices, and links between them."""

from vmtest import VM
from vadis import guestmodule, guesttool

MODULE, TOOL = "/virtio_signal.ko", "/vsignal"


def files():
    """The driver and the tool, for the initramfs."""
    return {MODULE[1:]: guestmodule.build("virtio_signal"),
            TOOL[1:]: guesttool.build("vsignal")}


def guest(name, device="virtio-signal-pci,id=sig0", **settings):
    """A VM, not started, that needs load() once it is up."""
    settings = {"root": "initramfs", "memory": "256M", **settings}
    return VM(name=name, devices=[device], files=files(), **settings)


def load(vm):
    vm.run(["insmod", MODULE], check=True)


def tool(vm, *words, check=True, timeout=120):
    """What vsignal printed."""
    return vm.run([TOOL, *map(str, words)], check=check, timeout=timeout).text


def link(path, node, peer, server, options=""):
    """Arguments of one end of a link over a UNIX socket."""
    mode = "server=on,wait=off" if server else "reconnect-ms=100"
    return ["-object", "signal-bus,id=bus0",
            "-chardev", f"socket,id=link,path={path},{mode}",
            "-object", f"signal-link,id=link{peer},signal-bus=bus0,"
            f"chardev=link,local-node={node},peer-node={peer}" +
            (f",{options}" if options else "")]


def device(node, options=""):
    return (f"virtio-signal-pci,id=sig0,signal-bus=bus0,node={node}" +
            (f",{options}" if options else ""))


def peer_of(vm):
    """The monitor's view of the one peer."""
    info, = vm.qmp("x-query-virtio-signal")
    peer, = info["peers"]
    return peer
