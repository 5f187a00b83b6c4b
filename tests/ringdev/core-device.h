/*
 * The ring core as the device of a bench: one end of a BenchRing
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Does for each request what QEMU's virtqueue functions ask of the core:
 * fetch, fill, and for each batch one flush and one decision about an
 * interrupt. Buffers are mapped by an addition, as in one window of guest
 * RAM, and nobody touches the payload.
 */
#ifndef CORE_DEVICE_H
#define CORE_DEVICE_H

#include "qemu/osdep.h"         /* before others that define MIN */
#include "ring.h"
#include "ring-mem.h"
#include "bench-ring.h"

typedef struct CoreDevice {
    VirtRing ring;
    VirtRingPos pos;
    VirtRingAreas areas;
    VirtRingMem mem;
    uint8_t *host;              /* of BENCH_GPA */
    uint64_t size;
    VirtRingChain chain[BENCH_MAX_BATCH];
    uint32_t len[BENCH_MAX_BATCH];
    VirtRingSegs segs;
} CoreDevice;

static unsigned core_map(void *opaque, VirtRingSegs *segs, uint64_t addr,
                         uint32_t len, bool write)
{
    const CoreDevice *d = opaque;
    unsigned at = segs->size.out_num + segs->size.in_num;

    (void)write;
    if (addr - BENCH_GPA >= d->size || at == VRING_SEGMENTS_MAX) {
        return 0;
    }
    segs->iov[at] = (struct iovec) { d->host + (addr - BENCH_GPA), len };
    segs->addr[at] = addr;
    return 1;
}

static bool core_read(void *opaque, uint64_t addr, void *to, uint32_t len)
{
    const CoreDevice *d = opaque;

    if (addr - BENCH_GPA > d->size - len) {
        return false;
    }
    RING_TOUCH(d->host + (addr - BENCH_GPA), len, false);
    memcpy(to, d->host + (addr - BENCH_GPA), len);
    return true;
}

/* The device's end of @r; give it back with core_device_free() */
static inline CoreDevice *core_device_new(const BenchRing *r, uint16_t num,
                                          uint64_t features)
{
    CoreDevice *d = bench_alloc(sizeof(*d));

    d->host = r->ram;
    d->size = r->ram_size;
    d->pos = (VirtRingPos) {
        .last_avail_wrap_counter = true,
        .shadow_avail_wrap_counter = true,
        .used_wrap_counter = true,
        .notification = true,
    };
    d->ring = (VirtRing) {
        .pos = &d->pos,
        .slots = bench_alloc(num * sizeof(VirtRingSlot)),
        .size = num,
    };
    d->mem = (VirtRingMem) {
        .direct = { BENCH_GPA, r->ram_size, r->ram, false },
        .map = core_map, .read = core_read, .opaque = d,
    };
    d->areas = (VirtRingAreas) {
        .desc = d->host + (r->at.desc - BENCH_GPA),
        .driver = d->host + (r->at.driver - BENCH_GPA),
        .device = d->host + (r->at.device - BENCH_GPA),
        .num = num,
        .packed = features & VDRV_F_PACKED,
        .event_idx = features & VDRV_F_EVENT_IDX,
        .in_order = features & VDRV_F_IN_ORDER,
        .indirect = features & VDRV_F_INDIRECT,
    };
    return d;
}

static inline void core_device_free(CoreDevice *d)
{
    free(d->ring.slots);
    free(d);
}

/* Take what is available, at most a batch; how many */
static inline unsigned core_pop(CoreDevice *d)
{
    unsigned n = 0;

    while (n < BENCH_MAX_BATCH) {
        VirtRingResult result = vring_fetch(&d->ring, &d->areas, &d->mem,
                                            &d->chain[n], &d->segs);

        if (result == VRING_NONE) {
            break;
        }
        bench_check(result == VRING_CHAIN, "bad chain");
        d->len[n++] = (uint32_t)d->segs.size.in_len;
    }
    return n;
}

/* Return the @n chains taken last, all written to the full */
static inline void core_push(CoreDevice *d, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        bench_check(vring_fill(&d->ring, &d->areas, &d->chain[i], d->len[i],
                               i), "fill");
    }
    bench_check(vring_flush(&d->ring, &d->areas, n) == n, "flush");
}

static inline bool core_should_notify(CoreDevice *d)
{
    return vring_should_notify(&d->ring, &d->areas);
}

/* Ask for kicks; true if there is something to take already */
static inline bool core_enable_kick(CoreDevice *d)
{
    vring_set_notification(&d->ring, &d->areas, true);
    return !vring_empty(&d->ring, &d->areas);
}

static inline void core_disable_kick(CoreDevice *d)
{
    vring_set_notification(&d->ring, &d->areas, false);
}

#endif /* CORE_DEVICE_H */
