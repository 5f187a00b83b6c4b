/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Load for test guests: every byte that goes through a device is checked.
 *
 *   guest-load disk DEVICE THREADS      until SIGTERM, then verify it all
 *   guest-load frames SENDER RECEIVER   until SIGTERM; raw Ethernet frames
 *   guest-load echo ADDRESS PORT BYTES  send, expect the same bytes back
 *   guest-load serve PORT BYTES         accept once, check, answer "good"
 *   guest-load send ADDRESS PORT BYTES  the other end of serve
 *
 * Data is a function of a seed, so that stale, lost or misplaced data shows.
 * "load: N" lines tell the progress; the last line is "load: done N".  A
 * wrong byte ends the program with status 1 and a line that says where.
 * It is linked statically: the initramfs guest has no libraries.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define BLOCK        16384
#define BLOCKS       128            /* of each disk thread */
#define THREADS_MAX  16
#define REPORT       64             /* operations between progress lines */
#define CHUNK        65536
#define ETHERTYPE    0x88b5         /* IEEE 802: for local experiments */
#define FRAME        1200

static const char *prefix = "";     /* $LOAD_PREFIX, to tell loads apart */
static atomic_bool stop;
static atomic_ulong done;

static void say(const char *fmt, ...)
{
    char line[256];
    va_list ap;
    int len = snprintf(line, sizeof(line) / 4, "%.32s", prefix);

    va_start(ap, fmt);
    len += vsnprintf(line + len, sizeof(line) - 1 - len, fmt, ap);
    va_end(ap);
    if (len > (int)sizeof(line) - 2) {
        len = sizeof(line) - 2;
    }
    line[len] = '\n';
    /*
     * One write, because the threads share the output. SIGTERM may end it
     * before it has begun or, on a full console, in the middle.
     */
    for (ssize_t at = 0, n; at <= len; at += n) {
        n = write(STDOUT_FILENO, line + at, len + 1 - at);
        if (n < 0 && errno != EINTR) {
            _exit(3);
        }
        n = n < 0 ? 0 : n;
    }
}

static void __attribute__((noreturn)) die(const char *what)
{
    say("load: WRONG: %s: %s", what, strerror(errno));
    _exit(1);
}

static void on_term(int sig)
{
    stop = true;
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Fill @words words; every 64-bit word depends on @seed and its place. */
static void fill(uint64_t *to, size_t words, uint64_t seed)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;

    for (size_t i = 0; i < words; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        to[i] = x ^ seed;
    }
}

/* The first word of @from that differs from what fill() made, or -1. */
static long differs(const uint64_t *from, size_t words, uint64_t seed)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;

    for (size_t i = 0; i < words; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        if (from[i] != (x ^ seed)) {
            return i;
        }
    }
    return -1;
}

static void count(void)
{
    unsigned long n = atomic_fetch_add(&done, 1) + 1;

    if (n % REPORT == 0) {
        say("load: %lu", n);
    }
}

/* -- disk */

struct worker {
    int fd;
    unsigned index;
    uint64_t *buf;
    uint32_t gen[BLOCKS];           /* what was last written; 0: nothing */
};

static off_t place(struct worker *w, unsigned block)
{
    return ((off_t)w->index * BLOCKS + block) * BLOCK;
}

static uint64_t block_seed(struct worker *w, unsigned block)
{
    return (uint64_t)w->gen[block] << 32 | (w->index * BLOCKS + block);
}

static void check_block(struct worker *w, unsigned block)
{
    long bad;

    if (pread(w->fd, w->buf, BLOCK, place(w, block)) != BLOCK) {
        die("read");
    }
    bad = differs(w->buf, BLOCK / 8, block_seed(w, block));
    if (bad >= 0) {
        say("load: WRONG data: thread %u block %u generation %u word %ld",
            w->index, block, w->gen[block], bad);
        _exit(1);
    }
}

