/*
 * virtio-signal: links, with this test as the peer
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "qemu/bswap.h"
#include "qemu/bitops.h"
#include "qemu/module.h"
#include "virtio-signal-peer.h"

/* A request to the peer, not waited for */
static uint32_t send_start(SigTest *t, uint16_t class_id, uint64_t *in)
{
    struct virtio_signal_req req = sig_req(class_id, 0);

    if (class_id > CLASS(DOORBELL)) {
        req.target = cpu_to_le16(NODE_TARGET);
    }
    req.dst_node = cpu_to_le16(PEER_NODE);
    return sig_add(t, t->vq[VIRTIO_SIGNAL_SENDQ0], &req, sizeof(req),
                   sizeof(struct virtio_signal_reply), in);
}

static void answer(SigPeer *p, const uint8_t *signal, uint16_t status,
                   uint32_t delivered)
{
    struct {
        struct virtio_signal_link_call call;
        struct virtio_signal_reply reply;
    } body = { };

    memcpy(&body.call, signal, sizeof(body.call));
    body.reply.status = cpu_to_le16(status);
    body.reply.delivered = cpu_to_le32(delivered);
    body.reply.refused = cpu_to_le32(!delivered);
    sig_peer_send(p, VIRTIO_SIGNAL_LINK_STATUS, &body, sizeof(body));
}

static void test_both_ways(void *obj, void *data, QGuestAllocator *alloc)
{
    struct virtio_signal_req req = sig_req(CLASS(DOORBELL), 1);
    struct virtio_signal_event ev;
    uint32_t token;
    uint64_t in;
    SigFrame f;
    SigPeer p;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    sig_give(&t, 0, 4);
    sig_give(&t, 1, 4);
    p = sig_peer_start(VIRTIO_SIGNAL_PEER_READY);
    ev = sig_event(&t, 0);
    g_assert_cmpuint(ev.class_id, ==, CLASS(PEER));
    g_assert_cmpuint(ev.signal, ==, VIRTIO_SIGNAL_PEER_READY);
    g_assert_cmpuint(ev.src_node, ==, PEER_NODE);
    g_assert_cmpuint(ev.payload[0], ==, PEER_TARGETS);
    g_assert_cmphex(ev.payload[1], ==, 0x1234);

    /* The source is the link's peer, whatever the request says. */
    req.payload[0] = cpu_to_le64(42);
    req.src_target = cpu_to_le16(9);
    g_assert_cmpuint(sig_peer_signal(&p, 77, &req), ==, STATUS(OK));
    ev = sig_event(&t, 1);
    g_assert_cmpuint(ev.src_node, ==, PEER_NODE);
    g_assert_cmpuint(ev.src_target, ==, 9);
    g_assert_cmpuint(ev.payload[0], ==, 42);

    token = send_start(&t, CLASS(IRQ), &in);
    sig_peer_expect(&p, VIRTIO_SIGNAL_LINK_SIGNAL, &f);
    g_assert_cmpuint(f.length, ==, 8 + sizeof(req));
    answer(&p, f.body, STATUS(OK), 1);
    sig_wait(&t, t.vq[VIRTIO_SIGNAL_SENDQ0], token);
    g_assert_cmpuint(qtest_readw(t.qts, in), ==, STATUS(OK));

    sig_peer_close(&p);
    ev = sig_event(&t, 0);
    g_assert_cmpuint(ev.class_id, ==, CLASS(PEER));
    g_assert_cmpuint(ev.signal, ==, VIRTIO_SIGNAL_PEER_DOWN);
    sig_end(&t);
}

