"""The four modules that inflate a 2D U-Net in time (PAPER: Space-Time U-Net, App. B).

Two resample time (`TemporalDownsample`, `TemporalUpsample`), two are residual blocks
(`ConvInflation`, `AttentionInflation`). All take and return `b c f h w`. At start the resamplers
are nearest-neighbour in time and the residual blocks add zero, so an inflated net equals the 2D net
it was made from.

Memory: the modules are written for frames stored as `b f h w c` (channels_last frames). There,
folding frames into the batch and back is a view, and a convolution over time needs no copy.
"""

import math

import torch
import torch.nn.functional as F
from diffusers.models.attention import FeedForward
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import get_timestep_embedding
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

PLACE_FEATURES = 10  # of `place_features`
TIMESTEP_FEATURES = 64  # of the timestep's embedding that `KnownBranch` reads


def fold_frames(clips: Float[Tensor, "b c f h w"]) -> Float[Tensor, "bf c h w"]:
    """Put the frames of every clip in the batch axis, as a 2D net expects them."""
    return rearrange(clips, "b c f h w -> (b f) c h w")


def unfold_frames(frames: Float[Tensor, "bf c h w"], batch: int) -> Float[Tensor, "b c f h w"]:
    """Undo `fold_frames` for `batch` clips."""
    return rearrange(frames, "(b f) c h w -> b c f h w", b=batch)


def time_positions(frame_times: Float[Tensor, "f"], channels: int) -> Float[Tensor, "f c"]:
    """Sinusoidal positions of real-valued times, in native frames of 1/16 s (our choice: periods up
    to 1000 * 2 pi).
    """
    return get_timestep_embedding(frame_times, channels, max_period=1000)


def convolve_time(
    clips: Float[Tensor, "b c f h w"],
    weight: Float[Tensor, "c2 c k"],
    bias: Float[Tensor, "c2"] | None,
    *,
    stride: int = 1,
    padding: int = 0,
) -> Float[Tensor, "b c2 f2 h w"]:
    """`conv1d` over the frames of every place, zeros beyond the ends.

    Run as a 2D convolution over (frame, place): with frames stored as `b f h w c` that is a view.
    """
    height = clips.shape[3]
    # By way of `b f p c`, so that strides say channels_last even for one clip.
    places = rearrange(rearrange(clips, "b c f h w -> b f (h w) c"), "b f p c -> b c f p")
    out = F.conv2d(places, weight[..., None], bias, stride=(stride, 1), padding=(padding, 0))
    return rearrange(out, "b c f (h w) -> b c f h w", h=height)


class TemporalConv(nn.Conv1d):
    """A 1D convolution over the frames of `b c f h w`. Its 3D weight is left alone by
    `to(memory_format=...)`.
    """

    def __init__(self, channels: int, *, stride: int = 1):
        super().__init__(channels, channels, 3, stride=stride, padding=1)

    def initialise(self, init: str) -> None:
        """Identity at the kernel's middle (App. B), or He initialisation, the paper's ablation."""
        if init not in ("identity", "he"):
            raise ValueError(
                f"expected init 'identity' or 'he', got {init!r}; use 'identity' unless you ablate"
            )
        start = nn.init.dirac_ if init == "identity" else nn.init.kaiming_normal_
        start(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, clips: Float[Tensor, "b c f h w"]) -> Float[Tensor, "b c f2 h w"]:
        """Frames stay as many, or one of `stride` is kept."""
        return convolve_time(clips, self.weight, self.bias, stride=self.stride[0], padding=1)


class TemporalDownsample(nn.Module):
    """A 1D convolution, then stride (App. B). At start it keeps frames 0, factor, 2 * factor, ...

    A clip whose length is no multiple of `factor` is padded by repeating its last frame (our
    choice), so f frames become ceil(f / factor).
    """

    def __init__(self, channels: int, factor: int = 2, *, init: str = "identity"):
        super().__init__()
        self.factor = factor
        self.conv = TemporalConv(channels, stride=factor)
        self.conv.initialise(init)

    def forward(self, clips: Float[Tensor, "b c f h w"]) -> Float[Tensor, "b c f2 h w"]:
        """Every clip at a coarser rate: ceil(f / factor) frames."""
        missing = -clips.shape[2] % self.factor
        if missing:
            clips = torch.cat([clips] + [clips[:, :, -1:]] * missing, dim=2)
        return self.conv(clips)


