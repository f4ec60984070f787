"""A folder of stickers for one place, with the files that the place wants beside them."""

import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from openlumiere.media.clip import Clip
from openlumiere.media.limits import MediaError
from openlumiere.media.sticker import (
    PLACES,
    SIGNATURE,
    Place,
    Sticker,
    make_sticker,
    place_of,
    still_of,
)
from openlumiere.media.write import write_beside

log = logging.getLogger("openlumiere")

EMOJI = "🙂"
MOST_EMOJI = 3  # WhatsApp's
TRAY, TRAY_BYTES = 96, 50_000  # WhatsApp: pixels a side, bytes
ICON_BYTES = 32_000  # Telegram's set icon (setStickerSetThumbnail of its Bot API)
LINE_MAIN = 240  # pixels a side
LINE_TAB = (96, 74)
LINE_SETS = (8, 16, 24)
TAB_MARGIN = 4


@dataclass(frozen=True, kw_only=True)
class About:
    """What a pack says of itself: `emoji` holds an entry for each sticker, or one for all; several
    emoji of one sticker are separated by blanks.
    """

    name: str = "Stickers"
    author: str = "openlumiere"
    emoji: tuple[str, ...] = (EMOJI,)

    def __post_init__(self) -> None:
        for each in (*self.emoji, self.name, self.author):
            if not each.strip() or len(each) > 128:
                got = repr(each[:40])
                raise MediaError("names and emoji of 1 to 128 letters", got, "choose another")

    def emoji_of(self, index: int) -> str:
        """Of the sticker at `index`."""
        return self.emoji[index] if len(self.emoji) > 1 else self.emoji[0]


@dataclass(frozen=True, kw_only=True)
class Pack:
    """What was written: the `stickers` themselves, other `files` beside them, and the `words` that
    say what was changed or is still missing.
    """

    folder: Path
    stickers: tuple[Path, ...]
    files: tuple[Path, ...]
    words: tuple[str, ...]


def write_stickers(
    clips: Sequence[Clip],
    place: Place | str,
    folder: str | os.PathLike,
    about: About | None = None,
) -> Pack:
    """Write one sticker a clip into `folder`, which must be new or empty, and the place's metadata
    (WhatsApp: contents.json and tray; LINE: main and tab images; Signal: manifest.json; Telegram:
    emoji.txt and the set's icon).

    Generated clips are marked, and signed each in its file or beside it. All is written at once or
    not at all. Words are also logged. Raises `MediaError`.
    """
    place = place_of(place) if isinstance(place, str) else place
    about = about or About()
    target = Path(folder)
    check_pack(len(clips), place, target, about)
    made = [make_sticker(clip, place) for clip in clips]
    names = [f"{index + 1:02d}{place.suffix}" for index in range(len(made))]
    words = [
        f"{name}: {word}"
        for name, sticker in zip(names, made, strict=True)
        for word in sticker.words
    ]
    words += _missing(len(clips), place)

    def fill(temporary: Path) -> None:
        temporary.mkdir()
        for name, clip, sticker in zip(names, clips, made, strict=True):
            _write_signed(temporary / name, sticker.data, clip, place.size)
        for name, data in EXTRAS.get(place.name, _nothing)(clips, names, about).items():
            (temporary / name).write_bytes(data)

    write_beside(target, fill)
    for word in words:
        log.warning("%s", word)
    stickers = tuple(target / name for name in names)
    others = tuple(sorted(file for file in target.iterdir() if file not in stickers))
    return Pack(folder=target, stickers=stickers, files=others, words=tuple(words))


def check_pack(count: int, place: Place, folder: Path, about: About) -> None:
    """Raise `MediaError` now where `write_stickers` would after the work."""
    most = place.pack[1]
    if not 1 <= count <= most:
        raise MediaError(f"1 to {most} stickers in a pack for {place.name}", str(count), "split it")
    if len(about.emoji) not in (1, count):
        expected = f"emoji for all or for each of {count} stickers"
        raise MediaError(expected, str(len(about.emoji)), "give as many emoji as clips")
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise MediaError("a folder for the stickers", str(folder), "choose another name")
    if folder.is_dir() and any(folder.iterdir()):
        raise MediaError("a new or empty folder", f"{folder} with files", "choose another name")


def _missing(count: int, place: Place) -> list[str]:
    """What the place wants of a pack that this one lacks."""
    words = []
    if count < place.pack[0]:
        words.append(f"{place.name} takes packs of {place.pack[0]} or more: this one has {count}")
    if place.name == "line" and count >= place.pack[0] and count not in LINE_SETS:
        words.append(f"line takes sets of 8, 16 or 24: this one has {count}")
    return words


