/*
 * vhost-pci: the connection with A
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One message at a time: it is read, checked, acted on, acknowledged where the
 * device can do that itself, handed to the driver, and answered. While it is
 * in hand nothing more is read, so neither side can make the device hold more
 * than one message each way. A timer runs as long as A may be waiting for the
 * driver: a frontend reads answers with its main loop stopped, and only the end
 * of the connection frees it.
 */

#include "qemu/osdep.h"
#include "hw/virtio/virtio-guard.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/iov.h"
#include "qemu/timer.h"
#include "vhost-pci.h"
#include "trace.h"

#define HDR sizeof(struct vhost_pci_msg_hdr)

/* Least time between two warnings: a peer must not fill the log */
#define WARN_INTERVAL_MS 1000

static bool guest_ready(VhostPCI *s)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(s);

    /* An interrupt can unplug the device that sends it. */
    return DEVICE(s)->realized && vdev->vm_running && !vdev->broken &&
           (vdev->status & VIRTIO_CONFIG_S_DRIVER_OK);
}

static void arm(VhostPCI *s)
{
    if (!timer_pending(s->timer)) {
        timer_mod(s->timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
                  s->conf.reply_timeout_ms);
    }
}

static void timed_out(void *opaque)
{
    VhostPCI *s = opaque;
    VirtIOGuard guard = virtio_guard_engage(VIRTIO_DEVICE(s));
    Error *err = NULL;

    if (s->conn.state == VP_WAITING) {
        error_setg(&err, "no driver came for the frontend within %u ms",
                   s->conf.reply_timeout_ms);
    } else {
        error_setg(&err, "the driver did not %s %s within %u ms",
                   s->conn.open ? "answer" : "take",
                   vp_rule(s->conn.msg.hdr.request)->name,
                   s->conf.reply_timeout_ms);
    }
    vp_connection_drop(s, VIRTIO_VHOST_PCI_E_TIMEOUT, err);
    virtio_guard_restore(guard);
}

/* Ready for the next message */
static void next_message(VhostPCI *s)
{
    VPConnection *c = &s->conn;

    vp_message_close(&c->msg);
    c->msg.have = 0;
    c->in_hand = c->open = false;
    timer_del(s->timer);
    qemu_chr_fe_accept_input(&s->chr);
}

static void warn(VhostPCI *s, const char *what, Error *err)
{
    int64_t now = qemu_clock_get_ms(QEMU_CLOCK_REALTIME);

    if (!s->warned_ms || now - s->warned_ms >= WARN_INTERVAL_MS) {
        s->warned_ms = now;
        error_prepend(&err, "%s: %s: ", s->name, what);
        warn_report_err(err);
    } else {
        error_free(err);
    }
}

void vp_connection_drop(VhostPCI *s, unsigned code, Error *err)
{
    VPConnection *c = &s->conn;

    if (c->state == VP_CLOSED || s->dropping) {
        error_free(err);
        return;
    }
    s->dropping = true;
    trace_vhost_pci_drop(s->name, code, err ? error_get_pretty(err) : "");
    if (err) {
        warn(s, "connection closed", err);
    }

    vp_window_clear(&s->window);
    vp_grants_forget(&s->grants);
    vp_rings_clear(&s->rings);
    vp_message_close(&c->msg);
    if (c->backend_fd >= 0) {
        close(c->backend_fd);
    }
    if (c->tx_watch) {
        g_source_remove(c->tx_watch);
    }
    timer_del(s->timer);
    *c = (VPConnection) { .backend_fd = -1 };

    s->status = 0;
    s->generation++;
    s->last_error = code;
    vp_config_refresh(s);
    if (code != VIRTIO_VHOST_PCI_E_CLOSED) {
        qemu_chr_fe_disconnect(&s->chr);
    }
    s->dropping = false;
    virtio_notify_config(VIRTIO_DEVICE(s));
}

/* -- to A */

static gboolean tx_ready(void *chan, GIOCondition cond, void *opaque);

