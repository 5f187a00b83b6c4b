/*
 * Requests behind the IOTLB while their memory is unmapped: none is in flight
 * when the unmap is answered
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Queues look pages up, note what they found and use it: in the queue's thread
 * or in another, which strikes it out, too. An unmap takes a page from the
 * IOMMU, tells the IOTLB and the ledger, waits for the holds, and writes to the
 * page with plain stores. A request that is still in flight would read them,
 * and under ThreadSanitizer the accesses would be a data race.
 */

#include <inttypes.h>
#include "fake-iommu.h"
#include "ledger.h"

#define PAGES       16u
#define AT          0x123400000ull
#define QUEUES      3u
#define BOXES       8u

struct IommuDrainTicket {
    unsigned pending;           /* atomic */
};

static struct {
    FakeIommu *iommu;
    IommuLedger *ledger;
    IommuDrainTicket ticket;
    struct Request *box[BOXES]; /* atomic: for the completer */
    bool executing;             /* the unmapping thread's */
    bool same;                  /* more is invalidated than was unmapped */
    int stop;                   /* atomic */
    uint64_t noted;             /* atomic: in lanes */
    uint64_t sections;          /* atomic: in the tree, from a section */
    uint64_t held;
} race;

/**
 * Request: one or two pages
 * @word: of each page, that only the thread that completes it writes to
 */
typedef struct Request {
    uint64_t id;
    unsigned num, word;
    uint64_t addr[2];
    struct iovec iov[2];
} Request;

IommuDrainTicket *iommu_drain_hold(void)
{
    if (!race.executing) {
        return NULL;
    }
    __atomic_fetch_add(&race.ticket.pending, 1, __ATOMIC_SEQ_CST);
    return &race.ticket;
}

void iommu_drain_release(IommuDrainTicket *ticket)
{
    unsigned before = __atomic_fetch_sub(&ticket->pending, 1,
                                         __ATOMIC_SEQ_CST);

    g_assert_cmpuint(before, >, 0);
}

static void use_and_strike(const Request *r, bool slowly)
{
    for (unsigned i = 0; i < r->num; i++) {
        uint64_t *host = r->iov[i].iov_base;

        for (unsigned n = 0; n < 20; n++) {
            g_assert_cmphex(host[0], ==, fake_owner(r->addr[i]));
            if (slowly && n % 8 == 0) {
                g_thread_yield();
            }
        }
        host[r->word] = r->addr[i];
    }
    iommu_ledger_done(race.ledger, r->id);
}

static gpointer completer_thread(gpointer opaque)
{
    unsigned n = 0;

    while (!__atomic_load_n(&race.stop, __ATOMIC_ACQUIRE) || n % BOXES) {
        Request **box = &race.box[n++ % BOXES];
        Request *r = __atomic_exchange_n(box, NULL, __ATOMIC_ACQUIRE);

        if (r) {
            use_and_strike(r, true);
            g_free(r);
        }
    }
    return opaque;
}

