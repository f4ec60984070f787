"""Training by a family's own process: its noise levels, through its own denoiser.

The loss is the error of the clean clip that the net's prediction stands for, so one stage serves
our inflated nets and every published family of `backbones/registry.py`; those that inherit from it
say which weights train.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from openlumiere.contract import TIMES, Backbone, Condition, Level, join
from openlumiere.data.ingest.source import ShardSource, Turns
from openlumiere.engine.base import PipelineSampling
from openlumiere.engine.run import Plan, run
from openlumiere.media import Clip, contact_sheet, filmstrip, save_image
from openlumiere.train.latents import CodedClips, check_clips, encode, times_of
from openlumiere.train.step import Average, Losses, Stage, noise_like

TRUNCATION = 6.0  # the greatest weight of an error of the clean clip
SHOWN, STEPS = 4, 8  # validation prompts, and the steps that their clips take


@dataclass(frozen=True, kw_only=True, eq=False)
class Bucket:
    """Clips of one side and length, from their pixels, or from latents and conditions that were
    computed before (`coded`).
    """

    source: ShardSource
    coded: CodedClips | None = None
    conditions: dict[str, Condition] = field(default_factory=dict)

    @torch.no_grad()
    def clean(
        self, backbone: Backbone, numbers: list[int], times: Float[Tensor, " f"] | None
    ) -> Float[Tensor, "b c g h w"]:
        """These clips, coded, at those moments; None is every frame."""
        every = list(range(self.source.shards.config.frames))
        places = [every] * len(numbers)
        if times is not None:
            places = self.source.places(times, len(numbers))
        if self.coded is None:
            return encode(backbone, self.source.pixels(numbers, places))
        latents = self.coded.latents(numbers)
        return latents if times is None else latents[:, :, places[0]]

    def condition(self, backbone: Backbone, number: int | None) -> Condition:
        """Of a clip's caption, or for None of the empty prompt; each is encoded once a run."""
        if self.coded is not None:
            return self.coded.condition(number)
        prompt = "" if number is None else self.source.caption(number)
        if prompt not in self.conditions:
            self.conditions[prompt] = self.encoded(backbone, prompt)
        return self.conditions[prompt]

    @torch.no_grad()
    def encoded(self, backbone: Backbone, prompt: str) -> Condition:
        """Of one prompt."""
        config = self.source.shards.config
        return backbone.condition(
            [prompt],
            frames=config.frames,
            height=config.side,
            width=config.side,
            frame_times=times_of(config),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class BackboneStage(Stage):
    """Losses of a backbone on clips of one bucket, or of several in turn, of which `turns` draws;
    clips that are shown have the form of the first.
    """

    backbone: Backbone
    buckets: Sequence[Bucket]
    turns: Turns

    def move_to(self, position: int) -> None:
        """Where the run is in its clips."""
        self.turns.move_to(position)

    def frame_times(self, generator: torch.Generator) -> Float[Tensor, " f"] | None:
        """Moments of the frames that are trained on, in native frames; None is every frame."""
        return None

    def conditioned(
        self, condition: Condition, clean: Tensor, generator: torch.Generator
    ) -> Condition:
        """The condition with what else the net is given of the clean clips."""
        return condition

    def losses(self, net: nn.Module, count: int, generator: torch.Generator) -> Losses:
        """Of `count` clips under captions, some of them dropped; times are uniform."""
        times = self.frame_times(generator)
        which, numbers = self.turns.next(count)
        bucket = self.buckets[which]
        clean = bucket.clean(self.backbone, numbers, times)
        dropped = torch.rand(count, generator=generator) < self.config.text_dropout
        said = [None if drop else number for number, drop in zip(numbers, dropped)]
        time = torch.rand(count, generator=generator) * TIMES
        noise = noise_like(clean, generator)
        level = self.backbone.process.level(time.floor()).to(clean.device)
        condition = join([bucket.condition(self.backbone, number) for number in said])
        if times is not None:
            condition = replace(condition, frame_times=times.to(clean.device))
        condition = self.conditioned(condition, clean, generator)
        return Losses(self.error(net, clean, noise, level, condition), time / TIMES)

    def error(
        self, net: Any, clean: Tensor, noise: Tensor, level: Level, condition: Condition
    ) -> Float[Tensor, " b"]:
        """The squared error of the clean clip, weighted as one of the velocity: by `1 / sigma^2`,
        at most 6 (our choice).
        """
        backbone: Any = self.backbone
        through = backbone if net is self.net else replace(backbone, net=Wrapped(net, self.net))
        predicted = through.denoise(level.noised(clean, noise), level, condition)
        error = (predicted - clean).square().flatten(1).mean(1)
        return error * (1 / level.sigma.square().clamp(min=1e-6)).clamp(max=TRUNCATION).to(error)

    @property
    def prompts(self) -> tuple[str, ...]:
        """Of which clips are shown: the first captions."""
        rows = self.turns.sources[0].shards.rows
        return tuple(dict.fromkeys(str(row["caption"]) for row in rows))

    def show(self, average: Average, file: Path) -> None:
        """Save strips of clips of a few prompts."""
        prompts = self.prompts[:SHOWN]
        with averaged_in(self.net, average):
            strips = [filmstrip(self.sample(prompt), 8) for prompt in prompts]
        save_image(contact_sheet(strips, 1, list(prompts)), file)

    def sample(self, prompt: str) -> Clip:
        """A clip of a prompt in the form of the first bucket, by the net as it is."""
        config = self.turns.sources[0].shards.config
        plan = Plan(
            prompts=(prompt,),
            frames=config.frames,
            height=config.side,
            width=config.side,
            frame_times=times_of(config),
        )
        made = run(self.backbone, plan, PipelineSampling(steps=STEPS))
        return Clip(made[0], fps=config.fps)


def in_turn(backbone: Backbone, buckets: Sequence[Bucket], seed: int) -> dict[str, Any]:
    """The fields of a stage that draws from these buckets. Raises ValueError for clips of a form
    that the backbone does not take.
    """
    for bucket in buckets:
        check_clips(backbone, bucket.source.shards.config)
    turns = Turns([bucket.source for bucket in buckets], seed)
    return {"backbone": backbone, "buckets": buckets, "turns": turns}


class Wrapped:
    """A net that is called by way of what averages its gradients over processes."""

    def __init__(self, wrapper: Any, net: Any):
        self.wrapper, self.net = wrapper, net

    def __call__(self, *given: Any, **named: Any) -> Any:
        """As the net."""
        return self.wrapper(*given, **named)

    def __getattr__(self, name: str) -> Any:
        """The net's."""
        return getattr(self.net, name)


@contextmanager
def averaged_in(net: nn.Module, average: Average) -> Iterator[None]:
    """The averaged weights in a net's place of the trained ones, for a while."""
    parameters = {name: value for name, value in net.named_parameters() if name in average}
    trained = {name: value.detach().clone() for name, value in parameters.items()}
    with torch.no_grad():
        for name, value in parameters.items():
            value.copy_(average[name])
        yield
        for name, value in parameters.items():
            value.copy_(trained[name])
