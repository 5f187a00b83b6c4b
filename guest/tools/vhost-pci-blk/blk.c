/*
 * vhost-pci-blk: block requests (virtio 1.2+, section 5.2)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "backend.h"

#define SECTOR 512
#define SEG_MAX 126

#define F_SEG_MAX  2
#define F_BLK_SIZE 6
#define F_FLUSH    9

#define T_IN     0
#define T_OUT    1
#define T_FLUSH  4
#define T_GET_ID 8

#define S_OK     0
#define S_IOERR  1
#define S_UNSUPP 2

#define ID_BYTES 20

/* struct virtio_blk_config as far as the features reach */
struct blk_config {
    uint64_t capacity;
    uint32_t size_max;
    uint32_t seg_max;
    uint32_t geometry;
    uint32_t blk_size;
};

struct blk_header {
    uint32_t type;
    uint32_t reserved;
    uint64_t sector;
};

static struct {
    uint8_t *data;
    uint64_t size;
    bool file;
} disk;

bool blk_open(const char *path, uint64_t size)
{
    struct stat st;
    int fd = -1;

    if (path) {
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0 || (size && ftruncate(fd, size)) || fstat(fd, &st)) {
            complain("%s: %s", path, strerror(errno));
            return false;
        }
        size = st.st_size;
    }
    size -= size % SECTOR;
    if (!size) {
        complain("a disk needs --size, or a --file that is not empty");
        return false;
    }
    disk.data = mmap(NULL, size, PROT_READ | PROT_WRITE,
                     fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd,
                     0);
    if (disk.data == MAP_FAILED) {
        complain("cannot map %llu bytes: %s", (unsigned long long)size,
                 strerror(errno));
        return false;
    }
    disk.size = size;
    disk.file = path;
    return true;
}

uint64_t blk_features(void)
{
    return 1u << F_SEG_MAX | 1u << F_BLK_SIZE | 1u << F_FLUSH;
}

void blk_config(void *to, uint32_t offset, uint32_t size)
{
    const struct blk_config config = {
        .capacity = disk.size / SECTOR,
        .seg_max = SEG_MAX,
        .blk_size = SECTOR,
    };

    if (offset < sizeof(config)) {
        uint32_t n = sizeof(config) - offset;

        memcpy(to, (const uint8_t *)&config + offset, n < size ? n : size);
    }
}

/*
 * Copy between @buf and buffers, beginning @skip bytes into them. Returns the
 * bytes copied.
 */
static size_t copy(const struct iovec *iov, unsigned n, size_t skip,
                   void *buf, size_t len, bool to_iov)
{
    size_t done = 0;

    for (unsigned i = 0; i < n && done < len; i++) {
        size_t piece = iov[i].iov_len;
        uint8_t *at = iov[i].iov_base;

        if (skip >= piece) {
            skip -= piece;
            continue;
        }
        piece -= skip;
        at += skip;
        skip = 0;
        if (piece > len - done) {
            piece = len - done;
        }
        if (to_iov) {
            memcpy(at, (uint8_t *)buf + done, piece);
        } else {
            memcpy((uint8_t *)buf + done, at, piece);
        }
        done += piece;
    }
    return done;
}

static bool in_disk(uint64_t sector, uint64_t len)
{
    return !(len % SECTOR) && sector <= disk.size / SECTOR &&
           len <= disk.size - sector * SECTOR;
}

/*
 * The frontend's memory turns into zeros when it goes: these must not become
 * part of the disk. So all is read first, and written if that was in time.
 * Returns false when it was not.
 */
static bool write_disk(const struct iovec *out, unsigned nout,
                       uint64_t sector, uint64_t len,
                       const struct transport *transport, uint8_t *status)
{
    uint8_t *data = malloc(len ? len : 1);
    bool alive = true;

    if (!data) {
        *status = S_IOERR;
        return true;
    }
    copy(out, nout, sizeof(struct blk_header), data, len, false);
    if (transport->alive) {
        alive = transport->alive(transport->opaque);
    }
    if (alive) {
        memcpy(disk.data + sector * SECTOR, data, len);
    }
    free(data);
    return alive;
}

int64_t blk_request(const VirtRingSegs *segs,
                    const struct transport *transport)
{
    const struct iovec *out = segs->iov;
    const struct iovec *in = segs->iov + segs->size.out_num;
    unsigned nout = segs->size.out_num, nin = segs->size.in_num;
    uint64_t room = segs->size.in_len - 1, out_len;
    struct blk_header header;
    char id[ID_BYTES] = "vhost-pci-blk";
    uint8_t status = S_OK;
    uint64_t written = 0;

    /* Copied once: the frontend's guest may change it at any time. */
    if (!segs->size.in_len ||
        copy(out, nout, 0, &header, sizeof(header), false) !=
        sizeof(header)) {
        return -1;
    }
    out_len = segs->size.out_len - sizeof(header);
    switch (header.type) {
    case T_IN:
        if (!in_disk(header.sector, room)) {
            status = S_IOERR;
            break;
        }
        written = copy(in, nin, 0, disk.data + header.sector * SECTOR, room,
                       true);
        break;
    case T_OUT:
        if (!in_disk(header.sector, out_len)) {
            status = S_IOERR;
            break;
        }
        if (!write_disk(out, nout, header.sector, out_len, transport,
                        &status)) {
            return -1;
        }
        break;
    case T_FLUSH:
        if (disk.file && msync(disk.data, disk.size, MS_SYNC)) {
            status = S_IOERR;
        }
        break;
    case T_GET_ID:
        written = copy(in, nin, 0, id, room < ID_BYTES ? room : ID_BYTES,
                       true);
        break;
    default:
        status = S_UNSUPP;
        break;
    }
    /* The status is the last writable byte, wherever that is. */
    copy(in, nin, room, &status, 1, true);
    return written + 1;
}
