"""Train the two nets that guess what a prompt is against (`safety/prompts.py`).

    python benchmarks/screening_nets.py             # some minutes of CPU; writes the bundled file

The prompts are put together from the lists in `tests/safety/screen_train.json`: who does what, in
five languages, with what follows for each of six things and three rules.
"""

import csv
import json
import random
from pathlib import Path

import torch
from safetensors.torch import save_file

from openlumiere.models.e5 import bundled_encoder
from openlumiere.safety import classifier
from openlumiere.safety.prompts import FILE, GUESSED, THINGS

LISTS = Path(__file__).parents[1] / "tests/safety/screen_train.json"
DEVELOPMENT = ("prompts.csv", "prompts_unseen.csv", "prompts_idioms.csv", "prompts_scouts.csv")
SEEDS = 3  # nets of each kind, which err differently
LANGUAGES = ("en", "it", "es", "fr", "de")
DOERS = {"minor": "minor", "adult": None, "person": "person"}
DEEDS = {"sexual": "sex", "violent": "violence", "innocent": None}
HIDDEN = 64
EPOCHS = 10
RATE = 2e-3
DROPPED = 0.3
UNKNOWN = -1.0
Example = tuple[str, dict[str, float], tuple[float, ...]]


def examples(lists: dict, draw: random.Random) -> list[Example]:
    """Prompts with the things they speak of (some unknown) and the rules they are against."""
    made = [example for language in LANGUAGES for example in of_language(lists, language, draw)]
    harm = {"minor": 0.0, "sex": 0.0, "danger": 1.0, "making": 1.0}
    made += [(text, harm, (0.0, 0.0, 1.0)) for text in lists["harm"]] * 3
    made += [(text, {}, (0.0, 0.0, 0.0)) for text in lists["harmless"]] * 3
    return made + development() * 2


def development() -> list[Example]:
    """The tables of prompts that were in sight when words and lists were chosen."""
    made = []
    for name in DEVELOPMENT:
        with open(LISTS.with_name(name), encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                against = tuple(float(rule == row["kind"]) for rule in GUESSED)
                made.append(
                    (row["prompt"], {}, against if row["expected"] == "refuse" else (0.0,) * 3)
                )
    return made


def of_language(lists: dict, language: str, draw: random.Random) -> list[Example]:
    """Who does what, and what is made or told of, in one language."""
    often = 200 if language == "en" else 80
    made = []
    for doer, thing in DOERS.items():
        for deed, other in DEEDS.items():
            for _ in range(often if other else int(often * 1.6)):
                text = f"{draw.choice(lists[doer][language])} {draw.choice(lists[deed][language])}"
                said = {name: float(name in (thing, other)) for name in THINGS}
                against = (
                    float(thing == "minor" and other == "sex"),
                    float(thing == "person" and other is not None),
                    0.0,
                )
                made.append((beside(text, lists, draw), said, against))
    for frame, making in (("making", 1.0), ("told", 0.0)):
        for sentence in lists[frame][language]:
            for kind, danger in (("danger", 1.0), ("safe thing", 0.0)):
                for _ in range(7):
                    text = sentence.format(draw.choice(lists[kind][language]))
                    said = {"minor": 0.0, "sex": 0.0, "danger": danger, "making": making}
                    made.append((text, said, (0.0, 0.0, danger * making)))
    return made


def beside(text: str, lists: dict, draw: random.Random) -> str:
    """One prompt in seven has a harmless sentence before or after it."""
    if draw.random() > 1 / 7:
        return text
    other = draw.choice(lists["harmless"])
    return draw.choice([f"{text}, {other}", f"{other}, {text}"])


def new_nets(width: int) -> dict[str, torch.Tensor]:
    """Weights as `classifier.rule_scores` reads them, drawn anew."""
    things, rules = len(THINGS), len(GUESSED)
    layers = {
        "whole.in": (width, HIDDEN),
        "whole.things": (HIDDEN, things),
        "whole.rules": (HIDDEN, rules),
        "token.in": (width, HIDDEN),
        "token.things": (HIDDEN, things),
        "token.whole": (width, things),
    }
    weights = {}
    for name, (inputs, outputs) in layers.items():
        layer = torch.nn.Linear(inputs, outputs)
        weights |= {f"{name}.weight": layer.weight, f"{name}.bias": layer.bias}
    return weights


def loss_of(
    states: list[torch.Tensor], said: torch.Tensor, against: torch.Tensor, weights
) -> torch.Tensor:
    """Both nets' errors on things that are known and, twice as heavy, on rules."""
    error = torch.nn.functional.binary_cross_entropy_with_logits
    known = said >= 0
    drop = torch.nn.functional.dropout
    lengths = [len(each) for each in states]
    together = torch.cat([drop(each, DROPPED) for each in states])
    whole = torch.stack([drop(each.mean(0), DROPPED) for each in states])
    hidden = classifier.layer(whole, "whole.in", weights).relu()
    by_whole = classifier.layer(hidden, "whole.things", weights)
    direct = classifier.layer(hidden, "whole.rules", weights)
    tokens = classifier.layer(
        classifier.layer(together, "token.in", weights).relu(), "token.things", weights
    )
    sharp = classifier.SHARPNESS
    loudest = torch.stack(
        [torch.logsumexp(part * sharp, 0) / sharp for part in tokens.split(lengths)]
    )
    by_token = loudest + classifier.layer(whole, "token.whole", weights)
    total = 2 * error(direct, against)
    for things in (by_whole, by_token):
        total = total + error(things[known], said[known])
        total = total + 2 * error(classifier.rules_of(things), against)
    return total


def train(made: list[Example], states: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of all nets, and mean and deviation of a token's state."""
    every = torch.cat([states[text].float() for text, _, _ in made])
    mean, deviation = every.mean(0), every.std(0)
    inputs = [(states[text].float() - mean) / deviation for text, _, _ in made]
    said = torch.tensor([[things.get(name, UNKNOWN) for name in THINGS] for _, things, _ in made])
    against = torch.tensor([rules for _, _, rules in made])
    kept = {"mean": mean, "deviation": deviation}
    for seed in range(SEEDS):
        weights = train_one(inputs, said, against, seed)
        kept |= {f"{seed}.{name}": value for name, value in weights.items()}
    return kept


def train_one(
    inputs: list[torch.Tensor], said: torch.Tensor, against: torch.Tensor, seed: int
) -> dict[str, torch.Tensor]:
    """The weights of one pair of nets."""
    torch.manual_seed(seed)
    weights = new_nets(inputs[0].shape[1])
    step = torch.optim.AdamW(weights.values(), lr=RATE, weight_decay=1e-2)
    for epoch in range(EPOCHS):
        step.param_groups[0]["lr"] = RATE * (1 - epoch / EPOCHS)
        for rows in torch.randperm(len(inputs)).split(64):
            loss = loss_of([inputs[row] for row in rows], said[rows], against[rows], weights)
            step.zero_grad()
            loss.backward()
            step.step()
    return {name: value.detach() for name, value in weights.items()}


def main() -> None:
    lists = json.loads(LISTS.read_text(encoding="utf-8"))
    made = examples(lists, random.Random(0))
    encoder = bundled_encoder()
    with torch.no_grad():
        states = {text: encoder.hidden(text) for text in {text for text, _, _ in made}}
    save_file(
        {name: value.half().contiguous() for name, value in train(made, states).items()}, FILE
    )


if __name__ == "__main__":
    main()
