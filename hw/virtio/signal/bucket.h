/*
 * virtio-signal: how many requests a source may send
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VIRTIO_SIGNAL_BUCKET_H
#define HW_VIRTIO_SIGNAL_BUCKET_H

#include "hw/virtio/virtio-signal.h"
#include "qemu/timer.h"

/**
 * signal_clock - the clock by which peers and drivers are measured
 *
 * The host's, as a machine that stands has peers, too; under qtest the
 * machine's, which tests step.
 */
QEMUClockType signal_clock(void);

/**
 * signal_bucket_check - whether the user's settings can be
 *
 * Returns: false with an error if not.
 */
bool signal_bucket_check(const SignalBucket *b, Error **errp);

/**
 * signal_bucket_take - take a token
 *
 * Context: main loop, BQL held.
 *
 * Returns: false, counted in @limited, if there is none.
 */
bool signal_bucket_take(SignalBucket *b);

#endif
