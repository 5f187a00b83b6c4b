/*
 * virtio-echo: a test device that returns what it is sent
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Queue handlers work in passes. A pass pops up to conf.batch requests, holds
 * them, and completes them together in the configured order, until the queue
 * is empty or the pass has done enough; it then asks to be called again. No
 * request outlives the pass that popped it, so reset, unplug, migration and
 * VM stop find nothing in flight and nothing can hang.
 *
 * Everything in a request comes from the guest. A chain the ring code refuses
 * breaks the device (NEEDS_RESET) and completes nothing more. Work per pass
 * is bounded in requests and bytes, memory in conf.batch requests. A request
 * with a writable buffer outside of RAM breaks the device before anything is
 * written: completing it would run the register's code, of this device or of
 * any other, in the middle of a pass, which could reset, resize or unplug what
 * the pass is working on.
 */

#include "qemu/osdep.h"
#include "hw/qdev-properties.h"
#include "hw/virtio/virtio-bus.h"
#include "hw/virtio/virtio-echo.h"
#include "hw/virtio/virtio-enum-prop.h"
#include "hw/virtio/virtio-labels.h"
#include "migration/vmstate.h"
#include "qapi/error.h"
#include "qapi/util.h"
#include "qapi/visitor.h"
#include "qemu/iov.h"
#include "qemu/module.h"
#include "qemu/rcu.h"
#include "qemu/units.h"
#include "order.h"
#include "trace.h"

/* A pass that did this much gives way to the rest of the event loop. */
#define PASS_REQUESTS 1024
#define PASS_BYTES (4 * MiB)

struct VirtIOEchoRequest {
    VirtQueueElement elem;
    uint32_t used;
};

static unsigned echo_queue_index(const VirtIOEchoQueue *q)
{
    return q - q->echo->queues;
}

/* Copy at most @max bytes from the readable to the writable part. */
static uint32_t echo_copy(const VirtQueueElement *elem, uint32_t max)
{
    const struct iovec *from = elem->out_sg, *from_end = from + elem->out_num;
    const struct iovec *to = elem->in_sg, *to_end = to + elem->in_num;
    size_t from_off = 0, to_off = 0, done = 0;

    while (done < max && from < from_end && to < to_end) {
        size_t n = MIN(from->iov_len - from_off, to->iov_len - to_off);

        n = MIN(n, max - done);
        /* The guest may let its buffers overlap. */
        memmove(to->iov_base + to_off, from->iov_base + from_off, n);
        done += n;
        from_off += n;
        to_off += n;
        if (from_off == from->iov_len) {
            from++;
            from_off = 0;
        }
        if (to_off == to->iov_len) {
            to++;
            to_off = 0;
        }
    }
    return done;
}

static void echo_complete(VirtIOEchoQueue *q, unsigned n)
{
    VirtIOEcho *s = q->echo;
    VirtIODevice *vdev = VIRTIO_DEVICE(s);
    uint64_t bytes = 0;

    if (virtio_vdev_has_feature(vdev, VIRTIO_ECHO_F_ORDER)) {
        echo_order(q, n, s->conf.order);
    }

    WITH_RCU_READ_LOCK_GUARD() {
        if (vdev->broken) {
            /* The ring takes no more used buffers: only let go of memory. */
            for (unsigned i = 0; i < n; i++) {
                virtqueue_detach_element(q->vq, &q->held[i]->elem,
                                         q->held[i]->used);
            }
        } else {
            for (unsigned i = 0; i < n; i++) {
                bytes += q->held[i]->used;
                virtqueue_fill(q->vq, &q->held[i]->elem, q->held[i]->used, i);
            }
            virtqueue_flush(q->vq, n);
            stat64_add(&s->requests, n);
            stat64_add(&s->bytes, bytes);
            trace_virtio_echo_batch(s->name, echo_queue_index(q), n);
        }
    }
    virtio_dataplane_notify(&s->dataplane, q->vq);

    for (unsigned i = 0; i < n; i++) {
        virtqueue_free_element(q->vq, q->held[i]);
    }
}

