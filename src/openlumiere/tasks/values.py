"""The choices that several tasks share, and the numbers and sentences that they are made of."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from numbers import Integral, Rational, Real
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from openlumiere.tasks.base import Part, shown, spoken

LINE = re.compile(r"\s*(\d{1,5}(?:\.\d{1,6})?)\s*s\s*:(.*)", re.DOTALL)
MAX_LINES = 100


@dataclass(frozen=True)
class Line:
    """A prompt, and the second from which it holds."""

    start: Fraction
    prompt: str


def parse_schedule(text: str) -> list[Line]:
    """The lines of a schedule; a plain prompt is one line.

    Raises ValueError for lines that are empty or not in order of time.
    """
    if not LINE.fullmatch(text):
        return [Line(Fraction(0), text)]
    parts = [LINE.fullmatch(part) for part in text.split("|")]
    found = [part for part in parts if part is not None and part[2].strip()]
    if len(found) < len(parts):
        raise ValueError(
            "prompt: expected lines such as 0s: a cat stays still | 3s: a cat jumps, "
            f"got {text[:100]!r}, begin each with its second"
        )
    lines = [Line(Fraction(part[1]), part[2].strip()) for part in found]
    check_order(lines)
    return lines


def check_order(lines: list[Line]) -> None:
    """Raise ValueError unless lines begin at 0 and rise, and are at most 100."""
    starts = [line.start for line in lines]
    rising = all(earlier < later for earlier, later in pairwise(starts))
    if starts[0] != 0 or not rising:
        begun = ", ".join(f"{float(start):g}" for start in starts)
        raise ValueError(
            f"prompt: expected seconds that begin with 0 and rise, got {begun}, put them in order"
        )
    if len(lines) > MAX_LINES:
        raise ValueError(f"prompt: expected at most {MAX_LINES} lines, got {len(lines)}, use fewer")


def check_within(lines: list[Line], seconds: Fraction) -> None:
    """Raise ValueError for a line that begins when the clip of `seconds` is over."""
    last = lines[-1].start
    if last >= seconds:
        raise ValueError(
            f"prompt: expected lines within {float(seconds):g} s, got one at {float(last):g} s, "
            "make the clip longer"
        )


MAX_PROMPT = 2000  # characters
MAX_SEED = 2**63 - 1
MAX_FRAMES = 10_000
MAX_SIDE = 4096  # pixels
MAX_COST = 2**34
"""Pixels of a written frame x frames x steps: 80 frames of 1024 x 1024 in 200 steps."""
DEFAULT_FRAMES = 80
DEFAULT_SIDE = 256
UPSCALE_STEPS = 1  # of the super-resolution net: more are sharper and further from the truth

Scheduler = Literal["ddim", "dpm++", "euler", "euler-ancestral", "heun", "unipc", "lcm"]


def number(value: object) -> object:
    """A number of numpy, torch, decimal or fractions as Python's own; anything else as it is."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if isinstance(value, bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, (Real, Decimal)) else value


def whole(low: int, high: int) -> Callable[[Any, ValidationInfo], int]:
    """A check that a value is a whole number from `low` to `high`."""

    def check(value: Any, info: ValidationInfo) -> int:
        found = number(value)
        if isinstance(found, float) and found.is_integer():
            found = int(found)
        if isinstance(found, bool) or not isinstance(found, int) or not low <= found <= high:
            raise ValueError(
                f"{spoken(info.field_name)}: expected a whole number, {low} to {high}, "
                f"got {shown(found)}, choose one in that range"
            )
        return found

    return check


def real(low: float, high: float) -> Callable[[Any, ValidationInfo | str], float]:
    """A check that a value is a number from `low` to `high`."""

    def check(value: Any, info: ValidationInfo | str) -> float:
        found = number(value)
        name = info if isinstance(info, str) else info.field_name
        if (
            isinstance(found, bool)
            or not isinstance(found, (int, float))
            or not low <= found <= high  # so that NaN is out, too
        ):
            raise ValueError(
                f"{spoken(name)}: expected {low:g} to {high:g}, "
                f"got {shown(found)}, choose one in that range"
            )
        return float(found)

    return check


def sentence(value: Any, info: ValidationInfo) -> str:
    """Text of at most 2,000 characters that print; newlines and tabs become blanks."""
    name = spoken(info.field_name)
    if not isinstance(value, str):
        raise ValueError(f"{name}: expected a sentence, got {shown(value)}, give text")
    text = re.sub(r"[\t\n\r]+", " ", value.strip("\t\n\r"))
    if len(text) > MAX_PROMPT:
        got = f"{len(text)}, shorten it"
        raise ValueError(f"{name}: expected at most {MAX_PROMPT} characters, got {got}")
    odd = next((letter for letter in text if unicodedata.category(letter) in ("Cc", "Cs")), None)
    if odd is not None:
        raise ValueError(f"{name}: expected characters that print, got U+{ord(odd):04X}, remove it")
    return text