class TemporalUpsample(nn.Module):
    """Frame duplication, then a 1D convolution (App. B), cropped to the `frames` asked for.

    A duplicated frame's neighbours are mostly its own copies, so the kernel's taps are added up
    beforehand and each copy is convolved at the coarse frame rate: the same result for two thirds
    of the work and no duplicated input.
    """

    def __init__(self, channels: int, factor: int = 2, *, init: str = "identity"):
        super().__init__()
        if factor < 2:
            raise ValueError(
                f"expected a factor of at least 2, got {factor}; leave the module out for 1"
            )
        self.factor = factor
        self.conv = TemporalConv(channels)
        self.conv.initialise(init)

    def forward(
        self, clips: Float[Tensor, "b c f h w"], frames: int
    ) -> Float[Tensor, "b c f2 h w"]:
        """Every clip at a finer rate, cut to `frames`."""
        before, here, after = self.conv.weight.unbind(-1)
        first = self._copy(clips, torch.stack([before, here + after], dim=-1))[:, :, :-1]
        last = self._copy(clips, torch.stack([before + here, after], dim=-1))[:, :, 1:]
        copies = [first, last]
        if self.factor > 2:
            inner = self._copy(clips, self.conv.weight.sum(-1, keepdim=True))
            copies[1:1] = [inner] * (self.factor - 2)
        stacked = torch.stack([rearrange(copy, "b c f h w -> b f h w c") for copy in copies], dim=2)
        return rearrange(stacked, "b f k h w c -> b c (f k) h w")[:, :, :frames]

    def _copy(self, clips: Tensor, weight: Tensor) -> Tensor:
        return convolve_time(clips, weight, self.conv.bias, padding=weight.shape[-1] - 1)


class ConvInflation(nn.Module):
    """Convolution inflation block (PAPER Fig. 4b), residual and zero at start.

    2D conv -> norm, activation -> 1D temporal conv -> norm, activation -> linear projection. Our
    choices: group norm with each frame's own statistics, so that the clip's length changes no
    frame's scale; SiLU.
    """

    def __init__(self, channels: int, *, groups: int = 32):
        super().__init__()
        groups = math.gcd(groups, channels)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.GroupNorm(groups, channels)
        self.temporal_conv = TemporalConv(channels)
        self.temporal_norm = nn.GroupNorm(groups, channels)
        self.projection = nn.Conv2d(channels, channels, 1)
        zero(self.projection)

    def forward(self, clips: Float[Tensor, "b c f h w"]) -> Float[Tensor, "b c f h w"]:
        """The clips with what neighbouring frames add."""
        batch = clips.shape[0]
        frames = F.silu(self.norm(self.conv(fold_frames(clips))))
        frames = fold_frames(self.temporal_conv(unfold_frames(frames, batch)))
        frames = self.projection(F.silu(self.temporal_norm(frames)))
        return clips + unfold_frames(frames, batch)


