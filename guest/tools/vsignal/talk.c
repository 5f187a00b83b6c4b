/*
 * vsignal: the commands that send, listen and tell
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define _GNU_SOURCE
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include "vsignal.h"

/* The last so many are looked at for all but the mean. */
#define PING_TIMES   65536
#define PING_REQUEST 0x5049
#define PING_ANSWER  0x504f

int cmd_info(int argc, char **argv)
{
    struct virtio_signal_config config = info();

    (void)argc, (void)argv;
    printf("node %u targets %u send-queues %u backlog %u poll-ns-max %u send",
           config.node_id, config.num_targets, config.num_sendqs,
           config.backlog, config.poll_ns_max);
    print_classes(config.send_classes);
    return 0;
}

int cmd_peers(int argc, char **argv)
{
    struct vsignal_peers peers;
    unsigned first = 0;

    (void)argc, (void)argv;
    do {
        get_peers(&peers, first);
        for (unsigned i = 0; i < peers.count; i++) {
            const struct virtio_signal_peer *p = &peers.peers[i];

            first = le16toh(p->node) + 1;
            printf("node %u %s targets %u accepts", first - 1,
                   state_name(le16toh(p->state)), le16toh(p->num_targets));
            print_classes(le32toh(p->accepts));
        }
    } while (peers.more && peers.count);
    return 0;
}

int cmd_send(int argc, char **argv)
{
    struct vsignal_send send;
    struct virtio_signal_req *req = request(&send);

    req->dst_node = htole16(node(argv[0]));
    req->src_target = htole16(VIRTIO_SIGNAL_TARGET_NODE);
    if (!strcmp(argv[1], "others")) {
        req->src_target = htole16(own_target());
    }
    set_target(req, argv[1]);
    req->class_id = htole16(class_number(argv[2]));
    req->signal = htole16(argc > 3 ? number(argv[3], UINT16_MAX) : 0);
    for (int i = 4; i < argc; i++) {
        req->payload[i - 4] = htole64(number(argv[i], ULLONG_MAX));
    }
    submit(&send);
    return show_reply(&send.reply);
}

static unsigned long long count_of(int argc, char **argv)
{
    return argc ? number(argv[0], ULLONG_MAX) : ULLONG_MAX;
}

int cmd_listen(int argc, char **argv)
{
    unsigned long long count = count_of(argc, argv);
    struct vsignal_record r;

    printf("listening\n");
    fflush(stdout);
    while (count-- && next_record(&r, 0)) {
        unsigned class_id = le16toh(r.event.class_id);
        unsigned signal = le16toh(r.event.signal);

        printf("%s ", class_name(class_id));
        if (class_id == VIRTIO_SIGNAL_CLASS_PEER) {
            printf("node %u %s", le16toh(r.event.src_node),
                   state_name(signal));
        } else {
            printf("signal %u from %u.%u", signal, le16toh(r.event.src_node),
                   le16toh(r.event.src_target));
        }
        printf(" target %u cpu %u count %u seq %u payload 0x%" PRIx64
               " 0x%" PRIx64 " dropped %u\n", r.target, r.cpu,
               le32toh(r.event.count), le32toh(r.event.seq),
               (uint64_t)le64toh(r.event.payload[0]),
               (uint64_t)le64toh(r.event.payload[1]), r.dropped);
        fflush(stdout);
    }
    return 0;
}

static bool is_ping(const struct vsignal_record *r, unsigned signal)
{
    return le16toh(r->event.class_id) == VIRTIO_SIGNAL_CLASS_DOORBELL &&
           le16toh(r->event.signal) == signal;
}

