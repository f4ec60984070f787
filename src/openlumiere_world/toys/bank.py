"""Pictures or clips of the toy world, coded once: latents of the frozen codec and token states of
their captions, in shards.

    python -m openlumiere_world.toys.bank --cache CACHE --codec CODEC --bank BANK --shards 20

A shard is 1,024 frames, each of a clip of its own, or with `--frames 16` as many clips of evenly
spaced frames as that makes; which ones follows from its number, so several processes may make
shards of one bank, and one that is there is not made again. With `--wordings 6` each is said in six
ways, at least once in every language; a shard that is there with fewer gets the rest.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import torch
import tyro
from jaxtyping import Float
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from openlumiere.media.write import write_whole
from openlumiere.models.autoencoder import StickerAutoencoder
from openlumiere.models.e5 import E5TextEncoder, bundled_encoder
from openlumiere.models.temporal import unfold_frames
from openlumiere.train.stages.picture import Coded
from openlumiere_world.toys.cache import Cache
from openlumiere_world.toys.captions import caption, worded
from openlumiere_world.toys.moved import MovedPictures
from openlumiere_world.toys.scene import KINDS, RATE, SECONDS, Planner, Scene, render

SHARD_FRAMES = 1024
BATCH = 16
EMPTY = "empty.safetensors"


def main(
    cache: Path,
    codec: Path,
    bank: Path,
    first: int = 0,
    shards: int = 20,
    threads: int = 1,
    split: str = "train",
    frames: int = 1,
    stride: int | None = None,
    kind: Literal["toy", "sticker", "still", "picture"] | None = None,
    wordings: int = 1,
) -> None:
    """Make the shards from `first` on that are missing, of pictures or of clips of `frames`, spaced
    evenly over five seconds or, with a `stride` in native frames, from anywhere in them. `kind`
    draws subjects of one kind alone: still pictures are those that are moved most; or photographs
    that a camera passes over (`moved.py`). Each has so many captions (`wordings`).
    """
    torch.set_num_threads(threads)
    bank.mkdir(parents=True, exist_ok=True)
    shown = open_shown(Cache(cache), kind)
    net = StickerAutoencoder.from_pretrained(codec).eval().to(memory_format=torch.channels_last)
    encoder = bundled_encoder()
    write({"states": encoder.encode([""]).states[0].half()}, bank / EMPTY)
    for number in range(first, first + shards):
        file = bank / f"shard-{number:04}.safetensors"
        there = file.is_file()
        if there and len(captions_of(file)) >= wordings * clips_of_shard(frames):
            continue
        planned = plans_of(shown, number, split, frames)
        if there:
            latents = load_file(file)["latents"]
        else:
            latents = coded_shard(shown, net, planned, frames, stride)
        write_shard(shown, encoder, planned, latents, wordings, file)
        print(f"{file.name}", flush=True)


@runtime_checkable
class Shown(Protocol):
    """Clips that are drawn from a seed."""

    def plan(self, seed: int, split: str) -> Any:
        """All that is decided of one; it has that `seed`."""

    def render(self, drawn: Any, moments: Float[Tensor, " f"]) -> Float[Tensor, "f 4 128 128"]:
        """Premultiplied frames in [0, 1] at moments in seconds."""

    def caption(self, drawn: Any, wording: int) -> str:
        """What is said of it; the wordings from 1 on take the languages by turns."""


@dataclass(frozen=True)
class Scenes:
    """Clips of the toy world."""

    planner: Planner

    def plan(self, seed: int, split: str) -> Scene:
        """A scene."""
        return self.planner.plan(seed, split)

    def render(self, drawn: Scene, moments: Float[Tensor, " f"]) -> Float[Tensor, "f 4 128 128"]:
        """Its frames."""
        return render(self.planner.cache, drawn, moments)

    def caption(self, drawn: Scene, wording: int) -> str:
        """What is said of it."""
        cache = self.planner.cache
        item, subject = cache.items[drawn.item], cache.subjects[drawn.subject]
        return caption(drawn, item, subject, *worded(drawn.seed, wording))


def open_shown(cache: Cache, kind: str | None) -> Shown:
    """Clips of all kinds of the world, of one, or of its pictures."""
    if kind == "picture":
        return MovedPictures(cache, Planner(cache))
    return Scenes(Planner(cache, {kind: 1.0} if kind else KINDS))


def clips_of_shard(frames: int) -> int:
    """How many clips of so many frames it holds."""
    return max(SHARD_FRAMES // frames, 1)


def plans_of(shown: Shown, number: int, split: str, frames: int) -> list[Any]:
    """What a shard shows."""
    count = clips_of_shard(frames)
    return [shown.plan(seed, split) for seed in range(number * count, (number + 1) * count)]


def coded_shard(
    shown: Shown, net: StickerAutoencoder, planned: list[Any], frames: int, stride: int | None
) -> Float[Tensor, "b 16 *places"]:
    """Latents of all of them in half precision, a few at a time."""
    together = max(BATCH // frames, 1)
    parts = [planned[start : start + together] for start in range(0, len(planned), together)]
    return torch.cat([coded(shown, net, part, frames, stride) for part in parts]).half()


def write_shard(
    shown: Shown,
    encoder: E5TextEncoder,
    planned: list[Any],
    latents: Float[Tensor, "b 16 *places"],
    wordings: int,
    file: Path,
) -> None:
    """Write latents with the states of their captions, those of one clip after each other."""
    captions = [shown.caption(each, wording) for each in planned for wording in range(wordings)]
    states: list[Float[Tensor, "n d"]] = []
    for start in range(0, len(captions), BATCH):
        states += rows_of(encoder, captions[start : start + BATCH])
    tensors = {
        "latents": latents.contiguous(),
        "states": torch.cat(states).half(),
        "lengths": torch.tensor([len(row) for row in states]),
    }
    write(tensors, file, {"captions": json.dumps(captions)})


@torch.no_grad()
def coded(
    shown: Shown, net: StickerAutoencoder, drawn: list[Any], frames: int, stride: int | None
) -> Float[Tensor, "b 16 *places"]:
    """Latents of a frame of each, or of `frames` as clips."""
    rendered = [shown.render(each, moments_of(each.seed, frames, stride)) for each in drawn]
    pixels = (2 * torch.cat(rendered) - 1).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        latents = net.encode(pixels)
    return latents if frames == 1 else unfold_frames(latents, len(drawn))


def moments_of(seed: int, frames: int, stride: int | None) -> Float[Tensor, " f"]:
    """Seconds: of one frame from the middle half of the clip, where what appears or goes is there;
    of several evenly spaced from the first on, or `stride` native frames apart from anywhere.
    """
    chance = torch.rand(1, generator=torch.Generator().manual_seed(seed))
    if frames == 1:
        return (0.25 + 0.5 * chance) * SECONDS
    if stride is None:
        return torch.arange(frames) * (SECONDS / frames)
    lasts = frames * stride / RATE
    return chance * (SECONDS - lasts) + torch.arange(frames) * (stride / RATE)


def rows_of(encoder: E5TextEncoder, captions: list[str]) -> list[Float[Tensor, "n d"]]:
    """The states of each caption's own tokens."""
    encoded = encoder.encode_together(captions, "cpu")
    return [states[mask] for states, mask in zip(encoded.states, encoded.mask)]


