/*
 * vhost-pci-blk: the vhost-user backend
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <stdlib.h>
#include <string.h>
#include "backend.h"

#define BIT(n) (1ull << (n))
#define F_INDIRECT     28
#define F_EVENT_IDX    29
#define F_VERSION_1    32
#define F_PACKED       34
#define FEATURES (BIT(F_INDIRECT) | BIT(F_EVENT_IDX) | BIT(F_VERSION_1) |    \
                  BIT(F_PACKED) | BIT(VHOST_PCI_F_PROTOCOL_FEATURES))
#define PROTOCOL_FEATURES (BIT(VHOST_PCI_P_MQ) | BIT(VHOST_PCI_P_CONFIG) |   \
                           BIT(VHOST_PCI_P_REPLY_ACK))

/* Requests of one ring before the others have their turn */
#define BURST 64

/* Where [addr, addr + len) is, and how much in one piece; NULL: nowhere */
static uint8_t *find(const struct backend *b, uint64_t addr, bool guest,
                     uint64_t *len)
{
    for (unsigned i = 0; i < b->nregions; i++) {
        const struct region *r = &b->regions[i];
        uint64_t at = addr - (guest ? r->gpa : r->uaddr);

        if (addr >= (guest ? r->gpa : r->uaddr) && at < r->size && r->host) {
            if (*len > r->size - at) {
                *len = r->size - at;
            }
            return r->host + at;
        }
    }
    return NULL;
}

static unsigned map(void *opaque, VirtRingSegs *segs, uint64_t addr,
                    uint32_t len, bool write)
{
    const unsigned first = segs->size.out_num + segs->size.in_num;
    unsigned n = 0;

    (void)write;
    while (len) {
        uint64_t piece = len;
        uint8_t *host = find(opaque, addr, true, &piece);

        if (!host || first + n >= VRING_SEGMENTS_MAX) {
            return 0;
        }
        segs->iov[first + n] = (struct iovec) { host, piece };
        segs->addr[first + n] = addr;
        n++;
        addr += piece;
        len -= piece;
    }
    return n;
}

static bool read_mem(void *opaque, uint64_t addr, void *to, uint32_t len)
{
    while (len) {
        uint64_t piece = len;
        const uint8_t *host = find(opaque, addr, true, &piece);

        if (!host) {
            return false;
        }
        memcpy(to, host, piece);
        to = (uint8_t *)to + piece;
        addr += piece;
        len -= piece;
    }
    return true;
}

static uint8_t *area(const struct backend *b, uint64_t uaddr, uint64_t len,
                     unsigned align)
{
    uint64_t whole = len;
    uint8_t *host = uaddr % align ? NULL : find(b, uaddr, false, &whole);

    return host && whole == len ? host : NULL;
}

/* Find a ring's areas again; a ring that is not to be had does not run. */
static void locate(struct backend *b, struct ring *r)
{
    VirtRingAreas *a = &r->areas;
    bool packed = b->features & BIT(F_PACKED);

    *a = (VirtRingAreas) {
        .num = r->num,
        .packed = packed,
        .event_idx = b->features & BIT(F_EVENT_IDX),
        .indirect = b->features & BIT(F_INDIRECT),
        .desc = area(b, r->addr.desc, 16ull * r->num, 16),
        .driver = area(b, r->addr.avail, packed ? 4 : 6 + 2ull * r->num,
                       packed ? 4 : 2),
        .device = area(b, r->addr.used, packed ? 4 : 6 + 8ull * r->num, 4),
    };
    if (!a->desc || !a->driver || !a->device) {
        complain("ring %td is not in the frontend's memory", r - b->rings);
        r->running = false;
    }
}

static void start(struct backend *b, struct ring *r)
{
    VirtRingPos *pos = &r->pos;
    bool packed = b->features & BIT(F_PACKED);
    uint32_t base = r->base;

    if (r->running || !r->kickable || !r->addressed || !r->num ||
        !r->enabled) {
        return;
    }
    *pos = (VirtRingPos) {
        .last_avail_idx = packed ? base & 0x7fff : base,
        .last_avail_wrap_counter = base >> 15 & 1,
        .used_idx = packed ? base >> 16 & 0x7fff : base,
        .used_wrap_counter = base >> 31,
        .notification = true,
        .queue_index = r - b->rings,
    };
    pos->shadow_avail_idx = pos->last_avail_idx;
    pos->shadow_avail_wrap_counter = pos->last_avail_wrap_counter;
    free(r->slots);
    r->slots = calloc(r->num, sizeof(*r->slots));
    r->engine = (VirtRing) { .pos = pos, .slots = r->slots, .size = r->num };
    r->running = r->slots;
    locate(b, r);
    if (r->running && !vring_recover(&r->engine, &r->areas)) {
        complain("ring %td: the frontend's position is not possible",
                 r - b->rings);
        r->running = false;
    }
    if (r->running) {
        vring_set_notification(&r->engine, &r->areas, !b->polling);
    }
}

