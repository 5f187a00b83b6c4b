/*
 * Packed virtqueue tests: notifications both ways and their suppression
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * "No interrupt" can be asserted without waiting: without an iothread the
 * completion of a request and the interrupt it causes are one uninterrupted
 * piece of work in the thread that also answers the test, so once the used
 * descriptor is seen the decision about the interrupt has been made.
 */

#include "qemu/osdep.h"
#include "libqtest-single.h"
#include "qemu/module.h"
#include "standard-headers/linux/virtio_config.h"
#include "libqos/virtio-packed-disk.h"

#define NO_EVENT_IDX    (1ull << VIRTIO_RING_F_EVENT_IDX)
#define ISR_QUEUE       1u

/* One request of one ring descriptor. Returns whether it interrupted. */
static bool read_interrupts(PackedDisk *disk)
{
    g_assert_cmphex(packed_pci_read_isr(disk->pci) & ISR_QUEUE, ==, 0);
    packed_read_one(disk, 1, PACKED_INDIRECT);
    return packed_pci_read_isr(disk->pci) & ISR_QUEUE;
}

/* 2.8.14, 2.7.7: the driver's flags switch interrupts on and off */
static void test_interrupt_flags(void *obj, void *data, QGuestAllocator *alloc)
{
    QVRingPackedEvent on = { .flags = VRING_PACKED_EVENT_FLAG_ENABLE };
    QVRingPackedEvent off = { .flags = VRING_PACKED_EVENT_FLAG_DISABLE };
    PackedDisk disk;
    unsigned i;

    packed_disk_start(&disk, obj, alloc, 5, (uintptr_t)data);
    g_assert_true(read_interrupts(&disk));
    for (i = 0; i < 12; i++) {
        bool want = i % 3;

        qvirtqueue_packed_set_event(disk.qts, disk.vq, want ? &on : &off);
        g_assert_cmpint(read_interrupts(&disk), ==, want);
    }
    packed_disk_end(&disk);
}

/*
 * 2.8.14: with EVENT_IDX and flags DESC the buffer that passes the given
 * position interrupts, whatever lap of the ring it is on.
 */
static void test_interrupt_at_position(void *obj, void *data,
                                       QGuestAllocator *alloc)
{
    const unsigned size = 5;
    PackedDisk disk;
    unsigned ahead, lap, i;

    packed_disk_start(&disk, obj, alloc, size, 0);
    for (lap = 0; lap < 3; lap++) {
        for (ahead = 0; ahead < size; ahead++) {
            unsigned pos = disk.vq->last_used_idx + ahead;
            bool wrap;
            PackedRead req = packed_read_prepare(&disk, 0);
            QVRingPackedEvent event = {
                .flags = VRING_PACKED_EVENT_FLAG_DESC,
            };
            uint32_t len;

            /* The wrap counter there: the next head's, flipped past the end */
            packed_read_add(&disk, &req, PACKED_INDIRECT);
            qvirtqueue_packed_head(disk.vq, req.token, &wrap);
            event.wrap = pos >= size ? !wrap : wrap;
            event.off = pos % size;
            qvirtqueue_packed_set_event(disk.qts, disk.vq, &event);
            packed_pci_read_isr(disk.pci);

            qvirtqueue_kick(disk.qts, disk.vdev, disk.vq, req.token);
            g_assert_cmpuint(packed_wait_used(&disk, &len), ==, req.token);
            packed_read_finish(&disk, &req, len);
            if (!ahead) {
                g_assert_cmphex(packed_pci_read_isr(disk.pci) & ISR_QUEUE, ==,
                                ISR_QUEUE);
                continue;
            }
            /*
             * Requests short of the position: a surplus interrupt would be
             * legal, so only the last one, the one that passes it, is told.
             */
            for (i = 1; i < ahead; i++) {
                packed_read_one(&disk, i, PACKED_INDIRECT);
            }
            packed_pci_read_isr(disk.pci);
            g_assert_true(read_interrupts(&disk));
        }
    }
    packed_disk_end(&disk);
}

/* Within a lap, nothing short of the position interrupts. */
static void test_no_interrupt_before_position(void *obj, void *data,
                                              QGuestAllocator *alloc)
{
    const unsigned size = 32;
    QVRingPackedEvent event = {
        .off = 20, .wrap = true, .flags = VRING_PACKED_EVENT_FLAG_DESC,
    };
    PackedDisk disk;
    unsigned i;

    packed_disk_start(&disk, obj, alloc, size, 0);
    /* The first interrupt decision after a reset has nothing to go by. */
    packed_read_one(&disk, 0, PACKED_INDIRECT);
    packed_pci_read_isr(disk.pci);
    qvirtqueue_packed_set_event(disk.qts, disk.vq, &event);
    for (i = 1; i < size - 1; i++) {
        g_assert_cmpint(read_interrupts(&disk), ==, i == event.off);
    }
    packed_disk_end(&disk);
}

