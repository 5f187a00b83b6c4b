/*
 * Which I/O virtual addresses a device has in flight
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/interval-tree.h"
#include "qemu/lockable.h"
#include "qemu/thread.h"
#include "ledger.h"

typedef struct LedgerEntry LedgerEntry;

typedef struct LedgerNode {
    IntervalTreeNode it;
    LedgerEntry *entry;
    const void *host;
    bool write;
} LedgerNode;

/**
 * LedgerEntry: a request in flight
 * @ticket: hold for unmaps that touched it, or %NULL. One is enough: a device
 *          is behind one IOMMU, which answers one thing at a time
 */
struct LedgerEntry {
    uint64_t id;
    IommuDrainTicket *ticket;
    unsigned num;
    LedgerNode nodes[];
};

/* What an unmap has found, to be looked at without the lock */
typedef struct LedgerFound {
    uint64_t id;
    IommuLedgerRange range;
} LedgerFound;

struct IommuLedger {
    IommuLanes *lanes;
    QemuMutex lock;
    IntervalTreeRoot tree;
    GHashTable *entries;        /* by id */
    QLIST_HEAD(, IommuLedgerSection) sections;
    uint64_t last_id;
    IommuLedgerCounters counters;
};

IommuLedger *iommu_ledger_new(void)
{
    IommuLedger *ledger = g_new0(IommuLedger, 1);

    qemu_mutex_init(&ledger->lock);
    ledger->entries = g_hash_table_new(g_int64_hash, g_int64_equal);
    ledger->lanes = iommu_lanes_new();
    return ledger;
}

void iommu_ledger_free(IommuLedger *ledger)
{
    iommu_ledger_forget(ledger);
    iommu_lanes_free(ledger->lanes);
    g_hash_table_destroy(ledger->entries);
    qemu_mutex_destroy(&ledger->lock);
    g_free(ledger);
}

IommuLedgerCounters iommu_ledger_counters(IommuLedger *ledger)
{
    IommuLedgerCounters counters;

    WITH_QEMU_LOCK_GUARD(&ledger->lock) {
        counters = ledger->counters;
    }
    counters.in_flight += iommu_lanes_count(ledger->lanes);
    return counters;
}

IommuLanes *iommu_ledger_lanes(IommuLedger *ledger)
{
    return ledger->lanes;
}

static void release(IommuDrainTicket *ticket)
{
    if (ticket) {
        iommu_drain_release(ticket);
    }
}

void iommu_ledger_begin(IommuLedger *ledger, IommuLedgerSection *section)
{
    *section = (IommuLedgerSection) { .first = UINT64_MAX };
    QEMU_LOCK_GUARD(&ledger->lock);
    QLIST_INSERT_HEAD(&ledger->sections, section, next);
}

static LedgerEntry *entry_new(const IommuLedgerRange *ranges, unsigned num)
{
    LedgerEntry *entry = g_malloc(sizeof(*entry) +
                                  num * sizeof(entry->nodes[0]));
    LedgerNode *node = NULL;

    entry->num = 0;
    for (unsigned i = 0; i < num; i++) {
        const IommuLedgerRange *r = &ranges[i];

        if (node && node->it.last + 1 == r->first && r->first &&
            node->write == r->write &&
            node->host + (r->first - node->it.start) == r->host) {
            node->it.last = r->last;
            continue;
        }
        node = &entry->nodes[entry->num++];
        *node = (LedgerNode) {
            .it.start = r->first,
            .it.last = r->last,
            .entry = entry,
            .host = r->host,
            .write = r->write,
        };
    }
    return entry;
}

static bool entry_touches(const LedgerEntry *entry, uint64_t first,
                          uint64_t last)
{
    for (unsigned i = 0; i < entry->num; i++) {
        if (entry->nodes[i].it.start <= last &&
            entry->nodes[i].it.last >= first) {
            return true;
        }
    }
    return false;
}

uint64_t iommu_ledger_end(IommuLedger *ledger, IommuLedgerSection *section,
                          const IommuLedgerRange *ranges, unsigned num)
{
    LedgerEntry *entry = num ? entry_new(ranges, num) : NULL;
    IommuDrainTicket *ticket;
    uint64_t id = 0;

    WITH_QEMU_LOCK_GUARD(&ledger->lock) {
        QLIST_REMOVE(section, next);
        ticket = section->ticket;
        if (entry) {
            id = entry->id = ++ledger->last_id;
            entry->ticket = NULL;
            if (ticket && entry_touches(entry, section->first,
                                        section->last)) {
                entry->ticket = ticket;
                ticket = NULL;
            }
            for (unsigned i = 0; i < entry->num; i++) {
                interval_tree_insert(&entry->nodes[i].it, &ledger->tree);
            }
            g_hash_table_insert(ledger->entries, &entry->id, entry);
            ledger->counters.in_flight++;
        }
    }
    release(ticket);
    return id;
}

