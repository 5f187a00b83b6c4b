/*
 * Packed virtqueue tests: descriptors, chains, wrap counters, order, resets
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Section numbers are those of virtio 1.3.
 */

#include "qemu/osdep.h"
#include "libqtest-single.h"
#include "qemu/bitmap.h"
#include "qemu/bswap.h"
#include "qemu/module.h"
#include "qobject/qdict.h"
#include "standard-headers/linux/virtio_blk.h"
#include "standard-headers/linux/virtio_config.h"
#include "libqos/virtio-packed-disk.h"
#include "libqos/virtio-rng.h"

/* 2.8.6: readable and writable elements of one chain, and the length used */
static void test_write_then_read(void *obj, void *data, QGuestAllocator *alloc)
{
    static const uint8_t magic[PACKED_REQ_DATA] = "written through the ring";
    uint8_t readback[PACKED_REQ_DATA];
    struct virtio_blk_outhdr hdr = {
        .type = cpu_to_le32(VIRTIO_BLK_T_OUT),
        .sector = cpu_to_le64(7),
    };
    PackedDisk disk;
    PackedRead req;
    uint32_t len, token;

    packed_disk_start(&disk, obj, alloc, 0, 0);

    req = packed_read_prepare(&disk, 7);
    qtest_memwrite(disk.qts, req.addr, &hdr, sizeof(hdr));
    qtest_memwrite(disk.qts, req.addr + PACKED_REQ_HDR, magic, sizeof(magic));
    token = qvirtqueue_add(disk.qts, disk.vq, req.addr, PACKED_REQ_STATUS,
                           false, true);
    qvirtqueue_add(disk.qts, disk.vq, req.addr + PACKED_REQ_STATUS, 1, true,
                   false);
    qvirtqueue_kick(disk.qts, disk.vdev, disk.vq, token);
    g_assert_cmpuint(packed_wait_used(&disk, &len), ==, token);
    g_assert_cmpuint(len, ==, 1);
    g_assert_cmpuint(qtest_readb(disk.qts, req.addr + PACKED_REQ_STATUS), ==,
                     VIRTIO_BLK_S_OK);

    hdr.type = cpu_to_le32(VIRTIO_BLK_T_IN);
    qtest_memset(disk.qts, req.addr, 0xff, PACKED_REQ_SIZE);
    qtest_memwrite(disk.qts, req.addr, &hdr, sizeof(hdr));
    packed_read_add(&disk, &req, PACKED_DIRECT);
    qvirtqueue_kick(disk.qts, disk.vdev, disk.vq, req.token);
    g_assert_cmpuint(packed_wait_used(&disk, &len), ==, req.token);
    g_assert_cmpuint(len, ==, PACKED_READ_LEN);
    qtest_memread(disk.qts, req.addr + PACKED_REQ_HDR, readback,
                  sizeof(readback));
    g_assert_cmpmem(readback, sizeof(readback), magic, sizeof(magic));

    guest_free(alloc, req.addr);
    packed_disk_end(&disk);
}

/* 2.8.1: chains that end on the last descriptor, and chains that span it */
static void test_chains_across_ring_end(void *obj, void *data,
                                        QGuestAllocator *alloc)
{
    const unsigned size = 16;
    unsigned i, spanning = 0, ending = 0;
    PackedDisk disk;

    packed_disk_start(&disk, obj, alloc, size, 0);
    /* 3 and 16 have no common divisor, so every head position comes up. */
    for (i = 0; i < 3 * size; i++) {
        PackedRead req = packed_read_submit(&disk, i, PACKED_DIRECT);
        unsigned end = qvirtqueue_packed_head(disk.vq, req.token, NULL) + 3;
        uint32_t len;

        spanning += end > size;
        ending += end == size;
        g_assert_cmpuint(packed_wait_used(&disk, &len), ==, req.token);
        packed_read_finish(&disk, &req, len);
    }
    g_assert_cmpuint(spanning, ==, 6);
    g_assert_cmpuint(ending, ==, 3);
    packed_disk_end(&disk);
}

