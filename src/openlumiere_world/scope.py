"""What of the world is drawn: everything, or a part that a small net can learn."""

from collections.abc import Iterable
from dataclasses import dataclass, fields

from openlumiere_world.backgrounds import COLOURS, PLAIN, SCENES
from openlumiere_world.effects import KINDS
from openlumiere_world.motions import MOTIONS
from openlumiere_world.names import LANGUAGES
from openlumiere_world.sources import SOURCES, Source
from openlumiere_world.subjects import Item

SPEEDS = ("slow", "medium", "fast")
CAMERAS = ("still", "pan left", "pan right", "pan up", "pan down", "zoom in", "zoom out")
PLACES = {
    "left": (-1, 0),
    "right": (1, 0),
    "top": (0, -1),
    "bottom": (0, 1),
    "top left": (-1, -1),
    "top right": (1, -1),
    "bottom left": (-1, 1),
    "bottom right": (1, 1),
    "centre": (0, 0),
}
SIZES = {"small": (0.24, 0.28), "medium": (0.36, 0.5), "large": (0.6, 0.68)}
STYLES = tuple(dict.fromkeys(source.style for source in SOURCES))

_KNOWN = {
    "styles": STYLES,
    "kinds": ("still", "animated"),
    "motions": tuple(MOTIONS),
    "speeds": SPEEDS,
    "backgrounds": (*COLOURS, "gradient", *SCENES),
    "cameras": CAMERAS,
    "effects": ("", *KINDS),
    "places": ("", *PLACES),
    "sizes": tuple(SIZES),
    "languages": LANGUAGES,
}


@dataclass(frozen=True, kw_only=True)
class Scope:
    """A part of the world. An empty tuple leaves everything in; the names are those that facts use.

    `subjects`: code points. `effects` and `places` hold "" where there may be none. `sizes` are of
    subjects whose motion leaves them a choice. `side`: least and greatest side of a lone subject,
    in frame sides, in place of those that `sizes` stand for. `default_style`: the style that a
    caption need not name, and names every other (our choice: a short prompt then means one style).
    `wordings`: how many captions one content has in one language at most, 0 for as many as the
    grammar makes.

    Raises:
        ValueError: a name that the world does not know.
    """

    subjects: tuple[str, ...] = ()
    styles: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    motions: tuple[str, ...] = ()
    speeds: tuple[str, ...] = ()
    backgrounds: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ()
    effects: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    side: tuple[float, float] | None = None
    copies: bool = True  # two to four of a kind
    pairs: bool = True  # two subjects
    loops: bool = True
    default_style: str = ""
    wordings: int = 0

    def __post_init__(self):
        for field in fields(self):
            unknown = (
                set(getattr(self, field.name)) - set(_KNOWN[field.name])
                if field.name in _KNOWN
                else ()
            )
            if unknown:
                raise ValueError(
                    f"scope: expected {field.name} among {', '.join(_KNOWN[field.name])}, got"
                    f" {min(unknown)!r}, use those names"
                )

    def holds(self, item: Item) -> bool:
        """Whether a drawing lies in this part of the world."""
        return self.holds_source(item) and self.holds_subject(item.subject)

    def holds_source(self, source: Source | Item) -> bool:
        """Whether drawings of this style and kind do."""
        return bool(within(self.styles, [source.style]) and within(self.kinds, [source.kind]))

    def holds_subject(self, subject: str) -> bool:
        """Whether a subject lies in this part of the world."""
        return bool(within(self.subjects, [subject]))


def within(allowed: tuple[str, ...], options: Iterable[str]) -> tuple[str, ...]:
    """The options that a scope's field leaves, in their order."""
    return tuple(option for option in options if not allowed or option in allowed)


WORLD_32 = Scope(  # what a net of six million parameters learns at 32 px, on a CPU if need be
    subjects=("1f408-200d-2b1b", "1f415", "1f680", "1f697", "2b50", "1f438", "1f427", "1f98b"),
    styles=("3d", "noto", "twemoji"),  # of the styles of these subjects, three that differ at 32 px
    kinds=("still",),
    motions=("stay", "left", "right", "up", "down"),
    speeds=("slow", "medium"),
    backgrounds=PLAIN,
    cameras=("still",),
    effects=("",),
    places=("",),
    sizes=("medium",),
    side=(0.5, 0.6),
    copies=False,
    pairs=False,
    loops=False,
    default_style="3d",
    wordings=2,
)
WORLD_64 = Scope()
SCOPES = {"world-32": WORLD_32, "world-64": WORLD_64}
