# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows for virtio-gpu, -input and -sound."""

import array
import fcntl
import math
import os
import random
import select
import struct
import subprocess

from .demo_row import PATIENCE, Row, expect, only, row


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
        from . import demo_check
        # New colours each time: an old picture must not pass.
        colours = [random.randbytes(3) for _ in range(self.side ** 2)]
        # QEMU has been told of the picture before the guest's answer, and
        # what it is told it does first: no need to look twice.
        demo.call(self.draw, device=demo.sysfs(self),
                  colours=[list(c) for c in colours])
        shot = demo.artifact("screendump.png")
        demo.vm.qmp("screendump", filename=str(shot), format="png")
        picture = demo_check.decode_png(shot.read_bytes())
        seen = f"{picture.width}x{picture.height}"
        expect(seen == f"{self.width}x{self.height}",
               f"the screen has {seen} pixels")
        demo_check.check_grid(picture, colours)
        return (f"{self.side ** 2} random colours on {seen}, each pixel of "
                "the PNG screendump compared")

    @staticmethod
    def draw(device, colours):
        from . import demo_kms
        from .demo_check import grid_rows

        def lines(width, height, pitch):
            done = {}
            for rgb in grid_rows(width, height, colours):
                yield done.get(rgb) or done.setdefault(
                    rgb, blue_green_red(rgb).ljust(pitch, b"\0"))

        # Left open on purpose: the picture is to stay.
        return demo_kms.show(
            "/dev/dri/" + os.path.basename(only(device + "/../drm/card*")),
            lines)


def blue_green_red(rgb):
    """Pixels as the card wants them, four bytes each."""
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
    EVIOCSREP = 0x40084503

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

    @classmethod
    def open(cls, device):
        name = os.path.basename(only(device + "/input/input*/event*"))
        fd = os.open("/dev/input/" + name, os.O_RDWR)
        # On a slow machine a key is held long enough for the kernel to repeat
        # it: neither delay nor period means never.
        fcntl.ioctl(fd, cls.EVIOCSREP, struct.pack("=II", 0, 0))
        return fd

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

    def wave(self):
        """One wave. The host makes it: sines of another CPU may differ."""
        return [round(16000 * math.sin(2 * math.pi * i * self.frequency /
                                       self.rate))
                for i in range(self.rate // self.frequency)]

    @property
    def waves(self):
        return self.frequency * self.periods // PERIODS_PER_SECOND

    def work(self, demo):
        demo.call(self.play, device=demo.sysfs(self), rate=self.rate,
                  wave=self.wave(), waves=self.waves)

    def done(self, demo):
        # The file's header is complete once QEMU has ended.
        from .demo_check import check_sound
        tone = self.wave() * self.waves
        check_sound(self.file, self.rate, tone)
        return (f"played {len(tone) / self.rate} s of {self.frequency} Hz by "
                f"ALSA, each of {len(tone)} samples in the wav file")

    @staticmethod
    def play(device, rate, wave, waves):
        # The whole tone goes into the card's buffer before it starts, so
        # that a guest that is slow now and then leaves no gaps.
        for command in (["-r", "virtio_snd"],
                        ["virtio_snd", "pcm_buffer_ms=800",
                         f"msg_timeout_ms={1000 * PATIENCE}"]):
            subprocess.run(["/sbin/modprobe", *command], check=True)
        card = os.path.basename(only(device + "/sound/card*"))[len("card"):]
        # QEMU paces what it writes to the file and, once the stream stops,
        # keeps the last 1024 frames or fewer back: let these be silent.
        silence = [0] * (rate // PERIODS_PER_SECOND)
        tone = array.array("h", wave * waves + silence)
        pcm = os.open(f"/dev/snd/pcmC{card}D0p", os.O_WRONLY)
        try:
            params = hw_params(1, rate)
            fcntl.ioctl(pcm, PCM_HW_PARAMS, params)
            fcntl.ioctl(pcm, PCM_SW_PARAMS,
                        sw_params(len(tone), buffer_size(params)))
            fcntl.ioctl(pcm, PCM_PREPARE)
            wrote = os.write(pcm, tone)
            expect(wrote == 2 * len(tone), f"the card took {wrote} bytes of "
                   f"{2 * len(tone)} at once")
            # Until the buffer is empty. A drain would wait for the same, but
            # gives up after about a second without progress.
            played = select.poll()
            played.register(pcm, select.POLLOUT)
            (_, seen), = played.poll()
            expect(seen == select.POLLOUT, f"poll() of the card: {seen:#x}")
        finally:
            os.close(pcm)


# sound/asound.h
PCM_HW_PARAMS, PCM_SW_PARAMS = 0xc2604111, 0xc0884113
PCM_PREPARE = 0x4140
HW_PARAMS_SIZE, HW_INTERVALS, SW_PARAMS_SIZE = 608, 12, 136
HW_INTERVALS_AT, HW_INTERVAL = 260, 12  # after flags and eight masks
ACCESS_RW_INTERLEAVED, FORMAT_S16_LE = 3, 2
# Places among the intervals.
SAMPLE_BITS, FRAME_BITS, CHANNELS, RATE, PERIOD_SIZE = 0, 1, 2, 3, 5
BUFFER_SIZE = 9
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


def buffer_size(params):
    """Frames in the buffer, of hw_params() that the card has completed."""
    return struct.unpack_from(
        "=I", params, HW_INTERVALS_AT + BUFFER_SIZE * HW_INTERVAL)[0]


def sw_params(start, empty):
    """struct snd_pcm_sw_params: begin with ``start`` frames in the buffer,
    poll() tells when ``empty`` have room, never give up at the end."""
    out = bytearray(struct.pack("=iII4x", 0, 1, 0))
    out += struct.pack("=7Q", empty, 1, start, NEVER, 0, 0, 0)
    return out + bytes(SW_PARAMS_SIZE - len(out))
