"""The page as a person uses it: Debian's Chromium, one studio and one browser for all tests."""

import base64
import io
import re
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from openlumiere.apps.queue import Queue
from openlumiere.media import Clip

pytestmark = pytest.mark.xdist_group("studio")  # one process, one studio

SMALL = {"steps": "1", "frames": "4", "size": "0"}
MARKED = 12  # levels of 256: the most that the mark in the pixels moves one


def fill(page, kind, **values):
    for name, value in values.items():
        page.locator(f"#{kind}-{name} :is(input, textarea)").first.fill(value)


def make(page, kind, studio):
    before = {job.id for job in Queue(studio.folder).list()}
    page.locator(f"#make-{kind}").click()
    page.wait_for_function(
        "before => !before.includes(document.querySelector('.status').dataset.job ?? before[0])",
        arg=["", *before],
    )


def ends(page, state="Done"):
    page.locator(f".status.{state.lower()}").wait_for()


def wait_for_picture(canvas):
    """The editor shows the frame; what is painted before is lost."""
    for _ in range(100):
        if np.array(Image.open(io.BytesIO(canvas.screenshot())).convert("L")).std() > 10:
            return
        canvas.page.wait_for_timeout(200)
    raise AssertionError("the editor shows no frame")


def last(studio):
    return max(Queue(studio.folder).list(), key=lambda job: job.created)


@pytest.mark.long
def test_a_prompt_becomes_a_clip(visitor, studio):
    page = visitor()
    fill(
        page, "generate", prompt="a rocket stays still on a blue background", frames="4", steps="0"
    )
    page.locator("#make-generate").click()
    alert = page.get_by_role("tabpanel").get_by_role("alert")
    alert.wait_for()
    assert re.match("steps: expected .*, got 0, ", alert.inner_text())
    fill(page, "generate", **SMALL)
    make(page, "generate", studio)
    ends(page)
    video = page.locator("#result video")
    page.wait_for_function("() => document.querySelector('#result video').videoWidth > 0")
    job = last(studio)
    assert video.get_attribute("src") == f"/jobs/{job.id}/result"
    assert not alert.is_visible()
    assert len(Clip.load(job.results[0])) == 4
    page.wait_for_function("() => document.querySelector('#gallery img')?.naturalWidth > 0")
    page.get_by_text("The same as a command, and in Python").click()
    page.locator("text=lumiere generate").first.wait_for()


def test_a_painted_region_is_new_and_all_else_is_kept(visitor, studio, tmp_path):
    frames = np.random.default_rng(0).integers(60, 190, (1, 8, 8, 3), np.uint8)
    frames = frames.repeat(4, 0).repeat(16, 1).repeat(16, 2)
    Clip(frames, fps=16).save(tmp_path / "given.webp", lossless=True)
    page = visitor()
    page.get_by_role("tab", name="Inpaint").click()
    page.locator("#inpaint-clip input[type=file]").set_input_files(tmp_path / "given.webp")
    canvas = page.locator("#inpaint-region canvas").first
    canvas.wait_for()
    page.get_by_text("A mask painted on one frame counts for all.").wait_for()
    canvas.scroll_into_view_if_needed()
    wait_for_picture(canvas)
    box = canvas.bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 60, middle[1], steps=4)
    page.mouse.up()
    page.get_by_role("tab", name="Mend").click()
    page.get_by_role("tab", name="Inpaint").click()
    fill(page, "inpaint", prompt="a red ball", steps="1")
    page.get_by_text("How results are written").click()
    page.get_by_label("Lossless").check()
    make(page, "inpaint", studio)
    ends(page)
    job = last(studio)
    assert job.task.kind == "inpaint"
    region = job.task.media()["region"].path
    new = Clip.load(region).frames[0, ..., 0] > 127
    assert 0.001 < new.mean() < 0.3 and new[64, 64] and not new[:32].any()
    made = Clip.load(job.results[0]).frames.astype(int)
    moved = abs(made - frames)
    assert moved[:, ~new].max() <= MARKED < moved[:, new].max()


@pytest.mark.long
def test_a_job_is_found_again_and_cancelled(visitor, studio):
    page = visitor()
    fill(page, "generate", prompt="a rocket", frames="80", steps="900")
    make(page, "generate", studio)
    ends(page, "Running")
    page.reload()
    ends(page, "Running")
    other = visitor(width=390, language="it")
    other.locator(".status.running").wait_for()
    assert "In corso" in other.locator(".status").inner_text()
    assert other.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("button", name="Cancel").click()
    ends(page, "Cancelled")
    ends(other, "Cancelled")
    assert last(studio).state == "cancelled"


QUICK = {"kind": "generate", "prompt": "a rocket", "steps": 1, "frames": 4, "size": 0}


@pytest.fixture
def made(studio):
    """A job that is done, made by the studio's worker: the one that a new page shows."""
    queue = Queue(studio.folder)
    job = queue.add(QUICK, suffix=".mp4")
    end = time.monotonic() + 120
    while not queue.get(job.id).ended:
        assert time.monotonic() < end
        time.sleep(0.05)
    return queue.get(job.id)


