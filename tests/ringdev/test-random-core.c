/*
 * Driver library against core, long random runs, beside a simple oracle
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The oracle is three lists of requests: published and not taken, taken, and
 * returned. Out of order a request moves to the end of the last list when the
 * device finishes it, in order when all before it are finished too. Both
 * sides sleep when they have asked for a notification and wake only by one:
 * should both sleep while there is work, a notification was lost. Interrupts
 * are compared with the enumeration of rig_due(). With batch labels the driver
 * may lie: the course of things is then another, their outcome is not.
 *
 * RING_OPS and RING_SEED change length and course; the defaults always take
 * the same course. What waits in order does not move with a queue here, as
 * rig_move() does not carry it: test-model-core.c has that.
 */
#include <stdlib.h>
#include "rig.h"

#define P VDRV_F_PACKED
/* Beside the feature bits: batch labels, by a device that reads on, wrong */
#define LABELS      (1u << 0)
#define READS_ON    (1u << 1)
#define LIES        (1u << 2)
#define MAX_NUM 64u

typedef struct Request {
    unsigned out, in;
    uint32_t written;
    VirtRingChain chain;
    bool busy, done, unsized;
} Request;

typedef struct List {
    unsigned token[MAX_NUM], n;
} List;

typedef struct Run {
    Rig *r;
    Request req[MAX_NUM];
    List added;                 /* by the driver, not visible yet */
    List avail, taken, used;
    uint64_t rng;
    bool driver_sleeps, device_sleeps, lies;
    bool last_out;              /* the last chain taken is still out */
    uint64_t kicks, calls, quiet, held, back, moves, unfetched, skipped;
} Run;

static uint32_t rnd(Run *x, uint32_t below)
{
    x->rng ^= x->rng << 13;
    x->rng ^= x->rng >> 7;
    x->rng ^= x->rng << 17;
    return (uint32_t)(x->rng >> 32) % below;
}

static unsigned drop(List *l, unsigned at)
{
    unsigned token = l->token[at];

    g_assert_cmpuint(at, <, l->n);
    l->n--;
    memmove(&l->token[at], &l->token[at + 1],
            (l->n - at) * sizeof(l->token[0]));
    return token;
}

static void append(List *l, unsigned token)
{
    g_assert_cmpuint(l->n, <, MAX_NUM);
    l->token[l->n++] = token;
}

static void driver_add(Run *x)
{
    Rig *r = x->r;
    unsigned segs = 1 + rnd(x, MIN(r->num, 6)), in = rnd(x, segs + 1);
    unsigned token = 0, direct = 0;
    uint64_t table = 0;
    int ret;

    while (token < r->num && x->req[token].busy) {
        token++;
    }
    if (token == r->num) {
        return;
    }
    if (r->features & VDRV_F_INDIRECT && rnd(x, 2)) {
        table = rig_table(r, token);
        direct = rig_packed(r) ? 0 : rnd(x, segs);
    }
    ret = rig_add_direct(r, segs - in, in, table, direct, token + 1);
    if (ret == VDRV_ENOSPC) {
        return;
    }
    g_assert_cmpint(ret, ==, VDRV_OK);
    x->req[token] = (Request) { .out = segs - in, .in = in, .busy = true };
    append(&x->added, token);
}

/* Promise what is not there, or do not promise what is */
static void driver_lie(Run *x)
{
    VdrvQueue *vq = &x->r->vq;
    uint32_t at = vq->last_pos * VIRTQ_DESC_SIZE + PVIRTQ_DESC_FLAGS_OFS;

    if (vq->last_pos != vq->head_pos) {
        rig_set16(x->r, RIG_DESC, at, vq->last_flags | VIRTQ_DESC_F_MORE);
    }
    vq->head_flags ^= VIRTQ_DESC_F_MORE;
}