def said(value: Any, info: ValidationInfo) -> str:
    """A sentence that is not empty."""
    text = sentence(value, info)
    if not text.strip():
        name = spoken(info.field_name)
        raise ValueError(f"{name}: expected a sentence, got nothing, say what is to be seen")
    return text


def several(value: Any) -> Any:
    """One where several may stand: a text is one text, not its letters."""
    if value is None:
        return ()
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        return (value,)
    return tuple(value)


Seed = Annotated[int, BeforeValidator(whole(0, MAX_SEED)), Field(ge=0, le=MAX_SEED)]
Steps = Annotated[int, BeforeValidator(whole(1, 1000)), Field(ge=1, le=1000)]
Side = Annotated[int, BeforeValidator(whole(0, MAX_SIDE)), Field(ge=0, le=MAX_SIDE)]
Share = Annotated[float, BeforeValidator(real(0, 1)), Field(ge=0, le=1)]
Camera = Literal["pan-left", "pan-right", "pan-up", "pan-down", "zoom-in", "zoom-out"]
Way = Literal["left", "right", "up", "down"]
WAYS: dict[str, tuple[int, int]] = {
    "left": (-1, 0),
    "right": (1, 0),
    "up": (0, -1),
    "down": (0, 1),
}
"""Across and down."""
Pace = Annotated[float, BeforeValidator(real(0, 4)), Field(ge=0, le=4)]
Sentence = Annotated[str, BeforeValidator(said), Field(min_length=1, max_length=MAX_PROMPT)]
MaybeSentence = Annotated[str, BeforeValidator(sentence), Field(max_length=MAX_PROMPT)]
Sentences = Annotated[tuple[Sentence, ...], BeforeValidator(several)]


RATE = re.compile(r"\s*(\d{1,9}/\d{1,9}|\d{1,9}(?:\.\d{1,6})?)\s*")
MAX_DENOMINATOR = 1_000_000


def rate(value: Any, info: ValidationInfo | None = None) -> Fraction:
    """Frames a second as an exact fraction, 1 to 240. A float only where it is whole: 29.97 is not
    30000/1001.
    """
    found = fraction(value)
    if found is None or not 1 <= found <= 240 or found.denominator > MAX_DENOMINATOR:
        raise ValueError(
            f"fps: expected a rate such as 16 or 30000/1001, got {shown(value)}, "
            "choose one from 1 to 240"
        )
    return found


def fraction(value: Any) -> Fraction | None:
    """An exact number, of bounded length; None for anything else."""
    if isinstance(value, str):
        return read_fraction(value)
    found = value if isinstance(value, Rational) else number(value)
    if isinstance(found, bool) or not isinstance(found, (Rational, float)):
        return None
    if isinstance(found, float) and not found.is_integer():
        return None
    return Fraction(found)


def read_fraction(text: str) -> Fraction | None:
    """A fraction of bounded length, so that reading it takes no time."""
    if not RATE.fullmatch(text):
        return None
    try:
        return Fraction(text.strip())
    except ZeroDivisionError:
        return None


Rate = Annotated[
    Fraction,
    BeforeValidator(rate),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["16", "30000/1001"]}),
]

BYTES = re.compile(r"\s*(\d{1,6}(?:\.\d{1,3})?)\s*([KMGT](?:i?B)?)\s*")


def memory(value: Any, info: ValidationInfo | None = None) -> int:
    """Bytes: a whole number, or text such as `6GiB`, `1500 MiB`, `2GB` or `8G`, which is 8 GiB;
    empty is 0, no limit.
    """
    found = number(value)
    if isinstance(found, int) and not isinstance(found, bool) and 0 <= found <= 2**50:
        return found
    if found == "":
        return 0
    matched = BYTES.fullmatch(found) if isinstance(found, str) else None
    if matched is None:
        raise ValueError(
            f"memory limit: expected a size such as 6GiB or 1500MB, got {shown(value)}, "
            "give a number and a unit"
        )
    unit = 1000 if matched[2].endswith("B") and "i" not in matched[2] else 1024
    return round(Fraction(matched[1]) * unit ** (1 + "KMGT".index(matched[2][0])))


Memory = Annotated[int, BeforeValidator(memory), Field(ge=0, le=2**50)]


def size(value: Any, info: ValidationInfo | None = None) -> tuple[int, int]:
    """Width and height in pixels, from `640x360` or a pair of numbers."""
    sides = value.lower().split("x") if isinstance(value, str) else several(value)
    if isinstance(value, str):
        sides = [int(side) for side in sides if side.strip().isdecimal() and len(side) < 7]
    found = tuple(number(side) for side in sides)
    if len(found) != 2 or not all(isinstance(side, int) and 1 <= side < 10**6 for side in found):
        raise ValueError(
            f"to: expected a size such as 640x360, got {shown(value)}, "
            "give width and height in pixels"
        )
    return int(str(found[0])), int(str(found[1]))


