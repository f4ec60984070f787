"""What each task asks of the net: a `Canvas` in pixels where something is given, and a `Plan` of
one pass over a clip as the net sees it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from PIL import Image as Pillow
from torch import Tensor

from openlumiere.contract import NATIVE_RATE, Codec, Known
from openlumiere.diffusion.multidiffusion import Windows
from openlumiere.engine.base import LumierePipeline
from openlumiere.engine.canvas import Canvas, extended, filled, keyframes, partly_moving, unheld
from openlumiere.engine.fit import Fit, encode, encode_whole, solid
from openlumiere.engine.run import Plan
from openlumiere.media import Clip
from openlumiere.media.frames import with_channels
from openlumiere.quality.repair import mended
from openlumiere.tasks import (
    Animate,
    Cinemagraph,
    Generate,
    Image,
    Inpaint,
    Media,
    Mend,
    Outpaint,
    Region,
    Restyle,
    Task,
)
from openlumiere.tasks.values import DEFAULT_FRAMES, Line, check_cost, check_within, parse_schedule

FADE = Fraction(1, 2)  # seconds in which one prompt of a schedule takes over from another
OVERLAP = 16
"""Native frames that windows share: the base decides where subjects are, so more than the paper's 2
(our choice).
"""
WINDOWS = Windows(frames=DEFAULT_FRAMES, overlap=OVERLAP, tapered=True)
"""Of given clips longer than the net's five seconds (our choice)."""

TOGETHER, TOGETHER_BYTES = 8, 2**30

Edit = Animate | Inpaint | Outpaint | Mend | Cinemagraph | Restyle


def canvas_of(task: Edit) -> Canvas:
    """What is given to an open task, in pixels. Raises ValueError for what can't be."""
    canvas = filled_canvas(task)
    check_cost(canvas.frames[0, ..., 0].size, len(canvas.frames), task.sampling.steps)
    return canvas


def filled_canvas(task: Edit) -> Canvas:
    """Every task in a line: what is known, and of how large a clip."""
    match task:
        case Animate():
            return keyframes(pictures_of(task), task.length.count, task.length.fps)
        case Cinemagraph():
            picture = sized(task.image, task.size)
            return partly_moving(picture, task.region, task.length.count, task.length.fps)
        case Inpaint():
            return filled(clip_of(task.clip), task.region)
        case Outpaint():
            return extended(clip_of(task.clip), *task.to)
        case Mend(region=None):
            return repaired(clip_of(task.clip))
        case Mend():
            assert task.region is not None
            return mended_region(clip_of(task.clip), task.region)
        case Restyle():
            return unheld(clip_of(task.clip), held=task.strength == 0)


def repaired(clip: Clip) -> Canvas:
    """What could be bridged or evened out, and unknown what is left to the net. Fully transparent
    pixels stay as they are, and all alpha does.
    """
    if not clip.has_alpha:
        frames, known = mended(clip)
        return Canvas(frames=frames, known=known, fps=clip.fps, audio=clip.audio)
    colours, known = mended(replace(clip, frames=solid(clip.frames)))
    frames = np.concatenate([colours, clip.frames[..., 3:]], axis=-1)
    clear = clip.frames[..., 3] == 0
    frames[clear] = clip.frames[clear]
    return Canvas(frames=frames, known=known | clear, fps=clip.fps, audio=clip.audio)


def mended_region(clip: Clip, region: Region) -> Canvas:
    """A region made anew in the shape that it has: alpha stays, and so does what is fully
    transparent.
    """
    canvas = filled(clip, region)
    if not clip.has_alpha:
        return canvas
    known = canvas.known | (clip.frames[..., 3] == 0)
    return replace(canvas, known=known, outline="own")


