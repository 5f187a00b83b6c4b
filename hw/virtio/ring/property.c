/*
 * The properties that choose a queue engine, and what it does with a fault
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "engine.h"
#include "qapi/util.h"
#include "hw/virtio/virtio-enum-prop.h"

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

const PropertyInfo qdev_prop_virtio_ring = VIRTIO_ENUM_PROP(
    "VirtIORingChoice", &choices,
    "auto (Vadis's queue engine where it can) or stock (upstream's code)");

const PropertyInfo qdev_prop_virtio_iommu_fault = VIRTIO_ENUM_PROP(
    "VirtIOIommuFault", &faults,
    "request (a buffer that the IOMMU refuses fails its request) or break "
    "(the device needs a reset)");
