"""What the codec and the picture net of the toy world are trained on, and the steps of their chain.

    lumiere train codec --cache CACHE --run RUN
    python -m openlumiere_world.toys.training export-codec --cache CACHE --codec RUN/codec \\
        --folder CODEC
    python -m openlumiere_world.toys.training picture --bank BANK --codec CODEC --run RUN
    python -m openlumiere_world.toys.training clips --bank CLIPS --codec CODEC --picture RUN/unet \\
        --run RUN2
    python -m openlumiere_world.toys.training conditional --bank CLIPS --full-rate FULL \\
        --pictures MOVED --full-pictures MOVED_FULL --model RUN2 --run RUN3
    python -m openlumiere_world.toys.training distill --bank CLIPS --model MODEL --run RUN4
    python -m openlumiere_world.toys.training export-model --run RUN2 --cache CACHE \\
        --emojibase CACHE/packages/emojibase-data-17.0.0/package --folder MODEL

A run is resumed from its newest checkpoint; all that is drawn follows from the seed and the step.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import torch
import tyro
from diffusers import FlowMatchEulerDiscreteScheduler, UNet2DConditionModel
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from openlumiere.backbones.unet import CLASSES, UNetBackbone
from openlumiere.contract import Condition
from openlumiere.diffusion.process import process_of
from openlumiere.engine.base import LumierePipeline
from openlumiere.engine.run import Plan
from openlumiere.engine.run import run as run_plan
from openlumiere.models.autoencoder import StickerAutoencoder
from openlumiere.models.codec import AutoencoderCodec
from openlumiere.models.e5 import bundled_encoder
from openlumiere.models.fast import read_fast
from openlumiere.models.folder import write_checksums
from openlumiere.models.knows import KNOWS, as_lines
from openlumiere.models.text import mean_state
from openlumiere.tasks.values import Sampling
from openlumiere.train.config import DistillConfig, LatentClipConfig, PictureConfig
from openlumiere.train.data import padded
from openlumiere.train.loop import train
from openlumiere.train.nets import save
from openlumiere.train.stages.codec import over_grey, save_sheet, standardised
from openlumiere.train.stages.distill import Batch, distill_stage
from openlumiere.train.stages.latent_clips import latent_clip_stage
from openlumiere.train.stages.picture import picture_stage
from openlumiere.train.stages.video import draw_known
from openlumiere.train.start import open_model, open_picture_net
from openlumiere_world.toys.bank import Bank, Banks, Part
from openlumiere_world.toys.batches import Frames, Mixed, WorldFrames
from openlumiere_world.toys.cache import Cache, opened
from openlumiere_world.toys.frames import Drawings
from openlumiere_world.toys.pack import SIDE, SUBJECTS
from openlumiere_world.toys.scene import Planner
from openlumiere_world.toys.words import known_words

TESTED = 64  # drawings that the codec never sees
TESTED_PHOTOGRAPHS = 30
PICTURE = PictureConfig()
CLIPS = LatentClipConfig()
CONDITIONAL = LatentClipConfig(conditional=True)
DISTILL = DistillConfig()
WORLD = 0.5  # of the codec's frames
SHIFT = 2.5  # of the levels of a sheet's pictures towards noise
CLIP_SHIFT = 8.0  # of those of clips: 16 frames of one subject are told apart under more noise
PATH_UNTIL = 600  # thousandths of the noise, down to which every fifth frame is looked at
LATEST = PATH_UNTIL / 1000 + 0.05  # the time up to which every frame is learnt from
PHOTOGRAPHS = 0.4  # of the batches of conditional training: photographs
FULL_RATE = 0.4  # of the batches, where there is a bank of every frame
WHOLE = 0.4  # of the batches, where there is a bank of whole clips
ACROSS = 8  # pictures of a sheet beside each other
PROMPTS = (  # of the sheets that a run makes
    "a fox walks to the left on a transparent background", "a shark swims to the right underwater", "a horse gallops to the right on a meadow",
    "a knight stands still in a forest", "a red robot dances on a yellow background", "a T. rex walks to the left on a beach",
    "a bee astronaut waves in space", "a crab walks to the left on a beach", "a clownfish swims to the left on a blue background",
    "una volpe galoppa verso destra nella neve", "ein Wolf geht nach links im Wald", "un requin nage vers la droite sur fond blanc",
    "a dolphin swims at sea", "a white horse stands still on a red background", "a spider walks on a white background", "a tank drives in a city",
    "a grinning face on a transparent background in 3D style", "a smiling face with heart-eyes on a pink background in Noto style",
    "a face with tears of joy on a blue background", "a penguin in the snow in 3D style", "a butterfly on a meadow", "a rocket moves up in space",
    "a red apple on a white background in Twemoji style", "a pizza on a green background in flat style", "a strawberry on a transparent background",
    "a cactus on a beach", "a tiger in a forest in 3D style", "an owl under a night sky", "a birthday cake in a room",
    "a guitar on an orange background", "a sparkling heart on a black background", "ein Oktopus unter Wasser",
)  # fmt: skip


MOVING = (
    "a fox bounces on a transparent background in 3D style", "a crying face on a transparent background", "a red heart beats on a pink background",
    "a rocket moves up in space", "a butterfly flies on a meadow", "a face with tears of joy on a blue background", "ein Pinguin geht im Schnee nach links",
    "a turtle moves to the right on a beach", "a party popper on a transparent background", "a lion shakes on a yellow background",
)  # fmt: skip


def codec_sources(cache: Path) -> tuple[Frames, Tensor]:
    """What is trained on, and frames of drawings and photographs that are not."""
    drawings = opened(cache / "drawings.npy")
    photographs = opened(cache / "photographs.npy")
    order = torch.randperm(len(drawings), generator=torch.Generator().manual_seed(1))
    tested, trained = order[:TESTED], order[TESTED:]
    held_out = Drawings(drawings[tested], photographs[-TESTED_PHOTOGRAPHS:])
    source: Frames = Drawings(drawings[trained.sort().values], photographs[:-TESTED_PHOTOGRAPHS])
    if (cache / SUBJECTS).is_file():
        source = Mixed(source, WorldFrames(Planner(Cache(cache))), WORLD)
    return source, held_out.draw(torch.Generator().manual_seed(5), TESTED)


def picture(
    bank: Path,
    codec: Path,
    run: Path,
    shards: int | None = None,
    start: Path | None = None,
    minutes: float = float("inf"),
    threads: int = 1,
    config: PictureConfig = PICTURE,
) -> None:
    """Train the picture net on the first `shards` of a bank; a run that is resumed with more shards
    draws from all of them.
    """
    torch.set_num_threads(threads)
    source = Bank(bank, shards)
    sheet = SheetOf(StickerAutoencoder.from_pretrained(codec).float().eval())
    stage = picture_stage(source, config, start, sheet)
    # Of 64 places, plain multiplications are faster on a CPU than the fused kernel: 3 to 15 % a step.
    with sdpa_kernel(SDPBackend.MATH):
        train(stage, config.loop, run, max_minutes=minutes)


def clips(
    bank: Path,
    codec: Path,
    picture: Path,
    run: Path,
    full_rate: Path | None = None,
    shards: int | None = None,
    start: Path | None = None,
    minutes: float = float("inf"),
    threads: int = 1,
    config: LatentClipConfig = CLIPS,
) -> None:
    """Train the temporal part of a picture net on a bank of clips; `picture` is the net's folder,
    `full_rate` a second bank of clips of every frame.
    """
    torch.set_num_threads(threads)
    unet = open_picture_net(picture)
    net = StickerAutoencoder.from_pretrained(codec).float().eval()
    every = Bank(bank, shards)
    source = with_full_rate(every, full_rate, config.stride)
    stage = latent_clip_stage(
        source, unet, net, config, shift=CLIP_SHIFT, start=start, sheet=strips
    )
    train(stage, config.loop, run, max_minutes=minutes)


def with_full_rate(every: Bank, full_rate: Path | None, stride: int) -> Bank | Banks:
    """A bank of clips of every `stride`-th frame, with one of every frame where there is one."""
    if full_rate is None:
        return every
    return Banks(Part(every, stride, 1 - FULL_RATE), Part(Bank(full_rate), 1, FULL_RATE, LATEST))


def conditional(
    bank: Path,
    full_rate: Path,
    pictures: Path,
    full_pictures: Path,
    model: Path,
    run: Path,
    picture: Path | None = None,
    whole: Path | None = None,
    share: float = PHOTOGRAPHS,
    full_share: float = FULL_RATE,
    whole_share: float = WHOLE,
    minutes: float = float("inf"),
    threads: int = 1,
    config: LatentClipConfig = CONDITIONAL,
) -> None:
    """Train a model's temporal part to make clips of which something is known, for every task, on
    clips of the world and of moved photographs: of each a bank of clips of every fifth frame and
    one of every frame. `share` of the batches are photographs, `full_share` are of every frame.
    `picture` is the folder of a picture net that has learnt more since, to go on over instead of
    the model's own. Where a bank `whole` of clips of all 80 frames is given, `whole_share` of the
    batches are those, learnt under any noise, so that a clip's path is found in one pass.
    """
    torch.set_num_threads(threads)
    pipeline = open_model(model)
    parts = [
        Part(Bank(bank), config.stride, (1 - share) * (1 - full_share)),
        Part(Bank(full_rate), 1, (1 - share) * full_share, LATEST),
        Part(Bank(pictures), config.stride, share * (1 - full_share), shown=True),
        Part(Bank(full_pictures), 1, share * full_share, LATEST, shown=True),
    ]
    if whole is not None:
        parts = [part._replace(share=(1 - whole_share) * part.share) for part in parts]
        parts.append(Part(Bank(whole), 1, whole_share))
    source = Banks(*parts)
    stage = latent_clip_stage(
        source,
        pipeline.stunet.unet2d if picture is None else open_picture_net(picture),
        pipeline.vae.float().eval(),
        config,
        shift=CLIP_SHIFT,
        start=model,
        sheet=strips,
    )
    train(stage, config.loop, run, max_minutes=minutes)


def distill(
    bank: Path,
    model: Path,
    run: Path,
    full_rate: Path | None = None,
    start: Path | None = None,
    minutes: float = float("inf"),
    threads: int = 1,
    config: DistillConfig = DISTILL,
) -> None:
    """Train factors by which a model makes clips in a few steps without guidance
    (`RUN/fast.safetensors`), on the same banks as its temporal part; `start` is a folder with such
    a file to begin from.
    """
    torch.set_num_threads(threads)
    pipeline = open_model(model)
    unknown = config.unknown if pipeline.backbone.reads.known else None
    clips = with_full_rate(Bank(bank), full_rate, config.stride)
    source = CodedBatches(clips, config.stride, unknown)
    sheet = partial(strips, steps=config.steps, guidance=1.0)
    begun = None if start is None else read_fast(start)
    stage = distill_stage(source, pipeline, config, sheet, begun)
    train(stage, config.loop, run, max_minutes=minutes)


class CodedBatches:
    """Coded clips as what a model is distilled on; `stride` native frames apart where they do not
    say it. A net that reads what is known is given some of all but a share `unknown`.
    """

    def __init__(self, bank: Bank | Banks, stride: int, unknown: float | None = None):
        self.bank, self.stride, self.unknown = bank, stride, unknown

    def draw(self, generator: torch.Generator, count: int) -> Batch:
        """`count` clips."""
        drawn = self.bank.draw(generator, count)
        moments = drawn.times
        if moments is None:
            moments = self.stride * torch.arange(drawn.latents.shape[2]).float()
        condition = condition_of(drawn.states, moments)
        if self.unknown is not None:
            known = draw_known(drawn.latents, generator, self.unknown)
            condition = replace(condition, known=known)
        return Batch(drawn.latents, condition, condition_of([self.bank.empty]), drawn.latest)


def condition_of(
    states: list[Float[Tensor, "_ d"]], moments: Float[Tensor, " f"] | None = None
) -> Condition:
    """Of token states, their mean and the moments of the frames."""
    rows, mask = padded([row.float() for row in states])
    whole = {CLASSES: mean_state(rows, mask)}
    return Condition(text=rows, text_mask=mask, frame_times=moments, whole=whole)


def strips(pipeline: LumierePipeline, file: Path, steps: int = 12, guidance: float = 3.0) -> None:
    """Eight of sixteen frames for each of some prompts, over grey."""
    rows = []
    for seed, prompt in enumerate(MOVING):
        with torch.autocast("cpu", torch.bfloat16):
            made = pipeline(
                prompt,
                seeds=seed,
                num_frames=16,
                frame_rate=Fraction(16, 5),
                num_inference_steps=steps,
                guidance_scale=guidance,
            ).frames[0, ::2]
        rows.append(torch.cat(list(over_grey(premultiplied_levels(made))), dim=2))
    save_sheet(torch.cat(rows, dim=1), file)


def premultiplied_levels(frames: UInt8[np.ndarray, "b h w 4"]) -> Float[Tensor, "b 4 h w"]:
    """Frames of straight alpha as levels in [0, 1]."""
    levels = torch.from_numpy(frames).permute(0, 3, 1, 2) / 255
    return torch.cat([levels[:, :3] * levels[:, 3:], levels[:, 3:]], 1)


def export_model(run: Path, cache: Path, emojibase: Path, folder: Path) -> None:
    """Write the model of a run of clips, with the words of what the cache holds (`knows.json`)."""
    pipeline = LumierePipeline.from_pretrained(run / "model", torch.float16)
    pipeline.register_to_config(path_spacing=CLIPS.stride, path_until=PATH_UNTIL)
    pipeline.vae.register_to_config(_name_or_path="")  # not where it lay on this machine
    save(pipeline, folder)
    known = known_words(Cache(cache), emojibase)
    (folder / KNOWS).write_text(as_lines(known.model_dump()), encoding="utf-8")
    write_checksums(folder)


def export_codec(
    cache: Path, codec: Path, folder: Path, frames: int = 512, threads: int = 1
) -> None:
    """Write a trained codec in half precision, its latents standardised by those of frames of the
    world.
    """
    torch.set_num_threads(threads)
    net = StickerAutoencoder.from_pretrained(codec).float().eval()
    shown = WorldFrames(Planner(Cache(cache))).draw(torch.Generator().manual_seed(0), frames)
    standardised(net, shown).half().save_pretrained(folder)


class SheetOf:
    """Makes pictures of `PROMPTS`, decoded over grey, in 16 steps at guidance 3."""

    def __init__(self, codec: StickerAutoencoder):
        self.codec = AutoencoderCodec(codec)

    def __call__(self, net: UNet2DConditionModel, file: Path) -> None:
        backbone = UNetBackbone(
            net=net,
            process=process_of(FlowMatchEulerDiscreteScheduler(shift=SHIFT)),
            codec=self.codec,
            text=bundled_encoder(),
        )
        rows = []
        for first in range(0, len(PROMPTS), ACROSS):
            prompts = PROMPTS[first : first + ACROSS]
            plan = Plan(
                prompts=prompts,
                seeds=tuple(range(first, first + len(prompts))),
                frames=1,
                height=SIDE,
                width=SIDE,
            )
            with torch.autocast("cpu", torch.bfloat16):
                made = run_plan(backbone, plan, Sampling(steps=16, guidance=3.0))
            rows.append(torch.cat(list(over_grey(premultiplied_levels(made[:, 0]))), dim=2))
        save_sheet(torch.cat(rows, dim=1), file)


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict(
        {
            "picture": picture,
            "clips": clips,
            "conditional": conditional,
            "distill": distill,
            "export-model": export_model,
            "export-codec": export_codec,
        }
    )
