"""The command `lumiere`: each verb is imported only when it is called."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module

from openlumiere.apps.cli.console import log_to_stderr
from openlumiere.apps.cli.streams import tolerant_streams

MADE = {  # each is a task of `openlumiere.tasks`, made by `make.py`
    "generate": "text to video: a prompt becomes a clip",
    "image": "text to image: a prompt becomes a picture",
    "animate": "image to video: a picture becomes a clip",
    "inpaint": "generate something new in a region of a clip",
    "outpaint": "extend a clip beyond its borders",
    "mend": "repair scratches, lost frames and flicker",
    "cinemagraph": "a picture of which a region moves, as a loop",
    "restyle": "video to video: a clip in another style",
    "upscale": "super-resolution: a clip at four times its size",
    "learn-style": "LoRA training on one to five pictures",
}
OTHERS = {  # each is a module of this package with a `main(words) -> exit code`
    "sticker": "stickers for a messenger, from prompts or clips",
    "studio": "a web page on this machine for all of these",
    "queue": "batches of jobs: add, list, change, run",
    "serve": "the queue over HTTP",
    "verify": "check where a file comes from: watermark and manifest",
    "doctor": "device, memory and versions, and what a run will need",
    "inflate": "turn a text-to-image model into a video model, to train",
    "train": "train or fine-tune a model, with resume",
    "data": "turn footage into training shards; build the sticker world",
    "evaluate": "measure what the weights make",
}
VERBS = MADE | OTHERS


class NotWritten(ValueError):
    """What was made is not written, since `--strict` refuses what was found in it."""


def main(words: list[str] | None = None) -> int:
    """Run one verb; 0 done, 1 not well (doctor, `--strict`), 2 a user's mistake in a line, 130
    interrupted.
    """
    with tolerant_streams():
        return answered(sys.argv[1:] if words is None else words)


def answered(words: list[str]) -> int:
    """The exit code of one verb; a mistake becomes a line."""
    try:
        with log_to_stderr():
            return run(words)
    except ValueError as error:
        from openlumiere.media.limits import for_command

        print(f"lumiere: {one_line(for_command(str(error)))}", file=sys.stderr)
        return 1 if isinstance(error, NotWritten) else 2
    except KeyboardInterrupt:
        print("lumiere: interrupted", file=sys.stderr)
        return 130


def run(words: list[str]) -> int:
    """One verb with its words; without any the overview."""
    verb, *rest = words or ["--help"]
    if verb in ("-h", "--help", "help"):
        print(overview())
        return 0
    if verb == "--version":
        from importlib.metadata import version

        print(version("openlumiere"))
        return 0
    if verb in MADE:
        return int(import_module("openlumiere.apps.cli.make").main(rest, verb))
    if verb in OTHERS:
        with many_imports():
            module = import_module(f"openlumiere.apps.cli.{verb}")
        return int(module.main(rest))
    raise ValueError(f"verb: expected one of {', '.join(VERBS)}, got {verb[:100]!r}, {meant(verb)}")


@contextmanager
def many_imports() -> Iterator[None]:
    """Around the imports of torch and diffusers: without the garbage collector, which would look
    through a million new objects again and again and free next to none, and later leaves them be
    (docs/benchmarks.md). Only a command may say so of its whole process.
    """
    before = len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > before:
            gc.freeze()
        gc.enable()


def meant(verb: str) -> str:
    """The verb that a person may have meant."""
    close = get_close_matches(verb, VERBS, n=1)
    return f"perhaps you meant {close[0]}" if close else "see lumiere --help"


def overview() -> str:
    """All verbs, a line each."""
    verbs = "\n".join(f"  {verb:<11} {what}" for verb, what in VERBS.items())
    return (
        "usage: lumiere VERB ... (lumiere VERB --help says more)\n\n"
        f"{verbs}\n\n"
        'Begin with: lumiere generate "a rocket stays still on a blue background" -o rocket.mp4'
    )


def one_line(message: str) -> str:
    """Printable and on one line, whatever a prompt or a file put into it."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in " ".join(message.split()))[
        :1000
    ]
