/*
 * virtio-signal: send queues
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/virtio/virtio-guard.h"
#include "bucket.h"
#include "deliver.h"
#include "send.h"
#include "trace.h"

/* After so much work, see deliver.c, the rest of the main loop has its turn. */
#define PASS_WORK 32768
#define REQUEST_WORK 64

static void call_reply(VirtIOSignal *s, VirtQueue *vq, VirtQueueElement *elem,
                       uint16_t class_id, const SignalResult *res)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(s);
    struct virtio_signal_reply reply;

    signal_result_encode(res, &reply);
    trace_virtio_signal_reply(s->name, le16_to_cpu(reply.status),
                              res->delivered, res->coalesced, res->refused);
    if (class_id < VIRTIO_SIGNAL_CLASS_COUNT) {
        s->count[class_id].sent += res->delivered + res->coalesced;
        s->count[class_id].refused += res->refused;
    }
    if (vdev->broken) {
        virtqueue_detach_element(vq, elem, 0);
        return;
    }
    iov_from_buf(elem->in_sg, elem->in_num, 0, &reply, sizeof(reply));
    virtqueue_push(vq, elem, sizeof(reply));
    virtio_notify(vdev, vq);
}

/*
 * The interrupt of an answer is a write that can have any effect, among them
 * that all calls are dropped or finished: it is not among them any more.
 */
static void call_end(SignalCall *call)
{
    QTAILQ_REMOVE(&call->dev->calls, call, next);
    if (call->elem) {
        call_reply(call->dev, call->vq, call->elem, call->class_id,
                   &call->result);
    }
    g_free(call->elem);
    g_free(call);
}

void signal_call_done(SignalCall *call, const SignalResult *part)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(call->dev);
    VirtIOGuard guard = virtio_guard_engage(vdev);

    signal_result_add(&call->result, part);
    if (--call->waiting == 0) {
        call_end(call);
    }
    virtio_guard_restore(guard);
}

/* Nothing that peers say about @call matters any more. */
static void call_cancel(SignalCall *call)
{
    if (call->dev->conf.bus) {
        signal_bus_cancel(call->dev->conf.bus, call);
    }
    /* send_request() goes on with it, and ends it. */
    call->waiting = call->active;
}

void signal_send_finish(VirtIOSignal *s)
{
    SignalCall *call, *last = NULL;

    /* From the start each time: an answer may drop any of the others. */
    while ((call = QTAILQ_FIRST(&s->calls)) && call != last) {
        signal_result_refuse(&call->result, VIRTIO_SIGNAL_S_AGAIN,
                             call->waiting - call->active);
        call_cancel(call);
        if (call->active) {
            QTAILQ_REMOVE(&s->calls, call, next);
            QTAILQ_INSERT_TAIL(&s->calls, call, next);
            last = call;
        } else {
            call_end(call);
        }
    }
}

void signal_send_drop(VirtIOSignal *s, VirtQueue *vq)
{
    SignalCall *call, *next;

    QTAILQ_FOREACH_SAFE(call, &s->calls, next, next) {
        if (call->elem && (!vq || call->vq == vq)) {
            call_cancel(call);
            virtqueue_detach_element(call->vq, call->elem, 0);
            g_clear_pointer(&call->elem, g_free);
            if (!call->active) {
                call_end(call);
            }
        }
    }
}

/* What the driver may do at all; OK, or why it may not. */
static uint16_t send_check(VirtIOSignal *s, const SignalMsg *msg)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(s);
    uint32_t bit = 1u << msg->class_id;

    if (bit & SIGNAL_CLASSES_DEVICE) {
        return VIRTIO_SIGNAL_S_INVAL;
    }
    if (!(bit & (SIGNAL_CLASSES_TARGET | SIGNAL_CLASSES_LIFECYCLE))) {
        return VIRTIO_SIGNAL_S_UNSUPP;
    }
    if (msg->mode == VIRTIO_SIGNAL_MODE_MASK &&
        !virtio_vdev_has_feature(vdev, VIRTIO_SIGNAL_F_MASK)) {
        return VIRTIO_SIGNAL_S_INVAL;
    }
    if (msg->src_target >= s->conf.targets &&
        msg->src_target != VIRTIO_SIGNAL_TARGET_NODE) {
        return VIRTIO_SIGNAL_S_INVAL;
    }
    if (!(bit & s->conf.send_classes)) {
        return VIRTIO_SIGNAL_S_PERM;
    }
    if (((bit & SIGNAL_CLASSES_LIFECYCLE) &&
         !virtio_vdev_has_feature(vdev, VIRTIO_SIGNAL_F_LIFECYCLE)) ||
        ((bit & SIGNAL_BIT(NMI)) &&
         !virtio_vdev_has_feature(vdev, VIRTIO_SIGNAL_F_NMI))) {
        return VIRTIO_SIGNAL_S_INVAL;
    }
    return signal_bucket_take(&s->bucket) ? VIRTIO_SIGNAL_S_OK
                                          : VIRTIO_SIGNAL_S_BUSY;
}

/* An interrupt may stop the VM, reset the device or unplug it. */
static bool send_can(const VirtIOSignal *s)
{
    const VirtIODevice *vdev = &s->parent_obj;

    return vdev->parent_obj.realized && vdev->vm_running && !vdev->broken &&
           (vdev->status & VIRTIO_CONFIG_S_DRIVER_OK);
}

