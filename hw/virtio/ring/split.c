/*
 * The split virtqueue (virtio 1.2+, section 2.7)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "split.h"

#define AVAIL_F_NO_INTERRUPT    1
#define USED_F_NO_NOTIFY        1

/* See ring_split_avail_event() */
static inline uint8_t *used_event(const VirtRingAreas *a)
{
    return ring_driver_at(a, OFS_RING + 2 * a->num);
}

static inline RingDesc read_desc(const VirtRingAreas *a, uint16_t i)
{
    const uint8_t *p = ring_desc_at(a, DESC_SIZE * i);

    return ring_desc_split(ring_load64(p), ring_load64(p + 8));
}

/* How many heads the driver has listed beyond those taken */
static inline uint16_t heads(VirtRing *ring, const VirtRingAreas *a)
{
    VirtRingPos *pos = ring->pos;

    if (pos->shadow_avail_idx == pos->last_avail_idx) {
        pos->shadow_avail_idx = ring_load16(ring_driver_at(a, OFS_IDX));
    }
    return pos->shadow_avail_idx - pos->last_avail_idx;
}

/* Take notice of the driver's index; negative after ring_broken() */
static int new_heads(VirtRing *ring, const VirtRingAreas *a)
{
    uint16_t n = heads(ring, a);

    if (unlikely(n > a->num)) {
        ring_broken(ring, "an available index that jumped to",
                    ring->pos->shadow_avail_idx);
        return -1;
    }
    if (n) {
        /* Pairs with the driver's release of the index: entries after it */
        ring_acquire();
    }
    return n;
}

bool ring_split_empty(VirtRing *ring, const VirtRingAreas *a)
{
    return !heads(ring, a);
}

bool ring_split_more(const VirtRingAreas *a, uint16_t shadow)
{
    return ring_load16(ring_driver_at(a, OFS_IDX)) != shadow;
}

/*
 * Follow the chain from @head; false after ring_broken(). @room is how many
 * descriptors there can be at most in it and the chains that come after: 2.7.5,
 * chains do not share descriptors.
 */
static bool walk(VirtRing *ring, const VirtRingAreas *a, const RingSink *sink,
                 uint16_t head, unsigned *room)
{
    uint16_t i = head;

    while (*room) {
        RingDesc desc = read_desc(a, i);

        --*room;
        if (desc.flags & DESC_F_INDIRECT) {
            /* 2.7.5.3.2: direct ones may precede; WRITE is ignored */
            if (unlikely(!a->indirect || (desc.flags & DESC_F_NEXT))) {
                ring_broken(ring, a->indirect
                            ? "an indirect descriptor with a next one"
                            : "an indirect descriptor, not agreed on", i);
                return false;
            }
            return ring_add_table(ring, sink, &desc, false);
        }
        if (!ring_add_buffer(ring, sink, &desc)) {
            return false;
        }
        if (!(desc.flags & DESC_F_NEXT)) {
            return true;
        }
        i = desc.other;
        if (unlikely(i >= a->num)) {
            ring_broken(ring, "a next field past the ring", i);
            return false;
        }
    }
    ring_broken(ring, "more descriptors than there are, from head", head);
    return false;
}

VirtRingResult ring_split_fetch(VirtRing *ring, const VirtRingAreas *a,
                                const RingSink *sink, VirtRingChain *chain)
{
    VirtRingPos *pos = ring->pos;
    int available = new_heads(ring, a);
    unsigned room = a->num;
    uint16_t head;

    if (available <= 0) {
        return available ? VRING_BROKEN : VRING_NONE;
    }
    if (unlikely(pos->inuse >= a->num)) {
        return ring_broken(ring, "more requests than the queue has places",
                           a->num);
    }
    head = ring_load16(ring_split_avail_entry(a, pos->last_avail_idx));
    if (unlikely(head >= a->num)) {
        return ring_broken(ring, "an available head past the ring", head);
    }
    if (sink && !walk(ring, a, sink, head, &room)) {
        return VRING_BROKEN;
    }
    chain->id = head;
    chain->ndescs = 1;
    chain->pos = ring_split_slot(a, pos->last_avail_idx);
    pos->last_avail_idx++;
    pos->inuse++;
    if (a->event_idx && pos->notification) {
        ring_store16(ring_split_avail_event(a), pos->shadow_avail_idx);
    }
    return VRING_CHAIN;
}

