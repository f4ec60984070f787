"""`lumiere studio`: a page on this machine, and the worker that makes what it asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, arg

from openlumiere.apps.cli.arguments import parse
from openlumiere.apps.cli.forms import Model

PORT = 7860


@dataclass(frozen=True, kw_only=True)
class Studio:
    """Open a page for every task at 127.0.0.1, for this machine alone, until Ctrl-C. Its jobs lie
    in the queue, so that they are there again when it is opened again.
    """

    port: Annotated[int, arg(help="0 is any that is free.")] = PORT
    folder: Annotated[
        Path | None,
        arg(metavar="DIR", help="The queue's folder instead of the one in your data folder."),
    ] = None
    browse: Annotated[bool, FlagCreatePairsOff, arg(help="Open the page in your browser.")] = False
    model: OmitArgPrefixes[Model] = field(default_factory=Model)


def main(words: list[str]) -> int:
    """Print the page's address and serve it."""
    options = parse(Studio, words, "studio")
    missing = [name for name in ("gradio", "cv2") if find_spec(name) is None]
    if missing:
        raise ValueError(
            f"studio: expected the extra studio, got an installation without {missing[0]}, "
            "run: pip install 'openlumiere[studio]'"
        )
    from openlumiere.apps.queue import Queue
    from openlumiere.apps.studio.server import serve

    serve(Queue(options.folder), options.model, options.port, options.browse)
    return 0
