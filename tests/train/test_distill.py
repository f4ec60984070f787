"""Distillation of a tiny model of latents into few steps without guidance."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from test_latent_clips import LOOP, Rising
from toy import same

from openlumiere.engine.base import LumierePipeline
from openlumiere.models.autoencoder import StickerAutoencoder
from openlumiere.models.fast import read_fast
from openlumiere.models.stunet import STUNet
from openlumiere.train.config import DistillConfig, PictureConfig
from openlumiere.train.loop import train
from openlumiere.train.stages.distill import (
    distill_stage,
    draw_interval,
    mean_velocity,
    student_levels,
    teacher_levels,
)
from openlumiere.train.stages.picture import build_picture_net

CONFIG = DistillConfig(rank=2, bf16=False, loop=replace(LOOP, optimizer="adamw"))


def model():
    torch.manual_seed(0)
    unet = build_picture_net(PictureConfig(widths=(16, 32)))
    net = STUNet.from_unet2d(unet, attention_blocks=(1, 1, 1)).eval()
    for parameter in net.temporal_parameters():
        torch.nn.init.normal_(parameter.data, std=0.05)
    return LumierePipeline(
        net, FlowMatchEulerDiscreteScheduler(shift=8.0), vae=StickerAutoencoder()
    )


def loss(stage):
    with torch.no_grad():
        return float(stage.losses(stage.net, 4, torch.Generator().manual_seed(9)).loss.mean())


def test_the_levels_are_those_that_the_solver_takes():
    solver = FlowMatchEulerDiscreteScheduler(shift=CONFIG.shift)
    solver.set_timesteps(sigmas=[1 - step / CONFIG.steps for step in range(CONFIG.steps)])
    assert student_levels(CONFIG) == pytest.approx(solver.sigmas.tolist(), abs=1e-6)


def test_the_teacher_steps_between_two_levels_of_the_student():
    student = student_levels(CONFIG)
    for interval in range(CONFIG.steps):
        levels = teacher_levels(CONFIG, interval)
        assert len(levels) == CONFIG.teacher_steps + 1
        assert levels[::2] == pytest.approx(student[interval : interval + 2], abs=1e-6)
        assert levels == sorted(levels, reverse=True)


def test_clips_that_are_learnt_under_little_noise_are_learnt_in_the_last_intervals():
    levels = [1.0, 0.9, 0.8, 0.6, 0.0]
    draws = [torch.Generator().manual_seed(seed) for seed in range(40)]
    assert {draw_interval(levels, 1.0, draw) for draw in draws} == {0, 1, 2, 3}
    assert {draw_interval(levels, 0.65, draw) for draw in draws} == {3}


def test_one_step_of_the_mean_velocity_arrives_where_many_steps_do():
    noisy, levels = torch.randn(2, 3), [0.9, 0.7, 0.3]
    moved = noisy
    for level, following in pairwise(levels):
        moved = moved + (following - level) * (moved.sin() + level)
    mean = mean_velocity(lambda at, level: at.sin() + level, noisy, levels)
    torch.testing.assert_close(noisy + (levels[-1] - levels[0]) * mean, moved)


def test_a_teacher_of_one_unguided_step_has_nothing_to_teach():
    same_as_student = replace(CONFIG, guidance=1.0, teacher_steps=1)
    assert loss(distill_stage(Rising(), model(), same_as_student)) < 1e-10
    assert loss(distill_stage(Rising(), model(), CONFIG)) > 1e-4


def test_only_the_factors_move_the_loss_falls_and_the_style_is_the_student(tmp_path):
    stage = distill_stage(Rising(), model(), CONFIG)
    before = loss(stage)
    train(stage, replace(CONFIG.loop, learning_rate=1e-2, fall_from=6, fall_to=12), tmp_path)
    assert loss(stage) < before
    plain = model()
    made = plain.hastened(read_fast(tmp_path))
    student = made.stunet
    given = {
        "sample": torch.randn(1, 16, 4, 16, 16, generator=torch.Generator().manual_seed(1)),
        "timestep": torch.tensor([800.0]),
        "encoder_hidden_states": torch.ones(1, 3, 384),
        "class_labels": torch.ones(1, 384),
    }
    with torch.no_grad():
        expected, found = stage.net(**given).sample, student(**given).sample
        moved = (plain.stunet(**given).sample - expected).abs().mean()
    assert (found - expected).abs().mean() < 0.1 * moved  # half precision, and the average
    assert made.scheduler.config.shift == CONFIG.shift and plain.scheduler.config.shift == 8.0


def test_a_run_that_was_stopped_is_the_run_that_was_not(tmp_path):
    for folder, ends in (("whole", [4]), ("parts", [2, 4])):
        for end in ends:
            config = replace(CONFIG.loop, fall_from=end, fall_to=end)
            train(distill_stage(Rising(), model(), CONFIG), config, tmp_path / folder)
    assert same(tmp_path / "whole", tmp_path / "parts")


def test_samples_are_made_with_the_average_and_leave_the_weights(tmp_path):
    shown = []
    stage = distill_stage(Rising(), model(), CONFIG, lambda made, file: shown.append(made))
    own = {name: value for name, value in stage.net.named_parameters() if value.requires_grad}
    before = {name: value.clone() for name, value in own.items()}
    stage.show({name: value + 1 for name, value in before.items()}, tmp_path / "sheet.png")
    assert shown and all(torch.equal(own[name], before[name]) for name in own)
    assert isinstance(shown[0].scheduler, FlowMatchEulerDiscreteScheduler)
    assert shown[0].scheduler.config.shift == CONFIG.shift
