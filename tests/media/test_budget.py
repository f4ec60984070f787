"""What reading may cost: the child process takes what it may have, our own trouble is never the
file's, and repeated frames cost no memory.
"""

import resource
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from footage import encode, flat, moving, read_here

from openlumiere.media import Clip, Limits, MediaError, child, views, worker

LOADS = """
import resource, sys
kind, bound = sys.argv[2], int(sys.argv[3])
from openlumiere.media import Clip, MediaError
resource.setrlimit(getattr(resource, kind), (bound, bound))
try:
    print(Clip.load(sys.argv[1]).frames.shape)
except MediaError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    made = [Clip(moving(12)).save(folder / f"a{suffix}") for suffix in (".mp4", ".webm", ".gif")]
    return {path.suffix: path for path in made}


def loaded_under(path, kind, bound):
    command = [sys.executable, "-c", LOADS, str(path), kind, str(bound)]
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stdout + done.stderr).strip()


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif"])
@pytest.mark.parametrize(
    ("kind", "bound"),
    [("RLIMIT_AS", 2**31), ("RLIMIT_CPU", 60), ("RLIMIT_FSIZE", 2**30), ("RLIMIT_NOFILE", 64)],
)
def test_files_read_under_limits_below_ours(files, suffix, kind, bound):
    assert loaded_under(files[suffix], kind, bound) == "(12, 48, 64, 3)"


@pytest.mark.parametrize(
    ("kind", "bound", "said"),
    [("RLIMIT_AS", 210_000_000, "ulimit -v"), ("RLIMIT_FSIZE", 20_000, "ulimit -f")],
)
def test_limits_that_are_too_low_are_named_not_the_file(files, kind, bound, said):
    line = loaded_under(files[".mp4"], kind, bound)
    assert said in line and "download" not in line and "convert" not in line, line
    assert line.count("\n") == 0


def test_the_lesser_of_our_bound_and_the_hard_limit():
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10**9, hard))
        assert worker.lesser(resource.RLIMIT_FSIZE, 10**8) == 10**8
        assert worker.lesser(resource.RLIMIT_FSIZE, 10**10) == 10**9
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_reader_that_cannot_start_is_our_trouble(files, tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise RuntimeError('a broken installation')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(MediaError) as caught:
        Clip.load(files[".mp4"])
    line = str(caught.value)
    assert "a reading process that starts" in line and "a broken installation" in line
    assert "mend the installation" in line


def test_a_reader_that_dies_over_the_file_names_it(files, monkeypatch):
    def cut_short(*arguments, **settings):
        done = subprocess.CompletedProcess([], -11, b"", b"")
        folder = child.Path(child.json.loads(settings["input"])["folder"])
        (folder / child.STARTED).touch()
        return done

    monkeypatch.setattr(child.subprocess, "run", cut_short)
    with pytest.raises(MediaError, match="a.mp4, at which the reader was stopped by SIGSEGV"):
        Clip.load(files[".mp4"])


# Repeated frames

PEAK = """
import resource, sys
from openlumiere.media import Clip
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
clip = Clip.load(sys.argv[1])
first, last = clip.frames[0].mean(), clip.frames[-1].mean()
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(len(clip), clip.frames.nbytes, (after - before) * 1024)
"""


@pytest.mark.parametrize("suffix", [".mkv", ".gif", ".webp", ".apng", ".mp4"])
def test_a_long_still_takes_the_memory_of_its_pictures(tmp_path, suffix):
    """Three pictures of which one stays for half a minute: 120 to 300 MB as copies."""
    frames = np.stack([flat((60 * k, 90, 20), 1, 240, 320)[0] for k in range(1, 4)])
    path = tmp_path / f"a{suffix}"
    if suffix in (".mkv", ".mp4"):
        encode(path, frames, times=[0, 33, 33_000], options={"bf": "0"})
    else:
        long = np.concatenate([frames[:1], frames[1:2].repeat(1300, axis=0), frames[2:]])
        Clip(long, 40).save(path)
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True
    )
    count, shown, taken = map(int, done.stdout.split())
    assert count > 500 and shown > 1e8 and taken < shown / 4


@pytest.mark.parametrize("shape", [(5, 7, 3), (64, 64, 4), (33, 1, 3)])
def test_views_are_what_copies_would_be(monkeypatch, shape):
    monkeypatch.setattr(views, "LARGE", 0)
    frames = np.random.default_rng(0).integers(0, 256, (4, *shape), dtype=np.uint8)
    order = [0, 0, 0, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3]
    seen = views.in_order(frames, order)
    assert seen.shape == (13, *shape) and np.array_equal(seen, frames[order])
    kept = seen[3:5]
    seen[1] = 7
    assert np.array_equal(seen[0], frames[0]) and (seen[1] == 7).all()
    del seen
    assert np.array_equal(kept, frames[[1, 2]])
    assert Clip(kept, 10).frames.shape == (2, *shape)


def test_a_mapped_clip_is_saved_like_a_copied_one(tmp_path, monkeypatch):
    clip, _ = read_here(Clip(moving(4).repeat(30, axis=0), 10).save(tmp_path / "a.gif"))
    monkeypatch.setattr(views, "LARGE", 0)
    mapped = Clip.load(tmp_path / "a.gif")
    assert mapped == clip
    one = mapped.save(tmp_path / "one.mp4").read_bytes()
    assert clip.save(tmp_path / "two.mp4").read_bytes() == one


# More pixels than the budget


def test_a_clip_beyond_the_budget_is_read_smaller_and_says_so(tmp_path, caplog):
    """As 4K for 5 s is beyond the standard budget: half the sides are enough."""
    path = Clip(moving(10, 96, 128)).save(tmp_path / "a.mp4")
    with caplog.at_level("WARNING", "openlumiere"):
        clip = Clip.load(path, limits=Limits(total_pixels=60_000))
    assert len(clip) == 10 and clip.size == (88, 66) and clip.fps == 16
    assert "read as 88x66" in caplog.text and "Limits.total_pixels" in caplog.text
    caplog.clear()
    assert Clip.load(path, limits=Limits(total_pixels=10 * 96 * 128)).size == (128, 96)
    assert not caplog.text
    with pytest.raises(MediaError, match="pixels in all"):
        Clip.load(path, limits=Limits(total_pixels=30_000))


def test_the_standard_budget_has_room_for_five_seconds_of_4k():
    from openlumiere.media.picturing import within

    limits = Limits()
    for rate in (24, 30, 60):
        width, height = within(5 * rate, 3840, 2160, limits)
        assert 5 * rate * width * height <= limits.total_pixels and width >= 1920
        assert abs(Fraction(width, height) - Fraction(16, 9)) < Fraction(1, 50)
