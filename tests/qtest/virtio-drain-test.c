/*
 * An unmap ends after the requests that use the memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A disk's read is held, by a breakpoint of blkdebug or by a throttle, whose
 * clock is the test's own, and its buffer is unmapped. Nothing waits for time
 * to pass: that the IOMMU keeps its answer back can be read from it.
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "libqtest.h"
#include "libqos/libqos-pc.h"
#include "libqos/qiommu.h"
#include "libqos/virtio-packed.h"
#include "libqos/virtio-packed-disk.h"
#include "hw/i386/intel_iommu_internal.h"
#include "qobject/qdict.h"
#include "standard-headers/linux/virtio_blk.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_iommu.h"
#include "standard-headers/linux/virtio_ring.h"

#include "virtio-drain-rig.c.inc"

static void read_area(Rig *rig)
{
    qtest_memset(rig->qts, rig->page, NEW, QIOMMU_PAGE);
    submit_read(rig, rig->req, AREA);
    if (rig->opt.throttle) {
        release_read(rig);
    }
}

static uint64_t needs_reset(Rig *rig)
{
    return !!(rig->vdev->bus->get_status(rig->vdev) &
              VIRTIO_CONFIG_S_NEEDS_RESET);
}

/*
 * The disk serves reads, and what was unmapped is out of reach: upstream's code
 * bounces what the IOMMU refuses, the engine refuses it, too.
 */
static void expect_working(Rig *rig)
{
    uint64_t drains = of_iommu(rig, "x-iommu-drains");

    if (rig->opt.stock) {
        read_area(rig);
        wait_used(rig);
        expect_page(rig, NEW);
    }
    qiommu_map(rig->iommu, AREA, rig->page, QIOMMU_PAGE, QIOMMU_RW);
    read_area(rig);
    wait_used(rig);
    g_assert_cmphex(read_status(rig), ==, VIRTIO_BLK_S_OK);
    expect_page(rig, DISK);
    qiommu_unmap(rig->iommu, AREA, QIOMMU_PAGE);
    g_assert_cmpuint(of_iommu(rig, "x-iommu-drains"), ==, drains);
    if (!rig->opt.stock) {
        read_area(rig);
        expect(rig, needs_reset, 1);
        expect_page(rig, NEW);
    }
}

static void test_wait(const void *opaque)
{
    const RigOptions *opt = opaque;
    Rig rig;

    rig_boot(&rig, opt);
    hold_read(&rig);
    qiommu_unmap_start(rig.iommu, AREA);
    expect_kept_back(&rig);

    release_read(&rig);
    wait_answered(&rig);
    expect_page(&rig, DISK);
    expect_page_free(&rig);

    g_assert_cmpuint(parked(&rig), ==, 0);
    g_assert_cmpuint(of_iommu(&rig, "x-iommu-drains"), ==, 1);
    g_assert_cmpuint(of_iommu(&rig, "x-iommu-drain-ns"), >, 0);
    g_assert_cmpuint(qom_get(&rig, DISK_PATH, "x-iommu-held"), ==, 1);
    expect_working(&rig);
    rig_stop(&rig);
}

/* What x-iommu-drain=off, upstream's way, does to the page's next user */
static void test_off(const void *opaque)
{
    const RigOptions *opt = opaque;
    Rig rig;

    rig_boot(&rig, opt);
    hold_read(&rig);
    qiommu_unmap_start(rig.iommu, AREA);
    wait_answered(&rig);
    g_assert_cmpuint(of_iommu(&rig, "x-iommu-drains"), ==, 0);
    qtest_memset(rig.qts, rig.page, NEW, QIOMMU_PAGE);
    expect_page(&rig, NEW);
    release_read(&rig);
    wait_used(&rig);
    expect_page(&rig, DISK);
    rig_stop(&rig);
}

/* The answer comes, and nothing is written to the page afterwards. */
static void expect_answer(Rig *rig)
{
    wait_answered(rig);
    expect_page(rig, DISK);
    g_assert_cmpuint(parked(rig), ==, 0);
    g_assert_cmpuint(of_iommu(rig, "x-iommu-drains"), ==, 1);
}

/* End without asking anything of the machine */
static void rig_drop(Rig *rig)
{
    g_free(rig->pci->pdev);
    g_free(rig->pci);
    qtest_shutdown(rig->qs);
    unlink(rig->image);
    g_free(rig->image);
}

static void start_unmap(Rig *rig, const RigOptions *opt)
{
    rig_boot(rig, opt);
    hold_read(rig);
    qiommu_unmap_start(rig->iommu, AREA);
    expect_kept_back(rig);
}

