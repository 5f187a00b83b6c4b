/*
 * vhost-pci behind the PCI transport
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * BAR 2 is the memory window and nothing else. The BAR of virtio's registers
 * has two more pages behind them: doorbells, and the MSI-X vectors for A's
 * kicks.
 */

#include "qemu/osdep.h"
#include "hw/pci/msix.h"
#include "hw/qdev-properties.h"
#include "hw/virtio/virtio-pci.h"
#include "qapi/error.h"
#include "qemu/module.h"
#include "qom/object.h"
#include "standard-headers/linux/virtio_pci.h"
#include "vhost-pci.h"

#define TYPE_VHOST_PCI_PCI "vhost-pci"
OBJECT_DECLARE_SIMPLE_TYPE(VhostPCIPCI, VHOST_PCI_PCI)

#define WINDOW_BAR 2
#define PAGE 4096

struct VhostPCIPCI {
    VirtIOPCIProxy parent_obj;

    VhostPCI vdev;
    MemoryRegion doorbells;
    MemoryRegion notify;
    uint16_t select;
    uint16_t vector[VP_QUEUES_MAX];
};

static uint64_t doorbell_read(void *opaque, hwaddr addr, unsigned size)
{
    return 0;
}

static void doorbell_write(void *opaque, hwaddr addr, uint64_t value,
                           unsigned size)
{
    VhostPCIPCI *p = opaque;
    unsigned index = addr / VIRTIO_VHOST_PCI_DOORBELL_STEP;

    if (index < 2 * p->vdev.conf.num_queues) {
        vhost_pci_doorbell(&p->vdev, index);
    }
}

static const MemoryRegionOps doorbell_ops = {
    .read = doorbell_read,
    .write = doorbell_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 1, .max_access_size = 4 },
    .impl = { .min_access_size = 1, .max_access_size = 4 },
};

static void set_vector(VhostPCIPCI *p, unsigned ring, uint16_t vector)
{
    PCIDevice *pci = PCI_DEVICE(p);

    if (p->vector[ring] != VIRTIO_NO_VECTOR) {
        msix_vector_unuse(pci, p->vector[ring]);
    }
    if (vector < pci->msix_entries_nr) {
        msix_vector_use(pci, vector);
    } else {
        vector = VIRTIO_NO_VECTOR;
    }
    p->vector[ring] = vector;
}

static uint64_t notify_read(void *opaque, hwaddr addr, unsigned size)
{
    VhostPCIPCI *p = opaque;

    switch (addr) {
    case offsetof(struct virtio_vhost_pci_notify, select):
        return p->select;
    case offsetof(struct virtio_vhost_pci_notify, vector):
        return p->select < p->vdev.conf.num_queues ? p->vector[p->select]
                                                   : VIRTIO_NO_VECTOR;
    default:
        return 0;
    }
}

static void notify_write(void *opaque, hwaddr addr, uint64_t value,
                         unsigned size)
{
    VhostPCIPCI *p = opaque;

    switch (addr) {
    case offsetof(struct virtio_vhost_pci_notify, select):
        p->select = value;
        break;
    case offsetof(struct virtio_vhost_pci_notify, vector):
        if (p->select < p->vdev.conf.num_queues) {
            set_vector(p, p->select, value);
        }
        break;
    default:
        break;
    }
}

static const MemoryRegionOps notify_ops = {
    .read = notify_read,
    .write = notify_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .impl = { .min_access_size = 2, .max_access_size = 2 },
};

static void reset(void *opaque)
{
    VhostPCIPCI *p = opaque;

    for (unsigned i = 0; i < VP_QUEUES_MAX; i++) {
        set_vector(p, i, VIRTIO_NO_VECTOR);
    }
    p->select = 0;
}

static void kicked(void *opaque, unsigned ring)
{
    VhostPCIPCI *p = opaque;
    PCIDevice *pci = PCI_DEVICE(p);

    if (p->vector[ring] != VIRTIO_NO_VECTOR && msix_enabled(pci)) {
        msix_notify(pci, p->vector[ring]);
    }
}

static const VPTransportOps transport_ops = {
    .kicked = kicked,
    .reset = reset,
};

/* @cap: the whole structure, with cap_len, cfg_type, place and size set */
static bool add_capability(PCIDevice *pci, struct virtio_pci_cap *cap,
                           uint64_t offset, Error **errp)
{
    int at = pci_add_capability(pci, PCI_CAP_ID_VNDR, 0, cap->cap_len, errp);

    if (at < 0) {
        return false;
    }
    cap->offset = cpu_to_le32(offset);
    memcpy(pci->config + at + PCI_CAP_FLAGS, &cap->cap_len,
           cap->cap_len - PCI_CAP_FLAGS);
    return true;
}

