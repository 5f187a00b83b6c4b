/*
 * Driver side of the packed virtqueue (virtio 1.2+, section 2.8)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Include vring-driver.h: it explains the ring and documents the verbs that
 * these functions implement, one to one.
 */
#ifndef VRING_PACKED_H
#define VRING_PACKED_H

#include "vring-queue.h"

VDRV_INLINE uint64_t vdrv_packed_word(uint32_t len, uint16_t id,
                                      uint16_t flags)
{
    return len | (uint64_t)id << 32 | (uint64_t)flags << 48;
}

/* What AVAIL and USED look like in an available descriptor (2.8.1) */
VDRV_INLINE uint16_t vdrv_packed_avail_bits(bool wrap)
{
    return wrap ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED;
}

/* Does @flags mark a used descriptor of the lap with @wrap? */
VDRV_INLINE bool vdrv_packed_is_used(uint16_t flags, bool wrap)
{
    bool avail = flags & VIRTQ_DESC_F_AVAIL;
    bool used = flags & VIRTQ_DESC_F_USED;

    return avail == used && used == wrap;
}

/* Step @pos by @n <= num, flipping @wrap at the end of the ring */
VDRV_INLINE uint16_t vdrv_packed_step(uint16_t num, uint16_t pos, bool *wrap,
                                      uint16_t n)
{
    uint32_t to = (uint32_t)pos + n;

    if (to >= num) {
        to -= num;
        *wrap = !*wrap;
    }
    return (uint16_t)to;
}

VDRV_INLINE uint64_t vdrv_packed_at(const VdrvQueue *vq, uint16_t pos)
{
    return vq->desc + VIRTQ_DESC_SIZE * (uint64_t)pos;
}

VDRV_INLINE void vdrv_packed_init(const VdrvMemOps *m, VdrvQueue *vq)
{
    /* flags 0 is neither available nor used in the first lap */
    for (uint32_t i = 0; i < vq->num; i++) {
        m->store64(vq->mem, vdrv_packed_at(vq, i), 0);
        m->store64(vq->mem, vdrv_packed_at(vq, i) + VIRTQ_DESC_LEN_OFS, 0);
    }
    m->store32(vq->mem, vq->driver, 0);
    m->store32(vq->mem, vq->device, 0);
}

/*
 * Packed tables are consecutive: no NEXT, no id, only WRITE (2.8.8). Returns
 * the writable length.
 */
VDRV_INLINE uint64_t vdrv_packed_table(const VdrvMemOps *m, void *mem,
                                       const VdrvBuf *buf)
{
    const VdrvSeg *seg = buf->seg;
    unsigned out = buf->out, total = out + buf->in;
    uint64_t at = buf->table;
    uint64_t in_len = 0;

    for (unsigned i = 0; i < total; i++, at += VIRTQ_DESC_SIZE) {
        bool write = i >= out;

        in_len += write ? seg[i].len : 0;
        m->store64(mem, at, seg[i].addr);
        m->store64(mem, at + VIRTQ_DESC_LEN_OFS,
                   vdrv_packed_word(seg[i].len, 0,
                                    write ? VIRTQ_DESC_F_WRITE : 0));
    }
    return in_len;
}

/* Flags of direct descriptor @i of @buf, without the wrap bits */
VDRV_INLINE uint16_t vdrv_packed_flags(const VdrvBuf *buf, unsigned i)
{
    return (i >= buf->out ? VIRTQ_DESC_F_WRITE : 0) |
           (i + 1 < (unsigned)buf->out + buf->in ? VIRTQ_DESC_F_NEXT : 0);
}

/*
 * A chain with @flags was written: if another is before it in the batch, label
 * that. Its flags are stored again, or with the batch's head, before anything
 * of it is visible.
 */
VDRV_INLINE void vdrv_packed_label(const VdrvMemOps *m, VdrvQueue *vq,
                                   uint16_t flags)
{
    if (vq->published == vq->added) {
        /* The first of its batch */
    } else if (vq->last_pos == vq->head_pos) {
        vq->head_flags |= VIRTQ_DESC_F_MORE;
    } else {
        m->store16(vq->mem, vdrv_packed_at(vq, vq->last_pos) +
                   PVIRTQ_DESC_FLAGS_OFS, vq->last_flags | VIRTQ_DESC_F_MORE);
    }
    vq->last_pos = vq->avail_idx;
    vq->last_flags = flags;
}

/*
 * Write the head of a chain at the driver's position. In the first chain of
 * a batch its flags are held back for vdrv_packed_publish().
 */
