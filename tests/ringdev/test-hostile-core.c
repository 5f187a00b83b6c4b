/*
 * Random bytes and indices in the ring: see hostile.h for what must hold
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * RING_RUNS and RING_SEED change length and course; the defaults always take
 * the same course.
 */
#include "hostile.h"
#include <glib.h>

static uint64_t rng;

static uint64_t rnd(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng;
}

static uint64_t env_number(const char *name, uint64_t def)
{
    const char *s = getenv(name);

    return s ? g_ascii_strtoull(s, NULL, 0) : def;
}

static void test_hostile(gconstpointer data)
{
    uint8_t features = GPOINTER_TO_SIZE(data);
    uint64_t runs = env_number("RING_RUNS", 60);
    uint64_t seed = env_number("RING_SEED", 1), done[4] = { 0 };

    rng = seed * 0x9e3779b97f4a7c15ULL + features + 1;
    for (uint64_t i = 0; i < runs; i++) {
        uint8_t program[3000];
        size_t size = 200 + rnd() % (sizeof(program) - 200);

        for (size_t j = 0; j < size; j++) {
            program[j] = rnd() >> 24;
        }
        program[0] = features | (rnd() % 4 ? 0 : 32);
        hostile_run(program, size, done);
    }
    g_test_message("none %" G_GUINT64_FORMAT ", chains %" G_GUINT64_FORMAT
                   ", broken %" G_GUINT64_FORMAT ", returned %"
                   G_GUINT64_FORMAT, done[VRING_NONE], done[VRING_CHAIN],
                   done[VRING_BROKEN], done[3]);
    /* It got somewhere */
    if (runs >= 60) {
        g_assert_cmpuint(done[VRING_CHAIN], >, 100);
        g_assert_cmpuint(done[VRING_BROKEN], >, 100);
        g_assert_cmpuint(done[3], >, 100);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < 32; i++) {
        g_autofree char *path = NULL;

        if (i & 1 && i & 16) {
            continue;
        }
        path = g_strdup_printf("/hostile/%s%s%s%s%s",
                               i & 1 ? "packed" : "split",
                               i & 2 ? "/indirect" : "",
                               i & 4 ? "/event-idx" : "",
                               i & 8 ? "/in-order" : "",
                               i & 16 ? "/on-empty" : "");
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_hostile);
    }
    return g_test_run();
}
