/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Buffers, frames and last words; see agent.h for the protocol. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "agent.h"

struct buf tx;

void say(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fputs("vadis-agent: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
}

/* Nothing can be saved without a root or a port; the host sees both lines. */
void die(const char *what)
{
    say("fatal: %s: %s", what, strerror(errno));
    sync();
    reboot(RB_POWER_OFF);
    for (;;) {
        pause();
    }
}

void buf_add(struct buf *b, const void *data, size_t len)
{
    if (b->len + len > b->cap) {
        b->cap = (b->len + len) * 2;
        b->p = realloc(b->p, b->cap);
        if (!b->p) {
            die("out of memory");
        }
    }
    memcpy(b->p + b->len, data, len);
    b->len += len;
}

void buf_drop(struct buf *b, size_t len)
{
    b->len -= len;
    memmove(b->p, b->p + len, b->len);
}

static void put32(uint8_t *p, uint32_t v)
{
    p[0] = v;
    p[1] = v >> 8;
    p[2] = v >> 16;
    p[3] = v >> 24;
}

uint32_t get32(const uint8_t *p)
{
    return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
}

void frame(char type, uint32_t id, const void *data, uint32_t len)
{
    uint8_t head[HEADER] = { type };

    put32(head + 4, id);
    put32(head + 8, len);
    buf_add(&tx, head, sizeof(head));
    buf_add(&tx, data, len);
}

void frame32(char type, uint32_t id, uint32_t value)
{
    uint8_t v[4];

    put32(v, value);
    frame(type, id, v, sizeof(v));
}

/* Power off or reboot, with what was written on disk. */
void leave(int how)
{
    sync();
    reboot(how);
    die("reboot");
}
