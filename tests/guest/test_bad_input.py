# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes wrong around the guests: network, cache, Ctrl-C, odd paths."""

import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import tempfile

import pytest

from vadis import kernel, paths
from vadis.errors import Failure
from vadis.machine import Config, Machine
import fleet as fleets
from vmtest import DEADLINE, TESTS, TOP

# A program that boots a guest, says so, and then waits for ever.
WAITER = '''
import sys
sys.path.insert(0, sys.argv[1])
from vadis.vm import VM
with VM(root="initramfs", memory="256M") as vm:
    print(vm.pid, vm.home, flush=True)
    vm.wait(lambda: False, None, "the end of the world")
'''
GUEST_TEST = '''
from vmtest import VM

def test_waits():
    with VM(root="initramfs", memory="256M") as vm:
        print(vm.pid, vm.home, flush=True)
        vm.wait(lambda: False, None, "the end of the world")
'''


def write_program(path, text):
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def no_network(tmp_path):
    """An environment in which apt and every proxy lead nowhere.

    Whoever calls apt leaves a trace in the list this yields as well.
    """
    bin_dir, calls = tmp_path / "bin", tmp_path / "calls"
    bin_dir.mkdir()
    for name in ("apt-get", "apt-cache", "curl", "wget"):
        write_program(bin_dir / name, "#!/bin/sh\n"
                      f"echo {name} \"$@\" >>'{calls}'\n"
                      "echo 'E: no network' >&2\nexit 100\n")
    dead = "http://127.0.0.1:1"
    env = {**os.environ, "PATH": f"{bin_dir}:{os.environ['PATH']}",
           "http_proxy": dead, "https_proxy": dead, "ftp_proxy": dead}
    return env, calls


def test_a_cached_kernel_boots_without_network(no_network, run_vm):
    for name in fleets.KERNELS:
        kernel.get(name)                # what "after a first success" means
    env, calls = no_network
    done = run_vm("--", "uname", "-r", env=env)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().strip() == kernel.get().release
    for name in fleets.KERNELS:
        subprocess.run([sys.executable, "-c", "import sys\n"
                        "sys.path.insert(0, sys.argv[1])\n"
                        "from vadis import kernel\nkernel.get(sys.argv[2])",
                        TOP / "scripts", name], env=env, check=True)
    assert not calls.exists(), calls.read_text()


# -- a checkout of its own, in a path with spaces


@pytest.fixture
def checkout(tmp_path):
    """Scripts and guest program in another place, with its own build/."""
    top = tmp_path / "a check, out"
    top.mkdir()
    for name in ("scripts", "guest"):
        shutil.copytree(TOP / name, top / name,
                        ignore=shutil.ignore_patterns("__pycache__"))
    build = tmp_path / "build-dir"
    (build / "cache" / "debs").mkdir(parents=True)
    (top / "build").symlink_to(build)
    return top


def test_a_path_with_spaces_and_a_comma(checkout, tmp_path):
    """Checkout, disk image and share in directories with odd names."""
    (checkout / "build" / "cache" / "kernels").symlink_to(
        paths.cache("kernels"))
    share = tmp_path / "my, share"
    share.mkdir()
    disk = tmp_path / "my, disk.raw"
    disk.write_bytes(b"on the disk\n".ljust(1 << 20, b"\0"))
    done = subprocess.run(
        [checkout / "scripts" / "run-vm", "--disk", disk, "--rw", share,
         "--", "sh", "-c", f"head -c 11 /dev/vda >'{share}/a file'"],
        env={**os.environ, "VADIS_QEMU": str(paths.qemu())},
        capture_output=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert (share / "a file").read_bytes() == b"on the disk"


@pytest.fixture
def cached_deb(checkout):
    """A small package in the checkout's cache: (path, good bytes)."""
    debs = checkout / "build" / "cache" / "debs"
    package = checkout / "package"
    (package / "DEBIAN").mkdir(parents=True)
    (package / "DEBIAN" / "control").write_text(
        "Package: vadis-test\nVersion: 1\nArchitecture: all\n"
        "Maintainer: nobody <nobody@example.org>\nDescription: test\n")
    deb = debs / "vadis-test_1_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", package, deb],
                   check=True, stdout=subprocess.DEVNULL)
    digest = fleets.sha256(deb.read_bytes())
    (debs / "index").write_text(
        f"trixie vadis-test {deb.name} {digest}\n")
    # As after a refresh just now, so that no list is fetched.
    apt = checkout / "build" / "apt"
    apt.mkdir()
    (apt / "updated").touch()
    return deb, deb.read_bytes()


