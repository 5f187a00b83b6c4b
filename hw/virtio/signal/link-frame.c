/*
 * virtio-signal: frames on a byte stream
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "link.h"
#include "trace.h"

#define HEADER_SIZE sizeof(struct virtio_signal_link_frame)

static struct virtio_signal_link_frame *in_header(SignalLink *l)
{
    return (struct virtio_signal_link_frame *)l->in;
}

/* Bytes of the frame that is being read, as far as that is known */
static size_t in_size(SignalLink *l)
{
    return l->in_len < HEADER_SIZE ? HEADER_SIZE :
           HEADER_SIZE + le32_to_cpu(in_header(l)->length);
}

/* More than a frame: signal_link_read() takes it apart, without a poll each. */
int signal_link_can_read(void *opaque)
{
    SignalLink *l = opaque;

    if (l->state != SIGNAL_LINK_HELLO && l->state != SIGNAL_LINK_UP) {
        return 0;
    }
    return sizeof(l->in);
}

/* Returns false after failing the link. */
static bool check_header(SignalLink *l)
{
    const struct virtio_signal_link_frame *frame = in_header(l);
    uint16_t version = le16_to_cpu(frame->version);
    uint16_t type = le16_to_cpu(frame->type);

    if (le32_to_cpu(frame->magic) != VIRTIO_SIGNAL_LINK_MAGIC) {
        signal_link_fail(l, "not a frame: magic 0x%08x",
                         le32_to_cpu(frame->magic));
    } else if (le32_to_cpu(frame->length) > VIRTIO_SIGNAL_LINK_BODY_MAX) {
        signal_link_fail(l, "a frame of %u bytes, at most %u may be",
                         le32_to_cpu(frame->length),
                         VIRTIO_SIGNAL_LINK_BODY_MAX);
    } else if (le32_to_cpu(frame->seq) != l->in_seq) {
        signal_link_fail(l, "frame number %u, expected %u",
                         le32_to_cpu(frame->seq), l->in_seq);
    } else if (type != VIRTIO_SIGNAL_LINK_HELLO &&
               version != VIRTIO_SIGNAL_LINK_VERSION) {
        signal_link_fail(l, "a frame of version %u, %u is in use", version,
                         VIRTIO_SIGNAL_LINK_VERSION);
    }
    return l->state != SIGNAL_LINK_FAILED;
}

void signal_link_read(void *opaque, const uint8_t *buf, int size)
{
    SignalLink *l = opaque;

    l->heard = true;
    while (size > 0 && signal_link_can_read(l) > 0) {
        size_t n = MIN(size, in_size(l) - l->in_len);

        memcpy(l->in + l->in_len, buf, n);
        l->in_len += n;
        buf += n;
        size -= n;
        if (l->in_len == HEADER_SIZE && !check_header(l)) {
            return;
        }
        if (l->in_len == in_size(l)) {
            uint16_t type = le16_to_cpu(in_header(l)->type);
            size_t len = l->in_len - HEADER_SIZE;

            l->in_len = 0;
            l->in_seq++;
            trace_virtio_signal_link_frame(l->id, "received", type, len);
            signal_link_frame(l, type, l->in + HEADER_SIZE, len);
        }
    }
}

static void link_flush(SignalLink *l);

static gboolean link_writable(void *chr, GIOCondition cond, void *opaque)
{
    SignalLink *l = opaque;

    l->out_watch = 0;
    link_flush(l);
    return G_SOURCE_REMOVE;
}

/* Such a connection is always ready for writing: not to be waited for. */
static void link_write_error(SignalLink *l)
{
    g_byte_array_set_size(l->out, 0);
    if (l->state != SIGNAL_LINK_CLOSED && l->state != SIGNAL_LINK_FAILED) {
        /* The chardev keeps the reason for itself. */
        signal_link_end(l, g_strdup("the connection cannot be written to"));
    }
}

static void link_flush(SignalLink *l)
{
    while (l->out->len) {
        int n = qemu_chr_fe_write(&l->chr, l->out->data, l->out->len);

        /* An error may have closed the connection and emptied the buffer. */
        if (n < 0 && errno != EAGAIN) {
            link_write_error(l);
        }
        if (n <= 0) {
            break;
        }
        g_byte_array_remove_range(l->out, 0, n);
    }
    while (l->reply_count &&
           l->reply_end[l->reply_first] <= l->out_total - l->out->len) {
        l->reply_first = (l->reply_first + 1) % l->credits;
        l->reply_count--;
    }
    if (l->out->len && !l->out_watch) {
        l->out_watch = qemu_chr_fe_add_watch(&l->chr, G_IO_OUT | G_IO_HUP,
                                             link_writable, l);
    }
    if (!l->out->len && l->state == SIGNAL_LINK_UP) {
        signal_link_send_targets(l);
    }
}

static void link_append(SignalLink *l, uint16_t type, const void *body,
                        size_t len)
{
    struct virtio_signal_link_frame frame = {
        .magic = cpu_to_le32(VIRTIO_SIGNAL_LINK_MAGIC),
        .version = cpu_to_le16(VIRTIO_SIGNAL_LINK_VERSION),
        .type = cpu_to_le16(type),
        .length = cpu_to_le32(len),
        .seq = cpu_to_le32(l->out_seq++),
    };

    trace_virtio_signal_link_frame(l->id, "sent", type, len);
    g_byte_array_append(l->out, (const uint8_t *)&frame, sizeof(frame));
    g_byte_array_append(l->out, body, len);
    l->out_total += sizeof(frame) + len;
}

void signal_link_send(SignalLink *l, uint16_t type, const void *body,
                      size_t len)
{
    link_append(l, type, body, len);
    link_flush(l);
}

bool signal_link_may_reply(SignalLink *l)
{
    return l->reply_count < l->credits;
}

void signal_link_reply(SignalLink *l, uint16_t type, const void *body,
                       size_t len)
{
    unsigned last = (l->reply_first + l->reply_count) % l->credits;

    link_append(l, type, body, len);
    l->reply_end[last] = l->out_total;
    l->reply_count++;
    link_flush(l);
}

void signal_link_clear(SignalLink *l)
{
    if (l->out_watch) {
        g_source_remove(l->out_watch);
        l->out_watch = 0;
    }
    g_byte_array_set_size(l->out, 0);
    l->in_len = 0;
    l->in_seq = l->out_seq = 0;
    l->out_total = 0;
    l->reply_first = l->reply_count = 0;
    l->targets_news = false;
}

void signal_link_end(SignalLink *l, char *error)
{
    g_free(l->port.error);
    l->port.error = error;
    l->state = SIGNAL_LINK_FAILED;
    signal_link_alive_failed(l);
    qemu_bh_schedule(l->close_bh);
}

void signal_link_fail(SignalLink *l, const char *fmt, ...)
{
    va_list ap;

    if (l->state == SIGNAL_LINK_FAILED || l->state == SIGNAL_LINK_CLOSED) {
        return;
    }
    l->port.bad_frames++;
    va_start(ap, fmt);
    signal_link_end(l, g_strdup_vprintf(fmt, ap));
    va_end(ap);
    /* A courtesy to the peer's administrator; it may not get through. */
    signal_link_send(l, VIRTIO_SIGNAL_LINK_BYE, l->port.error,
                     strlen(l->port.error));
}
