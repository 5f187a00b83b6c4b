/*
 * Batch labels on virtio-echo: docs/specs/virtio-batch-labels.rst
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The driver writes its descriptors itself, one for each request, so that it
 * can label them as no honest one would. The device completes BATCH requests
 * at a time, which makes PARTS interrupts of a driver's batch without labels.
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "libqos/libqos-pc.h"
#include "libqos/virtio-pci.h"
#include "libqos/virtio-packed.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_labels.h"
#include "standard-headers/linux/virtio_pci.h"
#include "hw/pci/pci_regs.h"

#define SLOT        4
#define BATCH       8
#define PARTS       4
#define MANY        (BATCH * PARTS)
#define TIMEOUT_US  (30 * G_USEC_PER_SEC)
#define EVENT_IDX   (1ull << VIRTIO_RING_F_EVENT_IDX)
#define PACKED      (1ull << VIRTIO_F_RING_PACKED)

#define AVAIL       0x80
#define USED        0x8000
#define MORE        VIRTIO_LABELS_DESC_F_MORE

#define FIELD(name) offsetof(struct virtio_pci_labels_cap, name)

typedef struct Labels {
    QOSState *qs;
    QTestState *qts;
    QVirtioPCIDevice *pci;
    QVirtQueue *vq;
    uint8_t cap;                /* 0: there is none */
    unsigned pos;               /* where the next descriptor goes */
    unsigned taken;             /* the next one to be used */
    bool wrap, taken_wrap;
} Labels;

typedef struct Counters {
    int64_t requests, batches, kicks, interrupts;
} Counters;

static QOSState *boot(const char *props)
{
    return qtest_pc_boot("-device virtio-echo-pci,id=dev0,addr=%02x.0,"
                         "ioeventfd=off,batch=%d,%s", SLOT, BATCH, props);
}

/* The vendor capability of the format we know, or 0 */
static uint8_t find_labels(QPCIDevice *dev)
{
    uint8_t at = 0;

    while ((at = qpci_find_capability(dev, PCI_CAP_ID_VNDR, at))) {
        if (qpci_config_readb(dev, at + FIELD(cfg_type)) ==
            VIRTIO_LABELS_CFG_TYPE) {
            return at;
        }
    }
    return 0;
}

/* Reset and go as far as FEATURES_OK */
static void negotiate(Labels *t, uint64_t refuse)
{
    QVirtioDevice *dev = &t->pci->vdev;

    qvirtio_start_device(dev);
    qvirtio_set_features(dev, qvirtio_get_features(dev) &
                         ~(QVIRTIO_F_BAD_FEATURE | refuse));
}

static Labels labels_start(const char *props, uint64_t refuse)
{
    QPCIAddress addr = { .devfn = QPCI_DEVFN(SLOT, 0) };
    Labels t = { .qs = boot(props) };

    t.qts = t.qs->qts;
    t.pci = virtio_pci_new(t.qs->pcibus, &addr);
    g_assert_nonnull(t.pci);
    qvirtio_pci_device_enable(t.pci);
    t.cap = find_labels(t.pci->pdev);
    negotiate(&t, refuse);
    return t;
}

static void labels_go(Labels *t)
{
    t->vq = qvirtqueue_setup(&t->pci->vdev, &t->qs->alloc, 0);
    t->pos = t->taken = 0;
    t->wrap = t->taken_wrap = true;
    qvirtio_set_driver_ok(&t->pci->vdev);
}

static void labels_stop(Labels *t)
{
    if (t->vq) {
        qvirtqueue_cleanup(t->pci->vdev.bus, t->vq, &t->qs->alloc);
    }
    qvirtio_pci_device_disable(t->pci);
    g_free(t->pci->pdev);
    g_free(t->pci);
    qtest_shutdown(t->qs);
}

static uint32_t accepted(Labels *t)
{
    return qpci_config_readl(t->pci->pdev, t->cap + FIELD(accepted));
}

static uint32_t accept_labels(Labels *t, uint32_t labels)
{
    qpci_config_writel(t->pci->pdev, t->cap + FIELD(accepted), labels);
    return accepted(t);
}

