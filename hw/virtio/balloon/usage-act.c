/*
 * virtio-balloon page usage hints: tell the host
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "exec/address-spaces.h"
#include "exec/ramblock.h"
#include "qemu/madvise.h"
#include "usage-internal.h"
#include "trace.h"

#ifndef MADV_COLD
#define MADV_COLD QEMU_MADV_INVALID
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT QEMU_MADV_INVALID
#endif
#ifndef MADV_COLLAPSE
#ifdef CONFIG_LINUX
/* Linux 6.1; older C libraries do not name it */
#define MADV_COLLAPSE 25
#else
#define MADV_COLLAPSE QEMU_MADV_INVALID
#endif
#endif

static int usage_advice(const VirtIOBalloonUsage *u, unsigned state)
{
    if (state == VIRTIO_BALLOON_USAGE_COLD) {
        return u->cold_policy == BALLOON_COLD_PAGEOUT ? MADV_PAGEOUT :
                                                        MADV_COLD;
    }
    return u->hot_policy == BALLOON_HOT_COLLAPSE ? MADV_COLLAPSE :
                                                   QEMU_MADV_WILLNEED;
}

/* Bytes [offset, offset + size) of @rb; returns how many were acted on */
static uint64_t usage_act_block(VirtIOBalloonUsage *u, RAMBlock *rb,
                                uint64_t offset, uint64_t size, unsigned state)
{
    BalloonUsageCounters *c = &u->states[state];
    uint64_t page = MAX(rb->page_size, qemu_real_host_page_size());
    uint64_t start = ROUND_UP(offset, page);
    uint64_t end = ROUND_DOWN(MIN(offset + size, rb->used_length), page);
    int ret;

    if (start >= end) {
        return 0;
    }
    if (state == VIRTIO_BALLOON_USAGE_FREE) {
        ret = ram_block_discard_range(rb, start, end - start);
    } else {
        ret = qemu_madvise(rb->host + start, end - start,
                           usage_advice(u, state));
    }
    trace_balloon_usage_act(rb->idstr, start, end - start, state, ret);
    c->calls++;
    if (ret) {
        c->failures++;
        return 0;
    }
    c->acted += end - start;
    return end - start;
}

uint64_t balloon_usage_act(VirtIOBalloon *s, const BalloonUsageBatch *b)
{
    uint64_t acted = 0;

    for (unsigned i = 0; i < b->span_count; i++) {
        const BalloonSpan *span = &b->spans[i];
        hwaddr at = span->start;

        if (!balloon_usage_acts(s, span->state)) {
            continue;
        }
        /* Neighbours that became one span may lie in different blocks. */
        while (at < span->end) {
            MemoryRegionSection section =
                memory_region_find(get_system_memory(), at, span->end - at);
            uint64_t size;

            if (!section.mr) {
                break;
            }
            size = int128_get64(section.size);
            acted += usage_act_block(&s->usage, section.mr->ram_block,
                                     section.offset_within_region, size,
                                     span->state);
            memory_region_unref(section.mr);
            at += size;
        }
    }
    return acted;
}
