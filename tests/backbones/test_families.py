"""Every task on every published family, on tiny random models in the published layout: what is
known comes back bit by bit, whatever the family puts into one coded place.
"""

import numpy as np
import pytest

from families import TINY, save_tiny, shrink_native
from openlumiere import Clip, Lumiere
from openlumiere.apps.cli import main
from openlumiere.engine.canvas import unheld
from openlumiere.engine.fit import encode_whole, fit
from openlumiere.quality.seams import neighbour_errors

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:In CPU autocast:UserWarning"),  # Mochi's positions
]

HOW = {"steps": 2, "guidance": 2.0}
LOUD = {"steps": 2, "guidance": 50.0}  # random nets hardly listen to their text
REFERENCE_ALONE = (  # kinds of families that are here already
    "CogVideoXImageToVideoPipeline later",
    "HunyuanVideoPipeline undistilled",
)
BOX = (0.25, 0.25, 0.75, 0.75)


class Tiny:
    """A family's tiny model, opened; `frames` are its native ones."""

    def __init__(self, name, folder, monkeypatch):
        self.name = name
        self.folder = save_tiny(name, folder)
        self.lumiere = Lumiere.from_pretrained(self.folder)
        backbone = self.lumiere.base.backbone
        step = backbone.native.time_multiple
        self.frames = 2 * step + 1 if step > 1 else 6
        side = max(16, backbone.native.multiple)
        shrink_native(monkeypatch, backbone, self.frames, side, side)


