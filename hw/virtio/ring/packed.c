/*
 * The packed virtqueue (virtio 1.2+, section 2.8)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Length, id and flags of a descriptor are one aligned 64-bit word, read and
 * written as one. Flags that say "available" therefore come with the id and
 * length that were stored before them; only the address needs the acquire.
 */

#include "qemu/osdep.h"
#include "labels.h"

#define EVENT_ENABLE    0
#define EVENT_DISABLE   1
#define EVENT_DESC      2

typedef struct Place {
    uint16_t pos;
    bool wrap;
} Place;

static inline void step(const VirtRingAreas *a, Place *p, unsigned n)
{
    unsigned to = p->pos + n;

    if (to >= a->num) {
        to -= a->num;
        p->wrap = !p->wrap;
    }
    p->pos = to;
}

static inline uint64_t load_word(const VirtRingAreas *a, uint16_t i)
{
    return ring_load64(ring_desc_at(a, DESC_SIZE * i + 8));
}

static inline Place next_avail(const VirtRing *ring)
{
    return (Place) {
        ring->pos->last_avail_idx, ring->pos->last_avail_wrap_counter,
    };
}

static inline bool in_ring(VirtRing *ring, const VirtRingAreas *a)
{
    /* Loaded or set from outside, where the size of the ring is not known */
    return ring->pos->last_avail_idx < a->num && ring->pos->used_idx < a->num;
}

bool ring_packed_empty(VirtRing *ring, const VirtRingAreas *a)
{
    Place at = next_avail(ring);

    return !in_ring(ring, a) ||
           !ring_packed_is_avail(load_word(a, at.pos), at.wrap);
}

bool ring_packed_more(VirtRing *ring, const VirtRingAreas *a, uint16_t shadow)
{
    return shadow < a->num &&
           ring_packed_is_avail(load_word(a, shadow),
                    ring->pos->shadow_avail_wrap_counter);
}

/*
 * Take the chain at @at: its buffers go to @sink unless that is NULL, its id
 * and length to @chain, @at moves behind it. VRING_NONE if none is there.
 *
 * Only the first descriptor's flags say that the chain is available: the
 * driver writes them last.
 */
static VirtRingResult walk(VirtRing *ring, const VirtRingAreas *a,
                           const RingSink *sink, VirtRingChain *chain,
                           Place *at, unsigned room)
{
    uint64_t word = load_word(a, at->pos);

    if (!ring_packed_is_avail(word, at->wrap)) {
        return VRING_NONE;
    }
    /* Pairs with the driver's release of the first flags: the rest after it */
    ring_acquire();
    chain->pos = at->pos;
    chain->ndescs = 0;
    chain->flags = word >> 48;
    for (;;) {
        uint64_t addr = ring_load64(ring_desc_at(a, DESC_SIZE * at->pos));
        RingDesc desc = ring_desc_packed(addr, word);

        /* This one included, no more in flight than there are places */
        if (unlikely(chain->ndescs == room)) {
            return ring_broken(ring, "more descriptors than the queue has "
                               "places", a->num);
        }
        chain->ndescs++;
        step(a, at, 1);
        if (desc.flags & DESC_F_INDIRECT) {
            /* 2.8.5, 2.8.19: a list has descriptors of one kind only */
            if (unlikely(!a->indirect || chain->ndescs > 1 ||
                         (desc.flags & DESC_F_NEXT))) {
                return ring_broken(ring, a->indirect
                                   ? "an indirect descriptor in a chain"
                                   : "an indirect descriptor, not agreed on",
                                   chain->pos);
            }
            if (sink && !ring_add_table(ring, sink, &desc, true)) {
                return VRING_BROKEN;
            }
        } else if (sink && !ring_add_buffer(ring, sink, &desc)) {
            return VRING_BROKEN;
        }
        /* 2.8.6: the id of the last descriptor counts */
        chain->id = desc.other;
        if (!(desc.flags & DESC_F_NEXT)) {
            return VRING_CHAIN;
        }
        word = load_word(a, at->pos);
    }
}

static void set_shadow(VirtRing *ring, Place at)
{
    ring->pos->shadow_avail_idx = at.pos;
    ring->pos->shadow_avail_wrap_counter = at.wrap;
}

static void write_event(VirtRing *ring, const VirtRingAreas *a)
{
    VirtRingPos *pos = ring->pos;

    ring_store16(ring_device_at(a, OFS_EVENT_DESC),
                 pos->shadow_avail_idx | pos->shadow_avail_wrap_counter << 15);
    ring->owed = false;
}

