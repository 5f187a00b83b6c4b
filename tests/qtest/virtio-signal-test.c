/*
 * virtio-signal: what the device promises, rule by rule
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The rules are those of docs/specs/virtio-signal.rst, which names the tests.
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "qemu/bswap.h"
#include "qemu/bitops.h"
#include "qemu/module.h"
#include "standard-headers/linux/virtio_pci.h"
#include "virtio-signal-util.h"

#define BACKLOG 8   /* of the devices in these tests */

static uint64_t config_field(SigTest *t, unsigned offset, unsigned size)
{
    return size == 2 ? qvirtio_config_readw(t->dev, offset)
                     : qvirtio_config_readl(t->dev, offset);
}

#define CONFIG(t, field) \
    config_field(t, offsetof(struct virtio_signal_config, field), \
                 sizeof(((struct virtio_signal_config *)0)->field))

static void test_config(void *obj, void *data, QGuestAllocator *alloc)
{
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    g_assert_cmpuint(CONFIG(&t, node_id), ==, 5);
    g_assert_cmpuint(CONFIG(&t, max_nodes), ==, 1);
    g_assert_cmpuint(CONFIG(&t, num_targets), ==, SIG_TARGETS);
    g_assert_cmpuint(CONFIG(&t, num_sendqs), ==, 2);
    g_assert_cmpuint(CONFIG(&t, backlog), ==, BACKLOG);
    g_assert_cmpuint(CONFIG(&t, max_mask_words), ==,
                     VIRTIO_SIGNAL_MASK_WORDS_MAX);
    g_assert_cmphex(CONFIG(&t, send_classes), ==, BIT(CLASS(IRQ)));
    g_assert_cmphex(CONFIG(&t, recv_classes), ==,
                    BIT(CLASS(IRQ)) | BIT(CLASS(DOORBELL)) |
                    BIT(CLASS(PEER)) | BIT(CLASS(OVERFLOW)) |
                    (sig_has_nmi(&t) ? BIT(CLASS(NMI)) : 0));
    g_assert_cmpuint(CONFIG(&t, poll_ns_max), ==, 0);
    g_assert_cmpuint(CONFIG(&t, reserved32), ==, 0);
    g_assert_true(t.dev->features & BIT_ULL(VIRTIO_SIGNAL_F_MQ_SEND));
    g_assert_true(t.dev->features & BIT_ULL(VIRTIO_SIGNAL_F_MASK));
    /* Without a bus there is nobody else. */
    g_assert_false(t.dev->features & (BIT_ULL(VIRTIO_SIGNAL_F_REMOTE) |
                                      BIT_ULL(VIRTIO_SIGNAL_F_LIFECYCLE)));
    sig_end(&t);
}

static void test_unicast(void *obj, void *data, QGuestAllocator *alloc)
{
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    for (unsigned target = 0; target < SIG_TARGETS; target++) {
        struct virtio_signal_req irq = sig_req(CLASS(IRQ), target);
        struct virtio_signal_req bell = sig_req(CLASS(DOORBELL), target);
        struct virtio_signal_event ev;

        sig_give(&t, target, 2);
        irq.signal = cpu_to_le16(7);
        irq.src_target = cpu_to_le16(3);
        g_assert_cmpuint(sig_send(&t, &irq), ==, STATUS(OK));
        ev = sig_event(&t, target);
        g_assert_cmpuint(ev.class_id, ==, CLASS(IRQ));
        g_assert_cmpuint(ev.signal, ==, 7);
        g_assert_cmpuint(ev.src_node, ==, 0);
        g_assert_cmpuint(ev.src_target, ==, 3);
        g_assert_cmpuint(ev.count, ==, 1);
        g_assert_cmpuint(ev.seq, ==, 0);

        bell.payload[0] = cpu_to_le64(0x1122334455667788);
        bell.payload[1] = cpu_to_le64(target);
        g_assert_cmpuint(sig_send(&t, &bell), ==, STATUS(OK));
        ev = sig_event(&t, target);
        g_assert_cmpuint(ev.class_id, ==, CLASS(DOORBELL));
        g_assert_cmphex(ev.payload[0], ==, 0x1122334455667788);
        g_assert_cmphex(ev.payload[1], ==, target);
        g_assert_cmpuint(ev.seq, ==, 1);
        /* and to no other target */
        for (unsigned i = 0; i < SIG_TARGETS; i++) {
            g_assert_false(sig_poll(&t, i, &ev));
        }
    }
    sig_end(&t);
}

