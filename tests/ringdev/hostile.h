/*
 * A hostile driver, run by a string of bytes: for the fuzzer and for tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The bytes say what the ring looks like, what the device does, and what the
 * driver writes where and when, in between and in the middle of calls. Checked
 * at each step:
 *
 *   - accesses stay inside of the areas and are aligned; stores go only to
 *     what is the device's at that moment (seen by RING_TOUCH), and nothing
 *     else changes (seen by comparing memory)
 *   - each call ends after a bounded number of accesses
 *   - a fetch reads no word twice
 *   - a violation leaves the state as it was, and is one again next time
 *   - what is taken adds up, and never exceeds the queue
 */
#ifndef RING_HOSTILE_H
#define RING_HOSTILE_H

#include "qemu/osdep.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ring.h"
#include "vring-defs.h"
#include "touch.h"
#undef __atomic_thread_fence

#define H_MAX_NUM   16u
#define H_TABLES    1024u
#define H_LIMIT     100000u
#define H_AT(area)  (((uint64_t)(area) + 1) << 28)

enum { H_DESC, H_DRIVER, H_DEVICE, H_TABLE, H_AREAS };

/* Not assert(): the same with NDEBUG */
#define H_CHECK(cond)                                                       \
    do {                                                                    \
        if (!(cond)) {                                                      \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__,          \
                    __LINE__, #cond);                                       \
            abort();                                                        \
        }                                                                   \
    } while (0)

typedef struct HHeld {
    VirtRingChain chain;
    uint64_t in_len;
    bool filled;
} HHeld;

typedef struct Hostile {
    const uint8_t *data;
    size_t left;
    uint8_t *host[H_AREAS];
    unsigned size[H_AREAS];
    uint8_t *was[H_AREAS];          /* before the call */
    uint8_t *reads[H_AREAS];        /* by the call, for each 2 bytes */
    VirtRingAreas a;
    VirtRingPos pos;
    VirtRingPos pos_was;
    VirtRing ring;
    VirtRingMem mem;
    VirtRingSegs segs;
    HHeld held[H_MAX_NUM];
    unsigned n_held;
    unsigned touches;
    unsigned mutate;                /* so many changes during the next call */
    bool mutated;
    bool last_out;                  /* the chain taken last is still out */
    bool lost;                      /* in flight is not what we know of */
    uint64_t done[4];               /* results of fetch, by kind; flushes */
} Hostile;

static Hostile *h_now;

static inline uint8_t h8(Hostile *h)
{
    if (!h->left) {
        return 0;
    }
    h->left--;
    return *h->data++;
}

static inline uint16_t h16(Hostile *h)
{
    uint16_t low = h8(h);

    return low | h8(h) << 8;
}

static inline uint32_t h32(Hostile *h)
{
    uint32_t low = h16(h);

    return low | (uint32_t)h16(h) << 16;
}

/* Two bytes anywhere the driver may write, and it may write anywhere */
static inline void h_scribble(Hostile *h)
{
    unsigned area = h8(h) % H_AREAS;
    uint16_t v = h16(h);

    /* The used ring is only written, so nothing can come of that */
    memcpy(h->host[area] + h16(h) % (h->size[area] - 1), &v, 2);
}

static inline bool h_owned(Hostile *h, unsigned area, unsigned ofs,
                           unsigned n)
{
    unsigned num = h->a.num, entry;

    if (h->a.packed) {
        entry = ofs / 16;
        return area == H_DEVICE ||
               (area == H_DESC && n == 8 && ofs % 16 == 8 &&
                (entry + num - h->pos.used_idx) % num < h->pos.inuse);
    }
    if (area != H_DEVICE) {
        return false;
    }
    if (ofs < 4) {
        return n == 2 && (ofs == 2 || !h->a.event_idx);
    }
    if (ofs == VIRTQ_AVAIL_EVENT_OFS(num)) {
        return n == 2 && h->a.event_idx;
    }
    entry = (ofs - 4) / 8;
    return n == 4 && (uint16_t)(entry - h->pos.used_idx) % num < h->pos.inuse;
}

static inline void h_step(Hostile *h)
{
    H_CHECK(++h->touches < H_LIMIT);
    if (h->mutate && h->left && h8(h) % 4 == 0) {
        h->mutate--;
        h->mutated = true;
        h_scribble(h);
    }
}

void ring_touch(const void *p, unsigned n, bool write)
{
    Hostile *h = h_now;
    const uint8_t *b = p;
    unsigned area, ofs;

    for (area = 0; area < H_TABLE; area++) {
        if (b >= h->host[area] && b + n <= h->host[area] + h->size[area]) {
            break;
        }
    }
    H_CHECK(area < H_TABLE);
    ofs = b - h->host[area];
    H_CHECK(ofs % n == 0);
    H_CHECK(!write || h_owned(h, area, ofs, n));
    for (unsigned i = 0; !write && i < n; i += 2) {
        h->reads[area][(ofs + i) / 2]++;
    }
    h_step(h);
}

