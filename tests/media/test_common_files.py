"""Files as they are about: what other programs leave in folders and containers reads, and what
can't be kept is said.
"""

import logging
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from footage import encode, error_of, far, moving, read_here
from PIL import Image

from openlumiere.media import Clip, MediaError, decode, load_image
from openlumiere.media.limits import for_command

# Folders


def numbered(folder, names, size=(4, 4)):
    for k, name in enumerate(names):
        Image.new("RGB", size, (10 * k, 0, 0)).save(folder / name)


@pytest.mark.parametrize(
    "extra", ["._1.png", ".2.png", ".thumb.jpg", "thumb.png", "Folder.jpg", "clip_thumbnail.png"]
)
def test_hidden_files_and_thumbnails_are_passed_over(tmp_path, extra):
    numbered(tmp_path, ["1.png", "2.png", "10.png"])
    (tmp_path / extra).write_bytes(b"\0\5\26\7 not a picture")
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    clip, _ = read_here(tmp_path)
    assert clip.frames[:, 0, 0, 0].tolist() == [0, 10, 20]


def test_frames_that_are_all_named_like_thumbnails(tmp_path):
    numbered(tmp_path, ["thumb_1.png", "thumb_2.png"])
    assert len(read_here(tmp_path)[0]) == 2


@pytest.mark.parametrize(
    "names",
    [
        ["1.png", "².png"],
        ["①.png", "②.png", "③.png"],
        ["٣.png", "٤.png"],
        ["9" * 200 + ".png", "a.png"],
        ["½.png", "Ⅷ.png", "一.png"],
    ],
)
def test_odd_numbers_in_names(tmp_path, names):
    numbered(tmp_path, names)
    assert len(read_here(tmp_path)[0]) == len(names)


# Containers


