/*
 * Fixture of the ring core's tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdlib.h>
#include "rig.h"
#include "touch.h"

/* The fence of this file is the real one */
#undef __atomic_thread_fence

static Rig *rig_now;

static uint8_t *at(void *mem, uint64_t addr, unsigned n)
{
    uint8_t *p = rig_host(mem, addr, n);

    g_assert_nonnull(p);
    return p;
}

#define OPS(bits)                                                           \
    static uint##bits##_t load##bits(void *mem, uint64_t addr)              \
    {                                                                       \
        uint##bits##_t v;                                                   \
                                                                            \
        memcpy(&v, at(mem, addr, bits / 8), bits / 8);                      \
        return v;                                                           \
    }                                                                       \
    static void store##bits(void *mem, uint64_t addr, uint##bits##_t v)     \
    {                                                                       \
        memcpy(at(mem, addr, bits / 8), &v, bits / 8);                      \
    }

OPS(16)
OPS(32)
OPS(64)

static void no_fence(void *mem)
{
    (void)mem;
}

const VdrvMemOps rig_ops = {
    .load16 = load16,
    .load16_acquire = load16,
    .load32 = load32,
    .load64 = load64,
    .store16 = store16,
    .store16_release = store16,
    .store32 = store32,
    .store64 = store64,
    .fence = no_fence,
};

uint8_t *rig_host(Rig *r, uint64_t addr, uint64_t len)
{
    uint64_t area = (addr >> 28) - 1, ofs = addr & ((1ULL << 28) - 1);

    if (area >= RIG_AREAS || len > r->size[area] ||
        ofs > r->size[area] - len) {
        return NULL;
    }
    return r->host[area] + ofs;
}

uint64_t rig_table(const Rig *r, unsigned i)
{
    (void)r;
    g_assert_cmpuint(i, <, RIG_TABLES_NUM);
    return RIG_AT(RIG_TABLES, i * RIG_TABLE_ENTRIES * VIRTQ_DESC_SIZE);
}

/* May the device store @n bytes at @ofs of @area now? */
static bool owned(Rig *r, unsigned area, uint32_t ofs, unsigned n)
{
    bool event_idx = r->features & VDRV_F_EVENT_IDX;
    unsigned entry;

    if (rig_packed(r)) {
        if (area == RIG_DEVICE) {
            return true;
        }
        entry = ofs / VIRTQ_DESC_SIZE;
        return area == RIG_DESC && n == 8 && ofs % VIRTQ_DESC_SIZE == 8 &&
               (entry + r->num - r->pos.used_idx) % r->num < r->pos.inuse;
    }
    if (area != RIG_DEVICE) {
        return false;
    }
    if (ofs == 0) {
        return n == 2 && !event_idx;
    }
    if (ofs == VIRTQ_IDX_OFS) {
        return n == 2;
    }
    if (ofs == VIRTQ_AVAIL_EVENT_OFS(r->num)) {
        return n == 2 && event_idx;
    }
    entry = (ofs - VIRTQ_RING_OFS) / VIRTQ_USED_ELEM_SIZE;
    return n == 4 && (uint16_t)(entry - r->pos.used_idx) % r->num <
                     r->pos.inuse;
}

static void note(Rig *r, RigEvent e)
{
    if (r->trace) {
        g_array_append_val(r->trace, e);
    }
}

static void step_on(Rig *r)
{
    r->touches++;
    g_assert_cmpuint(r->touches, <=, r->limit);
}

void ring_touch(const void *p, unsigned n, bool write)
{
    Rig *r = rig_now;
    const uint8_t *b = p;
    unsigned area;
    uint32_t ofs;

    g_assert_nonnull(r);
    step_on(r);
    for (area = 0; area < RIG_AREAS; area++) {
        if (b >= r->host[area] && b + n <= r->host[area] + r->size[area]) {
            break;
        }
    }
    if (area == RIG_AREAS) {
        g_assert_not_reached();
    }
    ofs = b - r->host[area];
    /* Tables are copied and may be anywhere */
    g_assert_true(area == RIG_TABLES || ofs % n == 0);
    g_assert_true(!write || owned(r, area, ofs, n));
    if (r->on_touch) {
        r->on_touch(r, area, ofs, write);
    }
    note(r, (RigEvent) { write ? RIG_STORE : RIG_LOAD, area, n, ofs });
}

void ring_fence(int order)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (rig_now) {
        note(rig_now, (RigEvent) { RIG_FENCE, 0, 0, order });
    }
}

