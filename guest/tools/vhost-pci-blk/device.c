/*
 * vhost-pci-blk: vhost-user over a vhost-pci device, in a VM
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A driver in user space: registers and memory window are mapped from sysfs,
 * the two message queues lie in a huge page, whose address the kernel tells.
 * Rings and messages are polled.
 */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "vring-driver.h"
#include "backend.h"

#define HUGE_PAGE (2u << 20)
#define QUEUE_SIZE 16
#define MSG_BYTES VIRTIO_VHOST_PCI_MSG_MAX
#define HDR sizeof(struct vhost_pci_msg_hdr)

/* Empty rounds before the CPU is given away for a moment */
#define SPIN_ROUNDS 2000
#define NAP_US 100
/* Rounds between two looks at the configuration space, which are slow */
#define LOOK_ROUNDS 256

/* struct virtio_pci_common_cfg */
enum {
    C_DFSELECT = 0, C_DF = 4, C_GFSELECT = 8, C_GF = 12, C_STATUS = 20,
    C_QSELECT = 22, C_QSIZE = 24, C_QENABLE = 28, C_QNOTIFY = 30,
    C_QDESC = 32, C_QDRIVER = 40, C_QDEVICE = 48,
};

enum { CFG_COMMON = 1, CFG_NOTIFY = 2, CFG_DEVICE = 4, CFG_KINDS = 8 };

#define F_VERSION_1 32

struct queue {
    VdrvQueue vq;
    VdrvSlot slots[QUEUE_SIZE];
    uint8_t *doorbell;
};

static struct device {
    struct backend backend;
    char dir[64];
    uint8_t *bar[6];
    uint64_t bar_size[6];
    uint8_t *cap[CFG_KINDS];
    uint32_t notify_step;
    uint8_t *dma;
    uint64_t dma_addr;
    struct queue rx;
    struct queue tx;
    uint32_t generation;
    uint32_t doorbells;
} dev;

static uint8_t *rx_buffer(unsigned i)
{
    return dev.dma + 0x10000 + i * MSG_BYTES;
}

static uint64_t address(const void *host)
{
    return dev.dma_addr + ((const uint8_t *)host - dev.dma);
}

static int open_in(const char *name, int flags)
{
    char path[256];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", dev.dir, name);
    fd = open(path, flags | O_CLOEXEC);
    if (fd < 0) {
        complain("%s: %s", path, strerror(errno));
    }
    return fd;
}

static bool put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool good = fd >= 0 && write(fd, text, strlen(text)) ==
                (ssize_t)strlen(text);

    if (fd >= 0) {
        close(fd);
    }
    return good;
}

/* Give the device to uio_pci_generic, which leaves it alone. */
static bool bind_device(const char *addr)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/driver_override", dev.dir);
    if (!put(path, "uio_pci_generic")) {
        complain("%s: %s", path, strerror(errno));
        return false;
    }
    snprintf(path, sizeof(path), "%s/driver/unbind", dev.dir);
    put(path, addr);            /* it may have no driver */
    put("/sys/bus/pci/drivers_probe", addr);
    snprintf(path, sizeof(path), "%s/driver/module", dev.dir);
    if (access(path, F_OK)) {
        complain("uio_pci_generic does not take %s; load it with: modprobe "
                 "uio_pci_generic", addr);
        return false;
    }
    return true;
}

static bool map_bar(unsigned bar)
{
    char name[16];
    struct stat st;
    void *at;
    int fd;

    if (bar >= 6) {
        return false;
    }
    if (dev.bar[bar]) {
        return true;
    }
    snprintf(name, sizeof(name), "resource%u", bar);
    fd = open_in(name, O_RDWR);
    if (fd < 0 || fstat(fd, &st)) {
        return false;
    }
    at = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED) {
        complain("cannot map %s: %s", name, strerror(errno));
        return false;
    }
    dev.bar[bar] = at;
    dev.bar_size[bar] = st.st_size;
    return true;
}

static bool find_registers(void)
{
    uint8_t config[256];
    uint32_t word, size;
    int fd = open_in("config", O_RDWR);
    unsigned steps = 0;

    if (fd < 0 || pread(fd, config, sizeof(config), 0) != sizeof(config)) {
        complain("cannot read the device's configuration");
        return false;
    }
    /* Memory accesses, and DMA for the message queues */
    config[4] |= 6;
    if (pwrite(fd, config + 4, 2, 4) != 2) {
        return false;
    }
    close(fd);
    for (unsigned at = config[0x34]; at >= 0x40 && at < 0xf0 && steps < 48;
         at = config[at + 1], steps++) {
        uint8_t kind = config[at + 3], bar = config[at + 4];

        if (config[at] != 9 || kind >= CFG_KINDS || dev.cap[kind] ||
            kind == 5) {
            continue;
        }
        memcpy(&word, config + at + 8, 4);
        memcpy(&size, config + at + 12, 4);
        if (!map_bar(bar) || word + (uint64_t)size > dev.bar_size[bar]) {
            return false;
        }
        dev.cap[kind] = dev.bar[bar] + word;
        if (kind == CFG_NOTIFY) {
            memcpy(&dev.notify_step, config + at + 16, 4);
        } else if (kind == VIRTIO_VHOST_PCI_CAP_DOORBELL) {
            dev.doorbells = size / VIRTIO_VHOST_PCI_DOORBELL_STEP / 2;
        }
    }
    if (!dev.cap[CFG_COMMON] || !dev.cap[CFG_NOTIFY] ||
        !dev.cap[CFG_DEVICE] || !dev.cap[VIRTIO_VHOST_PCI_CAP_DOORBELL] ||
        !map_bar(2)) {
        complain("this is not a vhost-pci device");
        return false;
    }
    return true;
}

