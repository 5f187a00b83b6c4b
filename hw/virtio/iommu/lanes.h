/*
 * Which I/O virtual addresses the queues of a device have in flight
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The quick half of the ledger (ledger.h). Each queue whose buffers are found
 * by the device's IOTLB has a lane: a table of slots, one for a request in
 * flight. Its thread notes a request in a section of the IOTLB, before it
 * leaves the one in which the buffers were found; whoever is done with the
 * request strikes it out. Neither takes a lock.
 *
 * A slot's word is 0, or the id of its request, with a bit that says whether an
 * unmap holds it. Striking out is one compare-and-swap from the id to 0, which
 * fails if there is a hold to give up, and if the request was forgotten. Ids
 * are not used again, so an unmap that meets a slot of which another request
 * has become meanwhile fails to hold it.
 *
 * An unmap has waited for the sections that may have found the memory it takes
 * before it looks at the lanes: see docs/devel/virtio-iommu-drain.rst.
 *
 * Needs no QEMU: tests/iotlb compiles it, too.
 */

#ifndef HW_VIRTIO_IOMMU_LANES_H
#define HW_VIRTIO_IOMMU_LANES_H

#include <glib.h>
#include <sys/uio.h>

struct IommuDrainTicket;

/* Lanes of a device, by number of the queue */
#define IOMMU_LANES_MAX         1024u
/* Requests in flight that a lane can note */
#define IOMMU_LANE_SLOTS        1024u
/* Ranges of a request that it can note, after those that continue each other */
#define IOMMU_LANE_RANGES       4u

typedef struct IommuLane IommuLane;
typedef struct IommuLanes IommuLanes;

/**
 * IommuLedgerRange: part of a request
 * @first, @last: I/O virtual addresses, both included
 * @host: where @first is mapped to, and the rest behind it
 * @write: the device may write there
 */
typedef struct IommuLedgerRange {
    uint64_t first, last;
    const void *host;
    bool write;
} IommuLedgerRange;

/** IommuLanesFound: @range of request @id is in flight */
typedef void IommuLanesFound(void *opaque, uint64_t id,
                             const IommuLedgerRange *range);

IommuLanes *iommu_lanes_new(void);

/** Nothing may be in flight: see iommu_lanes_forget(). */
void iommu_lanes_free(IommuLanes *lanes);

/**
 * iommu_lanes_get: the lane of queue @index, below IOMMU_LANES_MAX
 *
 * It lasts as long as @lanes. Context: BQL held
 */
IommuLane *iommu_lanes_get(IommuLanes *lanes, unsigned index);

/** iommu_lanes_has: is @id of a request that was noted in a lane? */
static inline bool iommu_lanes_has(uint64_t id)
{
    return id >> 63;
}

/**
 * iommu_lane_note: a request is in flight
 * @addr, @iov: I/O virtual address and place of each of its buffers
 * @out, @in: how many the device reads, and writes after these
 *
 * Context: the lane's queue's thread, in the section of the IOTLB in which all
 * of the buffers were found.
 *
 * Returns: for iommu_lanes_done(); 0 if there is no room
 */
uint64_t iommu_lane_note(IommuLane *lane, const uint64_t *addr,
                         const struct iovec *iov, unsigned out, unsigned in);

/**
 * iommu_lanes_done: the device does not touch the request's memory any more
 * @id: of which iommu_lanes_has(); one that was forgotten does nothing
 *
 * Context: any thread
 *
 * Returns: the hold to give up, or %NULL
 */
struct IommuDrainTicket *iommu_lanes_done(IommuLanes *lanes, uint64_t id);

/**
 * iommu_lanes_find: call @found for what is in flight in [@first, @last]
 *
 * Everything that was noted in a section of the IOTLB that has ended before,
 * and is not struck out meanwhile. Context: BQL held
 */
void iommu_lanes_find(IommuLanes *lanes, uint64_t first, uint64_t last,
                      IommuLanesFound *found, void *opaque);

/**
 * iommu_lanes_hold: have @id keep @ticket
 *
 * Returns: the hold to give up: @ticket, if the request is done or has it
 * already, another that it had, or %NULL. Context: BQL held
 */
struct IommuDrainTicket *iommu_lanes_hold(IommuLanes *lanes, uint64_t id,
                                          struct IommuDrainTicket *ticket);

/**
 * iommu_lanes_forget: nothing is in flight
 * @release: gives up a hold
 *
 * Returns: how many requests were. Context: BQL held
 */
uint64_t iommu_lanes_forget(IommuLanes *lanes,
                            void (*release)(struct IommuDrainTicket *ticket));

/** iommu_lanes_count: how many requests are in flight. Context: BQL held */
uint64_t iommu_lanes_count(IommuLanes *lanes);

#endif