/* A read whose data is cut into as many pieces as fill the ring */
static PackedRead submit_chain(PackedDisk *disk, uint64_t sector, unsigned num)
{
    PackedRead req = packed_read_prepare(disk, sector);
    unsigned pieces = num - 2;
    unsigned piece = PACKED_REQ_DATA / pieces;
    unsigned i;

    req.token = qvirtqueue_add(disk->qts, disk->vq, req.addr, PACKED_REQ_HDR,
                               false, true);
    for (i = 0; i < pieces; i++) {
        unsigned start = i * piece;
        unsigned len = i == pieces - 1 ? PACKED_REQ_DATA - start : piece;

        qvirtqueue_add(disk->qts, disk->vq,
                       req.addr + PACKED_REQ_HDR + start, len, true, true);
    }
    qvirtqueue_add(disk->qts, disk->vq, req.addr + PACKED_REQ_STATUS, 1, true,
                   false);
    qvirtqueue_kick(disk->qts, disk->vdev, disk->vq, req.token);
    return req;
}

/* 2.8.5: the longest legal chain is as long as the queue, from any position */
static void test_chain_as_long_as_ring(void *obj, void *data,
                                       QGuestAllocator *alloc)
{
    const unsigned size = 9;
    unsigned i;
    PackedDisk disk;

    packed_disk_start(&disk, obj, alloc, size, 0);
    for (i = 0; i < size; i++) {
        PackedRead req = submit_chain(&disk, i, size);
        uint32_t len;

        g_assert_cmpuint(disk.vq->num_free, ==, 0);
        g_assert_cmpuint(packed_wait_used(&disk, &len), ==, req.token);
        packed_read_finish(&disk, &req, len);
        /* Moves the next head on by one position. */
        packed_read_one(&disk, i, PACKED_INDIRECT);
    }
    packed_disk_end(&disk);
}

/* 2.8.10.1: a packed queue's size need not be a power of two */
static void test_any_queue_size(void *obj, void *data, QGuestAllocator *alloc)
{
    static const uint16_t sizes[] = { 3, 4, 5, 7, 33, 100, 1000 };
    PackedDisk disk;
    unsigned s, i;

    packed_disk_start(&disk, obj, alloc, sizes[0], 0);
    for (s = 0; s < ARRAY_SIZE(sizes); s++) {
        if (s) {
            packed_disk_restart(&disk, sizes[s]);
        }
        g_assert_cmpuint(disk.vq->size, ==, sizes[s]);
        /* At least once around, and past the wrap of the wrap. */
        for (i = 0; i < 2 * sizes[s] / 3 + 2; i++) {
            packed_read_one(&disk, i, PACKED_DIRECT);
        }
    }
    packed_disk_end(&disk);
}

/* 2.8.7: indirect tables, down to a ring of a single descriptor */
static void test_indirect(void *obj, void *data, QGuestAllocator *alloc)
{
    static const uint16_t sizes[] = { 4, 1, 2 };
    PackedDisk disk;
    unsigned s, i;

    packed_disk_start(&disk, obj, alloc, sizes[0], 0);
    for (s = 0; s < ARRAY_SIZE(sizes); s++) {
        if (s) {
            packed_disk_restart(&disk, sizes[s]);
        }
        for (i = 0; i < 3 * sizes[s] + 1; i++) {
            packed_read_one(&disk, i, PACKED_INDIRECT);
        }
    }
    packed_disk_end(&disk);
}

static void test_direct_and_indirect_mixed(void *obj, void *data,
                                           QGuestAllocator *alloc)
{
    PackedDisk disk;
    unsigned i;

    packed_disk_start(&disk, obj, alloc, 7, 0);
    for (i = 0; i < 40; i++) {
        packed_read_one(&disk, i, i % 3 ? PACKED_DIRECT : PACKED_INDIRECT);
    }
    packed_disk_end(&disk);
}

/*
 * Several rounds of as many requests as the ring holds, made available in
 * reverse, so that the whole batch appears at once, with a single kick.
 */
