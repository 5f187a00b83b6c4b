/*
 * The IOTLB of a virtio device: how often the IOMMU is asked, and that
 * nothing is used after it was taken away
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Every test runs behind VT-d and behind virtio-iommu, split and packed.
 */

#include "virtio-iova-rig.c.inc"
#include "hw/pci/pci_regs.h"
#include "standard-headers/linux/virtio_iommu.h"

#define HPET 0xfed00000ull

static void expect_engine(Rig *rig, const char *start)
{
    QDict *answer = qtest_qmp(rig->qts, "{ 'execute': "
                              "'x-query-virtio-queue-status', 'arguments': "
                              "{ 'path': %s, 'queue': 0 } }", PATH);
    QDict *ring = qdict_get_qdict(qdict_get_qdict(answer, "return"), "ring");

    if (!g_str_has_prefix(qdict_get_str(ring, "engine"), start)) {
        g_error("engine is %s", qdict_get_str(ring, "engine"));
    }
    qobject_unref(answer);
}

/* Send @len bytes of a pattern by IOVA and see that they come back */
static void echo_pattern(Rig *rig, uint64_t out, uint64_t in, uint32_t len,
                         uint8_t pattern)
{
    g_autofree uint8_t *sent = g_malloc(len), *got = g_malloc(len);

    memset(sent, pattern, len);
    qiommu_memwrite(rig->iommu, out, sent, len);
    memset(got, ~pattern, len);
    qiommu_memwrite(rig->iommu, in, got, len);
    g_assert_cmpuint(echo_one(rig, out, len, in, len), ==, len);
    qiommu_memread(rig->iommu, in, got, len);
    g_assert_cmpmem(sent, len, got, len);
}

/* Who serves; both give the same bytes */
static void test_engine(const void *opaque)
{
    RigOptions opt = *(const RigOptions *)opaque;

    for (unsigned off = 0; off < 2; off++) {
        Rig rig;

        opt.device = off ? ",x-iotlb=off" : NULL;
        rig_boot(&rig, &opt);
        rig_negotiate(&rig);
        expect_engine(&rig, off ? "stock: behind an IOMMU, x-iotlb=off" :
                                  "vadis: ");
        qiommu_map_scattered(rig.iommu, AREA, 4 * QIOMMU_PAGE);
        echo_pattern(&rig, AREA + 100, AREA + 2 * QIOMMU_PAGE + 100,
                     QIOMMU_PAGE, 0x5a);
        rig_stop(&rig);
    }
}

/* A mapping that stays is asked for once: from then on all look-ups hit. */
static void test_static(const void *opaque)
{
    const RigOptions *opt = opaque;
    uint64_t asked, hits, misses;
    Rig rig;

    rig_boot(&rig, opt);
    qiommu_map_scattered(rig.iommu, AREA, 4 * QIOMMU_PAGE);
    rig_negotiate(&rig);
    echo_pattern(&rig, AREA, AREA + 2 * QIOMMU_PAGE, QIOMMU_PAGE, 1);
    asked = counter(&rig, "translations");
    hits = counter(&rig, "hits");
    misses = counter(&rig, "misses");
    for (unsigned i = 0; i < 40; i++) {
        echo_pattern(&rig, AREA, AREA + 2 * QIOMMU_PAGE, QIOMMU_PAGE, i);
    }
    g_assert_cmpuint(counter(&rig, "translations"), ==, asked);
    g_assert_cmpuint(counter(&rig, "misses"), ==, misses);
    g_assert_cmpuint(counter(&rig, "hits"), >, hits);
    rig_stop(&rig);
}

/*
 * Buffers that are mapped for one request each, at the same IOVAs, with 4 KiB
 * each way: the device gets each time's page, and asks once for each.
 */
static void test_per_request(const void *opaque)
{
    const RigOptions *opt = opaque;
    uint64_t asked, out = AREA, in = AREA + QIOMMU_PAGE;
    unsigned rounds = 20;
    Rig rig;

    rig_boot(&rig, opt);
    qiommu_map_scattered(rig.iommu, AREA, 2 * QIOMMU_PAGE);
    rig_negotiate(&rig);
    echo_pattern(&rig, out, in, QIOMMU_PAGE, 1);
    asked = counter(&rig, "translations");
    for (unsigned i = 0; i < rounds; i++) {
        qiommu_unmap(rig.iommu, out, QIOMMU_PAGE);
        qiommu_unmap(rig.iommu, in, QIOMMU_PAGE);
        qiommu_map_scattered(rig.iommu, out, QIOMMU_PAGE);
        qiommu_map_scattered(rig.iommu, in, QIOMMU_PAGE);
        echo_pattern(&rig, out, in, QIOMMU_PAGE, i);
    }
    g_assert_cmpuint(counter(&rig, "translations"), ==, asked + 2 * rounds);
    rig_stop(&rig);
}

