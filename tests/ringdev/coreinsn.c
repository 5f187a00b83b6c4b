/*
 * A fixed amount of work for the ring core, to count instructions of
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Run by core-cost.py under callgrind, which counts while insn_core() runs:
 * a batch is taken and returned, and the driver's wish for an interrupt
 * looked at. Both ends run in one thread, in turns.
 */
#include "core-device.h"

#define RING_SIZE 256u
#define REQUESTS (16 * RING_SIZE)

static __attribute__((noinline, used)) unsigned insn_core(CoreDevice *d)
{
    unsigned n = core_pop(d);

    core_push(d, n);
    core_should_notify(d);
    return n;
}

static void *direct_mem(void *ram, uint64_t gpa, size_t size)
{
    (void)size;
    return vdrv_direct_mem(ram, gpa);
}

static void run(BenchRing *r, CoreDevice *d, bool indirect, unsigned out,
                unsigned batch)
{
    const VdrvMemOps *m = &vdrv_mem_direct;
    VdrvSeg seg[2] = { { BENCH_GPA, 16 }, { BENCH_GPA, 16 } };

    for (unsigned done = 0; done < REQUESTS; done += batch) {
        VdrvUsed used;
        unsigned n = 0;

        /* Both ends ask for a notification, outside of what is counted */
        bench_check(!vdrv_enable_cb(m, &r->vq), "driver not idle");
        bench_check(!core_enable_kick(d), "device not idle");
        for (unsigned i = 0; i < batch; i++) {
            VdrvBuf buf = {
                .seg = seg, .out = out, .in = 1, .token = r,
                .table = indirect ? r->tables + i * BENCH_TABLE_SEG *
                                    VIRTQ_DESC_SIZE : 0,
            };

            bench_check(!vdrv_add(m, &r->vq, &buf), "add");
        }
        vdrv_publish(m, &r->vq);
        core_disable_kick(d);
        bench_check(insn_core(d) == batch, "pop");
        while (vdrv_get(m, &r->vq, &used) > 0) {
            n++;
        }
        bench_check(n == batch, "get");
    }
}

int main(int argc, char **argv)
{
    uint64_t features = VDRV_F_VERSION_1;
    bool indirect = false;
    unsigned batch, out = 0;
    BenchRing *r;
    CoreDevice *d;

    if (argc < 3 || sscanf(argv[2], "%u", &batch) != 1 || batch < 1 ||
        batch > RING_SIZE / 2 || REQUESTS % batch ||
        (strcmp(argv[1], "split") && strcmp(argv[1], "packed"))) {
        fputs("usage: coreinsn split|packed BATCH "
              "[in-order|event|chain|indirect]...\n"
              "BATCH is a power of two up to 128. Run it by core-cost.py.\n",
              stderr);
        return 2;
    }
    features |= strcmp(argv[1], "packed") ? 0 : VDRV_F_PACKED;
    for (int i = 3; i < argc; i++) {
        if (!strcmp(argv[i], "in-order")) {
            features |= VDRV_F_IN_ORDER;
        } else if (!strcmp(argv[i], "event")) {
            features |= VDRV_F_EVENT_IDX;
        } else if (!strcmp(argv[i], "chain")) {
            out = 1;
        } else if (!strcmp(argv[i], "indirect")) {
            features |= VDRV_F_INDIRECT;
            indirect = true;
            out = 1;
        } else {
            fprintf(stderr, "coreinsn: unknown word '%s'\n", argv[i]);
            return 2;
        }
    }
    r = bench_ring_new(&vdrv_mem_direct, RING_SIZE, features, direct_mem);
    d = core_device_new(r, RING_SIZE, features);
    run(r, d, indirect, out, batch);
    core_device_free(d);
    bench_ring_free(r);
    printf("%u\n", REQUESTS);
    return 0;
}
