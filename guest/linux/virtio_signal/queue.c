// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * virtio_signal: requests and commands
 *
 * The memory of one belongs to the device from its submission on, until the
 * device has used it or was reset, whether somebody still waits or not.
 */
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/export.h>
#include <linux/sched.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include "virtio_signal.h"

/**
 * struct vs_call - a request in a send queue, or a command in the control queue
 * @ref: held by the queue, and by who waits
 * @fn: called at the end, or NULL
 * @err: 0 if @in holds the reply, which is valid from @done on
 * @least: bytes that a reply has
 * @in: room for @in_size bytes of reply
 * @data: what the device reads, then @in
 */
struct vs_call {
	struct kref ref;
	struct completion done;
	virtio_signal_done_t *fn;
	void *context;
	int err;
	size_t least, out_size, in_size;
	void *in;
	u8 data[] __aligned(8);
};

static struct vs_call *vs_call_new(const void *out, size_t out_size,
				   size_t least, size_t in_size, gfp_t gfp)
{
	size_t offset = ALIGN(out_size, sizeof(u64));
	struct vs_call *call = kzalloc(struct_size(call, data,
						   offset + in_size), gfp);

	if (!call)
		return NULL;
	kref_init(&call->ref);
	init_completion(&call->done);
	call->out_size = out_size;
	call->least = least;
	call->in_size = in_size;
	call->in = call->data + offset;
	memcpy(call->data, out, out_size);
	return call;
}

static void vs_call_free(struct kref *ref)
{
	kfree(container_of(ref, struct vs_call, ref));
}

static void vs_call_put(struct vs_call *call)
{
	kref_put(&call->ref, vs_call_free);
}

/* The device gave it back, with @len bytes of reply, or never will. */
static void vs_call_end(struct vs_call *call, int err, size_t len)
{
	if (!err && len < call->least)
		err = -EIO;
	call->err = err;
	if (call->fn)
		call->fn(call->context, err, err ? NULL : call->in);
	complete(&call->done);
	vs_call_put(call);
}

/* The queue takes the caller's reference, unless this fails. */
static int vs_call_start(struct virtio_signal *vs, struct vs_queue *q,
			 struct vs_call *call)
{
	struct scatterlist out, in, *sgs[] = { &out, &in };
	unsigned long flags;
	int err;

	sg_init_one(&out, call->data, call->out_size);
	sg_init_one(&in, call->in, call->in_size);
	spin_lock_irqsave(&q->lock, flags);
	if (q->up) {
		err = virtqueue_add_sgs(q->vq, sgs, 1, 1, call, GFP_ATOMIC);
		if (!err)
			virtqueue_kick(q->vq);
	} else {
		err = vs_error(vs) ?: -EAGAIN;
	}
	spin_unlock_irqrestore(&q->lock, flags);
	return err;
}

/* Submit @call and wait; its reference is the caller's again. */
static int vs_call_run(struct virtio_signal *vs, struct vs_queue *q,
		       struct vs_call *call, unsigned int sleep)
{
	int err;

	kref_get(&call->ref);
	err = vs_call_start(vs, q, call);
	if (err) {
		vs_call_put(call);
		return err;
	}
	if (wait_for_completion_state(&call->done, sleep))
		return -EINTR;
	return call->err;
}

static struct vs_queue *vs_queue(struct virtio_signal *vs, unsigned int n)
{
	return n == VIRTIO_SIGNAL_CTRLQ ? &vs->ctrlq :
	       &vs->sendqs[n - VIRTIO_SIGNAL_SENDQ0];
}

void vs_queue_interrupt(struct virtqueue *vq)
{
	struct virtio_signal *vs = vq->vdev->priv;
	struct vs_queue *q = vs_queue(vs, vq->index);
	struct vs_call *call;
	unsigned long flags;
	unsigned int len;

	spin_lock_irqsave(&q->lock, flags);
	while (q->up) {
		virtqueue_disable_cb(vq);
		while (q->up && (call = virtqueue_get_buf(vq, &len))) {
			/* It may send the next request. */
			spin_unlock_irqrestore(&q->lock, flags);
			vs_call_end(call, 0, len);
			spin_lock_irqsave(&q->lock, flags);
		}
		if (!q->up || virtqueue_enable_cb(vq) ||
		    virtqueue_is_broken(vq))
			break;
	}
	spin_unlock_irqrestore(&q->lock, flags);
}

static struct vs_queue *vs_sendq(struct virtio_signal *vs)
{
	return &vs->sendqs[raw_smp_processor_id() % vs->config.num_sendqs];
}

