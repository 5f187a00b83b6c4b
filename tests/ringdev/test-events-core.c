/*
 * Interrupts: when the driver is told, and that it is not told too late
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is due is found by enumeration of positions (rig_due()). One too many
 * is allowed by the standard but not promised away here: except for the first
 * decision of a queue's life, the core is exact.
 */
#include "rig.h"

#define P VDRV_F_PACKED
#define E VDRV_F_EVENT_IDX

static void set_driver_event(Rig *r, unsigned off, bool wrap, unsigned flags)
{
    rig_set16(r, RIG_DRIVER, 0, off | (wrap ? RING_EVENT_WRAP : 0));
    rig_set16(r, RIG_DRIVER, PVIRTQ_EVENT_FLAGS_OFS, flags);
}

/* Decide on copies of the state, so that it can be done again */
static bool would_notify(Rig *r)
{
    VirtRingPos pos = r->pos;
    uint64_t span = r->span;
    bool yes = rig_should_notify(r);

    r->pos = pos;
    r->span = span;
    return yes;
}

/* Each span from each position, each place and kind of event */
static void packed_interrupt(uint64_t features)
{
    for (unsigned num = 1; num <= 5; num++) {
        for (unsigned start = 0; start < 2 * num; start++) {
            for (unsigned span = 0; span <= num; span++) {
                g_autoptr(Rig) r = rig_new(features, num);

                rig_run(r, start);
                rig_should_notify(r);
                for (unsigned i = 0; i < span; i++) {
                    rig_offer(r, 1, 0, 1);
                    rig_serve(r, 0);
                }
                for (unsigned e = 0; e < 2 * num * 3; e++) {
                    set_driver_event(r, e % num, e / num % 2,
                                     e / num / 2);
                    g_assert_cmpint(would_notify(r), ==, rig_due(r));
                }
            }
        }
    }
}

static void test_packed_interrupt(void)
{
    packed_interrupt(P | E);
}

/* DESC is not for a driver without the feature: it gets one too many */
static void test_packed_no_event_idx(void)
{
    packed_interrupt(P);
}

/* Chains: an event in the middle of one is passed as well */
static void test_packed_chain(void)
{
    for (unsigned start = 0; start < 14; start++) {
        for (unsigned len = 1; len <= 7; len++) {
            g_autoptr(Rig) r = rig_new(P | E, 7);

            rig_run(r, start);
            rig_should_notify(r);
            rig_offer(r, len, 0, 1);
            rig_serve(r, 0);
            for (unsigned e = 0; e < 14; e++) {
                set_driver_event(r, e % 7, e / 7, RING_EVENT_FLAGS_DESC);
                g_assert_cmpint(would_notify(r), ==, rig_due(r));
            }
        }
    }
}

/* Positions at both ends of the largest ring */
static void test_packed_largest(void)
{
    static const unsigned starts[] = { 0, 1, 32766, 32767 };

    for (unsigned lap = 0; lap < 2; lap++) {
        for (unsigned s = 0; s < G_N_ELEMENTS(starts); s++) {
            g_autoptr(Rig) r = rig_new(P | E, 32768);

            for (unsigned i = lap * 32768 + starts[s], n; i; i -= n) {
                n = MIN(i, 1000);
                rig_offer(r, n, 0, 1);
                rig_serve(r, 0);
                rig_expect(r, 1, 0);
            }
            rig_should_notify(r);
            for (unsigned span = 1; span <= 3; span++) {
                rig_offer(r, 1, 0, 1);
                rig_serve(r, 0);
                for (unsigned e = 0; e < 16; e++) {
                    unsigned off = e < 8 ? e : 32768 - 16 + e;

                    for (unsigned wrap = 0; wrap < 2; wrap++) {
                        set_driver_event(r, off, wrap, 2);
                        g_assert_cmpint(would_notify(r), ==, rig_due(r));
                    }
                }
            }
        }
    }
}

