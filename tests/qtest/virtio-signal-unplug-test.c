/*
 * virtio-signal: interrupts that unplug the device that sends them, or another
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A message of MSI-X is a write of four bytes to any address. Slot Control of a
 * root port is such an address: switched off, the slot's device is gone when
 * the write is done.
 */

#include "qemu/osdep.h"
#include "hw/pci/pci_regs.h"
#include "libqos/pci-pc.h"
#include "libqos/libqos-pc.h"
#include "libqtest.h"
#include "qemu/bswap.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
/* qos-test links it; this is a program of its own. */
#include "virtio-signal-util.c"

#define PORTS 2
#define ECAM 0xb0000000u
#define PCIEXBAR 0x60
#define PORT_DEVFN(n) QPCI_DEVFN(3 + (n), 0)
#define WINDOW 0xe0000000u
#define WINDOW_SIZE 0x4000000u
#define SLOT_OFF (PCI_EXP_SLTCTL_PWR_OFF | PCI_EXP_SLTCTL_PWR_IND_OFF)

typedef struct Slots {
    QOSState *qs;
    uint64_t slot_control[PORTS];   /* where a write reaches it */
    QVirtioSignal signal[PORTS];
    SigTest test[PORTS];
} Slots;

/* Node @n, behind root port @n; its driver runs when this returns */
static void slot_start(Slots *s, unsigned n)
{
    QPCIBus *bus = s->qs->pcibus;
    QPCIAddress addr = { .devfn = (n + 1) << 8 };
    QPCIDevice *port = qpci_device_find(bus, PORT_DEVFN(n));
    uint32_t window = WINDOW + n * WINDOW_SIZE;
    QVirtioPCIDevice *pci;
    uint8_t cap;

    g_assert_nonnull(port);
    cap = qpci_find_capability(port, PCI_CAP_ID_EXP, 0);
    s->slot_control[n] = ECAM + (PORT_DEVFN(n) << 12) + cap + PCI_EXP_SLTCTL;
    qpci_config_writel(port, PCI_PRIMARY_BUS, (n + 1) << 8 | (n + 1) << 16);
    qpci_config_writel(port, PCI_MEMORY_BASE,
                       window >> 16 | (window + WINDOW_SIZE - 1) >> 16 << 16);
    qpci_config_writew(port, PCI_COMMAND,
                       PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    g_free(port);

    bus->mmio_alloc_ptr = window;
    pci = virtio_pci_new(bus, &addr);
    g_assert_nonnull(pci);
    qvirtio_pci_device_enable(pci);
    qvirtio_start_device(&pci->vdev);
    s->signal[n] = (QVirtioSignal) {
        .vdev = &pci->vdev, .pci = pci, .qts = &bus->qts,
    };
    /* Each use of a queue interrupts. */
    sig_start(&s->test[n], &s->signal[n], &s->qs->alloc,
              1u << VIRTIO_RING_F_EVENT_IDX);
    qpci_msix_enable(pci->pdev);
}

static Slots *slots_start(void)
{
    Slots *s = g_new0(Slots, 1);
    QPCIDevice *host;

    s->qs = qtest_pc_boot("-M q35 -object signal-bus,id=bus0 "
        "-global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off "
        "-device pcie-root-port,id=p0,chassis=1,addr=3 "
        "-device pcie-root-port,id=p1,chassis=2,addr=4 "
        "-device virtio-signal-pci,id=s0,bus=p0,signal-bus=bus0,node=0,"
        "targets=%d "
        "-device virtio-signal-pci,id=s1,bus=p1,signal-bus=bus0,node=1,"
        "targets=%d", SIG_TARGETS, SIG_TARGETS);
    host = qpci_device_find(s->qs->pcibus, 0);
    qpci_config_writel(host, PCIEXBAR, ECAM | 1);
    g_free(host);
    for (unsigned n = 0; n < PORTS; n++) {
        slot_start(s, n);
    }
    return s;
}

/* Both are gone or one is; the machine lives, and what is left works. */
static void slots_end(Slots *s, unsigned gone)
{
    SigTest *left = &s->test[!gone];
    struct virtio_signal_req irq = sig_req(CLASS(IRQ), 3);
    QDict *info = sig_query(s->qs->qts);

    g_assert_cmpint(qdict_get_int(info, "node"), ==, !gone);
    g_assert_true(qlist_empty(qdict_get_qlist(info, "peers")));
    qobject_unref(info);
    sig_give(left, 3, 1);
    irq.dst_node = cpu_to_le16(!gone);
    g_assert_cmpuint(sig_send(left, &irq), ==, STATUS(OK));
    g_assert_cmpuint(sig_event(left, 3).class_id, ==, CLASS(IRQ));
    qtest_shutdown(s->qs);
    for (unsigned n = 0; n < PORTS; n++) {
        g_free(s->signal[n].pci->pdev);
        g_free(s->signal[n].pci);
    }
    g_free(s);
}

/* An interrupt of queue @queue of device @from switches @port off. */
static void aim(Slots *s, unsigned from, unsigned queue, unsigned port)
{
    QVirtioPCIDevice *pci = s->signal[from].pci;
    QPCIDevice *dev = pci->pdev;
    uint64_t entry = dev->msix_table_off + PCI_MSIX_ENTRY_SIZE;

    qpci_io_writel(dev, dev->msix_table_bar,
                   entry + PCI_MSIX_ENTRY_LOWER_ADDR, s->slot_control[port]);
    qpci_io_writel(dev, dev->msix_table_bar,
                   entry + PCI_MSIX_ENTRY_UPPER_ADDR, 0);
    qpci_io_writel(dev, dev->msix_table_bar, entry + PCI_MSIX_ENTRY_DATA,
                   SLOT_OFF);
    qpci_io_writel(dev, dev->msix_table_bar,
                   entry + PCI_MSIX_ENTRY_VECTOR_CTRL, 0);
    pci->msix_ops->set_queue_vector(pci, queue, 1);
}

/* What is done, and whose interrupt unplugs whom meanwhile */
typedef struct Unplug {
    const char *name;
    unsigned from, queue;
    unsigned gone;
    enum { BROADCAST, COMMAND, NODE_RESET, FUNCTION_RESET } what;
} Unplug;

static void test_unplug(const void *opaque)
{
    const Unplug *u = opaque;
    Slots *s = slots_start();
    SigTest *t = &s->test[0];
    struct virtio_signal_req req = sig_req(CLASS(IRQ), 0);
    struct virtio_signal_ctrl cmd = { };
    QPCIDevice *dev;
    uint32_t token = 0;
    uint64_t in;
    uint8_t cap;

    for (unsigned n = 0; n < PORTS; n++) {
        for (unsigned target = 0; target < SIG_TARGETS - 1; target++) {
            sig_give(&s->test[n], target, 2);
        }
    }
    aim(s, u->from, u->queue, u->gone);
    switch (u->what) {
    case BROADCAST:
        req.dst_node = cpu_to_le16(VIRTIO_SIGNAL_NODE_ALL);
        req.mode = cpu_to_le16(MODE(ALL));
        token = sig_add(t, t->vq[VIRTIO_SIGNAL_SENDQ0], &req, sizeof(req),
                        sizeof(struct virtio_signal_reply), &in);
        break;
    case COMMAND:
        sig_add(t, t->vq[VIRTIO_SIGNAL_CTRLQ], &cmd, sizeof(cmd), 64, &in);
        break;
    case NODE_RESET:
        qvirtio_reset(t->dev);
        if (u->gone != 0) {
            sig_restart(t);
        }
        break;
    case FUNCTION_RESET:
        dev = t->pci->pdev;
        cap = qpci_find_capability(dev, PCI_CAP_ID_EXP, 0);
        qpci_config_writew(dev, cap + PCI_EXP_DEVCTL,
                           PCI_EXP_DEVCTL_BCR_FLR);
        break;
    }
    qtest_qmp_eventwait(s->qs->qts, "DEVICE_DELETED");
    if (u->what == BROADCAST && u->gone != 0) {
        sig_wait(t, t->vq[VIRTIO_SIGNAL_SENDQ0], token);
    }
    slots_end(s, u->gone);
}

int main(int argc, char **argv)
{
    static const Unplug cases[] = {
        { "own-reply", 0, VIRTIO_SIGNAL_SENDQ0, 0, BROADCAST },
        { "own-event", 0, VIRTIO_SIGNAL_SENDQ0 + 1, 0, BROADCAST },
        { "own-command", 0, VIRTIO_SIGNAL_CTRLQ, 0, COMMAND },
        { "own-event-other", 0, VIRTIO_SIGNAL_SENDQ0 + 1, 1, BROADCAST },
        { "reached-event", 1, VIRTIO_SIGNAL_SENDQ0 + 1, 1, BROADCAST },
        { "reached-event-sender", 1, VIRTIO_SIGNAL_SENDQ0 + 1, 0, BROADCAST },
        { "peer-event", 1, VIRTIO_SIGNAL_SENDQ0 + 1, 1, NODE_RESET },
        { "peer-event-changed", 1, VIRTIO_SIGNAL_SENDQ0 + 1, 0, NODE_RESET },
        { "peer-event-flr", 1, VIRTIO_SIGNAL_SENDQ0 + 1, 0, FUNCTION_RESET },
    };

    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        g_autofree char *path = g_strdup_printf("virtio-signal-unplug/%s",
                                                cases[i].name);

        qtest_add_data_func(path, &cases[i], test_unplug);
    }
    return g_test_run();
}
