/*
 * A virtio device behind an IOMMU: its IOTLB, and who invalidates it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See device-iotlb.h; docs/devel/virtio-iotlb.rst has the argument.
 */

#include "qemu/osdep.h"
#include "device-iotlb.h"
#include "exec/address-spaces.h"
#include "hw/virtio/virtio.h"
#include "hw/virtio/iommu/in-flight.h"
#include "qapi/qapi-commands-virtio-ring.h"
#include "qemu/error-report.h"
#include "qapi/error.h"
#include "qemu/rcu.h"
#include "trace.h"

/*
 * IOMMUs that call an UNMAP notifier whenever a translation ends, after their
 * own tables have changed and before the guest learns of it: those that were
 * read for it. amd-iommu accepts the notifier and never calls it.
 */
static const char *const notifying[] = {
    "intel-iommu-iommu-memory-region",
    "virtio-iommu-memory-region",
};

/**
 * IotlbRegion: an IOMMU on the way from the device to memory
 * @sections: how often it is in the address space at this @offset
 * @offset: address space less region
 * @told: @notifier is registered
 */
typedef struct IotlbRegion {
    VirtIOIotlb *iotlb;
    IOMMUMemoryRegion *mr;
    IOMMUNotifier notifier;
    hwaddr offset;
    unsigned sections;
    bool told;
    QLIST_ENTRY(IotlbRegion) next;
} IotlbRegion;

struct VirtIOIotlb {
    Iotlb *cache;
    VirtIODevice *vdev;
    AddressSpace *as;
    char *name;
    unsigned entries;
    unsigned users;
    MemoryListener listener;
    IOMMUMemoryRegion *changed; /* while the memory layout changes */
    VirtRingWindows *target;
    Notifier target_changed;
    QLIST_HEAD(, IotlbRegion) regions;
    unsigned silent;            /* atomic: regions that do not notify */
    /* Atomic counters */
    uint64_t translations;
    uint64_t faults;
    uint64_t slow;
    uint64_t refused;
    bool told;                  /* atomic: of what was refused */
    QLIST_ENTRY(VirtIOIotlb) next;
};

/* BQL */
static QLIST_HEAD(, VirtIOIotlb) all_iotlbs =
    QLIST_HEAD_INITIALIZER(all_iotlbs);

static IotlbResult answer(VirtIOIotlb *iotlb, uint64_t iova, unsigned right,
                          IotlbResult result)
{
    if (result == IOTLB_FAULT) {
        qatomic_inc(&iotlb->faults);
    } else if (result == IOTLB_SLOW) {
        qatomic_inc(&iotlb->slow);
    }
    trace_virtio_iotlb_fill(iotlb->name, iova, right, result);
    return result;
}

/*
 * Whether the answer is an address of guest memory, and @w therefore its place.
 * While the device's view changes to one without the IOMMU, it is one of the
 * view, in which memory is where it is.
 */
static bool is_behind(VirtIOIotlb *iotlb, const IOMMUTLBEntry *entry,
                      hwaddr pa, const VirtRingWindow *w)
{
    hwaddr xlat, len = 1;
    MemoryRegion *mr;

    if (entry->target_as == &address_space_memory) {
        return true;
    }
    if (entry->target_as != iotlb->as) {
        return false;
    }
    mr = address_space_translate(iotlb->as, pa, &xlat, &len, false,
                                 MEMTXATTRS_UNSPECIFIED);
    return memory_region_is_ram(mr) &&
           memory_region_get_ram_ptr(mr) + xlat == w->host + (pa - w->start);
}

/* An IotlbFillFn. */
static IotlbResult fill(void *opaque, uint64_t iova, unsigned right,
                        IotlbBlock *block)
{
    VirtIOIotlb *iotlb = opaque;
    bool write = right == IOTLB_WRITE;
    const VirtRingTable *table;
    const VirtRingWindow *w;
    IOMMUTLBEntry entry;
    hwaddr pa, before, after;
    uint64_t mask;

    RCU_READ_LOCK_GUARD();
    qatomic_inc(&iotlb->translations);
    entry = address_space_get_iotlb_entry(iotlb->as, iova, write,
                                          MEMTXATTRS_UNSPECIFIED);
    if (!(entry.perm & (write ? IOMMU_WO : IOMMU_RO))) {
        return answer(iotlb, iova, right, IOTLB_FAULT);
    }
    pa = entry.translated_addr | (iova & entry.addr_mask);
    table = vring_windows_table(iotlb->target);
    w = vring_window_find(table, pa, NULL);
    if (!w || !is_behind(iotlb, &entry, pa, w) || (write && w->readonly)) {
        return answer(iotlb, iova, right, IOTLB_SLOW);
    }
    before = MIN(pa - w->start, iova);
    after = MIN(w->size - 1 - (pa - w->start), UINT64_MAX - iova);
    mask = iotlb_block_mask(iova, entry.addr_mask, iova - before,
                            iova + after);
    if (!mask) {
        return answer(iotlb, iova, right, IOTLB_SLOW);
    }
    *block = (IotlbBlock) {
        .iova = iova & ~mask,
        .mask = mask,
        .rights = (entry.perm & IOMMU_RO ? IOTLB_READ : 0) |
                  (entry.perm & IOMMU_WO && !w->readonly ? IOTLB_WRITE : 0),
        .host = w->host + (pa - w->start) - (iova & mask),
        .region = (void *)table,
        .offset = pa - (iova & mask),
    };
    return answer(iotlb, iova, right, IOTLB_HIT);
}