void ring_split_write_used(VirtRing *ring, const VirtRingAreas *a,
                           uint16_t ahead, uint16_t id, uint32_t len)
{
    size_t ofs = OFS_RING +
                 8 * ring_split_slot(a, ring->pos->used_idx + ahead);
    /* 4-byte aligned only: the other half may be in the next page */
    uint8_t *first = ring_device_at(a, ofs);
    uint8_t *second = ring_device_at(a, ofs + 4);

    ring_store32(first, id);
    ring_store32(second, len);
}

void ring_split_publish(VirtRing *ring, const VirtRingAreas *a,
                        unsigned chains)
{
    VirtRingPos *pos = ring->pos;
    uint16_t old = pos->used_idx;

    pos->used_idx += chains;
    pos->inuse -= chains;
    /* Pairs with the driver's acquire of the index: entries before it */
    ring_release();
    ring_store16(ring_device_at(a, OFS_IDX), pos->used_idx);
    /* Further than half the range ahead, the comparison would turn round. */
    if (unlikely((int16_t)(pos->used_idx - pos->signalled_used) <
                 (uint16_t)(pos->used_idx - old))) {
        pos->signalled_used_valid = false;
    }
}

bool ring_split_should_notify(VirtRing *ring, const VirtRingAreas *a)
{
    VirtRingPos *pos = ring->pos;
    uint16_t old = pos->signalled_used, new = pos->used_idx, event;
    bool valid = pos->signalled_used_valid;

    if (!a->fenced) {
        ring_full_fence();
    }
    if (unlikely(a->on_empty && !pos->inuse && ring_split_empty(ring, a))) {
        return true;
    }
    if (!a->event_idx) {
        return !(ring_load16(ring_driver_at(a, OFS_FLAGS)) &
                 AVAIL_F_NO_INTERRUPT);
    }
    pos->signalled_used = new;
    pos->signalled_used_valid = true;
    event = ring_load16(used_event(a));
    return !valid || (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

void ring_split_set_notification(VirtRing *ring, const VirtRingAreas *a,
                                 bool enable)
{
    if (a->event_idx) {
        /*
         * The event of the past stays where it is when disabled: it comes
         * round after 65535 more buffers, one notification too many.
         */
        if (enable) {
            ring_store16(ring_split_avail_event(a),
                         ring->pos->shadow_avail_idx);
        }
    } else {
        ring_store16(ring_device_at(a, OFS_FLAGS),
                     enable ? 0 : USED_F_NO_NOTIFY);
    }
    if (enable) {
        ring_full_fence();
    }
}

bool ring_split_avail_bytes(VirtRing *ring, const VirtRingAreas *a,
                            const RingSink *sink, uint64_t max_in,
                            uint64_t max_out)
{
    VirtRingSize *size = sink->size;
    uint16_t idx = ring->pos->last_avail_idx;
    unsigned room = a->num;
    int available;

    /* The caller wants more than it knows of: look for more now */
    ring->pos->shadow_avail_idx = idx;
    available = new_heads(ring, a);
    for (int i = 0; i < available; i++, idx++) {
        uint16_t head = ring_load16(ring_split_avail_entry(a, idx));

        if (unlikely(head >= a->num)) {
            ring_broken(ring, "an available head past the ring", head);
            return false;
        }
        size->in_num = size->out_num = 0;
        if (!walk(ring, a, sink, head, &room)) {
            return false;
        }
        if (size->in_len >= max_in && size->out_len >= max_out) {
            break;
        }
    }
    return available >= 0;
}

bool ring_split_recover(VirtRing *ring, const VirtRingAreas *a)
{
    VirtRingPos *pos = ring->pos;

    if (pos->inuse > a->num ||
        (uint16_t)(pos->last_avail_idx - pos->used_idx) != pos->inuse) {
        return false;
    }
    for (unsigned i = 0; a->in_order && i < pos->inuse; i++) {
        uint16_t idx = pos->used_idx + i;
        uint16_t head = ring_load16(ring_split_avail_entry(a, idx));

        ring->slots[idx % a->num] = (VirtRingSlot) {
            .in_len = SIZE_UNKNOWN, .id = head, .ndescs = 1,
        };
    }
    return true;
}
