/*
 * A driver and the rules of the standard, written as plainly as possible
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the ring core is compared with, so it shares nothing with it and
 * nothing with the driver library: bytes are put where the standard says, and
 * places in the ring are counted from the start of the queue without end.
 * Place n is position n % num of lap n / num, and laps 0, 2, 4 ... have wrap
 * counter 1; no counter ever flips here, no index is compared modulo anything.
 * A split ring's places are chains, a packed ring's are descriptors.
 *
 * Section numbers are those of virtio 1.3.
 */
#ifndef RING_NAIVE_H
#define RING_NAIVE_H

#include "qemu/osdep.h"
#include <string.h>

/* May be set smaller, where many copies of the state are made */
#ifndef NAIVE_NUM
#define NAIVE_NUM   64u
#endif
#define NAIVE_BUFS  6u
#define NAIVE_DATA  0x80000000ULL
#define NAIVE_TABLE 0x10000000ULL

typedef struct NaiveChain {
    uint16_t id;            /* of its used entry */
    uint16_t ndescs;        /* descriptors it takes in the ring */
    uint16_t out, in;       /* buffers */
    uint16_t direct;        /* of these, before the indirect table */
    uint16_t head;          /* split: first descriptor */
    uint32_t written;       /* by the device */
    bool busy, table;
} NaiveChain;

typedef struct Naive {
    uint8_t desc[16 * NAIVE_NUM];
    uint8_t driver[6 + 2 * NAIVE_NUM];
    uint8_t device[6 + 8 * NAIVE_NUM];
    uint64_t made, reaped;  /* places */
    uint64_t kicked;        /* made, at the last decision about a kick */
    NaiveChain chain[NAIVE_NUM];
    uint16_t out[NAIVE_NUM], n_out; /* chains not reaped, oldest first */
    bool taken[NAIVE_NUM];  /* split: descriptors */
    uint16_t next_desc;     /* split, in order */
    uint16_t known;         /* in order: returned by an entry read before */
    uint32_t known_len;     /* what was written to the last of them */
    uint16_t num;
    bool packed, event_idx, in_order, indirect;
} Naive;

static inline void naive_put(uint8_t *p, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        p[i] = v >> (8 * i);
    }
}

static inline uint64_t naive_get(const uint8_t *p, unsigned bytes)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < bytes; i++) {
        v |= (uint64_t)p[i] << (8 * i);
    }
    return v;
}

/* 2.8.1: both wrap counters start at 1 and change at each lap */
static inline bool naive_wrap(const Naive *n, uint64_t place)
{
    return place / n->num % 2 == 0;
}

/* A position as event suppression structures have it (2.8.14) */
static inline uint16_t naive_event(const Naive *n, uint64_t place)
{
    return place % n->num + (naive_wrap(n, place) ? 0x8000 : 0);
}

static inline uint32_t naive_len(unsigned buf)
{
    return 16 + buf;
}

static inline uint64_t naive_addr(unsigned c, unsigned buf)
{
    return NAIVE_DATA + c * 0x10000 + buf * 0x100;
}

static inline uint32_t naive_writable(const NaiveChain *c)
{
    uint32_t sum = 0;

    for (unsigned i = c->out; i < c->out + c->in; i++) {
        sum += naive_len(i);
    }
    return sum;
}

static inline uint32_t naive_readable(const NaiveChain *c)
{
    uint32_t sum = 0;

    for (unsigned i = 0; i < c->out; i++) {
        sum += naive_len(i);
    }
    return sum;
}

/* A queue that was @start places further than its first when it got empty */
static inline void naive_init(Naive *n, uint64_t start)
{
    n->made = n->reaped = n->kicked = start;
    if (n->packed) {
        /* All of it was used in this lap or the one before; or is zero */
        for (unsigned i = 0; i < n->num && start; i++) {
            bool wrap = naive_wrap(n, start) ^ (i >= start % n->num);

            naive_put(n->desc + 16 * i + 14, wrap ? 0x8080 : 0, 2);
        }
    } else {
        naive_put(n->driver + 2, start, 2);
        naive_put(n->device + 2, start, 2);
        naive_put(n->device + 4 + 8 * n->num, start, 2);
        n->next_desc = start % n->num;
    }
}

/* The descriptor of buffer @i, or of the table if that is next; flags: 2.7.5 */
static inline void naive_desc(const Naive *n, uint8_t *p, const NaiveChain *c,
                              unsigned i, uint16_t flags, uint16_t other)
{
    unsigned number = c - n->chain, bufs = c->out + c->in;

    if (c->table && i == c->direct) {
        naive_put(p, NAIVE_TABLE + number * 0x1000, 8);
        naive_put(p + 8, 16 * (bufs - i), 4);
        flags |= 4;
    } else {
        naive_put(p, naive_addr(number, i), 8);
        naive_put(p + 8, naive_len(i), 4);
        flags |= i >= c->out ? 2 : 0;
    }
    naive_put(p + (n->packed ? 14 : 12), flags, 2);
    naive_put(p + (n->packed ? 12 : 14), other, 2);
}

