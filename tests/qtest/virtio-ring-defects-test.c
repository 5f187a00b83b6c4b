/*
 * What upstream's virtqueue code of this base is known to get wrong
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Each test states what the standard asks for, and must pass. With
 * VADIS_RING=stock in the environment the devices get x-ring=stock, and each
 * must fail, which shows that the test can and tells the day upstream's code
 * is fixed. Every test runs in a process of its own with a time limit: some of
 * these defects hang QEMU.
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/timer.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "libqos/libqos-pc.h"
#include "libqos/virtio-packed-disk.h"
#include "standard-headers/linux/virtio_blk.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_net.h"
#include "standard-headers/linux/virtio_pci.h"
#include "standard-headers/linux/virtio_scsi.h"

#define TIME_LIMIT_US   (20 * G_USEC_PER_SEC)
#define SLOT            4
#define DEVICE_AT       ",addr=04.0,id=dev0,disable-legacy=on"
#define BACKEND         "/machine/peripheral/dev0/virtio-backend"

#define NULL_DISK       "-blockdev null-co,node-name=drive0,size=1048576," \
                        "read-zeroes=on "

/* Find and start the device at SLOT */
static QVirtioPCIDevice *start_device(QOSState *qs)
{
    QPCIAddress addr = { .devfn = QPCI_DEVFN(SLOT, 0) };
    QVirtioPCIDevice *pci = virtio_pci_new(qs->pcibus, &addr);

    g_assert_nonnull(pci);
    qvirtio_pci_device_enable(pci);
    qvirtio_start_device(&pci->vdev);
    return pci;
}

static void stop_device(QOSState *qs, QVirtioPCIDevice *pci)
{
    qvirtio_pci_device_disable(pci);
    g_free(pci->pdev);
    g_free(pci);
    qtest_shutdown(qs);
}

static uint64_t accept_features(QVirtioPCIDevice *pci, uint64_t drop)
{
    uint64_t features = qvirtio_get_features(&pci->vdev) &
                        ~(QVIRTIO_F_BAD_FEATURE | drop);

    qvirtio_set_features(&pci->vdev, features);
    return features;
}

static void wait_token(QTestState *qts, QVirtQueue *vq, uint32_t token)
{
    gint64 start = g_get_monotonic_time();
    uint32_t got;

    while (!qvirtqueue_get_buf(qts, vq, &got, NULL)) {
        g_assert_cmpint(g_get_monotonic_time() - start, <, TIME_LIMIT_US / 2);
    }
    g_assert_cmpuint(got, ==, token);
}

/* 2.8.13: a used descriptor of a buffer that was written to says WRITE */
static void used_descriptor_says_write(void)
{
    QOSState *qs = qtest_pc_boot("%s-device virtio-blk-pci,drive=drive0,"
                                 "packed=on" DEVICE_AT, NULL_DISK);
    QVirtioPCIDevice *pci = start_device(qs);
    PackedDisk disk;
    PackedRead req;

    packed_disk_start(&disk, pci, &qs->alloc, 4, 0);
    req = packed_read_submit(&disk, 1, PACKED_DIRECT);
    g_assert_cmpuint(packed_wait_used(&disk, NULL), ==, req.token);
    g_assert_cmphex(qvirtqueue_packed_last_used_flags(disk.vq) &
                    VRING_DESC_F_WRITE, ==, VRING_DESC_F_WRITE);
    packed_disk_end(&disk);
    stop_device(qs, pci);
}

