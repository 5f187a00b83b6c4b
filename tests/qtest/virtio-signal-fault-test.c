/*
 * virtio-signal: hostile drivers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * After each of these the device serves an honest driver, after a reset at
 * most, and QEMU lives.
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "qapi/error.h"
#include "qobject/qdict.h"
#include "qobject/qjson.h"
#include "qemu/bswap.h"
#include "qemu/bitops.h"
#include "qemu/module.h"
#include "standard-headers/linux/virtio_pci.h"
#include "virtio-signal-util.h"

static void expect_works(SigTest *t)
{
    struct virtio_signal_req irq = sig_req(CLASS(IRQ), 0);

    sig_give(t, 0, 1);
    g_assert_cmpuint(sig_send(t, &irq), ==, STATUS(OK));
    sig_event(t, 0);
}

static void expect_broken(SigTest *t)
{
    sig_expect_needs_reset(t);
    sig_restart(t);
    expect_works(t);
}

/* Every length but the right ones is malformed, with or without an answer. */
static void test_sizes(void *obj, void *data, QGuestAllocator *alloc)
{
    struct {
        struct virtio_signal_req req;
        uint8_t more[4096];
    } msg = { .req = sig_req(CLASS(IRQ), 0) };
    QVirtQueue *vq;
    uint64_t in;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    vq = t.vq[VIRTIO_SIGNAL_SENDQ0];
    for (unsigned len = 1; len < 180; len++) {
        g_assert_cmpuint(sig_send_raw(&t, &msg, len).status, ==,
                         len == sizeof(msg.req) ? STATUS(OK) : STATUS(INVAL));
    }
    g_assert_cmpuint(sig_send_raw(&t, &msg, sizeof(msg)).status, ==,
                     STATUS(INVAL));
    /* No room for the reply: nothing is done, nothing is written. */
    for (unsigned in_len = 1; in_len < sizeof(struct virtio_signal_reply);
         in_len++) {
        uint32_t token = sig_add(&t, vq, &msg, sizeof(msg.req), in_len, &in);

        g_assert_cmpuint(sig_wait(&t, vq, token), ==, 0);
        g_assert_cmphex(qtest_readb(t.qts, in), ==, 0xa5);
    }
    g_assert_cmpuint(sig_wait(&t, vq, sig_add(&t, vq, &msg, sizeof(msg.req),
                                              0, NULL)), ==, 0);
    sig_end(&t);
}

static void test_ctrl_sizes(void *obj, void *data, QGuestAllocator *alloc)
{
    uint8_t cmd[64] = { };
    uint8_t reply[64];
    uint64_t in;
    QVirtQueue *vq;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    vq = t.vq[VIRTIO_SIGNAL_CTRLQ];
    for (unsigned len = 1; len < sizeof(cmd); len++) {
        uint32_t token = sig_add(&t, vq, cmd, len, sizeof(reply), &in);

        g_assert_cmpuint(sig_wait(&t, vq, token), ==, 8);
        g_assert_cmpuint(qtest_readw(t.qts, in), ==,
                         len == 8 ? STATUS(OK) : STATUS(INVAL));
    }
    for (unsigned len = 1; len < 8; len++) {
        g_assert_cmpuint(sig_ctrl(&t, 0, 0, 0, reply, len), ==, 0);
    }
    sig_end(&t);
}

/* An event queue buffer that is too small, or that cannot be written */
static void test_event_buffers(void *obj, void *data, QGuestAllocator *alloc)
{
    struct virtio_signal_req irq = sig_req(CLASS(IRQ), 2);
    uint8_t some[64] = { };
    uint64_t in;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    for (unsigned i = 0; i < 3; i++) {
        if (i < 2) {
            sig_add(&t, sig_eventq(&t, 2), some, i ? 64 : 0, i ? 0 : 31, &in);
        } else {
            uint32_t token = qvirtqueue_add(t.qts, sig_eventq(&t, 2),
                                            t.pci->bar.addr, 32, true, false);

            qvirtqueue_kick(t.qts, t.dev, sig_eventq(&t, 2), token);
        }
        /* Who asked gets an answer where the ring still takes one. */
        sig_add(&t, t.vq[VIRTIO_SIGNAL_SENDQ0], &irq, sizeof(irq),
                sizeof(struct virtio_signal_reply), &in);
        expect_broken(&t);
    }
    sig_end(&t);
}

