"""LoRA for our nets and for published ones, by `lumiere train lora` on shards of clips."""

import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import WanPipeline
from safetensors.torch import load_file
from toy import same

from families import save_tiny
from openlumiere import Lumiere
from openlumiere.apps.cli import main
from openlumiere.contract import Native
from openlumiere.data.ingest import ingest
from openlumiere.data.ingest.source import ShardSource
from openlumiere.train.config import LoraTraining
from openlumiere.train.latents import check_clips
from openlumiere.train.stages.backbone import Bucket
from openlumiere.train.stages.lora import lora_stage

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
from recordings import SMALL, moving, save

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")
WORDS = ["--threads", "1", "--log-every", "1", "--show-every", "0", "--max-minutes", "5"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Shards of one clip: of 8 frames of 16 px, and of 9 of 32."""
    folder = tmp_path_factory.mktemp("clips")
    for frames, side in ((8, 16), (9, 32)):
        save(folder / f"in-{frames}" / "a_red_cat.mp4", moving(3, frames, 48, 48))
        config = replace(SMALL, side=side, frames=frames, fps=Fraction(8))
        ingest(folder / f"in-{frames}", folder / f"{frames}", config)
    return folder


def train(folder, model, shards, *words):
    run = ["--model", str(model), "--data", str(shards), "-o", str(folder / "run")]
    return main(["train", "lora", *run, *WORDS, *words])


@pytest.mark.parametrize("family", ["ours", "wan"])
def test_factors_learn_and_nothing_else_does(tmp_path, clips, build_tiny, family):
    if family == "ours":
        model, source = build_tiny(), ShardSource(clips / "8", 16, None)
    else:
        folder = save_tiny("WanPipeline", tmp_path / "wan")
        model, source = Lumiere.from_pretrained(folder).base, ShardSource(clips / "9", 32, None)
    stage = lora_stage(model, [Bucket(source=source)], LoraTraining(adapt="linear"))
    trained = {name: value for name, value in stage.net.named_parameters() if value.requires_grad}
    assert trained and all("lora_" in name for name in trained)
    optimizer = torch.optim.Adam(trained.values(), lr=1e-2)
    losses = []
    for _ in range(12):
        stage.move_to(0)
        loss = stage.losses(stage.net, 2, torch.Generator().manual_seed(0)).loss.mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0], losses


def test_our_factors_are_a_style_that_moves_the_clip(tmp_path, clips, tiny_model, tiny):
    rate = ["--learning-rate", "1e-2", "--adapt", "linear"]
    assert train(tmp_path, tiny_model, clips / "8", *rate, "--max-steps", "4") == 0
    file = tmp_path / "run" / "lora.safetensors"
    names = load_file(file).keys()
    assert any("mid_attentions" in name for name in names), "temporal layers learn, too"
    assert any("down_blocks" in name for name in names)
    ask = {"frames": 8, "steps": 2, "size": 0, "seed": 1}
    plain = tiny.generate("a red cat", **ask).frames
    styled = tiny.generate("a red cat", **ask, style=str(file), style_weight=1.0).frames
    assert np.abs(plain.astype(int) - styled).mean() > 0.1
    assert np.array_equal(plain, tiny.generate("a red cat", **ask).frames), "nothing is left on it"


def test_a_published_familys_factors_are_diffusers_own(tmp_path, clips):
    model = save_tiny("WanPipeline", tmp_path / "wan")
    assert train(tmp_path, model, clips / "9", "--rank", "4", "--max-steps", "2") == 0
    assert train(tmp_path, model, clips / "9", "--rank", "4", "--max-steps", "3") == 0, (
        "it is resumed"
    )
    assert len((tmp_path / "run" / "log.jsonl").read_text().splitlines()) == 3
    file = tmp_path / "run" / "lora.safetensors"
    pipeline = WanPipeline.from_pretrained(model)
    pipeline.load_lora_weights(tmp_path / "run", weight_name=file.name)
    assert pipeline.get_active_adapters() == ["default_0"]
    loaded = dict(pipeline.transformer.named_parameters())
    written = load_file(file)
    assert len(written) == 2 * 2 * 2 * 4, "two factors of q, k, v and out, twice in both blocks"
    for name, value in written.items():
        layer = name.removeprefix("transformer.").removesuffix(".weight")
        assert torch.equal(loaded[f"{layer}.default_0.weight"].detach(), value)


@pytest.mark.long
def test_pictures_and_clips_of_several_forms_are_trained_together(tmp_path, clips, capsys):
    """Three buckets; what is resumed is the unbroken run."""
    model = save_tiny("WanPipeline", tmp_path / "wan")
    picture = replace(SMALL, side=48, frames=1)
    save(tmp_path / "in" / "a.png", moving(5, 1, 48, 48))
    ingest(tmp_path / "in", tmp_path / "pictures", picture)
    save(tmp_path / "short" / "a.mp4", moving(6, 5, 48, 48))
    ingest(tmp_path / "short", tmp_path / "shorts", replace(SMALL, side=16, frames=5))
    more = ["--buckets", str(tmp_path / "pictures"), str(tmp_path / "shorts"), "--rank", "4"]
    more += ["--batch", "2", "--parts", "2", "--no-plan"]
    for folder, ends in (("whole", (3,)), ("parts", (2, 3))):
        for end in ends:
            words = [*more, "--max-steps", str(end)]
            assert train(tmp_path / folder, model, clips / "9", *words) == 0
    assert same(tmp_path / "whole" / "run", tmp_path / "parts" / "run")
    few = replace(SMALL, side=48, frames=4)
    ingest(tmp_path / "short", tmp_path / "few", few)
    assert train(tmp_path, model, clips / "9", "--buckets", str(tmp_path / "few")) == 2
    assert "data: expected clips of 5 frames for this model, got 4" in capsys.readouterr().err


def test_clips_that_a_family_does_not_take_are_refused(tmp_path, clips, capsys):
    model = save_tiny("WanPipeline", tmp_path / "wan")
    assert train(tmp_path, model, clips / "8") == 2
    assert "expected clips of 9 frames for this model, got 8" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    narrow = replace(SMALL, side=24)
    wide = SimpleNamespace(native=Native(side=64, multiple=16))
    with pytest.raises(ValueError, match="divides by 16 .*, got 24, ingest with --side 16"):
        check_clips(wide, narrow)


def test_a_clip_of_a_prompt_is_shown(tmp_path, clips, tiny_model):
    assert train(tmp_path, tiny_model, clips / "8", "--max-steps", "2", "--show-every", "2") == 0
    assert (tmp_path / "run" / "samples" / "step-2.png").stat().st_size > 1000
    assert Lumiere.from_pretrained(tiny_model).base.fingerprint()
