/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio_signal: what kernels from 6.1 on name differently
 */
#ifndef VIRTIO_SIGNAL_COMPAT_H
#define VIRTIO_SIGNAL_COMPAT_H

#include <linux/hrtimer.h>
#include <linux/slab.h>
#include <linux/version.h>
#include <linux/virtio_config.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 11, 0)
struct virtqueue_info {
	const char *name;
	vq_callback_t *callback;
	bool ctx;
};
#endif

/* As virtio_find_vqs() without an affinity */
static inline int vs_compat_find_vqs(struct virtio_device *vdev,
				     unsigned int count, struct virtqueue **vqs,
				     struct virtqueue_info *info)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 11, 0)
	vq_callback_t **callbacks = kcalloc(count, sizeof(*callbacks),
					    GFP_KERNEL);
	const char **names = kcalloc(count, sizeof(*names), GFP_KERNEL);
	unsigned int i;
	int err = -ENOMEM;

	if (callbacks && names) {
		for (i = 0; i < count; i++) {
			callbacks[i] = info[i].callback;
			names[i] = info[i].name;
		}
		err = virtio_find_vqs(vdev, count, vqs, callbacks, names, NULL);
	}
	kfree(names);
	kfree(callbacks);
	return err;
#else
	return virtio_find_vqs(vdev, count, vqs, info, NULL);
#endif
}

static inline void vs_compat_timer(struct hrtimer *timer,
				   enum hrtimer_restart (*function)(
					   struct hrtimer *timer))
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
	hrtimer_init(timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED);
	timer->function = function;
#else
	hrtimer_setup(timer, function, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_PINNED);
#endif
}

#endif
