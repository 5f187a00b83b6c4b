/*
 * virtio-signal: everything that can happen, in any order
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A driver, a peer and the monitor take steps at random: requests, answers,
 * resets of the device and of its queues, connections that end, a machine that
 * stands. Whatever was done before, requests that are waited for are answered,
 * each target's sequence numbers rise, and after a reset the device works.
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "qemu/bitops.h"
#include "qemu/bswap.h"
#include "qemu/module.h"
#include "standard-headers/linux/virtio_pci.h"
#include "virtio-signal-peer.h"

#define STEPS 500
/* Of libqos's split rings no descriptor is used twice in a queue's life. */
#define REMOTE_MAX 40
#define GIVEN_MAX 50
#define LOCALQ VIRTIO_SIGNAL_SENDQ0
#define REMOTEQ (VIRTIO_SIGNAL_SENDQ0 + 1)

typedef struct Chaos {
    SigTest t;
    SigPeer peer;           /* fd is -1 while not connected */
    GRand *rand;            /* of the steps */
    GRand *mood;            /* of the peer, who may see more or less in time */
    unsigned remote;        /* requests put into REMOTEQ in its life */
    bool fresh[SIG_TARGETS];    /* the next event is the first one */
    uint32_t seq[SIG_TARGETS];  /* of the last event */
    unsigned events, answers;
    uint64_t in[REMOTE_MAX];
} Chaos;

static unsigned chaos_pick(Chaos *c, unsigned n)
{
    return g_rand_int_range(c->rand, 0, n);
}

static struct virtio_signal_req chaos_request(Chaos *c, uint16_t node)
{
    static const uint16_t classes[] = {
        CLASS(IRQ), CLASS(DOORBELL), CLASS(NMI), CLASS(RESET), CLASS(PEER),
    };
    struct virtio_signal_req req = sig_req(
        classes[MIN(chaos_pick(c, 12) / 2, ARRAY_SIZE(classes) - 1)],
        chaos_pick(c, SIG_TARGETS + 1));

    if (chaos_pick(c, 3) == 0) {
        req.mode = cpu_to_le16(MODE(ALL));
        req.target = 0;
    }
    req.dst_node = cpu_to_le16(node);
    req.signal = cpu_to_le16(chaos_pick(c, 3));
    return req;
}

static void chaos_restart(Chaos *c)
{
    sig_restart(&c->t);
    memset(c->fresh, true, sizeof(c->fresh));
    c->remote = 0;
}

/* Of all steps it takes longest, and undoes what the others did. */
static void chaos_reset(Chaos *c)
{
    if (chaos_pick(c, 4) == 0) {
        chaos_restart(c);
    }
}

static void chaos_local(Chaos *c)
{
    struct virtio_signal_req req = chaos_request(c, PEER_LOCAL_NODE);

    g_assert_cmpuint(sig_send(&c->t, &req), <, VIRTIO_SIGNAL_S_COUNT);
    c->answers++;
}

/* To the peer, or to all: not waited for */
static void chaos_remote(Chaos *c)
{
    struct virtio_signal_req req = chaos_request(
        c, chaos_pick(c, 3) ? PEER_NODE : VIRTIO_SIGNAL_NODE_ALL);

    if (c->remote == REMOTE_MAX) {
        chaos_restart(c);
    }
    sig_add(&c->t, c->t.vq[REMOTEQ], &req, sizeof(req),
            sizeof(struct virtio_signal_reply), &c->in[c->remote++]);
}

static void chaos_collect(Chaos *c)
{
    uint32_t token, len;

    while (qvirtqueue_get_buf(c->t.qts, c->t.vq[REMOTEQ], &token, &len)) {
        g_assert_cmpuint(len, ==, sizeof(struct virtio_signal_reply));
    }
    /* No answer is there in part, or makes no sense. */
    for (unsigned i = 0; i < c->remote; i++) {
        uint16_t status = qtest_readw(c->t.qts, c->in[i]);

        if (status != 0xa5a5) {
            g_assert_cmpuint(status, <, VIRTIO_SIGNAL_S_COUNT);
        }
    }
}

static void chaos_give(Chaos *c)
{
    unsigned target = chaos_pick(c, SIG_TARGETS);

    if (c->t.num_given[target] == GIVEN_MAX) {
        chaos_restart(c);
    }
    sig_give(&c->t, target, 1);
}

static void chaos_events(Chaos *c)
{
    struct virtio_signal_event ev;

    for (unsigned i = 0; i < SIG_TARGETS; i++) {
        while (sig_poll(&c->t, i, &ev)) {
            g_assert_cmpuint(ev.class_id, <, VIRTIO_SIGNAL_CLASS_COUNT);
            g_assert_cmpuint(ev.count, >, 0);
            g_assert_true(c->fresh[i] || ev.seq > c->seq[i]);
            c->fresh[i] = false;
            c->seq[i] = ev.seq;
            c->events++;
        }
    }
}

