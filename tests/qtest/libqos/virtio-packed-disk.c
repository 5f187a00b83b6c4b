/*
 * libqos: a virtio-blk disk to try a packed virtqueue on
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "../libqtest.h"
#include "virtio-packed-disk.h"
#include "standard-headers/linux/virtio_blk.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_pci.h"

#define DISK_SECTORS    2048u
#define WORDS           (PACKED_REQ_DATA / sizeof(uint64_t))

static void fill_pattern(uint64_t *words, uint64_t sector)
{
    unsigned i;

    for (i = 0; i < WORDS; i++) {
        words[i] = cpu_to_le64(0x5ec7000000000000ull | sector << 16 | i);
    }
}

static void disk_image_destroy(void *path)
{
    unlink(path);
    g_free(path);
}

void *packed_disk_cmdline(GString *cmd_line, void *arg)
{
    g_autofree uint64_t *image = g_new(uint64_t, DISK_SECTORS * WORDS);
    size_t bytes = DISK_SECTORS * PACKED_REQ_DATA;
    char *path;
    uint64_t i;
    int fd = g_file_open_tmp("vadis-packed-XXXXXX", &path, NULL);

    g_assert_cmpint(fd, >=, 0);
    for (i = 0; i < DISK_SECTORS; i++) {
        fill_pattern(image + i * WORDS, i);
    }
    g_assert_cmpint(write(fd, image, bytes), ==, bytes);
    close(fd);
    g_test_queue_destroy(disk_image_destroy, path);

    g_string_append_printf(cmd_line, " -drive if=none,id=drive0,format=raw,"
                           "auto-read-only=off,file=%s"
                           " -object iothread,id=thread0 ", path);
    return arg;
}

static void negotiate(PackedDisk *disk, uint16_t size)
{
    uint64_t features = qvirtio_get_features(disk->vdev);

    features &= ~(QVIRTIO_F_BAD_FEATURE | disk->drop_features);
    qvirtio_set_features(disk->vdev, features);
    g_assert_true(qvirtio_is_packed(disk->vdev));

    disk->vq = packed_pci_queue_setup(disk->pci, disk->alloc, 0, size);
    qvirtio_set_driver_ok(disk->vdev);
}

void packed_disk_start(PackedDisk *disk, QVirtioPCIDevice *pci,
                       QGuestAllocator *alloc, uint16_t size,
                       uint64_t drop_features)
{
    *disk = (PackedDisk) {
        .qts = pci->pdev->bus->qts,
        .pci = pci,
        .vdev = &pci->vdev,
        .alloc = alloc,
        .drop_features = drop_features,
    };
    negotiate(disk, size);
}

void packed_disk_restart(PackedDisk *disk, uint16_t size)
{
    qvirtio_start_device(disk->vdev);
    packed_disk_end(disk);
    negotiate(disk, size);
}

void packed_disk_end(PackedDisk *disk)
{
    qvirtqueue_cleanup(disk->vdev->bus, disk->vq, disk->alloc);
    disk->vq = NULL;
}

static uint64_t common_cfg(QVirtioPCIDevice *pci, unsigned offset)
{
    return pci->common_cfg_offset + offset;
}

QVirtQueue *packed_pci_queue_setup(QVirtioPCIDevice *pci,
                                   QGuestAllocator *alloc, uint16_t index,
                                   uint16_t size)
{
    QVirtioDevice *vdev = &pci->vdev;

    if (size) {
        vdev->bus->queue_select(vdev, index);
        g_assert_cmpuint(size, <=, vdev->bus->get_queue_size(vdev));
        qpci_io_writew(pci->pdev, pci->bar,
                       common_cfg(pci, VIRTIO_PCI_COMMON_Q_SIZE), size);
        g_assert_cmpuint(vdev->bus->get_queue_size(vdev), ==, size);
    }
    return qvirtqueue_setup(vdev, alloc, index);
}

void packed_pci_queue_reset(QVirtioPCIDevice *pci, QVirtQueue *vq)
{
    QVirtioDevice *vdev = &pci->vdev;
    uint64_t reset = common_cfg(pci, VIRTIO_PCI_COMMON_Q_RESET);
    gint64 start = g_get_monotonic_time();

    vdev->bus->queue_select(vdev, vq->index);
    qpci_io_writew(pci->pdev, pci->bar, reset, 1);
    while (qpci_io_readw(pci->pdev, pci->bar, reset)) {
        g_assert_cmpint(g_get_monotonic_time() - start, <, PACKED_TIMEOUT_US);
    }
    g_assert_cmpuint(qpci_io_readw(pci->pdev, pci->bar,
                                   common_cfg(pci, VIRTIO_PCI_COMMON_Q_ENABLE)),
                     ==, 0);
}

uint8_t packed_pci_read_isr(QVirtioPCIDevice *pci)
{
    return qpci_io_readb(pci->pdev, pci->bar, pci->isr_cfg_offset);
}

PackedRead packed_read_prepare(PackedDisk *disk, uint64_t sector)
{
    PackedRead req = {
        .addr = guest_alloc(disk->alloc, PACKED_REQ_SIZE),
        .sector = sector,
    };
    struct virtio_blk_outhdr hdr = {
        .type = cpu_to_le32(VIRTIO_BLK_T_IN),
        .sector = cpu_to_le64(sector),
    };

    g_assert_cmpuint(sector, <, DISK_SECTORS);
    QEMU_BUILD_BUG_ON(sizeof(hdr) != PACKED_REQ_HDR);
    qtest_memset(disk->qts, req.addr, 0xff, PACKED_REQ_SIZE);
    qtest_memwrite(disk->qts, req.addr, &hdr, sizeof(hdr));
    return req;
}

void packed_read_add(PackedDisk *disk, PackedRead *req, PackedLayout layout)
{
    QTestState *qts = disk->qts;
    QVirtQueue *vq = disk->vq;

    if (layout == PACKED_INDIRECT) {
        QVRingIndirectDesc *table =
            qvring_indirect_desc_setup(qts, disk->vdev, disk->alloc, 3);

        qvring_indirect_desc_add(disk->vdev, qts, table, req->addr,
                                 PACKED_REQ_HDR, false);
        qvring_indirect_desc_add(disk->vdev, qts, table,
                                 req->addr + PACKED_REQ_HDR,
                                 PACKED_REQ_DATA, true);
        qvring_indirect_desc_add(disk->vdev, qts, table,
                                 req->addr + PACKED_REQ_STATUS, 1, true);
        req->token = qvirtqueue_add_indirect(qts, vq, table);
        g_free(table);
        return;
    }

    req->token = qvirtqueue_add(qts, vq, req->addr, PACKED_REQ_HDR, false,
                                true);
    qvirtqueue_add(qts, vq, req->addr + PACKED_REQ_HDR, PACKED_REQ_DATA, true,
                   true);
    qvirtqueue_add(qts, vq, req->addr + PACKED_REQ_STATUS, 1, true, false);
}

PackedRead packed_read_submit(PackedDisk *disk, uint64_t sector,
                              PackedLayout layout)
{
    PackedRead req = packed_read_prepare(disk, sector);

    packed_read_add(disk, &req, layout);
    qvirtqueue_kick(disk->qts, disk->vdev, disk->vq, req.token);
    return req;
}

uint32_t packed_wait_used(PackedDisk *disk, uint32_t *len)
{
    gint64 start = g_get_monotonic_time();
    uint32_t token;

    while (!qvirtqueue_get_buf(disk->qts, disk->vq, &token, len)) {
        g_assert_cmpint(g_get_monotonic_time() - start, <, PACKED_TIMEOUT_US);
    }
    g_assert_cmpuint(qvirtqueue_packed_overlong(disk->vq), ==, 0);
    return token;
}

void packed_read_finish(PackedDisk *disk, PackedRead *req, uint32_t len)
{
    uint64_t expected[WORDS];
    uint8_t data[PACKED_REQ_DATA];

    g_assert_cmpuint(len, ==, PACKED_READ_LEN);
    g_assert_cmpuint(qtest_readb(disk->qts, req->addr + PACKED_REQ_STATUS), ==,
                     VIRTIO_BLK_S_OK);
    fill_pattern(expected, req->sector);
    qtest_memread(disk->qts, req->addr + PACKED_REQ_HDR, data, sizeof(data));
    g_assert_cmpmem(data, sizeof(data), expected, sizeof(expected));
    guest_free(disk->alloc, req->addr);
}

void packed_read_one(PackedDisk *disk, uint64_t sector, PackedLayout layout)
{
    PackedRead req = packed_read_submit(disk, sector, layout);
    uint32_t len;

    g_assert_cmpuint(packed_wait_used(disk, &len), ==, req.token);
    packed_read_finish(disk, &req, len);
}

void packed_expect_needs_reset(PackedDisk *disk)
{
    gint64 start = g_get_monotonic_time();
    uint8_t isr = 0;

    while (!(disk->vdev->bus->get_status(disk->vdev) &
             VIRTIO_CONFIG_S_NEEDS_RESET)) {
        g_assert_cmpint(g_get_monotonic_time() - start, <, PACKED_TIMEOUT_US);
    }
    while (!(isr & VIRTIO_PCI_ISR_CONFIG)) {
        isr = packed_pci_read_isr(disk->pci);
        g_assert_cmpint(g_get_monotonic_time() - start, <, PACKED_TIMEOUT_US);
    }
}

void packed_expect_recovery(PackedDisk *disk)
{
    unsigned i;

    qtest_qmp_assert_success(disk->qts, "{ 'execute': 'query-status' }");
    packed_disk_restart(disk, 4);
    for (i = 0; i < 4; i++) {
        packed_read_one(disk, i, PACKED_DIRECT);
    }
}
