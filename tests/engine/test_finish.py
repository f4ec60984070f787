"""No way out but through `finish.py`: what is made is marked and signed, by whichever method or
command.
"""

import ast
import inspect
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from openlumiere import Clip, Lumiere
from openlumiere.apps.cli import VERBS, main
from openlumiere.engine import finish
from openlumiere.engine.finish import Provenance, read_sidecar
from openlumiere.media import load_image, save_image
from openlumiere.provenance.manifest import extract
from openlumiere.provenance.verify import read_manifest
from openlumiere.settings import SIGNER, Settings
from openlumiere.tasks import Generate, Machine, Record

SOURCE = Path(finish.__file__).parents[1]
PROMPT = "a dog moves right on a green background"
CORNER = (0.0, 0.0, 0.5, 0.5)
SIDE = 16


def given(count=4):
    return Clip(np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, 3), np.uint8))


TASK = Generate(prompt=PROMPT, frames=4, steps=1, size=0)
METHODS = {
    "generate": lambda lumiere: lumiere.generate(PROMPT, frames=4, steps=1, size=0),
    "generate_image": lambda lumiere: lumiere.generate_image(PROMPT, steps=1, size=0),
    "animate": lambda lumiere: lumiere.animate(given().frames[0], PROMPT, frames=4, steps=1),
    "inpaint": lambda lumiere: lumiere.inpaint(given(), CORNER, PROMPT, steps=1),
    "outpaint": lambda lumiere: lumiere.outpaint(given(), (24, 16), PROMPT, steps=1),
    "mend": lambda lumiere: lumiere.mend(given(), CORNER, steps=1),
    "cinemagraph": lambda lumiere: lumiere.cinemagraph(
        given().frames[0], CORNER, frames=4, steps=1
    ),
    "restyle": lambda lumiere: lumiere.restyle(given(), PROMPT, steps=2),
    "upscale": lambda lumiere: lumiere.upscale(given(), steps=1),
    "run": lambda lumiere: lumiere.run(TASK),
    "run_many": lambda lumiere: lumiere.run_many([TASK])[0],
    "replay": lambda lumiere: lumiere.replay(
        lumiere.generate(PROMPT, frames=4, steps=1, size=0).origin.record
    ),
}
MAKES_NO_CLIP = {"from_pretrained", "learn_style", "fingerprint_for"}


@pytest.fixture(scope="module")
def cascade(build_tiny, build_tiny_upscaler):
    """A tiny model with every stage."""
    return Lumiere(build_tiny(), build_tiny_upscaler())


def public(kind):
    return {name for name, _ in inspect.getmembers(kind, callable) if not name.startswith("_")}


def test_every_public_method_is_walked():
    assert public(Lumiere) == set(METHODS) | MAKES_NO_CLIP


@pytest.mark.parametrize("method", METHODS)
def test_every_method_makes_clips_that_are_marked_and_signed(cascade, tmp_path, method):
    clip = METHODS[method](cascade)
    before = clip.frames.copy()
    clip.save(tmp_path / "clip.webp", lossless=True)
    manifest = extract(tmp_path / "clip.webp")
    assert manifest.state == "trusted" and manifest.making == clip.origin.making()
    marked = Clip.load(tmp_path / "clip.webp").frames
    assert np.array_equal(marked, clip.origin.seal(clip.frames)) and np.array_equal(
        clip.frames, before
    )
    moved = np.abs(marked.astype(int) - before)
    assert 0 < moved.max() <= 5


# A pack of stickers is walked in tests/apps/test_sticker_command.py, jobs of the queue and of the
# server, which are written as commands write, in tests/apps/queue/test_worker.py.
ELSEWHERE = {"sticker", "queue", "serve", "studio"}
WRITE_NO_CLIP = {"verify", "doctor", "inflate", "train", "data", "evaluate", "learn-style"}
COMMANDS = {
    "generate": ["generate", PROMPT, "--preview", "--frames", "4", "--size", "0"],
    "image": ["image", PROMPT, "--size", "0"],
    "animate": ["animate", "cat.png", PROMPT, "--frames", "4"],
    "inpaint": ["inpaint", "cat.webp", PROMPT, "--region", "0,0,0.5,0.5"],
    "outpaint": ["outpaint", "cat.webp", PROMPT, "--to", "24x16"],
    "mend": ["mend", "cat.webp", "--region", "0,0,0.5,0.5"],
    "cinemagraph": ["cinemagraph", "cat.png", PROMPT, "--region", "0,0,0.5,0.5", "--frames", "4"],
    "restyle": ["restyle", "cat.webp", PROMPT],
    "upscale": ["upscale", "cat.webp"],
}


