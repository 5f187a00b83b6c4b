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

struct QIommu {
    QIommuKind kind;
    QTestState *qts;
    QGuestAllocator *alloc;
    uint8_t devfn;
    GHashTable *pages;      /* IOVA page number -> guest page number */

    uint64_t root;          /* VT-d: top of the page table */

    QVirtioPCIDevice *dev;  /* virtio-iommu */
    QVirtQueue *requests, *events;
    uint64_t event_buf[4];
};

const char *qiommu_options(QIommuKind kind)
{
    return kind == QIOMMU_VTD ?
           "-machine q35 -device intel-iommu " :
           "-machine q35 -device virtio-iommu-pci,addr=03.0 ";
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

static void vtd_invalidate(QIommu *iommu, uint64_t command, uint64_t address)
{
    qtest_writeq(iommu->qts, vtd_reg(DMAR_IVA_REG), address);
    qtest_writeq(iommu->qts, vtd_reg(DMAR_IOTLB_REG),
                 VTD_TLB_IVT | command | (uint64_t)DOMAIN_ID << 32);
    vtd_wait_clear(iommu, DMAR_IOTLB_REG, VTD_TLB_IVT);
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

/* virtio-iommu */

static uint32_t viommu_simple(QIommu *iommu, const void *req, size_t len)
{
    struct virtio_iommu_req_tail tail = { .status = 0xff };

    g_assert_cmpuint(qiommu_request(iommu, req, len, &tail, sizeof(tail)), ==,
                     sizeof(tail));
    return tail.status;
}

static void viommu_start(QIommu *iommu, QOSState *qs)
{
    QPCIAddress at = { .devfn = QPCI_DEVFN(VIOMMU_SLOT, 0) };
    struct virtio_iommu_req_attach req = {
        .head.type = VIRTIO_IOMMU_T_ATTACH,
        .domain = cpu_to_le32(DOMAIN_ID),
        .endpoint = cpu_to_le32(iommu->devfn),
    };
    QVirtioDevice *vdev;

    iommu->dev = virtio_pci_new(qs->pcibus, &at);
    g_assert_nonnull(iommu->dev);
    vdev = &iommu->dev->vdev;
    qvirtio_pci_device_enable(iommu->dev);
    qvirtio_start_device(vdev);
    /* With event indices libqos notifies once per buffer in a row only. */
    qvirtio_set_features(vdev, qvirtio_get_features(vdev) &
                               ~(QVIRTIO_F_BAD_FEATURE |
                                 1ull << VIRTIO_RING_F_EVENT_IDX));
    iommu->requests = qvirtqueue_setup(vdev, iommu->alloc, 0);
    iommu->events = qvirtqueue_setup(vdev, iommu->alloc, 1);
    qvirtio_set_driver_ok(vdev);

    for (unsigned i = 0; i < ARRAY_SIZE(iommu->event_buf); i++) {
        uint32_t size = sizeof(struct virtio_iommu_fault), token;

        iommu->event_buf[i] = guest_alloc(iommu->alloc, size);
        token = qvirtqueue_add(iommu->qts, iommu->events, iommu->event_buf[i],
                               size, true, false);
        g_assert_cmpuint(token, ==, i);
        qvirtqueue_kick(iommu->qts, vdev, iommu->events, token);
    }
    g_assert_cmpuint(viommu_simple(iommu, &req, offsetof(typeof(req), tail)),
                     ==, VIRTIO_IOMMU_S_OK);
}

static void viommu_map(QIommu *iommu, uint64_t iova, uint64_t pa,
                       uint64_t size, unsigned rights)
{
    struct virtio_iommu_req_map req = {
        .head.type = VIRTIO_IOMMU_T_MAP,
        .domain = cpu_to_le32(DOMAIN_ID),
        .virt_start = cpu_to_le64(iova),
        .virt_end = cpu_to_le64(iova + size - 1),
        .phys_start = cpu_to_le64(pa),
        .flags = cpu_to_le32((rights & QIOMMU_READ ?
                              VIRTIO_IOMMU_MAP_F_READ : 0) |
                             (rights & QIOMMU_WRITE ?
                              VIRTIO_IOMMU_MAP_F_WRITE : 0)),
    };

    g_assert_cmpuint(viommu_simple(iommu, &req, offsetof(typeof(req), tail)),
                     ==, VIRTIO_IOMMU_S_OK);
}

static void viommu_unmap(QIommu *iommu, uint64_t iova, uint64_t size)
{
    struct virtio_iommu_req_unmap req = {
        .head.type = VIRTIO_IOMMU_T_UNMAP,
        .domain = cpu_to_le32(DOMAIN_ID),
        .virt_start = cpu_to_le64(iova),
        .virt_end = cpu_to_le64(iova + size - 1),
    };

    g_assert_cmpuint(viommu_simple(iommu, &req, offsetof(typeof(req), tail)),
                     ==, VIRTIO_IOMMU_S_OK);
}

static bool viommu_take_fault(QIommu *iommu, QIommuFault *fault)
{
    struct virtio_iommu_fault event;
    uint32_t token, len, flags;

    if (!qvirtqueue_get_buf(iommu->qts, iommu->events, &token, &len)) {
        return false;
    }
    g_assert_cmpuint(token, <, ARRAY_SIZE(iommu->event_buf));
    g_assert_cmpuint(len, ==, sizeof(event));
    qtest_memread(iommu->qts, iommu->event_buf[token], &event, sizeof(event));
    g_assert_cmphex(le32_to_cpu(event.endpoint), ==, iommu->devfn);
    flags = le32_to_cpu(event.flags);
    *fault = (QIommuFault) {
        .iova = le64_to_cpu(event.address),
        .read = flags & VIRTIO_IOMMU_FAULT_F_READ,
        .write = flags & VIRTIO_IOMMU_FAULT_F_WRITE,
    };
    return true;
}

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
