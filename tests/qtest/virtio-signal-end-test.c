/*
 * virtio-signal: how connections of links end
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "qemu/bswap.h"
#include "qemu/module.h"
#include "virtio-signal-peer.h"

/* A peer that reads no more is found out by what it asks for. */
static void test_half_closed(void *obj, void *data, QGuestAllocator *alloc)
{
    uint64_t token = 0;
    SigPeer p;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    p = sig_peer_start(VIRTIO_SIGNAL_PEER_READY);
    shutdown(p.fd, SHUT_RD);
    sig_peer_send(&p, VIRTIO_SIGNAL_LINK_PING, &token, sizeof(token));
    sig_peer_expect_state(&t, "down");
    sig_peer_expect_error(&t, "the connection cannot be written to", 0);
    sig_peer_close(&p);
    sig_peer_forgiven(&t);
    p = sig_peer_start(VIRTIO_SIGNAL_PEER_READY);
    sig_peer_close(&p);
    sig_end(&t);
}

static uint64_t expect_ping(SigPeer *p)
{
    SigFrame f;

    sig_peer_expect(p, VIRTIO_SIGNAL_LINK_PING, &f);
    g_assert_cmpuint(f.length, ==, sizeof(uint64_t));
    return ldq_le_p(f.body);
}

/* A peer is asked when it is silent, and given up when it stays so. */
static void test_silent(void *obj, void *data, QGuestAllocator *alloc)
{
    struct virtio_signal_req req = sig_req(CLASS(IRQ), 0);
    const int64_t second = 1000000000;
    uint64_t token, in[PEER_CREDITS];
    QVirtQueue *vq;
    QDict *peer;
    SigFrame f;
    SigPeer p;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    vq = t.vq[VIRTIO_SIGNAL_SENDQ0];
    p = sig_peer_start(VIRTIO_SIGNAL_PEER_READY);
    for (unsigned i = 0; i < 3; i++) {
        /* HELLO or PONG came in the first of these. */
        qtest_clock_step(t.qts, 10 * second - (i ? 5000 : 0));
        qtest_clock_step(t.qts, 10 * second);
        token = expect_ping(&p);
        qtest_clock_step(t.qts, 5000);
        sig_peer_send(&p, VIRTIO_SIGNAL_LINK_PONG, &token, sizeof(token));
        /* Any answer shows that it was read. */
        g_assert_cmpuint(sig_peer_signal(&p, i, &req), ==, STATUS(OK));
        peer = sig_peer_query(&t);
        g_assert_cmpint(qdict_get_int(peer, "ping-ns"), ==, 5000);
        qobject_unref(peer);
    }

    /* One that says other things first owes the same answer all the time. */
    qtest_clock_step(t.qts, 10 * second);
    qtest_clock_step(t.qts, 10 * second);
    token = expect_ping(&p);
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpuint(sig_peer_signal(&p, i, &req), ==, STATUS(OK));
        qtest_clock_step(t.qts, 10 * second);
        qtest_clock_step(t.qts, 10 * second);
    }
    sig_peer_send(&p, VIRTIO_SIGNAL_LINK_PONG, &token, sizeof(token));
    g_assert_cmpuint(sig_peer_signal(&p, 0, &req), ==, STATUS(OK));

    /* Without a credit for a PING, what it owes is the question. */
    req.dst_node = cpu_to_le16(PEER_NODE);
    for (unsigned i = 0; i < PEER_CREDITS; i++) {
        sig_add(&t, vq, &req, sizeof(req),
                sizeof(struct virtio_signal_reply), &in[i]);
        sig_peer_expect(&p, VIRTIO_SIGNAL_LINK_SIGNAL, &f);
    }
    for (unsigned i = 0; i < 2; i++) {
        qtest_clock_step(t.qts, 10 * second);
        g_assert_cmpuint(qtest_readw(t.qts, in[0]), ==, 0xa5a5);
    }
    qtest_clock_step(t.qts, 10 * second);
    sig_peer_expect_end(&p);
    sig_peer_expect_state(&t, "down");
    sig_peer_expect_error(&t, "no answer in 10000 ms", 0);
    for (unsigned i = 0; i < PEER_CREDITS; i++) {
        g_assert_cmpuint(qtest_readw(t.qts, in[i]), ==, STATUS(AGAIN));
    }
    sig_peer_forgiven(&t);

    /* Nor does a connection stay on which nothing is said. */
    p = sig_peer_connect();
    g_assert_true(sig_peer_read(&p, &f));
    qtest_clock_step(t.qts, 10 * second);
    sig_peer_expect_end(&p);
    sig_peer_expect_error(&t, "no HELLO in 10000 ms", 0);
    sig_end(&t);
}

