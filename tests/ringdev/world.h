/*
 * The ring core beside naive.h: one step at a time, all compared after each
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A World is plain memory: it can be copied, and put back to where it was.
 * world_step() is a function of the World and its two arguments alone. What
 * it finds wrong it notes in error, it does not end the program.
 */
#ifndef RING_WORLD_H
#define RING_WORLD_H

#include "naive.h"
#include "ring.h"

typedef struct World {
    Naive n;
    VirtRingPos pos;
    VirtRingSlot slots[NAIVE_NUM];
    VirtRing ring;
    /* Numbers of chains, by who has them */
    uint16_t avail[NAIVE_NUM], n_avail;
    uint16_t held[NAIVE_NUM], n_held;   /* by the device, in ring order */
    uint16_t filled[NAIVE_NUM], n_filled;
    uint16_t used[NAIVE_NUM], n_used;   /* flushed and not reaped */
    VirtRingChain taken_as[NAIVE_NUM];
    bool done[NAIVE_NUM];               /* in order: filled, still held */
    uint16_t run;           /* of those taken last, can be given back */
    uint16_t pending;       /* fills since the last flush */
    uint64_t taken, returned, decided;  /* places */
    uint64_t asleep_at;     /* made, when the device fell asleep */
    bool asleep;            /* it comes back when it is kicked only */
    bool exact;             /* it decided about an interrupt before */
    const char *error;
} World;

enum {
    W_MAKE,         /* arg: shape, see world_make() */
    W_KICK,         /* the driver decides about a kick */
    W_REAP,
    W_FETCH,
    W_SKIP,
    W_FILL,         /* arg: which, and how much: % 3 none, some, all */
    W_FLUSH,
    W_UNFETCH,      /* arg: one less than how many */
    W_NOTIFY_OFF,
    W_NOTIFY_ON,    /* and look for the last time */
    W_DECIDE,       /* about an interrupt, for every wish of the driver */
    W_BYTES,        /* arg: limit, 0 for none */
    W_BYTES_SLEEP,  /* all, and sleep until there are more */
    W_EMPTY,
    W_MOVE,         /* a migration */
    W_RESET,        /* arg: the new size */
    W_OPS,
};

static const char *const world_names[] = {
    "make", "kick", "reap", "fetch", "skip", "fill", "flush", "unfetch",
    "notify off", "notify on", "decide", "bytes", "bytes, sleep", "empty",
    "move", "reset",
};

static VirtRingSegs world_segs;

#define W_CHECK(w, cond)                                                    \
    do {                                                                    \
        if (!(cond) && !(w)->error) {                                       \
            (w)->error = #cond;                                             \
        }                                                                   \
    } while (0)

static inline VirtRingAreas world_areas(World *w)
{
    return (VirtRingAreas) {
        .desc = w->n.desc, .driver = w->n.driver, .device = w->n.device,
        .num = w->n.num, .packed = w->n.packed,
        .event_idx = w->n.event_idx, .in_order = w->n.in_order,
        .indirect = w->n.indirect,
    };
}

static unsigned world_map(void *opaque, VirtRingSegs *segs, uint64_t addr,
                          uint32_t len, bool write)
{
    unsigned at = segs->size.out_num + segs->size.in_num;

    (void)opaque;
    segs->iov[at] = (struct iovec) {
        (void *)(uintptr_t)(addr << 1 | write), len,
    };
    segs->addr[at] = addr;
    return 1;
}

/*
 * Every other fetch can reach data without a question, the core's quick way.
 * The host address tells which way was taken.
 */
#define WORLD_DIRECT ((uint8_t *)0x4000000000000000ULL)

static inline bool world_is_direct(const World *w)
{
    return (w->taken + w->n.made) & 1;
}

static inline VirtRingDirect world_direct(const World *w)
{
    return world_is_direct(w)
        ? (VirtRingDirect) { NAIVE_DATA, 1 << 28, WORLD_DIRECT, false }
        : (VirtRingDirect) { 0 };
}

