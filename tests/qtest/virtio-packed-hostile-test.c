/*
 * Packed virtqueue tests: what a device does with a broken or hostile ring
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Whatever the driver writes, QEMU must stay alive, must answer, and the
 * device must work again after a reset. Where the standard or plain sense
 * leaves only one outcome, DEVICE_NEEDS_RESET and the configuration interrupt
 * are required too (virtio 1.3, section 2.1.2).
 */

#include "qemu/osdep.h"
#include "libqtest-single.h"
#include "qemu/bswap.h"
#include "qemu/module.h"
#include "qemu/units.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_pci.h"
#include "libqos/virtio-packed-disk.h"

#define RING_SIZE       8u
#define NEXT            VRING_DESC_F_NEXT
#define WRITE           VRING_DESC_F_WRITE
#define INDIRECT        VRING_DESC_F_INDIRECT

/* Far above any RAM or device of the test machine, below 2^52 */
#define UNMAPPED        0x000f000000000000ull

typedef enum Outcome {
    NEEDS_RESET,                /* the device must give up and say so */
    COMPLETES,                  /* legal after all: the read must succeed */
    SURVIVES,                   /* either, as long as QEMU goes on */
} Outcome;

typedef struct HostileCase {
    const char *name;
    /* Writes the ring (all of it but the kick); @req is a prepared read. */
    void (*write)(PackedDisk *disk, PackedRead *req);
    Outcome outcome;
} HostileCase;

/* An available descriptor of the first lap */
static void put(PackedDisk *disk, uint16_t pos, uint64_t addr, uint32_t len,
                uint16_t flags)
{
    QVRingPackedDesc desc = {
        .addr = addr, .len = len, .id = 1,
        .flags = flags | qvring_packed_avail_bits(true),
    };

    qvirtqueue_packed_write_raw(disk->qts, disk->vq, pos, &desc);
}

/* The three descriptors of @req from position 1 on, or in a table */
static void put_data_and_status(PackedDisk *disk, PackedRead *req)
{
    put(disk, 2, req->addr + PACKED_REQ_STATUS, 1, WRITE);
    put(disk, 1, req->addr + PACKED_REQ_HDR, PACKED_REQ_DATA, WRITE | NEXT);
}

static uint64_t make_table(PackedDisk *disk, PackedRead *req, uint16_t noise)
{
    uint64_t table = guest_alloc(disk->alloc, 3 * QVRING_PACKED_DESC_SIZE);
    QVRingPackedDesc entry[] = {
        { req->addr, PACKED_REQ_HDR, 0xffff, noise },
        { req->addr + PACKED_REQ_HDR, PACKED_REQ_DATA, 0xffff, WRITE | noise },
        { req->addr + PACKED_REQ_STATUS, 1, 0xffff, WRITE | noise },
    };
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(entry); i++) {
        qvring_packed_indirect_write(disk->qts, table, i, &entry[i]);
    }
    return table;
}

static void put_table(PackedDisk *disk, PackedRead *req, uint32_t len)
{
    put(disk, 0, make_table(disk, req, 0), len, INDIRECT);
}

/* Chains */

static void endless_chain(PackedDisk *disk, PackedRead *req)
{
    unsigned i;

    for (i = RING_SIZE; i-- > 0; ) {
        put(disk, i, req->addr, PACKED_REQ_HDR, NEXT);
    }
}

static void endless_writable_chain(PackedDisk *disk, PackedRead *req)
{
    unsigned i;

    for (i = RING_SIZE; i-- > 1; ) {
        put(disk, i, req->addr + PACKED_REQ_HDR, 1, WRITE | NEXT);
    }
    put(disk, 0, req->addr, PACKED_REQ_HDR, NEXT);
}

static void readable_after_writable(PackedDisk *disk, PackedRead *req)
{
    put(disk, 1, req->addr, PACKED_REQ_HDR, 0);
    put(disk, 0, req->addr + PACKED_REQ_STATUS, 1, WRITE | NEXT);
}

static void zero_length_buffer(PackedDisk *disk, PackedRead *req)
{
    put_data_and_status(disk, req);
    put(disk, 0, req->addr, 0, NEXT);
}

static void no_room_for_header(PackedDisk *disk, PackedRead *req)
{
    put(disk, 1, req->addr + PACKED_REQ_STATUS, 1, WRITE);
    put(disk, 0, req->addr, PACKED_REQ_HDR - 1, NEXT);
}

