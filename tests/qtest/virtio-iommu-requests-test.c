/*
 * virtio-iommu: requests by the standard, and a DETACH during I/O
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Section numbers are of virtio 1.3.
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "libqtest.h"
#include "libqos/libqos-pc.h"
#include "libqos/qiommu.h"
#include "libqos/virtio-packed.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_iommu.h"
#include "standard-headers/linux/virtio_ring.h"

#define TIMEOUT_US      (30 * G_USEC_PER_SEC)
#define ENDPOINT        QPCI_DEVFN(4, 0)
#define DOMAIN          7u      /* as qiommu_start() attaches */
#define OTHER_DOMAIN    8u
#define RAM             (128ull << 20)
#define RW              (VIRTIO_IOMMU_MAP_F_READ | VIRTIO_IOMMU_MAP_F_WRITE)

/* Bytes that a device must not write stay so. */
#define UNTOUCHED       0xa5

typedef struct Rig {
    QOSState *qs;
    QIommu *iommu;
} Rig;

static void rig_boot(Rig *rig, const char *options, const char *device)
{
    rig->qs = qtest_pc_boot("-machine q35 %s -device virtio-iommu-pci,"
                            "addr=03.0%s -device virtio-echo-pci,addr=04.0,"
                            "iommu_platform=on,disable-legacy=on%s",
                            strstr(device, "io0") ?
                            "-object iothread,id=io0" : "", options, device);
    rig->iommu = qiommu_start(QIOMMU_VIRTIO, rig->qs, ENDPOINT);
}

static void rig_stop(Rig *rig)
{
    qiommu_free(rig->iommu);
    qtest_shutdown(rig->qs);
}

/* Returns the status; the tail must be all that was written */
static uint8_t request(Rig *rig, const void *req, size_t len)
{
    struct virtio_iommu_req_tail tail = { .status = UNTOUCHED };

    g_assert_cmpuint(qiommu_request(rig->iommu, req, len, &tail,
                                    sizeof(tail)), ==, sizeof(tail));
    return tail.status;
}

static uint8_t attach(Rig *rig, uint32_t domain, uint32_t flags, uint8_t junk)
{
    struct virtio_iommu_req_attach req = {
        .head.type = VIRTIO_IOMMU_T_ATTACH,
        .domain = cpu_to_le32(domain),
        .endpoint = cpu_to_le32(ENDPOINT),
        .flags = cpu_to_le32(flags),
        .reserved[3] = junk,
    };

    return request(rig, &req, offsetof(typeof(req), tail));
}

static uint8_t detach(Rig *rig, uint32_t domain)
{
    struct virtio_iommu_req_detach req = {
        .head.type = VIRTIO_IOMMU_T_DETACH,
        .domain = cpu_to_le32(domain),
        .endpoint = cpu_to_le32(ENDPOINT),
    };

    return request(rig, &req, offsetof(typeof(req), tail));
}

static uint8_t map(Rig *rig, uint64_t low, uint64_t high, uint64_t phys,
                   uint32_t flags)
{
    struct virtio_iommu_req_map req = {
        .head.type = VIRTIO_IOMMU_T_MAP,
        .domain = cpu_to_le32(DOMAIN),
        .virt_start = cpu_to_le64(low),
        .virt_end = cpu_to_le64(high),
        .phys_start = cpu_to_le64(phys),
        .flags = cpu_to_le32(flags),
    };

    return request(rig, &req, offsetof(typeof(req), tail));
}

static uint8_t unmap(Rig *rig, uint64_t low, uint64_t high)
{
    struct virtio_iommu_req_unmap req = {
        .head.type = VIRTIO_IOMMU_T_UNMAP,
        .domain = cpu_to_le32(DOMAIN),
        .virt_start = cpu_to_le64(low),
        .virt_end = cpu_to_le64(high),
    };

    return request(rig, &req, offsetof(typeof(req), tail));
}

