/*
 * The driver's side of a virtqueue, split and packed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * THEORY OF OPERATION
 *
 * A virtqueue carries buffers from a driver (this library) to a device and
 * back. A buffer is a list of segments of guest memory, first those that the
 * device reads, then those it writes. The driver makes it *available*, the
 * device makes it *used*, in any order unless IN_ORDER was negotiated. Each
 * word of shared memory has one writer at a time, so nobody takes a lock:
 * all that matters is which store becomes visible last.
 *
 * Split ring: three areas (num is a power of two)
 *
 *   descriptor area (driver writes)      driver area "avail" (driver writes)
 *        addr   len  flags next          +-------+-----+----+----+- -+------+
 *      +------+-----+-----+----+         | flags | idx | h0 | h1 |   |used_ |
 *   0  |      |     | N   | 3  |<--------|       |     | 0  | 1  |   |event |
 *      +------+-----+-----+----+    /    +-------+-----+----+----+- -+------+
 *   1  |      |     | W   |    |<--'
 *      +------+-----+-----+----+         device area "used" (device writes)
 *   2  |      |     |     |    |         +-------+-----+--------+- -+-------+
 *      +------+-----+-----+----+         | flags | idx | id len |   |avail_ |
 *   3  |      |     | W   |    |         |       |     | 0  512 |   |event  |
 *      +------+-----+-----+----+         +-------+-----+--------+- -+-------+
 *
 *   - A chain links descriptors by NEXT and `next`; its head goes into the
 *     available ring. Publishing is the store of avail.idx, after all else.
 *   - Both idx run freely through 2^16; the slot in the ring is idx % num.
 *     They count buffers. The descriptor table wraps at num only.
 *   - The device copies the head and the written length into the used ring,
 *     then stores used.idx.
 *
 * Packed ring: one area that both sides write (num is any number)
 *
 *           addr     len    id   flags: A(VAIL) U(SED) N(EXT) W(RITE)
 *         +--------+-------+----+---------+
 *     0   |        |       |    |  A   U  |  used in this lap   (wrap is 1)
 *         +--------+-------+----+---------+
 *     1   |        |       |  7 |  A   -  N  available: one chain of two,
 *         +--------+-------+----+---------+
 *     2   |        |       |  7 |  A   -  W  its id is in the last one
 *         +--------+-------+----+---------+
 *     3   |        |       |    |  -   -  |  used in the lap before (wrap 0),
 *         +--------+-------+----+---------+  free to the driver
 *
 *   - Each side keeps a position and a wrap counter, which starts at 1 and
 *     flips when the position passes the end. Available means AVAIL equals
 *     the driver's wrap counter and USED does not; used means both equal the
 *     device's. Reset memory (0, 0) is thus neither in the first lap.
 *   - The device writes one used descriptor for a chain, over the position
 *     of the oldest unused one, and steps on by the length of the chain it
 *     completed. The driver learns the length from its own books by the id.
 *   - Publishing a batch is the store of the flags of its *first* descriptor:
 *     the device, walking in order, sees none before it sees the first.
 *
 * IN_ORDER: buffers come back in the order they went out, so the device may
 * complete a batch with one used entry that names the last buffer, at the
 * position of the first. Ids and split descriptors are then handed out in
 * ring order. Buffers so skipped count as completely written.
 *
 * Who disturbs whom: the driver tells the device when to interrupt through
 * the driver area, the device tells the driver when to kick through the
 * device area: hence each side's *own* area holds its wish, and the event
 * index beside the used ring is about available buffers. Without EVENT_IDX
 * this is one flag; with it, a position: notify when passing here (packed
 * has DISABLE besides, split has only positions). After writing a wish one
 * must look at the ring once more, and before reading the other's wish one's
 * own ring entry must be visible: two full barriers that pair.
 *
 *       driver                                      device
 *   A   entries; release avail idx / flags    ->    acquire, entries
 *   B   acquire used idx / flags, entries     <-    entries; release
 *   C   publish; FENCE; read device's wish    <->   write wish; FENCE; look
 *   D   write wish; FENCE; look               <->   publish; FENCE; read wish
 *   E   event position; release DESC flag     ->    acquire, position (packed)
 *
 * Life of a buffer in verbs:
 *
 *   vdrv_add() ...            into the ring, as many as the batch has
 *   vdrv_publish()            one store shows the batch to the device
 *   vdrv_kick_needed()        once per batch; if true, notify (with
 *                             vdrv_notify_data() if so negotiated)
 *   vdrv_get()                takes completions until it returns 0
 *   vdrv_enable_cb()          before sleeping; true means: look again
 *
 * Batch labels, which are not in the standard (packed ring, if VdrvConfig says
 * that the device has accepted them): vdrv_add() labels the buffer before, if
 * both become visible by the same vdrv_publish(), so that the device reads on
 * without asking for a kick; VdrvUsed.more passes on the device's label.
 * docs/specs/virtio-batch-labels.rst
 *
 * The device is not trusted. Ids, lengths and indexes it writes are checked
 * against private books; a violation breaks the queue for good and is
 * reported by an error code. Nothing here allocates, aborts, loops without a
 * bound or touches an address that the device chose.
 *
 * Each verb takes the accessor first (vring-mem.h). A caller that knows the
 * layout at compile time can use the vdrv_split_ and vdrv_packed_ verbs.
 * All verbs of one queue are called by one thread at a time.
 */
