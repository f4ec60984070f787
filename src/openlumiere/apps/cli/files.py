"""Names of what a command writes: checked before the work, so that nothing is lost after it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openlumiere.tasks.base import nearest

if TYPE_CHECKING:
    from openlumiere.media import Clip
    from openlumiere.models.style import Style
    from openlumiere.tasks import Task

SUFFIXES = {"image": (".png", ".webp"), "learn-style": (".safetensors",)}
"""Of what is written, where it is no clip."""
COMPANIONS = (".json", ".provenance.json")
PREVIEWS = (".sheet.png", ".xt.png")
STYLE_PREVIEW = ".preview.png"
"""The picture beside a style."""
SHEET_FRAMES = 16
SHEET_COLUMNS = 4
LONGEST = 255  # bytes of a name, where the file system does not say


def previews_of(kind: str, preview: bool) -> tuple[str, ...]:
    """Endings of the pictures beside what a task of this kind makes, where they are asked for."""
    if not preview:
        return ()
    return (STYLE_PREVIEW,) if kind == "learn-style" else PREVIEWS


def numbered(output: str, count: int) -> list[str]:
    """`cat.mp4` for one, `cat-1.mp4`, `cat-2.mp4` ... for several."""
    check_range("count", count, 1, 1000)
    if count == 1:
        return [output]
    end = "/" if output.endswith("/") else Path(output).suffix
    return [f"{output.removesuffix(end)}-{index + 1}{end}" for index in range(count)]


def check_name(output: str, kind: str, *further: str) -> None:
    """Refuse a name that can't be written, or whose companions can't: records, statements,
    previews, and what else ends in `further`.
    """
    if not output.isprintable():
        raise ValueError(
            "output: expected a path of characters that print, got others, choose another name"
        )
    path = Path(output)
    if path.name in ("", "..") or not output.strip("/. "):
        raise ValueError(
            f"output: expected the name of a file or a folder, got {output!r}, name one"
        )
    if kind in SUFFIXES:
        check_choice("output", path.suffix.lower(), SUFFIXES[kind])
    elif not output.endswith(("/", os.sep)):
        check_clip_ending(path)
    for end in (*COMPANIONS, *further):
        check_encodable(path, end)


def check_clip_ending(path: Path) -> None:
    """Refuse a file whose ending is not one of those that clips are written in."""
    from openlumiere.media import check_ending

    check_ending(path)


def check_inputs(task: Task, *unread: str) -> None:
    """Refuse the path of a file that is not there, before torch is imported; the roles in `unread`
    are no files.
    """
    for role, media in task.media().items():
        named = media.path and not media.sha256 and role not in unread
        if named and not os.path.exists(media.path):
            raise ValueError(
                f"{role}: expected a file or folder that exists, got {media.path!r}, check the path"
            )


def check_encodable(path: Path, end: str) -> None:
    """Refuse a name that the file system can't hold once `end` is added to it."""
    try:
        longest = os.pathconf(path.parent, "PC_NAME_MAX")
    except (OSError, ValueError):
        longest = LONGEST
    try:
        length = len(os.fsencode(path.name + end))
    except UnicodeEncodeError:
        raise ValueError(
            f"output: expected a name that this system can write, got {path.name!r}, "
            "choose letters that it knows, or set a UTF-8 locale"
        ) from None
    if length > longest:
        raise ValueError(
            f"output: expected a name of at most {longest} bytes with {end} after it, "
            f"got {length}, shorten it"
        )


def save_clip(clip: Clip, output: str, written: Any) -> str:
    """Save a clip or a picture, with previews if asked for."""
    lossless = getattr(written, "lossless", True)
    clip.save(output, lossless=lossless)
    if getattr(written, "preview", False):
        write_preview(clip, output)
    return output


def write_preview(clip: Clip, output: str) -> None:
    """Two pictures that show a clip at a glance: its frames, and how a row of pixels goes through
    time.
    """
    from openlumiere.media import contact_sheet, save_image, xt_slice

    base = output.rstrip("/")
    shown = clip.frames[:: -(-len(clip) // SHEET_FRAMES)]
    save_image(contact_sheet(list(shown), columns=SHEET_COLUMNS), f"{base}.sheet.png", clip.origin)
    save_image(xt_slice(clip), f"{base}.xt.png", clip.origin)


def save_style(style: Style, output: str) -> str:
    """Save a style."""
    from openlumiere.media.write import write_beside

    write_beside(Path(output), style.save)
    return output


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Raise ValueError unless `value` is from `low` to `high`."""
    if not low <= value <= high:  # so that NaN is out, too
        raise ValueError(f"{name}: expected {low} to {high}, got {value}, choose one in that range")


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raise ValueError unless `value` is one of the choices."""
    if value not in choices:
        do = nearest(value, choices, "name one of these")
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}, {do}")
