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

from . import kernel, paths
from .errors import Failure
from .progress import step

LINUX = paths.TOP / "guest/linux"
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
        if text.startswith("include /usr/src/"):
            makefile.write_text(text.replace("/usr/src/", "$(dir $(abspath "
                                             "$(lastword $(MAKEFILE_LIST))))"
                                             "../", 1))


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
    return home / "usr/src" / f"linux-headers-{guest.release}"


def _sum(files):
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def build(name, guest=None):
    """Path of guest/linux/NAME as a module for a kernel (default: 6.12)."""
    guest = guest or kernel.get()
    source = LINUX / name
    files = sorted(source.glob("*.[ch]")) + [source / "Makefile"]
    wire = WIRE / f"{name}.h"
    found = paths.cache("modules") / \
        f"{name}-{guest.release}-{_sum([*files, wire])}.ko"
    if found.is_file():
        return found
    tree = headers(guest)
    with tempfile.TemporaryDirectory(dir=paths.cache("modules")) as temp:
        # The kernel's build leaves its output beside the sources.
        top = pathlib.Path(temp)
        work = top / "guest/linux" / name
        work.mkdir(parents=True)
        for path in files:
            shutil.copy(path, work)
        include = top / "include/standard-headers/linux"
        include.mkdir(parents=True)
        shutil.copy(wire, include)
        done = subprocess.run(
            [paths.tool("make", "make"), "-C", tree, f"M={work}", "modules",
             f"CC={paths.tool('gcc', 'gcc')}"],
            capture_output=True, text=True, check=False,
            env={**os.environ, "MAKEFLAGS": ""})
        if done.returncode:
            raise Failure(f"cannot build {source} for {guest.release}",
                          *done.stderr.strip().splitlines()[-12:],
                          "Install what the kernel's build needs: "
                          "scripts/install-deps")
        built = work / f"{name}.ko"
        subprocess.run([paths.tool("strip", "binutils"), "-g", built],
                       check=True)
        os.replace(built, found)
    return found