static struct vs_call *vs_request(struct virtio_signal *vs,
				  const struct virtio_signal_req *req,
				  size_t len, gfp_t gfp)
{
	size_t size = sizeof(struct virtio_signal_reply);

	if (len < sizeof(*req) ||
	    len > sizeof(*req) + vs->config.max_mask_words * sizeof(u64))
		return ERR_PTR(-EINVAL);
	return vs_call_new(req, len, size, size, gfp) ?: ERR_PTR(-ENOMEM);
}

int virtio_signal_send_async(struct virtio_signal *vs,
			     const struct virtio_signal_req *req, size_t len,
			     virtio_signal_done_t *done, void *context,
			     gfp_t gfp)
{
	struct vs_call *call = vs_request(vs, req, len, gfp);
	int err;

	if (IS_ERR(call))
		return PTR_ERR(call);
	call->fn = done;
	call->context = context;
	err = vs_call_start(vs, vs_sendq(vs), call);
	if (err)
		vs_call_put(call);
	return err;
}
EXPORT_SYMBOL_GPL(virtio_signal_send_async);

int virtio_signal_send(struct virtio_signal *vs,
		       const struct virtio_signal_req *req, size_t len,
		       struct virtio_signal_reply *reply)
{
	struct vs_call *call = vs_request(vs, req, len, GFP_KERNEL);
	int err;

	if (IS_ERR(call))
		return PTR_ERR(call);
	/* A peer may take its time: that must not hold a suspend up. */
	err = vs_call_run(vs, vs_sendq(vs), call,
			  TASK_INTERRUPTIBLE | TASK_FREEZABLE);
	if (!err)
		memcpy(reply, call->in, sizeof(*reply));
	vs_call_put(call);
	return err;
}
EXPORT_SYMBOL_GPL(virtio_signal_send);

int vs_ctrl(struct virtio_signal *vs, const struct virtio_signal_ctrl *cmd,
	    struct virtio_signal_ctrl_reply *reply, size_t size)
{
	struct vs_call *call = vs_call_new(cmd, sizeof(*cmd), sizeof(*reply),
					   size, GFP_KERNEL);
	int err;

	if (!call)
		return -ENOMEM;
	err = vs_call_run(vs, &vs->ctrlq, call, TASK_KILLABLE);
	if (!err)
		memcpy(reply, call->in, size);
	vs_call_put(call);
	return err;
}

/* As virtio_signal_accept(), for any CPU that has been on. */
int vs_accept(struct virtio_signal *vs, u16 target, u32 classes)
{
	struct virtio_signal_ctrl_reply reply;
	struct virtio_signal_ctrl cmd = {
		.command = (__force u16)cpu_to_le16(VIRTIO_SIGNAL_CTRL_ACCEPT),
		.arg = (__force u16)cpu_to_le16(target),
		.value = (__force u32)cpu_to_le32(classes),
	};
	int err = vs_ctrl(vs, &cmd, &reply, sizeof(reply));

	if (!err && reply.status)
		err = -EINVAL;
	return err;
}

int virtio_signal_accept(struct virtio_signal *vs, u16 target, u32 classes)
{
	int err;

	/* A CPU that has not started has no handler for it. */
	if (classes & (1u << VIRTIO_SIGNAL_CLASS_NMI) &&
	    (target >= nr_cpu_ids || !cpu_online(target)))
		return -ENXIO;
	err = vs_accept(vs, target, classes);
	if (!err && target < vs->config.num_targets)
		WRITE_ONCE(vs->targets[target].accept, VS_ACCEPT_SET | classes);
	return err;
}
EXPORT_SYMBOL_GPL(virtio_signal_accept);

static void vs_queues_set(struct virtio_signal *vs, bool up)
{
	unsigned int n;

	for (n = 0; n < VIRTIO_SIGNAL_SENDQ0 + vs->config.num_sendqs; n++) {
		struct vs_queue *q = vs_queue(vs, n);

		spin_lock_irq(&q->lock);
		q->up = up;
		spin_unlock_irq(&q->lock);
	}
}

void vs_queues_up(struct virtio_signal *vs)
{
	vs_queues_set(vs, true);
}

/* No request more; vs_error() says why. */
void vs_queues_down(struct virtio_signal *vs)
{
	vs_queues_set(vs, false);
}

/* After the device was reset: nothing will be answered any more. */
void vs_queues_end(struct virtio_signal *vs)
{
	struct vs_call *call;
	unsigned int n;

	for (n = 0; n < VIRTIO_SIGNAL_SENDQ0 + vs->config.num_sendqs; n++)
		while ((call = virtqueue_detach_unused_buf(vs_queue(vs, n)->vq)))
			vs_call_end(call, vs_error(vs), 0);
}
