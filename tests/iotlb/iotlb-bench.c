/*
 * What the IOTLB costs by itself: hits, misses, invalidations
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The IOMMU behind it answers at once, so a miss is what the cache adds to the
 * IOMMU's own work. Prints a line of JSON for each case and round; the cases
 * take turns. One case alone, with --case, is for callgrind, which collects
 * what measured() does: --toggle-collect=measured.
 */

#include "qemu/osdep.h"
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include "iotlb.h"

#define ENTRIES     1024u       /* as a device has by default */
#define OPS         8192u
#define SCATTERED   7919u       /* pages between two that are used */
#define GROUP       4u          /* look-ups in one section, as in a request */
#define USED        64u         /* pages that are used, of those mapped */
/* Mappings of one size are in one region of IOVAs. */
#define REGION      (1ull << 44)

/*
 * Case:
 * @mappings: of each size
 * @sizes, @shift: how large
 * @used: pages that are looked up
 * @scattered: so far from each other that they fill sets unevenly
 * @entries: of the cache, if not ENTRIES
 * @invalidate: bytes taken away each time in place of a look-up, or 0
 * @hit: what is taken away is what was looked up
 */
typedef struct Case {
    const char *name;
    uint64_t mappings;
    unsigned sizes;
    unsigned shift[3];
    unsigned used;
    uint64_t invalidate;
    bool hit;
    bool scattered;
    unsigned entries;
} Case;

static const Case cases[] = {
    { "hit, 1 mapping", 1, 1, { 18 }, USED },
    { "hit, 1000 mappings", 1000, 1, { 12 }, USED },
    { "hit, 1000000 mappings", 1000000, 1, { 12 }, USED },
    { "hit, three sizes", 1000, 3, { 12, 16, 21 }, USED },
    { "512 pages used", 1000000, 1, { 12 }, 512 },
    { "512 pages used, scattered", 1000000, 1, { 12 }, 512,
      .scattered = true },
    { "1024 pages used", 1000000, 1, { 12 }, 1024 },
    { "1024 pages used, scattered", 1000000, 1, { 12 }, 1024,
      .scattered = true },
    { "1280 pages used", 1000000, 1, { 12 }, 1280 },
    { "2048 pages used", 1000000, 1, { 12 }, 2048 },
    { "4096 pages used", 1000000, 1, { 12 }, 4096 },
    { "unmap 4 KiB, not remembered", 1000000, 1, { 12 }, 0, 4096 },
    { "unmap 4 KiB and miss it", 1000000, 1, { 12 }, USED, 4096, true },
    { "unmap 4 KiB, three sizes", 1000, 3, { 12, 16, 21 }, 0, 4096 },
    { "unmap 256 KiB, not remembered", 1000000, 1, { 12 }, 0, 256 << 10 },
    { "unmap 1 GiB, not remembered", 1000000, 1, { 12 }, 0, 1 << 30 },
    { "unmap 4 KiB, 65536 entries", 1000000, 1, { 12 }, 0, 4096,
      .entries = 65536 },
    { "unmap 1 GiB, 65536 entries", 1000000, 1, { 12 }, 0, 1 << 30,
      .entries = 65536 },
};

typedef struct Bench {
    const Case *c;
    Iotlb *iotlb;
    IotlbReader reader;
    uint64_t *iova;             /* what is used, in order of use */
} Bench;

/* Host memory is named and never touched. */
static IotlbResult fill(void *opaque, uint64_t iova, unsigned right,
                        IotlbBlock *block)
{
    const Bench *b = opaque;
    uint64_t region = iova / REGION - 1;
    unsigned shift;

    if (region >= b->c->sizes) {
        return IOTLB_FAULT;
    }
    shift = b->c->shift[region];
    if (iova % REGION >> shift >= b->c->mappings) {
        return IOTLB_FAULT;
    }
    *block = (IotlbBlock) {
        .iova = iova >> shift << shift,
        .mask = (1ull << shift) - 1,
        .rights = IOTLB_READ | IOTLB_WRITE,
        .host = (void *)(uintptr_t)(iova >> shift << shift),
        .region = opaque,
    };
    return IOTLB_HIT;
}

