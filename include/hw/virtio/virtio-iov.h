/*
 * Buffers of a request, as mapped by the ring
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VIRTIO_VIRTIO_IOV_H
#define HW_VIRTIO_VIRTIO_IOV_H

/**
 * virtio_iov_is_ram - whether all of a request's buffers are RAM
 * @iov: entries of a VirtQueueElement that is not yet unmapped
 * @count: number of entries
 *
 * A driver may give registers as a buffer, of the serving device even. What a
 * device writes there takes effect when the buffer is unmapped: a reset, for
 * instance, in the middle of the device's own work. Devices that cannot bear
 * it ask first.
 *
 * Context: any thread.
 */
bool virtio_iov_is_ram(const struct iovec *iov, unsigned count);

#endif
