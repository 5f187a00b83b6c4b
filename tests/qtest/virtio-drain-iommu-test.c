/*
 * What an IOMMU's other commands mean for requests in flight, and what a guest
 * can do to an IOMMU that waits for them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "virtio-drain-rig.c.inc"

/* A VT-d invalidation queue of the test's own, 1024 entries */
#define QUEUE_SIZE      1024u
#define QUEUE_ORDER     2u
#define RUN             64u     /* descriptors that are executed in a row */

typedef struct Queue {
    Rig *rig;
    uint64_t at, status;
    unsigned tail;
    uint32_t waits;
} Queue;

static uint64_t zeroed(Rig *rig, uint64_t size)
{
    uint64_t at = guest_alloc(&rig->qs->alloc, size);

    qtest_memset(rig->qts, at, 0, size);
    return at;
}

static uint64_t vtd_readq(Rig *rig, unsigned reg)
{
    return qtest_readq(rig->qts, Q35_HOST_BRIDGE_IOMMU_ADDR + reg);
}

static void vtd_writeq(Rig *rig, unsigned reg, uint64_t value)
{
    qtest_writeq(rig->qts, Q35_HOST_BRIDGE_IOMMU_ADDR + reg, value);
}

static void vtd_command(Rig *rig, uint32_t bit)
{
    uint64_t at = Q35_HOST_BRIDGE_IOMMU_ADDR;

    qtest_writel(rig->qts, at + DMAR_GCMD_REG,
                 qtest_readl(rig->qts, at + DMAR_GSTS_REG) | bit);
}

static void queue_start(Queue *q, Rig *rig)
{
    *q = (Queue) {
        .rig = rig,
        .at = zeroed(rig, QUEUE_SIZE * 16),
        .status = zeroed(rig, QIOMMU_PAGE),
    };
    vtd_writeq(rig, DMAR_IQT_REG, 0);
    vtd_writeq(rig, DMAR_IQA_REG, q->at | QUEUE_ORDER);
    vtd_command(rig, VTD_GCMD_QIE);
}

static void queue_add(Queue *q, uint64_t lo, uint64_t hi)
{
    qtest_writeq(q->rig->qts, q->at + q->tail * 16, lo);
    qtest_writeq(q->rig->qts, q->at + q->tail * 16 + 8, hi);
    q->tail = (q->tail + 1) % QUEUE_SIZE;
}

static void queue_kick(Queue *q)
{
    vtd_writeq(q->rig, DMAR_IQT_REG, (uint64_t)q->tail << 4);
}

static void queue_run(Queue *q)
{
    q->waits++;
    queue_add(q, VTD_INV_DESC_WAIT | VTD_INV_DESC_WAIT_SW |
                 (uint64_t)q->waits << 32, q->status);
    queue_kick(q);
}

static uint32_t queue_passed(Queue *q)
{
    return qtest_readl(q->rig->qts, q->status);
}

static void queue_expect_passed(Queue *q)
{
    gint64 start = g_get_monotonic_time();

    while (queue_passed(q) != q->waits) {
        g_assert_cmpint(g_get_monotonic_time() - start, <, TIMEOUT_US);
    }
}

static void queue_add_domain(Queue *q)
{
    queue_add(q, VTD_INV_DESC_IOTLB | VTD_INV_DESC_IOTLB_DOMAIN |
                 DOMAIN << 16, 0);
}

/* The device's entry of the context table */
static uint64_t context_entry(Rig *rig)
{
    uint64_t root = vtd_readq(rig, DMAR_RTADDR_REG) & VTD_ROOT_ENTRY_CTP;

    return (qtest_readq(rig->qts, root) & VTD_ROOT_ENTRY_CTP) + DEVFN * 16;
}

/*
 * The same page tables, found by way of a PASID table
 *
 * Returns: the PASID table's entry
 */
static uint64_t use_scalable(Rig *rig)
{
    uint64_t root = zeroed(rig, QIOMMU_PAGE), context = zeroed(rig, 8192);
    uint64_t dir = zeroed(rig, QIOMMU_PAGE), table = zeroed(rig, QIOMMU_PAGE);
    uint64_t pages = qtest_readq(rig->qts, context_entry(rig)) &
                     VTD_ROOT_ENTRY_CTP;

    qtest_writeq(rig->qts, root, context | VTD_ROOT_ENTRY_P);
    qtest_writeq(rig->qts, context + DEVFN * 32, dir | 1);
    qtest_writeq(rig->qts, dir, table | 1);
    qtest_writeq(rig->qts, table, pages | VTD_SM_PASID_ENTRY_SLT | 1 << 2 |
                                  VTD_PASID_ENTRY_P);
    qtest_writeq(rig->qts, table + 8, DOMAIN);
    vtd_writeq(rig, DMAR_RTADDR_REG, root | VTD_RTADDR_SMT);
    vtd_command(rig, VTD_GCMD_SRTP);
    return table;
}

