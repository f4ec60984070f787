"""From a clip back to its noise, and what `lumiere verify --deep` makes of it."""

import json
from fractions import Fraction

import numpy as np
import pytest
import torch

from openlumiere.apps.cli import main
from openlumiere.diffusion.sampler import draw_noise
from openlumiere.engine import inversion
from openlumiere.engine.inversion import noise_of
from openlumiere.media import Clip
from openlumiere.provenance.noise import marked_noise
from openlumiere.provenance.payload import Payload

PAYLOAD = Payload(model=0xBEEF, clip=0x12345678)


@pytest.fixture(scope="module")
def pipeline(build_tiny):
    return build_tiny()


def test_latents_stand_in_for_the_seeds_noise(pipeline):
    drawn = draw_noise(pipeline.coded_shape(4), [3])
    options = {"num_frames": 4, "num_inference_steps": 2}
    assert np.array_equal(
        pipeline("a dog", latents=drawn, **options).frames,
        pipeline("a dog", seeds=3, **options).frames,
    )
    assert not np.array_equal(
        pipeline("a dog", latents=-drawn, **options).frames,
        pipeline("a dog", seeds=3, **options).frames,
    )


@pytest.mark.parametrize(
    ("count", "side", "fps", "frames"), [(4, 16, 16, 4), (5, 40, 48, 3), (90, 16, 16, 90)]
)
def test_any_clip_is_brought_to_the_nets_size_and_rate(pipeline, count, side, fps, frames):
    """Faster clips are thinned, longer ones than the net's five seconds go through in windows."""
    clip = Clip(
        np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8), Fraction(fps)
    )
    noise = noise_of(pipeline, clip, steps=2)
    assert noise.shape == pipeline.coded_shape(frames) and noise.isfinite().all()


def test_the_noise_that_a_net_keeps_comes_back(pipeline, monkeypatch):
    """A net that says the clip is what it sees, less what noise there is, keeps its noise: the way
    back finds it.
    """
    levels = pipeline.scheduler.alphas_cumprod.double()

    def exact(net):
        return lambda noisy, timestep, condition: (noisy * levels[int(timestep)] ** 0.5).to(
            noisy.dtype
        )

    monkeypatch.setattr(inversion, "NetDenoiser", exact)
    frames = np.random.default_rng(0).integers(60, 200, (4, 16, 16, 3), np.uint8)
    noise = noise_of(pipeline, Clip(frames), steps=20)
    clean = torch.from_numpy(frames).permute(3, 0, 1, 2)[None] / 127.5 - 1
    assert (
        torch.corrcoef(torch.stack([noise.flatten(), pipeline.codec.encode(clean)[0].flatten()]))[
            0, 1
        ]
        > 0.99
    )


@pytest.fixture
def file(tmp_path):
    """A clip without manifest and without a mark in its pixels."""
    Clip(np.random.default_rng(1).integers(0, 256, (8, 16, 16, 3), np.uint8)).save(
        tmp_path / "clip.webp", lossless=True
    )
    return tmp_path / "clip.webp"


def test_deep_finds_nothing_in_what_was_not_marked(file, tiny_model, capsys):
    assert main(["verify", str(file), "--deep", "--model", str(tiny_model)]) == 1
    assert [line.partition(",")[0] for line in capsys.readouterr().out.splitlines()[1:]] == [
        "manifest  none",
        "mark      none",
        "noise     none",
    ]


def test_deep_speaks_where_the_pixels_say_nothing(file, tiny_model, capsys, monkeypatch):
    found = marked_noise(draw_noise((48, 8, 4, 4), [0])[0], PAYLOAD)
    monkeypatch.setattr(inversion, "noise_of", lambda base, clip: found)
    assert main(["verify", str(file), "--deep", "--json", "--model", str(tiny_model)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"].startswith(
        f"the noise that it was made from is marked with our key ({PAYLOAD}); origin unproven"
    )
    assert told["noise"]["found"] and not told["mark"]["found"]


def test_without_deep_no_model_is_asked_for(file, capsys):
    assert main(["verify", str(file), "--model", "no such folder"]) == 1
    assert main(["verify", str(file), "--deep", "--model", "no such folder"]) == 2
