/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * /dev/vsignalN: what programs and the driver exchange
 *
 * write() takes one struct virtio_signal_req with its mask, sends it and waits.
 * It fails with the error that stands for the status: EINVAL, ENXIO (no such
 * target), EHOSTUNREACH (no such node), EPERM, EOPNOTSUPP, EBUSY, EHOSTDOWN,
 * EAGAIN, EISCONN (not in that state). VSIGNAL_SEND gives the whole reply.
 * Both fail with ENOSPC if the send queue is full (nothing was sent; again is
 * no mistake), EINTR if a signal comes before the reply (it may be done), EAGAIN
 * if the machine was suspended before it (likewise), ENODEV if the device is
 * gone, EIO if it broke the rules of its queue.
 *
 * read() gives whole struct vsignal_record of events since open(), and waits
 * for one unless O_NONBLOCK is set; poll() tells of them. 0 is the end: the
 * device is gone. A record is taken only when it was copied.
 */
#ifndef VSIGNAL_ABI_H
#define VSIGNAL_ABI_H

#include <linux/ioctl.h>
#include <linux/virtio_signal.h>

/**
 * struct vsignal_record - an event as it was handled
 * @event: as the device wrote it, little endian
 * @target: whose event queue it came from
 * @cpu: CPU that the handler ran on
 * @dropped: events before this one for which the file had no room
 */
struct vsignal_record {
	struct virtio_signal_event event;
	uint16_t target;
	uint16_t cpu;
	uint32_t dropped;
};

#define VSIGNAL_REQ_WORDS (sizeof(struct virtio_signal_req) / 8 + \
			   VIRTIO_SIGNAL_MASK_WORDS_MAX)

/**
 * struct vsignal_send - for VSIGNAL_SEND
 * @req: a struct virtio_signal_req with its mask
 * @reply: what the device said
 */
struct vsignal_send {
	uint64_t req[VSIGNAL_REQ_WORDS];
	struct virtio_signal_reply reply;
};

#define VSIGNAL_PEERS_MAX 64

/**
 * struct vsignal_peers - for VSIGNAL_PEERS
 * @first: lowest node number to tell of
 * @count: entries in @peers, by the driver
 * @more: nodes beyond those
 */
struct vsignal_peers {
	uint16_t first;
	uint16_t count;
	uint32_t more;
	struct virtio_signal_peer peers[VSIGNAL_PEERS_MAX];
};

/**
 * struct vsignal_accept - for VSIGNAL_ACCEPT, see VIRTIO_SIGNAL_CTRL_ACCEPT
 * @target: the target
 * @reserved: zero
 * @classes: bit n: it takes class n; a class that is not there is refused
 *
 * ENXIO for NMI of a CPU that is off, EINVAL if the device does not agree.
 */
struct vsignal_accept {
	uint16_t target;
	uint16_t reserved;
	uint32_t classes;
};

#define VSIGNAL_INFO   _IOR('v', 0xc0, struct virtio_signal_config)
#define VSIGNAL_SEND   _IOWR('v', 0xc1, struct vsignal_send)
#define VSIGNAL_PEERS  _IOWR('v', 0xc2, struct vsignal_peers)
#define VSIGNAL_ACCEPT _IOW('v', 0xc3, struct vsignal_accept)
/*
 * ns for which read() looks at the event queue of the CPU it runs on before it
 * sleeps, 0 at first; needs VIRTIO_SIGNAL_F_POLL (else EOPNOTSUPP), and is
 * limited by the device's poll_ns_max at the time. poll() does not look.
 */
#define VSIGNAL_POLL   _IOW('v', 0xc5, uint32_t)
/* Bit n: read() gives events of class n; all at first */
#define VSIGNAL_FILTER _IOW('v', 0xc4, uint32_t)

#endif
