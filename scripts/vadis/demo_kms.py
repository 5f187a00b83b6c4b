# SPDX-License-Identifier: GPL-2.0-or-later
"""A picture on a screen in the guest, by the kernel's mode setting.

What is written to a framebuffer device reaches the card when the kernel sees
fit, and nothing tells when. A new picture for a CRTC has gone to the card
once the ioctl returns.
"""

import array
import fcntl
import mmap
import os
import struct

from .demo_row import expect

# drm/drm.h and drm/drm_mode.h: number and structure of each ioctl.
GETRESOURCES, CARD_RES = 0xa0, "=4Q8I"
SETCRTC, CRTC = 0xa2, "=Q7I68s"
GETCONNECTOR, CONNECTOR = 0xa7, "=4Q12I"
ADDFB, FB = 0xae, "=7I"
CREATE_DUMB, DUMB = 0xb2, "=6IQ"
MAP_DUMB, MAP = 0xb3, "=2IQ"
MODE_SIZE = 68                          # struct drm_mode_modeinfo
ROOM = 16                               # screens; a card has one to 16
BITS, DEPTH = 32, 24


def ioctl(fd, number, layout, *values):
    """The structure as the kernel left it; values not given are 0."""
    data = bytearray(struct.calcsize(layout))
    whole = struct.unpack(layout, data)
    struct.pack_into(layout, data, 0, *values, *whole[len(values):])
    fcntl.ioctl(fd, 3 << 30 | len(data) << 16 | ord("d") << 8 | number, data)
    return struct.unpack(layout, data)


def address(numbers):
    return numbers.buffer_info()[0]


def screen(fd):
    """CRTC, connector and preferred mode of the card's only screen."""
    crtcs, connectors = (array.array("I", bytes(4 * ROOM)) for _ in range(2))
    found = ioctl(fd, GETRESOURCES, CARD_RES, 0, address(crtcs),
                  address(connectors), 0, 0, ROOM, ROOM)
    expect(found[5:7] == (1, 1),
           f"the card has {found[5]} CRTCs and {found[6]} connectors")
    count = ioctl(fd, GETCONNECTOR, CONNECTOR, *[0] * 8, connectors[0])[4]
    expect(count, "the screen has no mode")
    modes = array.array("B", bytes(MODE_SIZE * count))
    ioctl(fd, GETCONNECTOR, CONNECTOR, 0, address(modes), 0, 0, count,
          0, 0, 0, connectors[0])
    return crtcs[0], connectors, bytes(modes[:MODE_SIZE])


def show(card, draw):
    """Show a picture; it stays while the file descriptor returned is open.

    :param draw: called with width, height and bytes a line; returns the
                 lines, four bytes a pixel
    """
    fd = os.open(card, os.O_RDWR | os.O_CLOEXEC)
    crtc, connectors, mode = screen(fd)
    width, = struct.unpack_from("=H", mode, 4)
    height, = struct.unpack_from("=H", mode, 14)
    handle, pitch, size = ioctl(fd, CREATE_DUMB, DUMB, height, width,
                                BITS)[4:]
    offset = ioctl(fd, MAP_DUMB, MAP, handle)[2]
    with mmap.mmap(fd, size, offset=offset) as memory:
        memory[:pitch * height] = b"".join(draw(width, height, pitch))
    fb = ioctl(fd, ADDFB, FB, 0, width, height, pitch, BITS, DEPTH, handle)[0]
    ioctl(fd, SETCRTC, CRTC, address(connectors), 1, crtc, fb, 0, 0, 0, 1,
          mode)
    return fd
