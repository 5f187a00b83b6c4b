/*
 * IN_ORDER: buffers come back in order whatever the device does (2.7.9, 2.8.8)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "rig.h"

#define P VDRV_F_PACKED
#define O VDRV_F_IN_ORDER
#define MAX_CHAINS 5u

typedef struct Plan {
    unsigned n;
    unsigned len[MAX_CHAINS];       /* descriptors of each chain */
    bool full[MAX_CHAINS];          /* written completely? */
    unsigned order[MAX_CHAINS];     /* of completion */
    bool at_once;                   /* one flush at the end */
} Plan;

/* The @which'th permutation of @n */
static void permute(unsigned *order, unsigned n, unsigned which)
{
    for (unsigned i = 0; i < n; i++) {
        order[i] = i;
    }
    for (unsigned i = 0; i < n; which /= n - i, i++) {
        unsigned j = i + which % (n - i), t = order[i];

        order[i] = order[j];
        order[j] = t;
    }
}

static unsigned factorial(unsigned n)
{
    return n < 2 ? 1 : n * factorial(n - 1);
}

/* Bytes written to a chain of @len descriptors, the first one readable */
static uint32_t written(const Plan *p, unsigned i)
{
    uint32_t all = p->len[i] > 1 ? (p->len[i] - 1) * RIG_SEG_LEN :
                                   RIG_SEG_LEN;

    return p->full[i] ? all : all / 2;
}

/* Used entries stored since the trace began */
static unsigned entries(Rig *r)
{
    return rig_packed(r) ?
           rig_count(r, RIG_STORE, RIG_DESC, 0, ~0u) :
           rig_count(r, RIG_STORE, RIG_DEVICE, VIRTQ_RING_OFS,
                     VIRTQ_AVAIL_EVENT_OFS(r->num)) / 2;
}

/* Flush, and check what the driver gets and how many entries it took */
static void flush(Rig *r, const Plan *p, const bool *done, unsigned *back,
                  unsigned count)
{
    unsigned end = *back, groups = 0;

    while (end < p->n && done[end]) {
        /* An entry ends where a buffer may not be skipped, or nothing is */
        groups += !p->full[end] || end + 1 == p->n || !done[end + 1];
        end++;
    }
    rig_trace(r);
    g_assert_cmpuint(rig_flush(r, count), ==, end - *back);
    g_assert_cmpuint(entries(r), ==, groups);
    for (; *back < end; (*back)++) {
        rig_expect(r, *back + 1, written(p, *back));
    }
    rig_expect_none(r);
}

static void run_plan(Rig *r, const Plan *p)
{
    bool done[MAX_CHAINS] = { false };
    VirtRingChain c[MAX_CHAINS];
    unsigned back = 0;

    for (unsigned i = 0; i < p->n; i++) {
        rig_offer(r, p->len[i] > 1, p->len[i] > 1 ? p->len[i] - 1 : 1, i + 1);
        g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
        c[i] = r->chain;
    }
    for (unsigned i = 0; i < p->n; i++) {
        unsigned at = p->order[i];

        g_assert_true(rig_fill(r, &c[at], written(p, at), 0));
        done[at] = true;
        if (!p->at_once) {
            flush(r, p, done, &back, 1);
        }
    }
    if (p->at_once) {
        flush(r, p, done, &back, p->n);
    }
    g_assert_cmpuint(back, ==, p->n);
    g_assert_cmpuint(r->pos.inuse, ==, 0);
}

/* All permutations and patterns of lengths written, for these chains */
static void run_all(Rig *r, Plan *p)
{
    for (unsigned which = 0; which < factorial(p->n); which++) {
        permute(p->order, p->n, which);
        for (unsigned full = 0; full < 1u << p->n; full++) {
            for (unsigned i = 0; i < p->n; i++) {
                p->full[i] = full >> i & 1;
            }
            p->at_once = which % 2;
            run_plan(r, p);
        }
    }
    rig_assert_idle(r);
}

/* Chains of one: any number in flight, up to the whole ring */
static void test_permutations(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data);

    for (unsigned num = 1; num <= 5; num = features & P ? num + 1 : num * 2) {
        for (unsigned n = 1; n <= MIN(num, MAX_CHAINS); n++) {
            Plan p = { .n = n, .len = { 1, 1, 1, 1, 1 } };
            g_autoptr(Rig) r = rig_new(features, num);

            rig_run(r, n == num ? 0 : 1);
            run_all(r, &p);
            rig_run(r, 1);
            run_all(r, &p);
        }
    }
}

