/*
 * libqos driver of virtio-signal
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The device appears with a split and with a packed ring, by PCI and MMIO, so
 * each test of "virtio-signal" runs over all four. Those of
 * "virtio-signal-rules" run by PCI with upstream's ring code too.
 */

#include "qemu/osdep.h"
#include "../libqtest.h"
#include "qemu/module.h"
#include "virtio-mmio-modern.h"
#include "virtio-signal.h"

static void *signal_pci_get_driver(void *object, const char *interface)
{
    QVirtioSignalPCI *dev = object;

    if (g_str_equal(interface, "pci-device")) {
        return dev->pci_vdev.pdev;
    }
    if (g_str_equal(interface, "virtio-signal") ||
        g_str_equal(interface, "virtio-signal-rules") ||
        g_str_equal(interface, "virtio-signal-bar")) {
        return &dev->signal;
    }
    if (g_str_equal(interface, "virtio")) {
        return dev->signal.vdev;
    }

    fprintf(stderr, "virtio-signal-pci does not provide %s\n", interface);
    g_assert_not_reached();
}

static void *signal_pci_create(void *pci_bus, QGuestAllocator *alloc,
                               void *addr)
{
    QVirtioSignalPCI *dev = g_new0(QVirtioSignalPCI, 1);
    QOSGraphObject *obj = &dev->pci_vdev.obj;

    virtio_pci_init(&dev->pci_vdev, pci_bus, addr);
    dev->signal = (QVirtioSignal) {
        .vdev = &dev->pci_vdev.vdev,
        .pci = &dev->pci_vdev,
        .qts = &dev->pci_vdev.pdev->bus->qts,
    };
    obj->get_driver = signal_pci_get_driver;
    return obj;
}

static void register_node(const char *name, const char *options)
{
    QPCIAddress addr = { .devfn = QPCI_DEVFN(4, 0) };
    QOSGraphEdgeOptions opts = { .extra_device_opts = options };

    add_qpci_address(&opts, &addr);
    if (g_str_equal(name, QVIRTIO_SIGNAL_PCI)) {
        qos_node_create_driver(name, signal_pci_create);
    } else {
        qos_node_create_driver_named(name, QVIRTIO_SIGNAL_PCI,
                                     signal_pci_create);
    }
    qos_node_consumes(name, "pci-bus", &opts);
    qos_node_produces(name, "pci-device");
    qos_node_produces(name, "virtio-signal-rules");
    if (!strstr(options, "x-ring=stock")) {
        qos_node_produces(name, "virtio-signal");
        qos_node_produces(name, "virtio-signal-bar");
    }
}

static void *signal_mmio_get_driver(void *object, const char *interface)
{
    QVirtioSignalMMIO *dev = object;

    g_assert_true(g_str_equal(interface, "virtio-signal") ||
                  g_str_equal(interface, "virtio-signal-rules"));
    return &dev->signal;
}

static void *signal_mmio_create(void *virtio_bus, QGuestAllocator *alloc,
                                void *addr)
{
    QVirtioSignalMMIO *dev = g_new0(QVirtioSignalMMIO, 1);
    QVirtioMMIODevice *mmio = container_of(virtio_bus, QVirtioMMIODevice,
                                           vdev);

    dev->signal = (QVirtioSignal) { .vdev = virtio_bus, .qts = &mmio->qts };
    dev->obj.get_driver = signal_mmio_get_driver;
    return &dev->obj;
}

static void register_mmio_node(const char *name, const char *options)
{
    QOSGraphEdgeOptions opts = {
        .extra_device_opts = options,
        .after_cmd_line = QVIRTIO_MMIO_MODERN_AFTER,
    };

    if (g_str_equal(name, QVIRTIO_SIGNAL_MMIO)) {
        qos_node_create_driver(name, signal_mmio_create);
    } else {
        qos_node_create_driver_named(name, QVIRTIO_SIGNAL_MMIO,
                                     signal_mmio_create);
    }
    qos_node_consumes(name, QVIRTIO_MMIO_MODERN_BUS, &opts);
    qos_node_produces(name, "virtio-signal");
    qos_node_produces(name, "virtio-signal-rules");
}

static void virtio_signal_register_nodes(void)
{
    register_node(QVIRTIO_SIGNAL_PCI, "addr=04.0,id=sig0,targets=4");
    register_node(QVIRTIO_SIGNAL_PACKED_PCI,
                  "addr=04.0,id=sig0,targets=4,packed=on");
    register_node(QVIRTIO_SIGNAL_STOCK_PCI,
                  "addr=04.0,id=sig0,targets=4,x-ring=stock");
    register_node(QVIRTIO_SIGNAL_STOCK_PACKED_PCI,
                  "addr=04.0,id=sig0,targets=4,packed=on,x-ring=stock");
    register_mmio_node(QVIRTIO_SIGNAL_MMIO, QVIRTIO_MMIO_MODERN_OPTS
                       ",id=sig0,targets=4");
    register_mmio_node(QVIRTIO_SIGNAL_PACKED_MMIO, QVIRTIO_MMIO_MODERN_OPTS
                       ",id=sig0,targets=4,packed=on");
    /* the generic virtio tests need one ring format only */
    qos_node_produces(QVIRTIO_SIGNAL_PCI, "virtio");
}

libqos_init(virtio_signal_register_nodes);
