/*
 * vhost-pci: wire format
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Shared by the device, its tests and guest programs. The text of the
 * specification is docs/specs/vhost-pci.rst.
 *
 * VM A has an ordinary virtio device with a vhost-user frontend. VM B has a
 * vhost-pci device, to which that frontend connects. The device hands the
 * vhost-user messages to a program in B, shows A's memory in a BAR, and turns
 * A's kicks into interrupts and B's doorbell writes into A's calls. So the
 * program in B serves A's virtio device.
 *
 * Queue 0 (device to driver) carries the frontend's messages, one per buffer;
 * queue 1 (driver to device) carries the answers and the backend's own
 * requests, one per buffer. Messages have the layout of vhost-user; no file
 * descriptor comes with them.
 */

#ifndef _LINUX_VIRTIO_VHOST_PCI_H
#define _LINUX_VIRTIO_VHOST_PCI_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
#endif

/* Device ID. Not assigned by the virtio standard. */
#define VIRTIO_ID_VHOST_PCI 61

/*
 * Feature bits
 *
 * VIRTIO_VHOST_PCI_F_REGION_OFFSET: mmap_offset of a region in a message
 * handed to the driver is the region's place in the memory window. Without
 * it mmap_offset is 0 and regions lie in the window in the order of the
 * message, one right behind the other.
 *
 * VIRTIO_VHOST_PCI_F_PEER_IOMMU: the driver understands IOTLB messages. Without
 * it the device does not let the frontend negotiate VIRTIO_F_ACCESS_PLATFORM.
 */
#define VIRTIO_VHOST_PCI_F_REGION_OFFSET 0
#define VIRTIO_VHOST_PCI_F_PEER_IOMMU    1

/* Queues */
#define VIRTIO_VHOST_PCI_RXQ 0
#define VIRTIO_VHOST_PCI_TXQ 1

/* ID of the shared memory region that is the memory window */
#define VIRTIO_VHOST_PCI_SHM_MEMORY 1

/* PCI capabilities (cfg_type) beside those of every virtio device */
#define VIRTIO_VHOST_PCI_CAP_DOORBELL 6 /* struct virtio_pci_notify_cap */
#define VIRTIO_VHOST_PCI_CAP_NOTIFY   7 /* struct virtio_vhost_pci_notify */

/* Bytes from one doorbell to the next */
#define VIRTIO_VHOST_PCI_DOORBELL_STEP 4

/* Bits of config.status */
#define VIRTIO_VHOST_PCI_S_BACKEND_UP  1 /* set and cleared by the driver */
#define VIRTIO_VHOST_PCI_S_FRONTEND_UP 2

/* Values of config.last_error: why the last connection ended */
#define VIRTIO_VHOST_PCI_E_NONE      0
#define VIRTIO_VHOST_PCI_E_CLOSED    1 /* by the frontend */
#define VIRTIO_VHOST_PCI_E_DRIVER    2 /* by the driver, or reset */
#define VIRTIO_VHOST_PCI_E_MESSAGE   3 /* malformed message */
#define VIRTIO_VHOST_PCI_E_REFUSED   4 /* message that is not supported */
#define VIRTIO_VHOST_PCI_E_FD        5 /* file descriptors: number or kind */
#define VIRTIO_VHOST_PCI_E_REGION    6 /* memory table that cannot be */
#define VIRTIO_VHOST_PCI_E_NO_ROOM   7 /* memory table that does not fit */
#define VIRTIO_VHOST_PCI_E_TIMEOUT   8 /* the driver did not answer in time */
#define VIRTIO_VHOST_PCI_E_REPLY     9 /* answer that fits no request */
#define VIRTIO_VHOST_PCI_E_IOMMU    10 /* required, not negotiated */
#define VIRTIO_VHOST_PCI_E_HOST     11 /* the host could not map memory */

/* Most bytes of a message with its header */
#define VIRTIO_VHOST_PCI_MSG_MAX 512

/**
 * struct virtio_vhost_pci_config - device configuration space
 * @status: VIRTIO_VHOST_PCI_S_*; only BACKEND_UP is writable
 * @max_vhost_queues: rings that have a doorbell
 * @uuid: of the device, as the user set it
 * @max_msg_size: most bytes of a message; receive buffers need this size
 * @max_regions: most memory regions
 * @last_error: VIRTIO_VHOST_PCI_E_*
 * @generation: changes whenever a connection ends
 *
 * Little endian.
 */
struct virtio_vhost_pci_config {
    uint32_t status;
    uint32_t max_vhost_queues;
    uint8_t uuid[16];
    uint32_t max_msg_size;
    uint16_t max_regions;
    uint16_t last_error;
    uint32_t generation;
};

/**
 * struct virtio_vhost_pci_notify - MSI-X vectors of the frontend's kicks
 * @select: ring that @vector is about
 * @vector: MSI-X vector or 0xffff for none; reads 0xffff for a ring or a
 *          vector that does not exist
 */