static void *disk_worker(void *opaque)
{
    struct worker *w = opaque;
    uint64_t random = 88172645463325252u + w->index;

    while (!stop) {
        unsigned block = next_random(&random) % BLOCKS;

        w->gen[block]++;
        fill(w->buf, BLOCK / 8, block_seed(w, block));
        if (pwrite(w->fd, w->buf, BLOCK, place(w, block)) != BLOCK) {
            die("write");
        }
        block = next_random(&random) % BLOCKS;
        if (w->gen[block]) {
            check_block(w, block);
        }
        count();
    }
    for (unsigned block = 0; block < BLOCKS; block++) {
        if (w->gen[block]) {
            check_block(w, block);
        }
    }
    return NULL;
}

static int disk(const char *path, unsigned threads)
{
    static struct worker workers[THREADS_MAX];
    pthread_t ids[THREADS_MAX];
    /* O_DIRECT: the page cache must not answer for the device. */
    int fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);

    if (fd < 0) {
        die(path);
    }
    if (!threads || threads > THREADS_MAX) {
        errno = EINVAL;
        die("number of threads");
    }
    for (unsigned i = 0; i < threads; i++) {
        workers[i].fd = fd;
        workers[i].index = i;
        if (posix_memalign((void **)&workers[i].buf, 4096, BLOCK)) {
            die("memory");
        }
        if (pthread_create(&ids[i], NULL, disk_worker, &workers[i])) {
            die("thread");
        }
    }
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
    }
    if (fsync(fd)) {
        die("flush");
    }
    return 0;
}

/* -- raw frames from one interface to another on the same wire */

struct frame {
    uint8_t to[6], from[6];
    uint16_t type;
    uint16_t pad;
    uint64_t number;
    uint64_t data[FRAME / 8];
} __attribute__((packed, aligned(8)));

static int packet_socket(const char *name, bool receive)
{
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET,
        .sll_ifindex = if_nametoindex(name),
        .sll_protocol = receive ? htons(ETHERTYPE) : 0,
    };
    struct ifreq request = { 0 };

    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request)) {
        die(name);
    }
    request.ifr_flags |= IFF_UP | IFF_PROMISC;
    if (ioctl(fd, SIOCSIFFLAGS, &request) ||
        bind(fd, (struct sockaddr *)&address, sizeof(address))) {
        die(name);
    }
    return fd;
}

/* Frames may be lost, never changed, doubled or reordered. */
static void take_frames(int fd, uint64_t *last)
{
    static struct frame f;
    ssize_t size;

    while ((size = recv(fd, &f, sizeof(f), MSG_DONTWAIT)) > 0) {
        if (f.type != htons(ETHERTYPE)) {
            continue;
        }
        if (size != sizeof(f) || f.number <= *last ||
            differs(f.data, FRAME / 8, f.number) >= 0) {
            say("load: WRONG frame: %zd bytes, number %llu after %llu", size,
                (unsigned long long)f.number, (unsigned long long)*last);
            _exit(1);
        }
        *last = f.number;
        count();
    }
}

static int frames(const char *sender, const char *receiver)
{
    int out = packet_socket(sender, false);
    int in = packet_socket(receiver, true);
    struct frame f = { .to = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
                       .from = { 2 }, .type = htons(ETHERTYPE) };
    struct pollfd wait = { .fd = in, .events = POLLIN };
    uint64_t last = 0;

    while (!stop) {
        for (unsigned i = 0; i < 16; i++) {
            f.number++;
            fill(f.data, FRAME / 8, f.number);
            if (send(out, &f, sizeof(f), 0) < 0 && errno != EINTR &&
                errno != ENOBUFS && errno != ENETDOWN) {
                die("send");
            }
        }
        if (poll(&wait, 1, 100) > 0) {
            take_frames(in, &last);
        }
    }
    return 0;
}

/* -- TCP */

static struct sockaddr_in address(const char *host, const char *port)
{
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_port = htons(atoi(port)) };

    if (!inet_aton(host, &a.sin_addr)) {
        errno = EINVAL;
        die(host);
    }
    return a;
}

static int dial(const char *host, const char *port)
{
    struct sockaddr_in a = address(host, port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a))) {
        die(host);
    }
    return fd;
}

/* Where sender and receiver of one stream are; both in whole chunks. */
struct stream {
    uint64_t buf[CHUNK / 8];
    uint64_t chunk;
    size_t at;
};

