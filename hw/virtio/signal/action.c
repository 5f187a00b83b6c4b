/*
 * virtio-signal: what a peer may do to this machine
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/qdev-core.h"
#include "system/runstate-action.h"
#include "system/runstate.h"
#include "action.h"
#include "trace.h"
#include "wire.h"

static bool action_boot(bool paused)
{
    /* "-incoming" and a finished migration have states of their own. */
    if (!runstate_check(RUN_STATE_PRELAUNCH) &&
        !(paused && runstate_check(RUN_STATE_PAUSED))) {
        return false;
    }
    vm_start();
    return true;
}

static bool action_kill(SignalKillAction kill, bool *paused)
{
    if (kill == SIGNAL_KILL_ACTION_PAUSE) {
        if (!runstate_is_running()) {
            return false;
        }
        *paused = true;
        qemu_system_vmstop_request_prepare();
        qemu_system_vmstop_request(RUN_STATE_PAUSED);
        return true;
    }
    if (!runstate_is_running() && !runstate_check(RUN_STATE_PAUSED) &&
        !runstate_check(RUN_STATE_PRELAUNCH)) {
        return false;
    }
    /* As the monitor's quit does: -no-shutdown is about the guest's wish. */
    shutdown_action = SHUTDOWN_ACTION_POWEROFF;
    qemu_system_shutdown_request(SHUTDOWN_CAUSE_HOST_QMP_QUIT);
    return true;
}

uint16_t signal_action(const char *link, uint16_t class_id,
                       SignalKillAction kill, bool *paused)
{
    bool done = false;
    uint16_t status;

    if (phase_check(PHASE_MACHINE_READY)) {
        switch (class_id) {
        case VIRTIO_SIGNAL_CLASS_BOOT:
            done = action_boot(*paused);
            break;
        case VIRTIO_SIGNAL_CLASS_RESET:
            done = runstate_is_running();
            if (done) {
                qemu_system_reset_request(
                    SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET);
            }
            break;
        case VIRTIO_SIGNAL_CLASS_STOP:
            done = runstate_is_running();
            if (done) {
                qemu_system_powerdown_request();
            }
            break;
        case VIRTIO_SIGNAL_CLASS_KILL:
            done = action_kill(kill, paused);
            break;
        }
    }
    status = done ? VIRTIO_SIGNAL_S_OK : VIRTIO_SIGNAL_S_STATE;
    trace_virtio_signal_action(link, signal_class_name(class_id), status);
    return status;
}
