// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * virtio_signal: the driver of virtio-signal, its life
 */
#include <linux/cpuhotplug.h>
#include <linux/cpumask.h>
#include <linux/debugfs.h>
#include <linux/export.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/virtio_ids.h>
#include "virtio_signal.h"

static enum cpuhp_state vs_cpuhp;

static void vs_free(struct kref *ref)
{
	struct virtio_signal *vs = container_of(ref, struct virtio_signal, ref);

	cancel_work_sync(&vs->update);
	vs_targets_free(vs);
	kfree(vs->sendqs);
	kfree(vs);
}

void vs_get(struct virtio_signal *vs)
{
	kref_get(&vs->ref);
}

void virtio_signal_put(struct virtio_signal *vs)
{
	kref_put(&vs->ref, vs_free);
}
EXPORT_SYMBOL_GPL(virtio_signal_put);

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
			info[i].callback = vs_queue_interrupt;
		} else if (i < VIRTIO_SIGNAL_SENDQ0 + sendqs) {
			info[i].name = "send";
			info[i].callback = vs_queue_interrupt;
		} else {
			info[i].name = "event";
			info[i].callback = vs_event_interrupt;
		}
	}
	err = vs_compat_find_vqs(vs->vdev, count, vqs, info);
	if (err)
		goto out;
	vs->ctrlq.vq = vqs[VIRTIO_SIGNAL_CTRLQ];
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

static void vs_read_limit(struct virtio_signal *vs)
{
	u32 max;

	virtio_cread_bytes(vs->vdev, offsetof(struct virtio_signal_config,
					      poll_ns_max), &max, sizeof(max));
	WRITE_ONCE(vs->config.poll_ns_max, le32_to_cpu((__force __le32)max));
}

static void vs_update(struct work_struct *work)
{
	struct virtio_signal *vs = container_of(work, struct virtio_signal,
						update);

	/* Whoever changes that waits for this function. */
	if (vs_error(vs))
		return;
	vs_read_limit(vs);
	if (!atomic_read(&vs->pollers))
		vs_poll_withdraw(vs);
}

/* Only the limit of polling changes. In an interrupt, where it is not read. */
static void vs_config_changed(struct virtio_device *vdev)
{
	struct virtio_signal *vs = vdev->priv;

	atomic_inc(&vs->poll_gen);
	schedule_work(&vs->update);
}

/* An interrupt cannot be steered to a CPU that is off, and leaves one. */
static int vs_cpu_online(unsigned int cpu, struct hlist_node *node)
{
	struct virtio_signal *vs = hlist_entry(node, struct virtio_signal,
					       cpu_node);

	if (cpu < vs->config.num_targets)
		virtqueue_set_affinity(vs->targets[cpu].vq, cpumask_of(cpu));
	return 0;
}

/* End what runs and will not be answered; the device is reset then. */
static void vs_stop(struct virtio_signal *vs, enum vs_state state)
{
	WRITE_ONCE(vs->state, state);
	if (!vs->queues)
		return;
	vs->queues = false;
	cpuhp_state_remove_instance_nocalls(vs_cpuhp, &vs->cpu_node);
	vs_queues_down(vs);
	vs_targets_down(vs);
	virtio_reset_device(vs->vdev);
	virtio_synchronize_cbs(vs->vdev);
	vs_targets_quiesce(vs);
	vs_queues_end(vs);
	cancel_work_sync(&vs->update);
	vs->vdev->config->del_vqs(vs->vdev);
}

static int vs_start(struct virtio_signal *vs)
{
	unsigned int i;
	int err = vs_find_queues(vs);

	if (err)
		return err;
	err = vs_targets_up(vs);
	if (!err)
		err = cpuhp_state_add_instance(vs_cpuhp, &vs->cpu_node);
	if (err) {
		vs_targets_down(vs);
		virtio_reset_device(vs->vdev);
		vs->vdev->config->del_vqs(vs->vdev);
		return err;
	}
	vs->queues = true;
	virtio_device_ready(vs->vdev);
	for (i = 0; i < vs->config.num_targets; i++)
		virtqueue_kick(vs->targets[i].vq);
	WRITE_ONCE(vs->state, VS_LIVE);
	vs_queues_up(vs);
	return 0;
}

