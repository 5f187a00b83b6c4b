/*
 * The split virtqueue; see ring.h for the meaning of each call
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VIRTIO_RING_SPLIT_H
#define HW_VIRTIO_RING_SPLIT_H

#include "desc.h"

/* Offsets in the available ring and the used ring are the same. */
#define OFS_FLAGS   0
#define OFS_IDX     2
#define OFS_RING    4

/* Place of an index; queue sizes are powers of two, but do not rely on it */
static inline uint16_t ring_split_slot(const VirtRingAreas *a, uint16_t idx)
{
    return likely(!(a->num & (a->num - 1))) ? idx & (a->num - 1)
                                            : idx % a->num;
}

static inline uint8_t *ring_split_avail_entry(const VirtRingAreas *a,
                                              uint16_t idx)
{
    return ring_driver_at(a, OFS_RING + 2 * ring_split_slot(a, idx));
}

/* Event fields stand after the other side's ring (2.7.6, 2.7.8). */
static inline uint8_t *ring_split_avail_event(const VirtRingAreas *a)
{
    return ring_device_at(a, OFS_RING + 8 * a->num);
}

VirtRingResult ring_split_fetch(VirtRing *ring, const VirtRingAreas *a,
                                const RingSink *sink, VirtRingChain *chain);
bool ring_split_empty(VirtRing *ring, const VirtRingAreas *a);
bool ring_split_more(const VirtRingAreas *a, uint16_t shadow);
void ring_split_write_used(VirtRing *ring, const VirtRingAreas *a,
                           uint16_t ahead, uint16_t id, uint32_t len);
void ring_split_publish(VirtRing *ring, const VirtRingAreas *a,
                        unsigned chains);
bool ring_split_should_notify(VirtRing *ring, const VirtRingAreas *a);
void ring_split_set_notification(VirtRing *ring, const VirtRingAreas *a,
                                 bool enable);
bool ring_split_avail_bytes(VirtRing *ring, const VirtRingAreas *a,
                            const RingSink *sink, uint64_t max_in,
                            uint64_t max_out);
bool ring_split_recover(VirtRing *ring, const VirtRingAreas *a);

#endif
