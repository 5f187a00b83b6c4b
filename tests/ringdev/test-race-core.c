/*
 * Driver library and core in two threads: no notification is lost
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Each side sleeps whenever it finds nothing to do, so as to go through the
 * narrow place as often as possible. A side that sleeps for long while the
 * other one does so too has lost a notification.
 */
#include "qemu/osdep.h"
#include "ring.h"
#include <glib.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include "vring-driver.h"

#define GPA     0x40000000ULL
#define NUM     8u
#define TIMEOUT (20 * G_USEC_PER_SEC)

typedef struct Race {
    VdrvQueue vq;
    VdrvSlot vslots[NUM];
    VirtRing ring;
    VirtRingPos pos;
    VirtRingSlot slots[NUM];
    VirtRingAreas a;
    VirtRingMem mem;
    VirtRingSegs segs;
    uint8_t *ram;
    unsigned total;
    unsigned way;           /* how the device goes to sleep */
    int kick, interrupt;
    uint64_t sleeps;
} Race;

static unsigned map(void *opaque, VirtRingSegs *segs, uint64_t addr,
                    uint32_t len, bool write)
{
    unsigned at = segs->size.out_num + segs->size.in_num;

    (void)opaque;
    (void)write;
    segs->iov[at] = (struct iovec) { (void *)(uintptr_t)addr, len };
    segs->addr[at] = addr;
    return 1;
}

static void sleep_until(int *flag)
{
    int64_t end = g_get_monotonic_time() + TIMEOUT;

    for (unsigned i = 1; !__atomic_load_n(flag, __ATOMIC_ACQUIRE); i++) {
        /* Awake at once if the other side runs too; else let it run */
        if (i % 4096 == 0) {
            sched_yield();
            if (g_get_monotonic_time() > end) {
                g_error("a notification was lost");
            }
        }
    }
    __atomic_exchange_n(flag, 0, __ATOMIC_ACQ_REL);
}

/* Some time, so that the two meet at each point of their rounds */
static void dither(unsigned *state)
{
    *state = *state * 1103515245 + 12345;
    for (unsigned i = *state >> 16 & 127; i; i--) {
        __asm__ volatile("" : : : "memory");
    }
}

static void wake(int *flag)
{
    __atomic_store_n(flag, 1, __ATOMIC_RELEASE);
}

static bool nothing_left(Race *x)
{
    if (x->way == 0) {
        /* A fetch that found nothing has made sure, given EVENT_IDX */
        return x->a.event_idx;
    }
    vring_set_notification(&x->ring, &x->a, true);
    return vring_empty(&x->ring, &x->a);
}

static void *device(void *opaque)
{
    Race *x = opaque;
    unsigned done = 0, state = 1;

    while (done < x->total) {
        VirtRingChain c;
        unsigned n = 0, chains;

        dither(&state);
        if (x->way == 1) {
            vring_set_notification(&x->ring, &x->a, false);
        }
        while (n < 3 && vring_fetch(&x->ring, &x->a, &x->mem, &c, &x->segs)
                        == VRING_CHAIN) {
            g_assert_true(vring_fill(&x->ring, &x->a, &c,
                                     x->segs.size.in_len, n));
            n++;
        }
        if (n) {
            chains = vring_flush(&x->ring, &x->a, n);
            g_assert_cmpuint(chains, ==, n);
            done += n;
            if (vring_should_notify(&x->ring, &x->a)) {
                wake(&x->interrupt);
            }
        } else if (nothing_left(x)) {
            x->sleeps++;
            sleep_until(&x->kick);
        } else if (x->way == 0) {
            sched_yield();
        }
    }
    return NULL;
}

