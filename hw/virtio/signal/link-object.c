/*
 * virtio-signal: the signal-link object
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "chardev/char-socket.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "qemu/error-report.h"
#include "qemu/module.h"
#include "qom/object_interfaces.h"
#include "bucket.h"
#include "link.h"

#define CREDITS_DEFAULT 64

static void link_event(void *opaque, QEMUChrEvent event)
{
    SignalLink *l = opaque;

    if (event == CHR_EVENT_OPENED) {
        signal_link_closed(l);
        signal_link_alive_open(l);
    } else if (event == CHR_EVENT_CLOSED) {
        signal_link_closed(l);
    }
}

static void link_close_bh(void *opaque)
{
    SignalLink *l = opaque;

    qemu_chr_fe_disconnect(&l->chr);
    /* Not every chardev can be disconnected; to us it is closed. */
    signal_link_closed(l);
}

static void link_vm_change(void *opaque, bool running, RunState state)
{
    SignalLink *l = opaque;

    if (running) {
        l->paused = false;
    }
}

static void link_warn_plain(const SignalLink *l, Chardev *chr)
{
    Object *obj = object_dynamic_cast(OBJECT(chr), TYPE_CHARDEV_SOCKET);
    SocketChardev *socket = obj ? SOCKET_CHARDEV(obj) : NULL;

    if (socket && socket->addr->type == SOCKET_ADDRESS_TYPE_INET &&
        (!socket->tls_creds || (socket->is_listen && !socket->tls_authz))) {
        warn_report("signal-link '%s': whoever reaches the TCP port of chardev "
                    "'%s' is taken for node %u; give the chardev tls-creds and "
                    "tls-authz", l->id, l->chardev_id, l->peer_node);
    }
}

static void link_complete(UserCreatable *uc, Error **errp)
{
    SignalLink *l = SIGNAL_LINK(uc);
    Chardev *chr;

    if (!l->bus || !l->chardev_id || !l->has_local_node || !l->has_peer_node) {
        error_setg(errp, "a signal-link needs signal-bus, chardev, local-node "
                   "and peer-node");
        return;
    }
    if (l->local_node == l->peer_node) {
        error_setg(errp, "local-node and peer-node are both %u",
                   l->local_node);
        return;
    }
    if (!l->credits || l->credits > VIRTIO_SIGNAL_LINK_CREDITS_MAX) {
        error_setg(errp, "credits is %u, it must be between 1 and %d",
                   l->credits, VIRTIO_SIGNAL_LINK_CREDITS_MAX);
        return;
    }
    if (!signal_bucket_check(&l->bucket, errp)) {
        return;
    }
    chr = qemu_chr_find(l->chardev_id);
    if (!chr) {
        error_setg(errp, "chardev '%s' not found", l->chardev_id);
        return;
    }

    l->id = g_strdup(object_get_canonical_path_component(OBJECT(l)));
    l->port = (SignalPort) {
        .ops = &signal_link_port_ops,
        .owner = l,
        .link = l->id,
        .node = l->peer_node,
        .seen_by = l->local_node,
        .state = VIRTIO_SIGNAL_PEER_DOWN,
        .limited = &l->bucket.limited,
    };
    if (!signal_bus_add(l->bus, &l->port, errp)) {
        return;
    }
    object_ref(OBJECT(l->bus));
    if (!qemu_chr_fe_init(&l->chr, chr, errp)) {
        signal_bus_remove(&l->port);
        object_unref(OBJECT(l->bus));
        return;
    }
    link_warn_plain(l, chr);
    l->complete = true;
    l->reply_end = g_new0(uint64_t, l->credits);
    l->out = g_byte_array_new();
    l->ping_slot = -1;
    l->close_bh = qemu_bh_new(link_close_bh, l);
    l->timer = timer_new_ns(signal_clock(), signal_link_alive_tick, l);
    l->tell_timer = timer_new_ns(signal_clock(), signal_link_tell_tick, l);
    l->vmstate = qemu_add_vm_change_state_handler(link_vm_change, l);
    qemu_chr_fe_set_handlers(&l->chr, signal_link_can_read, signal_link_read,
                             link_event, NULL, l, NULL, true);
}

