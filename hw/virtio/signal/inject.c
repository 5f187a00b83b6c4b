/*
 * virtio-signal: signals from the host's management
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/virtio/virtio-signal.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-virtio-signal.h"
#include "bus.h"

/* A transport's ID stands for the device behind it. */
static VirtIOSignal *find_device(const char *id, Error **errp)
{
    Object *obj = object_resolve_path(id, NULL);
    Object *device = obj ? object_dynamic_cast(obj, TYPE_VIRTIO_SIGNAL) : NULL;

    if (obj && !device) {
        obj = object_resolve_path_component(obj, "virtio-backend");
        device = obj ? object_dynamic_cast(obj, TYPE_VIRTIO_SIGNAL) : NULL;
    }
    if (!device || !DEVICE(device)->realized) {
        error_set(errp, ERROR_CLASS_DEVICE_NOT_FOUND,
                  "there is no virtio-signal device '%s'", id);
        return NULL;
    }
    return VIRTIO_SIGNAL(device);
}

VirtioSignalSendResult *qmp_x_virtio_signal_send(
    const char *id, VirtioSignalSendClass class_id, bool has_target,
    uint16_t target, bool has_signal, uint16_t signal, bool has_payload,
    uint64_t payload, Error **errp)
{
    static const uint16_t classes[] = {
        [VIRTIO_SIGNAL_SEND_CLASS_IRQ] = VIRTIO_SIGNAL_CLASS_IRQ,
        [VIRTIO_SIGNAL_SEND_CLASS_DOORBELL] = VIRTIO_SIGNAL_CLASS_DOORBELL,
        [VIRTIO_SIGNAL_SEND_CLASS_NMI] = VIRTIO_SIGNAL_CLASS_NMI,
    };
    VirtIOSignal *s = find_device(id, errp);
    VirtioSignalSendResult *result;
    SignalResult res = { };
    SignalMsg msg;

    if (!s) {
        return NULL;
    }
    if (has_payload && payload &&
        class_id != VIRTIO_SIGNAL_SEND_CLASS_DOORBELL) {
        error_setg(errp, "only a doorbell has a payload");
        return NULL;
    }
    msg = (SignalMsg) {
        .class_id = classes[class_id],
        .dst_node = s->conf.node,
        .target = has_target ? target : VIRTIO_SIGNAL_TARGET_NODE,
        .signal = has_signal ? signal : 0,
        .src_target = VIRTIO_SIGNAL_TARGET_NODE,
        .payload = { has_payload ? payload : 0 },
    };
    s->port->ops->submit(s->port, VIRTIO_SIGNAL_NODE_MGMT, &msg, NULL, &res);
    result = g_new(VirtioSignalSendResult, 1);
    *result = (VirtioSignalSendResult) {
        .status = g_strdup(signal_status_name(signal_result_status(&res))),
        .coalesced = res.coalesced,
    };
    return result;
}
