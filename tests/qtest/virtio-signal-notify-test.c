/*
 * virtio-signal: what interrupts and kicks there are
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Events come with one vector for all queues, by the interrupt line, and
 * without an interrupt; and neither side is told of what it does not want to
 * hear.
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "qemu/bitops.h"
#include "qemu/bswap.h"
#include "qemu/module.h"
#include "standard-headers/linux/pci_regs.h"
#include "standard-headers/linux/virtio_pci.h"
#include "standard-headers/linux/virtio_ring.h"
#include "virtio-signal-util.h"

#define MESSAGE 0x5a
#define TARGET 1

static uint16_t queue_vector(SigTest *t, unsigned n)
{
    t->dev->bus->queue_select(t->dev, n);
    return qpci_io_readw(t->pci->pdev, t->pci->bar, t->pci->common_cfg_offset +
                         VIRTIO_PCI_COMMON_Q_MSIX);
}

/* One vector for all queues: each of them still has an interrupt. */
static void test_shared_vector(void *obj, void *data, QGuestAllocator *alloc)
{
    uint64_t message;
    unsigned n;
    SigTest t;

    sig_start(&t, obj, alloc, BIT_ULL(VIRTIO_RING_F_EVENT_IDX));
    message = guest_alloc(alloc, sizeof(uint32_t));
    qpci_msix_enable(t.pci->pdev);
    g_assert_cmpuint(qpci_msix_table_size(t.pci->pdev), ==, 2);
    for (n = 0; n < t.num_queues; n++) {
        sig_aim_interrupt(&t, n, message, MESSAGE);
        g_assert_cmpuint(queue_vector(&t, n), ==, 1);
    }
    for (unsigned i = 0; i < SIG_TARGETS; i++) {
        sig_give(&t, i, 1);
        qtest_writel(t.qts, message, 0);
        sig_inject(&t, "irq", i);
        sig_event(&t, i);
        g_assert_cmphex(qtest_readl(t.qts, message), ==, MESSAGE);
    }

    /* A vector that is not there is refused; events come all the same. */
    n = VIRTIO_SIGNAL_SENDQ0 + t.num_sendqs + TARGET;
    t.dev->bus->queue_select(t.dev, n);
    qpci_io_writew(t.pci->pdev, t.pci->bar, t.pci->common_cfg_offset +
                   VIRTIO_PCI_COMMON_Q_MSIX, 2);
    g_assert_cmphex(queue_vector(&t, n), ==, VIRTIO_MSI_NO_VECTOR);
    sig_give(&t, TARGET, 1);
    qtest_writel(t.qts, message, 0);
    sig_inject(&t, "irq", TARGET);
    sig_event(&t, TARGET);
    g_assert_cmphex(qtest_readl(t.qts, message), ==, 0);
    qpci_msix_disable(t.pci->pdev);
    guest_free(alloc, message);
    sig_end(&t);
}

static bool line_raised(SigTest *t)
{
    return qpci_config_readw(t->pci->pdev, PCI_STATUS) & PCI_STATUS_INTERRUPT;
}

/* Reads the interrupt status, which also lowers the line. */
static bool interrupted(SigTest *t, unsigned target)
{
    return t->dev->bus->get_queue_isr_status(t->dev, sig_eventq(t, target));
}

/* No MSI-X at all */
static void test_line(void *obj, void *data, QGuestAllocator *alloc)
{
    SigTest t;

    sig_start(&t, obj, alloc, BIT_ULL(VIRTIO_RING_F_EVENT_IDX));
    g_assert_cmpuint(qpci_find_capability(t.pci->pdev, PCI_CAP_ID_MSIX, 0), ==,
                     0);
    for (unsigned i = 0; i < SIG_TARGETS; i++) {
        sig_give(&t, i, 1);
        g_assert_false(line_raised(&t));
        sig_inject(&t, "irq", i);
        sig_event(&t, i);
        g_assert_true(line_raised(&t));
        g_assert_true(interrupted(&t, i));
        g_assert_false(line_raised(&t));
    }
    sig_end(&t);
}

