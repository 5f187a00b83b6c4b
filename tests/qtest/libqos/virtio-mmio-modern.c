/*
 * libqos: virtio-mmio without its legacy registers, and machines that have it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * libqos's virtio-mmio tells the device of a queue by page number, which a
 * device of version 2 does not have. All else is as it is there.
 */

#include "qemu/osdep.h"
#include "../libqtest.h"
#include "qemu/module.h"
#include "qemu/units.h"
#include "malloc-pc.h"
#include "virtio-mmio-modern.h"

#define MICROVM_MMIO_BASE 0xfeb00000
#define VIRT_MMIO_BASE 0x0a000000
#define VIRT_RAM_BASE 0x40000000
#define VIRT_RAM_SIZE (64 * MiB)
#define GUEST_PAGE_SIZE 4096

/*
 * "virt" by its other name: upstream's node of the first one has PCI only, and
 * its virtio-mmio, where it does, is the legacy one.
 */
#define MACHINE_MICROVM "x86_64/microvm"
#define MACHINE_VIRT "aarch64/virt-10.0"

/* Registers of version 2 (virtio 1.3, section 4.2.2) */
#define MMIO_QUEUE_READY    0x044
#define MMIO_QUEUE_DESC     0x080
#define MMIO_QUEUE_DRIVER   0x090
#define MMIO_QUEUE_DEVICE   0x0a0

typedef struct QModernMachine {
    QOSGraphObject obj;
    QGuestAllocator alloc;
    QVirtioMMIODevice mmio;
} QModernMachine;

static QVirtioBus modern_bus;

static void modern_queue_select(QVirtioDevice *d, uint16_t index)
{
    QVirtioMMIODevice *dev = container_of(d, QVirtioMMIODevice, vdev);

    qtest_writel(dev->qts, dev->addr + QVIRTIO_MMIO_QUEUE_SEL, index);
}

static void modern_set_address(QVirtioMMIODevice *dev, unsigned reg,
                               uint64_t addr)
{
    qtest_writel(dev->qts, dev->addr + reg, addr);
    qtest_writel(dev->qts, dev->addr + reg + 4, addr >> 32);
}

static void modern_set_queue_address(QVirtioDevice *d, QVirtQueue *vq)
{
    QVirtioMMIODevice *dev = container_of(d, QVirtioMMIODevice, vdev);

    modern_set_address(dev, MMIO_QUEUE_DESC, vq->desc);
    modern_set_address(dev, MMIO_QUEUE_DRIVER, vq->avail);
    modern_set_address(dev, MMIO_QUEUE_DEVICE, vq->used);
    qtest_writel(dev->qts, dev->addr + MMIO_QUEUE_READY, 1);
}

static QVirtQueue *modern_virtqueue_setup(QVirtioDevice *d,
                                          QGuestAllocator *alloc,
                                          uint16_t index)
{
    QVirtioMMIODevice *dev = container_of(d, QVirtioMMIODevice, vdev);
    QVirtQueue *vq = g_new0(QVirtQueue, 1);

    modern_queue_select(d, index);
    g_assert_cmpuint(qtest_readl(dev->qts, dev->addr + MMIO_QUEUE_READY), ==,
                     0);
    *vq = (QVirtQueue) {
        .vdev = d,
        .index = index,
        .size = d->bus->get_queue_size(d),
        .align = dev->page_size,
        .indirect = d->features & (1ull << VIRTIO_RING_F_INDIRECT_DESC),
        .event = d->features & (1ull << VIRTIO_RING_F_EVENT_IDX),
    };
    vq->num_free = vq->size;
    g_assert_cmpuint(vq->size, !=, 0);
    qtest_writel(dev->qts, dev->addr + QVIRTIO_MMIO_QUEUE_NUM, vq->size);
    qvring_init(dev->qts, alloc, vq,
                guest_alloc(alloc, qvring_size(vq->size, vq->align)));
    modern_set_queue_address(d, vq);
    return vq;
}

static void *machine_get_driver(void *object, const char *interface)
{
    QModernMachine *machine = object;

    g_assert_cmpstr(interface, ==, "memory");
    return &machine->alloc;
}

static QOSGraphObject *machine_get_device(void *object, const char *device)
{
    QModernMachine *machine = object;

    g_assert_cmpstr(device, ==, QVIRTIO_MMIO_MODERN);
    return &machine->mmio.obj;
}

static void machine_destructor(QOSGraphObject *obj)
{
    alloc_destroy(&((QModernMachine *)obj)->alloc);
}

static void *modern_get_driver(void *object, const char *interface)
{
    QVirtioMMIODevice *dev = object;

    g_assert_cmpstr(interface, ==, QVIRTIO_MMIO_MODERN_BUS);
    return &dev->vdev;
}

/* The caller sets up the allocator. */
static QModernMachine *machine_create(QTestState *qts, uint64_t mmio_base)
{
    QModernMachine *machine = g_new0(QModernMachine, 1);

    qvirtio_mmio_init_device(&machine->mmio, qts, mmio_base, GUEST_PAGE_SIZE);
    g_assert_cmpuint(machine->mmio.version, ==, 2);
    machine->mmio.vdev.bus = &modern_bus;
    machine->mmio.obj.get_driver = modern_get_driver;
    machine->obj.get_device = machine_get_device;
    machine->obj.get_driver = machine_get_driver;
    machine->obj.destructor = machine_destructor;
    return machine;
}

static void *microvm_create(QTestState *qts)
{
    QModernMachine *machine = machine_create(qts, MICROVM_MMIO_BASE);

    pc_alloc_init(&machine->alloc, qts, ALLOC_NO_FLAGS);
    return machine;
}

static void *virt_create(QTestState *qts)
{
    QModernMachine *machine = machine_create(qts, VIRT_MMIO_BASE);

    alloc_init(&machine->alloc, ALLOC_NO_FLAGS, VIRT_RAM_BASE,
               VIRT_RAM_BASE + VIRT_RAM_SIZE, GUEST_PAGE_SIZE);
    return machine;
}

static void virtio_mmio_modern_register_nodes(void)
{
    modern_bus = qvirtio_mmio;
    modern_bus.queue_select = modern_queue_select;
    modern_bus.set_queue_address = modern_set_queue_address;
    modern_bus.virtqueue_setup = modern_virtqueue_setup;

    qos_node_create_machine(MACHINE_MICROVM, microvm_create);
    qos_node_create_machine_args(MACHINE_VIRT, virt_create, " -cpu max");
    qos_node_create_driver_named(QVIRTIO_MMIO_MODERN, "virtio-mmio", NULL);
    qos_node_produces(QVIRTIO_MMIO_MODERN, QVIRTIO_MMIO_MODERN_BUS);
    qos_node_contains(MACHINE_MICROVM, QVIRTIO_MMIO_MODERN, NULL);
    qos_node_contains(MACHINE_VIRT, QVIRTIO_MMIO_MODERN, NULL);
}

libqos_init(virtio_mmio_modern_register_nodes);
