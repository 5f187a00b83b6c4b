/*
 * What the balloon tests share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "qemu/cutils.h"
#include "qemu/module.h"
#include "standard-headers/linux/virtio_balloon.h"
#include "standard-headers/linux/virtio_config.h"
#include "virtio-balloon-util.h"

#define PAGE VIRTIO_BALLOON_USAGE_PAGE

bool balloon_has(BalloonTest *t, unsigned bit)
{
    return t->dev->features & (1ull << bit);
}

static QDict *usage_stats(BalloonTest *t)
{
    return qtest_qmp_assert_success_ref(
        t->qts, "{ 'execute': 'qom-get', 'arguments': "
        "{ 'path': '/machine/peripheral/balloon0',"
        "  'property': 'page-usage-stats' } }");
}

static uint64_t usage_number(QDict *stats, const char *group, const char *key)
{
    return qdict_get_int(group ? qdict_get_qdict(stats, group) : stats, key);
}

uint64_t usage_stat(BalloonTest *t, const char *group, const char *key)
{
    QDict *now = usage_stats(t);
    uint64_t value = usage_number(now, group, key) -
                     usage_number(t->before, group, key);

    qobject_unref(now);
    return value;
}

void balloon_start(BalloonTest *t, void *obj, QGuestAllocator *alloc,
                   uint64_t refuse)
{
    QVirtioBalloon *balloon = obj;
    uint64_t features;

    *t = (BalloonTest) {
        .dev = balloon->vdev,
        .pci = container_of(balloon->vdev, QVirtioPCIDevice, vdev),
        .alloc = alloc,
        .num_queues = 3,
    };
    t->qts = t->pci->pdev->bus->qts;
    features = qvirtio_get_features(t->dev);
    qvirtio_set_features(t->dev, features & ~(QVIRTIO_F_BAD_FEATURE | refuse));

    t->num_queues += balloon_has(t, VIRTIO_BALLOON_F_FREE_PAGE_HINT);
    t->num_queues += balloon_has(t, VIRTIO_BALLOON_F_REPORTING);
    if (balloon_has(t, VIRTIO_BALLOON_F_PAGE_USAGE)) {
        t->usage = usage_config(t, vq_index);
        g_assert_cmpuint(t->usage, ==, t->num_queues);
        t->before = usage_stats(t);
        t->num_queues++;
    }
    for (unsigned i = 0; i < t->num_queues; i++) {
        t->vq[i] = qvirtqueue_setup(t->dev, alloc, i);
    }
    qvirtio_set_driver_ok(t->dev);
}

void balloon_end(BalloonTest *t)
{
    qvirtio_reset(t->dev);
    for (unsigned i = 0; i < t->num_queues; i++) {
        qvirtqueue_cleanup(t->dev->bus, t->vq[i], t->alloc);
    }
    t->num_queues = 0;
    qobject_unref(t->before);
    t->before = NULL;
}

static uint32_t balloon_wait(BalloonTest *t, QVirtQueue *vq, uint32_t token)
{
    gint64 end = g_get_monotonic_time() + BALLOON_TIMEOUT_US;
    uint32_t got, len = 0;

    while (!qvirtqueue_get_buf(t->qts, vq, &got, &len)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
    }
    g_assert_cmpuint(got, ==, token);
    if (!qvirtio_is_packed(t->dev)) {
        qvirtqueue_reset_pool(vq);
    }
    return len;
}

uint32_t balloon_request(BalloonTest *t, unsigned n, const void *out,
                         size_t out_len, void *in, size_t in_len)
{
    uint64_t to = guest_alloc(t->alloc, MAX(out_len, 1));
    uint64_t from = guest_alloc(t->alloc, MAX(in_len, 1));
    uint32_t token = 0, len;

    if (out_len) {
        qtest_memwrite(t->qts, to, out, out_len);
        token = qvirtqueue_add(t->qts, t->vq[n], to, out_len, false, in_len);
    }
    if (in_len) {
        uint32_t last;

        qtest_memset(t->qts, from, 0xa5, in_len);
        last = qvirtqueue_add(t->qts, t->vq[n], from, in_len, true, false);
        token = out_len ? token : last;
    }
    qvirtqueue_kick(t->qts, t->dev, t->vq[n], token);
    len = balloon_wait(t, t->vq[n], token);
    if (in_len) {
        qtest_memread(t->qts, from, in, in_len);
    }
    guest_free(t->alloc, from);
    guest_free(t->alloc, to);
    return len;
}

UsageRange usage_range(uint64_t gpa, uint32_t pages, uint8_t state)
{
    return (UsageRange) { .gpa = gpa, .pages = pages, .state = state };
}

UsageReply usage_send(BalloonTest *t, uint8_t flags, uint32_t cmd_id,
                      const UsageRange *ranges, unsigned count)
{
    size_t size = sizeof(UsageHeader) + count * sizeof(UsageRange);
    g_autofree uint8_t *out = g_malloc0(size);
    UsageHeader *hdr = (UsageHeader *)out;
    UsageRange *r = (UsageRange *)(hdr + 1);
    UsageReply reply;

    hdr->type = VIRTIO_BALLOON_USAGE_HINT;
    hdr->flags = flags;
    hdr->count = cpu_to_le16(count);
    hdr->cmd_id = cpu_to_le32(cmd_id);
    for (unsigned i = 0; i < count; i++) {
        r[i] = ranges[i];
        r[i].gpa = cpu_to_le64(r[i].gpa);
        r[i].pages = cpu_to_le32(r[i].pages);
        r[i].node = cpu_to_le16(r[i].node);
    }
    g_assert_cmpuint(balloon_request(t, t->usage, out, size, &reply,
                                     sizeof(reply)), ==, sizeof(reply));
    g_assert_cmpuint(reply.reserved, ==, 0);
    reply.accepted = le32_to_cpu(reply.accepted);
    reply.rejected = le32_to_cpu(reply.rejected);
    reply.acted = le32_to_cpu(reply.acted);
    return reply;
}

UsageReply usage_one(BalloonTest *t, uint64_t gpa, uint32_t pages,
                     uint8_t state)
{
    UsageRange r = usage_range(gpa, pages, state);

    return usage_send(t, VIRTIO_BALLOON_USAGE_HELD, 0, &r, 1);
}

void usage_refused(BalloonTest *t, uint64_t gpa, uint32_t pages,
                   uint8_t state, uint8_t reason)
{
    UsageReply reply = usage_one(t, gpa, pages, state);

    g_assert_cmpuint(reply.status, ==, VIRTIO_BALLOON_USAGE_OK);
    g_assert_cmpuint(reply.reason, ==, reason);
    g_assert_cmpuint(reply.accepted, ==, 0);
    g_assert_cmpuint(reply.rejected, ==, 0);
    g_assert_cmpuint(reply.acted, ==, 0);
}

static void balloon_pattern(uint8_t *data, uint32_t page, unsigned salt)
{
    uint32_t z = (salt + 1) * 2654435761u + page * 40503u;

    for (unsigned i = 0; i < PAGE; i++) {
        data[i] = (z = z * 1664525u + 1013904223u) >> 24;
    }
}

bool balloon_knows_machine(void)
{
    return g_str_equal(qtest_get_arch(), "x86_64");
}

void balloon_fill(BalloonTest *t, uint64_t gpa, uint32_t pages, unsigned salt)
{
    uint8_t data[PAGE];

    for (uint32_t i = 0; i < pages; i++) {
        balloon_pattern(data, i, salt);
        qtest_memwrite(t->qts, gpa + (uint64_t)i * PAGE, data, PAGE);
    }
}

void balloon_intact(BalloonTest *t, uint64_t gpa, uint32_t pages,
                    unsigned salt)
{
    uint8_t want[PAGE], got[PAGE];

    for (uint32_t i = 0; i < pages; i++) {
        balloon_pattern(want, i, salt);
        qtest_memread(t->qts, gpa + (uint64_t)i * PAGE, got, PAGE);
        g_assert_cmpmem(got, PAGE, want, PAGE);
    }
}

void balloon_zero(BalloonTest *t, uint64_t gpa, uint32_t pages)
{
    uint8_t got[PAGE];

    for (uint32_t i = 0; i < pages; i++) {
        qtest_memread(t->qts, gpa + (uint64_t)i * PAGE, got, PAGE);
        g_assert_true(buffer_is_zero(got, PAGE));
    }
}

void balloon_pfns(BalloonTest *t, unsigned n, uint64_t gpa, unsigned count)
{
    g_autofree uint32_t *pfns = g_new(uint32_t, count);

    for (unsigned i = 0; i < count; i++) {
        pfns[i] = cpu_to_le32((gpa >> VIRTIO_BALLOON_PFN_SHIFT) + i);
    }
    balloon_request(t, n, pfns, count * sizeof(*pfns), NULL, 0);
}

void balloon_expect_needs_reset(BalloonTest *t)
{
    gint64 end = g_get_monotonic_time() + BALLOON_TIMEOUT_US;

    while (!(t->dev->bus->get_status(t->dev) & VIRTIO_CONFIG_S_NEEDS_RESET)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
    }
}

void balloon_wait_migration(QTestState *qts)
{
    gint64 end = g_get_monotonic_time() + BALLOON_TIMEOUT_US;

    for (bool done = false; !done;) {
        QDict *rsp = qtest_qmp_assert_success_ref(
            qts, "{ 'execute': 'query-migrate' }");
        const char *status = qdict_get_try_str(rsp, "status");

        g_assert_cmpstr(status, !=, "failed");
        done = g_strcmp0(status, "completed") == 0;
        qobject_unref(rsp);
        g_assert_cmpint(g_get_monotonic_time(), <, end);
    }
}

static void balloon_unshim(void *opaque)
{
    g_unsetenv("LD_PRELOAD");
    g_unsetenv("BALLOON_SHIM_FAIL");
}

void balloon_shim(const char *advice)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *dir = g_path_get_dirname(self);
    g_autofree char *shim = g_build_filename(dir, "vadis",
                                             "balloon-shim.preload", NULL);

    g_assert_true(g_file_test(shim, G_FILE_TEST_EXISTS));
    qos_invalidate_command_line();
    g_setenv("LD_PRELOAD", shim, true);
    if (advice) {
        g_setenv("BALLOON_SHIM_FAIL", advice, true);
    }
    g_test_queue_destroy(balloon_unshim, NULL);
}

static void remove_file(void *path)
{
    g_autofree char *dir = g_path_get_dirname(path);

    unlink(path);
    rmdir(dir);
    g_free(path);
}

void *balloon_large_pages(GString *cmd_line, void *arg)
{
    char *dir = g_dir_make_tmp("vadis-balloon-XXXXXX", NULL);
    char *path = g_strdup_printf("%s/balloon-huge", dir);

    balloon_shim(NULL);
    g_string_append_printf(cmd_line, " -machine memory-backend=ram0 -object "
                           "memory-backend-file,id=ram0,size=128M,share=on,"
                           "mem-path=%s ", path);
    g_test_queue_destroy(remove_file, path);
    g_free(dir);
    return arg;
}
