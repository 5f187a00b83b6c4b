/*
 * A driver that does not want to know of the IOMMU
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "../vadis/devices.h"
#include "qemu/error-report.h"

void vadis_platform_refused(VirtIODevice *vdev)
{
    static GHashTable *told;    /* paths; a guest may try again for ever */
    DeviceState *transport = qdev_get_parent_bus(DEVICE(vdev))->parent;
    char *path = object_get_canonical_path(OBJECT(transport));

    if (!told) {
        told = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    }
    if (!g_hash_table_add(told, path)) {
        return;
    }
    warn_report("%s: %s: the guest's driver does not accept "
                "VIRTIO_F_ACCESS_PLATFORM (feature bit 33), so it may not use "
                "the device", transport->id ? transport->id : path,
                vdev->name);
    error_printf("The device is behind an IOMMU, and a driver that does not "
                 "know would give it addresses that mean something else.\n"
                 "Give the guest a driver that accepts the feature, or the "
                 "device iommu_platform=off.\n");
}