/*
 * One mapping of 64 KiB (VT-d: of 2 MiB) is one translation, whether a buffer
 * is part of it or all of its 64 KiB.
 */
static void test_large(const void *opaque)
{
    const RigOptions *opt = opaque;
    uint64_t size = opt->kind == QIOMMU_VTD ? QIOMMU_LARGE_PAGE : 64 << 10;
    uint64_t page, asked;
    Rig rig;

    rig_boot(&rig, opt);
    page = ROUND_UP(guest_alloc(&rig.qs->alloc, 4 * size), size);
    for (unsigned i = 0; i < 3; i++) {
        qiommu_map(rig.iommu, AREA + i * size, page + i * size, size,
                   QIOMMU_RW);
    }
    rig_negotiate(&rig);
    echo_pattern(&rig, 0x1000000, 0x1001000, 1, 1);
    asked = counter(&rig, "translations");
    echo_pattern(&rig, AREA, AREA + (32 << 10), 32 << 10, 0x66);
    g_assert_cmpuint(counter(&rig, "translations"), ==, asked + 1);
    /* libqos reads 16 bits of a used length. */
    g_assert_cmpuint(echo_one(&rig, AREA + size, 64 << 10, AREA, 32 << 10), ==,
                     32 << 10);
    g_assert_cmpuint(counter(&rig, "translations"), ==, asked + 2);
    g_assert_cmpuint(echo_one(&rig, AREA, 32 << 10, AREA + 2 * size, 64 << 10),
                     ==, 32 << 10);
    g_assert_cmpuint(counter(&rig, "translations"), ==, asked + 3);
    rig_stop(&rig);
}

/* Wait until the device has returned @count requests, in the moved area */
static void wait_used(Rig *rig, uint16_t count)
{
    gint64 start = g_get_monotonic_time();

    if (rig->opt.packed) {
        g_assert_cmpuint(echo_wait(rig), !=, UINT32_MAX);
    } else {
        while (used_idx(rig) != count) {
            g_assert_cmpint(g_get_monotonic_time() - start, <, TIMEOUT_US);
            g_assert_false(needs_reset(rig));
        }
    }
    qvirtqueue_reset_pool(rig->vq);
}

/* A ring page that moves: the device goes with it, and leaves the old alone. */
static void test_ring_moves(const void *opaque)
{
    RigOptions opt = *(const RigOptions *)opaque;
    uint8_t page[QIOMMU_PAGE];
    uint64_t buf;
    Rig rig;

    opt.used = AREA;
    rig_boot(&rig, &opt);
    qiommu_map_scattered(rig.iommu, AREA, QIOMMU_PAGE);
    rig_negotiate(&rig);
    buf = guest_alloc(&rig.qs->alloc, 32);
    for (unsigned i = 0; i < 8; i++) {
        uint64_t old = qiommu_pa(rig.iommu, AREA);

        echo_submit(&rig, buf, 16, buf + 16, 16);
        wait_used(&rig, 2 * i + 1);
        qtest_memread(rig.qts, old, page, sizeof(page));
        qiommu_unmap(rig.iommu, AREA, QIOMMU_PAGE);
        qtest_memset(rig.qts, old, GUARD, QIOMMU_PAGE);
        qiommu_map_scattered(rig.iommu, AREA, QIOMMU_PAGE);
        qiommu_memwrite(rig.iommu, AREA, page, sizeof(page));

        echo_submit(&rig, buf, 16, buf + 16, 16);
        wait_used(&rig, 2 * i + 2);
        qtest_memread(rig.qts, old, page, sizeof(page));
        for (unsigned j = 0; j < sizeof(page); j++) {
            g_assert_cmphex(page[j], ==, GUARD);
        }
    }
    rig_stop(&rig);
}

/* More pages than entries */
static void test_small(const void *opaque)
{
    RigOptions opt = *(const RigOptions *)opaque;
    Rig rig;

    opt.device = ",x-iotlb-entries=4";
    rig_boot(&rig, &opt);
    qiommu_map_scattered(rig.iommu, AREA, 64 * QIOMMU_PAGE);
    rig_negotiate(&rig);
    g_assert_cmpuint(counter(&rig, "entries"), ==, 4);
    for (unsigned i = 0; i < 4; i++) {
        echo_pattern(&rig, AREA + 50, AREA + 32 * QIOMMU_PAGE + 70,
                     15 * QIOMMU_PAGE, 0x10 + i);
    }
    rig_stop(&rig);
}

/*
 * A device's registers as a buffer: not remembered, and read right. The
 * identity of the HPET is read through the device.
 */
