# SPDX-License-Identifier: GPL-2.0-or-later
"""The initramfs guests boot from.

It holds the agent as /init, busybox, the modules and /vadis.conf, which tells
the agent what to load and mount. The part that depends on kernel and modules
alone is cached; what belongs to one start (configuration, a test's files) is a
second, small archive behind it.
"""

import hashlib
import pathlib
import re
import shutil
import subprocess

from . import guesttool, modules, paths
from .cpio import Archive
from .errors import Failure

ROOT_TAG = "vadis.root"
# cache=loose: the root is read-only, so what the guest saw once stays true.
# noxattr: overlayfs would ask the host for an attribute on each lookup.
ROOT_OPTIONS = ("trans=virtio,version=9p2000.L,msize=262144,cache=loose,"
                "noxattr")
# cache=none would forbid shared mappings; mmap keeps writes through.
SHARE_OPTIONS = "trans=virtio,version=9p2000.L,msize=262144,cache=mmap"
POWER = ("halt", "poweroff", "reboot")
# Raise it when the archive's layout changes.
LAYOUT = 2


def busybox():
    """Debian's static busybox."""
    path = shutil.which("busybox", path="/bin:/usr/bin")
    if not path:
        raise Failure("busybox is missing",
                      "Install the Debian package busybox-static, or run: "
                      "scripts/install-deps")
    if b"/ld-linux" in pathlib.Path(path).read_bytes()[:4096]:
        raise Failure(f"{path} is not static",
                      "Install busybox-static in place of busybox.")
    return pathlib.Path(path)


def _module_path(release, path):
    """Where a module lies in the guest, always uncompressed."""
    return f"/lib/modules/{release}/" + re.sub(r"\.ko\.\w+$", ".ko", path)


def _power_commands(archive):
    """poweroff and friends for a guest on the host's root.

    The host's own ones talk to systemd, which does not run in the guest.
    """
    for name in POWER:
        archive.file(f"power/{name}", b"#!/run/vadis/bin/busybox sh\n"
                     b"exec /run/vadis/bin/busybox " + name.encode() + b"\n",
                     0o755)


def _base(kernel, tree, order):
    archive = Archive()
    archive.device("dev/console", 5, 1)
    archive.file("init", guesttool.build("agent").read_bytes(), 0o755)
    archive.file("bin/busybox", busybox().read_bytes(), 0o755)
    applets = subprocess.run([busybox(), "--list"], text=True,
                             capture_output=True, check=True).stdout.split()
    for applet in applets:
        if applet != "busybox":
            archive.link(f"bin/{applet}", "busybox")
    for name in ("proc", "sys", "run", "tmp", "root", "mnt"):
        archive.directory(name)
    for name in ("sbin", "usr/bin", "usr/sbin"):
        archive.link(name, "/bin")
    _power_commands(archive)
    for path in order:
        archive.file(_module_path(kernel.release, path), tree.load(path))
    return archive.bytes()


def base(kernel, names):
    """Path of the cached first archive, and the modules' paths in it."""
    tree = modules.Tree(kernel.modules)
    order = tree.order(names)
    key = hashlib.sha256(repr(
        (LAYOUT, kernel.release, guesttool.build("agent").name,
         busybox().stat().st_mtime_ns, busybox().stat().st_size,
         [(p, (tree.root / p).stat().st_size,
           (tree.root / p).stat().st_mtime_ns) for p in order])).encode())
    path = paths.cache("images") / f"{key.hexdigest()[:24]}.cpio"
    if not path.is_file():
        with paths.writable(path):
            paths.write_file(path, _base(kernel, tree, order))
    return path, [_module_path(kernel.release, p) for p in order]


def _check_field(text):
    if "\t" in text or "\n" in text:
        raise Failure(f"cannot use the path {text!r} in a guest",
                      "It holds a tab or a line break; rename it.")
    return text


def config(loaded, lines):
    """/vadis.conf: modules first, then the given tuples of fields."""
    rows = [("module", path) for path in loaded] + list(lines)
    return "".join("\t".join(_check_field(str(f)) for f in row) + "\n"
                   for row in rows)


def write(path, kernel, names, lines, files=None):
    """Write a guest's initramfs to ``path``.

    :param names: modules to load, with all they need, in this order
    :param lines: tuples for /vadis.conf, see the agent's configure()
    :param files: {path in the guest: bytes, or path of a host file}; a host
                  file keeps its permissions, bytes become executable
    """
    first, loaded = base(kernel, names)
    second = Archive()
    second.file("vadis.conf", config(loaded, lines).encode())
    for name, source in (files or {}).items():
        if isinstance(source, (bytes, bytearray)):
            second.file(name, source, 0o755)
        else:
            source = pathlib.Path(source)
            second.file(name, source.read_bytes(),
                        source.stat().st_mode & 0o777)
    with open(path, "wb") as out:
        with open(first, "rb") as data:
            shutil.copyfileobj(data, out)
        out.write(second.bytes())
