"""What a person asks for: checked before anything is loaded or computed."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, fields
from fractions import Fraction

from openlumiere.diffusion.process import SCHEDULERS
from openlumiere.media.clip import MAX_FPS, exact_fps
from openlumiere.tasks.prompts import parse_script, shares_of

FROM_NOTHING = ("generate", "image")
EDITS = ("animate", "inpaint", "outpaint", "mend", "cinemagraph", "restyle")
TASKS = (*FROM_NOTHING, *EDITS, "upscale")
PROMPTED = (*FROM_NOTHING, "restyle")
KEEPS = ("exact", "soft")
MAX_INPUTS = 1000
MAX_SHOTS = 100
MAX_PROMPT = 2000  # characters
MAX_SEED = 2**63 - 1
MAX_COST = (
    2**34
)  # pixels of a written frame x frames x steps: 80 frames of 1024 x 1024 in 200 steps
DEFAULT_FRAMES = 80
DEFAULT_FPS = "16"
DEFAULT_STEPS = 20
DEFAULT_GUIDANCE = 3.0
DEFAULT_SIZE = 256
DEFAULT_FEATHER = 4
UPSCALE_STEPS = 1  # of the super-resolution net: more are sharper and further from the truth
DEFAULT_LEVEL = 0.0  # of noise that its input is given and that it is told of


@dataclass(frozen=True, kw_only=True)
class Input:
    """One thing that a clip was made from: what it was for, its file's name (empty where it came
    from memory), its content's sha256.

    A picture's or clip's content are its pixels (`inputs.sha256_of`), a style's its weights.
    """

    role: str
    sha256: str
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class Request:
    """Everything that a clip depends on, but for the model and the machine. Raises ValueError for
    what can't be made.

    `fps` is exact text, "16" or "30000/1001"; `size` is the side in pixels after enlarging, 0 the
    net's own. An edit takes the size of its inputs: there 0 is the input's own, else the longer
    side that a picture is first brought to, and `frames` and `fps` are the clip's. `keep` "exact"
    gives known pixels back bit by bit, with made ones moved to meet them within about `feather`
    pixels; "soft" leaves all to the net. `motion` is how fast time runs, `strength` how much of a
    clip is made anew (0: none, 1: all), `structure` for what share of the noise levels its coarse
    shapes are held (0: none), `to` the size WxH that a clip is extended to, `region` its text where
    it is not an input, `style_weights` one number a style among `inputs`. `shots` are the prompts
    of further shots, each of as many `frames`; `upscale` says whether the super-resolution net
    enlarges what is made of words, where the model has one, `noise` how little it trusts what it is
    given (`engine/cascade.py`). `memory_limit` in bytes chooses windows and tiles (0: none does),
    which change a clip a little.
    """

    task: str = "generate"
    prompt: str
    negative: str = ""
    seed: int = 0
    frames: int = DEFAULT_FRAMES
    fps: str = DEFAULT_FPS
    steps: int = DEFAULT_STEPS
    guidance: float = DEFAULT_GUIDANCE
    size: int = DEFAULT_SIZE
    scheduler: str = "ddim"
    loop: bool = False
    keep: str = "exact"
    feather: int = DEFAULT_FEATHER
    motion: float = 1.0
    strength: float = 1.0
    structure: float = 0.0
    to: str = ""
    region: str = ""
    inputs: tuple[Input, ...] = ()
    style_weights: tuple[float, ...] = ()
    shots: tuple[str, ...] = ()
    upscale: bool = True
    noise: float = DEFAULT_LEVEL
    memory_limit: int = 0

    def __post_init__(self) -> None:
        check_choice("task", self.task, TASKS)
        if self.prompt or self.task in PROMPTED:
            check_prompt("prompt", self.prompt)
        if self.negative:
            check_prompt("negative", self.negative)
        check_range("seed", self.seed, 0, MAX_SEED)
        check_range("frames", self.frames, 1, 10_000)
        exact_rate(self.fps, 240 if self.task in FROM_NOTHING else MAX_FPS)
        check_range("steps", self.steps, 1, 1000)
        check_range("guidance", self.guidance, 0, 100)
        check_range("size", self.size, 0, 4096)
        check_choice("scheduler", self.scheduler, tuple(SCHEDULERS))
        check_choice("keep", self.keep, KEEPS)
        check_range("feather", self.feather, 0, 256)
        check_range("motion", self.motion, 0, 4)
        check_range("strength", self.strength, 0, 1)
        check_range("structure", self.structure, 0, 1)
        check_range("noise", self.noise, 0, 1)
        check_range("memory limit", self.memory_limit, 0, 2**50)
        check_inputs(self)
        check_script(self)
        check_cost(max(self.size, 64) ** 2, self.frames * (1 + len(self.shots)), self.steps)


def check_inputs(request: Request) -> None:
    """Inputs and weights as they come from JSON become what they are; one weight a style, each in
    [0, 1].
    """
    inputs = tuple(each if isinstance(each, Input) else Input(**each) for each in request.inputs)
    weights = tuple(float(weight) for weight in request.style_weights)
    object.__setattr__(request, "inputs", inputs)
    object.__setattr__(request, "style_weights", weights)
    check_range("inputs", len(inputs), 0, MAX_INPUTS)
    if not all(
        isinstance(getattr(each, field.name), str) for each in inputs for field in fields(each)
    ):
        raise ValueError(
            "inputs: expected role, name and sha256 as text, got something else, name a record that was written beside a clip"
        )
    for weight in weights:
        check_range("style weight", weight, 0, 1)


def check_script(request: Request) -> None:
    """Shots are sentences, cut apart; schedules are in order and within their shot."""
    object.__setattr__(request, "shots", tuple(request.shots))
    check_range("shots", len(request.shots), 0, MAX_SHOTS)
    for shot in request.shots:
        check_prompt("shot", shot)
    if request.shots and (request.loop or request.task != "generate"):
        raise ValueError(
            "shots: expected a clip of words that does not loop, got another, leave the shots out or the loop"
        )
    if request.task == "generate":
        for prompt in (request.prompt, *request.shots):
            shares_of(parse_script(prompt), request.frames, Fraction(request.fps))


def check_cost(pixels: int, frames: int, steps: int) -> None:
    """Pixels of a frame x frames x steps within `MAX_COST`."""
    cost = pixels * frames * steps
    if cost > MAX_COST:
        raise ValueError(
            f"cost: expected pixels x frames x steps of at most {MAX_COST:.1e}, got {cost:.1e}, ask for fewer of one of them"
        )


def parse_size(text: str) -> tuple[int, int]:
    """`640x360` as width and height in pixels."""
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.isdecimal() and len(side) < 7 for side in sides):
        raise ValueError(
            f"to: expected a size such as 640x360, got {text[:100]!r}, give width and height in pixels"
        )
    return int(sides[0]), int(sides[1])


def frame_count(frames: int | None, seconds: float | None, fps: str) -> int:
    """Frames asked for, or those that `seconds` take, or the paper's 80."""
    if frames is not None and seconds is not None:
        raise ValueError("length: expected frames or seconds, got both, leave one out")
    if seconds is None:
        return DEFAULT_FRAMES if frames is None else frames
    check_range("seconds", seconds, 0, 10_000)
    return round(Fraction(seconds) * exact_rate(fps))