static void test_registers(const void *opaque)
{
    RigOptions opt = *(const RigOptions *)opaque;
    uint64_t in, slow;
    Rig rig;

    opt.machine = "-machine hpet=on";
    rig_boot(&rig, &opt);
    qiommu_map(rig.iommu, AREA, HPET, QIOMMU_PAGE, QIOMMU_RW);
    rig_negotiate(&rig);
    in = guest_alloc(&rig.qs->alloc, 8);
    slow = counter(&rig, "slow");
    for (unsigned i = 0; i < 3; i++) {
        qtest_writeq(rig.qts, in, 0);
        g_assert_cmpuint(echo_one(&rig, AREA, 8, in, 8), ==, 8);
        g_assert_cmphex(qtest_readl(rig.qts, in), ==,
                        qtest_readl(rig.qts, HPET));
        g_assert_cmpuint(counter(&rig, "slow"), >, slow + i);
    }
    g_assert_cmphex(qtest_readl(rig.qts, in), !=, 0);
    rig_stop(&rig);
}

/*
 * Attached to another domain, the device never sees memory as it is: there is
 * no view in between for an IOThread to find. What it has in flight and in the
 * IOTLB is told by the mappings that go.
 */
static void test_attach_other(const void *opaque)
{
    RigOptions opt = *(const RigOptions *)opaque;
    struct virtio_iommu_req_attach req = {
        .head.type = VIRTIO_IOMMU_T_ATTACH,
        .domain = cpu_to_le32(8),
        .endpoint = cpu_to_le32(DEVFN),
    };
    uint8_t before[64];
    unsigned views;
    Rig rig;

    opt.machine = "-trace virtio_iotlb_flush";
    rig_boot(&rig, &opt);
    qiommu_map_scattered(rig.iommu, AREA, 2 * QIOMMU_PAGE);
    rig_negotiate(&rig);
    echo_pattern(&rig, AREA, AREA + QIOMMU_PAGE, sizeof(before), 1);
    qiommu_memread(rig.iommu, AREA + QIOMMU_PAGE, before, sizeof(before));
    views = count_in_file(rig.log, "address space");
    g_assert_cmpuint(views, >, 0);

    g_assert_cmpuint(qiommu_request(rig.iommu, &req,
                                    offsetof(typeof(req), tail), &req.tail,
                                    sizeof(req.tail)), ==, sizeof(req.tail));
    g_assert_cmpuint(req.tail.status, ==, VIRTIO_IOMMU_S_OK);
    g_assert_cmpuint(count_in_file(rig.log, "address space"), ==, views);
    g_assert_cmpuint(counter(&rig, "cleared"), >, 0);
    echo_submit(&rig, AREA, 64, AREA + QIOMMU_PAGE, 64);
    expect_needs_reset(&rig);

    /* Into a bypass domain it does change, and back. */
    req.domain = cpu_to_le32(9);
    req.flags = cpu_to_le32(VIRTIO_IOMMU_ATTACH_F_BYPASS);
    for (unsigned i = 1; i < 3; i++) {
        qiommu_request(rig.iommu, &req, offsetof(typeof(req), tail), &req.tail,
                       sizeof(req.tail));
        g_assert_cmpuint(req.tail.status, ==, VIRTIO_IOMMU_S_OK);
        g_assert_cmpuint(count_in_file(rig.log, "address space"), ==,
                         views + i);
        req.domain = cpu_to_le32(8);
        req.flags = 0;
    }
    rig_stop(&rig);
}

static void bus_master(Rig *rig, bool on)
{
    uint16_t command = qpci_config_readw(rig->pci->pdev, PCI_COMMAND);

    qpci_config_writew(rig->pci->pdev, PCI_COMMAND,
                       on ? command | PCI_COMMAND_MASTER
                          : command & ~PCI_COMMAND_MASTER);
}

/* What ends all translations: none is there afterwards, and it works again. */
static void test_flush(const void *opaque)
{
    const RigOptions *opt = opaque;
    uint64_t asked;
    Rig rig;

    rig_boot(&rig, opt);
    qiommu_map_scattered(rig.iommu, AREA, 2 * QIOMMU_PAGE);
    rig_negotiate(&rig);
    echo_pattern(&rig, AREA, AREA + QIOMMU_PAGE, 64, 1);

    qvirtio_start_device(rig.vdev);
    qvirtqueue_cleanup(rig.vdev->bus, rig.vq, &rig.qs->alloc);
    rig_negotiate(&rig);
    asked = counter(&rig, "translations");
    echo_pattern(&rig, AREA, AREA + QIOMMU_PAGE, 64, 2);
    g_assert_cmpuint(counter(&rig, "translations"), >=, asked + 2);

    asked = counter(&rig, "translations");
    bus_master(&rig, false);
    bus_master(&rig, true);
    qvirtio_set_driver_ok(rig.vdev);    /* QEMU takes it away with the bus */
    echo_pattern(&rig, AREA, AREA + QIOMMU_PAGE, 64, 3);
    g_assert_cmpuint(counter(&rig, "translations"), >=, asked + 2);
    rig_stop(&rig);
}

