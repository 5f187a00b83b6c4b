# SPDX-License-Identifier: GPL-2.0-or-later
"""Deadlines that a busy machine does not shorten.

A deadline is there to end a wait for something that never comes. On a machine
with other work, what is slow is not stuck: the time for which QEMU's threads
were ready to run and waited for a CPU is therefore added to it.
"""

import os
import threading
import time


def queued(pid):
    """Nanoseconds for which each thread of a process waited for a CPU."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        threads = []                    # the process has ended
    waits = {}
    for tid in threads:
        try:
            with open(f"/proc/{pid}/task/{tid}/schedstat",
                      encoding="ascii") as file:
                waits[tid] = int(file.read().split()[1])
        except OSError:
            pass        # the thread has ended; or a kernel without schedstat
    return waits


class PatientCondition(threading.Condition):
    """A condition whose wait_for() counts only time that QEMU could use.

    :ivar pid: QEMU's process, None before it has started
    :ivar queued: tells what its threads have waited, see queued()
    """

    def __init__(self):
        super().__init__()
        self.pid = None
        self.queued = queued

    def wait_for(self, predicate, timeout=None):
        """As for any condition; without a deadline if timeout is None."""
        if timeout is None:
            return super().wait_for(predicate)
        result = predicate()
        if result:                      # most often, and then at no cost
            return result
        begin = time.monotonic()
        before = self.queued(self.pid)
        left = timeout
        while left > 0:
            result = super().wait_for(predicate, left)
            if result:
                break
            lost = max((ns - before.get(thread, 0) for thread, ns
                        in self.queued(self.pid).items()), default=0)
            left = begin + timeout + lost / 1e9 - time.monotonic()
        return result

    def wait_for_exactly(self, predicate, timeout):
        """With a deadline by the clock, for a user who has set one."""
        return super().wait_for(predicate, timeout)
