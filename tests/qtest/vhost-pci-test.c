/*
 * vhost-pci: what it promises to well-behaved VMs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The test is VM B's driver and VM A's frontend at once. Names of tests are
 * those of the rules in docs/specs/vhost-pci.rst.
 */

#include "qemu/osdep.h"
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <poll.h>
#include "libqtest.h"
#include "libqos/vhost-pci.h"
#include "qobject/qdict.h"
#include "standard-headers/linux/pci_regs.h"

#define F_IOMMU (1ull << VHOST_PCI_F_ACCESS_PLATFORM)
#define MIB 0x100000ull
#define PAGE 0x1000ull
#define GPA 0x100000000ull
#define UADDR 0x7f0000000000ull
#define IOVA 0x40000000ull
#define UP (VIRTIO_VHOST_PCI_S_BACKEND_UP | VIRTIO_VHOST_PCI_S_FRONTEND_UP)

static const struct vhost_pci_region one_region = {
    .guest_phys_addr = GPA, .memory_size = MIB, .userspace_addr = UADDR,
};

static void config_space(void)
{
    QVhostPCI *t = qvp_start(",num-queues=7,max-regions=5");

    g_assert_cmpuint(qvp_config32(t, status), ==, 0);
    g_assert_cmpuint(qvp_config32(t, max_vhost_queues), ==, 7);
    g_assert_cmpuint(qvp_config32(t, max_msg_size), ==,
                     VIRTIO_VHOST_PCI_MSG_MAX);
    g_assert_cmpuint(qvp_config16(t, max_regions), ==, 5);
    /* Only bit 0 of status can be written. */
    qvp_set_status(t, ~0u);
    g_assert_cmpuint(qvp_config32(t, status), ==,
                     VIRTIO_VHOST_PCI_S_BACKEND_UP);
    qvp_stop(t);
}

static void status_machine(void)
{
    QVhostPCI *t = qvp_start("");
    uint32_t generation = qvp_config32(t, generation);
    QVPMessage msg;

    /* The frontend first: nothing is read until the driver is up. */
    qvp_connect(t);
    qvp_send(t, VHOST_PCI_SET_OWNER, NULL, 0);
    g_assert_false(qvp_rx_any(t, &msg));
    qvp_set_status(t, VIRTIO_VHOST_PCI_S_BACKEND_UP);
    qvp_wait_status(t, UP);
    qvp_rx(t, &msg);
    g_assert_cmpuint(msg.hdr.request, ==, VHOST_PCI_SET_OWNER);
    /* It goes: both bits are clear, and the driver must say it has seen. */
    qvp_disconnect(t);
    qvp_wait_error(t, VIRTIO_VHOST_PCI_E_CLOSED);
    g_assert_cmpuint(qvp_config32(t, generation), ==, generation + 1);
    qvp_connect(t);
    g_assert_cmpuint(qvp_config32(t, status), ==, 0);
    qvp_set_status(t, VIRTIO_VHOST_PCI_S_BACKEND_UP);
    qvp_wait_status(t, UP);
    /* The driver goes: the connection is closed. */
    qvp_set_status(t, 0);
    qvp_expect_close(t);
    qvp_wait_error(t, VIRTIO_VHOST_PCI_E_DRIVER);
    g_assert_cmpuint(qvp_config32(t, generation), ==, generation + 2);
    qvp_stop(t);
}

/* A store to another field says nothing about BACKEND_UP. */
static void only_status_is_written(void)
{
    QVhostPCI *t = qvp_start("");
    uint64_t uuid = t->pci->device_cfg_offset +
                    offsetof(struct virtio_vhost_pci_config, uuid);

    qvp_set_status(t, VIRTIO_VHOST_PCI_S_BACKEND_UP);
    qvp_driver(t, 0, 0, 0);
    qpci_io_writeb(t->pci->pdev, t->pci->bar, uuid, 1);
    g_assert_cmpuint(qvp_config32(t, status), ==, 0);
    qvp_stop(t);
}