static unsigned map(void *opaque, VirtRingSegs *segs, uint64_t addr,
                    uint32_t len, bool write)
{
    Rig *r = opaque;
    unsigned at = segs->size.out_num + segs->size.in_num, n = 0;

    (void)write;
    if (addr >= RIG_DATA_END || len > RIG_DATA_END - addr) {
        return 0;
    }
    while (len) {
        uint32_t piece = r->map_piece ? MIN(len, r->map_piece) : len;

        if (at + n == VRING_SEGMENTS_MAX) {
            return 0;
        }
        /* Never looked at, so any value does that can be recognised */
        segs->iov[at + n].iov_base = (void *)(uintptr_t)(addr ^ 1ULL << 60);
        segs->iov[at + n].iov_len = piece;
        segs->addr[at + n] = addr;
        addr += piece;
        len -= piece;
        n++;
    }
    return n;
}

static bool read_table(void *opaque, uint64_t addr, void *to, uint32_t len)
{
    Rig *r = opaque;
    const uint8_t *p;
    unsigned area;

    if (r->everywhere) {
        addr = RIG_AT(RIG_TABLES, addr & 0xff);
    }
    p = rig_host(r, addr, len);
    area = (addr >> 28) - 1;
    step_on(r);
    if (!p) {
        return false;
    }
    if (r->on_touch) {
        r->on_touch(r, area, p - r->host[area], false);
    }
    note(r, (RigEvent) { RIG_LOAD, area, len, p - r->host[area] });
    memcpy(to, p, len);
    return true;
}

Rig *rig_new(uint64_t features, unsigned num)
{
    Rig *r = g_new0(Rig, 1);
    bool packed = features & VDRV_F_PACKED;
    VdrvConfig cfg = {
        .mem = r,
        .desc = RIG_AT(RIG_DESC, 0),
        .driver = RIG_AT(RIG_DRIVER, 0),
        .device = RIG_AT(RIG_DEVICE, 0),
        .features = features | VDRV_F_VERSION_1,
        .num = num,
    };

    g_assert_null(rig_now);
    rig_now = r;
    r->features = features;
    r->num = num;
    r->limit = UINT64_MAX;
    r->size[RIG_DESC] = num * VIRTQ_DESC_SIZE;
    r->size[RIG_DRIVER] = packed ? 4 : VIRTQ_USED_EVENT_OFS(num) + 2;
    r->size[RIG_DEVICE] = packed ? 4 : VIRTQ_AVAIL_EVENT_OFS(num) + 2;
    r->size[RIG_TABLES] = RIG_TABLES_NUM * RIG_TABLE_ENTRIES *
                          VIRTQ_DESC_SIZE;
    for (unsigned i = 0; i < RIG_AREAS; i++) {
        /* Leftovers must not matter: vdrv_init() clears what counts */
        r->host[i] = malloc(r->size[i]);
        memset(r->host[i], 0xa5, r->size[i]);
    }
    r->vslots = cfg.slots = g_new0(VdrvSlot, num);
    g_assert_cmpint(vdrv_init(&rig_ops, &r->vq, &cfg), ==, VDRV_OK);
    r->pos = (VirtRingPos) {
        .last_avail_wrap_counter = true,
        .shadow_avail_wrap_counter = true,
        .used_wrap_counter = true,
        .notification = true,
    };
    r->mem = (VirtRingMem) {
        .map = map, .read = read_table, .opaque = r,
    };
    r->ring = (VirtRing) {
        .pos = &r->pos, .slots = malloc(num * sizeof(VirtRingSlot)),
        .size = num,
    };
    memset(r->ring.slots, 0, num * sizeof(VirtRingSlot));
    return r;
}

void rig_label(Rig *r, bool reads_on)
{
    r->labels = r->vq.labels = true;
    r->reads_on = reads_on;
}

void rig_free(Rig *r)
{
    for (unsigned i = 0; i < RIG_AREAS; i++) {
        free(r->host[i]);
    }
    free(r->ring.slots);
    g_free(r->vslots);
    if (r->trace) {
        g_array_free(r->trace, true);
    }
    g_free(r);
    rig_now = NULL;
}

#ifdef VRING_PAGED
static VirtRingPages rig_pages(uint8_t *host)
{
    uintptr_t mask = (1u << VRING_PAGE_SHIFT) - 1;
    VirtRingPages pages = { .ofs = (uintptr_t)host & mask };

    for (unsigned i = 0; i < VRING_PAGES_MAX; i++) {
        pages.page[i] = host - pages.ofs + i * (mask + 1);
    }
    return pages;
}
#endif