/* The largest ring at once: each position is passed, in this lap only */
static void test_packed_largest_span(void)
{
    for (unsigned start = 0; start < 2; start++) {
        g_autoptr(Rig) r = rig_new(P | E, 32768);

        rig_run(r, start);
        rig_should_notify(r);
        rig_offer(r, 32768, 0, 1);
        g_assert_cmpint(rig_skip(r), ==, VRING_CHAIN);
        g_assert_true(rig_fill(r, &r->chain, 0, 0));
        rig_flush(r, 1);
        for (unsigned e = 0; e < 32768; e += 4095) {
            for (unsigned wrap = 0; wrap < 2; wrap++) {
                set_driver_event(r, e, wrap, 2);
                g_assert_cmpint(would_notify(r), ==, rig_due(r));
            }
        }
    }
}

/*
 * More than a lap without a decision (a device may flush as often as it likes
 * before it asks): the event was passed, in an earlier lap.
 */
static void test_packed_laps(void)
{
    for (unsigned num = 1; num <= 4; num++) {
        for (unsigned span = num + 1; span <= 5 * num; span++) {
            g_autoptr(Rig) r = rig_new(P | E, num);

            rig_run(r, 1);
            for (unsigned i = 0; i < span; i++) {
                rig_offer(r, 1, 0, 1);
                rig_serve(r, 0);
                rig_expect(r, 1, 0);
            }
            for (unsigned e = 0; e < 2 * num; e++) {
                set_driver_event(r, e % num, e / num, 2);
                if (rig_due(r) && !would_notify(r)) {
                    g_test_message("queue of %u, %u used since the last "
                                   "decision, event at %u wrap %u", num, span,
                                   e % num, e / num);
                    RIG_CHECK(would_notify(r));
                }
            }
        }
    }
}

/* 2^16 descriptors without a decision: the distance must not become 0 */
static void test_packed_distance(void)
{
    g_autoptr(Rig) r = rig_new(P | E, 256);

    rig_run(r, 1);
    for (unsigned i = 0; i < 65536 / 256; i++) {
        rig_offer(r, 256, 0, 1);
        rig_serve(r, 0);
        rig_expect(r, 1, 0);
    }
    set_driver_event(r, 0, true, 2);
    g_assert_true(rig_due(r));
    RIG_CHECK(would_notify(r));
}

/* What was signalled is unknown, as after a load: whoever asks is told */
static void test_unknown(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data) | E;

    for (unsigned start = 0; start < 16; start++) {
        for (unsigned old = 0; old < 65536; old += 8191) {
            g_autoptr(Rig) r = rig_new(features, 4);

            rig_run(r, start);
            rig_offer(r, 1, 0, 1);
            g_assert_false(vdrv_enable_cb(&rig_ops, &r->vq));
            rig_serve(r, 0);
            r->pos.signalled_used = old;
            r->pos.signalled_used_valid = false;
            g_assert_true(rig_should_notify(r));
            g_assert_true(r->pos.signalled_used_valid);
            /* Now it is known */
            g_assert_false(rig_should_notify(r));
            if (features & P) {
                vdrv_disable_cb(&rig_ops, &r->vq);
                r->pos.signalled_used_valid = false;
                g_assert_false(rig_should_notify(r));
            }
        }
    }
}

/* vring_more: anything beyond what avail_bytes or fetch saw */
static void test_more(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data);

    for (unsigned start = 0; start < 16; start++) {
        g_autoptr(Rig) r = rig_new(features, 8);
        VirtRingAreas a = rig_areas(r);
        uint64_t in, out;

        rig_run(r, start);
        for (unsigned n = 0; n < 3; n++) {
            uint16_t shadow;

            g_assert_true(rig_avail_bytes(r, &in, &out, ~0ULL, ~0ULL));
            g_assert_cmpuint(out, ==, n * 2 * RIG_SEG_LEN);
            shadow = r->pos.shadow_avail_idx;
            g_assert_false(vring_more(&r->ring, &a, shadow));
            rig_offer(r, 2, 0, n + 1);
            g_assert_true(vring_more(&r->ring, &a, shadow));
        }
        for (unsigned n = 0; n < 3; n++) {
            g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
        }
        g_assert_false(vring_more(&r->ring, &a, r->pos.shadow_avail_idx));
    }
}

/* 2.8.10: one interrupt each time a fixed event is passed: every two laps */
static void test_packed_once_a_turn(void)
{
    for (unsigned num = 1; num <= 5; num++) {
        g_autoptr(Rig) r = rig_new(P | E, num);

        rig_run(r, 1);
        set_driver_event(r, num / 2, false, 2);
        for (unsigned i = 1; i < 10 * num; i++) {
            rig_offer(r, 1, 0, 1);
            rig_serve(r, 0);
            g_assert_cmpint(rig_should_notify(r), ==,
                            i % (2 * num) == num + num / 2);
            rig_expect(r, 1, 0);
        }
    }
}