static uint64_t page_at(const Case *c, uint64_t number)
{
    unsigned size = number % c->sizes;
    uint64_t bytes = c->mappings << c->shift[size];

    return (size + 1) * REGION +
           number / c->sizes * (c->scattered ? SCATTERED : 1) * 4096 % bytes;
}

/* What callgrind collects */
static uint64_t __attribute__((noinline)) measured(Bench *b)
{
    const Case *c = b->c;
    uint64_t missed = b->reader.misses;

    if (c->invalidate) {
        for (unsigned i = 0; i < OPS; i++) {
            uint64_t iova = c->hit ? b->iova[i % OPS] : 0;

            iotlb_invalidate(b->iotlb, iova, iova + c->invalidate - 1);
            if (c->hit) {
                /* It is remembered again, for the next time. */
                IotlbSpan span;

                iotlb_enter(&b->reader);
                iotlb_get(&b->reader, iova, IOTLB_READ, &span);
                iotlb_exit(&b->reader);
            }
        }
        return 0;
    }
    for (unsigned i = 0; i < OPS; i += GROUP) {
        iotlb_enter(&b->reader);
        for (unsigned j = 0; j < GROUP; j++) {
            IotlbSpan span;

            if (iotlb_get(&b->reader, b->iova[i + j], IOTLB_WRITE, &span) !=
                IOTLB_HIT) {
                abort();
            }
        }
        iotlb_exit(&b->reader);
    }
    return b->reader.misses - missed;
}

static void touch(Bench *b, uint64_t iova)
{
    IotlbSpan span;

    iotlb_enter(&b->reader);
    iotlb_get(&b->reader, iova, IOTLB_READ, &span);
    iotlb_exit(&b->reader);
}

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static void run(const Case *c, unsigned round)
{
    uint64_t seed = 88172645463325252ull, start, ns, missed;
    unsigned entries = c->entries ? c->entries : ENTRIES;
    Bench b = { .c = c, .iova = g_new(uint64_t, OPS) };

    b.iotlb = iotlb_new(entries, fill, &b);
    iotlb_reader_add(b.iotlb, &b.reader);
    for (unsigned i = 0; i < OPS; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        b.iova[i] = page_at(c, (seed >> 20) % MAX(c->used, 1));
    }
    /* The table is full of others before what is used comes in. */
    for (unsigned i = 0; i < 2 * entries; i++) {
        touch(&b, page_at(c, c->used + i));
    }
    for (unsigned i = 0; c->used && i < OPS; i++) {
        touch(&b, b.iova[i]);
    }
    start = now_ns();
    missed = measured(&b);
    ns = now_ns() - start;
    printf("{\"case\": \"%s\", \"round\": %u, \"ops\": %u, \"ns\": %" PRIu64
           ", \"missed\": %" PRIu64 "}\n", c->name, round, OPS, ns, missed);
    iotlb_reader_remove(&b.reader);
    iotlb_free(b.iotlb);
    g_free(b.iova);
}

static int usage(void)
{
    fprintf(stderr, "usage: iotlb-bench --list | --rounds N | --case NAME\n");
    return 1;
}

int main(int argc, char **argv)
{
    unsigned rounds = 1;
    const char *only = NULL;
    bool found = false;

    if (argc == 2 && !strcmp(argv[1], "--list")) {
        for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
            printf("\"%s\"\n", cases[i].name);
        }
        return 0;
    } else if (argc == 3 && !strcmp(argv[1], "--rounds")) {
        rounds = atoi(argv[2]);
    } else if (argc == 3 && !strcmp(argv[1], "--case")) {
        only = argv[2];
    } else {
        return usage();
    }
    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
            if (!only || !strcmp(only, cases[i].name)) {
                run(&cases[i], round);
                found = true;
            }
        }
    }
    return found ? 0 : usage();
}
