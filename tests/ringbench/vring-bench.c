/*
 * vring-bench: options and the report.
 *
 * Copyright (c) 2026 Vadis contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/virtio_config.h>
#include "bench.h"

static const char usage[] =
"usage: vring-bench --qtest PATH --pid N --device NAME --slot N [options]\n"
"Drives one virtio device of a QEMU under -accel qtest and prints one line\n"
"of JSON. scripts/bench starts QEMU and calls this program.\n"
"\n"
"  --qtest PATH        QEMU's qtest socket\n"
"  --pid N             QEMU's process ID; its RAM must be one\n"
"                      memory-backend-memfd,share=on\n"
"  --device NAME       echo, blk, blk4k or net\n"
"  --slot N            PCI slot of the device on bus 0\n"
"  --ring split|packed (split)\n"
"  --indirect          one indirect descriptor for each request\n"
"  --in-order          negotiate VIRTIO_F_IN_ORDER\n"
"  --event-idx         negotiate VIRTIO_F_EVENT_IDX\n"
"  --queue-size N      entries of the ring (256)\n"
"  --idle-queues N     set up so many more queues, which stay empty (0)\n"
"  --batch N           requests published at a time (1)\n"
"  --outstanding N     most requests in flight, a multiple of the batch\n"
"                      (one batch)\n"
"  --requests N        run for so many, a multiple of the batch, or\n"
"  --ms N              for so many milliseconds (100)\n"
"  --pause-us N        what the driver does between two batches takes so long\n"
"  --warmup N          requests before that (4096, rounded to batches)\n"
"  --check-all         compare every byte of every answer (not for timing)\n"
"  --lockstep          let the device come to rest after each batch, so that\n"
"                      counts repeat (one batch in flight, no iothread)\n"
"  --whole             count also what other programs disturbed\n"
"  --interrupts        ask for an interrupt per batch (with --lockstep)\n"
"  --labels            accept and set batch labels (x-batch-labels=on)\n"
"  --iommu             behind VT-d, all of RAM mapped; the device needs\n"
"                      iommu_platform=on, QEMU an intel-iommu\n"
"  --viommu N          with --iommu: behind the virtio-iommu in PCI slot N\n"
"  --mappings N        of the virtio-iommu, all in force (2)\n"
"  --map-each          map memory for one request, unmap it after that, as\n"
"                      Linux with iommu.strict=1; not timed (with --ms). One\n"
"                      register access per batch, also without --iommu\n"
"  --leave             do not reset the device in the end, so that its\n"
"                      counters can be looked at\n"
"  --device-tid N      the QEMU thread that works the queue (main thread)\n"
"  --cpu N             run on this CPU\n"
"  --timeout-ms N      give up after so long without progress (10000)\n"
"\n"
"Exit status: 0 done; 1 wrong use or set-up; 2 the device does not answer;\n"
"3 the device answered wrongly; 77 a feature is not offered.\n";

void bench_fail(int status, const char *fmt, ...)
{
    va_list ap;

    fputs("vring-bench: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(status);
}

/* A decimal number within bounds, or the end of the program. */
static uint64_t number(const char *option, const char *text, uint64_t least,
                       uint64_t most)
{
    char *end;
    uint64_t value;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (errno || end == text || *end || *text == '-' || value < least ||
        value > most) {
        bench_fail(BENCH_EXIT_USAGE, "--%s %s: expected a number from %" PRIu64
                   " to %" PRIu64, option, text, least, most);
    }
    return value;
}

static void pin(unsigned cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) < 0) {
        bench_fail(BENCH_EXIT_USAGE, "cannot run on CPU %u: %s", cpu,
                   strerror(errno));
    }
}

typedef struct Options {
    const char *qtest;
    long pid;
    int slot;
    BenchConfig cfg;
} Options;

enum {
    OPT_QTEST = 256, OPT_PID, OPT_DEVICE, OPT_SLOT, OPT_RING, OPT_INDIRECT,
    OPT_IN_ORDER, OPT_EVENT_IDX, OPT_QUEUE_SIZE, OPT_BATCH, OPT_OUTSTANDING,
    OPT_REQUESTS, OPT_MS, OPT_PAUSE, OPT_WARMUP, OPT_CHECK_ALL, OPT_LOCKSTEP,
    OPT_INTERRUPTS, OPT_IOMMU, OPT_LABELS, OPT_LEAVE, OPT_DEVICE_TID, OPT_CPU,
    OPT_TIMEOUT, OPT_WHOLE, OPT_IDLE_QUEUES, OPT_MAP_EACH, OPT_VIOMMU,
    OPT_MAPPINGS, OPT_HELP,
};