/* 2.7.7.2: all events, on both sides of the wrap of the index */
static void test_split_interrupt(void)
{
    static const unsigned starts[] = { 1, 32767, 65534, 65535 };

    for (unsigned s = 0; s < G_N_ELEMENTS(starts); s++) {
        g_autoptr(Rig) r = rig_new(E, 4);

        rig_run(r, starts[s]);
        for (unsigned span = 1; span <= 4; span++) {
            rig_offer(r, 1, 0, 1);
            rig_serve(r, 0);
            /* All that are near, and samples of the rest */
            for (unsigned e = 0; e < 65536;
                 e += (uint16_t)(e - starts[s] + 16) < 32 ? 1 : 13) {
                rig_set16(r, RIG_DRIVER, VIRTQ_USED_EVENT_OFS(4), e);
                g_assert_cmpint(would_notify(r), ==, rig_due(r));
            }
        }
    }
}

/* Long runs without a decision, up to more than all indices */
static void test_split_distance(void)
{
    static const unsigned spans[] = {
        5, 32767, 32768, 32769, 65535, 65536, 65540, 131072,
    };

    for (unsigned s = 0; s < G_N_ELEMENTS(spans); s++) {
        g_autoptr(Rig) r = rig_new(E, 1024);

        rig_run(r, 3);
        for (unsigned i = spans[s], n; i; i -= n) {
            n = MIN(i, 512);
            for (unsigned j = 0; j < n; j++) {
                g_assert_cmpint(rig_add(r, 1, 0, 0, 1), ==, VDRV_OK);
            }
            rig_publish(r);
            for (unsigned j = 0; j < n; j++) {
                g_assert_cmpint(rig_skip(r), ==, VRING_CHAIN);
                rig_fill(r, &r->chain, 0, j);
            }
            rig_flush(r, n);
            for (unsigned j = 0; j < n; j++) {
                rig_expect(r, 1, 0);
            }
        }
        for (unsigned e = 0; e < 65536; e += 4093) {
            rig_set16(r, RIG_DRIVER, VIRTQ_USED_EVENT_OFS(1024), e);
            if (rig_due(r)) {
                g_assert_true(would_notify(r));
            }
        }
    }
}

/* 2.7.7.2: flags without the feature, used_event with it, never both */
static void test_split_flags(void)
{
    for (unsigned event = 0; event < 2; event++) {
        for (unsigned flags = 0; flags < 4; flags++) {
            g_autoptr(Rig) r = rig_new(event ? E : 0, 4);

            rig_run(r, 1);
            rig_set16(r, RIG_DRIVER, 0, flags);
            rig_set16(r, RIG_DRIVER, VIRTQ_USED_EVENT_OFS(4), event ? 1 : 77);
            rig_offer(r, 1, 0, 1);
            rig_serve(r, 0);
            rig_trace(r);
            g_assert_cmpint(rig_should_notify(r), ==, event || !(flags & 1));
            g_assert_cmpint(rig_seen(r, RIG_LOAD, RIG_DRIVER, 0, 0) >= 0, ==,
                            !event);
            g_assert_cmpint(rig_seen(r, RIG_LOAD, RIG_DRIVER,
                                     VIRTQ_USED_EVENT_OFS(4), 0) >= 0, ==,
                            event);
        }
    }
}

/* Legacy: an interrupt when the queue ran empty, whatever flags say */
static void test_on_empty(void)
{
    for (unsigned i = 0; i < 16; i++) {
        bool event = i & 1, held = i & 2, more = i & 4, quiet = i & 8;
        g_autoptr(Rig) r = rig_new(event ? E : 0, 4);

        r->on_empty = true;
        rig_run(r, 1);
        rig_should_notify(r);
        rig_set16(r, RIG_DRIVER, 0, !event && quiet);
        rig_set16(r, RIG_DRIVER, VIRTQ_USED_EVENT_OFS(4), quiet ? 99 : 1);
        if (held) {
            rig_offer(r, 1, 0, 1);
            g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
        }
        rig_offer(r, 1, 0, 2);
        rig_serve(r, 0);
        if (more) {
            rig_offer(r, 1, 0, 3);
        }
        g_assert_cmpint(rig_due(r), ==, !quiet || !(held || more));
        /*
         * An interrupt for the empty queue is no decision about the event,
         * so with EVENT_IDX another one may follow that is not due.
         */
        g_assert_true(would_notify(r) == rig_due(r) ||
                      (event && !rig_due(r)));
        /* A second decision, with nothing new */
        rig_should_notify(r);
        g_assert_true(held || more || rig_should_notify(r));
    }
}

