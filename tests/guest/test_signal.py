# SPDX-License-Identifier: GPL-2.0-or-later
"""virtio-signal under Debian's kernel: signals come to the CPU they name."""

import re

import pytest

import signalpair

CPUS = 4


@pytest.fixture(scope="module", params=[True, False], ids=["packed", "split"])
def machine(request):
    with signalpair.guest("signal", smp=CPUS, packed=request.param) as vm:
        signalpair.load(vm)
        yield vm


def counters(vm, name):
    info, = vm.qmp("x-query-virtio-signal")
    return next(c for c in info["classes"] if c["name"] == name)


def test_every_cpu_signals_every_other(machine, rounds):
    """vsignal cross checks the handler's CPU of every event."""
    before = counters(machine, "irq") if machine.qmp(
        "x-query-virtio-signal")[0]["classes"] else {"sent": 0}
    count = rounds(100, 60000)
    text = signalpair.tool(machine, "cross", count, timeout=3600)
    got = dict(zip(*[iter(text.split())] * 2))
    assert int(got["sent"]) == count * CPUS * CPUS
    assert int(got["received"]) == int(got["sent"])
    assert got["refused"] == got["wrong-cpu"] == "0", text
    after = counters(machine, "irq")
    assert after["sent"] - before["sent"] == int(got["sent"])


def test_interrupts_come_by_their_own_vectors(machine):
    """Only the first one of a vector may be on its way to another CPU."""
    signalpair.tool(machine, "cross", 20)
    stats = machine.run("cat /sys/kernel/debug/vsignal0/stats", check=True)
    for line in stats.text.splitlines()[1:]:
        target, _, _, gaps, moved = map(int, line.split())
        assert gaps == 0, f"target {target} lost an event"
        assert moved <= 1, f"target {target}: {moved} interrupts went astray"


@pytest.mark.parametrize("words,answer", [
    ("0 2 irq 7", "ok delivered 1 "), ("0 all irq", f"ok delivered {CPUS} "),
    ("0 others irq", f"ok delivered {CPUS - 1} "),
    ("0 mask:5 doorbell 1 2 3", "ok delivered 2 "),
    ("0 mask:12 irq", "partial delivered 1 coalesced 0 refused 1"),
    ("0 node irq", "ok delivered 1 "), ("0 9 irq", "no-target "),
    ("7 0 irq", "no-peer "), ("0 node boot", "perm "),
    ("0 0 nmi", "perm "), ("0 0 peer", "inval ")])
def test_requests_are_answered(machine, words, answer):
    text = signalpair.tool(machine, "send", *words.split(), check=False)
    assert text.startswith(answer), text


def test_driver_goes_and_comes_back(machine, rounds):
    for _ in range(rounds(2, 20)):
        listener = machine.popen([signalpair.TOOL, "listen"])
        machine.wait(lambda: b"listening" in listener.stdout, 60, "vsignal")
        # The module cannot go while a file is open, the device can.
        name = machine.run("basename /sys/bus/virtio/drivers/virtio_signal/"
                           "virtio*", check=True).text
        where = "/sys/bus/virtio/drivers/virtio_signal"
        machine.run(f"echo {name} >{where}/unbind", check=True)
        assert listener.wait() == 2
        assert b"the device is gone" in listener.stderr
        machine.run(f"echo {name} >{where}/bind", check=True)
        signalpair.tool(machine, "cross", 2)
    bad = machine.run("dmesg | grep -E 'BUG|WARNING|Oops|lockdep'").text
    assert not bad, bad


def test_monitor_shows_the_device(machine):
    signalpair.tool(machine, "send", 0, 0, "irq")
    text = machine.hmp("info virtio-signal")
    assert re.search(rf"node 0, {CPUS} of {CPUS} targets started", text), text
    assert re.search(r"irq: sent \d+, refused", text), text


def test_two_devices_on_a_bus_and_unplug(rounds):
    """A second node of the same machine comes and goes."""
    with signalpair.guest(
            "plug", signalpair.device(0), smp=2,
            args=["-object", "signal-bus,id=bus0", "-device",
                  "pcie-root-port,id=port0,chassis=24,addr=0x18"]) as vm:
        signalpair.load(vm)
        for _ in range(rounds(2, 20)):
            vm.qmp("device_add", driver="virtio-signal-pci", id="second",
                   bus="port0", packed=True, node=1, signal_bus="bus0")
            signalpair.tool(vm, "wait", 1, "ready")
            listener = vm.popen([signalpair.TOOL, "-d", "/dev/vsignal1",
                                 "listen", "2"])
            vm.wait(lambda: b"listening" in listener.stdout, 60, "vsignal")
            assert signalpair.tool(vm, "send", 1, "all", "irq", 3) == \
                "ok delivered 2 coalesced 0 refused 0"
            assert signalpair.tool(vm, "send", "all", "others", "irq", 4) == \
                "ok delivered 3 coalesced 0 refused 0"
            assert signalpair.tool(vm, "send", 1, "node", "reset",
                                   check=False).startswith("perm ")
            assert listener.wait() == 0
            assert listener.stdout.count(b"irq signal 3 from 0.") == 2
            start = vm.events_seen()
            vm.qmp("device_del", id="second")
            vm.wait_event("DEVICE_DELETED", 60,
                          lambda data: data.get("device") == "second", start)
            assert signalpair.tool(vm, "peers") == ""
            assert signalpair.tool(vm, "send", 1, 0, "irq",
                                   check=False).startswith("no-peer ")
        bad = vm.run("dmesg | grep -E 'BUG|WARNING|Oops'").text
        assert not bad, bad