/* Without bus mastering nothing that was remembered is used. */
static void test_bus_master_off(const void *opaque)
{
    const RigOptions *opt = opaque;
    uint8_t got[64];
    Rig rig;

    rig_boot(&rig, opt);
    qiommu_map_scattered(rig.iommu, AREA, 2 * QIOMMU_PAGE);
    rig_negotiate(&rig);
    echo_pattern(&rig, AREA, AREA + QIOMMU_PAGE, sizeof(got), 1);
    memset(got, GUARD, sizeof(got));
    qiommu_memwrite(rig.iommu, AREA + QIOMMU_PAGE, got, sizeof(got));
    bus_master(&rig, false);
    echo_submit(&rig, AREA, sizeof(got), AREA + QIOMMU_PAGE, sizeof(got));
    qiommu_memread(rig.iommu, AREA + QIOMMU_PAGE, got, sizeof(got));
    for (unsigned i = 0; i < sizeof(got); i++) {
        g_assert_cmphex(got[i], ==, GUARD);
    }
    qpci_io_readb(rig.pci->pdev, rig.pci->bar, rig.pci->common_cfg_offset);
    bus_master(&rig, true);
    rig_stop(&rig);
}

/*
 * A driver that takes mappings away, of rings too, while an IOThread works:
 * the device breaks or serves, and with the mappings back it serves again.
 */
static void test_hostile(const void *opaque)
{
    RigOptions opt = *(const RigOptions *)opaque;
    QIommuFault fault;
    Rig rig;

    opt.used = AREA;
    opt.machine = "-object iothread,id=io0";
    opt.device = ",iothread=io0,x-iotlb-entries=16";
    rig_boot(&rig, &opt);
    for (unsigned round = 0; round < 12; round++) {
        uint64_t gone = AREA + (round % 4 + 1) * QIOMMU_PAGE;

        qiommu_map_scattered(rig.iommu, AREA, QIOMMU_PAGE);
        qiommu_map_scattered(rig.iommu, AREA + QIOMMU_PAGE, 4 * QIOMMU_PAGE);
        rig_negotiate(&rig);
        echo_submit(&rig, AREA + QIOMMU_PAGE + 5, QIOMMU_PAGE,
                    AREA + 3 * QIOMMU_PAGE + 7, QIOMMU_PAGE);
        for (unsigned i = 0; i < 4; i++) {
            qiommu_unmap(rig.iommu, gone, QIOMMU_PAGE);
            qiommu_map_scattered(rig.iommu, gone, QIOMMU_PAGE);
            rig.vdev->bus->virtqueue_kick(rig.vdev, rig.vq);
        }
        if (round % 3 == 0) {
            qiommu_unmap(rig.iommu, AREA, QIOMMU_PAGE);
            rig.vdev->bus->virtqueue_kick(rig.vdev, rig.vq);
            qiommu_map_scattered(rig.iommu, AREA, QIOMMU_PAGE);
        }
        qvirtio_start_device(rig.vdev);
        qvirtqueue_cleanup(rig.vdev->bus, rig.vq, &rig.qs->alloc);
        for (unsigned i = 0; i < 5; i++) {
            qiommu_unmap(rig.iommu, AREA + i * QIOMMU_PAGE, QIOMMU_PAGE);
        }
        while (qiommu_take_fault(rig.iommu, &fault)) {
            /* as many as there are */
        }
    }
    rig.opt.used = 0;
    rig_negotiate(&rig);
    qiommu_map_scattered(rig.iommu, AREA, 2 * QIOMMU_PAGE);
    echo_pattern(&rig, AREA, AREA + QIOMMU_PAGE, 64, 9);
    rig_stop(&rig);
}

static const RigTest tests[] = {
    { "engine", test_engine },
    { "static", test_static },
    { "per-request", test_per_request },
    { "large", test_large },
    { "ring-moves", test_ring_moves },
    { "small", test_small },
    { "registers", test_registers },
    { "flush", test_flush },
    { "bus-master-off", test_bus_master_off },
    { "hostile", test_hostile },
};

int main(int argc, char **argv)
{
    static const RigTest other = { "attach-other", test_attach_other };

    g_test_init(&argc, &argv, NULL);
    rig_add("virtio-iotlb", tests, ARRAY_SIZE(tests));
    for (unsigned packed = 0; packed < 2; packed++) {
        rig_add_one("virtio-iotlb", &other, QIOMMU_VIRTIO, packed);
    }
    return g_test_run();
}
