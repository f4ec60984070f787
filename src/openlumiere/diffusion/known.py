"""What is known before denoising: frames, borders or regions that a task fixes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Known:
    """Content that is given and where: mask 1 is known, 0 is to be made (paper: <J, C, M>;
    diffusers' inpainting means the opposite).

    `content` is `[b, c, f, h, w]` in the codec's space, `mask` is `[b, 1, f, h, w]` in [0, 1]. What
    content holds where the mask is 0 is never seen. Raises ValueError when the two do not belong
    together or the mask leaves [0, 1].
    """

    content: Tensor
    mask: Tensor

    def __post_init__(self) -> None:
        content, mask = tuple(self.content.shape), tuple(self.mask.shape)
        if len(content) != 5:
            raise ValueError(
                f"expected content b c f h w, got shape {content}, add the missing axes"
            )
        if mask != (content[0], 1, *content[2:]):
            raise ValueError(
                f"expected a mask {(content[0], 1, *content[2:])}, got {mask}, make one channel at the content's size"
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
        return replace(self, content=self.content[rows], mask=self.mask[rows])

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Known:
        return replace(
            self, content=self.content.to(device, dtype), mask=self.mask.to(device, dtype)
        )

    def as_channels(self) -> Float[Tensor, "b c_plus_1 f h w"]:
        """`<C, M>` as the conditional net reads it: masked content, then the mask."""
        return torch.cat([torch.where(self.mask > 0, self.content * self.mask, 0), self.mask], 1)


def join_known(parts: Sequence[Known]) -> Known:
    """The samples of all parts, one after the other."""
    return Known(
        content=torch.cat([part.content for part in parts]),
        mask=torch.cat([part.mask for part in parts]),
    )


def keep(known: Known | None, clean: Float[Tensor, "b c f h w"]) -> Float[Tensor, "b c f h w"]:
    """`clean` with the known content pasted over it, blended where the mask is between 0 and 1;
    bit-exact where it is 1.
    """
    if known is None:
        return clean
    content, mask = known.content.to(clean), known.mask.to(clean)
    blend = torch.where(mask > 0, content * mask, 0) + clean * (1 - mask)
    return torch.where(mask == 1, content, blend)
