/*
 * Tests of virtio-echo: bad settings, broken and hostile drivers, migration
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A driver's mistake ends in NEEDS_RESET, and a reset brings the device back.
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "qapi/error.h"
#include "qemu/module.h"
#include "qemu/units.h"
#include "qobject/qdict.h"
#include "qobject/qjson.h"
#include "standard-headers/linux/pci_regs.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_pci.h"
#include "virtio-echo-util.h"

/* The device asks for a reset, completes nothing, and works after a reset. */
static void expect_broken(EchoTest *t)
{
    echo_expect_needs_reset(t);
    g_assert_false(qvirtqueue_get_buf(t->qts, t->vq[0], NULL, NULL));
    echo_restart(t);
    echo_one(t, t->vq[0], 100, 100, 1, 2);
}

/* Kick one chain that cannot be completed */
static void kick_bad(EchoTest *t, uint32_t token)
{
    EchoRequest bad = { .token = token };

    echo_publish(t, t->vq[0], &bad, 1);
    echo_kick(t, t->vq[0]);
    expect_broken(t);
}

static void test_zero_length(void *obj, void *data, QGuestAllocator *alloc)
{
    EchoTest t;

    echo_start(&t, obj, alloc, 0);
    kick_bad(&t, qvirtqueue_add(t.qts, t.vq[0], guest_alloc(alloc, 64), 0,
                                true, false));
    echo_end(&t);
}

static void test_readable_after_writable(void *obj, void *data,
                                         QGuestAllocator *alloc)
{
    uint64_t addr = guest_alloc(alloc, 64);
    uint32_t token;
    EchoTest t;

    echo_start(&t, obj, alloc, 0);
    token = qvirtqueue_add(t.qts, t.vq[0], addr, 32, true, true);
    qvirtqueue_add(t.qts, t.vq[0], addr + 32, 32, false, false);
    kick_bad(&t, token);
    echo_end(&t);
}

/* Good requests that share a batch with a broken one do not wedge the ring. */
static void test_broken_after_good(void *obj, void *data,
                                   QGuestAllocator *alloc)
{
    EchoRequest req[5];
    EchoTest t;

    echo_start(&t, obj, alloc, 0);
    for (unsigned i = 0; i < 4; i++) {
        req[i] = echo_prepare(&t, 64, 64, i);
        echo_add(&t, t.vq[0], &req[i], 2);
    }
    req[4].token = qvirtqueue_add(t.qts, t.vq[0], guest_alloc(alloc, 64), 0,
                                  true, false);
    echo_publish(&t, t.vq[0], req, 5);
    echo_kick(&t, t.vq[0]);
    expect_broken(&t);
    echo_end(&t);
}

/* A table of descriptors whose size is no multiple of a descriptor's */
static void test_indirect_size(void *obj, void *data, QGuestAllocator *alloc)
{
    g_autofree QVRingIndirectDesc *table = NULL;
    uint64_t addr = guest_alloc(alloc, 64);
    uint32_t token;
    EchoTest t;

    echo_start(&t, obj, alloc, 0);
    table = qvring_indirect_desc_setup(t.qts, t.dev, alloc, 2);
    qvring_indirect_desc_add(t.dev, t.qts, table, addr, 32, false);
    qvring_indirect_desc_add(t.dev, t.qts, table, addr + 32, 32, true);
    if (qvirtio_is_packed(t.dev)) {
        QVRingPackedDesc bad = {
            .addr = table->desc,
            .len = 33,
            .flags = VRING_DESC_F_INDIRECT | qvring_packed_avail_bits(true),
        };

        qvirtqueue_packed_write_raw(t.qts, t.vq[0], 0, &bad);
        echo_kick(&t, t.vq[0]);
        expect_broken(&t);
    } else {
        token = qvirtqueue_add_indirect(t.qts, t.vq[0], table);
        qtest_writel(t.qts, t.vq[0]->desc + 16 * token + 8, 33);
        kick_bad(&t, token);
    }
    echo_end(&t);
}