int cmd_echo(int argc, char **argv)
{
    unsigned long long count = count_of(argc, argv);
    struct vsignal_record r;

    printf("listening\n");
    fflush(stdout);
    while (count && next_record(&r, 0)) {
        struct vsignal_send send;
        struct virtio_signal_req *req = request(&send);

        if (!is_ping(&r, PING_REQUEST)) {
            continue;
        }
        req->class_id = htole16(VIRTIO_SIGNAL_CLASS_DOORBELL);
        req->dst_node = r.event.src_node;
        req->target = r.event.src_target;
        req->signal = htole16(PING_ANSWER);
        req->src_target = htole16(r.target);
        memcpy(req->payload, r.event.payload, sizeof(req->payload));
        if (submit(&send)) {
            show_reply(&send.reply);
        }
        count--;
    }
    return 0;
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static int compare_times(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

int cmd_ping(int argc, char **argv)
{
    static uint64_t times[PING_TIMES];
    unsigned long long count = argc > 2 ? number(argv[2], ULLONG_MAX) : 1;
    uint64_t sum = 0, kept = 0;

    for (unsigned long long i = 0; i < count; i++) {
        struct vsignal_send send;
        struct virtio_signal_req *req = request(&send);
        struct vsignal_record r;
        uint64_t start = now_ns(), took;

        req->class_id = htole16(VIRTIO_SIGNAL_CLASS_DOORBELL);
        req->dst_node = htole16(node(argv[0]));
        set_target(req, argv[1]);
        req->signal = htole16(PING_REQUEST);
        /* The answer comes here, where it is polled for. */
        req->src_target = htole16(own_target());
        req->payload[0] = htole64(i);
        if (submit(&send)) {
            show_reply(&send.reply);
            return 1;
        }
        do {
            if (!next_record(&r, 60)) {
                die("no answer to ping %llu; does 'vsignal echo' run there?",
                    i);
            }
        } while (!is_ping(&r, PING_ANSWER) ||
                 le64toh(r.event.payload[0]) != i);
        took = now_ns() - start;
        times[i % PING_TIMES] = took;
        kept += kept < PING_TIMES;
        sum += took;
        printf("answer %llu from node %u\n", i, le16toh(r.event.src_node));
    }
    qsort(times, kept, sizeof(*times), compare_times);
    printf("%llu pings answered", count);
    if (count) {
        printf("; %.1f %.1f %.1f %.1f us (least, median, mean, most)",
               times[0] / 1e3, times[kept / 2] / 1e3, sum / 1e3 / count,
               times[kept - 1] / 1e3);
    }
    printf("\n");
    return 0;
}

int cmd_wait(int argc, char **argv)
{
    unsigned long long n = number(argv[0], VIRTIO_SIGNAL_NODE_MAX);
    unsigned want = state_number(argv[1]), state;
    struct vsignal_record r;
    struct vsignal_peers peers;
    bool seen = false;

    (void)argc;
    if (n == info().node_id) {
        die("node %llu is this machine", n);
    }
    /* Events since open() are kept, so nothing is missed in between. */
    for (;;) {
        state = VIRTIO_SIGNAL_PEER_DOWN;
        get_peers(&peers, n);
        if (peers.count && le16toh(peers.peers[0].node) == n) {
            state = le16toh(peers.peers[0].state);
            seen = true;
        } else if (!seen) {
            die("there is no node %llu; 'vsignal peers' lists those that "
                "devices and links of the host bring", n);
        }
        if (state == want) {
            printf("node %llu %s\n", n, state_name(want));
            return 0;
        }
        next_record(&r, 0);
    }
}

int cmd_accept(int argc, char **argv)
{
    struct vsignal_accept accept = {
        .target = number(argv[0], UINT16_MAX),
    };

    for (int i = 1; i < argc; i++) {
        unsigned class_id = class_number(argv[i]);

        if (class_id >= 32) {
            die("there is no class %u", class_id);
        }
        accept.classes |= 1u << class_id;
    }
    if (ioctl(device, VSIGNAL_ACCEPT, &accept)) {
        die("cannot set what target %u takes: %s", accept.target,
            errno == ENXIO ? "an NMI needs a CPU that runs" :
            errno == EINVAL ? "no such target, or not one of the classes irq "
                              "doorbell peer overflow and, if offered, nmi" :
            strerror(errno));
    }
    return 0;
}
