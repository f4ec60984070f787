"""The pieces of ingestion alone: captions, the model's clock, framing, tones, rules, duplicates."""

import json
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from recordings import SMALL, brightness, moving, mux, save

from openlumiere.data.ingest import pictures, rules
from openlumiere.data.ingest.config import IngestConfig, Score
from openlumiere.data.ingest.duplicates import Seen
from openlumiere.data.ingest.listing import clean, from_name, list_footage
from openlumiere.data.ingest.reading import Framer, Reader, ticks
from openlumiere.media import Clip
from openlumiere.media.light import HLG, PQ
from stated import ONE, encode_deep, with_matrix


def captions_of(folder, **options):
    return {each.name: each.caption for each in list_footage(folder, **options).footage}


def test_where_captions_come_from(tmp_path):
    """A table before a file beside, a file beside before the name."""
    for name in ("a_red_kite_01", "text", "both", "table"):
        (tmp_path / "in" / f"{name}.mp4").parent.mkdir(exist_ok=True)
        (tmp_path / "in" / f"{name}.mp4").touch()
    (tmp_path / "in" / "text.txt").write_text("  a boat\non a lake \x1b[31m")
    (tmp_path / "in" / "both.json").write_text(
        json.dumps({"caption": "json", "licence": "CC0-1.0"})
    )
    (tmp_path / "in" / "table.txt").write_text("not this")
    (tmp_path / "in" / "captions.csv").write_text(
        'file,caption\ntable.mp4,"a ""table"", two\nlines"\n'
    )
    found = {each.name: each for each in list_footage(tmp_path / "in", "CC-BY-4.0").footage}
    assert {name: each.caption for name, each in found.items()} == {
        "a_red_kite_01.mp4": "a red kite",
        "text.mp4": "a boat on a lake [31m",
        "both.mp4": "json",
        "table.mp4": 'a "table", two lines',
    }
    assert found["both.mp4"].licence == "CC0-1.0"
    assert found["text.mp4"].licence == "CC-BY-4.0"


def test_a_named_table_has_the_last_word(tmp_path):
    import pyarrow
    import pyarrow.parquet

    (tmp_path / "in" / "nested").mkdir(parents=True)
    (tmp_path / "in" / "nested" / "clip.mp4").touch()
    (tmp_path / "in" / "nested" / "list.csv").write_text("video,text\nclip.mp4,near\n")
    assert captions_of(tmp_path / "in") == {"nested/clip.mp4": "near"}
    table = pyarrow.Table.from_pylist([{"path": "nested/clip.mp4", "prompt": "far"}])
    pyarrow.parquet.write_table(table, tmp_path / "far.parquet")
    found = captions_of(tmp_path / "in", captions=tmp_path / "far.parquet")
    assert found == {"nested/clip.mp4": "far"}


def test_caption_files_that_cannot_be_read_are_problems(tmp_path):
    (tmp_path / "clip.mp4").touch()
    (tmp_path / "clip.json").write_text("{broken")
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.parquet").write_text("no")
    listing = list_footage(tmp_path)
    assert [each.caption for each in listing.footage] == ["clip"]
    assert [name for name, _ in listing.problems] == ["a.csv", "b.parquet", "clip.mp4"]
    with pytest.raises(ValueError, match="expected a CSV or Parquet table, got .* save it again"):
        list_footage(tmp_path, captions=tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("said", "cleaned"),
    [
        ("two\nlines\t\0", "two lines"),
        ("a\u202egnp.exe", "a gnp.exe"),
        ("family \U0001f468\u200d\U0001f469", "family \U0001f468\u200d\U0001f469"),
        ("x" * 10**6, "x" * 2000),
        ("lone \udcff surrogate", "lone surrogate"),
    ],
)
def test_captions_are_one_clean_line(said, cleaned):
    assert clean(said) == cleaned


def test_names_become_words():
    assert from_name("A_red-kite.flies__up_0012") == "A red kite flies up"


