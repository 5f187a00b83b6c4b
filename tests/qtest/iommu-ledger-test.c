/*
 * The ledger of DMA in flight, by itself
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * hw/virtio/iommu/ledger.c and lanes.c are compiled in; what they ask of the
 * IOMMU's half is below. No QEMU is started.
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "../../hw/virtio/iommu/lanes.c"
#include "../../hw/virtio/iommu/ledger.c"

struct IommuDrainTicket {
    unsigned pending;
};

/* The IOMMU that executes a command, or NULL */
static IommuDrainTicket *executing;

IommuDrainTicket *iommu_drain_hold(void)
{
    if (executing) {
        qatomic_inc(&executing->pending);
    }
    return executing;
}

void iommu_drain_release(IommuDrainTicket *ticket)
{
    g_assert_cmpuint(qatomic_fetch_dec(&ticket->pending), >, 0);
}

static unsigned unmap(IommuLedger *ledger, IommuDrainTicket *ticket,
                      uint64_t first, uint64_t last)
{
    unsigned held;

    executing = ticket;
    held = iommu_ledger_unmap(ledger, first, last, NULL, NULL);
    executing = NULL;
    return held;
}

static IommuLedgerRange range(uint64_t first, uint64_t last)
{
    return (IommuLedgerRange) { first, last, (void *)(uintptr_t)first, true };
}

/* In the tree, or in a lane of the queue of that number */
#define IN_TREE (-1)
static int lane_of_note = IN_TREE;

static uint64_t note(IommuLedger *ledger, uint64_t first, uint64_t last)
{
    IommuLedgerRange r = range(first, last);
    IommuLedgerSection section;

    if (lane_of_note != IN_TREE) {
        IommuLane *lane = iommu_lanes_get(iommu_ledger_lanes(ledger),
                                          lane_of_note);
        struct iovec iov = { (void *)r.host, last - first + 1 };

        return iommu_lane_note(lane, &first, &iov, 0, 1);
    }
    iommu_ledger_begin(ledger, &section);
    return iommu_ledger_end(ledger, &section, &r, 1);
}

static void test_edges(void)
{
    IommuLedger *ledger = iommu_ledger_new();
    IommuDrainTicket t = { 0 };
    uint64_t id = note(ledger, 0x1000, 0x1fff), top;

    g_assert_cmpuint(unmap(ledger, &t, 0, 0xfff), ==, 0);
    g_assert_cmpuint(unmap(ledger, &t, 0x2000, UINT64_MAX), ==, 0);
    g_assert_cmpuint(unmap(ledger, &t, 0xfff, 0x1000), ==, 1);
    /* Twice is one hold. */
    g_assert_cmpuint(unmap(ledger, &t, 0x1fff, 0x2000), ==, 0);
    g_assert_cmpuint(t.pending, ==, 1);
    iommu_ledger_done(ledger, id);
    g_assert_cmpuint(t.pending, ==, 0);
    iommu_ledger_done(ledger, id);
    iommu_ledger_done(ledger, 12345);

    top = note(ledger, UINT64_MAX - 1, UINT64_MAX);
    g_assert_cmpuint(unmap(ledger, &t, 0, UINT64_MAX), ==, 1);
    /* Without a command nobody waits. */
    note(ledger, 0, 0);
    g_assert_cmpuint(unmap(ledger, NULL, 0, UINT64_MAX), ==, 0);
    g_assert_cmpuint(iommu_ledger_counters(ledger).in_flight, ==, 2);
    iommu_ledger_done(ledger, top);
    g_assert_cmpuint(t.pending, ==, 0);
    iommu_ledger_free(ledger);
}

