/*
 * Both sides of vhost-pci for tests: VM B's driver, and VM A's frontend
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/mman.h>
#include <sys/un.h>
#include <glib/gstdio.h>
#include "../libqtest.h"
#include "libqos-pc.h"
#include "vhost-pci.h"
#include "standard-headers/linux/pci_regs.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_pci.h"

/* A bound for a hang, not a speed */
#define DEADLINE_US (60 * G_USEC_PER_SEC)
#define HDR sizeof(struct vhost_pci_msg_hdr)
#define SLOT 4
#define WINDOW_BAR 2

static uint64_t find_capability(QPCIDevice *dev, uint8_t type)
{
    uint8_t at = 0;

    while ((at = qpci_find_capability(dev, PCI_CAP_ID_VNDR, at))) {
        if (qpci_config_readb(dev, at + VIRTIO_PCI_CAP_CFG_TYPE) == type) {
            return qpci_config_readl(dev, at + VIRTIO_PCI_CAP_OFFSET);
        }
    }
    g_assert_not_reached();
}

void qvp_driver(QVhostPCI *t, uint64_t features, unsigned buffers,
                unsigned size)
{
    QVirtioDevice *vdev = &t->pci->vdev;

    g_assert_cmpuint(buffers, <=, QVP_BUFFERS);
    qvirtio_start_device(vdev);
    qvirtio_set_features(vdev, qvirtio_get_features(vdev) &
                         ((1ull << VIRTIO_F_VERSION_1) | features));
    t->rx = qvirtqueue_setup(vdev, &t->qs->alloc, VIRTIO_VHOST_PCI_RXQ);
    t->tx = qvirtqueue_setup(vdev, &t->qs->alloc, VIRTIO_VHOST_PCI_TXQ);
    qvirtio_set_driver_ok(vdev);
    for (unsigned i = 0; i < buffers; i++) {
        t->rx_addr[i] = guest_alloc(&t->qs->alloc, size);
        t->rx_head[i] = qvirtqueue_add(t->qts, t->rx, t->rx_addr[i], size,
                                       true, false);
        qvirtqueue_kick(t->qts, vdev, t->rx, t->rx_head[i]);
    }
}

QVhostPCI *qvp_start(const char *options)
{
    QPCIAddress addr = { .devfn = QPCI_DEVFN(SLOT, 0) };
    QVhostPCI *t = g_new0(QVhostPCI, 1);

    t->dir = g_dir_make_tmp("vhost-pci-XXXXXX", NULL);
    g_assert_nonnull(t->dir);
    t->path = g_build_filename(t->dir, "sock", NULL);
    t->sock = -1;
    t->qs = qtest_pc_boot("-chardev socket,id=chr0,server=on,wait=off,path=%s "
                          "-device vhost-pci,id=vp0,addr=4,chardev=chr0,"
                          "shm-size=4M%s", t->path, options);
    t->qts = t->qs->qts;
    t->pci = virtio_pci_new(t->qs->pcibus, &addr);
    g_assert_nonnull(t->pci);
    qvirtio_pci_device_enable(t->pci);
    t->window = qpci_iomap(t->pci->pdev, WINDOW_BAR, NULL);
    t->doorbells = find_capability(t->pci->pdev,
                                   VIRTIO_VHOST_PCI_CAP_DOORBELL);
    t->notify = find_capability(t->pci->pdev, VIRTIO_VHOST_PCI_CAP_NOTIFY);
    qvp_driver(t, 1 << VIRTIO_VHOST_PCI_F_REGION_OFFSET |
               1 << VIRTIO_VHOST_PCI_F_PEER_IOMMU, QVP_BUFFERS,
               VIRTIO_VHOST_PCI_MSG_MAX);
    return t;
}

void qvp_stop(QVhostPCI *t)
{
    qvp_disconnect(t);
    g_free(t->pci->pdev);
    g_free(t->pci);
    qtest_shutdown(t->qs);
    g_unlink(t->path);
    g_rmdir(t->dir);
    g_free(t->path);
    g_free(t->dir);
    g_free(t);
}

void qvp_set_status(QVhostPCI *t, uint32_t status)
{
    qpci_io_writel(t->pci->pdev, t->pci->bar, t->pci->device_cfg_offset,
                   status);
}

void qvp_wait_status(QVhostPCI *t, uint32_t status)
{
    gint64 start = g_get_monotonic_time();

    while (qvp_config32(t, status) != status) {
        g_assert_cmpint(g_get_monotonic_time() - start, <, DEADLINE_US);
    }
}

void qvp_wait_error(QVhostPCI *t, unsigned code)
{
    qvp_wait_status(t, 0);
    g_assert_cmpuint(qvp_config16(t, last_error), ==, code);
}

