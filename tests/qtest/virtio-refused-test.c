/*
 * A request whose buffers the IOMMU refuses fails, and the device goes on
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Every test runs behind VT-d and behind virtio-iommu, split and packed.
 */

#include "virtio-iova-rig.c.inc"
#include "libqos/virtio-packed-disk.h"
#include "standard-headers/linux/virtio_blk.h"
#include "standard-headers/linux/virtio_crypto.h"
#include "standard-headers/linux/virtio_net.h"
#include "standard-headers/linux/virtio_scsi.h"

#define MESSAGE         "not mapped for the device"

#define SCSI            "virtio-scsi-pci"
#define CRYPTO          "virtio-crypto-pci,cryptodev=c0"
#define CRYPTO_BACKEND  "-object cryptodev-backend-builtin,id=c0"
#define NET             "virtio-net-pci,netdev=n0"

#include "virtio-refused-rig.c.inc"

static void expect_fault(Rig *rig, uint64_t iova, bool write)
{
    QIommuFault fault;

    g_assert_true(qiommu_take_fault(rig->iommu, &fault));
    g_assert_cmphex(fault.iova & ~0xfffull, ==, iova & ~0xfffull);
    g_assert_true(write ? fault.write : fault.read);
    while (qiommu_take_fault(rig->iommu, &fault)) {
        /* Who looks a second time is refused a second time. */
    }
}

static uint64_t in_flight(Rig *rig)
{
    QDict *rsp = qtest_qmp(rig->qts, "{ 'execute': 'qom-get', 'arguments': "
                           "{ 'path': %s, 'property': 'x-iommu-in-flight' } }",
                           PATH);
    uint64_t value = qdict_get_int(rsp, "return");

    qobject_unref(rsp);
    return value;
}

/*
 * 5.2.6: the status is the last byte. 2.7.8.2: the used length covers what was
 * written from the start, and nothing else was.
 */
static void test_blk(const void *opaque)
{
    uint64_t refused = 0;
    uint8_t status;
    Disk disk;
    Rig rig;

    disk = disk_start(&rig, opaque, "");
    for (unsigned table = 0; table < 2; table++) {
        for (unsigned bad = 0; bad < 2; bad++) {
            for (unsigned write = 0; write < 2; write++) {
                Part parts[3];

                memcpy(parts, disk.read, sizeof(parts));
                parts[1].write = !write;
                parts[bad].addr = BAD;
                g_assert_cmpuint(disk_do(&rig, &disk, parts, table *
                                         disk.table, &status), ==, write);
                g_assert_cmpuint(status, ==, VIRTIO_BLK_S_IOERR);
                for (unsigned i = 1; i < 3 * 256; i++) {
                    g_assert_cmphex(qtest_readb(rig.qts, disk.page + 256 + i),
                                    ==, UNTOUCHED);
                }
                /* virtio-iommu has room for four records. */
                if (!table && !bad) {
                    expect_fault(&rig, BAD, false);
                } else if (!table && !write) {
                    expect_fault(&rig, BAD, true);
                }
                g_assert_cmpuint(counter(&rig, "refused"), ==, ++refused);
                g_assert_cmpuint(in_flight(&rig), ==, 0);
                /* Bit 0 of the ISR status: a used buffer notification */
                g_assert_cmphex(packed_pci_read_isr(rig.pci) & 1, ==, 1);
                disk_works(&rig, &disk);
            }
        }
    }
    g_assert_cmpuint(counter(&rig, "faults"), >=, refused);
    /* The device is done with it: what it had to say has been said. */
    qvirtio_reset(rig.vdev);
    g_assert_cmpuint(count_in_file(rig.stderr_log, MESSAGE), ==, 1);
    g_assert_cmpuint(count_in_file(rig.stderr_log, "virtio-blk"), ==, 1);

    /* One more after a reset */
    qvirtio_start_device(rig.vdev);
    qvirtqueue_cleanup(rig.vdev->bus, rig.vq, &rig.qs->alloc);
    rig_negotiate(&rig);
    for (unsigned i = 0; i < 2; i++) {
        Part parts[3] = { disk.read[0], { BAD, 512, true }, disk.read[2] };

        disk_do(&rig, &disk, parts, 0, &status);
        g_assert_cmpuint(status, ==, VIRTIO_BLK_S_IOERR);
    }
    qvirtio_reset(rig.vdev);
    g_assert_cmpuint(count_in_file(rig.stderr_log, MESSAGE), ==, 2);
    rig_stop(&rig);
}

