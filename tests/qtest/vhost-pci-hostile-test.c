/*
 * vhost-pci against a hostile frontend and a hostile driver
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Each bad message must end its connection with the right reason, leave no
 * file open and nothing visible, and the next connection must work.
 */

#include "qemu/osdep.h"
#include <sys/eventfd.h>
#include <sys/mman.h>
#include "libqtest.h"
#include "libqos/vhost-pci.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_pci.h"

#define HDR sizeof(struct vhost_pci_msg_hdr)
#define MIB 0x100000ull
#define PAGE 0x1000ull
#define UADDR 0x7f0000000000ull

#define E(x) VIRTIO_VHOST_PCI_E_##x

/* Files that QEMU has open; the monitor's and qtest's do not change. */
static unsigned open_files(QVhostPCI *t)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fd",
                                            qtest_pid(t->qts));
    GDir *dir = g_dir_open(path, 0, NULL);
    unsigned n = 0;

    g_assert_nonnull(dir);
    while (g_dir_read_name(dir)) {
        n++;
    }
    g_dir_close(dir);
    return n;
}

/* After a bad message: closed, for the reason @code, and ready for the next */
static void expect(QVhostPCI *t, unsigned code, unsigned files)
{
    QVPMessage msg;

    qvp_expect_close(t);
    qvp_wait_error(t, code);
    g_assert_cmpuint(open_files(t), ==, files);
    while (qvp_rx_any(t, &msg)) {
        continue;
    }
}

typedef struct Bad {
    const char *name;
    unsigned code;
    struct vhost_pci_msg_hdr hdr;
    uint32_t words[4];          /* of payload */
    unsigned nfds;
} Bad;

static const Bad bad[] = {
    { "version", E(MESSAGE), { VHOST_PCI_SET_OWNER, 2, 0 } },
    { "no version", E(MESSAGE), { VHOST_PCI_SET_OWNER, 0, 0 } },
    { "reply", E(MESSAGE), { VHOST_PCI_GET_FEATURES, 5, 0 } },
    { "flags", E(MESSAGE), { VHOST_PCI_SET_OWNER, 0x81, 0 } },
    { "zero", E(REFUSED), { 0, 1, 0 } },
    { "unknown", E(REFUSED), { 1000, 1, 0 } },
    { "huge request", E(REFUSED), { UINT32_MAX, 1, 0 } },
    { "log base", E(REFUSED), { 6, 1, 16 } },
    { "log fd", E(REFUSED), { 7, 1, 0 }, .nfds = 1 },
    { "endian", E(REFUSED), { 23, 1, 8 } },
    { "inflight", E(REFUSED), { 31, 1, 24 } },
    { "gpu", E(REFUSED), { 33, 1, 0 }, .nfds = 1 },
    { "device state", E(REFUSED), { 42, 1, 8 }, .nfds = 1 },
    { "huge size", E(MESSAGE), { VHOST_PCI_SET_FEATURES, 1, UINT32_MAX } },
    { "short", E(MESSAGE), { VHOST_PCI_SET_FEATURES, 1, 4 } },
    { "long", E(MESSAGE), { VHOST_PCI_SET_FEATURES, 1, 16 } },
    { "payload for none", E(MESSAGE), { VHOST_PCI_SET_OWNER, 1, 8 } },
    { "ring 256", E(MESSAGE), { VHOST_PCI_SET_VRING_NUM, 1, 8 }, { 256 } },
    { "ring -1", E(MESSAGE), { VHOST_PCI_GET_VRING_BASE, 1, 8 }, { ~0u } },
    { "kick ring", E(MESSAGE), { VHOST_PCI_SET_VRING_KICK, 1, 8 }, { 4 },
      .nfds = 1 },
    { "kick bits", E(MESSAGE), { VHOST_PCI_SET_VRING_KICK, 1, 8 },
      { 0, 1 }, .nfds = 1 },
    { "kick no fd", E(FD), { VHOST_PCI_SET_VRING_KICK, 1, 8 }, { 0 } },
    { "kick two fds", E(FD), { VHOST_PCI_SET_VRING_KICK, 1, 8 }, { 0 },
      .nfds = 2 },
    { "nofd with fd", E(FD), { VHOST_PCI_SET_VRING_CALL, 1, 8 },
      { VHOST_PCI_RING_NOFD }, .nfds = 1 },
    { "fds for none", E(FD), { VHOST_PCI_SET_OWNER, 1, 0 }, .nfds = 1 },
    { "many fds for none", E(FD), { VHOST_PCI_SET_OWNER, 1, 0 }, .nfds = 17 },
    { "table of none", E(MESSAGE), { VHOST_PCI_SET_MEM_TABLE, 1, 8 }, { 0 } },
    { "table too short", E(MESSAGE), { VHOST_PCI_SET_MEM_TABLE, 1, 40 },
      { 2 }, .nfds = 2 },
    { "table of 9", E(MESSAGE), { VHOST_PCI_SET_MEM_TABLE, 1, 264 }, { 9 },
      .nfds = 9 },
    { "table of 2^32-1", E(MESSAGE), { VHOST_PCI_SET_MEM_TABLE, 1, 8 },
      { ~0u } },
    { "config size", E(MESSAGE), { VHOST_PCI_GET_CONFIG, 1, 20 }, { 0, 9 } },
    { "config offset", E(MESSAGE), { VHOST_PCI_GET_CONFIG, 1, 20 },
      { 250, 8 } },
    { "config offset wraps", E(MESSAGE), { VHOST_PCI_GET_CONFIG, 1, 20 },
      { ~0u, 8 } },
    { "iotlb without iommu", E(MESSAGE), { VHOST_PCI_IOTLB_MSG, 1, 32 } },
};

