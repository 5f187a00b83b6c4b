/*
 * virtio-signal: a link to a peer QEMU
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A signal-link joins one device of this machine and one of a peer over a
 * chardev. Each side begins with HELLO; then requests and their replies go both
 * ways. A side may have as many requests outstanding as the other's HELLO
 * gives it credits, so what either has to keep is bounded: requests are
 * answered as they are read, and a peer that sends more than its credits while
 * it does not read its replies has broken the protocol. So has one that sends
 * anything malformed: the connection is closed, the chardev may open another.
 *
 * Everything runs in the main loop with the BQL held.
 */

#ifndef HW_VIRTIO_SIGNAL_LINK_H
#define HW_VIRTIO_SIGNAL_LINK_H

#include "chardev/char-fe.h"
#include "qapi/qapi-types-signal.h"
#include "system/runstate.h"
#include "bucket.h"
#include "bus.h"

#define TYPE_SIGNAL_LINK "signal-link"
OBJECT_DECLARE_SIMPLE_TYPE(SignalLink, SIGNAL_LINK)

#define SIGNAL_FRAME_MAX (sizeof(struct virtio_signal_link_frame) + \
                          VIRTIO_SIGNAL_LINK_BODY_MAX)

#define SIGNAL_PING_MS_DEFAULT 10000

typedef enum SignalLinkState {
    SIGNAL_LINK_CLOSED,
    SIGNAL_LINK_HELD,       /* connected, nothing is said or heard yet */
    SIGNAL_LINK_HELLO,      /* connected, the peer has not said HELLO */
    SIGNAL_LINK_UP,
    SIGNAL_LINK_FAILED,     /* about to be closed by us */
} SignalLinkState;

/* A request that the peer has not answered */
typedef struct SignalSlot {
    bool used;
    SignalCall *call;       /* NULL when nobody waits for the answer any more */
    uint32_t targets;       /* that the request can reach at most */
} SignalSlot;

struct SignalLink {
    Object parent_obj;

    /* what the user sets; constant once complete */
    SignalBus *bus;
    char *chardev_id;
    char *id;
    uint16_t local_node, peer_node;
    bool has_local_node, has_peer_node;
    uint32_t accept;        /* classes, bit by bit */
    uint16_t credits;       /* we give */
    SignalKillAction kill_action;
    uint32_t ping_ms;       /* 0: the peer is not asked */
    bool complete;
    SignalBucket bucket;    /* of what the peer sends */
    SignalBucket refusals;  /* that the monitor is told of */
    SignalBucket actions;   /* likewise, of what was done */
    SignalBucket changes;   /* of the peer that are told at once */

    SignalPort port;        /* the peer, on our bus */
    CharBackend chr;
    QEMUBH *close_bh;
    VMChangeStateEntry *vmstate;
    QEMUTimer *timer;       /* of link-alive.c */
    QEMUTimer *tell_timer;  /* runs while a change is not told yet */
    int64_t hold_until;     /* ns: before that no connection is talked to */
    unsigned failures;      /* connections in a row that had to be closed */
    bool paused;            /* the VM stands because the peer killed it */

    /* the connection */
    SignalLinkState state;
    uint8_t in[SIGNAL_FRAME_MAX];
    size_t in_len;
    uint32_t in_seq, out_seq;
    GByteArray *out;        /* frames not yet written */
    uint64_t out_total;     /* bytes ever put into @out */
    guint out_watch;
    uint64_t *reply_end;    /* ring of @credits: @out_total after each reply */
    unsigned reply_first, reply_count;
    bool targets_news;      /* TARGETS is to be sent when @out is empty */
    unsigned peer_credits;
    int64_t tick_at;        /* ns: when the timer is to fire */
    bool heard;             /* anything came in this interval */
    bool asked;             /* and none did in the one before */
    int ping_slot;          /* of the PING that waits, or -1 */
    int64_t ping_sent;      /* ns */
    SignalSlot slots[VIRTIO_SIGNAL_LINK_CREDITS_MAX];
};

/* link.c: the protocol */

/** signal_link_opened - the chardev has connected */
void signal_link_opened(SignalLink *l);

/** signal_link_closed - the chardev has lost its connection */
void signal_link_closed(SignalLink *l);

/**
 * signal_link_frame - handle a frame
 * @type: VIRTIO_SIGNAL_LINK_*, not checked
 * @body: @len bytes, at most VIRTIO_SIGNAL_LINK_BODY_MAX
 */
void signal_link_frame(SignalLink *l, uint16_t type, const uint8_t *body,
                       size_t len);

/** signal_link_slot - a number for a request that is not in use, or -1 */
int signal_link_slot(SignalLink *l);

/** signal_link_send_targets - tell the peer of our device if there is news */
void signal_link_send_targets(SignalLink *l);

/** signal_link_port_ops - what makes a link a port on its bus */
extern const SignalPortOps signal_link_port_ops;

/* link-frame.c: frames on a byte stream */

/** signal_link_can_read - chardev callback: as much as a frame can have */
int signal_link_can_read(void *opaque);

/** signal_link_read - chardev callback: bytes of a frame */
void signal_link_read(void *opaque, const uint8_t *buf, int size);

/** signal_link_send - queue a frame and write as much as can be written */
void signal_link_send(SignalLink *l, uint16_t type, const void *body,
                      size_t len);

/** signal_link_may_reply - whether the peer has a credit for a request */
bool signal_link_may_reply(SignalLink *l);

/** signal_link_reply - send a frame that gives the peer a credit back */
void signal_link_reply(SignalLink *l, uint16_t type, const void *body,
                       size_t len);

/** signal_link_clear - forget all that belongs to a connection's bytes */
void signal_link_clear(SignalLink *l);

/**
 * signal_link_end - close the connection, soon, as one that failed
 * @error: why, taken over
 *
 * The caller may be called by the chardev.
 */
void signal_link_end(SignalLink *l, char *error);

/** signal_link_fail - the peer broke the protocol: say why, close */
void signal_link_fail(SignalLink *l, const char *fmt, ...)
    G_GNUC_PRINTF(2, 3);

/* link-alive.c: whether the peer is there, when to talk to it again */

/** signal_link_alive_open - a connection: signal_link_opened() now or later */
void signal_link_alive_open(SignalLink *l);

/** signal_link_alive_up - HELLO has come */
void signal_link_alive_up(SignalLink *l);

/** signal_link_alive_closed - there is no connection any more */
void signal_link_alive_closed(SignalLink *l);

/** signal_link_alive_failed - the next connection has to wait */
void signal_link_alive_failed(SignalLink *l);

/** signal_link_alive_tick - callback of the link's timer */
void signal_link_alive_tick(void *opaque);

/**
 * signal_link_tell - tell the bus that the peer has changed, now or soon
 *
 * A peer may change as often as it likes; its news may not.
 */
void signal_link_tell(SignalLink *l);

/** signal_link_tell_tick - callback of @tell_timer */
void signal_link_tell_tick(void *opaque);

/** signal_link_pong - the answer to a PING: @len bytes, not checked */
void signal_link_pong(SignalLink *l, const uint8_t *body, size_t len);

#endif
