"""Stickers: the limits of every place, asserted on the written bytes by parsers of their own."""

import json
import struct
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from footage import flat, moving

from openlumiere.engine.finish import ReportProvenance
from openlumiere.media import Clip, MediaError
from openlumiere.media.alpha import bled, over
from openlumiere.media.keying import connected_to_border, ground_of, keyed
from openlumiere.media.sticker import (
    HAZE,
    LADDERS,
    PLACES,
    _paced,
    _placed,
    best_loop,
    encoded,
    make_sticker,
    place_of,
    subject_box,
)
from openlumiere.media.sticker_pack import About, write_stickers
from openlumiere.provenance.verify import read_manifest

LIMITS = {  # written down once more: format, bytes, seconds, frames a second, frames
    "telegram": ("webm", 256 * 1000, 3, 30, (1, 90)),
    "telegram-emoji": ("webm", 256 * 1000, 3, 30, (1, 90)),
    "whatsapp": ("webp", 500 * 1000, 10, 125, (2, 1250)),
    "discord": ("apng", 512 * 1000, 5, 60, (2, 300)),
    "slack": ("gif", 128 * 1000, 60, 100, (2, 50)),
    "line": ("apng", 300 * 1000, 4, 100, (5, 20)),
    "signal": ("apng", 300 * 1000, 3, 60, (2, 180)),
    "imessage": ("apng", 500 * 1000, 2, 60, (2, 120)),
}


def dancing(count=40, side=128, noise=0):
    """A ball with a stripe that goes round once, transparent around it: a clip that loops."""
    y, x = np.mgrid[:side, :side]
    frames = np.zeros((count, side, side, 4), np.uint8)
    grain = np.random.default_rng(0).integers(-noise, noise + 1, (count, side, side, 3))
    for k, frame in enumerate(frames):
        turn = 2 * np.pi * k / count
        away = np.hypot(y - side / 2 - 12 * np.sin(turn), x - side / 2 - 20 * np.cos(turn))
        frame[..., 3] = ((side / 5 - away) * 64).clip(0, 255)
        stripe = ((x * np.cos(turn) + y * np.sin(turn)) // 6 % 2).astype(int)
        colours = np.stack([220 - 90 * stripe, 60 + 120 * stripe, 90 + 0 * stripe], -1)
        frame[..., :3] = (colours + grain[k]).clip(0, 255)
    return frames


# Parsers of their own: nothing of ours looks at the bytes


def parse_webm(path):
    with av.open(str(path)) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        stream = container.streams.video[0]
        assert stream.codec_context.name in ("vp9", "libvpx-vp9")
        size = stream.codec_context.width, stream.codec_context.height
        packets = [packet for packet in container.demux(stream) if packet.size]
        seconds = container.duration / 1_000_000
        assert stream.metadata.get("alpha_mode", stream.metadata.get("ALPHA_MODE")) == "1"
    return size, len(packets), seconds, seconds / len(packets)


def parse_png(path):
    data, at, waits, size, plays = path.read_bytes(), 8, [], None, None
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    while at < len(data):
        length, name = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        if name == b"IHDR":
            size = struct.unpack(">II", body[:8])
        if name == b"acTL":
            stated, plays = struct.unpack(">II", body)
        if name == b"fcTL":
            top, bottom = struct.unpack(">HH", body[20:24])
            waits.append(top / (bottom or 100))
        at += 12 + length
    assert name == b"IEND" and stated == len(waits)
    return size, len(waits), sum(waits) * max(plays, 1), min(waits)


def parse_webp(path):
    data = path.read_bytes()
    assert data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    assert struct.unpack("<I", data[4:8])[0] + 8 == len(data)
    at, waits, size, has_alpha = 12, [], None, False
    while at < len(data):
        name, length = struct.unpack("<4sI", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        if name == b"VP8X":
            has_alpha = bool(body[0] & 0x10) and bool(body[0] & 0x02)
            size = tuple(int.from_bytes(body[k : k + 3], "little") + 1 for k in (4, 7))
        if name == b"ANMF":
            waits.append(int.from_bytes(body[12:15], "little") / 1000)
        at += 8 + length + length % 2
    assert has_alpha
    return size, len(waits), sum(waits), min(waits)


def parse_gif(path):
    data, waits = path.read_bytes(), []
    size = struct.unpack("<HH", data[6:10])
    at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    transparent = []
    while data[at] != 0x3B:
        if data[at] == 0x21:
            if data[at + 1] == 0xF9:
                waits.append(struct.unpack("<H", data[at + 4 : at + 6])[0] / 100)
                transparent.append(data[at + 3] & 1)
            at += 2
        else:
            flags = data[at + 9]
            at += 11 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
        while data[at]:
            at += 1 + data[at]
        at += 1
    assert all(transparent) and b"NETSCAPE2.0" in data
    return size, len(waits), sum(waits), min(waits)


PARSERS = {"webm": parse_webm, "webp": parse_webp, "apng": parse_png, "gif": parse_gif}


def check_limits(path, name):
    """The written file against the limits of its place."""
    form, most_bytes, most_seconds, most_rate, frames = LIMITS[name]
    assert path.stat().st_size <= most_bytes
    (width, height), count, seconds, shortest = PARSERS[form](path)
    assert frames[0] <= count <= frames[1]
    assert seconds <= most_seconds + 1e-9 and shortest >= 1 / most_rate - 0.0005
    if name == "telegram":
        assert max(width, height) == 512
    elif name == "line":
        assert width <= 320 and height <= 270 and max(width, height) >= 270
        assert width % 2 == 0 and height % 2 == 0
    else:
        sides = {"telegram-emoji": 100, "discord": 320, "slack": 128, "imessage": 408}
        assert (width, height) == (sides.get(name, 512),) * 2
    if name == "whatsapp":
        assert shortest >= 0.008
    return width, height, count, seconds


def test_every_place_is_tested():
    assert set(PLACES) == set(LIMITS)


SLOW = ("whatsapp", "signal")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.long if name in SLOW else ()) for name in LIMITS],
)
def test_a_clip_fits_every_place(tmp_path, name):
    clip = Clip(dancing(), 16)
    pack = write_stickers([clip], name, tmp_path / "out")
    (path,) = pack.stickers
    _, _, _, seconds = check_limits(path, name)
    loaded = Clip.load(path)
    assert loaded.has_alpha and (loaded.frames[:, 0, 0, 3] == 0).all()
    assert seconds > 1 and (loaded.frames[..., 3] > 200).any(axis=(1, 2)).all()


