/*
 * A virtio PCI device driven from a program, without interrupts
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "device.h"

#define PCI_COMMAND 4
#define PCI_COMMAND_MEMORY_MASTER 6
#define PCI_CAPABILITIES 0x34
#define PCI_CAP_VENDOR 9

#define COMMON8(dev, field) \
    (*(Register8 *)((dev)->common + \
                    offsetof(struct virtio_pci_common_cfg, field)))
#define COMMON16(dev, field) \
    (*(Register16 *)((dev)->common + \
                     offsetof(struct virtio_pci_common_cfg, field)))
#define COMMON32(dev, field) \
    (*(Register32 *)((dev)->common + \
                     offsetof(struct virtio_pci_common_cfg, field)))

void die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fprintf(stderr, "vadis-crypto: error: ");
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    exit(1);
}

static int open_in(const char *path, const char *name)
{
    char full[512];
    int fd;

    snprintf(full, sizeof(full), "%s/%s", path, name);
    fd = open(full, O_RDWR | O_SYNC | O_CLOEXEC);
    if (fd < 0) {
        die("cannot open %s: %m", full);
    }
    return fd;
}

/* Where a capability's structure is mapped */
static Register8 *map_cap(const char *path,
                          const struct virtio_pci_cap *cap)
{
    char name[16];
    off_t start = cap->offset / DEVICE_PAGE * DEVICE_PAGE;
    size_t len = cap->offset - start + cap->length;
    uint8_t *map;
    int fd;

    snprintf(name, sizeof(name), "resource%u", cap->bar);
    fd = open_in(path, name);
    map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, start);
    if (map == MAP_FAILED) {
        die("cannot map %s/%s: %m", path, name);
    }
    close(fd);
    return map + (cap->offset - start);
}

static void find_registers(Device *dev, const char *path)
{
    uint16_t command = PCI_COMMAND_MEMORY_MASTER;
    int fd = open_in(path, "config");
    uint8_t at;

    if (pwrite(fd, &command, sizeof(command), PCI_COMMAND) < 0 ||
        pread(fd, &at, 1, PCI_CAPABILITIES) != 1) {
        die("cannot reach %s/config: %m", path);
    }
    for (unsigned i = 0; at && i < 48; i++) {
        struct virtio_pci_notify_cap cap;

        if (pread(fd, &cap, sizeof(cap), at) != (ssize_t)sizeof(cap)) {
            die("cannot read a capability of %s: %m", path);
        }
        at = cap.cap.cap_next;
        if (cap.cap.cap_vndr != PCI_CAP_VENDOR) {
            continue;
        }
        switch (cap.cap.cfg_type) {
        case VIRTIO_PCI_CAP_COMMON_CFG:
            dev->common = map_cap(path, &cap.cap);
            break;
        case VIRTIO_PCI_CAP_DEVICE_CFG:
            dev->config = map_cap(path, &cap.cap);
            break;
        case VIRTIO_PCI_CAP_NOTIFY_CFG:
            dev->notify = map_cap(path, &cap.cap);
            dev->notify_step = cap.notify_off_multiplier;
            break;
        }
    }
    close(fd);
    if (!dev->common || !dev->config || !dev->notify) {
        die("%s is no modern virtio device", path);
    }
}

static void device_reset(Device *dev)
{
    COMMON8(dev, device_status) = 0;
    while (COMMON8(dev, device_status)) {
        /* 4.1.4.3.2: until the device says that it is done */
    }
}

void device_open(Device *dev, const char *path, uint64_t features)
{
    const uint8_t begun = VIRTIO_CONFIG_S_ACKNOWLEDGE |
                          VIRTIO_CONFIG_S_DRIVER;

    memset(dev, 0, sizeof(*dev));
    find_registers(dev, path);
    device_reset(dev);
    COMMON8(dev, device_status) = begun;
    features |= 1ull << VIRTIO_F_VERSION_1;
    for (unsigned half = 0; half < 2; half++) {
        COMMON32(dev, device_feature_select) = half;
        dev->features |= (uint64_t)COMMON32(dev, device_feature) << 32 * half;
    }
    dev->features &= features;
    for (unsigned half = 0; half < 2; half++) {
        COMMON32(dev, guest_feature_select) = half;
        COMMON32(dev, guest_feature) = dev->features >> 32 * half;
    }
    COMMON8(dev, device_status) = begun | VIRTIO_CONFIG_S_FEATURES_OK;
    if (!(COMMON8(dev, device_status) & VIRTIO_CONFIG_S_FEATURES_OK)) {
        die("the device refused features 0x%llx",
            (unsigned long long)dev->features);
    }
}

