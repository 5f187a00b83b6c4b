/*
 * Every sequence of operations up to a depth, on the smallest rings
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Breadth first over the states that driver and device can bring a queue
 * into, from each position of two laps and round the end of the 16-bit index.
 * Sequences that lead to the same state, by all its bytes, go on as one. What
 * is compared after each step says world.h. RING_CORE_DEPTH raises the depth.
 */
#define NAIVE_NUM 5u
#include <stdlib.h>
#include "world.h"
#include <glib.h>

typedef struct Step {
    uint32_t parent;
    uint8_t op, arg;
} Step;

typedef struct Search {
    GArray *steps;              /* Step, one for each state, for the trace */
    GHashTable *seen;           /* hash of a state, 128 bits */
    GArray *level, *next;       /* World */
    uint32_t first;             /* number of the first state of level */
    uint64_t edges;
} Search;

static const Step ops[] = {
    { .op = W_MAKE }, { .op = W_MAKE, .arg = 1 }, { .op = W_MAKE, .arg = 2 },
    { .op = W_KICK }, { .op = W_REAP }, { .op = W_FETCH }, { .op = W_SKIP },
    { .op = W_FILL, .arg = 0 }, { .op = W_FILL, .arg = 2 },
    { .op = W_FILL, .arg = 5 }, { .op = W_FILL, .arg = 8 },
    { .op = W_FLUSH }, { .op = W_UNFETCH }, { .op = W_UNFETCH, .arg = 1 },
    { .op = W_NOTIFY_OFF }, { .op = W_NOTIFY_ON }, { .op = W_DECIDE },
    { .op = W_BYTES }, { .op = W_BYTES_SLEEP }, { .op = W_EMPTY },
    { .op = W_MOVE },
};

static World world;

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15ULL;
    return h ^ h >> 29;
}

/* True if no sequence came here before */
static bool is_new(Search *s)
{
    const uint8_t *p = (const uint8_t *)&world;
    uint64_t h[2] = { 1, 2 }, v;
    __uint128_t *key;

    for (size_t i = 0; i + 8 <= sizeof(World); i += 8) {
        memcpy(&v, p + i, 8);
        h[0] = mix(h[0], v);
        h[1] = mix(h[1] + i, ~v);
    }
    if (g_hash_table_contains(s->seen, h)) {
        return false;
    }
    key = g_memdup2(h, sizeof(h));
    g_hash_table_add(s->seen, key);
    return true;
}

static guint key_hash(gconstpointer key)
{
    return *(const uint64_t *)key;
}

static gboolean key_equal(gconstpointer a, gconstpointer b)
{
    return !memcmp(a, b, 16);
}

static void print_trace(Search *s, uint32_t number)
{
    Step step = g_array_index(s->steps, Step, number);

    if (number) {
        print_trace(s, step.parent);
        g_test_message("  %s %u", world_names[step.op], step.arg);
    }
}

static void expand(Search *s, const World *from, uint32_t number)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(ops); i++) {
        Step step = ops[i];

        world = *from;
        if (!world_step(&world, step.op, step.arg)) {
            continue;
        }
        s->edges++;
        step.parent = number;
        if (world.error) {
            g_array_append_val(s->steps, step);
            print_trace(s, s->steps->len - 1);
            g_test_message("%s num %u%s%s: %s does not hold",
                           world.n.packed ? "packed" : "split", world.n.num,
                           world.n.event_idx ? " event_idx" : "",
                           world.n.in_order ? " in_order" : "", world.error);
            g_assert_not_reached();
        }
        if (is_new(s)) {
            g_array_append_val(s->steps, step);
            g_array_append_val(s->next, world);
        }
    }
}

static void search(Search *s, unsigned depth)
{
    Step root = { 0 };

    s->steps = g_array_new(false, false, sizeof(Step));
    s->level = g_array_new(false, false, sizeof(World));
    s->next = g_array_new(false, false, sizeof(World));
    s->seen = g_hash_table_new_full(key_hash, key_equal, g_free, NULL);
    s->first = 0;
    is_new(s);
    g_array_append_val(s->steps, root);
    g_array_append_val(s->level, world);
    while (depth--) {
        GArray *done = s->level;

        for (unsigned i = 0; i < done->len; i++) {
            expand(s, &g_array_index(done, World, i), s->first + i);
        }
        s->first += done->len;
        s->level = s->next;
        s->next = done;
        g_array_set_size(s->next, 0);
    }
    g_array_free(s->level, true);
    g_array_free(s->next, true);
    g_array_free(s->steps, true);
    g_hash_table_destroy(s->seen);
}

static void test_all(gconstpointer data)
{
    unsigned f = GPOINTER_TO_UINT(data), num = 1;
    const char *env = getenv("RING_CORE_DEPTH");
    unsigned depth = env ? (unsigned)atoi(env) : 6;
    bool packed = f & 1;
    Search s = { 0 };
    uint64_t states = 0;

    while (num <= (packed ? 5 : 4)) {
        /* Packed: each offset, both wrap counters. Split: from 0 and -num. */
        for (unsigned i = 0; i < (packed ? 2 * num : num + 1); i++) {
            memset(&world, 0, sizeof(world));
            world.n.num = num;
            world.n.packed = packed;
            world.n.event_idx = f & 2;
            world.n.in_order = f & 4;
            world.n.indirect = true;
            world_init(&world, packed || !i ? i : 0x10000 - i);
            search(&s, depth);
        }
        num = packed ? num + 1 : num * 2;
    }
    states = s.edges;
    g_test_message("%" G_GUINT64_FORMAT " steps at depth %u", states, depth);
    g_assert_cmpuint(states, >, 1000);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < 8; i++) {
        g_autofree char *path =
            g_strdup_printf("/exhaustive/%s%s%s", i & 1 ? "packed" : "split",
                            i & 2 ? "/event" : "", i & 4 ? "/in-order" : "");

        g_test_add_data_func(path, GUINT_TO_POINTER(i), test_all);
    }
    return g_test_run();
}
