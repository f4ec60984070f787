"""`lumiere generate PROMPT -o OUT`: a sentence becomes a clip."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from tyro.conf import Positional, UseAppendAction

from openlumiere.apps.cli.arguments import parse
from openlumiere.apps.cli.loading import warn_of_memory, warn_of_words
from openlumiere.apps.cli.options import Lasting, Making, Styled, prepare, write
from openlumiere.apps.cli.progress import progress
from openlumiere.engine.memory import cascade_memory, parse_memory
from openlumiere.tasks.request import DEFAULT_SIZE, Request, check_range


@dataclass(frozen=True, kw_only=True)
class Generate(Making, Lasting, Styled):
    """Text to video: a five-second clip of 80 frames at 16 fps, unless told otherwise.

    Pixels of a frame x frames x steps may be up to 1.7e10: 80 frames of 1024 x 1024 in 200 steps.
    """

    prompt: Positional[str]
    """What the clip shows, in one of the trained languages; or what when: "0s: a cat sits | 3s: the
    cat jumps".
    """
    count: int = 1
    """Clips to make, seeds counting up; files are numbered."""
    size: int = DEFAULT_SIZE
    """Side of the written frames in pixels; 0 keeps the net's own."""
    loop: bool = False
    """The last frame goes over into the first."""
    shot: UseAppendAction[tuple[str, ...]] = ()
    """What another shot shows, cut after the one before, with the same subject; may be given again.
    """
    no_upscale: bool = False
    """Enlarge by plain resampling instead of the super-resolution net."""
    memory_limit: str = ""
    """Choose windows and tiles that take no more: 6GiB, 1500MB."""


def main(words: list[str]) -> int:
    options = parse(Generate, words, "generate")
    outputs = numbered(options.output, options.count)
    requests = [request(options, options.seed + index) for index in range(options.count)]
    for output in outputs:
        prepare(replace(options, output=output), requests[0].frames)
    styles = options.open_styles()
    lumiere = options.load()
    if not styles:  # which may bring subjects of their own
        warn_of_words(options.prompt, lumiere)
    warn_of_memory(cascade_memory(lumiere.base, lumiere.upscaler, requests[0]), lumiere)
    for asked, output in zip(requests, outputs, strict=True):
        with progress("generate") as on_step:
            clip = lumiere.make_of(asked, {}, styles, options.weights(), on_step)
        write(clip, options, output)
    return 0


def request(options: Generate, seed: int) -> Request:
    return Request(
        prompt=options.prompt,
        negative=options.negative,
        seed=seed,
        frames=options.frame_count(),
        fps=options.fps,
        steps=options.steps,
        guidance=options.guidance,
        size=options.size,
        scheduler=options.scheduler,
        loop=options.loop,
        shots=options.shot,
        upscale=not options.no_upscale,
        memory_limit=parse_memory(options.memory_limit),
    )


def numbered(output: str, count: int) -> list[str]:
    """`cat.mp4` for one, `cat-1.mp4`, `cat-2.mp4` ... for several."""
    check_range("count", count, 1, 1000)
    if count == 1:
        return [output]
    end = "/" if output.endswith("/") else Path(output).suffix
    return [f"{output.removesuffix(end)}-{index + 1}{end}" for index in range(count)]
