"""What is not made: three rules on prompts, by lists of words in five languages and by a guess,
under a policy that belongs to the user.

The rule on frames is in `safety/frames.py`.

A rule fires where every one of its groups of words is met: a child is fine, and so is a nude in a
museum. Each prompt is also read as it may be meant (`spellings`): words that were spelt so as not
to be read, apart, with digits, in letters of another script. What is harmless stays as it is, or
becomes something that no rule knows; each spelling is asked beside the prompt itself, never
instead of it.

What is said in other words is left to small nets over the states of the bundled text encoder
(`guess`; our choice). Each scores six things that a prompt may speak of (a minor, sex, a real
person, violence, something dangerous, making something), and a rule is met where all that it is
made of are: sex and a minor, but neither alone. Of a pair, one net looks at the mean state, the
other at each token's; three pairs, which were drawn differently, are averaged. They were trained on
prompts put together from lists in five languages (`benchmarks/screening_nets.py`); the encoder
knows about 100. `docs/trust.md` says how often either is right.
"""

from __future__ import annotations

import json
import logging
import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

from openlumiere.models.e5 import bundled_encoder
from openlumiere.settings import Policy

LOOKALIKES = str.maketrans(
    "авекмнорстухіѕјԁӏԛԝьɑıøđαβεηικνορτυχωγ",
    "abekmhopctyxisjdlqwbaiodabenikvoptuxwy",
)
DIGITS = str.maketrans("034578@$+69", "oeastbastbg")
ONE = "1!|"  # either an i or an l
UNITS = "yo|y|yr|yrs|th|st|nd|rd|s|k|d|fps|px|mm|cm|m|km|kg|g|h|x|ml|l|p|mp|x\\d+"
MEASURE = re.compile(rf"\d+({UNITS})?")
TOKEN = re.compile(r"[\w@$+|!]+")
APART = re.compile(r"(?<!\w)(?:\w[\s.\-_*·,/|]{1,2}){3,}\w(?!\w)")
BETWEEN = re.compile(r"[\s.\-_*·,/|]")
INSIDE = re.compile(r"(?<=\w)[.\-_*·'’]+(?=\w)")
MASKED = re.compile(r"\w*[*#]\w[\w*#]*|\w+[*#]+\w*")
REPEATED = re.compile(r"(\w)\1{2,}")
SHORTEST = 4  # letters of a word that is looked for inside a run without blanks


def plain(text: str) -> str:
    """Small letters without accents and invisible signs, one space between words."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    kept = (letter for letter in letters if unicodedata.category(letter) not in ("Mn", "Cf"))
    return " ".join("".join(kept).split())


def spellings(prompt: str, known: Collection[str]) -> list[str]:
    """What a prompt may be meant to say, `plain`, itself first; `known` are single words that are
    looked for where blanks or letters are missing.
    """
    first = plain(prompt)
    one_script = " ".join(_latin(token) for token in first.split())
    joined = _joined(one_script, known)
    shown = MASKED.sub(lambda mask: _unmasked(mask.group(), known), joined)
    digits = [_digits(shown, one) for one in "il"]
    calm = [REPEATED.sub(r"\1", text) for text in digits]
    closed = [INSIDE.sub("", text) for text in calm]
    return list(dict.fromkeys([first, one_script, joined, shown, *digits, *calm, *closed]))


def _latin(token: str) -> str:
    """A word that mixes scripts, or is all lookalikes, in Latin letters; others as they are."""
    changed = token.translate(LOOKALIKES)
    return changed if changed.isascii() else token


def _joined(text: str, known: Collection[str]) -> str:
    """Letters that stand apart, put together; known words in such a run get their blanks back."""
    return APART.sub(lambda run: _divided(BETWEEN.sub("", run.group()), known), text)


def _divided(run: str, known: Collection[str]) -> str:
    words = sorted((word for word in known if len(word) >= SHORTEST), key=len, reverse=True)
    inside = [word for word in words if word in run]
    if not inside:
        return run
    return re.sub("|".join(map(re.escape, inside)), lambda word: f" {word.group()} ", run).strip()


def _unmasked(token: str, known: Collection[str]) -> str:
    """`n*ked` as the first known word that fits."""
    fitting = re.compile(re.escape(token).replace(r"\*", r"\w").replace(r"\#", r"\w"))
    return next((word for word in known if fitting.fullmatch(word)), token)


def _digits(text: str, one: str) -> str:
    """Every word with digits for letters in letters; a 1 is the letter `one`."""
    return TOKEN.sub(lambda token: _letters(token.group(), one), text)


def _letters(token: str, one: str) -> str:
    """A word with digits for letters; sizes, ages and dates stay."""
    mixed = any(letter.isalpha() for letter in token) and not token.isalpha()
    if not mixed or MEASURE.fullmatch(token):
        return token
    inner = token.rstrip("!|")
    letters = inner.translate(DIGITS)
    return "".join(one if letter in ONE else letter for letter in letters)


FILE = Path(__file__).with_name("screen_nets.safetensors")
THINGS = ("minor", "sex", "person", "violence", "danger", "making")
GUESSED = ("minors", "people", "harm")
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
    return dict(zip(GUESSED, said.tolist(), strict=True))


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


RULES = Path(__file__).with_name("screen_rules.json")
ALWAYS = "minors"  # this rule can't be switched off

logger = logging.getLogger("openlumiere")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The rule that a prompt is against, and the words that it met; without any it was guessed."""

    rule: str
    words: tuple[str, ...] = ()

    @property
    def what(self) -> str:
        """What the rule is against, in words."""
        return rules()[self.rule]["what"]

    @property
    def final(self) -> bool:
        """No appeal is heard: a word of the rule on minors is met. A guess may be wrong."""
        return self.rule == ALWAYS and bool(self.words)