static void send_to_port(SignalPort *port, const SignalMsg *msg,
                         SignalCall *call)
{
    VirtIOSignal *s = call->dev;
    SignalResult part = { };

    /* The VM was stopped or the device reset by what was done for a port. */
    if (!call->elem || !send_can(s)) {
        signal_result_refuse(&call->result, VIRTIO_SIGNAL_S_AGAIN, 1);
        return;
    }
    call->waiting++;
    signal_work += REQUEST_WORK;
    if (port->ops->submit(port, s->conf.node, msg, call, &part)) {
        call->waiting--;
        signal_result_add(&call->result, &part);
    }
}

/* Add the request to the results of @call, which may have to wait then. */
static void send_route(SignalCall *call, const SignalMsg *msg)
{
    VirtIOSignal *s = call->dev;
    bool remote = s->conf.bus &&
        virtio_vdev_has_feature(VIRTIO_DEVICE(s), VIRTIO_SIGNAL_F_REMOTE);
    bool all = msg->dst_node == VIRTIO_SIGNAL_NODE_ALL;
    SignalPort *port = NULL;
    SignalWalk walk = { };
    SignalResult part = { };

    if (all || msg->dst_node == s->conf.node) {
        if (signal_msg_is_lifecycle(msg)) {
            signal_result_refuse(&part, VIRTIO_SIGNAL_S_UNSUPP, 1);
        } else {
            signal_deliver(s, s->conf.node, msg, &part);
        }
        signal_result_add(&call->result, &part);
    }
    if (all && remote) {
        while ((port = signal_bus_next(s->conf.bus, s->conf.node, &walk))) {
            send_to_port(port, msg, call);
        }
    } else if (!all && msg->dst_node != s->conf.node) {
        if (remote) {
            port = signal_bus_find(s->conf.bus, s->conf.node, msg->dst_node);
        }
        if (port) {
            send_to_port(port, msg, call);
        } else {
            signal_result_refuse(&call->result, VIRTIO_SIGNAL_S_NO_PEER, 1);
        }
    }
}

static void send_request(VirtIOSignal *s, VirtQueue *vq,
                         VirtQueueElement *elem)
{
    uint8_t data[SIGNAL_MSG_MAX];
    size_t len = iov_size(elem->out_sg, elem->out_num);
    SignalMsg msg = { .class_id = VIRTIO_SIGNAL_CLASS_COUNT };
    SignalCall *call = g_new0(SignalCall, 1);
    uint16_t status = VIRTIO_SIGNAL_S_INVAL;

    *call = (SignalCall) { .dev = s, .vq = vq, .elem = elem };
    if (len <= sizeof(data)) {
        iov_to_buf(elem->out_sg, elem->out_num, 0, data, len);
        if (signal_msg_parse(&msg, data, len)) {
            trace_virtio_signal_send(s->name, msg.class_id, msg.dst_node,
                                     msg.mode, msg.target);
            status = send_check(s, &msg);
        }
    }
    if (status == VIRTIO_SIGNAL_S_INVAL) {
        s->malformed++;
    }
    call->class_id = msg.class_id;
    QTAILQ_INSERT_TAIL(&s->calls, call, next);
    /* A part that is done before the last one was asked must not end it. */
    call->waiting = 1;
    call->active = true;
    if (status) {
        signal_result_refuse(&call->result, status, 1);
    } else {
        send_route(call, &msg);
    }
    call->active = false;
    signal_call_done(call, &(SignalResult) { });
}

/* Returns false if requests may be left. */
static bool send_queue(VirtIOSignal *s, VirtQueue *vq, uint64_t end)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(s);

    while (send_can(s)) {
        VirtQueueElement *elem;

        if (signal_work >= end) {
            return false;
        }
        elem = virtqueue_pop(vq, sizeof(*elem));
        if (!elem) {
            break;
        }
        signal_work += REQUEST_WORK;
        if (!virtqueue_element_is_ram(elem)) {
            virtio_error(vdev, "%s: a request has a writable buffer outside "
                         "of RAM", s->name);
            virtqueue_detach_element(vq, elem, 0);
            g_free(elem);
            break;
        }
        if (iov_size(elem->in_sg, elem->in_num) <
            sizeof(struct virtio_signal_reply)) {
            /* There is no place to answer, so nothing is done. */
            s->malformed++;
            virtqueue_push(vq, elem, 0);
            virtio_notify(vdev, vq);
            g_free(elem);
            continue;
        }
        send_request(s, vq, elem);
    }
    return true;
}

void signal_send_serve(VirtIOSignal *s)
{
    unsigned queues = virtio_vdev_has_feature(VIRTIO_DEVICE(s),
                                              VIRTIO_SIGNAL_F_MQ_SEND) ?
                      s->conf.sendqs : 1;
    uint64_t end = signal_work + PASS_WORK;
    bool done = true;

    if (s->busy) {
        return;
    }
    s->busy = true;
    for (unsigned i = 0; i < queues && done; i++) {
        s->next_sendq = s->next_sendq < queues ? s->next_sendq : 0;
        done = send_queue(s, s->sendqs[s->next_sendq], end);
        /* One that took the whole pass is the last one of the next. */
        s->next_sendq++;
    }
    s->busy = false;
    if (!done && send_can(s)) {
        s->yielded++;
        qemu_bh_schedule(s->bh);
    }
}
