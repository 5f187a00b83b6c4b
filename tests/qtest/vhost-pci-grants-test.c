/*
 * vhost-pci: grants of the vhost IOMMU, and what breaks their rules
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/eventfd.h>
#include <sys/mman.h>
#include "libqtest.h"
#include "libqos/vhost-pci.h"

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

static uint64_t update(QVhostPCI *t, uint64_t iova, uint64_t size,
                       uint64_t uaddr, uint8_t perm)
{
    struct vhost_pci_iotlb msg = {
        .iova = iova, .size = size, .uaddr = uaddr, .perm = perm,
        .type = VHOST_PCI_IOTLB_UPDATE,
    };
    uint64_t answer = qvp_request(t, VHOST_PCI_IOTLB_MSG, &msg, sizeof(msg),
                                  NULL, 0);
    QVPMessage seen;

    if (!answer) {
        qvp_rx(t, &seen);
        g_assert_cmpmem(seen.payload, seen.hdr.size, &msg, sizeof(msg));
    }
    return answer;
}

static void invalidate(QVhostPCI *t, uint64_t iova, uint64_t size)
{
    struct vhost_pci_iotlb msg = {
        .iova = iova, .size = size, .type = VHOST_PCI_IOTLB_INVALIDATE,
    };
    QVPMessage seen;

    g_assert_cmpuint(qvp_request(t, VHOST_PCI_IOTLB_MSG, &msg, sizeof(msg),
                                 NULL, 0), ==, 0);
    qvp_rx(t, &seen);
}

static void grants(const char *options)
{
    QVhostPCI *t = qvp_start(options);
    int fd = qvp_memfd(MIB, 0xcc);
    uint8_t *mem = qvp_map(fd, MIB);

    qvp_negotiate(t, F_IOMMU);
    g_assert_cmpuint(qvp_table(t, &one_region, &fd, 1, NULL), ==, 0);
    qvp_only_visible(t, 0, 0);
    /* Stores to what is not granted stay in B, and go with a grant. */
    qvp_store(t, 3 * PAGE, 0x11);
    g_assert_cmphex(mem[3 * PAGE], ==, 0xcc);

    g_assert_cmpuint(update(t, IOVA, 2 * PAGE, UADDR + 3 * PAGE,
                            VHOST_PCI_IOTLB_READ), ==, 0);
    g_assert_cmphex(qvp_byte(t, 3 * PAGE), ==, 0xcc);
    qvp_only_visible(t, 3 * PAGE, 5 * PAGE);
    /* Read only: A's later stores are seen, B's own never reach A. */
    mem[4 * PAGE] = 0xdd;
    g_assert_cmphex(qvp_byte(t, 4 * PAGE), ==, 0xdd);
    qvp_store(t, 3 * PAGE, 0x22);
    g_assert_cmphex(mem[3 * PAGE], ==, 0xcc);

    /* A second grant for the same page: the union of rights */
    g_assert_cmpuint(update(t, IOVA + MIB, PAGE, UADDR + 3 * PAGE,
                            VHOST_PCI_IOTLB_READ | VHOST_PCI_IOTLB_WRITE), ==,
                     0);
    g_assert_cmphex(qvp_byte(t, 3 * PAGE), ==, 0xcc);
    qvp_store(t, 3 * PAGE + 1, 0x33);
    g_assert_cmphex(mem[3 * PAGE + 1], ==, 0x33);
    invalidate(t, IOVA + MIB, PAGE);
    qvp_store(t, 3 * PAGE + 2, 0x44);
    g_assert_cmphex(mem[3 * PAGE + 2], ==, 0xcc);
    g_assert_cmphex(qvp_byte(t, 3 * PAGE + 1), ==, 0x33);

    /* Half of a grant goes. */
    invalidate(t, IOVA, PAGE);
    qvp_only_visible(t, 4 * PAGE, 5 * PAGE);
    qvp_store(t, 3 * PAGE, 0x55);
    g_assert_cmphex(mem[3 * PAGE], ==, 0xcc);
    invalidate(t, 0, UINT64_MAX);
    qvp_only_visible(t, 3 * PAGE, 3 * PAGE + 1);    /* B's own store */
    munmap(mem, MIB);
    close(fd);
    qvp_stop(t);
}

static void grants_auto(void)
{
    grants(",vhost-iommu=auto");
}

static void grants_required(void)
{
    grants(",vhost-iommu=required");
}

