/*
 * Fuzz target of virtio-signal: what a peer sends on a link
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The input is what one connection brings. After an odd first byte that is a
 * stream as it comes; else a good HELLO, and then frames: a type, a length and
 * the body from the input, the rest as it must be, so that the input gets past
 * the header. Pieces of what is sent are as the input says, too. A driver has
 * started the device and given it buffers. Run it with
 *
 *   qemu-fuzz-x86_64 --fuzz-target=virtio-signal-link-fuzz
 */

#include "qemu/osdep.h"
#include <sys/un.h>

#include "fuzz.h"
#include "qemu/bswap.h"
#include "qos_fuzz.h"
#include "standard-headers/linux/virtio_signal.h"
#include "tests/qtest/libqos/virtio-signal.h"
#include "tests/qtest/libqtest.h"

#define QUEUES 6
#define BUFFERS 32

static struct sockaddr_un link_address;
static QVirtQueue *queues[QUEUES];

static void link_write(QTestState *qts, int fd, const void *data, size_t len)
{
    /* A closed connection is among what is expected. */
    if (len && send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        return;
    }
    flush_events(qts);
}

static void link_frame(QTestState *qts, int fd, uint16_t type, uint32_t seq,
                       const void *body, size_t len)
{
    struct virtio_signal_link_frame frame = {
        .magic = cpu_to_le32(VIRTIO_SIGNAL_LINK_MAGIC),
        .version = cpu_to_le16(VIRTIO_SIGNAL_LINK_VERSION),
        .type = cpu_to_le16(type),
        .length = cpu_to_le32(len),
        .seq = cpu_to_le32(seq),
    };

    link_write(qts, fd, &frame, sizeof(frame));
    link_write(qts, fd, body, len);
}

static void link_frames(QTestState *qts, int fd, const uint8_t *data,
                        size_t size)
{
    struct virtio_signal_link_hello hello = {
        .version_min = cpu_to_le16(VIRTIO_SIGNAL_LINK_VERSION),
        .version_max = cpu_to_le16(VIRTIO_SIGNAL_LINK_VERSION),
        .node = cpu_to_le16(1),
        .accepts = cpu_to_le32(0x7f),
        .credits = cpu_to_le32(2),
        .num_targets = cpu_to_le16(1),
        .state = cpu_to_le16(VIRTIO_SIGNAL_PEER_READY),
    };
    uint32_t seq = 0;

    link_frame(qts, fd, VIRTIO_SIGNAL_LINK_HELLO, seq++, &hello,
               sizeof(hello));
    while (size >= 2) {
        size_t len = MIN(data[1], size - 2);

        link_frame(qts, fd, data[0] % 9, seq++, data + 2, len);
        data += 2 + len;
        size -= 2 + len;
    }
}

static void link_fuzz(QTestState *qts, const unsigned char *data, size_t size)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_cmpint(connect(fd, (struct sockaddr *)&link_address,
                            sizeof(link_address)), ==, 0);
    flush_events(qts);
    if (size && data[0] & 1) {
        for (size_t at = 1, n; at < size; at += n) {
            n = MIN(size - at, 1u + data[at]);
            link_write(qts, fd, data + at, n);
        }
    } else if (size) {
        link_frames(qts, fd, data + 1, size - 1);
    }
    close(fd);
    flush_events(qts);
    /* A peer that broke a rule is kept waiting, the next one must not be. */
    qtest_clock_step(qts, 4 * 1000000000ll);
}

static void link_pre_fuzz(QTestState *qts)
{
    QVirtioSignalPCI *signal;
    QVirtioDevice *dev;
    QVirtQueue *vq;

    qos_init_path(qts);
    signal = fuzz_qos_obj;
    dev = &signal->pci_vdev.vdev;
    qvirtio_start_device(dev);
    qvirtio_set_features(dev, qvirtio_get_features(dev) &
                              ~QVIRTIO_F_BAD_FEATURE);
    for (unsigned i = 0; i < QUEUES; i++) {
        queues[i] = qvirtqueue_setup(dev, fuzz_qos_alloc, i);
    }
    qvirtio_set_driver_ok(dev);
    /* The last target has some buffers; events of the others wait. */
    vq = queues[QUEUES - 1];
    for (unsigned i = 0; i < BUFFERS; i++) {
        uint64_t at = guest_alloc(fuzz_qos_alloc,
                                  sizeof(struct virtio_signal_event));
        uint32_t token = qvirtqueue_add(qts, vq, at,
                                        sizeof(struct virtio_signal_event),
                                        true, false);

        qvirtqueue_kick(qts, dev, vq, token);
    }
}

static void *link_listen(GString *cmd_line, void *arg)
{
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);

    link_address = (struct sockaddr_un) { .sun_family = AF_UNIX };
    /* An abstract name leaves no file. */
    snprintf(link_address.sun_path + 1, sizeof(link_address.sun_path) - 1,
             "vadis-signal-link-fuzz-%d", getpid());
    g_assert_cmpint(bind(listener, (struct sockaddr *)&link_address,
                         sizeof(link_address)), ==, 0);
    g_assert_cmpint(listen(listener, 8), ==, 0);
    g_string_append_printf(cmd_line, " -object signal-bus,id=bus0"
        " -chardev socket,id=link,fd=%d,server=on,wait=off"
        " -object signal-link,id=link1,signal-bus=bus0,chardev=link,"
        "local-node=0,peer-node=1,credits=3 ", listener);
    return arg;
}

static void register_link_fuzz_target(void)
{
    FuzzTarget target = {
        .name = "virtio-signal-link-fuzz",
        .description = "A hostile peer of a signal-link",
        .pre_fuzz = link_pre_fuzz,
        .fuzz = link_fuzz,
    };
    QOSGraphTestOptions opts = {
        .before = link_listen,
        .edge.extra_device_opts = "signal-bus=bus0,backlog=4",
    };

    fuzz_add_qos_target(&target, QVIRTIO_SIGNAL_PCI, &opts);
}

fuzz_target_init(register_link_fuzz_target);
