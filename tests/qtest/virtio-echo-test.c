/*
 * Tests of virtio-echo: what it promises a well-behaved driver
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Each test of "virtio-echo" runs over a split and over a packed ring.
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "qemu/module.h"
#include "qemu/units.h"
#include "qobject/qdict.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_pci.h"
#include "virtio-echo-util.h"

#define BIT_OF(bit) (1ull << (bit))
#define HOTPLUG_SLOT 0x06

static void test_config(void *obj, void *data, QGuestAllocator *alloc)
{
    EchoTest t;

    echo_start(&t, obj, alloc, 0);
    g_assert_cmpuint(t.num_queues, ==, 3);
    g_assert_cmpuint(t.max_request, ==, 4096);
    g_assert_cmpuint(qvirtio_config_readw(t.dev,
        offsetof(struct virtio_echo_config, batch)), ==, 5);
    g_assert_cmpuint(qvirtio_config_readb(t.dev,
        offsetof(struct virtio_echo_config, order)), ==,
        VIRTIO_ECHO_ORDER_LIFO);
    g_assert_true(echo_has(&t, VIRTIO_ECHO_F_ORDER));
    g_assert_true(echo_has(&t, VIRTIO_F_VERSION_1));
    echo_end(&t);
}

/* Used length is what was written, for either part longer, empty or absent */
static void test_lengths(void *obj, void *data, QGuestAllocator *alloc)
{
    static const uint32_t lengths[][2] = {
        { 1, 1 }, { 64, 64 }, { 100, 40 }, { 40, 100 }, { 5000, 5000 },
        { 1, 0 }, { 0, 1 }, { 4095, 4097 }, { 4097, 4095 }, { 70000, 70000 },
    };
    EchoTest t;

    echo_start(&t, obj, alloc, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(lengths); i++) {
        echo_one(&t, t.vq[0], lengths[i][0], lengths[i][1], i, 1);
    }
    echo_end(&t);
}

static void test_segments(void *obj, void *data, QGuestAllocator *alloc)
{
    EchoTest t;

    echo_start(&t, obj, alloc, 0);
    for (unsigned segments = 1; segments <= 8; segments++) {
        echo_one(&t, t.vq[0], 300, 300, segments, segments);
        echo_one(&t, t.vq[0], 500, 211, segments, segments);
        echo_one(&t, t.vq[0], 7, 300, segments, segments);
    }
    echo_end(&t);
}

static void test_indirect(void *obj, void *data, QGuestAllocator *alloc)
{
    EchoTest t;

    echo_start(&t, obj, alloc, 0);
    g_assert_true(echo_has(&t, VIRTIO_RING_F_INDIRECT_DESC));
    for (unsigned segments = 1; segments <= 4; segments++) {
        EchoRequest req = echo_prepare(&t, 200, 180, segments);
        uint32_t len;

        echo_add_indirect(&t, t.vq[0], &req, segments);
        qvirtqueue_kick(t.qts, t.dev, t.vq[0], req.token);
        g_assert_cmpuint(echo_wait(&t, t.vq[0], &len), ==, req.token);
        echo_finish(&t, &req, len);
        echo_recycle(&t, t.vq[0]);
    }
    echo_end(&t);
}

/* Many times round a small ring, chains of changing length */
static void test_wraps(void *obj, void *data, QGuestAllocator *alloc)
{
    EchoTest t;

    echo_start(&t, obj, alloc, 0);
    echo_resize_queue(&t, 0, 8);
    for (unsigned i = 0; i < 100; i++) {
        echo_one(&t, t.vq[0], 10 + i, 10 + i, i, 1 + i % 4);
    }
    echo_end(&t);
}

/*
 * 4.1.5.2: with NOTIFICATION_DATA a notification says where the driver will
 * put the next buffer. A device that uses it at all must take it for a hint.
 */
