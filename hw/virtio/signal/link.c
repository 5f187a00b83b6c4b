/*
 * virtio-signal: what is said on a link
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/host-utils.h"
#include "qapi/qapi-events-virtio-signal.h"
#include "action.h"
#include "link.h"
#include "trace.h"

#define LINK_TARGETS_MAX (VIRTIO_SIGNAL_MASK_WORDS_MAX * 64)
#define BYE_TEXT_MAX 200

/* Our device, or NULL while there is none. */
static SignalPort *link_device(SignalLink *l)
{
    SignalPort *port = signal_bus_find(l->bus, l->peer_node, l->local_node);

    return port && !port->link ? port : NULL;
}

/* They come as fast as the peer likes: not all are told. */
static void link_action_news(SignalLink *l, uint16_t class_id, uint16_t status)
{
    if (signal_bucket_take(status ? &l->refusals : &l->actions)) {
        qapi_event_send_virtio_signal_action(l->id, l->peer_node,
                                             signal_class_name(class_id),
                                             signal_status_name(status));
    }
}

/* A device that is not there is to the peer one whose driver is not. */
static uint16_t link_device_state(const SignalPort *device)
{
    return device && device->state == VIRTIO_SIGNAL_PEER_READY ?
           VIRTIO_SIGNAL_PEER_READY : VIRTIO_SIGNAL_PEER_UP;
}

static uint16_t link_device_targets(const SignalPort *device)
{
    return device ? device->num_targets : 0;
}

void signal_link_opened(SignalLink *l)
{
    SignalPort *device = link_device(l);
    struct virtio_signal_link_hello hello = {
        .version_min = cpu_to_le16(VIRTIO_SIGNAL_LINK_VERSION),
        .version_max = cpu_to_le16(VIRTIO_SIGNAL_LINK_VERSION),
        .node = cpu_to_le16(l->local_node),
        .peer_node = cpu_to_le16(l->peer_node),
        .accepts = cpu_to_le32(l->accept),
        .credits = cpu_to_le32(l->credits),
        .num_targets = cpu_to_le16(link_device_targets(device)),
        .state = cpu_to_le16(link_device_state(device)),
        .nonce = cpu_to_le64(signal_bus_nonce()),
    };

    signal_link_clear(l);
    l->state = SIGNAL_LINK_HELLO;
    signal_link_send(l, VIRTIO_SIGNAL_LINK_HELLO, &hello, sizeof(hello));
}

void signal_link_closed(SignalLink *l)
{
    SignalResult lost = { .reason = VIRTIO_SIGNAL_S_AGAIN, .refused = 1 };
    bool was_up = l->port.state != VIRTIO_SIGNAL_PEER_DOWN;

    if (l->state == SIGNAL_LINK_CLOSED) {
        return;
    }
    trace_virtio_signal_link_down(l->id, l->port.error ?: "closed");
    l->state = SIGNAL_LINK_CLOSED;
    signal_link_alive_closed(l);
    qemu_bh_cancel(l->close_bh);
    signal_link_clear(l);
    for (unsigned i = 0; i < l->peer_credits; i++) {
        SignalCall *call = l->slots[i].call;

        l->slots[i] = (SignalSlot) { };
        if (call) {
            signal_call_done(call, &lost);
        }
    }
    l->peer_credits = 0;
    l->port.outstanding = 0;
    if (was_up) {
        l->port.state = VIRTIO_SIGNAL_PEER_DOWN;
        l->port.num_targets = 0;
        l->port.accepts = 0;
        signal_link_tell(l);
    }
}

/* The peer's state as HELLO and TARGETS tell it; false if that cannot be. */
static bool link_set_peer(SignalLink *l, uint16_t num_targets, uint16_t state)
{
    if (num_targets > LINK_TARGETS_MAX || (state != VIRTIO_SIGNAL_PEER_UP &&
                                           state != VIRTIO_SIGNAL_PEER_READY)) {
        signal_link_fail(l, "%u targets in state %u", num_targets, state);
        return false;
    }
    if (l->port.num_targets != num_targets || l->port.state != state) {
        l->port.num_targets = num_targets;
        l->port.state = state;
        signal_link_tell(l);
    }
    return true;
}

