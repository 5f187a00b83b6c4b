/*
 * vsignal: all CPUs at work
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define _GNU_SOURCE
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "vsignal.h"

/* The CPUs that run and have a target, by rising number, and how many. */
static unsigned cpus(unsigned *list, unsigned targets)
{
    unsigned n = 0;

    for (unsigned cpu = 0; cpu < targets && cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &usable)) {
            list[n++] = cpu;
        }
    }
    return n;
}

/* Every CPU signals every other one; every event must come to its CPU. */
int cmd_cross(int argc, char **argv)
{
    unsigned long long rounds = number(argv[0], ULLONG_MAX);
    struct virtio_signal_config config = info();
    unsigned list[CPU_SETSIZE], n = cpus(list, config.num_targets);
    uint64_t sent = 0, merged = 0, refused = 0, counted = 0, wrong = 0;
    struct vsignal_record r;

    (void)argc;
    for (unsigned long long round = 0; round < rounds; round++) {
        for (unsigned from = 0; from < n; from++) {
            run_on(list[from]);
            for (unsigned to = 0; to < n; to++) {
                struct vsignal_send send;
                struct virtio_signal_req *req = request(&send);

                req->dst_node = htole16(config.node_id);
                req->target = htole16(list[to]);
                req->signal = htole16(1);
                req->src_target = htole16(list[from]);
                submit(&send);
                sent++;
                merged += le32toh(send.reply.coalesced);
                refused += le32toh(send.reply.refused);
            }
        }
        /* What was sent must come, however it is merged. */
        while (counted < sent - refused) {
            if (!next_record(&r, 60)) {
                die("%" PRIu64 " of %" PRIu64 " signals came", counted, sent);
            }
            counted += le32toh(r.event.count);
            wrong += r.cpu != r.target || r.dropped;
        }
    }
    printf("sent %" PRIu64 " received %" PRIu64 " merged %" PRIu64
           " refused %" PRIu64 " wrong-cpu %" PRIu64 "\n", sent, counted,
           merged, refused, wrong);
    return counted != sent - refused || wrong;
}

/* What the CPU's process did: targets, and those merged and refused. */
struct storm {
    uint64_t targets, merged, refused;
};

/* Unicasts to the others by turns, and each time round a broadcast */
static struct storm storm_of(const unsigned *list, unsigned n, unsigned self,
                             unsigned long long count)
{
    struct virtio_signal_config config = info();
    struct storm sum = { 0 };

    run_on(list[self]);
    for (unsigned long long i = 0; i < count; i++) {
        struct vsignal_send send;
        struct virtio_signal_req *req = request(&send);
        unsigned to = (self + i) % n;

        req->dst_node = htole16(config.node_id);
        req->signal = htole16(2);
        req->src_target = htole16(list[self]);
        if (to == self) {
            req->mode = htole16(VIRTIO_SIGNAL_MODE_ALL_BUT_SELF);
        } else {
            req->target = htole16(list[to]);
        }
        submit(&send);
        /* There is a target for each CPU that may come, too. */
        sum.targets += to == self ? config.num_targets - 1 : 1;
        sum.merged += le32toh(send.reply.coalesced);
        sum.refused += le32toh(send.reply.refused);
    }
    return sum;
}

/* The driver counts what comes; see its "stats" in debugfs. */
int cmd_storm(int argc, char **argv)
{
    unsigned long long count = number(argv[0], ULLONG_MAX);
    unsigned list[CPU_SETSIZE], n = cpus(list, info().num_targets);
    struct storm sum = { 0 }, one;
    int fds[2];

    (void)argc;
    if (pipe(fds)) {
        die("pipe: %s", strerror(errno));
    }
    for (unsigned self = 0; self < n; self++) {
        switch (fork()) {
        case -1:
            die("fork: %s", strerror(errno));
        case 0:
            one = storm_of(list, n, self, count);
            _exit(write(fds[1], &one, sizeof(one)) != sizeof(one));
        }
    }
    close(fds[1]);
    for (unsigned i = 0; i < n; i++) {
        if (read(fds[0], &one, sizeof(one)) != sizeof(one)) {
            die("a sender failed");
        }
        sum.targets += one.targets;
        sum.merged += one.merged;
        sum.refused += one.refused;
    }
    printf("sent %" PRIu64 " delivered %" PRIu64 " merged %" PRIu64
           " refused %" PRIu64 "\n", sum.targets,
           sum.targets - sum.merged - sum.refused, sum.merged, sum.refused);
    return 0;
}
