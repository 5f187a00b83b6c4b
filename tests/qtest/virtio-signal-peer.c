/*
 * The other end of a signal-link, as a test speaks it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/un.h>
#include "libqtest.h"
#include "qemu/bswap.h"
#include "qemu/sockets.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "virtio-signal-peer.h"

static struct sockaddr_un peer_address;
static int peer_listener = -1;
static char *peer_options;

static void peer_destroy(void *opaque)
{
    g_autofree char *dir = g_path_get_dirname(peer_address.sun_path);

    close(peer_listener);
    unlink(peer_address.sun_path);
    rmdir(dir);
    g_clear_pointer(&peer_options, g_free);
}

void *sig_peer_before(GString *cmd_line, void *arg)
{
    g_autofree char *dir = g_dir_make_tmp("vadis-link-XXXXXX", NULL);

    peer_address = (struct sockaddr_un) { .sun_family = AF_UNIX };
    g_assert_cmpint(snprintf(peer_address.sun_path,
                             sizeof(peer_address.sun_path), "%s/link", dir),
                    <, sizeof(peer_address.sun_path));
    /* QEMU inherits it. */
    peer_listener = socket(AF_UNIX, SOCK_STREAM, 0);
    g_assert_cmpint(bind(peer_listener, (struct sockaddr *)&peer_address,
                         sizeof(peer_address)), ==, 0);
    g_assert_cmpint(listen(peer_listener, 8), ==, 0);
    peer_options = g_strdup_printf(" -object signal-bus,id=bus0"
        " -chardev socket,id=link,fd=%d,server=on,wait=off"
        " -object signal-link,id=link1,signal-bus=bus0,chardev=link,"
        "local-node=%d,peer-node=%d,credits=%d%s ", peer_listener,
        PEER_LOCAL_NODE, PEER_NODE, LINK_CREDITS, arg ? (char *)arg : "");
    g_string_append(cmd_line, peer_options);
    /* The same words may mean another socket: take no QEMU of before. */
    qos_invalidate_command_line();
    g_test_queue_destroy(peer_destroy, NULL);
    return arg;
}

char *sig_peer_command_line(void)
{
    return g_strconcat(qos_get_current_command_line(), peer_options, NULL);
}

