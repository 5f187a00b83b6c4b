# SPDX-License-Identifier: GPL-2.0-or-later
"""Links over TCP and TLS, and of more than two machines.

No guest runs in these: a machine held at -S has its device and links, and its
monitor tells what they see.
"""

import contextlib
import json
import os
import selectors
import signal
import socket
import ssl
import struct
import subprocess
import tempfile

import pytest

from vadis import paths

DEADLINE = 60


class Held:
    """A QEMU without a guest, which is told by its monitor."""

    def __init__(self, node, *args):
        binary = paths.qemu()
        # pylint: disable-next=consider-using-with
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [str(binary), *paths.firmware_args(binary), "-nodefaults", "-S",
             "-display", "none", "-machine", "q35,accel=tcg", "-m", "32M",
             "-chardev", "stdio,id=monitor,signal=off",
             "-mon", "chardev=monitor,mode=control",
             "-object", "signal-bus,id=bus0", *args,
             "-device", f"virtio-signal-pci,signal-bus=bus0,node={node}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self.errors)
        self.events = []
        self.text = b""
        self.line()
        self.qmp("qmp_capabilities")

    def line(self):
        """The next message of the monitor."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in self.text:
                assert selector.select(DEADLINE), "the monitor is silent"
                data = self.process.stdout.read1()
                assert data, "QEMU ended"
                self.text += data
        line, self.text = self.text.split(b"\n", 1)
        return json.loads(line)

    def qmp(self, command, **arguments):
        """Run a command; its result."""
        message = {"execute": command, "arguments": arguments}
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()
        while True:
            reply = self.line()
            if "event" not in reply:
                assert "return" in reply, reply
                return reply["return"]
            self.events.append(reply)

    def wait_peer(self, node, state):
        """Until the monitor is told that the peer is in this state."""
        def there(event):
            return event["event"] == "VIRTIO_SIGNAL_PEER" and \
                (event["data"]["node"], event["data"]["state"]) == (node,
                                                                    state)
        while not any(map(there, self.events)):
            self.events.append(self.line())
        self.events = [e for e in self.events if not there(e)]

    def peers(self):
        """What the device sees: a dictionary by node."""
        info, = self.qmp("x-query-virtio-signal")
        return {peer["node"]: peer for peer in info["peers"]}

    def chardev(self):
        """The link's chardev."""
        return next(c for c in self.qmp("query-chardev")
                    if c["label"] == "link")

    def port(self):
        """The TCP port that the link's chardev listens on."""
        return int(self.chardev()["filename"].split(",")[0].split(":")[-1])

    def warnings(self):
        """What QEMU wrote to its standard error."""
        # QEMU writes at the position that they share: it must not move.
        return os.pread(self.errors.fileno(), 1 << 16, 0).decode()

    def close(self):
        if not self.errors.closed:
            self.process.kill()
            self.process.communicate()
            print(self.warnings())
            self.errors.close()


@pytest.fixture
def held():
    """Start machines; all end with the test."""
    with contextlib.ExitStack() as stack:
        def start(*args):
            machine = Held(*args)
            stack.callback(machine.close)
            return machine
        yield start


def link(node, peer, chardev, *objects, name="link"):
    """Arguments for a link."""
    out = []
    for text in objects:
        out += ["-object", text]
    return [*out, "-chardev", f"socket,id={name},{chardev}", "-object",
            f"signal-link,id=link{peer},signal-bus=bus0,chardev={name},"
            f"local-node={node},peer-node={peer}"]


LISTEN = "host=127.0.0.1,port=0,server=on,wait=off"


def connect(machine, more=""):
    """Chardev options to reach a machine that listens."""
    return f"host=127.0.0.1,port={machine.port()},reconnect-ms=100{more}"


def test_tcp(held):
    a = held(0, *link(0, 1, LISTEN))
    b = held(1, *link(1, 0, connect(a)))
    a.wait_peer(1, "up")
    b.wait_peer(0, "up")
    for machine, peer in ((a, 1), (b, 0)):
        assert f"is taken for node {peer}; give the chardev tls-creds" in \
            machine.warnings()
    b.process.kill()
    a.wait_peer(1, "down")


def test_stopped_peer_is_given_up_and_comes_back(held):
    """It keeps its connection and answers nothing; then it goes on."""
    listen = link(0, 1, LISTEN)
    listen[-1] += ",ping-ms=500"
    a = held(0, *listen)
    b = held(1, *link(1, 0, connect(a)))
    a.wait_peer(1, "up")
    b.process.send_signal(signal.SIGSTOP)
    a.wait_peer(1, "down")
    assert a.peers()[1]["error"] == "no answer in 500 ms"
    b.process.send_signal(signal.SIGCONT)
    a.wait_peer(1, "up")
    assert a.peers()[1]["bad-frames"] == 0


def test_link_goes_while_it_connects(held):
    """The connection comes about when nobody wants it any more."""
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0),
                                                        backlog=0))
        address = full.getsockname()
        # These are taken as connected, and no other one is.
        first = [stack.enter_context(socket.socket()) for _ in range(4)]
        for sock in first:
            sock.setblocking(False)
            sock.connect_ex(address)
        a = held(0, *link(0, 1, f"host=127.0.0.1,port={address[1]},"
                          "reconnect-ms=100"))
        assert a.chardev()["filename"].startswith("disconnected")
        a.qmp("object-del", id="link1")
        # Of those that come now one is QEMU's: it closes what has no link.
        full.settimeout(DEADLINE)
        ours = {sock.getsockname() for sock in first}
        while True:
            taken, peer = full.accept()
            stack.enter_context(taken)
            if peer not in ours:
                break
        a.qmp("query-status")
        assert a.process.poll() is None


