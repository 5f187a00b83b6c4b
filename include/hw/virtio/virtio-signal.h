/*
 * virtio-signal: interrupts and signals to CPUs and between machines
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VIRTIO_VIRTIO_SIGNAL_H
#define HW_VIRTIO_VIRTIO_SIGNAL_H

#include "hw/virtio/virtio.h"
#include "qom/object.h"
#include "standard-headers/linux/virtio_signal.h"

#define TYPE_VIRTIO_SIGNAL "virtio-signal-device"
OBJECT_DECLARE_SIMPLE_TYPE(VirtIOSignal, VIRTIO_SIGNAL)

typedef struct SignalTarget SignalTarget;
typedef struct SignalCall SignalCall;
typedef struct SignalPort SignalPort;
typedef struct SignalBus SignalBus;

/* What @burst can be */
#define SIGNAL_BURST_MAX 1000000
#define SIGNAL_BURST_DEFAULT 64

/**
 * SignalBucket: a token bucket that is full at first
 * @rate: tokens that come in a second; 0 for no limit
 * @burst: tokens it holds, 1 to SIGNAL_BURST_MAX
 * @full_at: when it will be full, ns of the bucket's clock
 * @limited: requests that found no token
 *
 * The first two are set by the user. The clock is the host's: a machine that
 * stands can be sent BOOT. Under qtest it is the machine's, which tests step.
 */
typedef struct SignalBucket {
    uint32_t rate;
    uint32_t burst;
    int64_t full_at;
    uint64_t limited;
} SignalBucket;

/* What the user sets; constant once the device is realized */
typedef struct VirtIOSignalConf {
    uint16_t node;
    uint16_t targets;       /* 0 until realize: as many as CPUs may be */
    uint16_t sendqs;
    uint16_t backlog;       /* events per target */
    uint32_t send_classes;  /* bit n: the driver may send class n */
    bool poll;              /* offer VIRTIO_SIGNAL_F_POLL */
    SignalBus *bus;
} VirtIOSignalConf;

/* Counters of a class, from realize on; see qapi/virtio-signal.json */
typedef struct VirtIOSignalCount {
    uint64_t sent, refused, received, coalesced, dropped;
} VirtIOSignalCount;

struct VirtIOSignal {
    VirtIODevice parent_obj;

    VirtIOSignalConf conf;
    char *name;                 /* for trace events and messages */
    VirtQueue *ctrlq;
    VirtQueue **sendqs;         /* conf.sendqs entries */
    SignalTarget *targets;      /* conf.targets entries */
    unsigned targets_made;      /* what there is to free */
    QEMUBH *bh;                 /* goes on with a pass, and after a stop */
    bool busy;                  /* a pass over send queues is on the stack */
    unsigned next_sendq;        /* that the next pass begins with */
    QTAILQ_HEAD(, SignalCall) calls;    /* wait for peers */
    SignalPort *port;           /* this node on the bus */
    VirtIOSignalCount count[VIRTIO_SIGNAL_CLASS_COUNT];
    SignalBucket bucket;        /* of what the driver sends */
    uint64_t malformed, lost, yielded;
    uint32_t poll_ns_max;       /* may change at any time */
    bool poll_ns_max_set;       /* by the user */
    bool poll_news;             /* another host's limit may be another one */
    uint64_t poll_notified, poll_avoided;
};

/** virtio_signal_num_queues - queues of a device with @conf */
static inline unsigned virtio_signal_num_queues(const VirtIOSignalConf *conf)
{
    return VIRTIO_SIGNAL_SENDQ0 + conf->sendqs + conf->targets;
}

/** virtio_signal_set_targets - one target per CPU if none were asked for */
void virtio_signal_set_targets(VirtIOSignalConf *conf);

#endif
