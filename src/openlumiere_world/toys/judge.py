"""The judge of the toy world: a small classifier that reads what a clip shows.

    python -m openlumiere_world.toys.judge --cache CACHE --out judge_world128.safetensors

It learns from rendered clips alone and never sees what a generator made. Half of its clips are
roughened (blur, noise, other contrast), so that it reads generated ones too; one in eight is spoilt
and must be read as no subject. All of this is our choice.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
import tyro
from jaxtyping import Float, Int, UInt8
from safetensors.torch import load_file
from torch import Tensor, nn

from openlumiere.quality.rates import Rate
from openlumiere_world.measures.judge_file import read_judge, write_judge
from openlumiere_world.toys.cache import Cache
from openlumiere_world.toys.grounds import COLOURS, SCENES
from openlumiere_world.toys.scene import (
    CAMERAS,
    MOVES,
    SECONDS,
    WAYS,
    Planner,
    Scene,
    render,
)

BUNDLED = files("openlumiere_world.measures") / "judge_world128.safetensors"
FRAMES, SIDE = 16, 64  # what it reads of a clip
WIDTHS = (24, 48, 96, 128)
NONE = "nothing"  # the last subject
OWN = "own"  # the action of an animated sticker
GOES = "goes"  # that of what is moved in one of `WAYS`
NOWHERE = "nowhere"  # the direction of what stays
GROUNDS = ("transparent", "gradient", *COLOURS, *SCENES)
SPOILT = 8  # one clip in so many shows no subject
NOISE = 0.12  # most noise of a roughened clip, standard deviation in [0, 1]
PATCH = 8  # pixels of the squares that scrambling moves
RENDERED = 2  # sizes of a rendered frame to what is read


@dataclass(frozen=True, kw_only=True)
class Classes:
    """What may be read in each aspect."""

    subject: tuple[str, ...]
    style: tuple[str, ...]
    ground: tuple[str, ...] = GROUNDS
    action: tuple[str, ...]
    direction: tuple[str, ...] = (NOWHERE, *WAYS)
    camera: tuple[str, ...] = ("still", "follow", *CAMERAS)


ASPECTS = ("subject", "style", "ground", "action", "direction", "camera")
SHOWN = ("subject", "style", "ground")  # each frame shows these by itself


class ClipJudge(nn.Module):
    """Convolutions over frames, then over time, and a head for each of `ASPECTS`.

    What each frame shows is the mean over frames; action, direction and camera are read off all
    frames together. The means of each channel times a place's coordinates tell where it is.
    """

    def __init__(self, classes: Classes):
        super().__init__()
        self.classes = classes
        self.layers = nn.Sequential(*(layer(*pair) for pair in pairwise((4, *WIDTHS))))
        width = WIDTHS[-1]
        self.mix = nn.Linear(4 * width, width)
        self.time = nn.Sequential(
            nn.Conv1d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(width, width, 3, padding=1),
            nn.ReLU(),
        )
        self.heads = nn.ModuleDict(
            {
                name: nn.Linear(
                    width if name in SHOWN else 2 * width,
                    len(getattr(classes, name)) + (name == "subject"),
                )
                for name in ASPECTS
            }
        )

    def features(self, frames: Float[Tensor, "n 4 64 64"]) -> Float[Tensor, "n d"]:
        """Of premultiplied frames in [0, 1]; those of the Fréchet distance."""
        channels_last = (2 * frames - 1).contiguous(memory_format=torch.channels_last)
        places = self.layers(channels_last)
        along = torch.linspace(-1, 1, places.shape[-1])
        pooled = (
            places.mean((2, 3)),
            places.amax((2, 3)),
            (places * along).mean((2, 3)),
            (places * along[:, None]).mean((2, 3)),
        )
        return F.relu(self.mix(torch.cat(pooled, dim=1)))

    def forward(self, clips: Float[Tensor, "b f 4 64 64"]) -> dict[str, Float[Tensor, "b _"]]:
        """Logits of each aspect."""
        count = len(clips)
        features = self.features(clips.flatten(0, 1)).unflatten(0, (count, -1))
        moving = self.time(features.transpose(1, 2))
        path = torch.cat([moving.mean(2), moving.amax(2)], dim=1)
        return {
            name: self.heads[name](features).mean(1) if name in SHOWN else self.heads[name](path)
            for name in ASPECTS
        }


def layer(channels: int, out: int) -> nn.Sequential:
    """Half the size, normalised and rectified."""
    return nn.Sequential(
        nn.Conv2d(channels, out, 3, 2, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()
    )


def shown(scene: Scene, cache: Cache) -> dict[str, str]:
    """What a scene shows in each aspect, by the names of `Classes`."""
    return {
        "subject": cache.subjects[scene.subject].names["en"],
        "style": scene.style,
        "ground": "gradient" if " to " in scene.ground else scene.ground,
        "action": GOES if scene.action in WAYS else scene.action,
        "direction": scene.way or NOWHERE,
        "camera": "still" if scene.ground not in SCENES else scene.camera,
    }


def to_judge(frames: Float[Tensor, "f 4 h w"]) -> Float[Tensor, "16 4 64 64"]:
    """Sixteen of the frames, evenly spread, at the judge's size."""
    rows = (torch.arange(FRAMES) * len(frames) / FRAMES).long()
    return F.interpolate(frames[rows], size=(SIDE, SIDE), mode="area")