def fetch(checkout, env):
    return subprocess.run([checkout / "scripts" / "apt-private", "deb",
                           "trixie", "vadis-test"], env=env, text=True,
                          capture_output=True, timeout=DEADLINE, check=False)


def test_a_damaged_deb_is_fetched_again(checkout, cached_deb, tmp_path):
    deb, good = cached_deb
    # An archive with the good package in it, in place of apt's.
    bin_dir, spare = tmp_path / "bin", tmp_path / "spare.deb"
    spare.write_bytes(good)
    bin_dir.mkdir()
    write_program(bin_dir / "apt-get", "#!/bin/sh\n"
                  f"[ \"$3\" = vadis-test/trixie ] || exit 100\n"
                  f"cp '{spare}' {deb.name}\n")
    env = {**os.environ, "PATH": f"{bin_dir}:{os.environ['PATH']}"}
    damaged = bytearray(good)
    damaged[len(good) // 2] ^= 1
    deb.write_bytes(damaged)
    done = fetch(checkout, env)
    assert done.returncode == 0, done.stderr
    assert "damaged" in done.stderr and deb.name in done.stderr
    assert deb.read_bytes() == good
    assert pathlib.Path(done.stdout.strip()).read_bytes() == good
    assert fetch(checkout, env).stderr == ""


def test_a_damaged_deb_without_network_is_refused(checkout, cached_deb,
                                                  no_network):
    """It is never used as it is; the message says what to do."""
    deb, good = cached_deb
    deb.write_bytes(good[:-1])
    done = fetch(checkout, no_network[0])
    assert done.returncode != 0 and done.stdout == ""
    assert "damaged" in done.stderr and "network" in done.stderr, done.stderr


def test_a_damaged_kernel_is_noticed(tmp_path):
    """One flipped bit in the unpacked kernel, same size, newer time."""
    good = kernel.get("6.12")
    home = tmp_path / "6.12"
    home.mkdir()
    shutil.copy2(good.vmlinux, home / "vmlinux")
    shutil.copy2(good.vmlinux.parent / "record.json", home)
    (home / "lib").symlink_to(good.vmlinux.parent / "lib")
    assert kernel._load("6.12", home)
    with open(home / "vmlinux", "r+b") as file:
        file.seek(1 << 20)
        byte = file.read(1)[0]
        file.seek(1 << 20)
        file.write(bytes([byte ^ 1]))
    assert not kernel._load("6.12", home)


# -- the end of a runner is the end of its QEMU


def is_gone(pidfd):
    """Wait until the process behind a pidfd has ended."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(DEADLINE * 1000))


@pytest.fixture(params=["program", "pytest"])
def runner(request, tmp_path):
    """(process, pidfd of its QEMU, QEMU's private directory)."""
    if request.param == "program":
        argv = [sys.executable, "-c", WAITER, TOP / "scripts"]
    else:
        (tmp_path / "test_waits.py").write_text(GUEST_TEST)
        argv = [sys.executable, "-m", "pytest", "-s", "-q",
                "-p", "no:cacheprovider", tmp_path / "test_waits.py"]
    process = subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        start_new_session=True, env={**os.environ, "PYTHONPATH": str(TESTS)})
    pid, _, home = process.stdout.readline().decode().strip().partition(" ")
    pidfd = os.pidfd_open(int(pid))
    yield process, pidfd, pathlib.Path(home)
    process.kill()
    process.communicate()
    os.close(pidfd)
    shutil.rmtree(home, ignore_errors=True)


def test_ctrl_c_leaves_no_qemu_and_no_files(runner):
    process, pidfd, home = runner
    assert home.is_dir()
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=DEADLINE)
    assert process.returncode != 0
    assert is_gone(pidfd)
    assert not home.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL],
                         ids=["SIGTERM", "SIGKILL"])
def test_a_killed_runner_leaves_no_qemu(runner, number):
    process, pidfd, _ = runner
    process.send_signal(number)
    process.communicate(timeout=DEADLINE)
    assert is_gone(pidfd)


def test_accel_kvm_is_taken_or_refused_with_a_reason(monkeypatch):
    """ACCEL=kvm moves every guest test to KVM, or says why it cannot."""
    monkeypatch.setenv("ACCEL", "kvm")
    try:
        argv = Machine(Config()).argv("/nowhere")
    except Failure as err:
        assert not os.access("/dev/kvm", os.R_OK | os.W_OK)
        assert "/dev/kvm" in err.message
    else:
        assert "q35,accel=kvm" in argv
