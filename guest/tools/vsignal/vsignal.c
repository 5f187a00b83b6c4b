/*
 * vsignal: send and watch signals of a virtio-signal device
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * usage: vsignal [-d DEVICE] [-p NS] [-c CPU] COMMAND...
 *   info                          number of the node, targets, classes
 *   peers                         the other nodes
 *   send NODE TARGET CLASS [SIGNAL [PAYLOAD0 [PAYLOAD1]]]
 *   listen [COUNT]                print events, COUNT of them or for ever
 *   echo [COUNT]                  answer pings, COUNT of them or for ever
 *   ping NODE TARGET [COUNT]      DOORBELL there and back
 *   wait NODE STATE               until NODE is "down", "up" or "ready"
 *   accept TARGET CLASS...        what the target takes, and nothing else
 *   cross ROUNDS                  every target signals every other one
 *   storm COUNT                   all CPUs at once send COUNT requests each
 * NODE is a number or "all"; TARGET a number, "node", "all", "others", or
 * "mask:HEX". -p: poll for NS before sleeping; -c: run on CPU.
 * Exit status 1: the device refused; 2: anything else.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <endian.h>
#include "vsignal_abi.h"

#define PING_REQUEST 0x5049
#define PING_ANSWER  0x504f

static const char *const classes[VIRTIO_SIGNAL_CLASS_COUNT] = {
    "irq", "doorbell", "nmi", "boot", "reset", "stop", "kill", "peer",
    "channel", "overflow",
};
static const char *const statuses[VIRTIO_SIGNAL_S_COUNT] = {
    "ok", "partial", "inval", "no-target", "no-peer", "perm", "unsupp",
    "busy", "peer-down", "again", "state",
};
static const char *const states[] = { "down", "up", "ready" };

static int device;

static void __attribute__((noreturn, format(printf, 1, 2)))
die(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    fprintf(stderr, "vsignal: ");
    vfprintf(stderr, format, ap);
    fprintf(stderr, "\n");
    va_end(ap);
    exit(2);
}

static unsigned long long number(const char *text, unsigned long long max)
{
    unsigned long long value;
    char *end;

    errno = 0;
    value = strtoull(text, &end, 0);
    if (errno || end == text || *end || value > max || *text == '-') {
        die("'%s' is not a number up to %llu", text, max);
    }
    return value;
}

static unsigned name(const char *const *names, unsigned count,
                     const char *text)
{
    for (unsigned i = 0; i < count; i++) {
        if (!strcmp(names[i], text)) {
            return i;
        }
    }
    return number(text, UINT16_MAX);
}

static uint16_t node(const char *text)
{
    return strcmp(text, "all") ? number(text, UINT16_MAX)
                               : VIRTIO_SIGNAL_NODE_ALL;
}

static struct virtio_signal_config info(void)
{
    struct virtio_signal_config config;

    if (ioctl(device, VSIGNAL_INFO, &config)) {
        die("cannot ask the device: %s", strerror(errno));
    }
    return config;
}

static struct virtio_signal_req *request(struct vsignal_send *send)
{
    memset(send, 0, sizeof(*send));
    return (struct virtio_signal_req *)send->req;
}

static void set_target(struct virtio_signal_req *req, const char *text)
{
    if (!strcmp(text, "node")) {
        req->target = htole16(VIRTIO_SIGNAL_TARGET_NODE);
    } else if (!strcmp(text, "all")) {
        req->mode = htole16(VIRTIO_SIGNAL_MODE_ALL);
    } else if (!strcmp(text, "others")) {
        req->mode = htole16(VIRTIO_SIGNAL_MODE_ALL_BUT_SELF);
    } else if (!strncmp(text, "mask:", 5)) {
        char *end;

        req->mode = htole16(VIRTIO_SIGNAL_MODE_MASK);
        req->mask_words = htole16(1);
        req->mask[0] = htole64(strtoull(text + 5, &end, 16));
        if (*end || end == text + 5) {
            die("'%s' is not a mask", text);
        }
    } else {
        req->target = htole16(number(text, UINT16_MAX));
    }
}

static unsigned submit(struct vsignal_send *send)
{
    if (ioctl(device, VSIGNAL_SEND, send)) {
        die("cannot send: %s", strerror(errno));
    }
    return le16toh(send->reply.status);
}

static int show_reply(const struct virtio_signal_reply *reply)
{
    unsigned status = le16toh(reply->status);

    printf("%s delivered %u coalesced %u refused %u\n",
           status < VIRTIO_SIGNAL_S_COUNT ? statuses[status] : "unknown",
           le32toh(reply->delivered), le32toh(reply->coalesced),
           le32toh(reply->refused));
    return status != VIRTIO_SIGNAL_S_OK;
}

static int cmd_info(void)
{
    struct virtio_signal_config config = info();

    printf("node %u targets %u send-queues %u backlog %u send", config.node_id,
           config.num_targets, config.num_sendqs, config.backlog);
    for (unsigned i = 0; i < VIRTIO_SIGNAL_CLASS_COUNT; i++) {
        if (config.send_classes & (1u << i)) {
            printf(" %s", classes[i]);
        }
    }
    printf("\n");
    return 0;
}

/* The nodes from @first on; sets the number for the next call. */
static void get_peers(struct vsignal_peers *peers, unsigned first)
{
    peers->first = first;
    if (ioctl(device, VSIGNAL_PEERS, peers)) {
        die("cannot list peers: %s", strerror(errno));
    }
}