VDRV_INLINE void vdrv_packed_head(const VdrvMemOps *m, VdrvQueue *vq,
                                  uint64_t addr, uint32_t len, uint16_t id,
                                  uint16_t flags)
{
    uint64_t at = vdrv_packed_at(vq, vq->avail_idx);

    if (vq->published == vq->added) {
        vq->head_pos = vq->avail_idx;
        vq->head_flags = flags;
        m->store64(vq->mem, at, addr);
        m->store32(vq->mem, at + VIRTQ_DESC_LEN_OFS, len);
        m->store16(vq->mem, at + PVIRTQ_DESC_ID_OFS, id);
    } else {
        m->store64(vq->mem, at, addr);
        m->store64(vq->mem, at + VIRTQ_DESC_LEN_OFS,
                   vdrv_packed_word(len, id, flags));
    }
    if (vq->labels) {
        vdrv_packed_label(m, vq, flags);
    }
}

/* Write descriptors 1 .. @need - 1 of a chain; returns their writable bytes */
VDRV_INLINE uint64_t vdrv_packed_tail(const VdrvMemOps *m, VdrvQueue *vq,
                                      const VdrvBuf *buf, unsigned need,
                                      uint16_t id)
{
    uint16_t pos = vq->avail_idx;
    bool wrap = vq->avail_wrap;
    uint64_t in_len = 0;

    for (unsigned i = 1; i < need; i++) {
        const VdrvSeg *seg = &buf->seg[i];
        uint16_t flags = vdrv_packed_flags(buf, i) |
                         vdrv_packed_avail_bits(wrap);
        uint64_t at = vdrv_packed_at(vq, pos);

        in_len += i >= buf->out ? seg->len : 0;
        m->store64(vq->mem, at, seg->addr);
        m->store64(vq->mem, at + VIRTQ_DESC_LEN_OFS,
                   vdrv_packed_word(seg->len, id, flags));
        pos = vdrv_packed_step(vq->num, pos, &wrap, 1);
    }
    vq->avail_idx = pos;
    vq->avail_wrap = wrap;
    return in_len;
}

VDRV_INLINE int vdrv_packed_add(const VdrvMemOps *m, VdrvQueue *vq,
                                const VdrvBuf *buf)
{
    const VdrvSeg *seg = buf->seg;
    int need = vdrv_check_buf(vq, buf);
    uint16_t id = vq->free_head;
    uint16_t bits = vdrv_packed_avail_bits(vq->avail_wrap);
    uint64_t in_len = 0;

    if (need < 0) {
        return need;
    }
    /* The device takes the id of the last descriptor; all carry it (2.8.6) */
    if (buf->table) {
        in_len = vdrv_packed_table(m, vq->mem, buf);
        vdrv_packed_head(m, vq, buf->table, VIRTQ_DESC_SIZE *
                         ((uint32_t)buf->out + buf->in), id,
                         bits | VIRTQ_DESC_F_INDIRECT);
    } else {
        in_len = buf->out ? 0 : seg->len;
        vdrv_packed_head(m, vq, seg->addr, seg->len, id,
                         bits | vdrv_packed_flags(buf, 0));
    }
    vq->avail_idx = vdrv_packed_step(vq->num, vq->avail_idx,
                                     &vq->avail_wrap, 1);
    if (need > 1) {
        in_len += vdrv_packed_tail(m, vq, buf, (unsigned)need, id);
    }
    vq->free_head = vq->slots[id].next;
    vdrv_book(vq, id, buf, (uint16_t)need, in_len);
    return VDRV_OK;
}

VDRV_INLINE void vdrv_packed_publish(const VdrvMemOps *m, VdrvQueue *vq)
{
    if (vq->published == vq->added) {
        return;
    }
    /*
     * Barrier A: the whole batch before the flags of its first descriptor;
     * device: acquire load of these flags. Until they are there the device
     * stops in front of the batch, so the others' flags need no order.
     */
    m->store16_release(vq->mem, vdrv_packed_at(vq, vq->head_pos) +
                       PVIRTQ_DESC_FLAGS_OFS, vq->head_flags);
    vq->published = vq->added;
}

VDRV_INLINE bool vdrv_packed_kick_needed(const VdrvMemOps *m, VdrvQueue *vq)
{
    uint32_t span = vq->kick_span;
    uint16_t flags, desc, event;

    if (!span) {
        return false;
    }
    vq->kick_span = 0;
    /*
     * Barrier C: available flags before the device's wish; device: full
     * barrier between its event structure and its last look for work.
     */
    m->fence(vq->mem);
    flags = m->load16_acquire(vq->mem, vq->device + PVIRTQ_EVENT_FLAGS_OFS);
    if (flags == RING_EVENT_FLAGS_DISABLE) {
        return false;
    }
    /* More than a lap passed every position; reserved: kick to be safe */
    if (flags != RING_EVENT_FLAGS_DESC || !vq->event_idx ||
        span > vq->num) {
        return true;
    }
    desc = m->load16(vq->mem, vq->device);
    event = desc & RING_EVENT_OFF_MASK;
    if (!!(desc & RING_EVENT_WRAP) != vq->avail_wrap) {
        event -= vq->num;       /* a position of the lap before this one */
    }
    return vdrv_need_event(event, vq->avail_idx,
                           (uint16_t)(vq->avail_idx - span));
}

