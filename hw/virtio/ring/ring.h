/*
 * The device's side of a virtqueue, split and packed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Theory of operation
 *
 * A driver makes chains of buffers available, the device takes them
 * (vring_fetch), works on them, and returns them as used (vring_fill,
 * vring_flush). Both ring formats keep four things apart: what the driver has
 * made available, what the device has taken (last_avail_idx), what it has
 * returned (used_idx), and up to where the driver has been interrupted
 * (signalled_used).
 *
 *   split (2.7)      three areas: descriptors written by the driver; the
 *                    available ring, a list of heads with a running index;
 *                    the used ring likewise, written by the device. Indices
 *                    run over 16 bits, positions are the index modulo num.
 *   packed (2.8)     one array of descriptors written by both in turn. Two
 *                    flags in each say whose it is, relative to a wrap
 *                    counter that flips at each lap. Positions run over
 *                    0 .. num - 1 and a chain takes as many as it is long;
 *                    its used descriptor takes the first of them.
 *
 * Events (2.7.7, 2.7.10, 2.8.10): each side tells the other whether it wants
 * to be notified: always, never, or, with EVENT_IDX, when a given position is
 * passed. Who publishes work stores it, then a full fence, then reads the
 * other's event area; who is about to sleep stores its event area, then a
 * full fence, then looks for work once more. At least one of the two sees
 * what the other stored.
 *
 * In order (2.7.9, 2.8.8): used buffers are returned in the order in which
 * they were made available, whatever order the device finishes them in; what
 * finishes early waits in a slot per position. One used entry returns a run
 * of buffers if all but the last were filled completely, as the driver takes
 * the skipped ones for full.
 *
 * The state of a queue that QEMU saves, shows and hands to vhost
 * (VirtRingPos) lives in struct VirtQueue and is true after each call. What
 * is private to the engine (VirtRing) can be thrown away whenever no element
 * is out, and rebuilt from the former and guest memory.
 *
 * Batch labels, beyond the standard, are explained in labels.h.
 *
 * This core does not know QEMU. It gets the three areas as host pointers,
 * maps the addresses of buffers through VirtRingMem, and reports a driver's
 * violation as a message, upon which the device is to be marked as broken.
 *
 * Context: one thread at a time per queue; the areas and what VirtRingMem
 * returns must stay valid for the duration of each call.
 */

#ifndef HW_VIRTIO_RING_H
#define HW_VIRTIO_RING_H

#include <sys/uio.h>

#ifdef VRING_PAGED
#include "paged-names.h"
#endif

/* Most buffers of one chain, of either direction together */
#define VRING_SEGMENTS_MAX 1024

/**
 * VIRT_RING_POS_FIELDS: state of a queue that outlives the engine
 * @last_avail_idx: next head to take; split: running index, packed: position
 * @last_avail_wrap_counter: packed: wrap counter there
 * @shadow_avail_idx: split: the driver's index when last read; packed: the
 *     position that an enabled notification asks for
 * @shadow_avail_wrap_counter: packed: wrap counter there
 * @used_idx: next used entry to write
 * @used_wrap_counter: packed: wrap counter there
 * @signalled_used: used_idx at the last decision about an interrupt
 * @signalled_used_valid: false before the first decision
 * @notification: the device wants to be notified
 * @queue_index: number of the queue
 * @inuse: taken and not returned; split: chains, packed: ring descriptors
 */
#define VIRT_RING_POS_FIELDS                \
    uint16_t last_avail_idx;                \
    bool last_avail_wrap_counter;           \
    uint16_t shadow_avail_idx;              \
    bool shadow_avail_wrap_counter;         \
    uint16_t used_idx;                      \
    bool used_wrap_counter;                 \
    uint16_t signalled_used;                \
    bool signalled_used_valid;              \
    bool notification;                      \
    uint16_t queue_index;                   \
    unsigned int inuse;

typedef struct VirtRingPos {
    VIRT_RING_POS_FIELDS
} VirtRingPos;

#define VRING_LABELS    1
#define VRING_READS_ON  2

#define VRING_PAGE_SHIFT 12
/* Enough for 1024 entries, wherever they begin */
#define VRING_PAGES_MAX 6

/**
 * VirtRingPages: an area of a ring, page by page
 * @ofs: of its first byte in the first page
 * @page: host memory
 */
typedef struct VirtRingPages {
    unsigned ofs;
    uint8_t *page[VRING_PAGES_MAX];
} VirtRingPages;

/** VirtRingAreaPages: all areas of a ring, page by page */
typedef struct VirtRingAreaPages {
    VirtRingPages desc;
    VirtRingPages driver;
    VirtRingPages device;
} VirtRingAreaPages;