/* Split: a chain that bites its tail. Packed: NEXT all round the ring. */
static void test_endless_chain(void *obj, void *data, QGuestAllocator *alloc)
{
    uint64_t addr = guest_alloc(alloc, 64);
    QVirtQueue *vq;
    EchoTest t;

    echo_start(&t, obj, alloc, 0);
    vq = t.vq[0];
    if (qvirtio_is_packed(t.dev)) {
        for (unsigned i = 0; i < vq->size; i++) {
            QVRingPackedDesc bad = {
                .addr = addr,
                .len = 64,
                .flags = VRING_DESC_F_NEXT | qvring_packed_avail_bits(true),
            };

            qvirtqueue_packed_write_raw(t.qts, vq, vq->size - 1 - i, &bad);
        }
        echo_kick(&t, vq);
        expect_broken(&t);
    } else {
        uint32_t token = qvirtqueue_add(t.qts, vq, addr, 64, false, true);

        qtest_writew(t.qts, vq->desc + 16 * token + 14, token);
        kick_bad(&t, token);
    }
    echo_end(&t);
}

/* The head names a descriptor that does not exist (split ring only). */
static void test_wild_head(void *obj, void *data, QGuestAllocator *alloc)
{
    EchoTest t;

    echo_start(&t, obj, alloc, 0);
    if (qvirtio_is_packed(t.dev)) {
        g_test_skip("a packed ring has no head indices");
    } else {
        kick_bad(&t, t.vq[0]->size);
    }
    echo_end(&t);
}

/* The available index runs away (split ring only). */
static void test_wild_avail_index(void *obj, void *data,
                                  QGuestAllocator *alloc)
{
    EchoTest t;

    echo_start(&t, obj, alloc, 0);
    if (qvirtio_is_packed(t.dev)) {
        g_test_skip("a packed ring has no available index");
    } else {
        qtest_writew(t.qts, t.vq[0]->avail + 2, t.vq[0]->size + 1);
        echo_kick(&t, t.vq[0]);
        expect_broken(&t);
    }
    echo_end(&t);
}

/*
 * The driver resets the device while the device reports an error: the
 * interrupt that goes with the error needs the lock that the reset holds, and
 * the reset waits for the queues' thread. The good requests before the bad one
 * keep the device busy until the reset arrives; the interrupt goes to the
 * local APIC, whose registers are under that lock, as guest memory is not.
 */
static void test_error_meets_reset(void *obj, void *data,
                                   QGuestAllocator *alloc)
{
    EchoRequest req[4], good;
    QPCIDevice *pdev;
    EchoTest t;

    echo_start(&t, obj, alloc, 0);
    pdev = t.pci->pdev;
    good = echo_prepare(&t, 1 * MiB, 1 * MiB, 3);
    qpci_msix_enable(pdev);
    for (unsigned round = 0; round < 50; round++) {
        qvirtio_pci_set_msix_configuration_vector(t.pci, alloc, 0);
        qpci_io_writel(pdev, pdev->msix_table_bar, pdev->msix_table_off +
                       PCI_MSIX_ENTRY_LOWER_ADDR, 0xfee00000);
        for (unsigned i = 0; i < 3; i++) {
            req[i] = good;
            echo_add(&t, t.vq[0], &req[i], 1);
        }
        req[3].token = qvirtqueue_add(t.qts, t.vq[0], good.in, 0, true,
                                      false);
        echo_publish(&t, t.vq[0], req, ARRAY_SIZE(req));
        echo_kick(&t, t.vq[0]);
        echo_restart(&t);
    }
    qpci_msix_disable(pdev);
    echo_one(&t, t.vq[0], 100, 100, 1, 2);
    echo_end(&t);
}

/* The buffers overlap: the copy must behave as if it went through a third. */
static void test_overlap(void *obj, void *data, QGuestAllocator *alloc)
{
    uint8_t want[96], got[96];
    uint32_t token, len;
    uint64_t addr;
    EchoTest t;

    echo_start(&t, obj, alloc, 0);
    addr = guest_alloc(alloc, sizeof(want));
    for (unsigned i = 0; i < sizeof(want); i++) {
        want[i] = i;
    }
    qtest_memwrite(t.qts, addr, want, sizeof(want));
    memmove(want + 13, want, 64);

    token = qvirtqueue_add(t.qts, t.vq[0], addr, 64, false, true);
    qvirtqueue_add(t.qts, t.vq[0], addr + 13, 64, true, false);
    qvirtqueue_kick(t.qts, t.dev, t.vq[0], token);
    g_assert_cmpuint(echo_wait(&t, t.vq[0], &len), ==, token);
    g_assert_cmpuint(len, ==, 64);
    qtest_memread(t.qts, addr, got, sizeof(got));
    g_assert_cmpmem(got, sizeof(got), want, sizeof(want));
    echo_end(&t);
}

