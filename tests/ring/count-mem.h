/*
 * Counting accessor: which cache lines each side of a ring touches
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Two caches of unlimited size are simulated, one for each side, with the
 * usual states. A *miss* moves a line between them (a read or a write of a
 * line that this side does not hold, because the other one wrote it); an
 * *upgrade* moves no data, but a write must first take the line away from the
 * other side, which holds it too. Both are a round trip between two CPUs.
 * *Lines* are the distinct lines a side touched between two marks.
 */
#ifndef COUNT_MEM_H
#define COUNT_MEM_H

#include <stdbool.h>
#include "vring-mem.h"

#define COUNT_LINE 64u

enum { COUNT_DRIVER, COUNT_DEVICE, COUNT_SIDES };

typedef struct CountLine {
    uint8_t state[COUNT_SIDES];     /* 0 not held, 1 shared, 2 written */
    uint32_t mark[COUNT_SIDES];     /* window in which last touched */
} CountLine;

typedef struct CountStats {
    uint64_t loads;
    uint64_t stores;
    uint64_t lines;
    uint64_t misses;
    uint64_t upgrades;
    uint64_t fences;
} CountStats;

typedef struct CountMem {
    void *direct;           /* of the direct accessor underneath */
    uint64_t base;          /* guest address of line[0] */
    uint64_t size;
    unsigned side;          /* who is running: COUNT_DRIVER or _DEVICE */
    uint32_t window;        /* see count_mark() */
    CountStats stats[COUNT_SIDES];
    CountLine *line;        /* @size / COUNT_LINE of them */
} CountMem;

/* Start a new window for counting distinct lines */
static inline void count_mark(CountMem *c)
{
    c->window++;
}

void count_touch(CountMem *c, uint64_t addr, unsigned len, bool write);

/* `mem` is a CountMem */
extern const VdrvMemOps vdrv_mem_count;

#endif /* COUNT_MEM_H */
