/*
 * The packed virtqueue; see ring.h for the meaning of each call
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VIRTIO_RING_PACKED_H
#define HW_VIRTIO_RING_PACKED_H

#include "desc.h"

/* Event suppression structure (2.8.14) */
#define OFS_EVENT_DESC  0       /* position, wrap counter in bit 15 */
#define OFS_EVENT_FLAGS 2

/* 2.8.1: AVAIL equals the driver's wrap counter, USED does not */
static inline bool ring_packed_is_avail(uint64_t word, bool wrap)
{
    uint16_t flags = word >> 48;

    return (flags & (DESC_F_AVAIL | DESC_F_USED)) ==
           (wrap ? DESC_F_AVAIL : DESC_F_USED);
}

VirtRingResult ring_packed_fetch(VirtRing *ring, const VirtRingAreas *a,
                                 const RingSink *sink, VirtRingChain *chain);
bool ring_packed_empty(VirtRing *ring, const VirtRingAreas *a);
bool ring_packed_more(VirtRing *ring, const VirtRingAreas *a,
                      uint16_t shadow);
void ring_packed_write_used(VirtRing *ring, const VirtRingAreas *a,
                            uint16_t ahead, uint16_t id, uint32_t len);
/* The same with the label MORE */
void ring_packed_write_more(VirtRing *ring, const VirtRingAreas *a,
                            uint16_t ahead, uint16_t id, uint32_t len);
void ring_packed_publish(VirtRing *ring, const VirtRingAreas *a, uint16_t id,
                         uint32_t len, unsigned ndescs, bool more);
void ring_packed_flush(VirtRing *ring, const VirtRingAreas *a,
                       unsigned count);
bool ring_packed_should_notify(VirtRing *ring, const VirtRingAreas *a);
void ring_packed_set_notification(VirtRing *ring, const VirtRingAreas *a,
                                  bool enable);
/* Ask for a notification behind the chain taken last */
void ring_packed_ask(VirtRing *ring, const VirtRingAreas *a);
bool ring_packed_avail_bytes(VirtRing *ring, const VirtRingAreas *a,
                             const RingSink *sink, uint64_t max_in,
                             uint64_t max_out);
void ring_packed_unfetch(VirtRing *ring, const VirtRingAreas *a,
                         unsigned ndescs);
bool ring_packed_recover(VirtRing *ring, const VirtRingAreas *a);

#endif
