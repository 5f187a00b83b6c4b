/*
 * What the virtio-signal tests share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "qemu/bitops.h"
#include "qemu/bswap.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "standard-headers/linux/pci_regs.h"
#include "standard-headers/linux/virtio_config.h"
#include "virtio-signal-util.h"

static void sig_configure(SigTest *t)
{
    uint64_t features = qvirtio_get_features(t->dev);

    features &= ~(QVIRTIO_F_BAD_FEATURE | t->refuse);
    qvirtio_set_features(t->dev, features);
    t->num_sendqs = qvirtio_config_readw(t->dev,
        offsetof(struct virtio_signal_config, num_sendqs));
    g_assert_cmpuint(qvirtio_config_readw(t->dev,
        offsetof(struct virtio_signal_config, num_targets)), ==, SIG_TARGETS);
    t->num_queues = VIRTIO_SIGNAL_SENDQ0 + t->num_sendqs + SIG_TARGETS;
    g_assert_cmpuint(t->num_queues, <=, SIG_QUEUES_MAX);
    for (unsigned i = 0; i < t->num_queues; i++) {
        t->vq[i] = qvirtqueue_setup(t->dev, t->alloc, i);
    }
    memset(t->num_given, 0, sizeof(t->num_given));
    qvirtio_set_driver_ok(t->dev);
}

void sig_start(SigTest *t, void *obj, QGuestAllocator *alloc, uint64_t refuse)
{
    QVirtioSignal *signal = obj;

    *t = (SigTest) {
        .dev = signal->vdev,
        .pci = signal->pci,
        .alloc = alloc,
        .refuse = refuse,
        .qts = *signal->qts,
        .qts_of_dev = signal->qts,
    };
    sig_configure(t);
}

void sig_use(SigTest *t, QTestState *qts)
{
    *t->qts_of_dev = t->qts = qts;
}

void sig_free(SigTest *t)
{
    for (unsigned i = 0; i < t->num_queues; i++) {
        qvirtqueue_cleanup(t->dev->bus, t->vq[i], t->alloc);
    }
    t->num_queues = 0;
}

void sig_end(SigTest *t)
{
    qvirtio_reset(t->dev);
    sig_free(t);
}

void sig_restart(SigTest *t)
{
    sig_end(t);
    qvirtio_start_device(t->dev);
    sig_configure(t);
}

QVirtQueue *sig_eventq(SigTest *t, unsigned target)
{
    return t->vq[VIRTIO_SIGNAL_SENDQ0 + t->num_sendqs + target];
}

uint32_t sig_add(SigTest *t, QVirtQueue *vq, const void *data, uint32_t len,
                 uint32_t in_len, uint64_t *in)
{
    uint64_t out = len ? guest_alloc(t->alloc, len) : 0;
    uint32_t token = 0;

    if (in_len) {
        *in = guest_alloc(t->alloc, in_len);
        qtest_memset(t->qts, *in, 0xa5, in_len);
    }
    if (len) {
        qtest_memwrite(t->qts, out, data, len);
        token = qvirtqueue_add(t->qts, vq, out, len, false, in_len);
    }
    if (in_len) {
        uint32_t second = qvirtqueue_add(t->qts, vq, *in, in_len, true, false);

        token = len ? token : second;
    }
    qvirtqueue_kick(t->qts, t->dev, vq, token);
    return token;
}

uint32_t sig_wait(SigTest *t, QVirtQueue *vq, uint32_t token)
{
    gint64 end = g_get_monotonic_time() + SIG_TIMEOUT_US;
    uint32_t got, len;

    while (!qvirtqueue_get_buf(t->qts, vq, &got, &len)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
    }
    g_assert_cmpuint(got, ==, token);
    if (!qvirtio_is_packed(t->dev)) {
        qvirtqueue_reset_pool(vq);
    }
    return len;
}

struct virtio_signal_reply sig_send_raw(SigTest *t, const void *data,
                                        uint32_t len)
{
    QVirtQueue *vq = t->vq[VIRTIO_SIGNAL_SENDQ0];
    struct virtio_signal_reply reply;
    uint32_t token;
    uint64_t in;

    token = sig_add(t, vq, data, len, sizeof(reply), &in);
    g_assert_cmpuint(sig_wait(t, vq, token), ==, sizeof(reply));
    qtest_memread(t->qts, in, &reply, sizeof(reply));
    reply.status = le16_to_cpu(reply.status);
    reply.delivered = le32_to_cpu(reply.delivered);
    reply.coalesced = le32_to_cpu(reply.coalesced);
    reply.refused = le32_to_cpu(reply.refused);
    g_assert_cmpuint(reply.reserved, ==, 0);
    return reply;
}

uint16_t sig_send(SigTest *t, const struct virtio_signal_req *req)
{
    return sig_send_raw(t, req, sizeof(*req)).status;
}

struct virtio_signal_req sig_req(uint16_t class_id, uint16_t target)
{
    return (struct virtio_signal_req) {
        .class_id = cpu_to_le16(class_id),
        .target = cpu_to_le16(target),
        .src_target = cpu_to_le16(NODE_TARGET),
    };
}

uint32_t sig_ctrl(SigTest *t, uint16_t command, uint16_t arg, uint32_t value,
                  void *reply, uint32_t reply_len)
{
    struct virtio_signal_ctrl cmd = {
        .command = cpu_to_le16(command),
        .arg = cpu_to_le16(arg),
        .value = cpu_to_le32(value),
    };
    QVirtQueue *vq = t->vq[VIRTIO_SIGNAL_CTRLQ];
    uint64_t in;
    uint32_t token = sig_add(t, vq, &cmd, sizeof(cmd), reply_len, &in);
    uint32_t used = sig_wait(t, vq, token);

    g_assert_cmpuint(used, <=, reply_len);
    qtest_memread(t->qts, in, reply, reply_len);
    return used;
}

void sig_give(SigTest *t, unsigned target, unsigned count)
{
    QVirtQueue *vq = sig_eventq(t, target);

    for (unsigned i = 0; i < count; i++) {
        unsigned n = t->num_given[target]++;

        g_assert_cmpuint(n, <, SIG_BUFFERS_MAX);
        t->given[target][n].token =
            sig_add(t, vq, NULL, 0, sizeof(struct virtio_signal_event),
                    &t->given[target][n].addr);
    }
}

bool sig_poll(SigTest *t, unsigned target, struct virtio_signal_event *ev)
{
    QVirtQueue *vq = sig_eventq(t, target);
    uint32_t token, len;
    unsigned i = 0;

    if (!qvirtqueue_get_buf(t->qts, vq, &token, &len)) {
        return false;
    }
    g_assert_cmpuint(len, ==, sizeof(*ev));
    while (t->given[target][i].token != token) {
        g_assert_cmpuint(++i, <, t->num_given[target]);
    }
    /* Packed rings use tokens again. */
    t->given[target][i].token = UINT32_MAX;
    qtest_memread(t->qts, t->given[target][i].addr, ev, sizeof(*ev));
    ev->class_id = le16_to_cpu(ev->class_id);
    ev->signal = le16_to_cpu(ev->signal);
    ev->src_node = le16_to_cpu(ev->src_node);
    ev->src_target = le16_to_cpu(ev->src_target);
    ev->count = le32_to_cpu(ev->count);
    ev->seq = le32_to_cpu(ev->seq);
    ev->payload[0] = le64_to_cpu(ev->payload[0]);
    ev->payload[1] = le64_to_cpu(ev->payload[1]);
    return true;
}

