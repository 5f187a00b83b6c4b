/*
 * virtio-signal: wire format
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Shared by the device, its tests, the guest driver and guest programs. The
 * text of the specification is docs/specs/virtio-signal.rst. All fields are
 * little endian; reserved fields are zero, and requests are refused otherwise.
 *
 * A device is a node with a number of targets, usually one per CPU. Queue 0
 * takes control commands, the next num_sendqs queues take requests to signal
 * targets, of this or of other nodes, and the rest are one event queue per
 * target: signalling target n means that the device uses a buffer of its event
 * queue. The driver steers that queue's interrupt to the CPU.
 */

#ifndef _LINUX_VIRTIO_SIGNAL_H
#define _LINUX_VIRTIO_SIGNAL_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
#endif

/* Device ID: "signal distribution module" in the virtio standard */
#define VIRTIO_ID_SIGNAL 21

/* Feature bits; those marked with * are reserved and not offered yet */
#define VIRTIO_SIGNAL_F_MASK      0 /* requests with a mask of targets */
#define VIRTIO_SIGNAL_F_REMOTE    1 /* there are, or may be, other nodes */
#define VIRTIO_SIGNAL_F_NMI       2 /* class NMI */
#define VIRTIO_SIGNAL_F_LIFECYCLE 3 /* classes BOOT, RESET, STOP and KILL */
#define VIRTIO_SIGNAL_F_ACK       4 /* * tell when an event was consumed */
#define VIRTIO_SIGNAL_F_POLL      5 /* targets may poll their event queue */
#define VIRTIO_SIGNAL_F_PIC       6 /* * class CHANNEL */
#define VIRTIO_SIGNAL_F_MQ_SEND   7 /* more than one send queue */

/* Node numbers 0 to VIRTIO_SIGNAL_NODE_MAX are machines. */
#define VIRTIO_SIGNAL_NODE_MAX  0xfffd
#define VIRTIO_SIGNAL_NODE_MGMT 0xfffe /* the host's management */
#define VIRTIO_SIGNAL_NODE_ALL  0xffff /* every node, the own one too */
/* In place of a target: the node as a whole, or no particular target */
#define VIRTIO_SIGNAL_TARGET_NODE 0xffff

/* Queue numbers; event queue n is SENDQ0 + num_sendqs + n */
#define VIRTIO_SIGNAL_CTRLQ 0
#define VIRTIO_SIGNAL_SENDQ0 1

#define VIRTIO_SIGNAL_MASK_WORDS_MAX 16

/* Classes: what a signal does at its destination */
#define VIRTIO_SIGNAL_CLASS_IRQ      0 /* interrupt, no payload, always merges */
#define VIRTIO_SIGNAL_CLASS_DOORBELL 1 /* interrupt with a payload */
#define VIRTIO_SIGNAL_CLASS_NMI      2 /* non-maskable interrupt, no event */
#define VIRTIO_SIGNAL_CLASS_BOOT     3 /* start a machine that is held */
#define VIRTIO_SIGNAL_CLASS_RESET    4 /* reset a machine */
#define VIRTIO_SIGNAL_CLASS_STOP     5 /* ask a machine to power down */
#define VIRTIO_SIGNAL_CLASS_KILL     6 /* end or pause a machine */
#define VIRTIO_SIGNAL_CLASS_PEER     7 /* from the device: a node changed */
#define VIRTIO_SIGNAL_CLASS_CHANNEL  8 /* reserved */
#define VIRTIO_SIGNAL_CLASS_OVERFLOW 9 /* from the device: events were lost */
#define VIRTIO_SIGNAL_CLASS_COUNT    10

/* Request flags */
#define VIRTIO_SIGNAL_FLAG_COALESCE 1 /* DOORBELL: may merge, last payload wins */

/* Which targets of the destination node */
#define VIRTIO_SIGNAL_MODE_UNICAST      0 /* target */
#define VIRTIO_SIGNAL_MODE_MASK         1 /* target + the bits of mask[] */
#define VIRTIO_SIGNAL_MODE_ALL          2 /* all that have a queue */
#define VIRTIO_SIGNAL_MODE_ALL_BUT_SELF 3 /* ALL without (own node, src_target) */

/* Status of a request; the reply tells it whatever the request was */
#define VIRTIO_SIGNAL_S_OK        0
#define VIRTIO_SIGNAL_S_PARTIAL   1  /* some targets, see the counts */
#define VIRTIO_SIGNAL_S_INVAL     2  /* malformed or not negotiated */
#define VIRTIO_SIGNAL_S_NO_TARGET 3  /* no such target, or without a queue */
#define VIRTIO_SIGNAL_S_NO_PEER   4  /* no such node */
#define VIRTIO_SIGNAL_S_PERM      5  /* sender or receiver forbids it */
#define VIRTIO_SIGNAL_S_UNSUPP    6  /* not for this destination */
#define VIRTIO_SIGNAL_S_BUSY      7  /* no room; send again later */
#define VIRTIO_SIGNAL_S_PEER_DOWN 8  /* node not connected, or no driver */
#define VIRTIO_SIGNAL_S_AGAIN     9  /* interrupted: it may have been done */
#define VIRTIO_SIGNAL_S_STATE     10 /* not in the machine's present state */
#define VIRTIO_SIGNAL_S_COUNT     11

