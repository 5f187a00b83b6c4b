/*
 * An IOMMU to try the IOTLB on: one level of pages, and counters
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Host memory is an array of pages. A mapped page begins with the word that
 * fake_owner() gives for the IOVA it is mapped at; a page that is not mapped
 * is full of FAKE_FREE. So who reads through a stale translation sees it.
 */
#ifndef FAKE_IOMMU_H
#define FAKE_IOMMU_H

#include "qemu/osdep.h"
#include <pthread.h>
#include "iotlb.h"

#define FAKE_PAGE       4096u
#define FAKE_FREE       0xdeadc0dedeadc0deull

/** FakeMapping: IOVAs [first, last] to consecutive host pages */
typedef struct FakeMapping {
    uint64_t first, last;
    unsigned page;
    unsigned rights;
} FakeMapping;

/**
 * FakeIommu:
 * @translations: how often it was asked
 * @translating: called at the end of each translation, outside of the lock,
 *               with the result still to be delivered; may be NULL
 * @unmapped: called by fake_unmap() after the IOTLB was told, before the pages
 *            are somebody else's; may be NULL
 */
typedef struct FakeIommu {
    pthread_mutex_t lock;
    uint64_t *memory;
    unsigned pages;
    GArray *mappings;           /* of FakeMapping */
    uint64_t translations;
    bool slow;                  /* all of it is not plain memory */
    bool liar;                  /* answers are no blocks */
    void (*translating)(struct FakeIommu *iommu);
    void (*unmapped)(struct FakeIommu *iommu, uint64_t first, uint64_t last);
    Iotlb *iotlb;
} FakeIommu;

static inline uint64_t fake_owner(uint64_t iova)
{
    return (iova & ~(uint64_t)(FAKE_PAGE - 1)) ^ 0x0123456789ab0000ull;
}

/** fake_new: @pages of host memory, and an IOTLB of @entries in front */
FakeIommu *fake_new(unsigned pages, unsigned entries);
void fake_free(FakeIommu *iommu);

/** fake_host: host memory of page @page */
uint64_t *fake_host(FakeIommu *iommu, unsigned page);

/** fake_map: @count pages at @iova to host pages @page and on */
void fake_map(FakeIommu *iommu, uint64_t iova, unsigned page, unsigned count,
              unsigned rights);

/**
 * fake_unmap: take the mapping at @iova away as an IOMMU does
 *
 * The table first, then the IOTLB, then the pages are somebody else's.
 */
void fake_unmap(FakeIommu *iommu, uint64_t iova);

#endif
