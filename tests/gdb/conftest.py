# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of the gdb tests."""

import os
import pathlib
import shutil
import tempfile

import gdbtest
import pytest


@pytest.fixture(scope='session')
def gdb():
    """gdb with Python, which scripts/install-deps installs."""
    assert shutil.which('gdb'), \
        'gdb is missing: run scripts/install-deps (Debian package gdb)'
    return gdbtest.run_gdb


@pytest.fixture(scope='session')
def qemu():
    """The QEMU to look into: $VADIS_QEMU or the one make built."""
    path = pathlib.Path(os.environ.get(
        'VADIS_QEMU', gdbtest.TOP / 'build' / 'qemu-system-x86_64'))
    assert path.is_file(), f'no QEMU at {path}: run make'
    return path


@pytest.fixture
def private_dir():
    """A directory for sockets and RAM, removed afterwards.

    The blank in its name keeps everybody quoting.
    """
    path = pathlib.Path(tempfile.mkdtemp(prefix='vadis gdb.'))
    yield path
    shutil.rmtree(path)
