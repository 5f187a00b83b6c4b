/*
 * virtio-signal: the monitor's view where the device is not built
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-virtio-signal.h"

VirtioSignalInfoList *qmp_x_query_virtio_signal(Error **errp)
{
    return NULL;
}

VirtioSignalSendResult *qmp_x_virtio_signal_send(
    const char *id, VirtioSignalSendClass class_id, bool has_target,
    uint16_t target, bool has_signal, uint16_t signal, bool has_payload,
    uint64_t payload, Error **errp)
{
    error_set(errp, ERROR_CLASS_DEVICE_NOT_FOUND,
              "virtio-signal is not built in");
    return NULL;
}
