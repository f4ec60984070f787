"""Ablations of the inflated net on the sticker world, each one command.

    python benchmarks/experiments.py text|init|blocks|time|cascade --world WORLD --image-run RUN -o
    FOLDER [--steps 120] [--seeds 0 1 2]

The picture net of RUN is inflated anew for each variant, and its temporal parameters train for a
budget of arithmetic: that of `--steps` steps of the full net on 2 clips of 16 frames that span five
seconds. Then every variant predicts the same held-out clips under the same noise, and makes clips
of the same prompts and seeds. What a variant gave is kept in FOLDER (`VARIANT-STEPS-SEED.json`, and
pictures of its clips) and not trained again. Of `cascade` the clips of all seeds are put together.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from openlumiere.contract import Known
from openlumiere.data.sample import Sample
from openlumiere.diffusion.loss import clean_loss
from openlumiere.diffusion.process import VariancePreserving
from openlumiere.engine.base import LumierePipeline
from openlumiere.media import Clip, contact_sheet, filmstrip, save_image
from openlumiere.models.codec import UnshuffleCodec
from openlumiere.models.e5 import E5TextEncoder
from openlumiere.models.stunet import STUNet
from openlumiere.quality.bench import markdown
from openlumiere.train.config import LoopConfig, VideoConfig
from openlumiere.train.data import TEXTS, CaptionStates
from openlumiere.train.nets import build_scheduler
from openlumiere.train.stages.video import predict_clip, side_of, video_stage
from openlumiere.train.start import open_codec, open_picture_net
from openlumiere.train.step import Stage, Trainer, copy_into
from openlumiere.train.work import count_flops
from openlumiere_world.batch import CLIP, Batches
from openlumiere_world.measures.judge import load_judge
from openlumiere_world.measures.reading import CONTRAST, border_mask, read, track
from openlumiere_world.measures.world import ASPECTS, draw_prompts, measure, rates
from openlumiere_world.motions import MOTIONS
from openlumiere_world.scope import WORLD_32
from openlumiere_world.subjects import World

ENGLISH = replace(WORLD_32, styles=("3d",), languages=("en",), wordings=1)
REPEATED = replace(
    ENGLISH, motions=("bounce", "circle"), speeds=("slow",)
)  # three times and once in five seconds
TIMES = torch.arange(0, CLIP, 5).float()  # of the 16 frames of a clip, in native frames
FRAMES_A_STEP = 32
TIMESTEPS = (100, 300, 500, 700, 900)  # that held-out clips are predicted at: levels of noise
HELD_OUT, MADE, REPEATED_MADE = 12, 10, 16  # clips
SAMPLING = {"num_inference_steps": 8, "guidance_scale": 2.0}
KEY_STRIDE = 25  # native frames between two key frames
CURVE = 12  # points of a curve of losses
WINDOW = TIMES[: KEY_STRIDE // 5 + 1]  # from one key frame to the next


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A net to train: options of `STUNet`, and frames of what clips it sees."""

    options: dict = field(default_factory=dict)
    convolutions: bool = True
    frames: int = CLIP  # native ones that are spanned
    stride: int = 5
    filling: bool = False  # between a known first and a known last frame


VARIANTS = {
    "full": Variant(),
    "no text": Variant(options={"text_attention": False}),
    "he": Variant(options={"init": "he"}),
    "attention only": Variant(convolutions=False),
    "no down-sampling": Variant(options={"temporal_factors": (1, 1)}),
}
WHOLE = Variant()
KEYS = Variant(frames=4 * KEY_STRIDE, stride=KEY_STRIDE)
FILLING = Variant(frames=5 * len(WINDOW), filling=True)
EXPERIMENTS = {
    "text": "no text",
    "init": "he",
    "blocks": "attention only",
    "time": "no down-sampling",
}


