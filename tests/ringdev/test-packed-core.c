/*
 * The core on packed rings: what the standard asks of a device (2.8)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "rig.h"

#define N VIRTQ_DESC_F_NEXT
#define W VIRTQ_DESC_F_WRITE
#define I VIRTQ_DESC_F_INDIRECT
#define A VIRTQ_DESC_F_AVAIL
#define U VIRTQ_DESC_F_USED

#define P VDRV_F_PACKED

static const unsigned nums[] = { 1, 2, 3, 5, 7, 8 };

static uint16_t flags_at(Rig *r, unsigned i)
{
    return rig_get16(r, RIG_DESC, i * VIRTQ_DESC_SIZE +
                     PVIRTQ_DESC_FLAGS_OFS);
}

static uint16_t id_at(Rig *r, unsigned i)
{
    return rig_get16(r, RIG_DESC, i * VIRTQ_DESC_SIZE + PVIRTQ_DESC_ID_OFS);
}

/*
 * A chain of each length from each position in both laps: among them those
 * that end exactly at the end of the ring, that cross it, and that fill it.
 */
static void test_chains(void)
{
    for (unsigned n = 0; n < G_N_ELEMENTS(nums); n++) {
        unsigned num = nums[n];

        for (unsigned start = 0; start < 2 * num; start++) {
            for (unsigned len = 1; len <= num; len++) {
                g_autoptr(Rig) r = rig_new(P, num);
                unsigned end = start + len;
                unsigned in = (start + len) % (len + 1);

                rig_run(r, start);
                rig_offer(r, len - in, in, len);
                g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
                rig_assert_segs(r, len - in, in, len);
                g_assert_cmpuint(r->chain.pos, ==, start % num);
                g_assert_cmpuint(r->chain.ndescs, ==, len);
                g_assert_cmpuint(r->pos.inuse, ==, len);
                g_assert_cmpuint(r->pos.last_avail_idx, ==, end % num);
                g_assert_cmpuint(r->pos.last_avail_wrap_counter, ==,
                                 end / num % 2 == 0);
                g_assert_cmpint(rig_fetch(r), ==, VRING_NONE);
                rig_expect_none(r);
                g_assert_true(rig_fill(r, &r->chain, in * RIG_SEG_LEN, 0));
                rig_expect_none(r);
                g_assert_cmpuint(rig_flush(r, 1), ==, 1);
                g_assert_cmpuint(r->pos.used_idx, ==, end % num);
                g_assert_cmpuint(r->pos.used_wrap_counter, ==,
                                 end / num % 2 == 0);
                rig_expect(r, len, in * RIG_SEG_LEN);
                rig_assert_idle(r);
                rig_run(r, 2 * num);
                rig_assert_idle(r);
            }
        }
    }
}

