/*
 * Serving the queues of a virtio device from an IOThread
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A device embeds a VirtIODataplane, calls virtio_dataplane_init() in realize
 * and forwards four of its VirtioDeviceClass callbacks:
 *
 *   start_ioeventfd -> virtio_dataplane_start()
 *   stop_ioeventfd  -> virtio_dataplane_stop()
 *   queue_reset     -> virtio_dataplane_queue_stop()
 *   queue_enable    -> virtio_dataplane_queue_start()
 *
 * From start to stop the queues' handlers run in the IOThread, without the
 * BQL; at all other times they run under the BQL. The two never overlap: stop
 * returns once the IOThread has left the last handler. Reset, unplug, VM stop
 * and migration all go through stop first, so a device whose handlers finish
 * what they pop needs no draining of its own.
 */

#ifndef HW_VIRTIO_VIRTIO_DATAPLANE_H
#define HW_VIRTIO_VIRTIO_DATAPLANE_H

#include "hw/virtio/virtio.h"
#include "system/iothread.h"

typedef struct VirtIODataplane {
    VirtIODevice *vdev;
    IOThread *iothread;     /* referenced; NULL: never started */
    unsigned num_queues;    /* queues 0 to num_queues - 1 are served */
    bool started;           /* written under the BQL */
} VirtIODataplane;

/**
 * virtio_dataplane_init - bind a device to an IOThread
 * @dp: zeroed memory owned by the device
 * @vdev: the device, its queues added or about to be
 * @num_queues: number of queues to serve, the first ones of the device
 * @iothread: where to serve them; NULL leaves @dp inert. A reference is taken.
 * @errp: error, with a hint, when the transport cannot do it
 *
 * Context: BQL held, from realize.
 *
 * Returns: false with @errp set on failure; nothing to clean up then.
 */
bool virtio_dataplane_init(VirtIODataplane *dp, VirtIODevice *vdev,
                           unsigned num_queues, IOThread *iothread,
                           Error **errp);

/**
 * virtio_dataplane_cleanup - undo virtio_dataplane_init()
 * @dp: stopped dataplane; one that was never initialised is fine
 *
 * Context: BQL held, from unrealize.
 */
void virtio_dataplane_cleanup(VirtIODataplane *dp);

/**
 * virtio_dataplane_start - move the queues to the IOThread
 * @dp: initialised with an IOThread
 *
 * Every queue is kicked once, so requests that are already there are served.
 *
 * Context: BQL held, main loop thread.
 *
 * Returns: 0, or a negative errno after which the queues are still served
 * under the BQL.
 */
int virtio_dataplane_start(VirtIODataplane *dp);

/**
 * virtio_dataplane_stop - move the queues back under the BQL
 * @dp: the dataplane; no effect unless started
 *
 * Kicks that the IOThread did not get to are handled before this returns.
 *
 * Context: BQL held.
 */
void virtio_dataplane_stop(VirtIODataplane *dp);

/**
 * virtio_dataplane_queue_stop - take one queue away from the IOThread
 * @dp: the dataplane; no effect unless started
 * @n: queue index below num_queues, others have no effect
 *
 * For VIRTIO_F_RING_RESET (virtio 1.2, 2.6.1): when this returns the IOThread
 * does not touch the queue any more and its state may be cleared.
 *
 * Context: BQL held.
 */
void virtio_dataplane_queue_stop(VirtIODataplane *dp, unsigned n);

/**
 * virtio_dataplane_queue_start - give one queue back to the IOThread
 * @dp: the dataplane; no effect unless started
 * @n: queue index below num_queues, others have no effect
 *
 * Context: BQL held.
 */
void virtio_dataplane_queue_start(VirtIODataplane *dp, unsigned n);

/**
 * virtio_dataplane_notify - tell the driver about used buffers
 * @dp: the dataplane
 * @vq: queue of the device
 *
 * Raises the interrupt in the way that is safe where the handler runs now.
 *
 * Context: the queue's handler.
 */
void virtio_dataplane_notify(VirtIODataplane *dp, VirtQueue *vq);

/**
 * virtio_dataplane_again - have the queue's handler called once more
 * @dp: the dataplane
 * @vq: queue of the device
 *
 * For a handler that gives way before its queue is empty.
 *
 * Context: the queue's handler.
 *
 * Returns: false when the dataplane is not started; the device must then use
 * a bottom half of its own.
 */
bool virtio_dataplane_again(VirtIODataplane *dp, VirtQueue *vq);

#endif
