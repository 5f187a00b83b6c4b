/*
 * What a vhost back end is told of the IOMMU's mappings
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The back end is this process: a vhost-user server that says yes to
 * everything and notes the IOTLB messages. VT-d's address space has a hole
 * for interrupts, so QEMU listens in two ranges; a guest can invalidate
 * across the hole's end.
 */

#include "qemu/osdep.h"
#include <sys/un.h>
#include "libqtest.h"
#include "libqos/libqos-pc.h"
#include "libqos/qiommu.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_ring.h"

#define DEVFN               QPCI_DEVFN(4, 0)
#define RAM                 (128ull << 20)
#define AREA                0x40000000ull       /* IOVAs outside of RAM */
#define TIMEOUT_US          (30 * G_USEC_PER_SEC)

/* The range of interrupt messages, which is not translated */
#define HOLE_LAST           0xfeefffffull
#define AROUND              0xfee00000ull   /* large page across its end */

/* Requests and flags of the vhost-user protocol, and of its IOTLB messages */
#define REQ_GET_FEATURES    1
#define REQ_GET_VRING_BASE  11
#define REQ_GET_PROTOCOL    15
#define REQ_GET_QUEUE_NUM   17
#define REQ_BACKEND_FD      21
#define REQ_IOTLB           22
#define BACKEND_IOTLB       1
#define F_PROTOCOL          (1ull << 30)
#define P_REPLY_ACK         (1ull << 3)
#define P_BACKEND_REQ       (1ull << 5)
#define FLAG_VERSION        1u
#define FLAG_REPLY          4u
#define FLAG_NEED_REPLY     8u
#define IOTLB_MISS          1
#define IOTLB_UPDATE        2
#define IOTLB_INVALIDATE    3
#define ACCESS_RO           1
#define ACCESS_RW           3

typedef struct Header {
    uint32_t request, flags, size;
} Header;

typedef struct IotlbMsg {
    uint64_t iova, size, uaddr;
    uint8_t perm, type;
    uint8_t pad[6];
} IotlbMsg;

typedef struct Server {
    int listener;
    int passed;                 /* the file that came with a message, or -1 */
    GMutex lock;                /* of what is below */
    GCond changed;
    int backend;                /* where misses are told, or -1 */
    GArray *messages;           /* of IotlbMsg */
} Server;

static void take_files(Server *server, const int *fds, size_t bytes)
{
    for (; bytes >= sizeof(int); fds++, bytes -= sizeof(int)) {
        if (server->passed >= 0) {
            close(server->passed);
        }
        server->passed = *fds;
    }
}

static bool receive(Server *server, int fd, void *buf, size_t len)
{
    char control[CMSG_SPACE(16 * sizeof(int))];
    struct iovec iov = { .iov_base = buf, .iov_len = len };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1,
        .msg_control = control, .msg_controllen = sizeof(control),
    };

    for (size_t done = 0; done < len; ) {
        ssize_t n = recvmsg(fd, &msg, 0);

        if (n <= 0) {
            return false;
        }
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c;
             c = CMSG_NXTHDR(&msg, c)) {
            if (c->cmsg_type == SCM_RIGHTS) {
                take_files(server, (int *)CMSG_DATA(c),
                           c->cmsg_len - CMSG_LEN(0));
            }
        }
        done += n;
        iov.iov_base = (char *)buf + done;
        iov.iov_len = len - done;
        msg.msg_controllen = sizeof(control);
    }
    return true;
}

static void answer(int fd, uint32_t request, const void *payload, size_t len)
{
    Header h = { request, FLAG_VERSION | FLAG_REPLY, len };
    uint8_t buf[64];

    memcpy(buf, &h, sizeof(h));
    memcpy(buf + sizeof(h), payload, len);
    g_assert_cmpint(write(fd, buf, sizeof(h) + len), ==, sizeof(h) + len);
}