static void no_room_for_status(PackedDisk *disk, PackedRead *req)
{
    put(disk, 0, req->addr, PACKED_REQ_HDR, 0);
}

/* Indirect tables */

static void table_length_zero(PackedDisk *disk, PackedRead *req)
{
    put_table(disk, req, 0);
}

static void table_length_odd(PackedDisk *disk, PackedRead *req)
{
    put_table(disk, req, 3 * QVRING_PACKED_DESC_SIZE - 1);
}

static void table_length_huge(PackedDisk *disk, PackedRead *req)
{
    put_table(disk, req, 0xfffffff0);
}

static void table_past_end_of_ram(PackedDisk *disk, PackedRead *req)
{
    /* Starts in RAM and runs far past its end: qtest machines have 128 MiB. */
    put(disk, 0, make_table(disk, req, 0), 1u << 30, INDIRECT);
}

static void table_unmapped(PackedDisk *disk, PackedRead *req)
{
    put(disk, 0, UNMAPPED, 3 * QVRING_PACKED_DESC_SIZE, INDIRECT);
}

static void table_in_own_registers(PackedDisk *disk, PackedRead *req)
{
    put(disk, 0, disk->pci->bar.addr, 3 * QVRING_PACKED_DESC_SIZE, INDIRECT);
}

static void table_is_the_ring(PackedDisk *disk, PackedRead *req)
{
    put(disk, 0, disk->vq->desc, RING_SIZE * QVRING_PACKED_DESC_SIZE,
        INDIRECT);
}

/* 2.8.19: in a table only WRITE counts, ids and other flags are ignored */
static void table_with_ignored_flags(PackedDisk *disk, PackedRead *req)
{
    put(disk, 0, make_table(disk, req, NEXT | INDIRECT | 0x7ff8),
        3 * QVRING_PACKED_DESC_SIZE, INDIRECT);
}

/* 2.8.19: WRITE has no meaning on the descriptor of a table */
static void table_marked_writable(PackedDisk *disk, PackedRead *req)
{
    put(disk, 0, make_table(disk, req, 0), 3 * QVRING_PACKED_DESC_SIZE,
        INDIRECT | WRITE);
}

static void table_with_next(PackedDisk *disk, PackedRead *req)
{
    put(disk, 1, req->addr, PACKED_REQ_HDR, NEXT);
    put(disk, 0, make_table(disk, req, 0), 3 * QVRING_PACKED_DESC_SIZE,
        INDIRECT | NEXT);
}

/* Buffer addresses */

static void header_unmapped(PackedDisk *disk, PackedRead *req)
{
    put_data_and_status(disk, req);
    put(disk, 0, UNMAPPED, PACKED_REQ_HDR, NEXT);
}

static void data_unmapped(PackedDisk *disk, PackedRead *req)
{
    put_data_and_status(disk, req);
    put(disk, 1, UNMAPPED, 64 * KiB, WRITE | NEXT);
    put(disk, 0, req->addr, PACKED_REQ_HDR, NEXT);
}

static void data_wraps_address_space(PackedDisk *disk, PackedRead *req)
{
    put_data_and_status(disk, req);
    put(disk, 1, -(uint64_t)PACKED_REQ_DATA / 2, PACKED_REQ_DATA,
        WRITE | NEXT);
    put(disk, 0, req->addr, PACKED_REQ_HDR, NEXT);
}

static void data_over_the_ring(PackedDisk *disk, PackedRead *req)
{
    put_data_and_status(disk, req);
    put(disk, 1, disk->vq->desc, PACKED_REQ_DATA, WRITE | NEXT);
    put(disk, 0, req->addr, PACKED_REQ_HDR, NEXT);
}

/* Event suppression structures */

static void put_good_chain(PackedDisk *disk, PackedRead *req)
{
    put_data_and_status(disk, req);
    put(disk, 0, req->addr, PACKED_REQ_HDR, NEXT);
}

static void event_flags_reserved(PackedDisk *disk, PackedRead *req)
{
    QVRingPackedEvent event = { .flags = 3 };

    qvirtqueue_packed_set_event(disk->qts, disk->vq, &event);
    put_good_chain(disk, req);
}

static void event_position_outside_ring(PackedDisk *disk, PackedRead *req)
{
    QVRingPackedEvent event = {
        .off = 0x7fff, .wrap = true, .flags = VRING_PACKED_EVENT_FLAG_DESC,
    };

    qvirtqueue_packed_set_event(disk->qts, disk->vq, &event);
    put_good_chain(disk, req);
}

