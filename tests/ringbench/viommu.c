/*
 * vring-bench: virtio-iommu with few mappings or many, all of which stay.
 *
 * Copyright (c) 2026 Vadis contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdlib.h>
#include <string.h>
#include <linux/virtio_iommu.h>
#include "bench.h"

#define VIOMMU_ID   23
#define DOMAIN      1u
#define PAGE        4096u
#define QUEUE       256u
#define IN_FLIGHT   (QUEUE / 2)         /* each request has two segments */
#define ANSWERS     1000000
#define TAIL        sizeof(struct virtio_iommu_req_tail)
/* What the driver uses is mapped page by page, if there are so many. */
#define PAGED       (4ull << 20)
/* IOVAs of the other mappings, which nobody uses */
#define OTHERS      (1ull << 32)

typedef struct Viommu {
    VirtioPci dev;
    VdrvQueue vq;
    VdrvSlot slots[QUEUE];
    VdrvSeg seg[IN_FLIGHT][2];
    VdrvBuf buf[IN_FLIGHT];
    struct virtio_iommu_req_tail *tail[IN_FLIGHT];
    void *request[IN_FLIGHT];
    unsigned filled;
    uint64_t notify;
} Viommu;

/* Have the requests that are filled in carried out; @may_fail: or not. */
static void flush(Viommu *v, bool may_fail)
{
    unsigned left = v->filled;

    if (!left) {
        return;
    }
    vdrv_publish(&vdrv_mem_direct, &v->vq);
    qtest_write(v->dev.q, v->notify, 2, 0);
    for (int i = 0; left; i++) {
        VdrvUsed used;

        if (vdrv_get(&vdrv_mem_direct, &v->vq, &used) == 1) {
            left--;
        } else if (i == ANSWERS || virtio_pci_status(&v->dev) & 0x40) {
            bench_fail(BENCH_EXIT_DEVICE, "virtio-iommu does not answer");
        }
    }
    for (unsigned i = 0; i < v->filled; i++) {
        if (v->tail[i]->status != VIRTIO_IOMMU_S_OK && !may_fail) {
            bench_fail(BENCH_EXIT_DEVICE, "virtio-iommu refuses a request: "
                       "status %u", v->tail[i]->status);
        }
    }
    v->filled = 0;
}

static void add(Viommu *v, const void *request, size_t size)
{
    unsigned i = v->filled++;

    memcpy(v->request[i], request, size);
    v->seg[i][0].len = size;
    v->tail[i]->status = 0xff;
    if (vdrv_add(&vdrv_mem_direct, &v->vq, &v->buf[i])) {
        bench_fail(BENCH_EXIT_USAGE, "cannot ask virtio-iommu");
    }
    if (v->filled == IN_FLIGHT) {
        flush(v, false);
    }
}

static void map(Viommu *v, uint64_t iova, uint64_t size, uint64_t gpa)
{
    struct virtio_iommu_req_map request = {
        .head.type = VIRTIO_IOMMU_T_MAP,
        .domain = DOMAIN,
        .virt_start = iova,
        .virt_end = iova + size - 1,
        .phys_start = gpa,
        .flags = VIRTIO_IOMMU_MAP_F_READ | VIRTIO_IOMMU_MAP_F_WRITE,
    };

    add(v, &request, sizeof(request) - TAIL);
}

static void start(Viommu *v, QTestClient *q, GuestRam *ram, unsigned slot)
{
    VdrvLayout size = vdrv_layout(0, QUEUE, false, PAGE), layout;
    VdrvConfig config = {
        .mem = vdrv_direct_mem(ram->host, 0),
        .slots = v->slots,
        .features = VDRV_F_VERSION_1,
        .num = QUEUE,
    };

    virtio_pci_open(&v->dev, q, slot, VIOMMU_ID);
    virtio_pci_negotiate(&v->dev, VDRV_F_VERSION_1 |
                         1ull << VIRTIO_IOMMU_F_MAP_UNMAP);
    layout = vdrv_layout(guest_ram_alloc(ram, size.end, PAGE), QUEUE, false,
                         PAGE);
    config.desc = layout.desc;
    config.driver = layout.driver;
    config.device = layout.device;
    if (vdrv_init(&vdrv_mem_direct, &v->vq, &config)) {
        bench_fail(BENCH_EXIT_USAGE, "cannot make virtio-iommu's ring");
    }
    v->notify = virtio_pci_queue_setup(&v->dev, 0, QUEUE, layout.desc,
                                       layout.driver, layout.device, 0, 0);
    for (unsigned i = 0; i < IN_FLIGHT; i++) {
        uint64_t gpa = guest_ram_alloc(ram, 64, 64);

        v->request[i] = guest_ram_ptr(ram, gpa);
        v->seg[i][0].addr = gpa;
        gpa = guest_ram_alloc(ram, TAIL, 64);
        v->tail[i] = guest_ram_ptr(ram, gpa);
        v->seg[i][1] = (VdrvSeg) { .addr = gpa, .len = TAIL };
        v->buf[i] = (VdrvBuf) { .seg = v->seg[i], .out = 1, .in = 1 };
    }
    virtio_pci_driver_ok(&v->dev);
}

void viommu_map_all(QTestClient *q, GuestRam *ram, unsigned slot,
                    unsigned endpoint, uint64_t mappings)
{
    struct virtio_iommu_req_attach attach = {
        .head.type = VIRTIO_IOMMU_T_ATTACH,
        .domain = DOMAIN,
        .endpoint = endpoint << 3,
    };
    struct virtio_iommu_req_detach detach = {
        .head.type = VIRTIO_IOMMU_T_DETACH,
        .domain = DOMAIN,
        .endpoint = endpoint << 3,
    };
    Viommu *v = calloc(1, sizeof(*v));
    uint64_t paged = mappings > PAGED / PAGE ? PAGED : 0;

    start(v, q, ram, slot);
    /* QEMU keeps a domain when the device is reset. */
    add(v, &detach, sizeof(detach) - TAIL);
    flush(v, true);
    add(v, &attach, sizeof(attach) - TAIL);
    ram->next = (ram->next + PAGE - 1) / PAGE * PAGE;
    map(v, 0, ram->next, 0);
    for (uint64_t gpa = 0; gpa < paged; gpa += PAGE) {
        map(v, ram->next + gpa, PAGE, ram->next + gpa);
    }
    map(v, ram->next + paged, ram->size - ram->next - paged,
        ram->next + paged);
    for (uint64_t i = paged / PAGE + 2; i < mappings; i++) {
        map(v, OTHERS + i * PAGE, PAGE, 0);
    }
    flush(v, false);
    free(v);
}
