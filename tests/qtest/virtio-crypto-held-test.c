/*
 * Tests of virtio-crypto: requests that the backend holds back
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What throttling holds back is finished by a timer or by a change of the
 * limit, outside of any work on a queue, and by then the driver or the VM may
 * have moved on.
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "hw/pci/pci_regs.h"
#include "qemu/bswap.h"
#include "qemu/module.h"
#include "standard-headers/linux/virtio_ring.h"
#include "virtio-crypto-util.h"

/* At a byte per second, one of these keeps the next ones waiting. */
#define HELD_BYTES 1024
#define BIG_BYTES (1024 * 1024 - 64)
#define BIG_COUNT 18            /* one runs, 16 MiB and more are for later */
#define COMMON_STATUS 20        /* of virtio_pci_common_cfg */
#define COMMON_Q_SELECT 22
#define COMMON_Q_MSIX 26

static CryptoMessage *post_aes(CryptoTest *t, uint64_t id)
{
    CryptoMessage *m = g_new0(CryptoMessage, 1);
    g_autofree CryptoOp *op = g_new0(CryptoOp, 1);

    op->opcode = VIRTIO_CRYPTO_CIPHER_ENCRYPT;
    op->session = id;
    op->iv.len = 16;
    op->src.len = op->out_len = HELD_BYTES;
    crypto_build(t, op, m);
    crypto_post(t, t->data[0], m);
    crypto_kick(t, t->data[0], m);
    return m;
}

/* The interrupt of data queue 0 becomes a reset of the device. */
static void aim_at_own_status(CryptoTest *t)
{
    QPCIDevice *pdev = t->pci->pdev;
    uint64_t common = t->pci->common_cfg_offset;
    uint64_t entry;

    qpci_msix_enable(pdev);
    entry = pdev->msix_table_off;
    qpci_io_writel(pdev, pdev->msix_table_bar,
                   entry + PCI_MSIX_ENTRY_LOWER_ADDR,
                   t->pci->bar.addr + common + COMMON_STATUS);
    qpci_io_writel(pdev, pdev->msix_table_bar,
                   entry + PCI_MSIX_ENTRY_UPPER_ADDR, 0);
    qpci_io_writel(pdev, pdev->msix_table_bar,
                   entry + PCI_MSIX_ENTRY_DATA, 0);
    qpci_io_writel(pdev, pdev->msix_table_bar,
                   entry + PCI_MSIX_ENTRY_VECTOR_CTRL, 0);
    qpci_io_writew(pdev, t->pci->bar, common + COMMON_Q_SELECT, 0);
    qpci_io_writew(pdev, t->pci->bar, common + COMMON_Q_MSIX, 0);
    g_assert_cmphex(qpci_io_readw(pdev, t->pci->bar, common + COMMON_Q_MSIX),
                    ==, 0);
}

/*
 * The backend lets go of several requests at once, and the interrupt of the
 * first is a write to the device's own status, which would drop the others
 * under the backend's hands.
 */
static void test_interrupt_is_reset(void *obj, void *data,
                                    QGuestAllocator *alloc)
{
    CryptoMessage *m[4];
    uint64_t id;
    CryptoTest t;

    crypto_start(&t, obj, alloc, 1ull << VIRTIO_RING_F_EVENT_IDX);
    id = crypto_aes_session(&t, VIRTIO_CRYPTO_OP_ENCRYPT);
    crypto_backend_set(&t, "throttle-bps", 1);
    m[0] = post_aes(&t, id);
    crypto_wait(&t, t.data[0], m[0]);
    aim_at_own_status(&t);
    for (unsigned i = 1; i < ARRAY_SIZE(m); i++) {
        m[i] = post_aes(&t, id);
    }
    crypto_backend_set(&t, "throttle-bps", 0);
    for (unsigned i = 1; i < ARRAY_SIZE(m); i++) {
        crypto_wait(&t, t.data[0], m[i]);
        g_assert_cmpuint(m[i]->in.data[HELD_BYTES], ==, VIRTIO_CRYPTO_OK);
    }
    qpci_msix_disable(t.pci->pdev);
    crypto_restart(&t);
    id = crypto_aes_session(&t, VIRTIO_CRYPTO_OP_ENCRYPT);
    crypto_aes_check(&t, 0, id);
    for (unsigned i = 0; i < ARRAY_SIZE(m); i++) {
        g_free(m[i]);
    }
    crypto_end(&t);
}