/* Random grants and revocations against a model that keeps them one by one */
static void grants_match_model(void)
{
    enum { PAGES = 32, RANGES = 48 };
    QVhostPCI *t = qvp_start(",vhost-iommu=required");
    int fd = qvp_memfd(MIB, 0xcc);
    uint8_t *mem = qvp_map(fd, MIB);
    struct { uint8_t page, perm; } model[RANGES] = { 0 };

    qvp_negotiate(t, F_IOMMU);
    g_assert_cmpuint(qvp_table(t, &one_region, &fd, 1, NULL), ==, 0);
    for (unsigned round = 0; round < 400; round++) {
        unsigned at = g_test_rand_int_range(0, RANGES - 8);
        unsigned n = g_test_rand_int_range(1, 9);
        unsigned page = g_test_rand_int_range(0, PAGES - 8);
        unsigned perm = g_test_rand_int_range(0, 4);

        if (perm) {
            g_assert_cmpuint(update(t, IOVA + at * PAGE, n * PAGE,
                                    UADDR + page * PAGE, perm), ==, 0);
        } else {
            invalidate(t, IOVA + at * PAGE, n * PAGE);
        }
        for (unsigned i = 0; i < n; i++) {
            model[at + i].page = page + i;
            model[at + i].perm = perm;
        }
        for (unsigned i = 0; i < PAGES; i++) {
            unsigned rights = 0;

            for (unsigned j = 0; j < RANGES; j++) {
                rights |= model[j].page == i ? model[j].perm : 0;
            }
            g_assert_cmphex(qvp_byte(t, i * PAGE), ==, rights ? 0xcc : 0);
            mem[i * PAGE + 8] = 0;
            qvp_store(t, i * PAGE + 8, 1);
            g_assert_cmpuint(mem[i * PAGE + 8], ==,
                             !!(rights & VHOST_PCI_IOTLB_WRITE));
        }
    }
    munmap(mem, MIB);
    close(fd);
    qvp_stop(t);
}

static void grants_survive_a_new_table(void)
{
    QVhostPCI *t = qvp_start(",vhost-iommu=required");
    int fds[2] = { qvp_memfd(MIB, 0xee), qvp_memfd(MIB, 0xcc) };
    struct vhost_pci_region regions[2] = {
        { 0, MIB, UADDR + 4 * MIB, 0 }, one_region,
    };

    qvp_negotiate(t, F_IOMMU);
    g_assert_cmpuint(qvp_table(t, &one_region, &fds[1], 1, NULL), ==, 0);
    g_assert_cmpuint(update(t, IOVA, PAGE, UADDR + PAGE, 1), ==, 0);
    g_assert_cmphex(qvp_byte(t, PAGE), ==, 0xcc);
    g_assert_cmpuint(qvp_table(t, regions, fds, 2, NULL), ==, 0);
    g_assert_cmphex(qvp_byte(t, MIB + PAGE), ==, 0xcc);
    qvp_only_visible(t, MIB + PAGE, MIB + 2 * PAGE);
    close(fds[0]);
    close(fds[1]);
    qvp_stop(t);
}

static void grant_all(QVhostPCI *t)
{
    g_assert_cmpuint(update(t, IOVA, PAGE, UADDR + PAGE, 3), ==, 0);
    g_assert_cmphex(qvp_byte(t, PAGE), ==, 0xcc);
}

static void stop_ring(QVhostPCI *t, unsigned ring)
{
    struct vhost_pci_vring_state state = { .index = ring };

    qvp_send(t, VHOST_PCI_GET_VRING_BASE, &state, sizeof(state));
    /* The driver may finish what it does with the ring. */
    g_assert_cmphex(qvp_byte(t, PAGE), ==, 0xcc);
    qvp_answer(t, VHOST_PCI_GET_VRING_BASE, &state, sizeof(state));
    qvp_recv(t, VHOST_PCI_GET_VRING_BASE, &state, sizeof(state));
}

/* A unmaps its memory without a word when its device stops. */
static void grants_end_with_the_device(void)
{
    QVhostPCI *t = qvp_start(",vhost-iommu=required");
    int fd = qvp_memfd(MIB, 0xcc), kick = eventfd(0, 0);
    uint64_t features = F_IOMMU, status = 0;
    QVPMessage msg;

    qvp_negotiate(t, F_IOMMU);
    g_assert_cmpuint(qvp_table(t, &one_region, &fd, 1, NULL), ==, 0);
    for (uint64_t ring = 0; ring < 2; ring++) {
        g_assert_cmpuint(qvp_request(t, VHOST_PCI_SET_VRING_KICK, &ring, 8,
                                     &kick, 1), ==, 0);
        qvp_rx(t, &msg);
    }
    grant_all(t);
    stop_ring(t, 1);
    g_assert_cmphex(qvp_byte(t, PAGE), ==, 0xcc);
    stop_ring(t, 0);
    qvp_only_visible(t, 0, 0);

    grant_all(t);
    qvp_send(t, VHOST_PCI_SET_FEATURES, &features, sizeof(features));
    qvp_rx(t, &msg);
    qvp_only_visible(t, 0, 0);

    grant_all(t);
    qvp_send(t, VHOST_PCI_RESET_DEVICE, NULL, 0);
    qvp_rx(t, &msg);
    qvp_only_visible(t, 0, 0);

    grant_all(t);
    qvp_send(t, VHOST_PCI_SET_STATUS, &status, sizeof(status));
    qvp_rx(t, &msg);
    qvp_only_visible(t, 0, 0);
    close(kick);
    close(fd);
    qvp_stop(t);
}

