# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest agent: commands, streams, statuses, several at once."""

import signal

import pytest
from vadis.errors import Failure
from vadis.vm import VM


@pytest.mark.parametrize("script, status", [
    ("exit 0", 0), ("exit 255", 255), ("kill -9 $$", 137),
    ("kill -15 $$", 143)])
def test_status(guest, script, status):
    assert guest.run(script).returncode == status


def test_unknown_program(guest):
    result = guest.run(["no-such-program"])
    assert result.returncode == 127
    assert b"No such file" in result.stderr


def test_not_executable(guest):
    assert guest.run(["/etc/passwd"]).returncode == 126


def test_input_larger_than_every_buffer(guest):
    data = bytes(range(256)) * (1 << 13)
    assert guest.run(["cat"], input=data).stdout == data


def test_input_nobody_reads_does_not_block(guest):
    assert guest.run("exit 3", input=b"x" * (1 << 20)).returncode == 3


def test_output_in_order_and_complete(guest):
    result = guest.run(["seq", "200000"])
    assert result.stdout == b"".join(b"%d\n" % i for i in range(1, 200001))


def test_daemon_does_not_hold_the_command(guest):
    result = guest.run("sleep 1000 & echo $!")
    assert result.returncode == 0
    assert guest.run(["kill", result.text]).returncode == 0


def test_many_commands_at_once(guest):
    commands = [guest.popen(["sh", "-c", f"read x; echo $x {i}"])
                for i in range(40)]
    for i, command in reversed(list(enumerate(commands))):
        command.write(b"line %d\n" % i)
    for i, command in enumerate(commands):
        assert command.wait() == 0
        assert command.stdout == b"line %d %d\n" % (i, i)


def test_signal_reaches_the_whole_group(guest):
    command = guest.popen(["sh", "-c", "echo up; sleep 1000; echo never"])
    guest.wait(lambda: command.stdout == b"up\n", 60, "the command")
    command.signal(signal.SIGTERM)
    assert command.wait() == 143
    assert command.stdout == b"up\n"


def test_terminal_has_a_size(guest):
    command = guest.popen(["sh", "-c", "read x; stty size"], pty=True)
    command.resize(33, 77)
    command.write(b"\n")
    assert command.wait() == 0
    assert b"33 77" in command.stdout


def test_deadline_names_the_command(guest):
    command = guest.popen(["sleep", "1000"])
    with pytest.raises(Failure, match="'sleep 1000' to end") as caught:
        command.wait(timeout=0.1)
    assert "rerun: scripts/run-vm" in str(caught.value)
    command.signal(signal.SIGKILL)
    assert command.wait() == 137


def test_nul_in_an_argument_is_refused(guest):
    with pytest.raises(Failure, match="NUL"):
        guest.run(["echo", "a\0b"])


def test_hot_plugged_device_gets_its_driver():
    with VM(devices=["pcie-root-port,id=port0,chassis=1"]) as vm:
        vm.qmp("device_add", driver="virtio-rng-pci", id="rng0", bus="port0",
               packed=True)
        event = vm.agent.wait_uevent(ACTION="bind", DRIVER="virtio_rng")
        features = vm.run(["cat", f"/sys{event['DEVPATH']}/features"]).text
        assert features[34] == "1"
        vm.qmp("device_del", id="rng0")
        vm.wait_event("DEVICE_DELETED",
                      match=lambda d: d.get("device") == "rng0")


def test_reboot_starts_over():
    with VM(reboot=True) as vm:
        vm.run("echo here >/run/before", check=True)
        vm.reboot()
        assert vm.run(["ls", "/run/before"]).returncode != 0
        assert vm.poweroff() == 0