/*
 * Pop, echo and complete one batch; *bytes grows by what was echoed.
 * Returns the number of requests.
 */
static unsigned echo_batch(VirtIOEchoQueue *q, uint64_t *bytes)
{
    VirtIOEcho *s = q->echo;
    unsigned n = 0;

    /* Once for the batch: each lock that is not inside another is a fence */
    RCU_READ_LOCK_GUARD();
    while (n < s->conf.batch && *bytes < PASS_BYTES) {
        VirtIOEchoRequest *req = virtqueue_pop(q->vq, sizeof(*req));

        if (!req) {
            break;
        }
        if (!virtqueue_element_is_ram(&req->elem)) {
            virtio_error(VIRTIO_DEVICE(s), "%s: queue %u: request %u has a "
                         "writable buffer outside of RAM", s->name,
                         echo_queue_index(q), req->elem.index);
            /* Let go of with the batch, with nothing written. */
            req->used = 0;
            q->held[n++] = req;
            break;
        }
        req->used = echo_copy(&req->elem, s->conf.max_request);
        if (trace_event_get_state_backends(TRACE_VIRTIO_ECHO_REQUEST)) {
            const VirtQueueElement *e = &req->elem;

            trace_virtio_echo_request(s->name, echo_queue_index(q), e->index,
                                      iov_size(e->out_sg, e->out_num),
                                      iov_size(e->in_sg, e->in_num),
                                      req->used);
        }
        *bytes += req->used;
        q->held[n++] = req;
    }
    if (n) {
        echo_complete(q, n);
    }
    return n;
}

/* Returns true when the pass gave way with requests left in the queue. */
static bool echo_pass(VirtIOEchoQueue *q)
{
    VirtIOEcho *s = q->echo;
    bool suppress = virtio_queue_get_notification(q->vq);
    unsigned requests = 0, n;
    uint64_t bytes = 0;

    for (bool first = true;; first = false) {
        unsigned before = requests;

        if (suppress) {
            virtio_queue_set_notification(q->vq, 0);
        }
        do {
            n = echo_batch(q, &bytes);
            requests += n;
        } while (n && requests < PASS_REQUESTS && bytes < PASS_BYTES);
        if (suppress) {
            virtio_queue_set_notification(q->vq, 1);
        }

        if (virtio_queue_empty(q->vq)) {
            return false;
        }
        if (requests >= PASS_REQUESTS || bytes >= PASS_BYTES) {
            trace_virtio_echo_pause(s->name, echo_queue_index(q), requests,
                                    bytes);
            return true;
        }
        if (requests == before && !first) {
            /* The ring offers requests it does not give out. */
            return false;
        }
    }
}

/* Context: BQL held, or the IOThread while the dataplane is started */
static void echo_serve(VirtIOEchoQueue *q)
{
    bool more;

    if (q->busy) {
        return;
    }
    q->busy = true;
    more = echo_pass(q);
    q->busy = false;

    if (more && !virtio_dataplane_again(&q->echo->dataplane, q->vq)) {
        qemu_bh_schedule(q->bh);
    }
}

static void echo_handle_output(VirtIODevice *vdev, VirtQueue *vq)
{
    VirtIOEcho *s = VIRTIO_ECHO(vdev);

    echo_serve(&s->queues[virtio_get_queue_index(vq)]);
}

/* Context: main loop, BQL held */
static void echo_bh(void *opaque)
{
    VirtIOEchoQueue *q = opaque;
    VirtIODevice *vdev = VIRTIO_DEVICE(q->echo);

    if (!vdev->vm_running || !(vdev->status & VIRTIO_CONFIG_S_DRIVER_OK)) {
        /* echo_set_status() starts over */
        return;
    }
    if (!virtio_dataplane_again(&q->echo->dataplane, q->vq)) {
        echo_serve(q);
    }
}

