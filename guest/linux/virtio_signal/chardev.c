// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * virtio_signal: /dev/vsignalN
 */
#include <linux/compat.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/mm.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/wait.h>
#include "virtio_signal.h"

#define RECORDS 4096	/* events kept for a file that is not read */

/**
 * struct vs_file - an open file
 * @head: records ever written to @records
 * @tail: records ever read
 * @poll_lock: serialises changes of @poll_ns
 * @poll_ns: how long to poll before sleeping
 */
struct vs_file {
	struct virtio_signal *vs;
	struct virtio_signal_client *client;
	wait_queue_head_t wait;
	struct mutex read_lock;
	spinlock_t lock;
	struct mutex poll_lock;
	u32 filter;
	u32 poll_ns;
	u32 head, tail, dropped;
	struct vsignal_record *records;
};

static void vs_file_event(void *context, unsigned int target,
			  const struct virtio_signal_event *event)
{
	struct vs_file *f = context;
	u16 class_id = le16_to_cpu((__force __le16)event->class_id);
	unsigned long flags;

	if (class_id < 32 && !(READ_ONCE(f->filter) & (1u << class_id)))
		return;
	spin_lock_irqsave(&f->lock, flags);
	if (f->head - f->tail == RECORDS) {
		f->dropped++;
	} else {
		struct vsignal_record *r = &f->records[f->head % RECORDS];

		r->event = *event;
		r->target = target;
		r->cpu = smp_processor_id();
		r->dropped = f->dropped;
		f->dropped = 0;
		f->head++;
	}
	spin_unlock_irqrestore(&f->lock, flags);
	wake_up_interruptible(&f->wait);
}

/* Readers see the end of the file. */
static void vs_file_gone(void *context)
{
	struct vs_file *f = context;

	wake_up_interruptible(&f->wait);
}

static bool vs_file_waits(void *context)
{
	struct vs_file *f = context;

	return wq_has_sleeper(&f->wait);
}

static const struct virtio_signal_ops vs_file_client = {
	.event = vs_file_event,
	.gone = vs_file_gone,
};

static int vs_file_open(struct inode *inode, struct file *file)
{
	struct virtio_signal *vs = container_of(file->private_data,
						struct virtio_signal, misc);
	static const struct virtio_signal_match all = {
		.classes = ~0u,
		.node = VIRTIO_SIGNAL_ANY,
		.target = VIRTIO_SIGNAL_ANY,
		.signal = VIRTIO_SIGNAL_ANY,
	};
	struct vs_file *f = kzalloc(sizeof(*f), GFP_KERNEL);

	int err = -ENOMEM;

	if (!f)
		return err;
	f->records = kvcalloc(RECORDS, sizeof(*f->records), GFP_KERNEL);
	if (!f->records)
		goto free;
	f->vs = vs;
	f->filter = ~0u;
	init_waitqueue_head(&f->wait);
	mutex_init(&f->read_lock);
	mutex_init(&f->poll_lock);
	spin_lock_init(&f->lock);
	f->client = vs_client_register(vs, &all, &vs_file_client,
				       vs_file_waits, f);
	if (IS_ERR(f->client)) {
		err = PTR_ERR(f->client);
		goto free;
	}
	file->private_data = f;
	return stream_open(inode, file);

free:
	kvfree(f->records);
	kfree(f);
	return err;
}

/* Others may poll with other limits: the last one to leave is told apart. */
static void vs_file_set_poll(struct vs_file *f, u32 ns)
{
	u32 old;

	mutex_lock(&f->poll_lock);
	old = f->poll_ns;
	if (ns && !old)
		vs_poll_begin(f->vs);
	WRITE_ONCE(f->poll_ns, ns);
	if (!ns && old)
		vs_poll_end(f->vs);
	mutex_unlock(&f->poll_lock);
}

static int vs_file_release(struct inode *inode, struct file *file)
{
	struct vs_file *f = file->private_data;

	vs_file_set_poll(f, 0);
	/* With the last reference to a device that is gone */
	virtio_signal_unregister(f->client);
	kvfree(f->records);
	kfree(f);
	return 0;
}

static bool vs_file_empty(struct vs_file *f)
{
	return READ_ONCE(f->head) == READ_ONCE(f->tail);
}

