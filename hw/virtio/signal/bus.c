/*
 * virtio-signal: the bus that joins nodes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "crypto/random.h"
#include "qapi/error.h"
#include "qemu/main-loop.h"
#include "qemu/module.h"
#include "qom/object_interfaces.h"
#include "bus.h"
#include "trace.h"

struct SignalBus {
    Object parent_obj;

    QTAILQ_HEAD(, SignalPort) ports;    /* by rising node number */
    GHashTable *first;                  /* of those of a node, by its number */
    unsigned count;
    uint64_t members;   /* how often a port came or went */
    QTAILQ_HEAD(, SignalPort) news;     /* copies of ports that changed */
    uint64_t told;      /* how many of them were told */
    QEMUBH *bh;         /* tells them */
};

static SignalPort *bus_first(SignalBus *bus, uint16_t node)
{
    return g_hash_table_lookup(bus->first, GUINT_TO_POINTER(node));
}

/* @port is about to go; those of a node stand side by side. */
static void bus_forget(SignalBus *bus, SignalPort *port)
{
    gpointer key = GUINT_TO_POINTER(port->node);
    SignalPort *after = QTAILQ_NEXT(port, next);

    if (bus_first(bus, port->node) != port) {
        return;
    }
    if (after && after->node == port->node) {
        g_hash_table_insert(bus->first, key, after);
    } else {
        g_hash_table_remove(bus->first, key);
    }
}

static bool port_seen_by(const SignalPort *port, uint16_t node)
{
    return port->node != node && (port->seen_by == VIRTIO_SIGNAL_NODE_ALL ||
                                  port->seen_by == node);
}

/* Two ports that one node could not tell apart */
static bool ports_clash(const SignalPort *a, const SignalPort *b)
{
    return a->node == b->node && (a->seen_by == b->seen_by ||
                                  a->seen_by == VIRTIO_SIGNAL_NODE_ALL ||
                                  b->seen_by == VIRTIO_SIGNAL_NODE_ALL);
}

bool signal_bus_add(SignalBus *bus, SignalPort *port, Error **errp)
{
    SignalPort *other, *before = NULL;

    if (port->node > VIRTIO_SIGNAL_NODE_MAX) {
        error_setg(errp, "node %u is reserved, the highest one is %u",
                   port->node, VIRTIO_SIGNAL_NODE_MAX);
        return false;
    }
    if (bus->count >= SIGNAL_BUS_NODES_MAX) {
        error_setg(errp, "the signal-bus is full, it takes %d nodes",
                   SIGNAL_BUS_NODES_MAX);
        return false;
    }
    QTAILQ_FOREACH(other, &bus->ports, next) {
        if (ports_clash(port, other)) {
            error_setg(errp, "node %u is already on the signal-bus, as %s%s",
                       port->node, other->link ? "the peer of link " :
                       "a device", other->link ?: "");
            return false;
        }
        if (!before && other->node > port->node) {
            before = other;
        }
    }
    if (before) {
        QTAILQ_INSERT_BEFORE(before, port, next);
    } else {
        QTAILQ_INSERT_TAIL(&bus->ports, port, next);
    }
    if (!bus_first(bus, port->node)) {
        g_hash_table_insert(bus->first, GUINT_TO_POINTER(port->node), port);
    }
    bus->count++;
    bus->members++;
    port->bus = bus;
    if (port->state != VIRTIO_SIGNAL_PEER_DOWN) {
        signal_bus_changed(port);
    }
    return true;
}

void signal_bus_remove(SignalPort *port)
{
    SignalBus *bus = port->bus;

    if (!bus) {
        return;
    }
    if (port->state != VIRTIO_SIGNAL_PEER_DOWN) {
        port->state = VIRTIO_SIGNAL_PEER_DOWN;
        port->num_targets = 0;
        signal_bus_changed(port);
    }
    bus_forget(bus, port);
    QTAILQ_REMOVE(&bus->ports, port, next);
    bus->count--;
    bus->members++;
    port->bus = NULL;
}

/* A link tells its peer of its own device only. */
static bool port_hears_of(const SignalPort *other, const SignalPort *port)
{
    return other->link ? other->seen_by == port->node && !port->link
                       : port_seen_by(port, other->node);
}

/* @port is a copy: the port itself may go while others hear of it. */
static void bus_tell(SignalBus *bus, const SignalPort *port)
{
    SignalPort *other = QTAILQ_FIRST(&bus->ports);
    uint64_t told = ++bus->told;

    trace_virtio_signal_node(port->node, port->state, port->num_targets);
    while (other) {
        uint64_t members = bus->members;

        if (other->told != told && port_hears_of(other, port)) {
            other->told = told;
            other->ops->changed(other, port);
        }
        /* From the start if @other may be gone; who has heard is passed by. */
        other = members == bus->members ? QTAILQ_NEXT(other, next)
                                        : QTAILQ_FIRST(&bus->ports);
    }
}

