"""What is not made: three rules on prompts, by lists of words in five languages and by likeness,
under a policy that belongs to the user.

The rule on frames is in `safety/frames.py`.

A rule fires where every one of its groups of words is met: a child is fine, and so is a nude in a
museum. What is said in other words is held against the rule's sentences (`safety/likeness.py`).
`docs/trust.md` says how often either is right.
"""

from __future__ import annotations

import json
import logging
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from openlumiere.safety.likeness import find_near
from openlumiere.settings import Policy

RULES = Path(__file__).with_name("screen_rules.json")
ALWAYS = "minors"  # this rule can't be switched off

logger = logging.getLogger("openlumiere")


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
    words = tuple(match.group() for match in met if match is not None)
    return Finding(rule=rule, words=words) if len(words) == len(met) else None


def find_likeness(rule: str, near: dict[str, str]) -> Finding | None:
    return Finding(rule=rule, like=near[rule]) if rule in near else None


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
    like = f"; it is like: {finding.like}" if finding.like and general else ""
    against = f"against the rule {finding.rule} ({finding.what}{like})"
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
