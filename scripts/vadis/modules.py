# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel modules: what a device needs, in the order to load it."""

import lzma
import pathlib
import re
import subprocess

from . import paths
from .errors import Failure

# Modules by what a -device string starts with. A driver that is built in, or
# that an older kernel does not have, is left out without a word.
BY_DEVICE = (
    ("virtio-9p", ("9pnet_virtio", "9p")),
    ("virtio-balloon", ("virtio_balloon",)),
    ("virtio-blk", ("virtio_blk",)),
    ("virtio-crypto", ("virtio_crypto",)),
    ("virtio-gpu", ("virtio-gpu",)),
    ("virtio-vga", ("virtio-gpu",)),
    ("virtio-iommu", ("virtio_iommu",)),
    ("virtio-keyboard", ("virtio_input", "evdev")),
    ("virtio-mouse", ("virtio_input", "evdev")),
    ("virtio-tablet", ("virtio_input", "evdev")),
    ("virtio-mem", ("virtio_mem",)),
    ("virtio-net", ("virtio_net",)),
    ("virtio-pmem", ("virtio_pmem", "nd_pmem")),
    ("virtio-rng", ("virtio-rng",)),
    ("virtio-scsi", ("virtio_scsi", "sd_mod")),
    ("virtio-serial", ("virtio_console",)),
    ("virtio-sound", ("virtio_snd",)),
    ("vhost-vsock", ("vmw_vsock_virtio_transport",)),
)
# What any guest on virtio-pci needs where nothing is built in.
CORE = ("virtio_pci", "virtio_console")
ROOT_9P = ("9pnet_virtio", "9p", "overlay")


def for_devices(devices):
    """Names of the modules that drive the given -device strings."""
    names = []
    for device in devices:
        for prefix, modules in BY_DEVICE:
            if device.startswith(prefix):
                names += [m for m in modules if m not in names]
    return names


def _key(name):
    """Modules may be spelled with - or _; files and aliases differ freely."""
    base = name.rsplit("/", 1)[-1]
    return re.sub(r"\.ko(\.\w+)?$", "", base).replace("-", "_")


class Tree:
    """The modules of one kernel; ``root`` is lib/modules/RELEASE."""

    def __init__(self, root):
        self.root = pathlib.Path(root) if root else None
        self._depends, self._path, self._soft = {}, {}, {}
        if self.root:
            self._read()

    def _read(self):
        for line in (self.root / "modules.dep").read_text().splitlines():
            path, _, depends = line.partition(":")
            self._path[_key(path)] = path
            # Listed so that what is needed first stands last.
            self._depends[_key(path)] = [_key(d) for d in
                                         reversed(depends.split())]
        soft = self.root / "modules.softdep"
        if not soft.exists():
            return
        for line in soft.read_text().splitlines():
            words = line.split()
            if words[:1] == ["softdep"] and "pre:" in words:
                after = words[words.index("pre:") + 1:]
                if "post:" in after:
                    after = after[:after.index("post:")]
                self._soft[_key(words[1])] = [_key(w) for w in after]

    def order(self, names):
        """Paths, relative to root, of the named modules and all they need.

        A name the kernel does not have as a module is left out: it is built
        in or of another time; the guest shows soon enough if it is missing.
        """
        done, out = set(), []

        def visit(key):
            if key in done or key not in self._path:
                return
            done.add(key)
            for need in self._soft.get(key, []) + self._depends[key]:
                visit(need)
            out.append(self._path[key])

        for name in names:
            visit(_key(name))
        return out

    def load(self, path):
        """The uncompressed module at ``path`` (relative to root)."""
        data = (self.root / path).read_bytes()
        if path.endswith(".xz"):
            return lzma.decompress(data)
        if path.endswith(".zst"):
            return subprocess.run([paths.tool("zstd", "zstd"), "-dcq"],
                                  input=data, capture_output=True,
                                  check=True).stdout
        if path.endswith(".ko"):
            return data
        raise Failure(f"do not know how to unpack the module {path}",
                      "Kernels with .ko, .ko.xz and .ko.zst modules work.")
