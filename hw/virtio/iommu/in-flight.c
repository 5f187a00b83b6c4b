/*
 * What a virtio device behind an IOMMU has in flight
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qapi/error.h"
#include "qapi/util.h"
#include "qapi/visitor.h"
#include "exec/memory.h"
#include "exec/address-spaces.h"
#include "hw/virtio/virtio.h"
#include "hw/virtio/virtio-enum-prop.h"
#include "hw/virtio/ring/device-iotlb.h"
#include "in-flight.h"
#include "standard-headers/linux/virtio_ids.h"
#include "trace.h"

/*
 * So many pages of what is in flight are looked up for one invalidation; what
 * is beyond is waited for. A guest chooses how much is in flight.
 */
#define WALK_PAGES_MAX 4096u
#define WALK_PAGE      4096u

/**
 * VirtIOIommuNotifier: an IOMMU region through which the device reaches memory
 * @others: notifiers that tell the ledger, so that @n need not
 * @on: @n is registered
 */
typedef struct VirtIOIommuNotifier {
    IOMMUNotifier n;
    VirtIODevice *vdev;
    IOMMUMemoryRegion *mr;
    unsigned others;
    bool on;
    QLIST_ENTRY(VirtIOIommuNotifier) next;
} VirtIOIommuNotifier;

typedef struct Walk {
    IommuDrain *drain;
    IOMMUMemoryRegion *mr;
    unsigned left;              /* pages */
} Walk;

static const char *const names[] = {
    [VIRTIO_IOMMU_DRAIN_WAIT] = "wait",
    [VIRTIO_IOMMU_DRAIN_OFF] = "off",
};

static const QEnumLookup lookup = {
    .array = names,
    .size = ARRAY_SIZE(names),
};

const PropertyInfo qdev_prop_virtio_iommu_drain = VIRTIO_ENUM_PROP(
    "VirtIOIommuDrain", &lookup,
    "wait (an unmap ends after the requests that use the memory) or off "
    "(upstream's way)");

static bool page_stands(Walk *walk, hwaddr iova, const void *host, bool write)
{
    hwaddr xlat, len = 1;
    uint64_t gpa;
    MemoryRegion *mr;

    if (!walk->drain->ops->walk(walk->mr, iova, write, &gpa)) {
        return false;
    }
    RCU_READ_LOCK_GUARD();
    mr = address_space_translate(&address_space_memory, gpa, &xlat, &len,
                                 write, MEMTXATTRS_UNSPECIFIED);
    return memory_region_is_ram(mr) &&
           memory_region_get_ram_ptr(mr) + xlat == host;
}

static bool range_stands(void *opaque, const IommuLedgerRange *range)
{
    hwaddr iova = range->first;
    Walk *walk = opaque;

    while (walk->left) {
        walk->left--;
        if (!page_stands(walk, iova, range->host + (iova - range->first),
                         range->write)) {
            return false;
        }
        if ((iova | (WALK_PAGE - 1)) >= range->last) {
            return true;
        }
        iova = (iova | (WALK_PAGE - 1)) + 1;
    }
    return false;
}

void virtio_in_flight_unmap(VirtIODevice *vdev, IOMMUMemoryRegion *mr,
                            hwaddr first, hwaddr last)
{
    Walk walk = {
        .drain = iommu_drain_current(),
        .mr = mr,
        .left = WALK_PAGES_MAX,
    };
    unsigned held;

    if (!vdev->in_flight || !walk.drain) {
        return;
    }
    held = iommu_ledger_unmap(vdev->in_flight->ledger, first, last,
                              walk.drain->ops->walk ? range_stands : NULL,
                              &walk);
    if (held) {
        trace_virtio_in_flight_unmap(vdev->name, first, last, held);
    }
}

static void notified(IOMMUNotifier *n, IOMMUTLBEntry *entry)
{
    VirtIOIommuNotifier *notifier = container_of(n, VirtIOIommuNotifier, n);

    virtio_in_flight_unmap(notifier->vdev, notifier->mr, entry->iova,
                           entry->iova + entry->addr_mask);
}

