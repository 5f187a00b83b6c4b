/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_signal: what other modules call
 *
 * A module that uses these functions pins the driver's module. A device can go
 * at any time, which its clients are told; a reference keeps the functions
 * callable until then, and they fail afterwards.
 */
#ifndef VIRTIO_SIGNAL_CLIENT_H
#define VIRTIO_SIGNAL_CLIENT_H

#include <linux/types.h>
#include <linux/virtio_signal.h>

struct virtio_signal;
struct virtio_signal_client;

/**
 * virtio_signal_get - look a device up
 * @id: N of its /dev/vsignalN
 *
 * Context: process.
 *
 * Return: the device, to be given to virtio_signal_put(); NULL if there is none
 * or it is not ready yet.
 */
struct virtio_signal *virtio_signal_get(int id);

/**
 * virtio_signal_put - give a reference back
 *
 * Context: process.
 */
void virtio_signal_put(struct virtio_signal *vs);

/**
 * virtio_signal_info - the device's configuration space
 *
 * Context: any.
 *
 * Return: in host byte order, valid as long as the reference; only poll_ns_max
 * changes.
 */
const struct virtio_signal_config *
virtio_signal_info(const struct virtio_signal *vs);

/**
 * virtio_signal_done_t - a request is done
 * @context: as given to virtio_signal_send_async()
 * @err: 0; -ENODEV if the device went away first, -EAGAIN if the machine was
 *       suspended (the request may have been done), -EIO if the reply is short
 * @reply: what the device said, valid during the call; NULL with @err
 *
 * Context: hard interrupt; process if the device goes away or is suspended.
 */
typedef void virtio_signal_done_t(void *context, int err,
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
 * Context: any, handlers of events included.
 *
 * Return: 0; -ENOSPC if the queue is full and nothing was sent, -EINVAL,
 * -ENODEV, -EAGAIN while the machine is suspended, -EIO if the device broke
 * the rules of its queue, or -ENOMEM.
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
 * first (the request may still be done), or as virtio_signal_send_async() and
 * virtio_signal_done_t say.
 */
int virtio_signal_send(struct virtio_signal *vs,
		       const struct virtio_signal_req *req, size_t len,
		       struct virtio_signal_reply *reply);

/**
 * virtio_signal_accept - say what a target takes
 * @target: the target
 * @classes: bit n: class n, in place of those before; kept over a suspend
 *
 * Context: process.
 *
 * Return: 0; -EINVAL if the device does not agree, -ENXIO for NMI of a CPU that
 * is off, -EINTR, or as virtio_signal_send_async().
 */
int virtio_signal_accept(struct virtio_signal *vs, u16 target, u32 classes);

#define VIRTIO_SIGNAL_ANY (-1)

/**
 * struct virtio_signal_match - which events a client is told of
 * @classes: bit n: class n; classes from 32 on come to everybody
 * @node: node they come from, or VIRTIO_SIGNAL_ANY
 * @target: target they come to, or VIRTIO_SIGNAL_ANY
 * @signal: signal number, or VIRTIO_SIGNAL_ANY
 */
struct virtio_signal_match {
	u32 classes;
	int node;
	int target;
	int signal;
};

/**
 * struct virtio_signal_ops - a client's functions
 * @event: an event came that matches. With interrupts off, on the CPU of
 *         @target if that is online; may send, may virtio_signal_mute().
 * @gone: the device went away; no event comes any more, and sending fails. In
 *        process context, at most once; may be NULL. Must not register or
 *        unregister clients itself, a work item of its can.
 */
struct virtio_signal_ops {
	void (*event)(void *context, unsigned int target,
		      const struct virtio_signal_event *event);
	void (*gone)(void *context);
};

/**
 * virtio_signal_register - begin to be told of events
 * @vs: the device, of which the client keeps a reference
 * @match: which events; copied
 * @ops: what to call, to stay until virtio_signal_unregister()
 * @context: for @ops
 *
 * Context: process.
 *
 * Return: the client, or ERR_PTR(): -ENODEV if the device is gone, -ENOMEM.
 */
struct virtio_signal_client *
virtio_signal_register(struct virtio_signal *vs,
		       const struct virtio_signal_match *match,
		       const struct virtio_signal_ops *ops, void *context);

/**
 * virtio_signal_unregister - stop, and wait until no call runs, of gone() neither
 * @client: freed
 *
 * Context: process; not from @event, see virtio_signal_mute().
 */
void virtio_signal_unregister(struct virtio_signal_client *client);

/**
 * virtio_signal_mute - no event more for a client, but do not wait
 *
 * Calls that run on other CPUs end by themselves. The client still has to be
 * unregistered.
 *
 * Context: any, its own @event included.
 */
void virtio_signal_mute(struct virtio_signal_client *client);

#endif
