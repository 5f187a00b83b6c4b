/*
 * An IOMMU to try the IOTLB on
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "fake-iommu.h"

static FakeMapping *find(FakeIommu *iommu, uint64_t iova)
{
    for (unsigned i = 0; i < iommu->mappings->len; i++) {
        FakeMapping *m = &g_array_index(iommu->mappings, FakeMapping, i);

        if (iova >= m->first && iova <= m->last) {
            return m;
        }
    }
    return NULL;
}

static IotlbResult fake_fill(void *opaque, uint64_t iova, unsigned right,
                             IotlbBlock *block)
{
    FakeIommu *iommu = opaque;
    IotlbResult result = IOTLB_FAULT;
    FakeMapping *m;

    pthread_mutex_lock(&iommu->lock);
    iommu->translations++;
    m = find(iommu, iova);
    if (m && (m->rights & right)) {
        uint64_t mask = iotlb_block_mask(iova, UINT64_MAX >> 1, m->first,
                                         m->last);
        uint64_t base = iova & ~mask;
        unsigned page = m->page + (base - m->first) / FAKE_PAGE;

        *block = (IotlbBlock) {
            .iova = base + (iommu->liar ? FAKE_PAGE : 0),
            .mask = mask,
            .rights = m->rights,
            .host = fake_host(iommu, page),
            .region = iommu,
            .offset = (uint64_t)page * FAKE_PAGE,
        };
        result = iommu->slow ? IOTLB_SLOW : IOTLB_HIT;
    }
    pthread_mutex_unlock(&iommu->lock);
    if (iommu->translating) {
        iommu->translating(iommu);
    }
    return result;
}

FakeIommu *fake_new(unsigned pages, unsigned entries)
{
    FakeIommu *iommu = g_new0(FakeIommu, 1);

    pthread_mutex_init(&iommu->lock, NULL);
    iommu->pages = pages;
    iommu->memory = g_malloc((size_t)pages * FAKE_PAGE);
    for (size_t i = 0; i < (size_t)pages * FAKE_PAGE / 8; i++) {
        iommu->memory[i] = FAKE_FREE;
    }
    iommu->mappings = g_array_new(FALSE, FALSE, sizeof(FakeMapping));
    iommu->iotlb = iotlb_new(entries, fake_fill, iommu);
    return iommu;
}

void fake_free(FakeIommu *iommu)
{
    iotlb_free(iommu->iotlb);
    g_array_free(iommu->mappings, TRUE);
    pthread_mutex_destroy(&iommu->lock);
    g_free(iommu->memory);
    g_free(iommu);
}

uint64_t *fake_host(FakeIommu *iommu, unsigned page)
{
    g_assert_cmpuint(page, <, iommu->pages);
    return iommu->memory + (size_t)page * FAKE_PAGE / 8;
}

void fake_map(FakeIommu *iommu, uint64_t iova, unsigned page, unsigned count,
              unsigned rights)
{
    FakeMapping m = {
        .first = iova, .last = iova + (uint64_t)count * FAKE_PAGE - 1,
        .page = page, .rights = rights,
    };

    for (unsigned i = 0; i < count; i++) {
        *fake_host(iommu, page + i) = fake_owner(iova +
                                                 (uint64_t)i * FAKE_PAGE);
    }
    pthread_mutex_lock(&iommu->lock);
    g_array_append_val(iommu->mappings, m);
    pthread_mutex_unlock(&iommu->lock);
}

void fake_unmap(FakeIommu *iommu, uint64_t iova)
{
    FakeMapping *found, m;

    pthread_mutex_lock(&iommu->lock);
    found = find(iommu, iova);
    g_assert_nonnull(found);
    m = *found;
    g_array_remove_index_fast(iommu->mappings,
                              found - (FakeMapping *)iommu->mappings->data);
    pthread_mutex_unlock(&iommu->lock);

    iotlb_invalidate(iommu->iotlb, m.first, m.last);
    if (iommu->unmapped) {
        iommu->unmapped(iommu, m.first, m.last);
    }

    for (unsigned i = 0; i <= (m.last - m.first) / FAKE_PAGE; i++) {
        *fake_host(iommu, m.page + i) = FAKE_FREE;
    }
}
