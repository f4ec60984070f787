"""`LumiereUpscalePipeline`: clips to four times their side, window by window and tile by tile, in
memory that does not grow with their length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from openlumiere.backbones.unet import CLASSES
from openlumiere.contract import Condition, Level, Process
from openlumiere.diffusion.multidiffusion import Windows, multidiffuse, stream
from openlumiere.diffusion.process import VariancePreserving
from openlumiere.diffusion.sampler import seeded
from openlumiere.engine.base import CheckedPipeline
from openlumiere.models.codec import ResidualCodec, to_frames
from openlumiere.models.e5 import bundled_encoder
from openlumiere.models.folder import read_upscaler_parts
from openlumiere.models.hub import locate
from openlumiere.models.stunet import STUNet
from openlumiere.tasks.values import UPSCALE_STEPS

LOW = "low"
"""The name of the low-resolution clip among a condition's values over frames; windows cut it with
the noisy one.
"""
DEFAULT_LEVEL = 0.0  # of noise in the low-resolution clip
LEVELS = 1000  # the net takes the noise level of the low-resolution clip, in [0, 1], in thousandths
WINDOWS = Windows(frames=16, height=64, width=64, tapered=True)
"""In frames and low-resolution pixels; the paper's overlap in time, tapered since uniform tiles
leave seams (`docs/long-clips.md`); our choice.
"""
NOISE, LOW_NOISE = 2, 3  # streams of a seed; the base draws from 0 and 1

OnWindow = Callable[[int, slice], None]


class UpscaleDenoiser:
    """The super-resolution net as a denoiser of coded residuals (`models.codec.ResidualCodec`).

    It sees `<alpha noisy, low>`: `alpha noisy` is the best linear guess of a clean clip of unit
    variance, so where there is no signal the net is shown no noise (our choice: the first of few
    steps is then plain regression). The low-resolution clip lies over the frames, as "low", the
    level of noise in it is the whole clip's class label (Ho et al. 2022, "Cascaded Diffusion
    Models", section 4.2).
    """

    def __init__(self, net: nn.Module, process: Process, *, still: bool = False):
        self.net = net
        self.process = process
        self.still = still

    def __call__(
        self, noisy: Float[Tensor, "b c f h w"], level: Level, condition: Condition
    ) -> Float[Tensor, "b c f h w"]:
        """The clean residuals; of clips of one frame where `still` says it is a picture net."""
        dtype = next(self.net.parameters()).dtype
        condition = condition.to(noisy.device, dtype)
        alpha, _ = level.over(noisy)
        shown = torch.cat([noisy * alpha, condition.over_frames[LOW].to(noisy)], 1).to(dtype)
        times = {} if self.still else {"frame_times": condition.frame_times}
        prediction = self.net(
            shown[:, :, 0] if self.still else shown,
            level.time,
            condition.text,
            class_labels=condition.whole[CLASSES],
            encoder_attention_mask=condition.text_mask,
            **times,
        ).sample
        prediction = prediction[:, :, None] if self.still else prediction
        return self.process.clean(prediction.float(), noisy, level)


class LumiereUpscalePipeline(CheckedPipeline):
    """The inflated super-resolution net with its scheduler; see `models.codec.ResidualCodec` for
    `factor` and `gain`.
    """

    model_cpu_offload_seq = "stunet"

    def __init__(self, stunet: STUNet, scheduler: Any, factor: int = 4, gain: float = 8.0):
        super().__init__()
        self.register_modules(stunet=stunet, scheduler=scheduler)
        self.register_to_config(factor=factor, gain=gain)
        self.codec = ResidualCodec(factor, gain)
        self.text = bundled_encoder()
        expected = self.codec.channels + 3
        if stunet.config.in_channels != expected:
            raise ValueError(
                f"model: expected a net of {expected} channels in for factor {factor}, "
                f"got {stunet.config.in_channels}, fit the factor"
            )

    def __call__(
        self,
        frames: UInt8[np.ndarray, "f h w 3"],
        prompt: str = "",
        *,
        seed: int = 0,
        num_inference_steps: int = UPSCALE_STEPS,
        noise: float = DEFAULT_LEVEL,
        windows: Windows = WINDOWS,
        out: np.ndarray | None = None,
        on_window: OnWindow | None = None,
        processes: PartialState | None = None,
    ) -> UInt8[np.ndarray, "f H W 3"]:
        """All frames, in a new array or in `out` (which may be memory-mapped); arguments as for
        `stream`.
        """
        count, height, width, _ = frames.shape
        factor = self.codec.factor
        if out is None:
            out = np.empty((count, factor * height, factor * width, 3), np.uint8)
        first = 0
        for part in self.stream(
            frames, prompt, seed, num_inference_steps, noise, windows, on_window, processes
        ):
            out[first : first + len(part)] = part
            first += len(part)
        return out

    def stream(
        self,
        frames: UInt8[np.ndarray, "f h w 3"],
        prompt: str = "",
        seed: int = 0,
        steps: int = UPSCALE_STEPS,
        noise: float = DEFAULT_LEVEL,
        windows: Windows = WINDOWS,
        on_window: OnWindow | None = None,
        processes: PartialState | None = None,
    ) -> Iterator[UInt8[np.ndarray, "n H W 3"]]:
        """Frames of `factor` times the side, some at a time; `frames` may be memory-mapped and of
        any length.

        `noise` is the standard deviation, in [-1, 1] pixels, of noise added to the low-resolution
        clip, whose level the net is given: more makes the net trust the clip less. `windows` count
        frames and low-resolution pixels. What a frame draws depends on the seed and its number
        alone.
        `processes`, all called alike, share the windows in time and get the same frames. Raises
        ValueError for noise outside [0, 1].
        """
        if not 0 <= noise <= 1:
            raise ValueError(f"noise: expected 0 to 1, got {noise}, use {DEFAULT_LEVEL}")
        text = self.text.encode([prompt])
        low = LowResolution(frames, seed, noise)
        labels = torch.full((1,), noise * LEVELS)

        def condition_for(window: slice) -> Condition:
            return Condition(
                text=text.states,
                text_mask=text.mask,
                frame_times=torch.arange(window.stop - window.start, dtype=torch.float32),
                over_frames={LOW: low[window]},
                whole={CLASSES: labels},
            ).to(self.device)

        process = VariancePreserving(self.scheduler)
        tiles = replace(windows, frames=None)
        shape = (self.codec.channels, 1, *frames.shape[1:3])
        drawn = (
            draw_frame(shape, seed, number, NOISE)[None].to(self.device)
            for number in range(len(frames))
        )
        parts = stream(
            multidiffuse(UpscaleDenoiser(self.stunet, process), tiles),
            process,
            drawn,
            len(frames),
            condition_for,
            windows,
            steps=steps,
            on_window=on_window,
            processes=processes,
        )
        first = 0
        for part in parts:
            yield to_frames(self.codec.decode(part.cpu(), low[first : first + part.shape[2]]))[0]
            first += part.shape[2]

    @classmethod
    def from_pretrained(
        cls, model: str | Path, torch_dtype: torch.dtype = torch.float32
    ) -> LumiereUpscalePipeline:
        """Load a folder that `save_pretrained` wrote; as careful as
        `LumierePipeline.from_pretrained`.
        """
        parts: dict[str, Any] = read_upscaler_parts(locate(model), torch_dtype)
        return cls(**parts)


class LowResolution:
    """A clip's frames as the net is shown them: `low[first:last]` is `[1, 3, n, h, w]` in [-1, 1]
    with noise of its own for each frame.
    """

    def __init__(self, frames: UInt8[np.ndarray, "f h w 3"], seed: int, noise: float):
        self.frames = frames
        self.seed = seed
        self.noise = noise

    def __getitem__(self, window: slice) -> Float[Tensor, "1 3 n h w"]:
        pixels = torch.from_numpy(np.array(self.frames[window])) / 127.5 - 1
        clean = rearrange(pixels, "f h w c -> 1 c f h w")
        if not self.noise:
            return clean
        shape = (3, 1, *clean.shape[3:])
        drawn = [
            draw_frame(shape, self.seed, number, LOW_NOISE)
            for number in range(window.start, window.stop)
        ]
        return clean + self.noise * torch.cat(drawn, 1)[None]


def draw_frame(shape: tuple[int, ...], seed: int, number: int, stream: int) -> Tensor:
    """Unit Gaussian noise of one frame."""
    return torch.randn(
        *shape, generator=seeded((seed + number * 0x9E3779B97F4A7C15) % 2**63, stream)
    )