/*
 * The IOMMU has taken a translation away, and tells the guest when this has
 * returned. Context: BQL held; the IOMMU's lock may be held, too.
 *
 * The order: iotlb_invalidate() counts the generation up, clears the range and
 * waits for those who translate at the moment. From then on nobody gets at the
 * range any more except by elements that are in flight, which the ledger knows:
 * it has the IOMMU's answer wait for them. To tell it before would miss those
 * that are taken in between.
 */
static void iotlb_unmapped(IOMMUNotifier *notifier, IOMMUTLBEntry *entry)
{
    IotlbRegion *region = container_of(notifier, IotlbRegion, notifier);
    hwaddr first = entry->iova + region->offset;
    hwaddr last = first + MIN(entry->addr_mask, HWADDR_MAX - first);

    trace_virtio_iotlb_unmap(region->iotlb->name, first, last);
    iotlb_invalidate(region->iotlb->cache, first, last);
    virtio_in_flight_unmap(region->iotlb->vdev, region->mr, first, last);
}

void virtio_iotlb_flush(VirtIOIotlb *iotlb, const char *why)
{
    trace_virtio_iotlb_flush(iotlb->name, why);
    iotlb_flush(iotlb->cache);
}

void virtio_iotlb_tell_again(VirtIOIotlb *iotlb)
{
    qatomic_set(&iotlb->told, false);
}

void virtio_iotlb_refused(VirtIOIotlb *iotlb, unsigned queue, hwaddr iova)
{
    qatomic_inc(&iotlb->refused);
    if (!qatomic_xchg(&iotlb->told, true)) {
        warn_report("%s: queue %u: buffer at 0x%" HWADDR_PRIx ": not mapped "
                    "for the device; the request fails, others that do are "
                    "only counted until a reset", iotlb->vdev->name, queue,
                    iova);
    }
}

static bool is_notifying(IOMMUMemoryRegion *mr)
{
    for (unsigned i = 0; i < ARRAY_SIZE(notifying); i++) {
        if (object_dynamic_cast(OBJECT(mr), notifying[i])) {
            return true;
        }
    }
    return false;
}

static IotlbRegion *find_region(VirtIOIotlb *iotlb,
                                const MemoryRegionSection *section)
{
    hwaddr offset = section->offset_within_address_space -
                    section->offset_within_region;
    IotlbRegion *region;

    QLIST_FOREACH(region, &iotlb->regions, next) {
        if (MEMORY_REGION(region->mr) == section->mr &&
            region->offset == offset) {
            return region;
        }
    }
    return NULL;
}

static void listener_add(MemoryListener *listener,
                         MemoryRegionSection *section)
{
    VirtIOIotlb *iotlb = container_of(listener, VirtIOIotlb, listener);
    IotlbRegion *region;
    Error *err = NULL;

    if (!memory_region_is_iommu(section->mr)) {
        return;
    }
    iotlb->changed = IOMMU_MEMORY_REGION(section->mr);
    region = find_region(iotlb, section);
    if (region) {
        region->sections++;
        return;
    }
    region = g_new0(IotlbRegion, 1);
    region->iotlb = iotlb;
    region->mr = IOMMU_MEMORY_REGION(section->mr);
    region->offset = section->offset_within_address_space -
                     section->offset_within_region;
    region->sections = 1;
    QLIST_INSERT_HEAD(&iotlb->regions, region, next);
    if (is_notifying(region->mr)) {
        /* All of it: what a guest invalidates is for it to choose. */
        iommu_notifier_init(&region->notifier, iotlb_unmapped,
                            IOMMU_NOTIFIER_UNMAP, 0, HWADDR_MAX,
                            memory_region_iommu_attrs_to_index(
                                region->mr, MEMTXATTRS_UNSPECIFIED));
        region->told = !memory_region_register_iommu_notifier(
            section->mr, &region->notifier, &err);
        if (!region->told) {
            warn_report_err(err);
        }
    }
    if (region->told) {
        virtio_in_flight_told(iotlb->vdev, region->mr, true);
    } else {
        qatomic_inc(&iotlb->silent);
    }
}

