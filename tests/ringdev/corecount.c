/*
 * Cache lines a request costs the ring core, counted, not timed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * ringcount (tests/ring) with QEMU's core in the place of the naive device:
 * driver library and core take turns on one ring, and every access of both
 * goes through the two simulated caches of count-mem.h. The modes and shapes
 * are those of ringcount. One JSON object per line.
 */
#include "touch.h"              /* before ring-mem.h */
#include "core-device.h"
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
static const uint8_t *count_ram;

void ring_touch(const void *p, unsigned n, bool write)
{
    count_touch(&count, BENCH_GPA + (uint64_t)((const uint8_t *)p - count_ram),
                n, write);
}

/* One thread: no fence is needed here */
void ring_fence(int order)
{
    count.stats[count.side].fences += order == __ATOMIC_SEQ_CST;
}

static void *count_mem_of(void *ram, uint64_t gpa, size_t size)
{
    count_ram = ram;
    count = (CountMem) {
        .direct = vdrv_direct_mem(ram, gpa),
        .base = gpa,
        .size = (size + COUNT_LINE - 1) / COUNT_LINE * COUNT_LINE,
        .window = 1,
    };
    count.line = bench_alloc(count.size / COUNT_LINE * sizeof(CountLine));
    return &count;
}

static void driver_send(BenchRing *r, const Cell *c)
{
    const VdrvMemOps *m = &vdrv_mem_count;

    for (unsigned i = 0; i < c->batch; i++) {
        VdrvSeg seg[2] = { { BENCH_GPA, 16 }, { BENCH_GPA, 16 } };
        VdrvBuf buf = {
            .seg = seg, .out = c->shape != DIRECT, .in = 1, .token = r,
        };

        if (c->shape == INDIRECT) {
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

static void device_serve(CoreDevice *d, const Cell *c)
{
    unsigned n;

    if (c->mode == FLAGS) {
        core_disable_kick(d);
    }
    n = core_pop(d);
    bench_check(n == c->batch, "batch came in parts");
    core_push(d, n);
    if (c->mode != POLL) {
        core_should_notify(d);
        bench_check(!core_enable_kick(d), "too much");
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

static void run(BenchRing *r, CoreDevice *d, const Cell *c,
                unsigned requests)
{
    for (unsigned i = 0; i < requests; i += c->batch) {
        count_mark(&count);
        count.side = COUNT_DRIVER;
        driver_send(r, c);
        count.side = COUNT_DEVICE;
        device_serve(d, c);
        count.side = COUNT_DRIVER;
        driver_take(r, c);
    }
}

static void print_cell(const Cell *c)
{
    const CountStats *s = &count.stats[COUNT_DEVICE];

    printf("{\"bench\": \"corecount\", \"layout\": \"%s\", \"batch\": %u, "
           "\"shape\": \"%s\", \"in_order\": %s, \"mode\": \"%s\", "
           "\"lines\": %.4f, \"misses\": %.4f, \"upgrades\": %.4f, "
           "\"loads\": %.4f, \"stores\": %.4f, \"fences\": %.4f}\n",
           c->packed ? "packed" : "split", c->batch, shape_names[c->shape],
           c->in_order ? "true" : "false", mode_names[c->mode],
           (double)s->lines / REQUESTS, (double)s->misses / REQUESTS,
           (double)s->upgrades / REQUESTS, (double)s->loads / REQUESTS,
           (double)s->stores / REQUESTS, (double)s->fences / REQUESTS);
}

static void count_cell(const Cell *c)
{
    uint64_t features = VDRV_F_VERSION_1 | VDRV_F_INDIRECT |
                        (c->packed ? VDRV_F_PACKED : 0) |
                        (c->in_order ? VDRV_F_IN_ORDER : 0) |
                        (c->mode == EVENT ? VDRV_F_EVENT_IDX : 0);
    BenchRing *r = bench_ring_new(&vdrv_mem_count, RING_SIZE, features,
                                  count_mem_of);
    CoreDevice *d = core_device_new(r, RING_SIZE, features);

    if (c->mode == POLL) {
        count.side = COUNT_DEVICE;
        core_disable_kick(d);
    }
    run(r, d, c, WARM_REQUESTS);
    memset(count.stats, 0, sizeof(count.stats));
    run(r, d, c, REQUESTS);
    print_cell(c);
    core_device_free(d);
    bench_ring_free(r);
    free(count.line);
}

int main(int argc, char **argv)
{
    static const unsigned batches[] = { 1, 4, 16, 64 };

    if (argc > 1) {
        bool help = !strcmp(argv[1], "--help");

        fputs("usage: corecount\n"
              "Cache lines of the ring that the core touches, misses and\n"
              "upgrades, per request; one JSON object per line.\n",
              help ? stdout : stderr);
        return help ? 0 : 2;
    }
    for (unsigned i = 0; i < 2 * 2 * MODES * SHAPES * 4; i++) {
        count_cell(&(Cell) {
            .batch = batches[i % 4],
            .packed = i / 4 % 2,
            .in_order = i / 8 % 2,
            .mode = i / 16 % MODES,
            .shape = i / 16 / MODES,
        });
    }
    return 0;
}