static void serve(Server *server, int fd, const Header *h, const void *body)
{
    uint64_t value = 0;

    switch (h->request) {
    case REQ_GET_FEATURES:
        value = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_ACCESS_PLATFORM |
                F_PROTOCOL;
        break;
    case REQ_GET_PROTOCOL:
        value = P_REPLY_ACK | P_BACKEND_REQ;
        break;
    case REQ_GET_QUEUE_NUM:
        value = 1;
        break;
    case REQ_GET_VRING_BASE:
        memcpy(&value, body, 4);
        break;
    case REQ_IOTLB:
        g_mutex_lock(&server->lock);
        g_array_append_vals(server->messages, body, 1);
        g_cond_broadcast(&server->changed);
        g_mutex_unlock(&server->lock);
        goto ack;
    case REQ_BACKEND_FD:
        g_mutex_lock(&server->lock);
        server->backend = server->passed;
        server->passed = -1;
        g_mutex_unlock(&server->lock);
        goto ack;
    default:
    ack:
        if (!(h->flags & FLAG_NEED_REPLY)) {
            return;
        }
    }
    answer(fd, h->request, &value, sizeof(value));
}

static gpointer server_thread(gpointer opaque)
{
    Server *server = opaque;
    int fd = accept(server->listener, NULL, NULL);
    uint64_t body[128];
    Header h;

    g_assert_cmpint(fd, >=, 0);
    while (receive(server, fd, &h, sizeof(h))) {
        g_assert_cmpuint(h.size, <=, sizeof(body));
        if (h.size && !receive(server, fd, body, h.size)) {
            break;
        }
        serve(server, fd, &h, body);
    }
    close(fd);
    return NULL;
}

static char *server_start(Server *server, GThread **thread)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    g_autoptr(GError) err = NULL;
    char *dir = g_dir_make_tmp("vadis-vhost-XXXXXX", &err);

    g_assert_no_error(err);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/socket", dir);
    server->listener = socket(AF_UNIX, SOCK_STREAM, 0);
    g_assert_cmpint(bind(server->listener, (struct sockaddr *)&addr,
                         sizeof(addr)), ==, 0);
    g_assert_cmpint(listen(server->listener, 1), ==, 0);
    server->passed = server->backend = -1;
    g_mutex_init(&server->lock);
    g_cond_init(&server->changed);
    server->messages = g_array_new(FALSE, FALSE, sizeof(IotlbMsg));
    *thread = g_thread_new("vhost-user", server_thread, server);
    return dir;
}

static void server_stop(Server *server, GThread *thread, char *dir)
{
    g_autofree char *path = g_strdup_printf("%s/socket", dir);

    g_thread_join(thread);
    close(server->listener);
    close(server->backend);
    if (server->passed >= 0) {
        close(server->passed);
    }
    unlink(path);
    rmdir(dir);
    g_free(dir);
    g_array_free(server->messages, TRUE);
    g_cond_clear(&server->changed);
    g_mutex_clear(&server->lock);
}

typedef struct Rig {
    Server server;
    GThread *thread;
    char *dir;
    QOSState *qs;
    QVirtioPCIDevice *pci;
    QVirtioDevice *vdev;
    QIommu *iommu;
    QVirtQueue *vq[2];
} Rig;

static void rig_boot(Rig *rig, QIommuKind kind)
{
    QPCIAddress at = { .devfn = DEVFN };

    *rig = (Rig) { 0 };
    rig->dir = server_start(&rig->server, &rig->thread);
    rig->qs = qtest_pc_boot("%s -object memory-backend-memfd,id=ram,size=128M,"
                            "share=on -machine memory-backend=ram "
                            "-chardev socket,id=c0,path=%s/socket "
                            "-netdev vhost-user,id=n0,chardev=c0 "
                            "-device virtio-net-pci,netdev=n0,addr=04.0,"
                            "iommu_platform=on,disable-legacy=on",
                            qiommu_options(kind), rig->dir);
    rig->pci = virtio_pci_new(rig->qs->pcibus, &at);
    g_assert_nonnull(rig->pci);
    rig->vdev = &rig->pci->vdev;
    qvirtio_pci_device_enable(rig->pci);
    rig->iommu = qiommu_start(kind, rig->qs, DEVFN);
    qiommu_map(rig->iommu, 0, 0, RAM, QIOMMU_RW);
}

