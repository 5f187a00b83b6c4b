/*
 * A driver that breaks the rules: noticed, reported, and no harm is done
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "rig.h"

#define N VIRTQ_DESC_F_NEXT
#define W VIRTQ_DESC_F_WRITE
#define I VIRTQ_DESC_F_INDIRECT
#define A VIRTQ_DESC_F_AVAIL
#define P VDRV_F_PACKED
#define F VDRV_F_INDIRECT

#define GOOD VRING_CHAIN
#define BAD VRING_BROKEN

typedef struct Desc {
    uint16_t flags;
    uint16_t next;          /* split: next; packed: id */
    uint32_t len;
    uint64_t addr;          /* 0: table or data, as flags say */
} Desc;

typedef struct Case {
    const char *name;
    uint64_t features;
    Desc ring[4];
    Desc table[5];
    VirtRingResult result;
} Case;

static const Case split_cases[] = {
    { "2.7.5/one", 0, { { 0, 0, 1 } }, { { 0 } }, GOOD },
    { "2.7.5/whole-ring", 0,
      { { N, 1, 1 }, { N, 2, 1 }, { N, 3, 1 }, { W, 0, 1 } }, { { 0 } },
      GOOD },
    { "2.7.5.2/loop-of-one", 0, { { N, 0, 1 } }, { { 0 } }, BAD },
    { "2.7.5.2/loop-of-two", 0, { { N, 1, 1 }, { N, 0, 1 } }, { { 0 } },
      BAD },
    { "2.7.5.2/loop-at-end", 0,
      { { N, 1, 1 }, { N, 2, 1 }, { N, 3, 1 }, { N, 3, 1 } }, { { 0 } },
      BAD },
    { "2.7.5/next-beyond", 0, { { N, 4, 1 } }, { { 0 } }, BAD },
    { "2.7.5/next-far-beyond", 0, { { N, 65535, 1 } }, { { 0 } }, BAD },
    { "2.7.4.2/readable-after-writable", 0, { { N | W, 1, 1 }, { 0, 0, 1 } },
      { { 0 } }, BAD },
    { "2.7.13.1/no-bytes", 0, { { 0, 0, 0 } }, { { 0 } }, BAD },
    { "2.7.5/address-wraps", 0, { { 0, 0, 2, ~0ULL } }, { { 0 } }, BAD },
    { "2.7.5/address-nowhere", 0, { { 0, 0, 2, 1ULL << 60 } }, { { 0 } },
      BAD },
    { "2.7.5.3.1/not-negotiated", 0, { { I, 0, 16 } }, { { 0, 0, 1 } }, BAD },
    { "2.7.5.3/table-of-one", F, { { I, 0, 16 } }, { { 0, 0, 1 } }, GOOD },
    { "2.7.5.3.2/table-and-write", F, { { I | W, 0, 16 } }, { { 0, 0, 1 } },
      GOOD },
    { "2.7.5.3/table-of-nothing", F, { { I, 0, 0 } }, { { 0 } }, BAD },
    { "2.7.5.3/table-of-15", F, { { I, 0, 15 } }, { { 0, 0, 1 } }, BAD },
    { "2.7.5.3/table-of-17", F, { { I, 0, 17 } }, { { 0, 0, 1 } }, BAD },
    { "2.7.5.3/table-of-4G", F, { { I, 0, ~15u } }, { { N, 0, 1 } }, BAD },
    { "2.7.5.3.1/table-and-next", F, { { I | N, 1, 16 }, { 0, 0, 1 } },
      { { 0, 0, 1 } }, BAD },
    { "2.7.5.3.1/table-in-table", F, { { I, 0, 16 } }, { { I, 0, 16 } },
      BAD },
    { "2.7.5.3/table-loops", F, { { I, 0, 16 } }, { { N, 0, 1 } }, BAD },
    { "2.7.5.3/table-loops-on", F, { { I, 0, 32 } },
      { { N, 1, 1 }, { N, 0, 1 } }, BAD },
    { "2.7.5.3/table-next-beyond", F, { { I, 0, 32 } }, { { N, 2, 1 } },
      BAD },
    { "2.7.5.3/table-next-left-on", F, { { I, 0, 32 } },
      { { N, 1, 1 }, { N, 2, 1 } }, BAD },
    { "2.7.5.3/table-address-wraps", F, { { I, 0, 32, ~15ULL } }, { { 0 } },
      BAD },
    { "2.7.5.3/table-nowhere", F, { { I, 0, 32, 1ULL << 60 } }, { { 0 } },
      BAD },
    { "2.7.4.2/readable-in-table-after-writable", F,
      { { N | W, 1, 1 }, { I, 0, 16 } }, { { 0, 0, 1 } }, BAD },
    { "2.7.5.3.2/direct-then-table", F, { { N, 1, 1 }, { I, 0, 16 } },
      { { W, 0, 1 } }, GOOD },
    { "2.7.5/reserved-flags", 0, { { 0xfff8, 0, 1 } }, { { 0 } }, GOOD },
};