/* The control queue's list, and what a reset of the device tells the peer */
static void test_peers(void *obj, void *data, QGuestAllocator *alloc)
{
    struct {
        struct virtio_signal_ctrl_reply reply;
        struct virtio_signal_peer peer[2];
    } list;
    struct virtio_signal_link_targets targets;
    SigFrame f;
    SigPeer p;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    sig_give(&t, 0, 2);
    p = sig_peer_start(VIRTIO_SIGNAL_PEER_UP);
    g_assert_cmpuint(sig_ctrl(&t, VIRTIO_SIGNAL_CTRL_PEERS, 0, 0, &list,
                              sizeof(list)), ==, 8 + 16);
    g_assert_cmpuint(le16_to_cpu(list.reply.count), ==, 1);
    g_assert_cmpuint(le16_to_cpu(list.peer[0].node), ==, PEER_NODE);
    g_assert_cmpuint(le16_to_cpu(list.peer[0].state), ==,
                     VIRTIO_SIGNAL_PEER_UP);
    g_assert_cmpuint(le16_to_cpu(list.peer[0].num_targets), ==, PEER_TARGETS);
    g_assert_cmphex(le32_to_cpu(list.peer[0].accepts), ==, 0x7b);
    /* From a higher node on; and without room */
    sig_ctrl(&t, VIRTIO_SIGNAL_CTRL_PEERS, 2, 0, &list, sizeof(list));
    g_assert_cmpuint(list.reply.count, ==, 0);
    sig_ctrl(&t, VIRTIO_SIGNAL_CTRL_PEERS, 0, 0, &list, 8 + 15);
    g_assert_cmpuint(list.reply.count, ==, 0);
    g_assert_cmpuint(le32_to_cpu(list.reply.more), ==, 1);

    sig_end(&t);
    sig_peer_expect(&p, VIRTIO_SIGNAL_LINK_TARGETS, &f);
    memcpy(&targets, f.body, sizeof(targets));
    g_assert_cmpuint(le16_to_cpu(targets.state), ==, VIRTIO_SIGNAL_PEER_UP);
    g_assert_cmpuint(le16_to_cpu(targets.num_targets), ==, SIG_TARGETS);
    sig_peer_close(&p);
}

/* Who is not connected, not ready or not willing */
static void test_refusals(void *obj, void *data, QGuestAllocator *alloc)
{
    QVirtQueue *vq;
    uint32_t token;
    uint64_t in;
    SigFrame f;
    SigPeer p;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    vq = t.vq[VIRTIO_SIGNAL_SENDQ0];
    sig_wait(&t, vq, send_start(&t, CLASS(IRQ), &in));
    g_assert_cmpuint(qtest_readw(t.qts, in), ==, STATUS(PEER_DOWN));

    p = sig_peer_start(VIRTIO_SIGNAL_PEER_UP);
    sig_wait(&t, vq, send_start(&t, CLASS(IRQ), &in));
    g_assert_cmpuint(qtest_readw(t.qts, in), ==, STATUS(PEER_DOWN));
    /* BOOT is for those who are not ready. */
    token = send_start(&t, CLASS(BOOT), &in);
    sig_peer_expect(&p, VIRTIO_SIGNAL_LINK_SIGNAL, &f);
    answer(&p, f.body, STATUS(STATE), 0);
    sig_wait(&t, vq, token);
    g_assert_cmpuint(qtest_readw(t.qts, in), ==, STATUS(STATE));
    /* The device's own user has not allowed this. */
    sig_wait(&t, vq, send_start(&t, CLASS(KILL), &in));
    g_assert_cmpuint(qtest_readw(t.qts, in), ==, STATUS(PERM));
    sig_peer_close(&p);
    sig_end(&t);
}

