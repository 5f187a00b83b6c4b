/*
 * virtio-signal: events on their way to a target
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/bswap.h"
#include "bus.h"
#include "deliver.h"
#include "hw/virtio/virtio-queue-interrupts.h"
#include "nmi.h"
#include "trace.h"

/* What an event for a target costs, in looks at an event that waits */
#define POST_WORK 8

uint64_t signal_work;

static unsigned target_number(const SignalTarget *t)
{
    return t - t->dev->targets;
}

/* Entry @i, at most t->depth, of the backlog; no division for each event */
static SignalEvent *target_entry(SignalTarget *t, unsigned i)
{
    unsigned at = t->first + i;

    return &t->backlog[at < t->depth ? at : at - t->depth];
}

void signal_target_init(SignalTarget *t, VirtIOSignal *dev, VirtQueue *vq)
{
    t->dev = dev;
    t->vdev = VIRTIO_DEVICE(dev);
    t->vq = vq;
    t->depth = dev->conf.backlog;
    t->backlog = g_new0(SignalEvent, t->depth);
    signal_target_reset(t);
}

void signal_target_cleanup(SignalTarget *t)
{
    g_clear_pointer(&t->backlog, g_free);
}

void signal_target_reset(SignalTarget *t)
{
    t->seq = t->lost = t->poll_ns = 0;
    t->first = t->count = t->ahead = 0;
    t->accept = SIGNAL_CLASSES_EVENT | SIGNAL_CLASSES_DEVICE;
}

bool signal_target_started(const SignalTarget *t)
{
    const VirtIODevice *vdev = t->vdev;

    /* An interrupt may just have unplugged the device. */
    return vdev->parent_obj.realized && !vdev->broken &&
           (vdev->status & VIRTIO_CONFIG_S_DRIVER_OK) &&
           virtio_queue_ready(t->vq);
}

bool signal_target_loaded(const SignalTarget *t)
{
    if (t->first >= t->depth || t->count > t->depth || t->ahead > t->count) {
        return false;
    }
    for (unsigned i = 0; i < t->count; i++) {
        const SignalEvent *ev = target_entry((SignalTarget *)t, i);

        if (ev->class_id >= VIRTIO_SIGNAL_CLASS_COUNT) {
            return false;
        }
    }
    return true;
}

/* The event to write next */
static bool target_peek(SignalTarget *t, SignalEvent *ev)
{
    if (t->count && (t->ahead || !t->lost)) {
        *ev = *target_entry(t, 0);
        return true;
    }
    *ev = (SignalEvent) {
        .class_id = VIRTIO_SIGNAL_CLASS_OVERFLOW,
        .src_node = t->dev->conf.node,
        .src_target = VIRTIO_SIGNAL_TARGET_NODE,
        .count = t->lost,
    };
    return t->lost;
}

static void target_pop(SignalTarget *t)
{
    if (t->count && (t->ahead || !t->lost)) {
        t->count--;
        t->ahead -= t->ahead > 0;
        /* The next event finds an empty backlog where it was, in the cache. */
        t->first = t->count && t->first + 1 < t->depth ? t->first + 1 : 0;
    } else {
        t->lost = 0;
    }
}

/* Returns false if the buffer is not one that an event can be written to. */
static bool target_write(SignalTarget *t, VirtQueueElement *elem,
                         const SignalEvent *ev)
{
    struct virtio_signal_event wire = {
        .class_id = cpu_to_le16(ev->class_id),
        .signal = cpu_to_le16(ev->signal),
        .src_node = cpu_to_le16(ev->src_node),
        .src_target = cpu_to_le16(ev->src_target),
        .count = cpu_to_le32(ev->count),
        .payload = { cpu_to_le64(ev->payload[0]), cpu_to_le64(ev->payload[1]) },
    };

    if (iov_size(elem->in_sg, elem->in_num) < sizeof(wire) ||
        !virtqueue_element_is_ram(elem)) {
        virtio_error(t->vdev, "%s: the event queue of target %u has a buffer "
                     "without %zu writable bytes of RAM", t->dev->name,
                     target_number(t), sizeof(wire));
        virtqueue_detach_element(t->vq, elem, 0);
        return false;
    }
    if (ev->class_id == VIRTIO_SIGNAL_CLASS_OVERFLOW) {
        t->seq += ev->count;
    }
    trace_virtio_signal_event(t->dev->name, target_number(t), ev->class_id,
                              ev->count, t->seq);
    wire.seq = cpu_to_le32(t->seq++);
    iov_from_buf(elem->in_sg, elem->in_num, 0, &wire, sizeof(wire));
    virtqueue_push(t->vq, elem, sizeof(wire));
    return true;
}