/* Returns false if the completer is busy */
static bool complete_elsewhere(const Request *r)
{
    Request *copy = g_memdup2(r, sizeof(*r));

    copy->word = 1 + QUEUES;
    for (unsigned i = 0; i < BOXES; i++) {
        Request *none = NULL;

        if (__atomic_compare_exchange_n(&race.box[i], &none, copy, false,
                                        __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
            return true;
        }
    }
    g_free(copy);
    return false;
}

/* As the engine does: hw/virtio/iommu/in-flight-ring.c.inc */
static bool find(IotlbReader *reader, IommuLane *lane, Request *r,
                 bool slowly)
{
    IommuLedgerRange range[2];
    IommuLedgerSection section;
    bool good = true, open = false;

    iotlb_enter(reader);
    for (unsigned i = 0; good && i < r->num; i++) {
        IotlbSpan span = { 0 };
        IotlbResult result = iotlb_lookup(reader, r->addr[i], IOTLB_READ,
                                          &span);

        if (result == IOTLB_MISS) {
            if (!open) {
                iommu_ledger_begin(race.ledger, &section);
                open = true;
            }
            result = iotlb_ask(reader, r->addr[i], IOTLB_READ, &span);
        }
        good = result == IOTLB_HIT;
        r->iov[i] = (struct iovec) { span.host, FAKE_PAGE };
        range[i] = (IommuLedgerRange) {
            r->addr[i], r->addr[i] + FAKE_PAGE - 1, span.host, true,
        };
    }
    if (good && !open) {
        if (slowly) {
            /* Whoever unmaps now has to wait for the section. */
            g_thread_yield();
        }
        r->id = iommu_lane_note(lane, r->addr, r->iov, 0, r->num);
        g_assert_cmpuint(r->id, !=, 0);
        __atomic_fetch_add(&race.noted, 1, __ATOMIC_RELAXED);
    }
    iotlb_exit(reader);
    if (open) {
        r->id = iommu_ledger_end(race.ledger, &section, range,
                                 good ? r->num : 0);
        __atomic_fetch_add(&race.sections, good, __ATOMIC_RELAXED);
    }
    return good;
}

static gpointer queue_thread(gpointer opaque)
{
    unsigned n = GPOINTER_TO_UINT(opaque);
    IommuLane *lane = iommu_lanes_get(iommu_ledger_lanes(race.ledger), n);
    uint64_t seed = 88172645463325252ull + n;
    IotlbReader reader;

    iotlb_reader_add(race.iommu->iotlb, &reader);
    while (!__atomic_load_n(&race.stop, __ATOMIC_ACQUIRE)) {
        Request r = { .word = 1 + n };

        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        r.num = 1 + (seed >> 40) % 2;
        r.addr[0] = AT + (seed >> 20) % PAGES * FAKE_PAGE;
        r.addr[1] = AT + (seed >> 30) % PAGES * FAKE_PAGE;
        if (!find(&reader, lane, &r, (seed >> 56) % 32 == 0)) {
            continue;
        }
        if ((seed >> 50) % 4 || !complete_elsewhere(&r)) {
            use_and_strike(&r, (seed >> 52) % 16 == 0);
        }
    }
    iotlb_reader_remove(&reader);
    return NULL;
}

/* What was unmapped does not stand; what was only invalidated does */
static bool stands(void *opaque, const IommuLedgerRange *range)
{
    uint64_t *unmapped = opaque;

    return range->last < unmapped[0] || range->first > unmapped[1];
}

static void unmapped(FakeIommu *iommu, uint64_t first, uint64_t last)
{
    uint64_t range[2] = { first, last };

    g_assert_true(iommu == race.iommu);
    race.executing = true;
    race.held += race.same
        ? iommu_ledger_unmap(race.ledger, 0, UINT64_MAX, stands, range)
        : iommu_ledger_unmap(race.ledger, first, last, NULL, NULL);
    race.executing = false;
    while (__atomic_load_n(&race.ticket.pending, __ATOMIC_ACQUIRE)) {
        g_thread_yield();
    }
}

static void take(unsigned page, unsigned at)
{
    fake_unmap(race.iommu, AT + page * FAKE_PAGE);
    for (unsigned i = 1; i < 2 + QUEUES; i++) {
        fake_host(race.iommu, at)[i] = 0;
    }
}

/* Until requests were noted both ways, however the machine schedules */
static bool let_queues_work(const uint64_t *counter, uint64_t *last)
{
    uint64_t now;

    while ((now = __atomic_load_n(counter, __ATOMIC_RELAXED)) == *last) {
        g_thread_yield();
    }
    *last = now;
    return true;
}

static void test_race(gconstpointer opaque)
{
    unsigned rounds = g_test_thorough() ? 20000 : 256;
    GThread *thread[QUEUES], *completer;
    uint64_t noted = 0, sections = 0;
    unsigned at[PAGES];

    memset(&race, 0, sizeof(race));
    race.same = GPOINTER_TO_UINT(opaque);
    race.iommu = fake_new(PAGES * 2, 64);
    race.iommu->unmapped = unmapped;
    race.ledger = iommu_ledger_new();
    for (unsigned i = 0; i < PAGES; i++) {
        at[i] = i;
        fake_map(race.iommu, AT + i * FAKE_PAGE, i, 1,
                 IOTLB_READ | IOTLB_WRITE);
    }
    for (unsigned i = 0; i < QUEUES; i++) {
        /* Under the BQL: before the threads */
        iommu_lanes_get(iommu_ledger_lanes(race.ledger), i);
    }
    completer = g_thread_new("completer", completer_thread, NULL);
    for (unsigned i = 0; i < QUEUES; i++) {
        thread[i] = g_thread_new("queue", queue_thread, GUINT_TO_POINTER(i));
    }
    for (unsigned round = 0; round < rounds; round++) {
        unsigned i = round * 7 % PAGES;

        take(i, at[i]);
        at[i] = at[i] < PAGES ? at[i] + PAGES : at[i] - PAGES;
        fake_map(race.iommu, AT + i * FAKE_PAGE, at[i], 1,
                 IOTLB_READ | IOTLB_WRITE);
        if (round % 64 == 0) {
            let_queues_work(&race.noted, &noted);
            let_queues_work(&race.sections, &sections);
        }
    }
    __atomic_store_n(&race.stop, 1, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < QUEUES; i++) {
        g_thread_join(thread[i]);
    }
    g_thread_join(completer);
    for (unsigned i = 0; i < BOXES; i++) {
        if (race.box[i]) {
            use_and_strike(race.box[i], false);
            g_free(race.box[i]);
        }
    }
    g_test_message("%" PRIu64 " noted in lanes, %" PRIu64 " in sections, %"
                   PRIu64 " holds", race.noted, race.sections, race.held);
    g_assert_cmpuint(iommu_ledger_counters(race.ledger).in_flight, ==, 0);
    g_assert_cmpuint(iommu_ledger_forget(race.ledger), ==, 0);
    g_assert_cmpuint(race.ticket.pending, ==, 0);
    iommu_ledger_free(race.ledger);
    fake_free(race.iommu);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/ledger/race/unmapped", GUINT_TO_POINTER(false),
                         test_race);
    g_test_add_data_func("/ledger/race/invalidated", GUINT_TO_POINTER(true),
                         test_race);
    return g_test_run();
}