/* The answer to a PING is a PONG, and its own one. */
static void test_pong(void *obj, void *data, QGuestAllocator *alloc)
{
    static const struct {
        const char *error;
        uint16_t type;
        size_t len;
        uint8_t add;
    } cases[] = {
        { "a PONG without a PING", VIRTIO_SIGNAL_LINK_PONG, 8, 1 },
        { "a STATUS of request 0, which is not there",
          VIRTIO_SIGNAL_LINK_STATUS, 24 },
    };
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        SigPeer p = sig_peer_start(VIRTIO_SIGNAL_PEER_READY);
        uint64_t body[3] = { };

        qtest_clock_step(t.qts, 10 * 1000000000ll);
        qtest_clock_step(t.qts, 10 * 1000000000ll);
        body[0] = cpu_to_le64(expect_ping(&p) + cases[i].add);
        sig_peer_send(&p, cases[i].type, body, cases[i].len);
        sig_peer_expect_end(&p);
        sig_peer_expect_state(&t, "down");
        sig_peer_expect_error(&t, cases[i].error, i + 1);
        sig_peer_forgiven(&t);
    }
    sig_end(&t);
}

/* Who breaks the rules waits: twice as long each time, until it behaves. */
static void test_back_off(void *obj, void *data, QGuestAllocator *alloc)
{
    const int64_t ms = 1000000;
    struct virtio_signal_req req = sig_req(CLASS(IRQ), 0);
    static const unsigned waits[] = { 100, 200, 400, 800, 1600, 3200, 3200 };
    uint64_t bad[2] = { };
    SigPeer p;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(waits); i++) {
        struct virtio_signal_link_hello hello = sig_peer_hello();
        char c;

        p = sig_peer_connect();
        sig_peer_write(&p, bad, sizeof(bad));
        sig_peer_expect_end(&p);
        sig_peer_expect_state(&t, "down");

        p = sig_peer_connect();
        sig_peer_send(&p, VIRTIO_SIGNAL_LINK_HELLO, &hello, sizeof(hello));
        qtest_clock_step(t.qts, waits[i] * ms - 1);
        sig_peer_expect_state(&t, "down");
        g_assert_cmpint(recv(p.fd, &c, 1, MSG_DONTWAIT), <, 0);
        g_assert_cmpint(errno, ==, EAGAIN);
        qtest_clock_step(t.qts, 1);
        sig_peer_expect_state(&t, "ready");
        sig_peer_close(&p);
        sig_peer_expect_state(&t, "down");
    }

    /* A connection that lasts is a new beginning; a good end costs nothing. */
    for (unsigned i = 0; i < 3; i++) {
        p = sig_peer_start(VIRTIO_SIGNAL_PEER_READY);
        qtest_clock_step(t.qts, 10000 * ms);
        g_assert_cmpuint(sig_peer_signal(&p, 0, &req), ==, STATUS(OK));
        sig_peer_close(&p);
        sig_peer_expect_state(&t, "down");
    }
    p = sig_peer_connect();
    sig_peer_write(&p, bad, sizeof(bad));
    sig_peer_expect_end(&p);
    sig_peer_expect_state(&t, "down");
    qtest_clock_step(t.qts, 100 * ms);
    p = sig_peer_start(VIRTIO_SIGNAL_PEER_READY);
    sig_peer_close(&p);
    sig_end(&t);
}