static const char *state_name(unsigned state)
{
    return state < 3 ? states[state] : "unknown";
}

static int cmd_peers(void)
{
    struct vsignal_peers peers;
    unsigned first = 0;

    do {
        get_peers(&peers, first);
        for (unsigned i = 0; i < peers.count; i++) {
            const struct virtio_signal_peer *p = &peers.peers[i];

            first = le16toh(p->node) + 1;
            printf("node %u %s targets %u accepts", first - 1,
                   state_name(le16toh(p->state)), le16toh(p->num_targets));
            for (unsigned c = 0; c < VIRTIO_SIGNAL_CLASS_COUNT; c++) {
                if (le32toh(p->accepts) & (1u << c)) {
                    printf(" %s", classes[c]);
                }
            }
            printf("\n");
        }
    } while (peers.more && peers.count);
    return 0;
}

static int cmd_send(int argc, char **argv)
{
    struct vsignal_send send;
    struct virtio_signal_req *req = request(&send);

    req->dst_node = htole16(node(argv[0]));
    req->src_target = htole16(VIRTIO_SIGNAL_TARGET_NODE);
    if (!strcmp(argv[1], "others")) {
        req->src_target = htole16(sched_getcpu());
    }
    set_target(req, argv[1]);
    req->class_id = htole16(name(classes, VIRTIO_SIGNAL_CLASS_COUNT, argv[2]));
    req->signal = htole16(argc > 3 ? number(argv[3], UINT16_MAX) : 0);
    for (int i = 4; i < argc; i++) {
        req->payload[i - 4] = htole64(number(argv[i], ULLONG_MAX));
    }
    submit(&send);
    return show_reply(&send.reply);
}

/* Returns false if nothing came in @ms milliseconds, -1 for no limit. */
static bool next_record(struct vsignal_record *record, int ms)
{
    struct pollfd fd = { .fd = device, .events = POLLIN };
    int got = poll(&fd, 1, ms);

    if (got <= 0) {
        if (got < 0) {
            die("poll: %s", strerror(errno));
        }
        return false;
    }
    if (read(device, record, sizeof(*record)) != sizeof(*record)) {
        die("the device is gone");
    }
    return true;
}

