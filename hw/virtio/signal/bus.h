/*
 * virtio-signal: the bus that joins nodes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A signal-bus is a list of ports. A port stands for one node: a device of this
 * machine, seen by everybody on the bus, or a peer behind a signal-link, seen
 * by the one device that the link is for. Nothing is forwarded: a request goes
 * from a device to a port, and from a link to the link's device.
 *
 * Everything here runs in the main loop with the BQL held.
 */

#ifndef HW_VIRTIO_SIGNAL_BUS_H
#define HW_VIRTIO_SIGNAL_BUS_H

#include "qemu/queue.h"
#include "qom/object.h"
#include "wire.h"

#define TYPE_SIGNAL_BUS "signal-bus"
OBJECT_DECLARE_SIMPLE_TYPE(SignalBus, SIGNAL_BUS)

/* Most nodes on a bus; config.max_nodes */
#define SIGNAL_BUS_NODES_MAX 1024

typedef struct SignalPort SignalPort;
typedef struct SignalCall SignalCall;

/** SignalPortOps: what a kind of port does */
typedef struct SignalPortOps {
    /**
     * submit - take a request
     * @src_node: where it comes from, verified
     * @call: whom to tell of the end, with signal_call_done(); NULL when the
     *        caller knows that the port is a device
     * @res: zero; holds the result if the request is done at once
     *
     * Returns: whether the request is done; a device's port always is.
     */
    bool (*submit)(SignalPort *port, uint16_t src_node, const SignalMsg *msg,
                   SignalCall *call, SignalResult *res);
    /** cancel - forget a call that is not done yet; optional */
    void (*cancel)(SignalPort *port, SignalCall *call);
    /** changed - @other, which this port's node can see, has changed */
    void (*changed)(SignalPort *port, const SignalPort *other);
} SignalPortOps;

/** SignalPort: one node; embedded in its device or link */
struct SignalPort {
    const SignalPortOps *ops;
    void *owner;            /* the device or link */
    SignalBus *bus;         /* while registered */
    const char *link;       /* ID of the link, NULL for a device */
    uint16_t node;
    uint16_t seen_by;       /* the one node that sees it, or NODE_ALL */
    uint16_t state;         /* VIRTIO_SIGNAL_PEER_* */
    uint16_t num_targets;   /* 0 while not known */
    uint32_t accepts;       /* classes it takes, bit by bit */
    uint64_t nonce;         /* of the QEMU the node is in */
    uint64_t told;          /* the last news that it has heard; bus.c */
    /* for the monitor; of links */
    uint32_t outstanding;
    uint64_t bad_frames, denied;
    const uint64_t *limited;
    int64_t ping_ns;        /* what the last PING took; 0: there was none */
    char *error;
    QTAILQ_ENTRY(SignalPort) next;
};

/**
 * signal_bus_add - put a port on a bus
 * @bus: referenced by the caller as long as the port is registered
 *
 * Returns: false with an error if its node is on the bus already.
 */
bool signal_bus_add(SignalBus *bus, SignalPort *port, Error **errp);

/** signal_bus_remove - take a port off; others see it go down */
void signal_bus_remove(SignalPort *port);

/**
 * signal_bus_changed - tell those who see @port that its fields changed
 *
 * Not at once: telling can interrupt a driver, whose interrupt can do anything,
 * also to the device that the caller is about. What changes again before it
 * is told is told once.
 */
void signal_bus_changed(SignalPort *port);

/** signal_bus_find - the port of @node as @from sees it, or NULL */
SignalPort *signal_bus_find(SignalBus *bus, uint16_t from, uint16_t node);

/** SignalWalk: how far signal_bus_next() has come; start with { } */
typedef struct SignalWalk {
    SignalPort *port;       /* the last one */
    uint64_t members;       /* of the bus then */
    uint16_t node;          /* its number, as it may be gone */
} SignalWalk;

/**
 * signal_bus_next - ports that @from sees, without its own
 * @walk: where the walk is; ports may come and go between two calls
 *
 * Returns: the next one in the order of node numbers, or NULL.
 */
SignalPort *signal_bus_next(SignalBus *bus, uint16_t from, SignalWalk *walk);

/** signal_bus_cancel - make all ports forget @call */
void signal_bus_cancel(SignalBus *bus, SignalCall *call);

/** signal_bus_nonce - the number that stands for this QEMU */
uint64_t signal_bus_nonce(void);

/**
 * signal_call_done - a part of a request that took its time is done
 * @call: forgotten by the caller; it may be freed
 */
void signal_call_done(SignalCall *call, const SignalResult *part);

#endif
