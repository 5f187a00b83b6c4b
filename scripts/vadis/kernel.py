# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's own kernels, fetched once and kept unpacked.

A kernel is asked for by a short name (see NAMES) or as a file. The packages
come through scripts/apt-private, so apt checks them; what they unpack to is
kept under build/cache/kernels together with a record of sums, and from then
on neither apt nor the network is needed.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess

from . import paths, vmlinux
from .errors import Failure
from .progress import note, step

# Where each name may come from, best first: (suite, meta package).
NAMES = {
    "6.12": (("bookworm-security", "linux-image-6.12-amd64"),
             ("trixie-security", "linux-image-amd64"),
             ("trixie", "linux-image-amd64")),
    "6.1": (("bookworm-security", "linux-image-amd64"),
            ("bookworm", "linux-image-amd64")),
    "7.x": (("trixie-backports", "linux-image-amd64"),),
}
DEFAULT = "6.12"
# Raise it when the layout of an unpacked kernel changes.
LAYOUT = 2


@dataclasses.dataclass(frozen=True)
class Kernel:
    """An unpacked kernel.

    ``modules`` is the directory lib/modules/RELEASE, or None for a kernel
    given as a file without modules.
    """
    name: str
    release: str
    vmlinux: pathlib.Path
    modules: pathlib.Path = None
    packages: tuple = ()


def _sum(path):
    digest = hashlib.sha256()
    with open(path, "rb") as data:
        while chunk := data.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def fetch_deb(suite, package, arch=""):
    """Path of the verified .deb, by scripts/apt-private; ``arch`` if it is
    not the machine's."""
    done = subprocess.run([paths.SCRIPTS / "apt-private", "deb", suite,
                           package], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False,
                          env={**os.environ, "VADIS_DEB_ARCH": arch})
    if done.returncode:
        raise Failure(f"cannot fetch {package} from {suite}",
                      *(line.strip() for line in
                        done.stderr.strip().splitlines()[-4:]))
    return pathlib.Path(done.stdout.strip().splitlines()[-1])


def deb_field(deb, name):
    """A field of a .deb's control data."""
    return subprocess.run(["dpkg-deb", "-f", deb, name], text=True,
                          capture_output=True, check=True).stdout.strip()


def packages_of(suite, meta, arch=""):
    """The packages a meta package stands for, as [(name, .deb)].

    Newer kernels are split: linux-image-* only depends on linux-base-*,
    linux-binary-* and linux-modules-*. So follow every dependency that
    carries a version in its name; the rest has nothing we need.
    """
    wanted, found = [meta], {}
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        found[name] = deb = fetch_deb(suite, name, arch)
        wanted += re.findall(r"linux-(?:image|base|binary|modules)-\d[\w.+-]*",
                             deb_field(deb, "Depends"))
    return sorted(found.items())


def _merge_usr(into):
    """Older packages use /lib, newer ones /usr/lib: make both names work,
    because depmod may be built for either."""
    old, new = into / "lib", into / "usr/lib"
    if (old / "modules").is_dir():
        new.mkdir(parents=True, exist_ok=True)
        (old / "modules").rename(new / "modules")
        shutil.rmtree(old)
    old.symlink_to("usr/lib")


def _unpack(name, packages, into):
    """Unpack packages below ``into``; the record that describes it."""
    for _, deb in packages:
        subprocess.run(["dpkg-deb", "-x", deb, into], check=True)
    _merge_usr(into)
    images = (sorted(into.glob("boot/vmlinuz-*")) +
              sorted(into.glob("lib/modules/*/vmlinuz")))
    releases = [path.name for path in into.glob("lib/modules/*")]
    if len(images) != 1 or len(releases) != 1:
        raise Failure(f"the packages of kernel {name} hold {len(images)} "
                      f"kernel images and modules of {len(releases)} "
                      "kernels; one of each was expected",
                      "Remove build/cache/kernels and build/cache/debs and "
                      "run again.")
    subprocess.run([paths.tool("depmod", "kmod"), "-b", into, releases[0]],
                   check=True)
    elf = into / "vmlinux"
    elf.write_bytes(vmlinux.extract(images[0].read_bytes(), images[0].name))
    return {"layout": LAYOUT, "name": name, "release": releases[0],
            "packages": [[p, str(d.name)] for p, d in packages],
            "vmlinux": {"sha256": _sum(elf), "size": elf.stat().st_size,
                        "mtime": elf.stat().st_mtime_ns}}


