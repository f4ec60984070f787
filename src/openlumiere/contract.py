"""What every part of a run agrees on: noise levels, conditions, denoisers, the nets behind them.

A denoiser answers the clean clip: `denoiser(noisy, level, condition) -> clean`, over `b c f h w`.
What a net really predicts, its layout, clock, text and codec are known to its `Backbone` alone.
This file imports nothing of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

NATIVE_RATE = Fraction(16)
"""Frame times count in frames of this rate, 16 a second, whatever rate a net was trained at."""

TIMES = 1000
"""Diffusion times run from 0 (clean) to this (noise alone), whatever a net's own clock says."""

GUIDANCE = "guidance"
"""The name, among what is whole, of a clip's guidance scale, for nets that read it."""

NEARER = 1e-4
"""Of two frames that know equally much the nearer one is taken; far below one place of a frame."""

Box: TypeAlias = tuple[slice, slice, slice]
"""A part of a clip: `clip[..., *box]`, frames, rows and columns."""

Part = TypeVar("Part")


@dataclass(frozen=True, kw_only=True)
class Level:
    """A noise level: `noisy = alpha clean + sigma noise`, for all clips alike or one a clip `[b]`.

    `time` is the diffusion time in trained timesteps, 0 to 1000, as nets are given it. Variance
    preserving processes have alpha^2 + sigma^2 = 1, flows alpha + sigma = 1.
    """

    alpha: Tensor
    sigma: Tensor
    time: Tensor

    def over(self, noisy: Float[Tensor, "b ..."]) -> tuple[Tensor, Tensor]:
        """alpha and sigma, shaped to broadcast over `noisy`."""
        return broadcast(self.alpha, noisy), broadcast(self.sigma, noisy)

    def noised(
        self, clean: Float[Tensor, "b ..."], noise: Float[Tensor, "b ..."]
    ) -> Float[Tensor, "b ..."]:
        """`alpha clean + sigma noise`."""
        alpha, sigma = self.over(clean)
        return alpha * clean + sigma * noise

    def repeat(self, count: int) -> Level:
        """The levels of the whole batch `count` times over; one level for all stays as it is."""
        return self._map(lambda value: value.repeat(count) if value.ndim else value)

    def to(self, device: torch.device | str) -> Level:
        """On `device`."""
        return self._map(lambda value: value.to(device))

    def _map(self, change: Callable[[Tensor], Tensor]) -> Level:
        return Level(alpha=change(self.alpha), sigma=change(self.sigma), time=change(self.time))


def broadcast(value: Tensor, noisy: Float[Tensor, "b ..."]) -> Tensor:
    """A scalar or one value a clip, shaped to broadcast over a batch of clips."""
    return value.to(noisy).reshape(-1, *[1] * (noisy.ndim - 1))


