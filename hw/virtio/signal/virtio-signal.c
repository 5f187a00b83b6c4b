/*
 * virtio-signal: interrupts and signals to CPUs and between machines
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The device itself: properties, life, queues, migration. What the queues do
 * is in send.c, ctrl.c and deliver.c; other nodes are reached over bus.c.
 *
 * Everything runs in the main loop with the BQL held. Requests are done when
 * their handler returns, except those that wait for a peer. These are answered
 * before the VM stops, so that migration finds none.
 */

#include "qemu/osdep.h"
#include "hw/boards.h"
#include "hw/qdev-properties.h"
#include "hw/virtio/virtio-guard.h"
#include "migration/vmstate.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "qemu/module.h"
#include "system/kvm.h"
#include "system/runstate.h"
#include "bucket.h"
#include "bus.h"
#include "ctrl.h"
#include "deliver.h"
#include "nmi.h"
#include "send.h"
#include "trace.h"

#define CTRLQ_SIZE 16
#define SENDQ_SIZE 128
#define EVENTQ_SIZE 64
#define SENDQS_MAX 64
#define BACKLOG_MAX 1024
/* Where vCPUs have CPUs to themselves; emulated ones share theirs. */
#define POLL_NS_DEFAULT (kvm_enabled() ? 200000 : 0)

static void signal_node_update(VirtIOSignal *s, uint8_t status)
{
    bool ready = (status & VIRTIO_CONFIG_S_DRIVER_OK) &&
                 !VIRTIO_DEVICE(s)->broken;
    uint16_t state = ready ? VIRTIO_SIGNAL_PEER_READY : VIRTIO_SIGNAL_PEER_UP;

    if (s->port->state != state) {
        s->port->state = state;
        signal_bus_changed(s->port);
    }
}

/* What comes now would be lost: the state is on its way to another host. */
static bool signal_moved(void)
{
    return runstate_check(RUN_STATE_FINISH_MIGRATE) ||
           runstate_check(RUN_STATE_POSTMIGRATE);
}

/* A driver that knows of no other nodes is not there for them. */
static bool signal_hears(VirtIODevice *vdev, const SignalPort *port,
                         uint16_t src_node)
{
    return src_node == port->node || src_node == VIRTIO_SIGNAL_NODE_MGMT ||
           virtio_vdev_has_feature(vdev, VIRTIO_SIGNAL_F_REMOTE);
}

static bool signal_node_submit(SignalPort *port, uint16_t src_node,
                               const SignalMsg *msg, SignalCall *call,
                               SignalResult *res)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(port->owner);

    if (signal_msg_is_lifecycle(msg)) {
        /* This node's machine is the sender's own one. */
        signal_result_refuse(res, VIRTIO_SIGNAL_S_UNSUPP, 1);
    } else if (port->state != VIRTIO_SIGNAL_PEER_READY || signal_moved() ||
               !signal_hears(vdev, port, src_node)) {
        signal_result_refuse(res, VIRTIO_SIGNAL_S_PEER_DOWN, 1);
    } else if (msg->class_id == VIRTIO_SIGNAL_CLASS_NMI &&
               !virtio_vdev_has_feature(vdev, VIRTIO_SIGNAL_F_NMI)) {
        signal_result_refuse(res, VIRTIO_SIGNAL_S_UNSUPP, 1);
    } else {
        VirtIOGuard guard = virtio_guard_engage(vdev);

        signal_deliver(port->owner, src_node, msg, res);
        signal_node_update(port->owner, vdev->status);
        virtio_guard_restore(guard);
    }
    return true;
}

static void signal_node_changed(SignalPort *port, const SignalPort *other)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(port->owner);

    if (virtio_vdev_has_feature(vdev, VIRTIO_SIGNAL_F_REMOTE)) {
        VirtIOGuard guard = virtio_guard_engage(vdev);

        signal_deliver_peer(port->owner, other);
        signal_node_update(port->owner, vdev->status);
        virtio_guard_restore(guard);
    }
}

