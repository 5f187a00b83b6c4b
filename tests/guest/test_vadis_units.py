# SPDX-License-Identifier: GPL-2.0-or-later
"""Parts of scripts/vadis that need no guest."""

import concurrent.futures
import gzip
import os
import pathlib
import struct
import subprocess
import threading
import time

import pytest
from vadis import (guesttool, kernel, machine, modules, paths, patience,
                   private, vmlinux)
from vadis.agent import HEADER, Agent
from vadis.console import Console
from vadis.cpio import Archive
from vadis.errors import Failure

ELF = vmlinux.ELF + b"Linux version 9.9-test (x) " + bytes(range(256)) * 64
RELEASE = "9.9-test"


def bzimage(payload):
    """The least that passes for a bzImage around a payload."""
    image = bytearray(0x400)
    image[vmlinux.SETUP_SECTS] = 1
    image[vmlinux.MAGIC:vmlinux.MAGIC + 4] = b"HdrS"
    struct.pack_into("<II", image, vmlinux.PAYLOAD_OFFSET, 0, len(payload))
    return bytes(image) + payload


# -- archives


def test_archive_unpacks_to_what_was_put_in(tmp_path):
    archive = Archive()
    archive.file("deep/er/name with space", b"data\0" * 777, 0o750)
    archive.link("link", "deep/er")
    subprocess.run(["busybox", "cpio", "-id"], input=archive.bytes(),
                   cwd=tmp_path, check=True, capture_output=True)
    path = tmp_path / "link/name with space"
    assert path.read_bytes() == b"data\0" * 777
    assert path.stat().st_mode & 0o777 == 0o750


def test_archive_refuses_a_name_twice():
    archive = Archive()
    archive.file("a/b", b"")
    with pytest.raises(ValueError):
        archive.directory("/a/")


# -- kernels


SIZE = struct.pack("<I", len(ELF))


@pytest.mark.parametrize("tool, size", [
    ("gzip", b""), ("xz", SIZE), ("zstd", SIZE)])
def test_vmlinux_is_found_in_a_bzimage(tool, size):
    packed = subprocess.run([tool, "-c"], input=ELF, check=True,
                            stdout=subprocess.PIPE).stdout
    assert vmlinux.extract(bzimage(packed + size), "test") == ELF


@pytest.mark.parametrize("data", [
    b"", b"not a kernel" * 99, bzimage(b""), bzimage(b"\x1f\x8b rubbish"),
    bzimage(gzip.compress(ELF)[:99])], ids=[
        "empty", "text", "no payload", "broken payload", "cut payload"])
def test_what_is_no_kernel_is_refused(data):
    with pytest.raises(Failure, match="kernel"):
        vmlinux.extract(data, "test")


@pytest.fixture
def fake_debian(tmp_path, monkeypatch):
    """A package of our own in place of Debian's; the list of fetches."""
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        "Package: linux-image-amd64\nVersion: 1\nArchitecture: all\n"
        "Maintainer: none <none@example.org>\nDescription: test\n"
        "Depends: linux-base\n")
    (tree / "boot").mkdir()
    (tree / f"boot/vmlinuz-{RELEASE}").write_bytes(
        bzimage(gzip.compress(ELF)))
    (tree / "lib/modules" / RELEASE).mkdir(parents=True)
    (tree / "lib/modules" / RELEASE / "modules.order").touch()
    deb = tmp_path / "fake.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, deb],
                   check=True, capture_output=True)
    fetched = []

    def fetch(suite, package, _arch=""):
        fetched.append((suite, package))
        return deb

    def cache(*parts):
        path = tmp_path.joinpath("cache", *parts)
        path.mkdir(parents=True, exist_ok=True)
        return path

    monkeypatch.setattr(kernel, "fetch_deb", fetch)
    monkeypatch.setattr(paths, "cache", cache)
    return fetched


def test_kernel_is_fetched_once(fake_debian):
    first = kernel.get("6.1")
    assert first.release == RELEASE
    assert first.vmlinux.read_bytes() == ELF
    assert kernel.get("6.1") == first
    assert fake_debian == [kernel.NAMES["6.1"][0]]


@pytest.mark.parametrize("damage", [
    lambda path: path.write_bytes(ELF[:-1]),
    lambda path: path.write_bytes(ELF[:-1] + b"x"),
    lambda path: path.unlink()], ids=["cut", "changed", "gone"])
