/*
 * What a virtqueue costs at the very least on this machine
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Two pinned threads in one process: the driver library at one end, the
 * naive device model at the other (model-end.h; the program coretest has the
 * ring core of the emulator there), nothing between them but the ring. A
 * kick or interrupt is a store to a doorbell line, so no system call is in
 * the figures. Rounds are short; those in which the kernel took the CPU away
 * from either thread are void, counted and not part of any figure; a cell on
 * a machine too busy for enough of them ends with those it has. `--probe`
 * measures a bare cache line going back and forth; every cell is bracketed by
 * two probes, because shared machines change speed: compare only cells whose
 * probes agree. A probe of -1 means that the machine was too busy for one.
 *
 * One JSON object per line on stdout.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include "bench-line.h"
#ifdef RING_END_H
#include RING_END_H
#else
#include "model-end.h"
#endif

#define MAX_ROUNDS 1001u
#define PROBE_ROUNDS 31u
#define PROBE_TRIPS 200u
#define PROBE_NS 1000000000u

enum Mode { MODE_POLL, MODE_FLAGS, MODE_EVENT, MODE_COUNT };
static const char *const mode_names[] = { "poll", "flags", "event" };

typedef struct Cell {
    bool packed;
    bool in_order;
    enum Mode mode;
    unsigned batch;
    unsigned outstanding;
} Cell;

typedef struct Bench {
    Line kick;              /* driver -> device */
    Line call;              /* device -> driver */
    Line stop;
    Line ready;
    BenchRing *ring;
    RingEnd *end;
    Cell cell;
    unsigned requests;      /* per round */
    unsigned rounds;
    uint64_t kicks, calls;
    uint64_t deadline;      /* of the cell or probe, then it makes do */
    uint64_t limit_ns;      /* of one cell */
    double ns[MAX_ROUNDS];
    int cpu[2];
} Bench;

static void *direct_mem(void *ram, uint64_t gpa, size_t size)
{
    (void)size;
    return vdrv_direct_mem(ram, gpa);
}

VDRV_INLINE void device_loop(Bench *b, bool packed)
{
    RingEnd *d = b->end;
    bool poll = b->cell.mode == MODE_POLL;

    for (;;) {
        if (end_serve(d, packed)) {
            if (!poll && end_should_notify(d)) {
                atomic_fetch_add_explicit(&b->call.v, 1,
                                          memory_order_release);
                b->calls++;
            }
        } else if (poll) {
            if (atomic_load_explicit(&b->stop.v, memory_order_relaxed)) {
                return;
            }
            relax();
        } else {
            uint32_t seen = atomic_load_explicit(&b->kick.v,
                                                 memory_order_acquire);

            if (!end_enable_kick(d) &&
                !line_wait(&b->kick, seen, &b->stop)) {
                return;
            }
            if (b->cell.mode == MODE_FLAGS) {
                end_disable_kick(d);
            }
        }
    }
}

static void *device_thread(void *opaque)
{
    Bench *b = opaque;

    pin(b->cpu[1]);
    if (b->cell.mode == MODE_POLL) {
        end_disable_kick(b->end);
    }
    atomic_store_explicit(&b->ready.v, 1, memory_order_release);
    if (b->cell.packed) {
        device_loop(b, true);
    } else {
        device_loop(b, false);
    }
    return NULL;
}

/* Returns the requests done: fewer than asked for when time ran out */
VDRV_INLINE unsigned driver_round(Bench *b, bool packed, unsigned requests)
{
    const VdrvMemOps *m = &vdrv_mem_direct;
    VdrvQueue *vq = &b->ring->vq;
    bool poll = b->cell.mode == MODE_POLL;
    unsigned batch = b->cell.batch;
    unsigned limit = b->cell.outstanding;
    unsigned sent = 0, done = 0, idle = 0;

    while (done < requests) {
        VdrvUsed used;
        unsigned got = 0;
        int ret;

        while (sent < requests && sent - done + batch <= limit) {
            for (unsigned i = 0; i < batch; i++) {
                VdrvSeg seg = { BENCH_GPA, BENCH_BUF_LEN };
                VdrvBuf buf = { .seg = &seg, .in = 1, .token = vq };

                bench_check(!bench_add(m, vq, packed, &buf), "add");
            }
            sent += batch;
            bench_publish(m, vq, packed);
            if (!poll && bench_kick_needed(m, vq, packed)) {
                atomic_fetch_add_explicit(&b->kick.v, 1,
                                          memory_order_release);
                b->kicks++;
            }
        }
        while ((ret = bench_get(m, vq, packed, &used)) > 0) {
            bench_check(used.token == vq && used.len == BENCH_BUF_LEN,
                        "wrong completion");
            got++;
        }
        bench_check(!ret, vdrv_strerror(ret));
        done += got;
        if (got) {
            continue;
        }
        if (++idle % 65536 == 0 && now_ns() > b->deadline) {
            requests = sent;
        }
        if (poll) {
            relax();
        } else {
            uint32_t seen = atomic_load_explicit(&b->call.v,
                                                 memory_order_acquire);

            if (!vdrv_enable_cb(m, vq)) {
                line_wait(&b->call, seen, &b->stop);
            }
            if (b->cell.mode == MODE_FLAGS) {
                vdrv_disable_cb(m, vq);
            }
        }
    }
    return done;
}