/* Everything taken was returned, so one position tells it all. */
static uint32_t stop(struct backend *b, struct ring *r)
{
    const VirtRingPos *pos = &r->pos;

    if (r->running) {
        r->base = pos->last_avail_idx;
        if (b->features & BIT(F_PACKED)) {
            r->base |= (uint32_t)pos->last_avail_wrap_counter << 15 |
                       (uint32_t)pos->used_idx << 16 |
                       (uint32_t)pos->used_wrap_counter << 31;
        }
    }
    r->running = false;
    r->kickable = false;
    return r->base;
}

void backend_reset(struct backend *b)
{
    for (unsigned i = 0; i < RINGS_MAX; i++) {
        free(b->rings[i].slots);
    }
    memset(b->rings, 0, sizeof(b->rings));
    b->nregions = 0;
    b->features = 0;
}

static bool set_table(struct backend *b, const struct message *msg)
{
    struct vhost_pci_mem_table table = { 0 };
    uint8_t *hosts[VHOST_PCI_TABLE_MAX] = { 0 };

    if (msg->hdr.size > sizeof(table)) {
        return false;
    }
    memcpy(&table, msg->payload, msg->hdr.size);
    if (table.nregions > VHOST_PCI_TABLE_MAX ||
        msg->hdr.size != offsetof(struct vhost_pci_mem_table, regions) +
        table.nregions * sizeof(table.regions[0])) {
        return false;
    }
    b->transport->table(b->transport->opaque, &table, hosts);
    for (unsigned i = 0; i < table.nregions; i++) {
        b->regions[i] = (struct region) {
            .gpa = table.regions[i].guest_phys_addr,
            .uaddr = table.regions[i].userspace_addr,
            .size = table.regions[i].memory_size,
            .host = hosts[i],
        };
    }
    b->nregions = table.nregions;
    for (unsigned i = 0; i < RINGS_MAX; i++) {
        if (b->rings[i].running) {
            locate(b, &b->rings[i]);
        }
    }
    return true;
}

static void answer(struct backend *b, const struct message *msg,
                   const void *payload, uint32_t size)
{
    struct message reply = {
        .hdr = { msg->hdr.request,
                 VHOST_PCI_MSG_VERSION | VHOST_PCI_MSG_REPLY, size },
    };

    memcpy(reply.payload, payload, size);
    b->transport->reply(b->transport->opaque, &reply);
}

static bool get_config(struct backend *b, const struct message *msg)
{
    struct vhost_pci_config_hdr hdr;
    uint8_t all[sizeof(hdr) + VHOST_PCI_CONFIG_MAX] = { 0 };

    memcpy(&hdr, msg->payload, sizeof(hdr));
    if (msg->hdr.size < sizeof(hdr) || msg->hdr.size > sizeof(all) ||
        hdr.size != msg->hdr.size - sizeof(hdr)) {
        return false;
    }
    memcpy(all, &hdr, sizeof(hdr));
    blk_config(all + sizeof(hdr), hdr.offset, hdr.size);
    answer(b, msg, all, msg->hdr.size);
    return true;
}

/* Messages about one ring; @num is the second word */
static bool ring_message(struct backend *b, const struct message *msg,
                         struct ring *r, uint32_t num)
{
    struct vhost_pci_vring_state state = { r - b->rings, 0 };

