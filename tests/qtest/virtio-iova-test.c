/*
 * virtio devices behind a vIOMMU: each byte goes where the mapping says
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Every test runs behind VT-d and behind virtio-iommu, and over the ring
 * formats that it is about. Guest memory is mapped one to one, so ordinary
 * drivers work; what a test is about lies at other IOVAs, in pages that are
 * not neighbours, each followed by a guard page.
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "libqtest.h"
#include "libqos/libqos-pc.h"
#include "libqos/qiommu.h"
#include "libqos/virtio-packed.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_ring.h"

#define TIMEOUT_US      (30 * G_USEC_PER_SEC)
#define DEVFN           QPCI_DEVFN(4, 0)
#define RAM             (128ull << 20)      /* the machine's default */
#define HOLE            0xc0000000ull       /* neither RAM nor a device */
#define AREA            0x40000000ull       /* IOVAs outside of RAM */
#define GUARD           0xee

typedef struct RigOptions {
    QIommuKind kind;
    bool packed;
    bool no_iommu;
    uint16_t size;          /* of the queue; 0: 64 */
    uint64_t used;          /* see qiommu_queue_setup() */
    const char *machine;    /* more of the command line */
    const char *device;     /* more properties of the device */
} RigOptions;

/** Rig: a virtio-echo device and its driver */
typedef struct Rig {
    QOSState *qs;
    QTestState *qts;
    QIommu *iommu;
    QVirtioPCIDevice *pci;
    QVirtioDevice *vdev;
    QVirtQueue *vq;
    RigOptions opt;
    char *log, *stderr_log;
} Rig;

static void rig_negotiate(Rig *rig)
{
    uint64_t features = qvirtio_get_features(rig->vdev);

    features &= ~(QVIRTIO_F_BAD_FEATURE | 1ull << VIRTIO_RING_F_EVENT_IDX |
                  1ull << VIRTIO_F_NOTIFICATION_DATA);
    g_assert_true(features & 1ull << VIRTIO_F_ACCESS_PLATFORM);
    qvirtio_set_features(rig->vdev, features);
    rig->vq = qiommu_queue_setup(rig->pci, &rig->qs->alloc, 0,
                                 rig->opt.size ? rig->opt.size : 64,
                                 rig->opt.used);
    qvirtio_set_driver_ok(rig->vdev);
}

static char *temp_file(void)
{
    g_autoptr(GError) err = NULL;
    char *path;
    int fd = g_file_open_tmp("vadis-iova-XXXXXX", &path, &err);

    g_assert_no_error(err);
    close(fd);
    return path;
}

static void rig_boot(Rig *rig, const RigOptions *opt)
{
    QPCIAddress at = { .devfn = DEVFN };

    *rig = (Rig) { .opt = *opt, .log = temp_file(), .stderr_log = temp_file() };
    rig->qs = qtest_pc_boot("%s %s -D %s -device virtio-echo-pci,addr=04.0,"
                            "id=dev0,iommu_platform=on,disable-legacy=on,"
                            "packed=%s%s 2>%s",
                            opt->no_iommu ? "-machine q35" :
                                            qiommu_options(opt->kind),
                            opt->machine ? opt->machine : "", rig->log,
                            opt->packed ? "on" : "off",
                            opt->device ? opt->device : "", rig->stderr_log);
    rig->qts = rig->qs->qts;
    rig->pci = virtio_pci_new(rig->qs->pcibus, &at);
    g_assert_nonnull(rig->pci);
    rig->vdev = &rig->pci->vdev;
    qvirtio_pci_device_enable(rig->pci);
    if (!opt->no_iommu) {
        rig->iommu = qiommu_start(opt->kind, rig->qs, DEVFN);
        qiommu_map(rig->iommu, 0, 0, RAM, QIOMMU_RW);
    }
    qvirtio_start_device(rig->vdev);
}

static void rig_stop(Rig *rig)
{
    qvirtio_reset(rig->vdev);
    qvirtqueue_cleanup(rig->vdev->bus, rig->vq, &rig->qs->alloc);
    qvirtio_pci_device_disable(rig->pci);
    g_free(rig->pci->pdev);
    g_free(rig->pci);
    if (rig->iommu) {
        qiommu_free(rig->iommu);
    }
    qtest_shutdown(rig->qs);
    unlink(rig->log);
    unlink(rig->stderr_log);
    g_free(rig->log);
    g_free(rig->stderr_log);
}

