"""Clips and pictures: what goes in comes back, bad files end in one line, nothing is left half
written.
"""

import io
import json
import os
import signal
import struct
import subprocess
import sys
import time
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from footage import (
    RATES,
    SUFFIXES,
    encode,
    error_of,
    far,
    flat,
    moving,
    read_here,
)
from PIL import Image

from openlumiere.media import (
    Clip,
    Limits,
    MediaError,
    check_output,
    child,
    contact_sheet,
    decode,
    filmstrip,
    load_image,
    load_mask,
    save_image,
    xt_slice,
)
from openlumiere.media.timing import Note, cumulative_ticks, steady_rate

# Clip


def test_clip_says_what_it_is():
    clip = Clip(moving(8), fps=30)
    assert (clip.fps, clip.size, clip.seconds, len(clip)) == (
        Fraction(30),
        (64, 48),
        Fraction(8, 30),
        8,
    )
    assert (
        clip == Clip(moving(8), 30.0)
        and clip != Clip(moving(8), 29)
        and clip != Clip(moving(8) + np.uint8(1), 30)
    )
    with pytest.raises(AttributeError):
        clip.fps = 3


@pytest.mark.parametrize(
    "frames",
    [
        moving(2)[0],
        moving(2).astype(float),
        moving(2)[..., :2],
        moving(2)[:0],
        moving(2)[:, :, :0],
        [[1]],
    ],
)
def test_clip_refuses_other_frames(frames):
    with pytest.raises(MediaError, match="uint8 frames"):
        Clip(frames)


NTSC = Fraction(24000, 1001)


@pytest.mark.parametrize(
    ("fps", "exact"),
    [
        (16.0, 16),
        (np.int64(30), 30),
        (np.uint8(200), 200),
        (np.float32(24), 24),
        (np.array(25), 25),
        (Decimal("16"), 16),
        ("12", 12),
        (" 24000/1001 ", NTSC),
        ("23.976", Fraction(2997, 125)),
        (NTSC, NTSC),
        (1000, 1000),
    ],
)
def test_clip_takes_rates_of_many_kinds(fps, exact):
    rate = Clip(moving(2), fps).fps
    assert rate == exact and type(rate.numerator) is int


@pytest.mark.parametrize(
    "fps",
    [
        *(0, -1, 23.976, float("nan"), float("inf"), 10**6, 10**9999, Fraction(1, 10**9)),
        *("abc", "", "1/0", "-3", "1e99999999", "9" * 9999, "nan", "1_6", b"16", "16\n\x00"),
        *(None, [16], (16,), {}, 16j, object(), True, np.True_, np.array([16]), np.float64("nan")),
        *(Decimal("NaN"), Decimal("sNaN"), Decimal("1e99999999"), Fraction(10**9999, 3)),
    ],
    ids=lambda fps: type(fps).__name__,
)
def test_clip_refuses_other_rates(fps):
    with pytest.raises(MediaError, match=r"^fps: expected .+, got .+, pass ") as refused:
        Clip(moving(2), fps)
    assert len(str(refused.value)) < 300 and str(refused.value).isprintable()


def test_import_is_light():
    heavy = "('torch', 'diffusers', 'transformers')"
    code = f"import sys, openlumiere.media; sys.exit(any(name in sys.modules for name in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# What goes in comes back


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_frame_count_and_rate_come_back(tmp_path, suffix):
    frames = moving(30, 24, 32)
    for fps in RATES:
        clip, _ = read_here(Clip(frames, fps).save(tmp_path / f"clip{suffix}"))
        assert clip.fps == fps
        assert clip.frames.shape == frames.shape
        assert far(clip.frames, frames) < 12
        assert np.array_equal(clip.frames[0], clip.frames[1]) or suffix in (".mp4", ".webm")


@pytest.mark.parametrize("name", ["clip.mp4", "clip.webm", "clip.webp", "clip/"])
def test_lossless_is_exact(tmp_path, name):
    clip = Clip(np.random.default_rng(0).integers(0, 256, (5, 18, 34, 3), dtype=np.uint8), 24)
    assert read_here(clip.save(f"{tmp_path}/{name}", lossless=True))[0] == clip