#ifndef VRING_DRIVER_H
#define VRING_DRIVER_H

#include "vring-queue.h"
#include "vring-split.h"
#include "vring-packed.h"

/**
 * struct VdrvLayout - where the areas of a ring are, see vdrv_layout()
 * @desc: descriptor area
 * @driver: driver area
 * @device: device area
 * @end: first byte behind the ring
 */
typedef struct VdrvLayout {
    uint64_t desc;
    uint64_t driver;
    uint64_t device;
    uint64_t end;
} VdrvLayout;

/**
 * vdrv_layout() - lay out the three areas one after the other
 * @base: guest address to start at, rounded up to @align
 * @num: queue size
 * @packed: layout
 * @align: power of two, at least 16; 64 or more keeps the areas of the two
 *         sides on cache lines of their own
 */
VDRV_INLINE VdrvLayout vdrv_layout(uint64_t base, uint16_t num, bool packed,
                                   uint32_t align)
{
    uint64_t mask = align - 1ULL;
    uint64_t driver_len = packed ? sizeof(struct pvirtq_event_suppress) :
                          VIRTQ_USED_EVENT_OFS(num) + 2u;
    uint64_t device_len = packed ? sizeof(struct pvirtq_event_suppress) :
                          VIRTQ_AVAIL_EVENT_OFS(num) + 2u;
    VdrvLayout l;

    l.desc = (base + mask) & ~mask;
    l.driver = (l.desc + (uint64_t)VIRTQ_DESC_SIZE * num + mask) & ~mask;
    l.device = (l.driver + driver_len + mask) & ~mask;
    l.end = l.device + device_len;
    return l;
}

/**
 * vdrv_init() - start a queue, empty, as after a device or queue reset
 * @m: accessor
 * @vq: queue, uninitialised or to be started over
 * @cfg: see struct VdrvConfig, not kept
 *
 * To be called before the device may access the queue. Returns VDRV_OK, or
 * VDRV_EINVAL for a size or an alignment that the standard forbids.
 */