static bool needs_reset(Rig *rig)
{
    return rig->vdev->bus->get_status(rig->vdev) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

static void expect_needs_reset(Rig *rig)
{
    gint64 start = g_get_monotonic_time();

    while (!needs_reset(rig)) {
        g_assert_cmpint(g_get_monotonic_time() - start, <, TIMEOUT_US);
    }
}

static uint32_t echo_submit(Rig *rig, uint64_t out, uint32_t out_len,
                            uint64_t in, uint32_t in_len)
{
    uint32_t token = qvirtqueue_add(rig->qts, rig->vq, out, out_len, false,
                                    true);

    qvirtqueue_add(rig->qts, rig->vq, in, in_len, true, false);
    qvirtqueue_kick(rig->qts, rig->vdev, rig->vq, token);
    return token;
}

/* Returns the used length, or UINT32_MAX if the device gave up */
static uint32_t echo_wait(Rig *rig)
{
    gint64 start = g_get_monotonic_time();
    uint32_t len;

    while (!qvirtqueue_get_buf(rig->qts, rig->vq, NULL, &len)) {
        g_assert_cmpint(g_get_monotonic_time() - start, <, TIMEOUT_US);
        if (needs_reset(rig)) {
            return UINT32_MAX;
        }
    }
    return len;
}

static uint32_t echo_one(Rig *rig, uint64_t out, uint32_t out_len,
                         uint64_t in, uint32_t in_len)
{
    uint32_t len;

    echo_submit(rig, out, out_len, in, in_len);
    len = echo_wait(rig);
    qvirtqueue_reset_pool(rig->vq);
    return len;
}

/* How often @text stands in the file at @path */
static unsigned count_in_file(const char *path, const char *text)
{
    g_autofree char *content = NULL;
    unsigned n = 0;

    g_assert_true(g_file_get_contents(path, &content, NULL, NULL));
    for (char *at = content; (at = strstr(at, text)); at++) {
        n++;
    }
    return n;
}

static void set_guards(Rig *rig, uint64_t iova, unsigned pages)
{
    for (unsigned i = 0; i < pages; i++) {
        qtest_memset(rig->qts, qiommu_pa(rig->iommu, iova + i * QIOMMU_PAGE) +
                     QIOMMU_PAGE, GUARD, QIOMMU_PAGE);
    }
}

static void check_guards(Rig *rig, uint64_t iova, unsigned pages)
{
    uint8_t guard[QIOMMU_PAGE];

    for (unsigned i = 0; i < pages; i++) {
        qtest_memread(rig->qts, qiommu_pa(rig->iommu, iova + i * QIOMMU_PAGE) +
                      QIOMMU_PAGE, guard, sizeof(guard));
        for (unsigned j = 0; j < sizeof(guard); j++) {
            g_assert_cmphex(guard[j], ==, GUARD);
        }
    }
}

static uint16_t used_idx(Rig *rig)
{
    uint16_t idx;

    qiommu_memread(rig->iommu, rig->opt.used + 2, &idx, sizeof(idx));
    return le16_to_cpu(idx);
}

/*
 * 2.7.8: elements of a used ring that starts a page straddle pages from size
 * 512 on, and a vIOMMU's pages are not neighbours.
 */
static void test_used_ring(const void *opaque)
{
    RigOptions opt = *(const RigOptions *)opaque;
    unsigned pages = 3;
    uint64_t out, in;
    Rig rig;

    opt.used = AREA;
    rig_boot(&rig, &opt);
    qiommu_map_scattered(rig.iommu, AREA, pages * QIOMMU_PAGE);
    set_guards(&rig, AREA, pages);
    rig_negotiate(&rig);
    out = guest_alloc(&rig.qs->alloc, 16);
    in = guest_alloc(&rig.qs->alloc, 16);

    for (unsigned i = 0; i < opt.size; i++) {
        gint64 start = g_get_monotonic_time();

        echo_submit(&rig, out, 1 + i % 13, in, 16);
        while (used_idx(&rig) != (uint16_t)(i + 1)) {
            g_assert_cmpint(g_get_monotonic_time() - start, <, TIMEOUT_US);
        }
        qvirtqueue_reset_pool(rig.vq);
    }
    for (unsigned i = 0; i < opt.size; i++) {
        struct vring_used_elem elem;

        qiommu_memread(rig.iommu, AREA + 4 + i * sizeof(elem), &elem,
                       sizeof(elem));
        g_assert_cmpuint(le32_to_cpu(elem.id), ==, 0);
        g_assert_cmpuint(le32_to_cpu(elem.len), ==, 1 + i % 13);
    }
    check_guards(&rig, AREA, pages);
    rig_stop(&rig);
}

/* An indirect table whose first descriptor straddles two foreign pages */
static void test_indirect(const void *opaque)
{
    const RigOptions *opt = opaque;
    uint64_t table = AREA + QIOMMU_PAGE - 4;
    QVRingIndirectDesc indirect = { .desc = table, .index = 2, .elem = 2 };
    struct vring_desc desc[2];
    /* The other half of an address, and a length */
    uint32_t decoy[] = { cpu_to_le32(1), cpu_to_le32(5) };
    uint32_t token;
    uint64_t out, in;
    Rig rig;

    rig_boot(&rig, opt);
    qiommu_map_scattered(rig.iommu, AREA, 2 * QIOMMU_PAGE);
    rig_negotiate(&rig);
    out = guest_alloc(&rig.qs->alloc, 64);
    in = guest_alloc(&rig.qs->alloc, 64);
    qtest_memset(rig.qts, out, 0x77, 64);
    qtest_memset(rig.qts, in, 0, 64);
    for (unsigned i = 0; i < 2; i++) {
        uint16_t flags = cpu_to_le16((i ? VRING_DESC_F_WRITE : 0) |
                                     (i || opt->packed ? 0 :
                                      VRING_DESC_F_NEXT));

        desc[i] = (struct vring_desc) {
            .addr = cpu_to_le64(i ? in : out),
            .len = cpu_to_le32(64),
        };
        /* A packed descriptor has the identifier first. */
        *(opt->packed ? &desc[i].next : &desc[i].flags) = flags;
        *(opt->packed ? &desc[i].flags : &desc[i].next) =
            cpu_to_le16(opt->packed ? 0 : 1);
    }
    qiommu_memwrite(rig.iommu, table, desc, sizeof(desc));
    qtest_memwrite(rig.qts, qiommu_pa(rig.iommu, AREA) + QIOMMU_PAGE, decoy,
                   sizeof(decoy));

    token = qvirtqueue_add_indirect(rig.qts, rig.vq, &indirect);
    qvirtqueue_kick(rig.qts, rig.vdev, rig.vq, token);
    g_assert_cmpuint(echo_wait(&rig), ==, 64);
    g_assert_cmphex(qtest_readb(rig.qts, in), ==, 0x77);
    rig_stop(&rig);
}

/* Data through scattered pages, and an IOVA that gets another page */
static void test_data(const void *opaque)
{
    const RigOptions *opt = opaque;
    uint64_t out = AREA + 1000, in = AREA + (1 << 20) + 77;
    uint8_t sent[20000], got[sizeof(sent)];
    Rig rig;

    rig_boot(&rig, opt);
    qiommu_map_scattered(rig.iommu, AREA, 8 * QIOMMU_PAGE);
    qiommu_map_scattered(rig.iommu, AREA + (1 << 20), 8 * QIOMMU_PAGE);
    set_guards(&rig, AREA + (1 << 20), 8);
    rig_negotiate(&rig);

    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < sizeof(sent); i++) {
            sent[i] = g_test_rand_int();
        }
        qiommu_memwrite(rig.iommu, out, sent, sizeof(sent));
        g_assert_cmpuint(echo_one(&rig, out, sizeof(sent), in, sizeof(got)),
                         ==, sizeof(sent));
        qiommu_memread(rig.iommu, in, got, sizeof(got));
        g_assert_cmpmem(sent, sizeof(sent), got, sizeof(got));
        check_guards(&rig, AREA + (1 << 20), 8);

        /* The second page of each area moves. */
        qiommu_unmap(rig.iommu, AREA + QIOMMU_PAGE, QIOMMU_PAGE);
        qiommu_map_scattered(rig.iommu, AREA + QIOMMU_PAGE, QIOMMU_PAGE);
        qiommu_unmap(rig.iommu, AREA + (1 << 20) + QIOMMU_PAGE, QIOMMU_PAGE);
        qiommu_map_scattered(rig.iommu, AREA + (1 << 20) + QIOMMU_PAGE,
                             QIOMMU_PAGE);
        set_guards(&rig, AREA + (1 << 20), 8);
    }
    rig_stop(&rig);
}