/* A reset of the device ends its requests: blk drains them. */
static void test_device_reset(const void *opaque)
{
    Rig rig;

    start_unmap(&rig, opaque);
    qvirtio_reset(rig.vdev);
    expect_answer(&rig);
    g_assert_cmpuint(in_flight(&rig), ==, 0);
    rig_stop(&rig);
}

/* A reset of the queue does not end them. */
static void test_queue_reset(const void *opaque)
{
    Rig rig;

    start_unmap(&rig, opaque);
    packed_pci_queue_reset(rig.pci, rig.vq);
    expect_kept_back(&rig);
    release_read(&rig);
    expect_answer(&rig);
    rig_drop(&rig);
}

static void test_system_reset(const void *opaque)
{
    Rig rig;

    start_unmap(&rig, opaque);
    qtest_system_reset(rig.qts);
    g_assert_cmpuint(parked(&rig), ==, 0);
    g_assert_cmpuint(in_flight(&rig), ==, 0);
    rig_drop(&rig);
}

static void test_stop(const void *opaque)
{
    Rig rig;

    start_unmap(&rig, opaque);
    qtest_qmp_assert_success(rig.qts, "{ 'execute': 'stop' }");
    /* It has waited for the disk. */
    g_assert_cmpuint(in_flight(&rig), ==, 0);
    g_assert_cmpuint(parked(&rig), ==, 1);
    g_assert_false(qiommu_answered(rig.iommu));
    expect_page(&rig, DISK);
    qtest_qmp_assert_success(rig.qts, "{ 'execute': 'cont' }");
    expect_answer(&rig);
    expect_page_free(&rig);
    rig_stop(&rig);
}

/* No event: it may have come before the monitor was asked for events. */
static uint64_t running(Rig *rig)
{
    QDict *rsp = qtest_qmp_assert_success_ref(rig->qts, "{ 'execute': "
                                              "'query-status' }");
    bool value = qdict_get_bool(rsp, "running");

    qobject_unref(rsp);
    return value;
}

static void wait_migrated(Rig *rig)
{
    gint64 start = g_get_monotonic_time();
    bool completed = false;

    while (!completed) {
        QDict *rsp = qtest_qmp_assert_success_ref(rig->qts,
                                                  "{ 'execute': "
                                                  "'query-migrate' }");
        const char *status = qdict_get_try_str(rsp, "status");

        g_assert_cmpstr(status, !=, "failed");
        completed = !g_strcmp0(status, "completed");
        qobject_unref(rsp);
        g_assert_cmpint(g_get_monotonic_time() - start, <, TIMEOUT_US);
    }
}

/* The destination answers. */
static void test_migrate(const void *opaque)
{
    RigOptions opt = *(const RigOptions *)opaque;
    g_autofree char *state = NULL, *incoming = NULL, *line = NULL;
    Rig rig, to = { 0 };

    start_unmap(&rig, &opt);
    state = g_strdup_printf("%s.state", rig.image);
    incoming = g_strdup_printf("-incoming file:%s", state);
    qtest_qmp_assert_success(rig.qts, "{ 'execute': 'migrate-set-capabilities',"
                             " 'arguments': { 'capabilities': ["
                             "{ 'capability': 'events', 'state': true } ] } }");
    line = g_strdup_printf("file:%s", state);
    qtest_qmp_assert_success(rig.qts, "{ 'execute': 'migrate', 'arguments': "
                             "{ 'uri': %s } }", line);
    qtest_qmp_eventwait(rig.qts, "STOP");
    wait_migrated(&rig);
    expect_page(&rig, DISK);
    g_assert_false(qiommu_answered(rig.iommu));
    qtest_quit(rig.qts);

    opt.incoming = incoming;
    g_free(line);
    line = rig_command_line(&opt, rig.image);
    to.qts = qtest_initf("%s", line);
    to.opt = opt;
    to.iommu = rig.iommu;
    to.page = rig.page;
    expect(&to, running, 1);
    qiommu_moved(to.iommu, to.qts);
    wait_answered(&to);
    expect_page(&to, DISK);
    g_assert_cmpuint(parked(&to), ==, 0);
    g_assert_cmpuint(in_flight(&to), ==, 0);
    qtest_quit(to.qts);

    g_free(rig.pci->pdev);
    g_free(rig.pci);
    unlink(state);
    unlink(rig.image);
    g_free(rig.image);
}