/* 5.13.6.5.2: what is not made of pages, or not there, cannot be mapped. */
static void test_map_ranges(void)
{
    Rig rig;

    rig_boot(&rig, ",aw-bits=40", "");
    g_assert_cmpuint(map(&rig, 0x1000, 0x1009, 0, RW), ==,
                     VIRTIO_IOMMU_S_RANGE);
    g_assert_cmpuint(map(&rig, 0x1800, 0x27ff, 0, RW), ==,
                     VIRTIO_IOMMU_S_RANGE);
    g_assert_cmpuint(map(&rig, 0x1000, 0x1fff, 0x800, RW), ==,
                     VIRTIO_IOMMU_S_RANGE);
    g_assert_cmpuint(map(&rig, 0x3000, 0x1fff, 0, RW), ==,
                     VIRTIO_IOMMU_S_RANGE);
    g_assert_cmpuint(map(&rig, 0x1000, 0x2fff, -0x1000ull, RW), ==,
                     VIRTIO_IOMMU_S_RANGE);
    g_assert_cmpuint(map(&rig, 1ull << 40, (1ull << 40) + 0xfff, 0, RW), ==,
                     VIRTIO_IOMMU_S_RANGE);
    g_assert_cmpuint(map(&rig, 0x1000, 0x1fff, 0, RW | 8), ==,
                     VIRTIO_IOMMU_S_INVAL);
    g_assert_cmpuint(map(&rig, 0x1000, 0x1fff, 0, RW), ==, VIRTIO_IOMMU_S_OK);
    g_assert_cmpuint(map(&rig, 0, 0x4fff, 0, RW), ==, VIRTIO_IOMMU_S_INVAL);
    rig_stop(&rig);
}

/* The last page of the address space is a page like others. */
static void test_map_top(void)
{
    Rig rig;

    rig_boot(&rig, ",aw-bits=64", "");
    g_assert_cmpuint(map(&rig, -0x1000ull, UINT64_MAX, 0, RW), ==,
                     VIRTIO_IOMMU_S_OK);
    g_assert_cmpuint(unmap(&rig, -0x1000ull, UINT64_MAX), ==,
                     VIRTIO_IOMMU_S_OK);
    g_assert_cmpuint(map(&rig, 0, UINT64_MAX, 0, RW), ==, VIRTIO_IOMMU_S_INVAL);
    rig_stop(&rig);
}

/* 5.13.6.7: the machine reserves the range of its interrupt messages. */
static void test_map_reserved(void)
{
    Rig rig;

    rig_boot(&rig, "", "");
    g_assert_cmpuint(map(&rig, 0xfee00000, 0xfee00fff, 0, RW), ==,
                     VIRTIO_IOMMU_S_INVAL);
    g_assert_cmpuint(map(&rig, 0xfe000000, 0xffffffff, 0, RW), ==,
                     VIRTIO_IOMMU_S_INVAL);
    g_assert_cmpuint(map(&rig, 0xfef00000, 0xffffffff, 0, RW), ==,
                     VIRTIO_IOMMU_S_OK);
    rig_stop(&rig);
}

/* 5.13.6.6.2: an UNMAP that would split a mapping removes nothing. */
static void test_unmap_split(void)
{
    Rig rig;

    rig_boot(&rig, "", "");
    for (uint64_t at = 0; at < 4; at++) {
        g_assert_cmpuint(map(&rig, at << 16, (at << 16) + 0x1fff, 0, RW), ==,
                         VIRTIO_IOMMU_S_OK);
    }
    g_assert_cmpuint(unmap(&rig, 0, 0x30fff), ==, VIRTIO_IOMMU_S_RANGE);
    g_assert_cmpuint(unmap(&rig, 0x1000, 0x3ffff), ==, VIRTIO_IOMMU_S_RANGE);
    for (uint64_t at = 0; at < 4; at++) {
        g_assert_cmpuint(map(&rig, at << 16, (at << 16) + 0x1fff, 0, RW), ==,
                         VIRTIO_IOMMU_S_INVAL);
    }
    g_assert_cmpuint(unmap(&rig, 0x3ffff, 0), ==, VIRTIO_IOMMU_S_RANGE);
    g_assert_cmpuint(unmap(&rig, 0, 0x3ffff), ==, VIRTIO_IOMMU_S_OK);
    for (uint64_t at = 0; at < 4; at++) {
        g_assert_cmpuint(map(&rig, at << 16, (at << 16) + 0x1fff, 0, RW), ==,
                         VIRTIO_IOMMU_S_OK);
    }
    rig_stop(&rig);
}

