/*
 * A guest that does to a device behind a vIOMMU what it likes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Random steps of a hostile kernel and its hostile processes: maps, unmaps, the
 * IOMMU's domains and tables, broken rings and resets, with requests in flight.
 * After an answered unmap the page is given a pattern, which must stay; every
 * unmap is answered, the monitor answers, what is in flight ends, and after a
 * reset the device works.
 *
 * A number as VIRTIO_IOVA_ATTACK_SEED in the environment runs that seed only,
 * VIRTIO_IOVA_ATTACK_SEEDS=n the first n of each device; -m slow runs more.
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "libqtest.h"
#include "libqos/libqos-pc.h"
#include "libqos/qiommu.h"
#include "libqos/virtio-packed.h"
#include "libqos/virtio-packed-disk.h"
#include "hw/i386/intel_iommu_internal.h"
#include "hw/pci/pci_regs.h"
#include "qobject/qdict.h"
#include "standard-headers/linux/virtio_blk.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_iommu.h"
#include "standard-headers/linux/virtio_net.h"
#include "standard-headers/linux/virtio_pci.h"
#include "standard-headers/linux/virtio_ring.h"
#include "standard-headers/linux/virtio_scsi.h"

static uint64_t vtd_reg(unsigned offset)
{
    return Q35_HOST_BRIDGE_IOMMU_ADDR + offset;
}

#include "virtio-iova-attack-rig.c.inc"

#define STEPS           160     /* without -m slow or a seed: a third */

