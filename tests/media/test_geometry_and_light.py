"""What a stream or a picture says of its geometry and light is applied, refused or said."""

import io
import logging
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from footage import encode, error_of, far, flat, moving, read_here
from PIL import Image

from openlumiere.media import (
    Clip,
    MediaError,
    decode,
    light,
    load_image,
    load_mask,
    picture_from,
    pixels,
)
from openlumiere.media.limits import STANDARD
from stated import ONE, encode_deep, with_matrix


def words_of(path, limits=STANDARD):
    """The sentences that reading `path` leaves behind."""
    return " | ".join(decode.read(path, io.BytesIO(), limits).words)


# Display matrices

TURNS = {  # a, b, c, d of the matrix, and what it does to a picture [h, w]
    (1, 0, 0, 1): lambda picture: picture,
    (-1, 0, 0, 1): lambda picture: picture[:, ::-1],
    (1, 0, 0, -1): lambda picture: picture[::-1],
    (-1, 0, 0, -1): lambda picture: picture[::-1, ::-1],
    (0, 1, 1, 0): lambda picture: picture.swapaxes(0, 1),
    (0, 1, -1, 0): lambda picture: np.rot90(picture, -1),
    (0, -1, 1, 0): lambda picture: np.rot90(picture, 1),
    (0, -1, -1, 0): lambda picture: picture[::-1, ::-1].swapaxes(0, 1),
}


@pytest.mark.parametrize("matrix", TURNS)
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_all_eight_display_matrices(tmp_path, matrix, suffix):
    path = tmp_path / f"a{suffix}"
    encode(path, moving(3), "libx264rgb", "rgb24", options={"qp": "0"})
    with_matrix(path, *(part * ONE for part in matrix))
    clip, _ = read_here(path)
    shown = np.stack([TURNS[matrix](frame) for frame in moving(3)])
    assert np.array_equal(clip.frames, shown)


def test_a_matrix_that_scales_is_a_turn_and_one_askew_is_refused(tmp_path):
    path = tmp_path / "a.mp4"
    encode(path, moving(2), "libx264rgb", "rgb24", options={"qp": "0"})
    with_matrix(path, -2 * ONE, 0, 0, 2 * ONE)
    assert np.array_equal(read_here(path)[0].frames, moving(2)[:, :, ::-1])
    with_matrix(path, 46341, 46341, -46341, 46341)
    assert "quarters" in error_of(path)


# Pixel aspect