static void test_notification_data(void *obj, void *data,
                                   QGuestAllocator *alloc)
{
    const unsigned size = 8;
    unsigned requests = 0, descriptors = 0;
    EchoTest t;

    echo_start(&t, obj, alloc, 0);
    g_assert_true(echo_has(&t, VIRTIO_F_NOTIFICATION_DATA));
    echo_resize_queue(&t, 0, size);
    for (unsigned i = 0; i < 100; i++) {
        QVirtQueue *vq = t.vq[0];
        unsigned segments = 1 + i % 4;
        unsigned next;

        echo_one(&t, vq, 10 + i, 10 + i, i, segments);
        requests++;
        descriptors += 2 * segments;
        if (qvirtio_is_packed(t.dev)) {
            next = descriptors % size | (descriptors / size % 2 ? 0 : 1 << 15);
        } else {
            next = requests;
        }
        g_assert_cmphex(qvirtqueue_notify_data(t.qts, vq), ==,
                        vq->index | next << 16);

        for (unsigned wrong = 0; wrong < 0x10000; wrong += 0x1357) {
            qpci_io_writel(t.pci->pdev, t.pci->bar,
                           container_of(vq, QVirtQueuePCI, vq)->notify_offset,
                           vq->index | wrong << 16);
        }
    }
    echo_end(&t);
}

static void test_max_request(void *obj, void *data, QGuestAllocator *alloc)
{
    EchoTest t;

    echo_start(&t, obj, alloc, 0);
    g_assert_cmpuint(t.max_request, ==, 100);
    echo_one(&t, t.vq[0], 99, 99, 1, 1);
    echo_one(&t, t.vq[0], 100, 100, 2, 1);
    echo_one(&t, t.vq[0], 101, 101, 3, 1);
    echo_one(&t, t.vq[0], 4000, 4000, 4, 3);
    echo_end(&t);
}

static void expect_order(EchoTest *t, const unsigned *want, unsigned count)
{
    g_autofree unsigned *order = g_new(unsigned, count);

    echo_batch(t, t->vq[0], count, order);
    for (unsigned i = 0; i < count; i++) {
        g_assert_cmpuint(order[i], ==, want[i]);
    }
}

static void test_fifo(void *obj, void *data, QGuestAllocator *alloc)
{
    static const unsigned want[] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    EchoTest t;

    echo_start(&t, obj, alloc, 0);
    g_assert_false(echo_has(&t, VIRTIO_ECHO_F_ORDER));
    expect_order(&t, want, ARRAY_SIZE(want));
    expect_order(&t, want, ARRAY_SIZE(want));
    echo_end(&t);
}

static void test_in_order(void *obj, void *data, QGuestAllocator *alloc)
{
    static const unsigned want[] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    EchoTest t;

    echo_start(&t, obj, alloc, 0);
    g_assert_true(echo_has(&t, VIRTIO_F_IN_ORDER));
    expect_order(&t, want, ARRAY_SIZE(want));
    expect_order(&t, want, ARRAY_SIZE(want));
    echo_end(&t);
}

/* batch=3: the last, shorter batch is turned round as well */
static void test_lifo(void *obj, void *data, QGuestAllocator *alloc)
{
    static const unsigned want[] = { 2, 1, 0, 5, 4, 3, 7, 6 };
    EchoTest t;

    echo_start(&t, obj, alloc, 0);
    expect_order(&t, want, ARRAY_SIZE(want));
    expect_order(&t, want, ARRAY_SIZE(want));
    echo_end(&t);
}

/* A driver that does not know of other orders is not given any. */
static void test_order_refused(void *obj, void *data, QGuestAllocator *alloc)
{
    static const unsigned want[] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    EchoTest t;

    echo_start(&t, obj, alloc, BIT_OF(VIRTIO_ECHO_F_ORDER));
    expect_order(&t, want, ARRAY_SIZE(want));
    echo_end(&t);
}