static void misses_reach_the_frontend(void)
{
    QVhostPCI *t = qvp_start(",vhost-iommu=required");
    struct vhost_pci_iotlb miss = {
        .iova = IOVA, .perm = 1, .type = VHOST_PCI_IOTLB_MISS,
    };
    QVPMessage msg = {
        .hdr = { VHOST_PCI_BACKEND_IOTLB_MSG, VHOST_PCI_MSG_VERSION |
                 VHOST_PCI_MSG_NEED_REPLY, sizeof(miss) },
    }, got;
    size_t len = sizeof(msg.hdr) + sizeof(miss);
    int pair[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), ==, 0);
    qvp_negotiate(t, F_IOMMU);
    g_assert_cmpuint(qvp_request(t, VHOST_PCI_SET_BACKEND_REQ_FD, NULL, 0,
                                 &pair[1], 1), ==, 0);
    qvp_rx(t, &got);
    g_assert_cmpuint(got.hdr.request, ==, VHOST_PCI_SET_BACKEND_REQ_FD);
    memcpy(msg.payload, &miss, sizeof(miss));
    qvp_tx(t, &msg, len);
    g_assert_cmpint(recv(pair[0], &got, sizeof(got), 0), ==, len);
    g_assert_cmphex(got.hdr.flags, ==, VHOST_PCI_MSG_VERSION);
    g_assert_cmpmem(got.payload, sizeof(miss), &miss, sizeof(miss));
    /* One that the frontend has no room for is dropped. */
    while (send(pair[1], &msg, len, MSG_DONTWAIT) > 0) {
        continue;
    }
    for (unsigned i = 0; i < 3; i++) {
        qvp_tx(t, &msg, len);
        g_assert_cmpuint(qvp_config32(t, status), ==, UP);
    }
    while (recv(pair[0], &got, sizeof(got), MSG_DONTWAIT) > 0) {
        continue;
    }
    qvp_tx(t, &msg, len);
    g_assert_cmpint(recv(pair[0], &got, sizeof(got), 0), ==, len);
    close(pair[0]);
    close(pair[1]);
    qvp_stop(t);
}

static void bad_grants(void)
{
    static const struct vhost_pci_iotlb refused[] = {
        { 0, 0, UADDR, 3 },                     /* empty */
        { 1, PAGE, UADDR, 3 },                  /* not aligned */
        { 0, PAGE + 1, UADDR, 3 },
        { 0, PAGE, UADDR + 1, 3 },
        { 0, PAGE, UADDR, 0 },                  /* no rights */
        { 0, PAGE, UADDR - PAGE, 3 },           /* outside */
        { 0, PAGE, UADDR + MIB, 3 },
        { 0, 2 * PAGE, UADDR + MIB - PAGE, 3 },
        { 0, 2 * PAGE, -PAGE, 3 },
        { -PAGE, 2 * PAGE, UADDR, 3 },
        { 0, -PAGE, UADDR, 3 },
    };
    static const struct vhost_pci_region region = { 0, MIB, UADDR, 0 };
    QVhostPCI *t = qvp_start(",vhost-iommu=required,iotlb-entries=4");
    int fd = qvp_memfd(MIB, 0xcc);
    struct vhost_pci_iotlb msg;
    QVPMessage seen;

    qvp_negotiate(t, F_IOMMU);
    g_assert_cmpuint(qvp_table(t, &region, &fd, 1, NULL), ==, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(refused); i++) {
        g_test_message("grant %u", i);
        msg = refused[i];
        msg.type = VHOST_PCI_IOTLB_UPDATE;
        g_assert_cmpuint(qvp_request(t, VHOST_PCI_IOTLB_MSG, &msg, sizeof(msg),
                                     NULL, 0), !=, 0);
        qvp_only_visible(t, 0, 0);
    }
    /* More than iotlb-entries; and to split a grant then takes all of it. */
    for (unsigned i = 0; i < 6; i++) {
        msg = (struct vhost_pci_iotlb) {
            .iova = MIB * i, .size = 3 * PAGE, .uaddr = UADDR + 3 * PAGE * i,
            .perm = 3, .type = VHOST_PCI_IOTLB_UPDATE,
        };
        g_assert_cmpuint(!!qvp_request(t, VHOST_PCI_IOTLB_MSG, &msg,
                                       sizeof(msg), NULL, 0), ==, i >= 4);
        if (i < 4) {
            qvp_rx(t, &seen);
        }
        g_assert_cmphex(qvp_byte(t, 3 * PAGE * i), ==, i < 4 ? 0xcc : 0);
    }
    msg = (struct vhost_pci_iotlb) {
        PAGE, PAGE, 0, 0, VHOST_PCI_IOTLB_INVALIDATE,
    };
    g_assert_cmpuint(qvp_request(t, VHOST_PCI_IOTLB_MSG, &msg, sizeof(msg),
                                 NULL, 0), ==, 0);
    for (unsigned i = 0; i < 4; i++) {
        g_assert_cmphex(qvp_byte(t, PAGE * i), ==, i < 3 ? 0 : 0xcc);
    }
    close(fd);
    qvp_stop(t);
}

