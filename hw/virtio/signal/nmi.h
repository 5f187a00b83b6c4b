/*
 * virtio-signal: non-maskable interrupts
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VIRTIO_SIGNAL_NMI_H
#define HW_VIRTIO_SIGNAL_NMI_H

/** signal_nmi_possible - whether this machine can be sent one for one CPU */
bool signal_nmi_possible(void);

/**
 * signal_nmi_send - send one to the CPU of target @target
 *
 * Context: main loop, BQL held; signal_nmi_possible() is true.
 *
 * Returns: false if there is no such CPU, or an APIC ID that a message cannot
 * name.
 */
bool signal_nmi_send(unsigned target);

#endif
