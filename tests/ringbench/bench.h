/*
 * vring-bench: drive one virtio device of a QEMU under -accel qtest from a
 * host process, and report what a request costs.
 *
 * Copyright (c) 2026 Vadis contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How it works.  QEMU runs no guest code: its machine is configured over the
 * qtest socket (slow, some 20 us per access) and its RAM is a memfd that this
 * process maps too (fast).  So everything that is configuration - PCI, feature
 * negotiation, kicks - goes through the socket, and everything that is ring
 * traffic is plain loads and stores on memory shared with the device, exactly
 * as a guest's driver would do them.
 *
 * Files: qtest-client.c (the socket), guest-ram.c (the memory), virtio-pci.c
 * (finding and starting the device), requests.c (what a request of each device
 * looks like and how its answer is checked), loop.c (the measured loop),
 * vring-bench.c (options and the report).
 *
 * All functions run on the one thread of the program.  Every failure ends the
 * program through bench_fail() with one message; nothing is retried.
 */
#ifndef VADIS_BENCH_H
#define VADIS_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "vring-driver.h"

/* Exit status of the program; scripts/bench depends on these values. */
enum {
    BENCH_EXIT_USAGE = 1,       /* wrong option or a machine not set up */
    BENCH_EXIT_DEVICE = 2,      /* no answer, NEEDS_RESET, a wrong register */
    BENCH_EXIT_DATA = 3,        /* an answer with wrong contents */
    BENCH_EXIT_UNSUPPORTED = 77 /* the device does not offer a feature */
};

/**
 * bench_fail: end the program with one message on standard error.
 * @status: one of BENCH_EXIT_*
 * @fmt: printf format, no newline; says what failed and what to do about it
 */
void bench_fail(int status, const char *fmt, ...)
    __attribute__((noreturn, format(printf, 2, 3)));

/* Monotonic time in nanoseconds. */
uint64_t bench_now_ns(void);

/* ------------------------------------------------------- qtest-client.c */

typedef struct QTestClient {
    int fd;
    uint64_t commands;          /* round trips made so far */
    size_t used;                /* bytes of buf that hold unread input */
    char buf[512];
} QTestClient;

/**
 * qtest_client_open: connect to QEMU's qtest socket.
 * @q: to be filled in
 * @path: of the unix socket; the caller keeps it
 * @timeout_ms: how long one answer may take before the program gives up
 */
void qtest_client_open(QTestClient *q, const char *path, int timeout_ms);
void qtest_client_close(QTestClient *q);

/* Port and memory accesses as the guest's CPU would make them. */
void qtest_out32(QTestClient *q, uint16_t port, uint32_t value);
uint32_t qtest_in32(QTestClient *q, uint16_t port);
uint64_t qtest_read(QTestClient *q, uint64_t addr, int bytes);
void qtest_write(QTestClient *q, uint64_t addr, int bytes, uint64_t value);

/* ---------------------------------------------------------- guest-ram.c */

typedef struct GuestRam {
    uint8_t *host;              /* where guest-physical address 0 is mapped */
    uint64_t size;              /* bytes; all of it below 4 GiB */
    uint64_t next;              /* first guest-physical byte not handed out */
} GuestRam;

/**
 * guest_ram_map: map the memfd of a running QEMU.
 * @ram: to be filled in
 * @pid: of a QEMU with exactly one memory-backend-memfd,share=on
 *
 * The file is found through /proc/PID/fd, so the RAM is never a file on disk.
 */
void guest_ram_map(GuestRam *ram, long pid);
void guest_ram_unmap(GuestRam *ram);

/**
 * guest_ram_alloc: hand out zeroed guest memory; there is no free.
 * @size: bytes
 * @align: power of two
 *
 * Returns: the guest-physical address.
 */
uint64_t guest_ram_alloc(GuestRam *ram, uint64_t size, uint64_t align);

static inline void *guest_ram_ptr(const GuestRam *ram, uint64_t gpa)
{
    return ram->host + gpa;
}

/* --------------------------------------------------------------- vtd.c */

