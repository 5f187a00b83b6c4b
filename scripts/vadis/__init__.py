# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtual machines for Vadis: kernels, boot images, QEMU, guest commands."""