/* Only part of a buffer is mapped, or not for writing; the status is behind */
static void test_blk_partly(const void *opaque)
{
    uint8_t status, page[QIOMMU_PAGE];
    Part parts[2];
    Disk disk;
    Rig rig;

    disk = disk_start(&rig, opaque, "");
    qiommu_map_scattered(rig.iommu, AREA, QIOMMU_PAGE);
    qiommu_map_scattered(rig.iommu, AREA + 2 * QIOMMU_PAGE, QIOMMU_PAGE);
    qiommu_map(rig.iommu, AREA + QIOMMU_PAGE, disk.table, QIOMMU_PAGE,
               QIOMMU_READ);
    qtest_memset(rig.qts, disk.table, GUARD, QIOMMU_PAGE);
    parts[0] = disk.read[0];
    /* Page one is for reading, page two's first byte is the status. */
    parts[1] = (Part) { AREA + QIOMMU_PAGE - 512, 512 + QIOMMU_PAGE + 1, true };
    for (unsigned i = 0; i < 3; i++) {
        status = UNTOUCHED;
        qiommu_memwrite(rig.iommu, AREA + 2 * QIOMMU_PAGE, &status, 1);
        qtest_memset(rig.qts, disk.page, 0, sizeof(struct virtio_blk_outhdr));
        g_assert_cmpuint(request(&rig, parts, 2, 0), ==, 0);
        qiommu_memread(rig.iommu, AREA + 2 * QIOMMU_PAGE, &status, 1);
        g_assert_cmpuint(status, ==, VIRTIO_BLK_S_IOERR);
        expect_fault(&rig, AREA + QIOMMU_PAGE, true);
    }
    qtest_memread(rig.qts, disk.table, page, sizeof(page));
    for (unsigned i = 0; i < sizeof(page); i++) {
        g_assert_cmphex(page[i], ==, GUARD);
    }
    disk_works(&rig, &disk);
    rig_stop(&rig);
}

/* Where the status cannot be told, and where it is not wanted */
static void test_blk_broken(const void *opaque)
{
    static const char *const property[] = {
        "", "", ",x-iommu-fault=break", ",x-iommu-fault=break",
    };

    for (unsigned i = 0; i < ARRAY_SIZE(property); i++) {
        uint64_t table;
        uint8_t status;
        Part parts[3];
        Disk disk;
        Rig rig;

        disk = disk_start(&rig, opaque, property[i]);
        memcpy(parts, disk.read, sizeof(parts));
        table = i == 1 ? BAD : i == 3 ? disk.table : 0;
        parts[i == 0 ? 2 : 1].addr = BAD;
        g_assert_cmpuint(disk_do(&rig, &disk, parts, table, &status), ==,
                         UINT32_MAX);
        expect_needs_reset(&rig);
        g_assert_cmphex(status, ==, UNTOUCHED);
        g_assert_cmpuint(counter(&rig, "refused"), ==, 0);
        g_assert_cmpuint(in_flight(&rig), ==, 0);
        qvirtio_reset(rig.vdev);
        g_assert_cmpuint(count_in_file(rig.stderr_log, "virtio-blk"), ==, 1);
        qvirtio_start_device(rig.vdev);
        qvirtqueue_cleanup(rig.vdev->bus, rig.vq, &rig.qs->alloc);
        rig_negotiate(&rig);
        disk_works(&rig, &disk);
        rig_stop(&rig);
    }
}

/*
 * More bad requests than the ring has places: the queue is left once for each
 * ring full, and none is forgotten.
 */
static void test_flood(const void *opaque)
{
    static const char *const property[] = {
        "", ",iothread=io0", ",ioeventfd=off",
    };
    enum { size = 8, rounds = 5 };

    for (unsigned i = 0; i < ARRAY_SIZE(property); i++) {
        RigOptions opt = *(const RigOptions *)opaque;
        Part parts[3];
        Disk disk;
        Rig rig;

        opt.size = size;
        disk = disk_start(&rig, &opt, property[i]);
        qtest_qmp_assert_success(rig.qts, "{ 'execute': "
                                 "'trace-event-set-state', 'arguments': "
                                 "{ 'name': 'virtio_ring_pause', "
                                 "'enable': true } }");
        memcpy(parts, disk.read, sizeof(parts));
        parts[1].addr = BAD;
        write_table(&rig, disk.table, parts, 3);
        for (unsigned round = 0; round < rounds; round++) {
            uint32_t token[size];

            for (unsigned j = 0; j < size; j++) {
                QVRingIndirectDesc indirect = {
                    .desc = disk.table, .index = 3, .elem = 3,
                };

                token[j] = qvirtqueue_add_indirect(rig.qts, rig.vq, &indirect);
            }
            for (unsigned j = 0; j < size; j++) {
                qvirtqueue_kick(rig.qts, rig.vdev, rig.vq, token[j]);
            }
            for (unsigned j = 0; j < size; j++) {
                g_assert_cmpuint(echo_wait(&rig), ==, 0);
            }
            qvirtqueue_reset_pool(rig.vq);
        }
        g_assert_cmpuint(counter(&rig, "refused"), ==, size * rounds);
        disk_works(&rig, &disk);
        qvirtio_reset(rig.vdev);
        g_assert_cmpuint(count_in_file(rig.log, "virtio_ring_pause"), ==,
                         rounds);
        rig_stop(&rig);
    }
}

