/*
 * virtio-signal: whether a link's peer is there, and when to talk to it again
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A peer from which nothing has come for an interval is asked by PING; if
 * nothing comes in the next one either, the connection is closed, and what
 * waited for the peer is answered. After each connection that had to be closed
 * the next one is kept waiting for twice as long: a peer that breaks the
 * protocol and comes back at once does not keep the main loop busy.
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/timer.h"
#include "qapi/qapi-events-virtio-signal.h"
#include "bucket.h"
#include "link.h"
#include "trace.h"

#define HELLO_MS 10000
#define TELL_MS 100
#define HOLD_NS_MIN INT64_C(100000000)
#define HOLD_DOUBLINGS_MAX 5    /* at most a third of the peer's HELLO_MS */

static int64_t link_now(void)
{
    return qemu_clock_get_ns(signal_clock());
}

static void link_arm(SignalLink *l, unsigned ms)
{
    l->tick_at = link_now() + ms * (int64_t)SCALE_MS;
    timer_mod_ns(l->timer, l->tick_at);
}

static unsigned link_interval(const SignalLink *l)
{
    return l->ping_ms ?: SIGNAL_PING_MS_DEFAULT;
}

void signal_link_alive_open(SignalLink *l)
{
    int64_t now = link_now();

    if (now < l->hold_until) {
        trace_virtio_signal_link_hold(l->id, l->hold_until - now);
        l->state = SIGNAL_LINK_HELD;
        timer_mod_ns(l->timer, l->hold_until);
    } else {
        signal_link_opened(l);
        link_arm(l, HELLO_MS);
    }
}

void signal_link_alive_up(SignalLink *l)
{
    l->heard = true;
    l->asked = false;
    link_arm(l, link_interval(l));
}

void signal_link_alive_closed(SignalLink *l)
{
    timer_del(l->timer);
    l->ping_slot = -1;
}

void signal_link_alive_failed(SignalLink *l)
{
    unsigned doublings = MIN(l->failures, HOLD_DOUBLINGS_MAX);

    l->failures++;
    l->hold_until = link_now() + (HOLD_NS_MIN << doublings);
}

/* All credits taken is a question, too: the peer owes answers. */
static void link_ask(SignalLink *l)
{
    uint64_t body;

    l->asked = true;
    if (l->ping_slot >= 0) {
        return;     /* It still owes the answer to that one. */
    }
    l->ping_slot = signal_link_slot(l);
    if (l->ping_slot >= 0) {
        l->slots[l->ping_slot].used = true;
        l->ping_sent = link_now();
        body = cpu_to_le64(l->ping_slot);
        signal_link_send(l, VIRTIO_SIGNAL_LINK_PING, &body, sizeof(body));
    }
}

/* The peer has broken no rule: it is not a bad frame. */
static void link_give_up(SignalLink *l, const char *what, unsigned ms)
{
    signal_link_end(l, g_strdup_printf("no %s in %u ms", what, ms));
    signal_link_send(l, VIRTIO_SIGNAL_LINK_BYE, l->port.error,
                     strlen(l->port.error));
}

static void link_tick_up(SignalLink *l)
{
    int64_t late = link_now() - l->tick_at;

    if (late > link_interval(l) * (int64_t)SCALE_MS / 2) {
        /* It was this QEMU that stood; what came may not have been read. */
        l->asked = false;
    } else if (l->heard) {
        l->heard = l->asked = false;
        l->failures = 0;
    } else if (l->asked) {
        link_give_up(l, "answer", l->ping_ms);
        return;
    } else if (l->ping_ms) {
        link_ask(l);
    }
    link_arm(l, link_interval(l));
}

void signal_link_alive_tick(void *opaque)
{
    SignalLink *l = opaque;

    if (l->state == SIGNAL_LINK_HELD) {
        signal_link_alive_open(l);
        /* Bytes may have come that signal_link_can_read() refused. */
        qemu_chr_fe_accept_input(&l->chr);
    } else if (l->state == SIGNAL_LINK_HELLO) {
        link_give_up(l, "HELLO", HELLO_MS);
    } else if (l->state == SIGNAL_LINK_UP) {
        link_tick_up(l);
    }
}

void signal_link_tell(SignalLink *l)
{
    if (signal_bucket_take(&l->changes)) {
        timer_del(l->tell_timer);
        signal_bus_changed(&l->port);
        qapi_event_send_virtio_signal_peer(
            l->id, l->peer_node, (VirtioSignalPeerState)l->port.state,
            l->port.error);
    } else if (!timer_pending(l->tell_timer)) {
        timer_mod_ns(l->tell_timer, link_now() + TELL_MS * SCALE_MS);
    }
}

void signal_link_tell_tick(void *opaque)
{
    signal_link_tell(opaque);
}

void signal_link_pong(SignalLink *l, const uint8_t *body, size_t len)
{
    if (len != sizeof(uint64_t)) {
        signal_link_fail(l, "a PONG of %zu bytes", len);
    } else if (l->ping_slot < 0 || ldq_le_p(body) != l->ping_slot) {
        signal_link_fail(l, "a PONG without a PING");
    } else {
        l->slots[l->ping_slot] = (SignalSlot) { };
        l->ping_slot = -1;
        l->port.ping_ns = link_now() - l->ping_sent;
    }
}
