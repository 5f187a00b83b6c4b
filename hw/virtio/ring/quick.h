/*
 * The usual chains, taken quickly
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Most chains are a few descriptors, or one that refers to a table, and all
 * their buffers are in one stretch of guest RAM. These are taken in one pass
 * that calls nothing and keeps its counts in registers. Whatever is not of
 * that kind, violations among it, is left to ring_fetch_any(), which starts
 * over and looks at everything itself: what was seen here counts for nothing.
 */

#ifndef HW_VIRTIO_RING_QUICK_H
#define HW_VIRTIO_RING_QUICK_H

#include "desc.h"

/* What vring_fetch() does, by format */
VirtRingResult ring_quick_packed(VirtRing *ring, const VirtRingAreas *a,
                                 const VirtRingMem *mem, VirtRingChain *chain,
                                 VirtRingSegs *segs);
VirtRingResult ring_quick_split(VirtRing *ring, const VirtRingAreas *a,
                                const VirtRingMem *mem, VirtRingChain *chain,
                                VirtRingSegs *segs);

/* The same for chains of any kind, and when there is none */
VirtRingResult ring_fetch_any(VirtRing *ring, const VirtRingAreas *a,
                              const VirtRingMem *mem, VirtRingChain *chain,
                              VirtRingSegs *segs);

#endif