def test_lossless_odd_sizes_are_exact(tmp_path):
    clip = Clip(np.random.default_rng(0).integers(0, 256, (3, 7, 11, 3), dtype=np.uint8), 24)
    for suffix in (".mp4", ".webm", ".webp"):
        assert read_here(clip.save(tmp_path / f"c{suffix}", lossless=True))[0] == clip


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 2), (3, 1), (63, 101)])
def test_any_size_and_one_frame(tmp_path, suffix, height, width):
    frames = moving(3, height, width)
    for count in (1, 3):
        clip, _ = read_here(Clip(frames[:count]).save(tmp_path / f"clip{suffix}"))
        assert clip.frames.shape == (count, height, width, 3) and clip.fps == 16


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("count", [2, 7, 79, 80, 81])
def test_a_still_keeps_its_frames(tmp_path, suffix, count):
    clip, _ = read_here(Clip(flat((90, 140, 30), count), 16).save(tmp_path / f"clip{suffix}"))
    assert (
        len(clip) == count and clip.fps == 16 and far(clip.frames, flat((90, 140, 30), count)) < 3
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_colours_stay(tmp_path, suffix):
    for colour in [
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
        (255, 255, 255),
        (0, 0, 0),
        (200, 120, 40),
    ]:
        clip, _ = read_here(Clip(flat(colour, 2)).save(tmp_path / f"clip{suffix}"))
        assert np.abs(clip.frames.astype(int) - colour).max() <= 4


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.gif", "a.webp", "a/"])
def test_same_frames_same_bytes(tmp_path, name):
    made = []
    for room in ("one", "two"):
        (tmp_path / room).mkdir()
        path = Clip(moving(8)).save(f"{tmp_path}/{room}/{name}")
        made.append(
            [file.read_bytes() for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
        )
    assert made[0] == made[1]


def test_mp4_starts_fast_and_tells_no_time(tmp_path):
    data = Clip(moving(8)).save(tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    at = data.index(b"mvhd")
    assert data[at + 4 : at + 16] == bytes(12)


def test_folder_and_still(tmp_path):
    clip = Clip(moving(5), Fraction(30000, 1001))
    path = clip.save(f"{tmp_path}/frames/")
    assert path.is_dir() and json.loads((path / "clip.json").read_text()) == {
        "fps": "30000/1001",
        "frames": 5,
    }
    assert Clip.load(path) == clip
    assert Clip(moving(1)).save(f"{tmp_path}/frames/") == path and len(read_here(path)[0]) == 1
    still = Clip(moving(1)).save(tmp_path / "still.PNG")
    assert np.array_equal(read_here(still)[0].frames, moving(1))


def test_a_folder_without_a_note_is_read_in_order_of_its_numbers(tmp_path):
    for k in (10, 9, 1):
        Image.new("RGB", (4, 4), (k, k, k)).save(tmp_path / f"shot-{k}.png")
    clip, _ = read_here(tmp_path)
    assert clip.fps == 16 and clip.frames[:, 0, 0, 0].tolist() == [1, 9, 10]


# Writing


def test_refused_paths(tmp_path):
    clip = Clip(moving(2))
    (tmp_path / "taken.mp4").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    cases = {
        "a.avi": "webm",
        "a": "no extension",
        "no/a.mp4": "exists",
        "a.png": "one frame",
        "taken.mp4": "folder",
        "mine/": "mine",
    }
    for name, said in cases.items():
        with pytest.raises(MediaError, match=said):
            clip.save(f"{tmp_path}/{name}")
        with pytest.raises(MediaError, match=said):
            check_output(f"{tmp_path}/{name}", frames=2)
    with pytest.raises(MediaError, match="256 colours"):
        clip.save(tmp_path / "a.gif", lossless=True)
    with pytest.raises(MediaError, match="at most 100"):
        Clip(moving(2), 120).save(tmp_path / "a.gif")
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["letter.txt", "mine", "taken.mp4"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that nobody can write")
def test_unwritable_folder():
    with pytest.raises(MediaError, match="write"):
        Clip(moving(2)).save("/proc/clip.mp4")


FULL = """
import resource, signal, sys, numpy as np
from openlumiere.media import Clip, MediaError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
frames = np.random.default_rng(0).integers(0, 256, (8, 128, 128, 3), dtype=np.uint8)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
for path in sys.argv[1:]:
    try:
        Clip(frames).save(path)
        print("written")
    except MediaError as error:
        print(error)
"""


def test_no_room_leaves_the_older_file(tmp_path):
    """A real limit on the size of files stands for a full disk: writes fail in the middle."""
    names = ["a.mp4", "a.webm", "a.gif", "a.webp", "a/"]
    for name in names:
        Clip(moving(2)).save(f"{tmp_path}/{name}")
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    done = subprocess.run(
        [sys.executable, "-c", FULL, *(f"{tmp_path}/{name}" for name in names)],
        capture_output=True,
        text=True,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 5 and all(
        line.startswith("expected room and leave to write") for line in lines
    ), done
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


class Seal:
    """An origin that marks one pixel, signs by appending and remembers what it was asked."""

    def __init__(self, fail=None):
        self.fail, self.signed = fail, []

    def seal(self, frames):
        marked = frames.copy()
        marked[:, 0, 0] = 1
        return marked

    def sign(self, path):
        assert path.exists()
        self.signed.append(path)
        if self.fail:
            raise self.fail
        with open(path / "signature" if path.is_dir() else path, "ab") as file:
            file.write(b"signed")
        path.with_name(f"{path.name}.note").write_text("beside")


def test_what_is_made_is_sealed_and_signed_before_its_name(tmp_path):
    origin, path = Seal(), tmp_path / "a.webp"
    made = Clip(moving(4), origin=origin)
    made.save(path, lossless=True)
    assert (
        path.read_bytes().endswith(b"signed")
        and origin.signed[0] != path
        and origin.signed[0].suffix == ".webp"
    )
    assert np.array_equal(made.frames, moving(4))
    made.save(f"{tmp_path}/a/")
    assert len(origin.signed) == 2 and (tmp_path / "a" / "signature").exists()
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "a",
        "a.note",
        "a.webp",
        "a.webp.note",
    ]
    loaded, _ = read_here(tmp_path / "a")
    assert (loaded.frames[:, 0, 0] == 1).all() and loaded.origin is None


@pytest.mark.parametrize("name", ["a.mp4", "a/"])
@pytest.mark.parametrize("raised", [KeyboardInterrupt(), RuntimeError("no key")])
def test_an_error_or_an_interrupt_leaves_nothing(tmp_path, name, raised):
    with pytest.raises(type(raised)):
        Clip(moving(2), origin=Seal(raised)).save(f"{tmp_path}/{name}")
    assert list(tmp_path.iterdir()) == []


INTERRUPTED = """
import signal, sys, numpy as np
from openlumiere.media import Clip
# a test run in the background inherits "ignore"
signal.signal(signal.SIGINT, signal.default_int_handler)
frames = np.random.default_rng(0).integers(0, 256, (300, 128, 128, 3), dtype=np.uint8)
print("go", flush=True)
Clip(frames).save(sys.argv[1])
"""


def test_ctrl_c_while_encoding_leaves_nothing(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, f"{tmp_path}/a.mp4"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.readline()
    while not any(tmp_path.rglob("*.mp4")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in process.communicate(timeout=30)[1]
    assert list(tmp_path.iterdir()) == []


# Reading what others wrote


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi", ".ts", ".webm"])
def test_containers(tmp_path, suffix):
    codec = "libvpx" if suffix == ".webm" else "libx264"
    path = tmp_path / f"a{suffix}"
    encode(
        path,
        moving(24),
        codec,
        rate=24,
        options={"auto-alt-ref": "1", "lag-in-frames": "16"} if suffix == ".webm" else {"bf": "0"},
    )
    clip, stored = read_here(path)
    assert (stored, clip.fps) == (24, 24) and far(clip.frames, moving(24)) < 12


def test_rotation_is_applied(tmp_path):
    frames = moving(2)
    for turn in (90, 180, -90):
        path = tmp_path / "a.mp4"
        encode(
            path,
            frames,
            "libx264rgb",
            "rgb24",
            options={"qp": "0"},
            tune=lambda stream, turn=turn: stream.set_display_rotation(turn),
        )
        clip, _ = read_here(path)
        assert np.array_equal(clip.frames, np.rot90(frames, turn // 90, (1, 2)))


def test_ten_bit(tmp_path):
    encode(tmp_path / "a.mp4", flat((200, 100, 50), 3), "libx264", "yuv420p10le")
    assert np.abs(read_here(tmp_path / "a.mp4")[0].frames.astype(int) - (200, 100, 50)).max() <= 5


@pytest.mark.parametrize(
    ("suffix", "codec", "pixels"), [(".webm", "libvpx-vp9", "yuva420p"), (".mov", "qtrle", "argb")]
)
def test_alpha_of_others(tmp_path, suffix, codec, pixels):
    frames = np.concatenate([flat((200, 0, 0), 3), np.full((3, 32, 48, 1), 255, np.uint8)], -1)
    frames[:, :, :24, 3] = 0
    encode(
        tmp_path / f"a{suffix}",
        frames,
        codec,
        pixels,
        tune=lambda stream: stream.metadata.update(alpha_mode="1"),
    )
    clip, _ = read_here(tmp_path / f"a{suffix}")
    assert (clip.frames[:, 10, 10, 3] == 0).all()
    assert (clip.frames[:, 10, 40, 3] == 255).all()
    assert far(clip.over("white").frames[:, 10, 10], np.int64([255, 255, 255])) == 0
    assert far(clip.frames[:, 10, 40, :3], np.int64([200, 0, 0])) < 3


def test_a_cut_that_the_file_tells_of_is_applied(tmp_path):
    """An edit list that starts at frame 4 of 16, as phones write it after trimming."""
    encode(tmp_path / "a.mp4", moving(16), "libx264rgb", "rgb24", options={"qp": "0", "bf": "0"})
    data = (tmp_path / "a.mp4").read_bytes()
    at = data.index(b"elst") + 12
    (tmp_path / "a.mp4").write_bytes(data[:at] + struct.pack(">II", 750, 4 * 1024) + data[at + 8 :])
    assert np.array_equal(read_here(tmp_path / "a.mp4")[0].frames, moving(16)[4:])


def test_variable_rate_keeps_its_times(tmp_path):
    """Frames shown at 0, 0.1, 0.2, 0.5 and 0.6 s: the gap is filled by the frame on the screen."""
    frames = np.stack([flat((40 * k, 40 * k, 40 * k), 1)[0] for k in range(1, 6)])
    encode(
        tmp_path / "a.mkv",
        frames,
        "libx264rgb",
        "rgb24",
        times=[0, 100, 200, 500, 600],
        options={"qp": "0", "bf": "0"},
    )
    clip, stored = read_here(tmp_path / "a.mkv")
    assert (stored, clip.fps) == (5, 10)
    assert clip.frames[:, 0, 0, 0].tolist() == [40, 80, 120, 120, 120, 160, 200]


def test_steady_rate():
    def times(*values):
        return [Fraction(value, 1000) for value in values]

    tick = Fraction(1, 1000)
    assert steady_rate(times(0, 70, 140), tick) == (Fraction(100, 7), [0, 1, 2])
    assert steady_rate(times(0, 42, 83, 125, 167, 208), tick)[0] == 24
    assert steady_rate(times(0, 33, 67, 500), tick) == (Fraction(30), [0, 1, 2, 15])
    assert steady_rate(times(0, 17, 71, 139, 500), tick)[0] <= 60


def test_audio_only_and_unknown_kinds(tmp_path):
    tone(tmp_path / "tone.mp4")
    assert "no video stream" in error_of(tmp_path / "tone.mp4")
    for text, said in [
        ("#EXTM3U\nhttp://example.org/a.ts\n", "a playlist"),
        ("ffconcat version 1.0\nfile /etc/passwd\n", "a playlist"),
    ]:
        (tmp_path / "list.mp4").write_text(text)
        assert said in error_of(tmp_path / "list.mp4")
    (tmp_path / "noise.mp4").write_bytes(bytes(range(1, 200)))
    assert "unknown kind" in error_of(tmp_path / "noise.mp4")
    (tmp_path / "none.mp4").write_bytes(b"")
    assert "an empty file" in error_of(tmp_path / "none.mp4")


@pytest.mark.parametrize(
    "path", ["http://example.org/a.mp4", "concat:a.mp4|b.mp4", "pipe:0", "/dev/zero", "nowhere.mp4"]
)
def test_only_files_are_opened(path):
    with pytest.raises(MediaError, match="expected a (file|regular file)"):
        Clip.load(path)


def test_a_name_like_a_protocol_is_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(Clip.load(Clip(moving(2)).save("concat:a.mp4"))) == 2


@pytest.mark.parametrize("name", ["caf\udce9", "gatto più 🐈", "x" * 250, "new\nline"])
def test_names_of_every_kind(tmp_path, name):
    clip = Clip(moving(2))
    for suffix in SUFFIXES:
        assert len(read_here(clip.save(f"{tmp_path}/{name}{suffix}"))[0]) == 2
    with pytest.raises(MediaError):
        clip.save(f"{tmp_path}/{name}\0.mp4")
    with pytest.raises(MediaError):
        clip.save(f"{tmp_path}/{'y' * 300}.mp4")


def test_links_in_a_folder_are_refused(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "secret.png")
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "0.png").symlink_to("../secret.png")
    assert "link" in error_of(tmp_path / "frames")


def test_a_folder_that_lost_a_frame(tmp_path):
    path = Clip(moving(4)).save(f"{tmp_path}/a/")
    (path / "frame_00002.png").unlink()
    assert "expected 4 PNG or JPEG frames, got 3" in error_of(path)
    (path / "clip.json").write_text('{"fps": "1/0", "frames": 3}')
    assert "clip.json" in error_of(path)


def test_frames_that_change_size(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("mjpeg", rate=16)
        stream.height, stream.width, stream.pix_fmt = 32, 32, "yuvj420p"
        for k, size in enumerate((32, 32, 64)):
            encoder = av.CodecContext.create("mjpeg", "w")
            encoder.height, encoder.width, encoder.pix_fmt, encoder.time_base = (
                size,
                size,
                "yuvj420p",
                Fraction(1, 16),
            )
            picture = av.VideoFrame.from_ndarray(moving(1, size, size)[0])
            for packet in encoder.encode(picture):
                packet.pts = packet.dts = 1000 * k // 16
                packet.time_base, packet.stream = Fraction(1, 1000), stream
                container.mux(packet)
    assert "expected frames of one size (32x32), got 64x64 at frame 2" in error_of(
        tmp_path / "a.mkv"
    )
    assert len(read_here(tmp_path / "a.mkv", allow_partial=True)[0]) == 2


# Budgets


def test_headers_are_refused_before_decoding(tmp_path):
    path = Clip(moving(12)).save(tmp_path / "a.mp4")
    for limits, said in [
        (Limits(pixels=1000), "at most 1000 pixels"),
        (Limits(frames=11), "at most 11 frames"),
        (Limits(total_pixels=9_000), "at most 9000 pixels in all"),
        (Limits(rate=15), "up to 15 frames a second"),
    ]:
        out = io.BytesIO()
        with pytest.raises(MediaError, match=said):
            decode.read(path, out, limits)
        assert out.getvalue() == b""


def test_headers_that_lie(tmp_path):
    encode(tmp_path / "fast.mkv", moving(4), rate=10**6, options={"bf": "0"})
    assert "up to 1000 frames a second" in error_of(tmp_path / "fast.mkv")
    data = Clip(moving(12)).save(tmp_path / "a.webm").read_bytes()
    at = data.index(b"\x44\x89\x88") + 3
    (tmp_path / "long.webm").write_bytes(data[:at] + struct.pack(">d", 1e12) + data[at + 8 :])
    assert "at most 20000 frames" in error_of(tmp_path / "long.webm")
    note = str(Note(12, Fraction(16), 48, 64)).encode()
    gif = Clip(flat((1, 2, 3), 12, 48, 64)).save(tmp_path / "a.gif").read_bytes()
    (tmp_path / "many.gif").write_bytes(gif.replace(note, note.replace(b"=12", b"=99")))
    assert len(read_here(tmp_path / "many.gif")[0]) == 99
    longer = note.replace(b"frames=12", b"frames=999999999")
    (tmp_path / "more.gif").write_bytes(
        gif.replace(bytes([len(note)]) + note, bytes([len(longer)]) + longer)
    )
    assert "at most 20000 frames" in error_of(tmp_path / "more.gif")


@pytest.mark.parametrize("size", [(65535, 65535), (0, 0)])
def test_pictures_that_claim_too_much_or_nothing(tmp_path, size):
    width, height = size
    (tmp_path / "a.gif").write_bytes(
        b"GIF89a"
        + struct.pack("<HH", width, height)
        + bytes(3)
        + b","
        + bytes(9)
        + b"\x02\x01\x00\x00;"
    )
    error_of(tmp_path / "a.gif")
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    head = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
    (tmp_path / "a.png").write_bytes(
        data[:12] + head + struct.pack(">I", __import__("zlib").crc32(head)) + data[33:]
    )
    error_of(tmp_path / "a.png")


def test_a_small_file_that_unpacks_to_much(tmp_path):
    Image.new("1", (9000, 9000)).save(tmp_path / "bomb.png")
    assert (tmp_path / "bomb.png").stat().st_size < 20_000
    assert "at most 67108864 pixels a frame" in error_of(tmp_path / "bomb.png")


def test_time_and_memory_budget(tmp_path):
    path = Clip(moving(2)).save(tmp_path / "a.mp4")
    with pytest.raises(MediaError, match="reads within 0.02 s"):
        Clip.load(path, limits=Limits(seconds=0.02))
    Image.new("RGB", (8000, 8000)).save(tmp_path / "big.png")
    with pytest.raises(MediaError, match="reads within 268435456 bytes"):
        load_image(tmp_path / "big.png", limits=Limits(memory=2**28))


def test_a_reader_that_dies_takes_nothing_with_it(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    )
    path = Clip(moving(2)).save(tmp_path / "a.mp4")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(MediaError, match="stopped by SIGSEGV"):
        Clip.load(path)


def test_nothing_stays_in_the_temporary_folder(tmp_path, monkeypatch):
    room = tmp_path / "tmp"
    room.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(room))
    path = Clip(moving(2)).save(tmp_path / "a.mp4")
    Clip.load(path)
    with pytest.raises(MediaError):
        Clip.load(path, limits=Limits(frames=1))
    assert list(room.iterdir()) == []


# Truncation and damage


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_truncated_files_say_where_they_break(tmp_path, suffix):
    path = Clip(
        np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), dtype=np.uint8), 10
    ).save(tmp_path / f"a{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    assert "second" in error_of(path)
    clip, _ = read_here(path, allow_partial=True)
    assert 5 < len(clip) < 20 and clip.fps == 10


def test_lost_packets_are_counted(tmp_path):
    """A video remuxed without some of its packets, whose header still tells of all."""
    path = Clip(moving(30), 30).save(tmp_path / "a.mp4")
    with av.open(str(path)) as source, av.open(str(tmp_path / "b.mkv"), "w") as target:
        copy = target.add_stream_from_template(source.streams.video[0])
        target.metadata["comment"] = source.metadata["comment"]
        for k, packet in enumerate(packet for packet in source.demux(video=0) if packet.size):
            if k not in (20, 21):
                packet.stream = copy
                target.mux(packet)
    assert "28 frames decoded where the file's note says 30" in error_of(tmp_path / "b.mkv")


def corrupted(data, seed):
    """Cut, flipped bits, a zeroed stretch, a missing or an added one."""
    rng, made = np.random.default_rng(seed), bytearray(data)
    at, size = int(rng.integers(len(data))), int(rng.integers(1, len(data) // 8))
    if seed % 5 == 0:
        del made[at:]
    elif seed % 5 == 1:
        for k in rng.integers(0, len(data), int(rng.integers(1, 20))):
            made[k] ^= 1 << int(rng.integers(8))
    elif seed % 5 == 2:
        made[at : at + size] = bytes(len(made[at : at + size]))
    elif seed % 5 == 3:
        del made[at : at + size]
    else:
        made[at:at] = rng.integers(0, 256, size, dtype=np.uint8).tobytes()
    return bytes(made)


def fuzz(path, seeds, read):
    """Each corruption of 24 frames in a second ends in one line, or in all pictures that the file
    holds (12 where equal frames were merged), or in the whole second: never in a shorter clip.
    Returns how many ended in a line.
    """
    data, refused = path.read_bytes(), 0
    pictures = read_here(path)[1]
    for seed in seeds:
        path.write_bytes(corrupted(data, seed))
        try:
            clip, stored = read(path)
        except MediaError as error:
            line = str(error)
            refused += 1
        else:
            line = ""
            assert stored == pictures or clip.seconds == 1, (seed, stored, clip)
        assert line.isprintable() and line.count("expected") == bool(line), seed
    return refused


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_corrupted_files(tmp_path, suffix):
    path = Clip(moving(24), 24).save(tmp_path / f"a{suffix}")
    assert fuzz(path, range(60), read_here) > 40


@pytest.mark.long
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_many_corrupted_files(tmp_path, suffix):
    path = Clip(moving(24), 24).save(tmp_path / f"a{suffix}")
    assert fuzz(path, range(400), read_here) > 250


@pytest.mark.long
def test_many_corrupted_files_in_child_processes(tmp_path):
    def read(path):
        clip = Clip.load(path)
        return clip, read_here(path)[1]

    path = Clip(moving(24), 24).save(tmp_path / "a.mp4")
    assert fuzz(path, range(1000, 1040), read) > 20


# Sound


def tone(path, codec="aac", seconds=2, frames=None, container=None):
    """A file with a tone, and pictures at 16 fps if `frames` are given."""
    with av.open(str(path), "w", format=container) as target:
        video = target.add_stream("libx264", rate=16) if frames is not None else None
        audio = target.add_stream(codec, rate=48_000, layout="stereo")
        if video:
            video.height, video.width, video.pix_fmt = *frames.shape[1:3], "yuv420p"
            for frame in frames:
                target.mux(video.encode(av.VideoFrame.from_ndarray(frame)))
            target.mux(video.encode())
        wave = (8000 * np.sin(np.arange(48_000 * seconds) * 0.05)).astype(np.int16)
        for start in range(0, len(wave), 960):
            part = av.AudioFrame.from_ndarray(
                wave[None, start : start + 960].repeat(2, 1), format="s16", layout="stereo"
            )
            part.sample_rate, part.pts, part.time_base = 48_000, start, Fraction(1, 48_000)
            target.mux(audio.encode(part))
        target.mux(audio.encode())


def sound_of(path):
    """Codec, seconds and mean loudness of a file's sound."""
    with av.open(str(path)) as source:
        parts = [frame.to_ndarray() for frame in source.decode(audio=0)]
        samples = np.concatenate(parts, -1)
        return (
            source.streams.audio[0].codec_context.name,
            samples.shape[-1] / 48_000,
            np.abs(samples).mean(),
        )


def test_sound_is_carried_and_cut(tmp_path):
    tone(tmp_path / "in.mp4", frames=moving(32))
    clip = Clip.load(tmp_path / "in.mp4")
    assert clip.audio.codec == "aac"
    codec, seconds, loud = sound_of(clip.save(tmp_path / "out.mp4"))
    assert codec == "aac" and abs(seconds - 2) < 0.1 and loud > 0.1
    half = Clip(clip.frames[:16], clip.fps, audio=clip.audio)
    for name, expected in (("half.mp4", "aac"), ("half.webm", "opus")):
        codec, seconds, loud = sound_of(half.save(tmp_path / name))
        assert codec.startswith(expected) and abs(seconds - 1) < 0.1 and loud > 0.1
        assert len(read_here(tmp_path / name)[0]) == 16


def test_avx512_writes_no_mp4(tmp_path):
    """With it x264's bytes differ now and then."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.VERBOSE)
    try:
        with av.logging.Capture() as lines:
            Clip(moving(4), 8).save(tmp_path / "a.mp4")
    finally:
        av.logging.set_level(level)
    (instructions,) = [line for _, _, line in lines if "cpu capabilities" in line]
    assert "AVX512" not in instructions


def test_sound_of_another_codec(tmp_path):
    tone(tmp_path / "in.mkv", "pcm_s16le", frames=moving(32))
    clip = Clip.load(tmp_path / "in.mkv")
    assert sound_of(clip.save(tmp_path / "out.mp4"))[0] == "aac"
    assert clip.save(tmp_path / "again.mp4").read_bytes() == (tmp_path / "out.mp4").read_bytes()
    assert Clip.load(clip.save(tmp_path / "out.gif")).audio is None


# Pictures


def test_pictures_of_every_mode(tmp_path):
    cases = {
        "grey.png": (Image.new("L", (5, 4), 100), (100, 100, 100)),
        "deep.png": (Image.fromarray(np.full((4, 5), 25_700, np.uint16)), (100, 100, 100)),
        "cmyk.jpg": (Image.new("CMYK", (5, 4), (0, 255, 255, 0)), (255, 0, 0)),
        "clear.png": (Image.new("RGBA", (5, 4), (9, 8, 7, 0)), (9, 8, 7, 0)),
        "half.webp": (Image.new("RGBA", (5, 4), (0, 0, 0, 128)), (0, 0, 0, 128)),
        "opaque.png": (Image.new("RGBA", (5, 4), (9, 8, 7, 255)), (9, 8, 7)),
        "bits.tiff": (Image.new("1", (5, 4), 1), (255, 255, 255)),
        "float.tiff": (Image.new("F", (5, 4), 0.5), (128, 128, 128)),
        "palette.gif": (Image.new("RGB", (5, 4), (10, 200, 30)).quantize(4), (10, 200, 30)),
        "plain.bmp": (Image.new("RGB", (5, 4), (10, 200, 30)), (10, 200, 30)),
    }
    for name, (picture, colour) in cases.items():
        picture.save(tmp_path / name)
        frames = read_here(tmp_path / name)[0].frames
        assert (
            frames.shape == (1, 4, 5, len(colour))
            and np.abs(frames.astype(int) - colour).max() <= 2
        ), name


def test_load_image(tmp_path):
    picture = moving(1, 6, 4)[0]
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(load_image(tmp_path / "turned.png"), np.rot90(picture, -1))
    Clip(moving(4), 8).save(tmp_path / "a.webp", lossless=True)
    assert np.array_equal(load_image(tmp_path / "a.webp"), moving(4)[0])
    with pytest.raises(MediaError, match="a video"):
        load_image(Clip(moving(2)).save(tmp_path / "a.mp4"))


def test_save_image(tmp_path):
    picture, origin = moving(1)[0], Seal()
    for suffix in (".png", ".webp"):
        assert np.array_equal(
            read_here(save_image(picture, tmp_path / f"a{suffix}"))[0].frames[0], picture
        )
    save_image(picture, tmp_path / "b.png", origin)
    assert len(origin.signed) == 1 and (load_image(tmp_path / "b.png")[0, 0] == 1).all()
    with pytest.raises(MediaError, match=".png or .webp"):
        save_image(picture, tmp_path / "a.mp4")


def test_load_mask(tmp_path):
    frames = flat((0, 0, 0), 3)
    frames[:, :, 24:] = 255
    mask = load_mask(Clip(frames).save(tmp_path / "a.mp4", lossless=True))
    assert (
        mask.dtype == np.float32
        and mask.shape == (3, 32, 48)
        and mask[0, 0, 0] == 0
        and mask[2, 0, 40] == 1
    )
    mask = load_mask(save_image(frames[0], tmp_path / "a.png"))
    assert mask.shape == (32, 48) and set(np.unique(mask)) == {0, 1}


def test_filmstrip_and_slice():
    frames = moving(12)
    strip = filmstrip(Clip(frames), 3)
    assert (
        strip.shape == (48, 192, 3)
        and np.array_equal(strip[:, :64], frames[0])
        and np.array_equal(strip[:, 128:], frames[-1])
    )
    assert np.array_equal(xt_slice(Clip(frames), 5), frames[:, 5]) and xt_slice(
        Clip(frames)
    ).shape == (12, 64, 3)
    for wrong in (
        lambda: filmstrip(Clip(frames), 0),
        lambda: xt_slice(Clip(frames), 48),
        lambda: xt_slice(Clip(frames), -1),
    ):
        with pytest.raises(MediaError):
            wrong()


def test_contact_sheet():
    clip, picture = Clip(moving(5)), flat((9, 9, 9), 1)[0]
    plain = contact_sheet([clip, picture, clip], 2)
    assert plain.shape == (2 * 52, 2 * 68, 3) and np.array_equal(plain[2:50, 2:66], clip.frames[2])
    sheet = contact_sheet(
        [clip, picture, clip], 2, ["a cat", "un gatto più \ud800 \u0301\U0001f600", "third\nline"]
    )
    assert (
        sheet.shape == (2 * 68, 2 * 68, 3)
        and (sheet[50:66, 2:66] < 128).any()
        and (plain[50:52] == 255).all()
    )
    for wrong in (
        lambda: contact_sheet([], 2),
        lambda: contact_sheet([clip], 0),
        lambda: contact_sheet([clip], 1, ["a", "b"]),
    ):
        with pytest.raises(MediaError):
            wrong()


def test_cumulative_ticks_never_drift():
    for fps in RATES:
        ticks = cumulative_ticks(1000, fps, 100)
        assert all(abs(tick - k * 100 / fps) <= Fraction(1, 2) for k, tick in enumerate(ticks))


def test_child_stays_out_of_the_working_folder(tmp_path, monkeypatch):
    """A file named like a library beside the media must not be run."""
    (tmp_path / "av.py").write_text("raise SystemExit('run from the working folder')")
    path = Clip(moving(2)).save(tmp_path / "a.mp4")
    monkeypatch.chdir(tmp_path)
    assert len(child.read_clip(path, False, Limits())[0]) == 2 and os.getcwd() == str(tmp_path)
