/*
 * The core on split rings: what the standard asks of a device (2.7)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "rig.h"

#define N VIRTQ_DESC_F_NEXT
#define W VIRTQ_DESC_F_WRITE
#define I VIRTQ_DESC_F_INDIRECT


/* Sizes 1 to 16, chains of each length from each position */
static void test_chains(void)
{
    for (unsigned num = 1; num <= 16; num *= 2) {
        g_autoptr(Rig) r = rig_new(0, num);

        for (unsigned round = 0; round < 4 * num; round++) {
            for (unsigned len = 1; len <= num; len++) {
                unsigned in = round % (len + 1);

                rig_offer(r, len - in, in, len);
                g_assert_false(rig_empty(r));
                g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
                rig_assert_segs(r, len - in, in, len);
                g_assert_cmpuint(r->pos.inuse, ==, 1);
                g_assert_true(rig_fill(r, &r->chain, in * RIG_SEG_LEN, 0));
                rig_expect_none(r);
                g_assert_cmpuint(rig_flush(r, 1), ==, 1);
                rig_expect(r, len, in * RIG_SEG_LEN);
            }
        }
        rig_assert_idle(r);
    }
}

/* The largest queue: a chain over all of it, and all places taken */
static void test_largest(void)
{
    g_autoptr(Rig) r = rig_new(0, 32768);

    for (unsigned lap = 0; lap < 3; lap++) {
        /* More buffers in one chain than QEMU takes at once */
        rig_offer(r, VRING_SEGMENTS_MAX, 0, 7);
        rig_serve(r, 0);
        rig_expect(r, 7, 0);
        for (unsigned i = 0; i < 32768; i++) {
            g_assert_cmpint(rig_add(r, 0, 1, 0, i), ==, VDRV_OK);
        }
        rig_publish(r);
        for (unsigned i = 0; i < 32768; i++) {
            g_assert_cmpint(rig_skip(r), ==, VRING_CHAIN);
            g_assert_true(rig_fill(r, &r->chain, 1, i));
        }
        g_assert_cmpint(rig_fetch(r), ==, VRING_NONE);
        g_assert_cmpuint(rig_flush(r, 32768), ==, 32768);
        for (unsigned i = 0; i < 32768; i++) {
            rig_expect(r, i, 1);
        }
        rig_assert_idle(r);
    }
}

/* 2.7.13: the index is read before entries, and a barrier is in between */
static void test_read_order(void)
{
    g_autoptr(Rig) r = rig_new(0, 4);
    int idx, entry, desc;

    rig_run(r, 3);
    rig_offer(r, 1, 1, 1);
    rig_trace(r);
    g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
    idx = rig_seen(r, RIG_LOAD, RIG_DRIVER, VIRTQ_IDX_OFS, 0);
    entry = rig_seen(r, RIG_LOAD, RIG_DRIVER, VIRTQ_RING_OFS + 2 * 3, 0);
    desc = rig_seen(r, RIG_LOAD, RIG_DESC, r->chain.id * VIRTQ_DESC_SIZE, 0);
    g_assert_cmpint(idx, >=, 0);
    g_assert_cmpint(entry, >, idx);
    g_assert_cmpint(desc, >, entry);
    g_assert_true(rig_fenced(r, idx, entry, __ATOMIC_ACQUIRE));
    /* Neither flags nor used_event are anything to a fetch */
    g_assert_cmpint(rig_seen(r, RIG_LOAD, RIG_DRIVER, 0, 0), <, 0);
    g_assert_cmpint(rig_seen(r, RIG_LOAD, RIG_DRIVER,
                             VIRTQ_USED_EVENT_OFS(4), 0), <, 0);
}

/* A cached index still needs the barrier once, when it was read */
static void test_read_order_batch(void)
{
    g_autoptr(Rig) r = rig_new(0, 4);
    int idx, entry;

    rig_offer(r, 1, 0, 1);
    rig_offer(r, 1, 0, 2);
    g_assert_false(rig_empty(r));
    rig_trace(r);
    for (unsigned i = 0; i < 2; i++) {
        g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
        entry = rig_seen(r, RIG_LOAD, RIG_DRIVER, VIRTQ_RING_OFS + 2 * i, 0);
        idx = rig_seen(r, RIG_LOAD, RIG_DRIVER, VIRTQ_IDX_OFS, 0);
        g_assert_cmpint(entry, >, idx);
        g_assert_true(rig_fenced(r, idx, entry, __ATOMIC_ACQUIRE));
    }
}

