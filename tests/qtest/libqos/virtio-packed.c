/*
 * libqos packed virtqueue driver
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "../libqtest.h"
#include "virtio-packed.h"
#include "standard-headers/linux/virtio_config.h"

#define AVAIL_BIT   (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED_BIT    (1u << VRING_PACKED_DESC_F_USED)
#define EVENT_WRAP  (1u << VRING_PACKED_EVENT_F_WRAP_CTR)

#define DESC_FLAGS_OFFSET   offsetof(struct vring_packed_desc, flags)

/* No chain is being built / no batch of used buffers is being handed out. */
#define NO_ID       UINT32_MAX

/* One buffer id, from the first add of its chain until get_buf returns it. */
typedef struct PackedChain {
    bool busy;
    bool published;
    bool head_wrap;
    uint16_t head;              /* ring position of the first descriptor */
    uint16_t head_flags;        /* withheld until the chain is published */
    uint16_t num;               /* ring descriptors */
    uint64_t writable;          /* bytes the device may write */
} PackedChain;

typedef struct PackedRing {
    PackedChain *chains;        /* by buffer id, vq->size of them */
    uint32_t building;          /* id of the unfinished chain or NO_ID */
    bool avail_wrap;
    bool used_wrap;

    /* Free ids, oldest first. */
    uint16_t *free_ids;
    uint32_t free_first;
    uint32_t free_count;

    /* Ids of unused chains in ring order: what IN_ORDER promises to keep. */
    uint16_t *order;
    uint32_t order_first;
    uint32_t order_count;

    /* A used descriptor that stands for a whole batch (IN_ORDER only). */
    uint32_t batch_last;
    uint32_t batch_len;

    /* Chains begun since the ring was set up, for qvirtqueue_set_used_event */
    uint64_t chains_begun;
    bool event_pending;
    uint16_t event_idx;

    uint16_t last_used_flags;
    uint64_t used_writes;
    uint64_t overlong;
} PackedRing;

/*
 * qtest_readw() and friends convert between host and guest byte order, but a
 * packed ring is little-endian always.
 */
static uint16_t read_le16(QTestState *qts, uint64_t addr)
{
    uint16_t val = qtest_readw(qts, addr);

    return qtest_big_endian(qts) ? bswap16(val) : val;
}

static void write_le16(QTestState *qts, uint64_t addr, uint16_t val)
{
    qtest_writew(qts, addr, qtest_big_endian(qts) ? bswap16(val) : val);
}

static uint64_t desc_addr(QVirtQueue *vq, uint16_t pos)
{
    g_assert_cmpint(pos, <, vq->size);
    return vq->desc + pos * QVRING_PACKED_DESC_SIZE;
}

/* Everything but the flags, whose store is what publishes a descriptor. */
static void write_desc_body(QTestState *qts, uint64_t addr,
                            const QVRingPackedDesc *desc)
{
    struct vring_packed_desc le = {
        .addr = cpu_to_le64(desc->addr),
        .len = cpu_to_le32(desc->len),
        .id = cpu_to_le16(desc->id),
    };

    qtest_memwrite(qts, addr, &le, DESC_FLAGS_OFFSET);
}

uint16_t qvring_packed_avail_bits(bool wrap)
{
    return wrap ? AVAIL_BIT : USED_BIT;
}

void qvirtqueue_packed_write_raw(QTestState *qts, QVirtQueue *vq, uint16_t pos,
                                 const QVRingPackedDesc *desc)
{
    write_desc_body(qts, desc_addr(vq, pos), desc);
    write_le16(qts, desc_addr(vq, pos) + DESC_FLAGS_OFFSET, desc->flags);
}

void qvirtqueue_packed_read_desc(QTestState *qts, QVirtQueue *vq, uint16_t pos,
                                 QVRingPackedDesc *desc)
{
    struct vring_packed_desc le;

    /*
     * The flags are fetched by a request of their own before the rest: the
     * device writes them last, so whatever they say the rest is at least as
     * new. (Requests to the qtest server are answered in order.)
     */
    desc->flags = read_le16(qts, desc_addr(vq, pos) + DESC_FLAGS_OFFSET);
    qtest_memread(qts, desc_addr(vq, pos), &le, DESC_FLAGS_OFFSET);
    desc->addr = le64_to_cpu(le.addr);
    desc->len = le32_to_cpu(le.len);
    desc->id = le16_to_cpu(le.id);
}