/* The shuffle goes on within a run and repeats itself after a reset. */
static void test_random(void *obj, void *data, QGuestAllocator *alloc)
{
    unsigned first[8], second[8], again[8];
    EchoTest t;

    echo_start(&t, obj, alloc, 0);
    echo_restart(&t);
    echo_batch(&t, t.vq[0], 8, first);
    echo_batch(&t, t.vq[0], 8, second);
    g_assert_cmpint(memcmp(first, second, sizeof(first)), !=, 0);

    echo_restart(&t);
    echo_batch(&t, t.vq[0], 8, again);
    g_assert_cmpmem(again, sizeof(again), first, sizeof(first));
    echo_batch(&t, t.vq[0], 8, again);
    g_assert_cmpmem(again, sizeof(again), second, sizeof(second));
    echo_end(&t);
}

static void test_queues(void *obj, void *data, QGuestAllocator *alloc)
{
    EchoRequest req[4];
    EchoTest t;

    echo_start(&t, obj, alloc, 0);
    g_assert_cmpuint(t.num_queues, ==, 4);
    for (unsigned i = 0; i < 4; i++) {
        req[i] = echo_prepare(&t, 50 + i, 50 + i, i);
        echo_add(&t, t.vq[i], &req[i], 1);
        echo_publish(&t, t.vq[i], &req[i], 1);
    }
    /* only the queue that is kicked answers */
    for (unsigned n = 0; n < 4; n++) {
        unsigned i = 3 - n;
        uint32_t len;

        for (unsigned j = 0; j < i; j++) {
            g_assert_false(qvirtqueue_get_buf(t.qts, t.vq[j], NULL, NULL));
        }
        echo_kick(&t, t.vq[i]);
        g_assert_cmpuint(echo_wait(&t, t.vq[i], &len), ==, req[i].token);
        echo_finish(&t, &req[i], len);
    }
    echo_end(&t);
}

/* No interrupt before the completion that the driver asked for */
static void test_used_event(void *obj, void *data, QGuestAllocator *alloc)
{
    EchoTest t;

    echo_start(&t, obj, alloc, 0);
    g_assert_true(echo_has(&t, VIRTIO_RING_F_EVENT_IDX));
    echo_one(&t, t.vq[0], 8, 8, 0, 1);
    qvirtio_wait_queue_isr(t.qts, t.dev, t.vq[0], ECHO_TIMEOUT_US);

    qvirtqueue_set_used_event(t.qts, t.vq[0], 3);
    for (unsigned i = 1; i < 3; i++) {
        echo_one(&t, t.vq[0], 8, 8, i, 1);
        g_assert_false(t.dev->bus->get_queue_isr_status(t.dev, t.vq[0]));
    }
    echo_one(&t, t.vq[0], 8, 8, 3, 1);
    qvirtio_wait_queue_isr(t.qts, t.dev, t.vq[0], ECHO_TIMEOUT_US);
    echo_end(&t);
}

/*
 * More bytes at once than a pass takes: the device goes on by itself. The
 * requests share their memory.
 */
static void test_long_pass(void *obj, void *data, QGuestAllocator *alloc)
{
    EchoRequest req[12];
    EchoTest t;

    echo_start(&t, obj, alloc, 0);
    req[0] = echo_prepare(&t, 1 * MiB, 1 * MiB, 7);
    for (unsigned i = 0; i < ARRAY_SIZE(req); i++) {
        req[i] = req[0];
        echo_add(&t, t.vq[0], &req[i], 1);
    }
    echo_publish(&t, t.vq[0], req, ARRAY_SIZE(req));
    echo_kick(&t, t.vq[0]);
    for (unsigned i = 0; i < ARRAY_SIZE(req); i++) {
        uint32_t len;

        g_assert_cmpuint(echo_wait(&t, t.vq[0], &len), ==, req[i].token);
        g_assert_cmpuint(len, ==, 1 * MiB);
    }
    echo_finish(&t, &req[0], 1 * MiB);
    echo_end(&t);
}