static void bus_bh(void *opaque)
{
    SignalBus *bus = opaque;
    SignalPort *port;
    unsigned left = 0;

    QTAILQ_FOREACH(port, &bus->news, next) {
        left++;
    }
    object_ref(OBJECT(bus));
    /* What comes meanwhile has scheduled another turn. */
    while (left-- && (port = QTAILQ_FIRST(&bus->news))) {
        QTAILQ_REMOVE(&bus->news, port, next);
        bus_tell(bus, port);
        g_free(port);
    }
    object_unref(OBJECT(bus));
}

void signal_bus_changed(SignalPort *port)
{
    SignalBus *bus = port->bus;
    SignalPort *copy;

    if (!bus) {
        return;
    }
    QTAILQ_FOREACH(copy, &bus->news, next) {
        if (copy->node == port->node && copy->seen_by == port->seen_by) {
            QTAILQ_REMOVE(&bus->news, copy, next);
            g_free(copy);
            break;
        }
    }
    copy = g_memdup2(port, sizeof(*port));
    QTAILQ_INSERT_TAIL(&bus->news, copy, next);
    qemu_bh_schedule(bus->bh);
}

SignalPort *signal_bus_find(SignalBus *bus, uint16_t from, uint16_t node)
{
    SignalPort *port = bus_first(bus, node);

    while (port && port->node == node) {
        if (port_seen_by(port, from)) {
            return port;
        }
        port = QTAILQ_NEXT(port, next);
    }
    return NULL;
}

SignalPort *signal_bus_next(SignalBus *bus, uint16_t from, SignalWalk *walk)
{
    bool begun = walk->port, same = begun && walk->members == bus->members;
    SignalPort *port = same ? QTAILQ_NEXT(walk->port, next)
                            : QTAILQ_FIRST(&bus->ports);

    /* A node sees at most one port of each number. */
    while (port && ((begun && port->node <= walk->node) ||
                    !port_seen_by(port, from))) {
        port = QTAILQ_NEXT(port, next);
    }
    if (port) {
        *walk = (SignalWalk) { port, bus->members, port->node };
    }
    return port;
}

void signal_bus_cancel(SignalBus *bus, SignalCall *call)
{
    SignalPort *port;

    QTAILQ_FOREACH(port, &bus->ports, next) {
        if (port->ops->cancel) {
            port->ops->cancel(port, call);
        }
    }
}

uint64_t signal_bus_nonce(void)
{
    static uint64_t nonce;

    /* Not what -seed makes the same in every QEMU */
    while (!nonce) {
        qcrypto_random_bytes(&nonce, sizeof(nonce), &error_fatal);
    }
    return nonce;
}

static bool signal_bus_can_be_deleted(UserCreatable *uc)
{
    return !SIGNAL_BUS(uc)->count;
}

static void signal_bus_init(Object *obj)
{
    SignalBus *bus = SIGNAL_BUS(obj);

    QTAILQ_INIT(&bus->ports);
    QTAILQ_INIT(&bus->news);
    bus->bh = qemu_bh_new(bus_bh, bus);
    bus->first = g_hash_table_new(NULL, NULL);
}

static void signal_bus_finalize(Object *obj)
{
    SignalBus *bus = SIGNAL_BUS(obj);
    SignalPort *copy, *next;

    qemu_bh_delete(bus->bh);
    QTAILQ_FOREACH_SAFE(copy, &bus->news, next, next) {
        g_free(copy);
    }
    g_hash_table_destroy(bus->first);
}

static void signal_bus_class_init(ObjectClass *klass, void *data)
{
    USER_CREATABLE_CLASS(klass)->can_be_deleted = signal_bus_can_be_deleted;
}

static const TypeInfo signal_bus_info = {
    .name = TYPE_SIGNAL_BUS,
    .parent = TYPE_OBJECT,
    .instance_size = sizeof(SignalBus),
    .instance_init = signal_bus_init,
    .instance_finalize = signal_bus_finalize,
    .class_init = signal_bus_class_init,
    .interfaces = (InterfaceInfo[]) {
        { TYPE_USER_CREATABLE },
        { }
    },
};

static void signal_bus_register_types(void)
{
    type_register_static(&signal_bus_info);
}

type_init(signal_bus_register_types)
