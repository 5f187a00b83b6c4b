# SPDX-License-Identifier: GPL-2.0-or-later
"""The row for vhost-pci: the demo's guest has a disk that another VM serves."""

from . import demo_storage
from .demo_row import PATIENCE, expect, row, size
from .errors import Failure


@row
class VhostPci(demo_storage.Disk):
    """VM A is the demo's guest, VM B is started for this row."""
    name = "vhost-pci"
    blocks = "/block/*"

    def plan(self, demo):
        # Loaded late: the guest loads this file too.
        from . import guesttool
        from .vm import VM
        path = demo.path("vhost-pci")
        # A's other devices may have memory of files that are not sealed.
        self.server = demo.machine(VM(
            name="demo-b", root="initramfs", memory="384M",
            modules=["uio_pci_generic"],
            files={"vhost-pci-blk": guesttool.build("vhost-pci-blk")},
            args=["-chardev", "socket,id=vp,server=on,wait=off,path=" +
                  demo.escape(path), "-device",
                  "vhost-pci,id=vp0,addr=0x10,chardev=vp,require-sealed=off"]))
        self.server.start()
        self.server.wait_boot()
        self.program = self.server.popen(
            ["/vhost-pci-blk", "--device", "0000:00:10.0", "--size",
             str(demo_storage.DISK)])
        self.server.wait(lambda: b"waiting" in self.program.stdout or
                         self.program.done, PATIENCE, "the program in VM B")
        expect(not self.program.done, self.program.stderr.decode())
        demo.share_memory()
        demo.args("-chardev", f"socket,id=vp,path={demo.escape(path)}")
        demo.modules("virtio_blk")
        demo.device(self, "vhost-user-blk-pci,chardev=vp,packed=on")

    def tell(self):
        """Lines about VM B, for when A waits in vain."""
        said = (self.program.stdout + self.program.stderr).decode(
            errors="replace")
        counters = ("messages", "kicks", "calls", "grants", "revocations",
                    "refused-grants")
        yield "VM B's program said: " + " / ".join(said.splitlines())
        yield "VM B's device: " + ", ".join(
            f"{name} {self.counter(name)}" for name in counters)

    def counter(self, name):
        return self.server.qmp("qom-get", property=name,
                               path="/machine/peripheral/vp0/virtio-backend")

    def work(self, demo):
        calls = self.counter("calls")
        try:
            self.sum = demo.call(
                demo_storage.write_random, amount=demo_storage.AMOUNT,
                pattern=demo.sysfs(self) + self.blocks,
                offset=demo_storage.OFFSET)
        except Failure as err:
            raise Failure(err.message, *self.tell(), *err.hints) from err
        expect(self.counter("calls") > calls, "VM B never called")
        return (f"VM B served VM A's disk: wrote {size(demo_storage.AMOUNT)} "
                "of random data, flushed")
