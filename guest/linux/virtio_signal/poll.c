// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * virtio_signal: polling an event queue in place of sleeping
 *
 * Between two polls notifications stay off: that is where the gain is, as what
 * a poller waits for is mostly the answer to what it sends meanwhile. It holds
 * only as long as nobody sleeps who is to be woken by events, and some file is open
 * that polls; whoever changes that then looks at each target with its lock, as
 * the poller does when it leaves.
 */
#include <linux/preempt.h>
#include <linux/sched/signal.h>
#include "virtio_signal.h"

/* Tell the device, as far as it does not know. With the target's poller. */
static bool vs_poll_announce(struct vs_target *t, u32 ns)
{
	unsigned int gen = atomic_read(&t->vs->poll_gen);
	struct virtio_signal_ctrl_reply reply;
	struct virtio_signal_ctrl cmd = {
		.command = (__force u16)cpu_to_le16(VIRTIO_SIGNAL_CTRL_POLL),
		.arg = (__force u16)cpu_to_le16(t->index),
		.value = (__force u32)cpu_to_le32(ns),
	};

	if (t->poll_ns == ns && t->poll_gen == gen)
		return true;
	if (vs_ctrl(t->vs, &cmd, &reply, sizeof(reply)) || reply.status)
		return false;
	t->poll_ns = ns;
	t->poll_gen = gen;
	return true;
}

/* Look once, notifications off; false if the target is down. */
static bool vs_poll_once(struct vs_target *t)
{
	bool up;

	spin_lock_irq(&t->lock);
	up = t->up && !virtqueue_is_broken(t->vq);
	if (up) {
		t->polling = true;
		t->quiet = false;
		vs_target_drain(t);
	}
	spin_unlock_irq(&t->lock);
	return up;
}

/* The poller leaves; @quiet: it will be back, and until @ns are over. */
static void vs_poll_leave(struct vs_target *t, bool quiet, u32 ns)
{
	spin_lock_irq(&t->lock);
	if (quiet)
		t->polled++;
	if (t->up) {
		t->quiet = quiet && atomic_read(&t->vs->pollers) &&
			   !vs_clients_wait(t->vs);
		t->polling = t->quiet;
		if (t->quiet)
			hrtimer_start(&t->timer, ns_to_ktime(ns),
				      HRTIMER_MODE_REL_PINNED);
		else
			vs_target_drain(t);
	}
	spin_unlock_irq(&t->lock);
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
	/* Clients are called on the target's CPU. */
	migrate_disable();
	if (raw_smp_processor_id() != n)
		goto out;
	end = ktime_get_ns() + ns;
	do {
		if (!vs_poll_once(t))
			break;
		found = done(context);
		/* Who else wants the CPU has it; then it is looked at again. */
		if (!found && !cond_resched())
			cpu_relax();
	} while (!found && ktime_get_ns() < end && !signal_pending(current));
	vs_poll_leave(t, found, ns);
out:
	migrate_enable();
unlock:
	mutex_unlock(&t->poller);
	/* The last one who polls did not wait for this one. */
	if (!atomic_read(&vs->pollers))
		schedule_work(&vs->update);
	return found;
}

/* Have notifications on wherever a poller has left for the time being. */
static void vs_poll_end_quiet(struct virtio_signal *vs)
{
	unsigned int n;

	for (n = 0; n < vs->config.num_targets; n++) {
		struct vs_target *t = &vs->targets[n];
		bool was;

		spin_lock_irq(&t->lock);
		was = t->up && t->quiet;
		if (was)
			t->polling = t->quiet = false;
		spin_unlock_irq(&t->lock);
		if (was) {
			preempt_disable();
			vs_target_handle(t);
			preempt_enable();
		}
	}
}

void vs_poll_wake(struct virtio_signal *vs)
{
	/* First the client's waits(); who begins to poll looks at that. */
	smp_mb();
	if (atomic_read(&vs->pollers))
		vs_poll_end_quiet(vs);
}

void vs_poll_begin(struct virtio_signal *vs)
{
	atomic_inc(&vs->pollers);
}

void vs_poll_end(struct virtio_signal *vs)
{
	bool last = atomic_dec_and_test(&vs->pollers);

	vs_poll_end_quiet(vs);
	if (last)
		schedule_work(&vs->update);
}

void vs_poll_withdraw(struct virtio_signal *vs)
{
	unsigned int n;

	for (n = 0; n < vs->config.num_targets; n++) {
		struct vs_target *t = &vs->targets[n];

		mutex_lock(&t->poller);
		if (t->poll_ns && !atomic_read(&vs->pollers))
			vs_poll_announce(t, 0);
		mutex_unlock(&t->poller);
	}
}