static const SignalPortOps signal_node_ops = {
    .submit = signal_node_submit,
    .changed = signal_node_changed,
};

static void signal_handle_ctrl(VirtIODevice *vdev, VirtQueue *vq)
{
    VirtIOGuard guard = virtio_guard_engage(vdev);

    signal_ctrl_serve(VIRTIO_SIGNAL(vdev));
    signal_node_update(VIRTIO_SIGNAL(vdev), vdev->status);
    virtio_guard_restore(guard);
}

static void signal_handle_send(VirtIODevice *vdev, VirtQueue *vq)
{
    VirtIOGuard guard = virtio_guard_engage(vdev);

    signal_send_serve(VIRTIO_SIGNAL(vdev));
    signal_node_update(VIRTIO_SIGNAL(vdev), vdev->status);
    virtio_guard_restore(guard);
}

static void signal_handle_event(VirtIODevice *vdev, VirtQueue *vq)
{
    VirtIOSignal *s = VIRTIO_SIGNAL(vdev);
    unsigned first = VIRTIO_SIGNAL_SENDQ0 + s->conf.sendqs;
    VirtIOGuard guard = virtio_guard_engage(vdev);

    signal_target_flush(&s->targets[virtio_get_queue_index(vq) - first]);
    signal_node_update(s, vdev->status);
    virtio_guard_restore(guard);
}

/* Goes on where a pass gave way, and with what waited while the VM stood. */
static void signal_bh(void *opaque)
{
    VirtIOSignal *s = opaque;
    VirtIODevice *vdev = VIRTIO_DEVICE(s);
    VirtIOGuard guard = virtio_guard_engage(vdev);

    if (s->poll_news && vdev->vm_running) {
        s->poll_news = false;
        virtio_notify_config(vdev);
    }
    for (unsigned i = 0; i < s->conf.targets; i++) {
        signal_target_flush(&s->targets[i]);
    }
    signal_ctrl_serve(s);
    signal_send_serve(s);
    signal_node_update(s, vdev->status);
    virtio_guard_restore(guard);
}

static void signal_set_status(VirtIODevice *vdev, uint8_t status)
{
    VirtIOSignal *s = VIRTIO_SIGNAL(vdev);

    if (!vdev->vm_running) {
        VirtIOGuard guard = virtio_guard_engage(vdev);

        signal_send_finish(s);
        virtio_guard_restore(guard);
    } else if ((status & VIRTIO_CONFIG_S_DRIVER_OK) &&
               !virtio_vdev_has_feature(vdev, VIRTIO_F_VERSION_1)) {
        virtio_error(vdev, "%s: the driver does not know virtio 1; on a "
                     "virtio-mmio bus set force-legacy=off", s->name);
    } else if (status & VIRTIO_CONFIG_S_DRIVER_OK) {
        qemu_bh_schedule(s->bh);
    }
    signal_node_update(s, status);
}

static void signal_reset(VirtIODevice *vdev)
{
    VirtIOSignal *s = VIRTIO_SIGNAL(vdev);

    trace_virtio_signal_reset(s->name);
    qemu_bh_cancel(s->bh);
    signal_send_drop(s, NULL);
    for (unsigned i = 0; i < s->conf.targets; i++) {
        signal_target_reset(&s->targets[i]);
    }
}

static void signal_queue_reset(VirtIODevice *vdev, uint32_t n)
{
    VirtIOSignal *s = VIRTIO_SIGNAL(vdev);
    unsigned first = VIRTIO_SIGNAL_SENDQ0 + s->conf.sendqs;

    if (n >= virtio_signal_num_queues(&s->conf)) {
        return;
    }
    trace_virtio_signal_queue_reset(s->name, n);
    if (n >= first) {
        signal_target_reset(&s->targets[n - first]);
    } else if (n >= VIRTIO_SIGNAL_SENDQ0) {
        signal_send_drop(s, s->sendqs[n - VIRTIO_SIGNAL_SENDQ0]);
    }
}