bool qvp_rx_any(QVhostPCI *t, QVPMessage *msg)
{
    uint32_t head, len;

    if (!qvirtqueue_get_buf(t->qts, t->rx, &head, &len)) {
        return false;
    }
    for (unsigned i = 0; i < QVP_BUFFERS; i++) {
        if (t->rx_head[i] != head) {
            continue;
        }
        g_assert_cmpuint(len, <=, sizeof(*msg));
        qtest_memread(t->qts, t->rx_addr[i], msg, len);
        g_assert_cmpuint(len, ==, HDR + msg->hdr.size);
        t->rx_head[i] = qvirtqueue_add(t->qts, t->rx, t->rx_addr[i],
                                       VIRTIO_VHOST_PCI_MSG_MAX, true, false);
        qvirtqueue_kick(t->qts, &t->pci->vdev, t->rx, t->rx_head[i]);
        return true;
    }
    g_assert_not_reached();
}

void qvp_rx(QVhostPCI *t, QVPMessage *msg)
{
    gint64 start = g_get_monotonic_time();

    while (!qvp_rx_any(t, msg)) {
        g_assert_cmpint(g_get_monotonic_time() - start, <, DEADLINE_US);
    }
}

void qvp_tx(QVhostPCI *t, const void *bytes, size_t len)
{
    uint64_t addr = guest_alloc(&t->qs->alloc, len);
    gint64 start = g_get_monotonic_time();
    uint32_t head;

    qtest_memwrite(t->qts, addr, bytes, len);
    head = qvirtqueue_add(t->qts, t->tx, addr, len, false, false);
    qvirtqueue_kick(t->qts, &t->pci->vdev, t->tx, head);
    while (!qvirtqueue_get_buf(t->qts, t->tx, NULL, NULL)) {
        g_assert_cmpint(g_get_monotonic_time() - start, <, DEADLINE_US);
    }
    guest_free(&t->qs->alloc, addr);
}

void qvp_answer(QVhostPCI *t, uint32_t request, const void *payload,
                size_t size)
{
    QVPMessage msg;

    qvp_rx(t, &msg);
    g_assert_cmpuint(msg.hdr.request, ==, request);
    msg.hdr.flags = VHOST_PCI_MSG_VERSION | VHOST_PCI_MSG_REPLY;
    msg.hdr.size = size;
    memcpy(msg.payload, payload, size);
    qvp_tx(t, &msg, HDR + size);
}

void qvp_connect(QVhostPCI *t)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    struct timeval patience = { .tv_sec = 60 };

    g_assert_cmpint(t->sock, ==, -1);
    g_assert_cmpuint(strlen(t->path), <, sizeof(addr.sun_path));
    strcpy(addr.sun_path, t->path);
    t->sock = socket(AF_UNIX, SOCK_STREAM, 0);
    g_assert_cmpint(connect(t->sock, (void *)&addr, sizeof(addr)), ==, 0);
    setsockopt(t->sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
}

void qvp_disconnect(QVhostPCI *t)
{
    if (t->sock >= 0) {
        close(t->sock);
        t->sock = -1;
    }
}

void qvp_send_raw(QVhostPCI *t, const void *bytes, size_t len,
                  const int *fds, unsigned nfds)
{
    char control[CMSG_SPACE(32 * sizeof(int))] = { 0 };
    struct iovec iov = { .iov_base = (void *)bytes, .iov_len = len };
    struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (nfds) {
        struct cmsghdr *cmsg;

        mh.msg_control = control;
        mh.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
        cmsg = CMSG_FIRSTHDR(&mh);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(nfds * sizeof(int));
        memcpy(CMSG_DATA(cmsg), fds, nfds * sizeof(int));
    }
    g_assert_cmpint(sendmsg(t->sock, &mh, MSG_NOSIGNAL), ==, len);
}

void qvp_send_fds(QVhostPCI *t, uint32_t request, uint32_t flags,
                  const void *payload, size_t size, const int *fds,
                  unsigned nfds)
{
    QVPMessage msg = {
        .hdr = { .request = request, .flags = flags, .size = size },
    };

    g_assert_cmpuint(size, <=, sizeof(msg.payload));
    memcpy(msg.payload, payload, size);
    qvp_send_raw(t, &msg, HDR + size, fds, nfds);
}

void qvp_send(QVhostPCI *t, uint32_t request, const void *payload, size_t size)
{
    qvp_send_fds(t, request, VHOST_PCI_MSG_VERSION, payload, size, NULL, 0);
}

static void recv_all(QVhostPCI *t, void *to, size_t len)
{
    ssize_t n = recv(t->sock, to, len, MSG_WAITALL);

    g_assert_cmpint(n, ==, len);
}

void qvp_recv(QVhostPCI *t, uint32_t request, void *payload, size_t size)
{
    struct vhost_pci_msg_hdr hdr;

    recv_all(t, &hdr, sizeof(hdr));
    g_assert_cmpuint(hdr.request, ==, request);
    g_assert_cmphex(hdr.flags, ==,
                    VHOST_PCI_MSG_VERSION | VHOST_PCI_MSG_REPLY);
    g_assert_cmpuint(hdr.size, ==, size);
    recv_all(t, payload, size);
}

