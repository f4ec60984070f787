"""What is not made: three rules on prompts, by lists of words in five languages and by likeness,
under a policy that belongs to the user.

The rule on frames is in `safety/frames.py`.

A rule fires where every one of its groups of words is met: a child is fine, and so is a nude in a
museum. What is said in other words is held against the rule's sentences (`safety/likeness.py`).
`docs/trust.md` says how often either is right.
"""

from __future__ import annotations

import json
import os
import re
import sys
import unicodedata
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path

from openlumiere.provenance.certificate import config_folder
from openlumiere.safety.likeness import find_near

RULES = Path(__file__).with_name("screen_rules.json")
POLICY = "OPENLUMIERE_POLICY"  # a policy file elsewhere
FILE = "policy.json"
MODES = ("refuse", "report", "off")
ALWAYS = "minors"  # this rule can't be switched off


@dataclass(frozen=True, kw_only=True)
class Policy:
    """`mode`: refuse, report (one line on stderr, and go on) or off; `without`: rules that do not
    apply here; `allow`: prompts, word by word, and pictures, by the number that their refusal
    names, that are fine after all; `frames`: whether frames are looked at (None: where the extra
    `screen` is installed). None of these reaches the words of the rule on minors.
    """

    mode: str = "refuse"
    without: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    frames: bool | None = None
    path: Path = field(default_factory=lambda: policy_path())


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The rule that a prompt is against, and the words that it met; without any, the sentence that
    it is like.
    """

    rule: str
    words: tuple[str, ...] = ()
    like: str = ""

    @property
    def what(self) -> str:
        return rules()[self.rule]["what"]

    @property
    def final(self) -> bool:
        """No appeal is heard: a word of the rule on minors is met. Likeness is a guess."""
        return self.rule == ALWAYS and bool(self.words)


def policy_path() -> Path:
    return Path(os.environ.get(POLICY) or config_folder() / FILE)


def read_policy() -> Policy:
    """The user's policy, or the default where there is no file. Raises ValueError for a file that
    can't be understood.
    """
    path = policy_path()
    if not path.is_file():
        return Policy(path=path)
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        lists = {name: tuple(told.get(name, ())) for name in ("without", "allow")}
        policy = Policy(
            mode=told.get("mode", "refuse"), frames=told.get("frames"), **lists, path=path
        )
        unknown = set(told) - {each.name for each in fields(Policy)} | set(policy.without) - set(
            rules()
        )
        if policy.mode not in MODES or policy.frames not in (None, True, False) or unknown:
            raise ValueError(
                ", ".join(map(str, unknown)) or f"{policy.mode!r} and {policy.frames!r}"
            )
    except (OSError, ValueError, TypeError, AttributeError) as error:
        known = f"mode ({', '.join(MODES)}), without (of {', '.join(rules())}), allow and frames (true or false)"
        raise ValueError(f"policy: expected {known}, got {error}, mend {path}") from None
    return policy


@lru_cache
def rules() -> dict[str, dict]:
    return json.loads(RULES.read_text(encoding="utf-8"))


@lru_cache
def patterns(rule: str) -> tuple[re.Pattern, ...]:
    """A pattern for each group of a rule; `child*` is how a word begins."""
    return tuple(
        re.compile("|".join(map(word_pattern, group))) for group in rules()[rule]["groups"]
    )


def word_pattern(word: str) -> str:
    return r"\b" + re.escape(word.removesuffix("*")) + ("" if word.endswith("*") else r"\b")


def plain(text: str) -> str:
    """Small letters without accents, one space between words."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return " ".join(
        "".join(letter for letter in letters if not unicodedata.combining(letter)).split()
    )


def find(prompt: str) -> list[Finding]:
    """The rules that a prompt is against, each by its words, else by what it is like."""
    near = find_near(prompt)
    met = [find_words(rule, prompt) or find_likeness(rule, near) for rule in rules()]
    return [finding for finding in met if finding is not None]


def find_words(rule: str, prompt: str) -> Finding | None:
    """Whether every group of a rule's words is met."""
    text = plain(prompt)
    met = [pattern.search(text) for pattern in patterns(rule)]
    return Finding(rule=rule, words=tuple(match.group() for match in met)) if all(met) else None


def find_likeness(rule: str, near: dict[str, str]) -> Finding | None:
    return Finding(rule=rule, like=near[rule]) if rule in near else None


def check(*prompts: str) -> None:
    """Refuse prompts, or report them, as the user's policy says. Raises ValueError, which names the
    rule and how to appeal.
    """
    for prompt in prompts:
        for finding in find(prompt):
            apply_policy(prompt, finding)


def apply_policy(prompt: str, finding: Finding) -> None:
    """On minors only `allow` is heard, for this very prompt."""
    policy = read_policy()
    general = finding.rule != ALWAYS  # what the policy says of a whole rule is heard
    allowed = plain(prompt) in map(plain, policy.allow) and not finding.final
    if allowed or (general and (policy.mode == "off" or finding.rule in policy.without)):
        return
    like = f"; it is like: {finding.like}" if finding.like and general else ""
    against = f"against the rule {finding.rule} ({finding.what}{like})"
    if policy.mode == "report" and general:
        print(f"lumiere: {against}, made all the same as {policy.path} says", file=sys.stderr)
        return
    appeal = "say it in other words" + (
        "" if finding.final else f", or allow it in {policy.path} (docs/trust.md, Screening)"
    )
    raise ValueError(f"prompt: expected one that no rule is against, got one {against}, {appeal}")