struct virtio_vhost_pci_notify {
    uint16_t select;
    uint16_t vector;
};

/*
 * Messages: the part of vhost-user that passes the device. Numbers have the
 * byte order of the frontend's host.
 */
#define VHOST_PCI_GET_FEATURES           1
#define VHOST_PCI_SET_FEATURES           2
#define VHOST_PCI_SET_OWNER              3
#define VHOST_PCI_RESET_OWNER            4
#define VHOST_PCI_SET_MEM_TABLE          5
#define VHOST_PCI_SET_VRING_NUM          8
#define VHOST_PCI_SET_VRING_ADDR         9
#define VHOST_PCI_SET_VRING_BASE        10
#define VHOST_PCI_GET_VRING_BASE        11
#define VHOST_PCI_SET_VRING_KICK        12
#define VHOST_PCI_SET_VRING_CALL        13
#define VHOST_PCI_SET_VRING_ERR         14
#define VHOST_PCI_GET_PROTOCOL_FEATURES 15
#define VHOST_PCI_SET_PROTOCOL_FEATURES 16
#define VHOST_PCI_GET_QUEUE_NUM         17
#define VHOST_PCI_SET_VRING_ENABLE      18
#define VHOST_PCI_SEND_RARP             19
#define VHOST_PCI_NET_SET_MTU           20
#define VHOST_PCI_SET_BACKEND_REQ_FD    21
#define VHOST_PCI_IOTLB_MSG             22
#define VHOST_PCI_GET_CONFIG            24
#define VHOST_PCI_SET_CONFIG            25
#define VHOST_PCI_RESET_DEVICE          34
#define VHOST_PCI_SET_STATUS            39
#define VHOST_PCI_GET_STATUS            40

/* Requests of the backend */
#define VHOST_PCI_BACKEND_IOTLB_MSG      1
#define VHOST_PCI_BACKEND_CONFIG_CHANGE  2

#define VHOST_PCI_MSG_VERSION            1
#define VHOST_PCI_MSG_VERSION_MASK       3
#define VHOST_PCI_MSG_REPLY         (1 << 2)
#define VHOST_PCI_MSG_NEED_REPLY    (1 << 3)

/* Feature bits that mean something to the device */
#define VHOST_PCI_F_LOG_ALL             26
#define VHOST_PCI_F_PROTOCOL_FEATURES   30
#define VHOST_PCI_F_ACCESS_PLATFORM     33

/* Protocol feature bits */
#define VHOST_PCI_P_MQ                   0
#define VHOST_PCI_P_RARP                 2
#define VHOST_PCI_P_REPLY_ACK            3
#define VHOST_PCI_P_MTU                  4
#define VHOST_PCI_P_BACKEND_REQ          5
#define VHOST_PCI_P_CONFIG               9
#define VHOST_PCI_P_RESET_DEVICE        13
#define VHOST_PCI_P_STATUS              16

/* Payload of SET_VRING_KICK, _CALL and _ERR */
#define VHOST_PCI_RING_MASK           0xff
#define VHOST_PCI_RING_NOFD      (1 << 8)

/* Regions of one SET_MEM_TABLE */
#define VHOST_PCI_TABLE_MAX              8

/* Payload of IOTLB_MSG: perm and type */
#define VHOST_PCI_IOTLB_READ             1
#define VHOST_PCI_IOTLB_WRITE            2
#define VHOST_PCI_IOTLB_MISS             1
#define VHOST_PCI_IOTLB_UPDATE           2
#define VHOST_PCI_IOTLB_INVALIDATE       3

/* Most bytes of a device's configuration space in GET_CONFIG, SET_CONFIG */
#define VHOST_PCI_CONFIG_MAX           256

struct vhost_pci_msg_hdr {
    uint32_t request;
    uint32_t flags;
    uint32_t size;              /* bytes behind this header */
};

struct vhost_pci_region {
    uint64_t guest_phys_addr;
    uint64_t memory_size;
    uint64_t userspace_addr;
    uint64_t mmap_offset;
};

struct vhost_pci_mem_table {
    uint32_t nregions;
    uint32_t padding;
    struct vhost_pci_region regions[VHOST_PCI_TABLE_MAX];
};

struct vhost_pci_vring_state {
    uint32_t index;
    uint32_t num;
};

struct vhost_pci_vring_addr {
    uint32_t index;
    uint32_t flags;
    uint64_t desc;
    uint64_t used;
    uint64_t avail;
    uint64_t log;
};

struct vhost_pci_iotlb {
    uint64_t iova;
    uint64_t size;
    uint64_t uaddr;
    uint8_t perm;
    uint8_t type;
    uint8_t reserved[6];
};

struct vhost_pci_config_hdr {
    uint32_t offset;
    uint32_t size;
    uint32_t flags;
};

#endif /* _LINUX_VIRTIO_VHOST_PCI_H */
