"""What ingestion is asked for: frozen values, saved as JSON with the shards they made."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from typing import Literal, get_args

RULES = ("short", "still", "dark", "slideshow", "text", "logo", "duplicate")
DROPPED = ("short", "still", "dark", "slideshow", "duplicate")
Fit = Literal["crop", "letterbox"]
Picture = Literal["webp", "webp-lossless", "npz"]


@dataclass(frozen=True, kw_only=True)
class Score:
    """A plug-in that scores clips: `function` is "module:name", imported by the reading process.

    Per picture it takes uint8 [h, w, 3] and the clip's score is the greatest over two frames a
    second; per clip it takes uint8 [f, h, w, 3]. Clips outside `least` to `most` are dropped.
    """

    name: str
    function: str
    per: Literal["picture", "clip"] = "clip"
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True, kw_only=True)
class IngestConfig:
    """How footage becomes clips. Sizes are in pixels, rates in frames a second.

    A clip is `frames` frames of `side` x `side` at `fps`. All thresholds are our choice;
    `rules.py` says what each rule measures. `drop` names the rules (`RULES`) whose clips are
    left out; the others are only noted in the index.
    """

    side: int = 128
    frames: int = 80
    fps: Fraction = Fraction(16)
    fit: Fit = "crop"
    picture: Picture = "webp"
    quality: int = 90  # of webp: 1 to 100
    cut: float = 27.0  # PySceneDetect's own threshold: mean change of hue, saturation and light
    motion: float = 0.5  # levels of 255; below it a clip is still
    light: float = 32.0  # the level that 95 % of a dark clip's pixels stay below
    repeats: float = 0.6  # above this share of repeated frames a clip is a slide show
    duplicate: int = 11  # bits of 192 in which two perceptual hashes of one clip may differ
    drop: tuple[str, ...] = DROPPED
    scores: tuple[Score, ...] = ()
    licence: str = ""  # of clips whose captions name none
    clips_a_shard: int = 512
    hours: float = 4.0  # the longest file read
    stall: float = 60.0  # seconds without a new frame after which a reader is stopped
    memory: int = 4 * 2**30  # bytes of address space of a reader

    def __post_init__(self):
        object.__setattr__(self, "fps", Fraction(self.fps))
        for name, low, high in RANGES:
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(
                    f"{name}: expected {low} to {high}, got {value}, choose one in that range"
                )
        _one_of("fit", self.fit, get_args(Fit))
        _one_of("picture", self.picture, get_args(Picture))
        for rule in self.drop:
            _one_of("drop", rule, RULES)

    def facts(self) -> dict:
        """As JSON values; `from_facts` reads them."""
        return asdict(self) | {"fps": str(self.fps), "drop": list(self.drop)}

    @classmethod
    def from_facts(cls, facts: dict) -> IngestConfig:
        """What `facts` wrote. Raises ValueError for other fields."""
        known = {field.name for field in fields(cls)}
        if odd := sorted(set(facts) - known):
            raise ValueError(
                f"ingest config: expected the fields of this version, got {odd[0]!r}, ingest again"
            )
        scores = tuple(Score(**score) for score in facts.get("scores", ()))
        return cls(**facts | {"scores": scores, "drop": tuple(facts.get("drop", DROPPED))})


RANGES = (
    ("side", 8, 1024),
    ("frames", 1, 1024),
    ("fps", Fraction(1, 10), 240),
    ("quality", 1, 100),
    ("cut", 1, 256),
    ("motion", 0, 255),
    ("light", 0, 255),
    ("repeats", 0, 1),
    ("duplicate", 0, 23),
    ("clips_a_shard", 1, 10**6),
    ("hours", 0, 1000),
    ("stall", 1, 3600),
    ("memory", 2**28, 2**40),
)


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(
            f"{name}: expected one of {', '.join(choices)}, got {value!r}, choose one of these"
        )
