/*
 * virtio-echo: wire format
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Shared by the device, its tests and guest programs. The text of the
 * specification is docs/specs/virtio-echo.rst.
 *
 * A virtio-echo device has num_queues virtqueues, all alike. A request is one
 * descriptor chain. The device copies the device-readable bytes of the chain,
 * in order, into its device-writable bytes, as many as both sides hold and
 * max_request allows, and reports the number of bytes written as the used
 * length. A chain with no readable or no writable part completes with length
 * 0. There are no request headers.
 */

#ifndef _LINUX_VIRTIO_ECHO_H
#define _LINUX_VIRTIO_ECHO_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
#endif

/* Device ID. Not assigned by the virtio standard: 63 is the last modern ID. */
#define VIRTIO_ID_ECHO 63

/*
 * Feature bits
 *
 * VIRTIO_ECHO_F_ORDER: the device completes requests in the order that
 * config.order names. Offered when that order is not FIFO; a driver that does
 * not accept it gets FIFO. Never offered together with VIRTIO_F_IN_ORDER.
 */
#define VIRTIO_ECHO_F_ORDER 0

/* Values of config.order */
#define VIRTIO_ECHO_ORDER_FIFO   0 /* as they were made available */
#define VIRTIO_ECHO_ORDER_LIFO   1 /* each batch, last one first */
#define VIRTIO_ECHO_ORDER_RANDOM 2 /* each batch, shuffled */

/**
 * struct virtio_echo_config - device configuration space
 * @max_request: most bytes copied per request, little endian, in bytes;
 *               what a chain holds beyond that stays untouched
 * @num_queues: number of virtqueues, little endian, at least 1
 * @batch: most requests held before they complete, little endian, at least 1
 * @order: VIRTIO_ECHO_ORDER_*, how the requests of a batch complete if
 *         VIRTIO_ECHO_F_ORDER was negotiated
 * @reserved: zero
 *
 * Read-only for the driver, constant while the device exists.
 */
struct virtio_echo_config {
    uint32_t max_request;
    uint16_t num_queues;
    uint16_t batch;
    uint8_t order;
    uint8_t reserved[3];
};

#endif /* _LINUX_VIRTIO_ECHO_H */
