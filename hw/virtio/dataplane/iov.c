/*
 * Buffers of a request, as mapped by the ring
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "exec/memory.h"
#include "hw/virtio/virtio-iov.h"

bool virtio_iov_is_ram(const struct iovec *iov, unsigned count)
{
    ram_addr_t offset;

    for (unsigned i = 0; i < count; i++) {
        if (iov[i].iov_len &&
            !memory_region_from_host(iov[i].iov_base, &offset)) {
            return false;
        }
    }
    return true;
}