static VirtIOIommuNotifier *notifier_find(VirtIOInFlight *in_flight,
                                          const IOMMUMemoryRegion *mr)
{
    VirtIOIommuNotifier *notifier;

    QLIST_FOREACH(notifier, &in_flight->notifiers, next) {
        if (notifier->mr == mr) {
            return notifier;
        }
    }
    return NULL;
}

static void notifier_update(VirtIOIommuNotifier *notifier)
{
    MemoryRegion *mr = MEMORY_REGION(notifier->mr);
    Error *err = NULL;

    if (notifier->on && notifier->others) {
        notifier->on = false;
        memory_region_unregister_iommu_notifier(mr, &notifier->n);
    } else if (!notifier->on && !notifier->others) {
        notifier->on = !memory_region_register_iommu_notifier(
            mr, &notifier->n, &err);
        if (err) {
            warn_reportf_err(err, "%s: unmaps do not wait for requests in "
                             "flight: ", notifier->vdev->name);
        }
    }
}

static void notifier_free(VirtIOIommuNotifier *notifier)
{
    MemoryRegion *mr = MEMORY_REGION(notifier->mr);

    if (notifier->on) {
        memory_region_unregister_iommu_notifier(mr, &notifier->n);
    }
    QLIST_REMOVE(notifier, next);
    memory_region_unref(mr);
    g_free(notifier);
}

void virtio_in_flight_told(VirtIODevice *vdev, IOMMUMemoryRegion *mr,
                           bool told)
{
    VirtIOIommuNotifier *notifier =
        vdev->in_flight ? notifier_find(vdev->in_flight, mr) : NULL;

    if (notifier) {
        if (told) {
            notifier->others++;
        } else if (notifier->others) {
            notifier->others--;
        }
        notifier_update(notifier);
    }
}

static void region_add(MemoryListener *listener, MemoryRegionSection *section)
{
    VirtIODevice *vdev = container_of(listener, VirtIODevice, listener);
    IOMMUMemoryRegion *mr = memory_region_get_iommu(section->mr);
    VirtIOIommuNotifier *notifier;

    if (!mr) {
        return;
    }
    qatomic_set(&vdev->in_flight->behind, true);
    vdev->in_flight->changed = mr;
    if (notifier_find(vdev->in_flight, mr)) {
        return;
    }
    notifier = g_new(VirtIOIommuNotifier, 1);
    *notifier = (VirtIOIommuNotifier) {
        .vdev = vdev,
        .mr = mr,
    };
    memory_region_ref(section->mr);
    iommu_notifier_init(&notifier->n, notified, IOMMU_NOTIFIER_UNMAP, 0,
                        HWADDR_MAX, 0);
    QLIST_INSERT_HEAD(&vdev->in_flight->notifiers, notifier, next);
    notifier_update(notifier);
}

static void region_del(MemoryListener *listener, MemoryRegionSection *section)
{
    VirtIODevice *vdev = container_of(listener, VirtIODevice, listener);
    IOMMUMemoryRegion *mr = memory_region_get_iommu(section->mr);

    /*
     * The notifier stays: requests that were taken before the driver cleared
     * the bus master bit, which a process may do, are in flight still.
     */
    if (mr) {
        vdev->in_flight->changed = mr;
    }
}

/*
 * The device's view changed between memory as it is and as the IOMMU gives it:
 * what is in flight was found in the other one. Not before the new view is in
 * force, which it is now.
 */
static void commit(MemoryListener *listener)
{
    VirtIODevice *vdev = container_of(listener, VirtIODevice, listener);
    IOMMUMemoryRegion *mr = vdev->in_flight->changed;

    if (mr) {
        vdev->in_flight->changed = NULL;
        if (!vdev->iotlb) {
            /* Else not before that has forgotten the old view: it calls this */
            virtio_in_flight_unmap(vdev, mr, 0, HWADDR_MAX);
        }
    }
    vdev->in_flight->commit(listener);
}

