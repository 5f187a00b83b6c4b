// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * virtio_signal: the driver of virtio-signal, control and send queues
 */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/virtio_ids.h>
#include "virtio_signal.h"

/**
 * struct vs_call - a request in a send queue
 * @data: the request, then room for the reply
 */
struct vs_call {
	virtio_signal_done_t *done;
	void *context;
	struct virtio_signal_reply reply;
	u8 data[];
};

static void vs_free(struct kref *ref)
{
	struct virtio_signal *vs = container_of(ref, struct virtio_signal, ref);
	unsigned int n;

	for (n = 0; vs->targets && n < vs->config.num_targets; n++)
		kfree(vs->targets[n].events);
	kvfree(vs->targets);
	kfree(vs->sendqs);
	kfree(vs);
}

void vs_get(struct virtio_signal *vs)
{
	kref_get(&vs->ref);
}

void vs_put(struct virtio_signal *vs)
{
	kref_put(&vs->ref, vs_free);
}

static void vs_call_end(struct vs_call *call,
			const struct virtio_signal_reply *reply)
{
	call->done(call->context, reply);
	kfree(call);
}

static void vs_send_interrupt(struct virtqueue *vq)
{
	struct virtio_signal *vs = vq->vdev->priv;
	struct vs_sendq *q = &vs->sendqs[vq->index - VIRTIO_SIGNAL_SENDQ0];
	struct vs_call *call;
	unsigned long flags;
	unsigned int len;

	spin_lock_irqsave(&q->lock, flags);
	do {
		virtqueue_disable_cb(vq);
		while ((call = virtqueue_get_buf(vq, &len))) {
			/* done() may send the next request. */
			spin_unlock_irqrestore(&q->lock, flags);
			vs_call_end(call, len < sizeof(call->reply) ? NULL :
					  &call->reply);
			spin_lock_irqsave(&q->lock, flags);
		}
	} while (!virtqueue_enable_cb(vq) && !virtqueue_is_broken(vq));
	spin_unlock_irqrestore(&q->lock, flags);
}

int virtio_signal_send_async(struct virtio_signal *vs,
			     const struct virtio_signal_req *req, size_t len,
			     virtio_signal_done_t *done, void *context,
			     gfp_t gfp)
{
	struct vs_sendq *q = &vs->sendqs[raw_smp_processor_id() %
					 vs->config.num_sendqs];
	struct scatterlist out, in, *sgs[] = { &out, &in };
	struct vs_call *call;
	unsigned long flags;
	int err;

	if (len < sizeof(*req) ||
	    len > sizeof(*req) + vs->config.max_mask_words * sizeof(u64))
		return -EINVAL;
	call = kzalloc(struct_size(call, data, len), gfp);
	if (!call)
		return -ENOMEM;
	call->done = done;
	call->context = context;
	memcpy(call->data, req, len);
	sg_init_one(&out, call->data, len);
	sg_init_one(&in, &call->reply, sizeof(call->reply));

	spin_lock_irqsave(&q->lock, flags);
	err = vs->dead ? -ENODEV :
	      virtqueue_add_sgs(q->vq, sgs, 1, 1, call, GFP_ATOMIC);
	if (!err)
		virtqueue_kick(q->vq);
	spin_unlock_irqrestore(&q->lock, flags);
	if (err)
		kfree(call);
	return err;
}

/* Whoever of the two comes last frees it. */
struct vs_wait {
	struct kref ref;
	struct completion done;
	bool answered;
	struct virtio_signal_reply reply;
};

static void vs_wait_free(struct kref *ref)
{
	kfree(container_of(ref, struct vs_wait, ref));
}

static void vs_wait_done(void *context, const struct virtio_signal_reply *reply)
{
	struct vs_wait *wait = context;

	if (reply) {
		wait->reply = *reply;
		wait->answered = true;
	}
	complete(&wait->done);
	kref_put(&wait->ref, vs_wait_free);
}

int virtio_signal_send(struct virtio_signal *vs,
		       const struct virtio_signal_req *req, size_t len,
		       struct virtio_signal_reply *reply)
{
	struct vs_wait *wait = kzalloc(sizeof(*wait), GFP_KERNEL);
	int err;

	if (!wait)
		return -ENOMEM;
	kref_init(&wait->ref);
	kref_get(&wait->ref);
	init_completion(&wait->done);
	err = virtio_signal_send_async(vs, req, len, vs_wait_done, wait,
				       GFP_KERNEL);
	if (err) {
		kref_put(&wait->ref, vs_wait_free);
	} else {
		err = wait_for_completion_interruptible(&wait->done);
		if (err)
			err = -EINTR;
		else if (!wait->answered)
			err = -ENODEV;
		else
			*reply = wait->reply;
	}
	kref_put(&wait->ref, vs_wait_free);
	return err;
}

