/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtio PCI device driven from user space: no kernel driver but
 * uio_pci_generic, which keeps others away from it.
 *
 * Registers are mapped from sysfs, memory is huge pages, whose guest physical
 * addresses stay as they are. Completions are polled for. Any failure ends
 * the program with one line that says what failed.
 */
#ifndef VIRTIO_UIO_H
#define VIRTIO_UIO_H

#include <stddef.h>
#include <stdint.h>
#include <linux/virtio_pci.h>
#include "../../lib/vring-driver.h"

#define HUGE_PAGE (2u << 20)

/* Registers: each access happens, once, and in order */
typedef volatile struct virtio_pci_common_cfg UioCommon; /* registers */
typedef volatile uint8_t UioBytes;      /* registers */
typedef volatile uint16_t UioDoorbell;  /* register */

void fail(const char *fmt, ...)
    __attribute__((noreturn, format(printf, 1, 2)));

/**
 * struct VirtioUio - the device
 * @common: modern registers, as all pointers here mapped from the BARs
 * @notify: where queue doorbells are
 * @notify_step: bytes from one doorbell to the next
 * @config: the device's own configuration
 * @features: as negotiated
 */
typedef struct VirtioUio {
    char address[32];
    UioCommon *common;
    UioBytes *notify;
    uint32_t notify_step;
    UioBytes *config;
    uint64_t features;
} VirtioUio;

/** struct Huge - memory in huge pages; page i is at @gpa[i] */
typedef struct Huge {
    uint8_t *host;
    unsigned pages;
    uint64_t *gpa;
} Huge;

/** struct UioQueue - a queue of the device, one request at a time */
typedef struct UioQueue {
    VirtioUio *dev;
    UioDoorbell *doorbell;
    VdrvQueue vq;
    VdrvSlot *slots;
} UioQueue;

/**
 * uio_open: take the device from its driver, reset it, agree on features
 * @address: PCI address, like 0000:00:04.0
 * @need: features without which the program ends
 * @like: features taken if they are offered
 */
void uio_open(VirtioUio *d, const char *address, uint64_t need, uint64_t like);

/**
 * uio_queue: set up queue @index in a huge page
 * @at: first byte of @mem's page 0 to use; at most 256 KiB are needed
 */
void uio_queue(UioQueue *q, VirtioUio *d, unsigned index, const Huge *mem,
               uint32_t at);

void uio_driver_ok(VirtioUio *d);

/**
 * uio_request: send one request and wait for its answer
 * @out: what the device reads
 * @in: what it writes
 *
 * Returns the number of bytes written.
 */
uint32_t uio_request(UioQueue *q, VdrvSeg out, VdrvSeg in);

void uio_reset(VirtioUio *d);

/** huge_reserve: have the kernel set @pages huge pages aside */
void huge_reserve(unsigned pages);

/** huge_alloc: @pages of them, zeroed and present */
void huge_alloc(Huge *m, unsigned pages);

#endif
