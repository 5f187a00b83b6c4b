/*
 * vhost-pci: the vhost IOMMU's grants
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A list of I/O address ranges of A, sorted, none overlapping, each with the
 * place in A's memory that it leads to and the rights that come with it. A
 * page of the window has the union of the rights of the grants that lead
 * there.
 *
 * Context of all functions: BQL held.
 */

#ifndef HW_VIRTIO_VHOST_PCI_GRANTS_H
#define HW_VIRTIO_VHOST_PCI_GRANTS_H

#include "window.h"

/* Most bytes of all grants together */
#define VP_GRANTS_MAX(window) (4 * (window)->size)

typedef struct VPGrant {
    uint64_t iova;
    uint64_t last;              /* of the range, inclusive */
    uint64_t uaddr;
    bool write;
} VPGrant;

/**
 * VPGrants: all grants of a connection
 * @list: of VPGrant
 * @max: most entries
 * @bytes: sum of their sizes, at most VP_GRANTS_MAX()
 * @updates, @revocations, @refusals: counters, never reset
 */
typedef struct VPGrants {
    VPWindow *window;
    GArray *list;
    unsigned max;
    uint64_t bytes;
    uint64_t updates;
    uint64_t revocations;
    uint64_t refusals;
} VPGrants;

void vp_grants_init(VPGrants *g, VPWindow *window, unsigned max);
void vp_grants_cleanup(VPGrants *g);

/**
 * vp_grants_update - grant a range; what it overlaps loses its old meaning
 * @msg: copy of the message
 *
 * Returns false, with nothing granted, when the range is not made of whole
 * pages, not within one region, one too many or too large, or the host has
 * no mapping left. The old meaning of the range is gone either way.
 */
bool vp_grants_update(VPGrants *g, const struct vhost_pci_iotlb *msg);

/**
 * vp_grants_invalidate - revoke a range
 * @iova, @size: any alignment; whole pages lose their rights
 *
 * When it returns no store of B reaches A through the range. Returns false
 * when only the loss of the window could ensure that.
 */
bool vp_grants_invalidate(VPGrants *g, uint64_t iova, uint64_t size);

/** vp_grants_count - between vp_window_set_table() and vp_window_map() */
void vp_grants_count(VPGrants *g);

/** vp_grants_revoke - revoke all; false when only the loss of the window did */
bool vp_grants_revoke(VPGrants *g);

/** vp_grants_forget - empty the list without touching the window */
void vp_grants_forget(VPGrants *g);

#endif