/*
 * 2.7.9, 2.8.8: what is refused does not overtake. A read that a breakpoint
 * holds comes first.
 */
static void test_in_order(const void *opaque)
{
    gint64 start = g_get_monotonic_time();
    uint32_t token, got = UINT32_MAX, len = UINT32_MAX;
    g_autofree char *out = NULL;
    Part parts[3];
    Disk disk;
    Rig rig;

    disk = disk_start(&rig, opaque, ",in_order=on");
    g_assert_true(rig.vdev->features & 1ull << VIRTIO_F_IN_ORDER);
    out = qtest_hmp(rig.qts, "qemu-io d0 \"break read_aio held\"");
    qtest_memset(rig.qts, disk.page, 0, QIOMMU_PAGE);
    qtest_memset(rig.qts, disk.page + 256, UNTOUCHED, 2);
    memcpy(parts, disk.read, sizeof(parts));
    submit(&rig, parts, 3, 0);
    parts[1].addr = BAD;
    parts[2].addr++;
    token = submit(&rig, parts, 3, 0);
    while (counter(&rig, "refused") != 1) {
        g_assert_cmpint(g_get_monotonic_time() - start, <, TIMEOUT_US);
    }
    g_assert_false(qvirtqueue_get_buf(rig.qts, rig.vq, NULL, NULL));
    g_free(out);
    out = qtest_hmp(rig.qts, "qemu-io d0 \"resume held\"");
    /* One entry may stand for both: the first was used completely. */
    while (got != token) {
        g_assert_cmpint(g_get_monotonic_time() - start, <, TIMEOUT_US);
        qvirtqueue_get_buf(rig.qts, rig.vq, &got, &len);
    }
    g_assert_cmpuint(len, ==, 0);
    g_assert_cmphex(qtest_readb(rig.qts, disk.page + 256), ==,
                    VIRTIO_BLK_S_OK);
    g_assert_cmphex(qtest_readb(rig.qts, disk.page + 257), ==,
                    VIRTIO_BLK_S_IOERR);
    qvirtqueue_reset_pool(rig.vq);
    disk_works(&rig, &disk);
    rig_stop(&rig);
}

static void boot(Rig *rig, const RigOptions *options, const char *type,
                 const char *machine, unsigned index, uint64_t *page)
{
    RigOptions opt = *options;

    opt.type = type;
    opt.machine = machine;
    opt.index = index;
    rig_boot(rig, &opt);
    rig_negotiate(rig);
    *page = guest_alloc(&rig->qs->alloc, QIOMMU_PAGE);
    qtest_memset(rig->qts, *page, 0, QIOMMU_PAGE);
    qtest_memset(rig->qts, *page + 2048, UNTOUCHED, 2048);
}

