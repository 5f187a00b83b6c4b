/*
 * Driver side of the split virtqueue (virtio 1.2+, section 2.7)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Include vring-driver.h: it explains the ring and documents the verbs that
 * these functions implement, one to one.
 */
#ifndef VRING_SPLIT_H
#define VRING_SPLIT_H

#include "vring-queue.h"

VDRV_INLINE uint64_t vdrv_desc_word(uint32_t len, uint16_t flags,
                                    uint16_t next)
{
    return len | (uint64_t)flags << 32 | (uint64_t)next << 48;
}

VDRV_INLINE void vdrv_split_init(const VdrvMemOps *m, VdrvQueue *vq)
{
    m->store16(vq->mem, vq->driver, 0);
    m->store16(vq->mem, vq->driver + VIRTQ_IDX_OFS, 0);
    m->store16(vq->mem, vq->driver + VIRTQ_USED_EVENT_OFS(vq->num), 0);
    m->store16(vq->mem, vq->device, 0);
    m->store16(vq->mem, vq->device + VIRTQ_IDX_OFS, 0);
    m->store16(vq->mem, vq->device + VIRTQ_AVAIL_EVENT_OFS(vq->num), 0);
}

/*
 * Write an indirect table for segments @from on; NEXT links it (2.7.5.3).
 * Returns its writable length.
 */
VDRV_INLINE uint64_t vdrv_split_table(const VdrvMemOps *m, void *mem,
                                      const VdrvBuf *buf, unsigned from)
{
    const VdrvSeg *seg = buf->seg;
    unsigned out = buf->out, total = out + buf->in;
    uint64_t at = buf->table;
    uint64_t in_len = 0;

    for (unsigned i = from; i < total; i++, at += VIRTQ_DESC_SIZE) {
        bool write = i >= out;
        uint16_t flags = write ? VIRTQ_DESC_F_WRITE : 0;
        uint16_t next = i + 1 - from;

        in_len += write ? seg[i].len : 0;

        if (i + 1 < total) {
            flags |= VIRTQ_DESC_F_NEXT;
        } else {
            next = 0;
        }
        m->store64(mem, at, seg[i].addr);
        m->store64(mem, at + VIRTQ_DESC_LEN_OFS,
                   vdrv_desc_word(seg[i].len, flags, next));
    }
    return in_len;
}

VDRV_INLINE int vdrv_split_add(const VdrvMemOps *m, VdrvQueue *vq,
                               const VdrvBuf *buf)
{
    /* Copies, as stores to shared memory may alias anything else */
    void *mem = vq->mem;
    const VdrvSeg *seg = buf->seg;
    const VdrvSlot *slots = vq->slots;
    unsigned out = buf->out, total = out + buf->in;
    unsigned direct = buf->table ? buf->direct : total;
    int need = vdrv_check_buf(vq, buf);
    uint16_t head = vq->free_head;
    uint16_t pos = head;
    uint64_t desc = vq->desc, in_len = 0;

    if (need < 0) {
        return need;
    }
    for (unsigned i = 0; i < (unsigned)need; i++) {
        uint64_t at = desc + VIRTQ_DESC_SIZE * (uint64_t)pos;
        uint16_t next = slots[pos].next;
        uint64_t addr;
        uint32_t len;
        uint16_t flags;

        if (i < direct) {
            addr = seg[i].addr;
            len = seg[i].len;
            flags = i >= out ? VIRTQ_DESC_F_WRITE : 0;
            in_len += flags ? len : 0;
        } else {
            addr = buf->table;
            len = VIRTQ_DESC_SIZE * (total - direct);
            flags = VIRTQ_DESC_F_INDIRECT;
        }
        if (i + 1 < (unsigned)need) {
            flags |= VIRTQ_DESC_F_NEXT;
        }
        m->store64(mem, at, addr);
        m->store64(mem, at + VIRTQ_DESC_LEN_OFS,
                   vdrv_desc_word(len, flags, next));
        pos = next;
    }
    if (buf->table) {
        in_len += vdrv_split_table(m, mem, buf, direct);
    }
    m->store16(mem, vq->driver + VIRTQ_RING_OFS +
               2u * (vq->avail_idx & (vq->num - 1u)), head);
    vq->free_head = pos;
    vq->avail_idx++;
    vdrv_book(vq, head, buf, (uint16_t)need, in_len);
    /* The split event index counts buffers, not descriptors */
    vq->kick_span -= (unsigned)need - 1;
    return VDRV_OK;
}

VDRV_INLINE void vdrv_split_publish(const VdrvMemOps *m, VdrvQueue *vq)
{
    if (vq->published == vq->added) {
        return;
    }
    /* Barrier A: entries before index; device: acquire load of avail idx */
    m->store16_release(vq->mem, vq->driver + VIRTQ_IDX_OFS, vq->avail_idx);
    vq->published = vq->added;
}

