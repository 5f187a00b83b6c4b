# SPDX-License-Identifier: GPL-2.0-or-later
"""The measuring of signals works: all is delivered. No time is looked at."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

# pylint: disable=wrong-import-position
import signalcost                   # noqa: E402
import signalpoll                   # noqa: E402
from vadis import bench_signal      # noqa: E402
from vadis.errors import Failure    # noqa: E402


def test_rows_are_complete(monkeypatch):
    """measure() checks replies, interrupts and eventfds by itself."""
    for module in (signalcost, bench_signal):
        monkeypatch.setattr(module, "COUNTS", (1, 4))
    found = signalcost.measure(1, times=2)
    # A doorbell is a write() and a read(); the main loop has some of its own.
    assert found["calls"]["doorbells"] >= 2 * signalcost.TARGETS
    assert found["calls"]["eventfds"] >= signalcost.TARGETS
    assert found["calls"]["broadcast"] < signalcost.TARGETS
    found["rounds"] = [{name: value or 1 for name, value in row.items()}
                       for row in found["rounds"]]
    titles = [title for title, *_ in bench_signal.tables(found, str, str)]
    assert len(titles) == len(set(titles)) == 5


def test_no_guest_is_said(monkeypatch):
    """Where there is no kernel, the report says so and has the rest."""
    def guest(*_, **__):
        raise Failure("no kernel")
    monkeypatch.setattr(signalpoll.signalpair, "guest", guest)
    found = {"rounds": [{"broadcast 16": 2, "quiet 16": 1}],
             "guest": signalpoll.measure()}
    assert bench_signal.polling_rows(found, str, str)[-1] == [
        "guest under TCG", "skipped: no kernel"]
