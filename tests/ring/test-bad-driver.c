/*
 * A driver that breaks the rules: the device model notices, every time
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The same cases are what a device under test is fed with, so the reference
 * has to get them right first.
 */
#include <string.h>
#include "ring-test.h"

#define N VIRTQ_DESC_F_NEXT
#define W VIRTQ_DESC_F_WRITE
#define I VIRTQ_DESC_F_INDIRECT

typedef struct Desc {
    uint16_t flags;
    uint16_t next;          /* split: next; packed: id */
    uint32_t len;
} Desc;

/* A ring of 4 with up to 5 descriptors, the fifth in the table at 3 */
typedef struct Case {
    const char *name;
    uint64_t features;
    Desc ring[4];
    Desc table[5];
    int result;
} Case;

static const Case split_cases[] = {
    { "one", 0, { { 0, 0, 1 } }, { { 0 } }, 1 },
    { "whole ring", 0, { { N, 1, 1 }, { N, 2, 1 }, { N, 3, 1 }, { W, 0, 1 } },
      { { 0 } }, 1 },
    { "loop on itself", 0, { { N, 0, 1 } }, { { 0 } }, MODEL_ELOOP },
    { "loop of two", 0, { { N, 1, 1 }, { N, 0, 1 } }, { { 0 } },
      MODEL_ELOOP },
    { "next beyond the table", 0, { { N, 4, 1 } }, { { 0 } }, MODEL_EHEAD },
    { "next far beyond", 0, { { N, 65535, 1 } }, { { 0 } }, MODEL_EHEAD },
    { "readable after writable", 0, { { N | W, 1, 1 }, { 0, 0, 1 } },
      { { 0 } }, MODEL_EORDER },
    { "indirect not negotiated", 0, { { I, 0, 16 } }, { { 0, 0, 1 } },
      MODEL_EFEATURE },
    { "table of one", VDRV_F_INDIRECT, { { I, 0, 16 } }, { { 0, 0, 1 } }, 1 },
    { "WRITE on a table is ignored", VDRV_F_INDIRECT, { { I | W, 0, 16 } },
      { { 0, 0, 1 } }, 1 },
    { "table of nothing", VDRV_F_INDIRECT, { { I, 0, 0 } }, { { 0 } },
      MODEL_ETABLE },
    { "table of 17 bytes", VDRV_F_INDIRECT, { { I, 0, 17 } }, { { 0 } },
      MODEL_ETABLE },
    { "table and NEXT", VDRV_F_INDIRECT, { { I | N, 1, 16 }, { 0, 0, 1 } },
      { { 0, 0, 1 } }, MODEL_ETABLE },
    { "table in a table", VDRV_F_INDIRECT, { { I, 0, 16 } }, { { I, 0, 16 } },
      MODEL_ETABLE },
    { "table loops", VDRV_F_INDIRECT, { { I, 0, 16 } }, { { N, 0, 1 } },
      MODEL_ELOOP },
    { "table next beyond", VDRV_F_INDIRECT, { { I, 0, 32 } }, { { N, 2, 1 } },
      MODEL_EHEAD },
    { "table longer than the queue", VDRV_F_INDIRECT, { { I, 0, 80 } },
      { { N, 1, 1 }, { N, 2, 1 }, { N, 3, 1 }, { N, 4, 1 }, { 0, 0, 1 } },
      MODEL_ELOOP },
    { "direct, then a table", VDRV_F_INDIRECT,
      { { N, 1, 1 }, { I, 0, 16 } }, { { W, 0, 1 } }, 1 },
};

static const Case packed_cases[] = {
    { "one", 0, { { 0, 0, 1 } }, { { 0 } }, 1 },
    { "whole ring", 0, { { N, 0, 1 }, { N, 0, 1 }, { N, 0, 1 }, { W, 0, 1 } },
      { { 0 } }, 1 },
    { "NEXT without end", 0, { { N, 0, 1 }, { N, 0, 1 }, { N, 0, 1 },
      { N, 0, 1 } }, { { 0 } }, MODEL_ELOOP },
    { "readable after writable", 0, { { N | W, 0, 1 }, { 0, 0, 1 } },
      { { 0 } }, MODEL_EORDER },
    { "indirect not negotiated", 0, { { I, 0, 16 } }, { { 0, 0, 1 } },
      MODEL_EFEATURE },
    { "table of one", VDRV_F_INDIRECT, { { I, 0, 16 } }, { { 0, 0, 1 } }, 1 },
    { "WRITE on a table is ignored", VDRV_F_INDIRECT, { { I | W, 0, 16 } },
      { { 0, 0, 1 } }, 1 },
    { "NEXT and INDIRECT inside are ignored", VDRV_F_INDIRECT,
      { { I, 0, 32 } }, { { N | I, 9, 1 }, { N | W, 9, 1 } }, 1 },
    { "table of nothing", VDRV_F_INDIRECT, { { I, 0, 0 } }, { { 0 } },
      MODEL_ETABLE },
    { "table of 17 bytes", VDRV_F_INDIRECT, { { I, 0, 17 } }, { { 0 } },
      MODEL_ETABLE },
    { "table and NEXT", VDRV_F_INDIRECT, { { I | N, 0, 16 }, { 0, 0, 1 } },
      { { 0, 0, 1 } }, MODEL_ETABLE },
    { "direct, then a table", VDRV_F_INDIRECT,
      { { N, 0, 1 }, { I, 0, 16 } }, { { W, 0, 1 } }, MODEL_ETABLE },
    { "table longer than the queue", VDRV_F_INDIRECT, { { I, 0, 80 } },
      { { 0, 0, 1 }, { 0, 0, 1 }, { 0, 0, 1 }, { 0, 0, 1 }, { 0, 0, 1 } },
      MODEL_ELOOP },
};