class Authority:
    """A certificate authority of a test's own, by openssl."""

    def __init__(self, home):
        self.home = home
        home.mkdir()
        self.openssl("req", "-x509", *self.key("ca"), "-out", "ca-cert.pem",
                     "-subj", "/CN=authority", "-days", "2",
                     "-addext", "keyUsage=critical,keyCertSign")

    @staticmethod
    def key(name):
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                "-nodes", "-keyout", f"{name}-key.pem"]

    def openssl(self, *words):
        tool = paths.tool("openssl", "openssl")
        subprocess.run([tool, *words], cwd=self.home, check=True,
                       stderr=subprocess.DEVNULL)

    def issue(self, role, name):
        """Make the pair that QEMU looks for as "server" or "client"."""
        (self.home / "extensions").write_text(
            "subjectAltName=IP:127.0.0.1\n"
            "keyUsage=critical,digitalSignature,keyEncipherment\n"
            f"extendedKeyUsage={role}Auth\n")
        self.openssl("req", "-new", *self.key(role), "-out", "request.pem",
                     "-subj", f"/CN={name}")
        self.openssl("x509", "-req", "-in", "request.pem", "-CA",
                     "ca-cert.pem", "-CAkey", "ca-key.pem", "-CAcreateserial",
                     "-days", "2", "-extfile", "extensions", "-out",
                     f"{role}-cert.pem")
        return self


def credentials(authority, endpoint):
    return (f"tls-creds-x509,id=tls0,dir={authority.home},"
            f"endpoint={endpoint},verify-peer=on")


TLS = ",tls-creds=tls0"


@pytest.fixture
def guarded(held, tmp_path):
    """A machine that takes node 1 with the certificate of "b" only."""
    authority = Authority(tmp_path / "ours").issue("server", "a")
    return authority, held(0, *link(
        0, 1, LISTEN + TLS + ",tls-authz=who",
        credentials(authority, "server"),
        "authz-simple,id=who,identity=CN=b"))


def test_tls(held, guarded):
    authority, a = guarded
    b = held(1, *link(1, 0, connect(a, TLS), credentials(
        authority.issue("client", "b"), "client")))
    a.wait_peer(1, "up")
    b.wait_peer(0, "up")
    assert a.peers()[1]["bad-frames"] == 0
    assert "tls-creds" not in a.warnings() + b.warnings()
    b.process.kill()
    a.wait_peer(1, "down")


def attempt(port, context=None, say=b""):
    """Connect, say something, and all that was heard to the end."""
    heard = b""
    try:
        with socket.create_connection(("127.0.0.1", port), DEADLINE) as plain:
            sock = context.wrap_socket(plain, server_hostname="127.0.0.1") \
                if context else plain
            sock.sendall(say)
            while data := sock.recv(4096):
                heard += data
    except (ssl.SSLError, ConnectionError):
        pass
    return heard