LONG = [pytest.param(name, marks=pytest.mark.long) for name in ("signal", "imessage")]


@pytest.mark.parametrize("name", ["discord", "line", "slack", *LONG])
def test_noise_is_given_up_for_bytes_and_it_is_said(tmp_path, name):
    """Grain does not compress: colours and rate go until the file fits."""
    clip = Clip(dancing(60, 160, noise=40), 30)
    pack = write_stickers([clip], name, tmp_path / "out")
    check_limits(pack.stickers[0], name)
    assert any("frames kept" in word or "colours" in word for word in pack.words)


def test_too_long_is_trimmed_to_its_best_loop(tmp_path):
    """Five seconds that come round every 40 frames: one round is kept."""
    frames = np.concatenate([dancing(40), dancing(40)])
    pack = write_stickers([Clip(frames, 16)], "telegram", tmp_path / "out")
    assert "trimmed from 5.00 to 2.50 s, frames 0 to 39" in pack.words[0]
    assert check_limits(pack.stickers[0], "telegram")[2] == 40
    assert best_loop(frames, 48) == (0, 40)


def test_the_subject_fills_the_canvas():
    clip = Clip(dancing(8, 200), 8)
    made = make_sticker(clip, "discord")
    left, top, right, bottom = subject_box(made.frames)
    margin = PLACES["discord"].margin
    assert min(left, top) >= margin - 1 and max(right, bottom) <= 320 - margin + 1
    assert max(right - left, bottom - top) >= 320 - 2 * margin - 3


def test_the_box_is_over_all_frames():
    frames = np.zeros((3, 20, 30, 4), np.uint8)
    frames[0, 4, 5, 3] = frames[1, 15, 8, 3] = frames[2, 9, 25, 3] = 255
    assert subject_box(frames) == (5, 4, 26, 16)


def test_a_plain_background_is_taken_out_and_holes_of_its_colour_stay():
    frames = flat((250, 250, 250), 3, 60, 60)
    frames[:, 15:45, 15:45] = (200, 30, 30)
    frames[:, 25:35, 25:35] = (250, 250, 250)
    ground = ground_of(frames)
    assert ground.colour == (250, 250, 250)
    cut = keyed(frames, ground)
    assert (cut[:, :15, :, 3] == 0).all() and (cut[:, 25:35, 25:35, 3] == 255).all()
    assert (cut[:, 18:24, 18:42, 3] == 255).all()
    made = make_sticker(Clip(frames, 8), "slack")
    assert any("#fafafa" in word for word in made.words)
    assert ground_of(np.random.default_rng(0).integers(0, 255, (2, 40, 40, 3), np.uint8)) is None
    kept = make_sticker(Clip(moving(8), 8), "slack")
    assert any("not one colour" in word for word in kept.words)