/* Reset a queue and set it up again; the device goes on. */
static void chaos_queue_reset(Chaos *c)
{
    SigTest *t = &c->t;
    unsigned n = 1 + chaos_pick(c, t->num_queues - 1);
    uint64_t reset = t->pci->common_cfg_offset + VIRTIO_PCI_COMMON_Q_RESET;

    chaos_events(c);
    t->dev->bus->queue_select(t->dev, n);
    qpci_io_writew(t->pci->pdev, t->pci->bar, reset, 1);
    g_assert_cmpuint(qpci_io_readw(t->pci->pdev, t->pci->bar, reset), ==, 0);
    qvirtqueue_cleanup(t->dev->bus, t->vq[n], t->alloc);
    t->vq[n] = qvirtqueue_setup(t->dev, t->alloc, n);
    if (n == REMOTEQ) {
        c->remote = 0;
    } else if (n > REMOTEQ) {
        t->num_given[n - REMOTEQ - 1] = 0;
        c->fresh[n - REMOTEQ - 1] = true;
    }
}

static void chaos_stand(Chaos *c)
{
    qtest_qmp_assert_success(c->t.qts, "{ 'execute': 'stop' }");
    if (chaos_pick(c, 2)) {
        chaos_remote(c);
        chaos_give(c);
    }
    qtest_qmp_assert_success(c->t.qts, "{ 'execute': 'cont' }");
}

static void chaos_connect(Chaos *c)
{
    if (c->peer.fd < 0) {
        c->peer = sig_peer_start(VIRTIO_SIGNAL_PEER_UP + chaos_pick(c, 2));
    } else if (chaos_pick(c, 4) == 0) {
        sig_peer_close(&c->peer);
        sig_peer_expect_state(&c->t, "down");
    }
}

/* Answer what there is, mostly; and a request of the peer's own */
static void chaos_peer(Chaos *c)
{
    struct virtio_signal_req req = chaos_request(c, PEER_LOCAL_NODE);
    SigFrame f;
    char byte;

    if (c->peer.fd < 0) {
        return;
    }
    while (recv(c->peer.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1) {
        struct {
            struct virtio_signal_link_call call;
            struct virtio_signal_reply reply;
        } body = { };

        g_assert_true(sig_peer_read(&c->peer, &f));
        if (f.type == VIRTIO_SIGNAL_LINK_SIGNAL &&
            g_rand_int_range(c->mood, 0, 4)) {
            memcpy(&body.call, f.body, sizeof(body.call));
            body.reply.delivered = cpu_to_le32(1);
            sig_peer_send(&c->peer, VIRTIO_SIGNAL_LINK_STATUS, &body,
                          sizeof(body));
        }
    }
    /* Some requests are left without an answer: credits run out. */
    sig_peer_send(&c->peer, VIRTIO_SIGNAL_LINK_PING, &(uint64_t){ 1 }, 8);
    do {
        g_assert_true(sig_peer_read(&c->peer, &f));
        g_assert_cmpuint(f.type, !=, VIRTIO_SIGNAL_LINK_BYE);
    } while (f.type != VIRTIO_SIGNAL_LINK_PONG);
    g_assert_cmpuint(sig_peer_signal(&c->peer, 5, &req), <,
                     VIRTIO_SIGNAL_S_COUNT);
}

static void test_chaos(void *obj, void *data, QGuestAllocator *alloc)
{
    static void (*const steps[])(Chaos *) = {
        chaos_local, chaos_local, chaos_remote, chaos_remote, chaos_remote,
        chaos_give, chaos_give, chaos_events, chaos_collect, chaos_peer,
        chaos_connect, chaos_queue_reset, chaos_stand, chaos_reset,
    };
    struct virtio_signal_req irq = sig_req(CLASS(IRQ), 0);
    Chaos c = {
        .rand = g_rand_new_with_seed(2), .mood = g_rand_new_with_seed(3),
        .peer.fd = -1,
    };

    sig_start(&c.t, obj, alloc, 0);
    memset(c.fresh, true, sizeof(c.fresh));
    for (unsigned i = 0; i < STEPS; i++) {
        steps[chaos_pick(&c, ARRAY_SIZE(steps))](&c);
    }
    g_test_message("%u answers, %u events", c.answers, c.events);
    g_assert_cmpuint(c.events, >, STEPS / 20);
    if (c.peer.fd >= 0) {
        sig_peer_close(&c.peer);
        sig_peer_expect_state(&c.t, "down");
    }
    chaos_restart(&c);
    sig_give(&c.t, 0, 1);
    g_assert_cmpuint(sig_send(&c.t, &irq), ==, STATUS(OK));
    g_assert_cmpuint(sig_event(&c.t, 0).seq, ==, 0);
    g_rand_free(c.rand);
    g_rand_free(c.mood);
    sig_end(&c.t);
}

static void register_virtio_signal_chaos_tests(void)
{
    QOSGraphTestOptions opts = {
        .edge.extra_device_opts = "signal-bus=bus0,node=0,send-queues=2,"
                                  "backlog=4",
        .before = sig_peer_before,
    };

    qos_add_test("fault/any-order", "virtio-signal-bar", test_chaos, &opts);
}

libqos_init(register_virtio_signal_chaos_tests);