/* Control commands */
#define VIRTIO_SIGNAL_CTRL_PEERS  0 /* list the nodes from @arg on */
#define VIRTIO_SIGNAL_CTRL_ACCEPT 1 /* target @arg takes classes @value */
#define VIRTIO_SIGNAL_CTRL_POLL   2 /* target @arg polls for @value ns */

/* States of a node, in struct virtio_signal_peer and in PEER events */
#define VIRTIO_SIGNAL_PEER_DOWN  0 /* not connected */
#define VIRTIO_SIGNAL_PEER_UP    1 /* connected; no driver runs there */
#define VIRTIO_SIGNAL_PEER_READY 2 /* takes signals */

/**
 * struct virtio_signal_config - device configuration space
 * @node_id: number of this node
 * @max_nodes: number of nodes that may ever appear, this one included
 * @num_targets: number of event queues
 * @num_sendqs: number of send queues, at least 1
 * @backlog: events the device keeps for a target while its event queue has no
 *           buffer, at least 1
 * @max_mask_words: most 64-bit words of struct virtio_signal_req.mask, 0
 *                  without VIRTIO_SIGNAL_F_MASK
 * @send_classes: bit n: the driver may send class n
 * @recv_classes: bit n: events of class n may appear
 * @poll_ns_max: longest that a target may poll, in ns, 0 for not at all;
 *               always 0 without VIRTIO_SIGNAL_F_POLL
 * @num_channels: reserved for VIRTIO_SIGNAL_F_PIC
 * @reserved16: zero
 * @reserved32: zero
 *
 * Read-only for the driver, and constant but for @poll_ns_max, whose change is
 * told by a configuration change notification.
 */
struct virtio_signal_config {
    uint16_t node_id;
    uint16_t max_nodes;
    uint16_t num_targets;
    uint16_t num_sendqs;
    uint16_t backlog;
    uint16_t max_mask_words;
    uint32_t send_classes;
    uint32_t recv_classes;
    uint32_t poll_ns_max;
    uint16_t num_channels;
    uint16_t reserved16;
    uint32_t reserved32;
};

/**
 * struct virtio_signal_req - readable part of a buffer of a send queue
 * @class_id: VIRTIO_SIGNAL_CLASS_*
 * @flags: VIRTIO_SIGNAL_FLAG_*
 * @dst_node: destination node, or VIRTIO_SIGNAL_NODE_ALL
 * @mode: VIRTIO_SIGNAL_MODE_*
 * @target: UNICAST: the target, or VIRTIO_SIGNAL_TARGET_NODE for the node
 *          (then any one target); MASK: target of bit 0; else 0
 * @mask_words: number of words in @mask for MASK; else 0
 * @signal: number that sender and receiver agree on
 * @src_target: sending CPU, or VIRTIO_SIGNAL_TARGET_NODE; advisory
 * @payload: for DOORBELL; else 0
 * @mask: bit b of word w: target @target + 64 * w + b
 *
 * The writable part holds struct virtio_signal_reply.
 */
struct virtio_signal_req {
    uint16_t class_id;
    uint16_t flags;
    uint16_t dst_node;
    uint16_t mode;
    uint16_t target;
    uint16_t mask_words;
    uint16_t signal;
    uint16_t src_target;
    uint64_t payload[2];
    uint64_t mask[];
};

/**
 * struct virtio_signal_reply - writable part of a buffer of a send queue
 * @status: VIRTIO_SIGNAL_S_*; the first reason if nothing was delivered
 * @reserved: zero
 * @delivered: targets with a new event; for a node-level class, machines
 * @coalesced: targets whose waiting event now counts one more
 * @refused: targets that were not reached
 */
struct virtio_signal_reply {
    uint16_t status;
    uint16_t reserved;
    uint32_t delivered;
    uint32_t coalesced;
    uint32_t refused;
};

/**
 * struct virtio_signal_event - what the device writes to an event queue
 * @class_id: VIRTIO_SIGNAL_CLASS_*
 * @signal: the sender's number; PEER: VIRTIO_SIGNAL_PEER_*; OVERFLOW: 0
 * @src_node: the node that sent it, told by the device, not by the sender;
 *            PEER: the node that changed; OVERFLOW: the own node
 * @src_target: as the sender gave it
 * @count: signals in this event, saturating; OVERFLOW: events lost
 * @seq: number of the event among those of its target, lost ones included
 * @payload: as the sender gave it; PEER: number of targets, and a number that
 *           another one takes the place of when the machine's QEMU is another
 */
struct virtio_signal_event {
    uint16_t class_id;
    uint16_t signal;
    uint16_t src_node;
    uint16_t src_target;
    uint32_t count;
    uint32_t seq;
    uint64_t payload[2];
};

