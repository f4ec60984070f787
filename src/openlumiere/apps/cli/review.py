"""What was made is looked at before it is written: findings are said, recorded, and refused where
`--strict` asks for that.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from openlumiere.apps.cli import NotWritten
from openlumiere.engine.finish import Provenance
from openlumiere.quality.viewing import Finding, find
from openlumiere.tasks import Generate, Task

if TYPE_CHECKING:
    from openlumiere.media import Clip

MOST_SAID = 5
log = logging.getLogger("openlumiere")


def reviewed(made: Clip, task: Task | None = None, strict: bool = False) -> Clip:
    """The clip with what was found in its record; each finding is logged, the first five in words.

    A finding that the clip or picture given to the (open) task already has is said, and not
    refused. Raises NotWritten for the others where it is `strict`.
    """
    found = find(made, cuts_of(task))
    given = given_to(task)
    before = find(given) if found and given is not None else []
    for finding in found[:MOST_SAID]:
        known = " (what was given has it, too)" if was_there(finding, before) else ""
        log.warning("found in what was made: %s%s", finding.at(made.fps), known)
    if len(found) > MOST_SAID:
        log.warning("found in what was made: %d more", len(found) - MOST_SAID)
    ours = [finding for finding in found if not was_there(finding, before)]
    if strict and ours:
        more = f" and {len(ours) - 1} more" if len(ours) > 1 else ""
        raise NotWritten(
            f"strict: expected no finding, got {ours[0].at(made.fps)}{more}, "
            "try another seed, or leave out --strict"
        )
    if not isinstance(made.origin, Provenance):
        return made
    said = tuple(finding.at(made.fps) for finding in found)
    return replace(made, origin=replace(made.origin, findings=said))


def cuts_of(task: Task | None) -> Collection[int]:
    """The frames at which the second and later shots begin."""
    if not isinstance(task, Generate):
        return ()
    count = task.length.count
    return [count * number for number in range(1, 1 + len(task.shots))]


def given_to(task: Task | None) -> Clip | None:
    """The clip that an open task changes, or the picture that it begins with, where there is
    one.
    """
    named = task.media() if task is not None else {}
    media = named.get("clip", named.get("image"))
    clip: Clip | None = getattr(media.content, "clip", None) if media is not None else None
    return clip


def was_there(finding: Finding, before: list[Finding]) -> bool:
    """Whether one of the same kind was found in overlapping frames."""
    return any(
        each.kind == finding.kind and each.first <= finding.last and finding.first <= each.last
        for each in before
    )
