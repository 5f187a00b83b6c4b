/*
 * The order in which virtio-echo completes a batch
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "order.h"

/* splitmix64: all 64-bit states are equally good, so any seed will do */
static uint64_t echo_random(VirtIOEchoQueue *q)
{
    uint64_t z;

    q->rng += 0x9e3779b97f4a7c15ULL;
    z = q->rng;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

void echo_order_seed(VirtIOEchoQueue *q, uint64_t seed)
{
    q->rng = seed;
}

void echo_order(VirtIOEchoQueue *q, unsigned n, int order)
{
    switch (order) {
    case VIRTIO_ECHO_ORDER_LIFO:
        for (unsigned i = 0, j = n - 1; i < j; i++, j--) {
            VirtIOEchoRequest *tmp = q->held[i];

            q->held[i] = q->held[j];
            q->held[j] = tmp;
        }
        break;
    case VIRTIO_ECHO_ORDER_RANDOM:
        for (unsigned i = n - 1; i > 0; i--) {
            unsigned j = echo_random(q) % (i + 1);
            VirtIOEchoRequest *tmp = q->held[i];

            q->held[i] = q->held[j];
            q->held[j] = tmp;
        }
        break;
    default:
        break;
    }
}
