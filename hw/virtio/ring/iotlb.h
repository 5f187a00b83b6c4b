/*
 * Device-side IOTLB: what a device remembers of its IOMMU's translations
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Theory of operation. One Iotlb serves one device, that is, one address
 * space behind an IOMMU. It maps blocks of IOVAs, of any power of two from
 * 4 KiB on, to host memory. Each thread that works on a queue of the device
 * is a reader. It looks up inside of a section:
 *
 *     iotlb_enter(reader);
 *     switch (iotlb_get(reader, iova, IOTLB_WRITE, &span)) {
 *     case IOTLB_HIT:   use span.host, at most span.len bytes; break;
 *     case IOTLB_SLOW:  no plain memory: leave, go the slow way; break;
 *     case IOTLB_FAULT: the IOMMU refuses, and has recorded why; break;
 *     }
 *     iotlb_exit(reader);
 *
 * What was looked up is good until the section ends, or until reader->epoch
 * changes: a look-up that misses leaves the section while it asks the IOMMU,
 * and what was looked up before it in the section is void.
 *
 * The promise: when iotlb_invalidate() has returned, no section uses a
 * translation of that range that was made before, and none ever will. A hit
 * takes no lock and writes no shared memory except the reader's own counter.
 * docs/devel/virtio-iotlb.rst has the argument.
 *
 * How an engine attaches it:
 *
 *  - the fill function calls the IOMMU's translate for one access, finds the
 *    RAM behind the result, cuts the block to it with iotlb_block_mask(), and
 *    answers IOTLB_SLOW for anything but plain RAM and for writes to ROM. It
 *    runs without the cache's lock and outside of sections, so the IOMMU may
 *    take its own locks, also while it invalidates in another thread;
 *  - an IOMMUNotifier for UNMAP (DEVIOTLB_UNMAP once the guest uses ATS) over
 *    the whole address space calls iotlb_invalidate(). The IOMMU must have
 *    changed its tables before, and must not tell the guest that the unmap is
 *    done until the call has returned. Behind an IOMMU that does not notify
 *    (amd-iommu), do not attach a cache;
 *  - a memory listener's commit, reset of the device or of a queue, bus
 *    mastering switched off and a loaded migration call iotlb_flush(), before
 *    any memory region goes;
 *  - writes through span.host are marked dirty by the user, at span.region
 *    and span.offset, as for any other direct access.
 *
 * Nothing that may wait, take the BQL or cause an invalidation may be done in
 * a section: the one who invalidates waits for it.
 */

#ifndef HW_VIRTIO_RING_IOTLB_H
#define HW_VIRTIO_RING_IOTLB_H

#include <glib.h>

/* Rights, as asked for and as given */
#define IOTLB_READ      1u
#define IOTLB_WRITE     2u

#define IOTLB_MIN_SHIFT 12

#define IOTLB_ENTRIES_MIN 4u
#define IOTLB_ENTRIES_MAX 65536u

typedef struct Iotlb Iotlb;

typedef enum IotlbResult {
    IOTLB_HIT,          /* translated */
    IOTLB_MISS,         /* not remembered (iotlb_lookup() only) */
    IOTLB_SLOW,         /* allowed, but not through a pointer; not remembered */
    IOTLB_FAULT,        /* refused; not remembered */
} IotlbResult;

/**
 * IotlbBlock: what a fill function answers
 * @iova: first address of the block, aligned to its size
 * @mask: its size less one; a power of two, at least 4 KiB
 * @rights: what the device may do; holds the right asked for, maybe more
 * @host: where @iova is in host memory; the whole block follows
 * @region, @offset: the user's name for @host, given back by look-ups
 */
typedef struct IotlbBlock {
    uint64_t iova;
    uint64_t mask;
    unsigned rights;
    void *host;
    void *region;
    uint64_t offset;
} IotlbBlock;

/**
 * IotlbSpan: a translated address
 * @host: host memory of the address that was looked up
 * @len: bytes from there to the end of the block
 * @before: bytes of the block before it
 * @rights: what is remembered that the device may do there
 * @region, @offset: as in IotlbBlock, for @host
 */
typedef struct IotlbSpan {
    void *host;
    uint64_t len;
    uint64_t before;
    unsigned rights;
    void *region;
    uint64_t offset;
} IotlbSpan;

/**
 * IotlbFillFn: ask the IOMMU
 * @right: IOTLB_READ or IOTLB_WRITE
 *
 * Context: the reader's thread, outside of a section, no lock of the cache.
 *
 * Returns: IOTLB_HIT with *@block filled in, IOTLB_SLOW or IOTLB_FAULT
 */
typedef IotlbResult IotlbFillFn(void *opaque, uint64_t iova, unsigned right,
                                IotlbBlock *block);

/** IotlbRange: IOVAs from @first to @last */
typedef struct IotlbRange {
    uint64_t first;
    uint64_t last;
} IotlbRange;

#define IOTLB_WATCH_MAX 3

/**
 * IotlbReader: a thread's use of a cache
 * @section: odd inside of a section; others read it
 * @watching: @watch holds; others clear it
 * @watch: see iotlb_watch()
 * @epoch: counts the sections that a miss cut short
 * @hits, @misses: counters of look-ups
 */
typedef struct IotlbReader {
    Iotlb *iotlb;
    struct IotlbReader *next;
    uint32_t section;
    uint32_t watching;
    IotlbRange watch[IOTLB_WATCH_MAX];
    uint32_t epoch;
    uint64_t hits;
    uint64_t misses;
} IotlbReader;

