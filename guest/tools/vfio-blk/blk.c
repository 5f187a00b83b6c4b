/*
 * vfio-blk: a virtio-blk device, driven from user space
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sections are of virtio 1.3: 4.1 for the PCI transport, 5.2 for the disk.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include "blk.h"

#define BIT(n)          (1ull << (n))
#define DEADLINE_S      120
#define MODERN_BLK      (0x1040 + 2)
#define TRANSITIONAL_BLK 0x1001

/* What a slot has in the ring's memory, behind the rings */
#define HEADERS         0x8000u
#define STATUSES        0xc000u

#ifndef VIRTIO_F_ACCESS_PLATFORM
#define VIRTIO_F_ACCESS_PLATFORM 33
#endif

/* Registers: each access once, as a whole, in its size */
static void put8(uint8_t *base, unsigned at, uint8_t v)
{
    __atomic_store_n(base + at, v, __ATOMIC_RELAXED);
}

static void put16(uint8_t *base, unsigned at, uint16_t v)
{
    __atomic_store_n((uint16_t *)(base + at), v, __ATOMIC_RELAXED);
}

static void put32(uint8_t *base, unsigned at, uint32_t v)
{
    __atomic_store_n((uint32_t *)(base + at), v, __ATOMIC_RELAXED);
}

static uint8_t get8(uint8_t *base, unsigned at)
{
    return __atomic_load_n(base + at, __ATOMIC_RELAXED);
}

static uint16_t get16(uint8_t *base, unsigned at)
{
    return __atomic_load_n((uint16_t *)(base + at), __ATOMIC_RELAXED);
}

static uint32_t get32(uint8_t *base, unsigned at)
{
    return __atomic_load_n((uint32_t *)(base + at), __ATOMIC_RELAXED);
}

static void put_address(Blk *b, unsigned at, uint64_t v)
{
    put32(b->common, at, v);
    put32(b->common, at + 4, v >> 32);
}

static time_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

/* 4.1.4: the first capability of a kind is the device's choice */
static uint8_t *find_registers(Blk *b, uint8_t kind, uint32_t *multiplier)
{
    unsigned at = vfio_config(&b->vfio, PCI_CAPABILITY_LIST, 1);

    for (unsigned n = 0; at && n < 48; n++) {
        if (vfio_config(&b->vfio, at, 1) == PCI_CAP_ID_VNDR &&
            vfio_config(&b->vfio, at + VIRTIO_PCI_CAP_CFG_TYPE, 1) == kind) {
            unsigned bar = vfio_config(&b->vfio, at + VIRTIO_PCI_CAP_BAR, 1);
            uint32_t offset = vfio_config(&b->vfio,
                                          at + VIRTIO_PCI_CAP_OFFSET, 4);
            uint32_t length = vfio_config(&b->vfio,
                                          at + VIRTIO_PCI_CAP_LENGTH, 4);

            if (multiplier) {
                *multiplier = vfio_config(&b->vfio,
                                          at + VIRTIO_PCI_NOTIFY_CAP_MULT, 4);
            }
            return vfio_bar(&b->vfio, bar, offset, length);
        }
        at = vfio_config(&b->vfio, at + 1, 1);
    }
    fail("the device has no virtio capability %u", kind);
}

static uint64_t device_features(Blk *b)
{
    uint64_t low;

    put32(b->common, VIRTIO_PCI_COMMON_DFSELECT, 0);
    low = get32(b->common, VIRTIO_PCI_COMMON_DF);
    put32(b->common, VIRTIO_PCI_COMMON_DFSELECT, 1);
    return low | (uint64_t)get32(b->common, VIRTIO_PCI_COMMON_DF) << 32;
}

