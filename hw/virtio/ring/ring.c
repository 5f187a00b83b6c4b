/*
 * The device's side of a virtqueue: what does not depend on the format
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See ring.h.
 */

#include "qemu/osdep.h"
#include "labels.h"
#include "quick.h"
#include "split.h"

static bool look_empty(VirtRing *ring, const VirtRingAreas *a)
{
    return a->packed ? ring_packed_empty(ring, a) : ring_split_empty(ring, a);
}

/*
 * The queue looks empty. If the driver was told when to notify, what it made
 * available just now may have gone unnoticed by either side: look again after
 * a fence.
 */
static bool still_empty(VirtRing *ring, const VirtRingAreas *a)
{
    if (!a->event_idx || !ring->pos->notification) {
        return true;
    }
    if (unlikely(ring->owed)) {
        ring_packed_ask(ring, a);
    }
    ring_full_fence();
    return look_empty(ring, a);
}

static VirtRingResult fetch(VirtRing *ring, const VirtRingAreas *a,
                            const RingSink *sink, VirtRingChain *chain)
{
    /* A second look is enough: what an honest driver shows stays there. */
    for (bool again = false;; again = true) {
        VirtRingResult result;

        if (sink) {
            *sink->size = (VirtRingSize) { 0 };
        }
        result = a->packed ? ring_packed_fetch(ring, a, sink, chain)
                           : ring_split_fetch(ring, a, sink, chain);
        if (result == VRING_CHAIN) {
            ring_note_in_order(ring, a, chain,
                               sink ? sink->size->in_len : SIZE_UNKNOWN);
        }
        if (result != VRING_NONE || again || still_empty(ring, a)) {
            return result;
        }
    }
}

VirtRingResult vring_fetch(VirtRing *ring, const VirtRingAreas *a,
                           const VirtRingMem *mem, VirtRingChain *chain,
                           VirtRingSegs *segs)
{
    return a->packed ? ring_quick_packed(ring, a, mem, chain, segs)
                     : ring_quick_split(ring, a, mem, chain, segs);
}

VirtRingResult ring_fetch_any(VirtRing *ring, const VirtRingAreas *a,
                              const VirtRingMem *mem, VirtRingChain *chain,
                              VirtRingSegs *segs)
{
    const RingSink sink = { mem, &segs->size, segs };

    return fetch(ring, a, &sink, chain);
}

VirtRingResult vring_skip(VirtRing *ring, const VirtRingAreas *a,
                          VirtRingChain *chain)
{
    return fetch(ring, a, NULL, chain);
}

void vring_unfetch(VirtRing *ring, const VirtRingAreas *a, unsigned chains,
                   unsigned ndescs)
{
    if (a->packed) {
        ring_packed_unfetch(ring, a, ndescs);
    } else {
        ring->pos->last_avail_idx -= chains;
        ring->pos->inuse -= chains;
        ndescs = chains;
    }
    for (unsigned i = 0; a->in_order && i < ndescs; i++) {
        ring->slots[(ring->pos->last_avail_idx + i) % a->num].ndescs = 0;
    }
}

bool vring_fill(VirtRing *ring, const VirtRingAreas *a,
                const VirtRingChain *chain, uint32_t len, unsigned idx)
{
    VirtRingSlot *slot;

    if (a->in_order) {
        if (chain->pos >= a->num) {
            return false;
        }
        slot = &ring->slots[chain->pos];
        if (slot->id != chain->id || slot->done || !slot->ndescs) {
            return false;
        }
        slot->len = len;
        slot->done = true;
        return true;
    }
    if (!a->packed) {
        ring_split_write_used(ring, a, idx, chain->id, len);
        return true;
    }
    ring->slots[idx] = (VirtRingSlot) {
        .len = len, .id = chain->id, .ndescs = chain->ndescs,
    };
    return true;
}

static void write_used(VirtRing *ring, const VirtRingAreas *a,
                       uint16_t ahead, const VirtRingSlot *slot)
{
    if (a->packed) {
        ring_packed_write_used(ring, a, ahead, slot->id, slot->len);
    } else {
        ring_split_write_used(ring, a, ahead, slot->id, slot->len);
    }
}

/* Does a finished chain follow the first @ndescs in flight? */
static bool done_after(const VirtRing *ring, const VirtRingAreas *a,
                       unsigned ndescs)
{
    unsigned at = (ring->pos->used_idx + ndescs) % a->num;

    return ndescs < ring->pos->inuse && ring->slots[at].done;
}

/*
 * 2.7.9, 2.8.8: one entry, with the id of the last buffer, for a run of
 * them. The driver takes the others for completely used, so each of these
 * must have been filled; and the packed ring's first entry is held back.
 */
