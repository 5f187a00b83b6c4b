// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * virtio_signal_selftest: the driver's functions as another module calls them
 *
 * Loading it tests registration, matching, muting and both ways to send on
 * vsignal0, and fails if one does not hold. Then it stays, with a client that
 * answers nothing, until it is removed, and tells when the device goes.
 */
#include <linux/completion.h>
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/module.h>
#include "virtio_signal_client.h"

#define SIGNAL 0x5e1f
#define LIMIT (60 * HZ)

static int id;
module_param(id, int, 0444);
MODULE_PARM_DESC(id, "N of the device's /dev/vsignalN");

/**
 * struct seen - what a client was told
 * @handle: the client; for those that mute themselves
 * @wrong: events that do not match
 */
struct seen {
	struct virtio_signal_client *handle;
	struct completion came;
	atomic_t events, wrong;
	bool mutes;
};

static struct seen watcher;
static struct virtio_signal *device;

static void seen_event(void *context, unsigned int target,
		       const struct virtio_signal_event *event)
{
	struct seen *seen = context;

	if (target || le16_to_cpu((__force __le16)event->signal) != SIGNAL)
		atomic_inc(&seen->wrong);
	atomic_inc(&seen->events);
	if (seen->mutes)
		virtio_signal_mute(READ_ONCE(seen->handle));
	complete(&seen->came);
}

static void seen_gone(void *context)
{
	pr_info("virtio_signal_selftest: the device is gone\n");
}

static const struct virtio_signal_ops seen_ops = {
	.event = seen_event,
	.gone = seen_gone,
};

static int seen_register(struct seen *seen, bool mutes)
{
	struct virtio_signal_match match = {
		.classes = 1u << VIRTIO_SIGNAL_CLASS_DOORBELL,
		.node = virtio_signal_info(device)->node_id,
		.target = 0,
		.signal = SIGNAL,
	};
	struct virtio_signal_client *client;

	init_completion(&seen->came);
	seen->mutes = mutes;
	client = virtio_signal_register(device, &match, &seen_ops, seen);
	if (IS_ERR(client))
		return PTR_ERR(client);
	seen->handle = client;
	return 0;
}

/* DOORBELL to a target of the own node; several of a kind stay apart. */
static struct virtio_signal_req doorbell(u16 target, u16 signal)
{
	struct virtio_signal_req req = {
		.class_id = (__force u16)cpu_to_le16(
				VIRTIO_SIGNAL_CLASS_DOORBELL),
		.dst_node = (__force u16)cpu_to_le16(
				virtio_signal_info(device)->node_id),
		.target = (__force u16)cpu_to_le16(target),
		.signal = (__force u16)cpu_to_le16(signal),
		.src_target = (__force u16)cpu_to_le16(
				VIRTIO_SIGNAL_TARGET_NODE),
	};

	return req;
}

static int ring(u16 target, u16 signal)
{
	struct virtio_signal_req req = doorbell(target, signal);
	struct virtio_signal_reply reply;
	int err = virtio_signal_send(device, &req, sizeof(req), &reply);

	return err ?: reply.status ? -EPROTO : 0;
}

struct answer {
	struct completion done;
	int err;
};

static void answered(void *context, int err,
		     const struct virtio_signal_reply *reply)
{
	struct answer *answer = context;

	answer->err = err ?: reply->status ? -EPROTO : 0;
	complete(&answer->done);
}

static int ring_async(u16 target, u16 signal)
{
	struct virtio_signal_req req = doorbell(target, signal);
	struct answer answer;
	int err;

	init_completion(&answer.done);
	err = virtio_signal_send_async(device, &req, sizeof(req), answered,
				       &answer, GFP_KERNEL);
	if (err)
		return err;
	/* The device answers or goes: @answer lives until then. */
	wait_for_completion(&answer.done);
	return answer.err;
}

static int came(struct seen *seen)
{
	return wait_for_completion_timeout(&seen->came, LIMIT) ? 0 : -ETIMEDOUT;
}

/* Only what matches; each of the two clients by itself; one mutes itself. */
static int run(struct seen *plain, struct seen *mutes)
{
	int err = ring(0, SIGNAL + 1) ?: ring(0, SIGNAL) ?: came(plain) ?:
		  came(mutes) ?: ring_async(0, SIGNAL) ?: came(plain);

	if (!err && virtio_signal_info(device)->num_targets > 1)
		err = ring(1, SIGNAL);
	err = err ?: ring(0, SIGNAL) ?: came(plain);
	if (err)
		return err;
	if (atomic_read(&plain->events) != 3 || atomic_read(&plain->wrong) ||
	    atomic_read(&mutes->events) != 1 || atomic_read(&mutes->wrong))
		return -EBADMSG;
	return virtio_signal_get(id + 1000) ? -EEXIST : 0;
}

static int __init selftest_init(void)
{
	static struct seen plain, mutes;
	int err;

	device = virtio_signal_get(id);
	if (!device)
		return -ENODEV;
	err = seen_register(&plain, false);
	if (err)
		goto put;
	err = seen_register(&mutes, true);
	if (!err) {
		err = run(&plain, &mutes);
		virtio_signal_unregister(mutes.handle);
	}
	virtio_signal_unregister(plain.handle);
	/* Nobody is told any more: these two are gone. */
	err = err ?: ring(0, SIGNAL);
	if (err || atomic_read(&plain.events) != 3) {
		err = err ?: -EBADMSG;
		goto put;
	}
	err = seen_register(&watcher, false);
	if (err)
		goto put;
	pr_info("virtio_signal_selftest: passed\n");
	return 0;

put:
	pr_err("virtio_signal_selftest: error %d\n", err);
	virtio_signal_put(device);
	return err;
}
module_init(selftest_init);

static void __exit selftest_exit(void)
{
	virtio_signal_unregister(watcher.handle);
	virtio_signal_put(device);
}
module_exit(selftest_exit);

MODULE_DESCRIPTION("Test of the functions of virtio_signal");
MODULE_LICENSE("GPL");
