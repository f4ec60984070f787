"""`lumiere data world build --scope world-128` and `render-toys`: from packages that lie there to a
world that is planned from, resumed builds, and models that can't be rendered.
"""

import json
import struct
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from openlumiere.apps.cli import main
from openlumiere_world.toys.cache import Cache
from openlumiere_world.toys.glb import check_model
from openlumiere_world.toys.pack import SUBJECTS, Writer
from openlumiere_world.toys.scene import Planner, clip
from openlumiere_world.toys.subjects import LANGUAGES

APPLE, BANANA = "1f34e", "1f34c"
NAMES = {APPLE: "red apple", BANANA: "banana"}
HEAD = ["file", *(f"subject_{each}" for each in LANGUAGES), "animation"]
VERBS = [f"action_{each}" for each in LANGUAGES]


@pytest.fixture
def world(tmp_path):
    """A folder with two unpacked packages: the names of two fruits and drawings of both."""
    packages = tmp_path / "world" / "packages"
    for language in LANGUAGES:
        entries = [
            {"hexcode": code.upper(), "label": name, "group": 4} for code, name in NAMES.items()
        ]
        write(packages / f"emojibase-data-17.0.0/package/{language}/data.json", entries)
    circle = '<circle cx="18" cy="18" r="9" fill="red"/>'
    icons = {"red-apple": {"body": circle}, "banana": {"body": circle}, "axe": {"body": circle}}
    drawings = {"width": 36, "height": 36, "icons": icons}
    write(packages / "iconify-json-twemoji-1.2.5/package/icons.json", drawings)
    return tmp_path / "world"


def write(file, content):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def table(folder, animation="Walk"):
    folder.mkdir(parents=True, exist_ok=True)
    row = ["fox.glb", *["fox"] * 5, animation, *["walks"] * 5]
    (folder / "actions.csv").write_text("\n".join(map(",".join, ([*HEAD, *VERBS], row))))


def rendered(folder):
    """A toy as Blender leaves it: one complete view of two frames, and one that is not complete."""
    table(folder)
    for view in ("side", "front"):
        (folder / "fox-walks" / view).mkdir(parents=True)
        picture = Image.new("RGBA", (128, 128))
        picture.paste((200, 90, 30, 255), (40, 40, 90, 90))
        for number in range(2):
            picture.save(folder / "fox-walks" / view / f"00{number}.png")
    facts = {"seconds": 0.5, "view": "side", "foot_speed": 1.0, "pixels_a_unit": 20.0}
    write(folder / "fox-walks/side/facts.json", facts)


def build(world, *words):
    return main(["data", "world", "build", str(world), "--scope", "world-128", *words])


def test_one_command_builds_a_world_and_only_what_is_missing_of_it(world, capsys):
    chosen = ("--styles", "toy", "twemoji")
    assert build(world, *chosen) == 0
    said = capsys.readouterr()
    assert said.out.endswith(f"{world}\n") and "pip install bpy" in said.out + said.err
    cache = Cache(world)
    assert [item.subject for item in cache.items] == [APPLE, BANANA]
    assert cache.subjects[APPLE].names["it"] == "red apple" and not list(world.glob(".*"))
    assert np.load(world / "drawings.npy").shape == (2, 128, 128, 4)
    assert "CC-BY-4.0" in (world / "ATTRIBUTION.md").read_text()
    frames = clip(cache, Planner(cache).plan(3), 4)
    assert frames.shape == (4, 4, 128, 128) and frames.max() > 0

    packed = (world / "stills.json").stat().st_mtime_ns
    rendered(world / "toy-frames")
    assert build(world, *chosen) == 0
    assert (world / "stills.json").stat().st_mtime_ns == packed
    fox = Cache(world).items[-1]
    assert (fox.subject, fox.view, fox.count, fox.motion["en"]) == ("fox", "side", 2, "walks")
    assert "fox" in Cache(world).subjects and "pip install bpy" not in capsys.readouterr().err

    (world / "toys.json").unlink()  # as a build that was stopped leaves it
    assert build(world, *chosen) == 0 and Cache(world).items[-1] == fox
    assert build(world, "--styles", "twemoji") == 2
    assert "world: expected the subjects and styles that" in capsys.readouterr().err


def test_only_the_keys_of_a_file_are_packed(world, tmp_path, capsys):
    keys = tmp_path / "keys.txt"
    words = ("--styles", "twemoji", "--subjects", str(keys))
    for text, got in (("yeti\n", "got yeti"), ("\n", "got none")):
        keys.write_text(text)
        assert build(world, *words) == 2
        assert f"subjects: expected keys such as {BANANA}" in (error := capsys.readouterr().err)
        assert got in error and not (world / SUBJECTS).exists()
    keys.write_text(f"{BANANA}\n\n")
    assert build(world, *words) == 0
    assert list(Cache(world).subjects) == [BANANA]