/* Everything at once in the queues, then a reset, then a working device */
static void test_reset(void *obj, void *data, QGuestAllocator *alloc)
{
    EchoTest t;

    echo_start(&t, obj, alloc, 0);
    for (unsigned round = 0; round < 10; round++) {
        EchoRequest shared = echo_prepare(&t, 64 * KiB, 64 * KiB, round);

        for (unsigned n = 0; n < t.num_queues; n++) {
            EchoRequest req[20];

            for (unsigned i = 0; i < ARRAY_SIZE(req); i++) {
                req[i] = shared;
                echo_add(&t, t.vq[n], &req[i], 1);
            }
            echo_publish(&t, t.vq[n], req, ARRAY_SIZE(req));
            echo_kick(&t, t.vq[n]);
        }
        echo_restart(&t);
        guest_free(alloc, shared.out);
        guest_free(alloc, shared.in);
        for (unsigned n = 0; n < t.num_queues; n++) {
            echo_one(&t, t.vq[n], 64, 64, n, 1);
        }
    }
    echo_end(&t);
}

/* One queue is reset and resized while another goes on. */
static void test_queue_resize(void *obj, void *data, QGuestAllocator *alloc)
{
    static const uint16_t sizes[] = { 8, 64, 2, 16 };
    EchoTest t;

    echo_start(&t, obj, alloc, 0);
    g_assert_true(echo_has(&t, VIRTIO_F_RING_RESET));
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        EchoRequest other = echo_prepare(&t, 64, 64, i);
        uint32_t len;

        echo_one(&t, t.vq[0], 64, 64, i, 1);
        echo_add(&t, t.vq[1], &other, 1);
        echo_publish(&t, t.vq[1], &other, 1);

        echo_resize_queue(&t, 0, sizes[i]);
        for (unsigned j = 0; j < 10; j++) {
            echo_one(&t, t.vq[0], 64, 64, j, 1);
        }

        echo_kick(&t, t.vq[1]);
        g_assert_cmpuint(echo_wait(&t, t.vq[1], &len), ==, other.token);
        echo_finish(&t, &other, len);
        echo_recycle(&t, t.vq[1]);
    }
    echo_end(&t);
}

static uint64_t read_counter(EchoTest *t, const char *name)
{
    QDict *rsp = qtest_qmp(t->qts, "{ 'execute': 'qom-get', 'arguments': "
                           "{ 'path': '/machine/peripheral/echo0',"
                           "  'property': %s } }", name);
    uint64_t value = qdict_get_int(rsp, "return");

    qobject_unref(rsp);
    return value;
}

static void test_counters(void *obj, void *data, QGuestAllocator *alloc)
{
    uint64_t requests, bytes;
    EchoTest t;

    echo_start(&t, obj, alloc, 0);
    requests = read_counter(&t, "requests");
    bytes = read_counter(&t, "bytes");
    echo_one(&t, t.vq[0], 100, 100, 0, 1);
    echo_one(&t, t.vq[0], 100, 30, 1, 1);
    echo_one(&t, t.vq[0], 100, 0, 2, 1);
    g_assert_cmpuint(read_counter(&t, "requests") - requests, ==, 3);
    g_assert_cmpuint(read_counter(&t, "bytes") - bytes, ==, 130);
    echo_end(&t);
}

static void hotplug(QTestState *qts, const char *iothread)
{
    QDict *args = qdict_new();

    qdict_put_str(args, "id", "echo1");
    qdict_put_str(args, "addr", stringify(HOTPLUG_SLOT));
    if (iothread) {
        qdict_put_str(args, "iothread", iothread);
    }
    qtest_qmp_device_add_qdict(qts, "virtio-echo-pci", args);
    qobject_unref(args);
}

