# SPDX-License-Identifier: GPL-2.0-or-later
"""Row for the balloon's page usage hints, in a guest of its own.

A machine has one balloon, and this one is taken from the kernel by a program.
The guest's memory is a file on disk, because cold pages need a place to go
to, and not every host has swap.
"""

import os
import re

from . import guesttool
from .demo_row import PATIENCE, Row, expect, row, size
from .vm import VM

MEMORY = 512 << 20
SLOT = 0x10
HINTER = "/page-usage"


def usage_vm(ram, kernel, **settings):
    """A VM with the program page-usage and a balloon that takes hints.

    :param ram: file for the guest's memory
    """
    return VM(kernel=kernel, root="initramfs", memory=f"{MEMORY >> 20}M",
              devices=[f"virtio-balloon-pci,id=balloon,addr={SLOT:#x},"
                       "page-usage=on,usage-cold=pageout,x-usage-shared=on"],
              args=["-object", f"memory-backend-file,id=ram,size={MEMORY},"
                    f"share=on,mem-path={str(ram).replace(',', ',,')}",
                    "-machine", "memory-backend=ram"],
              modules=["uio_pci_generic"],
              files={HINTER: guesttool.build("page-usage")}, **settings)


class Hinter:
    """The program page-usage, running in ``vm``; see page-usage.c."""

    def __init__(self, vm, keep, free):
        self._vm = vm
        self._lines = 0
        self._program = vm.popen([HINTER, f"0000:00:{SLOT:02x}.0",
                                  str(keep >> 20), str(free >> 20)])
        self.features = int(self._answer("ready")[1], 16)

    def _answer(self, word):
        program, number = self._program, self._lines
        self._vm.wait(lambda: program.stdout.count(b"\n") > number or
                      program.done, PATIENCE, f"'{word}' of page-usage")
        lines = program.stdout.decode().splitlines()
        expect(len(lines) > number and lines[number].startswith(word),
               "page-usage in the guest: " +
               program.stderr.decode(errors="replace").strip())
        self._lines += 1
        return lines[number].split()

    def tell(self, word):
        """Give it a command; the words of its answer."""
        self._program.write(f"{word}\n".encode())
        return self._answer(word)

    def quit(self):
        self._program.write(b"quit\n")
        self._program.wait(PATIENCE)
        return self._program.returncode


def resident(pid):
    """Bytes of memory of all kinds a process occupies."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"^VmRSS:\s+(\d+) kB", status.read(),
                             re.M).group(1)) << 10


@row
class PageUsage(Row):
    """Cold pages go to the file, free ones go altogether."""
    name = "balloon-usage"
    own_machine = True
    keep = 64 << 20
    free = 96 << 20

    def plan(self, demo):
        self._ram = demo.artifact("usage-ram")

    def work(self, demo):
        try:
            with demo.machine(usage_vm(self._ram, demo.kernel,
                                       name="demo-usage")) as vm:
                return self._hint(demo, vm)
        finally:
            self._ram.unlink(missing_ok=True)

    def _hint(self, demo, vm):
        hinter = Hinter(vm, self.keep, self.free)
        demo.saw_features(self, hinter.features, 5)
        seen = [resident(vm.pid)]
        # What was never written to the file cannot leave memory.
        with open(self._ram, "rb") as ram:
            os.fsync(ram.fileno())
        hinter.tell("cold")
        seen.append(resident(vm.pid))
        runs = int(hinter.tell("free")[1])
        seen.append(resident(vm.pid))
        hinter.tell("check")
        stats = vm.qmp("qom-get", path="/machine/peripheral/balloon",
                       property="page-usage-stats")
        said = f"resident sizes {[s >> 20 for s in seen]} MiB, {stats}"
        # QEMU itself takes and gives a little meanwhile.
        expect(seen[0] - seen[1] > self.keep * 9 // 10 and
               seen[1] - seen[2] > self.free * 9 // 10, said)
        expect(stats["free"]["acted"] == self.free and
               stats["cold"]["acted"] == self.keep and
               stats["free"]["calls"] <= runs, said)
        expect(hinter.quit() == 0, "page-usage did not end well")
        expect(vm.poweroff() == 0, f"QEMU: {vm.qemu_errors()}")
        return (f"hinted {size(self.keep)} cold, {size(self.free)} free in "
                f"{runs} runs, {stats['free']['calls']} discards: resident "
                f"{seen[0] >> 20}, {seen[1] >> 20}, {seen[2] >> 20} MiB; cold "
                "content intact")
