/*
 * The IOTLB against a fake IOMMU, in one thread
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "fake-iommu.h"
#include "count-locks.h"

#define PAGES   4096u
#define AT      0x7000000000ull

/*
 * What may lock or wait goes through here (the linker's --wrap), whatever the
 * IOTLB's own counter says.
 */
static uint64_t locks_taken;

int __wrap_pthread_mutex_lock(pthread_mutex_t *lock)
{
    locks_taken++;
    return __real_pthread_mutex_lock(lock);
}

int __wrap_pthread_mutex_trylock(pthread_mutex_t *lock)
{
    locks_taken++;
    return __real_pthread_mutex_trylock(lock);
}

int __wrap_pthread_rwlock_rdlock(pthread_rwlock_t *lock)
{
    locks_taken++;
    return __real_pthread_rwlock_rdlock(lock);
}

int __wrap_pthread_rwlock_wrlock(pthread_rwlock_t *lock)
{
    locks_taken++;
    return __real_pthread_rwlock_wrlock(lock);
}

typedef struct Rig {
    FakeIommu *iommu;
    IotlbReader reader;
} Rig;

static void rig_new(Rig *rig, unsigned entries)
{
    rig->iommu = fake_new(PAGES, entries);
    iotlb_reader_add(rig->iommu->iotlb, &rig->reader);
}

static void rig_free(Rig *rig)
{
    iotlb_reader_remove(&rig->reader);
    fake_free(rig->iommu);
}

static IotlbResult get(Rig *rig, uint64_t iova, unsigned right,
                       IotlbSpan *span)
{
    IotlbResult result;

    iotlb_enter(&rig->reader);
    result = iotlb_get(&rig->reader, iova, right, span);
    iotlb_exit(&rig->reader);
    return result;
}

static void expect(Rig *rig, uint64_t iova, unsigned right, unsigned page)
{
    uint8_t *host = (uint8_t *)fake_host(rig->iommu, page) + iova % FAKE_PAGE;
    IotlbSpan span;

    g_assert_cmpint(get(rig, iova, right, &span), ==, IOTLB_HIT);
    g_assert_true(span.host == host);
    g_assert_true(span.region == rig->iommu);
    g_assert_cmphex(span.offset, ==,
                    (uint64_t)page * FAKE_PAGE + iova % FAKE_PAGE);
    g_assert_cmpuint(span.len, >, 0);
}

static void expect_fault(Rig *rig, uint64_t iova, unsigned right)
{
    IotlbSpan span;

    g_assert_cmpint(get(rig, iova, right, &span), ==, IOTLB_FAULT);
}

/* One translation, then hits, which take no lock; an unmap takes one. */
static void hit_takes_no_lock(void)
{
    IotlbSpan span;
    uint64_t locks, taken;
    Rig rig;

    rig_new(&rig, 1024);
    fake_map(rig.iommu, AT, 10, 1, IOTLB_READ);
    taken = locks_taken;
    expect(&rig, AT + 8, IOTLB_READ, 10);
    /* The fake IOMMU's, and the cache's */
    g_assert_cmpuint(locks_taken, ==, taken + 2);
    locks = iotlb_stats(rig.iommu->iotlb).locks;
    taken = locks_taken;
    for (unsigned i = 0; i < 100000; i++) {
        g_assert_cmpint(get(&rig, AT + i % FAKE_PAGE, IOTLB_READ, &span), ==,
                        IOTLB_HIT);
    }
    g_assert_cmpuint(locks_taken, ==, taken);
    g_assert_cmpuint(iotlb_stats(rig.iommu->iotlb).locks, ==, locks);
    taken = locks_taken;
    iotlb_invalidate(rig.iommu->iotlb, AT + FAKE_PAGE, AT + 2 * FAKE_PAGE - 1);
    g_assert_cmpuint(locks_taken, ==, taken + 1);
    g_assert_cmpuint(rig.iommu->translations, ==, 1);
    g_assert_cmpuint(rig.reader.hits, ==, 100000);
    g_assert_cmpuint(rig.reader.misses, ==, 1);
    rig_free(&rig);
}

