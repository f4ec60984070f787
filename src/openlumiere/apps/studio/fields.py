"""What a form asks: each field of a task's model, with the widget that it needs.

Names, defaults, ranges, choices and help come from `openlumiere.tasks`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from openlumiere.apps.cli.forms import TEXT, fields_of, plain_type
from openlumiere.tasks import KINDS
from openlumiere.tasks.base import spoken

Widget = Literal[
    "text",
    "prompt",
    "lines",
    "number",
    "maybe",
    "slider",
    "choice",
    "flag",
    "clip",
    "picture",
    "pictures",
    "region",
    "keyframes",
    "styles",
    "background",
]

WIDGETS: dict[str, Widget] = {
    "clip": "clip",
    "image": "picture",
    "images": "pictures",
    "region": "region",
    "keyframes": "keyframes",
    "styles": "styles",
    "background": "background",
    "prompt": "prompt",
    "shots": "lines",
    "prompts": "lines",
}
"""Fields whose type alone does not say how a person fills them in."""

FIRST = ("clip", "image", "images", "prompt", "region", "keyframes", "shots", "name", "prompts")
BESIDE = ("seed", "steps", "frames", "seconds", "size", "to", "strength", "motion", "loop")
"""Fields that are seen at once; all others fold away."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """A question of a form. `name` is the word that the task takes; `low` and `high` are None where
    there is no bound.
    """

    name: str
    widget: Widget
    help: str
    default: Any
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    whole: bool = False

    @property
    def label(self) -> str:
        """As a person says it."""
        return spoken(self.name).capitalize()

    @property
    def group(self) -> Literal["first", "beside", "more"]:
        """Where in the form it stands."""
        if self.name in FIRST:
            return "first"
        return "beside" if self.name in BESIDE else "more"


def questions(kind: str) -> list[Field]:
    """All fields of a task, those of its parts laid flat, in the order of the model."""
    model = KINDS[kind]
    parts = model.parts()
    found = []
    for name, _ in fields_of(model):
        owner = parts.get(name)
        names = owner.loose(model) if owner else [name]
        found += [question(owner or model, each) for each in names]
    return sorted(found, key=lambda each: order_of(each.name))


def order_of(name: str) -> int:
    """Media and prompts first, then what is changed most."""
    ordered = (*FIRST, *BESIDE)
    return ordered.index(name) if name in ordered else len(ordered)


def question(model: Any, name: str) -> Field:
    """One field of a model."""
    field = model.model_fields[name]
    plain = plain_type(field.annotation)
    low, high = bounds_of(field)
    kind = number_of(plain)
    default = TEXT.get(name, None if field.is_required() else field.default)
    return Field(
        name=name,
        widget=WIDGETS.get(name) or widget_of(plain, low, high, name),
        help=str(field.description or ""),
        default=default,
        low=low,
        high=high,
        choices=choices_of(plain),
        whole=kind is int,
    )


def widget_of(plain: Any, low: float | None, high: float | None, name: str) -> Widget:
    """How a plain type is asked for: numbers between two bounds by a slider; `maybe` is a number
    that may be left out.
    """
    kind = number_of(plain)
    if name in TEXT:
        return "text"
    if plain is bool:
        return "flag"
    if choices_of(plain):
        return "choice"
    if kind is None:
        return "text"
    if type(None) in get_args(plain):
        return "maybe"
    bounded = low is not None and high is not None
    return "slider" if kind is float and bounded else "number"


def choices_of(plain: Any) -> tuple[str, ...]:
    """The words among which a type lets one be chosen; none where it is another type."""
    kinds = [each for each in (plain, *get_args(plain)) if get_origin(each) is Literal]
    return get_args(kinds[0]) if kinds else ()


def number_of(plain: Any) -> type | None:
    """int or float where a type is a number or none."""
    kinds = (plain, *get_args(plain))
    return next((kind for kind in (int, float) if kind in kinds), None)


def bounds_of(field: FieldInfo) -> tuple[float | None, float | None]:
    """The least and the most that a field takes, None without a bound."""
    marks = [*field.metadata, *marks_of(field.annotation)]
    low = [mark.ge for mark in marks if hasattr(mark, "ge")]
    high = [mark.le for mark in marks if hasattr(mark, "le")]
    return next(iter(low), None), next(iter(high), None)


def marks_of(annotation: Any) -> list[Any]:
    """What is noted on a type, and on the types of which it is one."""
    inner = [mark for each in get_args(annotation) for mark in marks_of(each)]
    own = getattr(annotation, "__metadata__", ())
    notes = [note for each in own for note in getattr(each, "metadata", [each])]
    return [*notes, *inner]
