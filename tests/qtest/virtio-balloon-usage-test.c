/*
 * Tests of the balloon's page usage hints, one for each rule
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The rules are those of docs/specs/virtio-balloon-usage.rst. qos-packed-test
 * runs the same tests over a packed ring.
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "qemu/host-utils.h"
#include "qemu/module.h"
#include "qemu/units.h"
#include "standard-headers/linux/virtio_balloon.h"
#include "standard-headers/linux/virtio_config.h"
#include "virtio-balloon-util.h"

#define PAGE VIRTIO_BALLOON_USAGE_PAGE
#define LARGE (2 * MiB)
#define LARGE_PAGES (LARGE / PAGE)
#define STABLE VIRTIO_BALLOON_USAGE_STABLE
#define FREE VIRTIO_BALLOON_USAGE_FREE
#define COLD VIRTIO_BALLOON_USAGE_COLD
#define HOT VIRTIO_BALLOON_USAGE_HOT
#define HELD VIRTIO_BALLOON_USAGE_HELD
#define LAST VIRTIO_BALLOON_USAGE_LAST
#define BUSY VIRTIO_BALLOON_USAGE_R_BUSY

/* End of the RAM in these tests, and a place where nothing is allocated */
#define TOP_OF_RAM (128 * MiB)
#define SPOT (64 * MiB)

static void test_config(void *obj, void *data, QGuestAllocator *alloc)
{
    BalloonTest t;

    balloon_start(&t, obj, alloc, 0);
    g_assert_true(balloon_has(&t, VIRTIO_BALLOON_F_PAGE_USAGE));
    g_assert_cmphex(usage_config(&t, states), ==,
                    1 << STABLE | 1 << FREE | 1 << COLD);
    g_assert_cmpuint(usage_config(&t, cmd_id), ==,
                     VIRTIO_BALLOON_USAGE_CMD_STOP);
    g_assert_cmpuint(usage_config(&t, granule), ==, PAGE);
    g_assert_cmpuint(usage_config(&t, max_ranges), ==, 100);
    g_assert_cmpuint(usage_config(&t, interval_ms), ==, 0);
    g_assert_cmpuint(usage_config(&t, reserved), ==, 0);
    g_assert_cmphex(qvirtio_config_readl(t.dev, VIRTIO_BALLOON_USAGE_CONFIG +
                    sizeof(struct virtio_balloon_usage_config)), ==, -1u);
    balloon_end(&t);
}

/* Without the feature: no queue, and the configuration upstream has */
static void test_off(void *obj, void *data, QGuestAllocator *alloc)
{
    BalloonTest t;

    balloon_start(&t, obj, alloc, 0);
    g_assert_false(balloon_has(&t, VIRTIO_BALLOON_F_PAGE_USAGE));
    g_assert_cmpuint(qvirtio_config_readl(t.dev,
        offsetof(struct virtio_balloon_config, actual)), ==, 0);
    g_assert_cmphex(qvirtio_config_readl(t.dev, GPOINTER_TO_UINT(data)), ==,
                    -1u);
    t.dev->bus->queue_select(t.dev, t.num_queues);
    g_assert_cmpuint(t.dev->bus->get_queue_size(t.dev), ==, 0);
    balloon_end(&t);
}

/* A driver that does not accept the feature has the balloon it knows. */
static void test_refused(void *obj, void *data, QGuestAllocator *alloc)
{
    BalloonTest t;

    balloon_start(&t, obj, alloc, 1ull << VIRTIO_BALLOON_F_PAGE_USAGE);
    balloon_fill(&t, SPOT, 4, 1);
    balloon_pfns(&t, BALLOON_INFLATE, SPOT, 2);
    balloon_zero(&t, SPOT, 2);
    balloon_intact(&t, SPOT, 0, 1);
    balloon_pfns(&t, BALLOON_DEFLATE, SPOT, 2);
    balloon_end(&t);
}

