/*
 * Keep a device's own DMA away from its registers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A driver may aim interrupts or a ring at the registers of the device that
 * serves them: a reset, say, in the middle of the device's work. The memory
 * core refuses such accesses while the transport's guard is engaged, as it is
 * during accesses of the driver to its registers. Whatever else makes a device
 * work, host notifiers and sockets for instance, engages it with these.
 */

#ifndef HW_VIRTIO_VIRTIO_GUARD_H
#define HW_VIRTIO_VIRTIO_GUARD_H

#include "hw/virtio/virtio.h"
#include "hw/virtio/virtio-bus.h"

/** VirtIOGuard: a guard that is engaged, and what it was before */
typedef struct VirtIOGuard {
    VirtIODevice *vdev;
    DeviceState *proxy;     /* NULL: the device is unplugged already */
    bool before;
} VirtIOGuard;

/**
 * virtio_guard_engage - begin work that may write to guest memory
 *
 * The work may unplug the device, whose memory stays until
 * virtio_guard_restore(); what its unrealize frees does not. Without checked
 * casts, as it is done for each interrupt.
 *
 * Returns: what virtio_guard_restore() is to restore; uses may nest.
 * Context: BQL held.
 */
static inline VirtIOGuard virtio_guard_engage(VirtIODevice *vdev)
{
    BusState *bus = vdev->parent_obj.parent_bus;
    VirtIOGuard guard = { .vdev = vdev, .proxy = bus ? bus->parent : NULL };

    object_ref(vdev);
    if (guard.proxy) {
        object_ref(guard.proxy);
        guard.before = guard.proxy->mem_reentrancy_guard.engaged_in_io;
        guard.proxy->mem_reentrancy_guard.engaged_in_io = true;
    }
    return guard;
}

/** virtio_guard_restore - the work is done */
static inline void virtio_guard_restore(VirtIOGuard guard)
{
    object_unref(guard.vdev);
    if (guard.proxy) {
        guard.proxy->mem_reentrancy_guard.engaged_in_io = guard.before;
        object_unref(guard.proxy);
    }
}

/**
 * virtio_guard_notify - tell the transport to interrupt by @vector
 *
 * An interrupt may be a write to anything but the device's own registers. It
 * may even unplug the device, or have done so already.
 * Context: BQL held.
 */
static inline void virtio_guard_notify(VirtIODevice *vdev, uint16_t vector)
{
    BusState *bus = vdev->parent_obj.parent_bus;
    VirtIOGuard guard = virtio_guard_engage(vdev);

    if (guard.proxy) {
        VirtioBusClass *k = (VirtioBusClass *)object_get_class(OBJECT(bus));

        if (k->notify) {
            k->notify(guard.proxy, vector);
        }
    }
    virtio_guard_restore(guard);
}

#endif