/* 2.8.9: IN_ORDER with every descriptor of the ring in flight */
static void in_order_whole_ring_in_flight(void)
{
    QOSState *qs = qtest_pc_boot("%s-device virtio-blk-pci,drive=drive0,"
                                 "packed=on,in_order=on" DEVICE_AT, NULL_DISK);
    QVirtioPCIDevice *pci = start_device(qs);
    PackedRead req[12];
    PackedDisk disk;
    unsigned i;

    packed_disk_start(&disk, pci, &qs->alloc, ARRAY_SIZE(req), 0);
    for (i = 0; i < ARRAY_SIZE(req); i++) {
        req[i] = packed_read_prepare(&disk, i);
        packed_read_add(&disk, &req[i], PACKED_INDIRECT);
    }
    for (i = ARRAY_SIZE(req); i-- > 0; ) {
        qvirtqueue_packed_publish(disk.qts, disk.vq, req[i].token);
    }
    disk.vdev->bus->virtqueue_kick(disk.vdev, disk.vq);
    for (i = 0; i < ARRAY_SIZE(req); i++) {
        wait_token(disk.qts, disk.vq, req[i].token);
    }
    packed_disk_end(&disk);
    stop_device(qs, pci);
}

/*
 * 2.8.1: available descriptors never exceed the ring. A chain that reaches
 * into descriptors in flight must stop the device.
 */
static void overcommitted_ring_needs_reset(void)
{
    QOSState *qs = qtest_pc_boot("-blockdev null-co,node-name=drive0,"
                                 "size=1048576,latency-ns=1000000000 "
                                 "-device virtio-blk-pci,drive=drive0,"
                                 "packed=on" DEVICE_AT);
    QVirtioPCIDevice *pci = start_device(qs);
    PackedRead first, second;
    PackedDisk disk;

    packed_disk_start(&disk, pci, &qs->alloc, 4, 0);
    first = packed_read_submit(&disk, 0, PACKED_DIRECT);
    second = packed_read_prepare(&disk, 1);
    {
        uint16_t lap1 = qvring_packed_avail_bits(true);
        uint16_t lap2 = qvring_packed_avail_bits(false);
        QVRingPackedDesc status = {
            second.addr + PACKED_REQ_STATUS, 1, 0, VRING_DESC_F_WRITE | lap2,
        };
        QVRingPackedDesc body = {
            second.addr + PACKED_REQ_HDR, PACKED_REQ_DATA, 0,
            VRING_DESC_F_WRITE | VRING_DESC_F_NEXT | lap2,
        };
        QVRingPackedDesc head = {
            second.addr, PACKED_REQ_HDR, 0, VRING_DESC_F_NEXT | lap1,
        };

        /* Positions 3, 0, 1: the last two belong to the first request. */
        qvirtqueue_packed_write_raw(disk.qts, disk.vq, 1, &status);
        qvirtqueue_packed_write_raw(disk.qts, disk.vq, 0, &body);
        qvirtqueue_packed_write_raw(disk.qts, disk.vq, 3, &head);
    }
    disk.vdev->bus->virtqueue_kick(disk.vdev, disk.vq);
    packed_expect_needs_reset(&disk);
    guest_free(disk.alloc, first.addr);
    packed_disk_end(&disk);
    stop_device(qs, pci);
}

/*
 * A buffer that covers the device's own registers, served by an IOThread:
 * reaching registers takes the big lock, which the main loop holds while it
 * waits for the IOThread to stop.
 */
static void dma_into_own_registers(void)
{
    QOSState *qs = qtest_pc_boot("%s-device virtio-blk-pci,drive=drive0,"
                                 "packed=on,iothread=io0" DEVICE_AT,
                                 NULL_DISK "-object iothread,id=io0 ");
    QVirtioPCIDevice *pci = start_device(qs);
    PackedDisk disk;
    PackedRead req;

    packed_disk_start(&disk, pci, &qs->alloc, 4, 0);
    req = packed_read_prepare(&disk, 0);
    req.token = qvirtqueue_add(disk.qts, disk.vq, req.addr, PACKED_REQ_HDR,
                               false, true);
    qvirtqueue_add(disk.qts, disk.vq, pci->bar.addr, PACKED_REQ_DATA, true,
                   true);
    qvirtqueue_add(disk.qts, disk.vq, req.addr + PACKED_REQ_STATUS, 1, true,
                   false);
    qvirtqueue_kick(disk.qts, disk.vdev, disk.vq, req.token);
    packed_disk_restart(&disk, 4);
    guest_free(disk.alloc, req.addr);

    req = packed_read_submit(&disk, 1, PACKED_DIRECT);
    g_assert_cmpuint(packed_wait_used(&disk, NULL), ==, req.token);
    g_assert_cmpuint(qtest_readb(disk.qts, req.addr + PACKED_REQ_STATUS), ==,
                     VIRTIO_BLK_S_OK);
    packed_disk_end(&disk);
    stop_device(qs, pci);
}