def clock(times, fps=8, most=100):
    """(tick time in ms, frame number) of frames at `times` in ms; the last lasts 125 ms."""
    timed = [(Fraction(time, 1000), number) for number, time in enumerate(times)]
    found = ticks(timed, Fraction(fps), lambda: Fraction(1, 8), most)
    return [(float(1000 * tick.time), tick.frame, tick.fresh, tick.breaks) for tick in found]


def test_each_tick_shows_the_frame_then_on_screen():
    assert [frame for _, frame, _, _ in clock([0, 125, 250])] == [0, 1, 2]
    assert [frame for _, frame, _, _ in clock([0, 62, 125, 187])] == [0, 2, 3]
    variable = clock([1000, 1100, 1600])
    assert [(time, frame, fresh) for time, frame, fresh, _ in variable] == [
        (0, 0, True),
        (125, 1, True),
        (250, 1, False),
        (375, 1, False),
        (500, 1, False),
        (625, 2, True),
    ]


def test_times_that_run_backwards_or_stand_for_hours_start_the_clock_anew():
    back = clock([0, 125, 250, 50, 175])
    assert [(frame, breaks) for _, frame, _, breaks in back] == [
        (0, False),
        (1, False),
        (3, True),
        (4, False),
    ]
    gap = clock([0, 125, 36_000_000], most=4)
    assert [(frame, breaks) for _, frame, _, breaks in gap] == [
        *((0, False), (1, False), (1, False), (1, False), (1, False)),
        (2, True),
    ]


def test_frames_without_time_give_nothing():
    assert clock([5, 5, 5]) == [(0, 2, True, False)]


def test_a_variable_rate_is_kept_true(tmp_path):
    """Of a file whose frame 3 stays for a second, the clock shows just that."""
    times = [0, 125, 250, 1250, 1375, 1500]
    path = mux(tmp_path / "clip.mkv", moving(1, 6), times=times)
    reader = Reader(path, SMALL, lambda: None)
    found = list(ticks(reader, Fraction(8), lambda: reader.lasts, 100))
    assert [round(8 * float(tick.time)) for tick in found] == list(range(13))
    assert [tick.fresh for tick in found] == [True] * 3 + [False] * 7 + [True] * 3