def exact_rate(fps: str, most: int = 240) -> Fraction:
    """Frames a second as an exact fraction, 1 to `most`; a given clip may have less than 1."""
    try:
        rate = exact_fps(fps)
    except (ValueError, ZeroDivisionError):
        raise ValueError(
            f"fps: expected a rate such as 16 or 30000/1001, got {fps!r}, choose one from 1 to {most}"
        ) from None
    check_range("fps", rate, 1 if most < MAX_FPS else 0, most)
    return rate


def check_prompt(name: str, prompt: str) -> None:
    """At most 2,000 characters that print: no control characters, escapes or lone surrogates."""
    if not prompt.strip():
        raise ValueError(f"{name}: expected a sentence, got nothing, say what the clip shows")
    if len(prompt) > MAX_PROMPT:
        raise ValueError(
            f"{name}: expected at most {MAX_PROMPT} characters, got {len(prompt)}, shorten it"
        )
    odd = next((c for c in prompt if unicodedata.category(c) in ("Cc", "Cs")), None)
    if odd is not None:
        raise ValueError(f"{name}: expected characters that print, got U+{ord(odd):04X}, remove it")


def check_range(name: str, value: float | Fraction, low: int, high: int) -> None:
    if not low <= value <= high:  # so that NaN is out, too
        raise ValueError(f"{name}: expected {low} to {high}, got {value}, choose one in that range")


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(
            f"{name}: expected one of {', '.join(choices)}, got {value!r}, name one of these"
        )