/* Receiver's permissions: by default nothing but IRQ and DOORBELL */
static void test_permissions(void *obj, void *data, QGuestAllocator *alloc)
{
    const struct {
        uint16_t class_id, status;
    } cases[] = {
        { CLASS(BOOT), STATUS(PERM) }, { CLASS(RESET), STATUS(PERM) },
        { CLASS(STOP), STATUS(PERM) }, { CLASS(KILL), STATUS(PERM) },
        { CLASS(NMI), STATUS(PERM) }, { CLASS(PEER), STATUS(INVAL) },
        { CLASS(OVERFLOW), STATUS(INVAL) }, { 77, STATUS(INVAL) },
        { CLASS(IRQ), STATUS(OK) },
    };
    struct virtio_signal_req req;
    QDict *peer;
    SigPeer p;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    p = sig_peer_start(VIRTIO_SIGNAL_PEER_READY);
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        uint16_t c = cases[i].class_id;

        req = sig_req(c, c == CLASS(IRQ) ? 0 : NODE_TARGET);
        g_assert_cmpuint(sig_peer_signal(&p, i, &req), ==, cases[i].status);
    }
    /* Another node than the link's cannot be reached, or forged. */
    req = sig_req(CLASS(IRQ), 0);
    req.dst_node = cpu_to_le16(2);
    g_assert_cmpuint(sig_peer_signal(&p, 0, &req), ==, STATUS(INVAL));
    req.dst_node = cpu_to_le16(VIRTIO_SIGNAL_NODE_ALL);
    g_assert_cmpuint(sig_peer_signal(&p, 0, &req), ==, STATUS(INVAL));
    peer = sig_peer_query(&t);
    g_assert_cmpint(qdict_get_int(peer, "denied"), ==, 5);
    g_assert_cmpint(qdict_get_int(peer, "bad-frames"), ==, 0);
    qobject_unref(peer);
    sig_peer_close(&p);
    sig_end(&t);
}

/* A peer that does not answer holds as many requests as its credits. */
static void test_credits(void *obj, void *data, QGuestAllocator *alloc)
{
    QVirtQueue *vq;
    uint32_t token[PEER_CREDITS], last, got, len;
    gint64 end = g_get_monotonic_time() + SIG_TIMEOUT_US;
    uint64_t in[PEER_CREDITS + 1];
    SigFrame f;
    SigPeer p;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    vq = t.vq[VIRTIO_SIGNAL_SENDQ0];
    p = sig_peer_start(VIRTIO_SIGNAL_PEER_READY);
    for (unsigned i = 0; i < PEER_CREDITS; i++) {
        token[i] = send_start(&t, CLASS(IRQ), &in[i]);
        sig_peer_expect(&p, VIRTIO_SIGNAL_LINK_SIGNAL, &f);
    }
    last = send_start(&t, CLASS(IRQ), &in[PEER_CREDITS]);
    while (!qvirtqueue_get_buf(t.qts, vq, &got, &len)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
    }
    g_assert_cmpuint(got, ==, last);
    g_assert_cmpuint(qtest_readw(t.qts, in[PEER_CREDITS]), ==, STATUS(BUSY));

    /* The peer goes: what it had to answer may have been done. */
    sig_peer_close(&p);
    sig_peer_expect_state(&t, "down");
    for (unsigned i = 0; i < PEER_CREDITS; i++) {
        g_assert_true(qvirtqueue_get_buf(t.qts, vq, &got, &len));
        g_assert_cmpuint(got, ==, token[i]);
        g_assert_cmpuint(qtest_readw(t.qts, in[i]), ==, STATUS(AGAIN));
    }

    /* And when the VM stops */
    p = sig_peer_start(VIRTIO_SIGNAL_PEER_READY);
    send_start(&t, CLASS(IRQ), &in[0]);
    sig_peer_expect(&p, VIRTIO_SIGNAL_LINK_SIGNAL, &f);
    qtest_qmp_assert_success(t.qts, "{ 'execute': 'stop' }");
    g_assert_cmpuint(qtest_readw(t.qts, in[0]), ==, STATUS(AGAIN));
    qtest_qmp_assert_success(t.qts, "{ 'execute': 'cont' }");
    /* The late answer hurts nobody; reset forgets requests. */
    answer(&p, f.body, STATUS(OK), 1);
    send_start(&t, CLASS(IRQ), &in[0]);
    sig_peer_expect(&p, VIRTIO_SIGNAL_LINK_SIGNAL, &f);
    sig_restart(&t);
    answer(&p, f.body, STATUS(OK), 1);
    last = send_start(&t, CLASS(IRQ), &in[0]);
    sig_peer_expect(&p, VIRTIO_SIGNAL_LINK_SIGNAL, &f);
    answer(&p, f.body, STATUS(OK), 1);
    sig_wait(&t, t.vq[VIRTIO_SIGNAL_SENDQ0], last);
    g_assert_cmpuint(qtest_readw(t.qts, in[0]), ==, STATUS(OK));
    sig_peer_close(&p);
    sig_end(&t);
}

