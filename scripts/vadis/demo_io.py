# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows for virtio-net, -serial, -rng, -balloon and -crypto."""

import os
import re
import socket
import subprocess
import threading
import zlib

from . import demo_crypto
from .demo_row import (BUSYBOX, PATIENCE, Row, digest, expect, only, row,
                       size)
from .errors import Failure


@row
class Net(Row):
    """HTTP both ways through user mode networking."""
    name = "virtio-net"
    amount = 1 << 20

    def plan(self, demo):
        demo.args("-netdev", "user,id=net0")
        demo.device(self, "virtio-net-pci,netdev=net0,romfile=")

    def work(self, demo):
        data = os.urandom(self.amount)
        with serve(data) as port:
            got = demo.call(self.fetch, device=demo.sysfs(self), port=port)
        expect(got == digest(data), f"the guest fetched a file with sum "
               f"{got[:16]}, the host served {digest(data)[:16]}")
        wrote = demo.call(self.serve_file, amount=self.amount)
        found = digest(http_get(self.forward(demo), "/file"))
        expect(found == wrote, f"the host fetched a file with sum "
               f"{found[:16]}, the guest served {wrote[:16]}")
        return (f"HTTP: the guest fetched {size(self.amount)} and served "
                f"{size(self.amount)}, same sums")

    @staticmethod
    def forward(demo):
        """A host port that leads to the guest's port 80."""
        said = demo.vm.hmp("hostfwd_add net0 tcp:127.0.0.1:0-:80")
        expect(not said.strip(), f"hostfwd_add said: {said.strip()}")
        table = demo.vm.hmp("info usernet")
        found = re.search(r"TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)",
                          table)
        expect(found, f"no forwarded port in: {table}")
        return int(found.group(1))

    @staticmethod
    def fetch(device, port):
        name = os.path.basename(only(device + "/net/*"))
        for command in (f"ip link set {name} up",
                        f"ip addr add 10.0.2.15/24 dev {name}",
                        f"wget -q -O /run/vadis-demo-fetched "
                        f"http://10.0.2.2:{port}/"):
            subprocess.run([BUSYBOX, *command.split()], check=True)
        with open("/run/vadis-demo-fetched", "rb") as data:
            return digest(data.read())

    @staticmethod
    def serve_file(amount):
        data = os.urandom(amount)
        os.mkdir("/run/vadis-demo-www")
        with open("/run/vadis-demo-www/file", "wb") as out:
            out.write(data)
        # It goes to the background by itself, once it listens.
        subprocess.run([BUSYBOX, "httpd", "-p", "80", "-h",
                        "/run/vadis-demo-www"], check=True)
        return digest(data)


class serve:
    """Serve ``data`` by HTTP on a free local port, which ``with`` gives.

    The modules for HTTP are loaded late: the guest loads this file too.
    """

    def __init__(self, data):
        from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.05,),
                         daemon=True).start()
        return self.server.server_port

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def http_get(port, path):
    from http.client import HTTPConnection
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        expect(answer.status == 200, f"the guest's web server said "
               f"{answer.status} {answer.reason}")
        return answer.read()
    finally:
        connection.close()


