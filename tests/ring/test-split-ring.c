/*
 * Split ring: descriptor table, index wrap, publishing (2.7.5 to 2.7.8)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ring-test.h"

/* Every chain length on every small ring, table filled in every state */
static void test_chain_everywhere(void)
{
    for (unsigned num = 1; num <= 4; num *= 2) {
        for (unsigned start = 0; start < 2 * num; start++) {
            for (unsigned n = 1; n <= num; n++) {
                g_autoptr(RingTest) t = ring_test_new(0, num);

                ring_test_run(t, start);
                g_assert_cmpint(ring_test_add(t, n - 1, 1, 0, 9), ==, 0);
                vdrv_publish(t->m, &t->vq);
                g_assert_cmpint(ring_test_pop(t), ==, 1);
                g_assert_cmpuint(t->chain.nseg, ==, n);
                g_assert_cmpuint(t->chain.out, ==, n - 1);
                for (unsigned i = 0; i < n; i++) {
                    g_assert_cmphex(t->segs[i].addr, ==,
                                    0x90000 + i * 0x100);
                    g_assert_cmpuint(t->segs[i].len, ==, 16);
                }
                model_push(t->m, &t->dev,
                           &(ModelUsed) { 5, t->chain.id, 1 }, 1);
                ring_test_expect(t, 9, 5);
                ring_test_assert_idle(t);
            }
        }
    }
}

/* Entries are invisible until the index says so (2.7.13.3) */
static void test_publish_last(void)
{
    g_autoptr(RingTest) t = ring_test_new(0, 4);

    for (unsigned i = 0; i < 4; i++) {
        g_assert_cmpint(ring_test_add(t, 1, 0, 0, i + 1), ==, 0);
        g_assert_cmpint(ring_test_pop(t), ==, 0);
    }
    g_assert_cmpint(ring_test_add(t, 1, 0, 0, 9), ==, VDRV_ENOSPC);
    vdrv_publish(t->m, &t->vq);
    for (unsigned i = 0; i < 4; i++) {
        ring_test_serve(t, 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        ring_test_expect(t, i + 1, 0);
    }
    ring_test_assert_idle(t);
}

/* Both indexes run through 2^16 */
static void test_index_wrap(void)
{
    g_autoptr(RingTest) t = ring_test_new(0, 4);

    ring_test_run(t, 65534);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 4; i++) {
            g_assert_cmpint(ring_test_add(t, 0, 1, 0, i + 1), ==, 0);
        }
        vdrv_publish(t->m, &t->vq);
        for (unsigned i = 0; i < 4; i++) {
            ring_test_serve(t, i);
        }
        for (unsigned i = 0; i < 4; i++) {
            ring_test_expect(t, i + 1, i);
        }
    }
    g_assert_cmpuint(t->vq.avail_idx, ==, 10);
    ring_test_assert_idle(t);
}

/* Freed chains give back all their descriptors, whatever the order */
static void test_out_of_order(void)
{
    g_autoptr(RingTest) t = ring_test_new(0, 8);
    ModelUsed used[3];

    for (unsigned round = 0; round < 50; round++) {
        g_assert_cmpint(ring_test_add(t, 2, 1, 0, 1), ==, 0);
        g_assert_cmpint(ring_test_add(t, 0, 1, 0, 2), ==, 0);
        g_assert_cmpint(ring_test_add(t, 1, 3, 0, 3), ==, 0);
        g_assert_cmpint(ring_test_add(t, 1, 0, 0, 4), ==, VDRV_ENOSPC);
        vdrv_publish(t->m, &t->vq);
        for (unsigned i = 0; i < 3; i++) {
            g_assert_cmpint(ring_test_pop(t), ==, 1);
            used[i] = model_used(&t->chain, 0);
        }
        for (unsigned i = 0; i < 3; i++) {
            model_push(t->m, &t->dev, &used[(round + i) % 3], 1);
            ring_test_expect(t, (round + i) % 3 + 1, 0);
        }
        ring_test_assert_idle(t);
    }
}

/* Sizes and alignments that the standard forbids (2.7, 2.7.5) */
static void test_bad_config(void)
{
    static const struct {
        uint64_t features;
        uint16_t num;
        uint64_t desc, driver, device;
        int result;
    } cases[] = {
        { 0, 0, 0, 0, 0, VDRV_EINVAL },
        { 0, 3, 0, 0, 0, VDRV_EINVAL },
        { 0, 32769, 0, 0, 0, VDRV_EINVAL },
        { 0, 4, 8, 0x400, 0x800, VDRV_EINVAL },
        { 0, 4, 0, 0x401, 0x800, VDRV_EINVAL },
        { 0, 4, 0, 0x400, 0x802, VDRV_EINVAL },
        { 0, 4, 0, 0x402, 0x804, VDRV_OK },
        { VDRV_F_PACKED, 0, 0, 0, 0, VDRV_EINVAL },
        { VDRV_F_PACKED, 3, 0, 0x402, 0x800, VDRV_EINVAL },
        { VDRV_F_PACKED, 3, 0, 0x400, 0x802, VDRV_EINVAL },
        { VDRV_F_PACKED, 3, 0, 0x404, 0x804, VDRV_OK },
    };
    uint64_t ram[512] = { 0 };
    VdrvSlot slots[4];

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        VdrvQueue vq;
        VdrvConfig cfg = {
            .mem = vdrv_direct_mem(ram, TEST_GPA),
            .slots = slots,
            .features = cases[i].features,
            .num = cases[i].num,
            .desc = TEST_GPA + cases[i].desc,
            .driver = TEST_GPA + cases[i].driver,
            .device = TEST_GPA + cases[i].device,
        };

        g_assert_cmpint(vdrv_init(&vdrv_mem_direct, &vq, &cfg), ==,
                        cases[i].result);
    }
}

/* After a device reset every buffer not returned comes back once */
static void test_detach(void)
{
    for (unsigned packed = 0; packed < 2; packed++) {
        g_autoptr(RingTest) t = ring_test_new(packed ? VDRV_F_PACKED : 0, 8);
        unsigned seen = 0;
        VdrvUsed used = { 0 };
        void *token;

        for (unsigned i = 1; i <= 4; i++) {
            g_assert_cmpint(ring_test_add(t, 1, i % 2, 0, i), ==, 0);
        }
        vdrv_publish(t->m, &t->vq);
        ring_test_serve(t, 0);
        ring_test_expect(t, 1, 0);
        while (vdrv_detach(&t->vq, &token)) {
            g_assert_cmpuint(seen & 1u << (uintptr_t)token, ==, 0);
            seen |= 1u << (uintptr_t)token;
        }
        g_assert_cmphex(seen, ==, 0x1c);
        g_assert_cmpint(vdrv_get(t->m, &t->vq, &used), ==, VDRV_EBROKEN);
        ring_test_reset(t, packed ? VDRV_F_PACKED : 0);
        ring_test_run(t, 20);
        ring_test_assert_idle(t);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/split/2.7.5/chain-everywhere", test_chain_everywhere);
    g_test_add_func("/split/2.7.13.3/publish-last", test_publish_last);
    g_test_add_func("/split/2.7.6/index-wrap", test_index_wrap);
    g_test_add_func("/split/2.7.8/out-of-order", test_out_of_order);
    g_test_add_func("/ring/2.7/bad-config", test_bad_config);
    g_test_add_func("/ring/2.6.1/detach", test_detach);
    return g_test_run();
}
