/*
 * libqos driver of virtio-crypto
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The device appears twice in the graph, as virtio-crypto-pci and as
 * virtio-crypto-packed-pci, so each test of "virtio-crypto" runs over both
 * ring formats.
 */

#include "qemu/osdep.h"
#include "../libqtest.h"
#include "qemu/module.h"
#include "virtio-crypto.h"

static void *crypto_pci_get_driver(void *object, const char *interface)
{
    QVirtioCryptoPCI *dev = object;

    if (g_str_equal(interface, "pci-device")) {
        return dev->pci_vdev.pdev;
    }
    if (g_str_equal(interface, "virtio-crypto")) {
        return &dev->crypto;
    }
    fprintf(stderr, "virtio-crypto-pci does not provide %s\n", interface);
    g_assert_not_reached();
}

static void *crypto_pci_create(void *pci_bus, QGuestAllocator *alloc,
                               void *addr)
{
    QVirtioCryptoPCI *dev = g_new0(QVirtioCryptoPCI, 1);
    QOSGraphObject *obj = &dev->pci_vdev.obj;

    virtio_pci_init(&dev->pci_vdev, pci_bus, addr);
    dev->crypto.vdev = &dev->pci_vdev.vdev;
    obj->get_driver = crypto_pci_get_driver;
    return obj;
}

static void register_node(const char *name, const char *options)
{
    QPCIAddress addr = { .devfn = QPCI_DEVFN(4, 0) };
    QOSGraphEdgeOptions opts = {
        .extra_device_opts = options,
        .before_cmd_line = "-object cryptodev-backend-builtin,id=cryptodev0",
    };

    add_qpci_address(&opts, &addr);
    if (g_str_equal(name, QVIRTIO_CRYPTO_PCI)) {
        qos_node_create_driver(name, crypto_pci_create);
    } else {
        qos_node_create_driver_named(name, QVIRTIO_CRYPTO_PCI,
                                     crypto_pci_create);
    }
    qos_node_consumes(name, "pci-bus", &opts);
    qos_node_produces(name, "pci-device");
    qos_node_produces(name, "virtio-crypto");
}

static void virtio_crypto_register_nodes(void)
{
    register_node(QVIRTIO_CRYPTO_PCI, "addr=04.0,cryptodev=cryptodev0");
    register_node(QVIRTIO_CRYPTO_PACKED_PCI,
                  "addr=04.0,cryptodev=cryptodev0,packed=on");
}

libqos_init(virtio_crypto_register_nodes);
