# SPDX-License-Identifier: GPL-2.0-or-later
"""The Linux driver of virtio-signal on the kernels it is written for."""

import pytest

import signalpair
from vadis import guestmodule, guesttool, kernel
from vmtest import VM

CPUS = 4


def machine(name, *modules, smp=CPUS, append=""):
    """A guest with the kernel and the modules built for it."""
    guest = kernel.get(name)
    files = {f"{module}.ko": guestmodule.build(module, guest)
             for module in ("virtio_signal", *modules)}
    return VM(name=f"signal-{name}", kernel=name, root="initramfs",
              memory="256M", smp=smp, append=append,
              devices=["virtio-signal-pci,id=sig0"],
              files={**files, "vsignal": guesttool.build("vsignal")})


# In 7.3 the agent's own channel does not come back from a suspend.
@pytest.mark.parametrize("name,suspends", [("6.1", True), ("7.x", False)])
def test_every_cpu_signals_every_other(name, suspends, rounds):
    """And the functions for other modules, and a suspend."""
    # While it boots 7.3 patches its code on several CPUs at once, which TCG does
    # not always bear ("Oops: int3"): the others start when it has booted.
    with machine(name, "virtio_signal_selftest", append="maxcpus=1") as vm:
        for cpu in range(1, CPUS):
            vm.run(f"echo 1 >/sys/devices/system/cpu/cpu{cpu}/online",
                   check=True)
        signalpair.load(vm)
        count = rounds(20, 2000)
        assert f"received {count * CPUS * CPUS} " in signalpair.tool(
            vm, "cross", count, timeout=3600)
        vm.run(["insmod", "/virtio_signal_selftest.ko"], check=True)
        assert "selftest: passed" in vm.run("dmesg").text
        if suspends:
            vm.run("echo 0 >/sys/module/suspend/parameters/pm_test_delay; "
                   "echo devices >/sys/power/pm_test; "
                   "echo mem >/sys/power/state", check=True, timeout=120)
            signalpair.tool(vm, "cross", 2)
        bad = vm.run("dmesg | grep -E 'BUG|WARNING|Oops'").text
        assert not bad, bad


def test_cpu_is_plugged():
    """The target was there before its CPU, and is its own from then on.

    Later kernels take no CPU where they do not know the hypervisor, as TCG.
    """
    with machine("6.1", smp=f"{CPUS - 1},maxcpus={CPUS}") as vm:
        signalpair.load(vm)
        new = CPUS - 1
        online = f"/sys/devices/system/cpu/cpu{new}/online"
        assert vm.hmp(f"virtio_signal_send sig0 nmi {new}").strip() == "perm"
        free, = (cpu for cpu in vm.qmp("query-hotpluggable-cpus")
                 if "qom-path" not in cpu)
        vm.qmp("device_add", driver=free["type"], id="new", **{
            name.replace("-", "_"): value
            for name, value in free["props"].items()})
        vm.wait(lambda: vm.run(f"[ -e {online} ]").returncode == 0 or None,
                60, "the CPU")
        vm.run(f"echo 1 >{online}", check=True)
        signalpair.tool(vm, "cross", 5)
        signalpair.tool(vm, "accept", new, "irq", "doorbell", "nmi")
        assert vm.hmp(f"virtio_signal_send sig0 nmi {new}").strip() == "ok"
        vm.wait(lambda: int(vm.run("grep NMI: /proc/interrupts").text.split()
                            [1 + new]) or None, 60, "the NMI")
