/*
 * vhost-pci: the memory window
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/mman.h>
#include <sys/vfs.h>
#include <linux/magic.h>
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/madvise.h"
#include "qemu/rcu.h"
#include "window.h"

/* Nobody's pages: readable as zeros, stores stay here and go with the next */
static bool map_zeros(void *at, uint64_t size)
{
    if (mmap(at, size, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
             0) == MAP_FAILED) {
        return false;
    }
    qemu_madvise(at, size, QEMU_MADV_DONTDUMP);
    return true;
}

/*
 * The last resort when the host refuses to take a mapping away (too many of
 * them): all of the window at once needs one mapping only. If even that
 * fails, B loses the window.
 */
static void revoke_all(VPWindow *w)
{
    for (unsigned i = 0; i < w->nregions; i++) {
        VPRegion *r = &w->regions[i];

        memset(r->pages, 0, r->size / VP_PAGE * sizeof(*r->pages));
    }
    if (!map_zeros(w->host, w->size)) {
        error_report("vhost-pci: cannot revoke: %s; the memory window is "
                     "switched off", strerror(errno));
        memory_region_set_enabled(&w->mr, false);
    }
}

static bool map_span(VPWindow *w, VPRegion *r, uint64_t first, uint64_t last,
                     VPRight right)
{
    uint64_t at = first * VP_PAGE, size = (last - first) * VP_PAGE;
    void *host = w->host + r->window + at;

    if (right == VP_NONE) {
        return map_zeros(host, size);
    }
    if (mmap(host, size, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_NORESERVE |
             (right == VP_WRITE ? MAP_SHARED : MAP_PRIVATE),
             r->fd, r->offset + at) == MAP_FAILED) {
        return false;
    }
    qemu_madvise(host, size, QEMU_MADV_DONTDUMP);
    return true;
}

static VPRight page_right(const VPPage *page)
{
    return page->writers ? VP_WRITE : page->readers ? VP_READ : VP_NONE;
}

/* Map pages [first, last) as counted, a mapping for each run that changes */
static bool apply(VPWindow *w, VPRegion *r, uint64_t first, uint64_t last)
{
    uint64_t next;

    for (uint64_t i = first; i < last; i = next) {
        VPRight right = page_right(&r->pages[i]);

        next = i + 1;
        if (r->pages[i].right == right) {
            continue;
        }
        while (next < last && page_right(&r->pages[next]) == right) {
            next++;
        }
        if (!map_span(w, r, i, next, right)) {
            return false;
        }
        for (uint64_t j = i; j < next; j++) {
            r->pages[j].right = right;
        }
    }
    return true;
}

VPRegion *vp_window_find(VPWindow *w, uint64_t uaddr, uint64_t size)
{
    for (unsigned i = 0; i < w->nregions; i++) {
        VPRegion *r = &w->regions[i];

        if (uaddr >= r->uaddr && size <= r->size &&
            uaddr - r->uaddr <= r->size - size) {
            return r;
        }
    }
    return NULL;
}

static void count(VPPage *page, bool write, int step)
{
    if (write) {
        page->writers += step;
    } else {
        page->readers += step;
    }
}

bool vp_window_grant(VPWindow *w, uint64_t uaddr, uint64_t size, bool write,
                     bool add)
{
    VPRegion *r = vp_window_find(w, uaddr, size);
    uint64_t first, last;

    if (!r || w->lost) {
        return false;
    }
    first = (uaddr - r->uaddr) / VP_PAGE;
    last = first + size / VP_PAGE;
    for (uint64_t i = first; i < last; i++) {
        count(&r->pages[i], write, add ? 1 : -1);
    }
    if (apply(w, r, first, last)) {
        return true;
    }
    if (add) {
        for (uint64_t i = first; i < last; i++) {
            count(&r->pages[i], write, -1);
        }
        if (apply(w, r, first, last)) {
            return false;
        }
    }
    revoke_all(w);
    w->lost = true;
    return false;
}

