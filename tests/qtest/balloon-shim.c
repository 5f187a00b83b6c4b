/*
 * Preloaded into QEMU: a host with large pages, or whose madvise() fails
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Huge pages have to be reserved by an administrator, so tests cannot count
 * on them. QEMU learns the page size of a RAM file from fstatfs(); this
 * answers for files named *balloon-huge* what hugetlbfs would: pages of 2 MiB.
 * Everything else then goes the way it goes with such pages: QEMU discards
 * by fallocate() on the file, of whole large pages only.
 *
 * BALLOON_SHIM_FAIL=ADVICE makes madvise() with that advice fail.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HUGETLBFS_MAGIC 0x958458f6
#define LARGE_PAGE (2 << 20)

int fstatfs(int fd, struct statfs *buf)
{
    char link[64], name[PATH_MAX];
    ssize_t len;

    if (syscall(SYS_fstatfs, fd, buf)) {
        return -1;
    }
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    len = readlink(link, name, sizeof(name) - 1);
    if (len > 0) {
        name[len] = '\0';
        if (strstr(name, "balloon-huge")) {
            buf->f_type = HUGETLBFS_MAGIC;
            buf->f_bsize = LARGE_PAGE;
        }
    }
    return 0;
}

int madvise(void *addr, size_t len, int advice)
{
    const char *fail = getenv("BALLOON_SHIM_FAIL");

    if (fail && atoi(fail) == advice) {
        errno = EINVAL;
        return -1;
    }
    return syscall(SYS_madvise, addr, len, advice);
}
