# SPDX-License-Identifier: GPL-2.0-or-later
"""Two machines on a signal-link: boot, ping, permissions, a peer that dies."""

import contextlib
import os

import pytest

import signalpair
from signalpair import tool

A, B = 0, 1


@pytest.fixture
def socket_path(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("s") / "l")
    assert len(path) < 100
    return path


def machines(path, sends="", accepts="", held=False, args=(), ours=""):
    """A, which may send, is started; B, which may accept, is not."""
    a = signalpair.guest("a", signalpair.device(A, sends),
                         args=signalpair.link(path, A, B, True, ours))
    b = signalpair.guest("b", signalpair.device(B), args=[
        *signalpair.link(path, B, A, False, accepts), *args,
        *(["-S"] if held else [])])
    return a, b


@contextlib.contextmanager
def running(path, **settings):
    a, b = machines(path, **settings)
    with a, b:
        for vm in (a, b):
            signalpair.load(vm)
        for vm, peer in ((a, B), (b, A)):
            tool(vm, "wait", peer, "ready")
        yield a, b


def echo(vm, count):
    """Start to answer pings."""
    command = vm.popen([signalpair.TOOL, "echo", str(count)])
    vm.wait(lambda: b"listening" in command.stdout, 60, "vsignal echo")
    return command


def test_boot_of_a_held_peer_and_pings(socket_path, rounds):
    """B stands at -S until A's BOOT; then they ping each other."""
    a, b = machines(socket_path, "send-boot=on", "accept-boot=on", held=True)
    with contextlib.ExitStack() as stack:
        stack.enter_context(a)
        signalpair.load(a)
        stack.callback(b.close)
        b.start()
        tool(a, "wait", B, "up")
        assert b.qmp("query-status")["status"] == "prelaunch"
        assert tool(a, "send", B, 0, "irq", check=False).startswith(
            "peer-down ")
        assert tool(a, "send", B, "node", "boot") == \
            "ok delivered 1 coalesced 0 refused 0"
        assert tool(a, "send", B, "node", "boot", check=False).startswith(
            "state ")
        b.wait_boot()
        signalpair.load(b)
        tool(a, "wait", B, "ready")
        tool(b, "wait", A, "ready")
        count = rounds(20, 2000)
        for one, other, node in ((a, b, B), (b, a, A)):
            answers = echo(other, count)
            text = tool(one, "ping", node, 0, count)
            assert f"{count} pings answered" in text
            assert answers.wait() == 0
        for vm in (a, b):
            assert vm.poweroff() == 0


@pytest.mark.parametrize("name", ["boot", "reset", "stop", "kill"])
def test_nothing_is_allowed_unless_asked_for(socket_path, name):
    """The sender may, the receiver did not say so; and the other way."""
    with running(socket_path, sends=f"send-{name}=on",
                 accepts="accept-boot=off") as (a, b):
        said = tool(a, "send", B, "node", name, check=False)
        assert said.startswith("perm "), said
        said = tool(b, "send", A, "node", name, check=False)
        assert said.startswith("perm "), said
        assert b.qmp("query-status")["status"] == "running"


def test_reset_pause_boot_and_stop(socket_path):
    """What B allows A to do to it."""
    with running(socket_path,
                 sends="send-reset=on,send-kill=on,send-boot=on,send-stop=on",
                 accepts="accept-reset=on,accept-kill=on,accept-boot=on,"
                 "accept-stop=on,kill-action=pause") as (a, b):
        listener = b.popen([signalpair.TOOL, "listen", "1"])
        b.wait(lambda: b"listening" in listener.stdout, 60, "vsignal listen")
        start = b.events_seen()
        assert tool(a, "send", B, "node", "kill").startswith("ok ")
        b.wait_event("STOP", 60, start=start)
        # Signals to a paused machine wait for it.
        assert tool(a, "send", B, 0, "irq", 9).startswith("ok ")
        assert tool(a, "send", B, "node", "boot").startswith("ok ")
        b.wait_event("RESUME", 60, start=start)
        assert listener.wait() == 0
        assert b"irq signal 9 from 0." in listener.stdout, listener.stdout
        assert tool(a, "send", B, "node", "stop").startswith("ok ")
        b.wait_event("POWERDOWN", 60, start=start)
        # -no-reboot: QEMU ends where it would start again.
        assert tool(a, "send", B, "node", "reset").startswith("ok ")
        assert b.wait_exit() == 0
        tool(a, "wait", B, "down")


def test_kill_ends_the_peer(socket_path):
    with running(socket_path, sends="send-kill=on",
                 accepts="accept-kill=on") as (a, b):
        assert tool(a, "send", B, "node", "kill").startswith("ok ")
        assert b.wait_exit() == 0
        tool(a, "wait", B, "down")
        assert tool(a, "send", B, 0, "irq", check=False).startswith(
            "peer-down ")


def test_peer_killed_with_a_request_pending(socket_path):
    """The request ends, the peer goes down, the next peer is met."""
    # A does not give B up by itself, however long the sender takes to start.
    a, b = machines(socket_path, ours="ping-ms=0")
    with a:
        signalpair.load(a)
        with b:
            signalpair.load(b)
            tool(a, "wait", B, "ready")
            # A peer that does not answer: stopped by the host, not by us.
            os.kill(b.pid, 19)
            sender = a.popen([signalpair.TOOL, "send", str(B), "0", "irq"])
            a.wait(lambda: signalpair.peer_of(a)["outstanding"] == 1 or None,
                   60, "the request")
            b.kill()
            assert sender.wait() == 1
            assert sender.stdout.startswith(b"again "), sender.stdout
            tool(a, "wait", B, "down")
        again = machines(socket_path)[1]
        with again:
            signalpair.load(again)
            tool(a, "wait", B, "ready")
            assert tool(a, "send", B, 0, "irq").startswith("ok ")
