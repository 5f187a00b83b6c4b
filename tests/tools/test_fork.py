# SPDX-License-Identifier: GPL-2.0-or-later
"""configure, fork-tree, patch-edit, packages, and the counts of check."""

import importlib.machinery
import importlib.util
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]


def git(tree, *args):
    return subprocess.run(['git', '-C', tree, *args], text=True, check=True,
                          stdout=subprocess.PIPE).stdout.strip()


@pytest.fixture
def fork(checkout):
    checkout.with_base()
    checkout.patch('0001-a.patch', 'hw/a.c', 'two', ['zwei'])
    checkout.write('hw/new.c', 'new\n')
    checkout.ok('scripts/fork-tree')
    return checkout


def test_fork_tree_has_a_commit_per_step(fork):
    tree = fork.build / 'fork-tree'
    assert git(tree, 'rev-list', '--count', 'fork') == '3'
    assert git(tree, 'log', '-2', '--format=%s') == \
        f'Vadis {(TOP / "VERSION").read_text().strip()}: the overlay\ntest'
    assert git(tree, 'diff', '--name-only', 'base') == 'hw/a.c\nhw/new.c'


def test_fork_tree_follows_the_overlay(fork):
    fork.write('hw/new.c', 'newer\n')
    fork.ok('scripts/fork-tree')
    assert (fork.build / 'fork-tree/hw/new.c').read_text() == 'newer\n'


def test_fork_tree_loses_no_work(fork):
    tree = fork.build / 'fork-tree'
    (tree / 'hw/a.c').write_text('mine\n')
    done = fork.run('scripts/fork-tree')
    assert done.returncode and 'not committed' in done.stderr
    git(tree, '-c', 'user.name=x', '-c', 'user.email=x', 'commit', '-qam',
        'mine')
    fork.ok('scripts/fork-tree')
    kept = git(tree, 'branch', '--list', 'kept-*').strip()
    assert git(tree, 'log', '-1', '--format=%s', kept) == 'mine'


def test_patch_edit_makes_an_applying_patch(checkout):
    checkout.with_base()
    name = '0001-turn-two.patch'
    checkout.ok('scripts/patch-edit', 'new', name, 'hw/a.c')
    scratch = checkout.ok('scripts/patch-edit', 'dir').stdout.strip()
    path = pathlib.Path(scratch) / 'hw/a.c'
    path.write_text(path.read_text().replace('two', 'zwei'))
    done = checkout.ok('scripts/patch-edit', 'finish')
    assert '1 patches apply' in done.stdout
    text = (checkout.top / 'patches' / name).read_text()
    assert '-two\n+zwei\n' in text and 'Drop-When:' in text
    assert '@@ -1,3 +1,3 @@' in text


def test_patch_edit_reopens(checkout):
    checkout.with_base()
    checkout.patch('0001-a.patch', 'hw/a.c', 'two', ['zwei'])
    checkout.ok('scripts/patch-edit', 'edit', '0001-a.patch')
    scratch = checkout.ok('scripts/patch-edit', 'dir').stdout.strip()
    path = pathlib.Path(scratch) / 'hw/a.c'
    path.write_text(path.read_text().replace('zwei', 'deux'))
    checkout.ok('scripts/patch-edit', 'finish')
    assert '+deux\n' in (checkout.top / 'patches/0001-a.patch').read_text()


def test_configure_unknown_option(checkout):
    done = checkout.run('configure', '--enable-nonsense')
    assert done.returncode and 'unknown option' in done.stderr
    assert '--help' in done.stderr


def test_configure_wrong_version(checkout):
    done = checkout.run('configure', f'--source={checkout.source("9.2.0")}')
    assert done.returncode and 'QEMU 9.2.0 is not a base' in done.stderr


def test_configure_help(checkout):
    done = checkout.ok('configure', '--help')
    for word in ('--source', '--target-list', '--enable-asan', '--'):
        assert word in done.stdout


def test_other_systems_get_the_list(checkout):
    release = checkout.write('os-release', 'VERSION_CODENAME=noble\n')
    done = checkout.run('scripts/install-deps', OS_RELEASE=str(release))
    assert done.returncode == 1 and 'libglib2.0-dev' in done.stdout
    assert 'not Debian' in done.stdout


