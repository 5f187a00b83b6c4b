/*
 * libqos: a vIOMMU and the address space it gives to one PCI device
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "../libqtest.h"
#include "qiommu.h"
#include "hw/i386/intel_iommu_internal.h"
#include "standard-headers/linux/virtio_iommu.h"
#include "standard-headers/linux/virtio_pci.h"
#include "standard-headers/linux/virtio_ring.h"
#include "virtio-packed.h"

#define TIMEOUT_US          (30 * G_USEC_PER_SEC)

/* Where the virtio-iommu sits; only this device may be there */
#define VIOMMU_SLOT         3
#define DOMAIN_ID           7

/* VT-d, legacy mode: three levels of nine bits */
#define VTD_LEVELS          3
#define VTD_AW_39           1
#define VTD_PTE_LARGE       (1ull << 7)
#define VTD_PTE_ADDR        0x000ffffffffff000ull
#define VTD_AM_LARGE        9
#define VTD_QUEUE_ENTRIES   256

struct QIommu {
    QIommuKind kind;
    QTestState *qts;
    QGuestAllocator *alloc;
    uint8_t devfn;
    GHashTable *pages;      /* IOVA page number -> guest page number */

    uint64_t root;          /* VT-d: top of the page table */
    uint64_t queue;         /* VT-d: invalidation queue, or 0 */
    uint64_t status;        /* VT-d: where wait descriptors write */
    uint32_t submitted;     /* VT-d: wait descriptors; descriptors are twice */

    QVirtioPCIDevice *dev;  /* virtio-iommu */
    QVirtQueue *requests, *events;
    uint64_t event_buf[4];
    uint64_t out, in;       /* of the request that was started */
    uint8_t answer;
};

const char *qiommu_options(QIommuKind kind)
{
    return kind == QIOMMU_VTD ?
           "-machine q35 -device intel-iommu,id=iommu0 " :
           "-machine q35 -device virtio-iommu-pci,id=iommu0,addr=03.0 ";
}

static uint64_t zeroed_page(QIommu *iommu)
{
    uint64_t page = guest_alloc(iommu->alloc, QIOMMU_PAGE);

    g_assert_cmphex(page % QIOMMU_PAGE, ==, 0);
    qtest_memset(iommu->qts, page, 0, QIOMMU_PAGE);
    return page;
}

/* VT-d */

static uint64_t vtd_reg(unsigned offset)
{
    return Q35_HOST_BRIDGE_IOMMU_ADDR + offset;
}

static void vtd_wait_clear(QIommu *iommu, unsigned reg, uint64_t bit)
{
    gint64 start = g_get_monotonic_time();

    while (qtest_readq(iommu->qts, vtd_reg(reg)) & bit) {
        g_assert_cmpint(g_get_monotonic_time() - start, <, TIMEOUT_US);
    }
}

static void vtd_command(QIommu *iommu, uint32_t bit)
{
    uint32_t state = qtest_readl(iommu->qts, vtd_reg(DMAR_GSTS_REG));

    qtest_writel(iommu->qts, vtd_reg(DMAR_GCMD_REG), state | bit);
    g_assert_cmphex(qtest_readl(iommu->qts, vtd_reg(DMAR_GSTS_REG)) & bit, ==,
                    bit);
}

/* A descriptor and a wait descriptor, which writes how many there were */
static void vtd_enqueue(QIommu *iommu, uint64_t lo, uint64_t hi)
{
    unsigned slot = iommu->submitted++ * 2 % VTD_QUEUE_ENTRIES;
    uint64_t at = iommu->queue + slot * 16;

    qtest_writeq(iommu->qts, at, lo);
    qtest_writeq(iommu->qts, at + 8, hi);
    qtest_writeq(iommu->qts, at + 16, VTD_INV_DESC_WAIT |
                 VTD_INV_DESC_WAIT_SW | (uint64_t)iommu->submitted << 32);
    qtest_writeq(iommu->qts, at + 24, iommu->status);
    qtest_writeq(iommu->qts, vtd_reg(DMAR_IQT_REG),
                 (slot + 2) % VTD_QUEUE_ENTRIES << 4);
}

