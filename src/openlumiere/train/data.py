"""What a batch is made of: clips and captions of a source, token states of the captions."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from openlumiere.media.write import write_whole
from openlumiere.models.text import TextEncoder, TextStates

LAST_FRAME = 79  # of a native clip
CAPTIONS = 32_768  # whose states are kept, in half precision: 16 KB for the mean 21 tokens
TEXTS = "texts.safetensors"


@runtime_checkable
class Drawn(Protocol):
    """What a source answers: `Sample`, or anything that has its two fields."""

    @property
    def pixels(self) -> Float[Tensor, "b 3 f h w"]:
        """In [-1, 1]."""

    @property
    def captions(self) -> list[str]:
        """One a clip."""


class Source(Protocol):
    """Where samples come from: a world, or somebody's own clips (`data/ingest/source.py`)."""

    def draw(
        self, generator: torch.Generator, count: int, frame_times: Float[Tensor, "*b f"] | None
    ) -> Drawn:
        """`count` clips at those moments in native frames (of all, or of each), or for None
        pictures, of one frame. What is drawn is a function of the generator alone.
        """


@runtime_checkable
class Ordered(Protocol):
    """A source that runs through its samples in an order of its own."""

    def move_to(self, position: int) -> None:
        """The next sample is the one that a run draws after `position` others."""


def move(source: Source, position: int) -> None:
    """Bring a source to where a run is, if it has an order."""
    if isinstance(source, Ordered):
        source.move_to(position)


def padded(
    rows: Sequence[Float[Tensor, "_ d"]],
) -> tuple[Float[Tensor, "b n d"], Bool[Tensor, "b n"]]:
    """Token states of one length, and which of them are real."""
    states = torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
    lengths = torch.tensor([len(row) for row in rows], device=states.device)
    return states, torch.arange(states.shape[1], device=states.device)[None] < lengths[:, None]


class CaptionStates:
    """Token states of captions, each encoded when it is first met; those met longest ago are
    forgotten.

    Encoding takes about 50 ms a caption on a CPU core, so `keep` writes them down for the next
    start. States are rounded to half precision at once, and on a CPU the encoder takes prompts one
    at a time: what is kept changes no bit.
    """

    def __init__(
        self, encoder: TextEncoder, device: torch.device | str = "cpu", capacity: int = CAPTIONS
    ):
        self.encoder = encoder
        self.device = device
        self.capacity = capacity
        self.known: OrderedDict[str, Float[Tensor, "n d"]] = OrderedDict()
        self.grown = False  # since `open` or `keep`

    def draw(
        self, captions: list[str], dropout: float, generator: torch.Generator
    ) -> tuple[Float[Tensor, "b n d"], Bool[Tensor, "b n"]]:
        """States and mask; with probability `dropout` a caption becomes the empty prompt."""
        dropped = torch.rand(len(captions), generator=generator) < dropout
        rows = self.states(["" if drop else caption for caption, drop in zip(captions, dropped)])
        return padded(rows)

    def states(self, captions: list[str]) -> list[Float[Tensor, "n d"]]:
        """Of each caption, without padding."""
        missing = [caption for caption in dict.fromkeys(captions) if caption not in self.known]
        if missing:
            encoded = self._encode(missing)
            self.grown = True
            self.known |= {
                caption: states[mask].half().to(self.device)
                for caption, states, mask in zip(missing, encoded.states, encoded.mask)
            }
        for caption in captions:
            self.known.move_to_end(caption)
        rows = [self.known[caption].float() for caption in captions]
        while len(self.known) > self.capacity:
            self.known.popitem(last=False)
        return rows

    def _encode(self, captions: list[str]) -> TextStates:
        """One at a time on a CPU, where runs are exact; together on a GPU, where time is dearer."""
        if torch.device(self.device).type == "cpu":
            return self.encoder.encode(captions)
        return self.encoder.encode_together(captions, self.device)  # type: ignore[attr-defined]

    def keep(self, file: Path) -> None:
        """Write what is known, where there is something new. Raises OSError."""
        if not self.grown:
            return
        rows = [row.cpu() for row in self.known.values()]
        lengths = torch.tensor([len(row) for row in rows])
        tensors = {"states": torch.cat(rows), "lengths": lengths}
        about = {"captions": json.dumps(list(self.known))}
        write_whole(file, lambda made: save_file(tensors, made, metadata=about))
        self.grown = False

    def open(self, file: Path) -> None:
        """Know what `keep` wrote; a file that is missing or from elsewhere is passed over: it saves
        time, no more.
        """
        try:
            with safe_open(file, framework="pt") as opened:
                captions = json.loads(opened.metadata()["captions"])
            kept = load_file(file, device=str(self.device))
            self.known |= dict(
                zip(captions, kept["states"].split(kept["lengths"].tolist()), strict=True)
            )
        except (OSError, ValueError, KeyError, TypeError, SafetensorError):
            return
