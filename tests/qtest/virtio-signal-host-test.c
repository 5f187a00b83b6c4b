/*
 * virtio-signal: what the host has a hand in: polling, NMIs, the monitor
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "qapi/error.h"
#include "qobject/qdict.h"
#include "qobject/qjson.h"
#include "qemu/bitops.h"
#include "qemu/bswap.h"
#include "qemu/module.h"
#include "standard-headers/linux/virtio_ring.h"
#include "virtio-signal-peer.h"

#define POLL_NS 1000000

static uint32_t poll_ns_max(SigTest *t)
{
    return qvirtio_config_readl(t->dev, offsetof(struct virtio_signal_config,
                                                 poll_ns_max));
}

static uint16_t ctrl(SigTest *t, uint16_t command, uint16_t target,
                     uint32_t value)
{
    struct virtio_signal_ctrl_reply reply;

    sig_ctrl(t, command, target, value, &reply, sizeof(reply));
    return le16_to_cpu(reply.status);
}

/* The device's QOM path, to be freed */
static char *device_path(SigTest *t)
{
    QDict *info = sig_query(t->qts);
    char *path = g_strdup(qdict_get_str(info, "path"));

    qobject_unref(info);
    return path;
}

static int64_t polling(SigTest *t, const char *what)
{
    QDict *info = sig_query(t->qts);
    int64_t value = qdict_get_int(qdict_get_qdict(info, "polling"), what);

    qobject_unref(info);
    return value;
}

/* Without an event index: whether the driver wants interrupts of a target */
static void want_interrupts(SigTest *t, unsigned target, bool want)
{
    QVirtQueue *vq = sig_eventq(t, target);

    if (qvirtio_is_packed(t->dev)) {
        qvirtqueue_packed_set_event(t->qts, vq, &(QVRingPackedEvent) {
            .flags = want ? VRING_PACKED_EVENT_FLAG_ENABLE :
                            VRING_PACKED_EVENT_FLAG_DISABLE });
    } else {
        qtest_writew(t->qts, vq->avail, want ? 0 : VRING_AVAIL_F_NO_INTERRUPT);
    }
}

/* A target that polls needs no notification, and the monitor counts that. */
static void test_poll(void *obj, void *data, QGuestAllocator *alloc)
{
    struct virtio_signal_req irq = sig_req(CLASS(IRQ), 1);
    int64_t notified, avoided;
    SigTest t;

    sig_start(&t, obj, alloc, BIT_ULL(VIRTIO_RING_F_EVENT_IDX));
    g_assert_cmpuint(poll_ns_max(&t), ==, POLL_NS);
    g_assert_cmpuint(ctrl(&t, VIRTIO_SIGNAL_CTRL_POLL, SIG_TARGETS, 1), ==,
                     STATUS(NO_TARGET));
    g_assert_cmpuint(ctrl(&t, VIRTIO_SIGNAL_CTRL_POLL, 1, POLL_NS + 1), ==,
                     STATUS(PERM));
    g_assert_cmpuint(ctrl(&t, VIRTIO_SIGNAL_CTRL_POLL, 1, POLL_NS), ==,
                     STATUS(OK));
    g_assert_cmpint(polling(&t, "targets"), ==, 1);
    notified = polling(&t, "notified");
    avoided = polling(&t, "avoided");
    sig_give(&t, 1, 10);
    sig_give(&t, 2, 10);
    want_interrupts(&t, 1, false);
    for (unsigned i = 0; i < 9; i++) {
        irq.target = cpu_to_le16(1 + i % 2);
        g_assert_cmpuint(sig_send(&t, &irq), ==, STATUS(OK));
        sig_event(&t, 1 + i % 2);
    }
    /* Those of target 2, which does not poll, are not among them. */
    g_assert_cmpint(polling(&t, "notified"), ==, notified);
    g_assert_cmpint(polling(&t, "avoided"), ==, avoided + 5);
    want_interrupts(&t, 1, true);
    irq.target = cpu_to_le16(1);
    g_assert_cmpuint(sig_send(&t, &irq), ==, STATUS(OK));
    g_assert_cmpint(polling(&t, "notified"), ==, notified + 1);
    g_assert_cmpint(polling(&t, "avoided"), ==, avoided + 5);
    g_assert_cmpuint(ctrl(&t, VIRTIO_SIGNAL_CTRL_POLL, 1, 0), ==, STATUS(OK));
    g_assert_cmpint(polling(&t, "targets"), ==, 0);
    sig_end(&t);
}