def classes_of(cache: Cache) -> Classes:
    """Subjects by their English names, styles and actions of a cache, in a fixed order; subjects of
    one name, a toy and a sticker, are one.
    """
    verbs = {item.motion["en"] for item in cache.items if item.style == "toy"}
    moves = {GOES if move in WAYS else move for move in MOVES}
    return Classes(
        subject=tuple(sorted({cache.subjects[item.subject].names["en"] for item in cache.items})),
        style=tuple(sorted({item.style for item in cache.items})),
        action=(OWN, *sorted(moves | verbs)),
    )


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """How a judge learns. `pool`: clips rendered once, that batches are drawn from.

    `picture_steps` come first, on one frame of each of `pictures` clips: as much work as a batch of
    clips, but of ten times as many subjects.
    """

    picture_steps: int = 1500
    pictures: int = 256
    steps: int = 1500
    batch: int = 24
    pool: int = 4000
    learning_rate: float = 2e-3
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Pool:
    """Rendered clips in 8 bits, and the number of what each shows in each aspect."""

    clips: Tensor
    labels: dict[str, Int[Tensor, " n"]]


def render_pool(
    planner: Planner, classes: Classes, count: int, first: int, split: str = "train"
) -> Pool:
    """The clips of the seeds from `first` on."""
    clips = torch.empty(count, FRAMES, 4, SIDE, SIDE, dtype=torch.uint8)
    moments = torch.arange(FRAMES) * (SECONDS / FRAMES)
    scenes = [planner.plan(first + number, split) for number in range(count)]
    for number, scene in enumerate(scenes):
        frames = F.avg_pool2d(render(planner.cache, scene, moments), RENDERED)
        clips[number] = (frames.clamp(0, 1) * 255).round().byte()
    facts = [shown(scene, planner.cache) for scene in scenes]
    labels = {
        name: torch.tensor([getattr(classes, name).index(fact[name]) for fact in facts])
        for name in ASPECTS
    }
    return Pool(clips, labels)


