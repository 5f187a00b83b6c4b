/*
 * Every sequence of operations up to a depth, on the smallest rings
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A depth-first walk over all orders in which a driver and a device can act,
 * starting anew from each queue position. After each step the books of both
 * sides must agree with a third, trivial set of books kept here. RING_DEPTH
 * raises the depth.
 */
#include <stdlib.h>
#include <string.h>
#include "ring-test.h"

#define MAX_NUM 5u
#define MAX_RING_BYTES 1024u

enum Op {
    ADD_ONE, ADD_TWO, ADD_TABLE, PUBLISH, POP, PUSH_OLDEST, PUSH_NEWEST,
    PUSH_ALL, GET, OPS,
};

/* Who holds which buffer, by token, in order */
typedef struct Books {
    unsigned added[MAX_NUM], n_added;           /* not yet published */
    unsigned avail[MAX_NUM], n_avail;           /* not yet popped */
    ModelUsed held[MAX_NUM];
    unsigned held_token[MAX_NUM], n_held;       /* in the device */
    unsigned used[MAX_NUM], n_used;             /* not yet taken back */
    unsigned next_token;
} Books;

typedef struct State {
    VdrvQueue vq;
    ModelDevice dev;
    Books books;
    VdrvSlot slots[MAX_NUM];
    uint8_t ring[MAX_RING_BYTES];
} State;

static uint64_t visited;

static void save(const RingTest *t, const Books *b, State *s)
{
    size_t size = t->at.end - TEST_GPA;

    g_assert_cmpuint(size, <=, MAX_RING_BYTES);
    s->vq = t->vq;
    s->dev = t->dev;
    s->books = *b;
    memcpy(s->slots, t->slots, sizeof(VdrvSlot) * t->vq.num);
    memcpy(s->ring, t->ram, size);
}

static void restore(RingTest *t, Books *b, const State *s)
{
    t->vq = s->vq;
    t->dev = s->dev;
    *b = s->books;
    memcpy(t->slots, s->slots, sizeof(VdrvSlot) * t->vq.num);
    memcpy(t->ram, s->ring, t->at.end - TEST_GPA);
}

static unsigned take(unsigned *list, unsigned *n, unsigned at)
{
    unsigned v = list[at];

    memmove(&list[at], &list[at + 1], (--*n - at) * sizeof(*list));
    return v;
}

/* Returns false where the operation is not possible in this state */
static bool do_add(RingTest *t, Books *b, unsigned segs, bool table)
{
    unsigned token = b->next_token;
    int ret;

    if (segs > t->vq.num) {
        return false;
    }
    ret = ring_test_add(t, segs - 1, 1,
                        table ? ring_test_table(t, token % TEST_TABLES) : 0,
                        token);
    if (ret == VDRV_ENOSPC) {
        g_assert_cmpuint(t->vq.num_free, <, table ? 1 : segs);
        return false;
    }
    g_assert_cmpint(ret, ==, VDRV_OK);
    b->added[b->n_added++] = token;
    b->next_token++;
    return true;
}

static bool do_publish(RingTest *t, Books *b)
{
    if (!b->n_added) {
        return false;
    }
    vdrv_publish(t->m, &t->vq);
    memcpy(&b->avail[b->n_avail], b->added, b->n_added * sizeof(unsigned));
    b->n_avail += b->n_added;
    b->n_added = 0;
    return true;
}

static bool do_pop(RingTest *t, Books *b)
{
    int ret = ring_test_pop(t);

    g_assert_cmpint(ret, ==, b->n_avail ? 1 : 0);
    if (!ret) {
        return false;
    }
    b->held_token[b->n_held] = take(b->avail, &b->n_avail, 0);
    b->held[b->n_held] = model_used(&t->chain, 16);
    g_assert_cmpuint(t->segs[0].addr / 0x10000, ==,
                     b->held_token[b->n_held]);
    b->n_held++;
    return true;
}

static bool do_push(RingTest *t, Books *b, unsigned at)
{
    if (at >= b->n_held) {
        return false;
    }
    model_push(t->m, &t->dev, &b->held[at], 1);
    memmove(&b->held[at], &b->held[at + 1],
            (b->n_held - 1 - at) * sizeof(b->held[0]));
    b->used[b->n_used++] = take(b->held_token, &b->n_held, at);
    return true;
}

