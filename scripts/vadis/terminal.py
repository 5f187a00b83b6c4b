# SPDX-License-Identifier: GPL-2.0-or-later
"""A shell in the guest on the user's terminal."""

import contextlib
import os
import selectors
import signal
import socket
import sys
import termios
import tty

ESCAPE = b"\x1d"                        # Ctrl-]


@contextlib.contextmanager
def raw(fd):
    """Hand keys over as they are; the terminal is restored at the end."""
    before = termios.tcgetattr(fd)
    try:
        tty.setraw(fd)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


@contextlib.contextmanager
def on_resize(action):
    """Call ``action`` when the terminal's size changes."""
    before = signal.signal(signal.SIGWINCH, lambda *_: action())
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


def interact(vm, argv, **options):
    """Run ``argv`` in the guest on this terminal; its exit status.

    None means that the user ended the guest with the escape key.
    """
    finished, finish = socket.socketpair()

    def show(_stream, data):
        os.write(sys.stdout.fileno(), data)

    def resize():
        # Not shutil's: LINES and COLUMNS do not follow the terminal.
        size = os.get_terminal_size(sys.stdin.fileno())
        command.resize(size.lines, size.columns)

    command = vm.popen(argv, pty=True, on_output=show, **options)
    command.on_done(lambda: finish.send(b"x"))
    resize()
    with raw(sys.stdin.fileno()), on_resize(resize), \
            selectors.DefaultSelector() as sel:
        sel.register(sys.stdin, selectors.EVENT_READ)
        sel.register(finished, selectors.EVENT_READ)
        while not command.done:
            for key, _ in sel.select():
                if key.fileobj is not sys.stdin:
                    continue
                data = os.read(sys.stdin.fileno(), 4096)
                if ESCAPE in data or not data:
                    return None
                command.write(data)
    return command.returncode