VDRV_INLINE bool vdrv_split_kick_needed(const VdrvMemOps *m, VdrvQueue *vq)
{
    uint32_t span = vq->kick_span;
    uint16_t event;

    if (!span) {
        return false;
    }
    vq->kick_span = 0;
    /*
     * Barrier C: avail idx before the device's wish; device: full barrier
     * between writing avail_event or used.flags and its last look for work.
     */
    m->fence(vq->mem);
    if (!vq->event_idx) {
        return !(m->load16(vq->mem, vq->device) & VIRTQ_USED_F_NO_NOTIFY);
    }
    if (span > UINT16_MAX) {
        return true;            /* every event position was passed */
    }
    event = m->load16(vq->mem, vq->device + VIRTQ_AVAIL_EVENT_OFS(vq->num));
    return vdrv_need_event(event, vq->avail_idx,
                           (uint16_t)(vq->avail_idx - span));
}

VDRV_INLINE bool vdrv_split_more_used(const VdrvMemOps *m,
                                      const VdrvQueue *vq)
{
    return vdrv_in_batch(vq) || vq->used_seen != vq->used_idx ||
           m->load16_acquire(vq->mem, vq->device + VIRTQ_IDX_OFS) !=
           vq->used_idx;
}

VDRV_INLINE int vdrv_split_get(const VdrvMemOps *m, VdrvQueue *vq,
                               VdrvUsed *used)
{
    uint64_t at;
    uint32_t id, len;
    int err;

    if (vq->broken) {
        return VDRV_EBROKEN;
    }
    if (vdrv_in_batch(vq)) {
        vdrv_take_batch(vq, used);
        vq->used_idx++;
        return 1;
    }
    if (vq->used_seen == vq->used_idx) {
        /* Barrier B: index before entries; device: release of used idx */
        uint16_t idx = m->load16_acquire(vq->mem,
                                         vq->device + VIRTQ_IDX_OFS);

        if (idx == vq->used_idx) {
            return 0;
        }
        if ((uint16_t)(idx - vq->used_idx) > vdrv_outstanding(vq)) {
            return vdrv_break(vq, VDRV_EBADIDX);
        }
        vq->used_seen = idx;
    }
    at = vq->device + VIRTQ_RING_OFS +
         VIRTQ_USED_ELEM_SIZE * (vq->used_idx & (vq->num - 1u));
    id = m->load32(vq->mem, at);
    len = m->load32(vq->mem, at + 4);
    err = vdrv_check_id(vq, id);
    if (err) {
        return vdrv_break(vq, err);
    }
    if (len > vq->slots[id].in_len) {
        return vdrv_break(vq, VDRV_EBADLEN);
    }
    if (vq->in_order && id != vq->oldest) {
        uint64_t end = vq->slots[id].seq + 1;

        /* 2.7.9: idx grew by the size of the batch, never by less */
        if (end - vq->completed > (uint16_t)(vq->used_seen - vq->used_idx)) {
            return vdrv_break(vq, VDRV_EBADIDX);
        }
        vq->batch_end = end;
        vq->batch_len = len;
        vdrv_take_batch(vq, used);
    } else {
        used->len = len;
        used->wrote = len != 0;
        used->skipped = false;
        vdrv_complete(vq, (uint16_t)id, used);
    }
    vq->used_idx++;
    return 1;
}

VDRV_INLINE void vdrv_split_disable_cb(const VdrvMemOps *m, VdrvQueue *vq)
{
    if (vq->event_idx) {
        /*
         * flags stay 0 (2.7.6.1). An event just behind is as far away as
         * the index allows: at worst one interrupt per 65,535 completions.
         */
        m->store16(vq->mem, vq->driver + VIRTQ_USED_EVENT_OFS(vq->num),
                   (uint16_t)(vq->used_idx - 1));
    } else if (vq->event_flags != VIRTQ_AVAIL_F_NO_INTERRUPT) {
        vq->event_flags = VIRTQ_AVAIL_F_NO_INTERRUPT;
        m->store16(vq->mem, vq->driver, vq->event_flags);
    }
}

VDRV_INLINE bool vdrv_split_enable_cb(const VdrvMemOps *m, VdrvQueue *vq,
                                      uint16_t after)
{
    uint16_t idx;

    if (vq->event_idx) {
        m->store16(vq->mem, vq->driver + VIRTQ_USED_EVENT_OFS(vq->num),
                   (uint16_t)(vq->used_idx + after));
    } else if (vq->event_flags) {
        vq->event_flags = 0;
        m->store16(vq->mem, vq->driver, 0);
    }
    /*
     * Barrier D: our wish before the last look; device: full barrier
     * between its used idx and reading used_event or avail.flags.
     */
    m->fence(vq->mem);
    idx = m->load16_acquire(vq->mem, vq->device + VIRTQ_IDX_OFS);
    return vdrv_in_batch(vq) || (uint16_t)(idx - vq->used_idx) > after;
}

#endif /* VRING_SPLIT_H */
