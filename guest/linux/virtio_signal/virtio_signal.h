/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_signal: what its files share
 */
#ifndef VIRTIO_SIGNAL_PRIVATE_H
#define VIRTIO_SIGNAL_PRIVATE_H

#include <linux/atomic.h>
#include <linux/dcache.h>
#include <linux/hrtimer.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/miscdevice.h>
#include <linux/mutex.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/workqueue.h>
#include "compat.h"
#include "virtio_signal_client.h"
#include "vsignal_abi.h"

#define VS_EVENTS 64	/* buffers per event queue */
#define VS_ACCEPT_SET BIT_ULL(32)

/**
 * struct vs_target - an event queue and the CPU it belongs to
 * @csd: moves the handling of an interrupt that came to another CPU
 * @moving: bit 0: @csd is in use
 * @size: number of @events, the buffers
 * @lock: @vq and what follows
 * @up: @vq can be used
 * @polling: notifications are off, as a poller or @timer will look
 * @quiet: @polling, and the poller has left for the time being
 * @timer: looks when nobody polls again, or when there was too much at once
 * @poller: who polls; what the device was told
 * @poll_ns: that, valid if @poll_gen is the device's
 * @accept: VS_ACCEPT_SET and the classes that the device was told, or 0
 * @moved: interrupts that were
 * @stray: events handled on another CPU than the target's
 * @polled: times that polling found what was waited for
 */
struct vs_target {
	struct virtio_signal *vs;
	unsigned int index;
	unsigned int size;
	struct virtio_signal_event *events;
	call_single_data_t csd;
	unsigned long moving;
	struct hrtimer timer;

	spinlock_t lock;
	struct virtqueue *vq;
	bool up, polling, quiet;
	u32 next_seq;
	u64 handled, signals, gaps, moved, stray, polled;

	struct mutex poller;
	u32 poll_ns;
	unsigned int poll_gen;

	u64 accept;
};

/**
 * struct vs_queue - the control queue, or a send queue
 * @lock: @vq and @up
 * @up: @vq can be used
 */
struct vs_queue {
	struct virtqueue *vq;
	spinlock_t lock;
	bool up;
};

enum vs_state { VS_ASLEEP, VS_LIVE, VS_DEAD };

/**
 * struct virtio_signal - a device
 * @ref: held by the driver and by each client
 * @vdev: not to be used once @state is VS_DEAD
 * @can_poll: VIRTIO_SIGNAL_F_POLL was negotiated
 * @queues: there are, and the device may work
 * @update: after a configuration change, or when nobody polls any more
 * @poll_gen: grows when the device may have lowered what it was told
 * @pollers: files that poll
 * @clients_lock: changes of @clients, which RCU protects, and gone()
 */
struct virtio_signal {
	struct kref ref;
	struct virtio_device *vdev;
	enum vs_state state;
	bool can_poll, queues;
	struct virtio_signal_config config;	/* host byte order */
	struct vs_queue ctrlq;
	struct vs_queue *sendqs;
	struct vs_target *targets;
	struct hlist_node cpu_node;
	struct work_struct update;
	atomic_t poll_gen, pollers;
	struct mutex clients_lock;
	struct list_head clients;
	int id;
	struct miscdevice misc;
	struct dentry *debugfs;
};

/* Why nothing can be sent, or 0 */
static inline int vs_error(struct virtio_signal *vs)
{
	enum vs_state state = READ_ONCE(vs->state);

	return state == VS_LIVE ? 0 : state == VS_DEAD ? -ENODEV : -EAGAIN;
}

/* core.c */
void vs_get(struct virtio_signal *vs);

/* queue.c */
void vs_queue_interrupt(struct virtqueue *vq);
void vs_queues_up(struct virtio_signal *vs);
void vs_queues_down(struct virtio_signal *vs);
void vs_queues_end(struct virtio_signal *vs);

/**
 * vs_ctrl - run a control command
 * @cmd: the command, copied
 * @reply: for the device's reply
 * @size: bytes of @reply; what the device did not write is zero
 *
 * Context: process.
 *
 * Return: 0 if there is a reply; -EINTR if the process is killed first (the
 * command may still be done), or as virtio_signal_send().
 */
int vs_ctrl(struct virtio_signal *vs, const struct virtio_signal_ctrl *cmd,
	    struct virtio_signal_ctrl_reply *reply, size_t size);

int vs_accept(struct virtio_signal *vs, u16 target, u32 classes);

/* event.c */
int vs_targets_alloc(struct virtio_signal *vs);
void vs_targets_free(struct virtio_signal *vs);
int vs_targets_up(struct virtio_signal *vs);
void vs_targets_down(struct virtio_signal *vs);
void vs_targets_quiesce(struct virtio_signal *vs);
void vs_event_interrupt(struct virtqueue *vq);
void vs_target_drain(struct vs_target *t);
void vs_target_handle(struct vs_target *t);
void vs_debugfs_create(struct virtio_signal *vs);

/* poll.c */

/**
 * vs_poll - look at the event queue of this CPU in place of sleeping
 * @ns: for how long, at most; the device's limit may be less
 * @done: whether what is waited for is there
 * @context: for @done
 *
 * On success notifications stay off for up to @ns more, for whoever polls next;
 * a timer looks at the queue then. They do not while a client waits that does
 * not poll.
 *
 * Context: process.
 *
 * Return: whether @done said so; false at once where polling is not possible.
 */
bool vs_poll(struct virtio_signal *vs, u32 ns, bool (*done)(void *context),
	     void *context);

/**
 * vs_poll_wake - somebody is about to sleep: have notifications on
 *
 * To be called once the client's waits() says so.
 *
 * Context: process.
 */
void vs_poll_wake(struct virtio_signal *vs);

/* A file begins to poll, or does not any more. Context: process. */
void vs_poll_begin(struct virtio_signal *vs);
void vs_poll_end(struct virtio_signal *vs);

/* Tell the device that nobody polls. Context: process. */
void vs_poll_withdraw(struct virtio_signal *vs);

/* client.c */

/**
 * struct virtio_signal_client - who wants to know of events
 * @waits: whether it sleeps, to be woken by events; NULL: always
 * @muted: it wants none any more
 */
struct virtio_signal_client {
	struct virtio_signal *vs;
	struct virtio_signal_match match;
	const struct virtio_signal_ops *ops;
	void *context;
	bool (*waits)(void *context);
	bool muted;
	struct list_head list;
};

struct virtio_signal_client *
vs_client_register(struct virtio_signal *vs,
		   const struct virtio_signal_match *match,
		   const struct virtio_signal_ops *ops,
		   bool (*waits)(void *context), void *context);
void vs_clients_event(struct virtio_signal *vs, unsigned int target,
		      const struct virtio_signal_event *event);
bool vs_clients_wait(struct virtio_signal *vs);
void vs_clients_gone(struct virtio_signal *vs);
int vs_publish(struct virtio_signal *vs);
void vs_withdraw(struct virtio_signal *vs);

/* chardev.c */
int vs_chardev_create(struct virtio_signal *vs);
void vs_chardev_remove(struct virtio_signal *vs);

#endif
