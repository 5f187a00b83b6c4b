# SPDX-License-Identifier: GPL-2.0-or-later
"""A small checkout with a base of a few files, for the build scripts."""

import hashlib
import io
import os
import pathlib
import shutil
import subprocess
import tarfile

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]


class Checkout:
    """A copy of the scripts with its own patches, overlay and build/."""

    def __init__(self, top):
        self.top = top
        # As scripts/lib.sh has it for a path with white space.
        self.build = top.parent / 'build'
        self.env = dict(os.environ, HOME=str(top / 'home'),
                        GIT_CONFIG_GLOBAL=os.devnull)
        shutil.copytree(TOP / 'scripts', top / 'scripts',
                        ignore=shutil.ignore_patterns('__pycache__'))
        for name in ('configure', 'base.lock', 'VERSION'):
            shutil.copy(TOP / name, top)
        (top / 'patches').mkdir()
        (top / 'patches' / 'series').write_text('')
        self.build.mkdir()
        (top / 'build').symlink_to(self.build)

    def run(self, *command, **kwargs):
        """Run a program of the checkout; never raises."""
        program = self.top / command[0]
        return subprocess.run([program, *command[1:]], text=True,
                              stdin=subprocess.DEVNULL, cwd=self.top,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=dict(self.env, **kwargs), timeout=120)

    def ok(self, *command, **kwargs):
        done = self.run(*command, **kwargs)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def write(self, name, content):
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path

    def source(self, version='10.0.13', name='a source', files=()):
        """A directory that looks like a QEMU source tree."""
        tree = self.top / name
        tree.mkdir()
        (tree / 'VERSION').write_text(version + '\n')
        content = {'hw/a.c': 'one\ntwo\nthree\n', 'hw/b.c': 'b\n',
                   'meson.build': 'x\n',
                   # As Debian's sources: another series, applied.
                   '.pc/.quilt_patches': 'debian/patches\n',
                   '.pc/.version': '2\n', **dict(files)}
        for rel, text in content.items():
            (tree / rel).parent.mkdir(parents=True, exist_ok=True)
            (tree / rel).write_text(text)
        return tree

    def with_base(self):
        self.ok('scripts/base-fetch', f'--source={self.source()}')
        return self

    def patch(self, name, rel, old, new, header=True):
        """Add a patch that turns OLD, line two of REL, into lines NEW."""
        head = ('Description: test\nAuthor: Vadis\nForwarded: no\n'
                'Last-Update: 2026-01-01\nDrop-When: never\n\n')
        plus = ''.join(f'+{line}\n' for line in new)
        self.write(f'patches/{name}', (head if header else '') +
                   f'--- a/{rel}\n+++ b/{rel}\n@@ -1,3 +1,{2 + len(new)} @@\n'
                   f' one\n-{old}\n{plus} three\n')
        series = self.top / 'patches' / 'series'
        if name not in series.read_text().split():
            series.write_text(series.read_text() + name + '\n')


def make_tarball(path, version='10.0.13'):
    """A release tarball, one top directory, damaged by nobody yet."""
    with tarfile.open(path, 'w:xz') as tar:
        for name, text in (('VERSION', version + '\n'), ('hw/a.c', 'a\n')):
            info = tarfile.TarInfo(f'qemu-{version}/{name}')
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return path


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def checkout(tmp_path):
    top = tmp_path / 'check out'
    top.mkdir()
    return Checkout(top)