/**
 * VirtRingAreas: where a ring is, and how it is to be read
 * @features: negotiated features that the following were made of
 * @desc: descriptors
 * @driver: split: available ring; packed: driver event suppression
 * @device: split: used ring; packed: device event suppression
 * @num: queue size
 * @packed, @event_idx, @in_order, @indirect: negotiated features
 * @on_empty: legacy NOTIFY_ON_EMPTY was negotiated
 * @labels: VRING_LABELS if batch labels were accepted, and VRING_READS_ON if
 *     the device takes what is available, and returns it, without waiting for
 *     anything but itself; 0 for split
 * @fenced: there was a full fence since the last vring_flush(); for
 *     vring_should_notify()
 * @pages: where the areas are if one of them is not one stretch of memory, else
 *     NULL; only the paged core (areas.h) can read them then
 *
 * Given to each call, which keeps nothing of it.
 */
typedef struct VirtRingAreas {
    uint64_t features;
    uint8_t *desc;
    uint8_t *driver;
    uint8_t *device;
    uint16_t num;
    bool packed;
    bool event_idx;
    bool in_order;
    bool indirect;
    bool on_empty;
    uint8_t labels;
    bool fenced;
    const VirtRingAreaPages *pages;
} VirtRingAreas;

/**
 * VirtRingSize: what a chain, or several, amount to
 * @out_num, @in_num: readable and writable buffers
 * @out_len, @in_len: bytes
 */
typedef struct VirtRingSize {
    unsigned out_num;
    unsigned in_num;
    uint64_t out_len;
    uint64_t in_len;
} VirtRingSize;

/**
 * VirtRingSegs: the buffers of a chain, readable ones first
 * @size: how many they are; one descriptor may become several entries
 * @iov: host memory
 * @addr: address in the driver's terms of each entry
 *
 * 24 KiB: keep it on the stack, uninitialised.
 */
typedef struct VirtRingSegs {
    VirtRingSize size;
    struct iovec iov[VRING_SEGMENTS_MAX];
    uint64_t addr[VRING_SEGMENTS_MAX];
} VirtRingSegs;

/**
 * VirtRingDirect: memory that can be reached without a question
 * @start, @size: addresses in the driver's terms; none if @size is 0
 * @host: where it is mapped
 * @readonly: the device must not write to it
 */
typedef struct VirtRingDirect {
    uint64_t start;
    uint64_t size;
    uint8_t *host;
    bool readonly;
} VirtRingDirect;

/**
 * VirtRingMem: how the core reaches memory outside of the ring
 * @direct: where most buffers are; the functions are asked for the others
 */
typedef struct VirtRingMem {
    VirtRingDirect direct;
    /**
     * @map: append host memory for a buffer to @segs
     * @write: the device will write to it
     *
     * Counts entries in segs->iov and segs->addr from out_num + in_num of
     * segs->size, which it does not touch. Returns the number of entries
     * added, 0 when the address does not translate or there is no room.
     */
    unsigned (*map)(void *opaque, VirtRingSegs *segs, uint64_t addr,
                    uint32_t len, bool write);
    /**
     * @read: copy @len bytes at @addr; false when they are not to be had
     */
    bool (*read)(void *opaque, uint64_t addr, void *to, uint32_t len);
    void *opaque;
} VirtRingMem;

/**
 * VirtRingChain: a chain as taken from the ring
 * @id: buffer id (packed) or head (split), which its used entry must carry
 * @ndescs: ring descriptors it takes; 1 for split
 * @pos: position in the ring it was taken at
 * @flags: packed: of its first descriptor; only vring_fetch() looks at them
 */
typedef struct VirtRingChain {
    uint16_t id;
    uint16_t ndescs;
    uint16_t pos;
    uint16_t flags;
} VirtRingChain;

/* A chain that was returned, or in order: taken and perhaps finished */
typedef struct VirtRingSlot {
    uint32_t len;               /* bytes written */
    uint32_t in_len;            /* bytes writable, saturated */
    uint16_t id;
    uint16_t ndescs;
    bool done;
} VirtRingSlot;

/**
 * VirtRing: what the engine knows about a queue beyond its position
 * @pos: the queue's state, in struct VirtQueue
 * @slots: by position (in order) or by place in the current flush; num
 *     entries
 * @size: entries in @slots
 * @error: message of the last violation, static text
 * @error_arg: a value to go with it
 * @more: the chain taken last was labelled MORE
 * @owed: the event area does not ask yet for what comes after that chain
 * @held: what was published last was labelled MORE; no interrupt for it
 */