void qvring_packed_indirect_write(QTestState *qts, uint64_t table,
                                  unsigned entry, const QVRingPackedDesc *desc)
{
    uint64_t addr = table + entry * QVRING_PACKED_DESC_SIZE;

    write_desc_body(qts, addr, desc);
    write_le16(qts, addr + DESC_FLAGS_OFFSET, desc->flags);
}

void qvirtqueue_packed_set_event(QTestState *qts, QVirtQueue *vq,
                                 const QVRingPackedEvent *event)
{
    /* Offset before flags: flags make the device look at the offset. */
    write_le16(qts, vq->avail + offsetof(struct vring_packed_desc_event,
                                         off_wrap),
               event->off | (event->wrap ? EVENT_WRAP : 0));
    write_le16(qts, vq->avail + offsetof(struct vring_packed_desc_event,
                                         flags), event->flags);
}

void qvirtqueue_packed_get_device_event(QTestState *qts, QVirtQueue *vq,
                                        QVRingPackedEvent *event)
{
    uint16_t off_wrap;

    /* Flags before offset, the reverse of the order the device writes in. */
    event->flags = read_le16(qts, vq->used +
                             offsetof(struct vring_packed_desc_event, flags));
    off_wrap = read_le16(qts, vq->used +
                         offsetof(struct vring_packed_desc_event, off_wrap));
    event->off = off_wrap & ~EVENT_WRAP;
    event->wrap = off_wrap & EVENT_WRAP;
}

static PackedChain *chain_by_id(QVirtQueue *vq, uint32_t id)
{
    PackedRing *ring = vq->ring;

    g_assert_cmpuint(id, <, vq->size);
    g_assert_true(ring->chains[id].busy);
    return &ring->chains[id];
}

uint16_t qvirtqueue_packed_head(QVirtQueue *vq, uint32_t id, bool *wrap)
{
    PackedChain *chain = chain_by_id(vq, id);

    if (wrap) {
        *wrap = chain->head_wrap;
    }
    return chain->head;
}

/*
 * The split ring's used_event counts buffers, the packed ring's event is a
 * ring position. Buffer number N is reported where chain N begins, as long as
 * buffers complete in order, but that is known only once chain N - 1 is built.
 * Until then no earlier completion may interrupt.
 */
static void update_used_event(QTestState *qts, QVirtQueue *vq)
{
    PackedRing *ring = vq->ring;
    QVRingPackedEvent event = { .flags = VRING_PACKED_EVENT_FLAG_DISABLE };

    if (!ring->event_pending) {
        return;
    }
    if (ring->event_idx == (uint16_t)ring->chains_begun &&
        ring->building == NO_ID) {
        event.off = vq->free_head;
        event.wrap = ring->avail_wrap;
        event.flags = VRING_PACKED_EVENT_FLAG_DESC;
        ring->event_pending = false;
    }
    qvirtqueue_packed_set_event(qts, vq, &event);
}

static void packed_set_used_event(QTestState *qts, QVirtQueue *vq, uint16_t idx)
{
    PackedRing *ring = vq->ring;
    QVRingPackedEvent event = { .flags = VRING_PACKED_EVENT_FLAG_DESC };
    uint16_t behind = (uint16_t)ring->chains_begun - idx;

    g_assert_true(vq->event);

    ring->event_pending = !behind || behind > ring->order_count;
    if (ring->event_pending) {
        ring->event_idx = idx;
        update_used_event(qts, vq);
    } else {
        uint32_t nth = ring->order_count - behind;
        uint16_t id = ring->order[(ring->order_first + nth) % vq->size];

        event.off = qvirtqueue_packed_head(vq, id, &event.wrap);
        qvirtqueue_packed_set_event(qts, vq, &event);
    }
}

static PackedChain *begin_chain(QVirtQueue *vq)
{
    PackedRing *ring = vq->ring;
    PackedChain *chain;

    g_assert_cmpuint(ring->free_count, >, 0);
    ring->building = ring->free_ids[ring->free_first];
    ring->free_first = (ring->free_first + 1) % vq->size;
    ring->free_count--;

    ring->order[(ring->order_first + ring->order_count) % vq->size] =
        ring->building;
    ring->order_count++;
    ring->chains_begun++;

    chain = &ring->chains[ring->building];
    *chain = (PackedChain) {
        .busy = true,
        .head = vq->free_head,
        .head_wrap = ring->avail_wrap,
    };
    return chain;
}