class Turned:
    """Clips of cyclic motions that begin at any moment of their cycle: otherwise the time of a
    frame alone tells where it is.
    """

    def __init__(self, batches: Batches):
        self.batches = batches

    def draw(self, generator: torch.Generator, count: int, frame_times: Tensor) -> Sample:
        start = torch.randint(CLIP, (count, 1), generator=generator)
        drawn = self.batches.draw(generator, count, (frame_times + start) % CLIP)
        return Sample(drawn.pixels, drawn.captions)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What all variants share."""

    world: World
    image_run: Path
    codec: UnshuffleCodec
    texts: CaptionStates
    folder: Path
    steps: int
    seed: int


def inflate(bench: Bench, variant: Variant) -> STUNet:
    torch.manual_seed(bench.seed)
    net = STUNet.from_unet2d(open_picture_net(bench.image_run), **variant.options)
    if not variant.convolutions:
        net.down_inflations, net.up_inflations = (
            nn.ModuleList([None] * len(each)) for each in (net.down_inflations, net.up_inflations)
        )
    if variant.filling:
        net.widen_input(2 * net.config.in_channels + 1)
    return net


def train(
    bench: Bench, variant: Variant, source, budget: float | None = None
) -> tuple[STUNet, dict]:
    """The averaged net after `budget` FLOPs, None for those of `steps` steps; and what it took."""
    batch = round(FRAMES_A_STEP / (variant.frames // variant.stride))
    loop = LoopConfig(learning_rate=1.2e-3, batch=batch, warmup=20, seed=bench.seed)
    config = VideoConfig(frames=variant.frames, stride=variant.stride, low_noise=0.6, loop=loop)
    stage = video_stage(
        source,
        bench.texts,
        inflate(bench, variant),
        bench.codec,
        config,
        known_ends if variant.filling else None,
    )
    trainer, flops = Trainer(stage, loop), step_flops(stage, batch)
    steps = bench.steps if budget is None else round(budget / flops)
    start, seconds = time.process_time(), time.monotonic()
    losses = [trainer.take_step().loss for _ in range(steps)]
    copy_into(trainer.parameters, trainer.ema.average)
    spent = {
        "steps": steps,
        "flops": steps * flops,
        "processor_seconds": time.process_time() - start,
        "seconds": time.monotonic() - seconds,
        "curve": [float(piece.mean()) for piece in np.array_split(losses, CURVE)],
    }
    print(
        f"{steps} steps of {flops / 1e9:.0f} GFLOP in {spent['seconds']:.0f} s, loss"
        f" {np.mean(losses[-20:]):.4f}",
        flush=True,
    )
    return trainer.stage.net.eval(), spent


def step_flops(stage: Stage, batch: int) -> float:
    def step() -> None:
        drawn = torch.Generator().manual_seed(0)
        stage.losses(stage.net, batch, drawn).loss.mean().backward()

    step()  # captions are encoded once and kept: that is no part of a step
    flops = count_flops(step)
    stage.net.zero_grad()
    return flops


def known_ends(clean: Tensor, generator: torch.Generator) -> Tensor:
    return ends(clean).as_channels()


def ends(clean: Float[Tensor, "b c f h w"]) -> Known:
    mask = torch.zeros_like(clean[:, :1])
    mask[:, :, [0, -1]] = 1
    return Known(content=clean, mask=mask)


@torch.no_grad()
def held_out_losses(net: STUNet, bench: Bench) -> list[list[float]]:
    """A row a timestep, a loss a clip: the same clips and noise for every net."""
    generator, scheduler = torch.Generator().manual_seed(0), build_scheduler()
    drawn = Batches(bench.world, ENGLISH, "validation", side_of(net, bench.codec)).draw(
        generator, HELD_OUT, TIMES
    )
    clean = bench.codec.encode(drawn.pixels)
    states, mask = bench.texts.draw(drawn.captions, 0.0, generator)
    rows = []
    for level in TIMESTEPS:
        noise, losses = torch.randn(clean.shape, generator=generator), []
        for part in torch.arange(HELD_OUT).split(4):
            losses += clean_loss(
                partial(predict_clip, net, states[part], mask[part], TIMES, None),
                clean[part],
                noise[part],
                torch.full((len(part),), level),
                VariancePreserving(scheduler),
            ).tolist()
        rows.append(losses)
    return rows


def make(
    bench: Bench,
    net: STUNet,
    prompts: list[str],
    times: Tensor,
    seed: int = 0,
    known: Known | None = None,
) -> UInt8[np.ndarray, "b f h w 3"]:
    pipeline = LumierePipeline(net, build_scheduler(), unshuffle=bench.codec.factor)
    pipeline.set_progress_bar_config(disable=True)
    seeds = [seed + number for number in range(len(prompts))]
    return pipeline(
        prompts, seeds=seeds, num_frames=len(times), frame_times=times, known=known, **SAMPLING
    ).frames


def ablate(bench: Bench, name: str) -> dict:
    """Train a variant, or only open what it gave before."""

    def run() -> dict:
        variant = VARIANTS[name]
        budget = (
            None if name == "full" else kept(bench, "full", lambda: ablate(bench, "full"))["flops"]
        )
        net = inflate(bench, variant)
        source = Batches(bench.world, ENGLISH, "train", side_of(net, bench.codec))
        untrained = held_out_losses(net.eval(), bench)
        net, spent = train(bench, variant, source, budget)
        english = [
            prompt
            for prompt in draw_prompts(bench.world, 5 * MADE // 2, scope=ENGLISH)
            if prompt.language == "en"
        ]
        clips = make(bench, net, [prompt.text for prompt in english], TIMES)
        save_strips(bench, name, clips, [prompt.text for prompt in english])
        results = measure(english, clips, load_judge()[0])
        spoilt = [artefact for result in results for artefact in result.reading.artefacts]
        read_off = {aspect: rate.hits for aspect, rate in rates(results).items()} | {
            "jump": spoilt.count("jump")
        }
        return {
            **spent,
            "untrained": untrained,
            "losses": held_out_losses(net, bench),
            "made": len(results),
            "read": read_off,
        }

    return kept(bench, name, run)


def cascade(bench: Bench, name: str) -> dict:
    """One net that makes whole clips, or two that share its budget: one for key frames, one for
    what is between two of them.
    """

    def run() -> dict:
        source = Turned(
            Batches(bench.world, REPEATED, "train", side_of(inflate(bench, WHOLE), bench.codec))
        )
        if name == "whole clip":
            net, spent = train(bench, WHOLE, source)
            return {
                **spent,
                **coherence(bench, name, lambda prompts: make(bench, net, prompts, TIMES)),
            }
        half = kept(bench, "whole clip", lambda: cascade(bench, "whole clip"))["flops"] / 2
        (keys, first), (filling, second) = (
            train(bench, variant, source, half) for variant in (KEYS, FILLING)
        )
        curves = {"curve": first.pop("curve"), "curve of filling": second.pop("curve")}
        spent = {what: first[what] + second[what] for what in first}
        return {
            **spent,
            **curves,
            **coherence(bench, name, lambda prompts: fill(bench, keys, filling, prompts)),
        }

    return kept(bench, name, run)


def fill(
    bench: Bench, keys: STUNet, filling: STUNet, prompts: list[str]
) -> UInt8[np.ndarray, "b f h w 3"]:
    """Key frames in one pass, then each gap between two of them by itself (the paper:
    non-overlapping segments).
    """
    frames = make(bench, keys, prompts, TIMES[:: KEY_STRIDE // 5])
    pieces = []
    for number in range(frames.shape[1] - 1):
        window = np.repeat(frames[:, number : number + 1], len(WINDOW), 1)
        window[:, -1] = frames[:, number + 1]
        pixels = torch.from_numpy(window).permute(0, 4, 1, 2, 3).float() / 127.5 - 1
        made = make(
            bench, filling, prompts, WINDOW, 1000 * (number + 1), ends(bench.codec.encode(pixels))
        )
        pieces += [frames[:, number : number + 1], made[:, 1:-1]]
    return np.concatenate([*pieces, frames[:, -1:]], 1)


def coherence(bench: Bench, name: str, make_clips: Callable[[list[str]], np.ndarray]) -> dict:
    """How much of each clip's path is the motion that was asked for; of real clips and of their key
    frames, too.
    """
    generator = torch.Generator().manual_seed(1)
    drawn = Batches(bench.world, REPEATED, "validation").draw(generator, REPEATED_MADE, TIMES)
    real = ((drawn.pixels + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 4, 1).numpy()
    motions = [facts.motion for facts in drawn.facts]
    clips, judge = make_clips(drawn.captions), load_judge()[0]
    save_strips(bench, name, clips, drawn.captions)
    subjects = [
        read(frames, judge).subject == facts.actors[0].subject
        for frames, facts in zip(clips, drawn.facts)
    ]
    sides = {"made": clips, "real": real, "cross-faded": cross_faded(real)}
    return {
        "motions": motions,
        "subjects": sum(subjects),
        **{side: rhythms(each, motions) for side, each in sides.items()},
    }


def cross_faded(clips: UInt8[np.ndarray, "b f h w 3"]) -> UInt8[np.ndarray, "b f h w 3"]:
    """What key frames alone tell: each gap between two of them filled by fading one into the
    other.
    """
    gap = KEY_STRIDE // 5
    keys = clips[:, ::gap].astype(np.float32)
    frames = [
        keys[:, n // gap] + (n % gap) / gap * (keys[:, -(-n // gap)] - keys[:, n // gap])
        for n in range(clips.shape[1])
    ]
    return np.stack(frames, 1).round().astype(np.uint8)


def rhythms(clips: UInt8[np.ndarray, "b f h w 3"], motions: list[str]) -> list[tuple[float, float]]:
    return [
        rhythm(path_of(frames), MOTIONS[motion].cycles["slow"])
        for frames, motion in zip(clips, motions)
    ]


def path_of(frames: UInt8[np.ndarray, "f h w 3"]) -> Float[np.ndarray, "f 2"]:
    colour = np.median(frames[:, border_mask(frames.shape[1])], axis=(0, 1))
    return track(frames.astype(np.float32) - colour.astype(np.float32), CONTRAST)[0]


def rhythm(path: Float[np.ndarray, "f 2"], cycles: int) -> tuple[float, float]:
    """Of a path over a clip: its amplitude at `cycles` a clip in frame sides, and the share of its
    variance that is at that frequency.

    Any phase. White noise has 2 / (f - 1) of its variance at any one frequency.
    """
    strays = path - path.mean(axis=0)
    wave = np.exp(-2j * np.pi * cycles * np.arange(len(path)) / len(path))
    power = float((np.abs(2 / len(path) * wave @ strays) ** 2 / 2).sum())
    return (2 * power) ** 0.5, power / max(float(strays.var(axis=0).sum()), 1e-12)


def kept(bench: Bench, name: str, run: Callable[[], dict]) -> dict:
    file = bench.folder / f"{file_name(bench, name)}.json"
    if not file.is_file():
        print(f"{name}:", flush=True)
        found = run()
        file.write_text(json.dumps(found))
        bench.texts.keep(bench.folder / TEXTS)
    return json.loads(file.read_text())


def file_name(bench: Bench, name: str) -> str:
    return f"{name.replace(',', '').replace(' ', '-')}-{bench.steps}-{bench.seed}"


def save_strips(bench: Bench, name: str, clips: np.ndarray, prompts: list[str]) -> None:
    strips = [filmstrip(Clip(frames), 16) for frames in clips[:12]]
    save_image(
        contact_sheet(strips, 1, prompts[:12]), bench.folder / f"{file_name(bench, name)}.png"
    )


def ablation_table(found: dict[str, dict]) -> str:
    """Mean held-out losses by timestep, and the paired difference from the first column with its
    standard error over clips.
    """
    first = np.array(next(iter(found.values()))["losses"])
    rows = [
        ["", "untrained", *found],
        ["steps", "0", *(str(each["steps"]) for each in found.values())],
    ]
    untrained = np.array(next(iter(found.values()))["untrained"])
    for number, level in enumerate(TIMESTEPS):
        losses = [f"{np.mean(each['losses'][number]):.4f}" for each in found.values()]
        rows.append([f"loss at timestep {level}", f"{untrained[number].mean():.4f}", *losses])
    rows.append(
        [
            "difference of the mean loss",
            "",
            *(difference(np.array(each["losses"]) - first) for each in found.values()),
        ]
    )
    rows += [
        [
            f"{what} as asked",
            "",
            *(f"{each['read'][what]}/{each['made']}" for each in found.values()),
        ]
        for what in ASPECTS
    ]
    rows.append(
        [
            "clips with a jump",
            "",
            *(f"{each['read']['jump']}/{each['made']}" for each in found.values()),
        ]
    )
    return markdown(rows)


def difference(each: np.ndarray) -> str:
    clips = each.mean(axis=0)
    return (
        f"{clips.mean():+.4f} ± {clips.std(ddof=1) / len(clips) ** 0.5:.4f}" if clips.any() else "0"
    )


def together(found: list[dict]) -> dict:
    """The clips of several seeds of training as one side of the table."""
    sides = ("motions", "made", "real", "cross-faded")
    return {
        "steps": found[0]["steps"],
        "subjects": sum(each["subjects"] for each in found),
        **{side: [clip for each in found for clip in each[side]] for side in sides},
    }


def curve_table(found: dict[str, list[dict]]) -> str:
    """Mean losses, over the seeds, of twelfths of the training of each net; their tasks differ, so
    rows can't be compared with each other.
    """
    nets = {
        "whole clip": [each["curve"] for each in found["whole clip"]],
        "key frames": [each["curve"] for each in found["key frames, filled"]],
        "between key frames": [each["curve of filling"] for each in found["key frames, filled"]],
    }
    rows = [["loss, by twelfths of the training", *(str(n + 1) for n in range(CURVE))]]
    for name, curves in nets.items():
        rows.append([name, *(f"{loss:.4f}" for loss in np.mean(curves, axis=0))])
    return markdown(rows)


def cascade_table(found: dict[str, dict]) -> str:
    first = next(iter(found.values()))
    rows = [
        ["", "real clips", "their key frames, cross-faded", *found],
        ["steps", "", "", *(str(each["steps"]) for each in found.values())],
    ]
    sides, motions = (
        [first["real"], first["cross-faded"], *(each["made"] for each in found.values())],
        np.array(first["motions"]),
    )
    for motion in REPEATED.motions:
        chosen = [np.array(side)[motions == motion] for side in sides]
        label = (
            f"{motion}, {MOTIONS[motion].cycles['slow']} in a clip ({sum(motions == motion)} clips)"
        )
        rows.append(
            [
                f"{label}: share of the path at that frequency",
                *(f"{each[:, 1].mean():.2f} ± {error(each[:, 1]):.2f}" for each in chosen),
            ]
        )
        rows.append(
            [
                f"{label}: amplitude there, frame sides",
                *(f"{each[:, 0].mean():.3f} ± {error(each[:, 0]):.3f}" for each in chosen),
            ]
        )
    rows.append(
        [
            "subject as asked",
            "",
            "",
            *(f"{each['subjects']}/{len(motions)}" for each in found.values()),
        ]
    )
    return markdown(rows)


def error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / len(values) ** 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiment", choices=[*EXPERIMENTS, "cascade"])
    parser.add_argument("--world", type=Path, required=True)
    parser.add_argument("--image-run", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="ablations: the first")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    texts = CaptionStates(E5TextEncoder())
    texts.open(options.out / TEXTS)
    bench = Bench(
        world=World.open(options.world),
        image_run=options.image_run,
        codec=open_codec(options.image_run),
        texts=texts,
        folder=options.out,
        steps=options.steps,
        seed=options.seeds[0],
    )
    if options.experiment != "cascade":
        names = ("full", EXPERIMENTS[options.experiment])
        print(ablation_table({name: ablate(bench, name) for name in names}))
        return
    found: dict[str, list[dict]] = {"whole clip": [], "key frames, filled": []}
    for seed in options.seeds:
        for name, sides in found.items():
            sides.append(cascade(replace(bench, seed=seed), name))
    print(cascade_table({name: together(sides) for name, sides in found.items()}))
    print(curve_table(found))


if __name__ == "__main__":
    main()