static void echo_set_status(VirtIODevice *vdev, uint8_t status)
{
    VirtIOEcho *s = VIRTIO_ECHO(vdev);

    /*
     * A pass that gave way just before the VM stopped or migrated has left
     * requests behind for which no kick will come.
     */
    if (vdev->vm_running && (status & VIRTIO_CONFIG_S_DRIVER_OK)) {
        for (unsigned i = 0; i < s->conf.num_queues; i++) {
            qemu_bh_schedule(s->queues[i].bh);
        }
    }
}

static void echo_reset(VirtIODevice *vdev)
{
    VirtIOEcho *s = VIRTIO_ECHO(vdev);

    trace_virtio_echo_reset(s->name);
    for (unsigned i = 0; i < s->conf.num_queues; i++) {
        qemu_bh_cancel(s->queues[i].bh);
        echo_order_seed(&s->queues[i], s->conf.seed + i);
    }
}

static void echo_queue_reset(VirtIODevice *vdev, uint32_t n)
{
    VirtIOEcho *s = VIRTIO_ECHO(vdev);

    if (n >= s->conf.num_queues) {
        return;
    }
    trace_virtio_echo_queue_reset(s->name, n);
    virtio_dataplane_queue_stop(&s->dataplane, n);
    qemu_bh_cancel(s->queues[n].bh);
    echo_order_seed(&s->queues[n], s->conf.seed + n);
}

static void echo_queue_enable(VirtIODevice *vdev, uint32_t n)
{
    VirtIOEcho *s = VIRTIO_ECHO(vdev);

    if (n >= s->conf.num_queues) {
        return;
    }
    trace_virtio_echo_queue_enable(s->name, n);
    virtio_dataplane_queue_start(&s->dataplane, n);
}

static int echo_start_ioeventfd(VirtIODevice *vdev)
{
    VirtIOEcho *s = VIRTIO_ECHO(vdev);

    if (!s->conf.iothread) {
        return VIRTIO_ECHO_GET_CLASS(s)->parent_start_ioeventfd(vdev);
    }
    return virtio_dataplane_start(&s->dataplane);
}

static void echo_stop_ioeventfd(VirtIODevice *vdev)
{
    VirtIOEcho *s = VIRTIO_ECHO(vdev);

    if (!s->conf.iothread) {
        VIRTIO_ECHO_GET_CLASS(s)->parent_stop_ioeventfd(vdev);
    } else {
        virtio_dataplane_stop(&s->dataplane);
    }
}

static uint64_t echo_get_features(VirtIODevice *vdev, uint64_t features,
                                  Error **errp)
{
    VirtIOEcho *s = VIRTIO_ECHO(vdev);

    if (s->conf.order != VIRTIO_ECHO_ORDER_FIFO) {
        virtio_add_feature(&features, VIRTIO_ECHO_F_ORDER);
    }
    return features;
}

static void echo_get_config(VirtIODevice *vdev, uint8_t *data)
{
    VirtIOEcho *s = VIRTIO_ECHO(vdev);
    struct virtio_echo_config config = {
        .max_request = cpu_to_le32(s->conf.max_request),
        .num_queues = cpu_to_le16(s->conf.num_queues),
        .batch = cpu_to_le16(s->conf.batch),
        .order = s->conf.order,
    };

    memcpy(data, &config, sizeof(config));
}

static bool echo_check_conf(VirtIOEcho *s, Error **errp)
{
    VirtIOEchoConf *conf = &s->conf;

    if (!conf->num_queues || conf->num_queues > VIRTIO_ECHO_QUEUES_MAX) {
        error_setg(errp, "num-queues is %u, it must be between 1 and %d",
                   conf->num_queues, VIRTIO_ECHO_QUEUES_MAX);
        return false;
    }
    if (!conf->batch || conf->batch > VIRTQUEUE_MAX_SIZE) {
        error_setg(errp, "batch is %u, it must be between 1 and %d",
                   conf->batch, VIRTQUEUE_MAX_SIZE);
        return false;
    }
    if (!conf->max_request || conf->max_request > VIRTIO_ECHO_REQUEST_MAX) {
        error_setg(errp, "max-request is %" PRIu32 " bytes, it must be "
                   "between 1 and %" PRIu64, conf->max_request,
                   (uint64_t)VIRTIO_ECHO_REQUEST_MAX);
        return false;
    }
    if (conf->order != VIRTIO_ECHO_ORDER_FIFO &&
        virtio_host_has_feature(VIRTIO_DEVICE(s), VIRTIO_F_IN_ORDER)) {
        error_setg(errp, "in_order promises completion in order, order asks "
                   "for another one");
        error_append_hint(errp, "Set order to fifo or in_order to off\n");
        return false;
    }
    return true;
}

