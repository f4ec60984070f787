"""`Media`: a picture, a clip, a mask or a style that a task is given, named by path or content."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field, PrivateAttr, model_validator

from openlumiere.tasks.base import Value, shown

HEX = r"[0-9a-f]{64}"


class Media(Value):
    """A file by its `path`, or content by its `sha256`: a clip's is over its pixels and rate, a
    style's over its weights.

    Text form: a path, or `sha256:` and 64 digits. What is in memory (a `Clip`, an array, a PIL
    picture, a style) goes along as `content` and is not part of the JSON; the engine reads it, and
    files, once, before the work.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    path: str = Field("", max_length=4096, description="A file or a folder of frames.")
    sha256: str = Field("", pattern=f"^({HEX})?$", description="Of the content, in hex.")
    _content: Any = PrivateAttr(None)

    @classmethod
    def of(cls, value: Any) -> Media:
        """From a path, the text form, JSON, or something in memory."""
        if isinstance(value, Media):
            return value
        if isinstance(value, dict):
            return cls(**value)
        if isinstance(value, str) and value.startswith("sha256:"):
            return cls(sha256=value.removeprefix("sha256:"))
        if isinstance(value, (str, PathLike)):
            return cls(path=fspath(value))
        if value is None:
            raise ValueError("media: expected a file or a clip, got None, give one")
        return cls.model_construct(path="", sha256="").holding(value)

    @model_validator(mode="after")
    def check_named(self) -> Media:
        """A path or a sha256."""
        if not self.path and not self.sha256 and self._content is None:
            raise ValueError("media: expected a path or a sha256, got neither, name the file")
        if "\0" in self.path:
            raise ValueError(f"media: expected a path, got {shown(self.path)}, check the name")
        return self

    @property
    def content(self) -> Any:
        """What came from memory, or None."""
        return self._content

    @property
    def name(self) -> str:
        """The file's name, empty where it came from memory."""
        return Path(self.path).name if self.path else ""

    def holding(self, content: Any) -> Media:
        """The same, with its content in memory."""
        found = Media.model_construct(path=self.path, sha256=self.sha256)
        found._content = content
        return found

    def __str__(self) -> str:
        """The text form; of content in memory what it is."""
        if self.path or self.sha256:
            return self.path or f"sha256:{self.sha256}"
        return f"<{type(self._content).__name__}>"

    def __eq__(self, other: object) -> bool:
        """By name; content that has none is equal to itself alone."""
        if not isinstance(other, Media):
            return NotImplemented
        named = (self.path, self.sha256)
        return named == (other.path, other.sha256) and (
            named != ("", "") or self._content is other._content
        )

    def __hash__(self) -> int:
        return hash((self.path, self.sha256))


AS_IT_IS = ""
CLEAR = "transparent"


def read_background(value: Any) -> Any:
    """A text that is empty (as it is), "transparent" or a colour (by name, #rrggbb or
    rgb(r, g, b)), or a file or content that stands behind what is made.
    """
    if value is None:
        return AS_IT_IS
    if not isinstance(value, str):
        return Media.of(value)
    word = value.strip()
    return word if word in (AS_IT_IS, CLEAR) or is_colour(word) else Media.of(value)


def is_colour(word: str) -> bool:
    """Whether a text is a colour and no file's name."""
    from PIL import ImageColor

    try:
        ImageColor.getrgb(word)
    except ValueError:
        return False
    return True


Backdrop = Annotated[Media | str, BeforeValidator(read_background)]
"""What stands behind what is made: see `read_background`."""

Given = Annotated[Media, BeforeValidator(Media.of)]
"""A field that takes a path, JSON, or something in memory."""