/* With the read lock, which makes the oldest record stay where it is. */
static bool vs_file_peek(struct vs_file *f, struct vsignal_record *record)
{
	bool any;

	spin_lock_irq(&f->lock);
	any = f->head != f->tail;
	if (any)
		*record = f->records[f->tail % RECORDS];
	spin_unlock_irq(&f->lock);
	return any;
}

static void vs_file_pop(struct vs_file *f)
{
	spin_lock_irq(&f->lock);
	f->tail++;
	spin_unlock_irq(&f->lock);
}

static bool vs_file_ready(void *context)
{
	return !vs_file_empty(context);
}

static bool vs_file_dead(struct vs_file *f)
{
	return READ_ONCE(f->vs->state) == VS_DEAD;
}

/* Returns 0 with records there, 1 without a device, or an error. */
static int vs_file_wait(struct vs_file *f, bool nonblock)
{
	DEFINE_WAIT(sleeper);
	int err = 0;

	if (!vs_file_empty(f))
		return 0;
	if (vs_file_dead(f))
		return 1;
	if (nonblock)
		return -EAGAIN;
	if (vs_poll(f->vs, READ_ONCE(f->poll_ns), vs_file_ready, f))
		return 0;
	for (;;) {
		prepare_to_wait(&f->wait, &sleeper, TASK_INTERRUPTIBLE);
		if (!vs_file_empty(f) || vs_file_dead(f))
			break;
		err = signal_pending(current) ? -ERESTARTSYS : 0;
		if (err)
			break;
		vs_poll_wake(f->vs);
		schedule();
	}
	finish_wait(&f->wait, &sleeper);
	return !vs_file_empty(f) ? 0 : err ?: 1;
}

static ssize_t vs_file_read(struct file *file, char __user *buf, size_t len,
			    loff_t *pos)
{
	struct vs_file *f = file->private_data;
	struct vsignal_record record;
	ssize_t done = 0;
	int err;

	if (len < sizeof(record))
		return -EINVAL;
	/* Another reader may take what there was: then it is the same again. */
	while (!done) {
		err = vs_file_wait(f, file->f_flags & O_NONBLOCK);
		if (err)
			return err < 0 ? err : 0;
		if (mutex_lock_interruptible(&f->read_lock))
			return -ERESTARTSYS;
		while (len - done >= sizeof(record) &&
		       vs_file_peek(f, &record)) {
			if (copy_to_user(buf + done, &record, sizeof(record))) {
				done = done ?: -EFAULT;
				break;
			}
			vs_file_pop(f);
			done += sizeof(record);
		}
		mutex_unlock(&f->read_lock);
	}
	return done;
}

static __poll_t vs_file_poll(struct file *file, poll_table *wait)
{
	struct vs_file *f = file->private_data;
	__poll_t mask = EPOLLOUT | EPOLLWRNORM;

	poll_wait(file, &f->wait, wait);
	if (!vs_file_empty(f))
		mask |= EPOLLIN | EPOLLRDNORM;
	else
		vs_poll_wake(f->vs);
	if (vs_file_dead(f))
		mask |= EPOLLHUP;
	return mask;
}

/* The request's own length; what it says is checked by the device. */
static size_t vs_req_len(const struct virtio_signal_req *req)
{
	return struct_size(req, mask,
			   le16_to_cpu((__force __le16)req->mask_words));
}

static ssize_t vs_file_write(struct file *file, const char __user *buf,
			     size_t len, loff_t *pos)
{
	static const int errors[VIRTIO_SIGNAL_S_COUNT] = {
		0, 0, -EINVAL, -ENXIO, -EHOSTUNREACH, -EPERM, -EOPNOTSUPP,
		-EBUSY, -EHOSTDOWN, -EAGAIN, -EISCONN,
	};
	struct vs_file *f = file->private_data;
	u64 words[VSIGNAL_REQ_WORDS];
	struct virtio_signal_req *req = (void *)words;
	struct virtio_signal_reply reply;
	u16 status;
	int err;

	if (len < sizeof(*req) || len > sizeof(words))
		return -EINVAL;
	if (copy_from_user(words, buf, len))
		return -EFAULT;
	if (vs_req_len(req) != len)
		return -EINVAL;
	err = virtio_signal_send(f->vs, req, len, &reply);
	if (err)
		return err;
	status = le16_to_cpu((__force __le16)reply.status);
	err = status < ARRAY_SIZE(errors) ? errors[status] : -EIO;
	return err ?: len;
}

