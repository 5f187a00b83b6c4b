/*
 * vhost-pci: which vhost-user messages pass, and in what shape
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VIRTIO_VHOST_PCI_MESSAGE_H
#define HW_VIRTIO_VHOST_PCI_MESSAGE_H

#include "qapi/error.h"
#include "standard-headers/linux/virtio_vhost_pci.h"

/* As many as a socket character device delivers at once */
#define VP_FDS_MAX 16

/*
 * What the device itself does with a message before the driver gets it. Up to
 * VP_SET_STATUS the driver acknowledges it.
 */
typedef enum VPAction {
    VP_RELAY,                   /* nothing */
    VP_RESET,
    VP_SET_STATUS,
    VP_SET_FEATURES,
    VP_SET_PROTOCOL_FEATURES,
    VP_SET_TABLE,
    VP_SET_KICK,
    VP_SET_CALL,
    VP_SET_ERR,
    VP_SET_BACKEND_FD,
    VP_IOTLB,
} VPAction;

/* What the driver must answer */
typedef enum VPReply {
    VP_NO_REPLY,
    VP_REPLY_U64,
    VP_REPLY_STATE,             /* struct vhost_pci_vring_state, same index */
    VP_REPLY_CONFIG,            /* as long as the request, or empty */
} VPReply;

/**
 * VPRule: policy for a request of the frontend
 * @min, @max: bytes of payload
 * @ring: the payload begins with the number of a ring, 32 bits
 */
typedef struct VPRule {
    const char *name;
    uint16_t min;
    uint16_t max;
    bool ring;
    VPReply reply;
    VPAction action;
} VPRule;

/**
 * VPMessage: a message as it came in
 * @have: bytes of header and payload so far
 * @fds: file descriptors, owned until taken
 */
typedef struct VPMessage {
    union {
        struct {
            struct vhost_pci_msg_hdr hdr;
            uint8_t payload[VIRTIO_VHOST_PCI_MSG_MAX -
                            sizeof(struct vhost_pci_msg_hdr)];
        };
        uint8_t bytes[VIRTIO_VHOST_PCI_MSG_MAX];
    };
    unsigned have;
    unsigned nfds;
    int fds[VP_FDS_MAX];
} VPMessage;

/** vp_rule - policy for a request; NULL for one that is refused */
const VPRule *vp_rule(uint32_t request);

/**
 * vp_message_check_header - to be called once the header is there
 * @code: VIRTIO_VHOST_PCI_E_* on failure
 *
 * After success the size in the header is the one to wait for.
 */
bool vp_message_check_header(const VPMessage *msg, unsigned *code,
                             Error **errp);

/**
 * vp_message_check - check a message that came whole, file descriptors too
 * @queues: rings there can be
 * @code: VIRTIO_VHOST_PCI_E_* on failure
 */
bool vp_message_check(const VPMessage *msg, unsigned queues, unsigned *code,
                      Error **errp);

/** vp_message_u64 - first 64 bits of a payload that has them */
uint64_t vp_message_u64(const VPMessage *msg);

/** vp_message_close - close what file descriptors are left */
void vp_message_close(VPMessage *msg);

/**
 * vp_reply_check - does an answer fit its request?
 * @request: header and payload as they were relayed
 * @reply: answer, copied from the driver
 * @len: bytes of it
 * @acked: the request takes an acknowledgement where it has no answer
 */
bool vp_reply_check(const VPMessage *request, const VPMessage *reply,
                    size_t len, bool acked);

/** vp_protocol_mask - the protocol features that can pass */
uint64_t vp_protocol_mask(void);

#endif
