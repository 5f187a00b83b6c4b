/*
 * The PCI capability that offers batch labels
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See docs/specs/virtio-batch-labels.rst. Context of all: BQL held. What the
 * driver has accepted is in VirtIODevice, where a reset clears it; the
 * configuration space shows it.
 */

#ifndef HW_VIRTIO_RING_LABELS_PCI_H
#define HW_VIRTIO_RING_LABELS_PCI_H

#include "hw/virtio/virtio-pci.h"

/**
 * virtio_pci_labels_init - add the capability if x-batch-labels is on
 *
 * The device's features are known. Returns false and sets @errp if the device
 * could not serve a driver that accepts labels.
 */
bool virtio_pci_labels_init(VirtIOPCIProxy *proxy, Error **errp);

/** virtio_pci_labels_read - the configuration space is about to be read */
void virtio_pci_labels_read(VirtIOPCIProxy *proxy);

/** virtio_pci_labels_write - the driver wrote @len bytes at @address */
void virtio_pci_labels_write(VirtIOPCIProxy *proxy, uint32_t address,
                             uint32_t val, int len);

#endif