/* Send what the socket takes; the rest later. May find A gone: CLOSED. */
static void tx_flush(VhostPCI *s)
{
    VPConnection *c = &s->conn;
    int n = qemu_chr_fe_write(&s->chr, c->tx + c->tx_at, c->tx_len - c->tx_at);

    if (c->state != VP_UP) {
        return;
    }
    if (n > 0) {
        c->tx_at += n;
    }
    if (c->tx_at == c->tx_len) {
        c->tx_at = c->tx_len = 0;
        qemu_chr_fe_accept_input(&s->chr);
    } else if (!c->tx_watch) {
        c->tx_watch = qemu_chr_fe_add_watch(&s->chr, G_IO_OUT | G_IO_HUP,
                                            tx_ready, s);
    }
}

static gboolean tx_ready(void *chan, GIOCondition cond, void *opaque)
{
    VhostPCI *s = opaque;

    s->conn.tx_watch = 0;
    tx_flush(s);
    return G_SOURCE_REMOVE;
}

/* An answer to the message in hand; only one can be due at a time */
static void send_reply(VhostPCI *s, uint32_t request, const void *payload,
                       uint32_t size)
{
    VPConnection *c = &s->conn;
    struct vhost_pci_msg_hdr hdr = {
        .request = request,
        .flags = VHOST_PCI_MSG_VERSION | VHOST_PCI_MSG_REPLY,
        .size = size,
    };

    assert(!c->tx_len && HDR + size <= sizeof(c->tx));
    memcpy(c->tx, &hdr, HDR);
    memcpy(c->tx + HDR, payload, size);
    c->tx_len = HDR + size;
    tx_flush(s);
}

/* -- to the driver */

static bool has_protocol(VhostPCI *s, unsigned bit)
{
    return s->conn.protocol_features & BIT_ULL(bit);
}

/* Hand the message in hand to the driver, if it has a buffer */
static void relay(VhostPCI *s)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(s);
    VPConnection *c = &s->conn;
    size_t len = HDR + c->msg.hdr.size;
    bool answer = c->acked ||
                  vp_rule(c->msg.hdr.request)->reply != VP_NO_REPLY;
    VirtQueueElement *elem;
    Error *err = NULL;

    elem = guest_ready(s) ? virtqueue_pop(s->rxq, sizeof(*elem)) : NULL;
    if (!elem) {
        arm(s);
        return;
    }
    if (!virtqueue_element_is_ram(elem) ||
        iov_from_buf(elem->in_sg, elem->in_num, 0, c->msg.bytes, len) != len) {
        virtqueue_detach_element(s->rxq, elem, 0);
        g_free(elem);
        virtio_error(vdev, "%s: a receive buffer is smaller than a message, "
                     "or not RAM", s->name);
        error_setg(&err, "the driver's receive buffers are too small");
        vp_connection_drop(s, VIRTIO_VHOST_PCI_E_REPLY, err);
        return;
    }
    /* The ring may be anywhere: what is written to it can have any effect. */
    c->in_hand = false;
    c->open = answer;
    virtqueue_push(s->rxq, elem, len);
    g_free(elem);
    s->messages++;
    if (c->state != VP_UP) {
        return;
    }
    if (answer) {
        arm(s);
    } else {
        next_message(s);
    }
    virtio_notify(vdev, s->rxq);
}

