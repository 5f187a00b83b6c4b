/*
 * Fuzz target of virtio-iommu, with a disk behind it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The input is a sequence of actions: requests to the IOMMU, good ones and ones
 * of any bytes and sizes, requests to the disk at addresses that are mapped or
 * not, resets of either, and writes to the IOMMU's configuration. All domains
 * and mappings are gone before the next input. Run it with
 *
 *   qemu-fuzz-x86_64 --fuzz-target=virtio-iommu-fuzz
 *
 * from a build configured with --enable-fuzzing and clang; see
 * docs/devel/testing/fuzzing.rst.
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"

#include "fuzz.h"
#include "standard-headers/linux/virtio_blk.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_iommu.h"
#include "standard-headers/linux/virtio_ring.h"
#include "tests/qtest/libqos/libqos.h"
#include "tests/qtest/libqos/malloc-pc.h"
#include "tests/qtest/libqos/pci-pc.h"
#include "tests/qtest/libqos/virtio-pci.h"
#include "tests/qtest/libqtest.h"

#define PAGE            4096u
#define WINDOW_PAGES    16u
#define AREA            0x40000000ull   /* IOVAs that come and go */
#define RAM             (64ull << 20)
#define DOMAINS         4u
#define IOMMU_SLOT      3
#define DISK_SLOT       4

typedef enum ActionKind {
    ASK,                /* a request of the right form */
    ASK_BYTES,          /* any bytes, any sizes */
    DISK_IO,
    RESET_DISK,
    RESET_IOMMU,
    SET_BYPASS,
    RUN,                /* let the main loop work */
    NUM_KINDS,
} ActionKind;

typedef struct QEMU_PACKED Action {
    uint8_t kind;
    uint8_t type;
    uint8_t domain;
    uint8_t flags;
    uint8_t page;       /* of IOVAs */
    uint8_t pages;
    uint8_t phys;       /* page of the window */
    uint8_t odd;        /* bits: what is not as it should be */
} Action;

#define ODD_ENDPOINT    0x01
#define ODD_START       0x02
#define ODD_END         0x04
#define ODD_PHYS        0x08
#define ODD_RESERVED    0x10
#define ODD_SIZE        0x20
#define ODD_REPLY       0x40

typedef struct Part {
    uint64_t addr;
    uint32_t len;
    bool write;
} Part;

typedef struct Side {
    QVirtioPCIDevice *pci;
    QVirtQueue *vq;
    unsigned posted;
} Side;

typedef struct Fuzz {
    QTestState *qts;
    QGuestAllocator alloc;
    QPCIBus *bus;
    Side iommu, disk;
    uint64_t window;    /* WINDOW_PAGES of memory, then requests and replies */
    uint64_t request, reply;
} Fuzz;

static Fuzz the_fuzz;

static Side side_find(Fuzz *f, unsigned slot)
{
    QPCIAddress at = { .devfn = QPCI_DEVFN(slot, 0) };
    Side side = { .pci = virtio_pci_new(f->bus, &at) };

    g_assert_nonnull(side.pci);
    qvirtio_pci_device_enable(side.pci);
    return side;
}

static void side_start(Fuzz *f, Side *side)
{
    QVirtioDevice *vdev = &side->pci->vdev;

    qvirtio_start_device(vdev);
    qvirtio_set_features(vdev, qvirtio_get_features(vdev) &
                               ~(QVIRTIO_F_BAD_FEATURE |
                                 1ull << VIRTIO_RING_F_EVENT_IDX));
    side->vq = qvirtqueue_setup(vdev, &f->alloc, 0);
    side->posted = 0;
    qvirtio_set_driver_ok(vdev);
}

static void side_stop(Fuzz *f, Side *side)
{
    qvirtio_reset(&side->pci->vdev);
    qvirtqueue_cleanup(side->vq->vdev->bus, side->vq, &f->alloc);
}

static void side_restart(Fuzz *f, Side *side)
{
    side_stop(f, side);
    side_start(f, side);
}

/* Nobody waits for the answer; places are used again in turn. */
static void post(Fuzz *f, Side *side, const Part *parts, unsigned num)
{
    QVirtQueue *vq = side->vq;
    unsigned first = side->posted * 4 % vq->size;

    for (unsigned i = 0; i < num; i++) {
        uint64_t desc = vq->desc + 16 * (first + i);

        qtest_writeq(f->qts, desc, parts[i].addr);
        qtest_writel(f->qts, desc + 8, parts[i].len);
        qtest_writew(f->qts, desc + 12,
                     (parts[i].write ? VRING_DESC_F_WRITE : 0) |
                     (i + 1 < num ? VRING_DESC_F_NEXT : 0));
        qtest_writew(f->qts, desc + 14, first + i + 1);
    }
    qtest_writew(f->qts, vq->avail + 4 + 2 * (side->posted % vq->size), first);
    side->posted++;
    qtest_writew(f->qts, vq->avail + 2, side->posted);
    vq->vdev->bus->virtqueue_kick(vq->vdev, vq);
}

