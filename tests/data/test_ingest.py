"""From a folder of footage to shards: what is kept, what is dropped and why, what stops nothing."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from recordings import SMALL, fill, moving, mux, save

from openlumiere.data.ingest import Machine, Score, Shards, ingest
from openlumiere.data.ingest.digest import job
from openlumiere.data.ingest.process import ReadingProcess
from openlumiere.media import Clip


@pytest.fixture(scope="module")
def reader():
    """A reading process; tests of single files share it."""
    process = ReadingProcess()
    yield process
    process.close()


@pytest.fixture
def read(reader, tmp_path_factory):
    """`read(path, **config)`: the outcome of one file."""
    part = tmp_path_factory.mktemp("parts") / "part.tar"

    def outcome(path, **options):
        config = replace(SMALL, **options)
        return reader(job(path, "key", part, config))

    return outcome


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Shards of eight files: six squares, one of four scenes, one that hardly moves."""
    folder = tmp_path_factory.mktemp("ingest")
    footage = fill(folder / "footage")
    save(footage / "scenes.mp4", moving(50, 16), moving(51), moving(52, 3), moving(0))
    save(footage / "still.mp4", np.repeat(moving(60, 1), 10, 0))
    save(footage / "dark.mp4", moving(61) // 12)
    report = ingest(footage, folder / "shards", SMALL, workers=Machine(2))
    return footage, Shards(folder / "shards"), report


def psnr(a, b):
    return 10 * np.log10(255**2 / ((a.astype(float) - b) ** 2).mean())


def test_scenes_are_cut_and_clips_have_the_models_length(made):
    _, shards, report = made
    spans = {row["start"] for row in shards.rows if row["source"] == "scenes.mp4"}
    assert spans == {0.0, 1.0, 2.0}  # two clips of the first scene, one of the second
    assert all(row["seconds"] == 1.0 for row in shards.rows)
    assert (report.clips, report.dropped, report.problems) == (9, 4, ())


def test_dropped_clips_say_why(made):
    _, shards, _ = made
    said = {(row["source"], row["start"]): row["dropped"] for row in shards.dropped()}
    assert said["still.mp4", 0.0] == "near-still: motion 0 below 0.5"
    assert "near-black" in said["dark.mp4", 0.0]
    assert said["scenes.mp4", 3.0] == "short: a scene of 3 frames, 8 are needed"
    assert said["scenes.mp4", 3.375].startswith("duplicate of ")


def test_frames_are_those_of_the_file(made):
    footage, shards, _ = made
    for number in (0, 4, 8):
        row = shards.rows[number]
        whole = Clip.load(footage / row["source"]).frames
        first = round(row["start"] * 8)
        square = whole[first : first + 8, 2:34, 8:40]  # 36 x 48 brought to 32 x 43, its middle
        assert shards.frames(number).shape == (8, 32, 32, 3)
        assert psnr(shards.frames(number), square) > 15


def test_where_a_clip_comes_from_is_kept(made):
    footage, shards, _ = made
    row = next(row for row in shards.rows if row["source"] == "nested/more/a_square_1.mp4")
    assert (row["caption"], row["source_fps"]) == ("a square", "8")
    assert (row["source_width"], row["source_height"]) == (48, 36)
    assert row["sha256"] == hashlib.sha256((footage / row["source"]).read_bytes()).hexdigest()


def test_webdataset_reads_the_shards(made):
    tariterators = pytest.importorskip("webdataset.tariterators")
    _, shards, _ = made
    assert len(shards.facts["shards"]) == 3
    read = []
    for name in shards.facts["shards"]:
        with (shards.folder / name).open("rb") as stream:
            opened = [{"url": name, "stream": stream}]
            read += tariterators.group_by_keys(tariterators.tar_file_expander(opened))
    assert {sample["__key__"] for sample in read} == {row["key"] for row in shards.rows}
    assert {"webp", "txt", "json"} <= set(read[0])
    assert json.loads(read[0]["json"])["caption"] == read[0]["txt"].decode()


def test_a_damaged_shard_is_found(made, tmp_path):
    _, shards, _ = made
    assert shards.damaged() == []
    for file in shards.folder.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    name = next(iter(shards.facts["shards"]))
    data = bytearray((tmp_path / name).read_bytes())
    data[600] ^= 1
    (tmp_path / name).write_bytes(data)
    assert Shards(tmp_path).damaged() == [name]
    first = min(shards.rows, key=lambda row: (row["shard"], row["offset"]))
    with pytest.raises(ValueError, match="the shard is cut or damaged"):
        Shards(tmp_path).frames(shards.rows.index(first))


RUN = """
import sys; from pathlib import Path
sys.path.insert(0, {tests!r})
from recordings import SMALL
from openlumiere.data.ingest import Machine, ingest
ingest(Path({footage!r}), Path({shards!r}), SMALL, workers=Machine(2))
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name[0] != "."}


def killed_when(script: str, done) -> None:
    """Start the script in a group of its own; kill all of it when `done()`, or let it end."""
    running = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    while running.poll() is None and not done():
        time.sleep(0.002)
    if running.poll() is None:
        os.killpg(running.pid, signal.SIGKILL)
    running.wait()


@pytest.mark.parametrize(
    "moment",
    [
        "1 note",
        pytest.param("3 notes", marks=pytest.mark.long),
        pytest.param("5 notes", marks=pytest.mark.long),
        pytest.param("a part", marks=pytest.mark.long),
        pytest.param("a shard", marks=pytest.mark.long),
    ],
)
def test_after_a_kill_no_clip_is_lost_or_doubled(made, tmp_path, moment):
    """Every byte is that of the unbroken run, which had other workers."""
    footage, shards, _ = made
    out = tmp_path / "shards"
    script = RUN.format(tests=str(Path(__file__).parent), footage=str(footage), shards=str(out))
    count = int(moment.split()[0]) if moment[0].isdigit() else 1
    pattern = {"part": "work/??/.openlumiere-*/*", "shard": "clips-*.tar"}
    sought = pattern.get(moment.split()[1], "work/??/*.json")
    killed_when(script, lambda: len(list(out.glob(sought))) >= count)
    assert not (out / "manifest.json").exists()
    ingest(footage, out, SMALL)
    assert contents(out) == contents(shards.folder)


def test_a_finished_folder_is_left_as_it_is(made):
    footage, shards, report = made
    before = {file: file.stat().st_mtime_ns for file in shards.folder.iterdir() if file.is_file()}
    assert ingest(footage, shards.folder, SMALL) == report
    before.pop(shards.folder / ".lock")
    assert all(file.stat().st_mtime_ns == then for file, then in before.items())


def damage(source: Path, target: Path, kind: str) -> None:
    data = bytearray(source.read_bytes())
    middle = len(data) // 2
    if kind == "cut":
        del data[middle:]
    elif kind == "hole":
        data[middle - 200 : middle + 200] = bytes(400)
    else:
        data[4:8] = b"junk"
    target.write_bytes(data)


def test_bad_files_are_listed_once_and_stop_nothing(tmp_path):
    """Half of the files are broken, each in its own way; the others come through."""
    footage = fill(tmp_path / "footage", 4)
    long = save(tmp_path / "long.mp4", *(moving(seed) for seed in range(70, 76)))
    for kind in ("cut", "hole", "head"):
        damage(long, footage / f"{kind}.mp4", kind)
    (footage / "empty.mp4").touch()
    (footage / "list.mp4").write_text("#EXTM3U\n/etc/passwd\n")
    mux(footage / "sizes.avi", moving(1), moving(2, 8, 48, 64), codec="mjpeg")
    hours = [0, 125, 36_000_000]
    mux(footage / "ten_hours.mkv", moving(3, 3), times=hours)
    os.symlink(footage, footage / "loop")
    os.symlink("/etc/passwd", footage / "secret.mp4")
    (footage / "captions.csv").write_text("file,caption\ngone.mp4,a ghost\n")
    report = ingest(footage, tmp_path / "shards", SMALL, workers=Machine(2))
    bad = dict(report.problems)
    assert len(report.problems) == len(bad) == 10
    assert set(bad) == {
        *("cut.mp4", "hole.mp4", "head.mp4", "empty.mp4", "list.mp4", "sizes.avi"),
        *("ten_hours.mkv", "loop", "secret.mp4", "gone.mp4"),
    }
    assert "links are not followed" in bad["loop"]
    assert "a playlist" in bad["list.mp4"]
    assert "expected at most 4 hours, got 10.0" in bad["ten_hours.mkv"]
    assert "frames of one size" in bad["sizes.avi"]
    assert bad["gone.mp4"] == "a caption for a file that is not there"
    assert report.clips == 4


def test_a_reader_that_crashes_or_hangs_takes_one_file_with_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    footage = fill(tmp_path / "footage", 2)
    bright = moving(7)
    bright[:, :, :40] = 250
    save(footage / "bright.mp4", np.maximum(bright, 235))
    for name, ending in (("crash", "was stopped by SIGSEGV"), ("hang", "gave no frame for 2 s")):
        config = replace(
            SMALL, scores=(Score(name=name, function=f"recordings:{name}"),), stall=2.0
        )
        report = ingest(footage, tmp_path / name, config)
        assert [file for file, _ in report.problems] == ["bright.mp4"]
        assert ending in report.problems[0][1]
        assert report.clips == 2


def test_a_plug_in_scores_and_drops(tmp_path, read, monkeypatch):
    score = Score(name="bright", function="numpy:mean", per="picture", most=100.0)
    for level, dropped in ((60, False), (200, True)):
        clip = moving(3) // 8 + level
        (row,) = read(save(tmp_path / f"{level}.mp4", clip), scores=(score,))["rows"]
        assert abs(json.loads(row["scores"])["bright"] - clip.mean()) < 15
        assert row["dropped"].startswith("bright") == dropped


def test_a_plug_in_that_is_not_there_is_refused(tmp_path):
    config = replace(SMALL, scores=(Score(name="x", function="nowhere:no"),))
    with pytest.raises(ValueError, match=r"expected a function as module:name, got 'nowhere:no'"):
        ingest(fill(tmp_path / "in", 1), tmp_path / "out", config)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("frames", "fps", "kept"), [(240, 240, 1), (1, 8, 0), (16, 16, 1), (12, 12, 1), (25, 25, 1)]
)
def test_any_rate_becomes_the_models(tmp_path, read, frames, fps, kept):
    clip = np.repeat(moving(9), -(-frames // 8), 0)[:frames]
    rows = read(save(tmp_path / "clip.mp4", clip, fps=fps))["rows"]
    assert len(rows) == 1
    assert bool(rows[0]["dropped"]) == (not kept)
    assert rows[0]["source_fps"] == str(fps)


def test_a_header_without_a_rate(tmp_path, read):
    data = bytearray(mux(tmp_path / "clip.avi", moving(1)).read_bytes())
    at = data.find(b"strh") + 8
    data[at + 24 : at + 28] = bytes(4)  # rate
    main = data.find(b"avih") + 8
    data[main : main + 4] = bytes(4)  # microseconds a frame
    (tmp_path / "clip.avi").write_bytes(data)
    (row,) = read(tmp_path / "clip.avi")["rows"]
    assert (
        row["source_fps"] == "25"
    )  # FFmpeg's guess, at which eight frames are a third of a second
    assert row["dropped"] == "short: a scene of 3 frames, 8 are needed"


def test_odd_sizes_and_names_with_a_newline(tmp_path, read):
    path = tmp_path / "two\nlines.webp"
    Clip(moving(4, 8, 33, 48)[:, :, :47], fps=8).save(path, lossless=True)
    (row,) = read(path)["rows"]
    assert (row["source_width"], row["source_height"], row["dropped"]) == (47, 33, "")
    report = ingest(tmp_path, tmp_path.parent / f"{tmp_path.name}-shards", SMALL)
    assert report.clips == 1
    shards = Shards(tmp_path.parent / f"{tmp_path.name}-shards")
    assert (shards.rows[0]["source"], shards.rows[0]["caption"]) == (
        "two?lines.webp",
        "two lines",
    )


def test_a_folder_of_frames_is_a_clip(tmp_path, read):
    Clip(moving(5), fps=8).save(f"{tmp_path}/frames/")
    (row,) = read(tmp_path / "frames")["rows"]
    assert row["dropped"] == ""
    report = ingest(tmp_path, tmp_path.parent / f"{tmp_path.name}-shards", SMALL)
    assert (report.files, report.clips) == (1, 1)


@pytest.mark.parametrize("picture", ["webp-lossless", "npz"])
def test_exact_pictures(tmp_path, picture):
    footage = fill(tmp_path / "in", 1)
    config = replace(SMALL, picture=picture, side=36, fit="letterbox")
    ingest(footage, tmp_path / "out", config)
    frames = Shards(tmp_path / "out").frames(0)
    assert frames.shape == (8, 36, 36, 3)
    assert frames[:, :4].max() == 0 and frames[:, -4:].max() == 0  # 48 x 36 in a square: bars
    assert frames[:, 6:-6].mean() > 30


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "in" / "nested").mkdir(parents=True)
    (tmp_path / "in" / "notes.txt").write_text("nothing here")
    with pytest.raises(ValueError, match="expected videos below .*, got none, check the folder"):
        ingest(tmp_path / "in", tmp_path / "out", SMALL)
    assert not (tmp_path / "out").exists()


def test_another_config_than_the_one_begun_with_is_refused(tmp_path):
    from openlumiere.data.ingest.journal import Journal

    Journal(tmp_path / "out", SMALL)
    with pytest.raises(ValueError, match="side: expected 32, with which .* was begun, got 64"):
        ingest(fill(tmp_path / "in", 1), tmp_path / "out", replace(SMALL, side=64))


def test_two_ingestions_into_one_folder_are_refused(tmp_path):
    from openlumiere.data.ingest.journal import alone

    (tmp_path / "out").mkdir()
    with alone(tmp_path / "out"), pytest.raises(ValueError, match="another ingestion holds"):
        ingest(fill(tmp_path / "in", 1), tmp_path / "out", SMALL)


def test_shards_inside_the_footage_or_among_other_files_are_refused(tmp_path):
    footage = fill(tmp_path / "in", 1)
    with pytest.raises(ValueError, match="expected a folder outside"):
        ingest(footage, footage / "shards", SMALL)
    with pytest.raises(ValueError, match="expected a new or empty folder"):
        ingest(footage, tmp_path, SMALL)


@pytest.mark.parametrize(
    ("field", "value"),
    [("side", 4), ("frames", 0), ("fps", Fraction(1000)), ("fit", "stretch"), ("drop", ("odd",))],
)
def test_configs_out_of_range_are_refused(field, value):
    with pytest.raises(ValueError, match=rf"^{field}: expected .*, got "):
        replace(SMALL, **{field: value})


def test_a_full_disk_stops_cleanly_and_what_is_done_is_kept(tmp_path, small_disk):
    footage = fill(tmp_path / "in", 6)
    config = replace(SMALL, picture="npz", side=64)
    ballast = small_disk / ".ballast"
    ballast.write_bytes(bytes(50_000))
    with pytest.raises(ValueError, match=r"got 'No space left on device.*what is done is kept"):
        ingest(footage, small_disk / "out", config)
    assert not (small_disk / "out" / "manifest.json").exists()
    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    assert ingest(footage, small_disk / "out", config).clips == 6