static void run_full_batches(PackedDisk *disk, unsigned batch,
                             PackedLayout layout, bool in_order)
{
    g_autofree PackedRead *reqs = g_new(PackedRead, batch);
    g_autofree unsigned long *seen = bitmap_new(batch);
    unsigned round, i, n;

    for (round = 0; round < 5; round++) {
        for (i = 0; i < batch; i++) {
            reqs[i] = packed_read_prepare(disk, round * batch + i);
            packed_read_add(disk, &reqs[i], layout);
        }
        for (i = batch; i-- > 0; ) {
            qvirtqueue_packed_publish(disk->qts, disk->vq, reqs[i].token);
        }
        disk->vdev->bus->virtqueue_kick(disk->vdev, disk->vq);

        bitmap_zero(seen, batch);
        for (n = 0; n < batch; n++) {
            uint32_t len;
            uint32_t token = packed_wait_used(disk, &len);

            for (i = 0; i < batch && reqs[i].token != token; i++) {
                /* find the request with this token */
            }
            g_assert_cmpuint(i, <, batch);
            g_assert_false(test_and_set_bit(i, seen));
            if (in_order) {
                g_assert_cmpuint(i, ==, n);
            }
            packed_read_finish(disk, &reqs[i], len);
        }
        g_assert_cmpuint(disk->vq->num_free, ==, disk->vq->size);
    }
}

/* 2.8.1: every descriptor of the ring in flight, completed in any order */
static void test_whole_ring_in_flight(void *obj, void *data,
                                      QGuestAllocator *alloc)
{
    PackedDisk disk;

    packed_disk_start(&disk, obj, alloc, 12, 0);
    run_full_batches(&disk, 12, PACKED_INDIRECT, false);
    run_full_batches(&disk, 4, PACKED_DIRECT, false);
    packed_disk_end(&disk);
}

/* 2.8.9: with IN_ORDER buffers come back in the order they were offered */
static void test_in_order(void *obj, void *data, QGuestAllocator *alloc)
{
    PackedDisk disk;

    packed_disk_start(&disk, obj, alloc, 32, 0);
    g_assert_cmphex(disk.vdev->features & (1ull << VIRTIO_F_IN_ORDER), !=, 0);
    run_full_batches(&disk, 10, PACKED_DIRECT, true);
    run_full_batches(&disk, 31, PACKED_INDIRECT, true);
    g_assert_cmpuint(qvirtqueue_packed_used_writes(disk.vq), <=, 5 * (10 + 31));
    packed_disk_end(&disk);
}

/* 2.8.13: the buffer id is the driver's own, any value is returned as it is */
static void test_buffer_id_is_opaque(void *obj, void *data,
                                     QGuestAllocator *alloc)
{
    static const uint16_t ids[] = { 0xffff, 0, 0x8000, 4 };
    QVRingPackedDesc used;
    PackedDisk disk;
    unsigned i;

    packed_disk_start(&disk, obj, alloc, 4, 0);
    for (i = 0; i < ARRAY_SIZE(ids); i++) {
        PackedRead req = packed_read_prepare(&disk, i);
        uint16_t avail = qvring_packed_avail_bits(true);
        gint64 start = g_get_monotonic_time();
        QVRingPackedDesc chain[] = {
            { req.addr, PACKED_REQ_HDR, ids[i] ^ 1,
              VRING_DESC_F_NEXT | avail },
            { req.addr + PACKED_REQ_HDR, PACKED_REQ_DATA, ids[i] ^ 2,
              VRING_DESC_F_NEXT | VRING_DESC_F_WRITE | avail },
            { req.addr + PACKED_REQ_STATUS, 1, ids[i],
              VRING_DESC_F_WRITE | avail },
        };

        qvirtqueue_packed_write_raw(disk.qts, disk.vq, 2, &chain[2]);
        qvirtqueue_packed_write_raw(disk.qts, disk.vq, 1, &chain[1]);
        qvirtqueue_packed_write_raw(disk.qts, disk.vq, 0, &chain[0]);
        disk.vdev->bus->virtqueue_kick(disk.vdev, disk.vq);
        do {
            qvirtqueue_packed_read_desc(disk.qts, disk.vq, 0, &used);
            g_assert_cmpint(g_get_monotonic_time() - start, <,
                            PACKED_TIMEOUT_US);
        } while (!(used.flags & (1u << VRING_PACKED_DESC_F_USED)));

        g_assert_cmphex(used.id, ==, ids[i]);
        packed_read_finish(&disk, &req, used.len);
        packed_disk_restart(&disk, 4);
    }
    packed_disk_end(&disk);
}

