/*
 * vfio-blk: a PCI device and its IOMMU container through VFIO
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef VFIO_BLK_VFIO_H
#define VFIO_BLK_VFIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VFIO_BARS 6

/**
 * struct Vfio - an opened device
 * @bar: mapped BARs, mapped when first asked for
 */
typedef struct Vfio {
    int container, group, device;
    int group_number;
    void *bar[VFIO_BARS];
    size_t bar_size[VFIO_BARS];
} Vfio;

/** fail() - end the program with one message; printf format, no newline */
void fail(const char *fmt, ...)
    __attribute__((noreturn, format(printf, 1, 2)));

/**
 * vfio_open() - open PCI device @bdf, which vfio-pci has
 *
 * Switches memory access and bus mastering on.
 */
void vfio_open(Vfio *v, const char *bdf);

/** vfio_close() - give everything back: device, group, container */
void vfio_close(Vfio *v);

/** vfio_config() - read @len bytes (1, 2 or 4) of configuration space */
uint32_t vfio_config(Vfio *v, unsigned offset, unsigned len);

/** vfio_reset() - reset the function; false if VFIO has no way to */
bool vfio_reset(Vfio *v);

/** vfio_bar() - BAR @n; @size bytes of it at @offset must be there */
void *vfio_bar(Vfio *v, unsigned n, uint64_t offset, uint64_t size);

/** vfio_map() - let the device read and write @size bytes of @mem at @iova */
void vfio_map(Vfio *v, void *mem, uint64_t iova, uint64_t size);

/** vfio_unmap() - take one vfio_map() back */
void vfio_unmap(Vfio *v, uint64_t iova, uint64_t size);

#endif