@pytest.mark.parametrize(
    ("shape", "size"),
    [((4, 3), (85, 48)), ((8, 9), (64, 54)), ((1, 2), (64, 96)), ((16, 15), (68, 48))],
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_oblong_pixels_become_square(tmp_path, shape, size, suffix):
    def tune(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(*shape)

    path = tmp_path / f"a{suffix}"
    codec = "mpeg4" if suffix == ".avi" else "libx264"
    encode(path, moving(4), codec, tune=tune)
    clip, _ = read_here(path)
    assert clip.size == size and len(clip) == 4
    assert f"{shape[0]}:{shape[1]}" in words_of(path)


def test_a_pixel_shape_that_is_a_mistake_is_left(tmp_path):
    def tune(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(1000, 1)

    encode(tmp_path / "a.mkv", moving(2), tune=tune)
    assert read_here(tmp_path / "a.mkv")[0].size == (64, 48)


# Fields


def woven(count=8, height=64, width=96, top_first=True):
    """A bright square that moves by 8 pixels a frame, 4 a field, on interlaced frames."""
    frames = np.full((count, height, width, 3), 20, np.uint8)
    for k in range(count):
        for field in range(2):
            rows = slice(field if top_first else 1 - field, None, 2)
            left = 4 + 8 * k + 4 * field
            square = np.full((height, width, 3), 20, np.uint8)
            square[16:48, left : left + 16] = 220
            frames[k, rows] = square[rows]
    return frames


def combed(frames):
    """Share of pixels inside the square's rows that differ from both neighbours above and below."""
    rows = frames[:, 20:44, :, 1].astype(int)
    above = rows[:, 1:-1] - rows[:, :-2]
    below = rows[:, 1:-1] - rows[:, 2:]
    return ((above * below > 40**2) & (np.abs(above) > 40)).mean()


@pytest.mark.parametrize(
    ("suffix", "codec", "options"),
    [
        (".mkv", "mpeg2video", {"flags": "+ildct+ilme", "q": "2"}),
        (".ts", "mpeg2video", {"flags": "+ildct+ilme", "q": "2"}),
        (".mp4", "libx264", {"x264-params": "tff=1", "crf": "10"}),
        (".mkv", "libx264", {"x264-params": "bff=1", "crf": "10"}),
    ],
)
def test_interlaced_frames_lose_their_comb(tmp_path, suffix, codec, options):
    path = tmp_path / f"a{suffix}"
    bottom = "bff" in options.get("x264-params", "")
    encode(path, woven(top_first=not bottom), codec, rate=25, options=options)
    clip, stored = read_here(path)
    assert "interlaced" in words_of(path)
    assert combed(woven()) > 0.05 and combed(clip.frames) < 0.005
    assert (stored, len(clip), clip.fps) == (8, 8, 25)


def test_progressive_frames_pass_untouched(tmp_path):
    encode(tmp_path / "a.mp4", moving(4), "libx264rgb", "rgb24", options={"qp": "0"})
    assert np.array_equal(read_here(tmp_path / "a.mp4")[0].frames, moving(4))
    assert words_of(tmp_path / "a.mp4") == ""


# Light


def ramp(levels):
    """Frames of 16 grey columns at these 10-bit luma levels."""
    row = np.repeat(np.asarray(levels, "<u2"), 8)
    return np.broadcast_to(row, (32, len(row)))


def encode_grey(path, levels, transfer):
    return encode_deep(path, ramp(levels), 512, 512, transfer)


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_hdr_is_brought_to_sdr(tmp_path, transfer, name, suffix):
    """Greys stay grey and in order, black stays black, highlights keep apart, and it is said."""
    path = tmp_path / f"a{suffix}"
    encode_grey(path, np.linspace(64, 940 if name == "HLG" else 720, 16).round(), transfer)
    clip, _ = read_here(path)
    assert f"HDR ({name})" in words_of(path)
    row = clip.frames[0, 16, 4::8].astype(int)
    assert np.ptp(row, axis=1).max() <= 3
    assert (np.diff(row[:, 1]) > 0).all() and row[0, 1] == 0 and row[-1, 1] >= 250


def test_reference_white_and_a_dark_grey():
    """203 cd/m2 stays well below white, and 20 cd/m2 is what SDR shows for a tenth of its white."""
    curve = light.linear(light.PQ)
    assert abs(np.interp(1.0, curve, np.linspace(0, 1, len(curve))) - 0.58) < 0.01
    assert light.compressed(np.float32([0.1]))[0] == np.float32(0.1)
    compressed = light.compressed(np.linspace(0, 5, 500))
    assert (np.diff(compressed) > 0)[:-10].all() and compressed.max() <= 1
    assert 0.7 < light.compressed(np.array([1.0]))[0] < 0.85


@pytest.mark.parametrize(
    ("codec", "layout", "full", "space"),
    [
        ("libx264", "yuv420p", 2, 1),
        ("libx264", "yuv420p", 1, 5),
        ("libx264", "yuv420p10le", 2, 9),
        ("libvpx-vp9", "yuv420p", 2, 1),
        ("mjpeg", "yuvj420p", 2, 5),
    ],
)
def test_colour_range_and_matrix_are_applied(tmp_path, codec, layout, full, space):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=16)
        stream.height, stream.width, stream.pix_fmt = 32, 48, layout
        stream.codec_context.color_range, stream.codec_context.colorspace = full, space
        for k, frame in enumerate(flat((200, 60, 30), 2)):
            picture = av.VideoFrame.from_ndarray(frame).reformat(
                format=layout, dst_colorspace=space, dst_color_range=full
            )
            picture.pts = k
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    colour = read_here(path)[0].frames[:, 16, 24]
    assert np.abs(colour.astype(int) - (200, 60, 30)).max() <= 6


# Profiles, depth, turns of pictures


def profile(red, green, blue):
    """An ICC profile (version 2, matrix and gamma 2.2) with these colorants in XYZ."""

    def xyz(values):
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(v * ONE)) for v in values)

    gamma = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0"
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(79)
    parts = {
        b"desc": text,
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": xyz((0.9642, 1.0, 0.8249)),
        b"rXYZ": xyz(red),
        b"gXYZ": xyz(green),
        b"bXYZ": xyz(blue),
        **{name: gamma for name in (b"rTRC", b"gTRC", b"bTRC")},
    }
    at, table, body = 132 + 12 * len(parts), b"", b""
    for name, content in parts.items():
        content += bytes(-len(content) % 4)
        table += name + struct.pack(">II", at + len(body), len(content))
        body += content
    size = at + len(body)
    head = struct.pack(">I4s4s4s4s4s", size, b"\0\0\0\0", b"\2\x10\0\0", b"mntr", b"RGB ", b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061) + bytes(48)
    return head + struct.pack(">I", len(parts)) + table + body