/* Grants that overlap in A's memory cost as much as they are large. */
static void grants_are_bounded(void)
{
    static const struct vhost_pci_region region = { 0, QVP_WINDOW, UADDR, 0 };
    QVhostPCI *t = qvp_start(",vhost-iommu=required");
    int fd = qvp_memfd(QVP_WINDOW, 0xcc);
    struct vhost_pci_iotlb msg = {
        .uaddr = UADDR, .size = QVP_WINDOW, .perm = 3,
        .type = VHOST_PCI_IOTLB_UPDATE,
    };
    QVPMessage seen;

    qvp_negotiate(t, F_IOMMU);
    g_assert_cmpuint(qvp_table(t, &region, &fd, 1, NULL), ==, 0);
    for (unsigned i = 0; i < 6; i++) {
        msg.iova = i * QVP_WINDOW;
        g_assert_cmpuint(!!qvp_request(t, VHOST_PCI_IOTLB_MSG, &msg,
                                       sizeof(msg), NULL, 0), ==, i >= 4);
        if (i < 4) {
            qvp_rx(t, &seen);
        }
    }
    /* What is revoked makes room. */
    msg.type = VHOST_PCI_IOTLB_INVALIDATE;
    msg.iova = 0;
    g_assert_cmpuint(qvp_request(t, VHOST_PCI_IOTLB_MSG, &msg, sizeof(msg),
                                 NULL, 0), ==, 0);
    qvp_rx(t, &seen);
    msg.type = VHOST_PCI_IOTLB_UPDATE;
    g_assert_cmpuint(qvp_request(t, VHOST_PCI_IOTLB_MSG, &msg, sizeof(msg),
                                 NULL, 0), ==, 0);
    close(fd);
    qvp_stop(t);
}

static void required_is_required(void)
{
    QVhostPCI *t = qvp_start(",vhost-iommu=required");
    uint64_t features = 0;

    qvp_set_status(t, VIRTIO_VHOST_PCI_S_BACKEND_UP);
    qvp_connect(t);
    qvp_send(t, VHOST_PCI_SET_FEATURES, &features, sizeof(features));
    qvp_expect_close(t);
    qvp_wait_error(t, VIRTIO_VHOST_PCI_E_IOMMU);
    /* The same for a driver that does not know IOTLB messages */
    qvp_driver(t, 0, 4, VIRTIO_VHOST_PCI_MSG_MAX);
    qvp_set_status(t, VIRTIO_VHOST_PCI_S_BACKEND_UP);
    qvp_connect(t);
    qvp_expect_close(t);
    qvp_wait_error(t, VIRTIO_VHOST_PCI_E_IOMMU);
    qvp_stop(t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("vhost-pci/grants_auto", grants_auto);
    qtest_add_func("vhost-pci/grants_required", grants_required);
    qtest_add_func("vhost-pci/grants_match_model", grants_match_model);
    qtest_add_func("vhost-pci/grants_survive_a_new_table",
                   grants_survive_a_new_table);
    qtest_add_func("vhost-pci/grants_end_with_the_device",
                   grants_end_with_the_device);
    qtest_add_func("vhost-pci/misses_reach_the_frontend",
                   misses_reach_the_frontend);
    qtest_add_func("vhost-pci/bad_grants", bad_grants);
    qtest_add_func("vhost-pci/grants_are_bounded", grants_are_bounded);
    qtest_add_func("vhost-pci/required_is_required", required_is_required);
    return g_test_run();
}