/*
 * 2.8.14: one interrupt when the event position is passed, none before. The
 * position is given anew each time, as drivers do, over many laps.
 */
static void no_surplus_interrupt_at_wrap(void)
{
    const unsigned size = 8;
    QOSState *qs = qtest_pc_boot("%s-device virtio-blk-pci,drive=drive0,"
                                 "packed=on" DEVICE_AT, NULL_DISK);
    QVirtioPCIDevice *pci = start_device(qs);
    unsigned i, interrupts = 0;
    PackedDisk disk;

    packed_disk_start(&disk, pci, &qs->alloc, size, 0);
    for (i = 0; i < 10 * size; i++) {
        PackedRead req = packed_read_prepare(&disk, 0);
        QVRingPackedEvent event = { .flags = VRING_PACKED_EVENT_FLAG_DESC };

        packed_read_add(&disk, &req, PACKED_INDIRECT);
        if (i == 1) {
            packed_pci_read_isr(pci);
            interrupts = 0;
        }
        /* Always four ahead: never reached */
        event.off = qvirtqueue_packed_head(disk.vq, req.token, &event.wrap) + 4;
        if (event.off >= size) {
            event.off -= size;
            event.wrap = !event.wrap;
        }
        qvirtqueue_packed_set_event(disk.qts, disk.vq, &event);
        qvirtqueue_kick(disk.qts, disk.vdev, disk.vq, req.token);
        g_assert_cmpuint(packed_wait_used(&disk, NULL), ==, req.token);
        interrupts += packed_pci_read_isr(pci) & 1;
        guest_free(disk.alloc, req.addr);
    }
    g_assert_cmpuint(interrupts, ==, 0);
    packed_disk_end(&disk);
    stop_device(qs, pci);
}

/* 2.8.13: the length is what was written, not what was read */
static void scsi_reports_only_what_it_wrote(void)
{
    QOSState *qs = qtest_pc_boot("%s-device virtio-scsi-pci,packed=on"
                                 DEVICE_AT " -device scsi-hd,drive=drive0,"
                                 "scsi-id=1,lun=0", NULL_DISK);
    QVirtioPCIDevice *pci = start_device(qs);
    struct virtio_scsi_cmd_req cmd = {
        .lun = { 1, 1 },
        .cdb = { 0x2a, [8] = 1 },           /* WRITE(10) of one block */
    };
    size_t resp_size = sizeof(struct virtio_scsi_cmd_resp);
    uint64_t cmd_addr = guest_alloc(&qs->alloc, sizeof(cmd));
    uint64_t data_addr = guest_alloc(&qs->alloc, 512);
    uint64_t resp_addr = guest_alloc(&qs->alloc, resp_size);
    QTestState *qts = qs->qts;
    QVirtQueue *vq;
    unsigned i;

    accept_features(pci, 0);
    vq = packed_pci_queue_setup(pci, &qs->alloc, 2, 8);
    qvirtio_set_driver_ok(&pci->vdev);
    qtest_memwrite(qts, cmd_addr, &cmd, sizeof(cmd));
    /* The first is answered by a unit attention, the second does the work. */
    for (i = 0; i < 2; i++) {
        uint32_t token = qvirtqueue_add(qts, vq, cmd_addr, sizeof(cmd), false,
                                        true);

        qvirtqueue_add(qts, vq, data_addr, 512, false, true);
        qvirtqueue_add(qts, vq, resp_addr, resp_size, true, false);
        qvirtqueue_kick(qts, &pci->vdev, vq, token);
        wait_token(qts, vq, token);
        g_assert_cmpuint(qvirtqueue_packed_overlong(vq), ==, 0);
    }
    qvirtqueue_cleanup(pci->vdev.bus, vq, &qs->alloc);
    stop_device(qs, pci);
}

