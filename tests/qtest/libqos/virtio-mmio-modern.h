/*
 * libqos: virtio-mmio without its legacy registers, and machines that have it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef LIBQOS_VIRTIO_MMIO_MODERN_H
#define LIBQOS_VIRTIO_MMIO_MODERN_H

#include "virtio-mmio.h"

/*
 * What microvm and aarch64's virt have devices on; consumed by drivers of
 * modern devices
 */
#define QVIRTIO_MMIO_MODERN "virtio-mmio-modern"
#define QVIRTIO_MMIO_MODERN_BUS "virtio-mmio-modern-bus"
/* For the command line of such a device, before its own options */
#define QVIRTIO_MMIO_MODERN_OPTS "bus=virtio-mmio-bus.0"
#define QVIRTIO_MMIO_MODERN_AFTER "-global virtio-mmio.force-legacy=false"

#endif
