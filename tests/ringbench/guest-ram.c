/*
 * vring-bench: guest RAM, shared with QEMU through its memfd.
 *
 * Copyright (c) 2026 Vadis contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "bench.h"

/*
 * The first megabyte has holes and ROMs of the PC in it, so DMA starts above.
 */
#define RAM_FIRST_USABLE 0x100000ull

/* Above this a PC's RAM is split by the hole below 4 GiB. */
#define RAM_LARGEST 0x40000000ull

/* Open the memfd behind /proc/PID/fd/NAME, or return -1 if it is none. */
static int open_if_memfd(long pid, const char *name)
{
    char path[64], target[128];
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/%ld/fd/%.16s", pid, name);
    n = readlink(path, target, sizeof(target) - 1);
    if (n < 0) {
        return -1;
    }
    target[n] = '\0';
    if (strncmp(target, "/memfd:memory-backend-memfd", 27)) {
        return -1;
    }
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        bench_fail(BENCH_EXIT_USAGE, "cannot open %s (%s): %s; run as the "
                   "user that started QEMU", path, target, strerror(errno));
    }
    return fd;
}

static int find_memfd(long pid)
{
    char dirname[32];
    struct dirent *e;
    DIR *dir;
    int found = -1;

    snprintf(dirname, sizeof(dirname), "/proc/%ld/fd", pid);
    dir = opendir(dirname);
    if (!dir) {
        bench_fail(BENCH_EXIT_USAGE, "cannot list %s: %s; is QEMU running as "
                   "process %ld of this user?", dirname, strerror(errno), pid);
    }
    while ((e = readdir(dir))) {
        int fd = open_if_memfd(pid, e->d_name);

        if (fd < 0) {
            continue;
        }
        if (found >= 0) {
            bench_fail(BENCH_EXIT_USAGE, "process %ld has more than one RAM "
                       "memfd; give QEMU one memory-backend-memfd", pid);
        }
        found = fd;
    }
    closedir(dir);
    if (found < 0) {
        bench_fail(BENCH_EXIT_USAGE, "process %ld has no RAM memfd; QEMU needs "
                   "-object memory-backend-memfd,id=m0,share=on,size=N "
                   "-machine q35,memory-backend=m0", pid);
    }
    return found;
}

void guest_ram_map(GuestRam *ram, long pid)
{
    int fd = find_memfd(pid);
    struct stat st;

    if (fstat(fd, &st) < 0) {
        bench_fail(BENCH_EXIT_USAGE, "cannot stat the RAM memfd: %s",
                   strerror(errno));
    }
    if ((uint64_t)st.st_size > RAM_LARGEST) {
        bench_fail(BENCH_EXIT_USAGE, "guest RAM has %lld MiB; at most %llu MiB "
                   "lie below the PCI hole, use less",
                   (long long)st.st_size >> 20, RAM_LARGEST >> 20);
    }
    /* Populate: no page fault may fall into a measured loop. */
    ram->host = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_POPULATE, fd, 0);
    if (ram->host == MAP_FAILED) {
        bench_fail(BENCH_EXIT_USAGE, "cannot map %lld MiB of guest RAM: %s",
                   (long long)st.st_size >> 20, strerror(errno));
    }
    close(fd);
    ram->size = st.st_size;
    ram->next = RAM_FIRST_USABLE;
}

void guest_ram_unmap(GuestRam *ram)
{
    munmap(ram->host, ram->size);
    ram->host = NULL;
}

uint64_t guest_ram_alloc(GuestRam *ram, uint64_t size, uint64_t align)
{
    uint64_t gpa = (ram->next + align - 1) & ~(align - 1);

    if (size > ram->size || gpa > ram->size - size) {
        bench_fail(BENCH_EXIT_USAGE, "guest RAM of %" PRIu64 " MiB is too "
                   "small for this queue and payload; give QEMU more",
                   ram->size >> 20);
    }
    ram->next = gpa + size;
    memset(ram->host + gpa, 0, size);
    return gpa;
}