/* Give all pages the same rights. */
static bool set_all(VPWindow *w, bool visible)
{
    for (unsigned i = 0; i < w->nregions; i++) {
        VPRegion *r = &w->regions[i];
        uint64_t n = r->size / VP_PAGE;

        for (uint64_t j = 0; j < n; j++) {
            r->pages[j].readers = 0;
            r->pages[j].writers = visible;
        }
        if (!apply(w, r, 0, n)) {
            revoke_all(w);
            w->lost = true;
            return false;
        }
    }
    return true;
}

bool vp_window_enforce(VPWindow *w, bool enforcing)
{
    if (w->enforcing == enforcing) {
        return true;
    }
    w->enforcing = enforcing;
    return set_all(w, !enforcing);
}

bool vp_window_revoke(VPWindow *w)
{
    return set_all(w, false);
}

/* What is mapped stays. */
static void free_regions(VPWindow *w)
{
    for (unsigned i = 0; i < w->nregions; i++) {
        close(w->regions[i].fd);
        g_free(w->regions[i].pages);
    }
    w->nregions = 0;
}

void vp_window_clear(VPWindow *w)
{
    if (w->nregions) {
        revoke_all(w);
    }
    free_regions(w);
    w->used = w->mapped = 0;
    w->enforcing = false;
    w->lost = false;
}

/* Is @fd a file that can be mapped as the region says? */
static bool check_file(VPRegion *r, bool sealed, unsigned *code, Error **errp)
{
    struct stat st;
    struct statfs fs;
    int seals, flags = fcntl(r->fd, F_GETFL);

    *code = VIRTIO_VHOST_PCI_E_FD;
    /* First: only files of the host's memory have seals, others may block. */
    seals = fcntl(r->fd, F_GET_SEALS);
    if (sealed && (seals < 0 || !(seals & F_SEAL_SHRINK))) {
        error_setg(errp, "memory comes as a file that can shrink");
        error_append_hint(errp, "Give VM A a memory-backend-memfd, or set "
                          "require-sealed=off\n");
        return false;
    }
    if (fstat(r->fd, &st) || fstatfs(r->fd, &fs) || !S_ISREG(st.st_mode)) {
        error_setg(errp, "memory comes as something that is not a file");
        return false;
    }
    if (flags < 0 || (flags & O_ACCMODE) != O_RDWR) {
        error_setg(errp, "memory comes as a file that is not open for reading "
                   "and writing");
        return false;
    }
    if (fs.f_type == HUGETLBFS_MAGIC) {
        error_setg(errp, "memory comes as a file of huge pages");
        error_append_hint(errp, "There may be none left when VM B touches "
                          "one, which would end it. Give VM A's "
                          "memory-backend-memfd hugetlb=off\n");
        return false;
    }
    *code = VIRTIO_VHOST_PCI_E_REGION;
    if (st.st_size < 0 || r->offset + r->size > st.st_size) {
        error_setg(errp, "a region of %" PRIu64 " bytes at %" PRIu64 " is "
                   "past the end of its file", r->size, r->offset);
        return false;
    }
    return true;
}

static bool overlap(uint64_t a, uint64_t b, uint64_t alen, uint64_t blen)
{
    return a < b + blen && b < a + alen;
}

static bool check_place(const VPRegion *all, unsigned n, unsigned *code,
                        Error **errp)
{
    const VPRegion *r = &all[n];

    *code = VIRTIO_VHOST_PCI_E_REGION;
    if (!r->size || (r->size | r->gpa | r->uaddr | r->offset) % VP_PAGE ||
        r->gpa + r->size < r->size || r->uaddr + r->size < r->size ||
        r->offset + r->size < r->size || r->offset + r->size > INT64_MAX) {
        error_setg(errp, "region %u is empty, not page aligned, or runs past "
                   "the last address", n);
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        if (overlap(all[i].gpa, r->gpa, all[i].size, r->size) ||
            overlap(all[i].uaddr, r->uaddr, all[i].size, r->size)) {
            error_setg(errp, "regions %u and %u overlap", i, n);
            return false;
        }
    }
    return true;
}

