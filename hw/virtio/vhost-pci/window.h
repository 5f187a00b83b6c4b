/*
 * vhost-pci: the memory window
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The window is one reservation of host address space for as long as the
 * device exists, and one RAM region of B over it. What B may see of A is a
 * matter of what is mapped there:
 *
 *   nothing      private zero pages; what B stores stays in B
 *   read only    A's file, private; what B stores stays in B
 *   read-write   A's file, shared
 *
 * Mappings replace each other in place, so B never finds a hole, no memory
 * slot of B changes, and a store that comes late lands in zero pages.
 *
 * It is a "RAM device" to the memory API: other devices of B reach it through
 * bounce buffers only and never hold a mapping of it across a revocation.
 *
 * Context of all functions: BQL held.
 */

#ifndef HW_VIRTIO_VHOST_PCI_WINDOW_H
#define HW_VIRTIO_VHOST_PCI_WINDOW_H

#include "exec/memory.h"
#include "standard-headers/linux/virtio_vhost_pci.h"

/* Unit of rights; larger pages are granted in multiples of it */
#define VP_PAGE 4096u

typedef enum VPRight {
    VP_NONE,
    VP_READ,
    VP_WRITE,                   /* reading included */
} VPRight;

/* How many grants make a page readable and writable */
typedef struct VPPage {
    uint16_t readers;
    uint16_t writers;
    uint8_t right;              /* VPRight that is mapped */
} VPPage;

/**
 * VPRegion: a region of A's memory
 * @gpa, @uaddr: where A's guest and A's QEMU have it
 * @size: bytes
 * @offset: in the file
 * @window: in the window
 * @align: page size of the file
 * @fd: the file, owned
 * @pages: size / VP_PAGE entries
 */
typedef struct VPRegion {
    uint64_t gpa;
    uint64_t uaddr;
    uint64_t size;
    uint64_t offset;
    uint64_t window;
    uint64_t align;
    int fd;
    VPPage *pages;
} VPRegion;

/**
 * VPWindow: the window and the regions in it
 * @enforcing: nothing is visible without a grant; else everything is
 * @lost: the host refused a mapping, nothing is visible any more and the
 *     counts are void: only vp_window_clear() may follow
 */
typedef struct VPWindow {
    MemoryRegion mr;
    uint8_t *host;
    uint64_t size;
    VPRegion regions[VHOST_PCI_TABLE_MAX];
    unsigned nregions;
    bool enforcing;
    bool lost;
} VPWindow;

/**
 * vp_window_init - reserve the window
 * @owner: device
 * @size: bytes, power of two
 */
bool vp_window_init(VPWindow *w, Object *owner, uint64_t size, Error **errp);

/**
 * vp_window_release - give the addresses back, after vp_window_clear()
 *
 * To be called when the memory region was finalized; readers of B's memory
 * map that still use it are waited for.
 */
void vp_window_release(VPWindow *w);

/**
 * vp_window_set_table - replace all regions
 * @table: copy of the message, sizes checked
 * @fds: one per region; taken over on success, the caller's otherwise
 * @sealed: refuse files that could shrink
 * @code: VIRTIO_VHOST_PCI_E_* on failure
 *
 * All grants are forgotten on success. On failure nothing has changed, unless
 * it is VIRTIO_VHOST_PCI_E_HOST: then the window is empty.
 */
bool vp_window_set_table(VPWindow *w, const struct vhost_pci_mem_table *table,
                         const int *fds, bool sealed, unsigned *code,
                         Error **errp);

/** vp_window_enforce - switch between grants and whole regions */
bool vp_window_enforce(VPWindow *w, bool enforcing);

/** vp_window_clear - zero pages everywhere, files closed */
void vp_window_clear(VPWindow *w);

/**
 * vp_window_find - the region that holds all of a span, or NULL
 * @uaddr, @size: in A's QEMU
 */
VPRegion *vp_window_find(VPWindow *w, uint64_t uaddr, uint64_t size);

/**
 * vp_window_grant - count a grant in or out and map accordingly
 * @uaddr, @size: span within one region, aligned to its pages
 * @write: the grant includes writing
 * @add: count it in, else out
 *
 * Returns false when the host refused a mapping. A grant is then not counted;
 * a revocation always takes effect, if need be on all of the window (@lost).
 */
bool vp_window_grant(VPWindow *w, uint64_t uaddr, uint64_t size, bool write,
                     bool add);

#endif
