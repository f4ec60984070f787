"""What the page is made of, without a browser: fields, masks, commands, words."""

import ast
from pathlib import Path

import numpy as np
import pytest

from openlumiere.apps.cli.arguments import parse
from openlumiere.apps.cli.forms import form_of
from openlumiere.apps.cli.make import task_of
from openlumiere.apps.queue import Written
from openlumiere.apps.studio import masks
from openlumiere.apps.studio.commands import command_of, python_of
from openlumiere.apps.studio.fields import questions
from openlumiere.apps.studio.words import italian
from openlumiere.tasks import KINDS

STUDIO = Path(__file__).parents[2] / "src" / "openlumiere" / "apps" / "studio"


@pytest.mark.parametrize("kind", KINDS)
def test_a_form_asks_for_every_word_that_a_task_takes(kind):
    asked = {each.name for each in questions(kind)}
    assert asked | {"style", "style_weight"} >= set(KINDS[kind].words()) - {
        *KINDS[kind].parts(),
        "style",
        "style_weight",
    }


def test_ranges_choices_and_defaults_are_the_models():
    found = {each.name: each for each in questions("restyle")}
    assert (found["strength"].widget, found["strength"].default) == ("slider", 0.6)
    assert (found["strength"].low, found["strength"].high) == (0, 1)
    assert found["steps"].whole and found["steps"].high == 1000
    assert "heun" in found["scheduler"].choices
    assert {each.name: each.widget for each in questions("generate")}["seconds"] == "maybe"


WORDS = [
    ["generate", "0s: a cat | 3s: it jumps", "--seed", "3", "--shot", "a dog", "--no-upscale"],
    ["generate", "a cat", "--loop", "--memory-limit", "1.5GiB", "--seconds", "1.5", "--fps", "24"],
    ["generate", "--steps", "7", "--", "-a cat"],
    ["animate", "-", "it moves", "--keyframe", "7=end.png", "--frames", "8", "--keep", "soft"],
    ["animate", "a b.png", "--style", "x.safetensors", "--style-weight", "0.3"],
    ["inpaint", "a.mp4", "a hat", "--region", "0: 0,0,1,.5; 4: 0.1,0.1 0.9,0.1 0.5,1 0.2,1"],
    ["outpaint", "a.mp4", "--to", "64x32", "--background", "#20c040"],
    ["cinemagraph", "a.png", "--region", "0.2,0.2,0.5,0.5", "--no-loop", "--feather", "0"],
    ["learn-style", "a.png", "b.png", "--name", "ink", "--prompt", "one", "--prompt", "two"],
    ["upscale", "a.mp4", "--noise", "0.2"],
]


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_the_command_and_the_python_ask_for_the_same_task(words):
    import shlex

    verb, *rest = words
    at = rest.index("--") if "--" in rest else len(rest)
    task = task_of(verb, parse(form_of(verb), [*rest[:at], "-o", "out", *rest[at:]], verb))
    line = shlex.split(command_of(task, Written(output="out")))
    assert line[:2] == ["lumiere", verb]
    form = parse(form_of(verb), line[2:], verb)
    assert task_of(verb, form) == task and form.written.output == "out"
    names = {}
    code = python_of(task, Written(output="out", lossless=True))
    exec(code.split("Lumiere.from_pretrained")[0], names)
    assert names["task"] == task


@pytest.mark.parametrize("size", [(64, 64), (96, 40), (33, 71)])
def test_a_mask_comes_back_from_the_canvas_as_it_was(size):
    mask = np.random.default_rng(0).random(size[::-1]) > 0.5
    assert np.array_equal(masks.painted({"layers": [masks.layer(mask)]}, size), mask)
    large = masks.layer(mask).repeat(2, 0).repeat(2, 1)  # a screen of twice the density
    assert np.array_equal(masks.painted({"layers": [large]}, size), mask)
    assert not masks.painted({"layers": []}, size).any()


def test_an_outline_moves_evenly_between_key_masks():
    keys = {}
    for frame, left in ((2, 4), (10, 36)):
        keys[frame] = np.zeros((48, 64), bool)
        keys[frame][16:32, left : left + 20] = True
    made = masks.over_time(keys, 12)
    assert np.array_equal(made[0], keys[2]) and np.array_equal(made[11], keys[10])
    grow = {0: keys[2], 8: np.pad(keys[2], 4, constant_values=False)[4:-4, 4:-4] | keys[10]}
    areas = masks.over_time(grow, 9).sum((1, 2))
    assert areas[0] < areas[-1] and np.all(np.diff(areas) >= 0)
    near = {0: keys[2], 4: np.roll(keys[2], 8, 1)}
    middle = np.argwhere(masks.over_time(near, 5)[2])[:, 1].mean()
    assert abs(middle - (np.argwhere(keys[2])[:, 1].mean() + 4)) < 0.5


def test_shapes_lie_where_they_are_said_to():
    empty = np.zeros((40, 80), bool)
    box = masks.with_shape(empty, "rectangle", (25, 50, 75, 100))
    assert box[20:, 20:60].all() and box.sum() == 20 * 40
    oval = masks.with_shape(empty, "ellipse", (0, 0, 100, 100))
    assert abs(oval.mean() - np.pi / 4) < 0.03
    with pytest.raises(ValueError, match=r"region: expected left below right .*, got 50, 0, 50, 9"):
        masks.with_shape(empty, "ellipse", (50, 0, 50, 9))


def said():
    """Every text that the page's code says in the reader's language."""
    found = {"clip", "first frame", "last frame", "style"}  # uses of a result
    for file in STUDIO.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "say":
                found |= {each.value for each in node.args if isinstance(each, ast.Constant)}
    for kind, model in KINDS.items():
        found |= {text for each in questions(kind) for text in (each.label, each.help)}
        found.add(" ".join((model.__doc__ or "").split("\n\n")[0].split()))
        found.add(kind.replace("-", " ").capitalize())
    return found - {""}


def test_every_text_is_there_in_italian():
    assert not sorted(text for text in said() if text not in italian())
