/*
 * A device that breaks the rules: the driver library notices, every time
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>
#include "ring-test.h"

/* Write a used entry by hand, as no sane device would */
static void forge(RingTest *t, uint32_t id, uint32_t len)
{
    if (t->vq.packed) {
        uint64_t at = t->at.desc + VIRTQ_DESC_SIZE * t->vq.used_idx;
        uint16_t flags = t->vq.used_wrap ?
                         VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED : 0;

        t->m->store32(t->mem, at + VIRTQ_DESC_LEN_OFS, len);
        t->m->store16(t->mem, at + PVIRTQ_DESC_ID_OFS, id);
        t->m->store16(t->mem, at + PVIRTQ_DESC_FLAGS_OFS,
                      flags | VIRTQ_DESC_F_WRITE);
    } else {
        uint64_t at = t->at.device + VIRTQ_RING_OFS +
                      VIRTQ_USED_ELEM_SIZE * (t->vq.used_idx % t->vq.num);

        t->m->store32(t->mem, at, id);
        t->m->store32(t->mem, at + 4, len);
        t->m->store16(t->mem, t->at.device + VIRTQ_IDX_OFS,
                      t->vq.used_idx + 1);
    }
}

/* Two buffers out (ids 0 and 1), a third added but not published (id 2) */
static RingTest *three_buffers(uint64_t features)
{
    RingTest *t = ring_test_new(features, 4);

    g_assert_cmpint(ring_test_add(t, 0, 1, 0, 10), ==, 0);
    g_assert_cmpint(ring_test_add(t, 0, 1, 0, 11), ==, 0);
    vdrv_publish(t->m, &t->vq);
    g_assert_cmpint(ring_test_add(t, 0, 1, 0, 12), ==, 0);
    return t;
}

static const uint64_t all_features[] = {
    0, VDRV_F_PACKED, VDRV_F_IN_ORDER, VDRV_F_PACKED | VDRV_F_IN_ORDER,
};

static void test_forged_used(void)
{
    static const struct {
        uint32_t id, len;
        int result;
    } cases[] = {
        { 0, 16, 1 },
        { 0, 0, 1 },
        { 0, 17, VDRV_EBADLEN },
        { 0, UINT32_MAX, VDRV_EBADLEN },
        { 2, 0, VDRV_ENOTOUT },         /* written, not yet published */
        { 3, 0, VDRV_ENOTOUT },         /* never used */
        { 4, 0, VDRV_EBADID },
        { 0xffff, 0, VDRV_EBADID },
    };

    for (unsigned f = 0; f < G_N_ELEMENTS(all_features); f++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
            g_autoptr(RingTest) t = three_buffers(all_features[f]);
            VdrvUsed used = { 0 };

            forge(t, cases[i].id, cases[i].len);
            g_assert_cmpint(vdrv_get(t->m, &t->vq, &used), ==,
                            cases[i].result);
            if (cases[i].result > 0) {
                continue;
            }
            /* Broken for good: no verb goes on as if nothing had been */
            g_assert_cmpint(vdrv_get(t->m, &t->vq, &used), ==, VDRV_EBROKEN);
            g_assert_cmpint(ring_test_add(t, 1, 0, 0, 1), ==, VDRV_EBROKEN);
            g_assert_cmpint(t->vq.broken, ==, cases[i].result);
        }
    }
}

/* Split ids are 32 bits on the wire: none may be cut to 16 */
static void test_split_wide_id(void)
{
    g_autoptr(RingTest) t = three_buffers(0);
    VdrvUsed used = { 0 };

    forge(t, 0x10000, 0);
    g_assert_cmpint(vdrv_get(t->m, &t->vq, &used), ==, VDRV_EBADID);
}

static void test_returned_twice(void)
{
    for (unsigned f = 0; f < G_N_ELEMENTS(all_features); f++) {
        g_autoptr(RingTest) t = three_buffers(all_features[f]);
        VdrvUsed used = { 0 };

        forge(t, 0, 0);
        g_assert_cmpint(vdrv_get(t->m, &t->vq, &used), ==, 1);
        forge(t, 0, 0);
        g_assert_cmpint(vdrv_get(t->m, &t->vq, &used), ==, VDRV_ENOTOUT);
    }
}

