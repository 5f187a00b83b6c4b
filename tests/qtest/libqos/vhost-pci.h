/*
 * Both sides of vhost-pci for tests: VM B's driver, and VM A's frontend
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_LIBQOS_VHOST_PCI_H
#define TESTS_LIBQOS_VHOST_PCI_H

#include "libqos.h"
#include "virtio.h"
#include "virtio-pci.h"
#include "standard-headers/linux/virtio_vhost_pci.h"

#define QVP_BUFFERS 8
#define QVP_WINDOW (4 * 1024 * 1024)

/* A message without its file descriptors */
typedef struct QVPMessage {
    struct vhost_pci_msg_hdr hdr;
    uint8_t payload[VIRTIO_VHOST_PCI_MSG_MAX -
                    sizeof(struct vhost_pci_msg_hdr)];
} QVPMessage;

/**
 * QVhostPCI: a device, its driver, and at most one frontend
 * @window: BAR of the memory window
 * @doorbells, @notify: offsets in the BAR of the registers
 * @sock: the frontend's end of the connection, or -1
 */
typedef struct QVhostPCI {
    QOSState *qs;
    QTestState *qts;
    QVirtioPCIDevice *pci;
    QVirtQueue *rx;
    QVirtQueue *tx;
    uint64_t rx_addr[QVP_BUFFERS];
    uint32_t rx_head[QVP_BUFFERS];
    QPCIBar window;
    uint64_t doorbells;
    uint64_t notify;
    char *dir;
    char *path;
    int sock;
} QVhostPCI;

/**
 * qvp_start - start QEMU with a device that has its driver, not yet up
 * @options: further properties, each with a comma before it
 */
QVhostPCI *qvp_start(const char *options);
void qvp_stop(QVhostPCI *t);

/**
 * qvp_driver - set the driver up again after a reset of the device
 * @features: feature bits to accept out of those offered
 * @buffers: receive buffers to offer
 * @size: bytes of each
 */
void qvp_driver(QVhostPCI *t, uint64_t features, unsigned buffers,
                unsigned size);

/* Configuration space */
#define qvp_config32(t, field) \
    qvirtio_config_readl(&(t)->pci->vdev, \
                         offsetof(struct virtio_vhost_pci_config, field))
#define qvp_config16(t, field) \
    qvirtio_config_readw(&(t)->pci->vdev, \
                         offsetof(struct virtio_vhost_pci_config, field))
void qvp_set_status(QVhostPCI *t, uint32_t status);

/** qvp_wait_status - until config.status is @status */
void qvp_wait_status(QVhostPCI *t, uint32_t status);

/** qvp_wait_error - until the connection is gone; its reason must be @code */
void qvp_wait_error(QVhostPCI *t, unsigned code);

/* The driver's messages */
void qvp_rx(QVhostPCI *t, QVPMessage *msg);
bool qvp_rx_any(QVhostPCI *t, QVPMessage *msg);
void qvp_tx(QVhostPCI *t, const void *bytes, size_t len);

/** qvp_answer - receive @request, answer it with @size bytes */
void qvp_answer(QVhostPCI *t, uint32_t request, const void *payload,
                size_t size);

/* The frontend */
void qvp_connect(QVhostPCI *t);
void qvp_disconnect(QVhostPCI *t);
void qvp_send_fds(QVhostPCI *t, uint32_t request, uint32_t flags,
                  const void *payload, size_t size, const int *fds,
                  unsigned nfds);
void qvp_send(QVhostPCI *t, uint32_t request, const void *payload,
              size_t size);
void qvp_send_raw(QVhostPCI *t, const void *bytes, size_t len,
                  const int *fds, unsigned nfds);
void qvp_recv(QVhostPCI *t, uint32_t request, void *payload, size_t size);

/** qvp_request - send with NEED_REPLY; the acknowledgement */
uint64_t qvp_request(QVhostPCI *t, uint32_t request, const void *payload,
                     size_t size, const int *fds, unsigned nfds);

/** qvp_expect_close - the device closes the connection */
void qvp_expect_close(QVhostPCI *t);

/**
 * qvp_negotiate - connect, go up, agree on features and REPLY_ACK
 * @features: of the vhost-user device, both sides
 */
void qvp_negotiate(QVhostPCI *t, uint64_t features);

/** qvp_memfd - a file with @size bytes of @fill, sealed as QEMU seals it */
int qvp_memfd(size_t size, uint8_t fill);

/** qvp_table - SET_MEM_TABLE with acknowledgement; the driver's copy of it */
uint64_t qvp_table(QVhostPCI *t, const struct vhost_pci_region *regions,
                   const int *fds, unsigned n,
                   struct vhost_pci_mem_table *seen);

/** qvp_window - read all of the window; free with g_free() */
uint8_t *qvp_window(QVhostPCI *t);

/** qvp_only_visible - all of the window but [from, to) reads as zeros */
void qvp_only_visible(QVhostPCI *t, uint64_t from, uint64_t to);

/** qvp_map - map a file of @size bytes, shared */
uint8_t *qvp_map(int fd, size_t size);

/** qvp_byte - read a byte of the window */
uint8_t qvp_byte(QVhostPCI *t, uint64_t offset);
void qvp_store(QVhostPCI *t, uint64_t offset, uint8_t value);

#endif