static bool world_read(void *opaque, uint64_t addr, void *to, uint32_t len)
{
    World *w = opaque;

    W_CHECK(w, len == 16);
    return naive_read_table(&w->n, addr, to);
}

static inline void world_init(World *w, uint64_t start)
{
    uint16_t num = w->n.num;
    VirtRingAreas a;

    naive_init(&w->n, start);
    w->taken = w->returned = w->decided = start;
    w->pos = (VirtRingPos) { .notification = true };
    if (w->n.packed) {
        w->pos.last_avail_idx = w->pos.used_idx = start % num;
        w->pos.last_avail_wrap_counter = naive_wrap(&w->n, start);
        w->pos.used_wrap_counter = naive_wrap(&w->n, start);
    } else {
        w->pos.last_avail_idx = w->pos.used_idx = start;
    }
    w->pos.shadow_avail_idx = w->pos.last_avail_idx;
    w->pos.shadow_avail_wrap_counter = w->pos.last_avail_wrap_counter;
    w->pos.signalled_used = w->pos.used_idx;
    w->pos.signalled_used_valid = w->exact = start != 0;
    w->ring = (VirtRing) {
        .pos = &w->pos, .slots = w->slots, .size = NAIVE_NUM,
    };
    /* Of a life before this one */
    memset(w->slots, 0x5b, sizeof(w->slots));
    a = world_areas(w);
    W_CHECK(w, vring_recover(&w->ring, &a));
}

/* After every step, whatever it was */
static inline void world_check(World *w)
{
    NaiveUsed list[NAIVE_NUM];
    const Naive *n = &w->n;
    int used = naive_used(n, list);

    W_CHECK(w, used == w->n_used);
    for (int i = 0; !w->error && i < used; i++) {
        W_CHECK(w, list[i].number == w->used[i]);
        W_CHECK(w, list[i].len == n->chain[list[i].number].written);
    }
    W_CHECK(w, naive_wish_legal(n));
    W_CHECK(w, w->pos.inuse == w->taken - w->returned);
    if (n->packed) {
        W_CHECK(w, w->pos.last_avail_idx == w->taken % n->num);
        W_CHECK(w, w->pos.used_idx == w->returned % n->num);
        W_CHECK(w, w->pos.last_avail_wrap_counter ==
                   naive_wrap(n, w->taken));
        W_CHECK(w, w->pos.used_wrap_counter == naive_wrap(n, w->returned));
    } else {
        W_CHECK(w, w->pos.last_avail_idx == (uint16_t)w->taken);
        W_CHECK(w, w->pos.used_idx == (uint16_t)w->returned);
    }
}

/* 2.7.5.1, 2.7.6, 2.8.21: what the device may not write it has not written */
static inline void world_check_memory(World *w, const Naive *was,
                                      uint64_t taken, uint64_t returned)
{
    const Naive *n = &w->n;

    W_CHECK(w, !memcmp(n->driver, was->driver, sizeof(n->driver)));
    for (unsigned i = 0; i < n->num; i++) {
        bool out = false;

        for (uint64_t place = returned; place < taken; place++) {
            out |= n->packed && place % n->num == i;
        }
        W_CHECK(w, !memcmp(n->desc + 16 * i, was->desc + 16 * i,
                           out ? 8 : 16));
    }
}

static inline unsigned world_places(const World *w, unsigned number)
{
    return w->n.packed ? w->n.chain[number].ndescs : 1;
}

static inline uint16_t world_drop(uint16_t *list, uint16_t *n, unsigned at)
{
    uint16_t number = list[at];

    --*n;
    memmove(&list[at], &list[at + 1], (*n - at) * sizeof(*list));
    return number;
}

/* @arg: 0-2 the usual ones, then by its digits */
static inline bool world_make(World *w, unsigned arg)
{
    unsigned out = arg == 0 ? 0 : 1, in = 1, direct = 0;
    bool table = arg == 2;
    int number;

    if (arg > 2) {
        out = arg % 3;
        in = arg / 3 % 3 + !out;
        table = arg / 9 % 2;
        /* 2.8.19: no direct descriptors before a packed ring's table */
        direct = w->n.packed ? 0 : arg / 18 % (out + in);
    }
    number = naive_make(&w->n, out, in, table, direct);
    if (number < 0) {
        return false;
    }
    w->avail[w->n_avail++] = number;
    return true;
}