def at_times(path, places, codec="mpeg4", rate=10, pixels="yuv420p"):
    """Frames at these places of a clip, straight from the encoder."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width, stream.pix_fmt = 48, 64, pixels
        for frame, place in zip(moving(2 * len(places))[::2], places, strict=True):
            picture = av.VideoFrame.from_ndarray(frame)
            picture.pts = place
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


@pytest.mark.parametrize("places", [[0, 1, 2, 6, 7, 9], [0, 5], [0, 1, 2, 3, 4, 30]])
@pytest.mark.parametrize(("codec", "pixels"), [("mpeg4", "yuv420p"), ("mjpeg", "yuvj420p")])
def test_avi_with_empty_slots(tmp_path, places, codec, pixels):
    at_times(tmp_path / "a.avi", places, codec, pixels=pixels)
    clip, stored = read_here(tmp_path / "a.avi")
    assert stored == len(places) and clip.fps == 10 and len(clip) == places[-1] + 1
    frames = moving(2 * len(places))[::2]
    shown = np.searchsorted(places, range(places[-1] + 1), side="right") - 1
    assert far(clip.frames, frames[shown]) < 12


@pytest.mark.parametrize("cut", [0.5, 0.7, 0.9])
def test_an_avi_that_breaks_off_is_still_refused(tmp_path, cut):
    at_times(tmp_path / "a.avi", [*range(20), 25, 26, 30], "mjpeg", pixels="yuvj420p")
    data = (tmp_path / "a.avi").read_bytes()
    (tmp_path / "a.avi").write_bytes(data[: int(len(data) * cut)])
    error_of(tmp_path / "a.avi")


@pytest.mark.parametrize(("suffix", "codec"), [(".mkv", "libx264"), (".webm", "libvpx-vp9")])
@pytest.mark.parametrize("start", [1000, 2500, 40])
def test_files_that_start_late(tmp_path, suffix, codec, start):
    """With sound, and B frames where there are any, so that FFmpeg sees where the file starts."""
    path = tmp_path / f"a{suffix}"
    with av.open(str(path), "w") as target:
        video = target.add_stream(codec, rate=25)
        video.height, video.width, video.pix_fmt = 48, 64, "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        audio = target.add_stream("libopus", rate=48_000, layout="mono")
        for k, frame in enumerate(moving(25)):
            picture = av.VideoFrame.from_ndarray(frame)
            picture.pts, picture.time_base = start + 40 * k, Fraction(1, 1000)
            target.mux(video.encode(picture))
        target.mux(video.encode())
        for k in range(50):
            part = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.int16), "s16", "mono")
            part.sample_rate, part.time_base = 48_000, Fraction(1, 48_000)
            part.pts = 48 * start + 960 * k
            target.mux(audio.encode(part))
        target.mux(audio.encode())
    clip, stored = read_here(path)
    assert (stored, clip.fps) == (25, 25)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    error_of(path)


# Sequences that are pictures


@pytest.mark.parametrize("suffix", [".png", ".avif"])
def test_every_picture_of_a_sequence_is_read(tmp_path, suffix):
    first, *rest = [Image.fromarray(frame) for frame in moving(10)[::2]]
    path = tmp_path / f"a{suffix}"
    settings = {"quality": 100, "subsampling": "4:4:4"} if suffix == ".avif" else {}
    first.save(path, save_all=True, append_images=rest, duration=125, **settings)
    clip, stored = read_here(path)
    assert stored == 5 and clip.fps == 8 and far(clip.frames, moving(10)[::2]) < 3


def test_apng_of_another_writer_and_of_variable_times(tmp_path):
    encode(tmp_path / "a.apng", moving(8), "apng", "rgb24", rate=12, format="apng")
    clip, stored = read_here(tmp_path / "a.apng")
    assert (stored, clip.fps) == (8, 12) and np.array_equal(clip.frames, moving(8))
    first, *rest = [Image.fromarray(frame) for frame in moving(6)[::2]]
    first.save(tmp_path / "b.png", save_all=True, append_images=rest, duration=[100, 300, 100])
    clip, _ = read_here(tmp_path / "b.png")
    assert clip.fps == 10 and len(clip) == 5
    assert np.array_equal(clip.frames, moving(6)[[0, 2, 2, 2, 4]])


def test_an_apng_with_a_picture_of_its_own_before(tmp_path):
    """The default image is what old readers show; it is no part of the animation."""
    cover = Image.new("RGB", (64, 48), (9, 9, 9))
    rest = [Image.fromarray(frame) for frame in moving(6)[::2]]
    cover.save(
        tmp_path / "a.png", save_all=True, append_images=rest, duration=100, default_image=True
    )
    clip, _ = read_here(tmp_path / "a.png")
    assert np.array_equal(clip.frames, moving(6)[::2])


def test_a_broken_apng_says_where(tmp_path):
    path = Clip(moving(12)).save(tmp_path / "a.apng")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    assert "breaks at second" in error_of(path)
    clip, _ = read_here(path, allow_partial=True)
    assert 1 < len(clip) < 12
    lost = data.index(b"fdAT", len(data) // 2) - 4
    length = struct.unpack(">I", data[lost : lost + 4])[0] + 12
    path.write_bytes(data[:lost] + data[lost + length :])
    error_of(path)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miaf", "avif"),
        (b"\0\0\0\x20ftypmif1\0\0\0\0mif1avifmiaf", "avif"),
        (b"\0\0\0\x20ftypavis\0\0\0\0avismsf1miaf", "avif"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "heic"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "heic"),
        (b"\0\0\0\x18ftyphevc\0\0\0\0hevcmsf1", "heic"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "mov"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "mov"),
    ],
)
def test_photographs_and_videos_in_boxes(tmp_path, head, kind):
    assert decode.kind_of(head + bytes(64)) == kind
    if kind == "heic":
        (tmp_path / "a.heic").write_bytes(head + bytes(64))
        for read in (load_image, Clip.load):
            with pytest.raises(MediaError, match="HEIC photograph a.heic; save it as JPEG"):
                read(tmp_path / "a.heic")


def test_an_avif_photograph_is_a_picture(tmp_path):
    Image.fromarray(moving(1)[0]).save(tmp_path / "a.avif", quality=100, subsampling="4:4:4")
    assert far(load_image(tmp_path / "a.avif"), moving(1)[0]) < 3


# Sound


def with_sound(path, codec, rate=8000, container=None):
    with av.open(str(path), "w", format=container) as target:
        video = target.add_stream("mjpeg", rate=16)
        video.height, video.width, video.pix_fmt = 48, 64, "yuvj420p"
        audio = target.add_stream(codec, rate=rate, layout="mono")
        for frame in moving(16):
            target.mux(video.encode(av.VideoFrame.from_ndarray(frame)))
        target.mux(video.encode())
        wave = (9000 * np.sin(np.arange(rate) * 0.2)).astype(np.int16)
        resampler = av.AudioResampler(
            format=audio.codec_context.format,
            layout="mono",
            rate=rate,
            frame_size=audio.codec_context.frame_size or 500,
        )
        part = av.AudioFrame.from_ndarray(wave[None], "s16", "mono")
        part.sample_rate, part.pts, part.time_base = rate, 0, Fraction(1, rate)
        for piece in [*resampler.resample(part), *resampler.resample(None)]:
            target.mux(audio.encode(piece))
        target.mux(audio.encode())


@pytest.mark.parametrize(
    ("suffix", "codec", "rate"),
    [
        (".mov", "pcm_mulaw", 8000),
        (".mov", "pcm_alaw", 8000),
        (".avi", "pcm_alaw", 8000),
        (".avi", "adpcm_ms", 22050),
        (".avi", "adpcm_ima_wav", 22050),
        (".mov", "adpcm_ima_qt", 44100),
        (".mov", "libopencore_amrnb", 8000),
    ],
)
def test_sound_of_cameras_telephones_and_games_is_kept(tmp_path, suffix, codec, rate):
    with_sound(tmp_path / f"a{suffix}", codec, rate)
    clip = Clip.load(tmp_path / f"a{suffix}")
    assert clip.audio is not None and clip.audio.codec == "flac"
    with av.open(str(clip.save(tmp_path / "out.mp4"))) as saved:
        wave = np.concatenate([frame.to_ndarray()[0] for frame in saved.decode(audio=0)])
        assert abs(len(wave) / saved.streams.audio[0].rate - 1) < 0.2
        assert np.sqrt(np.mean(wave.astype(float) ** 2)) > 0.1


def test_sound_that_cannot_be_kept_is_said(tmp_path, caplog):
    """A codec that nothing here decodes: its name in the file is made one that nobody knows."""
    with_sound(tmp_path / "a.mov", "pcm_mulaw")
    data = (tmp_path / "a.mov").read_bytes()
    (tmp_path / "a.mov").write_bytes(data.replace(b"ulaw", b"zzzz"))
    with caplog.at_level(logging.WARNING, "openlumiere"):
        clip = Clip.load(tmp_path / "a.mov")
    assert clip.audio is None and "sound can't be kept" in caplog.text


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.apng", "a/"])
def test_formats_without_sound_say_so(tmp_path, caplog, name):
    with_sound(tmp_path / "a.mov", "pcm_mulaw")
    clip = Clip.load(tmp_path / "a.mov")
    with caplog.at_level(logging.WARNING, "openlumiere"):
        clip.save(f"{tmp_path}/{name}")
    assert "holds no sound" in caplog.text
    caplog.clear()
    Clip(clip.frames).save(tmp_path / "b.gif")
    assert not caplog.text


# Advice in the words of who asked


def test_advice_names_the_options_of_the_command(tmp_path):
    path = Clip(moving(6)).save(tmp_path / "a.gif")
    path.write_bytes(path.read_bytes()[:-1])
    line = error_of(path)
    assert "allow_partial=True" in line
    assert "--allow-partial" in for_command(line) and "=True" not in for_command(line)
    encode(tmp_path / "a.mkv", moving(12))
    data = (tmp_path / "a.mkv").read_bytes()
    (tmp_path / "a.mkv").write_bytes(data[: len(data) // 2])
    assert "--allow-partial" in for_command(error_of(tmp_path / "a.mkv"))
    assert len(read_here(path, allow_partial=True)[0]) == 6