struct virtio_signal_event sig_event(SigTest *t, unsigned target)
{
    gint64 end = g_get_monotonic_time() + SIG_TIMEOUT_US;
    struct virtio_signal_event ev;

    while (!sig_poll(t, target, &ev)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
    }
    return ev;
}

void sig_inject(SigTest *t, const char *class_name, unsigned target)
{
    QDict *rsp = qtest_qmp(t->qts, "{ 'execute': 'x-virtio-signal-send', "
                           "'arguments': { 'id': 'sig0', 'class': %s, "
                           "'target': %u } }", class_name, target);

    g_assert_cmpstr(qdict_get_str(qdict_get_qdict(rsp, "return"), "status"),
                    ==, "ok");
    qobject_unref(rsp);
}

void sig_aim_interrupt(SigTest *t, unsigned n, uint64_t addr, uint32_t data)
{
    QPCIDevice *dev = t->pci->pdev;
    QPCIBar bar = dev->msix_table_bar;
    uint64_t entry = dev->msix_table_off + PCI_MSIX_ENTRY_SIZE;

    qpci_io_writel(dev, bar, entry + PCI_MSIX_ENTRY_LOWER_ADDR, addr);
    qpci_io_writel(dev, bar, entry + PCI_MSIX_ENTRY_UPPER_ADDR, addr >> 32);
    qpci_io_writel(dev, bar, entry + PCI_MSIX_ENTRY_DATA, data);
    qpci_io_writel(dev, bar, entry + PCI_MSIX_ENTRY_VECTOR_CTRL, 0);
    t->pci->msix_ops->set_queue_vector(t->pci, n, 1);
}

bool sig_has_nmi(SigTest *t)
{
    bool x86 = g_str_equal(qtest_get_arch(), "x86_64");

    g_assert_cmpint(!!(t->dev->bus->get_features(t->dev) &
                       BIT_ULL(VIRTIO_SIGNAL_F_NMI)), ==, x86);
    return x86;
}

void sig_expect_needs_reset(SigTest *t)
{
    gint64 end = g_get_monotonic_time() + SIG_TIMEOUT_US;

    while (!(t->dev->bus->get_status(t->dev) & VIRTIO_CONFIG_S_NEEDS_RESET)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
    }
}

QDict *sig_query(QTestState *qts)
{
    QDict *rsp = qtest_qmp(qts, "{ 'execute': 'x-query-virtio-signal' }");
    QList *list = qdict_get_qlist(rsp, "return");
    QDict *device = qobject_to(QDict, qlist_peek(list));

    g_assert_nonnull(device);
    qobject_ref(device);
    qobject_unref(rsp);
    return device;
}

void sig_wait_migrated(QTestState *qts)
{
    gint64 end = g_get_monotonic_time() + SIG_TIMEOUT_US;

    for (bool done = false; !done;) {
        QDict *rsp = qtest_qmp(qts, "{ 'execute': 'query-migrate' }");
        const char *status = qdict_get_str(qdict_get_qdict(rsp, "return"),
                                           "status");

        g_assert_cmpstr(status, !=, "failed");
        done = g_str_equal(status, "completed");
        qobject_unref(rsp);
        g_assert_cmpint(g_get_monotonic_time(), <, end);
    }
}
