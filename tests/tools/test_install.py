# SPDX-License-Identifier: GPL-2.0-or-later
"""make install, on a program of one line; tests/guest has the emulator."""

import pathlib
import shutil
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]

CONFIGURE = r"""#!/bin/bash
# Keeps its arguments as the real one does, and counts its runs.
set -e
cd "$(dirname "$0")"
prefix=/usr/local
for a; do
    case $a in --prefix=*) prefix=${a#*=} ;; --) break ;; esac
done
new=()
[ -d build/qemu ] && new=(--reconfigure)
/usr/bin/meson setup "${new[@]}" build/qemu project --prefix="$prefix"
mkdir -p build/qemu/pyvenv/bin
ln -sf /usr/bin/meson build/qemu/pyvenv/bin/meson
printf '%q ' "$@" >build/configure.args
echo >>build/configured
"""
INNER_BUILD = """#!/bin/bash
exec ninja -C "$(dirname "$0")/../build/qemu" "$@"
"""
PROJECT = {
    'meson.build': """project('x', 'c')
executable('qemu-system-x86_64', 'x.c', install: true)
executable('test-x', 'x.c')
""",
    'x.c': 'int main(void) { return 0; }\n'}


@pytest.fixture
def tree(checkout):
    """A checkout that builds the project with meson; not yet configured."""
    shutil.copy(TOP / 'Makefile', checkout.top)
    for name, content in PROJECT.items():
        checkout.write(f'project/{name}', content)
    # Written over the real ones, so they are executable.
    checkout.write('configure', CONFIGURE)
    checkout.write('scripts/inner-build', INNER_BUILD)
    return checkout


def install(tree, *words):
    return subprocess.run(['make', '-s', 'install', *words], cwd=tree.top,
                          env=tree.env, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=120)


def installed(tree, done, path):
    """The path below the checkout is there and was named last."""
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tree.top / path).stat().st_mode & 0o111
    last = done.stdout.splitlines()[-1]
    assert last.endswith(f'installed {tree.top / path}')


def configured(tree):
    return len((tree.build / 'configured').read_text())


def test_prefix_and_destdir(tree):
    done = install(tree, 'PREFIX=/opt/vadis', 'DESTDIR=a stage')
    installed(tree, done, 'a stage/opt/vadis/bin/qemu-system-x86_64')
    # Nothing was built for another prefix, or for tests only.
    assert configured(tree) == 1
    assert not (tree.build / 'qemu' / 'test-x').exists()


def test_another_prefix_keeps_the_other_arguments(tree):
    tree.ok('configure', '--prefix=/opt/old', '--enable-debug', '--',
            '--with-x=a b')
    done = install(tree, 'PREFIX=/opt/new', 'DESTDIR=stage')
    installed(tree, done, 'stage/opt/new/bin/qemu-system-x86_64')
    assert (tree.build / 'configure.args').read_text().split(' ', 1) == [
        '--prefix=/opt/new', '--enable-debug -- --with-x=a\\ b ']


def test_the_configured_prefix_needs_no_configure(tree):
    tree.ok('configure', '--prefix=/opt/old')
    for words in [], ['PREFIX=/opt/old']:
        done = install(tree, f'DESTDIR={tree.top}/stage', *words)
        installed(tree, done, 'stage/opt/old/bin/qemu-system-x86_64')
    assert configured(tree) == 1


def test_failure_names_the_log(tree):
    tree.write('in the way', '')
    done = install(tree, 'DESTDIR=in the way')
    assert done.returncode != 0
    assert 'the installation failed: ' in done.stderr
    assert f'{tree.build}/install.log' in done.stderr