/* FREE pages are gone, their neighbours are not. */
static void test_free(void *obj, void *data, QGuestAllocator *alloc)
{
    UsageReply reply;
    BalloonTest t;

    balloon_start(&t, obj, alloc, 0);
    balloon_fill(&t, SPOT - PAGE, 1, 1);
    balloon_fill(&t, SPOT, 300, 2);
    balloon_fill(&t, SPOT + 300 * PAGE, 1, 3);
    reply = usage_one(&t, SPOT, 300, FREE);
    g_assert_cmpuint(reply.status, ==, VIRTIO_BALLOON_USAGE_OK);
    g_assert_cmpuint(reply.accepted, ==, 1);
    g_assert_cmpuint(reply.rejected, ==, VIRTIO_BALLOON_USAGE_NONE);
    g_assert_cmpuint(reply.acted, ==, 300);
    balloon_zero(&t, SPOT, 300);
    balloon_intact(&t, SPOT - PAGE, 1, 1);
    balloon_intact(&t, SPOT + 300 * PAGE, 1, 3);
    /* The whole run went in one call. */
    g_assert_cmpuint(usage_stat(&t, "free", "calls"), ==, 1);
    g_assert_cmpuint(usage_stat(&t, "free", "acted"), ==, 300 * PAGE);
    g_assert_cmpuint(usage_stat(&t, NULL, "requests"), ==, 1);
    balloon_end(&t);
}

/* COLD and HOT lose nothing, whatever the policy does about them. */
static void test_harmless(void *obj, void *data, QGuestAllocator *alloc)
{
    const uint8_t states[] = { COLD, HOT, STABLE };
    BalloonTest t;

    balloon_start(&t, obj, alloc, 0);
    balloon_fill(&t, SPOT, 1024, 5);
    for (unsigned i = 0; i < ARRAY_SIZE(states); i++) {
        bool acts = usage_config(&t, states) & 1u << states[i];
        UsageReply reply = usage_one(&t, SPOT, 1024, states[i]);

        g_assert_cmpuint(reply.accepted, ==, 1);
        g_assert_cmpuint(reply.acted, ==, acts && states[i] ? 1024 : 0);
    }
    balloon_intact(&t, SPOT, 1024, 5);
    balloon_end(&t);
}

/* Policies that are off: the hint is taken, the host does nothing. */
static void test_policy_off(void *obj, void *data, QGuestAllocator *alloc)
{
    const uint8_t states[] = { FREE, COLD, HOT };
    BalloonTest t;

    balloon_start(&t, obj, alloc, 0);
    g_assert_cmphex(usage_config(&t, states), ==, 1 << STABLE);
    balloon_fill(&t, SPOT, 8, 5);
    for (unsigned i = 0; i < ARRAY_SIZE(states); i++) {
        UsageReply reply = usage_one(&t, SPOT, 8, states[i]);

        g_assert_cmpuint(reply.accepted, ==, 1);
        g_assert_cmpuint(reply.acted, ==, 0);
    }
    balloon_intact(&t, SPOT, 8, 5);
    g_assert_cmpuint(usage_stat(&t, "free", "bytes"), ==, 8 * PAGE);
    g_assert_cmpuint(usage_stat(&t, "free", "calls"), ==, 0);
    balloon_end(&t);
}

/*
 * Rule 1: a request is copied before it is looked at. Its own pages are the
 * first to go here; what it says about others counts nevertheless.
 */
