/*
 * Virtqueue wire format, as the virtio 1.2+ standard names it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Names are those of the standard (virtq_* for the split ring, pvirtq_* for
 * the packed one), which keeps this header usable beside Linux's and QEMU's
 * own vring_* headers. All fields are little endian in memory; the accessors
 * of vring-mem.h convert. The structures document layout and give offsets:
 * shared memory is never dereferenced through them.
 */
#ifndef VRING_DEFS_H
#define VRING_DEFS_H

#include <stddef.h>
#include <stdint.h>

/* Feature bits that change what a ring looks like, as masks (section 6) */
#define VDRV_F_INDIRECT     (1ULL << 28) /* VIRTIO_F_INDIRECT_DESC */
#define VDRV_F_EVENT_IDX    (1ULL << 29) /* VIRTIO_F_EVENT_IDX */
#define VDRV_F_VERSION_1    (1ULL << 32) /* VIRTIO_F_VERSION_1 */
#define VDRV_F_PACKED       (1ULL << 34) /* VIRTIO_F_RING_PACKED */
#define VDRV_F_IN_ORDER     (1ULL << 35) /* VIRTIO_F_IN_ORDER */
#define VDRV_F_NOTIF_DATA   (1ULL << 38) /* VIRTIO_F_NOTIFICATION_DATA */

#define VIRTQ_MAX_SIZE          32768

/* Descriptor flags, both layouts (2.7.5, 2.8.1) */
#define VIRTQ_DESC_F_NEXT       (1u << 0)
#define VIRTQ_DESC_F_WRITE      (1u << 1)
#define VIRTQ_DESC_F_INDIRECT   (1u << 2)
/* Packed only: compared with the wrap counters (2.8.1) */
#define VIRTQ_DESC_F_AVAIL      (1u << 7)
#define VIRTQ_DESC_F_USED       (1u << 15)
/* Packed only, batch labels: docs/specs/virtio-batch-labels.rst */
#define VIRTQ_DESC_F_MORE       (1u << 14)

/* Split ring, flags of the two index pages, unused with EVENT_IDX */
#define VIRTQ_AVAIL_F_NO_INTERRUPT  1u   /* 2.7.6, written by the driver */
#define VIRTQ_USED_F_NO_NOTIFY      1u   /* 2.7.8, written by the device */

/* Packed ring, event suppression structure (2.8.14) */
#define RING_EVENT_FLAGS_ENABLE     0u
#define RING_EVENT_FLAGS_DISABLE    1u
#define RING_EVENT_FLAGS_DESC       2u   /* only with EVENT_IDX */
#define RING_EVENT_WRAP             (1u << 15)
#define RING_EVENT_OFF_MASK         0x7fffu

/**
 * struct virtq_desc - one entry of the split descriptor table (2.7.5)
 * @addr: guest physical address of the segment
 * @len: its length in bytes
 * @flags: VIRTQ_DESC_F_NEXT, _WRITE, _INDIRECT
 * @next: index of the following entry when NEXT is set
 *
 * Also the entry of an indirect table. Written by the driver only.
 */
struct virtq_desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags;
    uint16_t next;
};

/**
 * struct virtq_avail - the split driver area (2.7.6)
 * @flags: VIRTQ_AVAIL_F_NO_INTERRUPT
 * @idx: free running count of published heads, wraps at 2^16
 * @ring: heads of chains; le16 used_event follows ring[num]
 *
 * Written by the driver only.
 */
struct virtq_avail {
    uint16_t flags;
    uint16_t idx;
    uint16_t ring[];
};

/**
 * struct virtq_used_elem - one completion of the split ring (2.7.8)
 * @id: head of the chain; a u32 on the wire, a descriptor index by value
 * @len: bytes the device wrote from the start of the writable part
 */
struct virtq_used_elem {
    uint32_t id;
    uint32_t len;
};