static void ask(Fuzz *f, const void *req, uint32_t len, uint32_t reply_len)
{
    Part parts[] = {
        { f->request, len, false }, { f->reply, reply_len, true },
    };

    qtest_memwrite(f->qts, f->request, req, len);
    post(f, &f->iommu, parts + !len, !!len + !!reply_len);
}

static void ask_simple(Fuzz *f, uint8_t type, uint32_t domain)
{
    struct virtio_iommu_req_detach req = {
        .head.type = type,
        .domain = cpu_to_le32(domain),
        .endpoint = cpu_to_le32(QPCI_DEVFN(DISK_SLOT, 0)),
    };

    ask(f, &req, offsetof(typeof(req), tail), sizeof(req.tail));
}

static void ask_map(Fuzz *f, uint32_t domain, uint64_t first, uint64_t last,
                    uint64_t phys, uint32_t flags)
{
    struct virtio_iommu_req_map req = {
        .head.type = VIRTIO_IOMMU_T_MAP,
        .domain = cpu_to_le32(domain),
        .virt_start = cpu_to_le64(first),
        .virt_end = cpu_to_le64(last),
        .phys_start = cpu_to_le64(phys),
        .flags = cpu_to_le32(flags),
    };

    ask(f, &req, offsetof(typeof(req), tail), sizeof(req.tail));
}

static void fuzz_ask(Fuzz *f, const Action *a)
{
    union {
        struct virtio_iommu_req_attach attach;
        struct virtio_iommu_req_detach detach;
        struct virtio_iommu_req_map map;
        struct virtio_iommu_req_unmap unmap;
        struct virtio_iommu_req_probe probe;
    } req = { .map = { .head.type = a->type % 7 } };
    uint64_t first = AREA + (a->page % 64) * PAGE + !!(a->odd & ODD_START);
    uint64_t last = a->odd & ODD_END ? (int8_t)a->pages * (int64_t)PAGE :
                    first + (a->pages % 32 + 1) * PAGE - 1;
    uint64_t phys = a->odd & ODD_PHYS ? -(uint64_t)a->phys * PAGE / 2 :
                    f->window + a->phys % WINDOW_PAGES * PAGE;
    uint32_t domain = cpu_to_le32(a->domain % DOMAINS);
    uint32_t endpoint = cpu_to_le32(a->odd & ODD_ENDPOINT ? a->page :
                                    QPCI_DEVFN(DISK_SLOT, 0));
    uint32_t len = sizeof(req), reply = sizeof(struct virtio_iommu_req_tail);

    switch (a->type % 7) {
    case VIRTIO_IOMMU_T_ATTACH:
        req.attach.domain = domain;
        req.attach.endpoint = endpoint;
        req.attach.flags = cpu_to_le32(a->flags & 3);
        req.attach.reserved[0] = !!(a->odd & ODD_RESERVED);
        len = offsetof(typeof(req.attach), tail);
        break;
    case VIRTIO_IOMMU_T_DETACH:
        req.detach.domain = domain;
        req.detach.endpoint = endpoint;
        req.detach.reserved[0] = !!(a->odd & ODD_RESERVED);
        len = offsetof(typeof(req.detach), tail);
        break;
    case VIRTIO_IOMMU_T_MAP:
        req.map.domain = domain;
        req.map.virt_start = cpu_to_le64(first);
        req.map.virt_end = cpu_to_le64(last);
        req.map.phys_start = cpu_to_le64(phys);
        req.map.flags = cpu_to_le32(a->flags);
        len = offsetof(typeof(req.map), tail);
        break;
    case VIRTIO_IOMMU_T_UNMAP:
        req.unmap.domain = domain;
        req.unmap.virt_start = cpu_to_le64(a->flags & 1 ? 0 : first);
        req.unmap.virt_end = cpu_to_le64(a->flags & 2 ? UINT64_MAX : last);
        len = offsetof(typeof(req.unmap), tail);
        break;
    case VIRTIO_IOMMU_T_PROBE:
        req.probe.endpoint = endpoint;
        len = offsetof(typeof(req.probe), properties);
        reply += 512;
        break;
    }
    if (a->odd & ODD_SIZE) {
        len = a->phys % (sizeof(req) + 1);
    }
    if (a->odd & ODD_REPLY) {
        reply = a->pages * 8;
    }
    ask(f, &req, len, reply);
}

