/*
 * vring-bench: the measured loop.
 *
 * Copyright (c) 2026 Vadis contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Publish a batch whenever there is room for one, then take what is used.
 * The driver polls and asks for no interrupts; the device is kicked whenever
 * its event area asks for it, which a polled device stops doing after its
 * first requests.
 *
 * Memory that is mapped for one request is unmapped when the batch is back, and
 * mapped for the next one, between two slices: what is timed is the device with
 * new translations, and what the IOMMU does for the unmaps is in main_ns. That
 * takes one register access, which a device without an IOMMU is given, too.
 *
 * In lockstep the next batch waits until the device is at rest again, so that
 * it sees each batch whole and does the same work in every run: for counting,
 * not for timing.
 */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <linux/virtio_config.h>
#include "bench.h"

#define CACHE_LINE 64
#define PAGE 4096
#define MSI_DATA 1
/* How many empty looks pass between two looks at the clock. */
#define SPINS_PER_CLOCK 4096
/*
 * After so many answers on the socket a device in QEMU's main loop is at rest:
 * the loop came back to the socket each time, and a bottom half that puts
 * itself off does so twice at most.
 */
#define ANSWERS_TO_REST 4
/* Some hundred microseconds: shorter than a scheduler's slice. */
#define SLICE_REQUESTS 256
#define SLICES_LEAST 8
/* A duration is checked once in so many requests: reading a clock costs. */
#define REQUESTS_PER_CLOCK 256

typedef struct BenchLoop {
    const BenchConfig *cfg;
    VirtioPci *dev;
    Vtd *vtd;                   /* NULL: not behind an IOMMU */
    VdrvQueue vq;
    VdrvSlot *slots;
    BenchRequest *requests;     /* cfg->outstanding of them */
    BenchRequest *idle;
    uint64_t notify;            /* where a kick is written */
    uint32_t *msi;              /* where interrupts are written */
    clockid_t cpu_clock;        /* of QEMU */
    uint64_t stamp;
    uint64_t batches, kicks, interrupts, checked_bytes;
    uint64_t submitted, completed;
    bool mapped;                /* the next batch is, with cfg->map_each */
} BenchLoop;

uint64_t bench_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

/* Let QEMU's main loop finish what it has begun. */
static void settle(BenchLoop *l)
{
    for (int i = 0; i < ANSWERS_TO_REST; i++) {
        uint8_t status = virtio_pci_status(l->dev);

        if (status & VIRTIO_CONFIG_S_NEEDS_RESET) {
            bench_fail(BENCH_EXIT_DEVICE, "%s needs a reset after %" PRIu64
                       " requests: status 0x%x", l->cfg->device->name,
                       l->completed, status);
        }
    }
}

/* A thread's schedstat: ns that it has run, or has waited for a CPU */
static uint64_t thread_ns(const char *path, bool waited)
{
    unsigned long long run, wait;
    FILE *f = fopen(path, "r");

    if (!f || fscanf(f, "%llu %llu", &run, &wait) != 2) {
        bench_fail(BENCH_EXIT_USAGE, "cannot read %s: %s; is --device-tid "
                   "right, and has the kernel CONFIG_SCHED_INFO?", path,
                   strerror(errno));
    }
    fclose(f);
    return waited ? wait : run;
}

/*
 * How long a thread has waited for a CPU that somebody else used. A polled
 * device and a polling driver must not wait at all; that they did is what voids
 * a time.
 */
static uint64_t thread_wait_ns(const char *path)
{
    return thread_ns(path, true);
}

/*
 * CPU time of QEMU, all threads. The kernel brings it up to date when a thread
 * goes to sleep, else only at a tick: settle() before reading it. It stays
 * coarse for a device whose iothread polls, where wall time is the same thing.
 */
