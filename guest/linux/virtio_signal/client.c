// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * virtio_signal: who is told of events, and how devices are found
 */
#include <linux/err.h>
#include <linux/export.h>
#include <linux/idr.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include "virtio_signal.h"

static DEFINE_IDR(vs_devices);
static DEFINE_MUTEX(vs_devices_lock);

/* Take a number; nobody finds the device before it works. */
int vs_publish(struct virtio_signal *vs)
{
	int id;

	mutex_lock(&vs_devices_lock);
	id = idr_alloc(&vs_devices, vs, 0, 0, GFP_KERNEL);
	mutex_unlock(&vs_devices_lock);
	if (id < 0)
		return id;
	vs->id = id;
	return 0;
}

void vs_withdraw(struct virtio_signal *vs)
{
	mutex_lock(&vs_devices_lock);
	idr_remove(&vs_devices, vs->id);
	mutex_unlock(&vs_devices_lock);
}

struct virtio_signal *virtio_signal_get(int id)
{
	struct virtio_signal *vs;

	mutex_lock(&vs_devices_lock);
	vs = idr_find(&vs_devices, id);
	if (vs && READ_ONCE(vs->state) != VS_DEAD)
		vs_get(vs);
	else
		vs = NULL;
	mutex_unlock(&vs_devices_lock);
	return vs;
}
EXPORT_SYMBOL_GPL(virtio_signal_get);

const struct virtio_signal_config *
virtio_signal_info(const struct virtio_signal *vs)
{
	return &vs->config;
}
EXPORT_SYMBOL_GPL(virtio_signal_info);

static bool vs_match(const struct virtio_signal_client *client,
		     unsigned int target,
		     const struct virtio_signal_event *event)
{
	const struct virtio_signal_match *match = &client->match;
	unsigned int class_id = le16_to_cpu((__force __le16)event->class_id);

	return !READ_ONCE(client->muted) &&
	       (class_id >= 32 || match->classes & (1u << class_id)) &&
	       (match->target < 0 || match->target == target) &&
	       (match->node < 0 ||
		match->node == le16_to_cpu((__force __le16)event->src_node)) &&
	       (match->signal < 0 ||
		match->signal == le16_to_cpu((__force __le16)event->signal));
}

/* Context: interrupts off. */
void vs_clients_event(struct virtio_signal *vs, unsigned int target,
		      const struct virtio_signal_event *event)
{
	struct virtio_signal_client *client;

	rcu_read_lock();
	list_for_each_entry_rcu(client, &vs->clients, list)
		if (vs_match(client, target, event))
			client->ops->event(client->context, target, event);
	rcu_read_unlock();
}

/* Whether a client relies on notifications. */
bool vs_clients_wait(struct virtio_signal *vs)
{
	struct virtio_signal_client *client;
	bool found = false;

	rcu_read_lock();
	list_for_each_entry_rcu(client, &vs->clients, list)
		found |= !READ_ONCE(client->muted) &&
			 (!client->waits || client->waits(client->context));
	rcu_read_unlock();
	return found;
}

struct virtio_signal_client *
vs_client_register(struct virtio_signal *vs,
		   const struct virtio_signal_match *match,
		   const struct virtio_signal_ops *ops,
		   bool (*waits)(void *context), void *context)
{
	struct virtio_signal_client *client = kzalloc(sizeof(*client),
						      GFP_KERNEL);

	if (!client)
		return ERR_PTR(-ENOMEM);
	client->vs = vs;
	client->match = *match;
	client->ops = ops;
	client->waits = waits;
	client->context = context;
	mutex_lock(&vs->clients_lock);
	if (READ_ONCE(vs->state) == VS_DEAD) {
		mutex_unlock(&vs->clients_lock);
		kfree(client);
		return ERR_PTR(-ENODEV);
	}
	vs_get(vs);
	list_add_tail_rcu(&client->list, &vs->clients);
	mutex_unlock(&vs->clients_lock);
	return client;
}

struct virtio_signal_client *
virtio_signal_register(struct virtio_signal *vs,
		       const struct virtio_signal_match *match,
		       const struct virtio_signal_ops *ops, void *context)
{
	struct virtio_signal_client *client;

	client = vs_client_register(vs, match, ops, NULL, context);
	if (!IS_ERR(client))
		vs_poll_wake(vs);
	return client;
}
EXPORT_SYMBOL_GPL(virtio_signal_register);

void virtio_signal_unregister(struct virtio_signal_client *client)
{
	struct virtio_signal *vs = client->vs;

	mutex_lock(&vs->clients_lock);
	list_del_rcu(&client->list);
	mutex_unlock(&vs->clients_lock);
	synchronize_rcu();
	kfree(client);
	virtio_signal_put(vs);
}
EXPORT_SYMBOL_GPL(virtio_signal_unregister);

void virtio_signal_mute(struct virtio_signal_client *client)
{
	/* An event can come before virtio_signal_register() has returned. */
	if (client)
		WRITE_ONCE(client->muted, true);
}
EXPORT_SYMBOL_GPL(virtio_signal_mute);

/* Tell all that the device, which is dead, is gone. */
void vs_clients_gone(struct virtio_signal *vs)
{
	struct virtio_signal_client *client;

	mutex_lock(&vs->clients_lock);
	list_for_each_entry(client, &vs->clients, list)
		if (client->ops->gone)
			client->ops->gone(client->context);
	mutex_unlock(&vs->clients_lock);
}
