"""Prompts that say in other words what a rule is against: near its sentences in the space of the carried text encoder.

Our choice: the cosine similarity of the mean token state to the nearest of eight sentences a rule, less that to the nearest harmless
sentence. The encoder knows about 100 languages, so the sentences are English. `docs/trust.md` says how often this is right.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from openlumiere.models.text import carried_encoder

SENTENCES = Path(__file__).with_name("screen_sentences.json")
HARMLESS = "harmless"
THRESHOLD = 0.045  # our choice: about 1 % of harmless prompts are above it


@lru_cache
def sentences() -> dict[str, list[str]]:
    return json.loads(SENTENCES.read_text(encoding="utf-8"))


@lru_cache
def directions() -> dict[str, Float[Tensor, "n d"]]:
    """The directions of each rule's sentences, and of the harmless ones."""
    return {kind: torch.stack([direction(sentence) for sentence in said]) for kind, said in sentences().items()}


def direction(prompt: str) -> Float[Tensor, " d"]:
    return torch.nn.functional.normalize(carried_encoder().hidden(prompt).mean(0), dim=0)


def nearness(prompt: str) -> dict[str, float]:
    """How much nearer a prompt is to a sentence of each rule than to a harmless one: a difference of cosines."""
    said = direction(prompt)
    nearest = {kind: (rows @ said).max().item() for kind, rows in directions().items()}
    return {kind: cosine - nearest[HARMLESS] for kind, cosine in nearest.items() if kind != HARMLESS}


def find_near(prompt: str) -> tuple[str, str] | None:
    """The rule that a prompt is nearest to and the sentence that it resembles, if it is over the threshold."""
    near = nearness(prompt)
    rule = max(near, key=near.get)
    if near[rule] <= THRESHOLD:
        return None
    return rule, sentences()[rule][int((directions()[rule] @ direction(prompt)).argmax())]
