/*
 * Giving back, dropping, saving and loading: the state outlives the engine
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * B1 .. B7 are bugs of upstream's virtio.c, 10.0.13.
 */
#include "rig.h"

#define P VDRV_F_PACKED
#define O VDRV_F_IN_ORDER
#define MAX_HELD 8u

static bool same_pos(const VirtRingPos *a, const VirtRingPos *b)
{
    return a->last_avail_idx == b->last_avail_idx &&
           a->last_avail_wrap_counter == b->last_avail_wrap_counter &&
           a->used_idx == b->used_idx &&
           a->used_wrap_counter == b->used_wrap_counter &&
           a->inuse == b->inuse;
}

/* B5: chains of each length, one to three of them, from each position */
static void test_unfetch(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data);

    for (unsigned num = 8; num <= (features & P ? 9 : 8); num++) {
        for (unsigned start = 0; start < 2 * num; start++) {
            for (unsigned len = 1; len <= num; len++) {
                g_autoptr(Rig) r = rig_new(features, num);
                unsigned most = MIN(num / len, 3);

                rig_run(r, start);
                for (unsigned i = 0; i < most; i++) {
                    rig_offer(r, len, 0, i + 1);
                }
                for (unsigned keep = 0; keep < most; keep++) {
                    unsigned ndescs = 0;
                    VirtRingPos before = r->pos;

                    for (unsigned i = 0; i < most; i++) {
                        if (i == keep) {
                            before = r->pos;
                        }
                        g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
                        rig_assert_segs(r, len, 0, i + 1);
                        ndescs += i < keep ? 0 : r->chain.ndescs;
                    }
                    rig_unfetch(r, most - keep, ndescs);
                    g_assert_true(same_pos(&r->pos, &before));
                    g_assert_false(rig_empty(r));
                    g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
                    rig_assert_segs(r, len, 0, keep + 1);
                    /* All of them, one by one */
                    for (unsigned i = 0; i <= keep; i++) {
                        rig_unfetch(r, 1, r->chain.ndescs);
                    }
                    g_assert_cmpuint(r->pos.inuse, ==, 0);
                }
                for (unsigned i = 0; i < most; i++) {
                    rig_serve(r, 0);
                    rig_expect(r, i + 1, 0);
                }
                rig_assert_idle(r);
            }
        }
    }
}

/* Given back while others before it are out and are returned meanwhile */
static void test_unfetch_between(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data);

    for (unsigned start = 0; start < 16; start++) {
        g_autoptr(Rig) r = rig_new(features, 8);
        VirtRingChain c;

        rig_run(r, start);
        rig_offer(r, 1, 1, 1);
        rig_offer(r, 2, 1, 2);
        g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
        c = r->chain;
        g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
        rig_unfetch(r, 1, r->chain.ndescs);
        g_assert_true(rig_fill(r, &c, 16, 0));
        g_assert_cmpuint(rig_flush(r, 1), ==, 1);
        rig_expect(r, 1, 16);
        rig_expect_none(r);
        rig_serve(r, 4);
        rig_expect(r, 2, 4);
        rig_assert_idle(r);
    }
}

/* B2: what was dropped counts as in flight until it is returned */
static void test_skip_all(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data);

    for (unsigned len = 1; len <= 8; len *= 2) {
        for (unsigned start = 0; start < 16; start += 3) {
            g_autoptr(Rig) r = rig_new(features, 8);

            rig_run(r, start);
            for (unsigned round = 0; round < 3; round++) {
                VirtRingChain c[8];
                unsigned n = 8 / len;

                for (unsigned i = 0; i < n; i++) {
                    rig_offer(r, len, 0, i + 1);
                }
                for (unsigned i = 0; i < n; i++) {
                    g_assert_cmpint(rig_skip(r), ==, VRING_CHAIN);
                    c[i] = r->chain;
                    g_assert_cmpuint(r->pos.inuse, ==, features & P ?
                                     (i + 1) * len : i + 1);
                }
                g_assert_cmpint(rig_skip(r), ==, VRING_NONE);
                for (unsigned i = 0; i < n; i++) {
                    g_assert_true(rig_fill(r, &c[i], 0, i));
                }
                g_assert_cmpuint(rig_flush(r, n), ==, n);
                for (unsigned i = 0; i < n; i++) {
                    rig_expect(r, i + 1, 0);
                }
                rig_assert_idle(r);
            }
            rig_run(r, 20);
        }
    }
}

