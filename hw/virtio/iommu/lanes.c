/*
 * Which I/O virtual addresses the queues of a device have in flight
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See lanes.h. Slots come in blocks of 64, as many as were ever in flight at a
 * time. The queue's thread takes those that it knows to be free, and looks for
 * more when there are none left.
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
 * @num, @writes: ranges, and of which of them the device may write
 * @ticket: with ID_HELD; under the lock
 */
typedef struct LaneSlot {
    uint32_t num;
    uint32_t writes;
    struct LaneRange {
        uint64_t first, last;
        uintptr_t host;
    } range[IOMMU_LANE_RANGES];
    struct IommuDrainTicket *ticket;
} LaneSlot;

/**
 * LaneBlock: slots
 * @free: those that were seen to be free, by bit; of the queue's thread
 * @struck: atomic: a hint that slots became free since
 * @word: of each slot: 0, or the request's id, perhaps with ID_HELD
 * @pages: of each slot: see pages_of()
 *
 * The queue's thread writes a slot, but for @ticket, while its word is 0.
 * Atomic: whoever reads it has to look at the word again.
 */
typedef struct LaneBlock {
    uint64_t free;
    uint32_t struck;
    uint64_t word[BLOCK_SLOTS];
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

static inline void store64(uint64_t *to, uint64_t value)
{
    __atomic_store_n(to, value, __ATOMIC_RELEASE);
}

static inline uint64_t load64(const uint64_t *from)
{
    return __atomic_load_n(from, __ATOMIC_ACQUIRE);
}

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

    for (unsigned n = 1; n <= lane->num; n++) {
        unsigned at = (lane->current + n) % lane->num;
        uint64_t free = 0;

        block = lane->block[at];
        if (!__atomic_load_n(&block->struck, __ATOMIC_RELAXED)) {
            continue;
        }
        __atomic_exchange_n(&block->struck, 0, __ATOMIC_ACQ_REL);
        for (unsigned i = 0; i < BLOCK_SLOTS; i++) {
            free |= (uint64_t)!load64(&block->word[i]) << i;
        }
        if (free) {
            block->free = free;
            lane->current = at;
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
    block->free &= block->free - 1;
    store64(&block->word[at], id);
    return id;
}

static inline LaneBlock *block_of(IommuLanes *lanes, uint64_t id)
{
    return __atomic_load_n(&lanes->lane[ID_LANE(id)]->block[ID_BLOCK(id)],
                           __ATOMIC_ACQUIRE);
}

/* An unmap got hold of the request, or it was forgotten */
static __attribute__((noinline)) struct IommuDrainTicket *
done_held(IommuLanes *lanes, LaneBlock *block, uint64_t id)
{
    uint64_t *word = &block->word[ID_SLOT(id)];
    struct IommuDrainTicket *ticket = NULL;

    pthread_mutex_lock(&lanes->lock);
    if (load64(word) == (id | ID_HELD)) {
        ticket = block->slot[ID_SLOT(id)].ticket;
        store64(word, 0);
        __atomic_store_n(&block->struck, 1, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&lanes->lock);
    return ticket;
}

struct IommuDrainTicket *iommu_lanes_done(IommuLanes *lanes, uint64_t id)
{
    LaneBlock *block = block_of(lanes, id);
    uint64_t seen = id;

    if (likely(__atomic_compare_exchange_n(&block->word[ID_SLOT(id)], &seen, 0,
                                           false, __ATOMIC_SEQ_CST,
                                           __ATOMIC_RELAXED))) {
        __atomic_store_n(&block->struck, 1, __ATOMIC_RELEASE);
        return NULL;
    }
    return done_held(lanes, block, id);
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

/*
 * Look at the slot of the request @id; what is read counts only if it still is
 * that one's
 */
static __attribute__((noinline)) void
slot_find(const LaneBlock *block, unsigned at, uint64_t id, const Find *f)
{
    const LaneSlot *slot = &block->slot[at];
    unsigned num = __atomic_load_n(&slot->num, __ATOMIC_ACQUIRE);
    uint32_t writes = __atomic_load_n(&slot->writes, __ATOMIC_ACQUIRE);

    for (unsigned i = 0; i < num; i++) {
        const struct LaneRange *r = &slot->range[i];
        uint64_t first = load64(&r->first), last = load64(&r->last);
        uintptr_t host = __atomic_load_n(&r->host, __ATOMIC_ACQUIRE);
        IommuLedgerRange range;

        if (first > f->last || last < f->first) {
            continue;
        }
        range = (IommuLedgerRange) {
            .first = MAX(f->first, first),
            .last = MIN(f->last, last),
            .host = (void *)(host + (MAX(f->first, first) - first)),
            .write = writes >> i & 1,
        };
        if ((load64(&block->word[at]) & ~ID_HELD) != id) {
            return;
        }
        f->found(f->opaque, id, &range);
    }
}

static void block_find(LaneBlock *block, void *opaque)
{
    const Find *f = opaque;

    for (unsigned i = 0; i < BLOCK_SLOTS; i++) {
        uint64_t word = load64(&block->word[i]);

        if (word && (load64(&block->pages[i]) & f->pages)) {
            slot_find(block, i, word & ~ID_HELD, f);
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
    LaneBlock *block = block_of(lanes, id);
    LaneSlot *slot = &block->slot[ID_SLOT(id)];
    struct IommuDrainTicket *back = ticket;
    uint64_t seen = id;

    pthread_mutex_lock(&lanes->lock);
    if (__atomic_compare_exchange_n(&block->word[ID_SLOT(id)], &seen,
                                    id | ID_HELD, false, __ATOMIC_SEQ_CST,
                                    __ATOMIC_ACQUIRE)) {
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

    for (unsigned i = 0; i < BLOCK_SLOTS; i++) {
        uint64_t word = load64(&block->word[i]);
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
    for (unsigned i = 0; i < BLOCK_SLOTS; i++) {
        *(uint64_t *)opaque += load64(&block->word[i]) != 0;
    }
}

uint64_t iommu_lanes_count(IommuLanes *lanes)
{
    uint64_t num = 0;

    for_each_block(lanes, block_count, &num);
    return num;
}
