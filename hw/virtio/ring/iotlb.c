/*
 * Device-side IOTLB
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See iotlb.h for the use and docs/devel/virtio-iotlb.rst for the argument.
 *
 * A set-associative table. An entry is read under a sequence counter of its
 * own and written under the lock. A block's set follows from its number and
 * its size, so a look-up tries each size that is in use; an invalidation
 * visits the sets of its range, or all of them if those are fewer.
 */

#include "qemu/osdep.h"
#include <pthread.h>
#include "iotlb.h"

#define WAYS            4u
#define FILL_TRIES      16u
/* Invalidations of which it is known what they touched; a power of two */
#define RECENT          256u

/* Entry tag: the block's first IOVA, and in its low bits: */
#define TAG_SHIFT(tag)  ((unsigned)((tag) & 0x3f))
#define TAG_READ        (1u << 6)
#define TAG_WRITE       (1u << 7)
#define TAG_VALID       (1u << 8)
#define TAG_BASE        (~(uint64_t)((1u << IOTLB_MIN_SHIFT) - 1))

/* All fields atomic; see entry_read() and entry_write() */
typedef struct IotlbEntry {
    uint32_t seq;               /* odd while it is written */
    uint64_t tag;               /* 0: empty */
    uintptr_t host;
    uintptr_t region;
    uint64_t offset;
} IotlbEntry;

struct Iotlb {
    IotlbFillFn *fill;
    void *opaque;
    unsigned sets;              /* a power of two */
    uint64_t shifts;            /* atomic: bit n: blocks of 2^n may be there */
    uint64_t generation;        /* atomic: counts invalidations */
    IotlbRange recent[RECENT];  /* atomic: of the latest, by generation */

    pthread_mutex_t lock;       /* all below, and writing anything above */
    IotlbReader *readers;
    IotlbStats stats;
    uint8_t *victim;            /* per set: the way to replace next */
    IotlbEntry entry[];         /* sets * WAYS */
};

static void iotlb_lock(Iotlb *iotlb)
{
    pthread_mutex_lock(&iotlb->lock);
    iotlb->stats.locks++;
}

static void iotlb_unlock(Iotlb *iotlb)
{
    pthread_mutex_unlock(&iotlb->lock);
}

static unsigned set_of(const Iotlb *iotlb, uint64_t iova, unsigned shift)
{
    uint64_t block = iova >> shift;

    /* Neighbours stay apart; sizes do not all begin at set 0. */
    return (block ^ block >> 10 ^ shift * 5) & (iotlb->sets - 1);
}

static uint64_t shift_mask(unsigned shift)
{
    return ((uint64_t)1 << shift) - 1;
}

static uint64_t make_tag(uint64_t base, unsigned shift, unsigned rights)
{
    return base | shift | TAG_VALID |
           (rights & IOTLB_READ ? TAG_READ : 0) |
           (rights & IOTLB_WRITE ? TAG_WRITE : 0);
}

static bool tag_is_block(uint64_t tag, uint64_t base, unsigned shift)
{
    return (tag & TAG_VALID) && (tag & TAG_BASE) == base &&
           TAG_SHIFT(tag) == shift;
}

/*
 * The loads of the fields are acquiring and their stores releasing, so a field
 * that is newer than the first read of the counter makes the second one differ.
 * The tag is sequentially consistent for the sake of sections.
 */
static bool entry_read(const IotlbEntry *e, uint64_t tag, IotlbEntry *copy)
{
    uint32_t seq = __atomic_load_n(&e->seq, __ATOMIC_ACQUIRE);

    copy->tag = __atomic_load_n(&e->tag, __ATOMIC_SEQ_CST);
    copy->host = __atomic_load_n(&e->host, __ATOMIC_ACQUIRE);
    copy->region = __atomic_load_n(&e->region, __ATOMIC_ACQUIRE);
    copy->offset = __atomic_load_n(&e->offset, __ATOMIC_ACQUIRE);
    return !(seq & 1) && copy->tag == tag &&
           __atomic_load_n(&e->seq, __ATOMIC_RELAXED) == seq;
}

