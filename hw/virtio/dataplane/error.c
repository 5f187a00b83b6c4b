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

/* Context: main loop, BQL held */
static void notify_error_bh(void *opaque)
{
    VirtIODevice *vdev = opaque;

    /* virtio_notify_config() itself asks for DRIVER_OK */
    if (qdev_is_realized(DEVICE(vdev)) &&
        (vdev->status & VIRTIO_CONFIG_S_NEEDS_RESET)) {
        virtio_notify_config(vdev);
    }
    object_unref(OBJECT(vdev));
}

void vadis_notify_error(VirtIODevice *vdev)
{
    if (bql_locked()) {
        virtio_notify_config(vdev);
        return;
    }
    /* dropped by the bottom half, which may outlive the device's plug */
    object_ref(OBJECT(vdev));
    aio_bh_schedule_oneshot(qemu_get_aio_context(), notify_error_bh, vdev);
}