/* 2.8: 32768 places; all of them taken, over more than two laps */
static void test_largest(void)
{
    g_autoptr(Rig) r = rig_new(P, 32768);

    for (unsigned lap = 0; lap < 3; lap++) {
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

/* One chain over a whole ring of 32768 is skipped and returned */
static void test_largest_chain(void)
{
    g_autoptr(Rig) r = rig_new(P, 32768);

    for (unsigned lap = 0; lap < 3; lap++) {
        rig_offer(r, 32767, 1, 9);
        g_assert_cmpint(rig_skip(r), ==, VRING_CHAIN);
        g_assert_cmpuint(r->chain.ndescs, ==, 32768);
        g_assert_cmpuint(r->pos.inuse, ==, 32768);
        g_assert_true(rig_fill(r, &r->chain, 0, 0));
        g_assert_cmpuint(rig_flush(r, 1), ==, 1);
        rig_expect(r, 9, 0);
        rig_assert_idle(r);
    }
}

/* 2.8.1: which of the four values of the two flags are available, per lap */
static void test_is_available(void)
{
    for (unsigned lap = 0; lap < 4; lap++) {
        for (unsigned f = 0; f < 4; f++) {
            g_autoptr(Rig) r = rig_new(P, 3);
            bool want = lap % 2 ? f == 2 : f == 1;

            rig_run(r, lap * 3);
            rig_ring_desc(r, 0, RIG_DATA, 1, (f & 1 ? A : 0) | (f & 2 ? U : 0),
                          0);
            g_assert_cmpint(rig_empty(r), ==, !want);
            g_assert_cmpint(rig_fetch(r), ==, want ? VRING_CHAIN : VRING_NONE);
        }
    }
}

/* 2.8.6: the id is in the last descriptor; others carry anything */
static void test_last_id(void)
{
    for (unsigned skip = 0; skip < 2; skip++) {
        for (unsigned start = 0; start < 6; start++) {
            g_autoptr(Rig) r = rig_new(P, 3);

            rig_run(r, start);
            for (unsigned i = 0; i < 3; i++) {
                unsigned at = start + i;

                rig_ring_desc(r, at % 3, RIG_DATA, 1, (i < 2 ? N : 0) |
                              (at / 3 % 2 ? U : A), i < 2 ? 900 + i : 65535);
            }
            g_assert_cmpint(skip ? rig_skip(r) : rig_fetch(r), ==,
                            VRING_CHAIN);
            g_assert_cmpuint(r->chain.id, ==, 65535);
            g_assert_cmpuint(r->chain.ndescs, ==, 3);
            g_assert_true(rig_fill(r, &r->chain, 0, 0));
            rig_flush(r, 1);
            g_assert_cmpuint(id_at(r, start % 3), ==, 65535);
        }
    }
}

/* 2.8.7: the id is in the ring's descriptor, not in the table */
static void test_table_id(void)
{
    g_autoptr(Rig) r = rig_new(P | VDRV_F_INDIRECT, 3);

    rig_ring_desc(r, 0, rig_table(r, 0), 32, I | A, 1234);
    rig_desc(r, rig_table(r, 0), RIG_DATA, 1, 0, 77);
    rig_desc(r, rig_table(r, 0) + 16, RIG_DATA, 1, W, 78);
    g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
    g_assert_cmpuint(r->chain.id, ==, 1234);
    g_assert_cmpuint(r->chain.ndescs, ==, 1);
    g_assert_cmpuint(r->segs.size.out_num, ==, 1);
    g_assert_cmpuint(r->segs.size.in_num, ==, 1);
}

/* 2.8.7: within a table all flags but WRITE are ignored, and so is the id */
static void test_table_flags(void)
{
    for (unsigned bit = 0; bit < 16; bit++) {
        g_autoptr(Rig) r = rig_new(P | VDRV_F_INDIRECT, 3);
        uint16_t extra = bit == 1 ? 0 : 1u << bit;

        rig_ring_desc(r, 0, rig_table(r, 0), 48, I | A | W, 1);
        rig_desc(r, rig_table(r, 0), RIG_DATA, 1, extra, 65535);
        rig_desc(r, rig_table(r, 0) + 16, RIG_DATA, 2, extra | W, 65535);
        rig_desc(r, rig_table(r, 0) + 32, RIG_DATA, 4, extra | W, 65535);
        g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
        g_assert_cmpuint(r->segs.size.out_num, ==, 1);
        g_assert_cmpuint(r->segs.size.in_num, ==, 2);
        g_assert_cmpuint(r->segs.size.out_len, ==, 1);
        g_assert_cmpuint(r->segs.size.in_len, ==, 6);
    }
}

/* Reserved bits of a ring descriptor are no reason to fail */
static void test_reserved_flags(void)
{
    g_autoptr(Rig) r = rig_new(P, 1);

    rig_ring_desc(r, 0, RIG_DATA, 1, A | 0x7f78, 3);
    g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
    g_assert_cmpuint(r->segs.size.out_num, ==, 1);
    g_assert_true(rig_fill(r, &r->chain, 0, 0));
    rig_flush(r, 1);
    g_assert_cmphex(flags_at(r, 0), ==, A | U);
}

/* 2.8.3, 2.8.6: WRITE says that something was written; NEXT is reserved */
static void test_used_flags(void)
{
    for (unsigned lap = 0; lap < 3; lap++) {
        for (unsigned len = 0; len < 3; len++) {
            g_autoptr(Rig) r = rig_new(P, 3);

            rig_run(r, 3 * lap);
            rig_offer(r, 1, 2, 4);
            rig_serve(r, len);
            g_assert_cmphex(flags_at(r, 0), ==, (lap % 2 ? 0 : A | U) |
                            (len ? W : 0));
            g_assert_cmpuint(rig_get32(r, RIG_DESC, VIRTQ_DESC_LEN_OFS), ==,
                             len);
            rig_expect(r, 4, len);
        }
    }
}

/* 2.8.13: a device has no business with flags before it uses the place */
static void test_one_descriptor_per_chain(void)
{
    for (unsigned start = 0; start < 10; start++) {
        g_autoptr(Rig) r = rig_new(P, 5);
        g_autofree uint8_t *before = NULL;

        rig_run(r, start);
        rig_offer(r, 2, 2, 4);
        before = g_memdup2(r->host[RIG_DESC], r->size[RIG_DESC]);
        rig_trace(r);
        rig_serve(r, 9);
        g_assert_cmpuint(rig_count(r, RIG_STORE, RIG_DESC, 0, ~0u), ==, 1);
        for (unsigned i = 0; i < 5; i++) {
            if (i != start % 5) {
                g_assert_cmpmem(before + 16 * i, 16,
                                r->host[RIG_DESC] + 16 * i, 16);
            }
        }
        rig_expect(r, 4, 9);
    }
}

/* 2.8.6, 2.8.13: the head's word, a barrier, then all the rest */
static void test_read_order(void)
{
    g_autoptr(Rig) r = rig_new(P, 4);
    int head, rest;

    rig_run(r, 2);
    rig_offer(r, 1, 2, 4);
    rig_trace(r);
    g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
    head = rig_seen(r, RIG_LOAD, RIG_DESC, 2 * 16 + 14, 0);
    g_assert_cmpint(head, ==, 0);
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned half = 0; half < 2; half++) {
            unsigned ofs = (2 + i) % 4 * 16 + 8 * half;

            rest = rig_seen(r, RIG_LOAD, RIG_DESC, ofs, 0);
            g_assert_cmpint(rest, >=, 0);
            g_assert_cmpint(rig_seen(r, RIG_LOAD, RIG_DESC, ofs, 1), <, 0);
            if (rest != head) {
                g_assert_true(rig_fenced(r, head, rest, __ATOMIC_ACQUIRE));
            }
        }
    }
    /* The place behind the chain is none of its business */
    g_assert_cmpint(rig_seen(r, RIG_LOAD, RIG_DESC, 16, 0), <, 0);
}

