"""Distillation of a tiny model into few steps without guidance."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from test_latent_clips import LOOP, Rising
from toy import same

from nets import picture_net
from openlumiere.contract import Condition
from openlumiere.diffusion.process import process_of
from openlumiere.engine.base import LumierePipeline
from openlumiere.models.autoencoder import StickerAutoencoder
from openlumiere.models.fast import read_fast
from openlumiere.models.lora import LowRank
from openlumiere.models.stunet import STUNet
from openlumiere.train.config import DistillConfig, PictureConfig
from openlumiere.train.loop import train
from openlumiere.train.nets import build_scheduler
from openlumiere.train.stages.distill import (
    Batch,
    DrawnClips,
    clean_between,
    cut_to,
    distill_stage,
    draw_interval,
    level_at,
    stepped,
    student_times,
    teacher_times,
)
from openlumiere.train.stages.picture import build_picture_net
from openlumiere_world.toys.training import CodedBatches

CONFIG = DistillConfig(rank=2, kept=2, bf16=False, loop=replace(LOOP, optimizer="adamw"))
FLOW = FlowMatchEulerDiscreteScheduler(shift=8.0)
SILENT = build_scheduler()


def on_latents():
    """A flow on latents, and its clips."""
    torch.manual_seed(0)
    unet = build_picture_net(PictureConfig(widths=(16, 32)))
    made = LumierePipeline(trained(unet), FLOW, vae=StickerAutoencoder())
    return made, CodedBatches(Rising(), 5)


def on_pixels(**options):
    """A net of clean pixels that reads what is known, and its clips."""
    net = trained(picture_net(16, 3))
    net.widen_input(7)
    made = LumierePipeline(net, SILENT, path_spacing=5, **options)
    config = replace(CONFIG, frames=6, stride=3)
    return made, DrawnClips(source=Squares(), texts=Words(), model=made, config=config)


def trained(unet):
    net = STUNet.from_unet2d(unet, attention_blocks=(1, 1, 1)).eval()
    for parameter in net.temporal_parameters():
        torch.nn.init.normal_(parameter.data, std=0.05)
    return net


class Squares:
    """Clips that rise from black to white."""

    def __init__(self):
        self.drawn = []

    def draw(self, generator, count, frame_times):
        self.drawn.append((count, frame_times))
        levels = (frame_times / 40 - 1)[None, None, :, None, None]
        pixels = levels.expand(count, 3, -1, 16, 16).contiguous()
        return Drawn(pixels, ["rising"] * count)


class Drawn:
    def __init__(self, pixels, captions):
        self.pixels, self.captions = pixels, captions


class Words:
    """States of captions: as many tokens as letters."""

    def draw(self, captions, dropout, generator):
        length = max(len(captions[0]), 1)
        return torch.ones(len(captions), length, 384), torch.ones(len(captions), length).bool()


MODELS = {"flow on latents": on_latents, "clean pixels": on_pixels}


def stage_of(kind, config=CONFIG, sheet=None):
    model, source = MODELS[kind]()
    return distill_stage(source, model, config, sheet)


def loss(stage):
    """Over all intervals."""
    draws = [torch.Generator().manual_seed(seed) for seed in range(8)]
    with torch.no_grad():
        means = [float(stage.losses(stage.net, 2, draw).loss.mean()) for draw in draws]
    return sum(means) / len(means)


@pytest.mark.parametrize("scheduler", [FLOW, SILENT])
def test_the_teacher_steps_between_two_times_of_the_student(scheduler):
    times = student_times(process_of(scheduler), 4)
    assert len(times) == 5 and times == sorted(times, reverse=True) and times[-1] == 0
    for shift in (1.0, 8.0):
        for ends in pairwise(times):
            between = teacher_times(list(ends), 2, shift)
            assert len(between) == 3 and between == sorted(between, reverse=True)
            assert between[::2] == pytest.approx(ends, abs=1e-6)


def test_clips_that_are_learnt_under_little_noise_are_learnt_in_the_last_intervals():
    times = [1000.0, 900.0, 800.0, 600.0, 0.0]
    draws = [torch.Generator().manual_seed(seed) for seed in range(40)]
    assert {draw_interval(times, 1.0, draw) for draw in draws} == {0, 1, 2, 3}
    assert {draw_interval(times, 0.65, draw) for draw in draws} == {3}


@pytest.mark.parametrize("scheduler", [FLOW, SILENT])
@pytest.mark.parametrize("ends", [(990.0, 700.0), (500.0, 250.0), (250.0, 0.0)])
def test_one_step_of_the_target_arrives_where_the_teachers_steps_do(scheduler, ends):
    process, condition = process_of(scheduler), Condition(text=torch.zeros(2, 1, 4))
    levels = [level_at(process, time, 2) for time in teacher_times(list(ends), 3, 1.0)]
    noisy = torch.randn(2, 3, 1, 2, 2)

    def denoise(moved, level, condition):
        return moved.sin() + level.time.mean() / 1000

    moved = noisy
    for level, following in pairwise(levels):
        moved = stepped(moved, denoise(moved, level, condition), level, following)
    target = clean_between(noisy, denoise, levels, condition)
    torch.testing.assert_close(stepped(noisy, target, levels[0], levels[-1]), moved)


@pytest.mark.parametrize("scheduler", [FLOW, SILENT])
def test_a_step_is_that_of_the_solver(scheduler):
    noisy, clean = torch.randn(1, 3, 1, 2, 2), torch.rand(1, 3, 1, 2, 2)
    process = process_of(scheduler)
    solver = process.solver(None, steps=4, like=noisy)
    levels = [level_at(process, time, 1) for time in student_times(process, 4)]
    state = solver.begin(noisy)
    for call in range(4):
        expected = solver.step(clean, solver.look(state, call), state, call)
        found = stepped(state, clean, levels[call], levels[call + 1])
        torch.testing.assert_close(found, expected, rtol=2e-3, atol=2e-3)
        state = expected


@pytest.mark.parametrize("kind", MODELS)
def test_a_teacher_of_one_unguided_step_has_nothing_to_teach(kind):
    alike = replace(CONFIG, guidance=1.0, teacher_steps=1)
    if kind == "flow on latents":
        assert loss(stage_of(kind, alike)) < 1e-8
    assert loss(stage_of(kind)) > 1e-5


@pytest.mark.parametrize(
    "kind", ["flow on latents", pytest.param("clean pixels", marks=pytest.mark.long)]
)
def test_only_the_factors_move_the_loss_falls_and_the_file_is_the_student(kind, tmp_path):
    stage = stage_of(kind)
    frozen = {name: value.clone() for name, value in stage.net.named_parameters()}
    before = loss(stage)
    train(stage, replace(CONFIG.loop, learning_rate=4e-3, fall_from=6, fall_to=12), tmp_path)
    assert loss(stage) < before
    for name, value in stage.net.named_parameters():
        assert value.requires_grad == ("lora_" in name)
        assert value.requires_grad or torch.equal(value, frozen[name])
    plain, source = MODELS[kind]()
    made = plain.hastened(read_fast(tmp_path))
    assert made.scheduler.config.get("shift", 4.0) == CONFIG.shift
    assert plain.scheduler.config.get("shift", 8.0) == 8.0
    batch = source.draw(torch.Generator().manual_seed(3), 2)
    level = level_at(plain.backbone.process, 700.0, len(batch.clean))
    with torch.no_grad():
        expected, found, old = (
            model.backbone.denoise(batch.clean, level, batch.condition)
            for model in (stage.model, made, plain)
        )
    moved = (old - expected).abs().mean()
    assert (found - expected).abs().mean() < 0.15 * moved  # half precision, and the average

    higher = replace(CONFIG, rank=CONFIG.rank + 1)
    begun = distill_stage(source, MODELS[kind]()[0], higher, start=read_fast(tmp_path))
    with torch.no_grad():
        same_as = begun.model.backbone.denoise(batch.clean, level, batch.condition)
    assert (same_as - found).abs().mean() < 0.05 * moved
    lower = replace(CONFIG, rank=CONFIG.kept - 1)
    if lower.rank:
        with pytest.raises(ValueError, match="rank: expected at least"):
            distill_stage(source, MODELS[kind]()[0], lower, start=read_fast(tmp_path))


@pytest.mark.parametrize("kernel", [(), (3, 3)])
def test_factors_are_cut_to_the_nearest_of_a_rank(kernel):
    low = LowRank(torch.randn(5, 7, *kernel), torch.randn(6, 5, *(1 for _ in kernel)), 0.5)
    whole, least = low.change, torch.linalg.svdvals(low.change.flatten(1))[3:]
    cut = cut_to(low, 3)
    assert cut.down.shape[0] == 3 and cut.change.shape == whole.shape
    torch.testing.assert_close((cut.change - whole).square().sum(), least.square().sum())
    torch.testing.assert_close(cut_to(low, 9).change, whole)


@pytest.mark.long
def test_a_run_that_was_stopped_is_the_run_that_was_not(tmp_path):
    for folder, ends in (("whole", [4]), ("parts", [2, 4])):
        for end in ends:
            config = replace(CONFIG.loop, fall_from=end, fall_to=end)
            train(stage_of("flow on latents"), config, tmp_path / folder)
    assert same(tmp_path / "whole", tmp_path / "parts")


def test_samples_are_made_with_the_average_and_leave_the_weights(tmp_path):
    shown = []
    stage = stage_of("flow on latents", sheet=lambda made, file: shown.append(made))
    own = {name: value for name, value in stage.net.named_parameters() if value.requires_grad}
    before = {name: value.clone() for name, value in own.items()}
    stage.show({name: value + 1 for name, value in before.items()}, tmp_path / "sheet.png")
    assert shown and all(torch.equal(own[name], before[name]) for name in own)
    assert shown[0].scheduler.config.shift == CONFIG.shift


def test_clips_of_every_frame_are_longer_fewer_and_learnt_where_every_frame_is_looked_at():
    model, source = on_pixels()
    batches = [source.draw(torch.Generator().manual_seed(seed), 4) for seed in range(30)]
    assert {(len(each.clean), each.clean.shape[2], each.latest) for each in batches} == {
        (4, 6, 1.0),
        (2, 12, model.config.path_until / 1000),
    }
    for batch, (count, times) in zip(batches, source.source.drawn, strict=True):
        assert isinstance(batch, Batch) and batch.condition.known is not None
        assert count == len(batch.clean) and times.min() >= 0 and times.max() < 80
