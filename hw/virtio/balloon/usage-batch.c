/*
 * virtio-balloon page usage hints: check ranges, find out what to do
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "exec/address-spaces.h"
#include "exec/ramblock.h"
#include "hw/boards.h"
#include "migration/colo.h"
#include "migration/misc.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "usage-internal.h"
#include "trace.h"

/* Most bytes made huge by one request: the host copies all of them */
#define COLLAPSE_MAX (64 * MiB)

/*
 * After so many failures discarding is not tried again: the host will not
 * have it, and each failure is a line in the log that the guest can cause.
 */
#define DISCARD_FAILURES_MAX 16

BalloonUsageBatch *balloon_usage_batch_new(unsigned max_ranges)
{
    BalloonUsageBatch *b = g_new0(BalloonUsageBatch, 1);

    b->ranges = g_new(struct virtio_balloon_usage_range, max_ranges);
    b->reasons = g_new(uint8_t, max_ranges);
    b->spans = g_new(BalloonSpan, 2 * max_ranges);
    b->claims = g_new(BalloonSpan, max_ranges);
    return b;
}

void balloon_usage_batch_free(BalloonUsageBatch *b)
{
    g_free(b->ranges);
    g_free(b->reasons);
    g_free(b->spans);
    g_free(b->claims);
    g_free(b);
}

bool balloon_usage_acts(const VirtIOBalloon *s, unsigned state)
{
    /* The host may not touch the memory of a confidential guest. */
    if (MACHINE(qdev_get_machine())->cgs) {
        return false;
    }
    switch (state) {
    case VIRTIO_BALLOON_USAGE_FREE:
        return s->usage.free_policy != BALLOON_FREE_OFF;
    case VIRTIO_BALLOON_USAGE_COLD:
        return s->usage.cold_policy != BALLOON_COLD_OFF;
    case VIRTIO_BALLOON_USAGE_HOT:
        return s->usage.hot_policy != BALLOON_HOT_OFF;
    default:
        return false;
    }
}

bool balloon_usage_may_discard(const VirtIOBalloon *s)
{
    const BalloonUsageCounters *c =
        &s->usage.states[VIRTIO_BALLOON_USAGE_FREE];

    return !ram_block_discard_is_disabled() && !s->poison_val &&
           c->failures < DISCARD_FAILURES_MAX;
}

/* Times when pages come and go by other hands: only STABLE does no harm. */
static bool usage_suspended(void)
{
    return migration_in_incoming_postcopy() || migration_in_bg_snapshot() ||
           migration_in_colo_state() || migration_incoming_in_colo_state();
}

/* Is all of @section ordinary memory that the guest may write to? */
static bool usage_is_ram(MemoryRegionSection *section)
{
    MemoryRegion *mr = section->mr;
    RamDiscardManager *rdm;

    if (!memory_region_is_ram(mr) || section->readonly || mr->readonly ||
        memory_region_is_romd(mr) || memory_region_is_ram_device(mr) ||
        section->nonvolatile || memory_region_is_protected(mr) ||
        (mr->ram_block->flags & RAM_PMEM)) {
        return false;
    }
    /* Memory of a device, a frame buffer for instance */
    if (object_dynamic_cast(memory_region_owner(mr), TYPE_DEVICE)) {
        return false;
    }
    rdm = memory_region_get_ram_discard_manager(mr);
    return !rdm || ram_discard_manager_is_populated(rdm, section);
}

static uint8_t usage_check_memory(const VirtIOBalloon *s, hwaddr gpa,
                                  uint64_t size, unsigned state)
{
    MemoryRegionSection section = memory_region_find(get_system_memory(), gpa,
                                                     size);
    uint8_t reason = VIRTIO_BALLOON_USAGE_R_NONE;
    RAMBlock *rb;

    if (!section.mr) {
        return VIRTIO_BALLOON_USAGE_R_NOT_RAM;
    }
    rb = section.mr->ram_block;
    if (section.offset_within_address_space != gpa ||
        int128_get64(section.size) != size || !usage_is_ram(&section)) {
        reason = VIRTIO_BALLOON_USAGE_R_NOT_RAM;
    } else if (state == VIRTIO_BALLOON_USAGE_FREE &&
               ((rb->flags & RAM_READONLY_FD) ||
                (!s->usage.shared &&
                 (rb->fd >= 0 || qemu_ram_is_shared(rb))))) {
        /* Discarding punches a hole into the file. */
        reason = VIRTIO_BALLOON_USAGE_R_SHARED;
    }
    memory_region_unref(section.mr);
    return reason;
}

/*
 * A bucket that holds what is allowed in a second. A range may overdraw it,
 * or a large one would never be let through; then nothing is, until the debt
 * is paid.
 */
static bool usage_spend(VirtIOBalloonUsage *u, uint64_t bytes)
{
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    int64_t per_ms = u->rate / 1000;
    int64_t ms;

    if (!u->rate) {
        return true;
    }
    /* Loading a snapshot can turn the clock back. */
    u->budget_ns = MIN(u->budget_ns, now);
    ms = (now - u->budget_ns) / SCALE_MS;
    u->budget_ns += ms * SCALE_MS;
    if (ms >= ((int64_t)u->rate - u->budget) / per_ms) {
        u->budget = u->rate;
    } else {
        u->budget += per_ms * ms;
    }
    if (u->budget <= 0) {
        return false;
    }
    u->budget -= bytes;
    return true;
}

