# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo's judges must see what is wrong: pictures, tones, entropy, rows."""

import math
import os
import random
import struct
import wave
import zlib

import pytest

from vmtest import TOP  # noqa: F401  (makes the package vadis known)
from vadis import demo, demo_check, demo_io, demo_row, demo_table
from vadis.errors import Failure

RATE = 48000
COLOURS = [bytes([i * 16, 255 - i * 16, i]) for i in range(16)]


# -- pictures

def chunk(kind, content):
    return (struct.pack(">I", len(content)) + kind + content +
            struct.pack(">I", zlib.crc32(kind + content)))


def paeth(a, b, c):
    p = a + b - c
    return min((a, b, c), key=lambda v: (abs(p - v), (a, b, c).index(v)))


def filtered(kind, line, above, step):
    """A line as a PNG encoder writes it with the given filter."""
    out = bytearray([kind])
    for i, value in enumerate(line):
        a = line[i - step] if i >= step else 0
        c = above[i - step] if i >= step else 0
        guess = (0, a, above[i], (a + above[i]) // 2,
                 paeth(a, above[i], c))[kind]
        out.append((value - guess) & 255)
    return bytes(out)


def png(rows, step=3, filters=(0,), depth=8, interlace=0):
    raw, above = b"", bytes(len(rows[0]))
    for y, line in enumerate(rows):
        raw += filtered(filters[y % len(filters)], line, above, step)
        above = line
    header = struct.pack(">IIBBBBB", len(rows[0]) // step, len(rows), depth,
                         2 if step == 3 else 6, 0, 0, interlace)
    return (demo_check.PNG_MAGIC + chunk(b"IHDR", header) +
            chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))


def noise(width, height, step=3):
    source = random.Random(1)
    return [source.randbytes(width * step) for _ in range(height)]


@pytest.mark.parametrize("kind", range(5))
def test_each_png_filter_is_undone(kind):
    rows = noise(13, 9)
    assert demo_check.decode_png(png(rows, filters=(kind,))).rows == rows


def test_filters_may_change_from_line_to_line_and_alpha_is_dropped():
    rows = noise(7, 11, step=4)
    picture = demo_check.decode_png(png(rows, 4, filters=(4, 2, 3, 1, 0)))
    assert (picture.width, picture.height) == (7, 11)
    assert picture.rows == [bytes(v for i, v in enumerate(r) if i % 4 != 3)
                            for r in rows]


@pytest.mark.parametrize("damage", [
    lambda data: b"P6" + data,
    lambda data: data[:-6],
    lambda data: data[:-12],
    lambda data: data[:50] + bytes([data[50] ^ 1]) + data[51:],
    lambda data: data[:8] + chunk(b"IEND", b""),
], ids=["no PNG", "cut short", "no end", "flipped bit", "no header"])
def test_damaged_pngs_are_refused(damage):
    with pytest.raises(Failure):
        demo_check.decode_png(damage(png(noise(8, 8))))


def test_a_png_with_too_few_lines_is_refused():
    rows = noise(8, 8)
    short = demo_check.PNG_MAGIC + chunk(b"IHDR", struct.pack(
        ">IIBBBBB", 8, 9, 8, 2, 0, 0, 0)) + chunk(
        b"IDAT", zlib.compress(b"".join(b"\0" + r for r in rows))) + \
        chunk(b"IEND", b"")
    with pytest.raises(Failure, match="9 "):
        demo_check.decode_png(short)


@pytest.mark.parametrize("strange", [{"depth": 16}, {"interlace": 1}])
def test_pngs_of_other_kinds_are_refused(strange):
    with pytest.raises(Failure, match="cannot read"):
        demo_check.decode_png(png(noise(8, 8), **strange))


def grid():
    return demo_check.Picture(
        64, 48, demo_check.grid_rows(64, 48, COLOURS))


def test_the_grid_that_was_drawn_passes():
    picture = grid()
    assert picture.pixel(0, 0) == tuple(COLOURS[0])
    assert picture.pixel(63, 47) == tuple(COLOURS[15])
    demo_check.check_grid(picture, COLOURS)


def test_a_black_picture_is_seen():
    black = demo_check.Picture(64, 48, [bytes(64 * 3)] * 48)
    with pytest.raises(Failure, match="pixels are wrong"):
        demo_check.check_grid(black, COLOURS)


def test_one_wrong_pixel_is_seen():
    picture = grid()
    line = bytearray(picture.rows[20])
    line[3 * 31] ^= 1
    picture.rows[20] = bytes(line)
    with pytest.raises(Failure, match=r"^1 of 64x48 .* at \(31, 20\)"):
        demo_check.check_grid(picture, COLOURS)


# -- sound

def sine(frequency, seconds, amplitude=16000):
    return [round(amplitude * math.sin(2 * math.pi * frequency * i / RATE))
            for i in range(int(RATE * seconds))]