/* Send with a mask of @words words; the result in *reply. */
static struct virtio_signal_reply send_mask(SigTest *t, uint16_t base,
                                            unsigned words,
                                            const uint64_t *mask)
{
    struct {
        struct virtio_signal_req req;
        uint64_t mask[VIRTIO_SIGNAL_MASK_WORDS_MAX + 1];
    } msg = { .req = sig_req(CLASS(IRQ), base) };

    msg.req.mode = cpu_to_le16(MODE(MASK));
    msg.req.mask_words = cpu_to_le16(words);
    for (unsigned i = 0; i < words; i++) {
        msg.mask[i] = cpu_to_le64(mask[i]);
    }
    return sig_send_raw(t, &msg, sizeof(msg.req) + words * 8);
}

static void test_mask(void *obj, void *data, QGuestAllocator *alloc)
{
    uint64_t mask[VIRTIO_SIGNAL_MASK_WORDS_MAX + 1] = { 0b1010 };
    struct virtio_signal_reply reply;
    struct virtio_signal_event ev;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    for (unsigned i = 0; i < SIG_TARGETS; i++) {
        sig_give(&t, i, 4);
    }
    reply = send_mask(&t, 0, 1, mask);
    g_assert_cmpuint(reply.status, ==, STATUS(OK));
    g_assert_cmpuint(reply.delivered, ==, 2);
    for (unsigned i = 0; i < SIG_TARGETS; i++) {
        g_assert_cmpint(sig_poll(&t, i, &ev), ==, i == 1 || i == 3);
    }

    /* The base moves the bits; those past the last target are refused. */
    reply = send_mask(&t, 2, 1, mask);
    g_assert_cmpuint(reply.status, ==, STATUS(PARTIAL));
    g_assert_cmpuint(reply.delivered, ==, 1);
    g_assert_cmpuint(reply.refused, ==, 1);
    g_assert_true(sig_poll(&t, 3, &ev));
    reply = send_mask(&t, 0xffff, 1, mask);
    g_assert_cmpuint(reply.status, ==, STATUS(NO_TARGET));
    g_assert_cmpuint(reply.refused, ==, 2);

    /* The last bit of the longest mask, and one word more */
    mask[0] = 1;
    mask[VIRTIO_SIGNAL_MASK_WORDS_MAX - 1] = 1ull << 63;
    reply = send_mask(&t, 0, VIRTIO_SIGNAL_MASK_WORDS_MAX, mask);
    g_assert_cmpuint(reply.status, ==, STATUS(PARTIAL));
    g_assert_cmpuint(reply.delivered, ==, 1);
    reply = send_mask(&t, 0, VIRTIO_SIGNAL_MASK_WORDS_MAX + 1, mask);
    g_assert_cmpuint(reply.status, ==, STATUS(INVAL));
    mask[0] = 0;
    g_assert_cmpuint(send_mask(&t, 0, 1, mask).status, ==, STATUS(INVAL));
    g_assert_cmpuint(send_mask(&t, 0, 0, mask).status, ==, STATUS(INVAL));
    sig_end(&t);
}

static void test_all(void *obj, void *data, QGuestAllocator *alloc)
{
    struct virtio_signal_req req = sig_req(CLASS(IRQ), 0);
    struct virtio_signal_reply reply;
    struct virtio_signal_event ev;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    for (unsigned i = 0; i < SIG_TARGETS; i++) {
        sig_give(&t, i, 4);
    }
    req.mode = cpu_to_le16(MODE(ALL));
    reply = sig_send_raw(&t, &req, sizeof(req));
    g_assert_cmpuint(reply.status, ==, STATUS(OK));
    g_assert_cmpuint(reply.delivered, ==, SIG_TARGETS);
    for (unsigned i = 0; i < SIG_TARGETS; i++) {
        g_assert_true(sig_poll(&t, i, &ev));
    }

    req.mode = cpu_to_le16(MODE(ALL_BUT_SELF));
    g_assert_cmpuint(sig_send(&t, &req), ==, STATUS(INVAL));
    req.src_target = cpu_to_le16(2);
    reply = sig_send_raw(&t, &req, sizeof(req));
    g_assert_cmpuint(reply.delivered, ==, SIG_TARGETS - 1);
    for (unsigned i = 0; i < SIG_TARGETS; i++) {
        g_assert_cmpint(sig_poll(&t, i, &ev), ==, i != 2);
    }
    sig_end(&t);
}

