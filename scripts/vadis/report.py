# SPDX-License-Identifier: GPL-2.0-or-later
"""What is told about a guest that failed: console, queues, how to rerun."""

import shlex

from .errors import Failure


def _queue_line(q):
    """One line for a queue's state, whatever of it this QEMU reports."""
    text = " ".join(f"{key}={q[key]}" for key in
                    ("vring-num", "last-avail-idx", "last-avail-wrap-counter",
                     "shadow-avail-idx", "used-idx", "used-wrap-counter",
                     "signalled-used", "inuse") if key in q)
    return f"    queue {q.get('queue-index', '?')}: {text}"


def queue_states(qmp):
    """Lines that describe each set-up queue of each virtio device."""
    lines = []
    for device in qmp.command("x-query-virtio", timeout=5):
        path = device["path"]
        status = qmp.command("x-query-virtio-status", {"path": path},
                             timeout=5)
        flags = status.get("status", {}).get("statuses", [])
        lines.append(f"  {device['name']} {path}: " + " ".join(
            f.split(":")[0].replace("VIRTIO_CONFIG_S_", "") for f in flags))
        for index in range(status.get("num-vqs", 0)):
            try:
                q = qmp.command("x-query-virtio-queue-status",
                                {"path": path, "queue": index}, timeout=5)
            except Failure:
                continue
            if q.get("vring-desc"):
                lines.append(_queue_line({"queue-index": index, **q}))
    return lines


def rerun_command(config, extra=()):
    """The run-vm command line for a guest like this one."""
    words = ["scripts/run-vm"]
    if isinstance(config.kernel, str):
        words += ["--kernel", config.kernel]
    words += ["--memory", config.memory, "--smp", str(config.smp)]
    if config.root != "9p":
        words += ["--root", config.root]
    if not config.packed:
        words += ["--packed", "off"]
    for flag, values in (("--device", config.devices),
                         ("--disk", config.disks),
                         ("--module", config.modules)):
        for value in values:
            words += [flag, value]
    if config.net:
        words.append("--net")
    if config.append:
        words += ["--append", config.append]
    if config.args:
        words += ["--qemu-opts", shlex.join(config.args)]
    return shlex.join(words + list(extra))


def failure(vm, what):
    """A Failure with everything known about ``vm``."""
    lines = [f"last console lines of guest '{vm.config.name}':"]
    lines += ["  " + line for line in vm.console.tail()] or ["  (none)"]
    errors = vm.qemu_errors()
    if errors:
        lines += ["QEMU said:"] + ["  " + line for line in errors]
    if vm.running:
        lines.append("virtio queues:")
        try:
            lines += queue_states(vm.monitor) or ["  (none)"]
        except Failure as err:
            lines.append(f"  not available: {err.message}")
    lines.append("rerun: " + rerun_command(vm.config))
    lines.append("under gdb: " + rerun_command(vm.config, ["--gdb"]))
    return Failure(f"guest '{vm.config.name}': {what}", *lines)