/* Two pages behind the registers of every virtio device */
static bool add_registers(VhostPCIPCI *p, Error **errp)
{
    VirtIOPCIProxy *proxy = VIRTIO_PCI(p);
    uint64_t at = proxy->notify.offset + proxy->notify.size;
    struct virtio_pci_notify_cap doorbell = {
        .cap.cap_len = sizeof(doorbell),
        .cap.cfg_type = VIRTIO_VHOST_PCI_CAP_DOORBELL,
        .cap.bar = proxy->modern_mem_bar_idx,
        .cap.length = cpu_to_le32(2 * p->vdev.conf.num_queues *
                                  VIRTIO_VHOST_PCI_DOORBELL_STEP),
        .notify_off_multiplier = cpu_to_le32(VIRTIO_VHOST_PCI_DOORBELL_STEP),
    };
    struct virtio_pci_cap notify = {
        .cap_len = sizeof(notify),
        .cfg_type = VIRTIO_VHOST_PCI_CAP_NOTIFY,
        .bar = proxy->modern_mem_bar_idx,
        .length = cpu_to_le32(sizeof(struct virtio_vhost_pci_notify)),
    };

    memory_region_set_size(&proxy->modern_bar, pow2ceil(at + 2 * PAGE));
    memory_region_init_io(&p->doorbells, OBJECT(p), &doorbell_ops, p,
                          "vhost-pci-doorbells", PAGE);
    memory_region_init_io(&p->notify, OBJECT(p), &notify_ops, p,
                          "vhost-pci-notify", PAGE);
    memory_region_add_subregion(&proxy->modern_bar, at, &p->doorbells);
    memory_region_add_subregion(&proxy->modern_bar, at + PAGE, &p->notify);
    return add_capability(PCI_DEVICE(p), &doorbell.cap, at, errp) &&
           add_capability(PCI_DEVICE(p), &notify, at + PAGE, errp);
}

/* Parts of a BAR that stay in it would keep the device they belong to. */
static void del_registers(VhostPCIPCI *p)
{
    VirtIOPCIProxy *proxy = VIRTIO_PCI(p);

    memory_region_del_subregion(&proxy->modern_bar, &p->doorbells);
    memory_region_del_subregion(&proxy->modern_bar, &p->notify);
}

static void vp_pci_exit(PCIDevice *pci)
{
    ObjectClass *parent = object_class_by_name(TYPE_VIRTIO_PCI);

    del_registers(VHOST_PCI_PCI(pci));
    PCI_DEVICE_CLASS(parent)->exit(pci);
}

static void vp_pci_realize(VirtIOPCIProxy *proxy, Error **errp)
{
    VhostPCIPCI *p = VHOST_PCI_PCI(proxy);
    VPConf *conf = &p->vdev.conf;

    if (proxy->flags & VIRTIO_PCI_FLAG_MODERN_PIO_NOTIFY) {
        error_setg(errp, "modern-pio-notify needs the BAR that holds the "
                   "memory window");
        return;
    }
    if (proxy->nvectors == DEV_NVECTORS_UNSPECIFIED) {
        /* configuration, two queues, kicks */
        proxy->nvectors = 3 + MIN(conf->num_queues, 64);
    }
    for (unsigned i = 0; i < VP_QUEUES_MAX; i++) {
        p->vector[i] = VIRTIO_NO_VECTOR;
    }
    p->vdev.transport = &transport_ops;
    p->vdev.transport_opaque = p;
    virtio_pci_force_virtio_1(proxy);
    /* The size of the BAR is fixed once the device is on the bus. */
    if (!add_registers(p, errp) ||
        !qdev_realize(DEVICE(&p->vdev), BUS(&proxy->bus), errp)) {
        del_registers(p);
        return;
    }
    pci_register_bar(PCI_DEVICE(p), WINDOW_BAR,
                     PCI_BASE_ADDRESS_SPACE_MEMORY |
                     PCI_BASE_ADDRESS_MEM_PREFETCH |
                     PCI_BASE_ADDRESS_MEM_TYPE_64, &p->vdev.window.mr);
    virtio_pci_add_shm_cap(proxy, WINDOW_BAR, 0, conf->shm_size,
                           VIRTIO_VHOST_PCI_SHM_MEMORY);
}

static void vp_pci_instance_init(Object *obj)
{
    VhostPCIPCI *p = VHOST_PCI_PCI(obj);

    virtio_instance_init_common(obj, &p->vdev, sizeof(p->vdev),
                                TYPE_VHOST_PCI_DEVICE);
}

static const Property vp_pci_properties[] = {
    DEFINE_PROP_BIT("ioeventfd", VirtIOPCIProxy, flags,
                    VIRTIO_PCI_FLAG_USE_IOEVENTFD_BIT, true),
    DEFINE_PROP_UINT32("vectors", VirtIOPCIProxy, nvectors,
                       DEV_NVECTORS_UNSPECIFIED),
};

static void vp_pci_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    VirtioPCIClass *k = VIRTIO_PCI_CLASS(klass);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);

    k->realize = vp_pci_realize;
    pc->class_id = PCI_CLASS_OTHERS;
    pc->exit = vp_pci_exit;
    dc->desc = "Serves the virtio device of another VM";
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
    device_class_set_props(dc, vp_pci_properties);
    object_class_property_set_description(klass, "ioeventfd",
        "Handle kicks of the message queues in the event loop instead of "
        "stopping the vCPU");
    object_class_property_set_description(klass, "vectors",
        "MSI-X vectors; by default 3 and one per ring, up to 67");
}

static const VirtioPCIDeviceTypeInfo vp_pci_info = {
    .generic_name = TYPE_VHOST_PCI_PCI,
    .instance_size = sizeof(VhostPCIPCI),
    .instance_init = vp_pci_instance_init,
    .class_init = vp_pci_class_init,
};

static void vp_pci_register_types(void)
{
    virtio_pci_types_register(&vp_pci_info);
}

type_init(vp_pci_register_types)
