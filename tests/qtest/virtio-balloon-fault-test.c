/*
 * Tests of the balloon's usage queue: drivers that break the rules, and
 * machines that stop, move and start over
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "qemu/cutils.h"
#include "qemu/module.h"
#include "qemu/units.h"
#include "standard-headers/linux/virtio_balloon.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_pci.h"
#include "virtio-balloon-util.h"

#define PAGE VIRTIO_BALLOON_USAGE_PAGE
#define FREE VIRTIO_BALLOON_USAGE_FREE
#define COLD VIRTIO_BALLOON_USAGE_COLD
#define HELD VIRTIO_BALLOON_USAGE_HELD
#define SPOT (64 * MiB)
#define MAX_RANGES 256

typedef struct Raw {
    UsageHeader hdr;
    UsageRange ranges[MAX_RANGES + 2];
} Raw;

/* Requests whose header and length do not agree, or say what nobody knows */
static void test_malformed(void *obj, void *data, QGuestAllocator *alloc)
{
    const struct {
        UsageHeader hdr;
        size_t size;
        uint8_t status;
    } cases[] = {
        { {}, 0, VIRTIO_BALLOON_USAGE_MALFORMED },
        { {}, 1, VIRTIO_BALLOON_USAGE_MALFORMED },
        { {}, 15, VIRTIO_BALLOON_USAGE_MALFORMED },
        { {}, 16, VIRTIO_BALLOON_USAGE_MALFORMED },
        { {}, 32, VIRTIO_BALLOON_USAGE_MALFORMED },
        { { .count = 1 }, 16, VIRTIO_BALLOON_USAGE_MALFORMED },
        { { .count = 1 }, 31, VIRTIO_BALLOON_USAGE_MALFORMED },
        { { .count = 1 }, 33, VIRTIO_BALLOON_USAGE_MALFORMED },
        { { .count = 1 }, 48, VIRTIO_BALLOON_USAGE_MALFORMED },
        { { .count = 2 }, 32, VIRTIO_BALLOON_USAGE_MALFORMED },
        { { .count = 0xffff }, 32, VIRTIO_BALLOON_USAGE_MALFORMED },
        { { .count = MAX_RANGES + 1 }, 16 * (MAX_RANGES + 2),
          VIRTIO_BALLOON_USAGE_MALFORMED },
        { { .count = 1, .flags = 4 }, 32, VIRTIO_BALLOON_USAGE_MALFORMED },
        { { .count = 1, .flags = 0x80 }, 32, VIRTIO_BALLOON_USAGE_MALFORMED },
        { { .count = 1, .reserved = 1 }, 32, VIRTIO_BALLOON_USAGE_MALFORMED },
        { { .count = 1, .cmd_id = 1 }, 32, VIRTIO_BALLOON_USAGE_MALFORMED },
        { { .count = 1, .type = 1 }, 32, VIRTIO_BALLOON_USAGE_UNSUPPORTED },
        { { .type = 255 }, 16, VIRTIO_BALLOON_USAGE_UNSUPPORTED },
        { { .count = 1, .cmd_id = 77 }, 32, VIRTIO_BALLOON_USAGE_STALE },
    };
    g_autofree Raw *raw = g_new0(Raw, 1);
    UsageReply reply;
    BalloonTest t;

    balloon_start(&t, obj, alloc, 0);
    balloon_fill(&t, SPOT, 1, 1);
    for (unsigned i = 0; i < MAX_RANGES + 2; i++) {
        raw->ranges[i] = usage_range(cpu_to_le64(SPOT), cpu_to_le32(1), FREE);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        raw->hdr = cases[i].hdr;
        raw->hdr.flags |= HELD;
        raw->hdr.count = cpu_to_le16(cases[i].hdr.count);
        raw->hdr.cmd_id = cpu_to_le32(cases[i].hdr.cmd_id);
        g_test_message("case %u", i);
        g_assert_cmpuint(balloon_request(&t, t.usage, raw, cases[i].size,
                                         &reply, sizeof(reply)), ==,
                         sizeof(reply));
        g_assert_cmpuint(reply.status, ==, cases[i].status);
        g_assert_cmpuint(reply.accepted, ==, 0);
        g_assert_cmpuint(reply.acted, ==, 0);
        g_assert_cmphex(reply.rejected, ==, VIRTIO_BALLOON_USAGE_NONE);
    }
    balloon_intact(&t, SPOT, 1, 1);
    g_assert_cmpuint(usage_stat(&t, NULL, "malformed"), ==, 16);
    g_assert_cmpuint(usage_stat(&t, NULL, "unsupported"), ==, 2);
    g_assert_cmpuint(usage_stat(&t, NULL, "stale"), ==, 1);
    /* As many as may be, in one request */
    g_assert_cmpuint(usage_send(&t, HELD, 0, raw->ranges, MAX_RANGES).acted,
                     ==, 1);
    balloon_end(&t);
}