/* 5.13.6.3.2: an ATTACH that is refused leaves the endpoint where it is. */
static void test_attach(void)
{
    Rig rig;

    rig_boot(&rig, "", "");
    g_assert_cmpuint(attach(&rig, OTHER_DOMAIN, 0, 1), ==,
                     VIRTIO_IOMMU_S_INVAL);
    g_assert_cmpuint(attach(&rig, OTHER_DOMAIN, 2, 0), ==,
                     VIRTIO_IOMMU_S_INVAL);
    g_assert_cmpuint(attach(&rig, DOMAIN, VIRTIO_IOMMU_ATTACH_F_BYPASS, 0), ==,
                     VIRTIO_IOMMU_S_INVAL);
    g_assert_cmpuint(map(&rig, 0, 0xfff, 0, RW), ==, VIRTIO_IOMMU_S_OK);
    g_assert_cmpuint(attach(&rig, OTHER_DOMAIN, VIRTIO_IOMMU_ATTACH_F_BYPASS,
                            0), ==, VIRTIO_IOMMU_S_OK);
    g_assert_cmpuint(detach(&rig, DOMAIN), ==, VIRTIO_IOMMU_S_INVAL);
    g_assert_cmpuint(detach(&rig, OTHER_DOMAIN), ==, VIRTIO_IOMMU_S_OK);
    rig_stop(&rig);
}

/* 5.13.6.2: what cannot be understood comes back as it was. */
/* 5.13.6.3: to the domain that the endpoint is in, nothing changes. */
static void test_attach_again(void)
{
    Rig rig;

    rig_boot(&rig, "", "");
    g_assert_cmpuint(map(&rig, 0, 0xfff, 0, RW), ==, VIRTIO_IOMMU_S_OK);
    g_assert_cmpuint(attach(&rig, DOMAIN, 0, 0), ==, VIRTIO_IOMMU_S_OK);
    g_assert_cmpuint(map(&rig, 0, 0xfff, 0, RW), ==, VIRTIO_IOMMU_S_INVAL);
    g_assert_cmpuint(attach(&rig, DOMAIN, VIRTIO_IOMMU_ATTACH_F_BYPASS, 0), ==,
                     VIRTIO_IOMMU_S_INVAL);
    g_assert_cmpuint(unmap(&rig, 0, 0xfff), ==, VIRTIO_IOMMU_S_OK);
    rig_stop(&rig);
}

static void test_not_understood(void)
{
    static const uint8_t types[] = { 0, 6, 0x7f, 0xff };
    uint8_t req[64] = { 0 }, reply[16];
    Rig rig;

    rig_boot(&rig, "", "");
    for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
        req[0] = types[i];
        memset(reply, UNTOUCHED, sizeof(reply));
        g_assert_cmpuint(qiommu_request(rig.iommu, req, sizeof(req), reply,
                                        sizeof(reply)), ==, 0);
        for (unsigned j = 0; j < sizeof(reply); j++) {
            g_assert_cmphex(reply[j], ==, UNTOUCHED);
        }
    }
    /* No room for a header, no room for a tail */
    req[0] = VIRTIO_IOMMU_T_MAP;
    g_assert_cmpuint(qiommu_request(rig.iommu, req, 3, reply, sizeof(reply)),
                     ==, 0);
    g_assert_cmpuint(qiommu_request(rig.iommu, req, sizeof(req), reply, 3), ==,
                     0);
    /* A header, but not the rest of the request */
    g_assert_cmpuint(request(&rig, req, 20), ==, VIRTIO_IOMMU_S_INVAL);
    g_assert_cmpuint(map(&rig, 0, 0xfff, 0, RW), ==, VIRTIO_IOMMU_S_OK);
    rig_stop(&rig);
}

/* Any bytes as a request: the device answers, and goes on to work. */
static void test_random_requests(void)
{
    Rig rig;

    rig_boot(&rig, "", "");
    for (unsigned i = 0; i < 1000; i++) {
        uint8_t req[96], reply[600];
        unsigned len = g_test_rand_int_range(1, sizeof(req));
        uint64_t *words = (uint64_t *)req;

        for (unsigned j = 0; j < sizeof(req); j++) {
            req[j] = g_test_rand_int();
        }
        req[0] = g_test_rand_int_range(0, 7);
        /* Mostly small numbers, so that some requests are good */
        if (i % 4) {
            req[4] = DOMAIN;
            memset(req + 5, 0, 3);
            for (unsigned j = 1; j < 4; j++) {
                words[j] = cpu_to_le64((uint64_t)g_test_rand_int_range(0, 64)
                                       << 12) - (j == 2);
            }
        }
        qiommu_request(rig.iommu, req, len, reply,
                       g_test_rand_int_range(1, sizeof(reply)));
    }
    attach(&rig, DOMAIN, 0, 0);
    unmap(&rig, 0, UINT64_MAX);
    g_assert_cmpuint(map(&rig, 0, 0xfff, 0, RW), ==, VIRTIO_IOMMU_S_OK);
    rig_stop(&rig);
}