static void test_copied_once(void *obj, void *data, QGuestAllocator *alloc)
{
    UsageHeader hdr = { .flags = HELD, .count = cpu_to_le16(2) };
    uint64_t at = SPOT, in = SPOT + 4 * PAGE;
    UsageRange ranges[2] = {
        usage_range(cpu_to_le64(SPOT), cpu_to_le32(1), FREE),
        usage_range(cpu_to_le64(SPOT + 2 * PAGE), cpu_to_le32(1), FREE),
    };
    uint32_t token, got, len;
    UsageReply reply;
    BalloonTest t;

    balloon_start(&t, obj, alloc, 0);
    balloon_fill(&t, SPOT, 8, 9);
    qtest_memwrite(t.qts, at, &hdr, sizeof(hdr));
    qtest_memwrite(t.qts, at + sizeof(hdr), ranges, sizeof(ranges));
    token = qvirtqueue_add(t.qts, t.vq[t.usage], at,
                           sizeof(hdr) + sizeof(ranges), false, true);
    qvirtqueue_add(t.qts, t.vq[t.usage], in, sizeof(reply), true, false);
    qvirtqueue_kick(t.qts, t.dev, t.vq[t.usage], token);
    qvirtio_wait_used_elem(t.qts, t.dev, t.vq[t.usage], token, &len,
                           BALLOON_TIMEOUT_US);
    g_assert_false(qvirtqueue_get_buf(t.qts, t.vq[t.usage], &got, &len));
    qtest_memread(t.qts, in, &reply, sizeof(reply));
    g_assert_cmpuint(le32_to_cpu(reply.accepted), ==, 2);
    g_assert_cmpuint(le32_to_cpu(reply.acted), ==, 2);
    balloon_zero(&t, SPOT, 1);
    balloon_zero(&t, SPOT + 2 * PAGE, 1);
    balloon_end(&t);
}

/* Rule 2: only ordinary RAM, said in well-formed ranges */
static void test_ranges(void *obj, void *data, QGuestAllocator *alloc)
{
    const uint8_t range = VIRTIO_BALLOON_USAGE_R_RANGE;
    const uint8_t not_ram = VIRTIO_BALLOON_USAGE_R_NOT_RAM;
    const struct {
        uint64_t gpa;
        uint32_t pages;
        uint8_t reason;
    } cases[] = {
        { SPOT + 1, 1, range },
        { SPOT + PAGE / 2, 1, range },
        { SPOT, 0, range },
        { -(uint64_t)PAGE, 2, range },
        { -(uint64_t)PAGE, 1, range },
        { -2ull * PAGE, 1, not_ram },
        { TOP_OF_RAM, 1, not_ram },                     /* a hole */
        { TOP_OF_RAM - PAGE, 2, not_ram },              /* runs into it */
        { 0, UINT32_MAX, not_ram },
        { 0xa0000, 1, not_ram },                        /* VGA window */
        { 0x9f000, 2, not_ram },
        { 0xf0000, 1, not_ram },                        /* shadowed BIOS */
        { 0xfee00000, 1, not_ram },                     /* local APIC */
        { 0xffffe000, 1, not_ram },                     /* flash or ROM */
        { 1ull << 50, 1, not_ram },
    };
    const uint8_t states[] = { STABLE, FREE, COLD, HOT };
    BalloonTest t;

    balloon_start(&t, obj, alloc, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        for (unsigned j = 0; j < ARRAY_SIZE(states); j++) {
            g_test_message("0x%" PRIx64 ", %u pages, state %u", cases[i].gpa,
                           cases[i].pages, states[j]);
            usage_refused(&t, cases[i].gpa, cases[i].pages, states[j],
                          cases[i].reason);
        }
    }
    g_assert_cmpuint(usage_stat(&t, "rejects", "range"), ==, 5 * 4);
    g_assert_cmpuint(usage_stat(&t, "rejects", "not-ram"), ==, 10 * 4);
    balloon_end(&t);
}

/* Rule 2: memory of a device is not the guest's to hint about. */
static void test_device_memory(void *obj, void *data, QGuestAllocator *alloc)
{
    QPCIAddress addr = { .devfn = QPCI_DEVFN(6, 0) };
    QPCIDevice *vga;
    BalloonTest t;
    QPCIBar bar;

    balloon_start(&t, obj, alloc, 0);
    vga = g_new0(QPCIDevice, 1);
    qpci_device_init(vga, t.pci->pdev->bus, &addr);
    qpci_device_enable(vga);
    bar = qpci_iomap(vga, 0, NULL);
    qtest_writel(t.qts, bar.addr, 0x12345678);
    g_assert_cmphex(qtest_readl(t.qts, bar.addr), ==, 0x12345678);
    usage_refused(&t, bar.addr, 1, FREE, VIRTIO_BALLOON_USAGE_R_NOT_RAM);
    usage_refused(&t, bar.addr, 1, COLD, VIRTIO_BALLOON_USAGE_R_NOT_RAM);
    g_assert_cmphex(qtest_readl(t.qts, bar.addr), ==, 0x12345678);
    g_free(vga);
    balloon_end(&t);
}