/* A ring page that is taken away: one message, NEEDS_RESET, a fault record */
static void test_ring_fault(const void *opaque)
{
    RigOptions opt = *(const RigOptions *)opaque;
    QIommuFault fault;
    uint64_t buf;
    Rig rig;

    opt.used = AREA;
    rig_boot(&rig, &opt);
    qiommu_map_scattered(rig.iommu, AREA, QIOMMU_PAGE);
    rig_negotiate(&rig);
    qiommu_unmap(rig.iommu, AREA, QIOMMU_PAGE);
    buf = guest_alloc(&rig.qs->alloc, 64);
    echo_submit(&rig, buf, 8, buf + 8, 8);
    expect_needs_reset(&rig);
    g_assert_true(qiommu_take_fault(rig.iommu, &fault));
    g_assert_cmphex(fault.iova & ~0xfffull, ==, AREA);
    /* The device is done with it: what it had to say has been said. */
    qvirtio_reset(rig.vdev);
    g_assert_cmpuint(count_in_file(rig.stderr_log, "not mapped for the device"),
                     ==, 1);
    g_assert_cmpuint(count_in_file(rig.stderr_log, "virtio-echo"), ==, 1);

    /* With its page back the device works again. */
    qvirtio_start_device(rig.vdev);
    qvirtqueue_cleanup(rig.vdev->bus, rig.vq, &rig.qs->alloc);
    rig.opt.used = 0;
    rig_negotiate(&rig);
    g_assert_cmpuint(echo_one(&rig, buf, 8, buf + 8, 8), ==, 8);
    rig_stop(&rig);
}

