/*
 * A virtio device behind an IOMMU: its IOTLB, and who invalidates it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One VirtIOIotlb per device connects the cache (iotlb.h) to QEMU. It asks the
 * IOMMU when a look-up misses, and forgets when it is told to:
 *
 *   the IOMMU's notifier   the range that was unmapped; then the ledger of
 *                          what is in flight is told (iommu/in-flight.h)
 *   a memory listener      all, when the device's address space changes: the
 *                          IOMMU is switched on or off, bus mastering too
 *   the target's windows   all, when the memory behind the IOMMU changes
 *   virtio.c               all, when a queue or the device is reset, and when
 *                          a migrated state was loaded
 *
 * Only IOMMUs of which it is known that they notify get a cache; behind the
 * others upstream's code serves the queues, and asks each time.
 */

#ifndef HW_VIRTIO_RING_DEVICE_IOTLB_H
#define HW_VIRTIO_RING_DEVICE_IOTLB_H

#include "iotlb.h"
#include "windows.h"

typedef struct VirtIOIotlb VirtIOIotlb;

/**
 * virtio_iotlb_new: the IOTLB of @vdev, for its address space
 * @name: QOM path of the device, for the monitor; copied
 * @entries: most translations remembered
 *
 * Context: BQL held. virtio_iotlb_unref() gives it back.
 */
VirtIOIotlb *virtio_iotlb_new(VirtIODevice *vdev, const char *name,
                              unsigned entries);

/** virtio_iotlb_ref: one more user. Context: BQL held */
void virtio_iotlb_ref(VirtIOIotlb *iotlb);

/**
 * virtio_iotlb_unref: one user less
 *
 * Context: BQL held; the user has removed its readers. Returns true if it was
 * the last one: the IOTLB is gone.
 */
bool virtio_iotlb_unref(VirtIOIotlb *iotlb);

/**
 * virtio_iotlb_usable: does every IOMMU on the way say when it unmaps?
 *
 * Context: any thread; changes under the BQL.
 */
bool virtio_iotlb_usable(const VirtIOIotlb *iotlb);

/**
 * virtio_iotlb_flush: forget all
 * @why: for the trace
 *
 * Context: any thread, outside of sections.
 */
void virtio_iotlb_flush(VirtIOIotlb *iotlb, const char *why);

/**
 * virtio_iotlb_refused: a request failed, as the IOMMU refuses @iova
 * @queue: its queue
 *
 * Counted, and said once until virtio_iotlb_tell_again(). Context: any thread,
 * not in a section, as the log may make it wait.
 */
void virtio_iotlb_refused(VirtIOIotlb *iotlb, unsigned queue, hwaddr iova);

/** virtio_iotlb_tell_again: the device was reset, not just a queue of it */
void virtio_iotlb_tell_again(VirtIOIotlb *iotlb);

/** virtio_iotlb_cache: to look up in; IotlbSpan.region is a VirtRingTable */
Iotlb *virtio_iotlb_cache(VirtIOIotlb *iotlb);

/** virtio_iotlb_target: the memory behind the IOMMU */
VirtRingWindows *virtio_iotlb_target(VirtIOIotlb *iotlb);

#endif