/* Dropped one by one, each returned at once (as drop_all does) */
static void test_skip_each(gconstpointer data)
{
    g_autoptr(Rig) r = rig_new(GPOINTER_TO_SIZE(data), 4);

    for (unsigned i = 0; i < 50; i++) {
        for (unsigned j = 0; j < 2; j++) {
            rig_offer(r, 2, 0, j + 1);
        }
        for (unsigned j = 0; j < 2; j++) {
            g_assert_cmpint(rig_skip(r), ==, VRING_CHAIN);
            g_assert_true(rig_fill(r, &r->chain, 0, 0));
            g_assert_cmpuint(rig_flush(r, 1), ==, 1);
        }
        g_assert_cmpint(rig_skip(r), ==, VRING_NONE);
        for (unsigned j = 0; j < 2; j++) {
            rig_expect(r, j + 1, 0);
        }
        rig_assert_idle(r);
    }
}

/*
 * Moved to a new engine with @n chains out, of which @gone were returned and
 * @done more, all before the move. The rest completes afterwards.
 */
static void test_move(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data);

    for (unsigned start = 0; start < 16; start++) {
        for (unsigned n = 0; n <= 5; n++) {
            for (unsigned gone = 0; gone <= n; gone++) {
                g_autoptr(Rig) r = rig_new(features, 8);
                VirtRingChain c[5];

                rig_run(r, start);
                for (unsigned i = 0; i < n; i++) {
                    rig_offer(r, 0, 1 + i % 2, i + 1);
                    g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
                    c[i] = r->chain;
                }
                /* In order only these can be gone */
                for (unsigned i = 0; i < gone; i++) {
                    g_assert_true(rig_fill(r, &c[i], i, 0));
                    g_assert_cmpuint(rig_flush(r, 1), ==, 1);
                }
                g_assert_true(rig_move(r));
                rig_offer(r, 0, 1, 100);
                g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
                rig_assert_segs(r, 0, 1, 100);
                g_assert_true(rig_fill(r, &r->chain, 7, 0));
                rig_flush(r, 1);
                for (unsigned i = 0; i < gone; i++) {
                    rig_expect(r, i + 1, i);
                }
                if (!rig_in_order(r)) {
                    rig_expect(r, 100, 7);
                }
                for (unsigned i = n; i-- > gone;) {
                    g_assert_true(rig_fill(r, &c[i], 1, 0));
                    rig_flush(r, 1);
                    if (!rig_in_order(r)) {
                        rig_expect(r, i + 1, 1);
                    }
                }
                if (rig_in_order(r)) {
                    for (unsigned i = gone; i < n; i++) {
                        rig_expect(r, i + 1, 1);
                    }
                    rig_expect(r, 100, 7);
                }
                rig_assert_idle(r);
                rig_run(r, 20);
            }
        }
    }
}

/* Out of order: holes in what is in flight, nothing of the ring tells */
static void test_move_holes(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data);

    for (unsigned set = 0; set < 16; set++) {
        g_autoptr(Rig) r = rig_new(features, 8);
        VirtRingChain c[4];

        rig_run(r, 5);
        for (unsigned i = 0; i < 4; i++) {
            rig_offer(r, 0, 2, i + 1);
            g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
            c[i] = r->chain;
        }
        for (unsigned after = 0; after < 2; after++) {
            for (unsigned i = 0; i < 4; i++) {
                if ((set >> i & 1) == after) {
                    g_assert_true(rig_fill(r, &c[i], i, 0));
                    g_assert_cmpuint(rig_flush(r, 1), ==, 1);
                    rig_expect(r, i + 1, i);
                }
            }
            g_assert_true(rig_move(r));
        }
        rig_assert_idle(r);
    }
}

