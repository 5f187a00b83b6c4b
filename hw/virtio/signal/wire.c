/*
 * virtio-signal: requests and results in host form
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "wire.h"

QEMU_BUILD_BUG_ON(sizeof(struct virtio_signal_config) != 32);
QEMU_BUILD_BUG_ON(sizeof(struct virtio_signal_req) != 32);
QEMU_BUILD_BUG_ON(sizeof(struct virtio_signal_reply) != 16);
QEMU_BUILD_BUG_ON(sizeof(struct virtio_signal_event) != 32);
QEMU_BUILD_BUG_ON(sizeof(struct virtio_signal_ctrl) != 8);
QEMU_BUILD_BUG_ON(sizeof(struct virtio_signal_peer) != 16);
QEMU_BUILD_BUG_ON(sizeof(struct virtio_signal_link_frame) != 16);
QEMU_BUILD_BUG_ON(sizeof(struct virtio_signal_link_hello) != 32);

static bool msg_fields_ok(const SignalMsg *msg)
{
    bool doorbell = msg->class_id == VIRTIO_SIGNAL_CLASS_DOORBELL;

    if (msg->flags & ~(doorbell ? VIRTIO_SIGNAL_FLAG_COALESCE : 0)) {
        return false;
    }
    if (!doorbell && (msg->payload[0] || msg->payload[1])) {
        return false;
    }
    if (signal_msg_is_lifecycle(msg) &&
        (msg->mode != VIRTIO_SIGNAL_MODE_UNICAST ||
         msg->target != VIRTIO_SIGNAL_TARGET_NODE)) {
        return false;
    }

    switch (msg->mode) {
    case VIRTIO_SIGNAL_MODE_UNICAST:
    case VIRTIO_SIGNAL_MODE_MASK:
        return true;
    case VIRTIO_SIGNAL_MODE_ALL_BUT_SELF:
        return !msg->target && msg->src_target != VIRTIO_SIGNAL_TARGET_NODE;
    case VIRTIO_SIGNAL_MODE_ALL:
        return !msg->target;
    default:
        return false;
    }
}

static bool msg_mask_ok(const SignalMsg *msg)
{
    uint64_t any = 0;

    if (msg->mode != VIRTIO_SIGNAL_MODE_MASK) {
        return !msg->mask_words;
    }
    for (unsigned i = 0; i < msg->mask_words; i++) {
        any |= msg->mask[i];
    }
    return any;
}

bool signal_msg_parse(SignalMsg *msg, const void *data, size_t len)
{
    const struct virtio_signal_req *req = data;
    size_t words;

    if (len < sizeof(*req)) {
        return false;
    }
    words = lduw_le_p(&req->mask_words);
    if (words > VIRTIO_SIGNAL_MASK_WORDS_MAX ||
        len != sizeof(*req) + words * sizeof(uint64_t)) {
        return false;
    }

    *msg = (SignalMsg) {
        .class_id = lduw_le_p(&req->class_id),
        .flags = lduw_le_p(&req->flags),
        .dst_node = lduw_le_p(&req->dst_node),
        .mode = lduw_le_p(&req->mode),
        .target = lduw_le_p(&req->target),
        .mask_words = words,
        .signal = lduw_le_p(&req->signal),
        .src_target = lduw_le_p(&req->src_target),
        .payload = { ldq_le_p(&req->payload[0]), ldq_le_p(&req->payload[1]) },
    };
    for (size_t i = 0; i < words; i++) {
        msg->mask[i] = ldq_le_p(&req->mask[i]);
    }
    return msg->class_id < VIRTIO_SIGNAL_CLASS_COUNT && msg_fields_ok(msg) &&
           msg_mask_ok(msg);
}

size_t signal_msg_encode(const SignalMsg *msg, void *buf)
{
    struct virtio_signal_req *req = buf;

    stw_le_p(&req->class_id, msg->class_id);
    stw_le_p(&req->flags, msg->flags);
    stw_le_p(&req->dst_node, msg->dst_node);
    stw_le_p(&req->mode, msg->mode);
    stw_le_p(&req->target, msg->target);
    stw_le_p(&req->mask_words, msg->mask_words);
    stw_le_p(&req->signal, msg->signal);
    stw_le_p(&req->src_target, msg->src_target);
    stq_le_p(&req->payload[0], msg->payload[0]);
    stq_le_p(&req->payload[1], msg->payload[1]);
    for (unsigned i = 0; i < msg->mask_words; i++) {
        stq_le_p(&req->mask[i], msg->mask[i]);
    }
    return sizeof(*req) + msg->mask_words * sizeof(uint64_t);
}

void signal_result_refuse(SignalResult *res, uint16_t reason, uint32_t n)
{
    if (!res->reason) {
        res->reason = reason;
    }
    res->refused += n;
}

void signal_result_add(SignalResult *res, const SignalResult *part)
{
    res->delivered += part->delivered;
    res->coalesced += part->coalesced;
    signal_result_refuse(res, part->reason, part->refused);
}

uint16_t signal_result_status(const SignalResult *res)
{
    if (res->delivered || res->coalesced) {
        return res->refused ? VIRTIO_SIGNAL_S_PARTIAL : VIRTIO_SIGNAL_S_OK;
    }
    return res->reason;
}

void signal_result_encode(const SignalResult *res,
                          struct virtio_signal_reply *reply)
{
    *reply = (struct virtio_signal_reply) {
        .status = cpu_to_le16(signal_result_status(res)),
        .delivered = cpu_to_le32(res->delivered),
        .coalesced = cpu_to_le32(res->coalesced),
        .refused = cpu_to_le32(res->refused),
    };
}

bool signal_result_parse(SignalResult *res,
                         const struct virtio_signal_reply *reply)
{
    uint16_t status = le16_to_cpu(reply->status);

    *res = (SignalResult) {
        /* PARTIAL follows from the counts. */
        .reason = status == VIRTIO_SIGNAL_S_PARTIAL ? VIRTIO_SIGNAL_S_BUSY
                                                    : status,
        .delivered = le32_to_cpu(reply->delivered),
        .coalesced = le32_to_cpu(reply->coalesced),
        .refused = le32_to_cpu(reply->refused),
    };
    /* A peer has at most 1024 targets; only sums of several nodes are more. */
    return status < VIRTIO_SIGNAL_S_COUNT && !reply->reserved &&
           res->delivered <= VIRTIO_SIGNAL_MASK_WORDS_MAX * 64 &&
           res->coalesced <= VIRTIO_SIGNAL_MASK_WORDS_MAX * 64 &&
           res->refused <= VIRTIO_SIGNAL_MASK_WORDS_MAX * 64;
}

const char *signal_status_name(unsigned status)
{
    static const char *const names[VIRTIO_SIGNAL_S_COUNT] = {
        "ok", "partial", "inval", "no-target", "no-peer", "perm", "unsupp",
        "busy", "peer-down", "again", "state",
    };

    return status < ARRAY_SIZE(names) ? names[status] : NULL;
}

const char *signal_class_name(unsigned class_id)
{
    static const char *const names[VIRTIO_SIGNAL_CLASS_COUNT] = {
        "irq", "doorbell", "nmi", "boot", "reset", "stop", "kill", "peer",
        "channel", "overflow",
    };

    return class_id < ARRAY_SIZE(names) ? names[class_id] : NULL;
}