/* With an event index: the interrupt comes with event number @n, from 0. */
static void interrupt_at(SigTest *t, unsigned target, uint16_t n)
{
    QVirtQueue *vq = sig_eventq(t, target);

    if (qvirtio_is_packed(t->dev)) {
        qvirtqueue_packed_set_event(t->qts, vq, &(QVRingPackedEvent) {
            .off = n, .wrap = true, .flags = VRING_PACKED_EVENT_FLAG_DESC });
    } else {
        qtest_writew(t->qts, vq->avail +
                     offsetof(struct vring_avail, ring) +
                     vq->size * sizeof(uint16_t), n);
    }
}

/* Events that the driver asked to be quiet about come, and are quiet. */
static void test_event_index(void *obj, void *data, QGuestAllocator *alloc)
{
    const bool expected[] = { false, false, true, false, false };
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    g_assert_true(t.dev->features & BIT_ULL(VIRTIO_RING_F_EVENT_IDX));
    sig_give(&t, TARGET, 1 + ARRAY_SIZE(expected));
    /* A split ring's very first one always interrupts. */
    sig_inject(&t, "irq", TARGET);
    sig_event(&t, TARGET);
    interrupted(&t, TARGET);
    interrupt_at(&t, TARGET, 3);
    for (unsigned i = 0; i < ARRAY_SIZE(expected); i++) {
        sig_inject(&t, "irq", TARGET);
        sig_event(&t, TARGET);
        g_test_message("event %u", i + 1);
        g_assert_cmpint(interrupted(&t, TARGET), ==, expected[i]);
    }
    sig_end(&t);
}

/* Without an event index: whether the device wants to hear of buffers */
static bool wants_kicks(SigTest *t, unsigned target)
{
    QVirtQueue *vq = sig_eventq(t, target);
    QVRingPackedEvent event;

    if (qvirtio_is_packed(t->dev)) {
        qvirtqueue_packed_get_device_event(t->qts, vq, &event);
        return event.flags != VRING_PACKED_EVENT_FLAG_DISABLE;
    }
    return !(qtest_readw(t->qts, vq->used) & VRING_USED_F_NO_NOTIFY);
}

/* Only while something waits for a buffer is a new one of interest. */
static void test_kicks(void *obj, void *data, QGuestAllocator *alloc)
{
    struct virtio_signal_event ev;
    SigTest t;

    sig_start(&t, obj, alloc, BIT_ULL(VIRTIO_RING_F_EVENT_IDX));
    sig_give(&t, TARGET, 1);
    for (unsigned i = 0; i < 3; i++) {
        sig_inject(&t, "doorbell", TARGET);
        ev = sig_event(&t, TARGET);
        g_assert_cmpuint(ev.seq, ==, 2 * i);
        g_assert_false(wants_kicks(&t, TARGET));
        /* This one has no buffer; then there are two, the last unused. */
        sig_inject(&t, "doorbell", TARGET);
        g_assert_false(sig_poll(&t, TARGET, &ev));
        g_assert_true(wants_kicks(&t, TARGET));
        sig_give(&t, TARGET, 2);
        ev = sig_event(&t, TARGET);
        g_assert_cmpuint(ev.seq, ==, 2 * i + 1);
        g_assert_false(wants_kicks(&t, TARGET));
    }
    sig_end(&t);
}

static void register_virtio_signal_notify_tests(void)
{
    QOSGraphTestOptions two = { .edge.extra_device_opts = "vectors=2" };
    QOSGraphTestOptions none = { .edge.extra_device_opts = "vectors=0" };

    qos_add_test("notify/shared-vector", "virtio-signal-bar",
                 test_shared_vector, &two);
    qos_add_test("notify/line", "virtio-signal-bar", test_line, &none);
    qos_add_test("notify/event-index", "virtio-signal", test_event_index,
                 NULL);
    qos_add_test("notify/kicks", "virtio-signal", test_kicks, NULL);
}

libqos_init(register_virtio_signal_notify_tests);