/* A peer that sends and does not read is cut off, and takes no memory. */
static void test_slow_reader(void *obj, void *data, QGuestAllocator *alloc)
{
    struct {
        struct virtio_signal_link_call call;
        struct virtio_signal_req req;
    } body = { .req = sig_req(CLASS(IRQ), 0) };
    SigPeer p;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    p = sig_peer_start(VIRTIO_SIGNAL_PEER_READY);
    for (unsigned i = 0; i < 100000; i++) {
        sig_peer_send(&p, VIRTIO_SIGNAL_LINK_SIGNAL, &body,
                      sizeof(body.call) + sizeof(body.req));
    }
    sig_peer_close(&p);
    sig_peer_expect_state(&t, "down");
    sig_peer_expect_error(&t, "more than 3 requests outstanding", 1);
    sig_peer_forgiven(&t);
    p = sig_peer_start(VIRTIO_SIGNAL_PEER_READY);
    sig_peer_close(&p);
    sig_end(&t);
}

typedef struct BadFrame {
    const char *error;      /* that the monitor tells */
    bool hello;             /* after a good HELLO */
    uint16_t type;
    size_t len;
    uint8_t body[48];
    /* header fields, if not what they must be */
    uint32_t magic, length, seq;
    uint16_t version;
} BadFrame;

static void send_bad_frame(SigPeer *p, const BadFrame *bad)
{
    struct virtio_signal_link_frame frame = {
        .magic = cpu_to_le32(bad->magic ?: VIRTIO_SIGNAL_LINK_MAGIC),
        .version = cpu_to_le16(bad->version ?: VIRTIO_SIGNAL_LINK_VERSION),
        .type = cpu_to_le16(bad->type),
        .length = cpu_to_le32(bad->length ?: bad->len),
        .seq = cpu_to_le32(bad->seq ?: p->out_seq),
    };

    sig_peer_write(p, &frame, sizeof(frame));
    sig_peer_write(p, bad->body, bad->len);
}