static void link_hello(SignalLink *l, const uint8_t *body, size_t len)
{
    struct virtio_signal_link_hello hello;
    uint16_t node, peer_node;
    uint32_t credits;

    if (len < sizeof(hello)) {
        signal_link_fail(l, "a HELLO of %zu bytes", len);
        return;
    }
    memcpy(&hello, body, sizeof(hello));
    node = le16_to_cpu(hello.node);
    peer_node = le16_to_cpu(hello.peer_node);
    credits = le32_to_cpu(hello.credits);
    if (le16_to_cpu(hello.version_min) > VIRTIO_SIGNAL_LINK_VERSION ||
        le16_to_cpu(hello.version_max) < VIRTIO_SIGNAL_LINK_VERSION) {
        signal_link_fail(l, "the peer speaks versions %u to %u, we speak %u",
                         le16_to_cpu(hello.version_min),
                         le16_to_cpu(hello.version_max),
                         VIRTIO_SIGNAL_LINK_VERSION);
        return;
    }
    if (node != l->peer_node || peer_node != l->local_node) {
        signal_link_fail(l, "the peer is node %u and looks for %u, we are "
                         "node %u and look for %u", node, peer_node,
                         l->local_node, l->peer_node);
        return;
    }
    if (hello.reserved) {
        signal_link_fail(l, "a HELLO with a reserved field set");
        return;
    }
    if (!credits || credits > VIRTIO_SIGNAL_LINK_CREDITS_MAX) {
        signal_link_fail(l, "%u credits", credits);
        return;
    }

    l->state = SIGNAL_LINK_UP;
    l->peer_credits = credits;
    l->port.accepts = le32_to_cpu(hello.accepts);
    l->port.nonce = le64_to_cpu(hello.nonce);
    trace_virtio_signal_link_up(l->id, node, le16_to_cpu(hello.num_targets),
                                credits);
    g_clear_pointer(&l->port.error, g_free);
    signal_link_alive_up(l);
    if (link_set_peer(l, le16_to_cpu(hello.num_targets),
                      le16_to_cpu(hello.state))) {
        /* What changed between our HELLO and now */
        l->targets_news = true;
        signal_link_send_targets(l);
    }
}

static void link_do(SignalLink *l, const SignalMsg *msg, SignalResult *res)
{
    uint32_t bit = 1u << msg->class_id;
    SignalPort *device;
    uint16_t status;

    if (msg->dst_node != l->local_node || (bit & SIGNAL_CLASSES_DEVICE)) {
        signal_result_refuse(res, VIRTIO_SIGNAL_S_INVAL, 1);
    } else if (!(bit & (SIGNAL_CLASSES_TARGET | SIGNAL_CLASSES_LIFECYCLE))) {
        signal_result_refuse(res, VIRTIO_SIGNAL_S_UNSUPP, 1);
    } else if (!(bit & l->accept)) {
        l->port.denied++;
        link_action_news(l, msg->class_id, VIRTIO_SIGNAL_S_PERM);
        signal_result_refuse(res, VIRTIO_SIGNAL_S_PERM, 1);
    } else if (bit & SIGNAL_CLASSES_LIFECYCLE) {
        status = signal_action(l->id, msg->class_id, l->kill_action,
                               &l->paused);
        link_action_news(l, msg->class_id, status);
        if (status) {
            signal_result_refuse(res, status, 1);
        } else {
            res->delivered = 1;
        }
    } else {
        device = link_device(l);
        if (device) {
            device->ops->submit(device, l->peer_node, msg, NULL, res);
        } else {
            signal_result_refuse(res, VIRTIO_SIGNAL_S_PEER_DOWN, 1);
        }
    }
}

