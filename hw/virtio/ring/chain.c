/*
 * Buffers of a chain: checks, mapping and indirect tables
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "desc.h"

bool ring_add_buffer(VirtRing *ring, const RingSink *sink,
                     const RingDesc *desc)
{
    bool write = desc->flags & DESC_F_WRITE;
    VirtRingSize *size = sink->size;
    unsigned n = 1;

    if (unlikely(!desc->len)) {
        ring_broken(ring, "a buffer of no bytes", 0);
        return false;
    }
    /* 2.7.4.2, 2.8.17: readable ones first */
    if (unlikely(!write && size->in_num)) {
        ring_broken(ring, "a readable buffer after a writable one", 0);
        return false;
    }
    if (unlikely(size->out_num + size->in_num >= VRING_SEGMENTS_MAX)) {
        ring_broken(ring, "more buffers in one request than QEMU takes",
                    VRING_SEGMENTS_MAX);
        return false;
    }
    if (sink->segs) {
        n = sink->mem->map(sink->mem->opaque, sink->segs, desc->addr,
                           desc->len, write);
        if (unlikely(!n)) {
            ring_broken(ring, "a buffer outside of memory", desc->len);
            return false;
        }
    }
    if (write) {
        size->in_num += n;
        size->in_len += desc->len;
    } else {
        size->out_num += n;
        size->out_len += desc->len;
    }
    return true;
}

/*
 * A table is memory of the driver like any other: each descriptor is copied
 * once, and only the copy is looked at.
 */
bool ring_add_table(VirtRing *ring, const RingSink *sink,
                    const RingDesc *desc, bool packed)
{
    const VirtRingMem *mem = sink->mem;
    unsigned entries = desc->len / DESC_SIZE;
    unsigned at = 0;

    if (unlikely(!desc->len || desc->len % DESC_SIZE)) {
        ring_broken(ring, "an indirect table of a size that does not fit "
                    "descriptors", desc->len);
        return false;
    }
    if (unlikely(desc->addr + desc->len - 1 < desc->addr)) {
        ring_broken(ring, "an indirect table past the last address",
                    desc->len);
        return false;
    }
    for (unsigned seen = 0;; seen++) {
        uint64_t words[2];
        RingDesc entry;

        /* Each pass adds a buffer, so a loop ends at the segment limit too */
        if (unlikely(seen == entries)) {
            ring_broken(ring, "an indirect table that loops", entries);
            return false;
        }
        if (unlikely(!mem->read(mem->opaque, desc->addr + at * DESC_SIZE,
                                words, DESC_SIZE))) {
            ring_broken(ring, "an indirect table outside of memory",
                        desc->len);
            return false;
        }
        entry = packed ? ring_desc_packed(words[0], words[1])
                       : ring_desc_split(words[0], words[1]);
        /* 2.8.7: in a packed table only WRITE means something */
        if (unlikely(!packed && (entry.flags & DESC_F_INDIRECT))) {
            ring_broken(ring, "an indirect table inside of another", at);
            return false;
        }
        if (!ring_add_buffer(ring, sink, &entry)) {
            return false;
        }
        if (packed) {
            if (++at == entries) {
                return true;
            }
        } else if (!(entry.flags & DESC_F_NEXT)) {
            return true;
        } else {
            at = entry.other;
            if (unlikely(at >= entries)) {
                ring_broken(ring, "a next field past its indirect table", at);
                return false;
            }
        }
    }
}
