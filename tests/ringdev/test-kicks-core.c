/*
 * Kicks: when the device is told, and that neither side sleeps over work
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The counterpart of test-events-core.c.
 */
#include "rig.h"

#define P VDRV_F_PACKED
#define E VDRV_F_EVENT_IDX

/* 2.7.10.2, 2.8.14: what the device writes, in which order, then a barrier */
static void test_own_wish(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data);

    for (unsigned start = 0; start < 10; start++) {
        g_autoptr(Rig) r = rig_new(features, features & P ? 5 : 4);
        unsigned last;

        rig_run(r, start);
        rig_set_notification(r, false);
        g_assert_false(r->pos.notification);
        if (features & P) {
            g_assert_cmpuint(rig_get16(r, RIG_DEVICE, 2), ==, 1);
        } else {
            g_assert_cmpuint(rig_get16(r, RIG_DEVICE, 0), ==,
                             !(features & E));
        }
        rig_trace(r);
        rig_set_notification(r, true);
        g_assert_true(r->pos.notification);
        last = r->trace->len;
        g_assert_cmpuint(last, >=, 2);
        g_assert_true(rig_fenced(r, last - 2, last, __ATOMIC_SEQ_CST));
        if (!(features & P)) {
            g_assert_cmpuint(rig_get16(r, RIG_DEVICE, 0), ==, 0);
        }
        if (features & E) {
            unsigned ofs = features & P ? 0 : VIRTQ_AVAIL_EVENT_OFS(4);
            unsigned want = features & P ?
                start % 5 | (start < 5 ? 0x8000 : 0) : start;

            g_assert_cmpuint(rig_get16(r, RIG_DEVICE, ofs), ==, want);
        }
        if (features & P) {
            int off = rig_seen(r, RIG_STORE, RIG_DEVICE, 0, 0);
            int flags = rig_seen(r, RIG_STORE, RIG_DEVICE, 2, 0);

            g_assert_cmpuint(rig_get16(r, RIG_DEVICE, 2), ==,
                             features & E ? 2 : 0);
            g_assert_cmpint(off >= 0, ==, !!(features & E));
            g_assert_cmpint(flags, >, off);
            g_assert_true(off < 0 ||
                          rig_fenced(r, off, flags, __ATOMIC_RELEASE));
        }
    }
}

/*
 * A fetch that found nothing, with the event behind all that was taken: the
 * last look comes after a full barrier after the store of the event.
 */
static void test_fence_before_last_look(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data) | E;
    unsigned event = features & P ? 0 : VIRTQ_AVAIL_EVENT_OFS(4);

    for (unsigned skip = 0; skip < 2; skip++) {
        g_autoptr(Rig) r = rig_new(features, 4);
        int store, look = -1;

        rig_set_notification(r, true);
        rig_offer(r, 1, 0, 1);
        rig_trace(r);
        g_assert_cmpint(skip ? rig_skip(r) : rig_fetch(r), ==, VRING_CHAIN);
        g_assert_cmpint(skip ? rig_skip(r) : rig_fetch(r), ==, VRING_NONE);
        store = rig_seen(r, RIG_STORE, RIG_DEVICE, event, 0);
        g_assert_cmpint(store, >=, 0);
        for (unsigned i = 0;; i++) {
            int at = features & P ?
                rig_seen(r, RIG_LOAD, RIG_DESC, 16 + 8, i) :
                rig_seen(r, RIG_LOAD, RIG_DRIVER, VIRTQ_IDX_OFS, i);

            if (at < 0) {
                break;
            }
            look = at;
        }
        g_assert_cmpint(look, >, store);
        g_assert_true(rig_fenced(r, store, look, __ATOMIC_SEQ_CST));
    }
}

/* Notifications off: fetch and skip do not turn them on */
static void test_off_stays_off(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data);
    g_autoptr(Rig) r = rig_new(features, 4);

    rig_run(r, 2);
    rig_set_notification(r, false);
    rig_trace(r);
    for (unsigned i = 0; i < 40; i++) {
        bool kick;

        rig_offer(r, 1, 0, 1);
        kick = rig_kick(r);
        /* Split: the event of the past is still there, once */
        g_assert_true(!kick || (!i && !(features & P) && features & E));
        rig_serve(r, 0);
        rig_expect(r, 1, 0);
        g_assert_cmpint(rig_fetch(r), ==, VRING_NONE);
    }
    g_assert_cmpuint(rig_count(r, RIG_STORE, RIG_DEVICE,
                               features & P ? 0 : VIRTQ_AVAIL_EVENT_OFS(4),
                               ~0u), ==, 0);
}