static void listener_del(MemoryListener *listener,
                         MemoryRegionSection *section)
{
    VirtIOIotlb *iotlb = container_of(listener, VirtIOIotlb, listener);
    IotlbRegion *region;

    if (!memory_region_is_iommu(section->mr)) {
        return;
    }
    iotlb->changed = IOMMU_MEMORY_REGION(section->mr);
    region = find_region(iotlb, section);
    if (!region || --region->sections) {
        return;
    }
    if (region->told) {
        virtio_in_flight_told(iotlb->vdev, region->mr, false);
        memory_region_unregister_iommu_notifier(section->mr,
                                                &region->notifier);
    } else {
        qatomic_dec(&iotlb->silent);
    }
    QLIST_REMOVE(region, next);
    g_free(region);
}

/* The new view can be read already: who asks now gets what is to come. */
static void listener_commit(MemoryListener *listener)
{
    VirtIOIotlb *iotlb = container_of(listener, VirtIOIotlb, listener);
    IOMMUMemoryRegion *mr = iotlb->changed;

    if (mr) {
        iotlb->changed = NULL;
        virtio_iotlb_flush(iotlb, "address space");
        virtio_in_flight_unmap(iotlb->vdev, mr, 0, HWADDR_MAX);
    }
}

/*
 * Entries name the table that they were made of. A fill that has read the old
 * table has read the generation before, so what it brings is dropped; when
 * this returns, nothing refers to the old table.
 */
static void target_changed(Notifier *notifier, void *data)
{
    virtio_iotlb_flush(container_of(notifier, VirtIOIotlb, target_changed),
                       "memory");
}

VirtIOIotlb *virtio_iotlb_new(VirtIODevice *vdev, const char *name,
                              unsigned entries)
{
    VirtIOIotlb *iotlb = g_new0(VirtIOIotlb, 1);
    AddressSpace *as = vdev->dma_as;

    iotlb->vdev = vdev;
    iotlb->as = as;
    iotlb->name = g_strdup(name);
    iotlb->entries = entries;
    iotlb->users = 1;
    iotlb->cache = iotlb_new(entries, fill, iotlb);
    iotlb->target = vring_windows_get(&address_space_memory);
    iotlb->target_changed.notify = target_changed;
    vring_windows_watch(iotlb->target, &iotlb->target_changed);
    QLIST_INIT(&iotlb->regions);
    iotlb->listener = (MemoryListener) {
        .name = "virtio-iotlb",
        .region_add = listener_add,
        .region_del = listener_del,
        .commit = listener_commit,
        .priority = MEMORY_LISTENER_PRIORITY_MIN,
    };
    QLIST_INSERT_HEAD(&all_iotlbs, iotlb, next);
    memory_listener_register(&iotlb->listener, as);
    return iotlb;
}

void virtio_iotlb_ref(VirtIOIotlb *iotlb)
{
    iotlb->users++;
}

bool virtio_iotlb_unref(VirtIOIotlb *iotlb)
{
    if (--iotlb->users) {
        return false;
    }
    memory_listener_unregister(&iotlb->listener);
    notifier_remove(&iotlb->target_changed);
    vring_windows_put(iotlb->target);
    QLIST_REMOVE(iotlb, next);
    iotlb_free(iotlb->cache);
    g_free(iotlb->name);
    g_free(iotlb);
    return true;
}

bool virtio_iotlb_usable(const VirtIOIotlb *iotlb)
{
    return !qatomic_read(&iotlb->silent);
}

Iotlb *virtio_iotlb_cache(VirtIOIotlb *iotlb)
{
    return iotlb->cache;
}

VirtRingWindows *virtio_iotlb_target(VirtIOIotlb *iotlb)
{
    return iotlb->target;
}

VirtioIotlbInfoList *qmp_x_query_virtio_iotlb(Error **errp)
{
    VirtioIotlbInfoList *list = NULL;
    VirtIOIotlb *iotlb;

    QLIST_FOREACH(iotlb, &all_iotlbs, next) {
        VirtioIotlbInfo *info = g_new0(VirtioIotlbInfo, 1);
        IotlbStats stats = iotlb_stats(iotlb->cache);

        *info = (VirtioIotlbInfo) {
            .path = g_strdup(iotlb->name),
            .entries = iotlb->entries,
            .iommus = 0,
            .usable = virtio_iotlb_usable(iotlb),
            .hits = stats.hits,
            .misses = stats.misses,
            .translations = qatomic_read(&iotlb->translations),
            .faults = qatomic_read(&iotlb->faults),
            .slow = qatomic_read(&iotlb->slow),
            .refused = qatomic_read(&iotlb->refused),
            .fills = stats.fills,
            .fills_dropped = stats.drops,
            .invalidations = stats.invalidations,
            .cleared = stats.cleared,
            .waits = stats.waits,
        };
        for (IotlbRegion *r = QLIST_FIRST(&iotlb->regions); r;
             r = QLIST_NEXT(r, next)) {
            info->iommus++;
        }
        QAPI_LIST_PREPEND(list, info);
    }
    return list;
}
