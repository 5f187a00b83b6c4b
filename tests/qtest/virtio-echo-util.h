/*
 * What the virtio-echo tests share: a driver that sends requests and checks
 * what comes back
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Only the generic calls of libqos are used, so each test runs over a split
 * and over a packed ring.
 */

#ifndef QTEST_VIRTIO_ECHO_UTIL_H
#define QTEST_VIRTIO_ECHO_UTIL_H

#include "libqos/qgraph.h"
#include "libqos/virtio-echo.h"
#include "libqos/virtio-packed.h"
#include "standard-headers/linux/virtio_echo.h"

#define ECHO_TIMEOUT_US (30 * G_USEC_PER_SEC)
#define ECHO_QUEUES_MAX 16

/** EchoBatch: the end of a run that one used entry of a split ring returns */
typedef struct EchoBatch {
    bool open;
    uint32_t last;                      /* head of the last chain */
    uint32_t len;                       /* bytes written to it */
} EchoBatch;

/** EchoTest: a started device and its queues */
typedef struct EchoTest {
    QTestState *qts;
    QVirtioPCIDevice *pci;
    QVirtioDevice *dev;
    QGuestAllocator *alloc;
    uint64_t refuse;                    /* features not to accept */
    unsigned num_queues;
    uint32_t max_request;               /* bytes */
    QVirtQueue *vq[ECHO_QUEUES_MAX];
    EchoBatch batch[ECHO_QUEUES_MAX];
} EchoTest;

/** EchoRequest: guest memory of one request and how it stands in the ring */
typedef struct EchoRequest {
    uint64_t out, in;                   /* guest addresses */
    uint32_t out_len, in_len;           /* bytes */
    uint32_t salt;                      /* what the data is made from */
    uint32_t token;                     /* what qvirtqueue_get_buf() returns */
} EchoRequest;

/**
 * echo_start:
 * @obj: the QVirtioEcho of the test
 * @refuse: feature bits not to accept
 *
 * Negotiate everything else that is offered, set up all queues, DRIVER_OK.
 */
void echo_start(EchoTest *t, void *obj, QGuestAllocator *alloc,
                uint64_t refuse);

/** Reset the device, forget the queues and start over with the same features */
void echo_restart(EchoTest *t);

/** Reset the device and free the queues */
void echo_end(EchoTest *t);

/** Reset queue @n and start it again with @size descriptors */
void echo_resize_queue(EchoTest *t, unsigned n, uint16_t size);

/** Whether the driver accepted feature bit @bit */
bool echo_has(EchoTest *t, unsigned bit);

/** Allocate and fill the guest memory of a request */
EchoRequest echo_prepare(EchoTest *t, uint32_t out_len, uint32_t in_len,
                         uint32_t salt);

/** Put the request into the ring, each part in @segments descriptors */
void echo_add(EchoTest *t, QVirtQueue *vq, EchoRequest *req,
              unsigned segments);

/** echo_add() through an indirect table */
void echo_add_indirect(EchoTest *t, QVirtQueue *vq, EchoRequest *req,
                       unsigned segments);

/** Make @count requests visible at once, without a notification */
void echo_publish(EchoTest *t, QVirtQueue *vq, const EchoRequest *req,
                  unsigned count);

/** Notify the device whatever the ring says about notifications */
void echo_kick(EchoTest *t, QVirtQueue *vq);

/** Wait for a completion; returns its token and stores the used length */
uint32_t echo_wait(EchoTest *t, QVirtQueue *vq, uint32_t *len);

/** Check data and length of a completed request and free its memory */
void echo_finish(EchoTest *t, EchoRequest *req, uint32_t len);

/** Give back descriptors; nothing may be in flight */
void echo_recycle(EchoTest *t, QVirtQueue *vq);

/** One request from start to end */
void echo_one(EchoTest *t, QVirtQueue *vq, uint32_t out_len, uint32_t in_len,
              uint32_t salt, unsigned segments);

/**
 * echo_batch:
 * @order: receives for each completion the index of its request
 *
 * Publish @count requests at once, wait for all of them, check them.
 */
void echo_batch(EchoTest *t, QVirtQueue *vq, unsigned count, unsigned *order);

/** Wait until the device asks for a reset */
void echo_expect_needs_reset(EchoTest *t);

/** Offset @field of the PCI common configuration, inside the BAR */
uint64_t echo_common_cfg(EchoTest *t, uint64_t field);

/* An edge's after_cmd_line that adds an IOThread named io0 */
#define ECHO_IOTHREAD "-object iothread,id=io0"

#endif
