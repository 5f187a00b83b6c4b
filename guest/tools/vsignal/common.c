/*
 * vsignal: the device, and what is written on the command line
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define _GNU_SOURCE
#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <unistd.h>
#include "vsignal.h"

static const char *const classes[VIRTIO_SIGNAL_CLASS_COUNT] = {
    "irq", "doorbell", "nmi", "boot", "reset", "stop", "kill", "peer",
    "channel", "overflow",
};
static const char *const states[] = { "down", "up", "ready" };
#define STATES (sizeof(states) / sizeof(*states))

/* A status, and what can be done about it */
static const struct {
    const char *name, *hint;
} statuses[VIRTIO_SIGNAL_S_COUNT] = {
    { "ok" }, { "partial" },
    { "inval", "the request has fields that do not go together, or needs a "
               "feature that the device does not have" },
    { "no-target", "no such CPU there, or no driver; see 'vsignal info' and "
                   "'vsignal peers'" },
    { "no-peer", "no such node; see 'vsignal peers'" },
    { "perm", "not allowed: by send-CLASS of this machine's device, or by "
              "accept-CLASS of the link or 'vsignal accept' at the other end" },
    { "unsupp", "the device does not know this class" },
    { "busy", "too many at once, or the target's backlog is full; try again" },
    { "peer-down", "that machine is not connected, or has no driver yet; "
                   "'vsignal wait NODE ready' waits for it" },
    { "again", "the machine or the link stopped; it may have been done" },
    { "state", "that machine is not in a state for it" },
};

int device;
cpu_set_t usable;

void die(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    fprintf(stderr, "vsignal: ");
    vfprintf(stderr, format, ap);
    fprintf(stderr, "\n");
    va_end(ap);
    exit(2);
}

static bool parse(const char *text, unsigned long long max,
                  unsigned long long *value)
{
    char *end;

    errno = 0;
    *value = strtoull(text, &end, 0);
    return !errno && end != text && !*end && *value <= max && *text >= '0' &&
           *text <= '9';
}

unsigned long long number(const char *text, unsigned long long max)
{
    unsigned long long value;

    if (!parse(text, max, &value)) {
        die("'%s' is not a number up to %llu", text, max);
    }
    return value;
}

static unsigned name(const char *what, const char *const *names,
                     unsigned count, unsigned long long max, const char *text)
{
    unsigned long long value;
    char list[256] = "";

    for (unsigned i = 0; i < count; i++) {
        if (!strcmp(names[i], text)) {
            return i;
        }
        strcat(list, " ");
        strcat(list, names[i]);
    }
    if (!parse(text, max, &value)) {
        die("'%s' is no %s; they are%s", text, what, list);
    }
    return value;
}

unsigned class_number(const char *text)
{
    return name("class", classes, VIRTIO_SIGNAL_CLASS_COUNT, UINT16_MAX, text);
}

unsigned state_number(const char *text)
{
    return name("state", states, STATES, STATES - 1, text);
}

const char *class_name(unsigned class_id)
{
    return class_id < VIRTIO_SIGNAL_CLASS_COUNT ? classes[class_id] : "unknown";
}

const char *state_name(unsigned state)
{
    return state < STATES ? states[state] : "unknown";
}

void print_classes(uint32_t bits)
{
    for (unsigned i = 0; i < VIRTIO_SIGNAL_CLASS_COUNT; i++) {
        if (bits & (1u << i)) {
            printf(" %s", classes[i]);
        }
    }
    printf("\n");
}

uint16_t node(const char *text)
{
    return strcmp(text, "all") ? number(text, UINT16_MAX)
                               : VIRTIO_SIGNAL_NODE_ALL;
}

void run_on(unsigned cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set)) {
        die("cannot run on CPU %u: %s", cpu,
            errno == EINVAL ? "it is not there, or off" : strerror(errno));
    }
}

struct virtio_signal_config info(void)
{
    struct virtio_signal_config config;

    if (ioctl(device, VSIGNAL_INFO, &config)) {
        die("cannot ask the device: %s", strerror(errno));
    }
    return config;
}

void get_peers(struct vsignal_peers *peers, unsigned first)
{
    peers->first = first;
    if (ioctl(device, VSIGNAL_PEERS, peers)) {
        die("cannot list peers: %s", strerror(errno));
    }
}