/* A whole message is there */
static void dispatch(VhostPCI *s)
{
    VPConnection *c = &s->conn;
    const VPRule *rule = vp_rule(c->msg.hdr.request);
    bool ack = (c->msg.hdr.flags & VHOST_PCI_MSG_NEED_REPLY) &&
               has_protocol(s, VHOST_PCI_P_REPLY_ACK) &&
               rule->reply == VP_NO_REPLY;
    bool refused = false;
    unsigned code;
    Error *err = NULL;

    trace_vhost_pci_message(s->name, rule->name, c->msg.hdr.flags,
                            c->msg.hdr.size, c->msg.nfds);
    if (!vp_message_check(&c->msg, s->conf.num_queues, &code, &err)) {
        vp_connection_drop(s, code, err);
        return;
    }
    if (!vp_act(s, rule->action, &refused, &code, &err)) {
        /* What does not fit is an answer; anything else breaks the rules. */
        if (code != VIRTIO_VHOST_PCI_E_NO_ROOM || !ack) {
            vp_connection_drop(s, code, err);
            return;
        }
        warn(s, "refused", err);
        refused = true;
    }
    c->msg.hdr.flags = VHOST_PCI_MSG_VERSION;
    c->acked = false;
    if (rule->action > VP_SET_STATUS) {
        uint64_t answer = refused;

        if (refused) {
            /* Once A has the answer, nothing of what it sent may be open. */
            vp_message_close(&c->msg);
        }
        if (ack) {
            send_reply(s, c->msg.hdr.request, &answer, sizeof(answer));
            if (c->state != VP_UP) {
                return;         /* A did not wait for it */
            }
        } else if (refused) {
            error_setg(&err, "%s cannot be done", rule->name);
            vp_connection_drop(s, VIRTIO_VHOST_PCI_E_NO_ROOM, err);
            return;
        }
        if (refused) {
            next_message(s);
            return;
        }
    } else if (ack) {
        c->acked = true;
        c->msg.hdr.flags |= VHOST_PCI_MSG_NEED_REPLY;
    }
    c->in_hand = true;
    relay(s);
}

/* -- from A */

static int can_read(void *opaque)
{
    VhostPCI *s = opaque;
    VPConnection *c = &s->conn;

    if (c->state != VP_UP || c->in_hand || c->open || c->tx_len) {
        return 0;
    }
    return (c->msg.have < HDR ? HDR : HDR + c->msg.hdr.size) - c->msg.have;
}

static void read_bytes(void *opaque, const uint8_t *buf, int size)
{
    VhostPCI *s = opaque;
    VPConnection *c = &s->conn;
    VPMessage *msg = &c->msg;
    int fds[VP_FDS_MAX], n = qemu_chr_fe_get_msgfds(&s->chr, fds, VP_FDS_MAX);
    unsigned code;
    Error *err = NULL;

    for (int i = 0; i < n; i++) {
        if (msg->nfds < VP_FDS_MAX && c->state == VP_UP) {
            msg->fds[msg->nfds++] = fds[i];
        } else {
            close(fds[i]);
        }
    }
    if (size > can_read(s)) {
        return;                 /* closed in between */
    }
    memcpy(msg->bytes + msg->have, buf, size);
    msg->have += size;
    if (msg->have < HDR) {
        return;
    }
    if (msg->have == HDR && !vp_message_check_header(msg, &code, &err)) {
        vp_connection_drop(s, code, err);
        return;
    }
    if (msg->have == HDR + msg->hdr.size) {
        VirtIOGuard guard = virtio_guard_engage(VIRTIO_DEVICE(s));

        dispatch(s);
        virtio_guard_restore(guard);
    }
}

static void go_up(VhostPCI *s)
{
    Error *err = NULL;

    if (s->conf.iommu == VP_IOMMU_REQUIRED &&
        !virtio_vdev_has_feature(VIRTIO_DEVICE(s),
                                 VIRTIO_VHOST_PCI_F_PEER_IOMMU)) {
        error_setg(&err, "the driver does not know IOTLB messages, which "
                   "vhost-iommu=required asks for");
        vp_connection_drop(s, VIRTIO_VHOST_PCI_E_IOMMU, err);
        return;
    }
    timer_del(s->timer);
    s->conn.state = VP_UP;
    s->status |= VIRTIO_VHOST_PCI_S_FRONTEND_UP;
    s->last_error = VIRTIO_VHOST_PCI_E_NONE;
    s->window.enforcing = s->conf.iommu == VP_IOMMU_REQUIRED;
    s->connections++;
    trace_vhost_pci_up(s->name);
    virtio_notify_config(VIRTIO_DEVICE(s));
    qemu_chr_fe_accept_input(&s->chr);
}

