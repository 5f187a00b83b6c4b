# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest's console: kept, time-stamped, searchable."""

import collections
import re
import time

KEEP = 1 << 20
# Enough for a kernel oops from its first line
TAIL = 60
# Terminal control sequences that firmware and shells send.
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[c()][0-9A-Za-z]?|\r")


class Console:
    """Text of the serial console; the lock of the VM guards it.

    :param log: binary file object for the time-stamped log, or None
    :param echo: called with each complete line, or None
    """

    def __init__(self, log=None, echo=None):
        self.text = ""
        self.dropped = 0
        self.panicked = False
        self._log = log
        self._echo = echo
        self._begin = time.monotonic()
        self._partial = ""
        self._tail = collections.deque(maxlen=TAIL)

    def feed(self, data):
        text = CONTROL.sub("", data.decode(errors="replace"))
        self.text += text
        if len(self.text) > KEEP:
            cut = len(self.text) - KEEP // 2
            self.text = self.text[cut:]
            self.dropped += cut
        *lines, self._partial = (self._partial + text).split("\n")
        for line in lines:
            self._line(line)

    def _line(self, line):
        line = f"[{time.monotonic() - self._begin:8.3f}] {line}"
        self._tail.append(line)
        self.panicked |= "Kernel panic - not syncing" in line
        if self._log:
            self._log.write(line.encode() + b"\n")
            self._log.flush()
        if self._echo:
            self._echo(line)

    def position(self):
        """Where the text ends now; a start for search()."""
        return self.dropped + len(self.text)

    def search(self, pattern, start=0):
        """The first match of a regular expression after ``start``."""
        return re.compile(pattern, re.M).search(
            self.text, max(0, start - self.dropped))

    def tail(self):
        """The last lines, for an error message."""
        lines = list(self._tail)
        if self._partial:
            lines.append("           " + self._partial)
        return lines