def pictures_of(task: Animate) -> dict[int, UInt8[np.ndarray, "h w c"]]:
    """Pictures by frame, in order; all with alpha where one has some."""
    first = {} if task.image is None else {0: sized(task.image, task.size)}
    found = first | {each.frame: sized(each.image, task.size) for each in task.keyframes}
    channels = max(picture.shape[2] for picture in found.values())
    return {frame: with_channels(picture, channels) for frame, picture in found.items()}


def clip_of(media: Media) -> Clip:
    """The clip of open media."""
    clip: Clip = media.content.clip
    return clip


def sized(media: Media, longer: int) -> UInt8[np.ndarray, "h w c"]:
    """An open picture, its longer side brought to `longer` pixels (0: as it is)."""
    clip = clip_of(media)
    to = scaled(clip.size, longer)
    if to == clip.size:
        return clip.frames[0]
    return np.asarray(Pillow.fromarray(clip.frames[0]).resize(to, Pillow.Resampling.LANCZOS))


def scaled(size: tuple[int, int], longer: int) -> tuple[int, int]:
    """Width and height with a longer side of `longer` pixels (0: as they are)."""
    if not longer:
        return size
    width, height = size
    share = longer / max(size)
    return max(1, round(width * share)), max(1, round(height * share))


def plan_edit(task: Edit, canvas: Canvas, to: Fit, codec: Codec) -> Plan:
    """What is unknown of a canvas, made around what is known."""
    strength = task.strength if isinstance(task, Restyle) else 1.0
    structure = task.structure if isinstance(task, Restyle) else 0.0
    steps = task.sampling.steps
    start = min(round((1 - strength) * steps), steps - 1)
    return Plan(
        prompts=(task.prompt,),
        negative=task.sampling.negative,
        seeds=(task.sampling.seed,),
        frames=len(to.indices),
        height=to.height,
        width=to.width,
        frame_times=to.times(canvas.fps, getattr(task, "motion", 1.0)),
        known=encode(canvas, to, codec) if canvas.known.any() else None,
        source=encode_whole(canvas, to, codec) if start or structure else None,
        start=start,
        structure=structure,
        windows=WINDOWS,
        loop=loops(task),
    )


def loops(task: Task) -> bool:
    """Whether a seamless loop is asked for."""
    return bool(getattr(task, "loop", False))


def plan_shot(
    task: Generate,
    prompt: str,
    base: LumierePipeline,
    windows: Windows | None = None,
    keyframe: UInt8[np.ndarray, "h w 3"] | None = None,
    number: int = 0,
) -> Plan:
    """The `number`-th shot of words, at the net's size, from a seed of its own.

    It begins after `keyframe`, a picture of the shot before it that is known to the net and not
    shown again; `windows` are `windows_at` its rate if not given.
    """
    lines = parse_schedule(prompt)
    fps = task.length.fps
    frames = task.length.count
    shares = shares_of(lines, frames, fps) if len(lines) > 1 else None
    known = None
    if keyframe is not None:
        frames += 1
        known = know_first(base, keyframe, frames)
        shares = None if shares is None else torch.cat([shares[:, :1], shares], 1)
    return Plan(
        prompts=tuple(line.prompt for line in lines),
        negative=task.sampling.negative,
        seeds=(task.sampling.seed + number,),
        shares=shares,
        frames=frames,
        height=base.native_size,
        width=base.native_size,
        frame_times=torch.arange(frames) * float(NATIVE_RATE / fps),
        known=known,
        windows=windows or windows_at(fps),
        loop=task.loop,
    )


def batches(tasks: Sequence[Task], base: LumierePipeline, most: int | None) -> list[list[int]]:
    """Numbers of the tasks that are denoised together, at most `most` of them; None: as many as
    `fitting` says. Raises ValueError for less than one.
    """
    if most is not None and most < 1:
        raise ValueError(f"batch: expected 1 or more, got {most}, use 1 to make one after another")
    alike: dict[Any, list[int]] = {}
    for number, task in enumerate(tasks):
        alike.setdefault(apart_from_words(task, base) or number, []).append(number)
    found = []
    for numbers in alike.values():
        first = tasks[numbers[0]]
        size = most or (fitting(first, base) if isinstance(first, Generate) else 1)
        found += [numbers[start : start + size] for start in range(0, len(numbers), size)]
    return found


