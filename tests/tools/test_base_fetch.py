# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/base-fetch: sources, versions, the cache, damaged input."""

import os
import shutil
import subprocess

import pytest
from conftest import make_tarball, sha256

# Stands in for apt: hands out what lies in archive/<version>.
FAKE_APT = '''#!/bin/bash
echo "$2" >>"$(dirname "$0")/../fetched"
cp "$(dirname "$0")/../archive/$2/"* "$3" 2>/dev/null
'''


def debian_source(checkout, version, qemu='10.0.13'):
    """Make a real Debian source package in archive/VERSION."""
    place = checkout.top / 'archive' / version
    place.mkdir(parents=True)
    tree = checkout.source(qemu, name=f'qemu-{version}')
    (tree / 'debian' / 'source').mkdir(parents=True)
    (tree / 'debian' / 'source' / 'format').write_text('3.0 (native)\n')
    (tree / 'debian' / 'control').write_text(
        'Source: qemu\nMaintainer: nobody <nobody@example.org>\n\n'
        'Package: qemu\nArchitecture: any\nDescription: test\n')
    (tree / 'debian' / 'changelog').write_text(
        f'qemu ({version}) unstable; urgency=low\n\n  * test\n\n'
        ' -- nobody <nobody@example.org>  Thu, 01 Jan 2026 00:00:00 +0000\n')
    subprocess.run(['dpkg-source', '-b', tree], cwd=place, check=True,
                   stdout=subprocess.DEVNULL)
    return sha256(next(place.glob('*.dsc')))


@pytest.fixture
def archive(checkout):
    if not shutil.which('dpkg-source'):
        pytest.fail('dpkg-source is missing: make deps')
    apt = checkout.write('scripts/apt-private', FAKE_APT)
    apt.chmod(0o755)
    return checkout


def lock(checkout, *entries):
    checkout.write('base.lock', ''.join(
        f'tested 10.0.13 {v} {s}\n' for v, s in entries))


def test_directory(checkout):
    checkout.ok('scripts/base-fetch', f'--source={checkout.source()}')
    assert (checkout.build / 'base' / 'hw' / 'a.c').exists()


def test_tarball(checkout):
    tar = make_tarball(checkout.top / 'q emu.tar.xz')
    checkout.ok('scripts/base-fetch', f'--source={tar}')
    assert (checkout.build / 'base' / 'VERSION').read_text() == '10.0.13\n'


def test_damaged_tarball(checkout):
    tar = make_tarball(checkout.top / 'q.tar.xz')
    tar.write_bytes(tar.read_bytes()[:100])
    done = checkout.run('scripts/base-fetch', f'--source={tar}')
    assert done.returncode and 'base-fetch: error: ' in done.stderr
    assert 'Traceback' not in done.stderr
    assert not (checkout.build / 'base').exists()


def test_other_version_is_refused(checkout):
    tree = checkout.source('11.1.3')
    done = checkout.run('scripts/base-fetch', f'--source={tree}')
    assert done.returncode and 'QEMU 11.1.3 is not a base' in done.stderr


def test_untested_version_is_warned_of(checkout):
    done = checkout.ok('scripts/base-fetch',
                       f'--source={checkout.source("10.0.5")}')
    assert 'QEMU 10.0.5 is not tested' in done.stderr


def test_no_source_tree(checkout):
    done = checkout.run('scripts/base-fetch', f'--source={checkout.build}')
    assert done.returncode and 'not a QEMU source tree' in done.stderr


def test_absent_source(checkout):
    done = checkout.run('scripts/base-fetch', '--source=/nowhere')
    assert done.returncode and 'does not exist' in done.stderr


def test_failed_fetch_keeps_earlier_base(checkout):
    checkout.with_base()
    checkout.run('scripts/base-fetch', '--source=/nowhere')
    assert (checkout.build / 'base' / 'hw' / 'a.c').exists()


def test_falls_back_to_next_entry(archive):
    digest = debian_source(archive, '2.0')
    lock(archive, ('1.0', '0' * 64), ('2.0', digest))
    done = archive.ok('scripts/base-fetch')
    assert 'source 1.0' in done.stderr
    assert digest in (archive.build / 'base.stamp').read_text()


def test_wrong_sum_is_refused(archive):
    debian_source(archive, '1.0')
    lock(archive, ('1.0', '1' * 64))
    done = archive.run('scripts/base-fetch')
    assert done.returncode and 'differs from the sum' in done.stderr
    assert not (archive.build / 'base').exists()


def test_damaged_cache_is_fetched_again(archive):
    digest = debian_source(archive, '1.0')
    lock(archive, ('1.0', digest))
    archive.ok('scripts/base-fetch')
    for path in (archive.build / 'cache' / 'base').rglob('*.tar.*'):
        path.write_bytes(b'x' + path.read_bytes()[1:])
    shutil.rmtree(archive.build / 'base')
    archive.ok('scripts/base-fetch')
    assert (archive.top / 'fetched').read_text() == '1.0\n1.0\n'


def test_offline_from_cache(archive):
    digest = debian_source(archive, '1.0')
    lock(archive, ('1.0', digest))
    archive.ok('scripts/base-fetch')
    shutil.rmtree(archive.top / 'archive')
    shutil.rmtree(archive.build / 'base')
    archive.ok('scripts/base-fetch')
    assert (archive.build / 'base' / 'hw' / 'a.c').exists()


def test_nothing_to_be_had(archive):
    lock(archive, ('1.0', '0' * 64))
    done = archive.run('scripts/base-fetch')
    assert done.returncode and '--source=DIR' in done.stderr


def test_second_run_does_nothing(archive):
    lock(archive, ('1.0', debian_source(archive, '1.0')))
    archive.ok('scripts/base-fetch')
    before = os.stat(archive.build / 'base').st_ino
    archive.ok('scripts/base-fetch')
    assert os.stat(archive.build / 'base').st_ino == before
