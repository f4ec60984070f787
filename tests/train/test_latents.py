"""Latents and text states of ingested clips, precomputed by a model and trained on."""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from safetensors.torch import load
from toy import same

from families import save_tiny
from openlumiere import Lumiere
from openlumiere.apps.cli import main
from openlumiere.data import shards as tar
from openlumiere.data.ingest import Cluster, Machine, Shards, ingest
from openlumiere.data.ingest.coded import Coded, coded_folder, coders
from openlumiere.data.ingest.source import ShardSource
from openlumiere.engine.base import LumierePipeline
from openlumiere.models.autoencoder import StickerAutoencoder
from openlumiere.models.stunet import STUNet
from openlumiere.train import latents
from openlumiere.train.config import LoraTraining, PictureConfig, VideoConfig
from openlumiere.train.latents import code_shards, coded_for
from openlumiere.train.stages.backbone import Bucket
from openlumiere.train.stages.lora import lora_stage
from openlumiere.train.stages.picture import build_picture_net
from openlumiere.train.stages.temporal import temporal_stage

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
from recordings import SMALL, fill

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")
WORDS = ["--threads", "1", "--show-every", "0", "--no-plan"]
FORM = ["--side", "32", "--frames", "9", "--fps", "8"]
HALF = 2e-3  # of a loss: latents are kept in half precision