@lru_cache
def rules() -> dict[str, dict]:
    """The rules by name: what each is against, its groups of words, and phrases that are none."""
    return json.loads(RULES.read_text(encoding="utf-8"))


@lru_cache
def patterns(rule: str) -> tuple[re.Pattern, ...]:
    """A pattern for each group of a rule; `child*` is how a word begins."""
    return tuple(any_of(group) for group in rules()[rule]["groups"])


@lru_cache
def exceptions(rule: str) -> re.Pattern:
    """Phrases in which a rule's words mean something else: a naked mole rat, a bath bomb."""
    return any_of(rules()[rule]["except"])


def any_of(words: list[str]) -> re.Pattern:
    """What matches any of these words or phrases."""
    return re.compile("|".join(map(word_pattern, words)))


def word_pattern(word: str) -> str:
    """What matches one word or phrase; with a star, every word that begins so."""
    return r"\b" + re.escape(word.removesuffix("*")) + ("" if word.endswith("*") else r"\b")


@lru_cache
def single_words() -> tuple[str, ...]:
    """Every single word that a rule knows, for spellings without blanks."""
    groups = [group for rule in rules().values() for group in rule["groups"]]
    words = {word.removesuffix("*") for group in groups for word in group if " " not in word}
    return tuple(sorted(words))


def find(prompt: str) -> list[Finding]:
    """The rules that a prompt is against, each by its words, else by a guess."""
    meant = spellings(prompt, single_words())
    guessed = guess(prompt)
    found = []
    for rule in rules():
        words = next(filter(None, (met_words(rule, text) for text in meant)), ())
        if words or rule in guessed:
            found.append(Finding(rule=rule, words=words))
    return found


def met_words(rule: str, text: str) -> tuple[str, ...]:
    """The first word met of each group; none where a group has none."""
    text = exceptions(rule).sub(" ", text)
    met = [pattern.search(text) for pattern in patterns(rule)]
    return tuple(match.group() for match in met if match) if all(met) else ()


def check(*prompts: str, policy: Policy) -> None:
    """Refuse prompts, or log them, as the user's policy says.

    Raises ValueError, which names the rule and how to appeal.
    """
    for prompt in prompts:
        for finding in find(prompt):
            apply_policy(prompt, finding, policy)


def apply_policy(prompt: str, finding: Finding, policy: Policy) -> None:
    """On minors only `allow` is heard, for this very prompt."""
    if is_waived(prompt, finding, policy):
        return
    general = finding.rule != ALWAYS
    guessed = "" if finding.words else "; a guess"
    against = f"against the rule {finding.rule} ({finding.what}{guessed})"
    if policy.mode == "report" and general:
        logger.warning("%s, made all the same as %s says", against, policy.path)
        return
    allow = f", or allow it in {policy.path} (docs/trust.md, Screening)"
    appeal = "say it in other words" + ("" if finding.final else allow)
    raise ValueError(f"prompt: expected one that no rule is against, got one {against}, {appeal}")


def is_waived(prompt: str, finding: Finding, policy: Policy) -> bool:
    """Whether the policy allows the prompt, or waives the rule as a whole."""
    allowed = plain(prompt) in map(plain, policy.allow)
    if allowed and not finding.final:
        return True
    waived = policy.mode == "off" or finding.rule in policy.without
    return waived and finding.rule != ALWAYS
