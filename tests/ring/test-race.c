/*
 * Driver and device on two threads that wait for notifications only
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the barriers of the ring promise, tried for real: payload is plain
 * memory, ordered by nothing but the ring (ThreadSanitizer sees any missing
 * acquire or release), and each side goes to sleep by the rules and wakes by
 * a notification alone (a missing full barrier loses one, and the test hangs
 * until its time is up). RING_REQUESTS raises the number of requests.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include "ring-test.h"

#define NUM 16u

typedef struct Race {
    RingTest *t;
    _Atomic uint32_t kick;
    _Atomic uint32_t call;
    _Atomic bool stop;
    unsigned requests;
    unsigned done;
    uint64_t kicks, calls;
} Race;

/* Payload of buffer @i: one word there, one word back */
typedef struct Payload {
    uint64_t question;
    uint64_t answer;
} Payload;

static uint64_t payload_addr(const RingTest *t, unsigned i)
{
    return ring_test_table(t, i);
}

static Payload *payload_at(const RingTest *t, uint64_t addr)
{
    return vdrv_direct_ptr(t->mem, addr);
}

static void ring_bell(_Atomic uint32_t *bell)
{
    atomic_fetch_add_explicit(bell, 1, memory_order_relaxed);
}

/* Returns false when the run is over */
static bool wait_bell(_Atomic uint32_t *bell, uint32_t seen, Race *r)
{
    while (atomic_load_explicit(bell, memory_order_relaxed) == seen) {
        if (atomic_load_explicit(&r->stop, memory_order_relaxed)) {
            return false;
        }
        sched_yield();
    }
    return true;
}

static uint64_t answer(uint64_t question)
{
    return question * 3 + 1;
}

/* Serve one chain: read the question, write the answer, no atomics */
static ModelUsed serve(RingTest *t, const ModelChain *c)
{
    const Payload *from = payload_at(t, c->seg[0].addr);
    Payload *to = payload_at(t, c->seg[1].addr -
                             offsetof(Payload, answer));

    to->answer = answer(from->question);
    return model_used(c, sizeof(to->answer));
}

static void *device_thread(void *opaque)
{
    Race *r = opaque;
    RingTest *t = r->t;
    ModelSeg seg[4];
    unsigned turn = 0;

    for (;;) {
        ModelUsed used[NUM];
        unsigned n = 0, limit = 1 + turn++ % NUM;
        uint32_t seen;

        while (n < limit) {
            ModelChain c = { .seg = seg, .max = 4 };
            int ret = model_pop(t->m, &t->dev, &c);

            g_assert_cmpint(ret, >=, 0);
            if (!ret) {
                break;
            }
            g_assert_cmpuint(c.nseg, ==, 2);
            used[n++] = serve(t, &c);
        }
        if (n && t->dev.in_order) {
            model_push_batch(t->m, &t->dev, used, n);
        } else if (n) {
            model_push(t->m, &t->dev, used, n);
        }
        if (n && model_should_notify(t->m, &t->dev)) {
            r->calls++;
            ring_bell(&r->call);
        }
        if (n) {
            continue;
        }
        seen = atomic_load_explicit(&r->kick, memory_order_relaxed);
        if (!model_enable_kick(t->m, &t->dev) &&
            !wait_bell(&r->kick, seen, r)) {
            return NULL;
        }
        if (turn % 3 == 0) {
            model_disable_kick(t->m, &t->dev);
        }
    }
}

