# SPDX-License-Identifier: GPL-2.0-or-later
"""Looking at what the demo's screen and sound card put out.

A PNG decoder for the pictures QEMU's screendump writes, and a judge of what
is in WAV files; both small, and without packages.
"""

import math
import struct
import wave
import zlib

from .errors import Failure

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def _chunks(data):
    """(type, content) of each chunk; sums are checked."""
    if not data.startswith(PNG_MAGIC):
        raise Failure(f"no PNG: it begins with {data[:8].hex()}")
    at = len(PNG_MAGIC)
    while at < len(data):
        if at + 12 > len(data):
            raise Failure("the PNG ends within a chunk")
        length, = struct.unpack_from(">I", data, at)
        kind, content = data[at + 4:at + 8], data[at + 8:at + 8 + length]
        tail = data[at + 8 + length:at + 12 + length]
        if len(tail) < 4 or \
           struct.unpack(">I", tail)[0] != zlib.crc32(kind + content):
            raise Failure(f"the PNG's chunk {kind!r} is damaged")
        yield kind, content
        at += 12 + length


def _paeth(a, b, c):
    pa, pb, pc = abs(b - c), abs(a - c), abs(a + b - 2 * c)
    return a if pa <= pb and pa <= pc else b if pb <= pc else c


def _unfilter(kind, line, above, step):
    """Undo a PNG filter, in place. ``step`` is the bytes of a pixel."""
    if kind > 4:
        raise Failure(f"the PNG uses the unknown filter {kind}")
    if kind == 2 and not any(line):
        line[:] = above                 # common, and quick
        return
    for i in range(len(line) if kind else 0):
        a = line[i - step] if i >= step else 0
        b = above[i]
        if kind == 1:
            line[i] = (line[i] + a) & 255
        elif kind == 2:
            line[i] = (line[i] + b) & 255
        elif kind == 3:
            line[i] = (line[i] + (a + b) // 2) & 255
        else:
            c = above[i - step] if i >= step else 0
            line[i] = (line[i] + _paeth(a, b, c)) & 255


class Picture:
    """A decoded picture; rows are bytes of red, green, blue."""

    def __init__(self, width, height, rows):
        self.width = width
        self.height = height
        self.rows = rows

    def pixel(self, x, y):
        return tuple(self.rows[y][3 * x:3 * x + 3])


def decode_png(data):
    """The Picture in a PNG of 8-bit RGB or RGBA, not interlaced."""
    header, packed, ended = None, bytearray(), False
    for kind, content in _chunks(data):
        if kind == b"IHDR":
            header = struct.unpack(">IIBBBBB", content)
        elif kind == b"IDAT":
            packed += content
        ended = kind == b"IEND"
    if not header or not ended:
        raise Failure("the PNG has no header or no end")
    width, height, depth, colour, *rest = header
    if depth != 8 or colour not in (2, 6) or any(rest):
        raise Failure(f"cannot read a PNG with {header}")
    step = 3 if colour == 2 else 4
    stride = width * step
    raw = zlib.decompress(packed)
    if len(raw) != height * (stride + 1):
        raise Failure(f"the PNG holds {len(raw)} bytes, {width}x{height} "
                      f"pixels need {height * (stride + 1)}")
    rows, above = [], bytearray(stride)
    for at in range(0, len(raw), stride + 1):
        line = bytearray(raw[at + 1:at + 1 + stride])
        _unfilter(raw[at], line, above, step)
        above = line
        if step == 4:
            line = bytearray(line)
            del line[3::4]              # alpha
        rows.append(bytes(line))
    return Picture(width, height, rows)


def grid_rows(width, height, colours):
    """Rows of a picture that is a grid of ``colours``, (r, g, b) each.

    The number of colours is a square; cells at the right and the bottom
    take what the division leaves.
    """
    side = math.isqrt(len(colours))
    xs = [min(x * side // width, side - 1) for x in range(width)]
    bands = [b"".join(bytes(colours[band * side + x]) for x in xs)
             for band in range(side)]
    return [bands[min(y * side // height, side - 1)] for y in range(height)]


def check_grid(picture, colours):
    """Raise Failure unless every pixel is as grid_rows() says."""
    want = grid_rows(picture.width, picture.height, colours)
    wrong = [(x, y) for y, (have, row) in enumerate(zip(picture.rows, want))
             if have != row for x in range(picture.width)
             if have[3 * x:3 * x + 3] != row[3 * x:3 * x + 3]]
    if wrong:
        x, y = wrong[0]
        raise Failure(
            f"{len(wrong)} of {picture.width}x{picture.height} pixels are "
            f"wrong; at ({x}, {y}) stands {picture.pixel(x, y)}, "
            f"{tuple(want[y][3 * x:3 * x + 3])} was drawn")


def _frames(path):
    """(rate, tuples of the channels' samples) of a file."""
    try:
        with wave.open(str(path), "rb") as sound:
            if sound.getsampwidth() != 2:
                raise Failure(f"cannot read sound with "
                              f"{sound.getsampwidth()} bytes a sample")
            rate, channels = sound.getframerate(), sound.getnchannels()
            data = sound.readframes(sound.getnframes())
    except (OSError, EOFError, wave.Error) as err:
        raise Failure(f"cannot read the sound: {err}") from None
    return rate, list(struct.iter_unpack(
        f"<{channels}h", data[:len(data) // (2 * channels) * 2 * channels]))


def _sound(frames):
    """``frames`` without the silence before and after."""
    loud = [i for i, frame in enumerate(frames) if any(frame)]
    return frames[loud[0]:loud[-1] + 1] if loud else []


def check_sound(path, rate, samples):
    """Raise Failure unless a file holds these samples and nothing else.

    Every channel must have every one; silence before and after is fine.
    """
    found, frames = _frames(path)
    if found != rate:
        raise Failure(f"the sound has {found} samples a second, not {rate}")
    have = _sound(frames)
    if not have:
        raise Failure(f"{len(frames)} samples are silent")
    want = _sound([(sample,) * len(have[0]) for sample in samples])
    for i, (heard, played) in enumerate(zip(have, want)):
        if heard != played:
            raise Failure(f"sample {i} of {len(want)} is {heard}, {played} "
                          "was played")
    if len(have) != len(want):
        raise Failure(f"without the silence around, {len(want)} samples were "
                      f"played, {len(have)} are in the file")
