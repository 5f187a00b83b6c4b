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

#include "virtio-iova-rig.c.inc"

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

/*
 * 6.1: a driver that does not accept ACCESS_PLATFORM does not get on, and who
 * runs the machine learns which device it is and what to do.
 */
static void test_platform(const void *opaque)
{
    const RigOptions *opt = opaque;
    uint64_t features;
    Rig rig;

    rig_boot(&rig, opt);
    features = qvirtio_get_features(rig.vdev) & ~QVIRTIO_F_BAD_FEATURE;
    rig.vdev->bus->set_features(rig.vdev, features &
                                ~(1ull << VIRTIO_F_ACCESS_PLATFORM));
    rig.vdev->bus->set_status(rig.vdev, VIRTIO_CONFIG_S_ACKNOWLEDGE |
                              VIRTIO_CONFIG_S_DRIVER |
                              VIRTIO_CONFIG_S_FEATURES_OK);
    g_assert_false(rig.vdev->bus->get_status(rig.vdev) &
                   VIRTIO_CONFIG_S_FEATURES_OK);
    g_assert_cmpuint(count_in_file(rig.stderr_log, "dev0: virtio-echo: the "
                                   "guest's driver does not accept "
                                   "VIRTIO_F_ACCESS_PLATFORM"), ==, 1);
    g_assert_cmpuint(count_in_file(rig.stderr_log, "iommu_platform=off"), ==,
                     1);

    qvirtio_start_device(rig.vdev);
    rig_negotiate(&rig);
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

/* With the IOTLB, and without */
static void add(const char *name, GTestDataFunc fn, QIommuKind kind,
                bool packed, unsigned size)
{
    for (unsigned off = 0; off < 2; off++) {
        g_autofree char *path = g_strdup_printf(
            "virtio-iova/%s/%s/%s%s%.0d%s", name, kind_name[kind],
            packed ? "packed" : "split", size ? "/" : "", size,
            off ? "/no-iotlb" : "");
        RigOptions *opt = g_new0(RigOptions, 1);

        *opt = (RigOptions) {
            .kind = kind, .packed = packed, .size = size,
            .device = off ? ",x-iotlb=off" : NULL,
        };
        qtest_add_data_func_full(path, opt, fn, g_free);
    }
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
        add("platform", test_platform, kind, false, 0);
    }
    add("one-translation", test_one_translation, QIOMMU_VIRTIO, false, 0);
    qtest_add_data_func("virtio-iova/bounce", &no_iommu, test_bounce);
    return g_test_run();
}