/* Plug a device, work it, pull it with requests queued; several times */
static void test_hotplug(void *obj, void *data, QGuestAllocator *alloc)
{
    QVirtioPCIDevice *first = obj;
    QPCIBus *bus = first->pdev->bus;
    QTestState *qts = bus->qts;
    QPCIAddress addr = { .devfn = QPCI_DEVFN(HOTPLUG_SLOT, 0) };

    if (bus->not_hotpluggable) {
        g_test_skip("this PCI bus does not support hot plug");
        return;
    }
    for (unsigned round = 0; round < 3; round++) {
        QVirtioPCIDevice *dev;
        QVirtioEcho echo;
        EchoRequest req;
        EchoTest t;

        hotplug(qts, data);
        dev = virtio_pci_new(bus, &addr);
        g_assert_nonnull(dev);
        qvirtio_pci_device_enable(dev);
        qvirtio_start_device(&dev->vdev);
        echo.vdev = &dev->vdev;

        echo_start(&t, &echo, alloc, 0);
        echo_one(&t, t.vq[0], 100, 100, round, 2);
        req = echo_prepare(&t, 1 * MiB, 1 * MiB, round);
        echo_add(&t, t.vq[0], &req, 1);
        echo_publish(&t, t.vq[0], &req, 1);
        echo_kick(&t, t.vq[0]);

        qpci_unplug_acpi_device_test(qts, "echo1", HOTPLUG_SLOT);
        qvirtqueue_cleanup(t.dev->bus, t.vq[0], alloc);
        qvirtio_pci_device_disable(dev);
        g_free(dev->pdev);
        g_free(dev);
    }
}

static void add_test(const char *name, const char *options,
                     QOSTestFunc function)
{
    QOSGraphTestOptions opts = { .edge.extra_device_opts = options };

    qos_add_test(name, "virtio-echo", function, &opts);
}

/* The same test with the queues in an IOThread */
static void add_iothread_test(const char *name, const char *options,
                              QOSTestFunc function)
{
    g_autofree char *full = g_strdup_printf("%s/iothread", name);
    QOSGraphTestOptions opts = {
        .edge.extra_device_opts = options,
        .edge.after_cmd_line = ECHO_IOTHREAD,
    };

    qos_add_test(full, "virtio-echo", function, &opts);
}

static void register_virtio_echo_tests(void)
{
    QOSGraphTestOptions plug = { .edge.after_cmd_line = ECHO_IOTHREAD };

    add_test("config", "num-queues=3,batch=5,order=lifo,max-request=4096",
             test_config);
    add_test("lengths", NULL, test_lengths);
    add_test("segments", NULL, test_segments);
    add_test("indirect", NULL, test_indirect);
    add_test("wraps", NULL, test_wraps);
    add_test("notification-data", "notification_data=on,ioeventfd=off",
             test_notification_data);
    add_test("max-request", "max-request=100", test_max_request);
    add_test("fifo", NULL, test_fifo);
    add_test("in-order", "in_order=on", test_in_order);
    add_test("lifo", "order=lifo,batch=3", test_lifo);
    add_test("order-refused", "order=lifo", test_order_refused);
    add_test("random", "order=random,seed=42", test_random);
    add_test("queues", "num-queues=4", test_queues);
    add_test("used-event", NULL, test_used_event);
    add_test("long-pass", NULL, test_long_pass);
    add_test("long-pass/no-ioeventfd", "ioeventfd=off", test_long_pass);
    add_test("reset", "num-queues=4", test_reset);
    add_test("queue-resize", "num-queues=2", test_queue_resize);
    add_test("counters", NULL, test_counters);

    add_iothread_test("lengths", "iothread=io0", test_lengths);
    add_iothread_test("segments", "iothread=io0", test_segments);
    add_iothread_test("wraps", "iothread=io0", test_wraps);
    add_iothread_test("fifo", "iothread=io0", test_fifo);
    add_iothread_test("long-pass", "iothread=io0", test_long_pass);
    add_iothread_test("used-event", "iothread=io0", test_used_event);
    add_iothread_test("reset", "num-queues=4,iothread=io0", test_reset);
    add_iothread_test("queue-resize", "num-queues=2,iothread=io0",
                      test_queue_resize);

    qos_add_test("hotplug", "virtio-echo-pci", test_hotplug, NULL);
    plug.arg = (void *)"io0";
    qos_add_test("hotplug/iothread", "virtio-echo-pci", test_hotplug, &plug);
}

libqos_init(register_virtio_echo_tests);