@dataclass(frozen=True, kw_only=True)
class Known:
    """Known content and where it is: mask 1 is known, 0 is to be generated (paper: <J, C, M>).

    Masks of diffusers' inpainting mean the opposite. `content` is `[b, c, f, h, w]` in the codec's
    space, `mask` is `[b, 1, f, h, w]` in [0, 1]. What content holds where the mask is 0 is never
    seen, unless it is `likely`: then a net that holds what is known (`as_channels`) is given it
    there. Raises ValueError when the two do not belong together or the mask leaves [0, 1].
    """

    content: Tensor
    mask: Tensor
    likely: bool = False

    def __post_init__(self) -> None:
        content = tuple(self.content.shape)
        mask = tuple(self.mask.shape)
        if len(content) != 5:
            raise ValueError(
                f"expected content b c f h w, got shape {content}, add the missing axes"
            )
        fitting = (content[0], 1, *content[2:])
        if mask != fitting:
            raise ValueError(
                f"expected a mask {fitting}, got {mask}, make one channel at the content's size"
            )
        if not self.mask.is_meta and not bool(((self.mask >= 0) & (self.mask <= 1)).all()):
            raise ValueError(
                "expected mask values in [0, 1], got values outside, divide a 0..255 mask by 255"
            )

    @classmethod
    def nothing(
        cls,
        shape: Sequence[int],
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Known:
        """Nothing is known of a clip of this shape `[b, c, f, h, w]`: plain text to video."""
        content = torch.zeros(*shape, device=device, dtype=dtype)
        return cls(content=content, mask=torch.zeros_like(content[:, :1]))

    def select(self, rows: slice | Sequence[int] | Tensor) -> Known:
        """These samples of the batch, in this order."""
        return self._map(lambda tensor: tensor[rows])

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Known:
        """On `device`, in `dtype`."""
        return self._map(lambda tensor: tensor.to(device, dtype))

    def window(self, box: Box) -> Known:
        """What is known of this part of the clip."""
        return self._map(lambda tensor: tensor[..., *box])

    def roll(self, shift: int) -> Known:
        """All moved `shift` frames later, the last frames to the front."""
        return self._map(lambda tensor: tensor.roll(shift, 2))

    def pick(self, places: Float[Tensor, " k"]) -> Known:
        """At each place (a frame's number, fractions allowed) the frame that knows most, of all
        frames for which that place is the nearest one.
        """
        frames = torch.arange(self.mask.shape[2], device=places.device)
        distance = (frames[:, None] - places).abs()
        worth = self.mask.float().mean((1, 3, 4))[:, :, None]
        worth = worth - NEARER * distance.to(self.mask.device)
        near = distance.argmin(1)[:, None] == torch.arange(len(places), device=places.device)
        chosen = worth.masked_fill(~near.to(worth.device), -torch.inf).argmax(1)

        def take(tensor: Tensor) -> Tensor:
            rows = [clip[:, frames] for clip, frames in zip(tensor, chosen, strict=True)]
            return torch.stack(rows)

        return self._map(take)

    def _map(self, change: Callable[[Tensor], Tensor]) -> Known:
        return replace(self, content=change(self.content), mask=change(self.mask))

    def as_channels(self, hold: bool = False) -> Float[Tensor, "b c_plus_1 f h w"]:
        """`<C, M>` as the conditional net reads it: masked content, then the mask.

        To `hold` is to fill what is not known with what is likely there, or else with what the same
        place shows in the nearest frame in which it is known, zeros where there is none (our
        choice, as image-to-video nets are given their picture at every frame): what is to be moved
        then lies where it is needed.
        """
        if hold:
            return torch.cat([self.filled().content, self.mask], 1)
        return torch.cat([self._masked(), self.mask], 1)

    def filled(self) -> Known:
        """With what is held, as likely, where it is not known."""
        if self.likely:
            return self
        content = self._masked() + self.held() * (1 - self.mask)
        return replace(self, content=content, likely=True)

    def _masked(self) -> Tensor:
        """The content as far as it is known; not a number times 0 is not 0."""
        return torch.where(self.mask > 0, self.content * self.mask, 0)

    def held(self) -> Float[Tensor, "b c f h w"]:
        """The content of the nearest frame in which a place is known for certain (of two, the
        earlier one), zeros where there is none.
        """
        certain = self.mask == 1
        count = certain.shape[2]
        frames = torch.arange(count, device=certain.device)[:, None, None]
        before = torch.where(certain, frames, -count).cummax(2).values
        after = torch.where(certain, frames, 2 * count).flip(2).cummin(2).values.flip(2)
        nearest = torch.where(frames - before <= after - frames, before, after)
        found = (nearest >= 0) & (nearest < count)
        rows = nearest.clamp(0, count - 1).expand(self.content.shape)
        return torch.where(found, self.content.gather(2, rows), 0)

    def paste(self, clean: Float[Tensor, "b c f h w"]) -> Float[Tensor, "b c f h w"]:
        """`clean` with the known content over it, blended where the mask is between 0 and 1;
        bit-exact where it is 1.
        """
        content = self.content.to(clean)
        mask = self.mask.to(clean)
        blend = torch.where(mask > 0, content * mask, 0) + clean * (1 - mask)
        return torch.where(mask == 1, content, blend)


@dataclass(frozen=True, kw_only=True)
class Condition:
    """All that a net is conditioned on; every tensor but `frame_times` has one row a clip.

    `text` `[b, n, d]` are token states and `text_mask` `[b, n]` (True: a real token), `known` is
    the known content, `frame_times` `[f]` are in native (1/16 s) frames. Further conditions go by
    the names that the net's backbone reads: those in `over_frames`, each `[b, c, f, h, w]`, belong
    to places and are cut, rolled and picked with the noisy clip; those in `whole`, `[b, ...]`,
    belong to the clip and stay as they are. Raises ValueError for another number of rows.
    """

    text: Tensor
    text_mask: Tensor | None = None
    known: Known | None = None
    frame_times: Tensor | None = None
    over_frames: Mapping[str, Tensor] = field(default_factory=dict)
    whole: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, tensor in self._rows().items():
            if tensor.shape[:1] != (self.batch,):
                raise ValueError(
                    f"expected {name} for {self.batch} clips, got shape {tuple(tensor.shape)}, "
                    "give one row a clip"
                )
        for name, tensor in self.over_frames.items():
            if tensor.ndim != 5:
                raise ValueError(
                    f"expected {name} over frames as b c f h w, got shape {tuple(tensor.shape)}, "
                    "put what has no frames into `whole`"
                )

    def _rows(self) -> dict[str, Tensor]:
        """Every tensor of one row a clip, by name."""
        rows = {"text": self.text, **self.over_frames, **self.whole}
        if self.text_mask is not None:
            rows["text_mask"] = self.text_mask
        if self.known is not None:
            rows["known"] = self.known.content
        return rows

    @property
    def batch(self) -> int:
        """The number of clips."""
        return self.text.shape[0]

    def select(self, rows: slice | Sequence[int] | Tensor) -> Condition:
        """These clips of the batch, in this order."""
        known = None if self.known is None else self.known.select(rows)
        return self._map(lambda tensor: tensor[rows], known)

    def repeat(self, count: int) -> Condition:
        """The whole batch `count` times over; a batch of one becomes `count` clips alike."""
        return self.select(list(range(self.batch)) * count)

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Condition:
        """On `device`; real numbers but the frame times in `dtype`, masks and whole numbers as they
        are.
        """

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device, dtype if tensor.is_floating_point() else None)

        known = None if self.known is None else self.known.to(device, dtype)
        times = None if self.frame_times is None else self.frame_times.to(device)
        return replace(self._map(move, known), frame_times=times)

    def window(self, box: Box) -> Condition:
        """What conditions this part of the clip.

        Frame times restart (our choice): every window begins when the clip does. So a net meets
        the times that it was trained on, however long the clip, windows agree with the times that a
        net takes when given none, and windows can share a batch.
        """
        known = None if self.known is None else self.known.window(box)
        times = None if self.frame_times is None else restart(self.frame_times, box[0])
        placed = replace(self, known=known, frame_times=times)
        return placed._map_frames(lambda value: value[..., *box])

    def roll(self, shift: int) -> Condition:
        """All that belongs to frames moved `shift` frames later, the last ones to the front; frame
        times stay those of a clip that begins.
        """
        known = None if self.known is None else self.known.roll(shift)
        return replace(self, known=known)._map_frames(lambda value: value.roll(shift, 2))

    def pick(self, places: Float[Tensor, " k"]) -> Condition:
        """What conditions the frames at these places (numbers of frames, fractions allowed): known
        content of the frames around, other values of the nearest frame, times in between.
        """
        nearest = places.round().long()
        known = None if self.known is None else self.known.pick(places)
        times = self.frame_times
        if times is not None:
            times = torch.lerp(
                times[places.floor().long()], times[places.ceil().long()], places.frac()
            )
        placed = replace(self, known=known, frame_times=times)
        return placed._map_frames(lambda value: value[:, :, nearest])

    def without(self, *names: str) -> Condition:
        """All but the values over frames of these names."""
        kept = {name: value for name, value in self.over_frames.items() if name not in names}
        return replace(self, over_frames=kept)

    def check_size(self, size: Sequence[int]) -> None:
        """Raises ValueError unless all that belongs to frames is of this size (f, h, w)."""
        sizes = {name: tuple(value.shape[2:]) for name, value in self.over_frames.items()}
        if self.known is not None:
            sizes["known"] = tuple(self.known.content.shape[2:])
        wrong = {name: found for name, found in sizes.items() if found != tuple(size)}
        if self.frame_times is not None and len(self.frame_times) != size[0]:
            wrong["frame_times"] = tuple(self.frame_times.shape)
        for name, found in wrong.items():
            raise ValueError(
                f"expected {name} for a clip of size {tuple(size)}, got {found}, "
                "give it at that size"
            )

    def _map(self, change: Callable[[Tensor], Tensor], known: Known | None) -> Condition:
        return replace(
            self,
            text=change(self.text),
            text_mask=None if self.text_mask is None else change(self.text_mask),
            known=known,
            over_frames={name: change(value) for name, value in self.over_frames.items()},
            whole={name: change(value) for name, value in self.whole.items()},
        )

    def _map_frames(self, change: Callable[[Tensor], Tensor]) -> Condition:
        changed = {name: change(value) for name, value in self.over_frames.items()}
        return replace(self, over_frames=changed)


