/*
 * virtio-balloon page usage hints: what the parts share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A request goes through three steps:
 *
 *   usage.c         takes it off the queue, copies it and answers it
 *   usage-batch.c   checks its ranges and finds out what is to be done
 *   usage-act.c     tells the host
 *
 * usage-props.c is what users see. All functions need the BQL.
 */

#ifndef HW_VIRTIO_BALLOON_USAGE_INTERNAL_H
#define HW_VIRTIO_BALLOON_USAGE_INTERNAL_H

#include "exec/memory.h"
#include "hw/virtio/virtio-balloon.h"

#define BALLOON_USAGE_RANGES_MAX 1024

/* Guest memory [start, end) that is in @state, in bytes */
typedef struct BalloonSpan {
    hwaddr start;
    hwaddr end;
    uint8_t state;
} BalloonSpan;

/**
 * BalloonUsageBatch: the request being worked on, in memory of our own
 * @count: ranges
 * @held: HELD was set
 * @ranges: in host byte order, usage.max_ranges of them fit
 * @reasons: VIRTIO_BALLOON_USAGE_R_* of each
 * @spans: what to do, disjoint and in order of addresses
 * @span_count: number of @spans
 * @claims: addresses that later ranges decide about
 * @collapse: bytes to be made huge in this request
 */
struct BalloonUsageBatch {
    unsigned count;
    bool held;
    struct virtio_balloon_usage_range *ranges;
    uint8_t *reasons;
    BalloonSpan *spans;
    unsigned span_count;
    BalloonSpan *claims;
    uint64_t collapse;
};

BalloonUsageBatch *balloon_usage_batch_new(unsigned max_ranges);
void balloon_usage_batch_free(BalloonUsageBatch *b);

/**
 * balloon_usage_check_ranges - fill in @b->reasons
 *
 * Takes what the accepted ranges cost from the budget.
 */
void balloon_usage_check_ranges(VirtIOBalloon *s, BalloonUsageBatch *b);

/**
 * balloon_usage_resolve - fill in @b->spans from the accepted ranges
 *
 * Where ranges overlap STABLE wins, and else the last one. Neighbours in the
 * same state become one span. A request of n ranges makes at most 2n spans.
 */
void balloon_usage_resolve(BalloonUsageBatch *b);

/** balloon_usage_acts - does the host do anything about @state at present? */
bool balloon_usage_acts(const VirtIOBalloon *s, unsigned state);

/** balloon_usage_may_discard - may FREE ranges be discarded at present? */
bool balloon_usage_may_discard(const VirtIOBalloon *s);

/**
 * balloon_usage_act - tell the host about @b->spans
 *
 * Each span is shrunk to whole host pages. Failures are counted; hints are
 * advice. Returns the number of bytes the host was told about.
 */
uint64_t balloon_usage_act(VirtIOBalloon *s, const BalloonUsageBatch *b);

/**
 * balloon_usage_scan - ask the driver for hints about all of its memory
 * @start: or take the wish back
 *
 * Returns false, with @errp set, if no driver could hear it.
 */
bool balloon_usage_scan(VirtIOBalloon *s, bool start, Error **errp);

#endif
