/*
 * Requests of a disk that complete together are published together
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A null-co disk completes what one kick brought in one pass of its event
 * loop, one bottom half for each request. See hw/virtio/ring/glue-push.c.inc.
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "libqos/libqos-pc.h"
#include "libqos/virtio-pci.h"
#include "libqos/virtio-packed.h"
#include "standard-headers/linux/virtio_blk.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_pci.h"
#include "hw/pci/pci_regs.h"

#define SLOT        4
#define BUNCH       8                   /* RING_PASS_MAX */
#define PARTS       4
#define MANY        (BUNCH * PARTS + 3) /* the last ones are no whole bunch */
#define TIMEOUT_US  (30 * G_USEC_PER_SEC)
#define ROUNDS      40
#define AVAIL       0x80
#define USED        0x8000
#define REQ_SIZE    (16 + 512 + 1)

typedef struct Disk {
    QOSState *qs;
    QTestState *qts;
    QVirtioPCIDevice *pci;
    QVirtioDevice *vdev;
    QVirtQueue *vq;
    uint64_t buffers;           /* of MANY requests */
    unsigned avail, used;       /* requests so far, in this queue */
} Disk;

typedef struct Counters {
    int64_t requests, batches, interrupts, in_flight;
} Counters;

/* Does the device, at rest or polling, ask to be told of requests? */
static bool wants_kick(Disk *d)
{
    if (qvirtio_is_packed(d->vdev)) {
        return qtest_readw(d->qts, d->vq->used + 2) !=
               VRING_PACKED_EVENT_FLAG_DISABLE;
    }
    return !(qtest_readw(d->qts, d->vq->used) & VRING_USED_F_NO_NOTIFY);
}

/* Reset, and set up the queue */
static void restart(Disk *d)
{
    qvirtio_start_device(d->vdev);
    qvirtio_set_features(d->vdev, qvirtio_get_features(d->vdev) &
                         ~(QVIRTIO_F_BAD_FEATURE |
                           1ull << VIRTIO_RING_F_EVENT_IDX));
    d->vq = qvirtqueue_setup(d->vdev, &d->qs->alloc, 0);
    d->avail = d->used = 0;
    qvirtio_set_driver_ok(d->vdev);
}

static Disk disk_find(QOSState *qs, unsigned slot)
{
    QPCIAddress addr = { .devfn = QPCI_DEVFN(slot, 0) };
    Disk d = { .qs = qs, .qts = qs->qts };

    d.pci = virtio_pci_new(qs->pcibus, &addr);
    g_assert_nonnull(d.pci);
    d.vdev = &d.pci->vdev;
    qvirtio_pci_device_enable(d.pci);
    restart(&d);
    d.buffers = guest_alloc(&qs->alloc, MANY * REQ_SIZE);
    return d;
}

static Disk disk_start(const char *props)
{
    return disk_find(qtest_pc_boot(
        "-object iothread,id=thread0 "
        "-drive if=none,id=drive0,driver=null-co,read-zeroes=on,size=1M "
        "-device virtio-blk-pci,id=dev0,addr=%02x.0,drive=drive0,"
        "disable-legacy=on,num-queues=1,%s", SLOT, props), SLOT);
}

static void disk_leave(Disk *d)
{
    qvirtqueue_cleanup(d->vdev->bus, d->vq, &d->qs->alloc);
    qvirtio_pci_device_disable(d->pci);
    g_free(d->pci->pdev);
    g_free(d->pci);
}

static void disk_stop(Disk *d)
{
    disk_leave(d);
    qtest_shutdown(d->qs);
}

/* The table of request @i, in guest memory */
static uint64_t prepare(Disk *d, unsigned i)
{
    struct virtio_blk_outhdr hdr = {
        .type = cpu_to_le32(VIRTIO_BLK_T_IN),
    };
    uint64_t at = d->buffers + i * REQ_SIZE, addr;
    QVRingIndirectDesc *table =
        qvring_indirect_desc_setup(d->qts, d->vdev, &d->qs->alloc, 3);

    qtest_memwrite(d->qts, at, &hdr, sizeof(hdr));
    qtest_memset(d->qts, at + sizeof(hdr), 0xff, 512 + 1);
    qvring_indirect_desc_add(d->vdev, d->qts, table, at, sizeof(hdr), false);
    qvring_indirect_desc_add(d->vdev, d->qts, table, at + sizeof(hdr), 512,
                             true);
    qvring_indirect_desc_add(d->vdev, d->qts, table, at + sizeof(hdr) + 512, 1,
                             true);
    addr = table->desc;
    g_free(table);
    return addr;
}

/* Flags of the descriptor at @pos, counted from the start of the queue */
static uint16_t flags_at(Disk *d, unsigned pos, bool used)
{
    bool wrap = !(pos / d->vq->size % 2);

    return used ? (wrap ? AVAIL | USED : 0) : (wrap ? AVAIL : USED);
}

