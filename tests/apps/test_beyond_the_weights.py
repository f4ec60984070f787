"""Before a task runs, a line says what the model can't draw of it."""

import numpy as np
import pytest

from openlumiere.apps.cli.loading import content_beyond, known, read_as, words_beyond
from openlumiere.engine.inputs import open_task
from openlumiere.media import Clip
from openlumiere.models.hub import WORLD_32
from openlumiere.models.knows import read_knows
from openlumiere.tasks import (
    Animate,
    Cinemagraph,
    Generate,
    Image,
    Inpaint,
    Mend,
    Outpaint,
    Restyle,
    Upscale,
)


@pytest.fixture
def bundled(tiny):
    from dataclasses import replace

    return replace(tiny, knows=read_knows(WORLD_32))


def drawing(side=32):
    frames = np.full((2, side, side, 3), (70, 110, 220), np.uint8)
    frames[:, 8:-8, 4:-8] = 200
    return Clip(frames)


def photograph(side=32):
    return Clip(np.random.default_rng(0).integers(0, 256, (2, side, side, 3), np.uint8))


CLIP = drawing()
TASKS = (
    Generate(prompt="a red hat"),
    Generate(prompt="a cat", shots=("a red hat",)),
    Image(prompt="a red hat"),
    Animate(image=CLIP, prompt="a hat"),
    Inpaint(clip=CLIP, prompt="a red hat", region="0,0,0.5,0.5"),
    Outpaint(clip=CLIP, prompt="a hat", to=(48, 48)),
    Mend(clip=CLIP, prompt="a hat"),
    Cinemagraph(image=CLIP, prompt="a hat", region="0,0,0.5,0.5"),
    Restyle(clip=CLIP, prompt="a hat"),
    Upscale(clip=CLIP, prompt="a hat"),
)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.kind)
def test_every_task_names_words_that_the_model_does_not_know(task, bundled):
    said = words_beyond(task, bundled)
    assert said.startswith('the model was not trained on "hat"')
    assert said.endswith(known(bundled.knows))
    assert "it draws black cat, dog, " in said and "--model FOLDER" in said


def test_what_is_known_a_refused_prompt_and_a_model_that_does_not_say_are_not_spoken_of(
    bundled, tiny
):
    assert words_beyond(Generate(prompt="0s: a cat | 3s: the cat moves up"), bundled) == ""
    assert words_beyond(Generate(prompt="the pope is stabbed"), bundled) == ""
    assert words_beyond(Generate(prompt="a red hat"), tiny) == ""
    assert words_beyond(Animate(image=CLIP), bundled) == ""
    assert (
        words_beyond(Inpaint(clip=CLIP, prompt="remove the hat", region="0,0,1,1"), bundled) == ""
    )


def test_how_an_instruction_was_read_is_said():
    def said(prompt):
        return read_as(Inpaint(clip=CLIP, prompt=prompt, region="0,0,1,1"))

    assert said("replace the hat with a dog").endswith('the model is given "a dog"')
    assert said("remove the hat").endswith("the model is given no prompt")
    assert said("a hat") == said("") == read_as(Generate(prompt="add a hat")) == ""


def test_a_prompt_without_a_subject_is_named(bundled):
    said = words_beyond(Generate(prompt="on a blue background"), bundled)
    assert said.startswith("the prompt names no subject: it draws ")


REGION = "0,0,0.5,0.5"
EDITS = {
    "animate": lambda clip: Animate(image=clip),
    "inpaint": lambda clip: Inpaint(clip=clip, region=REGION),
    "outpaint": lambda clip: Outpaint(clip=clip, to=(48, 48)),
    "cinemagraph": lambda clip: Cinemagraph(image=clip, region=REGION),
    "restyle": lambda clip: Restyle(clip=clip, prompt="a cat"),
    "mend": lambda clip: Mend(clip=clip, region=REGION),
}


@pytest.mark.parametrize("kind", EDITS)
def test_an_edit_of_a_photograph_is_said_and_of_a_drawing_not(kind, bundled, tiny):
    of = EDITS[kind]
    said = content_beyond(open_task(of(photograph())), bundled)
    assert said.startswith("the model was trained on drawings before one colour, and the ")
    assert "--model FOLDER" in said
    assert content_beyond(open_task(of(drawing())), bundled) == ""
    assert content_beyond(open_task(of(photograph())), tiny) == ""


def test_mending_what_is_damaged_for_a_moment_needs_no_model(bundled):
    assert content_beyond(open_task(Mend(clip=photograph())), bundled) == ""
