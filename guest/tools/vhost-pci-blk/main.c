/*
 * vhost-pci-blk: serve a disk to another VM
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "backend.h"

static const char usage[] =
    "usage: vhost-pci-blk (--device ADDRESS | --vhost-user SOCKET)\n"
    "                     [--file FILE] [--size BYTES]\n"
    "Serve FILE, or BYTES of memory (K, M, G), as a virtio-blk disk:\n"
    "  --device ADDRESS     in a VM, through the vhost-pci device at a PCI\n"
    "                       address such as 0000:00:04.0; as root, with\n"
    "                       uio_pci_generic loaded\n"
    "  --vhost-user SOCKET  on a host, to a vhost-user frontend\n";

void complain(const char *fmt, ...)
{
    va_list args;

    fputs("vhost-pci-blk: ", stderr);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
}

/* A number of bytes with an optional K, M or G; 0 for anything else */
static uint64_t parse_size(const char *text)
{
    static const char units[] = "KMG";
    char *end;
    uint64_t size = strtoull(text, &end, 0);
    const char *unit = *end ? strchr(units, *end) : NULL;
    unsigned shift = unit ? 10 * (unit - units + 1) : 0;

    if (end == text || (*end && (!unit || end[1])) || *text == '-' ||
        size > (uint64_t)INT64_MAX >> shift) {
        return 0;
    }
    return size << shift;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "device", required_argument, NULL, 'd' },
        { "vhost-user", required_argument, NULL, 'v' },
        { "file", required_argument, NULL, 'f' },
        { "size", required_argument, NULL, 's' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    const char *device = NULL, *path = NULL, *file = NULL;
    uint64_t size = 0;
    int option;

    setvbuf(stdout, NULL, _IOLBF, 0);
    while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        switch (option) {
        case 'd':
            device = optarg;
            break;
        case 'v':
            path = optarg;
            break;
        case 'f':
            file = optarg;
            break;
        case 's':
            size = parse_size(optarg);
            if (!size) {
                complain("--size %s is no number of bytes", optarg);
                return 2;
            }
            break;
        case 'h':
            fputs(usage, stdout);
            return 0;
        default:
            fputs(usage, stderr);
            return 2;
        }
    }
    if (!device == !path || optind < argc) {
        fputs(usage, stderr);
        return 2;
    }
    if (!blk_open(file, size)) {
        return 1;
    }
    return device ? serve_device(device) : serve_socket(path);
}
