/*
 * virtio-signal: what a peer may do to this machine
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VIRTIO_SIGNAL_ACTION_H
#define HW_VIRTIO_SIGNAL_ACTION_H

#include "qapi/qapi-types-signal.h"

/**
 * signal_action - do what a signal of class BOOT, RESET, STOP or KILL asks
 * @link: ID of the link, for trace events
 * @class_id: the class; the caller has checked that the peer may send it
 * @kill: what KILL does
 * @paused: whether the machine stands because of an earlier KILL of this peer;
 *          set by KILL, the caller clears it when the machine runs again
 *
 * Context: main loop, BQL held.
 *
 * Returns: VIRTIO_SIGNAL_S_OK, or STATE if the machine is not in a state for
 * it; then nothing was done.
 */
uint16_t signal_action(const char *link, uint16_t class_id,
                       SignalKillAction kill, bool *paused);

#endif