/* The host takes the leave to poll back; the driver hears of it. */
static void test_poll_limit(void *obj, void *data, QGuestAllocator *alloc)
{
    g_autofree char *path = NULL;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    path = device_path(&t);
    g_assert_cmpuint(ctrl(&t, VIRTIO_SIGNAL_CTRL_POLL, 0, POLL_NS), ==,
                     STATUS(OK));
    qtest_qmp_assert_success(t.qts, "{ 'execute': 'qom-set', 'arguments': {"
                             " 'path': %s, 'property': 'poll-ns-max',"
                             " 'value': 0 } }", path);
    t.dev->bus->wait_config_isr_status(t.dev, SIG_TIMEOUT_US);
    g_assert_cmpuint(poll_ns_max(&t), ==, 0);
    g_assert_cmpint(polling(&t, "targets"), ==, 0);
    g_assert_cmpuint(ctrl(&t, VIRTIO_SIGNAL_CTRL_POLL, 0, 1), ==,
                     STATUS(PERM));
    g_assert_cmpuint(ctrl(&t, VIRTIO_SIGNAL_CTRL_POLL, 0, 0), ==, STATUS(OK));
    sig_end(&t);
    /* The limit stays: this QEMU is not for other tests. */
    qos_invalidate_command_line();
}

/* Unless the user asks for it nobody polls, and not negotiated is unknown. */
static void test_poll_off(void *obj, void *data, QGuestAllocator *alloc)
{
    QDict *info;
    SigTest t;

    sig_start(&t, obj, alloc, BIT_ULL(VIRTIO_SIGNAL_F_POLL));
    g_assert_cmpuint(ctrl(&t, VIRTIO_SIGNAL_CTRL_POLL, 0, 0), ==,
                     STATUS(UNSUPP));
    info = sig_query(t.qts);
    g_assert_false(qdict_haskey(info, "polling"));
    qobject_unref(info);
    sig_end(&t);
}

static void test_poll_default(void *obj, void *data, QGuestAllocator *alloc)
{
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    g_assert_cmpuint(poll_ns_max(&t), ==, 0);
    sig_end(&t);
}

/* The sender's user, the receiver's driver and its machine have a say. */
static void test_nmi(void *obj, void *data, QGuestAllocator *alloc)
{
    struct virtio_signal_req nmi = sig_req(CLASS(NMI), 0);
    struct virtio_signal_event ev;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    if (!sig_has_nmi(&t)) {
        g_assert_cmpuint(sig_send(&t, &nmi), ==, STATUS(INVAL));
        sig_end(&t);
        return;
    }
    sig_give(&t, 0, 1);
    g_assert_cmpuint(sig_send(&t, &nmi), ==, STATUS(PERM));
    for (unsigned i = 0; i < SIG_TARGETS; i++) {
        g_assert_cmpuint(ctrl(&t, VIRTIO_SIGNAL_CTRL_ACCEPT, i,
                              BIT(CLASS(NMI))), ==, STATUS(OK));
    }
    g_assert_cmpuint(sig_send(&t, &nmi), ==, STATUS(OK));
    /* It has no event. */
    g_assert_false(sig_poll(&t, 0, &ev));
    /* The machine has one CPU, then two. */
    nmi.target = cpu_to_le16(1);
    g_assert_cmpuint(sig_send(&t, &nmi), ==, STATUS(NO_TARGET));
    qtest_qmp_assert_success(t.qts, "{ 'execute': 'device_add', 'arguments': {"
                             " 'driver': 'qemu64-x86_64-cpu', 'socket-id': 0,"
                             " 'core-id': 1, 'thread-id': 0 } }");
    g_assert_cmpuint(sig_send(&t, &nmi), ==, STATUS(OK));
    /* No payload, and nothing of it after a reset */
    nmi.target = 0;
    nmi.payload[1] = 1;
    g_assert_cmpuint(sig_send(&t, &nmi), ==, STATUS(INVAL));
    nmi.payload[1] = 0;
    sig_restart(&t);
    g_assert_cmpuint(sig_send(&t, &nmi), ==, STATUS(PERM));
    t.refuse = BIT_ULL(VIRTIO_SIGNAL_F_NMI);
    sig_restart(&t);
    g_assert_cmpuint(sig_send(&t, &nmi), ==, STATUS(INVAL));
    g_assert_cmpuint(ctrl(&t, VIRTIO_SIGNAL_CTRL_ACCEPT, 0, BIT(CLASS(NMI))),
                     ==, STATUS(INVAL));
    sig_end(&t);
    qos_invalidate_command_line();
}

