/*
 * vfio-blk: a virtio-blk device, driven from user space
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef VFIO_BLK_BLK_H
#define VFIO_BLK_BLK_H

#include <stdbool.h>
#include "vring-driver.h"
#include "vfio.h"

#define BLK_SECTOR      512u
#define BLK_QUEUE_SIZE  64u
#define BLK_SLOTS       16u         /* requests in flight at most */
#define BLK_DATA        16384u      /* bytes of a request at most */

/* IOVAs; the buffers have a mapping of their own, so they can be unmapped */
#define BLK_RING_IOVA   0x10000000ull
#define BLK_RING_SIZE   0x10000ull
#define BLK_DATA_IOVA   0x20000000ull
#define BLK_DATA_SIZE   ((uint64_t)BLK_SLOTS * BLK_DATA)

/**
 * struct Blk - the device, set up
 * @ring: rings, request headers and status bytes, at BLK_RING_IOVA
 * @data: buffers, BLK_DATA bytes for each slot, at BLK_DATA_IOVA
 * @sectors: size of the disk
 * @in_flight: requests not completed
 */
typedef struct Blk {
    Vfio vfio;
    uint8_t *common, *notify, *config;
    uint8_t *ring;
    uint8_t *data;
    uint64_t sectors;
    uint64_t features;
    unsigned in_flight;
    VdrvQueue vq;
    VdrvSlot slots[BLK_QUEUE_SIZE];
} Blk;

/** blk_open() - find the device's registers, map memory, start it */
void blk_open(Blk *b, const char *bdf);

/** blk_restart() - reset the device and start it with an empty queue */
void blk_restart(Blk *b);

/** blk_close() - close without a reset, whatever is in flight */
void blk_close(Blk *b);

/** blk_submit() - queue one request on @slot: @len bytes at @sector */
void blk_submit(Blk *b, unsigned slot, bool write, uint64_t sector,
                uint32_t len);

/** blk_kick() - show what was queued to the device */
void blk_kick(Blk *b);

/** blk_stop() - reset the device: by its function if VFIO can, and by virtio */
void blk_stop(Blk *b);

/**
 * blk_settle() - wait until at most @left requests are in flight
 * @errors: receives how many requests ended with an error
 *
 * Returns false if the device asks for a reset instead.
 */
bool blk_settle(Blk *b, unsigned left, unsigned *errors);

#endif
