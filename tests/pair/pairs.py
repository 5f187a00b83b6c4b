# SPDX-License-Identifier: GPL-2.0-or-later
"""Two guests on one virtio-net link.

    with Pair(home, "stream") as pair:
        pair.ping("a", "b")
        pair.transfer("a", "b", 1 << 20)

Later devices that join two machines (vhost-pci, virtio-signal) reuse it: what
``settings`` gives either side goes to its VM.
"""

import contextlib
import pathlib

from vmtest import Load, VM, load_files
from vadis import guestnet

SIDES = tuple(guestnet.PAIR)
PORT = "5001"


class Pair:
    """Two guests, "a" and "b"; a context manager that ends both.

    :param home: private directory for the link's sockets
    :param link: "stream" or "dgram", see guestnet.pair_args()
    :param event_idx: offer the event index with packed rings
    :param settings: VM settings for both, or {"a": {...}, "b": {...}}
    """

    def __init__(self, home, link="stream", event_idx=False, **settings):
        self.home = pathlib.Path(home)
        self.link = link
        self.event_idx = event_idx
        self.settings = settings
        self.guests = {}

    @property
    def vms(self):
        return list(self.guests.values())

    def __getitem__(self, side):
        return self.guests[side]

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            stack.callback(self.close)
            # Both boot at once; a first, because b connects to its socket.
            for side in SIDES:
                self.start(side)
            for side in SIDES:
                self.settle(side)
            stack.pop_all()
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for vm in self.vms:
            vm.close()

    def start(self, side):
        """Start one QEMU (again); settle() waits for its guest."""
        if side in self.guests:
            self.guests[side].close()
        # A killed QEMU leaves its socket behind.
        (self.home / f"link-{side}").unlink(missing_ok=True)
        own = self.settings.get(side, {})
        both = {k: v for k, v in self.settings.items() if k not in SIDES}
        settings = {**both, **own}
        # Heavy traffic needs it off on packed rings; a test may ask for it.
        backend, device = guestnet.pair_args(
            side, self.home, self.link,
            self.event_idx or not settings.get("packed", True))
        devices = [device, *settings.pop("devices", [])]
        args = [*backend, *settings.pop("args", [])]
        settings = {"memory": "512M", "root": "initramfs", **settings}
        vm = VM(name=side, devices=devices, args=args, files=load_files(),
                **settings)
        self.guests[side] = vm
        vm.start()
        return vm

    def settle(self, side):
        """Wait until one guest is up and its interface has an address."""
        vm = self.guests[side]
        vm.wait_boot()
        guestnet.configure_pair(vm)
        return vm

    def ping(self, side, other, count=2):
        """Ping and insist on every answer."""
        text = self[side].run(
            ["ping", "-c", str(count), "-W", "30",
             guestnet.pair_address(other)], timeout=120).text
        assert f"{count} packets received" in text, text

    def serve(self, side, size):
        """Start the receiver of a checksummed stream."""
        load = Load(self[side], "serve", PORT, str(size))
        self[side].wait(lambda: "listening" in load.text or load.command.done,
                        60, "the receiver to listen")
        return load

    def send(self, side, other, size):
        """Start the sender of a checksummed stream."""
        return Load(self[side], "send", guestnet.pair_address(other), PORT,
                    str(size))

    def transfer(self, side, other, size):
        """A TCP stream whose every byte the receiver checks."""
        receiver = self.serve(other, size)
        sender = self.send(side, other, size)
        sender.finish()
        receiver.finish()
