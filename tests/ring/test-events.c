/*
 * Notification suppression and notification data (2.7.7, 2.7.10, 2.8.9,
 * 2.8.10, 2.9): all values against enumeration
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ring-test.h"

/* Position of a packed event or ring offset in two laps, 0 .. 2 * num - 1 */
static unsigned two_laps(unsigned num, unsigned off, bool wrap)
{
    return off + (wrap ? 0 : num);
}

/* The oracle: does the walk of @span steps from @start meet @event? */
static bool passes(unsigned start, unsigned span, unsigned event,
                   unsigned modulo)
{
    for (unsigned i = 0; i < span; i++) {
        if ((start + i) % modulo == event) {
            return true;
        }
    }
    return false;
}

static void write_event(RingTest *t, uint64_t area, unsigned off, bool wrap,
                        unsigned flags)
{
    t->m->store16(t->mem, area, off | (wrap ? RING_EVENT_WRAP : 0));
    t->m->store16(t->mem, area + PVIRTQ_EVENT_FLAGS_OFS, flags);
}

/* Contents of a packed event area, and whether a notification is due */
typedef struct EventCase {
    unsigned off;
    bool wrap;
    unsigned flags;
    bool want;
} EventCase;

/* Case @e of the 8 * @num there are, for @span buffers from @start */
static EventCase event_case(unsigned e, unsigned num, unsigned start,
                            unsigned span)
{
    EventCase c = {
        .off = e % num,
        .wrap = e / num % 2,
        .flags = e / num / 2,
    };

    c.want = c.flags != RING_EVENT_FLAGS_DISABLE;
    if (c.flags == RING_EVENT_FLAGS_DESC) {
        c.want = passes(start, span, two_laps(num, c.off, c.wrap), 2 * num);
    }
    return c;
}

/* Every ring, position, span, event position and flag value */
static void test_packed_kick(void)
{
    for (unsigned num = 1; num <= 5; num++) {
        for (unsigned start = 0; start < 2 * num; start++) {
            g_autoptr(RingTest) t = ring_test_new(VDRV_F_PACKED |
                                                  VDRV_F_EVENT_IDX, num);

            ring_test_run(t, start);
            for (unsigned span = 1; span <= num; span++) {
                g_assert_cmpint(ring_test_add(t, 1, 0, 0, 1), ==, 0);
                vdrv_publish(t->m, &t->vq);
                for (unsigned e = 0; e < 2 * num * 4; e++) {
                    VdrvQueue vq = t->vq;
                    EventCase c = event_case(e, num, start, span);

                    write_event(t, t->at.device, c.off, c.wrap, c.flags);
                    g_assert_cmpint(vdrv_kick_needed(t->m, &vq), ==, c.want);
                    g_assert_false(vdrv_kick_needed(t->m, &vq));
                }
            }
        }
    }
}

static void test_packed_notify(void)
{
    for (unsigned num = 1; num <= 5; num++) {
        for (unsigned start = 0; start < 2 * num; start++) {
            for (unsigned span = 1; span <= num; span++) {
                g_autoptr(RingTest) t = ring_test_new(VDRV_F_PACKED |
                                                      VDRV_F_EVENT_IDX, num);

                ring_test_run(t, start);
                for (unsigned i = 0; i < span; i++) {
                    g_assert_cmpint(ring_test_add(t, 1, 0, 0, 1), ==, 0);
                }
                vdrv_publish(t->m, &t->vq);
                for (unsigned i = 0; i < span; i++) {
                    ring_test_serve(t, 0);
                }
                for (unsigned e = 0; e < 2 * num * 4; e++) {
                    ModelDevice d = t->dev;
                    EventCase c = event_case(e, num, start, span);

                    write_event(t, t->at.driver, c.off, c.wrap, c.flags);
                    g_assert_cmpint(model_should_notify(t->m, &d), ==, c.want);
                }
            }
        }
    }
}

/* DESC is no value without EVENT_IDX: better one kick too many */
static void test_packed_desc_without_feature(void)
{
    g_autoptr(RingTest) t = ring_test_new(VDRV_F_PACKED, 4);

    for (unsigned flags = 0; flags < 8; flags++) {
        VdrvQueue vq;

        g_assert_cmpint(ring_test_add(t, 1, 0, 0, 1), ==,
                        flags < 4 ? 0 : VDRV_ENOSPC);
        vdrv_publish(t->m, &t->vq);
        vq = t->vq;
        write_event(t, t->at.device, 3, false, flags);
        g_assert_cmpint(vdrv_kick_needed(t->m, &vq), ==,
                        flags != RING_EVENT_FLAGS_DISABLE);
    }
}

