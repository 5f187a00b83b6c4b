/*
 * Batch labels: each rule of docs/specs/virtio-batch-labels.rst
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "rig.h"

#define P VDRV_F_PACKED
#define E VDRV_F_EVENT_IDX
#define MORE VIRTQ_DESC_F_MORE

static uint16_t flags_at(Rig *r, unsigned i)
{
    return rig_get16(r, RIG_DESC, i * VIRTQ_DESC_SIZE +
                     PVIRTQ_DESC_FLAGS_OFS);
}

static void set_flags(Rig *r, unsigned i, uint16_t flags)
{
    rig_set16(r, RIG_DESC, i * VIRTQ_DESC_SIZE + PVIRTQ_DESC_FLAGS_OFS,
              flags);
}

static void offer(Rig *r, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        g_assert_cmpint(rig_add(r, 0, 1, 0, i + 1), ==, VDRV_OK);
    }
    rig_publish(r);
}

/* Take @n chains and fill them; they are published by the caller */
static void take(Rig *r, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
        g_assert_true(rig_fill(r, &r->chain, RIG_SEG_LEN, i));
    }
}

static void expect(Rig *r, uintptr_t token, bool more)
{
    VdrvUsed used = { 0 };

    g_assert_cmpint(vdrv_get(&rig_ops, &r->vq, &used), ==, 1);
    g_assert_cmphex((uintptr_t)used.token, ==, token);
    g_assert_cmpint(used.more, ==, more);
}

/* Ask for an interrupt at used position @at, counted over two laps of 10 */
static void ask(Rig *r, unsigned at)
{
    rig_set16(r, RIG_DRIVER, 0, at % 10 | (at < 10 ? RING_EVENT_WRAP : 0));
    rig_set16(r, RIG_DRIVER, PVIRTQ_EVENT_FLAGS_OFS, RING_EVENT_FLAGS_DESC);
}

/* Stores to the device's event position since rig_trace() */
static unsigned events(Rig *r)
{
    return rig_count(r, RIG_STORE, RIG_DEVICE, 0, 2);
}

/* The driver would kick for a chain published now */
static bool next_kicks(Rig *r)
{
    rig_kick(r);
    rig_offer(r, 0, 1, 40);
    return rig_kick(r);
}

/* Rule 6: neither side says anything, and the device hears nothing */
static void test_not_accepted(void)
{
    g_autoptr(Rig) r = rig_new(P | E, 8);

    r->reads_on = true;
    offer(r, 3);
    for (unsigned i = 0; i < 3; i++) {
        g_assert_false(flags_at(r, i) & MORE);
        set_flags(r, i, flags_at(r, i) | MORE);
    }
    rig_trace(r);
    take(r, 2);
    g_assert_cmpuint(events(r), ==, 2);
    rig_flush(r, 2);
    g_assert_true(rig_should_notify(r));
    g_assert_false(flags_at(r, 0) & MORE);
    g_assert_false(flags_at(r, 1) & MORE);
    expect(r, 1, false);
}

/* Rule 8: all of a batch but the last, in the first descriptor of each */
static void test_avail_more(void)
{
    for (unsigned start = 0; start < 14; start++) {
        for (unsigned n = 1; n <= 3; n++) {
            g_autoptr(Rig) r = rig_new(P, 7);
            unsigned at;

            rig_label(r, false);
            rig_run(r, start);
            at = r->vq.avail_idx;
            for (unsigned i = 0; i < n; i++) {
                g_assert_cmpint(rig_add(r, 1, 1, 0, i + 1), ==, VDRV_OK);
            }
            rig_publish(r);
            for (unsigned i = 0; i < n; i++) {
                g_assert_cmpint(!!(flags_at(r, (at + 2 * i) % 7) & MORE), ==,
                                i + 1 < n);
                g_assert_false(flags_at(r, (at + 2 * i + 1) % 7) & MORE);
            }
        }
    }
}

/* Rule 8: a chain that is published later is not promised before */
static void test_avail_more_one_publish(void)
{
    g_autoptr(Rig) r = rig_new(P, 8);

    rig_label(r, false);
    offer(r, 2);
    offer(r, 1);
    g_assert_true(flags_at(r, 0) & MORE);
    g_assert_false(flags_at(r, 1) & MORE);
    g_assert_false(flags_at(r, 2) & MORE);
}

