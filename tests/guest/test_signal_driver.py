# SPDX-License-Identifier: GPL-2.0-or-later
"""The Linux driver of virtio-signal: its files, its functions, its life."""

import re
import time

import pytest

import signalpair
from vadis import guestmodule, guesttool
from vmtest import VM

CPUS = 2
CHECK, SELFTEST = "/vsignal-check", "/virtio_signal_selftest.ko"
WHERE = "/sys/bus/virtio/drivers/virtio_signal"
LIMIT = 4 * 10 ** 9


def machine_with(device="virtio-signal-pci,id=sig0", **settings):
    settings = {"smp": CPUS, "memory": "256M", **settings}
    return VM(name="signal-driver", devices=[device], root="initramfs",
              files={**signalpair.files(),
                     CHECK[1:]: guesttool.build("vsignal-check"),
                     SELFTEST[1:]: guestmodule.build(
                         "virtio_signal_selftest")}, **settings)


def healthy(vm):
    bad = vm.run("dmesg | grep -E 'BUG|WARNING|Oops|hung|lockdep'").text
    assert not bad, bad


@pytest.fixture(scope="module")
def machine():
    with machine_with() as vm:
        signalpair.load(vm)
        yield vm
        healthy(vm)


@pytest.fixture(scope="module")
def poller():
    """A machine whose CPUs may poll."""
    with machine_with("virtio-signal-pci,id=sig0,poll=on,"
                      f"poll-ns-max={LIMIT}") as vm:
        signalpair.load(vm)
        yield vm
        healthy(vm)


def start(vm, argv, said):
    """A command that has said so."""
    command = vm.popen(argv)
    vm.wait(lambda: said in command.stdout or command.done, 60, str(argv))
    assert said in command.stdout, command.stderr
    return command


def finish(command):
    """Let it go on, and be content."""
    command.write(b"\n")
    assert command.wait() == 0, command.stderr


def unbind(vm):
    """Take the driver from the device; a function that gives it back."""
    name = vm.run(f"basename {WHERE}/virtio*", check=True).text
    vm.run(f"echo {name} >{WHERE}/unbind", check=True)
    return lambda: vm.run(f"echo {name} >{WHERE}/bind", check=True)


def polling(vm):
    info, = vm.qmp("x-query-virtio-signal")
    return info["polling"]


def wait_polling(vm, targets):
    """Wait until the device was told that so many poll, which has no event."""
    end = time.monotonic() + 120
    while polling(vm)["targets"] != targets:
        assert time.monotonic() < end, polling(vm)


def until(vm, script):
    """Wait in the guest until a command of its shell succeeds."""
    vm.run(f"until {script}; do :; done", check=True, timeout=120)


@pytest.mark.parametrize("what", ["write", "filter", "nonblock", "readers",
                                  "fault"])
def test_file(machine, what):
    machine.run([CHECK, what], check=True)


def test_open_file_of_a_device_that_went(poller):
    """Its driver is unbound: every call fails, and nothing worse."""
    command = start(poller, [CHECK, "unbound"], b"open")
    bind = unbind(poller)
    finish(command)
    bind()
    signalpair.tool(poller, "cross", 1)
    healthy(poller)


def test_open_file_of_a_device_that_is_unplugged():
    with machine_with("pcie-root-port,id=port0,chassis=24,addr=0x18") as vm:
        vm.qmp("device_add", driver="virtio-signal-pci", id="sig0",
               bus="port0")
        signalpair.load(vm)
        until(vm, "test -e /dev/vsignal0")
        command = start(vm, [CHECK, "unbound"], b"open")
        begun = vm.events_seen()
        vm.qmp("device_del", id="sig0")
        vm.wait_event("DEVICE_DELETED", 60,
                      lambda data: data.get("device") == "sig0", begun)
        finish(command)
        healthy(vm)


