# SPDX-License-Identifier: GPL-2.0-or-later
"""The options of scripts/run-vm."""

import argparse

from . import kernel

DESCRIPTION = """\
Start a Linux guest on the QEMU of this checkout and run a shell or a command
in it. The guest's root is this machine's root, read-only over packed
virtio-9p, with a tmpfs on top: every program here runs there, and nothing it
writes stays."""

EPILOG = """\
examples:
  run-vm                                a shell in the guest
  run-vm -- uname -r                    one command; its output and status
  run-vm --kernel 6.1 --packed off -- lspci -k
  run-vm --disk disk.img -- fdisk -l /dev/vda
  run-vm --rw results -- sh -c 'dmesg >results/log'
  run-vm --pair --peer 'iperf3 -s' -- \\
         sh -c 'until iperf3 -c b; do sleep 1; done'
  run-vm --gdb                          debug the guest's kernel

The command's exit status is returned; 125 means that run-vm failed, 124 that
--timeout passed. In a shell, Ctrl-] ends the guest at once.
VADIS_QEMU names another QEMU binary, ACCEL=kvm asks for KVM."""


def _positive(text):
    value = int(text)
    if value < 1:
        raise ValueError
    return value


_positive.__name__ = "number"


def _guest(group):
    names = ", ".join(kernel.NAMES)
    group.add_argument("--kernel", metavar="K", default=kernel.DEFAULT,
                       help=f"Debian's {names} (default {kernel.DEFAULT}), "
                       "or a vmlinuz or vmlinux file")
    group.add_argument("--memory", metavar="SIZE", default="1G",
                       help="guest memory, as in 512M or 2G (default 1G)")
    group.add_argument("--smp", metavar="N", type=_positive, default=1,
                       help="number of vCPUs (default 1)")
    group.add_argument("--accel", choices=("auto", "tcg", "kvm"),
                       help="default: TCG, or KVM where the CPU's flags "
                       "promise virtualisation")
    group.add_argument("--root", choices=("9p", "initramfs"), default="9p",
                       help="this machine's root over 9p (default), or "
                       "busybox only, which can migrate")
    group.add_argument("--append", metavar="STR", default="",
                       help="add to the kernel command line")
    group.add_argument("--module", metavar="NAME", action="append",
                       default=[], help="load a module of the kernel at boot")


def _devices(group):
    group.add_argument("--packed", choices=("on", "off"), default="on",
                       help="packed or split rings for virtio devices that "
                       "do not say (default on)")
    group.add_argument("--rw", metavar="DIR[:MOUNT]", action="append",
                       default=[], help="share DIR writable, at the same "
                       "path or at MOUNT")
    group.add_argument("--share", metavar="DIR[:MOUNT]", action="append",
                       default=[], help="the same, read-only")
    group.add_argument("--net", action="store_true",
                       help="user mode networking, set up in the guest")
    group.add_argument("--disk", metavar="FILE[,OPT]", action="append",
                       default=[], help="a virtio-blk disk; OPT as for "
                       "-drive")
    group.add_argument("--device", metavar="STR", action="append",
                       default=[], help="add a device, as QEMU's -device; "
                       "its driver is loaded")
    group.add_argument("--qemu-opts", metavar="STR", action="append",
                       default=[], help="other QEMU arguments, split as a "
                       "shell does")


def _running(group):
    group.add_argument("--pair", action="store_true",
                       help="two guests, a and b, on one virtio-net link; "
                       "the command runs in a, b answers as 'b' "
                       "(10.77.0.2)")
    group.add_argument("--peer", metavar="STR",
                       help="with --pair: a shell command to run in b")
    group.add_argument("--env", metavar="NAME=VALUE", action="append",
                       default=[], help="set a variable for the command")
    group.add_argument("--timeout", metavar="SECONDS", type=_positive,
                       help="end the guest after that time, with a report")
    group.add_argument("--verbose", action="store_true",
                       help="show the guest's console on standard error")
    group.add_argument("--log", metavar="FILE",
                       help="keep the console, with times, in FILE")
    group.add_argument("--dry-run", action="store_true",
                       help="print the QEMU command line and stop")
    group.add_argument("--gdb", action="store_true",
                       help="stop before the first instruction and debug "
                       "the guest's kernel")
    group.add_argument("--gdb-break", metavar="[MODULE:]FUNCTION",
                       action="append", default=[],
                       help="with --gdb: stop there; may be repeated")
    group.add_argument("--gdb-batch", metavar="CMD", action="append",
                       help="with --gdb: run gdb commands at the first stop "
                       "instead of asking; may be repeated")
    group.add_argument("--qemu", metavar="PATH", help="another QEMU binary")


def parser():
    """The argument parser; what follows -- is in ``command``."""
    top = argparse.ArgumentParser(
        prog="run-vm", description=DESCRIPTION, epilog=EPILOG,
        usage="run-vm [OPTION]... [-- COMMAND...]", allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    _guest(top.add_argument_group("guest"))
    _devices(top.add_argument_group("devices"))
    _running(top.add_argument_group("running"))
    top.add_argument("command", nargs="*", help=argparse.SUPPRESS)
    return top