/* 2.7.14, 2.8.22: used entries, a full barrier, the driver's wish */
static void test_fence_before_wish(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data);
    g_autoptr(Rig) r = rig_new(features, 4);
    unsigned area = features & P ? RIG_DESC : RIG_DEVICE;
    unsigned used = features & P ? 16 + 8 : VIRTQ_IDX_OFS;
    int store, wish;

    rig_run(r, 1);
    if (features & P) {
        set_driver_event(r, 1, true, features & E ? 2 : 0);
    }
    rig_offer(r, 1, 0, 1);
    rig_trace(r);
    rig_serve(r, 0);
    rig_should_notify(r);
    store = rig_seen(r, RIG_STORE, area, used, 0);
    g_assert_cmpint(store, >=, 0);
    if (features & P) {
        wish = rig_seen(r, RIG_LOAD, RIG_DRIVER, PVIRTQ_EVENT_FLAGS_OFS, 0);
    } else {
        wish = rig_seen(r, RIG_LOAD, RIG_DRIVER, features & E ?
                        VIRTQ_USED_EVENT_OFS(4) : 0, 0);
    }
    g_assert_cmpint(wish, >, store);
    g_assert_true(rig_fenced(r, store, wish, __ATOMIC_SEQ_CST));
    if (features & P && features & E) {
        int off = rig_seen(r, RIG_LOAD, RIG_DRIVER, 0, 0);

        g_assert_cmpint(off, >, wish);
        g_assert_true(rig_fenced(r, wish, off, __ATOMIC_ACQUIRE));
    }
}

static void add(const char *format, uint64_t features, GTestDataFunc f)
{
    for (unsigned i = 0; i < 2; i++) {
        g_autofree char *path =
            g_strdup_printf(format, i ? "/event-idx" : "");

        g_test_add_data_func(path,
                             GSIZE_TO_POINTER(features | (i ? E : 0)), f);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/packed/2.8.10/interrupt", test_packed_interrupt);
    g_test_add_func("/packed/2.8.10/interrupt-no-event-idx",
                    test_packed_no_event_idx);
    g_test_add_func("/packed/2.8.10/interrupt-chain", test_packed_chain);
    g_test_add_func("/packed/2.8.10/interrupt-32768", test_packed_largest);
    g_test_add_func("/packed/2.8.10/interrupt-span-of-32768",
                    test_packed_largest_span);
    g_test_add_func("/packed/2.8.10/interrupt-after-laps", test_packed_laps);
    g_test_add_func("/packed/2.8.10/interrupt-after-65536",
                    test_packed_distance);
    g_test_add_func("/packed/2.8.10/interrupt-once-a-turn",
                    test_packed_once_a_turn);
    g_test_add_func("/split/2.7.7.2/interrupt", test_split_interrupt);
    g_test_add_func("/split/2.7.7.2/interrupt-after-65536",
                    test_split_distance);
    g_test_add_func("/split/2.7.7.2/flags-or-event", test_split_flags);
    g_test_add_func("/split/6.3/notify-on-empty", test_on_empty);
    g_test_add_data_func("/split/2.7.7.2/unknown", GSIZE_TO_POINTER(0),
                         test_unknown);
    g_test_add_data_func("/packed/2.8.10/unknown", GSIZE_TO_POINTER(P),
                         test_unknown);
    add("/split/2.7.10/more%s", 0, test_more);
    add("/packed/2.8.10/more%s", P, test_more);
    add("/split/2.7.14/fence-before-wish%s", 0, test_fence_before_wish);
    add("/packed/2.8.22/fence-before-wish%s", P, test_fence_before_wish);
    return g_test_run();
}
