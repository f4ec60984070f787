"""Text encoders behind one seam: prompts in, one state per token out.

Here are the CLIP and T5 encoders of published backbones; the bundled encoder is in `e5.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from openlumiere.models.codec import device_of

TOKENS = 77  # of a prompt, at most, in Stable Diffusion, SDXL and DeepFloyd IF


@dataclass(frozen=True, kw_only=True)
class TextStates:
    """Token states of some prompts, padded to the longest: states [b, n, d], mask [b, n], True = a
    real token.

    `pooled` [b, p] is a whole prompt in one vector, of towers that make one.
    """

    states: Float[Tensor, "b n d"]
    mask: Bool[Tensor, "b n"]
    pooled: Float[Tensor, "b p"] | None = None


def mean_state(states: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "b d"]:
    """A whole prompt in one vector, of encoders that make none: the mean state of its tokens."""
    share = mask[..., None].to(states)
    return (states * share).sum(1) / share.sum(1)


class TextEncoder(Protocol):
    """What turns prompts into token states of width `dim`; the empty prompt is unconditional."""

    dim: int

    def encode(self, prompts: list[str]) -> TextStates:
        """States of each prompt's tokens, padded to the longest."""


class TransformersTextEncoder:
    """A published picture model's own tokenizer and text tower (CLIP, T5) from `transformers`, run
    as diffusers' pipelines run it: its net sees padding, too. T5's is DeepFloyd IF's, which reads
    lower case.

    `states` picks which hidden states are used: "last", or "penultimate" (as SDXL does).
    """

    def __init__(self, tokenizer: Any, tower: Any, states: str = "last"):
        if states not in ("last", "penultimate"):
            raise ValueError(
                f"text states: expected 'last' or 'penultimate', got {states!r}, name one of them"
            )
        self.tokenizer = tokenizer
        self.tower = tower.eval().requires_grad_(False)
        self.which = states
        self.dim: int = tower.config.hidden_size

    @torch.no_grad()
    def encode(self, prompts: list[str]) -> TextStates:
        """States [b, n, d], padded to the tokenizer's own length or to 77."""
        # T5 needs the mask; CLIP towers are run without it.
        masked = self.tower.config.model_type in ("t5", "umt5", "mt5")
        tokens = self.tokenizer(
            [prompt.lower().strip() for prompt in prompts] if masked else prompts,
            padding="max_length",
            truncation=True,
            max_length=min(self.tokenizer.model_max_length, TOKENS),
            return_tensors="pt",
        ).to(self.tower.device)
        mask = tokens.attention_mask.bool()
        output = self.tower(
            tokens.input_ids, attention_mask=mask if masked else None, output_hidden_states=True
        )
        return TextStates(
            states=output.last_hidden_state if self.which == "last" else output.hidden_states[-2],
            mask=torch.ones_like(mask),
            pooled=getattr(output, "text_embeds", None),
        )


class PairedTextEncoder:
    """Two CLIP towers side by side, as in SDXL: penultimate states of both in one token, and the
    second's pooled prompt.

    `zero_empty`: the empty prompt is all zeros, as SDXL was trained (diffusers'
    `force_zeros_for_empty_prompt`). Raises ValueError for towers whose tokens don't pair up, or a
    second one that makes no pooled prompt.
    """

    def __init__(
        self,
        tokenizer: Any,
        tower: Any,
        tokenizer_2: Any,
        tower_2: Any,
        zero_empty: bool = True,
    ):
        self.first = TransformersTextEncoder(tokenizer, tower, states="penultimate")
        self.second = TransformersTextEncoder(tokenizer_2, tower_2, states="penultimate")
        if tokenizer.model_max_length != tokenizer_2.model_max_length:
            raise ValueError(
                "text encoder: expected two tokenizers of one length, got "
                f"{tokenizer.model_max_length} and {tokenizer_2.model_max_length}, "
                "give those of one model"
            )
        if not hasattr(tower_2, "text_projection"):
            raise ValueError(
                "text encoder: expected a CLIPTextModelWithProjection as the second, "
                f"got {type(tower_2).__name__}, swap the two"
            )
        self.zero_empty = zero_empty
        self.dim = self.first.dim + self.second.dim
        self.pooled_dim = tower_2.config.projection_dim

    def encode(self, prompts: list[str]) -> TextStates:
        """States [b, n, d1 + d2] and pooled [b, p]."""
        first = self.first.encode(prompts)
        second = self.second.encode(prompts)
        states = torch.cat([first.states, second.states.to(first.states)], dim=-1)
        assert second.pooled is not None, "a tower with a projection pools"
        kept = [bool(prompt) or not self.zero_empty for prompt in prompts]
        keep = torch.tensor(kept, device=states.device)
        return TextStates(
            states=states * keep[:, None, None],
            mask=first.mask,
            pooled=second.pooled * keep[:, None],
        )


@torch.no_grad()
def t5_states(
    tokenizer: Any,
    tower: Any,
    prompts: Sequence[str],
    length: int,
    *,
    masked: bool = True,
    zero_empty: bool = False,
) -> TextStates:
    """States of `length` tokens a prompt, longer ones cut, and the mask of real tokens, as video
    models ask a T5 for them.

    T5 itself is run under the mask if `masked`. `zero_empty`: an empty prompt is all padding, none
    of it real.
    """
    asked = tokenizer(
        list(prompts),
        padding="max_length",
        max_length=length,
        truncation=True,
        return_tensors="pt",
    ).to(device_of(tower))
    kept = torch.tensor([bool(prompt) or not zero_empty for prompt in prompts])
    kept = kept.to(asked.input_ids)[:, None]
    mask = (asked.attention_mask * kept).bool()
    states = tower(asked.input_ids * kept, attention_mask=mask if masked else None)
    return TextStates(states=states.last_hidden_state, mask=mask)