RED, GREEN, BLUE = (0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)
SWAPPED = profile(GREEN, RED, BLUE)
PLAIN = profile(RED, GREEN, BLUE)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tiff"])
def test_profiles_are_applied(tmp_path, name):
    picture = Image.new("RGB", (16, 16), (200, 0, 0))
    lossless = {"lossless": True} if name == "a.webp" else {}
    picture.save(tmp_path / name, icc_profile=SWAPPED, **lossless)
    colour = load_image(tmp_path / name)[8, 8].astype(int)
    assert colour[0] < 30 and colour[1] > 180
    assert np.array_equal(read_here(tmp_path / name)[0].frames[0, 8, 8], colour)
    with Image.open(tmp_path / name) as opened:
        assert np.array_equal(picture_from(opened)[8, 8], colour)


def test_profiles_of_other_modes_and_broken_ones(tmp_path, caplog):
    clear = Image.new("RGBA", (8, 8), (200, 0, 0, 100))
    clear.save(tmp_path / "clear.png", icc_profile=SWAPPED)
    assert load_image(tmp_path / "clear.png")[0, 0, 3] == 100
    assert load_image(tmp_path / "clear.png")[0, 0, 1] > 180
    Image.new("RGB", (8, 8), (200, 0, 0)).quantize(4).save(
        tmp_path / "palette.png", icc_profile=SWAPPED
    )
    assert load_image(tmp_path / "palette.png")[0, 0, 1] > 180
    noise = Image.fromarray(moving(1)[0])
    noise.save(tmp_path / "plain.png", icc_profile=PLAIN)
    assert far(load_image(tmp_path / "plain.png"), moving(1)[0]) < 8
    with caplog.at_level(logging.WARNING, "openlumiere"):
        noise.save(tmp_path / "broken.png", icc_profile=SWAPPED[:200])
        assert np.array_equal(load_image(tmp_path / "broken.png"), moving(1)[0])
    assert "profile" in caplog.text


DEEP = {  # one grey, told in other numbers
    "int32 up to 255": (np.int32([[0, 100], [255, 100]]), 100),
    "int32 of 16 bits": (np.int32([[0, 25700], [65535, 25700]]), 100),
    "uint16": (np.uint16([[0, 25700], [65535, 25700]]), 100),
    "uint16 up to 255": (np.uint16([[0, 100], [255, 100]]), 100),
    "float": (np.float32([[0, 100 / 255], [1, 100 / 255]]), 100),
    "float up to 255": (np.float32([[0, 100], [255, 100]]), 100),
    "float with highlights": (np.float32([[0, 100 / 255], [3.5, 100 / 255]]), 100),
}