def restart(times: Float[Tensor, " f"], frames: slice) -> Float[Tensor, " k"]:
    """The times of these frames, moved to begin where the clip does."""
    return times[frames] - (times[frames.start] - times[0])


def join(parts: Sequence[Condition]) -> Condition:
    """The clips of all parts in one batch; shorter texts are padded and masked.

    The parts must share their frame times. Raises ValueError where some lack what others have.
    """
    length = max(part.text.shape[1] for part in parts)
    padded = any(part.text.shape[1] < length for part in parts)
    masked = padded or any(part.text_mask is not None for part in parts)
    return replace(
        parts[0],
        text=torch.cat([_pad(part.text, length) for part in parts]),
        text_mask=torch.cat([_pad(_mask(part), length) for part in parts]) if masked else None,
        known=_join_known([part.known for part in parts]),
        over_frames=_join_named([part.over_frames for part in parts]),
        whole=_join_named([part.whole for part in parts]),
    )


def _mask(part: Condition) -> Tensor:
    if part.text_mask is not None:
        return part.text_mask
    return torch.ones(part.text.shape[:2], dtype=torch.bool, device=part.text.device)


def _pad(tokens: Tensor, length: int) -> Tensor:
    missing = tokens.new_zeros(tokens.shape[0], length - tokens.shape[1], *tokens.shape[2:])
    return torch.cat([tokens, missing], 1)


