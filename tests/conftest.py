# SPDX-License-Identifier: GPL-2.0-or-later
"""Options and failure reports of all tests below this directory."""

import os
import pathlib
import signal
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import vmtest  # noqa: E402  (needs the path above)


def pytest_addoption(parser):
    parser.addoption("--soak", action="store_true",
                     default=bool(os.environ.get("VADIS_SOAK")),
                     help="full counts: more rounds of everything that "
                          "repeats (also VADIS_SOAK=1)")


def pytest_configure():
    """Let programs under test see Ctrl-C, as on a terminal.

    A job that a shell runs in the background ignores SIGINT, and so would
    everything that a test starts. A handler is not inherited.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def rounds(request):
    """rounds(2, 20) is 2, and 20 with --soak."""
    soak = request.config.getoption("--soak")
    return lambda usual, full: full if soak else usual


def pytest_runtest_setup(item):
    del item
    # Machines of earlier tests that still run come in through fixtures.
    vmtest.started.clear()


def machines_of(item):
    """The machines a test worked with, in the order it got them."""
    found = list(vmtest.started)
    for value in getattr(item, "funcargs", {}).values():
        for vm in (value, *getattr(value, "vms", ())):
            if isinstance(vm, vmtest.VM) and vm not in found:
                found.append(vm)
    return found


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Tell what the guests of a failed test looked like."""
    del call
    outcome = yield
    result = outcome.get_result()
    machines = machines_of(item)
    if not result.failed or not machines:
        return
    for vm in machines:
        result.sections.append((f"guest '{vm.config.name}'",
                                vm.autopsy or vmtest.describe(vm)))
    result.sections.append(("run this test again under gdb",
                            vmtest.rerun_under_gdb(item)))