/* 3.1.1, up to FEATURES_OK */
static void negotiate(Blk *b)
{
    const uint8_t hello = VIRTIO_CONFIG_S_ACKNOWLEDGE |
                          VIRTIO_CONFIG_S_DRIVER;
    const uint64_t need = BIT(VIRTIO_F_VERSION_1) |
                          BIT(VIRTIO_F_ACCESS_PLATFORM);
    uint64_t offered;
    time_t start = now();

    put8(b->common, VIRTIO_PCI_COMMON_STATUS, 0);
    while (get8(b->common, VIRTIO_PCI_COMMON_STATUS)) {
        if (now() - start > DEADLINE_S) {
            fail("the device does not finish its reset");
        }
        sched_yield();
    }
    put8(b->common, VIRTIO_PCI_COMMON_STATUS, hello);
    offered = device_features(b);
    if ((offered & need) != need) {
        fail("the device does not offer ACCESS_PLATFORM: it would take IOVAs "
             "for addresses of the guest; start it with iommu_platform=on");
    }
    b->features = offered & (need | BIT(VIRTIO_F_RING_PACKED));
    put32(b->common, VIRTIO_PCI_COMMON_GFSELECT, 0);
    put32(b->common, VIRTIO_PCI_COMMON_GF, b->features);
    put32(b->common, VIRTIO_PCI_COMMON_GFSELECT, 1);
    put32(b->common, VIRTIO_PCI_COMMON_GF, b->features >> 32);
    put8(b->common, VIRTIO_PCI_COMMON_STATUS,
         hello | VIRTIO_CONFIG_S_FEATURES_OK);
    if (!(get8(b->common, VIRTIO_PCI_COMMON_STATUS) &
          VIRTIO_CONFIG_S_FEATURES_OK)) {
        fail("the device refuses features 0x%llx",
             (unsigned long long)b->features);
    }
}

