/*
 * Guest RAM as seen by the ring engine
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * See windows.h.
 *
 * A table is retired when the next one was published and a grace period has
 * passed. By then every queue that read it as the current one has either
 * taken a use of its pin or will never look at it again, so dropping the
 * table's own reference to each pin cannot race with a first use.
 */

#include "qemu/osdep.h"
#include "exec/ramblock.h"
#include "qemu/lockable.h"
#include "qemu/rcu.h"
#include "windows.h"

struct VirtRingWindows {
    MemoryListener listener;
    AddressSpace *as;
    GArray *sections;           /* of VirtRingWindow, as told so far */
    bool changed;
    unsigned translated;        /* sections behind an IOMMU */
    unsigned users;
    NotifierList watchers;
    VirtRingTable *table;       /* RCU */
    QLIST_ENTRY(VirtRingWindows) next;
};

/* BQL */
static QLIST_HEAD(, VirtRingWindows) all_windows =
    QLIST_HEAD_INITIALIZER(all_windows);
static uint64_t last_serial;

/* In an RCU callback, which holds the BQL: regions may go with it. */
static void table_free(VirtRingTable *table)
{
    for (unsigned i = 0; i < table->num; i++) {
        memory_region_unref(table->window[i].mr);
    }
    qemu_mutex_destroy(&table->lock);
    g_free(table);
}

static void table_unref(VirtRingTable *table)
{
    if (qatomic_fetch_dec(&table->refs) == 1) {
        call_rcu(table, table_free, rcu);
    }
}

void vring_pin_unref(VirtRingPin *pin)
{
    if (qatomic_fetch_dec(&pin->refs) == 1) {
        table_unref(pin->table);
        g_free(pin);
    }
}

/* In an RCU callback: nobody reads this table as the current one any more */
static void table_retire(VirtRingTable *table)
{
    VirtRingPin *pin, *next;

    QSLIST_FOREACH_SAFE(pin, &table->pins, next, next) {
        vring_pin_unref(pin);
    }
    /* The RCU head is free again by now. */
    table_unref(table);
}

VirtRingPin *vring_pin_new(VirtRingTable *table)
{
    VirtRingPin *pin = g_new0(VirtRingPin, 1);

    pin->table = table;
    pin->refs = 1;
    qatomic_inc(&table->refs);
    WITH_QEMU_LOCK_GUARD(&table->lock) {
        QSLIST_INSERT_HEAD(&table->pins, pin, next);
    }
    return pin;
}