VDRV_INLINE int vdrv_init(const VdrvMemOps *m, VdrvQueue *vq,
                          const VdrvConfig *cfg)
{
    bool packed = cfg->features & VDRV_F_PACKED;
    uint16_t num = cfg->num;

    if (num == 0 || num > VIRTQ_MAX_SIZE || !cfg->slots ||
        cfg->desc % VIRTQ_DESC_SIZE || cfg->driver % (packed ? 4 : 2) ||
        cfg->device % 4 || (!packed && (num & (num - 1)))) {
        return VDRV_EINVAL;
    }
    *vq = (VdrvQueue) {
        .mem = cfg->mem,
        .slots = cfg->slots,
        .desc = cfg->desc,
        .driver = cfg->driver,
        .device = cfg->device,
        .num = num,
        .num_free = num,
        .index = cfg->index,
        .quirks = cfg->quirks,
        .packed = packed,
        .event_idx = cfg->features & VDRV_F_EVENT_IDX,
        .in_order = cfg->features & VDRV_F_IN_ORDER,
        .indirect = cfg->features & VDRV_F_INDIRECT,
        .labels = packed && cfg->labels,
        .avail_wrap = true,
        .used_wrap = true,
    };
    for (uint32_t i = 0; i < num; i++) {
        cfg->slots[i] = (VdrvSlot) {
            .next = i + 1u < num ? (uint16_t)(i + 1u) : 0,
        };
    }
    if (cfg->zeroed) {
        return VDRV_OK;
    }
    if (packed) {
        vdrv_packed_init(m, vq);
    } else {
        vdrv_split_init(m, vq);
    }
    return VDRV_OK;
}

/**
 * vdrv_add() - write one buffer into the ring, not yet visible
 * @m: accessor
 * @vq: queue
 * @buf: the buffer; see struct VdrvBuf for who owns what
 *
 * Returns VDRV_OK, VDRV_ENOSPC, VDRV_EINVAL or VDRV_EBROKEN; on failure
 * nothing has changed.
 */
VDRV_INLINE int vdrv_add(const VdrvMemOps *m, VdrvQueue *vq,
                         const VdrvBuf *buf)
{
    return vq->packed ? vdrv_packed_add(m, vq, buf) :
                        vdrv_split_add(m, vq, buf);
}

/**
 * vdrv_publish() - show all buffers added so far to the device
 * @m: accessor
 * @vq: queue
 */
VDRV_INLINE void vdrv_publish(const VdrvMemOps *m, VdrvQueue *vq)
{
    if (vq->packed) {
        vdrv_packed_publish(m, vq);
    } else {
        vdrv_split_publish(m, vq);
    }
}

/**
 * vdrv_kick_needed() - does the device want to hear of what was published?
 * @m: accessor
 * @vq: queue
 *
 * Call once after vdrv_publish(); covers everything since the last call.
 * True also where the device's wish is malformed: a surplus kick is harmless
 * (2.7.10.2).
 */
VDRV_INLINE bool vdrv_kick_needed(const VdrvMemOps *m, VdrvQueue *vq)
{
    return vq->packed ? vdrv_packed_kick_needed(m, vq) :
                        vdrv_split_kick_needed(m, vq);
}

/**
 * vdrv_notify_data() - what to write to the notify register
 * @vq: queue
 *
 * The 32-bit value for VIRTIO_F_NOTIFICATION_DATA (2.9), in host order:
 * queue in bits 0-15; above it the split avail idx, or packed next_off with
 * next_wrap in bit 31. Without that feature write @index alone, 16 bits.
 */
VDRV_INLINE uint32_t vdrv_notify_data(const VdrvQueue *vq)
{
    uint32_t next = vq->avail_idx;

    if (vq->packed && vq->avail_wrap) {
        next |= RING_EVENT_WRAP;
    }
    return vq->index | next << 16;
}

/**
 * vdrv_more_used() - is there something for vdrv_get()?
 * @m: accessor
 * @vq: queue
 */
VDRV_INLINE bool vdrv_more_used(const VdrvMemOps *m, const VdrvQueue *vq)
{
    return vq->packed ? vdrv_packed_more_used(m, vq) :
                        vdrv_split_more_used(m, vq);
}

