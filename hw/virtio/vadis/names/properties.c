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
    /* PCI device, which every -pci device inherits */
    { "acpi-index", "Number the firmware names the device by; 0 is none" },
    { "busnr", "Bus the device is on, shown only" },
    { "failover_pair_id", "ID of the virtio-net that this device backs up" },
    { "multifunction", "Allow more functions in the same slot" },
    { "rombar", "Show the option ROM to the guest; -1 means when there is "
                "one" },
    { "romfile", "Option ROM file; empty for none" },
    { "romsize", "Size of the option ROM's window in bytes" },
    { "x-pcie-ari-nextfn-1", "Old machines: wrong next function in ARI" },
    { "x-pcie-err-unc-mask", "Allow uncorrectable errors to be masked" },
    { "x-pcie-ext-tag", "Say that PCIe tags may have 8 bits" },
    { "x-pcie-extcap-init", "Set up the PCIe extended capabilities" },
    { "x-pcie-lnksta-dllla", "Say that the PCIe link is active" },
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
    { "notification_data", "Offer to tell the available position with each "
                           "notification; needs ioeventfd=off" },
    { "use-started", "Tell a running device by a flag, not by its status" },
    { "use-disabled-flag", "Allow the device to be disabled for a while" },
    { "x-disable-legacy-check", "Allow legacy mode for modern-only devices" },
    /* virtio-pci */
    { "migrate-extra", "Migrate modern state as well" },
    { "modern-pio-notify", "Offer notifications through an I/O port" },
    { "page-per-vq", "Put each queue's doorbell on a page of its own" },
    { "disable-legacy", "Leave out the legacy interface; auto means on behind "
                        "PCIe" },
    { "disable-modern", "Leave out the virtio 1.0 interface" },
    { "virtio-pci-bus-master-bug-migration", "Old machines: work round "
                                             "drivers without bus master" },
    { "x-ats-page-aligned", "Say that translated addresses are page aligned" },
    { "x-batch-labels", "Offer labels on packed queues (experiment beyond the "
                        "standard)" },
    { "x-disable-pcie", "Be a plain PCI device even behind PCIe" },
    { "x-iotlb", "Remember the IOMMU's translations; off asks for each "
                 "access" },
    { "x-iotlb-entries", "Most translations to remember" },
    { "x-ignore-backend-features", "Offer features the backend lacks" },
    { "x-pcie-deverr-init", "Set up the PCIe error reporting control" },
    { "x-pcie-flr-init", "Offer PCIe function level reset" },
    { "x-pcie-lnkctl-init", "Set up the PCIe link control" },
    { "x-pcie-pm-init", "Set up PCI power management" },
    { "x-pcie-pm-no-soft-reset", "Keep state over a change of power state" },
    { "ats", "Offer PCIe address translation services" },
    { "aer", "Offer PCIe advanced error reporting" },
};

void vadis_describe_properties(ObjectClass *klass)
{
    for (size_t i = 0; i < ARRAY_SIZE(descriptions); i++) {
        /* Of this class, or of the one it has the property from */
        ObjectProperty *prop = object_class_property_find(klass,
                                                          descriptions[i][0]);

        if (prop) {
            g_free(prop->description);
            prop->description = g_strdup(descriptions[i][1]);
        }
    }
}