/* Index starts on both sides of the 2^16 wrap, all 65536 event values */
static void test_split_event(void)
{
    static const unsigned starts[] = { 0, 1, 32767, 65532, 65534, 65535 };

    for (unsigned s = 0; s < G_N_ELEMENTS(starts); s++) {
        g_autoptr(RingTest) t = ring_test_new(VDRV_F_EVENT_IDX, 4);
        unsigned start = starts[s];

        ring_test_run(t, start);
        for (unsigned span = 1; span <= 4; span++) {
            g_assert_cmpint(ring_test_add(t, 1, 0, 0, 1), ==, 0);
            vdrv_publish(t->m, &t->vq);
            ring_test_serve(t, 0);
            for (unsigned e = 0; e < 65536; e++) {
                bool want = passes(start, span, e, 65536);
                VdrvQueue vq = t->vq;
                ModelDevice d = t->dev;

                t->m->store16(t->mem, t->at.device + VIRTQ_AVAIL_EVENT_OFS(4),
                              e);
                t->m->store16(t->mem, t->at.driver + VIRTQ_USED_EVENT_OFS(4),
                              e);
                g_assert_cmpint(vdrv_kick_needed(t->m, &vq), ==, want);
                g_assert_cmpint(model_should_notify(t->m, &d), ==, want);
            }
        }
    }
}

/* The split event index counts buffers, whatever their descriptors */
static void test_split_event_chains(void)
{
    for (unsigned e = 0; e < 65536; e++) {
        g_autoptr(RingTest) t = e < 8 || e > 65530 ?
                                ring_test_new(VDRV_F_EVENT_IDX, 8) : NULL;

        if (!t) {
            continue;
        }
        ring_test_run(t, 2);
        g_assert_cmpint(ring_test_add(t, 2, 1, 0, 1), ==, 0);
        g_assert_cmpint(ring_test_add(t, 1, 1, 0, 1), ==, 0);
        vdrv_publish(t->m, &t->vq);
        t->m->store16(t->mem, t->at.device + VIRTQ_AVAIL_EVENT_OFS(8), e);
        g_assert_cmpint(vdrv_kick_needed(t->m, &t->vq), ==,
                        e == 2 || e == 3);
    }
}

/* With EVENT_IDX the flags are not looked at, without it the index is not */
static void test_split_flags(void)
{
    for (unsigned event = 0; event < 2; event++) {
        for (unsigned flags = 0; flags < 4; flags++) {
            g_autoptr(RingTest) t = ring_test_new(event ? VDRV_F_EVENT_IDX :
                                                  0, 4);
            bool want = event || !(flags & VIRTQ_USED_F_NO_NOTIFY);

            t->m->store16(t->mem, t->at.device, flags);
            t->m->store16(t->mem, t->at.driver, flags);
            t->m->store16(t->mem, t->at.device + VIRTQ_AVAIL_EVENT_OFS(4),
                          event ? 0 : 77);
            t->m->store16(t->mem, t->at.driver + VIRTQ_USED_EVENT_OFS(4),
                          event ? 0 : 77);
            g_assert_cmpint(ring_test_add(t, 1, 0, 0, 1), ==, 0);
            vdrv_publish(t->m, &t->vq);
            g_assert_cmpint(vdrv_kick_needed(t->m, &t->vq), ==, want);
            ring_test_serve(t, 0);
            g_assert_cmpint(model_should_notify(t->m, &t->dev), ==, want);
        }
    }
}

/*
 * enable_cb_after(n): the device interrupts at completion n + 1 of those in
 * flight, not before; and disable_cb() keeps it quiet.
 */
