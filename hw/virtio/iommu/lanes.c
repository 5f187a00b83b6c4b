/*
 * Which I/O virtual addresses the queues of a device have in flight
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See lanes.h. Slots come in blocks of 64, as many as were ever in flight at a
 * time. A block's slots are free in the eyes of the queue's thread (@free), or
 * were given back since it looked (@returned); the rest is in flight.
 */

#include "qemu/osdep.h"
#include <pthread.h>
#include "lanes.h"

#define BLOCK_SLOTS     64u
#define BLOCKS          (IOMMU_LANE_SLOTS / BLOCK_SLOTS)

/* Id of a request: lane, block and slot, and a number of the lane's */
#define ID_SLOT(id)     ((unsigned)((id) & 0x3f))
#define ID_BLOCK(id)    ((unsigned)((id) >> 6 & (BLOCKS - 1)))
#define ID_LANE(id)     ((unsigned)((id) >> 10 & (IOMMU_LANES_MAX - 1)))
#define ID_NUMBER       ((uint64_t)1 << 20)
#define ID_HELD         ((uint64_t)1 << 62)
#define ID_IN_LANE      ((uint64_t)1 << 63)

G_STATIC_ASSERT(BLOCKS <= 16);

/**
 * LaneSlot: a request in flight, or none
 * @word: 0, or the request's id, perhaps with ID_HELD
 * @ticket: with ID_HELD; under the lock
 * @num, @writes: ranges, and of which of them the device may write
 *
 * The queue's thread writes all but @ticket while @word is 0. Atomic: whoever
 * reads them has to look at @word again.
 */
typedef struct LaneSlot {
    uint64_t word;
    uint32_t num;
    uint32_t writes;
    struct LaneRange {
        uint64_t first, last;
        uintptr_t host;
    } range[IOMMU_LANE_RANGES];
    struct IommuDrainTicket *ticket;
} LaneSlot;

/**
 * LaneBlock: slots, by bit
 * @free: written by the queue's thread
 * @returned: struck out, and not in @free yet
 * @pages: of each slot: see pages_of()
 */
typedef struct LaneBlock {
    uint64_t free;
    uint64_t returned;
    uint64_t pages[BLOCK_SLOTS];
    LaneSlot slot[BLOCK_SLOTS];
} LaneBlock;

/**
 * IommuLane: of one queue
 * @current: block to take from
 * @next_id: its number, and what else does not change
 * @block: atomic; @num of them, in a row
 */
struct IommuLane {
    unsigned current;
    unsigned num;
    uint64_t next_id;
    LaneBlock *block[BLOCKS];
};

struct IommuLanes {
    pthread_mutex_t lock;       /* holds that come, and those that go */
    unsigned num;               /* BQL: up to the last lane */
    IommuLane *lane[IOMMU_LANES_MAX];
};

IommuLanes *iommu_lanes_new(void)
{
    IommuLanes *lanes = g_new0(IommuLanes, 1);

    pthread_mutex_init(&lanes->lock, NULL);
    return lanes;
}

void iommu_lanes_free(IommuLanes *lanes)
{
    for (unsigned i = 0; i < lanes->num; i++) {
        IommuLane *lane = lanes->lane[i];

        for (unsigned b = 0; lane && b < lane->num; b++) {
            g_free(lane->block[b]);
        }
        g_free(lane);
    }
    pthread_mutex_destroy(&lanes->lock);
    g_free(lanes);
}

IommuLane *iommu_lanes_get(IommuLanes *lanes, unsigned index)
{
    IommuLane *lane;

    if (!lanes->lane[index]) {
        lane = g_new0(IommuLane, 1);
        lane->next_id = ID_IN_LANE | (uint64_t)index << 10;
        lanes->lane[index] = lane;
        lanes->num = MAX(lanes->num, index + 1);
    }
    return lanes->lane[index];
}

/* A block with a free slot becomes the current one; NULL if there is none */
static __attribute__((noinline)) LaneBlock *lane_refill(IommuLane *lane)
{
    LaneBlock *block;

    for (unsigned i = 0; i < lane->num; i++) {
        uint64_t free;

        block = lane->block[i];
        free = block->free |
               __atomic_exchange_n(&block->returned, 0, __ATOMIC_ACQUIRE);
        __atomic_store_n(&block->free, free, __ATOMIC_RELEASE);
        if (free) {
            lane->current = i;
            return block;
        }
    }
    if (lane->num == BLOCKS) {
        return NULL;
    }
    block = g_new0(LaneBlock, 1);
    block->free = UINT64_MAX;
    __atomic_store_n(&lane->block[lane->num], block, __ATOMIC_RELEASE);
    lane->current = lane->num++;
    return block;
}

