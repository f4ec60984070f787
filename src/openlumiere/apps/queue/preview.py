"""Pictures of the clean estimate while a clip is sampled: marked and signed like all that a model
made, and looked at before anybody sees them.
"""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from openlumiere.engine.finish import ReportProvenance
from openlumiere.media import Clip
from openlumiere.models.codec import to_frames
from openlumiere.safety.frames import check_frames

if TYPE_CHECKING:
    from openlumiere.diffusion.sampler import Step
    from openlumiere.engine.lumiere import Lumiere

FRAMES = 16  # of a preview, at most
FIRST = 2.0  # seconds before the first one: short jobs go without
SHARE = 0.03  # of the time that previews may take
RATE = Fraction(8)  # frames a second


class Previews:
    """Writes one file again and again, so seldom that it takes 3 % of the time at most."""

    def __init__(self, lumiere: Lumiere, file: Path):
        self.lumiere = lumiere
        self.file = file
        self.next = time.monotonic() + FIRST

    def due(self) -> bool:
        """Whether it is time for another."""
        return time.monotonic() >= self.next

    def write(self, step: Step) -> str:
        """The path of an animated picture of the clean estimate; empty where the user's policy does
        not take it.
        """
        began = time.monotonic()
        try:
            clip = Clip(self.frames(step), fps=RATE, origin=self.origin(step))
            check_frames("preview", clip, self.lumiere.settings.policy)
            self.file.parent.mkdir(exist_ok=True)
            clip.save(self.file)
        except ValueError:
            return ""
        finally:
            took = time.monotonic() - began
            self.next = began + took / SHARE
        return str(self.file)

    def frames(self, step: Step) -> np.ndarray:
        """Frames [f, h, w, c] spread evenly over the first clip of the batch."""
        codec = self.lumiere.base.backbone.codec
        clean = step.clean[:1]
        count = clean.shape[2]
        if codec.time_factor > 1 or count <= FRAMES:
            return to_frames(codec.decode(clean))[0]
        chosen = np.linspace(0, count - 1, FRAMES).round().astype(int)
        return to_frames(codec.decode(clean[:, :, chosen]))[0]

    def origin(self, step: Step) -> ReportProvenance:
        """Who made it, and that it is not done."""
        return ReportProvenance(
            command=f"preview of step {step.index + 1} of {step.total}",
            model=self.lumiere.fingerprint,
            settings=self.lumiere.settings,
        )
