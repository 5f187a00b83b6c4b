/*
 * What the ring fuzzers share: a bounded accessor and a stream of bytes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FUZZ_RING_H
#define FUZZ_RING_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "vring-driver.h"
#include "model-device.h"

#define FUZZ_GPA    0x10000ULL
#define FUZZ_RAM    4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert(): a fuzzer built with NDEBUG must find the same */
#define FUZZ_CHECK(cond)                                                    \
    do {                                                                    \
        if (!(cond)) {                                                      \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__,          \
                    __LINE__, #cond);                                       \
            abort();                                                        \
        }                                                                   \
    } while (0)

typedef struct FuzzInput {
    const uint8_t *data;
    size_t left;
} FuzzInput;

static inline uint8_t fuzz_u8(FuzzInput *in)
{
    if (!in->left) {
        return 0;
    }
    in->left--;
    return *in->data++;
}

static inline uint16_t fuzz_u16(FuzzInput *in)
{
    uint16_t low = fuzz_u8(in);

    return (uint16_t)(low | fuzz_u8(in) << 8);
}

/*
 * Guest memory of FUZZ_RAM bytes. Stores beyond it are a bug of ours. Loads
 * beyond it are one too for the driver library, which only ever follows its
 * own addresses; the device side follows the driver's, and reads zeros.
 */
typedef struct FuzzMem {
    bool strict;
    _Alignas(64) uint8_t ram[FUZZ_RAM];
} FuzzMem;

static inline bool fuzz_inside(FuzzMem *f, uint64_t addr, unsigned len,
                               bool write)
{
    bool inside = addr >= FUZZ_GPA && addr - FUZZ_GPA <= FUZZ_RAM - len;

    FUZZ_CHECK(inside || !(write || f->strict));
    return inside;
}

#define FUZZ_LOAD(bits, name)                                               \
    static inline uint##bits##_t name(void *mem, uint64_t addr)             \
    {                                                                       \
        FuzzMem *f = mem;                                                   \
        uint##bits##_t v = 0;                                               \
                                                                            \
        if (fuzz_inside(f, addr, bits / 8, false)) {                        \
            memcpy(&v, f->ram + (addr - FUZZ_GPA), bits / 8);               \
        }                                                                   \
        return VDRV_LE##bits(v);                                            \
    }

#define FUZZ_STORE(bits, name)                                              \
    static inline void name(void *mem, uint64_t addr, uint##bits##_t val)   \
    {                                                                       \
        FuzzMem *f = mem;                                                   \
        uint##bits##_t v = VDRV_LE##bits(val);                              \
                                                                            \
        fuzz_inside(f, addr, bits / 8, true);                               \
        memcpy(f->ram + (addr - FUZZ_GPA), &v, bits / 8);                   \
    }

FUZZ_LOAD(16, fuzz_load16)
FUZZ_LOAD(16, fuzz_load16_acquire)
FUZZ_LOAD(32, fuzz_load32)
FUZZ_LOAD(64, fuzz_load64)
FUZZ_STORE(16, fuzz_store16)
FUZZ_STORE(16, fuzz_store16_release)
FUZZ_STORE(32, fuzz_store32)
FUZZ_STORE(64, fuzz_store64)

static inline void fuzz_fence(void *mem)
{
    (void)mem;
}

static const VdrvMemOps vdrv_mem_fuzz = {
    .load16 = fuzz_load16,
    .load16_acquire = fuzz_load16_acquire,
    .load32 = fuzz_load32,
    .load64 = fuzz_load64,
    .store16 = fuzz_store16,
    .store16_release = fuzz_store16_release,
    .store32 = fuzz_store32,
    .store64 = fuzz_store64,
    .fence = fuzz_fence,
};

/* Queue size and features from the input's first two bytes */
static inline uint64_t fuzz_features(FuzzInput *in, uint16_t *num)
{
    uint8_t f = fuzz_u8(in), n = fuzz_u8(in);
    bool packed = f & 1;

    *num = packed ? 1 + n % 16 : (uint16_t)(1u << n % 5);
    return VDRV_F_VERSION_1 | (packed ? VDRV_F_PACKED : 0) |
           (f & 2 ? VDRV_F_INDIRECT : 0) | (f & 4 ? VDRV_F_EVENT_IDX : 0) |
           (f & 8 ? VDRV_F_IN_ORDER : 0);
}

#endif /* FUZZ_RING_H */