/* Rule 2: a bad range does not keep the others of a request from being done. */
static void test_others_run(void *obj, void *data, QGuestAllocator *alloc)
{
    UsageRange ranges[] = {
        usage_range(SPOT, 2, FREE),
        usage_range(SPOT + 4 * PAGE + 1, 2, FREE),
        usage_range(TOP_OF_RAM, 2, FREE),
        usage_range(SPOT + 8 * PAGE, 2, FREE),
        usage_range(SPOT + 12 * PAGE, 1, 200),
    };
    UsageReply reply;
    BalloonTest t;

    balloon_start(&t, obj, alloc, 0);
    balloon_fill(&t, SPOT, 16, 1);
    reply = usage_send(&t, HELD, 0, ranges, ARRAY_SIZE(ranges));
    g_assert_cmpuint(reply.accepted, ==, 2);
    g_assert_cmpuint(reply.rejected, ==, 1);
    g_assert_cmpuint(reply.reason, ==, VIRTIO_BALLOON_USAGE_R_RANGE);
    g_assert_cmpuint(reply.acted, ==, 4);
    balloon_zero(&t, SPOT, 2);
    balloon_zero(&t, SPOT + 8 * PAGE, 2);
    g_assert_cmpuint(usage_stat(&t, "rejects", "state"), ==, 1);
    balloon_end(&t);
}

/* States this device does not know are refused one by one. */
static void test_states(void *obj, void *data, QGuestAllocator *alloc)
{
    unsigned refused = 0;
    BalloonTest t;

    balloon_start(&t, obj, alloc, 0);
    balloon_fill(&t, SPOT, 1, 1);
    for (unsigned state = 0; state < 256; state++) {
        if (state != STABLE && state != FREE && state != COLD &&
            state != HOT) {
            usage_refused(&t, SPOT, 1, state, VIRTIO_BALLOON_USAGE_R_STATE);
            refused++;
        }
    }
    balloon_intact(&t, SPOT, 1, 1);
    g_assert_cmpuint(usage_stat(&t, "rejects", "state"), ==, refused);
    balloon_end(&t);
}

/*
 * Rule 3: ranges shrink to whole host pages. Parts join in a request; those
 * of different requests do not, for by then the guest may use the first again.
 */
static void test_large_pages(void *obj, void *data, QGuestAllocator *alloc)
{
    const uint32_t half = LARGE_PAGES / 2;
    UsageRange halves[] = {
        usage_range(SPOT + LARGE / 2, half, FREE),
        usage_range(SPOT, half, FREE),
    };
    UsageReply reply;
    BalloonTest t;

    balloon_start(&t, obj, alloc, 0);
    g_assert_cmpuint(usage_config(&t, granule), ==, LARGE);
    balloon_fill(&t, SPOT, 2 * LARGE_PAGES, 1);
    reply = usage_one(&t, SPOT + PAGE, 2 * LARGE_PAGES - 2, FREE);
    g_assert_cmpuint(reply.accepted, ==, 1);
    g_assert_cmpuint(reply.acted, ==, 0);
    for (unsigned i = 0; i < 2; i++) {
        reply = usage_send(&t, HELD, 0, &halves[i], 1);
        g_assert_cmpuint(reply.acted, ==, 0);
    }
    balloon_intact(&t, SPOT, 2 * LARGE_PAGES, 1);

    reply = usage_send(&t, HELD, 0, halves, 2);
    g_assert_cmpuint(reply.acted, ==, LARGE_PAGES);
    balloon_zero(&t, SPOT, LARGE_PAGES);
    g_assert_cmpuint(usage_stat(&t, "free", "calls"), ==, 1);

    balloon_fill(&t, SPOT, LARGE_PAGES, 2);
    reply = usage_one(&t, SPOT - PAGE, LARGE_PAGES + 2, FREE);
    g_assert_cmpuint(reply.acted, ==, LARGE_PAGES);
    balloon_zero(&t, SPOT, LARGE_PAGES);
    balloon_end(&t);
}

