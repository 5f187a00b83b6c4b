/*
 * The packed virtqueue; see ring.h for the meaning of each call
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VIRTIO_RING_PACKED_H
#define HW_VIRTIO_RING_PACKED_H

#include "desc.h"

VirtRingResult ring_packed_fetch(VirtRing *ring, const VirtRingAreas *a,
                                 const RingSink *sink, VirtRingChain *chain);
bool ring_packed_empty(VirtRing *ring, const VirtRingAreas *a);
bool ring_packed_more(VirtRing *ring, const VirtRingAreas *a,
                      uint16_t shadow);
void ring_packed_write_used(VirtRing *ring, const VirtRingAreas *a,
                            uint16_t ahead, uint16_t id, uint32_t len);
void ring_packed_publish(VirtRing *ring, const VirtRingAreas *a, uint16_t id,
                         uint32_t len, unsigned ndescs);
bool ring_packed_should_notify(VirtRing *ring, const VirtRingAreas *a);
void ring_packed_set_notification(VirtRing *ring, const VirtRingAreas *a,
                                  bool enable);
bool ring_packed_avail_bytes(VirtRing *ring, const VirtRingAreas *a,
                             const RingSink *sink, uint64_t max_in,
                             uint64_t max_out);
void ring_packed_unfetch(VirtRing *ring, const VirtRingAreas *a,
                         unsigned ndescs);
bool ring_packed_recover(VirtRing *ring, const VirtRingAreas *a);

#endif
