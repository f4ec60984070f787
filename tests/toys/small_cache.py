"""A tiny cache of the toy world: a toy that walks, a sticker that beats, an apple."""

import json
from dataclasses import asdict

import numpy as np

from openlumiere_world.toys.cache import Cache
from openlumiere_world.toys.pack import SUBJECTS, Writer
from openlumiere_world.toys.scene import SIDE
from openlumiere_world.toys.subjects import LANGUAGES, Subject


def disc(colour, radius=30, middle=(64, 64)):
    """A premultiplied disc on nothing."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    alpha = np.clip(radius - np.hypot(x - middle[0], y - middle[1]), 0, 1)[..., None]
    return (np.concatenate([alpha * np.array(colour) / 255, alpha], axis=2) * 255).astype(np.uint8)


def build_cache(folder):
    verbs = {language: {"en": "walks"}.get(language, f"walks-{language}") for language in LANGUAGES}
    facts = {"foot_speed": 1.0, "pixels_a_unit": 20.0}
    toys = Writer(folder, "toys")
    wheel = np.stack([disc((200, 90, 30), middle=(60 + 4 * turn, 64)) for turn in range(3)])
    toys.add(wheel, subject="fox", style="toy", seconds=0.5, motion=verbs, view="side", facts=facts)
    toys.add(
        wheel,
        subject="fox",
        style="toy",
        seconds=0.5,
        motion={name: "nods" for name in LANGUAGES},
        view="front",
        facts=facts,
    )
    toys.close()
    stickers = Writer(folder, "stickers-3d")
    beat = np.stack([disc((220, 40, 60), radius) for radius in (20, 26, 30, 26)])
    stickers.add(
        beat, subject="1f496", style="3d", seconds=0.25, motion={"en": "beats", "it": "batte"}
    )
    stickers.close()
    stills = Writer(folder, "stills")
    stills.add(disc((230, 30, 30))[None], subject="1f32e", style="flat", seconds=0.0)
    stills.add(np.zeros((1, SIDE, SIDE, 4), np.uint8), subject="1f32e", style="noto", seconds=0.0)
    stills.close()
    names = {"fox": "toy", "1f496": "heart", "1f32e": "food"}
    told = {
        key: asdict(
            Subject(key=key, names={name: f"{key}-{name}" for name in LANGUAGES}, kind=kind)
        )
        for key, kind in names.items()
    }
    (folder / SUBJECTS).write_text(json.dumps(told))
    return Cache(folder)