/* 5.6.6.1: the response is the twelfth byte. 5.6.6.2: of a TMF the first */
static void test_scsi(const void *opaque)
{
    static const uint8_t expected[12] = { [11] = VIRTIO_SCSI_S_FAILURE };
    uint8_t got[sizeof(expected)];
    uint64_t page;
    Rig rig;

    boot(&rig, opaque, SCSI, NULL, 2, &page);
    for (unsigned bad = 0; bad < 2; bad++) {
        /* Request, response, data-in */
        const Part parts[] = {
            { bad ? page : BAD, sizeof(struct virtio_scsi_cmd_req), false },
            { page + 2048, sizeof(struct virtio_scsi_cmd_resp), true },
            { bad ? BAD : page + 1024, 36, true },
        };

        qtest_memset(rig.qts, page + 2048, UNTOUCHED, 2048);
        g_assert_cmpuint(request(&rig, parts, 3, 0), ==, sizeof(expected));
        qtest_memread(rig.qts, page + 2048, got, sizeof(got));
        g_assert_cmpmem(got, sizeof(got), expected, sizeof(expected));
        g_assert_cmphex(qtest_readb(rig.qts, page + 2048 + 12), ==, UNTOUCHED);
    }
    g_assert_cmpuint(counter(&rig, "refused"), ==, 2);
    rig_stop(&rig);

    boot(&rig, opaque, SCSI, NULL, 0, &page);
    for (unsigned i = 0; i < 2; i++) {
        unsigned len = i ? sizeof(struct virtio_scsi_ctrl_an_resp) :
                           sizeof(struct virtio_scsi_ctrl_tmf_resp);
        const Part parts[] = {
            { BAD, sizeof(struct virtio_scsi_ctrl_tmf_req), false },
            { page + 2048, len, true },
        };

        g_assert_cmpuint(request(&rig, parts, 2, 0), ==, len);
        g_assert_cmphex(qtest_readb(rig.qts, page + 2048 + len - 1), ==,
                        VIRTIO_SCSI_S_FAILURE);
    }
    rig_stop(&rig);
}

/* 5.9.7.2: a data request ends with its status; control requests differ */
static void test_crypto(const void *opaque)
{
    uint64_t page;
    Part parts[] = {
        { 0, sizeof(struct virtio_crypto_op_data_req), false },
        { BAD, 16, true },
        { 0, 1, true },
    };
    Rig rig;

    boot(&rig, opaque, CRYPTO, CRYPTO_BACKEND, 0, &page);
    parts[0].addr = page;
    parts[2].addr = page + 2048;
    g_assert_cmpuint(request(&rig, parts, 3, 0), ==, 0);
    g_assert_cmphex(qtest_readb(rig.qts, page + 2048), ==, VIRTIO_CRYPTO_ERR);
    g_assert_cmpuint(counter(&rig, "refused"), ==, 1);
    rig_stop(&rig);

    boot(&rig, opaque, CRYPTO, CRYPTO_BACKEND, 1, &page);
    parts[0] = (Part) { BAD, sizeof(struct virtio_crypto_op_ctrl_req), false };
    parts[1] = (Part) { page + 2048, 16, true };
    g_assert_cmpuint(request(&rig, parts, 2, 0), ==, UINT32_MAX);
    rig_stop(&rig);
}

/* A network at the other end of @sv[0]; for the command line */
static char *net_backend(int sv[2])
{
    g_assert_cmpint(socketpair(PF_UNIX, SOCK_STREAM, 0, sv), ==, 0);
    return g_strdup_printf("-netdev socket,fd=%d,id=n0", sv[1]);
}

static void net_stop(Rig *rig, const int sv[2])
{
    rig_stop(rig);
    close(sv[0]);
    close(sv[1]);
}

/* 5.1.6.2: nothing tells of a packet that was not sent, the next one is. */
static void test_net_send(const void *opaque)
{
    const unsigned hdr = sizeof(struct virtio_net_hdr_v1);
    g_autofree char *backend = NULL;
    uint8_t got[4 + 60];
    uint64_t page;
    int sv[2];
    Rig rig;

    backend = net_backend(sv);
    boot(&rig, opaque, NET, backend, 1, &page);
    for (unsigned i = 0; i < 4; i++) {
        const Part parts[] = {
            { page, hdr, false },
            { i % 2 ? page + 512 : BAD, 60, false },
        };

        qtest_memset(rig.qts, page + 512, 0x40 + i, 60);
        g_assert_cmpuint(request(&rig, parts, 2, 0), ==, 0);
        if (i % 2) {
            g_assert_cmpint(recv(sv[0], got, sizeof(got), MSG_WAITALL), ==,
                            sizeof(got));
            g_assert_cmphex(got[sizeof(got) - 1], ==, 0x40 + i);
        }
    }
    g_assert_cmpuint(counter(&rig, "refused"), ==, 2);
    g_assert_false(needs_reset(&rig));
    net_stop(&rig, sv);
}