/* Rule 4: no FREE without the driver's word that it holds the pages */
static void test_held(void *obj, void *data, QGuestAllocator *alloc)
{
    UsageRange r = usage_range(SPOT, 4, FREE);
    UsageReply reply;
    BalloonTest t;

    balloon_start(&t, obj, alloc, 0);
    balloon_fill(&t, SPOT, 4, 1);
    reply = usage_send(&t, 0, 0, &r, 1);
    g_assert_cmpuint(reply.reason, ==, VIRTIO_BALLOON_USAGE_R_NOT_HELD);
    g_assert_cmpuint(reply.accepted, ==, 0);
    balloon_intact(&t, SPOT, 4, 1);
    r.state = COLD;
    reply = usage_send(&t, 0, 0, &r, 1);
    g_assert_cmpuint(reply.acted, ==, 4);
    balloon_intact(&t, SPOT, 4, 1);
    balloon_end(&t);
}

static void set_scan(BalloonTest *t, bool on)
{
    qtest_qmp_assert_success(
        t->qts, "{ 'execute': 'qom-set', 'arguments': "
        "{ 'path': '/machine/peripheral/balloon0',"
        "  'property': 'page-usage-scan', 'value': %i } }", on);
}

/* Rule 4: hints for a scan that is not the current one are void. */
static void test_scan(void *obj, void *data, QGuestAllocator *alloc)
{
    UsageRange r = usage_range(SPOT, 4, FREE);
    uint32_t first, second;
    UsageReply reply;
    BalloonTest t;

    balloon_start(&t, obj, alloc, 0);
    balloon_fill(&t, SPOT, 4, 1);
    reply = usage_send(&t, HELD, VIRTIO_BALLOON_USAGE_CMD_FIRST, &r, 1);
    g_assert_cmpuint(reply.status, ==, VIRTIO_BALLOON_USAGE_STALE);

    set_scan(&t, true);
    first = usage_config(&t, cmd_id);
    g_assert_cmpuint(first, >=, VIRTIO_BALLOON_USAGE_CMD_FIRST);
    set_scan(&t, true);
    second = usage_config(&t, cmd_id);
    g_assert_cmpuint(second, !=, first);
    reply = usage_send(&t, HELD | LAST, first, &r, 1);
    g_assert_cmpuint(reply.status, ==, VIRTIO_BALLOON_USAGE_STALE);
    g_assert_cmpuint(reply.accepted, ==, 0);
    g_assert_cmpuint(usage_config(&t, cmd_id), ==, second);
    balloon_intact(&t, SPOT, 4, 1);

    reply = usage_send(&t, HELD, second, &r, 1);
    g_assert_cmpuint(reply.acted, ==, 4);
    g_assert_cmpuint(usage_config(&t, cmd_id), ==, second);
    reply = usage_send(&t, LAST, second, NULL, 0);
    g_assert_cmpuint(reply.status, ==, VIRTIO_BALLOON_USAGE_OK);
    g_assert_cmpuint(usage_config(&t, cmd_id), ==,
                     VIRTIO_BALLOON_USAGE_CMD_DONE);

    set_scan(&t, true);
    second = usage_config(&t, cmd_id);
    set_scan(&t, false);
    g_assert_cmpuint(usage_config(&t, cmd_id), ==,
                     VIRTIO_BALLOON_USAGE_CMD_STOP);
    reply = usage_send(&t, HELD, second, &r, 1);
    g_assert_cmpuint(reply.status, ==, VIRTIO_BALLOON_USAGE_STALE);
    g_assert_cmpuint(usage_stat(&t, NULL, "stale"), ==, 3);
    balloon_end(&t);
}