static void bad_messages(void)
{
    QVhostPCI *t = qvp_start(",num-queues=4");
    unsigned files = open_files(t);
    int fds[17];

    for (unsigned i = 0; i < ARRAY_SIZE(fds); i++) {
        fds[i] = eventfd(0, EFD_NONBLOCK);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        QVPMessage msg = { .hdr = bad[i].hdr };

        g_test_message("%s", bad[i].name);
        memcpy(msg.payload, bad[i].words, sizeof(bad[i].words));
        qvp_negotiate(t, 0);
        qvp_send_raw(t, &msg, MIN(HDR + msg.hdr.size, sizeof(msg)), fds,
                     bad[i].nfds);
        expect(t, bad[i].code, files);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(fds); i++) {
        close(fds[i]);
    }
    qvp_stop(t);
}

/* The message that comes is incomplete, and then the peer is gone. */
static void truncated_messages(void)
{
    QVhostPCI *t = qvp_start("");
    unsigned files = open_files(t);
    QVPMessage msg = {
        .hdr = { VHOST_PCI_SET_VRING_KICK, VHOST_PCI_MSG_VERSION, 8 },
    };
    int fd = eventfd(0, 0);

    for (unsigned len = 1; len < HDR + 8; len++) {
        qvp_negotiate(t, 0);
        qvp_send_raw(t, &msg, len, &fd, 1);
        qvp_disconnect(t);
        qvp_wait_error(t, VIRTIO_VHOST_PCI_E_CLOSED);
        g_assert_cmpuint(open_files(t), ==, files);
    }
    /* Byte by byte is slow, not wrong. */
    qvp_negotiate(t, 0);
    for (unsigned i = 0; i < HDR + 8; i++) {
        qvp_send_raw(t, (uint8_t *)&msg + i, 1, &fd, !i);
    }
    qvp_rx(t, &msg);
    g_assert_cmpuint(msg.hdr.request, ==, VHOST_PCI_SET_VRING_KICK);
    close(fd);
    qvp_stop(t);
}

static void bad_files(void)
{
    QVhostPCI *t = qvp_start(",num-queues=4");
    unsigned files = open_files(t);
    uint64_t ring = 0;
    int pipefd[2], dgram = socket(AF_UNIX, SOCK_DGRAM, 0);
    int memfd = qvp_memfd(MIB, 1), event = eventfd(0, 0);
    int strangers[4];

    g_assert_cmpint(pipe(pipefd), ==, 0);
    strangers[0] = pipefd[1];
    strangers[1] = memfd;
    strangers[2] = dgram;
    strangers[3] = open("/dev/null", O_RDWR);
    for (unsigned i = 0; i < ARRAY_SIZE(strangers); i++) {
        for (unsigned request = VHOST_PCI_SET_VRING_KICK;
             request <= VHOST_PCI_SET_VRING_ERR; request++) {
            qvp_negotiate(t, 0);
            qvp_send_fds(t, request, VHOST_PCI_MSG_VERSION, &ring, 8,
                         &strangers[i], 1);
            expect(t, VIRTIO_VHOST_PCI_E_FD, files);
        }
        qvp_negotiate(t, 0);
        qvp_send_fds(t, VHOST_PCI_SET_BACKEND_REQ_FD, VHOST_PCI_MSG_VERSION,
                     NULL, 0, &strangers[i], 1);
        expect(t, VIRTIO_VHOST_PCI_E_FD, files);
    }
    close(pipefd[0]);
    for (unsigned i = 0; i < ARRAY_SIZE(strangers); i++) {
        close(strangers[i]);
    }
    close(event);
    qvp_stop(t);
}