void blk_restart(Blk *b)
{
    bool packed;
    uint32_t multiplier;
    VdrvLayout at;
    VdrvConfig cfg;
    uint8_t *notify = find_registers(b, VIRTIO_PCI_CAP_NOTIFY_CFG,
                                     &multiplier);

    negotiate(b);
    packed = b->features & BIT(VIRTIO_F_RING_PACKED);
    put16(b->common, VIRTIO_PCI_COMMON_Q_SELECT, 0);
    if (get16(b->common, VIRTIO_PCI_COMMON_Q_SIZE) < BLK_QUEUE_SIZE) {
        fail("the device's queue has less than %u entries", BLK_QUEUE_SIZE);
    }
    put16(b->common, VIRTIO_PCI_COMMON_Q_SIZE, BLK_QUEUE_SIZE);
    at = vdrv_layout(BLK_RING_IOVA, BLK_QUEUE_SIZE, packed, 64);
    cfg = (VdrvConfig) {
        .mem = vdrv_direct_mem(b->ring, BLK_RING_IOVA), .slots = b->slots,
        .desc = at.desc, .driver = at.driver, .device = at.device,
        .features = b->features, .num = BLK_QUEUE_SIZE,
    };
    if (vdrv_init(&vdrv_mem_direct, &b->vq, &cfg) != VDRV_OK) {
        fail("the queue cannot be laid out");
    }
    put_address(b, VIRTIO_PCI_COMMON_Q_DESCLO, at.desc);
    put_address(b, VIRTIO_PCI_COMMON_Q_AVAILLO, at.driver);
    put_address(b, VIRTIO_PCI_COMMON_Q_USEDLO, at.device);
    b->notify = notify + get16(b->common, VIRTIO_PCI_COMMON_Q_NOFF) *
                         multiplier;
    put16(b->common, VIRTIO_PCI_COMMON_Q_ENABLE, 1);
    put8(b->common, VIRTIO_PCI_COMMON_STATUS,
         VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
         VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
    b->in_flight = 0;
}

void blk_stop(Blk *b)
{
    time_t start = now();

    vfio_reset(&b->vfio);
    put8(b->common, VIRTIO_PCI_COMMON_STATUS, 0);
    while (get8(b->common, VIRTIO_PCI_COMMON_STATUS)) {
        if (now() - start > DEADLINE_S) {
            fail("a reset does not end");
        }
        sched_yield();
    }
    b->in_flight = 0;
}

static void *memory(uint64_t size)
{
    void *mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (mem == MAP_FAILED) {
        fail("no memory: %s", strerror(errno));
    }
    return mem;
}

void blk_open(Blk *b, const char *bdf)
{
    uint32_t id;

    *b = (Blk) { 0 };
    vfio_open(&b->vfio, bdf);
    id = vfio_config(&b->vfio, PCI_VENDOR_ID, 4);
    if (id != (0x1af4 | MODERN_BLK << 16) &&
        id != (0x1af4 | TRANSITIONAL_BLK << 16)) {
        fail("%s is not a virtio-blk device (PCI ID %08x)", bdf, id);
    }
    b->common = find_registers(b, VIRTIO_PCI_CAP_COMMON_CFG, NULL);
    b->config = find_registers(b, VIRTIO_PCI_CAP_DEVICE_CFG, NULL);
    b->ring = memory(BLK_RING_SIZE);
    b->data = memory(BLK_DATA_SIZE);
    vfio_map(&b->vfio, b->ring, BLK_RING_IOVA, BLK_RING_SIZE);
    vfio_map(&b->vfio, b->data, BLK_DATA_IOVA, BLK_DATA_SIZE);
    blk_restart(b);
    b->sectors = get32(b->config, offsetof(struct virtio_blk_config, capacity))
        | (uint64_t)get32(b->config, offsetof(struct virtio_blk_config,
                                              capacity) + 4) << 32;
}

void blk_close(Blk *b)
{
    vfio_close(&b->vfio);
    munmap(b->ring, BLK_RING_SIZE);
    munmap(b->data, BLK_DATA_SIZE);
}

void blk_submit(Blk *b, unsigned slot, bool write, uint64_t sector,
                uint32_t len)
{
    uint32_t header = HEADERS + slot * sizeof(struct virtio_blk_outhdr);
    struct virtio_blk_outhdr *h = (void *)(b->ring + header);
    VdrvSeg seg[] = {
        { .addr = BLK_RING_IOVA + header, .len = sizeof(*h) },
        { .addr = BLK_DATA_IOVA + (uint64_t)slot * BLK_DATA, .len = len },
        { .addr = BLK_RING_IOVA + STATUSES + slot, .len = 1 },
    };
    VdrvBuf buf = {
        .seg = seg, .out = write ? 2 : 1, .in = write ? 1 : 2,
        .token = (void *)(uintptr_t)(slot + 1),
    };
    int err;

    *h = (struct virtio_blk_outhdr) {
        .type = write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN,
        .sector = sector,
    };
    b->ring[STATUSES + slot] = 0xff;
    err = vdrv_add(&vdrv_mem_direct, &b->vq, &buf);
    if (err) {
        fail("cannot queue a request: %s", vdrv_strerror(err));
    }
    b->in_flight++;
}

void blk_kick(Blk *b)
{
    vdrv_publish(&vdrv_mem_direct, &b->vq);
    if (vdrv_kick_needed(&vdrv_mem_direct, &b->vq)) {
        put16(b->notify, 0, 0);
    }
}

bool blk_settle(Blk *b, unsigned left, unsigned *errors)
{
    time_t start = now();

    *errors = 0;
    while (b->in_flight > left) {
        VdrvUsed used;
        int got = vdrv_get(&vdrv_mem_direct, &b->vq, &used);

        if (got < 0) {
            fail("the device broke the ring: %s", vdrv_strerror(got));
        }
        if (got) {
            unsigned slot = (uintptr_t)used.token - 1;

            *errors += b->ring[STATUSES + slot] != VIRTIO_BLK_S_OK;
            b->in_flight--;
            continue;
        }
        if (get8(b->common, VIRTIO_PCI_COMMON_STATUS) &
            VIRTIO_CONFIG_S_NEEDS_RESET) {
            return false;
        }
        if (now() - start > DEADLINE_S) {
            fail("%u requests do not complete", b->in_flight);
        }
        sched_yield();
    }
    return true;
}
