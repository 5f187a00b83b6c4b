/*
 * vhost-pci: kicks and calls of A's rings
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Eventfds are files that A has open too. A can take away O_NONBLOCK and
 * exhaust or fill the counter at any time, so no access relies on the flag
 * alone: reads say RWF_NOWAIT, writes ask poll() first.
 */

#include "qemu/osdep.h"
#include <poll.h>
#include <sys/uio.h>
#include "qemu/main-loop.h"
#include "rings.h"

/* The link of an eventfd in /proc; there is no other way to tell. */
static bool is_eventfd(int fd)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    g_autofree char *target = g_file_read_link(path, NULL);

    return target && !strcmp(target, "anon_inode:[eventfd]");
}

static void kick(void *opaque)
{
    VPRing *ring = opaque;
    uint64_t counter;
    struct iovec iov = { .iov_base = &counter, .iov_len = sizeof(counter) };

    /* Semaphore mode would count one at a time: then we come again. */
    if (preadv2(ring->fd[VP_KICK], &iov, 1, -1, RWF_NOWAIT) ==
        sizeof(counter)) {
        ring->rings->kicks++;
        ring->rings->kicked(ring->rings->opaque, ring - ring->rings->ring);
    }
}

static void drop(VPRing *ring, VPRingFd which)
{
    if (ring->fd[which] < 0) {
        return;
    }
    if (which == VP_KICK) {
        qemu_set_fd_handler(ring->fd[which], NULL, NULL, NULL);
    }
    close(ring->fd[which]);
    ring->fd[which] = -1;
}

bool vp_rings_set(VPRings *rings, unsigned ring, VPRingFd which, int fd)
{
    VPRing *r = &rings->ring[ring];

    if (fd >= 0 && (!is_eventfd(fd) ||
                    !g_unix_set_fd_nonblocking(fd, true, NULL))) {
        return false;
    }
    drop(r, which);
    r->fd[which] = fd;
    if (fd >= 0 && which == VP_KICK) {
        qemu_set_fd_handler(fd, kick, NULL, r);
    }
    return true;
}

void vp_rings_signal(VPRings *rings, unsigned ring, VPRingFd which)
{
    static const uint64_t one = 1;
    struct pollfd p = { .events = POLLOUT };

    if (ring >= rings->num || rings->ring[ring].fd[which] < 0) {
        return;
    }
    p.fd = rings->ring[ring].fd[which];
    /* A full counter is a signal that A has yet to take. */
    if (poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) &&
        write(p.fd, &one, sizeof(one)) == sizeof(one)) {
        rings->calls++;
    }
}

void vp_rings_clear(VPRings *rings)
{
    for (unsigned i = 0; i < rings->num; i++) {
        for (unsigned which = 0; which < VP_RING_FDS; which++) {
            drop(&rings->ring[i], which);
        }
    }
}

void vp_rings_init(VPRings *rings, unsigned num,
                   void (*kicked)(void *opaque, unsigned ring), void *opaque)
{
    *rings = (VPRings) {
        .ring = g_new0(VPRing, num),
        .num = num,
        .kicked = kicked,
        .opaque = opaque,
    };
    for (unsigned i = 0; i < num; i++) {
        rings->ring[i].rings = rings;
        for (unsigned which = 0; which < VP_RING_FDS; which++) {
            rings->ring[i].fd[which] = -1;
        }
    }
}

void vp_rings_cleanup(VPRings *rings)
{
    vp_rings_clear(rings);
    g_clear_pointer(&rings->ring, g_free);
}
