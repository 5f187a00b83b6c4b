/*
 * The ring engine inside of QEMU: what a VirtQueue holds of it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * glue.c.inc, which is part of virtio.c, connects the public virtqueue
 * functions to the core (ring.h) and to guest RAM (windows.h). A queue has an
 * engine while its device has x-ring=auto and the ring can be served: host and
 * ring have the same byte order, and the ring's memory is RAM. Behind an IOMMU
 * it is reached through the device's IOTLB (device-iotlb.h), if that can be
 * used. Otherwise upstream's functions serve the queue.
 */

#ifndef HW_VIRTIO_RING_ENGINE_H
#define HW_VIRTIO_RING_ENGINE_H

#include "block/aio-pass.h"
#include "hw/qdev-properties.h"
#include "device-iotlb.h"
#include "qemu/bitmap.h"
#include "qemu/timer.h"
#include "ring.h"
#include "windows.h"

typedef enum VirtIORingChoice {
    VIRTIO_RING_AUTO,
    VIRTIO_RING_STOCK,
} VirtIORingChoice;

extern const PropertyInfo qdev_prop_virtio_ring;

/** VirtIOIommuFault: what a buffer that the IOMMU refuses does */
typedef enum VirtIOIommuFault {
    VIRTIO_IOMMU_FAULT_REQUEST,     /* the request fails, if it can */
    VIRTIO_IOMMU_FAULT_BREAK,       /* the device needs a reset */
} VirtIOIommuFault;

extern const PropertyInfo qdev_prop_virtio_iommu_fault;

/**
 * VirtRingCounters: what happened in a queue since it was set up
 *
 * Written by the queue's thread, read by anyone.
 */
typedef struct VirtRingCounters {
    uint64_t requests;
    uint64_t batches;           /* flushes that published anything */
    uint64_t kicks;
    uint64_t interrupts;
    uint64_t interrupts_suppressed;
    uint64_t errors;
} VirtRingCounters;

/**
 * VirtRingEngine: engine of one queue
 * @on: the engine serves the queue; constant between two resets
 * @serial: table that @pin and @hint belong to; 0 for none
 * @other_pin, @other_serial: of the table before, behind an IOMMU or not
 * @hint: window found last
 * @pool: elements to use again, linked by their first bytes
 * @pool_num: how many
 * @pool_sz: size that they were taken with; 0 before the first
 * @life: counts the resets of the queue, never 0; elements carry that of theirs
 * @stale: elements of an earlier life handed back since the last flush
 * @owes_notification: atomic: the driver is to be asked for notifications
 * @labels: for VirtRingAreas; changes between FEATURES_OK and DRIVER_OK
 * @pushed: elements filled and not yet published, as their bunch goes on
 * @pushed_ndescs: their share of what is in flight
 * @pass: publishes them
 * @pass_ctx: event loop that will do so, or NULL
 * @pass_queued: @pass is on its list
 * @bunches: ring_has_bunches()
 * @gone: the queue has let go of it, only @pass_queued keeps it
 * @notify: the device wants the driver notified of what was pushed
 * @foreign_at: entries of the chain at hand that are not RAM of the table
 * @iotlb: the device's, or NULL; @reader: this queue's use of it
 * @lane: where what is in flight is noted, or NULL (iommu/lanes.h)
 * @near, @near_table, @near_generation: the block that was looked up last, and
 *     of when it is (behind an IOMMU)
 * @areas, @pages: the ring behind an IOMMU, while @reader watches it
 * @linger: how often to look for more before the event loop goes round
 * @failed: requests that ring_fail() has completed since the last pause
 * @paused: nothing is to be taken until @resume; atomic
 *
 * Context: the queue's thread; @on changes under the BQL while no other
 * thread serves the queue.
 */
typedef struct VirtRingEngine {
    VirtRing ring;
    VirtRingWindows *windows;
    VirtRingPin *pin;
    const VirtRingWindow *hint;
    uint64_t serial;
    VirtRingPin *other_pin;
    uint64_t other_serial;
    void *pool;
    unsigned pool_num;
    size_t pool_sz;
    VirtRingCounters counters;
    uint16_t life;
    unsigned stale;
    unsigned linger;
    unsigned pushed;
    unsigned pushed_ndescs;
    AioPassWork pass;
    AioContext *pass_ctx;
    bool pass_queued;
    VirtIOIotlb *iotlb;
    struct IommuLane *lane;
    IotlbReader reader;
    VirtRingDirect near;
    const VirtRingTable *near_table;
    uint64_t near_generation;
    VirtRingAreas areas;
    VirtRingAreaPages pages;
    QEMUTimer *resume;
    unsigned failed;
    DECLARE_BITMAP(foreign_at, VRING_SEGMENTS_MAX);
    uint8_t labels;
    bool owes_notification;
    bool notify;
    bool bunches;
    bool gone;
    bool paused;
    bool on;
} VirtRingEngine;

#endif
