# SPDX-License-Identifier: GPL-2.0-or-later
"""The row for virtio-signal: the guest boots a second machine and pings it."""

import re

from . import guestmodule, guesttool, kernel
from .demo_row import BUSYBOX, PATIENCE, Row, expect, row
from .vm import VM

HERE, THERE = 0, 1
PINGS = 10


def link_args(path, node, peer, mode, options=""):
    """QEMU arguments for one end of a signal-link over a UNIX socket."""
    return ["-object", "signal-bus,id=signals",
            "-chardev", f"socket,id=peer,path={path},{mode}",
            "-object", "signal-link,id=signal-link0,signal-bus=signals,"
            f"chardev=peer,local-node={node},peer-node={peer}{options}"]


@row
class Signal(Row):
    """Start a machine that is held at -S, and signal both ways."""
    name = "virtio-signal"

    def __init__(self):
        self.path = self.kernel = None

    def plan(self, demo):
        self.path = demo.path("signal")
        self.kernel = demo.kernel
        demo.args(*link_args(demo.escape(self.path), HERE, THERE,
                             "server=on,wait=off"))
        demo.device(self, "virtio-signal-pci,signal-bus=signals,"
                    f"node={HERE},send-boot=on")

    def module(self):
        return guestmodule.build("virtio_signal", kernel.get(self.kernel))

    def prepare(self, demo):
        demo.shell(f"{BUSYBOX} insmod {self.module()}")

    def work(self, demo):
        tool = guesttool.build("vsignal")
        files = {"virtio_signal.ko": self.module(), "vsignal": tool}
        other = demo.machine(VM(
            name="second", kernel=self.kernel, root="initramfs",
            memory="256M", files=files,
            devices=[f"virtio-signal-pci,signal-bus=signals,node={THERE}"],
            args=["-S", *link_args(demo.escape(self.path), THERE, HERE,
                                   "reconnect-ms=100", ",accept-boot=on")]))
        try:
            other.start()
            demo.shell(f"{tool} wait {THERE} up")
            state = other.qmp("query-status")["status"]
            expect(state == "prelaunch", f"the second machine is {state} "
                   "before it was told to boot")
            demo.shell(f"{tool} send {THERE} node boot")
            other.wait_boot(PATIENCE)
            other.run(["insmod", "/virtio_signal.ko"], check=True)
            self.pings(tool, demo.shell, demo.vm, other)
            return (f"booted a second machine held at -S, {PINGS} pings "
                    "each way answered")
        finally:
            other.close()

    @staticmethod
    def pings(tool, shell, here, other):
        """Each pings the other."""
        answers = other.popen(["/vsignal", "echo", str(PINGS)])
        other.wait(lambda: b"listening" in answers.stdout, PATIENCE,
                   "vsignal in the second machine")
        shell(f"{tool} wait {THERE} ready")
        text = shell(f"{tool} ping {THERE} 0 {PINGS}")
        expect(f"{PINGS} pings answered" in text, text)
        answers = here.popen([tool, "echo", str(PINGS)])
        here.wait(lambda: b"listening" in answers.stdout, PATIENCE,
                  "vsignal in the first machine")
        text = other.run(["/vsignal", "ping", str(HERE), "0", str(PINGS)],
                         timeout=PATIENCE, check=True).text
        expect(re.search(rf"^{PINGS} pings answered", text, re.M), text)
