"""Writing removes nothing that we did not write, whatever stands where we write."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from cases import case
from openlumiere.apps.cli import main
from openlumiere.engine.finish import ReportProvenance
from openlumiere.media import Clip, MediaError, check_output, save_image
from openlumiere.media.replace import check_folder_of_weights
from openlumiere.media.write import HIDDEN, hidden_prefix


def drawn(count=3):
    return Clip(np.random.default_rng(0).integers(0, 256, (count, 16, 16, 3), np.uint8))


def contents(folder):
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def generate(output, model, *words):
    """`lumiere generate`, as small as can be."""
    asked = ["generate", "a dog", "-o", str(output), "--steps", "1", "--frames", "2"]
    return main([*asked, "--size", "0", "--model", str(model), *words])


def put(path, content=b"a stranger's"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


NOTE = b'{"fps": "16", "frames": 3}'
STRANGERS = {
    "another tool's note": lambda at: put(at / "clip.json", b'{"model": "another tool"}'),
    "a note that is a list": lambda at: put(at / "clip.json", b"[]"),
    "a note with more in it": lambda at: put(
        at / "clip.json", b'{"fps": "16", "frames": 3, "title": "holiday"}'
    ),
    "no note": lambda at: put(at / "frame_00000.png"),
    "a file beside our frames": lambda at: put(at / "thesis.txt"),
    "a hidden file": lambda at: put(at / ".secret"),
    "a subfolder": lambda at: put(at / "notes" / "a.txt"),
    "an empty subfolder": lambda at: (at / "notes").mkdir(),
    "a folder named like a frame": lambda at: (at / "frame_00002.png").mkdir(),
    "a frame past the last": lambda at: put(at / "frame_00003.png"),
    "a frame of another numbering": lambda at: put(at / "frame_000001.png"),
    "a picture of another kind": lambda at: put(at / "frame_00001.jpg"),
    "another statement": lambda at: put(at / "provenance.json", b'{"author": "a stranger"}'),
    "a link": lambda at: (at / "frame_00002.png").symlink_to(at / "clip.json"),
}


@pytest.mark.parametrize("kind", STRANGERS)
def test_a_folder_with_anything_of_another_is_refused_whole(tmp_path, kind):
    """Also where our own frames lie beside it."""
    at = tmp_path / "frames"
    alone = kind in ("another tool's note", "a note that is a list", "a note with more in it")
    if kind != "no note":
        drawn().save(f"{at}/")
        for frame in at.glob("frame_00002.png"):
            frame.unlink()
    if alone:
        put(at / "thesis.txt")
    at.mkdir(exist_ok=True)
    STRANGERS[kind](at)
    before = contents(tmp_path)
    for call in (lambda: check_output(f"{at}/"), lambda: drawn().save(f"{at}/")):
        with pytest.raises(MediaError, match="expected a new, empty or earlier folder of frames"):
            call()
    assert contents(tmp_path) == before


def test_a_folder_of_ours_is_replaced(tmp_path):
    """Also where frames were taken out of it, and where it is empty."""
    at = tmp_path / "frames"
    at.mkdir()
    drawn(5).save(f"{at}/")
    (at / "frame_00001.png").unlink()
    drawn(2).save(f"{at}/")
    assert sorted(contents(at)) == ["clip.json", "frame_00000.png", "frame_00001.png"]


def test_the_folder_of_another_tool(tmp_path, tiny_model, capsys, monkeypatch):
    copy = shutil.copytree(case("second/folder_of_another_tool"), tmp_path / "copy")
    before = contents(copy)
    assert generate(f"{copy}/", tiny_model) == 2
    assert "'clip.json', which openlumiere did not write" in capsys.readouterr().err
    assert contents(copy) == before


@pytest.mark.parametrize("output", ["./", "../", "../here/", "here/../", "/"])
def test_the_folder_that_one_is_in_is_refused(tmp_path, monkeypatch, output):
    (tmp_path / "here" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(MediaError, match="expected a folder of its own for the frames"):
        check_output(output)


def test_a_link_to_a_folder_is_refused(tmp_path):
    drawn().save(f"{tmp_path}/frames/")
    (tmp_path / "link").symlink_to(tmp_path / "frames")
    with pytest.raises(MediaError, match="expected a new, empty or earlier folder of frames"):
        drawn().save(f"{tmp_path}/link/")


IN_THE_WAY = [
    ("talk.mp4", "talk.mp4.json", b'{"speaker": "a stranger"}'),
    ("talk.webm", "talk.webm.json", b"not json"),
    ("talk.gif", "talk.gif.json", b'{"replay": 1, "versions": {"openlumiere": "0"}}'),
    ("talk.webp", "talk.webp.json", b'{"replay": {}, "versions": {}}'),
    ("talk.webm", "talk.webm.provenance.json", b'{"claim": "of land"}'),
    ("frames/", "frames.json", b"{}"),
    ("talk.mp4", "talk.mp4.sheet.png", b"\x89PNG of a stranger"),
    ("talk.mp4", "talk.mp4.xt.png", b"notes"),
    ("talk.mp4", "talk.mp4.sheet.png.json", b"{}"),
]


@pytest.mark.parametrize(("output", "other", "content"), IN_THE_WAY)
def test_a_strangers_file_is_named_and_kept(tmp_path, tiny_model, capsys, output, other, content):
    """Before any work: the model is not even looked for."""
    (tmp_path / other).write_bytes(content)
    words = ["--preview"] if ".png" in other else []
    assert generate(f"{tmp_path}/{output}", "no model is read", *words) == 2
    err = capsys.readouterr().err
    assert f"{other}, which openlumiere did not write" in err and err.count("\n") == 1
    assert contents(tmp_path) == {other: content}


@pytest.mark.parametrize("kind", ["folder", "link", "fifo"])
def test_what_is_no_file_is_in_the_way_too(tmp_path, tiny, kind):
    other = tmp_path / "a.mp4.json"
    {
        "folder": other.mkdir,
        "link": lambda: other.symlink_to(tmp_path / "nowhere"),
        "fifo": lambda: os.mkfifo(other),
    }[kind]()
    made = tiny.generate("a dog", frames=2, steps=1, size=0)
    with pytest.raises(MediaError, match="nothing in the way of what is written beside"):
        made.save(tmp_path / "a.mp4")
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4.json"]


@pytest.mark.parametrize("output", ["a.mp4", "a.webm", "frames/"])
def test_our_own_are_replaced(tmp_path, tiny_model, output):
    """Made twice with previews: what the first run wrote is no stranger's to the second."""
    for seed in ("1", "2"):
        assert generate(f"{tmp_path}/{output}", tiny_model, "--preview", "--seed", seed) == 0
    (record,) = tmp_path.glob(f"{output.rstrip('/')}.json")
    assert '"seed": 2' in record.read_text()


