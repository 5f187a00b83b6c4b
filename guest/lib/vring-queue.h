/*
 * Driver-side virtqueue: state, results and the parts both layouts share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Include vring-driver.h, which explains the rings; this file holds types.
 */
#ifndef VRING_QUEUE_H
#define VRING_QUEUE_H

#include <stdbool.h>
#include "vring-defs.h"
#include "vring-mem.h"

/* Results; every failure is negative. vdrv_strerror() gives words. */
enum {
    VDRV_OK = 0,
    VDRV_ENOSPC = -1,       /* not enough free descriptors, try after a get */
    VDRV_EINVAL = -2,       /* the caller's arguments break the standard */
    /* What the device did wrong; each of them also breaks the queue */
    VDRV_EBADID = -3,       /* used id beyond the queue */
    VDRV_ENOTOUT = -4,      /* used id names no outstanding buffer */
    VDRV_EBADLEN = -5,      /* more bytes written than the buffer has */
    VDRV_EBADIDX = -6,      /* used index ran past what is outstanding */
    VDRV_EBROKEN = -7,      /* an earlier error broke the queue: reset it */
};

/* Deviations of real devices that the caller chooses to live with */
#define VDRV_QUIRK_USED_LEN (1u << 0) /* len counts without WRITE (packed) */

/**
 * struct VdrvSeg - one physically contiguous piece of a buffer
 * @addr: guest physical address or IOVA
 * @len: bytes
 */
typedef struct VdrvSeg {
    uint64_t addr;
    uint32_t len;
} VdrvSeg;

/**
 * struct VdrvBuf - one buffer to offer to the device
 * @seg: @out readable segments, then @in writable ones; read during the call
 * @out: number of device-readable segments
 * @in: number of device-writable segments
 * @direct: with @table, how many leading segments stay direct descriptors.
 *          Zero in all ordinary use; the split layout allows some (2.7.5.3)
 * @table: guest address of an indirect table with room for 16 bytes per
 *         remaining segment, the caller's until the buffer comes back;
 *         zero for direct descriptors
 * @token: returned by vdrv_get(), never looked at
 */
typedef struct VdrvBuf {
    const VdrvSeg *seg;
    uint16_t out;
    uint16_t in;
    uint16_t direct;
    uint64_t table;
    void *token;
} VdrvBuf;

/**
 * struct VdrvUsed - one completion
 * @token: what vdrv_add() got
 * @len: bytes written by the device, at most the buffer's writable bytes
 * @id: buffer id (packed) or head descriptor (split)
 * @wrote: WRITE was set (packed) or @len is not zero (split)
 * @skipped: completed by a later buffer's used entry (IN_ORDER); @len is
 *           then the whole writable length, as the standard has it
 * @more: with labels, the device says that another completion follows at
 *        once. A hint: look for it some times before asking for an
 *        interrupt, but do not count on it
 */
typedef struct VdrvUsed {
    void *token;
    uint32_t len;
    uint16_t id;
    bool wrote;
    bool skipped;
    bool more;
} VdrvUsed;

/*
 * Private state of one buffer id, never in shared memory, so that nothing
 * the device writes can lead the driver astray.
 */
typedef struct VdrvSlot {
    void *token;
    uint64_t seq;           /* which buffer since the start, counts from 0 */
    uint32_t in_len;        /* writable bytes, saturated */
    uint16_t ndesc;         /* ring descriptors held; 0: not outstanding */
    uint16_t next;          /* next of the chain or of the free list */
} VdrvSlot;

/**
 * struct VdrvConfig - how to start a queue
 * @mem: for the accessor
 * @slots: @num entries of private memory, the caller's, in place until the
 *         queue is given up
 * @desc: guest address of the descriptor area, 16-byte aligned
 * @driver: of the driver area (available ring; packed: driver events)
 * @device: of the device area (used ring; packed: device events)
 * @features: as negotiated, VDRV_F_*; other bits are ignored
 * @num: queue size; a power of two unless packed
 * @index: queue number (or queue_notify_config_data) for notification data
 * @quirks: VDRV_QUIRK_*
 * @zeroed: the ring areas are zero already, do not clear them again
 * @labels: the device has accepted batch labels; packed only
 */
typedef struct VdrvConfig {
    void *mem;
    VdrvSlot *slots;
    uint64_t desc;
    uint64_t driver;
    uint64_t device;
    uint64_t features;
    uint16_t num;
    uint16_t index;
    uint16_t quirks;
    bool zeroed;
    bool labels;
} VdrvConfig;

/**
 * struct VdrvQueue - one virtqueue, seen by its driver
 *
 * Owned by one thread at a time. Fields are readable for tests and
 * debuggers, writable by this library only.
 */
