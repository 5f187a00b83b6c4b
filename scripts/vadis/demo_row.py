# SPDX-License-Identifier: GPL-2.0-or-later
"""What a row of the demo is. See demo.py for how rows are run.

A row is one small class, registered with @row:

    @row
    class Rng(Row):
        name = "virtio-rng"

        def plan(self, demo):
            demo.device(self, "virtio-rng-pci")

        def work(self, demo):
            data = demo.call(self.read, count=4096)
            expect(len(data) == 8192, f"{len(data)} digits came")
            return "4 KiB read"

        @staticmethod
        def read(count):                      # runs in the guest
            with open("/dev/hwrng", "rb") as rng:
                return rng.read(count).hex()

Functions given to demo.call() run in one Python process in the guest, which
imports the row's module there. So modules with rows import nothing heavy, and
arguments and results are what JSON can carry.
"""

import glob
import hashlib

from .errors import Failure

ROWS = []
BUSYBOX = "/run/vadis/bin/busybox"      # in the guest
# Generous: machines that run the demo may be busy with something else.
PATIENCE = 120


class Row:
    """A line of the table.

    work() runs in the first boot, again() after a reboot, and done() once
    QEMU has ended; all rows' work() run at the same time, as do all again().
    again() has demo.shell() only: Python is not started a second time.
    Each returns words for the table's column "what was done", or None, and
    raises Failure if the device did not do what it should. A row with
    ``own_machine`` starts a guest of its own in work() and tells its features.
    """
    name = None
    own_machine = False

    @property
    def device_id(self):
        return "demo-" + self.name.removeprefix("virtio-")

    @classmethod
    def lasts(cls):
        """Must something be seen again after a reboot?"""
        return cls.again is not Row.again

    def plan(self, demo):
        """Add the device and what it needs; before the guest starts."""
        raise NotImplementedError

    def prepare(self, demo):
        """After each boot: load a driver that the kernel does not have."""

    def work(self, demo):
        raise NotImplementedError

    def again(self, demo):
        """After the reboot."""

    def done(self, demo):
        """After QEMU's orderly end."""


def row(cls):
    """Class decorator: the demo has this row."""
    ROWS.append(cls)
    return cls


def expect(condition, seen):
    """Raise Failure, saying what was seen, unless the condition holds."""
    if not condition:
        raise Failure(seen)


def size(count):
    """A number of bytes in words."""
    for unit, shift in (("MiB", 20), ("KiB", 10)):
        if count >= 1 << shift:
            return f"{count / (1 << shift):.4g} {unit}"
    return f"{count} bytes"


def digest(data):
    return hashlib.sha256(data).hexdigest()


def only(pattern):
    """The one file that matches; for finding a device in the guest's sysfs."""
    found = glob.glob(pattern)
    expect(len(found) == 1, f"{len(found)} files match {pattern}")
    return found[0]