/* B6: what had finished early, behind an unfinished one, when it was moved */
static void test_move_finished(gconstpointer data)
{
    g_autoptr(Rig) r = rig_new(GPOINTER_TO_SIZE(data), 8);
    VirtRingChain c[2], moved, none;
    VirtRingAreas areas = rig_areas(r);
    unsigned from = 0;
    uint32_t len;

    for (unsigned i = 0; i < 2; i++) {
        rig_offer(r, 0, 1, i + 1);
        g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
        c[i] = r->chain;
    }
    g_assert_true(rig_fill(r, &c[1], 16, 0));
    g_assert_cmpuint(rig_flush(r, 1), ==, 0);
    g_assert_true(vring_finished(&r->ring, &areas, &from, &moved, &len));
    g_assert_false(vring_finished(&r->ring, &areas, &from, &none, &len));
    g_assert_true(rig_move(r));
    g_assert_true(rig_fill(r, &moved, len, 0));
    /* The device has an element for the first one only */
    g_assert_true(rig_fill(r, &c[0], 16, 0));
    RIG_CHECK(rig_flush(r, 1) == 2);
    rig_expect(r, 1, 16);
    rig_expect(r, 2, 16);
}

/* After a move the sizes are unknown: unwritten ones must not be skipped */
static void test_move_unwritten(gconstpointer data)
{
    g_autoptr(Rig) r = rig_new(GPOINTER_TO_SIZE(data), 8);
    VdrvUsed used = { 0 };
    VirtRingChain c[2];

    for (unsigned i = 0; i < 2; i++) {
        rig_offer(r, 0, 1, i + 1);
        g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
        c[i] = r->chain;
    }
    g_assert_true(rig_move(r));
    g_assert_true(rig_fill(r, &c[1], 16, 0));
    g_assert_true(rig_fill(r, &c[0], 0, 0));
    g_assert_cmpuint(rig_flush(r, 2), ==, 2);
    g_assert_cmpint(vdrv_get(&rig_ops, &r->vq, &used), ==, 1);
    RIG_CHECK(used.len == 0);
    rig_expect(r, 2, 16);
}

/* Notifications after a move: none is lost, whatever was decided before */
static void test_move_events(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data) | VDRV_F_EVENT_IDX;

    for (unsigned start = 0; start < 20; start++) {
        g_autoptr(Rig) r = rig_new(features, 8);
        bool due;

        rig_run(r, start);
        g_assert_false(vdrv_enable_cb(&rig_ops, &r->vq));
        rig_offer(r, 0, 1, 1);
        g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
        g_assert_true(rig_move(r));
        g_assert_true(rig_fill(r, &r->chain, 1, 0));
        rig_flush(r, 1);
        g_assert_true(rig_move(r));
        due = rig_due(r);
        g_assert_true(due);
        g_assert_true(rig_should_notify(r));
        rig_expect(r, 1, 1);
        rig_set_notification(r, true);
        rig_offer(r, 0, 1, 1);
        g_assert_true(rig_kick(r));
    }
}

/* B7: positions that came from outside, beyond the ring */
static void test_bad_positions(gconstpointer data)
{
    static const uint16_t bad[] = { 4, 5, 255, 32767, 32768, 65535 };
    uint64_t features = GPOINTER_TO_SIZE(data);
    uint64_t in, out;

    for (unsigned which = 1; which < 4; which++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
            g_autoptr(Rig) r = rig_new(features, 4);

            rig_offer(r, 1, 1, 1);
            if (which & 1) {
                r->pos.last_avail_idx = bad[i];
            }
            if (which & 2) {
                r->pos.used_idx = bad[i];
            }
            g_assert_true(rig_empty(r));
            g_assert_cmpint(rig_fetch(r), ==, VRING_BROKEN);
            g_assert_cmpint(rig_skip(r), ==, VRING_BROKEN);
            rig_avail_bytes(r, &in, &out, ~0ULL, ~0ULL);
            g_assert_cmpuint(in + out, ==, 0);
            rig_set_notification(r, true);
            rig_should_notify(r);
        }
    }
}