static const struct option long_options[] = {
    { "qtest", required_argument, NULL, OPT_QTEST },
    { "pid", required_argument, NULL, OPT_PID },
    { "device", required_argument, NULL, OPT_DEVICE },
    { "slot", required_argument, NULL, OPT_SLOT },
    { "ring", required_argument, NULL, OPT_RING },
    { "indirect", no_argument, NULL, OPT_INDIRECT },
    { "in-order", no_argument, NULL, OPT_IN_ORDER },
    { "event-idx", no_argument, NULL, OPT_EVENT_IDX },
    { "queue-size", required_argument, NULL, OPT_QUEUE_SIZE },
    { "idle-queues", required_argument, NULL, OPT_IDLE_QUEUES },
    { "batch", required_argument, NULL, OPT_BATCH },
    { "outstanding", required_argument, NULL, OPT_OUTSTANDING },
    { "requests", required_argument, NULL, OPT_REQUESTS },
    { "ms", required_argument, NULL, OPT_MS },
    { "pause-us", required_argument, NULL, OPT_PAUSE },
    { "warmup", required_argument, NULL, OPT_WARMUP },
    { "check-all", no_argument, NULL, OPT_CHECK_ALL },
    { "lockstep", no_argument, NULL, OPT_LOCKSTEP },
    { "whole", no_argument, NULL, OPT_WHOLE },
    { "interrupts", no_argument, NULL, OPT_INTERRUPTS },
    { "iommu", no_argument, NULL, OPT_IOMMU },
    { "map-each", no_argument, NULL, OPT_MAP_EACH },
    { "viommu", required_argument, NULL, OPT_VIOMMU },
    { "mappings", required_argument, NULL, OPT_MAPPINGS },
    { "labels", no_argument, NULL, OPT_LABELS },
    { "leave", no_argument, NULL, OPT_LEAVE },
    { "device-tid", required_argument, NULL, OPT_DEVICE_TID },
    { "cpu", required_argument, NULL, OPT_CPU },
    { "timeout-ms", required_argument, NULL, OPT_TIMEOUT },
    { "help", no_argument, NULL, OPT_HELP },
    { }
};

/* What an option without argument sets, or NULL */
static bool *flag_of(BenchConfig *cfg, int opt)
{
    switch (opt) {
    case OPT_INDIRECT:
        return &cfg->indirect;
    case OPT_IN_ORDER:
        return &cfg->in_order;
    case OPT_EVENT_IDX:
        return &cfg->event_idx;
    case OPT_LOCKSTEP:
        return &cfg->lockstep;
    case OPT_WHOLE:
        return &cfg->whole;
    case OPT_INTERRUPTS:
        return &cfg->interrupts;
    case OPT_IOMMU:
        return &cfg->iommu;
    case OPT_MAP_EACH:
        return &cfg->map_each;
    case OPT_LABELS:
        return &cfg->labels;
    case OPT_LEAVE:
        return &cfg->leave;
    default:
        return NULL;
    }
}

