/*
 * Fuzz target: the driver library against a hostile device
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The input is a program of driver calls, of honest work by the model device
 * and of anything a device could write into ring memory. Whatever it writes,
 * the library stays inside its areas, returns each buffer at most once and
 * keeps its books in balance.
 */
#include "fuzz-ring.h"

#define MAX_NUM 16u
#define MAX_BUFS 32u

typedef struct Fuzz {
    FuzzMem mem;
    VdrvQueue vq;
    VdrvSlot slots[MAX_NUM];
    ModelDevice dev;
    VdrvLayout at;
    uint64_t tables;
    bool busy[MAX_BUFS];
    ModelUsed held[MAX_NUM];
    unsigned n_held;
    bool dev_broken;
} Fuzz;

static void check_books(const Fuzz *f)
{
    unsigned ndesc = 0, bufs = 0, busy = 0;

    for (unsigned i = 0; i < f->vq.num; i++) {
        ndesc += f->vq.slots[i].ndesc;
        bufs += f->vq.slots[i].ndesc != 0;
    }
    for (unsigned i = 0; i < MAX_BUFS; i++) {
        busy += f->busy[i];
    }
    FUZZ_CHECK(ndesc + f->vq.num_free == f->vq.num);
    FUZZ_CHECK(bufs == f->vq.added - f->vq.completed);
    FUZZ_CHECK(bufs == busy);
    FUZZ_CHECK(f->vq.completed <= f->vq.published);
}

static void do_add(Fuzz *f, FuzzInput *in)
{
    uint8_t shape = fuzz_u8(in);
    VdrvSeg seg[8];
    VdrvBuf buf = { .seg = seg, .out = shape & 3, .in = shape >> 2 & 3 };
    unsigned i = 0;
    int ret;

    while (f->busy[i]) {
        i++;
        FUZZ_CHECK(i < MAX_BUFS);
    }
    for (unsigned s = 0; s < 8; s++) {
        seg[s] = (VdrvSeg) { s * 0x1000, shape };
    }
    buf.direct = shape >> 6;
    buf.table = shape & 0x10 ? f->tables + i * 8 * VIRTQ_DESC_SIZE : 0;
    buf.token = &f->busy[i];
    ret = vdrv_add(&vdrv_mem_fuzz, &f->vq, &buf);
    if (ret == VDRV_OK) {
        f->busy[i] = true;
    } else {
        FUZZ_CHECK(ret == VDRV_ENOSPC || ret == VDRV_EINVAL ||
                   ret == VDRV_EBROKEN);
    }
}

static void do_get(Fuzz *f)
{
    VdrvUsed used = { 0 };
    bool was_broken = f->vq.broken;
    int ret = vdrv_get(&vdrv_mem_fuzz, &f->vq, &used);
    bool *busy = used.token;

    if (ret > 0) {
        FUZZ_CHECK(!was_broken);
        FUZZ_CHECK(busy >= f->busy && busy < f->busy + MAX_BUFS && *busy);
        FUZZ_CHECK(used.len <= 3 * 255);
        *busy = false;
    } else if (ret < 0) {
        FUZZ_CHECK(ret != VDRV_EINVAL && ret != VDRV_ENOSPC);
        FUZZ_CHECK(f->vq.broken);
    } else {
        FUZZ_CHECK(!was_broken);
    }
}

/* The device at its worst: any word of the ring, or a plausible lie */
static void do_scribble(Fuzz *f, FuzzInput *in)
{
    uint16_t ofs = fuzz_u16(in) % (f->tables - FUZZ_GPA) & ~1u;

    fuzz_store16(&f->mem, FUZZ_GPA + ofs, fuzz_u16(in));
}

static void do_forge(Fuzz *f, FuzzInput *in)
{
    ModelUsed used = {
        .id = fuzz_u8(in) % (MAX_NUM + 2), .len = fuzz_u8(in), .ndesc = 1,
    };

    used.ndesc = 1 + used.len % 3;
    f->dev.used_idx = f->vq.used_idx;
    f->dev.used_wrap = f->vq.used_wrap;
    f->dev.inuse = f->vq.num;
    model_push(&vdrv_mem_fuzz, &f->dev, &used, 1);
}

/* Honest work, so that the input gets deep; it follows scribbled tables */
static void do_device(Fuzz *f, bool push)
{
    ModelSeg seg[MAX_NUM];
    ModelChain c = { .seg = seg, .max = MAX_NUM };

    if (push && f->n_held) {
        if (f->dev.in_order) {
            model_push_batch(&vdrv_mem_fuzz, &f->dev, f->held, f->n_held);
        } else {
            model_push(&vdrv_mem_fuzz, &f->dev, f->held, f->n_held);
        }
        f->n_held = 0;
        model_should_notify(&vdrv_mem_fuzz, &f->dev);
    } else if (!push && !f->dev_broken && f->n_held < f->vq.num) {
        int ret = model_pop(&vdrv_mem_fuzz, &f->dev, &c);

        f->dev_broken = ret < 0;
        if (ret > 0) {
            f->held[f->n_held++] = model_used(&c, (uint32_t)c.in_len);
        }
    }
}

static void run(Fuzz *f, FuzzInput *in)
{
    while (in->left) {
        switch (fuzz_u8(in) % 12) {
        case 0:
        case 1:
            do_add(f, in);
            break;
        case 2:
            vdrv_publish(&vdrv_mem_fuzz, &f->vq);
            break;
        case 3:
            vdrv_kick_needed(&vdrv_mem_fuzz, &f->vq);
            break;
        case 4:
        case 5:
            do_get(f);
            break;
        case 6:
            vdrv_enable_cb_after(&vdrv_mem_fuzz, &f->vq, fuzz_u8(in));
            break;
        case 7:
            vdrv_disable_cb(&vdrv_mem_fuzz, &f->vq);
            break;
        case 8:
            do_scribble(f, in);
            break;
        case 9:
            do_forge(f, in);
            break;
        default:
            f->mem.strict = false;
            do_device(f, fuzz_u8(in) & 1);
            f->mem.strict = true;
            break;
        }
        check_books(f);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = { data, size };
    Fuzz f = { .mem.strict = true };
    uint16_t num;
    uint64_t features = fuzz_features(&in, &num);
    unsigned detached = 0, busy = 0;
    VdrvConfig cfg = {
        .mem = &f.mem, .slots = f.slots, .features = features, .num = num,
    };
    void *token;

    f.at = vdrv_layout(FUZZ_GPA, num, features & VDRV_F_PACKED, 16);
    f.tables = (f.at.end + 15) & ~15ULL;
    FUZZ_CHECK(f.tables + MAX_NUM * 8 * VIRTQ_DESC_SIZE <=
               FUZZ_GPA + FUZZ_RAM);
    cfg.desc = f.at.desc;
    cfg.driver = f.at.driver;
    cfg.device = f.at.device;
    FUZZ_CHECK(vdrv_init(&vdrv_mem_fuzz, &f.vq, &cfg) == VDRV_OK);
    model_init(&f.dev, &f.mem, cfg.desc, cfg.driver, cfg.device, num,
               features);
    run(&f, &in);

    for (unsigned i = 0; i < MAX_BUFS; i++) {
        busy += f.busy[i];
    }
    while (vdrv_detach(&f.vq, &token)) {
        detached++;
    }
    FUZZ_CHECK(detached == busy);
    return 0;
}
