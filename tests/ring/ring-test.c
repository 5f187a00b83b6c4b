/*
 * Fixture of the ring tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdlib.h>
#include <string.h>
#include "ring-test.h"

RingTest *ring_test_new(uint64_t features, uint16_t num)
{
    RingTest *t = g_new0(RingTest, 1);
    VdrvLayout packed = vdrv_layout(TEST_GPA, num, true, 64);
    VdrvLayout split = vdrv_layout(TEST_GPA, num, false, 64);
    uint64_t ring_end = MAX(packed.end, split.end);
    size_t size;

    t->m = &vdrv_mem_direct;
    t->tables = (ring_end + 63) & ~63ULL;
    size = t->tables - TEST_GPA +
           TEST_TABLES * TEST_MAX_SEG * VIRTQ_DESC_SIZE;
    t->ram = aligned_alloc(64, (size + 63) & ~(size_t)63);
    g_assert_nonnull(t->ram);
    t->mem = vdrv_direct_mem(t->ram, TEST_GPA);
    t->slots = g_new0(VdrvSlot, num);
    t->vq.num = num;
    ring_test_reset(t, features);
    return t;
}

void ring_test_free(RingTest *t)
{
    free(t->ram);
    g_free(t->slots);
    g_free(t);
}

void ring_test_reset(RingTest *t, uint64_t features)
{
    VdrvConfig cfg = {
        .mem = t->mem,
        .slots = t->slots,
        .features = features | VDRV_F_VERSION_1,
        .num = t->vq.num,
        .index = 3,
    };

    t->at = vdrv_layout(TEST_GPA, t->vq.num, features & VDRV_F_PACKED, 64);
    cfg.desc = t->at.desc;
    cfg.driver = t->at.driver;
    cfg.device = t->at.device;
    /* Leftovers of an earlier life must not matter: init clears what counts */
    memset(t->ram, 0xa5, t->tables - TEST_GPA);
    g_assert_cmpint(vdrv_init(t->m, &t->vq, &cfg), ==, VDRV_OK);
    model_init(&t->dev, t->mem, cfg.desc, cfg.driver, cfg.device,
               t->vq.num, cfg.features);
}

uint64_t ring_test_table(const RingTest *t, unsigned i)
{
    g_assert_cmpuint(i, <, TEST_TABLES);
    return t->tables + i * TEST_MAX_SEG * VIRTQ_DESC_SIZE;
}

int ring_test_add(RingTest *t, unsigned out, unsigned in, uint64_t table,
                  uintptr_t token)
{
    VdrvSeg seg[TEST_MAX_SEG];
    VdrvBuf buf = {
        .seg = seg,
        .out = out,
        .in = in,
        .table = table,
        .token = (void *)token,
    };

    g_assert_cmpuint(out + in, <=, TEST_MAX_SEG);
    for (unsigned i = 0; i < out + in; i++) {
        seg[i] = (VdrvSeg) { token * 0x10000 + i * 0x100, 16 };
    }
    return vdrv_add(t->m, &t->vq, &buf);
}

int ring_test_pop(RingTest *t)
{
    t->chain.seg = t->segs;
    t->chain.max = TEST_MAX_SEG;
    return model_pop(t->m, &t->dev, &t->chain);
}

void ring_test_serve(RingTest *t, uint32_t len)
{
    ModelUsed used;

    g_assert_cmpint(ring_test_pop(t), ==, 1);
    used = model_used(&t->chain, len);
    model_push(t->m, &t->dev, &used, 1);
}

void ring_test_expect(RingTest *t, uintptr_t token, uint32_t len)
{
    VdrvUsed used = { 0 };

    g_assert_cmpint(vdrv_get(t->m, &t->vq, &used), ==, 1);
    g_assert_cmphex((uintptr_t)used.token, ==, token);
    g_assert_cmpuint(used.len, ==, len);
}

void ring_test_assert_idle(const RingTest *t)
{
    g_assert_cmpuint(t->vq.num_free, ==, t->vq.num);
    g_assert_cmpuint(vdrv_outstanding(&t->vq), ==, 0);
    g_assert_cmpuint(t->dev.inuse, ==, 0);
    g_assert_cmpuint(t->dev.last_avail, ==, t->dev.used_idx);
    g_assert_cmpuint(t->vq.avail_idx, ==, t->dev.last_avail);
    g_assert_cmpuint(t->vq.used_idx, ==, t->dev.used_idx);
    if (t->vq.packed) {
        g_assert_cmpint(t->vq.avail_wrap, ==, t->dev.avail_wrap);
        g_assert_cmpint(t->vq.used_wrap, ==, t->dev.used_wrap);
        g_assert_cmpint(t->vq.used_wrap, ==, t->vq.avail_wrap);
    }
}

void ring_test_run(RingTest *t, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        g_assert_cmpint(ring_test_add(t, 0, 1, 0, i + 1), ==, VDRV_OK);
        vdrv_publish(t->m, &t->vq);
        vdrv_kick_needed(t->m, &t->vq);
        ring_test_serve(t, 16);
        model_should_notify(t->m, &t->dev);
        ring_test_expect(t, i + 1, 16);
    }
}
