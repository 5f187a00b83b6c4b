/*
 * vhost-pci: which vhost-user messages pass, and in what shape
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is not in the table is refused: whatever hands over memory, file
 * descriptors or state in ways the device does not follow must not reach the
 * driver as if it did.
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "message.h"

#define HDR sizeof(struct vhost_pci_msg_hdr)
#define STATE sizeof(struct vhost_pci_vring_state)
#define ADDR sizeof(struct vhost_pci_vring_addr)
#define IOTLB sizeof(struct vhost_pci_iotlb)
#define CONFIG sizeof(struct vhost_pci_config_hdr)
#define TABLE offsetof(struct vhost_pci_mem_table, regions)

#define RULE(request, min_, max_, ring_, reply_, action_)                    \
    [VHOST_PCI_##request] = { .name = #request, .min = (min_), .max = (max_), \
                              .ring = (ring_), .reply = (reply_),            \
                              .action = (action_) }

static const VPRule rules[] = {
    RULE(GET_FEATURES, 0, 0, false, VP_REPLY_U64, VP_RELAY),
    RULE(SET_FEATURES, 8, 8, false, VP_NO_REPLY, VP_SET_FEATURES),
    RULE(SET_OWNER, 0, 0, false, VP_NO_REPLY, VP_RELAY),
    RULE(RESET_OWNER, 0, 0, false, VP_NO_REPLY, VP_RELAY),
    RULE(SET_MEM_TABLE, TABLE, sizeof(struct vhost_pci_mem_table), false,
         VP_NO_REPLY, VP_SET_TABLE),
    RULE(SET_VRING_NUM, STATE, STATE, true, VP_NO_REPLY, VP_RELAY),
    RULE(SET_VRING_ADDR, ADDR, ADDR, true, VP_NO_REPLY, VP_RELAY),
    RULE(SET_VRING_BASE, STATE, STATE, true, VP_NO_REPLY, VP_RELAY),
    RULE(GET_VRING_BASE, STATE, STATE, true, VP_REPLY_STATE, VP_RELAY),
    RULE(SET_VRING_KICK, 8, 8, false, VP_NO_REPLY, VP_SET_KICK),
    RULE(SET_VRING_CALL, 8, 8, false, VP_NO_REPLY, VP_SET_CALL),
    RULE(SET_VRING_ERR, 8, 8, false, VP_NO_REPLY, VP_SET_ERR),
    RULE(GET_PROTOCOL_FEATURES, 0, 0, false, VP_REPLY_U64, VP_RELAY),
    RULE(SET_PROTOCOL_FEATURES, 8, 8, false, VP_NO_REPLY,
         VP_SET_PROTOCOL_FEATURES),
    RULE(GET_QUEUE_NUM, 0, 0, false, VP_REPLY_U64, VP_RELAY),
    RULE(SET_VRING_ENABLE, STATE, STATE, true, VP_NO_REPLY, VP_RELAY),
    RULE(SEND_RARP, 8, 8, false, VP_NO_REPLY, VP_RELAY),
    RULE(NET_SET_MTU, 8, 8, false, VP_NO_REPLY, VP_RELAY),
    RULE(SET_BACKEND_REQ_FD, 0, 0, false, VP_NO_REPLY, VP_SET_BACKEND_FD),
    RULE(IOTLB_MSG, IOTLB, IOTLB, false, VP_NO_REPLY, VP_IOTLB),
    RULE(GET_CONFIG, CONFIG, CONFIG + VHOST_PCI_CONFIG_MAX, false,
         VP_REPLY_CONFIG, VP_RELAY),
    RULE(SET_CONFIG, CONFIG, CONFIG + VHOST_PCI_CONFIG_MAX, false,
         VP_NO_REPLY, VP_RELAY),
    RULE(RESET_DEVICE, 0, 0, false, VP_NO_REPLY, VP_RESET),
    RULE(SET_STATUS, 8, 8, false, VP_NO_REPLY, VP_SET_STATUS),
    RULE(GET_STATUS, 0, 0, false, VP_REPLY_U64, VP_RELAY),
};

const VPRule *vp_rule(uint32_t request)
{
    return request < ARRAY_SIZE(rules) && rules[request].name
           ? &rules[request] : NULL;
}

uint64_t vp_protocol_mask(void)
{
    return BIT_ULL(VHOST_PCI_P_MQ) | BIT_ULL(VHOST_PCI_P_RARP) |
           BIT_ULL(VHOST_PCI_P_REPLY_ACK) | BIT_ULL(VHOST_PCI_P_MTU) |
           BIT_ULL(VHOST_PCI_P_BACKEND_REQ) | BIT_ULL(VHOST_PCI_P_CONFIG) |
           BIT_ULL(VHOST_PCI_P_RESET_DEVICE) | BIT_ULL(VHOST_PCI_P_STATUS);
}

uint64_t vp_message_u64(const VPMessage *msg)
{
    return ldq_he_p(msg->payload);
}

void vp_message_close(VPMessage *msg)
{
    for (unsigned i = 0; i < msg->nfds; i++) {
        close(msg->fds[i]);
    }
    msg->nfds = 0;
}

bool vp_message_check_header(const VPMessage *msg, unsigned *code,
                             Error **errp)
{
    const struct vhost_pci_msg_hdr *hdr = &msg->hdr;
    const VPRule *rule = vp_rule(hdr->request);

    *code = VIRTIO_VHOST_PCI_E_MESSAGE;
    if ((hdr->flags & ~VHOST_PCI_MSG_NEED_REPLY) != VHOST_PCI_MSG_VERSION) {
        error_setg(errp, "request %" PRIu32 " has flags 0x%" PRIx32,
                   hdr->request, hdr->flags);
        return false;
    }
    if (!rule) {
        *code = VIRTIO_VHOST_PCI_E_REFUSED;
        error_setg(errp, "request %" PRIu32 " is not supported",
                   hdr->request);
        return false;
    }
    if (hdr->size < rule->min || hdr->size > rule->max) {
        error_setg(errp, "%s has %" PRIu32 " bytes, not %u to %u", rule->name,
                   hdr->size, rule->min, rule->max);
        return false;
    }
    return true;
}

/* How many file descriptors must come with @msg? */
static unsigned fds_due(const VPMessage *msg, VPAction action)
{
    switch (action) {
    case VP_SET_TABLE:
        return ldl_he_p(msg->payload);
    case VP_SET_KICK:
    case VP_SET_CALL:
    case VP_SET_ERR:
        return !(vp_message_u64(msg) & VHOST_PCI_RING_NOFD);
    case VP_SET_BACKEND_FD:
        return 1;
    default:
        return 0;
    }
}