static const Case packed_cases[] = {
    { "2.8.5/one", 0, { { 0, 0, 1 } }, { { 0 } }, GOOD },
    { "2.8.17/whole-ring", 0,
      { { N, 0, 1 }, { N, 0, 1 }, { N, 0, 1 }, { W, 0, 1 } }, { { 0 } },
      GOOD },
    { "2.8.17/B3/no-end", 0,
      { { N, 0, 1 }, { N, 0, 1 }, { N, 0, 1 }, { N, 0, 1 } }, { { 0 } },
      BAD },
    { "2.8.17/readable-after-writable", 0, { { N | W, 0, 1 }, { 0, 0, 1 } },
      { { 0 } }, BAD },
    { "2.8.5/no-bytes", 0, { { 0, 0, 0 } }, { { 0 } }, BAD },
    { "2.8.13/address-wraps", 0, { { 0, 0, 2, ~0ULL } }, { { 0 } }, BAD },
    { "2.8.13/address-nowhere", 0, { { 0, 0, 2, 1ULL << 60 } }, { { 0 } },
      BAD },
    { "2.8.13/any-id", 0, { { 0, 65535, 1 } }, { { 0 } }, GOOD },
    { "2.8.19/not-negotiated", 0, { { I, 0, 16 } }, { { 0, 0, 1 } }, BAD },
    { "2.8.7/table-of-one", F, { { I, 0, 16 } }, { { 0, 0, 1 } }, GOOD },
    { "2.8.7/table-and-write", F, { { I | W, 0, 16 } }, { { 0, 0, 1 } },
      GOOD },
    { "2.8.7/table-flags-ignored", F, { { I, 0, 32 } },
      { { N | I, 9, 1 }, { N | W, 9, 1 } }, GOOD },
    { "2.8.7/table-of-nothing", F, { { I, 0, 0 } }, { { 0 } }, BAD },
    { "2.8.7/table-of-15", F, { { I, 0, 15 } }, { { 0, 0, 1 } }, BAD },
    { "2.8.7/table-of-17", F, { { I, 0, 17 } }, { { 0, 0, 1 } }, BAD },
    { "2.8.7/table-of-4G", F, { { I, 0, ~15u } },
      { { 0, 0, 1 }, { 0, 0, 1 }, { 0, 0, 1 }, { 0, 0, 1 }, { 0, 0, 1 } },
      BAD },
    { "2.8.7/table-entry-of-nothing", F, { { I, 0, 32 } },
      { { 0, 0, 1 }, { 0, 0, 0 } }, BAD },
    { "2.8.7/table-address-wraps", F, { { I, 0, 32, ~15ULL } }, { { 0 } },
      BAD },
    { "2.8.7/table-nowhere", F, { { I, 0, 32, 1ULL << 60 } }, { { 0 } },
      BAD },
    { "2.8.19/table-and-next", F, { { I | N, 0, 16 }, { 0, 0, 1 } },
      { { 0, 0, 1 } }, BAD },
    { "2.8.19/direct-then-table", F, { { N, 0, 1 }, { I, 0, 16 } },
      { { W, 0, 1 } }, BAD },
};

static void write_desc(Rig *r, uint64_t at, const Desc *d, uint16_t extra)
{
    uint64_t addr = d->addr ? d->addr : d->flags & I ? rig_table(r, 0) :
                    RIG_DATA;

    rig_desc(r, at, addr, d->len, d->flags | extra, d->next);
}

static void write_case(Rig *r, const Case *c)
{
    uint16_t head = 0;

    for (unsigned i = 0; i < 4; i++) {
        write_desc(r, RIG_AT(RIG_DESC, i * 16), &c->ring[i],
                   rig_packed(r) ? A : 0);
    }
    for (unsigned i = 0; i < 5; i++) {
        write_desc(r, rig_table(r, 0) + i * 16, &c->table[i], 0);
    }
    if (!rig_packed(r)) {
        rig_list(r, &head, 1);
    }
}