/* 2.6.1: after a queue reset nothing is left, another size may follow */
static void test_queue_reset(void *obj, void *data, QGuestAllocator *alloc)
{
    static const uint16_t sizes[] = { 7, 16, 3 };
    PackedDisk disk;
    unsigned s, i;

    packed_disk_start(&disk, obj, alloc, 5, 0);
    g_assert_cmphex(disk.vdev->features & (1ull << VIRTIO_F_RING_RESET), !=, 0);
    for (s = 0; s < ARRAY_SIZE(sizes); s++) {
        /* Leave indices and wrap counters away from their reset values. */
        for (i = 0; i < 4; i++) {
            packed_read_one(&disk, i, PACKED_DIRECT);
        }
        packed_pci_queue_reset(disk.pci, disk.vq);
        /* To a disabled queue a notification means nothing. */
        disk.vdev->bus->virtqueue_kick(disk.vdev, disk.vq);
        packed_disk_end(&disk);

        disk.vq = packed_pci_queue_setup(disk.pci, alloc, 0, sizes[s]);
        for (i = 0; i < sizes[s]; i++) {
            packed_read_one(&disk, i, PACKED_DIRECT);
        }
    }
    packed_disk_restart(&disk, 6);
    packed_read_one(&disk, 1, PACKED_DIRECT);
    packed_disk_end(&disk);
}

/* 2.1.2, 2.4: a device reset ends all access to the ring it interrupted */
static void test_device_reset_in_flight(void *obj, void *data,
                                        QGuestAllocator *alloc)
{
    uint8_t before[8 * QVRING_PACKED_DESC_SIZE + 8], after[sizeof(before)];
    PackedDisk disk;
    QVirtQueue *old;
    unsigned i;

    packed_disk_start(&disk, obj, alloc, 8, 0);
    for (i = 0; i < 8; i++) {
        packed_read_submit(&disk, i, PACKED_INDIRECT);
    }
    qvirtio_start_device(disk.vdev);
    old = disk.vq;
    qtest_memread(disk.qts, old->desc, before, sizeof(before));

    /* The old ring stays allocated, so that a late write to it would show. */
    qvirtio_set_features(disk.vdev, qvirtio_get_features(disk.vdev) &
                                    ~QVIRTIO_F_BAD_FEATURE);
    disk.vq = packed_pci_queue_setup(disk.pci, alloc, 0, 5);
    qvirtio_set_driver_ok(disk.vdev);
    for (i = 0; i < 10; i++) {
        PackedRead req = packed_read_submit(&disk, i, PACKED_DIRECT);

        g_assert_cmpuint(packed_wait_used(&disk, NULL), ==, req.token);
        guest_free(alloc, req.addr);
    }
    qtest_memread(disk.qts, old->desc, after, sizeof(after));
    g_assert_cmpmem(before, sizeof(before), after, sizeof(after));

    qvirtqueue_cleanup(disk.vdev->bus, old, alloc);
    packed_disk_end(&disk);
}

static void *slow_disk_cmdline(GString *cmd_line, void *arg)
{
    g_string_append(cmd_line, " -blockdev null-co,node-name=drive0,"
                    "size=1048576,read-zeroes=on,latency-ns=20000000 ");
    return arg;
}

static QDict *query_queue(QTestState *qts)
{
    return qtest_qmp_assert_success_ref(qts,
        "{ 'execute': 'x-query-virtio-queue-status', 'arguments': {"
        "  'path': '/machine/peripheral/drv0/virtio-backend', 'queue': 0 } }");
}

/* What management sees of a queue is where the driver knows it to be. */
static void test_qmp_shows_position(void *obj, void *data,
                                    QGuestAllocator *alloc)
{
    PackedDisk disk;
    unsigned i;

    packed_disk_start(&disk, obj, alloc, 10, 0);
    for (i = 0; i < 12; i++) {
        QDict *status;

        packed_read_one(&disk, i, PACKED_DIRECT);
        status = query_queue(disk.qts);
        g_assert_cmpint(qdict_get_int(status, "vring-num"), ==, 10);
        g_assert_cmphex(qdict_get_int(status, "vring-desc"), ==, disk.vq->desc);
        g_assert_cmpint(qdict_get_int(status, "inuse"), ==, 0);
        g_assert_cmpint(qdict_get_int(status, "used-idx"), ==,
                        disk.vq->last_used_idx);
        g_assert_cmpint(qdict_get_int(status, "last-avail-idx") & 0x7fff, ==,
                        disk.vq->free_head);
        qobject_unref(status);
    }
    packed_disk_end(&disk);
}