def test_damaged_kernel_is_made_again(fake_debian, damage):
    path = kernel.get("6.1").vmlinux
    damage(path)
    assert kernel.get("6.1").vmlinux.read_bytes() == ELF
    assert len(fake_debian) == 2


def test_second_source_is_tried(fake_debian, monkeypatch):
    fetch = kernel.fetch_deb

    def fail_first(suite, package, _arch=""):
        if suite == kernel.NAMES["6.1"][0][0]:
            raise Failure("not to be had")
        return fetch(suite, package)

    monkeypatch.setattr(kernel, "fetch_deb", fail_first)
    assert kernel.get("6.1").release == RELEASE


def test_failure_leaves_nothing_half_done(fake_debian, monkeypatch):
    def fail(*_):
        raise Failure("broken")

    with monkeypatch.context() as patch:
        patch.setattr(vmlinux, "extract", fail)
        with pytest.raises(Failure, match="broken"):
            kernel.get("6.1")
    assert [p.name for p in paths.cache("kernels").iterdir()] == [".6.1.lock"]
    assert kernel.get("6.1").release == RELEASE


# -- modules


@pytest.fixture
def module_tree(tmp_path):
    (tmp_path / "modules.dep").write_text(
        "kernel/a-b.ko.xz: kernel/c.ko kernel/d.ko\n"
        "kernel/c.ko: kernel/d.ko\nkernel/d.ko:\nkernel/soft.ko:\n")
    (tmp_path / "modules.softdep").write_text(
        "# comment\nsoftdep a_b pre: soft absent post: x\n")
    return modules.Tree(tmp_path)


def test_modules_come_after_what_they_need(module_tree):
    assert module_tree.order(["a-b"]) == [
        "kernel/soft.ko", "kernel/d.ko", "kernel/c.ko", "kernel/a-b.ko.xz"]


def test_built_in_modules_are_left_out(module_tree):
    assert module_tree.order(["virtio_pci", "d"]) == ["kernel/d.ko"]


def test_devices_name_their_drivers():
    assert modules.for_devices(["virtio-blk-pci,drive=x", "virtio-net",
                                "e1000e"]) == ["virtio_blk", "virtio_net"]


# -- command line


@pytest.mark.parametrize("device, expected", [
    ("virtio-rng-pci", "virtio-rng-pci,packed=on,ats=on"),
    ("virtio-rng-pci,packed=off", "virtio-rng-pci,packed=off,ats=on"),
    ("virtio-net-device", "virtio-net-device"),
    ("e1000e", "e1000e")])
def test_virtio_devices_share_properties(device, expected):
    config = machine.Config(virtio_opts="ats=on")
    assert machine.virtio(config, device) == expected


def test_disk_format_is_read_from_the_file(tmp_path):
    raw, qcow2 = tmp_path / "a,b", tmp_path / "q"
    raw.write_bytes(b"x")
    qcow2.write_bytes(b"QFI\xfb")
    assert machine.parse_disk(str(raw)) == (str(raw), "format=raw")
    assert machine.parse_disk(f"{qcow2},readonly=on") == (
        str(qcow2), "readonly=on,format=qcow2")


@pytest.mark.parametrize("flags, promised", [
    ("flags\t\t: fpu vmx sse", True), ("flags\t\t: svm", True),
    ("flags\t\t: fpu hypervisor", False), ("bugs: vmx", False)])
def test_kvm_needs_the_cpu_to_promise_it(monkeypatch, flags, promised):
    monkeypatch.setattr(pathlib.Path, "read_text", lambda *_, **__: flags)
    assert machine.cpu_virtualises() == promised


def test_accelerator_is_tcg_without_flags(monkeypatch):
    monkeypatch.delenv("ACCEL", raising=False)
    monkeypatch.setattr(machine.os, "access", lambda *_: True)
    monkeypatch.setattr(machine, "cpu_virtualises", lambda: False)
    assert machine.choose_accel() == "tcg"
    assert machine.choose_accel("kvm") == "kvm"
    monkeypatch.setenv("ACCEL", "kvm")
    assert machine.choose_accel() == "kvm"


# -- a hostile guest


