/*
 * What the virtio-echo tests share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "libqtest.h"
#include "qemu/module.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_pci.h"
#include "virtio-echo-util.h"

/* What a writable buffer holds until the device writes to it */
#define UNTOUCHED 0xa5

uint64_t echo_common_cfg(EchoTest *t, uint64_t field)
{
    return t->pci->common_cfg_offset + field;
}

bool echo_has(EchoTest *t, unsigned bit)
{
    return t->dev->features & (1ull << bit);
}

static void echo_configure(EchoTest *t)
{
    uint64_t features = qvirtio_get_features(t->dev);

    features &= ~(QVIRTIO_F_BAD_FEATURE | t->refuse);
    qvirtio_set_features(t->dev, features);

    t->max_request = qvirtio_config_readl(t->dev,
        offsetof(struct virtio_echo_config, max_request));
    t->num_queues = qvirtio_config_readw(t->dev,
        offsetof(struct virtio_echo_config, num_queues));
    g_assert_cmpuint(t->num_queues, <=, ECHO_QUEUES_MAX);
    for (unsigned i = 0; i < t->num_queues; i++) {
        t->vq[i] = qvirtqueue_setup(t->dev, t->alloc, i);
    }
    qvirtio_set_driver_ok(t->dev);
}

void echo_start(EchoTest *t, void *obj, QGuestAllocator *alloc,
                uint64_t refuse)
{
    QVirtioEcho *echo = obj;

    *t = (EchoTest) {
        .dev = echo->vdev,
        .pci = container_of(echo->vdev, QVirtioPCIDevice, vdev),
        .alloc = alloc,
        .refuse = refuse,
    };
    t->qts = t->pci->pdev->bus->qts;
    echo_configure(t);
}

void echo_end(EchoTest *t)
{
    qvirtio_reset(t->dev);
    for (unsigned i = 0; i < t->num_queues; i++) {
        qvirtqueue_cleanup(t->dev->bus, t->vq[i], t->alloc);
    }
    t->num_queues = 0;
}

void echo_restart(EchoTest *t)
{
    echo_end(t);
    qvirtio_start_device(t->dev);
    echo_configure(t);
}

void echo_resize_queue(EchoTest *t, unsigned n, uint16_t size)
{
    QPCIDevice *pdev = t->pci->pdev;
    uint64_t reset = echo_common_cfg(t, VIRTIO_PCI_COMMON_Q_RESET);

    t->dev->bus->queue_select(t->dev, n);
    qpci_io_writew(pdev, t->pci->bar, reset, 1);
    g_assert_cmpuint(qpci_io_readw(pdev, t->pci->bar, reset), ==, 0);
    g_assert_cmpuint(qpci_io_readw(pdev, t->pci->bar,
        echo_common_cfg(t, VIRTIO_PCI_COMMON_Q_ENABLE)), ==, 0);
    qvirtqueue_cleanup(t->dev->bus, t->vq[n], t->alloc);

    qpci_io_writew(pdev, t->pci->bar,
                   echo_common_cfg(t, VIRTIO_PCI_COMMON_Q_SIZE), size);
    t->vq[n] = qvirtqueue_setup(t->dev, t->alloc, n);
    g_assert_cmpuint(t->vq[n]->size, ==, size);
}

static uint8_t echo_byte(uint32_t salt, uint32_t i)
{
    uint32_t z = (salt + 1) * 2654435761u + i * 40503u;

    return z >> 13;
}

EchoRequest echo_prepare(EchoTest *t, uint32_t out_len, uint32_t in_len,
                         uint32_t salt)
{
    EchoRequest req = { .out_len = out_len, .in_len = in_len, .salt = salt };
    g_autofree uint8_t *data = g_malloc(out_len + 1);

    for (uint32_t i = 0; i < out_len; i++) {
        data[i] = echo_byte(salt, i);
    }
    if (out_len) {
        req.out = guest_alloc(t->alloc, out_len);
        qtest_memwrite(t->qts, req.out, data, out_len);
    }
    if (in_len) {
        req.in = guest_alloc(t->alloc, in_len);
        qtest_memset(t->qts, req.in, UNTOUCHED, in_len);
    }
    return req;
}

typedef void EchoEmit(EchoTest *t, void *opaque, uint64_t addr, uint32_t len,
                      bool write, bool next);

