"""Inflated U-Nets as a backbone: ours, Stable Diffusion 1.x and 2.x, SDXL and DeepFloyd IF.

What is particular to them stands here: diffusers' names for the further conditions, the widened
input `<J, C, M>`, the variances that some nets predict, and which text encoders a net wants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from jaxtyping import Float
from torch import Tensor, nn

from openlumiere.contract import (
    Codec,
    Condition,
    Known,
    Level,
    Native,
    Process,
    Reads,
    SparseFirst,
)
from openlumiere.models.autoencoder import StickerAutoencoder
from openlumiere.models.codec import AutoencoderCodec, UnshuffleCodec, VAECodec
from openlumiere.models.e5 import bundled_encoder
from openlumiere.models.stunet import STUNet
from openlumiere.models.text import (
    PairedTextEncoder,
    TextEncoder,
    TextStates,
    TransformersTextEncoder,
    mean_state,
)

CLASSES = "class_labels"
"""The name, among what is whole, of the labels of class-embedded nets; all else is added."""
STATES = 20
"""Tensors of the finest level's size that are alive at once (measured, `engine/memory.py`)."""


class UNetDenoiser:
    """A `STUNet`, a net that is called alike, or a picture net on clips of one frame, as a
    denoiser: the conditional input, precision and device are seen to here.
    """

    def __init__(self, net: Any, process: Process) -> None:
        self.net = net
        self.process = process

    def __call__(
        self, noisy: Float[Tensor, "b c f h w"], level: Level, condition: Condition
    ) -> Float[Tensor, "b c f h w"]:
        """The clean clip in float32. Raises ValueError for a net of other channels."""
        condition = condition.to(noisy.device, self.net.dtype)
        if isinstance(self.net, UNet2DConditionModel):
            prediction = self._of_pictures(noisy, level, condition)
        else:
            prediction = self._of_clips(noisy, level, condition)
        # Nets that predict variances, too, have twice the channels.
        return self.process.clean(prediction[:, : noisy.shape[1]].float(), noisy, level)

    def _of_clips(self, noisy: Tensor, level: Level, condition: Condition) -> Tensor:
        prediction: Tensor = self.net(
            self._with_known(noisy.to(self.net.dtype), condition.known),
            level.time,
            encoder_hidden_states=condition.text,
            encoder_attention_mask=condition.text_mask,
            frame_times=condition.frame_times,
            added_cond_kwargs=added_of(condition),
            class_labels=condition.whole.get(CLASSES),
        ).sample
        return prediction

    def _of_pictures(self, noisy: Tensor, level: Level, condition: Condition) -> Tensor:
        prediction: Tensor = self.net(
            noisy[:, :, 0].to(self.net.dtype),
            level.time,
            condition.text,
            encoder_attention_mask=condition.text_mask,
            added_cond_kwargs=added_of(condition),
            class_labels=condition.whole.get(CLASSES),
        ).sample
        return prediction[:, :, None]

    def _with_known(self, noisy: Tensor, known: Known | None) -> Tensor:
        """`<J, C, M>` (paper's conditioning): channels c + c + 1 where the net was widened, zeros
        when nothing is known.
        """
        channels = noisy.shape[1]
        taken = self.net.config.in_channels
        if taken == channels and known is None:
            return noisy
        if taken != 2 * channels + 1:
            widened = f"{2 * channels + 1}"
            fits = widened if known is not None else f"{channels} or {widened}"
            raise ValueError(
                f"expected a net of {fits} input channels for {channels} noisy ones, got {taken}, "
                "use a fitting net"
            )
        if known is None:
            known = Known.nothing(noisy.shape, device=noisy.device, dtype=noisy.dtype)
        hold = getattr(self.net.config, "hold_known", False)
        return torch.cat([noisy, known.as_channels(hold)], 1)


def added_of(condition: Condition) -> dict[str, Tensor] | None:
    """SDXL's and its likes' further conditions, by their diffusers names."""
    return {name: value for name, value in condition.whole.items() if name != CLASSES} or None