    switch (msg->hdr.request) {
    case VHOST_PCI_SET_VRING_NUM:
        if (!num || num > 32768 || r->running) {
            return false;
        }
        r->num = num;
        return true;
    case VHOST_PCI_SET_VRING_BASE:
        r->base = num;
        return !r->running;
    case VHOST_PCI_SET_VRING_ADDR:
        memcpy(&r->addr, msg->payload, sizeof(r->addr));
        r->addressed = true;
        if (r->running) {
            locate(b, r);
        }
        break;
    case VHOST_PCI_GET_VRING_BASE:
        state.num = stop(b, r);
        answer(b, msg, &state, sizeof(state));
        return true;
    case VHOST_PCI_SET_VRING_ENABLE:
        r->enabled = num;
        break;
    case VHOST_PCI_SET_VRING_KICK:
        r->kickable = true;
        /* Without protocol features rings are enabled from the start. */
        if (!(b->features & BIT(VHOST_PCI_F_PROTOCOL_FEATURES))) {
            r->enabled = true;
        }
        break;
    default:
        return true;
    }
    start(b, r);
    return true;
}

bool backend_message(struct backend *b, const struct message *msg)
{
    uint32_t words[2] = { 0 };
    uint64_t value = 0;
    bool good = true;

    memcpy(&value, msg->payload, sizeof(value));
    memcpy(words, msg->payload, sizeof(words));
    switch (msg->hdr.request) {
    case VHOST_PCI_GET_FEATURES:
        value = FEATURES | blk_features();
        answer(b, msg, &value, sizeof(value));
        return true;
    case VHOST_PCI_GET_PROTOCOL_FEATURES:
        value = PROTOCOL_FEATURES;
        answer(b, msg, &value, sizeof(value));
        return true;
    case VHOST_PCI_GET_QUEUE_NUM:
        value = RINGS_MAX;
        answer(b, msg, &value, sizeof(value));
        return true;
    case VHOST_PCI_GET_CONFIG:
        return get_config(b, msg);
    case VHOST_PCI_SET_FEATURES:
        b->features = value;
        break;
    case VHOST_PCI_SET_MEM_TABLE:
        good = set_table(b, msg);
        break;
    case VHOST_PCI_RESET_OWNER:
    case VHOST_PCI_RESET_DEVICE:
        for (unsigned i = 0; i < RINGS_MAX; i++) {
            stop(b, &b->rings[i]);
        }
        break;
    case VHOST_PCI_SET_VRING_KICK:
    case VHOST_PCI_SET_VRING_CALL:
    case VHOST_PCI_SET_VRING_ERR:
        words[0] &= VHOST_PCI_RING_MASK;
        /* fall through */
    case VHOST_PCI_SET_VRING_NUM:
    case VHOST_PCI_SET_VRING_BASE:
    case VHOST_PCI_SET_VRING_ADDR:
    case VHOST_PCI_SET_VRING_ENABLE:
    case VHOST_PCI_GET_VRING_BASE:
        good = words[0] < RINGS_MAX &&
               ring_message(b, msg, &b->rings[words[0]], words[1]);
        break;
    default:
        break;
    }
    if (good && (msg->hdr.flags & VHOST_PCI_MSG_NEED_REPLY) &&
        msg->hdr.request != VHOST_PCI_GET_VRING_BASE) {
        value = 0;
        answer(b, msg, &value, sizeof(value));
    }
    return good;
}

static bool serve_ring(struct backend *b, struct ring *r)
{
    static VirtRingSegs segs;
    const VirtRingMem mem = { .map = map, .read = read_mem, .opaque = b };
    unsigned done = 0;

    while (done < BURST) {
        VirtRingChain chain;
        VirtRingResult result = vring_fetch(&r->engine, &r->areas, &mem,
                                            &chain, &segs);
        int64_t written;

        if (result == VRING_NONE) {
            break;
        }
        if (result == VRING_BROKEN) {
            complain("ring %td: %s %u", r - b->rings, r->engine.error,
                     r->engine.error_arg);
            r->running = false;
            return done;
        }
        written = blk_request(&segs, b->transport);
        if (written < 0) {
            complain("ring %td: a request without header or status, or "
                     "without its frontend", r - b->rings);
            r->running = false;
            return done;
        }
        vring_fill(&r->engine, &r->areas, &chain, written, 0);
        vring_flush(&r->engine, &r->areas, 1);
        done++;
    }
    b->requests += done;
    if (done && vring_should_notify(&r->engine, &r->areas)) {
        b->transport->call(b->transport->opaque, r - b->rings);
    }
    return done;
}

bool backend_serve(struct backend *b)
{
    bool any = false;

    for (unsigned i = 0; i < RINGS_MAX; i++) {
        if (b->rings[i].running) {
            any |= serve_ring(b, &b->rings[i]);
        }
    }
    return any;
}