static void inject(SigTest *t, const char *arguments, const char *status)
{
    g_autofree char *json = g_strdup_printf("{ %s }", arguments);
    QDict *args = qobject_to(QDict, qobject_from_json(json, &error_abort));
    QDict *rsp = qtest_qmp(t->qts, "{ 'execute': 'x-virtio-signal-send', "
                           "'arguments': %p }", args);
    QDict *result = qdict_get_qdict(rsp, "return");

    if (result) {
        g_assert_cmpstr(qdict_get_str(result, "status"), ==, status);
    } else {
        g_assert_cmpstr(qdict_get_str(qdict_get_qdict(rsp, "error"), "desc"),
                        ==, status);
    }
    qobject_unref(rsp);
}

static void test_inject(void *obj, void *data, QGuestAllocator *alloc)
{
    g_autofree char *hmp = NULL, *path = NULL, *by_path = NULL;
    struct virtio_signal_event ev;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    path = device_path(&t);
    inject(&t, "'id': 'sig0', 'class': 'doorbell', 'target': 2, 'signal': 7,"
           " 'payload': 9", "ok");
    sig_give(&t, 2, 1);
    ev = sig_event(&t, 2);
    g_assert_cmpuint(ev.class_id, ==, CLASS(DOORBELL));
    g_assert_cmpuint(ev.src_node, ==, VIRTIO_SIGNAL_NODE_MGMT);
    g_assert_cmpuint(ev.src_target, ==, NODE_TARGET);
    g_assert_cmpuint(ev.signal, ==, 7);
    g_assert_cmpuint(ev.payload[0], ==, 9);
    by_path = g_strdup_printf("'id': '%s', 'class': 'irq'", path);
    inject(&t, by_path, "ok");
    sig_give(&t, 0, 1);
    g_assert_cmpuint(sig_event(&t, 0).class_id, ==, CLASS(IRQ));

    inject(&t, "'id': 'sig0', 'class': 'irq', 'target': 4", "no-target");
    inject(&t, "'id': 'sig0', 'class': 'irq', 'payload': 1",
           "only a doorbell has a payload");
    inject(&t, "'id': 'sig0', 'class': 'nmi', 'target': 0",
           sig_has_nmi(&t) ? "perm" : "unsupp");
    inject(&t, "'id': 'none', 'class': 'irq'",
           "there is no virtio-signal device 'none'");
    inject(&t, "'id': '/machine', 'class': 'irq'",
           "there is no virtio-signal device '/machine'");
    hmp = qtest_hmp(t.qts, "virtio_signal_send sig0 irq 3 5");
    g_assert_cmpstr(g_strstrip(hmp), ==, "ok");
    qvirtio_reset(t.dev);
    inject(&t, "'id': 'sig0', 'class': 'irq'", "peer-down");
    sig_end(&t);
}

static void expect_peer_event(SigTest *t, const char *state)
{
    QDict *event = qtest_qmp_eventwait_ref(t->qts, "VIRTIO_SIGNAL_PEER");
    QDict *what = qdict_get_qdict(event, "data");

    g_assert_cmpstr(qdict_get_str(what, "id"), ==, "link1");
    g_assert_cmpint(qdict_get_int(what, "node"), ==, PEER_NODE);
    g_assert_cmpstr(qdict_get_str(what, "state"), ==, state);
    qobject_unref(event);
}

/* Of a peer that changes all the time the monitor hears once a second. */
static void test_peer_events(void *obj, void *data, QGuestAllocator *alloc)
{
    SigPeer p;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    for (unsigned i = 0; i < 20; i++) {
        p = sig_peer_start(VIRTIO_SIGNAL_PEER_READY);
        sig_peer_close(&p);
        sig_peer_expect_state(&t, "down");
    }
    expect_peer_event(&t, "ready");
    g_assert_null(qtest_qmp_event_ref(t.qts, "VIRTIO_SIGNAL_PEER"));
    qtest_clock_step(t.qts, 1000000000);
    expect_peer_event(&t, "down");
    qobject_unref(sig_peer_query(&t));
    g_assert_null(qtest_qmp_event_ref(t.qts, "VIRTIO_SIGNAL_PEER"));
    sig_end(&t);
}

