/*
 * libqos driver of virtio-echo
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_LIBQOS_VIRTIO_ECHO_H
#define TESTS_LIBQOS_VIRTIO_ECHO_H

#include "qgraph.h"
#include "virtio.h"
#include "virtio-pci.h"

/* What a test that asks for "virtio-echo" is given */
typedef struct QVirtioEcho {
    QVirtioDevice *vdev;
} QVirtioEcho;

typedef struct QVirtioEchoPCI {
    QVirtioPCIDevice pci_vdev;
    QVirtioEcho echo;
} QVirtioEchoPCI;

/* Node names of virtio-echo-pci with a split and a packed ring */
#define QVIRTIO_ECHO_PCI "virtio-echo-pci"
#define QVIRTIO_ECHO_PACKED_PCI "virtio-echo-packed-pci"

#endif