/* As virtio_notify(), and counts whether a target that polls was left alone. */
static void target_notify(SignalTarget *t)
{
    VirtIOSignal *s = t->dev;
    VirtQueueInterrupts before, after;

    if (!t->poll_ns || !virtio_queue_interrupts(t->vq, &before)) {
        virtio_notify(t->vdev, t->vq);
        return;
    }
    virtio_notify(t->vdev, t->vq);
    /* The interrupt may have ended all that there was to count. */
    if (signal_target_started(t) && virtio_queue_interrupts(t->vq, &after)) {
        s->poll_notified += after.sent - before.sent;
        s->poll_avoided += after.suppressed - before.suppressed;
    }
}

void signal_target_flush(SignalTarget *t)
{
    VirtIODevice *vdev = t->vdev;
    bool wrote = false, armed = false;
    SignalEvent ev;

    if (!vdev->vm_running || !signal_target_started(t)) {
        return;
    }
    while (target_peek(t, &ev)) {
        VirtQueueElement *elem = virtqueue_pop(t->vq, sizeof(*elem));

        if (!elem) {
            if (vdev->broken || armed) {
                break;
            }
            /*
             * Each time anew: with an event index the driver tells of the next
             * buffer after this one only. One may have come just before.
             */
            virtio_queue_set_notification(t->vq, 1);
            armed = true;
            continue;
        }
        armed = false;
        if (target_write(t, elem, &ev)) {
            target_pop(t);
            wrote = true;
        }
        virtqueue_free_element(t->vq, elem);
        if (vdev->broken) {
            return;
        }
    }
    /* Nobody needs to hear of buffers while nothing waits for them. */
    if (!vdev->broken && !t->count && !t->lost &&
        virtio_queue_get_notification(t->vq)) {
        virtio_queue_set_notification(t->vq, 0);
    }
    if (wrote) {
        target_notify(t);
    }
}

static bool events_alike(const SignalEvent *a, const SignalEvent *b)
{
    if (a->class_id != b->class_id || a->src_node != b->src_node) {
        return false;
    }
    /* Of a node only the latest state matters. */
    return a->class_id == VIRTIO_SIGNAL_CLASS_PEER ||
           (a->signal == b->signal && a->src_target == b->src_target);
}

/* Returns OK with *merged set, or BUSY. */
static uint16_t target_queue(SignalTarget *t, const SignalEvent *ev,
                             bool *merged)
{
    *merged = false;
    /* Into the newest only: those behind it must not come too late. */
    for (unsigned i = t->count; ev->coalesce && i-- > 0;) {
        SignalEvent *old = target_entry(t, i);

        signal_work++;
        if (events_alike(old, ev)) {
            uint32_t count = old->count;

            if (!old->coalesce) {
                break;
            }
            *old = *ev;
            old->count = count == UINT32_MAX ? count : count + 1;
            *merged = true;
            return VIRTIO_SIGNAL_S_OK;
        }
    }
    if (t->count == t->depth) {
        return VIRTIO_SIGNAL_S_BUSY;
    }
    *target_entry(t, t->count) = *ev;
    t->count++;
    return VIRTIO_SIGNAL_S_OK;
}

static void target_post(SignalTarget *t, const SignalEvent *ev,
                        SignalResult *res)
{
    VirtIOSignalCount *count = &t->dev->count[ev->class_id];
    uint16_t status;
    bool merged = false;

    signal_work += POST_WORK;
    if (!signal_target_started(t)) {
        status = VIRTIO_SIGNAL_S_NO_TARGET;
    } else if (!(t->accept & (1u << ev->class_id))) {
        status = VIRTIO_SIGNAL_S_PERM;
    } else if (ev->class_id == VIRTIO_SIGNAL_CLASS_NMI) {
        status = signal_nmi_send(target_number(t)) ?
                 VIRTIO_SIGNAL_S_OK : VIRTIO_SIGNAL_S_NO_TARGET;
    } else {
        status = target_queue(t, ev, &merged);
    }
    trace_virtio_signal_post(t->dev->name, target_number(t), ev->class_id,
                             ev->signal, ev->src_node, status, merged);
    if (status) {
        signal_result_refuse(res, status, 1);
        count->dropped++;
    } else if (merged) {
        res->coalesced++;
        count->coalesced++;
    } else {
        res->delivered++;
        count->received++;
        /* An NMI has no event: its CPU may not look at the queue any more. */
        if (ev->class_id != VIRTIO_SIGNAL_CLASS_NMI) {
            signal_target_flush(t);
        }
    }
}

