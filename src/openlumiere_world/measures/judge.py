"""The judge: a small classifier that says which subject of the sticker world a frame shows, and in
which style.

It learns from rendered frames alone and never sees what a generator made. Roughened frames (noise,
blur, other contrast) are half of what it learns from, so that it reads made frames too; spoilt ones
(no subject, scrambled, unrecognisable) teach it to answer "none". All of this is our choice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from openlumiere.quality.rates import Rate
from openlumiere_world.batch import CLIP, Batches, Drawn
from openlumiere_world.measures.judge_file import read_judge, write_judge
from openlumiere_world.scene import Facts
from openlumiere_world.scope import WORLD_32, Scope
from openlumiere_world.subjects import World

SIDE = 32  # pixels of the frames it reads; larger ones are averaged down
BUNDLED = files("openlumiere_world.measures") / "judge_world32.safetensors"
NOISE = 0.25  # most noise of a roughened frame, standard deviation in [-1, 1]
SPOILT = 8  # one frame in so many shows no subject
PATCH = 8  # pixels of the squares that scrambling moves


class Judge(nn.Module):
    """Four convolutions and two heads. The last subject is "none"; its features are those of
    `frechet`.
    """

    def __init__(self, subjects: tuple[str, ...], styles: tuple[str, ...]):
        super().__init__()
        self.subjects, self.styles = subjects, styles
        widths = (3, 32, 64, 96, 128)
        self.layers = nn.Sequential(
            *(layer(*pair, stride) for pair, stride in zip(pairwise(widths), (1, 2, 2, 1)))
        )
        self.mix = nn.Linear(2 * widths[-1], 128)
        self.subject, self.style = nn.Linear(128, len(subjects) + 1), nn.Linear(128, len(styles))

    def features(self, frames: Float[Tensor, "n 3 32 32"]) -> Float[Tensor, "n 128"]:
        """Of frames in [-1, 1]: where anything is does not matter, for each channel is pooled over
        all places.
        """
        places = self.layers(frames)
        return F.relu(self.mix(torch.cat([places.mean((2, 3)), places.amax((2, 3))], dim=1)))

    def forward(
        self, frames: Float[Tensor, "n 3 32 32"]
    ) -> tuple[Float[Tensor, "n s"], Float[Tensor, "n k"]]:
        """Logits of subjects (and none) and of styles."""
        features = self.features(frames)
        return self.subject(features), self.style(features)


def layer(channels: int, out: int, stride: int) -> nn.Sequential:
    """A convolution, normalised and rectified."""
    return nn.Sequential(
        nn.Conv2d(channels, out, 3, stride, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()
    )


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a clip shows by the mean over its frames: the likeliest subject (None: nothing that is
    drawn) and style.

    `chances`: of each subject, in the judge's order, and of none. `constancy`: share of frames that
    show the clip's subject.
    """

    subject: str | None
    style: str | None
    chances: tuple[float, ...]
    constancy: float


@torch.no_grad()
def judge_clip(judge: Judge, frames: UInt8[np.ndarray, "f h w 3"]) -> Verdict:
    """Read one clip, of a side that divides by 32."""
    subjects, styles = (logits.softmax(1) for logits in judge(to_judge(frames)))
    mean, best = subjects.mean(0), int(subjects.mean(0).argmax())
    seen = best < len(judge.subjects)
    return Verdict(
        subject=judge.subjects[best] if seen else None,
        style=judge.styles[int(styles.mean(0).argmax())] if seen else None,
        chances=tuple(round(float(chance), 4) for chance in mean),
        constancy=float((subjects.argmax(1) == best).float().mean()),
    )


