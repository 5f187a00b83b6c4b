/*
 * Fixture of the ring core's tests: driver library and core on one ring
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Each area of the ring is an allocation of its own and exact size, so that
 * a sanitizer sees one byte too far. Each access of the core is checked when
 * it happens: inside of an area, aligned, stores only to what the device may
 * write just then:
 *
 *   split   used entries of chains in flight, used index; flags without
 *           EVENT_IDX; avail_event with it
 *   packed  second word of descriptors in flight; device event suppression
 */
#ifndef RING_RIG_H
#define RING_RIG_H

#include "qemu/osdep.h"         /* before glib: both define MIN */
#include "ring.h"
#include <glib.h>
#include <string.h>
#include "vring-driver.h"

enum { RIG_DESC, RIG_DRIVER, RIG_DEVICE, RIG_TABLES, RIG_AREAS };
enum { RIG_LOAD, RIG_STORE, RIG_FENCE };

/* Guest addresses: one 256 MiB window for each area, data behind them */
#define RIG_AT(area, ofs)   (((uint64_t)(area) + 1) << 28 | (ofs))
#define RIG_DATA            0x80000000ULL
#define RIG_DATA_END        (1ULL << 48)
#define RIG_SEG_LEN         16u

#define RIG_TABLE_ENTRIES   64u
#define RIG_TABLES_NUM      64u

/* One access, or a fence, whose memory order is in @ofs */
typedef struct RigEvent {
    uint8_t kind;
    uint8_t area;
    uint8_t n;
    uint32_t ofs;
} RigEvent;

typedef struct Rig Rig;

struct Rig {
    VdrvQueue vq;
    VdrvSlot *vslots;
    VirtRing ring;
    VirtRingPos pos;
    VirtRingMem mem;
    VirtRingChain chain;        /* taken last */
    uint8_t *host[RIG_AREAS];
    size_t size[RIG_AREAS];
    uint64_t features;
    uint64_t used_total;        /* ring steps published since the start */
    uint64_t span;              /* of these, since the last decision */
    uint64_t touches;           /* accesses and table reads so far */
    uint64_t limit;             /* more than these are an endless loop */
    GArray *trace;              /* RigEvent, or NULL */
    void (*on_touch)(Rig *r, unsigned area, uint32_t ofs, bool write);
    uint64_t hook_data;
    unsigned map_piece;         /* map in pieces of so many bytes; 0: whole */
    uint16_t num;
    bool on_empty;
    bool direct_data;           /* data can be reached without map() */
    bool labels;                /* rig_label() was called */
    bool reads_on;
    bool decided;               /* rig_should_notify() was called before */
    bool everywhere;            /* tables can be read at any address */
    VirtRingSegs segs;
};

/* Soft check: the case fails and ends, the next one still runs */
#define RIG_CHECK(cond)                                                     \
    do {                                                                    \
        if (!(cond)) {                                                      \
            g_test_message("%s:%d: %s does not hold", __FILE__, __LINE__,   \
                           #cond);                                          \
            g_test_fail();                                                  \
            return;                                                         \
        }                                                                   \
    } while (0)

extern const VdrvMemOps rig_ops;

/* rig_new() - a started queue: notifications on, nothing available */
Rig *rig_new(uint64_t features, unsigned num);
/* rig_label() - batch labels are accepted; @reads_on: see VirtRingAreas */
void rig_label(Rig *r, bool reads_on);
void rig_free(Rig *r);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Rig, rig_free)

/* Host address behind a guest one; NULL unless @len bytes are there */
uint8_t *rig_host(Rig *r, uint64_t addr, uint64_t len);
uint64_t rig_table(const Rig *r, unsigned i);
VirtRingAreas rig_areas(const Rig *r);

static inline bool rig_packed(const Rig *r)
{
    return r->features & VDRV_F_PACKED;
}

static inline bool rig_in_order(const Rig *r)
{
    return r->features & VDRV_F_IN_ORDER;
}

/* Raw memory of an area */
uint16_t rig_get16(Rig *r, unsigned area, uint32_t ofs);
uint32_t rig_get32(Rig *r, unsigned area, uint32_t ofs);
void rig_set16(Rig *r, unsigned area, uint32_t ofs, uint16_t v);

/* Write a descriptor, of the ring or of a table, by hand; @other: id, next */
void rig_desc(Rig *r, uint64_t at, uint64_t addr, uint32_t len,
              uint16_t flags, uint16_t other);
/* A descriptor of the ring */
void rig_ring_desc(Rig *r, unsigned i, uint64_t addr, uint32_t len,
                   uint16_t flags, uint16_t other);
/* Split: list @n heads starting with @head at the driver's index */
void rig_list(Rig *r, const uint16_t *heads, unsigned n);

/* The calls of ring.h, with areas filled anew and steps counted */
VirtRingResult rig_fetch(Rig *r);
VirtRingResult rig_skip(Rig *r);
void rig_unfetch(Rig *r, unsigned chains, unsigned ndescs);
bool rig_fill(Rig *r, const VirtRingChain *c, uint32_t len, unsigned idx);
unsigned rig_flush(Rig *r, unsigned count);
bool rig_should_notify(Rig *r);
void rig_set_notification(Rig *r, bool enable);
bool rig_empty(Rig *r);
bool rig_avail_bytes(Rig *r, uint64_t *in, uint64_t *out, uint64_t max_in,
                     uint64_t max_out);
bool rig_recover(Rig *r);

/* A new VirtRing with rubbish in its slots on the same position; recover */
bool rig_move(Rig *r);

/*
 * rig_due() - is an interrupt due, for what was published since the last
 * decision? By enumeration of all positions, after the standard.
 */
bool rig_due(Rig *r);

/* Fetch, assert a chain, return it with @len written */
void rig_serve(Rig *r, uint32_t len);

/*
 * Add one buffer of @out readable and @in writable segments, indirect from
 * segment @direct on if @table is not 0. Result of vdrv_add().
 */
int rig_add_direct(Rig *r, unsigned out, unsigned in, uint64_t table,
                   unsigned direct, uintptr_t token);
int rig_add(Rig *r, unsigned out, unsigned in, uint64_t table,
            uintptr_t token);
void rig_publish(Rig *r);
bool rig_kick(Rig *r);
/* Add, assert success, publish */
void rig_offer(Rig *r, unsigned out, unsigned in, uintptr_t token);

/* Assert that r->segs is what rig_add() added under @token */
void rig_assert_segs(Rig *r, unsigned out, unsigned in, uintptr_t token);
/* Take one completion; assert @token and @len */
void rig_expect(Rig *r, uintptr_t token, uint32_t len);
void rig_expect_none(Rig *r);
void rig_assert_idle(Rig *r);
/* Bring a queue without anything in flight @n descriptors further */
void rig_run(Rig *r, unsigned n);

/* Record accesses from here on */
void rig_trace(Rig *r);
/* Place in the trace of the @nth access to @area at @ofs; -1: none */
int rig_seen(Rig *r, unsigned kind, unsigned area, uint32_t ofs,
             unsigned nth);
unsigned rig_count(Rig *r, unsigned kind, unsigned area, uint32_t from,
                   uint32_t to);
/* Is there a fence of at least @order between two places of the trace? */
bool rig_fenced(Rig *r, int from, int to, int order);

#endif