/* Rule 9: not in the rest of a chain, not in a table */
static void test_first_descriptor(void)
{
    g_autoptr(Rig) r = rig_new(P | E | VDRV_F_INDIRECT, 8);
    uint64_t table;

    rig_label(r, true);
    rig_offer(r, 1, 1, 1);
    set_flags(r, 1, flags_at(r, 1) | MORE);
    rig_trace(r);
    g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
    g_assert_cmpuint(events(r), ==, 1);

    table = rig_table(r, 0);
    g_assert_cmpint(rig_add(r, 1, 1, table, 2), ==, VDRV_OK);
    for (unsigned i = 0; i < 2; i++) {
        rig_ops.store16(r, table + i * VIRTQ_DESC_SIZE + PVIRTQ_DESC_FLAGS_OFS,
                        (i ? VIRTQ_DESC_F_WRITE : 0) | MORE);
    }
    rig_publish(r);
    g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
    g_assert_cmpuint(events(r), ==, 2);
    rig_assert_segs(r, 1, 1, 2);
}

/* Rule 10 */
static void test_avail_decides(void)
{
    for (unsigned num = 1; num <= 4; num++) {
        g_autoptr(Rig) r = rig_new(P | E, num);

        rig_label(r, true);
        for (unsigned i = 0; i < 3 * num; i++) {
            rig_offer(r, 0, 1, 1);
            set_flags(r, i % num, flags_at(r, i % num) | MORE);
            take(r, 1);
            g_assert_cmpint(rig_fetch(r), ==, VRING_NONE);
            g_assert_true(rig_empty(r));
            g_assert_cmpuint(rig_flush(r, 1), ==, 1);
            g_assert_false(r->ring.held);
            expect(r, 1, false);
        }
    }
}

/* Rule 11: one store for a batch, which then is right */
static void test_late_event(void)
{
    for (unsigned start = 0; start < 16; start++) {
        for (unsigned n = 1; n <= 6; n++) {
            g_autoptr(Rig) r = rig_new(P | E, 8);

            rig_label(r, false);
            rig_run(r, start);
            offer(r, n);
            rig_trace(r);
            take(r, n);
            g_assert_cmpuint(events(r), ==, 1);
            g_assert_true(next_kicks(r));
        }
    }
}

/* What may find the queue empty: it must ask for a kick, fence, look again */
static bool by_fetch(Rig *r)
{
    return rig_fetch(r) == VRING_NONE;
}

static bool by_enable(Rig *r)
{
    rig_set_notification(r, true);
    return rig_empty(r);
}

static bool (*const sleeps[])(Rig *) = { by_fetch, rig_empty, by_enable };

/* Rule 11: the last of a batch says MORE */
static void test_wrong_more(void)
{
    for (unsigned start = 0; start < 16; start++) {
        for (unsigned how = 0; how < G_N_ELEMENTS(sleeps); how++) {
            g_autoptr(Rig) r = rig_new(P | E, 8);
            unsigned last;
            int store, look = -1;

            rig_label(r, true);
            rig_run(r, start);
            offer(r, 3);
            last = (start + 2) % 8;
            set_flags(r, last, flags_at(r, last) | MORE);
            take(r, 3);
            rig_trace(r);
            g_assert_true(sleeps[how](r));
            store = rig_seen(r, RIG_STORE, RIG_DEVICE, 0, 0);
            g_assert_cmpint(store, >=, 0);
            for (unsigned i = 0;; i++) {
                int at = rig_seen(r, RIG_LOAD, RIG_DESC, (start + 3) % 8 *
                                  VIRTQ_DESC_SIZE + VIRTQ_DESC_LEN_OFS, i);

                if (at < 0) {
                    break;
                }
                look = at;
            }
            g_assert_cmpint(look, >, store);
            g_assert_true(rig_fenced(r, store, look, __ATOMIC_SEQ_CST));
            g_assert_true(next_kicks(r));
        }
    }
}

static void publish_behind_back(Rig *r, unsigned area, uint32_t ofs,
                                bool write)
{
    (void)ofs;
    if (area == RIG_DEVICE && write && !r->hook_data++) {
        rig_offer(r, 0, 1, 30);
    }
}

/* Rule 11: published between the first look and the event: found by the last */
static void test_wrong_more_race(void)
{
    for (unsigned how = 0; how < 2; how++) {
        g_autoptr(Rig) r = rig_new(P | E, 8);

        rig_label(r, true);
        offer(r, 1);
        set_flags(r, 0, flags_at(r, 0) | MORE);
        take(r, 1);
        r->on_touch = publish_behind_back;
        g_assert_false(sleeps[how](r));
    }
}