/*
 * The event moves along: a device that takes a chain for each notification,
 * and does not look for more, is told of each of them. By fetch and by skip,
 * whatever the length of the chains, round the ring.
 */
static void test_kick_for_each(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data);

    for (unsigned skip = 0; skip < 2; skip++) {
        for (unsigned len = 1; len <= 4; len++) {
            g_autoptr(Rig) r = rig_new(features, 8);

            rig_set_notification(r, true);
            for (unsigned i = 0; i < 50; i++) {
                rig_offer(r, len, 0, 1);
                g_assert_true(rig_kick(r));
                g_assert_cmpint(skip ? rig_skip(r) : rig_fetch(r), ==,
                                VRING_CHAIN);
                g_assert_true(rig_fill(r, &r->chain, 0, 0));
                rig_flush(r, 1);
                rig_expect(r, 1, 0);
            }
        }
    }
}

/*
 * ring.h, vring_fetch: also if it does not take all there is. A packed ring
 * with EVENT_IDX cannot promise that.
 */
static void test_kick_after_some(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data);
    g_autoptr(Rig) r = rig_new(features, 8);

    rig_set_notification(r, true);
    rig_offer(r, 1, 0, 1);
    rig_offer(r, 1, 0, 2);
    g_assert_true(rig_kick(r));
    g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
    rig_offer(r, 1, 0, 3);
    RIG_CHECK(rig_kick(r));
}

/* The same after avail_bytes() had put the event behind all it saw */
static void test_kick_after_bytes_and_some(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data);
    g_autoptr(Rig) r = rig_new(features, 8);
    uint64_t in, out;

    rig_offer(r, 1, 0, 1);
    rig_offer(r, 1, 0, 2);
    rig_kick(r);
    g_assert_true(rig_avail_bytes(r, &in, &out, ~0ULL, ~0ULL));
    rig_set_notification(r, true);
    g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
    rig_offer(r, 1, 0, 3);
    RIG_CHECK(rig_kick(r));
}

/* ring.h, vring_avail_bytes: notified of what comes after what was seen */
static void test_kick_after_bytes(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data);

    for (unsigned start = 0; start < 16; start++) {
        for (unsigned n = 0; n < 7; n++) {
            g_autoptr(Rig) r = rig_new(features, 8);
            uint64_t in, out;

            rig_set_notification(r, false);
            rig_run(r, start);
            for (unsigned i = 0; i < n; i++) {
                rig_offer(r, 1, 0, i);
            }
            rig_kick(r);
            g_assert_true(rig_avail_bytes(r, &in, &out, ~0ULL, ~0ULL));
            g_assert_cmpuint(out, ==, n * RIG_SEG_LEN);
            rig_set_notification(r, true);
            rig_offer(r, 1, 0, 100);
            g_assert_true(rig_kick(r));
        }
    }
}

/* After unfetch, enabled anew, what comes next is notified or seen */
static void test_kick_after_unfetch(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data);

    for (unsigned start = 0; start < 16; start++) {
        g_autoptr(Rig) r = rig_new(features, 8);
        bool kick;

        rig_set_notification(r, true);
        rig_run(r, start);
        rig_offer(r, 2, 0, 1);
        rig_kick(r);
        g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
        rig_unfetch(r, 1, r->chain.ndescs);
        rig_offer(r, 1, 0, 2);
        kick = rig_kick(r);
        rig_set_notification(r, true);
        g_assert_true(kick || !rig_empty(r));
        for (unsigned i = 0; i < 2; i++) {
            g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
        }
    }
}

/*
 * Interleavings: the other side does its part just before access @k of this
 * one, for each k. Fences are seen in the traces above; here all is
 * sequential, and shows that the right things are looked at, once more, after
 * the wish was stored.
 */
static bool happened, kicked, sleeping;

static void offer_now(Rig *r, unsigned area, uint32_t ofs, bool write)
{
    (void)area;
    (void)ofs;
    (void)write;
    if (!happened && !r->hook_data--) {
        happened = true;
        rig_offer(r, 1, 0, 9);
        kicked = rig_kick(r);
    }
}

static void sleep_now(Rig *r, unsigned area, uint32_t ofs, bool write)
{
    (void)area;
    (void)ofs;
    (void)write;
    if (!happened && !r->hook_data--) {
        happened = true;
        sleeping = !vdrv_enable_cb(&rig_ops, &r->vq);
    }
}

/* How the device goes to sleep */
enum { BY_FETCH, BY_SKIP, BY_EMPTY, BY_BYTES, WAYS };