static void driver_publish(Run *x)
{
    if (x->lies && x->added.n && rnd(x, 2)) {
        driver_lie(x);
    }
    while (x->added.n) {
        append(&x->avail, drop(&x->added, 0));
    }
    rig_publish(x->r);
    if (rig_kick(x->r)) {
        x->device_sleeps = false;
        x->kicks++;
    }
}

static void driver_get(Run *x)
{
    VdrvUsed used = { 0 };
    int ret = vdrv_get(&rig_ops, &x->r->vq, &used);
    Request *req;
    unsigned token;

    g_assert_cmpint(ret, >=, 0);
    if (!ret) {
        g_assert_cmpuint(x->used.n, ==, 0);
        x->driver_sleeps =
            !vdrv_enable_cb_after(&rig_ops, &x->r->vq, rnd(x, 3));
        return;
    }
    token = drop(&x->used, 0);
    req = &x->req[token];
    g_assert_cmpuint((uintptr_t)used.token, ==, token + 1);
    g_assert_cmpuint(used.len, ==, req->written);
    req->busy = false;
    x->back++;
    if (!rnd(x, 8)) {
        vdrv_disable_cb(&rig_ops, &x->r->vq);
    }
}

/* May this one be taken without a look? In order its size is not noted */
static bool may_skip(Run *x)
{
    return !rig_in_order(x->r) || !x->avail.n ||
           !x->req[x->avail.token[0]].in;
}

static bool device_fetch(Run *x)
{
    Rig *r = x->r;
    bool skip = rnd(x, 8) == 0 && may_skip(x);
    VirtRingResult result = skip ? rig_skip(r) : rig_fetch(r);
    Request *req;
    unsigned token;

    if (!x->avail.n) {
        g_assert_cmpint(result, ==, VRING_NONE);
        return false;
    }
    g_assert_cmpint(result, ==, VRING_CHAIN);
    token = drop(&x->avail, 0);
    req = &x->req[token];
    if (!skip) {
        rig_assert_segs(r, req->out, req->in, token + 1);
    }
    x->skipped += skip;
    req->chain = r->chain;
    append(&x->taken, token);
    x->last_out = true;
    return true;
}

static void device_bytes(Run *x, uint64_t max_in, uint64_t max_out)
{
    uint64_t in, out, all_in = 0, all_out = 0;

    for (unsigned i = 0; i < x->avail.n; i++) {
        all_in += x->req[x->avail.token[i]].in * RIG_SEG_LEN;
        all_out += x->req[x->avail.token[i]].out * RIG_SEG_LEN;
    }
    g_assert_true(rig_avail_bytes(x->r, &in, &out, max_in, max_out));
    g_assert_cmpuint(in, <=, all_in);
    g_assert_cmpuint(out, <=, all_out);
    g_assert_cmpuint(in, >=, MIN(all_in, max_in));
    g_assert_cmpuint(out, >=, MIN(all_out, max_out));
}

/* Nothing to do: go to sleep in one of the ways that there are */
static void device_sleep(Run *x)
{
    Rig *r = x->r;
    VirtRingAreas a = rig_areas(r);

    switch (rnd(x, r->labels ? 4 : 3)) {
    case 3:
        /* Notifications have been on all the time */
        x->device_sleeps = r->pos.notification && rig_empty(r);
        break;
    case 0:
        if (r->pos.notification) {
            x->device_sleeps = !device_fetch(x);
        }
        break;
    case 1:
        rig_set_notification(r, true);
        x->device_sleeps = rig_empty(r);
        break;
    default:
        device_bytes(x, ~0ULL, ~0ULL);
        rig_set_notification(r, true);
        /* Not for those seen, only for what comes after them */
        if (!vring_more(&r->ring, &a, r->pos.shadow_avail_idx)) {
            x->device_sleeps = !x->avail.n;
        }
        break;
    }
}

static void decide(Run *x)
{
    /* Put off for more than a lap, events cannot be told apart */
    bool exact = x->r->decided && !x->r->labels, due = rig_due(x->r);
    bool held = x->r->ring.held, yes = rig_should_notify(x->r);

    if (held) {
        g_assert_false(yes);
        x->held++;
        return;
    }
    g_assert_true(yes || !due);
    g_assert_true(!exact || yes == due);
    if (yes) {
        x->driver_sleeps = false;
        x->calls++;
    } else {
        x->quiet++;
    }
}