/* Offer @len writable bytes at @in behind a good request for a page */
static void send_for(BalloonTest *t, uint64_t in, uint32_t len)
{
    Raw raw = {
        .hdr = { .flags = HELD, .count = cpu_to_le16(1) },
        .ranges = { usage_range(cpu_to_le64(SPOT), cpu_to_le32(1), FREE) },
    };
    uint64_t at = guest_alloc(t->alloc, 32);
    uint32_t token;

    qtest_memwrite(t->qts, at, &raw, 32);
    token = qvirtqueue_add(t->qts, t->vq[t->usage], at, 32, false, len);
    if (len) {
        qvirtqueue_add(t->qts, t->vq[t->usage], in, len, true, false);
    }
    qvirtqueue_kick(t->qts, t->dev, t->vq[t->usage], token);
    guest_free(t->alloc, at);
}

/* Without room for a reply in RAM the device breaks and does nothing. */
static void test_no_reply(void *obj, void *data, QGuestAllocator *alloc)
{
    const struct {
        bool bar;
        uint32_t len;
    } cases[] = { { false, 0 }, { false, 15 }, { true, 16 } };
    uint64_t to;
    BalloonTest t;

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        balloon_start(&t, obj, alloc, 0);
        balloon_fill(&t, SPOT, 1, 1);
        to = SPOT + PAGE;
        if (cases[i].bar) {
            to = t.pci->bar.addr + t.pci->common_cfg_offset;
        }
        send_for(&t, to, cases[i].len);
        balloon_expect_needs_reset(&t);
        balloon_intact(&t, SPOT, 1, 1);
        balloon_end(&t);
        qvirtio_start_device(t.dev);
    }
    balloon_start(&t, obj, alloc, 0);
    g_assert_cmpuint(usage_one(&t, SPOT, 1, FREE).acted, ==, 1);
    balloon_end(&t);
}

/* The queue is not there for a driver that did not accept the feature. */
static void test_not_negotiated(void *obj, void *data, QGuestAllocator *alloc)
{
    BalloonTest t;

    balloon_start(&t, obj, alloc, 1ull << VIRTIO_BALLOON_F_PAGE_USAGE);
    balloon_fill(&t, SPOT, 1, 1);
    t.usage = t.num_queues++;
    t.vq[t.usage] = qvirtqueue_setup(t.dev, alloc, t.usage);
    send_for(&t, SPOT + PAGE, 16);
    balloon_expect_needs_reset(&t);
    balloon_intact(&t, SPOT, 1, 1);
    balloon_end(&t);
}