/* Cut both parts into segments of uneven length and emit each */
static void echo_emit(EchoTest *t, const EchoRequest *req, unsigned segments,
                      EchoEmit *emit, void *opaque)
{
    const uint64_t addr[] = { req->out, req->in };
    const uint32_t total[] = { req->out_len, req->in_len };

    for (unsigned part = 0; part < 2; part++) {
        uint32_t left = total[part];
        uint64_t at = addr[part];
        unsigned count = MIN(segments, left);

        for (unsigned i = 0; i < count; i++) {
            uint32_t len = i + 1 < count ? 1 + i * 7 % (total[part] / count)
                                         : left;
            bool last = i + 1 == count && (part || !req->in_len);

            emit(t, opaque, at, len, part, !last);
            at += len;
            left -= len;
        }
    }
}

typedef struct EchoDirect {
    QVirtQueue *vq;
    uint32_t token;
    bool started;
} EchoDirect;

static void echo_emit_direct(EchoTest *t, void *opaque, uint64_t addr,
                             uint32_t len, bool write, bool next)
{
    EchoDirect *direct = opaque;
    uint32_t token = qvirtqueue_add(t->qts, direct->vq, addr, len, write,
                                    next);

    if (!direct->started) {
        direct->token = token;
        direct->started = true;
    }
}

void echo_add(EchoTest *t, QVirtQueue *vq, EchoRequest *req, unsigned segments)
{
    EchoDirect direct = { .vq = vq };

    echo_emit(t, req, segments, echo_emit_direct, &direct);
    req->token = direct.token;
}

static void echo_emit_indirect(EchoTest *t, void *opaque, uint64_t addr,
                               uint32_t len, bool write, bool next)
{
    qvring_indirect_desc_add(t->dev, t->qts, opaque, addr, len, write);
}

void echo_add_indirect(EchoTest *t, QVirtQueue *vq, EchoRequest *req,
                       unsigned segments)
{
    unsigned count = MIN(segments, req->out_len) + MIN(segments, req->in_len);
    g_autofree QVRingIndirectDesc *table =
        qvring_indirect_desc_setup(t->qts, t->dev, t->alloc, count);

    echo_emit(t, req, segments, echo_emit_indirect, table);
    req->token = qvirtqueue_add_indirect(t->qts, vq, table);
}

void echo_publish(EchoTest *t, QVirtQueue *vq, const EchoRequest *req,
                  unsigned count)
{
    uint16_t idx;

    if (qvirtio_is_packed(t->dev)) {
        /* the first one last: the device stops there until it is visible */
        while (count--) {
            qvirtqueue_packed_publish(t->qts, vq, req[count].token);
        }
        return;
    }

    idx = qtest_readw(t->qts, vq->avail + 2);
    for (unsigned i = 0; i < count; i++, idx++) {
        qtest_writew(t->qts, vq->avail + 4 + 2 * (idx % vq->size),
                     req[i].token);
    }
    qtest_writew(t->qts, vq->avail + 2, idx);
}

void echo_kick(EchoTest *t, QVirtQueue *vq)
{
    t->dev->bus->virtqueue_kick(t->dev, vq);
}

static void read_split_desc(EchoTest *t, uint64_t table, uint32_t i,
                            struct vring_desc *desc)
{
    qtest_memread(t->qts, table + i * sizeof(*desc), desc, sizeof(*desc));
    desc->addr = le64_to_cpu(desc->addr);
    desc->len = le32_to_cpu(desc->len);
    desc->flags = le16_to_cpu(desc->flags);
    desc->next = le16_to_cpu(desc->next);
}

/* How much the device may write to the chain at @head */
static uint32_t split_writable(EchoTest *t, QVirtQueue *vq, uint32_t head)
{
    uint64_t table = vq->desc;
    struct vring_desc desc;
    uint32_t len = 0;

    read_split_desc(t, table, head, &desc);
    if (desc.flags & VRING_DESC_F_INDIRECT) {
        table = desc.addr;
        read_split_desc(t, table, 0, &desc);
    }
    for (;;) {
        len += desc.flags & VRING_DESC_F_WRITE ? desc.len : 0;
        if (!(desc.flags & VRING_DESC_F_NEXT)) {
            return len;
        }
        read_split_desc(t, table, desc.next, &desc);
    }
}

/* The used entry at the driver's position; qvirtqueue_get_buf() cuts len */
static uint32_t split_used_len(EchoTest *t, QVirtQueue *vq, uint16_t idx)
{
    return qtest_readl(t->qts, vq->used + 4 + idx % vq->size *
                       sizeof(struct vring_used_elem) + 4);
}