/*
 * @count reads with one kick. The first descriptor of a packed ring becomes
 * available last, and the split ring's index moves once.
 */
static void submit(Disk *d, unsigned count)
{
    bool packed = qvirtio_is_packed(d->vdev);

    for (unsigned i = count; i-- > 0;) {
        unsigned pos = d->avail + i;
        uint16_t flags = VRING_DESC_F_INDIRECT |
                         (packed ? flags_at(d, pos, false) : 0);
        struct {
            uint64_t addr;
            uint32_t len;
            uint16_t third, fourth;
        } desc = {
            cpu_to_le64(prepare(d, i)), cpu_to_le32(3 * 16),
            cpu_to_le16(packed ? i : flags), cpu_to_le16(packed ? flags : 0),
        };

        qtest_memwrite(d->qts, d->vq->desc + pos % d->vq->size * sizeof(desc),
                       &desc, sizeof(desc));
        if (!packed) {
            qtest_writew(d->qts, d->vq->avail + 4 + 2 * (pos % d->vq->size),
                         pos % d->vq->size);
        }
    }
    d->avail += count;
    if (!packed) {
        qtest_writew(d->qts, d->vq->avail + 2, d->avail);
    }
    if (wants_kick(d)) {
        d->vdev->bus->virtqueue_kick(d->vdev, d->vq);
    }
}

/* How many requests have been used that take() has not seen */
static unsigned used(Disk *d)
{
    unsigned n = 0;

    if (!qvirtio_is_packed(d->vdev)) {
        return (uint16_t)(qtest_readw(d->qts, d->vq->used + 2) - d->used);
    }
    while (d->used + n < d->avail) {
        unsigned pos = d->used + n;
        uint16_t flags = qtest_readw(d->qts, d->vq->desc + 14 +
                                     pos % d->vq->size * 16);

        if ((flags & (AVAIL | USED)) != flags_at(d, pos, true)) {
            break;
        }
        n++;
    }
    return n;
}

/* @count have been used, and nothing else */
static void check(Disk *d, unsigned count)
{
    g_assert_cmpuint(used(d), ==, count);
    d->used += count;
    for (unsigned i = 0; i < count; i++) {
        uint8_t data[512 + 1], zero[512 + 1] = { VIRTIO_BLK_S_OK };

        qtest_memread(d->qts, d->buffers + i * REQ_SIZE + 16, data,
                      sizeof(data));
        g_assert_cmpmem(data, sizeof(data), zero, sizeof(zero));
    }
}

static void take(Disk *d, unsigned count)
{
    gint64 start = g_get_monotonic_time();

    while (used(d) < count) {
        g_assert_cmpint(g_get_monotonic_time() - start, <, TIMEOUT_US);
    }
    check(d, count);
}

static Counters counters(Disk *d)
{
    QDict *status = qtest_qmp_assert_success_ref(d->qts,
        "{ 'execute': 'x-query-virtio-queue-status', 'arguments': {"
        "  'path': '/machine/peripheral/dev0/virtio-backend',"
        "  'queue': 0 } }");
    QDict *ring = qdict_get_qdict(status, "ring");
    QDict *counters = qdict_get_qdict(ring, "counters");
    Counters c = {
        qdict_get_int(counters, "requests"),
        qdict_get_int(counters, "batches"),
        qdict_get_int(counters, "interrupts"),
        qdict_get_int(status, "inuse"),
    };

    qobject_unref(status);
    return c;
}

/* One cache line write, one interrupt for each BUNCH, and for the rest */
static void test_together(const void *props)
{
    Disk d = disk_start(props);
    Counters c;

    submit(&d, MANY);
    take(&d, MANY);
    /* A thread answers us between the last element and its interrupt. */
    qtest_qmp_assert_success(d.qts, "{ 'execute': 'stop' }");
    c = counters(&d);
    g_assert_cmpint(c.requests, ==, MANY);
    g_assert_cmpint(c.batches, ==, PARTS + 1);
    g_assert_cmpint(c.interrupts, ==, PARTS + 1);
    g_assert_cmpint(c.in_flight, ==, 0);
    disk_stop(&d);
}

/* Once the machine is stopped, everything is published. */
static void test_stop(const void *props)
{
    Disk d = disk_start(props);

    for (unsigned i = 0; i < ROUNDS; i++) {
        submit(&d, MANY);
        qtest_qmp_assert_success(d.qts, "{ 'execute': 'stop' }");
        g_assert_cmpint(counters(&d).in_flight, ==, 0);
        check(&d, MANY);
        qtest_qmp_assert_success(d.qts, "{ 'execute': 'cont' }");
    }
    disk_stop(&d);
}

