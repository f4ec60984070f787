"""Clips longer than the net's five seconds, prompts that change on the way, and several shots in
one file.

All our choice: the paper leaves several shots and longer clips to the future.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import torch
from einops import rearrange
from jaxtyping import UInt8

from openlumiere.contract import NATIVE_RATE, Known
from openlumiere.diffusion.multidiffusion import Windows
from openlumiere.engine.base import LumierePipeline
from openlumiere.engine.run import OnStep
from openlumiere.tasks.prompts import parse_script, shares_of
from openlumiere.tasks.request import DEFAULT_FRAMES, Request

OVERLAP = 16  # native frames that windows of the base share: it decides where subjects are, so more than the paper's 2 (our choice)


def film(
    base: LumierePipeline,
    request: Request,
    windows: Windows | None = None,
    on_step: OnStep | None = None,
) -> UInt8[np.ndarray, "f h w 3"]:
    """All shots of a request, one after the other, at the base net's size; `windows` are
    `windows_at` its rate if not given.
    """
    first = shoot(base, request, request.prompt, request.seed, None, windows, on_step)
    if not request.shots:
        return first
    keyframe = first[len(first) // 2]
    later = (
        shoot(base, request, prompt, request.seed + number, keyframe, windows, on_step)
        for number, prompt in enumerate(request.shots, 1)
    )
    return np.concatenate([first, *later])


def shoot(
    base: LumierePipeline,
    request: Request,
    prompt: str,
    seed: int,
    keyframe: UInt8[np.ndarray, "h w 3"] | None = None,
    windows: Windows | None = None,
    on_step: OnStep | None = None,
) -> UInt8[np.ndarray, "f h w 3"]:
    """One shot, uncut. It begins after `keyframe`, a picture of another shot that is known to the
    net and not shown again.
    """
    lines, fps = parse_script(prompt), Fraction(request.fps)
    shares = shares_of(lines, request.frames, fps) if len(lines) > 1 else None
    frames, known = request.frames, None
    if keyframe is not None:
        frames, known = frames + 1, know_first(base, keyframe, frames + 1)
        shares = None if shares is None else torch.cat([shares[:, :1], shares], 1)
    made = base(
        [line.prompt for line in lines] if shares is not None else lines[0].prompt,
        request.negative,
        seeds=seed,
        shares=shares,
        num_frames=frames,
        frame_rate=fps,
        num_inference_steps=request.steps,
        guidance_scale=request.guidance,
        known=known,
        windows=windows or windows_at(fps),
        loop=request.loop,
        on_step=on_step,
    ).frames[0]
    return made[len(made) - request.frames :]


def know_first(base: LumierePipeline, picture: UInt8[np.ndarray, "h w 3"], frames: int) -> Known:
    """The picture as frame 0 of a clip of which nothing else is known."""
    pixels = rearrange(torch.from_numpy(picture.copy()), "h w c -> 1 c 1 h w") / 127.5 - 1
    coded = base.codec.encode(pixels)
    known = Known.nothing((1, coded.shape[1], frames, *coded.shape[3:]))
    known.content[:, :, :1], known.mask[:, :, :1] = coded, 1
    return known


def windows_at(fps: Fraction, batch: int = 1, part: Fraction = Fraction(1)) -> Windows:
    """Windows as long as the net was trained on, five seconds, at this rate; or a part of that,
    which takes less memory.
    """
    rate = part * fps / NATIVE_RATE
    frames, overlap = max(2, round(DEFAULT_FRAMES * rate)), max(1, round(OVERLAP * rate))
    return Windows(frames=frames, overlap=overlap, tapered=True, batch=batch)