/* Echo @len bytes of @value into the device's own registers at @reg */
static void echo_into_bar(EchoTest *t, uint64_t reg, uint8_t value,
                          uint32_t len)
{
    uint64_t from = guest_alloc(t->alloc, len);
    EchoRequest bad;

    qtest_memset(t->qts, from, value, len);
    bad.token = qvirtqueue_add(t->qts, t->vq[0], from, len, false, true);
    qvirtqueue_add(t->qts, t->vq[0], t->pci->bar.addr + reg, len, true, false);
    echo_publish(t, t->vq[0], &bad, 1);
    echo_kick(t, t->vq[0]);
}

/* A request whose answer lands in the doorbell of its own queue */
static void test_dma_to_doorbell(void *obj, void *data,
                                 QGuestAllocator *alloc)
{
    EchoTest t;

    echo_start(&t, obj, alloc, 0);
    echo_into_bar(&t, t.pci->notify_cfg_offset, 0, 4);
    expect_broken(&t);
    echo_end(&t);
}

/* A request whose answer would reset the device in the middle of its batch */
static void test_dma_to_status(void *obj, void *data, QGuestAllocator *alloc)
{
    EchoTest t;

    echo_start(&t, obj, alloc, 0);
    echo_into_bar(&t, echo_common_cfg(&t, VIRTIO_PCI_COMMON_STATUS), 0, 1);
    expect_broken(&t);
    echo_end(&t);
}

/* A request whose answer would shrink the ring it is completed into */
static void test_dma_to_queue_size(void *obj, void *data,
                                   QGuestAllocator *alloc)
{
    EchoTest t;

    echo_start(&t, obj, alloc, 0);
    echo_into_bar(&t, echo_common_cfg(&t, VIRTIO_PCI_COMMON_Q_SIZE), 2, 1);
    expect_broken(&t);
    echo_end(&t);
}

/* Kicks of a queue that is not there or not enabled */
static void test_wild_kick(void *obj, void *data, QGuestAllocator *alloc)
{
    EchoTest t;

    echo_start(&t, obj, alloc, 0);
    for (unsigned i = 0; i < 64; i++) {
        qpci_io_writew(t.pci->pdev, t.pci->bar,
                       t.pci->notify_cfg_offset +
                       i * t.pci->notify_off_multiplier, 0xffff - i);
    }
    echo_one(&t, t.vq[0], 100, 100, 1, 2);
    echo_end(&t);
}

static void write_common(EchoTest *t, unsigned field, uint16_t value)
{
    qpci_io_writew(t->pci->pdev, t->pci->bar, echo_common_cfg(t, field),
                   value);
}

/* 4.1.4.3.2: a queue's size and place are not for changing while enabled. */
static void test_resize_live(void *obj, void *data, QGuestAllocator *alloc)
{
    const uint16_t size = 64;
    EchoTest t;

    echo_start(&t, obj, alloc, 0);
    echo_resize_queue(&t, 0, size);
    for (unsigned i = 0; i < 20; i++) {
        echo_one(&t, t.vq[0], 100, 100, i, 2);
    }
    t.dev->bus->queue_select(t.dev, 0);
    write_common(&t, VIRTIO_PCI_COMMON_Q_SIZE, 4);
    write_common(&t, VIRTIO_PCI_COMMON_Q_DESCLO, 0);
    write_common(&t, VIRTIO_PCI_COMMON_Q_ENABLE, 1);
    for (unsigned i = 0; i < 100; i++) {
        echo_one(&t, t.vq[0], 100, 100, i, 2);
    }
    echo_end(&t);
}