/* Put one descriptor at the next ring position; @flags without AVAIL/USED */
static uint32_t add_desc(QTestState *qts, QVirtQueue *vq, uint64_t addr,
                         uint32_t len, uint16_t flags)
{
    PackedRing *ring = vq->ring;
    uint32_t id;
    bool first = ring->building == NO_ID;
    bool last = !(flags & VRING_DESC_F_NEXT);
    PackedChain *chain = first ? begin_chain(vq)
                               : &ring->chains[ring->building];
    QVRingPackedDesc desc = { .addr = addr, .len = len };

    /* A chain that does not fit would overwrite descriptors in flight. */
    g_assert_cmpuint(vq->num_free, >, 0);

    id = ring->building;
    desc.id = last ? id : QVRING_PACKED_NO_ID;
    desc.flags = flags | qvring_packed_avail_bits(ring->avail_wrap);

    write_desc_body(qts, desc_addr(vq, vq->free_head), &desc);
    if (first) {
        chain->head_flags = desc.flags;
    } else {
        write_le16(qts, desc_addr(vq, vq->free_head) + DESC_FLAGS_OFFSET,
                   desc.flags);
    }

    chain->num++;
    vq->num_free--;
    if (++vq->free_head == vq->size) {
        vq->free_head = 0;
        ring->avail_wrap = !ring->avail_wrap;
    }
    if (last) {
        ring->building = NO_ID;
        update_used_event(qts, vq);
    }
    return id;
}

static uint32_t packed_add(QTestState *qts, QVirtQueue *vq, uint64_t data,
                           uint32_t len, bool write, bool next)
{
    PackedRing *ring = vq->ring;
    uint32_t id = add_desc(qts, vq, data, len,
                           (write ? VRING_DESC_F_WRITE : 0) |
                           (next ? VRING_DESC_F_NEXT : 0));

    ring->chains[id].writable += write ? len : 0;
    return id;
}

static uint32_t packed_add_indirect(QTestState *qts, QVirtQueue *vq,
                                    QVRingIndirectDesc *indirect)
{
    PackedRing *ring = vq->ring;
    uint32_t id;
    int i;

    g_assert_true(vq->indirect);
    g_assert_cmpint(indirect->index, ==, indirect->elem);
    /* NEXT and INDIRECT exclude each other: no chain may be open here. */
    g_assert_cmpuint(ring->building, ==, NO_ID);

    id = add_desc(qts, vq, indirect->desc,
                  indirect->elem * QVRING_PACKED_DESC_SIZE,
                  VRING_DESC_F_INDIRECT);

    for (i = 0; i < indirect->elem; i++) {
        struct vring_packed_desc le;

        qtest_memread(qts, indirect->desc + i * QVRING_PACKED_DESC_SIZE, &le,
                      sizeof(le));
        if (le16_to_cpu(le.flags) & VRING_DESC_F_WRITE) {
            ring->chains[id].writable += le32_to_cpu(le.len);
        }
    }
    return id;
}

void qvirtqueue_packed_publish(QTestState *qts, QVirtQueue *vq, uint32_t id)
{
    PackedChain *chain = chain_by_id(vq, id);
    PackedRing *ring = vq->ring;

    g_assert_cmpuint(ring->building, !=, id);
    g_assert_false(chain->published);
    chain->published = true;
    write_le16(qts, desc_addr(vq, chain->head) + DESC_FLAGS_OFFSET,
               chain->head_flags);
}

