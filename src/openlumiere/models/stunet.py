"""The Space-Time U-Net: a text-to-image U-Net that also makes time coarser and finer (PAPER:
Space-Time U-Net).

`STUNet` owns a diffusers `UNet2DConditionModel`, frozen, and calls its layers in order on folded
frames, with the modules of `temporal.py` between them: a convolution inflation after each level's
layers, temporal resampling right after each spatial resizer, attention inflations at the coarsest
level.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

import torch
from diffusers import UNet2DConditionModel
from diffusers.configuration_utils import ConfigMixin
from diffusers.models.attention import AttentionMixin
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.utils import BaseOutput, apply_lora_scale
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from openlumiere.models.temporal import (
    AttentionInflation,
    ConvInflation,
    KnownBranch,
    TemporalDownsample,
    TemporalUpsample,
    fold_frames,
    unfold_frames,
    zero,
)

SUPPORTED: dict[str, set[Any]] = {
    "down_block_types": {
        "DownBlock2D",
        "CrossAttnDownBlock2D",
        "ResnetDownsampleBlock2D",
        "SimpleCrossAttnDownBlock2D",
    },
    "mid_block_type": {"UNetMidBlock2DCrossAttn", "UNetMidBlock2DSimpleCrossAttn"},
    "up_block_types": {
        "UpBlock2D",
        "CrossAttnUpBlock2D",
        "ResnetUpsampleBlock2D",
        "SimpleCrossAttnUpBlock2D",
    },
    "class_embed_type": {None, "timestep", "projection"},
    "addition_embed_type": {None, "text", "text_time"},
    "encoder_hid_dim_type": {None, "text_proj"},
    "attention_type": {"default"},
    "resnet_time_scale_shift": {"default", "scale_shift"},
    "dual_cross_attention": {False},
    "class_embeddings_concat": {False},
}
TEMPORAL_WEIGHTS = "temporal.safetensors"
EARLIER = {
    "place_positions": False,
    "hold_known": False,
    "known_blocks": 0,
}  # options that earlier files don't name
Resampler = TypeVar("Resampler", TemporalDownsample, TemporalUpsample)


@dataclass
class STUNetOutput(BaseOutput):
    """`sample`: `b c f h w`, c the 2D net's out_channels."""

    sample: Tensor


class _Conditions(NamedTuple):
    """What every layer is conditioned on, one per clip; `repeat` makes it one per frame."""

    timestep: Tensor
    text: Tensor
    attention_mask: Tensor | None
    text_bias: Tensor | None
    attention_kwargs: dict[str, Any] | None

    def repeat(self, frames: int) -> "_Conditions":
        return _Conditions(
            self.timestep.repeat_interleave(frames, dim=0),
            self.text.repeat_interleave(frames, dim=0),
            _repeated(self.attention_mask, frames),
            _repeated(self.text_bias, frames),
            self.attention_kwargs,
        )