static inline void store64(uint64_t *to, uint64_t value)
{
    __atomic_store_n(to, value, __ATOMIC_RELEASE);
}

static inline uint64_t load64(const uint64_t *from)
{
    return __atomic_load_n(from, __ATOMIC_ACQUIRE);
}

/*
 * A bit for each page, by its number modulo 64. Ranges that touch have one in
 * common, so most slots need not be looked at closer.
 */
static inline uint64_t pages_of(uint64_t first, uint64_t last)
{
    unsigned from = first >> 12 & 63;
    uint64_t more = (last >> 12) - (first >> 12), bits;

    if (more > 62) {
        return UINT64_MAX;
    }
    bits = ((uint64_t)2 << more) - 1;
    return bits << from | bits >> (-from & 63);
}

/* Returns false if the request is of too many ranges */
static inline bool slot_fill(LaneSlot *slot, uint64_t *pages,
                             const uint64_t *addr, const struct iovec *iov,
                             unsigned out, unsigned num)
{
    uint64_t touched = 0;
    uint32_t writes = 0;
    unsigned n = 0;

    for (unsigned i = 0; i < num; n++) {
        const uint8_t *host = iov[i].iov_base;
        uint64_t first = addr[i], len = iov[i].iov_len;
        unsigned end = i < out ? out : num;

        if (unlikely(n == IOMMU_LANE_RANGES)) {
            return false;
        }
        writes |= (uint32_t)(i >= out) << n;
        while (++i < end && addr[i] == first + len && addr[i] &&
               (uint8_t *)iov[i].iov_base == host + len) {
            len += iov[i].iov_len;
        }
        store64(&slot->range[n].first, first);
        store64(&slot->range[n].last, first + len - 1);
        __atomic_store_n(&slot->range[n].host, (uintptr_t)host,
                         __ATOMIC_RELEASE);
        touched |= pages_of(first, first + len - 1);
    }
    __atomic_store_n(&slot->num, n, __ATOMIC_RELEASE);
    __atomic_store_n(&slot->writes, writes, __ATOMIC_RELEASE);
    store64(pages, touched);
    return true;
}

uint64_t iommu_lane_note(IommuLane *lane, const uint64_t *addr,
                         const struct iovec *iov, unsigned out, unsigned in)
{
    LaneBlock *block = lane->block[lane->current];
    LaneSlot *slot;
    unsigned at;
    uint64_t id;

    if (unlikely(!block || !block->free)) {
        block = lane_refill(lane);
        if (!block) {
            return 0;
        }
    }
    at = __builtin_ctzll(block->free);
    slot = &block->slot[at];
    if (unlikely(!(out + in) || !slot_fill(slot, &block->pages[at], addr, iov,
                                           out, out + in))) {
        return 0;
    }
    lane->next_id = ((lane->next_id + ID_NUMBER) & ~ID_HELD) | ID_IN_LANE;
    id = lane->next_id | lane->current << 6 | at;
    store64(&block->free, block->free & (block->free - 1));
    store64(&slot->word, id);
    return id;
}

static inline LaneBlock *block_of(IommuLanes *lanes, uint64_t id)
{
    return __atomic_load_n(&lanes->lane[ID_LANE(id)]->block[ID_BLOCK(id)],
                           __ATOMIC_ACQUIRE);
}

/* An unmap got hold of the request, or it was forgotten */
static __attribute__((noinline)) bool
slot_done_held(IommuLanes *lanes, LaneSlot *slot, uint64_t id,
               struct IommuDrainTicket **ticket)
{
    bool held;

    pthread_mutex_lock(&lanes->lock);
    held = load64(&slot->word) == (id | ID_HELD);
    if (held) {
        *ticket = slot->ticket;
        slot->ticket = NULL;
        store64(&slot->word, 0);
    }
    pthread_mutex_unlock(&lanes->lock);
    return held;
}

struct IommuDrainTicket *iommu_lanes_done(IommuLanes *lanes, uint64_t id)
{
    LaneBlock *block = block_of(lanes, id);
    LaneSlot *slot = &block->slot[ID_SLOT(id)];
    struct IommuDrainTicket *ticket = NULL;
    uint64_t seen = id;

    if (unlikely(!__atomic_compare_exchange_n(&slot->word, &seen, 0, false,
                                              __ATOMIC_SEQ_CST,
                                              __ATOMIC_RELAXED)) &&
        !slot_done_held(lanes, slot, id, &ticket)) {
        return NULL;
    }
    /* The queue's thread may use the slot again */
    __atomic_fetch_or(&block->returned, (uint64_t)1 << ID_SLOT(id),
                      __ATOMIC_RELEASE);
    return ticket;
}

/* Slots that may be in flight; others are not, and what they did is visible */
static uint64_t block_used(const LaneBlock *block)
{
    return ~(load64(&block->free) | load64(&block->returned));
}