static uint64_t signal_get_features(VirtIODevice *vdev, uint64_t features,
                                    Error **errp)
{
    VirtIOSignal *s = VIRTIO_SIGNAL(vdev);

    virtio_add_feature(&features, VIRTIO_SIGNAL_F_MASK);
    if (signal_nmi_possible()) {
        virtio_add_feature(&features, VIRTIO_SIGNAL_F_NMI);
    }
    if (s->conf.poll) {
        virtio_add_feature(&features, VIRTIO_SIGNAL_F_POLL);
    }
    if (s->conf.sendqs > 1) {
        virtio_add_feature(&features, VIRTIO_SIGNAL_F_MQ_SEND);
    }
    if (s->conf.bus) {
        virtio_add_feature(&features, VIRTIO_SIGNAL_F_REMOTE);
        if (s->conf.send_classes & SIGNAL_CLASSES_LIFECYCLE) {
            virtio_add_feature(&features, VIRTIO_SIGNAL_F_LIFECYCLE);
        }
    }
    return features;
}

static int signal_validate_features(VirtIODevice *vdev)
{
    /* Lifecycle is between machines. */
    return virtio_vdev_has_feature(vdev, VIRTIO_SIGNAL_F_LIFECYCLE) &&
           !virtio_vdev_has_feature(vdev, VIRTIO_SIGNAL_F_REMOTE) ? -EINVAL : 0;
}

static uint32_t signal_node_classes(void)
{
    return SIGNAL_CLASSES_EVENT |
           (signal_nmi_possible() ? SIGNAL_BIT(NMI) : 0);
}

static void signal_get_config(VirtIODevice *vdev, uint8_t *data)
{
    VirtIOSignal *s = VIRTIO_SIGNAL(vdev);
    struct virtio_signal_config config = {
        .node_id = cpu_to_le16(s->conf.node),
        .max_nodes = cpu_to_le16(s->conf.bus ? SIGNAL_BUS_NODES_MAX : 1),
        .num_targets = cpu_to_le16(s->conf.targets),
        .num_sendqs = cpu_to_le16(s->conf.sendqs),
        .backlog = cpu_to_le16(s->conf.backlog),
        .max_mask_words = cpu_to_le16(VIRTIO_SIGNAL_MASK_WORDS_MAX),
        .send_classes = cpu_to_le32(s->conf.send_classes),
        .recv_classes = cpu_to_le32(signal_node_classes() |
                                    SIGNAL_CLASSES_DEVICE),
        .poll_ns_max = cpu_to_le32(s->conf.poll ? s->poll_ns_max : 0),
    };

    memcpy(data, &config, sizeof(config));
}

void virtio_signal_set_targets(VirtIOSignalConf *conf)
{
    if (!conf->targets) {
        conf->targets = current_machine->smp.max_cpus;
    }
}

static bool signal_check_conf(VirtIOSignal *s, Error **errp)
{
    VirtIOSignalConf *conf = &s->conf;

    if (!conf->sendqs || conf->sendqs > SENDQS_MAX) {
        error_setg(errp, "send-queues is %u, it must be between 1 and %d",
                   conf->sendqs, SENDQS_MAX);
        return false;
    }
    if (virtio_signal_num_queues(conf) > VIRTIO_QUEUE_MAX) {
        error_setg(errp, "%u targets and %u send queues need %u queues, there "
                   "can be %d; set targets to fewer", conf->targets,
                   conf->sendqs, virtio_signal_num_queues(conf),
                   VIRTIO_QUEUE_MAX);
        return false;
    }
    if (!conf->backlog || conf->backlog > BACKLOG_MAX) {
        error_setg(errp, "backlog is %u events, it must be between 1 and %d",
                   conf->backlog, BACKLOG_MAX);
        return false;
    }
    if (conf->node > VIRTIO_SIGNAL_NODE_MAX) {
        error_setg(errp, "node %u is reserved, the highest one is %u",
                   conf->node, VIRTIO_SIGNAL_NODE_MAX);
        return false;
    }
    return signal_bucket_check(&s->bucket, errp);
}

