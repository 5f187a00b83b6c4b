/*
 * The monitor's view of IOTLBs where there are no virtio devices
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/qapi-commands-virtio-ring.h"

VirtioIotlbInfoList *qmp_x_query_virtio_iotlb(Error **errp)
{
    return NULL;
}
