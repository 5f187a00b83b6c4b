# SPDX-License-Identifier: GPL-2.0-or-later
"""One side of a signal-link moves to another QEMU while it sends."""

import collections
import os
import re
import signal

import moving
import signalpair
from signalpair import tool

MOVER, STAYER = 0, 1
# Sends until told to stop; a line for each request, and their number.
TRAFFIC = f"""n=0
until [ -e /stop ]; do
    {signalpair.TOOL} send {STAYER} 0 irq 9 >>/said
    n=$((n + 1))
    [ $n = 5 ] && echo begun
done
echo $n"""


def mover(name, path, **settings):
    return signalpair.guest(
        name, signalpair.device(MOVER),
        # It does not give up the one that is stopped.
        args=signalpair.link(path, MOVER, STAYER, False, "ping-ms=0"),
        **settings)


def peer_states(listener):
    """What it heard of the other node but "up": (state, number of its QEMU),
    those that are repeated once."""
    heard = re.findall(r"^peer node 0 (\w+) .* payload 0x\w+ 0x(\w+) ",
                       listener.stdout.decode(), re.M)
    heard = [state for state in heard if state[0] != "up"]
    return [new for old, new in zip([None, *heard], heard) if new != old]


def test_sender_moves_with_a_request_on_its_way(home):
    """Every request is answered, what was answered OK has come, and the
    machine that stays meets the sender again, in another QEMU."""
    path = f"{home}/link"
    with signalpair.guest(
            "stayer", signalpair.device(STAYER),
            args=signalpair.link(path, STAYER, MOVER, True)) as stayer, \
            mover("source", path) as source, \
            mover("target", path, incoming="defer") as target:
        signalpair.load(stayer)
        listener = stayer.popen([signalpair.TOOL, "listen"])
        stayer.wait(lambda: b"listening" in listener.stdout, 60, "vsignal")
        signalpair.load(source)
        tool(source, "wait", STAYER, "ready")
        tool(stayer, "wait", MOVER, "ready")
        traffic = source.popen(["sh", "-c", TRAFFIC])
        source.wait(lambda: b"begun" in traffic.stdout, 60, "some traffic")

        # A request that is not answered before the move
        os.kill(stayer.pid, signal.SIGSTOP)
        try:
            source.wait(
                lambda: signalpair.peer_of(source)["outstanding"] == 1 or None,
                60, "the request")
            moving.live(source, target, home)
        finally:
            os.kill(stayer.pid, signal.SIGCONT)
        target.adopt_agent(source)
        # Its end is the end of its connection: the target has its turn.
        source.close()
        tool(target, "wait", STAYER, "ready")
        assert tool(target, "send", STAYER, 0, "irq", 9) == \
            "ok delivered 1 coalesced 0 refused 0"
        target.run("touch /stop", check=True)
        assert traffic.wait() == 0

        said = target.run("cat /said", check=True).text.splitlines()
        assert len(said) == int(traffic.stdout.split()[-1])
        count = collections.Counter(line.split()[0] for line in said)
        assert set(count) <= {"ok", "again", "peer-down"}, count
        assert count["again"] == 1, count
        # What was done of the one without an answer is not known.
        came, done = signalpair.came(stayer, "irq"), count["ok"] + 1
        assert done <= came <= done + count["again"], (came, count)
        # All of it reached the guest, as did the news.
        told = signalpair.came(stayer, "peer")
        assert sum(t["signals"] for t in signalpair.stats(stayer)) == \
            came + told

        # It went and came back, in another QEMU.
        first, *_, last = stayer.wait(
            lambda: [n for _, n in peer_states(listener)]
            if [s for s, _ in peer_states(listener)] ==
            ["ready", "down", "ready"] else None, 60, "the news")
        assert first != last
        for vm in (stayer, target):
            bad = vm.run("dmesg | grep -E 'BUG|WARNING|Oops'").text
            assert not bad, bad