/* The body of a split chain is not a head */
static void test_split_middle_of_chain(void)
{
    g_autoptr(RingTest) t = ring_test_new(0, 4);
    VdrvUsed used = { 0 };

    g_assert_cmpint(ring_test_add(t, 2, 1, 0, 1), ==, 0);
    vdrv_publish(t->m, &t->vq);
    forge(t, 1, 0);
    g_assert_cmpint(vdrv_get(t->m, &t->vq, &used), ==, VDRV_ENOTOUT);
}

/* Any used index but the next few */
static void test_split_index_jump(void)
{
    for (unsigned idx = 0; idx < 65536; idx++) {
        g_autoptr(RingTest) t = idx % 4096 == 0 || idx < 8 || idx > 65530 ?
                                three_buffers(0) : NULL;
        VdrvUsed used = { 0 };
        int want = idx == 0 ? 0 : idx <= 2 ? 1 : VDRV_EBADIDX;

        if (!t) {
            continue;
        }
        t->m->store64(t->mem, t->at.device + VIRTQ_RING_OFS + 4, 0);
        t->m->store32(t->mem, t->at.device + VIRTQ_RING_OFS, 0);
        t->m->store16(t->mem, t->at.device + VIRTQ_IDX_OFS, idx);
        g_assert_cmpint(vdrv_get(t->m, &t->vq, &used), ==, want);
    }
}

/* The device scribbles over the driver's table: the books hold */
static void test_split_scribble(void)
{
    g_autoptr(RingTest) t = ring_test_new(0, 8);

    for (unsigned round = 0; round < 64; round++) {
        g_assert_cmpint(ring_test_add(t, 2, 2, 0, 1), ==, 0);
        g_assert_cmpint(ring_test_add(t, 1, 1, 0, 2), ==, 0);
        vdrv_publish(t->m, &t->vq);
        ring_test_serve(t, 1);
        ring_test_serve(t, 2);
        memset(vdrv_direct_ptr(t->mem, t->at.desc), round * 37,
               8 * VIRTQ_DESC_SIZE);
        ring_test_expect(t, 1, 1);
        ring_test_expect(t, 2, 2);
        ring_test_assert_idle(t);
    }
}

/* Writable lengths beyond 2^32 saturate; any len is then in bounds */
static void test_length_saturates(void)
{
    for (unsigned f = 0; f < G_N_ELEMENTS(all_features); f++) {
        g_autoptr(RingTest) t = ring_test_new(all_features[f], 4);
        VdrvSeg seg[2] = { { 0, UINT32_MAX }, { 0, UINT32_MAX } };
        VdrvBuf buf = { .seg = seg, .in = 2, .token = t };
        VdrvUsed used = { 0 };

        g_assert_cmpint(vdrv_add(t->m, &t->vq, &buf), ==, 0);
        vdrv_publish(t->m, &t->vq);
        forge(t, 0, UINT32_MAX);
        g_assert_cmpint(vdrv_get(t->m, &t->vq, &used), ==, 1);
        g_assert_cmpuint(used.len, ==, UINT32_MAX);
    }
}

static void test_words(void)
{
    for (int err = VDRV_EBROKEN; err <= VDRV_OK; err++) {
        g_assert_cmpstr(vdrv_strerror(err), !=, vdrv_strerror(-99));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/bad-device/forged-used", test_forged_used);
    g_test_add_func("/bad-device/split/wide-id", test_split_wide_id);
    g_test_add_func("/bad-device/returned-twice", test_returned_twice);
    g_test_add_func("/bad-device/split/middle-of-chain",
                    test_split_middle_of_chain);
    g_test_add_func("/bad-device/split/index-jump", test_split_index_jump);
    g_test_add_func("/bad-device/split/scribble", test_split_scribble);
    g_test_add_func("/bad-device/length-saturates", test_length_saturates);
    g_test_add_func("/bad-device/words", test_words);
    return g_test_run();
}
