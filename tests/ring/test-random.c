/*
 * Driver library against model device, long random runs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * All features in all combinations. Both sides sleep when they have asked
 * for a notification and wake only by one: should both sleep while there is
 * work, a notification was lost. RING_OPS and RING_SEED change length and
 * course; the defaults always take the same course.
 */
#include <stdlib.h>
#include "ring-test.h"

#define MAX_NUM 64u

/* One buffer on its way, by token */
typedef struct Request {
    uint16_t out, in;
    uint32_t written;
    bool busy;
} Request;

typedef struct Run {
    RingTest *t;
    Request req[MAX_NUM];
    unsigned avail[MAX_NUM], n_avail;       /* tokens in ring order */
    unsigned used[MAX_NUM], n_used;         /* tokens in the order returned */
    ModelUsed held[MAX_NUM];
    unsigned held_token[MAX_NUM], n_held;
    uint64_t rng;
    bool driver_sleeps, device_sleeps;
    uint64_t kicks, calls, done;
} Run;

static uint32_t rnd(Run *r, uint32_t below)
{
    /* xorshift64: good enough, and the same on every machine */
    r->rng ^= r->rng << 13;
    r->rng ^= r->rng >> 7;
    r->rng ^= r->rng << 17;
    return (uint32_t)(r->rng >> 32) % below;
}

static void driver_add(Run *r)
{
    RingTest *t = r->t;
    unsigned most = MIN(t->vq.num, 6);
    unsigned segs = 1 + rnd(r, most), in = rnd(r, segs + 1);
    unsigned token = 0;
    uint64_t table = 0;
    int ret;

    while (token < t->vq.num && r->req[token].busy) {
        token++;
    }
    if (token == t->vq.num) {
        g_assert_cmpuint(t->vq.num_free, ==, 0);
        return;
    }
    if (t->vq.indirect && rnd(r, 2)) {
        table = ring_test_table(t, token);
    }
    ret = ring_test_add(t, segs - in, in, table, token + 1);
    if (ret == VDRV_ENOSPC) {
        g_assert_cmpuint(t->vq.num_free, <, table ? 1 : segs);
        return;
    }
    g_assert_cmpint(ret, ==, VDRV_OK);
    r->req[token] = (Request) { segs - in, in, 0, true };
    r->avail[r->n_avail++] = token;
}

static void driver_publish(Run *r)
{
    vdrv_publish(r->t->m, &r->t->vq);
    if (vdrv_kick_needed(r->t->m, &r->t->vq)) {
        r->device_sleeps = false;
        r->kicks++;
    }
}

static unsigned shift(unsigned *list, unsigned *n)
{
    unsigned v = list[0];

    g_assert_cmpuint(*n, >, 0);
    (*n)--;
    for (unsigned i = 0; i < *n; i++) {
        list[i] = list[i + 1];
    }
    return v;
}

static void driver_get(Run *r)
{
    RingTest *t = r->t;
    VdrvUsed used = { 0 };
    int ret = vdrv_get(t->m, &t->vq, &used);
    Request *req;

    g_assert_cmpint(ret, >=, 0);
    if (!ret) {
        g_assert_cmpuint(r->n_used, ==, 0);
        r->driver_sleeps = !vdrv_enable_cb(t->m, &t->vq);
        return;
    }
    g_assert_cmpuint((uintptr_t)used.token - 1, ==,
                     shift(r->used, &r->n_used));
    req = &r->req[(uintptr_t)used.token - 1];
    g_assert_true(req->busy);
    g_assert_cmpuint(used.len, ==, req->written);
    req->busy = false;
    r->done++;
}

static void device_pop(Run *r)
{
    RingTest *t = r->t;
    int ret = ring_test_pop(t);
    unsigned token;

    g_assert_cmpint(ret, >=, 0);
    if (!ret) {
        r->device_sleeps = r->n_held == 0 &&
                           !model_enable_kick(t->m, &t->dev);
        return;
    }
    token = shift(r->avail, &r->n_avail);
    g_assert_cmpuint(t->chain.out, ==, r->req[token].out);
    g_assert_cmpuint(t->chain.nseg - t->chain.out, ==, r->req[token].in);
    for (unsigned i = 0; i < t->chain.nseg; i++) {
        g_assert_cmphex(t->segs[i].addr, ==,
                        (token + 1) * 0x10000 + i * 0x100);
        g_assert_cmpint(t->segs[i].write, ==, i >= t->chain.out);
    }
    r->req[token].written = rnd(r, (uint32_t)t->chain.in_len + 1);
    r->held[r->n_held] = model_used(&t->chain, r->req[token].written);
    r->held_token[r->n_held++] = token;
}