def test_unsigned_pictures_of_ours_are_known_again(tmp_path):
    save_image(np.zeros((8, 8, 3), np.uint8), tmp_path / "a.mp4.sheet.png")
    check_output(tmp_path / "a.mp4", previews=(".sheet.png",))


def test_a_clip_that_is_merely_saved_leaves_a_strangers_file_alone(tmp_path):
    (tmp_path / "a.mp4.json").write_text("{}")
    for _ in range(2):
        drawn().save(tmp_path / "a.mp4")
    assert (tmp_path / "a.mp4.json").read_text() == "{}"


@pytest.mark.parametrize("length", [251, 252, 256])
def test_a_name_that_is_too_long_with_its_companions(tmp_path, length):
    """`.json` takes five bytes more than the clip's own name."""
    with pytest.raises(MediaError, match="expected names of at most 255 bytes"):
        check_output(tmp_path / ("ä" * ((length - 4) // 2) + "a" * (length % 2) + ".mp4"))
    check_output(tmp_path / ("a" * 200 + ".mp4"))


WRITER = """
import sys, time
from pathlib import Path
from openlumiere.media.write import write_beside
def fill(path):
    path.mkdir() if path.suffix == "" else path.write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(60)
write_beside(Path(sys.argv[1]), fill)
"""


@pytest.fixture
def killed(tmp_path):
    """A write that was killed at half of its work."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "a.mp4")], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout.readline() == "writing\n"
    yield writer
    writer.kill()
    writer.wait()
    writer.stdout.close()


def hidden(folder):
    return [file.name for file in folder.iterdir() if file.name.startswith(HIDDEN)]


def test_what_a_killed_write_left_goes_with_the_next(tmp_path, killed):
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert len(hidden(tmp_path)) == 1
    drawn().save(tmp_path / "b.webp")
    assert hidden(tmp_path) == []


def test_what_is_being_written_stays(tmp_path, killed):
    drawn().save(tmp_path / "b.webp")
    assert len(hidden(tmp_path)) == 1


def test_what_may_be_anothers_stays(tmp_path):
    """Of another machine on a shared disk, a stranger's folder of a like name, a link, a file."""
    for name in (
        ".openlumiere-elsewhere.1-1-abcdefgh",
        ".openlumiere-notes",
        ".openlumiere-new_room",
    ):
        (tmp_path / name).mkdir()
    (tmp_path / f"{hidden_prefix()}abcdefgh").symlink_to(tmp_path)
    (tmp_path / ".openlumiere-file").write_text("")
    before = sorted(hidden(tmp_path))
    drawn().save(tmp_path / "b.webp")
    assert sorted(hidden(tmp_path)) == before


def test_a_folder_that_stepped_aside_comes_back(tmp_path):
    """A write that was killed between two renames has taken nothing away."""
    room = tmp_path / hidden_prefix().replace(f"-{os.getpid()}-", "-4194305-abcdefgh")
    drawn().save(f"{tmp_path}/frames/")
    (room / "older").mkdir(parents=True)
    (tmp_path / "frames").rename(room / "older" / "frames")
    drawn().save(tmp_path / "b.webp")
    assert hidden(tmp_path) == [] and Clip.load(tmp_path / "frames") == drawn()


def test_old_leftovers_without_a_name_go_after_an_hour(tmp_path):
    (tmp_path / ".openlumiere-abcdefgh").mkdir()
    past = time.time() - 4000
    os.utime(tmp_path / ".openlumiere-abcdefgh", (past, past))
    drawn().save(tmp_path / "b.webp")
    assert hidden(tmp_path) == []


def test_a_picture_of_a_report_has_no_record_to_write(tmp_path):
    """So nothing is in its way, and a stranger's file stays."""
    shown = ReportProvenance(command="lumiere evaluate bias", model="ab" * 32)
    (tmp_path / "a.png.json").write_text(json.dumps({"notes": 1}))
    save_image(np.zeros((64, 64, 3), np.uint8), tmp_path / "a.png", shown)
    assert json.loads((tmp_path / "a.png.json").read_text()) == {"notes": 1}


def model_at(folder):
    """What an exported model consists of, empty."""
    for name in ("model_index.json", "checksums.json", "stunet/config.json"):
        put(folder / name, b"{}")
    put(folder / "stunet/diffusion_pytorch_model-00001-of-00002.safetensors", b"")
    put(folder / "stunet/diffusion_pytorch_model.safetensors.index.json", b"{}")


@pytest.mark.parametrize("other", ["thesis.txt", "stunet/notes.md", "vae/weights.bin", ".git/HEAD"])
def test_an_export_does_not_wipe_a_strangers_folder(tmp_path, other):
    model_at(tmp_path / "model")
    check_folder_of_weights(tmp_path / "model")
    check_folder_of_weights(tmp_path / "new")
    put(tmp_path / "model" / other)
    with pytest.raises(MediaError, match="expected a new, empty or earlier folder of a model"):
        check_folder_of_weights(tmp_path / "model")


def test_a_folder_without_a_model_is_no_place_for_one(tmp_path):
    put(tmp_path / "home" / "subjects.json", b"{}")
    with pytest.raises(MediaError, match="which is none of its files"):
        check_folder_of_weights(tmp_path / "home")
