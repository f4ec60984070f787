"""The judge reads what it did not learn from, answers none to what shows nothing, and is kept
whole.
"""

import numpy as np
import pytest
import torch

from openlumiere.apps.cli import main
from openlumiere_world.batch import Batches
from openlumiere_world.measures.judge import (
    BUNDLED,
    JudgeConfig,
    accuracy,
    draw_moments,
    judge_clip,
    load_judge,
    rejection,
    report,
    roughen,
    save_judge,
    spoil,
    to_judge,
    train_judge,
)


@pytest.fixture(scope="module")
def unseen(world, scope):
    return Batches(world, scope, "composition", 32)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_it_reads_combinations_that_it_never_saw_clean_and_roughened(judge, unseen):
    for rough in (False, True):
        found = accuracy(judge, unseen, 100, rough)
        assert (
            found["subject"].share > 0.95
            and found["style"].share > 0.95
            and found["subject"].trials == 100
        )


def test_it_answers_none_to_spoilt_frames_and_seldom_to_others(judge, unseen):
    assert rejection(judge, unseen, 90).share > 0.3
    assert judge_clip(judge, np.full((4, 32, 32, 3), 128, dtype=np.uint8)).chances[-1] > 0.3


def test_it_is_small():
    judge, about = load_judge()
    assert sum(parameter.numel() for parameter in judge.parameters()) <= 300_000
    with open(str(BUNDLED), "rb") as file:
        assert len(file.read()) <= 700_000
    assert len(judge.subjects) == 8 and judge.styles == ("3d", "noto", "twemoji")
    for where in ("validation, clean", "composition, clean"):
        assert (
            about["accuracy"][where]["subject"] > 0.98 and about["accuracy"][where]["style"] > 0.98
        )


def test_the_seed_alone_says_what_it_learns(world, scope):
    config = JudgeConfig(steps=2, batch=8)
    one, same, other = (
        train_judge(world, scope, JudgeConfig(steps=2, batch=8, seed=seed)).state_dict()
        for seed in (0, 0, 1)
    )
    assert config.seed == 0 and all(torch.equal(value, same[name]) for name, value in one.items())
    assert not torch.equal(one["mix.weight"], other["mix.weight"])


def test_what_was_saved_is_loaded(judge, world, scope, unseen, tmp_path):
    found = report(judge, world, scope, 20)
    save_judge(judge, tmp_path / "judge.safetensors", JudgeConfig(), found)
    kept, about = load_judge(tmp_path / "judge.safetensors")
    assert (kept.subjects, kept.styles, about["accuracy"]) == (judge.subjects, judge.styles, found)
    pixels = draw_moments(unseen, generator(), 8).pixels[:, :, 0]
    assert torch.allclose(kept(pixels)[0], judge(pixels)[0], atol=0.05)
    assert [path.name for path in tmp_path.iterdir()] == ["judge.safetensors"]


@pytest.mark.parametrize("length", [0, 40, 1000, -100])
def test_a_damaged_file_is_refused_in_one_line(judge, tmp_path, length):
    path = tmp_path / "judge.safetensors"
    save_judge(judge, path, JudgeConfig(), {})
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(
        ValueError,
        match="^judge: expected the weights of a judge at .*, do: lumiere evaluate judge$",
    ):
        load_judge(path)


def test_a_larger_clip_is_read_as_its_average(judge):
    small = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    assert torch.equal(to_judge(small.repeat(2, 1).repeat(2, 2)), to_judge(small))


def test_a_clip_of_two_subjects_is_not_constant(judge, unseen):
    drawn = draw_moments(unseen, generator(3), 30)
    subjects = [facts.actors[0].subject for facts in drawn.facts]
    other = next(n for n, subject in enumerate(subjects) if subject != subjects[0])
    frames = (
        ((drawn.pixels[[0, 0, 0, other], :, 0].permute(0, 2, 3, 1) + 1) * 127.5)
        .round()
        .byte()
        .numpy()
    )
    found = judge_clip(judge, frames)
    assert (
        found.subject == subjects[0]
        and found.constancy == 0.75
        and sum(found.chances) == pytest.approx(1, abs=1e-3)
    )


def test_roughening_changes_frames_within_range_and_spoiling_leaves_no_subject(unseen):
    frames = draw_moments(unseen, generator(), 9).pixels[:, :, 0]
    rough, spoilt = roughen(frames, generator()), spoil(frames, generator())
    assert (
        rough.shape == spoilt.shape == frames.shape
        and rough.abs().max() <= 1
        and not torch.equal(rough, frames)
    )
    bare = spoilt.flatten(2).std(2).amax(1) == 0
    scrambled = (spoilt.flatten(2).sort(2).values == frames.flatten(2).sort(2).values).flatten(
        1
    ).all(1) & ~bare
    assert (
        bare.sum() >= 3 and scrambled.sum() >= 3 and not (spoilt == frames).flatten(1).all(1).any()
    )


def test_the_command_writes_a_judge_and_says_how_well_it_reads(tmp_path, world_folder, capsys):
    words = [
        "evaluate",
        "judge",
        str(world_folder),
        "-o",
        str(tmp_path / "judge.safetensors"),
        "--steps",
        "2",
        "--tested",
        "4",
    ]
    assert main(words) == 0
    assert "composition, roughened: subject" in capsys.readouterr().out
    assert load_judge(tmp_path / "judge.safetensors")[0].styles == ("3d", "noto")
    assert main([*words[:3], "-o", str(tmp_path / "judge.json")]) == 2
    assert "output: expected a .safetensors file" in capsys.readouterr().err