/* The byte before a mapping is not part of it. */
static void test_last_byte(const void *opaque)
{
    const RigOptions *opt = opaque;
    uint64_t page, in, iova = AREA + QIOMMU_PAGE;
    QIommuFault fault;
    Rig rig;

    rig_boot(&rig, opt);
    page = guest_alloc(&rig.qs->alloc, 2 * QIOMMU_PAGE);
    qtest_memset(rig.qts, page, 0x5a, 2 * QIOMMU_PAGE);
    qiommu_map(rig.iommu, iova, page + QIOMMU_PAGE, QIOMMU_PAGE, QIOMMU_RW);
    rig_negotiate(&rig);
    in = guest_alloc(&rig.qs->alloc, 1);
    qtest_writeb(rig.qts, in, 0);
    echo_one(&rig, iova - 1, 1, in, 1);
    g_assert_cmphex(qtest_readb(rig.qts, in), !=, 0x5a);
    g_assert_true(qiommu_take_fault(rig.iommu, &fault));
    g_assert_cmphex(fault.iova & ~0xfffull, ==, AREA);
    g_assert_true(fault.read);
    g_assert_false(fault.write);
    rig_stop(&rig);
}

/* A write to a read-only page is a fault, also after the page was read. */
static void test_rights(const void *opaque)
{
    const RigOptions *opt = opaque;
    uint64_t page, buf;
    QIommuFault fault;
    Rig rig;

    rig_boot(&rig, opt);
    page = guest_alloc(&rig.qs->alloc, QIOMMU_PAGE);
    qtest_memset(rig.qts, page, 0x33, QIOMMU_PAGE);
    qiommu_map(rig.iommu, AREA, page, QIOMMU_PAGE, QIOMMU_READ);
    rig_negotiate(&rig);
    buf = guest_alloc(&rig.qs->alloc, 64);
    qtest_memset(rig.qts, buf, 0x44, 64);

    g_assert_cmpuint(echo_one(&rig, AREA, 32, buf + 32, 32), ==, 32);
    g_assert_cmphex(qtest_readb(rig.qts, buf + 32), ==, 0x33);
    g_assert_false(qiommu_take_fault(rig.iommu, &fault));

    echo_one(&rig, buf, 32, AREA, 32);
    for (unsigned i = 0; i < 32; i++) {
        g_assert_cmphex(qtest_readb(rig.qts, page + i), ==, 0x33);
    }
    g_assert_true(qiommu_take_fault(rig.iommu, &fault));
    g_assert_cmphex(fault.iova & ~0xfffull, ==, AREA);
    g_assert_true(fault.write);
    rig_stop(&rig);
}

