/*
 * libqos: a virtio-blk disk to try a packed virtqueue on
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The tests are about the ring, the disk is only what answers. Every sector of
 * it holds a pattern of its own, so a request that got another's buffer, or
 * was completed before its data arrived, shows.
 */

#ifndef LIBQOS_VIRTIO_PACKED_DISK_H
#define LIBQOS_VIRTIO_PACKED_DISK_H

#include "virtio-pci.h"
#include "virtio-packed.h"

#define PACKED_TIMEOUT_US       (30 * 1000 * 1000)

/* Guest memory of one request: header, one sector, status byte */
#define PACKED_REQ_HDR          16u
#define PACKED_REQ_DATA         512u
#define PACKED_REQ_STATUS       (PACKED_REQ_HDR + PACKED_REQ_DATA)
#define PACKED_REQ_SIZE         (PACKED_REQ_STATUS + 1)

/* What a read reports as written: the sector and the status */
#define PACKED_READ_LEN         (PACKED_REQ_DATA + 1)

/** PackedDisk: a virtio-blk-pci device driven over its first queue */
typedef struct PackedDisk {
    QTestState *qts;
    QVirtioPCIDevice *pci;
    QVirtioDevice *vdev;
    QGuestAllocator *alloc;
    QVirtQueue *vq;
    uint64_t drop_features;     /* offered, but not to be accepted */
} PackedDisk;

/** PackedRead: one read of one sector */
typedef struct PackedRead {
    uint64_t addr;              /* guest memory, PACKED_REQ_SIZE bytes */
    uint64_t sector;
    uint32_t token;             /* what qvirtqueue_get_buf() will return */
} PackedRead;

/** How a request is laid out in the ring */
typedef enum PackedLayout {
    PACKED_DIRECT,              /* three ring descriptors */
    PACKED_INDIRECT,            /* one ring descriptor, a table of three */
} PackedLayout;

/**
 * packed_disk_cmdline:
 *
 * A "before" function for qos tests: makes a disk image that lives until the
 * end of the test, adds it as drive0 and an iothread as thread0. No two tests
 * get the same command line, so each has a QEMU of its own.
 *
 * Returns: @arg
 */
void *packed_disk_cmdline(GString *cmd_line, void *arg);

/**
 * packed_disk_start:
 * @pci: a virtio-blk-pci device that was started (qvirtio_start_device())
 * @size: queue size to ask for; 0 for what the device offers
 * @drop_features: feature bits not to accept even if they are offered
 *
 * Negotiate features, VIRTIO_F_RING_PACKED must be among them, set up the
 * first queue, set DRIVER_OK.
 */
void packed_disk_start(PackedDisk *disk, QVirtioPCIDevice *pci,
                       QGuestAllocator *alloc, uint16_t size,
                       uint64_t drop_features);

/** Reset the device and start it again with a queue of @size */
void packed_disk_restart(PackedDisk *disk, uint16_t size);

/** Free the queue. Requests must have been finished or dropped by a reset. */
void packed_disk_end(PackedDisk *disk);

/**
 * packed_pci_queue_setup:
 *
 * qvirtqueue_setup() of a queue of @size entries instead of what is offered.
 */
QVirtQueue *packed_pci_queue_setup(QVirtioPCIDevice *pci,
                                   QGuestAllocator *alloc, uint16_t index,
                                   uint16_t size);

/**
 * packed_pci_queue_reset:
 *
 * Reset one queue (VIRTIO_F_RING_RESET) and wait until the device has done so.
 * The caller frees @vq with qvirtqueue_cleanup().
 */
void packed_pci_queue_reset(QVirtioPCIDevice *pci, QVirtQueue *vq);

/** Read and thereby clear the ISR status: bit 0 queue, bit 1 configuration */
uint8_t packed_pci_read_isr(QVirtioPCIDevice *pci);

/** Allocate and fill the memory of a read; nothing goes into the ring */
PackedRead packed_read_prepare(PackedDisk *disk, uint64_t sector);

/** Put a prepared read into the ring. Neither published nor notified. */
void packed_read_add(PackedDisk *disk, PackedRead *req, PackedLayout layout);

/** packed_read_prepare(), packed_read_add(), qvirtqueue_kick() */
PackedRead packed_read_submit(PackedDisk *disk, uint64_t sector,
                              PackedLayout layout);

/** Wait for any completion. Returns the token, stores the length in @len. */
uint32_t packed_wait_used(PackedDisk *disk, uint32_t *len);

/** Check status, data and reported length of a finished read and free it */
void packed_read_finish(PackedDisk *disk, PackedRead *req, uint32_t len);

/** One read, start to end */
void packed_read_one(PackedDisk *disk, uint64_t sector, PackedLayout layout);

/** Wait for VIRTIO_CONFIG_S_NEEDS_RESET and the configuration interrupt */
void packed_expect_needs_reset(PackedDisk *disk);

/** QEMU answers, and the device works again after a reset */
void packed_expect_recovery(PackedDisk *disk);

#endif
