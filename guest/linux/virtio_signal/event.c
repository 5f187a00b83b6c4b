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
	u32 seq = le32_to_cpu((__force __le32)ev->seq);

	if (seq != t->next_seq)
		t->gaps++;
	t->next_seq = seq + 1;
	t->stray += smp_processor_id() != t->index;
	t->handled++;
	t->signals += le32_to_cpu((__force __le32)ev->count);
	vs_clients_event(t->vs, t->index, ev);
}

/*
 * Handle what is there, but no more than the queue holds: the rest is for the
 * poller or the timer, so that interrupts are not off for longer. Notifications
 * are on then, unless somebody polls. With the target's lock, if it is up.
 */
void vs_target_drain(struct vs_target *t)
{
	struct virtio_signal_event *ev, copy;
	unsigned int left = t->size;
	unsigned int len;
	bool kick = false;

	do {
		virtqueue_disable_cb(t->vq);
		while (left && (ev = virtqueue_get_buf(t->vq, &len))) {
			copy = *ev;
			left--;
			if (vs_target_give(t, ev, GFP_ATOMIC))
				break;	/* the queue is broken */
			kick = true;
			if (len >= sizeof(copy))
				vs_target_event(t, &copy);
		}
	} while (left && !t->polling && !virtqueue_enable_cb(t->vq) &&
		 !virtqueue_is_broken(t->vq));
	if (kick)
		virtqueue_kick(t->vq);
	if (!left && !t->polling)
		hrtimer_start(&t->timer, 0, HRTIMER_MODE_REL_PINNED);
}

static void vs_target_here(void *info)
{
	struct vs_target *t = info;
	unsigned long flags;

	spin_lock_irqsave(&t->lock, flags);
	if (t->up)
		vs_target_drain(t);
	spin_unlock_irqrestore(&t->lock, flags);
}

static bool vs_target_is_here(const struct vs_target *t)
{
	return raw_smp_processor_id() == t->index || t->index >= nr_cpu_ids ||
	       !cpu_online(t->index);
}

static void vs_target_moved(void *info)
{
	struct vs_target *t = info;

	/* First: what comes from now on needs another one. */
	clear_bit(0, &t->moving);
	smp_mb__after_atomic();
	vs_target_here(t);
}

static void vs_target_move(struct vs_target *t)
{
	/* One is on its way and will find what is there, too. */
	if (test_and_set_bit(0, &t->moving))
		return;
	if (smp_call_function_single_async(t->index, &t->csd)) {
		clear_bit(0, &t->moving);
		vs_target_here(t);
	}
}

/* Look at a target on its own CPU. Context: preemption off. */
void vs_target_handle(struct vs_target *t)
{
	if (vs_target_is_here(t))
		vs_target_here(t);
	else
		vs_target_move(t);
}

void vs_event_interrupt(struct virtqueue *vq)
{
	struct virtio_signal *vs = vq->vdev->priv;
	struct vs_target *t = &vs->targets[vq->index - VIRTIO_SIGNAL_SENDQ0 -
					   vs->config.num_sendqs];

	if (!vs_target_is_here(t))
		t->moved++;
	vs_target_handle(t);
}

static enum hrtimer_restart vs_target_timer(struct hrtimer *timer)
{
	struct vs_target *t = container_of(timer, struct vs_target, timer);
	unsigned long flags;

	spin_lock_irqsave(&t->lock, flags);
	if (t->up) {
		/* Who polls at this moment goes on. */
		if (t->quiet)
			t->polling = t->quiet = false;
		vs_target_drain(t);
	}
	spin_unlock_irqrestore(&t->lock, flags);
	return HRTIMER_NORESTART;
}

int vs_targets_alloc(struct virtio_signal *vs)
{
	unsigned int n;

	vs->targets = kvcalloc(vs->config.num_targets, sizeof(*vs->targets),
			       GFP_KERNEL);
	if (!vs->targets)
		return -ENOMEM;
	for (n = 0; n < vs->config.num_targets; n++) {
		struct vs_target *t = &vs->targets[n];

		t->vs = vs;
		t->index = n;
		t->events = kcalloc(VS_EVENTS, sizeof(*t->events), GFP_KERNEL);
		if (!t->events)
			return -ENOMEM;
		spin_lock_init(&t->lock);
		mutex_init(&t->poller);
		vs_compat_timer(&t->timer, vs_target_timer);
		INIT_CSD(&t->csd, vs_target_moved, t);
	}
	return 0;
}

void vs_targets_free(struct virtio_signal *vs)
{
	unsigned int n;

	for (n = 0; vs->targets && n < vs->config.num_targets; n++)
		kfree(vs->targets[n].events);
	kvfree(vs->targets);
}

/* Give all buffers to the device, which is not ready yet. */
int vs_targets_up(struct virtio_signal *vs)
{
	unsigned int n, i;
	int err;

	for (n = 0; n < vs->config.num_targets; n++) {
		struct vs_target *t = &vs->targets[n];

		t->size = min_t(unsigned int, virtqueue_get_vring_size(t->vq),
				VS_EVENTS);
		for (i = 0; i < t->size; i++) {
			err = vs_target_give(t, &t->events[i], GFP_KERNEL);
			if (err)
				return err;
		}
		spin_lock_irq(&t->lock);
		t->next_seq = 0;
		t->poll_ns = 0;
		t->polling = t->quiet = false;
		t->up = true;
		spin_unlock_irq(&t->lock);
	}
	return 0;
}

void vs_targets_down(struct virtio_signal *vs)
{
	unsigned int n;

	for (n = 0; n < vs->config.num_targets; n++) {
		struct vs_target *t = &vs->targets[n];

		spin_lock_irq(&t->lock);
		t->up = false;
		spin_unlock_irq(&t->lock);
	}
}

static void vs_target_nothing(void *info)
{
}

/* After vs_targets_down(): wait for timers, and moving handlers. */
void vs_targets_quiesce(struct virtio_signal *vs)
{
	unsigned int n;

	for (n = 0; n < vs->config.num_targets; n++)
		hrtimer_cancel(&vs->targets[n].timer);
	/*
	 * A CPU takes all its calls at once and does those that are waited
	 * for before the others: only when it has come back for a second one
	 * are the others done that were queued before the first.
	 */
	on_each_cpu(vs_target_nothing, NULL, 1);
	on_each_cpu(vs_target_nothing, NULL, 1);
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