static bool driver_send(Race *r, unsigned sent, bool *busy)
{
    RingTest *t = r->t;
    unsigned i = 0;
    VdrvSeg seg[2];
    VdrvBuf buf = { .seg = seg, .out = 1, .in = 1 };
    Payload *p;
    int ret;

    while (busy[i]) {
        i++;
    }
    p = payload_at(t, payload_addr(t, i));
    seg[0] = (VdrvSeg) { payload_addr(t, i), 8 };
    seg[1] = (VdrvSeg) { payload_addr(t, i) + 8, 8 };
    buf.token = p;
    if (t->vq.indirect && sent % 2) {
        buf.table = ring_test_table(t, 512 + i);
    }
    p->question = sent;
    p->answer = 0;
    ret = vdrv_add(t->m, &t->vq, &buf);
    if (ret == VDRV_ENOSPC) {
        return false;
    }
    g_assert_cmpint(ret, ==, VDRV_OK);
    busy[i] = true;
    return true;
}

static unsigned driver_take(Race *r, bool *busy)
{
    RingTest *t = r->t;
    VdrvUsed used = { 0 };
    unsigned n = 0;
    int ret;

    while ((ret = vdrv_get(t->m, &t->vq, &used)) > 0) {
        Payload *p = used.token;
        unsigned i = ((uintptr_t)p - (uintptr_t)payload_at(t,
                      payload_addr(t, 0))) /
                     (payload_addr(t, 1) - payload_addr(t, 0));

        g_assert_cmpuint(p->answer, ==, answer(p->question));
        g_assert_cmpuint(used.len, ==, 8);
        g_assert_true(busy[i]);
        busy[i] = false;
        n++;
    }
    g_assert_cmpint(ret, ==, 0);
    return n;
}

static void driver_loop(Race *r)
{
    RingTest *t = r->t;
    bool busy[NUM + 1] = { false };
    unsigned sent = 0, turn = 0;

    while (r->done < r->requests) {
        unsigned batch = 1 + turn % 7, got;
        uint32_t seen;

        while (batch-- && sent < r->requests &&
               driver_send(r, sent, busy)) {
            sent++;
        }
        vdrv_publish(t->m, &t->vq);
        if (vdrv_kick_needed(t->m, &t->vq)) {
            r->kicks++;
            ring_bell(&r->kick);
        }
        got = driver_take(r, busy);
        r->done += got;
        turn++;
        if (got || (sent < r->requests && t->vq.num_free > 1)) {
            continue;
        }
        seen = atomic_load_explicit(&r->call, memory_order_relaxed);
        if (!vdrv_enable_cb_after(t->m, &t->vq, turn % 3)) {
            wait_bell(&r->call, seen, r);
        }
        if (turn % 4 == 0) {
            vdrv_disable_cb(t->m, &t->vq);
        }
    }
}

static void test_race(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data);
    g_autoptr(RingTest) t = ring_test_new(features, NUM);
    const char *env = getenv("RING_REQUESTS");
    Race r = { .t = t, .requests = env ? (unsigned)atoi(env) : 20000 };
    pthread_t th;

    g_assert_cmpint(pthread_create(&th, NULL, device_thread, &r), ==, 0);
    driver_loop(&r);
    atomic_store_explicit(&r.stop, true, memory_order_relaxed);
    pthread_join(th, NULL);
    g_test_message("%u requests, %" G_GUINT64_FORMAT " kicks, %"
                   G_GUINT64_FORMAT " interrupts", r.done, r.kicks, r.calls);
    g_assert_cmpuint(r.done, ==, r.requests);
    ring_test_assert_idle(t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < 16; i++) {
        uint64_t features = (i & 1 ? VDRV_F_PACKED : 0) |
                            (i & 2 ? VDRV_F_EVENT_IDX : 0) |
                            (i & 4 ? VDRV_F_IN_ORDER : 0) |
                            (i & 8 ? VDRV_F_INDIRECT : 0);
        g_autofree char *path =
            g_strdup_printf("/race/%s%s%s%s", i & 1 ? "packed" : "split",
                            i & 2 ? "/event" : "", i & 4 ? "/in-order" : "",
                            i & 8 ? "/indirect" : "");

        g_test_add_data_func(path, GSIZE_TO_POINTER(features), test_race);
    }
    return g_test_run();
}
