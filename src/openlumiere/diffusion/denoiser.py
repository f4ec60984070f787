"""The one contract: `denoiser(noisy, timestep, condition) -> prediction` over `b c f h w`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from openlumiere.diffusion.known import Known, join_known

Kind: TypeAlias = Literal["epsilon", "v_prediction", "sample"]
"""What a net predicts, in diffusers' words: the noise, the velocity or the clean clip."""

Scale: TypeAlias = Tensor | float

SILENT = 2.5e-4
"""An alpha up to this counts as no signal at all; diffusers puts 2^-12 in the place of zero where a
sigma would be infinite.
"""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """All that a net is told beside the noisy clip; every tensor but `frame_times` has one row a
    clip, or ValueError.

    `text` `[b, n, d]` token states and `text_mask` `[b, n]` (True: a real token), `known` the
    content that is given, `frame_times` `[f]` in native (1/16 s) frames, `added` the further
    conditions of SDXL-like nets by their diffusers names, `class_labels` `[b]` those of
    class-embedded nets.
    """

    text: Tensor
    text_mask: Tensor | None = None
    known: Known | None = None
    frame_times: Tensor | None = None
    added: dict[str, Tensor] | None = None
    class_labels: Tensor | None = None

    def __post_init__(self) -> None:
        rows = {
            "text": self.text,
            "text_mask": self.text_mask,
            "class_labels": self.class_labels,
            **(self.added or {}),
        }
        rows["known"] = None if self.known is None else self.known.content
        for name, tensor in rows.items():
            if tensor is not None and tensor.shape[:1] != (self.batch,):
                raise ValueError(
                    f"expected {name} for {self.batch} clips, got shape {tuple(tensor.shape)}, give one row a clip"
                )

    @property
    def batch(self) -> int:
        return self.text.shape[0]

    def select(self, rows: slice | Sequence[int] | Tensor) -> Condition:
        """These clips of the batch, in this order."""
        return self._map(
            lambda tensor: tensor[rows], None if self.known is None else self.known.select(rows)
        )

    def repeat(self, count: int) -> Condition:
        """The whole batch `count` times over; a batch of one becomes `count` clips alike."""
        return self.select(list(range(self.batch)) * count)

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Condition:
        """On `device`; real numbers but the frame times in `dtype`, masks and labels as they are."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device, dtype if tensor.is_floating_point() else None)

        moved = self._map(move, None if self.known is None else self.known.to(device, dtype))
        return replace(
            moved, frame_times=None if self.frame_times is None else self.frame_times.to(device)
        )

    def _map(self, change: Callable[[Tensor], Tensor], known: Known | None) -> Condition:
        return replace(
            self,
            text=change(self.text),
            text_mask=None if self.text_mask is None else change(self.text_mask),
            known=known,
            added=None
            if self.added is None
            else {name: change(tensor) for name, tensor in self.added.items()},
            class_labels=None if self.class_labels is None else change(self.class_labels),
        )


Timestep: TypeAlias = Tensor | int | float
Denoiser: TypeAlias = Callable[[Tensor, Timestep, Condition], Tensor]


def join(parts: Sequence[Condition]) -> Condition:
    """The clips of all parts in one batch; shorter texts are padded and masked. The parts must
    share their frame times.
    """
    first, length = parts[0], max(part.text.shape[1] for part in parts)
    needs_mask = any(part.text_mask is not None or part.text.shape[1] < length for part in parts)
    return replace(
        first,
        text=torch.cat([_pad(part.text, length) for part in parts]),
        text_mask=torch.cat([_pad(_mask(part), length) for part in parts]) if needs_mask else None,
        known=_join_optional([part.known for part in parts], join_known, "known"),
        added=_join_optional([part.added for part in parts], _join_added, "added"),
        class_labels=_join_optional(
            [part.class_labels for part in parts], torch.cat, "class_labels"
        ),
    )


def _mask(part: Condition) -> Tensor:
    return (
        torch.ones(part.text.shape[:2], dtype=torch.bool, device=part.text.device)
        if part.text_mask is None
        else part.text_mask
    )


def _pad(tokens: Tensor, length: int) -> Tensor:
    missing = tokens.new_zeros(tokens.shape[0], length - tokens.shape[1], *tokens.shape[2:])
    return torch.cat([tokens, missing], 1)


def _join_added(parts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _join_optional(parts: Sequence, cat: Callable, name: str):
    if all(part is None for part in parts):
        return None
    if any(part is None for part in parts):
        raise ValueError(
            f"expected {name} in all joined conditions or in none, got some without, give each its own"
        )
    return cat(parts)


class NetDenoiser:
    """A `STUNet`, or a net that is called alike, as a denoiser: the conditional input, precision
    and device are seen to here.
    """

    def __init__(self, net: nn.Module) -> None:
        self.net = net

    def __call__(
        self, noisy: Float[Tensor, "b c f h w"], timestep: Timestep, condition: Condition
    ) -> Float[Tensor, "b c f h w"]:
        """The net's prediction in float32, without the variances that some nets add. Raises
        ValueError for a net of other channels.
        """
        condition = condition.to(noisy.device, self.net.dtype)
        prediction = self.net(
            self._with_known(noisy.to(self.net.dtype), condition.known),
            timestep,
            encoder_hidden_states=condition.text,
            encoder_attention_mask=condition.text_mask,
            frame_times=condition.frame_times,
            added_cond_kwargs=condition.added,
            class_labels=condition.class_labels,
        ).sample
        return prediction[:, : noisy.shape[1]].float()

    def _with_known(self, noisy: Tensor, known: Known | None) -> Tensor:
        """`<J, C, M>` (paper's conditioning): channels c + c + 1 where the net was widened, zeros
        when nothing is known.
        """
        channels, taken = noisy.shape[1], self.net.config.in_channels
        if taken == channels and known is None:
            return noisy
        if taken != 2 * channels + 1:
            fits = (
                f"{2 * channels + 1}" if known is not None else f"{channels} or {2 * channels + 1}"
            )
            raise ValueError(
                f"expected a net of {fits} input channels for {channels} noisy ones, got {taken}, use a fitting net"
            )
        known = known or Known.nothing(noisy.shape, device=noisy.device, dtype=noisy.dtype)
        return torch.cat([noisy, known.as_channels()], 1)


def to_clean(
    prediction: Float[Tensor, "b ..."],
    noisy: Float[Tensor, "b ..."],
    alpha: Scale,
    sigma: Scale,
    kind: Kind,
) -> Float[Tensor, "b ..."]:
    """The clean clip that a prediction stands for, with `noisy = alpha clean + sigma noise`,
    alpha^2 + sigma^2 = 1.

    alpha and sigma broadcast over `noisy`. Exact. Where alpha is silent (zero terminal signal) a
    noise prediction says nothing of the clean clip, and it is taken as 0, mid-grey (our choice).
    """
    if check_kind(kind) == "sample":
        return prediction
    if kind == "v_prediction":
        return alpha * noisy - sigma * prediction
    return _divide(noisy - sigma * prediction, alpha)


def to_noise(
    prediction: Float[Tensor, "b ..."],
    noisy: Float[Tensor, "b ..."],
    alpha: Scale,
    sigma: Scale,
    kind: Kind,
) -> Float[Tensor, "b ..."]:
    """The noise that a prediction stands for; see `to_clean`. Where sigma is 0 a clean prediction
    gives noise 0.
    """
    if check_kind(kind) == "epsilon":
        return prediction
    if kind == "v_prediction":
        return sigma * noisy + alpha * prediction
    return _divide(noisy - alpha * prediction, sigma)


def to_velocity(
    prediction: Float[Tensor, "b ..."],
    noisy: Float[Tensor, "b ..."],
    alpha: Scale,
    sigma: Scale,
    kind: Kind,
) -> Float[Tensor, "b ..."]:
    """The velocity `alpha noise - sigma clean` (Salimans and Ho 2022) that a prediction stands for;
    see `to_clean`.
    """
    if check_kind(kind) == "v_prediction":
        return prediction
    clean = to_clean(prediction, noisy, alpha, sigma, kind)
    return alpha * to_noise(prediction, noisy, alpha, sigma, kind) - sigma * clean


CONVERSIONS: dict[str, Callable[..., Tensor]] = {
    "epsilon": to_noise,
    "v_prediction": to_velocity,
    "sample": to_clean,
}
"""Kind wanted -> function of (prediction, noisy, alpha, sigma, kind given)."""


def check_kind(kind: str) -> str:
    """`kind`, or ValueError when it is none of the three."""
    if kind not in get_args(Kind):
        raise ValueError(
            f"expected a prediction kind of {', '.join(get_args(Kind))}, got {kind!r}, set the scheduler's prediction_type"
        )
    return kind


def _divide(numerator: Tensor, scale: Scale) -> Tensor:
    """`numerator / scale`, 0 where the scale is next to nothing."""
    scale = torch.as_tensor(scale, device=numerator.device, dtype=numerator.dtype)
    return torch.where(scale > SILENT, numerator / scale.clamp(min=SILENT), 0)


def noise_level(timestep: Timestep, alphas_cumprod: Float[Tensor, " t"]) -> tuple[Tensor, Tensor]:
    """alpha and sigma at a timestep, scalar or `[b]`; between whole timesteps their ratio is
    interpolated, as diffusers does.
    """
    ratio = ((1 - alphas_cumprod) / alphas_cumprod.clamp(min=2**-24)).sqrt()
    time = torch.as_tensor(timestep, device=ratio.device, dtype=torch.float64).clamp(
        0, len(ratio) - 1
    )
    low, high = ratio[time.floor().long()], ratio[time.ceil().long()]
    ratio = torch.lerp(low, high, time.frac().to(ratio))
    alpha = (1 + ratio**2).rsqrt()
    return alpha, ratio * alpha


def level_over(
    noisy: Float[Tensor, "b ..."], timestep: Timestep, alphas_cumprod: Float[Tensor, " t"]
) -> tuple[Tensor, Tensor]:
    """alpha and sigma of `noise_level`, shaped to broadcast over `noisy`."""
    alpha, sigma = noise_level(timestep, alphas_cumprod)
    return over(alpha, noisy), over(sigma, noisy)


def over(value: Tensor, noisy: Float[Tensor, "b ..."]) -> Tensor:
    """A scalar or one value a clip, shaped to broadcast."""
    return value.to(noisy).reshape(-1, *[1] * (noisy.ndim - 1))