/* Context: lock held */
static void entry_write(IotlbEntry *e, uint64_t tag, const IotlbBlock *block)
{
    uint32_t seq = e->seq;

    __atomic_store_n(&e->seq, seq + 1, __ATOMIC_RELAXED);
    __atomic_store_n(&e->tag, tag, __ATOMIC_SEQ_CST);
    __atomic_store_n(&e->host, (uintptr_t)block->host, __ATOMIC_RELEASE);
    __atomic_store_n(&e->region, (uintptr_t)block->region, __ATOMIC_RELEASE);
    __atomic_store_n(&e->offset, block->offset, __ATOMIC_RELEASE);
    __atomic_store_n(&e->seq, seq + 2, __ATOMIC_RELEASE);
}

/* Written by the reader's thread, read by any */
static void count(uint64_t *counter)
{
    __atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

IotlbResult iotlb_lookup(IotlbReader *reader, uint64_t iova, unsigned right,
                         IotlbSpan *span)
{
    Iotlb *iotlb = reader->iotlb;
    unsigned need = right == IOTLB_WRITE ? TAG_WRITE : TAG_READ;
    uint64_t shifts = __atomic_load_n(&iotlb->shifts, __ATOMIC_RELAXED);

    for (; shifts; shifts &= shifts - 1) {
        unsigned shift = __builtin_ctzll(shifts);
        uint64_t base = iova & ~shift_mask(shift);
        const IotlbEntry *e = &iotlb->entry[set_of(iotlb, iova, shift) * WAYS];

        for (unsigned way = 0; way < WAYS; way++, e++) {
            uint64_t tag = __atomic_load_n(&e->tag, __ATOMIC_SEQ_CST);
            IotlbEntry copy;

            if (!tag_is_block(tag, base, shift) || !(tag & need) ||
                !entry_read(e, tag, &copy)) {
                continue;
            }
            *span = (IotlbSpan) {
                .host = (void *)(copy.host + (iova - base)),
                .len = shift_mask(shift) - (iova - base) + 1,
                .before = iova - base,
                .rights = (tag & TAG_READ ? IOTLB_READ : 0) |
                          (tag & TAG_WRITE ? IOTLB_WRITE : 0),
                .region = (void *)copy.region,
                .offset = copy.offset + (iova - base),
            };
            count(&reader->hits);
            return IOTLB_HIT;
        }
    }
    count(&reader->misses);
    return IOTLB_MISS;
}

/* Whether the answer of a fill function is a block around @iova */
static bool block_is_sane(const IotlbBlock *block, uint64_t iova,
                          unsigned right)
{
    return (block->mask & (block->mask + 1)) == 0 &&
           block->mask >= shift_mask(IOTLB_MIN_SHIFT) &&
           block->mask != UINT64_MAX && !(block->iova & block->mask) &&
           (iova & ~block->mask) == block->iova && block->host &&
           (block->rights & right) &&
           !(block->rights & ~(IOTLB_READ | IOTLB_WRITE));
}

/* Context: lock held */
static void insert(Iotlb *iotlb, const IotlbBlock *block)
{
    unsigned shift = __builtin_ctzll(block->mask + 1);
    unsigned set = set_of(iotlb, block->iova, shift);
    IotlbEntry *first = &iotlb->entry[set * WAYS], *place = NULL;
    unsigned rights = block->rights;

    for (unsigned way = 0; way < WAYS; way++) {
        IotlbEntry *e = &first[way];

        if (tag_is_block(e->tag, block->iova, shift)) {
            /* The same block asked for with another right */
            if (e->host == (uintptr_t)block->host) {
                rights |= (e->tag & TAG_READ ? IOTLB_READ : 0) |
                          (e->tag & TAG_WRITE ? IOTLB_WRITE : 0);
            }
            place = e;
            break;
        }
        if (!e->tag && !place) {
            place = e;
        }
    }
    if (!place) {
        place = &first[iotlb->victim[set]++ % WAYS];
    }
    entry_write(place, make_tag(block->iova, shift, rights), block);
    __atomic_store_n(&iotlb->shifts, iotlb->shifts | (uint64_t)1 << shift,
                     __ATOMIC_RELAXED);
    iotlb->stats.fills++;
}

uint64_t iotlb_generation(Iotlb *iotlb)
{
    return __atomic_load_n(&iotlb->generation, __ATOMIC_SEQ_CST);
}

/*
 * Whether no invalidation since @generation touched the range. Those that come
 * now are for the caller: by the lock, or by a section that has begun.
 *
 * The generation is stored after the range that it is of. A range is written
 * over when RECENT more have been stored: the acquiring loads pair with the
 * releasing stores in iotlb_invalidate(), so who reads the newer range reads
 * such a generation afterwards.
 */
static bool untouched_since(Iotlb *iotlb, uint64_t generation, uint64_t first,
                            uint64_t last)
{
    uint64_t now = iotlb_generation(iotlb);

    if (now - generation >= RECENT) {
        return false;
    }
    for (uint64_t i = generation; i++ != now;) {
        const IotlbRange *r = &iotlb->recent[i % RECENT];

        if (__atomic_load_n(&r->first, __ATOMIC_ACQUIRE) <= last &&
            __atomic_load_n(&r->last, __ATOMIC_ACQUIRE) >= first) {
            return false;
        }
    }
    return iotlb_generation(iotlb) - generation < RECENT;
}

static bool block_lasts(Iotlb *iotlb, uint64_t generation,
                        const IotlbBlock *block)
{
    return untouched_since(iotlb, generation, block->iova,
                           block->iova | block->mask);
}

/*
 * Outside of a section. IOTLB_HIT: *@block is the translation, if no
 * invalidation touched it since @generation; whether or not it could be
 * remembered.
 */
static IotlbResult fill(Iotlb *iotlb, uint64_t iova, unsigned right,
                        uint64_t generation, IotlbBlock *answer)
{
    IotlbBlock block = { 0 };
    IotlbResult result = iotlb->fill(iotlb->opaque, iova, right, &block);

    *answer = block;
    if (result != IOTLB_HIT) {
        return result == IOTLB_SLOW ? IOTLB_SLOW : IOTLB_FAULT;
    }
    iotlb_lock(iotlb);
    if (!block_is_sane(&block, iova, right)) {
        iotlb->stats.bad++;
        result = IOTLB_FAULT;
    } else if (block_lasts(iotlb, generation, &block)) {
        insert(iotlb, &block);
    } else {
        /* It may be from before the invalidation. */
        iotlb->stats.drops++;
    }
    iotlb_unlock(iotlb);
    return result;
}

IotlbResult iotlb_ask(IotlbReader *reader, uint64_t iova, unsigned right,
                      IotlbSpan *span)
{
    IotlbResult result = IOTLB_MISS;

    for (unsigned i = 0; result == IOTLB_MISS && i < FILL_TRIES; i++) {
        IotlbBlock block;
        uint64_t generation;

        iotlb_exit(reader);
        reader->epoch++;
        generation = iotlb_generation(reader->iotlb);
        result = fill(reader->iotlb, iova, right, generation, &block);
        iotlb_enter(reader);
        if (result != IOTLB_HIT) {
            return result;
        }
        /* Who invalidates from now on waits for this section. */
        if (block_lasts(reader->iotlb, generation, &block)) {
            uint64_t at = iova - block.iova;

            *span = (IotlbSpan) {
                .host = (char *)block.host + at,
                .len = block.mask - at + 1,
                .before = at,
                .rights = block.rights,
                .region = block.region,
                .offset = block.offset + at,
            };
            return IOTLB_HIT;
        }
        result = iotlb_lookup(reader, iova, right, span);
    }
    return result;
}

bool iotlb_watch(IotlbReader *reader, const IotlbRange *ranges, unsigned num,
                 uint64_t generation)
{
    Iotlb *iotlb = reader->iotlb;
    bool fresh;

    if (pthread_mutex_trylock(&iotlb->lock)) {
        /* Who has it may be waiting for this section. */
        iotlb_exit(reader);
        reader->epoch++;
        iotlb_lock(iotlb);
        iotlb_unlock(iotlb);
        iotlb_enter(reader);
        return false;
    }
    iotlb->stats.locks++;
    fresh = true;
    for (unsigned i = 0; i < IOTLB_WATCH_MAX; i++) {
        fresh &= i >= num || untouched_since(iotlb, generation,
                                             ranges[i].first, ranges[i].last);
        /* One that nothing touches for those that are not given */
        reader->watch[i] = i < num ? ranges[i] : (IotlbRange) { 1, 0 };
    }
    __atomic_store_n(&reader->watching, fresh, __ATOMIC_SEQ_CST);
    iotlb_unlock(iotlb);
    return fresh;
}

/* Context: lock held */
static void end_watches(Iotlb *iotlb, uint64_t first, uint64_t last)
{
    for (IotlbReader *r = iotlb->readers; r; r = r->next) {
        for (unsigned i = 0; i < IOTLB_WATCH_MAX; i++) {
            const IotlbRange *w = &r->watch[i];

            if (w->first <= w->last && w->first <= last && w->last >= first) {
                iotlb_unwatch(r);
            }
        }
    }
}

/* Context: lock held */
static void clear(Iotlb *iotlb, IotlbEntry *e)
{
    static const IotlbBlock none;

    entry_write(e, 0, &none);
    iotlb->stats.cleared++;
}

/* Whether the block of a valid @tag touches [@first, @last] */
static bool tag_touches(uint64_t tag, uint64_t first, uint64_t last)
{
    uint64_t base = tag & TAG_BASE;

    return (tag & TAG_VALID) && base <= last &&
           (base | shift_mask(TAG_SHIFT(tag))) >= first;
}

/* Context: lock held */
static void clear_range(Iotlb *iotlb, uint64_t first, uint64_t last)
{
    uint64_t left = iotlb->shifts, work = 0;

    for (uint64_t s = left; s; s &= s - 1) {
        unsigned shift = __builtin_ctzll(s);
        uint64_t blocks = (last >> shift) - (first >> shift);

        work += MIN(blocks, iotlb->sets) + 1;
    }
    if (work >= iotlb->sets) {
        for (unsigned i = 0; i < iotlb->sets * WAYS; i++) {
            if (tag_touches(iotlb->entry[i].tag, first, last)) {
                clear(iotlb, &iotlb->entry[i]);
            }
        }
        if (first == 0 && last == UINT64_MAX) {
            __atomic_store_n(&iotlb->shifts, 0, __ATOMIC_RELAXED);
        }
        return;
    }
    for (; left; left &= left - 1) {
        unsigned shift = __builtin_ctzll(left);

        for (uint64_t block = first >> shift; ; block++) {
            uint64_t base = block << shift;
            IotlbEntry *e = &iotlb->entry[set_of(iotlb, base, shift) * WAYS];

            for (unsigned way = 0; way < WAYS; way++, e++) {
                if (tag_is_block(e->tag, base, shift)) {
                    clear(iotlb, e);
                }
            }
            if (block == last >> shift) {
                break;
            }
        }
    }
}

/*
 * A section that began before the entries were gone may have read them. One
 * that begins later has not: see iotlb_enter().
 *
 * Context: lock held; sections do not take it
 */
static void iotlb_wait_readers(Iotlb *iotlb)
{
    for (IotlbReader *r = iotlb->readers; r; r = r->next) {
        uint32_t seen = __atomic_load_n(&r->section, __ATOMIC_SEQ_CST);

        if (!(seen & 1)) {
            continue;
        }
        iotlb->stats.waits++;
        for (unsigned spin = 1;
             __atomic_load_n(&r->section, __ATOMIC_ACQUIRE) == seen; spin++) {
            if (spin % 1024 == 0) {
                g_thread_yield();
            }
        }
    }
}

void iotlb_invalidate(Iotlb *iotlb, uint64_t first, uint64_t last)
{
    IotlbRange *recent;

    iotlb_lock(iotlb);
    iotlb->stats.invalidations++;
    recent = &iotlb->recent[(iotlb->generation + 1) % RECENT];
    __atomic_store_n(&recent->first, first, __ATOMIC_RELEASE);
    __atomic_store_n(&recent->last, last, __ATOMIC_RELEASE);
    /* Before the entries: who translates now must not insert afterwards. */
    __atomic_store_n(&iotlb->generation, iotlb->generation + 1,
                     __ATOMIC_SEQ_CST);
    if (first <= last) {
        clear_range(iotlb, first, last);
        end_watches(iotlb, first, last);
    }
    iotlb_wait_readers(iotlb);
    iotlb_unlock(iotlb);
}

IotlbStats iotlb_stats(Iotlb *iotlb)
{
    IotlbStats stats;

    pthread_mutex_lock(&iotlb->lock);
    stats = iotlb->stats;
    for (IotlbReader *r = iotlb->readers; r; r = r->next) {
        stats.hits += __atomic_load_n(&r->hits, __ATOMIC_RELAXED);
        stats.misses += __atomic_load_n(&r->misses, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&iotlb->lock);
    return stats;
}

uint64_t iotlb_block_mask(uint64_t iova, uint64_t mask, uint64_t first,
                          uint64_t last)
{
    uint64_t fit = 0;

    for (unsigned shift = IOTLB_MIN_SHIFT; shift < 64; shift++) {
        uint64_t next = shift_mask(shift);

        if (next > mask || (iova & ~next) < first || (iova | next) > last) {
            break;
        }
        fit = next;
    }
    return fit;
}

void iotlb_reader_add(Iotlb *iotlb, IotlbReader *reader)
{
    *reader = (IotlbReader) { .iotlb = iotlb };
    iotlb_lock(iotlb);
    reader->next = iotlb->readers;
    iotlb->readers = reader;
    iotlb_unlock(iotlb);
}

void iotlb_reader_remove(IotlbReader *reader)
{
    Iotlb *iotlb = reader->iotlb;

    iotlb_lock(iotlb);
    for (IotlbReader **r = &iotlb->readers; *r; r = &(*r)->next) {
        if (*r == reader) {
            *r = reader->next;
            iotlb->stats.hits += reader->hits;
            iotlb->stats.misses += reader->misses;
            break;
        }
    }
    iotlb_unlock(iotlb);
    reader->iotlb = NULL;
}

Iotlb *iotlb_new(unsigned entries, IotlbFillFn *fill_fn, void *opaque)
{
    unsigned sets = 1;
    Iotlb *iotlb;

    entries = MIN(MAX(entries, IOTLB_ENTRIES_MIN), IOTLB_ENTRIES_MAX);
    while (sets * WAYS * 2 <= entries) {
        sets *= 2;
    }
    iotlb = g_malloc0(sizeof(*iotlb) + sets * WAYS * sizeof(IotlbEntry));
    iotlb->fill = fill_fn;
    iotlb->opaque = opaque;
    iotlb->sets = sets;
    iotlb->victim = g_new0(uint8_t, sets);
    pthread_mutex_init(&iotlb->lock, NULL);
    return iotlb;
}

void iotlb_free(Iotlb *iotlb)
{
    if (!iotlb) {
        return;
    }
    g_assert(!iotlb->readers);
    pthread_mutex_destroy(&iotlb->lock);
    g_free(iotlb->victim);
    g_free(iotlb);
}
