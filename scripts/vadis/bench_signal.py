# SPDX-License-Identifier: GPL-2.0-or-later
"""Signals: one broadcast against ivshmem's doorbells, and a link's round trip.

The driver is tests/ringbench/signalcost.py, on the QEMU that is measured.
"""

import json
import os
import subprocess
import sys

from .errors import Failure

SCRIPT = os.path.join(os.path.dirname(__file__), "..", "..", "tests",
                      "ringbench", "signalcost.py")
DRIVER = "virtio-signal-pci"


def run(variant, rounds):
    """Figures of the subject; None where it has no such device."""
    if not (variant.has_property(DRIVER, "targets") and
            variant.has_property("ivshmem-doorbell", "vectors")):
        return None
    done = subprocess.run(
        [sys.executable, os.path.realpath(SCRIPT), str(rounds)],
        env=dict(os.environ, VADIS_QEMU=variant.binary), text=True,
        stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise Failure(f"signalcost.py ended with status {done.returncode}")
    return json.loads(done.stdout)


def tables(found):
    """For the report: (title, head, rows)."""
    if not found:
        return []
    one = found["of 1"]

    def ratio(value):
        return f"{value:.2f}"

    return [
        ("Signals: host CPU time of a broadcast to 64 targets",
         ["against", "ratio"],
         [["64 ivshmem doorbells, accesses by qtest included",
           ratio(found["broadcast"] / found["doorbells"])]]),
        ("Signals: host CPU time per target, one target alone is 1",
         ["targets", "ratio"],
         [[str(n), ratio(found[f"of {n}"] / n / one)] for n in (4, 16, 64)]),
        ("Signals: round trip on a link",
         ["against", "ratio"],
         [["bare UNIX socket", ratio(found["link"] / found["socket"])]]),
    ]
