/*
 * virtio-signal: control queue
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VIRTIO_SIGNAL_CTRL_H
#define HW_VIRTIO_SIGNAL_CTRL_H

#include "hw/virtio/virtio-signal.h"

/**
 * signal_ctrl_serve - answer all commands in the control queue
 *
 * Context: main loop, BQL held.
 */
void signal_ctrl_serve(VirtIOSignal *s);

#endif
