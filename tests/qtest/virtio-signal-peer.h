/*
 * The other end of a signal-link, as a test speaks it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QTEST_VIRTIO_SIGNAL_PEER_H
#define QTEST_VIRTIO_SIGNAL_PEER_H

#include "virtio-signal-util.h"

#define PEER_LOCAL_NODE 0   /* the device's */
#define PEER_NODE 1         /* ours */
#define PEER_TARGETS 2
#define PEER_CREDITS 4      /* that we give */
#define LINK_CREDITS 3      /* that the link gives */

/** SigPeer: a connection */
typedef struct SigPeer {
    int fd;
    uint32_t in_seq, out_seq;
} SigPeer;

/** SigFrame: a frame that was read; fields in host order */
typedef struct SigFrame {
    uint16_t type;
    uint32_t length;
    uint8_t body[VIRTIO_SIGNAL_LINK_BODY_MAX + 1];
} SigFrame;

/** A hook for QOSGraphTestOptions.before: a listening socket, and a link */
void *sig_peer_before(GString *cmd_line, void *arg);

/** The command line of the QEMU with the link, to be freed */
char *sig_peer_command_line(void);

/** Connect to the socket of sig_peer_before() */
SigPeer sig_peer_connect(void);

/** The reason of the last end, and, unless negative, how many broke rules */
void sig_peer_expect_error(SigTest *t, const char *error, int bad_frames);

/** Let the time pass for which a link keeps a peer waiting that broke rules */
void sig_peer_forgiven(SigTest *t);

void sig_peer_close(SigPeer *p);

/** Write bytes; the device may close before all are written */
void sig_peer_write(SigPeer *p, const void *data, size_t len);

/** Write a frame */
void sig_peer_send(SigPeer *p, uint16_t type, const void *body, size_t len);

/** Read a frame; false at the end of the connection */
bool sig_peer_read(SigPeer *p, SigFrame *f);

/** Read frames until one of @type; it must come */
void sig_peer_expect(SigPeer *p, uint16_t type, SigFrame *f);

/** Read frames until the connection ends, which it must */
void sig_peer_expect_end(SigPeer *p);

/** The HELLO of a good peer */
struct virtio_signal_link_hello sig_peer_hello(void);

/** Connect, and say HELLO in @state */
SigPeer sig_peer_start(uint16_t state);

/** Send a request to the device's node; wait for and return its status */
uint16_t sig_peer_signal(SigPeer *p, uint32_t id,
                         const struct virtio_signal_req *req);

/** The monitor's view of the peer; caller unrefs */
QDict *sig_peer_query(SigTest *t);

/** Wait until the monitor sees the peer in @state */
void sig_peer_expect_state(SigTest *t, const char *state);

#endif