bool qvirtqueue_packed_should_notify(QTestState *qts, QVirtQueue *vq,
                                     uint32_t id, unsigned num_descs)
{
    PackedChain *chain = chain_by_id(vq, id);
    uint32_t next = chain->head + chain->num;
    bool wrap = chain->head_wrap;
    QVRingPackedEvent event;
    uint16_t event_pos;

    qvirtqueue_packed_get_device_event(qts, vq, &event);
    switch (event.flags) {
    case VRING_PACKED_EVENT_FLAG_ENABLE:
        return true;
    case VRING_PACKED_EVENT_FLAG_DISABLE:
        return false;
    case VRING_PACKED_EVENT_FLAG_DESC:
        g_assert_true(vq->event);
        break;
    default:
        g_error("virtqueue %d: reserved event flags 0x%x from the device",
                vq->index, event.flags);
    }
    g_assert_cmpuint(event.off, <, vq->size);

    if (next >= vq->size) {
        next -= vq->size;
        wrap = !wrap;
    }
    /* Positions before the wrap count as negative, modulo 2^16. */
    event_pos = event.off - (event.wrap == wrap ? 0 : vq->size);
    return (uint16_t)(next - event_pos - 1) < num_descs;
}

static void packed_kick(QTestState *qts, QVirtioDevice *d, QVirtQueue *vq,
                        uint32_t id)
{
    unsigned num = chain_by_id(vq, id)->num;

    qvirtqueue_packed_publish(qts, vq, id);
    /* Read after the flags were written: qtest requests keep their order. */
    if (qvirtqueue_packed_should_notify(qts, vq, id, num)) {
        d->bus->virtqueue_kick(d, vq);
    }
}

static void release_chain(QVirtQueue *vq, uint32_t id)
{
    PackedRing *ring = vq->ring;
    PackedChain *chain = chain_by_id(vq, id);
    uint32_t i, at;

    for (i = 0; i < ring->order_count; i++) {
        at = (ring->order_first + i) % vq->size;
        if (ring->order[at] == id) {
            break;
        }
    }
    g_assert_cmpuint(i, <, ring->order_count);
    for (; i > 0; i--) {
        at = (ring->order_first + i) % vq->size;
        ring->order[at] = ring->order[(ring->order_first + i - 1) % vq->size];
    }
    ring->order_first = (ring->order_first + 1) % vq->size;
    ring->order_count--;

    ring->free_ids[(ring->free_first + ring->free_count) % vq->size] = id;
    ring->free_count++;

    /* vq->last_used_idx is a ring position here, not a running count. */
    vq->last_used_idx += chain->num;
    if (vq->last_used_idx >= vq->size) {
        vq->last_used_idx -= vq->size;
        ring->used_wrap = !ring->used_wrap;
    }
    vq->num_free += chain->num;
    chain->busy = false;
}

/* Take the next used descriptor, if there is one, as the current batch. */
static bool fetch_used(QTestState *qts, QVirtQueue *vq)
{
    PackedRing *ring = vq->ring;
    QVRingPackedDesc desc;
    PackedChain *chain;

    qvirtqueue_packed_read_desc(qts, vq, vq->last_used_idx, &desc);
    if (!(desc.flags & AVAIL_BIT) != !ring->used_wrap ||
        !(desc.flags & USED_BIT) != !ring->used_wrap) {
        return false;
    }

    chain = chain_by_id(vq, desc.id);
    g_assert_true(chain->published);
    ring->overlong += desc.len > chain->writable;

    ring->last_used_flags = desc.flags;
    ring->used_writes++;
    ring->batch_last = desc.id;
    ring->batch_len = desc.len;
    return true;
}

static bool packed_get_buf(QTestState *qts, QVirtQueue *vq, uint32_t *token,
                           uint32_t *len)
{
    PackedRing *ring = vq->ring;
    uint32_t id;

    if (ring->batch_last == NO_ID && !fetch_used(qts, vq)) {
        return false;
    }

    /*
     * With IN_ORDER one used descriptor, which names the last buffer, may
     * stand for all buffers up to that one. The skipped ones were written
     * to their full length (virtio 1.3, section 2.8.9).
     */
    id = ring->batch_last;
    if (vq->vdev->features & (1ull << VIRTIO_F_IN_ORDER)) {
        id = ring->order[ring->order_first];
    }
    if (token) {
        *token = id;
    }
    if (len) {
        *len = id == ring->batch_last ? ring->batch_len
                                      : chain_by_id(vq, id)->writable;
    }
    if (id == ring->batch_last) {
        ring->batch_last = NO_ID;
    }
    release_chain(vq, id);
    return true;
}

uint16_t qvirtqueue_packed_last_used_flags(QVirtQueue *vq)
{
    return ((PackedRing *)vq->ring)->last_used_flags;
}

