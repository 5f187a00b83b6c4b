/*
 * virtio-signal: requests and results in host form
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a driver or a peer sends is copied once, checked here, and from then on
 * only used in the form of SignalMsg.
 */

#ifndef HW_VIRTIO_SIGNAL_WIRE_H
#define HW_VIRTIO_SIGNAL_WIRE_H

#include "qemu/iov.h"
#include "standard-headers/linux/virtio_signal.h"

#define SIGNAL_BIT(name) (1u << VIRTIO_SIGNAL_CLASS_##name)
/* Classes with an event at a target, for targets, that act on a machine */
#define SIGNAL_CLASSES_EVENT (SIGNAL_BIT(IRQ) | SIGNAL_BIT(DOORBELL))
#define SIGNAL_CLASSES_TARGET (SIGNAL_CLASSES_EVENT | SIGNAL_BIT(NMI))
#define SIGNAL_CLASSES_LIFECYCLE (SIGNAL_BIT(BOOT) | SIGNAL_BIT(RESET) | \
                                  SIGNAL_BIT(STOP) | SIGNAL_BIT(KILL))
#define SIGNAL_CLASSES_DEVICE (SIGNAL_BIT(PEER) | SIGNAL_BIT(OVERFLOW))

#define SIGNAL_MSG_MAX (sizeof(struct virtio_signal_req) + \
                        VIRTIO_SIGNAL_MASK_WORDS_MAX * sizeof(uint64_t))

/** SignalMsg: a checked request; fields as in struct virtio_signal_req */
typedef struct SignalMsg {
    uint16_t class_id;
    uint16_t flags;
    uint16_t dst_node;
    uint16_t mode;
    uint16_t target;
    uint16_t mask_words;
    uint16_t signal;
    uint16_t src_target;
    uint64_t payload[2];
    uint64_t mask[VIRTIO_SIGNAL_MASK_WORDS_MAX];
} SignalMsg;

/** SignalResult: what became of a request; the reply is made from it */
typedef struct SignalResult {
    uint16_t reason;        /* VIRTIO_SIGNAL_S_* of the first refusal, or OK */
    uint32_t delivered;
    uint32_t coalesced;
    uint32_t refused;
} SignalResult;

/**
 * signal_msg_parse - check a request and bring it into host form
 * @msg: filled in when the request is well formed
 * @data: private copy of the request, not memory the sender can still change
 * @len: bytes of @data
 *
 * Checks all that can be told without knowing the destination: lengths, known
 * modes and flags, fields that must be zero, an empty mask.
 *
 * Returns: whether the request is well formed.
 */
bool signal_msg_parse(SignalMsg *msg, const void *data, size_t len);

/**
 * signal_msg_encode - the wire form of a request
 * @buf: room for SIGNAL_MSG_MAX bytes
 *
 * Returns: bytes written.
 */
size_t signal_msg_encode(const SignalMsg *msg, void *buf);

/** signal_msg_is_lifecycle - whether the request acts on a machine */
static inline bool signal_msg_is_lifecycle(const SignalMsg *msg)
{
    return SIGNAL_CLASSES_LIFECYCLE & (1u << msg->class_id);
}

/** signal_result_refuse - count @n targets as refused because of @reason */
void signal_result_refuse(SignalResult *res, uint16_t reason, uint32_t n);

/** signal_result_add - add the result of a part of a request */
void signal_result_add(SignalResult *res, const SignalResult *part);

/** signal_result_encode - the reply to a request whose result is @res */
void signal_result_encode(const SignalResult *res,
                          struct virtio_signal_reply *reply);

/**
 * signal_result_parse - a reply that came from a peer
 *
 * Returns: false if no device of this version would send it.
 */
bool signal_result_parse(SignalResult *res,
                         const struct virtio_signal_reply *reply);

/** signal_status_name - the status in words, "ok"; NULL for an unknown one */
const char *signal_status_name(unsigned status);

/** signal_result_status - the status that the reply has */
uint16_t signal_result_status(const SignalResult *res);

/** signal_class_name - the class in words, "irq"; NULL for an unknown one */
const char *signal_class_name(unsigned class_id);

#endif
