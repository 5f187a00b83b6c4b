/*
 * virtio-signal: the order of events, and whose turn it is
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "qemu/bswap.h"
#include "qemu/module.h"
#include "qobject/qdict.h"
#include "virtio-signal-peer.h"

static void bell(SigTest *t, uint64_t payload, bool coalesce, uint32_t merged)
{
    struct virtio_signal_req req = sig_req(CLASS(DOORBELL), 0);
    struct virtio_signal_reply reply;

    req.payload[0] = cpu_to_le64(payload);
    req.flags = cpu_to_le16(coalesce ? VIRTIO_SIGNAL_FLAG_COALESCE : 0);
    reply = sig_send_raw(t, &req, sizeof(req));
    g_assert_cmpuint(reply.status, ==, STATUS(OK));
    g_assert_cmpuint(reply.coalesced, ==, merged);
}

static void expect_bell(SigTest *t, uint64_t payload, uint32_t count)
{
    struct virtio_signal_event ev = sig_event(t, 0);

    g_assert_cmpuint(ev.payload[0], ==, payload);
    g_assert_cmpuint(ev.count, ==, count);
}

/* What must not be merged is not overtaken, and not written over. */
static void test_doorbells(void *obj, void *data, QGuestAllocator *alloc)
{
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    bell(&t, 1, false, 0);
    bell(&t, 2, false, 0);
    bell(&t, 3, true, 0);
    bell(&t, 4, true, 1);
    bell(&t, 5, false, 0);
    bell(&t, 6, true, 0);
    bell(&t, 7, true, 1);
    sig_give(&t, 0, 5);
    expect_bell(&t, 1, 1);
    expect_bell(&t, 2, 1);
    expect_bell(&t, 4, 2);
    expect_bell(&t, 5, 1);
    expect_bell(&t, 7, 2);
    sig_end(&t);
}

/* A target that is never quite empty hears what it has missed, in its place. */
static void test_overflow(void *obj, void *data, QGuestAllocator *alloc)
{
    struct virtio_signal_event ev;
    SigPeer p;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    for (unsigned i = 0; i < 4; i++) {
        bell(&t, i, false, 0);
    }
    p = sig_peer_start(VIRTIO_SIGNAL_PEER_READY);
    for (unsigned i = 0; i < 4; i++) {
        sig_give(&t, 0, 1);
        expect_bell(&t, i, 1);
        bell(&t, 4 + i, false, 0);
    }
    sig_give(&t, 0, 2);
    ev = sig_event(&t, 0);
    g_assert_cmpuint(ev.class_id, ==, CLASS(OVERFLOW));
    g_assert_cmpuint(ev.count, ==, 1);
    g_assert_cmpuint(ev.seq, ==, 5);
    ev = sig_event(&t, 0);
    g_assert_cmpuint(ev.class_id, ==, CLASS(DOORBELL));
    g_assert_cmpuint(ev.payload[0], ==, 4);
    g_assert_cmpuint(ev.seq, ==, 6);
    sig_peer_close(&p);
    sig_end(&t);
}

/* A device that gave up is not ready for its peers; nor is an old driver. */
static void test_not_ready(void *obj, void *data, QGuestAllocator *alloc)
{
    struct virtio_signal_req irq = sig_req(CLASS(IRQ), 0);
    SigPeer p;
    SigTest t;

    sig_start(&t, obj, alloc, 1u << VIRTIO_SIGNAL_F_REMOTE);
    sig_give(&t, 0, 1);
    p = sig_peer_start(VIRTIO_SIGNAL_PEER_READY);
    g_assert_cmpuint(sig_peer_signal(&p, 0, &irq), ==, STATUS(PEER_DOWN));
    sig_end(&t);
    t.refuse = 0;
    sig_restart(&t);
    g_assert_cmpuint(sig_peer_signal(&p, 1, &irq), ==, STATUS(OK));

    /* An event buffer of no size */
    qvirtqueue_kick(t.qts, t.dev, sig_eventq(&t, 1),
                    qvirtqueue_add(t.qts, sig_eventq(&t, 1),
                                   guest_alloc(alloc, 1), 1, true, false));
    irq.target = cpu_to_le16(1);
    sig_peer_signal(&p, 2, &irq);
    g_assert_cmpuint(sig_peer_signal(&p, 3, &irq), ==, STATUS(PEER_DOWN));
    sig_expect_needs_reset(&t);
    sig_peer_close(&p);
    sig_restart(&t);
    sig_end(&t);
}

/*
 * The most that a request can ask for: full backlogs are searched for what
 * could be merged, for each target. The rest of the main loop has its turn
 * meanwhile.
 */
static void test_turns(void *obj, void *data, QGuestAllocator *alloc)
{
    struct virtio_signal_req req = sig_req(CLASS(IRQ), 0);
    const unsigned requests = 60;
    uint32_t token[60];
    QDict *info;
    uint64_t in;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    req.mode = cpu_to_le16(MODE(ALL));
    for (unsigned i = 0; i < 1024; i++) {
        req.signal = cpu_to_le16(i);
        sig_send_raw(&t, &req, sizeof(req));
    }
    info = sig_query(t.qts);
    g_assert_cmpint(qdict_get_int(info, "yielded"), ==, 0);
    qobject_unref(info);
    req.signal = cpu_to_le16(1024);
    qtest_qmp_assert_success(t.qts, "{ 'execute': 'stop' }");
    for (unsigned i = 0; i < requests; i++) {
        token[i] = sig_add(&t, t.vq[VIRTIO_SIGNAL_SENDQ0], &req, sizeof(req),
                           sizeof(struct virtio_signal_reply), &in);
    }
    qtest_qmp_assert_success(t.qts, "{ 'execute': 'cont' }");
    for (unsigned i = 0; i < requests; i++) {
        sig_wait(&t, t.vq[VIRTIO_SIGNAL_SENDQ0], token[i]);
    }
    /* 4 x 1024 looks for each request; after 32768 it is another's turn. */
    info = sig_query(t.qts);
    g_assert_cmpint(qdict_get_int(info, "yielded"), ==,
                    requests * 4 * 1024 / 32768);
    qobject_unref(info);
    sig_end(&t);
}

static void register_virtio_signal_order_tests(void)
{
    QOSGraphTestOptions small = {
        .edge.extra_device_opts = "signal-bus=bus0,node=0,backlog=4",
        .before = sig_peer_before,
    };
    QOSGraphTestOptions large = {
        .edge.extra_device_opts = "backlog=1024",
    };

    qos_add_test("order/doorbells", "virtio-signal", test_doorbells, NULL);
    qos_add_test("order/overflow", "virtio-signal", test_overflow, &small);
    qos_add_test("order/not-ready", "virtio-signal", test_not_ready, &small);
    qos_add_test("order/turns", "virtio-signal", test_turns, &large);
}

libqos_init(register_virtio_signal_order_tests);