def hello(node, peer, oldest=1, newest=1):
    """A link's first frame, of a side that speaks these versions."""
    body = struct.pack("<HHHHIIHHIQ", oldest, newest, node, peer, 3, 4, 1, 1,
                       0, 1234)
    return struct.pack("<IHHII", 0x4b4e4c53, 1, 1, len(body), 0) + body


@pytest.mark.parametrize("how", ["other-authority", "other-name", "no-tls",
                                 "no-certificate", "forged-node"])
def test_tls_refuses(held, guarded, tmp_path, how):
    """Whoever it is hears nothing of the link; then the right one comes."""
    authority, a = guarded
    issuer = authority
    if how == "other-authority":
        issuer = Authority(tmp_path / "theirs")
    context = ssl.create_default_context(
        cafile=str(authority.home / "ca-cert.pem"))
    if how != "no-certificate":
        issuer.issue("client", "c" if how == "other-name" else "b")
        context.load_cert_chain(str(issuer.home / "client-cert.pem"),
                                str(issuer.home / "client-key.pem"))
    if how == "forged-node":
        # The certificate is good, but it claims to be another node.
        heard = attempt(a.port(), context, hello(2, 0))
        assert b"the peer is node 2 and looks for 0" in heard
        assert a.peers()[1]["bad-frames"] == 1
    else:
        heard = attempt(a.port(), None if how == "no-tls" else context,
                        hello(1, 0))
        assert struct.pack("<I", 0x4b4e4c53) not in heard
        assert a.peers()[1]["bad-frames"] == 0
    assert not any(e["event"] == "VIRTIO_SIGNAL_PEER" for e in a.events)
    assert a.peers()[1]["state"] == "down"
    b = held(1, *link(1, 0, connect(a, TLS), credentials(
        authority.issue("client", "b"), "client")))
    a.wait_peer(1, "up")
    b.wait_peer(0, "up")


def test_another_version(held):
    """A peer that only speaks later ones is told so; then others come, the
    last of which speaks both."""
    a = held(0, *link(0, 1, LISTEN))
    heard = attempt(a.port(), say=hello(1, 0, 2, 3))
    assert b"the peer speaks versions 2 to 3, we speak 1" in heard
    assert a.peers()[1]["state"] == "down"
    b = held(1, *link(1, 0, connect(a)))
    a.wait_peer(1, "up")
    b.wait_peer(0, "up")
    b.close()
    a.wait_peer(1, "down")
    with socket.create_connection(("127.0.0.1", a.port()),
                                  DEADLINE) as newer:
        newer.sendall(hello(1, 0, 1, 3))
        a.wait_peer(1, "up")


def test_two_that_claim_one_node(held):
    """The second waits, unheard, until the first has gone."""
    a = held(0, *link(0, 1, LISTEN))
    to_a = connect(a)
    first = held(1, *link(1, 0, to_a))
    a.wait_peer(1, "up")
    first.wait_peer(0, "up")
    second = held(1, *link(1, 0, to_a))
    assert second.peers()[0]["state"] == "down"
    assert a.peers()[1]["state"] == "up"
    first.close()
    second.wait_peer(0, "up")
    # "Down" in between is not told where both come within a second.
    a.wait_peer(1, "up")


def test_three_nodes(held, tmp_path):
    """Each has a link to each; when one goes the others keep theirs."""
    def mesh(node):
        args = []
        for peer in {0, 1, 2} - {node}:
            low, high = sorted((node, peer))
            mode = "server=on,wait=off" if node == low else "reconnect-ms=100"
            args += link(node, peer, f"path={tmp_path}/{low}{high},{mode}",
                         name=f"to{peer}")
        return args
    machines = [held(node, *mesh(node)) for node in range(3)]
    for node, machine in enumerate(machines):
        for peer in {0, 1, 2} - {node}:
            machine.wait_peer(peer, "up")
        assert sorted(machine.peers()) == sorted({0, 1, 2} - {node})
    machines[2].process.kill()
    for machine in machines[:2]:
        machine.wait_peer(2, "down")
    assert machines[0].peers()[1]["state"] == "up"
    again = held(2, *mesh(2))
    for machine in machines[:2]:
        machine.wait_peer(2, "up")
    assert [p["state"] for p in again.peers().values()] == ["up", "up"]
