/*
 * What the ring formats share: descriptors and chains of them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Private to the core of the ring engine; see ring.h.
 */

#ifndef HW_VIRTIO_RING_DESC_H
#define HW_VIRTIO_RING_DESC_H

#include "areas.h"
#include "ring-mem.h"

#define DESC_SIZE 16

#define DESC_F_NEXT     0x1
#define DESC_F_WRITE    0x2
#define DESC_F_INDIRECT 0x4
#define DESC_F_AVAIL    0x80    /* packed only */
#define DESC_F_USED     0x8000

/*
 * Both formats: address, length, and two 16-bit fields in the order in which
 * the second 64-bit word has them: split flags, next; packed id, flags.
 */
typedef struct RingDesc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags;
    uint16_t other;             /* split: next; packed: id */
} RingDesc;

static inline RingDesc ring_desc_split(uint64_t addr, uint64_t word)
{
    return (RingDesc) {
        .addr = addr, .len = word, .flags = word >> 32, .other = word >> 48,
    };
}

static inline RingDesc ring_desc_packed(uint64_t addr, uint64_t word)
{
    return (RingDesc) {
        .addr = addr, .len = word, .other = word >> 32, .flags = word >> 48,
    };
}

/* Note a violation; text is static. Returns VRING_BROKEN. */
static inline VirtRingResult ring_broken(VirtRing *ring, const char *text,
                                         uint32_t arg)
{
    ring->error = text;
    ring->error_arg = arg;
    return VRING_BROKEN;
}

/* What the writable length is when nobody looked */
#define SIZE_UNKNOWN UINT32_MAX

/* In order, a chain that was taken waits in the slot of its position */
static inline void ring_note_in_order(VirtRing *ring, const VirtRingAreas *a,
                                      const VirtRingChain *chain,
                                      uint64_t in_len)
{
    if (a->in_order) {
        ring->slots[chain->pos] = (VirtRingSlot) {
            .in_len = MIN(in_len, SIZE_UNKNOWN),
            .id = chain->id,
            .ndescs = chain->ndescs,
        };
    }
}

/**
 * RingSink: where the buffers of a chain go
 * @mem: how to reach memory
 * @size: what is counted
 * @segs: what @size is part of, or NULL to map nothing
 */
typedef struct RingSink {
    const VirtRingMem *mem;
    VirtRingSize *size;
    VirtRingSegs *segs;
} RingSink;

/**
 * ring_add_buffer: add the buffer that @desc describes to @sink
 *
 * Returns false after ring_broken().
 */
bool ring_add_buffer(VirtRing *ring, const RingSink *sink,
                     const RingDesc *desc);

/**
 * ring_add_table: add the buffers of an indirect table
 * @desc: the descriptor that refers to it
 * @packed: its format: consecutive, or linked by NEXT
 *
 * Returns false after ring_broken().
 */
bool ring_add_table(VirtRing *ring, const RingSink *sink,
                    const RingDesc *desc, bool packed);

#endif