static void link_signal(SignalLink *l, const uint8_t *body, size_t len)
{
    struct {
        struct virtio_signal_link_call call;
        struct virtio_signal_reply reply;
    } answer;
    SignalResult res = { };
    SignalMsg msg;

    if (len < sizeof(answer.call)) {
        signal_link_fail(l, "a SIGNAL of %zu bytes", len);
        return;
    }
    if (!signal_link_may_reply(l)) {
        signal_link_fail(l, "more than %u requests outstanding", l->credits);
        return;
    }
    memcpy(&answer.call, body, sizeof(answer.call));
    if (answer.call.reserved) {
        signal_link_fail(l, "a SIGNAL with a reserved field set");
        return;
    }
    if (!signal_msg_parse(&msg, body + sizeof(answer.call),
                          len - sizeof(answer.call))) {
        signal_result_refuse(&res, VIRTIO_SIGNAL_S_INVAL, 1);
    } else if (!signal_bucket_take(&l->bucket)) {
        signal_result_refuse(&res, VIRTIO_SIGNAL_S_BUSY, 1);
    } else {
        link_do(l, &msg, &res);
    }
    signal_result_encode(&res, &answer.reply);
    signal_link_reply(l, VIRTIO_SIGNAL_LINK_STATUS, &answer, sizeof(answer));
}

static void link_status(SignalLink *l, const uint8_t *body, size_t len)
{
    struct virtio_signal_link_call call;
    struct virtio_signal_reply reply;
    SignalCall *waiting;
    SignalResult res;
    uint32_t id;

    if (len != sizeof(call) + sizeof(reply)) {
        signal_link_fail(l, "a STATUS of %zu bytes", len);
        return;
    }
    memcpy(&call, body, sizeof(call));
    memcpy(&reply, body + sizeof(call), sizeof(reply));
    id = le32_to_cpu(call.id);
    if (id >= l->peer_credits || !l->slots[id].used ||
        id == l->ping_slot || call.reserved) {
        signal_link_fail(l, "a STATUS of request %u, which is not there", id);
        return;
    }
    if (!signal_result_parse(&res, &reply) ||
        res.delivered + res.coalesced + res.refused > l->slots[id].targets) {
        signal_link_fail(l, "a STATUS that makes no sense");
        return;
    }
    waiting = l->slots[id].call;
    l->slots[id] = (SignalSlot) { };
    l->port.outstanding--;
    if (waiting) {
        signal_call_done(waiting, &res);
    }
}

static void link_targets(SignalLink *l, const uint8_t *body, size_t len)
{
    struct virtio_signal_link_targets targets;

    if (len != sizeof(targets)) {
        signal_link_fail(l, "a TARGETS of %zu bytes", len);
        return;
    }
    memcpy(&targets, body, sizeof(targets));
    if (targets.reserved) {
        signal_link_fail(l, "a TARGETS with a reserved field set");
        return;
    }
    link_set_peer(l, le16_to_cpu(targets.num_targets),
                  le16_to_cpu(targets.state));
}

static void link_ping(SignalLink *l, const uint8_t *body, size_t len)
{
    if (len != sizeof(uint64_t)) {
        signal_link_fail(l, "a PING of %zu bytes", len);
    } else if (!signal_link_may_reply(l)) {
        signal_link_fail(l, "more than %u requests outstanding", l->credits);
    } else {
        signal_link_reply(l, VIRTIO_SIGNAL_LINK_PONG, body, len);
    }
}

/* Keep what a peer said before it closes, made fit for a terminal. */
static void link_bye(SignalLink *l, const uint8_t *body, size_t len)
{
    g_autofree char *text = g_strndup((const char *)body,
                                      MIN(len, BYE_TEXT_MAX));

    for (char *c = text; *c; c++) {
        *c = g_ascii_isprint(*c) ? *c : '?';
    }
    signal_link_end(l, g_strdup_printf("the peer said: %s", text));
}

void signal_link_frame(SignalLink *l, uint16_t type, const uint8_t *body,
                       size_t len)
{
    bool up = l->state == SIGNAL_LINK_UP;

    if (type == VIRTIO_SIGNAL_LINK_BYE) {
        link_bye(l, body, len);
    } else if (type == VIRTIO_SIGNAL_LINK_HELLO && !up) {
        link_hello(l, body, len);
    } else if (!up) {
        signal_link_fail(l, "a frame of type %u before HELLO", type);
    } else if (type == VIRTIO_SIGNAL_LINK_SIGNAL) {
        link_signal(l, body, len);
    } else if (type == VIRTIO_SIGNAL_LINK_STATUS) {
        link_status(l, body, len);
    } else if (type == VIRTIO_SIGNAL_LINK_TARGETS) {
        link_targets(l, body, len);
    } else if (type == VIRTIO_SIGNAL_LINK_PING) {
        link_ping(l, body, len);
    } else if (type == VIRTIO_SIGNAL_LINK_PONG) {
        signal_link_pong(l, body, len);
    } else {
        signal_link_fail(l, "a frame of type %u", type);
    }
}

