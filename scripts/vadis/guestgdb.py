# SPDX-License-Identifier: GPL-2.0-or-later
"""Symbols for a guest's kernel, and the gdb command line that uses them.

Debian's kernel is stripped, but it names its functions in /proc/kallsyms
and describes its types in BTF. The names are asked of the kernel itself, in
one boot that is made once per kernel; with nokaslr they hold for every boot.
"""

import hashlib
import sys

from . import paths
from .errors import Failure
from .progress import step

GDB_DIR = paths.SCRIPTS / "gdb"
SCRIPT = GDB_DIR / "vguest-gdb.py"
# The guest must run at the addresses its symbols have.
APPEND = "nokaslr"

sys.path.insert(0, str(GDB_DIR))

from vadisgdb import elf, symfile  # noqa: E402  (needs the path above)

# Every source the symbol file depends on: an edit makes it anew.
GENERATORS = ("btf.py", "dwarf.py", "elf.py", "orc.py", "symfile.py")


def _digest(*parts):
    out = hashlib.sha256()
    for part in parts:
        out.update(part)
    return out.hexdigest()[:16]


def _kallsyms(kern):
    """The kernel's own list of symbols, from a boot without KASLR."""
    from .vm import VM      # here: vm imports what debugging has no use for
    with step(f"booting {kern.release} once for its symbol names"), \
            VM(kernel=kern.name, append=APPEND, memory="512M",
               root="initramfs") as vm:
        return vm.run(["cat", "/proc/kallsyms"]).check().stdout


def symbols(kern):
    """The symbol file of a kernel; made and cached when missing.

    :param kern: a kernel.Kernel
    :return: path of vmlinux.debug; kernel.btf lies beside it
    """
    image = kern.vmlinux.read_bytes()
    try:
        opened = symfile.open_kernel(image)
    except elf.NotElf as err:
        raise Failure(f"{kern.vmlinux} is no kernel gdb can use: {err}",
                      "Give an x86-64 kernel to --kernel.")
    key = f"{kern.release}-{_digest(image)}"
    home = paths.cache("gdb", key)
    names = home / "kallsyms"
    version = _digest(*((GDB_DIR / "vadisgdb" / name).read_bytes()
                        for name in GENERATORS),
                      str(sys.version_info[:2]).encode())
    made = home / f"symbols-{version}" / "vmlinux.debug"
    if made.is_file():
        return made
    with paths.locked(home / ".lock"):
        if made.is_file():
            return made
        if not names.is_file():
            text = _kallsyms(kern)
            with paths.writable(names):
                paths.write_file(names, text)
        with step(f"making gdb symbols for {kern.release}"), \
                paths.writable(made), paths.replacing(made.parent) as new:
            _write(opened, names, new)
        for old in home.glob("symbols-*"):
            if old != made.parent:
                _remove(old)
    return made


def _write(opened, names, into):
    try:
        symfile.write_kernel(opened, names.read_text("ascii", "replace"),
                             into / "vmlinux.debug")
    except symfile.BadSymbols as err:
        names.unlink()
        raise Failure(f"no symbols: {err}", "Run the command again.")
    if opened.types:
        (into / "kernel.btf").write_bytes(opened.sections[".BTF"].data)
    for problem in opened.problems:
        print(f"vadis: {problem}", file=sys.stderr)


def _remove(path):
    for item in path.iterdir():
        item.unlink()
    path.rmdir()


def command(kern, socket, breaks=(), batch=None):
    """The gdb command line for a guest that waits at a gdbstub.

    :param kern: the kernel.Kernel the guest was started with (add APPEND
                 to its command line)
    :param socket: path of the gdbstub's unix socket, or HOST:PORT
    :param breaks: [MODULE:]FUNCTION strings to stop in
    :param batch: gdb commands to run at the first stop, after which the
                  guest runs on and gdb ends (status 1 if one failed); None
                  for an interactive gdb
    :return: list of arguments
    """
    debug = symbols(kern)
    # A kernel without debug package: do not let gdb ask the network for one.
    argv = [paths.tool("gdb", "gdb"), "-q",
            "-iex", "set debuginfod enabled off"]
    if batch is not None:
        argv += ["-nx", "-batch"]
    prefix = "vguest batch " if batch is not None else ""
    argv += ["-x", str(SCRIPT), "-ex", f"{prefix}vguest attach {socket}"]
    argv += [part for name in breaks
             for part in ("-ex", f"{prefix}vguest break {name}")]
    if batch is not None:
        # Without a place to stop there is nothing to wait for.
        if breaks:
            argv += ["-ex", "vguest batch continue"]
        argv += [part for line in batch
                 for part in ("-ex", f"vguest batch {line}")]
        argv += ["-ex", "vguest end"]
    return argv + [str(debug)]
