/*
 * A deliberately naive device side of a virtqueue, split and packed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The reference that the driver library is checked against, and the simplest
 * peer that a benchmark can have. It follows the standard sentence by
 * sentence, keeps no cache and takes no short cut: where the driver library
 * computes, this enumerates. Memory comes through the same accessors
 * (guest/lib/vring-mem.h). The driver is not trusted: every index, length
 * and flag is checked and errors are returned.
 *
 * One chain's life: model_pop(), work, model_push(), model_should_notify().
 */
#ifndef MODEL_DEVICE_H
#define MODEL_DEVICE_H

#include <stdbool.h>
#include "vring-defs.h"
#include "vring-mem.h"

/* What a driver can do wrong */
enum {
    MODEL_EIDX = -1,        /* more chains announced than the queue holds */
    MODEL_EHEAD = -2,       /* head or next beyond the queue */
    MODEL_ELOOP = -3,       /* chain longer than the queue or looping */
    MODEL_EORDER = -4,      /* readable segment behind a writable one */
    MODEL_ETABLE = -5,      /* indirect table of a bad size, or nested */
    MODEL_EFEATURE = -6,    /* indirect without the feature */
    MODEL_EFULL = -7,       /* more descriptors in flight than the queue */
    MODEL_EROOM = -8,       /* more segments than the caller has room for */
};

typedef struct ModelSeg {
    uint64_t addr;
    uint32_t len;
    bool write;
} ModelSeg;

/**
 * struct ModelChain - one popped buffer
 * @seg: the caller's array, @max entries
 * @nseg: how many were filled in; @out of them are readable and come first
 * @in_len: sum of the writable lengths
 * @id: buffer id or head
 * @ndesc: ring descriptors the chain holds
 */
typedef struct ModelChain {
    ModelSeg *seg;
    unsigned max;
    unsigned nseg;
    unsigned out;
    uint64_t in_len;
    uint16_t id;
    uint16_t ndesc;
} ModelChain;

/* What to return for a chain: its @id and @ndesc, @len bytes written */
typedef struct ModelUsed {
    uint32_t len;
    uint16_t id;
    uint16_t ndesc;
} ModelUsed;

typedef struct ModelDevice {
    void *mem;
    uint64_t desc;
    uint64_t driver;
    uint64_t device;
    uint32_t used_span;     /* ring steps since the last notify decision */
    uint16_t num;
    uint16_t last_avail;    /* packed: position; split: free running */
    uint16_t used_idx;      /* likewise */
    uint16_t inuse;         /* descriptors (split: chains) in flight */
    bool avail_wrap;
    bool used_wrap;
    bool packed;
    bool event_idx;
    bool indirect;
    bool in_order;
} ModelDevice;

/* Start or reset the device; the areas are guest addresses */
VDRV_INLINE void model_init(ModelDevice *d, void *mem, uint64_t desc,
                            uint64_t driver, uint64_t device, uint16_t num,
                            uint64_t features)
{
    *d = (ModelDevice) {
        .mem = mem,
        .desc = desc,
        .driver = driver,
        .device = device,
        .num = num,
        .avail_wrap = true,
        .used_wrap = true,
        .packed = features & VDRV_F_PACKED,
        .event_idx = features & VDRV_F_EVENT_IDX,
        .indirect = features & VDRV_F_INDIRECT,
        .in_order = features & VDRV_F_IN_ORDER,
    };
}

VDRV_INLINE ModelUsed model_used(const ModelChain *c, uint32_t len)
{
    return (ModelUsed) { .len = len, .id = c->id, .ndesc = c->ndesc };
}

/* Append one segment to the chain, in the standard's order (2.7.4.2) */
VDRV_INLINE int model_segment(ModelChain *c, uint64_t addr, uint32_t len,
                              bool write)
{
    if (c->nseg == c->max) {
        return MODEL_EROOM;
    }
    if (!write && c->nseg > c->out) {
        return MODEL_EORDER;
    }
    c->seg[c->nseg++] = (ModelSeg) { addr, len, write };
    if (write) {
        c->in_len += len;
    } else {
        c->out++;
    }
    return 0;
}