static void send_table(QVhostPCI *t, const struct vhost_pci_region *regions,
                       unsigned n, const int *fds)
{
    struct vhost_pci_mem_table table = { .nregions = n };

    memcpy(table.regions, regions, n * sizeof(*regions));
    qvp_send_fds(t, VHOST_PCI_SET_MEM_TABLE, VHOST_PCI_MSG_VERSION |
                 VHOST_PCI_MSG_NEED_REPLY, &table,
                 offsetof(struct vhost_pci_mem_table, regions) +
                 n * sizeof(*regions), fds, n);
}

static void bad_regions(void)
{
    static const struct vhost_pci_region tables[][2] = {
        { { 0, 0, UADDR, 0 } },                         /* empty */
        { { 0, 100, UADDR, 0 } },                       /* part of a page */
        { { 1, PAGE, UADDR, 0 } },
        { { 0, PAGE, UADDR + 1, 0 } },
        { { 0, PAGE, UADDR, 1 } },
        { { 0, 2 * MIB, UADDR, 0 } },                   /* past the file */
        { { 0, PAGE, UADDR, MIB } },
        { { 0, PAGE, UADDR, INT64_MIN } },
        { { 0, -PAGE, UADDR, 2 * PAGE } },
        { { -PAGE, 2 * PAGE, UADDR, 0 } },              /* past the last */
        { { 0, 2 * PAGE, -PAGE, 0 } },
        { { 0, 2 * PAGE, UADDR, -PAGE } },
        { { 0, PAGE, UADDR, 0 }, { 0, PAGE, UADDR + PAGE, 0 } },
        { { 0, 2 * PAGE, UADDR, 0 }, { MIB, PAGE, UADDR + PAGE, 0 } },
        { { MIB, PAGE, UADDR, 0 }, { 0, 2 * MIB, UADDR + MIB, 0 } },
    };
    QVhostPCI *t = qvp_start("");
    unsigned files = open_files(t);
    int fds[2] = { qvp_memfd(MIB, 7), qvp_memfd(MIB, 7) };

    for (unsigned i = 0; i < ARRAY_SIZE(tables); i++) {
        g_test_message("table %u", i);
        qvp_negotiate(t, 0);
        send_table(t, tables[i], tables[i][1].memory_size ? 2 : 1, fds);
        expect(t, VIRTIO_VHOST_PCI_E_REGION, files);
        qvp_only_visible(t, 0, 0);
    }
    close(fds[0]);
    close(fds[1]);
    qvp_stop(t);
}

/* Memory that can shrink would end B; memory that cannot be written, too. */
static void bad_memory_files(void)
{
    static const struct vhost_pci_region region = { 0, MIB, UADDR, 0 };
    QVhostPCI *t = qvp_start("");
    unsigned files = open_files(t);
    int open_ended = memfd_create("test", MFD_ALLOW_SEALING);
    g_autofree char *path = NULL;
    int fds[3], sealed = qvp_memfd(MIB, 1);

    g_assert_cmpint(ftruncate(open_ended, MIB), ==, 0);
    path = g_strdup_printf("/proc/self/fd/%d", sealed);
    fds[0] = open_ended;
    fds[1] = eventfd(0, 0);
    fds[2] = open(path, O_RDONLY);
    g_assert_cmpint(fds[2], >=, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(fds); i++) {
        qvp_negotiate(t, 0);
        send_table(t, &region, 1, &fds[i]);
        expect(t, VIRTIO_VHOST_PCI_E_FD, files);
        close(fds[i]);
    }
    close(sealed);
    qvp_stop(t);
}

/* Huge pages that there may not be: touching them would end B. */
static void huge_pages_are_refused(void)
{
    static const struct vhost_pci_region region = { 0, 2 * MIB, UADDR, 0 };
    int fd = memfd_create("test", MFD_ALLOW_SEALING | MFD_HUGETLB |
                          21 << 26 /* 2 MiB each */);
    QVhostPCI *t;
    unsigned files;

    if (fd < 0 || ftruncate(fd, 2 * MIB) ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW)) {
        g_test_skip("the host has no huge pages of 2 MiB");
        return;
    }
    t = qvp_start(",require-sealed=off");
    files = open_files(t);
    qvp_negotiate(t, 0);
    send_table(t, &region, 1, &fd);
    expect(t, VIRTIO_VHOST_PCI_E_FD, files);
    qvp_only_visible(t, 0, 0);
    close(fd);
    qvp_stop(t);
}