/* A reset in the middle leaves nothing that enters the new ring. */
static void test_reset(const void *props)
{
    Disk d = disk_start(props);

    for (unsigned i = 0; i < ROUNDS; i++) {
        QVirtQueue *old = d.vq;

        submit(&d, MANY);
        restart(&d);
        qvirtqueue_cleanup(d.vdev->bus, old, &d.qs->alloc);
        submit(&d, 2);
        take(&d, 2);
        g_assert_cmpuint(used(&d), ==, 0);
    }
    disk_stop(&d);
}

/*
 * The interrupt is a write to the disk's own status register: a reset in the
 * middle of, or after, the bunch that it tells of.
 */
static void test_interrupt_resets(const void *props)
{
    Disk d = disk_start(props);
    QPCIDevice *dev = d.pci->pdev;
    uint64_t common = d.pci->common_cfg_offset;
    uint64_t status = d.pci->bar.addr + common + VIRTIO_PCI_COMMON_STATUS;

    qpci_msix_enable(dev);
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t entry = dev->msix_table_off;

        qpci_io_writel(dev, dev->msix_table_bar,
                       entry + PCI_MSIX_ENTRY_LOWER_ADDR, status);
        qpci_io_writel(dev, dev->msix_table_bar,
                       entry + PCI_MSIX_ENTRY_UPPER_ADDR, status >> 32);
        qpci_io_writel(dev, dev->msix_table_bar, entry + PCI_MSIX_ENTRY_DATA,
                       0);
        qpci_io_writel(dev, dev->msix_table_bar,
                       entry + PCI_MSIX_ENTRY_VECTOR_CTRL, 0);
        qpci_io_writew(dev, d.pci->bar, common + VIRTIO_PCI_COMMON_Q_MSIX, 0);
        submit(&d, i + 1);
        qtest_qmp_assert_success(d.qts, "{ 'execute': 'query-status' }");
        qvirtqueue_cleanup(d.vdev->bus, d.vq, &d.qs->alloc);
        restart(&d);
        submit(&d, 2);
        take(&d, 2);
    }
    qpci_msix_disable(dev);
    disk_stop(&d);
}

/*
 * Beside a busy disk an idle one of the same thread is looked at less often,
 * and its driver has been told not to kick: util/aio-rest.c.inc
 */
static void test_idle_neighbour(void)
{
    QOSState *qs = qtest_pc_boot(
        "-object iothread,id=thread0,poll-max-ns=1000000000,"
        "poll-grow=1000000 "
        "-drive if=none,id=drive0,driver=null-co,read-zeroes=on,size=1M "
        "-drive if=none,id=drive1,driver=null-co,read-zeroes=on,size=1M "
        "-device virtio-blk-pci,addr=%02x.0,drive=drive0,disable-legacy=on,"
        "packed=on,num-queues=1,iothread=thread0 "
        "-device virtio-blk-pci,addr=%02x.0,drive=drive1,disable-legacy=on,"
        "packed=on,num-queues=4,iothread=thread0", SLOT, SLOT + 1);
    Disk busy = disk_find(qs, SLOT), idle = disk_find(qs, SLOT + 1);
    unsigned unasked = 0;
    gint64 waited = 0;

    for (unsigned i = 0; i < ROUNDS; i++) {
        gint64 start = g_get_monotonic_time(), now;

        /* Longer than REST_AFTER_NS */
        do {
            submit(&busy, 1);
            take(&busy, 1);
            now = g_get_monotonic_time();
        } while (now - start < 3000);
        unasked += !wants_kick(&idle);
        submit(&idle, 1);
        while (used(&idle) < 1) {
            submit(&busy, 1);
            take(&busy, 1);
            g_assert_cmpint(g_get_monotonic_time() - now, <, TIMEOUT_US);
        }
        check(&idle, 1);
        waited += g_get_monotonic_time() - now;
    }
    /* Forgotten, each would wait until polling ends, after poll-max-ns. */
    g_assert_cmpint(waited, <, ROUNDS * G_USEC_PER_SEC / 4);
    /* Else this was about nothing. */
    g_assert_cmpuint(unasked, >, 0);
    disk_leave(&idle);
    disk_stop(&busy);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name, *props;
    } kinds[] = {
        { "split", "packed=off" },
        { "packed", "packed=on" },
        { "split-iothread", "packed=off,iothread=thread0" },
        { "packed-iothread", "packed=on,iothread=thread0" },
    };
    static const struct {
        const char *name;
        void (*fn)(const void *props);
    } tests[] = {
        { "together", test_together }, { "stop", test_stop },
        { "reset", test_reset },
        { "interrupt-resets", test_interrupt_resets },
    };

    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        for (unsigned j = 0; j < G_N_ELEMENTS(tests); j++) {
            g_autofree char *path = g_strdup_printf("bunch/%s/%s",
                                                    kinds[i].name,
                                                    tests[j].name);

            qtest_add_data_func(path, kinds[i].props, tests[j].fn);
        }
    }
    qtest_add_func("bunch/idle-neighbour", test_idle_neighbour);
    return g_test_run();
}
