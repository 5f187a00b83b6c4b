// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * virtio_signal: /dev/vsignalN
 */
#include <linux/cpumask.h>
#include <linux/fs.h>
#include <linux/idr.h>
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
 * @poll_ns: how long to poll before sleeping
 */
struct vs_file {
	struct virtio_signal *vs;
	struct virtio_signal_client client;
	wait_queue_head_t wait;
	struct mutex read_lock;
	spinlock_t lock;
	u32 filter;
	u32 poll_ns;
	u32 head, tail, dropped;
	struct vsignal_record *records;
};

static DEFINE_IDA(vs_ida);

static void vs_file_event(struct virtio_signal_client *client,
			  unsigned int target,
			  const struct virtio_signal_event *event)
{
	struct vs_file *f = container_of(client, struct vs_file, client);
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

static int vs_file_open(struct inode *inode, struct file *file)
{
	struct virtio_signal *vs = container_of(file->private_data,
						struct virtio_signal, misc);
	struct vs_file *f = kzalloc(sizeof(*f), GFP_KERNEL);

	if (!f)
		return -ENOMEM;
	f->records = kvcalloc(RECORDS, sizeof(*f->records), GFP_KERNEL);
	if (!f->records) {
		kfree(f);
		return -ENOMEM;
	}
	f->vs = vs;
	f->filter = ~0u;
	f->client.event = vs_file_event;
	init_waitqueue_head(&f->wait);
	mutex_init(&f->read_lock);
	spin_lock_init(&f->lock);
	vs_get(vs);
	file->private_data = f;
	virtio_signal_register(vs, &f->client);
	return stream_open(inode, file);
}

static int vs_file_release(struct inode *inode, struct file *file)
{
	struct vs_file *f = file->private_data;

	virtio_signal_unregister(f->vs, &f->client);
	vs_put(f->vs);
	kvfree(f->records);
	kfree(f);
	return 0;
}

static bool vs_file_empty(struct vs_file *f)
{
	return READ_ONCE(f->head) == READ_ONCE(f->tail);
}

static bool vs_file_take(struct vs_file *f, struct vsignal_record *record)
{
	bool any;

	spin_lock_irq(&f->lock);
	any = f->head != f->tail;
	if (any)
		*record = f->records[f->tail++ % RECORDS];
	spin_unlock_irq(&f->lock);
	return any;
}

static bool vs_file_ready(void *context)
{
	return !vs_file_empty(context);
}

/* Returns 0 with records there, 1 without a device, or an error. */
static int vs_file_wait(struct vs_file *f, bool nonblock)
{
	int err;

	while (vs_file_empty(f)) {
		if (READ_ONCE(f->vs->dead))
			return 1;
		if (nonblock)
			return -EAGAIN;
		if (vs_poll(f->vs, READ_ONCE(f->poll_ns), vs_file_ready, f))
			break;
		err = wait_event_interruptible(f->wait, !vs_file_empty(f) ||
					       READ_ONCE(f->vs->dead));
		if (err)
			return err;
	}
	return 0;
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
		       vs_file_take(f, &record)) {
			if (copy_to_user(buf + done, &record, sizeof(record))) {
				done = done ?: -EFAULT;
				break;
			}
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

	/* Not for a caller who only has a look */
	if (vs_file_empty(f) && !poll_does_not_wait(wait))
		vs_poll(f->vs, READ_ONCE(f->poll_ns), vs_file_ready, f);
	poll_wait(file, &f->wait, wait);
	if (!vs_file_empty(f))
		mask |= EPOLLIN | EPOLLRDNORM;
	if (READ_ONCE(f->vs->dead))
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

/* Memory for a command and its reply: the device writes to both. */
struct vs_command {
	struct virtio_signal_ctrl cmd;
	struct virtio_signal_ctrl_reply reply;
	struct virtio_signal_peer peers[VSIGNAL_PEERS_MAX];
};

static long vs_ioctl_peers(struct vs_file *f, struct vsignal_peers __user *arg)
{
	struct vs_command *c = kzalloc(sizeof(*c), GFP_KERNEL);
	u16 first, count;
	u32 more;
	int err = -EFAULT;

	if (!c)
		return -ENOMEM;
	if (get_user(first, &arg->first))
		goto out;
	c->cmd.command = cpu_to_le16(VIRTIO_SIGNAL_CTRL_PEERS);
	c->cmd.arg = (__force u16)cpu_to_le16(first);
	err = vs_ctrl(f->vs, &c->cmd, &c->reply,
		      sizeof(c->reply) + sizeof(c->peers));
	if (err)
		goto out;
	count = le16_to_cpu((__force __le16)c->reply.count);
	more = le32_to_cpu((__force __le32)c->reply.more);
	if (c->reply.status || count > VSIGNAL_PEERS_MAX)
		err = -EIO;
	else if (put_user(count, &arg->count) || put_user(more, &arg->more) ||
		 copy_to_user(arg->peers, c->peers, count * sizeof(*c->peers)))
		err = -EFAULT;
out:
	kfree(c);
	return err;
}

static long vs_ioctl_accept(struct vs_file *f, void __user *arg)
{
	struct vs_command *c = kzalloc(sizeof(*c), GFP_KERNEL);
	struct vsignal_accept accept;
	int err = -EFAULT;

	if (!c)
		return -ENOMEM;
	if (!copy_from_user(&accept, arg, sizeof(accept))) {
		/* A CPU that has not started has no handler for it. */
		err = -ENXIO;
		if (accept.classes & (1u << VIRTIO_SIGNAL_CLASS_NMI) &&
		    (accept.target >= nr_cpu_ids || !cpu_online(accept.target)))
			goto out;
		c->cmd.command = cpu_to_le16(VIRTIO_SIGNAL_CTRL_ACCEPT);
		c->cmd.arg = (__force u16)cpu_to_le16(accept.target);
		c->cmd.value = (__force u32)cpu_to_le32(accept.classes);
		err = vs_ctrl(f->vs, &c->cmd, &c->reply, sizeof(c->reply));
		if (!err && c->reply.status)
			err = -EINVAL;
	}
out:
	kfree(c);
	return err;
}

static long vs_file_ioctl(struct file *file, unsigned int cmd,
			  unsigned long argument)
{
	struct vs_file *f = file->private_data;
	void __user *arg = (void __user *)argument;

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
		if (!virtio_has_feature(f->vs->vdev, VIRTIO_SIGNAL_F_POLL))
			return -EOPNOTSUPP;
		return get_user(f->poll_ns, (u32 __user *)arg);
	case VSIGNAL_FILTER:
		return get_user(f->filter, (u32 __user *)arg);
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
};

int vs_chardev_create(struct virtio_signal *vs)
{
	int err;

	vs->id = ida_alloc(&vs_ida, GFP_KERNEL);
	if (vs->id < 0)
		return vs->id;
	vs->misc.minor = MISC_DYNAMIC_MINOR;
	vs->misc.name = kasprintf(GFP_KERNEL, "vsignal%d", vs->id);
	vs->misc.fops = &vs_file_ops;
	vs->misc.mode = 0600;
	vs->misc.parent = &vs->vdev->dev;
	err = vs->misc.name ? misc_register(&vs->misc) : -ENOMEM;
	if (err) {
		kfree(vs->misc.name);
		ida_free(&vs_ida, vs->id);
	}
	return err;
}

/* Readers see the end of the file; the last close frees the device. */
void vs_chardev_remove(struct virtio_signal *vs)
{
	struct virtio_signal_client *client;

	misc_deregister(&vs->misc);
	WRITE_ONCE(vs->dead, true);
	read_lock_irq(&vs->clients_lock);
	list_for_each_entry(client, &vs->clients, list)
		if (client->event == vs_file_event)
			wake_up_interruptible(&container_of(client,
					struct vs_file, client)->wait);
	read_unlock_irq(&vs->clients_lock);
	kfree(vs->misc.name);
	ida_free(&vs_ida, vs->id);
}
