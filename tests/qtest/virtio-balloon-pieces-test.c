/*
 * Tests of balloon pages that come in parts
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Large host pages are emulated, see balloon-shim.c.
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "qemu/cutils.h"
#include "qemu/module.h"
#include "qemu/units.h"
#include "standard-headers/linux/virtio_balloon.h"
#include "virtio-balloon-util.h"

#define PAGE VIRTIO_BALLOON_USAGE_PAGE
#define LARGE (2 * MiB)
#define LARGE_PAGES (LARGE / PAGE)

/* Most pages a Linux driver puts into a request */
#define LINUX_PFNS 256

/* Nothing is allocated here */
#define SPOT (64 * MiB)

static void inflate(BalloonTest *t, uint64_t gpa, unsigned count)
{
    balloon_pfns(t, BALLOON_INFLATE, gpa, count);
}

static void deflate(BalloonTest *t, uint64_t gpa, unsigned count)
{
    balloon_pfns(t, BALLOON_DEFLATE, gpa, count);
}

/* A large page is given back when its last part comes, in any request. */
static void test_two_requests(void *obj, void *data, QGuestAllocator *alloc)
{
    BalloonTest t;

    balloon_start(&t, obj, alloc, 0);
    balloon_fill(&t, SPOT, LARGE_PAGES, 1);
    balloon_fill(&t, SPOT + LARGE, 1, 2);
    inflate(&t, SPOT, LINUX_PFNS);
    balloon_intact(&t, SPOT, LARGE_PAGES, 1);
    inflate(&t, SPOT + LINUX_PFNS * PAGE, LINUX_PFNS);
    balloon_zero(&t, SPOT, LARGE_PAGES);
    balloon_intact(&t, SPOT + LARGE, 1, 2);
    balloon_end(&t);
}

/*
 * 5.5.6: a driver that did not accept MUST_TELL_HOST may use its pages again
 * once the request is acknowledged.
 */
static void test_not_told(void *obj, void *data, QGuestAllocator *alloc)
{
    BalloonTest t;

    balloon_start(&t, obj, alloc, 0);
    g_assert_false(balloon_has(&t, VIRTIO_BALLOON_F_MUST_TELL_HOST));
    balloon_fill(&t, SPOT, LARGE_PAGES, 1);
    inflate(&t, SPOT, LINUX_PFNS);
    inflate(&t, SPOT + LINUX_PFNS * PAGE, LINUX_PFNS);
    balloon_intact(&t, SPOT, LARGE_PAGES, 1);
    inflate(&t, SPOT, LARGE_PAGES);
    balloon_zero(&t, SPOT, LARGE_PAGES);
    balloon_end(&t);
}

/* Parts of several large pages, taking turns */
static void test_interleaved(void *obj, void *data, QGuestAllocator *alloc)
{
    const unsigned step = 64;
    BalloonTest t;

    balloon_start(&t, obj, alloc, 0);
    balloon_fill(&t, SPOT, 2 * LARGE_PAGES, 1);
    for (unsigned i = 0; i < LARGE_PAGES; i += step) {
        inflate(&t, SPOT + i * PAGE, step);
        inflate(&t, SPOT + LARGE + i * PAGE, step);
    }
    balloon_zero(&t, SPOT, 2 * LARGE_PAGES);
    balloon_end(&t);
}

/* What the guest took back is in use: its large page stays. */
static void test_deflated(void *obj, void *data, QGuestAllocator *alloc)
{
    BalloonTest t;

    balloon_start(&t, obj, alloc, 0);
    balloon_fill(&t, SPOT, LARGE_PAGES, 1);
    inflate(&t, SPOT, LINUX_PFNS);
    deflate(&t, SPOT + 7 * PAGE, 1);
    inflate(&t, SPOT + LINUX_PFNS * PAGE, LINUX_PFNS);
    balloon_intact(&t, SPOT, LARGE_PAGES, 1);
    /* It comes back, and makes the page whole. */
    inflate(&t, SPOT + 7 * PAGE, 1);
    balloon_zero(&t, SPOT, LARGE_PAGES);

    /* A part goes, is used and comes again: once more whole */
    deflate(&t, SPOT + 9 * PAGE, 1);
    balloon_fill(&t, SPOT + 9 * PAGE, 1, 3);
    inflate(&t, SPOT + 9 * PAGE, 1);
    balloon_zero(&t, SPOT, LARGE_PAGES);
    balloon_end(&t);
}

