/*
 * What a hostile driver writes that looks like work; part of hostile.h
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef RING_HOSTILE_DRIVER_H
#define RING_HOSTILE_DRIVER_H

/* Something that looks like work, so that the device gets deep */
static inline void h_plausible_desc(Hostile *h, uint8_t *p, unsigned shape,
                                    uint16_t extra, uint16_t next)
{
    uint64_t addr = 0x90000000ULL + h16(h);
    uint32_t len = 1 + h8(h);
    uint16_t flags = (shape & 1 ? VIRTQ_DESC_F_NEXT : 0) |
                     (shape & 2 ? VIRTQ_DESC_F_WRITE : 0) | extra;

    if ((shape & 28) == 4) {
        flags |= VIRTQ_DESC_F_INDIRECT;
        addr = H_AT(H_TABLE) + h8(h) % 8 * 16;
        len = 16 * (1 + h8(h) % 8);
        if (h8(h) % 16 == 0) {
            /* At the end of all addresses, and over it */
            addr = -16ULL * (h8(h) % 8);
        }
    }
    memcpy(p, &addr, 8);
    memcpy(p + 8, &len, 4);
    memcpy(p + (h->a.packed ? 14 : 12), &flags, 2);
    memcpy(p + (h->a.packed ? 12 : 14), &next, 2);
}

static inline void h_offer(Hostile *h)
{
    unsigned num = h->a.num, n = 1 + h8(h) % 3, shape = h8(h);

    for (unsigned i = 0; i < n; i++) {
        bool last = i + 1 == n;
        unsigned s = (shape & ~1u) | (!last && shape & 0x40);

        if (h->a.packed) {
            unsigned at = h->pos.last_avail_idx + i;
            bool wrap = h->pos.last_avail_wrap_counter ^ (at >= num);

            h_plausible_desc(h, h->host[H_DESC] + at % num * 16, s,
                             wrap ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED,
                             h8(h));
        } else {
            unsigned at = h8(h) % num;
            uint16_t idx, head = at;

            h_plausible_desc(h, h->host[H_DESC] + at * 16, s, 0,
                             h8(h) % num);
            idx = h->pos.last_avail_idx + i;
            memcpy(h->host[H_DRIVER] + 4 + 2 * (idx % num), &head, 2);
            idx++;
            memcpy(h->host[H_DRIVER] + 2, &idx, 2);
        }
    }
    for (unsigned i = 0; i < 4; i++) {
        uint8_t back = h8(h);

        h_plausible_desc(h, h->host[H_TABLE] + i * 16, h8(h) & 3, 0,
                         back % 8 ? i + 1 : back / 8 % 4);
    }
}

/* A wish about interrupts: somewhere near, or rubbish */
static inline void h_wish(Hostile *h)
{
    uint16_t flags = h8(h) % 8, event = h->pos.used_idx + h8(h) % 8 - 4;

    if (h->a.packed) {
        event = event % h->a.num | (h8(h) & 1) << 15;
        memcpy(h->host[H_DRIVER], &event, 2);
        memcpy(h->host[H_DRIVER] + 2, &flags, 2);
    } else {
        memcpy(h->host[H_DRIVER], &flags, 2);
        memcpy(h->host[H_DRIVER] + VIRTQ_USED_EVENT_OFS(h->a.num), &event, 2);
    }
}

#endif
