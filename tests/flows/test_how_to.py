"""Every page of docs/how-to is tried as it is written, by a tiny model: its commands one after
another in an empty folder, then its Python.
"""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from openlumiere import Clip, Lumiere
from openlumiere.apps.cli import main
from openlumiere.media import save_image

PAGES = sorted((Path(__file__).parents[2] / "docs" / "how-to").glob("*.md"))
MODEL = "generate image animate inpaint outpaint cinemagraph restyle mend".split()  # noqa: SIM905


def blocks(page, kind):
    """The code of a kind on a page."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", page.read_text("utf-8"), flags=re.M | re.S)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), np.uint8)
    for name in ("a.png", "b.png"):
        save_image(noise[0], tmp_path / name)
    for name in ("old.mp4", "rocket.mp4"):
        Clip(noise).save(tmp_path / name)
    return tmp_path


def test_every_page_has_a_command_and_python():
    assert len(PAGES) > 10
    assert all(blocks(page, "") and blocks(page, "python") for page in PAGES)


@pytest.mark.long
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_works_as_it_is_written(page, here, tiny, tiny_model, monkeypatch):
    for line in "".join(blocks(page, "")).splitlines():
        verb, *words = shlex.split(line)[1:]
        model = ["--model", str(tiny_model), "--steps", "1"] if verb in MODEL else []
        model = ["--steps", "2", "--model", str(tiny_model)] if verb == "learn-style" else model
        code = main([verb, *words, *model])
        assert code == 0 or (verb == "verify" and code in (0, 1, 4, 5))
    monkeypatch.setattr(Lumiere, "from_pretrained", classmethod(lambda cls, *_, **__: tiny))
    for code in blocks(page, "python"):
        exec(compile(code, page.name, "exec"), {})
