# SPDX-License-Identifier: GPL-2.0-or-later
"""guest-load itself, on the host: what it says arrives."""

import array
import ctypes
import fcntl
import os
import signal
import subprocess
import termios

from vmtest import load_program

PIPE = 4096
LINE = len(b"load: 64\n")      # the shortest


def waiting(fd):
    """Bytes in a pipe."""
    room = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, room)
    return room[0]


def sleeper(pid):
    """The worker thread, once it sleeps; only a full pipe has it do so."""
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/stat", encoding="ascii") as file:
            state = file.read().rpartition(")")[2].split()[0]
        if int(task) != pid and state == "S":
            return int(task)
    return None


def test_the_end_is_told_on_a_full_console(home):
    """SIGTERM interrupts a line that has to wait, not the program."""
    image = os.path.join(home, "image")
    with open(image, "wb") as file:
        file.truncate(64 << 20)
    out, into = os.pipe()
    fcntl.fcntl(into, fcntl.F_SETPIPE_SZ, PIPE)
    with subprocess.Popen([load_program(), "disk", image, "1"],
                          stdout=into) as load, open(out, "rb") as said:
        os.close(into)
        task = None
        while not task:
            assert load.poll() is None
            if waiting(out) > PIPE - LINE:
                task = sleeper(load.pid)
        # To that thread; kill() leaves the choice to the kernel.
        assert not ctypes.CDLL(None).tgkill(load.pid, task, signal.SIGTERM)
        lines = said.read().splitlines()
        assert load.wait() == 0
    assert lines[-1].startswith(b"load: done "), lines[-3:]
