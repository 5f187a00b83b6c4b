/*
 * virtio-signal: the monitor's view where the device is not built
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/qapi-commands-virtio-signal.h"

VirtioSignalInfoList *qmp_x_query_virtio_signal(Error **errp)
{
    return NULL;
}
