/*
 * Guest RAM as seen by the ring engine: address to host pointer, fast
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * address_space_map() looks an address up and takes a reference to the
 * memory region for each buffer, and gives it back for each buffer: an atomic
 * operation on a cache line that all queues share. Here a table of the RAM in
 * an address space, made anew whenever its layout changes, answers the first
 * question, and a reference to the table, taken by a queue while it has any
 * element out, replaces the references to regions.
 *
 *   VirtRingWindows    one per address space; its table changes under the BQL
 *   VirtRingTable      RAM at one time; immutable, holds the regions
 *   VirtRingPin        what a queue holds of a table: alive while the table is
 *                      current, or the queue has elements out that use it
 */

#ifndef HW_VIRTIO_RING_WINDOWS_H
#define HW_VIRTIO_RING_WINDOWS_H

#include "exec/hwaddr.h"
#include "exec/memory.h"
#include "qemu/notify.h"
#include "qemu/queue.h"
#include "qemu/thread.h"

/**
 * VirtRingWindow: contiguous RAM
 * @start, @size: guest addresses
 * @host: where it is mapped
 * @mr: region it belongs to
 * @readonly: the device must not write to it
 */
typedef struct VirtRingWindow {
    hwaddr start;
    hwaddr size;
    uint8_t *host;
    MemoryRegion *mr;
    bool readonly;
} VirtRingWindow;

/**
 * VirtRingTable: the windows of an address space, by address
 * @serial: no two tables have the same
 * @logged: some region's writes are logged whatever migration does
 * @translated: some of the address space is behind an IOMMU
 */
typedef struct VirtRingTable {
    struct rcu_head rcu;
    uint64_t serial;
    bool logged;
    bool translated;
    unsigned refs;              /* atomic: one for being current, pins */
    QemuMutex lock;             /* of pins */
    QSLIST_HEAD(, VirtRingPin) pins;
    unsigned num;
    VirtRingWindow window[];
} VirtRingTable;

/**
 * VirtRingPin: a queue's use of a table
 * @users: elements out; only the queue's thread touches it
 * @refs: atomic; one for the table being current, one for any user
 */
typedef struct VirtRingPin {
    VirtRingTable *table;
    unsigned users;
    unsigned refs;
    QSLIST_ENTRY(VirtRingPin) next;
} VirtRingPin;

typedef struct VirtRingWindows VirtRingWindows;

/**
 * vring_windows_get: share the windows of @as
 *
 * Context: BQL held. Give it back with vring_windows_put().
 */
VirtRingWindows *vring_windows_get(AddressSpace *as);
void vring_windows_put(VirtRingWindows *windows);

/**
 * vring_windows_watch: be told of each new table
 *
 * @notifier is called when the new one can be read and the memory of the old
 * one is still there. notifier_remove() ends it. Context: BQL held.
 */
void vring_windows_watch(VirtRingWindows *windows, Notifier *notifier);

/**
 * vring_windows_table: the current table
 *
 * Context: RCU read lock held, and the table is valid until it is released.
 */
VirtRingTable *vring_windows_table(VirtRingWindows *windows);

/**
 * vring_window_find: the window that holds @addr, or NULL
 * @hint: where to look first
 */
const VirtRingWindow *vring_window_find(const VirtRingTable *table,
                                        hwaddr addr,
                                        const VirtRingWindow *hint);

/**
 * vring_pin_new: let a queue use @table
 *
 * The pin stays valid while the table is current; beyond that only while
 * it is in use.
 *
 * Context: RCU read lock held since @table was read.
 */
VirtRingPin *vring_pin_new(VirtRingTable *table);

/** vring_pin_use: one more element uses @pin. Context: the queue's thread */
static inline void vring_pin_use(VirtRingPin *pin)
{
    if (!pin->users++) {
        qatomic_inc(&pin->refs);
    }
}

void vring_pin_unref(VirtRingPin *pin);

/** vring_pin_drop: one element less uses @pin. Context: the queue's thread */
static inline void vring_pin_drop(VirtRingPin *pin)
{
    if (!--pin->users) {
        vring_pin_unref(pin);
    }
}

#endif
