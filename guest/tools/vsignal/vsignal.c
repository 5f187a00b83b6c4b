/*
 * vsignal: send and watch signals of a virtio-signal device
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * NODE is a number or "all"; TARGET a number, "node", "all", "others", or
 * "mask:HEX". -p: poll for NS before sleeping; -c: run on CPU.
 * Exit status 1: the device refused; 2: anything else.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "vsignal.h"

static const struct command {
    const char *name, *arguments, *purpose;
    int least, most;
    int (*run)(int argc, char **argv);
} commands[] = {
    { "info", "", "number of the node, targets, classes", 0, 0, cmd_info },
    { "peers", "", "the other nodes", 0, 0, cmd_peers },
    { "send", " NODE TARGET CLASS [SIGNAL [PAYLOAD0 [PAYLOAD1]]]",
      "one request", 3, 6, cmd_send },
    { "listen", " [COUNT]", "print events, COUNT of them or for ever",
      0, 1, cmd_listen },
    { "echo", " [COUNT]", "answer pings, COUNT of them or for ever",
      0, 1, cmd_echo },
    { "ping", " NODE TARGET [COUNT]", "DOORBELL there and back",
      2, 3, cmd_ping },
    { "wait", " NODE STATE", "until NODE is down, up or ready",
      2, 2, cmd_wait },
    { "accept", " TARGET CLASS...", "what the target takes, and nothing else",
      2, INT_MAX, cmd_accept },
    { "cross", " ROUNDS", "every CPU signals every other one",
      1, 1, cmd_cross },
    { "storm", " COUNT", "all CPUs at once send COUNT requests each",
      1, 1, cmd_storm },
};
#define COMMANDS (sizeof(commands) / sizeof(*commands))

static void __attribute__((noreturn)) usage(const struct command *one)
{
    fprintf(stderr, "usage: vsignal [-d DEVICE] [-p NS] [-c CPU] %s%s\n",
            one ? one->name : "COMMAND...", one ? one->arguments : "");
    for (unsigned i = 0; !one && i < COMMANDS; i++) {
        fprintf(stderr, "  %s%s: %s\n", commands[i].name,
                commands[i].arguments, commands[i].purpose);
    }
    fprintf(stderr, "NODE: a number, or all; TARGET: a number, node, all, "
            "others, or mask:HEX\n-p: poll for NS before sleeping; -c: run on "
            "CPU\n");
    exit(2);
}

static void set_poll(uint32_t ns)
{
    if (ioctl(device, VSIGNAL_POLL, &ns)) {
        die("cannot poll: %s", errno == EOPNOTSUPP ?
            "the device does not offer it; its property poll=on does" :
            strerror(errno));
    }
    if (ns && !info().poll_ns_max) {
        fprintf(stderr, "vsignal: the host lets nobody poll; its property "
                "poll-ns-max does\n");
    }
}

static void open_device(const char *path)
{
    glob_t others;

    device = open(path, O_RDWR | O_CLOEXEC);
    if (device >= 0) {
        return;
    }
    if (errno != ENOENT && errno != ENODEV && errno != ENXIO) {
        die("%s: %s", path, strerror(errno));
    }
    if (!glob("/dev/vsignal*", 0, NULL, &others)) {
        die("no device %s; give another one with -d, as %s", path,
            others.gl_pathv[0]);
    }
    die("no device %s; load virtio_signal.ko, and give the machine a "
        "virtio-signal device", path);
}

int main(int argc, char **argv)
{
    const char *path = "/dev/vsignal0";
    const struct command *command = NULL;
    uint32_t poll_ns = 0;
    int option;

    if (sched_getaffinity(0, sizeof(usable), &usable)) {
        die("cannot tell the CPUs: %s", strerror(errno));
    }
    while ((option = getopt(argc, argv, "+d:p:c:")) != -1) {
        switch (option) {
        case 'd':
            path = optarg;
            break;
        case 'p':
            poll_ns = number(optarg, UINT32_MAX);
            break;
        case 'c':
            run_on(number(optarg, CPU_SETSIZE - 1));
            break;
        default:
            usage(NULL);
        }
    }
    for (unsigned i = 0; optind < argc && i < COMMANDS; i++) {
        if (!strcmp(argv[optind], commands[i].name)) {
            command = &commands[i];
        }
    }
    if (!command) {
        usage(NULL);
    }
    argc -= optind + 1;
    argv += optind + 1;
    if (argc < command->least || argc > command->most) {
        usage(command);
    }
    open_device(path);
    if (poll_ns) {
        set_poll(poll_ns);
    }
    return command->run(argc, argv);
}
