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
    print(text)
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
        target, _, _, gaps, moved, *_ = map(int, line.split())
        assert gaps == 0, f"target {target} lost an event"
        assert moved <= 1, f"target {target}: {moved} interrupts went astray"


def test_all_cpus_at_once(machine, rounds):
    """What was sent is delivered, merged or refused; no event goes astray."""
    before = signalpair.stats(machine)
    began = counters(machine, "irq")
    count = rounds(18000, 180000)
    text = signalpair.tool(machine, "storm", count, timeout=7200)
    print(text)
    got = dict(zip(*[iter(text.split())] * 2))
    sent, delivered, merged, refused = (
        int(got[k]) for k in ("sent", "delivered", "merged", "refused"))
    assert sent >= rounds(10 ** 5, 10 ** 6)
    assert sent == delivered + merged + refused
    now = counters(machine, "irq")
    assert now["sent"] - began["sent"] == delivered + merged
    assert now["refused"] - began["refused"] == refused
    # Handlers run after the replies: an event behind them says they have.
    signalpair.tool(machine, "cross", 1)
    extra = CPUS * CPUS
    after = signalpair.stats(machine)
    handled = sum(t["signals"] for t in after) - sum(
        t["signals"] for t in before)
    assert handled == delivered + merged + extra
    for old, new in zip(before, after):
        assert new["gaps"] == old["gaps"], new
        assert new["stray"] == old["stray"], new


def test_nmi_to_one_cpu(machine):
    """Only where the target takes it, and only there."""
    def count():
        line = machine.run("grep NMI: /proc/interrupts", check=True).text
        return [int(word) for word in line.split()[1:1 + CPUS]]
    before = count()
    assert machine.hmp("virtio_signal_send sig0 nmi 2").strip() == "perm"
    signalpair.tool(machine, "accept", 2, "irq", "peer", "nmi")
    assert machine.hmp("virtio_signal_send sig0 nmi 2").strip() == "ok"
    machine.wait(lambda: count()[2] > before[2], 60, "the NMI")
    after = count()
    assert [b - a for a, b in zip(before, after)] == [0, 0, 1, 0]
    signalpair.tool(machine, "accept", 2, "irq", "doorbell", "peer")


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


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "split"])
def test_polling_avoids_notifications(packed, rounds):
    """Two CPUs that play ping-pong and poll are not interrupted."""
    wait = 4 * 10 ** 9
    with signalpair.guest(
            "poll", f"virtio-signal-pci,id=sig0,poll=on,poll-ns-max={wait}",
            smp=2, packed=packed) as vm:
        signalpair.load(vm)
        # Steady load: some events come before the two have begun to poll.
        count = rounds(2000, 20000)
        _, avoided, notified = signalpair.ping_pong(vm, count, wait)
        assert avoided + notified <= 2 * count
        assert avoided >= 0.99 * 2 * count
        # The limit goes to 0 while the driver runs: interrupts again.
        vm.qmp("qom-set", path="/machine/peripheral/sig0/virtio-backend",
               property="poll-ns-max", value=0)
        assert signalpair.ping_pong(vm, 20, wait)[1] == 0
        info, = vm.qmp("x-query-virtio-signal")
        assert info["polling"]["targets"] == 0


def test_cpus_that_come_later():
    """There is a target for each CPU that may come; events move to it."""
    with signalpair.guest("late", smp="3,maxcpus=4") as vm:
        online = "/sys/devices/system/cpu/cpu2/online"
        # Interrupts cannot be steered to a CPU that is off when it is asked.
        vm.run(f"echo 0 >{online}", check=True)
        signalpair.load(vm)

        def handled_on(target):
            listener = vm.popen([signalpair.TOOL, "listen", "1"])
            vm.wait(lambda: b"listening" in listener.stdout, 60, "vsignal")
            signalpair.tool(vm, "send", 0, target, "irq", 5)
            assert listener.wait() == 0
            return int(re.search(rf"target {target} cpu (\d+) ",
                                 listener.stdout.decode()).group(1))

        assert handled_on(2) in (0, 1)
        for _ in range(2):
            vm.run(f"echo 1 >{online}", check=True)
            assert handled_on(2) == 2
            vm.run(f"echo 0 >{online}", check=True)
            assert handled_on(2) in (0, 1)
        # Its NMI would find no handler before the CPU has started once.
        refused = vm.run([signalpair.TOOL, "accept", "3", "nmi"])
        assert refused.returncode == 2 and b"cannot set" in refused.stderr
