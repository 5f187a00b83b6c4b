/*
 * Batch labels of packed rings (docs/specs/virtio-batch-labels.rst)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Private to the core of the ring engine; see ring.h.
 *
 * MORE on an available chain says that the next one is there as well: the
 * device puts off telling when it wants to be notified. MORE on a used
 * descriptor says that the device returns more without waiting: it puts off
 * the interrupt. AVAIL and USED decide as before, so that a wrong label is a
 * matter of time:
 *
 *   @more  was said by the driver and is believed for as long as nothing
 *          depends on it;
 *   @owed  is paid by whoever finds the queue empty, before the last look,
 *          or enables notifications;
 *   @held  is true only if the next chain was seen to be available.
 *
 * All three stay false where labels were not accepted.
 */

#ifndef HW_VIRTIO_RING_LABELS_H
#define HW_VIRTIO_RING_LABELS_H

#include "packed.h"

/*
 * 2.8.1 leaves bits 3 to 6 and 8 to 14 of the flags reserved. The standard
 * has given its bits from below; this is the one that it gets to last.
 */
#define DESC_F_MORE 0x4000

/* The chain was taken. If another follows, nothing need be asked for yet. */
static inline bool ring_label_taken(VirtRing *ring, const VirtRingChain *chain)
{
    ring->more = chain->flags & DESC_F_MORE;
    ring->owed |= ring->more;
    return ring->more;
}

/*
 * About to publish: will the device go on to the next chain by itself, and
 * return that one too? Then the interrupt can wait.
 */
static inline bool ring_label_hold(VirtRing *ring, const VirtRingAreas *a)
{
    return ring->more && a->labels & VRING_READS_ON &&
           !ring_packed_empty(ring, a);
}

#endif
