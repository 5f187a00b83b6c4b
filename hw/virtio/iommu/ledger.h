/*
 * Which I/O virtual addresses a device has in flight
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One ledger per device behind an IOMMU. Whoever translates addresses for a
 * request opens a section before, closes it with what came out of it, and says
 * when the device is done with the request. An unmap makes everything in flight
 * that it touches keep the IOMMU's answer back (iommu-drain.h).
 *
 * A section stands for all addresses: a translation may have been made before
 * the unmap and not be noted yet. What is noted after the unmap was translated
 * after it, or in a section that the unmap saw. See
 * docs/devel/virtio-iommu-drain.rst.
 *
 * Queues whose buffers the IOTLB finds do without a section and without the
 * lock, mostly: see lanes.h.
 *
 * The ledger's lock is a leaf: nothing else is taken or waited for under it.
 */

#ifndef HW_VIRTIO_IOMMU_LEDGER_H
#define HW_VIRTIO_IOMMU_LEDGER_H

#include "qemu/queue.h"
#include "hw/virtio/iommu-drain.h"
#include "lanes.h"

typedef struct IommuLedger IommuLedger;

/**
 * IommuLedgerSection: translations are being made; on the caller's stack
 * @ticket: hold that an unmap took meanwhile, or %NULL
 * @first, @last: all that those unmaps touched
 */
typedef struct IommuLedgerSection {
    IommuDrainTicket *ticket;
    uint64_t first, last;
    QLIST_ENTRY(IommuLedgerSection) next;
} IommuLedgerSection;

/**
 * IommuLedgerStands: whether @range, part of what was noted, still is mapped
 * to where it was. Context: BQL held, the ledger's lock is not
 */
typedef bool IommuLedgerStands(void *opaque, const IommuLedgerRange *range);

/**
 * IommuLedgerCounters: for the monitor
 * @in_flight: requests noted and not done
 * @held: unmaps that met any
 */
typedef struct IommuLedgerCounters {
    uint64_t in_flight;
    uint64_t held;
} IommuLedgerCounters;

IommuLedger *iommu_ledger_new(void);

/** iommu_ledger_forget(), and free. No section may be open. */
void iommu_ledger_free(IommuLedger *ledger);

/** Context: BQL held */
IommuLedgerCounters iommu_ledger_counters(IommuLedger *ledger);

/** The ledger's lanes. Their requests are struck out by iommu_ledger_done(). */
IommuLanes *iommu_ledger_lanes(IommuLedger *ledger);

/** Translations are going to be made. Context: any thread */
void iommu_ledger_begin(IommuLedger *ledger, IommuLedgerSection *section);

/**
 * iommu_ledger_end: they were made
 * @ranges, @num: of the request; none if there is no request. Ranges that
 *                continue each other may be noted as one
 *
 * Returns: for iommu_ledger_done(), 0 if @num is 0.
 * Context: the thread that opened @section
 */
uint64_t iommu_ledger_end(IommuLedger *ledger, IommuLedgerSection *section,
                          const IommuLedgerRange *ranges, unsigned num);

/**
 * iommu_ledger_done: the device does not touch the request's memory any more
 * @id: what iommu_ledger_end() or iommu_lane_note() returned; one that was
 *      forgotten does nothing
 *
 * Context: any thread
 */
void iommu_ledger_done(IommuLedger *ledger, uint64_t id);

/**
 * iommu_ledger_forget: the device was reset, nothing is in flight
 *
 * Returns: how many requests were noted
 */
uint64_t iommu_ledger_forget(IommuLedger *ledger);

/**
 * iommu_ledger_unmap: the IOMMU took [@first, @last] from the device
 * @stands: spares what the IOMMU left as it was, when more was invalidated than
 *          unmapped; %NULL if all of the range was unmapped
 *
 * Returns: how many requests, and sections, hold the answer back because of it
 * Context: BQL held
 */
unsigned iommu_ledger_unmap(IommuLedger *ledger, uint64_t first, uint64_t last,
                            IommuLedgerStands *stands, void *opaque);

#endif
