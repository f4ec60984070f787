"""`Lumiere`: from a task to a finished clip, and a method a task."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack, overload

import numpy as np
import torch
from jaxtyping import UInt8

from openlumiere.backbones.registry import is_ours, open_published
from openlumiere.contract import Backbone
from openlumiere.diffusion.multidiffusion import Windows
from openlumiere.diffusion.process import Flow, make_scheduler, process_of
from openlumiere.engine.adapters import Lora, merge_loras, read_loras
from openlumiere.engine.base import LumierePipeline, inflated
from openlumiere.engine.cascade import LumiereUpscalePipeline
from openlumiere.engine.completion import completed
from openlumiere.engine.finish import Provenance, check_keys, sources_of
from openlumiere.engine.fit import before, enlarge, fit, restore, solid
from openlumiere.engine.inputs import (
    Given,
    Inputs,
    inputs_of,
    open_task,
    resolved,
    screen_inputs,
)
from openlumiere.engine.instructions import instructed
from openlumiere.engine.memory import pick_tiles, pick_windows, room_for
from openlumiere.engine.model import Model, PublishedModel
from openlumiere.engine.offload import Way, arrange, choose, sizes_of
from openlumiere.engine.plan import (
    Edit,
    Sampled,
    at_net_length,
    batches,
    canvas_of,
    clip_of,
    led,
    loops,
    plan_batch,
    plan_edit,
    plan_picture,
    plan_shot,
    written_side,
)
from openlumiere.engine.precision import dtype_of
from openlumiere.engine.run import OnStep, run
from openlumiere.media import Clip
from openlumiere.media.alpha import settled
from openlumiere.models import span
from openlumiere.models.fast import Fast, read_fast
from openlumiere.models.folder import UPSCALER
from openlumiere.models.hub import DEFAULT, WORLD_32, locate
from openlumiere.models.knows import Knows, read_knows
from openlumiere.models.style import Style
from openlumiere.safety import prompts as screen
from openlumiere.safety.frames import check_frames
from openlumiere.settings import Settings
from openlumiere.tasks import (
    Animate,
    Cinemagraph,
    Generate,
    Image,
    Inpaint,
    Learning,
    LearnStyle,
    Machine,
    Media,
    Mend,
    Outpaint,
    Record,
    Restyle,
    Task,
    Upscale,
)
from openlumiere.tasks.values import UPSCALE_STEPS, Scheduler, parse_schedule
from openlumiere.tasks.values import memory as read_memory

log = logging.getLogger("openlumiere")


class How(TypedDict, total=False):
    """What methods take by name beside their own; which task takes which: `openlumiere.tasks`."""

    seed: int
    steps: int
    guidance: float
    negative: str
    scheduler: Scheduler
    frames: int | None
    seconds: float | None
    fps: int | str | Fraction
    size: int
    loop: bool
    motion: float
    keep: Literal["exact", "soft"]
    feather: int
    style: Any
    style_weight: float | Sequence[float]
    memory_limit: int | str
    background: Any
    on_step: OnStep | None


@dataclass(frozen=True, eq=False)
class Lumiere:
    """A base model, ours or a published one, and a super-resolution net. Frozen: several threads
    may share one.

    `knows` is what the model was trained to draw, in words, where its folder says so; `fast` makes
    clips in few steps (`Sampling.fast`), where it was distilled for that.
    """

    base: Model
    upscaler: LumiereUpscalePipeline | None = None
    knows: Knows | None = None
    settings: Settings = field(default_factory=Settings.load)
    fast: Fast | None = None

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path | None = None,
        *,
        device: str = "cpu",
        dtype: torch.dtype | str = torch.float32,
        settings: Settings | None = None,
        memory: int | str = 0,
        loras: Sequence[str] = (),
    ) -> Lumiere:
        """The bundled weights `toys`, others by name (`models/hub.py`), a folder in diffusers'
        layout, or `owner/name` on the hub: our pipeline or a published one
        (`backbones/registry.py`). Its super-resolution net is in `upscaler/`; a published model
        takes the bundled one. `dtype` is also a name, as records have it, or "auto", the fastest on
        the device. Of a published model, `memory` bytes (or `8GiB`) decide where its parts lie
        (`engine/offload.py`; 0 is no limit), and `loras`, each `FILE` or `FILE:0.8`, are merged in.
        """
        dtype = dtype_of(dtype, device)
        folder = locate(model or DEFAULT)
        ours = is_ours(folder)
        if ours and (loras or memory):
            raise ValueError(
                "model: expected a published one for memory and LoRAs, got ours, "
                "give a LoRA as a style and a limit as memory_limit"
            )
        base: Model
        if ours:
            base = LumierePipeline.from_pretrained(folder, torch_dtype=dtype).to(device)
        else:
            base = open_theirs(folder, device, dtype, read_memory(memory), read_loras(loras))
        enlarging = (folder if ours else WORLD_32) / UPSCALER
        upscaler = None
        if enlarging.is_dir():
            upscaler = LumiereUpscalePipeline.from_pretrained(enlarging, torch_dtype=dtype)
            upscaler = upscaler.to(device)
        knows = read_knows(folder) if ours else None
        fast = read_fast(folder) if ours else None
        return cls(base, upscaler, knows, settings or Settings.load(), fast)

    def generate(self, prompt: str, **how: Any) -> Clip:
        """Text to video (`tasks.Generate`): 80 frames, or `frames`, or `seconds` at `fps`."""
        return self._run(Generate, how, prompt=prompt)

    def generate_image(self, prompt: str, **how: Unpack[How]) -> Clip:
        """Text to image (`tasks.Image`) by the frozen picture net, or by a published model that
        makes one frame: a clip of one frame.
        """
        return self._run(Image, how, prompt=prompt)

    def animate(self, image: Any = None, prompt: str = "", **how: Any) -> Clip:
        """Image to video (`tasks.Animate`): `image` is frame 0, `keyframes` are at others."""
        return self._run(Animate, how, image=image, prompt=prompt)

    def inpaint(self, clip: Any, region: Any, prompt: str = "", **how: Unpack[How]) -> Clip:
        """Make new what lies in `region` (`tasks.Inpaint`, `Region.of`); all else is known."""
        return self._run(Inpaint, how, clip=clip, region=region, prompt=prompt)

    def outpaint(self, clip: Any, size: tuple[int, int], prompt: str = "", **how: Any) -> Clip:
        """Make new what lies around the clip in frames of `size` (width, height)
        (`tasks.Outpaint`).
        """
        return self._run(Outpaint, how, clip=clip, to=size, prompt=prompt)

    def mend(self, clip: Any, region: Any = None, prompt: str = "", **how: Unpack[How]) -> Clip:
        """Repair what is broken: in `region`, or as `quality/repair.py` finds it (`tasks.Mend`)."""
        return self._run(Mend, how, clip=clip, region=region, prompt=prompt)

    def cinemagraph(self, image: Any, region: Any, prompt: str = "", **how: Unpack[How]) -> Clip:
        """A picture of which only `region` moves, in a seamless loop unless `loop=False`
        (`tasks.Cinemagraph`).
        """
        return self._run(Cinemagraph, how, image=image, region=region, prompt=prompt)

    def restyle(self, clip: Any, prompt: str, **how: Any) -> Clip:
        """Change a whole clip (`tasks.Restyle`): `strength` 0 gives it back, 1 makes all anew."""
        return self._run(Restyle, how, clip=clip, prompt=prompt)

    def upscale(self, clip: Any, prompt: str = "", **how: Any) -> Clip:
        """A clip in four times its size by the super-resolution net (`tasks.Upscale`)."""
        return self._run(Upscale, how, clip=clip, prompt=prompt)

    def learn_style(
        self,
        images: Sequence[Any],
        name: str,
        *,
        prompts: Sequence[str] = (),
        learning: Learning | None = None,
    ) -> Style:
        """A style from one to five pictures, by fine-tuning the picture net (`tasks.LearnStyle`);
        `prompts` say what they show, apart from their style.
        """
        return self.run(LearnStyle(images=images, name=name, prompts=prompts, learning=learning))

    def _run(self, kind: type[Task], how: Mapping[str, Any], **given: Any) -> Clip:
        """A task of this kind, of what is given by position and by name."""
        named = dict(how)
        on_step = named.pop("on_step", None)
        made: Clip = self.run(kind(**given, **named), on_step)
        return made

    @overload
    def run(  # type: ignore[overload-overlap]
        self, task: LearnStyle, on_step: OnStep | None = None
    ) -> Style: ...

    @overload
    def run(self, task: Task, on_step: OnStep | None = None) -> Clip: ...

    def run(self, task: Task, on_step: OnStep | None = None) -> Clip | Style:
        """What a task asks for: a clip with its origin, or a style. `on_step` is called after each
        denoising step.

        Raises ValueError for what can't be made, before anything is computed.
        """
        task, inputs = self._accepted(task)
        if isinstance(task, LearnStyle):
            return self._learnt(task, inputs)
        return self._finished(task, inputs, self._frames(task, on_step))

    def run_many(
        self, tasks: Iterable[Task], on_step: OnStep | None = None, *, batch: int | None = None
    ) -> list[Clip]:
        """The clips of several tasks, in their order; all tasks are checked before the first runs.

        Text-to-video tasks that differ in prompt and seed alone are denoised together, up to
        `batch` at once (None: up to 8, as 1 GiB allows). A clip's last bits depend on how many: the
        record says it. Raises ValueError as `run` does.
        """
        accepted = [self._accepted(task) for task in tasks]
        made: dict[int, Clip] = {}
        for numbers in batches([task for task, _ in accepted], self.base.backbone, batch):
            group = [accepted[number] for number in numbers]
            frames = self._frames_of_all([task for task, _ in group], on_step)
            for number, (task, inputs), own in zip(numbers, group, frames, strict=True):
                made[number] = self._finished(task, inputs, own, len(group))
        return [made[number] for number in sorted(made)]

    def replay(
        self,
        record: Record,
        on_step: OnStep | None = None,
        inputs: Mapping[str, Any] | None = None,
    ) -> Clip:
        """Make a clip again from its record and what it was made from, by role (`Task.media`): on
        the same machine, bit for bit.

        Raises ValueError for another model, precision or input.
        """
        own = self.fingerprint_for(record.task)
        if record.model != own:
            raise ValueError(
                f"replay: expected the model {record.model[:12]}, got {own[:12]}, "
                f"load the one that made the clip, as {record.machine.dtype}"
            )
        given = {role: Media.of(value) for role, value in (inputs or {}).items()}
        task = record.task.with_media(named_alike(record.task, given))
        batch = record.machine.batch
        with threads(record.machine.threads):
            return self.run_many([task] * batch, on_step, batch=batch)[0]

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over all weights and configs: what a replay must agree with."""
        base = self.base.fingerprint()
        if self.upscaler is None:
            return base
        return sha256(f"{base} {self.upscaler.fingerprint()}".encode()).hexdigest()

    @cached_property
    def _enlarger(self) -> LumiereUpscalePipeline:
        """The model's own super-resolution net, or the bundled one."""
        if self.upscaler is not None:
            return self.upscaler
        backbone = self.base.backbone
        dtype = getattr(getattr(backbone, "net", None), "dtype", torch.float32)
        bundled = LumiereUpscalePipeline.from_pretrained(WORLD_32 / UPSCALER, torch_dtype=dtype)
        return bundled.to(backbone.device)

    def fingerprint_for(self, task: Task) -> str:
        """The fingerprint, with that of the distilled weights for a task in few steps, and of the
        super-resolution net for one that takes a net which the model has not.
        """
        if isinstance(task, Upscale) and task.enlarger == "cascade" and self.upscaler is None:
            return sha256(f"{self.fingerprint} {self._enlarger.fingerprint()}".encode()).hexdigest()
        if not (isinstance(task, Sampled) and task.sampling.fast and self.fast):
            return self.fingerprint
        return sha256(f"{self.fingerprint} {self.fast.factors.sha256}".encode()).hexdigest()

    def _accepted(self, task: Task) -> tuple[Task, Inputs]:
        """An open task and what is given to it. Raises ValueError for what can't be made."""
        task = open_task(task)
        inputs = inputs_of(task)
        screen.check(*task.sentences(), policy=self.settings.policy)
        screen_inputs(inputs, self.settings.policy)
        if not isinstance(task, LearnStyle):
            check_keys(self.settings)
        if isinstance(task, Sampled) and task.sampling.fast and self.fast is None:
            raise ValueError(
                f"fast: expected a model that was distilled for few steps, got {self.base.name} "
                "without such weights, give few steps instead, or name toys as the model"
            )
        option = next((name for name in ("camera", "flow") if getattr(task, name, None)), None)
        if option is not None and not self.base.backbone.reads.likely:
            raise ValueError(
                f"{option}: expected a model that can be led by one, got {self.base.name}, say it "
                "in the prompt instead, or name toys as the model"
            )
        return task, inputs

    def _learnt(self, task: LearnStyle, inputs: Inputs) -> Style:
        from openlumiere.engine.learn_style import learn  # what trains is imported where it does

        pictures = [inputs[f"image {index}"].clip for index in range(len(task.images))]
        own = inflated(self.base)
        base = copy.copy(own)
        if not isinstance(process_of(own.scheduler), Flow):
            base.scheduler = make_scheduler("ddim", own.scheduler.config)
        return learn(base, pictures, task.name, task.prompts, task.learning)

    def _frames_of_all(
        self, tasks: Sequence[Task], on_step: OnStep | None
    ) -> list[UInt8[np.ndarray, "f h w c"]]:
        """The frames of one task, or of several text-to-video tasks denoised in one batch."""
        if len(tasks) == 1:
            return [self._frames(tasks[0], on_step)]
        native = self.base.backbone
        alike = [at_net_length(task, native) for task in tasks if isinstance(task, Generate)]
        first = alike[0]
        base = self._base_for(first)
        backbone = base.backbone
        windows = pick_windows(base, first, first.memory_limit)
        made = run(backbone, plan_batch(alike, backbone, windows), first.sampling, on_step)
        count = first.length.count
        return [self._sized(task, own[:count]) for task, own in zip(alike, made, strict=True)]

    def _frames(self, task: Task, on_step: OnStep | None) -> UInt8[np.ndarray, "f h w c"]:
        """The frames of an open task, at their final size."""
        if isinstance(task, Upscale):
            return self._upscaled(task, clip_of(task.clip).frames)
        assert isinstance(task, Sampled)
        task = at_net_length(task, self.base.backbone)
        base = self._base_for(task)
        if isinstance(task, Generate):
            windows = pick_windows(base, task, task.memory_limit)
            return self._sized(task, shots_of(base.backbone, task, windows, on_step))
        if isinstance(task, Image):
            picture = plan_picture(task, base.still.native)
            made = run(base.still, picture, task.sampling, on_step)[0]
            return self._sized(task, made)
        return self._edited(task, base, on_step)

    def _base_for(self, task: Sampled) -> Model:
        """The model under the task's styles, and in few steps where it asks for that."""
        styles = styles_of(task)
        if task.sampling.fast and self.fast is not None:
            return inflated(self.base).hastened(self.fast, styles)
        return self.base.styled(styles)

    def _edited(
        self, task: Edit, base: Model, on_step: OnStep | None
    ) -> UInt8[np.ndarray, "f h w c"]:
        """What is unknown of a canvas made by the net, at the canvas's size, length and rate."""
        canvas = canvas_of(task)
        if canvas.known.all():
            return np.array(canvas.frames)
        backbone = base.backbone
        canvas = led(canvas, task, backbone)
        task = instructed(task)
        if isinstance(task, Inpaint | Outpaint | Mend) and self._continues(task.prompt):
            canvas = completed(canvas, backbone.reads.likely)
            if canvas.known.all() and task.keep.pixels == "exact":
                return canvas.frames
        to = fit(canvas, backbone.native, loops(task))
        plan = plan_edit(task, canvas, to, backbone, base.part)
        made = run(backbone, plan, task.sampling, on_step)[0]
        if isinstance(task, Restyle):
            return restore(made, canvas, to, "soft", 0)
        keep = task.keep
        moves = isinstance(task, Animate | Cinemagraph) or canvas.likely
        detailed = moves and not backbone.codec.bounded
        return restore(made, canvas, to, keep.pixels, keep.feather, loops(task), detailed)

    def _continues(self, prompt: str) -> bool:
        """Whether a prompt asks for nothing new in a hole: it is empty, or names no subject that
        the model knows.
        """
        if self.knows is None or not prompt:
            return not prompt
        return not self.knows.names_subject(prompt)

    def _sized(
        self, task: Generate | Image, frames: UInt8[np.ndarray, "f h w c"]
    ) -> UInt8[np.ndarray, "f H W d"]:
        """What is made of words, at the size asked for: colours alone by the super-resolution net,
        where there is one, then all by Lanczos resampling. Nearly opaque clips lose their alpha.
        """
        frames = settled(frames)
        side = written_side(task, self.base.backbone.native)
        wanted = getattr(task, "upscale", True) and side > frames.shape[1]
        if wanted and self.upscaler is not None and frames.shape[3] == 3:
            frames = self._enlarged(
                frames,
                parse_schedule(task.prompt)[0].prompt,
                seed=task.sampling.seed,
                limit=getattr(task, "memory_limit", 0),
            )
        if not side:
            return frames
        height, width = frames.shape[1:3]
        return enlarge(frames, round(side * width / height), side)

    def _upscaled(
        self, task: Upscale, frames: UInt8[np.ndarray, "f h w c"]
    ) -> UInt8[np.ndarray, "f H W c"]:
        """Colours by the enlarger, alpha as a grey picture."""
        has_alpha = frames.shape[3] == 4
        large = self._upscaled_colours(task, solid(frames) if has_alpha else frames)
        if not has_alpha:
            return large
        count, height, width = large.shape[:3]
        whole = room_for((count, height, width, 4))
        whole[..., :3] = large
        whole[..., 3] = enlarge(frames[..., 3], width, height)
        return whole

    def _upscaled_colours(
        self, task: Upscale, frames: UInt8[np.ndarray, "f h w 3"]
    ) -> UInt8[np.ndarray, "f H W 3"]:
        """By the enlarger that the task names."""
        if task.enlarger == "cascade":
            return self._enlarged(
                frames,
                task.prompt,
                seed=task.seed,
                steps=task.steps,
                noise=task.noise,
                limit=task.memory_limit,
            )
        count, height, width = frames.shape[:3]
        large = (span.FACTOR * height, span.FACTOR * width)
        if task.enlarger == "lanczos":
            return enlarge(frames, large[1], large[0])
        return span.enlarged(span.installed_span(), frames, room_for((count, *large, 3)))

    def _enlarged(
        self,
        frames: UInt8[np.ndarray, "f h w 3"],
        prompt: str,
        *,
        seed: int,
        steps: int = UPSCALE_STEPS,
        noise: float = 0.0,
        limit: int = 0,
    ) -> UInt8[np.ndarray, "f H W 3"]:
        """By the super-resolution net; what it makes of long clips lies in a file."""
        upscaler = self._enlarger
        factor = upscaler.codec.factor
        count, height, width = frames.shape[:3]
        size = (count, height, width)
        windows = pick_tiles(upscaler, size, limit, self.base.weights)
        return upscaler(
            frames,
            prompt,
            seed=seed,
            num_inference_steps=steps,
            noise=noise,
            windows=windows,
            out=room_for((count, factor * height, factor * width, 3)),
        )

    def _finished(
        self, task: Task, inputs: Inputs, frames: UInt8[np.ndarray, "f h w c"], batch: int = 1
    ) -> Clip:
        """The clip before its background, with its origin and the sound that it came with, looked
        at before anybody sees it. What came back as it was keeps its own origin: what was not made
        here is not marked. It is one of `batch` clips that were made at once.
        """
        frames = before(frames, behind(task))
        given = inputs["clip"].clip if "clip" in inputs else None
        length = getattr(task, "length", None)
        if given is not None and np.array_equal(frames, given.frames):
            origin = given.origin
        else:
            origin = Provenance(self._record(task, batch), sources_of(inputs), self.settings)
        fps = Fraction(16)
        if given is not None:
            fps = given.fps
        elif length is not None:
            fps = length.fps
        sound = given.audio if given is not None else None
        made = Clip(frames, fps=fps, origin=origin, audio=sound)
        check_frames("what was made", made, self.settings.policy)
        return made

    def _record(self, task: Task, batch: int = 1) -> Record:
        machine = Machine(
            dtype=str(self.base.dtype).removeprefix("torch."),
            device=str(self.base.backbone.device),
            threads=torch.get_num_threads(),
            batch=batch,
        )
        return Record(task=resolved(task), model=self.fingerprint_for(task), machine=machine)


