"""What is not made: three rules on prompts, by lists of words in five languages and by a guess,
under a policy that belongs to the user.

The rule on frames is in `safety/frames.py`.

A rule fires where every one of its groups of words is met: a child is fine, and so is a nude in a
museum. Each prompt is also read as it may be meant (`safety/spelling.py`). What is said in other
words is left to a small classifier (`safety/classifier.py`). `docs/trust.md` says how often either
is right.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from openlumiere.safety.classifier import guess
from openlumiere.safety.spelling import plain, spellings
from openlumiere.settings import Policy

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
