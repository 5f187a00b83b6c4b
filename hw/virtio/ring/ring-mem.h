/*
 * Loads and stores of ring memory, and the barriers between them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Ring memory is shared with a driver that runs at the same time and may be
 * hostile: every field is read exactly once, as a whole, into a local
 * variable. Fields are little endian and so is the host (an engine is not
 * chosen otherwise, see engine.h), except that the words of a descriptor are
 * taken apart by shifts.
 *
 * RING_TOUCH(p, n, write) sees each access; a test that counts cache lines
 * defines it before it includes this file.
 */

#ifndef HW_VIRTIO_RING_MEM_H
#define HW_VIRTIO_RING_MEM_H

#ifndef RING_TOUCH
#define RING_TOUCH(p, n, write) ((void)0)
#endif

static inline uint16_t ring_load16(const void *p)
{
    RING_TOUCH(p, 2, false);
    return __atomic_load_n((const uint16_t *)p, __ATOMIC_RELAXED);
}

static inline uint32_t ring_load32(const void *p)
{
    RING_TOUCH(p, 4, false);
    return __atomic_load_n((const uint32_t *)p, __ATOMIC_RELAXED);
}

static inline uint64_t ring_load64(const void *p)
{
    RING_TOUCH(p, 8, false);
    return __atomic_load_n((const uint64_t *)p, __ATOMIC_RELAXED);
}

static inline void ring_store16(void *p, uint16_t v)
{
    RING_TOUCH(p, 2, true);
    __atomic_store_n((uint16_t *)p, v, __ATOMIC_RELAXED);
}

static inline void ring_store32(void *p, uint32_t v)
{
    RING_TOUCH(p, 4, true);
    __atomic_store_n((uint32_t *)p, v, __ATOMIC_RELAXED);
}

static inline void ring_store64(void *p, uint64_t v)
{
    RING_TOUCH(p, 8, true);
    __atomic_store_n((uint64_t *)p, v, __ATOMIC_RELAXED);
}

/*
 * Copy what the driver may change meanwhile. No alignment is asked for; the
 * compiler must not look at @from again later.
 */
static inline void ring_copy(void *to, const void *from, unsigned n)
{
    RING_TOUCH(from, n, false);
    memcpy(to, from, n);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* What was loaded before is older than what is loaded after */
static inline void ring_acquire(void)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
}

/* Who sees what is stored after sees what was stored before */
static inline void ring_release(void)
{
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

/* Stores before are visible before loads after are done */
static inline void ring_full_fence(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

#endif
