/*
 * virtio-echo-pci: virtio-echo behind the PCI transport
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/qdev-properties.h"
#include "hw/virtio/virtio-echo.h"
#include "hw/virtio/virtio-pci.h"
#include "qapi/error.h"
#include "qemu/module.h"
#include "qom/object.h"

#define TYPE_VIRTIO_ECHO_PCI "virtio-echo-pci"
OBJECT_DECLARE_SIMPLE_TYPE(VirtIOEchoPCI, VIRTIO_ECHO_PCI)

struct VirtIOEchoPCI {
    VirtIOPCIProxy parent_obj;

    VirtIOEcho vdev;
};

static const Property echo_pci_properties[] = {
    DEFINE_PROP_BIT("ioeventfd", VirtIOPCIProxy, flags,
                    VIRTIO_PCI_FLAG_USE_IOEVENTFD_BIT, true),
    DEFINE_PROP_UINT32("vectors", VirtIOPCIProxy, nvectors,
                       DEV_NVECTORS_UNSPECIFIED),
};

static void echo_pci_realize(VirtIOPCIProxy *proxy, Error **errp)
{
    VirtIOEchoPCI *echo = VIRTIO_ECHO_PCI(proxy);

    if (proxy->nvectors == DEV_NVECTORS_UNSPECIFIED) {
        /* one per queue and one for configuration changes */
        proxy->nvectors = echo->vdev.conf.num_queues + 1;
    }

    virtio_pci_force_virtio_1(proxy);
    qdev_realize(DEVICE(&echo->vdev), BUS(&proxy->bus), errp);
}

static void echo_pci_instance_init(Object *obj)
{
    VirtIOEchoPCI *echo = VIRTIO_ECHO_PCI(obj);

    virtio_instance_init_common(obj, &echo->vdev, sizeof(echo->vdev),
                                TYPE_VIRTIO_ECHO);
}

static void echo_pci_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    VirtioPCIClass *k = VIRTIO_PCI_CLASS(klass);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);

    k->realize = echo_pci_realize;
    pc->class_id = PCI_CLASS_OTHERS;
    dc->desc = "Virtio test device that returns what it is sent";
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
    device_class_set_props(dc, echo_pci_properties);
    object_class_property_set_description(klass, "ioeventfd",
        "Handle kicks in the event loop instead of stopping the vCPU");
    object_class_property_set_description(klass, "vectors",
        "MSI-X vectors; by default one per queue and one for the "
        "configuration");
}

static const VirtioPCIDeviceTypeInfo echo_pci_info = {
    .generic_name = TYPE_VIRTIO_ECHO_PCI,
    .instance_size = sizeof(VirtIOEchoPCI),
    .instance_init = echo_pci_instance_init,
    .class_init = echo_pci_class_init,
};

static void echo_pci_register_types(void)
{
    virtio_pci_types_register(&echo_pci_info);
}

type_init(echo_pci_register_types)