static inline void world_kick(World *w)
{
    bool due = naive_kick_due(&w->n);

    /* 2.7.10, 2.8.10: who sleeps must be woken */
    W_CHECK(w, due || !w->asleep || w->n.made == w->asleep_at);
    /* 2.7.10.2, 2.8.14: and the others left alone */
    W_CHECK(w, !due || w->pos.notification ||
               (w->n.event_idx && !w->n.packed));
    w->n.kicked = w->n.made;
    if (due) {
        w->asleep = false;
    }
}

static inline bool world_reap(World *w)
{
    NaiveUsed list[NAIVE_NUM];

    if (!w->n_used) {
        return false;
    }
    naive_used(&w->n, list);
    naive_reap(&w->n, list);
    world_drop(w->used, &w->n_used, 0);
    return true;
}

static inline void world_check_segs(World *w, unsigned number)
{
    const NaiveChain *c = &w->n.chain[number];

    W_CHECK(w, world_segs.size.out_num == c->out);
    W_CHECK(w, world_segs.size.in_num == c->in);
    W_CHECK(w, world_segs.size.out_len == naive_readable(c));
    W_CHECK(w, world_segs.size.in_len == naive_writable(c));
    for (unsigned i = 0; !w->error && i < c->out + c->in; i++) {
        uint64_t addr = naive_addr(number, i);

        W_CHECK(w, world_segs.addr[i] == addr);
        W_CHECK(w, (uintptr_t)world_segs.iov[i].iov_base ==
                   (addr << 1 | (i >= c->out)) ||
                   (world_is_direct(w) && world_segs.iov[i].iov_base ==
                    WORLD_DIRECT + (addr - NAIVE_DATA)));
        W_CHECK(w, world_segs.iov[i].iov_len == naive_len(i));
    }
}

static inline void world_sleep(World *w)
{
    w->asleep = true;
    w->asleep_at = w->n.made;
}

static inline void world_fetch(World *w, bool skip)
{
    VirtRingAreas a = world_areas(w);
    VirtRingMem mem = { world_direct(w), world_map, world_read, w };
    VirtRingChain c = { 0 };
    VirtRingResult result =
        skip ? vring_skip(&w->ring, &a, &c)
             : vring_fetch(&w->ring, &a, &mem, &c, &world_segs);
    unsigned number;

    W_CHECK(w, result == (w->n_avail ? VRING_CHAIN : VRING_NONE));
    if (w->error) {
        return;
    }
    if (result == VRING_NONE) {
        if (w->pos.notification) {
            world_sleep(w);
        }
        return;
    }
    w->asleep = false;
    number = world_drop(w->avail, &w->n_avail, 0);
    W_CHECK(w, c.id == w->n.chain[number].id);
    W_CHECK(w, c.ndescs == world_places(w, number));
    W_CHECK(w, c.pos == w->taken % w->n.num);
    if (!skip) {
        world_check_segs(w, number);
    }
    w->held[w->n_held++] = number;
    w->taken_as[number] = c;
    w->done[number] = false;
    w->taken += world_places(w, number);
    w->run++;
}

static inline bool world_fill(World *w, unsigned arg)
{
    VirtRingAreas a = world_areas(w);
    unsigned at = arg / 3, number;
    uint32_t writable;

    if (at >= w->n_held || w->done[w->held[at]]) {
        return false;
    }
    number = w->held[at];
    writable = naive_writable(&w->n.chain[number]);
    w->n.chain[number].written = arg % 3 == 2 ? writable :
                                 arg % 3 == 1 ? MIN(1, writable) : 0;
    W_CHECK(w, vring_fill(&w->ring, &a, &w->taken_as[number],
                          w->n.chain[number].written, w->pending));
    w->pending++;
    w->run = MIN(w->run, w->n_held - 1 - at);
    if (w->n.in_order) {
        w->done[number] = true;
    } else {
        w->filled[w->n_filled++] = world_drop(w->held, &w->n_held, at);
    }
    return true;
}