/* Chains that fill the ring, in each way to cut it up */
static void test_compositions(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data);

    for (unsigned num = 2; num <= 5; num = features & P ? num + 1 : num * 2) {
        g_autoptr(Rig) r = rig_new(features, num);

        for (unsigned cuts = 0; cuts < 1u << (num - 1); cuts++) {
            Plan p = { .n = 1, .len = { 1 } };

            for (unsigned i = 0; i < num - 1; i++) {
                if (cuts >> i & 1) {
                    p.len[p.n++] = 1;
                } else {
                    p.len[p.n - 1]++;
                }
            }
            run_all(r, &p);
            /* From another position next time */
            rig_run(r, 1);
        }
    }
}

/* B1: the whole ring in flight completes, for all sizes, again and again */
static void test_whole_ring(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data);
    static const unsigned nums[] = { 1, 2, 3, 4, 8, 12, 256, 32768 };

    for (unsigned k = 0; k < G_N_ELEMENTS(nums); k++) {
        unsigned num = nums[k];
        g_autoptr(Rig) r = NULL;
        g_autofree VirtRingChain *c = g_new(VirtRingChain, num);

        if (!(features & P) && num & (num - 1)) {
            continue;
        }
        r = rig_new(features, num);
        for (unsigned round = 0; round < 3; round++) {
            for (unsigned i = 0; i < num; i++) {
                g_assert_cmpint(rig_add(r, 0, 1, 0, i), ==, VDRV_OK);
            }
            rig_publish(r);
            for (unsigned i = 0; i < num; i++) {
                g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
                c[i] = r->chain;
            }
            g_assert_cmpint(rig_fetch(r), ==, VRING_NONE);
            /* Backwards: nothing moves before the first one is done */
            for (unsigned i = num; i-- > 0;) {
                g_assert_true(rig_fill(r, &c[i], RIG_SEG_LEN, 0));
                g_assert_cmpuint(rig_flush(r, 1), ==, i ? 0 : num);
            }
            for (unsigned i = 0; i < num; i++) {
                rig_expect(r, i, RIG_SEG_LEN);
            }
            rig_assert_idle(r);
            if (num < 1000) {
                rig_run(r, 1);
            }
        }
    }
}

/* One entry for a run, in the place of its first, with the id of its last */
static void test_entry_of_run(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data);

    for (unsigned start = 0; start < 16; start++) {
        g_autoptr(Rig) r = rig_new(features, 8);
        VirtRingChain c[3];
        unsigned at = start % 8, want;

        rig_run(r, start);
        for (unsigned i = 0; i < 3; i++) {
            rig_offer(r, 0, 2, i + 1);
            g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
            c[i] = r->chain;
        }
        rig_trace(r);
        for (unsigned i = 0; i < 3; i++) {
            g_assert_true(rig_fill(r, &c[i], i < 2 ? 32 : 5, i));
        }
        g_assert_cmpuint(rig_flush(r, 3), ==, 3);
        g_assert_cmpuint(entries(r), ==, 1);
        if (features & P) {
            want = rig_get16(r, RIG_DESC, at * 16 + PVIRTQ_DESC_ID_OFS);
            g_assert_cmpuint(rig_get32(r, RIG_DESC, at * 16 + 8), ==, 5);
        } else {
            want = rig_get32(r, RIG_DEVICE, VIRTQ_RING_OFS + 8 * at);
            g_assert_cmpuint(rig_get32(r, RIG_DEVICE, 8 + 8 * at), ==, 5);
            g_assert_cmpuint(rig_get16(r, RIG_DEVICE, VIRTQ_IDX_OFS), ==,
                             start + 3);
        }
        g_assert_cmpuint(want, ==, c[2].id);
        for (unsigned i = 0; i < 3; i++) {
            rig_expect(r, i + 1, i < 2 ? 32 : 5);
        }
    }
}

/* 2.8.9: with several entries in a flush the first one is stored last */
static void test_first_last(void)
{
    for (unsigned start = 0; start < 10; start++) {
        g_autoptr(Rig) r = rig_new(P | O, 5);
        VirtRingChain c[4];
        int first, last = -1;

        rig_run(r, start);
        for (unsigned i = 0; i < 4; i++) {
            rig_offer(r, 0, 1, i + 1);
            g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
            c[i] = r->chain;
        }
        rig_trace(r);
        for (unsigned i = 0; i < 4; i++) {
            /* Short, short, full, full: three entries */
            g_assert_true(rig_fill(r, &c[i], i < 2 ? 1 : 16, i));
        }
        g_assert_cmpuint(rig_flush(r, 4), ==, 4);
        g_assert_cmpuint(entries(r), ==, 3);
        first = rig_seen(r, RIG_STORE, RIG_DESC, start % 5 * 16 + 8, 0);
        for (unsigned i = 1; i < 3; i++) {
            int store = rig_seen(r, RIG_STORE, RIG_DESC,
                                 (start + i) % 5 * 16 + 8, 0);

            g_assert_cmpint(store, >=, 0);
            last = MAX(last, store);
        }
        g_assert_cmpint(first, >, last);
        g_assert_true(rig_fenced(r, last, first, __ATOMIC_RELEASE));
    }
}