/* 64 KiB, 2 MiB and 8 MiB in one mapping are one translation each. */
static void large_stays_large(void)
{
    static const unsigned pages[] = { 16, 512, 2048 };

    for (unsigned i = 0; i < G_N_ELEMENTS(pages); i++) {
        Rig rig;

        rig_new(&rig, 1024);
        fake_map(rig.iommu, AT, 1000, pages[i], IOTLB_READ | IOTLB_WRITE);
        for (unsigned p = 0; p < pages[i]; p++) {
            IotlbSpan span;

            expect(&rig, AT + (uint64_t)p * FAKE_PAGE + 5, IOTLB_WRITE,
                   1000 + p);
            get(&rig, AT + (uint64_t)p * FAKE_PAGE, IOTLB_READ, &span);
            g_assert_cmpuint(span.len, ==, (pages[i] - p) * FAKE_PAGE);
        }
        g_assert_cmpuint(rig.iommu->translations, ==, 1);
        rig_free(&rig);
    }
}

/* The right to read is not the right to write, also after a hit. */
static void rights_are_separate(void)
{
    Rig rig;

    rig_new(&rig, 64);
    fake_map(rig.iommu, AT, 1, 1, IOTLB_READ);
    fake_map(rig.iommu, AT + FAKE_PAGE, 2, 1, IOTLB_WRITE);
    for (unsigned i = 0; i < 3; i++) {
        expect(&rig, AT, IOTLB_READ, 1);
        expect_fault(&rig, AT, IOTLB_WRITE);
        expect(&rig, AT + FAKE_PAGE, IOTLB_WRITE, 2);
        expect_fault(&rig, AT + FAKE_PAGE, IOTLB_READ);
    }
    rig_free(&rig);
}

/* What is refused, or slow, or no block, is not remembered. */
static void failures_are_not_kept(void)
{
    IotlbSpan span;
    Rig rig;

    rig_new(&rig, 64);
    expect_fault(&rig, AT, IOTLB_READ);
    fake_map(rig.iommu, AT, 1, 2, IOTLB_READ);
    expect(&rig, AT, IOTLB_READ, 1);
    fake_unmap(rig.iommu, AT);
    expect_fault(&rig, AT, IOTLB_READ);

    fake_map(rig.iommu, AT, 1, 1, IOTLB_READ);
    rig.iommu->slow = true;
    g_assert_cmpint(get(&rig, AT, IOTLB_READ, &span), ==, IOTLB_SLOW);
    rig.iommu->slow = false;
    rig.iommu->liar = true;
    expect_fault(&rig, AT, IOTLB_READ);
    g_assert_cmpuint(iotlb_stats(rig.iommu->iotlb).bad, ==, 1);
    rig.iommu->liar = false;
    expect(&rig, AT, IOTLB_READ, 1);
    rig_free(&rig);
}

/* Only what the range touches goes, whatever its size. */
static void invalidation_is_by_range(void)
{
    const uint64_t large = AT + (1ull << 30);
    uint64_t before;
    Rig rig;

    rig_new(&rig, 1024);
    for (unsigned i = 0; i < 8; i++) {
        fake_map(rig.iommu, AT + i * FAKE_PAGE, i * 2, 1, IOTLB_READ);
        expect(&rig, AT + i * FAKE_PAGE, IOTLB_READ, i * 2);
    }
    fake_map(rig.iommu, large, 1024, 512, IOTLB_READ);
    expect(&rig, large, IOTLB_READ, 1024);

    before = rig.iommu->translations;
    iotlb_invalidate(rig.iommu->iotlb, AT + 3 * FAKE_PAGE,
                     AT + 5 * FAKE_PAGE - 1);
    for (unsigned i = 0; i < 8; i++) {
        expect(&rig, AT + i * FAKE_PAGE, IOTLB_READ, i * 2);
    }
    expect(&rig, large, IOTLB_READ, 1024);
    g_assert_cmpuint(rig.iommu->translations, ==, before + 2);

    /* One page of a large block takes the block away. */
    iotlb_invalidate(rig.iommu->iotlb, large + 7 * FAKE_PAGE,
                     large + 8 * FAKE_PAGE - 1);
    expect(&rig, large, IOTLB_READ, 1024);
    g_assert_cmpuint(rig.iommu->translations, ==, before + 3);

    iotlb_flush(rig.iommu->iotlb);
    expect(&rig, large, IOTLB_READ, 1024);
    expect(&rig, AT, IOTLB_READ, 0);
    g_assert_cmpuint(rig.iommu->translations, ==, before + 5);
    rig_free(&rig);
}

