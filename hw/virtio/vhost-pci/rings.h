/*
 * vhost-pci: kicks and calls of A's rings
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Context of all functions: BQL held.
 */

#ifndef HW_VIRTIO_VHOST_PCI_RINGS_H
#define HW_VIRTIO_VHOST_PCI_RINGS_H

#include "standard-headers/linux/virtio_vhost_pci.h"

typedef struct VPRings VPRings;

typedef enum VPRingFd {
    VP_KICK,                    /* A to B */
    VP_CALL,                    /* B to A */
    VP_ERR,                     /* B to A */
    VP_RING_FDS,
} VPRingFd;

/* A ring of A; file descriptors are -1 or owned */
typedef struct VPRing {
    VPRings *rings;
    int fd[VP_RING_FDS];
} VPRing;

/**
 * VPRings: all rings of a device
 * @kicked: called in the main loop when A kicked a ring
 */
struct VPRings {
    VPRing *ring;
    unsigned num;
    void (*kicked)(void *opaque, unsigned ring);
    void *opaque;
    uint64_t kicks;
    uint64_t calls;
};

void vp_rings_init(VPRings *rings, unsigned num,
                   void (*kicked)(void *opaque, unsigned ring), void *opaque);
void vp_rings_cleanup(VPRings *rings);

/**
 * vp_rings_set - give a ring an eventfd
 * @ring: below @num
 * @fd: taken over on success; -1 for none
 *
 * Returns false if @fd is no eventfd.
 */
bool vp_rings_set(VPRings *rings, unsigned ring, VPRingFd which, int fd);

/**
 * vp_rings_signal - signal A
 * @ring: any number; one without an eventfd does nothing
 */
void vp_rings_signal(VPRings *rings, unsigned ring, VPRingFd which);

/** vp_rings_clear - close everything */
void vp_rings_clear(VPRings *rings);

#endif