/* 2.8.9: the first used descriptor of a batch becomes visible last */
static void test_write_order(void)
{
    for (unsigned n = 1; n <= 4; n++) {
        for (unsigned start = 0; start < 20; start++) {
            g_autoptr(Rig) r = rig_new(P, 10);
            unsigned len[4], at = start % 10;
            int first, last = -1;

            rig_run(r, start);
            for (unsigned i = 0; i < n; i++) {
                len[i] = 1 + (start + i) % 2;
                rig_offer(r, 0, len[i], i + 1);
            }
            rig_trace(r);
            for (unsigned i = 0; i < n; i++) {
                g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
                g_assert_true(rig_fill(r, &r->chain, i + 1, i));
            }
            g_assert_cmpuint(rig_count(r, RIG_STORE, RIG_DESC, 0, ~0u), ==,
                             0);
            g_assert_cmpuint(rig_flush(r, n), ==, n);
            g_assert_cmpuint(rig_count(r, RIG_STORE, RIG_DESC, 0, ~0u), ==,
                             n);
            first = rig_seen(r, RIG_STORE, RIG_DESC, at * 16 + 8, 0);
            g_assert_cmpint(first, >=, 0);
            for (unsigned i = 1; i < n; i++) {
                int store;

                at = (at + len[i - 1]) % 10;
                store = rig_seen(r, RIG_STORE, RIG_DESC, at * 16 + 8, 0);
                g_assert_cmpint(store, >=, 0);
                last = MAX(last, store);
            }
            g_assert_cmpint(first, >, last);
            g_assert_true(rig_fenced(r, last, first, __ATOMIC_RELEASE));
            for (unsigned i = 0; i < n; i++) {
                rig_expect(r, i + 1, i + 1);
            }
            rig_assert_idle(r);
        }
    }
}