/* The same, and chains in flight that will be returned: refused beforehand */
static void test_bad_recover(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data);

    for (unsigned which = 0; which < 3; which++) {
        g_autoptr(Rig) r = rig_new(features, 4);

        rig_offer(r, 1, 1, 1);
        g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
        g_assert_true(rig_recover(r));
        if (which == 0) {
            r->pos.inuse = 5;
        } else if (which == 1) {
            r->pos.last_avail_idx = 4 + 2;
        } else {
            r->pos.used_idx = 4;
        }
        RIG_CHECK(!rig_recover(r));
    }
}

/* What is in flight is what lies between the two positions, in any order */
static void test_bad_inuse(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data);

    for (unsigned start = 0; start < 8; start++) {
        for (unsigned n = 0; n <= 4; n++) {
            for (unsigned inuse = 0; inuse <= 4; inuse++) {
                g_autoptr(Rig) r = rig_new(features, 4);

                rig_run(r, start);
                for (unsigned i = 0; i < n; i++) {
                    rig_offer(r, 1, 0, 1);
                    g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
                }
                r->pos.inuse = inuse;
                RIG_CHECK(rig_recover(r) == (inuse == n));
            }
        }
    }
}

/* In order, the ring itself must agree */
static void test_bad_in_flight(void)
{
    for (unsigned which = 0; which < 5; which++) {
        g_autoptr(Rig) r = rig_new(P | O, 4);

        rig_offer(r, 1, 1, 1);
        rig_offer(r, 1, 0, 2);
        g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
        g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
        switch (which) {
        case 0:             /* not available any more */
            rig_set16(r, RIG_DESC, 2 * 16 + 14, 0);
            break;
        case 1:             /* longer than what is in flight */
            rig_set16(r, RIG_DESC, 2 * 16 + 14,
                      VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_NEXT);
            break;
        case 2:
            r->pos.inuse = 2;
            break;
        case 3:
            r->pos.last_avail_wrap_counter = false;
            break;
        default:
            r->pos.used_wrap_counter = false;
            break;
        }
        r->limit = r->touches + 100;
        g_assert_false(rig_recover(r));
    }
}

static void test_bad_in_flight_split(void)
{
    for (unsigned used = 0; used < 65536; used += 257) {
        g_autoptr(Rig) r = rig_new(O, 4);

        rig_offer(r, 1, 1, 1);
        rig_offer(r, 1, 0, 2);
        g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
        g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
        r->pos.used_idx = used;
        g_assert_cmpint(rig_recover(r), ==, used == 0);
        /* It may add up, and be more than the ring has */
        r->pos.inuse = (uint16_t)(r->pos.last_avail_idx - used);
        g_assert_cmpint(rig_recover(r), ==, r->pos.inuse <= 4);
    }
}

/* Rubbish in a slot is no chain */
static void test_move_rubbish(gconstpointer data)
{
    g_autoptr(Rig) r = rig_new(GPOINTER_TO_SIZE(data), 4);
    VirtRingChain c;

    rig_offer(r, 0, 1, 1);
    g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
    for (unsigned i = 0; i < 4; i++) {
        r->ring.slots[i] = (VirtRingSlot) { .id = i, .ndescs = 1 };
    }
    g_assert_true(rig_recover(r));
    for (unsigned i = 1; i < 4; i++) {
        c = (VirtRingChain) { .id = i, .ndescs = 1, .pos = i };
        g_assert_false(rig_fill(r, &c, 0, 0));
    }
    g_assert_true(rig_fill(r, &r->chain, 1, 0));
    g_assert_cmpuint(rig_flush(r, 1), ==, 1);
    rig_expect(r, 1, 1);
}