def test_photographs_are_cut_for_the_codec(world, tmp_path):
    pictures = tmp_path / "pictures" / "deep"
    pictures.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    Image.fromarray(noise).save(pictures / "noise.png")
    assert build(world, "--styles", "twemoji", "--photographs", str(tmp_path / "pictures")) == 0
    assert np.load(world / "photographs.npy").shape == (10, 144, 144, 3)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--toys", "."], "toys: expected models and a Blender, got one of them, add --blender"),
        (
            ["--blender", "python"],
            "toys: expected models and a Blender, got one of them, add --toy",
        ),
        (["--toys", ".", "--blender", "no"], "toys: expected actions.csv and a folder glb in ."),
        (["--subjects", "no.txt"], "subjects: expected a file of keys, got no.txt"),
        (["--photographs", "no"], "photographs: expected a folder, got no"),
        (["--styles", "3d", "--scope", "world-64"], "scope: expected world-128 with toys"),
    ],
)
def test_what_cannot_be_built_is_one_line(tmp_path, capsys, words, told):
    assert build(tmp_path / "world", *words) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1
    assert not (tmp_path / "world").exists()


def test_a_world_that_is_not_there_says_how_to_make_it(tmp_path):
    with pytest.raises(ValueError, match="do: lumiere data world build WORLD --scope world-128"):
        Cache(tmp_path)


def test_a_part_that_is_packed_anew_stays_readable_until_it_is_whole(tmp_path):
    frames = np.full((1, 128, 128, 4), 255, np.uint8)
    for level in (255, 100):
        writer = Writer(tmp_path, "stills")
        writer.add(frames // 255 * level, subject=APPLE, style="flat", seconds=0.0)
        if level == 255:
            writer.close()
    about = {"key": APPLE, "names": {"en": "apple"}, "kind": "food"}
    (tmp_path / SUBJECTS).write_text(json.dumps({APPLE: about}))
    assert torch.equal(Cache(tmp_path).frames(0), torch.from_numpy(frames))
    writer.close()
    assert int(Cache(tmp_path).frames(0).max()) == 100


# Models.


def model(**changes):
    """A glb with a skinned mesh, as bytes."""
    parts = {
        "nodes": [{"mesh": 0, "skin": 0}, {}],
        "meshes": [{"primitives": [{"attributes": {"JOINTS_0": 0, "WEIGHTS_0": 0}}]}],
        "skins": [{"joints": [1], "inverseBindMatrices": 0}],
        "accessors": [{"count": 1}],
        "bufferViews": [{"byteLength": 64}],
        "animations": [{"name": "Walk"}],
    }
    text = json.dumps(parts | changes).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    chunks += struct.pack("<I4s", 64, b"BIN\0") + bytes(64)
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (model(animations=[]), "the animation Walk, got none in fox.glb"),
        (model(animations=[{"name": "Run"}]), "the animation Walk, got Run in fox.glb"),
        (model(nodes=[{"mesh": 0}]), "skinned to bones, got none"),
        (model(skins=[{"joints": [7]}]), "got bones that are not in it"),
        (model(skins=[]), "got references to what is not in it"),
        (model(skins=[{"joints": [1, 1], "inverseBindMatrices": 0}]), "got 1 poses of 2 bones"),
        (model(meshes=[{"primitives": [{"attributes": {}}]}]), "got vertices without weights"),
        (model(bufferViews=[{"byteLength": 65}]), "got 64 bytes of numbers instead of 65"),
        (model()[:-1], "expected a complete binary glTF 2.0 file"),
        (b"", "expected a complete binary glTF 2.0 file"),
    ],
)
def test_a_model_that_cannot_be_rendered_is_one_line(tmp_path, content, got):
    file = tmp_path / "fox.glb"
    file.write_bytes(model())
    check_model(file, ["Walk"])
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"^toy: expected") as error:
        check_model(file, ["Walk"])
    assert got in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("made", "blender", "told"),
    [
        (False, sys.executable, "toys: expected actions.csv and a folder glb"),
        (True, "no-such-python", "blender: expected a Python with the package bpy, got No such"),
        (True, sys.executable, "blender: expected a Python with the package bpy, got ModuleNot"),
    ],
)
def test_toys_that_cannot_be_rendered_are_one_line(tmp_path, capsys, made, blender, told):
    if made:
        table(tmp_path)
        (tmp_path / "glb").mkdir()
        (tmp_path / "glb/fox.glb").write_bytes(model())
    out = tmp_path / "out"
    words = ["data", "world", "render-toys", str(tmp_path), "-o", str(out), "--blender", blender]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1
    assert not out.exists()
