/*
 * vsignal-check: what /dev/vsignalN promises to programs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * usage: vsignal-check write | filter | nonblock | readers | fault |
 *                      unbound | poller NS | select NS
 * Exits with status 0, or says which promise does not hold. For node 0 with
 * at least two targets.
 */

#define _GNU_SOURCE
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "vsignal_abi.h"

#define READERS 8

#define CHECK(what) do {                                                \
        if (!(what)) {                                                  \
            fprintf(stderr, "line %d: not so: %s (%s)\n", __LINE__,     \
                    #what, strerror(errno));                            \
            exit(1);                                                    \
        }                                                               \
    } while (0)

#define FAILS(what, error) CHECK((errno = 0, (what) == -1 && errno == (error)))

static int device;
/* Where no memory is, which the compiler need not know */
static void *volatile nowhere;

static struct virtio_signal_req request(unsigned class_id, unsigned target)
{
    return (struct virtio_signal_req) {
        .class_id = htole16(class_id),
        .target = htole16(target),
        .src_target = htole16(VIRTIO_SIGNAL_TARGET_NODE),
    };
}

static int send_one(unsigned class_id, unsigned target)
{
    struct virtio_signal_req req = request(class_id, target);

    return write(device, &req, sizeof(req));
}

static void check_write(void)
{
    struct virtio_signal_req req = request(VIRTIO_SIGNAL_CLASS_IRQ, 0);

    CHECK(write(device, &req, sizeof(req)) == sizeof(req));
    FAILS(write(device, &req, sizeof(req) - 1), EINVAL);
    req.mask_words = htole16(1);
    FAILS(write(device, &req, sizeof(req)), EINVAL);
    FAILS(send_one(VIRTIO_SIGNAL_CLASS_IRQ, 999), ENXIO);
    FAILS(send_one(VIRTIO_SIGNAL_CLASS_PEER, 0), EINVAL);
    FAILS(send_one(VIRTIO_SIGNAL_CLASS_CHANNEL, 0), EOPNOTSUPP);
    FAILS(send_one(VIRTIO_SIGNAL_CLASS_NMI, 0), EPERM);
    req = request(VIRTIO_SIGNAL_CLASS_IRQ, 0);
    req.dst_node = htole16(7);
    FAILS(write(device, &req, sizeof(req)), EHOSTUNREACH);
    FAILS(write(device, nowhere, sizeof(req)), EFAULT);
    FAILS(ioctl(device, _IO('v', 0xff)), ENOTTY);
}

static void check_filter(void)
{
    uint32_t only = 1u << VIRTIO_SIGNAL_CLASS_DOORBELL;
    struct vsignal_record record;

    CHECK(!ioctl(device, VSIGNAL_FILTER, &only));
    CHECK(send_one(VIRTIO_SIGNAL_CLASS_IRQ, 0) > 0);
    CHECK(send_one(VIRTIO_SIGNAL_CLASS_DOORBELL, 0) > 0);
    CHECK(read(device, &record, sizeof(record)) == sizeof(record));
    CHECK(record.event.class_id == htole16(VIRTIO_SIGNAL_CLASS_DOORBELL));
}

static void check_nonblock(void)
{
    struct pollfd fd = { .fd = device, .events = POLLIN };
    struct vsignal_record record[2];

    CHECK(!fcntl(device, F_SETFL, O_NONBLOCK));
    FAILS(read(device, record, sizeof(record)), EAGAIN);
    CHECK(poll(&fd, 1, 0) == 0);
    CHECK(send_one(VIRTIO_SIGNAL_CLASS_IRQ, 1) > 0);
    CHECK(poll(&fd, 1, -1) == 1 && fd.revents == POLLIN);
    FAILS(read(device, record, sizeof(*record) - 1), EINVAL);
    CHECK(read(device, record, sizeof(record)) == sizeof(*record));
    CHECK(record->target == 1 && record->cpu == 1 && !record->dropped);
    FAILS(read(device, record, sizeof(record)), EAGAIN);
}

/* Each event comes to one of the readers of a file. */
static void check_readers(void)
{
    struct vsignal_record record;
    int status;

    for (unsigned i = 0; i < READERS; i++) {
        pid_t child = fork();

        CHECK(child >= 0);
        if (!child) {
            CHECK(read(device, &record, sizeof(record)) == sizeof(record));
            exit(0);
        }
    }
    for (unsigned i = 0; i < READERS; i++) {
        CHECK(send_one(VIRTIO_SIGNAL_CLASS_DOORBELL, i % 2) > 0);
    }
    for (unsigned i = 0; i < READERS; i++) {
        CHECK(wait(&status) > 0 && !status);
    }
    CHECK(!fcntl(device, F_SETFL, O_NONBLOCK));
    FAILS(read(device, &record, sizeof(record)), EAGAIN);
}