static void invalidate_now(FakeIommu *iommu)
{
    iommu->translating = NULL;
    fake_unmap(iommu, AT);
    fake_map(iommu, AT, 9, 1, IOTLB_READ);
}

static void invalidate_always(FakeIommu *iommu)
{
    iotlb_invalidate(iommu->iotlb, AT, AT);
}

static void invalidate_others(FakeIommu *iommu)
{
    for (unsigned i = 0; i < 255; i++) {
        iotlb_invalidate(iommu->iotlb, AT + FAKE_PAGE, UINT64_MAX);
    }
}

static void invalidate_many_others(FakeIommu *iommu)
{
    invalidate_others(iommu);
    iotlb_invalidate(iommu->iotlb, AT + FAKE_PAGE, UINT64_MAX);
}

/* Of others, one that hundreds overtake is asked for again. */
static void fill_outlasts_unmaps_of_others(void)
{
    IotlbSpan span;
    Rig rig;

    rig_new(&rig, 64);
    fake_map(rig.iommu, AT, 1, 1, IOTLB_READ);
    for (unsigned i = 0; i < 300; i++) {
        iotlb_flush(rig.iommu->iotlb);
    }
    rig.iommu->translating = invalidate_others;
    expect(&rig, AT, IOTLB_READ, 1);
    g_assert_cmpuint(rig.iommu->translations, ==, 1);
    expect(&rig, AT, IOTLB_READ, 1);
    g_assert_cmpuint(rig.iommu->translations, ==, 1);
    g_assert_cmpuint(iotlb_stats(rig.iommu->iotlb).drops, ==, 0);

    iotlb_flush(rig.iommu->iotlb);
    rig.iommu->translating = invalidate_many_others;
    g_assert_cmpint(get(&rig, AT, IOTLB_READ, &span), ==, IOTLB_MISS);
    rig_free(&rig);
}

/* A translation that an unmap overtakes is asked for again. */
static void overtaken_fill_is_dropped(void)
{
    IotlbSpan span;
    Rig rig;

    rig_new(&rig, 64);
    fake_map(rig.iommu, AT, 1, 1, IOTLB_READ);
    rig.iommu->translating = invalidate_now;
    expect(&rig, AT, IOTLB_READ, 9);
    g_assert_cmpuint(iotlb_stats(rig.iommu->iotlb).drops, ==, 1);
    g_assert_cmpuint(rig.iommu->translations, ==, 2);

    /* Without end, it is given up. */
    iotlb_flush(rig.iommu->iotlb);
    rig.iommu->translating = invalidate_always;
    g_assert_cmpint(get(&rig, AT, IOTLB_READ, &span), ==, IOTLB_MISS);
    rig.iommu->translating = NULL;
    expect(&rig, AT, IOTLB_READ, 9);
    rig_free(&rig);
}

/* What was looked up before a miss in the same section is void. */
static void miss_changes_epoch(void)
{
    IotlbSpan span;
    uint32_t epoch;
    Rig rig;

    rig_new(&rig, 64);
    fake_map(rig.iommu, AT, 1, 1, IOTLB_READ);
    fake_map(rig.iommu, AT + FAKE_PAGE, 3, 1, IOTLB_READ);
    expect(&rig, AT, IOTLB_READ, 1);
    iotlb_enter(&rig.reader);
    epoch = rig.reader.epoch;
    g_assert_cmpint(iotlb_get(&rig.reader, AT, IOTLB_READ, &span), ==,
                    IOTLB_HIT);
    g_assert_cmpuint(rig.reader.epoch, ==, epoch);
    g_assert_cmpint(iotlb_get(&rig.reader, AT + FAKE_PAGE, IOTLB_READ, &span),
                    ==, IOTLB_HIT);
    g_assert_cmpuint(rig.reader.epoch, !=, epoch);
    iotlb_exit(&rig.reader);
    rig_free(&rig);
}