/* Slots as another life of the queue left them (2.6.1, 2.8.8) */
static void test_stale_slots(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data);

    for (unsigned stale = 0; stale < 8; stale++) {
        g_autoptr(Rig) r = rig_new(features, 4);
        VirtRingChain c[4];

        for (unsigned i = 0; i < 4; i++) {
            r->ring.slots[i] = (VirtRingSlot) {
                .len = stale, .in_len = stale, .id = i,
                .ndescs = 1 + stale % 4, .done = stale & 4,
            };
        }
        for (unsigned round = 0; round < 3; round++) {
            for (unsigned i = 0; i < 2; i++) {
                rig_offer(r, 0, 2, i + 1);
                g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
                c[i] = r->chain;
            }
            g_assert_true(rig_fill(r, &c[1], 3, 0));
            g_assert_cmpuint(rig_flush(r, 1), ==, 0);
            g_assert_true(rig_fill(r, &c[0], 2, 0));
            g_assert_cmpuint(rig_flush(r, 1), ==, 2);
            rig_expect(r, 1, 2);
            rig_expect(r, 2, 3);
            rig_run(r, 1);
        }
        rig_assert_idle(r);
    }
}

static void add(const char *name, uint64_t features, GTestDataFunc f)
{
    g_autofree char *s = g_strdup_printf("/split/%s", name);
    g_autofree char *p = g_strdup_printf("/packed/%s", name);

    g_test_add_data_func(s, GSIZE_TO_POINTER(features), f);
    g_test_add_data_func(p, GSIZE_TO_POINTER(features | P), f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("unfetch/B5/all-lengths", 0, test_unfetch);
    add("unfetch/B5/all-lengths/in-order", O, test_unfetch);
    add("unfetch/between", 0, test_unfetch_between);
    add("unfetch/between/in-order", O, test_unfetch_between);
    add("skip/B2/whole-ring", 0, test_skip_all);
    add("skip/B2/whole-ring/in-order", O, test_skip_all);
    add("skip/B2/each", 0, test_skip_each);
    add("skip/B2/each/in-order", O, test_skip_each);
    add("recover/move", 0, test_move);
    add("recover/B6/move/in-order", O, test_move);
    add("recover/move-holes", 0, test_move_holes);
    add("recover/B6/move-finished/in-order", O, test_move_finished);
    add("recover/B6/move-unwritten/in-order", O, test_move_unwritten);
    add("recover/move-events", 0, test_move_events);
    add("recover/move-events/in-order", O, test_move_events);
    g_test_add_data_func("/packed/recover/B7/positions",
                         GSIZE_TO_POINTER(P), test_bad_positions);
    g_test_add_data_func("/packed/recover/B7/positions/in-order",
                         GSIZE_TO_POINTER(P | O), test_bad_positions);
    g_test_add_data_func("/packed/recover/B7/refused", GSIZE_TO_POINTER(P),
                         test_bad_recover);
    g_test_add_data_func("/packed/recover/B7/refused/in-order",
                         GSIZE_TO_POINTER(P | O), test_bad_recover);
    g_test_add_data_func("/split/recover/refused/in-order",
                         GSIZE_TO_POINTER(O), test_bad_recover);
    add("recover/move-rubbish/in-order", O, test_move_rubbish);
    add("recover/adds-up", 0, test_bad_inuse);
    add("recover/adds-up/in-order", O, test_bad_inuse);
    g_test_add_func("/packed/recover/in-flight/in-order", test_bad_in_flight);
    g_test_add_func("/split/recover/in-flight/in-order",
                    test_bad_in_flight_split);
    add("reset/2.6.1/stale-slots/in-order", O, test_stale_slots);
    return g_test_run();
}
