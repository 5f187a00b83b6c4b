/*
 * Names of the device feature bits of the overlay's virtio devices
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/util.h"
#include "qemu/bitops.h"
#include "../devices.h"

typedef struct FeatureName {
    uint16_t device_id;
    uint8_t bit;
    const char *text;
} FeatureName;

#define FEATURE(id, name, meaning) { id, name, #name ": " meaning }

/* Prepending turns the order round: keep the bits of a device descending */
static const FeatureName feature_names[] = {
    FEATURE(VIRTIO_ID_ECHO, VIRTIO_ECHO_F_ORDER,
            "Requests may complete in another order than they came"),
    FEATURE(VIRTIO_ID_SIGNAL, VIRTIO_SIGNAL_F_MQ_SEND,
            "More than one send queue"),
    FEATURE(VIRTIO_ID_SIGNAL, VIRTIO_SIGNAL_F_POLL,
            "Targets may poll their event queue"),
    FEATURE(VIRTIO_ID_SIGNAL, VIRTIO_SIGNAL_F_LIFECYCLE,
            "Classes BOOT, RESET, STOP and KILL"),
    FEATURE(VIRTIO_ID_SIGNAL, VIRTIO_SIGNAL_F_NMI,
            "Class NMI"),
    FEATURE(VIRTIO_ID_SIGNAL, VIRTIO_SIGNAL_F_REMOTE,
            "There may be other nodes"),
    FEATURE(VIRTIO_ID_SIGNAL, VIRTIO_SIGNAL_F_MASK,
            "Requests with a mask of targets"),
    FEATURE(VIRTIO_ID_VHOST_PCI, VIRTIO_VHOST_PCI_F_PEER_IOMMU,
            "Driver understands IOTLB messages of the other VM"),
    FEATURE(VIRTIO_ID_VHOST_PCI, VIRTIO_VHOST_PCI_F_REGION_OFFSET,
            "Messages say where regions are in the memory window"),
};

strList *vadis_virtio_features(uint16_t device_id, uint64_t *bitmap)
{
    strList *list = NULL;

    for (size_t i = 0; i < ARRAY_SIZE(feature_names); i++) {
        const FeatureName *f = &feature_names[i];

        if (f->device_id == device_id && (*bitmap & BIT_ULL(f->bit))) {
            QAPI_LIST_PREPEND(list, g_strdup(f->text));
            *bitmap &= ~BIT_ULL(f->bit);
        }
    }
    return list;
}
