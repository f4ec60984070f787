"""A form a task: the model's fields as options of a command, and filled-in options as a task.

Names, ranges, choices, defaults and help come from `openlumiere.tasks`; nothing here imports torch.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, make_dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, Positional, UseAppendAction, arg

from openlumiere.tasks import KINDS, Task
from openlumiere.tasks.base import Part

POSITIONAL = ("image", "images", "clip", "prompt")
"""Fields that are given without a name, as far as a model begins with them."""

REPEATED = {"shots": "shot", "keyframes": "keyframe", "prompts": "prompt"}
"""Fields of several things: an option that may be given again."""

TEXT = {"memory_limit": "", "fps": "16"}
"""Fields that are written as text, and their defaults."""

NAMES = {"pixels": "keep"}
"""Fields that have another name as an option."""


Strict = Annotated[
    bool,
    FlagCreatePairsOff,
    arg(
        help="Write nothing, and exit with 1, where what was made strobes, jumps or has blank "
        "frames."
    ),
]


@dataclass(frozen=True, kw_only=True)
class Written:
    """Where the result goes."""

    output: Annotated[
        str,
        arg(
            aliases=("-o",),
            metavar="OUT",
            help="Where to write: .mp4, .webm, .gif, .webp, .apng, .mov, or a folder of PNG "
            "frames when it ends in /.",
        ),
    ]
    preview: Annotated[
        bool,
        FlagCreatePairsOff,
        arg(help="Also write OUT.sheet.png (frames) and OUT.xt.png (a row of pixels over time)."),
    ] = False
    lossless: Annotated[bool, FlagCreatePairsOff, arg(help="Keep every pixel.")] = False
    strict: Strict = False


@dataclass(frozen=True, kw_only=True)
class WrittenPicture:
    """Where a picture goes."""

    output: Annotated[
        str, arg(aliases=("-o",), metavar="OUT", help="Where to write: .png or .webp.")
    ]
    strict: Strict = False


@dataclass(frozen=True, kw_only=True)
class WrittenStyle:
    """Where a style goes."""

    output: Annotated[
        str, arg(aliases=("-o",), metavar="OUT", help="Where to write: .safetensors.")
    ]
    preview: Annotated[
        bool, arg(help="Also draw OUT.preview.png with the style at full weight.")
    ] = True


@dataclass(frozen=True, kw_only=True)
class Model:
    """Which weights, where, and in whose name."""

    model: Annotated[
        str | None,
        arg(
            metavar="DIR",
            help="A model folder, or owner/name on the hub, instead of the bundled weights.",
        ),
    ] = None
    device: Annotated[str, arg(help="cpu, cuda, cuda:1, mps.")] = "cpu"
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"],
        arg(help="Precision of the weights; auto is the fastest here, which a record names."),
    ] = "auto"
    memory: Annotated[
        str,
        arg(
            metavar="SIZE",
            help="Of a published model: the most that it may take on the device, as 8G; what is "
            "done for it is said.",
        ),
    ] = ""
    lora: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(
            metavar="FILE:X",
            help="Of a published model: a LoRA and its weight; may be given again.",
        ),
    ] = ()
    certificate: Annotated[
        str | None,
        arg(
            metavar="PEM",
            help="Certificates of your own, the signer's first, to sign with; goes with --key.",
        ),
    ] = None
    key: Annotated[str | None, arg(metavar="PEM", help="The certificate's private key.")] = None


WRITTEN: dict[str, type] = {"image": WrittenPicture, "learn-style": WrittenStyle}
"""Where results other than clips go."""

Option = tuple[str, Any, Any]
"""Name, annotated type and default of a field of a dataclass."""


@cache
def form_of(kind: str) -> type:
    """A frozen dataclass for tyro, of the fields of a task and of what the command adds."""
    model = KINDS[kind]
    options = [*positional(model), *named(model), *extra(kind)]
    forms = {name: part_form(part) for name, part in model.parts().items()}
    groups = [group(name, part, part()) for name, part in forms.items()]
    written = group("written", WRITTEN.get(kind, Written), dataclasses.MISSING)
    return dataclass_of(
        model.__name__, [*options, *groups, written, group("model", Model, Model())]
    )


def group(name: str, form: Any, default: Any) -> Option:
    """Options under a heading of their own, without a prefix."""
    return name, OmitArgPrefixes[form], default  # type: ignore[misc]


def dataclass_of(name: str, options: list[Option]) -> type:
    """A frozen dataclass of these fields."""
    fields = [
        (option, kind, dataclasses.field(default=default)) for option, kind, default in options
    ]
    return make_dataclass(name, fields, frozen=True, kw_only=True)


def positional(model: type[Task]) -> list[Option]:
    """The first fields, as words without a name."""
    found = []
    for name, field in fields_of(model):
        if name not in POSITIONAL:
            break
        found.append(positional_option(name, field))
    return found


def positional_option(name: str, field: FieldInfo) -> Option:
    """A field as a word without a name; what may be left out stands in brackets."""
    help_ = str(field.description)
    if name == "images":
        several = Annotated[
            Positional[tuple[str, ...]], arg(metavar="IMAGE [IMAGE ...]", help=help_)
        ]
        return name, several, dataclasses.MISSING
    needed = field.is_required() or name == "image"
    metavar = name.upper() if needed else f"[{name.upper()}]"
    default = dataclasses.MISSING if needed else ""
    return name, Annotated[Positional[str], arg(metavar=metavar, help=help_)], default


def named(model: type[Task]) -> list[Option]:
    """The other fields, as options."""
    taken = {name for name, _, _ in positional(model)}
    found: list[Option] = []
    for name, field in fields_of(model):
        if name not in taken and name not in model.parts():
            found += [STYLE, STYLE_WEIGHT] if name == "styles" else [option_of(name, field)]
    return found


STYLE: Option = (
    "style",
    Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(
            metavar="FILE",
            help="A style that learn-style wrote, or a LoRA file (PEFT or kohya); may be given "
            "again.",
        ),
    ],
    (),
)
STYLE_WEIGHT: Option = (
    "style_weight",
    Annotated[
        UseAppendAction[tuple[float, ...]],
        arg(metavar="X", help="0 (off) to 1, for all styles or one for each (0.7)."),
    ],
    (),
)


def part_form(part: type[Part]) -> type:
    """A group of options, from a part that several tasks share."""
    options = [option_of(name, field) for name, field in part.model_fields.items()]
    return dataclass_of(part.__name__, options)


def option_of(name: str, field: FieldInfo) -> Option:
    """One field as an option."""
    help_ = str(field.description)
    if name in REPEATED:
        kind = Annotated[
            UseAppendAction[tuple[str, ...]],
            arg(metavar=metavar_of(name), help=f"{help_} May be given again."),
        ]
        return REPEATED[name], kind, ()
    spelled = NAMES.get(name, name)
    default = dataclasses.MISSING if field.is_required() else TEXT.get(name, field.default)
    plain = str if name in TEXT else plain_type(field.annotation)
    if plain is bool and default is False:
        return spelled, Annotated[bool, FlagCreatePairsOff, arg(help=help_)], default
    return spelled, Annotated[plain, arg(metavar=metavar_of(name, plain), help=help_)], default


def metavar_of(name: str, plain: Any = str) -> str | None:
    """What stands for a value in the help; None leaves it to tyro."""
    if plain == int | None:
        return "INT"
    if plain == float | None:
        return "FLOAT"
    words = {"region": "R", "to": "WxH", "memory_limit": "SIZE", "keyframes": "FILE:N"}
    words["background"] = "transparent|COLOUR|FILE"
    if name in words:
        return words[name]
    return "TEXT" if plain is str and name not in TEXT else None


def plain_type(annotation: Any) -> Any:
    """A field's type as the command reads it: numbers, choices and flags as they are, all else as
    text.
    """
    origin = get_origin(annotation)
    if origin is Annotated:
        return plain_type(get_args(annotation)[0])
    if origin in (Union, UnionType):
        inner = [plain_type(each) for each in get_args(annotation) if each is not type(None)]
        return inner[0] | None
    if origin is Literal or annotation in (int, float, bool):
        return annotation
    return str


def fields_of(model: type[Task]) -> list[tuple[str, FieldInfo]]:
    """All fields but the kind."""
    return [(name, field) for name, field in model.model_fields.items() if name != "kind"]


COUNT: Option = (
    "count",
    Annotated[int, arg(help="Clips to make, seeds counting up; files are numbered.")],
    1,
)
ALLOW_PARTIAL: Option = (
    "allow_partial",
    Annotated[bool, FlagCreatePairsOff, arg(help="Take what there is of a broken file.")],
    False,
)
FROM_PROMPT: Option = (
    "from_prompt",
    Annotated[
        bool,
        FlagCreatePairsOff,
        arg(help="IMAGE is a sentence: its picture is made first and written to OUT.first.png."),
    ],
    False,
)


def extra(kind: str) -> list[Option]:
    """What the command adds to a task."""
    found = {"generate": [COUNT], "animate": [FROM_PROMPT]}.get(kind, [])
    return [*found, ALLOW_PARTIAL] if "clip" in KINDS[kind].model_fields else found


ADDED = ("count", "allow_partial", "from_prompt", "written", "model", "waiting")


def values_of(kind: str, form: Any) -> dict[str, Any]:
    """A filled-in form as the words of a task: groups laid flat, empty ones left out."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(form):
        value = getattr(form, field.name)
        if field.name in ADDED:
            continue
        found |= vars(value) if dataclasses.is_dataclass(value) else {field.name: value}
    names = {option: name for name, option in REPEATED.items() if name in KINDS[kind].model_fields}
    names |= {option: name for name, option in NAMES.items()}
    renamed = {names.get(option, option): value for option, value in found.items()}
    return {name: value for name, value in renamed.items() if value not in ((), None)}