static void answers_are_limited(void)
{
    QVhostPCI *t = qvp_start(",vhost-iommu=off,num-queues=3");
    uint64_t bits = UINT64_MAX;
    QVPMessage msg;

    qvp_negotiate(t, 0);
    qvp_send(t, VHOST_PCI_GET_FEATURES, NULL, 0);
    qvp_answer(t, VHOST_PCI_GET_FEATURES, &bits, sizeof(bits));
    qvp_recv(t, VHOST_PCI_GET_FEATURES, &bits, sizeof(bits));
    g_assert_cmphex(~bits, ==, F_IOMMU | 1ull << VHOST_PCI_F_LOG_ALL);

    bits = UINT64_MAX;
    qvp_send(t, VHOST_PCI_GET_PROTOCOL_FEATURES, NULL, 0);
    qvp_answer(t, VHOST_PCI_GET_PROTOCOL_FEATURES, &bits, sizeof(bits));
    qvp_recv(t, VHOST_PCI_GET_PROTOCOL_FEATURES, &bits, sizeof(bits));
    g_assert_cmphex(bits, ==, 0x1223d);
    bits = UINT64_MAX;
    qvp_send(t, VHOST_PCI_SET_PROTOCOL_FEATURES, &bits, sizeof(bits));
    qvp_rx(t, &msg);
    memcpy(&bits, msg.payload, sizeof(bits));
    g_assert_cmphex(bits, ==, 0x1223d);

    bits = 1000;
    qvp_send(t, VHOST_PCI_GET_QUEUE_NUM, NULL, 0);
    qvp_answer(t, VHOST_PCI_GET_QUEUE_NUM, &bits, sizeof(bits));
    qvp_recv(t, VHOST_PCI_GET_QUEUE_NUM, &bits, sizeof(bits));
    g_assert_cmpuint(bits, ==, 3);
    qvp_stop(t);
}

/* What is only relayed is acknowledged by the driver, with its own value. */
static void relayed_requests(void)
{
    QVhostPCI *t = qvp_start("");
    struct vhost_pci_vring_state state = { .index = 1, .num = 256 };
    struct {
        struct vhost_pci_config_hdr hdr;
        uint8_t data[8];
    } config = { .hdr = { .offset = 4, .size = 8 } };
    uint64_t answer = 5;
    QVPMessage msg;

    qvp_negotiate(t, 0);
    qvp_send(t, VHOST_PCI_SET_VRING_NUM, &state, sizeof(state));
    qvp_rx(t, &msg);
    g_assert_cmpuint(msg.hdr.request, ==, VHOST_PCI_SET_VRING_NUM);
    g_assert_cmpmem(msg.payload, msg.hdr.size, &state, sizeof(state));

    qvp_send_fds(t, VHOST_PCI_SET_VRING_NUM, VHOST_PCI_MSG_VERSION |
                 VHOST_PCI_MSG_NEED_REPLY, &state, sizeof(state), NULL, 0);
    qvp_answer(t, VHOST_PCI_SET_VRING_NUM, &answer, sizeof(answer));
    qvp_recv(t, VHOST_PCI_SET_VRING_NUM, &answer, sizeof(answer));
    g_assert_cmpuint(answer, ==, 5);

    qvp_send(t, VHOST_PCI_GET_VRING_BASE, &state, sizeof(state));
    state.num = 77;
    qvp_answer(t, VHOST_PCI_GET_VRING_BASE, &state, sizeof(state));
    qvp_recv(t, VHOST_PCI_GET_VRING_BASE, &state, sizeof(state));
    g_assert_cmpuint(state.num, ==, 77);

    qvp_send(t, VHOST_PCI_GET_CONFIG, &config, sizeof(config));
    memset(config.data, 0x5a, sizeof(config.data));
    qvp_answer(t, VHOST_PCI_GET_CONFIG, &config, sizeof(config));
    memset(config.data, 0, sizeof(config.data));
    qvp_recv(t, VHOST_PCI_GET_CONFIG, &config, sizeof(config));
    g_assert_cmphex(config.data[7], ==, 0x5a);
    qvp_stop(t);
}

