/*
 * vhost-pci-blk: the vhost-user backend
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Knows the messages and the rings; does not know whether they come over a
 * vhost-pci device (device.c) or a socket (socket.c), nor what a request means
 * (blk.c). The frontend is not trusted: every address is looked up in the
 * regions, every size is checked.
 */

#ifndef VHOST_PCI_BLK_BACKEND_H
#define VHOST_PCI_BLK_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "hw/virtio/ring/ring.h"
#include "standard-headers/linux/virtio_vhost_pci.h"

#define RINGS_MAX 8

struct message {
    struct vhost_pci_msg_hdr hdr;
    uint8_t payload[VIRTIO_VHOST_PCI_MSG_MAX -
                    sizeof(struct vhost_pci_msg_hdr)];
};

struct ring {
    VirtRing engine;
    VirtRingPos pos;
    VirtRingAreas areas;
    VirtRingSlot *slots;
    struct vhost_pci_vring_addr addr;
    uint32_t num;
    uint32_t base;
    bool addressed;
    bool kickable;              /* SET_VRING_KICK came: started */
    bool enabled;
    bool running;
};

struct region {
    uint64_t gpa;
    uint64_t uaddr;
    uint64_t size;
    uint8_t *host;
};

struct backend;

/**
 * struct transport - where messages come from
 * @reply: send an answer to the frontend
 * @table: say where each region of a new table is in this process; NULL
 *         entries for those that are not to be had
 * @call: tell the frontend that a ring has used buffers
 */
struct transport {
    void (*reply)(void *opaque, const struct message *msg);
    void (*table)(void *opaque, const struct vhost_pci_mem_table *table,
                  uint8_t *hosts[VHOST_PCI_TABLE_MAX]);
    void (*call)(void *opaque, unsigned ring);
    bool (*alive)(void *opaque);
    void *opaque;
};

/**
 * struct backend - one connection with a frontend
 * @polling: rings are polled, the frontend need not kick
 */
struct backend {
    const struct transport *transport;
    struct region regions[VHOST_PCI_TABLE_MAX];
    unsigned nregions;
    struct ring rings[RINGS_MAX];
    uint64_t features;
    bool polling;
    uint64_t requests;
};

void backend_reset(struct backend *b);

/**
 * backend_message - act on a message, answer it
 * @msg: checked to hold hdr.size bytes of payload
 *
 * Returns false when the frontend broke the rules: close the connection.
 */
bool backend_message(struct backend *b, const struct message *msg);

/** backend_serve - work on all running rings; true if anything was done */
bool backend_serve(struct backend *b);

/* blk.c */

/** blk_open - @path: file, or NULL for memory; @size: bytes, 0 for a file's */
bool blk_open(const char *path, uint64_t size);
uint64_t blk_features(void);

/** blk_config - copy from the configuration space */
void blk_config(void *to, uint32_t offset, uint32_t size);

/**
 * blk_request - do a request
 * @segs: its buffers
 * @transport: says whether what was read from them was the frontend's
 *
 * Returns the bytes written to them, or -1 when it has no place for a status,
 * or its frontend is gone.
 */
int64_t blk_request(const VirtRingSegs *segs,
                    const struct transport *transport);

/* device.c, socket.c: serve until the end of time; return only on errors */
int serve_device(const char *address);
int serve_socket(const char *path);

/** complain - a line on standard error */
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