/*
 * Make @count requests available at once; request i is labelled if bit i of
 * @labels is set.
 */
static void offer(Labels *t, unsigned count, uint64_t labels)
{
    uint64_t buffer = guest_alloc(&t->qs->alloc, 16);
    unsigned first = t->pos;
    uint16_t head = 0;

    for (unsigned i = 0; i < count; i++) {
        uint16_t flags = (t->wrap ? AVAIL : USED) |
                         (labels >> i & 1 ? MORE : 0);
        QVRingPackedDesc desc = {
            cpu_to_le64(buffer), cpu_to_le32(16), cpu_to_le16(i),
            cpu_to_le16(i ? flags : (t->wrap ? USED : AVAIL)),
        };

        head = i ? head : flags;
        qtest_memwrite(t->qts, t->vq->desc + t->pos * sizeof(desc), &desc,
                       sizeof(desc));
        if (++t->pos == t->vq->size) {
            t->pos = 0;
            t->wrap = !t->wrap;
        }
    }
    qtest_writew(t->qts, t->vq->desc + first * sizeof(QVRingPackedDesc) +
                 offsetof(QVRingPackedDesc, flags), head);
}

static void kick(Labels *t)
{
    t->pci->vdev.bus->virtqueue_kick(&t->pci->vdev, t->vq);
}

/* Wait until @count are used; bit i of what is returned: i is labelled */
static uint64_t take(Labels *t, unsigned count)
{
    uint64_t labels = 0;

    for (unsigned i = 0; i < count; i++) {
        gint64 start = g_get_monotonic_time();
        uint16_t want = t->taken_wrap ? AVAIL | USED : 0, flags;

        do {
            g_assert_cmpint(g_get_monotonic_time() - start, <, TIMEOUT_US);
            flags = qtest_readw(t->qts, t->vq->desc + t->taken *
                                sizeof(QVRingPackedDesc) +
                                offsetof(QVRingPackedDesc, flags));
        } while ((flags & (AVAIL | USED)) != want);
        labels |= (uint64_t)!!(flags & MORE) << i;
        if (++t->taken == t->vq->size) {
            t->taken = 0;
            t->taken_wrap = !t->taken_wrap;
        }
    }
    return labels;
}

/* The engine's words and counters; the device is at rest by then */
static Counters count(QTestState *qts, bool labels)
{
    QDict *status = qtest_qmp_assert_success_ref(qts,
        "{ 'execute': 'x-query-virtio-queue-status', 'arguments': {"
        "  'path': '/machine/peripheral/dev0/virtio-backend',"
        "  'queue': 0 } }");
    QDict *ring = qdict_get_qdict(status, "ring");
    QDict *counters = qdict_get_qdict(ring, "counters");
    Counters c;

    g_assert_cmpint(!!strstr(qdict_get_str(ring, "engine"), "batch labels"),
                    ==, labels);
    c = (Counters) {
        qdict_get_int(counters, "requests"),
        qdict_get_int(counters, "batches"),
        qdict_get_int(counters, "kicks"),
        qdict_get_int(counters, "interrupts"),
    };
    qobject_unref(status);
    return c;
}

/* All of a batch but the last */
static uint64_t right_labels(unsigned count)
{
    return (1ull << (count - 1)) - 1;
}

static void test_off(void)
{
    Labels t = labels_start("packed=on", 0);

    g_assert_cmpint(t.cap, ==, 0);
    labels_go(&t);
    offer(&t, MANY, right_labels(MANY));
    kick(&t);
    g_assert_cmphex(take(&t, MANY), ==, 0);
    count(t.qts, false);
    labels_stop(&t);
}

