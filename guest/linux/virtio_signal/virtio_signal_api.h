/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-signal in the kernel: send signals, be told of events
 */
#ifndef VIRTIO_SIGNAL_API_H
#define VIRTIO_SIGNAL_API_H

#include <linux/list.h>
#include <linux/types.h>
#include <linux/virtio_signal.h>

struct virtio_signal;

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

#endif