/* 16 bytes of an indirect table; false where no table is */
static inline bool naive_read_table(const Naive *n, uint64_t addr, uint8_t *to)
{
    unsigned number = (addr - NAIVE_TABLE) / 0x1000;
    unsigned at = (addr - NAIVE_TABLE) % 0x1000 / 16;
    const NaiveChain *c = &n->chain[number];
    unsigned i, bufs;

    if (addr < NAIVE_TABLE || number >= n->num || !c->table || addr % 16) {
        return false;
    }
    bufs = c->out + c->in - c->direct;
    if (at >= bufs) {
        return false;
    }
    /* 2.8.7: in a packed table the order is that of the table, NEXT is not */
    i = c->direct + at;
    naive_put(to, naive_addr(number, i), 8);
    naive_put(to + 8, naive_len(i), 4);
    naive_put(to + (n->packed ? 14 : 12), (i >= c->out ? 2 : 0) +
              (!n->packed && at + 1 < bufs ? 1 : 0), 2);
    naive_put(to + (n->packed ? 12 : 14), n->packed ? 0x77 : at + 1, 2);
    return true;
}

static inline unsigned naive_free(const Naive *n)
{
    unsigned used = 0;

    for (unsigned i = 0; i < n->num; i++) {
        used += n->packed ? (n->chain[i].busy ? n->chain[i].ndescs : 0)
                          : n->taken[i];
    }
    return n->num - used;
}

static inline void naive_make_split(Naive *n, NaiveChain *c)
{
    uint16_t at[NAIVE_BUFS] = { 0 }, idx = n->made;

    for (unsigned i = 0; i < c->ndescs; i++) {
        /* 2.7.9: in order, descriptors are taken round the table */
        at[i] = n->in_order ? n->next_desc : 0;
        while (n->taken[at[i]]) {
            at[i]++;
        }
        n->taken[at[i]] = true;
        n->next_desc = (at[i] + 1) % n->num;
    }
    c->head = c->id = at[0];
    for (unsigned i = 0; i < c->ndescs; i++) {
        bool last = i + 1 == c->ndescs;

        naive_desc(n, n->desc + 16 * at[i], c, i, last ? 0 : 1,
                   last ? 0xffff : at[i + 1]);
    }
    naive_put(n->driver + 4 + 2 * (idx % n->num), c->head, 2);
    naive_put(n->driver + 2, (uint16_t)(idx + 1), 2);
    n->made++;
}

static inline void naive_make_packed(Naive *n, NaiveChain *c)
{
    /* 2.8.6: any id does, and only that of the last descriptor counts */
    c->id = 0x4001 + 0x101 * (c - n->chain);
    for (unsigned i = 0; i < c->ndescs; i++) {
        uint64_t place = n->made + i;
        bool last = i + 1 == c->ndescs;

        naive_desc(n, n->desc + 16 * (place % n->num), c, i,
                   (naive_wrap(n, place) ? 0x80 : 0x8000) + (last ? 0 : 1),
                   last ? c->id : 0xbad);
    }
    n->made += c->ndescs;
}

/*
 * Make a chain available. With @table, buffers from @direct on are in an
 * indirect table. Returns its number, negative if there is no room.
 */
static inline int naive_make(Naive *n, unsigned out, unsigned in, bool table,
                             unsigned direct)
{
    unsigned number = 0, ndescs = table ? direct + 1 : out + in;
    NaiveChain *c;

    if (ndescs > naive_free(n) || (table && !n->indirect)) {
        return -1;
    }
    while (n->chain[number].busy) {
        number++;
    }
    c = &n->chain[number];
    *c = (NaiveChain) {
        .busy = true, .table = table, .out = out, .in = in,
        .direct = table ? direct : 0, .ndescs = ndescs,
    };
    if (n->packed) {
        naive_make_packed(n, c);
    } else {
        naive_make_split(n, c);
    }
    n->out[n->n_out++] = number;
    return number;
}

typedef struct NaiveUsed {
    uint16_t number;
    uint16_t more;          /* so many after it by the same entry */
    uint32_t len;
} NaiveUsed;

/* Number of the chain with @id, among those not reaped nor in @seen */
static inline int naive_find(const Naive *n, uint32_t id,
                             const NaiveUsed *seen, unsigned n_seen)
{
    for (unsigned i = 0; i < n->n_out; i++) {
        bool known = false;

        for (unsigned j = 0; j < n_seen; j++) {
            known |= seen[j].number == n->out[i];
        }
        if (!known && n->chain[n->out[i]].id == id) {
            return n->out[i];
        }
    }
    return -1;
}

/*
 * Add what an entry with @id and @len returns to @list. In order (2.7.9,
 * 2.8.8) those made before it are returned too, and were written in full.
 * Returns how many chains it returns; 0 if that cannot be.
 */