def to_judge(frames: UInt8[np.ndarray, "f h w 3"]) -> Float[Tensor, "f 3 32 32"]:
    """Frames as the judge reads them. Raises ValueError for another side."""
    side = frames.shape[1]
    if frames.shape[1] != frames.shape[2] or side % SIDE:
        raise ValueError(
            f"frames: expected a square side that divides by {SIDE}, got"
            f" {frames.shape[2]}x{side}, resize the clip"
        )
    pixels = (
        rearrange(torch.from_numpy(np.ascontiguousarray(frames)), "f h w c -> f c h w").float()
        / 127.5
        - 1
    )
    return F.avg_pool2d(pixels, side // SIDE)


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """How a judge learns."""

    steps: int = 1000
    batch: int = 48
    learning_rate: float = 2e-3
    seed: int = 0


def train_judge(
    world: World,
    scope: Scope = WORLD_32,
    config: JudgeConfig = JudgeConfig(),
    on_line: Callable[[str], None] = lambda text: None,
) -> Judge:
    """Learn from frames of the scope's training clips. `on_line` is given a line now and then."""
    torch.manual_seed(config.seed)
    batches = Batches(world, scope, "train", SIDE)
    return fit(
        Judge(*classes(batches)),
        lambda generator: draw_moments(batches, generator, config.batch),
        config,
        on_line,
    )


def fit(
    judge: Judge,
    draw: Callable[[torch.Generator], Drawn],
    config: JudgeConfig,
    on_line: Callable[[str], None] = lambda text: None,
) -> Judge:
    """Train a judge on the batches that `draw` gives it."""
    generator = torch.Generator().manual_seed(config.seed)
    optimizer = torch.optim.AdamW(judge.parameters(), lr=config.learning_rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.learning_rate, config.steps)
    for step in range(1, config.steps + 1):
        loss = judge_loss(judge, draw(generator), generator)
        loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 100 == 0:
            on_line(f"step {step}  loss {loss.item():.4f}  {time.process_time():.0f} s of CPU")
    return judge.eval()


def classes(batches: Batches) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Subjects and styles that the batches hold, in a fixed order."""
    items = [batches.world.by_id[id] for id in batches.bank.first]
    return tuple(sorted({item.subject for item in items})), tuple(
        sorted({item.style for item in items})
    )


def draw_moments(batches: Batches, generator: torch.Generator, count: int) -> Drawn:
    """Single frames of as many clips."""
    return batches.draw(generator, count, torch.rand(count, 1, generator=generator) * (CLIP - 1))


def judge_loss(judge: Judge, drawn: Drawn, generator: torch.Generator) -> Tensor:
    """Cross-entropy of subject and style; every eighth frame is spoilt, and then has no style."""
    frames, (subjects, styles) = drawn.pixels[:, :, 0].clone(), labels(judge, drawn.facts)
    spoilt = torch.arange(len(frames)) % SPOILT == 0
    frames[spoilt] = spoil(frames[spoilt], generator)
    subjects[spoilt] = len(judge.subjects)
    rough = torch.arange(len(frames)) % 2 == 1
    frames[rough] = roughen(frames[rough], generator)
    named, drawn_in = judge(frames)
    return F.cross_entropy(named, subjects) + F.cross_entropy(drawn_in[~spoilt], styles[~spoilt])


def labels(judge: Judge, facts: Iterable[Facts]) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
    """Numbers of the subject and of the style of each."""
    pairs = [
        (judge.subjects.index(each.actors[0].subject), judge.styles.index(each.actors[0].style))
        for each in facts
    ]
    subjects, styles = torch.tensor(pairs).unbind(1)
    return subjects.clone(), styles


def roughen(
    frames: Float[Tensor, "n 3 h w"], generator: torch.Generator
) -> Float[Tensor, "n 3 h w"]:
    """Blurred, of another contrast and noisy, each by a random amount, as frames out of a generator
    are.
    """
    blur, contrast, shift, noise = torch.rand(4, len(frames), 1, 1, 1, generator=generator)
    smooth = F.avg_pool2d(F.pad(frames, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    changed = (frames + blur * (smooth - frames)) * (0.85 + 0.3 * contrast) + 0.2 * (shift - 0.5)
    return (changed + NOISE * noise * torch.randn(frames.shape, generator=generator)).clamp(-1, 1)


def spoil(frames: Float[Tensor, "n 3 h w"], generator: torch.Generator) -> Float[Tensor, "n 3 h w"]:
    """Frames that show no subject: by turns the bare background, its squares scrambled, and one too
    coarse to tell.
    """
    side = frames.shape[-1]
    bare = frames[:, :, :1, :1].expand_as(frames)
    squares = rearrange(frames, "n c (y p) (x q) -> n (y x) c p q", p=PATCH, q=PATCH)
    order = torch.rand(squares.shape[:2], generator=generator).argsort(1)
    scrambled = rearrange(
        squares[torch.arange(len(frames))[:, None], order],
        "n (y x) c p q -> n c (y p) (x q)",
        y=side // PATCH,
    )
    coarse = F.interpolate(
        F.avg_pool2d(frames, PATCH), size=side, mode="bilinear", align_corners=False
    )
    turn = (torch.arange(len(frames)) + int(torch.randint(3, (1,), generator=generator))) % 3
    return torch.stack([bare, scrambled, coarse])[turn, torch.arange(len(frames))]


@torch.no_grad()
def accuracy(
    judge: Judge, batches: Batches, frames: int = 600, rough: bool = False, seed: int = 10**6
) -> dict[str, Rate]:
    """How often single rendered frames, perhaps roughened, are read right."""
    generator = torch.Generator().manual_seed(seed)
    drawn = draw_moments(batches, generator, frames)
    pixels = roughen(drawn.pixels[:, :, 0], generator) if rough else drawn.pixels[:, :, 0]
    read = (logits.argmax(1) for logits in judge(pixels))
    return {
        name: rate(one == asked)
        for name, one, asked in zip(("subject", "style"), read, labels(judge, drawn.facts))
    }


@torch.no_grad()
def rejection(judge: Judge, batches: Batches, frames: int = 600, seed: int = 10**6) -> Rate:
    """How often spoilt frames are read as none."""
    generator = torch.Generator().manual_seed(seed)
    spoilt = spoil(draw_moments(batches, generator, frames).pixels[:, :, 0], generator)
    return rate(judge(spoilt)[0].argmax(1) == len(judge.subjects))


def rate(hits: Bool[Tensor, " n"]) -> Rate:
    """How often."""
    return Rate(int(hits.sum()), len(hits))


def report(
    judge: Judge, world: World, scope: Scope = WORLD_32, frames: int = 600
) -> dict[str, dict[str, float]]:
    """Its accuracy on clips that it did not learn from: others of the same combinations, and
    held-out combinations.
    """
    found = {}
    for split in ("validation", "composition"):
        batches = Batches(world, scope, split, SIDE)
        for kind, rough in (("clean", False), ("roughened", True)):
            found[f"{split}, {kind}"] = {
                name: each.share for name, each in accuracy(judge, batches, frames, rough).items()
            }
    return found | {
        "spoilt": {
            "none": rejection(judge, Batches(world, scope, "validation", SIDE), frames).share
        }
    }


def save_judge(judge: Judge, path: Path, config: JudgeConfig, found: dict) -> None:
    """Half precision, with classes, configuration and accuracy; written beside and renamed."""
    about = {
        "subjects": judge.subjects,
        "styles": judge.styles,
        "config": asdict(config),
        "accuracy": found,
    }
    write_judge(judge, path, about)


def load_judge(path: Path | None = None) -> tuple[Judge, dict]:
    """A judge and what it says of itself; the bundled one by default. Raises ValueError for another
    or a damaged file.
    """
    return read_judge(path or Path(str(BUNDLED)), built, "a judge", "lumiere evaluate judge")


def built(about: dict) -> Judge:
    """A judge of the classes that a file names."""
    return Judge(tuple(about["subjects"]), tuple(about["styles"]))