/*
 * DETACH while an IOThread translates. With config.bypass the device sees
 * memory one to one before and after, so all its requests succeed.
 */
static void test_detach_during_io(void)
{
    enum { REQUESTS = 128, ROUNDS = 30, BYTES = 256 };
    QPCIAddress at = { .devfn = ENDPOINT };
    QVirtioPCIDevice *pci;
    QVirtioDevice *vdev;
    QVirtQueue *vq;
    QTestState *qts;
    uint8_t got[BYTES];
    uint64_t buf;
    Rig rig;

    rig_boot(&rig, "", ",iothread=io0");
    qts = rig.qs->qts;
    pci = virtio_pci_new(rig.qs->pcibus, &at);
    vdev = &pci->vdev;
    qvirtio_pci_device_enable(pci);
    g_assert_cmpuint(map(&rig, 0, RAM - 1, 0, RW), ==, VIRTIO_IOMMU_S_OK);
    qvirtio_start_device(vdev);
    qvirtio_set_features(vdev, qvirtio_get_features(vdev) &
                               ~(QVIRTIO_F_BAD_FEATURE |
                                 1ull << VIRTIO_RING_F_EVENT_IDX |
                                 1ull << VIRTIO_F_NOTIFICATION_DATA));
    vq = qiommu_queue_setup(pci, &rig.qs->alloc, 0, 256, 0);
    qvirtio_set_driver_ok(vdev);
    buf = guest_alloc(&rig.qs->alloc, 2 * BYTES);
    qtest_memset(qts, buf, 0x77, BYTES);

    for (unsigned round = 0; round < ROUNDS; round++) {
        uint16_t idx = qtest_readw(qts, vq->avail + 2);
        gint64 start = g_get_monotonic_time();

        if (round) {
            g_assert_cmpuint(attach(&rig, DOMAIN, 0, 0), ==,
                             VIRTIO_IOMMU_S_OK);
            g_assert_cmpuint(map(&rig, 0, RAM - 1, 0, RW), ==,
                             VIRTIO_IOMMU_S_OK);
        }
        qtest_memset(qts, buf + BYTES, 0, BYTES);
        for (unsigned i = 0; i < REQUESTS; i++) {
            uint32_t token = qvirtqueue_add(qts, vq, buf, BYTES, false, true);

            qvirtqueue_add(qts, vq, buf + BYTES, BYTES, true, false);
            qtest_writew(qts, vq->avail + 4 + 2 * ((idx + i) % vq->size),
                         token);
        }
        qtest_writew(qts, vq->avail + 2, idx + REQUESTS);
        vdev->bus->virtqueue_kick(vdev, vq);
        g_assert_cmpuint(detach(&rig, DOMAIN), ==, VIRTIO_IOMMU_S_OK);
        for (unsigned done = 0; done < REQUESTS; ) {
            uint32_t len;

            g_assert_cmpint(g_get_monotonic_time() - start, <, TIMEOUT_US);
            g_assert_cmphex(vdev->bus->get_status(vdev) &
                            VIRTIO_CONFIG_S_NEEDS_RESET, ==, 0);
            while (qvirtqueue_get_buf(qts, vq, NULL, &len)) {
                g_assert_cmpuint(len, ==, BYTES);
                done++;
            }
        }
        qvirtqueue_reset_pool(vq);
        qtest_memread(qts, buf + BYTES, got, BYTES);
        for (unsigned i = 0; i < BYTES; i++) {
            g_assert_cmphex(got[i], ==, 0x77);
        }
    }
    qvirtio_reset(vdev);
    qvirtqueue_cleanup(vdev->bus, vq, &rig.qs->alloc);
    qvirtio_pci_device_disable(pci);
    g_free(pci->pdev);
    g_free(pci);
    rig_stop(&rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("virtio-iommu/map-ranges", test_map_ranges);
    qtest_add_func("virtio-iommu/map-top", test_map_top);
    qtest_add_func("virtio-iommu/map-reserved", test_map_reserved);
    qtest_add_func("virtio-iommu/unmap-split", test_unmap_split);
    qtest_add_func("virtio-iommu/attach", test_attach);
    qtest_add_func("virtio-iommu/attach-again", test_attach_again);
    qtest_add_func("virtio-iommu/not-understood", test_not_understood);
    qtest_add_func("virtio-iommu/random-requests", test_random_requests);
    qtest_add_func("virtio-iommu/detach-during-io", test_detach_during_io);
    return g_test_run();
}
