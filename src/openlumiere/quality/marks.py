"""How often the mark in the pixels is found and read after attacks, and how often it is seen where
it is not.

A row a clip and attack is written as soon as it is measured, so a run that is stopped goes on where
it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from math import erfc, exp
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from openlumiere.provenance.pattern import PUBLIC_KEY, SYNC, scale_of, spectrum
from openlumiere.provenance.payload import Payload
from openlumiere.provenance.residual import LUMA, SLOW, box_mean, residuals, shrink
from openlumiere.provenance.watermark import Detection, bounded, detect, embed
from openlumiere.quality.attacks import ATTACKS, WINNING, Attack
from openlumiere.quality.metrics import psnr
from openlumiere.quality.rates import Rate

CLEAN = "clean"
SUBTRACTED = "the average of 40 marked clips subtracted"
FORGED = "footage that is not ours, marked with the public key"
WINNING_CLIPS = 8
KEYS_AT_ONCE = 20_000

Frames = UInt8[np.ndarray, "_ _ _ 3"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One clip after one attack. `clip` names it; `payload`: read and right; `psnr` in dB, of the
    mark before the attack.
    """

    clip: str
    attack: str
    p_value: float
    score: float
    found: bool
    payload: bool
    psnr: float | None = None


def payload_of(clip: str) -> Payload:
    """A payload of its own for every clip of the table."""
    return Payload.of(hashlib.sha256(b"evaluate marks").hexdigest(), clip)


def cells(clips: list[str], passes: int) -> Iterator[tuple[str, str]]:
    """What to measure, in order: every clip unattacked, and in each pass one attack a clip, so that
    every attack meets its share of the clips and after as many passes as there are attacks all of
    them. A few clips meet the winning attacks.
    """
    names = list(ATTACKS)
    for turn in range(max(1, passes)):
        for place, clip in enumerate(clips):
            yield from [(clip, CLEAN)] * (turn == 0)
            yield from [(clip, names[(place + turn) % len(names)])] * (passes > 0)
    yield from ((clip, name) for name in WINNING for clip in clips[:WINNING_CLIPS])


def measure(
    clip: str, attack: str, frames: Frames, marked: bool = True, key: bytes = PUBLIC_KEY
) -> Row:
    """Mark, attack, detect; not `marked`: attack and detect."""
    said = payload_of(clip)
    sent = embed(frames, said, key) if marked else frames
    change: Attack = {CLEAN: lambda frames, draw: frames, **ATTACKS, **WINNING}[attack]
    draw = np.random.default_rng(
        int.from_bytes(hashlib.sha256(f"{clip} {attack}".encode()).digest()[:8], "big")
    )
    seen = detect(change(sent, draw), key)
    return row_of(clip, attack, seen, psnr(frames, sent) if marked else None)


def row_of(clip: str, attack: str, seen: Detection, ratio: float | None = None) -> Row:
    """What was detected in an attacked clip; `ratio` is the PSNR of its mark, in dB."""
    return Row(
        clip=clip,
        attack=attack,
        p_value=seen.p_value,
        score=seen.score,
        found=seen.found,
        payload=seen.payload == payload_of(clip),
        psnr=ratio,
    )


def average(clips: Iterable[Frames]) -> Float[np.ndarray, "h w"]:
    """What the first frames of clips share, beside their slow parts: an estimate of the mark by
    someone without the key.
    """
    return np.mean(
        [clip[0] @ LUMA - box_mean(box_mean(clip[0] @ LUMA, SLOW), SLOW) for clip in clips], axis=0
    )


def subtracted(clip: str, frames: Frames, estimate: Float[np.ndarray, "h w"]) -> Row:
    """Mark a clip, take the estimate away, detect."""
    cleaned = np.clip(
        np.rint(embed(frames, payload_of(clip)) - estimate[:, :, None]), 0, 255
    ).astype(np.uint8)
    return row_of(clip, SUBTRACTED, detect(cleaned))


def read_rows(path: Path) -> list[Row]:
    """Rows measured so far, one a clip and attack, without one that a kill cut off (and the next,
    which went on in its line).
    """
    rows = {}
    for line in path.read_text().splitlines() if path.is_file() else []:
        with contextlib.suppress(json.JSONDecodeError):
            row = Row(**json.loads(line))
            rows[row.clip, row.attack] = row
    return list(rows.values())