static void regions_are_visible(const char *options, bool offsets)
{
    QVhostPCI *t = qvp_start(options);
    int fds[2] = { qvp_memfd(2 * MIB, 0xa1), qvp_memfd(MIB, 0xb2) };
    uint8_t *first = qvp_map(fds[0], 2 * MIB);
    struct vhost_pci_region regions[2] = {
        { GPA, MIB, UADDR, MIB }, { 0, MIB, UADDR + 4 * MIB, 0 },
    };
    struct vhost_pci_mem_table seen = { 0 };

    if (!offsets) {
        qvp_driver(t, 0, 4, VIRTIO_VHOST_PCI_MSG_MAX);
    }
    qvp_negotiate(t, 0);
    first[MIB + 5] = 0x77;
    g_assert_cmpuint(qvp_table(t, regions, fds, 2, &seen), ==, 0);
    g_assert_cmpuint(seen.nregions, ==, 2);
    g_assert_cmphex(seen.regions[0].mmap_offset, ==, 0);
    g_assert_cmphex(seen.regions[1].mmap_offset, ==, offsets ? MIB : 0);
    g_assert_cmphex(seen.regions[1].userspace_addr, ==, UADDR + 4 * MIB);
    g_assert_cmphex(qvp_byte(t, 5), ==, 0x77);
    g_assert_cmphex(qvp_byte(t, MIB - 1), ==, 0xa1);
    g_assert_cmphex(qvp_byte(t, MIB), ==, 0xb2);
    g_assert_cmphex(qvp_byte(t, 2 * MIB), ==, 0);
    qvp_store(t, 9, 0x33);
    g_assert_cmphex(first[MIB + 9], ==, 0x33);

    /* A new table replaces the old one; what is gone is zeros. */
    g_assert_cmpuint(qvp_table(t, &regions[1], &fds[1], 1, &seen), ==, 0);
    g_assert_cmphex(qvp_byte(t, 0), ==, 0xb2);
    g_assert_cmphex(qvp_byte(t, MIB), ==, 0);
    munmap(first, 2 * MIB);
    close(fds[0]);
    close(fds[1]);
    qvp_stop(t);
}

static void region_offset_layout(void)
{
    regions_are_visible("", true);
}

static void packed_layout(void)
{
    regions_are_visible(",vhost-iommu=off", false);
}

static void wait_fd(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    uint64_t value;

    g_assert_cmpint(poll(&p, 1, 60000), ==, 1);
    g_assert_cmpint(read(fd, &value, sizeof(value)), ==, sizeof(value));
}

static void doorbells_call(void)
{
    QVhostPCI *t = qvp_start(",num-queues=4");
    int call = eventfd(0, EFD_NONBLOCK), err = eventfd(0, EFD_NONBLOCK);
    uint64_t ring = 2, value;
    QPCIDevice *dev = t->pci->pdev;

    qvp_negotiate(t, 0);
    g_assert_cmpuint(qvp_request(t, VHOST_PCI_SET_VRING_CALL, &ring, 8, &call,
                                 1), ==, 0);
    g_assert_cmpuint(qvp_request(t, VHOST_PCI_SET_VRING_ERR, &ring, 8, &err,
                                 1), ==, 0);
    /* Any width; each store is one signal to the right file. */
    qpci_io_writeb(dev, t->pci->bar, t->doorbells + 4 * 2, 1);
    qpci_io_writew(dev, t->pci->bar, t->doorbells + 4 * 2, 1);
    qpci_io_writel(dev, t->pci->bar, t->doorbells + 4 * 2, 1);
    g_assert_cmpint(read(call, &value, sizeof(value)), ==, sizeof(value));
    g_assert_cmpuint(value, ==, 3);
    g_assert_cmpint(read(err, &value, sizeof(value)), <, 0);
    qpci_io_writew(dev, t->pci->bar, t->doorbells + 4 * (4 + 2), 1);
    wait_fd(err);
    /* Rings without a file, and none at all */
    for (unsigned i = 0; i < 0x1000; i += 4) {
        if (i != 4 * 2 && i != 4 * 6) {
            qpci_io_writel(dev, t->pci->bar, t->doorbells + i, 0xffffffff);
        }
    }
    g_assert_cmpint(read(call, &value, sizeof(value)), <, 0);
    /* No file any more */
    ring |= VHOST_PCI_RING_NOFD;
    g_assert_cmpuint(qvp_request(t, VHOST_PCI_SET_VRING_CALL, &ring, 8, NULL,
                                 0), ==, 0);
    qpci_io_writel(dev, t->pci->bar, t->doorbells + 4 * 2, 1);
    g_assert_cmpint(read(call, &value, sizeof(value)), <, 0);
    close(call);
    close(err);
    qvp_stop(t);
}