/* No room is an answer, not an offence; what was there stays. */
static void no_room(void)
{
    QVhostPCI *t = qvp_start(",max-regions=1");
    struct vhost_pci_region regions[2] = {
        { 0, MIB, UADDR, 0 }, { MIB, MIB, UADDR + MIB, 0 },
    };
    struct vhost_pci_region large = { 0, QVP_WINDOW + PAGE, UADDR, 0 };
    int fds[2] = { qvp_memfd(MIB, 1), qvp_memfd(MIB, 2) };
    int big = qvp_memfd(QVP_WINDOW + PAGE, 3);
    unsigned files;

    qvp_negotiate(t, 0);
    g_assert_cmpuint(qvp_table(t, regions, fds, 1, NULL), ==, 0);
    files = open_files(t);
    g_assert_cmpuint(qvp_table(t, regions, fds, 2, NULL), !=, 0);
    g_assert_cmpuint(qvp_table(t, &large, &big, 1, NULL), !=, 0);
    g_assert_cmpuint(open_files(t), ==, files);
    g_assert_cmphex(qvp_byte(t, 0), ==, 1);
    close(fds[0]);
    close(fds[1]);
    close(big);
    qvp_stop(t);
}

/* A frontend whose own calls are a full, blocking counter */
static void full_eventfd_does_not_block(void)
{
    QVhostPCI *t = qvp_start("");
    int call = eventfd(0, 0);
    uint64_t ring = 0, most = UINT64_MAX - 1;

    qvp_negotiate(t, 0);
    g_assert_cmpuint(qvp_request(t, VHOST_PCI_SET_VRING_CALL, &ring, 8, &call,
                                 1), ==, 0);
    g_assert_cmpint(write(call, &most, sizeof(most)), ==, sizeof(most));
    g_assert_true(g_unix_set_fd_nonblocking(call, false, NULL));
    qpci_io_writel(t->pci->pdev, t->pci->bar, t->doorbells, 1);
    g_assert_cmpuint(qvp_config32(t, max_msg_size), ==,
                     VIRTIO_VHOST_PCI_MSG_MAX);
    close(call);
    qvp_stop(t);
}

/* -- the driver */

static void silent_driver_is_timed_out(void)
{
    QVhostPCI *t = qvp_start(",reply-timeout-ms=100");
    QVPMessage msg;

    /* It never comes up. */
    qvp_connect(t);
    qvp_expect_close(t);
    g_assert_cmpuint(qvp_config16(t, last_error), ==,
                     VIRTIO_VHOST_PCI_E_TIMEOUT);
    /* It never answers. */
    qvp_negotiate(t, 0);
    qvp_send(t, VHOST_PCI_GET_FEATURES, NULL, 0);
    qvp_expect_close(t);
    qvp_wait_error(t, VIRTIO_VHOST_PCI_E_TIMEOUT);
    qvp_rx(t, &msg);
    /* It never gives buffers. */
    qvp_driver(t, 0, 0, 0);
    qvp_set_status(t, VIRTIO_VHOST_PCI_S_BACKEND_UP);
    qvp_connect(t);
    qvp_send(t, VHOST_PCI_SET_OWNER, NULL, 0);
    qvp_expect_close(t);
    qvp_wait_error(t, VIRTIO_VHOST_PCI_E_TIMEOUT);
    qvp_stop(t);
}

/* What the device can do itself does not wait for the driver. */
static void memory_is_acknowledged_without_the_driver(void)
{
    static const struct vhost_pci_region region = { 0, MIB, UADDR, 0 };
    QVhostPCI *t = qvp_start(",reply-timeout-ms=3600000");
    int fd = qvp_memfd(MIB, 7);
    uint64_t answer;

    qvp_negotiate(t, 0);
    send_table(t, &region, 1, &fd);
    qvp_recv(t, VHOST_PCI_SET_MEM_TABLE, &answer, sizeof(answer));
    g_assert_cmpuint(answer, ==, 0);
    close(fd);
    qvp_stop(t);
}

