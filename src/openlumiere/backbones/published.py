"""What published video models have in common: a net, a process and a codec, prompts as token
states, and an estimate of a pass by the number of tokens. A family's file says the rest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from openlumiere.contract import Codec, Condition, Known, Process, Reads
from openlumiere.models.codec import device_of
from openlumiere.models.text import TextStates

GIVEN = "given"
"""The name, among a condition's values over frames, of what is known as the net itself reads it."""
POOLED = "pooled"
"""The name, among what is whole, of a prompt in one vector, of encoders that make one."""
STATES = 16  # tensors of a token's width that are alive at once, an estimate


@dataclass(frozen=True, kw_only=True)
class PublishedBackbone(ABC):
    """A published net, as a rule a transformer, with its process and codec."""

    net: Any
    process: Process
    codec: Codec
    sparse: None = None

    @property
    def reads(self) -> Reads:
        """Text alone."""
        return Reads()

    @property
    def device(self) -> torch.device:
        """Where the net lies."""
        return device_of(self.net)

    @property
    def places(self) -> int:
        """Coded places that share a token."""
        return 1

    @abstractmethod
    def text_states(self, prompts: list[str]) -> TextStates:
        """Token states as the net was trained on them."""

    def condition(
        self,
        prompts: Sequence[str],
        *,
        frames: int,
        height: int,
        width: int,
        frame_times: Float[Tensor, " f"] | None = None,
        known: Known | None = None,
    ) -> Condition:
        """Token states with their mask; these nets know no other rate than their own, so frame
        times are left out.
        """
        text = self.text_states(list(prompts))
        whole = {} if text.pooled is None else {POOLED: text.pooled}
        condition = Condition(text=text.states, text_mask=text.mask, known=known, whole=whole)
        return condition.to(self.device)

    def bytes_for(self, shape: Sequence[int]) -> int:
        """What one pass takes beside the weights: mostly states of the tokens."""
        batch, _, *grid = shape
        width: int = self.net.config.num_attention_heads * self.net.config.attention_head_dim
        number: int = self.net.dtype.itemsize
        return STATES * number * batch * prod(grid) // self.places * width
