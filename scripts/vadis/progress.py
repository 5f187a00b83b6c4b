# SPDX-License-Identifier: GPL-2.0-or-later
"""Progress lines with elapsed time, on standard error.

On a terminal a running step is one line that is rewritten; elsewhere (a log
file, CI) each step is a line of its own. Quiet steps that finish at once leave
no trace, so a warm start prints nothing.
"""

import contextlib
import sys
import time

START = time.monotonic()


def elapsed():
    """Seconds since the program began."""
    return time.monotonic() - START


def note(text, stream=None):
    """Print one line with the elapsed time."""
    stream = stream or sys.stderr
    print(f"[{elapsed():4.0f}s] {text}", file=stream, flush=True)


class Step:
    """A running step; see step()."""

    def __init__(self, text, stream):
        self.text = text
        self.stream = stream
        self.tty = stream.isatty()

    def update(self, detail):
        """Show how far the step is; only a terminal gets to see it."""
        if self.tty:
            self.stream.write(f"\r\033[K[{elapsed():4.0f}s] "
                              f"{self.text}: {detail}")
            self.stream.flush()

    def _line(self, text):
        clear = "\r\033[K" if self.tty else ""
        self.stream.write(f"{clear}[{elapsed():4.0f}s] {text}\n")
        self.stream.flush()


@contextlib.contextmanager
def step(text, stream=None):
    """Announce a long piece of work and say how long it took."""
    one = Step(text, stream or sys.stderr)
    begin = time.monotonic()
    if one.tty:
        one.update("...")
    else:
        one._line(f"{text} ...")
    result = "failed"
    try:
        yield one
        result = "done"
    finally:
        one._line(f"{text}: {result}, {time.monotonic() - begin:.1f} s")
