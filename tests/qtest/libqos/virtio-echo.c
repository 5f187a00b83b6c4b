/*
 * libqos driver of virtio-echo
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The device appears twice in the graph, as virtio-echo-pci and as
 * virtio-echo-packed-pci, so each test of "virtio-echo" runs over both ring
 * formats.
 */

#include "qemu/osdep.h"
#include "../libqtest.h"
#include "qemu/module.h"
#include "virtio-echo.h"

static void *qvirtio_echo_pci_get_driver(void *object, const char *interface)
{
    QVirtioEchoPCI *dev = object;

    if (g_str_equal(interface, "pci-device")) {
        return dev->pci_vdev.pdev;
    }
    if (g_str_equal(interface, "virtio-echo")) {
        return &dev->echo;
    }
    if (g_str_equal(interface, "virtio")) {
        return dev->echo.vdev;
    }

    fprintf(stderr, "virtio-echo-pci does not provide %s\n", interface);
    g_assert_not_reached();
}

static void *qvirtio_echo_pci_create(void *pci_bus, QGuestAllocator *alloc,
                                     void *addr)
{
    QVirtioEchoPCI *dev = g_new0(QVirtioEchoPCI, 1);
    QOSGraphObject *obj = &dev->pci_vdev.obj;

    virtio_pci_init(&dev->pci_vdev, pci_bus, addr);
    dev->echo.vdev = &dev->pci_vdev.vdev;
    obj->get_driver = qvirtio_echo_pci_get_driver;
    return obj;
}

static void register_node(const char *name, const char *options)
{
    QPCIAddress addr = { .devfn = QPCI_DEVFN(4, 0) };
    QOSGraphEdgeOptions opts = { .extra_device_opts = options };

    add_qpci_address(&opts, &addr);
    if (g_str_equal(name, QVIRTIO_ECHO_PCI)) {
        qos_node_create_driver(name, qvirtio_echo_pci_create);
    } else {
        qos_node_create_driver_named(name, QVIRTIO_ECHO_PCI,
                                     qvirtio_echo_pci_create);
    }
    qos_node_consumes(name, "pci-bus", &opts);
    qos_node_produces(name, "pci-device");
    qos_node_produces(name, "virtio-echo");
}

static void virtio_echo_register_nodes(void)
{
    register_node(QVIRTIO_ECHO_PCI, "addr=04.0,id=echo0");
    register_node(QVIRTIO_ECHO_PACKED_PCI, "addr=04.0,id=echo0,packed=on");

    /* the generic virtio tests need one ring format only */
    qos_node_produces(QVIRTIO_ECHO_PCI, "virtio");
}

libqos_init(virtio_echo_register_nodes);