/* Split: one store of the index, after all entries */
static void test_split_index_last(void)
{
    g_autoptr(Rig) r = rig_new(O, 4);
    VirtRingChain c[4];
    int idx, last = -1;

    rig_run(r, 2);
    for (unsigned i = 0; i < 4; i++) {
        rig_offer(r, 0, 1, i + 1);
        g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
        c[i] = r->chain;
    }
    rig_trace(r);
    for (unsigned i = 0; i < 4; i++) {
        g_assert_true(rig_fill(r, &c[i], 3, i));
    }
    g_assert_cmpuint(rig_flush(r, 4), ==, 4);
    for (unsigned i = 0; i < 4; i++) {
        last = MAX(last, rig_seen(r, RIG_STORE, RIG_DEVICE, 4 + 8 * i, 0));
    }
    idx = rig_seen(r, RIG_STORE, RIG_DEVICE, VIRTQ_IDX_OFS, 0);
    g_assert_cmpint(idx, >, last);
    g_assert_cmpint(rig_seen(r, RIG_STORE, RIG_DEVICE, VIRTQ_IDX_OFS, 1), <,
                    0);
    g_assert_true(rig_fenced(r, last, idx, __ATOMIC_RELEASE));
}

/* Readable buffers have nothing to fill: they may always be skipped */
static void test_readable_run(gconstpointer data)
{
    g_autoptr(Rig) r = rig_new(GPOINTER_TO_SIZE(data), 8);
    VirtRingChain c[4];

    for (unsigned i = 0; i < 4; i++) {
        rig_offer(r, 2, 0, i + 1);
        g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
        c[i] = r->chain;
    }
    rig_trace(r);
    for (unsigned i = 4; i-- > 0;) {
        g_assert_true(rig_fill(r, &c[i], 0, 0));
    }
    g_assert_cmpuint(rig_flush(r, 4), ==, 4);
    g_assert_cmpuint(entries(r), ==, 1);
    for (unsigned i = 0; i < 4; i++) {
        rig_expect(r, i + 1, 0);
    }
    rig_assert_idle(r);
}

/*
 * Chains dropped unseen (link down), some of them writable: nothing was
 * written, so the driver must not take one for completely used.
 */
static void test_drop(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data);

    for (unsigned first = 0; first < 2; first++) {
        g_autoptr(Rig) r = rig_new(features, 4);
        VirtRingChain kept, c[2];
        VdrvUsed used = { 0 };

        rig_offer(r, 1, 0, 1);
        g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
        kept = r->chain;
        for (unsigned i = 0; i < 2; i++) {
            rig_offer(r, 0, 1, 2 + i);
            g_assert_cmpint(rig_skip(r), ==, VRING_CHAIN);
            c[i] = r->chain;
            g_assert_true(rig_fill(r, &c[i], 0, 0));
            g_assert_cmpuint(rig_flush(r, 1), ==, 0);
        }
        g_assert_true(rig_fill(r, &kept, 0, 0));
        g_assert_cmpuint(rig_flush(r, 1), ==, 3);
        rig_expect(r, 1, 0);
        for (unsigned i = 0; i < 2; i++) {
            g_assert_cmpint(vdrv_get(&rig_ops, &r->vq, &used), ==, 1);
            RIG_CHECK(used.len == 0);
        }
    }
}

/* What is not out is refused */
static void test_refused(gconstpointer data)
{
    g_autoptr(Rig) r = rig_new(GPOINTER_TO_SIZE(data), 4);
    VirtRingChain c, bad;

    rig_run(r, 3);
    rig_offer(r, 1, 1, 1);
    g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
    bad = c = r->chain;
    bad.id++;
    g_assert_false(rig_fill(r, &bad, 0, 0));
    bad = c;
    bad.pos = (bad.pos + 1) % 4;
    g_assert_false(rig_fill(r, &bad, 0, 0));
    bad = c;
    bad.pos = 4;
    g_assert_false(rig_fill(r, &bad, 0, 0));
    bad.pos = 65535;
    g_assert_false(rig_fill(r, &bad, 0, 0));
    g_assert_true(rig_fill(r, &c, 0, 0));
    g_assert_false(rig_fill(r, &c, 0, 0));
    g_assert_cmpuint(rig_flush(r, 1), ==, 1);
    g_assert_false(rig_fill(r, &c, 0, 0));
    g_assert_cmpuint(rig_flush(r, 1), ==, 0);
    rig_expect(r, 1, 0);
    rig_expect_none(r);
}