static void set_option(Options *o, int opt, const char *name, const char *arg)
{
    BenchConfig *cfg = &o->cfg;

    if (flag_of(cfg, opt)) {
        *flag_of(cfg, opt) = true;
        return;
    }
    switch (opt) {
    case OPT_QTEST:
        o->qtest = arg;
        break;
    case OPT_PID:
        o->pid = number(name, arg, 1, INT_MAX);
        break;
    case OPT_DEVICE:
        cfg->device = bench_device_find(arg);
        if (!cfg->device) {
            bench_fail(BENCH_EXIT_USAGE, "--device %s: use echo, blk, blk4k or "
                       "net", arg);
        }
        break;
    case OPT_SLOT:
        o->slot = number(name, arg, 1, 30);
        break;
    case OPT_RING:
        cfg->packed = !strcmp(arg, "packed");
        if (!cfg->packed && strcmp(arg, "split")) {
            bench_fail(BENCH_EXIT_USAGE, "--ring %s: use split or packed", arg);
        }
        break;
    case OPT_QUEUE_SIZE:
        cfg->queue_size = number(name, arg, 1, VIRTQ_MAX_SIZE);
        break;
    case OPT_IDLE_QUEUES:
        cfg->idle_queues = number(name, arg, 0, 1023);
        break;
    case OPT_BATCH:
        cfg->batch = number(name, arg, 1, VIRTQ_MAX_SIZE);
        break;
    case OPT_OUTSTANDING:
        cfg->outstanding = number(name, arg, 1, VIRTQ_MAX_SIZE);
        break;
    case OPT_REQUESTS:
        cfg->requests = number(name, arg, 1, UINT32_MAX);
        break;
    case OPT_MS:
        cfg->duration_ns = number(name, arg, 1, 3600000) * 1000000;
        break;
    case OPT_PAUSE:
        cfg->pause_ns = number(name, arg, 1, 1000000) * 1000;
        break;
    case OPT_WARMUP:
        cfg->warmup = number(name, arg, 1, UINT32_MAX);
        break;
    case OPT_VIOMMU:
        cfg->viommu = number(name, arg, 1, 30);
        break;
    case OPT_MAPPINGS:
        cfg->mappings = number(name, arg, 2, 1 << 24);
        break;
    case OPT_CHECK_ALL:
        cfg->check = BENCH_CHECK_ALL;
        break;
    case OPT_DEVICE_TID:
        cfg->device_tid = number(name, arg, 1, INT_MAX);
        break;
    case OPT_CPU:
        pin(number(name, arg, 0, CPU_SETSIZE - 1));
        break;
    case OPT_TIMEOUT:
        cfg->timeout_ms = number(name, arg, 1, INT_MAX);
        break;
    case OPT_HELP:
        fputs(usage, stdout);
        exit(0);
    default:
        fputs(usage, stderr);
        exit(BENCH_EXIT_USAGE);
    }
}

/* Make the numbers consistent, or say which are not. */
static void check_options(Options *o)
{
    BenchConfig *cfg = &o->cfg;
    unsigned segs;

    if (!o->qtest || !o->pid || !cfg->device || !o->slot) {
        bench_fail(BENCH_EXIT_USAGE, "--qtest, --pid, --device and --slot are "
                   "needed; see --help");
    }
    if (!cfg->outstanding) {
        cfg->outstanding = cfg->batch;
    }
    if (cfg->outstanding % cfg->batch) {
        bench_fail(BENCH_EXIT_USAGE, "--outstanding %u is not a multiple of "
                   "--batch %u", cfg->outstanding, cfg->batch);
    }
    if (cfg->lockstep && cfg->outstanding != cfg->batch) {
        bench_fail(BENCH_EXIT_USAGE, "--lockstep allows one batch in flight; "
                   "leave --outstanding away");
    }
    if (cfg->map_each && cfg->outstanding != cfg->batch) {
        bench_fail(BENCH_EXIT_USAGE, "--map-each allows one batch in flight; "
                   "leave --outstanding away");
    }
    if (cfg->viommu && (!cfg->iommu || cfg->map_each)) {
        bench_fail(BENCH_EXIT_USAGE, "--viommu needs --iommu, and mappings "
                   "that stay");
    }
    if (cfg->interrupts && !cfg->lockstep) {
        bench_fail(BENCH_EXIT_USAGE, "--interrupts needs --lockstep");
    }
    if (cfg->pause_ns && cfg->outstanding != cfg->batch) {
        bench_fail(BENCH_EXIT_USAGE, "--pause-us allows one batch in flight; "
                   "leave --outstanding away");
    }
    if (cfg->labels && !cfg->packed) {
        bench_fail(BENCH_EXIT_USAGE, "--labels needs --ring packed");
    }
    if (cfg->requests % cfg->batch) {
        bench_fail(BENCH_EXIT_USAGE, "--requests %" PRIu64 " is not a "
                   "multiple of --batch %u", cfg->requests, cfg->batch);
    }
    cfg->warmup = (cfg->warmup + cfg->batch - 1) / cfg->batch * cfg->batch;
    segs = cfg->indirect ? 1 : cfg->device->out_segs + cfg->device->in_segs;
    if (cfg->outstanding * segs > cfg->queue_size) {
        bench_fail(BENCH_EXIT_USAGE, "%u requests of %u descriptors do not fit "
                   "in a queue of %u; use a smaller --outstanding",
                   cfg->outstanding, segs, cfg->queue_size);
    }
    if (!cfg->packed && (cfg->queue_size & (cfg->queue_size - 1))) {
        bench_fail(BENCH_EXIT_USAGE, "--queue-size %u: a split ring needs a "
                   "power of two", cfg->queue_size);
    }
}