static void vtd_invalidate_start(QIommu *iommu, uint64_t command,
                                 uint64_t address)
{
    if (iommu->queue) {
        vtd_enqueue(iommu, VTD_INV_DESC_IOTLB | DOMAIN_ID << 16 |
                    (command == VTD_TLB_PSI_FLUSH ?
                     VTD_INV_DESC_IOTLB_PAGE : VTD_INV_DESC_IOTLB_DOMAIN),
                    address);
        return;
    }
    qtest_writeq(iommu->qts, vtd_reg(DMAR_IVA_REG), address);
    qtest_writeq(iommu->qts, vtd_reg(DMAR_IOTLB_REG),
                 VTD_TLB_IVT | command | (uint64_t)DOMAIN_ID << 32);
}

static bool vtd_answered(QIommu *iommu)
{
    bool passed;

    if (!iommu->queue) {
        return !(qtest_readq(iommu->qts, vtd_reg(DMAR_IOTLB_REG)) &
                 VTD_TLB_IVT);
    }
    passed = qtest_readq(iommu->qts, vtd_reg(DMAR_IQH_REG)) ==
             qtest_readq(iommu->qts, vtd_reg(DMAR_IQT_REG));
    /* Having passed a wait descriptor, the queue has written for it. */
    g_assert_true(!passed ||
                  qtest_readl(iommu->qts, iommu->status) == iommu->submitted);
    return passed;
}

static void wait_answered(QIommu *iommu)
{
    gint64 start = g_get_monotonic_time();

    while (!qiommu_answered(iommu)) {
        g_assert_cmpint(g_get_monotonic_time() - start, <, TIMEOUT_US);
    }
}

static void vtd_invalidate(QIommu *iommu, uint64_t command, uint64_t address)
{
    vtd_invalidate_start(iommu, command, address);
    wait_answered(iommu);
}

static void vtd_start(QIommu *iommu)
{
    uint64_t root = zeroed_page(iommu), context = zeroed_page(iommu);
    uint64_t entry = context + iommu->devfn * 16;

    iommu->root = zeroed_page(iommu);
    qtest_writeq(iommu->qts, root, context | 1);
    qtest_writeq(iommu->qts, entry, iommu->root | 1);
    qtest_writeq(iommu->qts, entry + 8, VTD_AW_39 | DOMAIN_ID << 8);

    qtest_writeq(iommu->qts, vtd_reg(DMAR_RTADDR_REG), root);
    vtd_command(iommu, VTD_GCMD_SRTP);
    qtest_writeq(iommu->qts, vtd_reg(DMAR_CCMD_REG),
                 VTD_CCMD_ICC | VTD_CCMD_GLOBAL_INVL);
    vtd_wait_clear(iommu, DMAR_CCMD_REG, VTD_CCMD_ICC);
    vtd_invalidate(iommu, VTD_TLB_GLOBAL_FLUSH, 0);
    vtd_command(iommu, VTD_GCMD_TE);
}

/* The entry of @iova in the table of @level (0: pages); makes the tables */
static uint64_t vtd_entry(QIommu *iommu, uint64_t iova, unsigned level)
{
    uint64_t table = iommu->root;

    for (unsigned l = VTD_LEVELS - 1; ; l--) {
        uint64_t at = table + (iova >> (12 + 9 * l) & 511) * 8;
        uint64_t pte;

        if (l == level) {
            return at;
        }
        pte = qtest_readq(iommu->qts, at);
        if (!pte) {
            pte = zeroed_page(iommu) | QIOMMU_RW;
            qtest_writeq(iommu->qts, at, pte);
        }
        g_assert_cmphex(pte & VTD_PTE_LARGE, ==, 0);
        table = pte & VTD_PTE_ADDR;
    }
}

static bool is_large(uint64_t iova, uint64_t pa, uint64_t size)
{
    return size >= QIOMMU_LARGE_PAGE &&
           ((iova | pa) & (QIOMMU_LARGE_PAGE - 1)) == 0;
}

static void vtd_map(QIommu *iommu, uint64_t iova, uint64_t pa, uint64_t size,
                    unsigned rights)
{
    while (size) {
        bool large = is_large(iova, pa, size);
        uint64_t step = large ? QIOMMU_LARGE_PAGE : QIOMMU_PAGE;

        qtest_writeq(iommu->qts, vtd_entry(iommu, iova, large),
                     pa | rights | (large ? VTD_PTE_LARGE : 0));
        iova += step;
        pa += step;
        size -= step;
    }
}