static unsigned flush_in_order(VirtRing *ring, const VirtRingAreas *a)
{
    uint16_t start = a->packed ? ring->pos->used_idx
                               : ring->pos->used_idx % a->num;
    VirtRingSlot first = { 0 };
    unsigned chains = 0, ndescs = 0;
    bool hold = a->labels && ring_label_hold(ring, a), first_more = false;

    while (ndescs < ring->pos->inuse) {
        unsigned group = ndescs;
        VirtRingSlot *slot, last = { 0 };
        bool more = true, label;

        while (more && ndescs < ring->pos->inuse) {
            slot = &ring->slots[(start + ndescs) % a->num];
            if (!slot->done) {
                break;
            }
            last = *slot;
            more = slot->len == slot->in_len && slot->len != SIZE_UNKNOWN;
            chains++;
            ndescs += slot->ndescs;
            slot->done = false;
            slot->ndescs = 0;
        }
        if (group == ndescs) {
            break;
        }
        label = unlikely(a->labels) && (hold || done_after(ring, a, ndescs));
        if (!group) {
            first = last;
            first_more = label;
            if (!a->packed) {
                write_used(ring, a, 0, &first);
            }
        } else if (unlikely(label)) {
            ring_packed_write_more(ring, a, group, last.id, last.len);
        } else {
            write_used(ring, a, group, &last);
        }
    }
    if (chains && a->packed) {
        ring_packed_publish(ring, a, first.id, first.len, ndescs,
                            first_more);
        ring->held = hold;
    } else if (chains) {
        ring_split_publish(ring, a, chains);
    }
    return chains;
}

/* All but the last say MORE; that too if it is not the last of its batch */
static unsigned flush_labelled(VirtRing *ring, const VirtRingAreas *a,
                               unsigned count)
{
    const VirtRingSlot *slots = ring->slots;
    unsigned ndescs = slots[0].ndescs;
    bool hold = ring_label_hold(ring, a);

    for (unsigned i = 1; i < count; i++) {
        if (i + 1 < count || hold) {
            ring_packed_write_more(ring, a, ndescs, slots[i].id,
                                   slots[i].len);
        } else {
            ring_packed_write_used(ring, a, ndescs, slots[i].id,
                                   slots[i].len);
        }
        ndescs += slots[i].ndescs;
    }
    ring_packed_publish(ring, a, slots[0].id, slots[0].len, ndescs,
                        count > 1 || hold);
    ring->held = hold;
    return count;
}

unsigned vring_flush(VirtRing *ring, const VirtRingAreas *a, unsigned count)
{
    if (!count) {
        return 0;
    }
    if (a->in_order) {
        return flush_in_order(ring, a);
    }
    if (!a->packed) {
        ring_split_publish(ring, a, count);
        return count;
    }
    if (unlikely(a->labels)) {
        return flush_labelled(ring, a, count);
    }
    ring_packed_flush(ring, a, count);
    return count;
}

bool vring_should_notify(VirtRing *ring, const VirtRingAreas *a)
{
    if (unlikely(ring->held)) {
        return false;
    }
    return a->packed ? ring_packed_should_notify(ring, a)
                     : ring_split_should_notify(ring, a);
}

void vring_set_notification(VirtRing *ring, const VirtRingAreas *a,
                            bool enable)
{
    ring->pos->notification = enable;
    if (a->packed) {
        ring_packed_set_notification(ring, a, enable);
    } else {
        ring_split_set_notification(ring, a, enable);
    }
}

bool vring_empty(VirtRing *ring, const VirtRingAreas *a)
{
    return unlikely(ring->owed) ? look_empty(ring, a) && still_empty(ring, a)
                                : look_empty(ring, a);
}

bool vring_more(VirtRing *ring, const VirtRingAreas *a, uint16_t shadow)
{
    return a->packed ? ring_packed_more(ring, a, shadow)
                     : ring_split_more(a, shadow);
}

bool vring_avail_bytes(VirtRing *ring, const VirtRingAreas *a,
                       const VirtRingMem *mem, uint64_t *in, uint64_t *out,
                       uint64_t max_in, uint64_t max_out)
{
    VirtRingSize size = { 0 };
    const RingSink sink = { mem, &size, NULL };
    bool good;

    good = a->packed
        ? ring_packed_avail_bytes(ring, a, &sink, max_in, max_out)
        : ring_split_avail_bytes(ring, a, &sink, max_in, max_out);
    *in = size.in_len;
    *out = size.out_len;
    return good;
}

bool vring_finished(const VirtRing *ring, const VirtRingAreas *a,
                    unsigned *from, VirtRingChain *chain, uint32_t *len)
{
    while (a->in_order && *from < a->num) {
        uint16_t pos = (*from)++;
        const VirtRingSlot *slot = &ring->slots[pos];

        if (slot->done) {
            *chain = (VirtRingChain) { slot->id, slot->ndescs, pos };
            *len = slot->len;
            return true;
        }
    }
    return false;
}

bool vring_recover(VirtRing *ring, const VirtRingAreas *a)
{
    for (unsigned i = 0; i < a->num && i < ring->size; i++) {
        ring->slots[i] = (VirtRingSlot) { 0 };
    }
    return a->packed ? ring_packed_recover(ring, a)
                     : ring_split_recover(ring, a);
}