def append(path: Path, row: Row) -> None:
    """Add a row to a file."""
    with path.open("a") as file:
        file.write(json.dumps(asdict(row)) + "\n")


def summary(rows: Iterable[Row]) -> dict[str, dict]:
    """For each attack: clips, how many were found and read, the mean score and that of the worst
    tenth.
    """
    by_attack = defaultdict(list)
    for row in rows:
        by_attack[row.attack].append(row)
    order = (CLEAN, *ATTACKS, *WINNING, SUBTRACTED, FORGED)
    return {name: _figures(by_attack[name]) for name in order if name in by_attack}


def _figures(rows: list[Row]) -> dict:
    scores = np.sort([row.score for row in rows])
    return {
        "clips": len(rows),
        "found": sum(row.found for row in rows),
        "read": sum(row.payload for row in rows),
        "wrong": sum(row.found and not row.payload for row in rows),
        "score": float(scores.mean()),
        "score_worst_tenth": float(scores[: max(1, len(scores) // 10)].mean()),
        "p_smallest": min(row.p_value for row in rows),
    }


def table(found: dict[str, dict]) -> str:
    """Markdown, an attack a row."""
    lines = [
        "| attack | clips | found at 1e-6 | payload read | score, mean | worst tenth |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in found.items():
        hits, reads = Rate(one["found"], one["clips"]), Rate(one["read"], one["clips"])
        lines.append(
            f"| {name} | {one['clips']} | {hits} | {reads} | {one['score']:.1f} |"
            f" {one['score_worst_tenth']:.1f} |"
        )
    return "\n".join(lines)


def synthetic(count: int, seed: int = 0) -> Iterator[tuple[str, Frames]]:
    """Windows without content of any kind, and periodic ones: plain, black, noise, stripes and
    checks in random sizes and colours.
    """
    draw = np.random.default_rng(seed)
    down, across = np.mgrid[:256, :256]
    for index in range(count):
        kind = ("plain", "black", "noise", "stripes", "checks")[index % 5]
        a, b, side = draw.integers(0, 256, 3), draw.integers(0, 256, 3), int(draw.integers(3, 20))
        where = {"stripes": across // side % 2, "checks": (across // side + down // side) % 2}.get(
            kind, 0 * down
        )
        picture = np.where(where[..., None], a, b if kind != "black" else 0 * b)
        if kind == "noise":
            picture = draw.integers(0, 256, (256, 256, 3))
        yield f"{kind} {index}", np.repeat(picture[None].astype(np.uint8), 16, axis=0)


def null_scores(frames: Frames, keys: int, seed: int) -> Float[np.ndarray, "keys"]:
    """Scores of one clip as written under `keys` keys drawn at random: unmarked footage knows none
    of them.
    """
    left = residuals(frames).mean(0, keepdims=True)
    waves = bounded(
        spectrum(left, scale_of(*frames.shape[1:3]) / shrink(*frames.shape[1:3]))[0, SYNC]
    )
    waves = waves / np.sqrt((np.abs(waves) ** 2).sum() / 2 + 1e-9)
    draw, scores = np.random.default_rng(seed), []
    for first in range(0, keys, KEYS_AT_ONCE):
        angles = draw.random(
            (min(KEYS_AT_ONCE, keys - first), len(waves)), np.float32
        ) * np.float32(2 * np.pi)
        scores.append(
            np.cos(angles) @ waves.real.astype(np.float32)
            + np.sin(angles) @ waves.imag.astype(np.float32)
        )
    return np.concatenate(scores)


def tail(scores: Float[np.ndarray, "keys"]) -> list[dict]:
    """How often the null reaches z: counted, under the normal law, and Chernoff's bound, which is
    what p-values use.
    """
    return [
        {
            "z": z,
            "keys": len(scores),
            "reached": int((scores >= z).sum()),
            "normal": erfc(z / 2**0.5) / 2,
            "bound": exp(-z * z / 2),
        }
        for z in (1, 2, 3, 4, 5)
    ]
