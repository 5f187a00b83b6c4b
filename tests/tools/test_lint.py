# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/lint finds what it says it finds."""

import subprocess

import pytest


@pytest.fixture
def tree(checkout):
    """A checkout in git that passes the checks tried here."""
    checkout.with_base()
    subprocess.run(['git', 'init', '-q', checkout.top], check=True)
    checkout.write('.gitignore', '/build\n/home\n/a source\n')
    return checkout


def lint(tree, check):
    done = tree.run('scripts/lint', check)
    assert 'Traceback' not in done.stderr, done.stderr
    return done


def rejects(tree, check, words):
    done = lint(tree, check)
    assert done.returncode == 1 and words in done.stdout, done.stdout


@pytest.mark.parametrize('check', ['overlay', 'patches', 'apply', 'words',
                                   'spdx', 'size', 'python', 'shell', 'links'])
def test_clean_tree_passes(tree, check):
    tree.write('.gitignore', '/build\n/home\n/a source\n/.gitignore\n')
    done = lint(tree, check)
    assert done.returncode == 0, done.stdout


def test_overlay_collision(tree):
    tree.write('hw/a.c', 'mine')
    rejects(tree, 'overlay', 'hw/a.c exists in QEMU')


def test_patch_outside_series(tree):
    tree.write('patches/0009-x.patch', 'Description: x\n')
    rejects(tree, 'patches', 'is not in patches/series')


def test_patch_without_header(tree):
    tree.patch('0001-a.patch', 'hw/a.c', 'two', ['2'], header=False)
    rejects(tree, 'patches', 'header lacks Drop-When')


def test_large_hunk(tree):
    tree.patch('0001-a.patch', 'hw/a.c', 'two', ['x'] * 21)
    rejects(tree, 'patches', 'belong in an overlay file')


def test_budget(tree):
    for i in range(25):
        tree.patch(f'{i:04}-a.patch', 'hw/a.c', 'two', ['x'] * 20)
    rejects(tree, 'patches', '25 patches, 24 allowed')


def test_much_context(tree):
    tree.patch('0001-a.patch', 'hw/a.c', 'two', ['2'])
    path = tree.top / 'patches' / '0001-a.patch'
    path.write_text(path.read_text().replace(' one\n', ' one\n one\n'))
    rejects(tree, 'patches', 'more than one context line')


def test_machine_path(tree):
    tree.write('docs/x.rst', 'see /' + 'root/secret\n')
    rejects(tree, 'words', 'docs/x.rst:1')


def test_missing_licence_line(tree):
    tree.write('hw/new.c', 'int x;\n')
    rejects(tree, 'spdx', 'hw/new.c: no SPDX line')


def test_long_function(tree):
    tree.write('hw/new.c', 'void f(void)\n{\n' + '    g();\n' * 90 + '}\n')
    rejects(tree, 'size', 'function of')


def test_bad_python(tree):
    tree.write('scripts/x.py', 'def f(:\n')
    rejects(tree, 'python', 'SyntaxError')


def test_bad_shell(tree):
    tree.write('scripts/x', '#!/bin/bash\nrm -rf $1/*\n')
    rejects(tree, 'shell', 'SC2086')


def test_unused_trace_event(tree):
    tree.write('hw/virtio/x/trace-events', 'x_never(void) "x"\n')
    rejects(tree, 'trace', 'x_never is never used')


def test_incomplete_device(tree):
    tree.write('hw/virtio/x/virtio-x-pci.c', '\n')
    rejects(tree, 'devices', 'docs/system/devices/virtio-x.rst is missing')


@pytest.mark.parametrize('page, words', [
    ('README.md', 'See [tests](docs/gone.rst#rules).'),
    ('docs/devel/x.md', 'See [tests](../gone.rst).'),
    ('docs/devel/x.rst', 'See `tests <../gone.rst>`_.'),
    ('docs/devel/x.rst', 'Call ``scripts/gone --all``.'),
    ('docs/devel/x.rst', '::\n\n    scripts/gone\n'),
    ('docs/devel/x.rst', 'Look into ``docs/gone/<name>/``.')])
def test_dead_reference(tree, page, words):
    tree.write(page, words + '\n')
    rejects(tree, 'links', 'does not exist')


def test_living_references(tree):
    tree.write('docs/devel/x.rst', """
See `lint <../../README.md>`_, `a site <https://example.org/gone>`_,
``scripts/lint --junit FILE``, ``docs/<folder>/x.rst``, ``hw/a.c`` of the
base, ``build/check`` and ``./configure``.
""")
    tree.write('hw/new.c', '')
    tree.write('README.md', '[x](docs/devel/x.rst) [y](https://a.b/c)\n')
    done = lint(tree, 'links')
    assert done.returncode == 0, done.stdout
    assert '[5 references in 2 pages]' in done.stdout