Size = Annotated[tuple[int, int], BeforeValidator(size)]


FAST: dict[str, Any] = {"steps": 4, "guidance": 1.0}


class Sampling(Part):
    """How a clip is drawn from noise. With `fast` the defaults of steps and guidance are those of
    distilled weights, 4 and 1.
    """

    seed: Seed = Field(0, description="0 to 2**63 - 1; the same seed gives the same clip.")
    steps: Steps = Field(20, description="Denoising steps: more is slower and finer.")
    guidance: Annotated[float, BeforeValidator(real(0, 100)), Field(ge=0, le=100)] = Field(
        3.0, description="Guidance (CFG): how closely to follow the prompt; 1 is off."
    )
    negative: MaybeSentence = Field("", description="Negative prompt: what to avoid.")
    scheduler: Scheduler | None = Field(
        None, description="One of diffusers' schedulers (samplers); the model's own without it."
    )
    rescale: Share = Field(
        0.0, description="How far guidance keeps the contrast of the unguided clip; 0 is off."
    )
    fast: bool = Field(
        False,
        description="By the model's distilled weights, in 4 steps without guidance by default.",
    )

    @model_validator(mode="before")
    @classmethod
    def fill_fast(cls, values: Any) -> Any:
        """The defaults of distilled weights in the place of the others; a form has those filled
        in.
        """
        if not isinstance(values, dict) or values.get("fast") not in (True, "true"):
            return values
        usual = {name: cls.model_fields[name].default for name in FAST}
        given = {name: value for name, value in values.items() if value != usual.get(name)}
        return {**FAST, **given}


class Length(Part):
    """How long a clip is: `frames`, or `seconds` at `fps` frames a second."""

    frames: Annotated[int, BeforeValidator(whole(1, MAX_FRAMES)), Field(ge=1)] | None = Field(
        None, description=f"Frames to make ({DEFAULT_FRAMES})."
    )
    seconds: Annotated[float, BeforeValidator(real(0, MAX_FRAMES)), Field(ge=0)] | None = Field(
        None, description="Length instead of frames."
    )
    fps: Rate = Field(
        Fraction(16), description="Frames a second, whole or a fraction such as 30000/1001."
    )

    @model_validator(mode="after")
    def check_one(self) -> Length:
        """Frames or seconds, not both, and no more than can be."""
        if self.frames is not None and self.seconds is not None:
            raise ValueError("length: expected frames or seconds, got both, leave one out")
        if not 1 <= self.count <= MAX_FRAMES:
            raise ValueError(
                f"seconds: expected 1 to {MAX_FRAMES} frames at {self.fps} a second, "
                f"got {self.count}, choose another length"
            )
        return self

    @property
    def count(self) -> int:
        """Frames."""
        if self.seconds is not None:
            return round(Fraction(self.seconds) * self.fps)
        return DEFAULT_FRAMES if self.frames is None else self.frames


class Keep(Part):
    """What becomes of the pixels that are known."""

    pixels: Literal["exact", "soft"] = Field(
        "exact",
        description="exact: known pixels are kept bit by bit; soft: the net generates them again.",
    )
    feather: Annotated[int, BeforeValidator(whole(0, 256)), Field(ge=0, le=256)] = Field(
        4, description="Pixels along the border that are blended with known ones; 0 is a hard edge."
    )

    @classmethod
    def read(cls, given: Any) -> dict[str, Any]:
        """`keep="soft"` in short."""
        return {"pixels": given}

    @model_validator(mode="before")
    @classmethod
    def from_text(cls, given: Any) -> Any:
        """The same, where nothing else is given."""
        return cls.read(given) if isinstance(given, str) else given


class Learning(Part):
    """How to fine-tune on a style; the defaults take a few minutes on a CPU."""

    steps: Annotated[int, BeforeValidator(whole(1, 100_000))] = Field(
        200, description="Training steps."
    )
    batch: Annotated[int, BeforeValidator(whole(1, 1024))] = Field(
        8, description="Pictures a step."
    )
    rank: Annotated[int, BeforeValidator(whole(1, 256))] = Field(
        8, description="Rank of the adapters (LoRA)."
    )
    full: bool = Field(False, description="Train whole weights instead of adapters.")
    learning_rate: Share | None = Field(
        None, description="0.001 for adapters, 0.0001 for whole weights."
    )
    text_dropout: Share = Field(0.1, description="Share of pictures learnt without their sentence.")
    seed: Seed = Field(0, description="Draws noise, cuts and starting weights.")


def check_cost(pixels: int, frames: int, steps: int) -> None:
    """Raise ValueError where pixels of a frame x frames x steps are more than `MAX_COST`."""
    cost = pixels * frames * steps
    if cost > MAX_COST:
        raise ValueError(
            f"cost: expected pixels x frames x steps of at most {MAX_COST:.1e}, got {cost:.1e}, "
            "ask for fewer of one of them"
        )