@row
class Serial(Row):
    """Bytes both ways over a port."""
    name = "virtio-serial"
    amount = 256 << 10

    def plan(self, demo):
        self.socket = demo.path("port")
        demo.args("-chardev", "socket,id=port0,server=on,wait=off,path=" +
                  demo.escape(self.socket))
        demo.device(self, "virtio-serial-pci")
        demo.extra_device(f"virtserialport,bus={self.device_id}.0,"
                          "chardev=port0,name=vadis.demo")

    def work(self, demo):
        data = os.urandom(self.amount)
        with socket.socket(socket.AF_UNIX) as port:
            port.settimeout(PATIENCE)
            port.connect(self.socket)
            sender = threading.Thread(target=port.sendall, args=(data,),
                                      daemon=True)
            sender.start()
            got = demo.call(self.receive, device=demo.sysfs(self),
                            amount=len(data))
            sender.join()
            expect(got == digest(data), f"the guest got bytes with sum "
                   f"{got[:16]}, {digest(data)[:16]} was sent")
            answer = {}
            receiver = threading.Thread(target=self.collect, daemon=True,
                                        args=(port, answer))
            receiver.start()
            sent = demo.call(self.send, device=demo.sysfs(self),
                             amount=self.amount)
            receiver.join(PATIENCE)
        found = digest(answer.get("data", b""))
        expect(found == sent, f"the host got {len(answer.get('data', b''))} "
               f"bytes with sum {found[:16]}, the guest sent {sent[:16]}")
        return f"{size(self.amount)} each way, same sums"

    def collect(self, port, answer):
        data = bytearray()
        while len(data) < self.amount and (part := port.recv(1 << 16)):
            data += part
        answer["data"] = bytes(data)

    @staticmethod
    def receive(device, amount):
        data = bytearray()
        with open(port_path(device), "rb", buffering=0) as port:
            while len(data) < amount and (part := port.read(1 << 16)):
                data += part
        return digest(data)

    @staticmethod
    def send(device, amount):
        data = os.urandom(amount)
        with open(port_path(device), "wb") as port:
            port.write(data)
        return digest(data)


def port_path(device):
    """The device file of the first port (there is no udev to name it)."""
    return "/dev/" + os.path.basename(only(device + "/virtio-ports/vport*p1"))


@row
class Rng(Row):
    """Entropy from the host."""
    name = "virtio-rng"
    amount = 16 << 10

    def plan(self, demo):
        demo.device(self, "virtio-rng-pci")

    def work(self, demo):
        current, first, second = demo.call(self.read, amount=self.amount)
        expect(current.startswith("virtio_rng"),
               f"the guest's hwrng is '{current}', not virtio_rng")
        first, second = bytes.fromhex(first), bytes.fromhex(second)
        for data in (first, second):
            check_random(data, self.amount)
        expect(first != second, "two reads gave the same bytes")
        return f"2 x {size(self.amount)} of entropy through {current}, differ"

    @staticmethod
    def read(amount):
        with open("/sys/class/misc/hw_random/rng_current",
                  encoding="ascii") as name:
            current = name.read().strip()
        parts = []
        for _ in range(2):
            data = bytearray()
            with open("/dev/hwrng", "rb", buffering=0) as rng:
                while len(data) < amount:
                    data += rng.read(amount - len(data))
            parts.append(data.hex())
        return [current, *parts]


def check_random(data, amount):
    """Random bytes are all there and do not compress."""
    expect(len(data) == amount, f"{len(data)} bytes came, not {amount}")
    packed = len(zlib.compress(data, 9))
    expect(packed >= amount, f"{amount} bytes of entropy compress to "
           f"{packed}: they are not random")


