/*
 * virtio-balloon: page usage hints, and pieces of large pages
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What hw/virtio/virtio-balloon.c calls in hw/virtio/balloon. The wire format
 * is in standard-headers/linux/virtio_balloon_usage.h, its rules are in
 * docs/specs/virtio-balloon-usage.rst.
 *
 * All functions are called with the BQL held.
 */

#ifndef HW_VIRTIO_BALLOON_USAGE_H
#define HW_VIRTIO_BALLOON_USAGE_H

#include "exec/cpu-common.h"
#include "exec/ramlist.h"
#include "hw/qdev-properties.h"
#include "hw/virtio/virtio.h"
#include "standard-headers/linux/virtio_balloon_usage.h"

typedef struct VirtIOBalloon VirtIOBalloon;

/* Policies: what the host does about a state; 0 is nothing */
typedef enum BalloonFreePolicy {
    BALLOON_FREE_OFF,
    BALLOON_FREE_DISCARD,
} BalloonFreePolicy;

typedef enum BalloonColdPolicy {
    BALLOON_COLD_OFF,
    BALLOON_COLD_COLD,
    BALLOON_COLD_PAGEOUT,
} BalloonColdPolicy;

typedef enum BalloonHotPolicy {
    BALLOON_HOT_OFF,
    BALLOON_HOT_WILLNEED,
    BALLOON_HOT_COLLAPSE,
} BalloonHotPolicy;

/**
 * BalloonUsageCounters: what became of the hints of one state
 * @ranges: ranges accepted
 * @bytes: bytes they named
 * @acted: bytes the host did something about
 * @calls: system calls, or calls of ram_block_discard_range()
 * @failures: of these, the ones that failed
 */
typedef struct BalloonUsageCounters {
    uint64_t ranges;
    uint64_t bytes;
    uint64_t acted;
    uint64_t calls;
    uint64_t failures;
} BalloonUsageCounters;

typedef struct BalloonUsageBatch BalloonUsageBatch;

/** VirtIOBalloonUsage: page usage hints, a part of VirtIOBalloon */
typedef struct VirtIOBalloonUsage {
    VirtQueue *vq;              /* NULL if the feature is not offered */
    QEMUBH *bh;                 /* goes on with a queue that held too much */
    BalloonUsageBatch *batch;   /* room for one request */
    uint32_t cmd_id;            /* as in the configuration */
    uint32_t last_scan;         /* newest number given to a scan */

    int free_policy;            /* Balloon*Policy */
    int cold_policy;
    int hot_policy;
    uint16_t max_ranges;
    bool shared;                /* discard memory others may see */
    uint64_t rate;              /* bytes per second; 0: no limit */
    int64_t budget;             /* bytes left, below 0 when overdrawn */
    int64_t budget_ns;          /* virtual time the budget was filled up */

    uint64_t requests;
    uint64_t malformed;
    uint64_t stale;
    uint64_t unsupported;
    uint64_t rejects[VIRTIO_BALLOON_USAGE_REASONS];
    BalloonUsageCounters states[VIRTIO_BALLOON_USAGE_STATES];
} VirtIOBalloonUsage;

/** virtio_balloon_usage_check - are the properties sound? Else set @errp */
bool virtio_balloon_usage_check(VirtIOBalloon *s, Error **errp);

/** virtio_balloon_usage_realize - add the queue, if the feature is offered */
void virtio_balloon_usage_realize(VirtIOBalloon *s);
void virtio_balloon_usage_unrealize(VirtIOBalloon *s);
void virtio_balloon_usage_reset(VirtIOBalloon *s);

/** virtio_balloon_usage_resume - look at the queue when the VM goes on */
void virtio_balloon_usage_resume(VirtIOBalloon *s, uint8_t status);

/** virtio_balloon_usage_config_size - bytes added to the configuration */
size_t virtio_balloon_usage_config_size(const VirtIOBalloon *s);

/**
 * virtio_balloon_usage_get_config - fill in what is added
 * @config: start of the balloon's configuration
 */
void virtio_balloon_usage_get_config(VirtIOBalloon *s, uint8_t *config);

/** virtio_balloon_usage_instance_init - add the properties for monitors */
void virtio_balloon_usage_instance_init(Object *obj);

/** virtio_balloon_usage_class_init - put the properties into words */
void virtio_balloon_usage_class_init(ObjectClass *klass);

extern const VMStateDescription vmstate_virtio_balloon_usage;
extern const PropertyInfo virtio_balloon_free_policy_info;
extern const PropertyInfo virtio_balloon_cold_policy_info;
extern const PropertyInfo virtio_balloon_hot_policy_info;

/**
 * BalloonPieces: which parts of large host pages are in the balloon
 *
 * The balloon takes pages of 4 KiB, the host gives back whole pages of its
 * own. A host page is discarded when its last part comes into the balloon;
 * until then the parts are remembered here, across requests, in one bit per
 * 4 KiB of a RAM block, which is 1/32768 of its size. Blocks of small pages
 * need none.
 */
typedef struct BalloonPieces {
    RAMBlockNotifier notifier;
    GHashTable *blocks;         /* RAMBlock's host address -> bitmap */
} BalloonPieces;

void balloon_pieces_init(BalloonPieces *p);
void balloon_pieces_cleanup(BalloonPieces *p);

/** balloon_pieces_clear - the balloon is empty */
void balloon_pieces_clear(BalloonPieces *p);

/**
 * balloon_pieces_acknowledge - a request is about to be acknowledged
 *
 * From then on the driver may use its pages again (5.5.6), and the device not
 * discard them, unless the driver has promised to deflate first.
 */
void balloon_pieces_acknowledge(BalloonPieces *p, VirtIODevice *vdev);

/** balloon_pieces_any - has a part of a large page ever come in? */
bool balloon_pieces_any(const BalloonPieces *p);

/**
 * balloon_pieces_inflate - 4 KiB come into the balloon
 * @rb: block with pages larger than that
 * @offset: into @rb, in bytes
 *
 * Discards the host page if it is in the balloon as a whole now.
 */
void balloon_pieces_inflate(BalloonPieces *p, RAMBlock *rb, ram_addr_t offset);

/**
 * balloon_pieces_deflate - 4 KiB leave the balloon
 * @mr: RAM
 * @offset: into @mr, in bytes
 *
 * To be called also while discarding is forbidden: the guest uses the page.
 */
void balloon_pieces_deflate(BalloonPieces *p, MemoryRegion *mr,
                            ram_addr_t offset);

#endif
