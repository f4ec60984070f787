"""The only path to frames: a backbone, a plan, and the wrappers between them in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from accelerate import PartialState
from jaxtyping import Float, UInt8
from torch import Tensor

from openlumiere.contract import Backbone, Codec, Condition, Denoiser, Known, ReadsPixels
from openlumiere.diffusion.multidiffusion import Windows, multidiffuse
from openlumiere.diffusion.sampler import Step, draw_noise, sample
from openlumiere.diffusion.wrappers import (
    SHARES,
    blend_prompts,
    clipped,
    guided,
    guided_by_input,
    held,
    looped,
    shaped,
    sparse_first,
    spread,
)
from openlumiere.models.codec import to_frames

LEAD = 2
"""Coded places that a loop is decoded after: about as far back as a video decoder looks (our
choice).
"""

OnStep: TypeAlias = Callable[[Step], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """What is to be generated, in the codec's space: one clip a prompt, or with `shares` one clip
    of several prompts.

    `seeds` are one a clip. `height` and `width` are in pixels, `frame_times` `[f]` in native frames
    (None: one apart). `known` is coded content and its mask, `given` the same in pixels, for nets
    that read those. Sampling begins at step `start` from
    the coded clip `source` under noise (SDEdit), whose coarse shapes are held for the share
    `structure` of the noise levels. `shares` `[k, f]` are the weights of k prompts at each frame.
    `windows` cut long clips; with `loop` the last frame leads seamlessly into the first. `noise`
    stands in for that of the seeds.
    """

    prompts: tuple[str, ...]
    frames: int
    height: int
    width: int
    negative: str = ""
    seeds: tuple[int, ...] = (0,)
    shares: Float[Tensor, "k f"] | None = None
    frame_times: Float[Tensor, " f"] | None = None
    known: Known | None = None
    given: Known | None = None
    source: Float[Tensor, "b c f h w"] | None = None
    start: int = 0
    structure: float = 0.0
    windows: Windows | None = None
    loop: bool = False
    noise: Float[Tensor, "b c f h w"] | None = None

    def __post_init__(self) -> None:
        prompts = 1 if self.shares is not None else len(self.prompts)
        if len(self.seeds) != prompts:
            raise ValueError(
                f"seeds: expected one a clip, got {len(self.seeds)} for {prompts}, "
                "give a seed for each prompt"
            )


@runtime_checkable
class Sampling(Protocol):
    """How a clip is drawn from noise; `tasks.values.Sampling` is one."""

    @property
    def steps(self) -> int:
        """Denoising steps."""
        ...

    @property
    def guidance(self) -> float:
        """The scale of classifier-free guidance; 1 is off."""
        ...

    @property
    def rescale(self) -> float:
        """How far guidance keeps the spread of the unguided clip, in [0, 1]."""
        ...

    @property
    def scheduler(self) -> str | None:
        """A scheduler's name; None is the one that the model came with."""
        ...


@torch.no_grad()
def run(
    backbone: Backbone,
    plan: Plan,
    sampling: Sampling,
    on_step: OnStep | None = None,
    processes: PartialState | None = None,
) -> UInt8[np.ndarray, "b f h w c"]:
    """Frames of all clips of the plan. `on_step` is called after each call of the net.

    Given `processes`, all called alike, they share the plan's windows and get the same frames.
    Raises ValueError for what cannot be. Nothing is stored on the backbone.
    """
    denoise = denoiser_for(backbone, plan, sampling, processes)
    condition = condition_for(backbone, plan)
    noise = noise_for(backbone, plan).to(backbone.device)
    source = None if plan.source is None else plan.source.to(noise)
    solver = backbone.process.solver(
        sampling.scheduler, steps=sampling.steps, start=plan.start, seeds=plan.seeds, like=noise
    )
    for step in sample(denoise, solver, noise, condition, source=source):
        if on_step is not None:
            on_step(step)
    return to_frames(decoded(backbone.codec, step.noisy, plan.loop))


def decoded(
    codec: Codec, coded: Float[Tensor, "b c f h w"], loop: bool
) -> Float[Tensor, "b k F H W"]:
    """Frames of a coded clip. Where the codec knows time, a loop is decoded after its own last
    places, so that its first frames follow its last, and each place gives as many frames.
    """
    if not loop or codec.time_factor == 1:
        return codec.decode(coded)
    places = coded.shape[2]
    lead = coded[:, :, -min(LEAD, places) :]
    return codec.decode(torch.cat([lead, coded], 2))[:, :, -codec.time_factor * places :]


