"""What a batch is made of: clips and captions from the sticker world, token states of the captions."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from openlumiere.models.text import TextEncoder, TextStates
from openlumiere_world import slice as first_slice

LAST_FRAME = 79  # of a native clip
CAPTIONS = 32_768  # whose states are kept, in half precision: 16 KB for the mean 21 tokens
TEXTS = "texts.safetensors"


class Sample(NamedTuple):
    """Clips in [-1, 1] and what each shows."""

    pixels: Float[Tensor, "b 3 f h w"]
    captions: list[str]


class Source(Protocol):
    """Where samples come from, by the generator alone: `data.world.batch.Batches`, or the first
    slice.
    """

    def draw(
        self, generator: torch.Generator, count: int, frame_times: Float[Tensor, "*b f"] | None
    ):
        """What has `pixels` and `captions` like `Sample`: clips at those moments in native frames
        (of all, or of each), or for None pictures, of one frame.
        """
        ...


class SliceSource:
    """The first slice of the world: eight subjects, six plain backgrounds, four motions."""

    def __init__(
        self, sprites: Float[Tensor, "s 4 h w"], side: int, device: torch.device | str = "cpu"
    ):
        self.sprites, self.side, self.device = sprites, side, device

    def draw(
        self, generator: torch.Generator, count: int, frame_times: Float[Tensor, "*b f"] | None
    ) -> Sample:
        still = frame_times is None
        scenes = [first_slice.draw_facts(generator, still=still) for _ in range(count)]
        progress = (
            torch.rand(count, 1, generator=generator)
            if still
            else (frame_times / LAST_FRAME).expand(count, -1)
        )
        pixels = first_slice.render(self.sprites, scenes, progress, self.side).to(self.device)
        return Sample(pixels, [first_slice.caption(scene) for scene in scenes])


class CaptionStates:
    """Token states of captions, each encoded when it is first met; those met longest ago are
    forgotten.

    Encoding takes about 50 ms a caption on a CPU core, so `keep` writes them down for the next
    start. States are rounded to half precision at once, and on a CPU the encoder takes prompts one
    at a time: what is kept changes no bit.
    """

    def __init__(
        self, encoder: TextEncoder, device: torch.device | str = "cpu", room: int = CAPTIONS
    ):
        self.encoder, self.device, self.room = encoder, device, room
        self.known: OrderedDict[str, Float[Tensor, "n d"]] = OrderedDict()
        self.grown = False  # since `open` or `keep`

    def draw(
        self, captions: list[str], dropout: float, generator: torch.Generator
    ) -> tuple[Float[Tensor, "b n d"], Bool[Tensor, "b n"]]:
        """States and mask; each caption is replaced by the empty prompt with probability `dropout`."""
        dropped = torch.rand(len(captions), generator=generator) < dropout
        rows = self.states(["" if drop else caption for caption, drop in zip(captions, dropped)])
        lengths = torch.tensor([len(row) for row in rows], device=self.device)
        states = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return states, torch.arange(states.shape[1], device=self.device)[None] < lengths[:, None]

    def states(self, captions: list[str]) -> list[Float[Tensor, "n d"]]:
        missing = [caption for caption in dict.fromkeys(captions) if caption not in self.known]
        if missing:
            encoded, self.grown = self._encode(missing), True
            self.known |= {
                caption: states[mask].half().to(self.device)
                for caption, states, mask in zip(missing, encoded.states, encoded.mask)
            }
        for caption in captions:
            self.known.move_to_end(caption)
        rows = [self.known[caption].float() for caption in captions]
        while len(self.known) > self.room:
            self.known.popitem(last=False)
        return rows

    def _encode(self, captions: list[str]) -> TextStates:
        """One at a time on a CPU, where runs are exact; together on a GPU, where time is dearer."""
        if torch.device(self.device).type == "cpu":
            return self.encoder.encode(captions)
        return self.encoder.encode_together(captions, self.device)

    def keep(self, file: Path) -> None:
        """Write what is known beside and rename it, where there is something new."""
        if not self.grown:
            return
        beside = file.with_name(f".{file.name}.writing")
        rows = [row.cpu() for row in self.known.values()]
        tensors = {"states": torch.cat(rows), "lengths": torch.tensor([len(row) for row in rows])}
        save_file(tensors, beside, metadata={"captions": json.dumps(list(self.known))})
        os.replace(beside, file)
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
