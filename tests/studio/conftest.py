"""A studio of its own for each test that needs one, and Debian's Chromium to look at it."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--use-angle=swiftshader",  # the editor's canvas
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def missing():
    """What keeps a browser from looking at the page."""
    packages = [name for name in ("gradio", "cv2", "playwright") if find_spec(name) is None]
    return packages if CHROMIUM else [*packages, "chromium"]


class Studio:
    """`lumiere studio` as a process."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.log = folder.with_suffix(".log")
        words = [sys.executable, "-m", "openlumiere.apps.cli", "studio", "--port", "0"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*words, "--folder", str(folder)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "HOME": str(folder.parent), "XDG_DATA_HOME": str(folder.parent)},
            )
        self.address = self.process.stdout.readline().strip()

    def close(self):
        self.process.terminate()
        self.process.communicate(timeout=30)


@pytest.fixture(scope="session")
def studio(tmp_path_factory):
    if missing():
        pytest.skip(f"without {', '.join(missing())}")
    found = Studio(tmp_path_factory.mktemp("studio") / "queue")
    assert found.address, found.log.read_text()
    yield found
    found.close()


@pytest.fixture(scope="session")
def chromium(studio):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def visitor(chromium, studio):
    """Opens a page in a browser of its own, with nothing stored."""
    contexts = []

    def open_(width=1280, language="en"):
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, locale=language, reduced_motion="reduce"
        )
        context.set_default_timeout(90_000)
        contexts.append(context)
        page = context.new_page()
        page.goto(studio.address, wait_until="commit")
        page.get_by_role("tab").first.wait_for()
        return page

    yield open_
    for context in contexts:
        context.close()