def test_functions_for_other_modules(machine):
    """The module tests them by itself when it is loaded."""
    machine.run(["insmod", SELFTEST], check=True)
    assert "selftest: passed" in machine.run("dmesg").text
    # Its use holds the driver's module.
    assert machine.run(["rmmod", "virtio_signal"]).returncode
    bind = unbind(machine)
    assert "selftest: the device is gone" in machine.run("dmesg").text
    machine.run(["rmmod", "virtio_signal_selftest"], check=True)
    bind()
    signalpair.tool(machine, "cross", 1)


def test_driver_comes_and_goes_under_traffic(machine, rounds):
    """The host signals all the time."""
    script = (f"for i in $(seq {rounds(3, 50)}); do rmmod virtio_signal && "
              f"insmod {signalpair.MODULE} || exit 1; done")
    command = machine.popen(["sh", "-c", script])
    answers = set()
    while not command.done:
        answers.add(machine.hmp("virtio_signal_send sig0 irq 1").strip())
    assert command.wait() == 0, command.stderr
    assert answers <= {"ok", "busy", "no-target", "peer-down"}, answers
    assert "ok" in answers
    signalpair.tool(machine, "cross", 2)
    healthy(machine)


def test_suspend(poller):
    """What the driver told the device is told again."""
    signalpair.tool(poller, "accept", 1, "irq", "peer")
    listener = start(poller, [signalpair.TOOL, "listen", "1"], b"listening")
    # All but the machine's own sleep
    poller.run("echo 0 >/sys/module/suspend/parameters/pm_test_delay; "
               "echo devices >/sys/power/pm_test; echo mem >/sys/power/state",
               check=True, timeout=120)
    assert signalpair.tool(poller, "peers") == ""
    assert signalpair.tool(poller, "send", 0, 1, "irq", 9).startswith(
        "ok delivered 1 ")
    assert listener.wait() == 0
    assert b"irq signal 9 " in listener.stdout
    assert b"seq 0 " in listener.stdout
    assert signalpair.tool(poller, "send", 0, 1, "doorbell",
                           check=False).startswith("perm ")
    signalpair.tool(poller, "accept", 1, "irq", "doorbell", "peer")
    signalpair.tool(poller, "cross", 2)
    text = poller.run("cat /sys/kernel/debug/vsignal0/stats", check=True).text
    for line in text.splitlines()[1:]:
        assert line.split()[3] == "0", f"gaps: {text}"
    healthy(poller)


def got_one(vm, command):
    """Give a poller what it waits for."""
    assert vm.hmp("virtio_signal_send sig0 irq 0").strip() == "ok"
    vm.wait(lambda: b"got one" in command.stdout, 60, "the poller")


def test_reader_that_does_not_poll(poller):
    """One that polled left notifications off, for whoever comes next; they are
    on as soon as another one sleeps."""
    command = poller.popen([CHECK, "poller", LIMIT])
    wait_polling(poller, 1)
    got_one(poller, command)
    listener = start(poller, [signalpair.TOOL, "listen", "1"], b"listening")
    until(poller, "grep -q vs_ /proc/$(pidof vsignal)/wchan")
    before = polling(poller)
    assert poller.hmp("virtio_signal_send sig0 irq 0").strip() == "ok"
    assert listener.wait() == 0
    after = polling(poller)
    assert after["avoided"] == before["avoided"]
    assert after["notified"] == before["notified"] + 1
    finish(command)


