/*
 * vring-bench: the requests of each device and how answers are checked.
 *
 * Copyright (c) 2026 Vadis contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <string.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_net.h>
#include "bench.h"

#define ECHO_VIRTIO_ID 63
#define ECHO_BYTES 64
#define BLK_VIRTIO_ID 2
#define BLK_SECTOR 512
#define BLK_PAGE 4096
#define BLK_NO_STATUS 0xff
#define BLK_SECTORS 1024        /* the disk is larger; any will do */
#define NET_VIRTIO_ID 1
#define NET_TX_QUEUE 1
#define NET_FRAME 60            /* shortest Ethernet frame without its FCS */

/* What memory that must be overwritten holds before. */
#define FILL 0xa5

/* Echo: the answer is the question. */

static void echo_prepare(BenchRequest *r, uint32_t index)
{
    for (unsigned i = 0; i < ECHO_BYTES; i++) {
        r->out[i] = index * 31 + i;
    }
}

static void echo_arm(BenchRequest *r, uint64_t stamp, BenchCheck check)
{
    memcpy(r->out, &stamp, sizeof(stamp));
    if (check == BENCH_CHECK_ALL) {
        /* The tail must change from round to round as well. */
        for (unsigned i = sizeof(stamp); i < ECHO_BYTES; i++) {
            r->out[i] += 13;
        }
        memset(r->in, FILL, ECHO_BYTES);
    }
}

static int echo_check(const BenchRequest *r, uint32_t len, BenchCheck check)
{
    size_t size = check == BENCH_CHECK_ALL ? ECHO_BYTES : sizeof(r->stamp);

    if (len != ECHO_BYTES || memcmp(r->in, &r->stamp, sizeof(r->stamp)) ||
        memcmp(r->in, r->out, size)) {
        return -1;
    }
    return size;
}

/*
 * Block: read one sector.  The status byte follows the data in the same
 * segment, which virtio 1.0 and later allow (5.2.6.4).
 */

static void blk_prepare(BenchRequest *r, uint32_t index)
{
    struct virtio_blk_outhdr hdr = {
        .type = VIRTIO_BLK_T_IN,
        .sector = index % BLK_SECTORS,
    };

    memcpy(r->out, &hdr, sizeof(hdr));
}

static void blk_arm(BenchRequest *r, uint64_t stamp, BenchCheck check)
{
    r->in[BLK_SECTOR] = BLK_NO_STATUS;
    if (check == BENCH_CHECK_ALL) {
        memset(r->in, FILL, BLK_SECTOR);
    }
}

static int blk_check(const BenchRequest *r, uint32_t len, BenchCheck check)
{
    if (len != BLK_SECTOR + 1 || r->in[BLK_SECTOR] != VIRTIO_BLK_S_OK) {
        return -1;
    }
    if (check == BENCH_CHECK_ALL) {
        for (unsigned i = 0; i < BLK_SECTOR; i++) {
            if (r->in[i]) {
                return -1;
            }
        }
        return BLK_SECTOR + 1;
    }
    return 1;
}

/*
 * Block as Linux asks for a page: header, data and status are three segments,
 * so that each of them is mapped, if anything is.
 */

static void blk4k_arm(BenchRequest *r, uint64_t stamp, BenchCheck check)
{
    *r->last = BLK_NO_STATUS;
    if (check == BENCH_CHECK_ALL) {
        memset(r->in, FILL, BLK_PAGE);
    }
}

static int blk4k_check(const BenchRequest *r, uint32_t len, BenchCheck check)
{
    if (len != BLK_PAGE + 1 || *r->last != VIRTIO_BLK_S_OK) {
        return -1;
    }
    if (check == BENCH_CHECK_ALL) {
        for (unsigned i = 0; i < BLK_PAGE; i++) {
            if (r->in[i]) {
                return -1;
            }
        }
        return BLK_PAGE + 1;
    }
    return 1;
}

/* Network: send a frame to nobody; nothing comes back but the buffer. */

static void net_prepare(BenchRequest *r, uint32_t index)
{
    uint8_t *frame = r->out + sizeof(struct virtio_net_hdr_v1);

    memset(frame, 0xff, 6);                     /* to: broadcast */
    memcpy(frame + 6, "\x52\x54\x00\x12\x34\x56", 6);
    memcpy(frame + 12, "\x88\xb5", 2);          /* local experimental type */
    memcpy(frame + 14, &index, sizeof(index));
}

static void net_arm(BenchRequest *r, uint64_t stamp, BenchCheck check)
{
    memcpy(r->out + sizeof(struct virtio_net_hdr_v1) + 18, &stamp,
           sizeof(stamp));
}

static int net_check(const BenchRequest *r, uint32_t len, BenchCheck check)
{
    return len == 0 ? 0 : -1;
}

static const BenchDevice devices[] = {
    {
        .name = "echo",
        .virtio_id = ECHO_VIRTIO_ID,
        .vq = 0,
        .out_segs = 1,
        .in_segs = 1,
        .out_len = ECHO_BYTES,
        .in_len = ECHO_BYTES,
        .prepare = echo_prepare,
        .arm = echo_arm,
        .check = echo_check,
    }, {
        .name = "blk",
        .virtio_id = BLK_VIRTIO_ID,
        .vq = 0,
        .out_segs = 1,
        .in_segs = 1,
        .out_len = sizeof(struct virtio_blk_outhdr),
        .in_len = BLK_SECTOR + 1,
        .prepare = blk_prepare,
        .arm = blk_arm,
        .check = blk_check,
    }, {
        .name = "blk4k",
        .virtio_id = BLK_VIRTIO_ID,
        .vq = 0,
        .out_segs = 1,
        .in_segs = 2,
        .out_len = sizeof(struct virtio_blk_outhdr),
        .in_len = BLK_PAGE,
        .last_len = 1,
        .prepare = blk_prepare,
        .arm = blk4k_arm,
        .check = blk4k_check,
    }, {
        .name = "net",
        .virtio_id = NET_VIRTIO_ID,
        .vq = NET_TX_QUEUE,
        .out_segs = 1,
        .in_segs = 0,
        .out_len = sizeof(struct virtio_net_hdr_v1) + NET_FRAME,
        .in_len = 0,
        .prepare = net_prepare,
        .arm = net_arm,
        .check = net_check,
    },
};

const BenchDevice *bench_device_find(const char *name)
{
    for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
        if (!strcmp(devices[i].name, name)) {
            return &devices[i];
        }
    }
    return NULL;
}