/* With notifications disabled nothing is asked for */
static void test_wrong_more_disabled(void)
{
    g_autoptr(Rig) r = rig_new(P | E, 8);

    rig_label(r, true);
    offer(r, 2);
    set_flags(r, 1, flags_at(r, 1) | MORE);
    take(r, 2);
    rig_set_notification(r, false);
    rig_trace(r);
    g_assert_true(rig_empty(r));
    g_assert_cmpint(rig_fetch(r), ==, VRING_NONE);
    g_assert_cmpuint(rig_count(r, RIG_STORE, RIG_DEVICE, 0, 4), ==, 0);
}

/* Rule 12: all of what is published together but the last */
static void test_used_more(void)
{
    for (unsigned start = 0; start < 16; start++) {
        for (unsigned n = 1; n <= 8; n++) {
            g_autoptr(Rig) r = rig_new(P, 8);

            rig_label(r, false);
            rig_run(r, start);
            offer(r, n);
            take(r, n);
            g_assert_cmpuint(rig_flush(r, n), ==, n);
            for (unsigned i = 0; i < n; i++) {
                expect(r, i + 1, i + 1 < n);
            }
            g_assert_true(rig_should_notify(r));
        }
    }
}

/* Rule 12: the device publishes in parts, and its label binds them together */
static void test_reads_on(void)
{
    g_autoptr(Rig) r = rig_new(P, 16);

    rig_label(r, true);
    offer(r, 5);
    take(r, 2);
    rig_flush(r, 2);
    g_assert_false(rig_should_notify(r));
    take(r, 2);
    rig_flush(r, 2);
    g_assert_false(rig_should_notify(r));
    take(r, 1);
    rig_flush(r, 1);
    g_assert_true(rig_should_notify(r));
    for (unsigned i = 0; i < 5; i++) {
        expect(r, i + 1, i < 4);
    }
}

/* Rule 12: one that waits for packets, say, promises nothing */
static void test_no_hold(void)
{
    g_autoptr(Rig) r = rig_new(P, 16);

    rig_label(r, false);
    offer(r, 3);
    for (unsigned i = 0; i < 3; i++) {
        take(r, 1);
        rig_flush(r, 1);
        g_assert_true(rig_should_notify(r));
        expect(r, i + 1, false);
    }
}

/*
 * Rule 13: whatever position of a batch the driver asks for, the interrupt
 * comes once and with the last; for a position beyond, not at all.
 */
static void test_one_interrupt(void)
{
    for (unsigned start = 0; start < 20; start++) {
        for (unsigned part = 1; part <= 8; part++) {
            for (unsigned after = 0; after < 10; after++) {
                g_autoptr(Rig) r = rig_new(P | E, 10);
                unsigned count = 0;

                rig_label(r, true);
                rig_run(r, start);
                rig_should_notify(r);
                ask(r, (start + after) % 20);
                offer(r, 8);
                for (unsigned n, left = 8; left; left -= n) {
                    n = MIN(part, left);
                    take(r, n);
                    rig_flush(r, n);
                    g_assert_cmpint(r->ring.held, ==, left > n);
                    count += rig_should_notify(r);
                    g_assert_true(left == n || !count);
                }
                g_assert_cmpuint(count, ==, after < 8);
            }
        }
    }
}

/* Rule 13: put off for several laps, and the event long passed by then */
static void test_held_lap(void)
{
    g_autoptr(Rig) r = rig_new(P | E, 4);

    rig_label(r, true);
    rig_should_notify(r);
    g_assert_false(vdrv_enable_cb(&rig_ops, &r->vq));
    rig_offer(r, 0, 1, 1);
    for (unsigned i = 0; i < 10; i++) {
        set_flags(r, i % 4, flags_at(r, i % 4) | MORE);
        rig_offer(r, 0, 1, 1);
        take(r, 1);
        rig_flush(r, 1);
        g_assert_false(rig_should_notify(r));
        expect(r, 1, true);
    }
    take(r, 1);
    rig_flush(r, 1);
    g_assert_true(rig_should_notify(r));
    expect(r, 1, false);
}

/* Rule 14: the driver takes what USED shows, and can sleep on a wrong label */
static void test_used_decides(void)
{
    g_autoptr(Rig) r = rig_new(P | E, 4);

    rig_label(r, true);
    for (unsigned i = 0; i < 5; i++) {
        unsigned at = r->vq.used_idx;

        rig_offer(r, 0, 1, 1);
        take(r, 1);
        rig_flush(r, 1);
        set_flags(r, at, flags_at(r, at) | MORE);
        expect(r, 1, true);
        rig_expect_none(r);
        g_assert_cmpint(r->vq.broken, ==, 0);
        rig_should_notify(r);
        g_assert_false(vdrv_enable_cb(&rig_ops, &r->vq));
        rig_offer(r, 0, 1, 1);
        take(r, 1);
        rig_flush(r, 1);
        g_assert_true(rig_should_notify(r));
        expect(r, 1, false);
    }
}