SigPeer sig_peer_connect(void)
{
    struct timeval patience = { .tv_sec = 30 };
    SigPeer p = { .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };

    g_assert_cmpint(connect(p.fd, (struct sockaddr *)&peer_address,
                            sizeof(peer_address)), ==, 0);
    setsockopt(p.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(p.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    return p;
}

void sig_peer_expect_error(SigTest *t, const char *error, int bad_frames)
{
    QDict *peer = sig_peer_query(t);

    g_assert_cmpstr(qdict_get_str(peer, "error"), ==, error);
    if (bad_frames >= 0) {
        g_assert_cmpint(qdict_get_int(peer, "bad-frames"), ==, bad_frames);
    }
    qobject_unref(peer);
}

void sig_peer_forgiven(SigTest *t)
{
    qtest_clock_step(t->qts, 4 * 1000000000ll);
}

void sig_peer_close(SigPeer *p)
{
    close(p->fd);
    p->fd = -1;
}

void sig_peer_write(SigPeer *p, const void *data, size_t len)
{
    while (len) {
        ssize_t n = send(p->fd, data, len, MSG_NOSIGNAL);

        if (n < 0) {
            g_assert_true(errno == EPIPE || errno == ECONNRESET);
            return;
        }
        data = (const uint8_t *)data + n;
        len -= n;
    }
}

void sig_peer_send(SigPeer *p, uint16_t type, const void *body, size_t len)
{
    struct virtio_signal_link_frame frame = {
        .magic = cpu_to_le32(VIRTIO_SIGNAL_LINK_MAGIC),
        .version = cpu_to_le16(VIRTIO_SIGNAL_LINK_VERSION),
        .type = cpu_to_le16(type),
        .length = cpu_to_le32(len),
        .seq = cpu_to_le32(p->out_seq++),
    };

    sig_peer_write(p, &frame, sizeof(frame));
    sig_peer_write(p, body, len);
}

/* Returns false at the end, which must not be in the middle. */
static bool read_all(SigPeer *p, void *data, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = recv(p->fd, (uint8_t *)data + done, len - done, 0);

        if (n < 0 && errno == ECONNRESET) {
            return false;
        }
        /* A negative one is the deadline. */
        g_assert_cmpint(n, >=, 0);
        if (!n) {
            return false;
        }
        done += n;
    }
    return true;
}

bool sig_peer_read(SigPeer *p, SigFrame *f)
{
    struct virtio_signal_link_frame frame;

    if (!read_all(p, &frame, sizeof(frame))) {
        return false;
    }
    g_assert_cmphex(le32_to_cpu(frame.magic), ==, VIRTIO_SIGNAL_LINK_MAGIC);
    g_assert_cmpuint(le16_to_cpu(frame.version), ==,
                     VIRTIO_SIGNAL_LINK_VERSION);
    g_assert_cmpuint(le32_to_cpu(frame.seq), ==, p->in_seq++);
    f->type = le16_to_cpu(frame.type);
    f->length = le32_to_cpu(frame.length);
    g_assert_cmpuint(f->length, <=, VIRTIO_SIGNAL_LINK_BODY_MAX);
    f->body[f->length] = 0;
    return read_all(p, f->body, f->length);
}

void sig_peer_expect(SigPeer *p, uint16_t type, SigFrame *f)
{
    do {
        g_assert_true(sig_peer_read(p, f));
        g_assert_cmpuint(f->type, !=, VIRTIO_SIGNAL_LINK_BYE);
    } while (f->type != type);
}

void sig_peer_expect_end(SigPeer *p)
{
    SigFrame f;

    while (sig_peer_read(p, &f)) {
        if (f.type == VIRTIO_SIGNAL_LINK_BYE) {
            g_test_message("BYE: %s", f.body);
        }
    }
    sig_peer_close(p);
}

struct virtio_signal_link_hello sig_peer_hello(void)
{
    return (struct virtio_signal_link_hello) {
        .version_min = cpu_to_le16(VIRTIO_SIGNAL_LINK_VERSION),
        .version_max = cpu_to_le16(VIRTIO_SIGNAL_LINK_VERSION),
        .node = cpu_to_le16(PEER_NODE),
        .peer_node = cpu_to_le16(PEER_LOCAL_NODE),
        .accepts = cpu_to_le32(0x7b),   /* all but NMI */
        .credits = cpu_to_le32(PEER_CREDITS),
        .num_targets = cpu_to_le16(PEER_TARGETS),
        .state = cpu_to_le16(VIRTIO_SIGNAL_PEER_READY),
        .nonce = cpu_to_le64(0x1234),
    };
}

SigPeer sig_peer_start(uint16_t state)
{
    SigPeer p = sig_peer_connect();
    struct virtio_signal_link_hello hello = sig_peer_hello();
    SigFrame f;

    hello.state = cpu_to_le16(state);
    sig_peer_send(&p, VIRTIO_SIGNAL_LINK_HELLO, &hello, sizeof(hello));
    g_assert_true(sig_peer_read(&p, &f));
    g_assert_cmpuint(f.type, ==, VIRTIO_SIGNAL_LINK_HELLO);
    g_assert_cmpuint(f.length, ==, sizeof(hello));
    /* The link says this once it has taken our HELLO. */
    sig_peer_expect(&p, VIRTIO_SIGNAL_LINK_TARGETS, &f);
    return p;
}

uint16_t sig_peer_signal(SigPeer *p, uint32_t id,
                         const struct virtio_signal_req *req)
{
    struct {
        struct virtio_signal_link_call call;
        struct virtio_signal_req req;
    } body = { .call.id = cpu_to_le32(id), .req = *req };
    struct {
        struct virtio_signal_link_call call;
        struct virtio_signal_reply reply;
    } answer;
    SigFrame f;

    sig_peer_send(p, VIRTIO_SIGNAL_LINK_SIGNAL, &body,
                  sizeof(body.call) + sizeof(*req));
    sig_peer_expect(p, VIRTIO_SIGNAL_LINK_STATUS, &f);
    g_assert_cmpuint(f.length, ==, sizeof(answer));
    memcpy(&answer, f.body, sizeof(answer));
    g_assert_cmpuint(le32_to_cpu(answer.call.id), ==, id);
    return le16_to_cpu(answer.reply.status);
}

QDict *sig_peer_query(SigTest *t)
{
    QDict *info = sig_query(t->qts);
    QDict *peer = qobject_to(QDict,
                             qlist_peek(qdict_get_qlist(info, "peers")));

    g_assert_nonnull(peer);
    qobject_ref(peer);
    qobject_unref(info);
    return peer;
}

void sig_peer_expect_state(SigTest *t, const char *state)
{
    gint64 end = g_get_monotonic_time() + SIG_TIMEOUT_US;

    for (bool there = false; !there;) {
        QDict *peer = sig_peer_query(t);

        there = g_str_equal(qdict_get_str(peer, "state"), state);
        qobject_unref(peer);
        g_assert_cmpint(g_get_monotonic_time(), <, end);
    }
}
