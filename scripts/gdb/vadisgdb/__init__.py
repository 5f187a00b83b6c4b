# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtio debugging helpers for the QEMU process and for guest kernels.

words.py and ring.py know nothing of gdb and can be imported anywhere;
state.py and commands.py run inside gdb only.
"""