static void write_desc(RingTest *t, uint64_t at, const Desc *d,
                       uint16_t extra)
{
    bool indirect = d->flags & I;

    t->m->store64(t->mem, at, indirect ? ring_test_table(t, 0) : 0x1000);
    t->m->store32(t->mem, at + VIRTQ_DESC_LEN_OFS, d->len);
    if (t->vq.packed) {
        t->m->store16(t->mem, at + PVIRTQ_DESC_ID_OFS, d->next);
        t->m->store16(t->mem, at + PVIRTQ_DESC_FLAGS_OFS, d->flags | extra);
    } else {
        t->m->store16(t->mem, at + VIRTQ_DESC_NEXT_OFS, d->next);
        t->m->store16(t->mem, at + VIRTQ_DESC_FLAGS_OFS, d->flags);
    }
}

static void run_case(const Case *c, uint64_t layout)
{
    g_autoptr(RingTest) t = ring_test_new(layout | c->features, 4);
    int ret;

    for (unsigned i = 0; i < 4; i++) {
        write_desc(t, t->at.desc + i * VIRTQ_DESC_SIZE, &c->ring[i],
                   VIRTQ_DESC_F_AVAIL);
    }
    for (unsigned i = 0; i < 5; i++) {
        write_desc(t, ring_test_table(t, 0) + i * VIRTQ_DESC_SIZE,
                   &c->table[i], 0);
    }
    if (!layout) {
        t->m->store16(t->mem, t->at.driver + VIRTQ_RING_OFS, 0);
        t->m->store16(t->mem, t->at.driver + VIRTQ_IDX_OFS, 1);
    }
    ret = ring_test_pop(t);
    if (ret != c->result) {
        g_test_message("%s: %d instead of %d", c->name, ret, c->result);
        g_test_fail();
    }
    /* A refused chain leaves the device where it was */
    g_assert_cmpuint(t->dev.inuse == 0, ==, ret < 0);
    g_assert_cmpuint(t->dev.last_avail == 0 && t->dev.avail_wrap, ==,
                     ret < 0);
}

static void test_split(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(split_cases); i++) {
        run_case(&split_cases[i], 0);
    }
}

static void test_packed(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(packed_cases); i++) {
        run_case(&packed_cases[i], VDRV_F_PACKED);
    }
}

/* Heads beyond the table; more announced than fits */
static void test_split_avail(void)
{
    static const struct {
        uint16_t idx, head;
        int result;
    } cases[] = {
        { 0, 0, 0 }, { 1, 0, 1 }, { 4, 3, 1 }, { 5, 0, MODEL_EIDX },
        { 65535, 0, MODEL_EIDX }, { 1, 4, MODEL_EHEAD },
        { 1, 65535, MODEL_EHEAD },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(RingTest) t = ring_test_new(0, 4);

        memset(vdrv_direct_ptr(t->mem, t->at.desc), 0, 4 * VIRTQ_DESC_SIZE);
        t->m->store16(t->mem, t->at.driver + VIRTQ_RING_OFS, cases[i].head);
        t->m->store16(t->mem, t->at.driver + VIRTQ_IDX_OFS, cases[i].idx);
        g_assert_cmpint(ring_test_pop(t), ==, cases[i].result);
    }
}

/* Making buffers available that the device has not returned yet */
static void test_overfull(void)
{
    for (unsigned packed = 0; packed < 2; packed++) {
        g_autoptr(RingTest) t = ring_test_new(packed ? VDRV_F_PACKED : 0, 4);

        for (unsigned i = 0; i < 4; i++) {
            g_assert_cmpint(ring_test_add(t, 1, 0, 0, 1), ==, 0);
        }
        vdrv_publish(t->m, &t->vq);
        for (unsigned i = 0; i < 4; i++) {
            g_assert_cmpint(ring_test_pop(t), ==, 1);
        }
        if (packed) {
            t->m->store16(t->mem, t->at.desc + PVIRTQ_DESC_FLAGS_OFS,
                          VIRTQ_DESC_F_USED);
        } else {
            t->m->store16(t->mem, t->at.driver + VIRTQ_IDX_OFS, 5);
        }
        g_assert_cmpint(ring_test_pop(t), ==, MODEL_EFULL);
    }
}

/* 2.8: descriptors of the chain being popped count as in flight too */
static void test_packed_overfull_by_chain(void)
{
    g_autoptr(RingTest) t = ring_test_new(VDRV_F_PACKED, 4);

    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpint(ring_test_add(t, 1, 0, 0, 1), ==, 0);
    }
    g_assert_cmpint(ring_test_add(t, 1, 0, 0, 1), ==, 0);
    vdrv_publish(t->m, &t->vq);
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpint(ring_test_pop(t), ==, 1);
    }
    t->m->store16(t->mem, t->at.desc + 3 * VIRTQ_DESC_SIZE +
                  PVIRTQ_DESC_FLAGS_OFS, VIRTQ_DESC_F_AVAIL | N);
    g_assert_cmpint(ring_test_pop(t), ==, MODEL_EFULL);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/bad-driver/split/chains", test_split);
    g_test_add_func("/bad-driver/packed/chains", test_packed);
    g_test_add_func("/bad-driver/split/avail-ring", test_split_avail);
    g_test_add_func("/bad-driver/overfull", test_overfull);
    g_test_add_func("/bad-driver/packed/overfull-by-chain",
                    test_packed_overfull_by_chain);
    return g_test_run();
}
