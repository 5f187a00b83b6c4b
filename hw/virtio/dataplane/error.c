/*
 * Reporting a broken device from an IOThread
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "../vadis/devices.h"
#include "block/aio.h"
#include "qemu/main-loop.h"
#include "standard-headers/linux/virtio_config.h"

typedef struct BrokenDevice {
    VirtIODevice *vdev;
    DeviceState *transport;     /* a reference; @vdev is part of its memory */
} BrokenDevice;

/* Context: main loop, BQL held */
static void notify_error_bh(void *opaque)
{
    g_autofree BrokenDevice *broken = opaque;
    VirtIODevice *vdev = broken->vdev;

    /* virtio_notify_config() itself asks for DRIVER_OK */
    if (qdev_is_realized(DEVICE(vdev)) &&
        (vdev->status & VIRTIO_CONFIG_S_NEEDS_RESET)) {
        virtio_notify_config(vdev);
    }
    object_unref(OBJECT(broken->transport));
}

void vadis_notify_error(VirtIODevice *vdev)
{
    BrokenDevice *broken;

    if (bql_locked()) {
        virtio_notify_config(vdev);
        return;
    }

    broken = g_new(BrokenDevice, 1);
    broken->vdev = vdev;
    /* The bottom half may come after an unplug, and keeps the memory. */
    broken->transport = qdev_get_parent_bus(DEVICE(vdev))->parent;
    object_ref(OBJECT(broken->transport));
    aio_bh_schedule_oneshot(qemu_get_aio_context(), notify_error_bh, broken);
}