/*
 * 2.8.12: used descriptors in the order of completion, each as far on as the
 * chain before it was long. All permutations of chains 1, 2, 1, 3 long.
 */
static void test_any_order(void)
{
    static const unsigned len[4] = { 1, 2, 1, 3 };

    for (unsigned num = 7; num <= 9; num++) {
        g_autoptr(Rig) r = rig_new(P, num);

        for (unsigned perm = 0; perm < 24; perm++) {
            for (unsigned cuts = 0; cuts < 8; cuts++) {
                unsigned order[4] = { 0, 1, 2, 3 }, p = perm, batch = 0;
                VirtRingChain c[4];

                for (unsigned i = 0; i < 4; i++) {
                    rig_offer(r, 0, len[i], i + 1);
                    g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
                    c[i] = r->chain;
                }
                g_assert_cmpint(rig_fetch(r), ==, VRING_NONE);
                for (unsigned i = 0; i < 4; p /= 4 - i, i++) {
                    unsigned j = i + p % (4 - i), t = order[i];

                    order[i] = order[j];
                    order[j] = t;
                }
                for (unsigned i = 0; i < 4; i++) {
                    g_assert_true(rig_fill(r, &c[order[i]], i + 1, batch++));
                    if (i == 3 || cuts >> i & 1) {
                        g_assert_cmpuint(rig_flush(r, batch), ==, batch);
                        batch = 0;
                    }
                }
                for (unsigned i = 0; i < 4; i++) {
                    rig_expect(r, order[i] + 1, i + 1);
                }
                rig_assert_idle(r);
            }
        }
    }
}

/* Whole ring in flight, returned backwards; the next lap starts at once */
static void test_whole_ring(void)
{
    for (unsigned n = 0; n < G_N_ELEMENTS(nums); n++) {
        unsigned num = nums[n];
        g_autoptr(Rig) r = rig_new(P, num);

        for (unsigned start = 0; start < 2 * num; start++) {
            VirtRingChain c[8];

            for (unsigned i = 0; i < num; i++) {
                rig_offer(r, 0, 1, i + 1);
                g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
                c[i] = r->chain;
            }
            g_assert_cmpuint(r->pos.inuse, ==, num);
            g_assert_cmpint(rig_fetch(r), ==, VRING_NONE);
            g_assert_true(rig_empty(r));
            for (unsigned i = num; i-- > 0;) {
                g_assert_true(rig_fill(r, &c[i], 1, 0));
                g_assert_cmpuint(rig_flush(r, 1), ==, 1);
                rig_expect(r, i + 1, 1);
                /* The place is free, the driver uses it, and it comes next */
                rig_offer(r, 1, 0, 100 + i);
                g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
                rig_assert_segs(r, 1, 0, 100 + i);
                c[i] = r->chain;
            }
            for (unsigned i = 0; i < num; i++) {
                g_assert_true(rig_fill(r, &c[i], 0, i));
            }
            g_assert_cmpuint(rig_flush(r, num), ==, num);
            for (unsigned i = 0; i < num; i++) {
                rig_expect(r, 100 + i, 0);
            }
            rig_assert_idle(r);
            rig_run(r, 1);
        }
    }
}

/* Direct chains and tables in one ring, each list of one kind (2.8.5) */
static void test_mixed_ring(void)
{
    g_autoptr(Rig) r = rig_new(P | VDRV_F_INDIRECT, 5);

    for (unsigned i = 0; i < 200; i++) {
        unsigned out = i % 3, in = 2 - i % 2, table = i / 3 % 2;

        g_assert_cmpint(rig_add(r, out, in, table ? rig_table(r, 0) : 0,
                                i + 1), ==, VDRV_OK);
        rig_publish(r);
        g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
        rig_assert_segs(r, out, in, i + 1);
        g_assert_cmpuint(r->chain.ndescs, ==, table ? 1 : out + in);
        g_assert_true(rig_fill(r, &r->chain, in, 0));
        rig_flush(r, 1);
        rig_expect(r, i + 1, in);
    }
    rig_assert_idle(r);
}