/* Data is at an IOVA that comes and goes, header and status sometimes. */
static void fuzz_disk(Fuzz *f, const Action *a)
{
    uint64_t own = f->window + WINDOW_PAGES * PAGE;
    uint64_t area = AREA + (a->page % 64) * PAGE;
    struct virtio_blk_outhdr hdr = {
        .type = cpu_to_le32(a->type & 1 ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN),
    };
    Part parts[] = {
        { a->odd & 1 ? area : own, sizeof(hdr), false },
        { area + (a->odd & 2 ? a->phys : 0), (a->pages % 16 + 1) * 512u,
          !(a->type & 1) },
        { a->odd & 4 ? area + PAGE - 1 : own + 64, 1, true },
    };

    qtest_memwrite(f->qts, own, &hdr, sizeof(hdr));
    post(f, &f->disk, parts, ARRAY_SIZE(parts));
}

/* Returns how many bytes of @data it has used up */
static unsigned fuzz_action(Fuzz *f, const Action *a, const uint8_t *data,
                            unsigned left)
{
    unsigned len = 0;

    switch (a->kind % NUM_KINDS) {
    case ASK:
        fuzz_ask(f, a);
        break;
    case ASK_BYTES:
        len = MIN(a->pages, left);
        ask(f, data, len, a->phys * 4);
        break;
    case DISK_IO:
        fuzz_disk(f, a);
        break;
    case RESET_DISK:
        side_restart(f, &f->disk);
        break;
    case RESET_IOMMU:
        side_restart(f, &f->iommu);
        break;
    case SET_BYPASS:
        qpci_io_writeb(f->iommu.pci->pdev, f->iommu.pci->bar,
                       f->iommu.pci->device_cfg_offset +
                       offsetof(struct virtio_iommu_config, bypass), a->flags);
        break;
    case RUN:
        flush_events(f->qts);
        break;
    }
    return len;
}

static void fuzz_start(Fuzz *f)
{
    side_start(f, &f->iommu);
    side_start(f, &f->disk);
    ask_simple(f, VIRTIO_IOMMU_T_ATTACH, 1);
    ask_map(f, 1, 0, RAM - 1, 0,
            VIRTIO_IOMMU_MAP_F_READ | VIRTIO_IOMMU_MAP_F_WRITE);
}

/* A domain goes with its last endpoint, and its mappings with it. */
static void fuzz_end(Fuzz *f)
{
    flush_events(f->qts);
    side_stop(f, &f->disk);
    side_restart(f, &f->iommu);
    for (unsigned i = 0; i < DOMAINS; i++) {
        ask_simple(f, VIRTIO_IOMMU_T_DETACH, i);
    }
    fuzz_action(f, &(Action) { .kind = SET_BYPASS, .flags = 1 }, NULL, 0);
    flush_events(f->qts);
    side_stop(f, &f->iommu);
}

static void virtio_iommu_fuzz(QTestState *qts, const unsigned char *data,
                              size_t size)
{
    Fuzz *f = &the_fuzz;

    fuzz_start(f);
    while (size >= sizeof(Action)) {
        Action a;
        unsigned len;

        memcpy(&a, data, sizeof(a));
        data += sizeof(a);
        size -= sizeof(a);
        len = fuzz_action(f, &a, data, size);
        data += len;
        size -= len;
    }
    fuzz_end(f);
}

static void virtio_iommu_pre_fuzz(QTestState *qts)
{
    Fuzz *f = &the_fuzz;

    f->qts = qts;
    pc_alloc_init(&f->alloc, qts, ALLOC_NO_FLAGS);
    f->bus = qpci_new_pc(qts, &f->alloc);
    f->iommu = side_find(f, IOMMU_SLOT);
    f->disk = side_find(f, DISK_SLOT);
    f->window = guest_alloc(&f->alloc, (WINDOW_PAGES + 1) * PAGE);
    f->request = guest_alloc(&f->alloc, PAGE);
    f->reply = guest_alloc(&f->alloc, PAGE);
}

/* Without ioeventfd the devices work when they are notified. */
static GString *virtio_iommu_cmdline(FuzzTarget *target)
{
    return g_string_new(TARGET_NAME " -machine q35,accel=qtest -m 64 "
                        "-nodefaults -display none "
                        "-device virtio-iommu-pci,addr=03.0 "
                        "-blockdev null-co,node-name=d0,read-zeroes=on "
                        "-device virtio-blk-pci,drive=d0,addr=04.0,"
                        "iommu_platform=on,disable-legacy=on,ioeventfd=off");
}

static void register_virtio_iommu_fuzz_target(void)
{
    fuzz_add_target(&(FuzzTarget) {
        .name = "virtio-iommu-fuzz",
        .description = "Hostile requests to virtio-iommu, a disk behind it",
        .get_init_cmdline = virtio_iommu_cmdline,
        .pre_fuzz = virtio_iommu_pre_fuzz,
        .fuzz = virtio_iommu_fuzz,
    });
}

fuzz_target_init(register_virtio_iommu_fuzz_target);