VirtRingAreas rig_areas(const Rig *r)
{
#ifdef VRING_PAGED
    /* Nobody gets at the areas but by their pages */
    static VirtRingAreaPages pages;

    pages = (VirtRingAreaPages) {
        rig_pages(r->host[RIG_DESC]), rig_pages(r->host[RIG_DRIVER]),
        rig_pages(r->host[RIG_DEVICE]),
    };
#endif
    return (VirtRingAreas) {
#ifdef VRING_PAGED
        .pages = &pages,
#else
        .desc = r->host[RIG_DESC],
        .driver = r->host[RIG_DRIVER],
        .device = r->host[RIG_DEVICE],
#endif
        .num = r->num,
        .packed = r->features & VDRV_F_PACKED,
        .event_idx = r->features & VDRV_F_EVENT_IDX,
        .in_order = r->features & VDRV_F_IN_ORDER,
        .indirect = r->features & VDRV_F_INDIRECT,
        .on_empty = r->on_empty,
        .labels = r->labels && r->features & VDRV_F_PACKED
            ? VRING_LABELS | (r->reads_on ? VRING_READS_ON : 0) : 0,
    };
}

uint16_t rig_get16(Rig *r, unsigned area, uint32_t ofs)
{
    return load16(r, RIG_AT(area, ofs));
}

uint32_t rig_get32(Rig *r, unsigned area, uint32_t ofs)
{
    return load32(r, RIG_AT(area, ofs));
}

void rig_set16(Rig *r, unsigned area, uint32_t ofs, uint16_t v)
{
    store16(r, RIG_AT(area, ofs), v);
}

void rig_desc(Rig *r, uint64_t at, uint64_t addr, uint32_t len,
              uint16_t flags, uint16_t other)
{
    bool packed = rig_packed(r);

    store64(r, at, addr);
    store32(r, at + VIRTQ_DESC_LEN_OFS, len);
    store16(r, at + (packed ? PVIRTQ_DESC_ID_OFS : VIRTQ_DESC_NEXT_OFS),
            other);
    store16(r, at + (packed ? PVIRTQ_DESC_FLAGS_OFS : VIRTQ_DESC_FLAGS_OFS),
            flags);
}

void rig_ring_desc(Rig *r, unsigned i, uint64_t addr, uint32_t len,
                   uint16_t flags, uint16_t other)
{
    rig_desc(r, RIG_AT(RIG_DESC, i * VIRTQ_DESC_SIZE), addr, len, flags,
             other);
}

void rig_list(Rig *r, const uint16_t *heads, unsigned n)
{
    uint16_t idx = rig_get16(r, RIG_DRIVER, VIRTQ_IDX_OFS);

    for (unsigned i = 0; i < n; i++, idx++) {
        rig_set16(r, RIG_DRIVER, VIRTQ_RING_OFS + 2 * (idx % r->num),
                  heads[i]);
    }
    rig_set16(r, RIG_DRIVER, VIRTQ_IDX_OFS, idx);
}

/*
 * What can be reached without a question takes turns: nothing, tables, data.
 * The results must not depend on it. Who watches accesses chooses for himself,
 * as a chain that is not direct to the end is looked at once more.
 */
static void turn_direct(Rig *r)
{
    static unsigned turn;
    bool watched = r->on_touch || r->trace || r->map_piece ||
                   r->everywhere || r->limit - r->touches < 1000;

    r->mem.direct = (VirtRingDirect) { 0 };
    if (r->direct_data || (!watched && ++turn % 3 == 1)) {
        /* As map() translates */
        r->mem.direct = (VirtRingDirect) {
            .start = RIG_DATA, .size = RIG_DATA_END - RIG_DATA,
            .host = (void *)(uintptr_t)(RIG_DATA ^ 1ULL << 60),
        };
    } else if (!watched && turn % 3 == 2) {
        r->mem.direct = (VirtRingDirect) {
            .start = RIG_AT(RIG_TABLES, 0), .size = r->size[RIG_TABLES],
            .host = r->host[RIG_TABLES],
        };
    }
}

VirtRingResult rig_fetch(Rig *r)
{
    VirtRingAreas a = rig_areas(r);

    turn_direct(r);
    return vring_fetch(&r->ring, &a, &r->mem, &r->chain, &r->segs);
}

VirtRingResult rig_skip(Rig *r)
{
    VirtRingAreas a = rig_areas(r);

    return vring_skip(&r->ring, &a, &r->chain);
}

void rig_unfetch(Rig *r, unsigned chains, unsigned ndescs)
{
    VirtRingAreas a = rig_areas(r);

    vring_unfetch(&r->ring, &a, chains, ndescs);
}

bool rig_fill(Rig *r, const VirtRingChain *c, uint32_t len, unsigned idx)
{
    VirtRingAreas a = rig_areas(r);

    return vring_fill(&r->ring, &a, c, len, idx);
}

unsigned rig_flush(Rig *r, unsigned count)
{
    VirtRingAreas a = rig_areas(r);
    unsigned before = r->pos.inuse;
    unsigned n = vring_flush(&r->ring, &a, count);

    r->used_total += before - r->pos.inuse;
    r->span += before - r->pos.inuse;
    return n;
}