/* Parts that continue each other in both spaces are one; others are not. */
static void test_parts(void)
{
    IommuLedger *ledger = iommu_ledger_new();
    IommuLedgerRange r[] = {
        range(0x1000, 0x1fff), range(0x2000, 0x2fff),
        { 0x3000, 0x3fff, (void *)0x9000, true },
        { 0x4000, 0x4fff, (void *)0xa000, false },
        { UINT64_MAX - 1, UINT64_MAX, (void *)0x10, true },
        { 0, 1, (void *)0x12, true },
    };
    IommuLedgerSection section;
    IommuDrainTicket t = { 0 };
    LedgerEntry *entry;
    uint64_t id;

    iommu_ledger_begin(ledger, &section);
    id = iommu_ledger_end(ledger, &section, r, ARRAY_SIZE(r));
    entry = g_hash_table_lookup(ledger->entries, &id);
    g_assert_cmpuint(entry->num, ==, 5);
    g_assert_cmphex(entry->nodes[0].it.last, ==, 0x2fff);
    g_assert_cmpuint(unmap(ledger, &t, 0x4fff, 0x5000), ==, 1);
    g_assert_cmpuint(unmap(ledger, &t, 0x2fff, 0x3000), ==, 0);
    g_assert_cmpuint(iommu_ledger_forget(ledger), ==, 1);
    g_assert_cmpuint(t.pending, ==, 0);
    iommu_ledger_done(ledger, id);
    iommu_ledger_free(ledger);
}

/* An unmap in the middle of a section */
static void test_section(void)
{
    IommuLedger *ledger = iommu_ledger_new();
    IommuLedgerRange r = range(0x5000, 0x5fff);
    IommuLedgerSection section;
    IommuDrainTicket t = { 0 };
    uint64_t id;

    /* Nothing comes out of it */
    iommu_ledger_begin(ledger, &section);
    g_assert_cmpuint(unmap(ledger, &t, 0x5000, 0x5fff), ==, 1);
    g_assert_cmpuint(iommu_ledger_end(ledger, &section, NULL, 0), ==, 0);
    g_assert_cmpuint(t.pending, ==, 0);

    /* Something else */
    iommu_ledger_begin(ledger, &section);
    g_assert_cmpuint(unmap(ledger, &t, 0x1000, 0x1fff), ==, 1);
    g_assert_cmpuint(t.pending, ==, 1);
    id = iommu_ledger_end(ledger, &section, &r, 1);
    g_assert_cmpuint(t.pending, ==, 0);
    iommu_ledger_done(ledger, id);

    /* What was unmapped */
    iommu_ledger_begin(ledger, &section);
    g_assert_cmpuint(unmap(ledger, &t, 0x5fff, 0x6fff), ==, 1);
    id = iommu_ledger_end(ledger, &section, &r, 1);
    g_assert_cmpuint(t.pending, ==, 1);
    iommu_ledger_done(ledger, id);
    g_assert_cmpuint(t.pending, ==, 0);
    iommu_ledger_free(ledger);
}

/* Holds of before an IOMMU's reset do not count for what comes after it. */
static void test_stale_ticket(void)
{
    IommuLedger *ledger = iommu_ledger_new();
    IommuDrainTicket old = { 0 }, new = { 0 };
    uint64_t id = note(ledger, 0, 9);

    g_assert_cmpuint(unmap(ledger, &old, 0, 9), ==, 1);
    g_assert_cmpuint(unmap(ledger, &new, 0, 9), ==, 1);
    g_assert_cmpuint(old.pending, ==, 0);
    g_assert_cmpuint(new.pending, ==, 1);
    iommu_ledger_done(ledger, id);
    g_assert_cmpuint(new.pending, ==, 0);
    iommu_ledger_free(ledger);
}

static bool first_page_stands(void *opaque, const IommuLedgerRange *r)
{
    g_assert_cmphex((uintptr_t)r->host, ==, r->first);
    (*(unsigned *)opaque)++;
    return r->last < 0x2000;
}