def _join_known(parts: Sequence[Known | None]) -> Known | None:
    found = [part for part in parts if part is not None]
    _check_all_or_none("known", len(found), len(parts))
    return join_known(found) if found else None


def join_known(parts: Sequence[Known]) -> Known:
    """The samples of all parts, one after the other."""
    return Known(
        content=torch.cat([part.content for part in parts]),
        mask=torch.cat([part.mask for part in parts]),
        likely=all(part.likely for part in parts),
    )


def _join_named(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    joined = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        found = [part[name] for part in parts if name in part]
        _check_all_or_none(name, len(found), len(parts))
        joined[name] = torch.cat(found)
    return joined


def _check_all_or_none(name: str, found: int, parts: int) -> None:
    if found not in (0, parts):
        raise ValueError(
            f"expected {name} in all joined conditions or in none, got {found} of {parts}, "
            "give each its own"
        )


Denoiser: TypeAlias = Callable[[Tensor, Level, Condition], Tensor]
"""`denoiser(noisy, level, condition) -> clean`, both clips `b c f h w` in the codec's space."""


@runtime_checkable
class Solver(Protocol):
    """One run of a scheduler: it takes clean predictions and leads from noise to a clip.

    Its state may be in a scale of its own; `look` is that state as nets see it.
    """

    calls: int
    """How often the denoiser is called."""

    def level(self, index: int) -> Level:
        """The noise level of call `index`."""
        ...

    def begin(self, noise: Tensor, source: Tensor | None = None) -> Tensor:
        """The state before the first call: unit Gaussian noise, or at a later start the clean clip
        `source` under that noise (SDEdit, Meng et al. 2022).
        """
        ...

    def look(self, state: Tensor, index: int) -> Tensor:
        """The state as `alpha clean + sigma noise`."""
        ...

    def step(self, clean: Tensor, noisy: Tensor, state: Tensor, index: int) -> Tensor:
        """The state after call `index`, whose denoiser answered `clean` for `noisy`."""
        ...


@runtime_checkable
class Process(Protocol):
    """How a net was trained to be noised, and what it predicts: the only part that knows
    prediction kinds, schedules and diffusers' schedulers.
    """

    @property
    def thresholding(self) -> tuple[float | None, float]:
        """Dynamic thresholding of clean pixels: the quantile of their magnitudes (None: plain
        clipping) and the most that it may be.
        """
        ...

    def level(self, time: Tensor | float) -> Level:
        """The noise level at a diffusion time, scalar or `[b]`."""
        ...

    def clean(self, prediction: Tensor, noisy: Tensor, level: Level) -> Tensor:
        """The clean clip that the net's prediction stands for."""
        ...

    def solver(
        self,
        scheduler: str | None,
        *,
        steps: int,
        like: Tensor,
        start: int = 0,
        seeds: Sequence[int] | None = None,
    ) -> Solver:
        """A fresh solver by a scheduler's name (None: the one that the model came with), for clips
        of the shape and device of `like`, from step `start` of `steps`. Raises ValueError for what
        cannot be.
        """
        ...


@runtime_checkable
class Codec(Protocol):
    """The seam between clips in [-1, 1] and what a net sees: it knows space, time and alpha."""

    channels: int
    """Channels of a coded clip."""
    colours: int
    """Channels of its pixels: 3, or 4 with straight alpha in [-1, 1]."""
    factor: int
    """Pixels of a side that share one coded place."""
    time_factor: int
    """Frames that share one coded place; above 1 the first frame has one of its own."""
    bounded: bool
    """Whether coded values are pixels, so that a clean clip lies in [-1, 1]."""

    def grid(self, frames: int, height: int, width: int) -> tuple[int, int, int]:
        """(f, h, w) of the coded clip. Raises ValueError for sizes that do not fit."""
        ...

    def frames_for(self, count: int) -> int:
        """The least number of frames of at least `count` that fits."""
        ...

    def encode(self, pixels: Float[Tensor, "b c f H W"]) -> Float[Tensor, "b c f h w"]:
        """Pixels in [-1, 1] to the codec's space."""
        ...

    def decode(self, coded: Float[Tensor, "b c f h w"]) -> Float[Tensor, "b c f H W"]:
        """The codec's space to pixels, which may leave [-1, 1]."""
        ...

    def mask(
        self, known: Float[Tensor, "b 1 f H W"], grid: tuple[int, int, int]
    ) -> Float[Tensor, "b 1 g h w"]:
        """A mask of pixels of any resolution (1: known) on a coded grid: a place is known only if
        every pixel and frame under it is.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Native:
    """What a net was trained on: `side` in pixels of the shorter side, `frames` a clip at `fps`.

    Frames are square, or of `longer` pixels on the longer side and wide. Sides in pixels must
    divide by `multiple`. The number of frames must be 1 plus a multiple of `time_multiple`; 1
    allows any.
    """

    side: int
    longer: int | None = None
    frames: int = 80
    fps: Fraction = NATIVE_RATE
    multiple: int = 1
    time_multiple: int = 1

    def frames_for(self, count: int) -> int:
        """The least number of frames of at least `count` that the net takes."""
        return 1 + -(-(count - 1) // self.time_multiple) * self.time_multiple


@dataclass(frozen=True, kw_only=True)
class Reads:
    """What a net reads of a condition by itself; the rest is seen to by wrappers.

    `known`: content and mask anywhere; `likely`: also what is likely elsewhere; `first_frame`: a
    known first frame; `frame_times`: when the frames are; `guidance`: the guidance scale, which
    spares a second pass.
    """

    known: bool = False
    likely: bool = False
    first_frame: bool = False
    frame_times: bool = False
    guidance: bool = False


@runtime_checkable
class ReadsPixels(Protocol):
    """A backbone whose net reads what is known by itself, of pixels rather than of coded places."""

    def read(self, condition: Condition, given: Known) -> Condition:
        """The condition with what is known as the net reads it. `given` is in pixels in [-1, 1] at
        the net's size, `[b, 3, f, h, w]`, with a mask for each; it is always there, also where
        nothing is known.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class SparseFirst:
    """From diffusion time `until` up a clip is looked at `spacing` native frames apart; see
    `diffusion/wrappers.py`.
    """

    spacing: int
    until: int


@runtime_checkable
class Backbone(Protocol):
    """A published net as a denoiser, with all that is its own; one file a family."""

    @property
    def process(self) -> Process:
        """Its noise levels and solvers."""
        ...

    @property
    def codec(self) -> Codec:
        """Between pixels and what it sees."""
        ...

    @property
    def native(self) -> Native:
        """What it was trained on."""
        ...

    @property
    def reads(self) -> Reads:
        """What it reads by itself."""
        ...

    @property
    def sparse(self) -> SparseFirst | None:
        """Whether its clips find their path on few frames first."""
        ...

    @property
    def device(self) -> torch.device:
        """Where noise and conditions go."""
        ...

    def denoise(
        self, noisy: Float[Tensor, "b c f h w"], level: Level, condition: Condition
    ) -> Float[Tensor, "b c f h w"]:
        """The clean clip in float32."""
        ...

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
        """The condition of one clip a prompt; sides in pixels, times in native frames."""
        ...

    def bytes_for(self, shape: Sequence[int]) -> int:
        """Memory that one pass over a coded clip of this shape `b c f h w` takes beside the
        weights, in bytes; an estimate.
        """
        ...
