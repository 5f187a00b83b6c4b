/*
 * Steps of a test, with what must be so after them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "rig.h"

void rig_offer(Rig *r, unsigned out, unsigned in, uintptr_t token)
{
    g_assert_cmpint(rig_add(r, out, in, 0, token), ==, VDRV_OK);
    rig_publish(r);
}

void rig_assert_segs(Rig *r, unsigned out, unsigned in, uintptr_t token)
{
    g_assert_cmpuint(r->segs.size.out_num, ==, out);
    g_assert_cmpuint(r->segs.size.in_num, ==, in);
    g_assert_cmpuint(r->segs.size.out_len, ==, out * RIG_SEG_LEN);
    g_assert_cmpuint(r->segs.size.in_len, ==, in * RIG_SEG_LEN);
    for (unsigned i = 0; i < out + in; i++) {
        uint64_t addr = RIG_DATA + token * 0x1000000 + i * 0x100;

        g_assert_cmphex(r->segs.addr[i], ==, addr);
        g_assert_cmphex((uintptr_t)r->segs.iov[i].iov_base, ==,
                        addr ^ 1ULL << 60);
        g_assert_cmpuint(r->segs.iov[i].iov_len, ==, RIG_SEG_LEN);
    }
}

void rig_expect(Rig *r, uintptr_t token, uint32_t len)
{
    VdrvUsed used = { 0 };

    g_assert_cmpint(vdrv_get(&rig_ops, &r->vq, &used), ==, 1);
    g_assert_cmphex((uintptr_t)used.token, ==, token);
    g_assert_cmpuint(used.len, ==, len);
}

void rig_expect_none(Rig *r)
{
    VdrvUsed used = { 0 };

    g_assert_cmpint(vdrv_get(&rig_ops, &r->vq, &used), ==, 0);
}

void rig_assert_idle(Rig *r)
{
    rig_expect_none(r);
    g_assert_cmpint(rig_fetch(r), ==, VRING_NONE);
    g_assert_true(rig_empty(r));
    g_assert_cmpuint(r->vq.num_free, ==, r->num);
    g_assert_cmpuint(vdrv_outstanding(&r->vq), ==, 0);
    g_assert_cmpuint(r->pos.inuse, ==, 0);
    g_assert_cmpuint(r->pos.last_avail_idx, ==, r->vq.avail_idx);
    g_assert_cmpuint(r->pos.used_idx, ==, r->vq.used_idx);
    g_assert_cmpuint(r->vq.avail_idx, ==, r->vq.used_idx);
    if (rig_packed(r)) {
        g_assert_cmpuint(r->pos.last_avail_wrap_counter, ==,
                         r->vq.avail_wrap);
        g_assert_cmpuint(r->pos.used_wrap_counter, ==, r->vq.used_wrap);
    }
}

void rig_run(Rig *r, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        rig_offer(r, 0, 1, i + 1);
        rig_kick(r);
        rig_serve(r, RIG_SEG_LEN);
        rig_should_notify(r);
        rig_expect(r, i + 1, RIG_SEG_LEN);
    }
}