/* Context: the lock is held, or nobody else knows the ledger */
static void entry_remove(IommuLedger *ledger, LedgerEntry *entry)
{
    for (unsigned i = 0; i < entry->num; i++) {
        interval_tree_remove(&entry->nodes[i].it, &ledger->tree);
    }
    ledger->counters.in_flight--;
}

void iommu_ledger_done(IommuLedger *ledger, uint64_t id)
{
    LedgerEntry *entry;

    if (likely(iommu_lanes_has(id))) {
        release(iommu_lanes_done(ledger->lanes, id));
        return;
    }
    WITH_QEMU_LOCK_GUARD(&ledger->lock) {
        entry = g_hash_table_lookup(ledger->entries, &id);
        if (entry) {
            g_hash_table_remove(ledger->entries, &id);
            entry_remove(ledger, entry);
        }
    }
    if (entry) {
        release(entry->ticket);
        g_free(entry);
    }
}

uint64_t iommu_ledger_forget(IommuLedger *ledger)
{
    g_autoptr(GPtrArray) gone = g_ptr_array_new();
    GHashTableIter iter;
    LedgerEntry *entry;

    WITH_QEMU_LOCK_GUARD(&ledger->lock) {
        g_hash_table_iter_init(&iter, ledger->entries);
        while (g_hash_table_iter_next(&iter, NULL, (void **)&entry)) {
            g_hash_table_iter_remove(&iter);
            entry_remove(ledger, entry);
            g_ptr_array_add(gone, entry);
        }
    }
    for (unsigned i = 0; i < gone->len; i++) {
        entry = gone->pdata[i];
        release(entry->ticket);
        g_free(entry);
    }
    return gone->len + iommu_lanes_forget(ledger->lanes, release);
}

/* Have @holder keep @ticket, which counts as one hold however often */
static bool hold(IommuDrainTicket **holder)
{
    IommuDrainTicket *ticket = iommu_drain_hold();

    if (!ticket || ticket == *holder) {
        release(ticket);
        return false;
    }
    /* One of before the IOMMU's reset, for which nobody waits */
    release(*holder);
    *holder = ticket;
    return true;
}

static unsigned hold_sections(IommuLedger *ledger, uint64_t first,
                              uint64_t last)
{
    IommuLedgerSection *section;
    unsigned held = 0;

    QLIST_FOREACH(section, &ledger->sections, next) {
        held += hold(&section->ticket);
        section->first = MIN(section->first, first);
        section->last = MAX(section->last, last);
    }
    return held;
}

/* An IommuLanesFound */
static void found_in_lane(void *opaque, uint64_t id,
                          const IommuLedgerRange *range)
{
    LedgerFound at = { id, *range };
    GArray **found = opaque;

    if (!*found) {
        *found = g_array_new(false, false, sizeof(at));
    }
    g_array_append_val(*found, at);
}

static void found_in_tree(GArray **found, const LedgerNode *node,
                          uint64_t first, uint64_t last)
{
    uint64_t from = MAX(first, node->it.start);
    IommuLedgerRange range = {
        from, MIN(last, node->it.last), node->host + (from - node->it.start),
        node->write,
    };

    found_in_lane(found, node->entry->id, &range);
}

/* Returns whether there is a hold more than before */
static bool hold_found(IommuLedger *ledger, uint64_t id)
{
    IommuDrainTicket *ticket, *back;
    LedgerEntry *entry;

    if (!iommu_lanes_has(id)) {
        QEMU_LOCK_GUARD(&ledger->lock);
        entry = g_hash_table_lookup(ledger->entries, &id);
        return entry && hold(&entry->ticket);
    }
    ticket = iommu_drain_hold();
    if (!ticket) {
        return false;
    }
    back = iommu_lanes_hold(ledger->lanes, id, ticket);
    release(back);
    return back != ticket;
}

unsigned iommu_ledger_unmap(IommuLedger *ledger, uint64_t first, uint64_t last,
                            IommuLedgerStands *stands, void *opaque)
{
    g_autoptr(GArray) found = NULL;
    IntervalTreeNode *it;
    unsigned held;

    WITH_QEMU_LOCK_GUARD(&ledger->lock) {
        held = hold_sections(ledger, first, last);
        for (it = interval_tree_iter_first(&ledger->tree, first, last); it;
             it = interval_tree_iter_next(it, first, last)) {
            found_in_tree(&found, container_of(it, LedgerNode, it), first,
                          last);
        }
    }
    iommu_lanes_find(ledger->lanes, first, last, found_in_lane, &found);

    for (unsigned i = 0; found && i < found->len; i++) {
        const LedgerFound *at = &g_array_index(found, LedgerFound, i);

        if (!stands || !stands(opaque, &at->range)) {
            held += hold_found(ledger, at->id);
        }
    }
    ledger->counters.held += held != 0;
    return held;
}