/* 2.8.14: an idle device wants to hear of the next buffer and says so */
static void test_idle_device_wants_kick(void *obj, void *data,
                                        QGuestAllocator *alloc)
{
    bool event_idx = !data;
    PackedDisk disk;
    unsigned i;

    packed_disk_start(&disk, obj, alloc, 4, (uintptr_t)data);
    /* Before it has looked at the ring once, a device may have said nothing. */
    packed_read_one(&disk, 0, PACKED_DIRECT);
    for (i = 0; i < 10; i++) {
        PackedRead req = packed_read_prepare(&disk, i);
        QVRingPackedEvent event;
        uint32_t len;
        bool wrap;

        packed_read_add(&disk, &req, PACKED_DIRECT);
        qvirtqueue_packed_get_device_event(disk.qts, disk.vq, &event);
        g_assert_cmpuint(event.flags, ==,
                         event_idx ? VRING_PACKED_EVENT_FLAG_DESC
                                   : VRING_PACKED_EVENT_FLAG_ENABLE);
        if (event_idx) {
            g_assert_cmpuint(event.off, ==,
                             qvirtqueue_packed_head(disk.vq, req.token, &wrap));
            g_assert_cmpint(event.wrap, ==, wrap);
        }
        qvirtqueue_packed_publish(disk.qts, disk.vq, req.token);
        g_assert_true(qvirtqueue_packed_should_notify(disk.qts, disk.vq,
                                                      req.token, 3));
        disk.vdev->bus->virtqueue_kick(disk.vdev, disk.vq);
        g_assert_cmpuint(packed_wait_used(&disk, &len), ==, req.token);
        packed_read_finish(&disk, &req, len);
    }
    packed_disk_end(&disk);
}

/* 2.8.21.3.1: notifying for nothing does no harm */
static void test_spurious_kicks(void *obj, void *data, QGuestAllocator *alloc)
{
    PackedDisk disk;
    unsigned i, k;

    packed_disk_start(&disk, obj, alloc, 3, 0);
    for (i = 0; i < 7; i++) {
        for (k = 0; k < 3; k++) {
            disk.vdev->bus->virtqueue_kick(disk.vdev, disk.vq);
        }
        g_assert_false(qvirtqueue_get_buf(disk.qts, disk.vq, NULL, NULL));
        packed_read_one(&disk, i, PACKED_DIRECT);
    }
    packed_disk_end(&disk);
}

/*
 * A chain whose head is not available hides all that follow it; a kick must
 * not make the device run ahead.
 */
static void test_kick_before_head_is_available(void *obj, void *data,
                                               QGuestAllocator *alloc)
{
    PackedRead req[2];
    PackedDisk disk;
    uint32_t len;
    unsigned i;

    packed_disk_start(&disk, obj, alloc, 8, 0);
    for (i = 0; i < 2; i++) {
        req[i] = packed_read_prepare(&disk, i);
        packed_read_add(&disk, &req[i], PACKED_DIRECT);
    }
    qvirtqueue_packed_publish(disk.qts, disk.vq, req[1].token);
    disk.vdev->bus->virtqueue_kick(disk.vdev, disk.vq);
    qtest_qmp_assert_success(disk.qts, "{ 'execute': 'query-status' }");
    g_assert_false(qvirtqueue_get_buf(disk.qts, disk.vq, NULL, NULL));
    g_assert_cmphex(qtest_readb(disk.qts, req[1].addr + PACKED_REQ_STATUS), ==,
                    0xff);

    qvirtqueue_packed_publish(disk.qts, disk.vq, req[0].token);
    disk.vdev->bus->virtqueue_kick(disk.vdev, disk.vq);
    for (i = 0; i < 2; i++) {
        uint32_t token = packed_wait_used(&disk, &len);

        packed_read_finish(&disk, &req[token == req[1].token], len);
    }
    packed_disk_end(&disk);
}

static void add_event_test(const char *name, QOSTestFunc func, uint64_t drop)
{
    QOSGraphTestOptions opts = {
        .before = packed_disk_cmdline,
        .arg = (void *)(uintptr_t)drop,
        .edge.extra_device_opts = "packed=on",
    };

    qos_add_test(name, "virtio-blk-pci", func, &opts);
}

static void register_virtio_packed_event_test(void)
{
    add_event_test("packed/interrupt-flags", test_interrupt_flags,
                   NO_EVENT_IDX);
    add_event_test("packed/interrupt-flags-event-idx", test_interrupt_flags,
                   0);
    add_event_test("packed/interrupt-at-position", test_interrupt_at_position,
                   0);
    add_event_test("packed/no-interrupt-before-position",
                   test_no_interrupt_before_position, 0);
    add_event_test("packed/idle-device-wants-kick",
                   test_idle_device_wants_kick, NO_EVENT_IDX);
    add_event_test("packed/idle-device-wants-kick-event-idx",
                   test_idle_device_wants_kick, 0);
    add_event_test("packed/spurious-kicks", test_spurious_kicks, 0);
    add_event_test("packed/kick-before-head-is-available",
                   test_kick_before_head_is_available, 0);
}

libqos_init(register_virtio_packed_event_test);