def saved(page, link, folder):
    """The file behind a link."""
    with page.expect_download() as download:
        link.click()
    download.value.save_as(folder / download.value.suggested_filename)
    return folder / download.value.suggested_filename


def drop(target, file):
    """A file dropped on a part of the page, from a folder of the desktop."""
    target.evaluate(
        """(target, [name, content]) => {
            const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([bytes], name));
            for (const kind of ["dragenter", "dragover", "drop"]) {
                const options = {bubbles: true, cancelable: true, dataTransfer};
                target.dispatchEvent(new DragEvent(kind, options));
            }
        }""",
        [file.name, base64.b64encode(file.read_bytes()).decode()],
    )


@pytest.mark.long
def test_other_seeds_are_a_grid(visitor, studio, made):
    page = visitor()
    ends(page)
    page.locator("#vary").click()
    page.wait_for_function("() => document.querySelectorAll('#varied img').length === 5")
    jobs = [job for job in Queue(studio.folder).list("done") if job.created >= made.created]
    assert sorted(job.task.sampling.seed for job in jobs) == [0, 1, 2, 3, 4]
    assert {Path(job.results[0]).suffix for job in jobs} == {".mp4"}
    page.locator("#varied").get_by_role("button").nth(1).click()
    page.wait_for_function(
        "name => document.querySelector('.status').dataset.job === name",
        arg=page.locator("#varied .caption-label").nth(1).inner_text().split(" ")[-1],
    )


@pytest.mark.long
def test_a_result_becomes_stickers_and_a_dropped_file_is_verified(visitor, made, tmp_path):
    page = visitor()
    ends(page)
    page.get_by_role("button", name="Stickers").click()
    page.get_by_label("Where the stickers are to be used.").click()
    page.get_by_role("option", name="telegram:").click()
    page.locator("#stick").click()
    pack = saved(page, page.locator("#pack a[download]").first, tmp_path)
    with zipfile.ZipFile(pack) as files:
        names = files.namelist()
        sticker = next(name for name in names if name.endswith(".webm"))
        assert len(files.read(sticker)) <= 256_000
    page.get_by_role("tab", name="Verify").click()
    drop(page.locator("#verify-file button").first, Path(made.results[0]))
    page.locator("#verdict .status").wait_for()
    told = page.locator("#verdict").inner_text()
    assert told.startswith("made by openlumiere") and "manifest trusted" in told, told


@pytest.mark.long
def test_a_mask_is_imported_inverted_and_exported(visitor, tmp_path):
    frames = np.random.default_rng(1).integers(60, 190, (2, 96, 128, 3), np.uint8)
    Clip(frames, fps=16).save(tmp_path / "given.webp", lossless=True)
    mask = np.zeros((96, 128, 3), np.uint8)
    mask[20:50, 30:90] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    page = visitor()
    page.get_by_role("tab", name="Inpaint").click()
    form = page.get_by_role("tabpanel").filter(has=page.locator("#inpaint-region"))
    page.locator("#inpaint-clip input[type=file]").set_input_files(tmp_path / "given.webp")
    form.get_by_text("A mask painted on one frame counts for all.").wait_for()
    with page.expect_file_chooser() as chooser:
        form.get_by_role("button", name="Import PNG").click()
    chooser.value.set_files(tmp_path / "mask.png")
    form.get_by_text("Painted at frame 0").wait_for()
    assert np.array_equal(exported(form, tmp_path), mask > 127)
    form.get_by_role("button", name="Invert").click()
    for _ in range(10):  # the editor takes a moment to show what it is given
        if np.array_equal(exported(form, tmp_path), mask <= 127):
            return
    raise AssertionError("what was exported is not the inverse")


def exported(form, folder):
    """The mask that is saved, bool [h, w, 3]."""
    form.get_by_role("button", name="Export PNG").click()
    link = form.locator("#inpaint-mask a[download]").first
    link.wait_for()
    form.page.wait_for_timeout(500)  # another file has another address, the same one has the same
    return np.array(Image.open(saved(form.page, link, folder)).convert("RGB")) > 127


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_tab_passes_axe(visitor, scheme):
    """WCAG 2, levels A and AA, as far as axe-core can tell."""
    pytest.importorskip("axe_playwright_python", reason="the package of axe-core is missing")
    from axe_playwright_python.sync_playwright import Axe

    page = visitor()
    page.emulate_media(color_scheme=scheme)
    page.reload()
    page.get_by_role("tab").first.wait_for()
    tabs = page.get_by_role("tab")
    found = {}
    for number in range(tabs.count()):
        tabs.nth(number).click()
        page.wait_for_timeout(300)  # colours change over a moment
        levels = {"runOnly": ["wcag2a", "wcag2aa"]}
        wrong = Axe().run(page, options=levels).response["violations"]
        found |= {tabs.nth(number).inner_text(): [each["id"] for each in wrong]} if wrong else {}
    assert tabs.count() > 10 and found == {}
