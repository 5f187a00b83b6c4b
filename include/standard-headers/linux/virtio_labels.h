/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Batch labels: docs/specs/virtio-batch-labels.rst
 *
 * Shared by the device, its tests and drivers. Fields are little endian.
 */
#ifndef _LINUX_VIRTIO_LABELS_H
#define _LINUX_VIRTIO_LABELS_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
#endif

/* Found by vendor ID, then by magic and version */
#define VIRTIO_LABELS_CFG_TYPE	9	/* VIRTIO_PCI_CAP_VENDOR_CFG */
#define VIRTIO_LABELS_VENDOR_ID	0x1234
#define VIRTIO_LABELS_VERSION	1
#define VIRTIO_LABELS_MAGIC	0x4c534456	/* "VDSL" */

/* Bits of offered and accepted */
#define VIRTIO_LABELS_BATCH	0x1

/* Flag of a packed descriptor, available or used: not the last of its batch */
#define VIRTIO_LABELS_DESC_F_MORE	0x4000

/**
 * struct virtio_pci_labels_cap - vendor data capability (virtio 4.1.4.8)
 * @cap_vndr: PCI_CAP_ID_VNDR
 * @cap_next: next capability
 * @cap_len: 20
 * @cfg_type: VIRTIO_LABELS_CFG_TYPE
 * @vendor_id: VIRTIO_LABELS_VENDOR_ID
 * @version: VIRTIO_LABELS_VERSION
 * @magic: VIRTIO_LABELS_MAGIC
 * @offered: VIRTIO_LABELS_*; read-only
 * @accepted: written by the driver between FEATURES_OK and DRIVER_OK, as one
 *	word, and read back
 */
struct virtio_pci_labels_cap {
	uint8_t cap_vndr;
	uint8_t cap_next;
	uint8_t cap_len;
	uint8_t cfg_type;
	uint16_t vendor_id;
	uint16_t version;
	uint32_t magic;
	uint32_t offered;
	uint32_t accepted;
};

#endif
