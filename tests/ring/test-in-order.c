/*
 * IN_ORDER: ring order of ids, batches completed by one entry (2.7.9, 2.8.7)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ring-test.h"

typedef struct Layout {
    uint64_t features;
    unsigned min, max;
    bool power_of_two;
} Layout;

static const Layout split = { VDRV_F_IN_ORDER, 1, 4, true };
static const Layout packed = { VDRV_F_IN_ORDER | VDRV_F_PACKED, 1, 5, false };

static unsigned next_num(const Layout *l, unsigned num)
{
    return l->power_of_two ? num * 2 : num + 1;
}

/* Batches of each size from each position, up to the whole ring in flight */
static void test_batch(gconstpointer data)
{
    const Layout *l = data;

    for (unsigned num = l->min; num <= l->max; num = next_num(l, num)) {
        for (unsigned start = 0; start < 2 * num; start++) {
            for (unsigned n = 1; n <= num; n++) {
                g_autoptr(RingTest) t = ring_test_new(l->features, num);
                ModelUsed used[5];

                ring_test_run(t, start);
                for (unsigned i = 0; i < n; i++) {
                    g_assert_cmpint(ring_test_add(t, 0, 1, 0, i + 1), ==, 0);
                }
                vdrv_publish(t->m, &t->vq);
                for (unsigned i = 0; i < n; i++) {
                    g_assert_cmpint(ring_test_pop(t), ==, 1);
                    used[i] = model_used(&t->chain, i + 1 < n ? 16 : 3);
                }
                model_push_batch(t->m, &t->dev, used, n);
                for (unsigned i = 0; i < n; i++) {
                    g_assert_true(vdrv_more_used(t->m, &t->vq));
                    ring_test_expect(t, i + 1, i + 1 < n ? 16 : 3);
                }
                g_assert_false(vdrv_more_used(t->m, &t->vq));
                ring_test_assert_idle(t);
                ring_test_run(t, 2 * num);
                ring_test_assert_idle(t);
            }
        }
    }
}

/* Two batches of chains in flight, lengths 1 to 3, both layouts wrap */
static void test_chains(gconstpointer data)
{
    const Layout *l = data;
    g_autoptr(RingTest) t = ring_test_new(l->features, 16);
    unsigned token = 1, back = 1;

    for (unsigned round = 0; round < 100; round++) {
        ModelUsed used[5];
        VdrvUsed got = { 0 };

        for (unsigned i = 0; i < 5; i++, token++) {
            g_assert_cmpint(ring_test_add(t, token % 2, 1 + token % 2, 0,
                                          token), ==, 0);
        }
        vdrv_publish(t->m, &t->vq);
        for (unsigned i = 0; i < 5; i++) {
            g_assert_cmpint(ring_test_pop(t), ==, 1);
            used[i] = model_used(&t->chain, (uint32_t)t->chain.in_len);
        }
        model_push_batch(t->m, &t->dev, used, 2);
        model_push_batch(t->m, &t->dev, used + 2, 3);
        for (unsigned i = 0; i < 5; i++, back++) {
            g_assert_cmpint(vdrv_get(t->m, &t->vq, &got), ==, 1);
            g_assert_cmpuint((uintptr_t)got.token, ==, back);
            g_assert_cmpuint(got.len, ==, 16 * (1 + back % 2));
            g_assert_cmpint(got.skipped, ==, i != 1 && i != 4);
        }
    }
    ring_test_assert_idle(t);
}

/* 2.7.13: split heads are 0, 1, 2, ... round the table */
static void test_split_heads(void)
{
    g_autoptr(RingTest) t = ring_test_new(VDRV_F_IN_ORDER, 8);
    unsigned at = 0;

    for (unsigned round = 0; round < 40; round++) {
        unsigned n = 1 + round % 3;

        g_assert_cmpint(ring_test_add(t, n, 0, 0, 1), ==, 0);
        vdrv_publish(t->m, &t->vq);
        g_assert_cmpint(ring_test_pop(t), ==, 1);
        g_assert_cmpuint(t->chain.id, ==, at % 8);
        model_push(t->m, &t->dev, &(ModelUsed) { 0, t->chain.id, 1 }, 1);
        ring_test_expect(t, 1, 0);
        at += n;
    }
}

/* A batch may not cover more than the index says (split) */
static void test_batch_beyond_index(void)
{
    g_autoptr(RingTest) t = ring_test_new(VDRV_F_IN_ORDER, 4);
    VdrvUsed used = { 0 };

    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpint(ring_test_add(t, 1, 0, 0, i + 1), ==, 0);
    }
    vdrv_publish(t->m, &t->vq);
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpint(ring_test_pop(t), ==, 1);
    }
    /* The entry names the third buffer, the index counts two */
    model_push(t->m, &t->dev,
               (ModelUsed[]) { { 0, 2, 1 }, { 0, 0, 1 } }, 2);
    g_assert_cmpint(vdrv_get(t->m, &t->vq, &used), ==, VDRV_EBADIDX);
    g_assert_cmpint(vdrv_get(t->m, &t->vq, &used), ==, VDRV_EBROKEN);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/split/2.7.9/batch", &split, test_batch);
    g_test_add_data_func("/packed/2.8.7/batch", &packed, test_batch);
    g_test_add_data_func("/split/2.7.9/chains", &split, test_chains);
    g_test_add_data_func("/packed/2.8.7/chains", &packed, test_chains);
    g_test_add_func("/split/2.7.13/heads", test_split_heads);
    g_test_add_func("/split/2.7.9/batch-beyond-index",
                    test_batch_beyond_index);
    return g_test_run();
}