/* More pages than entries: bounded, and each answer still right */
static void entries_are_bounded(void)
{
    Rig rig;

    rig_new(&rig, 16);
    for (unsigned i = 0; i < 512; i++) {
        fake_map(rig.iommu, AT + (uint64_t)i * FAKE_PAGE, 2 * i, 1,
                 IOTLB_READ);
    }
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 512; i++) {
            expect(&rig, AT + (uint64_t)i * FAKE_PAGE, IOTLB_READ, 2 * i);
        }
    }
    iotlb_flush(rig.iommu->iotlb);
    g_assert_cmpuint(iotlb_stats(rig.iommu->iotlb).cleared, <=, 16);
    rig_free(&rig);
}

static void block_mask(void)
{
    g_assert_cmphex(iotlb_block_mask(0x5123, 0xfff, 0, UINT64_MAX), ==, 0xfff);
    g_assert_cmphex(iotlb_block_mask(0x5123, 0x1fffff, 0x4000, 0x7fff), ==,
                    0x3fff);
    g_assert_cmphex(iotlb_block_mask(0x5123, 0x1fffff, 0x5000, 0x7fff), ==,
                    0xfff);
    g_assert_cmphex(iotlb_block_mask(0x5123, 0x1fffff, 0x5001, 0x7fff), ==, 0);
    g_assert_cmphex(iotlb_block_mask(0x5123, 0x1fffff, 0x5000, 0x5ffe), ==, 0);
    g_assert_cmphex(iotlb_block_mask(-1, UINT64_MAX, 0, UINT64_MAX), ==,
                    UINT64_MAX >> 1);
}

/* The top of the address space, where ends do not fit in 64 bits */
static void top_of_the_space(void)
{
    Rig rig;

    rig_new(&rig, 64);
    fake_map(rig.iommu, -(uint64_t)16 * FAKE_PAGE, 16, 16, IOTLB_READ);
    expect(&rig, -1, IOTLB_READ, 31);
    iotlb_invalidate(rig.iommu->iotlb, -1, -1);
    g_assert_cmpuint(iotlb_stats(rig.iommu->iotlb).cleared, ==, 1);
    expect(&rig, -1, IOTLB_READ, 31);
    rig_free(&rig);
}

/*
 * Mappings of random sizes come and go; every answer is that of the IOMMU,
 * from few entries and from many. IOTLB_OPS: so many operations in all.
 */
static void random_against_model(void)
{
    enum { SLOTS = 24, SLOT_PAGES = 64 };
    static const unsigned entries[] = { 4, 64, 1024 };
    const char *ops = g_getenv("IOTLB_OPS");
    unsigned steps = (ops ? atoi(ops) : 1000000) / G_N_ELEMENTS(entries) + 1;

    for (unsigned e = 0; e < G_N_ELEMENTS(entries); e++) {
        struct { unsigned count, offset, rights; } slot[SLOTS] = { 0 };
        Rig rig;

        rig_new(&rig, entries[e]);
        for (unsigned i = 0; i < steps; i++) {
            unsigned n = g_test_rand_int_range(0, SLOTS);
            unsigned p = g_test_rand_int_range(0, SLOT_PAGES);
            unsigned right = g_test_rand_int_range(1, 3);
            uint64_t base = AT + (uint64_t)n * SLOT_PAGES * FAKE_PAGE;
            uint64_t iova = base + (uint64_t)p * FAKE_PAGE +
                            g_test_rand_int_range(0, FAKE_PAGE);

            if (g_test_rand_int_range(0, 50)) {
                unsigned at = p - slot[n].offset;

                if (p < slot[n].offset || at >= slot[n].count ||
                    !(slot[n].rights & right)) {
                    expect_fault(&rig, iova, right);
                } else {
                    expect(&rig, iova, right, n * SLOT_PAGES + p);
                }
            } else if (slot[n].count) {
                fake_unmap(rig.iommu, base + slot[n].offset * FAKE_PAGE);
                slot[n].count = 0;
            } else {
                slot[n].offset = g_test_rand_int_range(0, SLOT_PAGES);
                slot[n].count = g_test_rand_int_range(1, SLOT_PAGES -
                                                      slot[n].offset + 1);
                slot[n].rights = g_test_rand_int_range(1, 4);
                fake_map(rig.iommu, base + slot[n].offset * FAKE_PAGE,
                         n * SLOT_PAGES + slot[n].offset, slot[n].count,
                         slot[n].rights);
            }
        }
        rig_free(&rig);
    }
}

