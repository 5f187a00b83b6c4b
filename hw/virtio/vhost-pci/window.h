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

/* Unit of rights, and size of a page of all files that are taken */
#define VP_PAGE 4096u

typedef enum VPRight {
    VP_NONE,
    VP_READ,
    VP_WRITE,                   /* reading included */
    VP_UNKNOWN,                 /* not mapped yet: an earlier table's */
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
 * @fd: the file, owned
 * @pages: size / VP_PAGE entries
 */
typedef struct VPRegion {
    uint64_t gpa;
    uint64_t uaddr;
    uint64_t size;
    uint64_t offset;
    uint64_t window;
    int fd;
    VPPage *pages;
} VPRegion;

/**
 * VPWindow: the window and the regions in it
 * @used, @mapped: bytes that the regions take; that files are mapped in
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
    uint64_t used;
    uint64_t mapped;
    bool enforcing;
    bool lost;
} VPWindow;

/**
 * vp_window_init - reserve the window
 * @owner: what lives as long as @w, also while the device is being unplugged
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
 * The window stays as it is until vp_window_map(); in between, grants are to
 * be counted by vp_window_count(). On failure nothing has changed.
 */
bool vp_window_set_table(VPWindow *w, const struct vhost_pci_mem_table *table,
                         const int *fds, bool sealed, unsigned *code,
                         Error **errp);

/**
 * vp_window_count - count a grant in for vp_window_map()
 * @r: region that holds all of it, see vp_window_find()
 */
void vp_window_count(VPWindow *w, VPRegion *r, uint64_t uaddr, uint64_t size,
                     bool write);

/**
 * vp_window_map - map a new table, in place of the one before
 *
 * A page that is in both, with the same rights, is visible throughout. Returns
 * false when the host refused a mapping; nothing is visible then (@lost).
 */
bool vp_window_map(VPWindow *w);

/** vp_window_revoke - all grants are gone; false if @lost */
bool vp_window_revoke(VPWindow *w);

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