static SignalTarget *first_started(VirtIOSignal *s, uint32_t accept)
{
    for (unsigned i = 0; i < s->conf.targets; i++) {
        SignalTarget *t = &s->targets[i];

        if (signal_target_started(t) && (t->accept & accept)) {
            return t;
        }
    }
    return NULL;
}

static void deliver_unicast(VirtIOSignal *s, const SignalMsg *msg,
                            const SignalEvent *ev, SignalResult *res)
{
    SignalTarget *t = NULL;

    if (msg->target == VIRTIO_SIGNAL_TARGET_NODE) {
        t = first_started(s, 1u << ev->class_id);
    } else if (msg->target < s->conf.targets) {
        t = &s->targets[msg->target];
    }
    if (t) {
        target_post(t, ev, res);
    } else {
        signal_result_refuse(res, VIRTIO_SIGNAL_S_NO_TARGET, 1);
        s->count[ev->class_id].dropped++;
    }
}

static void deliver_mask(VirtIOSignal *s, const SignalMsg *msg,
                         const SignalEvent *ev, SignalResult *res)
{
    for (unsigned w = 0; w < msg->mask_words; w++) {
        uint64_t bits = msg->mask[w];

        for (; bits; bits &= bits - 1) {
            unsigned target = msg->target + 64 * w + ctz64(bits);

            if (target < s->conf.targets) {
                target_post(&s->targets[target], ev, res);
            } else {
                signal_result_refuse(res, VIRTIO_SIGNAL_S_NO_TARGET, 1);
                s->count[ev->class_id].dropped++;
            }
        }
    }
}

void signal_deliver(VirtIOSignal *s, uint16_t src_node, const SignalMsg *msg,
                    SignalResult *res)
{
    SignalEvent ev = {
        .class_id = msg->class_id,
        .signal = msg->signal,
        .src_node = src_node,
        .src_target = msg->src_target,
        .coalesce = msg->class_id == VIRTIO_SIGNAL_CLASS_IRQ ||
                    (msg->flags & VIRTIO_SIGNAL_FLAG_COALESCE),
        .count = 1,
        .payload = { msg->payload[0], msg->payload[1] },
    };
    uint32_t before = res->refused;

    switch (msg->mode) {
    case VIRTIO_SIGNAL_MODE_UNICAST:
        deliver_unicast(s, msg, &ev, res);
        break;
    case VIRTIO_SIGNAL_MODE_MASK:
        deliver_mask(s, msg, &ev, res);
        break;
    default:
        for (unsigned i = 0; i < s->conf.targets; i++) {
            bool self = msg->mode == VIRTIO_SIGNAL_MODE_ALL_BUT_SELF &&
                        src_node == s->conf.node && i == msg->src_target;

            if (!self && signal_target_started(&s->targets[i])) {
                target_post(&s->targets[i], &ev, res);
            }
        }
        if (!res->delivered && !res->coalesced && res->refused == before) {
            signal_result_refuse(res, VIRTIO_SIGNAL_S_NO_TARGET, 0);
        }
        break;
    }
}

void signal_deliver_peer(VirtIOSignal *s, const SignalPort *peer)
{
    SignalTarget *t = first_started(s, SIGNAL_BIT(PEER));
    SignalEvent ev = {
        .class_id = VIRTIO_SIGNAL_CLASS_PEER,
        .signal = peer->state,
        .src_node = peer->node,
        .src_target = VIRTIO_SIGNAL_TARGET_NODE,
        .coalesce = true,
        .count = 1,
        .payload = { peer->num_targets, peer->nonce },
    };
    SignalResult res = { };

    if (!t) {
        return;     /* A driver that starts asks for the peers. */
    }
    target_post(t, &ev, &res);
    if (res.reason == VIRTIO_SIGNAL_S_BUSY) {
        t->ahead = t->lost ? t->ahead : t->count;
        t->lost += t->lost < UINT32_MAX;
        s->lost++;
    }
}
