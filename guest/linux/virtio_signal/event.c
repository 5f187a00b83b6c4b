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
	t->stray += smp_processor_id() != t->index;
	t->handled++;
	t->signals += le32_to_cpu((__force __le32)ev->count);

	read_lock(&vs->clients_lock);
	list_for_each_entry(client, &vs->clients, list)
		client->event(client, t->index, ev);
	read_unlock(&vs->clients_lock);
}

/* Handle what is there; notifications are on then, unless somebody polls. */
static void vs_target_drain(struct vs_target *t, bool polling)
{
	struct virtio_signal_event *ev, copy;
	unsigned long flags;
	unsigned int len;
	bool kick = false;

	spin_lock_irqsave(&t->lock, flags);
	t->polling = polling;
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
	} while (!polling && !virtqueue_enable_cb(t->vq) &&
		 !virtqueue_is_broken(t->vq));
	if (kick)
		virtqueue_kick(t->vq);
	spin_unlock_irqrestore(&t->lock, flags);
}

static void vs_target_moved(void *info)
{
	struct vs_target *t = info;

	vs_target_drain(t, READ_ONCE(t->polling));
}

static enum hrtimer_restart vs_target_quiet(struct hrtimer *timer)
{
	vs_target_drain(container_of(timer, struct vs_target, quiet), false);
	return HRTIMER_NORESTART;
}

/* Tell the device, as far as it does not know. */
static bool vs_poll_announce(struct vs_target *t, u32 ns)
{
	struct {
		struct virtio_signal_ctrl cmd;
		struct virtio_signal_ctrl_reply reply;
	} *c;
	int err;

	if (t->poll_ns == ns)
		return true;
	c = kzalloc(sizeof(*c), GFP_KERNEL);
	if (!c)
		return false;
	c->cmd.command = cpu_to_le16(VIRTIO_SIGNAL_CTRL_POLL);
	c->cmd.arg = (__force u16)cpu_to_le16(t->index);
	c->cmd.value = (__force u32)cpu_to_le32(ns);
	err = vs_ctrl(t->vs, &c->cmd, &c->reply, sizeof(c->reply));
	if (!err && !c->reply.status)
		t->poll_ns = ns;
	kfree(c);
	return t->poll_ns == ns;
}

bool vs_poll(struct virtio_signal *vs, u32 ns, bool (*done)(void *context),
	     void *context)
{
	unsigned int n = raw_smp_processor_id();
	struct vs_target *t;
	bool found = false;
	u64 end;

	ns = min(ns, READ_ONCE(vs->config.poll_ns_max));
	if (!ns || n >= vs->config.num_targets)
		return false;
	t = &vs->targets[n];
	if (!mutex_trylock(&t->poller))
		return false;
	if (!vs_poll_announce(t, ns))
		goto unlock;
	down_read(&vs->live);
	/* Clients are called on the target's CPU. */
	migrate_disable();
	if (vs->dead || smp_processor_id() != n)
		goto out;
	hrtimer_cancel(&t->quiet);
	end = ktime_get_ns() + ns;
	do {
		vs_target_drain(t, true);
		found = done(context);
		/* Who else wants the CPU has it; then it is looked at again. */
		if (!found && !cond_resched())
			cpu_relax();
	} while (!found && ktime_get_ns() < end &&
		 !signal_pending(current) && !virtqueue_is_broken(t->vq));
	if (found) {
		t->polled++;
		hrtimer_start(&t->quiet, ns_to_ktime(ns),
			      HRTIMER_MODE_REL_PINNED);
	} else {
		vs_target_drain(t, false);
	}
out:
	migrate_enable();
	up_read(&vs->live);
unlock:
	mutex_unlock(&t->poller);
	return found;
}

void vs_event_interrupt(struct virtqueue *vq)
{
	struct virtio_signal *vs = vq->vdev->priv;
	unsigned int n = vq->index - VIRTIO_SIGNAL_SENDQ0 -
			 vs->config.num_sendqs;
	struct vs_target *t = &vs->targets[n];
	int err;

	if (smp_processor_id() == n || n >= nr_cpu_ids || !cpu_online(n)) {
		vs_target_moved(t);
		return;
	}
	t->moved++;
	err = smp_call_function_single_async(n, &t->csd);
	/* -EBUSY: one is on its way and will find this event too. */
	if (err && err != -EBUSY)
		vs_target_moved(t);
}

void vs_targets_init(struct virtio_signal *vs)
{
	unsigned int n;

	for (n = 0; n < vs->config.num_targets; n++) {
		struct vs_target *t = &vs->targets[n];

		t->vs = vs;
		t->index = n;
		spin_lock_init(&t->lock);
		mutex_init(&t->poller);
		hrtimer_init(&t->quiet, CLOCK_MONOTONIC,
			     HRTIMER_MODE_REL_PINNED);
		t->quiet.function = vs_target_quiet;
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

/* After the device was reset: wait for timers, and moving handlers. */
void vs_targets_quiesce(struct virtio_signal *vs)
{
	unsigned int n;

	for (n = 0; n < vs->config.num_targets; n++)
		hrtimer_cancel(&vs->targets[n].quiet);
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

	seq_puts(m, "target events signals gaps moved stray polled\n");
	for (n = 0; n < vs->config.num_targets; n++) {
		struct vs_target *t = &vs->targets[n];

		seq_printf(m, "%u %llu %llu %llu %llu %llu %llu\n", n,
			   t->handled, t->signals, t->gaps, t->moved, t->stray,
			   t->polled);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(vs_stats);

void vs_debugfs_create(struct virtio_signal *vs)
{
	vs->debugfs = debugfs_create_dir(vs->misc.name, NULL);
	debugfs_create_file("stats", 0400, vs->debugfs, vs, &vs_stats_fops);
}