static void write_features(EchoTest *t, uint64_t features)
{
    for (unsigned i = 0; i < 2; i++) {
        qpci_io_writel(t->pci->pdev, t->pci->bar,
                       echo_common_cfg(t, VIRTIO_PCI_COMMON_GFSELECT), i);
        qpci_io_writel(t->pci->pdev, t->pci->bar,
                       echo_common_cfg(t, VIRTIO_PCI_COMMON_GF),
                       features >> 32 * i);
    }
}

/*
 * 3.1.1: the ring format is agreed on before there are rings. A driver that
 * never says FEATURES_OK must not be able to read one format as the other.
 */
static void test_format_flip(void *obj, void *data, QGuestAllocator *alloc)
{
    uint64_t packed = 1ull << VIRTIO_F_RING_PACKED;
    uint64_t features;
    EchoTest t;

    /* EVENT_IDX has the device look at the areas anew. */
    echo_start(&t, obj, alloc, 1ull << VIRTIO_RING_F_EVENT_IDX);
    features = t.dev->features;
    for (unsigned first = 0; first < 2; first++) {
        uint64_t with = features | packed, without = features & ~packed;

        qvirtio_reset(t.dev);
        qvirtio_start_device(t.dev);
        write_features(&t, first ? with : without);
        qvirtqueue_cleanup(t.dev->bus, t.vq[0], alloc);
        /* libqos takes the features for agreed on; the device was not told. */
        t.dev->features = first ? with : without;
        t.dev->features_negotiated = true;
        t.vq[0] = qvirtqueue_setup(t.dev, alloc, 0);
        for (unsigned i = 0; i < 4; i++) {
            write_features(&t, i % 2 ? with : without);
            /* One more for a split ring, DISABLE for a packed one */
            qtest_writew(t.qts, t.vq[0]->avail + 2, 1);
            qtest_memset(t.qts, t.vq[0]->desc, 0x80 + i, 64);
            echo_kick(&t, t.vq[0]);
        }
    }
    t.dev->features = features;
    echo_restart(&t);
    echo_one(&t, t.vq[0], 100, 100, 1, 2);
    echo_end(&t);
}

/* Settings that make no sense are refused with a message that says why. */
static void test_bad_settings(void *obj, void *data, QGuestAllocator *alloc)
{
    static const struct {
        const char *settings, *message;
    } cases[] = {
        { "'num-queues': 0", "num-queues is 0, it must be between 1 and" },
        { "'num-queues': 257", "num-queues is 257, it must be" },
        { "'batch': 0", "batch is 0, it must be between 1 and" },
        { "'max-request': 0", "max-request is 0 bytes, it must be" },
        { "'max-request': 16777217", "max-request is 16777217 bytes" },
        { "'order': 'lifo', 'in_order': true",
          "in_order promises completion in order" },
        { "'order': 'sorted'", "order" },
        { "'iothread': 'io0', 'ioeventfd': false", "ioeventfd is off" },
        { "'iothread': 'nothere'", "nothere" },
    };
    QVirtioPCIDevice *dev = obj;
    QTestState *qts = dev->pdev->bus->qts;

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        g_autofree char *json =
            g_strdup_printf("{ 'driver': 'virtio-echo-pci', 'addr': '7', %s }",
                            cases[i].settings);
        QDict *args = qobject_to(QDict, qobject_from_json(json,
                                                          &error_abort));
        QDict *rsp = qtest_qmp(qts, "{ 'execute': 'device_add',"
                               "  'arguments': %p }", args);
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
}

static void wait_for_migration(QTestState *qts)
{
    gint64 end = g_get_monotonic_time() + ECHO_TIMEOUT_US;

    for (bool done = false; !done;) {
        QDict *rsp = qtest_qmp(qts, "{ 'execute': 'query-migrate' }");
        const char *status = qdict_get_str(qdict_get_qdict(rsp, "return"),
                                           "status");

        g_assert_cmpstr(status, !=, "failed");
        done = g_str_equal(status, "completed");
        qobject_unref(rsp);
        g_assert_cmpint(g_get_monotonic_time(), <, end);
    }
}

/*
 * Requests are echoed before and after a migration, which goes through a
 * file. The shuffle continues where it was: the run repeats one without
 * migration. Requests that became available while the VM was stopped are
 * found on the other side.
 */
