/*
 * Where a byte of a ring is
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The core is compiled twice. Usually each area is one stretch of host memory
 * and its bytes are found by adding. Behind an IOMMU a ring of more than a
 * page need not be one stretch; with VRING_PAGED defined the core looks each
 * byte's page up in VirtRingAreas.pages. Nothing that is read or written as
 * one crosses a page: the areas are aligned to 16, 2 (packed: 4) and 4 bytes.
 *
 * Private to the core of the ring engine; see ring.h.
 */

#ifndef HW_VIRTIO_RING_AREAS_H
#define HW_VIRTIO_RING_AREAS_H

#include "ring.h"

#ifdef VRING_PAGED
static inline uint8_t *ring_page_at(const VirtRingPages *p, size_t ofs)
{
    ofs += p->ofs;
    return p->page[ofs >> VRING_PAGE_SHIFT] +
           (ofs & ((1u << VRING_PAGE_SHIFT) - 1));
}

#define RING_AREA_AT(a, area, ofs) ring_page_at(&(a)->pages->area, ofs)
#else
#define RING_AREA_AT(a, area, ofs) ((a)->area + (ofs))
#endif

static inline uint8_t *ring_desc_at(const VirtRingAreas *a, size_t ofs)
{
    return RING_AREA_AT(a, desc, ofs);
}

static inline uint8_t *ring_driver_at(const VirtRingAreas *a, size_t ofs)
{
    return RING_AREA_AT(a, driver, ofs);
}

static inline uint8_t *ring_device_at(const VirtRingAreas *a, size_t ofs)
{
    return RING_AREA_AT(a, device, ofs);
}

#endif
