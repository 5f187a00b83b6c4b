/* SPDX-License-Identifier: GPL-2.0-or-later */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <linux/pci_regs.h>
#include <linux/virtio_config.h>

#include "virtio-uio.h"

#define QUEUE_SIZE 16
#define PCI_BARS 6

void fail(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fputs("page-usage: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    exit(1);
}

/* Write @text to a file of sysfs; @may_fail: it need not be there */
static void write_file(const char *path, const char *text, bool may_fail)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0 && may_fail) {
        return;
    }
    if (fd < 0 || write(fd, text, strlen(text)) < 0) {
        fail("cannot write '%s' to %s: %s", text, path, strerror(errno));
    }
    close(fd);
}

/* Give the device to uio_pci_generic. */
static void take(const char *address)
{
    char path[128];

    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver/unbind",
             address);
    write_file(path, address, true);
    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver_override",
             address);
    write_file(path, "uio_pci_generic", false);
    write_file("/sys/bus/pci/drivers/uio_pci_generic/bind", address, false);
}

static UioBytes *map_bar(const char *address, unsigned bar)
{
    struct stat st;
    char path[128];
    void *map;
    int fd;

    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource%u", address,
             bar);
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st)) {
        fail("cannot open %s: %s", path, strerror(errno));
    }
    map = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        fail("cannot map %s: %s", path, strerror(errno));
    }
    close(fd);
    return map;
}

static uint32_t get32(const uint8_t *p)
{
    return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
}

static void find_registers(VirtioUio *d, const uint8_t *config)
{
    UioBytes *bars[PCI_BARS] = { 0 };
    unsigned at = config[PCI_CAPABILITY_LIST];

    for (unsigned n = 0; at && n < 48; n++, at = config[at + 1]) {
        const uint8_t *cap = config + at;
        unsigned type = cap[VIRTIO_PCI_CAP_CFG_TYPE];
        unsigned bar = cap[VIRTIO_PCI_CAP_BAR];
        UioBytes *regs;

        if (cap[0] != PCI_CAP_ID_VNDR || bar >= PCI_BARS ||
            (type != VIRTIO_PCI_CAP_COMMON_CFG &&
             type != VIRTIO_PCI_CAP_NOTIFY_CFG &&
             type != VIRTIO_PCI_CAP_DEVICE_CFG)) {
            continue;
        }
        if (!bars[bar]) {
            bars[bar] = map_bar(d->address, bar);
        }
        regs = bars[bar] + get32(cap + VIRTIO_PCI_CAP_OFFSET);
        if (type == VIRTIO_PCI_CAP_COMMON_CFG) {
            d->common = (UioCommon *)regs;
        } else if (type == VIRTIO_PCI_CAP_NOTIFY_CFG) {
            d->notify = regs;
            d->notify_step = get32(cap + VIRTIO_PCI_NOTIFY_CAP_MULT);
        } else {
            d->config = regs;
        }
    }
    if (!d->common || !d->notify || !d->config) {
        fail("%s has no modern virtio registers", d->address);
    }
}

void uio_reset(VirtioUio *d)
{
    d->common->device_status = 0;
    while (d->common->device_status) {
        sched_yield();
    }
}

void uio_open(VirtioUio *d, const char *address, uint64_t need, uint64_t like)
{
    uint8_t config[256];
    uint64_t offered = 0;
    char path[128];
    int fd;

    memset(d, 0, sizeof(*d));
    snprintf(d->address, sizeof(d->address), "%s", address);
    take(address);
    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", address);
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || pread(fd, config, sizeof(config), 0) != sizeof(config)) {
        fail("cannot read %s: %s", path, strerror(errno));
    }
    config[PCI_COMMAND] |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
    if (pwrite(fd, config + PCI_COMMAND, 2, PCI_COMMAND) != 2) {
        fail("cannot write %s: %s", path, strerror(errno));
    }
    close(fd);
    find_registers(d, config);

    uio_reset(d);
    d->common->device_status = VIRTIO_CONFIG_S_ACKNOWLEDGE;
    d->common->device_status |= VIRTIO_CONFIG_S_DRIVER;
    for (unsigned i = 0; i < 2; i++) {
        d->common->device_feature_select = i;
        offered |= (uint64_t)d->common->device_feature << 32 * i;
    }
    if (need & ~offered) {
        fail("%s does not offer features 0x%llx", address,
             (unsigned long long)(need & ~offered));
    }
    d->features = need | (like & offered);
    for (unsigned i = 0; i < 2; i++) {
        d->common->guest_feature_select = i;
        d->common->guest_feature = d->features >> 32 * i;
    }
    d->common->device_status |= VIRTIO_CONFIG_S_FEATURES_OK;
    if (!(d->common->device_status & VIRTIO_CONFIG_S_FEATURES_OK)) {
        fail("%s refused features 0x%llx", address,
             (unsigned long long)d->features);
    }
}

