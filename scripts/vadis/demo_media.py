# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows for virtio-gpu, -input and -sound."""

import array
import fcntl
import glob
import math
import os
import random
import struct
import subprocess

from .demo_row import Row, expect, only, row, until
from .errors import Failure


@row
class Gpu(Row):
    """A picture drawn on the guest's framebuffer, seen on QEMU's screen."""
    name = "virtio-gpu"
    width, height = 640, 480
    side = 8

    def plan(self, demo):
        demo.device(self, f"virtio-gpu-pci,xres={self.width},"
                          f"yres={self.height}")

    def work(self, demo):
        # New colours each time: an old picture must not pass.
        colours = [random.randbytes(3) for _ in range(self.side ** 2)]
        demo.call(self.draw, device=demo.sysfs(self),
                  colours=[list(c) for c in colours])
        shot = demo.artifact("screendump.png")
        seen = []

        def arrived():
            seen[:] = self.look(demo, shot, colours)
            return not seen[0]

        # The kernel sends what was drawn to the device when it sees fit.
        try:
            until(arrived, "the picture", patience=20)
        except Failure:
            raise seen[0] from None
        return (f"{self.side ** 2} random colours on {seen[1]}, each pixel "
                "of the PNG screendump compared")

    @staticmethod
    def look(demo, shot, colours):
        """Take a picture; what is wrong with it, or None, and its size."""
        from . import demo_check
        demo.vm.qmp("screendump", filename=str(shot), format="png")
        try:
            picture = demo_check.decode_png(shot.read_bytes())
            demo_check.check_grid(picture, colours)
        except Failure as wrong:
            return wrong, None
        return None, f"{picture.width}x{picture.height}"

    @staticmethod
    def draw(device, colours):
        from .demo_check import grid_rows
        name = os.path.basename(only(device + "/../graphics/fb*"))
        release_console()
        fb = os.open("/dev/" + name, os.O_RDWR)
        try:
            var = bytearray(VAR_SCREENINFO)
            fcntl.ioctl(fb, FBIOGET_VSCREENINFO, var)
            width, height = struct.unpack_from("=II", var)
            bits, = struct.unpack_from("=I", var, 24)
            fix = bytearray(FIX_SCREENINFO)
            fcntl.ioctl(fb, FBIOGET_FSCREENINFO, fix)
            stride, = struct.unpack_from("=I", fix, 48)
            expect(bits == 32, f"{name} has {bits} bits a pixel, not 32")
            expect(stride >= 4 * width, f"{name}'s lines have {stride} "
                   f"bytes, too few for {width} pixels")
            # In one piece: the kernel does not always pass on the damage
            # done by a write of a single line.
            lines = {}
            os.pwrite(fb, b"".join(
                lines.get(rgb) or lines.setdefault(
                    rgb, blue_green_red(rgb).ljust(stride, b"\0"))
                for rgb in grid_rows(width, height, colours)), 0)
        finally:
            os.close(fb)


# linux/fb.h
FBIOGET_VSCREENINFO, FBIOGET_FSCREENINFO = 0x4600, 0x4602
VAR_SCREENINFO, FIX_SCREENINFO = 160, 80


def release_console():
    """Keep the kernel's text console and its cursor off the picture."""
    for name in glob.glob("/sys/class/vtconsole/*/name"):
        with open(name, encoding="ascii") as what:
            if "frame buffer" not in what.read():
                continue
        with open(name.replace("/name", "/bind"), "w",
                  encoding="ascii") as bind:
            bind.write("0")