static inline bool world_flush(World *w)
{
    VirtRingAreas a = world_areas(w);
    unsigned published;

    if (!w->pending) {
        return false;
    }
    published = vring_flush(&w->ring, &a, w->pending);
    w->pending = 0;
    while (w->n.in_order && w->n_held && w->done[w->held[0]]) {
        w->filled[w->n_filled++] = world_drop(w->held, &w->n_held, 0);
    }
    W_CHECK(w, published == w->n_filled);
    while (w->n_filled) {
        unsigned number = world_drop(w->filled, &w->n_filled, 0);

        w->used[w->n_used++] = number;
        w->returned += world_places(w, number);
    }
    return true;
}

static inline bool world_unfetch(World *w, unsigned chains)
{
    VirtRingAreas a = world_areas(w);
    unsigned ndescs = 0;

    if (chains > w->run) {
        return false;
    }
    for (unsigned i = 0; i < chains; i++) {
        unsigned number = w->held[--w->n_held];

        ndescs += world_places(w, number);
        memmove(&w->avail[1], &w->avail[0],
                w->n_avail * sizeof(w->avail[0]));
        w->avail[0] = number;
        w->n_avail++;
    }
    vring_unfetch(&w->ring, &a, chains, ndescs);
    w->taken -= ndescs;
    w->run -= chains;
    /* ring.h: it must come back without being told */
    w->asleep = false;
    return true;
}

static inline void world_notify(World *w, bool on)
{
    VirtRingAreas a = world_areas(w);

    vring_set_notification(&w->ring, &a, on);
    W_CHECK(w, w->pos.notification == on);
    w->asleep = false;
    if (on && vring_empty(&w->ring, &a)) {
        W_CHECK(w, !w->n_avail);
        world_sleep(w);
    }
}

/* Once with the wish that is there now; the World is then as it was */
static inline void world_ask(World *w)
{
    VirtRingAreas a = world_areas(w);
    VirtRingPos pos = w->pos;
    bool due = naive_interrupt_due(&w->n, w->decided, w->returned);
    bool yes = vring_should_notify(&w->ring, &a);

    W_CHECK(w, yes || !due);
    /* Of more than a lap, or the first time, it may be one too many */
    if (w->exact && w->returned - w->decided <= w->n.num) {
        W_CHECK(w, !yes || due);
    }
    w->pos = pos;
}

/* Every wish that could be meant for places around those returned */
static inline void world_decide(World *w)
{
    VirtRingAreas a = world_areas(w);
    Naive *n = &w->n;
    uint8_t was[sizeof(n->driver)];
    uint8_t *flags = n->packed ? n->driver + 2 : n->driver;
    uint8_t *event = n->packed ? n->driver : n->driver + 4 + 2 * n->num;
    uint64_t from = MAX(w->decided, 2) - 2;

    memcpy(was, n->driver, sizeof(was));
    for (unsigned f = 0; f < (n->packed ? 4 : 2); f++) {
        naive_put(flags, f, 2);
        for (uint64_t place = from; place <= w->decided + 2 * n->num;
             place++) {
            naive_put(event, n->packed ? naive_event(n, place) : place, 2);
            world_ask(w);
            if (!n->packed) {
                naive_put(event, place ^ 0x8000, 2);
                world_ask(w);
            }
        }
    }
    memcpy(n->driver, was, sizeof(was));
    vring_should_notify(&w->ring, &a);
    w->decided = w->returned;
    w->exact = true;
}