static void test_migration(void *obj, void *data, QGuestAllocator *alloc)
{
    g_autofree char *dir = g_dir_make_tmp("vadis-echo-XXXXXX", NULL);
    g_autofree char *uri = g_strdup_printf("file:%s/state", dir);
    g_autofree char *file = g_strdup_printf("%s/state", dir);
    unsigned want[2][8], got[8];
    QTestState *from, *to;
    EchoRequest req;
    uint32_t len;
    EchoTest t;

    echo_start(&t, obj, alloc, 0);
    from = t.qts;
    echo_restart(&t);
    echo_batch(&t, t.vq[0], 8, want[0]);
    echo_batch(&t, t.vq[0], 8, want[1]);

    echo_restart(&t);
    echo_batch(&t, t.vq[0], 8, got);
    g_assert_cmpmem(got, sizeof(got), want[0], sizeof(want[0]));

    qtest_qmp_assert_success(from, "{ 'execute': 'stop' }");
    req = echo_prepare(&t, 100, 100, 5);
    echo_add(&t, t.vq[1], &req, 1);
    echo_publish(&t, t.vq[1], &req, 1);
    qtest_qmp_assert_success(from, "{ 'execute': 'migrate', 'arguments':"
                             " { 'uri': %s } }", uri);
    wait_for_migration(from);

    to = qtest_initf("%s -incoming %s", qos_get_current_command_line(), uri);
    wait_for_migration(to);
    qtest_qmp_assert_success(to, "{ 'execute': 'cont' }");
    t.pci->pdev->bus->qts = t.qts = to;

    g_assert_cmpuint(echo_wait(&t, t.vq[1], &len), ==, req.token);
    echo_finish(&t, &req, len);
    echo_batch(&t, t.vq[0], 8, got);
    g_assert_cmpmem(got, sizeof(got), want[1], sizeof(want[1]));
    echo_end(&t);

    t.pci->pdev->bus->qts = from;
    qtest_quit(to);
    qos_invalidate_command_line();
    unlink(file);
    rmdir(dir);
}

static void add_test(const char *name, const char *options,
                     QOSTestFunc function)
{
    g_autofree char *iothread = g_strdup_printf("%s/iothread", name);
    g_autofree char *full = g_strdup_printf("%s%siothread=io0", options ?: "",
                                            options ? "," : "");
    QOSGraphTestOptions plain = { .edge.extra_device_opts = options };
    QOSGraphTestOptions threaded = {
        .edge.extra_device_opts = full,
        .edge.after_cmd_line = ECHO_IOTHREAD,
    };

    qos_add_test(name, "virtio-echo", function, &plain);
    qos_add_test(iothread, "virtio-echo", function, &threaded);
}

static void register_virtio_echo_fault_tests(void)
{
    QOSGraphTestOptions settings = { .edge.after_cmd_line = ECHO_IOTHREAD };

    add_test("fault/zero-length", NULL, test_zero_length);
    add_test("fault/readable-after-writable", NULL,
             test_readable_after_writable);
    add_test("fault/broken-after-good", NULL, test_broken_after_good);
    add_test("fault/indirect-size", NULL, test_indirect_size);
    add_test("fault/endless-chain", NULL, test_endless_chain);
    add_test("fault/wild-head", NULL, test_wild_head);
    add_test("fault/wild-avail-index", NULL, test_wild_avail_index);
    add_test("fault/error-meets-reset", NULL, test_error_meets_reset);
    add_test("fault/overlap", NULL, test_overlap);
    add_test("fault/dma-to-doorbell", NULL, test_dma_to_doorbell);
    add_test("fault/dma-to-status", NULL, test_dma_to_status);
    add_test("fault/dma-to-queue-size", NULL, test_dma_to_queue_size);
    add_test("fault/wild-kick", NULL, test_wild_kick);
    add_test("fault/resize-live", NULL, test_resize_live);
    add_test("fault/format-flip", NULL, test_format_flip);
    add_test("migration", "num-queues=2,order=random,seed=9", test_migration);
    qos_add_test("bad-settings", "virtio-echo-pci", test_bad_settings,
                 &settings);
}

libqos_init(register_virtio_echo_fault_tests);