void ring_packed_ask(VirtRing *ring, const VirtRingAreas *a)
{
    set_shadow(ring, next_avail(ring));
    write_event(ring, a);
}

VirtRingResult ring_packed_fetch(VirtRing *ring, const VirtRingAreas *a,
                                 const RingSink *sink, VirtRingChain *chain)
{
    VirtRingPos *pos = ring->pos;
    Place at = next_avail(ring);
    VirtRingResult result;

    if (unlikely(!in_ring(ring, a) || pos->inuse > a->num)) {
        return ring_broken(ring, "a position outside of the ring", at.pos);
    }
    result = walk(ring, a, sink, chain, &at, a->num - pos->inuse);
    if (result != VRING_CHAIN) {
        return result;
    }
    pos->last_avail_idx = at.pos;
    pos->last_avail_wrap_counter = at.wrap;
    pos->inuse += chain->ndescs;
    set_shadow(ring, at);
    if (unlikely(a->labels) && ring_label_taken(ring, chain)) {
        return VRING_CHAIN;
    }
    if (a->event_idx && pos->notification) {
        write_event(ring, a);
    }
    return VRING_CHAIN;
}

static inline uint64_t used_word(uint16_t id, uint32_t len, bool wrap)
{
    /* 2.8.1, 2.8.3: both as the wrap counter; WRITE if there is anything */
    uint64_t flags = (wrap ? DESC_F_AVAIL | DESC_F_USED : 0) |
                     (len ? DESC_F_WRITE : 0);

    return flags << 48 | (uint64_t)id << 32 | len;
}

static inline void store_used(VirtRing *ring, const VirtRingAreas *a,
                              uint16_t ahead, uint16_t id, uint32_t len,
                              uint64_t label)
{
    Place at = { ring->pos->used_idx, ring->pos->used_wrap_counter };

    step(a, &at, ahead);
    ring_store64(ring_desc_at(a, DESC_SIZE * at.pos + 8),
                 used_word(id, len, at.wrap) | label << 48);
}

void ring_packed_write_used(VirtRing *ring, const VirtRingAreas *a,
                            uint16_t ahead, uint16_t id, uint32_t len)
{
    store_used(ring, a, ahead, id, len, 0);
}

void ring_packed_write_more(VirtRing *ring, const VirtRingAreas *a,
                            uint16_t ahead, uint16_t id, uint32_t len)
{
    store_used(ring, a, ahead, id, len, DESC_F_MORE);
}

/*
 * The first descriptor of a flush goes last: until then the driver, which
 * looks at them in order, does not get to the others.
 */
static inline void publish(VirtRing *ring, const VirtRingAreas *a, uint16_t id,
                           uint32_t len, unsigned ndescs, uint64_t label)
{
    VirtRingPos *pos = ring->pos;
    Place at = { pos->used_idx, pos->used_wrap_counter };

    if ((uint16_t)(pos->used_idx - pos->signalled_used) + ndescs > a->num) {
        /* More than a lap without a decision: events cannot be told apart. */
        pos->signalled_used_valid = false;
    }
    /* Pairs with the driver's acquire of the flags: all of it before them */
    ring_release();
    ring_store64(ring_desc_at(a, DESC_SIZE * at.pos + 8),
                 used_word(id, len, at.wrap) | label << 48);
    step(a, &at, ndescs);
    if (at.wrap != pos->used_wrap_counter) {
        /* Keep the distance: positions start over, decisions do not. */
        pos->signalled_used -= a->num;
    }
    pos->used_idx = at.pos;
    pos->used_wrap_counter = at.wrap;
    pos->inuse -= ndescs;
}

void ring_packed_publish(VirtRing *ring, const VirtRingAreas *a, uint16_t id,
                         uint32_t len, unsigned ndescs, bool more)
{
    publish(ring, a, id, len, ndescs, more ? DESC_F_MORE : 0);
}

/* Publish the chains of the first @count slots, which stand in no order */
void ring_packed_flush(VirtRing *ring, const VirtRingAreas *a, unsigned count)
{
    const VirtRingSlot *first = ring->slots, *end = first + count;
    uint64_t wrapped = used_word(0, 0, !ring->pos->used_wrap_counter);
    uint64_t flags = used_word(0, 0, ring->pos->used_wrap_counter);
    unsigned at = ring->pos->used_idx + first->ndescs;
    unsigned ndescs = first->ndescs;

    for (const VirtRingSlot *slot = first + 1; slot < end; slot++) {
        if (at >= a->num) {
            at -= a->num;
            flags = wrapped;
        }
        ring_store64(ring_desc_at(a, DESC_SIZE * at + 8),
                     used_word(slot->id, slot->len, false) | flags);
        at += slot->ndescs;
        ndescs += slot->ndescs;
    }
    publish(ring, a, first->id, first->len, ndescs, 0);
}