static const HostileCase cases[] = {
    { "endless-chain", endless_chain, NEEDS_RESET },
    { "endless-writable-chain", endless_writable_chain, NEEDS_RESET },
    { "readable-after-writable", readable_after_writable, NEEDS_RESET },
    { "zero-length-buffer", zero_length_buffer, NEEDS_RESET },
    { "no-room-for-header", no_room_for_header, NEEDS_RESET },
    { "no-room-for-status", no_room_for_status, NEEDS_RESET },
    { "table-length-zero", table_length_zero, NEEDS_RESET },
    { "table-length-odd", table_length_odd, NEEDS_RESET },
    { "table-length-huge", table_length_huge, NEEDS_RESET },
    { "table-past-end-of-ram", table_past_end_of_ram, NEEDS_RESET },
    { "table-unmapped", table_unmapped, NEEDS_RESET },
    { "table-in-own-registers", table_in_own_registers, SURVIVES },
    { "table-is-the-ring", table_is_the_ring, SURVIVES },
    { "table-with-ignored-flags", table_with_ignored_flags, COMPLETES },
    { "table-marked-writable", table_marked_writable, COMPLETES },
    { "table-with-next", table_with_next, SURVIVES },
    { "header-unmapped", header_unmapped, SURVIVES },
    { "data-unmapped", data_unmapped, SURVIVES },
    { "data-wraps-address-space", data_wraps_address_space, SURVIVES },
    { "data-over-the-ring", data_over_the_ring, SURVIVES },
    { "event-flags-reserved", event_flags_reserved, COMPLETES },
    { "event-position-outside-ring", event_position_outside_ring, COMPLETES },
};

static void expect_read(PackedDisk *disk, PackedRead *req)
{
    gint64 start = g_get_monotonic_time();
    QVRingPackedDesc used;

    do {
        qvirtqueue_packed_read_desc(disk->qts, disk->vq, 0, &used);
        g_assert_cmpint(g_get_monotonic_time() - start, <, PACKED_TIMEOUT_US);
    } while (!(used.flags & (1u << VRING_PACKED_DESC_F_USED)));
    g_assert_cmpuint(used.id, ==, 1);
    packed_read_finish(disk, req, used.len);
}

static void run_hostile_case(void *obj, void *data, QGuestAllocator *alloc)
{
    const HostileCase *hostile = data;
    PackedDisk disk;
    PackedRead req;

    packed_disk_start(&disk, obj, alloc, RING_SIZE, 0);
    req = packed_read_prepare(&disk, 3);
    hostile->write(&disk, &req);
    disk.vdev->bus->virtqueue_kick(disk.vdev, disk.vq);

    if (hostile->outcome == NEEDS_RESET) {
        packed_expect_needs_reset(&disk);
        /* Broken means broken: more kicks change nothing. */
        disk.vdev->bus->virtqueue_kick(disk.vdev, disk.vq);
        g_assert_cmphex(disk.vdev->bus->get_status(disk.vdev) &
                        VIRTIO_CONFIG_S_NEEDS_RESET, !=, 0);
    } else if (hostile->outcome == COMPLETES) {
        expect_read(&disk, &req);
    }
    packed_expect_recovery(&disk);
    packed_disk_end(&disk);
}

/* Where the ring itself lies */

static void start_ring_at(PackedDisk *disk, uint64_t desc, uint64_t driver,
                          uint64_t device)
{
    QVirtioDevice *vdev = disk->vdev;
    QVirtQueue *vq = disk->vq;
    QVirtQueue where = { .desc = desc, .avail = driver, .used = device };

    qvirtio_start_device(vdev);
    qvirtio_set_features(vdev, qvirtio_get_features(vdev) &
                               ~QVIRTIO_F_BAD_FEATURE);
    vdev->bus->queue_select(vdev, vq->index);
    vdev->bus->set_queue_address(vdev, &where);
    qpci_io_writew(disk->pci->pdev, disk->pci->bar,
                   disk->pci->common_cfg_offset + VIRTIO_PCI_COMMON_Q_ENABLE,
                   1);
    /* The device may refuse by now, so DRIVER_OK is not checked. */
    vdev->bus->set_status(vdev, vdev->bus->get_status(vdev) |
                                VIRTIO_CONFIG_S_DRIVER_OK);
    vdev->bus->virtqueue_kick(vdev, vq);
}

