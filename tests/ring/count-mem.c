/*
 * Counting accessor: which cache lines each side of a ring touches
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include "count-mem.h"

enum { NOT_HELD, SHARED, WRITTEN };

void count_touch(CountMem *c, uint64_t addr, unsigned len, bool write)
{
    CountStats *s = &c->stats[c->side];
    uint64_t ofs = addr - c->base;
    CountLine *l;
    uint8_t *mine, *other;

    if (ofs >= c->size || ofs % COUNT_LINE + len > COUNT_LINE) {
        fprintf(stderr, "access to 0x%llx: outside the ring or over a line\n",
                (unsigned long long)addr);
        abort();
    }
    l = &c->line[ofs / COUNT_LINE];
    mine = &l->state[c->side];
    other = &l->state[!c->side];
    if (l->mark[c->side] != c->window) {
        l->mark[c->side] = c->window;
        s->lines++;
    }
    if (write) {
        s->stores++;
        if (*mine == NOT_HELD) {
            /* Nobody's yet: comes from memory, not from the other side */
            s->misses += *other != NOT_HELD;
        } else if (*mine == SHARED) {
            s->upgrades += *other != NOT_HELD;
        }
        *mine = WRITTEN;
        *other = NOT_HELD;
    } else {
        s->loads++;
        if (*mine == NOT_HELD) {
            s->misses += *other != NOT_HELD;
            *mine = SHARED;
            if (*other == WRITTEN) {
                *other = SHARED;
            }
        }
    }
}

static uint16_t count_load16(void *mem, uint64_t addr)
{
    CountMem *c = mem;

    count_touch(c, addr, 2, false);
    return vdrv_direct_load16(c->direct, addr);
}

static uint16_t count_load16_acquire(void *mem, uint64_t addr)
{
    CountMem *c = mem;

    count_touch(c, addr, 2, false);
    return vdrv_direct_load16_acquire(c->direct, addr);
}

static uint32_t count_load32(void *mem, uint64_t addr)
{
    CountMem *c = mem;

    count_touch(c, addr, 4, false);
    return vdrv_direct_load32(c->direct, addr);
}

static uint64_t count_load64(void *mem, uint64_t addr)
{
    CountMem *c = mem;

    count_touch(c, addr, 8, false);
    return vdrv_direct_load64(c->direct, addr);
}

static void count_store16(void *mem, uint64_t addr, uint16_t val)
{
    CountMem *c = mem;

    count_touch(c, addr, 2, true);
    vdrv_direct_store16(c->direct, addr, val);
}

static void count_store16_release(void *mem, uint64_t addr, uint16_t val)
{
    CountMem *c = mem;

    count_touch(c, addr, 2, true);
    vdrv_direct_store16_release(c->direct, addr, val);
}

static void count_store32(void *mem, uint64_t addr, uint32_t val)
{
    CountMem *c = mem;

    count_touch(c, addr, 4, true);
    vdrv_direct_store32(c->direct, addr, val);
}

static void count_store64(void *mem, uint64_t addr, uint64_t val)
{
    CountMem *c = mem;

    count_touch(c, addr, 8, true);
    vdrv_direct_store64(c->direct, addr, val);
}

static void count_fence(void *mem)
{
    CountMem *c = mem;

    c->stats[c->side].fences++;
}

const VdrvMemOps vdrv_mem_count = {
    .load16 = count_load16,
    .load16_acquire = count_load16_acquire,
    .load32 = count_load32,
    .load64 = count_load64,
    .store16 = count_store16,
    .store16_release = count_store16_release,
    .store32 = count_store32,
    .store64 = count_store64,
    .fence = count_fence,
};
