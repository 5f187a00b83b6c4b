/*
 * virtio-signal: what stays and what goes when something comes or goes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "qemu/bitops.h"
#include "qemu/bswap.h"
#include "qemu/module.h"
#include "libqos/libqos.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_pci.h"
#include "virtio-signal-peer.h"

#define BACKLOG 8   /* of the devices in these tests */
#define SLOT 4      /* of libqos's device */

static char *snapshot_file;     /* NULL without the tool that makes one */

static void snapshot_destroy(void *opaque)
{
    g_autofree char *dir = g_path_get_dirname(snapshot_file);

    unlink(snapshot_file);
    rmdir(dir);
    g_clear_pointer(&snapshot_file, g_free);
}

static void *savevm_before(GString *cmd_line, void *arg)
{
    g_autofree char *dir = NULL;

    if (getenv("QTEST_QEMU_IMG")) {
        dir = g_dir_make_tmp("vadis-signal-XXXXXX", NULL);
        snapshot_file = g_strdup_printf("%s/disk", dir);
        mkqcow2(snapshot_file, 1);
        g_string_append_printf(cmd_line, " -drive if=none,format=qcow2,"
                               "file=%s ", snapshot_file);
        qos_invalidate_command_line();
        g_test_queue_destroy(snapshot_destroy, NULL);
    }
    return arg;
}

static void hmp_quiet(QTestState *qts, const char *command)
{
    g_autofree char *said = qtest_hmp(qts, "%s", command);

    g_assert_cmpstr(said, ==, "");
}

/* A full backlog comes back, whatever was done to the device meanwhile. */
static void test_savevm(void *obj, void *data, QGuestAllocator *alloc)
{
    struct virtio_signal_req bell = sig_req(CLASS(DOORBELL), 1);
    struct virtio_signal_req irq = sig_req(CLASS(IRQ), 2);
    struct virtio_signal_event ev;
    SigTest t;

    if (!snapshot_file) {
        g_test_skip("QTEST_QEMU_IMG names no qemu-img");
        return;
    }
    sig_start(&t, obj, alloc, 0);
    sig_give(&t, 1, 3);
    for (unsigned i = 0; i < 3 + BACKLOG; i++) {
        bell.payload[0] = cpu_to_le64(i);
        g_assert_cmpuint(sig_send(&t, &bell), ==, STATUS(OK));
    }
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpuint(sig_event(&t, 1).seq, ==, i);
    }
    /* Another target's: merged, with its count */
    for (unsigned i = 0; i < 5; i++) {
        g_assert_cmpuint(sig_send(&t, &irq), ==, STATUS(OK));
    }
    hmp_quiet(t.qts, "savevm full");
    qvirtio_reset(t.dev);
    for (unsigned i = 0; i < 2; i++) {
        hmp_quiet(t.qts, "loadvm full");
        g_assert_cmpuint(t.dev->bus->get_status(t.dev) &
                         VIRTIO_CONFIG_S_DRIVER_OK, !=, 0);
    }

    g_assert_cmpuint(sig_send(&t, &bell), ==, STATUS(BUSY));
    sig_give(&t, 1, BACKLOG);
    for (unsigned i = 3; i < 3 + BACKLOG; i++) {
        ev = sig_event(&t, 1);
        g_assert_cmpuint(ev.seq, ==, i);
        g_assert_cmpuint(ev.payload[0], ==, i);
        g_assert_cmpuint(ev.count, ==, 1);
    }
    sig_give(&t, 2, 1);
    g_assert_cmpuint(sig_event(&t, 2).count, ==, 5);
    g_assert_cmpuint(sig_send(&t, &bell), ==, STATUS(OK));
    sig_end(&t);
    qos_invalidate_command_line();
}

static uint16_t signal_node(SigTest *t, uint16_t class_id, uint16_t node,
                            uint16_t target)
{
    struct virtio_signal_req req = sig_req(class_id, target);

    req.dst_node = cpu_to_le16(node);
    return sig_send(t, &req);
}

static void expect_peer(SigTest *t, uint16_t node, uint16_t state)
{
    struct virtio_signal_event ev = sig_event(t, 0);

    g_assert_cmpuint(ev.class_id, ==, CLASS(PEER));
    g_assert_cmpuint(ev.src_node, ==, node);
    g_assert_cmpuint(ev.signal, ==, state);
}