static bool same_state(const VirtRingPos *a, const VirtRingPos *b)
{
    return a->last_avail_idx == b->last_avail_idx &&
           a->last_avail_wrap_counter == b->last_avail_wrap_counter &&
           a->used_idx == b->used_idx &&
           a->used_wrap_counter == b->used_wrap_counter &&
           a->signalled_used == b->signalled_used &&
           a->signalled_used_valid == b->signalled_used_valid &&
           a->notification == b->notification && a->inuse == b->inuse;
}

/* Fetch ends as it should, again and again; avail_bytes agrees */
static void run_case(const Case *c, uint64_t features)
{
    g_autoptr(Rig) r = rig_new(features | c->features, 4);
    VirtRingPos before = r->pos;
    uint64_t in, out;
    bool mapped;

    write_case(r, c);
    r->limit = r->touches + 20000;
    /* Only mapping knows of addresses */
    mapped = strstr(c->name, "/address-") != NULL;
    g_assert_cmpint(rig_avail_bytes(r, &in, &out, 0, 0), ==,
                    c->result == GOOD || mapped);
    g_assert_true(same_state(&before, &r->pos));
    for (unsigned i = 0; i < 3; i++) {
        r->ring.error = NULL;
        g_assert_false(rig_empty(r));
        g_assert_cmpint(rig_fetch(r), ==, c->result);
        if (c->result == GOOD) {
            break;
        }
        /* It latches: nothing moves, and the reason is known */
        g_assert_nonnull(r->ring.error);
        g_assert_true(same_state(&before, &r->pos));
    }
    rig_should_notify(r);
    rig_set_notification(r, false);
    rig_set_notification(r, true);
}

static void test_split_case(gconstpointer data)
{
    run_case(data, 0);
    run_case(data, VDRV_F_EVENT_IDX | VDRV_F_IN_ORDER);
}

static void test_packed_case(gconstpointer data)
{
    run_case(data, P);
    run_case(data, P | VDRV_F_EVENT_IDX | VDRV_F_IN_ORDER);
}

/* 2.7.13.3: how far the index may be ahead, for all values and positions */
static void test_split_index(void)
{
    static const unsigned starts[] = { 0, 3, 65533 };

    for (unsigned s = 0; s < G_N_ELEMENTS(starts); s++) {
        g_autoptr(Rig) r = rig_new(0, 4);
        uint64_t in, out;
        VirtRingPos pos;

        rig_run(r, starts[s]);
        for (unsigned i = 0; i < 4; i++) {
            rig_ring_desc(r, i, RIG_DATA, 1, 0, 0);
            rig_set16(r, RIG_DRIVER, VIRTQ_RING_OFS + 2 * i, i);
        }
        pos = r->pos;
        for (unsigned idx = 0; idx < 65536; idx++) {
            uint16_t ahead = idx - starts[s];

            r->pos = pos;
            rig_set16(r, RIG_DRIVER, VIRTQ_IDX_OFS, idx);
            g_assert_cmpint(rig_fetch(r), ==, !ahead ? VRING_NONE :
                            ahead <= 4 ? VRING_CHAIN : VRING_BROKEN);
            r->pos = pos;
            g_assert_cmpint(rig_avail_bytes(r, &in, &out, 0, 0), ==,
                            ahead <= 4);
        }
    }
}

/* 2.7.6: heads beyond the table, by fetch, skip and avail_bytes */
static void test_split_head(void)
{
    static const uint16_t heads[] = { 4, 5, 255, 32768, 65535 };

    for (unsigned i = 0; i < G_N_ELEMENTS(heads); i++) {
        g_autoptr(Rig) r = rig_new(0, 4);
        uint64_t in, out;

        rig_list(r, &heads[i], 1);
        g_assert_cmpint(rig_fetch(r), ==, VRING_BROKEN);
        g_assert_cmpint(rig_skip(r), ==, VRING_BROKEN);
        g_assert_false(rig_avail_bytes(r, &in, &out, 1, 1));
        g_assert_cmpuint(r->pos.inuse, ==, 0);
    }
}