/* One line bounced between two CPUs: where the machine stands just now */
static void *probe_thread(void *opaque)
{
    Bench *b = opaque;
    uint32_t n = 0;

    pin(b->cpu[1]);
    atomic_store_explicit(&b->ready.v, 1, memory_order_release);
    while (line_wait(&b->kick, n, &b->stop)) {
        n = atomic_load_explicit(&b->kick.v, memory_order_acquire);
        atomic_store_explicit(&b->call.v, n, memory_order_release);
    }
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static pthread_t start(Bench *b, void *(*fn)(void *))
{
    pthread_t th;

    b->stop.v = b->ready.v = b->kick.v = b->call.v = 0;
    b->kicks = b->calls = 0;
    errno = pthread_create(&th, NULL, fn, b);
    if (errno) {
        fprintf(stderr, "cannot start a thread: %s\n", strerror(errno));
        exit(1);
    }
    while (!atomic_load_explicit(&b->ready.v, memory_order_acquire)) {
        sched_yield();
    }
    return th;
}

static void finish(Bench *b, pthread_t th)
{
    atomic_store(&b->stop.v, 1);
    pthread_join(th, NULL);
}

static void probe_round(Bench *b, uint32_t *n, unsigned trips)
{
    unsigned idle = 0;

    for (unsigned i = 0; i < trips; i++) {
        atomic_store_explicit(&b->kick.v, ++*n, memory_order_release);
        while (atomic_load_explicit(&b->call.v, memory_order_acquire) != *n) {
            if (++idle % 65536 == 0 && now_ns() > b->deadline) {
                trips = i;      /* after this one */
            }
            relax();
        }
    }
}

/*
 * Sort the @kept undisturbed rounds; their median, or a negative value when
 * the machine was too busy for any.
 */
static double median(double *ns, unsigned kept)
{
    if (!kept) {
        return -1;
    }
    qsort(ns, kept, sizeof(ns[0]), by_value);
    return ns[kept / 2];
}

/* Median round trip of a line in ns */
static double probe(Bench *b, unsigned rounds)
{
    double ns[MAX_ROUNDS];
    unsigned kept = 0;
    uint32_t n = 0;
    pthread_t th = start(b, probe_thread);

    b->deadline = now_ns() + PROBE_NS;
    while (kept < rounds && now_ns() < b->deadline) {
        uint64_t t0;
        long p0;

        probe_round(b, &n, 2);      /* the partner is on its CPU */
        p0 = preemptions();
        t0 = now_ns();
        probe_round(b, &n, PROBE_TRIPS);
        ns[kept] = (double)(now_ns() - t0) / PROBE_TRIPS;
        kept += preemptions() == p0;
    }
    finish(b, th);
    return median(ns, kept);
}

static uint64_t cell_features(const Cell *c)
{
    return VDRV_F_VERSION_1 | (c->packed ? VDRV_F_PACKED : 0) |
           (c->in_order ? VDRV_F_IN_ORDER : 0) |
           (c->mode == MODE_EVENT ? VDRV_F_EVENT_IDX : 0);
}

static unsigned driver_run(Bench *b, unsigned requests)
{
    if (b->cell.packed) {
        return driver_round(b, true, requests);
    }
    return driver_round(b, false, requests);
}

static void print_cell(const Bench *b, unsigned kept, unsigned tries,
                       double before, double after)
{
    const Cell *c = &b->cell;
    uint64_t total = b->ring->vq.completed;

    printf("{\"bench\": \"ringtest\", \"device\": \"" END_NAME "\", "
           "\"layout\": \"%s\", \"batch\": %u, "
           "\"outstanding\": %u, \"in_order\": %s, \"mode\": \"%s\", "
           "\"size\": %u, ",
           c->packed ? "packed" : "split", c->batch, c->outstanding,
           c->in_order ? "true" : "false", mode_names[c->mode],
           b->ring->vq.num);
    if (kept) {
        printf("\"ns_median\": %.1f, \"ns_min\": %.1f, \"ns_p90\": %.1f, ",
               b->ns[kept / 2], b->ns[0], b->ns[kept * 9 / 10]);
    }
    printf("\"rounds\": %u, \"rounds_void\": %u, "
           "\"kicks_per_request\": %.4f, "
           "\"interrupts_per_request\": %.4f, \"probe_before_ns\": %.1f, "
           "\"probe_after_ns\": %.1f}\n",
           kept, tries - kept, (double)b->kicks / total,
           (double)b->calls / total, before, after);
    fflush(stdout);
}

static void run_cell(Bench *b, uint16_t size)
{
    const Cell *c = &b->cell;
    double before = probe(b, PROBE_ROUNDS), after;
    unsigned kept = 0, tries = 0;
    uint64_t kicks, calls, total = 0;
    pthread_t th;

    b->ring = bench_ring_new(&vdrv_mem_direct, size, cell_features(c),
                             direct_mem);
    b->end = end_new(b->ring, size, cell_features(c));
    if (c->mode == MODE_POLL) {
        vdrv_disable_cb(&vdrv_mem_direct, &b->ring->vq);
    }
    th = start(b, device_thread);
    b->deadline = now_ns() + b->limit_ns;
    while (kept < b->rounds && now_ns() < b->deadline) {
        unsigned done;
        uint64_t t0;
        long p0;

        total += driver_run(b, c->batch);   /* the device is on its CPU */
        p0 = preemptions();
        t0 = now_ns();
        done = driver_run(b, b->requests);
        b->ns[kept] = (double)(now_ns() - t0) / b->requests;
        kept += done == b->requests && preemptions() == p0;
        total += done;
        tries++;
    }
    finish(b, th);
    bench_check(b->ring->vq.completed == total, "requests lost");
    kicks = b->kicks;
    calls = b->calls;
    after = probe(b, PROBE_ROUNDS);
    b->kicks = kicks;
    b->calls = calls;

    median(b->ns, kept);
    print_cell(b, kept, tries, before, after);
    end_free(b->end);
    bench_ring_free(b->ring);
}

static void usage(FILE *f)
{
    fputs("usage: ringtest [OPTION]...\n"
          "Time per request of a bare virtqueue between two pinned threads,\n"
          "one JSON object per line. Without choices: the whole matrix.\n\n"
          "  --probe          only bounce a cache line, print the round trip\n"
          "  --layout=L       split or packed\n"
          "  --batch=N        requests published at once, 1 to 256\n"
          "  --outstanding=N  batches in flight at most (default 1)\n"
          "  --in-order=B     on or off\n"
          "  --mode=M         poll, flags or event\n"
          "  --size=N         queue size (default 256)\n"
          "  --requests=N     per round, rounded to whole batches (512)\n"
          "  --rounds=N       undisturbed rounds per cell (101)\n"
          "  --limit=S        seconds for one cell at most (10)\n"
          "  --cpus=A,B       CPUs of driver and device (the first two)\n"
          "  --help           this text\n", f);
}

static void bad(const char *opt, const char *val)
{
    fprintf(stderr, "ringtest: bad value '%s' for --%s; see --help\n", val,
            opt);
    exit(2);
}

static unsigned number(const char *opt, const char *s, unsigned max)
{
    unsigned v = 0;
    int n = 0;

    /* Nine digits are enough for all and cannot overflow */
    if (sscanf(s, "%9u%n", &v, &n) != 1 || s[n] || v < 1 || v > max) {
        bad(opt, s);
    }
    return v;
}

static int choice(const char *opt, const char *s, const char *const *names,
                  int n)
{
    for (int i = 0; i < n; i++) {
        if (!strcmp(s, names[i])) {
            return i;
        }
    }
    bad(opt, s);
    return 0;
}

/* The first two CPUs we may run on, unless chosen */
static void choose_cpus(int cpu[2], const char *arg)
{
    cpu_set_t set;
    int n = 0;

    if (arg) {
        char dummy;

        if (sscanf(arg, "%d,%d%c", &cpu[0], &cpu[1], &dummy) != 2 ||
            cpu[0] < 0 || cpu[1] < 0 || cpu[0] == cpu[1]) {
            bad("cpus", arg);
        }
        return;
    }
    if (sched_getaffinity(0, sizeof(set), &set)) {
        perror("sched_getaffinity");
        exit(1);
    }
    for (int i = 0; i < CPU_SETSIZE && n < 2; i++) {
        if (CPU_ISSET(i, &set)) {
            cpu[n++] = i;
        }
    }
    if (n < 2) {
        fprintf(stderr, "ringtest needs two CPUs and may use %d: "
                "allow more, e.g. with taskset\n", n);
        exit(1);
    }
}

/* Fixed choices; a negative one means all */
typedef struct Choice {
    int layout;
    int in_order;
    int mode;
    unsigned batch;
    unsigned outstanding;
    unsigned size;
} Choice;

static void run_matrix(Bench *b, const Choice *ch, unsigned requests)
{
    static const unsigned batches[] = { 1, 4, 16, 64 };

    for (unsigned i = 0; i < 4 * 2 * 2 * MODE_COUNT; i++) {
        unsigned batch = batches[i % 4];
        int layout = i / 4 % 2, in_order = i / 8 % 2, mode = i / 16;

        if (ch->batch) {
            if (i % 4) {
                continue;
            }
            batch = ch->batch;
        }
        if ((ch->layout >= 0 && ch->layout != layout) ||
            (ch->in_order >= 0 && ch->in_order != in_order) ||
            (ch->mode >= 0 && ch->mode != mode)) {
            continue;
        }
        if (batch * ch->outstanding > ch->size) {
            fprintf(stderr, "%u batches of %u do not fit a queue of %u: "
                    "raise --size\n", ch->outstanding, batch, ch->size);
            exit(2);
        }
        b->cell = (Cell) {
            .packed = layout, .in_order = in_order, .mode = mode,
            .batch = batch, .outstanding = batch * ch->outstanding,
        };
        b->requests = requests < batch ? batch : requests / batch * batch;
        run_cell(b, (uint16_t)ch->size);
    }
}

static const struct option opts[] = {
    { "probe", no_argument, NULL, 'p' },
    { "layout", required_argument, NULL, 'l' },
    { "batch", required_argument, NULL, 'b' },
    { "outstanding", required_argument, NULL, 'o' },
    { "in-order", required_argument, NULL, 'i' },
    { "mode", required_argument, NULL, 'm' },
    { "size", required_argument, NULL, 's' },
    { "requests", required_argument, NULL, 'n' },
    { "rounds", required_argument, NULL, 'r' },
    { "limit", required_argument, NULL, 't' },
    { "cpus", required_argument, NULL, 'c' },
    { "help", no_argument, NULL, 'h' },
    { NULL, 0, NULL, 0 },
};

int main(int argc, char **argv)
{
    static const char *const layouts[] = { "split", "packed" };
    static const char *const off_on[] = { "off", "on" };
    Bench *b = bench_alloc(sizeof(*b));
    Choice ch = { -1, -1, -1, 0, 1, 256 };
    unsigned requests = 512;
    const char *cpus = NULL;
    bool only_probe = false;
    int c;

    b->rounds = 101;
    b->limit_ns = 10000000000ULL;
    while ((c = getopt_long(argc, argv, "", opts, NULL)) != -1) {
        switch (c) {
        case 'p':
            only_probe = true;
            break;
        case 'l':
            ch.layout = choice("layout", optarg, layouts, 2);
            break;
        case 'b':
            ch.batch = number("batch", optarg, BENCH_MAX_BATCH);
            break;
        case 'o':
            ch.outstanding = number("outstanding", optarg, VIRTQ_MAX_SIZE);
            break;
        case 'i':
            ch.in_order = choice("in-order", optarg, off_on, 2);
            break;
        case 'm':
            ch.mode = choice("mode", optarg, mode_names, MODE_COUNT);
            break;
        case 's':
            ch.size = number("size", optarg, VIRTQ_MAX_SIZE);
            break;
        case 'n':
            requests = number("requests", optarg, 100000000);
            break;
        case 'r':
            b->rounds = number("rounds", optarg, MAX_ROUNDS);
            break;
        case 't':
            b->limit_ns = number("limit", optarg, 3600) * 1000000000ULL;
            break;
        case 'c':
            cpus = optarg;
            break;
        case 'h':
            usage(stdout);
            return 0;
        default:
            usage(stderr);
            return 2;
        }
    }
    if (optind < argc) {
        usage(stderr);
        return 2;
    }
    choose_cpus(b->cpu, cpus);
    pin(b->cpu[0]);
    if (only_probe) {
        printf("{\"bench\": \"probe\", \"round_trip_ns\": %.1f, "
               "\"cpus\": [%d, %d]}\n", probe(b, b->rounds), b->cpu[0],
               b->cpu[1]);
    } else {
        run_matrix(b, &ch, requests);
    }
    free(b);
    return 0;
}
