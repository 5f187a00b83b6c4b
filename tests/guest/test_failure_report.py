# SPDX-License-Identifier: GPL-2.0-or-later
"""A failing test tells what its guest looked like and how to debug it.

pytest runs here on a test that fails on purpose, and then the command it
printed is run: QEMU must really come up under gdb.
"""

import os
import pty
import re
import select
import subprocess

import pytest

from vmtest import TESTS, TOP

FAILING = '''
import pytest
from vmtest import VM

@pytest.mark.parametrize("how", ["a b"])
def test_fails(how):
    with VM(name="doomed", root="initramfs", memory="256M",
            devices=["virtio-rng-pci,id=rng"]) as vm:
        vm.run("for i in $(seq 60); do echo marker-$i; done >/dev/console; "
               "head -c 64 /dev/hwrng >/dev/null", check=True)
        vm.wait_console("marker-60")
        assert vm.run(["true"]).returncode == 1, "on purpose"
'''

GDB = '''set pagination off
set breakpoint pending off
break virtio_rng_device_realize
commands
silent
backtrace 1
vadis devices
continue
end
run
'''


def pytest_run(directory, command, **env):
    return subprocess.run(
        command, cwd=directory, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=600,
        check=False, env={**os.environ, **env})


@pytest.fixture(scope="module")
def failure(tmp_path_factory):
    """(directory, output) of a pytest run with a failing guest test."""
    directory = tmp_path_factory.mktemp("with a space")
    (directory / "test_doomed.py").write_text(FAILING)
    (directory / "conftest.py").write_text(
        f"import sys\nsys.path.insert(0, {str(TESTS)!r})\n"
        "from conftest_shared import *\n")
    # The real conftest.py under a name of its own.
    (directory / "conftest_shared.py").symlink_to(TESTS / "conftest.py")
    done = pytest_run(directory, ["/usr/bin/python3", "-m", "pytest",
                                  "-p", "no:cacheprovider", "--tb=short",
                                  "test_doomed.py"])
    assert done.returncode == 1, done.stdout
    assert "AssertionError: on purpose" in done.stdout
    return directory, done.stdout


def test_shows_the_last_console_lines(failure):
    _, text = failure
    section = text[text.index("guest 'doomed', last 40 console lines:"):]
    shown = re.findall(r"marker-(\d+)", section)
    assert shown == [str(n) for n in range(21, 61)]


def test_shows_the_queue_states(failure):
    _, text = failure
    section = text[text.index("virtio queues of guest 'doomed'"):]
    line = re.search(r"virtio-rng /machine/peripheral/rng/virtio-backend: "
                     r".*DRIVER_OK\n\s+queue 0: (.*)", section)
    assert line, section
    state = dict(word.split("=") for word in line.group(1).split())
    # The guest has read random numbers, so the ring has moved.
    assert int(state["vring-num"]) > 0
    assert int(state["last-avail-idx"]) > 0
    assert {"used-idx", "inuse"} <= state.keys()


def test_prints_a_command_that_reruns_it_under_gdb(failure, tmp_path):
    directory, text = failure
    command = re.search(r"^cd .* VADIS_QEMU_GDB=1 .*$", text, re.M).group()
    assert command.startswith(f"cd {TOP} ") or command.startswith("cd '")
    script = tmp_path / "gdb script"
    script.write_text(GDB)
    # gdb works through a file instead of waiting for a person.
    command = command.replace("VADIS_QEMU_GDB=1",
                              f"VADIS_QEMU_GDB='{script}'")
    done = pytest_run(directory, ["/bin/sh", "-c", command])
    assert "virtio_rng_device_realize" in done.stdout, done.stdout[-3000:]
    assert "AssertionError: on purpose" in done.stdout, done.stdout[-3000:]
    assert "test_fails[a b]" in done.stdout


WAITING = '''
from vmtest import VM

def test_waits():
    with VM(root="initramfs", memory="256M") as vm:
        print("BOOTED", flush=True)
        vm.wait_console("never", 1)
'''


class Terminal:
    """A program on a terminal of its own, as a person would use it."""

    def __init__(self, directory, argv, env):
        self.text = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(directory)
            os.execve(argv[0], argv, env)

    def expect(self, word):
        """What is written up to and with ``word``."""
        while word not in self.text:
            ready, _, _ = select.select([self.fd], [], [], 180)
            assert ready, f"waited in vain for {word}: {self.text[-999:]}"
            self.text += os.read(self.fd, 4096)
        before, _, self.text = self.text.partition(word)
        return (before + word).decode(errors="replace")

    def type(self, keys):
        os.write(self.fd, keys)

    def close(self):
        os.close(self.fd)               # hangs up on whoever is left
        os.waitpid(self.pid, 0)


def test_ctrl_c_under_gdb_stops_qemu_and_not_the_test(tmp_path):
    (tmp_path / "test_waiting.py").write_text(WAITING)
    terminal = Terminal(
        tmp_path, ["/usr/bin/python3", "-m", "pytest", "-s", "--tb=line",
                   "-p", "no:cacheprovider", "test_waiting.py"],
        {**os.environ, "PYTHONPATH": str(TESTS), "VADIS_QEMU_GDB": "1",
         "TERM": "dumb"})
    try:
        terminal.expect(b"(gdb)")
        terminal.type(b"run\n")
        terminal.expect(b"BOOTED")
        terminal.type(b"\x03")
        assert "SIGINT" in terminal.expect(b"(gdb)")
        terminal.type(b"vadis devices\n")
        assert "DRIVER_OK" in terminal.expect(b"(gdb)")
        terminal.type(b"kill\ny\n")
        terminal.expect(b"killed]")
        terminal.expect(b"(gdb)")
        terminal.type(b"quit\n")
        # The test goes on, and sees that its QEMU is gone.
        assert "QEMU ended" in terminal.expect(b"1 failed")
    finally:
        terminal.close()