/*
 * Not before unrealize() is over: an interrupt can unplug the device that sends
 * it, or one that a request of another has just reached, and what is on the
 * stack then looks at these once more.
 */
static void signal_finalize(Object *obj)
{
    VirtIOSignal *s = VIRTIO_SIGNAL(obj);

    for (; s->targets_made; s->targets_made--) {
        signal_target_cleanup(&s->targets[s->targets_made - 1]);
    }
    g_clear_pointer(&s->targets, g_free);
    g_clear_pointer(&s->sendqs, g_free);
    g_clear_pointer(&s->port, g_free);
    g_clear_pointer(&s->name, g_free);
}

static void signal_realize(DeviceState *dev, Error **errp)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(dev);
    VirtIOSignal *s = VIRTIO_SIGNAL(dev);

    signal_finalize(OBJECT(dev));
    virtio_signal_set_targets(&s->conf);
    if (!signal_check_conf(s, errp)) {
        return;
    }
    if (!s->poll_ns_max_set) {
        s->poll_ns_max = POLL_NS_DEFAULT;
    }

    s->port = g_new(SignalPort, 1);
    *s->port = (SignalPort) {
        .ops = &signal_node_ops,
        .owner = s,
        .node = s->conf.node,
        .seen_by = VIRTIO_SIGNAL_NODE_ALL,
        .state = VIRTIO_SIGNAL_PEER_UP,
        .num_targets = s->conf.targets,
        .accepts = signal_node_classes(),
        .nonce = signal_bus_nonce(),
    };
    /* Others hear of the node now, but nothing reaches it before DRIVER_OK. */
    if (s->conf.bus && !signal_bus_add(s->conf.bus, s->port, errp)) {
        g_clear_pointer(&s->port, g_free);
        return;
    }

    s->name = g_strdup(DEVICE(qdev_get_parent_bus(dev)->parent)->id ?:
                       "virtio-signal");
    virtio_init(vdev, VIRTIO_ID_SIGNAL, sizeof(struct virtio_signal_config));
    QTAILQ_INIT(&s->calls);
    s->bh = virtio_bh_new_guarded(dev, signal_bh, s);
    s->ctrlq = virtio_add_queue(vdev, CTRLQ_SIZE, signal_handle_ctrl);
    s->sendqs = g_new(VirtQueue *, s->conf.sendqs);
    for (unsigned i = 0; i < s->conf.sendqs; i++) {
        s->sendqs[i] = virtio_add_queue(vdev, SENDQ_SIZE, signal_handle_send);
    }
    s->targets = g_new0(SignalTarget, s->conf.targets);
    for (unsigned i = 0; i < s->conf.targets; i++) {
        signal_target_init(&s->targets[i], s,
                           virtio_add_queue(vdev, EVENTQ_SIZE,
                                            signal_handle_event));
    }
    s->targets_made = s->conf.targets;
}

static void signal_unrealize(DeviceState *dev)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(dev);
    VirtIOSignal *s = VIRTIO_SIGNAL(dev);

    signal_send_drop(s, NULL);
    signal_bus_remove(s->port);
    qemu_bh_delete(s->bh);
    for (unsigned i = 0; i < s->conf.targets; i++) {
        virtio_delete_queue(s->targets[i].vq);
    }
    for (unsigned i = 0; i < s->conf.sendqs; i++) {
        virtio_delete_queue(s->sendqs[i]);
    }
    virtio_delete_queue(s->ctrlq);
    virtio_cleanup(vdev);
}


static const VMStateDescription vmstate_signal_event = {
    .name = "virtio-signal-event",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT16(class_id, SignalEvent),
        VMSTATE_UINT16(signal, SignalEvent),
        VMSTATE_UINT16(src_node, SignalEvent),
        VMSTATE_UINT16(src_target, SignalEvent),
        VMSTATE_BOOL(coalesce, SignalEvent),
        VMSTATE_UINT32(count, SignalEvent),
        VMSTATE_UINT64_ARRAY(payload, SignalEvent, 2),
        VMSTATE_END_OF_LIST()
    },
};

