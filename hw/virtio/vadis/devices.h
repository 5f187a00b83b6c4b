/*
 * What virtio's core files take from the overlay
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * virtio.c and virtio-pci.c look devices up by virtio ID and stop QEMU when
 * an ID is missing from their tables. The rows of the overlay's devices are in
 * device-names.c.inc and pci-classes.c.inc, which those tables include.
 */

#ifndef HW_VIRTIO_VADIS_DEVICES_H
#define HW_VIRTIO_VADIS_DEVICES_H

#include "hw/virtio/virtio.h"
#include "qapi/qapi-builtin-types.h"
#include "qom/object.h"
#include "standard-headers/linux/virtio_echo.h"
#include "standard-headers/linux/virtio_signal.h"
#include "standard-headers/linux/virtio_vhost_pci.h"

/**
 * vadis_virtio_features - name the device feature bits of an overlay device
 * @device_id: virtio device ID
 * @bitmap: feature bits to name; the bits named are cleared
 *
 * Serves the QMP command x-query-virtio-status.
 *
 * Context: BQL held.
 *
 * Returns: a new list of "NAME: meaning" strings, owned by the caller; NULL
 * when no bit of @bitmap has a name, which also holds for every device
 * without a table.
 */
strList *vadis_virtio_features(uint16_t device_id, uint64_t *bitmap);

/**
 * vadis_describe_properties - put the properties of a class into words
 * @klass: class in class_init, after its properties were added
 *
 * Describes those properties of @klass itself that names/properties.c knows.
 */
void vadis_describe_properties(ObjectClass *klass);

/**
 * vadis_notify_error - tell the driver that the device needs a reset
 * @vdev: device whose status has VIRTIO_CONFIG_S_NEEDS_RESET
 *
 * virtio_notify_config() for any thread. It raises an interrupt, which needs
 * the BQL; but a thread that serves a queue must not wait for the BQL, because
 * the main loop waits for that thread with the BQL held when it stops the
 * device. Without the BQL the interrupt is therefore left to the main loop,
 * which drops it if the device was reset or unplugged by then.
 *
 * Context: any thread.
 */
void vadis_notify_error(VirtIODevice *vdev);

/**
 * vadis_platform_refused - say why a driver does not get on
 * @vdev: device that offers VIRTIO_F_ACCESS_PLATFORM, which was not accepted
 *
 * FEATURES_OK is refused, and the guest cannot tell why.
 *
 * Context: BQL held.
 */
void vadis_platform_refused(VirtIODevice *vdev);

#endif