/* 2.7.8.2: entries, a barrier, the index; one store of it for a batch */
static void test_write_order(void)
{
    for (unsigned n = 1; n <= 4; n++) {
        g_autoptr(Rig) r = rig_new(0, 4);
        int idx, last = -1;

        rig_run(r, 2);
        for (unsigned i = 0; i < n; i++) {
            rig_offer(r, 0, 1, i + 1);
        }
        rig_trace(r);
        for (unsigned i = 0; i < n; i++) {
            g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
            g_assert_true(rig_fill(r, &r->chain, i, i));
        }
        g_assert_cmpint(rig_seen(r, RIG_STORE, RIG_DEVICE, VIRTQ_IDX_OFS, 0),
                        <, 0);
        rig_flush(r, n);
        idx = rig_seen(r, RIG_STORE, RIG_DEVICE, VIRTQ_IDX_OFS, 0);
        g_assert_cmpint(rig_seen(r, RIG_STORE, RIG_DEVICE, VIRTQ_IDX_OFS, 1),
                        <, 0);
        for (unsigned i = 0; i < n; i++) {
            unsigned ofs = VIRTQ_RING_OFS + 8 * ((2 + i) % 4);

            last = MAX(last, rig_seen(r, RIG_STORE, RIG_DEVICE, ofs, 0));
            last = MAX(last, rig_seen(r, RIG_STORE, RIG_DEVICE, ofs + 4, 0));
        }
        g_assert_cmpint(last, >=, 0);
        g_assert_cmpint(idx, >, last);
        g_assert_true(rig_fenced(r, last, idx, __ATOMIC_RELEASE));
        for (unsigned i = 0; i < n; i++) {
            rig_expect(r, i + 1, i);
        }
    }
}

/* 2.7.5.1, 2.7.6: neither descriptors nor the available ring change */
static void test_read_only(void)
{
    for (unsigned f = 0; f < 8; f++) {
        g_autoptr(Rig) r = rig_new((f & 1 ? VDRV_F_EVENT_IDX : 0) |
                                   (f & 2 ? VDRV_F_IN_ORDER : 0) |
                                   (f & 4 ? VDRV_F_INDIRECT : 0), 8);

        for (unsigned i = 0; i < 40; i++) {
            g_autofree uint8_t *desc = NULL, *avail = NULL, *tables = NULL;

            g_assert_cmpint(rig_add(r, 1, 2, f & 4 ? rig_table(r, 0) : 0, 1),
                            ==, VDRV_OK);
            rig_publish(r);
            desc = g_memdup2(r->host[RIG_DESC], r->size[RIG_DESC]);
            avail = g_memdup2(r->host[RIG_DRIVER], r->size[RIG_DRIVER]);
            tables = g_memdup2(r->host[RIG_TABLES], r->size[RIG_TABLES]);
            rig_set_notification(r, i % 3);
            rig_serve(r, 20);
            rig_should_notify(r);
            rig_set_notification(r, i % 2);
            g_assert_cmpmem(desc, r->size[RIG_DESC],
                            r->host[RIG_DESC], r->size[RIG_DESC]);
            g_assert_cmpmem(avail, r->size[RIG_DRIVER],
                            r->host[RIG_DRIVER], r->size[RIG_DRIVER]);
            g_assert_cmpmem(tables, r->size[RIG_TABLES],
                            r->host[RIG_TABLES], r->size[RIG_TABLES]);
            rig_expect(r, 1, 20);
        }
    }
}

/* 2.7.5.3.2: zero to n direct ones, then a table */
static void test_direct_then_table(void)
{
    g_autoptr(Rig) r = rig_new(VDRV_F_INDIRECT, 16);

    for (unsigned total = 1; total <= 12; total++) {
        for (unsigned direct = 0; direct < total; direct++) {
            for (unsigned in = 0; in <= total; in++) {
                g_assert_cmpint(rig_add_direct(r, total - in, in,
                                               rig_table(r, 3), direct, 5),
                                ==, VDRV_OK);
                rig_publish(r);
                g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
                rig_assert_segs(r, total - in, in, 5);
                g_assert_true(rig_fill(r, &r->chain, in, 0));
                rig_flush(r, 1);
                rig_expect(r, 5, in);
            }
        }
    }
    rig_assert_idle(r);
}

/* 2.7.5.3.2: WRITE means nothing on a descriptor that refers to a table */
static void test_write_on_table(void)
{
    for (unsigned flags = 0; flags < 2; flags++) {
        g_autoptr(Rig) r = rig_new(VDRV_F_INDIRECT, 4);
        uint16_t head = 1;

        rig_ring_desc(r, 1, RIG_DATA, 8, N, 2);
        rig_ring_desc(r, 2, rig_table(r, 0), 32, I | (flags ? W : 0), 9);
        rig_desc(r, rig_table(r, 0), RIG_DATA, 4, N, 1);
        rig_desc(r, rig_table(r, 0) + 16, RIG_DATA, 2, W, 9);
        rig_list(r, &head, 1);
        g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
        g_assert_cmpuint(r->segs.size.out_num, ==, 2);
        g_assert_cmpuint(r->segs.size.out_len, ==, 12);
        g_assert_cmpuint(r->segs.size.in_num, ==, 1);
        g_assert_cmpuint(r->segs.size.in_len, ==, 2);
    }
}

