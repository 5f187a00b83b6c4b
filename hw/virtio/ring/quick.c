/*
 * The usual chains, taken quickly
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See quick.h.
 */

#include "qemu/osdep.h"
#include "labels.h"
#include "quick.h"
#include "split.h"

/* Longer chains are worth a slower start. */
#define QUICK_SEGMENTS 32

typedef struct Count {
    unsigned num;               /* buffers so far */
    unsigned in_num;
    uint64_t in_len;
    uint64_t len;
} Count;

static inline uint8_t *find(const VirtRingDirect *direct, uint64_t addr,
                            uint32_t len)
{
    uint64_t offset = addr - direct->start;

    if (unlikely(offset >= direct->size || len > direct->size - offset)) {
        return NULL;
    }
    return direct->host + offset;
}

/* Returns false for a buffer of an unusual kind. */
static inline bool add(const VirtRingDirect *direct, VirtRingSegs *segs,
                       Count *c, uint64_t addr, uint32_t len, bool write)
{
    uint8_t *host = find(direct, addr, len);

    if (unlikely(!host || !len || c->num == QUICK_SEGMENTS ||
                 (write ? direct->readonly : c->in_num))) {
        return false;
    }
    segs->iov[c->num] = (struct iovec) { host, len };
    segs->addr[c->num] = addr;
    c->num++;
    c->len += len;
    if (write) {
        c->in_num++;
        c->in_len += len;
    }
    return true;
}

/* The table's descriptors one after the other; split: linked that way, too */
static inline bool add_table(const VirtRingDirect *direct, VirtRingSegs *segs,
                             Count *c, uint64_t addr, uint32_t len,
                             bool packed)
{
    const uint8_t *p = find(direct, addr, len);
    unsigned entries = len / DESC_SIZE;

    if (unlikely(!p || !len || len % DESC_SIZE)) {
        return false;
    }
    for (unsigned i = 0; i < entries; i++, p += DESC_SIZE) {
        uint64_t words[2];
        RingDesc desc;

        ring_copy(words, p, DESC_SIZE);
        desc = packed ? ring_desc_packed(words[0], words[1])
                      : ring_desc_split(words[0], words[1]);
        if (unlikely(!packed && (desc.flags & DESC_F_INDIRECT)) ||
            !add(direct, segs, c, desc.addr, desc.len,
                 desc.flags & DESC_F_WRITE)) {
            return false;
        }
        if (!packed && !(desc.flags & DESC_F_NEXT)) {
            return true;
        }
        if (unlikely(!packed && desc.other != i + 1)) {
            return false;
        }
    }
    return packed;
}

static inline void finish(VirtRing *ring, const VirtRingAreas *a,
                          const VirtRingChain *chain, VirtRingSegs *segs,
                          const Count *c)
{
    segs->size = (VirtRingSize) {
        .out_num = c->num - c->in_num,
        .in_num = c->in_num,
        .out_len = c->len - c->in_len,
        .in_len = c->in_len,
    };
    ring_note_in_order(ring, a, chain, c->in_len);
}

/* The position moves behind a chain of @ndescs that ends before @at */
static inline void take_packed(VirtRing *ring, const VirtRingAreas *a,
                               VirtRingChain *chain, uint16_t id,
                               unsigned ndescs, unsigned at, bool wrap,
                               bool label)
{
    VirtRingPos *pos = ring->pos;

    *chain = (VirtRingChain) {
        .id = id, .ndescs = ndescs, .pos = pos->last_avail_idx,
    };
    pos->last_avail_idx = pos->shadow_avail_idx = at;
    pos->last_avail_wrap_counter = pos->shadow_avail_wrap_counter = wrap;
    pos->inuse += ndescs;
    ring->more = label;
    if (label) {
        ring->owed = true;
    } else if (a->event_idx && pos->notification) {
        ring_store16(ring_device_at(a, OFS_EVENT_DESC), at | wrap << 15);
        ring->owed = false;
    }
}

/* @word is that of the first descriptor */
static inline __attribute__((always_inline)) VirtRingResult
take_chain(VirtRing *ring, const VirtRingAreas *a, const VirtRingMem *mem,
           VirtRingChain *chain, VirtRingSegs *segs, uint64_t word, bool label)
{
    const VirtRingDirect *direct = &mem->direct;
    VirtRingPos *pos = ring->pos;
    unsigned at = pos->last_avail_idx, ndescs = 0;
    bool wrap = pos->last_avail_wrap_counter;
    Count c = { 0 };

    while (likely(ndescs < a->num - pos->inuse)) {
        RingDesc desc = ring_desc_packed(
            ring_load64(ring_desc_at(a, DESC_SIZE * at)), word);

        if (desc.flags & DESC_F_INDIRECT) {
            if (!a->indirect || ndescs || (desc.flags & DESC_F_NEXT) ||
                !add_table(direct, segs, &c, desc.addr, desc.len, true)) {
                break;
            }
        } else if (unlikely(!add(direct, segs, &c, desc.addr, desc.len,
                                 desc.flags & DESC_F_WRITE))) {
            break;
        }
        ndescs++;
        if (++at == a->num) {
            at = 0;
            wrap = !wrap;
        }
        if (!(desc.flags & DESC_F_NEXT)) {
            take_packed(ring, a, chain, desc.other, ndescs, at, wrap, label);
            finish(ring, a, chain, segs, &c);
            return VRING_CHAIN;
        }
        word = ring_load64(ring_desc_at(a, DESC_SIZE * at + 8));
    }
    return ring_fetch_any(ring, a, mem, chain, segs);
}

