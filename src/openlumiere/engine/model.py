"""What `Lumiere` runs tasks on: our pipeline or a published one, alike to all that is above."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from openlumiere.backbones.registry import Published
from openlumiere.contract import Backbone
from openlumiere.models.folder import digest
from openlumiere.models.published import files_read
from openlumiere.models.style import Style


@runtime_checkable
class Model(Protocol):
    """A base model: a backbone for clips and one for pictures, under styles of a run."""

    @property
    def name(self) -> str:
        """The class of its pipeline."""
        ...

    @property
    def backbone(self) -> Backbone:
        """Of clips."""
        ...

    @property
    def still(self) -> Backbone:
        """Of clips of one frame."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Of the net's weights."""
        ...

    @property
    def weights(self) -> int:
        """Bytes of weights that a run needs at once."""
        ...

    @property
    def part(self) -> Fraction:
        """The share of the native frames that a window has."""
        ...

    def fingerprint(self) -> str:
        """sha256 of all that a clip depends on."""
        ...

    def styled(self, styles: Sequence[tuple[Style, float]]) -> Model:
        """The model under styles, for one run."""
        ...


@dataclass(frozen=True, eq=False)
class PublishedModel:
    """A published family's model; see `backbones/registry.py`.

    `loras` says which are merged in, `part` how much of the native frames a window has.
    """

    published: Published
    folder: Path
    loras: str = ""
    part: Fraction = Fraction(1)

    @property
    def name(self) -> str:
        """The class of its pipeline."""
        return self.published.name

    @property
    def backbone(self) -> Backbone:
        """Of clips."""
        return self.published.backbone

    @property
    def still(self) -> Backbone:
        """The same: a picture is a clip of one frame."""
        return self.published.backbone

    @property
    def dtype(self) -> torch.dtype:
        """Of the net's weights."""
        net: Any = self.published.parts[self.published.net]
        dtype: torch.dtype = net.dtype
        return dtype

    @property
    def weights(self) -> int:
        """Bytes of all its nets."""
        return sum(bytes_of(part) for part in self.published.parts.values())

    def fingerprint(self) -> str:
        """sha256 over the files that it was read from: a large model is not hashed twice, nor
        where its weights are in memory at the time.
        """
        names = [name for name, part in self.published.parts.items() if part is not None]
        paths = [path for name in names for path in files_read(self.folder / name)]
        sums = {str(path.relative_to(self.folder)): digest(path) for path in paths}
        return sha256(
            json.dumps([self.name, sums, self.loras], sort_keys=True).encode()
        ).hexdigest()

    def styled(self, styles: Sequence[tuple[Style, float]]) -> PublishedModel:
        """Itself. Raises ValueError for a style, which belongs to an inflated picture net."""
        if styles:
            raise ValueError(
                f"style: expected a model with a picture net of its own, got {self.name}, "
                "leave the style out"
            )
        return self


def bytes_of(part: object) -> int:
    """Bytes of a net's weights; 0 for what is no net."""
    if not isinstance(part, torch.nn.Module):
        return 0
    return sum(value.numel() * value.element_size() for value in part.parameters())
