# SPDX-License-Identifier: GPL-2.0-or-later
"""DPDK 22.11's testpmd, out of Debian's packages, in a guest or on this host.

Drivers are named, not given as files: DPDK loads none below a directory that
everybody can write to, and a checkout can be below /tmp.
"""

import os
import pty
import subprocess
import threading

from vadis import unpacked
from vadis.errors import Failure

# Of the driver's plugins only these are loaded; the programs that build
# against DPDK, which come with testpmd, are not needed at all.
SKIP = r"-dev_|-doc_|^(linux|gcc|g\+\+|cpp|python|perl|binutils)"
ABI = 23


def get():
    """The directory testpmd and its libraries are in."""
    return unpacked.get("bookworm", "dpdk-dev", SKIP)


def words(root, plugins, eal, options):
    """The words that start testpmd on the loader and libraries it came with.

    :param plugins: the drivers to load, as in "net_vhost"
    :param eal: further arguments for DPDK itself
    :param options: arguments for testpmd
    """
    libraries = [root / "usr/lib/x86_64-linux-gnu",
                 root / "lib/x86_64-linux-gnu",
                 *(root / "usr/lib/x86_64-linux-gnu/dpdk").glob("pmds-*")]
    argv = [root / "lib64/ld-linux-x86-64.so.2", "--library-path",
            ":".join(map(str, libraries)), root / "usr/bin/dpdk-testpmd",
            "--no-telemetry"]
    for name in plugins:
        argv += ["-d", f"librte_{name}.so.{ABI}"]
    return [str(word) for word in (*argv, *eal, "--", *options)]


class VhostSwitch:
    """testpmd on this host, as a wire between two vhost-user sockets.

    No huge pages, no privileges. One thread of it polls. It ends when its
    standard input does, and so with this process.

    :ivar sockets: where it listens, one path for each port
    """
    READY = b"Press enter to exit"

    def __init__(self, home):
        self.sockets = [f"{home}/port{i}" for i in range(2)]
        self.said = bytearray()
        self._ready = threading.Event()
        vdevs = [f"--vdev=net_vhost{i},iface={path},"
                 "iommu-support=1"
                 for i, path in enumerate(self.sockets)]
        # All threads on any CPU: DPDK would bind each to one of its own.
        cpus = ",".join(map(str, sorted(os.sched_getaffinity(0))))
        self._argv = words(
            get(), ("bus_vdev", "mempool_ring", "net_vhost"),
            ["--no-huge", "--no-shconf", "--no-pci", "-m", "64",
             "--lcores", f"(0-1)@({cpus})", *vdevs],
            ["--total-num-mbufs=4096", "--forward-mode=io",
             "--disable-link-check", "--no-mlockall"])
        self._env = {**os.environ, "RUNTIME_DIRECTORY": str(home),
                     "XDG_RUNTIME_DIR": str(home)}
        self._process = self._reader = None

    def __enter__(self):
        # Only on a terminal are its lines not kept back.
        ours, its = pty.openpty()
        with open(its, "wb") as out:
            self._process = subprocess.Popen(
                self._argv, stdin=subprocess.PIPE, stdout=out, stderr=out,
                cwd="/", env=self._env)
        self._reader = threading.Thread(target=self._read, daemon=True,
                                        args=(open(ours, "rb", 0),))
        self._reader.start()
        self._ready.wait()
        if self.READY not in self.said:
            self._process.wait()
            raise Failure("testpmd ended", self.text[-2000:])
        return self

    def _read(self, terminal):
        with terminal:
            try:
                while data := terminal.read(4096):
                    self.said += data
                    if self.READY in self.said:
                        self._ready.set()
            except OSError:             # EIO: it has ended
                pass
        self._ready.set()

    @property
    def text(self):
        """What testpmd has said."""
        return bytes(self.said).decode(errors="replace")

    def __exit__(self, *_):
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._reader.join()