/* A page that stays where it is, and its physical address */
static void *dma_page(uint64_t *physical)
{
    void *page = mmap(NULL, DEVICE_PAGE, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint64_t entry;
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

    if (page == MAP_FAILED || mlock(page, DEVICE_PAGE) < 0) {
        die("cannot lock a page: %m");
    }
    memset(page, 0, DEVICE_PAGE);
    if (fd < 0 || pread(fd, &entry, sizeof(entry), (uintptr_t)page /
                        DEVICE_PAGE * sizeof(entry)) != sizeof(entry)) {
        die("cannot read /proc/self/pagemap: %m");
    }
    close(fd);
    *physical = (entry & ((1ull << 55) - 1)) * DEVICE_PAGE;
    if (!*physical) {
        die("/proc/self/pagemap hides addresses; root is needed");
    }
    return page;
}

static void put_address(Device *dev, size_t field, uint64_t address)
{
    Register32 *at = (Register32 *)(dev->common + field);

    at[0] = address;
    at[1] = address >> 32;
}

void device_queue(Device *dev, DeviceQueue *q, uint16_t n)
{
    uint64_t ring_at;
    VdrvLayout layout;
    VdrvConfig config;

    q->ring = dma_page(&ring_at);
    q->out = dma_page(&q->out_at);
    q->in = dma_page(&q->in_at);
    COMMON16(dev, queue_select) = n;
    if (COMMON16(dev, queue_size) < DEVICE_QUEUE_SIZE) {
        die("queue %u does not exist or is too small", n);
    }
    COMMON16(dev, queue_size) = DEVICE_QUEUE_SIZE;
    layout = vdrv_layout(ring_at, DEVICE_QUEUE_SIZE,
                         dev->features & VDRV_F_PACKED, 64);
    config = (VdrvConfig) {
        .mem = vdrv_direct_mem(q->ring, ring_at),
        .slots = q->slots,
        .desc = layout.desc,
        .driver = layout.driver,
        .device = layout.device,
        .features = dev->features,
        .num = DEVICE_QUEUE_SIZE,
        .index = n,
        /* QEMU writes the length and not the WRITE flag beside it */
        .quirks = VDRV_QUIRK_USED_LEN,
    };
    if (vdrv_init(&vdrv_mem_direct, &q->vq, &config) != VDRV_OK) {
        die("queue %u cannot be laid out", n);
    }
    put_address(dev, VIRTIO_PCI_COMMON_Q_DESCLO, layout.desc);
    put_address(dev, VIRTIO_PCI_COMMON_Q_AVAILLO, layout.driver);
    put_address(dev, VIRTIO_PCI_COMMON_Q_USEDLO, layout.device);
    q->doorbell = (Register16 *)
        (dev->notify + COMMON16(dev, queue_notify_off) * dev->notify_step);
    vdrv_disable_cb(&vdrv_mem_direct, &q->vq);
    COMMON16(dev, queue_enable) = 1;
}

void device_ready(Device *dev)
{
    COMMON8(dev, device_status) = COMMON8(dev, device_status) |
                                  VIRTIO_CONFIG_S_DRIVER_OK;
}

void device_close(Device *dev)
{
    device_reset(dev);
}

uint32_t device_send(DeviceQueue *q, uint32_t out_len, uint32_t in_len)
{
    uint32_t first = out_len / 2;
    VdrvSeg segments[] = {
        { q->out_at, first },
        { q->out_at + first, out_len - first },
        { q->in_at, in_len },
    };
    VdrvBuf buf = {
        .seg = first ? segments : segments + 1,
        .out = first ? 2 : 1,
        .in = 1,
        .token = q,
    };
    VdrvUsed used;
    int got;

    if (vdrv_add(&vdrv_mem_direct, &q->vq, &buf) != VDRV_OK) {
        die("a request does not fit into the ring");
    }
    vdrv_publish(&vdrv_mem_direct, &q->vq);
    if (vdrv_kick_needed(&vdrv_mem_direct, &q->vq)) {
        *q->doorbell = q->vq.index;
    }
    while (!(got = vdrv_get(&vdrv_mem_direct, &q->vq, &used))) {
        /* the host works on it */
    }
    if (got < 0) {
        die("the device broke the rules of the ring (%d)", got);
    }
    return used.len;
}
