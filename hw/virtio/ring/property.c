/*
 * The properties that choose a queue engine, and what it does with a fault
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "engine.h"
#include "qapi/util.h"
#include "hw/core/qdev-prop-internal.h"

static const QEnumLookup choices = {
    .array = (const char *const[]) {
        [VIRTIO_RING_AUTO] = "auto",
        [VIRTIO_RING_STOCK] = "stock",
    },
    .size = 2,
};

static const QEnumLookup faults = {
    .array = (const char *const[]) {
        [VIRTIO_IOMMU_FAULT_REQUEST] = "request",
        [VIRTIO_IOMMU_FAULT_BREAK] = "break",
    },
    .size = 2,
};

const PropertyInfo qdev_prop_virtio_ring = {
    .type = "VirtIORingChoice",
    .description = "auto (Vadis's queue engine where it can) or stock "
                   "(upstream's code)",
    .enum_table = &choices,
    .get = qdev_propinfo_get_enum,
    .set = qdev_propinfo_set_enum,
    .set_default_value = qdev_propinfo_set_default_value_enum,
};

const PropertyInfo qdev_prop_virtio_iommu_fault = {
    .type = "VirtIOIommuFault",
    .description = "request (a buffer that the IOMMU refuses fails its "
                   "request) or break (the device needs a reset)",
    .enum_table = &faults,
    .get = qdev_propinfo_get_enum,
    .set = qdev_propinfo_set_enum,
    .set_default_value = qdev_propinfo_set_default_value_enum,
};