/* A chain that was given back is not out */
static void test_refused_unfetched(gconstpointer data)
{
    g_autoptr(Rig) r = rig_new(GPOINTER_TO_SIZE(data), 4);
    VirtRingChain c;

    rig_offer(r, 1, 1, 1);
    g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
    c = r->chain;
    rig_unfetch(r, 1, c.ndescs);
    RIG_CHECK(!rig_fill(r, &c, 0, 0));
    g_assert_cmpuint(rig_flush(r, 1), ==, 0);
    rig_expect_none(r);
}

/* The driver's ids need not be unique to be kept apart */
static void test_same_id(void)
{
    g_autoptr(Rig) r = rig_new(P | O, 4);
    VirtRingChain c[3];

    for (unsigned i = 0; i < 3; i++) {
        rig_ring_desc(r, i, RIG_DATA, 1, VIRTQ_DESC_F_AVAIL, 7);
        g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
        c[i] = r->chain;
    }
    g_assert_true(rig_fill(r, &c[2], 0, 0));
    g_assert_true(rig_fill(r, &c[1], 0, 0));
    g_assert_cmpuint(rig_flush(r, 2), ==, 0);
    g_assert_true(rig_fill(r, &c[0], 0, 0));
    g_assert_cmpuint(rig_flush(r, 1), ==, 3);
    g_assert_cmpuint(r->pos.used_idx, ==, 3);
}

/*
 * More than 4 GiB writable: no length that a used entry can carry is all of
 * it, not even the one that has the same low 32 bits
 */
static void test_huge(gconstpointer data)
{
    static const uint32_t lens[] = { 0xf0000000u, 0xe0000000u };
    uint64_t features = GPOINTER_TO_SIZE(data);
    bool packed = features & P;

    for (unsigned k = 0; k < G_N_ELEMENTS(lens); k++) {
        g_autoptr(Rig) r = rig_new(features, 4);
        uint16_t heads[2] = { 0, 2 };
        VirtRingChain c[2];

        for (unsigned i = 0; i < 3; i++) {
            rig_ring_desc(r, i, RIG_DATA, i < 2 ? 0xf0000000u : 1,
                          VIRTQ_DESC_F_WRITE | (i ? 0 : VIRTQ_DESC_F_NEXT) |
                          (packed ? VIRTQ_DESC_F_AVAIL : 0),
                          packed ? i / 2 : i + 1);
        }
        if (!packed) {
            rig_list(r, heads, 2);
        }
        for (unsigned i = 0; i < 2; i++) {
            g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
            c[i] = r->chain;
        }
        g_assert_true(rig_fill(r, &c[0], lens[k], 0));
        g_assert_true(rig_fill(r, &c[1], 1, 0));
        rig_trace(r);
        g_assert_cmpuint(rig_flush(r, 2), ==, 2);
        g_assert_cmpuint(entries(r), ==, 2);
    }
}

/* 2.7.7, 2.8.10: a decision counts what was published, not what was filled */
static void test_events(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data) | VDRV_F_EVENT_IDX;

    for (unsigned start = 1; start < 16; start++) {
        for (unsigned perm = 0; perm < 24; perm++) {
            g_autoptr(Rig) r = rig_new(features, 8);
            unsigned order[4];
            VirtRingChain c[4];

            rig_run(r, start);
            permute(order, 4, perm);
            for (unsigned i = 0; i < 4; i++) {
                rig_offer(r, 0, 1 + i % 2, i + 1);
                g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
                c[i] = r->chain;
            }
            g_assert_false(vdrv_enable_cb_after(&rig_ops, &r->vq, perm % 4));
            for (unsigned i = 0; i < 4; i++) {
                bool due;

                g_assert_true(rig_fill(r, &c[order[i]], 16, 0));
                rig_flush(r, 1);
                due = rig_due(r);
                g_assert_cmpint(rig_should_notify(r), ==, due);
            }
        }
    }
}

static void add(const char *name, GTestDataFunc f)
{
    g_autofree char *split = g_strdup_printf("/split/2.7.9/%s", name);
    g_autofree char *packed = g_strdup_printf("/packed/2.8.8/%s", name);

    g_test_add_data_func(split, GSIZE_TO_POINTER(O), f);
    g_test_add_data_func(packed, GSIZE_TO_POINTER(O | P), f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("permutations", test_permutations);
    add("compositions", test_compositions);
    add("whole-ring", test_whole_ring);
    add("entry-of-run", test_entry_of_run);
    g_test_add_func("/packed/2.8.9/first-flags-last", test_first_last);
    g_test_add_func("/split/2.7.8.2/index-last", test_split_index_last);
    add("readable-run", test_readable_run);
    add("dropped-unwritten", test_drop);
    add("refused", test_refused);
    add("refused-unfetched", test_refused_unfetched);
    g_test_add_func("/packed/2.8.8/same-id", test_same_id);
    add("huge", test_huge);
    add("events", test_events);
    return g_test_run();
}
