/*
 * What a virtio device behind an IOMMU has in flight
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Elements are noted in the device's ledger (ledger.h) by virtqueue_pop(), in
 * in-flight.c.inc, or by the ring engine in a queue's lane, in
 * in-flight-ring.c.inc, and struck out when their memory is given back, whoever
 * serves the queue. A device that is not behind an IOMMU, or has
 * x-iommu-drain=off, has none of this.
 */

#ifndef HW_VIRTIO_IOMMU_IN_FLIGHT_H
#define HW_VIRTIO_IOMMU_IN_FLIGHT_H

#include "hw/qdev-properties.h"
#include "ledger.h"

typedef enum VirtIOIommuDrain {
    VIRTIO_IOMMU_DRAIN_WAIT,
    VIRTIO_IOMMU_DRAIN_OFF,
} VirtIOIommuDrain;

extern const PropertyInfo qdev_prop_virtio_iommu_drain;

/**
 * VirtIOInFlight: of one device
 * @notifiers: one for each IOMMU region through which the device sees memory,
 *             or has seen it
 * @changed: region that entered or left its view, in a change of the memory
 *           layout that is under way
 * @behind: the device has seen memory through an IOMMU, so that from then on
 *          what it has in flight is noted; atomic
 * @commit: the device's own part in such a change
 *
 * But for the ledger and @behind, it belongs to the BQL.
 */
typedef struct VirtIOInFlight {
    IommuLedger *ledger;
    QLIST_HEAD(, VirtIOIommuNotifier) notifiers;
    IOMMUMemoryRegion *changed;
    bool behind;
    void (*commit)(MemoryListener *listener);
} VirtIOInFlight;

/**
 * virtio_in_flight_start: the device's memory listener will be registered next
 *
 * Gives the device x-iommu-in-flight and x-iommu-held to read. Context: BQL
 */
void virtio_in_flight_start(VirtIODevice *vdev);

/** After the listener is gone. Context: BQL held, nobody serves the queues */
void virtio_in_flight_stop(VirtIODevice *vdev);

/**
 * The device was reset: nothing is in flight, unless it is one of those that
 * write when they have been reset. Context: BQL held
 */
void virtio_in_flight_forget(VirtIODevice *vdev);

/**
 * virtio_in_flight_pop: note what was popped
 * @section: opened before
 * @elem: what came out; may be %NULL
 *
 * Context: the queue's thread
 */
void virtio_in_flight_pop(VirtIODevice *vdev, IommuLedgerSection *section,
                          VirtQueueElement *elem);

/** An element that was loaded from a migration stream. Context: BQL held */
void virtio_in_flight_note(VirtIODevice *vdev, VirtQueueElement *elem);

/**
 * virtio_in_flight_unmap: the IOMMU of @mr took [@first, @last] from the device
 *
 * For those who hear of it: the ledger's own notifier, or the IOTLB's.
 * Context: BQL held
 */
void virtio_in_flight_unmap(VirtIODevice *vdev, IOMMUMemoryRegion *mr,
                            hwaddr first, hwaddr last);

/**
 * virtio_in_flight_told: does another notifier of @mr call the above?
 *
 * As long as one does the ledger has none of its own. Context: BQL held
 */
void virtio_in_flight_told(VirtIODevice *vdev, IOMMUMemoryRegion *mr,
                           bool told);

#endif