static inline unsigned naive_entry(const Naive *n, uint32_t id, uint32_t len,
                                   NaiveUsed *list, unsigned count)
{
    int number = naive_find(n, id, list, count);
    unsigned from = count;

    if (number < 0) {
        return 0;
    }
    while (n->in_order && n->out[count] != number) {
        const NaiveChain *c = &n->chain[n->out[count]];

        list[count] = (NaiveUsed) {
            .number = n->out[count], .len = naive_writable(c),
        };
        count++;
    }
    list[count++] = (NaiveUsed) { .number = number, .len = len };
    for (unsigned i = from; i < count; i++) {
        list[i].more = count - 1 - i;
    }
    return count - from;
}

/* What the device has returned and was not reaped; negative if it is rubbish */
static inline int naive_used(const Naive *n, NaiveUsed *list)
{
    uint64_t place = n->reaped;
    unsigned count = 0, got;

    for (; count < n->known; count++) {
        const NaiveChain *c = &n->chain[n->out[count]];
        unsigned more = n->known - 1 - count;

        list[count] = (NaiveUsed) {
            .number = n->out[count], .more = more,
            .len = more ? naive_writable(c) : n->known_len,
        };
        place += n->packed ? c->ndescs : 1;
    }
    while (count < n->n_out) {
        const uint8_t *p;

        if (n->packed) {
            uint16_t flags;

            p = n->desc + 16 * (place % n->num);
            flags = naive_get(p + 14, 2);
            /* 2.8.1: used if both flags are as the wrap counter */
            if ((flags & 0x8080) != (naive_wrap(n, place) ? 0x8080 : 0)) {
                return count;
            }
            /* 2.8.4: the length counts if the WRITE flag is set */
            if (!(flags & 2) != !naive_get(p + 8, 4) || flags & 5) {
                return -1;
            }
            got = naive_entry(n, naive_get(p + 12, 2), naive_get(p + 8, 4),
                              list, count);
        } else {
            uint16_t idx = naive_get(n->device + 2, 2);

            if (idx == (uint16_t)place) {
                return count;
            }
            p = n->device + 4 + 8 * (place % n->num);
            got = naive_entry(n, naive_get(p, 4), naive_get(p + 4, 4), list,
                              count);
        }
        if (!got) {
            return -1;
        }
        for (unsigned i = count; i < count + got; i++) {
            place += n->packed ? n->chain[list[i].number].ndescs : 1;
        }
        count += got;
    }
    if (!n->packed && (uint16_t)naive_get(n->device + 2, 2) !=
                      (uint16_t)place) {
        return -1;
    }
    return count;
}

/* Take the one that comes first in @list, which is from naive_used() */
static inline void naive_reap(Naive *n, const NaiveUsed *list)
{
    NaiveChain *c = &n->chain[list->number];
    unsigned i = 0, at = c->head;

    n->known = list->more;
    n->known_len = list[list->more].len;
    for (unsigned left = c->ndescs; !n->packed && left; left--) {
        n->taken[at] = false;
        at = naive_get(n->desc + 16 * at + 14, 2);
    }
    n->reaped += n->packed ? c->ndescs : 1;
    c->busy = false;
    while (n->out[i] != list->number) {
        i++;
    }
    n->n_out--;
    memmove(&n->out[i], &n->out[i + 1], (n->n_out - i) * sizeof(n->out[0]));
}

/*
 * Is a notification due for the places from @from on, before @to, if the
 * other side's wish is what @p has? @p: split: the flags; packed: the event
 * suppression structure. @event: split: the event index.
 */
static inline bool naive_due(const Naive *n, const uint8_t *p,
                             const uint8_t *event, uint64_t from, uint64_t to)
{
    uint16_t wish = naive_get(n->packed ? p : event, 2);
    uint16_t flags = naive_get(n->packed ? p + 2 : p, 2);

    if (!n->event_idx || (n->packed && flags != 2)) {
        /* 2.7.7.2, 2.7.10, 2.8.10: 1 is "do not" */
        return n->packed ? flags != 1 : !(flags & 1);
    }
    for (uint64_t place = from; place < to; place++) {
        if (wish == (n->packed ? naive_event(n, place) : (uint16_t)place)) {
            return true;
        }
    }
    return false;
}

/* 2.7.10.2, 2.8.14: does the device say what it may say? */
static inline bool naive_wish_legal(const Naive *n)
{
    uint16_t flags = naive_get(n->device + (n->packed ? 2 : 0), 2);
    bool off = n->packed &&
               (naive_get(n->device, 2) & 0x7fff) >= n->num;

    if (n->packed) {
        return flags <= 1 || (flags == 2 && n->event_idx && !off);
    }
    return flags <= (n->event_idx ? 0 : 1);
}

/* 2.7.10, 2.8.10: is the driver to kick? */
static inline bool naive_kick_due(const Naive *n)
{
    return naive_due(n, n->device, n->device + 4 + 8 * n->num, n->kicked,
                     n->made);
}

/* 2.7.7.2, 2.8.10: is the device to interrupt for these places? */
static inline bool naive_interrupt_due(const Naive *n, uint64_t from,
                                       uint64_t to)
{
    return naive_due(n, n->driver, n->driver + 4 + 2 * n->num, from, to);
}

#endif