/* 2.7.5.3: tables are linked by next, in any order, entries may be left out */
static void test_table_links(void)
{
    g_autoptr(Rig) r = rig_new(VDRV_F_INDIRECT, 4);
    uint64_t t = rig_table(r, 1);
    uint16_t head = 3;

    rig_ring_desc(r, 3, t, 4 * 16, I, 0);
    rig_desc(r, t, RIG_DATA, 1, N, 3);
    rig_desc(r, t + 16, 0, 0, I | N, 77);
    rig_desc(r, t + 32, RIG_DATA + 2, 4, W, 77);
    rig_desc(r, t + 48, RIG_DATA + 1, 2, N, 2);
    rig_list(r, &head, 1);
    g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
    g_assert_cmpuint(r->segs.size.out_len, ==, 3);
    g_assert_cmphex(r->segs.addr[1], ==, RIG_DATA + 1);
    g_assert_cmpuint(r->segs.size.in_len, ==, 4);
}

/* The index runs over 2^16 with everything in flight across it */
static void test_index_wrap(void)
{
    for (unsigned f = 0; f < 4; f++) {
        g_autoptr(Rig) r = rig_new((f & 1 ? VDRV_F_EVENT_IDX : 0) |
                                   (f & 2 ? VDRV_F_IN_ORDER : 0), 8);

        rig_run(r, 65532);
        for (unsigned round = 0; round < 4; round++) {
            VirtRingChain c[8];

            for (unsigned i = 0; i < 8; i++) {
                rig_offer(r, 0, 1, i + 1);
                g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
                c[i] = r->chain;
            }
            g_assert_cmpint(rig_fetch(r), ==, VRING_NONE);
            for (unsigned i = 0; i < 8; i++) {
                g_assert_true(rig_fill(r, &c[i], i, i));
            }
            g_assert_cmpuint(rig_flush(r, 8), ==, 8);
            for (unsigned i = 0; i < 8; i++) {
                rig_expect(r, i + 1, i);
            }
        }
        rig_assert_idle(r);
    }
}

/* Out of order: each permutation of the four in flight, in each grouping */
static void test_any_order(void)
{
    g_autoptr(Rig) r = rig_new(0, 4);

    for (unsigned perm = 0; perm < 24; perm++) {
        for (unsigned cuts = 0; cuts < 8; cuts++) {
            VirtRingChain c[4];
            unsigned token[4] = { 1, 2, 3, 4 }, p = perm, batch = 0;

            for (unsigned i = 0; i < 4; i++) {
                rig_offer(r, 1, 0, i + 1);
                g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
                c[i] = r->chain;
            }
            for (unsigned i = 0; i < 4; p /= 4 - i, i++) {
                unsigned j = i + p % (4 - i), t = token[i];

                token[i] = token[j];
                token[j] = t;
            }
            for (unsigned i = 0; i < 4; i++) {
                g_assert_true(rig_fill(r, &c[token[i] - 1], 0, batch++));
                if (i == 3 || cuts >> i & 1) {
                    g_assert_cmpuint(rig_flush(r, batch), ==, batch);
                    batch = 0;
                }
            }
            for (unsigned i = 0; i < 4; i++) {
                rig_expect(r, token[i], 0);
            }
            rig_assert_idle(r);
        }
    }
}

/* 2.7.8: len is what was written, no more; 0 is possible as well */
static void test_len(void)
{
    static const uint32_t lens[] = { 0, 1, 0x7fffffff, 0x80000000, ~0u };
    g_autoptr(Rig) r = rig_new(0, 2);

    for (unsigned i = 0; i < G_N_ELEMENTS(lens); i++) {
        uint16_t head = i % 2;

        rig_ring_desc(r, head, RIG_DATA, ~0u, W, 0);
        rig_list(r, &head, 1);
        rig_serve(r, lens[i]);
        g_assert_cmpuint(rig_get32(r, RIG_DEVICE, 4 + 8 * (i % 2)), ==, head);
        g_assert_cmpuint(rig_get32(r, RIG_DEVICE, 8 + 8 * (i % 2)), ==,
                         lens[i]);
        g_assert_cmpuint(rig_get16(r, RIG_DEVICE, VIRTQ_IDX_OFS), ==, i + 1);
    }
}