def denoiser_for(
    backbone: Backbone, plan: Plan, sampling: Sampling, processes: PartialState | None = None
) -> Denoiser:
    """The backbone under every wrapper that the plan asks for, innermost first."""
    denoise = with_guidance(backbone, plan, sampling)
    if backbone.codec.bounded:  # as in the original cascade (Imagen)
        quantile, limit = backbone.process.thresholding
        denoise = clipped(denoise, quantile=quantile, limit=limit)
    if plan.shares is not None:
        prompts = [prompt_condition(backbone, plan, prompt) for prompt in plan.prompts]
        denoise = blend_prompts(denoise, prompts)
    if plan.known is not None and holds(backbone, plan.known):
        denoise = held(denoise)
    denoise = over_time(denoise, backbone, plan.windows, processes)
    if plan.loop:
        denoise = looped(denoise)
    if plan.source is not None and plan.structure:
        quarter = backbone.native.side // backbone.codec.factor // 4
        denoise = shaped(denoise, plan.source, quarter, plan.structure)
    return denoise


def with_guidance(backbone: Backbone, plan: Plan, sampling: Sampling) -> Denoiser:
    """The backbone guided by a second pass, or by its own input where it reads the scale. Raises
    ValueError for a negative prompt that such a net can't be given.
    """
    if not backbone.reads.guidance:
        empty = prompt_condition(backbone, plan, plan.negative)
        return guided(backbone.denoise, empty, sampling.guidance, rescale=sampling.rescale)
    if plan.negative:
        raise ValueError(
            f"negative: expected none for a model that reads its guidance, got {plan.negative!r}, "
            "leave it out"
        )
    return guided_by_input(backbone.denoise, sampling.guidance)


def known_of(backbone: Backbone, known: Known | None) -> Known | None:
    """What is known, with what is held of it, for nets that read that: before it is cut into
    windows, of which some may know nothing by themselves.
    """
    return known.filled() if known is not None and backbone.reads.likely else known


def holds(backbone: Backbone, known: Known) -> bool:
    """Whether known places are held because the net does not read them by itself."""
    if backbone.reads.known:
        return False
    return not backbone.reads.first_frame or bool(known.mask[:, :, 1:].any())


def over_time(
    denoise: Denoiser, backbone: Backbone, windows: Windows | None, processes: PartialState | None
) -> Denoiser:
    """Windows, and few frames first where the model wants that."""
    sparse = backbone.sparse
    spacing = 1 if sparse is None else sparse.spacing
    whole = few = denoise
    if windows is not None:
        whole = multidiffuse(denoise, windows, processes=processes)
        few = multidiffuse(denoise, windows.every(spacing), processes=processes)
    if sparse is None or spacing == 1:
        return whole
    return sparse_first(whole, few, spacing=spacing, until=sparse.until)


def prompt_condition(backbone: Backbone, plan: Plan, prompt: str) -> Condition:
    """The condition of one prompt alone."""
    return backbone.condition([prompt], frames=1, height=plan.height, width=plan.width)


def condition_for(backbone: Backbone, plan: Plan) -> Condition:
    """All that conditions the plan's clips; the prompts of a schedule also by their weights at each
    place.
    """
    prompts = plan.prompts if plan.shares is None else plan.prompts[:1]
    condition = backbone.condition(
        prompts,
        frames=plan.frames,
        height=plan.height,
        width=plan.width,
        frame_times=plan.frame_times,
        known=known_of(backbone, plan.known),
    )
    if isinstance(backbone, ReadsPixels):
        condition = backbone.read(condition, plan.given or nothing_given(plan, len(prompts)))
    if plan.shares is None:
        return condition
    _, height, width = backbone.codec.grid(plan.frames, plan.height, plan.width)
    shares = at_places(plan.shares, backbone.codec)
    places = spread(shares.to(condition.text), height, width)
    return replace(condition, over_frames={**condition.over_frames, SHARES: places})


def nothing_given(plan: Plan, clips: int) -> Known:
    """Grey pixels, of which none is known."""
    return Known.nothing((clips, 3, plan.frames, plan.height, plan.width))


def at_places(shares: Float[Tensor, "k f"], codec: Codec) -> Float[Tensor, "k p"]:
    """Weights of frames as means over the frames of each coded place."""
    if codec.time_factor == 1:
        return shares
    later = shares[:, 1:].unflatten(1, (-1, codec.time_factor)).mean(2)
    return torch.cat([shares[:, :1], later], 1)


def noise_for(backbone: Backbone, plan: Plan) -> Float[Tensor, "b c f h w"]:
    """The plan's noise, or that of its seeds."""
    grid = backbone.codec.grid(plan.frames, plan.height, plan.width)
    shape = (backbone.codec.channels, *grid)
    return draw_noise(shape, plan.seeds) if plan.noise is None else plan.noise