void signal_link_send_targets(SignalLink *l)
{
    SignalPort *device = link_device(l);
    struct virtio_signal_link_targets targets = {
        .num_targets = cpu_to_le16(link_device_targets(device)),
        .state = cpu_to_le16(link_device_state(device)),
    };

    if (l->state == SIGNAL_LINK_UP && l->targets_news && !l->out->len) {
        l->targets_news = false;
        signal_link_send(l, VIRTIO_SIGNAL_LINK_TARGETS, &targets,
                         sizeof(targets));
    }
}

static void link_port_changed(SignalPort *port, const SignalPort *other)
{
    SignalLink *l = port->owner;

    l->targets_news = true;
    signal_link_send_targets(l);
}

int signal_link_slot(SignalLink *l)
{
    for (unsigned i = 0; i < l->peer_credits; i++) {
        if (!l->slots[i].used) {
            return i;
        }
    }
    return -1;
}

/* How many targets a peer can say that the request has reached */
static uint32_t link_reach(const SignalMsg *msg)
{
    uint32_t count = 0;

    if (msg->mode == VIRTIO_SIGNAL_MODE_UNICAST) {
        return 1;
    }
    if (msg->mode != VIRTIO_SIGNAL_MODE_MASK) {
        return LINK_TARGETS_MAX;
    }
    for (unsigned i = 0; i < msg->mask_words; i++) {
        count += ctpop64(msg->mask[i]);
    }
    return count;
}

static bool link_submit(SignalPort *port, uint16_t src_node,
                        const SignalMsg *msg, SignalCall *call,
                        SignalResult *res)
{
    SignalLink *l = port->owner;
    struct {
        struct virtio_signal_link_call call;
        uint8_t msg[SIGNAL_MSG_MAX];
    } body = { };
    SignalMsg there = *msg;
    size_t len;
    int slot;

    if (l->state != SIGNAL_LINK_UP ||
        (!signal_msg_is_lifecycle(msg) &&
         port->state != VIRTIO_SIGNAL_PEER_READY)) {
        signal_result_refuse(res, VIRTIO_SIGNAL_S_PEER_DOWN, 1);
        return true;
    }
    /* The peer refuses it anyway; this saves the way. */
    if (!(port->accepts & (1u << msg->class_id))) {
        signal_result_refuse(res, VIRTIO_SIGNAL_S_PERM, 1);
        return true;
    }
    slot = signal_link_slot(l);
    if (slot < 0) {
        signal_result_refuse(res, VIRTIO_SIGNAL_S_BUSY, 1);
        return true;
    }

    l->slots[slot] = (SignalSlot) {
        .used = true, .call = call, .targets = link_reach(msg),
    };
    port->outstanding++;
    there.dst_node = l->peer_node;
    if (msg->mode == VIRTIO_SIGNAL_MODE_ALL_BUT_SELF) {
        there.mode = VIRTIO_SIGNAL_MODE_ALL;
    }
    stl_le_p(&body.call.id, slot);
    len = sizeof(body.call) + signal_msg_encode(&there, body.msg);
    signal_link_send(l, VIRTIO_SIGNAL_LINK_SIGNAL, &body, len);
    return false;
}

static void link_cancel(SignalPort *port, SignalCall *call)
{
    SignalLink *l = port->owner;

    /* The slot stays in use: its number comes back in a STATUS. */
    for (unsigned i = 0; i < l->peer_credits; i++) {
        if (l->slots[i].call == call) {
            l->slots[i].call = NULL;
        }
    }
}

const SignalPortOps signal_link_port_ops = {
    .submit = link_submit,
    .cancel = link_cancel,
    .changed = link_port_changed,
};