/* 2.7: more in flight than places, the same heads over and over */
static void test_split_full(void)
{
    g_autoptr(Rig) r = rig_new(0, 4);
    static const uint16_t heads[4] = { 1, 1, 1, 1 };
    VirtRingChain c;

    rig_ring_desc(r, 1, RIG_DATA, 1, 0, 0);
    rig_list(r, heads, 4);
    for (unsigned i = 0; i < 4; i++) {
        g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
    }
    c = r->chain;
    g_assert_cmpint(rig_fetch(r), ==, VRING_NONE);
    rig_list(r, heads, 1);
    g_assert_cmpint(rig_fetch(r), ==, VRING_BROKEN);
    g_assert_cmpint(rig_skip(r), ==, VRING_BROKEN);
    g_assert_cmpuint(r->pos.inuse, ==, 4);
    /* What is out may still be returned */
    g_assert_true(rig_fill(r, &c, 0, 0));
    g_assert_cmpuint(rig_flush(r, 1), ==, 1);
    g_assert_cmpuint(rig_get16(r, RIG_DEVICE, VIRTQ_IDX_OFS), ==, 1);
}

/* B3: NEXT everywhere ends, also for those who only skip or count */
static void test_packed_no_end(void)
{
    for (unsigned num = 1; num <= 32768; num = num * 3 + 1) {
        for (unsigned held = 0; held < 2 && held < num; held++) {
            g_autoptr(Rig) r = rig_new(P | VDRV_F_EVENT_IDX, num);
            uint64_t in, out;

            if (held) {
                rig_offer(r, 1, 0, 1);
                g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
            }
            for (unsigned i = held; i < num; i++) {
                rig_ring_desc(r, i, RIG_DATA, 1, A | N, i);
            }
            r->limit = r->touches + 10 * num + 100;
            g_assert_cmpint(rig_skip(r), ==, VRING_BROKEN);
            g_assert_cmpint(rig_fetch(r), ==, VRING_BROKEN);
            g_assert_false(rig_avail_bytes(r, &in, &out, 1, 1));
            g_assert_cmpuint(r->pos.inuse, ==, held);
            if (held) {
                /* Work that was in flight is returned as usual */
                r->chain = (VirtRingChain) { .ndescs = 1 };
                g_assert_true(rig_fill(r, &r->chain, 0, 0));
                g_assert_cmpuint(rig_flush(r, 1), ==, 1);
                rig_expect(r, 1, 0);
            }
        }
    }
}

/* A table at the end of the address space, and one that goes on behind it */
static void test_last_table(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data) | F;

    for (unsigned n = 1; n <= 3; n++) {
        for (unsigned room = 1; room <= 3; room++) {
            g_autoptr(Rig) r = rig_new(features, 4);
            uint64_t addr = 0 - room * 16ULL;
            uint16_t head = 0;

            r->everywhere = true;
            for (unsigned i = 0; i < 16; i++) {
                rig_desc(r, rig_table(r, 0) + i * 16, RIG_DATA, 1,
                         rig_packed(r) ? 0 : N, 1);
            }
            /* Split: the last one has no next */
            rig_desc(r, rig_table(r, 0) + (addr & 0xff), RIG_DATA, 1,
                     !rig_packed(r) && n > 1 ? N : 0, n - 1);
            if (n > 1) {
                rig_desc(r, rig_table(r, 0) + ((addr + n * 16 - 16) & 0xff),
                         RIG_DATA, 1, 0, 0);
            }
            rig_ring_desc(r, 0, addr, n * 16, I | (rig_packed(r) ? A : 0), 0);
            if (!rig_packed(r)) {
                rig_list(r, &head, 1);
            }
            g_assert_cmpint(rig_fetch(r), ==, n <= room ? VRING_CHAIN :
                            VRING_BROKEN);
        }
    }
}

/* A table that loops is left when each of its entries was seen */
static void test_table_loop(void)
{
    g_autoptr(Rig) r = rig_new(F, 4);
    uint64_t in, out;
    uint16_t head = 0;

    rig_ring_desc(r, 0, rig_table(r, 0), 32, I, 0);
    rig_desc(r, rig_table(r, 0), RIG_DATA, 1, N, 1);
    rig_desc(r, rig_table(r, 0) + 16, RIG_DATA, 1, N, 0);
    rig_list(r, &head, 1);
    r->limit = r->touches + 10;
    g_assert_cmpint(rig_fetch(r), ==, VRING_BROKEN);
    r->limit = r->touches + 10;
    g_assert_false(rig_avail_bytes(r, &in, &out, 1, 1));
}