static void test_stands(void)
{
    IommuLedger *ledger = iommu_ledger_new();
    IommuDrainTicket t = { 0 };
    uint64_t one = note(ledger, 0x1000, 0x2fff);
    unsigned asked = 0;

    executing = &t;
    /* Only the part that was invalidated is looked at. */
    g_assert_cmpuint(iommu_ledger_unmap(ledger, 0x1800, 0x1fff,
                                        first_page_stands, &asked), ==, 0);
    g_assert_cmpuint(iommu_ledger_unmap(ledger, 0, UINT64_MAX,
                                        first_page_stands, &asked), ==, 1);
    executing = NULL;
    g_assert_cmpuint(asked, ==, 2);
    iommu_ledger_done(ledger, one);
    g_assert_cmpuint(t.pending, ==, 0);
    iommu_ledger_free(ledger);
}

/* Against a model that knows nothing of trees */
#define MODEL 64

typedef struct Model {
    uint64_t id, first, last;
    bool held;
} Model;

static void test_random(void)
{
    IommuLedger *ledger = iommu_ledger_new();
    IommuDrainTicket t = { 0 };
    Model m[MODEL] = { 0 };
    unsigned steps = g_test_thorough() ? 10000000 : 200000;
    bool mixed = lane_of_note != IN_TREE;

    for (unsigned step = 0; step < steps; step++) {
        Model *at = &m[g_test_rand_int_range(0, MODEL)];
        uint64_t first = g_test_rand_int_range(0, 4096);
        uint64_t last = first + g_test_rand_int_range(0, 64);
        unsigned expected = 0, pending = 0;

        if (g_test_rand_int_range(0, 8) == 0) {
            for (Model *i = m; i < m + MODEL; i++) {
                if (i->id && !i->held && i->first <= last && i->last >= first) {
                    i->held = true;
                    expected++;
                }
            }
            g_assert_cmpuint(unmap(ledger, &t, first, last), ==, expected);
        } else if (at->id) {
            iommu_ledger_done(ledger, at->id);
            *at = (Model) { 0 };
        } else {
            lane_of_note = mixed ? g_test_rand_int_range(0, 5) - 1 : IN_TREE;
            *at = (Model) { note(ledger, first, last), first, last, false };
        }
        for (Model *i = m; i < m + MODEL; i++) {
            pending += i->held;
        }
        g_assert_cmpuint(t.pending, ==, pending);
    }
    iommu_ledger_free(ledger);
    g_assert_cmpuint(t.pending, ==, 0);
}

/* Ranges of one request, as a lane has them */
static void test_lane_parts(void)
{
    IommuLedger *ledger = iommu_ledger_new();
    IommuLane *lane = iommu_lanes_get(iommu_ledger_lanes(ledger), 1023);
    uint64_t addr[] = { 0x1000, 0x2000, 0x3000, 0x4000, UINT64_MAX - 1, 0 };
    struct iovec iov[] = {
        { (void *)0x1000, 0x1000 }, { (void *)0x2000, 0x1000 },
        { (void *)0x9000, 0x1000 }, { (void *)0xa000, 0x1000 },
        { (void *)0x10, 2 }, { (void *)0x12, 2 },
    };
    IommuDrainTicket t = { 0 };
    uint64_t id;

    /* Five that do not continue each other: 0x3000 is written, 0x4000 not */
    g_assert_cmpuint(iommu_lane_note(lane, addr, iov, 3, 3), ==, 0);
    g_assert_cmpuint(iommu_lane_note(lane, addr, iov, 0, 0), ==, 0);
    g_assert_cmpuint(unmap(ledger, &t, 0, UINT64_MAX), ==, 0);
    id = iommu_lane_note(lane, addr, iov, 3, 2);
    g_assert_cmpuint(id, !=, 0);
    g_assert_cmpuint(lane->block[0]->slot[ID_SLOT(id)].num, ==, 4);
    g_assert_cmpuint(lane->block[0]->slot[ID_SLOT(id)].writes, ==, 0xc);
    g_assert_cmphex(lane->block[0]->slot[ID_SLOT(id)].range[0].last, ==,
                    0x2fff);
    g_assert_cmpuint(unmap(ledger, &t, 0x5000, UINT64_MAX - 2), ==, 0);
    g_assert_cmpuint(unmap(ledger, &t, 0, 0xfff), ==, 0);
    g_assert_cmpuint(unmap(ledger, &t, 0x4fff, 0x5000), ==, 1);
    g_assert_cmpuint(unmap(ledger, &t, UINT64_MAX, UINT64_MAX), ==, 0);
    g_assert_cmpuint(iommu_ledger_counters(ledger).in_flight, ==, 1);
    g_assert_cmpuint(iommu_ledger_forget(ledger), ==, 1);
    g_assert_cmpuint(t.pending, ==, 0);
    iommu_ledger_done(ledger, id);
    g_assert_cmpuint(iommu_ledger_counters(ledger).in_flight, ==, 0);
    iommu_ledger_free(ledger);
}