VDRV_INLINE bool vdrv_packed_more_used(const VdrvMemOps *m,
                                       const VdrvQueue *vq)
{
    uint64_t at = vdrv_packed_at(vq, vq->used_idx);

    return vdrv_in_batch(vq) ||
           vdrv_packed_is_used(m->load16_acquire(vq->mem, at +
                                                 PVIRTQ_DESC_FLAGS_OFS),
                               vq->used_wrap);
}

VDRV_INLINE int vdrv_packed_get(const VdrvMemOps *m, VdrvQueue *vq,
                                VdrvUsed *used)
{
    uint64_t at = vdrv_packed_at(vq, vq->used_idx);
    uint16_t flags, id, ndesc;
    uint32_t len;
    int err;

    if (vq->broken) {
        return VDRV_EBROKEN;
    }
    if (vdrv_in_batch(vq)) {
        ndesc = vdrv_take_batch(vq, used);
        vq->used_idx = vdrv_packed_step(vq->num, vq->used_idx,
                                        &vq->used_wrap, ndesc);
        return 1;
    }
    /* Barrier B: flags before id and len; device: release of used flags */
    flags = m->load16_acquire(vq->mem, at + PVIRTQ_DESC_FLAGS_OFS);
    if (!vdrv_packed_is_used(flags, vq->used_wrap)) {
        return 0;
    }
    id = m->load16(vq->mem, at + PVIRTQ_DESC_ID_OFS);
    err = vdrv_check_id(vq, id);
    if (err) {
        return vdrv_break(vq, err);
    }
    /* 2.8.4: len means nothing where the device did not set WRITE */
    used->wrote = flags & VIRTQ_DESC_F_WRITE;
    used->more = vq->used_more = vq->labels && flags & VIRTQ_DESC_F_MORE;
    len = (used->wrote || (vq->quirks & VDRV_QUIRK_USED_LEN)) ?
          m->load32(vq->mem, at + VIRTQ_DESC_LEN_OFS) : 0;
    if (len > vq->slots[id].in_len) {
        return vdrv_break(vq, VDRV_EBADLEN);
    }
    if (vq->in_order && id != vq->oldest) {
        vq->batch_end = vq->slots[id].seq + 1;
        vq->batch_len = len;
        ndesc = vdrv_take_batch(vq, used);
    } else {
        used->len = len;
        used->skipped = false;
        ndesc = vq->slots[id].ndesc;
        vdrv_complete(vq, id, used);
    }
    vq->used_idx = vdrv_packed_step(vq->num, vq->used_idx, &vq->used_wrap,
                                    ndesc);
    return 1;
}

VDRV_INLINE void vdrv_packed_disable_cb(const VdrvMemOps *m, VdrvQueue *vq)
{
    if (vq->event_flags != RING_EVENT_FLAGS_DISABLE) {
        vq->event_flags = RING_EVENT_FLAGS_DISABLE;
        m->store16(vq->mem, vq->driver + PVIRTQ_EVENT_FLAGS_OFS,
                   vq->event_flags);
    }
}

VDRV_INLINE bool vdrv_packed_enable_cb(const VdrvMemOps *m, VdrvQueue *vq,
                                       uint16_t after)
{
    uint16_t flags = RING_EVENT_FLAGS_ENABLE;

    if (vq->event_idx) {
        bool wrap = vq->used_wrap;
        uint16_t off = vdrv_packed_step(vq->num, vq->used_idx, &wrap, after);

        flags = RING_EVENT_FLAGS_DESC;
        m->store16(vq->mem, vq->driver, off | (wrap ? RING_EVENT_WRAP : 0));
    }
    if (vq->event_flags != flags) {
        vq->event_flags = flags;
        /* Barrier E: position before DESC; device: acquire of the flags */
        m->store16_release(vq->mem, vq->driver + PVIRTQ_EVENT_FLAGS_OFS,
                           flags);
    }
    /*
     * Barrier D: our wish before the last look; device: full barrier
     * between its used flags and reading the driver's event structure.
     */
    m->fence(vq->mem);
    return vdrv_packed_more_used(m, vq);
}

#endif /* VRING_PACKED_H */
