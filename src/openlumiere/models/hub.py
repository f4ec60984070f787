"""From what a person names to a folder on this machine: a folder, or a model of the hub."""

from __future__ import annotations

import re
from pathlib import Path

from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from openlumiere.models.folder import INDEX, SUFFIXES, UPSCALER, ModelError, read_json
from openlumiere.tasks.base import nearest

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
FILES = [
    *(f"*{suffix}" for suffix in SUFFIXES if suffix),
    "LICENSE",
]  # what a model folder may hold; pickles stay where they are


PACKAGE = Path(__file__).parents[1]
BUNDLED = {"toys": PACKAGE / "weights_toys", "world-32": PACKAGE / "weights"}
"""Models of this package, by name."""
DEFAULT = BUNDLED["toys"]
"""The one that is taken unasked."""
WORLD_32 = BUNDLED["world-32"]
"""The model of pixels, with the super-resolution net."""


def named_files(index: Path) -> list[str]:
    """Patterns of the files that a model's index names, component by component: some models keep
    many other weights beside.
    """
    names = [name for name, entry in read_json(index).items() if isinstance(entry, list)]
    inside = [f"{name}/{pattern}" for name in names for pattern in FILES]
    return [*(f"*{suffix}" for suffix in (".json", ".md")), "LICENSE", *inside, f"{UPSCALER}/*"]


def locate(model: str | Path) -> Path:
    """The folder of that name, else the bundled model, else the hub's model `owner/name`, fetched
    once and then read from the hub's cache on this machine.

    Raises ModelError where it is neither, or can't be fetched.
    """
    folder = Path(model)
    if not folder.exists() and str(model) in BUNDLED:
        return BUNDLED[str(model)]
    if folder.exists():
        return folder
    if not HUB_ID.fullmatch(str(model)):
        raise ModelError(
            f"a folder, owner/name on the hub, or {' or '.join(BUNDLED)}",
            f"{str(model)!r}, which is none of these",
            nearest(str(model), BUNDLED, "check the path"),
        )
    try:
        index = Path(hf_hub_download(str(model), INDEX))
        return Path(snapshot_download(str(model), allow_patterns=named_files(index)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise ModelError(
            "a folder or a model of the hub",
            f"{model} ({type(error).__name__})",
            "check its name and the network",
        ) from None