@row
class Balloon(Row):
    """Memory goes back to the host and comes again.

    The guest touches memory first, so that there is something to give back.
    """
    name = "virtio-balloon"
    amount = 96 << 20

    def plan(self, demo):
        demo.device(self, "virtio-balloon-pci")

    def work(self, demo):
        demo.call(self.touch, amount=self.amount)
        full = demo.vm.qmp("query-balloon")["actual"]
        before = resident(demo.vm.pid)
        self.resize(demo, full - self.amount)
        inflated = resident(demo.vm.pid)
        self.resize(demo, full)
        demo.call(self.touch, amount=self.amount)
        after = resident(demo.vm.pid)
        seen = (f"QEMU's resident size: {size(before)} before, "
                f"{size(inflated)} with {size(self.amount)} in the balloon, "
                f"{size(after)} after")
        # Other rows use memory meanwhile, so half of it must do.
        expect(before - inflated > self.amount // 2 and
               after - inflated > self.amount // 2, seen)
        return (f"inflated by {size(self.amount)}, deflated: resident "
                f"{before >> 20}, {inflated >> 20}, {after >> 20} MiB")

    @staticmethod
    def resize(demo, target):
        start = len(demo.vm.monitor.events)
        demo.vm.qmp("balloon", value=target)
        demo.vm.wait_event("BALLOON_CHANGE", PATIENCE,
                           lambda data: data["actual"] == target, start)

    @staticmethod
    def touch(amount):
        import mmap
        with mmap.mmap(-1, amount, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS,
                       mmap.PROT_READ | mmap.PROT_WRITE) as memory:
            for page in range(0, amount, mmap.PAGESIZE):
                memory[page] = 1


def resident(pid):
    """Bytes of memory, guest RAM among it, a process occupies.

    Guest RAM is anonymous, or shared if another process maps it too.
    """
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return sum(int(kib) << 10 for kib in re.findall(
            r"^Rss(?:Anon|Shmem):\s+(\d+) kB", status.read(), re.M))


# NIST SP 800-38A, F.2.1: CBC-AES128.Encrypt.
KEY = "2b7e151628aed2a6abf7158809cf4f3c"
IV = "000102030405060708090a0b0c0d0e0f"
PLAIN = ("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
         "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710")
CIPHER = ("7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2"
          "73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7")


@row
class Crypto(Row):
    """AES through AF_ALG, hashes and AEAD from user space."""
    name = "virtio-crypto"
    driver = "virtio_crypto_aes_cbc"

    def plan(self, demo):
        demo.modules("algif_skcipher")
        demo.args("-object", "cryptodev-backend-builtin,id=crypto0")
        demo.device(self, "virtio-crypto-pci,cryptodev=crypto0")

    def work(self, demo):
        services = demo_crypto.services(demo, demo.sysfs(self))
        before = self.operations(demo)
        module, encrypted, decrypted = demo.call(
            self.cipher, driver=self.driver, key=KEY, iv=IV, plain=PLAIN,
            encrypted=CIPHER)
        expect(module == "virtio_crypto",
               f"/proc/crypto says {self.driver} is of '{module}'")
        expect(encrypted == CIPHER, f"encrypted to {encrypted}, NIST's "
               f"vector says {CIPHER}")
        expect(decrypted == PLAIN, f"decrypted to {decrypted}, NIST's "
               f"vector says {PLAIN}")
        done = [b - a for a, b in zip(before, self.operations(demo))]
        expect(min(done) > 0, f"the device did {done[0]} encryptions and "
               f"{done[1]} decryptions")
        return (f"AES-128-CBC by AF_ALG on {self.driver}: NIST's vector "
                f"both ways; {services}")

    @staticmethod
    def operations(demo):
        """Encryptions and decryptions the device's backend has done."""
        stats = {}
        for entry in demo.vm.qmp("query-stats", target="cryptodev"):
            for stat in entry["stats"]:
                stats[stat["name"]] = stat["value"]
        return stats["sym-encrypt-ops"], stats["sym-decrypt-ops"]

    @staticmethod
    def cipher(driver, key, iv, plain, encrypted):
        with open("/proc/crypto", encoding="ascii") as known:
            blocks = [dict(re.findall(r"^(\S+)\s*: (.*)$", block, re.M))
                      for block in known.read().split("\n\n")]
        module = [b["module"] for b in blocks if b.get("driver") == driver]
        results = []
        with socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET) as alg:
            try:
                alg.bind(("skcipher", driver))
            except FileNotFoundError:
                # Linux 7.3 is one that does not.
                raise Failure("this kernel's AF_ALG does not let a program "
                              f"choose the driver {driver}") from None
            alg.setsockopt(socket.SOL_ALG, socket.ALG_SET_KEY,
                           bytes.fromhex(key))
            for operation, text in ((socket.ALG_OP_ENCRYPT, plain),
                                    (socket.ALG_OP_DECRYPT, encrypted)):
                data = bytes.fromhex(text)
                with alg.accept()[0] as request:
                    request.sendmsg_afalg([data], op=operation,
                                          iv=bytes.fromhex(iv))
                    results.append(request.recv(len(data)).hex())
        return [(module or ["(nothing)"])[0], *results]