/* One buffer that maps to several places */
static void test_pieces(void)
{
    g_autoptr(Rig) r = rig_new(0, 4);

    r->map_piece = 5;
    rig_offer(r, 1, 2, 1);
    g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
    g_assert_cmpuint(r->segs.size.out_num, ==, 4);
    g_assert_cmpuint(r->segs.size.out_len, ==, 16);
    g_assert_cmpuint(r->segs.size.in_num, ==, 8);
    g_assert_cmpuint(r->segs.size.in_len, ==, 32);
    g_assert_cmphex(r->segs.addr[3], ==, r->segs.addr[0] + 15);
    g_assert_cmpuint(r->segs.iov[3].iov_len, ==, 1);
}

/* As many as are taken, and one more; whole buffers and pieces of them */
static void test_most_segments(void)
{
    for (unsigned more = 0; more < 2; more++) {
        for (unsigned piece = 0; piece < 2; piece++) {
            g_autoptr(Rig) r = rig_new(VDRV_F_INDIRECT, 2);
            unsigned per = piece ? 8 : 1, n = VRING_SEGMENTS_MAX / per + more;
            uint16_t head = 0;

            r->map_piece = piece ? 2 : 0;
            rig_ring_desc(r, 0, rig_table(r, 0), n * 16, I, 0);
            for (unsigned i = 0; i < n; i++) {
                rig_desc(r, rig_table(r, 0) + i * 16, RIG_DATA, 16,
                         W | (i + 1 < n ? N : 0), i + 1);
            }
            rig_list(r, &head, 1);
            g_assert_cmpint(rig_fetch(r), ==,
                            more ? VRING_BROKEN : VRING_CHAIN);
            if (!more) {
                g_assert_cmpuint(r->segs.size.in_num, ==, VRING_SEGMENTS_MAX);
                g_assert_cmpuint(r->segs.size.in_len, ==, n * 16);
            }
        }
    }
}

/* Bytes of what is available, without taking it */
static void test_avail_bytes(void)
{
    g_autoptr(Rig) r = rig_new(VDRV_F_INDIRECT, 16);
    uint64_t in, out;

    g_assert_true(rig_avail_bytes(r, &in, &out, ~0ULL, ~0ULL));
    g_assert_cmpuint(in + out, ==, 0);
    rig_offer(r, 1, 2, 1);
    g_assert_cmpint(rig_add_direct(r, 3, 1, rig_table(r, 0), 2, 2), ==, 0);
    rig_publish(r);
    rig_offer(r, 0, 4, 3);
    for (unsigned i = 0; i < 2; i++) {
        VirtRingPos pos = r->pos;

        g_assert_true(rig_avail_bytes(r, &in, &out, ~0ULL, ~0ULL));
        g_assert_cmpuint(in, ==, 7 * RIG_SEG_LEN);
        g_assert_cmpuint(out, ==, 4 * RIG_SEG_LEN);
        g_assert_cmpuint(pos.last_avail_idx, ==, r->pos.last_avail_idx);
        g_assert_cmpuint(pos.inuse, ==, r->pos.inuse);
    }
    /* Enough is enough, but the call may give more than that */
    g_assert_true(rig_avail_bytes(r, &in, &out, 33, 1));
    g_assert_cmpuint(in, >=, 33);
    g_assert_cmpuint(in, <=, 7 * RIG_SEG_LEN);
    g_assert_cmpuint(out, >=, 1);
    g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
    rig_assert_segs(r, 1, 2, 1);
    g_assert_true(rig_avail_bytes(r, &in, &out, ~0ULL, ~0ULL));
    g_assert_cmpuint(in, ==, 5 * RIG_SEG_LEN);
    g_assert_cmpuint(out, ==, 3 * RIG_SEG_LEN);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/split/2.7.5/chains", test_chains);
    g_test_add_func("/split/2.7/queue-of-32768", test_largest);
    g_test_add_func("/split/2.7.13/index-before-entries", test_read_order);
    g_test_add_func("/split/2.7.13/index-before-entries-batch",
                    test_read_order_batch);
    g_test_add_func("/split/2.7.8.2/entries-before-index", test_write_order);
    g_test_add_func("/split/2.7.5.1/driver-areas-read-only", test_read_only);
    g_test_add_func("/split/2.7.5.3.2/direct-then-table",
                    test_direct_then_table);
    g_test_add_func("/split/2.7.5.3.2/write-on-table", test_write_on_table);
    g_test_add_func("/split/2.7.5.3/table-links", test_table_links);
    g_test_add_func("/split/2.7.6/index-wrap", test_index_wrap);
    g_test_add_func("/split/2.7.8/any-order", test_any_order);
    g_test_add_func("/split/2.7.8.2/len", test_len);
    g_test_add_func("/split/2.7.4/pieces", test_pieces);
    g_test_add_func("/split/2.7.4.1/most-segments", test_most_segments);
    g_test_add_func("/split/2.7.4/avail-bytes", test_avail_bytes);
    return g_test_run();
}
