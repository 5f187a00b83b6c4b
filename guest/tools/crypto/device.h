/*
 * A virtio PCI device driven from a program, without interrupts
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The device's registers are mapped through sysfs, where it must have no
 * driver. Memory for the device is pages of this process, locked; their
 * physical addresses come from /proc/self/pagemap, so the program runs as
 * root and without an IOMMU in front of the device.
 */
#ifndef VADIS_CRYPTO_DEVICE_H
#define VADIS_CRYPTO_DEVICE_H

#include <stdint.h>
#include "../../lib/vring-driver.h"

#define DEVICE_PAGE 4096
#define DEVICE_QUEUE_SIZE 16

/* The compiler keeps each access, in order: the device sees it. */
typedef volatile uint8_t Register8;     /* volatile: a device's register */
typedef volatile uint16_t Register16;   /* volatile: a device's register */
typedef volatile uint32_t Register32;   /* volatile: a device's register */

/** One queue: ring, request and answer have a page each */
typedef struct DeviceQueue {
    VdrvQueue vq;
    VdrvSlot slots[DEVICE_QUEUE_SIZE];
    void *ring, *out, *in;              /* pages */
    uint64_t out_at, in_at;             /* their physical addresses */
    Register16 *doorbell;
} DeviceQueue;

/** A device that is ready for requests */
typedef struct Device {
    Register8 *common, *config, *notify;
    uint32_t notify_step;
    uint64_t features;
} Device;

/** What is wrong, on stderr, and exit with status 1 */
void die(const char *format, ...) __attribute__((format(printf, 1, 2),
                                                 noreturn));

/**
 * device_open() - find the registers and negotiate
 * @path: directory of the PCI device in sysfs
 * @features: bits to accept if they are offered, beside VERSION_1
 */
void device_open(Device *dev, const char *path, uint64_t features);

/** device_queue() - set up queue @n; before device_ready() */
void device_queue(Device *dev, DeviceQueue *q, uint16_t n);

/** device_ready() - DRIVER_OK */
void device_ready(Device *dev);

/** device_close() - reset the device: it forgets all memory of this process */
void device_close(Device *dev);

/**
 * device_send() - one request, to its end
 * @out_len: bytes of @q->out to read, in two descriptors if more than one
 * @in_len: bytes of @q->in that may be written
 *
 * Returns the used length.
 */
uint32_t device_send(DeviceQueue *q, uint32_t out_len, uint32_t in_len);

#endif