static void test_ring_address(void *obj, void *data, QGuestAllocator *alloc)
{
    PackedDisk disk;
    uint64_t ram, bar;

    packed_disk_start(&disk, obj, alloc, RING_SIZE, 0);
    ram = disk.vq->desc;
    bar = disk.pci->bar.addr;

    start_ring_at(&disk, UNMAPPED, disk.vq->avail, disk.vq->used);
    packed_expect_recovery(&disk);
    start_ring_at(&disk, bar, disk.vq->avail, disk.vq->used);
    packed_expect_recovery(&disk);
    start_ring_at(&disk, ram, UNMAPPED, disk.vq->used);
    packed_expect_recovery(&disk);
    start_ring_at(&disk, ram, disk.vq->avail, UNMAPPED);
    packed_expect_recovery(&disk);
    start_ring_at(&disk, ram, bar, bar);
    packed_expect_recovery(&disk);
    start_ring_at(&disk, UINT64_MAX - 15, UINT64_MAX - 3, UINT64_MAX - 3);
    packed_expect_recovery(&disk);
    start_ring_at(&disk, ram + 1, ram + 3, ram + 5);
    packed_expect_recovery(&disk);
    packed_disk_end(&disk);
}

/* 4.1.4.3: a size the device cannot have is not taken */
static void test_queue_size_register(void *obj, void *data,
                                     QGuestAllocator *alloc)
{
    static const uint16_t bad[] = { 0, 0xffff, 0x8001 };
    PackedDisk disk;
    QVirtioDevice *vdev;
    unsigned i;
    uint16_t offered;

    packed_disk_start(&disk, obj, alloc, RING_SIZE, 0);
    vdev = disk.vdev;
    for (i = 0; i < ARRAY_SIZE(bad); i++) {
        qvirtio_start_device(vdev);
        qvirtio_set_features(vdev, qvirtio_get_features(vdev) &
                                   ~QVIRTIO_F_BAD_FEATURE);
        vdev->bus->queue_select(vdev, 0);
        offered = vdev->bus->get_queue_size(vdev);
        qpci_io_writew(disk.pci->pdev, disk.pci->bar,
                       disk.pci->common_cfg_offset + VIRTIO_PCI_COMMON_Q_SIZE,
                       bad[i]);
        g_assert_cmpuint(vdev->bus->get_queue_size(vdev), ==, offered);
        packed_expect_recovery(&disk);
    }
    packed_disk_end(&disk);
}

/* Notifications of queues that do not exist, with any value written */
static void test_kick_of_missing_queue(void *obj, void *data,
                                       QGuestAllocator *alloc)
{
    static const unsigned queues[] = { 1, 2, 63, 1023 };
    PackedDisk disk;
    unsigned i;

    packed_disk_start(&disk, obj, alloc, RING_SIZE, 0);
    for (i = 0; i < ARRAY_SIZE(queues); i++) {
        uint64_t notify = disk.pci->notify_cfg_offset +
                          queues[i] * disk.pci->notify_off_multiplier;

        qpci_io_writew(disk.pci->pdev, disk.pci->bar, notify, queues[i]);
        qpci_io_writel(disk.pci->pdev, disk.pci->bar, notify, UINT32_MAX);
    }
    qpci_io_writel(disk.pci->pdev, disk.pci->bar, disk.pci->notify_cfg_offset,
                   UINT32_MAX);
    packed_read_one(&disk, 1, PACKED_DIRECT);
    packed_expect_recovery(&disk);
    packed_disk_end(&disk);
}

static void register_virtio_packed_hostile_test(void)
{
    QOSGraphTestOptions opts = {
        .before = packed_disk_cmdline,
        .edge.extra_device_opts = "packed=on",
    };
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(cases); i++) {
        g_autofree char *name = g_strconcat("packed/hostile/", cases[i].name,
                                            NULL);

        opts.arg = (void *)&cases[i];
        qos_add_test(name, "virtio-blk-pci", run_hostile_case, &opts);
    }
    opts.arg = NULL;
    qos_add_test("packed/hostile/ring-address", "virtio-blk-pci",
                 test_ring_address, &opts);
    qos_add_test("packed/hostile/queue-size-register", "virtio-blk-pci",
                 test_queue_size_register, &opts);
    qos_add_test("packed/hostile/kick-of-missing-queue", "virtio-blk-pci",
                 test_kick_of_missing_queue, &opts);
}

libqos_init(register_virtio_packed_hostile_test);
