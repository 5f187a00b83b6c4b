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

/*
 * What a test that asks for "virtio-signal" or "virtio-signal-rules" is given,
 * or by "virtio-signal-bar" if it needs PCI's registers
 */
typedef struct QVirtioSignal {
    QVirtioDevice *vdev;
    QVirtioPCIDevice *pci;      /* NULL on virtio-mmio */
    QTestState **qts;           /* where libqos's drivers keep it */
} QVirtioSignal;

typedef struct QVirtioSignalPCI {
    QVirtioPCIDevice pci_vdev;
    QVirtioSignal signal;
} QVirtioSignalPCI;

typedef struct QVirtioSignalMMIO {
    QOSGraphObject obj;
    QVirtioSignal signal;
} QVirtioSignalMMIO;

/* Node names of virtio-signal-pci with a split and a packed ring */
#define QVIRTIO_SIGNAL_PCI "virtio-signal-pci"
#define QVIRTIO_SIGNAL_PACKED_PCI "virtio-signal-packed-pci"
/* with upstream's ring code */
#define QVIRTIO_SIGNAL_STOCK_PCI "virtio-signal-stock-pci"
#define QVIRTIO_SIGNAL_STOCK_PACKED_PCI "virtio-signal-stock-packed-pci"
/* and of virtio-signal-device */
#define QVIRTIO_SIGNAL_MMIO "virtio-signal-device"
#define QVIRTIO_SIGNAL_PACKED_MMIO "virtio-signal-packed-device"

#endif