void ring_fence(int order)
{
    (void)order;
}

static unsigned h_map(void *opaque, VirtRingSegs *segs, uint64_t addr,
                      uint32_t len, bool write)
{
    unsigned at = segs->size.out_num + segs->size.in_num;

    (void)opaque;
    (void)write;
    H_CHECK(len);
    H_CHECK(at < VRING_SEGMENTS_MAX);
    if (addr + len - 1 < addr || addr >> 48) {
        return 0;
    }
    /* Some buffers are in two places, and a few in as many as there may be */
    if (addr & 1 && len > 1) {
        unsigned most = addr % 32 == 1 ? VRING_SEGMENTS_MAX - at : 2;
        unsigned n = MIN(len, most);

        if (at + n > VRING_SEGMENTS_MAX) {
            return 0;
        }
        for (unsigned i = 0; i < n; i++) {
            segs->iov[at + i] = (struct iovec) {
                NULL, i + 1 < n ? 1 : len - i,
            };
            segs->addr[at + i] = addr + i;
        }
        return n;
    }
    segs->iov[at] = (struct iovec) { NULL, len };
    segs->addr[at] = addr;
    return 1;
}

static bool h_read(void *opaque, uint64_t addr, void *to, uint32_t len)
{
    Hostile *h = opaque;
    uint64_t area = (addr >> 28) - 1, ofs = addr & ((1u << 28) - 1);

    H_CHECK(len == 16);
    H_CHECK(addr + len - 1 >= addr);
    if (area >= H_AREAS || ofs > h->size[area] - MIN(len, h->size[area]) ||
        len > h->size[area]) {
        return false;
    }
    h_step(h);
    memcpy(to, h->host[area] + ofs, len);
    return true;
}

/* Before and after each call */
static inline void h_before(Hostile *h)
{
    for (unsigned i = 0; i < H_AREAS; i++) {
        memcpy(h->was[i], h->host[i], h->size[i]);
        memset(h->reads[i], 0, h->size[i] / 2);
    }
    h->pos_was = h->pos;
    h->touches = 0;
    h->mutated = false;
}

static inline bool h_same_pos(const VirtRingPos *a, const VirtRingPos *b)
{
    return a->last_avail_idx == b->last_avail_idx &&
           a->last_avail_wrap_counter == b->last_avail_wrap_counter &&
           a->used_idx == b->used_idx &&
           a->used_wrap_counter == b->used_wrap_counter &&
           a->notification == b->notification && a->inuse == b->inuse;
}

static inline void h_after(Hostile *h)
{
    unsigned num = h->a.num;

    h->mutate = 0;
    H_CHECK(h->pos.inuse <= num);
    if (h->a.packed) {
        H_CHECK(h->pos.last_avail_idx < num && h->pos.used_idx < num);
    }
    if (h->mutated) {
        return;
    }
    H_CHECK(!memcmp(h->was[H_TABLE], h->host[H_TABLE], h->size[H_TABLE]));
    H_CHECK(!memcmp(h->was[H_DRIVER], h->host[H_DRIVER],
                    h->size[H_DRIVER]));
    for (unsigned i = 0; i < num; i++) {
        bool out = h->a.packed &&
                   (i + num - h->pos_was.used_idx) % num < h->pos_was.inuse;

        H_CHECK(!memcmp(h->was[H_DESC] + 16 * i, h->host[H_DESC] + 16 * i,
                        out ? 8 : 16));
    }
}

static inline void h_check_chain(Hostile *h, const VirtRingChain *c,
                                 bool skipped)
{
    uint64_t sum[2] = { 0, 0 };
    unsigned total = h->segs.size.out_num + h->segs.size.in_num;

    H_CHECK(c->pos < h->a.num);
    H_CHECK(c->ndescs >= 1 && c->ndescs <= h->a.num);
    H_CHECK(h->a.packed || (c->id < h->a.num && c->ndescs == 1));
    if (!skipped) {
        H_CHECK(total >= 1 && total <= VRING_SEGMENTS_MAX);
        for (unsigned i = 0; i < total; i++) {
            sum[i >= h->segs.size.out_num] += h->segs.iov[i].iov_len;
        }
        H_CHECK(sum[0] == h->segs.size.out_len);
        H_CHECK(sum[1] == h->segs.size.in_len);
    }
    for (unsigned i = 0; !h->mutated && i < H_AREAS; i++) {
        for (unsigned j = 0; j < h->size[i] / 2; j++) {
            H_CHECK(h->reads[i][j] <= 1);
        }
    }
}