/* Two devices on one bus: the reset of one is news to the other, no more. */
static void test_two_devices(void *obj, void *data, QGuestAllocator *alloc)
{
    QVirtioSignal *first = obj, second;
    QPCIAddress addr = { .devfn = QPCI_DEVFN(SLOT + 1, 0) };
    QVirtioPCIDevice *pci = virtio_pci_new(first->pci->pdev->bus, &addr);
    struct virtio_signal_event ev;
    SigTest a, b;

    qvirtio_pci_start_hw(&pci->obj);
    second = (QVirtioSignal) {
        .vdev = &pci->vdev, .pci = pci, .qts = first->qts,
    };
    sig_start(&a, first, alloc, 0);
    sig_give(&a, 0, 3);
    sig_start(&b, &second, alloc, 0);
    expect_peer(&a, 1, VIRTIO_SIGNAL_PEER_READY);
    for (unsigned i = 0; i < 2; i++) {
        /* One event is there, one waits in each of the devices. */
        sig_give(&a, 1, 1);
        sig_give(&b, 1, 1);
        for (unsigned n = 0; n < 2; n++) {
            g_assert_cmpuint(signal_node(&a, CLASS(DOORBELL), 1, 1), ==,
                             STATUS(OK));
            g_assert_cmpuint(signal_node(&b, CLASS(DOORBELL), 0, 1), ==,
                             STATUS(OK));
        }
        ev = sig_event(&a, 1);
        g_assert_cmpuint(ev.src_node, ==, 1);
        g_assert_cmpuint(ev.seq, ==, 2 * i);
        ev = sig_event(&b, 1);
        g_assert_cmpuint(ev.src_node, ==, 0);
        g_assert_cmpuint(ev.seq, ==, 0);

        sig_end(&b);
        sig_give(&a, 0, 2);
        expect_peer(&a, 1, VIRTIO_SIGNAL_PEER_UP);
        g_assert_cmpuint(signal_node(&a, CLASS(IRQ), 1, 1), ==,
                         STATUS(PEER_DOWN));
        g_assert_cmpuint(signal_node(&a, CLASS(IRQ), 0, 2), ==, STATUS(OK));
        sig_restart(&b);
        expect_peer(&a, 1, VIRTIO_SIGNAL_PEER_READY);
        /* What waited here still does; what waited there is gone. */
        sig_give(&a, 1, 1);
        g_assert_cmpuint(sig_event(&a, 1).seq, ==, 2 * i + 1);
        sig_give(&b, 1, 1);
        g_assert_false(sig_poll(&b, 1, &ev));
    }
    sig_end(&b);
    sig_end(&a);
    qvirtio_pci_device_disable(pci);
    g_free(pci->pdev);
    g_free(pci);
}

/* A request for the peer by send queue @n, which the peer has seen */
static uint32_t pending(SigTest *t, SigPeer *p, unsigned n, SigFrame *f,
                        uint64_t *in)
{
    struct virtio_signal_req irq = sig_req(CLASS(IRQ), 0);
    uint32_t token;

    irq.dst_node = cpu_to_le16(PEER_NODE);
    token = sig_add(t, t->vq[VIRTIO_SIGNAL_SENDQ0 + n], &irq, sizeof(irq),
                    sizeof(struct virtio_signal_reply), in);
    sig_peer_expect(p, VIRTIO_SIGNAL_LINK_SIGNAL, f);
    return token;
}

static void answer(SigPeer *p, const SigFrame *f)
{
    struct {
        struct virtio_signal_link_call call;
        struct virtio_signal_reply reply;
    } body = { .reply.delivered = cpu_to_le32(1) };

    memcpy(&body.call, f->body, sizeof(body.call));
    sig_peer_send(p, VIRTIO_SIGNAL_LINK_STATUS, &body, sizeof(body));
}

static void expect_pong(SigPeer *p)
{
    uint64_t token = 7;
    SigFrame f;

    sig_peer_send(p, VIRTIO_SIGNAL_LINK_PING, &token, sizeof(token));
    sig_peer_expect(p, VIRTIO_SIGNAL_LINK_PONG, &f);
}

/* The reset of a send queue forgets its requests, not those of another. */
static void test_send_queue_reset(void *obj, void *data,
                                  QGuestAllocator *alloc)
{
    unsigned n = VIRTIO_SIGNAL_SENDQ0;
    SigFrame first, other;
    uint64_t in[2], reset;
    uint32_t token;
    SigPeer p;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    g_assert_cmpuint(t.num_sendqs, ==, 2);
    p = sig_peer_start(VIRTIO_SIGNAL_PEER_READY);
    pending(&t, &p, 0, &first, &in[0]);
    token = pending(&t, &p, 1, &other, &in[1]);
    reset = t.pci->common_cfg_offset + VIRTIO_PCI_COMMON_Q_RESET;
    t.dev->bus->queue_select(t.dev, n);
    qpci_io_writew(t.pci->pdev, t.pci->bar, reset, 1);
    g_assert_cmpuint(qpci_io_readw(t.pci->pdev, t.pci->bar, reset), ==, 0);
    qvirtqueue_cleanup(t.dev->bus, t.vq[n], alloc);
    t.vq[n] = qvirtqueue_setup(t.dev, alloc, n);

    answer(&p, &first);
    answer(&p, &other);
    sig_wait(&t, t.vq[n + 1], token);
    g_assert_cmpuint(qtest_readw(t.qts, in[1]), ==, STATUS(OK));
    /* The first one's buffer is the driver's again: nothing is in it. */
    g_assert_cmphex(qtest_readb(t.qts, in[0]), ==, 0xa5);
    token = pending(&t, &p, 0, &first, &in[0]);
    answer(&p, &first);
    sig_wait(&t, t.vq[n], token);
    g_assert_cmpuint(qtest_readw(t.qts, in[0]), ==, STATUS(OK));
    sig_peer_close(&p);
    sig_end(&t);
}