bool ring_packed_should_notify(VirtRing *ring, const VirtRingAreas *a)
{
    VirtRingPos *pos = ring->pos;
    uint16_t old = pos->signalled_used, new = pos->used_idx, event, flags;
    bool valid = pos->signalled_used_valid;

    pos->signalled_used = new;
    pos->signalled_used_valid = true;
    if (!a->fenced) {
        ring_full_fence();
    }
    flags = ring_load16(ring_driver_at(a, OFS_EVENT_FLAGS));
    if (flags != EVENT_DESC || !a->event_idx) {
        return flags != EVENT_DISABLE;
    }
    /* Pairs with the driver's release between the two fields */
    ring_acquire();
    event = ring_load16(ring_driver_at(a, OFS_EVENT_DESC));
    if (event >> 15 == pos->used_wrap_counter) {
        event &= 0x7fff;
    } else {
        event = (event & 0x7fff) - a->num;
    }
    return !valid || (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

void ring_packed_set_notification(VirtRing *ring, const VirtRingAreas *a,
                                  bool enable)
{
    uint16_t flags = EVENT_DISABLE;

    if (enable) {
        flags = a->event_idx ? EVENT_DESC : EVENT_ENABLE;
        if (a->event_idx) {
            write_event(ring, a);
            /* Pairs with the driver's acquire between the two fields */
            ring_release();
        }
    }
    ring_store16(ring_device_at(a, OFS_EVENT_FLAGS), flags);
    if (enable) {
        ring_full_fence();
    }
}

bool ring_packed_avail_bytes(VirtRing *ring, const VirtRingAreas *a,
                             const RingSink *sink, uint64_t max_in,
                             uint64_t max_out)
{
    VirtRingSize *size = sink->size;
    Place at = next_avail(ring);
    unsigned room = a->num - MIN(ring->pos->inuse, a->num);
    VirtRingResult result = VRING_NONE;

    while (room && in_ring(ring, a)) {
        VirtRingChain chain;

        size->in_num = size->out_num = 0;
        result = walk(ring, a, sink, &chain, &at, room);
        if (result != VRING_CHAIN) {
            break;
        }
        room -= chain.ndescs;
        if (size->in_len >= max_in && size->out_len >= max_out) {
            break;
        }
    }
    set_shadow(ring, at);
    return result != VRING_BROKEN;
}

void ring_packed_unfetch(VirtRing *ring, const VirtRingAreas *a,
                         unsigned ndescs)
{
    VirtRingPos *pos = ring->pos;
    unsigned back = pos->last_avail_idx;

    if (back < ndescs) {
        back += a->num;
        pos->last_avail_wrap_counter = !pos->last_avail_wrap_counter;
    }
    pos->last_avail_idx = back - ndescs;
    pos->inuse -= ndescs;
    /* Of the one before it nothing is known; the device does not read on */
    ring->more = false;
    set_shadow(ring, next_avail(ring));
}

bool ring_packed_recover(VirtRing *ring, const VirtRingAreas *a)
{
    VirtRingPos *pos = ring->pos;
    Place at = { pos->used_idx, pos->used_wrap_counter }, end = at;
    unsigned left = pos->inuse;

    /* Whether the event was moved before is not known */
    ring->owed = a->labels && a->event_idx;
    if (!in_ring(ring, a) || left > a->num) {
        return false;
    }
    /* In any order: a used entry moves on by the length of its chain */
    step(a, &end, left);
    if (end.pos != pos->last_avail_idx ||
        end.wrap != pos->last_avail_wrap_counter) {
        return false;
    }
    while (a->in_order && left) {
        VirtRingChain chain;

        if (walk(ring, a, NULL, &chain, &at, left) != VRING_CHAIN) {
            return false;
        }
        ring->slots[chain.pos] = (VirtRingSlot) {
            .in_len = SIZE_UNKNOWN, .id = chain.id, .ndescs = chain.ndescs,
        };
        left -= chain.ndescs;
    }
    return true;
}
