"""`LumiereUpscalePipeline`: clips to four times their side, window by window, tile by tile, in a
room that no length fills.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from openlumiere.diffusion.denoiser import Condition, Timestep, noise_level
from openlumiere.diffusion.multidiffusion import Windows, multidiffuse
from openlumiere.diffusion.sampler import seeded
from openlumiere.diffusion.stream import stream
from openlumiere.engine.base import CheckedPipeline, to_frames
from openlumiere.models.codec import ResidualCodec
from openlumiere.models.e5 import bundled_encoder
from openlumiere.models.folder import read_upscaler_parts
from openlumiere.models.hub import locate
from openlumiere.models.stunet import STUNet
from openlumiere.tasks.request import DEFAULT_LEVEL, UPSCALE_STEPS

LOW = "low"
"""The name of the low-resolution clip among a condition's `added`; windows cut it with the noisy
one.
"""
LEVELS = 1000  # the noise level of the low-resolution clip, in [0, 1], is told in thousandths
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
    steps is then plain regression). The low-resolution clip is the condition's `added["low"]`, the
    level of noise in it `class_labels` (Ho et al. 2022, "Cascaded Diffusion Models", section 4.2).
    """

    def __init__(self, net: nn.Module, alphas_cumprod: Float[Tensor, " t"]):
        self.net, self.alphas_cumprod = net, alphas_cumprod

    def __call__(
        self, noisy: Float[Tensor, "b c ..."], timestep: Timestep, condition: Condition
    ) -> Float[Tensor, "b c ..."]:
        """Pictures `b c h w` for a picture net, clips `b c f h w` for an inflated one."""
        dtype = next(self.net.parameters()).dtype
        condition = condition.to(noisy.device, dtype)
        alpha = noise_level(timestep, self.alphas_cumprod.to(noisy.device))[0].to(noisy)
        shown = torch.cat(
            [noisy * alpha.reshape(-1, *[1] * (noisy.ndim - 1)), condition.added[LOW].to(noisy)], 1
        )
        times = {} if noisy.ndim == 4 else {"frame_times": condition.frame_times}
        prediction = self.net(
            shown.to(dtype),
            timestep,
            condition.text,
            class_labels=condition.class_labels,
            encoder_attention_mask=condition.text_mask,
            **times,
        ).sample
        return prediction.float()


class LumiereUpscalePipeline(CheckedPipeline):
    """The inflated super-resolution net with its scheduler; see `models.codec.ResidualCodec` for
    `factor` and `gain`.
    """

    model_cpu_offload_seq = "stunet"

    def __init__(self, stunet: STUNet, scheduler, factor: int = 4, gain: float = 8.0):
        super().__init__()
        self.register_modules(stunet=stunet, scheduler=scheduler)
        self.register_to_config(factor=factor, gain=gain)
        self.codec = ResidualCodec(factor, gain)
        self.text = bundled_encoder()
        expected = self.codec.channels + 3
        if stunet.config.in_channels != expected:
            raise ValueError(
                f"model: expected a net of {expected} channels in for factor {factor}, got {stunet.config.in_channels}, fit the factor"
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
        out = (
            np.empty((count, self.codec.factor * height, self.codec.factor * width, 3), np.uint8)
            if out is None
            else out
        )
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
        clip and told to the net: more makes the net trust the clip less. `windows` count frames and
        low-resolution pixels. What a frame draws depends on the seed and its number alone.
        `processes`, all called alike, share the windows in time and get the same frames. Raises
        ValueError for noise outside [0, 1].
        """
        if not 0 <= noise <= 1:
            raise ValueError(f"noise: expected 0 to 1, got {noise}, use {DEFAULT_LEVEL}")
        told = self.text.encode([prompt])
        low = LowResolution(frames, seed, noise)
        level = torch.full((1,), noise * LEVELS)

        def tell(window: slice) -> Condition:
            times = torch.arange(window.stop - window.start, dtype=torch.float32)
            return Condition(
                text=told.states,
                text_mask=told.mask,
                frame_times=times,
                added={LOW: low[window]},
                class_labels=level,
            ).to(self.device)

        tiled = multidiffuse(
            UpscaleDenoiser(self.stunet, self.scheduler.alphas_cumprod),
            replace(windows, frames=None),
        )
        shape = (self.codec.channels, 1, *frames.shape[1:3])
        drawn = (
            draw_frame(shape, seed, number, NOISE)[None].to(self.device)
            for number in range(len(frames))
        )
        first = 0
        for part in stream(
            tiled,
            self.scheduler,
            drawn,
            len(frames),
            tell,
            windows,
            steps=steps,
            on_window=on_window,
            processes=processes,
        ):
            yield to_frames(self.codec.decode(part.cpu(), low[first : first + part.shape[2]]))[0]
            first += part.shape[2]

    @classmethod
    def from_pretrained(
        cls, model: str | Path, torch_dtype: torch.dtype = torch.float32
    ) -> LumiereUpscalePipeline:
        """Load a folder that `save_pretrained` wrote; as careful as
        `LumierePipeline.from_pretrained`.
        """
        return cls(**read_upscaler_parts(locate(model), torch_dtype))


class LowResolution:
    """A clip's frames as the net is shown them: `low[first:last]` is `[1, 3, n, h, w]` in [-1, 1]
    with noise of its own for each frame.
    """

    def __init__(self, frames: UInt8[np.ndarray, "f h w 3"], seed: int, noise: float):
        self.frames, self.seed, self.noise = frames, seed, noise

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