/* A huge page stays where it is in memory. */
static bool allocate_dma(void)
{
    uint64_t entry, page = sysconf(_SC_PAGE_SIZE);
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE;
    void *at = mmap(NULL, HUGE_PAGE, PROT_READ | PROT_WRITE, flags, -1, 0);

    if (at == MAP_FAILED && put("/proc/sys/vm/nr_hugepages", "1")) {
        at = mmap(NULL, HUGE_PAGE, PROT_READ | PROT_WRITE, flags, -1, 0);
    }
    if (at == MAP_FAILED) {
        complain("no huge page: %s; set vm.nr_hugepages", strerror(errno));
        return false;
    }
    memset(at, 0, HUGE_PAGE);
    if (fd < 0 || pread(fd, &entry, sizeof(entry),
                        (uintptr_t)at / page * sizeof(entry)) !=
        sizeof(entry) || !(entry & ((1ull << 55) - 1))) {
        complain("cannot learn the address of memory; run as root");
        return false;
    }
    close(fd);
    dev.dma = at;
    dev.dma_addr = (entry & ((1ull << 55) - 1)) * page;
    return true;
}

/* -- registers; atomic accesses are done once each, as written */

static uint32_t get32(unsigned kind, unsigned at)
{
    return __atomic_load_n((uint32_t *)(dev.cap[kind] + at),
                           __ATOMIC_ACQUIRE);
}

static void store16(uint8_t *at, uint16_t v)
{
    /* After all stores to memory that the device is told of */
    __atomic_store_n((uint16_t *)at, v, __ATOMIC_RELEASE);
}

static uint8_t get_status(void)
{
    return __atomic_load_n(dev.cap[CFG_COMMON] + C_STATUS, __ATOMIC_ACQUIRE);
}

static void put8(unsigned at, uint8_t v)
{
    __atomic_store_n(dev.cap[CFG_COMMON] + at, v, __ATOMIC_RELEASE);
}

static void put16(unsigned at, uint16_t v)
{
    store16(dev.cap[CFG_COMMON] + at, v);
}

static void put32(unsigned at, uint32_t v)
{
    __atomic_store_n((uint32_t *)(dev.cap[CFG_COMMON] + at), v,
                     __ATOMIC_RELEASE);
}

static void put64(unsigned at, uint64_t v)
{
    put32(at, v);
    put32(at + 4, v >> 32);
}

static void start_queue(struct queue *q, unsigned index)
{
    VdrvLayout l = vdrv_layout(dev.dma_addr + index * 0x4000, QUEUE_SIZE,
                               false, 64);
    const VdrvConfig config = {
        .mem = vdrv_direct_mem(dev.dma, dev.dma_addr), .slots = q->slots,
        .desc = l.desc, .driver = l.driver, .device = l.device,
        .features = 1ull << F_VERSION_1, .num = QUEUE_SIZE, .index = index,
    };

    vdrv_init(&vdrv_mem_direct, &q->vq, &config);
    vdrv_disable_cb(&vdrv_mem_direct, &q->vq);
    put16(C_QSELECT, index);
    put16(C_QSIZE, QUEUE_SIZE);
    put64(C_QDESC, l.desc);
    put64(C_QDRIVER, l.driver);
    put64(C_QDEVICE, l.device);
    put16(C_QENABLE, 1);
    q->doorbell = dev.cap[CFG_NOTIFY] + dev.notify_step *
        __atomic_load_n((uint16_t *)(dev.cap[CFG_COMMON] + C_QNOTIFY),
                        __ATOMIC_RELAXED);
}

static void kick(struct queue *q)
{
    vdrv_publish(&vdrv_mem_direct, &q->vq);
    if (vdrv_kick_needed(&vdrv_mem_direct, &q->vq)) {
        store16(q->doorbell, q->vq.index);
    }
}

static void offer(unsigned i)
{
    const VdrvSeg seg = { address(rx_buffer(i)), MSG_BYTES };
    const VdrvBuf buf = { .seg = &seg, .in = 1, .token = rx_buffer(i) };

    vdrv_add(&vdrv_mem_direct, &dev.rx.vq, &buf);
}

