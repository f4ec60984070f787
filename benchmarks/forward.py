"""One forward pass of STUNet beside diffusers' video U-Nets of equal widths, layers and text, in
one run.

    python benchmarks/forward.py

FLOPs are counted on meta tensors at the full sizes. Seconds and peak memory are measured on the CPU
at `--side`: the nets take turns, `--repeats` times, and each ratio is between medians of the same
run. Seconds are processor time of one thread, so that other work on the machine counts little. Peak
memory is the growth of a fresh process's resident size over one pass.
"""

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel, UNet3DConditionModel, UNetMotionModel
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from openlumiere.models.stunet import STUNet

SMALL, LARGE = (64, 128, 192, 256), (320, 640, 1280, 1280)  # LARGE is Stable Diffusion's
FRAMES, TOKENS, TEXT_CHANNELS = 80, 32, 384
ATTENTION = ("", "", "CrossAttn", "CrossAttn")  # finest level first
PEERS = {
    "UNet3D": "UNet3DConditionModel (ModelScope)",
    "UNetMotion": "UNetMotionModel (AnimateDiff)",
}


def blocks(suffix: str) -> dict[str, tuple[str, ...]]:
    down = tuple(f"{kind}DownBlock{suffix}" for kind in ATTENTION)
    return {
        "down_block_types": down,
        "up_block_types": tuple(name.replace("Down", "Up") for name in reversed(down)),
    }


def build(name: str, widths: tuple[int, ...], layers: int, side: int) -> nn.Module:
    size = {"block_out_channels": widths, "layers_per_block": layers, "sample_size": side}
    size |= {"cross_attention_dim": TEXT_CHANNELS, "in_channels": 4, "out_channels": 4}
    if name == "UNet3D":
        return UNet3DConditionModel(**size, **blocks("3D")).eval()
    if name == "UNetMotion":
        return UNetMotionModel(**size, **blocks("Motion"), motion_max_seq_length=FRAMES).eval()
    unet = UNet2DConditionModel(**size, **blocks("2D")).eval()
    return unet if name == "UNet2D x 80" else STUNet.from_unet2d(unet)


def inputs(name: str, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """A noisy clip, timestep and text, as each net wants them: UNetMotion and the 2D net take one
    text per frame.
    """
    sample, text = torch.randn(1, 4, FRAMES, side, side), torch.randn(1, TOKENS, TEXT_CHANNELS)
    if name in ("UNetMotion", "UNet2D x 80"):
        text = text.repeat_interleave(FRAMES, dim=0)
    return (sample[0].transpose(0, 1) if name == "UNet2D x 80" else sample), torch.tensor(500), text


@torch.no_grad()
def forward(name: str, widths: tuple[int, ...], layers: int, side: int) -> Callable[[], None]:
    torch.manual_seed(0)
    net, arguments = build(name, widths, layers, side), inputs(name, side)
    return torch.no_grad()(lambda: net(*arguments, return_dict=False))


def flops(name: str, widths: tuple[int, ...], layers: int, side: int) -> float:
    with torch.device("meta"):
        run = forward(name, widths, layers, side)
        with FlopCounterMode(display=False) as counter:
            run()
    return counter.get_total_flops()


def seconds(names: list[str], side: int, repeats: int) -> dict[str, float]:
    runs = {name: forward(name, SMALL, 2, side) for name in names}
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.process_time()
            run()
            times[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def resident_bytes(field: str) -> int:
    """`VmRSS`, what this process holds now, or `VmHWM`, the most it held (Linux)."""
    status = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in status if line.startswith(field)).split()[1])


def peak_bytes(name: str, side: int) -> int:
    """Growth of the resident size over one pass at its peak; run it in a fresh process."""
    torch.set_num_threads(1)
    run = forward(name, SMALL, 2, side)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = resident_bytes("VmRSS")
    run()
    return resident_bytes("VmHWM") - before


def in_fresh_process(function: Callable, *arguments):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def figure(value: float, unit: str) -> str:
    return f"{value:.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


def row(label: str, ours: float, peers: dict[str, float], unit: str) -> str:
    cells = [figure(ours, unit)]
    for value in peers.values():
        cells += [figure(value, unit), f"{ours / value:.3f}"]
    return f"| {label} | " + " | ".join(cells) + " |"


def flops_row(widths: tuple[int, ...], layers: int, side: int) -> str:
    peers = {name: flops(name, widths, layers, side) / 1e12 for name in PEERS}
    ours = flops("STUNet", widths, layers, side) / 1e12
    plural = "" if layers == 1 else "s"
    label = f"FLOPs, {'-'.join(map(str, widths))}, {layers} layer{plural}, {side} px"
    return row(label, ours, peers, "T")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--side", type=int, default=32, help="pixels a side where seconds and memory are measured"
    )
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"{FRAMES} frames, text of {TOKENS} tokens; torch {torch.__version__}, one thread, ", end=""
    )
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    print(
        "| one forward pass | STUNet | "
        + " | ".join(f"{name} | ratio" for name in PEERS.values())
        + " |"
    )
    print("|---|---|---|---|---|---|")
    for widths, layers, side in [(SMALL, 1, 64), (SMALL, 2, 64), (LARGE, 2, 64)]:
        print(flops_row(widths, layers, side), flush=True)
    times = seconds(["STUNet", *PEERS], options.side, options.repeats)
    label = f"{'-'.join(map(str, SMALL))}, 2 layers, {options.side} px"
    print(row(f"seconds, {label}", times.pop("STUNet"), times, "s"), flush=True)
    peaks = {
        name: in_fresh_process(peak_bytes, name, options.side) / 2**20
        for name in ["STUNet", *PEERS]
    }
    print(row(f"peak memory, {label}", peaks.pop("STUNet"), peaks, "MiB"))


if __name__ == "__main__":
    main()
