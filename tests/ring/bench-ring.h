/*
 * What the ring benches share: a ring in private memory and both its ends
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef BENCH_RING_H
#define BENCH_RING_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "vring-driver.h"
#include "model-device.h"

#define BENCH_GPA       0x40000000ULL
#define BENCH_MAX_BATCH 256u
#define BENCH_BUF_LEN   16u
#define BENCH_TABLE_SEG 2u      /* segments of an indirect request */

/* One end each on lines of its own, as in two address spaces */
typedef struct BenchRing {
    VdrvQueue vq __attribute__((aligned(128)));
    ModelDevice dev __attribute__((aligned(128)));
    VdrvSlot *slots;
    void *ram;
    void *mem;
    VdrvLayout at;
    uint64_t tables;        /* one indirect table for each descriptor */
    size_t ram_size;
} BenchRing;

static inline void *bench_alloc(size_t size)
{
    void *p = aligned_alloc(4096, (size + 4095) & ~(size_t)4095);

    if (!p) {
        fprintf(stderr, "no memory for %zu bytes: use a smaller --size\n",
                size);
        exit(1);
    }
    memset(p, 0, (size + 4095) & ~(size_t)4095);
    return p;
}

/* A started ring; @mem_of makes the accessor's pointer from the memory */
static inline BenchRing *bench_ring_new(const VdrvMemOps *m, uint16_t num,
                                        uint64_t features,
                                        void *(*mem_of)(void *ram,
                                                        uint64_t gpa,
                                                        size_t size))
{
    BenchRing *r = bench_alloc(sizeof(*r));
    VdrvConfig cfg = { .num = num, .features = features };
    int err;

    r->at = vdrv_layout(BENCH_GPA, num, features & VDRV_F_PACKED, 128);
    r->tables = (r->at.end + 127) & ~127ULL;
    r->ram_size = r->tables - BENCH_GPA +
                  (size_t)num * BENCH_TABLE_SEG * VIRTQ_DESC_SIZE;
    r->ram = bench_alloc(r->ram_size);
    r->mem = mem_of(r->ram, BENCH_GPA, r->ram_size);
    r->slots = bench_alloc(sizeof(VdrvSlot) * num);

    cfg.mem = r->mem;
    cfg.slots = r->slots;
    cfg.desc = r->at.desc;
    cfg.driver = r->at.driver;
    cfg.device = r->at.device;
    err = vdrv_init(m, &r->vq, &cfg);
    if (err) {
        fprintf(stderr, "ring of %u: %s\n", num, vdrv_strerror(err));
        exit(1);
    }
    model_init(&r->dev, r->mem, cfg.desc, cfg.driver, cfg.device, num,
               features);
    return r;
}

static inline void bench_ring_free(BenchRing *r)
{
    free(r->slots);
    free(r->ram);
    free(r);
}

/* A broken ring makes every figure void */
static inline void bench_check(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "ring bench: %s: the figures are void\n", what);
        abort();
    }
}

/* The verbs with the layout fixed, so that neither loop pays for a choice */
VDRV_INLINE int bench_add(const VdrvMemOps *m, VdrvQueue *vq, bool packed,
                          const VdrvBuf *buf)
{
    return packed ? vdrv_packed_add(m, vq, buf) : vdrv_split_add(m, vq, buf);
}

VDRV_INLINE void bench_publish(const VdrvMemOps *m, VdrvQueue *vq,
                               bool packed)
{
    if (packed) {
        vdrv_packed_publish(m, vq);
    } else {
        vdrv_split_publish(m, vq);
    }
}

VDRV_INLINE bool bench_kick_needed(const VdrvMemOps *m, VdrvQueue *vq,
                                   bool packed)
{
    return packed ? vdrv_packed_kick_needed(m, vq) :
                    vdrv_split_kick_needed(m, vq);
}

VDRV_INLINE int bench_get(const VdrvMemOps *m, VdrvQueue *vq, bool packed,
                          VdrvUsed *used)
{
    return packed ? vdrv_packed_get(m, vq, used) :
                    vdrv_split_get(m, vq, used);
}

/* Pop up to @max chains, as @used entries ready to push; how many */
VDRV_INLINE unsigned bench_pop(const VdrvMemOps *m, ModelDevice *d,
                               bool packed, ModelUsed *used, unsigned max)
{
    ModelSeg seg[BENCH_TABLE_SEG];
    unsigned n = 0;

    while (n < max) {
        ModelChain c = { .seg = seg, .max = BENCH_TABLE_SEG };
        int ret = packed ? model_packed_pop(m, d, &c) :
                           model_split_pop(m, d, &c);

        if (!ret) {
            break;
        }
        bench_check(ret > 0, "bad chain");
        used[n++] = model_used(&c, (uint32_t)c.in_len);
    }
    return n;
}

VDRV_INLINE void bench_push(const VdrvMemOps *m, ModelDevice *d, bool packed,
                            const ModelUsed *used, unsigned n)
{
    if (d->in_order && packed) {
        model_packed_push_batch(m, d, used, n);
    } else if (d->in_order) {
        model_split_push_batch(m, d, used, n);
    } else if (packed) {
        model_packed_push(m, d, used, n);
    } else {
        model_split_push(m, d, used, n);
    }
}

#endif /* BENCH_RING_H */
