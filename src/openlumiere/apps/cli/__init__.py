"""The command `lumiere`: a module a verb, imported only when it is called."""

from __future__ import annotations

import sys
from importlib import import_module

from openlumiere.apps.cli.console import log_to_stderr
from openlumiere.apps.cli.streams import tolerant_streams

VERBS = {  # each is a module of this room with a `main(words) -> exit code`
    "generate": "a sentence becomes a clip",
    "image": "a sentence becomes a picture",
    "animate": "a picture becomes a clip",
    "inpaint": "something new in a part of a clip",
    "outpaint": "a clip in larger frames",
    "mend": "what is broken in a clip, repaired",
    "cinemagraph": "a picture of which a part moves",
    "restyle": "a clip in another style",
    "upscale": "a clip in four times its size",
    "learn-style": "a style from one to five pictures",
    "verify": "where a file comes from: its mark and its manifest",
    "doctor": "device, memory and versions, and what a run will need",
    "train": "train the picture net, its temporal part, then the super-resolution net",
    "data": "build and inspect the sticker world",
    "evaluate": "measure what the weights make",
}


def main(words: list[str] | None = None) -> int:
    """Run one verb; 0 done, 1 not well (doctor), 2 a user's mistake in one line, 130 interrupted."""
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
        return 2
    except KeyboardInterrupt:
        print("lumiere: interrupted", file=sys.stderr)
        return 130


def run(words: list[str]) -> int:
    verb, *rest = words or [""]
    if verb in ("-h", "--help"):
        print(overview())
        return 0
    if verb == "--version":
        from importlib.metadata import version

        print(version("openlumiere"))
        return 0
    if verb not in VERBS:
        raise ValueError(
            f"verb: expected one of {', '.join(VERBS)}, got {verb!r}, see lumiere --help"
        )
    return import_module(f"openlumiere.apps.cli.{verb.replace('-', '_')}").main(rest)


def overview() -> str:
    verbs = "\n".join(f"  {verb:<11} {what}" for verb, what in VERBS.items())
    return f"usage: lumiere VERB ... (lumiere VERB --help tells more)\n\n{verbs}"


def one_line(message: str) -> str:
    """Printable and on one line, whatever a prompt or a file put into it."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in " ".join(message.split()))[
        :1000
    ]