/* Each one ends the connection with an error that names it. */
static void test_bad_frames(void *obj, void *data, QGuestAllocator *alloc)
{
    static const BadFrame cases[] = {
        { "not a frame: magic 0x20544547", .magic = 0x20544547 },
        { "not a frame: magic 0x20544547", true, .magic = 0x20544547 },
        { "a frame of 4081 bytes, at most 4080 may be", true,
          .length = VIRTIO_SIGNAL_LINK_BODY_MAX + 1 },
        { "a frame of 4294967295 bytes, at most 4080 may be", true,
          .length = UINT32_MAX },
        { "frame number 7, expected 1", true, VIRTIO_SIGNAL_LINK_PING, 8,
          .seq = 7 },
        { "a frame of version 9, 1 is in use", true, VIRTIO_SIGNAL_LINK_PING,
          8, .version = 9 },
        { "a frame of type 2 before HELLO", false, VIRTIO_SIGNAL_LINK_SIGNAL,
          40 },
        { "a frame of type 4 before HELLO", false, VIRTIO_SIGNAL_LINK_TARGETS,
          8 },
        { "a frame of type 1", true, VIRTIO_SIGNAL_LINK_HELLO, 32 },
        { "a frame of type 99", true, 99 },
        { "a PONG without a PING", true, VIRTIO_SIGNAL_LINK_PONG, 8 },
        { "a PONG of 7 bytes", true, VIRTIO_SIGNAL_LINK_PONG, 7 },
        { "a HELLO of 31 bytes", false, VIRTIO_SIGNAL_LINK_HELLO, 31 },
        { "a SIGNAL of 7 bytes", true, VIRTIO_SIGNAL_LINK_SIGNAL, 7 },
        { "a SIGNAL with a reserved field set", true,
          VIRTIO_SIGNAL_LINK_SIGNAL, 40, { 0, 0, 0, 0, 1 } },
        { "a STATUS of 23 bytes", true, VIRTIO_SIGNAL_LINK_STATUS, 23 },
        { "a STATUS of request 0, which is not there", true,
          VIRTIO_SIGNAL_LINK_STATUS, 24 },
        { "a STATUS of request 4294967295, which is not there", true,
          VIRTIO_SIGNAL_LINK_STATUS, 24, { 255, 255, 255, 255 } },
        { "a TARGETS of 7 bytes", true, VIRTIO_SIGNAL_LINK_TARGETS, 7 },
        { "0 targets in state 0", true, VIRTIO_SIGNAL_LINK_TARGETS, 8 },
        { "a TARGETS with a reserved field set", true,
          VIRTIO_SIGNAL_LINK_TARGETS, 8, { 1, 0, 2, 0, 0, 0, 0, 1 } },
        { "65535 targets in state 2", true, VIRTIO_SIGNAL_LINK_TARGETS, 8,
          { 255, 255, 2 } },
        { "a PING of 9 bytes", true, VIRTIO_SIGNAL_LINK_PING, 9 },
        { "the peer said: no?way", true, VIRTIO_SIGNAL_LINK_BYE, 6,
          { 'n', 'o', 27, 'w', 'a', 'y' } },
    };
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        SigPeer p = cases[i].hello ? sig_peer_start(VIRTIO_SIGNAL_PEER_READY)
                                   : sig_peer_connect();

        send_bad_frame(&p, &cases[i]);
        sig_peer_expect_end(&p);
        sig_peer_expect_state(&t, "down");
        sig_peer_expect_error(&t, cases[i].error, -1);
        sig_peer_forgiven(&t);
    }
    sig_end(&t);
}

/* A HELLO that does not fit */
static void test_bad_hello(void *obj, void *data, QGuestAllocator *alloc)
{
    static const struct {
        const char *error;
        size_t offset;
        uint16_t value;
    } cases[] = {
        { "the peer speaks versions 2 to 1, we speak 1",
          offsetof(struct virtio_signal_link_hello, version_min), 2 },
        { "the peer speaks versions 1 to 0, we speak 1",
          offsetof(struct virtio_signal_link_hello, version_max), 0 },
        { "the peer is node 2 and looks for 0, we are node 0 and look for 1",
          offsetof(struct virtio_signal_link_hello, node), 2 },
        { "the peer is node 1 and looks for 1, we are node 0 and look for 1",
          offsetof(struct virtio_signal_link_hello, peer_node), 1 },
        { "a HELLO with a reserved field set",
          offsetof(struct virtio_signal_link_hello, reserved), 1 },
        { "0 credits",
          offsetof(struct virtio_signal_link_hello, credits), 0 },
        { "1025 credits",
          offsetof(struct virtio_signal_link_hello, credits), 1025 },
        { "1025 targets in state 2",
          offsetof(struct virtio_signal_link_hello, num_targets), 1025 },
        { "2 targets in state 0",
          offsetof(struct virtio_signal_link_hello, state), 0 },
    };
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct virtio_signal_link_hello hello = sig_peer_hello();
        SigPeer p = sig_peer_connect();

        stw_le_p((uint8_t *)&hello + cases[i].offset, cases[i].value);
        sig_peer_send(&p, VIRTIO_SIGNAL_LINK_HELLO, &hello, sizeof(hello));
        sig_peer_expect_end(&p);
        sig_peer_expect_error(&t, cases[i].error, i + 1);
        sig_peer_expect_state(&t, "down");
        sig_peer_forgiven(&t);
    }
    sig_end(&t);
}