static void test_negotiate(void)
{
    Labels t = labels_start("packed=on,x-batch-labels=on", 0);
    QPCIDevice *dev = t.pci->pdev;

    g_assert_cmpint(t.cap, !=, 0);
    g_assert_cmpuint(qpci_config_readb(dev, t.cap + FIELD(cap_len)), ==, 20);
    g_assert_cmphex(qpci_config_readw(dev, t.cap + FIELD(vendor_id)), ==,
                    VIRTIO_LABELS_VENDOR_ID);
    g_assert_cmpuint(qpci_config_readw(dev, t.cap + FIELD(version)), ==, 1);
    g_assert_cmphex(qpci_config_readl(dev, t.cap + FIELD(magic)), ==,
                    VIRTIO_LABELS_MAGIC);
    g_assert_cmphex(qpci_config_readl(dev, t.cap + FIELD(offered)), ==,
                    VIRTIO_LABELS_BATCH);
    g_assert_cmphex(accepted(&t), ==, 0);
    g_assert_cmphex(accept_labels(&t, VIRTIO_LABELS_BATCH), ==,
                    VIRTIO_LABELS_BATCH);
    /* It can change its mind for as long as it has not started the device */
    g_assert_cmphex(accept_labels(&t, 0), ==, 0);
    g_assert_cmphex(accept_labels(&t, VIRTIO_LABELS_BATCH), ==,
                    VIRTIO_LABELS_BATCH);
    labels_go(&t);
    count(t.qts, true);
    labels_stop(&t);
}

static void test_bad_writes(void)
{
    Labels t = labels_start("packed=on,x-batch-labels=on", 0);
    QPCIDevice *dev = t.pci->pdev;
    uint8_t at = t.cap + FIELD(accepted);

    /* Not offered */
    for (unsigned bit = 1; bit < 32; bit++) {
        g_assert_cmphex(accept_labels(&t, 1u << bit | 1), ==, 0);
    }
    /* Not as one word; read-only fields; the next capability after us */
    for (unsigned i = 0; i < sizeof(struct virtio_pci_labels_cap); i++) {
        uint8_t was = qpci_config_readb(dev, t.cap + i);

        qpci_config_writeb(dev, t.cap + i, was ^ 1);
        g_assert_cmphex(qpci_config_readb(dev, t.cap + i), ==, was);
    }
    for (unsigned i = 0; i < 4; i += 2) {
        qpci_config_writew(dev, at + i, VIRTIO_LABELS_BATCH);
        g_assert_cmphex(accepted(&t), ==, 0);
    }
    qpci_config_writel(dev, t.cap + FIELD(offered), 0xffffffff);
    g_assert_cmphex(qpci_config_readl(dev, t.cap + FIELD(offered)), ==, 1);

    /* Too early */
    qvirtio_start_device(&t.pci->vdev);
    g_assert_cmphex(accept_labels(&t, VIRTIO_LABELS_BATCH), ==, 0);

    /* Too late, on and off */
    negotiate(&t, 0);
    labels_go(&t);
    g_assert_cmphex(accept_labels(&t, VIRTIO_LABELS_BATCH), ==, 0);
    qvirtqueue_cleanup(t.pci->vdev.bus, t.vq, &t.qs->alloc);
    negotiate(&t, 0);
    accept_labels(&t, VIRTIO_LABELS_BATCH);
    labels_go(&t);
    g_assert_cmphex(accept_labels(&t, 0), ==, VIRTIO_LABELS_BATCH);
    qvirtqueue_cleanup(t.pci->vdev.bus, t.vq, &t.qs->alloc);

    /* The split ring has no labels */
    negotiate(&t, PACKED);
    g_assert_cmphex(accept_labels(&t, VIRTIO_LABELS_BATCH), ==, 0);
    t.vq = NULL;
    labels_stop(&t);
}

static void test_reset(void)
{
    Labels t = labels_start("packed=on,x-batch-labels=on", 0);

    accept_labels(&t, VIRTIO_LABELS_BATCH);
    labels_go(&t);
    offer(&t, MANY, right_labels(MANY));
    kick(&t);
    g_assert_cmphex(take(&t, MANY), ==, right_labels(MANY));
    g_assert_cmpint(count(t.qts, true).interrupts, ==, 1);
    qvirtqueue_cleanup(t.pci->vdev.bus, t.vq, &t.qs->alloc);

    negotiate(&t, 0);
    g_assert_cmphex(accepted(&t), ==, 0);
    labels_go(&t);
    offer(&t, MANY, right_labels(MANY));
    kick(&t);
    g_assert_cmphex(take(&t, MANY), ==, 0);
    count(t.qts, false);
    labels_stop(&t);
}

