"""Tasks as values: what can be asked, what is refused, and that nothing is lost on the way."""

import json
import math
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from openlumiere.diffusion.process import SCHEDULERS
from openlumiere.tasks import (
    KINDS,
    Animate,
    Generate,
    Inpaint,
    Keyframe,
    Length,
    Media,
    Mend,
    Region,
    Sampling,
    read_task,
    schema,
)
from openlumiere.tasks.values import MAX_COST, MAX_SEED

GIVEN = {
    "generate": {"prompt": "a dog"},
    "image": {"prompt": "a dog"},
    "animate": {"image": "cat.png"},
    "inpaint": {"clip": "cat.mp4", "region": "0,0,1,0.5"},
    "outpaint": {"clip": "cat.mp4", "to": "640x360"},
    "mend": {"clip": "cat.mp4"},
    "cinemagraph": {"image": "cat.png", "region": (0.1, 0.1, 0.5, 0.5)},
    "restyle": {"clip": "cat.mp4", "prompt": "a drawing"},
    "upscale": {"clip": "cat.mp4"},
    "learn-style": {"images": ["a.png", "b.png"], "name": "ink"},
}
"""What each task needs."""

WORKS = [
    {"prompt": "🐶 läuft nach rechts 🚀"},
    {"prompt": "👩‍👩‍👧 waves"},  # joined by U+200D
    {"prompt": "\u200fכלב זז ימינה"},
    {"prompt": "猫が右に動く"},
    {"prompt": "x" * 2000},
    {"seed": MAX_SEED},
    {"frames": 1},
    {"fps": "30000/1001"},
    {"guidance": 1},
    {"size": 255},
    {"frames": 80, "size": 1024, "steps": 200},
    {"scheduler": "dpm++"},
    {"memory_limit": "6GiB"},
    {"sampling": Sampling(seed=4), "steps": 3},
    {"style": ["ink.safetensors", "pen.safetensors"], "style_weight": (0.1, 1)},
]
REFUSED = [
    ({"prompt": ""}, "prompt"),
    ({"prompt": " \u3000 "}, "prompt"),
    ({"prompt": "x" * 2001}, "prompt"),
    ({"prompt": "e" + "\u0301" * 10**6}, "prompt"),
    ({"prompt": "a\x00dog"}, "prompt"),
    ({"prompt": "a\x1b[31mdog"}, "prompt"),
    ({"prompt": "a\x9bdog"}, "prompt"),
    ({"prompt": "a \udc80 dog"}, "prompt"),
    ({"prompt": None}, "prompt"),
    ({"prompt": ["a dog"]}, "prompt"),
    ({"prompt": "0s: a dog | 9s: a cat"}, "prompt"),
    ({"negative": "\x07"}, "negative"),
    ({"negative": 3}, "negative"),
    ({"seed": -1}, "seed"),
    ({"seed": 2**63}, "seed"),
    ({"seed": 1.5}, "seed"),
    ({"seed": True}, "seed"),
    ({"seed": "a lot"}, "seed"),
    ({"seed": [3]}, "seed"),
    ({"frames": 0}, "frames"),
    ({"frames": 10**9}, "frames"),
    ({"frames": np.float64(2.5)}, "frames"),
    ({"frames": np.array([2, 3])}, "frames"),
    ({"frames": 8, "seconds": 1}, "length"),
    ({"seconds": math.nan}, "seconds"),
    ({"seconds": 0.001}, "seconds"),
    ({"seconds": -1}, "seconds"),
    ({"steps": 0}, "steps"),
    ({"steps": 10**400}, "steps"),
    ({"guidance": math.nan}, "guidance"),
    ({"guidance": math.inf}, "guidance"),
    ({"guidance": -1}, "guidance"),
    ({"guidance": np.array([1.0, 2.0])}, "guidance"),
    ({"size": -1}, "size"),
    ({"size": 2**200}, "size"),
    ({"fps": "0"}, "fps"),
    ({"fps": "nan"}, "fps"),
    ({"fps": "1/0"}, "fps"),
    ({"fps": "1e99999999"}, "fps"),
    ({"fps": "9" * 10_000}, "fps"),
    ({"fps": 29.97}, "fps"),
    ({"fps": (30000, 1001)}, "fps"),
    ({"fps": "1000"}, "fps"),
    ({"scheduler": "magic"}, "scheduler"),
    ({"memory_limit": "much"}, "memory limit"),
    ({"shots": [3]}, "shots"),
    ({"shots": 3}, "shots"),
    ({"shots": ["a dog"], "loop": True}, "shots"),
    ({"style": "ink.safetensors", "style_weight": 2}, "style weight"),
    ({"style": "ink.safetensors", "style_weight": (0.1, 0.2)}, "style weight"),
    ({"loop": "maybe"}, "loop"),
    ({"frames": 10_000, "size": 1024, "steps": 100}, "cost"),
    ({"strenght": 1}, "strenght"),
    ({"sampling": {"seeds": 1}}, "seeds"),
    ({"sampling": 3}, "sampling"),
]