/* Rule 5: others may look at the same memory. */
static void test_shared(void *obj, void *data, QGuestAllocator *alloc)
{
    BalloonTest t;

    balloon_start(&t, obj, alloc, 0);
    balloon_fill(&t, SPOT, 4, 1);
    usage_refused(&t, SPOT, 4, FREE, VIRTIO_BALLOON_USAGE_R_SHARED);
    balloon_intact(&t, SPOT, 4, 1);
    g_assert_cmpuint(usage_one(&t, SPOT, 4, COLD).acted, ==, 4);
    balloon_intact(&t, SPOT, 4, 1);
    balloon_end(&t);
}

/* Rule 5: a guest that fills free pages wants to find what it filled in. */
static void test_poison(void *obj, void *data, QGuestAllocator *alloc)
{
    const uint32_t poison = cpu_to_le32(0xaaaaaaaa);
    uint64_t at = offsetof(struct virtio_balloon_config, poison_val);
    BalloonTest t;

    balloon_start(&t, obj, alloc, 0);
    g_assert_true(balloon_has(&t, VIRTIO_BALLOON_F_PAGE_POISON));
    for (unsigned i = 0; i < sizeof(poison); i++) {
        qpci_io_writeb(t.pci->pdev, t.pci->bar, t.pci->device_cfg_offset +
                       at + i, poison >> 8 * i);
    }
    balloon_fill(&t, SPOT, 4, 1);
    usage_refused(&t, SPOT, 4, FREE, VIRTIO_BALLOON_USAGE_R_INHIBITED);
    balloon_intact(&t, SPOT, 4, 1);
    g_assert_false(usage_config(&t, states) & 1 << FREE);
    balloon_end(&t);
}

/* Rule 9: STABLE wins, and else the last range */
static void test_conflicts(void *obj, void *data, QGuestAllocator *alloc)
{
    UsageRange ranges[] = {
        usage_range(SPOT, 16, FREE),
        usage_range(SPOT + 2 * PAGE, 2, COLD),
        usage_range(SPOT + 6 * PAGE, 2, STABLE),
        usage_range(SPOT + 6 * PAGE, 1, FREE),
        usage_range(SPOT + 10 * PAGE, 2, HOT),
        usage_range(SPOT + 11 * PAGE, 1, FREE),
        usage_range(SPOT + 14 * PAGE, 4, STABLE),
    };
    /* The pages that are free in the end */
    const uint32_t free = 0x3fff & ~(3 << 2 | 3 << 6 | 1 << 10);
    UsageReply reply;
    BalloonTest t;

    balloon_start(&t, obj, alloc, 0);
    for (unsigned i = 0; i < 18; i++) {
        balloon_fill(&t, SPOT + i * PAGE, 1, i);
    }
    reply = usage_send(&t, HELD, 0, ranges, ARRAY_SIZE(ranges));
    g_assert_cmpuint(reply.accepted, ==, ARRAY_SIZE(ranges));
    for (unsigned i = 0; i < 18; i++) {
        if (free & 1u << i) {
            balloon_zero(&t, SPOT + i * PAGE, 1);
        } else {
            balloon_intact(&t, SPOT + i * PAGE, 1, i);
        }
    }
    g_assert_cmpuint(usage_stat(&t, "free", "acted"), ==,
                     ctpop32(free) * PAGE);
    g_assert_cmpuint(usage_stat(&t, "cold", "acted"), ==, 2 * PAGE);
    g_assert_cmpuint(usage_stat(&t, "hot", "bytes"), ==, 2 * PAGE);
    balloon_end(&t);
}