def train_judge(
    planner: Planner,
    config: JudgeConfig,
    on_line: Callable[[str], None] = lambda line: None,
    start: dict[str, Tensor] | None = None,
) -> ClipJudge:
    """Learn from rendered training clips, beginning with what a judge of other classes sees where
    its weights are given to `start` from. `on_line` is given a line now and then.
    """
    torch.manual_seed(config.seed)
    classes = classes_of(planner.cache)
    judge = ClipJudge(classes)
    if start is not None:
        judge.load_state_dict(without_heads(start), strict=False)
    pool = render_pool(planner, classes, config.pool, first=10**8)
    on_line(f"rendered  {time.process_time():.0f} s of CPU")
    generator = torch.Generator().manual_seed(config.seed)
    optimizer = torch.optim.AdamW(judge.parameters(), lr=config.learning_rate, weight_decay=0.05)
    total = config.picture_steps + config.steps
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, total)
    for step in range(1, total + 1):
        if step <= config.picture_steps:
            loss = picture_loss(judge, pool, config.pictures, generator)
        else:
            loss = judge_loss(judge, pool, config.batch, generator)
        loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 100 == 0:
            on_line(f"step {step}  loss {loss.item():.3f}  {time.process_time():.0f} s of CPU")
    return judge.eval()


