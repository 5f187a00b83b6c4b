/*
 * virtio-signal: what a peer may do to the machine, and when
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "qemu/bswap.h"
#include "qemu/module.h"
#include "virtio-signal-peer.h"

static uint16_t act(SigPeer *p, uint16_t class_id)
{
    struct virtio_signal_req req = sig_req(class_id, NODE_TARGET);

    return sig_peer_signal(p, class_id, &req);
}

static void expect_runstate(SigTest *t, const char *state)
{
    QDict *rsp = qtest_qmp_assert_success_ref(t->qts, "{ 'execute': "
                                              "'query-status' }");

    g_assert_cmpstr(qdict_get_str(rsp, "status"), ==, state);
    qobject_unref(rsp);
}

/* A pause is its owner's: the peer ends its own ones only. */
static void test_pause(void *obj, void *data, QGuestAllocator *alloc)
{
    SigPeer p;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    p = sig_peer_start(VIRTIO_SIGNAL_PEER_READY);
    g_assert_cmpuint(act(&p, CLASS(BOOT)), ==, STATUS(STATE));
    g_assert_cmpuint(act(&p, CLASS(KILL)), ==, STATUS(OK));
    expect_runstate(&t, "paused");
    g_assert_cmpuint(act(&p, CLASS(KILL)), ==, STATUS(STATE));
    g_assert_cmpuint(act(&p, CLASS(RESET)), ==, STATUS(STATE));
    g_assert_cmpuint(act(&p, CLASS(BOOT)), ==, STATUS(OK));
    expect_runstate(&t, "running");

    /* The monitor's pause, also one that comes after the peer's was ended */
    g_assert_cmpuint(act(&p, CLASS(KILL)), ==, STATUS(OK));
    qtest_qmp_assert_success(t.qts, "{ 'execute': 'cont' }");
    qtest_qmp_assert_success(t.qts, "{ 'execute': 'stop' }");
    g_assert_cmpuint(act(&p, CLASS(BOOT)), ==, STATUS(STATE));
    g_assert_cmpuint(act(&p, CLASS(RESET)), ==, STATUS(STATE));
    expect_runstate(&t, "paused");
    qtest_qmp_assert_success(t.qts, "{ 'execute': 'cont' }");

    /* What was accepted can be taken back at any time, and not given. */
    g_assert_cmpuint(act(&p, CLASS(KILL)), ==, STATUS(OK));
    qtest_qmp_assert_success(t.qts, "{ 'execute': 'qom-set', 'arguments': {"
        " 'path': '/objects/link1', 'property': 'accept-boot',"
        " 'value': false } }");
    g_assert_cmpuint(act(&p, CLASS(BOOT)), ==, STATUS(PERM));
    qobject_unref(qtest_qmp_assert_failure_ref(t.qts, "{ 'execute': 'qom-set',"
        " 'arguments': { 'path': '/objects/link1', 'property': 'accept-boot',"
        " 'value': true } }"));
    g_assert_cmpuint(act(&p, CLASS(BOOT)), ==, STATUS(PERM));
    expect_runstate(&t, "paused");
    qtest_qmp_assert_success(t.qts, "{ 'execute': 'cont' }");
    sig_peer_close(&p);
    sig_end(&t);
    qos_invalidate_command_line();
}

static bool disk_is_active(QTestState *qts)
{
    QDict *rsp = qtest_qmp(qts, "{ 'execute': 'query-named-block-nodes' }");
    QDict *node = qobject_to(QDict, qlist_peek(qdict_get_qlist(rsp,
                                                               "return")));
    bool active;

    g_assert_cmpstr(qdict_get_str(node, "node-name"), ==, "disk");
    active = qdict_get_bool(node, "active");
    qobject_unref(rsp);
    return active;
}

/* After a migration to a machine that is held, BOOT takes the disks over. */
static void test_boot_after_migration(void *obj, void *data,
                                      QGuestAllocator *alloc)
{
    g_autofree char *dir = g_dir_make_tmp("vadis-signal-XXXXXX", NULL);
    g_autofree char *uri = g_strdup_printf("file:%s/state", dir);
    g_autofree char *file = g_strdup_printf("%s/state", dir);
    g_autofree char *line = NULL;
    QTestState *from, *to;
    SigPeer p, second;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    from = t.qts;
    /* As if started with -S: that is what the other one then is, too. */
    qtest_qmp_assert_success(from, "{ 'execute': 'stop' }");
    qtest_qmp_assert_success(from, "{ 'execute': 'system_reset' }");
    qtest_qmp_eventwait(from, "RESET");
    expect_runstate(&t, "prelaunch");
    qtest_qmp_assert_success(from, "{ 'execute': 'migrate', 'arguments':"
                             " { 'uri': %s } }", uri);
    sig_wait_migrated(from);
    g_assert_false(disk_is_active(from));
    /* Its state is elsewhere: nobody may let it run again. */
    p = sig_peer_start(VIRTIO_SIGNAL_PEER_READY);
    g_assert_cmpuint(act(&p, CLASS(BOOT)), ==, STATUS(STATE));
    g_assert_cmpuint(act(&p, CLASS(KILL)), ==, STATUS(STATE));

    line = sig_peer_command_line();
    to = qtest_initf("%s -S -incoming %s", line, uri);
    sig_wait_migrated(to);
    sig_use(&t, to);
    expect_runstate(&t, "prelaunch");
    g_assert_false(disk_is_active(to));
    /* The source listens, too, but not while it has a connection. */
    second = sig_peer_start(VIRTIO_SIGNAL_PEER_READY);
    g_assert_cmpuint(act(&second, CLASS(BOOT)), ==, STATUS(OK));
    expect_runstate(&t, "running");
    g_assert_true(disk_is_active(to));
    sig_peer_close(&second);
    sig_peer_close(&p);
    sig_end(&t);

    sig_use(&t, from);
    qtest_quit(to);
    qos_invalidate_command_line();
    unlink(file);
    rmdir(dir);
}

static void register_virtio_signal_action_tests(void)
{
    QOSGraphTestOptions pause = {
        .edge.extra_device_opts = "signal-bus=bus0,node=0",
        .before = sig_peer_before,
        .arg = (void *)",accept-kill=on,kill-action=pause,accept-boot=on,"
                       "accept-reset=on",
    };
    QOSGraphTestOptions boot = {
        .edge.extra_device_opts = "signal-bus=bus0,node=0",
        .before = sig_peer_before,
        .arg = (void *)",accept-kill=on,kill-action=pause,accept-boot=on "
                       "-blockdev null-co,node-name=disk,read-zeroes=on",
    };

    qos_add_test("action/pause", "virtio-signal", test_pause, &pause);
    qos_add_test("action/boot-after-migration", "virtio-signal",
                 test_boot_after_migration, &boot);
}

libqos_init(register_virtio_signal_action_tests);