static void echo_realize(DeviceState *dev, Error **errp)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(dev);
    VirtIOEcho *s = VIRTIO_ECHO(dev);
    DeviceState *transport = qdev_get_parent_bus(dev)->parent;

    if (!echo_check_conf(s, errp) ||
        !virtio_dataplane_init(&s->dataplane, vdev, s->conf.num_queues,
                               s->conf.iothread, errp)) {
        return;
    }

    s->name = g_strdup(transport->id ?: object_get_typename(OBJECT(dev)));
    stat64_init(&s->requests, 0);
    stat64_init(&s->bytes, 0);

    virtio_init(vdev, VIRTIO_ID_ECHO, sizeof(struct virtio_echo_config));
    s->queues = g_new0(VirtIOEchoQueue, s->conf.num_queues);
    for (unsigned i = 0; i < s->conf.num_queues; i++) {
        VirtIOEchoQueue *q = &s->queues[i];

        q->echo = s;
        q->vq = virtio_add_queue(vdev, VIRTQUEUE_MAX_SIZE,
                                 echo_handle_output);
        virtio_queue_reads_on(q->vq);
        q->bh = virtio_bh_new_guarded(dev, echo_bh, q);
        q->held = g_new(VirtIOEchoRequest *, s->conf.batch);
        echo_order_seed(q, s->conf.seed + echo_queue_index(q));
    }
}

static void echo_unrealize(DeviceState *dev)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(dev);
    VirtIOEcho *s = VIRTIO_ECHO(dev);

    for (unsigned i = 0; i < s->conf.num_queues; i++) {
        qemu_bh_delete(s->queues[i].bh);
        g_free(s->queues[i].held);
        virtio_delete_queue(s->queues[i].vq);
    }
    g_clear_pointer(&s->queues, g_free);
    virtio_dataplane_cleanup(&s->dataplane);
    virtio_cleanup(vdev);
    g_clear_pointer(&s->name, g_free);
}

static const VMStateDescription vmstate_echo_queue = {
    .name = "virtio-echo-queue",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT64(rng, VirtIOEchoQueue),
        VMSTATE_END_OF_LIST()
    },
};

/* Ring state is saved by the core; a pass leaves nothing else behind. */
static const VMStateDescription vmstate_echo_device = {
    .name = "virtio-echo-device",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT16_EQUAL(conf.num_queues, VirtIOEcho,
                             "Give num-queues the same value on both sides"),
        VMSTATE_UINT16_EQUAL(conf.batch, VirtIOEcho,
                             "Give batch the same value on both sides"),
        VMSTATE_UINT32_EQUAL(conf.max_request, VirtIOEcho,
                             "Give max-request the same value on both sides"),
        VMSTATE_INT32_EQUAL(conf.order, VirtIOEcho,
                            "Give order the same value on both sides"),
        VMSTATE_STRUCT_VARRAY_POINTER_UINT16(queues, VirtIOEcho,
                                             conf.num_queues,
                                             vmstate_echo_queue,
                                             VirtIOEchoQueue),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_echo = {
    .name = "virtio-echo",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_VIRTIO_DEVICE,
        VMSTATE_END_OF_LIST()
    },
};

static const char *const echo_order_names[] = {
    [VIRTIO_ECHO_ORDER_FIFO] = "fifo",
    [VIRTIO_ECHO_ORDER_LIFO] = "lifo",
    [VIRTIO_ECHO_ORDER_RANDOM] = "random",
};

static const QEnumLookup echo_order_lookup = {
    .array = echo_order_names,
    .size = ARRAY_SIZE(echo_order_names),
};