static void set_vector(QVhostPCI *t, uint16_t ring, uint16_t vector)
{
    qpci_io_writew(t->pci->pdev, t->pci->bar, t->notify, ring);
    qpci_io_writew(t->pci->pdev, t->pci->bar, t->notify + 2, vector);
}

static uint16_t get_vector(QVhostPCI *t, uint16_t ring)
{
    qpci_io_writew(t->pci->pdev, t->pci->bar, t->notify, ring);
    return qpci_io_readw(t->pci->pdev, t->pci->bar, t->notify + 2);
}

static void kicks_interrupt(void)
{
    QVhostPCI *t = qvp_start(",num-queues=4");
    QPCIDevice *dev = t->pci->pdev;
    int kick = eventfd(0, 0);
    uint64_t ring = 3, one = 1, at;
    int unheard = eventfd(0, 0);
    struct pollfd p = { .fd = unheard, .events = POLLIN };
    gint64 start;

    qpci_msix_enable(dev);
    at = guest_alloc(&t->qs->alloc, 4);
    qtest_writel(t->qts, at, 0);
    qpci_io_writel(dev, dev->msix_table_bar, dev->msix_table_off +
                   5 * PCI_MSIX_ENTRY_SIZE + PCI_MSIX_ENTRY_LOWER_ADDR, at);
    qpci_io_writel(dev, dev->msix_table_bar, dev->msix_table_off +
                   5 * PCI_MSIX_ENTRY_SIZE + PCI_MSIX_ENTRY_UPPER_ADDR, 0);
    qpci_io_writel(dev, dev->msix_table_bar, dev->msix_table_off +
                   5 * PCI_MSIX_ENTRY_SIZE + PCI_MSIX_ENTRY_DATA, 0xbeef);
    qpci_io_writel(dev, dev->msix_table_bar, dev->msix_table_off +
                   5 * PCI_MSIX_ENTRY_SIZE + PCI_MSIX_ENTRY_VECTOR_CTRL, 0);
    g_assert_cmphex(get_vector(t, 3), ==, 0xffff);
    set_vector(t, 3, 5);
    g_assert_cmphex(get_vector(t, 3), ==, 5);
    g_assert_cmphex(get_vector(t, 2), ==, 0xffff);
    /* A ring and a vector that do not exist */
    set_vector(t, 4, 5);
    g_assert_cmphex(get_vector(t, 4), ==, 0xffff);
    set_vector(t, 2, 7);
    g_assert_cmphex(get_vector(t, 2), ==, 0xffff);

    qvp_negotiate(t, 0);
    g_assert_cmpuint(qvp_request(t, VHOST_PCI_SET_VRING_KICK, &ring, 8, &kick,
                                 1), ==, 0);
    /* A kick without a vector is taken, and not kept for the vector. */
    ring = 2;
    g_assert_cmpuint(qvp_request(t, VHOST_PCI_SET_VRING_KICK, &ring, 8,
                                 &unheard, 1), ==, 0);
    g_assert_cmpint(write(unheard, &one, sizeof(one)), ==, sizeof(one));
    start = g_get_monotonic_time();
    while (poll(&p, 1, 0)) {
        qvp_config32(t, status);
        g_assert_cmpint(g_get_monotonic_time() - start, <,
                        60 * G_USEC_PER_SEC);
    }
    set_vector(t, 2, 5);
    qvp_config32(t, status);
    g_assert_cmphex(qtest_readl(t->qts, at), ==, 0);

    g_assert_cmpint(write(kick, &one, sizeof(one)), ==, sizeof(one));
    start = g_get_monotonic_time();
    while (qtest_readl(t->qts, at) != 0xbeef) {
        g_assert_cmpint(g_get_monotonic_time() - start, <,
                        60 * G_USEC_PER_SEC);
    }
    qpci_msix_disable(dev);
    close(kick);
    close(unheard);
    qvp_stop(t);
}

