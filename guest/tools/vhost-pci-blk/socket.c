/*
 * vhost-pci-blk: vhost-user over a socket, on the host
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "backend.h"

#define FDS_MAX VHOST_PCI_TABLE_MAX
#define HDR sizeof(struct vhost_pci_msg_hdr)

struct connection {
    struct backend backend;
    int sock;
    bool broken;
    int fds[FDS_MAX];           /* of the message in hand */
    unsigned nfds;
    int kick[RINGS_MAX];
    int call[RINGS_MAX];
    struct { void *at; size_t len; } maps[VHOST_PCI_TABLE_MAX];
};

static void reply(void *opaque, const struct message *msg)
{
    struct connection *c = opaque;
    size_t len = HDR + msg->hdr.size;

    if (send(c->sock, msg, len, MSG_NOSIGNAL) != (ssize_t)len) {
        c->broken = true;
    }
}

static void call(void *opaque, unsigned ring)
{
    struct connection *c = opaque;
    const uint64_t one = 1;

    if (c->call[ring] >= 0 &&
        write(c->call[ring], &one, sizeof(one)) != sizeof(one)) {
        complain("ring %u: cannot call: %s", ring, strerror(errno));
    }
}

static void unmap(struct connection *c)
{
    for (unsigned i = 0; i < VHOST_PCI_TABLE_MAX; i++) {
        if (c->maps[i].at) {
            munmap(c->maps[i].at, c->maps[i].len);
            c->maps[i].at = NULL;
        }
    }
}

static void table(void *opaque, const struct vhost_pci_mem_table *table,
                  uint8_t *hosts[VHOST_PCI_TABLE_MAX])
{
    struct connection *c = opaque;

    unmap(c);
    for (unsigned i = 0; i < table->nregions && i < c->nfds; i++) {
        const struct vhost_pci_region *r = &table->regions[i];
        size_t len = r->memory_size + r->mmap_offset;
        void *at = len < r->memory_size ? MAP_FAILED :
                   mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED,
                        c->fds[i], 0);

        if (at != MAP_FAILED) {
            c->maps[i].at = at;
            c->maps[i].len = len;
            hosts[i] = (uint8_t *)at + r->mmap_offset;
        }
    }
}

static void close_fds(int *fds, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
            fds[i] = -1;
        }
    }
}

/* The file that comes with SET_VRING_KICK and _CALL */
static void take_fd(struct connection *c, const struct message *msg)
{
    uint64_t value;
    int *to = msg->hdr.request == VHOST_PCI_SET_VRING_KICK ? c->kick
                                                           : c->call;

    memcpy(&value, msg->payload, sizeof(value));
    value &= VHOST_PCI_RING_MASK;
    if (value >= RINGS_MAX || (msg->hdr.request != VHOST_PCI_SET_VRING_KICK &&
                               msg->hdr.request != VHOST_PCI_SET_VRING_CALL)) {
        return;
    }
    close_fds(&to[value], 1);
    if (c->nfds) {
        to[value] = c->fds[0];
        c->fds[0] = -1;
    }
}

static bool receive(struct connection *c)
{
    char control[CMSG_SPACE(FDS_MAX * sizeof(int))];
    struct message msg = { 0 };
    struct iovec iov = { &msg.hdr, HDR };
    struct msghdr mh = {
        .msg_iov = &iov, .msg_iovlen = 1,
        .msg_control = control, .msg_controllen = sizeof(control),
    };
    ssize_t n = recvmsg(c->sock, &mh, MSG_CMSG_CLOEXEC | MSG_WAITALL);
    bool good;

    c->nfds = 0;
    for (struct cmsghdr *cmsg = n > 0 ? CMSG_FIRSTHDR(&mh) : NULL; cmsg;
         cmsg = CMSG_NXTHDR(&mh, cmsg)) {
        if (cmsg->cmsg_level == SOL_SOCKET &&
            cmsg->cmsg_type == SCM_RIGHTS) {
            c->nfds = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            memcpy(c->fds, CMSG_DATA(cmsg), c->nfds * sizeof(int));
        }
    }
    good = n == HDR && msg.hdr.size <= sizeof(msg.payload) &&
           (!msg.hdr.size || recv(c->sock, msg.payload, msg.hdr.size,
                                  MSG_WAITALL) == (ssize_t)msg.hdr.size);
    if (good) {
        take_fd(c, &msg);
        good = backend_message(&c->backend, &msg) && !c->broken;
    }
    close_fds(c->fds, c->nfds);
    return good;
}

static void connection(int sock)
{
    static struct connection c;
    const struct transport transport = { reply, table, call, NULL, &c };
    struct pollfd polls[1 + RINGS_MAX];

    c = (struct connection) {
        .sock = sock, .backend.transport = &transport,
    };
    for (unsigned i = 0; i < RINGS_MAX; i++) {
        c.kick[i] = c.call[i] = -1;
    }
    for (;;) {
        uint64_t counter;

        polls[0] = (struct pollfd) { sock, POLLIN, 0 };
        for (unsigned i = 0; i < RINGS_MAX; i++) {
            polls[1 + i] = (struct pollfd) { c.kick[i], POLLIN, 0 };
        }
        if (poll(polls, 1 + RINGS_MAX, -1) < 0 && errno != EINTR) {
            break;
        }
        for (unsigned i = 0; i < RINGS_MAX; i++) {
            if ((polls[1 + i].revents & POLLIN) &&
                read(c.kick[i], &counter, sizeof(counter)) < 0) {
                complain("ring %u: cannot read its kick", i);
            }
        }
        if (polls[0].revents && !receive(&c)) {
            break;
        }
        while (backend_serve(&c.backend)) {
            continue;
        }
    }
    backend_reset(&c.backend);
    unmap(&c);
    close_fds(c.kick, RINGS_MAX);
    close_fds(c.call, RINGS_MAX);
}

int serve_socket(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (strlen(path) >= sizeof(addr.sun_path)) {
        complain("%s is too long for a socket", path);
        return 1;
    }
    strcpy(addr.sun_path, path);
    unlink(path);
    if (sock < 0 || bind(sock, (void *)&addr, sizeof(addr)) ||
        listen(sock, 1)) {
        complain("%s: %s", path, strerror(errno));
        return 1;
    }
    printf("waiting at %s\n", path);
    for (;;) {
        int peer = accept4(sock, NULL, NULL, SOCK_CLOEXEC);

        if (peer < 0) {
            complain("accept: %s", strerror(errno));
            return 1;
        }
        printf("frontend connected\n");
        connection(peer);
        close(peer);
        printf("frontend gone\n");
    }
}
