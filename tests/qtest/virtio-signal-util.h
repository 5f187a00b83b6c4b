/*
 * What the virtio-signal tests share: a driver, and a peer of a link
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QTEST_VIRTIO_SIGNAL_UTIL_H
#define QTEST_VIRTIO_SIGNAL_UTIL_H

#include "libqos/qgraph.h"
#include "libqos/virtio-packed.h"
#include "libqos/virtio-signal.h"
#include "standard-headers/linux/virtio_signal.h"

#define SIG_TIMEOUT_US (30 * G_USEC_PER_SEC)
#define SIG_QUEUES_MAX 16
#define SIG_TARGETS 4
#define SIG_BUFFERS_MAX 128
/* Shorthand for the wire's names */
#define CLASS(name) VIRTIO_SIGNAL_CLASS_##name
#define MODE(name) VIRTIO_SIGNAL_MODE_##name
#define STATUS(name) VIRTIO_SIGNAL_S_##name
#define NODE_TARGET VIRTIO_SIGNAL_TARGET_NODE

/** SigTest: a started device, its queues, and the event buffers given to it */
typedef struct SigTest {
    QTestState *qts;
    QTestState **qts_of_dev;
    QVirtioPCIDevice *pci;              /* NULL on virtio-mmio */
    QVirtioDevice *dev;
    QGuestAllocator *alloc;
    uint64_t refuse;                    /* features not to accept */
    unsigned num_sendqs;
    unsigned num_queues;
    QVirtQueue *vq[SIG_QUEUES_MAX];
    struct {
        uint32_t token;
        uint64_t addr;
    } given[SIG_TARGETS][SIG_BUFFERS_MAX];
    unsigned num_given[SIG_TARGETS];
} SigTest;

/** Negotiate all that is offered but @refuse, set up all queues, DRIVER_OK */
void sig_start(SigTest *t, void *obj, QGuestAllocator *alloc, uint64_t refuse);

/** From now on the device is that of another QEMU, after migration */
void sig_use(SigTest *t, QTestState *qts);

/** Reset the device and free the queues */
void sig_end(SigTest *t);

/** Free the queues of a device that is not there any more */
void sig_free(SigTest *t);

/** sig_end() and sig_start() */
void sig_restart(SigTest *t);

QVirtQueue *sig_eventq(SigTest *t, unsigned target);

/** Put a request of @len bytes with room for @in_len in a queue, and kick */
uint32_t sig_add(SigTest *t, QVirtQueue *vq, const void *data, uint32_t len,
                 uint32_t in_len, uint64_t *in);

/** Wait for @token; returns the used length */
uint32_t sig_wait(SigTest *t, QVirtQueue *vq, uint32_t token);

/** Send @len bytes as a request; returns the reply, which must come */
struct virtio_signal_reply sig_send_raw(SigTest *t, const void *data,
                                        uint32_t len);

/** Send a request without a mask; returns the status */
uint16_t sig_send(SigTest *t, const struct virtio_signal_req *req);

/** A request for one target of the own node */
struct virtio_signal_req sig_req(uint16_t class_id, uint16_t target);

/** Run a control command; the reply is @reply_len bytes; returns those used */
uint32_t sig_ctrl(SigTest *t, uint16_t command, uint16_t arg, uint32_t value,
                  void *reply, uint32_t reply_len);

/** Give @count buffers for events to the device, and kick */
void sig_give(SigTest *t, unsigned target, unsigned count);

/** Wait for the next event of a target */
struct virtio_signal_event sig_event(SigTest *t, unsigned target);

/**
 * Whether an event came. After the reply to a request, all events that it
 * caused are there.
 */
bool sig_poll(SigTest *t, unsigned target, struct virtio_signal_event *ev);

/** A signal of the management to a target; it must be taken */
void sig_inject(SigTest *t, const char *class_name, unsigned target);

/** By PCI: the messages of queue @n's interrupt go to @addr, with @data */
void sig_aim_interrupt(SigTest *t, unsigned n, uint64_t addr, uint32_t data);

/** Whether the machine can send NMIs: an x86 one */
bool sig_has_nmi(SigTest *t);

/** Wait until the device asks for a reset */
void sig_expect_needs_reset(SigTest *t);

/** The answer of x-query-virtio-signal for the one device; caller unrefs */
QDict *sig_query(QTestState *qts);

/** Wait until a migration, from or to this QEMU, is complete */
void sig_wait_migrated(QTestState *qts);

#endif