static void vtd_unmap(QIommu *iommu, uint64_t iova, uint64_t size)
{
    while (size) {
        bool large = is_large(iova, qiommu_pa(iommu, iova), size);
        uint64_t step = large ? QIOMMU_LARGE_PAGE : QIOMMU_PAGE;

        qtest_writeq(iommu->qts, vtd_entry(iommu, iova, large), 0);
        vtd_invalidate(iommu, VTD_TLB_PSI_FLUSH,
                       iova | (large ? VTD_AM_LARGE : 0));
        iova += step;
        size -= step;
    }
}

static bool vtd_take_fault(QIommu *iommu, QIommuFault *fault)
{
    uint64_t info = qtest_readq(iommu->qts, vtd_reg(DMAR_FRCD_REG_0_0));
    uint64_t high = qtest_readq(iommu->qts, vtd_reg(DMAR_FRCD_REG_0_2));

    if (!(high & VTD_FRCD_F)) {
        return false;
    }
    g_assert_cmphex(VTD_FRCD_SID(high), ==, iommu->devfn);
    *fault = (QIommuFault) {
        .iova = info & VTD_PTE_ADDR,
        .read = high & VTD_FRCD_T,
        .write = !(high & VTD_FRCD_T),
    };
    qtest_writeq(iommu->qts, vtd_reg(DMAR_FRCD_REG_0_2), VTD_FRCD_F);
    return true;
}

#include "qiommu-virtio.c.inc"

uint32_t qiommu_request(QIommu *iommu, const void *req, size_t req_len,
                        void *reply, size_t reply_len)
{
    QVirtioDevice *vdev = &iommu->dev->vdev;
    uint64_t out = guest_alloc(iommu->alloc, req_len);
    uint64_t in = guest_alloc(iommu->alloc, reply_len);
    uint32_t token, len;

    qtest_memwrite(iommu->qts, out, req, req_len);
    qtest_memwrite(iommu->qts, in, reply, reply_len);
    token = qvirtqueue_add(iommu->qts, iommu->requests, out, req_len, false,
                           true);
    qvirtqueue_add(iommu->qts, iommu->requests, in, reply_len, true, false);
    qvirtqueue_kick(iommu->qts, vdev, iommu->requests, token);
    qvirtio_wait_used_elem(iommu->qts, vdev, iommu->requests, token, &len,
                           TIMEOUT_US);
    qtest_memread(iommu->qts, in, reply, reply_len);
    /* One request at a time: all descriptors are free again. */
    iommu->requests->free_head = 0;
    iommu->requests->num_free = iommu->requests->size;
    guest_free(iommu->alloc, out);
    guest_free(iommu->alloc, in);
    return len;
}

void qiommu_request_start(QIommu *iommu, const void *req, size_t req_len)
{
    size_t tail = sizeof(struct virtio_iommu_req_tail);
    uint32_t token;

    g_assert_cmphex(iommu->out, ==, 0);
    iommu->out = guest_alloc(iommu->alloc, req_len);
    iommu->in = guest_alloc(iommu->alloc, tail);
    qtest_memwrite(iommu->qts, iommu->out, req, req_len);
    qtest_memset(iommu->qts, iommu->in, 0xff, tail);
    token = qvirtqueue_add(iommu->qts, iommu->requests, iommu->out, req_len,
                           false, true);
    qvirtqueue_add(iommu->qts, iommu->requests, iommu->in, tail, true, false);
    qvirtqueue_kick(iommu->qts, &iommu->dev->vdev, iommu->requests, token);
}

static bool viommu_answered(QIommu *iommu)
{
    uint8_t before = qtest_readb(iommu->qts, iommu->in);
    uint32_t len;

    g_assert_cmphex(iommu->out, !=, 0);
    if (!qvirtqueue_get_buf(iommu->qts, iommu->requests, NULL, &len)) {
        /* One step of the main loop writes both. */
        g_assert_cmphex(before, ==, 0xff);
        return false;
    }
    g_assert_cmpuint(len, ==, sizeof(struct virtio_iommu_req_tail));
    iommu->answer = qtest_readb(iommu->qts, iommu->in);
    iommu->requests->free_head = 0;
    iommu->requests->num_free = iommu->requests->size;
    guest_free(iommu->alloc, iommu->out);
    guest_free(iommu->alloc, iommu->in);
    iommu->out = 0;
    return true;
}