/* Network card whose link is down: it drops what is sent and says so */
typedef struct DownCard {
    QOSState *qs;
    QVirtioPCIDevice *pci;
    QVirtQueue *tx;
    uint64_t packet;
} DownCard;

static DownCard down_card_start(const char *features, uint16_t size)
{
    DownCard card = {
        .qs = qtest_pc_boot("-netdev hubport,hubid=0,id=hs0 "
                            "-device virtio-net-pci,netdev=hs0,romfile=,%s"
                            DEVICE_AT, features),
    };

    card.pci = start_device(card.qs);
    accept_features(card.pci, 1ull << VIRTIO_NET_F_MQ);
    card.tx = packed_pci_queue_setup(card.pci, &card.qs->alloc, 1, size);
    qvirtio_set_driver_ok(&card.pci->vdev);
    card.packet = guest_alloc(&card.qs->alloc, 128);
    qtest_memset(card.qs->qts, card.packet, 0, 128);
    qtest_qmp_assert_success(card.qs->qts,
                             "{ 'execute': 'set_link', 'arguments': {"
                             "  'name': 'dev0', 'up': false } }");
    return card;
}

static void down_card_end(DownCard *card)
{
    g_assert_cmphex(card->pci->vdev.bus->get_status(&card->pci->vdev) &
                    VIRTIO_CONFIG_S_NEEDS_RESET, ==, 0);
    qvirtqueue_cleanup(card->pci->vdev.bus, card->tx, &card->qs->alloc);
    stop_device(card->qs, card->pci);
}

static void send_on_down_link(const char *features, bool chained)
{
    DownCard card = down_card_start(features, 8);
    QTestState *qts = card.qs->qts;
    unsigned i;

    for (i = 0; i < 20; i++) {
        uint32_t token = qvirtqueue_add(qts, card.tx, card.packet, 64, false,
                                        chained);

        if (chained) {
            qvirtqueue_add(qts, card.tx, card.packet + 64, 64, false, false);
        }
        qvirtqueue_kick(qts, &card.pci->vdev, card.tx, token);
        wait_token(qts, card.tx, token);
    }
    down_card_end(&card);
}

static void dropped_packets_are_counted_out(void)
{
    send_on_down_link("packed=on", false);
}

static void dropped_chain_returns_its_own_id(void)
{
    send_on_down_link("packed=on", true);
}

static void dropped_packets_complete_in_order(void)
{
    send_on_down_link("packed=on,in_order=on", false);
}

static void endless_chain_on_down_link(void)
{
    DownCard card = down_card_start("packed=on", 8);
    QVRingPackedDesc desc = {
        .addr = card.packet, .len = 64,
        .flags = VRING_DESC_F_NEXT | qvring_packed_avail_bits(true),
    };
    QVirtioDevice *vdev = &card.pci->vdev;
    unsigned i;

    for (i = 8; i-- > 0; ) {
        qvirtqueue_packed_write_raw(card.qs->qts, card.tx, i, &desc);
    }
    vdev->bus->virtqueue_kick(vdev, card.tx);
    qtest_qmp_assert_success(card.qs->qts, "{ 'execute': 'query-status' }");
    g_assert_cmphex(vdev->bus->get_status(vdev) & VIRTIO_CONFIG_S_NEEDS_RESET,
                    !=, 0);
    qvirtio_reset(vdev);
    down_card_end(&card);
}