static int signal_target_post_load(void *opaque, int version_id)
{
    return signal_target_loaded(opaque) ? 0 : -EINVAL;
}

static const VMStateDescription vmstate_signal_target = {
    .name = "virtio-signal-target",
    .version_id = 1,
    .minimum_version_id = 1,
    .post_load = signal_target_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32(seq, SignalTarget),
        VMSTATE_UINT32(lost, SignalTarget),
        VMSTATE_UINT32(accept, SignalTarget),
        VMSTATE_UINT32(poll_ns, SignalTarget),
        VMSTATE_UINT16(first, SignalTarget),
        VMSTATE_UINT16(count, SignalTarget),
        VMSTATE_UINT16(ahead, SignalTarget),
        VMSTATE_STRUCT_VARRAY_POINTER_UINT16(backlog, SignalTarget,
                                             depth,
                                             vmstate_signal_event,
                                             SignalEvent),
        VMSTATE_END_OF_LIST()
    },
};

/* Rings are saved by the core; no request is in flight in a stopped VM. */
static const VMStateDescription vmstate_signal_device = {
    .name = "virtio-signal-device",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT16_EQUAL(conf.node, VirtIOSignal,
                             "Give node the same value on both sides"),
        VMSTATE_UINT16_EQUAL(conf.targets, VirtIOSignal,
                             "Give targets the same value on both sides"),
        VMSTATE_UINT16_EQUAL(conf.sendqs, VirtIOSignal,
                             "Give send-queues the same value on both sides"),
        VMSTATE_UINT16_EQUAL(conf.backlog, VirtIOSignal,
                             "Give backlog the same value on both sides"),
        VMSTATE_STRUCT_VARRAY_POINTER_UINT16(targets, VirtIOSignal,
                                             conf.targets,
                                             vmstate_signal_target,
                                             SignalTarget),
        VMSTATE_END_OF_LIST()
    },
};

static void signal_poll_limit(VirtIOSignal *s)
{
    for (unsigned i = 0; i < s->conf.targets; i++) {
        s->targets[i].poll_ns = MIN(s->targets[i].poll_ns, s->poll_ns_max);
    }
}

static void signal_get_poll_ns_max(Object *obj, Visitor *v, const char *name,
                                   void *opaque, Error **errp)
{
    visit_type_uint32(v, name, &VIRTIO_SIGNAL(obj)->poll_ns_max, errp);
}

static void signal_set_poll_ns_max(Object *obj, Visitor *v, const char *name,
                                   void *opaque, Error **errp)
{
    VirtIOSignal *s = VIRTIO_SIGNAL(obj);

    if (!visit_type_uint32(v, name, &s->poll_ns_max, errp)) {
        return;
    }
    s->poll_ns_max_set = true;
    if (DEVICE(s)->realized && s->conf.poll) {
        signal_poll_limit(s);
        virtio_notify_config(VIRTIO_DEVICE(s));
    }
}

static const PropertyInfo signal_poll_ns_max = {
    .type = "uint32",
    .description = "Longest that a target may poll, ns; can be set at any time",
    .realized_set_allowed = true,
    .get = signal_get_poll_ns_max,
    .set = signal_set_poll_ns_max,
};

/* Peers are what they are here, whatever the driver heard there. */
static int signal_post_load(VirtIODevice *vdev)
{
    VirtIOSignal *s = VIRTIO_SIGNAL(vdev);
    SignalWalk walk = { };
    SignalPort *port;

    signal_poll_limit(s);
    s->poll_news = virtio_vdev_has_feature(vdev, VIRTIO_SIGNAL_F_POLL);
    signal_node_update(s, vdev->status);
    if (s->conf.bus && virtio_vdev_has_feature(vdev, VIRTIO_SIGNAL_F_REMOTE)) {
        while ((port = signal_bus_next(s->conf.bus, s->conf.node, &walk))) {
            signal_deliver_peer(s, port);
        }
    }
    return 0;
}

static const VMStateDescription vmstate_signal = {
    .name = "virtio-signal",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_VIRTIO_DEVICE,
        VMSTATE_END_OF_LIST()
    },
};