typedef void BlockFn(LaneBlock *block, void *opaque);

static void for_each_block(IommuLanes *lanes, BlockFn *fn, void *opaque)
{
    for (unsigned i = 0; i < lanes->num; i++) {
        IommuLane *lane = lanes->lane[i];

        for (unsigned b = 0; lane && b < BLOCKS; b++) {
            LaneBlock *block = __atomic_load_n(&lane->block[b],
                                               __ATOMIC_ACQUIRE);

            if (!block) {
                break;
            }
            fn(block, opaque);
        }
    }
}

typedef struct Find {
    uint64_t first, last, pages;
    IommuLanesFound *found;
    void *opaque;
} Find;

/* Range @n of the request @id touches: tell, if it still is that one's */
static __attribute__((noinline)) void
slot_found(const LaneSlot *slot, unsigned n, uint64_t id, const Find *f)
{
    uint64_t first = load64(&slot->range[n].first);
    uint64_t last = load64(&slot->range[n].last);
    uintptr_t host = __atomic_load_n(&slot->range[n].host, __ATOMIC_ACQUIRE);
    uint32_t writes = __atomic_load_n(&slot->writes, __ATOMIC_ACQUIRE);
    IommuLedgerRange range = {
        .first = MAX(f->first, first),
        .last = MIN(f->last, last),
        .host = (void *)(host + (MAX(f->first, first) - first)),
        .write = writes >> n & 1,
    };

    if ((load64(&slot->word) & ~ID_HELD) == id) {
        f->found(f->opaque, id, &range);
    }
}

static void slot_find(const LaneSlot *slot, const Find *f)
{
    uint64_t word = load64(&slot->word);
    unsigned num = __atomic_load_n(&slot->num, __ATOMIC_ACQUIRE);

    for (unsigned i = 0; word && i < num; i++) {
        if (load64(&slot->range[i].first) <= f->last &&
            load64(&slot->range[i].last) >= f->first) {
            slot_found(slot, i, word & ~ID_HELD, f);
        }
    }
}

static void block_find(LaneBlock *block, void *opaque)
{
    const Find *f = opaque;

    for (uint64_t used = block_used(block); used; used &= used - 1) {
        unsigned i = __builtin_ctzll(used);

        if (load64(&block->pages[i]) & f->pages) {
            slot_find(&block->slot[i], f);
        }
    }
}

void iommu_lanes_find(IommuLanes *lanes, uint64_t first, uint64_t last,
                      IommuLanesFound *found, void *opaque)
{
    Find f = { first, last, pages_of(first, last), found, opaque };

    for_each_block(lanes, block_find, &f);
}

struct IommuDrainTicket *iommu_lanes_hold(IommuLanes *lanes, uint64_t id,
                                          struct IommuDrainTicket *ticket)
{
    LaneSlot *slot = &block_of(lanes, id)->slot[ID_SLOT(id)];
    struct IommuDrainTicket *back = ticket;
    uint64_t seen = id;

    pthread_mutex_lock(&lanes->lock);
    if (__atomic_compare_exchange_n(&slot->word, &seen, id | ID_HELD, false,
                                    __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE)) {
        slot->ticket = ticket;
        back = NULL;
    } else if (seen == (id | ID_HELD) && slot->ticket != ticket) {
        back = slot->ticket;
        slot->ticket = ticket;
    }
    pthread_mutex_unlock(&lanes->lock);
    return back;
}

typedef struct Forget {
    IommuLanes *lanes;
    void (*release)(struct IommuDrainTicket *ticket);
    uint64_t num;
} Forget;

static void block_forget(LaneBlock *block, void *opaque)
{
    Forget *f = opaque;

    for (uint64_t used = block_used(block); used; used &= used - 1) {
        LaneSlot *slot = &block->slot[__builtin_ctzll(used)];
        uint64_t word = load64(&slot->word);
        struct IommuDrainTicket *ticket;

        if (word) {
            ticket = iommu_lanes_done(f->lanes, word & ~ID_HELD);
            f->num++;
            if (ticket) {
                f->release(ticket);
            }
        }
    }
}

uint64_t iommu_lanes_forget(IommuLanes *lanes,
                            void (*release)(struct IommuDrainTicket *ticket))
{
    Forget f = { .lanes = lanes, .release = release };

    for_each_block(lanes, block_forget, &f);
    return f.num;
}

static void block_count(LaneBlock *block, void *opaque)
{
    *(uint64_t *)opaque += __builtin_popcountll(block_used(block));
}

uint64_t iommu_lanes_count(IommuLanes *lanes)
{
    uint64_t num = 0;

    for_each_block(lanes, block_count, &num);
    return num;
}
