/*
 * Cache lines a request costs, counted, not timed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Driver library and device model take turns on one ring through the
 * counting accessor (count-mem.h): the driver publishes a batch, the device
 * takes and returns it, the driver takes it back. Either side looks once more
 * and finds nothing, as one that waits does. The result is exact and the
 * same on every machine. It is what the talk counts by hand: for the split
 * ring five misses per request, 5/4 with batches of four; for the packed one
 * two to four, and one.
 *
 * Modes: `poll` - nobody looks at or writes notification wishes; `flags` and
 * `event` - both check the other's wish after each batch and ask for a
 * notification before they wait, without and with EVENT_IDX.
 *
 * Shapes: `direct` - one descriptor; `chain` - two; `indirect` - a table of
 * two. Payload is not counted. One JSON object per line, or --table.
 */
#include "bench-ring.h"
#include "count-mem.h"

#define RING_SIZE 256u
#define WARM_REQUESTS (4 * RING_SIZE)
#define REQUESTS (16 * RING_SIZE)

enum { POLL, FLAGS, EVENT, MODES };
enum { DIRECT, CHAIN, INDIRECT, SHAPES };

static const char *const mode_names[] = { "poll", "flags", "event" };
static const char *const shape_names[] = { "direct", "chain", "indirect" };

typedef struct Cell {
    bool packed;
    bool in_order;
    unsigned mode;
    unsigned shape;
    unsigned batch;
} Cell;

static CountMem count;

static void *count_mem_of(void *ram, uint64_t gpa, size_t size)
{
    count = (CountMem) {
        .direct = vdrv_direct_mem(ram, gpa),
        .base = gpa,
        .size = (size + COUNT_LINE - 1) / COUNT_LINE * COUNT_LINE,
        .window = 1,
    };
    count.line = calloc(count.size / COUNT_LINE, sizeof(CountLine));
    if (!count.line) {
        fputs("ringcount: no memory\n", stderr);
        exit(1);
    }
    return &count;
}

static void driver_send(BenchRing *r, const Cell *c)
{
    const VdrvMemOps *m = &vdrv_mem_count;

    for (unsigned i = 0; i < c->batch; i++) {
        VdrvSeg seg[2] = { { BENCH_GPA, 16 }, { BENCH_GPA, 16 } };
        VdrvBuf buf = { .seg = seg, .token = r };

        buf.out = c->shape != DIRECT;
        buf.in = 1;
        if (c->shape == INDIRECT) {
            /* A table of its own for each buffer that can be in flight */
            buf.table = r->tables + r->vq.added % c->batch *
                        BENCH_TABLE_SEG * VIRTQ_DESC_SIZE;
        }
        bench_check(!bench_add(m, &r->vq, c->packed, &buf), "add");
    }
    bench_publish(m, &r->vq, c->packed);
    if (c->mode != POLL) {
        vdrv_kick_needed(m, &r->vq);
    }
}

static void device_serve(BenchRing *r, const Cell *c)
{
    const VdrvMemOps *m = &vdrv_mem_count;
    ModelUsed used[BENCH_MAX_BATCH];
    unsigned n;

    if (c->mode == FLAGS) {
        model_disable_kick(m, &r->dev);
    }
    n = bench_pop(m, &r->dev, c->packed, used, BENCH_MAX_BATCH);
    bench_check(n == c->batch, "batch came in parts");
    bench_push(m, &r->dev, c->packed, used, n);
    if (c->mode != POLL) {
        model_should_notify(m, &r->dev);
    }
    if (c->mode == POLL) {
        bench_check(!model_avail(m, &r->dev), "too much");
    } else {
        bench_check(!model_enable_kick(m, &r->dev), "too much");
    }
}

static void driver_take(BenchRing *r, const Cell *c)
{
    const VdrvMemOps *m = &vdrv_mem_count;
    VdrvUsed used = { 0 };
    unsigned n = 0;
    int ret;

    if (c->mode == FLAGS) {
        vdrv_disable_cb(m, &r->vq);
    }
    while ((ret = bench_get(m, &r->vq, c->packed, &used)) > 0) {
        n++;
    }
    bench_check(!ret && n == c->batch, "completions missing");
    if (c->mode != POLL) {
        bench_check(!vdrv_enable_cb(m, &r->vq), "too much");
    }
}