@pytest.mark.parametrize("asked", WORKS, ids=str)
def test_works(asked):
    task = Generate(**{"prompt": "a dog", **asked})
    assert read_task(task.model_dump_json()) == task


@pytest.mark.parametrize(("asked", "name"), REFUSED, ids=lambda value: str(value)[:40])
def test_refused_in_three_parts(asked, name):
    with pytest.raises(ValueError, match=rf"^{name}: expected .+, got .+, .+") as caught:
        Generate(**{"prompt": "a dog", **asked})
    assert not isinstance(caught.value, ValidationError)
    assert len(str(caught.value)) < 700 and str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("kind", "change", "name"),
    [
        ("inpaint", {"keep": "hard"}, "pixels"),
        ("inpaint", {"feather": -1}, "feather"),
        ("inpaint", {"region": "the hat"}, "region"),
        ("inpaint", {"region": None}, "region"),
        ("inpaint", {"clip": None}, "media"),
        ("animate", {"motion": 5}, "motion"),
        ("animate", {"motion": math.nan}, "motion"),
        ("animate", {"keyframes": {80: "end.png"}}, "keyframes"),
        ("animate", {"keyframes": {0: "end.png"}}, "keyframes"),
        ("animate", {"keyframes": "end.png"}, "keyframe"),
        ("outpaint", {"to": "wide"}, "to"),
        ("outpaint", {"to": (640,)}, "to"),
        ("restyle", {"strength": 1.1}, "strength"),
        ("restyle", {"structure": math.nan}, "structure"),
        ("upscale", {"noise": 2}, "noise"),
        ("learn-style", {"images": []}, "images"),
        ("learn-style", {"images": ["a.png"] * 6}, "images"),
        ("learn-style", {"prompts": ["a"] * 3}, "prompts"),
        ("learn-style", {"rank": 0}, "rank"),
    ],
)
def test_what_is_a_tasks_own_is_checked_too(kind, change, name):
    with pytest.raises(ValueError, match=rf"^{name}: expected .+, got .+, .+"):
        KINDS[kind](**{**GIVEN[kind], **change})


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_is_the_same_after_json(kind):
    task = KINDS[kind](**GIVEN[kind])
    assert read_task(task.model_dump_json()) == task
    assert read_task(json.loads(task.model_dump_json())) == task
    assert hash(task) == hash(read_task(task.model_dump_json()))


@pytest.mark.parametrize("kind", KINDS)
def test_a_field_that_a_task_does_not_use_cannot_be_given_to_it(kind):
    """Every name that some task knows, but this one."""
    every = {name for model in KINDS.values() for name in model.words()}
    foreign = every - set(KINDS[kind].words()) - set(GIVEN[kind])
    assert len(foreign) > 5
    for name in foreign:
        with pytest.raises(ValueError, match=f"expected one of .*, got '{name}', "):
            KINDS[kind](**GIVEN[kind], **{name: 1})


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("guidence", "guidance"), ("sead", "seed"), ("style_weigth", "style_weight")],
)
def test_the_nearest_name_is_named(wrong, meant):
    with pytest.raises(ValueError, match=f"got '{wrong}', perhaps you meant {meant}"):
        Generate(prompt="a dog", **{wrong: 1})


@pytest.mark.parametrize(
    ("given", "same"),
    [
        ({"seed": np.int64(3)}, {"seed": 3}),
        ({"seed": np.array(3)}, {"seed": 3}),
        ({"seed": torch.tensor(3)}, {"seed": 3}),
        ({"seed": Fraction(3)}, {"seed": 3}),
        ({"steps": np.uint8(4)}, {"steps": 4}),
        ({"frames": 2.0}, {"frames": 2}),
        ({"frames": np.float32(2)}, {"frames": 2}),
        ({"size": np.int32(64)}, {"size": 64}),
        ({"guidance": np.float16(2.5)}, {"guidance": 2.5}),
        ({"guidance": Decimal("2.5")}, {"guidance": 2.5}),
        ({"seconds": np.float32(0.125)}, {"seconds": 0.125}),
        ({"fps": np.int16(24)}, {"fps": "24"}),
        ({"fps": 24.0}, {"fps": 24}),
        ({"fps": Fraction(30000, 1001)}, {"fps": "30000/1001"}),
        ({"seed": None, "negative": None, "shots": None, "style": None}, {}),
        ({"shots": "frog"}, {"shots": ("frog",)}),
        ({"memory_limit": "2GB"}, {"memory_limit": 2 * 10**9}),
        ({"negative": "a\ncat\tor two\n"}, {"negative": "a cat or two"}),
    ],
    ids=str,
)
def test_honest_values_of_other_types_are_taken(given, same):
    task = Generate(prompt="a dog", **given)
    assert task == Generate(prompt="a dog", **same)
    assert json.loads(task.model_dump_json()) == json.loads(
        Generate(prompt="a dog", **same).model_dump_json()
    )


