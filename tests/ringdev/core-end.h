/*
 * The device's end of ringtest: the ring core
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See model-end.h.
 */
#ifndef CORE_END_H
#define CORE_END_H

#include "core-device.h"

#define END_NAME "core"

typedef CoreDevice RingEnd;

static inline RingEnd *end_new(BenchRing *r, uint16_t num, uint64_t features)
{
    return core_device_new(r, num, features);
}

static inline void end_free(RingEnd *d)
{
    core_device_free(d);
}

static inline unsigned end_serve(RingEnd *d, bool packed)
{
    unsigned n = core_pop(d);

    (void)packed;
    if (n) {
        core_push(d, n);
    }
    return n;
}

static inline bool end_should_notify(RingEnd *d)
{
    return core_should_notify(d);
}

static inline bool end_enable_kick(RingEnd *d)
{
    return core_enable_kick(d);
}

static inline void end_disable_kick(RingEnd *d)
{
    core_disable_kick(d);
}

#endif /* CORE_END_H */