@dataclass(frozen=True, kw_only=True)
class UNetBackbone:
    """An inflated U-Net, a `STUNet`, with its process, codec and text encoder; `net` may also be
    the picture net alone, a `UNet2DConditionModel`, for clips of one frame.
    """

    net: Any
    process: Process
    codec: Codec
    text: TextEncoder
    sparse: SparseFirst | None = None

    @property
    def picture(self) -> UNetBackbone:
        """The frozen picture net alone."""
        return replace(self, net=self.net.unet2d)

    @property
    def unet(self) -> Mapping[str, Any]:
        """The config of the picture net."""
        config: Mapping[str, Any] = self.net.config
        return config["unet"] if isinstance(self.net, STUNet) else config

    @property
    def native(self) -> Native:
        """The trained side; sides must divide so that every level of the net can halve them."""
        levels = len(self.unet["block_out_channels"]) - 1
        return Native(
            side=self.unet["sample_size"] * self.codec.factor,
            multiple=self.codec.factor * 2**levels,
        )

    @property
    def reads(self) -> Reads:
        """Frame times, and known content where the input was widened."""
        if not isinstance(self.net, STUNet):
            return Reads()
        widened = self.net.config.in_channels == 2 * self.codec.channels + 1
        likely = widened and self.net.config.hold_known
        return Reads(known=widened, likely=likely, frame_times=True)

    @property
    def device(self) -> torch.device:
        """Where the net lies."""
        device: torch.device = self.net.device
        return device

    def denoise(
        self, noisy: Float[Tensor, "b c f h w"], level: Level, condition: Condition
    ) -> Float[Tensor, "b c f h w"]:
        """The clean clip in float32."""
        return UNetDenoiser(self.net, self.process)(noisy, level, condition)

    def condition(
        self,
        prompts: Sequence[str],
        *,
        frames: int,
        height: int,
        width: int,
        frame_times: Float[Tensor, " f"] | None = None,
        known: Known | None = None,
    ) -> Condition:
        """Token states of the prompts, the moments of the frames (by default one native frame
        apart) and what is known; SDXL-like nets are also given the size in pixels, ours of latents
        the mean state.
        """
        text = self.text.encode(list(prompts))
        times = torch.arange(frames).float() if frame_times is None else frame_times
        whole = sizes_for(text, height, width)
        if self.unet.get("class_embed_type") == "projection":
            whole |= {CLASSES: mean_state(text.states, text.mask)}
        condition = Condition(
            text=text.states,
            text_mask=text.mask,
            known=known,
            frame_times=times,
            whole=whole,
        )
        return condition.to(self.device, self.net.dtype)

    def bytes_for(self, shape: Sequence[int]) -> int:
        """What one pass over `b c f h w` takes beside the weights: mostly states of the finest
        level.
        """
        batch, _, frames, height, width = shape
        places = prod((batch, frames, height, width))
        channels: int = self.unet["block_out_channels"][0]
        number: int = self.net.dtype.itemsize
        return STATES * number * places * channels


def sizes_for(text: TextStates, height: int, width: int) -> dict[str, Tensor]:
    """SDXL's further conditions: the pooled prompt; the original size, where it was cropped
    (nowhere) and the target size.
    """
    if text.pooled is None:
        return {}
    # Whole numbers stay exact in half precision.
    sizes = torch.tensor([[height, width, 0, 0, height, width]])
    return {"text_embeds": text.pooled, "time_ids": sizes.expand(len(text.pooled), -1)}


def codec_for(vae: nn.Module | None, unshuffle: int) -> Codec:
    """Latents of the model's autoencoder, published or ours; or pixels, unshuffled by so many."""
    if vae is None:
        return UnshuffleCodec(unshuffle)
    if isinstance(vae, StickerAutoencoder):
        return AutoencoderCodec(vae)
    return VAECodec(vae)


def text_for(
    tokenizer: Any, text_encoder: Any, tokenizer_2: Any, text_encoder_2: Any, zero_empty: bool
) -> TextEncoder:
    """The bundled encoder, a model's own, or its two. Raises ValueError for half of a pair."""
    if text_encoder is None and text_encoder_2 is None and tokenizer_2 is None:
        return bundled_encoder()
    if text_encoder_2 is None and tokenizer_2 is None:
        return TransformersTextEncoder(tokenizer, text_encoder)
    if text_encoder is None or text_encoder_2 is None or tokenizer_2 is None:
        raise ValueError(
            "model: expected both tokenizers and both text encoders, got some of them, "
            "give all four of the folder"
        )
    return PairedTextEncoder(tokenizer, text_encoder, tokenizer_2, text_encoder_2, zero_empty)


def check_channels(unet: Mapping[str, Any], codec: Codec, text: TextEncoder) -> None:
    """Raises ValueError unless the net takes the codec's channels (and puts out twice as many where
    it predicts variances, too) and the text encoder's.
    """
    fitting = (codec.channels, 2 * codec.channels)
    if unet["in_channels"] != codec.channels or unet["out_channels"] not in fitting:
        got = f"{unet['in_channels']} in and {unet['out_channels']} out"
        raise ValueError(
            f"model: expected a net of {codec.channels} channels for its codec, got {got}, "
            "set unshuffle or the vae to fit"
        )
    read = unet["encoder_hid_dim"] or unet["cross_attention_dim"]
    if read != text.dim:
        raise ValueError(
            f"model: expected a net for text of {text.dim} channels, got {read}, "
            "give its own text encoder"
        )
    check_pooled(unet, text)


def check_pooled(unet: Mapping[str, Any], text: TextEncoder) -> None:
    """A net of SDXL's kind takes six sizes and the pooled prompt; no other takes them."""
    asks = unet.get("addition_embed_type") == "text_time"
    pooled = getattr(text, "pooled_dim", None)
    if asks != (pooled is not None):
        wanted = "two text encoders" if asks else "one text encoder"
        got = "one" if asks else "two"
        raise ValueError(f"model: expected {wanted} for this net, got {got}, give its own")
    if unet.get("class_embed_type") == "projection":
        pooled, taken = text.dim, unet["projection_class_embeddings_input_dim"]
        if taken != pooled:
            raise ValueError(
                f"model: expected a net that takes {pooled} channels of pooled text, got {taken}, "
                "give its own text encoder"
            )
    if pooled is None or not asks:
        return
    taken = unet["projection_class_embeddings_input_dim"]
    if taken != 6 * unet["addition_time_embed_dim"] + pooled:
        raise ValueError(
            f"model: expected a net that takes six sizes and {pooled} channels of pooled text, "
            f"got {taken} in all, give its own text encoders"
        )