static inline void world_bytes(World *w, uint64_t limit, bool sleep)
{
    VirtRingAreas a = world_areas(w);
    VirtRingMem mem = { .map = world_map, .read = world_read, .opaque = w };
    uint64_t in, out, all_in = 0, all_out = 0;
    bool more;

    for (unsigned i = 0; i < w->n_avail; i++) {
        all_in += naive_writable(&w->n.chain[w->avail[i]]);
        all_out += naive_readable(&w->n.chain[w->avail[i]]);
    }
    W_CHECK(w, vring_avail_bytes(&w->ring, &a, &mem, &in, &out, limit,
                                 limit));
    W_CHECK(w, in <= all_in && out <= all_out);
    W_CHECK(w, in >= MIN(all_in, limit) && out >= MIN(all_out, limit));
    if (sleep) {
        vring_set_notification(&w->ring, &a, true);
        more = vring_more(&w->ring, &a, w->pos.shadow_avail_idx);
        W_CHECK(w, !more);
        world_sleep(w);
    }
}

/* What a migration does: the position moves, the engine is a new one */
static inline bool world_move(World *w)
{
    VirtRingAreas a = world_areas(w);
    VirtRingChain c[NAIVE_NUM];
    uint32_t len[NAIVE_NUM];
    unsigned from = 0, count = 0;

    if (w->n_filled) {
        return false;
    }
    while (count < NAIVE_NUM &&
           vring_finished(&w->ring, &a, &from, &c[count], &len[count])) {
        count++;
    }
    memset(w->slots, 0x5b, sizeof(w->slots));
    W_CHECK(w, vring_recover(&w->ring, &a));
    for (unsigned i = 0; i < count; i++) {
        W_CHECK(w, vring_fill(&w->ring, &a, &c[i], len[i], 0));
    }
    return true;
}

/* What the device holds it detaches, without returning it */
static inline bool world_reset(World *w, unsigned num)
{
    World old = *w;

    if (!num || num > NAIVE_NUM || (!w->n.packed && (num & (num - 1)))) {
        return false;
    }
    memset(w, 0, sizeof(*w));
    w->n.num = num;
    w->n.packed = old.n.packed;
    w->n.event_idx = old.n.event_idx;
    w->n.in_order = old.n.in_order;
    w->n.indirect = old.n.indirect;
    world_init(w, 0);
    return true;
}

static inline bool world_do(World *w, unsigned op, unsigned arg)
{
    VirtRingAreas a;

    switch (op) {
    case W_MAKE:
        return world_make(w, arg);
    case W_KICK:
        return w->n.made != w->n.kicked ? world_kick(w), true : false;
    case W_REAP:
        return world_reap(w);
    case W_FETCH:
    case W_SKIP:
        world_fetch(w, op == W_SKIP);
        return true;
    case W_FILL:
        return world_fill(w, arg);
    case W_FLUSH:
        return world_flush(w);
    case W_UNFETCH:
        return world_unfetch(w, arg + 1);
    case W_NOTIFY_OFF:
    case W_NOTIFY_ON:
        world_notify(w, op == W_NOTIFY_ON);
        return true;
    case W_DECIDE:
        return w->decided != w->returned ? world_decide(w), true : false;
    case W_BYTES:
        world_bytes(w, arg ? arg : UINT64_MAX, false);
        return true;
    case W_BYTES_SLEEP:
        world_bytes(w, UINT64_MAX, true);
        return true;
    case W_EMPTY:
        a = world_areas(w);
        W_CHECK(w, vring_empty(&w->ring, &a) == !w->n_avail);
        return true;
    case W_MOVE:
        return world_move(w);
    default:
        return world_reset(w, arg);
    }
}

/*
 * Returns false, and has changed nothing, if this cannot be done now. Whether
 * it went wrong says w->error.
 */
static inline bool world_step(World *w, unsigned op, unsigned arg)
{
    Naive was = w->n;
    uint64_t taken = w->taken, returned = w->returned;

    if (!world_do(w, op, arg)) {
        return false;
    }
    if (!w->error && op > W_REAP && op != W_RESET) {
        world_check_memory(w, &was, taken, returned);
    }
    if (!w->error) {
        world_check(w);
    }
    return true;
}

#endif