static const PropertyInfo echo_order_info =
    VIRTIO_ENUM_PROP("VirtIOEchoOrder", &echo_order_lookup, NULL);

static const Property echo_properties[] = {
    DEFINE_PROP_UINT16("num-queues", VirtIOEcho, conf.num_queues, 1),
    DEFINE_PROP_UINT16("batch", VirtIOEcho, conf.batch, 64),
    DEFINE_PROP_SIGNED("order", VirtIOEcho, conf.order, VIRTIO_ECHO_ORDER_FIFO,
                       echo_order_info, int),
    DEFINE_PROP_SIZE32("max-request", VirtIOEcho, conf.max_request, 1 * MiB),
    DEFINE_PROP_UINT64("seed", VirtIOEcho, conf.seed, 0),
    DEFINE_PROP_LINK("iothread", VirtIOEcho, conf.iothread, TYPE_IOTHREAD,
                     IOThread *),
};

static const char *const echo_descriptions[][2] = {
    { "num-queues", "Number of queues, 1 to 256" },
    { "batch", "Most requests held and completed together, 1 to 1024" },
    { "order", "Order in which the requests of a batch complete: fifo, lifo "
               "or random" },
    { "max-request", "Most bytes copied per request, up to 16 MiB" },
    { "seed", "Start of the shuffle of order=random; queue n starts from "
              "seed + n" },
    { "iothread", "IOThread that serves the queues; without it the main loop "
                  "does" },
};

static void echo_get_counter(Object *obj, Visitor *v, const char *name,
                             void *opaque, Error **errp)
{
    const Stat64 *counter = (void *)obj + (uintptr_t)opaque;
    uint64_t value = stat64_get(counter);

    visit_type_uint64(v, name, &value, errp);
}

static void echo_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    VirtioDeviceClass *vdc = VIRTIO_DEVICE_CLASS(klass);
    VirtIOEchoClass *ec = VIRTIO_ECHO_CLASS(klass);

    device_class_set_props(dc, echo_properties);
    for (size_t i = 0; i < ARRAY_SIZE(echo_descriptions); i++) {
        object_class_property_set_description(klass, echo_descriptions[i][0],
                                              echo_descriptions[i][1]);
    }
    object_class_property_add(klass, "requests", "uint64", echo_get_counter,
                              NULL, NULL,
                              (void *)offsetof(VirtIOEcho, requests));
    object_class_property_set_description(klass, "requests",
        "Requests completed since the device was created (read-only)");
    object_class_property_add(klass, "bytes", "uint64", echo_get_counter,
                              NULL, NULL,
                              (void *)offsetof(VirtIOEcho, bytes));
    object_class_property_set_description(klass, "bytes",
        "Bytes echoed since the device was created (read-only)");

    dc->desc = "Virtio test device that returns what it is sent";
    dc->vmsd = &vmstate_echo;
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);

    ec->parent_start_ioeventfd = vdc->start_ioeventfd;
    ec->parent_stop_ioeventfd = vdc->stop_ioeventfd;
    vdc->start_ioeventfd = echo_start_ioeventfd;
    vdc->stop_ioeventfd = echo_stop_ioeventfd;
    vdc->realize = echo_realize;
    vdc->unrealize = echo_unrealize;
    vdc->get_features = echo_get_features;
    vdc->get_config = echo_get_config;
    vdc->set_status = echo_set_status;
    vdc->reset = echo_reset;
    vdc->queue_reset = echo_queue_reset;
    vdc->queue_enable = echo_queue_enable;
    vdc->vmsd = &vmstate_echo_device;
}

static const TypeInfo echo_info = {
    .name = TYPE_VIRTIO_ECHO,
    .parent = TYPE_VIRTIO_DEVICE,
    .instance_size = sizeof(VirtIOEcho),
    .class_size = sizeof(VirtIOEchoClass),
    .class_init = echo_class_init,
};

static void echo_register_types(void)
{
    type_register_static(&echo_info);
}

type_init(echo_register_types)