def without_heads(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """All of a judge's but those that name classes."""
    return {name: value for name, value in weights.items() if not name.startswith("heads.")}


def picture_loss(
    judge: ClipJudge, pool: Pool, batch: int, generator: torch.Generator
) -> Float[Tensor, ""]:
    """Of subject, style and ground, off one frame a clip."""
    rows = torch.randint(len(pool.clips), (batch,), generator=generator)
    moments = torch.randint(FRAMES, (batch,), generator=generator)
    return loss_of(judge, pool, rows, pool.clips[rows, moments][:, None], SHOWN, generator)


def judge_loss(
    judge: ClipJudge, pool: Pool, batch: int, generator: torch.Generator
) -> Float[Tensor, ""]:
    """Of all aspects, off whole clips."""
    rows = torch.randint(len(pool.clips), (batch,), generator=generator)
    return loss_of(judge, pool, rows, pool.clips[rows], ASPECTS, generator)


def loss_of(
    judge: ClipJudge,
    pool: Pool,
    rows: Int[Tensor, " b"],
    seen: UInt8[Tensor, "b f 4 h w"],
    aspects: tuple[str, ...],
    generator: torch.Generator,
) -> Float[Tensor, ""]:
    """The sum of the aspects' cross-entropies; a spoilt clip counts as nothing, with its ground."""
    clips, batch = seen.float() / 255, len(rows)
    labels = {name: pool.labels[name][rows] for name in aspects}
    sound = torch.rand(batch, generator=generator) >= 1 / SPOILT
    labels["subject"][~sound] = len(judge.classes.subject)
    clips[~sound] = spoil(clips[~sound], generator)
    rough = torch.rand(batch, generator=generator) < 0.5
    clips[rough] = roughen(clips[rough], generator)
    logits = judge(clips)
    loss = F.cross_entropy(logits["subject"], labels["subject"], label_smoothing=0.05)
    for name in aspects[1:]:
        loss = loss + F.cross_entropy(logits[name][sound], labels[name][sound])
    return loss


def roughen(
    clips: Float[Tensor, "b f 4 h w"], generator: torch.Generator
) -> Float[Tensor, "b f 4 h w"]:
    """Blurred, of another contrast and noisy, each by a random amount, as generated clips are; the
    noise is as coarse as two pixels and differs from frame to frame.
    """
    count = len(clips)
    blur, contrast, noise = torch.rand(3, count, 1, 1, 1, 1, generator=generator)
    flat = F.pad(clips.flatten(0, 1), (1, 1, 1, 1), mode="replicate")
    smooth = F.avg_pool2d(flat, 3, stride=1).unflatten(0, clips.shape[:2])
    changed = 0.5 + (clips + blur * (smooth - clips) - 0.5) * (0.85 + 0.3 * contrast)
    coarse = torch.randn(*clips.shape[:3], SIDE // 2, SIDE // 2, generator=generator)
    shape = coarse.flatten(0, 1)
    waver = F.interpolate(shape, scale_factor=2.0, mode="bilinear").unflatten(0, clips.shape[:2])
    return (changed + NOISE * noise * waver).clamp(0, 1)


def spoil(
    clips: Float[Tensor, "b f 4 h w"], generator: torch.Generator
) -> Float[Tensor, "b f 4 h w"]:
    """Clips that show no subject: squares scrambled, or too coarse to tell, by chance."""
    if not len(clips):
        return clips
    tiles = clips.unfold(3, PATCH, PATCH).unfold(4, PATCH, PATCH)
    grid = tiles.shape[3]
    order = torch.randperm(grid * grid, generator=generator)
    scrambled = tiles.flatten(3, 4)[:, :, :, order].unflatten(3, (grid, grid))
    squares = scrambled.permute(0, 1, 2, 3, 5, 4, 6).reshape(clips.shape)
    coarse = F.avg_pool2d(clips.flatten(0, 1), 2 * PATCH)
    coarse = F.interpolate(coarse, size=clips.shape[-2:], mode="bilinear")
    pick = torch.rand(len(clips), 1, 1, 1, 1, generator=generator) < 0.5
    return torch.where(pick, squares, coarse.unflatten(0, clips.shape[:2]))


@torch.no_grad()
def accuracy(judge: ClipJudge, pool: Pool, rough: bool = False, seed: int = 0) -> dict[str, Rate]:
    """How often clips whose content is known, perhaps roughened, are read right."""
    generator = torch.Generator().manual_seed(seed)
    hits = dict.fromkeys(ASPECTS, 0)
    for first in range(0, len(pool.clips), 32):
        clips = pool.clips[first : first + 32].float() / 255
        logits = judge(roughen(clips, generator) if rough else clips)
        for name in ASPECTS:
            right = logits[name].argmax(1) == pool.labels[name][first : first + 32]
            hits[name] += int(right.sum())
    return {name: Rate(count, len(pool.clips)) for name, count in hits.items()}


def report(judge: ClipJudge, planner: Planner, count: int) -> dict[str, dict[str, float]]:
    """Its accuracy on other training clips and on combinations that training never shows."""
    found = {}
    for split in ("train", "held out"):
        pool = render_pool(planner, judge.classes, count, first=2 * 10**8, split=split)
        for kind, rough in (("clean", False), ("roughened", True)):
            rates = accuracy(judge, pool, rough)
            found[f"{split}, {kind}"] = {name: rate.share for name, rate in rates.items()}
    return found


def save_judge(judge: ClipJudge, path: Path, config: JudgeConfig, found: dict) -> None:
    """Half precision, with classes, configuration and accuracy; written beside and renamed."""
    about = {"classes": asdict(judge.classes), "config": asdict(config), "accuracy": found}
    write_judge(judge, path, about)


def load_judge(path: Path | None = None) -> tuple[ClipJudge, dict]:
    """A judge and what it says of itself; the bundled one by default. Raises ValueError for another
    or a damaged file.
    """
    command = "python -m openlumiere_world.toys.judge"
    return read_judge(path or Path(str(BUNDLED)), built, "a judge of toys", command)


def built(about: dict) -> ClipJudge:
    """A judge of the classes that a file names."""
    return ClipJudge(Classes(**{name: tuple(names) for name, names in about["classes"].items()}))


def main(
    cache: Path,
    out: Path,
    tested: int = 600,
    start: Path | None = None,
    config: JudgeConfig = JudgeConfig(),
    threads: int = 1,
) -> None:
    """Train a judge on a packed cache, from the weights of another where one is given to `start`
    from, state how well it reads, write it.
    """
    torch.set_num_threads(threads)
    planner = Planner(Cache(cache))
    begun = None if start is None else load_file(start)
    judge = train_judge(planner, config, lambda line: print(line, flush=True), begun)
    found = report(judge, planner, tested)
    save_judge(judge, out, config, found)
    for where, shares in found.items():
        figures = ", ".join(f"{name} {100 * share:.1f} %" for name, share in shares.items())
        print(f"{where}: {figures}")


if __name__ == "__main__":
    tyro.cli(main)