static bool do_push_all(RingTest *t, Books *b)
{
    if (b->n_held < 2) {
        return false;
    }
    if (t->dev.in_order) {
        model_push_batch(t->m, &t->dev, b->held, b->n_held);
    } else {
        model_push(t->m, &t->dev, b->held, b->n_held);
    }
    memcpy(&b->used[b->n_used], b->held_token, b->n_held * sizeof(unsigned));
    b->n_used += b->n_held;
    b->n_held = 0;
    return true;
}

static bool do_get(RingTest *t, Books *b)
{
    VdrvUsed used = { 0 };
    int ret = vdrv_get(t->m, &t->vq, &used);

    g_assert_cmpint(ret, ==, b->n_used ? 1 : 0);
    if (!ret) {
        return false;
    }
    g_assert_cmpuint((uintptr_t)used.token, ==, take(b->used, &b->n_used, 0));
    g_assert_cmpuint(used.len, ==, 16);
    return true;
}

static bool step(RingTest *t, Books *b, enum Op op)
{
    switch (op) {
    case ADD_ONE:
        return do_add(t, b, 1, false);
    case ADD_TWO:
        return do_add(t, b, 2, false);
    case ADD_TABLE:
        return do_add(t, b, MIN(2, t->vq.num), true);
    case PUBLISH:
        return do_publish(t, b);
    case POP:
        return do_pop(t, b);
    case PUSH_OLDEST:
        return do_push(t, b, 0);
    case PUSH_NEWEST:
        /* With one held it would be PUSH_OLDEST again */
        return !t->dev.in_order && b->n_held > 1 &&
               do_push(t, b, b->n_held - 1);
    case PUSH_ALL:
        return do_push_all(t, b);
    case GET:
        return do_get(t, b);
    default:
        g_assert_not_reached();
    }
}

static void walk(RingTest *t, Books *b, unsigned depth)
{
    State before;

    visited++;
    g_assert_cmpint(vdrv_more_used(t->m, &t->vq), ==, b->n_used > 0);
    g_assert_cmpint(model_avail(t->m, &t->dev), ==, b->n_avail > 0);
    g_assert_cmpuint(vdrv_outstanding(&t->vq), ==,
                     b->n_avail + b->n_held + b->n_used);
    if (!depth) {
        return;
    }
    save(t, b, &before);
    for (enum Op op = 0; op < OPS; op++) {
        if (step(t, b, op)) {
            walk(t, b, depth - 1);
            restore(t, b, &before);
        }
    }
}

static void test_walk(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data);
    bool packed = features & VDRV_F_PACKED;
    const char *env = getenv("RING_DEPTH");
    unsigned depth = env ? (unsigned)atoi(env) : 10;
    unsigned num = 1;

    visited = 0;
    while (num <= (packed ? MAX_NUM : 4)) {
        /* From each position of two laps: both wrap counters, each offset */
        for (unsigned start = 0; start < 2 * num; start++) {
            g_autoptr(RingTest) t = ring_test_new(features |
                                                  VDRV_F_INDIRECT, num);
            Books b = { .next_token = 1 };

            ring_test_run(t, start);
            walk(t, &b, depth);
        }
        num = packed ? num + 1 : num * 2;
    }
    g_test_message("%" G_GUINT64_FORMAT " states at depth %u", visited,
                   depth);
    g_assert_cmpuint(visited, >, 1000);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/exhaustive/split", GSIZE_TO_POINTER(0), test_walk);
    g_test_add_data_func("/exhaustive/split/in-order",
                         GSIZE_TO_POINTER(VDRV_F_IN_ORDER), test_walk);
    g_test_add_data_func("/exhaustive/packed",
                         GSIZE_TO_POINTER(VDRV_F_PACKED), test_walk);
    g_test_add_data_func("/exhaustive/packed/in-order",
                         GSIZE_TO_POINTER(VDRV_F_PACKED | VDRV_F_IN_ORDER),
                         test_walk);
    return g_test_run();
}