/* An ObjectPropertyAccessor; @opaque: where it is in IommuLedgerCounters */
static void get_counter(Object *obj, Visitor *v, const char *name,
                        void *opaque, Error **errp)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(obj);
    IommuLedgerCounters counters =
        iommu_ledger_counters(vdev->in_flight->ledger);

    visit_type_uint64(v, name,
                      (uint64_t *)((char *)&counters + (uintptr_t)opaque),
                      errp);
}

void virtio_in_flight_start(VirtIODevice *vdev)
{
    if (vdev->iommu_drain == VIRTIO_IOMMU_DRAIN_OFF ||
        vdev->dma_as == &address_space_memory) {
        return;
    }
    vdev->in_flight = g_new(VirtIOInFlight, 1);
    *vdev->in_flight = (VirtIOInFlight) {
        .ledger = iommu_ledger_new(),
        .commit = vdev->listener.commit,
    };
    vdev->listener.region_add = region_add;
    vdev->listener.region_del = region_del;
    vdev->listener.commit = commit;
    object_property_add(OBJECT(vdev), "x-iommu-in-flight", "uint64",
                        get_counter, NULL, NULL,
                        (void *)offsetof(IommuLedgerCounters, in_flight));
    object_property_add(OBJECT(vdev), "x-iommu-held", "uint64",
                        get_counter, NULL, NULL,
                        (void *)offsetof(IommuLedgerCounters, held));
}

void virtio_in_flight_stop(VirtIODevice *vdev)
{
    VirtIOInFlight *in_flight = vdev->in_flight;
    VirtIOIommuNotifier *notifier, *after;

    if (in_flight) {
        object_property_del(OBJECT(vdev), "x-iommu-in-flight");
        object_property_del(OBJECT(vdev), "x-iommu-held");
        vdev->in_flight = NULL;
        vdev->listener.region_add = NULL;
        vdev->listener.region_del = NULL;
        QLIST_FOREACH_SAFE(notifier, &in_flight->notifiers, next, after) {
            notifier_free(notifier);
        }
        iommu_ledger_free(in_flight->ledger);
        g_free(in_flight);
    }
}

void virtio_in_flight_forget(VirtIODevice *vdev)
{
    if (vdev->iotlb) {
        virtio_iotlb_tell_again(vdev->iotlb);
    }
    /* virtio-pmem's flushes go on, and give their elements back in the end. */
    if (vdev->in_flight && vdev->device_id != VIRTIO_ID_PMEM) {
        uint64_t num = iommu_ledger_forget(vdev->in_flight->ledger);

        if (num) {
            trace_virtio_in_flight_forget(vdev->name, num);
        }
    }
}

static void note(IommuLedgerRange *to, const hwaddr *addr,
                 const struct iovec *sg, unsigned num, bool write)
{
    for (unsigned i = 0; i < num; i++) {
        to[i] = (IommuLedgerRange) {
            .first = addr[i],
            .last = addr[i] + sg[i].iov_len - 1,
            .host = sg[i].iov_base,
            .write = write,
        };
    }
}

void virtio_in_flight_pop(VirtIODevice *vdev, IommuLedgerSection *section,
                          VirtQueueElement *elem)
{
    IommuLedger *ledger = vdev->in_flight->ledger;
    g_autofree IommuLedgerRange *many = NULL;
    IommuLedgerRange few[16], *ranges = few;
    unsigned num;

    if (!elem) {
        iommu_ledger_end(ledger, section, NULL, 0);
        return;
    }
    num = elem->out_num + elem->in_num;
    if (num > ARRAY_SIZE(few)) {
        ranges = many = g_new(IommuLedgerRange, num);
    }
    note(ranges, elem->out_addr, elem->out_sg, elem->out_num, false);
    note(ranges + elem->out_num, elem->in_addr, elem->in_sg, elem->in_num,
         true);
    elem->ledger_id = iommu_ledger_end(ledger, section, ranges, num);
}

void virtio_in_flight_note(VirtIODevice *vdev, VirtQueueElement *elem)
{
    IommuLedgerSection section;

    if (vdev->in_flight) {
        iommu_ledger_begin(vdev->in_flight->ledger, &section);
        virtio_in_flight_pop(vdev, &section, elem);
    }
}