static uint64_t qemu_cpu_ns(const BenchLoop *l)
{
    struct timespec ts;

    if (clock_gettime(l->cpu_clock, &ts) < 0) {
        bench_fail(BENCH_EXIT_DEVICE, "cannot read QEMU's CPU clock: %s; it "
                   "has probably ended", strerror(errno));
    }
    return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Nothing has come back for too long: say what can be known about it. */
static void __attribute__((noreturn)) no_progress(BenchLoop *l)
{
    uint8_t status = virtio_pci_status(l->dev);

    bench_fail(BENCH_EXIT_DEVICE, "%s has completed nothing for %d ms: "
               "device status 0x%x%s, %" PRIu64 " requests submitted, %"
               PRIu64 " completed, %" PRIu64 " kicks, driver indices avail "
               "%u/%d used %u/%d", l->cfg->device->name, l->cfg->timeout_ms,
               status, status & VIRTIO_CONFIG_S_NEEDS_RESET ?
               " (NEEDS_RESET)" : "", l->submitted, l->completed, l->kicks,
               l->vq.avail_idx, l->vq.avail_wrap, l->vq.used_idx,
               l->vq.used_wrap);
}

/* Make one batch available, and kick if the device asks for it. */
static void submit_batch(BenchLoop *l)
{
    const BenchDevice *device = l->cfg->device;

    for (unsigned i = 0; i < l->cfg->batch; i++) {
        BenchRequest *r = l->idle;
        int err;

        l->idle = r->next;
        r->stamp = ++l->stamp;
        device->arm(r, r->stamp, l->cfg->check);
        err = vdrv_add(&vdrv_mem_direct, &l->vq, &r->buf);
        if (err) {
            bench_fail(BENCH_EXIT_USAGE, "cannot add a request to the ring: "
                       "%s", vdrv_strerror(err));
        }
    }
    vdrv_publish(&vdrv_mem_direct, &l->vq);
    l->submitted += l->cfg->batch;
    l->batches++;
    if (vdrv_kick_needed(&vdrv_mem_direct, &l->vq)) {
        l->kicks++;
        qtest_write(l->dev->q, l->notify, 2, device->vq);
    }
}

/* Take one answer; false if there is none. */
static inline bool take_one(BenchLoop *l)
{
    const BenchDevice *device = l->cfg->device;
    BenchRequest *r;
    VdrvUsed used;
    int n;

    n = vdrv_get(&vdrv_mem_direct, &l->vq, &used);
    if (n == 0) {
        return false;
    }
    if (n < 0) {
        bench_fail(BENCH_EXIT_DATA, "%s broke the ring: %s (request %" PRIu64
                   ")", device->name, vdrv_strerror(n), l->completed);
    }
    r = used.token;
    n = device->check(r, used.len, l->cfg->check);
    if (n < 0) {
        bench_fail(BENCH_EXIT_DATA, "%s answered request %" PRIu64 " wrongly: "
                   "length %u, expected %u; first byte 0x%02x",
                   device->name, l->completed, used.len, device->in_len,
                   r->in ? r->in[0] : 0);
    }
    l->checked_bytes += n;
    l->completed++;
    r->next = l->idle;
    l->idle = r;
    return true;
}

/* Take answers until at most @left requests are in flight. */
static void take_until(BenchLoop *l, uint64_t left)
{
    uint64_t since = 0;
    unsigned spins = 0;

    while (l->submitted - l->completed > left) {
        if (take_one(l)) {
            spins = 0;
            since = 0;
            continue;
        }
        cpu_relax();
        if (++spins % SPINS_PER_CLOCK == 0) {
            uint64_t now = bench_now_ns();

            if (!since) {
                since = now;
            } else if (now - since > l->cfg->timeout_ms * 1000000ull) {
                no_progress(l);
            }
        }
    }
}

static void count_interrupt(BenchLoop *l)
{
    /* The device may write it again at any time: exchange, not store. */
    if (__atomic_load_n(l->msi, __ATOMIC_RELAXED) &&
        __atomic_exchange_n(l->msi, 0, __ATOMIC_RELAXED)) {
        l->interrupts++;
    }
}

/* The driver has answers, and makes something of them. */
static void work(const BenchConfig *cfg)
{
    uint64_t end = bench_now_ns() + cfg->pause_ns;

    while (bench_now_ns() < end) {
        cpu_relax();
    }
}

/* All memory of a request, which is at rest */
static void map_request(BenchLoop *l, BenchRequest *r,
                        void (*change)(Vtd *, uint64_t, uint64_t))
{
    const BenchDevice *device = l->cfg->device;

    for (unsigned i = 0; i < device->out_segs + device->in_segs; i++) {
        change(l->vtd, r->seg[i].addr, r->seg[i].len);
    }
    if (r->buf.table) {
        change(l->vtd, r->buf.table, BENCH_SEGMENTS_MAX * VIRTQ_DESC_SIZE);
    }
}

/* Between two batches, with cfg->map_each */
static void map_next_batch(BenchLoop *l)
{
    if (l->vtd) {
        for (BenchRequest *r = l->idle; r; r = r->next) {
            map_request(l, r, vtd_unmap);
        }
        vtd_sync(l->vtd);
        for (BenchRequest *r = l->idle; r; r = r->next) {
            map_request(l, r, vtd_map);
        }
    } else {
        virtio_pci_select(l->dev, l->cfg->device->vq);
    }
    /* QEMU's main thread ends what it is at, on this CPU. */
    sched_yield();
    l->mapped = true;
}

/* Drive the queue for @requests, or until @end_ns if that is 0. */
static void drive(BenchLoop *l, uint64_t requests, uint64_t end_ns)
{
    const BenchConfig *cfg = l->cfg;
    uint64_t last = l->submitted + requests;
    uint64_t look = l->submitted + REQUESTS_PER_CLOCK;

    for (;;) {
        if (requests) {
            if (l->submitted >= last) {
                break;
            }
        } else if (l->submitted >= look) {
            if (bench_now_ns() >= end_ns) {
                break;
            }
            look = l->submitted + REQUESTS_PER_CLOCK;
        }
        take_until(l, cfg->outstanding - cfg->batch);
        if (cfg->pause_ns) {
            work(cfg);
        }
        if (cfg->map_each && !l->mapped) {
            map_next_batch(l);
        }
        l->mapped = false;
        if (cfg->interrupts && vdrv_enable_cb(&vdrv_mem_direct, &l->vq)) {
            bench_fail(BENCH_EXIT_DATA, "%s has completed a request that it "
                       "does not have", cfg->device->name);
        }
        submit_batch(l);
        if (cfg->lockstep) {
            take_until(l, 0);
            settle(l);
        }
        count_interrupt(l);
    }
    take_until(l, 0);
    count_interrupt(l);
}

/*
 * Memory of a request. What is mapped for it alone has a page of its own, as
 * Linux gives it an IOVA of its own.
 */
static uint64_t place(const BenchLoop *l, GuestRam *ram, uint32_t len)
{
    if (l->cfg->map_each || len >= PAGE) {
        return guest_ram_alloc(ram, (len + PAGE - 1) / PAGE * PAGE, PAGE);
    }
    return guest_ram_alloc(ram, len, CACHE_LINE);
}

static void make_requests(BenchLoop *l, GuestRam *ram)
{
    const BenchDevice *device = l->cfg->device;

    l->requests = calloc(l->cfg->outstanding, sizeof(BenchRequest));
    for (unsigned i = 0; i < l->cfg->outstanding; i++) {
        BenchRequest *r = &l->requests[i];
        uint64_t gpa = place(l, ram, device->out_len);

        r->out = guest_ram_ptr(ram, gpa);
        r->seg[0] = (VdrvSeg) { .addr = gpa, .len = device->out_len };
        if (device->in_segs) {
            gpa = place(l, ram, device->in_len);
            r->in = guest_ram_ptr(ram, gpa);
            r->seg[1] = (VdrvSeg) { .addr = gpa, .len = device->in_len };
        }
        if (device->last_len) {
            gpa = place(l, ram, device->last_len);
            r->last = guest_ram_ptr(ram, gpa);
            r->seg[2] = (VdrvSeg) { .addr = gpa, .len = device->last_len };
        }
        r->buf = (VdrvBuf) {
            .seg = r->seg,
            .out = device->out_segs,
            .in = device->in_segs,
            .token = r,
        };
        if (l->cfg->indirect) {
            r->buf.table = place(l, ram, BENCH_SEGMENTS_MAX *
                                         VIRTQ_DESC_SIZE);
        }
        device->prepare(r, i);
        r->next = l->idle;
        l->idle = r;
    }
}

/* Memory for a queue, in guest addresses */
static VdrvLayout place_queue(const BenchConfig *cfg, GuestRam *ram)
{
    VdrvLayout size = vdrv_layout(0, cfg->queue_size, cfg->packed, PAGE);

    return vdrv_layout(guest_ram_alloc(ram, size.end, PAGE), cfg->queue_size,
                       cfg->packed, PAGE);
}

static uint64_t start_queue(BenchLoop *l, unsigned vq,
                            const VdrvLayout *layout, uint64_t msi)
{
    return virtio_pci_queue_setup(l->dev, vq, l->cfg->queue_size, layout->desc,
                                  layout->driver, layout->device, msi,
                                  MSI_DATA);
}

static void make_queue(BenchLoop *l, GuestRam *ram)
{
    const BenchConfig *cfg = l->cfg;
    VdrvLayout layout = place_queue(cfg, ram);
    uint64_t msi = guest_ram_alloc(ram, PAGE, PAGE);
    VdrvConfig vc;
    int err;

    l->msi = guest_ram_ptr(ram, msi);
    l->slots = calloc(cfg->queue_size, sizeof(VdrvSlot));
    vc = (VdrvConfig) {
        .mem = vdrv_direct_mem(ram->host, 0),
        .slots = l->slots,
        .desc = layout.desc,
        .driver = layout.driver,
        .device = layout.device,
        .features = l->dev->negotiated,
        .labels = cfg->labels,
        .num = cfg->queue_size,
        .index = cfg->device->vq,
        /* QEMU 10.0 does not set WRITE in packed used descriptors. */
        .quirks = VDRV_QUIRK_USED_LEN,
    };
    err = vdrv_init(&vdrv_mem_direct, &l->vq, &vc);
    if (err) {
        bench_fail(BENCH_EXIT_USAGE, "cannot make a ring of %u entries: %s",
                   cfg->queue_size, vdrv_strerror(err));
    }
    vdrv_disable_cb(&vdrv_mem_direct, &l->vq);
    l->notify = start_queue(l, cfg->device->vq, &layout, msi);
    for (unsigned i = 1; i <= cfg->idle_queues; i++) {
        layout = place_queue(cfg, ram);
        start_queue(l, cfg->device->vq + i, &layout, 0);
    }
}

static void clear_counts(BenchLoop *l)
{
    l->completed = l->submitted = l->batches = l->kicks = l->interrupts = 0;
}

static void add_counts(const BenchLoop *l, uint64_t wall_ns, uint64_t driver,
                       uint64_t device, BenchResult *res)
{
    res->wall_ns += wall_ns;
    res->driver_wait_ns += driver;
    res->device_wait_ns += device;
    res->requests += l->completed;
    res->batches += l->batches;
    res->kicks += l->kicks;
    res->interrupts += l->interrupts;
}

/* Drive once and add what came out to @res; true if nobody had to wait. */
static bool measure(BenchLoop *l, const char *device_stat, uint64_t requests,
                    BenchResult *res)
{
    static const char self[] = "/proc/thread-self/schedstat";
    uint64_t device = thread_wait_ns(device_stat);
    uint64_t driver = thread_wait_ns(self);
    uint64_t start = bench_now_ns(), wall;

    clear_counts(l);
    drive(l, requests, start + l->cfg->duration_ns);
    wall = bench_now_ns() - start;
    driver = thread_wait_ns(self) - driver;
    device = thread_wait_ns(device_stat) - device;
    add_counts(l, wall, driver, device, res);
    return driver == 0 && device == 0;
}

/*
 * Measure in slices so short that many see no other program on either CPU,
 * and count only those - unless they are too few, when all of them show that
 * this time is void. Only for one batch in flight: a slice ends with an empty
 * ring, which is then nothing special. Between two slices there is time to map
 * what is mapped for one request.
 */
static void measure_slices(BenchLoop *l, const char *device_stat,
                           BenchResult *res)
{
    unsigned batch = l->cfg->batch;
    uint64_t requests = l->cfg->map_each ? batch :
                        (SLICE_REQUESTS + batch - 1) / batch * batch;
    uint64_t end = bench_now_ns() + l->cfg->duration_ns;
    BenchResult all = { 0 }, calm = { 0 };

    do {
        BenchResult one = { 0 };

        if (l->cfg->map_each) {
            map_next_batch(l);
        }
        if (measure(l, device_stat, requests, &one)) {
            add_counts(l, one.wall_ns, 0, 0, &calm);
            calm.slices++;
        }
        add_counts(l, one.wall_ns, one.driver_wait_ns, one.device_wait_ns,
                   &all);
        all.slices++;
    } while (bench_now_ns() < end);
    *res = calm.slices >= SLICES_LEAST ? calm : all;
    res->disturbed = all.slices - res->slices;
    res->all_batches = all.batches;
}

void bench_run(const BenchConfig *cfg, VirtioPci *dev, Vtd *vtd, GuestRam *ram,
               long pid, BenchResult *res)
{
    BenchLoop l = { .cfg = cfg, .dev = dev, .vtd = vtd };
    char device_stat[64], main_stat[64];
    uint64_t cpu, main_ns, warmup;

    snprintf(device_stat, sizeof(device_stat), "/proc/%ld/task/%ld/schedstat",
             pid, cfg->device_tid ? cfg->device_tid : pid);
    snprintf(main_stat, sizeof(main_stat), "/proc/%ld/task/%ld/schedstat",
             pid, pid);
    if (clock_getcpuclockid(pid, &l.cpu_clock)) {
        bench_fail(BENCH_EXIT_USAGE, "process %ld has no CPU clock; is it "
                   "QEMU's process ID?", pid);
    }
    make_queue(&l, ram);
    make_requests(&l, ram);
    virtio_pci_driver_ok(dev);

    drive(&l, cfg->warmup, 0);
    warmup = l.completed;

    memset(res, 0, sizeof(*res));
    settle(&l);
    cpu = qemu_cpu_ns(&l);
    main_ns = thread_ns(main_stat, false);
    if (cfg->whole || cfg->requests || cfg->outstanding != cfg->batch) {
        measure(&l, device_stat, cfg->requests, res);
        res->slices = 1;
        res->all_batches = res->batches;
    } else {
        measure_slices(&l, device_stat, res);
    }
    res->main_ns = thread_ns(main_stat, false) - main_ns;
    settle(&l);
    res->cpu_ns = qemu_cpu_ns(&l) - cpu;
    res->warmup_requests = warmup;
    res->checked_bytes = l.checked_bytes;

    if (!cfg->leave) {
        virtio_pci_reset(dev);
    }
    free(l.requests);
    free(l.slots);
}
