/*
 * Fuzz target: the ring core beside the naive model; see world.h
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The first bytes choose features, size and place of the queue, each pair that
 * follows is an operation and its argument: every input is a lawful run, so
 * that the fuzzer looks for rare states, not for the way into the ring.
 */
#include <stdio.h>
#include <stdlib.h>
#include "fuzz-ring.h"
#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static World w;
    uint64_t start;

    if (size < 4) {
        return 0;
    }
    memset(&w, 0, sizeof(w));
    w.n.packed = data[0] & 1;
    w.n.event_idx = data[0] & 2;
    w.n.in_order = data[0] & 4;
    w.n.indirect = data[0] & 8;
    w.n.num = w.n.packed ? 1u + data[1] % 16 : 1u << data[1] % 5;
    /* Split: round the end of the index; packed: in each of two laps */
    start = w.n.packed ? data[2] % (2 * w.n.num) : 0x10000 - data[2];
    world_init(&w, start);
    for (size_t i = 3; i + 2 <= size && !w.error; i += 2) {
        world_step(&w, data[i] % W_OPS, data[i + 1]);
    }
    if (w.error) {
        fprintf(stderr, "%s does not hold\n", w.error);
        abort();
    }
    return 0;
}