static bool start_device(void)
{
    put8(C_STATUS, 0);
    while (get_status()) {
        continue;               /* 4.1.4.3.2 */
    }
    put8(C_STATUS, 1);
    put8(C_STATUS, 3);
    put32(C_GFSELECT, 0);
    put32(C_GF, 1u << VIRTIO_VHOST_PCI_F_REGION_OFFSET);
    put32(C_GFSELECT, 1);
    put32(C_GF, 1u << (F_VERSION_1 - 32));
    put8(C_STATUS, 11);
    if (!(get_status() & 8)) {
        complain("the device does not offer what is needed");
        return false;
    }
    start_queue(&dev.rx, VIRTIO_VHOST_PCI_RXQ);
    start_queue(&dev.tx, VIRTIO_VHOST_PCI_TXQ);
    put8(C_STATUS, 15);
    for (unsigned i = 0; i < QUEUE_SIZE; i++) {
        offer(i);
    }
    kick(&dev.rx);
    return true;
}

/* -- transport */

static void reply(void *opaque, const struct message *msg)
{
    uint8_t *at = dev.dma + 0x20000;
    const VdrvSeg seg = { address(at), HDR + msg->hdr.size };
    const VdrvBuf buf = { .seg = &seg, .out = 1, .token = at };
    VdrvUsed used;

    (void)opaque;
    memcpy(at, msg, HDR + msg->hdr.size);
    vdrv_add(&vdrv_mem_direct, &dev.tx.vq, &buf);
    kick(&dev.tx);
    /* The device takes a message at once; the buffer is used again. */
    while (!vdrv_get(&vdrv_mem_direct, &dev.tx.vq, &used)) {
        continue;
    }
}

static void table(void *opaque, const struct vhost_pci_mem_table *table,
                  uint8_t *hosts[VHOST_PCI_TABLE_MAX])
{
    (void)opaque;
    for (unsigned i = 0; i < table->nregions; i++) {
        const struct vhost_pci_region *r = &table->regions[i];

        if (r->mmap_offset <= dev.bar_size[2] &&
            r->memory_size <= dev.bar_size[2] - r->mmap_offset) {
            hosts[i] = dev.bar[2] + r->mmap_offset;
        }
    }
}

static void call(void *opaque, unsigned ring)
{
    (void)opaque;
    if (ring < dev.doorbells) {
        store16(dev.cap[VIRTIO_VHOST_PCI_CAP_DOORBELL] +
                ring * VIRTIO_VHOST_PCI_DOORBELL_STEP, ring);
    }
}

static uint32_t status(void)
{
    return get32(CFG_DEVICE, offsetof(struct virtio_vhost_pci_config, status));
}

static void set_status(uint32_t v)
{
    __atomic_store_n((uint32_t *)(dev.cap[CFG_DEVICE] +
        offsetof(struct virtio_vhost_pci_config, status)), v,
        __ATOMIC_RELEASE);
}

/* Take all messages; those of a connection that is gone only to drop them */
static bool receive(bool drop)
{
    VdrvUsed used;
    bool any = false;

    while (vdrv_get(&vdrv_mem_direct, &dev.rx.vq, &used) == 1) {
        struct message msg = { 0 };
        unsigned i = ((uint8_t *)used.token - rx_buffer(0)) / MSG_BYTES;

        memcpy(&msg, used.token, used.len);
        offer(i);
        kick(&dev.rx);
        any = true;
        if (!drop && (used.len < HDR || msg.hdr.size != used.len - HDR ||
                      !backend_message(&dev.backend, &msg))) {
            complain("message %u is not acceptable", msg.hdr.request);
            set_status(0);
        }
    }
    return any;
}

/* The connection has ended, or there never was one: be ready for the next. */
static void settle(void)
{
    uint32_t generation = get32(CFG_DEVICE,
        offsetof(struct virtio_vhost_pci_config, generation));

    if (dev.backend.requests) {
        printf("frontend gone after %llu requests\n",
               (unsigned long long)dev.backend.requests);
    }
    receive(true);
    backend_reset(&dev.backend);
    dev.backend.requests = 0;
    dev.generation = generation;
    set_status(VIRTIO_VHOST_PCI_S_BACKEND_UP);
}

/* The device changes this once the window is empty, before anybody looks. */
static bool alive(void *opaque)
{
    return get32(CFG_DEVICE, offsetof(struct virtio_vhost_pci_config,
                                      generation)) == dev.generation;
}

int serve_device(const char *addr)
{
    const struct transport transport = { reply, table, call, alive, NULL };
    unsigned idle = 0;

    snprintf(dev.dir, sizeof(dev.dir), "/sys/bus/pci/devices/%s", addr);
    dev.backend.transport = &transport;
    dev.backend.polling = true;
    if (!bind_device(addr) || !find_registers() || !allocate_dma() ||
        !start_device()) {
        return 1;
    }
    settle();
    printf("waiting at %s\n", addr);
    for (unsigned round = 0;; round++) {
        if (receive(false) | backend_serve(&dev.backend)) {
            idle = 0;
        } else if (++idle > SPIN_ROUNDS) {
            usleep(NAP_US);
        }
        if ((idle > SPIN_ROUNDS || round % LOOK_ROUNDS == 0) &&
            !(status() & VIRTIO_VHOST_PCI_S_BACKEND_UP)) {
            settle();
        }
    }
}
