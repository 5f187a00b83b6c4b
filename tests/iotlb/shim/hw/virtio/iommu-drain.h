/*
 * What hw/virtio/iommu/ledger.c asks of the IOMMU's half, without QEMU
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SHIM_HW_VIRTIO_IOMMU_DRAIN_H
#define SHIM_HW_VIRTIO_IOMMU_DRAIN_H

typedef struct IommuDrainTicket IommuDrainTicket;

/* As in QEMU's header; the test defines them */
IommuDrainTicket *iommu_drain_hold(void);
void iommu_drain_release(IommuDrainTicket *ticket);

#endif