static void event(void *opaque, QEMUChrEvent event)
{
    VhostPCI *s = opaque;
    VirtIOGuard guard = virtio_guard_engage(VIRTIO_DEVICE(s));

    switch (event) {
    case CHR_EVENT_OPENED:
        if (s->conn.state != VP_CLOSED) {
            break;
        }
        s->conn.state = VP_WAITING;
        arm(s);
        if (s->status & VIRTIO_VHOST_PCI_S_BACKEND_UP) {
            go_up(s);
        }
        break;
    case CHR_EVENT_CLOSED:
        vp_connection_drop(s, VIRTIO_VHOST_PCI_E_CLOSED, NULL);
        break;
    default:
        break;
    }
    virtio_guard_restore(guard);
}

/* -- from the driver */

void vp_connection_driver(VhostPCI *s, bool up)
{
    if (up == !!(s->status & VIRTIO_VHOST_PCI_S_BACKEND_UP)) {
        return;
    }
    if (!up) {
        s->status &= ~VIRTIO_VHOST_PCI_S_BACKEND_UP;
        if (s->conn.state == VP_UP) {
            vp_connection_drop(s, VIRTIO_VHOST_PCI_E_DRIVER, NULL);
        }
        return;
    }
    /* What was sent before is about an earlier connection. */
    vp_connection_tx(s);
    s->status |= VIRTIO_VHOST_PCI_S_BACKEND_UP;
    if (s->conn.state == VP_WAITING) {
        go_up(s);
    }
}

void vp_connection_rx(VhostPCI *s)
{
    if (s->conn.state == VP_UP && s->conn.in_hand) {
        relay(s);
    }
}

/* What the driver answers is shown to A within the limits of the device. */
static void limit_reply(VhostPCI *s, VPMessage *reply)
{
    uint64_t bits;

    switch (reply->hdr.request) {
    case VHOST_PCI_GET_FEATURES:
        bits = vp_message_u64(reply) & ~BIT_ULL(VHOST_PCI_F_LOG_ALL);
        if (s->conf.iommu == VP_IOMMU_OFF ||
            !virtio_vdev_has_feature(VIRTIO_DEVICE(s),
                                     VIRTIO_VHOST_PCI_F_PEER_IOMMU)) {
            bits &= ~BIT_ULL(VHOST_PCI_F_ACCESS_PLATFORM);
        }
        break;
    case VHOST_PCI_GET_PROTOCOL_FEATURES:
        bits = vp_message_u64(reply) & vp_protocol_mask();
        break;
    case VHOST_PCI_GET_QUEUE_NUM:
        bits = MIN(vp_message_u64(reply), s->conf.num_queues);
        break;
    default:
        return;
    }
    memcpy(reply->payload, &bits, sizeof(bits));
}

/* A request of the backend goes through A's other socket, without answer. */
static bool backend_request(VhostPCI *s, VPMessage *msg, size_t len)
{
    struct vhost_pci_iotlb miss;
    ssize_t sent;

    if (len < HDR || msg->hdr.size != len - HDR ||
        (msg->hdr.flags & ~VHOST_PCI_MSG_NEED_REPLY) !=
        VHOST_PCI_MSG_VERSION) {
        return false;
    }
    switch (msg->hdr.request) {
    case VHOST_PCI_BACKEND_IOTLB_MSG:
        memcpy(&miss, msg->payload, sizeof(miss));
        if (msg->hdr.size != sizeof(miss) ||
            miss.type != VHOST_PCI_IOTLB_MISS || !s->window.enforcing) {
            return false;
        }
        break;
    case VHOST_PCI_BACKEND_CONFIG_CHANGE:
        if (msg->hdr.size) {
            return false;
        }
        break;
    default:
        return false;
    }
    msg->hdr.flags = VHOST_PCI_MSG_VERSION;
    if (s->conn.backend_fd < 0) {
        return false;
    }
    sent = send(s->conn.backend_fd, msg->bytes, len,
                MSG_DONTWAIT | MSG_NOSIGNAL);
    /* That A does not read is no offence of the driver, which asks again. */
    return sent == len || (sent < 0 && errno == EAGAIN);
}

