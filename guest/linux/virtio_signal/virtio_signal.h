/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_signal: what its files share
 */
#ifndef VIRTIO_SIGNAL_PRIVATE_H
#define VIRTIO_SIGNAL_PRIVATE_H

#include <linux/completion.h>
#include <linux/dcache.h>
#include <linux/hrtimer.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/miscdevice.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_signal.h>
#include "vsignal_abi.h"

#define VS_EVENTS 64	/* buffers per event queue */

/**
 * struct vs_target - an event queue and the CPU it belongs to
 * @csd: moves the handling of an interrupt that came to another CPU
 * @events: the buffers
 * @poller: who polls
 * @polling: notifications are off, and @quiet or a poller will look
 * @quiet: ends that when nobody polls again
 * @poll_ns: what the device was told
 * @moved: interrupts that did
 * @stray: events handled on another CPU than the target's
 * @polled: times that polling found what was waited for
 */
struct vs_target {
	struct virtio_signal *vs;
	struct virtqueue *vq;
	spinlock_t lock;	/* @vq and what follows */
	call_single_data_t csd;
	unsigned int index;
	u32 next_seq;
	u64 handled, signals, gaps, moved, stray, polled;
	bool polling;
	struct mutex poller;
	struct hrtimer quiet;
	u32 poll_ns;
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

/**
 * virtio_signal_done_t - a request is done
 * @context: as given to virtio_signal_send_async()
 * @reply: what the device said; NULL if the device went away first
 *
 * Context: hard interrupt, or the device's removal.
 */
typedef void virtio_signal_done_t(void *context,
				  const struct virtio_signal_reply *reply);

/**
 * virtio_signal_send_async - send a request, do not wait
 * @vs: the device
 * @req: the request; copied
 * @len: its bytes, the mask included
 * @done: called once, unless this function fails
 * @context: for @done
 * @gfp: for the request's memory
 *
 * Context: any.
 *
 * Return: 0; -ENOSPC if the queue is full, -EINVAL, -ENODEV or -ENOMEM.
 */
int virtio_signal_send_async(struct virtio_signal *vs,
			     const struct virtio_signal_req *req, size_t len,
			     virtio_signal_done_t *done, void *context,
			     gfp_t gfp);

/**
 * virtio_signal_send - send a request and wait for the device's reply
 * @reply: what the device said
 *
 * Context: process.
 *
 * Return: 0 if there is a reply, whatever it says; -EINTR if a signal came
 * first (the request may still be done), or as virtio_signal_send_async().
 */
int virtio_signal_send(struct virtio_signal *vs,
		       const struct virtio_signal_req *req, size_t len,
		       struct virtio_signal_reply *reply);

/* event.c */
int vs_targets_fill(struct virtio_signal *vs);
void vs_targets_init(struct virtio_signal *vs);
void vs_event_interrupt(struct virtqueue *vq);
void vs_targets_quiesce(struct virtio_signal *vs);
void vs_debugfs_create(struct virtio_signal *vs);

/**
 * vs_poll - look at the event queue of this CPU in place of sleeping
 * @ns: for how long, at most; the device's limit may be less
 * @done: whether what is waited for is there
 * @context: for @done
 *
 * On success notifications stay off for up to @ns more, for whoever polls next;
 * a timer looks at the queue then.
 *
 * Context: process.
 *
 * Return: whether @done said so; false at once where polling is not possible.
 */
bool vs_poll(struct virtio_signal *vs, u32 ns, bool (*done)(void *context),
	     void *context);

/**
 * struct virtio_signal_client - who wants to know of events
 * @event: called for each event, on the CPU of @target if that is online; in
 *         hard interrupt context
 * @list: private
 */
struct virtio_signal_client {
	void (*event)(struct virtio_signal_client *client, unsigned int target,
		      const struct virtio_signal_event *event);
	struct list_head list;
};

/**
 * virtio_signal_register - begin to be told of events
 *
 * Context: process.
 */
void virtio_signal_register(struct virtio_signal *vs,
			    struct virtio_signal_client *client);

/**
 * virtio_signal_unregister - stop; no call runs any more on return
 *
 * Context: process.
 */
void virtio_signal_unregister(struct virtio_signal *vs,
			      struct virtio_signal_client *client);

/* chardev.c */
int vs_chardev_create(struct virtio_signal *vs);
void vs_chardev_remove(struct virtio_signal *vs);

#endif
