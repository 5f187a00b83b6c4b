/*
 * Naive device side of the split virtqueue; include model-device.h
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MODEL_SPLIT_H
#define MODEL_SPLIT_H

VDRV_INLINE bool model_split_avail(const VdrvMemOps *m, const ModelDevice *d)
{
    return m->load16_acquire(d->mem, d->driver + VIRTQ_IDX_OFS) !=
           d->last_avail;
}

/* Walk one table of @num entries from entry @i; @in_table: indirect */
VDRV_INLINE int model_split_walk(const VdrvMemOps *m, const ModelDevice *d,
                                 ModelChain *c, uint64_t table, uint32_t num,
                                 uint32_t i, bool in_table, uint64_t *sub,
                                 uint32_t *sub_num)
{
    *sub_num = 0;
    for (uint32_t steps = 0; steps < num; steps++) {
        uint64_t at = table + VIRTQ_DESC_SIZE * (uint64_t)i;
        uint64_t addr, word;
        uint32_t len;
        uint16_t flags, next;
        int ret;

        if (i >= num) {
            return MODEL_EHEAD;
        }
        addr = m->load64(d->mem, at);
        word = m->load64(d->mem, at + VIRTQ_DESC_LEN_OFS);
        len = (uint32_t)word;
        flags = (uint16_t)(word >> 32);
        next = (uint16_t)(word >> 48);

        if (flags & VIRTQ_DESC_F_INDIRECT) {
            /* WRITE is ignored here (2.7.5.3.2) */
            if (!d->indirect) {
                return MODEL_EFEATURE;
            }
            if (in_table || (flags & VIRTQ_DESC_F_NEXT) || !len ||
                len % VIRTQ_DESC_SIZE) {
                return MODEL_ETABLE;
            }
            *sub = addr;
            *sub_num = len / VIRTQ_DESC_SIZE;
            return 0;
        }
        if (c->nseg >= d->num) {
            return MODEL_ELOOP;
        }
        ret = model_segment(c, addr, len, flags & VIRTQ_DESC_F_WRITE);
        if (ret) {
            return ret;
        }
        if (!(flags & VIRTQ_DESC_F_NEXT)) {
            return 0;
        }
        i = next;
    }
    return MODEL_ELOOP;
}

VDRV_INLINE int model_split_pop(const VdrvMemOps *m, ModelDevice *d,
                                ModelChain *c)
{
    uint64_t sub = 0;
    uint32_t sub_num;
    uint16_t idx, head;
    int ret;

    /* Barrier A: index before entries; driver: vdrv_split_publish() */
    idx = m->load16_acquire(d->mem, d->driver + VIRTQ_IDX_OFS);
    if (idx == d->last_avail) {
        return 0;
    }
    if ((uint16_t)(idx - d->last_avail) > d->num) {
        return MODEL_EIDX;
    }
    if (d->inuse == d->num) {
        return MODEL_EFULL;
    }
    head = m->load16(d->mem, d->driver + VIRTQ_RING_OFS +
                     2u * (d->last_avail % d->num));
    if (head >= d->num) {
        return MODEL_EHEAD;
    }
    c->nseg = 0;
    c->out = 0;
    c->in_len = 0;
    c->id = head;
    c->ndesc = 1;           /* the used index counts chains */

    ret = model_split_walk(m, d, c, d->desc, d->num, head, false, &sub,
                           &sub_num);
    if (!ret && sub_num) {
        ret = model_split_walk(m, d, c, sub, sub_num, 0, true, &sub,
                               &sub_num);
    }
    if (ret) {
        return ret;
    }
    d->last_avail++;
    d->inuse++;
    return 1;
}

VDRV_INLINE void model_split_put(const VdrvMemOps *m, ModelDevice *d,
                                 uint16_t idx, const ModelUsed *u)
{
    uint64_t at = d->device + VIRTQ_RING_OFS +
                  VIRTQ_USED_ELEM_SIZE * (idx % d->num);

    m->store32(d->mem, at, u->id);
    m->store32(d->mem, at + 4, u->len);
}

VDRV_INLINE void model_split_show(const VdrvMemOps *m, ModelDevice *d,
                                  unsigned n)
{
    d->used_idx += n;
    d->used_span += n;
    d->inuse -= n;
    /* Barrier B: entries before index; driver: vdrv_split_get() */
    m->store16_release(d->mem, d->device + VIRTQ_IDX_OFS, d->used_idx);
}

VDRV_INLINE void model_split_push(const VdrvMemOps *m, ModelDevice *d,
                                  const ModelUsed *u, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        model_split_put(m, d, d->used_idx + i, &u[i]);
    }
    model_split_show(m, d, n);
}

VDRV_INLINE void model_split_push_batch(const VdrvMemOps *m, ModelDevice *d,
                                        const ModelUsed *u, unsigned n)
{
    model_split_put(m, d, d->used_idx, &u[n - 1]);
    model_split_show(m, d, n);
}

VDRV_INLINE bool model_split_should_notify(const VdrvMemOps *m,
                                           ModelDevice *d)
{
    uint32_t span = d->used_span;
    uint16_t event;

    d->used_span = 0;
    if (!span) {
        return false;
    }
    /* Barrier D: used idx before the wish; driver: vdrv_split_enable_cb() */
    m->fence(d->mem);
    if (!d->event_idx) {
        return !(m->load16(d->mem, d->driver) & VIRTQ_AVAIL_F_NO_INTERRUPT);
    }
    event = m->load16(d->mem, d->driver + VIRTQ_USED_EVENT_OFS(d->num));
    /* How far is the event ahead of where this span began? */
    return (uint16_t)(event - (d->used_idx - span)) < span;
}

#endif /* MODEL_SPLIT_H */
