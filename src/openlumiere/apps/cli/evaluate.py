"""`lumiere evaluate MEASURE`: a module a measure, imported only when it is called."""

from __future__ import annotations

from importlib import import_module

from openlumiere.tasks.base import nearest

MEASURES = {  # each is a module `evaluate_NAME` here with a `main(words) -> exit code`
    "world": "do clips show what prompts of the sticker world ask for?",
    "judge": "train the classifier that reads clips for `world`",
    "bias": "which skin tones are shown for which words?",
    "defects": "flaws of a clip: flicker, frozen frames, jumps, seams, colour drift, broken loops",
    "tasks": "each creative task in figures: known content, seams, loops, steering by text, style",
    "marks": "is the mark in the pixels found and read after attacks, and only where it is?",
    "upscale": "is an enlarged clip nearer to what it was than by Lanczos and bicubic resampling?",
}


def main(words: list[str]) -> int:
    """Run one measure. ValueError is the user's mistake."""
    measure, *rest = words or [""]
    if measure in ("-h", "--help"):
        print(usage())
        return 0
    if measure not in MEASURES:
        raise ValueError(
            f"measure: expected one of {', '.join(MEASURES)}, got {measure[:100]!r}, "
            f"{nearest(measure, MEASURES, 'see lumiere evaluate --help')}"
        )
    return import_module(f"openlumiere.apps.cli.evaluate_{measure}").main(rest)


def usage() -> str:
    """The measures, a line each."""
    measures = "\n".join(f"  {name:<10} {what}" for name, what in MEASURES.items())
    return (
        "usage: lumiere evaluate MEASURE ... (lumiere evaluate MEASURE --help tells more)\n\n"
        f"{measures}"
    )
