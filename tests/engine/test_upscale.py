import json

import numpy as np
import pytest
import torch
from PIL import Image

from openlumiere.diffusion.multidiffusion import Windows
from openlumiere.engine.cascade import LowResolution, LumiereUpscalePipeline
from openlumiere.models.folder import ModelError

# diffusers 0.42 turns tensors to numpy in a way that numpy 2 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

WHOLE = Windows()


def clip(frames=6, height=8, width=10, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)


def test_a_net_that_says_nothing_leaves_the_bicubic_enlargement(build_tiny_upscaler):
    upscaler = build_tiny_upscaler()
    for parameter in upscaler.stunet.unet2d.conv_out.parameters():
        torch.nn.init.zeros_(parameter)
    frames = clip() // 4 + 96  # Pillow clips between its two passes
    enlarged = upscaler(frames, noise=0.0, windows=WHOLE)
    expected = np.stack(
        [
            np.asarray(Image.fromarray(frame).resize((40, 32), Image.Resampling.BICUBIC))
            for frame in frames
        ]
    )
    assert enlarged.shape == (6, 32, 40, 3)
    assert np.abs(enlarged.astype(int) - expected).max() <= 1


def test_before_temporal_training_windows_in_time_change_nothing(build_tiny_upscaler):
    """The third start-up equality: without temporal factors the net equals its picture net frame by
    frame.
    """
    upscaler, frames = build_tiny_upscaler(trained=False), clip(11)
    whole = upscaler(frames, "a cat", noise=0.1, windows=WHOLE)
    for windows in (
        Windows(frames=4),
        Windows(frames=5, overlap=3, tapered=True),
        Windows(frames=1, overlap=0),
    ):
        assert (
            np.abs(whole.astype(int) - upscaler(frames, "a cat", noise=0.1, windows=windows)).max()
            <= 1
        )


def test_seed_prompt_level_and_steps_all_matter(build_tiny_upscaler):
    upscaler, frames = build_tiny_upscaler(), clip()
    plain = dict(prompt="a cat", seed=1, noise=0.1, num_inference_steps=2)
    first = upscaler(frames, **plain)
    assert np.array_equal(first, upscaler(frames, **plain))
    for change in (
        dict(prompt="a rocket"),
        dict(seed=2),
        dict(noise=0.2),
        dict(num_inference_steps=3),
    ):
        assert not np.array_equal(first, upscaler(frames, **{**plain, **change}))


def test_tiles_and_windows_of_any_size_cover_the_clip(build_tiny_upscaler):
    upscaler, frames = build_tiny_upscaler(), clip(6, 9, 13)
    whole = upscaler(frames, windows=WHOLE)
    tiled = upscaler(frames, windows=Windows(frames=4, height=8, width=10, tile_overlap=4))
    assert whole.shape == tiled.shape == (6, 36, 52, 3)
    assert not np.array_equal(whole, tiled)


def test_a_stream_gives_frames_before_the_clip_is_done(build_tiny_upscaler):
    seen = []
    parts = build_tiny_upscaler().stream(
        clip(40), windows=Windows(frames=8), on_window=lambda step, window: seen.append(window)
    )
    first = next(parts)
    assert len(first) == 6 and len(seen) < 6  # of 2 x 7 windows
    assert len(first) + sum(len(part) for part in parts) == 40


def test_frames_and_result_may_be_memory_mapped(build_tiny_upscaler, tmp_path):
    upscaler, frames = build_tiny_upscaler(), clip()
    np.save(tmp_path / "low.npy", frames)
    out = np.lib.format.open_memmap(tmp_path / "high.npy", "w+", np.uint8, (6, 32, 40, 3))
    assert upscaler(np.load(tmp_path / "low.npy", mmap_mode="r"), out=out) is out
    assert np.array_equal(out, upscaler(frames))


def test_a_frame_has_its_own_noise_whatever_window_asks():
    low = LowResolution(clip(), seed=3, noise=0.2)
    assert torch.equal(low[slice(1, 5)][:, :, 2:], low[slice(3, 5)])
    assert not torch.equal(
        low[slice(0, 1)] - low.frames[0, 0, 0, 0],
        LowResolution(clip(), seed=4, noise=0.2)[slice(0, 1)],
    )


def test_it_is_saved_beside_a_base_and_loads_alone(build_tiny_upscaler, tiny_model, tmp_path):
    import shutil

    from openlumiere import LumierePipeline

    model = shutil.copytree(tiny_model, tmp_path / "model")
    upscaler = build_tiny_upscaler()
    upscaler.save_pretrained(model / "upscaler")
    loaded = LumiereUpscalePipeline.from_pretrained(model / "upscaler")
    assert loaded.fingerprint() == upscaler.fingerprint()
    assert np.array_equal(loaded(clip()), upscaler(clip()))
    LumierePipeline.from_pretrained(model)
    with pytest.raises(ModelError, match="LumierePipeline in"):
        LumierePipeline.from_pretrained(model / "upscaler")


@pytest.mark.parametrize(
    ("name", "value"), [("factor", 0), ("factor", "4"), ("gain", 0), ("gain", "8")]
)
def test_a_damaged_folder_is_refused(build_tiny_upscaler, tmp_path, name, value):
    build_tiny_upscaler().save_pretrained(tmp_path)
    (tmp_path / "checksums.json").unlink()
    index = json.loads((tmp_path / "model_index.json").read_text())
    (tmp_path / "model_index.json").write_text(json.dumps({**index, name: value}))
    with pytest.raises(ModelError, match=name):
        LumiereUpscalePipeline.from_pretrained(tmp_path)


def test_what_does_not_fit_is_refused(build_tiny_upscaler):
    upscaler = build_tiny_upscaler()
    with pytest.raises(ValueError, match="noise: expected 0 to 1"):
        upscaler(clip(), noise=1.5)
    with pytest.raises(ValueError, match="15 channels in for factor 2"):
        LumiereUpscalePipeline(upscaler.stunet, upscaler.scheduler, factor=2)