static bool watch(Rig *rig, uint64_t iova, uint64_t generation)
{
    IotlbRange range = { iova, iova + 2 * FAKE_PAGE - 1 };
    bool good;

    iotlb_enter(&rig->reader);
    good = iotlb_watch(&rig->reader, &range, 1, generation);
    iotlb_exit(&rig->reader);
    return good;
}

/* A watch ends with an invalidation of its range, and of no other. */
static void watch_ends_with_its_range(void)
{
    uint64_t generation;
    Rig rig;

    rig_new(&rig, 64);
    g_assert_false(iotlb_watched(&rig.reader));
    generation = iotlb_generation(rig.iommu->iotlb);
    iotlb_invalidate(rig.iommu->iotlb, AT - FAKE_PAGE, AT - 1);
    g_assert_true(watch(&rig, AT, generation));
    iotlb_invalidate(rig.iommu->iotlb, AT - FAKE_PAGE, AT - 1);
    iotlb_invalidate(rig.iommu->iotlb, AT + 2 * FAKE_PAGE, UINT64_MAX);
    iotlb_invalidate(rig.iommu->iotlb, 0, AT - 1);
    g_assert_true(iotlb_watched(&rig.reader));
    iotlb_invalidate(rig.iommu->iotlb, AT + 2 * FAKE_PAGE - 1, UINT64_MAX);
    g_assert_false(iotlb_watched(&rig.reader));

    /* What was looked up before an invalidation cannot be watched. */
    g_assert_false(watch(&rig, AT, generation));
    g_assert_false(iotlb_watched(&rig.reader));
    g_assert_true(watch(&rig, AT, iotlb_generation(rig.iommu->iotlb)));
    iotlb_flush(rig.iommu->iotlb);
    g_assert_false(iotlb_watched(&rig.reader));
    rig_free(&rig);
}

/* More pages than there is room for: each look-up still gives its page. */
static void fill_without_room_is_used(void)
{
    Rig rig;

    rig_new(&rig, IOTLB_ENTRIES_MIN);
    fake_map(rig.iommu, AT, 0, 1, IOTLB_READ);
    for (unsigned i = 1; i < 64; i++) {
        fake_map(rig.iommu, AT + i * 2 * FAKE_PAGE, i, 1, IOTLB_READ);
    }
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = 0; i < 64; i++) {
            expect(&rig, AT + i * 2 * FAKE_PAGE, IOTLB_READ, i);
        }
    }
    g_assert_cmpuint(rig.iommu->translations, <=, 4 * 64);
    rig_free(&rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/iotlb/hit-takes-no-lock", hit_takes_no_lock);
    g_test_add_func("/iotlb/large-stays-large", large_stays_large);
    g_test_add_func("/iotlb/rights-are-separate", rights_are_separate);
    g_test_add_func("/iotlb/failures-are-not-kept", failures_are_not_kept);
    g_test_add_func("/iotlb/invalidation-is-by-range",
                    invalidation_is_by_range);
    g_test_add_func("/iotlb/overtaken-fill-is-dropped",
                    overtaken_fill_is_dropped);
    g_test_add_func("/iotlb/fill-outlasts-unmaps-of-others",
                    fill_outlasts_unmaps_of_others);
    g_test_add_func("/iotlb/miss-changes-epoch", miss_changes_epoch);
    g_test_add_func("/iotlb/entries-are-bounded", entries_are_bounded);
    g_test_add_func("/iotlb/block-mask", block_mask);
    g_test_add_func("/iotlb/top-of-the-space", top_of_the_space);
    g_test_add_func("/iotlb/watch-ends-with-its-range",
                    watch_ends_with_its_range);
    g_test_add_func("/iotlb/fill-without-room-is-used",
                    fill_without_room_is_used);
    g_test_add_func("/iotlb/random-against-model", random_against_model);
    return g_test_run();
}