uint64_t qvp_request(QVhostPCI *t, uint32_t request, const void *payload,
                     size_t size, const int *fds, unsigned nfds)
{
    uint64_t answer;

    qvp_send_fds(t, request, VHOST_PCI_MSG_VERSION | VHOST_PCI_MSG_NEED_REPLY,
                 payload, size, fds, nfds);
    qvp_recv(t, request, &answer, sizeof(answer));
    return answer;
}

void qvp_expect_close(QVhostPCI *t)
{
    char c;
    ssize_t n = recv(t->sock, &c, 1, 0);

    /* A socket that is closed with bytes unread resets the connection. */
    g_assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
    qvp_disconnect(t);
}

void qvp_negotiate(QVhostPCI *t, uint64_t features)
{
    uint64_t protocol = 1 << VHOST_PCI_P_REPLY_ACK |
                        1 << VHOST_PCI_P_BACKEND_REQ | 1 << VHOST_PCI_P_MQ;
    QVPMessage msg;
    uint64_t bits;

    qvp_set_status(t, VIRTIO_VHOST_PCI_S_BACKEND_UP);
    qvp_connect(t);
    qvp_wait_status(t, VIRTIO_VHOST_PCI_S_BACKEND_UP |
                    VIRTIO_VHOST_PCI_S_FRONTEND_UP);
    qvp_send(t, VHOST_PCI_GET_PROTOCOL_FEATURES, NULL, 0);
    bits = UINT64_MAX;
    qvp_answer(t, VHOST_PCI_GET_PROTOCOL_FEATURES, &bits, sizeof(bits));
    qvp_recv(t, VHOST_PCI_GET_PROTOCOL_FEATURES, &bits, sizeof(bits));
    g_assert_cmphex(bits & protocol, ==, protocol);
    qvp_send(t, VHOST_PCI_SET_PROTOCOL_FEATURES, &protocol, sizeof(protocol));
    qvp_rx(t, &msg);
    qvp_send(t, VHOST_PCI_SET_FEATURES, &features, sizeof(features));
    qvp_rx(t, &msg);
    g_assert_cmpuint(msg.hdr.request, ==, VHOST_PCI_SET_FEATURES);
}

int qvp_memfd(size_t size, uint8_t fill)
{
    int fd = memfd_create("vhost-pci-test", MFD_ALLOW_SEALING);
    void *at;

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, size), ==, 0);
    at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    g_assert_true(at != MAP_FAILED);
    memset(at, fill, size);
    munmap(at, size);
    g_assert_cmpint(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK), ==,
                    0);
    return fd;
}

uint64_t qvp_table(QVhostPCI *t, const struct vhost_pci_region *regions,
                   const int *fds, unsigned n,
                   struct vhost_pci_mem_table *seen)
{
    struct vhost_pci_mem_table table = { .nregions = n };
    uint64_t answer;
    QVPMessage msg;

    memcpy(table.regions, regions, n * sizeof(*regions));
    answer = qvp_request(t, VHOST_PCI_SET_MEM_TABLE, &table,
                         offsetof(struct vhost_pci_mem_table, regions) +
                         n * sizeof(*regions), fds, n);
    if (!answer) {
        qvp_rx(t, &msg);
        g_assert_cmpuint(msg.hdr.request, ==, VHOST_PCI_SET_MEM_TABLE);
        g_assert_cmphex(msg.hdr.flags, ==, VHOST_PCI_MSG_VERSION);
        if (seen) {
            memcpy(seen, msg.payload, msg.hdr.size);
        }
    }
    return answer;
}

uint8_t *qvp_window(QVhostPCI *t)
{
    uint8_t *all = g_malloc(QVP_WINDOW);

    /* In pieces: the time libqtest takes for a line grows with its square. */
    for (unsigned at = 0; at < QVP_WINDOW; at += 0x4000) {
        qpci_memread(t->pci->pdev, t->window, at, all + at, 0x4000);
    }
    return all;
}

uint8_t qvp_byte(QVhostPCI *t, uint64_t offset)
{
    return qpci_io_readb(t->pci->pdev, t->window, offset);
}

void qvp_store(QVhostPCI *t, uint64_t offset, uint8_t value)
{
    qpci_io_writeb(t->pci->pdev, t->window, offset, value);
}

void qvp_only_visible(QVhostPCI *t, uint64_t from, uint64_t to)
{
    g_autofree uint8_t *all = qvp_window(t);

    for (uint64_t i = 0; i < QVP_WINDOW; i++) {
        if (i < from || i >= to) {
            g_assert_cmphex(all[i], ==, 0);
        }
    }
}

uint8_t *qvp_map(int fd, size_t size)
{
    uint8_t *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    g_assert_true(at != MAP_FAILED);
    return at;
}
