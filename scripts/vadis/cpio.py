# SPDX-License-Identifier: GPL-2.0-or-later
"""Archives in cpio's "newc" format, the one Linux takes as an initramfs."""

import os
import stat

PAD = 4


class Archive:
    """Builds an archive in memory; parents of each entry are made as needed.

    Archives may be joined end to end: the kernel unpacks one after another.
    """

    def __init__(self):
        self._out = bytearray()
        self._seen = set()
        self._ino = 0

    def _entry(self, name, mode, data=b"", rdev=(0, 0)):
        """One header of 13 numbers in hexadecimal, the name, the data."""
        self._ino += 1
        raw = os.fsencode(name) + b"\0"
        numbers = (self._ino, mode, 0, 0, 1, 0, len(data), 0, 0, *rdev,
                   len(raw), 0)
        self._out += b"070701" + b"".join(b"%08X" % n for n in numbers)
        for part in (raw, data):
            self._out += part
            self._out += b"\0" * (-len(self._out) % PAD)

    def _claim(self, name):
        """Normalise a name, make its parents, refuse to add it twice."""
        name = name.strip("/")
        if name in self._seen:
            raise ValueError(f"{name} is in the archive already")
        self._seen.add(name)
        parent = os.path.dirname(name)
        if parent and parent not in self._seen:
            self.directory(parent)
        return name

    def directory(self, name, mode=0o755):
        self._entry(self._claim(name), stat.S_IFDIR | mode)

    def file(self, name, data, mode=0o644):
        self._entry(self._claim(name), stat.S_IFREG | mode, bytes(data))

    def link(self, name, target):
        self._entry(self._claim(name), stat.S_IFLNK | 0o777,
                    os.fsencode(target))

    def device(self, name, major, minor, mode=0o600):
        """A character device; no privilege is needed to write one here."""
        self._entry(self._claim(name), stat.S_IFCHR | mode,
                    rdev=(major, minor))

    def bytes(self):
        """The finished archive, padded so that another may follow it."""
        out = Archive()
        out._out = bytearray(self._out)
        out._entry("TRAILER!!!", 0)
        return bytes(out._out) + b"\0" * (-len(out._out) % 512)
