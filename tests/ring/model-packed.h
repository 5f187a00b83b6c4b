/*
 * Naive device side of the packed virtqueue; include model-device.h
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MODEL_PACKED_H
#define MODEL_PACKED_H

VDRV_INLINE uint64_t model_packed_at(const ModelDevice *d, uint16_t pos)
{
    return d->desc + VIRTQ_DESC_SIZE * (uint64_t)pos;
}

VDRV_INLINE bool model_packed_avail(const VdrvMemOps *m, const ModelDevice *d)
{
    /* Barrier A: flags before the rest; driver: vdrv_packed_publish() */
    uint16_t flags = m->load16_acquire(d->mem,
                                       model_packed_at(d, d->last_avail) +
                                       PVIRTQ_DESC_FLAGS_OFS);

    return !!(flags & VIRTQ_DESC_F_AVAIL) == d->avail_wrap &&
           !!(flags & VIRTQ_DESC_F_USED) != d->avail_wrap;
}

/* Indirect tables are consecutive and only WRITE counts in them (2.8.8) */
VDRV_INLINE int model_packed_table(const VdrvMemOps *m, const ModelDevice *d,
                                   ModelChain *c, uint64_t table,
                                   uint32_t len, uint16_t flags)
{
    if (!d->indirect) {
        return MODEL_EFEATURE;
    }
    if ((flags & VIRTQ_DESC_F_NEXT) || !len || len % VIRTQ_DESC_SIZE) {
        return MODEL_ETABLE;
    }
    for (uint32_t i = 0; i < len / VIRTQ_DESC_SIZE; i++) {
        uint64_t at = table + VIRTQ_DESC_SIZE * (uint64_t)i;
        uint64_t word = m->load64(d->mem, at + VIRTQ_DESC_LEN_OFS);
        int ret;

        if (c->nseg >= d->num) {
            return MODEL_ELOOP;
        }
        ret = model_segment(c, m->load64(d->mem, at), (uint32_t)word,
                            (word >> 48) & VIRTQ_DESC_F_WRITE);
        if (ret) {
            return ret;
        }
    }
    return 0;
}

VDRV_INLINE int model_packed_pop(const VdrvMemOps *m, ModelDevice *d,
                                 ModelChain *c)
{
    uint16_t pos = d->last_avail;
    bool wrap = d->avail_wrap;
    uint16_t flags;
    int ret;

    if (!model_packed_avail(m, d)) {
        return 0;
    }
    c->nseg = 0;
    c->out = 0;
    c->in_len = 0;
    c->ndesc = 0;
    do {
        uint64_t at = model_packed_at(d, pos);
        uint64_t addr = m->load64(d->mem, at);
        uint64_t word = m->load64(d->mem, at + VIRTQ_DESC_LEN_OFS);

        flags = (uint16_t)(word >> 48);
        if (c->ndesc == d->num) {
            return MODEL_ELOOP;
        }
        if (d->inuse + c->ndesc == d->num) {
            return MODEL_EFULL;
        }
        if (flags & VIRTQ_DESC_F_INDIRECT) {
            if (c->ndesc) {
                return MODEL_ETABLE;
            }
            ret = model_packed_table(m, d, c, addr, (uint32_t)word, flags);
        } else {
            ret = model_segment(c, addr, (uint32_t)word,
                                flags & VIRTQ_DESC_F_WRITE);
        }
        if (ret) {
            return ret;
        }
        c->ndesc++;
        /* The last descriptor's id is the buffer's (2.8.6) */
        c->id = (uint16_t)(word >> 32);
        model_step(d, &pos, &wrap);
    } while (flags & VIRTQ_DESC_F_NEXT);

    d->last_avail = pos;
    d->avail_wrap = wrap;
    d->inuse += c->ndesc;
    return 1;
}

/* id and len of a used descriptor; returns the flags still to be stored */
VDRV_INLINE uint16_t model_packed_put(const VdrvMemOps *m, ModelDevice *d,
                                      const ModelUsed *u)
{
    uint64_t at = model_packed_at(d, d->used_idx);

    m->store32(d->mem, at + VIRTQ_DESC_LEN_OFS, u->len);
    m->store16(d->mem, at + PVIRTQ_DESC_ID_OFS, u->id);
    return (d->used_wrap ? VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED : 0) |
           (u->len ? VIRTQ_DESC_F_WRITE : 0);
}

VDRV_INLINE void model_packed_advance(ModelDevice *d, uint16_t ndesc)
{
    d->used_span += ndesc;
    d->inuse -= ndesc;
    while (ndesc--) {
        model_step(d, &d->used_idx, &d->used_wrap);
    }
}

VDRV_INLINE void model_packed_push(const VdrvMemOps *m, ModelDevice *d,
                                   const ModelUsed *u, unsigned n)
{
    uint64_t first = model_packed_at(d, d->used_idx) + PVIRTQ_DESC_FLAGS_OFS;
    uint16_t first_flags = model_packed_put(m, d, &u[0]);

    model_packed_advance(d, u[0].ndesc);
    for (unsigned i = 1; i < n; i++) {
        uint64_t at = model_packed_at(d, d->used_idx) +
                      PVIRTQ_DESC_FLAGS_OFS;

        m->store16(d->mem, at, model_packed_put(m, d, &u[i]));
        model_packed_advance(d, u[i].ndesc);
    }
    /* Barrier B: all of it before the first flags; driver: packed_get() */
    m->store16_release(d->mem, first, first_flags);
}

VDRV_INLINE void model_packed_push_batch(const VdrvMemOps *m, ModelDevice *d,
                                         const ModelUsed *u, unsigned n)
{
    uint64_t at = model_packed_at(d, d->used_idx) + PVIRTQ_DESC_FLAGS_OFS;
    uint16_t flags = model_packed_put(m, d, &u[n - 1]);

    for (unsigned i = 0; i < n; i++) {
        model_packed_advance(d, u[i].ndesc);
    }
    /* Barrier B: id and len before flags; driver: vdrv_packed_get() */
    m->store16_release(d->mem, at, flags);
}

VDRV_INLINE bool model_packed_should_notify(const VdrvMemOps *m,
                                            ModelDevice *d)
{
    uint32_t span = d->used_span;
    uint32_t laps = 2u * d->num;
    uint32_t now, event;
    uint16_t flags, desc;

    d->used_span = 0;
    if (!span) {
        return false;
    }
    /* Barrier D: used flags before the wish; driver: packed_enable_cb() */
    m->fence(d->mem);
    /* Barrier E: flags before the position; driver: packed_enable_cb() */
    flags = m->load16_acquire(d->mem, d->driver + PVIRTQ_EVENT_FLAGS_OFS);
    if (flags != RING_EVENT_FLAGS_DESC || !d->event_idx) {
        return flags != RING_EVENT_FLAGS_DISABLE;
    }
    desc = m->load16(d->mem, d->driver);
    /*
     * Number the positions through two laps, 0 .. 2 * num - 1. The span
     * ended before @now; how far behind @now is the event?
     */
    now = d->used_idx + (d->used_wrap ? 0 : d->num);
    event = (desc & RING_EVENT_OFF_MASK) +
            (desc & RING_EVENT_WRAP ? 0 : d->num);
    return (now + laps - 1 - event % laps) % laps < span;
}

#endif /* MODEL_PACKED_H */