static void vs_ctrl_interrupt(struct virtqueue *vq)
{
	struct virtio_signal *vs = vq->vdev->priv;

	complete(&vs->ctrl_done);
}

/* Run a command; @reply is @size bytes that kmalloc() gave, as is @cmd. */
int vs_ctrl(struct virtio_signal *vs, const struct virtio_signal_ctrl *cmd,
	    struct virtio_signal_ctrl_reply *reply, size_t size)
{
	struct scatterlist out, in, *sgs[] = { &out, &in };
	unsigned int len;
	int err;

	sg_init_one(&out, cmd, sizeof(*cmd));
	sg_init_one(&in, reply, size);
	down_read(&vs->live);
	mutex_lock(&vs->ctrl_lock);
	reinit_completion(&vs->ctrl_done);
	err = vs->dead ? -ENODEV :
	      virtqueue_add_sgs(vs->ctrlq, sgs, 1, 1, (void *)cmd, GFP_KERNEL);
	if (!err) {
		virtqueue_kick(vs->ctrlq);
		/* The device answers as soon as it sees it, or is gone. */
		while (!wait_for_completion_timeout(&vs->ctrl_done, HZ) &&
		       !virtqueue_is_broken(vs->ctrlq))
			;
		if (!virtqueue_get_buf(vs->ctrlq, &len) || len < sizeof(*reply))
			err = -EIO;
	}
	mutex_unlock(&vs->ctrl_lock);
	up_read(&vs->live);
	return err;
}

static int vs_find_queues(struct virtio_signal *vs)
{
	unsigned int sendqs = vs->config.num_sendqs;
	unsigned int count = VIRTIO_SIGNAL_SENDQ0 + sendqs +
			     vs->config.num_targets;
	struct virtqueue_info *info = kcalloc(count, sizeof(*info), GFP_KERNEL);
	struct virtqueue **vqs = kcalloc(count, sizeof(*vqs), GFP_KERNEL);
	unsigned int i;
	int err = -ENOMEM;

	if (!info || !vqs)
		goto out;
	for (i = 0; i < count; i++) {
		if (i == VIRTIO_SIGNAL_CTRLQ) {
			info[i].name = "control";
			info[i].callback = vs_ctrl_interrupt;
		} else if (i < VIRTIO_SIGNAL_SENDQ0 + sendqs) {
			info[i].name = "send";
			info[i].callback = vs_send_interrupt;
		} else {
			info[i].name = "event";
			info[i].callback = vs_event_interrupt;
		}
	}
	err = virtio_find_vqs(vs->vdev, count, vqs, info, NULL);
	if (err)
		goto out;
	vs->ctrlq = vqs[VIRTIO_SIGNAL_CTRLQ];
	for (i = 0; i < sendqs; i++)
		vs->sendqs[i].vq = vqs[VIRTIO_SIGNAL_SENDQ0 + i];
	for (i = 0; i < vs->config.num_targets; i++)
		vs->targets[i].vq = vqs[VIRTIO_SIGNAL_SENDQ0 + sendqs + i];
out:
	kfree(vqs);
	kfree(info);
	return err;
}

static void vs_read_config(struct virtio_signal *vs)
{
	struct virtio_signal_config *config = &vs->config;
	struct virtio_signal_config le;

	virtio_cread_bytes(vs->vdev, 0, &le, sizeof(le));
	config->node_id = le16_to_cpu((__force __le16)le.node_id);
	config->max_nodes = le16_to_cpu((__force __le16)le.max_nodes);
	config->num_targets = le16_to_cpu((__force __le16)le.num_targets);
	config->num_sendqs = le16_to_cpu((__force __le16)le.num_sendqs);
	config->backlog = le16_to_cpu((__force __le16)le.backlog);
	config->max_mask_words =
		min_t(u16, le16_to_cpu((__force __le16)le.max_mask_words),
		      VIRTIO_SIGNAL_MASK_WORDS_MAX);
	config->send_classes = le32_to_cpu((__force __le32)le.send_classes);
	config->recv_classes = le32_to_cpu((__force __le32)le.recv_classes);
	config->poll_ns_max = le32_to_cpu((__force __le32)le.poll_ns_max);
}