def test_every_command_is_walked():
    assert set(VERBS) == set(COMMANDS) | ELSEWHERE | WRITE_NO_CLIP


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    save_image(given().frames[0], "cat.png")
    given().save("cat.webp", lossless=True)
    return tmp_path / "out"


@pytest.fixture(scope="module")
def cascade_model(cascade, tiny_model, tmp_path_factory):
    """A folder with every stage."""
    model = shutil.copytree(tiny_model, tmp_path_factory.mktemp("cascade") / "model")
    cascade.upscaler.save_pretrained(model / "upscaler")
    return model


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_picture_that_a_command_writes_is_marked_and_signed(
    folder, cascade_model, monkeypatch, capsys, verb
):
    sealed = []
    monkeypatch.setattr(
        Provenance,
        "seal",
        lambda self, frames, seal=Provenance.seal: sealed.append(seal(self, frames)) or sealed[-1],
    )
    output = "out/made.png" if verb == "image" else "out/made.webm"
    assert (
        main([*COMMANDS[verb], "-o", output, "--steps", "2", "--model", str(cascade_model)]) == 0
    ), capsys.readouterr().err
    written = [path for path in folder.rglob("*") if path.suffix != ".json"]
    assert len(written) == len(sealed) == (3 if verb == "generate" else 1)
    for path in written:
        assert read_manifest(path).state == "trusted" and read_sidecar(path).task.kind == verb


def test_what_is_merely_loaded_and_saved_is_not_ours(tiny, tmp_path):
    tiny.generate(PROMPT, frames=2, steps=1, size=0).save(tmp_path / "made.webp", lossless=True)
    copy = Clip.load(tmp_path / "made.webp")
    copy.save(tmp_path / "copy.webp", lossless=True)
    assert [path.name for path in tmp_path.glob("copy*")] == ["copy.webp"]
    assert (
        extract(tmp_path / "copy.webp").state == "none"
        and Clip.load(tmp_path / "copy.webp") == copy
    )


@pytest.mark.parametrize("name", ["a.webm", "a.mp4", "a/"])
def test_record_and_statement_go_with_the_clip_that_they_speak_of(tiny, tmp_path, name):
    """Another clip under the same name is not inconsistent for what was said of the first."""
    output = f"{tmp_path}/{name}"
    tiny.generate(PROMPT, frames=2, steps=1, size=0).save(output)
    assert (
        read_manifest(Path(output)).state == "trusted"
        and read_sidecar(output).task.kind == "generate"
    )
    given().save(output)
    assert [path.name for path in tmp_path.iterdir()] == [name.rstrip("/")] and read_manifest(
        Path(output)
    ).state == "none"
    (tmp_path / "a.mp4.json").write_text('{"notes": "of the user"}')
    given().save(tmp_path / "a.mp4")
    given().save(tmp_path / "a.mp4")
    assert (tmp_path / "a.mp4.json").is_file()


def test_an_edit_that_changes_nothing_leaves_the_origin_as_it_was(tiny, tmp_path):
    made = tiny.generate(PROMPT, frames=4, steps=1, size=0)
    assert tiny.restyle(made, PROMPT, strength=0).origin == made.origin
    tiny.outpaint(given(), (SIDE, SIDE), PROMPT, steps=1).save(
        tmp_path / "same.webp", lossless=True
    )
    assert (
        extract(tmp_path / "same.webp").state == "none"
        and Clip.load(tmp_path / "same.webp") == given()
    )


