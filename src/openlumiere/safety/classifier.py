"""Prompts that say in other words what a rule is against: a guess by small nets over the states of
the bundled text encoder.

Our choice. Each net scores six things that a prompt may speak of (a minor, sex, a real person,
violence, something dangerous, making something), and a rule is met where all that it is made of
are: sex and a minor, but neither alone. Of a pair, one net looks at the mean state, the other at
each token's; three pairs, which were drawn differently, are averaged. They were trained on prompts
put together from lists in five languages (`benchmarks/screening_nets.py`); the encoder knows about
100. `docs/trust.md` says how often they are right.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

from openlumiere.models.e5 import bundled_encoder

FILE = Path(__file__).with_name("screen_nets.safetensors")
THINGS = ("minor", "sex", "person", "violence", "danger", "making")
RULES = ("minors", "people", "harm")
THRESHOLDS = {"minors": 2.0, "people": 2.0, "harm": 2.0}  # of 1 % harmless prompts
CLAUSE_END = re.compile(r"[,.;:|!?\n]+")
MOST_CLAUSES = 32  # looked at by themselves
SHARPNESS = 2.0  # of the soft maximum over tokens

Weights = dict[str, Float[Tensor, "..."]]


def guess(prompt: str) -> set[str]:
    """The rules that a prompt is likely against."""
    return {rule for rule, score in scores(prompt).items() if score > THRESHOLDS[rule]}


def scores(prompt: str) -> dict[str, float]:
    """How sure it is that a prompt is against each rule: log odds, about 0 where undecided.

    Of the whole and of each clause the worst, for harmless neighbours dilute what stands between.
    """
    said = torch.stack([scores_of(part) for part in (prompt, *clauses(prompt))]).amax(0)
    return dict(zip(RULES, said.tolist(), strict=True))


def clauses(prompt: str) -> list[str]:
    """The parts of a prompt between its commas and stops; none where there is but one."""
    parts = [part.strip() for part in CLAUSE_END.split(prompt) if part.strip()]
    return parts[:MOST_CLAUSES] if len(parts) > 1 else []


@lru_cache(maxsize=256)
def scores_of(text: str) -> Float[Tensor, " rules"]:
    """The mean of what all pairs of nets say; kept, for several clips of one prompt ask again."""
    norm, pairs = nets()
    states = (bundled_encoder().hidden(text) - norm["mean"]) / norm["deviation"]
    return torch.stack([rule_scores(states, weights) for weights in pairs]).mean(0)


@lru_cache(maxsize=1)
def nets() -> tuple[Weights, list[Weights]]:
    """Mean and deviation of a token's state, and the weights of each pair of nets."""
    kept = {name: value.float() for name, value in load_file(FILE).items()}
    norm = {name: kept.pop(name) for name in ("mean", "deviation")}
    seeds = sorted({name.partition(".")[0] for name in kept})
    pairs = [
        {name.partition(".")[2]: kept[name] for name in kept if name.startswith(f"{seed}.")}
        for seed in seeds
    ]
    return norm, pairs


def rule_scores(states: Float[Tensor, "n d"], weights: Weights) -> Float[Tensor, "rules"]:
    """The mean of what both nets say of some token states."""
    whole = states.mean(0)
    hidden = layer(whole, "whole.in", weights).relu()
    by_whole = (
        rules_of(layer(hidden, "whole.things", weights)) + layer(hidden, "whole.rules", weights)
    ) / 2
    tokens = layer(layer(states, "token.in", weights).relu(), "token.things", weights)
    loudest = torch.logsumexp(tokens * SHARPNESS, 0) / SHARPNESS
    by_token = rules_of(loudest + layer(whole, "token.whole", weights))
    return (by_whole + by_token) / 2


def layer(inputs: Float[Tensor, "*n d"], name: str, weights: Weights) -> Float[Tensor, "*n o"]:
    """One linear layer of the file."""
    return torch.nn.functional.linear(inputs, weights[f"{name}.weight"], weights[f"{name}.bias"])


def rules_of(things: Float[Tensor, "*n things"]) -> Float[Tensor, "*n rules"]:
    """Each rule's score: that of the least of what it is made of."""
    minor, sex, person, violence, danger, making = things.unbind(-1)
    people = torch.minimum(person, torch.maximum(sex, violence))
    return torch.stack([torch.minimum(minor, sex), people, torch.minimum(danger, making)], -1)