/* Rule 15: of the used entries of a flush all but the last */
static void test_in_order(void)
{
    g_autoptr(Rig) r = rig_new(P | VDRV_F_IN_ORDER, 16);
    VirtRingChain c[6];

    rig_label(r, true);
    for (unsigned i = 0; i < 6; i++) {
        g_assert_cmpint(rig_add(r, 0, 1, 0, i + 1), ==, VDRV_OK);
    }
    rig_publish(r);
    for (unsigned i = 0; i < 5; i++) {
        g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
        c[i] = r->chain;
    }
    /* 0 1 | 2 | 3, as 1 and 2 are not filled; then 4, which waited for 5 */
    rig_fill(r, &c[3], RIG_SEG_LEN, 0);
    g_assert_cmpuint(rig_flush(r, 1), ==, 0);
    g_assert_false(r->ring.held);
    rig_fill(r, &c[0], RIG_SEG_LEN, 0);
    rig_fill(r, &c[1], 1, 0);
    rig_fill(r, &c[2], 1, 0);
    g_assert_cmpuint(rig_flush(r, 3), ==, 4);
    g_assert_false(rig_should_notify(r));
    g_assert_true(flags_at(r, 0) & MORE);
    g_assert_true(flags_at(r, 2) & MORE);
    g_assert_true(flags_at(r, 3) & MORE);
    for (unsigned i = 0; i < 4; i++) {
        expect(r, i + 1, true);
    }
    take(r, 1);
    rig_fill(r, &c[4], RIG_SEG_LEN, 0);
    g_assert_cmpuint(rig_flush(r, 2), ==, 2);
    g_assert_true(rig_should_notify(r));
    g_assert_false(flags_at(r, 4) & MORE);
    expect(r, 5, true);
    expect(r, 6, false);
}

/* After a move the first to find nothing asks for a kick, and only once */
static void test_moved(void)
{
    g_autoptr(Rig) r = rig_new(P | E, 8);

    rig_label(r, true);
    offer(r, 2);
    set_flags(r, 1, flags_at(r, 1) | MORE);
    take(r, 2);
    rig_flush(r, 2);
    g_assert_true(rig_move(r));
    rig_trace(r);
    g_assert_true(rig_empty(r));
    g_assert_true(rig_empty(r));
    g_assert_cmpuint(events(r), ==, 1);
    g_assert_true(next_kicks(r));
}

/* A split ring has no labels, whatever was accepted */
static void test_split(void)
{
    g_autoptr(Rig) r = rig_new(E, 8);

    rig_label(r, true);
    r->vq.labels = false;       /* as vdrv_init() has it */
    offer(r, 3);
    take(r, 3);
    rig_flush(r, 3);
    g_assert_true(rig_should_notify(r));
    expect(r, 1, false);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/labels/not-accepted", test_not_accepted);
    g_test_add_func("/labels/avail-more", test_avail_more);
    g_test_add_func("/labels/avail-more/one-publish",
                    test_avail_more_one_publish);
    g_test_add_func("/labels/only-the-first-descriptor",
                    test_first_descriptor);
    g_test_add_func("/labels/avail-decides", test_avail_decides);
    g_test_add_func("/labels/late-event", test_late_event);
    g_test_add_func("/labels/wrong-more-still-kicks", test_wrong_more);
    g_test_add_func("/labels/wrong-more-still-kicks/race",
                    test_wrong_more_race);
    g_test_add_func("/labels/wrong-more-still-kicks/disabled",
                    test_wrong_more_disabled);
    g_test_add_func("/labels/used-more", test_used_more);
    g_test_add_func("/labels/reads-on", test_reads_on);
    g_test_add_func("/labels/no-hold-without-reading-on", test_no_hold);
    g_test_add_func("/labels/one-interrupt", test_one_interrupt);
    g_test_add_func("/labels/one-interrupt/held-a-lap", test_held_lap);
    g_test_add_func("/labels/used-decides", test_used_decides);
    g_test_add_func("/labels/in-order", test_in_order);
    g_test_add_func("/labels/moved", test_moved);
    g_test_add_func("/labels/split", test_split);
    return g_test_run();
}
