# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/compose: what changes in build/src, and what does not."""

import os

import pytest


@pytest.fixture
def tree(checkout):
    checkout.with_base().ok('scripts/compose')
    return checkout


def src(tree, name):
    return tree.build / 'src' / name


def stamps(tree):
    """Inode and mtime of every composed file: a rewrite shows."""
    return {p: (os.lstat(p).st_ino, os.lstat(p).st_mtime_ns)
            for p in (tree.build / 'src').rglob('*') if not p.is_dir()}


def test_nothing_to_do_changes_nothing(tree):
    tree.write('hw/new.c', 'new\n')
    tree.ok('scripts/compose')
    before = stamps(tree)
    tree.ok('scripts/compose')
    assert stamps(tree) == before


def test_overlay_file_is_a_link_to_the_repository(tree):
    real = tree.write('hw/virtio/new.c', 'new\n')
    tree.ok('scripts/compose')
    link = src(tree, 'hw/virtio/new.c')
    assert link.is_symlink() and link.resolve() == real.resolve()
    real.write_text('edited\n')
    assert link.read_text() == 'edited\n'


def test_removed_overlay_file_goes(tree):
    path = tree.write('hw/virtio/deep/new.c', 'new\n')
    tree.ok('scripts/compose')
    path.unlink()
    tree.ok('scripts/compose')
    assert not os.path.lexists(src(tree, 'hw/virtio/deep/new.c'))
    assert not src(tree, 'hw/virtio').exists()
    assert src(tree, 'hw/a.c').exists()


def test_renamed_overlay_file(tree):
    path = tree.write('hw/new.c', 'new\n')
    tree.ok('scripts/compose')
    path.rename(tree.top / 'hw' / 'other.c')
    tree.ok('scripts/compose')
    assert not os.path.lexists(src(tree, 'hw/new.c'))
    assert src(tree, 'hw/other.c').read_text() == 'new\n'


def test_overlay_must_not_replace(tree):
    tree.write('hw/a.c', 'mine\n')
    done = tree.run('scripts/compose')
    assert done.returncode and 'hw/a.c exists in QEMU' in done.stderr
    assert src(tree, 'hw/a.c').read_text() == 'one\ntwo\nthree\n'


def test_root_files_are_not_laid_over(tree):
    tree.write('meson.build', 'ours\n')
    tree.ok('scripts/compose')
    assert src(tree, 'meson.build').read_text() == 'x\n'


def test_patch_rewrites_only_its_file(tree):
    before = stamps(tree)
    tree.patch('0001-a.patch', 'hw/a.c', 'two', ['zwei'])
    tree.ok('scripts/compose')
    after = stamps(tree)
    changed = {p.name for p in after if after[p] != before[p]}
    assert changed == {'a.c'}
    assert src(tree, 'hw/a.c').read_text() == 'one\nzwei\nthree\n'


def test_dropped_patch_restores_the_file(tree):
    tree.patch('0001-a.patch', 'hw/a.c', 'two', ['zwei'])
    tree.ok('scripts/compose')
    tree.write('patches/series', '')
    tree.ok('scripts/compose')
    assert src(tree, 'hw/a.c').read_text() == 'one\ntwo\nthree\n'


def test_edited_header_rewrites_nothing(tree):
    tree.patch('0001-a.patch', 'hw/a.c', 'two', ['zwei'])
    tree.ok('scripts/compose')
    before = stamps(tree)
    tree.patch('0001-a.patch', 'hw/a.c', 'two', ['zwei'], header=False)
    tree.ok('scripts/compose')
    assert stamps(tree) == before


def test_patch_that_does_not_apply(tree):
    tree.patch('0001-a.patch', 'hw/a.c', 'nowhere', ['x'])
    done = tree.run('scripts/compose')
    assert done.returncode
    assert '0001-a.patch does not apply' in done.stderr
    assert 'patch-edit edit 0001-a.patch' in done.stderr
    assert src(tree, 'hw/a.c').read_text() == 'one\ntwo\nthree\n'


def test_fuzz_is_refused(tree):
    text = ('--- a/hw/a.c\n+++ b/hw/a.c\n@@ -1,3 +1,3 @@\n'
            ' other\n-two\n+zwei\n three\n')
    tree.write('patches/0001-a.patch', text)
    tree.write('patches/series', '0001-a.patch\n')
    assert tree.run('scripts/compose').returncode


def test_missing_patch_file(tree):
    tree.write('patches/series', '0001-gone.patch\n')
    done = tree.run('scripts/compose')
    assert done.returncode and 'which is not there' in done.stderr


def test_interrupted_copy_starts_over(tree):
    (tree.build / 'compose' / 'base').unlink()
    src(tree, 'hw/a.c').unlink()
    tree.ok('scripts/compose')
    assert src(tree, 'hw/a.c').exists()


def test_without_base(checkout):
    done = checkout.run('scripts/compose')
    assert done.returncode and './configure' in done.stderr