def test_announcements(poller):
    """The device knows of those who poll, when its limit has gone up and down
    and when they have gone."""
    where = "/machine/peripheral/sig0/virtio-backend"
    wait_polling(poller, 0)
    sleeps = start(poller, [CHECK, "select", LIMIT], b"done")
    assert polling(poller)["targets"] == 0, "poll(2) is no reason to poll"
    finish(sleeps)
    # Its file stays open, and so somebody is left who may poll.
    first = poller.popen([CHECK, "poller", LIMIT // 4])
    wait_polling(poller, 1)
    got_one(poller, first)
    for limit in 0, LIMIT // 2:
        poller.qmp("qom-set", path=where, property="poll-ns-max", value=limit)
    assert polling(poller)["targets"] == 0
    until(poller, f"{signalpair.TOOL} info | "
                  f"grep -q 'poll-ns-max {LIMIT // 2} '")
    second = poller.popen([CHECK, "poller", LIMIT // 4])
    wait_polling(poller, 1)
    got_one(poller, second)
    finish(first)
    assert polling(poller)["targets"] == 1
    finish(second)
    wait_polling(poller, 0)


@pytest.fixture(scope="module")
def holes():
    """A machine that lacks a CPU."""
    with machine_with(smp="3,maxcpus=4") as vm:
        signalpair.load(vm)
        yield vm
        healthy(vm)


def test_cpu_that_comes_back_has_its_interrupt(holes):
    """It moves away when the CPU goes, and is steered there again."""
    online = "/sys/devices/system/cpu/cpu2/online"

    def moved():
        text = holes.run("cat /sys/kernel/debug/vsignal0/stats",
                         check=True).text
        return int(text.splitlines()[3].split()[4])

    for _ in range(2):
        holes.run(f"echo 0 >{online}; echo 1 >{online}", check=True)
        # The first one may be on its way to another CPU.
        signalpair.tool(holes, "cross", 1)
        before = moved()
        signalpair.tool(holes, "cross", 10)
        assert moved() == before


def test_cpu_that_is_not_there(holes):
    """There is a target for it, but nobody to signal."""
    assert "sent 18 received 18 " in signalpair.tool(holes, "cross", 2)
    got = dict(zip(*[iter(signalpair.tool(holes, "storm", 20).split())] * 2))
    # Every third request is a broadcast to the three others.
    assert int(got["sent"]) == 3 * (7 * 3 + 13)


@pytest.mark.parametrize("words,status,said", [
    ("", 2, "usage: vsignal .*COMMAND"),
    ("frob", 2, "usage: vsignal"),
    ("send 0 0", 2, "usage: vsignal .* send NODE TARGET CLASS"),
    ("send 0 0 frob", 2, "'frob' is no class; they are irq doorbell nmi"),
    ("send 0 frob irq", 2, "'frob' is no target; they are"),
    (f"send 0 mask:{'f' * 257} irq", 2, "more than the 1024 bits"),
    ("send 0 mask:0x1 irq", 2, "is not a mask"),
    ("send 0 mask:00000000000000000000000000000001 irq", 0, ""),
    ("send 0 mask:10000000000000001 irq", 1, ""),
    ("send 0 node kill", 1, "not allowed"),
    ("send 5 0 irq", 1, "vsignal peers"),
    ("accept 0 64", 2, "there is no class 64"),
    ("accept 0 boot", 2, "no such target, or not one of the classes"),
    ("accept 77 irq", 2, "no such target"),
    ("wait 1 foo", 2, "'foo' is no state; they are down up ready"),
    ("wait 1 ready", 2, "there is no node 1; 'vsignal peers'"),
    ("wait 0 ready", 2, "node 0 is this machine"),
    ("ping 0 99", 1, "no such CPU"),
    ("ping 0 0 0", 0, ""),
    ("-c 7 info", 2, "cannot run on CPU 7: it is not there"),
    ("-p 1000 info", 2, "poll=on"),
    ("-d /dev/vsignal7 info", 2, "with -d, as /dev/vsignal0"),
])
def test_exit_status_and_advice(machine, words, status, said):
    got = machine.run([signalpair.TOOL, *words.split()])
    assert got.returncode == status, got.stderr
    assert re.search(said, got.stderr.decode())


def test_no_driver(machine):
    bind = unbind(machine)
    got = machine.run([signalpair.TOOL, "info"])
    bind()
    assert got.returncode == 2
    assert b"load virtio_signal.ko" in got.stderr
