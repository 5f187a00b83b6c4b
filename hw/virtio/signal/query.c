/*
 * virtio-signal: the monitor's view
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/qapi-commands-virtio-signal.h"
#include "bus.h"
#include "deliver.h"

/* The states of the wire are those of the schema. */
QEMU_BUILD_BUG_ON(VIRTIO_SIGNAL_PEER_DOWN !=
                  (int)VIRTIO_SIGNAL_PEER_STATE_DOWN);
QEMU_BUILD_BUG_ON(VIRTIO_SIGNAL_PEER_UP != (int)VIRTIO_SIGNAL_PEER_STATE_UP);
QEMU_BUILD_BUG_ON(VIRTIO_SIGNAL_PEER_READY !=
                  (int)VIRTIO_SIGNAL_PEER_STATE_READY);

static VirtioSignalClassList *query_classes(VirtIOSignal *s)
{
    VirtioSignalClassList *list = NULL;

    for (int i = VIRTIO_SIGNAL_CLASS_COUNT - 1; i >= 0; i--) {
        const VirtIOSignalCount *c = &s->count[i];
        VirtioSignalClass *entry;

        if (!c->sent && !c->refused && !c->received && !c->coalesced &&
            !c->dropped) {
            continue;
        }
        entry = g_new0(VirtioSignalClass, 1);
        *entry = (VirtioSignalClass) {
            .name = g_strdup(signal_class_name(i)),
            .sent = c->sent,
            .refused = c->refused,
            .received = c->received,
            .coalesced = c->coalesced,
            .dropped = c->dropped,
        };
        QAPI_LIST_PREPEND(list, entry);
    }
    return list;
}

static VirtioSignalPeerList *query_peers(VirtIOSignal *s)
{
    VirtioSignalPeerList *list = NULL, **tail = &list;
    SignalWalk walk = { };
    SignalPort *port;

    while (s->conf.bus &&
           (port = signal_bus_next(s->conf.bus, s->conf.node, &walk))) {
        VirtioSignalPeer *peer = g_new0(VirtioSignalPeer, 1);

        *peer = (VirtioSignalPeer) {
            .node = port->node,
            .link = g_strdup(port->link),
            .state = port->state,
            .targets = port->num_targets,
            .outstanding = port->outstanding,
            .bad_frames = port->bad_frames,
            .denied = port->denied,
            .limited = port->limited ? *port->limited : 0,
            .error = g_strdup(port->error),
            .has_ping_ns = port->ping_ns,
            .ping_ns = port->ping_ns,
        };
        QAPI_LIST_APPEND(tail, peer);
    }
    return list;
}

static VirtioSignalPolling *query_polling(VirtIOSignal *s)
{
    VirtioSignalPolling *polling = g_new0(VirtioSignalPolling, 1);

    polling->max_ns = s->poll_ns_max;
    polling->notified = s->poll_notified;
    polling->avoided = s->poll_avoided;
    for (unsigned i = 0; i < s->conf.targets; i++) {
        polling->targets += s->targets[i].poll_ns != 0;
    }
    return polling;
}

static int query_device(Object *obj, void *opaque)
{
    VirtioSignalInfoList ***tail = opaque;
    VirtIOSignal *s = (VirtIOSignal *)object_dynamic_cast(obj,
                                                          TYPE_VIRTIO_SIGNAL);
    VirtioSignalInfo *info;

    if (!s || !DEVICE(s)->realized) {
        return 0;
    }
    info = g_new0(VirtioSignalInfo, 1);
    *info = (VirtioSignalInfo) {
        .path = object_get_canonical_path(obj),
        .node = s->conf.node,
        .targets = s->conf.targets,
        .lost = s->lost,
        .malformed = s->malformed,
        .yielded = s->yielded,
        .limited = s->bucket.limited,
        .classes = query_classes(s),
        .peers = query_peers(s),
    };
    if (virtio_vdev_has_feature(VIRTIO_DEVICE(s), VIRTIO_SIGNAL_F_POLL)) {
        info->polling = query_polling(s);
    }
    for (unsigned i = 0; i < s->conf.targets; i++) {
        info->targets_started += signal_target_started(&s->targets[i]);
        info->backlog += s->targets[i].count;
    }
    QAPI_LIST_APPEND(*tail, info);
    return 0;
}

VirtioSignalInfoList *qmp_x_query_virtio_signal(Error **errp)
{
    VirtioSignalInfoList *list = NULL, **tail = &list;

    object_child_foreach_recursive(object_get_root(), query_device, &tail);
    return list;
}