/* What fails changes nothing. */
static void check_fault(void)
{
    uint32_t only = 1u << VIRTIO_SIGNAL_CLASS_DOORBELL;
    struct vsignal_accept accept = { .reserved = 1 };
    struct vsignal_record record;

    CHECK(!ioctl(device, VSIGNAL_FILTER, &only));
    FAILS(ioctl(device, VSIGNAL_FILTER, nowhere), EFAULT);
    FAILS(ioctl(device, VSIGNAL_POLL, nowhere), EFAULT);
    FAILS(ioctl(device, VSIGNAL_SEND, nowhere), EFAULT);
    FAILS(ioctl(device, VSIGNAL_PEERS, nowhere), EFAULT);
    FAILS(ioctl(device, VSIGNAL_ACCEPT, nowhere), EFAULT);
    FAILS(ioctl(device, VSIGNAL_ACCEPT, &accept), EINVAL);
    CHECK(send_one(VIRTIO_SIGNAL_CLASS_DOORBELL, 0) > 0);
    FAILS(read(device, nowhere, sizeof(record)), EFAULT);
    CHECK(read(device, &record, sizeof(record)) == sizeof(record));
    CHECK(!record.dropped);
}

static void pause_for_line(const char *said)
{
    printf("%s\n", said);
    fflush(stdout);
    CHECK(getchar() == '\n');
}

/* The device goes while the file is open. */
static void check_unbound(void)
{
    struct pollfd fd = { .fd = device, .events = POLLIN };
    struct virtio_signal_config config;
    struct vsignal_accept accept = { 0 };
    struct vsignal_peers peers = { 0 };
    struct vsignal_send send = { 0 };
    struct vsignal_record record;
    uint32_t value = 1000;

    pause_for_line("open");
    CHECK(!ioctl(device, VSIGNAL_INFO, &config));
    FAILS(ioctl(device, VSIGNAL_SEND, &send), ENODEV);
    FAILS(ioctl(device, VSIGNAL_PEERS, &peers), ENODEV);
    FAILS(ioctl(device, VSIGNAL_ACCEPT, &accept), ENODEV);
    CHECK(!ioctl(device, VSIGNAL_FILTER, &value));
    errno = 0;
    CHECK(!ioctl(device, VSIGNAL_POLL, &value) || errno == EOPNOTSUPP);
    FAILS(send_one(VIRTIO_SIGNAL_CLASS_IRQ, 0), ENODEV);
    CHECK(poll(&fd, 1, -1) == 1 && fd.revents & POLLHUP);
    CHECK(read(device, &record, sizeof(record)) == 0);
}

static void set_poll(const char *ns)
{
    uint32_t value = strtoul(ns, NULL, 0);
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(0, &set);
    CHECK(!sched_setaffinity(0, sizeof(set), &set));
    CHECK(!ioctl(device, VSIGNAL_POLL, &value));
}

/* Poll for one event on CPU 0, then do something else. */
static void check_poller(const char *ns)
{
    struct vsignal_record record;

    set_poll(ns);
    CHECK(read(device, &record, sizeof(record)) == sizeof(record));
    pause_for_line("got one");
}

/* poll(2) sleeps for as long as it is told to. */
static void check_select(const char *ns)
{
    struct pollfd fd = { .fd = device, .events = POLLIN };

    set_poll(ns);
    CHECK(poll(&fd, 1, 1) == 0);
    pause_for_line("done");
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    const struct {
        const char *name;
        void (*check)(void);
    } checks[] = {
        { "write", check_write }, { "filter", check_filter },
        { "nonblock", check_nonblock }, { "readers", check_readers },
        { "fault", check_fault }, { "unbound", check_unbound },
    };

    device = open("/dev/vsignal0", O_RDWR | O_CLOEXEC);
    CHECK(device >= 0);
    if (argc == 3 && !strcmp(what, "poller")) {
        check_poller(argv[2]);
        return 0;
    }
    if (argc == 3 && !strcmp(what, "select")) {
        check_select(argv[2]);
        return 0;
    }
    for (unsigned i = 0; i < sizeof(checks) / sizeof(*checks); i++) {
        if (!strcmp(what, checks[i].name)) {
            checks[i].check();
            return 0;
        }
    }
    fprintf(stderr, "usage: see the beginning of this program\n");
    return 2;
}
