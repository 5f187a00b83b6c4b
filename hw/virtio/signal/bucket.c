/*
 * virtio-signal: how many requests a source may send
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "system/qtest.h"
#include "bucket.h"

QEMUClockType signal_clock(void)
{
    return qtest_enabled() ? QEMU_CLOCK_VIRTUAL : QEMU_CLOCK_REALTIME;
}

bool signal_bucket_check(const SignalBucket *b, Error **errp)
{
    if (!b->burst || b->burst > SIGNAL_BURST_MAX) {
        error_setg(errp, "burst is %u requests, it must be between 1 and %d",
                   b->burst, SIGNAL_BURST_MAX);
        return false;
    }
    return true;
}

bool signal_bucket_take(SignalBucket *b)
{
    int64_t now, token;

    if (!b->rate) {
        return true;
    }
    now = qemu_clock_get_ns(signal_clock());
    token = MAX(NANOSECONDS_PER_SECOND / b->rate, 1);
    /* Never emptier than empty, even if the clock was set back. */
    b->full_at = MIN(MAX(b->full_at, now), now + b->burst * token);
    if (b->full_at - now > (b->burst - 1) * token) {
        b->limited++;
        return false;
    }
    b->full_at += token;
    return true;
}