static bool push(int fd, struct stream *s, int flags)
{
    ssize_t n;

    if (!s->at) {
        fill(s->buf, CHUNK / 8, s->chunk);
    }
    n = send(fd, (uint8_t *)s->buf + s->at, CHUNK - s->at,
             flags | MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) {
        die("send");
    }
    s->at += n > 0 ? n : 0;
    if (s->at == CHUNK) {
        s->at = 0;
        s->chunk++;
    }
    return n > 0;
}

static bool pull(int fd, struct stream *s, int flags)
{
    ssize_t n = recv(fd, (uint8_t *)s->buf + s->at, CHUNK - s->at, flags);

    if (n == 0) {
        errno = ECONNRESET;
    }
    if (n <= 0 && errno != EAGAIN) {
        die("receive");
    }
    s->at += n > 0 ? n : 0;
    if (s->at == CHUNK) {
        long bad = differs(s->buf, CHUNK / 8, s->chunk);

        if (bad >= 0) {
            say("load: WRONG data: chunk %llu word %ld",
                (unsigned long long)s->chunk, bad);
            _exit(1);
        }
        s->at = 0;
        s->chunk++;
        count();
    }
    return n > 0;
}

static int echo(int fd, uint64_t chunks)
{
    static struct stream out, in;
    struct pollfd wait = { .fd = fd };

    while (in.chunk < chunks) {
        wait.events = POLLIN | (out.chunk < chunks ? POLLOUT : 0);
        if (poll(&wait, 1, -1) < 0) {
            die("poll");
        }
        if (wait.revents & POLLOUT) {
            push(fd, &out, MSG_DONTWAIT);
        }
        if (wait.revents & ~POLLOUT) {
            pull(fd, &in, MSG_DONTWAIT);
        }
    }
    return 0;
}

static int serve(const char *port, uint64_t chunks)
{
    static struct stream in;
    struct sockaddr_in a = address("0.0.0.0", port);
    int fd, one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);

    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (struct sockaddr *)&a, sizeof(a)) ||
        listen(listener, 1)) {
        die("listen");
    }
    say("load: listening");
    fd = accept(listener, NULL, NULL);
    if (fd < 0) {
        die("accept");
    }
    while (in.chunk < chunks) {
        pull(fd, &in, 0);
    }
    if (send(fd, "good", 4, MSG_NOSIGNAL) != 4) {
        die("answer");
    }
    return 0;
}

static int send_all(int fd, uint64_t chunks)
{
    static struct stream out;
    char answer[4];

    while (out.chunk < chunks) {
        uint64_t before = out.chunk;

        push(fd, &out, 0);
        if (out.chunk != before) {
            count();
        }
    }
    if (recv(fd, answer, 4, MSG_WAITALL) != 4 || memcmp(answer, "good", 4)) {
        die("answer");
    }
    return 0;
}

static uint64_t chunks(const char *bytes)
{
    return (strtoull(bytes, NULL, 0) + CHUNK - 1) / CHUNK;
}

int main(int argc, char **argv)
{
    struct sigaction term = { .sa_handler = on_term };
    const char *mode = argc > 1 ? argv[1] : "";
    int status;

    if (getenv("LOAD_PREFIX")) {
        prefix = getenv("LOAD_PREFIX");
    }
    sigaction(SIGTERM, &term, NULL);
    if (!strcmp(mode, "disk") && argc == 4) {
        status = disk(argv[2], atoi(argv[3]));
    } else if (!strcmp(mode, "frames") && argc == 4) {
        status = frames(argv[2], argv[3]);
    } else if (!strcmp(mode, "echo") && argc == 5) {
        status = echo(dial(argv[2], argv[3]), chunks(argv[4]));
    } else if (!strcmp(mode, "serve") && argc == 4) {
        status = serve(argv[2], chunks(argv[3]));
    } else if (!strcmp(mode, "send") && argc == 5) {
        status = send_all(dial(argv[2], argv[3]), chunks(argv[4]));
    } else {
        say("load: WRONG usage: see the top of guest-load.c");
        return 2;
    }
    say("load: done %lu", atomic_load(&done));
    return status;
}
