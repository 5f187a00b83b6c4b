/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_signal: what its files share
 */
#ifndef VIRTIO_SIGNAL_PRIVATE_H
#define VIRTIO_SIGNAL_PRIVATE_H

#include <linux/completion.h>
#include <linux/dcache.h>
#include <linux/kref.h>
#include <linux/miscdevice.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include "virtio_signal_api.h"
#include "vsignal_abi.h"

#define VS_EVENTS 64	/* buffers per event queue */

/**
 * struct vs_target - an event queue and the CPU it belongs to
 * @csd: moves the handling of an interrupt that came to another CPU
 * @events: the buffers
 * @moved: interrupts that did
 */
struct vs_target {
	struct virtio_signal *vs;
	struct virtqueue *vq;
	spinlock_t lock;	/* @vq and what follows */
	call_single_data_t csd;
	unsigned int index;
	u32 next_seq;
	u64 handled, signals, gaps, moved;
	struct virtio_signal_event *events;
};

struct vs_sendq {
	struct virtqueue *vq;
	spinlock_t lock;
};

/**
 * struct virtio_signal - a device
 * @ref: held by the driver and by each open file
 * @live: written when the device goes away; read by those who use @vdev
 */
struct virtio_signal {
	struct kref ref;
	struct virtio_device *vdev;
	struct rw_semaphore live;
	bool dead;
	struct virtio_signal_config config;	/* host byte order */
	struct mutex ctrl_lock;
	struct virtqueue *ctrlq;
	struct completion ctrl_done;
	struct vs_sendq *sendqs;
	struct vs_target *targets;
	rwlock_t clients_lock;
	struct list_head clients;
	int id;
	struct miscdevice misc;
	struct dentry *debugfs;
};

/* core.c */
void vs_get(struct virtio_signal *vs);
void vs_put(struct virtio_signal *vs);
int vs_ctrl(struct virtio_signal *vs, const struct virtio_signal_ctrl *cmd,
	    struct virtio_signal_ctrl_reply *reply, size_t size);

/* event.c */
int vs_targets_fill(struct virtio_signal *vs);
void vs_targets_init(struct virtio_signal *vs);
void vs_event_interrupt(struct virtqueue *vq);
void vs_targets_quiesce(struct virtio_signal *vs);
void vs_debugfs_create(struct virtio_signal *vs);

/* chardev.c */
int vs_chardev_create(struct virtio_signal *vs);
void vs_chardev_remove(struct virtio_signal *vs);

#endif