static void bad_answers(void)
{
    static const struct {
        struct vhost_pci_msg_hdr hdr;
        unsigned len;
    } answers[] = {
        { { VHOST_PCI_GET_FEATURES, 5, 8 }, 0 },
        { { VHOST_PCI_GET_FEATURES, 5, 8 }, HDR - 1 },
        { { VHOST_PCI_GET_FEATURES, 5, 8 }, HDR },
        { { VHOST_PCI_GET_FEATURES, 5, 4 }, HDR + 4 },
        { { VHOST_PCI_GET_FEATURES, 5, UINT32_MAX }, HDR + 8 },
        { { VHOST_PCI_GET_FEATURES, 5, 500 }, HDR + 500 },
        { { VHOST_PCI_GET_FEATURES, 5, 600 }, HDR + 600 },
        { { VHOST_PCI_GET_FEATURES, 13, 8 }, HDR + 8 },
        { { VHOST_PCI_GET_QUEUE_NUM, 5, 8 }, HDR + 8 },
        { { VHOST_PCI_SET_MEM_TABLE, 5, 8 }, HDR + 8 },
        { { VHOST_PCI_BACKEND_IOTLB_MSG, 1, 32 }, HDR + 32 },
        { { VHOST_PCI_BACKEND_CONFIG_CHANGE, 1, 8 }, HDR + 8 },
        { { 3, 1, 8 }, HDR + 8 },
        { { UINT32_MAX, 1, 0 }, HDR },
    };
    QVhostPCI *t = qvp_start("");
    unsigned files = open_files(t);
    uint8_t bytes[HDR + 600] = { 0 };
    QVPMessage msg;

    for (unsigned i = 0; i < ARRAY_SIZE(answers); i++) {
        g_test_message("answer %u", i);
        qvp_negotiate(t, 0);
        qvp_send(t, VHOST_PCI_GET_FEATURES, NULL, 0);
        qvp_rx(t, &msg);
        memcpy(bytes, &answers[i].hdr, HDR);
        if (answers[i].len) {
            qvp_tx(t, bytes, answers[i].len);
        } else {
            /* Twice: the second one answers nothing. */
            qvp_tx(t, bytes, HDR + 8);
            qvp_recv(t, VHOST_PCI_GET_FEATURES, bytes, 8);
            memcpy(bytes, &answers[i].hdr, HDR);
            qvp_tx(t, bytes, HDR + 8);
        }
        expect(t, VIRTIO_VHOST_PCI_E_REPLY, files);
    }
    /* Without a connection nobody cares. */
    memcpy(bytes, &answers[0].hdr, HDR);
    qvp_tx(t, bytes, HDR + 8);
    g_assert_cmpuint(qvp_config16(t, last_error), ==,
                     VIRTIO_VHOST_PCI_E_REPLY);
    qvp_negotiate(t, 0);
    qvp_stop(t);
}

static void small_receive_buffers(void)
{
    QVhostPCI *t = qvp_start("");
    uint64_t features = 0;

    qvp_driver(t, 0, 4, HDR);
    qvp_set_status(t, VIRTIO_VHOST_PCI_S_BACKEND_UP);
    qvp_connect(t);
    qvp_send(t, VHOST_PCI_SET_FEATURES, &features, sizeof(features));
    qvp_expect_close(t);
    g_assert_cmphex(t->pci->vdev.bus->get_status(&t->pci->vdev) & 0x40, ==,
                    0x40);
    qvp_driver(t, 0, 4, VIRTIO_VHOST_PCI_MSG_MAX);
    qvp_set_status(t, VIRTIO_VHOST_PCI_S_BACKEND_UP);
    qvp_connect(t);
    qvp_wait_status(t, VIRTIO_VHOST_PCI_S_BACKEND_UP |
                    VIRTIO_VHOST_PCI_S_FRONTEND_UP);
    qvp_stop(t);
}

