/*
 * vhost-pci: the vhost IOMMU's grants
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "grants.h"

static VPGrant *entry(VPGrants *g, unsigned i)
{
    return &g_array_index(g->list, VPGrant, i);
}

/* Index of the first grant that does not end before @iova */
static unsigned lookup(VPGrants *g, uint64_t iova)
{
    unsigned low = 0, high = g->list->len;

    while (low < high) {
        unsigned mid = low + (high - low) / 2;

        if (entry(g, mid)->last < iova) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static uint64_t grant_size(const VPGrant *grant)
{
    return grant->last - grant->iova + 1;
}

static bool window_grant(VPGrants *g, const VPGrant *grant, bool add)
{
    uint64_t size = grant_size(grant);
    bool good = vp_window_grant(g->window, grant->uaddr, size, grant->write,
                                add);

    if (!add) {
        g->bytes -= size;
    } else if (good) {
        g->bytes += size;
    }
    return good;
}

/*
 * Take [iova, last] out of entry @i, which overlaps it. Returns the number of
 * entries that are left of it.
 */
static unsigned cut(VPGrants *g, unsigned i, uint64_t iova, uint64_t last)
{
    VPGrant old = *entry(g, i), gone = old, right = old;
    unsigned left = 0;

    if (old.iova < iova && last < old.last && g->list->len >= g->max) {
        /* No room for two halves: to revoke too much is always safe. */
        iova = old.iova;
        last = old.last;
    }
    gone.iova = MAX(old.iova, iova);
    gone.last = MIN(old.last, last);
    gone.uaddr = old.uaddr + (gone.iova - old.iova);
    window_grant(g, &gone, false);
    g->revocations++;

    if (old.iova < iova) {
        entry(g, i)->last = iova - 1;
        left++;
    }
    if (last < old.last) {
        right.iova = last + 1;
        right.uaddr = old.uaddr + (right.iova - old.iova);
        if (left) {
            g_array_insert_val(g->list, i + 1, right);
        } else {
            *entry(g, i) = right;
        }
        left++;
    }
    if (!left) {
        g_array_remove_index(g->list, i);
    }
    return left;
}

bool vp_grants_invalidate(VPGrants *g, uint64_t iova, uint64_t size)
{
    uint64_t last = iova + size - 1;
    unsigned i, gone = 0, at;

    if (!size) {
        return true;
    }
    if (last < iova) {
        last = UINT64_MAX;
    }
    iova = QEMU_ALIGN_DOWN(iova, VP_PAGE);
    last |= VP_PAGE - 1;

    i = lookup(g, iova);
    if (i < g->list->len && entry(g, i)->iova < iova) {
        i += cut(g, i, iova, last);
    }
    /* Entries that are covered whole go together: the list moves up once. */
    for (at = i; at < g->list->len && entry(g, at)->last <= last; at++) {
        window_grant(g, entry(g, at), false);
        gone++;
    }
    if (gone) {
        g->revocations += gone;
        g_array_remove_range(g->list, i, gone);
    }
    if (i < g->list->len && entry(g, i)->iova <= last) {
        cut(g, i, iova, last);
    }
    return !g->window->lost;
}

/*
 * The time that it takes to revoke all grants grows with their sum: memory
 * may be granted under several addresses, but not without end.
 */
static bool check(VPGrants *g, const struct vhost_pci_iotlb *msg)
{
    return msg->size && msg->iova + msg->size - 1 >= msg->iova &&
           !((msg->iova | msg->uaddr | msg->size) % VP_PAGE) &&
           (msg->perm & (VHOST_PCI_IOTLB_READ | VHOST_PCI_IOTLB_WRITE)) &&
           vp_window_find(g->window, msg->uaddr, msg->size) &&
           msg->size <= VP_GRANTS_MAX(g->window) - g->bytes;
}

bool vp_grants_update(VPGrants *g, const struct vhost_pci_iotlb *msg)
{
    VPGrant new = {
        .iova = msg->iova,
        .last = msg->iova + msg->size - 1,
        .uaddr = msg->uaddr,
        /* No mapping can be written but not read. */
        .write = msg->perm & VHOST_PCI_IOTLB_WRITE,
    };
    bool good = check(g, msg);

    /*
     * Count the new one before the old one goes: a range that is granted
     * once more is visible throughout.
     */
    good = good && window_grant(g, &new, true);
    if (!vp_grants_invalidate(g, msg->iova, msg->size)) {
        return false;
    }
    if (good && g->list->len >= g->max) {
        window_grant(g, &new, false);
        good = false;
    }
    if (!good) {
        g->refusals++;
        return false;
    }
    g_array_insert_val(g->list, lookup(g, new.iova), new);
    g->updates++;
    return true;
}

void vp_grants_count(VPGrants *g)
{
    unsigned kept = 0;

    g->bytes = 0;
    for (unsigned i = 0; i < g->list->len; i++) {
        VPGrant grant = *entry(g, i);
        uint64_t size = grant_size(&grant);
        VPRegion *r = vp_window_find(g->window, grant.uaddr, size);

        /* A table without the memory it leads to ends a grant. */
        if (r) {
            vp_window_count(g->window, r, grant.uaddr, size, grant.write);
            g->bytes += size;
            *entry(g, kept++) = grant;
        }
    }
    g_array_set_size(g->list, kept);
}

void vp_grants_forget(VPGrants *g)
{
    g_array_set_size(g->list, 0);
    g->bytes = 0;
}

bool vp_grants_revoke(VPGrants *g)
{
    g->revocations += g->list->len;
    vp_grants_forget(g);
    return vp_window_revoke(g->window);
}

void vp_grants_init(VPGrants *g, VPWindow *window, unsigned max)
{
    *g = (VPGrants) {
        .window = window,
        .list = g_array_new(false, false, sizeof(VPGrant)),
        .max = max,
    };
}

void vp_grants_cleanup(VPGrants *g)
{
    g_array_free(g->list, true);
    g->list = NULL;
}
