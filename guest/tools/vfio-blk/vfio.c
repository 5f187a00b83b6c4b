/*
 * vfio-blk: a PCI device and its IOMMU container through VFIO
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "vfio.h"

static int open_group(const char *bdf)
{
    char path[128], target[256];
    const char *number;
    ssize_t len;

    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", bdf);
    len = readlink(path, target, sizeof(target) - 1);
    if (len < 0) {
        fail("%s has no IOMMU group (%s); is there an IOMMU, and its driver?",
             bdf, strerror(errno));
    }
    target[len] = 0;
    number = strrchr(target, '/');
    return atoi(number ? number + 1 : target);
}

static uint64_t config_offset(Vfio *v)
{
    struct vfio_region_info info = {
        .argsz = sizeof(info), .index = VFIO_PCI_CONFIG_REGION_INDEX,
    };

    if (ioctl(v->device, VFIO_DEVICE_GET_REGION_INFO, &info) < 0) {
        fail("no configuration space: %s", strerror(errno));
    }
    return info.offset;
}

uint32_t vfio_config(Vfio *v, unsigned offset, unsigned len)
{
    uint32_t value = 0;

    if (pread(v->device, &value, len, config_offset(v) + offset) !=
        (ssize_t)len) {
        fail("cannot read configuration space at 0x%x", offset);
    }
    return value;
}

void vfio_open(Vfio *v, const char *bdf)
{
    struct vfio_group_status status = { .argsz = sizeof(status) };
    uint16_t command;
    char path[64];

    *v = (Vfio) { .container = -1, .group = -1, .device = -1 };
    v->group_number = open_group(bdf);
    v->container = open("/dev/vfio/vfio", O_RDWR);
    if (v->container < 0) {
        fail("/dev/vfio/vfio: %s", strerror(errno));
    }
    snprintf(path, sizeof(path), "/dev/vfio/%d", v->group_number);
    v->group = open(path, O_RDWR);
    if (v->group < 0) {
        fail("%s: %s; is the device bound to vfio-pci?", path,
             strerror(errno));
    }
    if (ioctl(v->group, VFIO_GROUP_GET_STATUS, &status) < 0 ||
        !(status.flags & VFIO_GROUP_FLAGS_VIABLE)) {
        fail("group %d is not viable: other devices of it have drivers",
             v->group_number);
    }
    if (ioctl(v->group, VFIO_GROUP_SET_CONTAINER, &v->container) < 0 ||
        ioctl(v->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) < 0) {
        fail("group %d gets no container: %s", v->group_number,
             strerror(errno));
    }
    v->device = ioctl(v->group, VFIO_GROUP_GET_DEVICE_FD, bdf);
    if (v->device < 0) {
        fail("group %d does not give %s: %s", v->group_number, bdf,
             strerror(errno));
    }
    command = vfio_config(v, PCI_COMMAND, 2) | PCI_COMMAND_MEMORY |
              PCI_COMMAND_MASTER;
    if (pwrite(v->device, &command, 2, config_offset(v) + PCI_COMMAND) != 2) {
        fail("cannot write the PCI command register");
    }
}

void vfio_close(Vfio *v)
{
    for (unsigned i = 0; i < VFIO_BARS; i++) {
        if (v->bar[i]) {
            munmap(v->bar[i], v->bar_size[i]);
            v->bar[i] = NULL;
        }
    }
    close(v->device);
    close(v->group);
    close(v->container);
}

bool vfio_reset(Vfio *v)
{
    struct vfio_device_info info = { .argsz = sizeof(info) };

    if (ioctl(v->device, VFIO_DEVICE_GET_INFO, &info) < 0 ||
        !(info.flags & VFIO_DEVICE_FLAGS_RESET)) {
        return false;
    }
    if (ioctl(v->device, VFIO_DEVICE_RESET) < 0) {
        fail("the function cannot be reset: %s", strerror(errno));
    }
    return true;
}

void *vfio_bar(Vfio *v, unsigned n, uint64_t offset, uint64_t size)
{
    if (n >= VFIO_BARS) {
        fail("a capability names BAR %u", n);
    }
    if (!v->bar[n]) {
        struct vfio_region_info info = {
            .argsz = sizeof(info), .index = VFIO_PCI_BAR0_REGION_INDEX + n,
        };

        if (ioctl(v->device, VFIO_DEVICE_GET_REGION_INFO, &info) < 0 ||
            !(info.flags & VFIO_REGION_INFO_FLAG_MMAP)) {
            fail("BAR %u cannot be mapped", n);
        }
        v->bar[n] = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED,
                         v->device, info.offset);
        if (v->bar[n] == MAP_FAILED) {
            fail("BAR %u: %s", n, strerror(errno));
        }
        v->bar_size[n] = info.size;
    }
    if (offset > v->bar_size[n] || size > v->bar_size[n] - offset) {
        fail("a capability lies outside of BAR %u", n);
    }
    return (char *)v->bar[n] + offset;
}

void vfio_map(Vfio *v, void *mem, uint64_t iova, uint64_t size)
{
    struct vfio_iommu_type1_dma_map map = {
        .argsz = sizeof(map),
        .flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
        .vaddr = (uintptr_t)mem, .iova = iova, .size = size,
    };

    if (ioctl(v->container, VFIO_IOMMU_MAP_DMA, &map) < 0) {
        fail("cannot map %llu bytes at IOVA 0x%llx: %s",
             (unsigned long long)size, (unsigned long long)iova,
             strerror(errno));
    }
}

void vfio_unmap(Vfio *v, uint64_t iova, uint64_t size)
{
    struct vfio_iommu_type1_dma_unmap unmap = {
        .argsz = sizeof(unmap), .iova = iova, .size = size,
    };

    if (ioctl(v->container, VFIO_IOMMU_UNMAP_DMA, &unmap) < 0 ||
        unmap.size != size) {
        fail("cannot unmap IOVA 0x%llx: %s", (unsigned long long)iova,
             strerror(errno));
    }
}
