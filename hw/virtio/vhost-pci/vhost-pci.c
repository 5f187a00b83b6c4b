/*
 * vhost-pci: a VM serves another VM's virtio device
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The virtio device: queues, configuration space, properties. What it does
 * is in connection.c, whose header vhost-pci.h lists all parts.
 */

#include "qemu/osdep.h"
#include "chardev/char-socket.h"
#include "hw/qdev-properties.h"
#include "hw/qdev-properties-system.h"
#include "hw/virtio/virtio-enum-prop.h"
#include "hw/virtio/virtio-guard.h"
#include "migration/vmstate.h"
#include "qapi/error.h"
#include "qapi/util.h"
#include "qapi/visitor.h"
#include "qemu/module.h"
#include "qemu/units.h"
#include "vhost-pci.h"
#include "trace.h"

static void vp_handle_rx(VirtIODevice *vdev, VirtQueue *vq)
{
    VirtIOGuard guard = virtio_guard_engage(vdev);

    vp_connection_rx(VHOST_PCI_DEVICE(vdev));
    virtio_guard_restore(guard);
}

static void vp_handle_tx(VirtIODevice *vdev, VirtQueue *vq)
{
    VirtIOGuard guard = virtio_guard_engage(vdev);

    vp_connection_tx(VHOST_PCI_DEVICE(vdev));
    virtio_guard_restore(guard);
}

static void vp_kicked(void *opaque, unsigned ring)
{
    VhostPCI *s = opaque;

    if (s->transport) {
        s->transport->kicked(s->transport_opaque, ring);
    }
}

void vhost_pci_doorbell(VhostPCI *s, unsigned index)
{
    unsigned n = s->conf.num_queues;

    vp_rings_signal(&s->rings, index % n, index < n ? VP_CALL : VP_ERR);
}

static uint64_t vp_get_features(VirtIODevice *vdev, uint64_t features,
                                Error **errp)
{
    VhostPCI *s = VHOST_PCI_DEVICE(vdev);

    virtio_add_feature(&features, VIRTIO_VHOST_PCI_F_REGION_OFFSET);
    if (s->conf.iommu != VP_IOMMU_OFF) {
        virtio_add_feature(&features, VIRTIO_VHOST_PCI_F_PEER_IOMMU);
    }
    return features;
}

static void vp_get_config(VirtIODevice *vdev, uint8_t *data)
{
    VhostPCI *s = VHOST_PCI_DEVICE(vdev);
    struct virtio_vhost_pci_config config = {
        .status = cpu_to_le32(s->status),
        .max_vhost_queues = cpu_to_le32(s->conf.num_queues),
        .max_msg_size = cpu_to_le32(VIRTIO_VHOST_PCI_MSG_MAX),
        .max_regions = cpu_to_le16(s->conf.max_regions),
        .last_error = cpu_to_le16(s->last_error),
        .generation = cpu_to_le32(s->generation),
    };

    memcpy(config.uuid, s->conf.uuid.data, sizeof(config.uuid));
    memcpy(data, &config, sizeof(config));
}

void vp_config_refresh(VhostPCI *s)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(s);

    vp_get_config(vdev, vdev->config);
}

static void vp_set_config(VirtIODevice *vdev, const uint8_t *data)
{
    uint32_t status = ldl_le_p(data);

    if (vdev->status & VIRTIO_CONFIG_S_DRIVER_OK) {
        vp_connection_driver(VHOST_PCI_DEVICE(vdev),
                             status & VIRTIO_VHOST_PCI_S_BACKEND_UP);
    }
    vp_config_refresh(VHOST_PCI_DEVICE(vdev));
}

static void vp_set_status(VirtIODevice *vdev, uint8_t status)
{
    VhostPCI *s = VHOST_PCI_DEVICE(vdev);

    /* What came while the VM was stopped */
    if (vdev->vm_running && (status & VIRTIO_CONFIG_S_DRIVER_OK)) {
        VirtIOGuard guard = virtio_guard_engage(vdev);

        vp_connection_tx(s);
        vp_connection_rx(s);
        virtio_guard_restore(guard);
    }
}

static void vp_reset(VirtIODevice *vdev)
{
    VhostPCI *s = VHOST_PCI_DEVICE(vdev);

    trace_vhost_pci_reset(s->name);
    /* A frontend that waits for the driver may go on waiting. */
    if (s->conn.state == VP_UP) {
        vp_connection_drop(s, VIRTIO_VHOST_PCI_E_DRIVER, NULL);
    }
    s->status = 0;
    vp_config_refresh(s);
    if (s->transport) {
        s->transport->reset(s->transport_opaque);
    }
}

