/*
 * libqos driver of virtio-crypto
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_LIBQOS_VIRTIO_CRYPTO_H
#define TESTS_LIBQOS_VIRTIO_CRYPTO_H

#include "qgraph.h"
#include "virtio.h"
#include "virtio-pci.h"

/* What a test that asks for "virtio-crypto" is given */
typedef struct QVirtioCrypto {
    QVirtioDevice *vdev;
} QVirtioCrypto;

typedef struct QVirtioCryptoPCI {
    QVirtioPCIDevice pci_vdev;
    QVirtioCrypto crypto;
} QVirtioCryptoPCI;

/* Node names of virtio-crypto-pci with a split and a packed ring */
#define QVIRTIO_CRYPTO_PCI "virtio-crypto-pci"
#define QVIRTIO_CRYPTO_PACKED_PCI "virtio-crypto-packed-pci"

/* The QOM path of the backend that both use */
#define QVIRTIO_CRYPTO_BACKEND "/objects/cryptodev0"

#endif
