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
FIRST = 1.0  # seconds before the first one, so that it is seen within two: short jobs go without
SHARE = 0.03  # of the time that previews may take
RATE = Fraction(8)  # frames a second


class Previews:
    """Pictures of one clip of a batch, so seldom that they take 3 % of the time at most.

    `write` puts them into `file`, again and again.
    """

    def __init__(self, lumiere: Lumiere, number: int = 0, file: Path | None = None):
        self.lumiere = lumiere
        self.number = number
        self.file = file
        self.next = time.monotonic() + FIRST

    def picture(self, step: Step) -> Clip | None:
        """An animated picture of the clean estimate, marked and signed once it is saved; None where
        it is not time for another, and where the user's policy does not take it.
        """
        began = time.monotonic()
        if began < self.next:
            return None
        try:
            clip = Clip(self.frames(step), fps=RATE, origin=self.origin(step))
            check_frames("preview", clip, self.lumiere.settings.policy)
            return clip
        except ValueError:
            return None
        finally:
            self._wait(began)

    def write(self, step: Step) -> str:
        """The path of the picture; empty where there is no new one."""
        began = time.monotonic()
        clip = self.picture(step)
        if clip is None or self.file is None:
            return ""
        try:
            self.file.parent.mkdir(exist_ok=True)
            clip.save(self.file)
        except ValueError:
            return ""
        finally:
            self._wait(began)
        return str(self.file)

    def _wait(self, began: float) -> None:
        """As long as the share of the time says."""
        now = time.monotonic()
        self.next = began + (now - began) / SHARE

    def frames(self, step: Step) -> np.ndarray:
        """Frames [f, h, w, c] spread evenly over the clip."""
        codec = self.lumiere.base.backbone.codec
        clean = step.clean[self.number : self.number + 1]
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
