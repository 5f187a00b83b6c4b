/*
 * virtio-signal: events on their way to a target
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An event is put at the end of its target's backlog, or merged into one that
 * waits there, and the backlog is written to the event queue as far as the
 * driver has given buffers. While the VM is stopped nothing is written.
 *
 * All functions run in the main loop with the BQL held.
 */

#ifndef HW_VIRTIO_SIGNAL_DELIVER_H
#define HW_VIRTIO_SIGNAL_DELIVER_H

#include "hw/virtio/virtio-signal.h"
#include "wire.h"

/** SignalEvent: an event without its sequence number */
typedef struct SignalEvent {
    uint16_t class_id;
    uint16_t signal;
    uint16_t src_node;
    uint16_t src_target;
    bool coalesce;          /* another one may be merged into it */
    uint32_t count;
    uint64_t payload[2];
} SignalEvent;

/** SignalTarget: what the device knows of one event queue */
struct SignalTarget {
    VirtIOSignal *dev;
    VirtIODevice *vdev;     /* the same, without a checked cast per event */
    VirtQueue *vq;
    uint32_t seq;           /* of the next event that is written */
    uint32_t lost;          /* PEER events to tell of by OVERFLOW */
    uint16_t ahead;         /* events that come before the OVERFLOW */
    uint32_t accept;        /* classes the driver takes, bit by bit */
    uint32_t poll_ns;       /* how long its CPU polls; 0: it does not */
    uint16_t first, count;  /* the part of the ring @backlog in use */
    uint16_t depth;         /* conf.backlog, for migration's sake */
    SignalEvent *backlog;   /* @depth entries */
};

/**
 * signal_work - what delivery has cost since QEMU started, of all devices, in
 * looks at an event that waits
 */
extern uint64_t signal_work;

/** signal_target_init - make target @n of @dev, with @vq as its queue */
void signal_target_init(SignalTarget *t, VirtIOSignal *dev, VirtQueue *vq);

/** signal_target_cleanup - free what signal_target_init() allocated */
void signal_target_cleanup(SignalTarget *t);

/** signal_target_reset - as after device reset: no events, sequence 0 */
void signal_target_reset(SignalTarget *t);

/** signal_target_started - whether the driver has given it a queue */
bool signal_target_started(const SignalTarget *t);

/** signal_target_flush - write what waits to the buffers there are */
void signal_target_flush(SignalTarget *t);

/** signal_target_loaded - whether migrated state makes sense */
bool signal_target_loaded(const SignalTarget *t);

/**
 * signal_deliver - signal targets of this device
 * @src_node: node that the request comes from, verified
 * @msg: of class IRQ, DOORBELL or NMI
 * @res: targets are added to its counts
 */
void signal_deliver(VirtIOSignal *s, uint16_t src_node, const SignalMsg *msg,
                    SignalResult *res);

/**
 * signal_deliver_peer - tell the driver that @peer has changed
 *
 * The event goes to the lowest target that has a queue. News of one node merge
 * into the newest. If there is no room, the target gets an OVERFLOW event.
 */
void signal_deliver_peer(VirtIOSignal *s, const SignalPort *peer);

#endif