static inline VirtRingResult h_take(Hostile *h, bool skip)
{
    VirtRingChain c = { 0 };
    VirtRingResult result;

    h->ring.error = NULL;
    h_before(h);
    result = skip ? vring_skip(&h->ring, &h->a, &c) :
                    vring_fetch(&h->ring, &h->a, &h->mem, &c, &h->segs);
    h_after(h);
    h->done[result]++;
    if (result != VRING_CHAIN) {
        H_CHECK(h_same_pos(&h->pos, &h->pos_was));
        H_CHECK((result == VRING_BROKEN) == (h->ring.error != NULL));
        return result;
    }
    h_check_chain(h, &c, skip);
    H_CHECK(h->pos.inuse == h->pos_was.inuse + c.ndescs);
    /* If what is in flight is a riddle, let it be one without us */
    if (h->lost && h->n_held == H_MAX_NUM) {
        h->n_held = 0;
    }
    H_CHECK(h->n_held < H_MAX_NUM);
    h->held[h->n_held++] = (HHeld) {
        .chain = c, .in_len = skip ? 0 : h->segs.size.in_len,
    };
    h->last_out = true;
    return result;
}

static inline void h_take_again(Hostile *h, bool skip)
{
    if (h_take(h, skip) == VRING_BROKEN && !h->mutated) {
        H_CHECK(h_take(h, skip) == VRING_BROKEN);
    }
}

static inline void h_drop_held(Hostile *h, unsigned i)
{
    if (i == h->n_held - 1) {
        h->last_out = false;
    }
    h->n_held--;
    memmove(&h->held[i], &h->held[i + 1],
            (h->n_held - i) * sizeof(HHeld));
}

static inline uint32_t h_len(Hostile *h, const HHeld *held)
{
    return h8(h) % 2 ? MIN(held->in_len, UINT32_MAX) : 0;
}

static inline void h_return_in_order(Hostile *h)
{
    unsigned i = h8(h) % h->n_held, n;
    HHeld *held = &h->held[i];

    h_before(h);
    if (!held->filled) {
        bool ok = vring_fill(&h->ring, &h->a, &held->chain,
                             h_len(h, held), 0);

        H_CHECK(ok || h->lost);
        held->filled = true;
    }
    n = vring_flush(&h->ring, &h->a, 1);
    h_after(h);
    h->done[3] += n;
    while (!h->lost && n--) {
        H_CHECK(h->n_held && h->held[0].filled);
        h_drop_held(h, 0);
    }
}

static inline void h_return(Hostile *h)
{
    unsigned n = 1 + h8(h) % h->n_held, descs = 0;

    h_before(h);
    for (unsigned i = 0; i < n; i++) {
        unsigned at = h8(h) % h->n_held;

        H_CHECK(vring_fill(&h->ring, &h->a, &h->held[at].chain,
                           h_len(h, &h->held[at]), i));
        descs += h->held[at].chain.ndescs;
        h_drop_held(h, at);
    }
    H_CHECK(vring_flush(&h->ring, &h->a, n) == n);
    h_after(h);
    h->done[3] += n;
    H_CHECK(h->pos.inuse == h->pos_was.inuse - descs);
}

/*
 * The same position, a new engine: what a migration does. With @rubbish the
 * position is not that of this ring: it is refused, or must do no harm.
 */
static inline bool h_move(Hostile *h, bool rubbish)
{
    VirtRingChain c[H_MAX_NUM];
    uint32_t len[H_MAX_NUM];
    unsigned from = 0, n = 0;

    while (vring_finished(&h->ring, &h->a, &from, &c[n], &len[n])) {
        H_CHECK(++n <= h->a.num);
        if (n == H_MAX_NUM) {
            break;
        }
    }
    memset(h->ring.slots, 0x01, h->a.num * sizeof(VirtRingSlot));
    if (rubbish) {
        h->pos.last_avail_idx += h8(h) - 128;
        h->pos.used_idx += h8(h) - 128;
        h->pos.inuse = h8(h) % 32;
        h->pos.last_avail_wrap_counter ^= h8(h) & 1;
        h->n_held = 0;
        h->lost = true;
        h->last_out = false;
    }
    h_before(h);
    if (!vring_recover(&h->ring, &h->a)) {
        return false;
    }
    h_after(h);
    for (unsigned i = 0; i < n && !rubbish; i++) {
        vring_fill(&h->ring, &h->a, &c[i], len[i], 0);
    }
    if (h->a.in_order && h->n_held) {
        h->lost = true;
        h->last_out = false;
    }
    return true;
}

#include "hostile-driver.h"