const VirtRingWindow *vring_window_find(const VirtRingTable *table,
                                        hwaddr addr,
                                        const VirtRingWindow *hint)
{
    unsigned low = 0, high = table->num;

    if (hint && addr - hint->start < hint->size) {
        return hint;
    }
    while (low < high) {
        unsigned middle = (low + high) / 2;
        const VirtRingWindow *w = &table->window[middle];

        if (addr < w->start) {
            high = middle;
        } else if (addr - w->start < w->size) {
            return w;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

void vring_windows_watch(VirtRingWindows *windows, Notifier *notifier)
{
    notifier_list_add(&windows->watchers, notifier);
}

VirtRingTable *vring_windows_table(VirtRingWindows *windows)
{
    return qatomic_rcu_read(&windows->table);
}

static int by_address(gconstpointer a, gconstpointer b)
{
    const VirtRingWindow *x = a, *y = b;

    return x->start < y->start ? -1 : x->start > y->start;
}

static void publish(VirtRingWindows *windows)
{
    unsigned num = windows->sections->len;
    VirtRingTable *old = windows->table;
    VirtRingTable *table = g_malloc0(sizeof(*table) +
                                     num * sizeof(table->window[0]));

    table->serial = ++last_serial;
    table->translated = windows->translated;
    table->refs = 1;
    table->num = num;
    qemu_mutex_init(&table->lock);
    QSLIST_INIT(&table->pins);
    g_array_sort(windows->sections, by_address);
    for (unsigned i = 0; i < num; i++) {
        table->window[i] = g_array_index(windows->sections, VirtRingWindow,
                                         i);
        memory_region_ref(table->window[i].mr);
        table->logged |= table->window[i].mr->dirty_log_mask != 0;
    }
    qatomic_rcu_set(&windows->table, table);
    notifier_list_notify(&windows->watchers, windows);
    if (old) {
        call_rcu(old, table_retire, rcu);
    }
}

static bool as_window(const MemoryRegionSection *section, VirtRingWindow *w)
{
    if (!memory_region_supports_direct_access(section->mr)) {
        return false;
    }
    *w = (VirtRingWindow) {
        .start = section->offset_within_address_space,
        .size = int128_get64(section->size),
        .host = memory_region_get_ram_ptr(section->mr) +
                section->offset_within_region,
        .mr = section->mr,
        .readonly = section->readonly || section->mr->readonly ||
                    section->mr->rom_device,
    };
    return true;
}

static void windows_add(MemoryListener *listener, MemoryRegionSection *section)
{
    VirtRingWindows *windows = container_of(listener, VirtRingWindows,
                                            listener);
    VirtRingWindow w;

    if (memory_region_is_iommu(section->mr)) {
        windows->translated++;
        windows->changed = true;
    } else if (as_window(section, &w)) {
        g_array_append_val(windows->sections, w);
        windows->changed = true;
    }
}

static void windows_del(MemoryListener *listener, MemoryRegionSection *section)
{
    VirtRingWindows *windows = container_of(listener, VirtRingWindows,
                                            listener);

    if (memory_region_is_iommu(section->mr)) {
        windows->translated--;
        windows->changed = true;
        return;
    }
    for (unsigned i = 0; i < windows->sections->len; i++) {
        VirtRingWindow *w = &g_array_index(windows->sections, VirtRingWindow,
                                           i);

        if (w->start == section->offset_within_address_space &&
            w->mr == section->mr) {
            g_array_remove_index_fast(windows->sections, i);
            windows->changed = true;
            return;
        }
    }
}

/* Which clients log a region is part of the table */
static void windows_log(MemoryListener *listener, MemoryRegionSection *section,
                        int old, int new)
{
    container_of(listener, VirtRingWindows, listener)->changed = true;
}

static void windows_commit(MemoryListener *listener)
{
    VirtRingWindows *windows = container_of(listener, VirtRingWindows,
                                            listener);

    if (windows->changed) {
        windows->changed = false;
        publish(windows);
    }
}

VirtRingWindows *vring_windows_get(AddressSpace *as)
{
    VirtRingWindows *windows;

    QLIST_FOREACH(windows, &all_windows, next) {
        if (windows->as == as) {
            windows->users++;
            return windows;
        }
    }
    windows = g_new0(VirtRingWindows, 1);
    windows->as = as;
    windows->users = 1;
    notifier_list_init(&windows->watchers);
    windows->sections = g_array_new(false, false, sizeof(VirtRingWindow));
    windows->listener = (MemoryListener) {
        .name = "virtio-ring-windows",
        .region_add = windows_add,
        .region_del = windows_del,
        .log_start = windows_log,
        .log_stop = windows_log,
        .commit = windows_commit,
        .priority = MEMORY_LISTENER_PRIORITY_MIN,
    };
    QLIST_INSERT_HEAD(&all_windows, windows, next);
    memory_listener_register(&windows->listener, as);
    if (!windows->table) {
        publish(windows);
    }
    return windows;
}

void vring_windows_put(VirtRingWindows *windows)
{
    if (--windows->users) {
        return;
    }
    memory_listener_unregister(&windows->listener);
    QLIST_REMOVE(windows, next);
    call_rcu(windows->table, table_retire, rcu);
    g_array_free(windows->sections, true);
    g_free(windows);
}