static void read_good(Rig *rig)
{
    submit_read(rig, rig->req, AREA);
    wait_used(rig);
    g_assert_cmphex(read_status(rig), ==, VIRTIO_BLK_S_OK);
    expect_page(rig, DISK);
    expect(rig, in_flight, 0);
}

/*
 * A PASID table's entry is cleared. The IOTLB's invalidation that follows can
 * not be matched with the device any more: its domain is known no longer.
 */
static void test_pasid_cache(const void *opaque)
{
    static const unsigned granularity[] = { 0, 1, 3 };
    RigOptions opt = *(const RigOptions *)opaque;
    uint64_t entry;
    Queue q;
    Rig rig;

    opt.more = "-global intel-iommu.x-scalable-mode=on";
    for (unsigned i = 0; i < ARRAY_SIZE(granularity); i++) {
        rig_boot(&rig, &opt);
        queue_start(&q, &rig);
        entry = use_scalable(&rig);
        read_good(&rig);

        hold_read(&rig);
        qtest_writeq(rig.qts, entry, 0);
        queue_add(&q, VTD_INV_DESC_PC | granularity[i] << 4 | DOMAIN << 16, 0);
        queue_add_domain(&q);
        queue_run(&q);
        expect(&rig, parked, 1);
        g_assert_cmpuint(queue_passed(&q), ==, 0);
        expect_page(&rig, OLD);
        release_read(&rig);
        queue_expect_passed(&q);
        expect_page(&rig, DISK);

        /* Its rings are gone, too. */
        submit_read(&rig, rig.req, AREA);
        expect(&rig, needs_reset, 1);
        rig_drop(&rig);
    }
}

/* A PASID table's entry that let everything through does so no longer. */
static void test_pass_through_ends(const void *opaque)
{
    RigOptions opt = *(const RigOptions *)opaque;
    uint64_t entry, value;
    Queue q;
    Rig rig;

    opt.more = "-global intel-iommu.x-scalable-mode=on";
    rig_boot(&rig, &opt);
    queue_start(&q, &rig);
    entry = use_scalable(&rig);
    value = qtest_readq(rig.qts, entry);
    qtest_writeq(rig.qts, entry, (value & ~VTD_SM_PASID_ENTRY_PGTT) |
                                 VTD_SM_PASID_ENTRY_PT);
    vtd_command(&rig, VTD_GCMD_SRTP);
    submit_read(&rig, rig.req, rig.page);
    wait_used(&rig);
    expect_page(&rig, DISK);

    qtest_writeq(rig.qts, entry, value);
    queue_add(&q, VTD_INV_DESC_PC | 1 << 4 | DOMAIN << 16, 0);
    queue_add_domain(&q);
    queue_run(&q);
    queue_expect_passed(&q);
    qtest_memset(rig.qts, rig.page, OLD, QIOMMU_PAGE);
    read_good(&rig);
    rig_stop(&rig);
}

/*
 * The device uses memory between the invalidation of its context and that of
 * the IOTLB, which the IOMMU's own IOTLB could still answer for.
 */
static void test_left_domain(const void *opaque)
{
    gint64 start = g_get_monotonic_time();
    uint64_t entry;
    Queue q;
    Rig rig;

    rig_boot(&rig, opaque);
    queue_start(&q, &rig);
    read_good(&rig);

    entry = context_entry(&rig);
    qtest_writeq(rig.qts, entry, 0);
    queue_add(&q, VTD_INV_DESC_CC | VTD_INV_DESC_CC_DEVICE | DOMAIN << 16 |
                  (uint64_t)DEVFN << 32, 0);
    queue_run(&q);
    queue_expect_passed(&q);
    submit_read(&rig, rig.req, AREA);
    while (!qvirtqueue_get_buf(rig.qts, rig.vq, NULL, NULL) &&
           !needs_reset(&rig)) {
        g_assert_cmpint(g_get_monotonic_time() - start, <, TIMEOUT_US);
    }

    queue_add_domain(&q);
    queue_run(&q);
    queue_expect_passed(&q);
    qtest_memset(rig.qts, rig.page, NEW, QIOMMU_PAGE);
    submit_read(&rig, rig.req, AREA);
    expect(&rig, needs_reset, 1);
    expect_page(&rig, NEW);
    rig_drop(&rig);
}

