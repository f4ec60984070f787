"""The measure `style`: references in the held-out style, a judge that tells it from the trained
ones, and a sweep that changes the weight alone.
"""

import numpy as np
import pytest
from PIL import Image

from openlumiere.tasks import Learning
from openlumiere_world.measures.judge import JudgeConfig
from openlumiere_world.measures.sources import Ask
from openlumiere_world.measures.style import (
    WEIGHTS,
    asks,
    judge_figures,
    references,
    sweep,
    train_style_judge,
)
from openlumiere_world.measures.tasks import Settings, table
from openlumiere_world.scope import WORLD_32, Scope

SUBJECTS = ("1f408", "1f415", "1f680", "2b50")  # a cat, a dog, a rocket, a star
SOURCES = {"fluent-3d": (240, 120, 0), "openmoji": (0, 0, 0)}


def drawing(source: str, subject: str) -> Image.Image:
    """A filled disc, or a ring in the held-out style; a corner piece tells subjects apart."""
    image = np.zeros((256, 256, 4), np.uint8)
    y, x = np.mgrid[:256, :256] - 127.5
    distance = np.hypot(y, x)
    image[(distance < 100) & ((source != "openmoji") | (distance > 70))] = (*SOURCES[source], 255)
    corner = SUBJECTS.index(subject)
    image[corner // 2 * 176 : corner // 2 * 176 + 80, corner % 2 * 176 : corner % 2 * 176 + 80] = (
        *SOURCES[source],
        255,
    )
    return Image.fromarray(image)


@pytest.fixture(scope="module")
def styled_world(world_of):
    return world_of(
        {(source, subject): drawing(source, subject) for source in SOURCES for subject in SUBJECTS}
    )


SCOPE = Scope(**vars(WORLD_32) | {"subjects": ("1f408", "1f415"), "styles": ("3d",)})
ASKED = [
    Ask(prompt="a cat moves left on a red background", subject="1f408", style="3d", motion="left")
] * 2


def test_references_show_other_subjects_in_the_held_out_style(styled_world):
    given = references(styled_world, ASKED, 0, SCOPE)
    assert {each.asked for each in given} == set(ASKED) and all(
        each.picture.shape == (64, 64, 3) for each in given
    )
    assert all((each.picture[0] > 240).all() and "white" in each.prompt for each in given)
    assert (
        all("line" not in each.prompt for each in given)
        and len({each.picture.tobytes() for each in given}) == 2
    )
    assert sorted(
        word for each in given for word in ("cat", "dog", "rocket", "star") if word in each.prompt
    ) == ["rocket", "star"]
    with pytest.raises(
        ValueError,
        match="world: expected at least 6 drawings in the style openmoji, got 2, build the whole",
    ):
        references(styled_world, ASKED * 3, 0, SCOPE)


def test_asks_name_no_style(styled_world):
    for asked in asks(styled_world, 6, 0, SCOPE):
        assert (
            asked.style == "3d"
            and asked.subject in SCOPE.subjects
            and asked.motion
            and "3D" not in asked.prompt
        )


def test_the_sweep_reads_every_weight(styled_world, tiny):
    judge = train_style_judge(
        styled_world, JudgeConfig(steps=30, batch=16, learning_rate=4e-3), SCOPE
    )
    assert judge.styles == ("3d", "openmoji")
    right = [
        each.value
        for each in judge_figures(judge, styled_world, 60, SCOPE)
        if "style of" in each.what
    ]
    assert len(right) == 2 and min(right) > 0.7
    shown = {}
    found = list(
        sweep(
            tiny,
            references(styled_world, ASKED[:1], 0, SCOPE),
            5,
            Settings(steps=1),
            Learning(steps=1, batch=1, rank=1),
            judge,
            shown.__setitem__,
        )
    )
    assert len(found) == 1 + 3 * len(WEIGHTS) and "reads as the learnt style at a = 0.85" in table(
        found
    )
    clips = [shown[f"style 0 at a = {weight:g}"] for weight in WEIGHTS]
    assert (
        clips[0] == tiny.generate(ASKED[0].prompt, frames=5, fps="1", size=32, steps=1)
        and clips[0] != clips[-1]
    )
