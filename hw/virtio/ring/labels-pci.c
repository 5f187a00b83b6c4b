/*
 * The PCI capability that offers batch labels
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "engine.h"
#include "hw/virtio/virtio-labels.h"
#include "labels-pci.h"
#include "qapi/error.h"
#include "qemu/log.h"
#include "qemu/range.h"
#include "standard-headers/linux/virtio_labels.h"

#define OFS(field) offsetof(struct virtio_pci_labels_cap, field)

static bool labels_possible(VirtIOPCIProxy *proxy, VirtIODevice *vdev,
                            Error **errp)
{
    if (!virtio_pci_modern(proxy)) {
        error_setg(errp, "x-batch-labels=on needs disable-modern=off");
    } else if (!virtio_has_feature(vdev->host_features,
                                   VIRTIO_F_RING_PACKED)) {
        error_setg(errp, "x-batch-labels=on needs packed=on, and a device "
                   "that can offer it");
    } else if (vdev->ring_choice == VIRTIO_RING_STOCK) {
        error_setg(errp, "x-batch-labels=on needs x-ring=auto: upstream's "
                   "code knows no labels");
    } else {
        return true;
    }
    return false;
}

bool virtio_pci_labels_init(VirtIOPCIProxy *proxy, Error **errp)
{
    VirtIODevice *vdev = virtio_bus_get_device(&proxy->bus);
    PCIDevice *pci = &proxy->pci_dev;
    uint8_t *cap;
    int at;

    if (!proxy->batch_labels) {
        return true;
    }
    if (!labels_possible(proxy, vdev, errp)) {
        return false;
    }
    at = pci_add_capability(pci, PCI_CAP_ID_VNDR, 0,
                            sizeof(struct virtio_pci_labels_cap), errp);
    if (at < 0) {
        return false;
    }
    cap = pci->config + at;
    cap[OFS(cap_len)] = sizeof(struct virtio_pci_labels_cap);
    cap[OFS(cfg_type)] = VIRTIO_LABELS_CFG_TYPE;
    pci_set_word(cap + OFS(vendor_id), VIRTIO_LABELS_VENDOR_ID);
    pci_set_word(cap + OFS(version), VIRTIO_LABELS_VERSION);
    pci_set_long(cap + OFS(magic), VIRTIO_LABELS_MAGIC);
    pci_set_long(cap + OFS(offered), VIRTIO_LABELS_BATCH);
    /* Migrated with the device; the other side's may differ until then */
    pci_set_long(pci->cmask + at + OFS(accepted), 0);
    proxy->labels_cap = at;
    vdev->labels_offered = VIRTIO_LABELS_BATCH;
    return true;
}

void virtio_pci_labels_read(VirtIOPCIProxy *proxy)
{
    VirtIODevice *vdev = virtio_bus_get_device(&proxy->bus);

    if (proxy->labels_cap) {
        pci_set_long(proxy->pci_dev.config + proxy->labels_cap + OFS(accepted),
                     vdev ? vdev->labels_accepted : 0);
    }
}

static bool labels_may_accept(VirtIODevice *vdev, uint32_t labels)
{
    const uint8_t out = VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FAILED |
                        VIRTIO_CONFIG_S_NEEDS_RESET;

    return (vdev->status & (VIRTIO_CONFIG_S_FEATURES_OK | out)) ==
           VIRTIO_CONFIG_S_FEATURES_OK &&
           virtio_vdev_has_feature(vdev, VIRTIO_F_RING_PACKED) &&
           !(labels & ~vdev->labels_offered);
}

void virtio_pci_labels_write(VirtIOPCIProxy *proxy, uint32_t address,
                             uint32_t val, int len)
{
    VirtIODevice *vdev = virtio_bus_get_device(&proxy->bus);
    uint32_t at = proxy->labels_cap + OFS(accepted);

    if (!proxy->labels_cap || !vdev ||
        !ranges_overlap(address, len, at, sizeof(uint32_t))) {
        return;
    }
    if (address != at || len != sizeof(uint32_t) ||
        !labels_may_accept(vdev, val)) {
        qemu_log_mask(LOG_GUEST_ERROR, "%s: labels 0x%x written in %d bytes "
                      "with status 0x%x: not accepted\n", vdev->name, val, len,
                      vdev->status);
        return;
    }
    virtio_labels_accept(vdev, val);
}