/* A target of the node's choice: the lowest one that takes the class */
static void test_node_target(void *obj, void *data, QGuestAllocator *alloc)
{
    struct virtio_signal_req req = sig_req(CLASS(DOORBELL), NODE_TARGET);
    struct virtio_signal_ctrl_reply reply;
    struct virtio_signal_event ev;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    sig_give(&t, 0, 1);
    sig_give(&t, 1, 1);
    g_assert_cmpuint(sig_send(&t, &req), ==, STATUS(OK));
    g_assert_true(sig_poll(&t, 0, &ev));
    sig_ctrl(&t, VIRTIO_SIGNAL_CTRL_ACCEPT, 0, BIT(CLASS(IRQ)), &reply,
             sizeof(reply));
    g_assert_cmpuint(sig_send(&t, &req), ==, STATUS(OK));
    g_assert_true(sig_poll(&t, 1, &ev));
    sig_end(&t);
}

static void test_statuses(void *obj, void *data, QGuestAllocator *alloc)
{
    const struct {
        uint16_t class_id, dst_node, mode, target, flags, src_target, status;
        uint64_t payload;
    } cases[] = {
        { CLASS(IRQ), 0, 0, 4, 0, 0, STATUS(NO_TARGET) },
        { CLASS(IRQ), 1, 0, 0, 0, 0, STATUS(NO_PEER) },
        { CLASS(IRQ), VIRTIO_SIGNAL_NODE_MGMT, 0, 0, 0, 0, STATUS(NO_PEER) },
        { CLASS(IRQ), 0, 4, 0, 0, 0, STATUS(INVAL) },
        { CLASS(IRQ), 0, 0, 0, 1, 0, STATUS(INVAL) },
        { CLASS(IRQ), 0, 0, 0, 0, 0, STATUS(INVAL), 1 },
        { CLASS(IRQ), 0, 0, 0, 0, 4, STATUS(INVAL) },
        { CLASS(IRQ), 0, MODE(ALL), 1, 0, 0, STATUS(INVAL) },
        { CLASS(DOORBELL), 0, 0, 0, 2, 0, STATUS(INVAL) },
        { CLASS(NMI), 0, 0, 0, 0, 0, STATUS(PERM) },
        { CLASS(CHANNEL), 0, 0, 0, 0, 0, STATUS(UNSUPP) },
        { CLASS(PEER), 0, 0, 0, 0, 0, STATUS(INVAL) },
        { CLASS(OVERFLOW), 0, 0, 0, 0, 0, STATUS(INVAL) },
        { CLASS(BOOT), 0, 0, NODE_TARGET, 0, 0, STATUS(PERM) },
        { CLASS(KILL), 0, 0, NODE_TARGET, 0, 0, STATUS(PERM) },
        { CLASS(BOOT), 0, 0, 0, 0, 0, STATUS(INVAL) },
        { CLASS(RESET), 0, MODE(ALL), 0, 0, 0, STATUS(INVAL) },
        { VIRTIO_SIGNAL_CLASS_COUNT, 0, 0, 0, 0, 0, STATUS(INVAL) },
        { 0xffff, 0, 0, 0, 0, 0, STATUS(INVAL) },
    };
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct virtio_signal_req req = {
            .class_id = cpu_to_le16(cases[i].class_id),
            .dst_node = cpu_to_le16(cases[i].dst_node),
            .mode = cpu_to_le16(cases[i].mode),
            .target = cpu_to_le16(cases[i].target),
            .flags = cpu_to_le16(cases[i].flags),
            .src_target = cpu_to_le16(cases[i].src_target),
            .payload[0] = cpu_to_le64(cases[i].payload),
        };
        struct virtio_signal_reply reply = sig_send_raw(&t, &req, sizeof(req));

        g_test_message("case %u", i);
        g_assert_cmpuint(reply.status, ==, cases[i].status);
        g_assert_cmpuint(reply.delivered, ==, 0);
        g_assert_cmpuint(reply.refused, ==, 1);
    }
    sig_end(&t);
}

