/*
 * virtio-signal-pci: virtio-signal behind the PCI transport
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/qdev-properties.h"
#include "hw/virtio/virtio-pci.h"
#include "hw/virtio/virtio-signal.h"
#include "qapi/error.h"
#include "qemu/module.h"
#include "qom/object.h"

#define TYPE_VIRTIO_SIGNAL_PCI "virtio-signal-pci"
OBJECT_DECLARE_SIMPLE_TYPE(VirtIOSignalPCI, VIRTIO_SIGNAL_PCI)

struct VirtIOSignalPCI {
    VirtIOPCIProxy parent_obj;

    VirtIOSignal vdev;
};

static const Property signal_pci_properties[] = {
    DEFINE_PROP_BIT("ioeventfd", VirtIOPCIProxy, flags,
                    VIRTIO_PCI_FLAG_USE_IOEVENTFD_BIT, true),
    DEFINE_PROP_UINT32("vectors", VirtIOPCIProxy, nvectors,
                       DEV_NVECTORS_UNSPECIFIED),
};

static void signal_pci_realize(VirtIOPCIProxy *proxy, Error **errp)
{
    VirtIOSignalPCI *dev = VIRTIO_SIGNAL_PCI(proxy);

    virtio_signal_set_targets(&dev->vdev.conf);
    if (proxy->nvectors == DEV_NVECTORS_UNSPECIFIED) {
        /* one per queue and one for configuration changes */
        proxy->nvectors = virtio_signal_num_queues(&dev->vdev.conf) + 1;
    }

    virtio_pci_force_virtio_1(proxy);
    qdev_realize(DEVICE(&dev->vdev), BUS(&proxy->bus), errp);
}

static void signal_pci_instance_init(Object *obj)
{
    VirtIOSignalPCI *dev = VIRTIO_SIGNAL_PCI(obj);

    virtio_instance_init_common(obj, &dev->vdev, sizeof(dev->vdev),
                                TYPE_VIRTIO_SIGNAL);
}

static void signal_pci_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    VirtioPCIClass *k = VIRTIO_PCI_CLASS(klass);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);

    k->realize = signal_pci_realize;
    pc->class_id = PCI_CLASS_OTHERS;
    dc->desc = "Interrupts and signals to CPUs and between machines";
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
    device_class_set_props(dc, signal_pci_properties);
    object_class_property_set_description(klass, "ioeventfd",
        "Handle kicks in the event loop instead of stopping the vCPU");
    object_class_property_set_description(klass, "vectors",
        "MSI-X vectors; by default one per queue and one for the "
        "configuration");
}

static const VirtioPCIDeviceTypeInfo signal_pci_info = {
    .generic_name = TYPE_VIRTIO_SIGNAL_PCI,
    .instance_size = sizeof(VirtIOSignalPCI),
    .instance_init = signal_pci_instance_init,
    .class_init = signal_pci_class_init,
};

static void signal_pci_register_types(void)
{
    virtio_pci_types_register(&signal_pci_info);
}

type_init(signal_pci_register_types)