static void link_finalize(Object *obj)
{
    SignalLink *l = SIGNAL_LINK(obj);

    if (l->complete) {
        static const char why[] = "the link was deleted";
        SignalBus *bus = l->port.bus;

        /* The chardev stays, and would keep the connection, unread. */
        if (l->state == SIGNAL_LINK_HELLO || l->state == SIGNAL_LINK_UP) {
            signal_link_send(l, VIRTIO_SIGNAL_LINK_BYE, why, strlen(why));
        }
        /* A socket that is still connecting does not bear it. */
        if (l->state != SIGNAL_LINK_CLOSED) {
            qemu_chr_fe_disconnect(&l->chr);
        }
        qemu_chr_fe_deinit(&l->chr, false);
        signal_link_closed(l);
        if (timer_pending(l->tell_timer)) {
            signal_bus_changed(&l->port);
        }
        signal_bus_remove(&l->port);
        object_unref(OBJECT(bus));
        timer_free(l->tell_timer);
        qemu_bh_delete(l->close_bh);
        timer_free(l->timer);
        qemu_del_vm_change_state_handler(l->vmstate);
        g_byte_array_free(l->out, true);
        g_free(l->reply_end);
    }
    g_free(l->port.error);
    g_free(l->id);
    g_free(l->chardev_id);
}

static void link_init(Object *obj)
{
    SignalLink *l = SIGNAL_LINK(obj);

    l->accept = SIGNAL_CLASSES_EVENT;
    l->credits = CREDITS_DEFAULT;
    l->ping_ms = SIGNAL_PING_MS_DEFAULT;
    l->bucket.burst = SIGNAL_BURST_DEFAULT;
    l->refusals = (SignalBucket) { .rate = 1, .burst = 8 };
    l->actions = (SignalBucket) { .rate = 1, .burst = 8 };
    l->changes = (SignalBucket) { .rate = 10, .burst = 32 };
}

static bool link_settable(SignalLink *l, Error **errp)
{
    if (l->complete) {
        error_setg(errp, "a signal-link cannot be changed, make another one");
    }
    return !l->complete;
}

static char *link_get_chardev(Object *obj, Error **errp)
{
    return g_strdup(SIGNAL_LINK(obj)->chardev_id);
}

static void link_set_chardev(Object *obj, const char *value, Error **errp)
{
    SignalLink *l = SIGNAL_LINK(obj);

    if (link_settable(l, errp)) {
        g_free(l->chardev_id);
        l->chardev_id = g_strdup(value);
    }
}

/* @opaque is the offset of the number in SignalLink. */
static void link_get_number(Object *obj, Visitor *v, const char *name,
                            void *opaque, Error **errp)
{
    uint16_t *number = (void *)obj + (uintptr_t)opaque;

    visit_type_uint16(v, name, number, errp);
}

static void link_set_number(Object *obj, Visitor *v, const char *name,
                            void *opaque, Error **errp)
{
    SignalLink *l = SIGNAL_LINK(obj);
    uint16_t *number = (void *)obj + (uintptr_t)opaque;

    if (link_settable(l, errp) && visit_type_uint16(v, name, number, errp)) {
        l->has_local_node |= number == &l->local_node;
        l->has_peer_node |= number == &l->peer_node;
    }
}

static void link_get_number32(Object *obj, Visitor *v, const char *name,
                              void *opaque, Error **errp)
{
    visit_type_uint32(v, name, (void *)obj + (uintptr_t)opaque, errp);
}

static void link_set_number32(Object *obj, Visitor *v, const char *name,
                              void *opaque, Error **errp)
{
    if (link_settable(SIGNAL_LINK(obj), errp)) {
        visit_type_uint32(v, name, (void *)obj + (uintptr_t)opaque, errp);
    }
}

/* @opaque is the class. */
static void link_get_accept(Object *obj, Visitor *v, const char *name,
                            void *opaque, Error **errp)
{
    bool value = SIGNAL_LINK(obj)->accept & (1u << (uintptr_t)opaque);

    visit_type_bool(v, name, &value, errp);
}

static void link_set_accept(Object *obj, Visitor *v, const char *name,
                            void *opaque, Error **errp)
{
    SignalLink *l = SIGNAL_LINK(obj);
    uint32_t bit = 1u << (uintptr_t)opaque;
    bool value;

    if (!visit_type_bool(v, name, &value, errp)) {
        return;
    }
    /* The peer heard what it may do in HELLO; taking it back needs no word. */
    if (!value) {
        l->accept &= ~bit;
    } else if (!(l->accept & bit) && link_settable(l, errp)) {
        l->accept |= bit;
    }
}

static int link_get_kill_action(Object *obj, Error **errp)
{
    return SIGNAL_LINK(obj)->kill_action;
}