bool rig_should_notify(Rig *r)
{
    VirtRingAreas a = rig_areas(r);

    /* Put off is not decided */
    if (!r->ring.held) {
        r->span = 0;
        r->decided = true;
    }
    return vring_should_notify(&r->ring, &a);
}

void rig_set_notification(Rig *r, bool enable)
{
    VirtRingAreas a = rig_areas(r);

    vring_set_notification(&r->ring, &a, enable);
}

bool rig_empty(Rig *r)
{
    VirtRingAreas a = rig_areas(r);

    return vring_empty(&r->ring, &a);
}

bool rig_avail_bytes(Rig *r, uint64_t *in, uint64_t *out, uint64_t max_in,
                     uint64_t max_out)
{
    VirtRingAreas a = rig_areas(r);

    return vring_avail_bytes(&r->ring, &a, &r->mem, in, out, max_in,
                             max_out);
}

bool rig_recover(Rig *r)
{
    VirtRingAreas a = rig_areas(r);

    return vring_recover(&r->ring, &a);
}

bool rig_move(Rig *r)
{
    VirtRingPos pos = r->pos;
    VirtRingSlot *slots = malloc(r->num * sizeof(VirtRingSlot));

    free(r->ring.slots);
    /* As a load finds them: nothing of the old engine is left */
    memset(slots, 0xff, r->num * sizeof(VirtRingSlot));
    for (unsigned i = 0; i < r->num; i++) {
        slots[i].done = true;
    }
    memset(&r->ring, 0, sizeof(r->ring));
    memset(&r->pos, 0, sizeof(r->pos));
    r->pos = pos;
    r->ring.pos = &r->pos;
    r->ring.slots = slots;
    r->ring.size = r->num;
    return rig_recover(r);
}

static bool packed_due(Rig *r)
{
    uint16_t desc = rig_get16(r, RIG_DRIVER, 0);
    uint16_t flags = rig_get16(r, RIG_DRIVER, PVIRTQ_EVENT_FLAGS_OFS);

    if (flags != RING_EVENT_FLAGS_DESC ||
        !(r->features & VDRV_F_EVENT_IDX)) {
        return flags != RING_EVENT_FLAGS_DISABLE;
    }
    for (uint64_t k = r->used_total - r->span; k < r->used_total; k++) {
        bool wrap = k / r->num % 2 == 0;

        if (k % r->num == (desc & RING_EVENT_OFF_MASK) &&
            wrap == !!(desc & RING_EVENT_WRAP)) {
            return true;
        }
    }
    return false;
}

static bool split_due(Rig *r)
{
    uint16_t event = rig_get16(r, RIG_DRIVER, VIRTQ_USED_EVENT_OFS(r->num));

    if (r->on_empty && !r->pos.inuse &&
        rig_get16(r, RIG_DRIVER, VIRTQ_IDX_OFS) == r->pos.last_avail_idx) {
        return true;
    }
    if (!(r->features & VDRV_F_EVENT_IDX)) {
        return !(rig_get16(r, RIG_DRIVER, 0) & VIRTQ_AVAIL_F_NO_INTERRUPT);
    }
    for (uint64_t k = r->used_total - r->span; k < r->used_total; k++) {
        if ((uint16_t)k == event) {
            return true;
        }
    }
    return false;
}

bool rig_due(Rig *r)
{
    return rig_packed(r) ? packed_due(r) : split_due(r);
}

void rig_serve(Rig *r, uint32_t len)
{
    g_assert_cmpint(rig_fetch(r), ==, VRING_CHAIN);
    g_assert_true(rig_fill(r, &r->chain, len, 0));
    g_assert_cmpuint(rig_flush(r, 1), ==, 1);
}

int rig_add_direct(Rig *r, unsigned out, unsigned in, uint64_t table,
                   unsigned direct, uintptr_t token)
{
    g_autofree VdrvSeg *seg = g_new(VdrvSeg, out + in);
    VdrvBuf buf = {
        .seg = seg, .out = out, .in = in, .table = table, .direct = direct,
        .token = (void *)token,
    };

    for (unsigned i = 0; i < out + in; i++) {
        seg[i] = (VdrvSeg) {
            RIG_DATA + token * 0x1000000 + i * 0x100, RIG_SEG_LEN,
        };
    }
    return vdrv_add(&rig_ops, &r->vq, &buf);
}

int rig_add(Rig *r, unsigned out, unsigned in, uint64_t table,
            uintptr_t token)
{
    return rig_add_direct(r, out, in, table, 0, token);
}

void rig_publish(Rig *r)
{
    vdrv_publish(&rig_ops, &r->vq);
}

bool rig_kick(Rig *r)
{
    return vdrv_kick_needed(&rig_ops, &r->vq);
}
