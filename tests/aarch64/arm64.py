# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine of another architecture: Debian's arm64 kernel and busybox.

Nothing is compiled for it: the guest's program is a shell script.
"""

import os
import pathlib
import subprocess
import threading

from vadis import kernel, modules, paths
from vadis.cpio import Archive
from vadis.errors import Failure

SUITE, META = "bookworm", "linux-image-arm64"
EMULATOR = "aarch64/qemu-system-aarch64"
DRIVERS = ("virtio_pci", "virtio_mmio", "virtio_blk", "virtio-rng")

INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
while read -r module; do insmod "$module" || echo "no $module"; done </modules
until [ -b /dev/vda ]; do :; done
%s
echo "END $?"
poweroff -f
"""


def unpacked():
    """Directory with boot/vmlinuz-*, lib/modules and bin/busybox."""
    home = paths.cache("kernels") / "arm64"
    with paths.locked(home.with_suffix(".lock")):
        if not home.is_dir():
            debs = [deb for _, deb in
                    kernel.packages_of(SUITE, META, "arm64")]
            debs.append(kernel.fetch_deb(SUITE, "busybox-static", "arm64"))
            with paths.writable(home), paths.replacing(home) as new:
                for deb in debs:
                    subprocess.run(["dpkg-deb", "-x", deb, new], check=True)
                release, = (new / "lib/modules").iterdir()
                subprocess.run([paths.tool("depmod", "kmod"), "-b", new,
                                release.name], check=True)
    return home


def initramfs(script, path):
    """Write an archive of which /init runs ``script``."""
    home = unpacked()
    release, = (home / "lib/modules").iterdir()
    tree, archive = modules.Tree(release), Archive()
    archive.device("dev/console", 5, 1)
    archive.file("init", (INIT % script).encode(), 0o755)
    archive.file("bin/busybox", (home / "bin/busybox").read_bytes(), 0o755)
    for name in ("proc", "sys", "tmp"):
        archive.directory(name)
    names = []
    for number, module in enumerate(tree.order(DRIVERS)):
        names.append(f"/modules.d/{number}.ko")
        archive.file(names[-1], tree.load(module))
    archive.file("modules", "".join(f"{n}\n" for n in names).encode())
    pathlib.Path(path).write_bytes(archive.bytes())


def run(script, devices, directory, seconds=300):
    """Boot, run ``script``, and return what the console said."""
    qemu = paths.build() / EMULATOR
    if not os.access(qemu, os.X_OK):
        raise Failure(f"no program {qemu}", "Run: scripts/check aarch64")
    image, = unpacked().glob("boot/vmlinuz-*")
    initramfs(script, directory / "initramfs")
    command = [qemu, "-M", "virt", "-cpu", "cortex-a57", "-m", "512",
               "-nodefaults", "-nographic", "-no-reboot", "-serial", "stdio",
               "-kernel", image, "-initrd", directory / "initramfs",
               "-append", "console=ttyAMA0 quiet panic=-1 rdinit=/init",
               *devices]
    # pylint: disable=consider-using-with
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    late = threading.Timer(seconds, child.kill)
    late.start()
    try:
        said = child.communicate()[0].decode(errors="replace")
    finally:
        late.cancel()
    assert "END 0" in said, \
        f"{' '.join(map(str, command))}\nsaid:\n{said[-3000:]}"
    return said