static unsigned drain(Rig *r, unsigned way)
{
    uint64_t in, out;
    unsigned n = 0;

    switch (way) {
    case BY_FETCH:
        while (rig_fetch(r) == VRING_CHAIN) {
            n++;
        }
        break;
    case BY_SKIP:
        while (rig_skip(r) == VRING_CHAIN) {
            n++;
        }
        break;
    case BY_EMPTY:
        rig_set_notification(r, false);
        do {
            rig_set_notification(r, false);
            while (rig_fetch(r) == VRING_CHAIN) {
                n++;
            }
            rig_set_notification(r, true);
        } while (!rig_empty(r));
        break;
    default:
        do {
            VirtRingAreas a = rig_areas(r);

            g_assert_true(rig_avail_bytes(r, &in, &out, ~0ULL, ~0ULL));
            n = out / RIG_SEG_LEN;
            rig_set_notification(r, true);
            if (!vring_more(&r->ring, &a, r->pos.shadow_avail_idx)) {
                break;
            }
        } while (true);
        break;
    }
    return n;
}

static void test_no_lost_kick(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data);

    for (unsigned way = 0; way < WAYS; way++) {
        for (unsigned start = 0; start < 12; start++) {
            for (unsigned before = 0; before < 3; before++) {
                happened = true;
                for (unsigned k = 0; happened; k++) {
                    g_autoptr(Rig) r = rig_new(features, 4);
                    unsigned n;

                    rig_set_notification(r, true);
                    rig_run(r, start);
                    for (unsigned i = 0; i < before; i++) {
                        rig_offer(r, 1, 0, i);
                    }
                    rig_kick(r);
                    happened = kicked = false;
                    r->hook_data = k;
                    r->on_touch = offer_now;
                    r->limit = r->touches + 1000;
                    n = drain(r, way);
                    g_assert_true(n == before + happened ||
                                  (n == before && kicked));
                }
            }
        }
    }
}

static void test_no_lost_interrupt(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data);

    for (unsigned start = 0; start < 12; start++) {
        for (unsigned n = 1; n <= 4; n++) {
            happened = true;
            for (unsigned k = 0; happened; k++) {
                g_autoptr(Rig) r = rig_new(features, 4);
                bool told;

                rig_run(r, start);
                vdrv_disable_cb(&rig_ops, &r->vq);
                rig_should_notify(r);
                for (unsigned i = 0; i < n; i++) {
                    rig_offer(r, 1, 0, i);
                    g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
                    g_assert_true(rig_fill(r, &r->chain, 0, i));
                }
                happened = sleeping = false;
                r->hook_data = k;
                r->on_touch = sleep_now;
                g_assert_cmpuint(rig_flush(r, n), ==, n);
                told = rig_should_notify(r);
                g_assert_true(!sleeping || told);
            }
        }
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
    add("/split/2.7.10.2/own-wish%s", 0, test_own_wish);
    add("/packed/2.8.14/own-wish%s", P, test_own_wish);
    g_test_add_data_func("/split/2.7.13/fence-before-last-look",
                         GSIZE_TO_POINTER(0), test_fence_before_last_look);
    g_test_add_data_func("/packed/2.8.21/fence-before-last-look",
                         GSIZE_TO_POINTER(P), test_fence_before_last_look);
    add("/split/2.7.10/off-stays-off%s", 0, test_off_stays_off);
    add("/packed/2.8.10/off-stays-off%s", P, test_off_stays_off);
    add("/split/2.7.10/kick-for-each%s", 0, test_kick_for_each);
    add("/packed/2.8.10/kick-for-each%s", P, test_kick_for_each);
    add("/split/2.7.10/kick-after-some%s", 0, test_kick_after_some);
    g_test_add_data_func("/packed/2.8.10/kick-after-some",
                         GSIZE_TO_POINTER(P), test_kick_after_some);
    add("/split/2.7.10/kick-after-bytes-and-some%s", 0,
        test_kick_after_bytes_and_some);
    g_test_add_data_func("/packed/2.8.10/kick-after-bytes-and-some",
                         GSIZE_TO_POINTER(P), test_kick_after_bytes_and_some);
    add("/split/2.7.10/kick-after-bytes%s", 0, test_kick_after_bytes);
    add("/packed/2.8.10/kick-after-bytes%s", P, test_kick_after_bytes);
    add("/split/2.7.10/kick-after-unfetch%s", 0, test_kick_after_unfetch);
    add("/packed/2.8.10/kick-after-unfetch%s", P, test_kick_after_unfetch);
    add("/split/2.7.10/no-lost-kick%s", 0, test_no_lost_kick);
    add("/packed/2.8.10/no-lost-kick%s", P, test_no_lost_kick);
    add("/split/2.7.7/no-lost-interrupt%s", 0, test_no_lost_interrupt);
    add("/packed/2.8.10/no-lost-interrupt%s", P, test_no_lost_interrupt);
    return g_test_run();
}