/*
 * Many invalidations by one write: some are executed, then the main loop has
 * its turn. On a machine that is stopped that does not come.
 */
static void test_long_queue(const void *opaque)
{
    uint64_t drains;
    Queue q;
    Rig rig;

    rig_boot(&rig, opaque);
    queue_start(&q, &rig);
    hold_read(&rig);
    drains = of_iommu(&rig, "x-iommu-drains");
    for (unsigned i = 0; i < QUEUE_SIZE - 2; i++) {
        queue_add(&q, VTD_INV_DESC_IOTLB | VTD_INV_DESC_IOTLB_GLOBAL, 0);
    }
    queue_run(&q);
    queue_expect_passed(&q);
    g_assert_cmpuint(of_iommu(&rig, "x-iommu-drains"), >=,
                     drains + (QUEUE_SIZE - 2) / RUN);
    /* The read's memory is mapped: it was not waited for. */
    g_assert_cmpuint(in_flight(&rig), ==, 1);
    g_assert_cmpuint(parked(&rig), ==, 0);
    release_read(&rig);
    wait_used(&rig);
    expect(&rig, in_flight, 0);

    qtest_qmp_assert_success(rig.qts, "{ 'execute': 'stop' }");
    for (unsigned i = 0; i < 3 * RUN; i++) {
        queue_add(&q, VTD_INV_DESC_IOTLB | VTD_INV_DESC_IOTLB_GLOBAL, 0);
    }
    queue_run(&q);
    g_assert_cmpuint(vtd_readq(&rig, DMAR_IQH_REG) >> 4, ==,
                     (QUEUE_SIZE - 1 + RUN) % QUEUE_SIZE);
    g_assert_cmpuint(parked(&rig), ==, 1);
    g_assert_cmpuint(queue_passed(&q), ==, q.waits - 1);
    qtest_qmp_assert_success(rig.qts, "{ 'execute': 'cont' }");
    queue_expect_passed(&q);
    g_assert_cmphex(vtd_readq(&rig, DMAR_IQH_REG), ==,
                    vtd_readq(&rig, DMAR_IQT_REG));
    rig_stop(&rig);
}

/* What a guest's kernel can do to a queue between two runs */
static void test_long_queue_hostile(const void *opaque)
{
    Queue q;
    Rig rig;

    rig_boot(&rig, opaque);
    queue_start(&q, &rig);
    for (unsigned round = 0; round < 3; round++) {
        qtest_qmp_assert_success(rig.qts, "{ 'execute': 'stop' }");
        for (unsigned i = 0; i < 2 * RUN; i++) {
            queue_add(&q, VTD_INV_DESC_IOTLB | VTD_INV_DESC_IOTLB_GLOBAL, 0);
        }
        queue_kick(&q);
        g_assert_cmpuint(parked(&rig), ==, 1);
        if (round == 0) {
            /* Turned off, and wide descriptors */
            qtest_writel(rig.qts, Q35_HOST_BRIDGE_IOMMU_ADDR + DMAR_GCMD_REG,
                         VTD_GCMD_TE);
            vtd_writeq(&rig, DMAR_IQA_REG, 7 | VTD_IQA_DW_MASK);
        } else if (round == 1) {
            /* Out of the queue */
            vtd_writeq(&rig, DMAR_IQT_REG, 0x7fff0);
        } else {
            qtest_system_reset(rig.qts);
        }
        qtest_qmp_assert_success(rig.qts, "{ 'execute': 'cont' }");
        expect(&rig, parked, 0);
        expect(&rig, running, 1);
        qtest_writel(rig.qts, Q35_HOST_BRIDGE_IOMMU_ADDR + DMAR_FSTS_REG,
                     VTD_FSTS_IQE);
    }
    rig_drop(&rig);
}

/* The queue of fault reports is not the one that the answer comes by. */
static void test_event_queue_reset(const void *opaque)
{
    QVirtQueue events = { .index = 1 };
    Rig rig;

    rig_boot(&rig, opaque);
    hold_read(&rig);
    qiommu_unmap_start(rig.iommu, AREA);
    expect_kept_back(&rig);
    packed_pci_queue_reset(qiommu_device(rig.iommu), &events);
    expect_kept_back(&rig);
    release_read(&rig);
    wait_answered(&rig);
    expect_page(&rig, DISK);
    expect_page_free(&rig);
    rig_drop(&rig);
}

/*
 * The request queue is reset while an UNMAP's answer is kept back, and the
 * same UNMAP is asked for again: it finds nothing mapped, and the read is in
 * flight as before.
 */