static inline void h_init(Hostile *h)
{
    uint8_t f = h8(h), n = h8(h);
    bool packed = f & 1;
    unsigned num = packed ? 1 + n % H_MAX_NUM : 1u << n % 5;

    h->size[H_DESC] = 16 * num;
    h->size[H_DRIVER] = packed ? 4 : VIRTQ_USED_EVENT_OFS(num) + 2;
    h->size[H_DEVICE] = packed ? 4 : VIRTQ_AVAIL_EVENT_OFS(num) + 2;
    h->size[H_TABLE] = H_TABLES;
    for (unsigned i = 0; i < H_AREAS; i++) {
        h->host[i] = calloc(1, h->size[i]);
        h->was[i] = calloc(1, h->size[i]);
        h->reads[i] = calloc(1, h->size[i]);
    }
    h->a = (VirtRingAreas) {
        .desc = h->host[H_DESC], .driver = h->host[H_DRIVER],
        .device = h->host[H_DEVICE], .num = num, .packed = packed,
        .indirect = f & 2, .event_idx = f & 4, .in_order = f & 8,
        .on_empty = !packed && f & 16,
        .labels = packed && f & 16
            ? VRING_LABELS | (f & 64 ? VRING_READS_ON : 0) : 0,
    };
    h->pos = (VirtRingPos) {
        .last_avail_wrap_counter = true, .shadow_avail_wrap_counter = true,
        .used_wrap_counter = true, .notification = true,
    };
    h->ring = (VirtRing) {
        .pos = &h->pos, .slots = calloc(num, sizeof(VirtRingSlot)),
        .size = num,
    };
    h->mem = (VirtRingMem) { .map = h_map, .read = h_read, .opaque = h };
    if (f & 32) {
        for (unsigned i = 0; i < H_AREAS; i++) {
            for (unsigned j = 0; j < h->size[i] && h->left; j++) {
                h->host[i][j] = h8(h);
            }
        }
    }
}

static inline void h_fini(Hostile *h)
{
    for (unsigned i = 0; i < H_AREAS; i++) {
        free(h->host[i]);
        free(h->was[i]);
        free(h->reads[i]);
    }
    free(h->ring.slots);
}

static inline bool h_op(Hostile *h)
{
    uint8_t op = h8(h);
    uint64_t in, out;
    unsigned ndescs;

    switch (op % 16) {
    case 0:
    case 1:
    case 2:
        h_take_again(h, false);
        break;
    case 3:
        h_take_again(h, op & 16);
        break;
    case 4:
    case 5:
        if (h->n_held && h->a.in_order) {
            h_return_in_order(h);
        } else if (h->n_held) {
            h_return(h);
        }
        break;
    case 6:
        h_before(h);
        vring_should_notify(&h->ring, &h->a);
        h_after(h);
        H_CHECK(h_same_pos(&h->pos, &h->pos_was));
        break;
    case 7:
        h_before(h);
        vring_set_notification(&h->ring, &h->a, op & 16);
        h_after(h);
        break;
    case 8:
        h_before(h);
        vring_empty(&h->ring, &h->a);
        vring_more(&h->ring, &h->a, h->pos.shadow_avail_idx);
        vring_more(&h->ring, &h->a, h16(h));
        h_after(h);
        H_CHECK(h_same_pos(&h->pos, &h->pos_was));
        break;
    case 9:
        h_before(h);
        vring_avail_bytes(&h->ring, &h->a, &h->mem, &in, &out, h16(h),
                          h16(h));
        h_after(h);
        H_CHECK(h_same_pos(&h->pos, &h->pos_was));
        break;
    case 10:
        if (!h->last_out || h->lost || h->held[h->n_held - 1].filled) {
            break;
        }
        ndescs = h->held[h->n_held - 1].chain.ndescs;
        h_before(h);
        vring_unfetch(&h->ring, &h->a, 1, ndescs);
        h_after(h);
        H_CHECK(h->pos.inuse == h->pos_was.inuse - ndescs);
        h_drop_held(h, h->n_held - 1);
        break;
    case 11:
    case 12:
        h_offer(h);
        break;
    case 13:
        if (op & 16) {
            h_wish(h);
        } else {
            h_scribble(h);
        }
        break;
    case 14:
        h->mutate = 1 + (op >> 4);
        break;
    default:
        return op & 0xe0 || h_move(h, op & 16);
    }
    return true;
}

/* Run a program; @done: see Hostile, added to unless NULL */
static inline void hostile_run(const uint8_t *data, size_t size,
                               uint64_t *done)
{
    static Hostile h;

    memset(&h, 0, offsetof(Hostile, segs));
    memset(h.held, 0, sizeof(Hostile) - offsetof(Hostile, held));
    h.data = data;
    h.left = size;
    h_now = &h;
    h_init(&h);
    while (h.left && h_op(&h)) {
        continue;
    }
    for (unsigned i = 0; done && i < 4; i++) {
        done[i] += h.done[i];
    }
    h_fini(&h);
}

#endif
