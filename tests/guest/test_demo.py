# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/demo as a user runs it."""

import pathlib
import re
import signal
import subprocess
import time

import pytest

from vmtest import TOP

DEMO = TOP / "scripts/demo"
# A bound for a hang, not a speed.
DEADLINE = 600
DEVICES = ["blk", "scsi", "pmem", "9p", "net", "serial", "rng", "balloon",
           "crypto", "gpu", "input", "sound"]


def table(path):
    """{device: all text of its row} of the demo's table."""
    rows, name = {}, None
    for line in path.read_text().splitlines()[2:]:
        if line[0] != " ":
            name = line.split()[0]
        rows[name] = f"{rows.get(name, '')} {line}"
    return rows


def test_every_device_works(tmp_path):
    output = tmp_path / "with a space"
    done = subprocess.run([DEMO, "--output", output], text=True,
                          capture_output=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = table(output / "table.txt")
    assert set(rows) >= {f"virtio-{name}" for name in DEVICES} | {"vhost-pci"}
    for name, text in rows.items():
        assert re.search(r" ok +[0-9.]+ s( |$)", text), text
        assert "ring_packed" in text, name
    assert f"{len(rows)} of {len(rows)} rows ok" in done.stdout
    assert (output / "screendump.png").stat().st_size
    assert (output / "tone.wav").stat().st_size


def test_an_unknown_device_is_refused():
    done = subprocess.run([DEMO, "--only", "virtio-nothing"], text=True,
                          capture_output=True, timeout=DEADLINE, check=False)
    assert done.returncode == 2
    assert "virtio-nothing" in done.stderr and "virtio-rng" in done.stderr


def processes_naming(text):
    """{pid: words} of the QEMU processes with ``text`` in their arguments."""
    found = {}
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue                    # it just ended
        if "qemu-system" in words[0] and any(text in w for w in words):
            found[int(path.parent.name)] = words
    return found


def wait_for_qemu(demo, text):
    deadline = time.monotonic() + DEADLINE
    while not (found := processes_naming(text)):
        assert demo.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    return found


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130),
                                            (signal.SIGTERM, 143)])
@pytest.mark.parametrize("moment", ["booting", "working"])
def test_a_signal_leaves_nothing_behind(tmp_path, moment, number, status):
    demo = subprocess.Popen(
        [DEMO, "--only", "virtio-sound", "--output", tmp_path],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        found = wait_for_qemu(demo, str(tmp_path))
        if moment == "working":
            for line in demo.stderr:
                if ": done" in line:
                    break
        words, = found.values()
        initrd = pathlib.Path(words[words.index("-initrd") + 1])
        assert initrd.parent.is_dir()
        demo.send_signal(number)
        _, errors = demo.communicate(timeout=DEADLINE)
        assert demo.returncode == status, errors
        assert "Traceback" not in errors
        assert not processes_naming(str(tmp_path))
        assert not initrd.parent.exists()
    finally:
        demo.kill()
        demo.communicate()