/* One step round the packed ring */
VDRV_INLINE void model_step(const ModelDevice *d, uint16_t *pos, bool *wrap)
{
    if (++*pos == d->num) {
        *pos = 0;
        *wrap = !*wrap;
    }
}

#include "model-split.h"
#include "model-packed.h"

/**
 * model_pop() - take the next available buffer
 *
 * @c->seg and @c->max are the caller's, the rest is filled in. Returns 1,
 * 0 when there is none, or MODEL_E*; after an error the device needs a reset.
 */
VDRV_INLINE int model_pop(const VdrvMemOps *m, ModelDevice *d, ModelChain *c)
{
    return d->packed ? model_packed_pop(m, d, c) : model_split_pop(m, d, c);
}

/* model_avail() - would model_pop() find anything? */
VDRV_INLINE bool model_avail(const VdrvMemOps *m, const ModelDevice *d)
{
    return d->packed ? model_packed_avail(m, d) : model_split_avail(m, d);
}

/**
 * model_push() - return @n buffers, shown to the driver in one step
 *
 * Each gets an entry of its own.
 */
VDRV_INLINE void model_push(const VdrvMemOps *m, ModelDevice *d,
                            const ModelUsed *u, unsigned n)
{
    if (d->packed) {
        model_packed_push(m, d, u, n);
    } else {
        model_split_push(m, d, u, n);
    }
}

/**
 * model_push_batch() - return @n buffers by one used entry (IN_ORDER)
 *
 * Allowed only if all but the last were completely written; the entry names
 * the last and lies where the first one's would (2.7.9, 2.8.7).
 */
VDRV_INLINE void model_push_batch(const VdrvMemOps *m, ModelDevice *d,
                                  const ModelUsed *u, unsigned n)
{
    if (d->packed) {
        model_packed_push_batch(m, d, u, n);
    } else {
        model_split_push_batch(m, d, u, n);
    }
}

/* model_should_notify() - does the driver want an interrupt by now? */
VDRV_INLINE bool model_should_notify(const VdrvMemOps *m, ModelDevice *d)
{
    return d->packed ? model_packed_should_notify(m, d) :
                       model_split_should_notify(m, d);
}

/* model_disable_kick() - ask the driver not to kick */
VDRV_INLINE void model_disable_kick(const VdrvMemOps *m, ModelDevice *d)
{
    if (d->packed) {
        m->store16(d->mem, d->device + PVIRTQ_EVENT_FLAGS_OFS,
                   RING_EVENT_FLAGS_DISABLE);
    } else if (!d->event_idx) {
        m->store16(d->mem, d->device, VIRTQ_USED_F_NO_NOTIFY);
    } else {
        /* No such thing with split EVENT_IDX: name a position gone by */
        m->store16(d->mem, d->device + VIRTQ_AVAIL_EVENT_OFS(d->num),
                   (uint16_t)(d->last_avail - 1));
    }
}

/* model_enable_kick() - ask for a kick; true: look again, there is work */
VDRV_INLINE bool model_enable_kick(const VdrvMemOps *m, ModelDevice *d)
{
    if (d->packed && d->event_idx) {
        m->store16(d->mem, d->device,
                   d->last_avail | (d->avail_wrap ? RING_EVENT_WRAP : 0));
        m->store16_release(d->mem, d->device + PVIRTQ_EVENT_FLAGS_OFS,
                           RING_EVENT_FLAGS_DESC);
    } else if (d->packed) {
        m->store16(d->mem, d->device + PVIRTQ_EVENT_FLAGS_OFS,
                   RING_EVENT_FLAGS_ENABLE);
    } else if (d->event_idx) {
        m->store16(d->mem, d->device + VIRTQ_AVAIL_EVENT_OFS(d->num),
                   d->last_avail);
    } else {
        m->store16(d->mem, d->device, 0);
    }
    /* Barrier C: our wish before the last look; driver: vdrv_kick_needed() */
    m->fence(d->mem);
    return model_avail(m, d);
}

#endif /* MODEL_DEVICE_H */