static uint64_t features(const BenchConfig *cfg)
{
    return VDRV_F_VERSION_1 |
           (cfg->packed ? VDRV_F_PACKED : 0) |
           (cfg->indirect ? VDRV_F_INDIRECT : 0) |
           (cfg->in_order ? VDRV_F_IN_ORDER : 0) |
           (cfg->event_idx ? VDRV_F_EVENT_IDX : 0) |
           (cfg->iommu ? 1ull << VIRTIO_F_ACCESS_PLATFORM : 0);
}

static const char *truth(bool value)
{
    return value ? "true" : "false";
}

/* The fields are checked by scripts/vadis/bench_stats.py. */
static void report(const BenchConfig *cfg, const VirtioPci *dev,
                   const BenchResult *res)
{
    printf("{\"schema\": \"vadis-vring-bench/1\", \"device\": \"%s\", "
           "\"ring\": \"%s\", \"indirect\": %s, \"in_order\": %s, "
           "\"event_idx\": %s, \"features\": %" PRIu64 ", "
           "\"queue_size\": %u, \"segments\": %u, \"batch\": %u, "
           "\"outstanding\": %u, ",
           cfg->device->name, cfg->packed ? "packed" : "split",
           truth(cfg->indirect), truth(cfg->in_order), truth(cfg->event_idx),
           dev->negotiated, cfg->queue_size,
           cfg->device->out_segs + cfg->device->in_segs, cfg->batch,
           cfg->outstanding);
    printf("\"requests\": %" PRIu64 ", \"batches\": %" PRIu64 ", "
           "\"warmup_requests\": %" PRIu64 ", \"slices\": %" PRIu64 ", "
           "\"disturbed\": %" PRIu64 ", \"wall_ns\": %" PRIu64 ", "
           "\"cpu_ns\": %" PRIu64 ", \"main_ns\": %" PRIu64 ", "
           "\"all_batches\": %" PRIu64 ", \"driver_wait_ns\": %" PRIu64 ", "
           "\"device_wait_ns\": %" PRIu64 ", \"kicks\": %" PRIu64 ", "
           "\"interrupts\": %" PRIu64 ", \"checked_bytes\": %" PRIu64 "}\n",
           res->requests, res->batches, res->warmup_requests, res->slices,
           res->disturbed, res->wall_ns, res->cpu_ns, res->main_ns,
           res->all_batches, res->driver_wait_ns, res->device_wait_ns,
           res->kicks, res->interrupts, res->checked_bytes);
}

int main(int argc, char **argv)
{
    Options o = {
        .cfg = {
            .queue_size = 256,
            .batch = 1,
            .mappings = 2,
            .duration_ns = 100000000,
            .warmup = 4096,
            .timeout_ms = 10000,
        },
    };
    QTestClient qtest;
    BenchResult res;
    VirtioPci dev;
    GuestRam ram;
    Vtd vtd;
    int opt, which;

    while ((opt = getopt_long(argc, argv, "", long_options, &which)) != -1) {
        set_option(&o, opt, opt >= OPT_QTEST ? long_options[which].name : "",
                   optarg);
    }
    if (optind != argc) {
        bench_fail(BENCH_EXIT_USAGE, "unexpected argument '%s'", argv[optind]);
    }
    check_options(&o);

    qtest_client_open(&qtest, o.qtest, o.cfg.timeout_ms);
    guest_ram_map(&ram, o.pid);
    if (o.cfg.viommu) {
        viommu_map_all(&qtest, &ram, o.cfg.viommu, o.slot, o.cfg.mappings);
    } else if (o.cfg.iommu) {
        vtd_map_all(&vtd, &qtest, &ram);
    }
    virtio_pci_open(&dev, &qtest, o.slot, o.cfg.device->virtio_id);
    virtio_pci_negotiate(&dev, features(&o.cfg));
    if (o.cfg.labels) {
        virtio_pci_accept_labels(&dev);
    }
    bench_run(&o.cfg, &dev, o.cfg.iommu && !o.cfg.viommu ? &vtd : NULL, &ram,
              o.pid, &res);
    report(&o.cfg, &dev, &res);
    guest_ram_unmap(&ram);
    qtest_client_close(&qtest);
    return 0;
}
