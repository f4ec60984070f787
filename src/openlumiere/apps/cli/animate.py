"""`lumiere animate IMAGE [PROMPT] -o OUT`: a picture becomes a clip."""

from __future__ import annotations

from dataclasses import dataclass

from tyro.conf import Positional, UseAppendAction

from openlumiere.apps.cli.arguments import parse
from openlumiere.apps.cli.options import (
    Keeping,
    Lasting,
    Making,
    Styled,
    load_for_edit,
    prepare,
    write,
)
from openlumiere.apps.cli.progress import progress
from openlumiere.engine.inputs import Given, open_picture
from openlumiere.engine.plan import scaled
from openlumiere.tasks.request import DEFAULT_SIZE, exact_rate


@dataclass(frozen=True, kw_only=True)
class Animate(Making, Lasting, Keeping, Styled):
    """Image to video: the picture is the first frame, the prompt says what happens."""

    image: Positional[str]
    """The first frame; a sentence to make it from with --from-prompt; - for keyframes alone."""
    prompt: Positional[str] = ""
    """What happens."""
    keyframe: UseAppendAction[tuple[str, ...]] = ()
    """A picture at another frame, as 79=end.png; may be given again."""
    from_prompt: bool = False
    """IMAGE is a sentence: its picture is made first and written to OUT.first.png."""
    motion: float = 1.0
    """How fast time runs: 0 is still, 0.5 half of what would happen, up to 4."""
    size: int = 0
    """Longer side of the clip in pixels; 0 is the picture's own."""
    loop: bool = False
    """The last frame goes over into the first."""


def main(words: list[str]) -> int:
    options = parse(Animate, words, "animate")
    prepare(options, options.frame_count())
    keyframes = read_keyframes(options.keyframe)
    first = None if options.from_prompt or options.image == "-" else open_picture(options.image)
    styles = options.open_styles()
    side = options.size or DEFAULT_SIZE  # of a picture that is made first
    given = [picture.content.size for picture in (first, *keyframes.values()) if picture]
    size = scaled(given[0], options.size) if given else (side, side)
    lumiere = load_for_edit(options, options.frame_count(), size, exact_rate(options.fps))
    if options.from_prompt:
        made = lumiere.generate_image(
            options.image,
            size=side,
            style=styles,
            style_weight=options.weights(),
            **options.sampling(),
        )
        made.save(f"{options.output.rstrip('/')}.first.png", lossless=True)
        first = open_picture(made)
    with progress("animate") as on_step:
        clip = lumiere.animate(
            first,
            options.prompt or (options.image if options.from_prompt else ""),
            keyframes=keyframes,
            motion=options.motion,
            size=options.size,
            loop=options.loop,
            style=styles,
            style_weight=options.weights(),
            on_step=on_step,
            **options.lasting(),
            **options.keeping(),
            **options.sampling(),
        )
    return write(clip, options)


def read_keyframes(texts: tuple[str, ...]) -> dict[int, Given]:
    """`79=end.png` as frame and picture."""
    pictures = {}
    for text in texts:
        frame, equals, path = text.partition("=")
        if not equals or not frame.isdecimal() or len(frame) > 6:
            raise ValueError(
                f"keyframe: expected FRAME=PICTURE such as 79=end.png, got {text[:200]!r}, name the frame first"
            )
        pictures[int(frame)] = open_picture(path)
    return pictures
