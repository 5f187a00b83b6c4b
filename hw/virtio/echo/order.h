/*
 * The order in which virtio-echo completes a batch
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VIRTIO_ECHO_ORDER_H
#define HW_VIRTIO_ECHO_ORDER_H

#include "hw/virtio/virtio-echo.h"

/**
 * echo_order_seed - start the shuffle of a queue over
 * @q: queue
 * @seed: any value; the same one gives the same sequence
 *
 * Context: whoever serves @q, or nobody does.
 */
void echo_order_seed(VirtIOEchoQueue *q, uint64_t seed);

/**
 * echo_order - bring the held requests into the order they complete in
 * @q: queue, whose held[] is reordered
 * @n: number of requests held, at least 1
 * @order: VIRTIO_ECHO_ORDER_*; fifo and unknown values leave all as it is
 *
 * Context: whoever serves @q.
 */
void echo_order(VirtIOEchoQueue *q, unsigned n, int order);

#endif
