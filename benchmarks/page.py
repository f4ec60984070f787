"""What the page costs over the command: clips made by `lumiere studio`, as a person sees it in a
browser, and the same clips made as `lumiere generate` does once its model is loaded, in turns.

    python benchmarks/page.py [--clips 5]

Prints, for each way, the median of seconds and of the processor's seconds (of the studio and its
worker; the browser's own are told apart), and the page's over the command's. Needs the extra
`studio`, playwright and Chromium.
"""

from __future__ import annotations

import multiprocessing
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psutil
import tyro

PROMPT = "a rocket moves up on a blue background"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
SEEN = "() => document.querySelector('#result video')?.readyState >= 2"
IS_NEW = "before => ![undefined, before].includes(document.querySelector('.status').dataset.job)"


@dataclass
class Took:
    """Seconds of the clock, and of the processor."""

    clock: float
    processor: float
    browser: float = 0.0


def main(clips: int = 5, steps: int = 20, frames: int = 80, model: str = "world-32") -> None:
    """Make clips both ways, in turns."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        mine = multiprocessing.get_context("spawn").Pipe()
        command = multiprocessing.get_context("spawn").Process(
            target=make, args=(mine[1], folder, model, steps, frames)
        )
        command.start()
        studio = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "openlumiere.apps.cli",
                "studio",
                "--port=0",
                "--folder",
                folder,
                "--model",
                model,
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert studio.stdout is not None
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        page.set_default_timeout(900_000)
        page.goto(studio.stdout.readline().strip())
        page.locator("#generate-prompt textarea").first.fill(PROMPT)
        for name, value in {"steps": steps, "frames": frames}.items():
            page.locator(f"#generate-{name} :is(input, textarea)").first.fill(str(value))
        found: dict[str, list[Took]] = {"page": [], "command": []}
        for seed in range(clips + 1):  # the first of each warms up
            found["page"].append(on_page(page, seed, studio.pid))
            mine[0].send(seed)
            found["command"].append(mine[0].recv())
        mine[0].send(None)
        command.join()
        browser.close()
        studio.terminate()
        studio.wait()
    show({way: all_[1:] for way, all_ in found.items()})


def make(pipe: Any, folder: str, model: str, steps: int, frames: int) -> None:
    """Clips as the command makes them, in a process of its own: a seed comes, seconds go."""
    from openlumiere.apps.cli import loading, make
    from openlumiere.apps.cli.arguments import parse
    from openlumiere.apps.cli.console import progress
    from openlumiere.apps.cli.forms import form_of

    settings = loading.settings_of(None, None)
    lumiere = loading.load(model, "cpu", "auto", settings)
    while (seed := pipe.recv()) is not None:
        output = f"{folder}/command-{seed}.mp4"
        words = [PROMPT, "--steps", str(steps), "--frames", str(frames), "--seed", str(seed)]
        began, before = time.perf_counter(), seconds_of([psutil.Process()])
        form: Any = parse(form_of("generate"), [*words, "-o", output], "generate")
        task = loading.open_for(make.task_of("generate", form), form)
        with progress("generate") as bar:
            make.make_one(lumiere, task, output, form, bar)
        spent = seconds_of([psutil.Process()]) - before
        pipe.send(Took(time.perf_counter() - began, spent))


def on_page(page: Any, seed: int, studio: int) -> Took:
    """A clip from the click until the browser has its first frame."""
    page.locator("#generate-seed :is(input, textarea)").first.fill(str(seed))
    ours, theirs = processes(studio)
    before = seconds_of(ours), seconds_of(theirs)
    job = page.evaluate("() => document.querySelector('.status').dataset.job")
    began = time.perf_counter()
    page.locator("#make-generate").click()
    page.wait_for_function(IS_NEW, arg=job)
    page.locator(".status.done").wait_for()
    page.wait_for_function(SEEN)
    clock = time.perf_counter() - began
    return Took(clock, seconds_of(ours) - before[0], seconds_of(theirs) - before[1])


def processes(studio: int) -> tuple[list[psutil.Process], list[psutil.Process]]:
    """Of the studio and its worker, and of the browser."""
    ours = psutil.Process(studio)
    here = psutil.Process().children(recursive=True)
    return [ours, *ours.children()], [each for each in here if "chrom" in each.name()]


def seconds_of(all_: Iterable[psutil.Process]) -> float:
    """What processes and the children that they waited for have computed."""
    return sum(sum(each.cpu_times()[:4]) for each in all_ if each.is_running())


def show(found: dict[str, list[Took]]) -> None:
    """A line a way, and the ratios."""
    clock = {way: [each.clock for each in all_] for way, all_ in found.items()}
    processor = {way: [each.processor for each in all_] for way, all_ in found.items()}
    for way in found:
        print(
            f"{way}: {statistics.median(clock[way]):.2f} s, of the processor "
            f"{statistics.median(processor[way]):.2f} s"
        )
    browser = statistics.median(each.browser for each in found["page"])
    print(f"the browser itself: {browser:.2f} s of the processor")
    for name, of in (("clock", clock), ("processor", processor)):
        ratios = [page / command for page, command in zip(*of.values(), strict=True)]
        print(
            f"page over command, {name}: {statistics.median(ratios):.3f} "
            f"({min(ratios):.3f} to {max(ratios):.3f})"
        )


if __name__ == "__main__":
    tyro.cli(main)