static bool vp_check_conf(VhostPCI *s, Error **errp)
{
    VPConf *conf = &s->conf;
    Chardev *chr = qemu_chr_fe_get_driver(&s->chr);

    if (!chr || !object_dynamic_cast(OBJECT(chr), TYPE_CHARDEV_SOCKET)) {
        error_setg(errp, "chardev must name a character device of the kind "
                   "socket");
        return false;
    }
    if (!conf->num_queues || conf->num_queues > VP_QUEUES_MAX) {
        error_setg(errp, "num-queues is %u, it must be between 1 and %d",
                   conf->num_queues, VP_QUEUES_MAX);
        return false;
    }
    if (!conf->max_regions || conf->max_regions > VHOST_PCI_TABLE_MAX) {
        error_setg(errp, "max-regions is %u, it must be between 1 and %d",
                   conf->max_regions, VHOST_PCI_TABLE_MAX);
        return false;
    }
    if (!is_power_of_2(conf->shm_size) || conf->shm_size < 1 * MiB ||
        conf->shm_size > 1 * TiB) {
        error_setg(errp, "shm-size is %" PRIu64 ", it must be a power of two "
                   "between 1 MiB and 1 TiB", conf->shm_size);
        return false;
    }
    if (!conf->iotlb_entries || conf->iotlb_entries > 32768) {
        error_setg(errp, "iotlb-entries is %" PRIu32 ", it must be between 1 "
                   "and 32768", conf->iotlb_entries);
        return false;
    }
    if (!conf->reply_timeout_ms || conf->reply_timeout_ms > 3600000) {
        error_setg(errp, "reply-timeout-ms is %" PRIu32 ", it must be between "
                   "1 and 3600000", conf->reply_timeout_ms);
        return false;
    }
    return true;
}

static void vp_realize(DeviceState *dev, Error **errp)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(dev);
    VhostPCI *s = VHOST_PCI_DEVICE(dev);
    DeviceState *transport = qdev_get_parent_bus(dev)->parent;

    if (!vp_check_conf(s, errp)) {
        return;
    }
    /* Assigned devices of B pin what they reach, revoked or not. */
    if (ram_block_discard_require(true)) {
        error_setg(errp, "vhost-pci cannot be used beside devices that pin "
                   "guest memory, as vfio does");
        return;
    }
    /* The transport's memory holds this device, so it is what must stay. */
    if (!vp_window_init(&s->window, OBJECT(qdev_get_parent_bus(dev)->parent),
                        s->conf.shm_size, errp)) {
        ram_block_discard_require(false);
        return;
    }
    s->name = g_strdup(transport->id ?: "vhost-pci");
    vp_grants_init(&s->grants, &s->window, s->conf.iotlb_entries);
    vp_rings_init(&s->rings, s->conf.num_queues, vp_kicked, s);
    virtio_init(vdev, VIRTIO_ID_VHOST_PCI,
                sizeof(struct virtio_vhost_pci_config));
    s->rxq = virtio_add_queue(vdev, VP_QUEUE_SIZE, vp_handle_rx);
    s->txq = virtio_add_queue(vdev, VP_QUEUE_SIZE, vp_handle_tx);
    vp_connection_init(s);
}

static void vp_unrealize(DeviceState *dev)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(dev);
    VhostPCI *s = VHOST_PCI_DEVICE(dev);

    vp_connection_cleanup(s);
    vp_rings_cleanup(&s->rings);
    vp_grants_cleanup(&s->grants);
    virtio_delete_queue(s->rxq);
    virtio_delete_queue(s->txq);
    virtio_cleanup(vdev);
    ram_block_discard_require(false);
    g_clear_pointer(&s->name, g_free);
}

static void vp_instance_finalize(Object *obj)
{
    vp_window_release(&VHOST_PCI_DEVICE(obj)->window);
}

/*
 * A's memory and the connection cannot follow B to another host.
 */
static const VMStateDescription vmstate_vhost_pci = {
    .name = "vhost-pci",
    .unmigratable = 1,
};

static const char *const vp_iommu_names[] = {
    [VP_IOMMU_OFF] = "off",
    [VP_IOMMU_AUTO] = "auto",
    [VP_IOMMU_REQUIRED] = "required",
};

static const QEnumLookup vp_iommu_lookup = {
    .array = vp_iommu_names,
    .size = ARRAY_SIZE(vp_iommu_names),
};

static const PropertyInfo vp_iommu_info =
    VIRTIO_ENUM_PROP("VhostPCIIommu", &vp_iommu_lookup, NULL);

