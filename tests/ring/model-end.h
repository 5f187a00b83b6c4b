/*
 * The device's end of ringtest: the naive model
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Another header with the same functions, named by RING_END_H, puts another
 * device in its place.
 */
#ifndef MODEL_END_H
#define MODEL_END_H

#include "bench-ring.h"

#define END_NAME "model"

typedef ModelDevice RingEnd;

static inline RingEnd *end_new(BenchRing *r, uint16_t num, uint64_t features)
{
    (void)num;
    (void)features;
    return &r->dev;
}

static inline void end_free(RingEnd *d)
{
    (void)d;
}

/* Take what there is and return it; how many */
VDRV_INLINE unsigned end_serve(RingEnd *d, bool packed)
{
    const VdrvMemOps *m = &vdrv_mem_direct;
    ModelUsed used[BENCH_MAX_BATCH];
    unsigned n = bench_pop(m, d, packed, used, BENCH_MAX_BATCH);

    if (n) {
        bench_push(m, d, packed, used, n);
    }
    return n;
}

VDRV_INLINE bool end_should_notify(RingEnd *d)
{
    return model_should_notify(&vdrv_mem_direct, d);
}

/* True if there is something to take already */
VDRV_INLINE bool end_enable_kick(RingEnd *d)
{
    return model_enable_kick(&vdrv_mem_direct, d);
}

VDRV_INLINE void end_disable_kick(RingEnd *d)
{
    model_disable_kick(&vdrv_mem_direct, d);
}

#endif /* MODEL_END_H */