static bool needs_reset(Attack *a)
{
    return a->vdev->bus->get_status(a->vdev) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

static void run(Attack *a)
{
    if (a->paused) {
        qmp(a, "cont");
        a->paused = false;
    }
}

/* Everything in flight ends, and then the IOMMU answers. */
static void settle(Attack *a)
{
    gint64 start = g_get_monotonic_time();

    run(a);
    release(a);
    while (!poll_answer(a) || in_flight(a)) {
        qtest_clock_step(a->qts, NANOSECONDS_PER_SECOND);
        g_assert_cmpint(g_get_monotonic_time() - start, <, TIMEOUT_US);
    }
    poll_queues(a);
    check_pages(a);
}

static void set_bus_master(Attack *a, bool on)
{
    uint16_t command = qpci_config_readw(a->pci->pdev, PCI_COMMAND);

    qpci_config_writew(a->pci->pdev, PCI_COMMAND, on ?
                       command | PCI_COMMAND_MASTER :
                       command & ~PCI_COMMAND_MASTER);
}

/* The reset ends what is in flight, without anybody's help. */
static void reset_device(Attack *a)
{
    gint64 start = g_get_monotonic_time();

    run(a);
    release(a);
    qvirtio_reset(a->vdev);
    g_assert_cmpuint(in_flight(a), ==, 0);
    while (!poll_answer(a)) {
        g_assert_cmpint(g_get_monotonic_time() - start, <, TIMEOUT_US);
    }
    drop_queues(a);
    set_bus_master(a, true);
    check_pages(a);
}

static void recover(Attack *a)
{
    reset_device(a);
    qvirtio_set_acknowledge(a->vdev);
    qvirtio_set_driver(a->vdev);
    negotiate(a);
}

/* An address as a hostile process has it put somewhere */
static uint64_t wild(Attack *a)
{
    static const uint64_t base[] = {
        0xc0000000, RAM - 16, AREA - 8, 0xfee00000, Q35_HOST_BRIDGE_IOMMU_ADDR,
        UINT64_MAX - 4095, 1ull << 39, (1ull << 39) - 64,
        AREA + SLOTS * QIOMMU_PAGE - 24,
    };
    unsigned n = pick(a, 3 * ARRAY_SIZE(base));

    if (n < ARRAY_SIZE(base) && (!a->iothread || n < 3 || n > 4)) {
        return base[n];
    }
    return slot_iova(pick(a, SLOTS)) +
           (pick(a, 2) ? 0 : pick(a, 2) ? 4096 - (16 << pick(a, 6)) :
            pick(a, 4096));
}

/* Descriptors, heads and indices that may look right */
static void write_garbage(Attack *a, unsigned slot)
{
    static const uint32_t len[] = { 0, 1, 16, 48, 512, 4096, 8192, 1u << 31,
                                    UINT32_MAX };
    struct { uint64_t addr; uint32_t len; uint16_t a, b; } desc[256];

    if (a->slot[slot] < 0) {
        return;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(desc); i++) {
        desc[i].addr = cpu_to_le64(wild(a));
        desc[i].len = cpu_to_le32(len[pick(a, ARRAY_SIZE(len))]);
        desc[i].a = cpu_to_le16(pick(a, 8) | (pick(a, 2) ? 0x80 : 0));
        desc[i].b = cpu_to_le16(a->packed ? pick(a, 8) | 0x80 : pick(a, 70));
    }
    qtest_memwrite(a->qts, a->page[a->slot[slot]], desc, sizeof(desc));
    a->generation[slot]++;
}

static void step_submit(Attack *a)
{
    for (unsigned i = pick(a, 5) + 1; i; i--) {
        unsigned slot = pick(a, SLOTS);

        if (a->slot[slot] >= 0) {
            submit(a, slot_iova(slot), pick(a, 3) ? QIOMMU_PAGE : 512,
                   !a->readonly[slot] && pick(a, 5));
        }
    }
}

static void step_submit_wild(Attack *a)
{
    submit(a, wild(a), 512 << pick(a, 5), pick(a, 2));
}

/* On VT-d also while an unmap has not been answered, where it was */
static void step_map(Attack *a)
{
    unsigned slot = pick(a, SLOTS), n = pick(a, 6) + 1;

    if (a->answered && a->ask == ASK_VIRTIO) {
        return;
    }
    for (; n; n--, slot = (slot + 1) % SLOTS) {
        if (a->slot[slot] < 0) {
            map_slot(a, slot, pick(a, PAGES), !pick(a, 6));
        }
    }
}

static bool iommu_answered(Attack *a)
{
    bool answered = qiommu_answered(a->iommu);

    if (answered && a->ask == ASK_VIRTIO) {
        g_assert_cmpuint(qiommu_status(a->iommu), ==, VIRTIO_IOMMU_S_OK);
    }
    return answered;
}

static void step_unmap(Attack *a)
{
    unsigned slot = pick(a, SLOTS), n = pick(a, 2) ? 1 : pick(a, SLOTS) + 1;

    n = MIN(n, SLOTS - slot);
    if (a->answered || (n == 1 && a->slot[slot] < 0)) {
        return;
    }
    if (n == 1) {
        qiommu_unmap_start(a->iommu, slot_iova(slot));
    } else {
        qiommu_unmap_all_start(a->iommu, slot_iova(slot), n * QIOMMU_PAGE);
    }
    for (unsigned i = slot; i < slot + n; i++) {
        forget_slot(a, i);
    }
    a->answered = iommu_answered;
}

/* The device's view as a whole: off, and on again when that was answered */

static int away[SLOTS];     /* what was mapped, and will be */

static void forget_all(Attack *a)
{
    a->away = true;
    for (unsigned s = 0; s < SLOTS; s++) {
        away[s] = a->slot[s];
        forget_slot(a, s);
    }
}

static void bring_back(Attack *a)
{
    step_submit_wild(a);
    check_pages(a);
    for (unsigned s = 0; s < SLOTS; s++) {
        if (a->slot[s] < 0 && away[s] >= 0) {
            if (a->ours[away[s]]) {
                a->ours[away[s]] = false;
                qtest_memset(a->qts, a->page[away[s]], STALE, QIOMMU_PAGE);
            }
            a->slot[s] = away[s];
            a->generation[s]++;
        }
    }
}

static bool is_off(Attack *a)
{
    return !(qtest_readl(a->qts, vtd_reg(DMAR_GSTS_REG)) & VTD_GSTS_TES);
}

static bool is_on(Attack *a)
{
    return !is_off(a);
}

static void turn_on(Attack *a)
{
    uint32_t status = qtest_readl(a->qts, vtd_reg(DMAR_GSTS_REG));

    bring_back(a);
    qtest_writel(a->qts, vtd_reg(DMAR_GCMD_REG), status | VTD_GCMD_TE);
    a->answered = is_on;
}

static bool context_answered(Attack *a)
{
    return !(qtest_readq(a->qts, vtd_reg(DMAR_CCMD_REG)) & VTD_CCMD_ICC);
}

static void invalidate_context(Attack *a)
{
    if (a->ask == ASK_QUEUE) {
        qiommu_descriptor_start(a->iommu, VTD_INV_DESC_CC |
                                (pick(a, 2) ? VTD_INV_DESC_CC_GLOBAL :
                                 VTD_INV_DESC_CC_DEVICE |
                                 (uint64_t)DEVFN << 32 | DOMAIN << 16), 0);
        a->answered = iommu_answered;
    } else {
        qtest_writeq(a->qts, vtd_reg(DMAR_CCMD_REG), VTD_CCMD_ICC |
                     (pick(a, 2) ? VTD_CCMD_GLOBAL_INVL :
                      VTD_CCMD_DEVICE_INVL | DEVFN << 16 | DOMAIN));
        a->answered = context_answered;
    }
}

static void context_present(Attack *a)
{
    uint64_t lo = qtest_readq(a->qts, a->context);

    bring_back(a);
    qtest_writeq(a->qts, a->context, (lo | 1) & ~0xcull);
    invalidate_context(a);
}

static void context_flush(Attack *a)
{
    qiommu_flush_start(a->iommu);
    a->answered = iommu_answered;
    a->restore = context_present;
    for (unsigned s = 0; s < SLOTS; s++) {
        if (away[s] >= 0) {
            a->leaving |= 1u << away[s];
        }
    }
}

static void step_vtd_view(Attack *a)
{
    uint64_t lo = qtest_readq(a->qts, a->context);

    forget_all(a);
    if (pick(a, 2)) {
        uint32_t status = qtest_readl(a->qts, vtd_reg(DMAR_GSTS_REG));

        qtest_writel(a->qts, vtd_reg(DMAR_GCMD_REG), status & ~VTD_GCMD_TE);
        a->answered = is_off;
        a->restore = turn_on;
        return;
    }
    /* Not present, or passed through */
    qtest_writeq(a->qts, a->context, pick(a, 2) ? lo & ~1ull : lo | 2 << 2);
    a->leaving = 0;     /* only when the IOTLB is flushed, too */
    invalidate_context(a);
    a->restore = context_flush;
}

static void map_ram(Attack *a)
{
    qiommu_map(a->iommu, 0, 0, RAM, QIOMMU_RW);
}

static void attach(Attack *a, uint32_t domain, bool bypass)
{
    struct virtio_iommu_req_attach req = {
        .head.type = VIRTIO_IOMMU_T_ATTACH,
        .domain = cpu_to_le32(domain),
        .endpoint = cpu_to_le32(DEVFN),
        .flags = cpu_to_le32(bypass ? VIRTIO_IOMMU_ATTACH_F_BYPASS : 0),
    };

    qiommu_request_start(a->iommu, &req, offsetof(typeof(req), tail));
    a->answered = iommu_answered;
}

static void attach_again(Attack *a)
{
    step_submit_wild(a);
    check_pages(a);
    attach(a, DOMAIN, false);
    a->restore = map_ram;
}

static void step_virtio_view(Attack *a)
{
    struct virtio_iommu_req_detach req = {
        .head.type = VIRTIO_IOMMU_T_DETACH,
        .domain = cpu_to_le32(DOMAIN),
        .endpoint = cpu_to_le32(DEVFN),
    };

    forget_all(a);
    if (pick(a, 3)) {
        attach(a, DOMAIN + 1, pick(a, 2));
    } else {
        qiommu_request_start(a->iommu, &req, offsetof(typeof(req), tail));
        a->answered = iommu_answered;
    }
    a->restore = attach_again;
}

static void step_view(Attack *a)
{
    if (!a->answered) {
        if (a->ask == ASK_VIRTIO) {
            step_virtio_view(a);
        } else {
            step_vtd_view(a);
        }
    }
}

/* Malformed requests and descriptors */

static bool repaired(Attack *a)
{
    if (qtest_readl(a->qts, vtd_reg(DMAR_FSTS_REG)) & VTD_FSTS_IQE) {
        uint64_t tail = qtest_readq(a->qts, vtd_reg(DMAR_IQT_REG));
        uint64_t at = (qtest_readq(a->qts, vtd_reg(DMAR_IQA_REG)) & ~0xfffull) +
                      qtest_readq(a->qts, vtd_reg(DMAR_IQH_REG));

        qtest_writeq(a->qts, at, VTD_INV_DESC_CC | VTD_INV_DESC_CC_GLOBAL);
        qtest_writeq(a->qts, at + 8, 0);
        qtest_writel(a->qts, vtd_reg(DMAR_FSTS_REG), VTD_FSTS_IQE);
        qtest_writeq(a->qts, vtd_reg(DMAR_IQT_REG), tail);
    }
    return qiommu_answered(a->iommu);
}

static bool registers_answered(Attack *a)
{
    return context_answered(a) &&
           !(qtest_readq(a->qts, vtd_reg(DMAR_IOTLB_REG)) & VTD_TLB_IVT);
}

static uint64_t random_bits(Attack *a)
{
    uint64_t value = (uint64_t)g_rand_int(a->rand) << 32;

    return value | g_rand_int(a->rand);
}

static void step_malformed(Attack *a)
{
    uint8_t req[64], reply[64] = { 0 };

    if (a->answered) {
        return;
    }
    if (a->ask == ASK_QUEUE) {
        /* Not one that writes to memory */
        uint64_t lo = pick(a, 16) | (random_bits(a) & ~0x2full &
                                     random_bits(a));

        qiommu_descriptor_start(a->iommu, lo, random_bits(a) & random_bits(a));
        a->answered = repaired;
    } else if (a->ask == ASK_REGISTER) {
        qtest_writeq(a->qts, vtd_reg(DMAR_IVA_REG), random_bits(a));
        if (pick(a, 2)) {
            qtest_writeq(a->qts, vtd_reg(DMAR_IOTLB_REG),
                         random_bits(a) | VTD_TLB_IVT);
        } else {
            qtest_writeq(a->qts, vtd_reg(DMAR_CCMD_REG),
                         random_bits(a) | VTD_CCMD_ICC);
        }
        a->answered = registers_answered;
    } else {
        for (unsigned i = 0; i < sizeof(req); i++) {
            req[i] = g_rand_int(a->rand);
        }
        /* The device's own domain stays as the driver knows it. */
        req[0] = pick(a, 8);
        req[4] = DOMAIN + 1 + pick(a, 3);
        qiommu_request(a->iommu, req, 4 + pick(a, 60), reply,
                       4 + pick(a, 60));
    }
}

static void step_pass(Attack *a)
{
    if (!a->paused) {
        qtest_clock_step(a->qts, NANOSECONDS_PER_SECOND);
    }
    if (!pick(a, 3)) {
        release(a);
    }
}

static void step_pause(Attack *a)
{
    release(a);
    qmp(a, a->paused ? "cont" : "stop");
    a->paused = !a->paused;
}

static void step_bus_master(Attack *a)
{
    release(a);
    set_bus_master(a, false);
    a->sane = false;
    if (pick(a, 2)) {
        set_bus_master(a, true);
    }
}

static void step_queue_reset(Attack *a)
{
    if (a->sane && (a->vdev->features & 1ull << VIRTIO_F_RING_RESET)) {
        release(a);
        packed_pci_queue_reset(a->pci, a->vq[0]);
        a->sane = false;
    }
}

static void write_area(Attack *a, unsigned low, uint64_t addr)
{
    uint64_t at = a->pci->common_cfg_offset + low;

    qpci_io_writel(a->pci->pdev, a->pci->bar, at, addr);
    qpci_io_writel(a->pci->pdev, a->pci->bar, at + 4, addr >> 32);
}

/* Rings where data is, or nothing, or something read-only */
static void step_wild_rings(Attack *a)
{
    QVirtioPCIDevice *pci = a->pci;

    if (!may_submit(a)) {
        return;
    }
    reset_device(a);
    qvirtio_set_acknowledge(a->vdev);
    qvirtio_set_driver(a->vdev);
    for (unsigned s = 0; s < SLOTS; s++) {
        write_garbage(a, s);
    }
    for (unsigned part = 0; part < 3; part++) {
        uint64_t at = pci->common_cfg_offset;

        qpci_io_writew(pci->pdev, pci->bar, at + VIRTIO_PCI_COMMON_Q_SELECT,
                       part);
        qpci_io_writew(pci->pdev, pci->bar, at + VIRTIO_PCI_COMMON_Q_SIZE,
                       QUEUE_SIZE);
        write_area(a, VIRTIO_PCI_COMMON_Q_DESCLO, wild(a));
        write_area(a, VIRTIO_PCI_COMMON_Q_AVAILLO, wild(a));
        write_area(a, VIRTIO_PCI_COMMON_Q_USEDLO, wild(a));
        qpci_io_writew(pci->pdev, pci->bar, at + VIRTIO_PCI_COMMON_Q_ENABLE,
                       1);
    }
    negotiate(a);
    a->sane = false;
    for (unsigned q = 0; q < QUEUES && a->vq[q]; q++) {
        a->vdev->bus->virtqueue_kick(a->vdev, a->vq[q]);
    }
}

static void step_wild_request(Attack *a)
{
    Request *r = prepare(a, wild(a), 4096, pick(a, 2));
    QVRingPackedDesc desc = {
        .addr = wild(a),
        .len = pick(a, 2) ? 16u << pick(a, 12) : g_rand_int(a->rand),
        .id = pick(a, 100),
        .flags = VRING_DESC_F_INDIRECT | (pick(a, 4) ? 0 : pick(a, 4)),
    };
    QVirtQueue *vq;
    bool wrap;

    if (!r) {
        return;
    }
    write_garbage(a, pick(a, SLOTS));
    vq = a->vq[r->queue];
    a->sane = false;
    if (a->packed) {
        uint16_t head = qvirtqueue_packed_head(vq, r->token, &wrap);

        desc.flags |= qvring_packed_avail_bits(wrap);
        qvirtqueue_packed_write_raw(a->qts, vq, head, &desc);
        a->vdev->bus->virtqueue_kick(a->vdev, vq);
        return;
    }
    qtest_writeq(a->qts, vq->desc + 16 * r->token, desc.addr);
    qtest_writel(a->qts, vq->desc + 16 * r->token + 8, desc.len);
    qtest_writew(a->qts, vq->desc + 16 * r->token + 12, desc.flags);
    qvirtqueue_kick(a->qts, a->vdev, vq, r->token);
}

static void step_monitor(Attack *a)
{
    g_free(qtest_hmp(a->qts, "info status"));
    qmp(a, "query-block");
    qmp(a, "x-query-virtio-iotlb");
    g_assert_cmpuint(in_flight(a), <=, QUEUES * QUEUE_SIZE);
    g_assert_cmpuint(parked(a), <=, 1);
}

static const struct {
    void (*fn)(Attack *a);
    const char *name;
    unsigned weight;
} steps[] = {
    { step_submit, "submit", 30 },
    { step_map, "map", 14 },
    { step_unmap, "unmap", 20 },
    { hold, "hold", 5 },
    { step_pass, "pass", 8 },
    { step_view, "view", 3 },
    { step_malformed, "malformed", 5 },
    { step_pause, "pause", 2 },
    { step_bus_master, "bus-master", 1 },
    { step_queue_reset, "queue-reset", 1 },
    { step_wild_rings, "wild-rings", 1 },
    { step_wild_request, "wild-request", 1 },
    { step_submit_wild, "submit-wild", 1 },
    { recover, "recover", 1 },
    { settle, "settle", 2 },
    { step_monitor, "monitor", 5 },
};

#include "virtio-iova-attack-end.c.inc"