def shots_of(
    backbone: Backbone,
    task: Generate,
    windows: Windows | None = None,
    on_step: OnStep | None = None,
) -> UInt8[np.ndarray, "f h w c"]:
    """All shots of a task, one after the other: later ones begin with the middle of the first, so
    that the subject stays, and draw from the next seeds. Frames beyond those asked for, which some
    nets make, are left out. Our choice: the paper leaves shots to the future.
    """
    count = task.length.count
    first = plan_shot(task, task.prompt, backbone, windows)
    shots = [run(backbone, first, task.sampling, on_step)[0][:count]]
    keyframe = shots[0][count // 2]
    for number, prompt in enumerate(task.shots, 1):
        plan = plan_shot(task, prompt, backbone, windows, keyframe, number)
        shots.append(run(backbone, plan, task.sampling, on_step)[0][1 : 1 + count])
    return np.concatenate(shots)


def behind(task: Task) -> str | Clip:
    """What is to stand behind what an open task makes: a word, a colour, or a clip."""
    background = getattr(task, "background", "")
    return clip_of(background) if isinstance(background, Media) else background


def styles_of(task: Sampled) -> list[tuple[Style, float]]:
    """The open styles of a task that takes some, each with its weight."""
    given = () if isinstance(task, Mend) else task.styles
    return [(each.style.content.content, each.weight) for each in given]


def open_theirs(
    folder: Path,
    device: str,
    dtype: torch.dtype,
    limit: int,
    loras: Sequence[Lora],
) -> PublishedModel:
    """A published pipeline's folder with its LoRAs merged in, on a device, within a limit."""
    published = open_published(folder, dtype)
    merged = merge_loras(published, loras)
    way = Way()
    if limit:
        way = choose(published.backbone, sizes_of(published), limit, torch.device(device).type)
        log.warning("memory: about %.1f GiB by %s", way.peak / 2**30, way)
    arrange(published, way, device)
    return PublishedModel(published, folder, merged, way.part)


OLD_ROLES = {"picture": "image", "frame 0": "image"}
"""Roles of 0.1.0 that have another name now."""


def named_alike(task: Task, given: Mapping[str, Media]) -> dict[str, Media]:
    """What is given, by the roles of the task, each to be what the record names."""
    named = {OLD_ROLES.get(role, role): media for role, media in given.items()}
    recorded = task.media()
    unknown = [role for role in named if role not in recorded]
    if unknown:
        raise ValueError(
            f"inputs: expected {', '.join(recorded) or 'none'}, got {unknown[0]}, leave it out"
        )
    return {role: checked(role, media, recorded[role]) for role, media in named.items()}


def checked(role: str, media: Media, recorded: Media) -> Media:
    """What is given, held to the sha256 that the record names."""
    content = media.content
    path = media.path
    if isinstance(content, Given) and content.path:
        path = str(content.path)
    return Media.model_construct(path=path, sha256=recorded.sha256).holding(content)


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