class AttentionInflation(nn.Module):
    """Attention inflation block (PAPER Fig. 4c), residual and zero at start.

    Self-attention along time at each place; the attention's output layer is the paper's linear
    projection. Our choices: sinusoidal time positions; scale and shift of the normed input by the
    diffusion timestep (`timestep_channels`); cross-attention to the text tokens (`text_channels`),
    so that motion words reach the added blocks; a feed-forward layer; where in the frame a place is
    (`place_positions`), without which a net learns that a subject moves sideways, but not to which
    side. Each is zero at start, and None, 0 or False leaves it out.
    """

    def __init__(
        self,
        channels: int,
        *,
        head_channels: int = 32,
        text_channels: int | None = None,
        timestep_channels: int | None = None,
        feed_forward_mult: int = 4,
        place_positions: bool = False,
    ):
        super().__init__()
        self.place = zero(nn.Linear(PLACE_FEATURES, channels)) if place_positions else None
        heads = max(1, channels // head_channels)
        self.norm = nn.LayerNorm(channels)
        self.attention = Attention(channels, heads=heads, dim_head=channels // heads)
        zero(self.attention.to_out[0])
        self.timestep_modulation = self.text_norm = self.feed_forward_norm = None
        if timestep_channels is not None:
            self.timestep_modulation = zero(nn.Linear(timestep_channels, 2 * channels))
        if text_channels is not None:
            self.text_norm = nn.LayerNorm(channels)
            self.text_attention = Attention(
                channels, text_channels, heads=heads, dim_head=channels // heads
            )
            zero(self.text_attention.to_out[0])
        if feed_forward_mult:
            self.feed_forward_norm = nn.LayerNorm(channels)
            self.feed_forward = FeedForward(
                channels, mult=feed_forward_mult, activation_fn="gelu-approximate"
            )
            zero(self.feed_forward.net[-1])

    def forward(
        self,
        clips: Float[Tensor, "b c f h w"],
        frame_times: Float[Tensor, "f"],
        timestep_embedding: Float[Tensor, "b e"],
        text: Float[Tensor, "b n d"],
        text_bias: Float[Tensor, "b 1 n"] | None = None,
    ) -> Float[Tensor, "b c f h w"]:
        """`frame_times` in native frames; `text_bias` is added to attention scores (0 keeps a
        token, -10000 drops it).
        """
        height, width = clips.shape[-2:]
        tokens = rearrange(clips, "b c f h w -> b (h w) f c")
        if self.place is not None:
            places = place_features(height, width).to(tokens)
            tokens = tokens + self.place(places)[:, None]
        tokens = tokens + self._attend_in_time(tokens, frame_times, timestep_embedding)
        if self.text_norm is not None:
            tokens = tokens + self._attend_to_text(tokens, text, text_bias)
        if self.feed_forward_norm is not None:
            tokens = tokens + self.feed_forward(self.feed_forward_norm(tokens))
        return rearrange(tokens, "b (h w) f c -> b c f h w", h=height, w=width)

    def _attend_in_time(
        self, tokens: Tensor, frame_times: Tensor, timestep_embedding: Tensor
    ) -> Tensor:
        queries = self.norm(tokens)
        if self.timestep_modulation is not None:
            modulation = self.timestep_modulation(F.silu(timestep_embedding))[:, None, None]
            scale, shift = modulation.chunk(2, dim=-1)
            queries = queries * (1 + scale) + shift
        queries = queries + time_positions(frame_times, tokens.shape[-1]).to(tokens.dtype)
        return rearrange(
            self.attention(queries.flatten(0, 1)), "(b p) f c -> b p f c", b=tokens.shape[0]
        )

    def _attend_to_text(self, tokens: Tensor, text: Tensor, text_bias: Tensor | None) -> Tensor:
        # One text a clip: all places and frames are queries of one attention, so text keys are made
        # once a clip.
        assert self.text_norm is not None
        queries = self.text_norm(tokens).flatten(1, 2)
        return self.text_attention(queries, text, attention_mask=text_bias).view_as(tokens)


class KnownBranch(nn.Module):
    """What is known, brought straight to the output of a frozen net (our choice): convolutions in
    space and time over the net's input, `<J, C, M>`, and its last states, scaled and shifted by the
    diffusion timestep. Zero at start.

    A frozen net has learnt to denoise its own kind of pictures; by this way one that is of another
    kind can be kept.
    """

    def __init__(
        self,
        sample_channels: int,
        channels: int,
        out_channels: int,
        timestep_channels: int,
        blocks: int,
        *,
        groups: int = 32,
    ):
        super().__init__()
        self.conv_in = nn.Conv2d(sample_channels + channels, channels, 3, padding=1)
        self.timestep_in = nn.Linear(timestep_channels, TIMESTEP_FEATURES)
        self.blocks = nn.ModuleList(
            KnownBlock(channels, TIMESTEP_FEATURES, math.gcd(groups, channels))
            for _ in range(blocks)
        )
        self.conv_out = zero(nn.Conv2d(channels, out_channels, 3, padding=1))

    def forward(
        self,
        frames: Float[Tensor, "bf k h w"],
        states: Float[Tensor, "bf c h w"],
        timestep_embedding: Float[Tensor, "b e"],
    ) -> Float[Tensor, "bf o h w"]:
        """What is added to the net's prediction."""
        hidden = self.conv_in(torch.cat([frames, states], dim=1))
        features = self.timestep_in(F.silu(timestep_embedding))
        for block in self.blocks:
            hidden = block(hidden, features)
        return self.conv_out(F.silu(hidden))


class KnownBlock(nn.Module):
    """A residual block of `KnownBranch`: a convolution of each frame, then one along time."""

    def __init__(self, channels: int, timestep_channels: int, groups: int):
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels)
        self.timestep_modulation = nn.Linear(timestep_channels, 2 * channels)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.temporal_norm = nn.GroupNorm(groups, channels)
        self.temporal_conv = TemporalConv(channels)

    def forward(
        self, hidden: Float[Tensor, "bf c h w"], features: Float[Tensor, "b e"]
    ) -> Float[Tensor, "bf c h w"]:
        """Frames of `b` clips, with features of their timesteps."""
        batch = len(features)
        modulation = self.timestep_modulation(features)
        each = modulation.repeat_interleave(len(hidden) // batch, dim=0)[..., None, None]
        scale, shift = each.chunk(2, dim=1)
        states = self.conv(F.silu(self.norm(hidden) * (1 + scale) + shift))
        clips = unfold_frames(F.silu(self.temporal_norm(states)), batch)
        return hidden + fold_frames(self.temporal_conv(clips))


def place_features(height: int, width: int) -> Float[Tensor, "p 10"]:
    """What a linear layer can read the place of: each coordinate, 0 in the middle and 1 at the
    borders, and its sines and cosines of one and of two half periods from the middle to a border.
    """
    rows, columns = (2 * (torch.arange(side) + 0.5) / side - 1 for side in (height, width))
    features = []
    for along in torch.meshgrid(rows, columns, indexing="ij"):
        features.append(along)
        for half_periods in (1, 2):
            angle = torch.pi * half_periods * along
            features += [angle.sin(), angle.cos()]
    return torch.stack(features, dim=-1).flatten(0, 1)


def zero(module: nn.Module) -> nn.Module:
    """Set a layer's weights to zero, in place."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module
