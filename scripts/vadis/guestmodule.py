# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel modules of this repository, built for one of Debian's kernels.

The headers come as the kernels do, through scripts/apt-private, are unpacked
below build/cache/headers and never installed.
"""

import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from . import kernel, paths, unpacked
from .errors import Failure
from .progress import step

LINUX = paths.TOP / "guest/linux"
# Modules whose functions one of them calls
NEEDS = {"virtio_signal_selftest": ("virtio_signal",)}
WIRE = paths.TOP / "include/standard-headers/linux"


def names():
    return sorted(path.name for path in LINUX.iterdir() if path.is_dir())


def _fetch_headers(release, suites):
    """The .deb files of a kernel's headers, of the first suite that has
    them."""
    failure = None
    for suite in suites:
        try:
            main = kernel.fetch_deb(suite, f"linux-headers-{release}")
            more = re.findall(r"linux-(?:headers|kbuild)-\d[\w.+-]*",
                              kernel.deb_field(main, "Depends"))
            return [main] + [kernel.fetch_deb(suite, name) for name in more]
        except Failure as err:
            failure = failure or err
    raise failure


def _unpack(debs, into):
    for deb in debs:
        subprocess.run(["dpkg-deb", "-x", deb, into], check=True)
    # Its type information would be copied into modules, with a tool to install.
    for image in into.glob("usr/src/linux-headers-*/vmlinux"):
        image.unlink()
    # These name each other by the place where they would be installed.
    for makefile in into.glob("usr/src/linux-headers-*/Makefile"):
        text = makefile.read_text()
        if "include /usr/src/" in text:
            # To be expanded in this file, not where it is used
            makefile.write_text(text.replace("OUTPUT=", "OUTPUT:=").replace(
                "/usr/src/", "$(dir $(abspath $(lastword "
                "$(MAKEFILE_LIST))))../"))


def _run_here(home, suite):
    """Have the programs among the headers run by the loader and the libraries
    of their own release where this machine's are older."""
    for real in home.glob("usr/lib/linux-kbuild-*/*/*/*.real-*"):
        if not re.search(r"\.real-(lsb-64|x86)$", real.name) or \
           b"GLIBC_" not in subprocess.run([real], capture_output=True,
                                           check=False).stderr:
            continue
        libraries = unpacked.get(suite, "libelf1t64") / unpacked.LIBRARIES
        program = real.with_name(f"{real.name}.program")
        real.rename(program)
        near = os.path.relpath(libraries, real.parent)
        real.write_text(
            '#!/bin/sh\nhere=$(dirname "$0")\n'
            f'exec "$here/{near}/ld-linux-x86-64.so.2" '
            f'--library-path "$here/{near}" "$here/{program.name}" "$@"\n')
        real.chmod(0o755)


def headers(guest):
    """The directory to build modules for a kernel.Kernel in."""
    suites = [suite for suite, _ in kernel.NAMES.get(guest.name, ())]
    if not suites:
        raise Failure(f"no headers for the kernel {guest.name}",
                      f"Known are {', '.join(kernel.NAMES)}.")
    home = paths.cache("headers") / guest.release
    with paths.locked(paths.cache("headers") / f".{guest.release}.lock"):
        if not home.is_dir():
            with step(f"fetching the headers of kernel {guest.release}"):
                debs = _fetch_headers(guest.release, suites)
                with paths.writable(home), paths.replacing(home) as new:
                    _unpack(debs, new)
                    _run_here(new, suites[0].partition("-")[0])
    return home / "usr/src" / f"linux-headers-{guest.release}"


def _sum(files):
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _sources(name):
    """The files a module is made of."""
    return [*sorted((LINUX / name).glob("*.[ch]")), LINUX / name / "Makefile"]


def _lay_out(parts, wires, top):
    """Copy modules, as the kernel's build leaves its output beside them, with
    a directory above that builds them together; the directory."""
    work = top / "guest/linux"
    for part in parts:
        (work / part).mkdir(parents=True)
        for path in _sources(part):
            shutil.copy(path, work / part)
    (work / "Makefile").write_text(
        f"obj-m := {' '.join(f'{part}/' for part in parts)}\n")
    include = top / "include/standard-headers/linux"
    include.mkdir(parents=True)
    for wire in wires:
        shutil.copy(wire, include)
    return work


def _knows(compiler, option):
    return not subprocess.run([compiler, option, "-E", "-xc", os.devnull],
                              capture_output=True, check=False).returncode


def _make(tree, work):
    """Build the modules below a directory in a kernel's headers."""
    compiler = paths.tool("gcc", "gcc")
    words = ["modules", f"CC={compiler}"]
    # What a later compiler offered when the kernel was configured
    if not _knows(compiler, "-fmin-function-alignment=16"):
        words.append("CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT=")
    return subprocess.run(
        [paths.tool("make", "make"), "-C", tree, f"M={work}", *words],
        capture_output=True, text=True, check=False,
        env={**os.environ, "MAKEFLAGS": ""})


def build(name, guest=None):
    """Path of guest/linux/NAME as a module for a kernel (default: 6.12)."""
    guest = guest or kernel.get()
    parts = (*NEEDS.get(name, ()), name)
    wires = [wire for part in parts
             if (wire := WIRE / f"{part}.h").is_file()]
    files = [path for part in parts for path in _sources(part)]
    found = paths.cache("modules") / \
        f"{name}-{guest.release}-{_sum([*files, *wires])}.ko"
    if found.is_file():
        return found
    tree = headers(guest)
    with tempfile.TemporaryDirectory(dir=paths.cache("modules")) as temp:
        work = _lay_out(parts, wires, pathlib.Path(temp))
        done = _make(tree, work)
        if done.returncode:
            raise Failure(f"cannot build {LINUX / name} for {guest.release}",
                          *done.stderr.strip().splitlines()[-12:],
                          "Install what the kernel's build needs: "
                          "scripts/install-deps")
        built = work / name / f"{name}.ko"
        subprocess.run([paths.tool("strip", "binutils"), "-g", built],
                       check=True)
        os.replace(built, found)
    return found
