/*
 * Long random runs of the core beside the naive model of naive.h
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A run is a list of operations on one queue, whose features, size and place
 * are random too. A run that goes wrong is shortened as long as it still does,
 * and printed. RING_MODEL_OPS is how many operations are done in all; the seed
 * is printed, and taken from RING_SEED.
 */
#include <stdlib.h>
#include "world.h"
#include <glib.h>

#define RUN 2000u

typedef struct Op {
    uint8_t op;
    uint16_t arg;
} Op;

typedef struct Run {
    uint16_t num;
    uint8_t features;
    uint64_t start;
    Op op[RUN];
    unsigned n;
} Run;

static World world;
static uint64_t rng;
static uint64_t done[W_OPS];

static uint32_t rnd(uint32_t below)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)(rng >> 32) % below;
}

/* How often each comes; both sides are at work about as often */
static const uint8_t weights[W_OPS] = {
    [W_MAKE] = 80, [W_KICK] = 25, [W_REAP] = 55, [W_FETCH] = 40,
    [W_SKIP] = 4, [W_FILL] = 60, [W_FLUSH] = 30, [W_UNFETCH] = 4,
    [W_NOTIFY_OFF] = 5, [W_NOTIFY_ON] = 10, [W_DECIDE] = 20, [W_BYTES] = 5,
    [W_BYTES_SLEEP] = 4, [W_EMPTY] = 4, [W_MOVE] = 2, [W_RESET] = 1,
};

static uint16_t random_arg(unsigned op, uint16_t num)
{
    switch (op) {
    case W_MAKE:
        return 3 + rnd(54);
    case W_FILL:
        /* The oldest more often, or in order nothing would come back */
        return 3 * rnd(rnd(2) ? 2 : num) + rnd(3);
    case W_UNFETCH:
        return rnd(3);
    case W_BYTES:
        return rnd(200);
    case W_RESET:
        return rnd(2) ? num : 1 + rnd(NAIVE_NUM);
    default:
        return 0;
    }
}

static void make_run(Run *r)
{
    static const uint16_t split_nums[] = { 1, 2, 4, 8, 16, 64 };
    unsigned sum = 0;
    /* Phases in which one side is slow, so that rings get full and empty */
    unsigned slow = W_OPS;

    for (unsigned i = 0; i < W_OPS; i++) {
        sum += weights[i];
    }
    r->features = rnd(16);
    if (r->features & 1) {
        r->num = rnd(2) ? 1 + rnd(8) : 1 + rnd(NAIVE_NUM);
        r->start = rnd(2 * r->num);
    } else {
        r->num = split_nums[rnd(G_N_ELEMENTS(split_nums))];
        r->start = rnd(2) ? 0 : 0x10000 - rnd(300);
    }
    for (r->n = 0; r->n < RUN; r->n++) {
        unsigned op = 0, at = rnd(sum);

        if (r->n % 100 == 0) {
            slow = rnd(3) ? rnd(W_OPS) : W_OPS;
        }
        while (at >= weights[op]) {
            at -= weights[op++];
        }
        if (op == slow && rnd(8)) {
            op = W_MAKE;
        }
        r->op[r->n] = (Op) { op, random_arg(op, r->num) };
    }
}

/* Returns how many operations were done; world.error is the verdict */
static unsigned do_run(const Run *r, unsigned *last)
{
    unsigned count = 0;

    memset(&world, 0, sizeof(world));
    world.n.num = r->num;
    world.n.packed = r->features & 1;
    world.n.event_idx = r->features & 2;
    world.n.in_order = r->features & 4;
    world.n.indirect = r->features & 8;
    world_init(&world, r->start);
    for (unsigned i = 0; i < r->n && !world.error; i++) {
        if (world_step(&world, r->op[i].op, r->op[i].arg)) {
            count++;
            done[r->op[i].op]++;
        }
        *last = i;
    }
    return count;
}

/* Leave out what can be left out, in ever smaller pieces */
static void shorten(Run *r)
{
    unsigned last;

    do_run(r, &last);
    r->n = last + 1;
    for (unsigned piece = r->n; piece; piece /= 2) {
        for (unsigned at = 0; at < r->n;) {
            unsigned n = MIN(piece, r->n - at);
            g_autofree Run *less = g_memdup2(r, sizeof(*r));

            memmove(&less->op[at], &less->op[at + n],
                    (r->n - at - n) * sizeof(Op));
            less->n -= n;
            do_run(less, &last);
            if (world.error) {
                *r = *less;
            } else {
                at += n;
            }
        }
    }
    do_run(r, &last);
}

static void fail(Run *r, uint64_t seed)
{
    shorten(r);
    for (unsigned i = 0; i < r->n; i++) {
        g_test_message("  %s %u", world_names[r->op[i].op], r->op[i].arg);
    }
    g_test_message("RING_SEED=%" G_GUINT64_FORMAT ": %s num %u start %"
                   G_GUINT64_FORMAT "%s%s%s: %s does not hold", seed,
                   r->features & 1 ? "packed" : "split", r->num, r->start,
                   r->features & 2 ? " event_idx" : "",
                   r->features & 4 ? " in_order" : "",
                   r->features & 8 ? " indirect" : "", world.error);
    g_test_fail();
}

static uint64_t env_number(const char *name, uint64_t def)
{
    const char *s = getenv(name);

    return s ? g_ascii_strtoull(s, NULL, 0) : def;
}

static void test_model(void)
{
    uint64_t seed = env_number("RING_SEED", 1);
    uint64_t ops = env_number("RING_MODEL_OPS", 1000000), count = 0;
    g_autofree Run *r = g_new0(Run, 1);
    unsigned last;

    g_test_message("RING_SEED=%" G_GUINT64_FORMAT, seed);
    rng = seed * 0x9e3779b97f4a7c15ULL + 1;
    while (count < ops) {
        make_run(r);
        count += do_run(r, &last);
        if (world.error) {
            fail(r, seed);
            return;
        }
    }
    for (unsigned i = 0; i < W_OPS; i++) {
        g_test_message("%s: %" G_GUINT64_FORMAT, world_names[i], done[i]);
        g_assert_cmpuint(done[i], >, ops / 2000);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/model/random", test_model);
    return g_test_run();
}