/**
 * vdrv_get() - take one completed buffer
 * @m: accessor
 * @vq: queue
 * @used: filled in when 1 is returned
 *
 * Returns 1 for a buffer, 0 when there is none, and VDRV_EBADID, _ENOTOUT,
 * _EBADLEN, _EBADIDX or _EBROKEN when the device broke the rules. After such
 * an error the queue stays broken: reset the device, then vdrv_detach().
 */
VDRV_INLINE int vdrv_get(const VdrvMemOps *m, VdrvQueue *vq, VdrvUsed *used)
{
    return vq->packed ? vdrv_packed_get(m, vq, used) :
                        vdrv_split_get(m, vq, used);
}

/**
 * vdrv_disable_cb() - ask the device not to interrupt
 * @m: accessor
 * @vq: queue
 *
 * A wish: interrupts may still come (2.7.7).
 */
VDRV_INLINE void vdrv_disable_cb(const VdrvMemOps *m, VdrvQueue *vq)
{
    if (vq->packed) {
        vdrv_packed_disable_cb(m, vq);
    } else {
        vdrv_split_disable_cb(m, vq);
    }
}

/**
 * vdrv_enable_cb_after() - ask for an interrupt after some more completions
 * @m: accessor
 * @vq: queue
 * @after: how many completions may pass without one: buffers (split) or
 *         descriptors (packed); clamped to what is in flight. Without
 *         EVENT_IDX it is taken as 0
 *
 * Returns true when completions are there already and the interrupt may not
 * come: take them and ask again. (The packed ring cannot tell how many are
 * there, so it says true for any.)
 */
VDRV_INLINE bool vdrv_enable_cb_after(const VdrvMemOps *m, VdrvQueue *vq,
                                      uint16_t after)
{
    uint16_t limit = vq->packed ? vq->num - vq->num_free :
                                  (uint16_t)vdrv_outstanding(vq);

    if (!vq->event_idx || !limit) {
        after = 0;
    } else if (after >= limit) {
        after = limit - 1;
    }
    return vq->packed ? vdrv_packed_enable_cb(m, vq, after) :
                        vdrv_split_enable_cb(m, vq, after);
}

/**
 * vdrv_enable_cb() - ask for an interrupt at the next completion
 * @m: accessor
 * @vq: queue
 *
 * Returns true when one is there already: take it and ask again.
 */
VDRV_INLINE bool vdrv_enable_cb(const VdrvMemOps *m, VdrvQueue *vq)
{
    return vdrv_enable_cb_after(m, vq, 0);
}

/**
 * vdrv_detach() - take back one buffer that the device never returned
 * @vq: queue of a device that was reset and so touches it no more
 * @token: receives the buffer's token
 *
 * Returns false when none is left. The queue needs vdrv_init() afterwards.
 */
VDRV_INLINE bool vdrv_detach(VdrvQueue *vq, void **token)
{
    vq->broken = VDRV_EBROKEN;
    for (uint32_t i = 0; i < vq->num; i++) {
        if (vq->slots[i].ndesc) {
            vq->slots[i].ndesc = 0;
            *token = vq->slots[i].token;
            return true;
        }
    }
    return false;
}

/**
 * vdrv_strerror() - words for a result
 * @err: VDRV_*
 */
static inline const char *vdrv_strerror(int err)
{
    switch (err) {
    case VDRV_OK:
        return "success";
    case VDRV_ENOSPC:
        return "not enough free descriptors, take completions first";
    case VDRV_EINVAL:
        return "buffer or queue parameters break the virtio standard";
    case VDRV_EBADID:
        return "device returned an id beyond the queue";
    case VDRV_ENOTOUT:
        return "device returned a buffer that it does not hold";
    case VDRV_EBADLEN:
        return "device claims more bytes than the buffer has";
    case VDRV_EBADIDX:
        return "device's used index ran past what is outstanding";
    case VDRV_EBROKEN:
        return "queue broken by an earlier device error, reset it";
    default:
        return "unknown error";
    }
}

#endif /* VRING_DRIVER_H */