/*
 * More than one descriptor, or a table; not inlined: one descriptor alone
 * needs few registers
 */
static __attribute__((noinline)) VirtRingResult
packed_chain(VirtRing *ring, const VirtRingAreas *a, const VirtRingMem *mem,
             VirtRingChain *chain, VirtRingSegs *segs, uint64_t word)
{
    return take_chain(ring, a, mem, chain, segs, word, false);
}

/* The same, and perhaps labelled (labels.h) */
static __attribute__((noinline)) VirtRingResult
labelled_chain(VirtRing *ring, const VirtRingAreas *a, const VirtRingMem *mem,
               VirtRingChain *chain, VirtRingSegs *segs, uint64_t word)
{
    return take_chain(ring, a, mem, chain, segs, word,
                      word >> 48 & DESC_F_MORE);
}

VirtRingResult ring_quick_packed(VirtRing *ring, const VirtRingAreas *a,
                                 const VirtRingMem *mem, VirtRingChain *chain,
                                 VirtRingSegs *segs)
{
    VirtRingPos *pos = ring->pos;
    unsigned at = pos->last_avail_idx;
    bool wrap = pos->last_avail_wrap_counter;
    uint64_t word;
    uint8_t *host;
    uint32_t len;
    bool write;

    if (unlikely(!mem->direct.size || at >= a->num || pos->used_idx >= a->num ||
                 pos->inuse >= a->num)) {
        return ring_fetch_any(ring, a, mem, chain, segs);
    }
    word = ring_load64(ring_desc_at(a, DESC_SIZE * at + 8));
    if (!ring_packed_is_avail(word, wrap)) {
        return ring_fetch_any(ring, a, mem, chain, segs);
    }
    /* Pairs with the driver's release of the first flags: the rest after it */
    ring_acquire();
    if (word & (uint64_t)(DESC_F_NEXT | DESC_F_INDIRECT | DESC_F_MORE) << 48) {
        return unlikely(a->labels)
               ? labelled_chain(ring, a, mem, chain, segs, word)
               : packed_chain(ring, a, mem, chain, segs, word);
    }
    segs->addr[0] = ring_load64(ring_desc_at(a, DESC_SIZE * at));
    len = word;
    write = word & (uint64_t)DESC_F_WRITE << 48;
    host = find(&mem->direct, segs->addr[0], len);
    if (unlikely(!host || !len || (write && mem->direct.readonly))) {
        return ring_fetch_any(ring, a, mem, chain, segs);
    }
    segs->iov[0] = (struct iovec) { host, len };
    segs->size = write ? (VirtRingSize) { .in_num = 1, .in_len = len }
                       : (VirtRingSize) { .out_num = 1, .out_len = len };
    if (++at == a->num) {
        at = 0;
        wrap = !wrap;
    }
    take_packed(ring, a, chain, word >> 32, 1, at, wrap, false);
    ring_note_in_order(ring, a, chain, segs->size.in_len);
    return VRING_CHAIN;
}

/* The chain from @head */
static inline bool split_chain(const VirtRingAreas *a,
                               const VirtRingDirect *direct,
                               VirtRingSegs *segs, Count *c, uint16_t head)
{
    for (unsigned i = head; likely(i < a->num);) {
        const uint8_t *p = ring_desc_at(a, DESC_SIZE * i);
        RingDesc desc = ring_desc_split(ring_load64(p), ring_load64(p + 8));

        if (desc.flags & DESC_F_INDIRECT) {
            return a->indirect && !(desc.flags & DESC_F_NEXT) &&
                   add_table(direct, segs, c, desc.addr, desc.len, false);
        }
        if (unlikely(!add(direct, segs, c, desc.addr, desc.len,
                          desc.flags & DESC_F_WRITE))) {
            return false;
        }
        if (!(desc.flags & DESC_F_NEXT)) {
            return true;
        }
        i = desc.other;
    }
    return false;
}

VirtRingResult ring_quick_split(VirtRing *ring, const VirtRingAreas *a,
                                const VirtRingMem *mem, VirtRingChain *chain,
                                VirtRingSegs *segs)
{
    VirtRingPos *pos = ring->pos;
    uint16_t idx = pos->last_avail_idx, head;
    Count c = { 0 };

    if (pos->shadow_avail_idx == idx) {
        pos->shadow_avail_idx = ring_load16(ring_driver_at(a, OFS_IDX));
    }
    if (unlikely(!mem->direct.size || pos->shadow_avail_idx == idx ||
                 (uint16_t)(pos->shadow_avail_idx - idx) > a->num ||
                 pos->inuse >= a->num)) {
        return ring_fetch_any(ring, a, mem, chain, segs);
    }
    /* Pairs with the driver's release of the index: entries after it */
    ring_acquire();
    head = ring_load16(ring_split_avail_entry(a, idx));
    if (unlikely(!split_chain(a, &mem->direct, segs, &c, head))) {
        return ring_fetch_any(ring, a, mem, chain, segs);
    }
    *chain = (VirtRingChain) {
        .id = head, .ndescs = 1, .pos = ring_split_slot(a, idx),
    };
    pos->last_avail_idx = idx + 1;
    pos->inuse++;
    if (a->event_idx && pos->notification) {
        ring_store16(ring_split_avail_event(a), pos->shadow_avail_idx);
    }
    finish(ring, a, chain, segs, &c);
    return VRING_CHAIN;
}
