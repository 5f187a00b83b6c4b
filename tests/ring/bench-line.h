/*
 * Two pinned threads that meet on a cache line: what the benches stand on
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Needs _GNU_SOURCE for the affinity calls.
 */
#ifndef BENCH_LINE_H
#define BENCH_LINE_H

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

typedef struct Line {
    _Atomic uint32_t v;
} __attribute__((aligned(128))) Line;

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

static inline uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + ts.tv_nsec;
}

/* How often the kernel took a CPU away from one of our threads so far */
static inline long preemptions(void)
{
    struct rusage ru;

    getrusage(RUSAGE_SELF, &ru);
    return ru.ru_nivcsw;
}

static inline void pin(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    errno = pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
    if (errno) {
        fprintf(stderr, "cannot pin to CPU %d: %s; choose two with --cpus\n",
                cpu, strerror(errno));
        exit(1);
    }
}

/* Wait until @l is no longer @seen or somebody stops the run */
static inline bool line_wait(Line *l, uint32_t seen, Line *stop)
{
    while (atomic_load_explicit(&l->v, memory_order_acquire) == seen) {
        if (atomic_load_explicit(&stop->v, memory_order_relaxed)) {
            return false;
        }
        relax();
    }
    return true;
}

#endif /* BENCH_LINE_H */