def test_an_uneven_ground_that_changes_is_taken_out_without_flicker():
    """White, warmer to one side, noisy, that turns yellow within the clip; the ball touches the
    border now and then.
    """
    ball = dancing(16)
    x = np.linspace(-1, 1, 128)
    grain = np.random.default_rng(0).normal(0, 3, (16, 128, 128, 1))
    slope = np.stack([250 - 4 * x, 248 - 8 * x, 240 - 14 * x], axis=-1)[None, None]
    ground = np.where(np.arange(16)[:, None, None, None] < 9, slope, slope - (10, 40, 150))
    ground = (ground + grain).clip(0, 255).astype(np.uint8)
    frames = over(np.roll(ball, -32, axis=2), ground)
    true = np.roll(ball, -32, axis=2)[..., 3].astype(int)
    found = keyed(frames, ground_of(frames)).astype(int)
    both = (found[..., 3] >= 128) & (true >= 128)
    either = (found[..., 3] >= 128) | (true >= 128)
    assert both.sum() / either.sum() > 0.95
    assert (found[..., 3][true == 0] > 0).mean() < 0.01
    steps = [np.abs(np.diff(alpha, axis=0)).mean() for alpha in (found[..., 3], true)]
    assert steps[0] / steps[1] == pytest.approx(1, abs=0.05)
    edge = (true > 60) & (true < 200) & (found[..., 3] > 60)
    gap = np.abs(found[..., :3] - np.roll(ball, -32, axis=2)[..., :3])[edge]
    assert np.median(gap) < 25  # what was white in mixed colours is out of them


