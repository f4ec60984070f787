"""Two steps of each stage on tiny nets: pictures first, then the temporal parameters alone."""

import io
import tarfile

import pytest
import torch
from diffusers import UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file

from openlumiere.data.world.slice import STILLS, SUBJECTS, load_sprites
from openlumiere.models.text import TextStates
from openlumiere.pipelines.base import LumierePipeline
from openlumiere.train import image, video
from openlumiere.train.loop import LoopConfig

TINY = image.ImageConfig(widths=(32, 32), batch=2, loop=LoopConfig(log_every=1))


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """Sprites of one colour, packed as the real ones are."""
    path = tmp_path_factory.mktemp("package") / STILLS
    with tarfile.open(path, "w:gz") as tar:
        for number, name in enumerate(SUBJECTS):
            data = io.BytesIO()
            Image.new("RGBA", (64, 64), (30 * number, 200, 90, 255)).save(data, "webp", lossless=True)
            member = tarfile.TarInfo(f"package/assets/{name}.webp")
            member.size = data.getbuffer().nbytes
            data.seek(0)
            tar.addfile(member, data)
    return path


class FewTokens:
    """Random but fixed token states, so that a thousand captions take no time."""

    dim = 384

    def encode(self, prompts):
        states = torch.randn(len(prompts), 3, 384, generator=torch.Generator().manual_seed(0))
        return TextStates(states=states, mask=torch.ones(len(prompts), 3, dtype=torch.bool))


@pytest.fixture(scope="module")
def runs(package, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image, "E5TextEncoder", FewTokens)
        patch.setattr(video, "E5TextEncoder", FewTokens)
        image.train_image(load_sprites(package), folder / "image", 1, TINY, max_steps=2)
        video.train_video(load_sprites(package), folder / "image", folder / "video", 1, video.VideoConfig(batch=1, stride=20, loop=LoopConfig(log_every=1)), max_steps=2)
    return folder


def test_the_picture_net_is_kept_as_it_was(runs):
    before = UNet2DConditionModel.from_pretrained(runs / "image" / "unet").state_dict()
    after = LumierePipeline.from_pretrained(runs / "video" / "model").stunet.unet2d.state_dict()
    assert all(torch.equal(before[name].half().float(), after[name]) for name in before)


def test_the_temporal_parameters_have_moved(runs):
    state = load_file(runs / "video" / "state" / "parameters.safetensors")
    assert not any(name.startswith("unet2d.") for name in state)
    assert any(value.abs().max() > 0 for name, value in state.items() if "projection.weight" in name)


def test_caption_states_are_kept_and_redone_for_other_captions(tmp_path):
    file = tmp_path / "texts.safetensors"
    first = image.CaptionStates(FewTokens(), ["a dog"], file)
    again = image.CaptionStates(None, ["a dog"], file)
    assert torch.equal(first.states, again.states)
    assert len(image.CaptionStates(FewTokens(), ["a dog", "a cat"], file).states) == 3


def test_dropped_captions_become_the_empty_prompt(tmp_path):
    texts = image.CaptionStates(FewTokens(), ["a dog", "a cat"], tmp_path / "texts.safetensors")
    states, _ = texts.draw(["a dog", "a cat"], 1.0, torch.Generator().manual_seed(0))
    assert torch.equal(states, texts.states[[0, 0]])


@pytest.mark.parametrize("stride", [1, 5])
def test_frames_span_the_whole_clip_at_any_rate(stride):
    times = video.draw_times(video.VideoConfig(stride=stride), torch.Generator().manual_seed(0))
    assert len(times) == 80 // stride
    assert times[0] >= 0 and times[-1] <= 79 and torch.allclose(times.diff(), torch.tensor(float(stride)))
