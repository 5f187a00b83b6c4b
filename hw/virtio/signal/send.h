/*
 * virtio-signal: send queues
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * All functions run in the main loop with the BQL held.
 */

#ifndef HW_VIRTIO_SIGNAL_SEND_H
#define HW_VIRTIO_SIGNAL_SEND_H

#include "hw/virtio/virtio-signal.h"
#include "bus.h"

/** SignalCall: a request that waits for answers of peers */
struct SignalCall {
    VirtIOSignal *dev;
    VirtQueue *vq;
    VirtQueueElement *elem; /* NULL once dropped */
    uint16_t class_id;
    unsigned waiting;       /* ports that have not answered yet */
    bool active;            /* on the stack, and counted in @waiting */
    SignalResult result;    /* of those that have */
    QTAILQ_ENTRY(SignalCall) next;
};

/** signal_send_serve - take requests from all send queues, for a while */
void signal_send_serve(VirtIOSignal *s);

/**
 * signal_send_finish - answer all waiting requests with AGAIN
 *
 * For a VM that stops: nothing may be left that a migration would lose.
 */
void signal_send_finish(VirtIOSignal *s);

/**
 * signal_send_drop - forget the waiting requests, without an answer
 * @vq: only those of this queue, which is being reset; NULL for all
 */
void signal_send_drop(VirtIOSignal *s, VirtQueue *vq);

#endif
