"""Denoiser to denoiser: each function takes a denoiser and returns a denoiser.

Guidance and thresholding, prompts that blend over time, content that is held, seamless loops, and
few frames before all. `engine/run.py` applies them in a readable order; windows are in
`multidiffusion.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from openlumiere.contract import GUIDANCE, TIMES, Condition, Denoiser, Level, broadcast, join


def guided(
    denoiser: Denoiser, unconditional: Condition, scale: float, *, rescale: float = 0.0
) -> Denoiser:
    """Classifier-free guidance (Ho and Salimans 2022): `without + scale (with - without)`; scale 1
    is off and costs nothing.

    `unconditional` gives the text (and whatever else is whole) of the empty or negative prompt, for
    one clip or one a clip; what is known and the frame times are those of the guided clip. Noise,
    velocity and clean clip are linear in each other, so guiding the clean clip guides what the net
    predicts. Both passes run as one batch. `rescale` in [0, 1] pulls the spread back to the
    conditional prediction's (Lin et al. 2023, section 3.4), here of the clean clip (our choice).
    Raises ValueError for a scale that is no number or a rescale outside [0, 1].
    """
    _check_scale(scale)
    if not 0 <= rescale <= 1:
        raise ValueError(
            f"expected guidance rescale in [0, 1], got {rescale}, use 0 for none or 0.7"
        )
    if scale == 1:
        return denoiser

    def denoise(noisy: Tensor, level: Level, condition: Condition) -> Tensor:
        both = join([condition, _without(unconditional, condition)])
        clean = denoiser(torch.cat([noisy, noisy]), level.repeat(2), both)
        conditional, without = clean.chunk(2)
        combined = without + scale * (conditional - without)
        return rescale_spread(combined, conditional, rescale) if rescale else combined

    return denoise


def _check_scale(scale: float) -> None:
    if not math.isfinite(scale):
        raise ValueError(
            f"expected a guidance scale that is a number, got {scale}, "
            "use 1 for none or a few units for more"
        )


def guided_by_input(denoiser: Denoiser, scale: float) -> Denoiser:
    """Guidance in one pass, for a net that reads the scale because it was distilled from guided
    passes (Meng et al. 2023, section 3). Raises ValueError for a scale that is no number.
    """
    _check_scale(scale)

    def denoise(noisy: Tensor, level: Level, condition: Condition) -> Tensor:
        scales = torch.full((condition.batch,), scale, device=noisy.device)
        whole = {**condition.whole, GUIDANCE: scales}
        return denoiser(noisy, level, replace(condition, whole=whole))

    return denoise


def _without(unconditional: Condition, condition: Condition) -> Condition:
    """The unconditional text beside all else that conditions the clip."""
    if unconditional.batch not in (1, condition.batch):
        raise ValueError(
            f"expected 1 or {condition.batch} unconditional texts, got {unconditional.batch}, "
            "give one or one a clip"
        )
    if unconditional.batch == 1:
        unconditional = unconditional.repeat(condition.batch)
    unconditional = unconditional.to(condition.text.device, condition.text.dtype)
    return replace(
        condition,
        text=unconditional.text,
        text_mask=unconditional.text_mask,
        whole={**condition.whole, **unconditional.whole},
    )


def rescale_spread(
    guided: Float[Tensor, "b ..."], conditional: Float[Tensor, "b ..."], rescale: float
) -> Float[Tensor, "b ..."]:
    """`guided` with each clip's standard deviation moved towards the conditional's; all the way at
    `rescale` 1.
    """
    axes = tuple(range(1, guided.ndim))
    ratio = conditional.std(axes, keepdim=True) / guided.std(axes, keepdim=True).clamp(min=1e-8)
    return guided * (1 + rescale * (ratio - 1))


def clipped(
    denoiser: Denoiser, *, quantile: float | None = None, limit: float = math.inf
) -> Denoiser:
    """Holds the clean prediction of a pixel net in [-1, 1].

    `quantile` None clips to [-1, 1]. Dynamic thresholding (Saharia et al. 2022, section 2.3): clip
    to s, the `quantile` of each clip's magnitudes, at least 1 and at most `limit`, then divide by
    s. Wrap the guided denoiser, not the other way round.
    """
    if quantile is not None and not 0 < quantile <= 1:
        raise ValueError(
            f"expected a quantile in (0, 1], got {quantile}, use 0.995 or None for plain clipping"
        )

    def denoise(noisy: Tensor, level: Level, condition: Condition) -> Tensor:
        clean = denoiser(noisy, level, condition)
        if quantile is None:
            return clean.clamp(-1, 1)
        return dynamic_clip(clean, quantile, limit)

    return denoise


def dynamic_clip(
    clean: Float[Tensor, "b ..."], quantile: float, limit: float = math.inf
) -> Float[Tensor, "b ..."]:
    """Each clip clipped to its own quantile of magnitude s in [1, limit], and divided by s."""
    magnitude = clean.abs().flatten(1).float()
    rank = min(magnitude.shape[1], max(1, math.ceil(quantile * magnitude.shape[1])))
    spread = magnitude.kthvalue(rank, dim=1).values.clamp(1, limit)
    spread = broadcast(spread, clean)
    return clean.clamp(-spread, spread) / spread


SHARES = "shares"
"""The name, among a condition's values over frames, of the prompts' weights at each place:
`[b, k, f, h, w]`; windows cut it with the noisy clip.
"""


def blend_prompts(denoiser: Denoiser, prompts: Sequence[Condition]) -> Denoiser:
    """`denoiser` under each prompt where the condition's shares give it weight; the predictions are
    averaged by these weights.

    Our choice: the exact solution of the least-squares problem of MultiDiffusion with one region a
    prompt (Bar-Tal et al. 2023, section 4.2), as windows are. A window that one prompt fills costs
    one pass. Put it inside `multidiffuse`, outside guidance. Prompts are of one clip. Raises
    ValueError for weights of another number of prompts.
    """

    def denoise(noisy: Tensor, level: Level, condition: Condition) -> Tensor:
        shares = condition.over_frames.get(SHARES)
        if shares is None or shares.shape[1] != len(prompts):
            got = "none" if shares is None else shares.shape[1]
            raise ValueError(
                f"shares: expected weights for {len(prompts)} prompts, got {got}, "
                "give one row a prompt"
            )
        rest = condition.without(SHARES)
        pairs = zip(shares.split(1, 1), prompts, strict=True)
        parts = [(share, prompt) for share, prompt in pairs if share.any()]
        if len(parts) == 1:
            return denoiser(noisy, level, with_prompt(rest, parts[0][1]))
        total = torch.cat([share for share, _ in parts], 1).sum(1, keepdim=True)
        weighted = (
            share / total * denoiser(noisy, level, with_prompt(rest, prompt))
            for share, prompt in parts
        )
        return sum(weighted, torch.zeros(()).to(noisy))

    return denoise


def with_prompt(condition: Condition, prompt: Condition) -> Condition:
    """The condition of the same clips under another prompt."""
    prompt = prompt.repeat(condition.batch).to(condition.text.device, condition.text.dtype)
    return replace(
        condition,
        text=prompt.text,
        text_mask=prompt.text_mask,
        whole={**condition.whole, **prompt.whole},
    )


def spread(shares: Float[Tensor, "k f"], height: int, width: int) -> Float[Tensor, "1 k f h w"]:
    """Weights of frames as weights of places, without memory for them."""
    return shares[None, :, :, None, None].expand(-1, -1, -1, height, width)


def held(denoiser: Denoiser) -> Denoiser:
    """Puts the known content in the place of the predicted clean clip at every step; the net itself
    reads nothing of it.

    Our choice, for nets without conditioning channels: the paper's net reads `<J, C, M>`. As the
    noise of the known places is implied by the prediction, a solver moves them along `alpha
    content + sigma noise` by itself, so the net meets them at the right noise level (as RePaint's
    replacement does, Lugmayr et al. 2022, without its resampling). Wrap the guided, clipped
    denoiser.
    """

    def denoise(noisy: Tensor, level: Level, condition: Condition) -> Tensor:
        clean = denoiser(noisy, level, replace(condition, known=None))
        return clean if condition.known is None else condition.known.paste(clean)

    return denoise


def shaped(
    denoiser: Denoiser, source: Float[Tensor, "b c f h w"], size: int, share: float | int = 1
) -> Denoiser:
    """Puts the coarse shapes of `source` (means over squares of `size` places) in the place of the
    predicted clean clip's.

    ILVR (Choi et al. 2021) on the clean prediction, frame by frame: what is finer than the squares
    is the net's own, and so is everything below the `share` of diffusion times counted from the
    noisiest. Wrap it around all else, for `source` is the whole clip.
    """
    last = (1 - share) * TIMES

    def denoise(noisy: Tensor, level: Level, condition: Condition) -> Tensor:
        clean = denoiser(noisy, level, condition)
        if float(level.time.max()) < last:
            return clean
        return clean + coarse(source.to(clean) - clean, size)

    return denoise


def coarse(clip: Float[Tensor, "b c f h w"], size: int) -> Float[Tensor, "b c f h w"]:
    """Means over squares of `size` places (smaller at the right and lower border), spread over them
    smoothly.
    """
    means = F.avg_pool3d(clip, (1, size, size), ceil_mode=True)
    return F.interpolate(means, clip.shape[2:], mode="trilinear", align_corners=False)


def looped(denoiser: Denoiser, starts: int = 2) -> Denoiser:
    """`denoiser` run from `starts` places evenly around the circle, its predictions averaged:
    MultiDiffusion windows that wrap.

    Our choice. Each run sees the whole clip, begun at another frame, and counts less the nearer a
    frame is to its ends; where one run has its ends, another has its middle, so at no frame do the
    neighbours come from different ends. Costs `starts` passes a step. Frame times stay those of a
    clip that begins. Raises ValueError for fewer than 2 starts.
    """
    if starts < 2:
        raise ValueError(f"starts: expected at least 2, got {starts}, use 2 for the least work")

    def denoise(noisy: Tensor, level: Level, condition: Condition) -> Tensor:
        frames = noisy.shape[2]
        weight = hat(frames).to(noisy)
        mean = torch.zeros_like(noisy)
        total = torch.zeros_like(weight)
        for shift in sorted({start * frames // starts for start in range(starts)}):
            clean = denoiser(noisy.roll(-shift, 2), level, condition.roll(-shift)).roll(shift, 2)
            share = weight.roll(shift, 0)
            total += share
            mean.lerp_(clean.to(mean), share / total)
        return mean

    return denoise


def hat(frames: int) -> Float[Tensor, "f 1 1"]:
    """1 at the ends, rising by 1 per frame to the middle."""
    place = torch.arange(1.0, frames + 1)
    return torch.minimum(place, place.flip(0))[:, None, None]


LEAST = 8  # frames that a path is found on; shorter clips are seen whole


def sparse_first(denoiser: Denoiser, sparse: Denoiser, *, spacing: int, until: int) -> Denoiser:
    """Coarse to fine in time: while noise hides all but the path, few of the frames are looked at.

    Our choice, not the paper's, whose net sees every frame at every step: a small net that was
    trained for minutes finds a path over 16 frames far more surely than over 80 (decision 18). No
    frame is settled on the way: below `until` the net sees the whole clip.

    `denoiser`, but from diffusion time `until` up `sparse` on frames about `spacing` native
    frames apart, the clean clip linear in between.

    The two may be one; under windows `sparse` has shorter ones. The frames are evenly spaced from
    the first to the last, and each is conditioned on what is known of those around it. A clip
    without frame times, one of at most `2 LEAST - 1` frames and one whose frames are sparse already
    is left to `denoiser`. As the clean clip of all frames is predicted, any solver goes on with it.
    Wrap guided and clipped denoisers.
    """

    def denoise(noisy: Tensor, level: Level, condition: Condition) -> Tensor:
        if float(level.time.min()) < until:
            return denoiser(noisy, level, condition)
        places = sparse_places(condition.frame_times, spacing)
        if places is None:
            return denoiser(noisy, level, condition)
        few = noisy[:, :, places.round().long()]
        return between(sparse(few, level, condition.pick(places)), places, noisy.shape[2])

    return denoise


def sparse_places(times: Float[Tensor, " f"] | None, spacing: int) -> Float[Tensor, " k"] | None:
    """Places among the frames (0 is the first) that lie about `spacing` native frames apart; None
    where they save less than half.
    """
    if times is None or len(times) < 2 * LEAST:
        return None
    count = round(len(times) * float(times.diff().mean()) / spacing)
    if not LEAST <= count <= len(times) // 2:
        return None
    return torch.linspace(0, len(times) - 1, count, device=times.device)


def between(
    sparse: Float[Tensor, "b c k h w"], places: Float[Tensor, " k"], frames: int
) -> Float[Tensor, "b c f h w"]:
    """`frames` frames on straight lines between those at `places`, which begin at 0 and end at the
    last.
    """
    number = torch.arange(frames, device=places.device, dtype=places.dtype)
    after = torch.searchsorted(places, number, right=True).clamp(1, len(places) - 1)
    share = (number - places[after - 1]) / (places[after] - places[after - 1])
    return torch.lerp(sparse[:, :, after - 1], sparse[:, :, after], share.to(sparse)[:, None, None])
