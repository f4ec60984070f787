"""`Value`: what every part of a task is. Frozen, checked when it is made, and sure to refuse a name
that it does not know.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails


class Value(BaseModel):
    """A frozen value. Raises ValueError, in one line of three parts, for what can't be.

    A value given as `None` where there is a default is the default. Names that belong to a part
    (`seed` to `sampling`) may be given to the whole: they are put where they belong.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**without_empty(type(self), self.gathered(values)))
        except ValidationError as error:
            raise ValueError(one_line(error, self.words())) from None

    @classmethod
    def gathered(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Values by field: loose ones put into the part that has them."""
        found = dict(values)
        for name, part in cls.parts().items():
            loose = {key: found.pop(key) for key in tuple(found) if key in part.loose(cls)}
            if loose:
                found[name] = part.merged(found.get(name), loose)
        return found

    @classmethod
    def parts(cls) -> dict[str, type[Part]]:
        """The fields whose own fields may be given to the whole."""
        kinds = {name: field.annotation for name, field in cls.model_fields.items()}
        return {
            name: kind
            for name, kind in kinds.items()
            if isinstance(kind, type) and issubclass(kind, Part)
        }

    @classmethod
    def words(cls) -> list[str]:
        """Every name that may be given."""
        loose = [word for part in cls.parts().values() for word in part.loose(cls)]
        return [name for name in cls.model_fields if name != "kind"] + loose


class Part(Value):
    """A group of choices that several tasks share, such as `Sampling`."""

    @classmethod
    def loose(cls, whole: type[Value]) -> list[str]:
        """Names of this part that the whole does not have itself."""
        return [name for name in cls.model_fields if name not in whole.model_fields]

    @classmethod
    def merged(cls, given: Any, loose: dict[str, Any]) -> Any:
        """The part with loose values laid over it."""
        if given is None:
            return cls(**loose)
        if isinstance(given, cls):
            given = given.model_dump()
        if not isinstance(given, dict):
            given = cls.read(given)
        return cls(**{**given, **loose})

    @classmethod
    def read(cls, given: Any) -> dict[str, Any]:
        """What stands for the part in short, as its fields."""
        raise ValueError(
            f"{cls.__name__.lower()}: expected {cls.__name__}, got {shown(given)}, give its fields"
        )


def without_empty(kind: type[BaseModel], values: dict[str, Any]) -> dict[str, Any]:
    """Without `None` where there is a default."""
    fields = kind.model_fields
    return {
        name: value
        for name, value in values.items()
        if value is not None or name not in fields or fields[name].is_required()
    }


def one_line(error: ValidationError, words: Iterable[str] = ()) -> str:
    """The first of pydantic's findings: what was expected, what came, and what to do."""
    found = error.errors(include_url=False)[0]
    if found["type"] == "value_error":
        message = str(found["ctx"]["error"])
        if ": expected " in message:
            return message
    return f"{spoken(found['loc'])}: {in_three_parts(found, list(words))}"


def in_three_parts(found: ErrorDetails, words: list[str]) -> str:
    """One of pydantic's findings, without the name of its field."""
    match found["type"]:
        case "extra_forbidden":
            name = str(found["loc"][-1])
            return f"expected one of {', '.join(words)}, got {name[:60]!r}, {nearest(name, words)}"
        case "missing":
            return "expected a value, got none, give it"
        case "union_tag_not_found":
            return f"expected a kind among {', '.join(words)}, got none, name the task"
        case "literal_error" | "union_tag_invalid":
            choices = choices_of(found)
            got = found["ctx"].get("tag", found["input"])
            do = nearest(str(got), choices, "name one of these")
            return f"expected one of {', '.join(choices)}, got {shown(got)}, {do}"
    message = found["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return f"expected {message}, got {shown(found['input'])}, change it"


def choices_of(found: ErrorDetails) -> list[str]:
    """The choices that an error of pydantic names."""
    message = str(found["ctx"].get("expected") or found["ctx"].get("expected_tags"))
    return [choice.strip(" '") for choice in message.replace(" or ", ", ").split(",")]


def nearest(name: str, choices: Iterable[str], otherwise: str = "leave it out") -> str:
    """`perhaps you meant strength`, where one of the choices is near."""
    close = get_close_matches(name, list(choices), n=1, cutoff=0.6)
    return f"perhaps you meant {close[0]}" if close else otherwise


def spoken(loc: Iterable[int | str] | str | None) -> str:
    """A field as a person says it: `style_weight` is style weight."""
    names = [loc] if isinstance(loc, str) else [part for part in loc or () if isinstance(part, str)]
    return names[-1].replace("_", " ") if names else "task"


def shown(value: object) -> str:
    """A value in a message: printable, at most 100 characters."""
    text = repr(value)[:100] if isinstance(value, (str, int, float, type(None))) else plain(value)
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def plain(value: object) -> str:
    """What is neither text nor number: its type, and what it says of itself."""
    return f"{type(value).__name__} {str(value)[:60]}"