def _write_signed(path: Path, data: bytes, clip: Clip, limit: int) -> None:
    path.write_bytes(data)
    if clip.origin is None:
        return
    clip.origin.sign(path)
    size = path.stat().st_size
    if size > limit:
        expected = f"{path.name} of at most {limit} bytes once it is signed"
        do = f"report it: the signature takes more than {SIGNATURE} bytes"
        raise MediaError(expected, str(size), do)


def _nothing(clips: Sequence[Clip], names: Sequence[str], about: About) -> dict[str, bytes]:
    return {}


def _telegram(clips: Sequence[Clip], names: Sequence[str], about: About) -> dict[str, bytes]:
    """Emoji to give to the bot for each file, and the set's icon: 100 x 100, for the first clip."""
    lines = [f"{name} {about.emoji_of(index)}" for index, name in enumerate(names)]
    icon = make_sticker(_unmarked(clips[0]), replace(PLACES["telegram-emoji"], size=ICON_BYTES))
    return {"emoji.txt": ("\n".join(lines) + "\n").encode(), "icon.webm": icon.data}


def _emoji_list(clips: Sequence[Clip], names: Sequence[str], about: About) -> dict[str, bytes]:
    lines = [f"{name} {about.emoji_of(index)}" for index, name in enumerate(names)]
    return {"emoji.txt": ("\n".join(lines) + "\n").encode()}


def _whatsapp(clips: Sequence[Clip], names: Sequence[str], about: About) -> dict[str, bytes]:
    """contents.json as WhatsApp's sample app reads it, and the tray icon."""
    stickers = [
        {"image_file": name, "emojis": about.emoji_of(index).split()[:MOST_EMOJI]}
        for index, name in enumerate(names)
    ]
    pack = {
        "identifier": "1",
        "name": about.name,
        "publisher": about.author,
        "tray_image_file": "tray.png",
        "image_data_version": "1",
        "avoid_cache": False,
        "animated_sticker_pack": True,
        "stickers": stickers,
    }
    contents = {"android_play_store_link": "", "ios_app_store_link": "", "sticker_packs": [pack]}
    return {"contents.json": _json(contents), "tray.png": _tray(clips[0])}


def _tray(clip: Clip) -> bytes:
    data = still_of(clip, TRAY, TRAY, TAB_MARGIN)
    if len(data) > TRAY_BYTES:
        raise MediaError(f"a tray icon of {TRAY_BYTES} bytes", str(len(data)), "take a calmer clip")
    return data


def _line(clips: Sequence[Clip], names: Sequence[str], about: About) -> dict[str, bytes]:
    """The animated main image of the set and the still in the tab of the chat."""
    main: Sticker = make_sticker(
        _unmarked(clips[0]),
        replace(PLACES["line"], width=LINE_MAIN, height=LINE_MAIN, exact=True),
    )
    tab = still_of(clips[0], *LINE_TAB, TAB_MARGIN)
    return {"main.png": main.data, "tab.png": tab}


def _signal(clips: Sequence[Clip], names: Sequence[str], about: About) -> dict[str, bytes]:
    """The fields of Signal's pack manifest, with the file of each sticker."""
    stickers = [
        {"id": index, "emoji": about.emoji_of(index), "file": name}
        for index, name in enumerate(names)
    ]
    manifest = {
        "title": about.name,
        "author": about.author,
        "cover": stickers[0],
        "stickers": stickers,
    }
    return {"manifest.json": _json(manifest)}


def _unmarked(clip: Clip) -> Clip:
    """A clip whose small image beside the stickers is not signed on its own."""
    return clip if clip.origin is None else replace(clip, origin=_SealOnly(clip.origin))


class _SealOnly:
    """Marks as another origin does, and leaves signing to the stickers themselves."""

    writes_record = False

    def __init__(self, origin):
        self.origin = origin

    def seal(self, frames):
        """The same marked frames."""
        return self.origin.seal(frames)

    def sign(self, path: Path) -> None:
        """Nothing: too small for a manifest."""


def _json(content: object) -> bytes:
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()


Extras = Callable[[Sequence[Clip], Sequence[str], About], dict[str, bytes]]

EXTRAS: dict[str, Extras] = {
    "telegram": _telegram,
    "telegram-emoji": _emoji_list,
    "whatsapp": _whatsapp,
    "line": _line,
    "signal": _signal,
}