/* A message that resets the device when it is put into the buffer */
static void receive_buffer_of_registers(void)
{
    QVhostPCI *t = qvp_start("");
    uint64_t ram = guest_alloc(&t->qs->alloc, VIRTIO_VHOST_PCI_MSG_MAX);
    uint64_t status = t->pci->bar.addr + t->pci->common_cfg_offset +
                      VIRTIO_PCI_COMMON_STATUS;
    QVirtioDevice *vdev = &t->pci->vdev;
    uint32_t head;

    for (unsigned misaligned = 0; misaligned < 2; misaligned++) {
        qvp_driver(t, 0, 0, 0);
        if (misaligned) {
            /* The ring engine leaves such a ring to the core. */
            qvirtio_start_device(vdev);
            qvirtio_set_features(vdev, 1ull << VIRTIO_F_VERSION_1);
            vdev->bus->queue_select(vdev, VIRTIO_VHOST_PCI_RXQ);
            t->rx->desc += 8;
            vdev->bus->set_queue_address(vdev, t->rx);
            qpci_io_writew(t->pci->pdev, t->pci->bar,
                           t->pci->common_cfg_offset +
                           VIRTIO_PCI_COMMON_Q_ENABLE, 1);
            qvirtio_set_driver_ok(vdev);
        }
        head = qvirtqueue_add(t->qts, t->rx, ram, 3, true, true);
        qvirtqueue_add(t->qts, t->rx, status, 1, true, true);
        qvirtqueue_add(t->qts, t->rx, ram + 4, VIRTIO_VHOST_PCI_MSG_MAX - 4,
                       true, false);
        /* libqos wrote these when the table was where it set it up. */
        qtest_writew(t->qts, t->rx->desc + 14, 1);
        qtest_writew(t->qts, t->rx->desc + 16 + 14, 2);
        qvirtqueue_kick(t->qts, vdev, t->rx, head);
        qvp_set_status(t, VIRTIO_VHOST_PCI_S_BACKEND_UP);
        qvp_connect(t);
        qvp_send(t, VHOST_PCI_SET_OWNER, NULL, 0);
        qvp_expect_close(t);
        g_assert_cmphex(vdev->bus->get_status(vdev) & 0x40, ==, 0x40);
    }
    qvp_stop(t);
}

/* A asks for an acknowledgement and has closed before it can be sent. */
static void gone_before_the_answer(void)
{
    static const struct vhost_pci_region region = { 0, MIB, UADDR, 0 };
    QVhostPCI *t = qvp_start("");
    unsigned files = open_files(t);
    int fd = qvp_memfd(MIB, 7);
    QVPMessage msg;

    for (unsigned i = 0; i < 50; i++) {
        qvp_negotiate(t, 0);
        send_table(t, &region, 1, &fd);
        qvp_disconnect(t);
        qvp_wait_error(t, VIRTIO_VHOST_PCI_E_CLOSED);
        g_assert_cmpuint(open_files(t), ==, files);
        while (qvp_rx_any(t, &msg)) {
            continue;
        }
    }
    close(fd);
    qvp_stop(t);
}

static void many_connections(void)
{
    static const struct vhost_pci_region region = { 0, MIB, UADDR, 0 };
    QVhostPCI *t = qvp_start("");
    unsigned files = open_files(t), rounds = g_test_slow() ? 5000 : 100;
    int fd = qvp_memfd(MIB, 7);

    for (unsigned i = 0; i < rounds; i++) {
        qvp_negotiate(t, 0);
        g_assert_cmpuint(qvp_table(t, &region, &fd, 1, NULL), ==, 0);
        g_assert_cmphex(qvp_byte(t, i), ==, 7);
        qvp_disconnect(t);
        qvp_wait_error(t, VIRTIO_VHOST_PCI_E_CLOSED);
        g_assert_cmphex(qvp_byte(t, i), ==, 0);
        g_assert_cmpuint(open_files(t), ==, files);
    }
    close(fd);
    qvp_stop(t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("vhost-pci/bad_messages", bad_messages);
    qtest_add_func("vhost-pci/truncated_messages", truncated_messages);
    qtest_add_func("vhost-pci/bad_files", bad_files);
    qtest_add_func("vhost-pci/bad_regions", bad_regions);
    qtest_add_func("vhost-pci/bad_memory_files", bad_memory_files);
    qtest_add_func("vhost-pci/huge_pages_are_refused",
                   huge_pages_are_refused);
    qtest_add_func("vhost-pci/no_room", no_room);
    qtest_add_func("vhost-pci/full_eventfd_does_not_block",
                   full_eventfd_does_not_block);
    qtest_add_func("vhost-pci/silent_driver_is_timed_out",
                   silent_driver_is_timed_out);
    qtest_add_func("vhost-pci/memory_is_acknowledged_without_the_driver",
                   memory_is_acknowledged_without_the_driver);
    qtest_add_func("vhost-pci/bad_answers", bad_answers);
    qtest_add_func("vhost-pci/small_receive_buffers", small_receive_buffers);
    qtest_add_func("vhost-pci/receive_buffer_of_registers",
                   receive_buffer_of_registers);
    qtest_add_func("vhost-pci/gone_before_the_answer",
                   gone_before_the_answer);
    qtest_add_func("vhost-pci/many_connections", many_connections);
    return g_test_run();
}