static void rig_run(Rig *rig)
{
    qvirtio_start_device(rig->vdev);
    qvirtio_set_features(rig->vdev, 1ull << VIRTIO_F_VERSION_1 |
                                    1ull << VIRTIO_F_ACCESS_PLATFORM);
    for (unsigned i = 0; i < 2; i++) {
        rig->vq[i] = qvirtqueue_setup(rig->vdev, &rig->qs->alloc, i);
    }
    qvirtio_set_driver_ok(rig->vdev);
}

static void rig_stop(Rig *rig)
{
    for (unsigned i = 0; i < 2; i++) {
        qvirtqueue_cleanup(rig->vdev->bus, rig->vq[i], &rig->qs->alloc);
    }
    qvirtio_pci_device_disable(rig->pci);
    g_free(rig->pci->pdev);
    g_free(rig->pci);
    qiommu_free(rig->iommu);
    qtest_shutdown(rig->qs);
    server_stop(&rig->server, rig->thread, rig->dir);
}

/* The first message of @type about @iova; waits for it */
static IotlbMsg wait_message(Server *server, uint8_t type, uint64_t iova)
{
    gint64 end = g_get_monotonic_time() + TIMEOUT_US;
    IotlbMsg found = { 0 };
    unsigned next = 0;

    g_mutex_lock(&server->lock);
    while (!found.type) {
        for (; next < server->messages->len && !found.type; next++) {
            IotlbMsg *msg = &g_array_index(server->messages, IotlbMsg, next);

            if (msg->type == type && iova - msg->iova < msg->size) {
                found = *msg;
            }
        }
        if (!found.type) {
            g_assert_true(g_cond_wait_until(&server->changed, &server->lock,
                                            end));
        }
    }
    g_mutex_unlock(&server->lock);
    return found;
}

/* The back end asks for @iova. */
static void ask(Server *server, uint64_t iova, uint8_t access)
{
    IotlbMsg msg = { .iova = iova, .perm = access, .type = IOTLB_MISS };
    Header h = { BACKEND_IOTLB, FLAG_VERSION, sizeof(msg) };
    uint8_t buf[sizeof(h) + sizeof(msg)];

    memcpy(buf, &h, sizeof(h));
    memcpy(buf + sizeof(h), &msg, sizeof(msg));
    g_mutex_lock(&server->lock);
    g_assert_cmpint(server->backend, >=, 0);
    g_assert_cmpint(write(server->backend, buf, sizeof(buf)), ==, sizeof(buf));
    g_mutex_unlock(&server->lock);
}

/* The back end asks for @iova; what it is told */
static IotlbMsg miss(Server *server, uint64_t iova, uint8_t access)
{
    ask(server, iova, access);
    return wait_message(server, IOTLB_UPDATE, iova);
}

/*
 * The back end asks for @iova in vain, and the IOMMU takes note.
 * @mapped: an IOVA that is asked for next, so that the answer to @iova is in
 */
static void refused(Rig *rig, uint64_t iova, uint8_t access, uint64_t mapped)
{
    QIommuFault fault;

    g_assert_false(qiommu_take_fault(rig->iommu, &fault));
    g_mutex_lock(&rig->server.lock);
    g_array_set_size(rig->server.messages, 0);
    g_mutex_unlock(&rig->server.lock);
    ask(&rig->server, iova, access);
    miss(&rig->server, mapped, ACCESS_RO);
    g_mutex_lock(&rig->server.lock);
    g_assert_cmpuint(rig->server.messages->len, ==, 1);
    g_mutex_unlock(&rig->server.lock);
    g_assert_true(qiommu_take_fault(rig->iommu, &fault));
    g_assert_cmphex(fault.iova & ~0xfffull, ==, iova);
    g_assert_cmpint(fault.write, ==, access != ACCESS_RO);
}

