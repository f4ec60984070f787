"""The command `lumiere`: a module a verb, imported only when it is called."""

from __future__ import annotations

import sys
from importlib import import_module

VERBS = {  # verb: module of this room, what it does
    "generate": ("generate", "a sentence becomes a clip"),
    "image": ("image", "a sentence becomes a picture"),
    "doctor": ("doctor", "device, memory and versions, and what a run will need"),
    "train": ("train", "train the picture net, then its temporal part"),
    "data": ("data", "build and inspect the sticker world"),
    "evaluate": ("evaluate", "measure what the weights make"),
}


def main(argv: list[str] | None = None) -> int:
    """Run one verb; 0 done, 2 a user's mistake in one line, 130 interrupted."""
    words = sys.argv[1:] if argv is None else argv
    try:
        return run(words)
    except ValueError as error:
        print(f"lumiere: {one_line(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("lumiere: interrupted, nothing was written", file=sys.stderr)
        return 130


def run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(overview())
        return 0 if words else 2
    if words[0] == "--version":
        from importlib.metadata import version

        print(version("openlumiere"))
        return 0
    if words[0] not in VERBS:
        raise ValueError(f"verb: expected one of {', '.join(VERBS)}, got {words[0]!r}, see lumiere --help")
    return import_module(f"openlumiere.cli.{VERBS[words[0]][0]}").main(words[1:])


def overview() -> str:
    verbs = "\n".join(f"  {verb:<10} {what}" for verb, (_, what) in VERBS.items())
    return f"usage: lumiere VERB ... (lumiere VERB --help tells more)\n\n{verbs}"


def one_line(message: str) -> str:
    """Printable and on one line, whatever a prompt or a file put into it."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in " ".join(message.split()))[:1000]
