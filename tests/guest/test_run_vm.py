# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/run-vm as a user meets it."""

import functools
import http.server
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import termios
import threading

import pytest
from vmtest import DEADLINE, RUN_VM
from vadis import kernel


def only_line(done):
    """Standard output of a successful run, as text."""
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().rstrip("\n")


@pytest.mark.parametrize("name", list(kernel.NAMES))
def test_boots_each_kernel(run_vm, name):
    done = run_vm("--kernel", name, "--", "uname", "-r")
    assert only_line(done) == kernel.get(name).release


def test_kernel_may_be_a_file(run_vm):
    known = kernel.get("6.12")
    done = run_vm("--kernel", str(known.vmlinux), "--", "uname", "-r")
    assert only_line(done) == known.release


def test_output_error_and_status_are_the_commands(run_vm):
    done = run_vm("--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (
        7, b"out\n", b"err\n")


def test_standard_input_and_output_are_transparent(run_vm):
    data = bytes(range(256)) * 4096
    done = run_vm("--", "cat", input=data)
    assert done.returncode == 0
    assert done.stdout == data


def test_without_command_input_is_a_script(run_vm):
    done = run_vm(input=b"echo $((6 * 7))\nexit 5\n")
    assert (done.returncode, done.stdout) == (5, b"42\n")


def test_works_in_the_current_directory(run_vm, text_file):
    done = run_vm("--", "sh", "-c", "pwd; cat file.txt",
                  cwd=text_file.parent)
    assert only_line(done) == f"{text_file.parent}\nfrom the host"


def test_what_a_guest_writes_is_gone(run_vm, text_file):
    done = run_vm("--", "sh", "-c", "echo changed >file.txt; cat file.txt",
                  cwd=text_file.parent)
    assert only_line(done) == "changed"
    assert text_file.read_text() == "from the host\n"


def test_rw_writes_through_and_share_does_not(run_vm, text_file):
    script = "echo new >made; cat made; echo bad >/mnt/x"
    done = run_vm("--rw", str(text_file.parent), "--share",
                  f"{text_file.parent}:/mnt", "--", "sh", "-c", script,
                  cwd=text_file.parent)
    assert done.returncode != 0
    assert b"Read-only file system" in done.stderr
    assert (text_file.parent / "made").read_text() == "new\n"
    assert not (text_file.parent / "x").exists()


@pytest.mark.parametrize("packed", ["on", "off"])
def test_packed_is_negotiated_as_asked(run_vm, packed):
    done = run_vm("--packed", packed, "--device", "virtio-rng-pci", "--",
                  "sh", "-c", "cat /sys/bus/virtio/devices/*/features")
    features = only_line(done).split()
    assert len(features) == 3
    assert {f[34] for f in features} == {"1" if packed == "on" else "0"}


def test_disk_holds_what_the_file_holds(run_vm, tmp_path):
    image = tmp_path / "disk, with comma.img"
    image.write_bytes(os.urandom(1 << 20))
    done = run_vm("--disk", str(image), "--", "sh", "-c",
                  "cat /dev/vda; echo changed >/dev/vda; sync")
    assert done.returncode == 0
    assert image.read_bytes()[:8] == b"changed\n"
    assert done.stdout[8:] == image.read_bytes()[8:]