/* Rule 10: what is over the budget is refused, not queued. */
static void test_rate(void *obj, void *data, QGuestAllocator *alloc)
{
    UsageReply reply;
    BalloonTest t;

    balloon_start(&t, obj, alloc, 0);
    balloon_fill(&t, SPOT, 4, 1);
    /* 1 MiB per second: the second range overdraws by half a MiB. */
    g_assert_cmpuint(usage_one(&t, SPOT + 4 * MiB, 128, FREE).accepted, ==, 1);
    g_assert_cmpuint(usage_one(&t, SPOT + 4 * MiB, 256, FREE).accepted, ==, 1);
    usage_refused(&t, SPOT, 1, FREE, BUSY);
    usage_refused(&t, SPOT, 1, COLD, BUSY);
    balloon_intact(&t, SPOT, 4, 1);
    g_assert_cmpuint(usage_one(&t, SPOT, 1, STABLE).accepted, ==, 1);

    qtest_clock_step(t.qts, 490 * 1000000);
    usage_refused(&t, SPOT, 1, FREE, BUSY);
    qtest_clock_step(t.qts, 20 * 1000000);
    reply = usage_one(&t, SPOT, 4, FREE);
    g_assert_cmpuint(reply.accepted, ==, 1);
    balloon_zero(&t, SPOT, 4);
    g_assert_cmpuint(usage_stat(&t, "rejects", "busy"), ==, 3);
    balloon_end(&t);
}

static void *size_arg(GString *cmd_line, void *arg)
{
    return arg;
}

static void add_test(const char *name, const char *options,
                     const char *command_line, QOSTestFunc function)
{
    QOSGraphTestOptions opts = {
        .edge.extra_device_opts = options,
        .edge.after_cmd_line = command_line,
    };

    qos_add_test(name, "virtio-balloon", function, &opts);
}

static void add_prepared(const char *name, const char *options,
                         QOSBeforeTest before, void *arg, QOSTestFunc function)
{
    QOSGraphTestOptions opts = {
        .edge.extra_device_opts = options,
        .before = before,
        .arg = arg,
    };

    qos_add_test(name, "virtio-balloon", function, &opts);
}

#define ON BALLOON_ID ",page-usage=on"
#define MEMFD "-machine memory-backend=ram0 -object " \
    "memory-backend-memfd,id=ram0,size=128M,share=on"

static void register_balloon_usage_tests(void)
{
    if (!balloon_knows_machine()) {
        return;
    }
    add_test("usage/config", ON ",usage-max-ranges=100", NULL, test_config);
    add_test("usage/config/all", ON ",usage-max-ranges=100,"
             "free-page-reporting=on,free-page-hint=on,page-poison=off,"
             "iothread=io0", "-object iothread,id=io0", test_config);
    add_prepared("usage/off", "page-poison=off", size_arg,
                 GUINT_TO_POINTER(8), test_off);
    add_prepared("usage/off/poison", NULL, size_arg, GUINT_TO_POINTER(16),
                 test_off);
    add_test("usage/refused", ON, NULL, test_refused);
    add_test("usage/free", ON, NULL, test_free);
    add_test("usage/harmless", ON, NULL, test_harmless);
    add_test("usage/harmless/pageout", ON ",usage-cold=pageout,"
             "usage-hot=willneed", NULL, test_harmless);
    add_test("usage/harmless/collapse", ON ",usage-hot=collapse", NULL,
             test_harmless);
    add_test("usage/policy-off", ON ",usage-free=off,usage-cold=off", NULL,
             test_policy_off);
    add_test("usage/copied-once", ON, NULL, test_copied_once);
    add_test("usage/ranges", ON, NULL, test_ranges);
    add_test("usage/device-memory", ON,
             "-device secondary-vga,addr=06.0,id=vga0", test_device_memory);
    add_test("usage/others-run", ON, NULL, test_others_run);
    add_test("usage/states", ON, NULL, test_states);
    add_prepared("usage/large-pages", ON ",x-usage-shared=on",
                 balloon_large_pages, NULL, test_large_pages);
    add_test("usage/held", ON, NULL, test_held);
    add_test("usage/scan", ON, NULL, test_scan);
    add_test("usage/shared", ON, MEMFD, test_shared);
    add_test("usage/shared/allowed", ON ",x-usage-shared=on", MEMFD,
             test_free);
    add_test("usage/poison", ON, NULL, test_poison);
    add_test("usage/conflicts", ON, NULL, test_conflicts);
    add_test("usage/rate", ON ",usage-rate=1M", NULL, test_rate);
}

libqos_init(register_balloon_usage_tests);