@pytest.fixture(scope="module")
def wan(tmp_path_factory):
    return save_tiny("WanPipeline", tmp_path_factory.mktemp("wan") / "model")


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """A tiny model of latents with alpha, as the bundled one of toys is."""
    torch.manual_seed(0)
    unet = build_picture_net(PictureConfig(widths=(16, 32))).eval()
    net = STUNet.from_unet2d(unet, attention_blocks=(1, 1, 1)).eval()
    for value in net.temporal_parameters():
        torch.nn.init.normal_(value.data, std=0.05)
    vae = StickerAutoencoder(widths=(8, 16, 16), encoder_blocks=(0, 1, 1), decoder_blocks=(0, 1, 1))
    folder = tmp_path_factory.mktemp("ours") / "model"
    LumierePipeline(net, FlowMatchEulerDiscreteScheduler(), vae=vae).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Shards of six clips of 9 frames, in three files."""
    folder = tmp_path_factory.mktemp("clips")
    config = replace(SMALL, frames=9, clips_a_shard=2, drop=())
    footage = fill(folder / "in", 6, frames=9)
    (footage / "a_square_0.txt").write_text("a red cat jumps")
    ingest(footage, folder / "out", config, workers=Machine(2))
    assert len(Shards(folder / "out").facts["shards"]) == 3
    return folder / "out"


def copied(clips, tmp_path):
    return Path(shutil.copytree(clips, tmp_path / "shards"))


def loss(stage):
    stage.move_to(1)
    return stage.losses(stage.net, 3, torch.Generator().manual_seed(5)).loss.detach()


def temporal(model, bucket, masked):
    return temporal_stage(model, bucket, VideoConfig(frames=18, stride=2), masked=masked)


def lora(model, bucket):
    return lora_stage(model, [bucket], LoraTraining(text_dropout=0.5))


STAGES = {
    "lora of a published family": ("wan", lora),
    "lora of ours": ("ours", lora),
    "video": ("ours", partial(temporal, masked=False)),
    "conditional": ("ours", partial(temporal, masked=True)),
}


@pytest.mark.parametrize("name", STAGES)
def test_the_loss_from_latents_is_that_from_pixels(name, clips, tmp_path, request):
    family, build = STAGES[name]
    folder, model = copied(clips, tmp_path), request.getfixturevalue(family)
    code_shards(folder, str(model), Machine(2))
    source = ShardSource(folder, 32, None)
    base = Lumiere.from_pretrained(model).base
    coded = coded_for(base, source.shards)
    assert coded is not None
    of_pixels = loss(build(base, Bucket(source=source)))
    base = Lumiere.from_pretrained(model).base
    of_latents = loss(build(base, Bucket(source=source, coded=coded)))
    assert not torch.equal(of_latents, of_pixels), "they are rounded: else nothing was read"
    assert torch.allclose(of_latents, of_pixels, rtol=HALF), (of_latents, of_pixels)


def test_a_folder_becomes_latents_and_a_lora_by_commands(tmp_path, wan, ours, capsys):
    footage, out, run = fill(tmp_path / "in", 2, frames=9), tmp_path / "out", tmp_path / "run"
    words = ["data", "ingest", str(footage), "-o", str(out), *FORM, "--latents"]
    assert main([*words, "--model", str(wan)]) == 0
    said = capsys.readouterr().out.splitlines()
    (about,) = coders(out)
    assert said[-2] == f"latents of {wan}, fingerprint {about['fingerprint'][:12]}"
    assert about["model"] == "WanPipeline"
    train = ["train", "lora", "--data", str(out), "-o", str(run), *WORDS, "--max-steps", "1"]
    assert main([*train, "--model", str(ours)]) == 2
    assert not run.exists()
    refused = capsys.readouterr().err.strip()
    assert refused.count("\n") == 0
    assert "data: expected latents of this model, LumierePipeline " in refused
    assert (
        f"got those of WanPipeline {about['fingerprint'][:12]}, do: lumiere data latents" in refused
    )
    assert main([*train, "--model", str(wan), "--buckets", str(out)]) == 0
    assert main(["data", "latents", str(out), "--model", str(ours)]) == 0
    assert len(coders(out)) == 2, "models lie side by side"
    train[5] = str(tmp_path / "run of ours")
    assert main([*train, "--model", str(ours)]) == 0


@pytest.mark.long
def test_video_of_latents_is_trained_resumed_and_read_again(tmp_path, clips, ours):
    folder = copied(clips, tmp_path)
    code_shards(folder, str(ours), Machine(1))

    def train(run, steps, stage="video"):
        words = ["train", stage, "--data", str(folder), "-o", str(tmp_path / run), *WORDS]
        words += ["--model", str(ours), "--batch", "2", "--no-count-work"]
        return main([*words, "--max-steps", str(steps)])

    assert train("whole", 2) == train("parts", 1) == train("parts", 2) == 0
    assert same(tmp_path / "whole", tmp_path / "parts")
    lumiere = Lumiere.from_pretrained(tmp_path / "whole" / "model")
    clip = lumiere.generate("a cat", frames=9, fps=8, steps=1, size=0)
    assert clip.frames.shape == (9, 128, 128, 4)
    source = ShardSource(folder, 32, None)
    assert coded_for(lumiere.base, source.shards) is not None, "its codec is the same one"
    assert train("all", 1, "conditional") == 0


def test_coding_that_was_stopped_is_resumed_and_comes_out_the_same(
    tmp_path, clips, wan, monkeypatch
):
    whole, parts = copied(clips, tmp_path / "a"), copied(clips, tmp_path / "b")
    fingerprint = code_shards(whole, str(wan), Machine(1))
    place = coded_folder(parts, fingerprint)
    count, code = [], latents.Coder.latents

    def stopped(self, frames):
        count.append(1)
        if len(count) == 4:
            raise KeyboardInterrupt
        return code(self, frames)

    monkeypatch.setattr(latents.Coder, "latents", stopped)
    with pytest.raises(KeyboardInterrupt):
        code_shards(parts, str(wan), Machine(1))
    there = len(list(place.glob("*.tar")))
    assert coders(parts) == [] and 0 < there < 3
    count[:] = [0] * 10
    assert code_shards(parts, str(wan), Machine(2)) == fingerprint
    assert len(count) == 10 + 2 * (3 - there), "what is there is not coded again"
    files = sorted(path.name for path in place.iterdir())
    other = coded_folder(whole, fingerprint)
    assert files == sorted(path.name for path in other.iterdir())
    for name in files:
        assert (place / name).read_bytes() == (other / name).read_bytes()


def test_a_full_disk_is_one_line_and_what_is_coded_is_kept(clips, wan, small_disk):
    folder = copied(clips, small_disk)
    ballast = small_disk / ".ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free))
    with pytest.raises(ValueError, match=r"got 'No space left on device.*what is done is kept"):
        code_shards(folder, str(wan), Machine(1))
    assert coders(folder) == []
    ballast.unlink()
    fingerprint = code_shards(folder, str(wan), Machine(1))
    assert len(Coded(Shards(folder), fingerprint).places) == 6


def test_webdataset_and_we_read_the_same_and_damage_is_found(tmp_path, clips, wan):
    folder = copied(clips, tmp_path)
    fingerprint = code_shards(folder, str(wan), Machine(1))
    place = coded_folder(folder, fingerprint)
    facts = json.loads((place / "manifest.json").read_text())
    assert (facts["clips"], facts["fingerprint"]) == (6, fingerprint)
    opened = Shards(folder)
    coded = Coded(opened, fingerprint)
    name = str(opened.rows[0]["shard"])
    sample = next(tar.samples(place / name))
    assert sample["__key__"].decode() == opened.rows[0]["key"]
    read = load(sample["safetensors"])
    assert read["latents"].dtype == torch.float16
    assert all(torch.equal(value, read[key]) for key, value in coded.clip(0).items())
    data = bytearray((place / name).read_bytes())
    data[coded.places[0].offset + 500] ^= 1
    (place / name).write_bytes(data)
    with pytest.raises(ValueError, match="the shard is cut or damaged"):
        coded.clip(0)


def test_what_cannot_be_coded_is_refused_before_anything_is_read(tmp_path, wan, tiny_model, capsys):
    footage = fill(tmp_path / "in", 1)
    words = ["data", "ingest", str(footage), "-o", str(tmp_path / "out"), "--latents"]
    for more, said in (
        ([], "latents: expected the model that will be trained, got none"),
        (["--model", str(tiny_model)], "latents: expected a model of latents, got one of pixels"),
        (["--model", str(wan), *FORM[:3], "8"], "data: expected clips of 9 frames for this model"),
        (["--model", str(tmp_path)], "model"),
    ):
        assert main([*words, *more]) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1 and "Traceback" not in error
        assert not (tmp_path / "out").exists()


def test_the_form_of_clips_is_the_models(tmp_path, ours):
    footage = fill(tmp_path / "in", 1)
    words = ["data", "ingest", str(footage), "-o", str(tmp_path / "out"), "--model", str(ours)]
    assert main([*words, "--frames", "4"]) == 0
    config = Shards(tmp_path / "out").config
    assert (config.side, config.frames, config.fps) == (128, 4, Fraction(16))


KILLED = """
import sys
from openlumiere.data.ingest import Machine
from openlumiere.train.latents import code_shards
code_shards(__import__("pathlib").Path(sys.argv[1]), sys.argv[2], Machine(1))
"""


@pytest.mark.long
def test_a_kill_and_a_ray_cluster_leave_the_same_latents(tmp_path, clips, wan):
    """SIGKILL once a shard is there; then the rest by two Ray workers."""
    pytest.importorskip("ray", reason="the extra `cluster` is not installed")
    whole, parts = copied(clips, tmp_path / "a"), copied(clips, tmp_path / "b")
    fingerprint = code_shards(whole, str(wan), Machine(1))
    place, other = coded_folder(parts, fingerprint), coded_folder(whole, fingerprint)
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(parts), str(wan)])
    while not list(place.glob("*.tar")) and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert code_shards(parts, str(wan), Cluster("local", 2)) == fingerprint
    names = sorted(path.name for path in other.iterdir())
    left = sorted(path.name for path in place.iterdir())
    assert [name for name in left if name[0] != "."] == names
    for name in names:
        assert (place / name).read_bytes() == (other / name).read_bytes()
