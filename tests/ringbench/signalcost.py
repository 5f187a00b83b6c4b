#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What signals cost the host: virtio-signal against ivshmem and a socket.

usage: signalcost.py [--callgrind] [ROUNDS]       prints JSON

Counted is the CPU time of QEMU's main thread, which does all of the devices'
work here. Each figure is what is left when that of as many register accesses
which do nothing is taken off. The accesses are handed over many at a time,
those that do something and those that do nothing by turns.
"""

import argparse
import contextlib
import json
import os
import socket
import statistics
import struct
import time

import signalcount

from signalqemu import (ALL, BY_MASK, MASK, NODE_ALL, REMOTE, TARGETS, UNICAST,
                        Machine, Node)

# So many requests fit into the event queues at once
BATCH = 32
COUNTS = (1, 4, 16, 64)
MAGIC, HELLO, SIGNAL, STATUS, PING, HEADER = 0x4b4e4c53, 1, 2, 3, 5, 16


def interleaved(machine, actions, times):
    """Median CPU time of each action, ns: {name: lines()} by turns."""
    found = {name: [] for name in actions}
    for _ in range(times):
        for name, lines in actions.items():
            todo = lines()
            before = machine.cpu()
            machine.do(todo)
            found[name].append(machine.cpu() - before)
    return {name: statistics.median(took) for name, took in found.items()}


def sends(node, quiet=False, times=BATCH):
    """An action: requests, for which there are buffers."""
    def lines():
        node.refill(quiet)
        return node.sends(times)
    return lines


def calls_of(machine, lines):
    """How often QEMU calls read() or write() for them."""
    before = machine.calls()
    machine.do(lines)
    return machine.calls() - before


def check(machine, node):
    """A broadcast and a doorbell for each vector interrupt by all of them:
    {name: how often QEMU calls read() or write() meanwhile}."""
    ivshmem, calls = machine.ivshmem, {}
    node.request(BY_MASK, mask=(1 << TARGETS) - 1)
    machine.messages()
    calls["broadcast"] = calls_of(machine, node.sends(1))
    assert node.delivered() == TARGETS
    assert machine.messages() == [2 + n for n in range(TARGETS)]
    calls["doorbells"] = calls_of(machine, ivshmem.doorbells(0))
    assert machine.messages() == list(range(TARGETS))
    # Each is heard by itself, also when they ring again.
    assert calls_of(machine, 4 * ivshmem.doorbells(0)) >= 8 * TARGETS
    machine.messages()
    calls["eventfds"] = calls_of(machine, ivshmem.doorbells(1))
    assert not machine.messages() and ivshmem.rung(1) == [1] * TARGETS
    node.refill(quiet=True)
    machine.do(node.sends(1))
    assert node.delivered() == TARGETS and not machine.messages()
    return calls


def against_ivshmem(machine, node, turns, times):
    """A row of figures of broadcasts and doorbells, so many in a row."""
    ivshmem = machine.ivshmem
    node.request(BY_MASK, mask=(1 << TARGETS) - 1)
    got = interleaved(machine, {
        "nothing": list,
        "accesses": lambda: turns * ivshmem.accesses(),
        "delivered": lambda: turns * ivshmem.doorbells(0),
        "rung": lambda: turns * ivshmem.doorbells(1),
        "kicks": lambda: node.kicks(turns),
        "sends": sends(node, times=turns),
        "quiet": sends(node, quiet=True, times=turns)}, times)
    assert node.delivered() == TARGETS
    assert not any(ivshmem.rung(0))
    assert ivshmem.rung(1) == [turns * times] * TARGETS
    row = {f"{name} {turns}": (got[did] - got[idle]) / turns
           for name, did, idle in (("doorbells", "delivered", "accesses"),
                                   ("eventfds", "rung", "accesses"),
                                   ("broadcast", "sends", "kicks"),
                                   ("quiet", "quiet", "kicks"))}
    access = (got["accesses"] - got["nothing"]) / turns / TARGETS
    row[f"doorbells {turns}, all"] = (row[f"doorbells {turns}"] +
                                      TARGETS * access)
    row[f"broadcast {turns}, all"] = row[f"broadcast {turns}"] + access
    return row


def targets_round(machine, node, times):
    """A row of figures of requests to 1 to TARGETS targets."""
    row = {}
    for targets in COUNTS:
        node.request(BY_MASK, mask=(1 << targets) - 1)
        got = interleaved(machine, {"kicks": lambda: node.kicks(BATCH),
                                    "sends": sends(node)}, times)
        assert node.delivered() == targets
        row[f"of {targets}"] = (got["sends"] - got["kicks"]) / BATCH
    return row


def bus_args():
    """(device arguments, others) for a bus of 1 more node than each of
    COUNTS."""
    objects, nodes = [], []
    for count in COUNTS:
        objects += ["-object", f"signal-bus,id=bus{count}"]
        nodes += [f",targets=1,signal-bus=bus{count},node={i}"
                  for i in range(count + 1)]
    return nodes, objects


def bus_nodes(machine):
    """Start all nodes: {count: those of its bus}, of which the first sends"""
    buses, number = {}, 0
    for count in COUNTS:
        # The sender comes last: there is no news of the others for it. What
        # they hear of each other takes the buffers that they begin with.
        others = [Node(machine, number + i, 1, REMOTE)
                  for i in range(1, count + 1)]
        buses[count] = [Node(machine, number, 1, REMOTE), *others]
        number += count + 1
    return buses


def refilled(nodes):
    """An action: BATCH requests of the first, for which all have buffers."""
    def lines():
        for node in nodes:
            node.refill()
        return nodes[0].sends(BATCH)
    return lines


def nodes_round(machine, buses, times):
    """A row of figures of requests to the last of N nodes, and to all."""
    row = {}
    for name, mode in (("node of", UNICAST), ("nodes", ALL)):
        actions = {}
        for count, nodes in buses.items():
            nodes[0].request(mode, node=NODE_ALL if mode == ALL else count)
            actions[f"kicks {count}"] = lambda s=nodes[0]: s.kicks(BATCH)
            actions[f"{name} {count}"] = refilled(nodes)
        got = interleaved(machine, actions, times)
        # One of them comes after the longest of the others.
        idle = statistics.median(got[f"kicks {count}"] for count in buses)
        for count, nodes in buses.items():
            assert nodes[0].delivered() == (count + 1 if mode == ALL else 1)
            row[f"{name} {count}"] = (got[f"{name} {count}"] - idle) / BATCH
    return row


class Peer:
    """One end of a link, which QEMU has the other of."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.seq = 0

    def frame(self, kind, body):
        """Say something."""
        self.socket.sendall(struct.pack("<IHHII", MAGIC, 1, kind, len(body),
                                        self.seq) + body)
        self.seq += 1

    def get(self, size):
        """The body of the next frame, which has this size."""
        return self.socket.recv(HEADER + size, socket.MSG_WAITALL)[HEADER:]

    def hello(self, node, peer_node):
        """Introduce itself as `node`, that is ready and has a target."""
        self.frame(HELLO, struct.pack("<HHHHIIHHIQ", 1, 1, node, peer_node, 3,
                                      64, 1, 2, 0, 1))
        # Its HELLO, and what it has to say of its device
        for size in (32, 8):
            self.get(size)

    def ping(self):
        """A PING and its PONG"""
        self.frame(PING, bytes(8))
        assert self.get(8) == bytes(8)

    def signal(self):
        """A request and its STATUS: target 0 of node 0 is interrupted."""
        self.frame(SIGNAL, struct.pack("<2I8H2Q", 0, 0, 1, 0, 0, UNICAST, 0, 0,
                                       0, 0xffff, 0, 0))
        body = struct.unpack("<2I2H3I", self.get(24))
        assert body == (0, 0, 0, 0, 1, 0, 0), body

    def answer(self, requests):
        """Take so many requests, then say of each that it was delivered."""
        text = b""
        for seq in range(self.seq, self.seq + requests):
            body = struct.pack("<8s2H3I", self.get(40)[:8], 0, 0, 1, 0, 0)
            text += struct.pack("<IHHII", MAGIC, 1, STATUS, len(body),
                                seq) + body
        self.socket.sendall(text)
        self.seq += requests


