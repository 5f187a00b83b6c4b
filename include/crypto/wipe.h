/*
 * Clearing memory that held secrets
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QCRYPTO_WIPE_H
#define QCRYPTO_WIPE_H

/**
 * qcrypto_wipe:
 * @p: memory to clear; may be NULL when @len is 0
 * @len: bytes
 *
 * memset() to zero that the compiler keeps although the memory is not read
 * afterwards. Context: any thread.
 */
static inline void qcrypto_wipe(void *p, size_t len)
{
    if (len) {
        memset(p, 0, len);
        /* The compiler must assume that this reads what @p points to. */
        asm volatile("" : : "r"(p) : "memory");
    }
}

#endif