/* And so is a ring's chain */
static void test_ring_loop(void)
{
    g_autoptr(Rig) r = rig_new(F, 4);
    uint16_t head = 0;

    rig_ring_desc(r, 0, RIG_DATA, 1, N, 1);
    rig_ring_desc(r, 1, RIG_DATA, 1, N, 0);
    rig_list(r, &head, 1);
    r->limit = r->touches + 2 + 2 * 4;
    g_assert_cmpint(rig_fetch(r), ==, VRING_BROKEN);
}

/* Descriptors in flight that look available again are not counted */
static void test_packed_bytes_full(void)
{
    for (unsigned held = 0; held <= 4; held++) {
        g_autoptr(Rig) r = rig_new(P, 4);
        uint64_t in, out;

        for (unsigned i = 0; i < held; i++) {
            rig_offer(r, 1, 0, 1);
            g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
        }
        for (unsigned i = held; i < 4 + held; i++) {
            rig_ring_desc(r, i % 4, RIG_DATA, 1, i < 4 ? A :
                          VIRTQ_DESC_F_USED, 0);
        }
        rig_avail_bytes(r, &in, &out, ~0ULL, ~0ULL);
        g_assert_cmpuint(out, <=, 4 - held);
    }
}

/* All chains over all descriptors: no more looks than descriptors (2.7.5) */
static void test_split_shared(void)
{
    g_autoptr(Rig) r = rig_new(0, 256);
    uint64_t in, out;
    uint16_t head = 0;

    for (unsigned i = 0; i < 256; i++) {
        rig_ring_desc(r, i, RIG_DATA, 1, i < 255 ? N : 0, i + 1);
    }
    for (unsigned i = 0; i < 256; i++) {
        rig_list(r, &head, 1);
    }
    r->touches = 0;
    rig_avail_bytes(r, &in, &out, ~0ULL, ~0ULL);
    g_test_message("%u descriptors, %" G_GUINT64_FORMAT " accesses", 256,
                   r->touches);
    RIG_CHECK(r->touches <= 10 * 256);
}

/*
 * The driver changes its mind before each look of the device: available, not
 * available, available... A call of the core has to come to an end.
 */
static void toggle(Rig *r, unsigned area, uint32_t ofs, bool write)
{
    (void)area;
    (void)ofs;
    if (write || r->hook_data > 10000) {
        return;
    }
    r->hook_data++;
    if (rig_packed(r)) {
        rig_set16(r, RIG_DESC, PVIRTQ_DESC_FLAGS_OFS,
                  r->hook_data % 2 ? 0 : A);
    } else {
        rig_set16(r, RIG_DRIVER, VIRTQ_IDX_OFS, !(r->hook_data % 2));
    }
}

static void test_toggle(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data);

    for (unsigned call = 0; call < 4; call++) {
        for (unsigned start = 0; start < 2; start++) {
            g_autoptr(Rig) r = rig_new(features, 4);
            uint64_t in, out;

            rig_ring_desc(r, 0, RIG_DATA, 1, 0, 0);
            r->hook_data = start;
            r->on_touch = toggle;
            switch (call) {
            case 0:
                rig_fetch(r);
                break;
            case 1:
                rig_skip(r);
                break;
            case 2:
                rig_empty(r);
                break;
            default:
                rig_avail_bytes(r, &in, &out, 1, 1);
                break;
            }
            RIG_CHECK(r->hook_data < 1000);
        }
    }
}

/*
 * No double fetch: what the core has read turns into rubbish before its next
 * access. It must neither notice nor care.
 */
static uint64_t last_addr;
static unsigned last_len;

static void rot(Rig *r, unsigned area, uint32_t ofs, bool write)
{
    if (last_addr) {
        memset(rig_host(r, last_addr, last_len), 0xff, last_len);
    }
    last_addr = write ? 0 : RIG_AT(area, ofs);
    last_len = area == RIG_TABLES ? 16 : area == RIG_DESC ? 8 : 2;
}

static void test_rot(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data);

    for (unsigned shape = 0; shape < 6; shape++) {
        for (unsigned start = 0; start < 16; start++) {
            g_autoptr(Rig) r = rig_new(features | F, 8);
            unsigned out = 1 + shape % 2, in = 2 - shape % 2;

            r->direct_data = shape & 4;
            rig_set_notification(r, true);
            rig_run(r, start);
            g_assert_cmpint(rig_add_direct(r, out, in, shape & 2 ?
                                           rig_table(r, 0) : 0,
                                           shape == 2 && !(features & P), 5),
                            ==, VDRV_OK);
            rig_publish(r);
            last_addr = 0;
            r->on_touch = rot;
            g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
            r->on_touch = NULL;
            rig_assert_segs(r, out, in, 5);
            if (features & P) {
                g_assert_cmpuint(r->chain.ndescs, ==, shape & 2 ? 1 : 3);
            }
            g_assert_cmpuint(r->chain.id, <, 8);
        }
    }
}

