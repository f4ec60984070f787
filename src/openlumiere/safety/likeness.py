"""Prompts that say in other words what a rule is against: near its sentences in the space of the
carried text encoder.

Our choice: the cosine similarity of the mean token state to the nearest of eight sentences a rule,
less that to the nearest harmless sentence. The encoder knows about 100 languages, so the sentences
are English. `docs/trust.md` says how often this is right.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

from openlumiere.models.e5 import bundled_encoder

SENTENCES = Path(__file__).with_name("screen_sentences.json")
DIRECTIONS = Path(__file__).with_name(
    "screen_directions.safetensors"
)  # of the sentences: `python benchmarks/screening.py write`
HARMLESS = "harmless"
THRESHOLD = 0.03  # our choice: about 1 % of harmless prompts are above it


@lru_cache
def sentences() -> dict[str, list[str]]:
    return json.loads(SENTENCES.read_text(encoding="utf-8"))


@lru_cache
def directions() -> dict[str, Float[Tensor, "n d"]]:
    """The directions of each rule's sentences, and of the harmless ones, kept because to encode
    them takes a second or two.
    """
    return {kind: rows.float() for kind, rows in load_file(DIRECTIONS).items()}


def encode_sentences() -> dict[str, Float[Tensor, "n d"]]:
    return {
        kind: torch.stack([direction(sentence) for sentence in said])
        for kind, said in sentences().items()
    }


@lru_cache
def direction(prompt: str) -> Float[Tensor, " d"]:
    """Of the mean token state; kept, for several clips of one prompt ask again."""
    return torch.nn.functional.normalize(bundled_encoder().hidden(prompt).mean(0), dim=0)


def nearness(prompt: str) -> dict[str, tuple[float, str]]:
    """The sentence of each rule that a prompt is nearest to, and how much nearer it is to that than
    to a harmless one: a difference of cosines.
    """
    said = direction(prompt)
    cosines = {kind: rows @ said for kind, rows in directions().items()}
    harmless = cosines.pop(HARMLESS).max()
    return {
        rule: ((near.max() - harmless).item(), sentences()[rule][int(near.argmax())])
        for rule, near in cosines.items()
    }


def find_near(prompt: str) -> dict[str, str]:
    """The rules that a prompt is near to, over the threshold, each with the sentence that it is
    like.
    """
    return {
        rule: sentence
        for rule, (nearer, sentence) in nearness(prompt).items()
        if nearer > THRESHOLD
    }