@pytest.fixture
def web_server(text_file):
    """Port of an HTTP server on this machine that offers text_file."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler,
                                directory=text_file.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_net_reaches_the_host(run_vm, web_server):
    done = run_vm("--net", "--", "busybox", "wget", "-qO-",
                  f"http://10.0.2.2:{web_server}/file.txt")
    assert only_line(done) == "from the host"


def test_pair_talks_over_its_link(console):
    script = "busybox ping -c 1 -W 30 b && echo $VADIS_VM && hostname && read x"
    process = console([
        "sh", "-c", 'exec "$@" 2>&1', "sh", RUN_VM, "--pair",
        "--peer", "echo $VADIS_VM $(hostname); exec sleep 1000",
        "--", "sh", "-c", script])
    seen = b""
    while b"b| b b\n" not in seen:     # b's kernel answers before b's command
        data = os.read(process.stdout.fileno(), 4096)
        assert data, seen
        seen += data
    out, _ = process.communicate(b"\n", DEADLINE)
    assert process.returncode == 0
    assert (seen + out).split(b"\n").count(b"a") == 2


def test_environment_reaches_the_command(run_vm):
    done = run_vm("--env", "WORD=two words", "--", "printenv", "WORD")
    assert only_line(done) == "two words"


def test_guest_may_power_off(run_vm):
    assert run_vm("--", "poweroff").returncode == 0


def test_panic_is_reported_with_the_console(run_vm):
    done = run_vm("--", "sh", "-c", "echo c >/proc/sysrq-trigger")
    error = done.stderr.decode()
    assert done.returncode == 125
    assert "sysrq triggered crash" in error
    assert "rerun: scripts/run-vm" in error


def test_timeout_reports_queues_and_rerun(run_vm):
    done = run_vm("--timeout", "1", "--smp", "2", "--", "sleep", "1000")
    error = done.stderr.decode()
    assert done.returncode == 124
    assert re.search(r"queue 0: vring-num=\d+ last-avail-idx=\d+", error)
    assert "--smp 2 --gdb" in error


def test_reader_that_stops_ends_the_guest(start_run_vm):
    process = start_run_vm("--", "yes", stdin=subprocess.DEVNULL)
    assert process.stdout.readline() == b"y\n"
    process.stdout.close()
    assert process.wait(DEADLINE) == 128 + signal.SIGPIPE


# -- a terminal


@pytest.fixture
def terminal():
    """run-vm on a terminal of its own; our end of it, at the prompt."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(ours, (33, 77))
    # As Python's readline module leaves them behind, and as they are wrong
    # after a change of the window's size
    process = subprocess.Popen([RUN_VM], stdin=theirs, stdout=theirs,
                               stderr=theirs, start_new_session=True,
                               env=dict(os.environ, LINES="24", COLUMNS="80"))
    os.close(theirs)
    read_until(ours, b"# ")
    yield process, ours
    process.kill()
    process.wait()
    os.close(ours)


def read_until(fd, end=None):
    """What a terminal shows, up to ``end`` or until it is closed."""
    seen = b""
    while not (end and seen.endswith(end)):
        try:
            data = os.read(fd, 4096)
        except OSError:                 # how a terminal ends
            data = b""
        if not data:
            assert not end, seen
            break
        seen += data
    return seen


def test_shell_has_the_terminal(terminal):
    process, fd = terminal
    os.write(fd, b"stty size; tty; exit 9\r")
    seen = read_until(fd)
    assert b"33 77" in seen
    assert b"/dev/pts/" in seen
    assert process.wait(DEADLINE) == 9


def test_ctrl_c_is_the_shells_and_ctrl_bracket_ends(terminal):
    process, fd = terminal
    # What says so is the job that Ctrl-C is for; before, it could hit the
    # shell between starting the job and giving it the terminal.
    os.write(fd, b"sh -c 'echo rea\"\"dy; exec sleep 1000'\r")
    read_until(fd, b"ready\r\n")
    os.write(fd, b"\x03")
    read_until(fd, b"# ")
    os.write(fd, b"echo status $?\r")
    assert b"status 130" in read_until(fd, b"# ")
    os.write(fd, b"\x1d")
    assert process.wait(DEADLINE) == 0


# -- Ctrl-C and worse


def children(pid):
    """Process ids of a process's children."""
    out = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children",
                  encoding="ascii") as text:
            out += [int(word) for word in text.read().split()]
    return out


def argument(pid, name):
    """The word after ``name`` in a process's command line."""
    with open(f"/proc/{pid}/cmdline", encoding="utf-8") as text:
        words = text.read().split("\0")
    return words[words.index(name) + 1]


