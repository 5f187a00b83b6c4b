# SPDX-License-Identifier: GPL-2.0-or-later
"""Instructions of a request and of doorbells, counted by callgrind.

Charged is what the devices' functions take, with all that they call,
interrupts included; neither the register access nor the main loop. What the
kernel does in system calls, of which doorbells are made, callgrind does not
see.
"""

import contextlib

from signalqemu import (ALL, BY_MASK, NODE_ALL, TARGETS, UNICAST, Machine,
                        Node)
from vadis.bench_callgrind import Callgrind, read_profile

TIMES = 8
SENDING = frozenset(("signal_handle_send",))
RINGING = frozenset(("ivshmem_io_write", "ivshmem_vector_notify"))


@contextlib.contextmanager
def counting(machine_of):
    """Yields (machine, count()): count(lines, functions) is how many
    instructions those functions take for the lines."""
    with Callgrind(None, None, lambda _, iothread, wrapper, env: machine_of(
            wrapper=wrapper, env=env)) as grind:
        def count(lines, functions):
            grind.qemu.do(lines[:len(lines) // TIMES])      # to warm up
            grind.dump()
            grind.qemu.do(lines[len(lines) // TIMES:])
            return read_profile(grind.dump(), functions)[0] / (TIMES - 1)
        yield grind.qemu, count


def count_targets(machine_of, counts):
    """{name: instructions} of one device: as signalcost.measure() names."""
    found = {}
    with counting(machine_of) as (machine, count):
        node = Node(machine, 0, TARGETS)
        for targets in counts:
            for name, quiet in ((f"of {targets}", False), ("quiet", True)):
                node.request(BY_MASK, mask=(1 << targets) - 1)
                node.refill(quiet)
                found[name] = count(node.sends(TIMES), SENDING)
                assert node.delivered() == targets
        found["doorbells"] = count(TIMES * machine.ivshmem.doorbells(0),
                                   RINGING)
    return found


def count_nodes(machine_of, start, counts):
    """The same of requests to one of N nodes, and to all."""
    found = {}
    with counting(machine_of) as (machine, count):
        for number, nodes in start(machine).items():
            for name, mode, to in (("node of", UNICAST, number),
                                   ("nodes", ALL, NODE_ALL)):
                for node in nodes:
                    node.refill()
                nodes[0].request(mode, node=to)
                found[f"{name} {number}"] = count(nodes[0].sends(TIMES),
                                                  SENDING)
    return found