/* What a peer says that it did can only be what it was asked to do. */
static void test_bad_status(void *obj, void *data, QGuestAllocator *alloc)
{
    static const struct {
        uint16_t status;
        uint32_t delivered;
    } cases[] = {
        { STATUS(OK), 2 }, { STATUS(OK), UINT32_MAX }, { 99, 0 },
    };
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        SigPeer p = sig_peer_start(VIRTIO_SIGNAL_PEER_READY);
        QVirtQueue *vq = t.vq[VIRTIO_SIGNAL_SENDQ0];
        uint32_t token;
        uint64_t in;
        SigFrame f;

        token = send_start(&t, CLASS(IRQ), &in);
        sig_peer_expect(&p, VIRTIO_SIGNAL_LINK_SIGNAL, &f);
        answer(&p, f.body, cases[i].status, cases[i].delivered);
        sig_peer_expect_end(&p);
        sig_wait(&t, vq, token);
        g_assert_cmpuint(qtest_readw(t.qts, in), ==, STATUS(AGAIN));
        sig_peer_expect_error(&t, "a STATUS that makes no sense", i + 1);
        sig_peer_forgiven(&t);
    }
    sig_end(&t);
}

/* Byte by byte, and a frame that never ends */
static void test_trickle(void *obj, void *data, QGuestAllocator *alloc)
{
    uint64_t token = 0x1122334455667788;
    struct {
        struct virtio_signal_link_frame frame;
        uint64_t token;
    } ping = {
        .frame.magic = cpu_to_le32(VIRTIO_SIGNAL_LINK_MAGIC),
        .frame.version = cpu_to_le16(VIRTIO_SIGNAL_LINK_VERSION),
        .frame.type = cpu_to_le16(VIRTIO_SIGNAL_LINK_PING),
        .frame.length = cpu_to_le32(8),
        .token = token,
    };
    SigFrame f;
    SigPeer p;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    p = sig_peer_start(VIRTIO_SIGNAL_PEER_READY);
    for (unsigned i = 0; i < 20; i++) {
        ping.frame.seq = cpu_to_le32(p.out_seq++);
        for (unsigned j = 0; j < sizeof(ping); j++) {
            sig_peer_write(&p, (uint8_t *)&ping + j, 1);
        }
        sig_peer_expect(&p, VIRTIO_SIGNAL_LINK_PONG, &f);
        g_assert_cmpmem(f.body, f.length, &token, sizeof(token));
    }
    ping.frame.seq = cpu_to_le32(p.out_seq++);
    sig_peer_write(&p, &ping, sizeof(ping) - 1);
    sig_peer_close(&p);
    sig_peer_expect_state(&t, "down");
    sig_end(&t);
}

