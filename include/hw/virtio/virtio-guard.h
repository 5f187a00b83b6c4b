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

static inline MemReentrancyGuard *virtio_guard(VirtIODevice *vdev)
{
    return &qdev_get_parent_bus(DEVICE(vdev))->parent->mem_reentrancy_guard;
}

/**
 * virtio_guard_engage - begin work that may write to guest memory
 *
 * Returns: what virtio_guard_restore() is to restore; uses may nest.
 * Context: BQL held.
 */
static inline bool virtio_guard_engage(VirtIODevice *vdev)
{
    MemReentrancyGuard *guard = virtio_guard(vdev);
    bool before = guard->engaged_in_io;

    guard->engaged_in_io = true;
    return before;
}

/** virtio_guard_restore - the work is done */
static inline void virtio_guard_restore(VirtIODevice *vdev, bool before)
{
    virtio_guard(vdev)->engaged_in_io = before;
}

/**
 * virtio_guard_notify - tell the transport to interrupt by @vector
 *
 * An interrupt may be a write to anything but the device's own registers. It
 * may even unplug the device, which is therefore held until it has been made.
 * Context: BQL held.
 */
static inline void virtio_guard_notify(VirtIODevice *vdev, uint16_t vector)
{
    BusState *bus = qdev_get_parent_bus(DEVICE(vdev));
    DeviceState *proxy = bus->parent;
    bool before = virtio_guard_engage(vdev);

    object_ref(proxy);
    VIRTIO_BUS_GET_CLASS(bus)->notify(proxy, vector);
    proxy->mem_reentrancy_guard.engaged_in_io = before;
    object_unref(proxy);
}

#endif
