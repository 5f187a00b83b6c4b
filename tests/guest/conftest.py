# SPDX-License-Identifier: GPL-2.0-or-later
"""What all guest tests share; options and reports are in ../conftest.py."""

import itertools
import os
import shutil
import subprocess
import tempfile

import pytest

from vmtest import DEADLINE, RUN_VM, VM
import fleet as fleets

RINGS = {"packed": True, "split": False}
FLEETS = [f"{kernel}-{ring}" for kernel, ring in
          itertools.product(fleets.KERNELS, RINGS)]


@pytest.fixture
def run_vm():
    """Call scripts/run-vm and return the finished process, output as bytes."""
    def call(*args, **options):
        options.setdefault("input", b"")
        return subprocess.run([RUN_VM, *args], capture_output=True,
                              timeout=DEADLINE, check=False, **options)

    return call


@pytest.fixture
def start_run_vm():
    """Start scripts/run-vm; what still runs at the end of a test is ended."""
    started = []

    def start(*args, **options):
        process = subprocess.Popen([RUN_VM, *args], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, **options)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def text_file(tmp_path):
    """A directory whose name is hard to quote, with one file in it."""
    path = tmp_path / "a dir, with 'odd' name" / "file.txt"
    path.parent.mkdir()
    path.write_text("from the host\n")
    return path


@pytest.fixture(scope="module")
def guest():
    """One running guest for tests that leave it as they found it."""
    with VM(log=os.environ.get("VADIS_TEST_LOG")) as vm:
        yield vm


@pytest.fixture
def home():
    """A private directory with a path short enough for sockets."""
    path = tempfile.mkdtemp(prefix="vadis-test-")
    yield path
    shutil.rmtree(path)


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "on(names): the fleets a test usually runs on; all of "
                   "them with --soak or without the marker")


def pytest_generate_tests(metafunc):
    if "fleet" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("on")
    names = FLEETS
    if marker and not metafunc.config.getoption("--soak"):
        # The very objects: pytest tells parameters apart by identity.
        names = [name for name in FLEETS if name in marker.args]
    metafunc.parametrize("fleet", names, indirect=True, scope="session")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Bring all tests of one fleet together, so that each boots once.

    pytest groups by a parameter's position in its list, and the lists differ.
    """
    def place(item):
        name = getattr(item, "callspec", None) and \
            item.callspec.params.get("fleet")
        return FLEETS.index(name) if name else -1

    items.sort(key=place)               # stable


@pytest.fixture(scope="session")
def fleet(request):
    """A running guest with all devices, shared by all tests on it."""
    kernel, _, ring = request.param.partition("-")
    path = tempfile.mkdtemp(prefix="vadis-fleet-")
    try:
        machine = fleets.Fleet(kernel, RINGS[ring], path)
        with machine.vm:
            yield machine
    finally:
        shutil.rmtree(path)
