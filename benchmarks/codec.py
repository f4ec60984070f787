"""How good the bundled codec is on frames and clips that it was not trained on, and how fast.

    python benchmarks/codec.py --cache CACHE [--codec FOLDER] [--sheet docs/images/codec-worst.png]

Frames are premultiplied RGBA in [0, 1]. The PSNR is over all four channels; the step ratio is that
of mean absolute changes from
frame to frame, decoded by source: below 1 is motion lost, above 1 is flicker added.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
import torch.nn.functional as F
import tyro
from torch import Tensor

from openlumiere.media import Clip
from openlumiere.models.autoencoder import StickerAutoencoder
from openlumiere.train.stages.codec import beside, frame_psnrs, rebuild, save_sheet
from openlumiere_world.toys.cache import Cache
from openlumiere_world.toys.scene import Planner, clip
from openlumiere_world.toys.training import TESTED, TESTED_PHOTOGRAPHS, opened

BUNDLED = Path(__file__).parents[1] / "src/openlumiere/weights_toys/vae"
ROUNDS = 20


def main(
    cache: Path,
    codec: Path = BUNDLED,
    clips: int = 48,
    frames: int = 24,
    sheet: Path | None = None,
    threads: int = 1,
    footage: tuple[Path, ...] = (),
) -> None:
    """Measure the codec on the first frames of held-out clips, on drawings and photographs that
    were held out, and on real footage: every tenth frame of its files, the middle square.
    """
    torch.set_num_threads(threads)
    net = (
        StickerAutoencoder.from_pretrained(codec)
        .float()
        .eval()
        .to(memory_format=torch.channels_last)
    )
    planner = Planner(Cache(cache))
    scenes = [planner.plan(seed, "held out") for seed in range(clips)]
    drawn = [clip(planner.cache, scene, frames) for scene in scenes]
    coded = [rebuild(net, shown) for shown in drawn]
    tell("held-out clips", torch.cat(drawn), torch.cat(coded))
    tell_steps(drawn, coded)
    for name, pictures in held_out_pictures(cache).items():
        tell(name, pictures, rebuild(net, pictures))
    for file in footage:
        pictures = filmed(file)
        tell(file.name, pictures, rebuild(net, pictures))
    for label, bf16 in (("bf16", True), ("fp32", False)):
        print(
            f"{label}: encode {1e3 * seconds(net.encode, drawn[0][:1] * 2 - 1, bf16):.1f} ms a"
            f" frame, decode {1e3 * decode_seconds(net, bf16):.1f} ms"
        )
    if sheet is not None:
        write_worst(drawn, coded, sheet)


def tell(name: str, shown: Tensor, coded: Tensor) -> None:
    ratios = frame_psnrs(coded, shown)
    alpha = (coded - shown)[:, 3].abs().mean()
    print(
        f"{name}: {len(shown)} frames, PSNR mean {ratios.mean():.2f} dB, p10"
        f" {ratios.quantile(0.1):.2f}, worst {ratios.min():.2f}; "
        f"alpha error {alpha:.4f}",
        flush=True,
    )


def tell_steps(drawn: list[Tensor], coded: list[Tensor]) -> None:
    """Of clips in which something moves at all."""
    pairs = [(step(first), step(second)) for first, second in zip(drawn, coded)]
    ratios = torch.tensor([after / before for before, after in pairs if before > 1e-4])
    every = sum(after for _, after in pairs) / sum(before for before, _ in pairs)
    still = [after for before, after in pairs if before <= 1e-4]
    print(
        f"step ratio: {every:.3f} over all steps, median of clips {ratios.median():.3f}, p10"
        f" {ratios.quantile(0.1):.3f}, p90 {ratios.quantile(0.9):.3f}; "
        f"{len(still)} still clips change by {max(still, default=0.0):.5f} at most"
    )


def step(frames: Tensor) -> float:
    return float(frames.diff(dim=0).abs().mean())


def held_out_pictures(cache: Path) -> dict[str, Tensor]:
    """On transparent ground the drawings that the codec never saw, and photographs."""
    drawings = opened(cache / "drawings.npy")
    order = torch.randperm(len(drawings), generator=torch.Generator().manual_seed(1))[:TESTED]
    photographs = (
        opened(cache / "photographs.npy")[-TESTED_PHOTOGRAPHS:, 8:136, 8:136].permute(0, 3, 1, 2)
        / 255
    )
    return {
        "held-out drawings": drawings[order].permute(0, 3, 1, 2) / 255,
        "held-out photographs": torch.cat(
            [photographs, torch.ones_like(photographs[:, :1])], dim=1
        ),
    }


def filmed(file: Path, every: int = 10) -> Tensor:
    """Frames of a file, brought down to 128 pixels by antialiased bicubic."""
    frames = torch.from_numpy(Clip.load(file).over("white").frames[::every]).permute(0, 3, 1, 2)
    side = min(frames.shape[2:])
    top, left = (frames.shape[2] - side) // 2, (frames.shape[3] - side) // 2
    square = frames[:, :, top : top + side, left : left + side].float()
    small = F.interpolate(square, (128, 128), mode="bicubic", antialias=True).clamp(0, 255) / 255
    return torch.cat([small, torch.ones_like(small[:, :1])], dim=1)


@torch.no_grad()
def seconds(run, value: Tensor, bf16: bool) -> float:
    """Of one call, the best of a few."""
    value = value.contiguous(memory_format=torch.channels_last)
    spent = []
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        for _ in range(ROUNDS):
            start = time.perf_counter()
            run(value)
            spent.append(time.perf_counter() - start)
    return min(spent)


def decode_seconds(net: StickerAutoencoder, bf16: bool, batch: int = 8) -> float:
    return seconds(net.decode, torch.randn(batch, net.config.latent_channels, 16, 16), bf16) / batch


def write_worst(drawn: list[Tensor], coded: list[Tensor], sheet: Path, count: int = 16) -> None:
    """The worst frame of each of the worst clips above what became of it."""
    ratios = [frame_psnrs(second, first) for first, second in zip(drawn, coded)]
    clips = sorted(range(len(drawn)), key=lambda number: float(ratios[number].min()))[:count]
    rows = [(number, int(ratios[number].argmin())) for number in clips]
    first, second = (
        torch.stack([part[number][row] for number, row in rows]) for part in (drawn, coded)
    )
    sheet.parent.mkdir(parents=True, exist_ok=True)
    save_sheet(beside(first, second), sheet)


if __name__ == "__main__":
    tyro.cli(main)