/* A page that nobody uses, while another is waited for elsewhere: at once */
static void test_unrelated(const void *opaque)
{
    Rig rig;

    rig_boot(&rig, opaque);
    hold_read(&rig);
    qiommu_map(rig.iommu, AREA + QIOMMU_PAGE, rig.page, QIOMMU_PAGE,
               QIOMMU_RW);
    qiommu_unmap(rig.iommu, AREA + QIOMMU_PAGE, QIOMMU_PAGE);
    if (rig.opt.ask != ASK_VIRTIO) {
        /* All was invalidated, and nothing unmapped. */
        qiommu_flush_start(rig.iommu);
        wait_answered(&rig);
    }
    g_assert_cmpuint(in_flight(&rig), ==, 1);
    g_assert_cmpuint(of_iommu(&rig, "x-iommu-drains"), ==, 0);
    release_read(&rig);
    wait_used(&rig);
    expect_page(&rig, DISK);
    rig_stop(&rig);
}

static void test_detach(const void *opaque)
{
    struct virtio_iommu_req_detach req = {
        .head.type = VIRTIO_IOMMU_T_DETACH,
        .domain = cpu_to_le32(DOMAIN),
        .endpoint = cpu_to_le32(DEVFN),
    };
    Rig rig;

    rig_boot(&rig, opaque);
    hold_read(&rig);
    qiommu_request_start(rig.iommu, &req, offsetof(typeof(req), tail));
    expect_kept_back(&rig);
    release_read(&rig);
    expect_answer(&rig);
    /* Not attached it is bypassed, with its rings where they were. */
    expect_page_free(&rig);
    rig_stop(&rig);
}

static void test_attach_other(const void *opaque)
{
    struct virtio_iommu_req_attach req = {
        .head.type = VIRTIO_IOMMU_T_ATTACH,
        .domain = cpu_to_le32(DOMAIN + 1),
        .endpoint = cpu_to_le32(DEVFN),
    };
    Rig rig;

    rig_boot(&rig, opaque);
    hold_read(&rig);
    /* To where it is it is not detached, so nothing has to wait. */
    req.domain = cpu_to_le32(DOMAIN);
    qiommu_request_start(rig.iommu, &req, offsetof(typeof(req), tail));
    wait_answered(&rig);
    g_assert_cmpuint(of_iommu(&rig, "x-iommu-drains"), ==, 0);
    req.domain = cpu_to_le32(DOMAIN + 1);
    qiommu_request_start(rig.iommu, &req, offsetof(typeof(req), tail));
    expect_kept_back(&rig);
    release_read(&rig);
    expect_answer(&rig);
    rig_stop(&rig);
}

static uint32_t vtd_global_status(Rig *rig)
{
    return qtest_readl(rig->qts, Q35_HOST_BRIDGE_IOMMU_ADDR + DMAR_GSTS_REG);
}

/* Translation is off when nothing translated is in flight any more. */
static void test_disable(const void *opaque)
{
    uint64_t command = Q35_HOST_BRIDGE_IOMMU_ADDR + DMAR_GCMD_REG;
    uint32_t status;
    Rig rig;

    rig_boot(&rig, opaque);
    hold_read(&rig);
    status = vtd_global_status(&rig);
    g_assert_cmphex(status & VTD_GSTS_TES, ==, VTD_GSTS_TES);
    qtest_writel(rig.qts, command, status & ~VTD_GCMD_TE);
    g_assert_cmpuint(parked(&rig), ==, 1);
    g_assert_cmphex(vtd_global_status(&rig), ==, status);
    /* Too early: nothing may come of it. */
    qtest_writel(rig.qts, command, status);
    g_assert_cmpuint(parked(&rig), ==, 1);
    expect_page(&rig, OLD);

    release_read(&rig);
    expect(&rig, parked, 0);
    g_assert_cmphex(vtd_global_status(&rig), ==, status & ~VTD_GSTS_TES);
    expect_page(&rig, DISK);
    expect_page_free(&rig);
    rig_stop(&rig);
}

static uint64_t vtd_reg(unsigned offset)
{
    return Q35_HOST_BRIDGE_IOMMU_ADDR + offset;
}

static void expect_alive(Rig *rig)
{
    qtest_qmp_assert_success(rig->qts, "{ 'execute': 'query-status' }");
}

/*
 * What a guest's kernel can do to a queue that is parked: have the IOMMU write
 * to its own registers when it goes on, turn the queue off, move its tail out
 * of it.
 */
