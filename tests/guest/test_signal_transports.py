# SPDX-License-Identifier: GPL-2.0-or-later
"""virtio-signal with fewer interrupts than CPUs: the driver moves signals.

virtio-mmio has one interrupt; so has a PCI device without MSI-X, and one with
two vectors has one for all its queues.
"""

import signalpair

CPUS = 4
# Without the parameter the kernel measures the TSC by the PIT, all that this
# machine has, and hangs where a busy host makes that fail.
MMIO = {"machine": "microvm,pcie=on,acpi=on", "modules": ["virtio_mmio"],
        "append": "tsc_early_khz=2000000",
        "args": ["-global", "virtio-mmio.force-legacy=false"]}
KINDS = {
    "mmio-packed": ("virtio-signal-device,id=sig0,packed=on", MMIO),
    "mmio-split": ("virtio-signal-device,id=sig0", MMIO),
    "one-vector": ("virtio-signal-pci,id=sig0,vectors=2", {}),
    "line": ("virtio-signal-pci,id=sig0,vectors=0", {}),
}


def pytest_generate_tests(metafunc):
    """What the qtests do on both kinds of rings is done on one here."""
    soak = metafunc.config.getoption("--soak")
    metafunc.parametrize("kind", [kind for kind in KINDS
                                  if soak or kind != "mmio-split"])


def interrupt_lines(vm):
    """The lines of /proc/interrupts for the device, without MSI-X of others:
    counts for each CPU."""
    name = vm.run("basename /sys/bus/virtio/drivers/virtio_signal/virtio*",
                  check=True).text
    text = vm.run(f"grep -w {name} /proc/interrupts | grep -v config",
                  check=True).text
    return [[int(word) for word in line.split()[1:1 + CPUS]]
            for line in text.splitlines()]


def test_handlers_run_on_the_cpu_that_was_signalled(kind, rounds):
    """One interrupt brings all events; each is handled where it belongs."""
    device, settings = KINDS[kind]
    with signalpair.guest(kind, device, smp=CPUS, **settings) as vm:
        signalpair.load(vm)
        before, = interrupt_lines(vm)
        count = rounds(10, 1000)
        text = signalpair.tool(vm, "cross", count, timeout=1800)
        got = dict(zip(*[iter(text.split())] * 2))
        assert int(got["received"]) == count * CPUS * CPUS, text
        assert got["wrong-cpu"] == got["refused"] == "0", text
        after, = interrupt_lines(vm)
        assert sum(after) > sum(before)
        for cpu, target in enumerate(signalpair.stats(vm)):
            assert target["signals"] >= count * CPUS
            assert target["gaps"] == target["stray"] == 0, target
            # It came elsewhere: where no interrupt was taken, all did.
            if after[cpu] == 0:
                assert target["moved"] > 0, target
        assert any(n == 0 for n in after), "an interrupt for each CPU"