/* Answers that would be written into the device's own registers */
static void test_reply_to_registers(void *obj, void *data,
                                    QGuestAllocator *alloc)
{
    const uint64_t at[] = { VIRTIO_PCI_COMMON_STATUS, VIRTIO_PCI_COMMON_Q_SIZE,
                            VIRTIO_PCI_COMMON_Q_ENABLE };
    struct virtio_signal_req irq = sig_req(CLASS(IRQ), 0);
    uint64_t out;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    out = guest_alloc(alloc, sizeof(irq));
    qtest_memwrite(t.qts, out, &irq, sizeof(irq));
    for (unsigned q = 0; q < 2; q++) {
        for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
            QVirtQueue *vq = t.vq[q];
            uint32_t token = qvirtqueue_add(t.qts, vq, out, q ? 32 : 8, false,
                                            true);

            qvirtqueue_add(t.qts, vq, t.pci->bar.addr +
                           t.pci->common_cfg_offset + at[i], 16, true, false);
            qvirtqueue_kick(t.qts, t.dev, vq, token);
            expect_broken(&t);
        }
    }
    sig_end(&t);
}

/* Interrupts that are a reset of the device while it sends them */
static void test_interrupt_to_registers(void *obj, void *data,
                                        QGuestAllocator *alloc)
{
    struct virtio_signal_req irq = sig_req(CLASS(IRQ), 1);
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    qpci_msix_enable(t.pci->pdev);
    for (unsigned n = 0; n < t.num_queues; n++) {
        uint8_t reply[8];

        sig_aim_interrupt(&t, n, t.pci->bar.addr + t.pci->common_cfg_offset +
                          VIRTIO_PCI_COMMON_STATUS, 0);
        sig_give(&t, 1, 2);
        g_assert_cmpuint(sig_send(&t, &irq), ==, STATUS(OK));
        g_assert_cmpuint(sig_send(&t, &irq), ==, STATUS(OK));
        sig_ctrl(&t, VIRTIO_SIGNAL_CTRL_PEERS, 0, 0, reply, sizeof(reply));
        sig_event(&t, 1);
        sig_event(&t, 1);
        sig_restart(&t);
        expect_works(&t);
        /* With an event index only the first use of a queue interrupts. */
        sig_restart(&t);
    }
    qpci_msix_disable(t.pci->pdev);
    sig_end(&t);
}

/* Interrupts that stop the VM while the device sends them */
static void test_interrupt_stops(void *obj, void *data,
                                 QGuestAllocator *alloc)
{
    struct virtio_signal_req irq = sig_req(CLASS(IRQ), 0);
    const unsigned queues[] = {
        VIRTIO_SIGNAL_SENDQ0, VIRTIO_SIGNAL_SENDQ0 + 1,
    };
    QPCIDevice *panic;
    QPCIBar bar;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    panic = qpci_device_find(t.pci->pdev->bus, QPCI_DEVFN(5, 0));
    g_assert_nonnull(panic);
    qpci_device_enable(panic);
    bar = qpci_iomap(panic, 0, NULL);
    qpci_msix_enable(t.pci->pdev);
    for (unsigned i = 0; i < ARRAY_SIZE(queues); i++) {
        sig_aim_interrupt(&t, queues[i], bar.addr, 1);
        sig_give(&t, 0, 1);
        /* It is answered once, and as it went. */
        g_assert_cmpuint(sig_send(&t, &irq), ==, STATUS(OK));
        sig_event(&t, 0);
        qtest_qmp_eventwait(t.qts, "STOP");
        qtest_qmp_assert_success(t.qts, "{ 'execute': 'cont' }");
        sig_restart(&t);
        expect_works(&t);
        /* With an event index only the first use of a queue interrupts. */
        sig_restart(&t);
    }
    qpci_msix_disable(t.pci->pdev);
    g_free(panic);
    sig_end(&t);
}