def test_a_prompt_with_a_new_line_is_a_prompt():
    assert Generate(prompt="a dog\r\nruns\tfast\n").prompt == "a dog runs fast"
    assert Generate(prompt="two  blanks").prompt == "two  blanks"


def test_loose_words_go_where_they_belong():
    flat = Inpaint(clip="a.mp4", region="0,0,1,0.5", seed=3, keep="soft", feather=2)
    composed = Inpaint(
        clip="a.mp4",
        region="0,0,1,0.5",
        sampling=Sampling(seed=3),
        keep={"pixels": "soft", "feather": 2},
    )
    assert flat == composed


def test_seconds_become_frames():
    assert Length().count == 80
    assert Length(frames=7).count == 7
    assert Length(seconds=5).count == 80
    exact = round(Fraction(5, 2) * Fraction(30000, 1001))
    assert Length(seconds=2.5, fps="30000/1001").count == exact


def test_keyframes_in_every_form_are_in_order():
    forms = (
        {9: "b.png", 3: "a.png"},
        ["9=b.png", "3=a.png"],
        [Keyframe(frame=3, image="a.png"), {"frame": 9, "image": "b.png"}],
    )
    tasks = {Animate(image="cat.png", keyframes=form) for form in forms}
    assert len(tasks) == 1
    assert list(tasks.pop().media()) == ["image", "frame 3", "frame 9"]


def test_what_is_in_memory_goes_along_and_is_not_written():
    frames = np.zeros((2, 8, 8, 3), np.uint8)
    task = Mend(clip=frames)
    assert task.clip.content is frames and "content" not in task.model_dump_json()
    assert task == Mend(clip=frames) != Mend(clip=frames.copy())


def test_media_by_path_and_by_content():
    assert Media.of(Path("a") / "b.png") == Media(path="a/b.png")
    digits = "0f" * 32
    assert Media.of(f"sha256:{digits}") == Media(sha256=digits)
    assert str(Media(sha256=digits)) == f"sha256:{digits}"
    with pytest.raises(ValueError, match="sha256: expected"):
        Media(sha256="12")
    with pytest.raises(ValueError, match="media: expected a path"):
        Media(path="a\0b")


def test_a_region_has_a_text_and_a_json_form():
    for region in (Region.box(0, 0, 0.5, 1), Region.parse("0: 0,0,0.5,1; 40: 0.5,0,1,1")):
        assert Region.parse(str(region)) == region
        assert Region(**json.loads(region.model_dump_json())) == region
    mask = Region.of(Path("mask.png"))
    assert Region(**json.loads(mask.model_dump_json())) == mask and str(mask) == "mask.png"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "missing.png",
        "1,2,3",
        "0.5,0,0.25,1",
        "0,0 1,1",
        "0,0,1,1; 5: 0,0 1,0 1,1",
        "0,0,1,99",
        "x: 0,0,1,1",
        "nan,0,1,1",
        "a" * 5000,
        "\0",
    ],
)
def test_what_is_no_region_is_refused_in_one_line(text):
    with pytest.raises(ValueError, match="^region: expected .+, got .+, .+"):
        Region.parse(text)


@pytest.mark.parametrize(
    "text", ["", "[]", "3", '{"kind": "fly"}', '{"prompt": "a dog"}', '{"kind": "image"}', "{"]
)
def test_json_that_is_no_task_is_refused_in_one_line(text):
    with pytest.raises(ValueError, match="^[a-z ]+: expected .+, got .+, .+") as caught:
        read_task(text)
    assert not isinstance(caught.value, ValidationError) and str(caught.value).isprintable()


def test_the_sentences_that_are_screened_are_all_there_are():
    task = Generate(prompt="0s: a cat | 2s: a dog", shots=["a frog"], negative="a car")
    assert task.sentences() == ["0s: a cat | 2s: a dog", "a frog", "a cat", "a dog"]


def test_schema_and_choices():
    assert set(schema()["discriminator"]["mapping"]) == set(KINDS)
    drawn = schema()["$defs"]["Sampling"]["properties"]["scheduler"]
    assert drawn["anyOf"][0]["enum"] == list(SCHEDULERS)


def test_the_cost_limit_is_80_frames_of_1024_px_in_200_steps():
    assert 80 * 1024**2 * 200 <= MAX_COST < 80 * 1024**2 * 205


def test_nothing_heavy_is_imported():
    code = (
        "import sys, openlumiere.tasks; "
        "heavy = ('torch', 'numpy', 'PIL', 'av', 'diffusers');"
        "print([name for name in heavy if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
