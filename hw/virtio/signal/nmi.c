/*
 * virtio-signal: non-maskable interrupts
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Not by QEMU's NMIState: on x86 that is all CPUs at once, and the LINT1 pin,
 * which the guest may have masked. A message with delivery mode NMI names one
 * CPU, and every local APIC, emulated or KVM's, takes it.
 */

#include "qemu/osdep.h"
#include "exec/address-spaces.h"
#include "exec/memory.h"
#include "hw/boards.h"
#include "hw/core/cpu.h"
#include "nmi.h"

#define MSI_BASE 0xfee00000u
#define MSI_DEST_SHIFT 12
#define MSI_DEST_MAX 0xfe           /* 0xff is all CPUs */
#define MSI_DATA_NMI (4u << 8)      /* delivery mode */

bool signal_nmi_possible(void)
{
    return object_dynamic_cast(OBJECT(current_machine), "x86-machine");
}

bool signal_nmi_send(unsigned target)
{
    CPUState *cpu = qemu_get_cpu(target);
    int64_t apic_id = cpu ? cpu->cc->get_arch_id(cpu) : -1;

    if (apic_id < 0 || apic_id > MSI_DEST_MAX) {
        return false;
    }
    address_space_stl_le(&address_space_memory,
                         MSI_BASE | apic_id << MSI_DEST_SHIFT, MSI_DATA_NMI,
                         MEMTXATTRS_UNSPECIFIED, NULL);
    return true;
}
