/*
 * libqos: a vIOMMU and the address space it gives to one PCI device
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * VT-d in legacy mode (root, context and three-level page tables written to
 * guest memory) and virtio-iommu (requests) behind the same few calls. The
 * mappings are remembered, so that a test can look at memory as the device
 * sees it.
 */

#ifndef LIBQOS_QIOMMU_H
#define LIBQOS_QIOMMU_H

#include "libqos.h"
#include "virtio-pci.h"

#define QIOMMU_PAGE         4096u
#define QIOMMU_LARGE_PAGE   (2u * 1024 * 1024)

/* Rights of a mapping */
#define QIOMMU_READ         1u
#define QIOMMU_WRITE        2u
#define QIOMMU_RW           (QIOMMU_READ | QIOMMU_WRITE)

typedef enum QIommuKind {
    QIOMMU_VTD,
    QIOMMU_VIRTIO,
} QIommuKind;

/** QIommuFault: what the IOMMU recorded */
typedef struct QIommuFault {
    uint64_t iova;      /* VT-d: of the page */
    bool read, write;   /* which access; neither if the IOMMU did not say */
} QIommuFault;

typedef struct QIommu QIommu;

/** Machine and IOMMU, "iommu0", for the command line; devices come behind it */
const char *qiommu_options(QIommuKind kind);

/**
 * qiommu_start:
 * @devfn: the device on the root bus to translate for
 *
 * Set up translation for the device; nothing is mapped. At most one per
 * machine.
 */
QIommu *qiommu_start(QIommuKind kind, QOSState *qs, uint8_t devfn);

/** Free what the test holds; guest memory goes with the machine */
void qiommu_free(QIommu *iommu);

/**
 * qiommu_map:
 * @iova, @pa, @size: in bytes, multiples of QIOMMU_PAGE; large pages are used
 *                    for whole large pages that are aligned in both spaces
 * @rights: of QIOMMU_READ and QIOMMU_WRITE
 */
void qiommu_map(QIommu *iommu, uint64_t iova, uint64_t pa, uint64_t size,
                unsigned rights);

/** Take away exactly what one qiommu_map() gave; done when it returns */
void qiommu_unmap(QIommu *iommu, uint64_t iova, uint64_t size);

/**
 * qiommu_use_queue: VT-d's invalidations go through its queue from now on
 *
 * Without, they go through registers. Behind virtio-iommu it does nothing.
 */
void qiommu_use_queue(QIommu *iommu);

/**
 * qiommu_unmap_start: qiommu_unmap() of one page, without waiting
 *
 * One at a time; nothing else is asked of the IOMMU until it is answered.
 */
void qiommu_unmap_start(QIommu *iommu, uint64_t iova);

/**
 * qiommu_flush_start: VT-d: invalidate all of the device's domain, without
 * waiting and without a change of what is mapped
 */
void qiommu_flush_start(QIommu *iommu);

/**
 * qiommu_unmap_all_start: take away all that is mapped in a range of whole
 * mappings of one page each, without waiting: one request, or on VT-d an
 * invalidation of the domain
 */
void qiommu_unmap_all_start(QIommu *iommu, uint64_t iova, uint64_t size);

/**
 * qiommu_descriptor_start: VT-d with a queue: any descriptor, without waiting
 *
 * A wait descriptor follows, so a malformed one keeps the queue there.
 */
void qiommu_descriptor_start(QIommu *iommu, uint64_t lo, uint64_t hi);

/** Whether what was started was answered; must be asked until it is */
bool qiommu_answered(QIommu *iommu);

/** The machine was migrated to @qts; for qiommu_answered() only */
void qiommu_moved(QIommu *iommu, QTestState *qts);

/** Allocate @size bytes in scattered pages and map them at @iova */
void qiommu_map_scattered(QIommu *iommu, uint64_t iova, uint64_t size);

/** The guest address that @iova is mapped to; it must be mapped */
uint64_t qiommu_pa(const QIommu *iommu, uint64_t iova);

/** Memory as the device sees it, read or written by the CPU */
void qiommu_memread(QIommu *iommu, uint64_t iova, void *buf, size_t len);
void qiommu_memwrite(QIommu *iommu, uint64_t iova, const void *buf,
                     size_t len);

/** Take one fault record, if there is one */
bool qiommu_take_fault(QIommu *iommu, QIommuFault *fault);

/**
 * qiommu_request: a raw virtio-iommu request
 * @req, @req_len: the device-readable part
 * @reply, @reply_len: the device-writable part, read back afterwards
 *
 * Returns: the used length
 */
uint32_t qiommu_request(QIommu *iommu, const void *req, size_t req_len,
                        void *reply, size_t reply_len);

/**
 * qiommu_request_start: a request that is answered with a tail, not waited for
 *
 * qiommu_answered() says when it was.
 */
void qiommu_request_start(QIommu *iommu, const void *req, size_t req_len);

/** The status that the last request of qiommu_request_start() was given */
uint8_t qiommu_status(const QIommu *iommu);

/** The device that serves the requests of a virtio-iommu */
QVirtioPCIDevice *qiommu_device(QIommu *iommu);

/**
 * qiommu_queue_setup: set up a queue of a device behind the IOMMU
 * @size: entries, at most what the device offers
 * @used: IOVA of the used ring (split) if not 0, which the device is told
 *        instead of the driver's own
 *
 * The rest of the ring is allocated and found at its own guest address, which
 * has to be mapped.
 */
QVirtQueue *qiommu_queue_setup(QVirtioPCIDevice *pci, QGuestAllocator *alloc,
                               uint16_t index, uint16_t size, uint64_t used);

#endif
