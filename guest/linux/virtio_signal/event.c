// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * virtio_signal: event queues
 *
 * Each queue has its own interrupt, steered to its CPU. Where that cannot be
 * (one interrupt for all queues, an interrupt on its way while it is steered,
 * a transport without MSI-X) the handling moves to the CPU in software, so
 * that clients are always called on the CPU that was signalled.
 */
#include <linux/cpumask.h>
#include <linux/debugfs.h>
#include <linux/device.h>
#include <linux/module.h>
#include <linux/scatterlist.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include "virtio_signal.h"

static int vs_target_give(struct vs_target *t, struct virtio_signal_event *ev,
			  gfp_t gfp)
{
	struct scatterlist sg;

	sg_init_one(&sg, ev, sizeof(*ev));
	return virtqueue_add_inbuf(t->vq, &sg, 1, ev, gfp);
}

static void vs_target_event(struct vs_target *t,
			    const struct virtio_signal_event *ev)
{
	struct virtio_signal *vs = t->vs;
	struct virtio_signal_client *client;
	u32 seq = le32_to_cpu((__force __le32)ev->seq);

	if (seq != t->next_seq)
		t->gaps++;
	t->next_seq = seq + 1;
	t->handled++;
	t->signals += le32_to_cpu((__force __le32)ev->count);

	read_lock(&vs->clients_lock);
	list_for_each_entry(client, &vs->clients, list)
		client->event(client, t->index, ev);
	read_unlock(&vs->clients_lock);
}

static void vs_target_drain(struct vs_target *t)
{
	struct virtio_signal_event *ev, copy;
	unsigned long flags;
	unsigned int len;
	bool kick = false;

	spin_lock_irqsave(&t->lock, flags);
	do {
		virtqueue_disable_cb(t->vq);
		while ((ev = virtqueue_get_buf(t->vq, &len))) {
			copy = *ev;
			if (vs_target_give(t, ev, GFP_ATOMIC))
				break;	/* the queue is broken */
			kick = true;
			if (len >= sizeof(copy))
				vs_target_event(t, &copy);
		}
	} while (!virtqueue_enable_cb(t->vq) && !virtqueue_is_broken(t->vq));
	if (kick)
		virtqueue_kick(t->vq);
	spin_unlock_irqrestore(&t->lock, flags);
}

static void vs_target_moved(void *info)
{
	vs_target_drain(info);
}

void vs_event_interrupt(struct virtqueue *vq)
{
	struct virtio_signal *vs = vq->vdev->priv;
	unsigned int n = vq->index - VIRTIO_SIGNAL_SENDQ0 -
			 vs->config.num_sendqs;
	struct vs_target *t = &vs->targets[n];
	int err;

	if (smp_processor_id() == n || n >= nr_cpu_ids || !cpu_online(n)) {
		vs_target_drain(t);
		return;
	}
	t->moved++;
	err = smp_call_function_single_async(n, &t->csd);
	/* -EBUSY: one is on its way and will find this event too. */
	if (err && err != -EBUSY)
		vs_target_drain(t);
}

void vs_targets_init(struct virtio_signal *vs)
{
	unsigned int n;

	for (n = 0; n < vs->config.num_targets; n++) {
		struct vs_target *t = &vs->targets[n];

		t->vs = vs;
		t->index = n;
		spin_lock_init(&t->lock);
		INIT_CSD(&t->csd, vs_target_moved, t);
	}
}

/* Give all buffers, and steer the interrupts. */
int vs_targets_fill(struct virtio_signal *vs)
{
	unsigned int n, i;
	int err;

	for (n = 0; n < vs->config.num_targets; n++) {
		struct vs_target *t = &vs->targets[n];
		unsigned int size = virtqueue_get_vring_size(t->vq);

		size = min_t(unsigned int, size, VS_EVENTS);
		t->events = kcalloc(size, sizeof(*t->events), GFP_KERNEL);
		if (!t->events)
			return -ENOMEM;
		for (i = 0; i < size; i++) {
			err = vs_target_give(t, &t->events[i], GFP_KERNEL);
			if (err)
				return err;
		}
		if (n < nr_cpu_ids && cpu_possible(n))
			virtqueue_set_affinity(t->vq, cpumask_of(n));
	}
	return 0;
}

static void vs_target_nothing(void *info)
{
}

/* After the device was reset: wait for handlers that move between CPUs. */
void vs_targets_quiesce(struct virtio_signal *vs)
{
	/*
	 * A CPU takes all its calls at once and does those that are waited
	 * for before the others: only when it has come back for a second one
	 * are the others done that were queued before the first.
	 */
	on_each_cpu(vs_target_nothing, NULL, 1);
	on_each_cpu(vs_target_nothing, NULL, 1);
}

void virtio_signal_register(struct virtio_signal *vs,
			    struct virtio_signal_client *client)
{
	write_lock_irq(&vs->clients_lock);
	list_add_tail(&client->list, &vs->clients);
	write_unlock_irq(&vs->clients_lock);
}

void virtio_signal_unregister(struct virtio_signal *vs,
			      struct virtio_signal_client *client)
{
	write_lock_irq(&vs->clients_lock);
	list_del(&client->list);
	write_unlock_irq(&vs->clients_lock);
}

static int vs_stats_show(struct seq_file *m, void *unused)
{
	struct virtio_signal *vs = m->private;
	unsigned int n;

	seq_puts(m, "target events signals gaps moved\n");
	for (n = 0; n < vs->config.num_targets; n++) {
		struct vs_target *t = &vs->targets[n];

		seq_printf(m, "%u %llu %llu %llu %llu\n", n, t->handled,
			   t->signals, t->gaps, t->moved);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(vs_stats);

void vs_debugfs_create(struct virtio_signal *vs)
{
	vs->debugfs = debugfs_create_dir(vs->misc.name, NULL);
	debugfs_create_file("stats", 0400, vs->debugfs, vs, &vs_stats_fops);
}
