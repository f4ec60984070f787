"""`Lumiere`: a method a task, from what a person gives to a finished clip."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from fractions import Fraction
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch

from openlumiere.diffusion.multidiffusion import Windows
from openlumiere.diffusion.process import make_scheduler
from openlumiere.engine.base import LumierePipeline
from openlumiere.engine.cascade import LumiereUpscalePipeline
from openlumiere.engine.finish import Made, Replay, check_keys, sources_of
from openlumiere.engine.fit import encode, encode_whole, enlarge, fit, restore
from openlumiere.engine.inputs import (
    Given,
    Inputs,
    Picture,
    Video,
    as_mask,
    check_given,
    open_clip,
    open_picture,
    screen_inputs,
)
from openlumiere.engine.learn_style import Learning, learn
from openlumiere.engine.long import film
from openlumiere.engine.memory import pick_tiles, pick_windows, room_for, weights_of
from openlumiere.engine.plan import FRAME, STYLE, canvas_for, styles_of
from openlumiere.engine.run import OnStep
from openlumiere.media import Clip
from openlumiere.models.folder import UPSCALER, read_subjects
from openlumiere.models.hub import locate
from openlumiere.models.style import Style, blended
from openlumiere.safety import prompts as screen
from openlumiere.safety.frames import check_frames
from openlumiere.settings import Settings
from openlumiere.tasks.prompts import parse_script
from openlumiere.tasks.region import Canvas, Region
from openlumiere.tasks.request import (
    DEFAULT_FEATHER,
    DEFAULT_FPS,
    DEFAULT_FRAMES,
    DEFAULT_GUIDANCE,
    DEFAULT_LEVEL,
    DEFAULT_SIZE,
    DEFAULT_STEPS,
    UPSCALE_STEPS,
    Request,
    frame_count,
)

WEIGHTS = Path(__file__).parent.parent / "weights"
WINDOWS = Windows(
    frames=DEFAULT_FRAMES, overlap=16, tapered=True
)  # of given clips longer than the net's five seconds (our choice)
DEFAULT_STYLE_WEIGHT = 0.7

Styles = Given | Style | str | Path | Sequence[Given | Style | str | Path]


class Lumiere:
    """The whole cascade: base model, enlargement, and the origin that every made clip carries."""

    def __init__(
        self,
        base: LumierePipeline,
        upscaler: LumiereUpscalePipeline | None = None,
        subjects: dict[str, list[str]] | None = None,
        settings: Settings | None = None,
    ):
        self.settings = settings or Settings.load()
        self.base, self.upscaler = base, upscaler
        self.subjects = (
            subjects or {}
        )  # what it was shown, each with the words that name it, where its folder says so
        self._model = (
            base.fingerprint()
            if upscaler is None
            else sha256(f"{base.fingerprint()} {upscaler.fingerprint()}".encode()).hexdigest()
        )
        self._picture_net = base.stunet.fingerprint()
        self._trained = base.scheduler.config

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path | None = None,
        *,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        settings: Settings | None = None,
    ) -> Lumiere:
        """The carried weights, or a folder in diffusers' layout, or `owner/name` on the hub; its
        super-resolution net is in `upscaler/`.
        """
        folder = locate(model or WEIGHTS)
        upscaler = (
            LumiereUpscalePipeline.from_pretrained(folder / UPSCALER, torch_dtype=dtype).to(device)
            if (folder / UPSCALER).is_dir()
            else None
        )
        return cls(
            LumierePipeline.from_pretrained(folder, torch_dtype=dtype).to(device),
            upscaler,
            read_subjects(folder),
            settings,
        )

    def generate(
        self,
        prompt: str,
        *,
        seed: int = 0,
        negative: str = "",
        frames: int | None = None,
        seconds: float | None = None,
        fps: int | str | Fraction = DEFAULT_FPS,
        steps: int = DEFAULT_STEPS,
        guidance: float = DEFAULT_GUIDANCE,
        size: int = DEFAULT_SIZE,
        scheduler: str = "ddim",
        loop: bool = False,
        shots: Sequence[str] = (),
        upscale: bool = True,
        memory_limit: int = 0,
        style: Styles = (),
        style_weight: float | Sequence[float] = DEFAULT_STYLE_WEIGHT,
        on_step: OnStep | None = None,
    ) -> Clip:
        """Text to video: one clip of `frames` (80) frames, or of `seconds` at `fps`, `size` x
        `size` pixels (0: the net's own).

        Frames are enlarged by the super-resolution net, where there is one and `upscale` says so,
        and by Lanczos resampling to the size asked for. With `loop` the last frame goes over into
        the first. A prompt may be a schedule, `"0s: a cat sits | 3s: it jumps"`, and `shots` are
        prompts of further shots of that length, cut one after the other. `memory_limit` in bytes
        chooses windows and tiles (0: none does). `style` is one or several (`learn_style`, or a
        LoRA file), `style_weight` in [0, 1] for all or each. Raises ValueError for what can't be
        made.
        """
        return self.make_of(
            Request(
                prompt=prompt,
                negative=negative,
                seed=seed,
                frames=frame_count(frames, seconds, fps),
                fps=str(fps),
                steps=steps,
                guidance=guidance,
                size=size,
                scheduler=scheduler,
                loop=loop,
                shots=tuple(shots),
                upscale=upscale,
                memory_limit=memory_limit,
            ),
            {},
            style,
            style_weight,
            on_step,
        )

    def generate_image(
        self,
        prompt: str,
        *,
        seed: int = 0,
        negative: str = "",
        steps: int = DEFAULT_STEPS,
        guidance: float = DEFAULT_GUIDANCE,
        size: int = DEFAULT_SIZE,
        scheduler: str = "ddim",
        style: Styles = (),
        style_weight: float | Sequence[float] = DEFAULT_STYLE_WEIGHT,
        on_step: OnStep | None = None,
    ) -> Clip:
        """Text to image by the frozen picture net: a clip of one frame."""
        return self.make_of(
            Request(
                task="image",
                prompt=prompt,
                negative=negative,
                seed=seed,
                frames=1,
                steps=steps,
                guidance=guidance,
                size=size,
                scheduler=scheduler,
            ),
            {},
            style,
            style_weight,
            on_step,
        )

    def animate(
        self,
        image: Picture | None = None,
        prompt: str = "",
        *,
        keyframes: Mapping[int, Picture] | None = None,
        motion: float = 1.0,
        frames: int | None = None,
        seconds: float | None = None,
        fps: int | str | Fraction = DEFAULT_FPS,
        size: int = 0,
        loop: bool = False,
        seed: int = 0,
        negative: str = "",
        steps: int = DEFAULT_STEPS,
        guidance: float = DEFAULT_GUIDANCE,
        scheduler: str = "ddim",
        keep: str = "exact",
        feather: int = DEFAULT_FEATHER,
        style: Styles = (),
        style_weight: float | Sequence[float] = DEFAULT_STYLE_WEIGHT,
        on_step: OnStep | None = None,
    ) -> Clip:
        """Image to video: `image` is frame 0, and `keyframes` are pictures at other frames (without
        `image`: at any).

        The clip has the picture's size and proportions, or `size` pixels on the longer side.
        `motion` is how fast time runs: 0.5 is half of what would happen, 0 nothing. Raises
        ValueError for what can't be made.
        """
        pictures = {**({} if image is None else {0: image}), **(keyframes or {})}
        if not pictures:
            raise ValueError(
                "image: expected a picture or keyframes, got neither, give the first frame"
            )
        return self.make_of(
            Request(
                task="animate",
                prompt=prompt,
                negative=negative,
                seed=seed,
                frames=frame_count(frames, seconds, str(fps)),
                fps=str(fps),
                steps=steps,
                guidance=guidance,
                size=size,
                scheduler=scheduler,
                loop=loop,
                keep=keep,
                feather=feather,
                motion=motion,
            ),
            {f"{FRAME}{index}": open_picture(picture) for index, picture in pictures.items()},
            style,
            style_weight,
            on_step,
        )

    def inpaint(
        self,
        clip: Video,
        region: Region | np.ndarray | str | Path | tuple,
        prompt: str = "",
        *,
        seed: int = 0,
        negative: str = "",
        steps: int = DEFAULT_STEPS,
        guidance: float = DEFAULT_GUIDANCE,
        scheduler: str = "ddim",
        keep: str = "exact",
        feather: int = DEFAULT_FEATHER,
        style: Styles = (),
        style_weight: float | Sequence[float] = DEFAULT_STYLE_WEIGHT,
        on_step: OnStep | None = None,
    ) -> Clip:
        """Make new what lies in `region` (see `Region.of`); all else is known. Size, rate, length
        and sound are the clip's.
        """
        return self._edit_clip(
            "inpaint",
            clip,
            Request(
                task="inpaint",
                prompt=prompt,
                negative=negative,
                seed=seed,
                steps=steps,
                guidance=guidance,
                size=0,
                scheduler=scheduler,
                keep=keep,
                feather=feather,
            ),
            region,
            style,
            style_weight,
            on_step,
        )

    def outpaint(
        self,
        clip: Video,
        size: tuple[int, int],
        prompt: str = "",
        *,
        seed: int = 0,
        negative: str = "",
        steps: int = DEFAULT_STEPS,
        guidance: float = DEFAULT_GUIDANCE,
        scheduler: str = "ddim",
        keep: str = "exact",
        feather: int = DEFAULT_FEATHER,
        style: Styles = (),
        style_weight: float | Sequence[float] = DEFAULT_STYLE_WEIGHT,
        on_step: OnStep | None = None,
    ) -> Clip:
        """Make new what lies around the clip in frames of `size` (width, height), which holds it
        unscaled in its middle.
        """
        return self._edit_clip(
            "outpaint",
            clip,
            Request(
                task="outpaint",
                prompt=prompt,
                negative=negative,
                seed=seed,
                steps=steps,
                guidance=guidance,
                size=0,
                scheduler=scheduler,
                keep=keep,
                feather=feather,
                to=f"{size[0]}x{size[1]}",
            ),
            None,
            style,
            style_weight,
            on_step,
        )

    def mend(
        self,
        clip: Video,
        region: Region | np.ndarray | str | Path | tuple | None = None,
        prompt: str = "",
        *,
        seed: int = 0,
        negative: str = "",
        steps: int = DEFAULT_STEPS,
        guidance: float = DEFAULT_GUIDANCE,
        scheduler: str = "ddim",
        keep: str = "exact",
        feather: int = DEFAULT_FEATHER,
        on_step: OnStep | None = None,
    ) -> Clip:
        """Repair what is broken: in `region`, or scratches, specks, lost frames, flicker and logos
        as `quality/repair.py` finds them.
        """
        return self._edit_clip(
            "mend",
            clip,
            Request(
                task="mend",
                prompt=prompt,
                negative=negative,
                seed=seed,
                steps=steps,
                guidance=guidance,
                size=0,
                scheduler=scheduler,
                keep=keep,
                feather=feather,
            ),
            region,
            (),
            (),
            on_step,
        )

    def cinemagraph(
        self,
        image: Picture,
        region: Region | np.ndarray | str | Path | tuple,
        prompt: str = "",
        *,
        loop: bool = True,
        frames: int | None = None,
        seconds: float | None = None,
        fps: int | str | Fraction = DEFAULT_FPS,
        size: int = 0,
        motion: float = 1.0,
        seed: int = 0,
        negative: str = "",
        steps: int = DEFAULT_STEPS,
        guidance: float = DEFAULT_GUIDANCE,
        scheduler: str = "ddim",
        keep: str = "exact",
        feather: int = DEFAULT_FEATHER,
        style: Styles = (),
        style_weight: float | Sequence[float] = DEFAULT_STYLE_WEIGHT,
        on_step: OnStep | None = None,
    ) -> Clip:
        """A picture of which only `region` moves; with `loop` its last frame goes over into its
        first.
        """
        text, mask = read_region(region)
        request = Request(
            task="cinemagraph",
            prompt=prompt,
            negative=negative,
            seed=seed,
            frames=frame_count(frames, seconds, str(fps)),
            fps=str(fps),
            steps=steps,
            guidance=guidance,
            size=size,
            scheduler=scheduler,
            loop=loop,
            keep=keep,
            feather=feather,
            motion=motion,
            region=text,
        )
        return self.make_of(
            request, {"picture": open_picture(image), **mask}, style, style_weight, on_step
        )

    def restyle(
        self,
        clip: Video,
        prompt: str,
        *,
        strength: float = 0.6,
        structure: float = 0.0,
        seed: int = 0,
        negative: str = "",
        steps: int = DEFAULT_STEPS,
        guidance: float = DEFAULT_GUIDANCE,
        scheduler: str = "ddim",
        style: Styles = (),
        style_weight: float | Sequence[float] = DEFAULT_STYLE_WEIGHT,
        on_step: OnStep | None = None,
    ) -> Clip:
        """Change a whole clip: `strength` 0 gives it back, 1 makes all anew (SDEdit, on all frames
        at once).

        `structure` holds the clip's coarse shapes for that share of the noise levels, the noisiest
        first: at 0.5 its motion stays nearer.
        """
        return self._edit_clip(
            "restyle",
            clip,
            Request(
                task="restyle",
                prompt=prompt,
                negative=negative,
                seed=seed,
                steps=steps,
                guidance=guidance,
                size=0,
                scheduler=scheduler,
                strength=strength,
                structure=structure,
            ),
            None,
            style,
            style_weight,
            on_step,
        )

    def _edit_clip(
        self,
        task: str,
        clip: Video,
        request: Request,
        region: object,
        style: Styles,
        style_weight: float | Sequence[float],
        on_step: OnStep | None,
    ) -> Clip:
        """An edit of a clip: the request takes its length and rate."""
        given = open_clip(clip)
        text, mask = ("", {}) if region is None else read_region(region)
        request = replace(
            request, task=task, frames=len(given.content), fps=str(given.content.fps), region=text
        )
        return self.make_of(request, {"clip": given, **mask}, style, style_weight, on_step)

    def learn_style(
        self,
        images: Sequence[Picture],
        name: str,
        *,
        prompts: Sequence[str] = (),
        learning: Learning = Learning(),
    ) -> Style:
        """A style from one to five pictures, by fine-tuning the picture net; `prompts` say what
        they show, apart from their style.
        """
        self.base.scheduler = make_scheduler("ddim", self._trained)
        pictures = [open_picture(image) for image in images]
        screen_inputs(
            {f"picture {index}": picture for index, picture in enumerate(pictures)},
            self.settings.policy,
        )
        return learn(self.base, pictures, name, prompts, learning)

    def make_of(
        self,
        request: Request,
        inputs: Inputs,
        style: Styles,
        style_weight: float | Sequence[float],
        on_step: OnStep | None,
    ) -> Clip:
        """Make what the request asks for of these inputs, which go into its record."""
        styles = open_styles(style)
        weights = (
            (style_weight,) * len(styles)
            if isinstance(style_weight, (int, float))
            else tuple(style_weight)
        )
        inputs = {**inputs, **{f"{STYLE}{index}": given for index, given in enumerate(styles)}}
        recorded = tuple(given.record(role) for role, given in inputs.items())
        return self.make(replace(request, inputs=recorded, style_weights=weights), on_step, inputs)

    def make(
        self, request: Request, on_step: OnStep | None = None, inputs: Inputs | None = None
    ) -> Clip:
        """The clip that a request asks for of its inputs, with its origin; `on_step` is called
        after each denoising step.
        """
        inputs = inputs or {}
        check_given(request, inputs)
        screen.check(
            *dict.fromkeys(
                (
                    request.prompt,
                    *(line.prompt for line in parse_script(request.prompt)),
                    *request.shots,
                )
            ),
            policy=self.settings.policy,
        )
        screen_inputs(inputs, self.settings.policy)
        check_keys(self.settings)
        canvas = canvas_for(request, inputs)
        self.base.scheduler = make_scheduler(request.scheduler, self._trained)
        with blended(self.base.stunet.unet2d, styles_of(request, inputs), self._picture_net):
            frames = self._frames(request, canvas, inputs, on_step)
        record = self._record(request)
        origin = (
            inputs["clip"].content.origin
            if unchanged(frames, inputs)
            else Made(record, sources_of(record, inputs), self.settings)
        )
        made = Clip(
            frames,
            fps=Fraction(request.fps),
            origin=origin,
            audio=inputs["clip"].content.audio if "clip" in inputs else None,
        )
        check_frames("what was made", made, self.settings.policy)
        return made

    def _frames(
        self, request: Request, canvas: Canvas | None, inputs: Inputs, on_step: OnStep | None
    ) -> np.ndarray:
        if canvas is not None:
            return self._from_canvas(request, canvas, on_step)
        if request.task == "upscale":
            return self._enlarged(inputs["clip"].content.frames, request, request.steps)
        return self._from_words(request, on_step)

    def replay(
        self, record: Replay, on_step: OnStep | None = None, inputs: Inputs | None = None
    ) -> Clip:
        """Make a clip again from its record and the same inputs (`engine/inputs.py`): on the same
        machine, bit for bit.

        Raises ValueError for another model, precision or input.
        """
        if record.model != self._model:
            raise ValueError(
                f"replay: expected the model {record.model[:12]}, got {self._model[:12]}, load the one that made the clip, as {record.dtype}"
            )
        with threads(record.threads):
            return self.make(
                Request(**{field.name: getattr(record, field.name) for field in fields(Request)}),
                on_step,
                inputs,
            )

    def upscale(
        self,
        clip: Video,
        prompt: str = "",
        *,
        seed: int = 0,
        steps: int = UPSCALE_STEPS,
        noise: float = DEFAULT_LEVEL,
        memory_limit: int = 0,
    ) -> Clip:
        """A clip of any length in four times its size, by the super-resolution net; rate and sound
        are kept.

        `noise` in [0, 1] says how little to trust its pixels, the prompt what it shows. Raises
        ValueError for a model without such a net.
        """
        given = open_clip(clip)
        return self.make_of(
            Request(
                task="upscale",
                prompt=prompt,
                seed=seed,
                steps=steps,
                noise=noise,
                frames=len(given.content),
                fps=str(given.content.fps),
                size=0,
                memory_limit=memory_limit,
            ),
            {"clip": given},
            (),
            (),
            None,
        )

    def _from_words(self, request: Request, on_step: OnStep | None) -> np.ndarray:
        """Text to video or to image, enlarged."""
        frames = {"generate": self._clip, "image": self._picture}[request.task](request, on_step)
        if request.upscale and self.upscaler is not None and request.size > frames.shape[1]:
            frames = self._enlarged(frames, request, UPSCALE_STEPS)
        return enlarge(frames, request.size, request.size) if request.size else frames

    def _enlarged(self, frames: np.ndarray, request: Request, steps: int) -> np.ndarray:
        """By the super-resolution net; what it makes of long clips lies in a file."""
        if self.upscaler is None:
            raise ValueError(
                "upscale: expected a model with a super-resolution net, got one without, put one into its folder upscaler"
            )
        factor, (count, height, width) = self.upscaler.codec.factor, frames.shape[:3]
        windows = pick_tiles(
            self.upscaler, (count, height, width), request.memory_limit, weights_of(self.base)
        )
        return self.upscaler(
            frames,
            parse_script(request.prompt)[0].prompt,
            seed=request.seed,
            num_inference_steps=steps,
            noise=request.noise,
            windows=windows,
            out=room_for((count, factor * height, factor * width, 3)),
        )

    def _clip(self, request: Request, on_step: OnStep | None) -> np.ndarray:
        return film(
            self.base, request, pick_windows(self.base, request, request.memory_limit), on_step
        )

    def _picture(self, request: Request, on_step: OnStep | None) -> np.ndarray:
        return self.base.picture(
            request.prompt,
            request.negative,
            seeds=request.seed,
            num_inference_steps=request.steps,
            guidance_scale=request.guidance,
            on_step=on_step,
        ).frames[0]

    def _from_canvas(self, request: Request, canvas: Canvas, on_step: OnStep | None) -> np.ndarray:
        """What is unknown of a canvas made by the net, at the canvas's size, length and rate."""
        if canvas.known.all():
            return np.array(canvas.frames)
        to = fit(canvas, self.base.native_size, self.base.side_multiple, request.loop)
        known = encode(canvas, to, self.base.codec) if canvas.known.any() else None
        start = min(round((1 - request.strength) * request.steps), request.steps - 1)
        source = encode_whole(canvas, to, self.base.codec) if start or request.structure else None
        made = self.base(
            request.prompt,
            request.negative,
            seeds=request.seed,
            num_frames=len(to.indices),
            height=to.height,
            width=to.width,
            frame_times=to.times(canvas.fps, request.motion),
            num_inference_steps=request.steps,
            guidance_scale=request.guidance,
            known=known,
            source=source,
            start=start,
            structure=request.structure,
            windows=WINDOWS,
            loop=request.loop,
            on_step=on_step,
        ).frames[0]
        return restore(made, canvas, to, request.keep, request.feather, request.loop)

    def _record(self, request: Request) -> Replay:
        dtype = str(self.base.stunet.dtype).removeprefix("torch.")
        return Replay(
            **asdict(request),
            model=self._model,
            dtype=dtype,
            device=str(self.base.device),
            threads=torch.get_num_threads(),
        )


@contextmanager
def threads(count: int) -> Iterator[None]:
    """torch's CPU threads for a while: the order of sums, so the last bit of a clip, depends on
    them.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def read_region(region: object) -> tuple[str, Inputs]:
    """A region as text, or its mask as an input."""
    region = Region.of(region)
    return (str(region), {}) if region.mask is None else ("", {"region": as_mask(region.mask)})


def open_styles(style: Styles) -> list[Given]:
    """Styles, or files of them, as inputs."""
    return [
        open_style(each)
        for each in ([style] if isinstance(style, (Given, Style, str, Path)) else style)
    ]


def open_style(style: Given | Style | str | Path) -> Given:
    if isinstance(style, (str, Path)):
        return Given(Style.load(style), Path(style))
    return style if isinstance(style, Given) else Given(style)


def unchanged(frames: np.ndarray, inputs: Inputs) -> bool:
    """Whether a clip came back as it was: then its origin is still its own, and a clip that was not
    made here is not marked.
    """
    return "clip" in inputs and np.array_equal(frames, inputs["clip"].content.frames)