def test_connected_parts_against_a_plain_search():
    rng = np.random.default_rng(3)
    for _ in range(20):
        mask = rng.random((17, 23)) < 0.6
        border = [(y, x) for y in range(17) for x in range(23) if y in (0, 16) or x in (0, 22)]
        seen, open_ = set(), [place for place in border if mask[place]]
        while open_:
            y, x = open_.pop()
            if (y, x) in seen or not (0 <= y < 17 and 0 <= x < 23) or not mask[y, x]:
                continue
            seen.add((y, x))
            open_ += [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
        expected = np.zeros((17, 23), bool)
        for place in seen:
            expected[place] = True
        assert np.array_equal(connected_to_border(mask), expected)


@pytest.mark.parametrize(
    ("clip", "name", "said"),
    [
        (Clip(np.zeros((4, 16, 16, 4), np.uint8)), "telegram", "fully transparent"),
        (Clip(flat((9, 9, 9), 4)), "discord", "nothing before its background"),
        (Clip(dancing(4), 8), "line", "at least 5 different frames"),
        (Clip(dancing(1).repeat(20, axis=0), 8), "line", "at least 5 different frames"),
        (Clip(dancing(4), 8), "facebook", "choose one of them"),
        (Clip(dancing(4), 8), "telegrm", "perhaps you meant telegram"),
    ],
)
def test_what_is_no_sticker_ends_in_one_line(tmp_path, clip, name, said):
    with pytest.raises(MediaError, match=said) as caught:
        write_stickers([clip], name, tmp_path / "out")
    assert str(caught.value).isprintable() and not list(tmp_path.iterdir())


def bled_of(clip):
    return np.stack([bled(frame) for frame in clip.frames])


def test_the_search_finds_what_trying_everything_in_order_finds():
    frames = dancing(12, noise=60)
    clip = Clip(np.where(frames[..., 3:] < HAZE, 0, frames).astype(np.uint8), 12)
    place = replace(PLACES["telegram-emoji"], rate=Fraction(12))
    every = [
        (quality.name, frames, len(encoded(bled_of(paced), paced.fps, place, quality)))
        for good in (True, False)
        for frames in (12, 8, 6)
        for paced in [_paced(_placed(clip, 100, 100, 2), Fraction(frames), None)]
        for quality in LADDERS["webm"]
        if quality.good == good
    ]
    for size in sorted({size for _, _, size in every})[::7]:
        name, frames, _ = next(row for row in every if row[2] <= size)
        made = make_sticker(clip, replace(place, size=size))
        assert len(made.frames) == frames and (not name or name in made.words)


def test_what_cannot_fit_says_what_it_would_take():
    tight = replace(PLACES["slack"], size=300)
    with pytest.raises(MediaError, match="at most 300 bytes for slack"):
        make_sticker(Clip(dancing(8), 8), tight)


# Packs


def test_a_whatsapp_pack(tmp_path):
    clips = [Clip(dancing(8, 64 + 16 * k), 8) for k in range(3)]
    about = About(name="Balls", author="me", emoji=("🙂 🎉", "⚽", "🏀"))
    pack = write_stickers(clips, "whatsapp", tmp_path / "out", about)
    assert not pack.words and len(pack.stickers) == 3
    for path in pack.stickers:
        check_limits(path, "whatsapp")
    contents = json.loads((tmp_path / "out" / "contents.json").read_text(encoding="utf-8"))
    (said,) = contents["sticker_packs"]
    assert (said["name"], said["publisher"], said["animated_sticker_pack"]) == ("Balls", "me", True)
    assert [each["image_file"] for each in said["stickers"]] == ["01.webp", "02.webp", "03.webp"]
    assert said["stickers"][0]["emojis"] == ["🙂", "🎉"]
    tray = tmp_path / "out" / said["tray_image_file"]
    assert struct.unpack(">II", tray.read_bytes()[16:24]) == (96, 96)
    assert tray.stat().st_size <= 50_000


def test_a_line_set(tmp_path):
    pack = write_stickers([Clip(dancing(8), 8)] * 8, "line", tmp_path / "out")
    assert not pack.words and {file.name for file in pack.files} == {"main.png", "tab.png"}
    size, count, seconds, _ = parse_png(tmp_path / "out" / "main.png")
    assert size == (240, 240) and 5 <= count <= 20 and seconds <= 4
    tab = (tmp_path / "out" / "tab.png").read_bytes()
    assert struct.unpack(">II", tab[16:24]) == (96, 74)


def test_signal_and_telegram_say_their_emoji(tmp_path):
    clips = [Clip(dancing(6, 64), 8), Clip(dancing(6, 80), 8)]
    about = About(emoji=("🙂", "⚽"))
    write_stickers(clips, "signal", tmp_path / "s", about)
    manifest = json.loads((tmp_path / "s" / "manifest.json").read_text(encoding="utf-8"))
    assert [each["emoji"] for each in manifest["stickers"]] == ["🙂", "⚽"]
    assert manifest["cover"]["file"] == "01.png"
    write_stickers(clips, "telegram", tmp_path / "t", about)
    listed = (tmp_path / "t" / "emoji.txt").read_text(encoding="utf-8").split()
    assert listed == ["01.webm", "🙂", "02.webm", "⚽"]
    assert parse_webm(tmp_path / "t" / "icon.webm")[0] == (100, 100)


def test_telegrams_icon_and_sticker_are_no_longer_than_three_seconds_once_rounded(tmp_path):
    """48 frames at 16 a second are 3 s, and 3.001 s in whole milliseconds."""
    write_stickers([Clip(dancing(60, 40, noise=60), 16)], "telegram", tmp_path / "t")
    for name, most in (("01.webm", 256_000), ("icon.webm", 32_000)):
        path = tmp_path / "t" / name
        assert parse_webm(path)[2] <= 3 and path.stat().st_size <= most


def test_haze_around_a_subject_is_cut_away():
    """An autoencoder leaves a few levels of alpha in the corners."""
    frames = dancing(4, 96)
    frames[..., 3] = np.maximum(frames[..., 3], 12)
    made = make_sticker(Clip(frames, 8), "discord").frames
    assert np.array_equal(made, make_sticker(Clip(dancing(4, 96), 8), "discord").frames)


def test_packs_of_the_wrong_size(tmp_path):
    clip = Clip(dancing(6, 64), 8)
    pack = write_stickers([clip], "whatsapp", tmp_path / "one")
    assert "packs of 3 or more" in pack.words[-1]
    with pytest.raises(MediaError, match="1 to 30 stickers"):
        write_stickers([clip] * 31, "whatsapp", tmp_path / "many")
    with pytest.raises(MediaError, match="as many emoji"):
        write_stickers([clip] * 3, "whatsapp", tmp_path / "odd", About(emoji=("🙂", "⚽")))
    with pytest.raises(MediaError, match="a new or empty folder"):
        write_stickers([clip], "whatsapp", tmp_path / "one")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(MediaError, match="a folder for the stickers"):
        write_stickers([clip], "whatsapp", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", ["whatsapp", "signal", "slack"])
def test_a_generated_clip_stays_within_the_limits_when_signed(tmp_path, name):
    origin = ReportProvenance(command="lumiere evaluate", model="0" * 64)
    clip = Clip(dancing(12), 12, origin=origin)
    pack = write_stickers([clip], name, tmp_path / "out")
    check_limits(pack.stickers[0], name)
    assert read_manifest(pack.stickers[0]).state not in ("none", "invalid")


def test_places_are_frozen_values_with_sources():
    for name, place in PLACES.items():
        assert place.name == name and place.source and place.seconds > 0
        with pytest.raises(AttributeError):
            place.size = 1
    assert place_of("line").seconds == Fraction(4)