typedef struct VdrvQueue {
    void *mem;
    VdrvSlot *slots;
    uint64_t desc;
    uint64_t driver;
    uint64_t device;
    uint64_t added;         /* buffers written into the ring */
    uint64_t published;     /* of these, shown to the device */
    uint64_t completed;     /* of these, returned by vdrv_get() */
    uint64_t batch_end;     /* IN_ORDER: completed up to here, not returned */
    uint32_t batch_len;     /* IN_ORDER: written length of the batch's last */
    uint32_t kick_span;     /* ring steps since the last kick decision */
    uint16_t num;
    uint16_t num_free;      /* free descriptors of the ring */
    uint16_t free_head;     /* next id (packed) or descriptor (split) */
    uint16_t oldest;        /* IN_ORDER: id of the oldest outstanding */
    uint16_t avail_idx;     /* packed: ring position; split: free running */
    uint16_t used_idx;      /* likewise, where the next used entry will be */
    uint16_t used_seen;     /* split: device's index as last read */
    uint16_t head_pos;      /* packed: first of the unpublished batch */
    uint16_t head_flags;    /* packed: its flags, held back */
    uint16_t last_pos;      /* labels: first descriptor of the last chain */
    uint16_t last_flags;    /* labels: its flags */
    uint16_t event_flags;   /* driver event flags as last written */
    uint16_t index;
    uint16_t quirks;
    int16_t broken;         /* VDRV_E* of the first error, 0 if sound */
    bool packed;
    bool event_idx;
    bool in_order;
    bool indirect;
    bool labels;
    bool used_more;         /* labels: of the used entry seen last */
    bool avail_wrap;        /* packed wrap counters, start at 1 (2.8.1) */
    bool used_wrap;
} VdrvQueue;

/* Buffers that the device holds, each of which will come back once */
VDRV_INLINE uint64_t vdrv_outstanding(const VdrvQueue *vq)
{
    return vq->published - vq->completed;
}

VDRV_INLINE int vdrv_break(VdrvQueue *vq, int err)
{
    vq->broken = err;
    return err;
}

/*
 * Was position @event among the @old..@new-1 ones? All modulo 2^16, so it
 * holds across the wrap of a free running index (2.7.7.1, 2.8.10).
 */
VDRV_INLINE bool vdrv_need_event(uint16_t event, uint16_t new, uint16_t old)
{
    return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

/* Arguments of vdrv_add(): how many ring descriptors, or an error */
VDRV_INLINE int vdrv_check_buf(const VdrvQueue *vq, const VdrvBuf *buf)
{
    unsigned total = (unsigned)buf->out + buf->in;
    unsigned need = total;

    if (vq->broken) {
        return VDRV_EBROKEN;
    }
    /* 2.7.5.2: a chain, indirect or not, is no longer than the queue */
    if (total == 0 || total > vq->num) {
        return VDRV_EINVAL;
    }
    if (buf->table) {
        if (!vq->indirect || buf->direct >= total) {
            return VDRV_EINVAL;
        }
        /* 2.8.19: a packed chain cannot continue into an indirect table */
        if (vq->packed && buf->direct) {
            return VDRV_EINVAL;
        }
        need = buf->direct + 1u;
    }
    if (need > vq->num_free) {
        return VDRV_ENOSPC;
    }
    return (int)need;
}

/*
 * Book a buffer of @in_len writable bytes under @id; the caller has taken its
 * descriptors.
 */
VDRV_INLINE void vdrv_book(VdrvQueue *vq, uint16_t id, const VdrvBuf *buf,
                           uint16_t ndesc, uint64_t in_len)
{
    VdrvSlot *slot = &vq->slots[id];

    slot->token = buf->token;
    slot->in_len = in_len > UINT32_MAX ? UINT32_MAX : (uint32_t)in_len;
    slot->ndesc = ndesc;
    slot->seq = vq->added++;
    vq->num_free -= ndesc;
    vq->kick_span += ndesc;
}

/*
 * Check an id that the device wrote. Ids of buffers not yet published are
 * refused too: the device cannot have them.
 */
VDRV_INLINE int vdrv_check_id(const VdrvQueue *vq, uint32_t id)
{
    if (id >= vq->num) {
        return VDRV_EBADID;
    }
    if (!vq->slots[id].ndesc || vq->slots[id].seq >= vq->published) {
        return VDRV_ENOTOUT;
    }
    return VDRV_OK;
}

/* Give back buffer @id's descriptors and report it; @id was checked */
VDRV_INLINE void vdrv_complete(VdrvQueue *vq, uint16_t id, VdrvUsed *used)
{
    VdrvSlot *slot = &vq->slots[id];
    uint16_t ndesc = slot->ndesc;

    used->token = slot->token;
    used->id = id;
    slot->ndesc = 0;
    vq->num_free += ndesc;
    vq->completed++;

    if (vq->in_order) {
        /* The free list is a ring that is used up and refilled in order */
        vq->oldest = slot->next;
        if (!vq->packed) {
            for (uint16_t i = 1; i < ndesc; i++) {
                vq->oldest = vq->slots[vq->oldest].next;
            }
        }
        return;
    }
    if (!vq->packed) {
        /* A split chain holds one slot for each descriptor */
        for (uint16_t i = 1; i < ndesc; i++) {
            slot = &vq->slots[slot->next];
        }
    }
    slot->next = vq->free_head;
    vq->free_head = id;
}

/* IN_ORDER: is a batch being handed out? Then finish its next buffer. */
VDRV_INLINE bool vdrv_in_batch(const VdrvQueue *vq)
{
    return vq->completed < vq->batch_end;
}

/**
 * vdrv_take_batch() - next buffer of a batch completed by one used entry
 *
 * All but the last buffer of the batch are completely used (2.7.9, 2.8.7):
 * their length is their whole writable length.
 */
VDRV_INLINE uint16_t vdrv_take_batch(VdrvQueue *vq, VdrvUsed *used)
{
    const VdrvSlot *slot = &vq->slots[vq->oldest];
    uint16_t ndesc = slot->ndesc;

    used->skipped = vq->completed + 1 < vq->batch_end;
    used->len = used->skipped ? slot->in_len : vq->batch_len;
    used->wrote = used->len != 0;
    used->more = used->skipped || vq->used_more;
    vdrv_complete(vq, vq->oldest, used);
    return ndesc;
}

#endif /* VRING_QUEUE_H */