static void link_set_kill_action(Object *obj, int value, Error **errp)
{
    SignalLink *l = SIGNAL_LINK(obj);

    if (link_settable(l, errp)) {
        l->kill_action = value;
    }
}

static void link_check_bus(const Object *obj, const char *name, Object *val,
                           Error **errp)
{
    link_settable(SIGNAL_LINK(obj), errp);
}

static void link_class_init(ObjectClass *klass, void *data)
{
    static const struct {
        const char *name;
        unsigned class_id;
        const char *description;
    } accept[] = {
        { "accept-irq", VIRTIO_SIGNAL_CLASS_IRQ, "Let the peer send IRQ" },
        { "accept-doorbell", VIRTIO_SIGNAL_CLASS_DOORBELL,
          "Let the peer send DOORBELL" },
        { "accept-nmi", VIRTIO_SIGNAL_CLASS_NMI,
          "Let the peer send NMI to CPUs whose driver accepts it" },
        { "accept-boot", VIRTIO_SIGNAL_CLASS_BOOT,
          "Let the peer start this machine when it is held or was paused" },
        { "accept-reset", VIRTIO_SIGNAL_CLASS_RESET,
          "Let the peer reset this machine" },
        { "accept-stop", VIRTIO_SIGNAL_CLASS_STOP,
          "Let the peer press this machine's power button" },
        { "accept-kill", VIRTIO_SIGNAL_CLASS_KILL,
          "Let the peer end or pause this machine" },
    };
    static const struct {
        const char *name;
        size_t offset;
        bool wide;
        const char *description;
    } numbers[] = {
        { "local-node", offsetof(SignalLink, local_node), false,
          "Node of the device that talks to the peer" },
        { "peer-node", offsetof(SignalLink, peer_node), false,
          "Node of the peer's device" },
        { "credits", offsetof(SignalLink, credits), false,
          "Requests the peer may have outstanding, 1 to 1024" },
        { "rate", offsetof(SignalLink, bucket.rate), true,
          "Requests of the peer served in a second; 0 is no limit" },
        { "burst", offsetof(SignalLink, bucket.burst), true,
          "Requests of the peer served at once where rate limits them" },
        { "ping-ms", offsetof(SignalLink, ping_ms), true,
          "Milliseconds of silence before the peer is asked; 0 is never" },
    };

    USER_CREATABLE_CLASS(klass)->complete = link_complete;
    object_class_property_add_link(klass, "signal-bus", TYPE_SIGNAL_BUS,
                                   offsetof(SignalLink, bus), link_check_bus,
                                   OBJ_PROP_LINK_STRONG);
    object_class_property_set_description(klass, "signal-bus",
        "signal-bus that the peer appears on");
    object_class_property_add_str(klass, "chardev", link_get_chardev,
                                  link_set_chardev);
    object_class_property_set_description(klass, "chardev",
        "Character device that leads to the peer");
    object_class_property_add_enum(klass, "kill-action", "SignalKillAction",
                                   &SignalKillAction_lookup,
                                   link_get_kill_action, link_set_kill_action);
    object_class_property_set_description(klass, "kill-action",
        "What KILL does: shutdown (end QEMU) or pause");
    for (size_t i = 0; i < ARRAY_SIZE(accept); i++) {
        object_class_property_add(klass, accept[i].name, "bool",
                                  link_get_accept, link_set_accept, NULL,
                                  (void *)(uintptr_t)accept[i].class_id);
        object_class_property_set_description(klass, accept[i].name,
                                              accept[i].description);
    }
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        bool wide = numbers[i].wide;

        object_class_property_add(klass, numbers[i].name,
                                  wide ? "uint32" : "uint16",
                                  wide ? link_get_number32 : link_get_number,
                                  wide ? link_set_number32 : link_set_number,
                                  NULL, (void *)numbers[i].offset);
        object_class_property_set_description(klass, numbers[i].name,
                                              numbers[i].description);
    }
}

static const TypeInfo link_info = {
    .name = TYPE_SIGNAL_LINK,
    .parent = TYPE_OBJECT,
    .instance_size = sizeof(SignalLink),
    .instance_init = link_init,
    .instance_finalize = link_finalize,
    .class_init = link_class_init,
    .interfaces = (InterfaceInfo[]) {
        { TYPE_USER_CREATABLE },
        { }
    },
};

static void link_register_types(void)
{
    type_register_static(&link_info);
}

type_init(link_register_types)