static void test_qmp_names_engine(void *obj, void *data,
                                  QGuestAllocator *alloc)
{
    QDict *status, *ring, *counters;
    PackedDisk disk;
    unsigned i;

    packed_disk_start(&disk, obj, alloc, 10, 0);
    for (i = 0; i < 12; i++) {
        packed_read_one(&disk, i, PACKED_DIRECT);
    }
    status = query_queue(disk.qts);
    ring = qdict_get_qdict(status, "ring");
    g_assert_true(g_str_has_prefix(qdict_get_str(ring, "engine"),
                                   "vadis: packed"));
    counters = qdict_get_qdict(ring, "counters");
    g_assert_cmpint(qdict_get_int(counters, "requests"), ==, 12);
    g_assert_cmpint(qdict_get_int(counters, "batches"), ==, 12);
    g_assert_cmpint(qdict_get_int(counters, "kicks"), >=, 12);
    g_assert_cmpint(qdict_get_int(counters, "interrupts") +
                    qdict_get_int(counters, "interrupts-suppressed"), >=, 12);
    g_assert_cmpint(qdict_get_int(counters, "errors"), ==, 0);
    qobject_unref(status);
    packed_disk_end(&disk);
}

static void test_qmp_names_stock(void *obj, void *data, QGuestAllocator *alloc)
{
    QDict *status, *ring;
    PackedDisk disk;

    packed_disk_start(&disk, obj, alloc, 10, 0);
    packed_read_one(&disk, 0, PACKED_DIRECT);
    status = query_queue(disk.qts);
    ring = qdict_get_qdict(status, "ring");
    g_assert_cmpstr(qdict_get_str(ring, "engine"), ==, "stock: x-ring=stock");
    g_assert_false(qdict_haskey(ring, "counters"));
    qobject_unref(status);
    packed_disk_end(&disk);
}

static void test_qmp_shows_chain(void *obj, void *data,
                                 QGuestAllocator *alloc)
{
    QDict *element, *desc;
    PackedDisk disk;
    PackedRead req;
    QList *descs;

    packed_disk_start(&disk, obj, alloc, 10, 0);
    /* Not published: shown as it stands in the ring */
    req = packed_read_prepare(&disk, 3);
    packed_read_add(&disk, &req, PACKED_DIRECT);
    element = qtest_qmp_assert_success_ref(disk.qts,
        "{ 'execute': 'x-query-virtio-queue-element', 'arguments': {"
        "  'path': '/machine/peripheral/drv0/virtio-backend', 'queue': 0,"
        "  'index': 1 } }");
    descs = qdict_get_qlist(element, "descs");
    g_assert_cmpuint(qlist_size(descs), ==, 2);
    desc = qobject_to(QDict, qlist_peek(descs));
    g_assert_cmphex(qdict_get_int(desc, "addr"), ==,
                    req.addr + PACKED_REQ_HDR);
    g_assert_cmpint(qdict_get_int(desc, "len"), ==, PACKED_REQ_DATA);
    qobject_unref(element);
    guest_free(disk.alloc, req.addr);
    packed_disk_end(&disk);
}

