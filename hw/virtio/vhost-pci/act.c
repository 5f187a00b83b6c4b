/*
 * vhost-pci: what the device itself does with a message
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "vhost-pci.h"
#include "trace.h"

bool vp_act_stopped(VhostPCI *s, unsigned *code, Error **errp)
{
    if (s->window.enforcing && !vp_grants_revoke(&s->grants)) {
        *code = VIRTIO_VHOST_PCI_E_HOST;
        error_setg(errp, "the host refused to change mappings");
        return false;
    }
    return true;
}

/* Whether A's memory is subject to grants follows what is negotiated. */
static bool set_features(VhostPCI *s, unsigned *code, Error **errp)
{
    uint64_t features = vp_message_u64(&s->conn.msg);
    bool iommu = features & BIT_ULL(VHOST_PCI_F_ACCESS_PLATFORM);

    if (s->conf.iommu == VP_IOMMU_REQUIRED && !iommu) {
        *code = VIRTIO_VHOST_PCI_E_IOMMU;
        error_setg(errp, "the frontend does not use a vhost IOMMU, which "
                   "vhost-iommu=required asks for");
        error_append_hint(errp, "Give VM A's device iommu_platform=on and "
                          "VM A a virtual IOMMU\n");
        return false;
    }
    if (s->conf.iommu == VP_IOMMU_OFF && iommu) {
        *code = VIRTIO_VHOST_PCI_E_MESSAGE;
        error_setg(errp, "the frontend accepts ACCESS_PLATFORM, which was not "
                   "offered");
        return false;
    }
    if (s->window.enforcing != iommu) {
        vp_grants_forget(&s->grants);
        if (!vp_window_enforce(&s->window, iommu)) {
            *code = VIRTIO_VHOST_PCI_E_HOST;
            error_setg(errp, "the host refused to change mappings");
            return false;
        }
        return true;
    }
    return vp_act_stopped(s, code, errp);
}

static bool set_table(VhostPCI *s, unsigned *code, Error **errp)
{
    VPMessage *msg = &s->conn.msg;
    struct vhost_pci_mem_table table = { 0 };
    bool offsets = virtio_vdev_has_feature(VIRTIO_DEVICE(s),
                                           VIRTIO_VHOST_PCI_F_REGION_OFFSET);

    memcpy(&table, msg->payload, msg->hdr.size);
    if (table.nregions > s->conf.max_regions) {
        *code = VIRTIO_VHOST_PCI_E_NO_ROOM;
        error_setg(errp, "%u regions, max-regions is %u", table.nregions,
                   s->conf.max_regions);
        return false;
    }
    if (!vp_window_set_table(&s->window, &table, msg->fds,
                             s->conf.require_sealed, code, errp)) {
        return false;
    }
    msg->nfds = 0;
    if (s->window.enforcing) {
        vp_grants_count(&s->grants);
    }
    if (!vp_window_map(&s->window)) {
        *code = VIRTIO_VHOST_PCI_E_HOST;
        error_setg(errp, "the host refused to change mappings");
        return false;
    }
    for (unsigned i = 0; i < table.nregions; i++) {
        table.regions[i].mmap_offset = offsets ? s->window.regions[i].window
                                               : 0;
    }
    memcpy(msg->payload, &table, msg->hdr.size);
    trace_vhost_pci_table(s->name, table.nregions, s->window.enforcing);
    return true;
}

static bool set_ring(VhostPCI *s, VPRingFd which, unsigned *code,
                     Error **errp)
{
    VPMessage *msg = &s->conn.msg;
    uint64_t value = vp_message_u64(msg);
    int fd = value & VHOST_PCI_RING_NOFD ? -1 : msg->fds[0];

    if (!vp_rings_set(&s->rings, value & VHOST_PCI_RING_MASK, which, fd)) {
        *code = VIRTIO_VHOST_PCI_E_FD;
        error_setg(errp, "%s comes with something that is not an eventfd",
                   vp_rule(msg->hdr.request)->name);
        return false;
    }
    msg->nfds = 0;
    return true;
}

static bool set_backend_fd(VhostPCI *s, unsigned *code, Error **errp)
{
    VPMessage *msg = &s->conn.msg;
    int domain, type, fd = msg->fds[0];
    socklen_t len = sizeof(int);

    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) ||
        domain != AF_UNIX || type != SOCK_STREAM) {
        *code = VIRTIO_VHOST_PCI_E_FD;
        error_setg(errp, "SET_BACKEND_REQ_FD comes with something that is not "
                   "a stream socket");
        return false;
    }
    if (s->conn.backend_fd >= 0) {
        close(s->conn.backend_fd);
    }
    s->conn.backend_fd = fd;
    msg->nfds = 0;
    return true;
}

/*
 * Returns false when the connection must end. *refused is set when the answer
 * is no, which is not A's fault as a peer.
 */
static bool iotlb(VhostPCI *s, bool *refused, unsigned *code, Error **errp)
{
    struct vhost_pci_iotlb msg;
    bool good = true;

    memcpy(&msg, s->conn.msg.payload, sizeof(msg));
    if (!s->window.enforcing) {
        *code = VIRTIO_VHOST_PCI_E_MESSAGE;
        error_setg(errp, "IOTLB_MSG without ACCESS_PLATFORM");
        return false;
    }
    switch (msg.type) {
    case VHOST_PCI_IOTLB_UPDATE:
        good = vp_grants_update(&s->grants, &msg);
        break;
    case VHOST_PCI_IOTLB_INVALIDATE:
        vp_grants_invalidate(&s->grants, msg.iova, msg.size);
        break;
    default:
        *code = VIRTIO_VHOST_PCI_E_MESSAGE;
        error_setg(errp, "IOTLB_MSG of type %u", msg.type);
        return false;
    }
    trace_vhost_pci_iotlb(s->name, msg.type, msg.iova, msg.size, msg.perm,
                          good);
    if (s->window.lost) {
        *code = VIRTIO_VHOST_PCI_E_HOST;
        error_setg(errp, "the host refused to change mappings");
        return false;
    }
    *refused = !good;
    return true;
}

bool vp_act(VhostPCI *s, VPAction action, bool *refused, unsigned *code,
            Error **errp)
{
    uint64_t mask;

    switch (action) {
    case VP_SET_FEATURES:
        return set_features(s, code, errp);
    case VP_SET_PROTOCOL_FEATURES:
        mask = vp_message_u64(&s->conn.msg) & vp_protocol_mask();
        s->conn.protocol_features = mask;
        memcpy(s->conn.msg.payload, &mask, sizeof(mask));
        return true;
    case VP_SET_TABLE:
        return set_table(s, code, errp);
    case VP_SET_KICK:
        set_bit(vp_message_u64(&s->conn.msg) & VHOST_PCI_RING_MASK,
                s->conn.started);
        return set_ring(s, VP_KICK, code, errp);
    case VP_SET_CALL:
        return set_ring(s, VP_CALL, code, errp);
    case VP_SET_ERR:
        return set_ring(s, VP_ERR, code, errp);
    case VP_SET_BACKEND_FD:
        return set_backend_fd(s, code, errp);
    case VP_IOTLB:
        return iotlb(s, refused, code, errp);
    case VP_RESET:
        return vp_act_stopped(s, code, errp);
    case VP_SET_STATUS:
        return vp_message_u64(&s->conn.msg) || vp_act_stopped(s, code, errp);
    default:
        return true;
    }
}
