/*
 * virtio-signal: what a peer may do to this machine
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/qdev-core.h"
#include "migration/misc.h"
#include "system/runstate-action.h"
#include "system/runstate.h"
#include "action.h"
#include "trace.h"
#include "wire.h"

/*
 * States in which the machine's state is elsewhere, or on its way: nothing may
 * be done to it.
 */
static bool machine_is_moved(void)
{
    return runstate_check(RUN_STATE_INMIGRATE) ||
           runstate_check(RUN_STATE_FINISH_MIGRATE) ||
           runstate_check(RUN_STATE_POSTMIGRATE) ||
           runstate_check(RUN_STATE_SAVE_VM) ||
           runstate_check(RUN_STATE_RESTORE_VM) ||
           runstate_check(RUN_STATE_COLO);
}

/* It runs, or came to a stand by itself: whoever stopped it has a reason. */
static bool machine_is_free(void)
{
    return !machine_is_moved() && !runstate_check(RUN_STATE_PAUSED) &&
           !runstate_check(RUN_STATE_PRELAUNCH) &&
           !runstate_check(RUN_STATE_DEBUG);
}

/* As the monitor's cont does, which a dump holds up, too */
static bool action_boot(bool paused)
{
    /* "-incoming" and a finished migration have states of their own. */
    if (!runstate_check(RUN_STATE_PRELAUNCH) &&
        !(paused && runstate_check(RUN_STATE_PAUSED))) {
        return false;
    }
    /* After a migration the disks are still the source's. */
    if (qemu_system_dump_in_progress() || !migration_block_activate(NULL)) {
        return false;
    }
    vm_start();
    return true;
}

static bool action_kill(SignalKillAction kill, bool *paused)
{
    if (kill == SIGNAL_KILL_ACTION_PAUSE) {
        if (!runstate_is_running() || qemu_system_dump_in_progress()) {
            return false;
        }
        /* At once: a request could be served after somebody else's pause. */
        vm_stop(RUN_STATE_PAUSED);
        *paused = runstate_check(RUN_STATE_PAUSED);
        return *paused;
    }
    if (machine_is_moved()) {
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
            done = machine_is_free();
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