/* A driver that calls its own rings free has itself to blame, nobody else. */
static void test_frees_ring(void *obj, void *data, QGuestAllocator *alloc)
{
    BalloonTest t;

    for (unsigned i = 0; i < 3; i++) {
        UsageRange r = usage_range(0x100000, 16384, FREE);
        uint64_t at, in;
        uint32_t token;
        Raw raw = { .hdr = { .flags = HELD, .count = cpu_to_le16(1) } };

        balloon_start(&t, obj, alloc, 0);
        raw.ranges[0] = usage_range(cpu_to_le64(r.gpa), cpu_to_le32(r.pages),
                                    FREE);
        at = guest_alloc(alloc, 32);
        in = guest_alloc(alloc, 16);
        qtest_memwrite(t.qts, at, &raw, 32);
        token = qvirtqueue_add(t.qts, t.vq[t.usage], at, 32, false, true);
        qvirtqueue_add(t.qts, t.vq[t.usage], in, 16, true, false);
        qvirtqueue_kick(t.qts, t.dev, t.vq[t.usage], token);
        for (unsigned j = 0; j < 8; j++) {
            t.dev->bus->virtqueue_kick(t.dev, t.vq[t.usage]);
        }
        guest_free(alloc, at);
        guest_free(alloc, in);
        balloon_end(&t);
        qvirtio_start_device(t.dev);
    }
    balloon_start(&t, obj, alloc, 0);
    g_assert_cmpuint(usage_one(&t, SPOT, 1, FREE).acted, ==, 1);
    balloon_end(&t);
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/*
 * Many ranges that overlap at random, against a model that knows pages only:
 * rules 2 and 9.
 */
static void test_random(void *obj, void *data, QGuestAllocator *alloc)
{
    enum { PAGES = 24, RANGES = 12 };
    uint32_t seed = 4711;
    BalloonTest t;

    balloon_start(&t, obj, alloc, 0);
    for (unsigned round = 0; round < 60; round++) {
        uint8_t want[PAGES];
        UsageRange r[RANGES];
        unsigned good = 0;
        UsageReply reply;

        memset(want, 0xff, sizeof(want));
        for (unsigned i = 0; i < PAGES; i++) {
            balloon_fill(&t, SPOT + i * PAGE, 1, i);
        }
        for (unsigned i = 0; i < RANGES; i++) {
            unsigned first = next_random(&seed) % PAGES;
            unsigned pages = next_random(&seed) % (PAGES - first + 1);
            const uint8_t states[] = { 0, 1, 1, 1, 3, 4, 1, 200 };
            uint8_t state = states[next_random(&seed) % 8];
            bool odd = next_random(&seed) % 8 == 0;

            r[i] = usage_range(SPOT + first * PAGE + odd, pages, state);
            if (odd || !pages || state == 200) {
                continue;
            }
            good++;
            for (unsigned j = first; j < first + pages; j++) {
                /* STABLE stays, all else is for the last one to say. */
                want[j] = want[j] ? state : 0;
            }
        }
        reply = usage_send(&t, HELD, 0, r, RANGES);
        g_assert_cmpuint(reply.accepted, ==, good);
        for (unsigned i = 0; i < PAGES; i++) {
            if (want[i] == FREE) {
                balloon_zero(&t, SPOT + i * PAGE, 1);
            } else {
                balloon_intact(&t, SPOT + i * PAGE, 1, i);
            }
        }
    }
    balloon_end(&t);
}

/* Noise in place of requests: all of it is answered, and the device lives. */
static void test_noise(void *obj, void *data, QGuestAllocator *alloc)
{
    g_autofree uint32_t *noise = g_new(uint32_t, 64);
    uint32_t seed = 12345;
    BalloonTest t;

    balloon_start(&t, obj, alloc, 0);
    for (unsigned i = 0; i < 500; i++) {
        size_t size = next_random(&seed) % 256;
        UsageReply reply;

        for (unsigned j = 0; j < 64; j++) {
            noise[j] = next_random(&seed);
        }
        if (i % 2) {
            /* A sound header, and ranges that start in the lower 2^26 */
            size = 16 + 16 * (1 + i % 15);
            noise[0] = cpu_to_le32((i & 1) << 9 | (1 + i % 15) << 16);
            noise[1] = noise[2] = noise[3] = 0;
            for (unsigned j = 4; j < 64; j += 4) {
                noise[j] = cpu_to_le32(SPOT + (noise[j] & 0xffffff));
                noise[j + 1] &= i % 16 == 1 ? ~0u : 0;
            }
        }
        g_assert_cmpuint(balloon_request(&t, t.usage, noise, size, &reply,
                                         sizeof(reply)), ==, sizeof(reply));
    }
    g_assert_cmpuint(usage_stat(&t, NULL, "requests"), ==, 500);
    g_assert_cmpuint(usage_one(&t, SPOT, 1, FREE).acted, ==, 1);
    balloon_end(&t);
}

enum { MANY = 30 };

/* Put MANY requests, for a page each, into the queue, without a kick */
static void queue_many(BalloonTest *t, uint64_t at)
{
    QVirtQueue *vq = t->vq[t->usage];
    uint32_t tokens[MANY];

    for (unsigned i = 0; i < MANY; i++) {
        uint64_t out = at + i * 64;
        Raw raw = { .hdr = { .flags = HELD, .count = cpu_to_le16(1) } };

        raw.ranges[0] = usage_range(cpu_to_le64(SPOT + 2 * i * PAGE),
                                    cpu_to_le32(1), FREE);
        qtest_memwrite(t->qts, out, &raw, 32);
        tokens[i] = qvirtqueue_add(t->qts, vq, out, 32, false, true);
        qvirtqueue_add(t->qts, vq, out + 32, 16, true, false);
        if (!qvirtio_is_packed(t->dev)) {
            qtest_writew(t->qts, vq->avail + 4 + 2 * i, tokens[i]);
        }
    }
    if (qvirtio_is_packed(t->dev)) {
        for (unsigned i = MANY; i-- > 0;) {
            qvirtqueue_packed_publish(t->qts, vq, tokens[i]);
        }
    } else {
        qtest_writew(t->qts, vq->avail + 2, MANY);
    }
}

static void expect_many(BalloonTest *t)
{
    gint64 end = g_get_monotonic_time() + BALLOON_TIMEOUT_US;

    for (unsigned i = 0; i < MANY; i++) {
        uint32_t token, len;

        while (!qvirtqueue_get_buf(t->qts, t->vq[t->usage], &token, &len)) {
            g_assert_cmpint(g_get_monotonic_time(), <, end);
        }
        balloon_zero(t, SPOT + 2 * i * PAGE, 1);
        balloon_intact(t, SPOT + (2 * i + 1) * PAGE, 1, i);
    }
}

static void fill_many(BalloonTest *t)
{
    for (unsigned i = 0; i < MANY; i++) {
        balloon_fill(t, SPOT + 2 * i * PAGE, 1, 99);
        balloon_fill(t, SPOT + (2 * i + 1) * PAGE, 1, i);
    }
}

/* More requests than a pass takes: the device goes on by itself. */
static void test_many(void *obj, void *data, QGuestAllocator *alloc)
{
    uint64_t at = guest_alloc(alloc, 64 * MANY);
    BalloonTest t;

    balloon_start(&t, obj, alloc, 0);
    fill_many(&t);
    queue_many(&t, at);
    t.dev->bus->virtqueue_kick(t.dev, t.vq[t.usage]);
    expect_many(&t);
    balloon_end(&t);

    /* A reset with the queue half done */
    qvirtio_start_device(t.dev);
    balloon_start(&t, obj, alloc, 0);
    queue_many(&t, at);
    t.dev->bus->virtqueue_kick(t.dev, t.vq[t.usage]);
    balloon_end(&t);
    guest_free(alloc, at);
}

/* Requests made while the VM stands still are served when it goes on. */
static void test_stopped(void *obj, void *data, QGuestAllocator *alloc)
{
    uint64_t at = guest_alloc(alloc, 64 * MANY);
    BalloonTest t;

    balloon_start(&t, obj, alloc, 0);
    fill_many(&t);
    qtest_qmp_assert_success(t.qts, "{ 'execute': 'stop' }");
    queue_many(&t, at);
    qtest_qmp_assert_success(t.qts, "{ 'execute': 'cont' }");
    expect_many(&t);
    balloon_end(&t);
    guest_free(alloc, at);
}

static char *without_usage(const char *command_line)
{
    g_auto(GStrv) parts = g_strsplit(command_line, ",page-usage=on", 2);

    g_assert_nonnull(parts[1]);
    return g_strconcat(parts[0], parts[1], NULL);
}

/*
 * The scan goes on where the VM goes. A machine without the feature does not
 * take the state; it says so and the VM is still on the source.
 */
static void test_migration(void *obj, void *data, QGuestAllocator *alloc)
{
    g_autofree char *dir = g_dir_make_tmp("vadis-balloon-XXXXXX", NULL);
    g_autofree char *file = g_strdup_printf("%s/state", dir);
    g_autofree char *uri = g_strdup_printf("file:%s", file);
    g_autofree char *other = without_usage(qos_get_current_command_line());
    UsageRange r = usage_range(SPOT, 4, FREE);
    QTestState *from, *to;
    BalloonTest t;
    uint32_t id;

    balloon_start(&t, obj, alloc, 0);
    from = t.qts;
    balloon_fill(&t, SPOT, 4, 1);
    qtest_qmp_assert_success(
        from, "{ 'execute': 'qom-set', 'arguments': "
        "{ 'path': '/machine/peripheral/balloon0',"
        "  'property': 'page-usage-scan', 'value': true } }");
    id = usage_config(&t, cmd_id);
    qtest_qmp_assert_success(from, "{ 'execute': 'stop' }");
    qtest_qmp_assert_success(from, "{ 'execute': 'migrate', 'arguments':"
                             " { 'uri': %s } }", uri);
    balloon_wait_migration(from);

    to = qtest_initf("%s -incoming defer", other);
    qtest_qmp_assert_success(to, "{ 'execute': 'migrate-incoming',"
                             " 'arguments': { 'uri': %s,"
                             " 'exit-on-error': false } }", uri);
    for (bool failed = false; !failed;) {
        QDict *rsp = qtest_qmp_assert_success_ref(
            to, "{ 'execute': 'query-migrate' }");
        const char *status = qdict_get_try_str(rsp, "status");

        g_assert_cmpstr(status, !=, "completed");
        failed = g_strcmp0(status, "failed") == 0;
        qobject_unref(rsp);
    }
    qtest_quit(to);

    to = qtest_initf("%s -incoming %s", qos_get_current_command_line(), uri);
    balloon_wait_migration(to);
    qtest_qmp_assert_success(to, "{ 'execute': 'cont' }");
    t.pci->pdev->bus->qts = t.qts = to;
    g_assert_cmpuint(usage_config(&t, cmd_id), ==, id);
    balloon_intact(&t, SPOT, 4, 1);
    g_assert_cmpuint(usage_send(&t, HELD, id, &r, 1).acted, ==, 4);
    balloon_zero(&t, SPOT, 4);
    balloon_end(&t);

    t.pci->pdev->bus->qts = from;
    qtest_quit(to);
    qos_invalidate_command_line();
    unlink(file);
    rmdir(dir);
}

/* Rule 12: hints are advice; a system call that fails is counted. */
static void test_failing_call(void *obj, void *data, QGuestAllocator *alloc)
{
    const char *names[] = { [FREE] = "free", [COLD] = "cold" };
    uint8_t state = GPOINTER_TO_UINT(data);
    BalloonTest t;

    balloon_start(&t, obj, alloc, 0);
    balloon_fill(&t, SPOT, 4, 1);
    for (unsigned i = 0; i < 16; i++) {
        UsageReply reply = usage_one(&t, SPOT, 4, state);

        g_assert_cmpuint(reply.accepted, ==, 1);
        g_assert_cmpuint(reply.acted, ==, 0);
    }
    g_assert_cmpuint(usage_stat(&t, names[state], "failures"), ==, 16);
    if (state == FREE) {
        /* No more: each failure is a message in the host's log. */
        usage_refused(&t, SPOT, 4, FREE, VIRTIO_BALLOON_USAGE_R_INHIBITED);
    }
    balloon_intact(&t, SPOT, 4, 1);
    balloon_end(&t);
}

static void *fail_cold(GString *cmd_line, void *arg)
{
    balloon_shim(stringify(20));        /* MADV_COLD */
    return GUINT_TO_POINTER(COLD);
}

static void *fail_free(GString *cmd_line, void *arg)
{
    balloon_shim(stringify(4));         /* MADV_DONTNEED */
    return GUINT_TO_POINTER(FREE);
}

/* Settings that make no sense are refused with a message that says why. */
static void test_bad_settings(void *obj, void *data, QGuestAllocator *alloc)
{
    const char *const cases[][2] = {
        { "usage-max-ranges=0", "usage-max-ranges is 0, it must be between" },
        { "usage-max-ranges=1025", "usage-max-ranges is 1025, it must be" },
        { "usage-rate=2P", "bytes per second, it must be 0 or between" },
        { "usage-rate=1000K", "bytes per second, it must be 0 or between" },
        { "usage-cold=warm", "warm" },
    };
    QVirtioBalloon *balloon = obj;
    QTestState *qts = container_of(balloon->vdev, QVirtioPCIDevice,
                                   vdev)->pdev->bus->qts;

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        g_autofree char *line = g_strdup_printf(
            "device_add virtio-balloon-pci,addr=7,%s", cases[i][0]);
        g_autofree char *said = qtest_hmp(qts, "%s", line);

        g_test_message("%s: %s", cases[i][0], said);
        g_assert_nonnull(strstr(said, cases[i][1]));
    }
}

