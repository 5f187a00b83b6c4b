/*
 * virtio-balloon page usage hints: wire format
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Shared by the device, its tests and guest programs. The text of the
 * specification is docs/specs/virtio-balloon-usage.rst.
 *
 * With VIRTIO_BALLOON_F_PAGE_USAGE the driver tells the device how it uses
 * ranges of its memory. A request on the usage queue is one buffer: a header
 * and up to max_ranges ranges that the device reads, and a reply that it
 * writes. All fields are little endian.
 */

#ifndef _LINUX_VIRTIO_BALLOON_USAGE_H
#define _LINUX_VIRTIO_BALLOON_USAGE_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
#endif

/*
 * Feature bits, not assigned by the virtio standard
 *
 * VIRTIO_BALLOON_F_PAGE_USAGE: the usage queue and its configuration.
 * VIRTIO_BALLOON_F_PAGE_PROTECT: reserved for write protection.
 */
#define VIRTIO_BALLOON_F_PAGE_USAGE   58
#define VIRTIO_BALLOON_F_PAGE_PROTECT 59

/* Unit of addresses and lengths, in bits and bytes */
#define VIRTIO_BALLOON_USAGE_SHIFT 12
#define VIRTIO_BALLOON_USAGE_PAGE  (1u << VIRTIO_BALLOON_USAGE_SHIFT)

/* Where the configuration stands in the balloon's configuration space */
#define VIRTIO_BALLOON_USAGE_CONFIG 16

/* Values of cmd_id below those that name a scan */
#define VIRTIO_BALLOON_USAGE_CMD_STOP  0u /* no scan is asked for */
#define VIRTIO_BALLOON_USAGE_CMD_DONE  1u /* the last scan is complete */
#define VIRTIO_BALLOON_USAGE_CMD_FIRST 2u

/**
 * struct virtio_balloon_usage_config - what follows poison_val
 * @states: bit n is set if the device acts on state n at present
 * @cmd_id: VIRTIO_BALLOON_USAGE_CMD_*, or from CMD_FIRST on the number of a
 *          scan that the device asks for; a change raises a configuration
 *          interrupt
 * @granule: bytes; ranges that are multiples of it, aligned to it, lose
 *           nothing to rounding
 * @max_ranges: most ranges of a request
 * @vq_index: index of the usage queue
 * @interval_ms: how often the device would like hints, in milliseconds; 0:
 *               no wish
 * @reserved: zero
 *
 * Read-only for the driver.
 */
struct virtio_balloon_usage_config {
    uint32_t states;
    uint32_t cmd_id;
    uint32_t granule;
    uint16_t max_ranges;
    uint16_t vq_index;
    uint32_t interval_ms;
    uint32_t reserved;
};

/* Types of requests; others are answered with STATUS_UNSUPPORTED */
#define VIRTIO_BALLOON_USAGE_HINT 0

/*
 * Flags of requests; a request with other bits is malformed
 *
 * LAST: completes the scan that cmd_id names.
 * HELD: nothing in the guest uses the pages until the reply is there, so FREE
 *       ranges may be discarded.
 */
#define VIRTIO_BALLOON_USAGE_LAST (1u << 0)
#define VIRTIO_BALLOON_USAGE_HELD (1u << 1)

/* States of pages */
#define VIRTIO_BALLOON_USAGE_STABLE    0 /* in use; cancels other hints */
#define VIRTIO_BALLOON_USAGE_FREE      1 /* the content is worth nothing */
#define VIRTIO_BALLOON_USAGE_VOLATILE  2
#define VIRTIO_BALLOON_USAGE_COLD      3 /* not used for a while */
#define VIRTIO_BALLOON_USAGE_HOT       4 /* used all the time */
#define VIRTIO_BALLOON_USAGE_MERGEABLE 5
#define VIRTIO_BALLOON_USAGE_PRIVATE   6
#define VIRTIO_BALLOON_USAGE_POISON    7
#define VIRTIO_BALLOON_USAGE_NODE      8
#define VIRTIO_BALLOON_USAGE_STATES    9

/**
 * struct virtio_balloon_usage_hdr - head of a request
 * @type: VIRTIO_BALLOON_USAGE_HINT
 * @flags: VIRTIO_BALLOON_USAGE_LAST, _HELD
 * @count: ranges that follow, 1 to max_ranges; 0 is allowed with LAST
 * @cmd_id: scan that this answers, or 0 for hints nobody asked for
 * @reserved: zero
 */
struct virtio_balloon_usage_hdr {
    uint8_t type;
    uint8_t flags;
    uint16_t count;
    uint32_t cmd_id;
    uint64_t reserved;
};

/**
 * struct virtio_balloon_usage_range - pages in the same state
 * @gpa: guest physical address, a multiple of 4096
 * @pages: length in units of 4096 bytes, at least 1
 * @state: VIRTIO_BALLOON_USAGE_*
 * @heat: how much the pages are used, 0 to 255; advice without a unit
 * @node: for VIRTIO_BALLOON_USAGE_NODE, else 0
 */
struct virtio_balloon_usage_range {
    uint64_t gpa;
    uint32_t pages;
    uint8_t state;
    uint8_t heat;
    uint16_t node;
};

/* Values of virtio_balloon_usage_reply.status */
#define VIRTIO_BALLOON_USAGE_OK          0 /* see accepted and rejected */
#define VIRTIO_BALLOON_USAGE_MALFORMED   1 /* nothing was looked at */
#define VIRTIO_BALLOON_USAGE_STALE       2 /* cmd_id is not current */
#define VIRTIO_BALLOON_USAGE_UNSUPPORTED 3 /* unknown type */

/* Why a range was rejected: virtio_balloon_usage_reply.reason */
#define VIRTIO_BALLOON_USAGE_R_NONE      0
#define VIRTIO_BALLOON_USAGE_R_RANGE     1 /* unaligned, empty, overflows */
#define VIRTIO_BALLOON_USAGE_R_NOT_RAM   2 /* not inside ordinary RAM */
#define VIRTIO_BALLOON_USAGE_R_STATE     3 /* state unknown to the device */
#define VIRTIO_BALLOON_USAGE_R_NOT_HELD  4 /* FREE without HELD */
#define VIRTIO_BALLOON_USAGE_R_SHARED    5 /* others may see this memory */
#define VIRTIO_BALLOON_USAGE_R_INHIBITED 6 /* the host forbids it for now */
#define VIRTIO_BALLOON_USAGE_R_BUSY      7 /* too much at a time, try later */
#define VIRTIO_BALLOON_USAGE_REASONS     8

/* Value of virtio_balloon_usage_reply.rejected if no range was rejected */
#define VIRTIO_BALLOON_USAGE_NONE 0xffffffffu

/**
 * struct virtio_balloon_usage_reply - what the device writes
 * @status: VIRTIO_BALLOON_USAGE_OK and so on
 * @reason: VIRTIO_BALLOON_USAGE_R_* of range @rejected
 * @reserved: zero
 * @accepted: ranges not rejected
 * @rejected: index of the first rejected range, or VIRTIO_BALLOON_USAGE_NONE
 * @acted: pages of 4096 bytes the host was told to do something about
 */
struct virtio_balloon_usage_reply {
    uint8_t status;
    uint8_t reason;
    uint16_t reserved;
    uint32_t accepted;
    uint32_t rejected;
    uint32_t acted;
};

#endif /* _LINUX_VIRTIO_BALLOON_USAGE_H */
