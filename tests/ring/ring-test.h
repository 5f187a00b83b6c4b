/*
 * Fixture of the ring tests: one queue, driver and model on one buffer
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef RING_TEST_H
#define RING_TEST_H

#include <glib.h>
#include "vring-driver.h"
#include "model-device.h"

/* Guest addresses start here, so that a host pointer is never one by luck */
#define TEST_GPA        0x40000000ULL
#define TEST_MAX_SEG    64u
#define TEST_TABLES     1024u

typedef struct RingTest {
    const VdrvMemOps *m;
    VdrvQueue vq;
    ModelDevice dev;
    VdrvSlot *slots;
    ModelSeg segs[TEST_MAX_SEG];
    ModelChain chain;
    VdrvLayout at;
    uint64_t tables;        /* room for indirect tables, guest address */
    void *ram;
    void *mem;
} RingTest;

/* ring_test_new() - a started queue of @num entries, model attached */
RingTest *ring_test_new(uint64_t features, uint16_t num);
void ring_test_free(RingTest *t);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RingTest, ring_test_free)

/* Reset both sides, and the ring memory to @fill bytes beforehand */
void ring_test_reset(RingTest *t, uint64_t features);

/* Place of indirect table @i */
uint64_t ring_test_table(const RingTest *t, unsigned i);

/*
 * Add one buffer of @out readable and @in writable segments of 16 bytes;
 * indirect if @table is not 0. The token is @token. Result of vdrv_add().
 */
int ring_test_add(RingTest *t, unsigned out, unsigned in, uint64_t table,
                  uintptr_t token);

/* Pop one chain into t->chain; result of model_pop() */
int ring_test_pop(RingTest *t);

/* Pop, and return with @len written; assert that there was one */
void ring_test_serve(RingTest *t, uint32_t len);

/* Take one completion; assert that there was one with @token and @len */
void ring_test_expect(RingTest *t, uintptr_t token, uint32_t len);

/* Assert that driver and device hold nothing and agree on it */
void ring_test_assert_idle(const RingTest *t);

/* Bring a fresh queue's positions to @n by @n buffers of one descriptor */
void ring_test_run(RingTest *t, unsigned n);

#endif /* RING_TEST_H */