def test_missing_packages_are_reported(checkout):
    done = checkout.run('scripts/apt-private', 'missing',
                        'no-such-package-here', 'coreutils')
    assert done.stdout == 'no-such-package-here\n'


@pytest.mark.skipif(os.getuid() != 0, reason='needs root to become nobody')
@pytest.mark.skipif(not os.stat('/').st_mode & 0o001,
                    reason='no other user may enter / here')
def test_no_sudo_says_what_is_missing():
    with tempfile.TemporaryDirectory() as temp:
        top = pathlib.Path(temp)
        shutil.copytree(TOP / 'scripts', top / 'scripts',
                        ignore=shutil.ignore_patterns('__pycache__'))
        (top / 'tools').mkdir()
        for tool in ('dpkg-query', 'id', 'dirname', 'mkdir', 'cat', 'env'):
            (top / 'tools' / tool).symlink_to(shutil.which(tool))
        for path in [top, *top.rglob('*')]:
            if not path.is_symlink():
                shutil.chown(path, 'nobody')
        done = subprocess.run(
            [shutil.which('setpriv'), '--reuid=nobody', '--clear-groups', '/bin/bash',
             top / 'scripts' / 'apt-private', 'ensure', 'no-such-package'],
            text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env={'PATH': str(top / 'tools')})
    assert done.returncode == 1
    assert 'packages to install: no-such-package' in done.stdout
    assert 'As root, run: apt-get install no-such-package' in done.stderr


def load_check():
    loader = importlib.machinery.SourceFileLoader(
        'check', str(TOP / 'scripts' / 'check'))
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_loader('check', loader))
    loader.exec_module(module)
    return module


JUNIT = '''<testsuites><testsuite>
<testcase classname="c" name="good"/>
<testcase classname="c" name="bad"><failure/></testcase>
<testcase classname="c" name="broken"><error/></testcase>
<testcase classname="c" name="no"><skipped message="why"/></testcase>
</testsuite></testsuites>'''


def counts(result):
    return result.passed, result.failed, result.skipped


def test_check_counts_junit(tmp_path):
    check = load_check()
    result, xml = check.Result(), tmp_path / 'x.xml'
    xml.write_text(JUNIT)
    check.collect(result, [xml], 1, 'stage', check.OUT / 'x.log')
    assert counts(result) == (1, 2, 1)
    assert 'skipped: c/no why' in result.notes


@pytest.mark.parametrize('content, status', [
    ('<testsuites/>', 0),           # ran no test
    ('<testsuites/>', 1),           # broke before the first
    ('not xml', 0),                 # left no result
    ('<t><testcase name="x"/></t>', 3),     # passed, but ended badly
])
def test_check_never_passes_by_accident(tmp_path, content, status):
    check = load_check()
    result, xml = check.Result(), tmp_path / 'x.xml'
    xml.write_text(content)
    check.collect(result, [xml], status, 'stage', check.OUT / 'x.log')
    assert result.failed == 1


def test_fork_tree_goes_on_after_an_interruption(fork):
    tree = fork.build / 'fork-tree'
    (tree / '.git' / 'vadis-composing').touch()
    (tree / 'hw/a.c').write_text('half\n')
    fork.ok('scripts/fork-tree')
    assert git(tree, 'status', '--porcelain') == ''
    assert (tree / 'hw/a.c').read_text() == 'one\nzwei\nthree\n'


def test_compose_follows_a_changed_source(checkout):
    tree = checkout.source()
    checkout.ok('scripts/base-fetch', f'--source={tree}')
    checkout.ok('scripts/compose')
    (tree / 'hw/b.c').write_text('changed\n')
    checkout.ok('scripts/base-fetch', f'--source={tree}')
    checkout.ok('scripts/compose')
    assert (checkout.build / 'src/hw/b.c').read_text() == 'changed\n'


def test_no_network_is_said(checkout):
    # A mirror that answers nothing is an error, not an empty list.
    done = checkout.run('scripts/apt-private', 'deb', 'bookworm', 'nothing',
                        VADIS_MIRROR='http://127.0.0.1:1/debian',
                        VADIS_SECURITY_MIRROR='http://127.0.0.1:1/debian',
                        http_proxy='')
    assert done.returncode and 'no network?' in done.stderr, done.stderr
    assert not (checkout.build / 'apt' / 'updated').exists()