/* As many as there is room for, struck out in another order, and again */
static void test_lane_full(void)
{
    IommuLedger *ledger = iommu_ledger_new();
    g_autofree uint64_t *id = g_new(uint64_t, IOMMU_LANE_SLOTS);
    IommuDrainTicket t = { 0 };
    uint64_t old;

    lane_of_note = 7;
    for (unsigned i = 0; i < IOMMU_LANE_SLOTS; i++) {
        id[i] = note(ledger, i << 12, (i << 12) + 0xfff);
        g_assert_cmpuint(id[i], !=, 0);
    }
    g_assert_cmpuint(note(ledger, 0, 0), ==, 0);
    g_assert_cmpuint(unmap(ledger, &t, 0x5800, 0x7000), ==, 3);
    for (unsigned i = 0; i < IOMMU_LANE_SLOTS; i++) {
        unsigned at = i * 5 % IOMMU_LANE_SLOTS;

        old = id[at];
        iommu_ledger_done(ledger, old);
        id[at] = note(ledger, at << 12, (at << 12) + 0xfff);
        g_assert_cmpuint(id[at], !=, 0);
        /* One id is for one request. */
        iommu_ledger_done(ledger, old);
        g_assert_cmpuint(iommu_ledger_counters(ledger).in_flight, ==,
                         IOMMU_LANE_SLOTS);
    }
    g_assert_cmpuint(t.pending, ==, 0);
    g_assert_cmpuint(unmap(ledger, &t, 0, UINT64_MAX), ==, IOMMU_LANE_SLOTS);
    g_assert_cmpuint(iommu_ledger_forget(ledger), ==, IOMMU_LANE_SLOTS);
    g_assert_cmpuint(t.pending, ==, 0);
    lane_of_note = IN_TREE;
    iommu_ledger_free(ledger);
}

/* What a request costs, in flight with @opaque others; for callgrind */
static void test_lane_cost(gconstpointer opaque)
{
    IommuLedger *ledger = iommu_ledger_new();
    IommuLane *lane = iommu_lanes_get(iommu_ledger_lanes(ledger), 0);
    unsigned others = GPOINTER_TO_UINT(opaque);
    IommuDrainTicket t = { 0 };

    for (unsigned i = 0; i < 10000 + others; i++) {
        uint64_t addr[] = { 0x10000, 0x1000000 + i * 0x1000, 0x11000 };
        struct iovec iov[] = {
            { (void *)0x10000, 16 }, { (void *)0x1000000, 4096 },
            { (void *)0x11000, 1 },
        };
        uint64_t id = iommu_lane_note(lane, addr, iov, 1, 2);

        if (i >= others) {
            g_assert_cmpuint(unmap(ledger, &t, 0x20000, 0x20fff), ==, 0);
            iommu_ledger_done(ledger, id);
        }
    }
    g_assert_cmpuint(iommu_ledger_forget(ledger), ==, others);
    iommu_ledger_free(ledger);
}