/* Without its link a connection has no use: it ends with a BYE. */
static void test_delete(void *obj, void *data, QGuestAllocator *alloc)
{
    struct virtio_signal_req req = sig_req(CLASS(IRQ), 0);
    QVirtQueue *vq;
    uint32_t token;
    uint64_t in;
    SigFrame f;
    SigPeer p;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    p = sig_peer_start(VIRTIO_SIGNAL_PEER_READY);
    req.dst_node = cpu_to_le16(PEER_NODE);
    vq = t.vq[VIRTIO_SIGNAL_SENDQ0];
    token = sig_add(&t, vq, &req, sizeof(req),
                    sizeof(struct virtio_signal_reply), &in);
    sig_peer_expect(&p, VIRTIO_SIGNAL_LINK_SIGNAL, &f);
    qtest_qmp_assert_success(t.qts, "{ 'execute': 'object-del', 'arguments': "
                             "{ 'id': 'link1' } }");
    sig_wait(&t, vq, token);
    g_assert_cmpuint(qtest_readw(t.qts, in), ==, STATUS(AGAIN));
    g_assert_true(sig_peer_read(&p, &f));
    g_assert_cmpuint(f.type, ==, VIRTIO_SIGNAL_LINK_BYE);
    g_assert_false(sig_peer_read(&p, &f));
    sig_peer_close(&p);
    sig_end(&t);
    qos_invalidate_command_line();
}

/* The driver hears what its peers are on the other host. */
static void test_migration(void *obj, void *data, QGuestAllocator *alloc)
{
    g_autofree char *dir = g_dir_make_tmp("vadis-signal-XXXXXX", NULL);
    g_autofree char *uri = g_strdup_printf("file:%s/state", dir);
    g_autofree char *file = g_strdup_printf("%s/state", dir);
    g_autofree char *line = NULL;
    struct virtio_signal_req irq = sig_req(CLASS(IRQ), 0);
    struct virtio_signal_event ev;
    QTestState *from, *to;
    SigPeer p;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    from = t.qts;
    sig_give(&t, 0, 2);
    p = sig_peer_start(VIRTIO_SIGNAL_PEER_READY);
    g_assert_cmpuint(sig_event(&t, 0).signal, ==, VIRTIO_SIGNAL_PEER_READY);
    qtest_qmp_assert_success(from, "{ 'execute': 'migrate', 'arguments':"
                             " { 'uri': %s } }", uri);
    sig_wait_migrated(from);
    /* What came to the source now would be lost. */
    g_assert_cmpuint(sig_peer_signal(&p, 0, &irq), ==, STATUS(PEER_DOWN));

    line = sig_peer_command_line();
    to = qtest_initf("%s -incoming %s", line, uri);
    sig_wait_migrated(to);
    qtest_qmp_assert_success(to, "{ 'execute': 'cont' }");
    sig_use(&t, to);
    ev = sig_event(&t, 0);
    g_assert_cmpuint(ev.class_id, ==, CLASS(PEER));
    g_assert_cmpuint(ev.signal, ==, VIRTIO_SIGNAL_PEER_DOWN);
    g_assert_cmpuint(ev.src_node, ==, PEER_NODE);
    sig_end(&t);

    sig_use(&t, from);
    qtest_quit(to);
    qos_invalidate_command_line();
    sig_peer_close(&p);
    unlink(file);
    rmdir(dir);
}

static void add_test(const char *name, const char *options,
                     QOSTestFunc function)
{
    g_autofree char *full = g_strdup_printf("signal-bus=bus0,node=0%s%s",
                                            options ? "," : "", options ?: "");
    QOSGraphTestOptions opts = {
        .edge.extra_device_opts = full,
        .before = sig_peer_before,
    };

    qos_add_test(name, "virtio-signal", function, &opts);
}

static void register_virtio_signal_end_tests(void)
{
    add_test("link/half-closed", NULL, test_half_closed);
    add_test("link/silent", NULL, test_silent);
    add_test("link/pong", NULL, test_pong);
    add_test("link/back-off", NULL, test_back_off);
    add_test("link/delete", NULL, test_delete);
    add_test("link/migration", NULL, test_migration);
}

libqos_init(register_virtio_signal_end_tests);
