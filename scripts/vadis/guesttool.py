# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs of guest/tools, compiled for a guest."""

import hashlib
import os
import subprocess

from . import paths
from .errors import Failure

TOOLS = paths.TOP / "guest/tools"
# What the programs include from elsewhere
SHARED = ("guest/lib", "include/standard-headers/linux")


def build(name):
    """Path of the compiled program; static, so that any guest runs it."""
    sources = sorted((TOOLS / name).glob("*.[ch]"))
    headers = [h for d in SHARED for h in sorted((paths.TOP / d).glob("*.h"))]
    digest = hashlib.sha256(b"".join(s.read_bytes()
                                     for s in sources + headers))
    binary = paths.cache("tools") / f"{name}-{digest.hexdigest()[:16]}"
    if not binary.is_file():
        new = binary.with_suffix(f".{os.getpid()}")
        compiler = os.environ.get("CC", "gcc").split()
        done = subprocess.run(
            [paths.tool(compiler[0], "gcc"), *compiler[1:], "-O2", "-Wall",
             "-Werror", "-static", "-o", new,
             *(s for s in sources if s.suffix == ".c")],
            capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failure(f"cannot compile {TOOLS / name}: "
                          f"{done.stderr.strip()[:400]}",
                          "Install gcc and libc6-dev: scripts/install-deps")
        new.rename(binary)
    return binary