uint8_t qiommu_status(const QIommu *iommu)
{
    return iommu->answer;
}

QVirtioPCIDevice *qiommu_device(QIommu *iommu)
{
    return iommu->dev;
}

/* Both */

QIommu *qiommu_start(QIommuKind kind, QOSState *qs, uint8_t devfn)
{
    QIommu *iommu = g_new0(QIommu, 1);

    iommu->kind = kind;
    iommu->qts = qs->qts;
    iommu->alloc = &qs->alloc;
    iommu->devfn = devfn;
    iommu->pages = g_hash_table_new(NULL, NULL);
    if (kind == QIOMMU_VTD) {
        vtd_start(iommu);
    } else {
        viommu_start(iommu, qs);
    }
    return iommu;
}

void qiommu_free(QIommu *iommu)
{
    if (iommu->dev) {
        qvirtqueue_cleanup(iommu->dev->vdev.bus, iommu->requests,
                           iommu->alloc);
        qvirtqueue_cleanup(iommu->dev->vdev.bus, iommu->events, iommu->alloc);
        qvirtio_pci_device_disable(iommu->dev);
        g_free(iommu->dev->pdev);
        g_free(iommu->dev);
    }
    g_hash_table_destroy(iommu->pages);
    g_free(iommu);
}

void qiommu_map(QIommu *iommu, uint64_t iova, uint64_t pa, uint64_t size,
                unsigned rights)
{
    g_assert_cmphex((iova | pa | size) % QIOMMU_PAGE, ==, 0);
    if (iommu->kind == QIOMMU_VTD) {
        vtd_map(iommu, iova, pa, size, rights);
    } else {
        viommu_map(iommu, iova, pa, size, rights);
    }
    for (uint64_t at = 0; at < size; at += QIOMMU_PAGE) {
        g_hash_table_insert(iommu->pages,
                            (gpointer)((iova + at) / QIOMMU_PAGE),
                            (gpointer)((pa + at) / QIOMMU_PAGE));
    }
}

void qiommu_unmap(QIommu *iommu, uint64_t iova, uint64_t size)
{
    if (iommu->kind == QIOMMU_VTD) {
        vtd_unmap(iommu, iova, size);
    } else {
        viommu_unmap(iommu, iova, size);
    }
    for (uint64_t at = 0; at < size; at += QIOMMU_PAGE) {
        g_hash_table_remove(iommu->pages,
                            (gpointer)((iova + at) / QIOMMU_PAGE));
    }
}

void qiommu_use_queue(QIommu *iommu)
{
    if (iommu->kind == QIOMMU_VTD) {
        iommu->status = zeroed_page(iommu);
        qtest_writeq(iommu->qts, vtd_reg(DMAR_IQT_REG), 0);
        iommu->queue = zeroed_page(iommu);
        qtest_writeq(iommu->qts, vtd_reg(DMAR_IQA_REG), iommu->queue);
        vtd_command(iommu, VTD_GCMD_QIE);
    }
}

void qiommu_unmap_start(QIommu *iommu, uint64_t iova)
{
    if (iommu->kind == QIOMMU_VTD) {
        qtest_writeq(iommu->qts, vtd_entry(iommu, iova, 0), 0);
        vtd_invalidate_start(iommu, VTD_TLB_PSI_FLUSH, iova);
    } else {
        viommu_unmap_start(iommu, iova, QIOMMU_PAGE);
    }
    g_hash_table_remove(iommu->pages, (gpointer)(iova / QIOMMU_PAGE));
}

void qiommu_flush_start(QIommu *iommu)
{
    g_assert_cmpint(iommu->kind, ==, QIOMMU_VTD);
    vtd_invalidate_start(iommu, VTD_TLB_DSI_FLUSH, 0);
}

void qiommu_unmap_all_start(QIommu *iommu, uint64_t iova, uint64_t size)
{
    for (uint64_t at = iova; at - iova < size; at += QIOMMU_PAGE) {
        gpointer page = (gpointer)(at / QIOMMU_PAGE);

        if (g_hash_table_remove(iommu->pages, page) &&
            iommu->kind == QIOMMU_VTD) {
            qtest_writeq(iommu->qts, vtd_entry(iommu, at, 0), 0);
        }
    }
    if (iommu->kind == QIOMMU_VTD) {
        qiommu_flush_start(iommu);
    } else {
        viommu_unmap_start(iommu, iova, size);
    }
}