static void run(BenchRing *r, const Cell *c, unsigned requests)
{
    for (unsigned i = 0; i < requests; i += c->batch) {
        count_mark(&count);
        count.side = COUNT_DRIVER;
        driver_send(r, c);
        count.side = COUNT_DEVICE;
        device_serve(r, c);
        count.side = COUNT_DRIVER;
        driver_take(r, c);
    }
}

static void count_cell(const Cell *c, CountStats stats[COUNT_SIDES])
{
    uint64_t features = VDRV_F_VERSION_1 | VDRV_F_INDIRECT |
                        (c->packed ? VDRV_F_PACKED : 0) |
                        (c->in_order ? VDRV_F_IN_ORDER : 0) |
                        (c->mode == EVENT ? VDRV_F_EVENT_IDX : 0);
    BenchRing *r = bench_ring_new(&vdrv_mem_count, RING_SIZE, features,
                                  count_mem_of);

    run(r, c, WARM_REQUESTS);
    memset(count.stats, 0, sizeof(count.stats));
    run(r, c, REQUESTS);
    memcpy(stats, count.stats, sizeof(count.stats));
    bench_ring_free(r);
    free(count.line);
}

static void print_side(const char *name, const CountStats *s)
{
    printf(", \"%s\": {\"lines\": %.4f, \"misses\": %.4f, "
           "\"upgrades\": %.4f, \"loads\": %.4f, \"stores\": %.4f, "
           "\"fences\": %.4f}", name, (double)s->lines / REQUESTS,
           (double)s->misses / REQUESTS, (double)s->upgrades / REQUESTS,
           (double)s->loads / REQUESTS, (double)s->stores / REQUESTS,
           (double)s->fences / REQUESTS);
}

static void print_json(const Cell *c, const CountStats *s)
{
    printf("{\"bench\": \"ringcount\", \"layout\": \"%s\", \"batch\": %u, "
           "\"shape\": \"%s\", \"in_order\": %s, \"mode\": \"%s\"",
           c->packed ? "packed" : "split", c->batch, shape_names[c->shape],
           c->in_order ? "true" : "false", mode_names[c->mode]);
    print_side("driver", &s[COUNT_DRIVER]);
    print_side("device", &s[COUNT_DEVICE]);
    printf(", \"misses\": %.4f, \"transfers\": %.4f}\n",
           (double)(s[0].misses + s[1].misses) / REQUESTS,
           (double)(s[0].misses + s[1].misses + s[0].upgrades +
                    s[1].upgrades) / REQUESTS);
}

/* One row for a layout, shape, order and mode: four batch sizes */
static void print_row(const Cell *c, const CountStats *s)
{
    if (c->batch == 1) {
        printf("%-7s%-9s%-9s%-6s ", c->packed ? "packed" : "split",
               shape_names[c->shape], c->in_order ? "in_order" : "any",
               mode_names[c->mode]);
    }
    printf("%6.2f +%5.2f%s", (double)(s[0].misses + s[1].misses) / REQUESTS,
           (double)(s[0].upgrades + s[1].upgrades) / REQUESTS,
           c->batch == 64 ? "\n" : "  ");
}

int main(int argc, char **argv)
{
    static const unsigned batches[] = { 1, 4, 16, 64 };
    bool table = argc == 2 && !strcmp(argv[1], "--table");

    if (argc > 1 && !table) {
        bool help = !strcmp(argv[1], "--help");

        fputs("usage: ringcount [--table]\n"
              "Cache lines touched, missed and upgraded per request, for\n"
              "each side; one JSON object per line. --table: misses +\n"
              "upgrades of both sides together.\n", help ? stdout : stderr);
        return help ? 0 : 2;
    }
    if (table) {
        printf("misses + upgrades per request, both sides together\n"
               "%-32s%-15s%-15s%-15s%s\n", "", "batch 1", "batch 4",
               "batch 16", "batch 64");
    }
    for (unsigned i = 0; i < 2 * 2 * MODES * SHAPES * 4; i++) {
        Cell c = {
            .batch = batches[i % 4],
            .packed = i / 4 % 2,
            .in_order = i / 8 % 2,
            .mode = i / 16 % MODES,
            .shape = i / 16 / MODES,
        };
        CountStats s[COUNT_SIDES];

        count_cell(&c, s);
        if (table) {
            print_row(&c, s);
        } else {
            print_json(&c, s);
        }
    }
    return 0;
}