static bool check_payload(const VPMessage *msg, const VPRule *rule,
                          unsigned queues, Error **errp)
{
    uint32_t first = rule->min >= 4 ? ldl_he_p(msg->payload) : 0;
    uint64_t ring = rule->min == 8 ? vp_message_u64(msg) : 0;

    if (rule->ring && first >= queues) {
        error_setg(errp, "%s is about ring %" PRIu32 " of %u", rule->name,
                   first, queues);
        return false;
    }
    switch (rule->action) {
    case VP_SET_KICK:
    case VP_SET_CALL:
    case VP_SET_ERR:
        if (ring & ~(uint64_t)(VHOST_PCI_RING_MASK | VHOST_PCI_RING_NOFD) ||
            (ring & VHOST_PCI_RING_MASK) >= queues) {
            error_setg(errp, "%s is about ring 0x%" PRIx64 " of %u",
                       rule->name, ring, queues);
            return false;
        }
        break;
    case VP_SET_TABLE:
        if (!first || first > VHOST_PCI_TABLE_MAX || msg->hdr.size !=
            TABLE + first * sizeof(struct vhost_pci_region)) {
            error_setg(errp, "%s with %" PRIu32 " regions in %" PRIu32
                       " bytes", rule->name, first, msg->hdr.size);
            return false;
        }
        break;
    default:
        break;
    }
    if (msg->hdr.request == VHOST_PCI_GET_CONFIG ||
        msg->hdr.request == VHOST_PCI_SET_CONFIG) {
        struct vhost_pci_config_hdr config;

        memcpy(&config, msg->payload, sizeof(config));
        if (config.size != msg->hdr.size - CONFIG ||
            config.offset > VHOST_PCI_CONFIG_MAX - config.size) {
            error_setg(errp, "%s of %" PRIu32 " bytes at %" PRIu32,
                       rule->name, config.size, config.offset);
            return false;
        }
    }
    return true;
}

bool vp_message_check(const VPMessage *msg, unsigned queues, unsigned *code,
                      Error **errp)
{
    const VPRule *rule = vp_rule(msg->hdr.request);
    unsigned due;

    *code = VIRTIO_VHOST_PCI_E_MESSAGE;
    if (!check_payload(msg, rule, queues, errp)) {
        return false;
    }
    due = fds_due(msg, rule->action);
    if (msg->nfds != due) {
        *code = VIRTIO_VHOST_PCI_E_FD;
        error_setg(errp, "%s comes with %u file descriptors, not %u",
                   rule->name, msg->nfds, due);
        return false;
    }
    return true;
}

bool vp_reply_check(const VPMessage *request, const VPMessage *reply,
                    size_t len, bool acked)
{
    const VPRule *rule = vp_rule(request->hdr.request);
    uint32_t size = reply->hdr.size;

    if (len < HDR || size != len - HDR ||
        reply->hdr.request != request->hdr.request ||
        reply->hdr.flags != (VHOST_PCI_MSG_VERSION | VHOST_PCI_MSG_REPLY)) {
        return false;
    }
    switch (rule->reply) {
    case VP_REPLY_U64:
        return size == 8;
    case VP_REPLY_STATE:
        return size == STATE &&
               ldl_he_p(reply->payload) == ldl_he_p(request->payload);
    case VP_REPLY_CONFIG:
        /* What it is about, byte for byte as asked */
        return !size || (size == request->hdr.size &&
                         !memcmp(reply->payload, request->payload,
                                 offsetof(struct vhost_pci_config_hdr,
                                          flags)));
    default:
        return acked && size == 8;
    }
}