static void test_not_accepted(void)
{
    Labels t = labels_start("packed=on,x-batch-labels=on", EVENT_IDX);
    Counters c;

    labels_go(&t);
    offer(&t, MANY, right_labels(MANY));
    kick(&t);
    g_assert_cmphex(take(&t, MANY), ==, 0);
    c = count(t.qts, false);
    g_assert_cmpint(c.requests, ==, MANY);
    g_assert_cmpint(c.batches, ==, PARTS);
    g_assert_cmpint(c.interrupts, ==, PARTS);
    labels_stop(&t);
}

/* Ten batches in both laps: one kick and one interrupt each */
static void one_each(const char *props, uint64_t refuse)
{
    Labels t = labels_start(props, refuse);
    Counters c;

    accept_labels(&t, VIRTIO_LABELS_BATCH);
    labels_go(&t);
    for (unsigned i = 1; i <= 40; i++) {
        offer(&t, MANY, right_labels(MANY));
        kick(&t);
        g_assert_cmphex(take(&t, MANY), ==, right_labels(MANY));
        c = count(t.qts, true);
        g_assert_cmpint(c.requests, ==, i * MANY);
        g_assert_cmpint(c.batches, ==, i * PARTS);
        g_assert_cmpint(c.kicks, ==, i);
        g_assert_cmpint(c.interrupts, ==, i);
    }
    g_assert_cmpuint(40 * MANY, >, t.vq->size);
    labels_stop(&t);
}

static void test_one(void)
{
    one_each("packed=on,x-batch-labels=on", EVENT_IDX);
}

static void test_one_event(void)
{
    /* The driver's event structure is zero: always */
    one_each("packed=on,x-batch-labels=on", 0);
}

/* No label where the driver has set none, beyond a flush of the device */
static void test_unlabelled(void)
{
    Labels t = labels_start("packed=on,x-batch-labels=on", EVENT_IDX);
    uint64_t part = right_labels(BATCH), want = 0;

    accept_labels(&t, VIRTIO_LABELS_BATCH);
    labels_go(&t);
    offer(&t, MANY, 0);
    kick(&t);
    for (unsigned i = 0; i < PARTS; i++) {
        want |= part << i * BATCH;
    }
    g_assert_cmphex(take(&t, MANY), ==, want);
    g_assert_cmpint(count(t.qts, true).interrupts, ==, PARTS);
    labels_stop(&t);
}

/*
 * Every pattern of labels in a batch of two flushes that lies in some way:
 * all is returned, the last interrupt comes, and the next kick is asked for.
 */
static void test_hostile(void)
{
    Labels t = labels_start("packed=on,x-batch-labels=on", 0);
    unsigned done = 0;

    accept_labels(&t, VIRTIO_LABELS_BATCH);
    labels_go(&t);
    for (unsigned i = 0; i < 100; i++) {
        unsigned n = 1 + i % (2 * BATCH);
        int64_t before = count(t.qts, true).interrupts;
        uint64_t lies = i % 3 ? (i * 0x9e3779b97f4a7c15ull) >> 20 : ~0ull;
        uint16_t event;
        uint64_t labels;

        offer(&t, n, lies);
        kick(&t);
        labels = take(&t, n);
        done += n;
        /* Of what it returned, the last was not said to have a successor */
        g_assert_cmpuint(labels >> (n - 1), ==, 0);
        g_assert_cmpint(count(t.qts, true).interrupts, >, before);
        event = qtest_readw(t.qts, t.vq->used);
        g_assert_cmphex(event, ==, t.pos | t.wrap << 15);
        g_assert_cmphex(qtest_readw(t.qts, t.vq->used + 2), ==, 2);
    }
    g_assert_cmpint(count(t.qts, true).requests, ==, done);
    g_assert_false(t.pci->vdev.bus->get_status(&t.pci->vdev) &
                   VIRTIO_CONFIG_S_NEEDS_RESET);
    labels_stop(&t);
}