/* 5.1.6.5: ack */
static void test_net_control(const void *opaque)
{
    g_autofree char *backend = NULL;
    uint64_t page;
    int sv[2];
    Rig rig;

    backend = net_backend(sv);
    boot(&rig, opaque, NET, backend, 2, &page);
    for (unsigned i = 0; i < 2; i++) {
        const Part parts[] = {
            { page, 2, false },                 /* VIRTIO_NET_CTRL_RX */
            { i ? page + 512 : BAD, 1, false },
            { page + 2048, 1, true },
        };

        g_assert_cmpuint(request(&rig, parts, 3, 0), ==, 1);
        g_assert_cmphex(qtest_readb(rig.qts, page + 2048), ==,
                        i ? VIRTIO_NET_OK : VIRTIO_NET_ERR);
    }
    g_assert_cmpuint(counter(&rig, "refused"), ==, 1);
    net_stop(&rig, sv);
}

/* A buffer for a packet has no place for an error. */
static void test_net_receive(const void *opaque)
{
    g_autofree char *backend = NULL;
    uint8_t packet[64] = { 0 };
    uint32_t header = cpu_to_be32(sizeof(packet));
    uint64_t page;
    int sv[2];
    Rig rig;

    backend = net_backend(sv);
    boot(&rig, opaque, NET, backend, 0, &page);
    submit(&rig, &(Part) { BAD, 2048, true }, 1, 0);
    memset(packet, 0xff, 6);
    g_assert_cmpint(write(sv[0], &header, sizeof(header)), ==, sizeof(header));
    g_assert_cmpint(write(sv[0], packet, sizeof(packet)), ==, sizeof(packet));
    expect_needs_reset(&rig);
    g_assert_cmpuint(counter(&rig, "refused"), ==, 0);
    net_stop(&rig, sv);
}

/*
 * Chains of any kind, of buffers that are there or not, or go meanwhile: each
 * is answered or the device asks for a reset, after which it works.
 */
static void test_random(const void *opaque)
{
    uint64_t iova[] = { 0, AREA, AREA + QIOMMU_PAGE - 1, BAD, UINT64_MAX - 99 };
    RigOptions opt = *(const RigOptions *)opaque;
    Disk disk;
    Rig rig;

    opt.size = 16;
    disk = disk_start(&rig, &opt, ",iothread=io0");
    iova[0] = disk.page;
    qiommu_map_scattered(rig.iommu, AREA, QIOMMU_PAGE);
    for (unsigned round = 0; round < 100; round++) {
        unsigned num = g_test_rand_int_range(1, 6);
        bool table = g_test_rand_bit() && g_test_rand_bit();
        Part parts[5];

        for (unsigned i = 0; i < num; i++) {
            parts[i] = (Part) {
                .addr = iova[g_test_rand_int_range(0, ARRAY_SIZE(iova))],
                .len = 1 << g_test_rand_int_range(0, 14),
                .write = i > num / 2 || g_test_rand_int_range(0, 20) == 0,
            };
        }
        submit(&rig, parts, num, table ? disk.table : 0);
        if (round % 3 == 0) {
            qiommu_unmap(rig.iommu, AREA, QIOMMU_PAGE);
            qiommu_map_scattered(rig.iommu, AREA, QIOMMU_PAGE);
        }
        if (echo_wait(&rig) == UINT32_MAX) {
            qvirtio_start_device(rig.vdev);
            qvirtqueue_cleanup(rig.vdev->bus, rig.vq, &rig.qs->alloc);
            rig_negotiate(&rig);
        } else {
            qvirtqueue_reset_pool(rig.vq);
        }
    }
    g_assert_cmpuint(in_flight(&rig), ==, 0);
    disk_works(&rig, &disk);
    rig_stop(&rig);
}

/* What says nothing about errors: an entropy source, and virtio-echo */
static void test_others(const void *opaque)
{
    static const char *const types[] = { "virtio-rng-pci", "virtio-echo-pci" };

    for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
        const Part parts[] = {
            { BAD, 16, false }, { BAD, 16, true },
        };
        uint64_t page;
        Rig rig;

        boot(&rig, opaque, types[i], NULL, 0, &page);
        g_assert_cmpuint(request(&rig, parts + !i, 1 + i, 0), ==, UINT32_MAX);
        g_assert_cmpuint(counter(&rig, "refused"), ==, 0);
        rig_stop(&rig);
    }
}

static const RigTest tests[] = {
    { "blk", test_blk },
    { "blk-partly", test_blk_partly },
    { "blk-broken", test_blk_broken },
    { "flood", test_flood },
    { "in-order", test_in_order },
    { "scsi", test_scsi },
    { "crypto", test_crypto },
    { "net-send", test_net_send },
    { "net-control", test_net_control },
    { "net-receive", test_net_receive },
    { "random", test_random },
    { "others", test_others },
};

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    rig_add("virtio-refused", tests, ARRAY_SIZE(tests));
    return g_test_run();
}
