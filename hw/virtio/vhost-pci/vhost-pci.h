/*
 * vhost-pci: the device
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Files by concern:
 *
 *   message.c        policy: which messages pass, and checks of their form
 *   window.c         A's memory in B: mappings and rights
 *   grants.c         the vhost IOMMU's list of what A granted
 *   rings.c          eventfds: kicks and calls
 *   connection.c     state machine of the connection, relay both ways
 *   act.c            what the device itself does with a message
 *   vhost-pci.c      virtio device, properties
 *   vhost-pci-pci.c  BARs, doorbells, MSI-X vectors
 *
 * Everything runs in the main loop with the BQL held.
 */

#ifndef HW_VIRTIO_VHOST_PCI_H
#define HW_VIRTIO_VHOST_PCI_H

#include "chardev/char-fe.h"
#include "hw/virtio/virtio.h"
#include "qemu/bitmap.h"
#include "qemu/uuid.h"
#include "qom/object.h"
#include "grants.h"
#include "message.h"
#include "rings.h"
#include "window.h"

#define TYPE_VHOST_PCI_DEVICE "vhost-pci-device"
OBJECT_DECLARE_SIMPLE_TYPE(VhostPCI, VHOST_PCI_DEVICE)

#define VP_QUEUES_MAX 256
#define VP_QUEUE_SIZE 256

typedef enum VPIommu {
    VP_IOMMU_OFF,               /* whole regions, bit 33 is never offered */
    VP_IOMMU_AUTO,              /* as the frontend negotiates bit 33 */
    VP_IOMMU_REQUIRED,          /* no connection without bit 33 */
} VPIommu;

/*
 * CLOSED -> WAITING: A connects. WAITING -> UP: the driver sets BACKEND_UP.
 * Any -> CLOSED: either side goes, breaks the rules, or is too slow.
 */
typedef enum VPState {
    VP_CLOSED,
    VP_WAITING,                 /* nothing is read */
    VP_UP,
} VPState;

/* What the user sets; constant once the device is realized */
typedef struct VPConf {
    uint16_t num_queues;
    uint16_t max_regions;
    uint64_t shm_size;          /* bytes */
    uint32_t iotlb_entries;
    uint32_t reply_timeout_ms;
    int iommu;                  /* VPIommu */
    bool require_sealed;
    QemuUUID uuid;
} VPConf;

/**
 * VPConnection: what belongs to one connection
 * @msg: message being read, or in hand
 * @in_hand: @msg is whole and waits for a receive buffer
 * @open: @msg waits for the driver's answer
 * @acked: that answer is an acknowledgement
 * @tx, @tx_at, @tx_len: what the socket has yet to take
 * @tx_watch: source that waits for it
 * @started: rings that got a kick file, and were not stopped since
 * @backend_fd: socket for the backend's requests, or -1
 */
typedef struct VPConnection {
    VPState state;
    VPMessage msg;
    bool in_hand;
    bool open;
    bool acked;
    uint8_t tx[VIRTIO_VHOST_PCI_MSG_MAX];
    unsigned tx_at;
    unsigned tx_len;
    guint tx_watch;
    int backend_fd;
    DECLARE_BITMAP(started, VP_QUEUES_MAX);
    uint64_t protocol_features;
} VPConnection;

/**
 * VPTransportOps: what the transport does for the device
 * @kicked: A kicked a ring, below num_queues
 * @reset: forget the vectors
 */
typedef struct VPTransportOps {
    void (*kicked)(void *opaque, unsigned ring);
    void (*reset)(void *opaque);
} VPTransportOps;

struct VhostPCI {
    VirtIODevice parent_obj;

    VPConf conf;
    CharBackend chr;
    char *name;                 /* for trace events and messages */
    VirtQueue *rxq;
    VirtQueue *txq;
    VPWindow window;
    VPGrants grants;
    VPRings rings;
    VPConnection conn;
    QEMUBH *tx_bh;              /* goes on where a pass over tx gave way */
    QEMUTimer *timer;           /* bounds how long A waits for B */
    bool dropping;
    int64_t warned_ms;          /* when a warning was last printed */
    uint32_t status;            /* VIRTIO_VHOST_PCI_S_* */
    uint16_t last_error;
    uint32_t generation;
    uint64_t connections;
    uint64_t messages;

    /* Set by the transport before realize */
    const VPTransportOps *transport;
    void *transport_opaque;
};

/* connection.c */

/** vp_connection_init - start listening to the character device */
void vp_connection_init(VhostPCI *s);

/** vp_connection_cleanup - close and never be called again */
void vp_connection_cleanup(VhostPCI *s);

/**
 * vp_connection_drop - close the connection and take A's memory out of B
 * @code: VIRTIO_VHOST_PCI_E_*
 * @err: reason for the user, taken over; NULL for ordinary ends
 *
 * When it returns the window holds zeros and all of A's files are closed.
 */
void vp_connection_drop(VhostPCI *s, unsigned code, Error *err);

/** vp_connection_driver - the driver sets or clears BACKEND_UP */
void vp_connection_driver(VhostPCI *s, bool up);

/** vp_connection_rx - receive buffers came: go on with a message in hand */
void vp_connection_rx(VhostPCI *s);

/** vp_connection_tx - messages of the driver came */
void vp_connection_tx(VhostPCI *s);

/* act.c */

/**
 * vp_act - do what the message in hand asks of the device
 * @refused: set when the answer is no, which is no offence of A
 * @code: VIRTIO_VHOST_PCI_E_* on failure
 *
 * Takes the message's file descriptors and changes its payload to what the
 * driver is to see. Returns false when it cannot be done; unless @code is
 * VIRTIO_VHOST_PCI_E_NO_ROOM the connection must end.
 */
bool vp_act(VhostPCI *s, VPAction action, bool *refused, unsigned *code,
            Error **errp);

/**
 * vp_act_stopped - A's device stopped: its grants end
 *
 * Returns false when the connection must end.
 */
bool vp_act_stopped(VhostPCI *s, unsigned *code, Error **errp);

/* vhost-pci.c */

/**
 * vp_config_refresh - put what changed where a store of the driver finds it
 *
 * A store to a field comes with the bytes of all others as last put there.
 */
void vp_config_refresh(VhostPCI *s);

/* vhost-pci.c, for the transport */

/**
 * vhost_pci_doorbell - the driver wrote to a doorbell
 * @index: 0 .. num_queues - 1: call; from there on: error
 */
void vhost_pci_doorbell(VhostPCI *s, unsigned index);

#endif
