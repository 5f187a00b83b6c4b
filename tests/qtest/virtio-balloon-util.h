/*
 * What the balloon tests share: a driver of the usage queue
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Only the generic calls of libqos are used, so each test runs over a split
 * ring in qos-test and over a packed one in qos-packed-test.
 */

#ifndef QTEST_VIRTIO_BALLOON_UTIL_H
#define QTEST_VIRTIO_BALLOON_UTIL_H

#include "libqos/qgraph.h"
#include "libqos/virtio-balloon.h"
#include "libqos/virtio-packed.h"
#include "qemu/bswap.h"
#include "qobject/qdict.h"
#include "standard-headers/linux/virtio_balloon_usage.h"

#define BALLOON_TIMEOUT_US (30 * G_USEC_PER_SEC)
#define BALLOON_QUEUES_MAX 6

/* The device's ID, for device options and monitor commands */
#define BALLOON_ID "id=balloon0"

/* Queues every balloon has */
enum { BALLOON_INFLATE, BALLOON_DEFLATE, BALLOON_STATS };

typedef struct virtio_balloon_usage_hdr UsageHeader;
typedef struct virtio_balloon_usage_range UsageRange;
typedef struct virtio_balloon_usage_reply UsageReply;

/** BalloonTest: a started device and its queues */
typedef struct BalloonTest {
    QTestState *qts;
    QVirtioPCIDevice *pci;
    QVirtioDevice *dev;
    QGuestAllocator *alloc;
    unsigned num_queues;
    unsigned usage;                     /* index of the usage queue */
    QVirtQueue *vq[BALLOON_QUEUES_MAX];
    QDict *before;                      /* page-usage-stats at the start */
} BalloonTest;

/**
 * balloon_start:
 * @obj: the QVirtioBalloon of the test
 * @refuse: feature bits not to accept
 *
 * Negotiate everything else that is offered, set up all queues, DRIVER_OK.
 */
void balloon_start(BalloonTest *t, void *obj, QGuestAllocator *alloc,
                   uint64_t refuse);

/** Reset the device and free the queues */
void balloon_end(BalloonTest *t);

/** Whether the driver accepted feature bit @bit */
bool balloon_has(BalloonTest *t, unsigned bit);

/** Field @field of struct virtio_balloon_usage_config */
#define usage_config(t, field) \
    (sizeof(((struct virtio_balloon_usage_config *)0)->field) == 4 ? \
     qvirtio_config_readl((t)->dev, usage_config_at(field)) : \
     qvirtio_config_readw((t)->dev, usage_config_at(field)))
#define usage_config_at(field) \
    (VIRTIO_BALLOON_USAGE_CONFIG + \
     offsetof(struct virtio_balloon_usage_config, field))

/**
 * balloon_request:
 * @n: index of the queue
 * @out: what the device reads, @out_len bytes
 * @in: receives @in_len bytes that the device may write
 *
 * One request, from start to end. Returns the used length.
 */
uint32_t balloon_request(BalloonTest *t, unsigned n, const void *out,
                         size_t out_len, void *in, size_t in_len);

/** Send a request of @count ranges and return the reply, in host byte order */
UsageReply usage_send(BalloonTest *t, uint8_t flags, uint32_t cmd_id,
                      const UsageRange *ranges, unsigned count);

/** A range, for usage_send() */
UsageRange usage_range(uint64_t gpa, uint32_t pages, uint8_t state);

/** Send one range, with HELD */
UsageReply usage_one(BalloonTest *t, uint64_t gpa, uint32_t pages,
                     uint8_t state);

/** Send one range that the device has to reject for @reason */
void usage_refused(BalloonTest *t, uint64_t gpa, uint32_t pages,
                   uint8_t state, uint8_t reason);

/** Fill @pages pages with a pattern made from @salt */
void balloon_fill(BalloonTest *t, uint64_t gpa, uint32_t pages, unsigned salt);

/** Check that the pattern is still there */
void balloon_intact(BalloonTest *t, uint64_t gpa, uint32_t pages,
                    unsigned salt);

/** Check that the pages read as zero */
void balloon_zero(BalloonTest *t, uint64_t gpa, uint32_t pages);

/** Tell of @count pages from @gpa on, by the inflate or deflate queue @n */
void balloon_pfns(BalloonTest *t, unsigned n, uint64_t gpa, unsigned count);

/** How far @key, or @group.@key, of page-usage-stats grew since the start */
uint64_t usage_stat(BalloonTest *t, const char *group, const char *key);

/** Wait until the device asks for a reset, and reset it */
void balloon_expect_needs_reset(BalloonTest *t);

/** Wait until a migration from or to @qts completes */
void balloon_wait_migration(QTestState *qts);

/**
 * balloon_shim:
 *
 * Have the QEMU of this test run with balloon-shim.c, see there. To be called
 * from a test's "before" function. @advice is NULL for large pages, or the
 * number of an madvise() advice that is to fail.
 */
void balloon_shim(const char *advice);

/** balloon_knows_machine - are these tests' addresses RAM? On the PC only. */
bool balloon_knows_machine(void);

/** balloon_large_pages - a test's "before" function: RAM of 2 MiB pages */
void *balloon_large_pages(GString *cmd_line, void *arg);

#endif
