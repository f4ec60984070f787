"""Controllable video generation that anyone can run, train, edit with and trust.

from openlumiere import Lumiere

clip = Lumiere.from_pretrained().generate("a rocket moves up in space")
clip.save("rocket.webm")
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openlumiere.engine.base import LumierePipeline
    from openlumiere.engine.lumiere import Lumiere
    from openlumiere.media import Clip
    from openlumiere.models.stunet import STUNet

__all__ = ["Clip", "Lumiere", "LumierePipeline", "STUNet"]

_LAZY = {
    "Clip": "openlumiere.media",
    "Lumiere": "openlumiere.engine.lumiere",
    "LumierePipeline": "openlumiere.engine.base",
    "STUNet": "openlumiere.models.stunet",
}


def __getattr__(name: str) -> Any:
    """What needs numpy or torch is imported when first used: the command answers at once."""
    if name not in _LAZY:
        raise AttributeError(f"module 'openlumiere' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
