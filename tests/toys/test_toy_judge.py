"""The judge of the toy world and its measure, on a tiny cache of plain discs."""

import json
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from openlumiere.models.knows import Knows
from openlumiere_world.toys.cache import Cache
from openlumiere_world.toys.judge import (
    ASPECTS,
    FRAMES,
    OWN,
    SIDE,
    Classes,
    ClipJudge,
    JudgeConfig,
    accuracy,
    load_judge,
    render_pool,
    save_judge,
    shown,
    train_judge,
    without_heads,
)
from openlumiere_world.toys.measure import draw_prompts, evaluate, measure, rates, rendered
from openlumiere_world.toys.pack import SUBJECTS, Writer
from openlumiere_world.toys.scene import SPLITS, Planner
from openlumiere_world.toys.subjects import LANGUAGES, Subject
from openlumiere_world.toys.words import add_words, known_words, toy_words


@pytest.fixture(scope="module")
def planner(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    y, x = np.mgrid[:128, :128]
    disc = np.hypot(x - 64, y - 64) < 40
    stills = Writer(folder, "stills")
    for key, colour in (("2764", (230, 30, 40, 255)), ("1f98a", (30, 60, 230, 255))):
        frame = (disc[..., None] * np.array(colour)).astype(np.uint8)
        stills.add(frame[None], subject=key, style="flat", seconds=0.0)
    stills.close()
    names = {"2764": "red heart", "1f98a": "fox"}
    subjects = {
        key: asdict(Subject(key=key, kind="animal", names=dict.fromkeys(LANGUAGES, name)))
        for key, name in names.items()
    }
    (folder / SUBJECTS).write_text(json.dumps(subjects))
    return Planner(Cache(folder))


@pytest.fixture(scope="module")
def judge(planner):
    torch.set_num_threads(1)
    return train_judge(
        planner, JudgeConfig(picture_steps=10, pictures=12, steps=30, batch=6, pool=24)
    )


def test_a_judge_learns_which_of_two_discs_it_sees(planner, judge):
    others = render_pool(planner, judge.classes, 40, first=10**6)
    assert others.clips.shape == (40, FRAMES, 4, SIDE, SIDE)
    assert accuracy(judge, others)["subject"].share > 0.9


def test_a_judge_is_read_back(planner, judge, tmp_path):
    save_judge(judge, tmp_path / "judge.safetensors", JudgeConfig(), {"train": {"subject": 1.0}})
    again, about = load_judge(tmp_path / "judge.safetensors")
    assert again.classes == judge.classes and about["accuracy"]["train"]["subject"] == 1.0
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="do: python -m openlumiere_world.toys.judge"):
        load_judge(tmp_path / "broken.safetensors")


def test_prompts_are_of_both_splits_and_all_languages(planner):
    prompts = draw_prompts(planner, 20)
    assert {prompt.split for prompt in prompts} == set(SPLITS)
    assert {prompt.language for prompt in prompts} == set(LANGUAGES)
    assert all(
        prompt.asked.items() <= shown(prompt.scene, planner.cache).items() for prompt in prompts
    )


def test_a_toy_shows_its_verb_where_it_goes_and_who_follows_it(planner):
    toy = replace(planner.plan(0), action="walks", way="left", camera="follow", ground="snow")
    seen = shown(toy, planner.cache)
    assert (seen["action"], seen["direction"], seen["camera"]) == ("walks", "left", "follow")
    moved = shown(replace(toy, action="left", ground="red"), planner.cache)
    assert (moved["action"], moved["direction"], moved["camera"]) == ("goes", "left", "still")


def test_a_judge_begins_with_what_another_of_other_classes_sees(planner, judge, tmp_path):
    file = tmp_path / "judge.safetensors"
    other = ClipJudge(replace(judge.classes, subject=("fox", "owl", "pig"), camera=("still",)))
    other.load_state_dict(without_heads(judge.state_dict()), strict=False)
    save_judge(other, file, JudgeConfig(), {})
    again = train_judge(
        planner, JudgeConfig(picture_steps=0, steps=1, batch=2, pool=2), start=load_file(file)
    )
    kept = [
        torch.allclose(*pair, atol=1e-3)
        for pair in zip(again.mix.parameters(), judge.mix.parameters())
    ]
    assert all(kept) and not torch.allclose(
        again.heads["camera"].bias, judge.heads["camera"].bias, atol=1e-3
    )


def test_real_clips_are_read_as_they_are_and_others_are_not(planner, judge):
    prompts = draw_prompts(planner, 24)
    real = list(rendered(planner, [prompt.scene for prompt in prompts], FRAMES))
    results = measure(prompts, real, judge)
    assert rates(results)["subject"].share > 0.8
    swapped = measure(prompts, real[1:] + real[:1], judge)
    assert rates(swapped)["subject"].share < 0.8
    blank = measure(prompts[:1], [np.zeros_like(real[0])], judge)
    assert "blank frame" in blank[0].artefacts


def test_a_report_has_every_aspect_beside_the_ceiling_and_the_floor(planner, judge):
    class Copies:
        """A model that makes the real clips of its prompts."""

        fingerprint = "copies"

        def clips(self, texts, seeds):
            return rendered(planner, [prompt.scene for prompt in prompts[: len(texts)]], FRAMES)

    prompts = draw_prompts(planner, 6)
    about = {"accuracy": {"train, clean": {"subject": 1.0}}}
    report = evaluate(
        planner,
        prompts,
        (judge, about),
        Copies(),
        Copies(),
        floor=2,
        frames=FRAMES,
        seed=0,
        reference=8,
    )
    assert all(f"| {aspect} |" in report.text for aspect in ASPECTS)
    assert report.figures["rates"]["made"] == report.figures["rates"]["real"]
    assert len(report.sheet.pictures) == 6


def test_a_judge_of_other_subjects_is_refused(planner, judge):
    other = ClipJudge(Classes(subject=("red heart",), style=("flat",), action=(OWN,)))
    with pytest.raises(ValueError, match="expected one of all 2 subjects"):
        evaluate(planner, [], (other, {}), None, None, floor=0, frames=FRAMES, seed=0)


def test_what_a_cache_knows_in_words(planner, tmp_path):
    for language in LANGUAGES:
        (tmp_path / language).mkdir()
        table = [{"hexcode": "1F98A", "tags": ["vixen", "face"]}, {"hexcode": "2764", "tags": []}]
        (tmp_path / language / "data.json").write_text(json.dumps(table))
    known = known_words(planner.cache, tmp_path)
    assert Knows.model_validate(known.model_dump()) == known
    assert known.beyond(["a vixen jumps in the snow"]).words == ()
    assert known.beyond(["un cuore salta nella neve"]).words == ()
    assert known.beyond(["a lobster jumps in the snow"]).words == ("lobster",)


def test_toys_are_known_by_their_verbs_and_share_names_with_stickers():
    toy = SimpleNamespace(style="toy", motion={"en": "walks", "it": "cammina"})
    sticker = SimpleNamespace(style="3d", count=2, motion={"en": "winks"})
    assert toy_words(SimpleNamespace(items=[toy, sticker, toy])) == {
        "walks": {"en": ["walks"], "it": ["cammina"]}
    }
    known = {"en": ["fox face"]}
    add_words(known, {"en": ["fox", "fox face"], "it": ["volpe"]})
    assert known == {"en": ["fox face", "fox"], "it": ["volpe"]}