uint64_t qvirtqueue_packed_used_writes(QVirtQueue *vq)
{
    return ((PackedRing *)vq->ring)->used_writes;
}

uint64_t qvirtqueue_packed_overlong(QVirtQueue *vq)
{
    return ((PackedRing *)vq->ring)->overlong;
}

static void packed_cleanup(QVirtQueue *vq)
{
    PackedRing *ring = vq->ring;

    g_free(ring->chains);
    g_free(ring->free_ids);
    g_free(ring->order);
    g_free(ring);
    vq->ring = NULL;
    vq->ops = NULL;
}

static const QVirtQueueOps packed_ops = {
    .add = packed_add,
    .add_indirect = packed_add_indirect,
    .kick = packed_kick,
    .get_buf = packed_get_buf,
    .set_used_event = packed_set_used_event,
    .cleanup = packed_cleanup,
};

bool qvirtio_is_packed(QVirtioDevice *d)
{
    return d->features & (1ull << VIRTIO_F_RING_PACKED);
}

bool qvring_size_valid(QVirtioDevice *d, uint32_t size)
{
    if (qvirtio_is_packed(d)) {
        return size > 0 && size <= 32768;
    }
    return size > 0 && size <= 32768 && !(size & (size - 1));
}

bool qvring_init_ops(QTestState *qts, QVirtQueue *vq, uint64_t addr)
{
    QVRingPackedEvent enable = { .flags = VRING_PACKED_EVENT_FLAG_ENABLE };
    PackedRing *ring;
    uint32_t i;

    if (!qvirtio_is_packed(vq->vdev)) {
        return false;
    }

    vq->desc = addr;
    vq->avail = addr + (uint64_t)vq->size * QVRING_PACKED_DESC_SIZE;
    vq->used = vq->avail + sizeof(struct vring_packed_desc_event);
    qtest_memset(qts, addr, 0, vq->used - addr +
                               sizeof(struct vring_packed_desc_event));
    qvirtqueue_packed_set_event(qts, vq, &enable);

    ring = g_new0(PackedRing, 1);
    ring->chains = g_new0(PackedChain, vq->size);
    ring->free_ids = g_new(uint16_t, vq->size);
    ring->order = g_new(uint16_t, vq->size);
    ring->building = NO_ID;
    ring->batch_last = NO_ID;
    ring->avail_wrap = true;
    ring->used_wrap = true;
    /* From the top down, so that ids rarely happen to equal positions. */
    for (i = 0; i < vq->size; i++) {
        ring->free_ids[i] = vq->size - 1 - i;
    }
    ring->free_count = vq->size;

    vq->ring = ring;
    vq->ops = &packed_ops;
    return true;
}

QVRingIndirectDesc *qvring_packed_indirect_setup(QTestState *qts,
                                                 QGuestAllocator *alloc,
                                                 uint16_t elem)
{
    QVRingIndirectDesc *indirect = g_new0(QVRingIndirectDesc, 1);

    indirect->elem = elem;
    indirect->desc = guest_alloc(alloc, elem * QVRING_PACKED_DESC_SIZE);
    qtest_memset(qts, indirect->desc, 0, elem * QVRING_PACKED_DESC_SIZE);
    return indirect;
}

void qvring_packed_indirect_add(QTestState *qts, QVRingIndirectDesc *indirect,
                                uint64_t data, uint32_t len, bool write)
{
    QVRingPackedDesc desc = {
        .addr = data,
        .len = len,
        .id = QVRING_PACKED_NO_ID,
        .flags = write ? VRING_DESC_F_WRITE : 0,
    };

    g_assert_cmpint(indirect->index, <, indirect->elem);
    qvring_packed_indirect_write(qts, indirect->desc, indirect->index, &desc);
    indirect->index++;
}

uint32_t qvirtqueue_notify_data(QTestState *qts, QVirtQueue *vq)
{
    PackedRing *ring = vq->ring;
    uint16_t next;

    if (ring) {
        next = vq->free_head | (ring->avail_wrap ? EVENT_WRAP : 0);
    } else {
        next = read_le16(qts, vq->avail + offsetof(struct vring_avail, idx));
    }
    return vq->index | (uint32_t)next << 16;
}