/* 4000 requests for targets that never take anything: bounded and answered */
static void test_storm(void *obj, void *data, QGuestAllocator *alloc)
{
    struct virtio_signal_req req = sig_req(CLASS(DOORBELL), 0);
    unsigned ok = 0, busy = 0;
    QDict *info;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    req.mode = cpu_to_le16(MODE(ALL));
    for (unsigned i = 0; i < 1000; i++) {
        struct virtio_signal_reply reply = sig_send_raw(&t, &req, sizeof(req));

        ok += reply.delivered;
        busy += reply.refused;
        g_assert_cmpuint(reply.delivered + reply.refused, ==, SIG_TARGETS);
        g_assert_cmpuint(reply.status, ==,
                         reply.delivered ? STATUS(OK) : STATUS(BUSY));
    }
    g_assert_cmpuint(ok, ==, 64 * SIG_TARGETS);
    g_assert_cmpuint(busy, ==, (1000 - 64) * SIG_TARGETS);
    info = sig_query(t.qts);
    g_assert_cmpint(qdict_get_int(info, "backlog"), ==, 64 * SIG_TARGETS);
    qobject_unref(info);
    sig_end(&t);
}

/* Random bytes as requests and commands: each one is answered. */
static void test_noise(void *obj, void *data, QGuestAllocator *alloc)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);
    uint8_t msg[160], reply[64];
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    for (unsigned i = 0; i < 1000; i++) {
        unsigned len = g_rand_int_range(rand, 1, sizeof(msg) + 1);

        for (unsigned j = 0; j < len; j++) {
            /* Mostly small numbers, or little gets past the first check */
            msg[j] = j % 2 ? g_rand_int_range(rand, 0, 16) == 0
                           : g_rand_int_range(rand, 0, 8);
        }
        len = g_rand_boolean(rand) ? 32 : len;
        g_assert_cmpuint(sig_send_raw(&t, msg, len).status, <,
                         VIRTIO_SIGNAL_S_COUNT);
        sig_ctrl(&t, msg[0] % 3, msg[1], msg[2], reply, sizeof(reply));
    }
    sig_restart(&t);
    expect_works(&t);
    sig_end(&t);
}

/* Kicks of every queue, before and after the driver is ready */
static void test_wild_kicks(void *obj, void *data, QGuestAllocator *alloc)
{
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 64; i++) {
            qpci_io_writew(t.pci->pdev, t.pci->bar, t.pci->notify_cfg_offset +
                           i * t.pci->notify_off_multiplier, 0xffff - i);
        }
        if (!round) {
            qvirtio_reset(t.dev);
        }
    }
    qvirtio_start_device(t.dev);
    sig_restart(&t);
    expect_works(&t);
    sig_end(&t);
}

