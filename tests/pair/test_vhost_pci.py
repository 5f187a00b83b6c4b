# SPDX-License-Identifier: GPL-2.0-or-later
"""VM A's disk is served by VM B, or by the same program on the host."""

import hashlib
import os
import shutil
import subprocess
import tempfile
import threading

import pytest

from vadis import guesttool
from vmtest import VM

MIB = 1 << 20
DISK = 64 * MIB
# The first device after those of the harness would depend on their number.
SLOT = "0000:00:10.0"
MEMORY = "512M"


@pytest.fixture
def home():
    """A private directory with a path short enough for sockets."""
    path = tempfile.mkdtemp(prefix="vadis-vp-")
    yield path
    shutil.rmtree(path)


def frontend(path, packed, event_idx=True):
    """VM settings of A: shared memory, and a disk behind a socket."""
    return {
        "root": "initramfs", "memory": MEMORY, "modules": ["virtio_blk"],
        "args": [
            "-object", f"memory-backend-memfd,id=ram0,size={MEMORY},share=on",
            "-machine", "memory-backend=ram0",
            "-chardev", f"socket,id=blk0,path={path}",
            "-device", "vhost-user-blk-pci,chardev=blk0,num-queues=2,"
            f"packed={'on' if packed else 'off'},"
            f"event_idx={'on' if event_idx else 'off'}"]}


def exercise(vm, amount=8 * MIB):
    """Write a file's worth of random data, drop caches, read it back."""
    data = os.urandom(amount)
    size = int(vm.run("cat /sys/block/vda/size", check=True).text) * 512
    assert size == DISK
    vm.run(["dd", "of=/dev/vda", "bs=64k", "seek=3", "iflag=fullblock",
            "conv=fsync"], input=data, check=True, timeout=180)
    vm.run("echo 3 > /proc/sys/vm/drop_caches", check=True)
    out = vm.run(f"dd if=/dev/vda bs=64k skip=3 count={amount >> 16} "
                 "2>/dev/null | sha256sum", check=True, timeout=180).text
    assert out.split()[0] == hashlib.sha256(data).hexdigest()
    return data


@pytest.fixture
def on_host(home):
    """The program as an ordinary backend: (socket, its disk's file)."""
    path, disk = f"{home}/sock", f"{home}/disk"
    process = subprocess.Popen(
        [guesttool.build("vhost-pci-blk"), "--vhost-user", path, "--file", disk,
         "--size", str(DISK)], stdout=subprocess.PIPE, text=True)
    assert "waiting" in process.stdout.readline()
    # Its words are few, but a pipe that nobody reads would stop it one day.
    reader = threading.Thread(target=process.stdout.read, daemon=True)
    reader.start()
    yield path, disk
    process.kill()
    process.wait()


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
def test_the_program_serves_a_vm_from_the_host(on_host, packed):
    path, disk = on_host
    with VM(name="a", **frontend(path, packed)) as vm:
        data = exercise(vm)
    with open(disk, "rb") as image:
        image.seek(3 << 16)
        assert image.read(len(data)) == data


class Backend:
    """VM B with a vhost-pci device and the program that serves A."""

    def __init__(self, path, **options):
        extra = "".join(f",{k.replace('_', '-')}={v}"
                        for k, v in options.items())
        self.vm = VM(
            name="b", root="initramfs", memory="512M",
            modules=["uio_pci_generic"],
            files={"vhost-pci-blk": guesttool.build("vhost-pci-blk")},
            args=["-chardev",
                  f"socket,id=vp,path={path},server=on,wait=off",
                  "-device", "vhost-pci,id=vp0,addr=0x10,chardev=vp,"
                  "shm-size=1G" + extra])
        self.program = None

    def serve(self):
        self.program = self.vm.popen(
            ["/vhost-pci-blk", "--device", SLOT, "--size", str(DISK)])
        self.vm.wait(lambda: b"waiting" in self.program.stdout or
                     self.program.done, 60, "the program in B")
        assert not self.program.done, self.program.stderr.decode()

    def __enter__(self):
        self.vm.__enter__()
        try:
            self.serve()
        except BaseException:
            self.vm.close()
            raise
        return self

    def __exit__(self, *_):
        self.vm.close()

    def counter(self, name):
        return self.vm.qmp("qom-get", property=name,
                           path="/machine/peripheral/vp0/virtio-backend")


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
def test_one_vm_serves_another_vms_disk(home, packed):
    path = f"{home}/vp"
    with Backend(path) as b, VM(name="a", **frontend(path, packed)) as a:
        exercise(a)
        assert b.counter("connections") >= 1
        assert b.counter("messages") > 10
        assert b.counter("calls") > 0
        assert not b.program.stderr


def test_a_look_at_the_queues_leaves_them_running(home):
    """Over vhost-user, GET_VRING_BASE would stop the ring for good."""
    path = f"{home}/vp"
    with Backend(path) as b, VM(name="a", **frontend(path, True)) as a:
        disk, = (d for d in a.qmp("x-query-virtio")
                 if "blk" in d["name"])
        for index in range(2):
            state = a.qmp("x-query-virtio-queue-status", path=disk["path"],
                          queue=index)
            assert state["vring-num"] > 0
        exercise(a)
        assert not b.program.stderr


def test_the_frontend_is_killed_and_the_next_one_served(home):
    """B and its disk live on; the next A finds what the first one wrote."""
    path = f"{home}/vp"
    with Backend(path) as b:
        with VM(name="a1", **frontend(path, True)) as a:
            data = exercise(a, MIB)
            a.kill()
        with VM(name="a2", **frontend(path, False)) as a:
            out = a.run("dd if=/dev/vda bs=64k skip=3 count=16 2>/dev/null | "
                        "sha256sum", check=True).text
            assert out.split()[0] == hashlib.sha256(data).hexdigest()
        assert not b.program.done


def test_the_backend_is_killed_and_comes_back(home):
    """A's monitor answers while B is gone, and its disk works again.

    On split rings: the position in a packed one goes with its backend, and
    what would keep it (INFLIGHT_SHMFD) does not pass the device.
    """
    path = f"{home}/vp"
    settings = frontend(path, False)
    settings["args"] = [arg.replace("id=blk0", "id=blk0,reconnect-ms=100")
                        for arg in settings["args"]]
    with Backend(path) as first, VM(name="a", **settings) as a:
        exercise(a, MIB)
        first.vm.kill()
        assert a.qmp("query-status")["running"]
        os.unlink(path)
        with Backend(path):
            exercise(a, MIB)
