"""AnimateDiff as a backbone: a text-to-image U-Net with a published motion adapter.

`UNetMotionModel` is given the text once a frame. Clips are at most `motion_max_seq_length` frames
(32), since its motion layers know no later position; longer ones are made by windows. Frames are
coded one by one by the image autoencoder. The schedule of betas is linear, as the adapter's authors
trained it, and comes with the folder's scheduler.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Any

from diffusers import MotionAdapter, UNet2DConditionModel, UNetMotionModel
from jaxtyping import Float
from torch import Tensor

from openlumiere.backbones.published import PublishedBackbone
from openlumiere.contract import Condition, Level, Native
from openlumiere.diffusion.process import VariancePreserving
from openlumiere.models.codec import VAECodec
from openlumiere.models.text import TextEncoder, TextStates, TransformersTextEncoder

FRAMES = 16  # that published adapters were trained on
STATES = 20  # tensors of the finest level's size that are alive at once, as in other U-Nets


@dataclass(frozen=True, kw_only=True)
class AnimateDiffBackbone(PublishedBackbone):
    """`UNetMotionModel` with its schedule, image autoencoder and CLIP encoder."""

    text: TextEncoder

    @classmethod
    def from_parts(cls, parts: Mapping[str, Any]) -> AnimateDiffBackbone:
        """Of a published folder's components, by name; a picture net is joined with the adapter."""
        net = parts["unet"]
        if not isinstance(net, UNetMotionModel):
            net = joined(net, parts["motion_adapter"]).eval()
        return cls(
            net=net.requires_grad_(False),
            process=VariancePreserving(parts["scheduler"]),
            codec=VAECodec(parts["vae"]),
            text=TransformersTextEncoder(parts["tokenizer"], parts["text_encoder"]),
        )

    @property
    def native(self) -> Native:
        """16 frames at 8 fps, at the picture net's size."""
        config = self.net.config
        levels = len(config.block_out_channels) - 1
        return Native(
            side=(config.sample_size or 64) * self.codec.factor,
            frames=min(FRAMES, config.motion_max_seq_length),
            fps=Fraction(8),
            multiple=self.codec.factor * 2**levels,
        )

    def denoise(
        self, noisy: Float[Tensor, "b c f h w"], level: Level, condition: Condition
    ) -> Float[Tensor, "b c f h w"]:
        """The clean clip in float32. Raises ValueError for more frames than the motion layers
        know.
        """
        frames = noisy.shape[2]
        most = self.net.config.motion_max_seq_length
        if frames > most:
            raise ValueError(
                f"frames: expected at most {most} at once for this motion adapter, got {frames}, "
                "take fewer or cut the clip into windows"
            )
        text = condition.to(noisy.device, self.net.dtype).text
        prediction: Tensor = self.net(
            noisy.to(self.net.dtype),
            level.time.to(noisy.device),
            encoder_hidden_states=text.repeat_interleave(frames, 0),
        ).sample
        return self.process.clean(prediction.float(), noisy, level)

    def text_states(self, prompts: list[str]) -> TextStates:
        """CLIP's states."""
        return self.text.encode(prompts)

    def bytes_for(self, shape: Sequence[int]) -> int:
        """What one pass takes beside the weights: mostly states of the finest level."""
        batch, _, *grid = shape
        channels: int = self.net.config.block_out_channels[0]
        number: int = self.net.dtype.itemsize
        return STATES * number * batch * prod(grid) * channels


def joined(unet: UNet2DConditionModel, adapter: MotionAdapter) -> UNetMotionModel:
    """A picture net with a motion adapter. Raises ValueError for the adapter of a net of another
    shape.
    """
    own, given = shape_of(unet.config, "layers"), shape_of(adapter.config, "motion_layers")
    if own != given:
        raise ValueError(
            f"motion adapter: expected one for a picture net of {own}, got one for {given}, "
            "give the adapter that was trained over this kind of net"
        )
    return UNetMotionModel.from_unet2d(unet, adapter)


def shape_of(config: Any, layers: str) -> str:
    """The widths of a net's levels and how many layers each has, in words."""
    widths = tuple(config["block_out_channels"])
    count = config[f"{layers}_per_block"]
    counts = (count,) * len(widths) if isinstance(count, int) else tuple(count)
    return f"widths {', '.join(map(str, widths))} and layers {', '.join(map(str, counts))}"
