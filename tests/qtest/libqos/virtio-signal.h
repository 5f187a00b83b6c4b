/*
 * libqos driver of virtio-signal
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_LIBQOS_VIRTIO_SIGNAL_H
#define TESTS_LIBQOS_VIRTIO_SIGNAL_H

#include "qgraph.h"
#include "virtio.h"
#include "virtio-pci.h"

/* What a test that asks for "virtio-signal" is given */
typedef struct QVirtioSignal {
    QVirtioDevice *vdev;
} QVirtioSignal;

typedef struct QVirtioSignalPCI {
    QVirtioPCIDevice pci_vdev;
    QVirtioSignal signal;
} QVirtioSignalPCI;

/* Node names of virtio-signal-pci with a split and a packed ring */
#define QVIRTIO_SIGNAL_PCI "virtio-signal-pci"
#define QVIRTIO_SIGNAL_PACKED_PCI "virtio-signal-packed-pci"

#endif
