/*
 * Calling the core that fits a ring's areas
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * For who uses both cores (areas.h). They share all state, so each call may go
 * to another one.
 */

#ifndef HW_VIRTIO_RING_CORES_H
#define HW_VIRTIO_RING_CORES_H

#include "ring.h"

extern __typeof__(vring_fetch) vring_paged_fetch;
extern __typeof__(vring_skip) vring_paged_skip;
extern __typeof__(vring_fill) vring_paged_fill;
extern __typeof__(vring_flush) vring_paged_flush;
extern __typeof__(vring_should_notify) vring_paged_should_notify;
extern __typeof__(vring_set_notification)
    vring_paged_set_notification;
extern __typeof__(vring_empty) vring_paged_empty;
extern __typeof__(vring_more) vring_paged_more;
extern __typeof__(vring_avail_bytes) vring_paged_avail_bytes;
extern __typeof__(vring_recover) vring_paged_recover;

/** VRING_CALL: vring_@name() of the core for @areas, with what follows */
#define VRING_CALL(name, areas, ...)                        \
    (unlikely((areas)->pages) ? vring_paged_##name(__VA_ARGS__) \
                              : vring_##name(__VA_ARGS__))

#endif