/* All of it: the device inside, and then what B knows it by */
static void wait_deleted(QVhostPCI *t)
{
    bool gone = false;

    while (!gone) {
        QDict *event = qtest_qmp_eventwait_ref(t->qts, "DEVICE_DELETED");
        QDict *data = qdict_get_qdict(event, "data");

        gone = g_strcmp0(qdict_get_try_str(data, "device"), "vp0") == 0;
        qobject_unref(event);
    }
}

typedef enum End { END_CLOSE, END_CLEAR, END_RESET, END_UNPLUG } End;

/* However it ends: zeros at once, and no file of A is left open. */
static void nothing_is_left(gconstpointer data)
{
    End end = GPOINTER_TO_UINT(data);
    QVhostPCI *t = qvp_start("");
    int fd = qvp_memfd(MIB, 0x99), pair[2];
    QVPMessage msg;
    char c;

    qvp_negotiate(t, 0);
    /* The other end of a socket tells when the device has closed its own. */
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), ==, 0);
    g_assert_cmpuint(qvp_request(t, VHOST_PCI_SET_BACKEND_REQ_FD, NULL, 0,
                                 &pair[1], 1), ==, 0);
    close(pair[1]);
    qvp_rx(t, &msg);
    g_assert_cmpuint(qvp_table(t, &one_region, &fd, 1, NULL), ==, 0);
    g_assert_cmphex(qvp_byte(t, MIB - 1), ==, 0x99);
    switch (end) {
    case END_CLOSE:
        qvp_disconnect(t);
        qvp_wait_error(t, VIRTIO_VHOST_PCI_E_CLOSED);
        break;
    case END_CLEAR:
        qvp_set_status(t, 0);
        break;
    case END_RESET:
        qvirtio_reset(&t->pci->vdev);
        break;
    case END_UNPLUG:
        qtest_qmp_device_del_send(t->qts, "vp0");
        qtest_system_reset_nowait(t->qts);
        wait_deleted(t);
        break;
    }
    if (end != END_UNPLUG) {
        qvp_only_visible(t, 0, 0);
    }
    g_assert_cmpint(recv(pair[0], &c, 1, 0), ==, 0);
    close(pair[0]);
    close(fd);
    qvp_stop(t);
}

static void migration_is_refused(void)
{
    QVhostPCI *t = qvp_start("");
    QDict *answer = qtest_qmp(t->qts, "{ 'execute': 'migrate', 'arguments': "
                              "{ 'uri': 'exec:cat >/dev/null' } }");

    g_assert_true(qdict_haskey(answer, "error"));
    qobject_unref(answer);
    qvp_stop(t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("vhost-pci/config_space", config_space);
    qtest_add_func("vhost-pci/status_machine", status_machine);
    qtest_add_func("vhost-pci/only_status_is_written", only_status_is_written);
    qtest_add_func("vhost-pci/answers_are_limited", answers_are_limited);
    qtest_add_func("vhost-pci/relayed_requests", relayed_requests);
    qtest_add_func("vhost-pci/region_offset_layout", region_offset_layout);
    qtest_add_func("vhost-pci/packed_layout", packed_layout);
    qtest_add_func("vhost-pci/doorbells_call", doorbells_call);
    qtest_add_func("vhost-pci/kicks_interrupt", kicks_interrupt);
    qtest_add_data_func("vhost-pci/nothing_is_left/close",
                        GUINT_TO_POINTER(END_CLOSE), nothing_is_left);
    qtest_add_data_func("vhost-pci/nothing_is_left/clear",
                        GUINT_TO_POINTER(END_CLEAR), nothing_is_left);
    qtest_add_data_func("vhost-pci/nothing_is_left/reset",
                        GUINT_TO_POINTER(END_RESET), nothing_is_left);
    qtest_add_data_func("vhost-pci/nothing_is_left/unplug",
                        GUINT_TO_POINTER(END_UNPLUG), nothing_is_left);
    qtest_add_func("vhost-pci/migration_is_refused", migration_is_refused);
    return g_test_run();
}