static void test_enable_after(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data) ? VDRV_F_PACKED : 0;

    for (unsigned i = 0; i < 32; i++) {
        /* Also where the split index runs over 2^16 */
        unsigned start = i < 16 ? i : 65536 - 32 + i;

        for (unsigned after = 0; after < 10; after++) {
            g_autoptr(RingTest) t = ring_test_new(features |
                                                  VDRV_F_EVENT_IDX, 8);
            unsigned at = MIN(after, 7);

            ring_test_run(t, start);
            for (unsigned i = 0; i < 8; i++) {
                g_assert_cmpint(ring_test_add(t, 1, 0, 0, i + 1), ==, 0);
            }
            vdrv_publish(t->m, &t->vq);
            g_assert_false(vdrv_enable_cb_after(t->m, &t->vq, after));
            for (unsigned i = 0; i < 8; i++) {
                ring_test_serve(t, 0);
                g_assert_cmpint(model_should_notify(t->m, &t->dev), ==,
                                i == at);
            }
            g_assert_true(vdrv_enable_cb(t->m, &t->vq));
            for (unsigned i = 0; i < 8; i++) {
                ring_test_expect(t, i + 1, 0);
            }
            g_assert_false(vdrv_enable_cb(t->m, &t->vq));
        }
    }
}

/* Disabled stays disabled over several laps, in every mode */
static void test_disable(void)
{
    for (unsigned mode = 0; mode < 4; mode++) {
        uint64_t features = (mode & 1 ? VDRV_F_PACKED : 0) |
                            (mode & 2 ? VDRV_F_EVENT_IDX : 0);
        g_autoptr(RingTest) t = ring_test_new(features, 4);

        vdrv_disable_cb(t->m, &t->vq);
        model_disable_kick(t->m, &t->dev);
        for (unsigned i = 0; i < 40; i++) {
            g_assert_cmpint(ring_test_add(t, 1, 0, 0, 1), ==, 0);
            vdrv_publish(t->m, &t->vq);
            g_assert_false(vdrv_kick_needed(t->m, &t->vq));
            ring_test_serve(t, 0);
            g_assert_false(model_should_notify(t->m, &t->dev));
            ring_test_expect(t, 1, 0);
        }
        g_assert_false(vdrv_enable_cb(t->m, &t->vq));
        g_assert_false(model_enable_kick(t->m, &t->dev));
        g_assert_cmpint(ring_test_add(t, 1, 0, 0, 1), ==, 0);
        vdrv_publish(t->m, &t->vq);
        g_assert_true(vdrv_kick_needed(t->m, &t->vq));
        ring_test_serve(t, 0);
        g_assert_true(model_should_notify(t->m, &t->dev));
    }
}

/* 2.9: queue in the low half, position and wrap above */
static void test_notify_data(void)
{
    for (unsigned num = 1; num <= 5; num++) {
        g_autoptr(RingTest) t = ring_test_new(VDRV_F_PACKED |
                                              VDRV_F_NOTIF_DATA, num);

        for (unsigned i = 0; i < 4 * num; i++) {
            uint32_t data = vdrv_notify_data(&t->vq);

            g_assert_cmphex(data & 0xffff, ==, 3);
            g_assert_cmpuint(data >> 16 & 0x7fff, ==, i % num);
            g_assert_cmpuint(data >> 31, ==, i / num % 2 == 0);
            ring_test_run(t, 1);
        }
    }
}

static void test_notify_data_split(void)
{
    g_autoptr(RingTest) t = ring_test_new(VDRV_F_NOTIF_DATA, 4);

    g_assert_cmphex(vdrv_notify_data(&t->vq), ==, 3);
    ring_test_run(t, 5);
    g_assert_cmphex(vdrv_notify_data(&t->vq), ==, 0x00050003);
    ring_test_run(t, 65530);
    g_assert_cmphex(vdrv_notify_data(&t->vq), ==, 0xffff0003);
    ring_test_run(t, 1);
    g_assert_cmphex(vdrv_notify_data(&t->vq), ==, 3);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/packed/2.8.10/kick", test_packed_kick);
    g_test_add_func("/packed/2.8.10/notify", test_packed_notify);
    g_test_add_func("/packed/2.8.14/desc-without-feature",
                    test_packed_desc_without_feature);
    g_test_add_func("/split/2.7.7/event", test_split_event);
    g_test_add_func("/split/2.7.7/event-chains", test_split_event_chains);
    g_test_add_func("/split/2.7.7/flags", test_split_flags);
    g_test_add_data_func("/split/2.7.7/enable-after", GSIZE_TO_POINTER(0),
                         test_enable_after);
    g_test_add_data_func("/packed/2.8.10/enable-after", GSIZE_TO_POINTER(1),
                         test_enable_after);
    g_test_add_func("/ring/2.7.7/disable", test_disable);
    g_test_add_func("/packed/2.9/notify-data", test_notify_data);
    g_test_add_func("/split/2.9/notify-data", test_notify_data_split);
    return g_test_run();
}