/* News of a peer that changes all the time merge; what is lost is told. */
static void test_flapping(void *obj, void *data, QGuestAllocator *alloc)
{
    struct virtio_signal_link_targets targets = { };
    struct virtio_signal_req bell = sig_req(CLASS(DOORBELL), 0);
    struct virtio_signal_event ev;
    SigFrame f;
    SigPeer p;
    SigTest t;
    uint64_t token = 0;

    sig_start(&t, obj, alloc, 0);
    p = sig_peer_start(VIRTIO_SIGNAL_PEER_READY);
    for (unsigned i = 0; i < 501; i++) {
        targets.num_targets = cpu_to_le16(i);
        targets.state = cpu_to_le16(VIRTIO_SIGNAL_PEER_UP + i % 2);
        sig_peer_send(&p, VIRTIO_SIGNAL_LINK_TARGETS, &targets,
                      sizeof(targets));
    }
    sig_peer_send(&p, VIRTIO_SIGNAL_LINK_PING, &token, sizeof(token));
    sig_peer_expect(&p, VIRTIO_SIGNAL_LINK_PONG, &f);
    qtest_clock_step(t.qts, 100 * 1000000);
    sig_give(&t, 0, 1);
    ev = sig_event(&t, 0);
    g_assert_cmpuint(ev.class_id, ==, CLASS(PEER));
    g_assert_cmpuint(ev.signal, ==, VIRTIO_SIGNAL_PEER_UP);
    g_assert_cmpuint(ev.payload[0], ==, 500);
    /*
     * So many are told at once, or fewer where one read brought several; and
     * the last one when it is time.
     */
    g_assert_cmpuint(ev.count, >=, 2);
    g_assert_cmpuint(ev.count, <=, 32 + 1);
    g_assert_cmpuint(ev.seq, ==, 0);

    /* A backlog full of other things: the event is lost, and that is told. */
    for (unsigned i = 0; i < 4; i++) {
        g_assert_cmpuint(sig_send(&t, &bell), ==, STATUS(OK));
    }
    sig_peer_close(&p);
    sig_peer_expect_state(&t, "down");
    qtest_clock_step(t.qts, 100 * 1000000);
    sig_give(&t, 0, 5);
    for (unsigned i = 1; i < 5; i++) {
        g_assert_cmpuint(sig_event(&t, 0).seq, ==, i);
    }
    ev = sig_event(&t, 0);
    g_assert_cmpuint(ev.class_id, ==, CLASS(OVERFLOW));
    g_assert_cmpuint(ev.count, ==, 1);
    g_assert_cmpuint(ev.seq, ==, 6);
    sig_end(&t);
}

/* What a peer sends faster than the link's rate is refused, not queued. */
static void test_rate(void *obj, void *data, QGuestAllocator *alloc)
{
    struct virtio_signal_req irq = sig_req(CLASS(IRQ), 0);
    QDict *peer;
    SigPeer p;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    p = sig_peer_start(VIRTIO_SIGNAL_PEER_READY);
    for (unsigned i = 0; i < 10; i++) {
        g_assert_cmpuint(sig_peer_signal(&p, i, &irq), ==,
                         i < 2 ? STATUS(OK) : STATUS(BUSY));
    }
    /* Another connection does not bring new ones; time does. */
    sig_peer_close(&p);
    sig_peer_expect_state(&t, "down");
    p = sig_peer_start(VIRTIO_SIGNAL_PEER_READY);
    g_assert_cmpuint(sig_peer_signal(&p, 0, &irq), ==, STATUS(BUSY));
    qtest_clock_step(t.qts, 1000000000);
    g_assert_cmpuint(sig_peer_signal(&p, 0, &irq), ==, STATUS(OK));
    g_assert_cmpuint(sig_peer_signal(&p, 0, &irq), ==, STATUS(BUSY));
    peer = sig_peer_query(&t);
    g_assert_cmpint(qdict_get_int(peer, "limited"), ==, 10);
    qobject_unref(peer);
    sig_peer_close(&p);
    sig_end(&t);
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

static void register_virtio_signal_link_tests(void)
{
    QOSGraphTestOptions limited = {
        .edge.extra_device_opts = "signal-bus=bus0,node=0",
        .before = sig_peer_before,
        .arg = (void *)",rate=1,burst=2",
    };

    add_test("link/both-ways", NULL, test_both_ways);
    add_test("link/peers", NULL, test_peers);
    add_test("link/refusals", "send-boot=on", test_refusals);
    add_test("link/permissions", NULL, test_permissions);
    add_test("link/credits", NULL, test_credits);
    add_test("link/slow-reader", NULL, test_slow_reader);
    add_test("link/bad-frames", NULL, test_bad_frames);
    add_test("link/bad-hello", NULL, test_bad_hello);
    add_test("link/bad-status", NULL, test_bad_status);
    add_test("link/trickle", NULL, test_trickle);
    add_test("link/flapping", "backlog=4", test_flapping);
    qos_add_test("link/rate", "virtio-signal", test_rate, &limited);
}

libqos_init(register_virtio_signal_link_tests);