@pytest.fixture(scope="module", params=[name for name in TINY if name not in REFERENCE_ALONE])
def tiny_family(request, tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield Tiny(request.param, tmp_path_factory.mktemp("families") / "model", monkeypatch)


def given_clip(frames):
    return Clip(np.random.default_rng(0).integers(0, 256, (frames, 24, 32, 3), np.uint8))


def changed(one, other):
    """Which pixels differ: bool [f, h, w]."""
    return (one != other).any(-1)


def in_box(frames):
    inside = np.zeros((frames, 24, 32), bool)
    inside[:, 6:18, 8:24] = True
    return inside


def generates(lumiere, frames):
    """As many frames as asked for, also where the net makes a few more; another prompt changes
    them.
    """
    made = lumiere.generate("a red cat", frames=frames - 1, size=0, **LOUD).frames
    assert len(made) == frames - 1 and made.std() > 0
    other = lumiere.generate("the dog jumps", frames=frames - 1, size=0, **LOUD).frames
    assert changed(made, other).any()


def pictures(lumiere, frames):
    assert lumiere.generate_image("a red cat", size=0, **HOW).frames.shape[0] == 1


def blends_prompts(lumiere, frames):
    """The clip follows its schedule: the first prompt alone makes another end."""
    seconds = frames / 16
    scheduled = f"0s: a red cat | {seconds / 2:.2f}s: the dog jumps"
    made = lumiere.generate(scheduled, frames=frames, size=0, **LOUD).frames
    plain = lumiere.generate("a red cat", frames=frames, size=0, **LOUD).frames
    assert made.shape == plain.shape and changed(made, plain)[-1].any()


def renders_shots(lumiere, frames):
    made = lumiere.generate("a red cat", shots=["a dog"], frames=frames, size=0, **HOW).frames
    first = lumiere.generate("a red cat", frames=frames, size=0, **HOW).frames
    assert len(made) == 2 * frames and np.array_equal(made[:frames], first)


def loops(lumiere, frames):
    """No step of the clip is like that from the last frame to the first but for chance."""
    made = lumiere.generate("a red cat", frames=2 * (frames - 1), size=0, loop=True, **HOW).frames
    steps = neighbour_errors(np.concatenate([made, made[:1]]))
    assert len(made) == 2 * (frames - 1) and steps[-1] <= 1.1 * steps[:-1].max()


def goes_on(lumiere, frames):
    """A clip longer than the native one, by windows: no jump that is larger than in one pass."""
    backbone, count = lumiere.base.backbone, 3 * frames
    made = lumiere.generate("a red cat", frames=count, size=0, **HOW).frames
    native = backbone.native
    with pytest.MonkeyPatch.context() as monkeypatch:
        long = native.frames_for(count)
        shrink_native(monkeypatch, backbone, long, native.side, native.longer)
        whole = lumiere.generate("a red cat", frames=count, size=0, **HOW).frames
    assert len(made) == len(whole) == count and changed(made, whole).any()
    assert neighbour_errors(made).max() <= 1.1 * neighbour_errors(whole).max()


def animates(lumiere, frames):
    """First, middle and last frame are the pictures."""
    pictures = given_clip(3).frames
    last = frames - 2
    keyframes = {last // 2: pictures[1], last: pictures[2]}
    made = lumiere.animate(pictures[0], "a cat", keyframes=keyframes, frames=frames - 1, **HOW)
    assert all(np.array_equal(made.frames[at], keyframes[at]) for at in keyframes)
    assert np.array_equal(made.frames[0], pictures[0]) and len(made) == frames - 1
    assert changed(made.frames[1], made.frames[0]).any()


def inpaints(lumiere, frames):
    given = given_clip(frames + 1)
    found = changed(lumiere.inpaint(given, BOX, "a red cat", **HOW).frames, given.frames)
    assert not found[~in_box(frames + 1)].any() and found[in_box(frames + 1)].mean() > 0.9


def outpaints(lumiere, frames):
    given = given_clip(frames)
    made = lumiere.outpaint(given, (48, 32), "a cat", **HOW).frames
    assert np.array_equal(made[:, 4:28, 8:40], given.frames) and made.shape[1:3] == (32, 48)


def mends(lumiere, frames):
    given = given_clip(frames)
    found = changed(lumiere.mend(given, BOX, **HOW).frames, given.frames)
    assert not found[~in_box(frames)].any() and found[in_box(frames)].any()


def moves_a_part(lumiere, frames):
    """A cinemagraph: the first frame and all outside the region are the picture; it loops."""
    picture = given_clip(1).frames[0]
    count = 2 * (frames - 1)
    made = lumiere.cinemagraph(picture, BOX, "a cat", frames=count, **HOW).frames
    found = changed(made, picture)
    assert len(made) == count and not found[0].any() and not found[~in_box(count)].any()
    assert found[1:].any()


def restyles(lumiere, frames):
    """By noising: with less noise the coded clip stays nearer to the given one."""
    given = given_clip(frames)
    canvas = unheld(given)
    backbone = lumiere.base.backbone
    coded = encode_whole(canvas, fit(canvas, backbone.native), backbone.codec)
    errors = []
    for strength in (0.25, 1.0):
        seen = []
        how = {**HOW, "steps": 4, "on_step": seen.append}
        lumiere.restyle(given, "a red cat", strength=strength, **how)
        errors.append(float((seen[-1].noisy - coded).abs().mean()))
    assert errors[0] < errors[1]
    assert np.array_equal(lumiere.restyle(given, "a cat", strength=0, **HOW).frames, given.frames)


TASKS = (
    generates,
    pictures,
    blends_prompts,
    renders_shots,
    loops,
    goes_on,
    animates,
    inpaints,
    outpaints,
    mends,
    moves_a_part,
    restyles,
)


def write(clip, path):
    clip.save(path, lossless=True)
    return str(path)


COMMANDS = {
    "generate": ["a cat"],
    "image": ["a cat"],
    "animate": ["{image}", "a cat", "--keyframe", "{image}:4", "--keyframe", "8={image}"],
    "inpaint": ["{clip}", "a cat", "--region", "0.25,0.25,0.75,0.75"],
    "outpaint": ["{clip}", "a cat", "--to", "48x32"],
    "mend": ["{clip}", "--region", "0.25,0.25,0.75,0.75"],
    "cinemagraph": ["{image}", "a cat", "--region", "0.25,0.25,0.75,0.75"],
    "restyle": ["{clip}", "a cat"],
    "upscale": ["{clip}"],
}


@pytest.mark.parametrize("tiny_family", ["WanPipeline"], indirect=True)
@pytest.mark.parametrize("verb", COMMANDS)
def test_every_command_takes_a_published_folder(tiny_family, tmp_path, verb, capsys):
    files = {
        "image": write(given_clip(1), tmp_path / "given.png"),
        "clip": write(given_clip(5), tmp_path / "given.webp"),
    }
    words = [word.format(**files) for word in COMMANDS[verb]]
    output = tmp_path / ("made.png" if verb == "image" else "made.webp")
    words += ["--model", str(tiny_family.folder), "--steps", "1", "-o", str(output)]
    words += ["--frames", "9"] if verb in ("generate", "animate", "cinemagraph") else []
    words += ["--size", "0"] if verb in ("generate", "image") else []
    assert main([verb, *words]) == 0, capsys.readouterr().err
    assert output.exists() and (tmp_path / f"{output.name}.json").exists()


@pytest.mark.parametrize("tiny_family", ["WanPipeline"], indirect=True)
def test_frames_that_break_the_rule_are_rounded_and_said(tiny_family, caplog):
    assert len(tiny_family.lumiere.generate("a cat", frames=6, size=0, **HOW)) == 6
    assert "frames: this model makes 1 and a multiple of 4, got 6: 9 are made" in caplog.text


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.__name__)
def test_every_task_on_every_family(tiny_family, task):
    task(tiny_family.lumiere, tiny_family.frames)


def test_places_that_cogvideox_1_5_does_not_count_to_are_refused(tmp_path):
    folder = save_tiny("CogVideoXPipeline later", tmp_path / "model")
    lumiere = Lumiere.from_pretrained(folder)
    with pytest.raises(ValueError, match="size: expected at most 48 x 32 pixels, .*, got "):
        lumiere.generate("a cat", frames=9, size=64, **HOW)