def halves(width=64, height=32):
    """A frame, red on the left, blue on the right."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, : width // 2, 0] = 255
    picture[:, width // 2 :, 2] = 255
    return av.VideoFrame.from_ndarray(picture, format="rgb24")


def test_a_crop_keeps_the_middle_and_a_letterbox_everything():
    crop = Framer(16, "crop", None)(halves())
    assert crop.shape == (16, 16, 3) and crop[8, 1, 0] > 250 and crop[8, 14, 2] > 250
    box = Framer(16, "letterbox", None)(halves())
    assert (
        box[:4].max() == 0 and box[12:].max() == 0 and box[4:12].reshape(-1, 3).max(1).min() > 100
    )


def test_pixels_that_are_not_square_are_made_so():
    """64 x 32 stored with pixels half as wide as high is shown 32 x 32: no part is cut off."""
    quarters = np.repeat(np.uint8([10, 90, 170, 250]), 16)[None, :, None].repeat(32, 0).repeat(3, 2)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(quarters), format="rgb24")
    made = Framer(16, "crop", Fraction(1, 2))(frame)
    assert np.abs(made[8, [1, 6, 9, 14], 0].astype(int) - [10, 90, 170, 250]).max() <= 3


def test_files_say_their_aspect(tmp_path):
    path = mux(tmp_path / "clip.mp4", moving(1), codec="libx264", shape=Fraction(2))
    reader = Reader(path, SMALL, lambda: None)
    list(reader)
    assert (reader.facts.width, reader.facts.height) == (96, 36)


def test_8k_is_read(tmp_path):
    stripes = np.zeros((1, 4320, 7680, 3), np.uint8)
    stripes[:, :, 3840:] = 200
    path = mux(tmp_path / "8k.avi", stripes, codec="mjpeg")
    reader = Reader(path, SMALL, lambda: None)
    ((_, frame),) = reader
    made = Framer(32, "crop", reader.shape)(frame)[16, :, 0]
    assert (reader.facts.width, reader.facts.height) == (7680, 4320)
    assert made[:15].max() < 10 and made[17:].min() > 190


def test_interlaced_frames_lose_their_combs(tmp_path):
    """Fields a quarter of the picture apart: of a frame made of both, one is left."""
    frames = np.full((8, 32, 32, 3), 20, np.uint8)
    for number, frame in enumerate(frames):
        frame[0::2, 3 * number : 3 * number + 4] = 230
        frame[1::2, 3 * number + 6 : 3 * number + 10] = 230
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=8, options={"flags": "+ildct+ilme", "qp": "1"}
        )
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        stream.codec_context.flags |= 0x40000 | 0x20000000
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    reader = Reader(path, SMALL, lambda: None)
    shown = [frame.to_ndarray(format="gray")[8:24].astype(int) for _, frame in reader]
    assert reader.facts.interlaced and len(shown) == 8
    combed = np.mean([np.abs(np.diff(picture, axis=0)).mean() for picture in shown])
    raw = np.abs(np.diff(frames[:, 8:24, :, 0].astype(int), axis=1)).mean()
    assert combed < raw / 3


def turned(path, *matrix):
    """The same mp4 with another display matrix: its parts are -1, 0 or 1."""
    return with_matrix(path, *(part * ONE for part in matrix))


def hdr(path, transfer, size=64):
    """Two frames of 10 bits in PQ or HLG and BT.2020, as phones record: greys, slightly tinted."""
    luma = np.linspace(64, 720, size)[None].repeat(size, 0)
    blue = np.linspace(470, 550, size // 2)[:, None].repeat(size // 2, 1)
    return encode_deep(path, luma, blue, 1024 - blue, transfer, rate=8)


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_hdr_is_trained_on_as_it_is_loaded(tmp_path, transfer):
    """One curve: the picture of a shard is the loaded clip's, made smaller."""
    path = hdr(tmp_path / "clip.mkv", transfer)
    reader = Reader(path, SMALL, lambda: None)
    (_, frame), *_ = reader
    made = Framer(32, "crop", reader.shape)(frame).astype(int)
    loaded = Clip.load(path).frames[0].reshape(32, 2, 32, 2, 3).mean((1, 3))
    assert reader.facts.hdr
    assert np.abs(made - loaded).max() <= 4  # averaged before the curve, not after it
    assert np.ptp(made[:, :, 1]) > 100