/* Bounce buffers of a chain that is given up half-way are given back. */
static void test_bounce(const void *opaque)
{
    const RigOptions *opt = opaque;
    uint32_t token;
    uint64_t in;
    Rig rig;

    rig_boot(&rig, opt);
    rig_negotiate(&rig);
    in = guest_alloc(&rig.qs->alloc, 1);
    token = qvirtqueue_add(rig.qts, rig.vq, HOLE, QIOMMU_PAGE, false, true);
    qvirtqueue_add(rig.qts, rig.vq, in, 0, true, false);
    qvirtqueue_kick(rig.qts, rig.vdev, rig.vq, token);
    expect_needs_reset(&rig);

    qvirtio_start_device(rig.vdev);
    qvirtqueue_cleanup(rig.vdev->bus, rig.vq, &rig.qs->alloc);
    rig_negotiate(&rig);
    g_assert_cmpuint(echo_one(&rig, HOLE, QIOMMU_PAGE, in, 1), ==, 1);
    rig_stop(&rig);
}

/* 64 KiB in one mapping are one translation. */
static void test_one_translation(const void *opaque)
{
    RigOptions opt = *(const RigOptions *)opaque;
    unsigned length = 64 << 10, seen = 0;
    g_autofree char *content = NULL;
    uint64_t page, in;
    char **lines;
    Rig rig;

    opt.machine = "-trace virtio_iommu_translate";
    rig_boot(&rig, &opt);
    page = ROUND_UP(guest_alloc(&rig.qs->alloc, 2 * length), length);
    qiommu_map(rig.iommu, AREA, page, length, QIOMMU_RW);
    rig_negotiate(&rig);
    in = guest_alloc(&rig.qs->alloc, 1);
    g_assert_cmpuint(echo_one(&rig, AREA, length, in, 1), ==, 1);

    g_assert_true(g_file_get_contents(rig.log, &content, NULL, NULL));
    lines = g_strsplit(content, "\n", -1);
    for (unsigned i = 0; lines[i]; i++) {
        char *at = strstr(lines[i], "addr=0x");

        if (at) {
            uint64_t addr = g_ascii_strtoull(at + strlen("addr="), NULL, 16);

            seen += addr >= AREA && addr < AREA + length;
        }
    }
    g_strfreev(lines);
    g_assert_cmpuint(seen, ==, 1);
    rig_stop(&rig);
}

static const char *const kind_name[] = { "vtd", "virtio" };

static void add(const char *name, GTestDataFunc fn, QIommuKind kind,
                bool packed, unsigned size)
{
    g_autofree char *path = g_strdup_printf("virtio-iova/%s/%s/%s%s%.0d", name,
                                            kind_name[kind],
                                            packed ? "packed" : "split",
                                            size ? "/" : "", size);
    RigOptions *opt = g_new0(RigOptions, 1);

    *opt = (RigOptions) { .kind = kind, .packed = packed, .size = size };
    qtest_add_data_func_full(path, opt, fn, g_free);
}

int main(int argc, char **argv)
{
    static const RigOptions no_iommu = { .no_iommu = true };

    g_test_init(&argc, &argv, NULL);
    for (QIommuKind kind = QIOMMU_VTD; kind <= QIOMMU_VIRTIO; kind++) {
        add("used-ring", test_used_ring, kind, false, 512);
        add("used-ring", test_used_ring, kind, false, 1024);
        for (unsigned packed = 0; packed < 2; packed++) {
            add("indirect", test_indirect, kind, packed, 0);
            add("data", test_data, kind, packed, 0);
            add("ring-fault", test_ring_fault, kind, packed, 0);
            add("rights", test_rights, kind, packed, 0);
        }
        add("last-byte", test_last_byte, kind, false, 0);
    }
    add("one-translation", test_one_translation, QIOMMU_VIRTIO, false, 0);
    qtest_add_data_func("virtio-iova/bounce", &no_iommu, test_bounce);
    return g_test_run();
}