@contextlib.contextmanager
def apart(*machines):
    """QEMUs' main threads stay on one CPU, and this process on another, if
    there is one: what they have in its caches stays there."""
    cpus = os.sched_getaffinity(0)
    for machine in machines:
        os.sched_setaffinity(machine.pid, {max(cpus)})
    os.sched_setaffinity(0, {min(cpus)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cpus)


@contextlib.contextmanager
def echo(cpu):
    """A round trip on a socket, to a process on `cpu` that only answers."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if not child:
        os.sched_setaffinity(0, {cpu})
        ours.close()
        while data := theirs.recv(24, socket.MSG_WAITALL):
            theirs.sendall(data)
        os._exit(0)
    theirs.close()

    def trip():
        ours.sendall(bytes(24))
        ours.recv(24, socket.MSG_WAITALL)
    yield trip
    ours.close()
    os.waitpid(child, 0)


def trips_round(node, actions, times):
    """Median time of each of the actions, by turns; ns."""
    found = {name: [] for name in actions}
    for i in range(times):
        if i % BATCH == 0:
            node.refill()
        for name, action in actions.items():
            began = time.monotonic_ns()
            action()
            found[name].append(time.monotonic_ns() - began)
    return {name: statistics.median(took) for name, took in found.items()}


def link_args(count):
    """A bus with links to so many nodes, from 1 on."""
    args = ["-object", "signal-bus,id=bus0"]
    for i in range(1, count + 1):
        args += ["-chardev", f"socket,id=chr{i},path={{home}}/link{i},"
                 "server=on,wait=off", "-object",
                 f"signal-link,id=link{i},signal-bus=bus0,chardev=chr{i},"
                 f"local-node=0,peer-node={i}"]
    return args


def link_peers(machine, count):
    """The other ends of those links."""
    peers = [Peer(f"{machine.home}/link{i}") for i in range(1, count + 1)]
    for i, peer in enumerate(peers, 1):
        peer.hello(i, 0)
    return peers


def links_round(linked, times):
    """A row of figures of requests to the last of N links; linked: {N:
    (machine, its node, the peers)}"""
    row = {}
    for count, (machine, node, peers) in linked.items():
        node.request(UNICAST, node=count)
        took = {"kicks": [], "sends": []}
        for _ in range(times):
            for name, lines in (("kicks", node.kicks(BATCH)),
                                ("sends", node.sends(BATCH))):
                before = machine.cpu()
                machine.do(lines)
                if name == "sends":
                    peers[-1].answer(BATCH)
                machine.do([])
                took[name].append(machine.cpu() - before)
            assert node.delivered() == 1
        row[f"link of {count}"] = (statistics.median(took["sends"]) -
                                   statistics.median(took["kicks"])) / BATCH
    return row


def one_device(**how):
    """A machine with a device of all targets, beside ivshmem."""
    return Machine([f",targets={TARGETS},signal-bus=bus0"], link_args(1), True,
                   **how)


def many_devices(**how):
    """A machine with the buses."""
    return Machine(*bus_args(), **how)


def measure(rounds, times=50):
    """{"rounds": a dictionary of ns for each, "calls": those of check()}

    All but trips are CPU time, register accesses taken off where it does not
    say "all".

    "doorbells T": 64 that the device rings at itself, with interrupts; T of
                   these in a row, as also of the next three
    "eventfds T": 64 rung at a peer that does not look
    "broadcast T", "quiet T": to 64 targets, with interrupts and without
    "of N": a request of N targets
    "node of N": a request to one of N nodes; "nodes N": one to all of N,
                 and to the sender's
    "link of N": a request to one of N links, and its answer
    "ping", "signal", "socket": time of a round trip, on a link and without
    """
    found = []
    with contextlib.ExitStack() as stack:
        one = stack.enter_context(one_device())
        many = stack.enter_context(many_devices())
        node = Node(one, 0, TARGETS, MASK | REMOTE)
        calls = check(one, node)
        buses = bus_nodes(many)
        peer, = link_peers(one, 1)
        linked = {}
        for count in COUNTS:
            machine = stack.enter_context(Machine(
                [",targets=1,signal-bus=bus0"], link_args(count)))
            sender = Node(machine, 0, 1, REMOTE)
            linked[count] = machine, sender, link_peers(machine, count)
        stack.enter_context(apart(one, many, *(m for m, *_ in
                                               linked.values())))
        trip = stack.enter_context(echo(max(os.sched_getaffinity(one.pid))))
        for _ in range(rounds):
            found.append({
                **against_ivshmem(one, node, 1, times),
                **against_ivshmem(one, node, 16, max(1, times // 4)),
                **targets_round(one, node, times),
                **nodes_round(many, buses, times // 2),
                **links_round(linked, times // 2),
                **trips_round(node, {"ping": peer.ping, "socket": trip,
                                     "signal": peer.signal}, times * 8)})
    return {"rounds": found, "calls": calls}


def main():
    """The command"""
    parser = argparse.ArgumentParser()
    parser.add_argument("rounds", type=int, nargs="?", default=15)
    parser.add_argument("--callgrind", action="store_true")
    args = parser.parse_args()
    found = measure(args.rounds)
    if args.callgrind:
        found["instructions"] = {
            **signalcount.count_targets(one_device, COUNTS),
            **signalcount.count_nodes(many_devices, bus_nodes, COUNTS)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