static int cmd_listen(unsigned long long count)
{
    struct vsignal_record r;

    printf("listening\n");
    fflush(stdout);
    while (count-- && next_record(&r, -1)) {
        unsigned class_id = le16toh(r.event.class_id);
        unsigned signal = le16toh(r.event.signal);

        printf("%s ", class_id < VIRTIO_SIGNAL_CLASS_COUNT ? classes[class_id]
                                                           : "unknown");
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

static int cmd_echo(unsigned long long count)
{
    struct vsignal_record r;

    printf("listening\n");
    fflush(stdout);
    while (count && next_record(&r, -1)) {
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

static int cmd_ping(const char *to, const char *target,
                    unsigned long long count)
{
    uint64_t least = UINT64_MAX, most = 0, sum = 0;

    for (unsigned long long i = 0; i < count; i++) {
        struct vsignal_send send;
        struct virtio_signal_req *req = request(&send);
        struct vsignal_record r;
        uint64_t start = now_ns(), took;

        req->class_id = htole16(VIRTIO_SIGNAL_CLASS_DOORBELL);
        req->dst_node = htole16(node(to));
        set_target(req, target);
        req->signal = htole16(PING_REQUEST);
        req->payload[0] = htole64(i);
        if (submit(&send)) {
            show_reply(&send.reply);
            return 1;
        }
        do {
            if (!next_record(&r, 60000)) {
                die("no answer to ping %llu", i);
            }
        } while (!is_ping(&r, PING_ANSWER) ||
                 le64toh(r.event.payload[0]) != i);
        took = now_ns() - start;
        least = took < least ? took : least;
        most = took > most ? took : most;
        sum += took;
        printf("answer %llu from node %u\n", i, le16toh(r.event.src_node));
    }
    printf("%llu pings answered; %.1f %.1f %.1f us (least, mean, most)\n",
           count, least / 1e3, count ? sum / 1e3 / count : 0, most / 1e3);
    return 0;
}

static int cmd_wait(const char *peer, const char *state)
{
    unsigned want = name(states, 3, state);
    unsigned n = node(peer);
    struct vsignal_record r;
    struct vsignal_peers peers;

    /* Events since open() are kept, so nothing is missed in between. */
    for (;;) {
        get_peers(&peers, n);
        if (peers.count && le16toh(peers.peers[0].node) == n &&
            le16toh(peers.peers[0].state) == want) {
            printf("node %u %s\n", n, states[want]);
            return 0;
        }
        next_record(&r, -1);
    }
}

static void run_on(unsigned cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set)) {
        die("no CPU %u: %s", cpu, strerror(errno));
    }
}

/* Every target signals every other one; every event must come to its CPU. */
static int cmd_cross(unsigned long long rounds)
{
    struct virtio_signal_config config = info();
    unsigned n = config.num_targets;
    uint64_t sent = 0, merged = 0, refused = 0, counted = 0, wrong = 0;
    struct vsignal_record r;

    for (unsigned long long round = 0; round < rounds; round++) {
        for (unsigned from = 0; from < n; from++) {
            run_on(from);
            for (unsigned to = 0; to < n; to++) {
                struct vsignal_send send;
                struct virtio_signal_req *req = request(&send);

                req->dst_node = htole16(config.node_id);
                req->target = htole16(to);
                req->signal = htole16(1);
                req->src_target = htole16(from);
                submit(&send);
                sent++;
                merged += le32toh(send.reply.coalesced);
                refused += le32toh(send.reply.refused);
            }
        }
        /* What was sent must come, however it is merged. */
        while (counted < sent - refused) {
            if (!next_record(&r, 60000)) {
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
static struct storm storm_of(unsigned cpu, unsigned long long count)
{
    struct virtio_signal_config config = info();
    struct storm sum = { 0 };

    run_on(cpu);
    for (unsigned long long i = 0; i < count; i++) {
        struct vsignal_send send;
        struct virtio_signal_req *req = request(&send);
        unsigned to = (cpu + i) % config.num_targets;

        req->dst_node = htole16(config.node_id);
        req->signal = htole16(2);
        req->src_target = htole16(cpu);
        if (to == cpu) {
            req->mode = htole16(VIRTIO_SIGNAL_MODE_ALL_BUT_SELF);
        } else {
            req->target = htole16(to);
        }
        submit(&send);
        sum.targets += to == cpu ? config.num_targets - 1 : 1;
        sum.merged += le32toh(send.reply.coalesced);
        sum.refused += le32toh(send.reply.refused);
    }
    return sum;
}

/* The driver counts what comes; see its "stats" in debugfs. */
static int cmd_storm(unsigned long long count)
{
    unsigned n = info().num_targets;
    struct storm sum = { 0 }, one;
    int fds[2];

    if (pipe(fds)) {
        die("pipe: %s", strerror(errno));
    }
    for (unsigned cpu = 0; cpu < n; cpu++) {
        switch (fork()) {
        case -1:
            die("fork: %s", strerror(errno));
        case 0:
            one = storm_of(cpu, count);
            _exit(write(fds[1], &one, sizeof(one)) != sizeof(one));
        }
    }
    close(fds[1]);
    for (unsigned cpu = 0; cpu < n; cpu++) {
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

static int cmd_accept(int argc, char **argv)
{
    struct vsignal_accept accept = {
        .target = number(argv[0], UINT16_MAX),
    };

    for (int i = 1; i < argc; i++) {
        accept.classes |= 1u << name(classes, VIRTIO_SIGNAL_CLASS_COUNT,
                                     argv[i]) % 32;
    }
    if (ioctl(device, VSIGNAL_ACCEPT, &accept)) {
        die("cannot set what target %u takes: %s", accept.target,
            strerror(errno));
    }
    return 0;
}

static void set_poll(uint32_t ns)
{
    if (ioctl(device, VSIGNAL_POLL, &ns)) {
        die("cannot poll: %s", strerror(errno));
    }
}

static void __attribute__((noreturn)) usage(void)
{
    fprintf(stderr, "usage: vsignal [-d DEVICE] [-p NS] [-c CPU] info | peers "
            "| listen [COUNT] | echo [COUNT]\n  | accept TARGET CLASS... "
            "| storm COUNT | send NODE TARGET CLASS [SIGNAL [PAYLOAD...]] "
            "| ping NODE TARGET [COUNT]\n  | wait NODE STATE | cross ROUNDS\n");
    exit(2);
}

int main(int argc, char **argv)
{
    const char *path = "/dev/vsignal0";
    const char *command;
    unsigned long long count;
    uint32_t poll_ns = 0;
    int option;

    while ((option = getopt(argc, argv, "+d:p:c:")) != -1) {
        switch (option) {
        case 'd':
            path = optarg;
            break;
        case 'p':
            poll_ns = number(optarg, UINT32_MAX);
            break;
        case 'c':
            run_on(number(optarg, CPU_SETSIZE - 1));
            break;
        default:
            usage();
        }
    }
    if (optind == argc) {
        usage();
    }
    command = argv[optind];
    argc -= optind + 1;
    argv += optind + 1;
    device = open(path, O_RDWR | O_CLOEXEC);
    if (device < 0) {
        die("%s: %s", path, strerror(errno));
    }
    if (poll_ns) {
        set_poll(poll_ns);
    }
    count = argc == 1 ? number(argv[0], ULLONG_MAX) : ULLONG_MAX;
    if (!strcmp(command, "info") && !argc) {
        return cmd_info();
    } else if (!strcmp(command, "peers") && !argc) {
        return cmd_peers();
    } else if (!strcmp(command, "send") && argc >= 3 && argc <= 6) {
        return cmd_send(argc, argv);
    } else if (!strcmp(command, "listen") && argc <= 1) {
        return cmd_listen(count);
    } else if (!strcmp(command, "echo") && argc <= 1) {
        return cmd_echo(count);
    } else if (!strcmp(command, "ping") && (argc == 2 || argc == 3)) {
        return cmd_ping(argv[0], argv[1],
                        argc == 3 ? number(argv[2], ULLONG_MAX) : 1);
    } else if (!strcmp(command, "wait") && argc == 2) {
        return cmd_wait(argv[0], argv[1]);
    } else if (!strcmp(command, "accept") && argc >= 2) {
        return cmd_accept(argc, argv);
    } else if (!strcmp(command, "storm") && argc == 1) {
        return cmd_storm(count);
    } else if (!strcmp(command, "cross") && argc == 1) {
        return cmd_cross(count);
    }
    usage();
}