def fitting(task: Generate, base: LumierePipeline) -> int:
    """Clips that are denoised together without being asked for: passes over them take 1 GiB at
    most, and they are 8 at most (our choice).
    """
    side = base.native_size
    frames = min(task.length.count, DEFAULT_FRAMES)
    shape = (2, base.codec.channels, *base.codec.grid(frames, side, side))
    return max(1, min(TOGETHER, TOGETHER_BYTES // base.backbone.bytes_for(shape)))


def apart_from_words(task: Task, base: LumierePipeline) -> str:
    """What must be the same of tasks in one batch: all but prompt and seed, and how many tokens the
    prompt has, so that none is padded. "" for what is always made alone.
    """
    if not isinstance(task, Generate) or task.shots or task.styles:
        return ""
    if len(parse_schedule(task.prompt)) > 1:
        return ""
    tokens = base.backbone.condition([task.prompt], frames=1, height=1, width=1).text.shape[1]
    sampling = task.sampling.model_copy(update={"seed": 0})
    rest = task.model_copy(update={"prompt": "", "sampling": sampling})
    return f"{tokens} {rest!r}"


def plan_batch(tasks: Sequence[Generate], base: LumierePipeline, windows: Windows | None) -> Plan:
    """Clips of words that `apart_from_words` finds alike, in one plan."""
    return replace(
        plan_shot(tasks[0], tasks[0].prompt, base, windows),
        prompts=tuple(task.prompt for task in tasks),
        seeds=tuple(task.sampling.seed for task in tasks),
    )


def know_first(base: LumierePipeline, picture: UInt8[np.ndarray, "h w 3"], frames: int) -> Known:
    """The picture as frame 0 of a clip of which nothing else is known."""
    pixels = rearrange(torch.from_numpy(picture.copy()), "h w c -> 1 c 1 h w") / 127.5 - 1
    coded = base.codec.encode(pixels)
    known = Known.nothing((1, coded.shape[1], frames, *coded.shape[3:]))
    known.content[:, :, :1] = coded
    known.mask[:, :, :1] = 1
    return known


def windows_at(fps: Fraction, batch: int = 1, part: Fraction = Fraction(1)) -> Windows:
    """Windows as long as the net was trained on, five seconds, at this rate; or a part of that,
    which takes less memory.
    """
    rate = part * fps / NATIVE_RATE
    frames = max(2, round(DEFAULT_FRAMES * rate))
    overlap = max(1, round(OVERLAP * rate))
    return Windows(frames=frames, overlap=overlap, tapered=True, batch=batch)


def shares_of(lines: list[Line], frames: int, fps: Fraction) -> Float[Tensor, "k f"]:
    """The weight of each line at each frame; they add up to 1, and cross over within `FADE` or the
    shorter of two lines' lengths.

    Raises ValueError for a line that begins when the clip is over.
    """
    check_within(lines, frames / fps)
    times = torch.arange(frames) / float(fps)
    ends = [*(line.start for line in lines), frames / fps]
    lengths = [later - earlier for earlier, later in pairwise(ends)]
    shares = torch.ones(1, frames)
    for number, line in enumerate(lines[1:], 1):
        fade = float(min(FADE, lengths[number - 1], lengths[number]))
        begun = ((times - float(line.start)) / fade + 0.5).clamp(0, 1)
        shares = torch.cat([shares[:-1], shares[-1:] * (1 - begun), begun[None]])
    return shares


def plan_picture(task: Image, side: int) -> Plan:
    """A picture of words, at the net's size."""
    return Plan(
        prompts=(task.prompt,),
        negative=task.sampling.negative,
        seeds=(task.sampling.seed,),
        frames=1,
        height=side,
        width=side,
    )
