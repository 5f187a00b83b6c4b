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
    DeviceState *transport = qdev_get_parent_bus(DEVICE(vdev))->parent;
    g_autofree char *path = transport->id ? NULL :
                            object_get_canonical_path(OBJECT(transport));

    warn_report("%s: %s: the guest's driver does not accept "
                "VIRTIO_F_ACCESS_PLATFORM (feature bit 33), so it may not use "
                "the device", transport->id ? transport->id : path,
                vdev->name);
    error_printf("The device is behind an IOMMU, and a driver that does not "
                 "know would give it addresses that mean something else.\n"
                 "Give the guest a driver that accepts the feature, or the "
                 "device iommu_platform=off.\n");
}