/**
 * IotlbStats: counters since iotlb_new()
 * @hits, @misses: look-ups, of all readers
 * @fills: translations remembered
 * @drops: translations not remembered, an invalidation came in between
 * @bad: answers of the fill function that were no block; treated as faults
 * @invalidations, @cleared: calls, and entries they took away
 * @waits: sections that an invalidation waited for
 * @locks: times the lock was taken
 */
typedef struct IotlbStats {
    uint64_t hits;
    uint64_t misses;
    uint64_t fills;
    uint64_t drops;
    uint64_t bad;
    uint64_t invalidations;
    uint64_t cleared;
    uint64_t waits;
    uint64_t locks;
} IotlbStats;

/**
 * iotlb_new: an empty cache
 * @entries: most translations remembered; rounded to a power of two between
 *           IOTLB_ENTRIES_MIN and IOTLB_ENTRIES_MAX
 */
Iotlb *iotlb_new(unsigned entries, IotlbFillFn *fill, void *opaque);

/** iotlb_free: all readers must have been removed */
void iotlb_free(Iotlb *iotlb);

/** iotlb_reader_add: @reader belongs to the caller, one per thread and cache */
void iotlb_reader_add(Iotlb *iotlb, IotlbReader *reader);

/** iotlb_reader_remove: outside of a section */
void iotlb_reader_remove(IotlbReader *reader);

/** iotlb_enter: begin a section. Sections do not nest. */
static inline void iotlb_enter(IotlbReader *reader)
{
    /*
     * Sequentially consistent: the entries are read after this is visible.
     * Pairs with iotlb_wait_readers(), which reads it after entries are gone.
     */
    __atomic_exchange_n(&reader->section, reader->section + 1,
                        __ATOMIC_SEQ_CST);
}

/** iotlb_exit: end a section; nothing of it is used any more */
static inline void iotlb_exit(IotlbReader *reader)
{
    __atomic_store_n(&reader->section, reader->section + 1, __ATOMIC_RELEASE);
}

/**
 * iotlb_generation: counts invalidations
 *
 * What was looked up when it was the same holds in a section that has begun
 * before this is called. For iotlb_watch(): before the first look-up.
 */
uint64_t iotlb_generation(Iotlb *iotlb);

/**
 * iotlb_watch: keep the translations of some ranges beyond the section
 * @ranges, @num: at most IOTLB_WATCH_MAX; they replace those of before
 * @generation: of a time before the first of these translations was looked up
 *
 * What is used all the time, as a ring is, need not be looked up each time:
 * in any section in which iotlb_watched() says so, the translations that were
 * looked up before this call still hold. An invalidation of any of the ranges
 * ends that, of others does not, and no entry of the table is needed.
 *
 * Context: in a section.
 *
 * Returns: false if there was, or may have been, an invalidation since
 * @generation: everything is to be looked up again (@reader->epoch)
 */
bool iotlb_watch(IotlbReader *reader, const IotlbRange *ranges, unsigned num,
                 uint64_t generation);

/** iotlb_watched: see iotlb_watch(). Context: in a section */
static inline bool iotlb_watched(const IotlbReader *reader)
{
    /* As the tag of an entry: see iotlb_enter() */
    return __atomic_load_n(&reader->watching, __ATOMIC_SEQ_CST);
}

/** iotlb_unwatch: Context: the reader's thread, or nobody uses the reader */
static inline void iotlb_unwatch(IotlbReader *reader)
{
    __atomic_store_n(&reader->watching, 0, __ATOMIC_SEQ_CST);
}

/**
 * iotlb_lookup: look @iova up for one right, and do not ask the IOMMU
 *
 * Context: in a section. Takes no lock.
 *
 * Returns: IOTLB_HIT with *@span filled in, or IOTLB_MISS
 */
IotlbResult iotlb_lookup(IotlbReader *reader, uint64_t iova, unsigned right,
                         IotlbSpan *span);

/**
 * iotlb_ask: ask the IOMMU, as iotlb_lookup() has missed
 *
 * Context: in a section, which ends and begins anew (@reader->epoch).
 *
 * Returns: IOTLB_HIT with *@span filled in, IOTLB_SLOW or IOTLB_FAULT.
 * IOTLB_SLOW, too, if invalidations do not let a translation last long enough
 * to be used.
 */
IotlbResult iotlb_ask(IotlbReader *reader, uint64_t iova, unsigned right,
                      IotlbSpan *span);

/** iotlb_get: look @iova up, and iotlb_ask() if that misses */
static inline IotlbResult iotlb_get(IotlbReader *reader, uint64_t iova,
                                    unsigned right, IotlbSpan *span)
{
    IotlbResult result = iotlb_lookup(reader, iova, right, span);

    return result == IOTLB_MISS ? iotlb_ask(reader, iova, right, span)
                                : result;
}

/**
 * iotlb_invalidate: forget what touches [@first, @last]
 *
 * Context: any thread, not in a section of this cache. Waits for the sections
 * that are running, not for new ones and not for the IOMMU.
 */
void iotlb_invalidate(Iotlb *iotlb, uint64_t first, uint64_t last);

/** iotlb_flush: forget everything; as iotlb_invalidate() */
static inline void iotlb_flush(Iotlb *iotlb)
{
    iotlb_invalidate(iotlb, 0, UINT64_MAX);
}

/** iotlb_stats: a consistent copy of the counters */
IotlbStats iotlb_stats(Iotlb *iotlb);

/**
 * iotlb_block_mask: cut a translation to the memory behind it
 * @mask: size, less one, of the IOMMU's block around @iova
 * @first, @last: IOVAs around @iova whose translation lies in one region
 *
 * Returns: size, less one, of the largest aligned block around @iova within
 * both; 0 if not even 4 KiB are
 */
uint64_t iotlb_block_mask(uint64_t iova, uint64_t mask, uint64_t first,
                          uint64_t last);

#endif