static void migrate_to(QTestState *from, QTestState *to, const char *uri,
                       const char *end)
{
    QTestState *const both[] = { to, from };

    qtest_qmp_assert_success(to, "{ 'execute': 'migrate-incoming',"
        "'arguments': { 'uri': %s, 'exit-on-error': false } }", uri);
    qtest_qmp_assert_success(from, "{ 'execute': 'migrate', 'arguments':"
                             "{ 'uri': %s } }", uri);
    for (unsigned i = 0; i < 2; i++) {
        for (bool ended = false; !ended; ) {
            QDict *info = qtest_qmp_assert_success_ref(both[i],
                "{ 'execute': 'query-migrate' }");
            const char *status = qdict_get_try_str(info, "status");

            if (status && (g_str_equal(status, "completed") ||
                           g_str_equal(status, "failed"))) {
                g_assert_true(i || g_str_equal(status, end));
                ended = true;
            }
            qobject_unref(info);
        }
    }
}

/* What was accepted moves along; a device that offers none refuses it */
static void migrate_accepted(const char *to_props, const char *end)
{
    g_autofree char *dir = g_dir_make_tmp("vadis-labels-XXXXXX", NULL);
    g_autofree char *sock = g_build_filename(dir, "sock", NULL);
    g_autofree char *uri = g_strconcat("unix:", sock, NULL);
    g_autofree char *incoming = g_strconcat(to_props, " -incoming defer",
                                            NULL);
    Labels t = labels_start("packed=on,x-batch-labels=on", EVENT_IDX);
    QOSState *to = boot(incoming);
    QOSState *from = t.qs;

    accept_labels(&t, VIRTIO_LABELS_BATCH);
    labels_go(&t);
    offer(&t, MANY, right_labels(MANY));
    kick(&t);
    take(&t, MANY);
    migrate_to(from->qts, to->qts, uri, end);
    if (g_str_equal(end, "completed")) {
        qtest_qmp_assert_success(to->qts, "{ 'execute': 'cont' }");
        t.qts = to->qts;
        /* The device's registers are reached through the other side now */
        t.pci->pdev->bus = to->pcibus;
        g_assert_cmphex(accepted(&t), ==, VIRTIO_LABELS_BATCH);
        offer(&t, MANY, right_labels(MANY));
        kick(&t);
        g_assert_cmphex(take(&t, MANY), ==, right_labels(MANY));
        g_assert_cmpint(count(t.qts, true).interrupts, ==, 1);
        t.pci->pdev->bus = from->pcibus;
    }
    labels_stop(&t);
    qtest_shutdown(to);
    unlink(sock);
    rmdir(dir);
}

static void test_migrate(void)
{
    migrate_accepted("packed=on,x-batch-labels=on", "completed");
}

static void test_migrate_refused(void)
{
    migrate_accepted("packed=on", "failed");
}

static void test_settings(void)
{
    static const struct {
        bool packed;
        const char *ring;
    } bad[] = {
        { false, "auto" }, { true, "stock" },
    };
    QTestState *qts = qtest_init("-machine pc");

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        QDict *error = qtest_qmp_assert_failure_ref(qts,
            "{ 'execute': 'device_add', 'arguments': {"
            "  'driver': 'virtio-echo-pci', 'id': 'dev1',"
            "  'packed': %i, 'x-ring': %s, 'x-batch-labels': true } }",
            bad[i].packed, bad[i].ring);

        g_assert_nonnull(strstr(qdict_get_str(error, "desc"),
                                "x-batch-labels=on needs"));
        qobject_unref(error);
    }
    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("labels/off-no-capability", test_off);
    qtest_add_func("labels/negotiate", test_negotiate);
    qtest_add_func("labels/bad-writes", test_bad_writes);
    qtest_add_func("labels/reset", test_reset);
    qtest_add_func("labels/not-accepted", test_not_accepted);
    qtest_add_func("labels/one-interrupt", test_one);
    qtest_add_func("labels/one-interrupt/event-idx", test_one_event);
    qtest_add_func("labels/unlabelled", test_unlabelled);
    qtest_add_func("labels/hostile", test_hostile);
    qtest_add_func("labels/migrate", test_migrate);
    qtest_add_func("labels/migrate-refused", test_migrate_refused);
    qtest_add_func("labels/settings", test_settings);
    return g_test_run();
}