/* The same tests with requests in a lane */
static void in_lane(gconstpointer opaque)
{
    void (*test)(void) = opaque;

    lane_of_note = 3;
    test();
    lane_of_note = IN_TREE;
}

/* Threads that use pages, and one that takes them away and uses them, too */
#define PAGES 4
#define USERS 3

static struct {
    IommuLedger *ledger;
    int mapped[PAGES];
    int taken[PAGES];
    int stop;
    unsigned uses;
} race;

static void *race_user(void *opaque)
{
    unsigned n = 0;

    while (!qatomic_read(&race.stop)) {
        unsigned page = n++ % PAGES;
        IommuLedgerRange r = range(page << 12, (page << 12) + 0xfff);
        IommuLedgerSection section;
        uint64_t id;

        iommu_ledger_begin(race.ledger, &section);
        if (!qatomic_load_acquire(&race.mapped[page])) {
            iommu_ledger_end(race.ledger, &section, NULL, 0);
            continue;
        }
        id = iommu_ledger_end(race.ledger, &section, &r, 1);
        for (unsigned i = 0; i < 20; i++) {
            g_assert_cmpint(qatomic_read(&race.taken[page]), ==, 0);
        }
        qatomic_inc(&race.uses);
        iommu_ledger_done(race.ledger, id);
    }
    return NULL;
}

static void test_race(void)
{
    unsigned rounds = g_test_thorough() ? 1000000 : 20000;
    IommuDrainTicket t = { 0 };
    GThread *user[USERS];

    race.ledger = iommu_ledger_new();
    for (unsigned i = 0; i < PAGES; i++) {
        race.mapped[i] = 1;
    }
    for (unsigned i = 0; i < USERS; i++) {
        user[i] = g_thread_new("user", race_user, NULL);
    }
    for (unsigned i = 0; i < rounds || !qatomic_read(&race.uses); i++) {
        unsigned page = i % PAGES;

        qatomic_store_release(&race.mapped[page], 0);
        unmap(race.ledger, &t, page << 12, (page << 12) + 0xfff);
        while (qatomic_load_acquire(&t.pending)) {
            g_thread_yield();
        }
        qatomic_set(&race.taken[page], 1);
        qatomic_set(&race.taken[page], 0);
        qatomic_store_release(&race.mapped[page], 1);
    }
    qatomic_set(&race.stop, 1);
    for (unsigned i = 0; i < USERS; i++) {
        g_thread_join(user[i]);
    }
    iommu_ledger_free(race.ledger);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ledger/edges", test_edges);
    g_test_add_func("/ledger/parts", test_parts);
    g_test_add_func("/ledger/section", test_section);
    g_test_add_func("/ledger/stale-ticket", test_stale_ticket);
    g_test_add_func("/ledger/stands", test_stands);
    g_test_add_func("/ledger/random", test_random);
    g_test_add_data_func("/ledger/lane/edges", test_edges, in_lane);
    g_test_add_data_func("/ledger/lane/stale-ticket", test_stale_ticket,
                         in_lane);
    g_test_add_data_func("/ledger/lane/stands", test_stands, in_lane);
    g_test_add_data_func("/ledger/lane/random", test_random, in_lane);
    g_test_add_func("/ledger/lane/parts", test_lane_parts);
    g_test_add_func("/ledger/lane/full", test_lane_full);
    g_test_add_data_func("/ledger/lane/cost/0", GUINT_TO_POINTER(0),
                         test_lane_cost);
    g_test_add_data_func("/ledger/lane/cost/64", GUINT_TO_POINTER(64),
                         test_lane_cost);
    g_test_add_data_func("/ledger/lane/cost/1023", GUINT_TO_POINTER(1023),
                         test_lane_cost);
    g_test_add_func("/ledger/race", test_race);
    return g_test_run();
}