def test_history_by_file_and_by_memory(tiny, tmp_path):
    first = tiny.generate(PROMPT, frames=4, steps=1, size=0)
    for name in ("a.mp4", "a.webm"):
        first.save(tmp_path / name)
        edit = tiny.inpaint(tmp_path / name, CORNER, PROMPT, steps=1)
        edit.save(tmp_path / "edit.webm")
        assert edit.origin.making().marks == (str(edit.origin.payload), str(first.origin.payload))
        assert read_manifest(tmp_path / "edit.webm").making.inputs[0].relationship == "parentOf"
    again = tiny.restyle(tiny.inpaint(first, CORNER, "a cat", seed=1, steps=1), PROMPT, steps=2)
    assert len(again.origin.making().marks) == 3 and again.origin.making().marks[-1] == str(
        first.origin.payload
    )
    picture = tiny.animate(tiny.generate_image(PROMPT, steps=1, size=0), PROMPT, frames=2, steps=1)
    assert [source.relationship for source in picture.origin.inputs] == ["componentOf"] and len(
        picture.origin.making().marks
    ) == 2


def test_the_same_record_is_the_same_mark_and_another_is_another():
    machine = Machine(dtype="float32", device="cpu", threads=1)

    def mark(prompt=PROMPT, seed=0, model="ab" * 32):
        task = Generate(prompt=prompt, seed=seed)
        return Provenance(Record(task=task, model=model, machine=machine)).payload

    assert mark() == mark()
    assert (
        len({str(each) for each in (mark(), mark(seed=1), mark("a cat"), mark(model="cd" * 32))})
        == 4
    )
    assert f"{mark().model:04x}" == "abab"


def test_without_a_key_no_work_is_begun(tiny, tmp_path, monkeypatch):
    """The refusal comes before minutes of denoising, not after."""
    path = tmp_path / "signer.pem"
    path.write_text("open to all")
    monkeypatch.setenv(SIGNER, str(path))
    unsigned = replace(tiny, settings=Settings.load(), base=None)
    with pytest.raises(ValueError, match="signer: expected a file that only its owner can read"):
        unsigned.generate(PROMPT, frames=2, steps=1, size=0)


NO_MODEL_MADE_IT = {
    "openlumiere_world/inspect.py": "drawn clips of the world",
    "apps/cli/evaluate_defects.py": "a clip that was given",
    "apps/queue/inputs.py": "what is given to a job",
    "apps/studio/painter.py": "a mask that somebody painted",
    "apps/studio/tools.py": "a frame of a marked result, on its way to the next job",
}
UNFINISHED = {  # what a net makes while it is trained, in the folder of its run
    "train/show.py": "samples of a stage",
    "train/stages/backbone.py": "validation clips",
}


def pictures_written():
    """Every call of `save_image` in the house, as file and number of arguments."""
    world = SOURCE.with_name("openlumiere_world")
    for path in sorted([*SOURCE.rglob("*.py"), *world.rglob("*.py")]):
        root = SOURCE if path.is_relative_to(SOURCE) else SOURCE.parent
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and getattr(node.func, "id", getattr(node.func, "attr", "")) == "save_image"
            ):
                yield str(path.relative_to(root)), len(node.args) + len(node.keywords)


def test_every_picture_is_written_with_an_origin_or_shows_nothing_that_was_released():
    calls = list(pictures_written())
    assert {file for file, arguments in calls if arguments < 3} == set(NO_MODEL_MADE_IT) | set(
        UNFINISHED
    )
    signed = {file for file, arguments in calls if arguments == 3}
    assert "apps/cli/measuring.py" in signed and len(calls) >= 5


def test_previews_are_pictures_of_what_was_made(folder, tiny_model):
    assert (
        main(
            [
                "generate",
                PROMPT,
                "-o",
                "out/a.mp4",
                "--preview",
                "--frames",
                "4",
                "--steps",
                "1",
                "--size",
                "0",
                "--model",
                str(tiny_model),
            ]
        )
        == 0
    )
    sheet = Path("out/a.mp4.sheet.png")
    assert extract(sheet).making.task == "generate" and load_image(sheet).std() > 1