/**
 * struct virtq_used - the split device area (2.7.8)
 * @flags: VIRTQ_USED_F_NO_NOTIFY
 * @idx: free running count of completions, wraps at 2^16
 * @ring: completions; le16 avail_event follows ring[num]
 *
 * Written by the device only.
 */
struct virtq_used {
    uint16_t flags;
    uint16_t idx;
    struct virtq_used_elem ring[];
};

/**
 * struct pvirtq_desc - one entry of the packed ring (2.8.13)
 * @addr: guest physical address of the segment; reserved when used
 * @len: its length; when used, bytes written (valid only with WRITE)
 * @id: buffer id, taken from the last descriptor of a chain
 * @flags: as above plus AVAIL and USED
 *
 * Written by the driver when available and by the device when used.
 */
struct pvirtq_desc {
    uint64_t addr;
    uint32_t len;
    uint16_t id;
    uint16_t flags;
};

/**
 * struct pvirtq_event_suppress - driver or device event area (2.8.14)
 * @desc: ring offset in bits 0-14, wrap counter in bit 15
 * @flags: RING_EVENT_FLAGS_*
 */
struct pvirtq_event_suppress {
    uint16_t desc;
    uint16_t flags;
};

#define VIRTQ_DESC_SIZE         16u
#define VIRTQ_DESC_LEN_OFS      8u
#define VIRTQ_DESC_FLAGS_OFS    12u     /* split and indirect tables */
#define VIRTQ_DESC_NEXT_OFS     14u     /* split and indirect tables */
#define PVIRTQ_DESC_ID_OFS      12u
#define PVIRTQ_DESC_FLAGS_OFS   14u
#define VIRTQ_IDX_OFS           2u
#define VIRTQ_RING_OFS          4u
#define VIRTQ_USED_ELEM_SIZE    8u
#define PVIRTQ_EVENT_FLAGS_OFS  2u

_Static_assert(sizeof(struct virtq_desc) == VIRTQ_DESC_SIZE, "2.7.5");
_Static_assert(offsetof(struct virtq_desc, len) == VIRTQ_DESC_LEN_OFS, "");
_Static_assert(offsetof(struct virtq_desc, flags) == VIRTQ_DESC_FLAGS_OFS, "");
_Static_assert(offsetof(struct virtq_desc, next) == VIRTQ_DESC_NEXT_OFS, "");
_Static_assert(sizeof(struct pvirtq_desc) == VIRTQ_DESC_SIZE, "2.8.13");
_Static_assert(offsetof(struct pvirtq_desc, len) == VIRTQ_DESC_LEN_OFS, "");
_Static_assert(offsetof(struct pvirtq_desc, id) == PVIRTQ_DESC_ID_OFS, "");
_Static_assert(offsetof(struct pvirtq_desc, flags) == PVIRTQ_DESC_FLAGS_OFS,
               "");
_Static_assert(offsetof(struct virtq_avail, idx) == VIRTQ_IDX_OFS, "2.7.6");
_Static_assert(offsetof(struct virtq_avail, ring) == VIRTQ_RING_OFS, "2.7.6");
_Static_assert(offsetof(struct virtq_used, idx) == VIRTQ_IDX_OFS, "2.7.8");
_Static_assert(offsetof(struct virtq_used, ring) == VIRTQ_RING_OFS, "2.7.8");
_Static_assert(sizeof(struct virtq_used_elem) == VIRTQ_USED_ELEM_SIZE, "");
_Static_assert(offsetof(struct pvirtq_event_suppress, flags) ==
               PVIRTQ_EVENT_FLAGS_OFS, "2.8.14");

/* Where the event indexes of a split ring of @num entries live (2.7.7, .10) */
#define VIRTQ_USED_EVENT_OFS(num)   (VIRTQ_RING_OFS + 2u * (num))
#define VIRTQ_AVAIL_EVENT_OFS(num)  (VIRTQ_RING_OFS + \
                                     VIRTQ_USED_ELEM_SIZE * (num))

#endif /* VRING_DEFS_H */
