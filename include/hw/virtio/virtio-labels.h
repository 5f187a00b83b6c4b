/*
 * Batch labels, for devices
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VIRTIO_LABELS_H
#define HW_VIRTIO_LABELS_H

#include "hw/virtio/virtio.h"

/**
 * virtio_queue_reads_on - the device works this queue without being waited for
 * @vq: queue, just added
 *
 * Promises that whenever the device has taken a buffer and another one is
 * available, it takes and returns that one as well without a kick, and without
 * waiting for anything but itself: for no packet, no user, no other queue. Then
 * an interrupt may wait for the last buffer of what the driver has labelled as
 * a batch. A stop of the VM or of the device may come in between; after it the
 * device looks at the queue once more.
 *
 * Context: BQL held, realize.
 */
void virtio_queue_reads_on(VirtQueue *vq);

/**
 * virtio_labels_accept - the driver has accepted labels, or taken that back
 * @labels: VIRTIO_LABELS_* of those offered
 *
 * Context: BQL held, between FEATURES_OK and DRIVER_OK.
 */
void virtio_labels_accept(VirtIODevice *vdev, uint32_t labels);

#endif
