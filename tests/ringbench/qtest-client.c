/*
 * vring-bench: a client of QEMU's qtest protocol.
 *
 * Copyright (c) 2026 Vadis contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "bench.h"

static int qtest_timeout_ms;

void qtest_client_open(QTestClient *q, const char *path, int timeout_ms)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };

    if (strlen(path) >= sizeof(sa.sun_path)) {
        bench_fail(BENCH_EXIT_USAGE, "the socket path '%s' is longer than %zu "
                   "bytes; use a shorter directory", path,
                   sizeof(sa.sun_path) - 1);
    }
    memcpy(sa.sun_path, path, strlen(path) + 1);
    memset(q, 0, sizeof(*q));
    qtest_timeout_ms = timeout_ms;
    q->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (q->fd < 0) {
        bench_fail(BENCH_EXIT_USAGE, "cannot make a socket: %s",
                   strerror(errno));
    }
    if (connect(q->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
        bench_fail(BENCH_EXIT_USAGE, "cannot connect to '%s': %s; QEMU needs "
                   "-qtest unix:PATH,server=on,wait=off", path,
                   strerror(errno));
    }
}

void qtest_client_close(QTestClient *q)
{
    close(q->fd);
    q->fd = -1;
}

static void qtest_send(QTestClient *q, const char *line, size_t len)
{
    while (len) {
        ssize_t n = send(q->fd, line, len, MSG_NOSIGNAL);

        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }
            bench_fail(BENCH_EXIT_DEVICE, "QEMU's qtest socket broke: %s; "
                       "look at QEMU's own messages", strerror(errno));
        }
        line += n;
        len -= n;
    }
}

/* Wait until there is one whole line in q->buf; returns its length. */
static size_t qtest_line(QTestClient *q, const char *command)
{
    for (;;) {
        char *eol = memchr(q->buf, '\n', q->used);
        struct pollfd p = { .fd = q->fd, .events = POLLIN };
        ssize_t n;

        if (eol) {
            return eol - q->buf + 1;
        }
        if (q->used == sizeof(q->buf)) {
            bench_fail(BENCH_EXIT_DEVICE, "the answer to '%s' is longer than "
                       "%zu bytes; is this a qtest socket?", command,
                       sizeof(q->buf));
        }
        if (poll(&p, 1, qtest_timeout_ms) == 0) {
            bench_fail(BENCH_EXIT_DEVICE, "QEMU has not answered '%s' within "
                       "%d ms; its main loop hangs or the machine is "
                       "overloaded", command, qtest_timeout_ms);
        }
        n = recv(q->fd, q->buf + q->used, sizeof(q->buf) - q->used, 0);
        if (n == 0) {
            bench_fail(BENCH_EXIT_DEVICE, "QEMU closed the qtest connection "
                       "during '%s'; it has probably ended", command);
        }
        if (n > 0) {
            q->used += n;
        } else if (errno != EINTR) {
            bench_fail(BENCH_EXIT_DEVICE, "reading the answer to '%s': %s",
                       command, strerror(errno));
        }
    }
}

/* One command, one answer; returns the number after "OK", if there is one. */
static uint64_t __attribute__((format(printf, 2, 3)))
qtest_command(QTestClient *q, const char *fmt, ...)
{
    char line[96];
    uint64_t value = 0;
    va_list ap;
    size_t len;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(line, sizeof(line) - 1, fmt, ap);
    va_end(ap);
    line[n] = '\n';
    qtest_send(q, line, n + 1);
    line[n] = '\0';

    len = qtest_line(q, line);
    q->buf[len - 1] = '\0';
    if (memcmp(q->buf, "OK", 2)) {
        bench_fail(BENCH_EXIT_DEVICE, "QEMU answered '%s' to '%s'", q->buf,
                   line);
    }
    if (q->buf[2] == ' ') {
        value = strtoull(q->buf + 3, NULL, 0);
    }
    memmove(q->buf, q->buf + len, q->used - len);
    q->used -= len;
    q->commands++;
    return value;
}

void qtest_out32(QTestClient *q, uint16_t port, uint32_t value)
{
    qtest_command(q, "outl 0x%x 0x%x", port, value);
}

uint32_t qtest_in32(QTestClient *q, uint16_t port)
{
    return qtest_command(q, "inl 0x%x", port);
}

/* The protocol's letter for an access of 1, 2, 4 or 8 bytes. */
static char qtest_width(int bytes)
{
    return bytes == 1 ? 'b' : bytes == 2 ? 'w' : bytes == 4 ? 'l' : 'q';
}

uint64_t qtest_read(QTestClient *q, uint64_t addr, int bytes)
{
    return qtest_command(q, "read%c 0x%" PRIx64, qtest_width(bytes), addr);
}

void qtest_write(QTestClient *q, uint64_t addr, int bytes, uint64_t value)
{
    qtest_command(q, "write%c 0x%" PRIx64 " 0x%" PRIx64, qtest_width(bytes),
                  addr, value);
}
