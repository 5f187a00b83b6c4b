/*
 * QEMU's interval tree as a list, for hw/virtio/iommu/ledger.c without QEMU
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SHIM_QEMU_INTERVAL_TREE_H
#define SHIM_QEMU_INTERVAL_TREE_H

#include <glib.h>

#define container_of(ptr, type, member) \
    ((type *)((char *)(ptr) - offsetof(type, member)))

typedef struct IntervalTreeNode {
    uint64_t start, last;
    struct IntervalTreeNode *next;
} IntervalTreeNode;

typedef struct IntervalTreeRoot {
    IntervalTreeNode *head;
} IntervalTreeRoot;

static inline void interval_tree_insert(IntervalTreeNode *node,
                                        IntervalTreeRoot *root)
{
    node->next = root->head;
    root->head = node;
}

static inline void interval_tree_remove(IntervalTreeNode *node,
                                        IntervalTreeRoot *root)
{
    IntervalTreeNode **at = &root->head;

    while (*at != node) {
        at = &(*at)->next;
    }
    *at = node->next;
}

static inline IntervalTreeNode *
interval_tree_from(IntervalTreeNode *node, uint64_t start, uint64_t last)
{
    while (node && (node->start > last || node->last < start)) {
        node = node->next;
    }
    return node;
}

static inline IntervalTreeNode *
interval_tree_iter_first(IntervalTreeRoot *root, uint64_t start, uint64_t last)
{
    return interval_tree_from(root->head, start, last);
}

static inline IntervalTreeNode *
interval_tree_iter_next(IntervalTreeNode *node, uint64_t start, uint64_t last)
{
    return interval_tree_from(node->next, start, last);
}

#endif