def write(tensors: dict[str, Tensor], file: Path, metadata: dict[str, str] | None = None) -> None:
    """What is there is whole."""
    write_whole(file, lambda made: save_file(tensors, made, metadata=metadata))


class Bank:
    """All shards of a folder, or the first `shards`, in memory: about 20 KB a picture. Raises
    ValueError where there is none.
    """

    def __init__(self, folder: Path, shards: int | None = None):
        files = sorted(folder.glob("shard-*.safetensors"))[:shards]
        if not files:
            raise ValueError(
                f"bank: expected shards in {folder}, got none, "
                "do: python -m openlumiere_world.toys.bank"
            )
        self.empty = load_file(folder / EMPTY)["states"]
        parts = [load_file(file) for file in files]
        self.latents = torch.cat([part["latents"] for part in parts])
        self.states = [wording for part in parts for wording in wordings_of(part)]
        self.captions = [caption for file in files for caption in captions_of(file)]

    def draw(self, generator: torch.Generator, count: int) -> Coded:
        """So many coded rows, each under one of its captions, by the generator alone."""
        rows = torch.randint(len(self.latents), (count,), generator=generator)
        said = [one_of(self.states[row], generator) for row in rows.tolist()]
        return Coded(self.latents[rows].float(), said)


class Part(NamedTuple):
    """A bank of clips whose frames are `stride` native frames apart, drawn for a `share` of the
    batches. They are learnt up to time `latest`: where there is more noise, a model may look at
    every fifth frame alone (`path_until`). `shown` as in `Coded`.
    """

    bank: Bank
    stride: int
    share: float
    latest: float = 1.0
    shown: bool = False


class Banks:
    """Clips of several banks. Of longer clips than the first bank's fewer are drawn at once, as
    many frames in all, one clip at least.
    """

    def __init__(self, *parts: Part):
        self.parts = parts
        self.frames = parts[0].bank.latents.shape[2]
        self.shares = torch.tensor([part.share for part in parts])
        self.empty = parts[0].bank.empty

    def draw(self, generator: torch.Generator, count: int) -> Coded:
        """All of one bank, with their times."""
        part = self.parts[int(torch.multinomial(self.shares, 1, generator=generator))]
        frames = part.bank.latents.shape[2]
        drawn = part.bank.draw(generator, max(count * self.frames // frames, 1))
        times = part.stride * torch.arange(drawn.latents.shape[2]).float()
        return drawn._replace(times=times, latest=part.latest, shown=part.shown)


def wordings_of(part: dict[str, Tensor]) -> list[tuple[Float[Tensor, "n d"], ...]]:
    """The states of each clip's captions, of a shard's tensors."""
    rows = part["states"].split(part["lengths"].tolist())
    wordings = len(rows) // len(part["latents"])
    return [rows[start : start + wordings] for start in range(0, len(rows), wordings)]


def one_of(wordings: tuple[Tensor, ...], generator: torch.Generator) -> Tensor:
    """Any of a clip's captions; where there is one, nothing is drawn."""
    if len(wordings) == 1:
        return wordings[0]
    return wordings[int(torch.randint(len(wordings), (), generator=generator))]


def captions_of(file: Path) -> list[str]:
    """The captions that a shard's metadata holds."""
    with safe_open(file, framework="pt") as opened:
        return json.loads(opened.metadata()["captions"])


if __name__ == "__main__":
    tyro.cli(main)