/*
 * A driver may use a page once it has made the deflate request available,
 * and give other pages before either is served.
 */
static void test_deflate_first(void *obj, void *data, QGuestAllocator *alloc)
{
    uint32_t pfn = cpu_to_le32((SPOT >> VIRTIO_BALLOON_PFN_SHIFT) + 7);
    uint64_t at;
    BalloonTest t;

    balloon_start(&t, obj, alloc, 0);
    balloon_fill(&t, SPOT, LARGE_PAGES, 1);
    inflate(&t, SPOT, LINUX_PFNS);
    at = guest_alloc(alloc, sizeof(pfn));
    qtest_memwrite(t.qts, at, &pfn, sizeof(pfn));
    if (qvirtio_is_packed(t.dev)) {
        QVirtQueue *vq = t.vq[BALLOON_DEFLATE];

        qvirtqueue_packed_publish(t.qts, vq, qvirtqueue_add(
            t.qts, vq, at, sizeof(pfn), false, false));
    } else {
        QVirtQueue *vq = t.vq[BALLOON_DEFLATE];
        uint32_t head = qvirtqueue_add(t.qts, vq, at, sizeof(pfn), false,
                                       false);

        qtest_writew(t.qts, vq->avail + 4, head);
        qtest_writew(t.qts, vq->avail + 2, 1);
    }
    inflate(&t, SPOT + LINUX_PFNS * PAGE, LINUX_PFNS);
    balloon_intact(&t, SPOT, LARGE_PAGES, 1);
    guest_free(alloc, at);
    balloon_end(&t);
}

/* A new driver has an empty balloon. */
static void test_reset(void *obj, void *data, QGuestAllocator *alloc)
{
    BalloonTest t;

    balloon_start(&t, obj, alloc, 0);
    balloon_fill(&t, SPOT, LARGE_PAGES, 1);
    inflate(&t, SPOT, LINUX_PFNS);
    balloon_end(&t);
    qvirtio_start_device(t.dev);
    balloon_start(&t, obj, alloc, 0);
    inflate(&t, SPOT + LINUX_PFNS * PAGE, LINUX_PFNS);
    balloon_intact(&t, SPOT, LARGE_PAGES, 1);
    balloon_end(&t);
}

static void send_hint(BalloonTest *t, unsigned n, uint64_t addr, uint32_t len,
                      bool write)
{
    uint32_t token = qvirtqueue_add(t->qts, t->vq[n], addr, len, write, false);
    gint64 end = g_get_monotonic_time() + BALLOON_TIMEOUT_US;
    uint32_t got, used;

    qvirtqueue_kick(t->qts, t->dev, t->vq[n], token);
    while (!qvirtqueue_get_buf(t->qts, t->vq[n], &got, &used)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
    }
    if (!qvirtio_is_packed(t->dev)) {
        qvirtqueue_reset_pool(t->vq[n]);
    }
}

static uint32_t wait_for_hint_id(BalloonTest *t)
{
    gint64 end = g_get_monotonic_time() + BALLOON_TIMEOUT_US;
    uint32_t id;

    do {
        id = qvirtio_config_readl(t->dev, offsetof(struct
            virtio_balloon_config, free_page_hint_cmd_id));
        g_assert_cmpint(g_get_monotonic_time(), <, end);
    } while (id <= VIRTIO_BALLOON_CMD_ID_DONE);
    return id;
}