/* An unmap that reaches out of the hole is told as far as it does */
static void test_unmap_across_the_hole(void)
{
    unsigned seen = 0;
    Rig rig;

    rig_boot(&rig, QIOMMU_VTD);
    qiommu_map(rig.iommu, AROUND, 0, QIOMMU_LARGE_PAGE, QIOMMU_RW);
    rig_run(&rig);
    qiommu_unmap(rig.iommu, AROUND, QIOMMU_LARGE_PAGE);
    /* After the reset QEMU has had the answers to all that it sent. */
    qvirtio_reset(rig.vdev);
    for (unsigned i = 0; i < rig.server.messages->len; i++) {
        IotlbMsg *msg = &g_array_index(rig.server.messages, IotlbMsg, i);

        if (msg->type == IOTLB_INVALIDATE) {
            g_assert_cmphex(msg->iova, ==, HOLE_LAST + 1);
            g_assert_cmphex(msg->size, ==,
                            AROUND + QIOMMU_LARGE_PAGE - HOLE_LAST - 1);
            seen++;
        }
    }
    g_assert_cmpuint(seen, ==, 1);
    rig_stop(&rig);
}

/*
 * What is not mapped, or not for that, is not told of.
 * Memory mapped for reading is told as such, other memory with all rights.
 * That includes memory mapped for writing alone: DPDK asks for both rights to
 * put a frame into a buffer, and would wait for them for ever.
 */
static void test_rights(const void *opaque)
{
    uint64_t page;
    Rig rig;

    rig_boot(&rig, GPOINTER_TO_UINT(opaque));
    page = guest_alloc(&rig.qs->alloc, QIOMMU_PAGE);
    qiommu_map(rig.iommu, AREA, page, QIOMMU_PAGE, QIOMMU_READ);
    qiommu_map(rig.iommu, AREA + QIOMMU_PAGE, page, QIOMMU_PAGE, QIOMMU_WRITE);
    rig_run(&rig);
    refused(&rig, AREA, ACCESS_RW, page);
    refused(&rig, AREA + 2 * QIOMMU_PAGE, ACCESS_RO, page);
    g_assert_cmpuint(miss(&rig.server, AREA, ACCESS_RO).perm, ==, ACCESS_RO);
    g_assert_cmpuint(miss(&rig.server, page, ACCESS_RO).perm, ==, ACCESS_RW);
    g_assert_cmpuint(miss(&rig.server, AREA + QIOMMU_PAGE, ACCESS_RW).perm, ==,
                     ACCESS_RW);
    qvirtio_reset(rig.vdev);
    rig_stop(&rig);
}

/* A block ends where the memory does: 640 KiB, and what follows at 1 MiB */
static void test_block_ends_with_memory(void)
{
    IotlbMsg msg;
    Rig rig;

    rig_boot(&rig, QIOMMU_VIRTIO);
    rig_run(&rig);
    msg = miss(&rig.server, 0x1000, ACCESS_RO);
    g_assert_cmphex(msg.iova + msg.size, <=, 0xa0000);
    msg = miss(&rig.server, 0x200000, ACCESS_RO);
    g_assert_cmphex(msg.iova, >=, 0x100000);
    qvirtio_reset(rig.vdev);
    rig_stop(&rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("vhost-iommu/unmap-across-the-hole",
                   test_unmap_across_the_hole);
    qtest_add_data_func("vhost-iommu/rights/vtd",
                        GUINT_TO_POINTER(QIOMMU_VTD), test_rights);
    qtest_add_data_func("vhost-iommu/rights/virtio",
                        GUINT_TO_POINTER(QIOMMU_VIRTIO), test_rights);
    qtest_add_func("vhost-iommu/block-ends-with-memory",
                   test_block_ends_with_memory);
    return g_test_run();
}