static void drive(Race *x)
{
    unsigned added = 0, done = 0, state = 2;

    while (done < x->total) {
        VdrvUsed used = { 0 };
        int ret;

        dither(&state);

        while (added < x->total && added - done < 1 + added % NUM) {
            VdrvSeg seg[2] = { { 0x1000, 1 }, { 0x2000, 7 } };
            VdrvBuf buf = {
                .seg = seg, .out = 1, .in = added % 2,
                .token = (void *)(uintptr_t)added,
            };

            if (vdrv_add(&vdrv_mem_direct, &x->vq, &buf)) {
                break;
            }
            added++;
        }
        vdrv_publish(&vdrv_mem_direct, &x->vq);
        if (vdrv_kick_needed(&vdrv_mem_direct, &x->vq)) {
            wake(&x->kick);
        }
        ret = vdrv_get(&vdrv_mem_direct, &x->vq, &used);
        g_assert_cmpint(ret, >=, 0);
        if (ret) {
            g_assert_cmpuint((uintptr_t)used.token, ==, done);
            g_assert_cmpuint(used.len, ==, done % 2 ? 7 : 0);
            done++;
        } else if (added - done && !vdrv_enable_cb(&vdrv_mem_direct,
                                                   &x->vq)) {
            sleep_until(&x->interrupt);
        }
    }
}

static void test_race(gconstpointer data)
{
    uint64_t features = GPOINTER_TO_SIZE(data);
    bool packed = features & VDRV_F_PACKED;
    VdrvLayout at = vdrv_layout(GPA, NUM, packed, 64);

    for (unsigned way = 0; way < 2; way++) {
        Race *x = aligned_alloc(64, (sizeof(Race) + 63) & ~63ul);
        VdrvConfig cfg = {
            .features = features | VDRV_F_VERSION_1, .num = NUM,
            .desc = at.desc, .driver = at.driver, .device = at.device,
        };
        GThread *thread;

        memset(x, 0, sizeof(*x));
        x->way = way;
        x->total = 10000;
        x->ram = aligned_alloc(4096, 4096);
        memset(x->ram, 0xa5, 4096);
        cfg.mem = vdrv_direct_mem(x->ram, GPA);
        cfg.slots = x->vslots;
        g_assert_cmpint(vdrv_init(&vdrv_mem_direct, &x->vq, &cfg), ==, 0);
        x->a = (VirtRingAreas) {
            .desc = x->ram + (at.desc - GPA),
            .driver = x->ram + (at.driver - GPA),
            .device = x->ram + (at.device - GPA),
            .num = NUM, .packed = packed,
            .event_idx = features & VDRV_F_EVENT_IDX,
            .in_order = features & VDRV_F_IN_ORDER,
        };
        x->pos = (VirtRingPos) {
            .last_avail_wrap_counter = true,
            .shadow_avail_wrap_counter = true, .used_wrap_counter = true,
            .notification = true,
        };
        x->ring = (VirtRing) {
            .pos = &x->pos, .slots = x->slots, .size = NUM,
        };
        x->mem = (VirtRingMem) {
            .map = map, .direct = { 0x1000, 0x1000, (uint8_t *)0x1000, false },
        };
        vring_set_notification(&x->ring, &x->a, true);
        thread = g_thread_new("device", device, x);
        drive(x);
        g_thread_join(thread);
        g_assert_cmpuint(x->pos.inuse, ==, 0);
        g_test_message("%" G_GUINT64_FORMAT " sleeps", x->sleeps);
        free(x->ram);
        free(x);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < 8; i++) {
        uint64_t features = (i & 1 ? VDRV_F_PACKED : 0) |
                            (i & 2 ? VDRV_F_EVENT_IDX : 0) |
                            (i & 4 ? VDRV_F_IN_ORDER : 0);
        g_autofree char *path =
            g_strdup_printf("/race/%s%s%s", i & 1 ? "packed" : "split",
                            i & 2 ? "/event" : "", i & 4 ? "/in-order" : "");

        g_test_add_data_func(path, GSIZE_TO_POINTER(features), test_race);
    }
    return g_test_run();
}