/* A device whose buffers are write-only, over a small ring */
static void test_rng(void *obj, void *data, QGuestAllocator *alloc)
{
    QVirtioPCIDevice *pci = obj;
    QVirtioDevice *vdev = &pci->vdev;
    QTestState *qts = global_qtest;
    uint8_t zero[64] = { 0 }, random[sizeof(zero)];
    uint64_t addr = guest_alloc(alloc, sizeof(random));
    QVirtQueue *vq;
    unsigned i;

    qvirtio_set_features(vdev, qvirtio_get_features(vdev) &
                               ~QVIRTIO_F_BAD_FEATURE);
    g_assert_true(qvirtio_is_packed(vdev));
    vq = packed_pci_queue_setup(pci, alloc, 0, 3);
    qvirtio_set_driver_ok(vdev);

    for (i = 0; i < 10; i++) {
        gint64 start = g_get_monotonic_time();
        uint32_t token, used, len;

        qtest_memset(qts, addr, 0, sizeof(random));
        token = qvirtqueue_add(qts, vq, addr, 32, true, true);
        qvirtqueue_add(qts, vq, addr + 32, 32, true, false);
        qvirtqueue_kick(qts, vdev, vq, token);
        while (!qvirtqueue_get_buf(qts, vq, &used, &len)) {
            g_assert_cmpint(g_get_monotonic_time() - start, <,
                            PACKED_TIMEOUT_US);
        }
        g_assert_cmpuint(used, ==, token);
        g_assert_cmpuint(len, >, 0);
        qtest_memread(qts, addr, random, sizeof(random));
        /* 8 bytes or more are all zero once in 2^64 tries. */
        g_assert_true(len < 8 || memcmp(random, zero, len));
        /* Nothing beyond what the device says it wrote */
        g_assert_cmpint(memcmp(random + len, zero, sizeof(zero) - len), ==, 0);
    }
    guest_free(alloc, addr);
    qvirtqueue_cleanup(vdev->bus, vq, alloc);
}

static void add_disk_test(const char *name, QOSTestFunc func,
                          const char *device_opts)
{
    QOSGraphTestOptions opts = {
        .before = packed_disk_cmdline,
        .edge.extra_device_opts = device_opts,
    };

    qos_add_test(name, "virtio-blk-pci", func, &opts);
}

static void register_virtio_packed_test(void)
{
    QOSGraphTestOptions slow = {
        .before = slow_disk_cmdline,
        .edge.extra_device_opts = "packed=on",
    };
    QOSGraphTestOptions rng = { .edge.extra_device_opts = "packed=on" };

    add_disk_test("packed/write-then-read", test_write_then_read, "packed=on");
    add_disk_test("packed/chains-across-ring-end",
                  test_chains_across_ring_end, "packed=on");
    add_disk_test("packed/chains-across-ring-end-in-order",
                  test_chains_across_ring_end, "packed=on,in_order=on");
    add_disk_test("packed/chains-across-ring-end-iothread",
                  test_chains_across_ring_end, "packed=on,iothread=thread0");
    add_disk_test("packed/chains-across-ring-end-no-ioeventfd",
                  test_chains_across_ring_end, "packed=on,ioeventfd=off");
    add_disk_test("packed/chain-as-long-as-ring", test_chain_as_long_as_ring,
                  "packed=on");
    add_disk_test("packed/any-queue-size", test_any_queue_size, "packed=on");
    add_disk_test("packed/indirect", test_indirect, "packed=on");
    add_disk_test("packed/direct-and-indirect-mixed",
                  test_direct_and_indirect_mixed, "packed=on");
    add_disk_test("packed/whole-ring-in-flight", test_whole_ring_in_flight,
                  "packed=on");
    add_disk_test("packed/whole-ring-in-flight-iothread",
                  test_whole_ring_in_flight, "packed=on,iothread=thread0");
    add_disk_test("packed/in-order", test_in_order, "packed=on,in_order=on");
    add_disk_test("packed/in-order-iothread", test_in_order,
                  "packed=on,in_order=on,iothread=thread0");
    add_disk_test("packed/buffer-id-is-opaque", test_buffer_id_is_opaque,
                  "packed=on");
    add_disk_test("packed/queue-reset", test_queue_reset, "packed=on");
    add_disk_test("packed/qmp-shows-position", test_qmp_shows_position,
                  "packed=on");
    add_disk_test("packed/qmp-names-engine", test_qmp_names_engine,
                  "packed=on");
    add_disk_test("packed/qmp-names-stock", test_qmp_names_stock,
                  "packed=on,x-ring=stock");
    add_disk_test("packed/qmp-shows-chain", test_qmp_shows_chain,
                  "packed=on");
    qos_add_test("packed/device-reset-in-flight", "virtio-blk-pci",
                 test_device_reset_in_flight, &slow);
    qos_add_test("packed/write-only-buffers", "virtio-rng-pci", test_rng,
                 &rng);
}

libqos_init(register_virtio_packed_test);