static void add_test(const char *name, QOSTestFunc function)
{
    QOSGraphTestOptions opts = {
        .edge.extra_device_opts = BALLOON_ID ",page-usage=on",
    };

    qos_add_test(name, "virtio-balloon", function, &opts);
}

static void add_failing(const char *name, QOSBeforeTest before)
{
    QOSGraphTestOptions opts = {
        .edge.extra_device_opts = BALLOON_ID ",page-usage=on",
        .before = before,
    };

    qos_add_test(name, "virtio-balloon", test_failing_call, &opts);
}

static void register_balloon_fault_tests(void)
{
    if (!balloon_knows_machine()) {
        return;
    }
    add_test("usage-fault/malformed", test_malformed);
    add_test("usage-fault/no-reply", test_no_reply);
    add_test("usage-fault/not-negotiated", test_not_negotiated);
    add_test("usage-fault/frees-ring", test_frees_ring);
    add_test("usage-fault/random", test_random);
    add_test("usage-fault/noise", test_noise);
    add_test("usage-fault/many", test_many);
    add_test("usage-fault/stopped", test_stopped);
    add_test("usage-fault/migration", test_migration);
    add_test("usage-fault/bad-settings", test_bad_settings);
    add_failing("usage-fault/failing-call/cold", fail_cold);
    add_failing("usage-fault/failing-call/free", fail_free);
}

libqos_init(register_balloon_fault_tests);