static uint8_t usage_check_range(VirtIOBalloon *s, BalloonUsageBatch *b,
                                 const struct virtio_balloon_usage_range *r)
{
    uint64_t size = (uint64_t)r->pages << VIRTIO_BALLOON_USAGE_SHIFT;
    uint8_t reason;

    if (!r->pages || r->gpa % VIRTIO_BALLOON_USAGE_PAGE ||
        r->gpa + size < r->gpa) {
        return VIRTIO_BALLOON_USAGE_R_RANGE;
    }
    if (r->state != VIRTIO_BALLOON_USAGE_STABLE &&
        r->state != VIRTIO_BALLOON_USAGE_FREE &&
        r->state != VIRTIO_BALLOON_USAGE_COLD &&
        r->state != VIRTIO_BALLOON_USAGE_HOT) {
        return VIRTIO_BALLOON_USAGE_R_STATE;
    }
    reason = usage_check_memory(s, r->gpa, size, r->state);
    if (reason || r->state == VIRTIO_BALLOON_USAGE_STABLE) {
        return reason;
    }
    if (usage_suspended()) {
        return VIRTIO_BALLOON_USAGE_R_INHIBITED;
    }
    if (r->state == VIRTIO_BALLOON_USAGE_FREE) {
        if (!b->held) {
            return VIRTIO_BALLOON_USAGE_R_NOT_HELD;
        }
        if (!balloon_usage_may_discard(s)) {
            return VIRTIO_BALLOON_USAGE_R_INHIBITED;
        }
    }
    if (!balloon_usage_acts(s, r->state)) {
        return VIRTIO_BALLOON_USAGE_R_NONE;
    }
    if (r->state == VIRTIO_BALLOON_USAGE_HOT &&
        s->usage.hot_policy == BALLOON_HOT_COLLAPSE) {
        if (size > COLLAPSE_MAX - b->collapse) {
            return VIRTIO_BALLOON_USAGE_R_BUSY;
        }
        b->collapse += size;
    }
    return usage_spend(&s->usage, size) ? VIRTIO_BALLOON_USAGE_R_NONE :
                                          VIRTIO_BALLOON_USAGE_R_BUSY;
}

void balloon_usage_check_ranges(VirtIOBalloon *s, BalloonUsageBatch *b)
{
    b->collapse = 0;
    for (unsigned i = 0; i < b->count; i++) {
        const struct virtio_balloon_usage_range *r = &b->ranges[i];

        b->reasons[i] = usage_check_range(s, b, r);
        if (b->reasons[i]) {
            trace_balloon_usage_reject(i, r->gpa, r->pages, r->state,
                                       b->reasons[i]);
            s->usage.rejects[b->reasons[i]]++;
        }
    }
}

static BalloonSpan usage_span(const struct virtio_balloon_usage_range *r)
{
    return (BalloonSpan) {
        .start = r->gpa,
        .end = r->gpa + ((uint64_t)r->pages << VIRTIO_BALLOON_USAGE_SHIFT),
        .state = r->state,
    };
}

/*
 * Claim @span, after taking down in @b->spans those parts of it that nobody
 * has claimed yet, if it asks for anything. @b->claims is sorted, its @n
 * elements neither overlap nor touch. Returns their new number.
 */
static unsigned usage_claim(BalloonUsageBatch *b, unsigned n, BalloonSpan span)
{
    BalloonSpan *claims = b->claims;
    hwaddr at = span.start;
    unsigned first = 0, last;

    while (first < n && claims[first].end < span.start) {
        first++;
    }
    for (last = first; last < n && claims[last].start <= span.end; last++) {
        if (span.state != VIRTIO_BALLOON_USAGE_STABLE &&
            at < claims[last].start) {
            b->spans[b->span_count++] = (BalloonSpan) {
                .start = at, .end = claims[last].start, .state = span.state,
            };
        }
        at = claims[last].end;
    }
    if (span.state != VIRTIO_BALLOON_USAGE_STABLE && at < span.end) {
        b->spans[b->span_count++] = (BalloonSpan) {
            .start = at, .end = span.end, .state = span.state,
        };
    }

    if (last > first) {
        span.start = MIN(span.start, claims[first].start);
        span.end = MAX(span.end, claims[last - 1].end);
    }
    memmove(&claims[first + 1], &claims[last], (n - last) * sizeof(*claims));
    claims[first] = span;
    return n + 1 - (last - first);
}

static int usage_compare(const void *a, const void *b)
{
    const BalloonSpan *x = a, *y = b;

    return x->start < y->start ? -1 : x->start > y->start;
}

void balloon_usage_resolve(BalloonUsageBatch *b)
{
    unsigned claims = 0, n = 0;

    b->span_count = 0;
    for (unsigned i = 0; i < b->count; i++) {
        if (b->ranges[i].state == VIRTIO_BALLOON_USAGE_STABLE &&
            !b->reasons[i]) {
            claims = usage_claim(b, claims, usage_span(&b->ranges[i]));
        }
    }
    for (unsigned i = b->count; i-- > 0;) {
        if (b->ranges[i].state != VIRTIO_BALLOON_USAGE_STABLE &&
            !b->reasons[i]) {
            claims = usage_claim(b, claims, usage_span(&b->ranges[i]));
        }
    }

    qsort(b->spans, b->span_count, sizeof(*b->spans), usage_compare);
    for (unsigned i = 0; i < b->span_count; i++) {
        if (n && b->spans[n - 1].end == b->spans[i].start &&
            b->spans[n - 1].state == b->spans[i].state) {
            b->spans[n - 1].end = b->spans[i].end;
        } else {
            b->spans[n++] = b->spans[i];
        }
    }
    b->span_count = n;
}
