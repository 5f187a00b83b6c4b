/*
 * How ring code reaches guest memory: an injected accessor
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Ring code never dereferences shared memory. Every function takes a
 * `const VdrvMemOps *m` first. The functions are always_inline, so with
 * `&vdrv_mem_direct` (or any other static const table) in that place the
 * compiler folds the indirect calls into single loads and stores, while a
 * qtest or counting accessor costs only its own callers.
 *
 * Addresses are guest physical (or IOVA), 64 bit. Values are in host order;
 * the accessor converts from and to little endian. All accesses made through
 * an accessor are naturally aligned if the ring areas are.
 */
#ifndef VRING_MEM_H
#define VRING_MEM_H

#include <stdint.h>

#define VDRV_INLINE \
    static inline __attribute__((always_inline, unused))

/**
 * struct VdrvMemOps - accessor for shared ring memory
 *
 * Every callback gets the `mem` pointer of the queue. load and store are
 * relaxed: single, untorn, unordered. @load16_acquire keeps later accesses
 * after it, @store16_release keeps earlier ones before it, @fence is a full
 * barrier, stores before it against loads after it included. An accessor
 * that is sequential by nature (qtest) leaves @fence empty, not NULL.
 */
typedef struct VdrvMemOps {
    uint16_t (*load16)(void *mem, uint64_t addr);
    uint16_t (*load16_acquire)(void *mem, uint64_t addr);
    uint32_t (*load32)(void *mem, uint64_t addr);
    uint64_t (*load64)(void *mem, uint64_t addr);
    void (*store16)(void *mem, uint64_t addr, uint16_t val);
    void (*store16_release)(void *mem, uint64_t addr, uint16_t val);
    void (*store32)(void *mem, uint64_t addr, uint32_t val);
    void (*store64)(void *mem, uint64_t addr, uint64_t val);
    void (*fence)(void *mem);
} VdrvMemOps;

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define VDRV_LE16(x) (x)
#define VDRV_LE32(x) (x)
#define VDRV_LE64(x) (x)
#else
#define VDRV_LE16(x) __builtin_bswap16(x)
#define VDRV_LE32(x) __builtin_bswap32(x)
#define VDRV_LE64(x) __builtin_bswap64(x)
#endif

typedef uint16_t __attribute__((may_alias)) VdrvU16;
typedef uint32_t __attribute__((may_alias)) VdrvU32;
typedef uint64_t __attribute__((may_alias)) VdrvU64;

/**
 * vdrv_direct_mem() - `mem` pointer of the direct accessor
 * @host: where guest address @gpa is mapped in this process
 * @gpa: guest physical address (or IOVA) of the first byte of the mapping
 *
 * The result is a bias, not a pointer to dereference. The direct accessor
 * does no bounds checks: only the driver's own ring addresses go through it,
 * never an address or index that the peer supplied.
 */
VDRV_INLINE void *vdrv_direct_mem(void *host, uint64_t gpa)
{
    return (void *)((uintptr_t)host - (uintptr_t)gpa);
}

/* The host address behind @addr under the direct accessor */
VDRV_INLINE void *vdrv_direct_ptr(void *mem, uint64_t addr)
{
    return (void *)((uintptr_t)mem + (uintptr_t)addr);
}

VDRV_INLINE uint16_t vdrv_direct_load16(void *mem, uint64_t addr)
{
    VdrvU16 *p = vdrv_direct_ptr(mem, addr);

    return VDRV_LE16(__atomic_load_n(p, __ATOMIC_RELAXED));
}

VDRV_INLINE uint16_t vdrv_direct_load16_acquire(void *mem, uint64_t addr)
{
    VdrvU16 *p = vdrv_direct_ptr(mem, addr);

    return VDRV_LE16(__atomic_load_n(p, __ATOMIC_ACQUIRE));
}

VDRV_INLINE uint32_t vdrv_direct_load32(void *mem, uint64_t addr)
{
    VdrvU32 *p = vdrv_direct_ptr(mem, addr);

    return VDRV_LE32(__atomic_load_n(p, __ATOMIC_RELAXED));
}

VDRV_INLINE uint64_t vdrv_direct_load64(void *mem, uint64_t addr)
{
    VdrvU64 *p = vdrv_direct_ptr(mem, addr);

    return VDRV_LE64(__atomic_load_n(p, __ATOMIC_RELAXED));
}

VDRV_INLINE void vdrv_direct_store16(void *mem, uint64_t addr, uint16_t val)
{
    VdrvU16 *p = vdrv_direct_ptr(mem, addr);

    __atomic_store_n(p, VDRV_LE16(val), __ATOMIC_RELAXED);
}

VDRV_INLINE void vdrv_direct_store16_release(void *mem, uint64_t addr,
                                             uint16_t val)
{
    VdrvU16 *p = vdrv_direct_ptr(mem, addr);

    __atomic_store_n(p, VDRV_LE16(val), __ATOMIC_RELEASE);
}

VDRV_INLINE void vdrv_direct_store32(void *mem, uint64_t addr, uint32_t val)
{
    VdrvU32 *p = vdrv_direct_ptr(mem, addr);

    __atomic_store_n(p, VDRV_LE32(val), __ATOMIC_RELAXED);
}

VDRV_INLINE void vdrv_direct_store64(void *mem, uint64_t addr, uint64_t val)
{
    VdrvU64 *p = vdrv_direct_ptr(mem, addr);

    __atomic_store_n(p, VDRV_LE64(val), __ATOMIC_RELAXED);
}

#ifndef __has_feature
#define __has_feature(x) 0
#endif

VDRV_INLINE void vdrv_direct_fence(void *mem)
{
    (void)mem;
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
    /*
     * ThreadSanitizer does not model fences and GCC refuses them. A locked
     * operation orders the hardware just the same, and the happens-before
     * edges that TSan needs come from the acquire/release pairs.
     */
    static uint32_t dummy;

    __atomic_fetch_add(&dummy, 0, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
#elif defined(__x86_64__)
    /* A locked add costs a fraction of mfence and orders write-back memory */
    __asm__ __volatile__("lock addl $0, -64(%%rsp)" : : : "memory", "cc");
#else
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/* Shared RAM mapped in this process; `mem` from vdrv_direct_mem() */
__attribute__((unused))
static const VdrvMemOps vdrv_mem_direct = {
    .load16 = vdrv_direct_load16,
    .load16_acquire = vdrv_direct_load16_acquire,
    .load32 = vdrv_direct_load32,
    .load64 = vdrv_direct_load64,
    .store16 = vdrv_direct_store16,
    .store16_release = vdrv_direct_store16_release,
    .store32 = vdrv_direct_store32,
    .store64 = vdrv_direct_store64,
    .fence = vdrv_direct_fence,
};

#endif /* VRING_MEM_H */