struct virtio_signal_req *request(struct vsignal_send *send)
{
    memset(send, 0, sizeof(*send));
    return (struct virtio_signal_req *)send->req;
}

uint16_t own_target(void)
{
    unsigned cpu = sched_getcpu();

    return cpu < info().num_targets ? cpu : VIRTIO_SIGNAL_TARGET_NODE;
}

/* Hexadecimal digits, lowest target last; words from the end of the text on */
static void set_mask(struct virtio_signal_req *req, const char *text)
{
    size_t digits = strspn(text, "0123456789abcdefABCDEF");
    unsigned words, max = info().max_mask_words;

    if (!digits || text[digits]) {
        die("'%s' is not a mask of hexadecimal digits", text);
    }
    while (*text == '0' && digits > 1) {
        text++;
        digits--;
    }
    words = (digits + 15) / 16;
    if (words > max) {
        die("the mask '%s' has more than the %u bits that the device takes",
            text, 64 * max);
    }
    req->mode = htole16(VIRTIO_SIGNAL_MODE_MASK);
    req->mask_words = htole16(words);
    for (unsigned i = 0; i < words; i++) {
        size_t some = digits < 16 ? digits : 16;
        char word[17] = "";

        digits -= some;
        memcpy(word, text + digits, some);
        req->mask[i] = htole64(strtoull(word, NULL, 16));
    }
}

void set_target(struct virtio_signal_req *req, const char *text)
{
    unsigned long long target;

    if (!strcmp(text, "node")) {
        req->target = htole16(VIRTIO_SIGNAL_TARGET_NODE);
    } else if (!strcmp(text, "all")) {
        req->mode = htole16(VIRTIO_SIGNAL_MODE_ALL);
    } else if (!strcmp(text, "others")) {
        req->mode = htole16(VIRTIO_SIGNAL_MODE_ALL_BUT_SELF);
    } else if (!strncmp(text, "mask:", 5)) {
        set_mask(req, text + 5);
    } else if (parse(text, UINT16_MAX, &target)) {
        req->target = htole16(target);
    } else {
        die("'%s' is no target; they are: a number, node, all, others, "
            "mask:HEX", text);
    }
}

unsigned submit(struct vsignal_send *send)
{
    if (ioctl(device, VSIGNAL_SEND, send)) {
        die("cannot send: %s",
            errno == ENOSPC ? "the send queue is full; try again" :
            errno == ENODEV ? "the device is gone" : strerror(errno));
    }
    return le16toh(send->reply.status);
}

int show_reply(const struct virtio_signal_reply *reply)
{
    unsigned status = le16toh(reply->status);
    bool known = status < VIRTIO_SIGNAL_S_COUNT;

    printf("%s delivered %u coalesced %u refused %u\n",
           known ? statuses[status].name : "unknown",
           le32toh(reply->delivered), le32toh(reply->coalesced),
           le32toh(reply->refused));
    if (known && statuses[status].hint) {
        fprintf(stderr, "vsignal: %s\n", statuses[status].hint);
    }
    return status != VIRTIO_SIGNAL_S_OK;
}

static volatile sig_atomic_t late;

static void alarm_rings(int number)
{
    late = 1;
}

/* Ring every second from then on: a first one may come before read(). */
static void set_alarm(unsigned seconds)
{
    struct itimerval when = {
        .it_interval = { .tv_sec = !!seconds },
        .it_value = { .tv_sec = seconds },
    };

    late = 0;
    setitimer(ITIMER_REAL, &when, NULL);
}

bool next_record(struct vsignal_record *record, unsigned seconds)
{
    struct sigaction action = { .sa_handler = alarm_rings };
    ssize_t got;

    sigaction(SIGALRM, &action, NULL);
    set_alarm(seconds);
    do {
        got = read(device, record, sizeof(*record));
    } while (got < 0 && errno == EINTR && !late);
    set_alarm(0);
    if (got < 0 && errno == EINTR) {
        return false;
    }
    if (got != sizeof(*record)) {
        die("%s", got < 0 ? strerror(errno) : "the device is gone");
    }
    return true;
}
