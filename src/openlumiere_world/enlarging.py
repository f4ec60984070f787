"""Frames of the world at 256 px, drawn once and kept in a file, for training super-resolution."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from tqdm import tqdm

from openlumiere.train.checkpoint import FolderLock
from openlumiere.train.pairs import SIDE, DrawnClips
from openlumiere_world.batch import CLIP
from openlumiere_world.captions import caption
from openlumiere_world.draw import render
from openlumiere_world.scene import plan
from openlumiere_world.scope import Scope
from openlumiere_world.subjects import World


def drawn_clips(world: World, folder: Path, count: int, frames: int, scope: Scope) -> DrawnClips:
    """`count` pictures, or clips of `frames` successive frames, drawn into `folder` unless they are
    there; 0.2 MB a frame.

    Raises ValueError where another process draws into that folder.
    """
    file = folder / f"clips-{frames}.npy"
    captions = folder / f"captions-{frames}.json"
    lock = FolderLock(folder)
    lock.acquire()
    try:
        if not captions.is_file() or len(json.loads(captions.read_text())) < count:
            draw_into(world, file, captions, count, frames, scope)
    finally:
        lock.release()
    pixels = np.load(file, mmap_mode="r")[:count]
    return DrawnClips(pixels, json.loads(captions.read_text())[:count])


def draw_into(
    world: World, file: Path, captions: Path, count: int, frames: int, scope: Scope
) -> None:
    """Pictures, or frames from the middle of whole clips; the captions, last, say that all is
    there.
    """
    captions.unlink(missing_ok=True)
    pixels = np.lib.format.open_memmap(file, "w+", np.uint8, (count, frames, SIDE, SIDE, 3))
    said = []
    for seed in tqdm(range(count), desc="draw", disable=None):
        facts = plan(world, seed, "train", 1 if frames == 1 else CLIP, scope)
        first = (facts.frames - frames) // 2
        pixels[seed] = render(world, facts, SIDE, range(first, first + frames))
        said.append(caption(world, facts, scope))
    pixels.flush()
    captions.write_text(json.dumps(said))