/* Return some: the first few in order, or a random selection */
static void device_push(Run *r)
{
    RingTest *t = r->t;
    ModelUsed batch[MAX_NUM];
    unsigned n = 1 + rnd(r, r->n_held);
    bool one_entry = t->dev.in_order && rnd(r, 2);

    for (unsigned i = 0; i < n; i++) {
        unsigned at = t->dev.in_order ? 0 : rnd(r, r->n_held);
        unsigned token = r->held_token[at];

        batch[i] = r->held[at];
        if (one_entry && i + 1 < n) {
            /* Only completely written buffers may be skipped */
            r->req[token].written = r->req[token].in * 16;
        }
        r->used[r->n_used++] = token;
        r->n_held--;
        for (unsigned j = at; j < r->n_held; j++) {
            r->held[j] = r->held[j + 1];
            r->held_token[j] = r->held_token[j + 1];
        }
    }
    if (one_entry) {
        model_push_batch(t->m, &t->dev, batch, n);
    } else {
        model_push(t->m, &t->dev, batch, n);
    }
    if (model_should_notify(t->m, &t->dev)) {
        r->driver_sleeps = false;
        r->calls++;
    }
}

static void one_step(Run *r)
{
    switch (rnd(r, 8)) {
    case 0:
    case 1:
    case 2:
        driver_add(r);
        break;
    case 3:
        driver_publish(r);
        break;
    case 4:
    case 5:
        if (!r->driver_sleeps) {
            driver_get(r);
        }
        break;
    case 6:
        if (!r->device_sleeps) {
            device_pop(r);
        }
        break;
    default:
        if (r->n_held) {
            device_push(r);
        }
        break;
    }
}

/* Let both sides finish; whoever sleeps is left alone */
static void drain(Run *r)
{
    driver_publish(r);
    for (unsigned i = 0; i < 8 * MAX_NUM; i++) {
        while (!r->device_sleeps) {
            device_pop(r);
            if (r->n_held) {
                device_push(r);
            }
        }
        while (!r->driver_sleeps) {
            driver_get(r);
        }
        if (r->device_sleeps && r->driver_sleeps) {
            break;
        }
    }
    g_assert_cmpuint(r->n_avail, ==, 0);
    g_assert_cmpuint(r->n_held, ==, 0);
    g_assert_cmpuint(r->n_used, ==, 0);
    ring_test_assert_idle(r->t);
}

static uint64_t env_number(const char *name, uint64_t def)
{
    const char *s = getenv(name);

    return s ? g_ascii_strtoull(s, NULL, 0) : def;
}

static void test_random(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data);
    static const uint16_t split_nums[] = { 1, 2, 4, 8, 64 };
    static const uint16_t packed_nums[] = { 1, 2, 3, 7, 64 };
    uint64_t seed = env_number("RING_SEED", 1);
    uint64_t ops = env_number("RING_OPS", 400000);

    g_test_message("RING_SEED=%" G_GUINT64_FORMAT, seed);
    for (unsigned i = 0; i < G_N_ELEMENTS(split_nums); i++) {
        uint16_t num = features & VDRV_F_PACKED ? packed_nums[i] :
                       split_nums[i];
        g_autoptr(RingTest) t = ring_test_new(features, num);
        Run r = {
            .t = t, .rng = seed * 0x9e3779b97f4a7c15ULL + features + num,
        };

        for (uint64_t op = 0; op < ops; op++) {
            one_step(&r);
            if (op % 1024 == 1023) {
                drain(&r);
            }
        }
        drain(&r);
        /* Work was done, and notifications were asked for and came */
        g_assert_cmpuint(r.done, >, ops / 100);
        g_assert_cmpuint(r.kicks, >, 0);
        g_assert_cmpuint(r.calls, >, 0);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < 16; i++) {
        uint64_t features = (i & 1 ? VDRV_F_PACKED : 0) |
                            (i & 2 ? VDRV_F_INDIRECT : 0) |
                            (i & 4 ? VDRV_F_EVENT_IDX : 0) |
                            (i & 8 ? VDRV_F_IN_ORDER : 0);
        g_autofree char *path =
            g_strdup_printf("/random/%s%s%s%s", i & 1 ? "packed" : "split",
                            i & 2 ? "/indirect" : "", i & 4 ? "/event" : "",
                            i & 8 ? "/in-order" : "");

        g_test_add_data_func(path, GSIZE_TO_POINTER(features), test_random);
    }
    return g_test_run();
}