/* What a peer is refused is told, but not as often as it asks. */
static void test_action_events(void *obj, void *data, QGuestAllocator *alloc)
{
    struct virtio_signal_req reset = sig_req(CLASS(RESET), NODE_TARGET);
    unsigned told = 0;
    QDict *event;
    SigPeer p;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    p = sig_peer_start(VIRTIO_SIGNAL_PEER_READY);
    for (unsigned i = 0; i < 20; i++) {
        g_assert_cmpuint(sig_peer_signal(&p, i, &reset), ==, STATUS(PERM));
    }
    qobject_unref(sig_peer_query(&t));
    while ((event = qtest_qmp_event_ref(t.qts, "VIRTIO_SIGNAL_ACTION"))) {
        QDict *what = qdict_get_qdict(event, "data");

        g_assert_cmpstr(qdict_get_str(what, "class"), ==, "reset");
        g_assert_cmpstr(qdict_get_str(what, "status"), ==, "perm");
        qobject_unref(event);
        told++;
    }
    g_assert_cmpuint(told, ==, 8);
    sig_peer_close(&p);
    sig_end(&t);
}

/* What a link's peer is allowed happens, and is told. */
static void test_action_done(void *obj, void *data, QGuestAllocator *alloc)
{
    struct virtio_signal_req reset = sig_req(CLASS(RESET), NODE_TARGET);
    struct virtio_signal_req nmi = sig_req(CLASS(NMI), 0);
    QDict *event;
    SigPeer p;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    p = sig_peer_start(VIRTIO_SIGNAL_PEER_READY);
    g_assert_cmpuint(sig_peer_signal(&p, 1, &nmi), ==,
                     sig_has_nmi(&t) ? STATUS(PERM) : STATUS(UNSUPP));
    ctrl(&t, VIRTIO_SIGNAL_CTRL_ACCEPT, 0, BIT(CLASS(NMI)));
    g_assert_cmpuint(sig_peer_signal(&p, 1, &nmi), ==,
                     sig_has_nmi(&t) ? STATUS(OK) : STATUS(UNSUPP));
    g_assert_cmpuint(sig_peer_signal(&p, 0, &reset), ==, STATUS(OK));
    event = qtest_qmp_eventwait_ref(t.qts, "VIRTIO_SIGNAL_ACTION");
    g_assert_cmpstr(qdict_get_str(qdict_get_qdict(event, "data"), "status"),
                    ==, "ok");
    qobject_unref(event);
    qtest_qmp_eventwait(t.qts, "RESET");
    sig_peer_close(&p);
    /* The bus was reset too: by PCI there are no registers any more. */
    sig_free(&t);
    qos_invalidate_command_line();
}

static void add_test(const char *name, const char *options,
                     QOSTestFunc function)
{
    QOSGraphTestOptions opts = { .edge.extra_device_opts = options };

    qos_add_test(name, "virtio-signal", function, &opts);
}

static void add_link_test(const char *name, const char *options,
                          QOSTestFunc function)
{
    QOSGraphTestOptions opts = {
        .edge.extra_device_opts = "signal-bus=bus0,node=0",
        .before = sig_peer_before,
        .arg = (void *)options,
    };

    qos_add_test(name, "virtio-signal", function, &opts);
}

static void register_virtio_signal_host_tests(void)
{
    QOSGraphTestOptions nmi = {
        .edge.extra_device_opts = "send-nmi=on",
        .edge.after_cmd_line = "-smp 1,maxcpus=4",
    };

    add_test("poll", "poll=on,poll-ns-max=1000000", test_poll);
    add_test("poll-limit", "poll=on,poll-ns-max=1000000", test_poll_limit);
    add_test("poll-off", "poll=on,poll-ns-max=1000000", test_poll_off);
    add_test("poll-default", "poll=on", test_poll_default);
    qos_add_test("nmi", "virtio-signal", test_nmi, &nmi);
    add_test("inject", NULL, test_inject);
    add_link_test("link/peer-events", NULL, test_peer_events);
    add_link_test("link/action-events", NULL, test_action_events);
    add_link_test("link/action-done", ",accept-reset=on,accept-nmi=on",
                  test_action_done);
}

libqos_init(register_virtio_signal_host_tests);