def blue_green_red(rgb):
    """Pixels as the framebuffer wants them, four bytes each."""
    line = bytearray(len(rgb) // 3 * 4)
    line[0::4], line[1::4], line[2::4] = rgb[2::3], rgb[1::3], rgb[0::3]
    return bytes(line)


@row
class Input(Row):
    """Keys typed on the host, read from the guest's event device."""
    name = "virtio-input"
    word = "vadis"
    # linux/input-event-codes.h
    codes = {"v": 47, "a": 30, "d": 32, "i": 23, "s": 31}
    event = struct.Struct("=qqHHi")
    EV_KEY = 1

    def plan(self, demo):
        demo.device(self, "virtio-keyboard-pci")

    def work(self, demo):
        want = [[self.codes[key], down] for key in self.word
                for down in (1, 0)]
        # Events come to those who listen: open first, then type.
        fd = demo.call(self.open, device=demo.sysfs(self))
        for key in self.word:
            for down in (True, False):
                demo.vm.qmp("input-send-event", events=[{
                    "type": "key", "data": {"down": down, "key": {
                        "type": "qcode", "data": key}}}])
        got = demo.call(self.read, fd=fd, count=len(want))
        expect(got == want, f"the guest saw {got}, not {want}")
        return (f"typed '{self.word}', {len(got)} key events read from "
                "evdev in order")

    @staticmethod
    def open(device):
        name = os.path.basename(only(device + "/input/input*/event*"))
        return os.open("/dev/input/" + name, os.O_RDONLY)

    @classmethod
    def read(cls, fd, count):
        seen = []
        while len(seen) < count:
            data = os.read(fd, 64 * cls.event.size)
            for _, _, kind, code, value in cls.event.iter_unpack(data):
                if kind == cls.EV_KEY:
                    seen.append([code, value])
        os.close(fd)
        return seen


@row
class Sound(Row):
    """A tone played on the guest's sound card, found in a file."""
    name = "virtio-sound"
    frequency = 1000
    rate = 48000
    periods = 10                        # of 50 ms; the driver plays whole ones

    def plan(self, demo):
        self.file = demo.artifact("tone.wav")
        demo.args("-audiodev", "wav,id=audio0,out.frequency="
                  f"{self.rate},path={demo.escape(self.file)}")
        demo.device(self, "virtio-sound-pci,audiodev=audio0")

    def work(self, demo):
        demo.call(self.play, device=demo.sysfs(self),
                  frequency=self.frequency, rate=self.rate,
                  periods=self.periods)

    def done(self, demo):
        # The file's header is complete once QEMU has ended.
        from .demo_check import check_tone
        # A busy machine may lose a piece at the end of a stream.
        seconds = self.periods / PERIODS_PER_SECOND
        heard = check_tone(self.file, self.frequency, seconds * 0.8)
        return (f"played {seconds} s of {self.frequency} Hz by ALSA, "
                f"heard {heard:.2f} s in the wav file")

    @staticmethod
    def play(device, frequency, rate, periods):
        # The whole tone goes into the card's buffer before it starts, so
        # that a guest that is slow now and then leaves no gaps.
        for command in (["-r", "virtio_snd"],
                        ["virtio_snd", "pcm_buffer_ms=800"]):
            subprocess.run(["/sbin/modprobe", *command], check=True)
        card = os.path.basename(only(device + "/sound/card*"))[len("card"):]
        wave = array.array("h", (
            int(16000 * math.sin(2 * math.pi * i * frequency / rate))
            for i in range(rate // frequency))).tobytes()
        tone = wave * (frequency * periods // PERIODS_PER_SECOND)
        pcm = os.open(f"/dev/snd/pcmC{card}D0p", os.O_WRONLY)
        try:
            fcntl.ioctl(pcm, PCM_HW_PARAMS, hw_params(1, rate))
            fcntl.ioctl(pcm, PCM_SW_PARAMS, sw_params(len(tone) // 2))
            fcntl.ioctl(pcm, PCM_PREPARE)
            wrote = os.write(pcm, tone)
            expect(wrote == len(tone), f"the card took {wrote} bytes of "
                   f"{len(tone)} at once")
            fcntl.ioctl(pcm, PCM_DRAIN)
        finally:
            os.close(pcm)


# sound/asound.h
PCM_HW_PARAMS, PCM_SW_PARAMS = 0xc2604111, 0xc0884113
PCM_PREPARE, PCM_DRAIN = 0x4140, 0x4144
HW_PARAMS_SIZE, HW_INTERVALS, SW_PARAMS_SIZE = 608, 12, 136
ACCESS_RW_INTERLEAVED, FORMAT_S16_LE = 3, 2
# Places among the intervals.
SAMPLE_BITS, FRAME_BITS, CHANNELS, RATE, PERIOD_SIZE = 0, 1, 2, 3, 5
PERIODS_PER_SECOND = 20
NEVER = (1 << 63) - 1


def hw_params(channels, rate):
    """struct snd_pcm_hw_params: 16 bits, the period, the rest as the driver
    likes, which is the largest buffer."""
    out = bytearray(struct.pack("=I", 0))
    for one in (ACCESS_RW_INTERLEAVED, FORMAT_S16_LE, None):
        bits = (1 << 256) - 1 if one is None else 1 << one
        out += bits.to_bytes(32, "little")
    out += bytes(5 * 32)                # masks in reserve
    fixed = {SAMPLE_BITS: 16, FRAME_BITS: 16 * channels, CHANNELS: channels,
             RATE: rate,
             PERIOD_SIZE: rate // PERIODS_PER_SECOND}
    for i in range(HW_INTERVALS):
        low, high = (fixed[i],) * 2 if i in fixed else (0, 0xffffffff)
        out += struct.pack("=III", low, high, 0)
    out += bytes(9 * 12)                # intervals in reserve
    out += struct.pack("=I", 0xffffffff)        # all may be changed
    return out + bytes(HW_PARAMS_SIZE - len(out))


def sw_params(start):
    """struct snd_pcm_sw_params: begin with ``start`` frames in the buffer,
    never give up because it is empty."""
    out = bytearray(struct.pack("=iII4x", 0, 1, 0))
    out += struct.pack("=7Q", 1, 1, start, NEVER, 0, 0, 0)
    return out + bytes(SW_PARAMS_SIZE - len(out))
