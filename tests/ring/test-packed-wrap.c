/*
 * Packed ring: wrap counters and chains at the end of the ring (2.8.1)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "ring-test.h"

#define F VDRV_F_PACKED

static uint16_t flags_at(RingTest *t, unsigned pos)
{
    return t->m->load16(t->mem, t->at.desc + VIRTQ_DESC_SIZE * pos +
                        PVIRTQ_DESC_FLAGS_OFS);
}

/* Counters start at 1; reset memory is neither available nor used */
static void test_start(void)
{
    for (unsigned num = 1; num <= 5; num++) {
        g_autoptr(RingTest) t = ring_test_new(F, num);
        VdrvUsed used = { 0 };

        g_assert_cmpint(ring_test_pop(t), ==, 0);
        g_assert_cmpint(vdrv_get(t->m, &t->vq, &used), ==, 0);
        g_assert_cmpint(vdrv_more_used(t->m, &t->vq), ==, false);
        g_assert_true(t->vq.avail_wrap);
        g_assert_true(t->vq.used_wrap);
    }
}

/* The flag bits of each lap, read back from memory */
static void test_flag_bits(void)
{
    g_autoptr(RingTest) t = ring_test_new(F, 3);

    for (unsigned lap = 0; lap < 4; lap++) {
        bool wrap = lap % 2 == 0;

        for (unsigned pos = 0; pos < 3; pos++) {
            uint16_t f;

            g_assert_cmpint(ring_test_add(t, 1, 0, 0, 1), ==, 0);
            vdrv_publish(t->m, &t->vq);
            f = flags_at(t, pos);
            g_assert_cmpint(!!(f & VIRTQ_DESC_F_AVAIL), ==, wrap);
            g_assert_cmpint(!!(f & VIRTQ_DESC_F_USED), ==, !wrap);
            ring_test_serve(t, 0);
            f = flags_at(t, pos);
            g_assert_cmpint(!!(f & VIRTQ_DESC_F_AVAIL), ==, wrap);
            g_assert_cmpint(!!(f & VIRTQ_DESC_F_USED), ==, wrap);
            ring_test_expect(t, 1, 0);
        }
    }
}

/* Every chain length from every position of every small ring, both laps */
static void test_chain_everywhere(void)
{
    for (unsigned num = 1; num <= 5; num++) {
        for (unsigned start = 0; start < 2 * num; start++) {
            for (unsigned n = 1; n <= num; n++) {
                g_autoptr(RingTest) t = ring_test_new(F, num);
                unsigned end = (start + n) % (2 * num);

                ring_test_run(t, start);
                g_assert_cmpint(ring_test_add(t, n - 1, 1, 0, 9), ==, 0);
                vdrv_publish(t->m, &t->vq);
                g_assert_cmpint(ring_test_pop(t), ==, 1);
                g_assert_cmpuint(t->chain.ndesc, ==, n);
                g_assert_cmpuint(t->chain.out, ==, n - 1);
                g_assert_cmpuint(t->chain.in_len, ==, 16);
                for (unsigned i = 0; i < n; i++) {
                    g_assert_cmphex(t->segs[i].addr, ==,
                                    0x90000 + i * 0x100);
                }
                model_push(t->m, &t->dev,
                           &(ModelUsed) { 7, t->chain.id, n }, 1);
                ring_test_expect(t, 9, 7);
                ring_test_assert_idle(t);
                g_assert_cmpuint(t->vq.avail_idx, ==, end % num);
                g_assert_cmpint(t->vq.avail_wrap, ==, end < num);
            }
        }
    }
}

/* A batch whose first descriptor is the ring's last: shown by that alone */
static void test_batch_over_the_end(void)
{
    for (unsigned num = 2; num <= 5; num++) {
        for (unsigned start = 0; start < 2 * num; start++) {
            g_autoptr(RingTest) t = ring_test_new(F, num);

            ring_test_run(t, start);
            for (unsigned i = 0; i < num; i++) {
                g_assert_cmpint(ring_test_add(t, 1, 0, 0, i + 1), ==, 0);
                g_assert_cmpint(ring_test_pop(t), ==, 0);
            }
            g_assert_cmpint(ring_test_add(t, 1, 0, 0, 99), ==, VDRV_ENOSPC);
            vdrv_publish(t->m, &t->vq);
            for (unsigned i = 0; i < num; i++) {
                ring_test_serve(t, 0);
            }
            g_assert_cmpint(ring_test_pop(t), ==, 0);
            for (unsigned i = 0; i < num; i++) {
                ring_test_expect(t, i + 1, 0);
            }
            ring_test_assert_idle(t);
        }
    }
}

/* Completion in any order lands at consecutive used positions */
static void test_out_of_order(void)
{
    static const unsigned order[6][3] = {
        { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
        { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 },
    };

    for (unsigned start = 0; start < 10; start++) {
        for (unsigned o = 0; o < 6; o++) {
            g_autoptr(RingTest) t = ring_test_new(F, 5);
            ModelUsed used[3];

            ring_test_run(t, start);
            g_assert_cmpint(ring_test_add(t, 1, 1, 0, 1), ==, 0);
            g_assert_cmpint(ring_test_add(t, 0, 1, 0, 2), ==, 0);
            g_assert_cmpint(ring_test_add(t, 1, 1, 0, 3), ==, 0);
            vdrv_publish(t->m, &t->vq);
            for (unsigned i = 0; i < 3; i++) {
                g_assert_cmpint(ring_test_pop(t), ==, 1);
                used[i] = model_used(&t->chain, i + 1);
            }
            for (unsigned i = 0; i < 3; i++) {
                model_push(t->m, &t->dev, &used[order[o][i]], 1);
                ring_test_expect(t, order[o][i] + 1, order[o][i] + 1);
            }
            ring_test_assert_idle(t);
        }
    }
}

/* 2.8.4: len counts only where the device set WRITE, unless asked for */
static void test_len_without_write(void)
{
    for (unsigned quirk = 0; quirk < 2; quirk++) {
        g_autoptr(RingTest) t = ring_test_new(F, 4);
        VdrvUsed used = { 0 };

        t->vq.quirks = quirk ? VDRV_QUIRK_USED_LEN : 0;
        g_assert_cmpint(ring_test_add(t, 0, 1, 0, 1), ==, 0);
        vdrv_publish(t->m, &t->vq);
        ring_test_serve(t, 16);
        t->m->store16(t->mem, t->at.desc + PVIRTQ_DESC_FLAGS_OFS,
                      VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED);
        g_assert_cmpint(vdrv_get(t->m, &t->vq, &used), ==, 1);
        g_assert_false(used.wrote);
        g_assert_cmpuint(used.len, ==, quirk ? 16 : 0);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/packed/2.8.1/start", test_start);
    g_test_add_func("/packed/2.8.1/flag-bits", test_flag_bits);
    g_test_add_func("/packed/2.8.1/chain-everywhere", test_chain_everywhere);
    g_test_add_func("/packed/2.8.6/batch-over-the-end",
                    test_batch_over_the_end);
    g_test_add_func("/packed/2.8.3/out-of-order", test_out_of_order);
    g_test_add_func("/packed/2.8.4/len-without-write",
                    test_len_without_write);
    return g_test_run();
}