/*
 * A's device has stopped with its last ring, and unmaps its memory without
 * telling. Returns false when the connection is gone.
 */
static bool ring_stopped(VhostPCI *s, unsigned ring)
{
    VPConnection *c = &s->conn;
    Error *err = NULL;
    unsigned code;

    if (test_and_clear_bit(ring, c->started) &&
        bitmap_empty(c->started, VP_QUEUES_MAX) &&
        !vp_act_stopped(s, &code, &err)) {
        vp_connection_drop(s, code, err);
        return false;
    }
    return true;
}

/* Returns false when the driver broke the rules */
static bool from_driver(VhostPCI *s, VPMessage *msg, size_t len)
{
    VPConnection *c = &s->conn;

    if (len < HDR || !(msg->hdr.flags & VHOST_PCI_MSG_REPLY)) {
        return backend_request(s, msg, len);
    }
    if (!c->open || !vp_reply_check(&c->msg, msg, len, c->acked)) {
        return false;
    }
    limit_reply(s, msg);
    if (msg->hdr.request == VHOST_PCI_GET_VRING_BASE &&
        !ring_stopped(s, ldl_he_p(msg->payload))) {
        return true;
    }
    send_reply(s, msg->hdr.request, msg->payload, msg->hdr.size);
    if (c->state == VP_UP) {
        next_message(s);
    }
    return true;
}

static void tx_more(void *opaque)
{
    vp_connection_tx(opaque);
}

void vp_connection_tx(VhostPCI *s)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(s);
    bool any = false;
    unsigned i;

    /* No more than the ring holds, or the driver could keep us here. */
    for (i = 0; i < VP_QUEUE_SIZE && guest_ready(s); i++) {
        VirtQueueElement *elem = virtqueue_pop(s->txq, sizeof(*elem));
        VPMessage msg = { 0 };
        size_t len, all;

        if (!elem) {
            break;
        }
        all = iov_size(elem->out_sg, elem->out_num);
        len = iov_to_buf(elem->out_sg, elem->out_num, 0, msg.bytes,
                         sizeof(msg.bytes));
        virtqueue_push(s->txq, elem, 0);
        g_free(elem);
        any = true;
        if (s->conn.state == VP_UP &&
            (all > len || !from_driver(s, &msg, len))) {
            Error *err = NULL;

            error_setg(&err, "the driver sent a message that fits no request");
            vp_connection_drop(s, VIRTIO_VHOST_PCI_E_REPLY, err);
        }
    }
    if (i == VP_QUEUE_SIZE && DEVICE(s)->realized) {
        /* Its notifications were off: no kick tells of what is left. */
        qemu_bh_schedule(s->tx_bh);
    }
    if (any && DEVICE(s)->realized) {
        virtio_notify(vdev, s->txq);
    }
}

void vp_connection_init(VhostPCI *s)
{
    s->conn.backend_fd = -1;
    s->tx_bh = virtio_bh_new_guarded(DEVICE(s), tx_more, s);
    s->timer = timer_new_ms(QEMU_CLOCK_REALTIME, timed_out, s);
    qemu_chr_fe_set_handlers(&s->chr, can_read, read_bytes, event, NULL, s,
                             NULL, true);
}

void vp_connection_cleanup(VhostPCI *s)
{
    vp_connection_drop(s, VIRTIO_VHOST_PCI_E_DRIVER, NULL);
    qemu_chr_fe_deinit(&s->chr, false);
    g_clear_pointer(&s->tx_bh, qemu_bh_delete);
    timer_free(s->timer);
    s->timer = NULL;
}