static void test_request_queue_reset(const void *opaque)
{
    struct virtio_iommu_req_unmap req = {
        .head.type = VIRTIO_IOMMU_T_UNMAP,
        .domain = cpu_to_le32(DOMAIN),
        .virt_start = cpu_to_le64(AREA),
        .virt_end = cpu_to_le64(AREA + QIOMMU_PAGE - 1),
    };
    size_t tail = sizeof(req.tail), len = sizeof(req) - tail;
    QVirtQueue old = { .index = 0 }, *vq;
    QVirtioPCIDevice *iommu;
    uint32_t token;
    uint64_t out;
    Rig rig;

    rig_boot(&rig, opaque);
    hold_read(&rig);
    qiommu_unmap_start(rig.iommu, AREA);
    expect_kept_back(&rig);
    iommu = qiommu_device(rig.iommu);
    packed_pci_queue_reset(iommu, &old);
    g_assert_cmpuint(parked(&rig), ==, 0);

    vq = qvirtqueue_setup(&iommu->vdev, &rig.qs->alloc, 0);
    out = zeroed(&rig, sizeof(req));
    req.tail.status = 0xff;
    qtest_memwrite(rig.qts, out, &req, sizeof(req));
    token = qvirtqueue_add(rig.qts, vq, out, len, false, true);
    qvirtqueue_add(rig.qts, vq, out + len, tail, true, false);
    qvirtqueue_kick(rig.qts, &iommu->vdev, vq, token);
    expect(&rig, parked, 1);
    g_assert_cmphex(qtest_readb(rig.qts, out + len), ==, 0xff);
    expect_page(&rig, OLD);

    release_read(&rig);
    expect(&rig, parked, 0);
    g_assert_true(qvirtqueue_get_buf(rig.qts, vq, NULL, NULL));
    g_assert_cmphex(qtest_readb(rig.qts, out + len), ==, VIRTIO_IOMMU_S_OK);
    expect_page(&rig, DISK);
    expect_page_free(&rig);
    qvirtqueue_cleanup(iommu->vdev.bus, vq, &rig.qs->alloc);
    rig_drop(&rig);
}

/*
 * A driver in user space unmaps its ring before the machine moves: its device
 * is broken there, and no more than that.
 */
static void test_ring_gone(const void *opaque)
{
    g_autofree char *state = NULL;
    uint64_t status;
    Rig rig, to;

    rig_boot(&rig, opaque);
    read_good(&rig);
    qiommu_unmap(rig.iommu, 0, RAM);
    state = rig_save(&rig);
    status = rig.pci->bar.addr + rig.pci->common_cfg_offset +
             VIRTIO_PCI_COMMON_STATUS;
    g_assert_cmphex(qtest_readb(rig.qts, status), ==,
                    VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
                    VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
    qtest_quit(rig.qts);

    rig_load(&to, &rig, state);
    g_assert_cmphex(qtest_readb(to.qts, status) & VIRTIO_CONFIG_S_NEEDS_RESET,
                    ==, VIRTIO_CONFIG_S_NEEDS_RESET);
    rig_moved(&to, &rig, state);
}

static const struct {
    const char *name;
    GTestDataFunc fn;
    Ask ask;
    bool packed;
} tests[] = {
    { "pasid-cache", test_pasid_cache, ASK_REGISTER, true },
    { "pass-through-ends", test_pass_through_ends, ASK_REGISTER, true },
    { "left-domain/split", test_left_domain, ASK_REGISTER, false },
    { "left-domain/packed", test_left_domain, ASK_REGISTER, true },
    { "long-queue", test_long_queue, ASK_REGISTER, true },
    { "long-queue/hostile", test_long_queue_hostile, ASK_REGISTER, true },
    { "event-queue-reset", test_event_queue_reset, ASK_VIRTIO, true },
    { "request-queue-reset", test_request_queue_reset, ASK_VIRTIO, true },
    { "ring-gone/vtd/split", test_ring_gone, ASK_REGISTER, false },
    { "ring-gone/vtd/packed", test_ring_gone, ASK_REGISTER, true },
    { "ring-gone/virtio/packed", test_ring_gone, ASK_VIRTIO, true },
};

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < ARRAY_SIZE(tests); i++) {
        g_autofree char *path = g_strdup_printf("virtio-drain-iommu/%s",
                                                tests[i].name);
        RigOptions *opt = g_new0(RigOptions, 1);

        *opt = (RigOptions) { .ask = tests[i].ask, .packed = tests[i].packed };
        qtest_add_data_func_full(path, opt, tests[i].fn, g_free);
    }
    return g_test_run();
}
