/*
 * Readers of the IOTLB while mappings come and go: nothing stale is seen
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * After an unmap the page is written to at once, with plain stores. A reader
 * that still used it would read FAKE_FREE or another owner, and under
 * ThreadSanitizer the two accesses would be a data race.
 */

#include <inttypes.h>
#include "fake-iommu.h"

#define PAGES       64u
#define AT          0x123400000ull
#define READERS     3u

typedef struct Race {
    FakeIommu *iommu;
    int stop;                   /* atomic */
    uint64_t looks[READERS];    /* atomic */
} Race;

typedef struct Arg {
    Race *race;
    unsigned n;
} Arg;

static gpointer reader_thread(gpointer opaque)
{
    Arg *arg = opaque;
    Race *race = arg->race;
    uint64_t seed = 88172645463325252ull + arg->n, looks = 0;
    IotlbReader reader;

    iotlb_reader_add(race->iommu->iotlb, &reader);
    while (!__atomic_load_n(&race->stop, __ATOMIC_ACQUIRE)) {
        iotlb_enter(&reader);
        for (unsigned i = 0; i < 8; i++) {
            IotlbSpan span;
            uint64_t iova;

            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            iova = AT + (seed >> 20) % PAGES * FAKE_PAGE;
            if (iotlb_get(&reader, iova, IOTLB_READ, &span) == IOTLB_HIT) {
                g_assert_cmphex(*(uint64_t *)span.host, ==, fake_owner(iova));
                looks++;
            }
        }
        iotlb_exit(&reader);
        __atomic_store_n(&race->looks[arg->n], looks, __ATOMIC_RELAXED);
    }
    iotlb_reader_remove(&reader);
    return NULL;
}

/*
 * A reader with a ring: one page that it watches, used as long as the watch
 * holds, with look-ups of other pages in between.
 */
static gpointer watching_thread(gpointer opaque)
{
    Arg *arg = opaque;
    Race *race = arg->race;
    Iotlb *iotlb = race->iommu->iotlb;
    uint64_t iova = AT + arg->n * FAKE_PAGE, looks = 0;
    IotlbRange range = { iova, iova + FAKE_PAGE - 1 };
    IotlbReader reader;
    IotlbSpan ring, span;

    iotlb_reader_add(iotlb, &reader);
    while (!__atomic_load_n(&race->stop, __ATOMIC_ACQUIRE)) {
        uint64_t other = AT + (16 + looks % (PAGES - 16)) * FAKE_PAGE;
        uint64_t generation;

        iotlb_enter(&reader);
        generation = iotlb_generation(iotlb);
        if (iotlb_watched(&reader) ||
            (iotlb_get(&reader, iova, IOTLB_READ, &ring) == IOTLB_HIT &&
             iotlb_watch(&reader, &range, 1, generation))) {
            g_assert_cmphex(*(uint64_t *)ring.host, ==, fake_owner(iova));
            if (iotlb_get(&reader, other, IOTLB_READ, &span) == IOTLB_HIT) {
                g_assert_cmphex(*(uint64_t *)span.host, ==,
                                fake_owner(other));
            }
            if (iotlb_watched(&reader)) {
                g_assert_cmphex(*(uint64_t *)ring.host, ==, fake_owner(iova));
                looks++;
            }
        }
        iotlb_exit(&reader);
        __atomic_store_n(&race->looks[arg->n], looks, __ATOMIC_RELAXED);
    }
    iotlb_reader_remove(&reader);
    return NULL;
}

/* Until every reader has had its turn, however the machine schedules */
static void let_readers_look(Race *race)
{
    for (unsigned i = 0; i < READERS; i++) {
        uint64_t looks = __atomic_load_n(&race->looks[i], __ATOMIC_RELAXED);

        while (__atomic_load_n(&race->looks[i], __ATOMIC_RELAXED) == looks) {
            g_thread_yield();
        }
    }
}

static void race(unsigned entries, GThreadFunc thread_func)
{
    unsigned rounds = 4096;
    Race race = { .iommu = fake_new(PAGES * 2, entries) };
    GThread *thread[READERS];
    Arg arg[READERS];
    unsigned at[PAGES];

    for (unsigned i = 0; i < PAGES; i++) {
        at[i] = i;
        fake_map(race.iommu, AT + i * FAKE_PAGE, i, 1, IOTLB_READ);
    }
    for (unsigned i = 0; i < READERS; i++) {
        arg[i] = (Arg) { .race = &race, .n = i };
        thread[i] = g_thread_new("reader", thread_func, &arg[i]);
    }
    /* Each page moves between two places of the host. */
    for (unsigned round = 0; round < rounds; round++) {
        unsigned i = round * 7 % PAGES;

        fake_unmap(race.iommu, AT + i * FAKE_PAGE);
        at[i] = at[i] < PAGES ? at[i] + PAGES : at[i] - PAGES;
        fake_map(race.iommu, AT + i * FAKE_PAGE, at[i], 1, IOTLB_READ);
        if (round % 256 == 0) {
            let_readers_look(&race);
        }
        if (round % 512 == 0) {
            iotlb_flush(race.iommu->iotlb);
        }
    }
    __atomic_store_n(&race.stop, 1, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < READERS; i++) {
        g_thread_join(thread[i]);
    }
    g_test_message("%" PRIu64 " fills, %" PRIu64 " dropped, %" PRIu64 " waits",
                   iotlb_stats(race.iommu->iotlb).fills,
                   iotlb_stats(race.iommu->iotlb).drops,
                   iotlb_stats(race.iommu->iotlb).waits);
    fake_free(race.iommu);
}

static void stale_is_never_seen(gconstpointer opaque)
{
    race(GPOINTER_TO_UINT(opaque), reader_thread);
}

static void stale_watch_is_never_used(gconstpointer opaque)
{
    race(GPOINTER_TO_UINT(opaque), watching_thread);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/iotlb/race/small", GUINT_TO_POINTER(16),
                         stale_is_never_seen);
    g_test_add_data_func("/iotlb/race/large", GUINT_TO_POINTER(1024),
                         stale_is_never_seen);
    g_test_add_data_func("/iotlb/race/watch", GUINT_TO_POINTER(64),
                         stale_watch_is_never_used);
    return g_test_run();
}