void uio_queue(UioQueue *q, VirtioUio *d, unsigned index, const Huge *mem,
               uint32_t at)
{
    UioCommon *c = d->common;
    VdrvLayout l = vdrv_layout(mem->gpa[0] + at, QUEUE_SIZE,
                               d->features & VDRV_F_PACKED, 64);
    VdrvConfig config = {
        .mem = vdrv_direct_mem(mem->host, mem->gpa[0]),
        .features = d->features,
        .num = QUEUE_SIZE,
        .index = index,
        /* QEMU leaves WRITE out of used descriptors. */
        .quirks = VDRV_QUIRK_USED_LEN,
        .desc = l.desc,
        .driver = l.driver,
        .device = l.device,
    };

    q->dev = d;
    config.slots = q->slots = calloc(QUEUE_SIZE, sizeof(*q->slots));
    if (!q->slots || vdrv_init(&vdrv_mem_direct, &q->vq, &config)) {
        fail("cannot set up queue %u", index);
    }
    c->queue_select = index;
    if (c->queue_size < QUEUE_SIZE) {
        fail("queue %u has room for %u descriptors only", index,
             c->queue_size);
    }
    c->queue_size = QUEUE_SIZE;
    c->queue_desc_lo = l.desc;
    c->queue_desc_hi = l.desc >> 32;
    c->queue_avail_lo = l.driver;
    c->queue_avail_hi = l.driver >> 32;
    c->queue_used_lo = l.device;
    c->queue_used_hi = l.device >> 32;
    q->doorbell = (UioDoorbell *)(d->notify + c->queue_notify_off *
                                  d->notify_step);
    c->queue_enable = 1;
}

void uio_driver_ok(VirtioUio *d)
{
    d->common->device_status |= VIRTIO_CONFIG_S_DRIVER_OK;
}

uint32_t uio_request(UioQueue *q, VdrvSeg out, VdrvSeg in)
{
    const VdrvSeg seg[2] = { out, in };
    const VdrvBuf buf = { .seg = seg, .out = 1, .in = 1 };
    VdrvUsed used;
    int ret = vdrv_add(&vdrv_mem_direct, &q->vq, &buf);

    if (ret) {
        fail("request: %s", vdrv_strerror(ret));
    }
    vdrv_publish(&vdrv_mem_direct, &q->vq);
    if (vdrv_kick_needed(&vdrv_mem_direct, &q->vq)) {
        *q->doorbell = q->vq.index;
    }
    while (!(ret = vdrv_get(&vdrv_mem_direct, &q->vq, &used))) {
        if (q->dev->common->device_status & VIRTIO_CONFIG_S_NEEDS_RESET) {
            fail("the device needs a reset");
        }
        sched_yield();
    }
    if (ret < 0) {
        fail("answer: %s", vdrv_strerror(ret));
    }
    return used.len;
}

/* -- memory ---------------------------------------------------------------- */

void huge_reserve(unsigned pages)
{
    char text[16];

    snprintf(text, sizeof(text), "%u", pages);
    write_file("/proc/sys/vm/nr_hugepages", text, false);
}

void huge_alloc(Huge *m, unsigned pages)
{
    size_t size = (size_t)pages * HUGE_PAGE;
    long small = sysconf(_SC_PAGE_SIZE);
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

    m->pages = pages;
    m->gpa = calloc(pages, sizeof(*m->gpa));
    m->host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE |
                   MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
    if (m->host == MAP_FAILED || !m->gpa || fd < 0) {
        fail("no %u huge pages: %s", pages, strerror(errno));
    }
    for (unsigned i = 0; i < pages; i++) {
        uintptr_t at = (uintptr_t)m->host + (size_t)i * HUGE_PAGE;
        uint64_t entry;

        /* Bits 0-54 are the frame number, bit 63 says that there is one. */
        if (pread(fd, &entry, 8, at / small * 8) != 8 || !(entry >> 63) ||
            !(entry << 9)) {
            fail("the kernel does not tell where huge page %u is", i);
        }
        m->gpa[i] = (entry & ((1ull << 55) - 1)) * small;
    }
    close(fd);
}