/*
 * A free page hint that begins and ends inside of pages leaves these pages in
 * the migration. The bandwidth lets nothing through before the hint is there:
 * the first page in memory alone is more than a second's worth.
 */
static void test_hint_rounding(void *obj, void *data, QGuestAllocator *alloc)
{
    g_autofree char *dir = g_dir_make_tmp("vadis-balloon-XXXXXX", NULL);
    g_autofree char *file = g_strdup_printf("%s/state", dir);
    g_autofree char *uri = g_strdup_printf("file:%s", file);
    uint64_t at = guest_alloc(alloc, sizeof(uint32_t));
    const unsigned n = 3;
    QTestState *from, *to;
    BalloonTest t;
    uint32_t id;

    balloon_start(&t, obj, alloc, 0);
    g_assert_true(balloon_has(&t, VIRTIO_BALLOON_F_FREE_PAGE_HINT));
    from = t.qts;
    balloon_fill(&t, 0, 1, 7);
    balloon_fill(&t, SPOT, 8, 1);
    qtest_qmp_assert_success(from, "{ 'execute': 'migrate-set-parameters',"
                             " 'arguments': { 'max-bandwidth': 10 } }");
    qtest_qmp_assert_success(from, "{ 'execute': 'migrate', 'arguments':"
                             " { 'uri': %s } }", uri);
    id = wait_for_hint_id(&t);
    id = cpu_to_le32(id);
    qtest_memwrite(from, at, &id, sizeof(id));
    send_hint(&t, n, at, sizeof(id), false);
    send_hint(&t, n, SPOT + PAGE / 2, PAGE, true);
    send_hint(&t, n, SPOT + 3 * PAGE - 16, 2 * PAGE + 32, true);
    send_hint(&t, n, SPOT + 6 * PAGE + 16, 32, true);
    qtest_qmp_assert_success(from, "{ 'execute': 'migrate-set-parameters',"
                             " 'arguments': { 'max-bandwidth': 0 } }");
    balloon_wait_migration(from);

    to = qtest_initf("%s -incoming %s", qos_get_current_command_line(), uri);
    balloon_wait_migration(to);
    for (unsigned i = 0; i < 8; i++) {
        uint8_t want[PAGE], got[PAGE];

        qtest_memread(from, SPOT + i * PAGE, want, PAGE);
        qtest_memread(to, SPOT + i * PAGE, got, PAGE);
        if (i == 3 || i == 4) {
            /* The pages that were hinted as a whole did not come. */
            g_test_message("page %u", i);
            g_assert_true(buffer_is_zero(got, PAGE));
        } else {
            g_assert_cmpmem(got, PAGE, want, PAGE);
        }
    }
    qtest_quit(to);
    balloon_end(&t);
    qos_invalidate_command_line();
    guest_free(alloc, at);
    unlink(file);
    rmdir(dir);
}

static void add_test(const char *name, QOSTestFunc function)
{
    QOSGraphTestOptions opts = {
        .before = balloon_large_pages,
        .edge.extra_device_opts = "must-tell-host=on",
    };

    qos_add_test(name, "virtio-balloon", function, &opts);
}

static void register_balloon_pieces_tests(void)
{
    QOSGraphTestOptions large = { .before = balloon_large_pages };
    QOSGraphTestOptions hint = {
        .edge.extra_device_opts = "free-page-hint=on,iothread=io0",
        .edge.after_cmd_line = "-object iothread,id=io0",
    };

    if (!balloon_knows_machine()) {
        return;
    }
    qos_add_test("pieces/not-told", "virtio-balloon", test_not_told, &large);
    add_test("pieces/two-requests", test_two_requests);
    add_test("pieces/interleaved", test_interleaved);
    add_test("pieces/deflated", test_deflated);
    add_test("pieces/deflate-first", test_deflate_first);
    add_test("pieces/reset", test_reset);
    qos_add_test("hint/rounding", "virtio-balloon", test_hint_rounding, &hint);
}

libqos_init(register_balloon_pieces_tests);