bool vp_window_set_table(VPWindow *w, const struct vhost_pci_mem_table *table,
                         const int *fds, bool sealed, unsigned *code,
                         Error **errp)
{
    VPRegion new[VHOST_PCI_TABLE_MAX];
    uint64_t used = 0;

    assert(table->nregions <= VHOST_PCI_TABLE_MAX); /* message.c looked */
    for (unsigned i = 0; i < table->nregions; i++) {
        const struct vhost_pci_region *from = &table->regions[i];

        new[i] = (VPRegion) {
            .gpa = from->guest_phys_addr,
            .uaddr = from->userspace_addr,
            .size = from->memory_size,
            .offset = from->mmap_offset,
            .window = used,
            .fd = fds[i],
        };
        if (!check_place(new, i, code, errp) ||
            !check_file(&new[i], sealed, code, errp)) {
            return false;
        }
        if (new[i].size > w->size - used) {
            *code = VIRTIO_VHOST_PCI_E_NO_ROOM;
            error_setg(errp, "VM A's memory does not fit into shm-size, "
                       "%" PRIu64 " bytes", w->size);
            return false;
        }
        used += new[i].size;
    }

    free_regions(w);
    memcpy(w->regions, new, sizeof(new[0]) * table->nregions);
    w->nregions = table->nregions;
    w->used = used;
    for (unsigned i = 0; i < w->nregions; i++) {
        uint64_t n = w->regions[i].size / VP_PAGE;
        VPPage *pages = g_new0(VPPage, n);

        w->regions[i].pages = pages;
        for (uint64_t j = 0; j < n; j++) {
            pages[j].writers = !w->enforcing;
            pages[j].right = VP_UNKNOWN;
        }
    }
    return true;
}

void vp_window_count(VPWindow *w, VPRegion *r, uint64_t uaddr, uint64_t size,
                     bool write)
{
    uint64_t first = (uaddr - r->uaddr) / VP_PAGE;

    for (uint64_t i = first; i < first + size / VP_PAGE; i++) {
        count(&r->pages[i], write, 1);
    }
}

bool vp_window_map(VPWindow *w)
{
    bool good = true;

    for (unsigned i = 0; i < w->nregions && good; i++) {
        good = apply(w, &w->regions[i], 0, w->regions[i].size / VP_PAGE);
    }
    if (good && w->mapped > w->used) {
        good = map_zeros(w->host + w->used, w->mapped - w->used);
    }
    w->mapped = w->used;
    if (!good) {
        revoke_all(w);
        w->lost = true;
    }
    return good;
}

bool vp_window_init(VPWindow *w, Object *owner, uint64_t size, Error **errp)
{
    void *host = mmap(NULL, size, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (host == MAP_FAILED || !map_zeros(host, size)) {
        error_setg_errno(errp, errno, "cannot reserve %" PRIu64 " bytes of "
                         "addresses for the memory window", size);
        if (host != MAP_FAILED) {
            munmap(host, size);
        }
        return false;
    }
    w->host = host;
    w->size = size;
    memory_region_init_ram_device_ptr(&w->mr, owner, "vhost-pci-window", size,
                                      host);
    /* A guest dump of B is no place for A's memory. */
    memory_region_set_nonvolatile(&w->mr, true);
    return true;
}

typedef struct VPReservation {
    struct rcu_head rcu;
    void *host;
    uint64_t size;
} VPReservation;

static void unmap_later(VPReservation *gone)
{
    munmap(gone->host, gone->size);
    g_free(gone);
}

void vp_window_release(VPWindow *w)
{
    VPReservation *gone;

    if (!w->host) {
        return;
    }
    gone = g_new0(VPReservation, 1);
    gone->host = w->host;
    gone->size = w->size;
    w->host = NULL;
    call_rcu(gone, unmap_later, rcu);
}
