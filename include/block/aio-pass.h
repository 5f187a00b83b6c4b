/*
 * Work for the end of a run of bottom halves
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An event loop runs all its scheduled bottom halves in one go, and those of
 * requests that completed together have the same callback. What each of them
 * would do at its end, and what is cheaper done once for all, waits here: until
 * the run of bottom halves with that callback is over, or another pass of the
 * event loop begins inside of one of them.
 */

#ifndef BLOCK_AIO_PASS_H
#define BLOCK_AIO_PASS_H

#include "block/aio.h"

/**
 * AioPassWork: something to do once
 * @fn: does it; may defer this or other work again
 * @next: work deferred after it; private
 *
 * Embedded in what it is about, which must live until @fn was called.
 */
typedef struct AioPassWork AioPassWork;
struct AioPassWork {
    void (*fn)(AioPassWork *work);
    AioPassWork *next;
};

/**
 * aio_pass_defer: call @work's function at the end of the run
 * @work: not deferred by anybody at present
 *
 * Returns false, having done nothing, if no bottom half is running in this
 * thread. Context: any thread with an event loop.
 */
bool aio_pass_defer(AioPassWork *work);

/**
 * aio_pass_flush: do what was deferred in this thread, now
 *
 * Context: any thread.
 */
void aio_pass_flush(void);

/* A bottom half that calls @cb is next; util/async.c only. */
void aio_pass_enter(QEMUBHFunc *cb);
/* No bottom half is next; util/async.c only. */
void aio_pass_leave(void);

#endif