class STUNet(ModelMixin, ConfigMixin, AttentionMixin):
    """A frozen `UNet2DConditionModel` inflated in time; make one with `STUNet.from_unet2d`.

    Args:
        unet: the 2D net (it is moved in and frozen) or its configuration.
        in_channels: input channels; those beyond the 2D net's own are new, zero at start, and
            train.
        temporal_factors: temporal factor at each spatial halving, finest first; 1 is off.
            Default 2 at each.
        attention_blocks: attention inflation blocks in a row after the coarsest level's down,
            middle and up layers (our choice).
        attention_head_channels: channels of one temporal attention head (our choice).
        text_attention: whether the attention blocks attend to the text tokens (our choice).
        timestep_modulation: whether the diffusion timestep scales and shifts what they see (our
            choice).
        feed_forward_mult: width of their feed-forward layer in units of their channels, 0 for none
            (our choice).
        place_positions: whether the attention blocks know where in the frame a place is (our
            choice).
        hold_known: whether a widened input holds what is known of the nearest frame where nothing
            is (`Known.as_channels`), zeros otherwise (our choice).
        known_blocks: residual blocks of a branch that brings what is known straight to the output
            (`KnownBranch`) of clips of which something is, 0 for none (our choice).
        init: "identity" (App. B), or "he", the paper's ablation of the temporal resampling
            convolutions.

    Raises:
        ValueError: the 2D net has a block or feature outside the supported families (SD 1.x and
            2.x, SDXL, DeepFloyd IF), or an option does not fit it.
    """

    _supports_gradient_checkpointing = True
    _no_split_modules: ClassVar = [
        "BasicTransformerBlock",
        "ResnetBlock2D",
        "ConvInflation",
        "AttentionInflation",
        "KnownBranch",
    ]
    _skip_layerwise_casting_patterns: ClassVar = ["norm"]
    _repeated_blocks: ClassVar = ["BasicTransformerBlock", "AttentionInflation"]

    def __init__(
        self,
        unet: UNet2DConditionModel | dict[str, Any],
        in_channels: int | None = None,
        temporal_factors: Sequence[int] | None = None,
        attention_blocks: Sequence[int] = (2, 4, 2),
        attention_head_channels: int = 32,
        text_attention: bool = True,
        timestep_modulation: bool = True,
        feed_forward_mult: int = 4,
        place_positions: bool = False,
        hold_known: bool = False,
        known_blocks: int = 0,
        init: str = "identity",
    ):
        super().__init__()
        if not isinstance(unet, UNet2DConditionModel):
            unet = UNet2DConditionModel.from_config(unet)
        self.unet2d = unet
        config = _public(unet.config)
        _check_supported(config)
        self.unet2d.requires_grad_(False)
        levels = len(config["block_out_channels"])
        self.register_to_config(
            unet=config,
            in_channels=in_channels or config["in_channels"],
            temporal_factors=_checked_factors(temporal_factors, levels),
            attention_blocks=_checked_attention_blocks(attention_blocks),
            attention_head_channels=attention_head_channels,
            text_attention=text_attention,
            timestep_modulation=timestep_modulation,
            feed_forward_mult=feed_forward_mult,
            place_positions=place_positions,
            hold_known=hold_known,
            known_blocks=known_blocks,
            init=init,
        )
        self._add_resampling()
        self._add_inflation()
        self.conv_in_added = _added_input(self.unet2d.conv_in, self.config.in_channels)
        self.known_branch = self._known_branch() if known_blocks else None
        self.gradient_checkpointing = False

    @classmethod
    def from_unet2d(cls, unet: nn.Module, **options) -> "STUNet":
        """Inflate a text-to-image U-Net. Its modules are moved in and frozen, and nothing about its
        output changes until the added modules are trained; `options` are those of `STUNet`.
        """
        if not isinstance(unet, UNet2DConditionModel):
            raise ValueError(
                f"expected a diffusers UNet2DConditionModel, got {type(unet).__name__}; "
                "load one with UNet2DConditionModel.from_pretrained(folder, subfolder='unet')"
            )
        with torch.device(unet.device):
            net = cls(unet, **options)
        for added in (module for name, module in net.named_children() if name != "unet2d"):
            added.to(unet.dtype)
        return net.train(unet.training)

    def _add_resampling(self) -> None:
        downs: list[TemporalDownsample | None] = []
        ups: list[TemporalUpsample | None] = []
        widths = self.config.unet["block_out_channels"]
        for factor, (fine, coarse) in zip(
            self.config.temporal_factors, pairwise(widths), strict=True
        ):
            downs.append(_resampler(TemporalDownsample, fine, factor, self.config.init))
            ups.append(_resampler(TemporalUpsample, coarse, factor, self.config.init))
        # A ModuleList keeps None in its place; its annotation does not say so.
        self.temporal_downs = nn.ModuleList(downs)  # type: ignore[arg-type]
        self.temporal_ups = nn.ModuleList(ups)  # type: ignore[arg-type]

    def _add_inflation(self) -> None:
        down, middle, up = self.config.attention_blocks
        self.down_inflations = self._conv_inflations()
        self.up_inflations = self._conv_inflations()
        self.down_attentions = self._attention_inflations(down)
        self.mid_attentions = self._attention_inflations(middle)
        self.up_attentions = self._attention_inflations(up)

    def _conv_inflations(self) -> nn.ModuleList:
        """One for each level but the coarsest."""
        widths = self.config.unet["block_out_channels"][:-1]
        groups = self.config.unet["norm_num_groups"]
        return nn.ModuleList(ConvInflation(width, groups=groups) for width in widths)

    def _attention_inflations(self, count: int) -> nn.ModuleList:
        """Several in a row, for the coarsest level."""
        width = self.config.unet["block_out_channels"][-1]
        return nn.ModuleList(self._attention_inflation(width) for _ in range(count))

    def _attention_inflation(self, channels: int) -> AttentionInflation:
        timestep_channels = self.unet2d.time_embedding.linear_2.out_features
        return AttentionInflation(
            channels,
            head_channels=self.config.attention_head_channels,
            text_channels=_text_channels(self.config.unet) if self.config.text_attention else None,
            timestep_channels=timestep_channels if self.config.timestep_modulation else None,
            feed_forward_mult=self.config.feed_forward_mult,
            place_positions=self.config.place_positions,
        )

    def _known_branch(self) -> KnownBranch:
        """From the input and the last states of the finest level to the output."""
        return KnownBranch(
            sample_channels=self.config.in_channels,
            channels=self.config.unet["block_out_channels"][0],
            out_channels=self.config.unet["out_channels"],
            timestep_channels=self.unet2d.time_embedding.linear_2.out_features,
            blocks=self.config.known_blocks,
            groups=self.config.unet["norm_num_groups"],
        )

    # What trains, and what is kept.

    def temporal_named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Names and parameters of what is added to the 2D net."""
        named = self.named_parameters()
        return ((name, value) for name, value in named if not name.startswith("unet2d."))

    def temporal_parameters(self) -> Iterator[nn.Parameter]:
        """What trains: the temporal modules and the new channels of a widened input. All else is
        frozen.
        """
        return (parameter for _, parameter in self.temporal_named_parameters())

    def widen_input(self, in_channels: int) -> None:
        """Add input channels after the present ones, with zero weights: the net is unchanged until
        they train.

        Raises ValueError for fewer channels than there are.
        """
        if in_channels < self.config.in_channels:
            raise ValueError(
                f"in_channels: expected {self.config.in_channels} or more, got {in_channels}, "
                "a net's input only widens"
            )
        old = self.conv_in_added
        new = _added_input(self.unet2d.conv_in, in_channels)
        if old is not None and new is not None:
            with torch.no_grad():
                new.weight[:, : old.in_channels] = old.weight
        if self.known_branch is not None:
            raise ValueError(
                "in_channels: expected a net without a branch for what is known, got one with it, "
                "inflate the 2D net with both options"
            )
        self.conv_in_added = new
        self.register_to_config(in_channels=in_channels)

    def fingerprint(self) -> str:
        """SHA-256 of the frozen net's tensors, rounded to float16: a float16 copy has the same one,
        a bfloat16 one not.
        """
        return picture_fingerprint(self.unet2d)

    def save_temporal(self, folder: str | Path) -> None:
        """Write the added weights alone, with the options that made them and the frozen net's
        fingerprint.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        named = self.temporal_named_parameters()
        weights = {name: value.detach().contiguous() for name, value in named}
        metadata = {"fingerprint": self.fingerprint(), "options": self._options()}
        save_file(weights, folder / TEMPORAL_WEIGHTS, metadata=metadata)

    def load_temporal(self, folder: str | Path) -> None:
        """Read what `save_temporal` wrote for the same frozen net and options; otherwise, or for a
        damaged file, `ValueError`.
        """
        path = Path(folder) / TEMPORAL_WEIGHTS
        metadata, weights = _read_temporal(path)
        options = json.dumps(EARLIER | json.loads(metadata.get("options", "{}")), sort_keys=True)
        if options != self._options():
            raise ValueError(
                f"expected temporal weights for options {self._options()}, "
                f"got {options} in {path}; "
                "inflate the 2D net with those options first"
            )
        if metadata.get("fingerprint") != self.fingerprint():
            raise ValueError(
                f"expected temporal weights trained on the frozen net {self.fingerprint()[:12]}, "
                f"got weights for {str(metadata.get('fingerprint'))[:12]} in {path}; "
                "load the 2D net that they were trained on"
            )
        temporal = dict(self.temporal_named_parameters())
        if odd := sorted(temporal.keys() ^ weights.keys()):
            raise ValueError(
                "expected the temporal weights of this net, "
                f"got a difference at {odd[0]} in {path}; save them again"
            )
        with torch.no_grad():
            for name, parameter in temporal.items():
                parameter.copy_(weights[name])

    def _options(self) -> str:
        options = _public(self.config)
        del options["unet"]
        return json.dumps(options, sort_keys=True)

    # The forward pass, in reading order.

    @apply_lora_scale("cross_attention_kwargs")
    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float | int,
        encoder_hidden_states: Tensor,
        class_labels: Tensor | None = None,
        timestep_cond: Tensor | None = None,
        attention_mask: Tensor | None = None,
        cross_attention_kwargs: dict[str, Any] | None = None,
        added_cond_kwargs: dict[str, Tensor] | None = None,
        encoder_attention_mask: Tensor | None = None,
        frame_times: Tensor | None = None,
        return_dict: bool = True,
    ) -> STUNetOutput | tuple[Tensor]:
        """Predict for noisy clips; arguments as in `UNet2DConditionModel.forward`, conditions one
        per clip.

        Args:
            sample: `b c f h w`; any number of frames, any height and width that the 2D net takes.
            timestep: diffusion time, one for all or one per clip.
            encoder_hidden_states: `b n d`.
            encoder_attention_mask: `b n`, True or 1 keeps a text token.
            frame_times: `f`, times of the frames in native frames of 1/16 s, for other frame
                rates. Default 0, 1, ...

        Raises:
            ValueError: `sample` or `frame_times` has the wrong shape.
        """
        self._check(sample, encoder_hidden_states, frame_times)
        if frame_times is None:
            frame_times = torch.arange(sample.shape[2], device=sample.device, dtype=torch.float32)
        times = self._level_times(frame_times)
        conditions = self._conditions(
            sample,
            timestep,
            encoder_hidden_states,
            class_labels,
            timestep_cond,
            attention_mask,
            cross_attention_kwargs,
            added_cond_kwargs,
            encoder_attention_mask,
        )
        hidden, skips = self._down(self._input(sample), conditions, times)
        hidden = self._middle(hidden, conditions, times[-1])
        hidden = self._up(hidden, skips, conditions, times)
        predicted = unfold_frames(self._output(hidden), len(sample))
        sample = predicted + self._of_known(sample, hidden, conditions.timestep)
        return STUNetOutput(sample=sample) if return_dict else (sample,)

    def _down(
        self, hidden: Tensor, conditions: _Conditions, times: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """From the finest level to the coarsest; the last states, and what the way up joins."""
        skips = [hidden]
        for level, block in enumerate(self.unet2d.down_blocks):
            each = conditions.repeat(len(times[level]))
            states = self._layers(block, hidden, each)
            hidden = self._inflate(
                self.down_inflations, self.down_attentions, level, states[-1], conditions, times
            )
            skips += [*states[:-1], hidden]
            if block.downsamplers is not None:
                hidden = self._resize_down(block.downsamplers[0], hidden, each)
                hidden = self._in_time(self.temporal_downs[level], hidden, conditions)
                skips.append(hidden)
        return hidden, skips

    def _middle(self, hidden: Tensor, conditions: _Conditions, times: Tensor) -> Tensor:
        """The coarsest level's own block, then attention along time."""
        block = self.unet2d.mid_block
        each = conditions.repeat(len(times))
        hidden = self._run(block.resnets[0], hidden, each.timestep)
        for resnet, attention in zip(block.resnets[1:], block.attentions, strict=True):
            hidden = _attend(attention, hidden, each)
            hidden = self._run(resnet, hidden, each.timestep)
        return self._attend_in_time(self.mid_attentions, hidden, conditions, times)

    def _up(
        self, hidden: Tensor, skips: list[Tensor], conditions: _Conditions, times: list[Tensor]
    ) -> Tensor:
        """From the coarsest level to the finest; `skips` is used up."""
        for level, block in zip(reversed(range(len(times))), self.unet2d.up_blocks, strict=True):
            each = conditions.repeat(len(times[level]))
            hidden = self._layers(block, hidden, each, skips)[-1]
            hidden = self._inflate(
                self.up_inflations, self.up_attentions, level, hidden, conditions, times
            )
            if block.upsamplers is not None:
                finer = level - 1
                hidden = self._resize_up(block.upsamplers[0], hidden, each, skips[-1].shape[-2:])
                hidden = self._in_time(
                    self.temporal_ups[finer], hidden, conditions, len(times[finer])
                )
        return hidden

    def _level_times(self, frame_times: Tensor) -> list[Tensor]:
        """Frame times at every level, finest first: as many as the level has frames."""
        times = [frame_times]
        for factor in self.config.temporal_factors:
            times.append(times[-1][::factor])
        return times

    def _conditions(
        self,
        sample: Tensor,
        timestep: Tensor | float | int,
        text: Tensor,
        class_labels: Tensor | None,
        timestep_cond: Tensor | None,
        attention_mask: Tensor | None,
        attention_kwargs: dict[str, Any] | None,
        added: dict[str, Tensor] | None,
        text_mask: Tensor | None,
    ) -> _Conditions:
        """The 2D net's own embeddings of time, classes, added conditions and text, in its order."""
        unet = self.unet2d
        embedding = unet.time_embedding(unet.get_time_embed(sample, timestep), timestep_cond)
        classes = unet.get_class_embed(sample, class_labels)
        embedding = embedding if classes is None else embedding + classes
        addition = unet.get_aug_embed(embedding, text, added)
        embedding = embedding if addition is None else embedding + addition
        embedding = embedding if unet.time_embed_act is None else unet.time_embed_act(embedding)
        return _Conditions(
            timestep=embedding,
            text=unet.process_encoder_hidden_states(text, added),
            attention_mask=_bias(attention_mask, sample.dtype),
            text_bias=_bias(text_mask, sample.dtype),
            attention_kwargs=attention_kwargs,
        )

    def _input(self, sample: Tensor) -> Tensor:
        # Frames stored as `b f h w c`: folding, unfolding and convolving in time then need no copy.
        frames = fold_frames(sample).contiguous(memory_format=torch.channels_last)
        channels = self.unet2d.config.in_channels
        own, added = frames.split([channels, frames.shape[1] - channels], dim=1)
        own = 2 * own - 1 if self.unet2d.config.center_input_sample else own
        hidden = self.unet2d.conv_in(own)
        return hidden if self.conv_in_added is None else hidden + self.conv_in_added(added)

    def _output(self, hidden: Tensor) -> Tensor:
        if self.unet2d.conv_norm_out is not None:
            hidden = self.unet2d.conv_act(self.unet2d.conv_norm_out(hidden))
        return self.unet2d.conv_out(hidden)

    def _of_known(self, sample: Tensor, hidden: Tensor, timestep: Tensor) -> Tensor | float:
        """What the branch adds to clips of which something is known or likely, as the channels
        beyond the picture net's say. Others are made without it; in training its gradients are then
        zero, since processes that train together wait for one of every parameter.
        """
        if self.known_branch is None:
            return 0.0
        beyond = sample[:, self.unet2d.config.in_channels :]
        told = beyond.abs().amax((1, 2, 3, 4), keepdim=True) > 0
        if not torch.is_grad_enabled() and not bool(told.any()):
            return 0.0
        added = self._run(self.known_branch, fold_frames(sample), hidden, timestep)
        return unfold_frames(added, len(sample)) * told

    def _layers(
        self,
        block: Any,
        hidden: Tensor,
        each: _Conditions,
        skips: list[Tensor] | None = None,
    ) -> list[Tensor]:
        """A block's layers without its resizer, joined with `skips` on the way up; every layer's
        output.
        """
        states = []
        for resnet, attention in zip(block.resnets, _attentions(block), strict=True):
            if skips is not None:
                hidden = torch.cat([hidden, skips.pop()], dim=1)
            hidden = self._run(resnet, hidden, each.timestep)
            if attention is not None:
                hidden = _attend(attention, hidden, each)
            states.append(hidden)
        return states

    def _inflate(
        self,
        inflations: nn.ModuleList,
        attentions: nn.ModuleList,
        level: int,
        hidden: Tensor,
        conditions: _Conditions,
        times: list[Tensor],
    ) -> Tensor:
        """Attention inflation at the coarsest level, convolution inflation at the others."""
        if level == len(times) - 1:
            return self._attend_in_time(attentions, hidden, conditions, times[level])
        return self._in_time(inflations[level], hidden, conditions)

    def _attend_in_time(
        self, attentions: nn.ModuleList, hidden: Tensor, conditions: _Conditions, times: Tensor
    ) -> Tensor:
        clip = (conditions.timestep, conditions.text, conditions.text_bias)
        for attention in attentions:
            hidden = self._in_time(attention, hidden, conditions, times, *clip)
        return hidden

    def _in_time(
        self,
        module: nn.Module | None,
        hidden: Tensor,
        conditions: _Conditions,
        *arguments: Tensor | int | None,
    ) -> Tensor:
        """Run a temporal module on folded frames."""
        if module is None:
            return hidden
        clips = unfold_frames(hidden, len(conditions.timestep))
        return fold_frames(self._run(module, clips, *arguments))

    def _resize_down(self, resizer: nn.Module, hidden: Tensor, each: _Conditions) -> Tensor:
        if isinstance(resizer, ResnetBlock2D):
            return self._run(resizer, hidden, each.timestep)
        return resizer(hidden)

    def _resize_up(
        self, resizer: nn.Module, hidden: Tensor, each: _Conditions, size: torch.Size
    ) -> Tensor:
        if isinstance(resizer, ResnetBlock2D):
            return self._run(resizer, hidden, each.timestep)
        return resizer(hidden, size)

    def _run(self, module: nn.Module, *arguments: Tensor | int | None) -> Tensor:
        if torch.is_grad_enabled() and self.gradient_checkpointing:
            return self._gradient_checkpointing_func(module, *arguments)
        return module(*arguments)

    def _check(self, sample: Tensor, text: Tensor, frame_times: Tensor | None) -> None:
        channels = self.config.in_channels
        if sample.ndim != 5 or sample.shape[1] != channels or sample.shape[2] == 0:
            raise ValueError(
                f"expected sample of shape (clips, {channels}, frames, height, width), "
                f"got {tuple(sample.shape)}; give the channels that the net was made with"
            )
        if text.ndim != 3 or len(text) != len(sample):
            raise ValueError(
                f"expected encoder_hidden_states of shape ({len(sample)}, tokens, channels), "
                f"got {tuple(text.shape)}; give one text per clip"
            )
        if frame_times is not None and frame_times.shape != sample.shape[2:3]:
            raise ValueError(
                f"expected frame_times of shape ({sample.shape[2]},), "
                f"got {tuple(frame_times.shape)}; give one time per frame"
            )
        self._check_size(*sample.shape[-2:])

    def _check_size(self, height: int, width: int) -> None:
        """Resnet resizers cannot restore an odd side; plain ones can, as in diffusers."""
        multiple = 2 ** len(self.temporal_downs)
        blocks = self.config.unet["up_block_types"]
        resnet_resized = any(name.startswith(("Resnet", "Simple")) for name in blocks)
        if resnet_resized and (height % multiple or width % multiple):
            raise ValueError(
                f"expected height and width that are multiples of {multiple}, "
                f"got {height}x{width}; this 2D net's resnet resizers take no other: "
                "resize or pad the frames"
            )


def picture_fingerprint(unet: nn.Module) -> str:
    """See `STUNet.fingerprint`; of a picture net that is not inflated yet."""
    return fingerprint_of(unet.state_dict())


def fingerprint_of(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of tensors, by name, rounded to float16, in which models are kept."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().to("cpu", torch.float16).contiguous().numpy().tobytes())
    return digest.hexdigest()


def _public(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without diffusers' private entries."""
    return {name: value for name, value in config.items() if not name.startswith("_")}


def _repeated(value: Tensor | None, frames: int) -> Tensor | None:
    return None if value is None else value.repeat_interleave(frames, dim=0)


def _resampler(kind: type[Resampler], channels: int, factor: int, init: str) -> Resampler | None:
    """A module that resamples time, none for a factor of 1."""
    return kind(channels, factor, init=init) if factor > 1 else None


def _attentions(block: Any) -> Iterable[nn.Module | None]:
    return getattr(block, "attentions", [None] * len(block.resnets))


def _attend(attention: nn.Module, hidden: Tensor, each: _Conditions) -> Tensor:
    """One spatial attention layer of the 2D net, called as its block calls it."""
    if isinstance(attention, Transformer2DModel):
        return attention(
            hidden,
            encoder_hidden_states=each.text,
            cross_attention_kwargs=each.attention_kwargs,
            attention_mask=each.attention_mask,
            encoder_attention_mask=each.text_bias,
            return_dict=False,
        )[0]
    mask = each.text_bias if each.attention_mask is None else each.attention_mask
    return attention(
        hidden,
        encoder_hidden_states=each.text,
        attention_mask=mask,
        **(each.attention_kwargs or {}),
    )


def _bias(mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """An attention mask as diffusers adds it to scores: 0 keeps, -10000 drops; `b 1 n`."""
    return None if mask is None else ((1 - mask.to(dtype)) * -10000.0)[:, None]


def _added_input(conv_in: nn.Conv2d, in_channels: int) -> nn.Conv2d | None:
    """A zero convolution for the input channels that the frozen one lacks, added to its output."""
    added = in_channels - conv_in.in_channels
    if added < 0:
        raise ValueError(
            f"expected in_channels of at least {conv_in.in_channels}, got {in_channels}; "
            "the 2D net's own stay first"
        )
    if added == 0:
        return None
    height, width = conv_in.kernel_size
    conv = nn.Conv2d(
        added,
        conv_in.out_channels,
        (height, width),
        padding=(height // 2, width // 2),
        bias=False,
        dtype=conv_in.weight.dtype,
    )
    zero(conv)
    return conv.to(conv_in.weight.device)


def _read_temporal(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and weights of a file that `save_temporal` wrote."""
    try:
        with safe_open(path, framework="pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return file.metadata() or {}, weights
    except (OSError, SafetensorError) as error:
        raise ValueError(
            f"expected temporal weights in {path}, got {error}; "
            "name a folder that save_temporal wrote"
        ) from None


def _text_channels(config: dict[str, Any]) -> int:
    """Channels of the text states that the blocks see."""
    channels = config["cross_attention_dim"]
    return channels if isinstance(channels, int) else channels[-1]


def _check_supported(config: dict[str, Any]) -> None:
    for feature, supported in SUPPORTED.items():
        value = config[feature]
        for name in value if isinstance(value, (list, tuple)) else [value]:
            if name not in supported:
                raise ValueError(
                    f"expected {feature} among {', '.join(sorted(map(str, supported)))}, "
                    f"got {name}; inflate a Stable Diffusion 1.x or 2.x, SDXL or DeepFloyd IF net"
                )


def _checked_factors(factors: Sequence[int] | None, levels: int) -> tuple[int, ...]:
    factors = (2,) * (levels - 1) if factors is None else tuple(factors)
    if len(factors) != levels - 1 or any(factor < 1 for factor in factors):
        raise ValueError(
            f"expected temporal_factors of {levels - 1} whole numbers from 1, got {factors}; "
            "give one for each spatial halving, finest first (1 is off)"
        )
    return factors


def _checked_attention_blocks(counts: Sequence[int]) -> tuple[int, int, int]:
    if len(counts) != 3 or any(count < 0 for count in counts):
        raise ValueError(
            f"expected attention_blocks as (down, middle, up), got {counts}; for example (2, 4, 2)"
        )
    down, middle, up = counts
    return down, middle, up