/* Without buffers IRQ merges, DOORBELL waits in order, then BUSY. */
static void test_backlog(void *obj, void *data, QGuestAllocator *alloc)
{
    struct virtio_signal_req irq = sig_req(CLASS(IRQ), 1);
    struct virtio_signal_req bell = sig_req(CLASS(DOORBELL), 1);
    struct virtio_signal_reply reply;
    struct virtio_signal_event ev;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    for (unsigned i = 0; i < 5; i++) {
        reply = sig_send_raw(&t, &irq, sizeof(irq));
        g_assert_cmpuint(reply.status, ==, STATUS(OK));
        g_assert_cmpuint(reply.delivered, ==, i == 0);
        g_assert_cmpuint(reply.coalesced, ==, i != 0);
    }
    for (unsigned i = 1; i < BACKLOG; i++) {
        bell.payload[0] = cpu_to_le64(i);
        g_assert_cmpuint(sig_send(&t, &bell), ==, STATUS(OK));
    }
    g_assert_cmpuint(sig_send(&t, &bell), ==, STATUS(BUSY));
    /* Another target has room of its own; a merge needs none. */
    bell.target = cpu_to_le16(2);
    g_assert_cmpuint(sig_send(&t, &bell), ==, STATUS(OK));
    g_assert_cmpuint(sig_send(&t, &irq), ==, STATUS(OK));
    irq.signal = cpu_to_le16(1);
    g_assert_cmpuint(sig_send(&t, &irq), ==, STATUS(BUSY));

    sig_give(&t, 1, BACKLOG + 1);
    ev = sig_event(&t, 1);
    g_assert_cmpuint(ev.class_id, ==, CLASS(IRQ));
    g_assert_cmpuint(ev.count, ==, 6);
    for (unsigned i = 1; i < BACKLOG; i++) {
        ev = sig_event(&t, 1);
        g_assert_cmpuint(ev.class_id, ==, CLASS(DOORBELL));
        g_assert_cmpuint(ev.payload[0], ==, i);
        g_assert_cmpuint(ev.seq, ==, i);
    }
    /* What was refused does not come later. */
    g_assert_cmpuint(sig_send(&t, &irq), ==, STATUS(OK));
    ev = sig_event(&t, 1);
    g_assert_cmpuint(ev.signal, ==, 1);
    g_assert_cmpuint(ev.count, ==, 1);
    sig_end(&t);
}

/* With COALESCE a DOORBELL merges too, and the last payload stays. */
static void test_doorbell_coalesce(void *obj, void *data,
                                   QGuestAllocator *alloc)
{
    struct virtio_signal_req bell = sig_req(CLASS(DOORBELL), 0);
    struct virtio_signal_event ev;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    bell.flags = cpu_to_le16(VIRTIO_SIGNAL_FLAG_COALESCE);
    for (unsigned i = 0; i < 3 * BACKLOG; i++) {
        bell.payload[0] = cpu_to_le64(i);
        g_assert_cmpuint(sig_send(&t, &bell), ==, STATUS(OK));
    }
    sig_give(&t, 0, 1);
    ev = sig_event(&t, 0);
    g_assert_cmpuint(ev.count, ==, 3 * BACKLOG);
    g_assert_cmpuint(ev.payload[0], ==, 3 * BACKLOG - 1);
    sig_end(&t);
}