/**
 * struct virtio_signal_ctrl - readable part of a buffer of the control queue
 * @command: VIRTIO_SIGNAL_CTRL_*
 * @arg: PEERS: lowest node number to tell; ACCEPT, POLL: target
 * @value: ACCEPT: bit n: take class n; POLL: ns, 0 for no more; PEERS: 0
 */
struct virtio_signal_ctrl {
    uint16_t command;
    uint16_t arg;
    uint32_t value;
};

/**
 * struct virtio_signal_peer - a node other than the own one
 * @node: its number
 * @state: VIRTIO_SIGNAL_PEER_*
 * @num_targets: number of its targets, 0 while it is not connected
 * @reserved16: zero
 * @accepts: bit n: it takes class n from this node
 * @reserved32: zero
 */
struct virtio_signal_peer {
    uint16_t node;
    uint16_t state;
    uint16_t num_targets;
    uint16_t reserved16;
    uint32_t accepts;
    uint32_t reserved32;
};

/**
 * struct virtio_signal_ctrl_reply - writable part of a control buffer
 * @status: OK, INVAL, NO_TARGET, PERM or UNSUPP of VIRTIO_SIGNAL_S_*
 * @count: PEERS: entries of @peers written; else 0
 * @more: PEERS: nodes beyond those, for which there was no room
 * @peers: by rising node number, as many as the buffer holds
 */
struct virtio_signal_ctrl_reply {
    uint16_t status;
    uint16_t count;
    uint32_t more;
    struct virtio_signal_peer peers[];
};

/*
 * Between two QEMUs: frames on a byte stream. A frame is this header and
 * @length bytes. See docs/specs/virtio-signal.rst, "Links".
 */
#define VIRTIO_SIGNAL_LINK_MAGIC    0x4b4e4c53 /* "SLNK" */
#define VIRTIO_SIGNAL_LINK_VERSION  1
#define VIRTIO_SIGNAL_LINK_BODY_MAX 4080
#define VIRTIO_SIGNAL_LINK_CREDITS_MAX 1024

#define VIRTIO_SIGNAL_LINK_HELLO   1 /* first frame of each side */
#define VIRTIO_SIGNAL_LINK_SIGNAL  2 /* link_call + virtio_signal_req */
#define VIRTIO_SIGNAL_LINK_STATUS  3 /* link_call + virtio_signal_reply */
#define VIRTIO_SIGNAL_LINK_TARGETS 4 /* link_targets: the state changed */
#define VIRTIO_SIGNAL_LINK_PING    5 /* 8 bytes; takes a credit */
#define VIRTIO_SIGNAL_LINK_PONG    6 /* the same 8 bytes; gives it back */
#define VIRTIO_SIGNAL_LINK_BYE     7 /* a text; the connection ends */

/**
 * struct virtio_signal_link_frame - header of a frame
 * @magic: VIRTIO_SIGNAL_LINK_MAGIC
 * @version: HELLO: the highest one known; else the one in use
 * @type: VIRTIO_SIGNAL_LINK_*
 * @length: bytes after the header, at most VIRTIO_SIGNAL_LINK_BODY_MAX
 * @seq: number of the frame in its direction, from 0
 */
struct virtio_signal_link_frame {
    uint32_t magic;
    uint16_t version;
    uint16_t type;
    uint32_t length;
    uint32_t seq;
};

/**
 * struct virtio_signal_link_hello - body of HELLO
 * @version_min: lowest version known
 * @version_max: highest version known
 * @node: the sender's node
 * @peer_node: the node it expects at the other end
 * @accepts: bit n: it takes class n
 * @credits: requests it allows to be outstanding, 1 to 1024
 * @num_targets: number of its targets
 * @state: VIRTIO_SIGNAL_PEER_UP or VIRTIO_SIGNAL_PEER_READY
 * @nonce: random, one per QEMU
 */
struct virtio_signal_link_hello {
    uint16_t version_min;
    uint16_t version_max;
    uint16_t node;
    uint16_t peer_node;
    uint32_t accepts;
    uint32_t credits;
    uint16_t num_targets;
    uint16_t state;
    uint32_t reserved;
    uint64_t nonce;
};

/**
 * struct virtio_signal_link_call - start of the body of SIGNAL and STATUS
 * @id: chosen by the sender of SIGNAL, repeated in its STATUS
 * @reserved: zero
 */
struct virtio_signal_link_call {
    uint32_t id;
    uint32_t reserved;
};

/**
 * struct virtio_signal_link_targets - body of TARGETS
 * @num_targets: number of the sender's targets
 * @state: VIRTIO_SIGNAL_PEER_UP or VIRTIO_SIGNAL_PEER_READY
 * @reserved: zero
 */
struct virtio_signal_link_targets {
    uint16_t num_targets;
    uint16_t state;
    uint32_t reserved;
};

#endif /* _LINUX_VIRTIO_SIGNAL_H */