@pytest.mark.parametrize("kind", DEEP)
def test_deep_numbers_read_alike_from_files_pil_and_arrays(tmp_path, kind):
    values, grey = DEEP[kind]
    picture = Image.fromarray(values)
    picture.save(tmp_path / "a.tiff")
    expected = [[[0] * 3, [grey] * 3], [[255] * 3, [grey] * 3]]
    for found in (
        load_image(tmp_path / "a.tiff"),
        picture_from(picture),
        picture_from(values),
        read_here(tmp_path / "a.tiff")[0].frames[0],
    ):
        assert np.abs(found.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    "values",
    [
        np.float32([[0, np.nan]]),
        np.float32([[0, np.inf]]),
        np.float32([[-0.5, 1]]),
        np.int32([[-3, 7]]),
        np.float32([[0, 70_000]]),
    ],
)
def test_numbers_that_are_no_picture(tmp_path, values):
    with pytest.raises(MediaError, match="picture: "):
        picture_from(values)
    Image.fromarray(values).save(tmp_path / "a.tiff")
    assert "picture: " in error_of(tmp_path / "a.tiff")


@pytest.mark.parametrize(
    "value",
    [
        "text",
        None,
        [[1, 2]],
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((2, 8, 8, 3), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
        np.zeros((8, 8, 2), np.uint8),
        np.array([["a", "b"]]),
    ],
)
def test_values_that_are_no_picture(value):
    with pytest.raises(MediaError, match="picture: "):
        picture_from(value)


def test_tensors_and_grey_arrays():
    torch = pytest.importorskip("torch")
    grey = moving(1)[0, :, :, 0]
    for value in (grey, grey[..., None], torch.from_numpy(grey), grey > 255, grey / 255):
        found = picture_from(value)
        assert found.shape == (48, 64, 3)
    assert np.array_equal(picture_from(torch.from_numpy(moving(1)[0])), moving(1)[0])
    assert np.array_equal(picture_from(grey > 100)[..., 0], np.where(grey > 100, 255, 0))


TRANSPOSED = {
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
    8: lambda p: np.rot90(p, 1),
}


@pytest.mark.parametrize("turn", TRANSPOSED)
@pytest.mark.parametrize(
    "suffix",
    [".png", *(pytest.param(name, marks=pytest.mark.long) for name in (".webp", ".tiff"))],
)
def test_a_turned_picture_is_turned_alike_by_every_way_in(tmp_path, turn, suffix):
    exif = Image.Exif()
    exif[0x0112] = turn
    path = tmp_path / f"a{suffix}"
    lossless = {"lossless": True} if suffix == ".webp" else {}
    Image.fromarray(moving(1)[0]).save(path, exif=exif, **lossless)
    expected = TRANSPOSED[turn](moving(1)[0])
    assert np.array_equal(load_image(path), expected)
    assert np.array_equal(read_here(path)[0].frames[0], expected)
    assert load_mask(path).shape == expected.shape[:2]
    with Image.open(path) as picture:
        assert np.array_equal(picture_from(picture), expected)


@pytest.mark.parametrize("suffix", [".webp", ".png"])
def test_a_turned_animation_is_turned_frame_by_frame(tmp_path, suffix):
    exif = Image.Exif()
    exif[0x0112] = 6
    first, *rest = [Image.fromarray(frame) for frame in moving(6)[::2]]
    path = tmp_path / f"a{suffix}"
    lossless = {"lossless": True} if suffix == ".webp" else {}
    first.save(path, save_all=True, append_images=rest, duration=100, exif=exif, **lossless)
    clip, _ = read_here(path)
    assert np.array_equal(clip.frames, np.rot90(moving(6)[::2], -1, (1, 2)))


def test_what_was_changed_is_logged_once(tmp_path, caplog):
    def tune(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(2, 1)

    encode(tmp_path / "a.mkv", moving(4), tune=tune)
    with caplog.at_level(logging.WARNING, "openlumiere"):
        Clip.load(tmp_path / "a.mkv")
    assert [record.name for record in caplog.records] == ["openlumiere"]
    assert "a.mkv" in caplog.text and "2:1" in caplog.text
    assert pixels.log.name == "openlumiere"
