"""A studio of its own for each test that needs one, and Debian's Chromium to look at it."""

import os
import shutil
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
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
        self.process = subprocess.Popen(
            [*words, "--folder", str(folder)],
            stdout=subprocess.PIPE,
            stderr=self.log.open("w"),
            text=True,
            env={**os.environ, "HOME": str(folder.parent), "XDG_DATA_HOME": str(folder.parent)},
        )
        self.address = self.process.stdout.readline().strip()
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def close(self):
        self.process.terminate()
        self.process.wait(20)


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
        context.set_default_timeout(40_000)
        contexts.append(context)
        page = context.new_page()
        page.goto(studio.address, wait_until="commit")
        page.get_by_role("tab").first.wait_for()
        return page

    yield open_
    for context in contexts:
        context.close()
