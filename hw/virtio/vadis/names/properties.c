/*
 * Descriptions of the properties that all virtio devices share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * They show in "-device X,help" and in device-list-properties, where
 * otherwise only the type is told.
 */

#include "qemu/osdep.h"
#include "../devices.h"

static const char *const descriptions[][2] = {
    /* virtio-device */
    { "indirect_desc", "Offer requests with a descriptor table of their own" },
    { "event_idx", "Offer to notify at a given index instead of on or off" },
    { "notify_on_empty", "Offer to interrupt when the queue runs empty (legacy "
                         "drivers)" },
    { "any_layout", "Accept any split of a request into descriptors (legacy "
                    "drivers)" },
    { "iommu_platform", "Reach guest memory through the platform's IOMMU" },
    { "packed", "Offer the packed ring format" },
    { "queue_reset", "Offer to reset single queues" },
    { "in_order", "Offer to use buffers in the order they were made "
                  "available" },
    { "use-started", "Tell a running device by a flag, not by its status" },
    { "use-disabled-flag", "Allow the device to be disabled for a while" },
    { "x-disable-legacy-check", "Allow legacy mode for modern-only devices" },
    /* virtio-pci */
    { "migrate-extra", "Migrate modern state as well" },
    { "modern-pio-notify", "Offer notifications through an I/O port" },
    { "page-per-vq", "Put each queue's doorbell on a page of its own" },
    { "ats", "Offer PCIe address translation services" },
    { "aer", "Offer PCIe advanced error reporting" },
};

void vadis_describe_properties(ObjectClass *klass)
{
    ObjectClass *parent = object_class_get_parent(klass);

    for (size_t i = 0; i < ARRAY_SIZE(descriptions); i++) {
        const char *name = descriptions[i][0];

        if (object_class_property_find(klass, name) &&
            !object_class_property_find(parent, name)) {
            object_class_property_set_description(klass, name,
                                                  descriptions[i][1]);
        }
    }
}