/*
 * 2.7.9: one entry may return a run of chains; it names the last of them, and
 * the others have been filled completely.
 */
static uint32_t split_next_in_order(EchoTest *t, QVirtQueue *vq,
                                    uint32_t *len)
{
    EchoBatch *batch = &t->batch[vq->index];
    uint16_t idx = vq->last_used_idx;
    uint32_t head = qtest_readw(t->qts, vq->avail + 4 + idx % vq->size * 2);

    if (!batch->open) {
        batch->last = qtest_readl(t->qts, vq->used + 4 + idx % vq->size *
                                  sizeof(struct vring_used_elem));
        batch->len = split_used_len(t, vq, idx);
    }
    batch->open = head != batch->last;
    *len = batch->open ? split_writable(t, vq, head) : batch->len;
    vq->last_used_idx++;
    return head;
}

uint32_t echo_wait(EchoTest *t, QVirtQueue *vq, uint32_t *len)
{
    gint64 end = g_get_monotonic_time() + ECHO_TIMEOUT_US;
    uint32_t token;

    if (!qvirtio_is_packed(t->dev) && echo_has(t, VIRTIO_F_IN_ORDER)) {
        while (qtest_readw(t->qts, vq->used + 2) == vq->last_used_idx) {
            g_assert_cmpint(g_get_monotonic_time(), <, end);
        }
        return split_next_in_order(t, vq, len);
    }
    while (!qvirtqueue_get_buf(t->qts, vq, &token, len)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
    }
    if (!qvirtio_is_packed(t->dev)) {
        *len = split_used_len(t, vq, vq->last_used_idx - 1);
    }
    return token;
}

void echo_finish(EchoTest *t, EchoRequest *req, uint32_t len)
{
    g_autofree uint8_t *got = g_malloc(req->in_len + 1);

    g_assert_cmpuint(len, ==, MIN(MIN(req->out_len, req->in_len),
                                  t->max_request));
    if (req->in_len) {
        qtest_memread(t->qts, req->in, got, req->in_len);
        guest_free(t->alloc, req->in);
    }
    for (uint32_t i = 0; i < req->in_len; i++) {
        g_assert_cmphex(got[i], ==,
                        i < len ? echo_byte(req->salt, i) : UNTOUCHED);
    }
    if (req->out_len) {
        guest_free(t->alloc, req->out);
    }
}

void echo_recycle(EchoTest *t, QVirtQueue *vq)
{
    if (!qvirtio_is_packed(t->dev)) {
        qvirtqueue_reset_pool(vq);
    }
}

void echo_one(EchoTest *t, QVirtQueue *vq, uint32_t out_len, uint32_t in_len,
              uint32_t salt, unsigned segments)
{
    EchoRequest req = echo_prepare(t, out_len, in_len, salt);
    uint32_t len;

    echo_add(t, vq, &req, segments);
    qvirtqueue_kick(t->qts, t->dev, vq, req.token);
    g_assert_cmpuint(echo_wait(t, vq, &len), ==, req.token);
    echo_finish(t, &req, len);
    echo_recycle(t, vq);
}

void echo_batch(EchoTest *t, QVirtQueue *vq, unsigned count, unsigned *order)
{
    g_autofree EchoRequest *req = g_new(EchoRequest, count);
    g_autofree bool *seen = g_new0(bool, count);

    for (unsigned i = 0; i < count; i++) {
        req[i] = echo_prepare(t, 16 + i, 16 + i, 1000 + i);
        echo_add(t, vq, &req[i], 1);
    }
    echo_publish(t, vq, req, count);
    echo_kick(t, vq);

    for (unsigned i = 0; i < count; i++) {
        uint32_t len, token = echo_wait(t, vq, &len);
        unsigned which = 0;

        while (which < count && req[which].token != token) {
            which++;
        }
        g_assert_cmpuint(which, <, count);
        g_assert_false(seen[which]);
        seen[which] = true;
        order[i] = which;
        echo_finish(t, &req[which], len);
    }
    echo_recycle(t, vq);
}

void echo_expect_needs_reset(EchoTest *t)
{
    gint64 end = g_get_monotonic_time() + ECHO_TIMEOUT_US;

    while (!(t->dev->bus->get_status(t->dev) &
             VIRTIO_CONFIG_S_NEEDS_RESET)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
    }
}