void qiommu_descriptor_start(QIommu *iommu, uint64_t lo, uint64_t hi)
{
    g_assert_cmphex(iommu->queue, !=, 0);
    vtd_enqueue(iommu, lo, hi);
}

bool qiommu_answered(QIommu *iommu)
{
    return iommu->kind == QIOMMU_VTD ? vtd_answered(iommu) :
                                       viommu_answered(iommu);
}

void qiommu_moved(QIommu *iommu, QTestState *qts)
{
    iommu->qts = qts;
}

void qiommu_map_scattered(QIommu *iommu, uint64_t iova, uint64_t size)
{
    for (uint64_t at = 0; at < size; at += QIOMMU_PAGE) {
        /* Two pages of which the first is used: no two are neighbours. */
        uint64_t page = guest_alloc(iommu->alloc, 2 * QIOMMU_PAGE);

        qtest_memset(iommu->qts, page, 0, 2 * QIOMMU_PAGE);
        qiommu_map(iommu, iova + at, page, QIOMMU_PAGE, QIOMMU_RW);
    }
}

uint64_t qiommu_pa(const QIommu *iommu, uint64_t iova)
{
    gpointer page;

    g_assert_true(g_hash_table_lookup_extended(iommu->pages,
        (gpointer)(iova / QIOMMU_PAGE), NULL, &page));
    return (uint64_t)page * QIOMMU_PAGE + iova % QIOMMU_PAGE;
}

void qiommu_memread(QIommu *iommu, uint64_t iova, void *buf, size_t len)
{
    while (len) {
        size_t part = MIN(len, QIOMMU_PAGE - iova % QIOMMU_PAGE);

        qtest_memread(iommu->qts, qiommu_pa(iommu, iova), buf, part);
        iova += part;
        buf += part;
        len -= part;
    }
}

void qiommu_memwrite(QIommu *iommu, uint64_t iova, const void *buf,
                     size_t len)
{
    while (len) {
        size_t part = MIN(len, QIOMMU_PAGE - iova % QIOMMU_PAGE);

        qtest_memwrite(iommu->qts, qiommu_pa(iommu, iova), buf, part);
        iova += part;
        buf += part;
        len -= part;
    }
}

bool qiommu_take_fault(QIommu *iommu, QIommuFault *fault)
{
    return iommu->kind == QIOMMU_VTD ? vtd_take_fault(iommu, fault) :
                                       viommu_take_fault(iommu, fault);
}

QVirtQueue *qiommu_queue_setup(QVirtioPCIDevice *pci, QGuestAllocator *alloc,
                               uint16_t index, uint16_t size, uint64_t used)
{
    QVirtioDevice *vdev = &pci->vdev;
    QVirtQueuePCI *vqpci = g_new0(QVirtQueuePCI, 1);
    QVirtQueue *vq = &vqpci->vq;
    uint64_t common = pci->common_cfg_offset, own;
    uint16_t notify;

    vdev->bus->queue_select(vdev, index);
    qpci_io_writew(pci->pdev, pci->bar, common + VIRTIO_PCI_COMMON_Q_SIZE,
                   size);
    g_assert_cmpuint(vdev->bus->get_queue_size(vdev), ==, size);
    *vq = (QVirtQueue) {
        .vdev = vdev,
        .index = index,
        .size = size,
        .num_free = size,
        .align = QIOMMU_PAGE,
        .indirect = vdev->features & (1ull << VIRTIO_RING_F_INDIRECT_DESC),
        .event = vdev->features & (1ull << VIRTIO_RING_F_EVENT_IDX),
    };
    vqpci->msix_entry = -1;
    qvring_init(pci->pdev->bus->qts, alloc, vq,
                guest_alloc(alloc, qvring_size(size, QIOMMU_PAGE)));
    own = vq->used;
    vq->used = used ? used : own;
    vdev->bus->set_queue_address(vdev, vq);
    vq->used = own;
    notify = qpci_io_readw(pci->pdev, pci->bar,
                           common + VIRTIO_PCI_COMMON_Q_NOFF);
    vqpci->notify_offset = pci->notify_cfg_offset +
                           notify * pci->notify_off_multiplier;
    qpci_io_writew(pci->pdev, pci->bar, common + VIRTIO_PCI_COMMON_Q_ENABLE,
                   1);
    return vq;
}