@pytest.mark.parametrize("matrix", [(0, 1, -1, 0), (-1, 0, 0, 1)])
def test_turned_and_mirrored_files_are_trained_on_as_they_are_loaded(tmp_path, matrix):
    path = turned(mux(tmp_path / "clip.mp4", moving(1, 1), codec="libx264"), *matrix)
    reader = Reader(path, SMALL, lambda: None)
    (_, frame), *_ = reader
    made = Framer(36, "crop", reader.shape)(frame).astype(int)
    loaded = Clip.load(path).frames[0].astype(int)
    top, left = ((side - 36) // 2 for side in loaded.shape[:2])
    assert (reader.facts.height, reader.facts.width) == loaded.shape[:2]
    assert np.abs(made - loaded[top : top + 36, left : left + 36]).max() <= 3


def test_text_and_logos_are_found_where_the_picture_moves():
    rng = np.random.default_rng(0)
    config = IngestConfig(side=64, frames=32, fps=Fraction(16))
    coarse = rng.integers(0, 120, (32, 8, 8, 3)).astype(np.uint8)
    plain = np.repeat(np.repeat(coarse, 8, 1), 8, 2)
    fresh = [True] * 32
    text, logo = plain.copy(), plain.copy()
    text[:16, 52:58, 8:56:4] = 240  # a second of letters in the lower quarter
    logo[:, 4:10, 50:60:2] = 220  # a mark in the corner all the time
    found = [rules.measure(clip, fresh, config) for clip in (plain, text, logo)]
    assert [each.text for each in found] == [False, True, True]
    assert [each.logo for each in found] == [False, False, True]
    assert "text" in rules.broken_rules(found[1], config)
    assert rules.reason(["text"], found[1], config) == ""  # noted, not dropped
    assert rules.reason(["text"], found[1], replace(config, drop=("text",))) != ""


def hash_of(frames):
    return rules.phash(frames.astype(np.float32) @ rules.LUMA)


def natural(seed, frames=4, side=64):
    """Smooth noise that drifts: like a picture, most of it in low frequencies."""
    rng = np.random.default_rng(seed)
    rows = np.cumsum(np.cumsum(rng.normal(size=(side, side + frames, 3)), 0), 1)
    rows -= rows.min()
    return np.stack([rows[:, k : k + side] * 255 / rows.max() for k in range(frames)]).astype(
        np.uint8
    )


def distance(a, b):
    return (int(a, 16) ^ int(b, 16)).bit_count()


def test_an_encoded_copy_is_a_duplicate_and_another_clip_is_not(tmp_path):
    hashes = []
    for seed in range(12):
        clip = natural(seed)
        if seed < 3:
            copy = Clip.load(save(tmp_path / "copy.webm", clip)).frames
            assert distance(hash_of(clip), hash_of(copy)) <= 11
        hashes.append(hash_of(clip))
    apart = [distance(a, b) for n, a in enumerate(hashes) for b in hashes[:n]]
    assert min(apart) > 11


@pytest.mark.parametrize("most", [0, 1, 7, 11, 23])
def test_near_hashes_are_found_as_by_comparing_all(most):
    rng = np.random.default_rng(most)
    seen, kept = Seen(most), []
    for number in range(400):
        value = int.from_bytes(rng.bytes(24))
        if kept and number % 2:
            value = int(kept[rng.integers(len(kept))], 16)
            for bit in rng.choice(192, rng.integers(0, 2 * most + 2), replace=False):
                value ^= 1 << int(bit)
        phash = f"{value:048x}"
        near = [n for n, other in enumerate(kept) if distance(phash, other) <= most]
        assert seen.find(phash) == (str(near[0]) if near else None)
        if not near:
            seen.keep(str(len(kept)), phash)
            kept.append(phash)
    assert 100 < len(kept) < 400


@pytest.mark.parametrize("frames", [1, 2, 7, 8, 80, 300])
@pytest.mark.parametrize("picture", ["webp", "webp-lossless", "npz"])
def test_packed_frames_come_back(frames, picture):
    config = replace(SMALL, frames=frames, picture=picture, quality=95)
    clip = natural(frames, min(frames, 40), 32)
    clip = np.concatenate([clip] * -(-frames // len(clip)))[:frames]
    back = pictures.unpack(pictures.pack(clip, config), config)
    assert back.shape == clip.shape
    if picture == "webp":
        assert np.abs(back.astype(int) - clip).mean() < 10
    else:
        assert np.array_equal(back, clip)


def test_a_score_per_picture_is_the_greatest_of_two_a_second():
    clip = np.zeros((8, 4, 4, 3), np.uint8)
    clip[-1] = 200
    score = Score(name="light", function="recordings:brightness", per="picture")
    assert rules.apply(score, clip, Fraction(8)) == brightness(clip[-1])


def test_a_config_comes_back_from_its_facts():
    config = replace(SMALL, scores=(Score(name="x", function="a:b"),), fps=Fraction(24000, 1001))
    assert IngestConfig.from_facts(json.loads(json.dumps(config.facts()))) == config
    with pytest.raises(ValueError, match="expected the fields of this version, got 'odd'"):
        IngestConfig.from_facts({"odd": 1})