#define SEND_CLASS(name, class, on) \
    DEFINE_PROP_BIT(name, VirtIOSignal, conf.send_classes, \
                    VIRTIO_SIGNAL_CLASS_##class, on)

static const Property signal_properties[] = {
    DEFINE_PROP_LINK("signal-bus", VirtIOSignal, conf.bus, TYPE_SIGNAL_BUS,
                     SignalBus *),
    DEFINE_PROP_UINT16("node", VirtIOSignal, conf.node, 0),
    DEFINE_PROP_UINT16("targets", VirtIOSignal, conf.targets, 0),
    DEFINE_PROP_UINT16("send-queues", VirtIOSignal, conf.sendqs, 1),
    DEFINE_PROP_UINT16("backlog", VirtIOSignal, conf.backlog, 64),
    DEFINE_PROP_UINT32("rate", VirtIOSignal, bucket.rate, 0),
    DEFINE_PROP_UINT32("burst", VirtIOSignal, bucket.burst,
                       SIGNAL_BURST_DEFAULT),
    DEFINE_PROP_BOOL("poll", VirtIOSignal, conf.poll, false),
    { .name = "poll-ns-max", .info = &signal_poll_ns_max },
    SEND_CLASS("send-irq", IRQ, true),
    SEND_CLASS("send-doorbell", DOORBELL, true),
    SEND_CLASS("send-nmi", NMI, false),
    SEND_CLASS("send-boot", BOOT, false),
    SEND_CLASS("send-reset", RESET, false),
    SEND_CLASS("send-stop", STOP, false),
    SEND_CLASS("send-kill", KILL, false),
};

static const char *const signal_descriptions[][2] = {
    { "signal-bus", "signal-bus on which other nodes are reached" },
    { "node", "Number of this node, 0 to 65533" },
    { "targets", "Event queues; 0 is one per CPU the machine can have" },
    { "send-queues", "Send queues, 1 to 64" },
    { "backlog", "Events kept for a target without buffers, 1 to 1024" },
    { "rate", "Requests the guest may send in a second; 0 is no limit" },
    { "burst", "Requests it may send at once where rate limits it" },
    { "send-irq", "Let the guest send IRQ" },
    { "send-doorbell", "Let the guest send DOORBELL" },
    { "poll", "Let the guest's CPUs poll in place of being interrupted" },
    { "send-nmi", "Let the guest send non-maskable interrupts" },
    { "send-boot", "Let the guest ask other machines to start" },
    { "send-reset", "Let the guest ask for the reset of other machines" },
    { "send-stop", "Let the guest ask other machines to power down" },
    { "send-kill", "Let the guest ask for the end of other machines" },
};

static void signal_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    VirtioDeviceClass *vdc = VIRTIO_DEVICE_CLASS(klass);

    device_class_set_props(dc, signal_properties);
    for (size_t i = 0; i < ARRAY_SIZE(signal_descriptions); i++) {
        object_class_property_set_description(klass, signal_descriptions[i][0],
                                              signal_descriptions[i][1]);
    }
    dc->desc = "Interrupts and signals to CPUs and between machines";
    dc->vmsd = &vmstate_signal;
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);

    vdc->realize = signal_realize;
    vdc->unrealize = signal_unrealize;
    vdc->get_features = signal_get_features;
    vdc->validate_features = signal_validate_features;
    vdc->get_config = signal_get_config;
    vdc->set_status = signal_set_status;
    vdc->reset = signal_reset;
    vdc->queue_reset = signal_queue_reset;
    vdc->post_load = signal_post_load;
    vdc->vmsd = &vmstate_signal_device;
}

static const TypeInfo signal_info = {
    .name = TYPE_VIRTIO_SIGNAL,
    .parent = TYPE_VIRTIO_DEVICE,
    .instance_size = sizeof(VirtIOSignal),
    .instance_finalize = signal_finalize,
    .class_init = signal_class_init,
};

static void signal_register_types(void)
{
    type_register_static(&signal_info);
}

type_init(signal_register_types)
