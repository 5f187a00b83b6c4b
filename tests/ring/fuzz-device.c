/*
 * Fuzz target: the device model against a hostile driver
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Ring memory starts as the input says and is changed by it under way. The
 * model must end each pop, stay inside its areas with every store and never
 * hand out more than the queue holds.
 */
#include "fuzz-ring.h"

#define MAX_NUM 16u

static void check_chain(const ModelDevice *d, const ModelChain *c)
{
    uint64_t in_len = 0;

    FUZZ_CHECK(c->nseg >= 1 && c->nseg <= d->num);
    FUZZ_CHECK(c->ndesc >= 1 && c->ndesc <= d->num);
    FUZZ_CHECK(c->out <= c->nseg);
    for (unsigned i = 0; i < c->nseg; i++) {
        FUZZ_CHECK(c->seg[i].write == (i >= c->out));
        in_len += c->seg[i].write ? c->seg[i].len : 0;
    }
    FUZZ_CHECK(in_len == c->in_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const VdrvMemOps *m = &vdrv_mem_fuzz;
    FuzzInput in = { data, size };
    FuzzMem mem = { .strict = false };
    uint16_t num;
    uint64_t features = fuzz_features(&in, &num);
    VdrvLayout at = vdrv_layout(FUZZ_GPA, num, features & VDRV_F_PACKED, 16);
    unsigned fill = fuzz_u16(&in) % FUZZ_RAM;
    ModelUsed held[MAX_NUM];
    unsigned n = 0;
    ModelDevice d;

    for (unsigned i = 0; i < fill && in.left; i++) {
        mem.ram[i] = fuzz_u8(&in);
    }
    model_init(&d, &mem, at.desc, at.driver, at.device, num, features);
    while (in.left) {
        ModelSeg seg[MAX_NUM];
        ModelChain c = { .seg = seg, .max = MAX_NUM };
        uint8_t op = fuzz_u8(&in);
        int ret;

        switch (op % 6) {
        case 0:
        case 1:
            ret = model_pop(m, &d, &c);
            if (ret < 0) {
                FUZZ_CHECK(ret >= MODEL_EROOM);
                return 0;
            }
            if (ret) {
                check_chain(&d, &c);
                FUZZ_CHECK(n < MAX_NUM);
                held[n++] = model_used(&c, (uint32_t)c.in_len);
            }
            break;
        case 2:
            if (n) {
                model_push(m, &d, held, n);
                n = 0;
            }
            break;
        case 3:
            model_should_notify(m, &d);
            break;
        case 4:
            if (op & 0x40) {
                model_enable_kick(m, &d);
            } else {
                model_disable_kick(m, &d);
            }
            break;
        default:
            fuzz_store16(&mem, FUZZ_GPA + fuzz_u16(&in) % (FUZZ_RAM - 1),
                         fuzz_u16(&in));
            break;
        }
        FUZZ_CHECK(d.inuse <= d.num);
    }
    return 0;
}