/* Finish some, in any order, and publish */
static void device_return(Run *x)
{
    Rig *r = x->r;
    unsigned n = 1 + rnd(x, 4), filled = 0, flushed = 0, got;

    /* A decision at least once a lap */
    if (r->span + r->pos.inuse > r->num) {
        decide(x);
    }
    while (n-- && x->taken.n) {
        unsigned at = rnd(x, x->taken.n), token = x->taken.token[at];
        Request *req = &x->req[token];
        uint32_t all = req->in * RIG_SEG_LEN;

        if (req->done) {
            continue;
        }
        req->written = rnd(x, 2) ? all : rnd(x, all + 1);
        if (req->unsized) {
            req->written = MAX(req->written, MIN(all, 1));
        }
        g_assert_true(rig_fill(r, &req->chain, req->written, filled++));
        if (at + 1 == x->taken.n) {
            x->last_out = false;
        }
        if (rig_in_order(r)) {
            req->done = true;
        } else {
            append(&x->used, drop(&x->taken, at));
        }
    }
    while (rig_in_order(r) && x->taken.n &&
           x->req[x->taken.token[0]].done) {
        append(&x->used, drop(&x->taken, 0));
        flushed++;
    }
    got = rig_flush(r, filled);
    g_assert_cmpuint(got, ==, rig_in_order(r) ? flushed : filled);
    if (rnd(x, 4)) {
        decide(x);
    }
}

static void device_unfetch(Run *x)
{
    unsigned n = 0, ndescs = 0, most = 1 + rnd(x, 3);

    while (x->last_out && n < most && x->taken.n) {
        unsigned token = x->taken.token[x->taken.n - 1];

        if (x->req[token].done) {
            break;
        }
        /* Only a run of those taken last; others may have gone in between */
        if (n && (x->req[token].chain.pos + (rig_packed(x->r) ?
                  x->req[token].chain.ndescs : 1)) % x->r->num !=
                 x->req[x->avail.token[0]].chain.pos) {
            break;
        }
        ndescs += x->req[token].chain.ndescs;
        drop(&x->taken, x->taken.n - 1);
        memmove(&x->avail.token[1], &x->avail.token[0],
                x->avail.n * sizeof(x->avail.token[0]));
        x->avail.token[0] = token;
        x->avail.n++;
        x->req[token].unsized = false;
        n++;
    }
    if (n) {
        rig_unfetch(x->r, n, ndescs);
        x->unfetched += n;
        /* Whose place is before it may be out, or gone: do not guess */
        x->last_out = false;
        x->device_sleeps = false;
    }
}

static void device_move(Run *x)
{
    for (unsigned i = 0; i < x->taken.n; i++) {
        if (x->req[x->taken.token[i]].done) {
            return;
        }
    }
    g_assert_true(rig_move(x->r));
    for (unsigned i = 0; i < x->taken.n; i++) {
        x->req[x->taken.token[i]].unsized = true;
    }
    x->moves++;
}

static void one_step(Run *x)
{
    switch (rnd(x, 16)) {
    case 0 ... 4:
        driver_add(x);
        break;
    case 5:
    case 6:
        driver_publish(x);
        break;
    case 7 ... 9:
        if (!x->driver_sleeps) {
            driver_get(x);
        }
        break;
    case 10 ... 11:
        if (x->r->span) {
            decide(x);
        }
        if (!x->device_sleeps && !device_fetch(x)) {
            device_sleep(x);
        }
        break;
    case 12:
        if (!x->device_sleeps) {
            if (rnd(x, 2)) {
                device_bytes(x, rnd(x, 200), rnd(x, 200));
            } else {
                rig_set_notification(x->r, rnd(x, 2));
            }
        }
        break;
    case 13:
        if (!rnd(x, 4)) {
            device_unfetch(x);
        } else if (!rnd(x, 8)) {
            device_move(x);
        }
        break;
    default:
        if (x->taken.n) {
            device_return(x);
        }
        break;
    }
}

