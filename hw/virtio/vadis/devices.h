/*
 * Names and PCI classes of the virtio devices the overlay adds
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * virtio.c and virtio-pci.c look devices up by virtio ID and stop QEMU when
 * an ID is missing from their tables. Each table takes its additional rows
 * from a macro here, so a new device adds two rows and no patch.
 */

#ifndef HW_VIRTIO_VADIS_DEVICES_H
#define HW_VIRTIO_VADIS_DEVICES_H

#include "qapi/qapi-builtin-types.h"
#include "standard-headers/linux/virtio_echo.h"

/* Rows of virtio_device_names[] */
#define VADIS_VIRTIO_NAMES \
    [VIRTIO_ID_ECHO] = "virtio-echo",

/* Rows of virtio_pci_id_info[]; none of the devices is transitional */
#define VADIS_VIRTIO_PCI_CLASSES \
    { .vdev_id = VIRTIO_ID_ECHO, .class_id = PCI_CLASS_OTHERS },

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

#endif
