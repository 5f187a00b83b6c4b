# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests with virtio-signal devices, and links between them."""

import re

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


def stats(vm):
    """The driver's counters: a dictionary for each target."""
    text = vm.run("cat /sys/kernel/debug/vsignal0/stats", check=True).text
    head, *lines = text.splitlines()
    return [dict(zip(head.split(), map(int, line.split()))) for line in lines]


def ping_pong(vm, pings, poll_ns=0, warm=5):
    """CPUs 0 and 1 play ping-pong.

    poll_ns: for how long each polls before it sleeps
    Returns the median of a round trip in us, and how many notifications of
    polling targets were avoided, and made, in `pings` pings after `warm`.
    """
    how = ["-p", str(poll_ns)] if poll_ns else []
    echo = vm.popen([TOOL, "-c", "1", *how, "echo", str(warm + pings)])
    vm.wait(lambda: b"listening" in echo.stdout, 60, "vsignal echo")

    def ping(count):
        text = tool(vm, "-c", 0, *how, "ping", 0, 1, count)
        times = re.search(rf"{count} pings answered; \S+ (\S+) \S+ \S+ us",
                          text)
        info, = vm.qmp("x-query-virtio-signal")
        return float(times.group(1)), info["polling"]

    # The first events come before a CPU polls; and a split ring with an event
    # index has no way to be quiet about its very first entry.
    _, before = ping(warm)
    median, after = ping(pings)
    assert echo.wait() == 0
    return median, *(after[name] - before[name]
                     for name in ("avoided", "notified"))


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


def came(vm, name):
    """Signals of a class that the guest's device took, merged ones too."""
    info, = vm.qmp("x-query-virtio-signal")
    return next((c["received"] + c["coalesced"] for c in info["classes"]
                 if c["name"] == name), 0)