static void test_rot_bytes(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data);

    for (unsigned start = 0; start < 16; start++) {
        g_autoptr(Rig) r = rig_new(features | F, 8);
        uint64_t in, out;

        rig_run(r, start);
        rig_offer(r, 1, 2, 1);
        g_assert_cmpint(rig_add(r, 2, 3, rig_table(r, 0), 2), ==, VDRV_OK);
        rig_publish(r);
        last_addr = 0;
        r->on_touch = rot;
        g_assert_true(rig_avail_bytes(r, &in, &out, ~0ULL, ~0ULL));
        r->on_touch = NULL;
        g_assert_cmpuint(in, ==, 5 * RIG_SEG_LEN);
        g_assert_cmpuint(out, ==, 3 * RIG_SEG_LEN);
    }
}

/* Rubbish in the driver's event area: some decision, nothing else */
static void test_events(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data) | VDRV_F_EVENT_IDX;

    for (unsigned flags = 0; flags < 16; flags++) {
        for (unsigned off = 0; off < 65536; off += 257) {
            g_autoptr(Rig) r = rig_new(features, 4);
            VirtRingPos before;

            rig_offer(r, 1, 0, 1);
            rig_serve(r, 0);
            rig_should_notify(r);
            rig_set16(r, RIG_DRIVER, 0, off);
            rig_set16(r, RIG_DRIVER, 2, flags | (flags & 8 ? 0xff00 : 0));
            if (!(features & P)) {
                rig_set16(r, RIG_DRIVER, VIRTQ_USED_EVENT_OFS(4), off);
            }
            before = r->pos;
            rig_should_notify(r);
            g_assert_true(same_state(&before, &r->pos));
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(split_cases); i++) {
        g_autofree char *path = g_strdup_printf("/split/%s",
                                                split_cases[i].name);

        g_test_add_data_func(path, &split_cases[i], test_split_case);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(packed_cases); i++) {
        g_autofree char *path = g_strdup_printf("/packed/%s",
                                                packed_cases[i].name);

        g_test_add_data_func(path, &packed_cases[i], test_packed_case);
    }
    g_test_add_func("/split/2.7.13.3/index-jump", test_split_index);
    g_test_add_func("/split/2.7.6/head-beyond", test_split_head);
    g_test_add_func("/split/2.7/more-than-places", test_split_full);
    g_test_add_func("/packed/2.8.17/B3/bounded", test_packed_no_end);
    g_test_add_func("/packed/2.8.17/bytes-full", test_packed_bytes_full);
    g_test_add_data_func("/split/2.7.5.3/last-table", GSIZE_TO_POINTER(0),
                         test_last_table);
    g_test_add_data_func("/packed/2.8.7/last-table", GSIZE_TO_POINTER(P),
                         test_last_table);
    g_test_add_func("/split/2.7.5.3/table-loop-bounded", test_table_loop);
    g_test_add_func("/split/2.7.5.2/loop-bounded", test_ring_loop);
    g_test_add_func("/split/2.7.5/shared-descriptors", test_split_shared);
    for (unsigned i = 0; i < 4; i++) {
        uint64_t features = (i & 1 ? P : 0) | (i & 2 ? VDRV_F_EVENT_IDX : 0);
        const char *f = i & 1 ? "packed" : "split";
        const char *e = i & 2 ? "/event-idx" : "";
        g_autofree char *a = g_strdup_printf("/%s/toggle%s", f, e);
        g_autofree char *b = g_strdup_printf("/%s/read-once/fetch%s", f, e);
        g_autofree char *c = g_strdup_printf("/%s/read-once/bytes%s", f, e);

        g_test_add_data_func(a, GSIZE_TO_POINTER(features), test_toggle);
        g_test_add_data_func(b, GSIZE_TO_POINTER(features), test_rot);
        g_test_add_data_func(c, GSIZE_TO_POINTER(features), test_rot_bytes);
    }
    g_test_add_data_func("/split/2.7.7/rubbish-events", GSIZE_TO_POINTER(0),
                         test_events);
    g_test_add_data_func("/packed/2.8.14/rubbish-events", GSIZE_TO_POINTER(P),
                         test_events);
    return g_test_run();
}