/* Only the limit of polling changes. */
static void vs_config_changed(struct virtio_device *vdev)
{
	struct virtio_signal *vs = vdev->priv;
	u32 max;

	virtio_cread_bytes(vdev, offsetof(struct virtio_signal_config,
					  poll_ns_max), &max, sizeof(max));
	WRITE_ONCE(vs->config.poll_ns_max, le32_to_cpu((__force __le32)max));
}

static int vs_probe(struct virtio_device *vdev)
{
	struct virtio_signal *vs = kzalloc(sizeof(*vs), GFP_KERNEL);
	unsigned int i;
	int err = -ENOMEM;

	if (!vs)
		return -ENOMEM;
	kref_init(&vs->ref);
	vs->vdev = vdev;
	vdev->priv = vs;
	init_rwsem(&vs->live);
	mutex_init(&vs->ctrl_lock);
	init_completion(&vs->ctrl_done);
	rwlock_init(&vs->clients_lock);
	INIT_LIST_HEAD(&vs->clients);
	vs_read_config(vs);
	if (!vs->config.num_sendqs || !vs->config.num_targets) {
		dev_err(&vdev->dev, "%u send queues, %u targets\n",
			vs->config.num_sendqs, vs->config.num_targets);
		err = -EINVAL;
		goto put;
	}
	vs->sendqs = kcalloc(vs->config.num_sendqs, sizeof(*vs->sendqs),
			     GFP_KERNEL);
	vs->targets = kvcalloc(vs->config.num_targets, sizeof(*vs->targets),
			       GFP_KERNEL);
	if (!vs->sendqs || !vs->targets)
		goto put;
	for (i = 0; i < vs->config.num_sendqs; i++)
		spin_lock_init(&vs->sendqs[i].lock);
	vs_targets_init(vs);
	err = vs_find_queues(vs);
	if (err)
		goto put;
	err = vs_targets_fill(vs);
	if (err)
		goto del;
	virtio_device_ready(vdev);
	for (i = 0; i < vs->config.num_targets; i++)
		virtqueue_kick(vs->targets[i].vq);
	err = vs_chardev_create(vs);
	if (err)
		goto reset;
	vs_debugfs_create(vs);
	dev_info(&vdev->dev, "%s: node %u, %u targets\n", vs->misc.name,
		 vs->config.node_id, vs->config.num_targets);
	return 0;

reset:
	virtio_reset_device(vdev);
	vs_targets_quiesce(vs);
del:
	vdev->config->del_vqs(vdev);
put:
	vs_put(vs);
	return err;
}

static void vs_remove(struct virtio_device *vdev)
{
	struct virtio_signal *vs = vdev->priv;
	struct vs_call *call;
	unsigned int i;

	debugfs_remove_recursive(vs->debugfs);
	vs_chardev_remove(vs);
	down_write(&vs->live);
	for (i = 0; i < vs->config.num_sendqs; i++) {
		spin_lock_irq(&vs->sendqs[i].lock);
		vs->dead = true;
		spin_unlock_irq(&vs->sendqs[i].lock);
	}
	up_write(&vs->live);

	virtio_reset_device(vdev);
	vs_targets_quiesce(vs);
	for (i = 0; i < vs->config.num_sendqs; i++)
		while ((call = virtqueue_detach_unused_buf(vs->sendqs[i].vq)))
			vs_call_end(call, NULL);
	vdev->config->del_vqs(vdev);
	vs_put(vs);
}

static const unsigned int vs_features[] = {
	VIRTIO_SIGNAL_F_MASK,
	VIRTIO_SIGNAL_F_REMOTE,
	VIRTIO_SIGNAL_F_NMI,
	VIRTIO_SIGNAL_F_LIFECYCLE,
	VIRTIO_SIGNAL_F_POLL,
	VIRTIO_SIGNAL_F_MQ_SEND,
};

static const struct virtio_device_id vs_ids[] = {
	{ VIRTIO_ID_SIGNAL, VIRTIO_DEV_ANY_ID },
	{ }
};
MODULE_DEVICE_TABLE(virtio, vs_ids);

static struct virtio_driver vs_driver = {
	.feature_table = vs_features,
	.feature_table_size = ARRAY_SIZE(vs_features),
	.driver.name = KBUILD_MODNAME,
	.id_table = vs_ids,
	.probe = vs_probe,
	.remove = vs_remove,
	.config_changed = vs_config_changed,
};
module_virtio_driver(vs_driver);

MODULE_DESCRIPTION("Virtio signals to CPUs and between machines");
MODULE_LICENSE("GPL");