static void test_bad_settings(void *obj, void *data, QGuestAllocator *alloc)
{
    static const struct {
        const char *command, *settings, *message;
    } cases[] = {
        { "device_add", "'send-queues': 0", "send-queues is 0" },
        { "device_add", "'send-queues': 65", "send-queues is 65" },
        { "device_add", "'targets': 1023", "set targets to fewer" },
        { "device_add", "'backlog': 0", "backlog is 0 events" },
        { "device_add", "'backlog': 1025", "backlog is 1025 events" },
        { "device_add", "'burst': 0", "burst is 0 requests" },
        { "device_add", "'burst': 1000001", "burst is 1000001 requests" },
        { "device_add", "'node': 65534", "node 65534 is reserved" },
        { "device_add", "'signal-bus': 'none'", "none" },
        { "device_add", "'signal-bus': 'bus0', 'node': 3",
          "node 3 is already on the signal-bus, as a device" },
        { "object-add", "'signal-bus': 'bus0', 'chardev': 'x', "
          "'local-node': 1, 'peer-node': 1", "are both 1" },
        { "object-add", "'signal-bus': 'bus0', 'chardev': 'x', "
          "'local-node': 1, 'peer-node': 2", "chardev 'x' not found" },
        { "object-add", "'signal-bus': 'bus0', 'chardev': 'c0', "
          "'local-node': 1, 'peer-node': 3", "already on the signal-bus" },
        { "object-add", "'signal-bus': 'bus0', 'chardev': 'c0', "
          "'local-node': 1, 'peer-node': 2, 'credits': 0", "credits is 0" },
        { "object-add", "'signal-bus': 'bus0', 'chardev': 'c0', "
          "'local-node': 1, 'peer-node': 2, 'burst': 0", "burst is 0" },
    };
    QVirtioPCIDevice *dev = obj;
    QTestState *qts = dev->pdev->bus->qts;

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        bool device = g_str_equal(cases[i].command, "device_add");
        g_autofree char *json = g_strdup_printf("{ %s, %s }", device ?
            "'driver': 'virtio-signal-pci', 'addr': '7'" :
            "'qom-type': 'signal-link', 'id': 'l0'", cases[i].settings);
        QDict *args = qobject_to(QDict, qobject_from_json(json,
                                                          &error_abort));
        QDict *rsp = qtest_qmp(qts, "{ 'execute': %s, 'arguments': %p }",
                               cases[i].command, args);
        QDict *error = qdict_get_qdict(rsp, "error");

        g_assert_nonnull(error);
        g_test_message("%s: %s", cases[i].settings,
                       qdict_get_str(error, "desc"));
        if (strstr(qdict_get_str(error, "desc"),
                   "does not support hotplugging")) {
            g_test_skip("this machine's PCI bus takes no new devices");
            qobject_unref(rsp);
            return;
        }
        g_assert_nonnull(strstr(qdict_get_str(error, "desc"),
                                cases[i].message));
        qobject_unref(rsp);
    }
    /* A bus with a device on it stays. */
    qobject_unref(qtest_qmp_assert_failure_ref(qts,
        "{ 'execute': 'object-del', 'arguments': { 'id': 'bus0' } }"));
}

static void register_virtio_signal_fault_tests(void)
{
    QOSGraphTestOptions settings = {
        .edge.extra_device_opts = "signal-bus=bus0,node=3",
        .edge.after_cmd_line = "-object signal-bus,id=bus0 "
                               "-chardev null,id=c0",
    };
    QOSGraphTestOptions panic = {
        .edge.before_cmd_line = "-device pvpanic-pci,addr=05.0 "
                                "-action panic=pause",
    };

    qos_add_test("fault/sizes", "virtio-signal", test_sizes, NULL);
    qos_add_test("fault/ctrl-sizes", "virtio-signal", test_ctrl_sizes, NULL);
    qos_add_test("fault/event-buffers", "virtio-signal-bar", test_event_buffers,
                 NULL);
    qos_add_test("fault/reply-to-registers", "virtio-signal-bar",
                 test_reply_to_registers, NULL);
    qos_add_test("fault/interrupt-to-registers", "virtio-signal-bar",
                 test_interrupt_to_registers, NULL);
    qos_add_test("fault/interrupt-stops", "virtio-signal-bar",
                 test_interrupt_stops, &panic);
    qos_add_test("fault/storm", "virtio-signal", test_storm, NULL);
    qos_add_test("fault/noise", "virtio-signal", test_noise, NULL);
    qos_add_test("fault/wild-kicks", "virtio-signal-bar", test_wild_kicks,
                 NULL);
    qos_add_test("bad-settings", "virtio-signal-pci", test_bad_settings,
                 &settings);
}

libqos_init(register_virtio_signal_fault_tests);