typedef struct VirtRing {
    VirtRingPos *pos;
    VirtRingSlot *slots;
    uint16_t size;
    const char *error;
    uint32_t error_arg;
    bool more;
    bool owed;
    bool held;
} VirtRing;

typedef enum VirtRingResult {
    VRING_NONE,     /* nothing available */
    VRING_CHAIN,    /* a chain was taken */
    VRING_BROKEN,   /* the driver violated the protocol: see ring->error */
} VirtRingResult;

/**
 * vring_fetch: take the next available chain
 * @segs: receives its buffers
 *
 * No chain counts as taken unless VRING_CHAIN is returned. With notifications
 * enabled and EVENT_IDX the event moves behind what the engine has seen. In a
 * packed ring that is the chain taken: who leaves chains must come back for
 * them without being told. Behind a chain labelled MORE it moves only when
 * the queue is found empty.
 */
VirtRingResult vring_fetch(VirtRing *ring, const VirtRingAreas *areas,
                           const VirtRingMem *mem, VirtRingChain *chain,
                           VirtRingSegs *segs);

/**
 * vring_skip: take the next available chain without looking at its buffers
 *
 * As its size is not known, in order it gets a used entry of its own.
 */
VirtRingResult vring_skip(VirtRing *ring, const VirtRingAreas *areas,
                          VirtRingChain *chain);

/**
 * vring_unfetch: give back the chains taken last
 * @chains: how many; split needs no more
 * @ndescs: ring descriptors they take together
 */
void vring_unfetch(VirtRing *ring, const VirtRingAreas *areas,
                   unsigned chains, unsigned ndescs);

/**
 * vring_fill: note a chain as finished; the driver does not see it yet
 * @len: bytes written to its writable buffers
 * @idx: how many were filled since the last flush, below the queue size; no
 *     meaning in order
 *
 * Returns false if no such chain is out (in order).
 */
bool vring_fill(VirtRing *ring, const VirtRingAreas *areas,
                const VirtRingChain *chain, uint32_t len, unsigned idx);

/**
 * vring_flush: publish the @count chains filled since the last flush
 *
 * In order, publishes those that no unfinished one precedes.
 * Returns the number of chains published.
 */
unsigned vring_flush(VirtRing *ring, const VirtRingAreas *areas,
                     unsigned count);

/**
 * vring_should_notify: does the driver want an interrupt for what was
 * published since the last call?
 *
 * Not yet if it was labelled MORE: a later call decides for all of it.
 * The full fence inside pairs with the one between the driver's store to its
 * event area and its look at the used entries.
 */
bool vring_should_notify(VirtRing *ring, const VirtRingAreas *areas);

/**
 * vring_set_notification: ask the driver for notifications, or not to
 *
 * After enabling them the caller must look at vring_empty() once more; the
 * full fence inside pairs with the driver's between publishing a chain and
 * reading this event area.
 */
void vring_set_notification(VirtRing *ring, const VirtRingAreas *areas,
                            bool enable);

/**
 * vring_empty: true if no chain is available right now
 *
 * Then what labels have put off is made up for: notifications, if enabled,
 * are asked for.
 */
bool vring_empty(VirtRing *ring, const VirtRingAreas *areas);

/**
 * vring_more: is there anything beyond pos->shadow_avail_idx as it was when
 * it had the value @shadow?
 */
bool vring_more(VirtRing *ring, const VirtRingAreas *areas, uint16_t shadow);

/**
 * vring_avail_bytes: bytes available, as far as needed
 * @max_in, @max_out: stop counting when both are reached
 *
 * Leaves the ring as it is, but a later enabled notification asks for what
 * comes after the chains seen here. Returns false on a violation.
 */
bool vring_avail_bytes(VirtRing *ring, const VirtRingAreas *areas,
                       const VirtRingMem *mem, uint64_t *in, uint64_t *out,
                       uint64_t max_in, uint64_t max_out);

/**
 * vring_finished: the next chain that was filled and waits for another
 * @from: where to go on; 0 for the first call, moved along by each
 * @chain, @len: what vring_fill() got
 *
 * Only in order do chains wait. To be saved when the queue moves, and given
 * to vring_fill() again after vring_recover(). Returns false after the last.
 */
bool vring_finished(const VirtRing *ring, const VirtRingAreas *areas,
                    unsigned *from, VirtRingChain *chain, uint32_t *len);

/**
 * vring_recover: rebuild slots after a load of the state with chains out
 *
 * In order, what is out still stands in the ring. To be called always: the
 * positions come from outside. Returns false if they or what is there does not
 * add up to pos->inuse.
 */
bool vring_recover(VirtRing *ring, const VirtRingAreas *areas);

#endif