/* 2.8.19: a list of direct descriptors does not go on in a table */
static void test_mixed_list(void)
{
    for (unsigned skip = 0; skip < 2; skip++) {
        for (unsigned first = 0; first < 3; first++) {
            g_autoptr(Rig) r = rig_new(P | VDRV_F_INDIRECT, 4);

            for (unsigned i = 0; i < 3; i++) {
                if (i == first) {
                    rig_ring_desc(r, i, rig_table(r, 0), 16,
                                  I | A | (i < 2 ? N : 0), 1);
                } else {
                    rig_ring_desc(r, i, RIG_DATA, 1, A | (i < 2 ? N : 0), 1);
                }
            }
            rig_desc(r, rig_table(r, 0), RIG_DATA, 1, 0, 0);
            g_assert_cmpint(skip ? rig_skip(r) : rig_fetch(r), ==,
                            VRING_BROKEN);
            g_assert_nonnull(r->ring.error);
        }
    }
}

/* As many as are taken, and one more */
static void test_most_segments(void)
{
    for (unsigned more = 0; more < 2; more++) {
        g_autoptr(Rig) r = rig_new(P | VDRV_F_INDIRECT, 2);
        unsigned n = VRING_SEGMENTS_MAX + more;
        uint64_t in, out;

        rig_ring_desc(r, 0, rig_table(r, 0), n * 16, I | A, 0);
        for (unsigned i = 0; i < n; i++) {
            rig_desc(r, rig_table(r, 0) + i * 16, RIG_DATA, 16, W, 0);
        }
        g_assert_cmpint(rig_avail_bytes(r, &in, &out, 1, 1), ==, !more);
        g_assert_cmpint(rig_fetch(r), ==, more ? VRING_BROKEN : VRING_CHAIN);
    }
}

/* Room counts the chain being taken: 3 + 2 do not fit into 4 (2.8.17) */
static void test_capacity(void)
{
    for (unsigned num = 1; num <= 5; num++) {
        for (unsigned held = 0; held <= num; held++) {
            for (unsigned len = 1; len <= num + 1; len++) {
                g_autoptr(Rig) r = rig_new(P, num);

                if (held) {
                    rig_offer(r, held, 0, 1);
                    g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
                }
                /* Over what is in flight, if need be */
                for (unsigned i = 0; i < len && i < num; i++) {
                    unsigned at = held + i;

                    rig_ring_desc(r, at % num, RIG_DATA, 1,
                                  (i + 1 < len ? N : 0) |
                                  (at / num % 2 ? U : A), 1);
                }
                g_assert_cmpint(rig_fetch(r), ==, held + len <= num ?
                                VRING_CHAIN : VRING_BROKEN);
                g_assert_cmpuint(r->pos.inuse, <=, num);
            }
        }
    }
}

/* Bytes of what is available, without taking it, across the end */
static void test_avail_bytes(void)
{
    for (unsigned start = 0; start < 20; start++) {
        g_autoptr(Rig) r = rig_new(P | VDRV_F_INDIRECT, 10);
        uint64_t in, out;

        rig_run(r, start);
        g_assert_true(rig_avail_bytes(r, &in, &out, ~0ULL, ~0ULL));
        g_assert_cmpuint(in + out, ==, 0);
        rig_offer(r, 1, 2, 1);
        g_assert_cmpint(rig_add(r, 3, 1, rig_table(r, 0), 2), ==, 0);
        rig_publish(r);
        rig_offer(r, 2, 4, 3);
        for (unsigned i = 0; i < 2; i++) {
            VirtRingPos pos = r->pos;

            g_assert_true(rig_avail_bytes(r, &in, &out, ~0ULL, ~0ULL));
            g_assert_cmpuint(in, ==, 7 * RIG_SEG_LEN);
            g_assert_cmpuint(out, ==, 6 * RIG_SEG_LEN);
            g_assert_cmpuint(pos.last_avail_idx, ==, r->pos.last_avail_idx);
            g_assert_cmpuint(pos.last_avail_wrap_counter, ==,
                             r->pos.last_avail_wrap_counter);
            g_assert_cmpuint(pos.inuse, ==, r->pos.inuse);
        }
        g_assert_true(rig_avail_bytes(r, &in, &out, 33, 1));
        g_assert_cmpuint(in, >=, 33);
        g_assert_cmpuint(in, <=, 7 * RIG_SEG_LEN);
        g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
        rig_assert_segs(r, 1, 2, 1);
        g_assert_true(rig_avail_bytes(r, &in, &out, ~0ULL, ~0ULL));
        g_assert_cmpuint(in, ==, 5 * RIG_SEG_LEN);
        g_assert_cmpuint(out, ==, 5 * RIG_SEG_LEN);
    }
}

