/*
 * Seen by the core before anything else: each access and fence is reported
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * ring-mem.h offers RING_TOUCH for accesses. Fences have no such hook, so the
 * builtin is caught by its name.
 */
#ifndef RING_TOUCH_H
#define RING_TOUCH_H

#include <stdbool.h>

void ring_touch(const void *p, unsigned n, bool write);
void ring_fence(int order);

#define RING_TOUCH(p, n, write)     ring_touch(p, n, write)
#define __atomic_thread_fence(m)    ring_fence(m)

#endif
