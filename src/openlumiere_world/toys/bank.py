"""Pictures or clips of the toy world, coded once: latents of the frozen codec and token states of
their captions, in shards.

    python -m openlumiere_world.toys.bank --cache CACHE --codec CODEC --bank BANK --shards 20

A shard is 1,024 frames, each of a clip of its own, or with `--frames 16` as many clips of evenly
spaced frames as that makes; which ones follows from its number, so several processes may make
shards of one bank, and one that is there is not made again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

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
from openlumiere_world.toys.captions import caption
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
    kind: Literal["toy", "sticker", "still"] | None = None,
) -> None:
    """Make the shards from `first` on that are missing, of pictures or of clips of `frames`, spaced
    evenly over five seconds or, with a `stride` in native frames, from anywhere in them. `kind`
    draws subjects of one kind alone: still pictures are those that are moved most.
    """
    torch.set_num_threads(threads)
    bank.mkdir(parents=True, exist_ok=True)
    planner = Planner(Cache(cache), {kind: 1.0} if kind else KINDS)
    net = StickerAutoencoder.from_pretrained(codec).eval().to(memory_format=torch.channels_last)
    encoder = bundled_encoder()
    write({"states": encoder.encode([""]).states[0].half()}, bank / EMPTY)
    for number in range(first, first + shards):
        file = bank / f"shard-{number:04}.safetensors"
        if not file.is_file():
            make_shard(planner, net, encoder, number, file, split, frames, stride)
            print(f"{file.name}", flush=True)


def make_shard(
    planner: Planner,
    net: StickerAutoencoder,
    encoder: E5TextEncoder,
    number: int,
    file: Path,
    split: str,
    frames: int,
    stride: int | None,
) -> None:
    """Code the clips of some scenes and write them with their captions' states."""
    latents, states, captions = [], [], []
    count, together = max(SHARD_FRAMES // frames, 1), max(BATCH // frames, 1)
    for start in range(number * count, (number + 1) * count, together):
        scenes = [planner.plan(seed, split) for seed in range(start, start + together)]
        latents.append(coded(planner, net, scenes, frames, stride))
        spoken = [caption_of(planner, scene) for scene in scenes]
        states += rows_of(encoder, spoken)
        captions += spoken
    lengths = torch.tensor([len(row) for row in states])
    tensors = {
        "latents": torch.cat(latents).half().contiguous(),
        "states": torch.cat(states).half(),
        "lengths": lengths,
    }
    write(tensors, file, {"captions": json.dumps(captions)})


def caption_of(planner: Planner, scene: Scene) -> str:
    """What is said of a scene."""
    cache = planner.cache
    return caption(scene, cache.items[scene.item], cache.subjects[scene.subject], scene.seed)


@torch.no_grad()
def coded(
    planner: Planner, net: StickerAutoencoder, scenes: list[Scene], frames: int, stride: int | None
) -> Float[Tensor, "b 16 *places"]:
    """Latents of a frame of each, or of `frames` as clips."""
    moments = [moments_of(scene, frames, stride) for scene in scenes]
    shown = [
        render(planner.cache, scene, times) for scene, times in zip(scenes, moments, strict=True)
    ]
    pixels = (2 * torch.cat(shown) - 1).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        latents = net.encode(pixels)
    return latents if frames == 1 else unfold_frames(latents, len(scenes))


def moments_of(scene: Scene, frames: int, stride: int | None) -> Float[Tensor, " f"]:
    """Seconds: of one frame from the middle half of the clip, where what appears or goes is there;
    of several evenly spaced from the first on, or `stride` native frames apart from anywhere.
    """
    chance = torch.rand(1, generator=torch.Generator().manual_seed(scene.seed))
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
        self.states = [
            row for part in parts for row in part["states"].split(part["lengths"].tolist())
        ]
        self.captions = [caption for file in files for caption in captions_of(file)]

    def draw(self, generator: torch.Generator, count: int) -> Coded:
        """So many coded rows, by the generator alone."""
        rows = torch.randint(len(self.latents), (count,), generator=generator)
        return Coded(self.latents[rows].float(), [self.states[row] for row in rows.tolist()])


class Banks:
    """Clips of two banks: `share` of the batches are of the second, whose frames are `stride`
    native frames apart; the first's are `usual`. The second's are learnt up to time `latest`: where
    there is more noise, a model looks at the first's spacing (`path_until`).
    """

    def __init__(
        self, first: Bank, second: Bank, usual: int, stride: int, share: float, latest: float
    ):
        self.parts = [(first, usual, 1.0), (second, stride, latest)]
        self.share = share
        self.empty = first.empty

    def draw(self, generator: torch.Generator, count: int) -> Coded:
        """All of one bank, with their times."""
        second = int(torch.rand((), generator=generator) < self.share)
        bank, stride, latest = self.parts[second]
        drawn = bank.draw(generator, count)
        times = stride * torch.arange(drawn.latents.shape[2]).float()
        return drawn._replace(times=times, latest=latest)


def captions_of(file: Path) -> list[str]:
    """The captions that a shard's metadata holds."""
    with safe_open(file, framework="pt") as opened:
        return json.loads(opened.metadata()["captions"])


if __name__ == "__main__":
    tyro.cli(main)