@pytest.mark.parametrize("frame", [
    HEADER.pack(ord("?"), 0, 0), HEADER.pack(ord("O"), 1, 1 << 30),
    b"O\1\0\0" + bytes(8)], ids=["type", "length", "padding"])
def test_malformed_frame_ends_the_channel(console_free_agent, frame):
    agent, command = console_free_agent
    agent.feed(frame)
    assert "malformed frame" in agent.broken
    assert command.lost
    agent.feed(HEADER.pack(ord("X"), 1, 4) + bytes(4))
    assert command.returncode is None


@pytest.fixture
def console_free_agent():
    """An agent's host side without a guest, and one command of it."""
    agent = Agent(threading.Condition(), lambda: None, None, None)
    return agent, agent.start(["x"])


def test_more_room_than_the_window_is_not_believed(console_free_agent):
    agent, command = console_free_agent
    agent.feed(HEADER.pack(ord("K"), 1, 4) + b"\xff" * 4)
    agent.written(1 << 30)
    command.write(bytes(1 << 20))
    assert len(agent._out) <= (1 << 16) + 5 * HEADER.size


def test_console_text_is_bounded():
    console = Console()
    for _ in range(300):
        console.feed(b"x" * 9999 + b"\n")
    console.feed(b"Kernel panic - not syncing: test\n")
    assert len(console.text) <= 1 << 20
    assert console.panicked
    assert console.search("^Kernel panic")


# -- deadlines


def test_a_deadline_counts_only_time_that_qemu_could_use():
    begin = time.monotonic()
    changed = patience.PatientCondition()
    # its thread 7 runs for 50 ms, then waits for a CPU for 200 ms
    changed.queued = lambda _: {
        "7": int(1e9 * min(max(time.monotonic() - begin - .05, 0), .2))}
    with changed:
        assert not changed.wait_for(lambda: False, 0.1)
    assert .3 <= time.monotonic() - begin


def test_a_deadline_ends_a_wait_for_an_idle_qemu():
    changed = patience.PatientCondition()
    changed.queued = lambda _: {"7": 12345}
    with changed:
        assert not changed.wait_for(lambda: False, 0.1)
        assert changed.wait_for(lambda: "yes", 0.1) == "yes"


def test_waiting_for_a_cpu_is_read_per_thread():
    assert str(threading.get_native_id()) in patience.queued(os.getpid())
    assert patience.queued(None) == {}


# -- private directories


def test_private_directory_of_a_dead_process_is_swept(tmp_path, monkeypatch):
    monkeypatch.setattr(private.tempfile, "tempdir", str(tmp_path))
    with private.PrivateDir() as live:
        dead = tmp_path / "vadis-dead"
        dead.mkdir()
        (dead / private.LOCK).touch()
        private.sweep()
        assert not dead.exists()
        assert pathlib.Path(live.path).stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == []


def test_a_device_event_is_found_by_place_and_only_once():
    agent = Agent(threading.Condition(), lambda: None, None,
                  lambda predicate, *_: predicate())
    port = "/devices/pci0000:00/0000:00:18.0"

    def event(path):
        data = f"bind@{path}\0ACTION=bind\0DEVPATH={path}\0".encode()
        agent.feed(HEADER.pack(ord("U"), 0, len(data)) + data)

    for path in f"{port}0/x", port, f"{port}/0000:01:00.0/virtio7":
        event(path)
    found = agent.wait_uevent(below=port, ACTION="bind")
    assert found["DEVPATH"].endswith("/virtio7")
    assert not agent.wait_uevent(below=port, ACTION="bind")
    assert agent.wait_uevent(ACTION="bind")
    agent.forget_uevents()
    assert not agent.wait_uevent(ACTION="bind")


def test_a_program_asked_for_twice_at_once_is_compiled_once(tmp_path,
                                                            monkeypatch):
    compiler = tmp_path / "gcc"
    compiler.write_text(f"#!/bin/sh\necho >>{tmp_path}/runs\nexec gcc \"$@\"\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    monkeypatch.setattr(guesttool.paths, "cache", lambda *parts: tmp_path)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        found = list(pool.map(guesttool.build, ["page-usage"] * 4))
    assert len(set(found)) == 1 and os.access(found[0], os.X_OK)
    assert (tmp_path / "runs").read_text() == "\n"