static int vs_init(struct virtio_signal *vs)
{
	unsigned int i;

	kref_init(&vs->ref);
	atomic_set(&vs->poll_gen, 0);
	atomic_set(&vs->pollers, 0);
	INIT_WORK(&vs->update, vs_update);
	mutex_init(&vs->clients_lock);
	INIT_LIST_HEAD(&vs->clients);
	spin_lock_init(&vs->ctrlq.lock);
	vs_read_config(vs);
	vs->can_poll = virtio_has_feature(vs->vdev, VIRTIO_SIGNAL_F_POLL);
	if (!vs->config.num_sendqs || !vs->config.num_targets) {
		dev_err(&vs->vdev->dev, "%u send queues, %u targets\n",
			vs->config.num_sendqs, vs->config.num_targets);
		return -EINVAL;
	}
	vs->sendqs = kcalloc(vs->config.num_sendqs, sizeof(*vs->sendqs),
			     GFP_KERNEL);
	if (!vs->sendqs)
		return -ENOMEM;
	for (i = 0; i < vs->config.num_sendqs; i++)
		spin_lock_init(&vs->sendqs[i].lock);
	return vs_targets_alloc(vs);
}

static int vs_probe(struct virtio_device *vdev)
{
	struct virtio_signal *vs = kzalloc(sizeof(*vs), GFP_KERNEL);
	int err;

	if (!vs)
		return -ENOMEM;
	vs->vdev = vdev;
	vdev->priv = vs;
	err = vs_init(vs);
	if (err)
		goto put;
	err = vs_start(vs);
	if (err)
		goto put;
	err = vs_publish(vs);
	if (err)
		goto stop;
	err = vs_chardev_create(vs);
	if (err)
		goto withdraw;
	vs_debugfs_create(vs);
	dev_info(&vdev->dev, "%s: node %u, %u targets\n", vs->misc.name,
		 vs->config.node_id, vs->config.num_targets);
	return 0;

withdraw:
	vs_withdraw(vs);
stop:
	vs_stop(vs, VS_DEAD);
	vs_clients_gone(vs);
put:
	virtio_signal_put(vs);
	return err;
}

static void vs_remove(struct virtio_device *vdev)
{
	struct virtio_signal *vs = vdev->priv;

	debugfs_remove_recursive(vs->debugfs);
	vs_chardev_remove(vs);
	vs_withdraw(vs);
	vs_stop(vs, VS_DEAD);
	vs_clients_gone(vs);
	virtio_signal_put(vs);
}

#ifdef CONFIG_PM_SLEEP
static int vs_freeze(struct virtio_device *vdev)
{
	vs_stop(vdev->priv, VS_ASLEEP);
	return 0;
}

/* The device knows nothing any more; that somebody polls the next one tells. */
static int vs_restore(struct virtio_device *vdev)
{
	struct virtio_signal *vs = vdev->priv;
	unsigned int n;
	int err;

	atomic_inc(&vs->poll_gen);
	vs_read_limit(vs);
	err = vs_start(vs);
	if (err) {
		dev_err(&vdev->dev, "does not come back: error %d\n", err);
		return err;
	}
	for (n = 0; n < vs->config.num_targets; n++) {
		u64 accept = READ_ONCE(vs->targets[n].accept);

		if (!(accept & VS_ACCEPT_SET))
			continue;
		err = vs_accept(vs, n, (u32)accept);
		if (err)
			dev_err(&vdev->dev,
				"target %u takes all classes: error %d\n", n,
				err);
	}
	return 0;
}
#endif

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
	.driver.owner = THIS_MODULE,
	.id_table = vs_ids,
	.probe = vs_probe,
	.remove = vs_remove,
	.config_changed = vs_config_changed,
#ifdef CONFIG_PM_SLEEP
	.freeze = vs_freeze,
	.restore = vs_restore,
#endif
};

static int __init vs_module_init(void)
{
	int err = cpuhp_setup_state_multi(CPUHP_AP_ONLINE_DYN,
					  "virtio/signal:online",
					  vs_cpu_online, NULL);

	if (err < 0)
		return err;
	vs_cpuhp = err;
	err = register_virtio_driver(&vs_driver);
	if (err)
		cpuhp_remove_multi_state(vs_cpuhp);
	return err;
}
module_init(vs_module_init);

static void __exit vs_module_exit(void)
{
	unregister_virtio_driver(&vs_driver);
	cpuhp_remove_multi_state(vs_cpuhp);
}
module_exit(vs_module_exit);

MODULE_DESCRIPTION("Virtio signals to CPUs and between machines");
MODULE_LICENSE("GPL");