def _intact(home, record):
    """Is the unpacked kernel what was unpacked?

    Summing 60 MB on each start would be felt, so the sum is only taken when
    size or time differ from the record.
    """
    elf, want = home / "vmlinux", record["vmlinux"]
    release = record["release"]
    if record.get("layout") != LAYOUT or not elf.is_file() or \
       not (home / "lib/modules" / release / "modules.dep").is_file():
        return False
    have = elf.stat()
    if have.st_size != want["size"]:
        return False
    if have.st_mtime_ns != want["mtime"]:
        if _sum(elf) != want["sha256"]:
            return False
        with contextlib.suppress(OSError):      # or sum it again each time
            os.utime(elf, ns=(have.st_atime_ns, want["mtime"]))
    return True


def _load(name, home):
    """The kernel unpacked in ``home``, or None if it is not to be trusted."""
    try:
        record = json.loads((home / "record.json").read_text())
        if not _intact(home, record):
            return None
        release = record["release"]
        return Kernel(name, release, home / "vmlinux",
                      home / "lib/modules" / release,
                      tuple(p for p, _ in record["packages"]))
    except (OSError, ValueError, KeyError):
        return None


def _obtain(name, home):
    failures = []
    for suite, meta in NAMES[name]:
        try:
            with step(f"fetching Debian's kernel {name} from {suite}"):
                found = packages_of(suite, meta)
            break
        except Failure as err:
            failures.append(err)
    else:
        raise failures[0]
    with step(f"unpacking kernel {name}"), paths.writable(home), \
            paths.replacing(home) as new:
        record = _unpack(name, found, new)
        (new / "record.json").write_text(json.dumps(record, indent=1) + "\n")


def _from_file(path):
    """A kernel given as a file; modules are looked for where distributions
    put them beside it."""
    path = pathlib.Path(path).resolve()
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    elf = paths.cache("kernels", "files") / f"{digest}.vmlinux"
    if not elf.is_file():
        with paths.writable(elf):
            paths.write_file(elf, vmlinux.extract(data, path))
    found = re.search(rb"Linux version (\S+) ", elf.read_bytes())
    if not found:
        raise Failure(f"{path} does not tell its version",
                      "Give a vmlinuz or vmlinux of Linux.")
    release = found.group(1).decode()
    for base in (path.parent, path.parent.parent, pathlib.Path("/")):
        modules = base / "lib/modules" / release
        if (modules / "modules.dep").is_file():
            return Kernel(str(path), release, elf, modules)
    return Kernel(str(path), release, elf)


def get(name=DEFAULT):
    """The kernel called ``name`` (a key of NAMES, or a file's path)."""
    if name not in NAMES:
        if pathlib.Path(name).is_file():
            return _from_file(name)
        raise Failure(f"no kernel '{name}'",
                      f"Known are {', '.join(NAMES)}, or give the path of a "
                      "vmlinuz or vmlinux.")
    home = paths.cache("kernels") / name
    kernel = _load(name, home)
    if kernel:
        return kernel
    with paths.locked(paths.cache("kernels") / f".{name}.lock"):
        kernel = _load(name, home)
        if not kernel:
            if home.exists():
                note(f"the unpacked kernel {name} is damaged or old; "
                      "making it again")
            _obtain(name, home)
            kernel = _load(name, home)
    return kernel