static const Property vp_properties[] = {
    DEFINE_PROP_CHR("chardev", VhostPCI, chr),
    DEFINE_PROP_UINT16("num-queues", VhostPCI, conf.num_queues,
                       VP_QUEUES_MAX),
    DEFINE_PROP_UINT16("max-regions", VhostPCI, conf.max_regions,
                       VHOST_PCI_TABLE_MAX),
    DEFINE_PROP_SIZE("shm-size", VhostPCI, conf.shm_size, 4 * GiB),
    DEFINE_PROP_SIGNED("vhost-iommu", VhostPCI, conf.iommu, VP_IOMMU_AUTO,
                       vp_iommu_info, int),
    DEFINE_PROP_UINT32("iotlb-entries", VhostPCI, conf.iotlb_entries, 4096),
    DEFINE_PROP_UINT32("reply-timeout-ms", VhostPCI, conf.reply_timeout_ms,
                       5000),
    DEFINE_PROP_BOOL("require-sealed", VhostPCI, conf.require_sealed, true),
    DEFINE_PROP_UUID_NODEFAULT("uuid", VhostPCI, conf.uuid),
};

static const char *const vp_descriptions[][2] = {
    { "chardev", "Socket that the vhost-user frontend of the other VM "
                 "connects to" },
    { "num-queues", "Most rings of the other VM's device, 1 to 256" },
    { "max-regions", "Most memory regions of the other VM, 1 to 8" },
    { "shm-size", "Bytes of the memory window, a power of two; the other "
                  "VM's memory must fit" },
    { "vhost-iommu", "Show memory of the other VM only where it grants it: "
                     "off, auto (if it negotiates that) or required" },
    { "iotlb-entries", "Most grants at a time, 1 to 32768" },
    { "reply-timeout-ms", "How long the other VM may wait for the driver "
                          "before its connection is closed" },
    { "require-sealed", "Refuse memory whose file could shrink, which would "
                        "end this VM" },
    { "uuid", "Shown to the driver" },
};

static void vp_get_counter(Object *obj, Visitor *v, const char *name,
                           void *opaque, Error **errp)
{
    uint64_t value = *(uint64_t *)((void *)obj + (uintptr_t)opaque);

    visit_type_uint64(v, name, &value, errp);
}

static const struct {
    const char *name;
    size_t offset;
    const char *description;
} vp_counters[] = {
    { "connections", offsetof(VhostPCI, connections),
      "Connections made (read-only)" },
    { "messages", offsetof(VhostPCI, messages),
      "Messages handed to the driver (read-only)" },
    { "kicks", offsetof(VhostPCI, rings.kicks),
      "Kicks of the other VM (read-only)" },
    { "calls", offsetof(VhostPCI, rings.calls),
      "Doorbell writes passed to the other VM (read-only)" },
    { "grants", offsetof(VhostPCI, grants.updates),
      "Ranges the other VM granted (read-only)" },
    { "revocations", offsetof(VhostPCI, grants.revocations),
      "Ranges the other VM took back (read-only)" },
    { "refused-grants", offsetof(VhostPCI, grants.refusals),
      "Grants that were not possible (read-only)" },
};

static void vp_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    VirtioDeviceClass *vdc = VIRTIO_DEVICE_CLASS(klass);

    device_class_set_props(dc, vp_properties);
    for (size_t i = 0; i < ARRAY_SIZE(vp_descriptions); i++) {
        object_class_property_set_description(klass, vp_descriptions[i][0],
                                              vp_descriptions[i][1]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(vp_counters); i++) {
        object_class_property_add(klass, vp_counters[i].name, "uint64",
                                  vp_get_counter, NULL, NULL,
                                  (void *)vp_counters[i].offset);
        object_class_property_set_description(klass, vp_counters[i].name,
                                              vp_counters[i].description);
    }
    dc->desc = "Serves the virtio device of another VM";
    dc->vmsd = &vmstate_vhost_pci;
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
    vdc->realize = vp_realize;
    vdc->unrealize = vp_unrealize;
    vdc->get_features = vp_get_features;
    vdc->get_config = vp_get_config;
    vdc->set_config = vp_set_config;
    vdc->set_status = vp_set_status;
    vdc->reset = vp_reset;
}

static const TypeInfo vp_info = {
    .name = TYPE_VHOST_PCI_DEVICE,
    .parent = TYPE_VIRTIO_DEVICE,
    .instance_size = sizeof(VhostPCI),
    .instance_finalize = vp_instance_finalize,
    .class_init = vp_class_init,
};

static void vp_register_types(void)
{
    type_register_static(&vp_info);
}

type_init(vp_register_types)
