/*
 * virtio-signal: how connections of links end
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "qemu/bswap.h"
#include "qemu/module.h"
#include "virtio-signal-peer.h"

/* A peer that reads no more is found out by what it asks for. */
static void test_half_closed(void *obj, void *data, QGuestAllocator *alloc)
{
    uint64_t token = 0;
    QDict *peer;
    SigPeer p;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    p = sig_peer_start(VIRTIO_SIGNAL_PEER_READY);
    shutdown(p.fd, SHUT_RD);
    sig_peer_send(&p, VIRTIO_SIGNAL_LINK_PING, &token, sizeof(token));
    sig_peer_expect_state(&t, "down");
    peer = sig_peer_query(&t);
    g_assert_cmpstr(qdict_get_str(peer, "error"), ==,
                    "the connection cannot be written to");
    qobject_unref(peer);
    sig_peer_close(&p);
    p = sig_peer_start(VIRTIO_SIGNAL_PEER_READY);
    sig_peer_close(&p);
    sig_end(&t);
}

/* Without its link a connection has no use: it ends with a BYE. */
static void test_delete(void *obj, void *data, QGuestAllocator *alloc)
{
    struct virtio_signal_req req = sig_req(CLASS(IRQ), 0);
    QVirtQueue *vq;
    uint32_t token;
    uint64_t in;
    SigFrame f;
    SigPeer p;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    p = sig_peer_start(VIRTIO_SIGNAL_PEER_READY);
    req.dst_node = cpu_to_le16(PEER_NODE);
    vq = t.vq[VIRTIO_SIGNAL_SENDQ0];
    token = sig_add(&t, vq, &req, sizeof(req),
                    sizeof(struct virtio_signal_reply), &in);
    sig_peer_expect(&p, VIRTIO_SIGNAL_LINK_SIGNAL, &f);
    qtest_qmp_assert_success(t.qts, "{ 'execute': 'object-del', 'arguments': "
                             "{ 'id': 'link1' } }");
    sig_wait(&t, vq, token);
    g_assert_cmpuint(qtest_readw(t.qts, in), ==, STATUS(AGAIN));
    g_assert_true(sig_peer_read(&p, &f));
    g_assert_cmpuint(f.type, ==, VIRTIO_SIGNAL_LINK_BYE);
    g_assert_false(sig_peer_read(&p, &f));
    sig_peer_close(&p);
    sig_end(&t);
    qos_invalidate_command_line();
}

/* The driver hears what its peers are on the other host. */
static void test_migration(void *obj, void *data, QGuestAllocator *alloc)
{
    g_autofree char *dir = g_dir_make_tmp("vadis-signal-XXXXXX", NULL);
    g_autofree char *uri = g_strdup_printf("file:%s/state", dir);
    g_autofree char *file = g_strdup_printf("%s/state", dir);
    g_autofree char *line = NULL;
    struct virtio_signal_req irq = sig_req(CLASS(IRQ), 0);
    struct virtio_signal_event ev;
    QTestState *from, *to;
    SigPeer p;
    SigTest t;

    sig_start(&t, obj, alloc, 0);
    from = t.qts;
    sig_give(&t, 0, 2);
    p = sig_peer_start(VIRTIO_SIGNAL_PEER_READY);
    g_assert_cmpuint(sig_event(&t, 0).signal, ==, VIRTIO_SIGNAL_PEER_READY);
    qtest_qmp_assert_success(from, "{ 'execute': 'migrate', 'arguments':"
                             " { 'uri': %s } }", uri);
    sig_wait_migrated(from);
    /* What came to the source now would be lost. */
    g_assert_cmpuint(sig_peer_signal(&p, 0, &irq), ==, STATUS(PEER_DOWN));

    line = sig_peer_command_line();
    to = qtest_initf("%s -incoming %s", line, uri);
    sig_wait_migrated(to);
    qtest_qmp_assert_success(to, "{ 'execute': 'cont' }");
    sig_use(&t, to);
    ev = sig_event(&t, 0);
    g_assert_cmpuint(ev.class_id, ==, CLASS(PEER));
    g_assert_cmpuint(ev.signal, ==, VIRTIO_SIGNAL_PEER_DOWN);
    g_assert_cmpuint(ev.src_node, ==, PEER_NODE);
    sig_end(&t);

    sig_use(&t, from);
    qtest_quit(to);
    qos_invalidate_command_line();
    sig_peer_close(&p);
    unlink(file);
    rmdir(dir);
}

static void add_test(const char *name, const char *options,
                     QOSTestFunc function)
{
    g_autofree char *full = g_strdup_printf("signal-bus=bus0,node=0%s%s",
                                            options ? "," : "", options ?: "");
    QOSGraphTestOptions opts = {
        .edge.extra_device_opts = full,
        .before = sig_peer_before,
    };

    qos_add_test(name, "virtio-signal", function, &opts);
}

static void register_virtio_signal_end_tests(void)
{
    add_test("link/half-closed", NULL, test_half_closed);
    add_test("link/delete", NULL, test_delete);
    add_test("link/migration", NULL, test_migration);
}

libqos_init(register_virtio_signal_end_tests);