static void test_accept(void *obj, void *data, QGuestAllocator *alloc)
{
    struct virtio_signal_req irq = sig_req(CLASS(IRQ), 1);
    struct virtio_signal_ctrl_reply reply;
    struct virtio_signal_event ev;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    sig_give(&t, 1, 1);
    g_assert_cmpuint(sig_ctrl(&t, VIRTIO_SIGNAL_CTRL_ACCEPT, 1,
                              BIT(CLASS(DOORBELL)), &reply, sizeof(reply)),
                     ==, sizeof(reply));
    g_assert_cmpuint(le16_to_cpu(reply.status), ==, STATUS(OK));
    g_assert_cmpuint(sig_send(&t, &irq), ==, STATUS(PERM));
    sig_ctrl(&t, VIRTIO_SIGNAL_CTRL_ACCEPT, 1, BIT(CLASS(IRQ)), &reply,
             sizeof(reply));
    g_assert_cmpuint(sig_send(&t, &irq), ==, STATUS(OK));
    g_assert_true(sig_poll(&t, 1, &ev));

    sig_ctrl(&t, VIRTIO_SIGNAL_CTRL_ACCEPT, SIG_TARGETS, 0, &reply,
             sizeof(reply));
    g_assert_cmpuint(le16_to_cpu(reply.status), ==, STATUS(NO_TARGET));
    sig_ctrl(&t, VIRTIO_SIGNAL_CTRL_ACCEPT, 0, BIT(CLASS(KILL)), &reply,
             sizeof(reply));
    g_assert_cmpuint(le16_to_cpu(reply.status), ==, STATUS(INVAL));
    sig_ctrl(&t, 99, 0, 0, &reply, sizeof(reply));
    g_assert_cmpuint(le16_to_cpu(reply.status), ==, STATUS(UNSUPP));
    sig_ctrl(&t, VIRTIO_SIGNAL_CTRL_PEERS, 0, 1, &reply, sizeof(reply));
    g_assert_cmpuint(le16_to_cpu(reply.status), ==, STATUS(INVAL));
    sig_ctrl(&t, VIRTIO_SIGNAL_CTRL_PEERS, 0, 0, &reply, sizeof(reply));
    g_assert_cmpuint(le16_to_cpu(reply.status), ==, STATUS(OK));
    g_assert_cmpuint(reply.count, ==, 0);
    g_assert_cmpuint(reply.more, ==, 0);
    sig_end(&t);
}

/* What is not negotiated is not there. */
static void test_not_negotiated(void *obj, void *data, QGuestAllocator *alloc)
{
    uint64_t mask = 1;
    SigTest t;

    sig_start(&t, obj, alloc, BIT_ULL(VIRTIO_SIGNAL_F_MASK));
    sig_give(&t, 0, 1);
    g_assert_cmpuint(send_mask(&t, 0, 1, &mask).status, ==, STATUS(INVAL));
    sig_end(&t);
}

/* Reset forgets events, sequence numbers and what targets accept. */
static void test_reset(void *obj, void *data, QGuestAllocator *alloc)
{
    struct virtio_signal_req bell = sig_req(CLASS(DOORBELL), 0);
    struct virtio_signal_ctrl_reply reply;
    struct virtio_signal_event ev;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    for (unsigned round = 0; round < 3; round++) {
        sig_give(&t, 0, 1);
        g_assert_cmpuint(sig_send(&t, &bell), ==, STATUS(OK));
        ev = sig_event(&t, 0);
        g_assert_cmpuint(ev.seq, ==, 0);
        g_assert_cmpuint(ev.src_target, ==, NODE_TARGET);
        /* These two wait for a buffer, and are forgotten. */
        bell.payload[0] = cpu_to_le64(0xdead);
        g_assert_cmpuint(sig_send(&t, &bell), ==, STATUS(OK));
        g_assert_cmpuint(sig_send(&t, &bell), ==, STATUS(OK));
        sig_ctrl(&t, VIRTIO_SIGNAL_CTRL_ACCEPT, 0, 0, &reply, sizeof(reply));
        bell.payload[0] = 0;
        sig_restart(&t);
    }
    sig_end(&t);
}

/* The reset of an event queue takes its target away until it is enabled. */
static void test_queue_reset(void *obj, void *data, QGuestAllocator *alloc)
{
    struct virtio_signal_req bell = sig_req(CLASS(DOORBELL), 1);
    struct virtio_signal_event ev;
    uint64_t reset, n;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    sig_give(&t, 1, 1);
    g_assert_cmpuint(sig_send(&t, &bell), ==, STATUS(OK));
    g_assert_cmpuint(sig_send(&t, &bell), ==, STATUS(OK));
    g_assert_true(sig_poll(&t, 1, &ev));

    n = VIRTIO_SIGNAL_SENDQ0 + t.num_sendqs + 1;
    reset = t.pci->common_cfg_offset + VIRTIO_PCI_COMMON_Q_RESET;
    t.dev->bus->queue_select(t.dev, n);
    qpci_io_writew(t.pci->pdev, t.pci->bar, reset, 1);
    g_assert_cmpuint(qpci_io_readw(t.pci->pdev, t.pci->bar, reset), ==, 0);
    g_assert_cmpuint(sig_send(&t, &bell), ==, STATUS(NO_TARGET));

    qvirtqueue_cleanup(t.dev->bus, t.vq[n], alloc);
    t.vq[n] = qvirtqueue_setup(t.dev, alloc, n);
    t.num_given[1] = 0;
    sig_give(&t, 1, 2);
    bell.payload[0] = cpu_to_le64(1);
    g_assert_cmpuint(sig_send(&t, &bell), ==, STATUS(OK));
    ev = sig_event(&t, 1);
    g_assert_cmpuint(ev.payload[0], ==, 1);
    g_assert_cmpuint(ev.seq, ==, 0);
    sig_end(&t);
}

