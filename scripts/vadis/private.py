# SPDX-License-Identifier: GPL-2.0-or-later
"""Private directories for sockets, which do not outlive their process.

A directory is locked by an open file as long as its owner lives. One whose
owner was killed is no longer locked and is removed by whoever makes the next.
"""

import fcntl
import os
import pathlib
import shutil
import tempfile

PREFIX = "vadis-"
LOCK = ".lock"
# sun_path, less the longest name we put into a directory.
PATH_MAX = 107 - len("/console")


class PrivateDir:
    """A new directory of mode 0700; close() removes it."""

    def __init__(self):
        sweep()
        self.path = tempfile.mkdtemp(prefix=PREFIX)
        if len(self.path) > PATH_MAX:
            os.rmdir(self.path)
            self.path = tempfile.mkdtemp(prefix=PREFIX, dir="/tmp")
        self._lock = open(os.path.join(self.path, LOCK), "wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def close(self):
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _abandoned(lock):
    """Did the process that made this lock end? Try to take it."""
    try:
        with open(lock, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except OSError:
        return False


def sweep():
    """Remove our own directories that killed processes left."""
    for lock in pathlib.Path(tempfile.gettempdir()).glob(
            f"{PREFIX}*/{LOCK}"):
        try:
            if lock.stat().st_uid == os.getuid() and _abandoned(lock):
                shutil.rmtree(lock.parent, ignore_errors=True)
        except OSError:
            continue                    # another process was faster