/* VT-d, whose page tables and invalidation queue are in guest memory */
typedef struct Vtd {
    QTestClient *q;
    uint64_t *entry;            /* page table entries of RAM, by page */
    uint64_t *queue;            /* two words for each descriptor */
    unsigned tail;              /* where the next descriptor goes */
    unsigned waiting;           /* descriptors that QEMU was not told of */
    uint32_t *status;           /* becomes @stamp */
    uint64_t status_at;
    uint32_t stamp;
} Vtd;

/**
 * vtd_map_all: put every device behind a VT-d that maps RAM one to one
 * @vtd: to be filled in; what it points to is in @ram
 *
 * In pages of 4 KiB, and for as long as QEMU runs. Call it before the device
 * is set up.
 */
void vtd_map_all(Vtd *vtd, QTestClient *q, GuestRam *ram);

/* The pages that hold [@gpa, @gpa + @len), one to one. No register is used. */
void vtd_map(Vtd *vtd, uint64_t gpa, uint64_t len);

/*
 * Take the pages away, and queue an invalidation for each, as Linux does when
 * iommu.strict=1; the device may have them until vtd_sync().
 */
void vtd_unmap(Vtd *vtd, uint64_t gpa, uint64_t len);

/* Have what is queued carried out, with one register access. */
void vtd_sync(Vtd *vtd);

/* ------------------------------------------------------------ viommu.c */

/**
 * viommu_map_all: put a device behind a virtio-iommu that maps RAM one to one
 * @slot: of the virtio-iommu
 * @endpoint: slot of the device
 * @mappings: how many there are in all, at least two. With more than 1024 each
 *            page of what is allocated next is one, and those that are left lie
 *            beyond RAM and are not used.
 */
void viommu_map_all(QTestClient *q, GuestRam *ram, unsigned slot,
                    unsigned endpoint, uint64_t mappings);

/* --------------------------------------------------------- virtio-pci.c */

typedef struct VirtioPci {
    QTestClient *q;
    unsigned slot;              /* PCI device number on bus 0, function 0 */
    uint16_t device_id;         /* virtio device ID */
    uint64_t common;            /* guest-physical addresses of the registers */
    uint64_t notify;
    uint64_t device_cfg;
    uint32_t notify_multiplier;
    uint64_t msix_table;        /* 0 without the MSI-X capability */
    unsigned labels_cap;        /* in configuration space; 0: none offered */
    uint64_t offered;           /* feature bits */
    uint64_t negotiated;
} VirtioPci;

/**
 * virtio_pci_open: find, map and reset the device, and read its features.
 * @slot: the PCI slot it was given with addr=
 * @virtio_id: the virtio device ID that has to be there
 */
void virtio_pci_open(VirtioPci *d, QTestClient *q, unsigned slot,
                     unsigned virtio_id);

/**
 * virtio_pci_negotiate: go as far as FEATURES_OK.
 * @features: exactly these bits; one that is not offered ends the program
 *            with BENCH_EXIT_UNSUPPORTED
 */
void virtio_pci_negotiate(VirtioPci *d, uint64_t features);

/* Accept batch labels, between FEATURES_OK and DRIVER_OK. */
void virtio_pci_accept_labels(VirtioPci *d);

/* A register access that changes nothing: queue @vq is selected. */
void virtio_pci_select(VirtioPci *d, unsigned vq);

/* Largest size of queue @vq that the device offers; 0: no such queue. */
unsigned virtio_pci_queue_max(VirtioPci *d, unsigned vq);

/**
 * virtio_pci_queue_setup: give a queue its memory and enable it.
 * @vq: queue index
 * @size: entries
 * @desc: guest-physical address of the descriptor area
 * @driver: of the driver area (available ring or driver event)
 * @device: of the device area (used ring or device event)
 * @msi_addr: guest-physical address an interrupt of the queue writes
 *            @msi_data to (four bytes); 0: no interrupt
 *
 * Returns: the address to write @vq to for a kick.
 */
uint64_t virtio_pci_queue_setup(VirtioPci *d, unsigned vq, unsigned size,
                                uint64_t desc, uint64_t driver,
                                uint64_t device, uint64_t msi_addr,
                                uint32_t msi_data);

void virtio_pci_driver_ok(VirtioPci *d);
uint8_t virtio_pci_status(VirtioPci *d);
void virtio_pci_reset(VirtioPci *d);

/* ----------------------------------------------------------- requests.c */

#define BENCH_SEGMENTS_MAX 3