/* While the VM is stopped nothing is written to its memory. */
static void test_stopped(void *obj, void *data, QGuestAllocator *alloc)
{
    CryptoMessage *m[2];
    uint64_t id;
    CryptoTest t;

    crypto_start(&t, obj, alloc, 0);
    id = crypto_aes_session(&t, VIRTIO_CRYPTO_OP_ENCRYPT);
    crypto_backend_set(&t, "throttle-bps", 1);
    m[0] = post_aes(&t, id);
    crypto_wait(&t, t.data[0], m[0]);
    m[1] = post_aes(&t, id);
    qtest_qmp_assert_success(t.qts, "{ 'execute': 'stop' }");
    crypto_backend_set(&t, "throttle-bps", 0);
    g_assert_false(crypto_has_used(&t, t.data[0]));
    g_assert_cmphex(qtest_readb(t.qts, m[1]->in_at), ==, CRYPTO_UNTOUCHED);
    qtest_qmp_assert_success(t.qts, "{ 'execute': 'cont' }");
    crypto_wait(&t, t.data[0], m[1]);
    g_assert_cmpuint(m[1]->in.data[HELD_BYTES], ==, VIRTIO_CRYPTO_OK);
    g_free(m[0]);
    g_free(m[1]);
    crypto_end(&t);
}

/* A hash request of BIG_BYTES at @at, which all of them share */
static void post_big(CryptoTest *t, uint64_t id, uint64_t at)
{
    g_autofree CryptoOp *op = g_new0(CryptoOp, 1);
    g_autofree CryptoMessage *m = g_new0(CryptoMessage, 1);
    uint64_t header, result;
    uint32_t token;

    op->opcode = VIRTIO_CRYPTO_HASH;
    op->session = id;
    op->digest_len = 32;
    crypto_build(t, op, m);
    /* src_data_len is the first field behind the header */
    stl_le_p(m->out.data + sizeof(struct virtio_crypto_op_header), BIG_BYTES);
    header = guest_alloc(t->alloc, m->out.len);
    result = guest_alloc(t->alloc, m->in.len);
    qtest_memwrite(t->qts, header, m->out.data, m->out.len);
    token = qvirtqueue_add(t->qts, t->data[0], header, m->out.len, false,
                           true);
    qvirtqueue_add(t->qts, t->data[0], at, BIG_BYTES, false, true);
    qvirtqueue_add(t->qts, t->data[0], result, m->in.len, true, false);
    qvirtqueue_kick(t->qts, t->dev, t->data[0], token);
}

/*
 * The memory that held-back requests may take is used up: sessions can be made
 * and destroyed all the same, and when the queue that used it up is reset, the
 * device serves on.
 */
static void test_full(void *obj, void *data, QGuestAllocator *alloc)
{
    CryptoSession hash = {
        .service = VIRTIO_CRYPTO_SERVICE_HASH,
        .algo = VIRTIO_CRYPTO_HASH_SHA_256,
        .result_len = 32,
    };
    uint64_t id, other, at;
    CryptoTest t;

    crypto_start(&t, obj, alloc, 0);
    at = guest_alloc(alloc, BIG_BYTES);
    g_assert_cmpuint(crypto_create(&t, &hash, &id), ==, VIRTIO_CRYPTO_OK);
    crypto_backend_set(&t, "throttle-bps", 1);
    for (unsigned i = 0; i < BIG_COUNT; i++) {
        post_big(&t, id, at);
    }
    g_assert_cmpuint(crypto_create(&t, &hash, &other), ==, VIRTIO_CRYPTO_OK);
    g_assert_cmpuint(crypto_destroy(&t, VIRTIO_CRYPTO_SERVICE_HASH, other),
                     ==, VIRTIO_CRYPTO_OK);
    crypto_restart(&t);
    crypto_backend_set(&t, "throttle-bps", 0);
    crypto_aes_check(&t, 0, crypto_aes_session(&t, VIRTIO_CRYPTO_OP_ENCRYPT));
    guest_free(alloc, at);
    crypto_end(&t);
}

static void register_virtio_crypto_held_test(void)
{
    qos_add_test("held/interrupt-is-reset", "virtio-crypto",
                 test_interrupt_is_reset, NULL);
    qos_add_test("held/stopped", "virtio-crypto", test_stopped, NULL);
    qos_add_test("held/full", "virtio-crypto", test_full, NULL);
}

libqos_init(register_virtio_crypto_held_test);