/* While the VM stands nothing is written; then it goes on where it was. */
static void test_stopped(void *obj, void *data, QGuestAllocator *alloc)
{
    struct virtio_signal_req bell = sig_req(CLASS(DOORBELL), 0);
    QVirtQueue *vq;
    uint32_t token;
    uint64_t in;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    vq = t.vq[VIRTIO_SIGNAL_SENDQ0];
    sig_give(&t, 0, 1);
    /* This one waits for a buffer, which comes while the VM stands. */
    bell.target = cpu_to_le16(1);
    g_assert_cmpuint(sig_send(&t, &bell), ==, STATUS(OK));
    bell.target = 0;
    qtest_qmp_assert_success(t.qts, "{ 'execute': 'stop' }");
    sig_give(&t, 1, 1);
    token = sig_add(&t, vq, &bell, sizeof(bell),
                    sizeof(struct virtio_signal_reply), &in);
    qtest_qmp_assert_success(t.qts, "{ 'execute': 'query-status' }");
    g_assert_cmphex(qtest_readb(t.qts, in), ==, 0xa5);
    for (unsigned i = 0; i < 2; i++) {
        g_assert_cmphex(qtest_readb(t.qts, t.given[i][0].addr), ==, 0xa5);
    }
    qtest_qmp_assert_success(t.qts, "{ 'execute': 'cont' }");
    sig_event(&t, 1);
    sig_wait(&t, vq, token);
    g_assert_cmpuint(qtest_readw(t.qts, in), ==, STATUS(OK));
    sig_event(&t, 0);
    sig_end(&t);
}

/* A full backlog, sequence numbers and what targets accept go along. */
static void test_migration(void *obj, void *data, QGuestAllocator *alloc)
{
    g_autofree char *dir = g_dir_make_tmp("vadis-signal-XXXXXX", NULL);
    g_autofree char *uri = g_strdup_printf("file:%s/state", dir);
    g_autofree char *file = g_strdup_printf("%s/state", dir);
    struct virtio_signal_req bell = sig_req(CLASS(DOORBELL), 1);
    struct virtio_signal_ctrl_reply reply;
    struct virtio_signal_event ev;
    QTestState *from, *to;
    QDict *info;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    from = t.qts;
    sig_give(&t, 1, 3);
    for (unsigned i = 0; i < 3 + BACKLOG; i++) {
        bell.payload[0] = cpu_to_le64(i);
        g_assert_cmpuint(sig_send(&t, &bell), ==, STATUS(OK));
    }
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpuint(sig_event(&t, 1).seq, ==, i);
    }
    sig_ctrl(&t, VIRTIO_SIGNAL_CTRL_ACCEPT, 2, BIT(CLASS(IRQ)), &reply,
             sizeof(reply));
    sig_ctrl(&t, VIRTIO_SIGNAL_CTRL_POLL, 3, 9, &reply, sizeof(reply));
    g_assert_cmpuint(le16_to_cpu(reply.status), ==, STATUS(OK));
    qtest_qmp_assert_success(from, "{ 'execute': 'migrate', 'arguments':"
                             " { 'uri': %s } }", uri);
    sig_wait_migrated(from);

    to = qtest_initf("%s -incoming %s", qos_get_current_command_line(), uri);
    sig_wait_migrated(to);
    qtest_qmp_assert_success(to, "{ 'execute': 'cont' }");
    sig_use(&t, to);

    info = sig_query(to);
    g_assert_cmpint(qdict_get_int(qdict_get_qdict(info, "polling"), "targets"),
                    ==, 1);
    qobject_unref(info);
    g_assert_cmpuint(sig_send(&t, &bell), ==, STATUS(BUSY));
    sig_give(&t, 1, BACKLOG);
    for (unsigned i = 3; i < 3 + BACKLOG; i++) {
        ev = sig_event(&t, 1);
        g_assert_cmpuint(ev.seq, ==, i);
        g_assert_cmpuint(ev.payload[0], ==, i);
    }
    bell.target = cpu_to_le16(2);
    g_assert_cmpuint(sig_send(&t, &bell), ==, STATUS(PERM));
    sig_end(&t);

    sig_use(&t, from);
    qtest_quit(to);
    qos_invalidate_command_line();
    unlink(file);
    rmdir(dir);
}

