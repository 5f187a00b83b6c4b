/*
 * Indirect descriptor tables (2.7.5.3, 2.8.8)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ring-test.h"

/* A table of any length takes one descriptor and arrives whole */
static void test_table(gconstpointer layout)
{
    uint64_t features = GPOINTER_TO_SIZE(layout) ? VDRV_F_PACKED : 0;
    g_autoptr(RingTest) t = ring_test_new(features | VDRV_F_INDIRECT, 8);

    for (unsigned out = 0; out <= 8; out++) {
        for (unsigned in = out ? 0 : 1; out + in <= 8; in++) {
            g_assert_cmpint(ring_test_add(t, out, in, ring_test_table(t, 0),
                                          5), ==, 0);
            g_assert_cmpuint(t->vq.num_free, ==, 7);
            vdrv_publish(t->m, &t->vq);
            g_assert_cmpint(ring_test_pop(t), ==, 1);
            g_assert_cmpuint(t->chain.ndesc, ==, 1);
            g_assert_cmpuint(t->chain.nseg, ==, out + in);
            g_assert_cmpuint(t->chain.out, ==, out);
            g_assert_cmpuint(t->chain.in_len, ==, in * 16);
            for (unsigned i = 0; i < out + in; i++) {
                g_assert_cmphex(t->segs[i].addr, ==, 0x50000 + i * 0x100);
            }
            model_push(t->m, &t->dev,
                       &(ModelUsed) { in * 16, t->chain.id, 1 }, 1);
            ring_test_expect(t, 5, in * 16);
            ring_test_assert_idle(t);
        }
    }
}

/* A full ring of tables, so that all ids are out, many times over */
static void test_full_ring(gconstpointer layout)
{
    uint64_t features = GPOINTER_TO_SIZE(layout) ? VDRV_F_PACKED : 0;
    g_autoptr(RingTest) t = ring_test_new(features | VDRV_F_INDIRECT, 4);

    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 4; i++) {
            g_assert_cmpint(ring_test_add(t, 2, 2, ring_test_table(t, i),
                                          i + 1), ==, 0);
        }
        g_assert_cmpint(ring_test_add(t, 1, 1, ring_test_table(t, 4), 9),
                        ==, VDRV_ENOSPC);
        vdrv_publish(t->m, &t->vq);
        for (unsigned i = 0; i < 4; i++) {
            ring_test_serve(t, 32);
        }
        for (unsigned i = 0; i < 4; i++) {
            ring_test_expect(t, i + 1, 32);
        }
        ring_test_assert_idle(t);
    }
}

/* 2.7.5.3: direct descriptors may precede the table (split only) */
static void test_direct_then_table(void)
{
    g_autoptr(RingTest) t = ring_test_new(VDRV_F_INDIRECT, 8);

    for (unsigned direct = 0; direct < 6; direct++) {
        VdrvSeg seg[6];
        VdrvBuf buf = {
            .seg = seg, .out = 3, .in = 3, .direct = direct,
            .table = ring_test_table(t, 0), .token = t,
        };

        for (unsigned i = 0; i < 6; i++) {
            seg[i] = (VdrvSeg) { 0x1000 * (i + 1), i + 1 };
        }
        g_assert_cmpint(vdrv_add(t->m, &t->vq, &buf), ==, 0);
        g_assert_cmpuint(t->vq.num_free, ==, 8 - direct - 1);
        vdrv_publish(t->m, &t->vq);
        g_assert_cmpint(ring_test_pop(t), ==, 1);
        g_assert_cmpuint(t->chain.nseg, ==, 6);
        g_assert_cmpuint(t->chain.out, ==, 3);
        for (unsigned i = 0; i < 6; i++) {
            g_assert_cmphex(t->segs[i].addr, ==, seg[i].addr);
            g_assert_cmpuint(t->segs[i].len, ==, seg[i].len);
        }
        model_push(t->m, &t->dev, &(ModelUsed) { 15, t->chain.id, 1 }, 1);
        ring_test_expect(t, (uintptr_t)t, 15);
        ring_test_assert_idle(t);
    }
}

/* Arguments that would break a MUST are refused and change nothing */
static void test_refused(void)
{
    static const struct {
        uint64_t features;
        unsigned out, in, direct;
        bool table;
    } cases[] = {
        { VDRV_F_INDIRECT, 0, 0, 0, true },
        { VDRV_F_INDIRECT, 0, 0, 0, false },
        { VDRV_F_INDIRECT, 3, 2, 0, true },     /* longer than the queue */
        { VDRV_F_INDIRECT, 3, 2, 0, false },
        { VDRV_F_INDIRECT, 1, 1, 2, true },     /* nothing left for it */
        { 0, 1, 1, 0, true },                   /* not negotiated */
        { VDRV_F_PACKED | VDRV_F_INDIRECT, 1, 1, 1, true },
        { VDRV_F_PACKED, 1, 1, 0, true },
        { VDRV_F_PACKED, 3, 2, 0, false },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(RingTest) t = ring_test_new(cases[i].features, 4);
        VdrvSeg seg[8] = { { 0, 1 } };
        VdrvBuf buf = {
            .seg = seg, .out = cases[i].out, .in = cases[i].in,
            .direct = cases[i].direct,
        };
        VdrvQueue before = t->vq;

        if (cases[i].table) {
            buf.table = ring_test_table(t, 0);
        }
        g_assert_cmpint(vdrv_add(t->m, &t->vq, &buf), ==, VDRV_EINVAL);
        g_assert_cmpmem(&before, sizeof(before), &t->vq, sizeof(t->vq));
        vdrv_publish(t->m, &t->vq);
        g_assert_cmpint(ring_test_pop(t), ==, 0);
    }
}

int main(int argc, char **argv)
{
    gconstpointer split = GSIZE_TO_POINTER(0);
    gconstpointer packed = GSIZE_TO_POINTER(1);

    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/split/2.7.5.3/table", split, test_table);
    g_test_add_data_func("/packed/2.8.8/table", packed, test_table);
    g_test_add_data_func("/split/2.7.5.3/full-ring", split, test_full_ring);
    g_test_add_data_func("/packed/2.8.8/full-ring", packed, test_full_ring);
    g_test_add_func("/split/2.7.5.3/direct-then-table",
                    test_direct_then_table);
    g_test_add_func("/ring/2.7.5.3.1/refused", test_refused);
    return g_test_run();
}