/* A chain put back is put back whole, whatever its length. */
static void unpop_of_a_chain(void)
{
    QOSState *qs = qtest_pc_boot("-device virtio-keyboard-pci,packed=on"
                                 DEVICE_AT);
    QVirtioPCIDevice *pci = start_device(qs);
    QTestState *qts = qs->qts;
    uint64_t buffer = guest_alloc(&qs->alloc, 16);
    QDict *status;
    QVirtQueue *vq;
    uint32_t token;

    accept_features(pci, 0);
    vq = packed_pci_queue_setup(pci, &qs->alloc, 0, 8);
    qvirtio_set_driver_ok(&pci->vdev);

    token = qvirtqueue_add(qts, vq, buffer, 4, true, true);
    qvirtqueue_add(qts, vq, buffer + 4, 4, true, false);
    qvirtqueue_kick(qts, &pci->vdev, vq, token);
    /* A key press is two events: there is a buffer for the first only. */
    qtest_qmp_assert_success(qts,
        "{ 'execute': 'input-send-event', 'arguments': { 'events': ["
        "  { 'type': 'key', 'data': { 'down': true, 'key': {"
        "    'type': 'qcode', 'data': 'a' } } } ] } }");

    status = qtest_qmp_assert_success_ref(qts,
        "{ 'execute': 'x-query-virtio-queue-status', 'arguments': {"
        "  'path': '" BACKEND "', 'queue': 0 } }");
    g_assert_cmpint(qdict_get_int(status, "inuse"), ==, 0);
    g_assert_cmpint(qdict_get_int(status, "last-avail-idx") & 0x7fff, ==, 0);
    qobject_unref(status);
    qvirtqueue_cleanup(pci->vdev.bus, vq, &qs->alloc);
    stop_device(qs, pci);
}

/* 2.7.5.3: any number of direct descriptors may precede one of a table */
static void split_direct_then_indirect(void)
{
    QOSState *qs = qtest_pc_boot("%s-device virtio-blk-pci,drive=drive0"
                                 DEVICE_AT, NULL_DISK);
    QVirtioPCIDevice *pci = start_device(qs);
    QTestState *qts = qs->qts;
    uint64_t req = guest_alloc(&qs->alloc, PACKED_REQ_SIZE);
    uint64_t table = guest_alloc(&qs->alloc, 2 * sizeof(struct vring_desc));
    struct virtio_blk_outhdr hdr = { .type = cpu_to_le32(VIRTIO_BLK_T_IN) };
    struct vring_desc entries[] = {
        { cpu_to_le64(req + PACKED_REQ_HDR), cpu_to_le32(PACKED_REQ_DATA),
          cpu_to_le16(VRING_DESC_F_WRITE | VRING_DESC_F_NEXT),
          cpu_to_le16(1) },
        { cpu_to_le64(req + PACKED_REQ_STATUS), cpu_to_le32(1),
          cpu_to_le16(VRING_DESC_F_WRITE), 0 },
    };
    struct vring_desc chain[] = {
        { cpu_to_le64(req), cpu_to_le32(PACKED_REQ_HDR),
          cpu_to_le16(VRING_DESC_F_NEXT), cpu_to_le16(1) },
        { cpu_to_le64(table), cpu_to_le32(sizeof(entries)),
          cpu_to_le16(VRING_DESC_F_INDIRECT), 0 },
    };
    QVirtQueue *vq;

    accept_features(pci, 0);
    vq = qvirtqueue_setup(&pci->vdev, &qs->alloc, 0);
    qvirtio_set_driver_ok(&pci->vdev);
    qtest_memset(qts, req, 0xff, PACKED_REQ_SIZE);
    qtest_memwrite(qts, req, &hdr, sizeof(hdr));
    qtest_memwrite(qts, table, entries, sizeof(entries));
    qtest_memwrite(qts, vq->desc, chain, sizeof(chain));
    qvirtqueue_kick(qts, &pci->vdev, vq, 0);
    wait_token(qts, vq, 0);
    g_assert_cmpuint(qtest_readb(qts, req + PACKED_REQ_STATUS), ==,
                     VIRTIO_BLK_S_OK);
    qvirtqueue_cleanup(pci->vdev.bus, vq, &qs->alloc);
    stop_device(qs, pci);
}

