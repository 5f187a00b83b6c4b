# SPDX-License-Identifier: GPL-2.0-or-later
"""What make install leaves behind works from where it is.

The prefix is that of the build: another would compile it all again.
tests/tools/test_install.py has the prefix.
"""

import json
import pathlib
import subprocess

import pytest

from vmtest import DEADLINE, TOP
from vadis import kernel

# A bound for a hang; little is left to compile, but a busy machine is slow.
INSTALL_DEADLINE = 1800


@pytest.fixture(scope="module")
def qemu(tmp_path_factory):
    """The installed emulator, below a DESTDIR with a space."""
    stage = tmp_path_factory.mktemp("install") / "a stage"
    done = subprocess.run(
        ["make", "-s", "-C", TOP, "install", f"DESTDIR={stage}"], text=True,
        capture_output=True, stdin=subprocess.DEVNULL, check=False,
        timeout=INSTALL_DEADLINE)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    path = done.stdout.splitlines()[-1].partition(" installed ")[2]
    assert path.startswith(f"{stage}/")
    return pathlib.Path(path)


def talk(qemu, *args, commands):
    """Start it, send QMP commands, quit; the answers of the commands."""
    names = ["qmp_capabilities", *commands, "quit"]
    text = "".join(json.dumps(
        {"execute": name, "id": i, "arguments": commands.get(name, {})}) + "\n"
        for i, name in enumerate(names))
    done = subprocess.run(
        [qemu, "-nodefaults", "-no-user-config", "-display", "none",
         "-qmp", "stdio", *args], input=text, text=True, capture_output=True,
        timeout=DEADLINE, check=False)
    # A ROM that is not there is a warning, not an end.
    assert (done.returncode, done.stderr) == (0, "")
    answers = {}
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if "id" in message:
            answers[names[message["id"]]] = message["return"]
    return answers


def test_version_names_vadis_and_its_base(qemu):
    said = subprocess.run([qemu, "--version"], capture_output=True, text=True,
                          timeout=DEADLINE, check=True).stdout
    base = (TOP / "build/base/VERSION").read_text().strip()
    ours = (TOP / "VERSION").read_text().strip()
    assert f"version {base} (Vadis {ours} on QEMU {base})" in said


def test_starts_without_a_machine(qemu):
    answers = talk(qemu, "-machine", "none", commands={"query-status": {}})
    assert answers["query-status"]["status"] == "running"


def test_finds_firmware(qemu):
    """Debian's: of seabios, qemu-system-data and ipxe-qemu.

    VGA and virtio-net do not start without their ROMs.
    """
    answers = talk(
        qemu, "-M", "q35", "-accel", "qtest", "-device", "VGA",
        "-device", "virtio-net-pci", "-device", "virtio-echo-pci,packed=on",
        commands={"human-monitor-command": {"command-line": "info roms"}})
    roms = answers["human-monitor-command"]
    for name in "bios-256k.bin", "kvmvapic.bin":
        assert name in roms, roms


def test_tools_are_there(qemu):
    for name in "qemu-img", "qemu-io", "qemu-nbd", "qemu-storage-daemon":
        done = subprocess.run([qemu.parent / name, "--version"], text=True,
                              capture_output=True, timeout=DEADLINE,
                              check=False)
        assert done.returncode == 0 and "Vadis" in done.stdout, done.stderr


def test_boots_a_guest(qemu, run_vm):
    done = run_vm("--qemu", str(qemu), "--device", "virtio-echo-pci", "--",
                  "uname", "-r")
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().strip() == kernel.get("6.12").release