/* Let both sides finish; whoever sleeps is left alone */
static void drain(Run *x)
{
    driver_publish(x);
    for (unsigned i = 0; i < 100 * MAX_NUM; i++) {
        while (!x->device_sleeps) {
            if (!device_fetch(x)) {
                device_sleep(x);
            }
        }
        while (x->taken.n) {
            device_return(x);
        }
        if (x->r->span) {
            decide(x);
        }
        while (!x->driver_sleeps) {
            driver_get(x);
        }
        if (x->device_sleeps && x->driver_sleeps && !x->used.n &&
            !x->avail.n) {
            break;
        }
        /* enable_cb_after(): the last few may come without an interrupt */
        if (x->used.n && x->used.n < 3) {
            x->driver_sleeps = false;
        }
    }
    g_assert_cmpuint(x->avail.n, ==, 0);
    g_assert_cmpuint(x->taken.n, ==, 0);
    g_assert_cmpuint(x->used.n, ==, 0);
    g_assert_cmpuint(x->r->pos.inuse, ==, 0);
    g_assert_cmpuint(x->r->vq.num_free, ==, x->r->num);
}

static uint64_t env_number(const char *name, uint64_t def)
{
    const char *s = getenv(name);

    return s ? g_ascii_strtoull(s, NULL, 0) : def;
}

static void test_random(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data) & ~7ULL;
    unsigned labels = GPOINTER_TO_SIZE(data) & 7;
    static const uint16_t split_nums[] = { 1, 2, 4, 8, 64 };
    static const uint16_t packed_nums[] = { 1, 2, 3, 7, 64 };
    uint64_t seed = env_number("RING_SEED", 1);
    uint64_t ops = env_number("RING_OPS", 32768);

    for (unsigned i = 0; i < G_N_ELEMENTS(split_nums); i++) {
        uint16_t num = features & P ? packed_nums[i] : split_nums[i];
        g_autoptr(Rig) r = rig_new(features, num);
        Run x = {
            .r = r, .rng = seed * 0x9e3779b97f4a7c15ULL + features + num,
            .lies = labels & LIES,
        };

        if (labels) {
            rig_label(r, labels & READS_ON);
        }

        for (uint64_t op = 0; op < ops; op++) {
            one_step(&x);
            if (op % 1024 == 1023) {
                drain(&x);
            }
        }
        drain(&x);
        g_test_message("num %u: back %" G_GUINT64_FORMAT ", kicks %"
                       G_GUINT64_FORMAT ", interrupts %" G_GUINT64_FORMAT
                       ", none %" G_GUINT64_FORMAT ", moves %"
                       G_GUINT64_FORMAT ", given back %" G_GUINT64_FORMAT
                       ", skipped %" G_GUINT64_FORMAT, num, x.back, x.kicks,
                       x.calls, x.quiet, x.moves, x.unfetched, x.skipped);
        g_assert_cmpuint(x.back, >, ops / 100);
        g_assert_cmpuint(x.kicks, >, 0);
        g_assert_cmpuint(x.calls, >, 0);
        g_assert_cmpuint(x.moves, >, 0);
        g_assert_cmpuint(x.unfetched, >, 0);
        g_assert_cmpuint(x.skipped, >, 0);
        g_assert_cmpint(x.held > 0, ==, labels & READS_ON && num > 1);
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
        for (unsigned l = LABELS; i & 1 && l < 8; l += 2) {
            g_autofree char *more = g_strdup_printf(
                "%s/labels%s%s", path, l & READS_ON ? "/reads-on" : "",
                l & LIES ? "/lies" : "");

            g_test_add_data_func(more, GSIZE_TO_POINTER(features | l),
                                 test_random);
        }
    }
    return g_test_run();
}