static void test_hostile_queue(const void *opaque)
{
    const uint64_t next = 2 * 16;       /* behind what qiommu has queued */
    uint64_t queue;
    Rig rig;

    rig_boot(&rig, opaque);
    hold_read(&rig);
    qiommu_unmap_start(rig.iommu, AREA);
    expect(&rig, parked, 1);
    queue = qtest_readq(rig.qts, vtd_reg(DMAR_IQA_REG));
    for (unsigned i = 0; i < 8; i++) {
        static const unsigned target[] = {
            DMAR_IQT_REG, DMAR_GCMD_REG, DMAR_IQA_REG, DMAR_FECTL_REG,
        };
        uint64_t data = i & 1 ? 0xffffffff : 0x40;

        qtest_writeq(rig.qts, queue + next + i * 16, VTD_INV_DESC_WAIT |
                     VTD_INV_DESC_WAIT_SW | data << 32);
        qtest_writeq(rig.qts, queue + next + i * 16 + 8,
                     vtd_reg(target[i / 2]));
    }
    qtest_writeq(rig.qts, vtd_reg(DMAR_IQT_REG), next + 8 * 16);
    qtest_writel(rig.qts, vtd_reg(DMAR_GCMD_REG), VTD_GCMD_TE);
    g_assert_true(vtd_global_status(&rig) & VTD_GSTS_QIES);
    g_assert_cmpuint(parked(&rig), ==, 1);
    expect_page(&rig, OLD);
    release_read(&rig);
    expect(&rig, parked, 0);
    expect_page(&rig, DISK);
    expect_alive(&rig);

    /* Again, and now the tail leaves the queue while it is parked. */
    qtest_writel(rig.qts, vtd_reg(DMAR_FSTS_REG), VTD_FSTS_IQE);
    qiommu_map(rig.iommu, AREA, rig.page, QIOMMU_PAGE, QIOMMU_RW);
    wait_used(&rig);
    qtest_writeq(rig.qts, vtd_reg(DMAR_IQT_REG), 0x7fff0);
    expect_alive(&rig);
    rig_drop(&rig);
}

/* The driver gives virtio-iommu up, or its queue, while an answer is kept. */
static void test_iommu_reset(const void *opaque)
{
    QVirtioPCIDevice *iommu;
    Rig rig;

    for (unsigned by_queue = 0; by_queue < 2; by_queue++) {
        start_unmap(&rig, opaque);
        iommu = qiommu_device(rig.iommu);
        if (by_queue) {
            QVirtQueue request_queue = { .index = 0 };

            packed_pci_queue_reset(iommu, &request_queue);
        } else {
            qvirtio_reset(&iommu->vdev);
        }
        g_assert_cmpuint(parked(&rig), ==, 0);
        release_read(&rig);
        expect(&rig, in_flight, 0);
        expect_page(&rig, DISK);
        g_assert_cmpuint(parked(&rig), ==, 0);
        rig_drop(&rig);
    }
}

static const char *const ask_name[] = { "vtd", "vtd-register", "virtio" };

static void add(const char *name, GTestDataFunc fn, RigOptions opt)
{
    g_autofree char *path =
        g_strdup_printf("virtio-drain/%s/%s/%s%s%s%s%s", name,
                        ask_name[opt.ask],
                        opt.packed ? "packed" : "split",
                        opt.stock ? "-stock" : "",
                        opt.throttle ? "-throttle" : "",
                        opt.iothread ? "-iothread" : "",
                        opt.warm ? "-warm" : "");

    qtest_add_data_func_full(path, g_memdup2(&opt, sizeof(opt)), fn, g_free);
}

static void add_once(Ask ask)
{
    RigOptions opt = { .ask = ask, .packed = ask != ASK_REGISTER };

    add("unrelated", test_unrelated, opt);
    add("queue-reset", test_queue_reset, opt);
    opt.warm = true;
    add("unrelated", test_unrelated, opt);
    add("queue-reset", test_queue_reset, opt);
    add("wait", test_wait, opt);
    opt.warm = false;
    if (ask == ASK_VIRTIO) {
        add("detach", test_detach, opt);
        add("attach", test_attach_other, opt);
        add("iommu-reset", test_iommu_reset, opt);
    } else {
        add("disable", test_disable, opt);
    }
    if (ask == ASK_QUEUE) {
        add("hostile-queue", test_hostile_queue, opt);
    }
    opt.throttle = true;
    add("system-reset", test_system_reset, opt);
    add("stop", test_stop, opt);
    add("migrate", test_migrate, opt);
    add("device-reset", test_device_reset, opt);
    opt.iothread = true;
    add("device-reset", test_device_reset, opt);
    opt.warm = true;
    add("device-reset", test_device_reset, opt);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (Ask ask = ASK_QUEUE; ask <= ASK_VIRTIO; ask++) {
        for (unsigned packed = 0; packed < 2; packed++) {
            RigOptions opt = { .ask = ask, .packed = packed };

            if (ask == ASK_REGISTER && packed) {
                continue; /* how it is asked does not know of rings */
            }
            add("wait", test_wait, opt);
            opt.stock = true;
            add("wait", test_wait, opt);
            opt.stock = false;
            opt.off = true;
            add("off", test_off, opt);
            opt.off = false;
            opt.throttle = opt.iothread = true;
            add("wait", test_wait, opt);
            opt.warm = true;
            add("wait", test_wait, opt);
        }
        add_once(ask);
    }
    return g_test_run();
}