static void expect_targets(SigPeer *p, unsigned targets)
{
    struct virtio_signal_link_targets news;
    SigFrame f;

    sig_peer_expect(p, VIRTIO_SIGNAL_LINK_TARGETS, &f);
    memcpy(&news, f.body, sizeof(news));
    g_assert_cmpuint(le16_to_cpu(news.num_targets), ==, targets);
    g_assert_cmpuint(le16_to_cpu(news.state), ==, VIRTIO_SIGNAL_PEER_UP);
}

/* Unplugged with requests on their way; the link outlives its device. */
static void test_unplug(void *obj, void *data, QGuestAllocator *alloc)
{
    struct virtio_signal_req irq = sig_req(CLASS(IRQ), 0);
    SigFrame f[2];
    uint64_t in;
    QDict *rsp;
    SigPeer p;
    SigTest t;

    if (((QVirtioSignal *)obj)->pci->pdev->bus->not_hotpluggable) {
        g_test_skip("this machine's PCI bus lets no device go");
        return;
    }
    sig_start(&t, obj, alloc, 0);
    p = sig_peer_start(VIRTIO_SIGNAL_PEER_READY);
    for (unsigned i = 0; i < ARRAY_SIZE(f); i++) {
        pending(&t, &p, 0, &f[i], &in);
    }
    qpci_unplug_acpi_device_test(t.qts, "sig0", SLOT);
    expect_targets(&p, 0);
    g_assert_cmphex(qtest_readb(t.qts, in), ==, 0xa5);
    rsp = qtest_qmp(t.qts, "{ 'execute': 'x-query-virtio-signal' }");
    g_assert_true(qlist_empty(qdict_get_qlist(rsp, "return")));
    qobject_unref(rsp);
    g_assert_cmpuint(sig_peer_signal(&p, 0, &irq), ==, STATUS(PEER_DOWN));
    /* The late answers are nobody's. */
    answer(&p, &f[0]);
    expect_pong(&p);
    qtest_qmp_device_add(t.qts, "virtio-signal-pci", "sig1",
                         "{ 'signal-bus': 'bus0', 'targets': 3 }");
    expect_targets(&p, 3);
    answer(&p, &f[1]);
    expect_pong(&p);
    sig_peer_close(&p);
    sig_free(&t);
    qos_invalidate_command_line();
}

/* A second peer that claims the same node waits until the first has gone. */
static void test_second_peer(void *obj, void *data, QGuestAllocator *alloc)
{
    struct virtio_signal_req irq = sig_req(CLASS(IRQ), 0);
    struct virtio_signal_link_hello hello = sig_peer_hello();
    SigPeer p, second;
    SigFrame f;
    char byte;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    p = sig_peer_start(VIRTIO_SIGNAL_PEER_READY);
    second = sig_peer_connect();
    sig_peer_send(&second, VIRTIO_SIGNAL_LINK_HELLO, &hello, sizeof(hello));
    g_assert_cmpuint(sig_peer_signal(&p, 1, &irq), ==, STATUS(OK));
    g_assert_cmpint(recv(second.fd, &byte, 1, MSG_DONTWAIT), ==, -1);
    g_assert_cmpint(errno, ==, EAGAIN);
    sig_peer_close(&p);
    g_assert_true(sig_peer_read(&second, &f));
    g_assert_cmpuint(f.type, ==, VIRTIO_SIGNAL_LINK_HELLO);
    sig_peer_expect(&second, VIRTIO_SIGNAL_LINK_TARGETS, &f);
    g_assert_cmpuint(sig_peer_signal(&second, 1, &irq), ==, STATUS(OK));
    sig_peer_close(&second);
    sig_end(&t);
}

static void add_link_test(const char *name, const char *interface,
                          const char *options, QOSTestFunc function)
{
    QOSGraphTestOptions opts = {
        .edge.extra_device_opts = options,
        .before = sig_peer_before,
    };

    qos_add_test(name, interface, function, &opts);
}

static void register_virtio_signal_life_tests(void)
{
    QOSGraphTestOptions savevm = {
        .edge.extra_device_opts = "backlog=8",
        .before = savevm_before,
    };
    QOSGraphTestOptions two = {
        .edge.extra_device_opts = "signal-bus=bus0,node=0",
        .edge.after_cmd_line = "-object signal-bus,id=bus0 "
            "-device virtio-signal-pci,addr=05.0,targets=4,signal-bus=bus0,"
            "node=1",
    };

    qos_add_test("savevm", "virtio-signal", test_savevm, &savevm);
    qos_add_test("two-devices", "virtio-signal-bar", test_two_devices, &two);
    add_link_test("link/send-queue-reset", "virtio-signal-bar",
                  "signal-bus=bus0,node=0,send-queues=2",
                  test_send_queue_reset);
    add_link_test("link/unplug", "virtio-signal-bar", "signal-bus=bus0,node=0",
                  test_unplug);
    add_link_test("link/second-peer", "virtio-signal",
                  "signal-bus=bus0,node=0", test_second_peer);
}

libqos_init(register_virtio_signal_life_tests);