static long vs_ioctl_send(struct vs_file *f, void __user *arg)
{
	struct vsignal_send send;
	struct virtio_signal_req *req = (void *)send.req;
	int err;

	if (copy_from_user(&send, arg, sizeof(send)))
		return -EFAULT;
	if (vs_req_len(req) > sizeof(send.req))
		return -EINVAL;
	err = virtio_signal_send(f->vs, req, vs_req_len(req), &send.reply);
	if (!err && copy_to_user(arg, &send, sizeof(send)))
		err = -EFAULT;
	return err;
}

static long vs_ioctl_peers(struct vs_file *f, struct vsignal_peers __user *arg)
{
	struct virtio_signal_ctrl cmd = {
		.command = (__force u16)cpu_to_le16(VIRTIO_SIGNAL_CTRL_PEERS),
	};
	struct virtio_signal_ctrl_reply *reply;
	size_t size = struct_size(reply, peers, VSIGNAL_PEERS_MAX);
	u16 first, count;
	u32 more;
	int err;

	if (get_user(first, &arg->first))
		return -EFAULT;
	reply = kzalloc(size, GFP_KERNEL);
	if (!reply)
		return -ENOMEM;
	cmd.arg = (__force u16)cpu_to_le16(first);
	err = vs_ctrl(f->vs, &cmd, reply, size);
	if (err)
		goto out;
	count = le16_to_cpu((__force __le16)reply->count);
	more = le32_to_cpu((__force __le32)reply->more);
	if (reply->status || count > VSIGNAL_PEERS_MAX)
		err = -EIO;
	else if (put_user(count, &arg->count) || put_user(more, &arg->more) ||
		 copy_to_user(arg->peers, reply->peers,
			      count * sizeof(*reply->peers)))
		err = -EFAULT;
out:
	kfree(reply);
	return err;
}

static long vs_ioctl_accept(struct vs_file *f, void __user *arg)
{
	struct vsignal_accept accept;

	if (copy_from_user(&accept, arg, sizeof(accept)))
		return -EFAULT;
	if (accept.reserved)
		return -EINVAL;
	return virtio_signal_accept(f->vs, accept.target, accept.classes);
}

static long vs_file_ioctl(struct file *file, unsigned int cmd,
			  unsigned long argument)
{
	struct vs_file *f = file->private_data;
	void __user *arg = (void __user *)argument;
	u32 value;

	switch (cmd) {
	case VSIGNAL_INFO:
		return copy_to_user(arg, &f->vs->config,
				    sizeof(f->vs->config)) ? -EFAULT : 0;
	case VSIGNAL_SEND:
		return vs_ioctl_send(f, arg);
	case VSIGNAL_PEERS:
		return vs_ioctl_peers(f, arg);
	case VSIGNAL_ACCEPT:
		return vs_ioctl_accept(f, arg);
	case VSIGNAL_POLL:
	case VSIGNAL_FILTER:
		if (get_user(value, (u32 __user *)arg))
			return -EFAULT;
		if (cmd == VSIGNAL_FILTER)
			WRITE_ONCE(f->filter, value);
		else if (f->vs->can_poll)
			vs_file_set_poll(f, value);
		else
			return -EOPNOTSUPP;
		return 0;
	default:
		return -ENOTTY;
	}
}

static const struct file_operations vs_file_ops = {
	.owner = THIS_MODULE,
	.open = vs_file_open,
	.release = vs_file_release,
	.read = vs_file_read,
	.write = vs_file_write,
	.poll = vs_file_poll,
	.unlocked_ioctl = vs_file_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

int vs_chardev_create(struct virtio_signal *vs)
{
	int err;

	vs->misc.minor = MISC_DYNAMIC_MINOR;
	vs->misc.name = kasprintf(GFP_KERNEL, "vsignal%d", vs->id);
	vs->misc.fops = &vs_file_ops;
	vs->misc.mode = 0600;
	vs->misc.parent = &vs->vdev->dev;
	err = vs->misc.name ? misc_register(&vs->misc) : -ENOMEM;
	if (err)
		kfree(vs->misc.name);
	return err;
}

/* Files that are open stay, and keep the device's memory. */
void vs_chardev_remove(struct virtio_signal *vs)
{
	misc_deregister(&vs->misc);
	kfree(vs->misc.name);
}