/* Whole ring in flight: the first lap's descriptors are not counted again */
static void test_avail_bytes_full(void)
{
    g_autoptr(Rig) r = rig_new(P, 3);
    uint64_t in, out;

    for (unsigned i = 0; i < 3; i++) {
        rig_offer(r, 0, 1, i + 1);
        g_assert_true(rig_avail_bytes(r, &in, &out, ~0ULL, ~0ULL));
        g_assert_cmpuint(in, ==, RIG_SEG_LEN);
        g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
    }
    g_assert_true(rig_avail_bytes(r, &in, &out, ~0ULL, ~0ULL));
    g_assert_cmpuint(in, ==, 0);
}

/* A whole ring available and none taken: counted once, not for two laps */
static void test_avail_bytes_lap(void)
{
    for (unsigned start = 0; start < 6; start++) {
        g_autoptr(Rig) r = rig_new(P, 3);
        uint64_t in, out;

        rig_run(r, start);
        for (unsigned i = 0; i < 3; i++) {
            rig_offer(r, 1, 0, i + 1);
        }
        g_assert_true(rig_avail_bytes(r, &in, &out, ~0ULL, ~0ULL));
        g_assert_cmpuint(out, ==, 3 * RIG_SEG_LEN);
    }
}

/* 2.8.10: the driver's area is not written, and the device's not read */
static void test_areas(void)
{
    g_autoptr(Rig) r = rig_new(P | VDRV_F_EVENT_IDX, 4);

    rig_trace(r);
    for (unsigned i = 0; i < 20; i++) {
        rig_set_notification(r, i % 3);
        rig_run(r, 1);
    }
    g_assert_cmpuint(rig_count(r, RIG_STORE, RIG_DRIVER, 0, 4), ==, 0);
    g_assert_cmpuint(rig_count(r, RIG_LOAD, RIG_DEVICE, 0, 4), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/packed/2.8.1/chains-round-the-end", test_chains);
    g_test_add_func("/packed/2.8/queue-of-32768", test_largest);
    g_test_add_func("/packed/2.8.17/chain-of-32768", test_largest_chain);
    g_test_add_func("/packed/2.8.1/is-available", test_is_available);
    g_test_add_func("/packed/2.8.6/id-of-last", test_last_id);
    g_test_add_func("/packed/2.8.7/id-not-of-table", test_table_id);
    g_test_add_func("/packed/2.8.7/table-flags-ignored", test_table_flags);
    g_test_add_func("/packed/2.8.13/reserved-flags", test_reserved_flags);
    g_test_add_func("/packed/2.8.3/used-write-flag", test_used_flags);
    g_test_add_func("/packed/2.8.6/one-used-descriptor",
                    test_one_descriptor_per_chain);
    g_test_add_func("/packed/2.8.21.1/flags-before-rest", test_read_order);
    g_test_add_func("/packed/2.8.9/first-flags-last", test_write_order);
    g_test_add_func("/packed/2.8.12/any-order", test_any_order);
    g_test_add_func("/packed/2.8.12/whole-ring", test_whole_ring);
    g_test_add_func("/packed/2.8.5/mixed-ring", test_mixed_ring);
    g_test_add_func("/packed/2.8.19/mixed-list", test_mixed_list);
    g_test_add_func("/packed/2.8.18/most-segments", test_most_segments);
    g_test_add_func("/packed/2.8.17/capacity", test_capacity);
    g_test_add_func("/packed/2.8.5/avail-bytes", test_avail_bytes);
    g_test_add_func("/packed/2.8.5/avail-bytes-full", test_avail_bytes_full);
    g_test_add_func("/packed/2.8.5/avail-bytes-lap", test_avail_bytes_lap);
    g_test_add_func("/packed/2.8.10/areas", test_areas);
    return g_test_run();
}
