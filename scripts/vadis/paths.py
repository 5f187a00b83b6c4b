# SPDX-License-Identifier: GPL-2.0-or-later
"""Where things are: checkout, build directory, caches, the QEMU binary."""

import contextlib
import fcntl
import os
import pathlib
import shutil
import tempfile

from .errors import Failure

TOP = pathlib.Path(__file__).resolve().parents[2]
SCRIPTS = TOP / "scripts"
# Where Debian's seabios, qemu-system-data and ipxe-qemu put their files.
FIRMWARE = ("/usr/share/seabios", "/usr/share/qemu", "/usr/lib/ipxe/qemu")


def build():
    """The build directory; ``build`` may be a link to another place."""
    path = TOP / "build"
    with writable(path):
        path.mkdir(exist_ok=True)
    return path.resolve()


def cache(*parts):
    """A directory below build/cache, created when missing."""
    path = build().joinpath("cache", *parts)
    with writable(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def writable(path):
    """Turn a failure to write below the checkout into words."""
    try:
        yield
    except (PermissionError, FileExistsError) as err:
        raise Failure(f"cannot write {path}: {err.strerror}",
                      "Check who owns it, or use a checkout of your own.")
    except OSError as err:
        raise Failure(f"cannot write {path}: {err.strerror}",
                      "Free some space and run again; nothing half done "
                      "is kept.")


@contextlib.contextmanager
def locked(path):
    """Hold an exclusive lock on ``path``; others wait for it."""
    with writable(path), open(path, "a", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def made_once(path, make):
    """``path``, a file; if it is not there, make(new) makes it, once: others
    who want it wait."""
    with locked(path.with_suffix(".lock")):
        if not path.is_file():
            new = path.with_suffix(".new")
            make(new)
            new.rename(path)
    return path


@contextlib.contextmanager
def replacing(path):
    """A new directory that becomes ``path`` if the block succeeds.

    What was there is removed; a failure leaves nothing behind.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = pathlib.Path(tempfile.mkdtemp(prefix=".new.", dir=path.parent))
    try:
        new.chmod(0o755)
        yield new
        if path.exists():
            shutil.rmtree(path)
        new.rename(path)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def write_file(path, data, mode=0o644):
    """Write bytes so that readers see all of them or the old file."""
    path = pathlib.Path(path)
    fd, name = tempfile.mkstemp(prefix=".new.", dir=path.parent)
    try:
        with open(fd, "wb") as out:
            out.write(data)
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def tool(name, package):
    """Path of a program, looked for in the system directories as well.

    Debian keeps administrators' tools out of a user's PATH.
    """
    path = shutil.which(name, path=os.environ.get("PATH", "") +
                        ":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin")
    if not path:
        raise Failure(f"the program '{name}' is missing",
                      f"Install the Debian package {package}, or run: "
                      "scripts/install-deps")
    return path


def qemu(arch="x86_64", override=None):
    """The QEMU binary: --qemu, $VADIS_QEMU, or the one make built."""
    named = override or os.environ.get("VADIS_QEMU")
    if named:
        path = pathlib.Path(named)
        hint = "Correct --qemu or VADIS_QEMU, or unset it to use the build."
    else:
        path = build() / f"qemu-system-{arch}"
        hint = "Run: make"
    if not (path.is_file() and os.access(path, os.X_OK)):
        raise Failure(f"no QEMU binary at {path}", hint)
    return path.absolute()


def qemu_img():
    """qemu-img of the same build as qemu(), else the one in PATH."""
    named = os.environ.get("VADIS_QEMU")
    near = pathlib.Path(named).parent if named else build()
    for path in (near / "qemu-img", build() / "qemu" / "qemu-img"):
        if path.is_file():
            return path
    return pathlib.Path(tool("qemu-img", "qemu-utils"))


def firmware_args(binary):
    """-L arguments that let an uninstalled QEMU find Debian's firmware.

    A binary in its build directory looks for data below qemu-bundle/ there
    and never in the system's directories.
    """
    bundle = pathlib.Path(binary).resolve().parent / "qemu-bundle"
    if not bundle.is_dir():
        return []
    return [arg for place in FIRMWARE if os.path.isdir(place) and
            not (bundle / place[1:]).exists() for arg in ("-L", place)]
