# SPDX-License-Identifier: GPL-2.0-or-later
"""The two-machine harness as fixtures; see pairs.py."""

import shutil
import tempfile

import pytest

from pairs import Pair


@pytest.fixture
def make_pair():
    """Pairs for one test: make_pair("stream", packed=True, ...).

    Each is ended when the test is over.
    """
    pairs, homes = [], []

    def make(link="stream", **settings):
        homes.append(tempfile.mkdtemp(prefix="vadis-pair-"))
        pair = Pair(homes[-1], link, **settings)
        pairs.append(pair)
        return pair.__enter__()

    yield make
    for pair in pairs:
        pair.close()
    for home in homes:
        shutil.rmtree(home)