/*
 * One request: a buffer that is prepared once and offered again and again,
 * and where to look for the answer.
 */
typedef struct BenchRequest {
    VdrvBuf buf;                /* token: this structure */
    VdrvSeg seg[BENCH_SEGMENTS_MAX];
    uint8_t *out;               /* the readable bytes, in this process */
    uint8_t *in;                /* the writable bytes, NULL if there are none */
    uint8_t *last;              /* the second writable segment, or NULL */
    uint64_t stamp;             /* what this round's answer must repeat */
    struct BenchRequest *next;  /* list of the idle ones */
} BenchRequest;

/* What is looked at when an answer comes back. */
typedef enum BenchCheck {
    BENCH_CHECK_STAMP,          /* length and a word: cheap, always done */
    BENCH_CHECK_ALL             /* every byte; for runs that are not timed */
} BenchCheck;

/*
 * A kind of device.  The callbacks run in the measured loop, for the
 * standard's lengths see the device's section.
 */
typedef struct BenchDevice {
    const char *name;
    unsigned virtio_id;
    unsigned vq;                /* the queue that is driven */
    unsigned out_segs, in_segs;
    uint32_t out_len, in_len;   /* bytes of the first segment of each side */
    uint32_t last_len;          /* of the second writable segment */

    /* Once for each request, its memory being zero. */
    void (*prepare)(BenchRequest *r, uint32_t index);
    /* Before each use; @stamp never repeats. */
    void (*arm)(BenchRequest *r, uint64_t stamp, BenchCheck check);
    /* The number of bytes found right, or -1 for a wrong answer. */
    int (*check)(const BenchRequest *r, uint32_t len, BenchCheck check);
} BenchDevice;

/* The device called @name, or NULL. */
const BenchDevice *bench_device_find(const char *name);

/* --------------------------------------------------------------- loop.c */

/* What to run; see --help for each. */
typedef struct BenchConfig {
    const BenchDevice *device;
    bool packed, indirect, in_order, event_idx, labels, iommu;
    bool map_each;              /* memory is mapped for one request */
    unsigned viommu;            /* slot of the virtio-iommu; 0: VT-d */
    unsigned mappings;          /* of the virtio-iommu */
    bool leave;                 /* do not reset the device in the end */
    bool lockstep;              /* rest between batches; see loop.c */
    bool whole;                 /* count also what others disturbed */
    bool interrupts;            /* ask for one per batch; needs lockstep */
    BenchCheck check;
    unsigned queue_size;
    unsigned idle_queues;       /* set up as well, after the measured one */
    unsigned batch;             /* requests published at a time */
    unsigned outstanding;       /* most requests in flight */
    uint64_t requests;          /* 0: run for duration_ns instead */
    uint64_t duration_ns;
    uint64_t pause_ns;          /* the driver's own work before each batch */
    uint64_t warmup;            /* requests before the clock starts */
    int timeout_ms;             /* longest wait for progress */
    long device_tid;            /* thread that works the queue; 0: main */
} BenchConfig;

/* What came out; times cover the measured part only. */
typedef struct BenchResult {
    uint64_t requests, batches, warmup_requests;
    uint64_t slices;            /* counted; what follows is their sum */
    uint64_t disturbed;         /* slices left out, see measure_slices() */
    uint64_t wall_ns;
    uint64_t cpu_ns;            /* of QEMU, all threads, left-out slices too */
    uint64_t main_ns;           /* CPU time of QEMU's main thread, likewise */
    uint64_t all_batches;       /* left-out slices too */
    uint64_t driver_wait_ns;    /* waited for a CPU, runnable */
    uint64_t device_wait_ns;
    uint64_t kicks, interrupts;
    uint64_t checked_bytes;     /* warm-up included */
} BenchResult;

/**
 * bench_run: set one queue up, drive it, reset the device.
 * @cfg: what to run
 * @dev: opened, features negotiated, queues not yet set up
 * @vtd: what the device is behind, or NULL
 * @ram: guest memory for the queue and the payload
 * @pid: of QEMU, for its CPU time
 * @res: to be filled in
 */
void bench_run(const BenchConfig *cfg, VirtioPci *dev, Vtd *vtd, GuestRam *ram,
               long pid, BenchResult *res);

#endif /* VADIS_BENCH_H */
