/*
 * A fixed amount of ring work, to count instructions of with callgrind
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Each verb is one function that is never inlined and inlines all it calls,
 * so the self cost of the function is the cost of the verb. ringinsn.py runs
 * this under callgrind and divides by the number of requests, which the
 * program prints. Both ends run in one thread, in turns.
 */
#include "bench-ring.h"

#define RING_SIZE 256u
#define INSN \
    static __attribute__((noinline, used))

/* Out of band, so that the verbs have the signatures real callers have */
static const VdrvMemOps *const m = &vdrv_mem_direct;

INSN void insn_split_add(VdrvQueue *vq, const VdrvBuf *buf, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        bench_check(!vdrv_split_add(m, vq, &buf[i]), "add");
    }
    vdrv_split_publish(m, vq);
}

INSN void insn_packed_add(VdrvQueue *vq, const VdrvBuf *buf, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        bench_check(!vdrv_packed_add(m, vq, &buf[i]), "add");
    }
    vdrv_packed_publish(m, vq);
}

INSN bool insn_split_kick(VdrvQueue *vq)
{
    return vdrv_split_kick_needed(m, vq);
}

INSN bool insn_packed_kick(VdrvQueue *vq)
{
    return vdrv_packed_kick_needed(m, vq);
}

INSN unsigned insn_split_get(VdrvQueue *vq)
{
    VdrvUsed used;
    unsigned n = 0;

    while (vdrv_split_get(m, vq, &used) > 0) {
        n++;
    }
    return n;
}

INSN unsigned insn_packed_get(VdrvQueue *vq)
{
    VdrvUsed used;
    unsigned n = 0;

    while (vdrv_packed_get(m, vq, &used) > 0) {
        n++;
    }
    return n;
}

INSN unsigned insn_model_split(ModelDevice *d)
{
    ModelUsed used[BENCH_MAX_BATCH];
    unsigned n = bench_pop(m, d, false, used, BENCH_MAX_BATCH);

    bench_push(m, d, false, used, n);
    model_split_should_notify(m, d);
    return n;
}

INSN unsigned insn_model_packed(ModelDevice *d)
{
    ModelUsed used[BENCH_MAX_BATCH];
    unsigned n = bench_pop(m, d, true, used, BENCH_MAX_BATCH);

    bench_push(m, d, true, used, n);
    model_packed_should_notify(m, d);
    return n;
}

static void *direct_mem(void *ram, uint64_t gpa, size_t size)
{
    (void)size;
    return vdrv_direct_mem(ram, gpa);
}

/* Both ends ask for a notification, outside of what is counted */
static void arm(BenchRing *r)
{
    bench_check(!vdrv_enable_cb(m, &r->vq), "driver not idle");
    bench_check(!model_enable_kick(m, &r->dev), "device not idle");
}

static void run(BenchRing *r, bool packed, bool indirect, unsigned batch,
                unsigned requests)
{
    VdrvSeg seg[2] = { { BENCH_GPA, 16 }, { BENCH_GPA, 16 } };
    VdrvBuf buf[BENCH_MAX_BATCH];

    for (unsigned i = 0; i < batch; i++) {
        buf[i] = (VdrvBuf) {
            .seg = seg, .out = indirect, .in = 1, .token = r,
            .table = indirect ? r->tables +
                     i * BENCH_TABLE_SEG * VIRTQ_DESC_SIZE : 0,
        };
    }
    for (unsigned done = 0; done < requests; done += batch) {
        unsigned n;

        arm(r);
        if (packed) {
            insn_packed_add(&r->vq, buf, batch);
            insn_packed_kick(&r->vq);
            n = insn_model_packed(&r->dev);
            bench_check(insn_packed_get(&r->vq) == n, "get");
        } else {
            insn_split_add(&r->vq, buf, batch);
            insn_split_kick(&r->vq);
            n = insn_model_split(&r->dev);
            bench_check(insn_split_get(&r->vq) == n, "get");
        }
        bench_check(n == batch, "pop");
    }
}

int main(int argc, char **argv)
{
    unsigned batch;
    unsigned requests = 64 * RING_SIZE;
    uint64_t features = VDRV_F_VERSION_1;
    bool packed, indirect = false;
    BenchRing *r;

    if (argc < 3 || sscanf(argv[2], "%u", &batch) != 1 || batch < 1 ||
        batch > RING_SIZE || requests % batch ||
        (strcmp(argv[1], "split") && strcmp(argv[1], "packed"))) {
        fputs("usage: ringinsn split|packed BATCH [in-order] [event] "
              "[indirect]\nBATCH is a power of two up to 256. Run it by "
              "ringinsn.py.\n", stderr);
        return 2;
    }
    packed = !strcmp(argv[1], "packed");
    features |= packed ? VDRV_F_PACKED : 0;
    for (int i = 3; i < argc; i++) {
        if (!strcmp(argv[i], "in-order")) {
            features |= VDRV_F_IN_ORDER;
        } else if (!strcmp(argv[i], "event")) {
            features |= VDRV_F_EVENT_IDX;
        } else if (!strcmp(argv[i], "indirect")) {
            features |= VDRV_F_INDIRECT;
            indirect = true;
        } else {
            fprintf(stderr, "ringinsn: unknown word '%s'\n", argv[i]);
            return 2;
        }
    }
    r = bench_ring_new(m, RING_SIZE, features, direct_mem);
    run(r, packed, indirect, batch, requests);
    bench_ring_free(r);
    printf("%u\n", requests);
    return 0;
}