TONE = sine(1000, 0.5)
SILENCE = [0] * 3000


def wav(path, *channels, rate=RATE, width=2):
    with wave.open(str(path), "wb") as out:
        out.setnchannels(len(channels))
        out.setsampwidth(width)
        out.setframerate(rate)
        out.writeframes(b"".join(struct.pack("<h", s) for frame in
                                 zip(*channels) for s in frame))
    return path


@pytest.mark.parametrize("channels", [1, 2])
def test_a_tone_passes_with_silence_around(tmp_path, channels):
    for before, after in ([], []), (SILENCE, []), (SILENCE, SILENCE):
        path = wav(tmp_path / "tone.wav",
                   *[before + TONE + after] * channels)
        demo_check.check_sound(path, RATE, TONE)


@pytest.mark.parametrize("channels, seen", [
    ([[0] * RATE] * 2, "silent"),
    ([[]], "silent"),
    ([TONE[:-9]] * 2, "samples were played"),
    ([TONE + TONE] * 2, "samples were played"),
    ([TONE[:9000] + SILENCE + TONE[9000:]] * 2, "sample [0-9]+ of"),
    ([TONE[:9000] + TONE[9048:]] * 2, "samples were played"),
    ([TONE[:9000] + [TONE[9000] + 1] + TONE[9001:]] * 2, "sample 8999 of"),
    ([TONE, [0] * len(TONE)], "sample 0 of"),
    ([sine(1000, 0.5, 15999)] * 2, "sample [0-9]+ of"),
    ([sine(1050, 0.5)] * 2, "sample [0-9]+ of"),
], ids=["silence", "nothing", "cut", "twice", "a gap", "a piece lost",
        "one sample", "one channel", "quieter", "1050 Hz"])
def test_what_is_not_the_tone_is_seen(tmp_path, channels, seen):
    path = wav(tmp_path / "bad.wav", *channels)
    with pytest.raises(Failure, match=seen):
        demo_check.check_sound(path, RATE, TONE)


@pytest.mark.parametrize("strange", [{"rate": 44100}, {"width": 1}])
def test_sound_of_another_kind_is_refused(tmp_path, strange):
    path = wav(tmp_path / "strange.wav", TONE, **strange)
    with pytest.raises(Failure, match="samples a second|bytes a sample"):
        demo_check.check_sound(path, RATE, TONE)


@pytest.mark.parametrize("size", [0, 20, 44])
def test_a_wav_file_without_sound_is_seen(tmp_path, size):
    path = wav(tmp_path / "cut.wav", TONE)
    os.truncate(path, size)
    with pytest.raises(Failure):
        demo_check.check_sound(path, RATE, TONE)


# -- entropy, features, rows

@pytest.mark.parametrize("data", [bytes(4096), b"entropy!" * 512,
                                  os.urandom(4095)])
def test_what_is_not_random_or_too_short_is_seen(data):
    with pytest.raises(Failure):
        demo_io.check_random(data, 4096)


def test_random_bytes_pass():
    demo_io.check_random(os.urandom(4096), 4096)


def test_features_are_named_the_rings_first():
    bits = ["0"] * 64
    for bit in (9, 29, 34, 50):
        bits[bit] = "1"
    assert demo.feature_names("".join(bits), 2) == [
        "event_idx", "ring_packed", "flush", "bit50"]


class Broken(demo_row.Row):
    name = "virtio-broken"

    def work(self, demo):
        demo_row.expect(False, "saw 7, not 8")


@pytest.mark.parametrize("found, seen", [
    ({}, "no driver"),
    ({"demo-broken": demo.Found("/sys/x", 2, "0" * 32 + "1" + "0" * 31)},
     "packed ring was not negotiated, only: version_1"),
], ids=["no driver", "split ring"])
def test_a_row_without_a_packed_ring_fails(found, seen, tmp_path, capsys):
    show = demo.Demo([Broken], "6.12", tmp_path, tmp_path)
    show._found = found
    show._run_step(show.outcomes[0], "work")
    assert seen in show.outcomes[0].failure.message
    assert "virtio-broken: FAILED" in capsys.readouterr().err


def test_a_failed_row_says_what_was_seen_and_how_to_run_it(tmp_path, capsys):
    good, bad = demo.Outcome(Broken()), demo.Outcome(Broken())
    good.words = ["did it"]
    with pytest.raises(Failure) as seen:
        bad.row.work(None)
    bad.failure = seen.value
    assert demo.show([good, bad], tmp_path) == 1
    text = capsys.readouterr().out
    assert "FAILED" in text and text.count("saw 7, not 8") == 2
    assert "rerun: scripts/demo --only virtio-broken" in text
    assert "1 of 2 rows ok" in text
    assert demo.show([good], tmp_path) == 0


def test_table_cells_wrap():
    lines = demo_table.render(("a", "b"), [("one two three", "x")], (9, 4))
    assert lines == ["a        b", "-------  -", "one two  x", "three"]
