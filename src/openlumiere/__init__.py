"""Controllable video generation that anyone can run, train, edit with and trust.

from openlumiere import Lumiere Lumiere.from_pretrained().generate("a black cat moves right on a
green background", seed=7).save("cat.mp4")
"""

from openlumiere.media import Clip

__all__ = ["Clip", "Lumiere", "LumierePipeline", "STUNet"]

_LAZY = {
    "Lumiere": "openlumiere.engine.lumiere",
    "LumierePipeline": "openlumiere.engine.base",
    "STUNet": "openlumiere.models.stunet",
}


def __getattr__(name: str):
    """The names that need torch are imported when first used, so that the command answers at once."""
    if name not in _LAZY:
        raise AttributeError(f"module 'openlumiere' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