/* A token is a request; they come back with the time, up to the burst. */
static void test_rate(void *obj, void *data, QGuestAllocator *alloc)
{
    const struct {
        int64_t wait_ms;
        unsigned ok;
    } steps[] = { { 1, 3 }, { 99, 0 }, { 1, 1 }, { 200, 2 }, { 100000, 3 } };
    struct virtio_signal_req irq = sig_req(CLASS(IRQ), 0);
    QDict *info;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(steps); i++) {
        qtest_clock_step(t.qts, steps[i].wait_ms * 1000000);
        for (unsigned n = 0; n < steps[i].ok; n++) {
            g_assert_cmpuint(sig_send(&t, &irq), ==, STATUS(OK));
        }
        g_assert_cmpuint(sig_send(&t, &irq), ==, STATUS(BUSY));
    }
    /* What is not a request for anybody takes none. */
    qtest_clock_step(t.qts, 100000000);
    irq.flags = cpu_to_le16(1);
    g_assert_cmpuint(sig_send(&t, &irq), ==, STATUS(INVAL));
    irq.flags = 0;
    g_assert_cmpuint(sig_send(&t, &irq), ==, STATUS(OK));
    info = sig_query(t.qts);
    g_assert_cmpint(qdict_get_int(info, "limited"), ==, ARRAY_SIZE(steps));
    qobject_unref(info);
    sig_end(&t);
}

static void test_query(void *obj, void *data, QGuestAllocator *alloc)
{
    struct virtio_signal_req irq = sig_req(CLASS(IRQ), 0);
    g_autofree char *hmp = NULL;
    QDict *info;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    sig_send(&t, &irq);
    sig_send(&t, &irq);
    info = sig_query(t.qts);
    g_assert_cmpint(qdict_get_int(info, "targets"), ==, SIG_TARGETS);
    g_assert_cmpint(qdict_get_int(info, "targets-started"), ==, SIG_TARGETS);
    g_assert_cmpint(qdict_get_int(info, "backlog"), ==, 1);
    qobject_unref(info);
    hmp = qtest_hmp(t.qts, "info virtio-signal");
    g_assert_nonnull(strstr(hmp, "irq: sent 2, refused 0, received 1, "
                            "coalesced 1, dropped 0"));
    sig_end(&t);
}

static void add_test(const char *name, const char *options,
                     QOSTestFunc function)
{
    QOSGraphTestOptions opts = { .edge.extra_device_opts = options };

    qos_add_test(name, "virtio-signal-rules", function, &opts);
}

static void register_virtio_signal_tests(void)
{
    add_test("config", "node=5,send-queues=2,backlog=8,send-doorbell=off",
             test_config);
    add_test("unicast", NULL, test_unicast);
    add_test("mask", NULL, test_mask);
    add_test("all", NULL, test_all);
    add_test("node-target", NULL, test_node_target);
    add_test("statuses", NULL, test_statuses);
    add_test("backlog", "backlog=8", test_backlog);
    add_test("doorbell-coalesce", "backlog=8", test_doorbell_coalesce);
    add_test("accept", NULL, test_accept);
    add_test("not-negotiated", NULL, test_not_negotiated);
    add_test("reset", NULL, test_reset);
    qos_add_test("queue-reset", "virtio-signal-bar", test_queue_reset, NULL);
    add_test("stopped", NULL, test_stopped);
    add_test("migration", "backlog=8,poll=on,poll-ns-max=9", test_migration);
    add_test("rate", "rate=10,burst=3", test_rate);
    add_test("query", NULL, test_query);
}

libqos_init(register_virtio_signal_tests);