#include "virtio-ring-defects-state.c.inc"

static const struct {
    const char *name;
    void (*run)(void);
    bool patched;           /* in upstream's code too, by patches/0007 */
} defects[] = {
    { "used-descriptor-says-write", used_descriptor_says_write },
    { "in-order-whole-ring-in-flight", in_order_whole_ring_in_flight },
    { "overcommitted-ring-needs-reset", overcommitted_ring_needs_reset },
    { "dma-into-own-registers", dma_into_own_registers },
    { "no-surplus-interrupt-at-wrap", no_surplus_interrupt_at_wrap },
    { "scsi-reports-only-what-it-wrote", scsi_reports_only_what_it_wrote },
    { "dropped-packets-are-counted-out", dropped_packets_are_counted_out },
    { "dropped-chain-returns-its-own-id", dropped_chain_returns_its_own_id },
    { "dropped-packets-complete-in-order", dropped_packets_complete_in_order },
    { "endless-chain-on-down-link", endless_chain_on_down_link },
    { "unpop-of-a-chain", unpop_of_a_chain },
    { "split-direct-then-indirect", split_direct_then_indirect },
    { "queue-reset-forgets-requests", queue_reset_forgets_requests },
    { "migrate-packed-request", migrate_packed_request, true },
    { "migrate-packed-in-order-request", migrate_packed_in_order_request },
};

/* Runs the test of the same name in a child; a failure does not end us. */
static bool passes_in_child(const char *path)
{
    g_test_trap_subprocess(path, TIME_LIMIT_US,
                           G_TEST_SUBPROCESS_INHERIT_STDERR);
    if (g_test_trap_reached_timeout()) {
        g_test_message("no answer within %d s",
                       (int)(TIME_LIMIT_US / G_USEC_PER_SEC));
    }
    return g_test_trap_has_passed();
}

static void must_pass(gconstpointer path)
{
    if (!passes_in_child(path)) {
        g_test_fail();
    }
}

static void must_fail(gconstpointer path)
{
    if (passes_in_child(path)) {
        g_test_message("upstream's code passes: is it fixed?");
        g_test_fail();
    }
}

/*
 * libqtest gives the variable to a shell and reads the architecture off its
 * end, so the emulator's name has to come last.
 */
static void use_stock_rings(void)
{
    g_autofree char *command =
        g_strdup_printf("sh -c 'exec \"$0\" -global virtio-device.x-ring=stock "
                        "\"$@\"' %s", g_getenv("QTEST_QEMU_BINARY"));

    g_setenv("QTEST_QEMU_BINARY", command, true);
}

int main(int argc, char **argv)
{
    bool stock = !g_strcmp0(g_getenv("VADIS_RING"), "stock");
    unsigned i;

    g_test_init(&argc, &argv, NULL);
    if (stock && !g_test_subprocess()) {
        use_stock_rings();
    }
    for (i = 0; i < ARRAY_SIZE(defects); i++) {
        bool fails = stock && !defects[i].patched;
        g_autofree char *path = g_strdup_printf(
            "/%s/ring-defects/%s%s", qtest_get_arch(),
            fails ? "stock-fails/" : "", defects[i].name);
        char *child = g_strconcat(path, "/subprocess", NULL);

        g_test_add_data_func_full(path, child, fails ? must_fail : must_pass,
                                  g_free);
        g_test_add_func(child, defects[i].run);
    }
    return g_test_run();
}
