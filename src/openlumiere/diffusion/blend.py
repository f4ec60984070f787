"""Prompt schedules: several prompts in one clip, each for its share of the frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from openlumiere.contract import Condition, Denoiser, Level

SHARES = "shares"
"""The name, among a condition's values over frames, of the prompts' weights at each place:
`[b, k, f, h, w]`; windows cut it with the noisy clip.
"""


def blend_prompts(denoiser: Denoiser, prompts: Sequence[Condition]) -> Denoiser:
    """`denoiser` under each prompt where the condition's shares give it weight; the predictions are
    averaged by these weights.

    Our choice: the exact solution of the least-squares problem of MultiDiffusion with one region a
    prompt (Bar-Tal et al. 2023, section 4.2), as windows are. A window that one prompt fills costs
    one pass. Put it inside `multidiffuse`, outside guidance. Prompts are of one clip. Raises
    ValueError for weights of another number of prompts.
    """

    def denoise(noisy: Tensor, level: Level, condition: Condition) -> Tensor:
        shares = condition.over_frames.get(SHARES)
        if shares is None or shares.shape[1] != len(prompts):
            got = "none" if shares is None else shares.shape[1]
            raise ValueError(
                f"shares: expected weights for {len(prompts)} prompts, got {got}, "
                "give one row a prompt"
            )
        rest = condition.without(SHARES)
        pairs = zip(shares.split(1, 1), prompts, strict=True)
        parts = [(share, prompt) for share, prompt in pairs if share.any()]
        if len(parts) == 1:
            return denoiser(noisy, level, with_prompt(rest, parts[0][1]))
        total = torch.cat([share for share, _ in parts], 1).sum(1, keepdim=True)
        weighted = (
            share / total * denoiser(noisy, level, with_prompt(rest, prompt))
            for share, prompt in parts
        )
        return sum(weighted, torch.zeros(()).to(noisy))

    return denoise


def with_prompt(condition: Condition, prompt: Condition) -> Condition:
    """The condition of the same clips under another prompt."""
    prompt = prompt.repeat(condition.batch).to(condition.text.device, condition.text.dtype)
    return replace(
        condition,
        text=prompt.text,
        text_mask=prompt.text_mask,
        whole={**condition.whole, **prompt.whole},
    )


def spread(shares: Float[Tensor, "k f"], height: int, width: int) -> Float[Tensor, "1 k f h w"]:
    """Weights of frames as weights of places, without memory for them."""
    return shares[None, :, :, None, None].expand(-1, -1, -1, height, width)
