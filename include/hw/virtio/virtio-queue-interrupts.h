/*
 * What became of a queue's interrupts
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VIRTIO_VIRTIO_QUEUE_INTERRUPTS_H
#define HW_VIRTIO_VIRTIO_QUEUE_INTERRUPTS_H

#include "hw/virtio/virtio.h"

/**
 * VirtQueueInterrupts: counters of a queue
 * @sent: times that the driver was to be interrupted
 * @suppressed: times that it had said it need not be
 */
typedef struct VirtQueueInterrupts {
    uint64_t sent;
    uint64_t suppressed;
} VirtQueueInterrupts;

/**
 * virtio_queue_interrupts - read the counters
 *
 * Context: the queue's thread, or BQL held.
 *
 * Returns: false if the queue is not served by the ring engine, which counts.
 */
bool virtio_queue_interrupts(VirtQueue *vq, VirtQueueInterrupts *count);

#endif
