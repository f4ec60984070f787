"""Ticks of the model's clock to clips: cut at scene changes, of the model's length, measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from scenedetect import ContentDetector, FrameTimecode

from openlumiere.data.ingest.config import IngestConfig
from openlumiere.data.ingest.reading import Framer, Reader, Tick, ticks


@dataclass
class Window:
    """Frames of one scene, gathered until they make a clip."""

    start: float = 0.0  # seconds from the file's first frame
    frames: list[np.ndarray] = field(default_factory=list)
    fresh: list[bool] = field(default_factory=list)

    def add(self, tick: Tick, picture: np.ndarray) -> None:
        """Append the picture of a tick."""
        if not self.frames:
            self.start = float(tick.time)
        self.frames.append(picture)
        self.fresh.append(tick.fresh)

    def stacked(self) -> np.ndarray:
        """uint8 [f, h, w, 3]."""
        return np.stack(self.frames)


def windows(reader: Reader, config: IngestConfig) -> Iterator[Window]:
    """Clips of `config.frames` frames, one after another from the start of each scene.

    A scene that is too short for one comes as it is; what is left at the end of a longer one is
    left out. Scenes change where PySceneDetect's `ContentDetector` says so of the frames at the
    model's rate and size, and where the clock starts anew.
    """
    detector = ContentDetector(threshold=config.cut, min_scene_len=0)
    window, whole = Window(), False
    picture, framer = None, None
    timed = ticks(reader, config.fps, lambda: reader.lasts, config.frames)
    for number, tick in enumerate(timed):
        framer = framer or Framer(config.side, config.fit, reader.shape)
        changed = tick.breaks
        if tick.fresh or picture is None:
            picture = framer(tick.frame)
            at = FrameTimecode(number, fps=float(config.fps))
            bgr = np.ascontiguousarray(picture[..., ::-1])
            changed = bool(detector.process_frame(at, bgr)) or changed
        if changed:
            if window.frames and not whole:
                yield window
            window, whole = Window(), False
        window.add(tick, picture)
        if len(window.frames) == config.frames:
            yield window
            window, whole = Window(), True
    if window.frames and not whole:
        yield window