def stopped_by(start_run_vm, number):
    """Send a signal to a busy run-vm; its status once QEMU is gone too."""
    process = start_run_vm("--", "sh", "-c", "echo up; exec sleep 1000",
                           stdin=subprocess.DEVNULL)
    assert process.stdout.readline() == b"up\n"
    qemu, = children(process.pid)
    home = os.path.dirname(argument(qemu, "-initrd"))
    pidfd = os.pidfd_open(qemu)
    process.send_signal(number)
    status = process.wait(DEADLINE)
    ended, _, _ = select.select([pidfd], [], [], DEADLINE)
    os.close(pidfd)
    assert ended, "QEMU is still running"
    return status, home


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_leaves_nothing_behind(start_run_vm, number):
    status, home = stopped_by(start_run_vm, number)
    assert status == 128 + number
    assert not os.path.exists(home)


def test_even_sigkill_leaves_no_qemu(start_run_vm, run_vm):
    status, home = stopped_by(start_run_vm, signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert run_vm("--", "true").returncode == 0
    assert not os.path.exists(home), "the next start should have swept it"


# -- dry run


@pytest.fixture
def console():
    """Start a program that a test talks to while it runs."""
    started = []

    def start(argv):
        started.append(subprocess.Popen(argv, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE))
        return started[0]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_dry_run_boots_when_pasted(run_vm, console):
    line = only_line(run_vm("--dry-run", "--memory", "512M"))
    argv = shlex.split(line)
    assert argv[argv.index("-m") + 1] == "512M"
    process = console(argv)
    seen = b""
    while not seen.endswith(b"# "):     # keys sent earlier would be lost
        data = os.read(process.stdout.fileno(), 4096)
        assert data, seen
        seen += data
    out, _ = process.communicate(b"echo $((6 * 7)); poweroff\n", DEADLINE)
    assert re.search(rb"^42\r?$", out, re.M)
    assert process.returncode == 0


def test_dry_run_starts_nothing(run_vm):
    done = run_vm("--dry-run", "--qemu", "/bin/false", "--packed", "off")
    assert only_line(done).startswith("/bin/false ")
    assert "packed=off" in only_line(done)


# -- errors


@pytest.mark.parametrize("args, message, hint", [
    (["--kernel", "5.5"], "no kernel '5.5'", "6.12, 6.1, 7.x"),
    (["--kernel", str(RUN_VM)], "is not a Linux kernel", "vmlinuz"),
    (["--qemu", "/none"], "no QEMU binary at /none", "--qemu"),
    (["--disk", "/none"], "no disk image /none", "qemu-img create"),
    (["--rw", "/none"], "no directory /none", ""),
    (["--share", "/tmp:mnt"], "not an absolute path", "/tmp:/mnt"),
    (["--env", "X"], "the value is missing", "--env X=VALUE"),
    (["--peer", "x"], "--peer is for a pair", "--pair"),
    (["--qemu-opts", "'x"], "No closing quotation", "Quote"),
])
def test_error_says_what_to_do(run_vm, args, message, hint):
    done = run_vm(*args, "--", "true")
    error = done.stderr.decode()
    assert done.returncode == 125
    assert error.startswith("run-vm: error: ")
    assert message in error.splitlines()[0]
    assert hint in error
    assert "Traceback" not in error


def test_qemus_own_error_is_passed_on(run_vm):
    done = run_vm("--device", "no-such-device", "--", "true")
    assert done.returncode == 125
    assert b"'no-such-device' is not a valid device" in done.stderr


def test_missing_build_says_run_make(run_vm, tmp_path):
    env = {**os.environ, "VADIS_QEMU": str(tmp_path / "qemu")}
    done = run_vm("--", "true", env=env)
    assert done.returncode == 125
    assert b"VADIS_QEMU" in done.stderr
